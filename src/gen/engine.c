/* engine: queue, admission, steps, and what a request gets from each; see engine.h.
 *
 *   engine_submit --> queue --admit--> running: PROMPT ... ANSWER --finish--> on_done, its cache to the prefixes
 *
 * Invariants:
 *   1. A running request's cache holds ids[0..kv_len) computed from these very ids: by its own parts, or copied from a
 *      cache that began with the same ids. So what else runs, and when, cannot show in its logits.
 *   2. In phase ANSWER all ids but the last are in the cache; in PROMPT fewer than the prompt's.
 *   3. running_bytes + kept.bytes <= cache_bytes: a cache's whole room is counted before it is taken.
 *   4. The lock guards the queue, `closing` and the stats; everything else belongs to the engine's thread. It is never
 *      held in a callback.
 */
#include "gen/engine.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/os.h"
#include "gen/guess.h"
#include "gen/prefixes.h"
#include "gen/score.h"

enum {
    CTX_DEFAULT = 8192,
    RUNNING_DEFAULT = 16,
    RUNNING_MAX = 256,
    QUEUED_DEFAULT = 256,
    QUEUED_MAX = 1 << 16,
    STEP_ROWS = 512,         /* rows of a step when nobody waits for a next token */
    FAIR_ROWS = 64,          /* of prompts beside requests that do: what they wait longer */
    PIECE_ROWS = 64,         /* a prompt's turn */
    GUESS_ROWS = GUESS_MOST, /* of answers in a step: so few rows cost little more than one */
    LOGIT_ROWS = 32,         /* of prompts whose tokens are told: each row takes V floats */
    SHARE_TOKENS = 16,       /* fewer are not worth copying or keeping */
    STORE_TOKENS = 64        /* fewer are not worth reading */
};

enum { UNCHOSEN = -2 };

typedef enum { PROMPT, ANSWER, ENDED } phase;

struct engine_ticket {
    engine_ticket *next; /* in the queue */
    engine_request r;    /* ids, stop, bias and adapters are ours */
    adapter_use adapters[MODEL_ADAPTERS_MAX];
    arena mem;
    atomic_bool cancelled;
    phase phase;
    int32_t chosen; /* the next id, where it was chosen beforehand; else UNCHOSEN */
    kv_cache *kv;
    size_t room, bytes; /* of the cache: positions, memory */
    int32_t *ids;       /* [room] prompt and answer */
    size_t n, n_told;   /* prompt tokens told */
    guess_habit habit;
    stops filter;
    generate_result result;
    double *pooled; /* f64[D], of an embedding */
    double begun;
};

/* A request's share of one step. */
typedef struct {
    engine_ticket *q;
    size_t n, from; /* positions from .. from+n-1 */
    logits_which which;
} share;

struct engine {
    model *m;
    const tokenizer *t;
    engine_options o; /* every field given */
    size_t n_vocab;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    engine_ticket *first, **last;
    bool closing;
    engine_stats stats;
    /* the thread's own */
    engine_ticket **running; /* [o.n_running] by admission */
    size_t n_running, running_bytes, turn;
    prefixes kept;
    share *step;       /* [o.n_running] */
    model_part *parts; /* [o.n_running] the same for the model */
    sampler **sampler; /* [n_samplers] of threads that may have a request to choose for */
    size_t n_samplers;
    size_t n_shares;     /* of this step */
    float *logits, *row; /* f32[o.n_running + LOGIT_ROWS + GUESS_ROWS][V], f32[V] */
    float *states;       /* f32[STEP_ROWS][D], of those who want embeddings */
    strbuf piece, text;  /* of one token; never grow */
    arena mem;
};

/* ---- requests come and go ---- */

static void take_text(void *ctx, str text) {
    engine *g = ctx;
    err_code code = strbuf_add(&g->text, text, NULL);
    assert(code == ERR_OK); /* room for the longest piece and what a filter keeps, repaired, is reserved */
    (void)code;
}

