/* guess: what follows the latest earlier occurrence; whatever comes, guesses cost no more than they may; where they
 * hit, they are made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "gen/guess.h"

static void the_latest_longest_match(void **state) {
    (void)state;
    int32_t ids[32] = {1, 2, 3, 4, 9, 2, 3, 5, 7, 1, 2, 3};
    int32_t out[8];
    assert_int_equal(guess_next(ids, 12, 2, 2, out), 2); /* 1 2 3, not the later 2 3 */
    assert_true(out[0] == 4 && out[1] == 9);
    ids[9] = 8;
    assert_int_equal(guess_next(ids, 12, 2, 2, out), 2);
    assert_true(out[0] == 5 && out[1] == 7);
    assert_int_equal(guess_next(ids, 12, 3, 2, out), 0);
    int32_t period[16] = {6, 1, 2, 1, 2};
    assert_int_equal(guess_next(period, 5, 2, 5, period + 5), 5); /* goes on with itself */
    for (int i = 5; i < 10; i++)
        assert_int_equal(period[i], 1 + (i + 1) % 2);
    assert_int_equal(guess_next(ids, 0, 2, 2, out), 0);
    assert_int_equal(guess_next(ids, 2, 2, 2, out), 0);
}

/* Steps by a habit until `tokens` are there, each guess coming as `comes` draws it; hundredths of passes beyond one a
 * step, less a hundred for each id that came. */
static int lost(uint64_t seed, int tokens, unsigned percent, size_t *guessed) {
    guess_habit h = guess_begin();
    int cost = 0;
    uint64_t at = 0;
    for (int n = 0; n < tokens;) {
        size_t least, wish = guess_wish(&h, &least), right = 0;
        assert_true(wish <= GUESS_MOST && least >= GUESS_MATCH_MIN && least <= GUESS_MATCH_MAX);
        if (rng_below(seed, RNG_TEST, at++, 3) == 0) /* nothing stands before that is alike */
            wish = 0;
        while (right < wish && rng_below(seed, RNG_TEST, at++, 100) < percent)
            right++;
        cost += wish > 0 ? GUESS_COST(wish) - 100 * (int)right : 0;
        *guessed += wish;
        guess_learn(&h, wish, right);
        n += 1 + (int)right;
    }
    return cost;
}

static void misses_cost_little_and_hits_are_taken(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        size_t guessed = 0, n_hits = 0;
        int tokens = 1 + (int)rng_below(seed, RNG_TEST, 1 << 20, 2000);
        unsigned percent = (unsigned)(seed % 100);
        int most = GUESS_BEGIN + GUESS_INCOME * (tokens + GUESS_MOST);
        assert_true(lost(seed, tokens, percent, &guessed) <= most);
        int gain = -lost(seed, 1000, 100, &n_hits);
        assert_true(gain > 50000 && n_hits > 500); /* of 1000 tokens more than half without a pass of their own */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_longest_match),
        cmocka_unit_test(misses_cost_little_and_hits_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
