/* api_embed: /v1/embeddings of OpenAI, /api/embed and /api/embeddings of Ollama.
 *
 *   read inputs -> a few at a time to the engine -> vectors to text as they come -> one answer in the order of the
 * inputs
 *
 * Of a request with many inputs only EMBED_TOGETHER are with the engine at once, and each that ends makes room for the
 * next. So a list of 2048 texts never fills the queue, and those who generate text share every step with it.
 *
 * A vector is the model's last hidden states, pooled as the model states (model/pooling.h); cut to "dimensions" where
 * that is given; then of length 1, unless {"normalize": false}. An input that is too long is an error, never cut,
 * whatever "truncate" says.
 *
 * Invariant: the request is freed by whoever brings `left` to 0, after the call has been answered.
 * Proved by test/e2e/test_embed.py.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "serve/params.h"
#include "serve/route.h"
#include "text/base64.h"

enum { EMBED_TOGETHER = 8, EMBED_INPUTS_MAX = 2048, EMBED_NUMBERS_MAX = 1 << 23 };

typedef struct embeds embeds;

typedef struct {
    embeds *all;
    tok_ids ids;
    float *vector; /* f32[D] while the engine has it */
    strbuf text;   /* as it stands in the answer */
    engine_ticket *ticket;
    bool done;
} input;

struct embeds {
    const serve_model *m;
    adapter_use adapters[MODEL_ADAPTERS_MAX];
    size_t n_adapters;
    http_call *call;
    err_code (*write)(const embeds *j, strbuf *out, err *e); /* the answer of this API */
    input *input;                                            /* [n] */
    size_t n, next, n_tokens, dimensions;
    bool base64, raw;
    double begun;
    pthread_mutex_t lock;
    size_t left; /* with the engine, and one while they are begun */
    bool cancelled;
    int fail_status;
    err_code fail_code;
    err why;
};

/* ---- ending ---- */

static void embeds_free(embeds *j) {
    if (!j)
        return;
    for (size_t i = 0; i < j->n; i++) {
        tok_ids_fini(&j->input[i].ids);
        strbuf_fini(&j->input[i].text);
        free(j->input[i].vector);
    }
    free(j->input);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static void complete(embeds *j) {
    strbuf text = {0};
    if (j->fail_code == ERR_OK && (j->fail_code = j->write(j, &text, &j->why)) != ERR_OK)
        j->fail_status = status_of(j->fail_code);
    if (j->fail_code == ERR_OK)
        http_answer(j->call, 200, "application/json", strbuf_str(&text));
    else
        reply_error(j->call, j->fail_status, j->fail_code, j->why.text);
    strbuf_fini(&text);
    embeds_free(j);
}

static void release(embeds *j) {
    pthread_mutex_lock(&j->lock);
    bool last = --j->left == 0;
    pthread_mutex_unlock(&j->lock);
    if (last)
        complete(j);
}

static void cancel(void *ctx) {
    embeds *j = ctx;
    pthread_mutex_lock(&j->lock);
    j->cancelled = true;
    for (size_t i = 0; i < j->next; i++)
        if (j->input[i].ticket)
            engine_cancel(j->m->g, j->input[i].ticket);
    pthread_mutex_unlock(&j->lock);
}

/* The first failure is the request's. */
static void fail(embeds *j, int status, err_code code, const err *e) {
    pthread_mutex_lock(&j->lock);
    if (j->fail_code == ERR_OK) {
        j->fail_status = status;
        j->fail_code = code;
        j->why = *e;
    }
    pthread_mutex_unlock(&j->lock);
    cancel(j);
}

/* ---- a vector as text ---- */

static err_code write_list(const float *x, size_t n, strbuf *out, err *e) {
    for (size_t i = 0; i < n; i++) {
        TRY(strbuf_addc(out, i ? ',' : '[', e));
        TRY(strbuf_add_real32(out, x[i], 6, e));
    }
    return strbuf_addc(out, ']', e);
}

/* binary32, little endian, as base64. */
static err_code write_base64(const float *x, size_t n, strbuf *out, err *e) {
    strbuf bytes = {0};
    err_code code = strbuf_reserve(&bytes, 4 * n, e);
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        for (int b = 0; b < 4 && code == ERR_OK; b++)
            code = strbuf_addc(&bytes, (char)(u >> (8 * b) & 0xFF), e);
    }
    if (code == ERR_OK)
        code = strbuf_addc(out, '"', e);
    if (code == ERR_OK)
        code = base64_put(strbuf_str(&bytes), out, e);
    strbuf_fini(&bytes);
    return code == ERR_OK ? strbuf_addc(out, '"', e) : code;
}

static err_code write_vector(input *x, err *e) {
    const embeds *j = x->all;
    if (!j->raw)
        pooling_unit(x->vector, j->dimensions);
    for (size_t i = 0; i < j->dimensions; i++)
        if (!isfinite(x->vector[i]))
            return err_set(e, ERR_MISMATCH, "the embedding is no number (is the model damaged?)");
    return (j->base64 ? write_base64 : write_list)(x->vector, j->dimensions, &x->text, e);
}

