/* json: what is refused and where; integers beyond 64 bits; look-ups; quoting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"
#include "text/json_write.h"

enum { MAX = 1 << 26 };

static json_t *reads(str text) {
    json_t *v = NULL;
    err e;
    if (json_read(text, MAX, &v, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return v;
}

static void says(const err *e, const char *what) {
    if (str_find(str_from(e->text), str_from(what), 0) < 0)
        fail_msg("\"%s\" does not say \"%s\"", e->text, what);
}

static void values_of_every_type(void **state) {
    (void)state;
    json_t *v = reads(STR(
        " {\"s\":\"h\\u00e9\\u0000\\ud83d\\ude42\",\"i\":-5,\"r\":2.5,\"t\":true,\"f\":false,\"n\":null,\"a\":[1]}\n"));
    str s;
    uint64_t u;
    assert_true(str_eq(json_get_str(v, "s", STR("-")), STR("h\xc3\xa9\0\xf0\x9f\x99\x82")));
    assert_int_equal(json_want_str(v, "s", &s, NULL), ERR_OK);
    assert_int_equal(s.n, 8);
    assert_int_equal(json_get_int(v, "i", 7), -5);
    assert_true(json_get_num(v, "i", 7) == -5 && json_get_num(v, "r", 7) == 2.5);
    assert_true(json_get_bool(v, "t", false) && !json_get_bool(v, "f", true));
    /* missing, null, or of another type */
    static const char *const others[] = {"none", "n", "a"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_is(json_get_str(v, others[i], STR("else")), "else"));
        assert_int_equal(json_get_int(v, others[i], 7), 7);
        assert_true(json_get_num(v, others[i], 7) == 7);
        assert_true(json_get_bool(v, others[i], true) && !json_get_bool(v, others[i], false));
        err e;
        assert_int_equal(json_want_str(v, others[i], &s, &e), ERR_FORMAT);
        says(&e, others[i]);
        assert_int_equal(json_want_u64(v, others[i], 9, &u, &e), ERR_FORMAT);
        says(&e, others[i]);
    }
    double d = 7;
    bool b = true;
    err opt = {0};
    assert_true(json_opt_num(v, "n", &d, &opt) == ERR_OK && json_opt_num(v, "none", &d, &opt) == ERR_OK && d == 7);
    assert_true(json_opt_bool(v, "n", &b, &opt) == ERR_OK && json_opt_bool(NULL, "none", &b, &opt) == ERR_OK && b);
    s = STR("as it is");
    assert_true(json_opt_str(v, "n", &s, &opt) == ERR_OK && str_is(s, "as it is"));
    assert_true(json_opt_num(v, "i", &d, &opt) == ERR_OK && d == -5);
    assert_true(json_opt_bool(v, "f", &b, &opt) == ERR_OK && !b);
    assert_true(json_opt_str(v, "s", &s, &opt) == ERR_OK && s.n == 8);
    assert_int_equal(json_opt_num(v, "t", &d, &opt), ERR_FORMAT);
    says(&opt, "key \"t\" is a boolean; a number is wanted");
    assert_int_equal(json_opt_bool(v, "i", &b, &opt), ERR_FORMAT);
    says(&opt, "key \"i\" is an integer; true or false is wanted");
    assert_int_equal(json_opt_str(v, "a", &s, &opt), ERR_FORMAT);
    says(&opt, "key \"a\" is an array; a string is wanted");
    assert_true(d == -5 && !b && s.n == 8);
    assert_int_equal(json_get_int(v, "r", 7), 7); /* a real is no integer */
    assert_int_equal(json_get_int(json_object_get(v, "a"), "x", 7), 7);
    err e;
    assert_int_equal(json_want_u64(NULL, "x", 9, &u, &e), ERR_FORMAT);
    assert_int_equal(json_want_str(json_object_get(v, "a"), "x", &s, &e), ERR_FORMAT);
    says(&e, "key \"x\": there is no object");
    json_decref(v);
    static const str alone[] = {{"7", 1}, {"\"x\"", 3}, {"null", 4}, {" [ ] ", 5}};
    for (size_t i = 0; i < 4; i++)
        json_decref(reads(alone[i]));
}

