/* loam bench: how fast a model reads and writes on this machine.
 *
 * No tokenizer and no text: the prompt is id i*7919 modulo the vocabulary, and decoding feeds such ids too, so that the
 * numbers are of the model alone. One warm-up, then medians over the repetitions.
 */
#include <stdlib.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/out.h"

enum { REPS_MAX = 100 };

typedef struct {
    common_values common;
    compute_values compute;
    int64_t p, n, depth, reps;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .compute = COMPUTE_DEFAULTS, .p = 512, .n = 64, .reps = 3};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"prompt", 'p', OPT_INT, "N", "tokens to prefill", AT(p), 1, 1 << 20, NULL},
    {"generate", 'n', OPT_INT, "N", "tokens to decode", AT(n), 1, 1 << 20, NULL},
    {"depth", 'd', OPT_INT, "N", "tokens before those decoded (0: the prompt)", AT(depth), 0, 1 << 20, NULL},
    {"reps", 'r', OPT_INT, "N", "repetitions, of which the median counts", AT(reps), 1, REPS_MAX, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Measurement", own_options, 0}, COMPUTE_GROUP(values), COMMON_GROUP, {0}};

typedef struct {
    model *m;
    kv_cache *kv;
    int32_t *ids;  /* [ctx] */
    float *logits; /* f32[V] */
    size_t n_prompt, n_decode, depth;
    double prefill[REPS_MAX], decode[REPS_MAX]; /* tokens a second */
} bench;

/* Appends ids up to position `to`, in chunks as a session would. */
static err_code feed(bench *b, size_t to, err *e) {
    for (size_t n; kv_len(b->kv) < to;) {
        size_t from = kv_len(b->kv), left = to - from;
        n = left < SESSION_CHUNK_TOKENS ? left : SESSION_CHUNK_TOKENS;
        TRY(model_forward(b->m, b->kv, b->ids + from, n, n == left ? LOGITS_LAST : LOGITS_NONE, b->logits, e));
    }
    return ERR_OK;
}

static err_code prefill_once(bench *b, double *rate, err *e) {
    kv_truncate(b->kv, 0);
    double start = os_now();
    TRY(feed(b, b->n_prompt, e));
    *rate = (double)b->n_prompt / (os_now() - start);
    return ERR_OK;
}

static err_code decode_once(bench *b, double *rate, err *e) {
    kv_truncate(b->kv, b->depth);
    TRY(feed(b, b->depth, e));
    double start = os_now();
    for (size_t i = 0; i < b->n_decode; i++)
        TRY(model_forward(b->m, b->kv, b->ids + b->depth + i, 1, LOGITS_LAST, b->logits, e));
    *rate = (double)b->n_decode / (os_now() - start);
    return ERR_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n) {
    qsort(x, n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static err_code print(const values *v, const loaded *l, double prefill, double decode, err *e) {
    int threads = pool_threads(l->pool);
    if (!v->common.json) {
        double bytes = (double)model_bytes_per_token(l->m);
        out_printf("isa      %s\nthreads  %d\nweights  %s\n", model_isa(l->m), threads,
                   amount_bytes((double)model_weight_bytes(l->m)).text);
        out_printf("prefill  %.1f tokens/s (%lld tokens)\n", prefill, (long long)v->p);
        out_printf("decode   %.1f tokens/s (%lld tokens after %lld), reading %s of weights a token: %s/s\n", decode,
                   (long long)v->n, (long long)(v->depth ? v->depth : v->p), amount_bytes(bytes).text,
                   amount_bytes(bytes * decode).text);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "isa");
    js_text(&j, str_from(model_isa(l->m)));
    js_key(&j, "threads");
    js_int(&j, threads);
    js_key(&j, "prefill_tok_s");
    js_real(&j, prefill, 6);
    js_key(&j, "decode_tok_s");
    js_real(&j, decode, 6);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code measure(const values *v, const loaded *l, bench *b, arena *mem, err *e) {
    size_t ctx_tokens, n_vocab = model_config_of(l->m)->V;
    b->m = l->m;
    b->n_prompt = (size_t)v->p;
    b->n_decode = (size_t)v->n;
    b->depth = (size_t)(v->depth ? v->depth : v->p);
    TRY(load_ctx(l->m, (int64_t)((b->n_prompt > b->depth ? b->n_prompt : b->depth) + b->n_decode), 0, &ctx_tokens, e));
    ARENA_NEW(mem, b->ids, ctx_tokens, e);
    ARENA_NEW(mem, b->logits, n_vocab, e);
    TRY(kv_open(&b->kv, l->m, ctx_tokens, e));
    for (size_t i = 0; i < ctx_tokens; i++)
        b->ids[i] = (int32_t)(i * 7919 % n_vocab);
    progress bar = {.what = "measuring", .unit = "rounds"};
    size_t n = (size_t)v->reps;
    double unused;
    TRY(prefill_once(b, &unused, e));
    for (size_t i = 0; i < n; i++) {
        progress_step(&bar, i, 2 * n);
        TRY(prefill_once(b, &b->prefill[i], e));
    }
    TRY(decode_once(b, &unused, e));
    for (size_t i = 0; i < n; i++) {
        progress_step(&bar, n + i, 2 * n);
        TRY(decode_once(b, &b->decode[i], e));
    }
    progress_end(&bar);
    return print(v, l, median(b->prefill, n), median(b->decode, n), e);
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    loaded l = {0};
    arena mem = {0};
    bench b = {0};
    err_code code = load_model(&l, args->arg[0], &v->common, &v->compute, LOAD_WEIGHTS, e);
    if (code == ERR_OK)
        code = measure(v, &l, &b, &mem, e);
    kv_close(b.kv);
    arena_fini(&mem);
    loaded_close(&l);
    return code;
}

const command command_bench = {
    .name = "bench",
    .args = "M",
    .summary = "measure prefill and decode speed",
    .details = "Medians after one warm-up. Close other programs first; a share of a core taken away shows at once.\n"
               "With --json: {\"isa\", \"threads\", \"prefill_tok_s\", \"decode_tok_s\"}.\n\n"
               "  loam bench model.gguf -p 512 -n 64 --threads 2",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
