/* schedule: the rates at the borders, between them, and against the formulas by libm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "train/schedule.h"

static schedule make(schedule_kind k, uint64_t steps, uint64_t warmup, uint64_t cooldown) {
    return (schedule){.kind = k, .steps = steps, .warmup = warmup, .cooldown = cooldown, .lr = 0.002, .min_lr = 0.0003};
}

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-15 * fabs(b)))
        fail_msg("%.17g, must be %.17g", a, b);
}

static void warm_up_is_a_line_to_the_full_rate(void **state) {
    (void)state;
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        schedule s = make((schedule_kind)k, 100, 10, k == SCHEDULE_WSD ? 20 : 0);
        for (uint64_t i = 1; i <= 10; i++)
            near(schedule_at(&s, i), 0.002 * (double)i / 10);
        near(schedule_at(&s, 11), 0.002); /* the first step after it has the full rate too */
    }
}

static void cosine_follows_the_cosine(void **state) {
    (void)state;
    schedule s = make(SCHEDULE_COSINE, 1007, 7, 0);
    for (uint64_t i = 8; i <= 1007; i++)
        near(schedule_at(&s, i), 0.0003 + 0.0017 * 0.5 * (1 + cos(M_PI * (double)(i - 8) / 1000)));
    assert_true(schedule_at(&s, 1007) > 0.0003);
}

static void linear_ends_one_step_above_the_least(void **state) {
    (void)state;
    schedule s = make(SCHEDULE_LINEAR, 50, 0, 0);
    near(schedule_at(&s, 1), 0.002);
    near(schedule_at(&s, 26), 0.0003 + 0.0017 / 2);
    near(schedule_at(&s, 50), 0.0003 + 0.0017 / 50);
}

static void constant_and_stable_stay(void **state) {
    (void)state;
    schedule c = make(SCHEDULE_CONSTANT, 50, 0, 0), w = make(SCHEDULE_WSD, 50, 5, 10);
    for (uint64_t i = 6; i <= 41; i++) {
        assert_true(schedule_at(&c, i) == 0.002);
        near(schedule_at(&w, i), 0.002);
    }
    near(schedule_at(&w, 46), 0.0003 + 0.0017 / 2);
    near(schedule_at(&w, 50), 0.0003 + 0.0017 / 10);
}

static void a_run_of_one_step(void **state) {
    (void)state;
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        schedule s = make((schedule_kind)k, 1, 0, k == SCHEDULE_WSD);
        near(schedule_at(&s, 1), 0.002);
        s.warmup = k != SCHEDULE_WSD;
        near(schedule_at(&s, 1), 0.002);
    }
}

static void names_go_both_ways(void **state) {
    (void)state;
    for (int k = 0; k < SCHEDULE_COUNT; k++)
        assert_int_equal(schedule_by_name(schedule_name((schedule_kind)k)), k);
    assert_int_equal(schedule_by_name("cosin"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_is_a_line_to_the_full_rate),
        cmocka_unit_test(cosine_follows_the_cosine),
        cmocka_unit_test(linear_ends_one_step_above_the_least),
        cmocka_unit_test(constant_and_stable_stay),
        cmocka_unit_test(a_run_of_one_step),
        cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
