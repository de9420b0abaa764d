/* optim: see optim.h. Work is cut into blocks of OPTIM_BLOCK floats that threads take in turn. */
#include "train/optim.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/os.h"
#include "kern/math64.h"
#include "tensor/rows.h"

typedef struct {
    size_t i_param, from, n; /* floats */
} block;

struct optim {
    arena mem;
    optim_options options;
    engine engine;
    param *params;
    size_t n_params, n_blocks;
    float **m, **v; /* [n_params] */
    block *blocks;
    float *squares; /* [n_blocks] */
    float *moments; /* of all params: every m, then every v */
    size_t moments_bytes;
    kern_adamw plain, decayed; /* of the step at hand: of vectors, of matrices */
};

/* Floats of one moment: every param begins on a line of the cache. */
static size_t padded(const param *p) { return (p->n + 15) & ~(size_t)15; }

static size_t floats(const param *params, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += padded(&params[i]);
    return sum;
}

size_t optim_plan_bytes(const param *params, size_t n) { return 2 * floats(params, n) * sizeof(float); }

static err_code plan(optim *o, err *e) {
    for (size_t i = 0; i < o->n_params; i++)
        o->n_blocks += (o->params[i].n + OPTIM_BLOCK - 1) / OPTIM_BLOCK;
    ARENA_NEW(&o->mem, o->m, o->n_params, e);
    ARENA_NEW(&o->mem, o->v, o->n_params, e);
    ARENA_NEW(&o->mem, o->blocks, o->n_blocks, e);
    ARENA_NEW(&o->mem, o->squares, o->n_blocks, e);
    o->moments_bytes = optim_plan_bytes(o->params, o->n_params);
    o->moments = os_pages_alloc(o->moments_bytes);
    if (!o->moments)
        return err_set(e, ERR_MEMORY, "no memory for %zu bytes of the optimizer's moments", o->moments_bytes);
    float *at = o->moments, *second = at + floats(o->params, o->n_params);
    size_t n = 0;
    for (size_t i = 0; i < o->n_params; i++) {
        const param *p = &o->params[i];
        o->m[i] = at;
        o->v[i] = second;
        at += padded(p);
        second += padded(p);
        for (size_t from = 0; from < p->n; from += OPTIM_BLOCK)
            o->blocks[n++] = (block){i, from, p->n - from < OPTIM_BLOCK ? p->n - from : OPTIM_BLOCK};
    }
    return ERR_OK;
}

err_code optim_open(optim **out, const optim_options *options, const engine *en, param *params, size_t n, err *e) {
    *out = NULL;
    assert(options->eps > 0);
    optim *o = calloc(1, sizeof *o);
    if (!o)
        return arena_short(e, 1, sizeof *o);
    o->options = *options;
    o->engine = *en;
    o->params = params;
    o->n_params = n;
    err_code code = plan(o, e);
    if (code != ERR_OK) {
        optim_close(o);
        return code;
    }
    *out = o;
    return ERR_OK;
}

void optim_close(optim *o) {
    if (!o)
        return;
    os_pages_free(o->moments, o->moments_bytes);
    arena_fini(&o->mem);
    free(o);
}

float *optim_m(optim *o, size_t i) { return o->m[i]; }
float *optim_v(optim *o, size_t i) { return o->v[i]; }

static void square_task(void *ctx, size_t i, int thread) {
    (void)thread;
    optim *o = ctx;
    const block *b = &o->blocks[i];
    o->squares[i] = o->engine.kern->sum_squares(o->params[b->i_param].g + b->from, b->n);
}

double optim_norm(optim *o, double n_targets) {
    tasks_run(&o->engine, o->n_blocks, square_task, o);
    double sum = 0;
    for (size_t i = 0; i < o->n_blocks; i++)
        sum += (double)o->squares[i];
    return kern_sqrt64(sum) / n_targets;
}

static void step_task(void *ctx, size_t i, int thread) {
    (void)thread;
    optim *o = ctx;
    const block *b = &o->blocks[i];
    const param *p = &o->params[b->i_param];
    o->engine.kern->adamw(p->cols ? &o->decayed : &o->plain, p->g + b->from, b->n, p->w + b->from,
                          o->m[b->i_param] + b->from, o->v[b->i_param] + b->from);
}

/* beta^t; 0^t is 0. */
static double power(double beta, uint64_t t) { return beta > 0 ? kern_pow64(beta, (double)t) : 0; }

void optim_step(optim *o, uint64_t t, double lr, double n_targets, double norm) {
    const optim_options *p = &o->options;
    double scale = 1 / n_targets;
    if (p->clip > 0 && norm > p->clip)
        scale = scale * (p->clip / norm);
    o->plain = (kern_adamw){
        .scale = (float)scale,
        .rise1 = (float)(1 - p->beta1),
        .keep2 = (float)p->beta2,
        .rise2 = (float)(1 - p->beta2),
        .root2 = (float)(1 / kern_sqrt64(1 - power(p->beta2, t))),
        .eps = (float)p->eps,
        .rate = (float)(lr / (1 - power(p->beta1, t))),
    };
    o->decayed = o->plain;
    o->decayed.decay = (float)(lr * p->decay);
    tasks_run(&o->engine, o->n_blocks, step_task, o);
}
