/* learner: planning and opening, the list of weights, one batch from loss to gradients; see learner.h. */
#include "model/learner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/panel.h"
#include "model/learner_int.h"
#include "model/parts.h"
#include "model/rope.h"

enum { LOGITS_BYTES = 64 << 20, HEAD_ROWS_MIN = 128, PANEL_SPARE = 1024, SLACK = 16 };
static const float DROPOUT_MAX = 0.99f;

static size_t min_of(size_t a, size_t b) { return a < b ? a : b; }
static size_t lanes(size_t n) { return (n + 15) & ~(size_t)15; }

/* Floats from one row to the next. Rows a multiple of 1 KB apart would fall into few sets of the caches, and a tile of
 * them would push itself out: such rows get a line more. */
static size_t stride(size_t n) { return lanes(n) % 256 ? lanes(n) : lanes(n) + 16; }

/* ---- memory ---- */

/* Sizes are summed up, and pointers set when there is a block already. */
typedef struct {
    uint8_t *block;
    size_t at;
    bool overflow;
} plan;

static void *piece(plan *p, size_t n, size_t m, size_t size) {
    size_t bytes, at = p->at;
    if (__builtin_mul_overflow(n, m, &bytes) || __builtin_mul_overflow(bytes, size, &bytes) ||
        bytes > SIZE_MAX / 2 - 256 || __builtin_add_overflow(p->at, (bytes + 4 * SLACK + 63) & ~(size_t)63, &p->at)) {
        p->overflow = true;
        return NULL;
    }
    return p->block ? p->block + at : NULL;
}
static float *floats(plan *p, size_t n, size_t m) { return piece(p, n, m, sizeof(float)); }

static void plan_trace(const learner *l, plan *p, trace *t) {
    const model_config *c = &l->m->config;
    size_t n = l->o.tokens_max;
    bool pre = c->arch->norm != NORM_POST, post = c->arch->norm != NORM_PRE, qk = c->arch->qk != QK_NORM_NONE;
    trace r = {0};
    r.attn_in = pre ? floats(p, n, l->D) : NULL;
    r.q0 = qk ? floats(p, n, l->Q) : NULL;
    r.k0 = qk ? floats(p, n, l->KV) : NULL;
    r.q = floats(p, n, l->Q);
    r.k = floats(p, n, l->KV);
    r.v = floats(p, n, l->KV);
    r.att = floats(p, n, l->Q);
    r.stat = floats(p, n, 2 * c->H);
    r.attn_out = post ? floats(p, n, l->D) : NULL;
    r.mid = floats(p, n, l->D);
    r.ffn_in = pre ? floats(p, n, l->D) : NULL;
    r.gate = floats(p, n, l->F);
    r.up = floats(p, n, l->F);
    r.ffn_out = post ? floats(p, n, l->D) : NULL;
    if (t)
        *t = r;
}

/* ---- an adapter to be learned ---- */

/* Of target i = layer * LORA_PARTS + part; rank 0: there is none. */
static target_plan target_of(const learner *l, size_t i) {
    const adapter_target *t =
        l->o.adapter ? adapter_at(l->o.adapter, i / LORA_PARTS, (lora_part)(i % LORA_PARTS)) : NULL;
    return t ? (target_plan){t->a.rows, t->scale, t->magnitude != NULL} : (target_plan){0};
}

/* Gradients' floats; sizes of what is shared by all targets. */
static size_t plan_targets(learner *l) {
    const model_config *c = &l->m->config;
    size_t n = 0, highest = 0;
    l->lowest = c->L * LORA_PARTS;
    for (size_t i = 0; i < c->L * LORA_PARTS; i++) {
        size_t rows, cols;
        target_plan t = target_of(l, i);
        lora_part_shape(c, (lora_part)(i % LORA_PARTS), &rows, &cols);
        if (!t.rank)
            continue;
        n += lanes(part_floats(t.rank, cols)) + lanes(part_floats(rows, t.rank)) + (t.dora ? lanes(rows) : 0);
        highest = t.rank > highest ? t.rank : highest;
        l->lowest = min_of(l->lowest, i);
    }
    l->R = lanes(highest);
    return n;
}

