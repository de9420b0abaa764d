/* v16 for AArch64 with the dot-product extension: four registers hold the 16 lanes. Contract: v16.h. */
#include <arm_neon.h>

typedef float32x4x4_t v16;
typedef int32x4x4_t v16i;
typedef uint32x4x4_t v16m; /* all ones or all zeros a lane */

/* Rows of activations that a tile may hold in registers, for products of floats, of blocks of 32, of
 * super-blocks: the largest, and the powers of two below it. */
#define V16_TILES_FLOAT(X, t) X(t, 1) X(t, 2) X(t, 4) X(t, 6)
#define V16_TILES_BLOCK(X, t) X(t, 1) X(t, 2) X(t, 4)
#define V16_TILES_SUPER(X, t) X(t, 1) X(t, 2)
#define V16_UNROLL 1        /* rows of a tile become registers */
#define V16_FEW_REGISTERS 1 /* 1: chains of a tile rest in memory while a block is worked on */
enum { V16_TILE_FLOAT = 6, V16_TILE_BLOCK = 4, V16_TILE_SUPER = 2, V16_S8_BIAS = 0 };

#define V16_EACH for (int i = 0; i < 4; i++)

V16_FN v16 v16_set1(float x) {
    v16 r;
    V16_EACH r.val[i] = vdupq_n_f32(x);
    return r;
}
V16_FN v16 v16_zero(void) { return v16_set1(0.0f); }
V16_FN v16 v16_load(const float *p) {
    v16 r;
    V16_EACH r.val[i] = vld1q_f32(p + 4 * i);
    return r;
}
V16_FN void v16_store(float *p, v16 a) { V16_EACH vst1q_f32(p + 4 * i, a.val[i]); }
V16_FN v16 v16_load_n(const float *p, size_t n) {
    float t[16] = {0};
    for (size_t i = 0; i < n; i++)
        t[i] = p[i];
    return v16_load(t);
}
V16_FN void v16_store_n(float *p, v16 a, size_t n) {
    float t[16];
    v16_store(t, a);
    for (size_t i = 0; i < n; i++)
        p[i] = t[i];
}
V16_FN v16 v16_load_f16(const uint16_t *p) {
    v16 r;
    V16_EACH r.val[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)));
    return r;
}
V16_FN void v16_store_f16(uint16_t *p, v16 a) {
    V16_EACH vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.val[i])));
}
V16_FN v16i v16i_load_u16(const uint16_t *p) {
    v16i r;
    V16_EACH r.val[i] = vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p + 4 * i)));
    return r;
}
V16_FN v16 v16_load_bf16(const uint16_t *p) {
    v16 r;
    V16_EACH r.val[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16));
    return r;
}
V16_FN v16 v16_add(v16 a, v16 b) {
    V16_EACH a.val[i] = vaddq_f32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16 v16_sub(v16 a, v16 b) {
    V16_EACH a.val[i] = vsubq_f32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16 v16_mul(v16 a, v16 b) {
    V16_EACH a.val[i] = vmulq_f32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16 v16_div(v16 a, v16 b) {
    V16_EACH a.val[i] = vdivq_f32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16 v16_sqrt(v16 a) {
    V16_EACH a.val[i] = vsqrtq_f32(a.val[i]);
    return a;
}
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) {
    V16_EACH c.val[i] = vfmaq_f32(c.val[i], a.val[i], b.val[i]);
    return c;
}
V16_FN v16 v16_fnma(v16 a, v16 b, v16 c) {
    V16_EACH c.val[i] = vfmsq_f32(c.val[i], a.val[i], b.val[i]);
    return c;
}
/* Compare and select: the max and min instructions treat NaN and zeros otherwise than x86's. */
V16_FN v16 v16_max(v16 a, v16 b) {
    V16_EACH a.val[i] = vbslq_f32(vcgtq_f32(a.val[i], b.val[i]), a.val[i], b.val[i]);
    return a;
}
V16_FN v16 v16_min(v16 a, v16 b) {
    V16_EACH a.val[i] = vbslq_f32(vcltq_f32(a.val[i], b.val[i]), a.val[i], b.val[i]);
    return a;
}
V16_FN v16m v16_lt(v16 a, v16 b) {
    v16m m;
    V16_EACH m.val[i] = vcltq_f32(a.val[i], b.val[i]);
    return m;
}
V16_FN v16 v16_sel(v16m m, v16 a, v16 b) {
    V16_EACH a.val[i] = vbslq_f32(m.val[i], a.val[i], b.val[i]);
    return a;
}
V16_FN v16m v16_first(size_t n) {
    static const uint32_t lane[4] = {0, 1, 2, 3};
    v16m m;
    V16_EACH m.val[i] = vcltq_u32(vaddq_u32(vld1q_u32(lane), vdupq_n_u32((uint32_t)(4 * i))), vdupq_n_u32((uint32_t)n));
    return m;
}
V16_FN v16 v16_from_i(v16i a) {
    v16 r;
    V16_EACH r.val[i] = vcvtq_f32_s32(a.val[i]);
    return r;
}
V16_FN v16i v16_rint(v16 a) {
    v16i r;
    V16_EACH r.val[i] = vcvtnq_s32_f32(a.val[i]);
    return r;
}
V16_FN v16i v16_bits(v16 a) {
    v16i r;
    V16_EACH r.val[i] = vreinterpretq_s32_f32(a.val[i]);
    return r;
}
V16_FN v16 v16i_float(v16i a) {
    v16 r;
    V16_EACH r.val[i] = vreinterpretq_f32_s32(a.val[i]);
    return r;
}

V16_FN v16i v16i_set1(int32_t x) {
    v16i r;
    V16_EACH r.val[i] = vdupq_n_s32(x);
    return r;
}
V16_FN v16i v16i_load(const void *p) {
    v16i r;
    V16_EACH r.val[i] = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
    return r;
}
V16_FN void v16i_store(void *p, v16i a) { V16_EACH vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_s32(a.val[i])); }
V16_FN v16i v16i_add(v16i a, v16i b) {
    V16_EACH a.val[i] = vaddq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_sub(v16i a, v16i b) {
    V16_EACH a.val[i] = vsubq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_mul(v16i a, v16i b) {
    V16_EACH a.val[i] = vmulq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_and(v16i a, v16i b) {
    V16_EACH a.val[i] = vandq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_or(v16i a, v16i b) {
    V16_EACH a.val[i] = vorrq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_xor(v16i a, v16i b) {
    V16_EACH a.val[i] = veorq_s32(a.val[i], b.val[i]);
    return a;
}
V16_FN v16i v16i_shl(v16i a, int n) {
    V16_EACH a.val[i] = vshlq_s32(a.val[i], vdupq_n_s32(n));
    return a;
}
V16_FN v16i v16i_shr(v16i a, int n) {
    V16_EACH a.val[i] = vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.val[i]), vdupq_n_s32(-n)));
    return a;
}
V16_FN v16i v16i_sar(v16i a, int n) {
    V16_EACH a.val[i] = vshlq_s32(a.val[i], vdupq_n_s32(-n));
    return a;
}
V16_FN v16m v16i_odd(v16i a) {
    v16m m;
    V16_EACH m.val[i] = vtstq_s32(a.val[i], vdupq_n_s32(1));
    return m;
}
V16_FN v16i v16i_dot_s8(v16i acc, v16i w, int32_t x) {
    int8x16_t v = vreinterpretq_s8_s32(vdupq_n_s32(x));
    V16_EACH acc.val[i] = vdotq_s32(acc.val[i], vreinterpretq_s8_s32(w.val[i]), v);
    return acc;
}
V16_FN v16i v16h_dot(v16i acc, v16i w, int32_t x) { return v16i_dot_s8(acc, w, x); }
V16_FN v16i v16i_dot_s16(v16i acc, v16i w, int32_t x) {
    int16x8_t v = vreinterpretq_s16_s32(vdupq_n_s32(x));
    V16_EACH {
        int16x8_t a = vreinterpretq_s16_s32(w.val[i]);
        int32x4_t lo = vmull_s16(vget_low_s16(a), vget_low_s16(v)), hi = vmull_high_s16(a, v);
        acc.val[i] = vaddq_s32(acc.val[i], vpaddq_s32(lo, hi));
    }
    return acc;
}
#undef V16_EACH
