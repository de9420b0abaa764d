/* test_func: exp, log, tanh, sin, cos and erf against binary64 of the C library: largest error in units of the last
 * place over all exponents, special values, and the same bits on every instruction set; and kern/math64.
 *
 * LOAM_FUNC=print prints the measured errors (they stand in doc/arithmetic.md). LOAM_FUNC_STEP sets the distance of the
 * samples in units of the last place; 1 tries all 2^32 floats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "kern/math64.h"
#include "prop/gen.h"

static const kern_ops *isa[8];
static int n_isas;
static bool printing;

typedef void array_fn(const float *a, size_t n, float *y);
typedef struct {
    const char *name;
    size_t at; /* of the kernel in kern_ops */
    double (*exact)(double);
    float largest; /* |x| up to which it is defined */
    double bound;  /* in ulp */
} function;

static const function functions[] = {
    {"exp", offsetof(kern_ops, exp), exp, INFINITY, 2},       {"log", offsetof(kern_ops, log), log, INFINITY, 2},
    {"tanh", offsetof(kern_ops, tanh), tanh, INFINITY, 2},    {"sin", offsetof(kern_ops, sin), sin, 0x1.fffffep20f, 2},
    {"cos", offsetof(kern_ops, cos), cos, 0x1.fffffep20f, 2}, {"erf", offsetof(kern_ops, erf), erf, INFINITY, 2},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static array_fn *of(const kern_ops *o, const function *f) {
    array_fn *fn;
    memcpy(&fn, (const char *)o + f->at, sizeof fn);
    return fn;
}

static uint32_t bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Distance of y from the exact value, in units of binary32's last place at the exact value. */
static double ulps(float y, double exact) {
    float rounded = (float)exact;
    if (bits(y) == bits(rounded) || (isnan(y) && isnan(exact)))
        return 0;
    if (isnan(y) || isnan(exact))
        return INFINITY;
    if (isinf(y) || isinf(rounded)) /* as if the numbers went on above the largest */
        return fabs((isinf(y) ? copysign(0x1p128, y) : (double)y) - (isinf(exact) ? copysign(0x1p128, exact) : exact)) *
               0x1p-104;
    int e = ilogb(exact);
    return ldexp(fabs((double)y - exact), 23 - (exact == 0 || e < -126 ? -126 : e));
}

enum { BATCH = 4096 };

/* Every step-th float of the whole line, from a first one that differs for each function. */
static void measure(const function *f, uint64_t step, uint64_t first) {
    static float x[BATCH], y[BATCH], other[BATCH];
    double worst = 0;
    float worst_at = 0;
    for (uint64_t u = first; u < UINT64_C(1) << 32;) {
        size_t n = 0;
        for (; n < BATCH && u < UINT64_C(1) << 32; u += step)
            x[n++] = from_bits((uint32_t)u);
        of(isa[0], f)(x, n, y);
        for (int s = 1; s < n_isas; s++) {
            of(isa[s], f)(x, n, other);
            for (size_t i = 0; i < n; i++)
                if (bits(y[i]) != bits(other[i]) && !(isnan(y[i]) && isnan(other[i])))
                    fail_msg("%s(%a): %a on %s, %a on %s", f->name, (double)x[i], (double)y[i], isa[0]->isa,
                             (double)other[i], isa[s]->isa);
        }
        for (size_t i = 0; i < n; i++) {
            double want = fabsf(x[i]) <= f->largest ? f->exact((double)x[i]) : (double)NAN, d = ulps(y[i], want);
            if (d > worst) {
                worst = d;
                worst_at = x[i];
            }
        }
    }
    if (printing)
        printf("%-5s %.3f ulp at %a\n", f->name, worst, (double)worst_at);
    if (!(worst <= f->bound))
        fail_msg("%s: %.3f ulp at %a, must be at most %g", f->name, worst, (double)worst_at, f->bound);
}

static void errors(void **state) {
    (void)state;
    const char *asked = getenv("LOAM_FUNC_STEP");
    uint64_t step = asked ? strtoull(asked, NULL, 10) : 1021; /* 4.2 million floats, 8216 of each exponent and sign */
    for (int i = 0; i < FUNCTIONS; i++)
        measure(&functions[i], step ? step : 1, (uint64_t)i * 37 % (step ? step : 1));
}

/* Where the sampling above is thin: around multiples of pi/2, and around 1 for log. */
static void hard_places(void **state) {
    (void)state;
    float x[16], y[16];
    for (int i = 0; i < FUNCTIONS; i++) {
        bool turns = functions[i].exact == sin || functions[i].exact == cos;
        for (int n = 1; n < (turns ? 20000 : 2000); n++) {
            float at = turns ? (float)((double)n * 67 * 1.57079632679489661923) : 1 + (float)(n - 1000) * 0x1p-23f;
            for (int j = 0; j < 16; j++)
                x[j] = from_bits(bits(at) + (uint32_t)(j - 8));
            of(isa[0], &functions[i])(x, 16, y);
            for (int j = 0; j < 16; j++)
                if (fabsf(x[j]) <= functions[i].largest && ulps(y[j], functions[i].exact((double)x[j])) > 2)
                    fail_msg("%s(%a) is %a, off by %g ulp", functions[i].name, (double)x[j], (double)y[j],
                             ulps(y[j], functions[i].exact((double)x[j])));
        }
    }
}

static void special_values(void **state) {
    (void)state;
    static const struct {
        int function;
        float x, y;
    } table[] = {
        {0, 0, 1},
        {0, -0.0f, 1},
        {0, -INFINITY, 0},
        {0, INFINITY, INFINITY},
        {0, -104, 0},
        {0, -1e30f, 0},
        {0, 89, INFINITY},
        {0, 1e30f, INFINITY},
        {1, 1, 0},
        {1, 0, -INFINITY},
        {1, -0.0f, -INFINITY},
        {1, INFINITY, INFINITY},
        {1, -1, NAN},
        {1, -INFINITY, NAN},
        {1, -1e-40f, NAN},
        {2, 0, 0},
        {2, -0.0f, -0.0f},
        {2, INFINITY, 1},
        {2, -INFINITY, -1},
        {2, 20, 1},
        {2, 1e-40f, 1e-40f},
        {3, 0, 0},
        {3, -0.0f, 0},
        {3, INFINITY, NAN},
        {3, 0x1p21f, NAN},
        {3, 1e-40f, 1e-40f},
        {4, 0, 1},
        {4, -INFINITY, NAN},
        {4, -0x1p21f, NAN},
        {4, 1e-40f, 1},
        {5, 0, 0},
        {5, -0.0f, -0.0f},
        {5, INFINITY, 1},
        {5, -INFINITY, -1},
        {5, -4, -1},
        {0, NAN, NAN},
        {1, NAN, NAN},
        {2, NAN, NAN},
        {3, NAN, NAN},
        {4, NAN, NAN},
        {5, NAN, NAN},
    };
    for (int s = 0; s < n_isas; s++)
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            const function *f = &functions[table[i].function];
            float y;
            of(isa[s], f)(&table[i].x, 1, &y);
            if (bits(y) != bits(table[i].y) && !(isnan(y) && isnan(table[i].y)))
                fail_msg("%s: %s(%a) is %a, must be %a", isa[s]->isa, f->name, (double)table[i].x, (double)y,
                         (double)table[i].y);
        }
}

