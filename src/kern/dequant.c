/* dequant: what the blocks of a row mean, in plain C; see block.h. */
#include <assert.h>
#include <string.h>

#include "kern/block.h"
#include "kern/half.h"

static void q4_0(const uint8_t *src, float *w) {
    block_q4_0 b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        w[j] = (float)((b.qs[j] & 15) - 8) * d;
        w[j + 16] = (float)((b.qs[j] >> 4) - 8) * d;
    }
}

static void q4_1(const uint8_t *src, float *w) {
    block_q4_1 b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d), m = half_to_f32(b.m);
    for (int j = 0; j < 16; j++) {
        w[j] = (float)(b.qs[j] & 15) * d + m;
        w[j + 16] = (float)(b.qs[j] >> 4) * d + m;
    }
}

static int fifth_bit(const uint8_t qh[4], int j) { return (qh[j / 8] >> (j % 8) & 1) << 4; }

static void q5_0(const uint8_t *src, float *w) {
    block_q5_0 b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        w[j] = (float)(((b.qs[j] & 15) | fifth_bit(b.qh, j)) - 16) * d;
        w[j + 16] = (float)((b.qs[j] >> 4 | fifth_bit(b.qh, j + 16)) - 16) * d;
    }
}

static void q5_1(const uint8_t *src, float *w) {
    block_q5_1 b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d), m = half_to_f32(b.m);
    for (int j = 0; j < 16; j++) {
        w[j] = (float)((b.qs[j] & 15) | fifth_bit(b.qh, j)) * d + m;
        w[j + 16] = (float)(b.qs[j] >> 4 | fifth_bit(b.qh, j + 16)) * d + m;
    }
}

static void q8_0(const uint8_t *src, float *w) {
    block_q8_0 b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d);
    for (int j = 0; j < 32; j++)
        w[j] = (float)b.qs[j] * d;
}

static void q2_k(const uint8_t *src, float *w) {
    block_q2_k b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d), dmin = half_to_f32(b.dmin);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, j = i / 32 % 4, l = i % 32, s = b.scales[i / 16];
        float scale = d * (float)(s & 15), min = dmin * (float)(s >> 4);
        w[i] = scale * (float)(b.qs[32 * n + l] >> 2 * j & 3) - min;
    }
}

/* Scale s of Q3_K: low four bits are a nibble of bytes 0..7, high two stand in bytes 8..11. */
static int q3_scale(const uint8_t sc[12], int s) {
    int low = s < 8 ? sc[s] & 15 : sc[s - 8] >> 4, high = sc[8 + s % 4] >> 2 * (s / 4) & 3;
    return (low | high << 4) - 32;
}

static void q3_k(const uint8_t *src, float *w) {
    block_q3_k b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, j = i / 32 % 4, l = i % 32;
        int q = (b.qs[32 * n + l] >> 2 * j & 3) | (b.hmask[l] >> (4 * n + j) & 1) << 2;
        w[i] = d * (float)q3_scale(b.scales, i / 16) * (float)(q - 4);
    }
}

/* Scale and min s of Q4_K and Q5_K: the first four plain in bytes 0..3 and 4..7; of the last four the low
 * nibbles share bytes 8..11 and the high two bits sit on top of bytes 0..3 and 4..7. */
static void q4_scales(const uint8_t sc[12], int s, int *scale, int *min) {
    if (s < 4) {
        *scale = sc[s] & 63;
        *min = sc[s + 4] & 63;
    } else {
        *scale = (sc[s + 4] & 15) | sc[s - 4] >> 6 << 4;
        *min = sc[s + 4] >> 4 | sc[s] >> 6 << 4;
    }
}

static void q4_k(const uint8_t *src, float *w) {
    block_q4_k b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d), dmin = half_to_f32(b.dmin);
    for (int i = 0; i < 256; i++) {
        int j = i / 64, high = i / 32 % 2, scale, min;
        q4_scales(b.scales, i / 32, &scale, &min);
        int q = b.qs[32 * j + i % 32] >> 4 * high & 15;
        w[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

static void q5_k(const uint8_t *src, float *w) {
    block_q5_k b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d), dmin = half_to_f32(b.dmin);
    for (int i = 0; i < 256; i++) {
        int j = i / 64, high = i / 32 % 2, l = i % 32, scale, min;
        q4_scales(b.scales, i / 32, &scale, &min);
        int q = (b.qs[32 * j + l] >> 4 * high & 15) | (b.qh[l] >> (2 * j + high) & 1) << 4;
        w[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

static void q6_k(const uint8_t *src, float *w) {
    block_q6_k b;
    memcpy(&b, src, sizeof b);
    float d = half_to_f32(b.d);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, j = i / 32 % 4, l = i % 32;
        int low = b.ql[64 * n + 32 * (j % 2) + l] >> 4 * (j / 2) & 15;
        int q = low | (b.qh[32 * n + l] >> 2 * j & 3) << 4;
        w[i] = d * (float)b.scales[i / 16] * (float)(q - 32);
    }
}

static void f32(const uint8_t *src, float *w) { memcpy(w, src, 4); }

static void f16(const uint8_t *src, float *w) {
    uint16_t h;
    memcpy(&h, src, 2);
    *w = half_to_f32(h);
}

static void bf16(const uint8_t *src, float *w) {
    uint16_t h;
    memcpy(&h, src, 2);
    *w = bf16_to_f32(h);
}

void block_dequantise(dtype t, const uint8_t *src, size_t n, float *out) {
    static void (*const one[DTYPE_COUNT])(const uint8_t *, float *) = {
        [DTYPE_F32] = f32,   [DTYPE_F16] = f16,   [DTYPE_BF16] = bf16, [DTYPE_Q4_0] = q4_0, [DTYPE_Q4_1] = q4_1,
        [DTYPE_Q5_0] = q5_0, [DTYPE_Q5_1] = q5_1, [DTYPE_Q8_0] = q8_0, [DTYPE_Q2_K] = q2_k, [DTYPE_Q3_K] = q3_k,
        [DTYPE_Q4_K] = q4_k, [DTYPE_Q5_K] = q5_k, [DTYPE_Q6_K] = q6_k,
    };
    size_t elems = dtype_table[t].block_elems, bytes = dtype_table[t].block_bytes;
    assert(n % elems == 0);
    for (size_t i = 0; i < n / elems; i++)
        one[t](src + i * bytes, out + i * elems);
}
