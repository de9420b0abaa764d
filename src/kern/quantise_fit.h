/* quantise_fit: the searches for a scale (and a minimum) of a block, and the integers that go with it.
 *
 * For quantise.c and quantise_super.c. x f32[n] are the values, w f32[n] >= 0 how much the square of each error
 * counts, q u8[n] the integers, offset so that the least is 0. n at most 32. Each search tries fixed candidates in a
 * fixed order and takes a later one only when it is better; all arithmetic is binary32, one operation after another as
 * written, which makes the bytes those of the reference.
 */
#ifndef LOAM_KERN_QUANTISE_FIT_H
#define LOAM_KERN_QUANTISE_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/dtype.h"

/* To the nearest integer, halves to even, for |f| < 2^22; beyond, the low bits of the sum that does it. */
int fit_nearest(float f);

/* x ~ scale * (q - half), q 0 .. 2*half-1. w NULL: x^2. 19 scales around the one of the largest element. */
float fit_signed(int n, int half, const float *x, const float *w, uint8_t *q);
/* The same, weights x^2, one element at a time made better, at most five rounds. */
float fit_signed_step(int n, int half, const float *x, uint8_t *q);
/* x ~ scale * q, x >= 0, q 0 .. most. */
float fit_positive(int n, int most, const float *x, const float *w, uint8_t *q);

/* x ~ scale * q - *min, q 0 .. most, *min >= 0: least squares for candidates of the range from `first` on. */
typedef struct {
    float first, step;
    int n_steps;
    bool absolute; /* errors count by their size, not its square */
    bool bounded;  /* candidates that leave the range of integers are cut */
} fit_plan;
extern const fit_plan fit_weighted; /* with importances */
float fit_range(const fit_plan *plan, int n, int most, const float *x, const float *w, uint8_t *q, float *min);

/* A super-block; w f32[256] or NULL. False when a scale does not fit. */
enum { QUANTISE_SUPER = 256 };
bool quantise_super(dtype t, const float *x, const float *importance, uint8_t *out);
/* *good becomes false when f is too large. */
uint16_t quantise_half(float f, bool *good);

#endif
