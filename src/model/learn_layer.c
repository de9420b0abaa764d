/* learn_layer: one transformer block, forward and backward.
 *
 *   forward   as in forward.c, every product a run of chains; what the backward pass needs stays in a trace
 *   backward  from the gradient dx of the block's output, branch by branch, last branch first:
 *               dh = residual_scale * dx, through the norm behind the branch
 *               products: dx by chains over the rows of all matrices that share an input, dw by chains over tokens
 *               dx = dx + (gradient of the branch's input, through the norm in front)
 */
#include <string.h>

#include "model/learner_int.h"
#include "tensor/rows.h"

kern_gemm linear(const matrix *w, const float *x, size_t ldx, size_t n, float *y, size_t ldy) {
    return (kern_gemm){.a = x,
                       .a_row = ldx,
                       .a_k = 1,
                       .b = (const float *)(const void *)w->packed,
                       .b_panel = w->cols * 16,
                       .b_k = 16,
                       .c = y,
                       .c_row = ldy,
                       .c_panel = 16,
                       .rows = n,
                       .depth = w->cols,
                       .outs = w->rows};
}

kern_gemm linear_dx(const matrix *w, const float *dy, size_t ldy, size_t n, float *dx, size_t ldx, bool go_on) {
    return (kern_gemm){.a = dy,
                       .a_row = ldy,
                       .a_k = 1,
                       .b = (const float *)(const void *)w->packed,
                       .b_panel = w->cols * 16,
                       .turned = true,
                       .c = dx,
                       .c_row = ldx,
                       .c_panel = 16,
                       .rows = n,
                       .depth = w->rows,
                       .outs = w->cols,
                       .go_on = go_on};
}

kern_gemm linear_dw(const matrix *g, const float *dy, size_t ldy, const float *x, size_t ldx, size_t n, bool go_on) {
    return (kern_gemm){.a = x,
                       .a_row = 1,
                       .a_k = ldx,
                       .b = dy,
                       .b_panel = 16,
                       .b_k = ldy,
                       .c = (float *)(void *)g->packed,
                       .c_row = 16,
                       .c_panel = g->cols * 16,
                       .rows = g->cols,
                       .depth = n,
                       .outs = g->rows,
                       .go_on = go_on};
}

/* ---- rows ---- */

/* What the functions on rows need; which of it depends on the function. */
typedef struct {
    learner *l;
    size_t i_layer;
    const layer *y;
    trace *t;
    const float *x, *dy, *norm, *bias;
    float *out;
    size_t n, ld;
} job;

static const kern_ops *kern_of(const job *j) { return j->l->m->engine.kern; }
static float eps_of(const job *j) { return (float)j->l->m->config.norm_eps; }

static void on_rows(job *j, rows_fn *fn) { rows_run(&j->l->m->engine, j->l->n, fn, j); }

/* out = norm(x), rows of D. */
static void norm_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    size_t ld = j->l->D, D = j->l->m->config.D;
    for (size_t t = from; t < to; t++)
        kern_of(j)->rmsnorm(j->x + t * ld, j->norm, D, eps_of(j), j->out + t * ld);
}

/* out = x + residual_scale * norm(dy), the norm where there is one (dh is used for it). */
static void add_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const model_config *c = &j->l->m->config;
    size_t ld = j->l->D;
    float scale = (float)c->residual_scale;
    for (size_t t = from; t < to; t++) {
        const float *h = j->dy + t * ld;
        if (j->norm) {
            float *normed = j->l->dh + t * ld;
            kern_of(j)->rmsnorm(h, j->norm, c->D, eps_of(j), normed);
            h = normed;
        }
        if (scale == 1.0f)
            kern_of(j)->add(j->x + t * ld, h, c->D, j->out + t * ld);
        else
            kern_of(j)->add_scaled(j->x + t * ld, h, scale, c->D, j->out + t * ld);
    }
}

static void bias_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    for (size_t t = from; t < to; t++)
        kern_of(j)->add(j->out + t * j->ld, j->bias, j->n, j->out + t * j->ld);
}

