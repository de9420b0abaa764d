/* quantise_super: super-blocks of 256, the K types; see quantise.h and the layouts in kern/block.h.
 *
 *   each sub-block: the best scale (and minimum) -> these, as integers of 4, 6 or 8 bits -> the weights rounded anew
 *   by the scales that are left -> packed
 *
 * A sub-block whose scale became zero keeps the integers of its first rounding.
 */
#include <math.h>
#include <string.h>

#include "kern/block.h"
#include "kern/half.h"
#include "kern/quantise_fit.h"

enum { SUPER = QUANTISE_SUPER };

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Scales, minima and weights of up to 16 sub-blocks. */
typedef struct {
    int n, width, most; /* sub-blocks, their width, greatest integer of an element */
    float scale[16], min[16], weight[16];
    uint8_t q[SUPER];
} sub_blocks;

static float sum_of_squares(const float *x, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

/* Importance, and more where the value is large. mean: of squares over the super-block, perhaps times 2. */
static void weigh(const float *x, const float *importance, int n, float mean, float *w) {
    for (int i = 0; i < n; i++)
        w[i] = importance[i] * sqrtf(mean + x[i] * x[i]);
}

static float sum_of(const float *w, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += w[i];
    return sum;
}

/* ---- packing ---- */

/* Elements of 2 bits: byte 32n+l, bits 2j,2j+1: element 128n+32j+l. */
static void pack_twos(const uint8_t *q, uint8_t qs[64]) {
    for (int n = 0; n < 2; n++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *p = q + 128 * n + l;
            qs[32 * n + l] = (uint8_t)((p[0] & 3) | (p[32] & 3) << 2 | (p[64] & 3) << 4 | (p[96] & 3) << 6);
        }
}

/* Eight scales and eight minima of 6 bits: the first four of each whole; of the others four bits together and the two
 * upper bits above the first. */
static void pack_sixes(const uint8_t s[8], const uint8_t m[8], uint8_t out[12]) {
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(m[j] | m[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
}

/* ---- with minima: Q2_K, Q4_K, Q5_K ---- */

/* Scales and minima as integers up to `most`, from zero to the largest. */
static void by_largest(const sub_blocks *b, int most, float *d, float *dmin, uint8_t *s, uint8_t *m) {
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < b->n; j++) {
        max_scale = b->scale[j] > max_scale ? b->scale[j] : max_scale;
        max_min = b->min[j] > max_min ? b->min[j] : max_min;
    }
    float inv_scale = max_scale > 0 ? (float)most / max_scale : 0, inv_min = max_min > 0 ? (float)most / max_min : 0;
    for (int j = 0; j < b->n; j++) {
        uint8_t ls = (uint8_t)fit_nearest(inv_scale * b->scale[j]), lm = (uint8_t)fit_nearest(inv_min * b->min[j]);
        s[j] = ls < most ? ls : (uint8_t)most;
        m[j] = lm < most ? lm : (uint8_t)most;
    }
    *d = max_scale / (float)most;
    *dmin = max_min / (float)most;
}

/* Elements rounded anew by the scales and minima that were kept. */
static void round_again(sub_blocks *b, const float *x, float d, float dmin, const uint8_t *s, const uint8_t *m) {
    for (int j = 0; j < b->n; j++) {
        float scale = d * (float)s[j], min = dmin * (float)m[j];
        if (scale == 0)
            continue;
        for (int i = j * b->width; i < (j + 1) * b->width; i++)
            b->q[i] = (uint8_t)clamp(fit_nearest((x[i] + min) / scale), 0, b->most);
    }
}

/* What a format with minima asks for. */
typedef struct {
    int width, most, scale_most;
    fit_plan plan; /* without importances */
    float mean_times;
} min_format;

static bool fit_with_minima(const min_format *f, const float *x, const float *importance, sub_blocks *b, uint16_t *d16,
                            uint16_t *dmin16, uint8_t *s, uint8_t *m) {
    float w[32], d, dmin, mean = f->mean_times * sum_of_squares(x, SUPER) / SUPER;
    b->n = SUPER / f->width;
    b->width = f->width;
    b->most = f->most;
    for (int j = 0; j < b->n; j++) {
        const float *xj = x + j * f->width;
        if (importance) {
            weigh(xj, importance + j * f->width, f->width, mean, w);
            b->weight[j] = sum_of(w, f->width);
        } else {
            float base = f->plan.absolute ? 0 : sqrtf(sum_of_squares(xj, f->width) / (float)f->width);
            for (int i = 0; i < f->width; i++)
                w[i] = f->plan.absolute ? fabsf(xj[i]) : base + fabsf(xj[i]);
        }
        b->scale[j] =
            fit_range(importance ? &fit_weighted : &f->plan, f->width, f->most, xj, w, b->q + j * f->width, &b->min[j]);
    }
    if (importance) {
        d = fit_positive(b->n, f->scale_most, b->scale, b->weight, s);
        dmin = fit_positive(b->n, f->scale_most, b->min, b->weight, m);
    } else {
        by_largest(b, f->scale_most, &d, &dmin, s, m);
    }
    bool good = true;
    *d16 = quantise_half(d, &good);
    *dmin16 = quantise_half(dmin, &good);
    round_again(b, x, half_to_f32(*d16), half_to_f32(*dmin16), s, m);
    return good;
}

static bool q2_k(const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {16, 3, 15, {-0.5f, 0.1f, 15, true, false}, 1};
    sub_blocks sub;
    block_q2_k b;
    uint8_t s[16], m[16];
    bool good = fit_with_minima(&f, x, importance, &sub, &b.d, &b.dmin, s, m);
    for (int j = 0; j < 16; j++)
        b.scales[j] = (uint8_t)(s[j] | m[j] << 4);
    pack_twos(sub.q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q4_k(const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {32, 15, 63, {-1, 0.1f, 20, false, false}, 2};
    sub_blocks sub;
    block_q4_k b;
    uint8_t s[8], m[8];
    bool good = fit_with_minima(&f, x, importance, &sub, &b.d, &b.dmin, s, m);
    pack_sixes(s, m, b.scales);
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++)
            b.qs[32 * j + l] = (uint8_t)(sub.q[64 * j + l] | sub.q[64 * j + 32 + l] << 4);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q5_k(const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {32, 31, 63, {-0.5f, 0.1f, 15, false, false}, 2};
    sub_blocks sub;
    block_q5_k b;
    uint8_t s[8], m[8];
    bool good = fit_with_minima(&f, x, importance, &sub, &b.d, &b.dmin, s, m);
    pack_sixes(s, m, b.scales);
    memset(b.qh, 0, sizeof b.qh);
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++) {
            uint8_t lo = sub.q[64 * j + l], hi = sub.q[64 * j + 32 + l];
            b.qs[32 * j + l] = (uint8_t)((lo & 15) | (hi & 15) << 4);
            b.qh[l] = (uint8_t)(b.qh[l] | (lo >> 4) << 2 * j | (hi >> 4) << (2 * j + 1));
        }
    memcpy(out, &b, sizeof b);
    return good;
}

/* ---- of both signs: Q3_K, Q6_K ---- */

/* Elements rounded anew: q = round(x / (d * s)) + half. */
static void round_again_signed(uint8_t *q, const float *x, float d, const int8_t s[16], int half) {
    for (int j = 0; j < 16; j++) {
        float scale = d * (float)s[j];
        if (scale == 0)
            continue;
        for (int i = 16 * j; i < 16 * (j + 1); i++)
            q[i] = (uint8_t)(clamp(fit_nearest(x[i] / scale), -half, half - 1) + half);
    }
}

/* The scale of largest size, the first of equals. */
static float largest_scale(const float scale[16]) {
    float max = 0, size = 0;
    for (int j = 0; j < 16; j++)
        if (fabsf(scale[j]) > size) {
            size = fabsf(scale[j]);
            max = scale[j];
        }
    return max;
}

static bool q3_k(const float *x, const float *importance, uint8_t *out) {
    block_q3_k b;
    float scale[16], weight[16], d = 0, mean = 2 * sum_of_squares(x, SUPER) / SUPER;
    uint8_t q[SUPER], s[16] = {0};
    bool good = true;
    for (int j = 0; j < 16; j++) {
        float w[16];
        if (importance)
            weigh(x + 16 * j, importance + 16 * j, 16, mean, w);
        weight[j] = importance ? sum_of(w, 16) : 0;
        scale[j] =
            importance ? fit_signed(16, 4, x + 16 * j, w, q + 16 * j) : fit_signed_step(16, 4, x + 16 * j, q + 16 * j);
    }
    float max = largest_scale(scale);
    if (importance) {
        d = fit_signed(16, 32, scale, weight, s);
    } else if (max != 0) {
        float iscale = -32.0f / max;
        for (int j = 0; j < 16; j++)
            s[j] = (uint8_t)(clamp((int8_t)fit_nearest(iscale * scale[j]), -32, 31) + 32);
        d = 1 / iscale;
    }
    b.d = quantise_half(d, &good);
    int8_t centred[16];
    memset(b.scales, 0, sizeof b.scales);
    for (int j = 0; j < 16; j++) { /* low four bits: 8 and 8 in a byte; upper two: four in a byte */
        b.scales[j % 8] = (uint8_t)(b.scales[j % 8] | (s[j] & 15) << 4 * (j / 8));
        b.scales[8 + j % 4] = (uint8_t)(b.scales[8 + j % 4] | s[j] >> 4 << 2 * (j / 4));
        centred[j] = (int8_t)(s[j] - 32);
    }
    round_again_signed(q, x, half_to_f32(b.d), centred, 4);
    memset(b.hmask, 0, sizeof b.hmask);
    for (int i = 0; i < SUPER; i++)
        b.hmask[i % 32] = (uint8_t)(b.hmask[i % 32] | q[i] >> 2 << i / 32);
    pack_twos(q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q6_k(const float *x, const float *importance, uint8_t *out) {
    block_q6_k b;
    float scale[16];
    uint8_t q[SUPER];
    bool good = true;
    for (int j = 0; j < 16; j++)
        scale[j] = fit_signed(16, 32, x + 16 * j, importance ? importance + 16 * j : NULL, q + 16 * j);
    float max = largest_scale(scale);
    if (fabsf(max) < 1e-15f) {
        memset(out, 0, sizeof b);
        return true;
    }
    float iscale = -128.0f / max;
    b.d = quantise_half(1 / iscale, &good);
    for (int j = 0; j < 16; j++) {
        int s = fit_nearest(iscale * scale[j]);
        b.scales[j] = (int8_t)(s < 127 ? s : 127);
    }
    round_again_signed(q, x, half_to_f32(b.d), b.scales, 32);
    for (int n = 0; n < 2; n++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *p = q + 128 * n + l;
            b.ql[64 * n + l] = (uint8_t)((p[0] & 15) | (p[64] & 15) << 4);
            b.ql[64 * n + 32 + l] = (uint8_t)((p[32] & 15) | (p[96] & 15) << 4);
            b.qh[32 * n + l] = (uint8_t)(p[0] >> 4 | p[32] >> 4 << 2 | p[64] >> 4 << 4 | p[96] >> 4 << 6);
        }
    memcpy(out, &b, sizeof b);
    return good;
}

bool quantise_super(dtype t, const float *x, const float *importance, uint8_t *out) {
    switch (t) {
    case DTYPE_Q2_K:
        return q2_k(x, importance, out);
    case DTYPE_Q3_K:
        return q3_k(x, importance, out);
    case DTYPE_Q4_K:
        return q4_k(x, importance, out);
    case DTYPE_Q5_K:
        return q5_k(x, importance, out);
    case DTYPE_Q6_K:
        return q6_k(x, importance, out);
    default:
        return false;
    }
}
