/* attention_back: gradients of one head's attention, in blocks of 64 queries and 64 keys.
 *
 * For query t and each position j that it sees, with s as in the forward pass (the chain of q*k, times scale), M and
 * Z of the query, and D = sum of dout*out by lanes:
 *   c = s, or with a soft cap u = tanh(s / cap), c = cap * u
 *   p  = exp(c - M) * (1 / Z);          dp = chain over d of dout[d] * v[j][d], from +0
 *   ds = p * (dp - D);   with a cap ds = ds * fma(-u, u, 1);   ds = ds * scale
 * and then, all from +0, chains over the positions that see or are seen, ascending:
 *   dq[d] over j of ds * k[j][d];   dk[j][d] over t of ds * q[t][d];   dv[j][d] over t of p * dout[t][d]
 * Query heads that share a key's head go one after another through the chains of dk and dv.
 */
#include "kern/isa/func.h"
#include "kern/isa/isa.h"
#include "kern/isa/product.h"

enum { BLOCK = KERN_ATTN_CHUNK };

/* acc[i] over [from, to) of a[i][k] * b[k][16], continuing c. */
V16_FN void run(const int T, const float *a, size_t a_row, size_t a_k, const float *b, size_t b_k, size_t from,
                size_t to, float *c, size_t c_row, size_t lanes, bool first) {
    v16 acc[16];
    FOR_ROWS(i, T) acc[i] = chain_load(c + (size_t)i * c_row, lanes, first);
    a += from * a_k;
    b += from * b_k;
    for (size_t k = from; k < to; k++, a += a_k, b += b_k) {
        v16 w = v16_load(b);
        FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(a[(size_t)i * a_row]), w, acc[i]);
    }
    FOR_ROWS(i, T) chain_store(c + (size_t)i * c_row, acc[i], lanes);
}

/* Scores: rows of T queries (a f32[T][stride]) against the 16 positions of a panel [K][16]. */
#define SCORES(type, T)                                                                                 \
    static void scores_##T(const float *a, size_t stride, const float *panel, size_t width, float *s) { \
        run(T, a, stride, 1, panel, 16, 0, width, s, BLOCK, 16, true);                                  \
    }
V16_TILES_FLOAT(SCORES, )

/* What T rows of outputs add up: row i takes k in [lo[i], hi[i]). Steps that all rows take go together. */
typedef struct {
    const float *a, *b;
    float *c;
    size_t a_row, a_k, b_k, c_row, width;
} sums;
V16_FN void ranged(const int T, const sums *u, const size_t *lo, const size_t *hi) {
    size_t from = lo[0], to = hi[0];
    for (int i = 1; i < T; i++) {
        from = lo[i] > from ? lo[i] : from;
        to = hi[i] < to ? hi[i] : to;
    }
    bool shared = T > 1 && from < to;
    for (size_t d = 0; d < u->width; d += 16) {
        size_t lanes = u->width - d < 16 ? u->width - d : 16;
        for (int i = 0; i < T; i++)
            if (lo[i] < (shared ? from : hi[i]))
                run(1, u->a + (size_t)i * u->a_row, u->a_row, u->a_k, u->b + d, u->b_k, lo[i], shared ? from : hi[i],
                    u->c + (size_t)i * u->c_row + d, u->c_row, lanes, false);
        if (!shared)
            continue;
        run(T, u->a, u->a_row, u->a_k, u->b + d, u->b_k, from, to, u->c + d, u->c_row, lanes, false);
        for (int i = 0; i < T; i++)
            if (to < hi[i])
                run(1, u->a + (size_t)i * u->a_row, u->a_row, u->a_k, u->b + d, u->b_k, to, hi[i],
                    u->c + (size_t)i * u->c_row + d, u->c_row, lanes, false);
    }
}
/* over: a's rows are [k][BLOCK] apart or BLOCK apart: both strides are constants in each function. */
#define RANGED(type, T)                                                               \
    static void over_keys_##T(const sums *u, const size_t *lo, const size_t *hi) {    \
        sums v = *u;                                                                  \
        v.a_row = BLOCK;                                                              \
        v.a_k = 1;                                                                    \
        ranged(T, &v, lo, hi);                                                        \
    }                                                                                 \
    static void over_queries_##T(const sums *u, const size_t *lo, const size_t *hi) { \
        sums v = *u;                                                                  \
        v.a_row = 1;                                                                  \
        v.a_k = BLOCK;                                                                \
        ranged(T, &v, lo, hi);                                                        \
    }
V16_TILES_FLOAT(RANGED, )

/* Calls name_T(...) for the tile that begins at row i of n; gives T. */
#define CASE(name, rows) \
    if (T == (rows))     \
        name##_##rows ARGS;

typedef struct {
    const kern_attn_back *b;
    const kern_attn *a;
    float *p, *ds;         /* f32[BLOCK][BLOCK]: scores and dp first */
    size_t i0, j0, ni, nj; /* queries i0.., keys j0.. */
} block;

static size_t within(size_t x, size_t from, size_t n) { return x < from ? 0 : x - from > n ? n : x - from; }

/* Keys of the block that query i sees, and queries that see key j, counted from the block's first. */
static void seen_keys(const block *x, size_t i, size_t *lo, size_t *hi) {
    size_t end = x->i0 + i + 1, w = x->b->window;
    *lo = within(w && end > w ? end - w : 0, x->j0, x->nj);
    *hi = within(end, x->j0, x->nj);
}
static void seeing_queries(const block *x, size_t j, size_t *lo, size_t *hi) {
    size_t at = x->j0 + j, w = x->b->window;
    *lo = within(at, x->i0, x->ni);
    *hi = w ? within(at + w, x->i0, x->ni) : x->ni;
}