/* ---- with the engine ---- */

static void begin_next(embeds *j, bool go_on);

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    input *x = ctx;
    embeds *j = x->all;
    err why = *e;
    (void)r;
    (void)text;
    pthread_mutex_lock(&j->lock);
    x->done = true;
    x->ticket = NULL;
    pthread_mutex_unlock(&j->lock);
    if (code == ERR_OK)
        code = write_vector(x, &why);
    free(x->vector);
    x->vector = NULL;
    if (code != ERR_OK)
        fail(j, status_of(code), code, &why);
    begin_next(j, true);
    release(j);
}

static err_code submit(input *x, bool go_on, bool *busy, err *e) {
    embeds *j = x->all;
    engine_ticket *ticket;
    x->vector = calloc(model_config_of(j->m->source.m)->D, sizeof *x->vector);
    if (!x->vector)
        return err_set(e, ERR_MEMORY, "no memory for an embedding");
    const engine_request r = {.ids = x->ids.id,
                              .n = x->ids.n,
                              .sampling = params_plain().sampling,
                              .prompt_only = true,
                              .adapters = j->adapters,
                              .n_adapters = j->n_adapters,
                              .embedding = x->vector,
                              .pooling = j->m->pooling.how,
                              .go_on = go_on,
                              .on_done = on_done,
                              .ctx = x};
    TRY(engine_submit(j->m->g, &r, &ticket, busy, e));
    pthread_mutex_lock(&j->lock);
    if (!x->done) {
        x->ticket = ticket;
        if (j->cancelled)
            engine_cancel(j->m->g, ticket);
    }
    pthread_mutex_unlock(&j->lock);
    return ERR_OK;
}

static void begin_next(embeds *j, bool go_on) {
    bool busy = false;
    err e = {0};
    pthread_mutex_lock(&j->lock);
    bool any = !j->cancelled && j->next < j->n;
    input *x = any ? &j->input[j->next++] : NULL;
    j->left += any;
    pthread_mutex_unlock(&j->lock);
    if (!any)
        return;
    err_code code = submit(x, go_on, &busy, &e);
    if (code == ERR_OK)
        return;
    fail(j, busy ? 503 : status_of(code), code, &e);
    release(j);
}

/* ---- reading ---- */

static err_code add_text(embeds *j, const json_t *text, err *e) {
    input *x = &j->input[j->n++];
    x->all = j;
    TRY(tokenizer_encode(j->m->source.t, json_str_of(text), TOK_SPECIAL_ADD, &x->ids, e));
    j->n_tokens += x->ids.n;
    return ERR_OK;
}

static err_code add_ids(embeds *j, const json_t *list, err *e) {
    input *x = &j->input[j->n++];
    x->all = j;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= tokenizer_n_vocab(j->m->source.t))
            return err_set(e, ERR_USAGE, "token %zu is no id of the vocabulary (0 to %d)", i,
                           (int)tokenizer_n_vocab(j->m->source.t) - 1);
        TRY(tok_ids_add(&x->ids, (int32_t)id, e));
    }
    j->n_tokens += x->ids.n;
    return ERR_OK;
}

static err_code add_input(embeds *j, const json_t *v, err *e) {
    if (json_is_string(v))
        return add_text(j, v, e);
    if (json_is_array(v))
        return add_ids(j, v, e);
    return err_set(e, ERR_USAGE, "a text, or a list of token ids, is expected");
}

/* A text, a list of texts, of token ids, or of lists of them. */
static err_code read_inputs(embeds *j, const json_t *v, const char *key, err *e) {
    bool many = json_is_array(v) && json_array_size(v) > 0 && !json_is_integer(json_array_get(v, 0));
    size_t n = many ? json_array_size(v) : 1;
    if (n > EMBED_INPUTS_MAX || n * j->dimensions > EMBED_NUMBERS_MAX)
        return err_set(e, ERR_USAGE, "%s: %zu inputs of %zu dimensions (at most %d inputs and %d numbers)", key, n,
                       j->dimensions, EMBED_INPUTS_MAX, EMBED_NUMBERS_MAX);
    j->input = calloc(n, sizeof *j->input);
    if (!j->input)
        return err_set(e, ERR_MEMORY, "no memory for the inputs");
    for (size_t i = 0; i < n; i++) {
        err_code code = add_input(j, many ? json_array_get(v, i) : v, e);
        if (code == ERR_OK && j->input[i].ids.n == 0)
            code = err_set(e, ERR_USAGE, "it is empty: a model needs at least one token");
        if (code != ERR_OK)
            return many ? err_in(e, code, "%s[%zu]", key, i) : err_in(e, code, "%s", key);
    }
    return ERR_OK;
}

