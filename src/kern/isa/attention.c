/* attention: softmax(q.k * scale) v over a cache, in chunks of KERN_ATTN_CHUNK positions.
 *
 * Chunks begin at multiples of KERN_ATTN_CHUNK, whatever the query sees; those that it sees nothing of are skipped.
 * For a query that sees [lo, hi) of a chunk, with positions j ascending:
 *   s[j] = fma chain over the head width of q[d] * k[j][d], from +0; times scale; then the cap if there is one
 *   m    = max of s[j], lanes j mod 16 over ascending blocks, then the tree
 *   p[j] = exp(s[j] - m);  z = sum of p[j], lanes j mod 16 over ascending blocks, then the tree
 *   o[d] = fma chain over j of p[j] * v[j][d], from +0
 * and the chunk folds into the running M, Z, O, which start at -infinity, +0, +0:
 *   M' = max(m, M);  a = exp(M - M');  b = exp(m - M')
 *   Z' = fma(Z, a, z * b);  O'[d] = fma(O[d], a, o[d] * b)
 * The result is O[d] / Z. Nothing depends on which other queries share the tile: a position that a query
 * does not see takes no part in its chains.
 */
#include <string.h>

#include "kern/isa/func.h"
#include "kern/isa/isa.h"
#include "kern/isa/product.h"

enum { CHUNK = KERN_ATTN_CHUNK };

/* Scratch: the tile's queries transposed, their scores, values of the chunk, running sums. */
typedef struct {
    float *q;   /* f32[K][T] */
    float *s;   /* f32[T][CHUNK] scores, then weights */
    float *o;   /* f32[T][W] chunk's values, W = K rounded up to 16 */
    float *sum; /* f32[T][W] running O */
    size_t W;
} work;

V16_FN v16 load_kv(bool f16, const void *p, size_t at) {
    return f16 ? v16_load_f16((const uint16_t *)p + at) : v16_load((const float *)p + at);
}

/* Scores of T queries against the 16 keys of panel `i_panel`. */
V16_FN void scores(const int T, bool f16, const void *k, size_t width, size_t i_panel, const float *q, float *s) {
    v16 acc[16];
    FOR_ROWS(t, T) acc[t] = v16_zero();
    size_t base = i_panel * 16 * width;
    for (size_t d = 0; d < width; d++, q += T) {
        v16 key = load_kv(f16, k, base + 16 * d);
        FOR_ROWS(t, T) acc[t] = v16_fma(v16_set1(q[t]), key, acc[t]);
    }
    FOR_ROWS(t, T) v16_store(s + t * CHUNK, acc[t]);
}

/* Continues the value chains of T queries over positions [from, to) of the chunk; p, o: first query's. */
V16_FN void values(const int T, bool f16, const void *v, size_t stride, size_t from, size_t to, const float *p,
                   float *o, size_t W) {
    for (size_t d = 0; d < W; d += 16) {
        v16 acc[16];
        FOR_ROWS(t, T) acc[t] = v16_load(o + (size_t)t * W + d);
        for (size_t j = from; j < to; j++) {
            v16 value = load_kv(f16, v, j * stride + d);
            FOR_ROWS(t, T) acc[t] = v16_fma(v16_set1(p[t * CHUNK + (int)j]), value, acc[t]);
        }
        FOR_ROWS(t, T) v16_store(o + (size_t)t * W + d, acc[t]);
    }
}

/* Softmax of one query's scores in [lo, hi) of the chunk, in place: weights, and zeros elsewhere. */
V16_FN void softmax(float *s, size_t lo, size_t hi, const kern_attn *a, float *max, float *sum) {
    v16 scale = v16_set1(a->scale), cap = v16_set1(a->softcap), top = v16_set1(-__builtin_inff()), inf = top;
    for (size_t i = lo & ~(size_t)15; i < hi; i += 16) {
        v16 x = v16_mul(v16_load(s + i), scale);
        if (a->softcap != 0.0f)
            x = v16_mul(cap, func_tanh(v16_div(x, cap)));
        if (i + 16 > hi)
            x = v16_sel(v16_first(hi - i), x, inf);
        if (i < lo)
            x = v16_sel(v16_first(lo - i), inf, x);
        v16_store(s + i, x);
        top = v16_max(x, top);
    }
    *max = v16_hmax(top);
    v16 m = v16_set1(*max), z = v16_zero();
    for (size_t i = lo & ~(size_t)15; i < hi; i += 16) {
        v16 p = func_exp(v16_sub(v16_load(s + i), m));
        if (i + 16 > hi)
            p = v16_sel(v16_first(hi - i), p, v16_zero());
        if (i < lo)
            p = v16_sel(v16_first(lo - i), v16_zero(), p);
        v16_store(s + i, p);
        z = v16_add(z, p);
    }
    *sum = v16_sum(z);
}

V16_FN float exp_one(float x) {
    float lane[16];
    v16_store(lane, func_exp(v16_set1(x)));
    return lane[0];
}

