/* str: slices with NULs, ends and empties; a buffer that keeps its contents when it cannot grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"

static void equality_is_of_bytes(void **state) {
    (void)state;
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_eq((str){NULL, 0}, STR("")));
    assert_true(str_is(STR("abc"), "abc"));
    assert_false(str_is(STR("abc\0"), "abc"));
    assert_true(str_eq(str_from(NULL), STR("")));
    assert_int_equal(str_from("four").n, 4);
}

static void starts_and_ends(void **state) {
    (void)state;
    assert_true(str_starts(STR("token_embd.weight"), STR("token_")));
    assert_true(str_ends(STR("token_embd.weight"), STR(".weight")));
    assert_false(str_starts(STR("to"), STR("token")));
    assert_false(str_ends(STR("to"), STR("into")));
    assert_true(str_starts(STR("x"), STR("")) && str_ends(STR("x"), STR("")));
    assert_true(str_starts((str){NULL, 0}, STR("")) && str_ends((str){NULL, 0}, (str){NULL, 0}));
}

static void hex_digits_are_22_bytes(void **state) {
    static const char digits[] = "0123456789abcdefABCDEF";
    (void)state;
    for (int ch = -200; ch < 300; ch++) {
        const char *at = ch > 0 && ch < 128 ? strchr(digits, ch) : NULL;
        int want = !at ? -1 : (int)(at - digits) - (at - digits < 16 ? 0 : 6);
        assert_int_equal(str_hex_digit(ch), want);
    }
}

static void order_is_bytewise_then_by_length(void **state) {
    (void)state;
    const str up[] = {STR(""),  STR("\0"),   STR("A"),    STR("AA"),  STR("B"),
                      STR("a"), STR("\x7f"), STR("\x80"), STR("\xff")};
    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        for (size_t j = 0; j < sizeof up / sizeof *up; j++) {
            int c = str_cmp(up[i], up[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
}

/* Every slice of a small alphabet, every needle of it, every start: against the plain definition. */
static void find_equals_its_definition(void **state) {
    (void)state;
    int found = 0;
    for (unsigned hay_bits = 0; hay_bits < 256; hay_bits++)
        for (unsigned needle_bits = 0; needle_bits < 8; needle_bits++)
            for (size_t n = 0; n <= 3; n++)
                for (size_t from = 0; from <= 9; from++) {
                    char hay[8], needle[3];
                    for (int i = 0; i < 8; i++)
                        hay[i] = (char)(hay_bits >> i & 1);
                    for (int i = 0; i < 3; i++)
                        needle[i] = (char)(needle_bits >> i & 1);
                    ptrdiff_t want = -1;
                    for (size_t at = from; want < 0 && at + n <= 8; at++)
                        if (memcmp(hay + at, needle, n) == 0)
                            want = (ptrdiff_t)at;
                    assert_int_equal(str_find((str){hay, 8}, (str){needle, n}, from), want);
                    found += want >= 0;
                }
    assert_true(found > 10000);
    assert_int_equal(str_find((str){NULL, 0}, STR(""), 0), 0);
    assert_int_equal(str_find((str){NULL, 0}, STR("a"), 0), -1);
    assert_int_equal(str_find(STR("abc"), STR("c"), SIZE_MAX), -1);
}

static void sub_is_clamped(void **state) {
    (void)state;
    assert_true(str_is(str_sub(STR("abcdef"), 2, 4), "cd"));
    assert_true(str_is(str_sub(STR("abc"), 1, SIZE_MAX), "bc"));
    assert_int_equal(str_sub(STR("abc"), 5, 9).n, 0);
    assert_int_equal(str_sub(STR("abc"), 2, 1).n, 0);
    assert_int_equal(str_sub((str){NULL, 0}, 0, 5).n, 0);
}

static void hash_tells_neighbours_apart(void **state) {
    (void)state;
    enum { N = 4096 };
    static uint64_t seen[N];
    for (int i = 0; i < N; i++) {
        char name[32];
        str s = {name, (size_t)snprintf(name, sizeof name, "blk.%d.attn_q.weight", i)};
        seen[i] = str_hash(s);
        for (int j = 0; j < i; j++)
            assert_true(seen[j] != seen[i]);
    }
    assert_true(str_hash(STR("a\0")) != str_hash(STR("a")));
    assert_true(str_hash((str){NULL, 0}) == str_hash(STR("")));
}

