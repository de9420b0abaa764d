/* The patterns matched without an engine cut as PCRE2 cuts, at every place of many texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "text/utf8.h"
#include "tok/pretok.h"
#include "tok/rx_known.h"

static const char *const lists[] = {"gpt2", "llama3", "qwen2"};
static size_t n_told, n_asked;

/* `slow`: the same pattern in a group, which is not recognised. */
static void compare(rx_known k, const rx *slow, rx_work *w, str s) {
    for (size_t from = 0; from < s.n; from++) {
        if (((unsigned char)s.p[from] & 0xc0) == 0x80)
            continue;
        bool found;
        size_t start, end, got = rx_known_end(k, s, from);
        n_asked++;
        if (!got)
            continue;
        n_told++;
        assert_int_equal(rx_find(slow, w, s, from, &found, &start, &end, NULL), ERR_OK);
        if (!found || start != from || end != got)
            fail_msg("pattern %d at byte %zu of \"%.*s\": ends at %zu, PCRE2: %zu to %zu", k, from, STR_ARG(s), got,
                     start, end);
    }
}

static rx *open_slow(const char *list, rx_known *k) {
    char text[4096];
    rx *r;
    const char *pattern = pretok_pattern(list);
    *k = rx_known_of(str_from(pattern));
    assert_int_not_equal(*k, RX_UNKNOWN);
    assert_true(strlen(pattern) + 10 < sizeof text);
    text[0] = 0;
    strncat(text, "(?:", 4);
    strncat(text, pattern, sizeof text - 10);
    strncat(text, ")", 2);
    assert_int_equal(rx_known_of(str_from(text)), RX_UNKNOWN);
    assert_int_equal(rx_open(&r, str_from(text), NULL), ERR_OK);
    return r;
}

/* All texts of up to five of these, which stand for every class and every beginning of a contraction. */
static void all_short_texts(void **state) {
    (void)state;
    static const char *const part[] = {"a", "S",  "7", " ",        "\n",       "\t",
                                       "'", "re", "-", "\xc3\xa9", "\xc2\xa0", "\xc5\xbf"};
    enum { N = sizeof part / sizeof *part };
    rx_work *w;
    assert_int_equal(rx_work_open(&w, NULL), ERR_OK);
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
        rx_known k;
        rx *slow = open_slow(lists[l], &k);
        for (size_t length = 1, all = N; length <= 4; length++, all *= N)
            for (size_t i = 0; i < all; i++) {
                strbuf b = {0};
                for (size_t j = 0, x = i; j < length; j++, x /= N)
                    assert_int_equal(strbuf_add(&b, str_from(part[x % N]), NULL), ERR_OK);
                compare(k, slow, w, strbuf_str(&b));
                strbuf_fini(&b);
            }
        rx_close(slow);
    }
    rx_work_close(w);
}

static void random_texts(void **state) {
    (void)state;
    rx_work *w;
    uint64_t x = 3;
    assert_int_equal(rx_work_open(&w, NULL), ERR_OK);
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
        rx_known k;
        rx *slow = open_slow(lists[l], &k);
        n_told = n_asked = 0;
        for (int i = 0; i < 1500; i++) {
            char text[4 * 60];
            size_t n = 0;
            for (int j = 0; j < 60; j++) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                uint32_t r = (uint32_t)(x >> 33), high = r >> 8;
                int32_t cp = r % 16 == 0  ? (int32_t)(high % 0x2000)
                             : r % 16 < 3 ? (int32_t)(high % 128)
                             : r % 16 < 5 ? "'s'RE'vll D"[high % 11]
                             : r % 16 < 9 ? " \n\r\t 059"[high % 8]
                                          : 'a' + (int32_t)(high % 26);
                n += utf8_put(cp, text + n);
            }
            compare(k, slow, w, (str){text, n});
        }
        assert_true(n_told > n_asked / 2); /* it knows most of the time */
        rx_close(slow);
    }
    rx_work_close(w);
}

/* In English it always knows. */
static void ascii_is_known(void **state) {
    (void)state;
    str s = STR("It's \"the\" 12345th (?) of\tJune,\r\n\r\n  HE'LL say so: 'tis 3.14 -- \n\n\tindeed.  ");
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (size_t from = 0; from < s.n; from++)
            assert_true(rx_known_end(rx_known_of(str_from(pretok_pattern(lists[l]))), s, from) > from);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_short_texts),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(ascii_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