/* p and ds of one query from its scores and dp. */
static void weights(const block *x, size_t i) {
    const kern_attn *a = x->a;
    const kern_attn_back *b = x->b;
    size_t t = x->i0 + i, lo, hi;
    seen_keys(x, i, &lo, &hi);
    const float *stat = b->stat + 2 * t * b->stat_stride;
    float *p = x->p + i * BLOCK, *ds = x->ds + i * BLOCK;
    v16 scale = v16_set1(a->scale), cap = v16_set1(a->softcap), one = v16_set1(1.0f);
    v16 m = v16_set1(stat[0]), inverse = v16_set1(1.0f / stat[1]), delta = v16_set1(b->delta[t * b->stat_stride]);
    for (size_t j = lo & ~(size_t)15; j < hi; j += 16) {
        v16 s = v16_mul(v16_load(p + j), scale), slope = one;
        if (a->softcap != 0.0f) {
            v16 u = func_tanh(v16_div(s, cap));
            s = v16_mul(cap, u);
            slope = v16_fnma(u, u, one);
        }
        v16 w = v16_mul(func_exp(v16_sub(s, m)), inverse);
        v16 g = v16_mul(w, v16_sub(v16_load(ds + j), delta));
        if (a->softcap != 0.0f)
            g = v16_mul(g, slope);
        v16_store(p + j, w);
        v16_store(ds + j, v16_mul(g, scale));
    }
}

static void one_block(const block *x, int which) {
    const kern_attn_back *b = x->b;
    size_t lo[16], hi[16], all_lo = BLOCK, all_hi = 0;
    for (size_t i = 0; i < x->ni; i++) {
        seen_keys(x, i, lo, hi);
        if (lo[0] < hi[0]) {
            all_lo = lo[0] < all_lo ? lo[0] : all_lo;
            all_hi = hi[0] > all_hi ? hi[0] : all_hi;
        }
    }
    if (all_lo >= all_hi)
        return;
    for (size_t j = all_lo & ~(size_t)15; j < all_hi; j += 16) {
        const float *k = b->k_panels + (x->j0 + j) * b->width, *v = b->v_panels + (x->j0 + j) * b->width;
        for (size_t i = 0, T; i < x->ni; i += T) {
            const float *q = b->q + (x->i0 + i) * b->q_stride, *dout = b->dout + (x->i0 + i) * b->q_stride;
            T = kern_tile(V16_TILE_FLOAT, i, x->ni);
            seen_keys(x, i, lo, hi);
            seen_keys(x, i + T - 1, lo + 1, hi + 1);
            if (j >= hi[1] || j + 16 <= lo[0]) /* no row of the tile sees any of these */
                continue;
#define ARGS (q, b->q_stride, k, b->width, x->p + i * BLOCK + j)
            V16_TILES_FLOAT(CASE, scores)
#undef ARGS
#define ARGS (dout, b->q_stride, v, b->width, x->ds + i * BLOCK + j)
            V16_TILES_FLOAT(CASE, scores)
#undef ARGS
        }
    }
    for (size_t i = 0; i < x->ni; i++)
        weights(x, i);
    if (which & KERN_BACK_Q)
        for (size_t i = 0, T; i < x->ni; i += T) {
            T = kern_tile(V16_TILE_FLOAT, i, x->ni);
            for (size_t r = 0; r < T; r++)
                seen_keys(x, i + r, &lo[r], &hi[r]);
            sums u = {.a = x->ds + i * BLOCK,
                      .b = b->k + x->j0 * b->kv_stride,
                      .b_k = b->kv_stride,
                      .c = b->dq + (x->i0 + i) * b->q_stride,
                      .c_row = b->q_stride,
                      .width = b->width};
#define ARGS (&u, lo, hi)
            V16_TILES_FLOAT(CASE, over_keys)
        }
    if (which & KERN_BACK_KV)
        for (size_t j = 0, T; j < x->nj; j += T) {
            T = kern_tile(V16_TILE_FLOAT, j, x->nj);
            for (size_t r = 0; r < T; r++)
                seeing_queries(x, j + r, &lo[r], &hi[r]);
            sums u = {.a = x->ds + j,
                      .b = b->q + x->i0 * b->q_stride,
                      .b_k = b->q_stride,
                      .c = b->dk + (x->j0 + j) * b->kv_stride,
                      .c_row = b->kv_stride,
                      .width = b->width};
            V16_TILES_FLOAT(CASE, over_queries)
            u.a = x->p + j;
            u.b = b->dout + x->i0 * b->q_stride;
            u.c = b->dv + (x->j0 + j) * b->kv_stride;
            V16_TILES_FLOAT(CASE, over_queries)
#undef ARGS
        }
}

void KERN_FN(attention_back)(const kern_attn_back *b, const kern_attn *a, int which, size_t q_from, size_t q_to,
                             size_t k_from, size_t k_to, void *scratch) {
    block x = {.b = b, .a = a, .p = scratch};
    x.ds = x.p + BLOCK * BLOCK;
    for (x.j0 = k_from; x.j0 < k_to; x.j0 += BLOCK) {
        x.nj = k_to - x.j0 < BLOCK ? k_to - x.j0 : BLOCK;
        for (x.i0 = q_from > x.j0 ? q_from : x.j0; x.i0 < q_to; x.i0 += BLOCK) {
            if (b->window && x.i0 + 1 > x.j0 + x.nj - 1 + b->window) /* none of these keys is near enough */
                break;
            x.ni = q_to - x.i0 < BLOCK ? q_to - x.i0 : BLOCK;
            one_block(&x, which);
        }
    }
}
