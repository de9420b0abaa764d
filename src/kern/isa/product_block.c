/* product_block: weights in blocks of 32 (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) times activations quantised by 32.
 *
 * For each block, ascending, with the exact integer dot = sum over 32 of xq * (wq - offset):
 *   y = fma((float)dot, dx * d, y)           dx, d: scales of activation and weight
 *   y = fma(sx, m, y)                        Q4_1, Q5_1 only; sx = dx * (float)(sum of xq), m: min
 *
 * The offset (8, 16; for Q8_0 the bias of an unsigned dot instruction) enters as the first value of the integer
 * accumulator, -offset * sum of xq, which is free.
 */
#include "kern/isa/product.h"

typedef struct {
    int scales;   /* 1: d; 2: d and m */
    int fifth;    /* 1: has fifth bits */
    int bits8;    /* 1: whole bytes, signed */
    int offset;   /* in eighths: 1 is 8 */
    size_t bytes; /* of 16 blocks */
} layout;

V16_FN layout layout_of(dtype t) {
    switch (t) {
    case DTYPE_Q4_0:
        return (layout){1, 0, 0, 1, 16 * 18};
    case DTYPE_Q4_1:
        return (layout){2, 0, 0, 0, 16 * 20};
    case DTYPE_Q5_0:
        return (layout){1, 1, 0, 2, 16 * 22};
    case DTYPE_Q5_1:
        return (layout){2, 1, 0, 0, 16 * 24};
    default:
        return (layout){1, 0, 1, V16_S8_BIAS / 8, 16 * 34};
    }
}

/* Weight group g: elements 4g .. 4g+3 of sixteen rows, as bytes. */
V16_FN v16i group(layout l, const uint8_t *qs, v16i fifths, int g) {
    if (l.bits8) {
        v16i w = v16i_load(qs + 64 * g);
        return V16_S8_BIAS ? v16i_xor(w, v16i_set1((int32_t)0x80808080)) : w;
    }
    v16i w = v16i_load(qs + 64 * (g % 4));
    w = v16i_and(g < 4 ? w : v16i_shr(w, 4), v16i_set1(0x0f0f0f0f));
    if (l.fifth)
        w = v16i_or(w, v16i_and(g < 4 ? v16i_shl(fifths, 4 - g) : v16i_shr(fifths, g - 4), v16i_set1(0x10101010)));
    return w;
}

V16_FN void tile(dtype t, const int T, const uint8_t *panel, const int32_t *x, size_t n, float *y, size_t ldy,
                 size_t lanes, bool first) {
    const layout l = layout_of(t);
    v16 acc[16];
    FOR_ROWS(i, T) acc[i] = chain_load(y + (size_t)i * ldy, lanes, first);
    for (size_t b = 0; b < n; b++, x += BLOCK_WORDS * T) {
        panel_place at = panel_block(b, n, 32 * (size_t)l.scales, l.bytes);
        const uint16_t *d16 = (const uint16_t *)(const void *)(panel + at.scales);
        const float *dx = (const float *)x, *sx = dx + T;
        const int32_t *init = x + 2 * T, *xq = x + 3 * T;
        const uint8_t *qs = panel + at.rest;
        v16i fifths = v16i_set1(0);
        if (l.fifth) {
            fifths = v16i_load(qs);
            qs += 64;
        }
        v16i dot[16];
        FOR_ROWS(i, T) {
            v16i s = l.offset ? v16i_set1(init[i]) : v16i_set1(0);
            dot[i] = l.offset == 2 ? v16i_add(s, s) : l.offset == 16 ? v16i_shl(s, 4) : s;
        }
        UNROLL for (int g = 0; g < 8; g++) {
            v16i w = group(l, qs, fifths, g);
            FOR_ROWS(i, T)
            dot[i] = l.bits8 ? v16i_dot_s8(dot[i], w, xq[g * T + i]) : v16i_dot_u7(dot[i], w, xq[g * T + i]);
        }
        v16 d = v16_load_f16(d16);
        FOR_ROWS(i, T) acc[i] = v16_fma(v16_from_i(dot[i]), v16_mul(v16_set1(dx[i]), d), acc[i]);
        if (l.scales == 2) {
            v16 m = v16_load_f16(d16 + 16);
            FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(sx[i]), m, acc[i]);
        }
    }
    FOR_ROWS(i, T) chain_store(y + (size_t)i * ldy, acc[i], lanes);
}

#define TILE(type, T)                                                                                     \
    static void tile_##type##_##T(const uint8_t *panel, const void *acts, size_t n, float *y, size_t ldy, \
                                  size_t lanes, bool first) {                                             \
        tile(DTYPE_##type, T, panel, acts, n, y, ldy, lanes, first);                                      \
    }
#define TILES(type) V16_TILES_BLOCK(TILE, type)
TILES(Q4_0)
TILES(Q4_1)
TILES(Q5_0)
TILES(Q5_1)
TILES(Q8_0)

tile_fn *KERN_FN(product_block)(dtype t, size_t T) {
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
