/* init: see init.h. */
#include "train/init.h"

#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "kern/math64.h"
#include "kern/panel.h"

static const double UNIT = 107019.83984290015;

static bool ends(const char *name, const char *end) { return str_ends(str_from(name), str_from(end)); }

double init_std(const init_options *o, const char *name, size_t cols) {
    if (ends(name, "embed_tokens.weight") || ends(name, "lm_head.weight"))
        return o->embed;
    double std = o->gain / kern_sqrt64((double)cols);
    bool residual = ends(name, "o_proj.weight") || ends(name, "down_proj.weight");
    return residual ? std / kern_sqrt64(2.0 * (double)o->layers) : std;
}

static uint64_t key_of(const char *name, uint64_t seed) {
    hash256 h = hash_of(name, strlen(name));
    uint64_t key = 0;
    for (int i = 7; i >= 0; i--)
        key = key << 8 | h.byte[i];
    return key ^ seed;
}

static float normal(uint64_t key, uint64_t index, float scale) {
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), RNG_INIT, 0}, w[4];
    rng_philox(ctr, (uint32_t[]){(uint32_t)key, (uint32_t)(key >> 32)}, w);
    int32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)(w[i] & 0xffff) + (int32_t)(w[i] >> 16);
    return (float)(2 * sum - 524280) * scale;
}

typedef struct {
    const param *p;
    uint64_t key;
    float scale;
} fill;

static void fill_panels(void *ctx, int part, int n_parts) {
    const fill *f = ctx;
    const param *p = f->p;
    size_t from, to;
    pool_share(p->rows, PANEL_ROWS, part, n_parts, &from, &to);
    for (size_t r = from; r < to; r++) {
        float *w = p->w + r / PANEL_ROWS * PANEL_ROWS * p->cols + r % PANEL_ROWS;
        for (size_t c = 0; c < p->cols; c++)
            w[c * PANEL_ROWS] = normal(f->key, (uint64_t)r * p->cols + c, f->scale);
    }
}

void init_weights(const init_options *o, param *params, size_t n, pool *p) {
    for (size_t i = 0; i < n; i++) {
        param *t = &params[i];
        if (t->cols == 0) {
            float value = ends(t->name, ".bias") ? 0.0f : 1.0f;
            for (size_t j = 0; j < t->rows; j++)
                t->w[j] = value;
            continue;
        }
        fill f = {t, key_of(t->name, o->seed), (float)(init_std(o, t->name, t->cols) / UNIT)};
        memset(t->w, 0, t->n * sizeof *t->w);
        pool_run(p, fill_panels, &f);
    }
}
