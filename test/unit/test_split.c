/* split: against plain definitions, and independent of how the text comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "text/split.h"
#include "text/utf8.h"

/* All pieces, "[...]" each, of a text that comes in `chunk` bytes at a time. */
static void pieces(split_mode mode, size_t limit, str text, size_t chunk, strbuf *out) {
    size_t at = 0, there = 0, looked = 0;
    out->n = 0;
    for (;;) {
        split_piece p;
        str view = str_sub(text, at, at + there);
        bool at_end = at + there == text.n;
        if (split_next(mode, limit, view, at_end, &looked, &p)) {
            assert_true(p.from <= p.to && p.to <= p.next && p.next <= view.n && p.next > 0);
            assert_int_equal(strbuf_addc(out, '[', NULL), ERR_OK);
            assert_int_equal(strbuf_add(out, str_sub(view, p.from, p.to), NULL), ERR_OK);
            assert_int_equal(strbuf_addc(out, ']', NULL), ERR_OK);
            at += p.next;
            there -= p.next;
            looked = 0;
        } else if (at_end)
            return;
        else
            there += chunk < text.n - at - there ? chunk : text.n - at - there;
    }
}

static void check(split_mode mode, size_t limit, str text, const char *want) {
    strbuf out = {0};
    for (size_t chunk = 1; chunk <= text.n + 1; chunk++) {
        pieces(mode, limit, text, chunk, &out);
        if (!str_is(strbuf_str(&out), want))
            fail_msg("\"%.*s\" by %zu: %.*s", STR_ARG(text), chunk, STR_ARG(strbuf_str(&out)));
    }
    strbuf_fini(&out);
}

static void whole(void **state) {
    (void)state;
    check(SPLIT_WHOLE, 0, STR(""), "");
    check(SPLIT_WHOLE, 0, STR("a\n\nb\n"), "[a\n\nb\n]");
}

static void lines(void **state) {
    (void)state;
    check(SPLIT_LINES, 0, STR(""), "");
    check(SPLIT_LINES, 0, STR("a"), "[a]");
    check(SPLIT_LINES, 0, STR("a\n"), "[a]");
    check(SPLIT_LINES, 0, STR("a\nb"), "[a][b]");
    check(SPLIT_LINES, 0, STR("\n\na\r\n\r\nb\r"), "[][][a][][b\r]");
    check(SPLIT_LINES, 0, STR("a\rb\n"), "[a\rb]");
}

static void paragraphs(void **state) {
    (void)state;
    check(SPLIT_PARAGRAPHS, 0, STR(""), "");
    check(SPLIT_PARAGRAPHS, 0, STR("\n \n\t\n"), "");
    check(SPLIT_PARAGRAPHS, 0, STR("a\nb\n\nc"), "[a\nb][c]");
    check(SPLIT_PARAGRAPHS, 0, STR("\n\n  a\n\n \t\n\nb \n\n"), "[  a][b ]");
    check(SPLIT_PARAGRAPHS, 0, STR("a\r\nb\r\n\r\nc\r\n"), "[a\r\nb][c]");
}

static void bytes(void **state) {
    (void)state;
    check(SPLIT_BYTES, 8, STR(""), "");
    check(SPLIT_BYTES, 8, STR("12345678"), "[12345678]");
    check(SPLIT_BYTES, 8, STR("123456789"), "[12345678][9]");
    check(SPLIT_BYTES, 8, STR("12345 789"), "[12345 ][789]");         /* a blank */
    check(SPLIT_BYTES, 8, STR("12\n45 78 0"), "[12\n45 ][78 0]");     /* its line break leaves too little */
    check(SPLIT_BYTES, 8, STR("12 45\n7 9"), "[12 45\n][7 9]");       /* a line before a blank */
    check(SPLIT_BYTES, 8, STR("12\n\n\n6\n90"), "[12\n\n\n][6\n90]"); /* a blank line before a line */
    check(SPLIT_BYTES, 8, STR("1 3456789"), "[1 345678][9]");         /* a blank too early */
    check(SPLIT_BYTES, 4, STR("\xe2\x82\xac\xe2\x82\xac"), "[\xe2\x82\xac][\xe2\x82\xac]");
    check(SPLIT_BYTES, 4, STR("\x80\x80\x80\x80\x80\x80"), "[\x80\x80\x80\x80][\x80\x80]");
}

/* Random texts over the bytes that matter: nothing is lost, limits hold, characters stay whole, cuts do not matter. */
static void random_texts(void **state) {
    (void)state;
    static const char *const parts[] = {"a", "b", " ", "\n", "\r\n", "\t", "\xc3\xa4", "\xe2\x82\xac"};
    strbuf text = {0}, one = {0}, other = {0};
    size_t n_pieces = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        text.n = 0;
        for (uint64_t k = rng_below(1, RNG_TEST, 1000 * i, 60); k > 0; k--)
            assert_int_equal(strbuf_add(&text, str_from(parts[rng_below(1, RNG_TEST, 1000 * i + k, 8)]), NULL), ERR_OK);
        size_t limit = 4 + (size_t)rng_below(2, RNG_TEST, i, 20);
        for (split_mode mode = SPLIT_WHOLE; mode <= SPLIT_BYTES; mode++) {
            pieces(mode, limit, strbuf_str(&text), text.n + 1, &one);
            pieces(mode, limit, strbuf_str(&text), 1 + (size_t)rng_below(3, RNG_TEST, i, 9), &other);
            assert_true(str_eq(strbuf_str(&one), strbuf_str(&other)));
        }
        str rest = strbuf_str(&text);
        split_piece p;
        for (size_t looked = 0; split_next(SPLIT_BYTES, limit, rest, true, &looked, &p); looked = 0, n_pieces++) {
            assert_true(p.from == 0 && p.to == p.next && p.to <= limit);
            assert_true(utf8_valid(str_sub(rest, 0, p.to)));
            assert_true(p.to == rest.n || p.to > limit / 2 || limit - p.to < 4);
            rest = str_sub(rest, p.next, rest.n);
        }
        assert_int_equal(rest.n, 0);
    }
    assert_true(n_pieces > 3000);
    strbuf_fini(&text);
    strbuf_fini(&one);
    strbuf_fini(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole), cmocka_unit_test(lines),        cmocka_unit_test(paragraphs),
        cmocka_unit_test(bytes), cmocka_unit_test(random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