/* DoRA keeps W x, each with the stride of its product. */
static void plan_bare(const learner *l, plan *p, size_t i_layer, trace *t) {
    const size_t ld[LORA_PARTS] = {l->Q, l->KV, l->KV, l->D, l->F, l->F, l->D};
    for (size_t q = 0; q < LORA_PARTS; q++) {
        bool dora = target_of(l, i_layer * LORA_PARTS + q).dora;
        for (size_t i = 0; i < l->m->config.L && l->n_traces == 1; i++) /* the trace serves all layers */
            dora = dora || target_of(l, i * LORA_PARTS + q).dora;
        float *bare = dora ? floats(p, l->o.tokens_max, ld[q]) : NULL;
        if (t)
            t->bare[q] = bare;
    }
}

/* Room for weights on their way back. */
static size_t weight_floats(const learner *l) {
    const model_config *c = &l->m->config;
    size_t most = linear_back_floats(&l->m->output, false);
    for (size_t i = 0; i < c->L * LORA_PARTS; i++) {
        const matrix *w = lora_matrix(&l->m->layers[i / LORA_PARTS], (lora_part)(i % LORA_PARTS));
        size_t n = linear_back_floats(w, target_of(l, i).dora);
        most = n > most ? n : most;
    }
    return most;
}

static void plan_adapter(learner *l, plan *p) {
    size_t n = l->o.tokens_max;
    l->W = l->D > l->Q ? l->D : l->Q;
    l->W = l->F > l->W ? l->F : l->W;
    l->low = floats(p, n, l->R);
    for (int i = 0; i < ADAPT_TOGETHER_MAX; i++)
        l->low_back[i] = floats(p, n, l->R);
    l->dropped = adapter_shape_of(l->o.adapter)->dropout > 0 ? floats(p, n, l->W) : NULL;
    l->weight_rows = floats(p, weight_floats(l), 1);
}

static size_t gradient_floats(const model *m) {
    const model_config *c = &m->config;
    part parts[PARTS];
    parts_of(c, parts);
    size_t n = part_floats(c->V, c->D) * (c->tied ? 1 : 2) + lanes(c->D);
    for (size_t i = 0; i < c->L; i++)
        for (int j = 0; j < PARTS; j++)
            if (parts[j].cols || *part_vector(&parts[j], &m->layers[i]))
                n += lanes(part_floats(parts[j].rows, parts[j].cols));
    return n;
}

/* The whole block; false: too large to count. */
static bool plan_all(learner *l, plan *p) {
    const model_config *c = &l->m->config;
    size_t n = l->o.tokens_max, half = c->rope_width / 2, threads = (size_t)pool_threads(l->m->engine.pool);
    l->n_traces = l->o.recompute ? 1 : c->L;
    l->D = stride(c->D);
    l->Q = stride(c->H * c->K);
    l->KV = stride(c->G * c->K);
    l->F = stride(c->F);
    l->V = stride(c->V);
    l->head_rows = LOGITS_BYTES / sizeof(float) / l->V;
    l->head_rows = min_of(n, l->head_rows > HEAD_ROWS_MIN ? l->head_rows : HEAD_ROWS_MIN);
    l->panel_rows = lanes(n) + PANEL_SPARE;
    l->angle_rows = min_of(n, c->ctx_train);
    if (n > SIZE_MAX / 64)
        return false;
    l->g = floats(p, l->o.adapter ? plan_targets(l) : gradient_floats(l->m), 1);
    for (size_t i = 0; i <= c->L; i++) {
        float *x = floats(p, n, l->D);
        if (l->x)
            l->x[i] = x;
    }
    for (size_t i = 0; i < l->n_traces; i++)
        plan_trace(l, p, l->traces ? &l->traces[i] : NULL);
    for (size_t i = 0; i < l->n_traces; i++)
        plan_bare(l, p, i, l->traces ? &l->traces[i] : NULL);
    if (l->o.adapter)
        plan_adapter(l, p);
    l->dx = floats(p, n, l->D);
    l->dh = floats(p, n, l->D);
    l->dn = floats(p, n, l->D);
    l->dq = floats(p, n, l->Q);
    l->dk = floats(p, n, l->KV);
    l->dv = floats(p, n, l->KV);
    l->datt = floats(p, n, l->Q);
    l->act = floats(p, n, l->F);
    l->delta = floats(p, n, c->H);
    l->r = floats(p, n, c->H + c->G);
    l->k_panels = floats(p, l->panel_rows, l->KV);
    l->v_panels = floats(p, l->panel_rows, l->KV);
    l->logits = floats(p, l->head_rows, l->V);
    l->head_in = floats(p, l->head_rows, l->D);
    l->dhead = floats(p, l->head_rows, l->D);
    l->loss = floats(p, n, 1);
    l->cos = floats(p, 4 * l->angle_rows, half);
    l->sin = floats(p, 4 * l->angle_rows, half);
    l->minus = floats(p, 4 * l->angle_rows, half);
    l->pos = piece(p, n, 1, sizeof *l->pos);
    l->grown = piece(p, n, 1, 1);
    l->counted = piece(p, n, 1, sizeof *l->counted);
    l->chunks = piece(p, n, 1, sizeof *l->chunks); /* a chunk has at least one token */
    l->first_chunk = piece(p, n + 1, 1, sizeof *l->first_chunk);
    l->panel_at = piece(p, n + 1, 1, sizeof *l->panel_at);
    size_t attn = kern_attn_scratch_bytes(c->K);
    l->attn_bytes = (attn > KERN_ATTN_BACK_SCRATCH ? attn : KERN_ATTN_BACK_SCRATCH) + 63;
    l->attn_bytes = l->attn_bytes & ~(size_t)63;
    size_t gemm = gemm_scratch_bytes(&l->m->engine);
    l->scratch = piece(p, threads * l->attn_bytes > gemm ? threads * l->attn_bytes : gemm, 1, 1);
    return !p->overflow && p->at < SIZE_MAX / 4;
}

