/* optim: AdamW with clipping by the global norm (Kingma and Ba, 2015; Loshchilov and Hutter, 2019).
 *
 * The gradient G of a step is a sum over its targets; the mean is G / n. In binary64, left to right:
 *
 *   square = sum over the params in order, and in each over blocks of OPTIM_BLOCK floats as they stand in memory,
 *            ascending, of the block's sum of squares by lanes in binary32
 *   norm   = sqrt(square) / n
 *   scale  = 1 / n, or (1 / n) * (clip / norm) where norm > clip > 0
 *   rate   = lr / (1 - beta1^t), root2 = 1 / sqrt(1 - beta2^t), t the step, from 1; powers by kern_pow64
 *
 * and then, all of these and 1 - beta1, beta2, 1 - beta2, eps and lr * decay rounded to binary32, kern.h's adamw() for
 * every element. Decay acts on matrices alone (params with columns), not on norms and biases. doc/arithmetic.md,
 * "Training". Nothing depends on threads. Proved by test_optim.c (against plain loops, and PyTorch's numbers).
 */
#ifndef LOAM_TRAIN_OPTIM_H
#define LOAM_TRAIN_OPTIM_H

#include "model/learner.h"
#include "tensor/matrix.h"

enum { OPTIM_BLOCK = 16384 };

typedef struct {
    double beta1, beta2, eps, decay, clip; /* clip 0: none; eps > 0 */
} optim_options;

typedef struct optim optim;

size_t optim_plan_bytes(const param *params, size_t n);
/* Both moments zero. params[n] must outlive it. */
err_code optim_open(optim **out, const optim_options *o, const engine *e, param *params, size_t n, err *err_out);
void optim_close(optim *o); /* NULL allowed */

/* The moments of params[i], in the layout of its weights. */
float *optim_m(optim *o, size_t i);
float *optim_v(optim *o, size_t i);

/* Norm of the mean gradient, before clipping: every param's g divided by n_targets (above 0). Infinite or NaN when the
 * gradient is. */
double optim_norm(optim *o, double n_targets);
/* Changes weights and moments by what stands in g. norm: from optim_norm() with the same n_targets. t: the step,
 * from 1. */
void optim_step(optim *o, uint64_t t, double lr, double n_targets, double norm);

#endif
