/* session: prefill, the token loop, and the prefix that need not be computed again; see session.h.
 *
 *   ids:  [ computed, in the cache ....... | not yet computed ]
 *          kv_len(kv)                       up to n
 *
 * Invariants: kv_len(kv) <= n <= ctx; the cache's position i was computed from ids[0..i]. So whatever stops a
 * call half-way (an error, a cancel), the next call finds its common prefix in ids[0..kv_len).
 */
#include "gen/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/os.h"

struct session {
    arena mem;
    model *m;
    const tokenizer *t;
    kv_cache *kv;
    sampler *sampler;
    size_t ctx, n;
    int32_t *ids;  /* [ctx] */
    float *logits; /* f32[V] */
    strbuf piece;  /* text of one token */
    stops filter;
};

size_t session_plan_bytes(const model *m, size_t ctx_tokens) {
    const session *s = NULL;
    size_t n_vocab = model_config_of(m)->V;
    return sizeof *s + ctx_tokens * sizeof *s->ids + n_vocab * sizeof *s->logits + sampler_plan_bytes(n_vocab);
}

static err_code plan(session *s, size_t ctx_tokens, err *e) {
    size_t n_vocab = model_config_of(s->m)->V;
    s->ctx = ctx_tokens;
    ARENA_NEW(&s->mem, s->ids, ctx_tokens, e);
    ARENA_NEW(&s->mem, s->logits, n_vocab, e);
    TRY(sampler_open(&s->sampler, n_vocab, e));
    /* Room for the longest piece, so that decoding a token never grows it. */
    for (int i = 0; i < TOK_PIECE_BYTES_MAX + 64; i++)
        TRY(strbuf_addc(&s->piece, 0, e));
    s->piece.n = 0;
    return kv_open(&s->kv, s->m, ctx_tokens, e);
}