static err_code check(const engine *g, const engine_request *r, err *e) {
    TRY(sampler_check(&r->sampling, e));
    if (r->n == 0)
        return err_set(e, ERR_USAGE, "the prompt is empty: the model needs at least one token to continue");
    if (r->n > g->o.ctx_tokens)
        return err_set(e, ERR_LIMIT,
                       "the prompt has %zu tokens, the context holds %zu (nothing was cut: give a shorter prompt)",
                       r->n, g->o.ctx_tokens);
    for (size_t i = 0; i < r->n; i++)
        if (r->ids[i] < 0 || (size_t)r->ids[i] >= g->n_vocab)
            return err_set(e, ERR_USAGE, "token %zu of the prompt: id %d is outside the vocabulary (0 to %zu)", i,
                           (int)r->ids[i], g->n_vocab - 1);
    if (r->n_bias > g->n_vocab)
        return err_set(e, ERR_USAGE, "%zu biases for a vocabulary of %zu", r->n_bias, g->n_vocab);
    for (size_t i = 0; i < r->n_bias; i++)
        if (r->bias[i].id < 0 || (size_t)r->bias[i].id >= g->n_vocab || isnan(r->bias[i].logprob))
            return err_set(e, ERR_USAGE, "a bias of %g for token %d (ids are 0 to %zu)", r->bias[i].logprob,
                           (int)r->bias[i].id, g->n_vocab - 1);
    if (r->n_top > ENGINE_TOP_LOGPROBS_MAX)
        return err_set(e, ERR_USAGE, "%zu log probabilities for a token (at most %d)", r->n_top,
                       ENGINE_TOP_LOGPROBS_MAX);
    if (r->n_adapters > MODEL_ADAPTERS_MAX)
        return err_set(e, ERR_USAGE, "%zu adapters (at most %d)", r->n_adapters, MODEL_ADAPTERS_MAX);
    if (r->embedding && (!r->prompt_only || r->prompt_too))
        return err_set(e, ERR_USAGE, "an embedding is of a prompt alone");
    return ERR_OK;
}

static void ticket_free(engine_ticket *q) {
    if (!q)
        return;
    arena_fini(&q->mem);
    free(q);
}

static err_code ticket_fill(engine *g, engine_ticket *q, const engine_request *r, err *e) {
    arena *mem = &q->mem;
    size_t left = g->o.ctx_tokens - r->n;
    q->r = *r;
    q->room = r->prompt_only ? r->n : r->n_max > 0 && r->n_max < left ? r->n + r->n_max : g->o.ctx_tokens;
    q->bytes = model_kv_bytes(g->m, q->room);
    q->n = r->n;
    q->habit = guess_begin();
    q->chosen = UNCHOSEN;
    q->result.n_prompt = r->n;
    atomic_init(&q->cancelled, false);
    ARENA_NEW(mem, q->ids, q->room, e);
    memcpy(q->ids, r->ids, r->n * sizeof *q->ids);
    q->r.ids = q->ids;
    for (size_t i = 0; i < r->n_adapters; i++)
        q->adapters[i] = r->adapters[i];
    q->r.adapters = q->adapters;
    if (r->embedding)
        ARENA_NEW(mem, q->pooled, model_config_of(g->m)->D, e);
    /* The filter checks the stop strings; only then their number is known to be small. */
    TRY(stops_init(&q->filter, r->stop, r->n_stop, take_text, g, e));
    str *stop;
    ARENA_NEW(mem, stop, r->n_stop, e);
    for (size_t i = 0; i < r->n_stop; i++) {
        stop[i] = arena_str(mem, r->stop[i]);
        if (!stop[i].p)
            return arena_short(e, r->stop[i].n, 1);
    }
    q->r.stop = stop;
    engine_scored *bias;
    ARENA_NEW(mem, bias, r->n_bias, e);
    if (r->n_bias > 0)
        memcpy(bias, r->bias, r->n_bias * sizeof *bias);
    q->r.bias = bias;
    /* With what is ours; the prompt's text has no stop strings. */
    return stops_init(&q->filter, stop, r->prompt_too ? 0 : r->n_stop, take_text, g, e);
}

err_code engine_submit(engine *g, const engine_request *r, engine_ticket **ticket, bool *busy, err *e) {
    *ticket = NULL;
    *busy = false;
    TRY(check(g, r, e));
    engine_ticket *q = calloc(1, sizeof *q);
    if (!q)
        return arena_short(e, 1, sizeof *q);
    err_code code = ticket_fill(g, q, r, e);
    if (code != ERR_OK) {
        ticket_free(q);
        return code;
    }
    pthread_mutex_lock(&g->lock);
    bool closing = g->closing;
    *busy = !closing && !r->go_on && g->stats.queued >= g->o.n_queued;
    if (!*busy && !closing) {
        *ticket = q;
        *g->last = q;
        g->last = &q->next;
        g->stats.queued++;
        g->stats.requests++;
        pthread_cond_signal(&g->wake);
    }
    pthread_mutex_unlock(&g->lock);
    if (*ticket)
        return ERR_OK;
    ticket_free(q);
    return closing ? err_set(e, ERR_CANCELLED, "the engine closes") : err_set(e, ERR_LIMIT, "the queue is full");
}

