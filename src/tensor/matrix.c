/* matrix: packing in parallel, products cut by panels; see matrix.h. */
#include "tensor/matrix.h"

#include <assert.h>
#include <string.h>

#include "kern/block.h"
#include "kern/panel.h"

typedef struct {
    const matrix *m;
    dtype stored;
    const uint8_t *data;
    matrix_row_fn *row;
    const void *ctx;
    size_t from, to; /* panels */
} pack_job;

/* Dequantised rows are packed straight into place: an F32 panel is [column][16]. */
static void pack_dequantised(const pack_job *j, size_t i_panel) {
    const dtype_info *info = &dtype_table[j->stored];
    size_t row_bytes = dtype_row_bytes(j->stored, j->m->cols);
    float *panel = (float *)(void *)(j->m->packed + i_panel * PANEL_ROWS * dtype_row_bytes(DTYPE_F32, j->m->cols));
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        size_t at = i_panel * PANEL_ROWS + r;
        bool there = at < j->m->rows;
        const uint8_t *src = there ? j->data + (j->row ? j->row(j->ctx, at) : at) * row_bytes : NULL;
        float w[256] = {0};
        for (size_t k = 0; k < j->m->cols; k += info->block_elems) {
            if (there)
                block_dequantise(j->stored, src + k / info->block_elems * info->block_bytes, info->block_elems, w);
            for (size_t i = 0; i < info->block_elems; i++)
                panel[(k + i) * PANEL_ROWS + r] = w[i];
        }
    }
}

static void pack_part(void *ctx, int part, int n_parts) {
    const pack_job *j = ctx;
    size_t from, to, row_bytes = dtype_row_bytes(j->stored, j->m->cols);
    pool_share(j->to - j->from, 1, part, n_parts, &from, &to);
    for (size_t p = j->from + from; p < j->from + to; p++) {
        if (j->m->type != j->stored) {
            pack_dequantised(j, p);
            continue;
        }
        const uint8_t *row[PANEL_ROWS];
        for (size_t r = 0; r < PANEL_ROWS; r++) {
            size_t at = p * PANEL_ROWS + r;
            row[r] = at < j->m->rows ? j->data + (j->row ? j->row(j->ctx, at) : at) * row_bytes : NULL;
        }
        panel_pack(j->stored, row, j->m->cols, j->m->packed, p);
    }
}

size_t matrix_panels(const matrix *m) { return (m->rows + PANEL_ROWS - 1) / PANEL_ROWS; }

void matrix_pack(const matrix *m, dtype stored, const uint8_t *data, matrix_row_fn *row, const void *ctx, size_t from,
                 size_t to, pool *p) {
    assert(m->type == stored || m->type == DTYPE_F32);
    pool_run(p, pack_part, &(pack_job){m, stored, data, row, ctx, from, to});
}

void matrix_row(const matrix *m, size_t r, float *out) {
    assert(r < m->rows);
    panel_dequantise_row(m->type, m->packed, m->cols, r, out);
}

typedef struct {
    const engine *e;
    activations *a;
    const float *x;
    size_t ldx;
} acts_job;

static void acts_part(void *ctx, int part, int n_parts) {
    const acts_job *j = ctx;
    for (int kind = 0; kind < ACTS_COUNT; kind++) {
        if (!(j->a->kinds >> kind & 1))
            continue;
        size_t from, to;
        pool_share(j->a->n, (size_t)j->e->kern->tile[kind], part, n_parts, &from, &to);
        if (from < to)
            j->e->kern->acts_pack((acts_kind)kind, j->x, j->ldx, j->a->n, j->a->k, from, to, j->a->packed[kind]);
    }
}

void activations_pack(const engine *e, activations *a, const float *x, size_t ldx, size_t n, size_t k) {
    assert(!(a->kinds >> ACTS_BLOCK & 1) || k % 32 == 0);
    assert(!(a->kinds >> ACTS_SUPER & 1) || k % 256 == 0);
    a->n = n;
    a->k = k;
    acts_job j = {e, a, x, ldx};
    if (n == 1)
        acts_part(&j, 0, 1);
    else
        pool_run(e->pool, acts_part, &j);
}

typedef struct {
    const engine *e;
    const activations *a;
    const product *p;
    int n;
} product_job;

/* The panels of all products in one line, cut evenly by the bytes they hold. */
static void product_part(void *ctx, int part, int n_parts) {
    const product_job *j = ctx;
    size_t total = 0, before = 0;
    for (int i = 0; i < j->n; i++)
        total += panel_bytes(j->p[i].w->type, j->p[i].w->rows, j->p[i].w->cols);
    size_t start = total / (size_t)n_parts * (size_t)part;
    size_t end = part + 1 == n_parts ? total : total / (size_t)n_parts * (size_t)(part + 1);
    for (int i = 0; i < j->n; i++) {
        const product *p = &j->p[i];
        const matrix *w = p->w;
        size_t one = PANEL_ROWS * dtype_row_bytes(w->type, w->cols), n_panels = matrix_panels(w);
        /* Panel q is ours when its first byte lies in [start, end). */
        size_t from = start <= before ? 0 : (start - before + one - 1) / one;
        size_t to = end <= before ? 0 : (end - before + one - 1) / one;
        from = from < n_panels ? from : n_panels;
        to = to < n_panels ? to : n_panels;
        before += n_panels * one;
        if (from >= to)
            continue;
        acts_kind kind = kern_acts_kind(w->type);
        j->e->kern->product(w->type, w->packed, w->rows, w->cols, from, to, j->a->packed[kind], j->a->n, p->y, p->ldy);
        if (p->bias) {
            size_t r0 = from * PANEL_ROWS, r1 = to * PANEL_ROWS < w->rows ? to * PANEL_ROWS : w->rows;
            for (size_t t = 0; t < j->a->n; t++) {
                float *y = p->y + t * p->ldy + r0;
                j->e->kern->add(y, p->bias + r0, r1 - r0, y);
            }
        }
    }
}

void products_run(const engine *e, const activations *a, const product *p, int n_products) {
    for (int i = 0; i < n_products; i++) {
        assert(p[i].w->cols == a->k);
        assert(a->kinds >> kern_acts_kind(p[i].w->type) & 1);
    }
    product_job j = {e, a, p, n_products};
    pool_run(e->pool, product_part, &j);
}

void products_of(const engine *e, activations *a, const float *x, size_t ldx, size_t n, const product *p,
                 int n_products) {
    a->kinds = 0;
    for (int i = 0; i < n_products; i++)
        a->kinds |= 1u << kern_acts_kind(p[i].w->type);
    activations_pack(e, a, x, ldx, n, p[0].w->cols);
    products_run(e, a, p, n_products);
}