V16_FN void fold(const float *o, float *sum, size_t W, float m, float z, float *M, float *Z) {
    float top = m > *M ? m : *M, a = exp_one(*M - top), b = exp_one(m - top);
    *Z = __builtin_fmaf(*Z, a, z * b);
    *M = top;
    v16 va = v16_set1(a), vb = v16_set1(b);
    for (size_t d = 0; d < W; d += 16)
        v16_store(sum + d, v16_fma(v16_load(sum + d), va, v16_mul(v16_load(o + d), vb)));
}

static size_t clamp(size_t x, size_t lo, size_t hi) { return x < lo ? lo : x > hi ? hi : x; }

V16_FN void attend(const int T, const bool f16, const kern_kv *kv, const kern_attn *a, const kern_query *query,
                   const work *w) {
    float M[16], Z[16];
    size_t first = SIZE_MAX, last = 0;
    for (int t = 0; t < T; t++) {
        M[t] = -__builtin_inff();
        Z[t] = 0.0f;
        first = query[t].lo < first ? query[t].lo : first;
        last = query[t].hi > last ? query[t].hi : last;
        for (size_t d = 0; d < kv->width; d++)
            w->q[d * (size_t)T + (size_t)t] = query[t].q[d];
        memset(w->sum + (size_t)t * w->W, 0, w->W * sizeof(float));
    }
    size_t elem = f16 ? 2 : 4;
    for (size_t at = first / CHUNK * CHUNK; at < last; at += CHUNK) {
        size_t lo[16], hi[16], all_lo = 0, all_hi = CHUNK, any_lo = CHUNK, any_hi = 0;
        for (int t = 0; t < T; t++) {
            lo[t] = clamp(query[t].lo, at, at + CHUNK) - at;
            hi[t] = clamp(query[t].hi, at, at + CHUNK) - at;
            all_lo = lo[t] > all_lo ? lo[t] : all_lo;
            all_hi = hi[t] < all_hi ? hi[t] : all_hi;
            any_lo = lo[t] < any_lo ? lo[t] : any_lo;
            any_hi = hi[t] > any_hi ? hi[t] : any_hi;
        }
        for (size_t i = any_lo / 16; i * 16 < any_hi; i++)
            scores(T, f16, kv->k, kv->width, at / 16 + i, w->q, w->s + 16 * i);
        const void *v = (const uint8_t *)kv->v + at * kv->v_stride * elem;
        float m[16], z[16];
        memset(w->o, 0, (size_t)T * w->W * sizeof(float));
        bool shared = T > 1 && all_lo < all_hi; /* positions that all queries see go through together */
        for (int t = 0; t < T; t++) {
            if (lo[t] >= hi[t])
                continue;
            softmax(w->s + t * CHUNK, lo[t], hi[t], a, &m[t], &z[t]);
            values(1, f16, v, kv->v_stride, lo[t], shared ? all_lo : hi[t], w->s + t * CHUNK, w->o + (size_t)t * w->W,
                   w->W);
        }
        if (shared) {
            values(T, f16, v, kv->v_stride, all_lo, all_hi, w->s, w->o, w->W);
            for (int t = 0; t < T; t++)
                values(1, f16, v, kv->v_stride, all_hi, hi[t], w->s + t * CHUNK, w->o + (size_t)t * w->W, w->W);
        }
        for (int t = 0; t < T; t++)
            if (lo[t] < hi[t])
                fold(w->o + (size_t)t * w->W, w->sum + (size_t)t * w->W, w->W, m[t], z[t], &M[t], &Z[t]);
    }
    for (int t = 0; t < T; t++) {
        v16 z = v16_set1(Z[t]);
        const float *sum = w->sum + (size_t)t * w->W;
        if (query[t].stat) {
            query[t].stat[0] = M[t];
            query[t].stat[1] = Z[t];
        }
        for (size_t d = 0; d < kv->width; d += 16)
            chain_store(query[t].out + d, v16_div(v16_load(sum + d), z), kv->width - d < 16 ? kv->width - d : 16);
    }
}

#define ATTEND(type, T)                                                                                          \
    static void attend_##type##_##T(const kern_kv *kv, const kern_attn *a, const kern_query *q, const work *w) { \
        attend(T, type, kv, a, q, w);                                                                            \
    }
V16_TILES_FLOAT(ATTEND, false)
V16_TILES_FLOAT(ATTEND, true)

void KERN_FN(attention)(const kern_kv *kv, const kern_attn *a, const kern_query *query, int n, void *scratch) {
    work w = {.W = (kv->width + 15) & ~(size_t)15};
    w.q = scratch;
    w.s = w.q + KERN_ATTN_TILE_MAX * w.W;
    w.o = w.s + KERN_ATTN_TILE_MAX * CHUNK;
    w.sum = w.o + KERN_ATTN_TILE_MAX * w.W;
#define RUN(type, rows)                 \
    if (kv->f16 == type && T == (rows)) \
        attend_##type##_##rows(kv, a, query + at, &w);
    for (size_t at = 0, T; at < (size_t)n; at += T) {
        T = kern_tile(V16_TILE_FLOAT, at, (size_t)n);
        V16_TILES_FLOAT(RUN, false)
        V16_TILES_FLOAT(RUN, true)
    }
}
