/* forward: from token ids to logits, one pass for every architecture.
 *
 * Ids go through all layers in passes of at most MODEL_CHUNK rows, a row a position of some cache:
 *
 *   x = embed[id] * embed_scale
 *   each layer:  q,k,v = products(pre_a(x));  norms of q and k;  rotary embedding;  k,v into the cache
 *                x += residual_scale * post_a(o(attention))
 *                x += residual_scale * post_f(down(act(gate) * up)) of pre_f(x)
 *   logits = output(norm(x)) * logit_scale, soft-capped
 *
 * and where a row has adapters, their shares of each product before its bias (model/adapter.h).
 *
 * Invariant: a position's numbers depend on the positions before it and on nothing else. Every product, norm and
 * chain works on one row, attention reads the row's own cache in fixed chunks, so any cut into calls, and whatever rows
 * of other caches go along, give the same bits. Nothing here allocates.
 */
#include <assert.h>
#include <string.h>

#include "model/adapter_int.h"
#include "model/rope.h"
#include "tensor/rows.h"

/* Positions pos .. pos+n-1 of one cache: rows row .. row+n-1 of a pass. */
typedef struct {
    kv_cache *kv;
    const int32_t *ids; /* [n] */
    size_t n, pos, row;
    float *states; /* f32[n][D] or NULL */
    const adapter_use *adapters;
    size_t n_adapters;
    size_t tiles, i_task; /* attention: tiles a head, the first of its tasks */
} span;

/* Rows on their way through the layers. */
typedef struct {
    model *m;
    span *spans; /* by row, without gaps */
    size_t n_spans, n;
    bool adapted; /* some span has adapters */
    size_t i_layer;
    const layer *y;
    const float *branch, *norm; /* for add_branch */
    const float *from;          /* for norm_rows */
    const size_t *pick;         /* for norm_rows: which rows of `from`, NULL: as they stand */
    float *logits;              /* for finish_rows */
    const product *products;    /* for bias_rows */
    int n_products;
    size_t tile; /* attention: positions a tile */
} pass;

/* Rows [*from, *to) of [a, b) are s's; false when there are none. */
static bool rows_of(const span *s, size_t a, size_t b, size_t *from, size_t *to) {
    *from = a > s->row ? a : s->row;
    *to = b < s->row + s->n ? b : s->row + s->n;
    return *from < *to;
}

static void embed_rows(void *ctx, size_t from, size_t to) {
    pass *p = ctx;
    const model *m = p->m;
    size_t D = m->config.D, t, end;
    for (size_t i = 0; i < p->n_spans; i++) {
        const span *s = &p->spans[i];
        for (rows_of(s, from, to, &t, &end); t < end; t++) {
            float *x = m->scratch.x + t * D;
            matrix_row(&m->embed, (size_t)s->ids[t - s->row], x);
            if (m->config.embed_scale != 1)
                m->engine.kern->scale(x, (float)m->config.embed_scale, D, x);
        }
    }
}

/* h = norm(x), rows of D. */
static void norm_rows(void *ctx, size_t from, size_t to) {
    pass *p = ctx;
    const model *m = p->m;
    size_t D = m->config.D;
    for (size_t t = from; t < to; t++)
        m->engine.kern->rmsnorm(p->from + (p->pick ? p->pick[t] : t) * D, p->norm, D, (float)m->config.norm_eps,
                                m->scratch.h + t * D);
}

/* x += residual_scale * norm(h), the norm where there is one. */
static void add_branch(void *ctx, size_t from, size_t to) {
    pass *p = ctx;
    const model *m = p->m;
    const kern_ops *k = m->engine.kern;
    size_t D = m->config.D;
    float scale = (float)m->config.residual_scale;
    for (size_t t = from; t < to; t++) {
        float *x = m->scratch.x + t * D, *h = m->scratch.h + t * D;
        if (p->norm)
            k->rmsnorm(h, p->norm, D, (float)m->config.norm_eps, h);
        if (scale == 1.0f)
            k->add(x, h, D, x);
        else
            k->add_scaled(x, h, scale, D, x);
    }
}

/* Norms and rotary embedding of n heads in one row. */
static void turn_heads(const pass *p, float *row, size_t n, const float *norm, size_t t) {
    const model *m = p->m;
    const model_config *c = &m->config;
    const kern_ops *k = m->engine.kern;
    size_t K = c->K, half = c->rope_width / 2;
    bool slides = c->layer_slides[p->i_layer] != 0;
    const float *cos = m->scratch.cos + ((slides ? MODEL_CHUNK : 0) + t) * half;
    const float *sin = m->scratch.sin + ((slides ? MODEL_CHUNK : 0) + t) * half;
    if (c->arch->qk == QK_NORM_FULL)
        k->rmsnorm(row, norm, n * K, (float)c->norm_eps, row);
    for (size_t h = 0; h < n; h++) {
        if (c->arch->qk == QK_NORM_HEAD)
            k->rmsnorm(row + h * K, norm, K, (float)c->norm_eps, row + h * K);
        if (!c->layer_no_rope[p->i_layer])
            k->rope(row + h * K, cos, sin, half);
    }
}

