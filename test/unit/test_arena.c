/* arena: alignment, zeroes, caps and overflow; shortage is test/fault/test_base.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/rng.h"

static bool zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* Many blocks of sizes around every boundary: aligned, zeroed, and none touches another. */
static void blocks_are_aligned_zeroed_and_apart(void **state) {
    (void)state;
    enum { N = 3000 };
    static unsigned char *block[N];
    static size_t size[N];
    arena a = {0};
    size_t sum = 0;
    for (int i = 0; i < N; i++) {
        size_t bits = rng_below(1, RNG_TEST, (uint64_t)i, i % 100 == 0 ? 18 : 11);
        size[i] = rng_below(2, RNG_TEST, (uint64_t)i, (size_t)1 << bits) + (i % 7 != 0);
        block[i] = arena_alloc(&a, size[i], 1);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % (size[i] >= 64 ? 64 : 16), 0);
        assert_true(zero((char *)block[i], size[i]));
        memset(block[i], i % 255 + 1, size[i]);
        sum += size[i];
    }
    assert_int_equal(a.used_bytes, sum);
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(block[i][k], i % 255 + 1);
    arena_fini(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_null(a.head);
    assert_non_null(arena_alloc(&a, 1, 1)); /* usable again */
    arena_fini(&a);
}

static void large_blocks_stand_alone(void **state) {
    (void)state;
    arena a = {0};
    char *small = arena_alloc(&a, 1, 100), *large = arena_alloc(&a, 9 << 20, 1), *after = arena_alloc(&a, 1, 100);
    assert_true(small && large && after);
    assert_true(zero(large, 9 << 20));
    memset(large, 1, 9 << 20);
    assert_true(zero(small, 100) && zero(after, 100));
    arena_fini(&a);
}

static void overflow_is_null_and_harmless(void **state) {
    (void)state;
    arena a = {0};
    assert_null(arena_alloc(&a, SIZE_MAX, 2));
    assert_null(arena_alloc(&a, SIZE_MAX / 8 + 1, 8));
    assert_null(arena_alloc(&a, SIZE_MAX, 1));
    assert_null(arena_alloc(&a, PTRDIFF_MAX, 1));
    assert_null(arena_str(&a, (str){"x", SIZE_MAX}).p);
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 0, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 8, 8));
    arena_fini(&a);
}

static void the_cap_is_exact(void **state) {
    (void)state;
    arena a = {.max_bytes = 1000};
    assert_null(arena_alloc(&a, 1001, 1));
    assert_non_null(arena_alloc(&a, 999, 1));
    assert_null(arena_alloc(&a, 2, 1));
    assert_non_null(arena_alloc(&a, 1, 1));
    assert_null(arena_alloc(&a, 1, 1));
    assert_non_null(arena_alloc(&a, 0, 1));
    assert_int_equal(a.used_bytes, 1000);
    arena_fini(&a);
    assert_int_equal(a.max_bytes, 1000);
    assert_non_null(arena_alloc(&a, 1000, 1));
    arena_fini(&a);
}

static void strings_are_copied_and_ended(void **state) {
    (void)state;
    arena a = {0};
    char text[] = "ab\0cd";
    str s = arena_str(&a, (str){text, 5});
    memset(text, 'x', sizeof text);
    assert_true(str_eq(s, STR("ab\0cd")));
    assert_int_equal(s.p[5], 0);
    assert_string_equal(arena_str(&a, (str){NULL, 0}).p, "");
    arena_fini(&a);
}

static err_code two_new(arena *a, size_t n, int **p, err *e) {
    ARENA_NEW(a, *p, n, e);
    (*p)[n - 1] = 5;
    return ERR_OK;
}

static void arena_new_turns_null_into_an_error(void **state) {
    (void)state;
    arena a = {.max_bytes = 40};
    err e = {0};
    int *p;
    assert_int_equal(two_new(&a, 10, &p, &e), ERR_OK);
    assert_int_equal(p[9], 5);
    assert_int_equal(two_new(&a, 3, &p, &e), ERR_MEMORY);
    assert_null(p);
    assert_string_equal(e.text, "no memory for 3 x 4 bytes");
    arena_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_zeroed_and_apart), cmocka_unit_test(large_blocks_stand_alone),
        cmocka_unit_test(overflow_is_null_and_harmless),       cmocka_unit_test(the_cap_is_exact),
        cmocka_unit_test(strings_are_copied_and_ended),        cmocka_unit_test(arena_new_turns_null_into_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