void engine_cancel(engine *g, engine_ticket *ticket) {
    (void)g; /* its thread is awake while there are requests, and looks before each step */
    atomic_store(&ticket->cancelled, true);
}

/* The last words to a request, running or not. Its cache, if any, is the caller's. */
static void say_done(engine *g, engine_ticket *q, err_code code, const err *e) {
    if (q->result.why == STOP_NONE && code == ERR_CANCELLED)
        q->result.why = STOP_CANCELLED;
    if (q->phase == ANSWER)
        q->result.decode_seconds = os_now() - q->begun;
    g->text.n = 0;
    stops_end(&q->filter);
    q->r.on_done(q->r.ctx, &q->result, strbuf_str(&g->text), code, e);
    q->phase = ENDED;
}

static prefix_key key_of(const engine_ticket *q, size_t n) {
    return (prefix_key){q->ids, n, q->adapters, q->r.n_adapters};
}

/* Files of prefixes are of the model alone. */
static const engine_store *store_for(const engine *g, const engine_ticket *q) {
    return q->r.embedding || q->r.n_adapters ? NULL : g->o.store;
}

/* Keeps what was computed for those that come after. */
static void keep(engine *g, engine_ticket *q) {
    const prefix_key key = key_of(q, q->n);
    size_t n = kv_len(q->kv), small = model_kv_bytes(g->m, n ? n : 1);
    g->running_bytes -= q->bytes;
    if (store_for(g, q))
        g->o.store->put(g->o.store->ctx, q->kv, q->ids);
    if (n < SHARE_TOKENS || q->r.embedding) {
        kv_close(q->kv);
    } else if (q->bytes / 2 <= small) {
        prefixes_keep(&g->kept, q->kv, q->bytes, &key);
    } else { /* most of its room was never used */
        kv_cache *kv = NULL;
        while (g->running_bytes + q->bytes + g->kept.bytes + small > g->o.cache_bytes && prefixes_evict(&g->kept, NULL))
            ;
        if (g->running_bytes + q->bytes + g->kept.bytes + small <= g->o.cache_bytes &&
            kv_open_room(&kv, g->m, g->o.ctx_tokens, n, NULL) == ERR_OK) {
            kv_copy(kv, q->kv, n);
            prefixes_keep(&g->kept, kv, small, &key);
        }
        kv_close(q->kv);
    }
    q->kv = NULL;
}

static void finish(engine *g, engine_ticket *q, err_code code, const err *e) {
    err none = {0};
    keep(g, q);
    say_done(g, q, code, e ? e : &none);
}

/* Takes the ended ones out of the list, in order. */
static void sweep(engine *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_running; i++) {
        if (g->running[i]->phase == ENDED)
            ticket_free(g->running[i]);
        else
            g->running[n++] = g->running[i];
    }
    g->n_running = n;
}

/* Ends everything that was cancelled, and at the end (`all`) everything. */
static void drop_cancelled(engine *g, bool all) {
    err e;
    err_set(&e, ERR_CANCELLED, "the request was cancelled");
    engine_ticket *gone = NULL, **end = &gone;
    pthread_mutex_lock(&g->lock);
    for (engine_ticket **at = &g->first; *at;) {
        engine_ticket *q = *at;
        if (!all && !atomic_load(&q->cancelled)) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        q->next = NULL;
        *end = q;
        end = &q->next;
        g->stats.queued--;
    }
    g->last = &g->first;
    while (*g->last)
        g->last = &(*g->last)->next;
    pthread_mutex_unlock(&g->lock);
    while (gone) {
        engine_ticket *q = gone;
        gone = q->next;
        say_done(g, q, ERR_CANCELLED, &e);
        ticket_free(q);
    }
    for (size_t i = 0; i < g->n_running; i++)
        if (all || atomic_load(&g->running[i]->cancelled))
            finish(g, g->running[i], ERR_CANCELLED, &e);
    sweep(g);
}

/* Drops kept prefixes until `bytes` more fit, `but` last of all. */
static bool make_room(engine *g, size_t bytes, const prefix **but) {
    while (g->running_bytes + g->kept.bytes + bytes > g->o.cache_bytes) {
        if (prefixes_evict(&g->kept, *but))
            continue;
        if (!*but)
            return false;
        *but = NULL;
    }
    return true;
}

