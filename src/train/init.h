/* init: the weights a run begins with.
 *
 * Norm weights are 1 and biases 0. An element of a matrix, row r and column c of its [rows][cols], is
 *
 *   key = the first 8 bytes of SHA-256(name), little-endian, xor seed
 *   w0..w3 = Philox block of (key, RNG_INIT, r * cols + c);  S = sum of the eight 16-bit halves of w0..w3, exact
 *   weight = (float)(2 * S - 524280) * (float)(std / UNIT),  UNIT = 107019.83984290015
 *
 * The sum of eight uniform numbers is all but normal (kurtosis 2.85, |weight| < 4.9 std), needs no function that
 * machines could differ in, and rounds twice. UNIT is the standard deviation of 2 * S, sqrt(32 (2^32 - 1) / 12).
 * A weight depends on its name and place alone: not on what other tensors there are, nor on threads.
 *
 *   std = embed                          embedding and output matrix
 *         gain / sqrt(cols)              every other matrix
 *         gain / sqrt(cols) / sqrt(2L)   those that write into the residual stream: o_proj, down_proj
 *
 * (the last as in GPT-2: Radford et al. 2019, section 2.3). doc/arithmetic.md, "Training". Proved by test_init.c.
 */
#ifndef LOAM_TRAIN_INIT_H
#define LOAM_TRAIN_INIT_H

#include "base/pool.h"
#include "model/learner.h"

typedef struct {
    uint64_t seed;
    double embed, gain;
    size_t layers; /* L */
} init_options;

/* Writes every weight of params[n]. */
void init_weights(const init_options *o, param *params, size_t n, pool *p);

/* The standard deviation of a matrix of this name and width. */
double init_std(const init_options *o, const char *name, size_t cols);

#endif
