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
#include "kern/isa/product.h"

typedef struct {
    int sub;       /* elements of a sub-block: 16 or 32 */
    int mins;      /* 1: has m and dmin */
    int offset;    /* of the weights, when no mins */
    size_t d;      /* bytes of the binary16 scales; the rest has byte offsets of its own: */
    size_t scales; /* packed scales, */
    size_t high;   /* the high bits of the weights, */
    size_t low;    /* and their low bits */
    size_t bytes;
} layout;

V16_FN layout layout_of(dtype t) {
    switch (t) {
    case DTYPE_Q2_K:
        return (layout){16, 1, 0, 64, 0, 0, 16 * 16, 16 * 84};
    case DTYPE_Q3_K:
        return (layout){16, 0, 4, 32, 0, 16 * 12, 16 * 44, 16 * 110};
    case DTYPE_Q4_K:
        return (layout){32, 1, 0, 64, 0, 0, 16 * 12, 16 * 144};
    case DTYPE_Q5_K:
        return (layout){32, 1, 0, 64, 0, 16 * 12, 16 * 44, 16 * 176};
    default:
        return (layout){16, 0, 32, 32, 0, 16 * 144, 16 * 16, 16 * 210};
    }
}

/* Scales of all sub-blocks, four to a lane (byte s%4 of word s/4), and mins alike. */
typedef struct {
    v16i sc[4], m[4];
} scales;

V16_FN scales scales_of(dtype t, const uint8_t *p) {
    scales s;
    v16i low4 = v16i_set1(0x0f0f0f0f), low2 = v16i_set1(0x03030303), low6 = v16i_set1(0x3f3f3f3f);
    switch (t) {
    case DTYPE_Q2_K:
        UNROLL for (int i = 0; i < 4; i++) {
            v16i a = v16i_load(p + 64 * i);
            s.sc[i] = v16i_and(a, low4);
            s.m[i] = v16i_and(v16i_shr(a, 4), low4);
        }
        break;
    case DTYPE_Q3_K: {
        v16i a = v16i_load(p), b = v16i_load(p + 64), c = v16i_load(p + 128);
        s.sc[0] = v16i_or(v16i_and(a, low4), v16i_shl(v16i_and(c, low2), 4));
        s.sc[1] = v16i_or(v16i_and(b, low4), v16i_shl(v16i_and(v16i_shr(c, 2), low2), 4));
        s.sc[2] = v16i_or(v16i_and(v16i_shr(a, 4), low4), v16i_shl(v16i_and(v16i_shr(c, 4), low2), 4));
        s.sc[3] = v16i_or(v16i_and(v16i_shr(b, 4), low4), v16i_shl(v16i_and(v16i_shr(c, 6), low2), 4));
        break;
    }
    case DTYPE_Q6_K:
        UNROLL for (int i = 0; i < 4; i++) s.sc[i] = v16i_load(p + 64 * i);
        break;
    default: {
        v16i a = v16i_load(p), b = v16i_load(p + 64), c = v16i_load(p + 128), top = v16i_set1(0x30303030);
        s.sc[0] = v16i_and(a, low6);
        s.m[0] = v16i_and(b, low6);
        s.sc[1] = v16i_or(v16i_and(c, low4), v16i_and(v16i_shr(a, 2), top));
        s.m[1] = v16i_or(v16i_and(v16i_shr(c, 4), low4), v16i_and(v16i_shr(b, 2), top));
    }
    }
    return s;
}

/* Scale s as a signed int32 lane. */
V16_FN v16i scale_at(dtype t, const scales *sc, int s) {
    v16i w = sc->sc[s / 4];
    if (t == DTYPE_Q6_K) /* signed bytes */
        return v16i_sar(v16i_shl(w, 24 - 8 * (s % 4)), 24);
    w = v16i_and(v16i_shr(w, 8 * (s % 4)), v16i_set1(0xff));
    return t == DTYPE_Q3_K ? v16i_sub(w, v16i_set1(32)) : w;
}

V16_FN v16i pair(v16i a, v16i b) { return v16i_or(v16i_and(a, v16i_set1(0xffff)), v16i_shl(b, 16)); }

