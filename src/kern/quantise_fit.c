/* quantise_fit: blocks side by side, and the search that is done for one at a time; see quantise_fit.h. */
#include "kern/quantise_fit.h"

#include <math.h>
#include <string.h>

static const float TINY = 1e-15f; /* a block without a larger element is zero */

const kern_fit_plan fit_weighted = {-0.9f, 0.05f, 36, false, true};

/* ---- sixteen blocks ---- */

static void turn(size_t n, size_t width, const float *from, float *to) {
    for (size_t i = 0; i < width; i++)
        for (size_t j = 0; j < FIT_BLOCKS; j++)
            to[i * FIT_BLOCKS + j] = j < n ? from[j * width + i] : 0;
}

static void turn_back(fit_group *g, const uint8_t *q) {
    for (size_t j = 0; j < g->n; j++)
        for (size_t i = 0; i < g->width; i++)
            g->q[j * g->width + i] = q[i * FIT_BLOCKS + j];
}

void fit_begin(fit_group *g, size_t n, size_t width, const float *x, const float *w) {
    g->n = n;
    g->width = width;
    turn(n, width, x, g->x);
    if (w)
        turn(n, width, w, g->w);
}

void fit_signed(const kern_ops *k, fit_group *g, int half, bool weighted) {
    uint8_t q[FIT_FLOATS];
    k->fit_signed((int)g->width, half, g->x, weighted ? g->w : NULL, g->scale, q);
    turn_back(g, q);
}

void fit_step(const kern_ops *k, fit_group *g, int half) {
    uint8_t q[FIT_FLOATS];
    k->fit_step((int)g->width, half, g->x, g->scale, q);
    turn_back(g, q);
}

void fit_range(const kern_ops *k, fit_group *g, const kern_fit_plan *plan, int most) {
    uint8_t q[FIT_FLOATS];
    k->fit_range(plan, (int)g->width, most, g->x, g->w, g->scale, g->min, q);
    turn_back(g, q);
}

void fit_weigh(const float *x, const float *importance, size_t n, float mean, float *w) {
    for (size_t i = 0; i < n; i++)
        w[i] = importance[i] * sqrtf(mean + x[i] * x[i]);
}

/* ---- one block ---- */

int fit_nearest(float f) {
    float shifted = f + 12582912.0f; /* 1.5 * 2^23: the last bit of the sum is worth 1 */
    uint32_t u;
    memcpy(&u, &shifted, sizeof u);
    return (int)(u & 0x7fffff) - 0x400000;
}

/* Sums of w*x*l and w*l*l: their quotient is the best scale for the integers l. */
typedef struct {
    float xl, ll;
} moments;

static void moments_add(moments *m, float w, float x, int l) {
    m->xl += w * x * (float)l;
    m->ll += w * (float)l * (float)l;
}

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
