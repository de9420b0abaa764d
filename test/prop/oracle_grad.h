/* oracle_grad: section 12 of doc/arithmetic.md, and as much of the forward pass as it rests on, in plain scalar C.
 *
 * Written from the text. Matrices are row-major, one number at a time; nothing of src/ is used but the config, the
 * architecture table and the rotary frequencies (model/rope.h), which have tests of their own.
 */
#ifndef LOAM_TEST_ORACLE_GRAD_H
#define LOAM_TEST_ORACLE_GRAD_H

#include <stdio.h>
#include <stdlib.h>

#include "model/config.h"
#include "model/rope.h"
#include "prop/oracle.h"

/* ---- operations ---- */

ORACLE float og_dot(const float *a, const float *b, size_t n) { /* by lanes */
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    return o_tree_sum(lane);
}

ORACLE float og_loss(const float *l, size_t V, size_t u, float *m, float *z) {
    float lane[16] = {0};
    *m = -INFINITY;
    for (size_t v = 0; v < V; v++)
        *m = l[v] > *m ? l[v] : *m;
    for (size_t v = 0; v < V; v++)
        lane[v % 16] = lane[v % 16] + o_exp(l[v] - *m);
    *z = o_tree_sum(lane);
    return o_log(*z) - (l[u] - *m);
}

ORACLE void og_loss_back(float *l, size_t V, size_t u, float m, float z, float weight, float cap, float scale) {
    float k = weight / z;
    for (size_t v = 0; v < V; v++) {
        float d = o_exp(l[v] - m) * k, t = l[v] / cap;
        if (v == u)
            d = d - weight;
        if (cap != 0)
            d = d * fmaf(-t, t, 1);
        if (scale != 1)
            d = d * scale;
        l[v] = d;
    }
}

/* dx = add + ..., add NULL: nothing; r of the row in *r. */
ORACLE void og_norm_back(const float *x, const float *w, const float *dy, const float *add, size_t n, float eps,
                         float *dx, float *r) {
    float g[4096], s = 0;
    for (size_t i = 0; i < n; i++)
        g[i] = w ? dy[i] * w[i] : dy[i];
    *r = 1.0f / sqrtf(og_dot(x, x, n) / (float)n + eps);
    s = og_dot(g, x, n);
    float k = s / (float)n * *r * *r;
    for (size_t i = 0; i < n; i++) {
        float d = fmaf(-x[i], k, g[i]) * *r;
        dx[i] = add ? add[i] + d : d;
    }
}

ORACLE void og_gate_back(kern_activation f, float x, float up, float dy, float *dgate, float *dup, float *y) {
    float value, slope;
    if (f == KERN_SILU) {
        float e = 1.0f + o_exp(-x), i = 1.0f / e;
        value = x / e;
        slope = fmaf(x / e, 1.0f - i, i);
    } else if (f == KERN_GELU_TANH) {
        float h = 0.5f * x, u = 0.797884560802865356f * x * fmaf(0.044715f * x, x, 1.0f), t = o_tanh(u);
        float v = 0.797884560802865356f * fmaf(0.134145f * x, x, 1.0f);
        value = h * (1.0f + t);
        slope = fmaf(h * fmaf(-t, t, 1.0f), v, 0.5f * (1.0f + t));
    } else {
        float h = 0.5f * x, t = o_erf(x * 0.707106781186547524f);
        value = h * (1.0f + t);
        slope = fmaf(x, o_exp(-(h * x)) * 0.398942280401432678f, 0.5f * (1.0f + t));
    }
    *dup = dy * value;
    *dgate = dy * up * slope;
    *y = value * up;
}

/* One head over a segment of n positions; row t of q, out, .. at x + t*stride. */
typedef struct {
    size_t n, K, q_stride, kv_stride, window;
    float scale, cap;
} og_head;

ORACLE size_t og_first(const og_head *h, size_t t) { return h->window && t + 1 > h->window ? t + 1 - h->window : 0; }

