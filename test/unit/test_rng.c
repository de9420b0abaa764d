/* rng: the known answers of Philox4x32-10 (Random123, kat_vectors), and that streams are apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t ctr[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t out[4];
        rng_philox(kat[i].ctr, kat[i].key, out);
        assert_memory_equal(out, kat[i].want, sizeof out);
    }
}

/* The mapping from (seed, purpose, index) to the block is part of the arithmetic version. */
static void words_come_from_the_documented_block(void **state) {
    (void)state;
    uint64_t seed = 0x0123456789abcdef, index = 0xfedcba9876543210;
    uint32_t ctr[4] = {0x76543210, 0xfedcba98, RNG_SAMPLE, 0}, key[2] = {0x89abcdef, 0x01234567}, w[4];
    rng_philox(ctr, key, w);
    assert_int_equal(rng_u32(seed, RNG_SAMPLE, index), w[0]);
    assert_int_equal(rng_u64(seed, RNG_SAMPLE, index), (uint64_t)w[1] << 32 | w[0]);
    assert_true(rng_f32(seed, RNG_SAMPLE, index) == (float)(w[0] >> 8) / 16777216.0f);
    assert_true(rng_f64(seed, RNG_SAMPLE, index) == (double)(((uint64_t)w[1] << 32 | w[0]) >> 11) / 9007199254740992.0);
}

static void purposes_are_numbered_for_good(void **state) {
    (void)state;
    assert_int_equal(RNG_TEST, 1);
    assert_int_equal(RNG_SAMPLE, 2);
    assert_int_equal(RNG_INIT, 3);
    assert_int_equal(RNG_ORDER, 4);
    assert_int_equal(RNG_CORPUS, 5);
    assert_int_equal(RNG_DROPOUT, 6);
    for (int a = 1; a <= 6; a++)
        for (int b = 1; b < a; b++)
            assert_true(rng_u64(7, (rng_purpose)a, 9) != rng_u64(7, (rng_purpose)b, 9));
}

static void uniform_numbers_are_within_and_even(void **state) {
    (void)state;
    enum { N = 40000, CELLS = 20 };
    int count32[CELLS] = {0}, count64[CELLS] = {0};
    for (uint64_t i = 0; i < N; i++) {
        float f = rng_f32(11, RNG_TEST, i);
        double d = rng_f64(12, RNG_TEST, i);
        assert_true(f >= 0 && f < 1 && d >= 0 && d < 1);
        count32[(int)(f * CELLS)]++;
        count64[(int)(d * CELLS)]++;
    }
    double chi32 = 0, chi64 = 0, want = (double)N / CELLS;
    for (int i = 0; i < CELLS; i++) {
        chi32 += (count32[i] - want) * (count32[i] - want) / want;
        chi64 += (count64[i] - want) * (count64[i] - want) / want;
    }
    assert_true(chi32 < 50 && chi64 < 50); /* 19 degrees of freedom: above 50 once in ten thousand */
}

static void below_reaches_all_and_only_its_range(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 17; n++) {
        uint32_t seen = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t x = rng_below(3, RNG_TEST, i, n);
            assert_true(x < n);
            seen |= 1u << x;
        }
        assert_int_equal(seen, (1u << n) - 1);
    }
    for (uint64_t i = 0; i < 100; i++) { /* the product takes 128 bits */
        assert_true(rng_below(3, RNG_TEST, i, UINT64_MAX) < UINT64_MAX);
        assert_true(rng_below(3, RNG_TEST, i, (uint64_t)1 << 63) == rng_u64(3, RNG_TEST, i) >> 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(words_come_from_the_documented_block),
        cmocka_unit_test(purposes_are_numbered_for_good),
        cmocka_unit_test(uniform_numbers_are_within_and_even),
        cmocka_unit_test(below_reaches_all_and_only_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
