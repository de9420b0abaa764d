/* learn_adapter: an adapter's part in a layer's products, forward and backward.
 *
 * With u = x, or x with some numbers left out (dropout), t = (A u) * scale, B' = B, or B * gain of DoRA:
 *
 *   forward    y goes on by t[i] * B'[r][i]; before that DoRA keeps W x and multiplies y by its gain
 *   backward   dt = (chain over r of dy[r] * B'[r][i]) * scale
 *              dx goes on by dt[i] * A[i][c], or with dropout: dx = dx + what that chain alone gives, dropped as x was
 *              dA[i][c] = chain over tokens of u[c] * dt[i];  dB'[r][i] = chain over tokens of t[i] * dy[r]
 *              DoRA, its norms taken for constants:  dB = dB' * gain
 *              dmagnitude[r] = (chain over tokens of dy[r] * (W x)[r], then over i of dB'[r][i] * B[r][i]) / norm[r];
 *              0 where the norm is 0
 *
 * A u is cheap next to W x, so the backward pass computes it again.
 */
#include <assert.h>
#include <string.h>

#include "base/rng.h"
#include "kern/panel.h"
#include "model/learner_int.h"
#include "tensor/rows.h"

const adapter_target *learn_target(const learner *l, size_t i_layer, lora_part p) {
    return l->tuned && !l->b->bare ? adapter_at(l->o.adapter, i_layer, p) : NULL;
}

/* One target at work. */
typedef struct {
    learner *l;
    const adapter_target *target;
    const lora_grad *grad;
    size_t i_target; /* layer * LORA_PARTS + part */
    float *y, *bare; /* [n][ld] the product or its gradient; DoRA: W x */
    size_t ld;
    const float *x; /* [n][ldx] its input */
    size_t ldx;
    float *dx;       /* where dropped gradients are added to */
    float *low_back; /* [n][R] */
} job;

/* The target of part i; false: there is none. */
static bool job_of(learner *l, const trace *t, const products *p, int i, job *j) {
    lora_part part = (lora_part)((int)p->first + i);
    const adapter_target *target = learn_target(l, p->layer, part);
    size_t at = p->layer * LORA_PARTS + (size_t)part;
    if (!target)
        return false;
    *j = (job){.l = l,
               .target = target,
               .grad = &l->tuned[at],
               .i_target = at,
               .y = p->of[i].y,
               .ld = p->of[i].ld,
               .bare = t ? t->bare[part] : NULL,
               .low_back = l->low_back[i]};
    return true;
}

static void run(const job *j, kern_gemm g) { gemm_run(&j->l->m->engine, &g, 1, j->l->scratch); }

/* x f32[n][R] times scale, in place. */
static void scale_low(const job *j, float *x) {
    for (size_t t = 0; t < j->l->n; t++)
        j->l->m->engine.kern->scale(x + t * j->l->R, j->target->scale, j->target->a.rows, x + t * j->l->R);
}

/* ---- dropout ---- */

enum { PER_BLOCK = 8 }; /* numbers that one Philox block decides on, by 16 bits each */

/* Bit i of the result: number 8*block + i of row t counts. */
static unsigned kept(const job *j, size_t t, size_t block, uint32_t below) {
    const uint64_t seed = j->l->b->dropout_seed;
    const uint32_t ctr[4] = {(uint32_t)block, (uint32_t)t, RNG_DROPOUT, 1 + (uint32_t)j->i_target};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t w[4];
    unsigned bits = 0;
    rng_philox(ctr, key, w);
    for (int i = 0; i < PER_BLOCK; i++)
        bits |= (unsigned)((w[i / 2] >> 16 * (i % 2) & 0xffff) >= below) << i;
    return bits;
}

/* What is left out of 65536, and how much the rest counts for it. */
static uint32_t drop_below(const job *j) { return (uint32_t)(j->l->b->dropout * 65536.0f + 0.5f); }
static float kept_factor(const job *j) { return 65536.0f / (float)(65536 - drop_below(j)); }

/* dropped = x where it counts, times the factor. */
static void drop_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    float factor = kept_factor(j);
    size_t cols = j->target->a.cols;
    for (size_t t = from; t < to; t++)
        for (size_t c = 0; c < cols; c += PER_BLOCK) {
            const float *x = j->x + t * j->ldx + c;
            float *out = j->l->dropped + t * j->l->W + c;
            unsigned bits = kept(j, t, c / PER_BLOCK, drop_below(j));
            for (size_t i = 0; i < PER_BLOCK && c + i < cols; i++)
                out[i] = bits >> i & 1 ? x[i] * factor : 0.0f;
        }
}

/* dx = dx + dropped where x counted, times the factor. */
static void drop_back_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    float factor = kept_factor(j);
    size_t cols = j->target->a.cols;
    for (size_t t = from; t < to; t++)
        for (size_t c = 0; c < cols; c += PER_BLOCK) {
            float *dx = j->dx + t * j->ldx + c;
            const float *d = j->l->dropped + t * j->l->W + c;
            unsigned bits = kept(j, t, c / PER_BLOCK, drop_below(j));
            for (size_t i = 0; i < PER_BLOCK && c + i < cols; i++)
                if (bits >> i & 1)
                    dx[i] = dx[i] + d[i] * factor;
        }
}