/* Section 7, and M and Z. */
ORACLE void og_attend(const og_head *h, const float *q, const float *k, const float *v, size_t t, float *out, float *M,
                      float *Z) {
    float s[64];
    *M = -INFINITY;
    *Z = 0;
    for (size_t d = 0; d < h->K; d++)
        out[d] = 0;
    for (size_t at = og_first(h, t) / 64 * 64; at <= t; at += 64) {
        size_t from = og_first(h, t) > at ? og_first(h, t) : at, to = t + 1 < at + 64 ? t + 1 : at + 64;
        float m = -INFINITY, lane[16] = {0};
        for (size_t j = from; j < to; j++) {
            float dot = 0;
            for (size_t d = 0; d < h->K; d++)
                dot = fmaf(q[d], k[j * h->kv_stride + d], dot);
            dot = dot * h->scale;
            s[j - at] = h->cap != 0 ? o_softcap(dot, h->cap) : dot;
            m = s[j - at] > m ? s[j - at] : m;
        }
        for (size_t j = from; j < to; j++) {
            s[j - at] = o_exp(s[j - at] - m);
            lane[j % 16] = lane[j % 16] + s[j - at];
        }
        float z = o_tree_sum(lane), top = m > *M ? m : *M, a = o_exp(*M - top), b = o_exp(m - top);
        *Z = fmaf(*Z, a, z * b);
        *M = top;
        for (size_t d = 0; d < h->K; d++) {
            float o = 0;
            for (size_t j = from; j < to; j++)
                o = fmaf(s[j - at], v[j * h->kv_stride + d], o);
            out[d] = fmaf(out[d], a, o * b);
        }
    }
    for (size_t d = 0; d < h->K; d++)
        out[d] = out[d] / *Z;
}

/* Continues the chains of dq, dk, dv by one head's queries. stat[t][2]: M, Z. */
ORACLE void og_attend_back(const og_head *h, const float *q, const float *k, const float *v, const float *out,
                           const float *dout, const float *stat, size_t stat_stride, float *dq, float *dk, float *dv) {
    for (size_t t = 0; t < h->n; t++) {
        const float *qt = q + t * h->q_stride, *dt = dout + t * h->q_stride;
        float D = og_dot(dt, out + t * h->q_stride, h->K);
        for (size_t j = og_first(h, t); j <= t; j++) {
            const float *kj = k + j * h->kv_stride, *vj = v + j * h->kv_stride;
            float s = 0, dp = 0, u = 0;
            for (size_t d = 0; d < h->K; d++) {
                s = fmaf(qt[d], kj[d], s);
                dp = fmaf(dt[d], vj[d], dp);
            }
            s = s * h->scale;
            if (h->cap != 0) {
                u = o_tanh(s / h->cap);
                s = h->cap * u;
            }
            float p = o_exp(s - stat[2 * t * stat_stride]) * (1.0f / stat[2 * t * stat_stride + 1]);
            float ds = p * (dp - D);
            if (h->cap != 0)
                ds = ds * fmaf(-u, u, 1.0f);
            ds = ds * h->scale;
            for (size_t d = 0; d < h->K; d++) { /* t ascends outside: each chain is in its order */
                dq[t * h->q_stride + d] = fmaf(ds, kj[d], dq[t * h->q_stride + d]);
                dk[j * h->kv_stride + d] = fmaf(ds, qt[d], dk[j * h->kv_stride + d]);
                dv[j * h->kv_stride + d] = fmaf(p, dt[d], dv[j * h->kv_stride + d]);
            }
        }
    }
}

/* ---- a whole model ---- */

typedef struct {
    const char *name;
    size_t rows, cols; /* cols 0: a vector */
    float *w, *g;      /* row-major */
} og_weight;

typedef struct {
    const model_config *c;
    og_weight *weight;
    size_t n_weights;
    const int32_t *ids, *target;
    const float *counts;
    size_t n, n_segments;
    const size_t *end; /* [n_segments] */
    float *loss;       /* [n] */
    size_t i_layer;
    size_t *pos, *first, *length; /* of each token: position, its segment's first token and length */
} og_model;

