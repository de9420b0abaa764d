/* answers: marks are parsed; spans by hand and against a reader that looks at one byte at a time; tokens take the span
 * of their first byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/answers.h"

static answer_marks marks_of(const char *list) {
    answer_marks m;
    assert_int_equal(answers_parse(&m, str_from(list), NULL), ERR_OK);
    return m;
}

/* '^' under each byte that is in an answer; one more for the end. */
static void expect(const char *list, const char *text, const char *want) {
    answer_marks m = marks_of(list);
    answers_scan s = {.marks = &m, .text = str_from(text)};
    char got[200] = "";
    assert_int_equal(strlen(want), strlen(text) + 1);
    for (size_t i = 0; i <= strlen(text); i++)
        got[i] = answers_at(&s, i) ? '^' : '.';
    assert_string_equal(got, want);
}

static void spans_are_these(void **state) {
    (void)state;
    expect("A:", "Q: x\nA: y\nz",
           "......."
           "^^^"
           "..");
    expect("A:", "A: y", "..^^^");
    expect("A:", "A: y\n", "..^^^.");
    expect("A:", " A: y\n", ".......");
    expect("A:", "BA: y\n", ".......");
    expect("A:", "A:\none\ntwo\n\nthree\n",
           "..."
           "^^^^^^^^"
           "........");
    expect("Plan:", "x\nPlan:\n1. go\nDone.\n",
           "........"
           "^^^^^^^^^^^^^");
    expect("A:,AA:", "AA: x\nA: y\n", "...^^^..^^^.");
    expect("A:", "A: x\nA: y\n", "..^^^..^^^.");
    expect("A:", "A:", "..^");
    expect("A:", "", ".");
    expect("", "A: y\n", "......");
}

static void lists_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {",", "A:,", ",A:", "A:,,B:", "A\n", "1,2,3,4,5,6,7,8,9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        answer_marks m;
        err e = {0};
        assert_int_equal(answers_parse(&m, str_from(bad[i]), &e), ERR_USAGE);
        assert_non_null(strstr(e.text, "answers"));
    }
    assert_int_equal(marks_of("1,2,3,4,5,6,7,8").n, ANSWERS_MARKS_MAX);
}

static bool blank(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != ' ' && p[i] != '\n')
            return false;
    return true;
}

/* The definition, read byte by byte: one mark, "A". */
static void oracle(const char *t, size_t n, bool *in) {
    bool below = false; /* in the lines below a mark that stands alone */
    memset(in, 0, (n + 1) * sizeof *in);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && t[to] != '\n'; to++)
            ;
        to += to < n;
        if (below && blank(t + from, to - from))
            below = false;
        else if (below)
            memset(in + from, 1, to - from);
        else if (t[from] == 'A' && blank(t + from + 1, to - from - 1))
            below = true;
        else if (t[from] == 'A')
            memset(in + from + 1, 1, to - from - 1 + (to == n && t[n - 1] != '\n'));
    }
    in[n] |= below;
}

static void spans_equal_the_definition(void **state) {
    (void)state;
    answer_marks m = marks_of("A");
    for (uint64_t i = 0; i < 20000; i++) {
        char text[24];
        bool want[25];
        size_t n = rng_below(i, RNG_TEST, 0, 24);
        for (size_t j = 0; j < n; j++)
            text[j] = "A\n x"[rng_below(i, RNG_TEST, j + 1, 4)];
        oracle(text, n, want);
        answers_scan s = {.marks = &m, .text = {text, n}};
        for (size_t j = 0; j <= n; j++)
            if (answers_at(&s, j) != want[j])
                fail_msg("text %.*s: byte %zu", (int)n, text, j);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_these),
        cmocka_unit_test(lists_are_refused),
        cmocka_unit_test(spans_equal_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
