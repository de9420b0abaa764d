/* adapter_combine: several adapters as one; see adapter_merge.h. */
#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "model/adapter_int.h"
#include "model/adapter_merge.h"

/* The adapters that change one matrix of one layer. */
typedef struct {
    const adapter_target *t[MODEL_ADAPTERS_MAX];
    float x[MODEL_ADAPTERS_MAX]; /* mix * scale */
    size_t n;
} group;

static group group_of(const adapter_use *use, size_t n, size_t i_layer, lora_part p) {
    group g = {.n = 0};
    for (size_t u = 0; u < n; u++) {
        const adapter_target *t = adapter_at(use[u].adapter, i_layer, p);
        if (!t)
            continue;
        g.x[g.n] = use[u].mix * t->scale;
        g.t[g.n++] = t;
    }
    return g;
}

static float *element(const matrix *m, size_t r, size_t c) {
    return (float *)(void *)m->packed + r / 16 * 16 * m->cols + c * 16 + r % 16;
}

/* ---- cat ---- */

static void cat(const group *g, adapter_target *out) {
    size_t at = 0;
    for (size_t u = 0; u < g->n; u++)
        for (size_t i = 0; i < g->t[u]->a.rows; i++, at++) {
            for (size_t c = 0; c < out->a.cols; c++)
                *element(&out->a, at, c) = *element(&g->t[u]->a, i, c) * g->x[u];
            for (size_t r = 0; r < out->b.rows; r++)
                *element(&out->b, r, at) = *element(&g->t[u]->b, r, i);
        }
}

/* ---- linear and ties ---- */

typedef struct {
    const matrix *m[MODEL_ADAPTERS_MAX];
    float weight[MODEL_ADAPTERS_MAX];
    uint32_t least[MODEL_ADAPTERS_MAX]; /* of the magnitudes that stay, as bits; those equal to it: the first `equal` */
    size_t equal[MODEL_ADAPTERS_MAX];
    size_t n;
} task;

static uint32_t magnitude_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static int descending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The density largest magnitudes of each matrix stay. */
static err_code thresholds(task *k, double density, err *e) {
    size_t n = k->m[0]->rows * k->m[0]->cols, keep = (size_t)(density * (double)n);
    uint32_t *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return err_set(e, ERR_MEMORY, "no memory to combine adapters");
    for (size_t u = 0; u < k->n; u++) {
        for (size_t i = 0; i < n; i++)
            sorted[i] = magnitude_of(*element(k->m[u], i / k->m[u]->cols, i % k->m[u]->cols));
        qsort(sorted, n, sizeof *sorted, descending);
        k->least[u] = keep ? sorted[keep - 1] : UINT32_MAX;
        for (k->equal[u] = 0; k->equal[u] < keep && sorted[keep - 1 - k->equal[u]] == k->least[u];)
            k->equal[u]++;
    }
    free(sorted);
    return ERR_OK;
}

static float pruned(task *k, size_t u, size_t r, size_t c) {
    float x = *element(k->m[u], r, c);
    uint32_t size = magnitude_of(x);
    if (size > k->least[u])
        return x;
    if (size < k->least[u] || k->equal[u] == 0)
        return 0;
    k->equal[u]--;
    return x;
}

static void add_linear(const task *k, const matrix *out) {
    for (size_t r = 0; r < out->rows; r++)
        for (size_t c = 0; c < out->cols; c++) {
            float sum = 0;
            for (size_t u = 0; u < k->n; u++)
                sum = sum + *element(k->m[u], r, c) * k->weight[u];
            *element(out, r, c) = sum;
        }
}

static float elect(const task *k, const float *x) {
    float sum = 0, mixed = 0, n = 0;
    for (size_t u = 0; u < k->n; u++)
        sum = sum + x[u];
    for (size_t u = 0; u < k->n; u++)
        if (sum >= 0 ? x[u] > 0 : x[u] < 0) {
            mixed = mixed + x[u] * k->weight[u];
            n = n + 1;
        }
    return n > 0 ? mixed / n : 0;
}

