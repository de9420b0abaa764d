/* order: see order.h. An epoch is a permutation and the running sum of its documents' tokens. */
#include "train/order.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    hash256 key;
    uint32_t doc;
} keyed;

typedef struct {
    bool there;
    uint64_t epoch, used;
    uint32_t *doc;  /* [n] by rank */
    uint64_t *from; /* [n + 1] tokens before each rank */
} sorted;

struct order {
    uint64_t seed, tokens, turn;
    const hash256 *sha256;
    const uint32_t *n_tokens;
    size_t n;
    pool *pool;
    keyed *keyed; /* [n] while sorting */
    sorted kept[2];
};

static void put_u64(uint8_t *to, uint64_t x) {
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(x >> 8 * i);
}

static hash256 prf(uint64_t seed, uint64_t epoch, hash256 sha256) {
    uint8_t text[10 + 8 + 8 + 32] = "loam order";
    put_u64(text + 10, seed);
    put_u64(text + 18, epoch);
    memcpy(text + 26, sha256.byte, 32);
    return hash_of(text, sizeof text);
}

static int by_key(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    int c = memcmp(x->key.byte, y->key.byte, sizeof x->key.byte);
    return c ? c : (x->doc > y->doc) - (x->doc < y->doc);
}

err_code order_open(order **out, uint64_t seed, const hash256 *sha256, const uint32_t *n_tokens, size_t n, pool *p,
                    err *e) {
    *out = NULL;
    if (n < 1 || n > ORDER_DOCS_MAX)
        return err_set(e, ERR_LIMIT, "%zu documents to train on, must be 1 to %d", n, ORDER_DOCS_MAX);
    order *o = calloc(1, sizeof *o);
    if (o)
        o->keyed = calloc(n, sizeof *o->keyed);
    for (int i = 0; o && i < 2; i++) {
        o->kept[i].doc = calloc(n, sizeof *o->kept[i].doc);
        o->kept[i].from = calloc(n + 1, sizeof *o->kept[i].from);
    }
    if (!o || !o->keyed || !o->kept[0].doc || !o->kept[0].from || !o->kept[1].doc || !o->kept[1].from) {
        order_close(o);
        return err_set(e, ERR_MEMORY, "no memory for the order of %zu documents", n);
    }
    o->seed = seed;
    o->sha256 = sha256;
    o->n_tokens = n_tokens;
    o->n = n;
    o->pool = p;
    for (size_t i = 0; i < n; i++) {
        assert(n_tokens[i] > 0);
        o->tokens += n_tokens[i];
    }
    *out = o;
    return ERR_OK;
}

void order_close(order *o) {
    if (!o)
        return;
    for (int i = 0; i < 2; i++) {
        free(o->kept[i].doc);
        free(o->kept[i].from);
    }
    free(o->keyed);
    free(o);
}

uint64_t order_epoch_tokens(const order *o) { return o->tokens; }

typedef struct {
    uint64_t seed, epoch;
    const hash256 *sha256;
    size_t n;
    keyed *keyed; /* [n] */
} sorting;

static void hash_docs(void *ctx, int part, int n_parts) {
    const sorting *s = ctx;
    size_t from, to;
    pool_share(s->n, 64, part, n_parts, &from, &to);
    for (size_t i = from; i < to; i++)
        s->keyed[i] = (keyed){prf(s->seed, s->epoch, s->sha256[i]), (uint32_t)i};
}

static void sort_docs(sorting *s, pool *p) {
    pool_run(p, hash_docs, s);
    qsort(s->keyed, s->n, sizeof *s->keyed, by_key);
}

err_code order_ranks(uint64_t seed, uint64_t epoch, const hash256 *sha256, size_t n, pool *p, uint32_t *doc, err *e) {
    keyed *keys = calloc(n + 1, sizeof *keys);
    if (!keys)
        return err_set(e, ERR_MEMORY, "no memory for the order of %zu documents", n);
    sort_docs(&(sorting){seed, epoch, sha256, n, keys}, p);
    for (size_t r = 0; r < n; r++)
        doc[r] = keys[r].doc;
    free(keys);
    return ERR_OK;
}

static const sorted *epoch_of(order *o, uint64_t number) {
    sorted *x = &o->kept[0];
    o->turn++;
    for (int i = 0; i < 2; i++) {
        if (o->kept[i].there && o->kept[i].epoch == number) {
            o->kept[i].used = o->turn;
            return &o->kept[i];
        }
        if (o->kept[i].used < x->used)
            x = &o->kept[i];
    }
    sort_docs(&(sorting){o->seed, number, o->sha256, o->n, o->keyed}, o->pool);
    for (size_t r = 0; r < o->n; r++) {
        x->doc[r] = o->keyed[r].doc;
        x->from[r + 1] = x->from[r] + o->n_tokens[x->doc[r]];
    }
    x->there = true;
    x->epoch = number;
    x->used = o->turn;
    return x;
}

void order_find(order *o, uint64_t pos, order_place *out) {
    const sorted *x = epoch_of(o, pos / o->tokens);
    uint64_t within = pos % o->tokens;
    size_t lo = 0, hi = o->n; /* from[lo] <= within < from[hi] */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (x->from[mid] <= within)
            lo = mid;
        else
            hi = mid;
    }
    *out = (order_place){x->epoch, (uint32_t)lo, x->doc[lo], within - x->from[lo]};
}

void order_next(order *o, order_place *p) {
    if (++p->rank == o->n) {
        p->rank = 0;
        p->epoch++;
    }
    p->doc = epoch_of(o, p->epoch)->doc[p->rank];
    p->at = 0;
}

uint64_t order_position(order *o, uint32_t doc, uint64_t number) {
    assert(doc < o->n);
    const sorted *x = epoch_of(o, number);
    size_t r = 0;
    while (x->doc[r] != doc)
        r++;
    return number * o->tokens + x->from[r];
}