/* j->x becomes u. */
static void drop(job *j) {
    if (drop_below(j) == 0)
        return;
    rows_run(&j->l->m->engine, j->l->n, drop_rows, j);
    j->x = j->l->dropped;
    j->ldx = j->l->W;
}

/* low = t */
static void low_of(job *j, const float *x, size_t ldx) {
    j->x = x;
    j->ldx = ldx;
    drop(j);
    run(j, linear(&j->target->a, j->x, j->ldx, j->l->n, j->l->low, j->l->R));
    scale_low(j, j->l->low);
}

/* ---- forward ---- */

static const matrix *outward(const adapter_target *t) { return t->gain ? &t->gained : &t->b; }

static void gain_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const float *gain = j->target->gain;
    size_t rows = j->target->b.rows;
    for (size_t t = from; t < to; t++) {
        float *y = j->y + t * j->ld;
        memcpy(j->bare + t * j->ld, y, rows * sizeof *y);
        for (size_t r = 0; r < rows; r++)
            y[r] = y[r] * (1.0f + (gain[r] - 1.0f));
    }
}

void learn_adapt(learner *l, trace *t, const products *p, const float *x, size_t ldx) {
    job j;
    for (int i = 0; i < p->n_parts; i++) {
        if (!job_of(l, t, p, i, &j))
            continue;
        if (j.target->gain)
            rows_run(&l->m->engine, l->n, gain_rows, &j);
        low_of(&j, x, ldx);
        kern_gemm up = linear(outward(j.target), l->low, l->R, l->n, j.y, j.ld);
        up.go_on = true;
        run(&j, up);
    }
    learn_lap(l, "adapter");
}

/* ---- backward ---- */

void learn_adapt_dx(learner *l, const products *p, float *dx, size_t ldx) {
    job j;
    for (int i = 0; i < p->n_parts; i++) {
        if (!job_of(l, NULL, p, i, &j))
            continue;
        run(&j, linear_dx(outward(j.target), j.y, j.ld, l->n, j.low_back, l->R, false));
        scale_low(&j, j.low_back);
        if (!dx)
            continue;
        if (drop_below(&j) == 0) {
            run(&j, linear_dx(&j.target->a, j.low_back, l->R, l->n, dx, ldx, true));
            continue;
        }
        run(&j, linear_dx(&j.target->a, j.low_back, l->R, l->n, l->dropped, l->W, false));
        j.dx = dx;
        j.ldx = ldx;
        rows_run(&l->m->engine, l->n, drop_back_rows, &j);
    }
    learn_lap(l, "adapter back");
}

/* Of sixteen rows: dB' becomes dB, and gives its part of dmagnitude. */
static void gain_back(void *ctx, size_t i_panel, int thread) {
    const job *j = ctx;
    const adapter_target *t = j->target;
    const kern_ops *k = j->l->m->engine.kern;
    size_t first = i_panel * PANEL_ROWS, left = t->b.rows - first, n = left < PANEL_ROWS ? left : PANEL_ROWS;
    size_t rank = t->b.cols;
    float *db = (float *)(void *)j->grad->b.packed + first * rank, *dm = j->grad->magnitude + first;
    const float *b = (const float *)(const void *)t->b.packed + first * rank, *ones = j->l->r;
    (void)thread;
    memset(dm, 0, n * sizeof *dm);
    k->norm_weight_back(j->y + first, j->bare + first, j->ld, ones, j->l->n, n, dm);
    for (size_t i = 0; i < rank; i++)
        k->norm_weight_back(db + i * PANEL_ROWS, b + i * PANEL_ROWS, PANEL_ROWS, ones, 1, n, dm);
    for (size_t r = 0; r < n; r++) {
        dm[r] = over_norm(dm[r], t->norm[first + r], 0);
        for (size_t i = 0; i < rank; i++)
            db[i * PANEL_ROWS + r] = db[i * PANEL_ROWS + r] * t->gain[first + r];
    }
}

void learn_adapt_dw(learner *l, const trace *t, const products *p, const float *x, size_t ldx) {
    job j;
    for (int i = 0; i < p->n_parts; i++) {
        if (!job_of(l, t, p, i, &j))
            continue;
        low_of(&j, x, ldx);
        gemm_run(&l->m->engine,
                 (kern_gemm[]){linear_dw(&j.grad->a, j.low_back, l->R, j.x, j.ldx, l->n, false),
                               linear_dw(&j.grad->b, j.y, j.ld, l->low, l->R, l->n, false)},
                 2, l->scratch);
        if (!j.target->gain)
            continue;
        for (size_t r = 0; r < l->n; r++)
            l->r[r] = 1.0f;
        tasks_run(&l->m->engine, matrix_panels(&j.target->b), gain_back, &j);
    }
    learn_lap(l, "adapter dw");
}