static err_code add_ties(task *k, double density, const matrix *out, err *e) {
    TRY(thresholds(k, density, e));
    for (size_t r = 0; r < out->rows; r++)
        for (size_t c = 0; c < out->cols; c++) {
            float x[MODEL_ADAPTERS_MAX];
            for (size_t u = 0; u < k->n; u++)
                x[u] = pruned(k, u, r, c);
            *element(out, r, c) = elect(k, x);
        }
    return ERR_OK;
}

static err_code add_tasks(const group *g, combine_how how, double density, adapter_target *out, err *e) {
    for (int which = 0; which < 2; which++) { /* A, which takes the signs, and B */
        task k = {.n = g->n};
        for (size_t u = 0; u < g->n; u++) {
            float root = (float)kern_sqrt64((double)(g->x[u] < 0 ? -g->x[u] : g->x[u]));
            k.m[u] = which ? &g->t[u]->b : &g->t[u]->a;
            k.weight[u] = !which && g->x[u] < 0 ? -root : root;
        }
        const matrix *to = which ? &out->b : &out->a;
        if (how == COMBINE_LINEAR)
            add_linear(&k, to);
        else
            TRY(add_ties(&k, density, to, e));
    }
    return ERR_OK;
}

/* ---- all ---- */

static err_code rank_of(const group *g, combine_how how, size_t *rank, err *e) {
    *rank = 0;
    for (size_t u = 0; u < g->n; u++) {
        size_t r = g->t[u]->a.rows;
        if (g->t[u]->magnitude)
            return err_set(e, ERR_UNSUPPORTED, "DoRA adapters cannot be combined (merge them one after the other)");
        if (how != COMBINE_CAT && *rank && r != *rank)
            return err_set(e, ERR_USAGE, "adapters of ranks %zu and %zu: only cat combines different ranks", *rank, r);
        *rank = how == COMBINE_CAT ? *rank + r : r;
    }
    if (*rank > ADAPTER_RANK_MAX)
        return err_set(e, ERR_LIMIT, "together the adapters have rank %zu, at most %d is possible", *rank,
                       ADAPTER_RANK_MAX);
    return ERR_OK;
}

err_code adapter_combine(adapter **out, const adapter_use *use, size_t n, combine_how how, double density, err *e) {
    if (n < 1 || n > MODEL_ADAPTERS_MAX || !(density > 0 && density <= 1))
        return err_set(e, ERR_USAGE, "1 to %d adapters are combined, with a density above 0, at most 1",
                       MODEL_ADAPTERS_MAX);
    model *m = use[0].adapter->m;
    size_t n_targets = m->config.L * LORA_PARTS;
    target_plan *plan = calloc(n_targets, sizeof *plan);
    adapter_shape shape = {.alpha = 1};
    err_code code = plan ? ERR_OK : err_set(e, ERR_MEMORY, "no memory to combine adapters");
    for (size_t i = 0; i < n_targets && code == ERR_OK; i++) {
        group g = group_of(use, n, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        plan[i].scale = 1;
        code = rank_of(&g, how, &plan[i].rank, e);
        shape.rank = plan[i].rank > shape.rank ? plan[i].rank : shape.rank;
        shape.parts |= plan[i].rank ? 1u << i % LORA_PARTS : 0;
    }
    shape.alpha = (double)shape.rank;
    if (code == ERR_OK)
        code = adapter_new(out, m, &shape, plan, e);
    free(plan);
    TRY(code);
    for (size_t i = 0; i < n_targets && code == ERR_OK; i++) {
        group g = group_of(use, n, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        adapter_target *to = &(*out)->target[i];
        if (g.n && how == COMBINE_CAT)
            cat(&g, to);
        else if (g.n)
            code = add_tasks(&g, how, density, to, e);
    }
    if (code) {
        adapter_close(*out);
        *out = NULL;
    }
    return code;
}