static err_code read_format(embeds *j, const json_t *body, err *e) {
    str format = STR("float");
    int64_t dimensions = (int64_t)j->dimensions;
    bool normalize = true;
    TRY(param_str(body, "encoding_format", &format, e));
    j->base64 = str_is(format, "base64");
    if (!j->base64 && !str_is(format, "float"))
        return err_set(e, ERR_USAGE, "encoding_format: \"float\" or \"base64\" is expected");
    TRY(param_bool(body, "normalize", &normalize, e));
    j->raw = !normalize;
    TRY(param_int(body, "dimensions", 1, (int64_t)j->dimensions, &dimensions, e));
    j->dimensions = (size_t)dimensions;
    return ERR_OK;
}

typedef struct {
    const char *key; /* of the inputs */
    bool format;     /* encoding_format counts; else floats */
    err_code (*write)(const embeds *j, strbuf *out, err *e);
} shape;

static err_code read_body(embeds *j, const json_t *body, const shape *how, err *e) {
    TRY(read_format(j, body, e));
    j->base64 = j->base64 && how->format;
    return read_inputs(j, json_object_get(body, how->key), how->key, e);
}

static err_code embed(serve *s, http_call *c, const json_t *body, const shape *how, err *e) {
    const serve_model *m;
    TRY(serve_find(s, body, &m, e));
    if (m->pooling_code != ERR_OK) {
        *e = m->pooling_why;
        return err_in(e, m->pooling_code, "%s gives no embeddings", m->source.name);
    }
    embeds *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_MEMORY, "no memory for the request");
    *j = (embeds){.m = m, .call = c, .write = how->write, .begun = os_now(), .left = 1};
    j->dimensions = model_config_of(m->source.m)->D;
    pthread_mutex_init(&j->lock, NULL);
    err_code code = serve_adapters(m, body, j->adapters, &j->n_adapters, e);
    if (code == ERR_OK)
        code = read_body(j, body, how, e);
    if (code != ERR_OK) {
        embeds_free(j);
        return code;
    }
    http_on_gone(c, cancel, j);
    for (int i = 0; i < EMBED_TOGETHER; i++)
        begin_next(j, false);
    release(j);
    return ERR_OK;
}

/* ---- the APIs ---- */

static err_code write_name(const embeds *j, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("\"model\":"), e));
    return json_quote(str_from(j->m->source.name), out, e);
}

static err_code write_openai(const embeds *j, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("{\"object\":\"list\",\"data\":["), e));
    for (size_t i = 0; i < j->n; i++) {
        TRY(strbuf_addf(out, e, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i));
        TRY(strbuf_add(out, strbuf_str(&j->input[i].text), e));
        TRY(strbuf_addc(out, '}', e));
    }
    TRY(strbuf_add(out, STR("],"), e));
    TRY(write_name(j, out, e));
    return strbuf_addf(out, e, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", j->n_tokens, j->n_tokens);
}

static err_code write_ollama(const embeds *j, strbuf *out, err *e) {
    TRY(strbuf_addc(out, '{', e));
    TRY(write_name(j, out, e));
    TRY(strbuf_add(out, STR(",\"embeddings\":["), e));
    for (size_t i = 0; i < j->n; i++) {
        TRY(strbuf_add(out, i ? STR(",") : (str){0}, e));
        TRY(strbuf_add(out, strbuf_str(&j->input[i].text), e));
    }
    return strbuf_addf(out, e, "],\"total_duration\":%lld,\"load_duration\":0,\"prompt_eval_count\":%zu}",
                       (long long)((os_now() - j->begun) * 1e9), j->n_tokens);
}

static err_code write_ollama_one(const embeds *j, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("{\"embedding\":"), e));
    TRY(strbuf_add(out, j->n ? strbuf_str(&j->input[0].text) : STR("[]"), e));
    return strbuf_addc(out, '}', e);
}

static err_code openai(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return embed(s, c, body, &(shape){"input", true, write_openai}, e);
}

/* A request of Ollama's without a text asks for the model to be loaded, which it is. */
static bool asks_nothing(const json_t *v) {
    return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0);
}

static err_code answer_nothing(serve *s, http_call *c, const json_t *body, bool many, err *e) {
    const serve_model *m;
    TRY(serve_find(s, body, &m, e));
    json_t *none = json_array();
    reply_json(c, 200,
               many ? json_pack("{s:s, s:o}", "model", m->source.name, "embeddings", none)
                    : json_pack("{s:o}", "embedding", none));
    return ERR_OK;
}

static err_code ollama(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    if (asks_nothing(json_object_get(body, "input")))
        return answer_nothing(s, c, body, true, e);
    return embed(s, c, body, &(shape){"input", false, write_ollama}, e);
}

static err_code ollama_one(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const json_t *prompt = json_object_get(body, "prompt");
    (void)rest;
    if (asks_nothing(prompt))
        return answer_nothing(s, c, body, false, e);
    if (!json_is_string(prompt))
        return err_set(e, ERR_USAGE, "prompt: a string is expected");
    return embed(s, c, body, &(shape){"prompt", false, write_ollama_one}, e);
}

const route routes_embed[] = {
    {"POST", "/v1/embeddings", openai},
    {"POST", "/api/embed", ollama},
    {"POST", "/api/embeddings", ollama_one},
    {0},
};
