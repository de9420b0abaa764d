/* learn_product: a layer's products, forward and backward, whatever form their weights have.
 *
 * Forward: binary32 weights by chains, which read each activation once; stored ones by the products of the forward
 * pass, with quantised activations, as many rows at a time as the model has room for packed ones. Both are the bits of
 * model_forward(). Backward: linear.h. Where weights are learned, their gradients; else an adapter's (learn_adapter.c).
 */
#include "model/learner_int.h"
#include "tensor/rows.h"

static const matrix *matrix_of(const learner *l, const products *p, int i) {
    return lora_matrix(&l->m->layers[p->layer], (lora_part)((int)p->first + i));
}

/* Bias of part i in y, which holds biases or their gradients; NULL: none. */
static const float *bias_of(const layer *y, const products *p, int i) {
    const float *const all[LORA_PARTS] = {y->q_bias,    y->k_bias,  y->v_bias,   y->o_bias,
                                          y->gate_bias, y->up_bias, y->down_bias};
    return all[(int)p->first + i];
}

typedef struct {
    const learner *l;
    const float *bias;
    float *y;
    size_t n, ld;
} bias_job;

static void bias_rows(void *ctx, size_t from, size_t to) {
    const bias_job *j = ctx;
    for (size_t t = from; t < to; t++)
        j->l->m->engine.kern->add(j->y + t * j->ld, j->bias, j->n, j->y + t * j->ld);
}

void learn_bare(learner *l, const product *p, int n_products, const float *x, size_t ldx, size_t n) {
    const engine *e = &l->m->engine;
    kern_gemm g[ADAPT_TOGETHER_MAX];
    product q[ADAPT_TOGETHER_MAX];
    bool stored = false;
    for (int i = 0; i < n_products; i++) {
        stored = stored || p[i].w->type != DTYPE_F32;
        g[i] = linear(p[i].w, x, ldx, n, p[i].y, p[i].ldy);
    }
    if (!stored) {
        gemm_run(e, g, n_products, l->scratch);
        return;
    }
    for (size_t at = 0, rows; at < n; at += rows) {
        rows = n - at < MODEL_CHUNK ? n - at : MODEL_CHUNK;
        for (int i = 0; i < n_products; i++)
            q[i] = (product){p[i].w, NULL, p[i].y + at * p[i].ldy, p[i].ldy};
        products_of(e, &l->m->scratch.acts, x + at * ldx, ldx, rows, q, n_products);
    }
}

void learn_products(learner *l, trace *t, const products *p, const float *x, size_t ldx) {
    product bare[ADAPT_TOGETHER_MAX];
    for (int i = 0; i < p->n_parts; i++)
        bare[i] = (product){matrix_of(l, p, i), NULL, p->of[i].y, p->of[i].ld};
    learn_bare(l, bare, p->n_parts, x, ldx, l->n);
    learn_lap(l, "products");
    learn_adapt(l, t, p, x, ldx);
    for (int i = 0; i < p->n_parts; i++) {
        const float *bias = bias_of(&l->m->layers[p->layer], p, i);
        if (bias)
            rows_run(&l->m->engine, l->n, bias_rows,
                     &(bias_job){l, bias, p->of[i].y, matrix_of(l, p, i)->rows, p->of[i].ld});
    }
}

bool learn_goes_on(const learner *l, const products *p) {
    return !l->tuned || l->lowest < p->layer * LORA_PARTS + (size_t)p->first;
}

void learn_products_dx(learner *l, const products *p, float *dx, size_t ldx) {
    linear_dy dy[ADAPT_TOGETHER_MAX];
    if (!learn_goes_on(l, p)) {
        learn_adapt_dx(l, p, NULL, 0);
        return;
    }
    for (int i = 0; i < p->n_parts; i++) {
        const adapter_target *target = learn_target(l, p->layer, (lora_part)((int)p->first + i));
        dy[i] = (linear_dy){matrix_of(l, p, i), p->of[i].y, p->of[i].ld, target ? target->gain : NULL};
    }
    linear_back(&l->m->engine, dy, p->n_parts, l->n, dx, ldx, l->weight_rows, l->scratch);
    learn_lap(l, "dx");
    learn_adapt_dx(l, p, dx, ldx);
}

/* Sums over tokens, columns shared among threads. */
enum { COLUMNS = 64 }; /* of a task */

static void bias_columns(void *ctx, size_t i, int thread) {
    const bias_job *j = ctx;
    size_t at = i * COLUMNS, n = j->n - at < COLUMNS ? j->n - at : COLUMNS;
    (void)thread;
    j->l->m->engine.kern->sum_rows(j->y + at, j->ld, j->l->n, n, (float *)(uintptr_t)j->bias + at);
}

void learn_products_dw(learner *l, const trace *t, const products *p, const float *x, size_t ldx) {
    const engine *e = &l->m->engine;
    if (l->tuned) {
        learn_adapt_dw(l, t, p, x, ldx);
        return;
    }
    kern_gemm g[ADAPT_TOGETHER_MAX];
    layer *grads = &l->grads[p->layer];
    for (int i = 0; i < p->n_parts; i++)
        g[i] =
            linear_dw(lora_matrix(grads, (lora_part)((int)p->first + i)), p->of[i].y, p->of[i].ld, x, ldx, l->n, false);
    gemm_run(e, g, p->n_parts, l->scratch);
    learn_lap(l, "dw");
    for (int i = 0; i < p->n_parts; i++) {
        const float *bias = bias_of(grads, p, i);
        size_t cols = matrix_of(l, p, i)->rows;
        if (bias)
            tasks_run(e, (cols + COLUMNS - 1) / COLUMNS, bias_columns,
                      &(bias_job){l, bias, p->of[i].y, cols, p->of[i].ld});
    }
}
