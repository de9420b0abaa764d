/* v16 in portable C: plain loops that a reader can check against doc/arithmetic.md. The oracle.
 * Contract: v16.h.
 *
 * Weights of dot_* are read through int8_t: a loop that casts uint8_t is one that gcc 12 turns into a dot
 * instruction of the wrong signedness.
 */
#include <string.h>

#include "kern/half.h"

typedef struct {
    float f[16];
} v16;
typedef struct {
    int32_t i[16];
} v16i;
typedef v16i v16m; /* -1 or 0 a lane */

/* Rows of activations that a tile may hold in registers, for products of floats, of blocks of 32, of
 * super-blocks: the largest, and the powers of two below it. */
#define V16_TILES_FLOAT(X, t) X(t, 1) X(t, 2) X(t, 4)
#define V16_TILES_BLOCK(X, t) X(t, 1) X(t, 2) X(t, 4)
#define V16_TILES_SUPER(X, t) X(t, 1) X(t, 2) X(t, 4)
/* Plain loops stay loops. */
#define V16_UNROLL 0
#define V16_FEW_REGISTERS 0 /* 1: chains of a tile rest in memory while a block is worked on */
enum { V16_TILE_FLOAT = 4, V16_TILE_BLOCK = 4, V16_TILE_SUPER = 4, V16_S8_BIAS = 0 };

#define V16_LANES for (int i = 0; i < 16; i++)

V16_FN v16 v16_zero(void) { return (v16){{0}}; }
V16_FN v16 v16_set1(float x) {
    v16 r;
    V16_LANES r.f[i] = x;
    return r;
}
V16_FN v16 v16_load(const float *p) {
    v16 r;
    memcpy(&r, p, sizeof r);
    return r;
}
V16_FN void v16_store(float *p, v16 a) { memcpy(p, &a, sizeof a); }
V16_FN v16 v16_load_n(const float *p, size_t n) {
    v16 r = {{0}};
    memcpy(&r, p, n * sizeof *p);
    return r;
}
V16_FN void v16_store_n(float *p, v16 a, size_t n) { memcpy(p, &a, n * sizeof *p); }
V16_FN v16 v16_load_f16(const uint16_t *p) {
    v16 r;
    V16_LANES r.f[i] = half_to_f32(p[i]);
    return r;
}
V16_FN void v16_store_f16(uint16_t *p, v16 a) { V16_LANES p[i] = half_from_f32(a.f[i]); }
V16_FN v16 v16_load_bf16(const uint16_t *p) {
    v16 r;
    V16_LANES r.f[i] = bf16_to_f32(p[i]);
    return r;
}
V16_FN v16 v16_add(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] + b.f[i];
    return a;
}
V16_FN v16 v16_sub(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] - b.f[i];
    return a;
}
V16_FN v16 v16_mul(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] * b.f[i];
    return a;
}
V16_FN v16 v16_div(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] / b.f[i];
    return a;
}
V16_FN v16 v16_sqrt(v16 a) {
    V16_LANES a.f[i] = __builtin_sqrtf(a.f[i]);
    return a;
}
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) {
    V16_LANES c.f[i] = __builtin_fmaf(a.f[i], b.f[i], c.f[i]);
    return c;
}
V16_FN v16 v16_fnma(v16 a, v16 b, v16 c) {
    V16_LANES c.f[i] = __builtin_fmaf(-a.f[i], b.f[i], c.f[i]);
    return c;
}
V16_FN v16 v16_max(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] > b.f[i] ? a.f[i] : b.f[i];
    return a;
}
V16_FN v16 v16_min(v16 a, v16 b) {
    V16_LANES a.f[i] = a.f[i] < b.f[i] ? a.f[i] : b.f[i];
    return a;
}
V16_FN v16m v16_lt(v16 a, v16 b) {
    v16m m;
    V16_LANES m.i[i] = -(a.f[i] < b.f[i]);
    return m;
}
V16_FN v16 v16_sel(v16m m, v16 a, v16 b) {
    V16_LANES a.f[i] = m.i[i] ? a.f[i] : b.f[i];
    return a;
}
V16_FN v16m v16_first(size_t n) {
    v16m m;
    V16_LANES m.i[i] = -((size_t)i < n);
    return m;
}
V16_FN v16 v16_from_i(v16i a) {
    v16 r;
    V16_LANES r.f[i] = (float)a.i[i];
    return r;
}
V16_FN v16i v16_rint(v16 a) {
    v16i r;
    /* Adding 1.5 * 2^23 leaves the integer, rounded to even, in the low bits: exact for |x| < 2^22,
     * which is all that v16.h promises. */
    V16_LANES {
        float t = a.f[i] + 0x1.8p23f;
        uint32_t u;
        memcpy(&u, &t, sizeof u);
        r.i[i] = (int32_t)(u - 0x4B400000u);
    }
    return r;
}
V16_FN v16i v16_bits(v16 a) {
    v16i r;
    memcpy(&r, &a, sizeof r);
    return r;
}
V16_FN v16 v16i_float(v16i a) {
    v16 r;
    memcpy(&r, &a, sizeof r);
    return r;
}

