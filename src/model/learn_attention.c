/* learn_attention: attention of every segment of a batch, forward and backward.
 *
 * Keys (and, backward, values) of the segments are turned into panels of 16 positions counted from each segment's
 * start, as a cache has them; so many segments at a time as there is room for. The unit of work is a chunk of 64
 * positions of one segment for one key/value head.
 */
#include <string.h>

#include "model/learner_int.h"
#include "tensor/rows.h"

enum { CHUNK = KERN_ATTN_CHUNK };

typedef struct {
    learner *l;
    trace *t;
    kern_attn attn;
    size_t window, first; /* first: the wave's first chunk */
    bool values;
} job;

static size_t min_of(size_t a, size_t b) { return a < b ? a : b; }
static size_t up16(size_t n) { return (n + 15) & ~(size_t)15; }
static segment segment_of(const job *j, size_t i) { return j->l->b->segment[i]; }

/* Panels of head g of a segment: [positions/16][K][16]. */
static size_t panel_place(const job *j, size_t i_segment, size_t g) {
    const model_config *c = &j->l->m->config;
    segment s = segment_of(j, i_segment);
    return (j->l->panel_at[i_segment] * c->G + g * up16(s.to - s.from)) * c->K;
}

static void panels_task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    const learner *l = j->l;
    size_t G = l->m->config.G, K = l->m->config.K, g = i % G;
    chunk c = l->chunks[j->first + i / G];
    segment s = segment_of(j, c.segment);
    size_t from = c.at, to = min_of(from + CHUNK, s.to - s.from), place = panel_place(j, c.segment, g);
    (void)thread;
    for (size_t t = from; t < to; t++) {
        size_t at = place + t / 16 * 16 * K + t % 16;
        const float *k = j->t->k + (s.from + t) * l->KV + g * K, *v = j->t->v + (s.from + t) * l->KV + g * K;
        for (size_t d = 0; d < K; d++)
            l->k_panels[at + 16 * d] = k[d];
        for (size_t d = 0; j->values && d < K; d++)
            l->v_panels[at + 16 * d] = v[d];
    }
}

static void attend_task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    learner *l = j->l;
    const model_config *m = &l->m->config;
    size_t K = m->K, g = i % m->G, share = m->H / m->G;
    chunk c = l->chunks[j->first + i / m->G];
    segment s = segment_of(j, c.segment);
    const kern_kv kv = {.k = l->k_panels + panel_place(j, c.segment, g),
                        .v = j->t->v + s.from * l->KV + g * K,
                        .width = K,
                        .v_stride = l->KV};
    kern_query query[KERN_ATTN_TILE_MAX];
    size_t n = 0;
    for (size_t t = c.at; t < min_of(c.at + CHUNK, s.to - s.from); t++)
        for (size_t h = g * share; h < (g + 1) * share; h++) {
            size_t row = s.from + t, hi = t + 1;
            query[n++] = (kern_query){.q = j->t->q + row * l->Q + h * K,
                                      .out = j->t->att + row * l->Q + h * K,
                                      .lo = j->window && hi > j->window ? hi - j->window : 0,
                                      .hi = hi,
                                      .stat = j->t->stat + 2 * (row * m->H + h)};
            if (n == (size_t)l->m->engine.kern->attn_tile) {
                l->m->engine.kern->attention(&kv, &j->attn, query, (int)n, l->scratch + (size_t)thread * l->attn_bytes);
                n = 0;
            }
        }
    if (n)
        l->m->engine.kern->attention(&kv, &j->attn, query, (int)n, l->scratch + (size_t)thread * l->attn_bytes);
}

/* Segments [from, *to) go together; gives the longest's length. */
static size_t next_wave(learner *l, size_t from, size_t *to) {
    size_t rows = 0, longest = 0, i = from;
    for (; i < l->b->n_segments; i++) {
        size_t n = l->b->segment[i].to - l->b->segment[i].from;
        if (rows + up16(n) > l->panel_rows)
            break;
        l->panel_at[i] = rows;
        rows += up16(n);
        longest = n > longest ? n : longest;
    }
    *to = i;
    return longest;
}

static job job_of(learner *l, size_t i_layer, trace *t) {
    const model_config *c = &l->m->config;
    return (job){.l = l,
                 .t = t,
                 .attn = {.scale = (float)c->attn_scale, .softcap = (float)c->attn_softcap},
                 .window = c->layer_slides[i_layer] ? c->window : 0};
}

void learn_attention(learner *l, size_t i_layer, trace *t) {
    job j = job_of(l, i_layer, t);
    for (size_t from = 0, to; from < l->b->n_segments; from = to) {
        next_wave(l, from, &to);
        j.first = l->first_chunk[from];
        size_t tasks = (l->first_chunk[to] - j.first) * l->m->config.G;
        tasks_run(&l->m->engine, tasks, panels_task, &j);
        tasks_run(&l->m->engine, tasks, attend_task, &j);
    }
}

