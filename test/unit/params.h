/* params: a few made-up weights in the learner's layout, for tests of what works on them. */
#ifndef LOAM_TEST_PARAMS_H
#define LOAM_TEST_PARAMS_H

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/learner.h"

enum { PARAMS_N = 6 };

typedef struct {
    param p[PARAMS_N];
} params;

/* Shapes with and without padding, vectors, one of more than one block of the optimizer. */
static inline params params_make(void) {
    static const struct {
        const char *name;
        size_t rows, cols;
    } shape[PARAMS_N] = {
        {"model.embed_tokens.weight", 37, 24},
        {"model.layers.0.input_layernorm.weight", 24, 0},
        {"model.layers.0.self_attn.q_proj.weight", 32, 24},
        {"model.layers.0.self_attn.q_proj.bias", 33, 0},
        {"model.layers.0.self_attn.o_proj.weight", 300, 80},
        {"model.norm.weight", 7, 0},
    };
    params s;
    for (size_t i = 0; i < PARAMS_N; i++) {
        size_t rows = shape[i].cols ? (shape[i].rows + 15) / 16 * 16 : shape[i].rows;
        size_t n = rows * (shape[i].cols ? shape[i].cols : 1), bytes = (n * sizeof(float) + 63) / 64 * 64;
        s.p[i] =
            (param){shape[i].name, shape[i].rows, shape[i].cols, n, aligned_alloc(64, bytes), aligned_alloc(64, bytes)};
        if (!s.p[i].w || !s.p[i].g)
            abort();
        memset(s.p[i].w, 0, n * sizeof(float));
        memset(s.p[i].g, 0, n * sizeof(float));
    }
    return s;
}

static inline void params_free(params *s) {
    for (size_t i = 0; i < PARAMS_N; i++) {
        free(s->p[i].w);
        free(s->p[i].g);
    }
}

/* Where element (r, c) stands; c 0 in a vector. */
static inline size_t params_at(const param *p, size_t r, size_t c) {
    return p->cols ? r / 16 * 16 * p->cols + c * 16 + r % 16 : r;
}

/* Numbers in (-1, 1) times `scale` everywhere but in the padding. */
static inline void params_fill(const param *p, float *x, uint64_t seed, float scale) {
    for (size_t r = 0; r < p->rows; r++)
        for (size_t c = 0; c < (p->cols ? p->cols : 1); c++)
            x[params_at(p, r, c)] = (2 * rng_f32(seed, RNG_TEST, r * 4096 + c) - 1) * scale;
}

#endif
