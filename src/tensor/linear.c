/* linear: where the numbers of a product's chains stand, and stored weights turned into them; see linear.h. */
#include "tensor/linear.h"

#include <assert.h>

#include "kern/panel.h"
#include "tensor/rows.h"

/* Floats of rows on their way at a time, about: they stay in the caches that threads share. */
enum { ROWS_FLOATS = 2 << 20 };

kern_gemm linear(const matrix *w, const float *x, size_t ldx, size_t n, float *y, size_t ldy) {
    return (kern_gemm){.a = x,
                       .a_row = ldx,
                       .a_k = 1,
                       .b = (const float *)(const void *)w->packed,
                       .b_panel = w->cols * PANEL_ROWS,
                       .b_k = PANEL_ROWS,
                       .c = y,
                       .c_row = ldy,
                       .c_panel = PANEL_ROWS,
                       .rows = n,
                       .depth = w->cols,
                       .outs = w->rows};
}

kern_gemm linear_dx(const matrix *w, const float *dy, size_t ldy, size_t n, float *dx, size_t ldx, bool go_on) {
    return (kern_gemm){.a = dy,
                       .a_row = ldy,
                       .a_k = 1,
                       .b = (const float *)(const void *)w->packed,
                       .b_panel = w->cols * PANEL_ROWS,
                       .turned = true,
                       .c = dx,
                       .c_row = ldx,
                       .c_panel = PANEL_ROWS,
                       .rows = n,
                       .depth = w->rows,
                       .outs = w->cols,
                       .go_on = go_on};
}

kern_gemm linear_dw(const matrix *g, const float *dy, size_t ldy, const float *x, size_t ldx, size_t n, bool go_on) {
    return (kern_gemm){.a = x,
                       .a_row = 1,
                       .a_k = ldx,
                       .b = dy,
                       .b_panel = PANEL_ROWS,
                       .b_k = ldy,
                       .c = (float *)(void *)g->packed,
                       .c_row = PANEL_ROWS,
                       .c_panel = g->cols * PANEL_ROWS,
                       .rows = g->cols,
                       .depth = n,
                       .outs = g->rows,
                       .go_on = go_on};
}

/* ---- stored weights ---- */

/* Panels of w that are dequantised together. */
static size_t panels_together(const matrix *w) {
    size_t most = ROWS_FLOATS / (PANEL_ROWS * w->cols), all = matrix_panels(w);
    return most < 1 ? 1 : most < all ? most : all;
}

size_t linear_back_floats(const matrix *w, bool gained) {
    return w->type == DTYPE_F32 && !gained ? 0 : panels_together(w) * PANEL_ROWS * w->cols;
}

static bool as_it_is(const linear_dy *p) { return p->w->type == DTYPE_F32 && !p->gain; }

typedef struct {
    const engine *e;
    const linear_dy *p;
    size_t first; /* panel */
    float *rows;
} dequantise_job;

static void dequantise_task(void *ctx, size_t i, int thread) {
    const dequantise_job *j = ctx;
    const matrix *w = j->p->w;
    const float *gain = j->p->gain;
    size_t panel = j->first + i, left = w->rows - panel * PANEL_ROWS, n = left < PANEL_ROWS ? left : PANEL_ROWS;
    float *to = j->rows + i * PANEL_ROWS * w->cols;
    (void)thread;
    j->e->kern->dequantise(w->type, w->packed, w->cols, panel, to);
    for (size_t k = 0; gain && k < w->cols; k++)
        for (size_t r = 0; r < n; r++)
            to[k * PANEL_ROWS + r] = to[k * PANEL_ROWS + r] * gain[panel * PANEL_ROWS + r];
}

static void stored_back(const engine *e, const linear_dy *p, size_t n, float *dx, size_t ldx, bool go_on, float *rows,
                        void *scratch) {
    const matrix *w = p->w;
    size_t step = panels_together(w), panels = matrix_panels(w);
    for (size_t at = 0, m; at < panels; at += m, go_on = true) {
        m = panels - at < step ? panels - at : step;
        size_t row = at * PANEL_ROWS, left = w->rows - row;
        tasks_run(e, m, dequantise_task, &(dequantise_job){e, p, at, rows});
        matrix some = {.type = DTYPE_F32,
                       .rows = left < m * PANEL_ROWS ? left : m * PANEL_ROWS,
                       .cols = w->cols,
                       .packed = (uint8_t *)rows};
        gemm_run(e, (kern_gemm[]){linear_dx(&some, p->dy + row, p->ldy, n, dx, ldx, go_on)}, 1, scratch);
    }
}

void linear_back(const engine *e, const linear_dy *p, int n_products, size_t n, float *dx, size_t ldx, float *rows,
                 void *scratch) {
    kern_gemm g[GEMM_TOGETHER_MAX];
    bool stored = false;
    assert(n_products <= GEMM_TOGETHER_MAX);
    for (int i = 0; i < n_products; i++) {
        stored = stored || !as_it_is(&p[i]);
        g[i] = linear_dx(p[i].w, p[i].dy, p[i].ldy, n, dx, ldx, i > 0);
    }
    if (!stored) {
        gemm_run_chained(e, g, n_products, scratch);
        return;
    }
    for (int i = 0; i < n_products; i++)
        if (as_it_is(&p[i]))
            gemm_run(e, &g[i], 1, scratch);
        else
            stored_back(e, &p[i], n, dx, ldx, i > 0, rows, scratch);
}