V16_FN v16i v16i_set1(int32_t x) {
    v16i r;
    V16_LANES r.i[i] = x;
    return r;
}
V16_FN v16i v16i_load(const void *p) {
    v16i r;
    memcpy(&r, p, sizeof r);
    return r;
}
V16_FN void v16i_store(void *p, v16i a) { memcpy(p, &a, sizeof a); }
V16_FN v16i v16i_load_u16(const uint16_t *p) {
    v16i r;
    V16_LANES r.i[i] = p[i];
    return r;
}
/* Lanes wrap modulo 2^32: unsigned arithmetic, for which C defines that. */
V16_FN v16i v16i_add(v16i a, v16i b) {
    V16_LANES a.i[i] = (int32_t)((uint32_t)a.i[i] + (uint32_t)b.i[i]);
    return a;
}
V16_FN v16i v16i_sub(v16i a, v16i b) {
    V16_LANES a.i[i] = (int32_t)((uint32_t)a.i[i] - (uint32_t)b.i[i]);
    return a;
}
V16_FN v16i v16i_mul(v16i a, v16i b) {
    V16_LANES a.i[i] = (int32_t)((uint32_t)a.i[i] * (uint32_t)b.i[i]);
    return a;
}
V16_FN v16i v16i_and(v16i a, v16i b) {
    V16_LANES a.i[i] &= b.i[i];
    return a;
}
V16_FN v16i v16i_or(v16i a, v16i b) {
    V16_LANES a.i[i] |= b.i[i];
    return a;
}
V16_FN v16i v16i_xor(v16i a, v16i b) {
    V16_LANES a.i[i] ^= b.i[i];
    return a;
}
V16_FN v16i v16i_shl(v16i a, int n) {
    V16_LANES a.i[i] = (int32_t)((uint32_t)a.i[i] << n);
    return a;
}
V16_FN v16i v16i_shr(v16i a, int n) {
    V16_LANES a.i[i] = (int32_t)((uint32_t)a.i[i] >> n);
    return a;
}
V16_FN v16i v16i_sar(v16i a, int n) {
    V16_LANES a.i[i] >>= n;
    return a;
}
V16_FN v16m v16i_odd(v16i a) {
    V16_LANES a.i[i] = -(a.i[i] & 1);
    return a;
}
V16_FN v16i v16i_dot_s8(v16i acc, v16i w, int32_t x) {
    int8_t wb[64], xb[4];
    memcpy(wb, &w, sizeof wb);
    memcpy(xb, &x, sizeof xb);
    V16_LANES acc.i[i] += wb[4 * i] * xb[0] + wb[4 * i + 1] * xb[1] + wb[4 * i + 2] * xb[2] + wb[4 * i + 3] * xb[3];
    return acc;
}
V16_FN v16i v16h_dot(v16i acc, v16i w, int32_t x) { return v16i_dot_s8(acc, w, x); }
V16_FN v16i v16i_dot_s16(v16i acc, v16i w, int32_t x) {
    int16_t wh[32], xh[2];
    memcpy(wh, &w, sizeof wh);
    memcpy(xh, &x, sizeof xh);
    V16_LANES acc.i[i] += wh[2 * i] * xh[0] + wh[2 * i + 1] * xh[1];
    return acc;
}
#undef V16_LANES