static void add_bias(learner *l, const float *bias, float *y, size_t n, size_t ld) {
    if (bias)
        on_rows(&(job){.l = l, .bias = bias, .out = y, .n = n, .ld = ld}, bias_rows);
}

/* Norms and rotary embedding of n heads in one row. minus: turned back, and no norm. */
static void turn(const job *j, size_t t, float *row, size_t n, const float *norm, bool back) {
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    size_t K = c->K, half = c->rope_width / 2, table = (c->layer_slides[j->i_layer] ? 2 : 0) + (size_t)l->grown[t];
    size_t at = (table * l->angle_rows + (size_t)l->pos[t]) * half;
    if (!back && c->arch->qk == QK_NORM_FULL)
        kern_of(j)->rmsnorm(row, norm, n * K, eps_of(j), row);
    for (size_t h = 0; h < n; h++, row += K) {
        if (!back && c->arch->qk == QK_NORM_HEAD)
            kern_of(j)->rmsnorm(row, norm, K, eps_of(j), row);
        if (!c->layer_no_rope[j->i_layer])
            kern_of(j)->rope(row, l->cos + at, (back ? l->minus : l->sin) + at, half);
    }
}

static void turn_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    for (size_t t = from; t < to; t++) {
        if (j->t->q0) {
            memcpy(j->t->q + t * l->Q, j->t->q0 + t * l->Q, c->H * c->K * sizeof(float));
            memcpy(j->t->k + t * l->KV, j->t->k0 + t * l->KV, c->G * c->K * sizeof(float));
        }
        turn(j, t, j->t->q + t * l->Q, c->H, j->y->q_norm, false);
        turn(j, t, j->t->k + t * l->KV, c->G, j->y->k_norm, false);
    }
}

static void gate_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    for (size_t t = from; t < to; t++)
        kern_of(j)->gated(c->arch->act, j->t->gate + t * l->F, j->t->up + t * l->F, c->F, l->act + t * l->F);
}

/* ---- forward ---- */

static trace *trace_of(learner *l, size_t i_layer) { return &l->traces[l->n_traces == 1 ? 0 : i_layer]; }

void learn_forward(learner *l, size_t i_layer, bool again) {
    const engine *e = &l->m->engine;
    const layer *y = &l->m->layers[i_layer];
    const model_config *c = &l->m->config;
    trace *t = trace_of(l, i_layer);
    job j = {.l = l, .i_layer = i_layer, .y = y, .t = t};
    const float *x = l->x[i_layer], *in = x;
    size_t n = l->n;
    if (y->attn_pre) {
        j.x = x;
        j.norm = y->attn_pre;
        j.out = t->attn_in;
        on_rows(&j, norm_rows);
        in = t->attn_in;
    }
    learn_lap(l, "rows");
    gemm_run(e,
             (kern_gemm[]){linear(&y->q, in, l->D, n, t->q0 ? t->q0 : t->q, l->Q),
                           linear(&y->k, in, l->D, n, t->k0 ? t->k0 : t->k, l->KV),
                           linear(&y->v, in, l->D, n, t->v, l->KV)},
             3, l->scratch);
    learn_lap(l, "products");
    add_bias(l, y->q_bias, t->q0 ? t->q0 : t->q, c->H * c->K, l->Q);
    add_bias(l, y->k_bias, t->k0 ? t->k0 : t->k, c->G * c->K, l->KV);
    add_bias(l, y->v_bias, t->v, c->G * c->K, l->KV);
    on_rows(&j, turn_rows);
    learn_lap(l, "rows");
    learn_attention(l, i_layer, t);
    learn_lap(l, "attention");
    float *branch = t->attn_out ? t->attn_out : l->dh;
    gemm_run(e, (kern_gemm[]){linear(&y->o, t->att, l->Q, n, branch, l->D)}, 1, l->scratch);
    learn_lap(l, "products");
    add_bias(l, y->o_bias, branch, c->D, l->D);
    on_rows(&(job){.l = l, .x = x, .dy = branch, .norm = y->attn_post, .out = t->mid}, add_rows);

    in = t->mid;
    if (y->ffn_pre) {
        j.x = t->mid;
        j.norm = y->ffn_pre;
        j.out = t->ffn_in;
        on_rows(&j, norm_rows);
        in = t->ffn_in;
    }
    learn_lap(l, "rows");
    gemm_run(e, (kern_gemm[]){linear(&y->gate, in, l->D, n, t->gate, l->F), linear(&y->up, in, l->D, n, t->up, l->F)},
             2, l->scratch);
    learn_lap(l, "products");
    add_bias(l, y->gate_bias, t->gate, c->F, l->F);
    add_bias(l, y->up_bias, t->up, c->F, l->F);
    if (again && !t->ffn_out) /* the backward pass asks for no more */
        return;
    on_rows(&j, gate_rows);
    learn_lap(l, "gates");
    branch = t->ffn_out ? t->ffn_out : l->dh;
    gemm_run(e, (kern_gemm[]){linear(&y->down, l->act, l->F, n, branch, l->D)}, 1, l->scratch);
    learn_lap(l, "products");
    add_bias(l, y->down_bias, branch, c->D, l->D);
    if (!again)
        on_rows(&(job){.l = l, .x = t->mid, .dy = branch, .norm = y->ffn_post, .out = l->x[i_layer + 1]}, add_rows);
    learn_lap(l, "rows");
}

