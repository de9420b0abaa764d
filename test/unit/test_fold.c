/* fold: the sum of 1 to 40 microbatches is that of the definition, bit for bit, for any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kern/kern.h"
#include "train/fold.h"
#include "unit/params.h"

/* The definition: sum [lo, hi) of one element. */
static float sum(size_t j, size_t lo, size_t hi, float *const *x) {
    if (hi - lo == 1)
        return x[lo][j];
    size_t half = 1;
    while (half * 2 < hi - lo)
        half *= 2;
    return sum(j, lo, lo + half, x) + sum(j, lo + half, hi, x);
}

static void one(size_t n, int threads) {
    enum { MOST = 40 };
    params s = params_make();
    pool *pl = NULL;
    fold *f = NULL;
    err e = {0};
    assert_int_equal(pool_open(&pl, threads, &e), ERR_OK);
    engine en = {kern_select(NULL), pl};
    assert_int_equal(fold_open(&f, &en, s.p, PARAMS_N, n, &e), ERR_OK);
    for (int again = 0; again < 2; again++) { /* a fold serves every step */
        float *x[PARAMS_N][MOST];
        for (size_t k = 0; k < n; k++) {
            for (size_t i = 0; i < PARAMS_N; i++) {
                x[i][k] = calloc(s.p[i].n, sizeof(float));
                params_fill(&s.p[i], x[i][k], 100 * k + i + (uint64_t)again, 1 + (float)k);
                memcpy(s.p[i].g, x[i][k], s.p[i].n * sizeof(float));
            }
            fold_add(f, k, n);
        }
        for (size_t i = 0; i < PARAMS_N; i++) {
            for (size_t j = 0; j < s.p[i].n; j++)
                if (s.p[i].g[j] != sum(j, 0, n, x[i]))
                    fail_msg("%zu microbatches: float %zu of %s", n, j, s.p[i].name);
            for (size_t k = 0; k < n; k++)
                free(x[i][k]);
        }
    }
    fold_close(f);
    pool_close(pl);
    params_free(&s);
}

static void every_number_of_microbatches(void **state) {
    (void)state;
    for (size_t n = 1; n <= 17; n++)
        one(n, n % 3 ? 1 : 2);
    one(40, 3);
}

static void memory_is_that_of_the_plan(void **state) {
    (void)state;
    params s = params_make();
    size_t each = 0;
    for (size_t i = 0; i < PARAMS_N; i++)
        each += (s.p[i].n + 15) / 16 * 64;
    static const size_t levels[] = {0, 0, 1, 2, 2, 3, 3, 3, 3, 4};
    for (size_t n = 1; n < 10; n++)
        assert_int_equal(fold_plan_bytes(s.p, PARAMS_N, n), levels[n] * each);
    params_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_of_microbatches),
        cmocka_unit_test(memory_is_that_of_the_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
