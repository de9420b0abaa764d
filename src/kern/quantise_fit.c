/* quantise_fit: searches for scales; see quantise_fit.h. */
#include "kern/quantise_fit.h"

#include <math.h>
#include <string.h>

enum { FIT_MAX = 32 };
static const float TINY = 1e-15f; /* a block without a larger element is zero */

int fit_nearest(float f) {
    float shifted = f + 12582912.0f; /* 1.5 * 2^23: the last bit of the sum is worth 1 */
    uint32_t u;
    memcpy(&u, &shifted, sizeof u);
    return (int)(u & 0x7fffff) - 0x400000;
}

static int clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

/* The element of largest size, the first of equals, in *max; its size. */
static float largest(int n, const float *x, float *max) {
    float size = 0;
    *max = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > size) {
            size = fabsf(x[i]);
            *max = x[i];
        }
    return size;
}

/* Sums of w*x*l and w*l*l: their quotient is the best scale for the integers l. */
typedef struct {
    float xl, ll;
} moments;

static void moments_add(moments *m, float w, float x, int l) {
    m->xl += w * x * (float)l;
    m->ll += w * (float)l * (float)l;
}

/* ---- both signs ---- */

static moments round_all(int n, int half, float iscale, const float *x, const float *w, int8_t *l) {
    moments m = {0, 0};
    for (int i = 0; i < n; i++) {
        l[i] = (int8_t)clamp(fit_nearest(iscale * x[i]), -half, half - 1);
        moments_add(&m, w ? w[i] : x[i] * x[i], x[i], l[i]);
    }
    return m;
}

static void offset(int n, int half, const int8_t *l, uint8_t *q) {
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)(l[i] + half);
}

float fit_signed(int n, int half, const float *x, const float *w, uint8_t *q) {
    float max;
    if (largest(n, x, &max) < TINY) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    int8_t l[FIT_MAX];
    moments m = round_all(n, half, (float)-half / max, x, w, l);
    offset(n, half, l, q);
    float scale = m.ll != 0 ? m.xl / m.ll : 0, best = scale * m.xl;
    for (int i = -9; i <= 9; i++) {
        if (i == 0)
            continue;
        m = round_all(n, half, -((float)half + 0.1f * (float)i) / max, x, w, l);
        if (m.ll > 0 && m.xl * m.xl > best * m.ll) {
            offset(n, half, l, q);
            scale = m.xl / m.ll;
            best = scale * m.xl;
        }
    }
    return scale;
}

float fit_signed_step(int n, int half, const float *x, uint8_t *q) {
    float max;
    if (largest(n, x, &max) < TINY) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    int8_t l[FIT_MAX];
    moments m = round_all(n, half, (float)-half / max, x, NULL, l);
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            float w = x[i] * x[i];
            moments rest = {m.xl - w * x[i] * (float)l[i], m.ll - w * (float)l[i] * (float)l[i]};
            if (!(rest.xl > 0))
                continue;
            int better = clamp(fit_nearest(x[i] * rest.ll / rest.xl), -half, half - 1);
            if (better == l[i])
                continue;
            moments_add(&rest, w, x[i], better);
            if (rest.ll > 0 && rest.xl * rest.xl * m.ll > m.xl * m.xl * rest.ll) {
                l[i] = (int8_t)better;
                m = rest;
                changed = true;
            }
        }
    }
    offset(n, half, l, q);
    return m.ll > 0 ? m.xl / m.ll : 0;
}

/* ---- from zero up ---- */

/* most 0: integers as they come, cut to a byte. */
static float squared_error(int n, int most, float iscale, const float *x, const float *w) {
    float scale = 1 / iscale, sum = 0;
    for (int i = 0; i < n; i++) {
        int l = fit_nearest(iscale * x[i]);
        l = !most ? (uint8_t)l : l < most ? l : most;
        float diff = x[i] - scale * (float)l;
        sum += w[i] * diff * diff;
    }
    return sum;
}