/* ---- backward ---- */

/* Sums over tokens, columns shared among threads. */
typedef struct {
    const learner *l;
    const float *dy, *x, *r;
    float *out;
    size_t ld, ldr, n_inner, cols;
} column_job;

enum { COLUMNS = 64 }; /* of a task */

static void bias_columns(void *ctx, size_t i, int thread) {
    const column_job *j = ctx;
    size_t at = i * COLUMNS, n = j->cols - at < COLUMNS ? j->cols - at : COLUMNS;
    (void)thread;
    j->l->m->engine.kern->sum_rows(j->dy + at, j->ld, j->l->n, n, j->out + at);
}

static void bias_back(learner *l, const float *g, const float *dy, size_t ld, size_t cols) {
    if (g)
        tasks_run(&l->m->engine, (cols + COLUMNS - 1) / COLUMNS, bias_columns,
                  &(column_job){.l = l, .dy = dy, .out = (float *)(uintptr_t)g, .ld = ld, .cols = cols});
}

static void norm_columns(void *ctx, size_t i, int thread) {
    const column_job *j = ctx;
    const kern_ops *k = j->l->m->engine.kern;
    size_t at = i * COLUMNS, n = j->cols - at < COLUMNS ? j->cols - at : COLUMNS;
    (void)thread;
    memset(j->out + at, 0, n * sizeof(float));
    if (j->n_inner == 1 && j->ldr == 1) {
        k->norm_weight_back(j->dy + at, j->x + at, j->ld, j->r, j->l->n, n, j->out + at);
        return;
    }
    for (size_t t = 0; t < j->l->n; t++)
        k->norm_weight_back(j->dy + t * j->ld + at, j->x + t * j->ld + at, j->cols, j->r + t * j->ldr, j->n_inner, n,
                            j->out + at);
}

void learn_norm_weight(learner *l, const float *dy, const float *x, size_t ld, size_t n_inner, const float *r,
                       size_t ldr, size_t cols, float *gw) {
    tasks_run(&l->m->engine, (cols + COLUMNS - 1) / COLUMNS, norm_columns,
              &(column_job){l, dy, x, r, gw, ld, ldr, n_inner, cols});
}

/* dh = residual_scale * dx, through the norm behind the branch whose output was x. */
static void branch_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const model_config *c = &j->l->m->config;
    size_t ld = j->l->D;
    for (size_t t = from; t < to; t++) {
        const float *d = j->l->dx + t * ld;
        float *dh = j->l->dh + t * ld;
        if (c->residual_scale != 1) {
            kern_of(j)->scale(d, (float)c->residual_scale, c->D, dh);
            d = dh;
        }
        if (j->norm) {
            /* the norm's own gradient wants d as it is: dn keeps it */
            memcpy(j->l->dn + t * ld, d, c->D * sizeof(float));
            kern_of(j)->rmsnorm_back(j->x + t * ld, j->norm, d, NULL, c->D, eps_of(j), dh, &j->l->r[t]);
        }
    }
}

