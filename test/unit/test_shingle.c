/* shingle: words, sets against a plain search, sketches that estimate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "text/shingle.h"

static double similarity(const char *a, const char *b) {
    shingle_set x = {0}, y = {0};
    assert_int_equal(shingle_set_of(str_from(a), &x, NULL), ERR_OK);
    assert_int_equal(shingle_set_of(str_from(b), &y, NULL), ERR_OK);
    double s = shingle_jaccard(&x, &y);
    assert_true(shingle_jaccard(&y, &x) == s);
    shingle_set_fini(&x);
    shingle_set_fini(&y);
    return s;
}

static void words_are_what_the_header_says(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        double want;
    } cases[] = {
        {"", "", 0},
        {"...", "!?", 0},
        {"one two three four five", "ONE, two; (three) \"four\"\nfive.", 1},
        {"one two three four five", "one two three four six", 0},
        {"one two three four five six", "one two three four five seven", 1.0 / 3},
        {"one two", "One -- Two!", 1}, /* fewer than five: all of them */
        {"one two", "one two three", 0},
        {"a b c d e a b c d e", "a b c d e", 1.0 / 5}, /* a set: once each */
        {"caf\xc3\xa9 a b c d", "CAF\xc3\xa9 a b c d", 1},
        {"caf\xc3\xa9 a b c d", "cafe a b c d", 0},
        {"a\xc2\xa0"
         "b c d e",
         "a b c d e", 1}, /* no-break space */
        {"a\xe2\x80\x94"
         "b c d e",
         "a b c d e", 1}, /* em dash */
        {"a b\xff"
         "c d e",
         "a b c d e", 1},                                                /* ill-formed */
        {"\xe4\xb8\x80\xe4\xba\x8c\xe4\xb8\x89\xe5\x9b\x9b\xe4\xba\x94", /* one to five in Chinese: five words */
         "\xe4\xb8\x80 \xe4\xba\x8c \xe4\xb8\x89 \xe5\x9b\x9b \xe4\xba\x94", 1},
        {"x\xe4\xb8\x80y z w", "x \xe4\xb8\x80 y z w", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (similarity(cases[i].a, cases[i].b) != cases[i].want)
            fail_msg("case %zu: %g", i, similarity(cases[i].a, cases[i].b));
    shingle_sketch s;
    assert_false(shingle_sketch_of(STR(" .,;\n"), &s));
    assert_true(shingle_sketch_of(STR("x"), &s));
}

/* n words of a small vocabulary into text; some of them changed. */
static void make_text(uint64_t seed, size_t n, uint64_t vocabulary, uint64_t change_seed, double change, strbuf *out) {
    out->n = 0;
    for (size_t i = 0; i < n; i++) {
        bool changed = change_seed && rng_f64(change_seed, RNG_TEST, i) < change;
        uint64_t word = rng_below(changed ? change_seed + 77 : seed, RNG_TEST, i, vocabulary);
        assert_int_equal(strbuf_addf(out, NULL, "w%d ", (int)word), ERR_OK);
    }
}

/* The words' numbers, five in a row, compared pair by pair. */
static double plain_similarity(const char *a, const char *b) {
    enum { MOST = 600 };
    int words[2][MOST];
    size_t n[2] = {0, 0}, both = 0, either = 0;
    const char *texts[2] = {a, b};
    for (int t = 0; t < 2; t++)
        for (const char *p = texts[t]; *p; p = strchr(p, ' ') + 1) {
            int x = 0;
            for (const char *d = p + 1; *d != ' '; d++)
                x = 10 * x + (*d - '0');
            words[t][n[t]++] = x;
        }
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i + 5 <= n[t]; i++) {
            bool earlier = false, other = false;
            for (size_t k = 0; k < i; k++)
                earlier |= memcmp(&words[t][k], &words[t][i], 5 * sizeof(int)) == 0;
            for (size_t k = 0; k + 5 <= n[1 - t]; k++)
                other |= memcmp(&words[1 - t][k], &words[t][i], 5 * sizeof(int)) == 0;
            both += !earlier && other && t == 0;
            either += !earlier && (t == 0 || !other);
        }
    return either ? (double)both / (double)either : 0;
}

static void similarity_equals_plain_search(void **state) {
    (void)state;
    strbuf a = {0}, b = {0};
    int between = 0;
    for (uint64_t i = 1; i <= 400; i++) {
        size_t n = 5 + (size_t)rng_below(1, RNG_TEST, i, 200);
        uint64_t vocabulary = 2 + rng_below(2, RNG_TEST, i, 300);
        make_text(i, n, vocabulary, 0, 0, &a);
        make_text(i, n, vocabulary, 1000 + i, 0.2 * rng_f64(3, RNG_TEST, i), &b);
        assert_int_equal(strbuf_addc(&a, 0, NULL), ERR_OK);
        assert_int_equal(strbuf_addc(&b, 0, NULL), ERR_OK);
        double want = plain_similarity(a.p, b.p), got = similarity(a.p, b.p);
        if (want != got)
            fail_msg("text %d: %g, not %g", (int)i, got, want);
        between += want > 0.1 && want < 0.9;
    }
    assert_true(between > 100);
    strbuf_fini(&a);
    strbuf_fini(&b);
}