static void turn_rows(void *ctx, size_t from, size_t to) {
    pass *p = ctx;
    const model *m = p->m;
    size_t K = m->config.K, H = m->config.H, G = m->config.G, a, b;
    for (size_t t = from; t < to; t++) {
        turn_heads(p, m->scratch.q + t * H * K, H, p->y->q_norm, t);
        turn_heads(p, m->scratch.k + t * G * K, G, p->y->k_norm, t);
    }
    for (size_t i = 0; i < p->n_spans; i++) {
        const span *s = &p->spans[i];
        size_t first = s->row * G * K;
        if (rows_of(s, from, to, &a, &b))
            kv_put(s->kv, p->i_layer, s->pos, a - s->row, b - s->row, m->scratch.k + first, m->scratch.v + first);
    }
}

/* Attention of one tile: the H/G query heads that share key/value head g, of `tile` positions. */
static void attend_task(void *ctx, size_t i, int thread) {
    pass *p = ctx;
    const model *m = p->m;
    const model_config *c = &m->config;
    const span *s = p->spans;
    while (i - s->i_task >= s->tiles * c->G)
        s++;
    i -= s->i_task;
    size_t share = c->H / c->G, g = i / s->tiles, t0 = i % s->tiles * p->tile;
    size_t window = c->layer_slides[p->i_layer] ? c->window : 0, n = 0;
    kern_kv kv = kv_head(s->kv, p->i_layer, g);
    kern_attn a = {.scale = (float)c->attn_scale, .softcap = (float)c->attn_softcap};
    void *work = m->scratch.attn + (size_t)thread * m->scratch.attn_bytes;
    kern_query query[KERN_ATTN_TILE_MAX];
    for (size_t t = t0; t < t0 + p->tile && t < s->n; t++)
        for (size_t r = 0; r < share; r++) {
            size_t at = ((s->row + t) * c->H + g * share + r) * c->K, hi = s->pos + t + 1;
            query[n++] = (kern_query){.q = m->scratch.q + at,
                                      .out = m->scratch.att + at,
                                      .lo = window && hi > window ? hi - window : 0,
                                      .hi = hi};
            if (n == (size_t)m->engine.kern->attn_tile) {
                m->engine.kern->attention(&kv, &a, query, (int)n, work);
                n = 0;
            }
        }
    if (n)
        m->engine.kern->attention(&kv, &a, query, (int)n, work);
}

static void attend(pass *p) {
    const model *m = p->m;
    size_t share = m->config.H / m->config.G, tile = (size_t)m->engine.kern->attn_tile / share, n_tasks = 0;
    p->tile = tile ? tile : 1;
    for (size_t i = 0; i < p->n_spans; i++) {
        span *s = &p->spans[i];
        s->tiles = (s->n + p->tile - 1) / p->tile;
        s->i_task = n_tasks;
        n_tasks += s->tiles * m->config.G;
    }
    tasks_run(&m->engine, n_tasks, attend_task, p);
}

static void gate_rows(void *ctx, size_t from, size_t to) {
    pass *p = ctx;
    const model *m = p->m;
    size_t F = m->config.F;
    m->engine.kern->gated(m->config.arch->act, m->scratch.gate + from * F, m->scratch.up + from * F, (to - from) * F,
                          m->scratch.gate + from * F);
}

static void normed(pass *p, const float *from, const float *norm, rows_fn *fn) {
    p->from = from;
    p->norm = norm;
    rows_run(&p->m->engine, p->n, fn, p);
}

/* Products of x f32[n][k]. */
static void run_products(const pass *p, model_input input, const float *x, size_t k, const product *of,
                         int n_products) {
    model *m = p->m;
    if (m->watch.fn)
        m->watch.fn(m->watch.ctx, input, p->i_layer, x, p->n, k);
    products_of(&m->engine, &m->scratch.acts, x, k, p->n, of, n_products);
}

static bool same_adapters(const span *a, const span *b) {
    return adapter_uses_equal(a->adapters, a->n_adapters, b->adapters, b->n_adapters);
}

