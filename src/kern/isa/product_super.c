/* product_super: weights in super-blocks of 256 (Q2_K .. Q6_K) times activations quantised by 256.
 *
 * For each super-block, ascending, with exact integers over its sub-blocks s:
 *   dots = sum over s of sc[s] * (sum over the sub-block of xq * (wq - offset))
 *   mins = sum over s of m[s] * (sum over the sub-block of xq)
 *   y = fma((float)dots, dx * d, y)
 *   y = fma(-(float)mins, dx * dmin, y)      Q2_K, Q4_K, Q5_K only
 *
 * The offset of Q3_K and Q6_K (4, 32) is taken out as offset * sum of sc[s] * (sum of xq), which is the
 * same integer. |dots| < 2^29.
 */
#include "kern/isa/chunk.h"

V16_FN void tile(chunk_format f, const int T, const chunk *c, const int32_t *x, chunk_ahead *ahead,
                 v16 *restrict chain) {
    const int groups = f.sub / 4, subs = 256 / f.sub, run = V16_RUN(f.top) < groups ? V16_RUN(f.top) : groups;
    const float *dx = (const float *)x;
    const int32_t *xq = x + T, *sums = x + (f.sub == 16 ? 65 : 73) * T;
    SUMS(dots);
    FOR_ROWS(i, T) SUM_PUT(dots, i, v16i_set1(0));
    for (int s = 0; s < subs; s++, xq += groups * T) {
        v16i factor = v16i_load(c->factor[s]);
        chunk_ask(ahead);
        const uint8_t(*w)[64] = c->q + s * groups;
        UNROLL for (int r = 0; r < groups; r += run) {
            v16h h[16];
            FOR_ROWS(i, T) h[i] = v16h_begin(v16i_set1(0));
            UNROLL for (int g = r; g < r + run; g++) {
                v16i q = v16i_load(w[g]);
                FOR_ROWS(i, T) h[i] = v16h_dot(h[i], q, xq[g * T + i]);
            }
            FOR_ROWS(i, T) SUM_PUT(dots, i, v16h_end_scaled(h[i], SUM_GET(dots, i), factor));
        }
    }
    v16 d = v16_load(c->d[0]), dmin = f.mins ? v16_load(c->d[1]) : v16_zero();
    FOR_ROWS(i, T) {
        v16i mins = v16i_set1(0), sum = SUM_GET(dots, i);
        for (int p = 0; p < subs / 2; p++)
            mins = v16i_dot_s16(mins, v16i_load(c->pair[p]), sums[p * T + i]);
        if (!f.mins)
            sum = v16i_sub(sum, v16i_shl(mins, f.offset == 4 ? 2 : 5));
        v16 scale = v16_set1(dx[i]), a = v16_fma(v16_from_i(sum), v16_mul(scale, d), chain[i]);
        chain[i] = f.mins ? v16_fnma(v16_from_i(mins), v16_mul(scale, dmin), a) : a;
    }
}

#define TILE(type, T)                                                                                           \
    static void tile_##type##_##T(const chunk *c, const void *acts, size_t n, chunk_ahead *ahead, v16 *chain) { \
        (void)n; /* one super-block */                                                                          \
        tile(chunk_format_of(DTYPE_##type), T, c, acts, ahead, chain);                                          \
    }
V16_TILES_SUPER(TILE, Q2_K)
V16_TILES_SUPER(TILE, Q3_K)
V16_TILES_SUPER(TILE, Q4_K)
V16_TILES_SUPER(TILE, Q5_K)
V16_TILES_SUPER(TILE, Q6_K)

chunk_fn *KERN_FN(product_super)(dtype t, size_t T) {
#define IS(type, rows)                    \
    if (t == DTYPE_##type && T == (rows)) \
        return tile_##type##_##rows;
    V16_TILES_SUPER(IS, Q2_K)
    V16_TILES_SUPER(IS, Q3_K)
    V16_TILES_SUPER(IS, Q4_K)
    V16_TILES_SUPER(IS, Q5_K)
    V16_TILES_SUPER(IS, Q6_K)
    return NULL;
}
