/* oracle: doc/arithmetic.md in plain scalar C, for the tests to compare the kernels with.
 *
 * Written from the text, not from the kernels: stored blocks are decoded with integer arithmetic of its own, halves
 * by ldexp, every chain is a loop over one number. Nothing of src/ is used. Slow, and meant to be read beside the
 * document, whose section numbers stand at each part.
 */
#ifndef LOAM_TEST_ORACLE_H
#define LOAM_TEST_ORACLE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ORACLE static inline __attribute__((unused))

/* ---- 1. numbers ---- */

ORACLE uint32_t o_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
ORACLE float o_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
ORACLE unsigned o_u16(const uint8_t *p) { return p[0] | (unsigned)p[1] << 8; }

ORACLE float o_half(unsigned h) {
    int sign = h >> 15 ? -1 : 1, e = (int)(h >> 10 & 31), f = (int)(h & 1023);
    if (e == 31)
        return f ? NAN : (float)sign * INFINITY;
    float v = e ? ldexpf((float)(1024 + f), e - 25) : ldexpf((float)f, -24);
    return sign < 0 ? -v : v;
}

/* The nearest binary16, ties to even. NaN: 0x7e00 stands for all. */
ORACLE unsigned o_to_half(float x) {
    unsigned sign = o_bits(x) >> 31 << 15;
    double a = fabs((double)x);
    if (isnan(x))
        return 0x7e00;
    if (a >= 65520.0)
        return sign | 0x7c00;
    int e;
    frexp(a, &e); /* a = m 2^e, m in [1/2, 1) */
    int q = (e - 1 < -14 ? -14 : e - 1) - 10;
    unsigned n = (unsigned)nearbyint(ldexp(a, -q)); /* units of 2^q: below 1024 when subnormal */
    return sign | (n < 1024 ? n : ((unsigned)(q + 25) << 10) + (n - 1024));
}

/* Sixteen lanes, ascending; then 8-4-2-1. */
ORACLE float o_tree_sum(float t[16]) {
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] + t[i + half];
    return t[0];
}

/* ---- 8. functions ---- */

ORACLE float o_pow2(int n) { return ldexpf(1.0f, n); }

ORACLE float o_horner(const float *c, int n, float x) {
    float p = c[0];
    for (int i = 1; i < n; i++)
        p = fmaf(p, x, c[i]);
    return p;
}

ORACLE float o_exp(float x) {
    static const float c[] = {0x1.a01a02p-13f, 0x1.6c16c2p-10f, 0x1.111112p-7f, 0x1.555556p-5f, 0x1.555556p-3f, 0.5f};
    if (isnan(x))
        return x;
    x = x < -104 ? -104 : x > 89 ? 89 : x;
    float nf = nearbyintf(x * 0x1.715476p+0f);
    float r = fmaf(-nf, 0x1.62e400p-1f, x);
    r = fmaf(-nf, 0x1.7f7d1cp-20f, r);
    float p = fmaf(r * r, o_horner(c, 6, r), r) + 1.0f;
    int n = (int)nf, half = n >> 1;
    return p * o_pow2(half) * o_pow2(n - half);
}

ORACLE float o_log(float x) {
    static const float c[] = {0x1.745d18p-3f, 0x1.c71c72p-3f, 0x1.24924ap-2f, 0x1.99999ap-2f, 0x1.555556p-1f};
    if (isnan(x) || x == INFINITY)
        return x;
    if (x <= 0)
        return x < 0 ? NAN : -INFINITY;
    float ef = 0;
    if (x < 0x1p-126f) {
        x *= 0x1p23f;
        ef = 23;
    }
    int32_t bits = (int32_t)(o_bits(x) - 0x3f3504f3u);
    float m = o_float((uint32_t)(bits & 0x7fffff) + 0x3f3504f3u);
    ef = (float)(bits >> 23) - ef;
    float f = m - 1, s = f / (m + 1), t = s * s;
    float tail = s * (f - t * o_horner(c, 5, t));
    float low = fmaf(ef, 0x1.7f7d1cp-20f, -tail);
    return fmaf(ef, 0x1.62e400p-1f, f + low);
}

