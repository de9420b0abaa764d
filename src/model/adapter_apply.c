/* adapter_apply: what adapters add to products; the order of arithmetic stands in adapter.h.
 *
 * Every output goes on as the chain it is, so neither threads nor the rows that go along change a bit.
 */
#include <string.h>

#include "model/adapter_int.h"
#include "tensor/linear.h"
#include "tensor/rows.h"

/* Some targets of one adapter that share their input. */
typedef struct {
    model *m;
    float mix;
    int n_targets;
    const adapter_target *target[ADAPT_TOGETHER_MAX];
    float *y[ADAPT_TOGETHER_MAX], *t[ADAPT_TOGETHER_MAX];
} work;

static size_t outs(const work *w, int i) { return w->target[i]->b.rows; }

/* DoRA's share of what was there before: y[r] = y[r] * (1 + mix * (gain[r] - 1)). */
static void gain_rows(void *ctx, size_t from, size_t to) {
    const work *w = ctx;
    for (int i = 0; i < w->n_targets; i++) {
        const float *gain = w->target[i]->gain;
        for (size_t t = from; gain && t < to; t++) {
            float *y = w->y[i] + t * outs(w, i);
            for (size_t r = 0; r < outs(w, i); r++)
                y[r] = y[r] * (1.0f + w->mix * (gain[r] - 1.0f));
        }
    }
}

static bool any_gain(const work *w) {
    for (int i = 0; i < w->n_targets; i++)
        if (w->target[i]->gain)
            return true;
    return false;
}

static void run(work *w, const float *x, size_t ldx, size_t n) {
    const adapter_scratch *s = &w->m->adapting;
    kern_gemm down[ADAPT_TOGETHER_MAX], up[ADAPT_TOGETHER_MAX];
    for (int i = 0; i < w->n_targets; i++) {
        const adapter_target *t = w->target[i];
        w->t[i] = s->t + (size_t)i * MODEL_CHUNK * s->rank;
        down[i] = linear(&t->a, x, ldx, n, w->t[i], s->rank);
        up[i] = linear(t->gain ? &t->gained : &t->b, w->t[i], s->rank, n, w->y[i], outs(w, i));
        up[i].go_on = true;
    }
    if (any_gain(w))
        rows_run(&w->m->engine, n, gain_rows, w);
    gemm_run(&w->m->engine, down, w->n_targets, s->gemm);
    for (int i = 0; i < w->n_targets; i++) {
        float scale = w->mix * w->target[i]->scale;
        for (size_t t = 0; t < n; t++)
            w->m->engine.kern->scale(w->t[i] + t * s->rank, scale, w->target[i]->a.rows, w->t[i] + t * s->rank);
    }
    gemm_run(&w->m->engine, up, w->n_targets, s->gemm);
}

void adapter_apply(const adapter_use *use, size_t n_uses, size_t i_layer, lora_part first, int n_parts, const float *x,
                   size_t ldx, size_t n, float *const y[ADAPT_TOGETHER_MAX]) {
    for (size_t u = 0; u < n_uses; u++) {
        work w = {.m = use[u].adapter->m, .mix = use[u].mix};
        for (int i = 0; i < n_parts && use[u].mix != 0; i++) {
            const adapter_target *t = adapter_at(use[u].adapter, i_layer, (lora_part)((int)first + i));
            if (!t)
                continue;
            w.target[w.n_targets] = t;
            w.y[w.n_targets++] = y[i];
        }
        if (w.n_targets)
            run(&w, x, ldx, n);
    }
}