/* ---- backward ---- */

/* Chains of dq, dk, dv start at +0; delta = sum of datt * att over each head. */
static void delta_rows(void *ctx, size_t from, size_t to) {
    const job *j = ctx;
    learner *l = j->l;
    const model_config *c = &l->m->config;
    size_t K = c->K;
    for (size_t t = from; t < to; t++) {
        memset(l->dq + t * l->Q, 0, c->H * K * sizeof(float));
        memset(l->dk + t * l->KV, 0, c->G * K * sizeof(float));
        memset(l->dv + t * l->KV, 0, c->G * K * sizeof(float));
        for (size_t h = 0; h < c->H; h++)
            l->delta[t * c->H + h] =
                l->m->engine.kern->dot(l->datt + t * l->Q + h * K, j->t->att + t * l->Q + h * K, K);
    }
}

static kern_attn_back back_of(const job *j, size_t i_segment, size_t g, size_t h) {
    learner *l = j->l;
    const model_config *c = &l->m->config;
    segment s = segment_of(j, i_segment);
    size_t q = s.from * l->Q + h * c->K, kv = s.from * l->KV + g * c->K, place = panel_place(j, i_segment, g);
    return (kern_attn_back){.q = j->t->q + q,
                            .dout = l->datt + q,
                            .k = j->t->k + kv,
                            .v = j->t->v + kv,
                            .k_panels = l->k_panels + place,
                            .v_panels = l->v_panels + place,
                            .stat = j->t->stat + 2 * (s.from * c->H + h),
                            .delta = l->delta + s.from * c->H + h,
                            .dq = l->dq + q,
                            .dk = l->dk + kv,
                            .dv = l->dv + kv,
                            .n = s.to - s.from,
                            .width = c->K,
                            .q_stride = l->Q,
                            .kv_stride = l->KV,
                            .stat_stride = c->H,
                            .window = j->window};
}

static void heads_back(const job *j, size_t i_segment, size_t g, int which, size_t q_from, size_t q_to, size_t k_from,
                       size_t k_to, int thread) {
    learner *l = j->l;
    size_t share = l->m->config.H / l->m->config.G;
    for (size_t h = g * share; h < (g + 1) * share; h++) {
        kern_attn_back b = back_of(j, i_segment, g, h);
        l->m->engine.kern->attention_back(&b, &j->attn, which, q_from, q_to, k_from, k_to,
                                          l->scratch + (size_t)thread * l->attn_bytes);
    }
}

/* A whole segment for one key/value head: every block is computed once. */
static void segment_task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    size_t G = j->l->m->config.G, at = j->l->chunks[j->first].segment + i / G;
    segment s = segment_of(j, at);
    size_t n = s.to - s.from;
    heads_back(j, at, i % G, KERN_BACK_Q | KERN_BACK_KV, 0, n, 0, n, thread);
}

/* A chunk, first as queries, then as keys: blocks are computed twice, but there are more tasks. */
static void chunk_task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    size_t G = j->l->m->config.G;
    chunk c = j->l->chunks[j->first + i / (2 * G)];
    segment s = segment_of(j, c.segment);
    size_t n = s.to - s.from, to = min_of(c.at + CHUNK, n), g = i / 2 % G;
    if (i % 2)
        heads_back(j, c.segment, g, KERN_BACK_KV, c.at, n, c.at, to, thread);
    else
        heads_back(j, c.segment, g, KERN_BACK_Q, c.at, to, 0, to, thread);
}

void learn_attention_back(learner *l, size_t i_layer, const trace *t) {
    job j = job_of(l, i_layer, (trace *)(uintptr_t)t);
    const engine *e = &l->m->engine;
    size_t G = l->m->config.G, threads = (size_t)pool_threads(e->pool);
    j.values = true;
    rows_run(e, l->n, delta_rows, &j);
    for (size_t from = 0, to; from < l->b->n_segments; from = to) {
        size_t longest = next_wave(l, from, &to), work = 0, chunks = l->first_chunk[to] - l->first_chunk[from];
        j.first = l->first_chunk[from];
        tasks_run(e, chunks * G, panels_task, &j);
        for (size_t i = from; i < to; i++) {
            size_t n = l->b->segment[i].to - l->b->segment[i].from;
            work += n * n;
        }
        bool even = work * G / threads / 2 >= longest * longest || threads == 1;
        if (even)
            tasks_run(e, (to - from) * G, segment_task, &j);
        else
            tasks_run(e, 2 * chunks * G, chunk_task, &j);
    }
}
