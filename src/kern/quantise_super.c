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

static float sum_of_squares(const float *x, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
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
static void by_largest(const fit_group *g, int most, float *d, float *dmin, uint8_t *s, uint8_t *m) {
    float max_scale = 0, max_min = 0;
    for (size_t j = 0; j < g->n; j++) {
        max_scale = g->scale[j] > max_scale ? g->scale[j] : max_scale;
        max_min = g->min[j] > max_min ? g->min[j] : max_min;
    }
    float inv_scale = max_scale > 0 ? (float)most / max_scale : 0, inv_min = max_min > 0 ? (float)most / max_min : 0;
    for (size_t j = 0; j < g->n; j++) {
        uint8_t ls = (uint8_t)fit_nearest(inv_scale * g->scale[j]), lm = (uint8_t)fit_nearest(inv_min * g->min[j]);
        s[j] = ls < most ? ls : (uint8_t)most;
        m[j] = lm < most ? lm : (uint8_t)most;
    }
    *d = max_scale / (float)most;
    *dmin = max_min / (float)most;
}

/* Elements rounded anew by the scales and minima that were kept. */
static void round_again(fit_group *g, int most, const float *x, float d, float dmin, const uint8_t *s,
                        const uint8_t *m) {
    for (size_t j = 0; j < g->n; j++) {
        float scale = d * (float)s[j], min = dmin * (float)m[j];
        if (scale == 0)
            continue;
        for (size_t i = j * g->width; i < (j + 1) * g->width; i++)
            g->q[i] = (uint8_t)clamp(fit_nearest((x[i] + min) / scale), 0, most);
    }
}

/* What a format with minima asks for. */
typedef struct {
    int width, most, scale_most;
    kern_fit_plan plan; /* without importances */
    float mean_times;
} min_format;

/* Weights of the elements, and of each sub-block. */
static void weigh_all(const min_format *f, const float *x, const float *importance, float w[SUPER], float weight[16]) {
    size_t width = (size_t)f->width;
    if (importance)
        fit_weigh(x, importance, SUPER, f->mean_times * sum_of_squares(x, SUPER) / SUPER, w);
    for (size_t j = 0; j < SUPER / width; j++) {
        const float *xj = x + j * width;
        float *wj = w + j * width;
        if (importance) {
            weight[j] = sum_of(wj, f->width);
            continue;
        }
        float base = f->plan.absolute ? 0 : sqrtf(sum_of_squares(xj, f->width) / (float)f->width);
        for (size_t i = 0; i < width; i++)
            wj[i] = f->plan.absolute ? fabsf(xj[i]) : base + fabsf(xj[i]);
    }
}

static bool fit_with_minima(const kern_ops *k, const min_format *f, const float *x, const float *importance,
                            fit_group *g, uint16_t *d16, uint16_t *dmin16, uint8_t *s, uint8_t *m) {
    float w[SUPER] = {0}, weight[16], d, dmin;
    weigh_all(f, x, importance, w, weight);
    fit_begin(g, SUPER / (size_t)f->width, (size_t)f->width, x, w);
    fit_range(k, g, importance ? &fit_weighted : &f->plan, f->most);
    if (importance) {
        d = fit_positive((int)g->n, f->scale_most, g->scale, weight, s);
        dmin = fit_positive((int)g->n, f->scale_most, g->min, weight, m);
    } else {
        by_largest(g, f->scale_most, &d, &dmin, s, m);
    }
    bool good = true;
    *d16 = quantise_half(d, &good);
    *dmin16 = quantise_half(dmin, &good);
    round_again(g, f->most, x, half_to_f32(*d16), half_to_f32(*dmin16), s, m);
    return good;
}

static bool q2_k(const kern_ops *k, const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {16, 3, 15, {-0.5f, 0.1f, 15, true, false}, 1};
    fit_group sub;
    block_q2_k b;
    uint8_t s[16], m[16];
    bool good = fit_with_minima(k, &f, x, importance, &sub, &b.d, &b.dmin, s, m);
    for (int j = 0; j < 16; j++)
        b.scales[j] = (uint8_t)(s[j] | m[j] << 4);
    pack_twos(sub.q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q4_k(const kern_ops *k, const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {32, 15, 63, {-1, 0.1f, 20, false, false}, 2};
    fit_group sub;
    block_q4_k b;
    uint8_t s[8], m[8];
    bool good = fit_with_minima(k, &f, x, importance, &sub, &b.d, &b.dmin, s, m);
    pack_sixes(s, m, b.scales);
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++)
            b.qs[32 * j + l] = (uint8_t)(sub.q[64 * j + l] | sub.q[64 * j + 32 + l] << 4);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q5_k(const kern_ops *k, const float *x, const float *importance, uint8_t *out) {
    static const min_format f = {32, 31, 63, {-0.5f, 0.1f, 15, false, false}, 2};
    fit_group sub;
    block_q5_k b;
    uint8_t s[8], m[8];
    bool good = fit_with_minima(k, &f, x, importance, &sub, &b.d, &b.dmin, s, m);
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

/* The scales of a super-block to integers of six bits, as elements are: fits by importance, or from the largest on. */
static float scales_of_six_bits(const kern_ops *k, const float scale[16], const float *weight, uint8_t s[16]) {
    fit_group g;
    float max = largest_scale(scale);
    if (weight) {
        fit_begin(&g, 1, 16, scale, weight);
        fit_signed(k, &g, 32, true);
        memcpy(s, g.q, 16);
        return g.scale[0];
    }
    memset(s, 0, 16);
    if (max == 0)
        return 0;
    float iscale = -32.0f / max;
    for (int j = 0; j < 16; j++)
        s[j] = (uint8_t)(clamp((int8_t)fit_nearest(iscale * scale[j]), -32, 31) + 32);
    return 1 / iscale;
}

static bool q3_k(const kern_ops *k, const float *x, const float *importance, uint8_t *out) {
    block_q3_k b;
    fit_group g;
    float w[SUPER], weight[16];
    uint8_t s[16];
    bool good = true;
    if (importance)
        fit_weigh(x, importance, SUPER, 2 * sum_of_squares(x, SUPER) / SUPER, w);
    fit_begin(&g, 16, 16, x, importance ? w : NULL);
    if (importance)
        fit_signed(k, &g, 4, true);
    else
        fit_step(k, &g, 4);
    for (int j = 0; importance && j < 16; j++)
        weight[j] = sum_of(w + 16 * j, 16);
    float d = scales_of_six_bits(k, g.scale, importance ? weight : NULL, s);
    b.d = quantise_half(d, &good);
    int8_t centred[16];
    memset(b.scales, 0, sizeof b.scales);
    for (int j = 0; j < 16; j++) { /* low four bits: 8 and 8 in a byte; upper two: four in a byte */
        b.scales[j % 8] = (uint8_t)(b.scales[j % 8] | (s[j] & 15) << 4 * (j / 8));
        b.scales[8 + j % 4] = (uint8_t)(b.scales[8 + j % 4] | s[j] >> 4 << 2 * (j / 4));
        centred[j] = (int8_t)(s[j] - 32);
    }
    round_again_signed(g.q, x, half_to_f32(b.d), centred, 4);
    memset(b.hmask, 0, sizeof b.hmask);
    for (int i = 0; i < SUPER; i++)
        b.hmask[i % 32] = (uint8_t)(b.hmask[i % 32] | g.q[i] >> 2 << i / 32);
    pack_twos(g.q, b.qs);
    memcpy(out, &b, sizeof b);
    return good;
}

static bool q6_k(const kern_ops *k, const float *x, const float *importance, uint8_t *out) {
    block_q6_k b;
    fit_group g;
    bool good = true;
    fit_begin(&g, 16, 16, x, importance);
    fit_signed(k, &g, 32, importance != NULL);
    float max = largest_scale(g.scale);
    if (fabsf(max) < 1e-15f) {
        memset(out, 0, sizeof b);
        return true;
    }
    float iscale = -128.0f / max;
    b.d = quantise_half(1 / iscale, &good);
    for (int j = 0; j < 16; j++) {
        int s = fit_nearest(iscale * g.scale[j]);
        b.scales[j] = (int8_t)(s < 127 ? s : 127);
    }
    round_again_signed(g.q, x, half_to_f32(b.d), b.scales, 32);
    for (int n = 0; n < 2; n++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *p = g.q + 128 * n + l;
            b.ql[64 * n + l] = (uint8_t)((p[0] & 15) | (p[64] & 15) << 4);
            b.ql[64 * n + 32 + l] = (uint8_t)((p[32] & 15) | (p[96] & 15) << 4);
            b.qh[32 * n + l] = (uint8_t)(p[0] >> 4 | p[32] >> 4 << 2 | p[64] >> 4 << 4 | p[96] >> 4 << 6);
        }
    memcpy(out, &b, sizeof b);
    return good;
}

bool quantise_super(const kern_ops *k, dtype t, const float *x, const float *importance, uint8_t *out) {
    switch (t) {
    case DTYPE_Q2_K:
        return q2_k(k, x, importance, out);
    case DTYPE_Q3_K:
        return q3_k(k, x, importance, out);
    case DTYPE_Q4_K:
        return q4_k(k, x, importance, out);
    case DTYPE_Q5_K:
        return q5_k(k, x, importance, out);
    case DTYPE_Q6_K:
        return q6_k(k, x, importance, out);
    default:
        return false;
    }
}
