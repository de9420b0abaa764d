/* adapter_merge: rows of weights with what adapters add to them; see adapter_merge.h. */
#include "model/adapter_merge.h"

#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "model/adapter_int.h"

enum { ROOM_ROWS = 2 }; /* of each thread: the row as it was, and what one adapter adds */

struct adapter_merge {
    const model *m;
    const adapter_use *use;
    size_t n_uses, widest;
    float *room; /* f32[threads][ROOM_ROWS][widest] */
    /* of the matrix at hand */
    lora_part first;
    float **a; /* [n_uses][TENSOR_PARTS_MAX] f32[rank][cols] by rows; NULL: not changed */
    float *rows;
};

err_code adapter_merge_open(adapter_merge **out, const model *m, const adapter_use *use, size_t n, err *e) {
    const model_config *c = &m->config;
    size_t heads = c->H * c->K, widest = c->D > c->F ? c->D : c->F;
    adapter_merge *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return err_set(e, ERR_MEMORY, "no memory");
    *g = (adapter_merge){.m = m, .use = use, .n_uses = n, .widest = widest > heads ? widest : heads};
    g->room = calloc((size_t)pool_threads(m->engine.pool) * ROOM_ROWS * g->widest, sizeof *g->room);
    g->a = calloc(n * TENSOR_PARTS_MAX + 1, sizeof *g->a);
    if (!g->room || !g->a) {
        adapter_merge_close(g);
        return err_set(e, ERR_MEMORY, "no memory to merge adapters");
    }
    *out = g;
    return ERR_OK;
}

void adapter_merge_close(adapter_merge *g) {
    if (!g)
        return;
    free(g->room);
    free(g->a);
    free(g->rows);
    free(g);
}

/* The first part of a matrix; false: adapters change no such matrix. */
static bool part_of(tensor_role role, lora_part *first) {
    static const struct {
        bool changes;
        lora_part first;
    } of[ROLE_COUNT] = {
        [ROLE_Q] = {true, LORA_Q},   [ROLE_K] = {true, LORA_K},          [ROLE_V] = {true, LORA_V},
        [ROLE_QKV] = {true, LORA_Q}, [ROLE_O] = {true, LORA_O},          [ROLE_GATE] = {true, LORA_GATE},
        [ROLE_UP] = {true, LORA_UP}, [ROLE_GATE_UP] = {true, LORA_GATE}, [ROLE_DOWN] = {true, LORA_DOWN},
    };
    *first = of[role].first;
    return of[role].changes;
}

static const adapter_target *target_of(const adapter_merge *g, size_t u, size_t i_layer, int part) {
    if (g->use[u].mix == 0)
        return NULL;
    return adapter_at(g->use[u].adapter, i_layer, (lora_part)((int)g->first + part));
}

/* A's by rows, of all adapters that change the matrix. */
static err_code begin(void *ctx, const model_tensor *t, bool *changes, err *e) {
    adapter_merge *g = ctx;
    size_t floats = 0, at = 0;
    *changes = false;
    if (!part_of(t->role, &g->first))
        return ERR_OK;
    for (size_t u = 0; u < g->n_uses; u++)
        for (int p = 0; p < t->n_parts; p++) {
            const adapter_target *x = target_of(g, u, t->layer, p);
            floats += x ? x->a.rows * x->a.cols : 0;
        }
    free(g->rows);
    g->rows = malloc((floats + 1) * sizeof *g->rows);
    if (!g->rows)
        return err_set(e, ERR_MEMORY, "no memory to merge adapters into %s", t->name);
    for (size_t u = 0; u < g->n_uses; u++)
        for (int p = 0; p < t->n_parts; p++) {
            const adapter_target *x = target_of(g, u, t->layer, p);
            g->a[u * TENSOR_PARTS_MAX + (size_t)p] = x ? g->rows + at : NULL;
            for (size_t i = 0; x && i < x->a.rows; i++, at += x->a.cols)
                matrix_row(&x->a, i, g->rows + at);
            *changes = *changes || x;
        }
    return ERR_OK;
}

static float b_at(const adapter_target *t, size_t r, size_t i) {
    const float *b = (const float *)(const void *)t->b.packed;
    return b[r / 16 * 16 * t->b.cols + i * 16 + r % 16];
}

/* d = chain over i of (B[r][i] * gain) * A[i]; of what is not DoRA the gain is 1, which changes no bit. */
static void delta(const adapter_merge *g, const adapter_target *t, const float *a, size_t r, float gain, float *d) {
    size_t cols = t->a.cols;
    memset(d, 0, cols * sizeof *d);
    for (size_t i = 0; i < t->a.rows; i++)
        g->m->engine.kern->add_scaled(d, a + i * cols, b_at(t, r, i) * gain, cols, d);
}

static void change_row(void *ctx, const model_tensor *t, int part, size_t r, int thread, float *w) {
    const adapter_merge *g = ctx;
    const kern_ops *k = g->m->engine.kern;
    size_t cols = t->cols;
    float *base = g->room + (size_t)thread * ROOM_ROWS * g->widest, *d = base + g->widest;
    memcpy(base, w, cols * sizeof *w);
    for (size_t u = 0; u < g->n_uses; u++) {
        const float *a = g->a[u * TENSOR_PARTS_MAX + (size_t)part];
        const adapter_target *x = target_of(g, u, t->layer, part);
        float mix = g->use[u].mix;
        if (!x)
            continue;
        delta(g, x, a, r, 1, d);
        if (x->magnitude) {
            k->add_scaled(base, d, x->scale, cols, d);
            float gain = over_norm(x->magnitude[r], (float)kern_sqrt64((double)k->sum_squares(d, cols)), 1);
            k->scale(w, 1.0f + mix * (gain - 1.0f), cols, w);
            delta(g, x, a, r, gain, d);
        }
        k->add_scaled(w, d, mix * x->scale, cols, w);
    }
}

export_change adapter_merge_change(adapter_merge *g) { return (export_change){begin, change_row, g}; }