size_t learner_plan_bytes(const model *m, const learner_options *o) {
    learner l = {.m = (model *)(uintptr_t)m, .o = *o};
    plan p = {0};
    return plan_all(&l, &p) ? p.at : SIZE_MAX;
}

/* ---- the list of weights ---- */

static err_code add_param(learner *l, const char *name, size_t rows, size_t cols, float *w, float **at, err *e) {
    str copy = arena_str(&l->mem, (str){name, strlen(name)});
    if (!copy.p)
        return arena_short(e, strlen(name), 1);
    size_t n = part_floats(rows, cols);
    l->params[l->n_params++] = (param){.name = copy.p, .rows = rows, .cols = cols, .n = n, .w = w, .g = *at};
    *at += lanes(n);
    return ERR_OK;
}

/* The next of an adapter's tensors: its gradient, which is a matrix where w is one. */
static err_code add_lora(learner *l, size_t i, lora_tensor what, const matrix *w, float **at, matrix *g, err *e) {
    char name[ADAPTER_NAME_MAX];
    adapter_tensor_name(name, i / LORA_PARTS, (lora_part)(i % LORA_PARTS), what);
    *g = *w;
    g->packed = (uint8_t *)*at;
    return add_param(l, name, w->rows, w->cols, (float *)(void *)w->packed, at, e);
}