/* Every position of the prompt is wanted, so each must be computed. */
static bool wants_all(const engine_ticket *q) {
    return q->r.prompt_too || (q->r.embedding && q->r.pooling != POOL_LAST);
}

/* From the store, when that gives much more of the first `most` ids than the `same` that memory has. */
static bool restore(engine *g, engine_ticket *q, size_t most, size_t same) {
    const engine_store *s = q->r.n_adapters ? NULL : g->o.store;
    size_t n = s ? s->find(s->ctx, q->ids, most) : 0;
    if (n < same + STORE_TOKENS || !s->get(s->ctx, q->ids, n, q->kv))
        return false;
    q->result.n_cached = n;
    return true;
}

/* A cache for q, with what a kept prefix gives. Without room until others end: false. */
static bool equip(engine *g, engine_ticket *q, err_code *code, err *e) {
    size_t same = 0, most = wants_all(q) ? 0 : q->r.n - 1; /* the last one's logits are not kept */
    const prefix_key key = key_of(q, most);
    const prefix *from = prefixes_find(&g->kept, &key, &same);
    if (!make_room(g, q->bytes, &from))
        return false;
    while ((*code = kv_open_room(&q->kv, g->m, g->o.ctx_tokens, q->room, e)) == ERR_MEMORY)
        if (!prefixes_evict(&g->kept, from)) {
            if (!from)
                return true;
            from = NULL;
        }
    if (*code == ERR_OK && !restore(g, q, most, same) && from && same >= SHARE_TOKENS) {
        kv_copy(q->kv, from->kv, same);
        q->result.n_cached = same;
    }
    return true;
}

/* Lets requests in, first come first served. */
static void admit(engine *g) {
    while (g->n_running < g->o.n_running) {
        pthread_mutex_lock(&g->lock);
        engine_ticket *q = g->first; /* nobody else takes it away */
        pthread_mutex_unlock(&g->lock);
        err e = {0};
        err_code code = ERR_OK;
        if (!q || !equip(g, q, &code, &e))
            return;
        pthread_mutex_lock(&g->lock);
        g->first = q->next;
        if (!g->first)
            g->last = &g->first;
        g->stats.queued--;
        pthread_mutex_unlock(&g->lock);
        q->begun = os_now();
        if (code != ERR_OK) {
            say_done(g, q, code, &e);
            ticket_free(q);
            continue;
        }
        g->running_bytes += q->bytes;
        g->running[g->n_running++] = q;
    }
}

/* ---- one step ---- */

/* A request that came before q and has computed, or will soon, more of q's prompt than q has: takes over what is there.
 * True: q should wait for the rest. */
static bool lean(engine *g, engine_ticket *q) {
    bool wait = false;
    for (size_t i = 0; i < g->n_running && !wants_all(q); i++) {
        engine_ticket *b = g->running[i];
        if (b == q)
            break;
        if (!adapter_uses_equal(b->adapters, b->r.n_adapters, q->adapters, q->r.n_adapters))
            continue;
        size_t same = prefix_common(b->ids, b->n, q->ids, q->r.n - 1), have = kv_len(q->kv);
        size_t there = same < kv_len(b->kv) ? same : kv_len(b->kv);
        if (there >= have + SHARE_TOKENS) {
            kv_copy(q->kv, b->kv, there);
            q->result.n_cached += there - have;
            have = there;
        }
        wait = wait || (b->phase == PROMPT && same >= have + SHARE_TOKENS);
    }
    return wait;
}

/* Ids that may follow q's, at most `spare`, written after them. */
static size_t guess(const engine *g, engine_ticket *q, size_t spare) {
    size_t left = q->room - q->n, least, wish = guess_wish(&q->habit, &least), most = wish < spare ? wish : spare;
    if (g->o.no_guesses || left < 2 || most == 0)
        return 0;
    return guess_next(q->ids, q->n, least, most < left - 1 ? most : left - 1, q->ids + q->n);
}

/* Of a piece of a prompt. */
static logits_which logits_wanted(const engine_ticket *q, bool last_piece) {
    if (q->r.prompt_too)
        return LOGITS_ALL;
    return last_piece && !q->r.embedding ? LOGITS_LAST : LOGITS_NONE;
}

