/* calibrate: sums of squares by matrix and column; see calibrate.h. */
#include "model/calibrate.h"

#include <stdlib.h>

#include "model/tensors.h"

enum { INPUTS = INPUT_OUTPUT }; /* those of a layer */

struct calibration {
    model *m;
    size_t cols[INPUTS];
    double *sum[INPUTS]; /* f64[L][cols] */
    uint64_t positions;  /* seen by every layer */
    arena mem;
};

/* ---- adding ---- */

typedef struct {
    const float *x;
    size_t n, k;
    double *sum;
} squares_job;

static void add_squares(void *ctx, int part, int n_parts) {
    const squares_job *j = ctx;
    size_t from, to;
    pool_share(j->k, 16, part, n_parts, &from, &to);
    for (size_t t = 0; t < j->n; t++)
        for (size_t i = from; i < to; i++)
            j->sum[i] += (double)j->x[t * j->k + i] * (double)j->x[t * j->k + i];
}

static void measure(void *ctx, model_input input, size_t i_layer, const float *x, size_t n, size_t k) {
    calibration *c = ctx;
    if (input == INPUT_OUTPUT)
        return;
    squares_job j = {x, n, k, c->sum[input] + i_layer * k};
    pool_run(c->m->engine.pool, add_squares, &j);
    if (input == INPUT_DOWN && i_layer + 1 == c->m->config.L)
        c->positions += n;
}

/* ---- the result ---- */

/* What goes into a matrix; INPUT_OUTPUT: nothing that is measured. */
static model_input input_of(tensor_role role) {
    static const model_input inputs[ROLE_COUNT] = {
        [ROLE_VECTOR] = INPUT_OUTPUT, [ROLE_EMBED] = INPUT_OUTPUT, [ROLE_OUTPUT] = INPUT_OUTPUT,
        [ROLE_Q] = INPUT_QKV,         [ROLE_K] = INPUT_QKV,        [ROLE_V] = INPUT_QKV,
        [ROLE_QKV] = INPUT_QKV,       [ROLE_O] = INPUT_O,          [ROLE_GATE] = INPUT_FFN,
        [ROLE_UP] = INPUT_FFN,        [ROLE_GATE_UP] = INPUT_FFN,  [ROLE_DOWN] = INPUT_DOWN,
    };
    return inputs[role];
}

/* Sums in binary32, shared by the matrices of one input. */
static err_code round_sums(const calibration *c, imatrix *out, float *sum[INPUTS], err *e) {
    for (int i = 0; i < INPUTS; i++) {
        size_t n = c->m->config.L * c->cols[i];
        ARENA_NEW(&out->mem, sum[i], n, e);
        for (size_t k = 0; k < n; k++)
            sum[i][k] = (float)c->sum[i][k];
    }
    return ERR_OK;
}

static err_code fill(const calibration *c, arena *mem, imatrix *out, err *e) {
    model_tensor *t;
    size_t n;
    float *sum[INPUTS];
    TRY(tensors_of(c->m, true, false, mem, &t, &n, e));
    TRY(round_sums(c, out, sum, e));
    ARENA_NEW(&out->mem, out->entry, n, e);
    for (size_t i = 0; i < n; i++) {
        model_input input = input_of(t[i].role);
        if (input == INPUT_OUTPUT)
            continue;
        imatrix_entry *x = &out->entry[out->n++];
        x->name = arena_str(&out->mem, str_from(t[i].name));
        if (!x->name.p)
            return arena_short(e, 1, TENSOR_NAME_MAX);
        x->n = t[i].cols;
        x->sum = sum[input] + t[i].layer * x->n;
        x->count = (float)c->positions;
    }
    return imatrix_finish(out, e);
}

err_code calibration_result(const calibration *c, imatrix *out, err *e) {
    arena mem = {0};
    *out = (imatrix){.n = 0};
    err_code code = fill(c, &mem, out, e);
    arena_fini(&mem);
    if (code)
        imatrix_close(out);
    return code;
}

/* ---- its life ---- */

static err_code make(calibration *c, err *e) {
    const model_config *k = &c->m->config;
    const size_t cols[INPUTS] = {[INPUT_QKV] = k->D, [INPUT_O] = k->H * k->K, [INPUT_FFN] = k->D, [INPUT_DOWN] = k->F};
    for (int i = 0; i < INPUTS; i++) {
        c->cols[i] = cols[i];
        ARENA_NEW(&c->mem, c->sum[i], k->L * cols[i], e);
    }
    return ERR_OK;
}

err_code calibration_open(calibration **out, model *m, err *e) {
    calibration *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return err_set(e, ERR_MEMORY, "no memory");
    c->m = m;
    err_code code = make(c, e);
    if (code) {
        calibration_close(c);
        return code;
    }
    model_set_watch(m, (model_watch){measure, c});
    *out = c;
    return ERR_OK;
}

void calibration_close(calibration *c) {
    if (!c)
        return;
    model_set_watch(c->m, (model_watch){NULL, NULL});
    arena_fini(&c->mem);
    free(c);
}
