/* product_block: weights in blocks of 32 (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) times activations quantised by 32.
 *
 * For each block, ascending, with the exact integer dot = sum over 32 of xq * (wq - offset):
 *   y = fma((float)dot, dx * d, y)           dx, d: scales of activation and weight
 *   y = fma(sx, m, y)                        Q4_1, Q5_1 only; sx = dx * (float)(sum of xq), m: min
 *
 * The offset (8, 16; for Q8_0 V16_S8_BIAS) enters as the first value of the integer accumulator, -offset * sum of xq,
 * which is free.
 */
#include "kern/isa/chunk.h"

/* x: -8 * sum of xq; the offset counts in eighths. */
V16_FN v16i first_sum(chunk_format f, int32_t x) {
    return !f.offset ? v16i_set1(0) : f.offset == 1 ? v16i_set1(x) : v16i_shl(v16i_set1(x), f.offset == 2 ? 1 : 4);
}

V16_FN void tile(chunk_format f, const int T, const chunk *c, const int32_t *x, size_t n, chunk_ahead *ahead,
                 v16 *restrict chain) {
    const int run = f.bits8 || V16_RUN(f.top) >= 8 ? 8 : 4;
    for (size_t b = 0; b < n; b++, x += BLOCK_WORDS * T) {
        const float *dx = (const float *)x, *sx = dx + T;
        const int32_t *init = x + 2 * T, *xq = x + 3 * T;
        if (ahead)
            chunk_ask(ahead);
        v16i dot[16];
        FOR_ROWS(i, T) dot[i] = first_sum(f, init[i]);
        if (f.bits8) {
            UNROLL for (int g = 0; g < 8; g++) {
                v16i w = v16i_load(c->q[8 * b + (size_t)g]);
                FOR_ROWS(i, T) dot[i] = v16i_dot_s8(dot[i], w, xq[g * T + i]);
            }
        } else {
            UNROLL for (int r = 0; r < 8; r += run) {
                v16h h[16];
                FOR_ROWS(i, T) h[i] = v16h_begin(dot[i]);
                UNROLL for (int g = r; g < r + run; g++) {
                    v16i w = v16i_load(c->q[8 * b + (size_t)g]);
                    FOR_ROWS(i, T) h[i] = v16h_dot(h[i], w, xq[g * T + i]);
                }
                FOR_ROWS(i, T) dot[i] = v16h_end(h[i], dot[i]);
            }
        }
        v16 d = v16_load(c->d[b]), m = f.mins ? v16_load(c->m[b]) : v16_zero();
        FOR_ROWS(i, T) {
            v16 a = v16_fma(v16_from_i(dot[i]), v16_mul(v16_set1(dx[i]), d), chain[i]);
            chain[i] = f.mins ? v16_fma(v16_set1(sx[i]), m, a) : a;
        }
    }
}

#define TILE(type, T)                                                                                           \
    static void tile_##type##_##T(const chunk *c, const void *acts, size_t n, chunk_ahead *ahead, v16 *chain) { \
        tile(chunk_format_of(DTYPE_##type), T, c, acts, n, ahead, chain);                                       \
    }
V16_TILES_BLOCK(TILE, Q4_0)
V16_TILES_BLOCK(TILE, Q4_1)
V16_TILES_BLOCK(TILE, Q5_0)
V16_TILES_BLOCK(TILE, Q5_1)
V16_TILES_BLOCK(TILE, Q8_0)

chunk_fn *KERN_FN(product_block)(dtype t, size_t T) {
#define IS(type, rows)                    \
    if (t == DTYPE_##type && T == (rows)) \
        return tile_##type##_##rows;
    V16_TILES_BLOCK(IS, Q4_0)
    V16_TILES_BLOCK(IS, Q4_1)
    V16_TILES_BLOCK(IS, Q5_0)
    V16_TILES_BLOCK(IS, Q5_1)
    V16_TILES_BLOCK(IS, Q8_0)
    return NULL;
}

/* A single row needs every weight once: they go from the panel to registers. */
V16_FN void row(chunk_format f, const uint8_t *panel, const int32_t *x, size_t n, v16 *chain) {
    v16 acc = v16_zero();
    for (size_t b = 0; b < n; b++, x += BLOCK_WORDS) {
        panel_place at = panel_block(b, n, f.scales, f.bytes);
        if (f.bits8) {
            v16i dot = first_sum(f, x[2]);
            UNROLL for (int g = 0; g < 8; g++) dot = v16i_dot_s8(dot, v16i_load_s8(panel + at.rest + 64 * g), x[3 + g]);
            v16 d = v16_load_f16((const uint16_t *)(const void *)(panel + at.scales));
            acc = v16_fma(v16_from_i(dot), v16_mul(v16_set1(*(const float *)x), d), acc);
        } else {
            chunk one;
            chunk_block(f, panel + at.scales, panel + at.rest, &one, 0);
            tile(f, 1, &one, x, 1, NULL, &acc);
        }
    }
    *chain = acc;
}

#define ROW(type)                                                                          \
    static void row_##type(const uint8_t *panel, const void *acts, size_t n, v16 *chain) { \
        row(chunk_format_of(DTYPE_##type), panel, acts, n, chain);                         \
    }
ROW(Q4_0)
ROW(Q4_1)
ROW(Q5_0)
ROW(Q5_1)
ROW(Q8_0)

chunk_row_fn *KERN_FN(product_block_row)(dtype t) {
    switch (t) {
    case DTYPE_Q4_0:
        return row_Q4_0;
    case DTYPE_Q4_1:
        return row_Q4_1;
    case DTYPE_Q5_0:
        return row_Q5_0;
    case DTYPE_Q5_1:
        return row_Q5_1;
    default:
        return row_Q8_0;
    }
}