/* Who computes what in this step: a token of every answer, and pieces of prompts, in turn, as long as rows are left. */
static size_t deal(engine *g) {
    size_t n_shares = 0, n_answers = 0, told = LOGIT_ROWS;
    for (size_t i = 0; i < g->n_running; i++)
        n_answers += g->running[i]->phase == ANSWER;
    size_t spare = n_answers < GUESS_ROWS ? GUESS_ROWS - n_answers : 0;
    for (size_t i = 0; i < g->n_running; i++) {
        engine_ticket *q = g->running[i];
        if (q->phase != ANSWER)
            continue;
        size_t n = guess(g, q, spare);
        g->step[n_shares++] = (share){.q = q, .n = 1 + n, .which = LOGITS_ALL};
        spare -= n;
    }
    size_t rows = n_answers ? FAIR_ROWS : STEP_ROWS;
    g->turn++;
    for (bool dealt = true; dealt && rows > 0;) {
        dealt = false;
        for (size_t k = 0; k < g->n_running && rows > 0; k++) {
            engine_ticket *q = g->running[(g->turn + k) % g->n_running];
            if (q->phase != PROMPT)
                continue;
            share *s = NULL;
            for (size_t i = 0; i < n_shares; i++)
                s = g->step[i].q == q ? &g->step[i] : s;
            if (!s && lean(g, q))
                continue;
            size_t left = q->r.n - kv_len(q->kv) - (s ? s->n : 0), n = left < PIECE_ROWS ? left : PIECE_ROWS;
            n = n < rows ? n : rows;
            if (q->r.prompt_too)
                n = n < told ? n : told;
            if (n == 0)
                continue;
            if (!s) {
                s = &g->step[n_shares++];
                *s = (share){.q = q};
            }
            s->n += n;
            s->which = logits_wanted(q, n == left);
            rows -= n;
            told -= q->r.prompt_too ? n : 0;
            dealt = true;
        }
    }
    return n_shares;
}

/* What the callback is told of a token: its log probability by `logits`, NULL when none stands before it. */
static void tell(engine *g, engine_ticket *q, void (*fn)(void *ctx, const engine_token *t), int32_t id,
                 const float *logits, const score_row *row) {
    engine_scored top[ENGINE_TOP_LOGPROBS_MAX];
    engine_token token = {.token = {.id = id}, .top = top, .text = strbuf_str(&g->text)};
    if (logits) {
        int32_t best[ENGINE_TOP_LOGPROBS_MAX];
        token.token.logprob = score_of(*row, logits[id]);
        token.n_top = score_top(logits, g->n_vocab, q->r.n_top, best);
        for (size_t i = 0; i < token.n_top; i++)
            top[i] = (engine_scored){best[i], score_of(*row, logits[best[i]])};
    }
    if (fn)
        fn(q->r.ctx, &token);
}

/* The text that a token adds goes through the filter into g->text. True: a stop string is complete. */
static err_code add_text(engine *g, engine_ticket *q, size_t i_prev, int32_t id, bool *hit, err *e) {
    *hit = false;
    if (!g->t || id >= tokenizer_n_vocab(g->t)) /* padding rows of the output matrix have no text */
        return ERR_OK;
    g->piece.n = 0;
    TRY(tokenizer_decode_next(g->t, i_prev, id, q->r.special, &g->piece, e));
    *hit = stops_feed(&q->filter, strbuf_str(&g->piece));
    return ERR_OK;
}

/* Tells the prompt's token at n_told; logits: of the position before. */
static err_code tell_prompt(engine *g, engine_ticket *q, const float *logits, err *e) {
    bool hit;
    int32_t id = q->ids[q->n_told];
    g->text.n = 0;
    TRY(add_text(g, q, q->n_told, id, &hit, e));
    if (++q->n_told == q->r.n) {
        stops_end(&q->filter);
        TRY(stops_init(&q->filter, q->r.stop, q->r.n_stop, take_text, g, e));
    }
    score_row row = {0};
    if (logits && (q->r.logprobs || q->r.n_top > 0))
        row = score_logits(logits, g->n_vocab);
    else
        logits = NULL;
    tell(g, q, q->r.on_prompt, id, logits, &row);
    return ERR_OK;
}

/* Clobbers logits. */
static int32_t choose(const engine *g, const engine_ticket *q, float *logits, int part) {
    return sampler_next(g->sampler[part], &q->r.sampling, logits, q->ids, q->n);
}

static bool is_scored(const engine_ticket *q) { return q->r.logprobs || q->r.n_top > 0; }

static void add_bias(const engine_ticket *q, float *logits) {
    for (size_t i = 0; i < q->r.n_bias; i++)
        logits[q->r.bias[i].id] += (float)q->r.bias[i].logprob;
}

