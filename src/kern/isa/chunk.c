/* chunk: panels of quantised weights taken apart; see chunk.h. The layouts are those of kern/block.h, transposed as
 * kern/panel.h says: a 64-byte load is one 4-byte unit of sixteen rows. */
#include "kern/isa/chunk.h"

V16_FN v16i low4(v16i a) { return chunk_low4(a); }
V16_FN v16i shift(v16i a, int left) { return left < 0 ? v16i_shr(a, -left) : v16i_shl(a, left); }

/* Scales of all sub-blocks, four to a lane (byte s%4 of word s/4), and minima alike. */
typedef struct {
    v16i sc[4], m[4];
} packed_scales;

V16_FN packed_scales scales_of(dtype t, const uint8_t *p) {
    packed_scales s;
    v16i low2 = v16i_set1(0x03030303), low6 = v16i_set1(0x3f3f3f3f);
    switch (t) {
    case DTYPE_Q2_K:
        UNROLL for (int i = 0; i < 4; i++) {
            v16i a = v16i_load(p + 64 * i);
            s.sc[i] = low4(a);
            s.m[i] = low4(v16i_shr(a, 4));
        }
        break;
    case DTYPE_Q3_K: {
        v16i a = v16i_load(p), b = v16i_load(p + 64), c = v16i_load(p + 128);
        s.sc[0] = v16i_or(low4(a), v16i_shl(v16i_and(c, low2), 4));
        s.sc[1] = v16i_or(low4(b), v16i_shl(v16i_and(v16i_shr(c, 2), low2), 4));
        s.sc[2] = v16i_or(low4(v16i_shr(a, 4)), v16i_shl(v16i_and(v16i_shr(c, 4), low2), 4));
        s.sc[3] = v16i_or(low4(v16i_shr(b, 4)), v16i_shl(v16i_and(v16i_shr(c, 6), low2), 4));
        break;
    }
    case DTYPE_Q6_K:
        UNROLL for (int i = 0; i < 4; i++) s.sc[i] = v16i_load(p + 64 * i);
        break;
    default: { /* Q4_K, Q5_K */
        v16i a = v16i_load(p), b = v16i_load(p + 64), c = v16i_load(p + 128), top = v16i_set1(0x30303030);
        s.sc[0] = v16i_and(a, low6);
        s.m[0] = v16i_and(b, low6);
        s.sc[1] = v16i_or(low4(c), v16i_and(v16i_shr(a, 2), top));
        s.m[1] = v16i_or(low4(v16i_shr(c, 4)), v16i_and(v16i_shr(b, 2), top));
    }
    }
    return s;
}

/* Scale s as a signed int32 lane. */
V16_FN v16i scale_at(dtype t, const packed_scales *sc, int s) {
    v16i w = sc->sc[s / 4];
    if (t == DTYPE_Q6_K) /* signed bytes */
        return v16i_sar(v16i_shl(w, 24 - 8 * (s % 4)), 24);
    w = v16i_and(v16i_shr(w, 8 * (s % 4)), v16i_set1(0xff));
    return t == DTYPE_Q3_K ? v16i_sub(w, v16i_set1(32)) : w;
}

V16_FN v16i pair_of(v16i a, v16i b) { return v16i_or(v16i_and(a, v16i_set1(0xffff)), v16i_shl(b, 16)); }

V16_FN void super_scales(dtype t, chunk_format f, const uint8_t *halves, const uint8_t *packed, chunk *c) {
    const uint16_t *d16 = (const uint16_t *)(const void *)halves;
    const packed_scales sc = scales_of(t, packed);
    v16_store(c->d[0], v16_load_f16(d16));
    if (f.mins)
        v16_store(c->d[1], v16_load_f16(d16 + 16));
    UNROLL for (int p = 0; p < 128 / f.sub; p++) {
        v16i a = scale_at(t, &sc, 2 * p), b = scale_at(t, &sc, 2 * p + 1);
        v16i_store(c->factor[2 * p], v16h_factor(a));
        v16i_store(c->factor[2 * p + 1], v16h_factor(b));
        if (f.mins) {
            v16i m = v16i_shr(sc.m[p / 2], 16 * (p % 2)), low8 = v16i_set1(0xff);
            a = v16i_and(m, low8);
            b = v16i_and(v16i_shr(m, 8), low8);
        }
        v16i_store(c->pair[p], pair_of(a, b));
    }
}

/* Two bits a weight, and the third of Q3_K: element 128n + 32j + 4l of unit 8n + l. */
V16_FN void bits2(dtype t, const uint8_t *qs, const uint8_t *hmask, chunk *c) {
    UNROLL for (int n = 0; n < 2; n++) UNROLL for (int l = 0; l < 8; l++) {
        v16i w = v16i_load(qs + 64 * (8 * n + l)), h = t == DTYPE_Q3_K ? v16i_load(hmask + 64 * l) : w;
        UNROLL for (int j = 0; j < 4; j++) {
            v16i q = v16i_and(v16i_shr(w, 2 * j), v16i_set1(0x03030303));
            if (t == DTYPE_Q3_K)
                q = v16i_or(q, v16i_and(shift(h, 2 - (4 * n + j)), v16i_set1(0x04040404)));
            v16i_store(c->q[32 * n + 8 * j + l], q);
        }
    }
}

