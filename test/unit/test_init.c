/* init: the documented numbers, their spread, and that place and name alone decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/hash.h"
#include "train/init.h"
#include "unit/params.h"

static const init_options options = {.seed = 9, .embed = 0.02, .gain = 0.6, .layers = 8};

static void vectors_and_padding(void **state) {
    (void)state;
    params s = params_make();
    for (size_t i = 0; i < PARAMS_N; i++)
        for (size_t j = 0; j < s.p[i].n; j++)
            s.p[i].w[j] = 123;
    init_weights(&options, s.p, PARAMS_N, NULL);
    for (size_t j = 0; j < s.p[1].n; j++)
        assert_true(s.p[1].w[j] == 1.0f);
    for (size_t j = 0; j < s.p[3].n; j++)
        assert_true(s.p[3].w[j] == 0.0f);
    for (size_t r = 37; r < 48; r++)
        for (size_t c = 0; c < 24; c++)
            assert_true(s.p[0].w[params_at(&s.p[0], r, c)] == 0.0f);
    params_free(&s);
}

/* The text of init.h, written apart. */
static void the_documented_numbers(void **state) {
    (void)state;
    params s = params_make();
    init_weights(&options, s.p, PARAMS_N, NULL);
    static const double std[PARAMS_N] = {0.02, 0, 0.6 / 4.898979485566356, 0, 0.6 / 8.94427190999916 / 4, 0};
    for (size_t i = 0; i < PARAMS_N; i++) {
        const param *p = &s.p[i];
        if (!p->cols)
            continue;
        assert_true(fabs(init_std(&options, p->name, p->cols) - std[i]) < 1e-15);
        hash256 h = hash_of(p->name, strlen(p->name));
        uint64_t key = 0;
        for (int b = 0; b < 8; b++)
            key |= (uint64_t)h.byte[b] << 8 * b;
        float unit = (float)(init_std(&options, p->name, p->cols) / sqrt(32 * 4294967295.0 / 12));
        for (size_t r = 0; r < p->rows; r += 5)
            for (size_t c = 0; c < p->cols; c += 3) {
                uint32_t w[4];
                rng_philox((uint32_t[]){(uint32_t)(r * p->cols + c), 0, 3, 0},
                           (uint32_t[]){(uint32_t)(key ^ 9), (uint32_t)(key >> 32)}, w);
                long sum = -524280;
                for (int k = 0; k < 4; k++)
                    sum += 2 * ((long)(w[k] & 0xffff) + (long)(w[k] >> 16));
                assert_true(p->w[params_at(p, r, c)] == (float)sum * unit);
            }
    }
    params_free(&s);
}

static void spread_is_that_of_a_normal_distribution(void **state) {
    (void)state;
    params s = params_make();
    init_weights(&options, s.p, PARAMS_N, NULL);
    const param *p = &s.p[4];
    double n = (double)(p->rows * p->cols), sum = 0, square = 0, within = 0, std = init_std(&options, p->name, p->cols);
    for (size_t r = 0; r < p->rows; r++)
        for (size_t c = 0; c < p->cols; c++) {
            double x = (double)p->w[params_at(p, r, c)] / std;
            sum += x;
            square += x * x;
            within += fabs(x) < 1;
        }
    assert_true(fabs(sum / n) < 0.03);
    assert_true(fabs(square / n - 1) < 0.04);
    assert_true(fabs(within / n - 0.6827) < 0.02);
    params_free(&s);
}

static void threads_and_company_change_nothing(void **state) {
    (void)state;
    params a = params_make(), b = params_make();
    init_weights(&options, a.p, PARAMS_N, NULL);
    for (int threads = 2; threads <= 3; threads++) {
        pool *p = NULL;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        init_weights(&options, b.p, PARAMS_N, p);
        pool_close(p);
        for (size_t i = 0; i < PARAMS_N; i++)
            assert_memory_equal(a.p[i].w, b.p[i].w, a.p[i].n * sizeof(float));
    }
    memset(b.p[4].w, 1, b.p[4].n * sizeof(float));
    init_weights(&options, b.p + 4, 1, NULL);
    assert_memory_equal(a.p[4].w, b.p[4].w, a.p[4].n * sizeof(float));
    init_options other = options;
    other.seed = 10;
    init_weights(&other, b.p + 4, 1, NULL);
    assert_memory_not_equal(a.p[4].w, b.p[4].w, a.p[4].n * sizeof(float));
    params_free(&a);
    params_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_and_padding),
        cmocka_unit_test(the_documented_numbers),
        cmocka_unit_test(spread_is_that_of_a_normal_distribution),
        cmocka_unit_test(threads_and_company_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