static err_code list_adapter(learner *l, err *e) {
    size_t n = l->m->config.L * LORA_PARTS;
    float *at = l->g;
    ARENA_NEW(&l->mem, l->params, n * LORA_TENSORS, e);
    ARENA_NEW(&l->mem, l->grads, l->m->config.L, e);
    ARENA_NEW(&l->mem, l->tuned, n, e);
    for (size_t i = 0; i < n; i++) {
        const adapter_target *t = adapter_at(l->o.adapter, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        lora_grad *g = &l->tuned[i];
        matrix m;
        if (!t)
            continue;
        TRY(add_lora(l, i, LORA_A, &t->a, &at, &g->a, e));
        TRY(add_lora(l, i, LORA_B, &t->b, &at, &g->b, e));
        if (!t->magnitude)
            continue;
        const matrix magnitude = {.type = DTYPE_F32, .rows = t->b.rows, .packed = (uint8_t *)t->magnitude};
        g->magnitude = at;
        TRY(add_lora(l, i, LORA_MAGNITUDE, &magnitude, &at, &m, e));
    }
    return ERR_OK;
}

static err_code list_params(learner *l, err *e) {
    model *m = l->m;
    const model_config *c = &m->config;
    part parts[PARTS];
    float *at = l->g;
    parts_of(c, parts);
    ARENA_NEW(&l->mem, l->params, 3 + c->L * PARTS, e);
    ARENA_NEW(&l->mem, l->grads, c->L, e);
    l->embed_g = m->embed;
    l->embed_g.packed = (uint8_t *)at;
    TRY(add_param(l, "model.embed_tokens.weight", c->V, c->D, (float *)(void *)m->embed.packed, &at, e));
    for (size_t i = 0; i < c->L; i++)
        for (int j = 0; j < PARTS; j++) {
            const part *p = &parts[j];
            char name[120];
            snprintf(name, sizeof name, "model.layers.%zu.%s", i, p->name);
            if (p->cols) {
                matrix *w = part_matrix(p, &m->layers[i]), *g = part_matrix(p, &l->grads[i]);
                *g = *w;
                g->packed = (uint8_t *)at;
                TRY(add_param(l, name, p->rows, p->cols, (float *)(void *)w->packed, &at, e));
            } else if (*part_vector(p, &m->layers[i])) {
                *part_vector(p, &l->grads[i]) = at;
                float *w = (float *)(uintptr_t)*part_vector(p, &m->layers[i]);
                TRY(add_param(l, name, p->rows, 0, w, &at, e));
            }
        }
    l->out_norm_g = at;
    TRY(add_param(l, "model.norm.weight", c->D, 0, (float *)(uintptr_t)m->out_norm, &at, e));
    l->output_g = l->embed_g;
    if (!c->tied) {
        l->output_g = m->output;
        l->output_g.packed = (uint8_t *)at;
        TRY(add_param(l, "lm_head.weight", c->V, c->D, (float *)(void *)m->output.packed, &at, e));
    }
    return ERR_OK;
}

/* ---- open and close ---- */

static err_code angles(learner *l, err *e) {
    const model_config *c = &l->m->config;
    float *freq;
    ARENA_NEW(&l->mem, freq, c->rope_width / 2 + 1, e);
    const kern_ops *k = l->m->engine.kern;
    size_t half = c->rope_width / 2, size = l->angle_rows * half;
    const rope_config *kind[2] = {&c->rope, c->arch->local_rope ? &c->rope_local : &c->rope};
    for (size_t i = 0; i < 4; i++) {
        float *cos = l->cos + i * size, *sin = l->sin + i * size, *minus = l->minus + i * size;
        rope_frequencies(kind[i / 2], c->rope_width, c->original_ctx, i % 2, freq);
        rope_angles(k, freq, half, (float)kind[i / 2]->attn_factor, 0, l->angle_rows, cos, sin);
        k->scale(sin, -1.0f, size, minus);
    }
    return ERR_OK;
}

static err_code open_in(learner *l, err *e) {
    const model_config *c = &l->m->config;
    if (l->o.tokens_max < 1 || l->o.tokens_max > INT32_MAX / 2)
        return err_set(e, ERR_USAGE, "a batch of %zu tokens, must be 1 to %d", l->o.tokens_max, INT32_MAX / 2);
    if (l->m->how != MODEL_WEIGHTS_F32 && !l->o.adapter)
        return err_set(e, ERR_USAGE, "%s: only a model with binary32 weights can learn (or an adapter of it)",
                       l->m->path);
    if (!l->m->packed)
        return err_set(e, ERR_USAGE, "%s: a model without its weights cannot learn", l->m->path);
    assert(!l->o.adapter || adapter_model(l->o.adapter) == l->m);
    ARENA_NEW(&l->mem, l->x, c->L + 1, e);
    ARENA_NEW(&l->mem, l->traces, c->L, e);
    plan p = {0};
    if (!plan_all(l, &p))
        return err_set(e, ERR_MEMORY, "batches of %zu tokens ask for more memory than there can be", l->o.tokens_max);
    l->block_bytes = p.at;
    l->block = os_pages_alloc(l->block_bytes);
    if (!l->block)
        return err_set(e, ERR_MEMORY, "no memory for %zu bytes to learn with (use smaller batches)", l->block_bytes);
    p = (plan){.block = l->block};
    plan_all(l, &p);
    TRY(l->o.adapter ? list_adapter(l, e) : list_params(l, e));
    return angles(l, e);
}

err_code learner_open(learner **out, model *m, const learner_options *o, err *e) {
    learner *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_MEMORY, "no memory");
    l->m = m;
    l->o = *o;
    err_code code = open_in(l, e);
    if (code) {
        learner_close(l);
        return code;
    }
    *out = l;
    return ERR_OK;
}

void learner_close(learner *l) {
    if (!l)
        return;
    if (l->block)
        os_pages_free(l->block, l->block_bytes);
    arena_fini(&l->mem);
    free(l);
}

param *learner_params(learner *l, size_t *n) {
    *n = l->n_params;
    return l->params;
}
model *learner_model(learner *l) { return l->m; }

/* ---- a batch ---- */

