/* paired: intervals and probabilities against values computed apart; resamples give the same numbers everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "gen/paired.h"

static void near(double x, double want, double within) {
    if (!(fabs(x - want) <= within))
        fail_msg("%.12g, wanted %.12g", x, want);
}

/* Values of the closed formula, computed apart (statsmodels' proportion_confint, method="wilson"). */
static void intervals_are_wilsons(void **state) {
    (void)state;
    double low, high;
    paired_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
    paired_wilson(0, 10, &low, &high);
    assert_true(low == 0 && high > 0.2775 && high < 0.2776);
    paired_wilson(10, 10, &low, &high);
    assert_true(high == 1 && low > 0.7224 && low < 0.7225);
    paired_wilson(50, 100, &low, &high);
    assert_true(low > 0.40382 && low < 0.40384 && high > 0.59616 && high < 0.59618);
}

/* p by scipy.stats.binomtest(min(b, c), b + c). */
static void mcnemars_p(void **state) {
    (void)state;
    static const struct {
        uint64_t only_a, only_b;
        double p;
    } cases[] = {{0, 0, 1},
                 {1, 5, 0.21875},
                 {12, 3, 0.03515625},
                 {40, 60, 0.05688793364098089},
                 {700, 800, 0.010559255466711506},
                 {2000, 1900, 0.11289365225934829}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        near(paired_shares(7, cases[i].only_a, cases[i].only_b, 3).p, cases[i].p, 1e-9 * cases[i].p);
}

/* The method's formula, in Python. */
static void newcombes_interval(void **state) {
    (void)state;
    static const struct {
        uint64_t n[4];
        double difference, low, high;
    } cases[] = {{{36, 12, 2, 0}, -0.200000000, -0.340427603, -0.056929584},
                 {{14, 5, 0, 22}, -0.121951220, -0.226492684, -0.011483241},
                 {{53, 16, 7, 24}, -0.090000000, -0.182020591, 0.004494529},
                 {{212, 144, 256, 707}, 0.084912813, 0.055433473, 0.114191533},
                 {{0, 20, 0, 0}, -1.000000000, -1.000000000, -0.772134616},
                 {{29, 0, 0, 1}, 0.000000000, -0.122508365, 0.122508365}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t *n = cases[i].n;
        paired_result r = paired_shares(n[0], n[1], n[2], n[3]), back = paired_shares(n[0], n[2], n[1], n[3]);
        near(r.difference, cases[i].difference, 1e-6);
        near(r.low, cases[i].low, 1e-6);
        near(r.high, cases[i].high, 1e-6);
        near(back.low, -r.high, 1e-12);
        near(back.high, -r.low, 1e-12);
        assert_true(back.p == r.p);
    }
}

enum { N = 400 };

/* About as wide as the normal approximation says; of the mean of N numbers that are uniform in [0, 1). */
static void bootstrap_of_one(void **state) {
    (void)state;
    double x[N], w[N], sum = 0;
    paired_result r, again;
    for (size_t i = 0; i < N; i++) {
        x[i] = rng_f64(3, RNG_TEST, i);
        w[i] = 1;
        sum += x[i];
    }
    assert_int_equal(paired_ratios(x, w, NULL, NULL, N, 1, &r, NULL), ERR_OK);
    near(r.a, sum / N, 1e-12);
    assert_true(isnan(r.p) && r.difference == r.a);
    double half = 1.96 * sqrt(1.0 / 12 / N);
    near(r.high - r.a, half, 0.12 * half);
    near(r.a - r.low, half, 0.12 * half);
    assert_int_equal(paired_ratios(x, w, NULL, NULL, N, 1, &again, NULL), ERR_OK);
    assert_true(r.low == again.low && r.high == again.high);
    assert_int_equal(paired_ratios(x, w, NULL, NULL, N, 2, &again, NULL), ERR_OK);
    assert_true(r.low != again.low);
}

static void bootstrap_of_two(void **state) {
    (void)state;
    double a[N], b[N], w[N];
    paired_result r;
    for (size_t i = 0; i < N; i++) { /* items differ much, models little: pairing sees it */
        w[i] = 1 + rng_f64(5, RNG_TEST, i);
        a[i] = w[i] * 10 * rng_f64(6, RNG_TEST, i);
        b[i] = a[i] + w[i] * (0.1 + 0.2 * (rng_f64(7, RNG_TEST, i) - 0.5));
    }
    assert_int_equal(paired_ratios(a, w, b, w, N, 1, &r, NULL), ERR_OK);
    near(r.difference, 0.1, 0.01);
    assert_true(r.low > 0.09 && r.high < 0.11 && r.p < 0.001);
    assert_int_equal(paired_ratios(a, w, a, w, N, 1, &r, NULL), ERR_OK);
    assert_true(r.difference == 0 && r.low == 0 && r.high == 0 && r.p == 1);
    assert_int_equal(paired_ratios(a, w, b, w, 1, 1, &r, NULL), ERR_OK);
    near(r.low, r.difference, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_wilsons), cmocka_unit_test(mcnemars_p),
        cmocka_unit_test(newcombes_interval),    cmocka_unit_test(bootstrap_of_one),
        cmocka_unit_test(bootstrap_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