ORACLE float *og_new(size_t n) {
    float *p = calloc(n + 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

ORACLE og_weight *og_find(const og_model *m, const char *part, const char *what) {
    char name[120];
    if (part[0] == '.')
        snprintf(name, sizeof name, "model.layers.%zu%s.%s", m->i_layer, part, what);
    else
        snprintf(name, sizeof name, "%s.%s", part, what);
    for (size_t i = 0; i < m->n_weights; i++)
        if (strcmp(m->weight[i].name, name) == 0)
            return &m->weight[i];
    return NULL;
}

ORACLE float *og_linear(const og_model *m, const char *part, const float *x, size_t n) {
    const og_weight *w = og_find(m, part, "weight"), *b = og_find(m, part, "bias");
    float *y = og_new(n * w->rows);
    for (size_t t = 0; t < n; t++)
        for (size_t r = 0; r < w->rows; r++) {
            float a = 0;
            for (size_t c = 0; c < w->cols; c++)
                a = fmaf(x[t * w->cols + c], w->w[r * w->cols + c], a);
            y[t * w->rows + r] = b ? a + b->w[r] : a;
        }
    return y;
}

/* dx continues. */
ORACLE void og_linear_back(const og_model *m, const char *part, const float *x, const float *dy, size_t n, float *dx) {
    const og_weight *w = og_find(m, part, "weight"), *b = og_find(m, part, "bias");
    for (size_t r = 0; r < w->rows; r++)
        for (size_t c = 0; c < w->cols; c++)
            for (size_t t = 0; t < n; t++) {
                w->g[r * w->cols + c] = fmaf(x[t * w->cols + c], dy[t * w->rows + r], w->g[r * w->cols + c]);
            }
    for (size_t t = 0; t < n; t++)
        for (size_t r = 0; r < w->rows; r++)
            for (size_t c = 0; c < w->cols; c++)
                dx[t * w->cols + c] = fmaf(dy[t * w->rows + r], w->w[r * w->cols + c], dx[t * w->cols + c]);
    for (size_t t = 0; b && t < n; t++)
        for (size_t r = 0; r < w->rows; r++)
            b->g[r] = b->g[r] + dy[t * w->rows + r];
}

/* Norm of rows of `width` numbers, which the weight covers once or several times (heads); no such weight: a copy. */
ORACLE float *og_norm(const og_model *m, const char *part, const float *x, size_t n, size_t width) {
    const og_weight *w = og_find(m, part, "weight");
    float *y = og_new(n * width);
    memcpy(y, x, n * width * sizeof *y);
    for (size_t at = 0; w && at < n * width; at += w->rows)
        o_rmsnorm(x + at, w->w, w->rows, (float)m->c->norm_eps, y + at);
    return y;
}

ORACLE void og_norm_all_back(const og_model *m, const char *part, const float *x, const float *dy, const float *add,
                             size_t n, size_t width, float *dx) {
    const og_weight *w = og_find(m, part, "weight");
    for (size_t i = 0; !w && i < n * width; i++)
        dx[i] = add ? add[i] + dy[i] : dy[i];
    for (size_t at = 0; w && at < n * width; at += w->rows) {
        float r, keep[4096];
        memcpy(keep, dy + at, w->rows * sizeof *keep);
        og_norm_back(x + at, w->w, keep, add ? add + at : NULL, w->rows, (float)m->c->norm_eps, dx + at, &r);
        for (size_t i = 0; i < w->rows; i++)
            w->g[i] = fmaf(keep[i], x[at + i] * r, w->g[i]);
    }
}

/* Turns every head of x f32[n][heads][K], or turns it back. */
ORACLE void og_turn(const og_model *m, float *x, size_t heads, bool back) {
    const model_config *c = m->c;
    size_t half = c->rope_width / 2;
    float freq[CONFIG_HEAD_WIDTH_MAX], cs[CONFIG_HEAD_WIDTH_MAX], sn[CONFIG_HEAD_WIDTH_MAX];
    if (c->layer_no_rope[m->i_layer])
        return;
    const rope_config *r = c->layer_slides[m->i_layer] && c->arch->local_rope ? &c->rope_local : &c->rope;
    for (size_t t = 0; t < m->n; t++) {
        rope_frequencies(r, c->rope_width, c->original_ctx, c->original_ctx && m->length[t] > c->original_ctx, freq);
        for (size_t i = 0; i < half; i++) {
            float angle = (float)m->pos[t] * freq[i], factor = (float)r->attn_factor;
            cs[i] = factor != 1 ? o_cos(angle) * factor : o_cos(angle);
            sn[i] = factor != 1 ? o_sin(angle) * factor : o_sin(angle);
            sn[i] = back ? -sn[i] : sn[i];
        }
        for (size_t h = 0; h < heads; h++)
            o_rope(x + (t * heads + h) * c->K, cs, sn, half);
    }
}

/* What a layer keeps. */
typedef struct {
    float *x, *in, *q0, *k0, *q, *k, *v, *att, *stat, *o, *mid, *ffn, *gate, *up, *act, *down;
} og_trace;

ORACLE og_head og_head_of(const og_model *m, size_t from) {
    const model_config *c = m->c;
    return (og_head){.n = m->length[from],
                     .K = c->K,
                     .q_stride = c->H * c->K,
                     .kv_stride = c->G * c->K,
                     .window = c->layer_slides[m->i_layer] ? c->window : 0,
                     .scale = (float)c->attn_scale,
                     .cap = (float)c->attn_softcap};
}

/* x + residual_scale * h */
ORACLE float *og_residual(const og_model *m, const float *x, const float *h) {
    size_t n = m->n * m->c->D;
    float *y = og_new(n), s = (float)m->c->residual_scale;
    for (size_t i = 0; i < n; i++)
        y[i] = s == 1 ? x[i] + h[i] : fmaf(h[i], s, x[i]);
    return y;
}

ORACLE float *og_forward(og_model *m, float *x, og_trace *t) {
    const model_config *c = m->c;
    size_t n = m->n, share = c->H / c->G;
    const char *ffn_norm = c->arch->norm == NORM_PRE ? ".post_attention_layernorm" : ".pre_feedforward_layernorm";
    const char *attn_post = c->arch->norm == NORM_PRE ? ".none" : ".post_attention_layernorm";
    t->x = x;
    t->in = og_norm(m, ".input_layernorm", x, n, c->D);
    t->q0 = og_linear(m, ".self_attn.q_proj", t->in, n);
    t->k0 = og_linear(m, ".self_attn.k_proj", t->in, n);
    t->v = og_linear(m, ".self_attn.v_proj", t->in, n);
    t->q = og_norm(m, ".self_attn.q_norm", t->q0, n, c->H * c->K);
    t->k = og_norm(m, ".self_attn.k_norm", t->k0, n, c->G * c->K);
    og_turn(m, t->q, c->H, false);
    og_turn(m, t->k, c->G, false);
    t->att = og_new(n * c->H * c->K);
    t->stat = og_new(n * c->H * 2);
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < c->H; h++) {
            size_t at = (i * c->H + h) * c->K, kv = (m->first[i] * c->G + h / share) * c->K;
            og_head head = og_head_of(m, i);
            og_attend(&head, t->q + at, t->k + kv, t->v + kv, m->pos[i], t->att + at, &t->stat[2 * (i * c->H + h)],
                      &t->stat[2 * (i * c->H + h) + 1]);
        }
    t->o = og_linear(m, ".self_attn.o_proj", t->att, n);
    float *branch = og_norm(m, attn_post, t->o, n, c->D);
    t->mid = og_residual(m, x, branch);
    free(branch);
    t->ffn = og_norm(m, ffn_norm, t->mid, n, c->D);
    t->gate = og_linear(m, ".mlp.gate_proj", t->ffn, n);
    t->up = og_linear(m, ".mlp.up_proj", t->ffn, n);
    t->act = og_new(n * c->F);
    for (size_t i = 0; i < n * c->F; i++)
        t->act[i] = (c->arch->act == KERN_SILU        ? o_silu(t->gate[i])
                     : c->arch->act == KERN_GELU_TANH ? o_gelu_tanh(t->gate[i])
                                                      : o_gelu_erf(t->gate[i])) *
                    t->up[i];
    t->down = og_linear(m, ".mlp.down_proj", t->act, n);
    branch = og_norm(m, ".post_feedforward_layernorm", t->down, n, c->D);
    float *y = og_residual(m, t->mid, branch);
    free(branch);
    return y;
}

/* dh = dx * residual_scale, through the norm behind the branch. */
ORACLE float *og_branch_back(const og_model *m, const char *norm, const float *out, const float *dx) {
    size_t D = m->c->D;
    float *dh = og_new(m->n * D), s = (float)m->c->residual_scale;
    for (size_t i = 0; i < m->n * D; i++)
        dh[i] = s == 1 ? dx[i] : dx[i] * s;
    og_norm_all_back(m, norm, out, dh, NULL, m->n, D, dh);
    return dh;
}

ORACLE void og_backward(og_model *m, const og_trace *t, float *dx) {
    const model_config *c = m->c;
    size_t n = m->n, share = c->H / c->G;
    const char *ffn_norm = c->arch->norm == NORM_PRE ? ".post_attention_layernorm" : ".pre_feedforward_layernorm";
    const char *attn_post = c->arch->norm == NORM_PRE ? ".none" : ".post_attention_layernorm";
    float *dh = og_branch_back(m, ".post_feedforward_layernorm", t->down, dx);
    float *dact = og_new(n * c->F), *dgate = og_new(n * c->F), *dup = og_new(n * c->F), *dn = og_new(n * c->D), y;
    og_linear_back(m, ".mlp.down_proj", t->act, dh, n, dact);
    for (size_t i = 0; i < n * c->F; i++)
        og_gate_back(c->arch->act, t->gate[i], t->up[i], dact[i], &dgate[i], &dup[i], &y);
    og_linear_back(m, ".mlp.gate_proj", t->ffn, dgate, n, dn);
    og_linear_back(m, ".mlp.up_proj", t->ffn, dup, n, dn);
    og_norm_all_back(m, ffn_norm, t->mid, dn, dx, n, c->D, dx);
    free(dh);
    free(dact);
    free(dgate);
    free(dup);
    free(dn);

    dh = og_branch_back(m, attn_post, t->o, dx);
    float *datt = og_new(n * c->H * c->K), *dq = og_new(n * c->H * c->K), *dk = og_new(n * c->G * c->K);
    float *dv = og_new(n * c->G * c->K);
    dn = og_new(n * c->D);
    og_linear_back(m, ".self_attn.o_proj", t->att, dh, n, datt);
    for (size_t from = 0; from < n; from += m->length[from])
        for (size_t h = 0; h < c->H; h++) {
            size_t at = (from * c->H + h) * c->K, kv = (from * c->G + h / share) * c->K;
            og_head head = og_head_of(m, from);
            og_attend_back(&head, t->q + at, t->k + kv, t->v + kv, t->att + at, datt + at,
                           t->stat + 2 * (from * c->H + h), c->H, dq + at, dk + kv, dv + kv);
        }
    og_turn(m, dq, c->H, true);
    og_turn(m, dk, c->G, true);
    og_norm_all_back(m, ".self_attn.q_norm", t->q0, dq, NULL, n, c->H * c->K, dq);
    og_norm_all_back(m, ".self_attn.k_norm", t->k0, dk, NULL, n, c->G * c->K, dk);
    og_linear_back(m, ".self_attn.q_proj", t->in, dq, n, dn);
    og_linear_back(m, ".self_attn.k_proj", t->in, dk, n, dn);
    og_linear_back(m, ".self_attn.v_proj", t->in, dv, n, dn);
    og_norm_all_back(m, ".input_layernorm", t->x, dn, dx, n, c->D, dx);
    free(dh);
    free(datt);
    free(dq);
    free(dk);
    free(dv);
    free(dn);
}

/* The output and the losses of counted tokens, and back to dx. */
ORACLE void og_head_back(og_model *m, const float *x, float *dx) {
    const model_config *c = m->c;
    const char *out = c->tied ? "model.embed_tokens" : "lm_head";
    size_t n = 0;
    size_t *counted = calloc(m->n + 1, sizeof *counted);
    float *rows = og_new(m->n * c->D);
    for (size_t t = 0; t < m->n; t++)
        if (m->counts[t] != 0) {
            memcpy(rows + n * c->D, x + t * c->D, c->D * sizeof *rows);
            counted[n++] = t;
        }
    float *in = og_norm(m, "model.norm", rows, n, c->D), *l = og_linear(m, out, in, n), *dn = og_new(n * c->D);
    for (size_t i = 0; i < n; i++) {
        float *row = l + i * c->V, mx, z, scale = (float)c->logit_scale, cap = (float)c->logit_softcap;
        size_t u = (size_t)m->target[counted[i]];
        for (size_t v = 0; v < c->V; v++) {
            row[v] = scale != 1 ? row[v] * scale : row[v];
            row[v] = cap != 0 ? o_softcap(row[v], cap) : row[v];
        }
        m->loss[counted[i]] = og_loss(row, c->V, u, &mx, &z);
        og_loss_back(row, c->V, u, mx, z, m->counts[counted[i]], cap, scale);
    }
    og_linear_back(m, out, in, l, n, dn);
    og_norm_all_back(m, "model.norm", rows, dn, NULL, n, c->D, dn);
    for (size_t i = 0; i < n; i++)
        memcpy(dx + counted[i] * c->D, dn + i * c->D, c->D * sizeof *dx);
    free(in);
    free(l);
    free(dn);
    free(rows);
    free(counted);
}

/* Losses and gradients; every g must be zeros before. */
ORACLE void og_gradient(og_model *m) {
    const model_config *c = m->c;
    og_weight *embed = og_find(m, "model.embed_tokens", "weight");
    float *x = og_new(m->n * c->D), *dx = og_new(m->n * c->D), scale = (float)c->embed_scale;
    og_trace *t = calloc(c->L, sizeof *t);
    m->pos = calloc(m->n, sizeof *m->pos);
    m->first = calloc(m->n, sizeof *m->first);
    m->length = calloc(m->n, sizeof *m->length);
    for (size_t s = 0, from = 0; s < m->n_segments; from = m->end[s++])
        for (size_t i = from; i < m->end[s]; i++) {
            m->pos[i] = i - from;
            m->first[i] = from;
            m->length[i] = m->end[s] - from;
        }
    for (size_t i = 0; i < m->n; i++)
        for (size_t d = 0; d < c->D; d++) {
            float w = embed->w[(size_t)m->ids[i] * c->D + d];
            x[i * c->D + d] = scale != 1 ? w * scale : w;
        }
    for (m->i_layer = 0; m->i_layer < c->L; m->i_layer++)
        x = og_forward(m, x, &t[m->i_layer]);
    og_head_back(m, x, dx);
    for (m->i_layer = c->L; m->i_layer-- > 0;)
        og_backward(m, &t[m->i_layer], dx);
    for (size_t i = 0; i < m->n; i++)
        for (size_t d = 0; d < c->D; d++) {
            float *g = &embed->g[(size_t)m->ids[i] * c->D + d];
            *g = *g + (scale != 1 ? dx[i * c->D + d] * scale : dx[i * c->D + d]);
        }
    for (size_t l = 0; l < c->L; l++) {
        float *const all[] = {t[l].x,    t[l].in, t[l].q0,  t[l].k0,  t[l].q,    t[l].k,  t[l].v,   t[l].att,
                              t[l].stat, t[l].o,  t[l].mid, t[l].ffn, t[l].gate, t[l].up, t[l].act, t[l].down};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
    free(t);
    free(x);
    free(dx);
    free(m->pos);
    free(m->first);
    free(m->length);
}

#endif
