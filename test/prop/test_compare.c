/* compare: the divergence of two rows of logits is that of plain sums in long double; a model does not diverge from
 * itself, and what another one gives does not depend on threads or instruction sets. windows: cut as the header says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "gen/compare.h"
#include "prop/gen.h"

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

/* ---- one position ---- */

static long double log_sum(const float *x, size_t n) {
    long double sum = 0, max = x[0];
    for (size_t i = 1; i < n; i++)
        max = (long double)x[i] > max ? (long double)x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += expl((long double)x[i] - max);
    return max + logl(sum);
}

static void near(double got, long double want, const char *what) {
    if (!(fabsl((long double)got - want) <= 1e-12L * (1 + fabsl(want))))
        fail_msg("%s: %.17g, must be %.17g", what, got, (double)want);
}

static void rows_are_those_of_plain_sums(void **state) {
    (void)state;
    enum { N = 3000 };
    static float a[N], b[N];
    for (uint64_t round = 0; round < 40; round++) {
        size_t n = round < 4 ? round + 1 : 1 + rng_below(1, RNG_TEST, round, N);
        double spread = ldexp(1, (int)(round % 7) - 1), noise = ldexp(1, -(int)(round % 20));
        for (size_t i = 0; i < n; i++) {
            a[i] = (float)(spread * ((double)rng_below(2 + round, RNG_TEST, i, 2001) / 100 - 10) + 5 * (double)round);
            b[i] = (float)((double)a[i] + noise * ((double)rng_below(99 + round, RNG_TEST, i, 2001) / 1000 - 1));
        }
        int32_t next = (int32_t)rng_below(3, RNG_TEST, round, n);
        long double za = log_sum(a, n), zb = log_sum(b, n), kl = 0;
        for (size_t i = 0; i < n; i++)
            kl += expl((long double)a[i] - za) * (((long double)a[i] - za) - ((long double)b[i] - zb));
        compare_row r = compare_logits(a, b, n, next);
        near(r.kl, kl, "divergence");
        near(r.loss_a, za - (long double)a[next], "the original's loss");
        near(r.loss_b, zb - (long double)b[next], "the other's loss");
        assert_true(r.kl >= 0);
    }
}

static void tops_are_the_lowest_of_equals(void **state) {
    (void)state;
    static const float a[] = {1, 3, 3, 0}, b[] = {0, 2, 1, 2}, c[] = {0, 1, 2, 2};
    assert_true(compare_logits(a, b, 4, 0).same_top);
    assert_false(compare_logits(a, c, 4, 0).same_top);
    compare_row self = compare_logits(a, a, 4, 2);
    assert_true(self.kl == 0 && self.same_top && self.loss_a == self.loss_b);
    static const float bad[] = {1, NAN, 3, 0};
    assert_true(isnan(compare_logits(bad, a, 4, 0).loss_a) && isnan(compare_logits(a, bad, 4, 0).kl));
}

static void percentiles_lie_between_the_nearest(void **state) {
    (void)state;
    static const double v[] = {1, 2, 4, 8, 16};
    assert_true(compare_percentile(v, 5, 0) == 1 && compare_percentile(v, 5, 1) == 16);
    assert_true(compare_percentile(v, 5, 0.5) == 4 && compare_percentile(v, 5, 0.125) == 1.5);
    assert_true(compare_percentile(v, 1, 0.99) == 1);
}

/* ---- two models ---- */

enum { WIDTH = 40, WINDOWS = 3 };

static comparison compare(const char *a, const char *b, model_weights how, int threads, const char *isa, size_t n) {
    pool *p;
    model *m[2];
    comparison out;
    err e = {0};
    int32_t ids[WIDTH * WINDOWS];
    must(pool_open(&p, threads, &e), &e);
    must(model_open(&m[0], a, &(model_options){.pool = p, .isa = isa, .weights = MODEL_WEIGHTS_F32}, &e), &e);
    must(model_open(&m[1], b, &(model_options){.pool = p, .isa = isa, .weights = how}, &e), &e);
    for (uint64_t i = 0; i < WIDTH * WINDOWS; i++)
        ids[i] = (int32_t)rng_below(11, RNG_TEST, i, model_config_of(m[0])->V);
    windows w = {.ids = {.id = ids, .n = WIDTH * WINDOWS}, .width = WIDTH, .n = WINDOWS, .bos = 1};
    must(compare_models(m[0], m[1], &w, n, &(compare_options){.pool = p}, &out, &e), &e);
    model_close(m[0]);
    model_close(m[1]);
    pool_close(p);
    return out;
}

static const char MIXED[] = "test/golden/models/quant/mixed.gguf", LLAMA[] = "test/golden/models/llama";

static void a_model_does_not_diverge_from_itself(void **state) {
    (void)state;
    comparison c = compare(LLAMA, LLAMA, MODEL_WEIGHTS_F32, 2, "auto", 0);
    assert_int_equal(c.n, WINDOWS * (WIDTH - 1 - WIDTH / 2));
    assert_true(c.kl == 0 && c.kl_99 == 0 && c.kl_error == 0 && c.same_top == 1 && c.loss_a == c.loss_b &&
                c.loss_a > 0);
    c = compare(LLAMA, LLAMA, MODEL_WEIGHTS_F32, 2, "auto", 1);
    assert_int_equal(c.n, WIDTH - 1 - WIDTH / 2);
}

static void threads_and_sets_change_nothing(void **state) {
    (void)state;
    comparison one = compare(MIXED, MIXED, MODEL_WEIGHTS_STORED, 1, "scalar", 0);
    comparison other = compare(MIXED, MIXED, MODEL_WEIGHTS_STORED, 3, "auto", 0);
    assert_memory_equal(&one, &other, sizeof one);
    assert_true(one.kl > 0 && one.kl < 0.1 && one.kl_99 > one.kl && one.kl_error > 0); /* activations of 8 bits */
}

static void what_cannot_be_compared_is_refused(void **state) {
    (void)state;
    model *m[2];
    comparison out;
    int32_t ids[8] = {0};
    err e = {0};
    must(model_open(&m[0], LLAMA, &(model_options){.isa = "auto"}, &e), &e);
    must(model_open(&m[1], MIXED, &(model_options){.isa = "auto"}, &e), &e);
    windows w = {.ids = {.id = ids, .n = 8}, .width = 4, .n = 2, .bos = -1};
    assert_int_equal(compare_models(m[0], m[1], &w, 0, &(compare_options){0}, &out, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "vocabularies"));
    w.width = 3;
    assert_int_equal(compare_models(m[0], m[0], &w, 0, &(compare_options){0}, &out, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "4 at least"));
    w.width = 4;
    volatile int stop = 1;
    assert_int_equal(compare_models(m[0], m[0], &w, 0, &(compare_options){.cancel = &stop}, &out, &e), ERR_CANCELLED);
    model_close(m[0]);
    model_close(m[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_plain_sums),        cmocka_unit_test(tops_are_the_lowest_of_equals),
        cmocka_unit_test(percentiles_lie_between_the_nearest), cmocka_unit_test(a_model_does_not_diverge_from_itself),
        cmocka_unit_test(threads_and_sets_change_nothing),     cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