ORACLE float o_tanh(float x) {
    static const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f,
                              -3.33332819422e-1f};
    float a = fabsf(x);
    if (a < 0.625f)
        return copysignf(fmaf(o_horner(c, 5, x * x) * (x * x), x, x), x);
    return copysignf(1.0f - 2.0f / (o_exp(a + a) + 1.0f), x);
}

ORACLE float o_erf(float x) {
    static const float near[] = {-0x1.445f48p-17f, 0x1.d88750p-14f, -0x1.bccf66p-11f, 0x1.562a60p-8f,
                                 -0x1.b829c8p-6f,  0x1.ce2f08p-4f,  -0x1.812746p-2f,  0x1.06eba8p-3f};
    static const float far[] = {0x1.212014p-24f, -0x1.a318acp-19f, 0x1.f98e72p-15f, -0x1.615f80p-11f, 0x1.49193ep-8f,
                                -0x1.ba4f28p-6f, 0x1.c63a60p-4f,   0x1.432082p-1f,  0x1.216e62p+0f,   -0x1.9f8f0ep-12f};
    float a = fabsf(x);
    if (isnan(x))
        return x;
    if (a < 1)
        return fmaf(o_horner(near, 8, x * x), x, x);
    return copysignf(1.0f - o_exp(-o_horner(far, 10, a < 4 ? a : 4)), x);
}

ORACLE float o_sincos(float x, bool is_cos) {
    static const float sc[] = {0x1.6dbcfcp-19f, -0x1.a013a4p-13f, 0x1.11110ep-7f, -0x1.555556p-3f};
    static const float cc[] = {0x1.9bd786p-16f, -0x1.6c12d0p-10f, 0x1.555554p-5f, -0.5f, 1.0f};
    if (!(fabsf(x) < 0x1p21f))
        return NAN;
    float nf = nearbyintf(x * 0x1.45f306p-1f);
    float r = fmaf(-nf, 0x1.921fb6p+0f, x);
    r = fmaf(-nf, -0x1.777a5cp-25f, r);
    r = fmaf(-nf, -0x1.ee59dap-50f, r);
    float z = r * r;
    int quarter = ((int)nf + is_cos) & 3;
    float y = quarter % 2 ? o_horner(cc, 5, z) : fmaf(o_horner(sc, 4, z) * z, r, r);
    return quarter / 2 ? -y : y;
}
ORACLE float o_sin(float x) { return o_sincos(x, false); }
ORACLE float o_cos(float x) { return o_sincos(x, true); }

/* ---- 3. stored blocks ---- */

typedef struct {
    int n, sub;         /* elements; elements of a sub-block */
    float d, m;         /* scale; minimum (Q4_1, Q5_1) or its scale (Q2_K, Q4_K, Q5_K) */
    int q[256];         /* integers, offset taken off */
    int sc[16], mn[16]; /* of sub-blocks: 1 and 0 where the format has none */
    bool mins;
} o_block;

ORACLE int o_bit_field(const uint8_t *p, int at, int n) { /* n bits from bit `at`, bits of a byte ascending */
    int v = 0;
    for (int i = 0; i < n; i++)
        v |= (p[(at + i) / 8] >> (at + i) % 8 & 1) << i;
    return v;
}

