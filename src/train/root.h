/* root: one digest for all weights, from which the first tensor that differs can be found.
 *
 *   leaf(name, x) = SHA-256(name | 0 | rows as 8 bytes | cols as 8 bytes | x as rows of binary32), little-endian, cols
 * 0 for a vector; rows in order and without the panels' padding: what a safetensors file holds root          = SHA-256
 * of the leaves, in the order of learner_params()
 *
 * The weights have a root, and so have the optimizer's moments (leaves of all m, then of all v, same names). Anybody
 * can compute a root from a checkpoint with a dozen lines of Python (test/e2e/test_train.py does). Tensors are hashed
 * in parallel, a tensor a task. Proved by test_root.c.
 */
#ifndef LOAM_TRAIN_ROOT_H
#define LOAM_TRAIN_ROOT_H

#include "base/hash.h"
#include "model/learner.h"

/* leaf[n] from x[i], which has the layout of params[i].w. No memory: ERR_MEMORY. */
err_code root_leaves(const param *params, float *const *x, size_t n, pool *p, hash256 *leaf, err *e);
hash256 root_of(const hash256 *leaf, size_t n);

/* Row `r` of a param's panels, or the whole vector when it has no columns, as contiguous floats: out[max(cols, rows)]
 */
void root_row(const param *p, const float *x, size_t r, float *out);
/* The inverse. */
void root_put_row(const param *p, float *x, size_t r, const float *row);

#endif
