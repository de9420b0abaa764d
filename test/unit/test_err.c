/* err: texts are one line, cut visibly, and a NULL err is allowed everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/err.h"

static void set_fills_and_returns(void **state) {
    (void)state;
    err e = {0};
    assert_int_equal(err_set(&e, ERR_FORMAT, "%s: byte %d is wrong", "a.gguf", 7), ERR_FORMAT);
    assert_int_equal(e.code, ERR_FORMAT);
    assert_string_equal(e.text, "a.gguf: byte 7 is wrong");
}

static void in_puts_the_place_in_front(void **state) {
    (void)state;
    err e;
    err_set(&e, ERR_LIMIT, "too long");
    assert_int_equal(err_in(&e, ERR_IO, "key %d", 3), ERR_LIMIT);
    assert_int_equal(err_in(&e, ERR_IO, "file"), ERR_LIMIT);
    assert_string_equal(e.text, "file: key 3: too long");
}

static void null_keeps_the_code(void **state) {
    (void)state;
    assert_int_equal(err_set(NULL, ERR_MEMORY, "x"), ERR_MEMORY);
    assert_int_equal(err_in(NULL, ERR_CANCELLED, "x"), ERR_CANCELLED);
}

static void long_text_is_cut_with_dots(void **state) {
    (void)state;
    char big[2000];
    memset(big, 'b', sizeof big);
    big[sizeof big - 1] = 0;
    err e;
    for (int more = -2; more <= 2; more++) { /* around the last length that fits */
        int n = (int)sizeof e.text - 1 + more;
        err_set(&e, ERR_FORMAT, "%.*s", n, big);
        bool cut = more > 0;
        assert_int_equal(strlen(e.text), cut ? (int)sizeof e.text - 1 : n);
        assert_string_equal(e.text + strlen(e.text) - 3, cut ? "..." : "bbb");
    }
    err_set(&e, ERR_FORMAT, "inner");
    err_in(&e, ERR_FORMAT, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_string_equal(e.text + strlen(e.text) - 3, "...");
    err_set(&e, ERR_FORMAT, "%s", big);
    err_in(&e, ERR_FORMAT, "where");
    assert_memory_equal(e.text, "where: bbb", 10);
    assert_string_equal(e.text + strlen(e.text) - 3, "...");
}

static void control_characters_cannot_reach_a_terminal(void **state) {
    (void)state;
    err e;
    err_set(&e, ERR_FORMAT, "%s",
            "a\nb\x1b[31mc\td\x7f"
            "e");
    assert_string_equal(e.text, "a?b?[31mc?d?e");
    err_set(&e, ERR_FORMAT, "x");
    err_in(&e, ERR_FORMAT, "%s", "p\rq");
    assert_string_equal(e.text, "p?q: x");
}

static err_code fails_at(int at, int *reached, err *e) {
    for (*reached = 0; *reached < 3; ++*reached)
        TRY(*reached == at ? err_set(e, ERR_IO, "at %d", at) : ERR_OK);
    return ERR_OK;
}

static void try_returns_the_first_failure(void **state) {
    (void)state;
    err e = {.text = "untouched"};
    int reached;
    assert_int_equal(fails_at(9, &reached, &e), ERR_OK);
    assert_int_equal(reached, 3);
    assert_string_equal(e.text, "untouched");
    assert_int_equal(fails_at(1, &reached, &e), ERR_IO);
    assert_int_equal(reached, 1);
    assert_string_equal(e.text, "at 1");
}

static void every_code_has_a_name(void **state) {
    (void)state;
    for (int i = ERR_OK; i <= ERR_CANCELLED; i++)
        for (int j = ERR_OK; j < i; j++)
            assert_string_not_equal(err_name((err_code)i), err_name((err_code)j));
    assert_string_equal(err_name(ERR_FORMAT), "malformed input");
    assert_string_equal(err_name((err_code)99), "unknown error");
    assert_string_equal(err_name((err_code)-1), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_and_returns),
        cmocka_unit_test(in_puts_the_place_in_front),
        cmocka_unit_test(null_keeps_the_code),
        cmocka_unit_test(long_text_is_cut_with_dots),
        cmocka_unit_test(control_characters_cannot_reach_a_terminal),
        cmocka_unit_test(try_returns_the_first_failure),
        cmocka_unit_test(every_code_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
