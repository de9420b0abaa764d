/* learn_head: the two ends of the model: embedding, and from the last layer to losses.
 *
 * Only positions that count go through the output matrix, as many at a time as there is room for logits. Chains of
 * gradients over positions are continued from one run to the next, so the room changes no bit.
 */
#include <string.h>

#include "model/learner_int.h"
#include "tensor/rows.h"

/* Element (row, col) of a binary32 matrix in panels of 16 rows. */
static float *element(const matrix *w, size_t row, size_t col) {
    return (float *)(void *)w->packed + (row / 16 * w->cols + col) * 16 + row % 16;
}

static void embed_rows(void *ctx, size_t from, size_t to) {
    const learner *l = ctx;
    const model_config *c = &l->m->config;
    for (size_t t = from; t < to; t++) {
        float *x = l->x[0] + t * l->D;
        matrix_row(&l->m->embed, (size_t)l->b->ids[t], x);
        if (c->embed_scale != 1)
            l->m->engine.kern->scale(x, (float)c->embed_scale, c->D, x);
    }
}

void learn_embed(learner *l) {
    rows_run(&l->m->engine, l->n, embed_rows, l);
    learn_lap(l, "embedding");
}

/* Columns of the embedding's gradient, tokens ascending. */
static void embed_back_columns(void *ctx, size_t from, size_t to) {
    const learner *l = ctx;
    float scale = (float)l->m->config.embed_scale;
    for (size_t t = 0; t < l->n; t++) {
        const float *dx = l->dx + t * l->D;
        float *g = element(&l->embed_g, (size_t)l->b->ids[t], 0);
        for (size_t d = from; d < to; d++)
            g[16 * d] = scale == 1.0f ? g[16 * d] + dx[d] : g[16 * d] + dx[d] * scale;
    }
}

static void zero_columns(void *ctx, size_t from, size_t to) {
    const learner *l = ctx;
    memset(l->embed_g.packed + from * 64, 0, (to - from) * 64);
}

void learn_embed_back(learner *l) {
    const model_config *c = &l->m->config;
    if (!c->tied)
        rows_run(&l->m->engine, (c->V + 15) / 16 * c->D, zero_columns, l);
    rows_run(&l->m->engine, c->D, embed_back_columns, l);
    learn_lap(l, "embedding");
}

/* ---- head ---- */

typedef struct {
    learner *l;
    size_t at, n; /* counted positions [at, at+n) */
} job;

static void norm_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    for (size_t i = from; i < to; i++)
        l->m->engine.kern->rmsnorm(l->x[c->L] + l->counted[j->at + i] * l->D, l->m->out_norm, c->D, (float)c->norm_eps,
                                   l->head_in + i * l->D);
}

static void loss_rows(void *ctx, size_t from, size_t to, bool back) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    const kern_ops *k = l->m->engine.kern;
    for (size_t i = from; i < to; i++) {
        size_t t = l->counted[j->at + i], target = (size_t)l->b->target[t];
        float *y = l->logits + i * l->V, stat[2];
        if (c->logit_scale != 1)
            k->scale(y, (float)c->logit_scale, c->V, y);
        if (c->logit_softcap > 0)
            k->softcap(y, (float)c->logit_softcap, c->V, y);
        k->canonical(y, c->V);
        l->loss[t] = k->cross_entropy(y, c->V, target, stat);
        if (back)
            k->cross_entropy_back(y, c->V, target, stat, l->b->weight[t], (float)c->logit_softcap,
                                  (float)c->logit_scale);
    }
}
static void forward_rows(void *ctx, size_t from, size_t to) { loss_rows(ctx, from, to, false); }
static void back_rows(void *ctx, size_t from, size_t to) { loss_rows(ctx, from, to, true); }

/* Through the last norm, into the rows of dx that count. */
static void norm_back_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    for (size_t i = from; i < to; i++) {
        size_t t = l->counted[j->at + i];
        l->m->engine.kern->rmsnorm_back(l->x[c->L] + t * l->D, l->m->out_norm, l->dhead + i * l->D, NULL, c->D,
                                        (float)c->norm_eps, l->dx + t * l->D, &l->r[i]);
        memcpy(l->head_in + i * l->D, l->x[c->L] + t * l->D, c->D * sizeof(float));
    }
}

static void norm_columns(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    size_t end = 16 * to < l->m->config.D ? 16 * to : l->m->config.D;
    l->m->engine.kern->norm_weight_back(l->dhead + 16 * from, l->head_in + 16 * from, l->D, l->r, j->n, end - 16 * from,
                                        l->out_norm_g + 16 * from);
}

void learn_head(learner *l, bool back) {
    const engine *e = &l->m->engine;
    const model_config *c = &l->m->config;
    const matrix *w = &l->m->output;
    bool learned = !l->tuned;
    if (back)
        memset(l->dx, 0, l->n * l->D * sizeof(float));
    if (back && learned) {
        memset(l->out_norm_g, 0, c->D * sizeof(float));
        if (!l->n_counted)
            memset(l->output_g.packed, 0, (c->V + 15) / 16 * 16 * c->D * sizeof(float));
    }
    for (job j = {.l = l}; j.at < l->n_counted; j.at += j.n) {
        j.n = l->n_counted - j.at < l->head_rows ? l->n_counted - j.at : l->head_rows;
        rows_run(e, j.n, norm_rows, &j);
        learn_bare(l, &(product){w, NULL, l->logits, l->V}, 1, l->head_in, l->D, j.n);
        learn_lap(l, "head");
        rows_run(e, j.n, back ? back_rows : forward_rows, &j);
        learn_lap(l, "cross entropy");
        if (!back)
            continue;
        if (learned)
            gemm_run(e, (kern_gemm[]){linear_dw(&l->output_g, l->logits, l->V, l->head_in, l->D, j.n, j.at > 0)}, 1,
                     l->scratch);
        learn_lap(l, "head dw");
        linear_back(e, &(linear_dy){w, l->logits, l->V, NULL}, 1, j.n, l->dhead, l->D, l->weight_rows, l->scratch);
        learn_lap(l, "head dx");
        rows_run(e, j.n, norm_back_rows, &j);
        if (learned)
            rows_run(e, (c->D + 15) / 16, norm_columns, &j);
        learn_lap(l, "rows back");
    }
}