/* Adapters' shares, for neighbouring spans with the same ones together. */
static void adapt(const pass *p, model_input input, const float *x, size_t k, const product *of, int n_products) {
    static const lora_part first[] = {
        [INPUT_QKV] = LORA_Q, [INPUT_O] = LORA_O, [INPUT_FFN] = LORA_GATE, [INPUT_DOWN] = LORA_DOWN};
    for (size_t i = 0, end; i < p->n_spans; i = end) {
        const span *s = &p->spans[i];
        size_t n = s->n; /* a span is like itself, even where its mix is no number */
        for (end = i + 1; end < p->n_spans && same_adapters(s, &p->spans[end]); end++)
            n += p->spans[end].n;
        float *y[ADAPT_TOGETHER_MAX];
        for (int j = 0; j < n_products; j++)
            y[j] = of[j].y + s->row * of[j].ldy;
        adapter_apply(s->adapters, s->n_adapters, p->i_layer, first[input], n_products, x + s->row * k, k, n, y);
    }
}

static void bias_rows(void *ctx, size_t from, size_t to) {
    const pass *p = ctx;
    for (int i = 0; i < p->n_products; i++) {
        const product *of = &p->products[i];
        for (size_t t = from; of->bias && t < to; t++)
            p->m->engine.kern->add(of->y + t * of->ldy, of->bias, of->w->rows, of->y + t * of->ldy);
    }
}

/* Products of a layer, and what adapters add to them before the bias. */
static void products(pass *p, model_input input, const float *x, size_t k, const product *of, int n_products) {
    if (!p->adapted) {
        run_products(p, input, x, k, of, n_products);
        return;
    }
    product bare[ADAPT_TOGETHER_MAX];
    bool biased = false;
    for (int i = 0; i < n_products; i++) {
        bare[i] = (product){of[i].w, NULL, of[i].y, of[i].ldy};
        biased = biased || of[i].bias;
    }
    run_products(p, input, x, k, bare, n_products);
    adapt(p, input, x, k, of, n_products);
    if (!biased)
        return;
    p->products = of;
    p->n_products = n_products;
    rows_run(&p->m->engine, p->n, bias_rows, p);
}

static void attention_block(pass *p) {
    const model *m = p->m;
    const scratch *s = &m->scratch;
    const model_config *c = &m->config;
    const layer *y = p->y;
    const float *in = s->x;
    if (y->attn_pre) {
        normed(p, s->x, y->attn_pre, norm_rows);
        in = s->h;
    }
    products(p, INPUT_QKV, in, c->D,
             (product[]){{&y->q, y->q_bias, s->q, c->H * c->K},
                         {&y->k, y->k_bias, s->k, c->G * c->K},
                         {&y->v, y->v_bias, s->v, c->G * c->K}},
             3);
    rows_run(&m->engine, p->n, turn_rows, p);
    attend(p);
    products(p, INPUT_O, s->att, c->H * c->K, (product[]){{&y->o, y->o_bias, s->h, c->D}}, 1);
    normed(p, NULL, y->attn_post, add_branch);
}

static void ffn_block(pass *p) {
    const model *m = p->m;
    const scratch *s = &m->scratch;
    const model_config *c = &m->config;
    const layer *y = p->y;
    const float *in = s->x;
    if (y->ffn_pre) {
        normed(p, s->x, y->ffn_pre, norm_rows);
        in = s->h;
    }
    products(p, INPUT_FFN, in, c->D,
             (product[]){{&y->gate, y->gate_bias, s->gate, c->F}, {&y->up, y->up_bias, s->up, c->F}}, 2);
    rows_run(&m->engine, p->n, gate_rows, p);
    products(p, INPUT_DOWN, s->gate, c->F, (product[]){{&y->down, y->down_bias, s->h, c->D}}, 1);
    normed(p, NULL, y->ffn_post, add_branch);
}

static void finish_rows(void *ctx, size_t from, size_t to) {
    const pass *p = ctx;
    const model_config *c = &p->m->config;
    const kern_ops *k = p->m->engine.kern;
    for (size_t t = from; t < to; t++) {
        float *out = p->logits + t * c->V;
        if (c->logit_scale != 1)
            k->scale(out, (float)c->logit_scale, c->V, out);
        if (c->logit_softcap > 0)
            k->softcap(out, (float)c->logit_softcap, c->V, out);
        k->canonical(out, c->V);
    }
}

/* Logits of the n rows that `pick` names into out f32[n][V]. */
static void head(const pass *p, const size_t *pick, size_t n, float *out) {
    model *m = p->m;
    const model_config *c = &m->config;
    pass picked = *p;
    picked.n = n;
    picked.pick = pick;
    picked.logits = out;
    normed(&picked, m->scratch.x, m->out_norm, norm_rows);
    run_products(&picked, INPUT_OUTPUT, m->scratch.h, c->D, (product[]){{&m->output, NULL, out, c->V}}, 1);
    rows_run(&m->engine, n, finish_rows, &picked);
}

