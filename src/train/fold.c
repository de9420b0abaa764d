/* fold: a binary counter of partial sums; see fold.h.
 *
 * Invariant: before microbatch i, level k holds a sum exactly when bit k of i is set: that of 2^k microbatches, the
 * larger ones further to the left.
 */
#include "train/fold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tensor/rows.h"

enum { LEVELS = 32, GRAIN = 16384 };

struct fold {
    engine engine;
    param *params;
    size_t n_params, n, floats;
    float *kept[LEVELS]; /* f32[floats], all params behind each other */
    int n_levels;
    float *level; /* of the task at hand */
    bool add;     /* g = level + g, else level = g */
};

static size_t floats_of(const param *params, size_t n_params) {
    size_t sum = 0;
    for (size_t i = 0; i < n_params; i++)
        sum += (params[i].n + 15) & ~(size_t)15;
    return sum;
}

/* Levels that are ever written: below the highest bit of n - 1, and that one. */
static int levels_of(size_t n) {
    int levels = 0;
    while (levels < LEVELS && (n - 1) >> levels)
        levels++;
    return levels;
}

size_t fold_plan_bytes(const param *params, size_t n_params, size_t n) {
    return (size_t)levels_of(n) * floats_of(params, n_params) * sizeof(float);
}

err_code fold_open(fold **out, const engine *en, param *params, size_t n_params, size_t n, err *e) {
    *out = NULL;
    assert(n >= 1 && n < (size_t)1 << 31);
    fold *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_MEMORY, "no memory for sums of gradients");
    *f = (fold){.engine = *en, .params = params, .n_params = n_params, .n = n, .n_levels = levels_of(n)};
    f->floats = floats_of(params, n_params);
    for (int k = 0; k < f->n_levels; k++) {
        f->kept[k] = os_pages_alloc(f->floats * sizeof(float));
        if (!f->kept[k]) {
            fold_close(f);
            return err_set(e, ERR_MEMORY, "no memory for %d sums of gradients (fewer, larger microbatches need less)",
                           levels_of(n));
        }
    }
    *out = f;
    return ERR_OK;
}

void fold_close(fold *f) {
    if (!f)
        return;
    for (int k = 0; k < f->n_levels; k++)
        os_pages_free(f->kept[k], f->floats * sizeof(float));
    free(f);
}

/* Grain `i` of all params laid behind each other. */
static void grain_task(void *ctx, size_t i, int thread) {
    (void)thread;
    fold *f = ctx;
    size_t from = i * GRAIN, to = from + GRAIN, at = 0;
    for (size_t p = 0; p < f->n_params && at < to; p++) {
        size_t n = f->params[p].n, a = from > at ? from - at : 0, b = to - at < n ? to - at : n;
        if (a < b) {
            float *kept = f->level + at + a, *g = f->params[p].g + a;
            if (f->add)
                f->engine.kern->add(kept, g, b - a, g);
            else
                memcpy(kept, g, (b - a) * sizeof *g);
        }
        at += (n + 15) & ~(size_t)15;
    }
}

static void each(fold *f, int level, bool add) {
    f->level = f->kept[level];
    f->add = add;
    tasks_run(&f->engine, (f->floats + GRAIN - 1) / GRAIN, grain_task, f);
}

void fold_add(fold *f, size_t i, size_t n) {
    assert(i < n && n <= f->n);
    bool last = i + 1 == n;
    int k = 0;
    /* Left halves of the same size join first; the last microbatch then joins all that is left of it. */
    for (; i >> k & 1; k++)
        each(f, k, true);
    if (!last) {
        each(f, k, false);
        return;
    }
    for (k++; k < f->n_levels; k++)
        if (i >> k & 1)
            each(f, k, true);
}