/* Gives the gradient of the branch's output before its norm; gw: of the norm's weight. */
static const float *branch_back(learner *l, const float *out, const float *norm, const float *gw) {
    if (!norm && l->m->config.residual_scale == 1)
        return l->dx;
    on_rows(&(job){.l = l, .x = out, .norm = norm}, branch_rows);
    if (norm)
        learn_norm_weight(l, l->dn, out, l->D, 1, l->r, 1, l->m->config.D, (float *)(uintptr_t)gw);
    return l->dh;
}

/* dx = dx + gradient of the branch's input, through the norm in front of it. */
static void input_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    size_t ld = j->l->D, D = j->l->m->config.D;
    for (size_t t = from; t < to; t++) {
        float *dx = j->l->dx + t * ld, *dn = j->l->dn + t * ld;
        if (j->norm)
            kern_of(j)->rmsnorm_back(j->x + t * ld, j->norm, dn, dx, D, eps_of(j), dx, &j->l->r[t]);
        else
            kern_of(j)->add(dx, dn, D, dx);
    }
}

static void input_back(learner *l, const float *in, const float *norm, const float *gw) {
    on_rows(&(job){.l = l, .x = in, .norm = norm}, input_rows);
    if (norm)
        learn_norm_weight(l, l->dn, in, l->D, 1, l->r, 1, l->m->config.D, (float *)(uintptr_t)gw);
}

/* act: the gradient of y before, y after; gate and up become their gradients. */
static void gate_back_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    const learner *l = j->l;
    const model_config *c = &l->m->config;
    for (size_t t = from; t < to; t++) {
        float *act = l->act + t * l->F, *gate = j->t->gate + t * l->F, *up = j->t->up + t * l->F;
        kern_of(j)->gated_back(c->arch->act, gate, up, act, c->F, gate, up, act);
    }
}

static void ffn_back(learner *l, const layer *y, const layer *g, trace *t) {
    const engine *e = &l->m->engine;
    const model_config *c = &l->m->config;
    size_t n = l->n;
    const float *dh = branch_back(l, t->ffn_out, y->ffn_post, g->ffn_post), *in = y->ffn_pre ? t->ffn_in : t->mid;
    learn_lap(l, "rows back");
    gemm_run(e, (kern_gemm[]){linear_dx(&y->down, dh, l->D, n, l->act, l->F, false)}, 1, l->scratch);
    learn_lap(l, "dx");
    on_rows(&(job){.l = l, .t = t}, gate_back_rows);
    learn_lap(l, "gates back");
    gemm_run(e,
             (kern_gemm[]){linear_dw(&g->down, dh, l->D, l->act, l->F, n, false),
                           linear_dw(&g->gate, t->gate, l->F, in, l->D, n, false),
                           linear_dw(&g->up, t->up, l->F, in, l->D, n, false)},
             3, l->scratch);
    learn_lap(l, "dw");
    bias_back(l, g->down_bias, dh, l->D, c->D);
    bias_back(l, g->gate_bias, t->gate, l->F, c->F);
    bias_back(l, g->up_bias, t->up, l->F, c->F);
    gemm_run_chained(e,
                     (kern_gemm[]){linear_dx(&y->gate, t->gate, l->F, n, l->dn, l->D, false),
                                   linear_dx(&y->up, t->up, l->F, n, l->dn, l->D, true)},
                     2, l->scratch);
    learn_lap(l, "dx");
    input_back(l, t->mid, y->ffn_pre, g->ffn_pre);
}

/* Turns dq and dk back, and takes them through the norms of q and k (whose own gradients want them turned back: datt
 * and k_panels keep those). */
