/* paired: two models on the same items: is the difference more than chance?
 *
 * Shares (items right or wrong): the exact test of McNemar (1947), two-sided, on the items that only one of them has
 * right; the interval is that of Newcombe (Statistics in Medicine 17, 2635-2650, 1998, method 10), from both shares'
 * Wilson intervals and their correlation. Means and ratios: bootstrap over items (Efron 1979), 95 % between percentiles
 * of resamples; two-sided p from the share of them on either side of 0. Which items a resample holds follows from the
 * seed alone (base/rng.h), and all sums are chains in binary64: the same numbers everywhere. Proved by test_paired.c.
 */
#ifndef LOAM_GEN_PAIRED_H
#define LOAM_GEN_PAIRED_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    double a, b;       /* share, or ratio, of each */
    double difference; /* b - a */
    double low, high;  /* 95 % interval of the difference */
    double p;          /* that there is none */
} paired_result;

/* Items that both have right, only a, only b, neither. At least one. */
paired_result paired_shares(uint64_t both, uint64_t only_a, uint64_t only_b, uint64_t neither);

/* sum(a) / sum(weight_a) and likewise b, over n items (at least 1); weights above 0. b NULL: of a alone, difference and
 * its interval are a and its own, p is NaN. */
err_code paired_ratios(const double *a, const double *weight_a, const double *b, const double *weight_b, size_t n,
                       uint64_t seed, paired_result *out, err *e);

/* Wilson's 95 % interval for `right` of n; 0 to 1 when n is 0. */
void paired_wilson(uint64_t right, uint64_t n, double *low, double *high);

#endif
