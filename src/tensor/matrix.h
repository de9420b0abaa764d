/* matrix: a weight matrix packed for the kernels, and products with it.
 *
 * Packed means kern/panel.h: 16-row panels, as large as the stored form. A matrix is written once, by matrix_pack(),
 * and read-only after that.
 */
#ifndef LOAM_TENSOR_MATRIX_H
#define LOAM_TENSOR_MATRIX_H

#include "base/pool.h"
#include "kern/kern.h"

typedef struct {
    dtype type;
    size_t rows, cols;
    uint8_t *packed; /* panel_bytes(type, rows, cols), 64-byte aligned; owned by the caller */
} matrix;

/* What runs the arithmetic: an instruction set's kernels on a pool of threads. */
typedef struct {
    const kern_ops *kern;
    pool *pool; /* NULL: the caller's thread alone */
} engine;

/* Source row of packed row r: stored rows may have to be put in another order. NULL: r itself. */
typedef size_t matrix_row_fn(const void *ctx, size_t r);

/* Packs panels [from, to) of m->packed, in parallel. data: all stored rows of type `stored`, each
 * dtype_row_bytes(stored, cols), of any alignment; m->type is `stored`, or F32 to dequantise (exact values). */
void matrix_pack(const matrix *m, dtype stored, const uint8_t *data, matrix_row_fn *row, const void *ctx, size_t from,
                 size_t to, pool *p);
size_t matrix_panels(const matrix *m); /* how many there are */

/* out f32[cols] = row r of the matrix, dequantised. */
void matrix_row(const matrix *m, size_t r, float *out);

/* Packed activations of n rows of k, for every kind of weights that asks for them. */
typedef struct {
    unsigned kinds; /* bit 1 << acts_kind: these are present */
    size_t n, k;
    uint8_t *packed[ACTS_COUNT]; /* kern_acts_bytes() each, where present; the caller's memory */
} activations;

/* Packs x f32[n][ldx] for a->kinds. k must be a multiple of 32 or 256 where the kinds ask for it (asserted). */
void activations_pack(const engine *e, activations *a, const float *x, size_t ldx, size_t n, size_t k);

/* One product of several that share their activations: y f32[n][ldy] = acts * w^T (+ bias f32[rows], added last). */
typedef struct {
    const matrix *w;
    const float *bias; /* NULL: none */
    float *y;
    size_t ldy;
} product;

/* All products at once, over all rows of the activations; the panels are shared among threads. */
void products_run(const engine *e, const activations *a, const product *p, int n_products);
/* The same for x f32[n][ldx], which is packed into *a as the products ask for. */
void products_of(const engine *e, activations *a, const float *x, size_t ldx, size_t n, const product *p,
                 int n_products);

#endif