/* Appends the next id, as session.c does, and tells it. Clobbers logits. */
static err_code take_token(engine *g, engine_ticket *q, float *logits, err *e) {
    score_row row = {0};
    bool scored = is_scored(q), hit;
    int32_t id = q->chosen;
    if (scored) {
        row = score_logits(logits, g->n_vocab);
        memcpy(g->row, logits, g->n_vocab * sizeof *logits);
    }
    if (id == UNCHOSEN) {
        add_bias(q, logits);
        if (q->r.grammar)
            TRY(constraint_mask(q->r.grammar, logits, g->n_vocab, e));
        id = choose(g, q, logits, 0);
    }
    q->chosen = UNCHOSEN;
    if (id < 0)
        return err_set(e, ERR_FORMAT, "%s: after %zu tokens no logit is a number (is the file damaged?)",
                       model_path(g->m), q->n);
    bool complete = false;
    if (q->r.grammar)
        TRY(constraint_take(q->r.grammar, id, &complete, e));
    q->ids[q->n++] = id;
    q->result.n_generated++;
    if (complete)
        q->result.why = STOP_COMPLETE;
    if (g->t && id < tokenizer_n_vocab(g->t) && tokenizer_is_end(g->t, id) && (!q->r.ignore_end || q->r.grammar))
        q->result.why = STOP_END_TOKEN;
    g->text.n = 0;
    TRY(add_text(g, q, q->n - 1, id, &hit, e));
    if (hit)
        q->result.why = STOP_STRING;
    tell(g, q, q->r.on_token, id, scored ? g->row : NULL, &row);
    return ERR_OK;
}

/* After the logits of the last id: the next token, or the end. */
static err_code answer(engine *g, engine_ticket *q, float *logits, err *e) {
    if (q->phase == PROMPT) {
        double now = os_now();
        q->result.prefill_seconds = now - q->begun;
        q->begun = now;
        q->phase = ANSWER;
    }
    if (q->r.prompt_only)
        q->result.why = STOP_LENGTH;
    else if (q->n == g->o.ctx_tokens)
        q->result.why = STOP_CONTEXT;
    else
        TRY(take_token(g, q, logits, e));
    if (q->result.why == STOP_NONE && q->r.n_max > 0 && q->result.n_generated == q->r.n_max)
        q->result.why = STOP_LENGTH;
    if (q->result.why == STOP_NONE && q->n == g->o.ctx_tokens)
        q->result.why = STOP_CONTEXT;
    return ERR_OK;
}

/* Tokens by the logits after a known id and after the guessed ones that follow it, as long as those come true. */
static err_code settle_answer(engine *g, const share *s, float *logits, err *e) {
    engine_ticket *q = s->q;
    size_t n_right = 0;
    err_code code;
    for (;;) {
        int32_t guessed = q->n < q->room ? q->ids[q->n] : -1;
        code = answer(g, q, logits + n_right * g->n_vocab, e);
        if (code != ERR_OK || n_right + 1 == s->n || q->ids[q->n - 1] != guessed)
            break;
        n_right++;
        if (q->result.why != STOP_NONE || atomic_load(&q->cancelled))
            break;
    }
    kv_truncate(q->kv, s->from + 1 + n_right); /* of wrong guesses nothing stays */
    guess_learn(&q->habit, s->n - 1, n_right);
    return code;
}

/* states f32[n][D] of a piece of the prompt. */
static void pool_states(const engine *g, const share *s, const float *states) {
    const engine_ticket *q = s->q;
    size_t D = model_config_of(g->m)->D;
    for (size_t i = 0; i < s->n; i++)
        pooling_add(q->r.pooling, q->pooled, D, s->from + i, states + i * D);
    if (s->from + s->n == q->r.n)
        pooling_end(q->r.pooling, q->pooled, D, q->r.n, q->r.embedding);
}

static err_code settle_prompt(engine *g, const share *s, float *logits, err *e) {
    engine_ticket *q = s->q;
    size_t from = s->from;
    if (q->r.prompt_too) {
        if (from == 0)
            TRY(tell_prompt(g, q, NULL, e));
        for (size_t i = 0; i < s->n && from + i + 1 < q->r.n; i++)
            TRY(tell_prompt(g, q, logits + i * g->n_vocab, e));
        logits += (s->n - 1) * g->n_vocab;
    }
    return from + s->n < q->r.n ? ERR_OK : answer(g, q, logits, e);
}

static size_t rows_told(const share *s) { return s->which == LOGITS_ALL ? s->n : s->which == LOGITS_LAST ? 1 : 0; }