static err_code check_adapting(const learner *l, const batch *b, bool back, err *e) {
    if (!(b->dropout >= 0 && b->dropout <= DROPOUT_MAX))
        return err_set(e, ERR_USAGE, "a dropout of %g, must be 0 to %g", (double)b->dropout, (double)DROPOUT_MAX);
    if (b->dropout > 0 && !l->dropped)
        return err_set(e, ERR_USAGE, "dropout in a batch of a learner that was opened without");
    if (b->bare && (back || !l->tuned))
        return err_set(e, ERR_USAGE, "a batch without the adapter has no gradient");
    return ERR_OK;
}

static err_code check_batch(const learner *l, const batch *b, err *e) {
    const model_config *c = &l->m->config;
    if (b->n < 1 || b->n > l->o.tokens_max)
        return err_set(e, ERR_USAGE, "a batch of %zu tokens, must be 1 to %zu", b->n, l->o.tokens_max);
    size_t at = 0;
    for (size_t s = 0; s < b->n_segments; s++) {
        if (b->segment[s].from != at || b->segment[s].to <= at || b->segment[s].to > b->n)
            return err_set(e, ERR_USAGE, "segment %zu of the batch is [%zu, %zu): segments must follow each other", s,
                           b->segment[s].from, b->segment[s].to);
        if (b->segment[s].to - at > c->ctx_train)
            return err_set(e, ERR_USAGE, "segment %zu of the batch has %zu tokens, more than the context of %zu", s,
                           b->segment[s].to - at, c->ctx_train);
        at = b->segment[s].to;
    }
    if (at != b->n)
        return err_set(e, ERR_USAGE, "segments cover %zu of the batch's %zu tokens", at, b->n);
    for (size_t t = 0; t < b->n; t++) {
        bool counts = b->weight[t] != 0.0f;
        if (b->ids[t] < 0 || (size_t)b->ids[t] >= c->V)
            return err_set(e, ERR_USAGE, "token id %d is outside the vocabulary of %zu", b->ids[t], c->V);
        if (counts && (b->target[t] < 0 || (size_t)b->target[t] >= c->V))
            return err_set(e, ERR_USAGE, "target %d is outside the vocabulary of %zu", b->target[t], c->V);
    }
    return ERR_OK;
}

static void take_batch(learner *l, const batch *b) {
    const model_config *c = &l->m->config;
    size_t n_chunks = 0;
    l->b = b;
    l->n = b->n;
    l->n_counted = 0;
    for (size_t s = 0; s < b->n_segments; s++) {
        segment g = b->segment[s];
        l->first_chunk[s] = n_chunks;
        for (size_t t = g.from; t < g.to; t++) {
            l->pos[t] = (int32_t)(t - g.from);
            l->grown[t] = c->original_ctx && g.to - g.from > c->original_ctx;
            if ((t - g.from) % KERN_ATTN_CHUNK == 0)
                l->chunks[n_chunks++] = (chunk){(uint32_t)s, (uint32_t)(t - g.from)};
            if (b->weight[t] != 0.0f)
                l->counted[l->n_counted++] = (uint32_t)t;
        }
    }
    l->first_chunk[b->n_segments] = n_chunks;
}

static err_code run(learner *l, const batch *b, bool back, float *loss, double *sum, err *e) {
    TRY(check_batch(l, b, e));
    TRY(check_adapting(l, b, back, e));
    take_batch(l, b);
    size_t L = l->m->config.L, lowest = l->tuned ? l->lowest / LORA_PARTS : 0;
    learn_embed(l);
    for (size_t i = 0; i < L; i++)
        learn_forward(l, i, false);
    memset(l->loss, 0, l->n * sizeof *l->loss);
    learn_head(l, back);
    if (back) {
        for (size_t i = L; i-- > lowest;) {
            if (l->n_traces == 1 && i + 1 < L)
                learn_forward(l, i, true);
            learn_backward(l, i);
        }
        if (!l->tuned)
            learn_embed_back(l);
    }
    double total = 0;
    for (size_t t = 0; t < l->n; t++)
        total += (double)b->weight[t] * (double)l->loss[t];
    *sum = total;
    if (loss)
        memcpy(loss, l->loss, l->n * sizeof *loss);
    return ERR_OK;
}

err_code learner_loss(learner *l, const batch *b, float *loss, double *sum, err *e) {
    return run(l, b, false, loss, sum, e);
}

err_code learner_gradient(learner *l, const batch *b, float *loss, double *sum, err *e) {
    return run(l, b, true, loss, sum, e);
}
