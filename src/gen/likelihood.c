/* likelihood: see likelihood.h. */
#include "gen/likelihood.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "gen/score.h"

enum { LOGITS_BYTES_MAX = 64 << 20, CHUNK_TOKENS = 512 };

struct likelihood {
    model *m;
    pool *pool;
    kv_cache *kv;
    arena mem;
    size_t n_vocab, chunk, ctx;
    float *logits;         /* f32[chunk][V] */
    int32_t *ids;          /* [ctx + 1] what stands in the cache, and maybe one more */
    size_t n_rows;         /* of the chunk being scored */
    const int32_t *target; /* [n_rows] */
    double *out;           /* [n_rows] */
};

err_code likelihood_open(likelihood **out, model *m, pool *p, size_t ctx_tokens, err *e) {
    *out = NULL;
    likelihood *k = calloc(1, sizeof *k);
    if (!k)
        return arena_short(e, 1, sizeof *k);
    *k = (likelihood){.m = m, .pool = p, .n_vocab = model_config_of(m)->V, .ctx = ctx_tokens};
    k->chunk = LOGITS_BYTES_MAX / sizeof(float) / k->n_vocab;
    k->chunk = k->chunk < 1 ? 1 : k->chunk > CHUNK_TOKENS ? CHUNK_TOKENS : k->chunk;
    k->chunk = k->chunk > ctx_tokens ? ctx_tokens : k->chunk;
    k->logits = arena_alloc(&k->mem, k->chunk * k->n_vocab, sizeof *k->logits);
    k->ids = arena_alloc(&k->mem, ctx_tokens + 1, sizeof *k->ids);
    err_code code =
        k->logits && k->ids ? kv_open(&k->kv, m, ctx_tokens, e) : arena_short(e, k->chunk, k->n_vocab * sizeof(float));
    if (code == ERR_OK)
        *out = k;
    else
        likelihood_close(k);
    return code;
}

void likelihood_close(likelihood *k) {
    if (!k)
        return;
    kv_close(k->kv);
    arena_fini(&k->mem);
    free(k);
}

static void score_part(void *ctx, int part, int n_parts) {
    likelihood *k = ctx;
    size_t from, to;
    pool_share(k->n_rows, 1, part, n_parts, &from, &to);
    for (size_t i = from; i < to; i++) {
        const float *row = k->logits + i * k->n_vocab;
        k->out[i] = score_of(score_logits(row, k->n_vocab), row[k->target[i]]);
    }
}

/* Makes the cache hold ids[0, n): what it has of them stays. */
static err_code read_before(likelihood *k, const int32_t *ids, size_t n, err *e) {
    size_t same = 0, had = kv_len(k->kv);
    while (same < n && same < had && k->ids[same] == ids[same])
        same++;
    kv_truncate(k->kv, same);
    memcpy(k->ids, ids, n * sizeof *ids);
    for (size_t i = same, m; i < n; i += m) {
        m = n - i < CHUNK_TOKENS ? n - i : CHUNK_TOKENS;
        TRY(model_forward(k->m, k->kv, ids + i, m, LOGITS_NONE, NULL, e));
    }
    return ERR_OK;
}

err_code likelihood_of(likelihood *k, const int32_t *ids, size_t n, size_t from, double *out, err *e) {
    if (n > k->ctx + 1)
        return err_set(e, ERR_LIMIT, "%zu tokens are more than the context of %zu", n, k->ctx);
    for (size_t i = from; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= k->n_vocab)
            return err_set(e, ERR_USAGE, "id %d is not in the vocabulary of %zu", (int)ids[i], k->n_vocab);
    TRY(read_before(k, ids, from - 1, e));
    for (size_t i = from - 1; i + 1 < n; i += k->n_rows) {
        k->n_rows = n - 1 - i < k->chunk ? n - 1 - i : k->chunk;
        k->target = ids + i + 1;
        k->out = out + (i + 1 - from);
        memcpy(k->ids + i, ids + i, k->n_rows * sizeof *ids);
        TRY(model_forward(k->m, k->kv, ids + i, k->n_rows, LOGITS_ALL, k->logits, e));
        pool_run(k->pool, score_part, k);
    }
    return ERR_OK;
}
