/* stops: what is let through, when, and that it does not depend on how the stream is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "gen/stops.h"
#include "text/utf8.h"

typedef struct {
    strbuf all;
    size_t n_pieces;
} collector;

static void collect(void *ctx, str text) {
    collector *c = ctx;
    assert_true(text.n > 0);
    assert_true(utf8_valid(text));
    assert_int_equal(strbuf_add(&c->all, text, NULL), ERR_OK);
    c->n_pieces++;
}

static void begin(stops *f, collector *c, const str *stop, size_t n) {
    *c = (collector){0};
    assert_int_equal(stops_init(f, stop, n, collect, c, NULL), ERR_OK);
}

#define assert_text(c, literal) assert_true(str_is(strbuf_str(&(c)->all), literal))

static void test_plain(void **state) {
    (void)state;
    stops f;
    collector c;
    begin(&f, &c, NULL, 0);
    assert_false(stops_feed(&f, STR("Hello")));
    assert_text(&c, "Hello"); /* at once: nothing is uncertain */
    assert_false(stops_feed(&f, (str){0}));
    assert_false(stops_feed(&f, STR(" there")));
    stops_end(&f);
    assert_text(&c, "Hello there");
    strbuf_fini(&c.all);
}

static void test_characters(void **state) {
    (void)state;
    stops f;
    collector c;
    begin(&f, &c, NULL, 0);
    stops_feed(&f, STR("a\xF0\x9F"));
    assert_text(&c, "a");
    stops_feed(&f, STR("\x8C"));
    assert_text(&c, "a");
    stops_feed(&f, STR("\xB1z"));
    assert_text(&c, "a\xF0\x9F\x8C\xB1z");
    stops_feed(&f, STR("\xFF!"));
    assert_text(&c, "a\xF0\x9F\x8C\xB1z\xEF\xBF\xBD!");
    stops_feed(&f, STR("\xE2\x82")); /* the stream ends inside a character */
    stops_end(&f);
    assert_text(&c, "a\xF0\x9F\x8C\xB1z\xEF\xBF\xBD!\xEF\xBF\xBD");
    strbuf_fini(&c.all);
}

static void test_held_back(void **state) {
    (void)state;
    const str stop[] = {STR("\nUser:")};
    stops f;
    collector c;
    begin(&f, &c, stop, 1);
    stops_feed(&f, STR("Yes.\nUs"));
    assert_text(&c, "Yes."); /* "\nUs" may become the stop string */
    stops_feed(&f, STR("ually\n"));
    assert_text(&c, "Yes.\nUsually"); /* it did not */
    assert_true(stops_feed(&f, STR("User: and more")));
    stops_feed(&f, STR("ignored"));
    stops_end(&f);
    assert_text(&c, "Yes.\nUsually");
    strbuf_fini(&c.all);

    begin(&f, &c, stop, 1);
    stops_feed(&f, STR("end\nUser"));
    stops_end(&f); /* the stream is over: what was kept was text after all */
    assert_text(&c, "end\nUser");
    strbuf_fini(&c.all);
}

static void test_first_complete(void **state) {
    (void)state;
    stops f;
    collector c;
    /* "bc" is complete before "abcd" could be. */
    const str overlap[] = {STR("abcd"), STR("bc")};
    begin(&f, &c, overlap, 2);
    assert_true(stops_feed(&f, STR("xabcd")));
    stops_end(&f);
    assert_text(&c, "xa");
    strbuf_fini(&c.all);
    /* Both are complete at the same byte: the one that began first. */
    const str nested[] = {STR("bc"), STR("abc")};
    begin(&f, &c, nested, 2);
    assert_true(stops_feed(&f, STR("xabc")));
    stops_end(&f);
    assert_text(&c, "x");
    strbuf_fini(&c.all);
    /* A border: after "aab" + "aa" a match of "aabaac" goes on with its own beginning. */
    const str border[] = {STR("aabaac")};
    begin(&f, &c, border, 1);
    assert_true(stops_feed(&f, STR("aabaabaac")));
    stops_end(&f);
    assert_text(&c, "aab");
    strbuf_fini(&c.all);
}