/* With a large vocabulary the draw takes as long as a layer. The first ids of those whose turn it is are chosen by all
 * threads, each request by one of them; what wants more of the logits than an id waits for settle_answer(). */
static void choose_part(void *ctx, int part, int n_parts) {
    engine *g = ctx;
    float *logits = g->logits;
    for (size_t i = 0, turn = 0; i < g->n_shares; i++) {
        const share *s = &g->step[i];
        engine_ticket *q = s->q;
        bool next = q->phase == ANSWER || (s->which == LOGITS_LAST && !q->r.prompt_only);
        if (next && !is_scored(q) && !q->r.grammar && q->n < g->o.ctx_tokens &&
            (int)(turn++ % (size_t)n_parts) == part) {
            add_bias(q, logits);
            q->chosen = choose(g, q, logits, part);
        }
        logits += rows_told(s) * g->n_vocab;
    }
}

static void step(engine *g) {
    float *states = g->states;
    size_t n_shares = deal(g), prompt_tokens = 0, cached = 0, generated = 0, guessed = 0, right = 0;
    for (size_t i = 0; i < n_shares; i++) {
        share *s = &g->step[i];
        s->from = kv_len(s->q->kv);
        g->parts[i] = (model_part){.kv = s->q->kv, .ids = s->q->ids + s->from, .n = s->n, .which = s->which};
        g->parts[i].adapters = s->q->adapters; /* also none of them */
        g->parts[i].n_adapters = s->q->r.n_adapters;
        if (s->q->r.embedding) {
            g->parts[i].states = states;
            states += s->n * model_config_of(g->m)->D;
        }
    }
    err failed = {0};
    err_code all = model_forward_batch(g->m, g->parts, n_shares, g->logits, &failed);
    g->n_shares = n_shares;
    if (all == ERR_OK && n_shares > 1)
        pool_run(g->o.pool, choose_part, g);
    float *logits = g->logits;
    for (size_t i = 0; i < n_shares; i++) {
        share *s = &g->step[i];
        engine_ticket *q = s->q;
        err e = failed;
        size_t before = q->result.n_generated;
        bool reading = q->phase == PROMPT;
        err_code code = all;
        if (code == ERR_OK && g->parts[i].states)
            pool_states(g, s, g->parts[i].states);
        if (code == ERR_OK)
            code = reading ? settle_prompt(g, s, logits, &e) : settle_answer(g, s, logits, &e);
        prompt_tokens += reading ? s->n : 0;
        if (!reading && s->n > 1) {
            guessed += s->n - 1;
            right += kv_len(q->kv) - s->from - 1;
        }
        if (reading && q->phase == ANSWER) {
            prompt_tokens += q->result.n_cached;
            cached += q->result.n_cached;
        }
        generated += q->result.n_generated - before;
        if (code != ERR_OK || q->result.why != STOP_NONE)
            finish(g, q, code, &e);
        logits += rows_told(s) * g->n_vocab;
    }
    sweep(g);
    pthread_mutex_lock(&g->lock);
    g->stats.steps += n_shares > 0;
    g->stats.prompt_tokens += prompt_tokens;
    g->stats.cached_tokens += cached;
    g->stats.generated_tokens += generated;
    g->stats.guessed_tokens += guessed;
    g->stats.right_tokens += right;
    pthread_mutex_unlock(&g->lock);
}

static void publish(engine *g) {
    pthread_mutex_lock(&g->lock);
    g->stats.running = g->n_running;
    g->stats.cache_bytes = g->running_bytes + g->kept.bytes;
    pthread_mutex_unlock(&g->lock);
}

static void *run(void *ctx) {
    engine *g = ctx;
    for (bool end = false; !end;) {
        pthread_mutex_lock(&g->lock);
        while (!g->closing && !g->first && g->n_running == 0)
            pthread_cond_wait(&g->wake, &g->lock);
        end = g->closing;
        pthread_mutex_unlock(&g->lock);
        drop_cancelled(g, end);
        if (!end) {
            admit(g);
            publish(g);
            step(g);
        }
        publish(g);
    }
    return NULL;
}

/* ---- opening and closing ---- */

