/* loam: include/loam.h over the layers below: nothing is computed here.
 *
 * Each function of the header is one of ours that returns an err_code, and tell(), which hands its error over.
 */
#include <loam.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gen/chat.h"
#include "gen/session.h"
#include "model/pooling.h"
#include "text/utf8.h"

enum { POSITIONS_USUAL = 4096, PENALTY_WINDOW_USUAL = 64, EMBED_CHUNK_TOKENS = SESSION_CHUNK_TOKENS };

struct loam_model {
    pool *pool;
    model *m;
    tokenizer *t;
};

struct loam_session {
    loam_model *m;
    session *s;
};

/* ---- errors ---- */

static loam_code code_of(err_code code) {
    switch (code) {
    case ERR_OK:
        return LOAM_OK;
    case ERR_USAGE:
        return LOAM_USAGE;
    case ERR_IO:
        return LOAM_IO;
    case ERR_LIMIT:
        return LOAM_LIMIT;
    case ERR_UNSUPPORTED:
        return LOAM_UNSUPPORTED;
    case ERR_MEMORY:
        return LOAM_MEMORY;
    case ERR_FORMAT:
    case ERR_MISMATCH: /* these two are never the outcome of what is called here */
    case ERR_CANCELLED:
        break;
    }
    return LOAM_FORMAT;
}

static loam_code tell(err_code code, const err *e, loam_error *out) {
    _Static_assert(sizeof out->text == sizeof e->text, "an error's text has one length");
    if (code != ERR_OK && out) {
        out->code = code_of(code);
        memcpy(out->text, e->text, sizeof out->text);
    }
    return code_of(code);
}

const char *loam_version(void) { return LOAM_VERSION; }
int loam_api(void) { return LOAM_API; }
void loam_free(void *p) { free(p); }

/* ---- models ---- */

static err_code open_model(loam_model *m, const char *path, const loam_model_options *o, err *e) {
    TRY(pool_open(&m->pool, o->threads, e));
    const model_options options = {
        .pool = m->pool,
        .isa = o->isa,
        .weights = o->weights_as_f32 ? MODEL_WEIGHTS_F32 : MODEL_WEIGHTS_STORED,
        .progress = o->progress,
        .progress_ctx = o->context,
    };
    TRY(model_open(&m->m, path, &options, e));
    const gguf_file *g = model_gguf(m->m);
    return g ? tokenizer_open_gguf(&m->t, g, e) : tokenizer_open_folder(&m->t, path, e);
}

loam_code loam_model_open(loam_model **out, const char *path, const loam_model_options *o, loam_error *error) {
    static const loam_model_options usual = {0};
    err e = {0};
    loam_model *m = calloc(1, sizeof *m);
    *out = NULL;
    err_code code =
        m ? open_model(m, path, o ? o : &usual, &e) : err_set(&e, ERR_MEMORY, "%s: no memory for a model", path);
    if (code == ERR_OK)
        *out = m;
    else
        loam_model_close(m);
    return tell(code, &e, error);
}

void loam_model_close(loam_model *m) {
    if (!m)
        return;
    tokenizer_close(m->t);
    model_close(m->m);
    pool_close(m->pool);
    free(m);
}

size_t loam_vocabulary(const loam_model *m) { return model_config_of(m->m)->V; }
size_t loam_width(const loam_model *m) { return model_config_of(m->m)->D; }
size_t loam_trained_context(const loam_model *m) { return model_config_of(m->m)->ctx_train; }
bool loam_is_end(const loam_model *m, int32_t id) {
    return id >= 0 && id < tokenizer_n_vocab(m->t) && tokenizer_is_end(m->t, id);
}

static size_t positions_of(const loam_model *m, size_t asked) {
    size_t trained = loam_trained_context(m);
    if (asked > 0)
        return asked;
    return trained > 0 && trained < POSITIONS_USUAL ? trained : POSITIONS_USUAL;
}

size_t loam_session_bytes(const loam_model *m, size_t positions) {
    size_t n = positions_of(m, positions);
    return session_plan_bytes(m->m, n) + model_kv_bytes(m->m, n);
}

/* ---- text and ids ---- */

static void hand_over(tok_ids *from, int32_t **ids, size_t *n) {
    *ids = from->id;
    *n = from->n;
    *from = (tok_ids){0};
}

/* Room for one at least, so that no ids are still something to free. */
static err_code begin_ids(tok_ids *ids, err *e) {
    TRY(tok_ids_add(ids, 0, e));
    ids->n = 0;
    return ERR_OK;
}

static err_code tokenize(const loam_model *m, str text, unsigned flags, tok_ids *ids, err *e) {
    unsigned how =
        (flags & LOAM_ADD_SPECIAL ? TOK_SPECIAL_ADD : 0U) | (flags & LOAM_PARSE_SPECIAL ? TOK_SPECIAL_PARSE : 0U);
    TRY(begin_ids(ids, e));
    return tokenizer_encode(m->t, text, how, ids, e);
}

