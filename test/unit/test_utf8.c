/* utf8: every code point there and back, every ill-formed kind, held-back prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/utf8.h"

static void every_code_point(void **state) {
    (void)state;
    for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
        char bytes[4];
        size_t at = 0, n = utf8_put(cp, bytes);
        if (cp >= 0xd800 && cp <= 0xdfff) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_int_equal(n, cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4);
        assert_int_equal(utf8_next((str){bytes, n}, &at), cp);
        assert_int_equal(at, n);
        assert_true(utf8_valid((str){bytes, n}));
        for (size_t cut = 1; cut < n; cut++) { /* every proper prefix is held back and is ill-formed */
            assert_int_equal(utf8_whole((str){bytes, cut}), 0);
            at = 0;
            assert_int_equal(utf8_next((str){bytes, cut}, &at), -1);
            assert_int_equal(at, cut);
        }
        assert_int_equal(utf8_whole((str){bytes, n}), n);
    }
    char bytes[4];
    assert_int_equal(utf8_put(-1, bytes), 0);
    assert_int_equal(utf8_put(0x110000, bytes), 0);
}

/* Ill-formed bytes, the length of the first maximal subpart, and the repaired text (Unicode 3.9, table 3-8). */
static void maximal_subparts(void **state) {
    (void)state;
#define R "\xef\xbf\xbd"
    static const struct {
        const char *in;
        size_t subpart;
        const char *repaired;
    } cases[] = {
        {"\x80", 1, R},
        {"\xc0\xaf", 1, R R},
        {"\xc1\x81", 1, R R},
        {"\xe0\x9f\x80", 1, R R R},       /* overlong */
        {"\xed\xa0\x80", 1, R R R},       /* surrogate */
        {"\xf4\x90\x80\x80", 1, R R R R}, /* above U+10FFFF */
        {"\xf0\x8f\x80\x80", 1, R R R R},
        {"\xf5\x80", 1, R R},
        {"\xff", 1, R},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 2, R R R R "A"},
        {"\xf0\x9f\x98", 3, R},
        {"\xe2\x82"
         "A",
         2, R "A"},
        {"\xc3(", 1, R "("},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        str s = str_from(cases[i].in);
        size_t at = 0;
        assert_int_equal(utf8_next(s, &at), -1);
        assert_int_equal(at, cases[i].subpart);
        assert_false(utf8_valid(s));
        strbuf out = {0};
        assert_int_equal(utf8_repair(s, &out, NULL), ERR_OK);
        assert_true(str_is(strbuf_str(&out), cases[i].repaired));
        assert_true(utf8_valid(strbuf_str(&out)));
        strbuf_fini(&out);
    }
}

static void whole_prefix(void **state) {
    (void)state;
    static const struct {
        const char *in;
        size_t whole;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"abc\xc3", 3},
        {"abc\xe2\x82", 3},
        {"abc\xf0\x9f\x98", 3},
        {"\xf0\x9f", 0},
        {"a\xe0\x9f", 3},
        {"a\xed\xa0", 3},
        {"a\x80\x80", 3},
        {"a\xf4\x90", 3},
        {"a\xc3\xa9", 3},
        {"\xe2\x82\xac", 3},
        {"a\xf0\x9f\x98\x80", 5},
        {"a\xff", 2},
        {"\x80\x80\x80\x80", 4},
        {"a\xc0", 2},
        {"\xe2\x82\xac\xe2", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_whole(str_from(cases[i].in)), cases[i].whole);
}

/* Any bytes: never past the end, always forward, valid exactly when nothing is -1, repair gives valid text. */
static void any_bytes(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t n = (size_t)round % sizeof bytes;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (char)(seed >> 24 & 1 ? seed >> 16 : 0x80 | (seed >> 20 & 0x7f));
        }
        char *copy = malloc(n ? n : 1); /* exact size, so that a sanitizer sees a byte too far */
        memcpy(copy, bytes, n);
        str s = {copy, n};
        bool good = true;
        for (size_t at = 0, before = 0; at < n; before = at) {
            good &= utf8_next(s, &at) >= 0;
            assert_in_range(at, before + 1, n);
        }
        assert_int_equal(utf8_valid(s), good);
        size_t whole = utf8_whole(s);
        assert_in_range(whole, n > 3 ? n - 3 : 0, n);
        strbuf out = {0};
        assert_int_equal(utf8_repair(s, &out, NULL), ERR_OK);
        assert_true(utf8_valid(strbuf_str(&out)));
        assert_int_equal(str_eq(strbuf_str(&out), s), good);
        strbuf_fini(&out);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(maximal_subparts),
        cmocka_unit_test(whole_prefix),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