float fit_positive(int n, int most, const float *x, const float *w, uint8_t *q) {
    float max = 0;
    for (int i = 0; i < n; i++)
        max = max > x[i] ? max : x[i];
    if (max < TINY) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    float iscale = (float)most / max, best = squared_error(n, 0, iscale, x, w);
    for (int i = -4; i <= 4; i++) {
        float candidate = (0.1f * (float)i + (float)most) / max;
        float error = i ? squared_error(n, most, candidate, x, w) : best;
        if (error < best) {
            best = error;
            iscale = candidate;
        }
    }
    moments m = {0, 0};
    for (int i = 0; i < n; i++) {
        int l = fit_nearest(iscale * x[i]);
        l = l < most ? l : most;
        q[i] = (uint8_t)l;
        moments_add(&m, w[i], x[i], l);
    }
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            moments rest = {m.xl - w[i] * x[i] * (float)q[i], m.ll - w[i] * (float)q[i] * (float)q[i]};
            if (!(rest.xl > 0 && rest.ll > 0))
                continue;
            int better = fit_nearest(x[i] * rest.ll / rest.xl);
            better = better < most ? better : most;
            if (better == q[i])
                continue;
            moments_add(&rest, w[i], x[i], better);
            if (rest.xl * rest.xl * m.ll > m.xl * m.xl * rest.ll) {
                q[i] = (uint8_t)better;
                m = rest;
                changed = true;
            }
        }
    }
    return m.ll > 0 ? m.xl / m.ll : 0;
}

/* ---- with a minimum ---- */

const fit_plan fit_weighted = {-0.9f, 0.05f, 36, false, true};

static float error_of(const fit_plan *plan, int n, float scale, float min, const float *x, const float *w,
                      const uint8_t *q) {
    float sum = 0;
    for (int i = 0; i < n; i++) {
        float diff = scale * (float)q[i] + min - x[i];
        sum += w[i] * (plan->absolute ? fabsf(diff) : diff * diff);
    }
    return sum;
}

static uint8_t round_one(bool bounded, int most, float v) {
    if (bounded) /* v may be infinite or NaN when the best minimum lies at the maximum */
        return (uint8_t)(v > 0 ? fit_nearest(v < (float)most ? v : (float)most) : 0);
    return (uint8_t)clamp(fit_nearest(v), 0, most);
}

float fit_range(const fit_plan *plan, int n, int most, const float *x, const float *w, uint8_t *q, float *the_min) {
    float min = x[0], max = x[0], sum_w = w[0], sum_x = sum_w * x[0];
    for (int i = 1; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    min = min > 0 ? 0 : min;
    if (max <= min) {
        memset(q, 0, (size_t)n);
        *the_min = -min;
        return 0;
    }
    float iscale = (float)most / (max - min), scale = 1 / iscale;
    for (int i = 0; i < n; i++)
        q[i] = round_one(false, most, iscale * (x[i] - min));
    float best = error_of(plan, n, scale, min, x, w, q);
    for (int step = 0; step <= plan->n_steps; step++) {
        uint8_t l[FIT_MAX];
        float sum_l = 0, sum_ll = 0, sum_xl = 0;
        /* The range goes on from the best minimum so far. */
        iscale = (plan->first + plan->step * (float)step + (float)most) / (max - min);
        for (int i = 0; i < n; i++) {
            l[i] = round_one(plan->bounded, most, iscale * (x[i] - min));
            sum_l += w[i] * (float)l[i];
            sum_ll += w[i] * (float)l[i] * (float)l[i];
            sum_xl += w[i] * (float)l[i] * x[i];
        }
        float det = sum_w * sum_ll - sum_l * sum_l;
        if (!(det > 0))
            continue;
        float this_scale = (sum_w * sum_xl - sum_x * sum_l) / det, this_min = (sum_ll * sum_x - sum_l * sum_xl) / det;
        if (this_min > 0) {
            this_min = 0;
            this_scale = sum_xl / sum_ll;
        }
        float error = error_of(plan, n, this_scale, this_min, x, w, l);
        if (error < best) {
            memcpy(q, l, (size_t)n);
            best = error;
            scale = this_scale;
            min = this_min;
        }
    }
    *the_min = -min;
    return scale;
}