/* name: "Q4_0" ... */
ORACLE void o_decode(const char *name, const uint8_t *p, o_block *b) {
    memset(b, 0, sizeof *b);
    int bits = name[1] - '0';
    if (name[3] != 'K') { /* 32 elements: d, maybe m, maybe fifth bits, nibbles or bytes */
        b->n = b->sub = 32;
        b->sc[0] = 1;
        b->mins = name[3] == '1';
        b->d = o_half(o_u16(p));
        p += 2;
        if (b->mins) {
            b->m = o_half(o_u16(p));
            p += 2;
        }
        const uint8_t *fifth = p;
        p += bits == 5 ? 4 : 0;
        for (int i = 0; i < 32; i++) {
            if (bits == 8) {
                b->q[i] = p[i] < 128 ? p[i] : p[i] - 256;
                continue;
            }
            b->q[i] = o_bit_field(p, 8 * (i % 16) + 4 * (i / 16), 4);
            if (bits == 5)
                b->q[i] += 16 * o_bit_field(fifth, i, 1);
            b->q[i] -= b->mins ? 0 : bits == 4 ? 8 : 16;
        }
        return;
    }
    b->n = 256;
    b->sub = bits == 4 || bits == 5 ? 32 : 16;
    b->mins = bits == 2 || bits == 4 || bits == 5;
    if (b->mins && bits != 2) { /* 12 bytes of eight scales and eight minimums */
        const uint8_t *s = p + 4;
        b->d = o_half(o_u16(p));
        b->m = o_half(o_u16(p + 2));
        for (int i = 0; i < 4; i++) {
            b->sc[i] = s[i] % 64;
            b->mn[i] = s[4 + i] % 64;
            b->sc[4 + i] = s[8 + i] % 16 + 16 * (s[i] / 64);
            b->mn[4 + i] = s[8 + i] / 16 + 16 * (s[4 + i] / 64);
        }
        const uint8_t *high = p + 16, *low = bits == 5 ? p + 48 : p + 16;
        for (int i = 0; i < 256; i++) {
            b->q[i] = o_bit_field(low, 8 * (i / 64 * 32 + i % 32) + 4 * (i / 32 % 2), 4);
            if (bits == 5)
                b->q[i] += 16 * o_bit_field(high, 8 * (i % 32) + i / 32, 1);
        }
        return;
    }
    if (bits == 2) {
        b->d = o_half(o_u16(p + 80));
        b->m = o_half(o_u16(p + 82));
        for (int s = 0; s < 16; s++) {
            b->sc[s] = p[s] % 16;
            b->mn[s] = p[s] / 16;
        }
        for (int i = 0; i < 256; i++)
            b->q[i] = o_bit_field(p + 16, 8 * (i / 128 * 32 + i % 32) + 2 * (i / 32 % 4), 2);
    } else if (bits == 3) {
        const uint8_t *s = p + 96;
        b->d = o_half(o_u16(p + 108));
        for (int i = 0; i < 16; i++)
            b->sc[i] = o_bit_field(s, 8 * (i % 8) + 4 * (i / 8), 4) +
                       16 * o_bit_field(s, 8 * (8 + i % 4) + 2 * (i / 4), 2) - 32;
        for (int i = 0; i < 256; i++)
            b->q[i] = o_bit_field(p + 32, 8 * (i / 128 * 32 + i % 32) + 2 * (i / 32 % 4), 2) +
                      4 * o_bit_field(p, 8 * (i % 32) + i / 32, 1) - 4;
    } else {
        b->d = o_half(o_u16(p + 208));
        for (int s = 0; s < 16; s++)
            b->sc[s] = p[192 + s] < 128 ? p[192 + s] : p[192 + s] - 256;
        for (int i = 0; i < 256; i++) {
            int part = i / 32 % 4, byte = i / 128 * 64 + part % 2 * 32 + i % 32;
            b->q[i] = o_bit_field(p, 8 * byte + 4 * (part / 2), 4) +
                      16 * o_bit_field(p + 128, 8 * (i / 128 * 32 + i % 32) + 2 * part, 2) - 32;
        }
    }
}

/* What a block means: each product and difference rounded once, left to right. */
ORACLE void o_dequantise(const char *name, const uint8_t *p, float *w) {
    o_block b;
    o_decode(name, p, &b);
    for (int i = 0; i < b.n; i++) {
        if (b.n == 32) {
            w[i] = b.d * (float)b.q[i];
            if (b.mins)
                w[i] = w[i] + b.m;
            continue;
        }
        w[i] = b.d * (float)b.sc[i / b.sub] * (float)b.q[i];
        if (b.mins)
            w[i] = w[i] - b.m * (float)b.mn[i / b.sub];
    }
}

/* ---- 4. activations ---- */

/* q[n] and the scale of a block of n elements. */
ORACLE float o_quantise(const float *x, int n, int *q) {
    float amax = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        q[i] = 0;
    }
    if (!finite)
        return NAN;
    if (amax < 0x1p-100f)
        return 0;
    float inverse = 127.0f / amax;
    for (int i = 0; i < n; i++) {
        float v = x[i] * inverse;
        v = v > 127 ? 127 : v < -127 ? -127 : v;
        q[i] = (int)nearbyintf(v);
    }
    return amax / 127.0f;
}

/* ---- 5. products ---- */