static void numbers_have_few_digits(void **state) {
    (void)state;
    static const struct {
        double x;
        int digits_min;
        const char *wide, *narrow;
    } row[] = {
        {0.1, 1, "0.1", "0.1"},
        {100, 1, "1e+02", "1e+02"},
        {100, 6, "100", "100"},
        {1.0 / 3, 1, "0.3333333333333333", "0.33333334"},
        {-5e-324, 9, "-4.94065646e-324", "-0"},
        {0x1.fffffep127, 6, "3.4028234663852886e+38", "3.4028235e+38"},
        {-0.0, 1, "-0", "-0"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        strbuf wide = {0}, narrow = {0};
        assert_int_equal(strbuf_add_real(&wide, row[i].x, row[i].digits_min, NULL), ERR_OK);
        assert_int_equal(strbuf_add_real32(&narrow, (float)row[i].x, row[i].digits_min, NULL), ERR_OK);
        if (!str_is(strbuf_str(&wide), row[i].wide) || !str_is(strbuf_str(&narrow), row[i].narrow))
            fail_msg("row %zu: %.*s, %.*s", i, STR_ARG(strbuf_str(&wide)), STR_ARG(strbuf_str(&narrow)));
        strbuf_fini(&wide);
        strbuf_fini(&narrow);
    }
}

static void numbers_keep_every_bit(void **state) {
    (void)state;
    strbuf text = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t u = rng_u64(1, RNG_TEST, i);
        double x, y;
        memcpy(&x, &u, sizeof x);
        if (x - x != 0)
            continue;
        text.n = 0;
        assert_int_equal(strbuf_add_real(&text, x, 1, NULL), ERR_OK);
        strbuf_addc(&text, 0, NULL);
        y = strtod(text.p, NULL);
        assert_memory_equal(&x, &y, sizeof x);
    }
    strbuf_fini(&text);
}

static void buffer_grows_and_formats(void **state) {
    (void)state;
    strbuf b = {0};
    err e;
    char want[3000];
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(i % 2 ? strbuf_addc(&b, 'x', &e) : strbuf_add(&b, STR("yz\0"), &e), ERR_OK);
        if (i % 2)
            want[i / 2 * 4 + 3] = 'x';
        else
            memcpy(want + i / 2 * 4, "yz\0", 3);
    }
    assert_int_equal(b.n, 2000);
    assert_memory_equal(b.p, want, 2000);
    assert_int_equal(strbuf_addf(&b, &e, "%05d|%s", 42, "tail"), ERR_OK);
    assert_true(str_ends(strbuf_str(&b), STR("00042|tail")));
    assert_int_equal(b.n, 2010);
    assert_int_equal(strbuf_addf(&b, &e, "%s", ""), ERR_OK);
    assert_int_equal(b.n, 2010);
    strbuf_fini(&b);
    assert_int_equal(strbuf_add(&b, (str){NULL, 0}, &e), ERR_OK);
    assert_int_equal(strbuf_addc(&b, 'u', &e), ERR_OK); /* usable after fini */
    assert_true(str_is(strbuf_str(&b), "u"));
    strbuf_fini(&b);
}

static void buffer_keeps_to_its_cap(void **state) {
    (void)state;
    strbuf b = {.max = 10};
    err e = {0};
    assert_int_equal(strbuf_add(&b, STR("12345678"), &e), ERR_OK);
    assert_int_equal(strbuf_add(&b, STR("abc"), &e), ERR_LIMIT);
    assert_string_equal(e.text, "text would grow past 10 bytes");
    assert_int_equal(strbuf_addf(&b, &e, "%d", 123), ERR_LIMIT);
    assert_true(str_is(strbuf_str(&b), "12345678"));
    assert_int_equal(strbuf_add(&b, STR("ab"), &e), ERR_OK);
    assert_int_equal(strbuf_addc(&b, '!', &e), ERR_LIMIT);
    assert_true(str_is(strbuf_str(&b), "12345678ab"));
    strbuf_fini(&b);
    assert_int_equal(b.max, 10);
    b = (strbuf){0};
    assert_int_equal(strbuf_add(&b, (str){"x", SIZE_MAX}, &e), ERR_LIMIT); /* refused before it is read */
    assert_null(b.p);
}

static void formatting_a_text_up_to_the_cap(void **state) {
    (void)state;
    strbuf b = {.max = 4};
    err e;
    assert_int_equal(strbuf_addf(&b, &e, "%s", "abcd"), ERR_OK); /* the NUL of printf is not part of the text */
    assert_true(str_is(strbuf_str(&b), "abcd"));
    strbuf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_of_bytes),        cmocka_unit_test(starts_and_ends),
        cmocka_unit_test(hex_digits_are_22_bytes),     cmocka_unit_test(order_is_bytewise_then_by_length),
        cmocka_unit_test(find_equals_its_definition),  cmocka_unit_test(sub_is_clamped),
        cmocka_unit_test(hash_tells_neighbours_apart), cmocka_unit_test(numbers_have_few_digits),
        cmocka_unit_test(numbers_keep_every_bit),      cmocka_unit_test(buffer_grows_and_formats),
        cmocka_unit_test(buffer_keeps_to_its_cap),     cmocka_unit_test(formatting_a_text_up_to_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