/* Weight group g, elements 4g .. 4g+3 of sixteen rows, as bytes. */
V16_FN v16i group(dtype t, const uint8_t *low, const uint8_t *high, int g) {
    int n = g / 32, j = g / 8 % 4, l = g % 8; /* element 128n + 32j + 4l */
    if (t == DTYPE_Q2_K || t == DTYPE_Q3_K) {
        v16i w = v16i_and(v16i_shr(v16i_load(low + 64 * (8 * n + l)), 2 * j), v16i_set1(0x03030303));
        if (t == DTYPE_Q2_K)
            return w;
        int bit = 4 * n + j;
        v16i h = v16i_load(high + 64 * l);
        h = v16i_and(bit < 2 ? v16i_shl(h, 2 - bit) : v16i_shr(h, bit - 2), v16i_set1(0x04040404));
        return v16i_or(w, h);
    }
    if (t == DTYPE_Q6_K) {
        v16i w = v16i_shr(v16i_load(low + 64 * (16 * n + 8 * (j % 2) + l)), 4 * (j / 2));
        v16i h = v16i_load(high + 64 * (8 * n + l));
        h = j == 3 ? v16i_shr(h, 2) : v16i_shl(h, 4 - 2 * j);
        return v16i_or(v16i_and(w, v16i_set1(0x0f0f0f0f)), v16i_and(h, v16i_set1(0x30303030)));
    }
    int quarter = g / 16, upper = g / 8 % 2; /* element 64*quarter + 32*upper + 4l */
    v16i w = v16i_and(v16i_shr(v16i_load(low + 64 * (8 * quarter + l)), 4 * upper), v16i_set1(0x0f0f0f0f));
    if (t == DTYPE_Q4_K)
        return w;
    int bit = 2 * quarter + upper;
    v16i h = v16i_load(high + 64 * l);
    h = v16i_and(bit < 4 ? v16i_shl(h, 4 - bit) : v16i_shr(h, bit - 4), v16i_set1(0x10101010));
    return v16i_or(w, h);
}

V16_FN void tile(dtype t, const int T, const uint8_t *panel, const int32_t *x, size_t n, float *y, size_t ldy,
                 size_t lanes, bool first) {
    const layout l = layout_of(t);
    const int groups = l.sub / 4, subs = 256 / l.sub;
    float chain[16][16]; /* touched twice a super-block: no registers for it */
    FOR_ROWS(i, T) v16_store(chain[i], chain_load(y + (size_t)i * ldy, lanes, first));
    for (size_t b = 0; b < n; b++, x += SUPER_WORDS * T) {
        panel_place at = panel_block(b, n, l.d, l.bytes);
        const uint8_t *rest = panel + at.rest;
        const float *dx = (const float *)x;
        const int32_t *xq = x + T, *sums = x + (l.sub == 16 ? 65 : 73) * T;
        const scales sc = scales_of(t, rest + l.scales);
        v16i dots[16];
        FOR_ROWS(i, T) dots[i] = v16i_set1(0);
        UNROLL for (int s = 0; s < subs; s++) {
            v16i dot[16];
            FOR_ROWS(i, T) dot[i] = v16i_set1(0);
            UNROLL for (int g = 0; g < groups; g++) {
                v16i w = group(t, rest + l.low, rest + l.high, s * groups + g);
                FOR_ROWS(i, T) dot[i] = v16i_dot_u7(dot[i], w, xq[(s * groups + g) * T + i]);
            }
            v16i f = scale_at(t, &sc, s);
            FOR_ROWS(i, T) dots[i] = v16i_add(dots[i], v16i_mul(dot[i], f));
        }
        v16i pairs[8];
        UNROLL for (int p = 0; p < subs / 2; p++) {
            if (l.mins) {
                v16i m = v16i_shr(sc.m[p / 2], 16 * (p % 2)), low8 = v16i_set1(0xff);
                pairs[p] = pair(v16i_and(m, low8), v16i_and(v16i_shr(m, 8), low8));
            } else {
                pairs[p] = pair(scale_at(t, &sc, 2 * p), scale_at(t, &sc, 2 * p + 1));
            }
        }
        const uint16_t *d16 = (const uint16_t *)(const void *)(panel + at.scales);
        v16 d = v16_load_f16(d16), dmin = l.mins ? v16_load_f16(d16 + 16) : v16_zero();
        FOR_ROWS(i, T) {
            v16i mins = v16i_set1(0);
            UNROLL for (int p = 0; p < subs / 2; p++) mins = v16i_dot_s16(mins, pairs[p], sums[p * T + i]);
            v16 acc = v16_load(chain[i]), scale = v16_set1(dx[i]);
            if (!l.mins)
                dots[i] = v16i_sub(dots[i], v16i_shl(mins, l.offset == 4 ? 2 : 5));
            acc = v16_fma(v16_from_i(dots[i]), v16_mul(scale, d), acc);
            if (l.mins)
                acc = v16_fnma(v16_from_i(mins), v16_mul(scale, dmin), acc);
            v16_store(chain[i], acc);
        }
    }
    FOR_ROWS(i, T) chain_store(y + (size_t)i * ldy, v16_load(chain[i]), lanes);
}

#define TILE(type, T)                                                                                     \
    static void tile_##type##_##T(const uint8_t *panel, const void *acts, size_t n, float *y, size_t ldy, \
                                  size_t lanes, bool first) {                                             \
        tile(DTYPE_##type, T, panel, acts, n, y, ldy, lanes, first);                                      \
    }
#define TILES(type) V16_TILES_SUPER(TILE, type)
TILES(Q2_K)
TILES(Q3_K)
TILES(Q4_K)
TILES(Q5_K)
TILES(Q6_K)

tile_fn *KERN_FN(product_super)(dtype t, size_t T) {
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
