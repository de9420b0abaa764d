/* sightings: the steps of every document against reading the stream token by token; chains that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/order.h"
#include "train/sightings.h"

enum { DOCS = 37, STEPS = 50 };

typedef struct {
    docs docs;
    hash256 sha256[DOCS];
    uint32_t n_tokens[DOCS];
    chain chain;
    chain_line line[STEPS + 1];
    bool seen[DOCS][STEPS + 1];
} example;

/* Steps of `per_step` tokens over documents of random lengths, as a trainer would name them. */
static void make(example *x, uint64_t seed, uint64_t per_step) {
    order *o;
    *x = (example){.docs = {.n = DOCS, .n_train = DOCS, .sha256 = x->sha256},
                   .chain = {.line = x->line, .n = STEPS + 1}};
    for (uint64_t i = 0; i < DOCS; i++) {
        x->sha256[i] = hash_of(&i, sizeof i);
        x->n_tokens[i] = 1 + (uint32_t)rng_below(seed, RNG_TEST, i, 30);
    }
    assert_int_equal(order_open(&o, seed, x->sha256, x->n_tokens, DOCS, NULL, NULL), ERR_OK);
    for (uint64_t step = 1; step <= STEPS; step++) {
        order_place first, last = {0};
        order_find(o, (step - 1) * per_step, &first);
        for (uint64_t at = (step - 1) * per_step; at < step * per_step; at++) {
            order_find(o, at, &last);
            x->seen[last.doc][step] = true;
        }
        x->line[step] =
            (chain_line){.step = step, .targets = per_step, .docs = {first.epoch, first.rank, last.epoch, last.rank}};
    }
    order_close(o);
}

static void all_steps(void **state) {
    (void)state;
    static example x;
    bool wanted[DOCS];
    for (uint64_t seed = 0; seed < 40; seed++) {
        sightings s;
        err e = {0};
        make(&x, seed, 1 + rng_below(seed, RNG_TEST, 99, seed % 2 ? 60 : 2000));
        for (size_t i = 0; i < DOCS; i++)
            wanted[i] = seed % 3 == 0 || rng_below(seed, RNG_TEST, 100 + i, 4) == 0;
        if (sightings_find(&s, &x.docs, seed, &x.chain, wanted, &e) != ERR_OK)
            fail_msg("%s", e.text);
        for (uint32_t i = 0; i < DOCS; i++) {
            size_t n, k = 0;
            const sighting *got = sightings_of(&s, i, &n);
            for (uint32_t step = 1; step <= STEPS; step++)
                if (wanted[i] && x.seen[i][step]) {
                    assert_true(k < n);
                    assert_int_equal(got[k++].step, step);
                }
            assert_int_equal(k, n);
        }
        sightings_fini(&s);
    }
}

static void not_begun(void **state) {
    (void)state;
    static example x;
    bool wanted[DOCS] = {true};
    sightings s;
    size_t n;
    make(&x, 1, 20);
    for (x.chain.n = 0; x.chain.n < 2; x.chain.n++) {
        assert_int_equal(sightings_find(&s, &x.docs, 1, &x.chain, wanted, NULL), ERR_OK);
        sightings_of(&s, 0, &n);
        assert_int_equal(n, 0);
        sightings_fini(&s);
    }
}

static void impossible_chains(void **state) {
    (void)state;
    static example x;
    static const uint64_t bad[][4] = {
        {0, DOCS, 0, DOCS}, {0, 0, 0, DOCS},       {7, 0, 7, 1}, {0, 5, 0, 4},
        {0, 9, 0, 9},       {0, 0, UINT64_MAX, 0}, {1, 0, 0, 3},
    };
    bool wanted[DOCS] = {true};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sightings s;
        err e = {0};
        make(&x, 2, 20);
        memcpy(x.line[1].docs, bad[i], sizeof bad[i]);
        assert_int_equal(sightings_find(&s, &x.docs, 2, &x.chain, wanted, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, "step 1 "));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_steps),
        cmocka_unit_test(not_begun),
        cmocka_unit_test(impossible_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