static err_code resolve(engine *g, const engine_options *o, err *e) {
    uint64_t memory = os_memory_bytes();
    g->o = *o;
    g->n_vocab = model_config_of(g->m)->V;
    if (g->o.n_running == 0)
        g->o.n_running = RUNNING_DEFAULT;
    if (g->o.n_queued == 0)
        g->o.n_queued = QUEUED_DEFAULT;
    if (g->o.cache_bytes == 0)
        g->o.cache_bytes = memory ? (size_t)(memory / 4) : (size_t)1 << 30;
    if (g->o.n_running > RUNNING_MAX || g->o.n_queued > QUEUED_MAX)
        return err_set(e, ERR_USAGE, "%zu requests at once, %zu in the queue (at most %d and %d)", g->o.n_running,
                       g->o.n_queued, RUNNING_MAX, QUEUED_MAX);
    if (g->o.ctx_tokens > INT32_MAX / 2)
        return err_set(e, ERR_USAGE, "a context of %zu tokens (1 to %d are possible)", g->o.ctx_tokens, INT32_MAX / 2);
    if (g->o.ctx_tokens == 0) {
        size_t made_for = model_config_of(g->m)->ctx_train;
        g->o.ctx_tokens = made_for > 0 && made_for < CTX_DEFAULT ? made_for : CTX_DEFAULT;
        while (g->o.ctx_tokens > 1 && model_kv_bytes(g->m, g->o.ctx_tokens) > g->o.cache_bytes)
            g->o.ctx_tokens /= 2;
    }
    size_t need = model_kv_bytes(g->m, g->o.ctx_tokens);
    if (need > g->o.cache_bytes)
        return err_set(e, ERR_LIMIT,
                       "a context of %zu tokens takes %zu bytes, the cache has %zu (use a smaller context or a larger "
                       "cache)",
                       g->o.ctx_tokens, need, g->o.cache_bytes);
    g->stats.cache_bytes_max = g->o.cache_bytes;
    return ERR_OK;
}

static err_code plan(engine *g, err *e) {
    size_t text = TOK_PIECE_BYTES_MAX + 64;
    ARENA_NEW(&g->mem, g->running, g->o.n_running, e);
    ARENA_NEW(&g->mem, g->step, g->o.n_running, e);
    ARENA_NEW(&g->mem, g->parts, g->o.n_running, e);
    ARENA_NEW(&g->mem, g->logits, (g->o.n_running + LOGIT_ROWS + GUESS_ROWS) * g->n_vocab, e);
    ARENA_NEW(&g->mem, g->row, g->n_vocab, e);
    ARENA_NEW(&g->mem, g->states, STEP_ROWS * model_config_of(g->m)->D, e);
    g->n_samplers = (size_t)pool_threads(g->o.pool);
    if (g->n_samplers > g->o.n_running)
        g->n_samplers = g->o.n_running;
    ARENA_NEW(&g->mem, g->sampler, g->n_samplers, e);
    for (size_t i = 0; i < g->n_samplers; i++)
        TRY(sampler_open(&g->sampler[i], g->n_vocab, e));
    TRY(strbuf_reserve(&g->piece, text, e));
    /* A byte that is no UTF-8 becomes three. */
    return strbuf_reserve(&g->text, 3 * (text + STOPS_BUFFER_BYTES), e);
}

/* Signals are for the threads of the program. */
static err_code start(engine *g, err *e) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&g->thread, NULL, run, g);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return err_set(e, ERR_IO, "no thread for the engine: %s", strerror(failed));
    g->started = true;
    return ERR_OK;
}

err_code engine_open(engine **out, model *m, const tokenizer *t, const engine_options *o, err *e) {
    *out = NULL;
    engine *g = calloc(1, sizeof *g);
    if (!g)
        return arena_short(e, 1, sizeof *g);
    g->m = m;
    g->t = t;
    g->last = &g->first;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
    err_code code = resolve(g, o, e);
    if (code == ERR_OK)
        code = plan(g, e);
    if (code == ERR_OK)
        code = start(g, e);
    if (code != ERR_OK) {
        engine_close(g);
        return code;
    }
    *out = g;
    return ERR_OK;
}

void engine_close(engine *g) {
    if (!g)
        return;
    if (g->started) {
        pthread_mutex_lock(&g->lock);
        g->closing = true;
        pthread_cond_signal(&g->wake);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->thread, NULL);
    }
    prefixes_fini(&g->kept);
    for (size_t i = 0; g->sampler && i < g->n_samplers; i++)
        sampler_close(g->sampler[i]);
    strbuf_fini(&g->piece);
    strbuf_fini(&g->text);
    arena_fini(&g->mem);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void engine_stats_get(engine *g, engine_stats *out) {
    pthread_mutex_lock(&g->lock);
    *out = g->stats;
    pthread_mutex_unlock(&g->lock);
}

const model *engine_model(const engine *g) { return g->m; }
size_t engine_ctx(const engine *g) { return g->o.ctx_tokens; }