static void whole_numbers_have_a_range(void **state) {
    (void)state;
    json_t *v = reads(
        STR("{\"a\":0,\"b\":100,\"c\":101,\"d\":-1,\"e\":9223372036854775807,\"f\":1.0,\"g\":9223372036854775808}"));
    uint64_t u;
    err e;
    assert_int_equal(json_want_u64(v, "a", 100, &u, &e), ERR_OK);
    assert_int_equal(u, 0);
    assert_int_equal(json_want_u64(v, "b", 100, &u, &e), ERR_OK);
    assert_int_equal(u, 100);
    assert_int_equal(json_want_u64(v, "e", UINT64_MAX, &u, &e), ERR_OK);
    assert_true(u == INT64_MAX);
    assert_int_equal(json_want_u64(v, "c", 100, &u, &e), ERR_FORMAT);
    assert_string_equal(e.text, "key \"c\" is 101; a whole number from 0 to 100 is wanted");
    static const char *const bad[] = {"d", "f", "g"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(json_want_u64(v, bad[i], UINT64_MAX, &u, &e), ERR_FORMAT);
    json_decref(v);
}

/* Transformers writes int(1e30) for "no limit": the text must parse, the other integers must stay integers. */
static void integers_beyond_64_bits_are_real(void **state) {
    (void)state;
    json_t *v = reads(STR("{\"model_max_length\": 1000000000000000019884624838656, \"vocab_size\": 151936,"
                          "\"max\": 9223372036854775807, \"min\": -9223372036854775808,"
                          "\"over\": 9223372036854775808, \"under\":-9223372036854775809,"
                          "\"text\": \"1000000000000000019884624838656\", \"exact\": 9007199254740993}"));
    assert_true(json_get_num(v, "model_max_length", 0) == 1e30);
    assert_int_equal(json_get_int(v, "model_max_length", -1), -1);
    assert_int_equal(json_get_int(v, "vocab_size", 0), 151936);
    assert_true(json_get_int(v, "max", 0) == INT64_MAX);
    assert_true(json_get_int(v, "min", 0) == INT64_MIN);
    assert_true(json_get_num(v, "over", 0) == 0x1p63);
    assert_true(json_get_num(v, "under", 0) == -0x1p63);
    assert_true(str_is(json_get_str(v, "text", STR("")), "1000000000000000019884624838656"));
    assert_true(json_get_int(v, "exact", 0) == 9007199254740993);
    json_decref(v);
}

static void errors_name_the_byte(void **state) {
    (void)state;
#define BIG "99999999999999999999"
    const struct {
        str text;
        size_t at;
        const char *what;
    } cases[] = {
        {STR(""), 0, "end of file"},
        {STR("  "), 2, "end of file"},
        {STR("[1,2"), 4, "end of file"},
        {STR("\"ab"), 3, "premature end"},
        {STR("\"ab\\\""), 5, "premature end"},
        {STR("[1] x"), 4, "end of file expected"},
        {STR("[1] [2]"), 4, "end of file expected"},
        {STR("[1 2]"), 3, "']' expected"},
        {STR("[1,]"), 3, "unexpected token"},
        {STR("[tru]"), 1, "invalid token"},
        {STR("[01]"), 1, "invalid token"},
        {STR("[1e999]"), 1, "real number overflow"},
        {STR("{\"a\":1,\"a\":2}"), 7, "duplicate object key"},
        {STR("{\"a\":1, \"b\":{\"c\":1,\"\\u0063\":2}}"), 19, "duplicate object key"},
        {STR("{\"a\\u0000\":1}"), 1, "NUL byte in object key"},
        {STR("{\"a\" 1}"), 5, "':' expected"},
        {STR("{1:2}"), 1, "string or '}' expected"},
        {STR("[\"ab\ncd\"]"), 1, "unexpected newline"},
        {STR("[\"a\\qd\"]"), 1, "invalid escape"},
        {STR("[\"\\ud800\"]"), 1, "invalid Unicode"},
        {STR("[\"ab\xff\"]"), 4, "unable to decode byte 0xff"},
        {STR("[\"ab\xed\xa0\x80\"]"), 4, "unable to decode"},
        {STR("\xef\xbb\xbf[]"), 0, "invalid token"},
        {STR("[" BIG ",x]"), 22, "invalid token"},
        {STR("[" BIG ", -" BIG ",  {]"), 48, "string or '}' expected"},
        {STR("[" BIG "," BIG), 42, "end of file"},
        {STR("{\"a\":" BIG ",\"a\":1}"), 26, "duplicate object key"},
        {STR("[\"" BIG "\",x]"), 24, "invalid token"},
        {STR("[0" BIG "]"), 1, "invalid token"},
        {STR("[" BIG " " BIG "]"), 22, "']' expected"},
        {STR("nan"), 0, "invalid token"},
        {STR("// a comment\n1"), 0, "invalid token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *v = NULL;
        err e;
        if (json_read(cases[i].text, MAX, &v, &e) != ERR_FORMAT)
            fail_msg("case %zu is accepted", i);
        assert_null(v);
        char where[40];
        snprintf(where, sizeof where, "at byte %zu: ", cases[i].at);
        if (!str_starts(str_from(e.text), str_from(where)))
            fail_msg("case %zu: %s; expected %s", i, e.text, where);
        says(&e, cases[i].what);
    }
}

static void bytes_nesting_and_values_are_limited(void **state) {
    (void)state;
    json_t *v = NULL;
    err e;
    assert_int_equal(json_read(STR("[1,2]"), 4, &v, &e), ERR_LIMIT);
    says(&e, "JSON of 5 bytes; at most 4 are read");
    for (size_t depth = 511; depth <= 514; depth++) {
        char text[3000];
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        if (depth <= 512) {
            json_decref(reads((str){text, 2 * depth}));
        } else {
            assert_int_equal(json_read((str){text, 2 * depth}, MAX, &v, &e), ERR_LIMIT);
            says(&e, "at byte 512: JSON nested deeper than 512 levels");
        }
    }
    /* brackets in strings do not count, and neither do those that were closed */
    strbuf b = {0};
    strbuf_addc(&b, '[', NULL);
    for (int i = 0; i < 2000; i++)
        strbuf_add(&b, STR("[],\"[[{\\\"[\","), NULL);
    strbuf_add(&b, STR("0]"), NULL);
    json_decref(reads(strbuf_str(&b)));
    strbuf_fini(&b);
    /* a million deep: refused before the parser recurses */
    for (int i = 0; i < 1000000; i++)
        strbuf_addc(&b, i % 2 ? '[' : '{', NULL);
    assert_int_equal(json_read(strbuf_str(&b), MAX, &v, &e), ERR_LIMIT);
    strbuf_fini(&b);
    strbuf_addc(&b, '[', NULL);
    for (int i = 0; i < 1 << 23; i++)
        strbuf_add(&b, STR("1,"), NULL);
    strbuf_add(&b, STR("1]"), NULL);
    assert_int_equal(json_read(strbuf_str(&b), MAX, &v, &e), ERR_LIMIT);
    says(&e, "keys and values");
    assert_null(v);
    strbuf_fini(&b);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    str text = STR("{\"model_max_length\": 1000000000000000019884624838656, \"a\": [true, null, -1.5e3, "
                   "\"\\u00e9\\n\"], \"b\": {}}");
    for (size_t n = 0; n < text.n; n++) {
        char *copy = malloc(n ? n : 1); /* of exactly this size: a sanitizer sees a read past it */
        memcpy(copy, text.p, n);
        json_t *v = NULL;
        err e;
        assert_int_equal(json_read((str){copy, n}, MAX, &v, &e), ERR_FORMAT);
        says(&e, "at byte ");
        free(copy);
    }
    json_decref(reads(text));
}

static void quoting(void **state) {
    (void)state;
    const struct {
        str raw, quoted;
    } cases[] = {
        {STR(""), STR("\"\"")},
        {STR("plain"), STR("\"plain\"")},
        {STR("a\"b\\c/d"), STR("\"a\\\"b\\\\c/d\"")},
        {STR("\b\t\n\f\r"), STR("\"\\b\\t\\n\\f\\r\"")},
        {STR("\0\x1f\x7f"), STR("\"\\u0000\\u001f\x7f\"")},
        {STR("h\xc3\xa9 \xf0\x9f\x99\x82"), STR("\"h\xc3\xa9 \xf0\x9f\x99\x82\"")},
        {STR("a\xff"
             "b\xc3"),
         STR("\"a\xef\xbf\xbd"
             "b\xef\xbf\xbd\"")},
        {STR("\xed\xa0\x80"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strbuf b = {0};
        strbuf_add(&b, STR("x="), NULL);
        assert_int_equal(json_quote(cases[i].raw, &b, NULL), ERR_OK);
        if (!str_eq(str_sub(strbuf_str(&b), 2, b.n), cases[i].quoted))
            fail_msg("case %zu: %.*s", i, (int)b.n, b.p);
        strbuf_fini(&b);
    }
    strbuf b = {.max = 8};
    strbuf_add(&b, STR("keep"), NULL);
    assert_int_equal(json_quote(STR("too\nlong"), &b, NULL), ERR_LIMIT);
    assert_true(str_is(strbuf_str(&b), "keep"));
    strbuf_fini(&b);
}

static void written_keys_hold_any_byte(void **state) {
    (void)state;
    const str keys[] = {STR("b"), STR(""), STR("\0"), STR("a\0c"), STR("a")};
    json_t *v = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(json_object_setn_new(v, keys[i].p, keys[i].n, json_integer((json_int_t)i)), 0);
    strbuf b = {0};
    assert_int_equal(json_write(v, 0, &b, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&b), "{\"b\":0,\"\":1,\"\\u0000\":2,\"a\\u0000c\":3,\"a\":4}"));
    strbuf_fini(&b);
    json_decref(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(whole_numbers_have_a_range),
        cmocka_unit_test(integers_beyond_64_bits_are_real),
        cmocka_unit_test(errors_name_the_byte),
        cmocka_unit_test(bytes_nesting_and_values_are_limited),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(quoting),
        cmocka_unit_test(written_keys_hold_any_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
