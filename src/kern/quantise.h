/* quantise: floats to the formats of kern/block.h and kern/half.h.
 *
 * The same bytes as llama.cpp's reference quantisers for the same input, with and without importances: what they round,
 * and which scales they try in which order, is part of the format by now. Arithmetic: binary32, no contraction, in the
 * order that quantise.c gives. Searches for scales go through k, sixteen blocks at once; the bytes are the same for
 * every instruction set. Source: ggml's quantisers (as facts; the code here is our own). Proved by test_quantise.c
 * against golden bytes of llama.cpp's library (test/golden/quantise.py).
 */
#ifndef LOAM_KERN_QUANTISE_H
#define LOAM_KERN_QUANTISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

/* out: dtype_row_bytes(t, n) bytes = x f32[n], a whole row; n a multiple of the block. importance f32[n] (>= 0): how
 * much an error of each column counts; NULL: alike. False when a value is not finite, or too large for t; then out is
 * undefined. */
bool quantise_row(const kern_ops *k, dtype t, const float *x, size_t n, const float *importance, uint8_t *out);

#endif