/* Four bits a weight, and the fifth of Q5_K: unit 8q + l holds elements 64q + 4l and 64q + 32 + 4l. */
V16_FN void bits4(dtype t, const uint8_t *qs, const uint8_t *qh, chunk *c) {
    v16i bit5 = v16i_set1(0x10101010);
    UNROLL for (int l = 0; l < 8; l++) {
        v16i h = t == DTYPE_Q5_K ? v16i_load(qh + 64 * l) : bit5;
        UNROLL for (int q = 0; q < 4; q++) {
            v16i w = v16i_load(qs + 64 * (8 * q + l)), low = low4(w), high = low4(v16i_shr(w, 4));
            if (t == DTYPE_Q5_K) {
                low = v16i_or(low, v16i_and(shift(h, 4 - 2 * q), bit5));
                high = v16i_or(high, v16i_and(shift(h, 3 - 2 * q), bit5));
            }
            v16i_store(c->q[16 * q + l], low);
            v16i_store(c->q[16 * q + 8 + l], high);
        }
    }
}

/* Q6_K: low units 16n + l and 16n + 8 + l hold elements 128n + 4l, + 64, and 128n + 32 + 4l, + 64; the two high bits of
 * all four stand in high unit 8n + l. */
V16_FN void bits6(const uint8_t *ql, const uint8_t *qh, chunk *c) {
    UNROLL for (int n = 0; n < 2; n++) UNROLL for (int l = 0; l < 8; l++) {
        v16i h = v16i_load(qh + 64 * (8 * n + l)), top = v16i_set1(0x30303030);
        UNROLL for (int j = 0; j < 4; j++) {
            v16i w = low4(v16i_shr(v16i_load(ql + 64 * (16 * n + 8 * (j % 2) + l)), 4 * (j / 2)));
            v16i_store(c->q[32 * n + 8 * j + l], v16i_or(w, v16i_and(shift(h, 4 - 2 * j), top)));
        }
    }
}

/* Where the parts of sixteen super-blocks stand behind their halves: packed scales, high bits, low bits. */
V16_FN void super(dtype t, const uint8_t *halves, const uint8_t *rest, chunk *c) {
    super_scales(t, chunk_format_of(t), halves, rest, c);
    switch (t) {
    case DTYPE_Q2_K:
        bits2(t, rest + 16 * 16, NULL, c);
        break;
    case DTYPE_Q3_K:
        bits2(t, rest + 16 * 44, rest + 16 * 12, c);
        break;
    case DTYPE_Q4_K:
        bits4(t, rest + 16 * 12, NULL, c);
        break;
    case DTYPE_Q5_K:
        bits4(t, rest + 16 * 44, rest + 16 * 12, c);
        break;
    default: /* Q6_K */
        bits6(rest + 16 * 16, rest + 16 * 144, c);
    }
}

#define BLOCKS(type)                                                                                 \
    static void expand_##type(const uint8_t *panel, size_t from, size_t n, size_t n_run, chunk *c) { \
        const chunk_format f = chunk_format_of(DTYPE_##type);                                        \
        for (size_t b = 0; b < n; b++) {                                                             \
            panel_place at = panel_block(from + b, n_run, f.scales, f.bytes);                        \
            chunk_block(f, panel + at.scales, panel + at.rest, c, b);                                \
        }                                                                                            \
    }
#define SUPER(type)                                                                                  \
    static void expand_##type(const uint8_t *panel, size_t from, size_t n, size_t n_run, chunk *c) { \
        const chunk_format f = chunk_format_of(DTYPE_##type);                                        \
        panel_place at = panel_block(from, n_run, f.scales, f.bytes);                                \
        super(DTYPE_##type, panel + at.scales, panel + at.rest, c);                                  \
        (void)n;                                                                                     \
    }
#define TYPES(BLOCKS, SUPER) \
    BLOCKS(Q4_0)             \
    BLOCKS(Q4_1) BLOCKS(Q5_0) BLOCKS(Q5_1) BLOCKS(Q8_0) SUPER(Q2_K) SUPER(Q3_K) SUPER(Q4_K) SUPER(Q5_K) SUPER(Q6_K)
TYPES(BLOCKS, SUPER)

void KERN_FN(chunk_expand)(dtype t, const uint8_t *panel, size_t from, size_t n, size_t n_run, chunk *c) {
#define RUN(type)          \
    if (t == DTYPE_##type) \
        expand_##type(panel, from, n, n_run, c);
    TYPES(RUN, RUN)
}