loam_code loam_tokenize(const loam_model *m, const char *text, size_t n_bytes, unsigned flags, int32_t **ids,
                        size_t *n_ids, loam_error *error) {
    err e = {0};
    tok_ids found = {0};
    *ids = NULL;
    *n_ids = 0;
    err_code code = tokenize(m, (str){text, n_bytes}, flags, &found, &e);
    if (code == ERR_OK)
        hand_over(&found, ids, n_ids);
    tok_ids_fini(&found);
    return tell(code, &e, error);
}

static err_code detokenize(const loam_model *m, const int32_t *ids, size_t n, unsigned flags, strbuf *text, err *e) {
    strbuf raw = {0};
    err_code code = tokenizer_decode(m->t, ids, n, flags & LOAM_SHOW_SPECIAL, &raw, e);
    if (code == ERR_OK)
        code = utf8_repair(strbuf_str(&raw), text, e);
    strbuf_fini(&raw);
    return code == ERR_OK ? strbuf_addc(text, 0, e) : code;
}

loam_code loam_detokenize(const loam_model *m, const int32_t *ids, size_t n_ids, unsigned flags, char **text,
                          size_t *n_bytes, loam_error *error) {
    err e = {0};
    strbuf found = {0};
    err_code code = detokenize(m, ids, n_ids, flags, &found, &e);
    if (code != ERR_OK)
        strbuf_fini(&found);
    *text = found.p;
    if (n_bytes)
        *n_bytes = code == ERR_OK ? found.n - 1 : 0;
    return tell(code, &e, error);
}

static err_code encode_chat(const loam_model *m, const chat_message *messages, size_t n, int64_t now, tok_ids *ids,
                            err *e) {
    str source = tokenizer_chat_template(m->t);
    const chat_options o = {.generation_prompt = true, .now = (time_t)now};
    chat_template *template = NULL;
    if (source.n == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the model has no chat template, so it was probably not trained to converse",
                       model_path(m->m));
    TRY(chat_open(&template, m->t, source, e));
    err_code code = begin_ids(ids, e);
    if (code == ERR_OK)
        code = chat_encode(template, messages, n, &o, ids, e);
    chat_close(template);
    return code;
}

loam_code loam_chat(const loam_model *m, const loam_message *messages, size_t n_messages, int64_t now, int32_t **ids,
                    size_t *n_ids, loam_error *error) {
    err e = {0};
    tok_ids found = {0};
    chat_message *list = calloc(n_messages + 1, sizeof *list);
    *ids = NULL;
    *n_ids = 0;
    for (size_t i = 0; list && i < n_messages; i++)
        list[i] = (chat_message){.role = str_from(messages[i].role), .content = str_from(messages[i].content)};
    err_code code = list ? encode_chat(m, list, n_messages, now, &found, &e)
                         : err_set(&e, ERR_MEMORY, "no memory for %zu messages", n_messages);
    if (code == ERR_OK)
        hand_over(&found, ids, n_ids);
    tok_ids_fini(&found);
    free(list);
    return tell(code, &e, error);
}

/* ---- sessions ---- */

loam_code loam_session_open(loam_session **out, loam_model *m, size_t positions, loam_error *error) {
    err e = {0};
    loam_session *s = calloc(1, sizeof *s);
    *out = NULL;
    err_code code = s ? session_open(&s->s, m->m, m->t, positions_of(m, positions), &e)
                      : err_set(&e, ERR_MEMORY, "no memory for a session");
    if (code == ERR_OK) {
        s->m = m;
        *out = s;
    } else
        free(s);
    return tell(code, &e, error);
}

void loam_session_close(loam_session *s) {
    if (!s)
        return;
    session_close(s->s);
    free(s);
}

static float or_one(float x) { return x == 0 ? 1 : x; }

static sampler_config sampling_of(const loam_sampling *s) {
    return (sampler_config){
        .temperature = s->temperature,
        .top_k = s->top_k,
        .top_p = or_one(s->top_p),
        .min_p = s->min_p,
        .repetition_penalty = or_one(s->repeat_penalty),
        .presence_penalty = s->presence_penalty,
        .frequency_penalty = s->frequency_penalty,
        .penalty_last_n = s->penalty_window == 0 ? PENALTY_WINDOW_USUAL : s->penalty_window,
        .seed = s->seed,
    };
}

static const loam_stopped stopped_by[] = {
    [STOP_END_TOKEN] = LOAM_STOPPED_BY_END_TOKEN, [STOP_STRING] = LOAM_STOPPED_BY_TEXT,
    [STOP_LENGTH] = LOAM_STOPPED_BY_LENGTH,       [STOP_CONTEXT] = LOAM_STOPPED_BY_ROOM,
    [STOP_CANCELLED] = LOAM_STOPPED_BY_CALLER,    [STOP_COMPLETE] = LOAM_STOPPED_BY_END_TOKEN,
};