/* The last hidden states of all rows, to those who asked. */
static void tell_states(pass *p) {
    const model *m = p->m;
    size_t D = m->config.D;
    bool asked = false;
    for (size_t i = 0; i < p->n_spans; i++)
        asked = asked || p->spans[i].states;
    if (!asked)
        return;
    normed(p, m->scratch.x, m->out_norm, norm_rows);
    for (size_t i = 0; i < p->n_spans; i++) {
        const span *s = &p->spans[i];
        if (!s->states)
            continue;
        memcpy(s->states, m->scratch.h + s->row * D, s->n * D * sizeof(float));
        m->engine.kern->canonical(s->states, s->n * D);
    }
}

static void angles(const pass *p) {
    model *m = p->m;
    size_t half = m->config.rope_width / 2;
    for (size_t i = 0; i < p->n_spans; i++)
        for (size_t kind = 0; kind < 2; kind++) {
            const span *s = &p->spans[i];
            size_t at = (kind * MODEL_CHUNK + s->row) * half;
            rope_angles(m->engine.kern, s->kv->freq + kind * half, half, s->kv->factor[kind], s->pos, s->n,
                        m->scratch.cos + at, m->scratch.sin + at);
        }
}

static void through_layers(pass *p) {
    model *m = p->m;
    rows_run(&m->engine, p->n, embed_rows, p);
    angles(p);
    for (p->i_layer = 0; p->i_layer < m->config.L; p->i_layer++) {
        p->y = &m->layers[p->i_layer];
        attention_block(p);
        ffn_block(p);
    }
    for (size_t i = 0; i < p->n_spans; i++)
        p->spans[i].kv->len += p->spans[i].n;
}

static err_code check_part(const model *m, const model_part *part, err *e) {
    const kv_cache *kv = part->kv;
    assert(kv->m == m);
    for (size_t i = 0; i < part->n_adapters; i++)
        assert(part->adapters[i].adapter->m == m);
    for (size_t i = 0; i < part->n; i++)
        if (part->ids[i] < 0 || (size_t)part->ids[i] >= m->config.V)
            return err_set(e, ERR_USAGE, "token id %d is outside the vocabulary of %zu", part->ids[i], m->config.V);
    if (part->n > kv->ctx - kv->len)
        return err_set(e, ERR_LIMIT, "%zu tokens do not fit: %zu of %zu positions are taken (use a larger --ctx)",
                       part->n, kv->len, kv->ctx);
    return ERR_OK;
}

err_code model_forward_batch(model *m, const model_part *parts, size_t n_parts, float *logits, err *e) {
    span spans[MODEL_CHUNK];
    size_t pick[MODEL_CHUNK], done = 0; /* of parts[i] */
    for (size_t i = 0; i < n_parts; i++)
        TRY(check_part(m, &parts[i], e));
    for (size_t i = 0; i < n_parts;) {
        pass p = {.m = m, .spans = spans};
        size_t n_picked = 0;
        while (i < n_parts && p.n < MODEL_CHUNK) {
            const model_part *part = &parts[i];
            size_t left = part->n - done, n = left < MODEL_CHUNK - p.n ? left : MODEL_CHUNK - p.n;
            if (n > 0)
                spans[p.n_spans++] = (span){.kv = part->kv,
                                            .ids = part->ids + done,
                                            .n = n,
                                            .pos = part->kv->len,
                                            .row = p.n,
                                            .states = part->states ? part->states + done * m->config.D : NULL,
                                            .adapters = part->adapters ? part->adapters : m->standing,
                                            .n_adapters = part->adapters ? part->n_adapters : m->n_standing};
            p.adapted = p.adapted || (n > 0 && spans[p.n_spans - 1].n_adapters > 0);
            for (size_t k = 0; k < n; k++)
                if (part->which == LOGITS_ALL || (part->which == LOGITS_LAST && k + 1 == left))
                    pick[n_picked++] = p.n + k;
            p.n += n;
            done = n < left ? done + n : 0;
            i += done == 0;
        }
        if (p.n > 0) {
            through_layers(&p);
            tell_states(&p);
        }
        if (n_picked > 0) {
            head(&p, pick, n_picked, logits);
            logits += n_picked * m->config.V;
        }
    }
    return ERR_OK;
}

err_code model_forward(model *m, kv_cache *kv, const int32_t *ids, size_t n, logits_which which, float *logits,
                       err *e) {
    return model_forward_batch(m, &(model_part){.kv = kv, .ids = ids, .n = n, .which = which}, 1, logits, e);
}
