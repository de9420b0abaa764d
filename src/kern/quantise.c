/* quantise: floats to blocks of 32, to half precision, and the dispatch; see quantise.h. Super-blocks are in
 * quantise_super.c, the searches for scales in quantise_fit.c.
 *
 * Without importances a block of 32 is rounded to a scale that its largest element decides; with them the scale is
 * searched for. A conversion to an integer that is out of range gives what x86 gives, as in the reference.
 */
#include "kern/quantise.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kern/block.h"
#include "kern/half.h"
#include "kern/quantise_fit.h"

enum { N = 32 };
static const float LARGEST = 1e9f; /* no block holds more (Q6_K: 2.7e8), and no sum of a search overflows */

uint16_t quantise_half(float f, bool *good) {
    uint16_t h = half_from_f32(f);
    *good = *good && (h & 0x7c00) != 0x7c00;
    return h;
}

/* Towards zero; what does not fit is 0 in its low byte. */
static int cut(float f) { return f > -2147483648.0f && f < 2147483648.0f ? (int)f : 0; }

/* Halves away from zero. */
static int round_away(float f) {
    int i = cut(f);
    float rest = f - (float)i;
    return i + (rest >= 0.5f) - (rest <= -0.5f);
}

/* ---- blocks of 32 by their largest element ---- */

/* The element of largest size, the first of equals. */
static float largest(const float *x) {
    float max = 0, size = 0;
    for (int i = 0; i < N; i++)
        if (size < fabsf(x[i])) {
            size = fabsf(x[i]);
            max = x[i];
        }
    return max;
}

static void range(const float *x, float *min, float *max) {
    *min = FLT_MAX;
    *max = -FLT_MAX;
    for (int i = 0; i < N; i++) {
        if (x[i] < *min)
            *min = x[i];
        if (x[i] > *max)
            *max = x[i];
    }
}

/* q 0 .. 2*half-1 of one sign: the largest element becomes -half. */
static float round_signed(const float *x, int half, uint8_t *q) {
    float d = largest(x) / (float)-half, id = d != 0 ? 1.0f / d : 0.0f;
    for (int i = 0; i < N; i++) {
        int v = (int8_t)cut(x[i] * id + ((float)half + 0.5f));
        q[i] = (uint8_t)(v < 2 * half - 1 ? v : 2 * half - 1);
    }
    return d;
}

/* q 0 .. most over the range from *min on. */
static float round_range(const float *x, int most, uint8_t *q, float *min) {
    float max;
    range(x, min, &max);
    float d = (max - *min) / (float)most, id = d != 0 ? 1.0f / d : 0.0f;
    for (int i = 0; i < N; i++) {
        int v = (uint8_t)cut((x[i] - *min) * id + 0.5f);
        q[i] = (uint8_t)(v < most ? v : most);
    }
    return d;
}

/* ---- packing ---- */

