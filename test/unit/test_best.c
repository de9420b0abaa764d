/* best: the least loss wins, the earlier of two; patience counts looks since; lines without a look say nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/best.h"

enum { LINES = 9 };

/* A look at every second step. */
static chain_line line_of(uint64_t step, const double *held_out) {
    return (chain_line){.step = step, .has_held_out = step && step % 2 == 0, .held_out = held_out[step]};
}

static void the_least_loss_wins(void **state) {
    (void)state;
    const double held_out[LINES] = {0, 0, 3, 0, 2, 0, 2, 0, 2.5};
    chain_line line[LINES];
    chain c = {.line = line, .n = LINES};
    best b = {0};
    for (uint64_t i = 0; i < LINES; i++) {
        line[i] = line_of(i, held_out);
        best_take(&b, &line[i]);
        best again = best_of(&c, i);
        assert_int_equal(again.step, b.step);
        assert_int_equal(again.since, b.since);
        assert_int_equal(b.step, i < 2 ? 0 : i < 4 ? 2 : 4);
        assert_int_equal(b.since, i < 6 ? 0 : i < 8 ? 1 : 2);
    }
    assert_true(b.loss == 2);
    assert_int_equal(best_of(&c, 1000).step, 4); /* beyond the chain's end */
}

static void patience_ends_a_run(void **state) {
    (void)state;
    best b = {.step = 4, .loss = 2, .since = 2};
    recipe r = {.optimizer = {.steps = 100}};
    assert_false(best_stops(&b, 0));
    assert_false(best_ended(&b, &r, 8));
    assert_true(best_ended(&b, &r, 100));
    r.tune.patience = 2;
    assert_true(best_ended(&b, &r, 8));
    r.tune.patience = 3;
    assert_false(best_ended(&b, &r, 8));
    assert_int_equal(best_published(&b, &r, 8), 8);
    r.tune.best = true;
    assert_int_equal(best_published(&b, &r, 8), 4);
    b.step = 0; /* nothing was held out */
    assert_int_equal(best_published(&b, &r, 8), 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_loss_wins),
        cmocka_unit_test(patience_ends_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