static void test_stop_inside_character(void **state) {
    (void)state;
    /* A stop string may begin with the tail of a character; half of it is left. */
    const str stop[] = {STR("\x82\xAC!")};
    stops f;
    collector c;
    begin(&f, &c, stop, 1);
    assert_true(stops_feed(&f, STR("5 \xE2\x82\xAC!")));
    stops_end(&f);
    assert_text(&c, "5 \xEF\xBF\xBD");
    strbuf_fini(&c.all);
}

/* Where the text must end, by trying every end and every stop string. */
static size_t cut_of(str text, const str *stop, size_t n_stop) {
    for (size_t end = 1; end <= text.n; end++) {
        size_t longest = 0;
        for (size_t s = 0; s < n_stop; s++)
            if (stop[s].n > longest && str_ends(str_sub(text, 0, end), stop[s]))
                longest = stop[s].n;
        if (longest > 0)
            return end - longest;
    }
    return text.n;
}

static void test_any_cutting(void **state) {
    (void)state;
    static const char alphabet[] = "ab\xE2\x82\xAC\xFF";
    uint64_t at = 0;
    for (int trial = 0; trial < 4000; trial++) {
        char text[64], word[3][6];
        size_t n = rng_below(7, RNG_TEST, at++, sizeof text), n_stop = rng_below(7, RNG_TEST, at++, 4);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[rng_below(7, RNG_TEST, at++, 6)];
        str stop[3];
        for (size_t s = 0; s < n_stop; s++) {
            stop[s] = (str){word[s], 1 + rng_below(7, RNG_TEST, at++, 6)};
            for (size_t i = 0; i < stop[s].n; i++)
                word[s][i] = alphabet[rng_below(7, RNG_TEST, at++, 6)];
        }
        stops f;
        collector c;
        begin(&f, &c, stop, n_stop);
        for (size_t i = 0; i < n;) {
            size_t k = 1 + rng_below(7, RNG_TEST, at++, 5);
            k = k < n - i ? k : n - i;
            stops_feed(&f, (str){text + i, k});
            i += k;
        }
        stops_end(&f);
        strbuf want = {0};
        size_t cut = cut_of((str){text, n}, stop, n_stop);
        assert_int_equal(utf8_repair((str){text, cut}, &want, NULL), ERR_OK);
        assert_true(str_eq(strbuf_str(&c.all), strbuf_str(&want)));
        assert_int_equal(f.hit, cut < n);
        strbuf_fini(&want);
        strbuf_fini(&c.all);
    }
}

static void test_long(void **state) {
    (void)state;
    char word[STOPS_BYTES_MAX], text[5000];
    memset(word, 'a', sizeof word);
    memset(text, 'a', sizeof text);
    word[sizeof word - 1] = 'b';
    const str stop[] = {{word, sizeof word}};
    stops f;
    collector c;
    begin(&f, &c, stop, 1);
    assert_false(stops_feed(&f, (str){text, sizeof text})); /* longer than the filter's buffer */
    assert_int_equal(c.all.n, sizeof text - (STOPS_BYTES_MAX - 1));
    assert_true(stops_feed(&f, STR("b")));
    stops_end(&f);
    assert_int_equal(c.all.n, sizeof text - (STOPS_BYTES_MAX - 1));
    strbuf_fini(&c.all);
}

static void test_refused(void **state) {
    (void)state;
    stops f;
    err e;
    str many[STOPS_MAX + 1];
    for (size_t i = 0; i <= STOPS_MAX; i++)
        many[i] = STR("x");
    assert_int_equal(stops_init(&f, many, STOPS_MAX + 1, NULL, NULL, &e), ERR_USAGE);
    assert_int_equal(stops_init(&f, many, STOPS_MAX, NULL, NULL, &e), ERR_OK);
    many[1] = (str){0};
    assert_int_equal(stops_init(&f, many, 2, NULL, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "stop string 2"));
    static const char big[STOPS_BYTES_MAX + 1];
    many[0] = (str){big, sizeof big};
    assert_int_equal(stops_init(&f, many, 1, NULL, NULL, &e), ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_first_complete),
        cmocka_unit_test(test_stop_inside_character),
        cmocka_unit_test(test_any_cutting),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
