/* fold: the gradients of a step's microbatches, added up in one fixed order.
 *
 * The sum of microbatches [lo, hi) is the gradient itself where there is one; else, with p the largest power of two
 * below hi - lo, sum [lo, lo+p) + sum [lo+p, hi), elementwise in binary32. Whoever computes a microbatch (this process,
 * a thread, a rank), the step's gradient is the same. doc/arithmetic.md, "Training". Proved by test_fold.c.
 *
 * Microbatches come in ascending order. Sums of 2^k microbatches that wait for their right half are kept, at most one
 * of each size: floor(log2(n - 1)) + 1 gradients of memory, none when n is 1.
 */
#ifndef LOAM_TRAIN_FOLD_H
#define LOAM_TRAIN_FOLD_H

#include "model/learner.h"
#include "tensor/matrix.h"

typedef struct fold fold;

/* For n microbatches a step at most; params[n_params] hold each one's gradient in g. */
size_t fold_plan_bytes(const param *params, size_t n_params, size_t n);
err_code fold_open(fold **out, const engine *e, param *params, size_t n_params, size_t n, err *err_out);
void fold_close(fold *f); /* NULL allowed */

/* Takes the gradient that stands in every g as microbatch i of this step's n; i = 0, 1, .. n-1. After the last one g
 * holds the sum. */
void fold_add(fold *f, size_t i, size_t n);

#endif
