/* loam perplexity: how well a model predicts a text.
 *
 * The text is tokenized as a whole, cut into windows of --ctx tokens that do not overlap, and each window is read from
 * an empty cache; where the model wants a BOS, every window begins with one (and holds one token of text less). Every
 * token of a window but its first is scored given what stands before it in the window.
 *
 * Order of arithmetic: a token's loss is that of gen/score.h; the total is one chain over tokens in the order of the
 * text.
 */
#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/out.h"
#include "gen/likelihood.h"
#include "gen/windows.h"
#include "kern/math64.h"

enum { WINDOW_DEFAULT = 2048, LOGITS_BYTES_MAX = 64 << 20 };
static const double LN2 = 0x1.62e42fefa39efp-1;

typedef struct {
    common_values common;
    compute_values compute;
    int64_t ctx;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .compute = COMPUTE_DEFAULTS};

static const option own_options[] = {
    {"ctx", 'c', OPT_INT, "N", "tokens in a window; 0: 2048, or what the model was made for when that is less",
     offsetof(values, ctx), 0, INT32_MAX / 2, NULL},
    {0},
};

static const option_group groups[] = {{"Perplexity", own_options, 0}, COMPUTE_GROUP(values), COMMON_GROUP, {0}};

typedef struct {
    const loaded *l;
    likelihood *like;
    size_t window;   /* tokens, BOS included */
    int32_t bos;     /* -1: windows begin with text */
    int32_t *ids;    /* [window] */
    double *logprob; /* [window] */
    size_t n_scored;
    double total;
} scorer;

/* One window of n tokens in s->ids. */
static err_code score_window(scorer *s, size_t n, err *e) {
    TRY(likelihood_of(s->like, s->ids, n, 1, s->logprob, e));
    for (size_t i = 0; i + 1 < n; i++)
        s->total -= s->logprob[i];
    s->n_scored += n - 1;
    return ERR_OK;
}

static err_code score_text(scorer *s, const tok_ids *text, err *e) {
    progress bar = {.what = "scoring", .unit = "tokens"};
    size_t head = s->bos >= 0 ? 1 : 0;
    err_code code = ERR_OK;
    for (size_t i = 0; i < text->n && code == ERR_OK && !interrupt_flag;) {
        size_t n = 0;
        if (head)
            s->ids[n++] = s->bos;
        while (n < s->window && i < text->n)
            s->ids[n++] = text->id[i++];
        code = score_window(s, n, e);
        progress_step(&bar, i, text->n);
    }
    progress_end(&bar);
    if (code == ERR_OK && interrupt_flag)
        code = err_set(e, ERR_CANCELLED, "stopped");
    if (code == ERR_OK && s->n_scored == 0)
        code = err_set(e, ERR_USAGE, "the text is too short: not one token can be scored");
    if (code == ERR_OK && !isfinite(s->total))
        code = err_set(e, ERR_FORMAT, "the model's logits are not all numbers (is the file damaged?)");
    return code;
}

static err_code plan(scorer *s, arena *mem, int64_t asked, size_t n_text, err *e) {
    size_t trained = model_config_of(s->l->m)->ctx_train, window = asked > 0 ? (size_t)asked : WINDOW_DEFAULT;
    if (asked == 0 && trained > 0 && window > trained)
        window = trained;
    if (window < 2)
        return err_set(e, ERR_USAGE, "--ctx: a window of %zu token has nothing to score (2 at least)", window);
    size_t ctx_tokens;
    TRY(windows_bos(s->l->t, &s->bos, e));
    if (window > n_text + 1)
        window = n_text + 1 > 2 ? n_text + 1 : 2;
    TRY(load_ctx(s->l->m, (int64_t)window, window, &ctx_tokens, e));
    s->window = window;
    ARENA_NEW(mem, s->ids, window, e);
    ARENA_NEW(mem, s->logprob, window, e);
    return likelihood_open(&s->like, s->l->m, s->l->pool, ctx_tokens, e);
}

static err_code print(const values *v, const scorer *s, size_t n_bytes, double seconds, err *e) {
    double nll = s->total / (double)s->n_scored, ppl = kern_exp64(nll);
    double bits = s->total / LN2 / (double)n_bytes;
    if (v->common.verbose || err_is_terminal())
        out_note("%zu tokens in %s, %.1f tokens/s, windows of %zu%s", s->n_scored, amount_time(seconds).text,
                 (double)s->n_scored / (seconds > 0 ? seconds : 1), s->window, s->bos >= 0 ? " with BOS" : "");
    if (!v->common.json) {
        out_printf("tokens %zu\nnll %.9f\nppl %.6f\nbits_per_byte %.9f\n", s->n_scored, nll, ppl, bits);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "tokens");
    js_int(&j, (int64_t)s->n_scored);
    js_key(&j, "nll");
    js_real(&j, nll, 17);
    js_key(&j, "ppl");
    js_real(&j, ppl, 17);
    js_key(&j, "bits_per_byte");
    js_real(&j, bits, 17);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code measure(const values *v, const loaded *l, str text, err *e) {
    tok_ids ids = {0};
    arena mem = {0};
    scorer s = {.l = l};
    err_code code = tokenizer_encode(l->t, text, 0, &ids, e);
    if (code == ERR_OK)
        code = plan(&s, &mem, v->ctx, ids.n, e);
    double begun = os_now();
    interrupt_catch();
    if (code == ERR_OK)
        code = score_text(&s, &ids, e);
    if (code == ERR_OK)
        code = print(v, &s, text.n, os_now() - begun, e);
    likelihood_close(s.like);
    arena_fini(&mem);
    tok_ids_fini(&ids);
    return code;
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    loaded l = {0};
    strbuf text = {0};
    err_code code = load_check_path(args->arg[0], e);
    if (code == ERR_OK)
        code = load_text(args->arg[1], &text, e);
    if (code == ERR_OK)
        code = load_model(&l, args->arg[0], &v->common, &v->compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK) {
        code = measure(v, &l, strbuf_str(&text), e);
        if (code != ERR_OK)
            err_in(e, code, "%s", args->arg[1]);
    }
    strbuf_fini(&text);
    loaded_close(&l);
    return code;
}

const command command_perplexity = {
    .name = "perplexity",
    .args = "M FILE|-",
    .summary = "how well a model predicts a text",
    .details = "The text is cut into windows that do not overlap, each beginning with BOS where the model wants one; "
               "every token "
               "of a window but its first is scored. nll is the mean loss a token in nats, ppl its exponential, and "
               "bits_per_byte the whole loss in bits over the bytes of the text, which compares models of different "
               "vocabularies.\n"
               "With --json: {\"tokens\", \"nll\", \"ppl\", \"bits_per_byte\"}.\n\n"
               "  loam perplexity model.gguf book.txt --ctx 1024",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
