/* linear: a product y = x W^T and its gradients as runs of chains (gemm.h).
 *
 *   y[t][r]  (+)= chain over columns ascending of x[t][c] * W[r][c]
 *   dx[t][c] (+)= chain over rows ascending of dy[t][r] * W[r][c]
 *   dW[r][c] (+)= chain over t ascending of x[t][c] * dy[t][r]
 *
 * The first three functions want W in binary32 panels. linear_back() takes W in any stored form: it multiplies with
 * what the weights mean, dequantised some rows at a time, and gives the bits that W dequantised as a whole would give.
 * x, y and their gradients stand in rows, row t of x at x + t*ldx; sixteen floats behind every array may be read.
 * Proved by test/prop/test_linear.c.
 */
#ifndef LOAM_TENSOR_LINEAR_H
#define LOAM_TENSOR_LINEAR_H

#include "tensor/gemm.h"

kern_gemm linear(const matrix *w, const float *x, size_t ldx, size_t n, float *y, size_t ldy);
/* go_on: the chains that stand in dx (in g) are continued. */
kern_gemm linear_dx(const matrix *w, const float *dy, size_t ldy, size_t n, float *dx, size_t ldx, bool go_on);
kern_gemm linear_dw(const matrix *g, const float *dy, size_t ldy, const float *x, size_t ldx, size_t n, bool go_on);

/* A product whose input's gradient is asked for. */
typedef struct {
    const matrix *w;
    const float *dy;
    size_t ldy;
    const float *gain; /* f32[rows]: row r of W counts gain[r] times, each number rounded once; NULL: once */
} linear_dy;

/* Floats that linear_back() takes for rows of w on their way; 0: w is binary32 already, and `gained` is false. */
size_t linear_back_floats(const matrix *w, bool gained);
/* dx f32[n][ldx] of several products with one input (at most GEMM_TOGETHER_MAX): one chain over the rows of the first,
 * then of the second, ... rows: room for the largest linear_back_floats(); scratch: gemm_scratch_bytes(). */
void linear_back(const engine *e, const linear_dy *p, int n_products, size_t n, float *dx, size_t ldx, float *rows,
                 void *scratch);

#endif
