/* quantise_fit: from blocks of a row to the searches of kern_ops, which take sixteen blocks at once, and back.
 *
 * For quantise.c and quantise_super.c. The order of arithmetic is that of the reference (quantise.h).
 */
#ifndef LOAM_KERN_QUANTISE_FIT_H
#define LOAM_KERN_QUANTISE_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

enum { FIT_BLOCKS = KERN_LANES, FIT_FLOATS = KERN_LANES * KERN_FIT_MAX };

/* Up to sixteen blocks of one width; fits fill in scale, min and q. */
typedef struct {
    size_t n, width;          /* blocks, elements of one */
    float x[FIT_FLOATS];      /* [width][16] */
    float w[FIT_FLOATS];      /* likewise; what is behind the n-th block is 0 */
    float scale[16], min[16]; /* of each block */
    uint8_t q[FIT_FLOATS];    /* [n][width], as the row stands */
} fit_group;

/* x, w f32[n * width] as the row stands; w NULL: fit_signed() weighs by x^2. */
void fit_begin(fit_group *g, size_t n, size_t width, const float *x, const float *w);
void fit_signed(const kern_ops *k, fit_group *g, int half, bool weighted);
void fit_step(const kern_ops *k, fit_group *g, int half);
void fit_range(const kern_ops *k, fit_group *g, const kern_fit_plan *plan, int most);
extern const kern_fit_plan fit_weighted; /* with importances */

/* w[i] = importance[i] * sqrt(mean + x[i]^2): more where the value is large. */
void fit_weigh(const float *x, const float *importance, size_t n, float mean, float *w);

/* To the nearest integer, halves to even, for |f| < 2^22; beyond, the low bits of the sum that does it. */
int fit_nearest(float f);
/* x ~ scale * q, x >= 0, q 0 .. most, one block of n. */
float fit_positive(int n, int most, const float *x, const float *w, uint8_t *q);

/* A super-block; importance f32[256] or NULL. False when a scale does not fit. */
enum { QUANTISE_SUPER = 256 };
bool quantise_super(const kern_ops *k, dtype t, const float *x, const float *importance, uint8_t *out);
/* *good becomes false when f is too large. */
uint16_t quantise_half(float f, bool *good);

#endif