/* ---- binary64 ---- */

/* A row of logits, holes and all, by the kernel of every instruction set and by kern_exp64() one by one. */
static void weights(void **state) {
    enum { MOST = 1001 };
    static const double temperatures[] = {1, 0.7, 100, 1e-3, 0x1p-100};
    static float l[MOST];
    static double w[MOST + 1];
    (void)state;
    for (uint64_t trial = 0, at = 0; trial < 300; trial++) {
        size_t n = rng_below(1, RNG_TEST, at++, MOST) + 1;
        float spread = trial % 2 ? 30.0f : 800.0f, max = -INFINITY;
        double temperature = temperatures[trial % 5];
        for (size_t i = 0; i < n; i++) {
            l[i] = spread * (2 * rng_f32(2, RNG_TEST, at++) - 1);
            if (trial % 3 == 0 && i % 5 == 1)
                l[i] = i % 2 ? NAN : -INFINITY;
            if (trial % 31 == 7 && i % 9 == 4)
                l[i] = INFINITY;
            max = l[i] > max ? l[i] : max;
        }
        for (int s = 0; s < n_isas; s++) {
            w[n] = 42;
            isa[s]->weights(l, n, max, temperature, w);
            for (size_t i = 0; i < n; i++) {
                double want = l[i] == max        ? 1
                              : l[i] > -INFINITY ? kern_exp64(((double)l[i] - (double)max) / temperature)
                                                 : 0;
                if (memcmp(&w[i], &want, sizeof want) != 0)
                    fail_msg("%s: weight of %a below %a at %g is %a, must be %a", isa[s]->isa, (double)l[i],
                             (double)max, temperature, w[i], want);
            }
            assert_true(w[n] == 42);
        }
    }
}