/* A callback that says stop, and the flag that the session looks at. */
typedef struct {
    const loam_generation *g;
    volatile int stop;
} listener;

static void on_text(void *ctx, str text) {
    listener *l = ctx;
    if (l->g->on_text && !l->stop && !l->g->on_text(l->g->context, text.p, text.n))
        l->stop = 1;
}

static void on_prefill(void *ctx, size_t done, size_t total) {
    listener *l = ctx;
    if (l->g->on_prompt && !l->g->on_prompt(l->g->context, done, total))
        l->stop = 1;
}

static err_code generate(loam_session *s, const int32_t *ids, size_t n, const loam_generation *g, generate_result *r,
                         err *e) {
    str stop[SESSION_STOPS_MAX];
    if (g->n_stops > SESSION_STOPS_MAX)
        return err_set(e, ERR_USAGE, "%zu stop texts (at most %d)", g->n_stops, SESSION_STOPS_MAX);
    for (size_t i = 0; i < g->n_stops; i++)
        stop[i] = str_from(g->stops[i]);
    listener l = {.g = g};
    const sampler_config sampling = sampling_of(&g->sampling);
    const generate_options o = {
        .n_max = g->max_tokens,
        .stop = stop,
        .n_stop = g->n_stops,
        .special = g->show_special,
        .ignore_end = g->ignore_end,
        .on_text = on_text,
        .on_prefill = on_prefill,
        .ctx = &l,
        .cancel = &l.stop,
    };
    return session_generate(s->s, ids, n, &sampling, &o, r, e);
}

loam_code loam_generate(loam_session *s, const int32_t *ids, size_t n_ids, const loam_generation *g,
                        loam_result *result, loam_error *error) {
    static const loam_generation usual = {0};
    err e = {0};
    generate_result r = {0};
    err_code code = generate(s, ids, n_ids, g ? g : &usual, &r, &e);
    if (result)
        *result = (loam_result){
            .n_prompt = r.n_prompt,
            .n_cached = r.n_cached,
            .n_generated = r.n_generated,
            .prompt_seconds = r.prefill_seconds,
            .generate_seconds = r.decode_seconds,
            .stopped = stopped_by[r.why],
        };
    return tell(code, &e, error);
}

const int32_t *loam_session_ids(const loam_session *s, size_t *n_ids) { return session_ids(s->s, n_ids); }

loam_code loam_logits(loam_session *s, const int32_t *ids, size_t n_ids, float *logits, loam_error *error) {
    err e = {0};
    const float *found;
    err_code code = session_logits(s->s, ids, n_ids, &found, &e);
    if (code == ERR_OK)
        memcpy(logits, found, loam_vocabulary(s->m) * sizeof *logits);
    return tell(code, &e, error);
}

/* ---- embeddings ---- */

/* Their states, pooled: sum f64[D], states f32[EMBED_CHUNK_TOKENS][D]. */
static err_code pool_states(model *m, kv_cache *kv, const int32_t *ids, size_t n, double *sum, float *states, err *e) {
    size_t D = model_config_of(m)->D;
    pooling p;
    TRY(pooling_of(m, &p, e));
    for (size_t from = 0; from < n; from += EMBED_CHUNK_TOKENS) {
        size_t n_now = n - from < EMBED_CHUNK_TOKENS ? n - from : EMBED_CHUNK_TOKENS;
        const model_part part = {.kv = kv, .ids = ids + from, .n = n_now, .which = LOGITS_NONE, .states = states};
        TRY(model_forward_batch(m, &part, 1, NULL, e));
        for (size_t i = 0; i < n_now; i++)
            pooling_add(p.how, sum, D, from + i, states + i * D);
    }
    pooling_end(p.how, sum, D, n, states);
    pooling_unit(states, D);
    for (size_t i = 0; i < D; i++)
        if (!isfinite(states[i]))
            return err_set(e, ERR_FORMAT, "%s: the embedding is no number (is the file damaged?)", model_path(m));
    return ERR_OK;
}

static err_code embed(model *m, const int32_t *ids, size_t n, float *vector, err *e) {
    size_t D = model_config_of(m)->D;
    kv_cache *kv = NULL;
    if (n == 0)
        return err_set(e, ERR_USAGE, "no ids to embed");
    TRY(kv_open(&kv, m, n, e));
    double *sum = calloc(D, sizeof *sum);
    float *states = calloc(D, EMBED_CHUNK_TOKENS * sizeof *states);
    err_code code = sum && states ? pool_states(m, kv, ids, n, sum, states, e)
                                  : err_set(e, ERR_MEMORY, "no memory for an embedding");
    if (code == ERR_OK)
        memcpy(vector, states, D * sizeof *vector);
    free(states);
    free(sum);
    kv_close(kv);
    return code;
}

loam_code loam_embed(loam_model *m, const int32_t *ids, size_t n_ids, float *vector, loam_error *error) {
    err e = {0};
    return tell(embed(m->m, ids, n_ids, vector, &e), &e, error);
}
