/* loam logits: what the model computes, number by number, and one digest to compare machines by. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cli/ids.h"
#include "cli/load.h"
#include "cli/out.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the digest is of little-endian floats as they lie in memory");

enum { TOP_MAX = 1000 };

typedef struct {
    common_values common;
    compute_values compute;
    const char *ids;
    int64_t chunk, ctx, top;
    bool all;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .compute = COMPUTE_DEFAULTS};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"ids", 'i', OPT_TEXT, "I,J,K", "token ids to read, the first one first; - is standard input", AT(ids), 0, 0, NULL},
    {"all", 0, OPT_FLAG, NULL, "the logits of every position, one position after the other", AT(all), 0, 0, NULL},
    {"top", 0, OPT_INT, "N", "only the N highest logits of a position, each with its id; 0: all in the order of ids",
     AT(top), 0, TOP_MAX, NULL},
    {"chunk", 0, OPT_INT, "N", "ids to read at a time, 0 for all at once; never changes a bit of the result", AT(chunk),
     0, INT32_MAX, NULL},
    {"ctx", 'c', OPT_INT, "N", "positions to plan memory for; 0: 4096, or more when there are more ids", AT(ctx), 0,
     INT32_MAX / 2, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Logits", own_options, 0}, COMPUTE_GROUP(values), COMMON_GROUP, {0}};

/* Reads ids in chunks; `logits` f32[V], or f32[n][V] with --all. */
static err_code compute(const values *v, model *m, kv_cache *kv, const tok_ids *ids, float *logits, err *e) {
    size_t n_vocab = model_config_of(m)->V;
    size_t chunk = v->chunk > 0 ? (size_t)v->chunk : ids->n;
    for (size_t i = 0; i < ids->n; i += chunk) {
        size_t n = ids->n - i < chunk ? ids->n - i : chunk;
        float *to = v->all ? logits + i * n_vocab : logits;
        logits_which which = v->all ? LOGITS_ALL : i + n == ids->n ? LOGITS_LAST : LOGITS_NONE;
        TRY(model_forward(m, kv, ids->id + i, n, which, to, e));
    }
    return ERR_OK;
}

/* The ids of the n highest of one row, the highest first; of equal ones the lower id. Returns how many there are. */
static size_t highest(const float *logits, size_t n_vocab, size_t n, size_t id[TOP_MAX]) {
    size_t have = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        if (have == n && !(logits[i] > logits[id[n - 1]]))
            continue;
        size_t at = have < n ? have++ : n - 1;
        for (; at > 0 && logits[i] > logits[id[at - 1]]; at--)
            id[at] = id[at - 1];
        id[at] = i;
    }
    return have;
}

static void print_text(const values *v, const float *logits, size_t n_rows, size_t n_vocab) {
    size_t id[TOP_MAX];
    if (v->top == 0)
        for (size_t i = 0; i < n_rows * n_vocab; i++)
            out_printf("%.9g\n", (double)logits[i]);
    for (size_t r = 0; v->top > 0 && r < n_rows; r++) {
        const float *row = logits + r * n_vocab;
        size_t n = highest(row, n_vocab, (size_t)v->top, id);
        for (size_t i = 0; i < n; i++)
            out_printf("%zu %.9g\n", id[i], (double)row[id[i]]);
    }
}

static void json_top(const values *v, const float *logits, size_t n_rows, size_t n_vocab, js_out *j) {
    size_t id[TOP_MAX];
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = logits + r * n_vocab;
        size_t n = highest(row, n_vocab, (size_t)v->top, id);
        js_begin(j, '[');
        for (size_t i = 0; i < n; i++) {
            js_begin(j, '{');
            js_key(j, "id");
            js_int(j, (int64_t)id[i]);
            js_key(j, "logit");
            js_real(j, (double)row[id[i]], 9);
            js_end(j, '}');
        }
        js_end(j, ']');
    }
}

static err_code print(const values *v, const float *logits, size_t n_rows, size_t n_vocab, err *e) {
    char hex[65];
    hash_hex(hash_of(logits, n_rows * n_vocab * sizeof *logits), hex);
    if (!v->common.json) {
        print_text(v, logits, n_rows, n_vocab);
        if (out_flush())
            out_digest(hex);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "sha256");
    js_text(&j, str_from(hex));
    js_key(&j, "positions");
    js_int(&j, (int64_t)n_rows);
    js_key(&j, "vocab");
    js_int(&j, (int64_t)n_vocab);
    js_key(&j, v->top > 0 ? "top" : "logits");
    js_begin(&j, '[');
    if (v->top > 0)
        json_top(v, logits, n_rows, n_vocab, &j);
    for (size_t i = 0; v->top == 0 && i < n_rows * n_vocab; i++)
        js_real(&j, (double)logits[i], 9);
    js_end(&j, ']');
    js_end(&j, '}');
    return js_print(&j);
}

static err_code with_model(const values *v, const loaded *l, const tok_ids *ids, err *e) {
    size_t ctx_tokens, n_vocab = model_config_of(l->m)->V, n_rows = v->all ? ids->n : 1;
    TRY(load_ctx(l->m, v->ctx, ids->n, &ctx_tokens, e));
    kv_cache *kv = NULL;
    float *logits = n_rows <= SIZE_MAX / sizeof *logits / n_vocab ? calloc(n_rows * n_vocab, sizeof *logits) : NULL;
    err_code code = logits ? kv_open(&kv, l->m, ctx_tokens, e) : arena_short(e, n_rows, n_vocab * sizeof *logits);
    if (code == ERR_OK)
        code = compute(v, l->m, kv, ids, logits, e);
    if (code == ERR_OK)
        code = print(v, logits, n_rows, n_vocab, e);
    kv_close(kv);
    free(logits);
    return code;
}

static err_code read_ids(const values *v, tok_ids *ids, err *e) {
    if (!v->ids)
        return err_set(e, ERR_USAGE, "--ids is missing (loam tokenize gives the ids of a text)");
    strbuf text = {0};
    err_code code = ERR_OK;
    if (strcmp(v->ids, "-") == 0)
        code = load_text("-", &text, e);
    else
        code = strbuf_add(&text, str_from(v->ids), e);
    if (code == ERR_OK)
        code = ids_parse(strbuf_str(&text), ids, e);
    if (code == ERR_OK && ids->n == 0)
        code = err_set(e, ERR_USAGE, "no ids are given");
    strbuf_fini(&text);
    return code == ERR_OK ? code : err_in(e, code, "--ids");
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    loaded l = {0};
    tok_ids ids = {0};
    err_code code = read_ids(v, &ids, e);
    if (code == ERR_OK)
        code = load_model(&l, args->arg[0], &v->common, &v->compute, LOAD_WEIGHTS, e);
    if (code == ERR_OK)
        code = with_model(v, &l, &ids, e);
    tok_ids_fini(&ids);
    loaded_close(&l);
    return code;
}

const command command_logits = {
    .name = "logits",
    .args = "M --ids I,J,K",
    .summary = "the logits after the given token ids, and their SHA-256",
    .details =
        "One logit a line (%.9g, which tells every float apart) for each id of the vocabulary, at the last position. "
        "On standard error: the SHA-256 of the same numbers as little-endian binary32. Equal digests mean equal bits: "
        "the "
        "digest is one value over instruction sets, thread counts, chunks and compilers.\n"
        "With --top N: a line \"ID LOGIT\" for each of the N highest instead; the digest stays that of all.\n"
        "With --json: {\"sha256\", \"positions\", \"vocab\", \"logits\"}, or \"top\" for \"logits\".\n\n"
        "  loam logits model.gguf --ids 2,9259 --top 5",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