static void double_within(const char *name, double x, double y, double want, double bound, double *worst) {
    double d = isnan(want) ? (isnan(y) ? 0 : (double)INFINITY)
               : y == want ? 0
                           : ldexp(fabs(y - want), 52 - (fabs(want) < 0x1p-1022 ? -1022 : ilogb(want)));
    if (!(d <= bound))
        fail_msg("%s(%a) is %a, must be %a: off by %g ulp", name, x, y, want, d);
    *worst = d > *worst ? d : *worst;
}

static void binary64(void **state) {
    (void)state;
    double worst_exp = 0, worst_log = 0, worst_pow = 0;
    for (uint64_t i = 0; i < 300000; i++) {
        double u = rng_f64(1, RNG_TEST, i), v = rng_f64(2, RNG_TEST, i), x = (u - 0.5) * (i % 2 ? 1416 : 3);
        double_within("exp64", x, kern_exp64(x), exp(x), 2, &worst_exp);
        x = i % 3 ? ldexp(0.5 + v, (int)(u * 2090) - 1070) : 0.5 + u;
        double_within("log64", x, kern_log64(x), log(x), 2, &worst_log);
        x = 1 + 1e6 * u * u;
        double y = v * 1.5, want = pow(x, y), d = fabs(kern_pow64(x, y) / want - 1);
        worst_pow = d > worst_pow ? d : worst_pow;
    }
    if (printing)
        printf("exp64 %.3f ulp, log64 %.3f ulp, pow64 2^%.1f relative\n", worst_exp, worst_log, log2(worst_pow));
    assert_true(worst_pow <= 0x1p-45);
    assert_true(kern_exp64(0) == 1 && kern_exp64(-746) == 0 && kern_exp64(-(double)INFINITY) == 0);
    assert_true(isinf(kern_exp64(710)) && isinf(kern_exp64((double)INFINITY)) && isnan(kern_exp64((double)NAN)));
    assert_true(kern_log64(1) == 0 && kern_log64(0) == -(double)INFINITY && isnan(kern_log64(-1)));
    assert_true(isinf(kern_log64((double)INFINITY)) && isnan(kern_log64((double)NAN)));
    assert_true(kern_sqrt64(2) == 0x1.6a09e667f3bcdp+0);
}

static int setup(void **state) {
    (void)state;
    n_isas = gen_isas(isa);
    const char *mode = getenv("LOAM_FUNC");
    printing = mode && strcmp(mode, "print") == 0;
    return n_isas < 1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),  cmocka_unit_test(hard_places), cmocka_unit_test(special_values),
        cmocka_unit_test(weights), cmocka_unit_test(binary64),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