/* Sketches are unbiased and vary as they should; small sets vary more. */
static void sketches_estimate(void **state) {
    (void)state;
    static const struct {
        size_t words;
        double bound; /* of the root mean square error */
    } sizes[] = {{20, 0.13}, {60, 0.075}, {300, 0.05}, {3000, 0.045}};
    strbuf a = {0}, b = {0};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        double sum = 0, square = 0;
        int n = 0;
        for (uint64_t i = 1; i <= 300; i++, n++) {
            shingle_sketch x, y;
            make_text(i, sizes[k].words, 5000, 0, 0, &a);
            make_text(i, sizes[k].words, 5000, 2000 + i, 0.06, &b);
            assert_true(shingle_sketch_of(strbuf_str(&a), &x) && shingle_sketch_of(strbuf_str(&b), &y));
            assert_int_equal(strbuf_addc(&a, 0, NULL), ERR_OK);
            assert_int_equal(strbuf_addc(&b, 0, NULL), ERR_OK);
            double s = similarity(a.p, b.p), expected = s + (1 - s) / 256;
            double error = (double)shingle_agree(&x, &y) / SHINGLE_BINS - expected;
            sum += error;
            square += error * error;
        }
        if (square / n > sizes[k].bound * sizes[k].bound || sum / n > 0.01 || sum / n < -0.01)
            fail_msg("%zu words: bias %g, mean square error %g", sizes[k].words, sum / n, square / n);
    }
    strbuf_fini(&a);
    strbuf_fini(&b);
}

/* The same bytes on every machine: a digest of many sketches. */
static void sketches_never_change(void **state) {
    (void)state;
    strbuf a = {0};
    hash_state *h;
    assert_int_equal(hash_open(&h, NULL), ERR_OK);
    for (uint64_t i = 1; i <= 200; i++) {
        shingle_sketch x;
        make_text(i, (size_t)i, 50, 0, 0, &a);
        assert_true(shingle_sketch_of(strbuf_str(&a), &x));
        hash_add(h, x.byte, sizeof x.byte);
    }
    char hex[65];
    hash_hex(hash_close(h), hex);
    assert_string_equal(hex, "620b8c8539f490d7b2abbf9b0c68bf2b4beaab549c1cd8ae82cd0c31a6b97b5a");
    strbuf_fini(&a);
}

/* Words of every length at every distance from the end, separators of one, two and three bytes, none, several. */
static void odd_texts_never_change(void **state) {
    (void)state;
    static const char *const parts[] = {
        "a",
        "Bc",
        "def",
        "ghijklm",
        "nopqrstu",
        "VWXYZ0123",
        "a12345678901234",
        "\xc3\xa9t\xc3\xa9",
        " ",
        " ",
        " ",
        ", ",
        "\n\n",
        "\xc2\xa0",
        "\xe2\x80\x94",
        "\xff",
        "\t",
        "-",
        "\xe4\xb8\x80",
        "\xe0\xb8\x81",
        "\xf0\x9f\xa7\x80",
        "\xc3",
        "x\xcc\x81",
        "0",
    };
    strbuf a = {0};
    hash_state *h;
    uint64_t at = 0;
    assert_int_equal(hash_open(&h, NULL), ERR_OK);
    for (uint64_t i = 0; i < 3000; i++) {
        shingle_sketch x;
        shingle_set set = {0};
        a.n = 0;
        for (uint64_t n = rng_below(7, RNG_TEST, i, 60); n > 0; n--)
            assert_int_equal(
                strbuf_add(&a, str_from(parts[rng_below(8, RNG_TEST, at++, sizeof parts / sizeof *parts)]), NULL),
                ERR_OK);
        shingle_sketch_of(strbuf_str(&a), &x);
        assert_int_equal(shingle_set_of(strbuf_str(&a), &set, NULL), ERR_OK);
        hash_add(h, x.byte, sizeof x.byte);
        hash_add(h, set.hash, set.n * sizeof *set.hash);
        shingle_set_fini(&set);
    }
    char hex[65];
    hash_hex(hash_close(h), hex);
    assert_string_equal(hex, "4c95a84e0565e1c8e7054cd77608fd6587da8252449345cfe430207d55e58de5");
    strbuf_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_what_the_header_says),
        cmocka_unit_test(similarity_equals_plain_search),
        cmocka_unit_test(sketches_estimate),
        cmocka_unit_test(sketches_never_change),
        cmocka_unit_test(odd_texts_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
