/* create: a model made from a shape instead of a file; see learner.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kern/panel.h"
#include "model/config_int.h"
#include "model/learner.h"
#include "model/parts.h"

static err_code copy_of(arena *mem, const void *from, size_t n, size_t size, const void **out, err *e) {
    *out = NULL;
    if (!from)
        return ERR_OK;
    void *to = arena_alloc(mem, n, size);
    if (!to)
        return arena_short(e, n, size);
    memcpy(to, from, n * size);
    *out = to;
    return ERR_OK;
}

/* *to = c with arrays and strings in mem. */
static err_code copy_config(model_config *to, const model_config *c, arena *mem, err *e) {
    const void *p;
    *to = *c;
    to->name = arena_str(mem, c->name);
    if (!to->name.p)
        return arena_short(e, c->name.n, 1);
    uint8_t *none;
    ARENA_NEW(mem, none, c->L, e);
    TRY(copy_of(mem, c->layer_slides ? c->layer_slides : none, c->L, 1, &p, e));
    to->layer_slides = p;
    TRY(copy_of(mem, c->layer_no_rope ? c->layer_no_rope : none, c->L, 1, &p, e));
    to->layer_no_rope = p;
    rope_config *const ropes[] = {&to->rope, &to->rope_local};
    for (int i = 0; i < 2; i++) {
        TRY(copy_of(mem, ropes[i]->divide_short, c->rope_width / 2, sizeof(float), &p, e));
        ropes[i]->divide_short = p;
        TRY(copy_of(mem, ropes[i]->divide_long, c->rope_width / 2, sizeof(float), &p, e));
        ropes[i]->divide_long = p;
    }
    return ERR_OK;
}

/* The next rows x cols of m->packed; counted only when there is none yet. */
static void place(model *m, matrix *w, size_t rows, size_t cols, size_t *at) {
    *w = (matrix){.type = DTYPE_F32, .rows = rows, .cols = cols, .packed = m->packed ? m->packed + *at : NULL};
    *at += (panel_bytes(DTYPE_F32, rows, cols) + 63) & ~(size_t)63;
}

static err_code place_vector(model *m, const float **v, size_t n, err *e) {
    if (!m->packed)
        return ERR_OK;
    float *f;
    ARENA_NEW(&m->mem, f, n, e);
    *v = f;
    return ERR_OK;
}

static err_code place_all(model *m, err *e) {
    const model_config *c = &m->config;
    part parts[PARTS];
    size_t at = 0;
    parts_of(c, parts);
    place(m, &m->embed, c->V, c->D, &at);
    m->output = m->embed;
    if (!c->tied)
        place(m, &m->output, c->V, c->D, &at);
    TRY(place_vector(m, &m->out_norm, c->D, e));
    for (size_t i = 0; i < c->L; i++)
        for (int j = 0; j < PARTS; j++) {
            if (!parts[j].wanted)
                continue;
            if (parts[j].cols)
                place(m, part_matrix(&parts[j], &m->layers[i]), parts[j].rows, parts[j].cols, &at);
            else
                TRY(place_vector(m, part_vector(&parts[j], &m->layers[i]), parts[j].rows, e));
        }
    m->packed_bytes = at;
    return ERR_OK;
}

static err_code create_in(model *m, const model_config *c, const model_options *o, err *e) {
    m->how = MODEL_WEIGHTS_F32;
    m->prefix = STR("");
    m->path = strdup("new model");
    if (!m->path)
        return err_set(e, ERR_MEMORY, "no memory");
    TRY(config_check(c, e));
    if (c->V < 1)
        return err_set(e, ERR_USAGE, "a new model needs the size of its vocabulary");
    TRY(copy_config(&m->config, c, &m->mem, e));
    ARENA_NEW(&m->mem, m->layers, c->L, e);
    TRY(place_all(m, e)); /* counts */
    if (!o->plan) {
        m->packed = os_pages_alloc(m->packed_bytes);
        if (!m->packed)
            return err_set(e, ERR_MEMORY, "no memory for %zu bytes of weights", m->packed_bytes);
        TRY(place_all(m, e));
    }
    return model_ready(m, o, e);
}

err_code model_create(model **out, const model_config *c, const model_options *o, err *e) {
    model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "no memory");
    err_code code = model_engine(m, o, e);
    if (code == ERR_OK)
        code = create_in(m, c, o, e);
    if (code) {
        model_close(m);
        return code;
    }
    *out = m;
    return ERR_OK;
}
