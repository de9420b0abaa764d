/* session: one conversation with a model: its cache, its sampler, its text.
 *
 * A session owns a kv cache and remembers which ids stand in it. session_generate() reuses the longest
 * common prefix with what is cached; at least the prompt's last token is computed anew, for its logits. A cache
 * hit never changes a bit (doc/arithmetic.md). After session_open() the token loop allocates nothing, except
 * what a grammar learns on its way.
 */
#ifndef LOAM_GEN_SESSION_H
#define LOAM_GEN_SESSION_H

#include "gen/constraint.h"
#include "gen/sampler.h"
#include "gen/stops.h"
#include "model/model.h"
#include "tok/tokenizer.h"

typedef struct session session;

enum { SESSION_CHUNK_TOKENS = 512, SESSION_STOPS_MAX = STOPS_MAX, SESSION_STOP_BYTES_MAX = STOPS_BYTES_MAX };

typedef enum {
    STOP_NONE,
    STOP_END_TOKEN,
    STOP_STRING,
    STOP_LENGTH,
    STOP_CONTEXT,
    STOP_CANCELLED,
    STOP_COMPLETE
} stop_reason;

typedef struct {
    size_t n_max;    /* tokens to generate at most; 0: until the context is full */
    const str *stop; /* stop strings: the text ends before the first of them */
    size_t n_stop;
    bool special;    /* print control tokens as spelled */
    bool ignore_end; /* go on after an end token */
    /* Constrained decoding: a cursor at the beginning; when nothing may follow, the text ends (STOP_COMPLETE). An end
     * token then ends it even if ignore_end. NULL: anything may follow. */
    constraint_cursor *grammar;
    /* Called with text as it becomes certain: valid UTF-8, whole characters, and never a part of a stop string
     * (gen/stops.h). Without stop strings the pieces together are utf8_repair() of the decoded ids. May be NULL. */
    void (*on_text)(void *ctx, str text);
    void *ctx;
    volatile const int
        *cancel; /* stops before the next token (or prefill chunk) when it becomes nonzero; may be NULL */
    void (*on_prefill)(void *ctx, size_t done, size_t total); /* progress; may be NULL */
} generate_options;

typedef struct {
    size_t n_prompt, n_cached, n_generated; /* tokens; n_cached of the prompt came from the cache */
    double prefill_seconds, decode_seconds; /* decode: from the first token's choice to the stop */
    stop_reason why;
} generate_result;

/* Tokens a second; 0 where nothing was measured. Decode counts the steps that ran the model: all tokens but the
 * first, whose logits are the prefill's. */
double generate_prefill_rate(const generate_result *r);
double generate_decode_rate(const generate_result *r);

/* Of memory that session_open() takes besides the cache (model_kv_bytes()). */
size_t session_plan_bytes(const model *m, size_t ctx_tokens);
err_code session_open(session **out, model *m, const tokenizer *t, size_t ctx_tokens, err *e);
void session_close(session *s); /* NULL allowed */

/* Makes `ids` the session's tokens (computing all but the cached prefix), then samples until a stop. The generated
 * ids, an end token included, follow in session_ids(); prompt and answer together never pass the context. Prompt empty,
 * options out of range, an id outside the vocabulary: ERR_USAGE; longer than the context: ERR_LIMIT (never cut); no
 * logit is a number: ERR_FORMAT. After an error the session is usable and keeps what is valid in its cache. `t` NULL at
 * session_open(): no text, no end tokens. ids may point into session_ids(). */
err_code session_generate(session *s, const int32_t *ids, size_t n, const sampler_config *sampling,
                          const generate_options *o, generate_result *r, err *e);

/* Makes `ids` the session's tokens in the same way and with the same errors: *logits, f32[V] of what comes after them,
 * is valid until the next call. */
err_code session_logits(session *s, const int32_t *ids, size_t n, const float **logits, err *e);

const int32_t *session_ids(const session *s, size_t *n); /* prompt and answer, valid until the next call */
size_t session_ctx(const session *s);

#endif
