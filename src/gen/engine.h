/* engine: one model for many requests at once.
 *
 * A thread of the engine's own takes requests from a bounded queue, first come first served, and computes them
 * together: in each step every running request contributes its next token, or a piece of its prompt, to one pass over
 * the weights (continuous batching). A request's tokens, text and log probabilities are, bit for bit, those that it
 * would get alone (doc/arithmetic.md: a row of a batch equals that row alone), whatever runs beside it, in whatever
 * order, cold or with a prefix from the cache. Prefixes of earlier requests stay in the cache while there is room, the
 * least recently used one goes first.
 *
 * Callbacks are made on the engine's thread, one at a time, and must not block for long nor call the engine, except
 * engine_cancel() and, within on_done(), engine_submit(). Memory for keys and values of a request's whole prompt and
 * answer is taken before it starts: it waits until there is as much within cache_bytes, and if the system has none,
 * that request alone ends with ERR_MEMORY. Proved by test/prop/test_engine.c, test/unit/test_engine.c,
 * test/fault/test_engine_fault.c.
 */
#ifndef LOAM_GEN_ENGINE_H
#define LOAM_GEN_ENGINE_H

#include "gen/session.h"
#include "model/pooling.h"

typedef struct engine engine;
typedef struct engine_ticket engine_ticket; /* one request under way */

enum { ENGINE_TOP_LOGPROBS_MAX = 20 };

/* Where prefixes outlast the engine (serve/prefix_files.h); called on the engine's thread alone, NULL ctx allowed. */
typedef struct {
    size_t (*find)(void *ctx, const int32_t *ids, size_t n); /* how many of these ids are there; 0: too few */
    bool (*get)(void *ctx, const int32_t *ids, size_t n, kv_cache *kv); /* n of them into kv; false: nothing changed */
    void (*put)(void *ctx, const kv_cache *kv, const int32_t *ids);     /* ids[0..kv_len); must not wait */
    void *ctx;
} engine_store;

typedef struct {
    size_t ctx_tokens;  /* positions a request may take, prompt and answer; 0: what the model was made for, at most
                           8192 */
    size_t n_running;   /* requests computed together at most; 0: 16 */
    size_t n_queued;    /* requests that may wait; 0: 256 */
    size_t cache_bytes; /* for keys and values of all requests and kept prefixes; 0: a quarter of the memory */
    const engine_store *store; /* NULL: none; must outlive the engine */
    pool *pool; /* the model's, to choose the tokens of several requests at once; NULL: the engine's thread alone */
    bool no_guesses; /* each step gives one token (gen/guess.h); the same bits in more passes */
} engine_options;

/* A token and how likely it was: log probability by the model's own logits, before sampling, bias and mask
 * (gen/score.h). It may be -inf, and NaN when the model is damaged. 0 where none was asked for. */
typedef struct {
    int32_t id;
    double logprob;
} engine_scored;

typedef struct {
    engine_scored token;
    const engine_scored *top; /* [n_top] by rank, as asked for */
    size_t n_top;
    str text; /* what became certain with this token (session.h: on_text); may be empty, may belong to earlier ones */
} engine_token;

typedef struct {
    const int32_t *ids; /* [n], copied; at least 1 */
    size_t n;
    sampler_config sampling;
    size_t n_max;    /* tokens to generate at most; 0: until the context is full */
    const str *stop; /* copied */
    size_t n_stop;
    bool special, ignore_end;  /* as in session.h */
    const engine_scored *bias; /* [n_bias] added to these logits before sampling; copied */
    size_t n_bias;
    const adapter_use *adapters; /* [n_adapters] that are at work for this request, and no others; copied */
    size_t n_adapters;           /* at most MODEL_ADAPTERS_MAX */
    size_t n_top;                /* of the likeliest tokens to tell with each token; at most ENGINE_TOP_LOGPROBS_MAX */
    bool logprobs;               /* tell log probabilities */
    bool prompt_too;             /* tell the prompt's tokens as well, each but the first with its log probability */
    bool prompt_only;            /* end after the prompt: nothing is generated, the result is STOP_LENGTH */
    /* With prompt_only and without prompt_too: receives the prompt's last hidden states, pooled, not yet of length 1,
     * f32[D], before on_done(). Nothing of it is kept for others. NULL: not asked for. */
    float *embedding;
    pooling_how pooling;
    bool go_on; /* made within on_done(), in place of the request that has ended: a full queue does not refuse it */
    /* Constrained decoding: a cursor at the beginning, the engine's until on_done() is called. Its errors end this
     * request alone; an end token ends it even if ignore_end. NULL: anything may follow. */
    constraint_cursor *grammar;
    void (*on_prompt)(void *ctx, const engine_token *t); /* only with prompt_too */
    void (*on_token)(void *ctx, const engine_token *t);  /* an end token too, mostly without text; may be NULL */
    /* Exactly once for every request that was taken. code ERR_OK, ERR_CANCELLED, or what went wrong (e->text). text:
     * what is left to print. The ticket ends with it. */
    void (*on_done)(void *ctx, const generate_result *r, str text, err_code code, const err *e);
    void *ctx;
} engine_request;

/* While an engine is open nobody else may compute with the model. `t` NULL: no text, no end tokens. cache_bytes below
 * what one request of ctx_tokens needs: ERR_LIMIT. */
err_code engine_open(engine **out, model *m, const tokenizer *t, const engine_options *o, err *e);
/* Cancels what runs, waits for the thread, frees. NULL allowed. */
void engine_close(engine *g);

/* Puts a request into the queue. Wrong: ERR_USAGE; longer than the context: ERR_LIMIT (never cut); queue full:
 * ERR_LIMIT with e->text "the queue is full"; *busy tells the two apart. The engine closes: ERR_CANCELLED. *ticket is
 * written before the first callback can be made; when the call returns, the request may have ended already, and the
 * ticket with it. */
err_code engine_submit(engine *g, const engine_request *r, engine_ticket **ticket, bool *busy, err *e);
/* Ends a request soon, queued or running; on_done() is still called. From any thread, until on_done() has returned. */
void engine_cancel(engine *g, engine_ticket *ticket);

typedef struct {
    size_t running, queued;
    uint64_t requests, prompt_tokens, cached_tokens, generated_tokens, steps; /* since engine_open() */
    size_t cache_bytes, cache_bytes_max;
    uint64_t guessed_tokens, right_tokens; /* computed on a guess (gen/guess.h); of these, those that came */
} engine_stats;
void engine_stats_get(engine *g, engine_stats *out); /* from any thread */

const model *engine_model(const engine *g);
size_t engine_ctx(const engine *g);

#endif