err_code session_open(session **out, model *m, const tokenizer *t, size_t ctx_tokens, err *e) {
    *out = NULL;
    if (ctx_tokens == 0 || ctx_tokens > INT32_MAX / 2)
        return err_set(e, ERR_USAGE, "a context of %zu tokens (1 to %d are possible)", ctx_tokens, INT32_MAX / 2);
    session *s = calloc(1, sizeof *s);
    if (!s)
        return arena_short(e, 1, sizeof *s);
    s->m = m;
    s->t = t;
    err_code code = plan(s, ctx_tokens, e);
    if (code != ERR_OK) {
        session_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void session_close(session *s) {
    if (!s)
        return;
    kv_close(s->kv);
    sampler_close(s->sampler);
    strbuf_fini(&s->piece);
    arena_fini(&s->mem);
    free(s);
}

const int32_t *session_ids(const session *s, size_t *n) {
    *n = s->n;
    return s->ids;
}

size_t session_ctx(const session *s) { return s->ctx; }

double generate_prefill_rate(const generate_result *r) {
    return r->prefill_seconds > 0 ? (double)(r->n_prompt - r->n_cached) / r->prefill_seconds : 0;
}

double generate_decode_rate(const generate_result *r) {
    return r->decode_seconds > 0 && r->n_generated > 1 ? (double)(r->n_generated - 1) / r->decode_seconds : 0;
}

static bool cancelled(const generate_options *o) { return o->cancel && *o->cancel; }

static err_code check(const session *s, const int32_t *ids, size_t n, err *e) {
    size_t n_vocab = model_config_of(s->m)->V;
    if (n == 0)
        return err_set(e, ERR_USAGE, "the prompt is empty: the model needs at least one token to continue");
    if (n > s->ctx)
        return err_set(e, ERR_LIMIT,
                       "the prompt has %zu tokens, the context holds %zu (nothing was cut: give a larger "
                       "context or a shorter prompt)",
                       n, s->ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= n_vocab)
            return err_set(e, ERR_USAGE, "token %zu of the prompt: id %d is outside the vocabulary (0 to %zu)", i,
                           (int)ids[i], n_vocab - 1);
    return ERR_OK;
}

/* Makes ids[0..n) the session's; returns how many of them the cache holds already. */
static size_t adopt(session *s, const int32_t *ids, size_t n) {
    size_t same = 0, cached = kv_len(s->kv);
    while (same < cached && same < n && s->ids[same] == ids[same])
        same++;
    if (same == n)
        same--; /* its logits are not kept: compute the last one again */
    kv_truncate(s->kv, same);
    memmove(s->ids, ids, n * sizeof *ids);
    s->n = n;
    return same;
}

static err_code prefill(session *s, const generate_options *o, generate_result *r, err *e) {
    size_t total = s->n - r->n_cached;
    double begun = os_now();
    for (size_t done = 0; done < total;) {
        if (cancelled(o)) {
            r->why = STOP_CANCELLED;
            break;
        }
        size_t at = r->n_cached + done, n = total - done;
        n = n < SESSION_CHUNK_TOKENS ? n : SESSION_CHUNK_TOKENS;
        bool last = done + n == total;
        TRY(model_forward(s->m, s->kv, s->ids + at, n, last ? LOGITS_LAST : LOGITS_NONE, s->logits, e));
        done += n;
        if (o->on_prefill)
            o->on_prefill(o->ctx, done, total);
    }
    r->prefill_seconds = os_now() - begun;
    return ERR_OK;
}

/* Appends the next id; passes its text on; says whether to stop after it. */
static err_code take_token(session *s, const sampler_config *sampling, const generate_options *o, generate_result *r,
                           err *e) {
    if (o->grammar)
        TRY(constraint_mask(o->grammar, s->logits, model_config_of(s->m)->V, e));
    int32_t id = sampler_next(s->sampler, sampling, s->logits, s->ids, s->n);
    if (id < 0)
        return err_set(e, ERR_FORMAT, "%s: after %zu tokens no logit is a number (is the file damaged?)",
                       model_path(s->m), s->n);
    bool complete = false;
    if (o->grammar)
        TRY(constraint_take(o->grammar, id, &complete, e));
    size_t i_prev = s->n;
    s->ids[s->n++] = id;
    r->n_generated++;
    if (complete)
        r->why = STOP_COMPLETE;
    if (!s->t || id >= tokenizer_n_vocab(s->t)) /* padding rows of the output matrix have no text */
        return ERR_OK;
    if (tokenizer_is_end(s->t, id) && (!o->ignore_end || o->grammar))
        r->why = STOP_END_TOKEN;
    s->piece.n = 0;
    TRY(tokenizer_decode_next(s->t, i_prev, id, o->special, &s->piece, e));
    if (stops_feed(&s->filter, strbuf_str(&s->piece)))
        r->why = STOP_STRING;
    return ERR_OK;
}

static err_code decode(session *s, const sampler_config *sampling, const generate_options *o, generate_result *r,
                       err *e) {
    while (r->why == STOP_NONE) {
        if (cancelled(o))
            r->why = STOP_CANCELLED;
        else if (s->n == s->ctx)
            r->why = STOP_CONTEXT;
        else
            TRY(take_token(s, sampling, o, r, e));
        if (r->why == STOP_NONE && o->n_max > 0 && r->n_generated == o->n_max)
            r->why = STOP_LENGTH;
        if (r->why == STOP_NONE && s->n < s->ctx)
            TRY(model_forward(s->m, s->kv, s->ids + s->n - 1, 1, LOGITS_LAST, s->logits, e));
    }
    return ERR_OK;
}

err_code session_generate(session *s, const int32_t *ids, size_t n, const sampler_config *sampling,
                          const generate_options *o, generate_result *r, err *e) {
    *r = (generate_result){.n_prompt = n};
    TRY(sampler_check(sampling, e));
    TRY(check(s, ids, n, e));
    TRY(stops_init(&s->filter, o->stop, o->n_stop, o->on_text, o->ctx, e));
    r->n_cached = adopt(s, ids, n);
    TRY(prefill(s, o, r, e));
    double begun = os_now();
    err_code code = r->why == STOP_NONE ? decode(s, sampling, o, r, e) : ERR_OK;
    r->decode_seconds = os_now() - begun;
    stops_end(&s->filter); /* whatever stopped it, text that was certain is shown */
    return code;
}

err_code session_logits(session *s, const int32_t *ids, size_t n, const float **logits, err *e) {
    static const generate_options no_text = {0};
    generate_result r = {0};
    TRY(check(s, ids, n, e));
    r.n_cached = adopt(s, ids, n);
    TRY(prefill(s, &no_text, &r, e));
    *logits = s->logits;
    return ERR_OK;
}