static void pack_nibbles(const uint8_t *q, uint8_t qs[16]) {
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void pack_fifth(const uint8_t *q, uint8_t qh[4]) {
    uint32_t bits = 0;
    for (int j = 0; j < N; j++)
        bits |= (uint32_t)(q[j] >> 4 & 1) << j;
    memcpy(qh, &bits, sizeof bits);
}

/* A block: x ~ d*q + m (m 0 where the format has none), q u8[32]. */
typedef bool pack_fn(float d, float m, const uint8_t *q, uint8_t *out);

static bool pack_q4_0(float d, float m, const uint8_t *q, uint8_t *out) {
    block_q4_0 b;
    bool good = true;
    (void)m;
    b.d = quantise_half(d, &good);
    pack_nibbles(q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool pack_q5_0(float d, float m, const uint8_t *q, uint8_t *out) {
    block_q5_0 b;
    bool good = true;
    (void)m;
    b.d = quantise_half(d, &good);
    pack_nibbles(q, b.qs);
    pack_fifth(q, b.qh);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool pack_q4_1(float d, float m, const uint8_t *q, uint8_t *out) {
    block_q4_1 b;
    bool good = true;
    b.d = quantise_half(d, &good);
    b.m = quantise_half(m, &good);
    pack_nibbles(q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool pack_q5_1(float d, float m, const uint8_t *q, uint8_t *out) {
    block_q5_1 b;
    bool good = true;
    b.d = quantise_half(d, &good);
    b.m = quantise_half(m, &good);
    pack_nibbles(q, b.qs);
    pack_fifth(q, b.qh);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q8_0(const float *x, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t at = 0; at < n; at += N, out += sizeof(block_q8_0)) {
        block_q8_0 b;
        float d = fabsf(largest(x + at)) / 127, id = d != 0 ? 1.0f / d : 0.0f;
        b.d = quantise_half(d, &good);
        for (int i = 0; i < N; i++)
            b.qs[i] = (int8_t)round_away(x[at + (size_t)i] * id);
        memcpy(out, &b, sizeof b);
    }
    return good;
}

/* The formats of at most five bits. */
typedef struct {
    int half, most; /* of one sign: q - half; else, half 0: q from a minimum on */
    pack_fn *pack;
} small;
static const small smalls[DTYPE_COUNT] = {
    [DTYPE_Q4_0] = {8, 15, pack_q4_0},
    [DTYPE_Q4_1] = {0, 15, pack_q4_1},
    [DTYPE_Q5_0] = {16, 31, pack_q5_0},
    [DTYPE_Q5_1] = {0, 31, pack_q5_1},
};

static bool plain_blocks(const small *s, size_t bytes, const float *x, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t at = 0; at < n; at += N, out += bytes) {
        uint8_t q[N];
        float min = 0, d = s->half ? round_signed(x + at, s->half, q) : round_range(x + at, s->most, q, &min);
        good &= s->pack(d, min, q, out);
    }
    return good;
}

/* How much an error counts: importance, and more where the value is large. */
static bool weighted_blocks(const kern_ops *k, const small *s, size_t bytes, const float *x, size_t n,
                            const float *importance, uint8_t *out) {
    fit_group g;
    float sum = 0, w[FIT_FLOATS];
    bool good = true;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    float mean = sum / (float)n;
    for (size_t at = 0; at < n; at += FIT_FLOATS) {
        size_t left = n - at < FIT_FLOATS ? n - at : FIT_FLOATS;
        fit_weigh(x + at, importance + at, left, mean, w);
        fit_begin(&g, left / N, N, x + at, w);
        if (s->half)
            fit_signed(k, &g, s->half, true);
        else
            fit_range(k, &g, &fit_weighted, s->most);
        for (size_t i = 0; i < g.n; i++, out += bytes)
            good &= s->pack(g.scale[i], s->half ? 0 : -g.min[i], g.q + N * i, out);
    }
    return good;
}

/* ---- floats ---- */

static bool f16(const float *x, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = quantise_half(x[i], &good);
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return good;
}

static bool bf16(const float *x, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = bf16_from_f32(x[i]);
        good &= (h & 0x7f80) != 0x7f80;
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return good;
}

/* ---- all ---- */

static bool supers(const kern_ops *k, dtype t, const float *x, size_t n, const float *importance, uint8_t *out) {
    bool good = true;
    for (size_t at = 0; at < n; at += QUANTISE_SUPER, out += dtype_table[t].block_bytes)
        good &= quantise_super(k, t, x + at, importance ? importance + at : NULL, out);
    return good;
}

bool quantise_row(const kern_ops *k, dtype t, const float *x, size_t n, const float *importance, uint8_t *out) {
    float most = dtype_table[t].block_elems > 1 ? LARGEST : FLT_MAX;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= most))
            return false;
    const small *s = &smalls[t];
    size_t bytes = dtype_table[t].block_bytes;
    switch (t) {
    case DTYPE_F32:
        memcpy(out, x, n * sizeof *x);
        return true;
    case DTYPE_F16:
        return f16(x, n, out);
    case DTYPE_BF16:
        return bf16(x, n, out);
    case DTYPE_Q8_0:
        return q8_0(x, n, out);
    default:
        if (!s->pack)
            return supers(k, t, x, n, importance, out);
        return importance ? weighted_blocks(k, s, bytes, x, n, importance, out) : plain_blocks(s, bytes, x, n, out);
    }
}