/* One output: row of k stored weights times x f32[k]. */
ORACLE float o_product(const char *name, const uint8_t *row, size_t block_bytes, size_t k, const float *x) {
    float y = 0;
    if (name[0] != 'Q') { /* F32, F16, BF16 */
        for (size_t i = 0; i < k; i++) {
            const uint8_t *p = row + i * block_bytes;
            float w = name[0] == 'B'   ? o_float(o_u16(p) << 16)
                      : name[1] == '1' ? o_half(o_u16(p))
                                       : o_float(o_u16(p) | (uint32_t)o_u16(p + 2) << 16);
            y = fmaf(x[i], w, y);
        }
        return y;
    }
    o_block b;
    int q[256];
    for (size_t at = 0; at < k; at += (size_t)b.n, row += block_bytes) {
        o_decode(name, row, &b);
        float dx = o_quantise(x + at, b.n, q);
        int dots = 0, mins = 0, sum = 0;
        for (int i = 0; i < b.n; i++) {
            dots += b.sc[i / b.sub] * q[i] * b.q[i];
            mins += b.mn[i / b.sub] * q[i];
            sum += q[i];
        }
        y = fmaf((float)dots, dx * b.d, y);
        if (b.mins && b.n == 32)
            y = fmaf(dx * (float)sum, b.m, y);
        else if (b.mins)
            y = fmaf(-(float)mins, dx * b.m, y);
    }
    return y;
}

/* ---- 6. rows ---- */

ORACLE void o_rmsnorm(const float *x, const float *w, size_t n, float eps, float *y) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float mean = o_tree_sum(lane) / (float)n, r = 1.0f / sqrtf(mean + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = w ? x[i] * r * w[i] : x[i] * r;
}

ORACLE void o_rope(float *x, const float *c, const float *s, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = fmaf(-b, s[i], a * c[i]);
        x[i + half] = fmaf(a, s[i], b * c[i]);
    }
}

ORACLE float o_silu(float x) { return x / (1.0f + o_exp(-x)); }
ORACLE float o_gelu_tanh(float x) {
    float cube = fmaf(0.044715f * x, x, 1.0f), u = 0.797884560802865356f * x * cube;
    return 0.5f * x * (1.0f + o_tanh(u));
}
ORACLE float o_gelu_erf(float x) { return 0.5f * x * (1.0f + o_erf(x * 0.707106781186547524f)); }

ORACLE float o_softcap(float x, float cap) { return cap * o_tanh(x / cap); }

/* ---- 7. attention ---- */

/* key(j, d) and value(j, d) by callback, positions [lo, hi). */
typedef float o_kv_fn(const void *kv, bool value, size_t j, size_t d);

ORACLE void o_attention(const float *q, size_t K, o_kv_fn *get, const void *kv, float scale, float cap, size_t lo,
                        size_t hi, float *out) {
    float M = -INFINITY, Z = 0, s[64];
    for (size_t d = 0; d < K; d++)
        out[d] = 0;
    for (size_t at = lo / 64 * 64; at < hi; at += 64) {
        size_t from = lo > at ? lo : at, to = hi < at + 64 ? hi : at + 64;
        float m = -INFINITY, lane[16] = {0};
        for (size_t j = from; j < to; j++) {
            float dot = 0;
            for (size_t d = 0; d < K; d++)
                dot = fmaf(q[d], get(kv, false, j, d), dot);
            dot = dot * scale;
            s[j - at] = cap != 0 ? o_softcap(dot, cap) : dot;
            m = s[j - at] > m ? s[j - at] : m;
        }
        for (size_t j = from; j < to; j++) {
            s[j - at] = o_exp(s[j - at] - m);
            lane[j % 16] = lane[j % 16] + s[j - at];
        }
        float z = o_tree_sum(lane), top = m > M ? m : M, a = o_exp(M - top), b = o_exp(m - top);
        Z = fmaf(Z, a, z * b);
        M = top;
        for (size_t d = 0; d < K; d++) {
            float o = 0;
            for (size_t j = from; j < to; j++)
                o = fmaf(s[j - at], get(kv, true, j, d), o);
            out[d] = fmaf(out[d], a, o * b);
        }
    }
    for (size_t d = 0; d < K; d++)
        out[d] = out[d] / Z;
}

#endif
