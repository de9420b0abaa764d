/* paired: see paired.h. */
#include "gen/paired.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kern/math64.h"

enum { RESAMPLES = 10000, RESAMPLES_MIN = 1000 };
static const double DRAWS_MAX = 2e7; /* of all resamples together; then there are fewer */
static const double Z = 1.959963984540054, LN2 = 0x1.62e42fefa39efp-1;

void paired_wilson(uint64_t right, uint64_t n, double *low, double *high) {
    *low = 0;
    *high = 1;
    if (n == 0)
        return;
    double p = (double)right / (double)n, zn = Z * Z / (double)n;
    double centre = (p + zn / 2) / (1 + zn), half = Z * kern_sqrt64((p * (1 - p) + zn / 4) / (double)n) / (1 + zn);
    *low = centre - half > 0 && right > 0 ? centre - half : 0;
    *high = centre + half < 1 && right < n ? centre + half : 1;
}

/* Twice the probability that of n fair coins at most k fall on one side, at most 1. */
static double mcnemar(uint64_t only_a, uint64_t only_b) {
    uint64_t n = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    double term = -(double)n * LN2, sum = kern_exp64(term); /* term: log of C(n, i) / 2^n */
    for (uint64_t i = 1; i <= k; i++) {
        term += kern_log64((double)(n - i + 1) / (double)i);
        sum += kern_exp64(term);
    }
    return 2 * sum < 1 ? 2 * sum : 1;
}

/* The correlation of the two, with Newcombe's correction towards 0. */
static double correlation(double a, double b, double c, double d, double n) {
    double product = (a + b) * (c + d) * (a + c) * (b + d);
    if (product <= 0)
        return 0;
    double top = a * d - b * c;
    if (top > 0)
        top = top > n / 2 ? top - n / 2 : 0;
    return top / kern_sqrt64(product);
}

paired_result paired_shares(uint64_t both, uint64_t only_a, uint64_t only_b, uint64_t neither) {
    uint64_t n = both + only_a + only_b + neither;
    double low_a, high_a, low_b, high_b;
    paired_result r = {.a = (double)(both + only_a) / (double)n, .b = (double)(both + only_b) / (double)n};
    paired_wilson(both + only_a, n, &low_a, &high_a);
    paired_wilson(both + only_b, n, &low_b, &high_b);
    double phi = correlation((double)both, (double)only_a, (double)only_b, (double)neither, (double)n);
    double down_b = r.b - low_b, up_b = high_b - r.b, down_a = r.a - low_a, up_a = high_a - r.a;
    double under = down_b * down_b - 2 * phi * down_b * up_a + up_a * up_a;
    double over = up_b * up_b - 2 * phi * up_b * down_a + down_a * down_a;
    r.difference = r.b - r.a;
    r.low = r.difference - kern_sqrt64(under > 0 ? under : 0);
    r.high = r.difference + kern_sqrt64(over > 0 ? over : 0);
    r.p = mcnemar(only_a, only_b);
    return r;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sum(a) / sum(w) over the items that `draw` picks; draw NULL: all, in order. */
static double ratio(const double *a, const double *w, const uint32_t *draw, size_t n) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = draw ? draw[i] : i;
        sum += a[k];
        weight += w[k];
    }
    return sum / weight;
}

static void resample(uint64_t seed, size_t r, uint32_t *draw, size_t n) {
    for (size_t i = 0; i < n; i++)
        draw[i] = (uint32_t)rng_below(seed, RNG_RESAMPLE, (uint64_t)r * n + i, n);
}

err_code paired_ratios(const double *a, const double *weight_a, const double *b, const double *weight_b, size_t n,
                       uint64_t seed, paired_result *out, err *e) {
    size_t n_resamples = DRAWS_MAX / (double)n < RESAMPLES ? (size_t)(DRAWS_MAX / (double)n) : RESAMPLES;
    n_resamples = n_resamples < RESAMPLES_MIN ? RESAMPLES_MIN : n_resamples;
    uint32_t *draw = n < UINT32_MAX ? malloc(n * sizeof *draw) : NULL;
    double *difference = malloc(n_resamples * sizeof *difference);
    if (!draw || !difference) {
        free(draw);
        free(difference);
        return err_set(e, ERR_MEMORY, "no memory to resample %zu items", n);
    }
    *out = (paired_result){.a = ratio(a, weight_a, NULL, n), .b = b ? ratio(b, weight_b, NULL, n) : 0, .p = NAN};
    out->difference = b ? out->b - out->a : out->a;
    size_t above = 0, below = 0;
    for (size_t r = 0; r < n_resamples; r++) {
        resample(seed, r, draw, n);
        double x = ratio(a, weight_a, draw, n), d = b ? ratio(b, weight_b, draw, n) - x : x;
        difference[r] = d;
        above += d >= 0;
        below += d <= 0;
    }
    qsort(difference, n_resamples, sizeof *difference, by_size);
    out->low = difference[n_resamples / 40];
    out->high = difference[n_resamples - 1 - n_resamples / 40];
    if (b) {
        double p = 2 * (double)((above < below ? above : below) + 1) / (double)(n_resamples + 1);
        out->p = p < 1 ? p : 1;
    }
    free(draw);
    free(difference);
    return ERR_OK;
}
