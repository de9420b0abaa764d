/* learn_layer: one transformer block, forward and backward.
 *
 *   forward   as in forward.c; what the backward pass needs stays in a trace
 *   backward  from the gradient dx of the block's output, branch by branch, last branch first:
 *               dh = residual_scale * dx, through the norm behind the branch
 *               products: learn_product.c
 *               dx = dx + (gradient of the branch's input, through the norm in front)
 *             it ends where nothing below learns: at the lowest target of an adapter
 */
#include <string.h>

#include "kern/half.h"
#include "model/learner_int.h"
#include "tensor/rows.h"

/* ---- rows ---- */

/* What the functions on rows need; which of it depends on the function. */
typedef struct {
    learner *l;
    size_t i_layer;
    const layer *y;
    trace *t;
    const float *x, *dy, *norm;
    float *out;
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

/* As a cache in halves keeps them. */
static void round_to_halves(const job *j, float *x, size_t n) {
    uint16_t half[CONFIG_HEAD_WIDTH_MAX];
    kern_of(j)->to_f16(x, n, half);
    for (size_t i = 0; i < n; i++)
        x[i] = half_to_f32(half[i]);
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
        for (size_t g = 0; l->m->kv_f16 && g < c->G; g++) {
            round_to_halves(j, j->t->k + t * l->KV + g * c->K, c->K);
            round_to_halves(j, j->t->v + t * l->KV + g * c->K, c->K);
        }
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
    const layer *y = &l->m->layers[i_layer];
    trace *t = trace_of(l, i_layer);
    job j = {.l = l, .i_layer = i_layer, .y = y, .t = t};
    const float *x = l->x[i_layer], *in = x;
    if (y->attn_pre) {
        j.x = x;
        j.norm = y->attn_pre;
        j.out = t->attn_in;
        on_rows(&j, norm_rows);
        in = t->attn_in;
    }
    learn_lap(l, "rows");
    products qkv = {i_layer, LORA_Q, 3, {{t->q0 ? t->q0 : t->q, l->Q}, {t->k0 ? t->k0 : t->k, l->KV}, {t->v, l->KV}}};
    learn_products(l, t, &qkv, in, l->D);
    on_rows(&j, turn_rows);
    learn_lap(l, "rows");
    learn_attention(l, i_layer, t);
    learn_lap(l, "attention");
    float *branch = t->attn_out ? t->attn_out : l->dh;
    learn_products(l, t, &(products){i_layer, LORA_O, 1, {{branch, l->D}}}, t->att, l->Q);
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
    learn_products(l, t, &(products){i_layer, LORA_GATE, 2, {{t->gate, l->F}, {t->up, l->F}}}, in, l->D);
    if (again && !t->ffn_out && !t->bare[LORA_DOWN]) /* the backward pass asks for no more */
        return;
    on_rows(&j, gate_rows);
    learn_lap(l, "gates");
    branch = t->ffn_out ? t->ffn_out : l->dh;
    learn_products(l, t, &(products){i_layer, LORA_DOWN, 1, {{branch, l->D}}}, l->act, l->F);
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
    if (!gw) /* it is not learned */
        return;
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
static float *branch_back(learner *l, const float *out, const float *norm, const float *gw) {
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

/* false: nothing below learns. */
static bool ffn_back(learner *l, size_t i_layer, const layer *y, const layer *g, trace *t) {
    float *dh = branch_back(l, t->ffn_out, y->ffn_post, g->ffn_post);
    const float *in = y->ffn_pre ? t->ffn_in : t->mid;
    learn_lap(l, "rows back");
    const products down = {i_layer, LORA_DOWN, 1, {{dh, l->D}}};
    const products gate_up = {i_layer, LORA_GATE, 2, {{t->gate, l->F}, {t->up, l->F}}};
    learn_products_dx(l, &down, l->act, l->F);
    on_rows(&(job){.l = l, .t = t}, learn_goes_on(l, &down) ? gate_back_rows : gate_rows);
    learn_lap(l, "gates back");
    learn_products_dw(l, t, &down, l->act, l->F);
    if (!learn_goes_on(l, &down))
        return false;
    learn_products_dx(l, &gate_up, l->dn, l->D);
    learn_products_dw(l, t, &gate_up, in, l->D);
    if (!learn_goes_on(l, &gate_up))
        return false;
    input_back(l, t->mid, y->ffn_pre, g->ffn_pre);
    return true;
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
    const model_config *c = &l->m->config;
    size_t heads = c->H + c->G;
    float *dh = branch_back(l, t->attn_out, y->attn_post, g->attn_post);
    const float *in = y->attn_pre ? t->attn_in : l->x[i_layer];
    learn_lap(l, "rows back");
    const products out = {i_layer, LORA_O, 1, {{dh, l->D}}};
    const products qkv = {i_layer, LORA_Q, 3, {{l->dq, l->Q}, {l->dk, l->KV}, {l->dv, l->KV}}};
    learn_products_dx(l, &out, l->datt, l->Q);
    learn_products_dw(l, t, &out, t->att, l->Q);
    if (!learn_goes_on(l, &out))
        return;
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
    learn_products_dx(l, &qkv, l->dn, l->D);
    learn_products_dw(l, t, &qkv, in, l->D);
    if (learn_goes_on(l, &qkv))
        input_back(l, l->x[i_layer], y->attn_pre, g->attn_pre);
    learn_lap(l, "rows back");
}

void learn_backward(learner *l, size_t i_layer) {
    const layer *y = &l->m->layers[i_layer], *g = &l->grads[i_layer];
    trace *t = trace_of(l, i_layer);
    if (ffn_back(l, i_layer, y, g, t))
        attention_back(l, i_layer, y, g, t);
}