static void turn_back_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    learner *l = j->l;
    const model_config *c = &l->m->config;
    size_t K = c->K;
    for (size_t t = from; t < to; t++) {
        float *dq = l->dq + t * l->Q, *dk = l->dk + t * l->KV, *r = l->r + t * (c->H + c->G);
        turn(j, t, dq, c->H, NULL, true);
        turn(j, t, dk, c->G, NULL, true);
        if (c->arch->qk == QK_NORM_NONE)
            continue;
        float *q = l->datt + t * l->Q, *k = l->k_panels + t * l->KV;
        const float *q0 = j->t->q0 + t * l->Q, *k0 = j->t->k0 + t * l->KV;
        memcpy(q, dq, c->H * K * sizeof(float));
        memcpy(k, dk, c->G * K * sizeof(float));
        bool full = c->arch->qk == QK_NORM_FULL;
        for (size_t h = 0; h < (full ? 1 : c->H); h++)
            kern_of(j)->rmsnorm_back(q0 + h * K, j->y->q_norm, q + h * K, NULL, full ? c->H * K : K, eps_of(j),
                                     dq + h * K, r + h);
        for (size_t h = 0; h < (full ? 1 : c->G); h++)
            kern_of(j)->rmsnorm_back(k0 + h * K, j->y->k_norm, k + h * K, NULL, full ? c->G * K : K, eps_of(j),
                                     dk + h * K, r + c->H + h);
    }
}

static void attention_back(learner *l, size_t i_layer, const layer *y, const layer *g, trace *t) {
    const engine *e = &l->m->engine;
    const model_config *c = &l->m->config;
    size_t n = l->n, heads = c->H + c->G;
    const float *dh = branch_back(l, t->attn_out, y->attn_post, g->attn_post);
    const float *in = y->attn_pre ? t->attn_in : l->x[i_layer];
    learn_lap(l, "rows back");
    gemm_run(e, (kern_gemm[]){linear_dx(&y->o, dh, l->D, n, l->datt, l->Q, false)}, 1, l->scratch);
    learn_lap(l, "dx");
    gemm_run(e, (kern_gemm[]){linear_dw(&g->o, dh, l->D, t->att, l->Q, n, false)}, 1, l->scratch);
    learn_lap(l, "dw");
    bias_back(l, g->o_bias, dh, l->D, c->D);
    learn_attention_back(l, i_layer, t);
    learn_lap(l, "attention back");
    on_rows(&(job){.l = l, .i_layer = i_layer, .y = y, .t = t}, turn_back_rows);
    if (c->arch->qk != QK_NORM_NONE) {
        bool full = c->arch->qk == QK_NORM_FULL;
        learn_norm_weight(l, l->datt, t->q0, l->Q, full ? 1 : c->H, l->r, heads, full ? c->H * c->K : c->K,
                          (float *)(uintptr_t)g->q_norm);
        learn_norm_weight(l, l->k_panels, t->k0, l->KV, full ? 1 : c->G, l->r + c->H, heads, full ? c->G * c->K : c->K,
                          (float *)(uintptr_t)g->k_norm);
    }
    gemm_run(e,
             (kern_gemm[]){linear_dw(&g->q, l->dq, l->Q, in, l->D, n, false),
                           linear_dw(&g->k, l->dk, l->KV, in, l->D, n, false),
                           linear_dw(&g->v, l->dv, l->KV, in, l->D, n, false)},
             3, l->scratch);
    learn_lap(l, "dw");
    bias_back(l, g->q_bias, l->dq, l->Q, c->H * c->K);
    bias_back(l, g->k_bias, l->dk, l->KV, c->G * c->K);
    bias_back(l, g->v_bias, l->dv, l->KV, c->G * c->K);
    gemm_run_chained(e,
                     (kern_gemm[]){linear_dx(&y->q, l->dq, l->Q, n, l->dn, l->D, false),
                                   linear_dx(&y->k, l->dk, l->KV, n, l->dn, l->D, true),
                                   linear_dx(&y->v, l->dv, l->KV, n, l->dn, l->D, true)},
                     3, l->scratch);
    learn_lap(l, "dx");
    input_back(l, l->x[i_layer], y->attn_pre, g->attn_pre);
    learn_lap(l, "rows back");
}

void learn_backward(learner *l, size_t i_layer) {
    const layer *y = &l->m->layers[i_layer], *g = &l->grads[i_layer];
    trace *t = trace_of(l, i_layer);
    ffn_back(l, y, g, t);
    attention_back(l, i_layer, y, g, t);
}
