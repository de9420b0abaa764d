/* bpe_train and what it is made of: merges worked out by hand, ties, limits, what is refused, what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/json.h"
#include "tok/bpe_train.h"
#include "tok/pipeline.h"
#include "tok/word_table.h"

/* ---- helpers ---- */

static bpe_train_options options(size_t n_merges) {
    return (bpe_train_options){.n_vocab = BPE_TRAIN_BYTES + n_merges,
                               .pattern = bpe_pattern_find("gpt2"),
                               .min_count = 1,
                               .piece_bytes_max = BPE_TRAIN_PIECE_BYTES_MAX};
}

typedef struct {
    err_code code;
    err e;
    bpe_train_facts facts;
    strbuf json;
} outcome;

static outcome train(const bpe_train_options *o, const str *text, size_t n, int threads) {
    outcome r = {0};
    bpe_trainer *t = NULL;
    pool *p = NULL;
    assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
    r.code = bpe_train_open(&t, o, p, &r.e);
    for (size_t i = 0; i < n && r.code == ERR_OK; i++)
        r.code = bpe_train_add(t, text[i], &r.e);
    if (r.code == ERR_OK)
        r.code = bpe_train_learn(t, &r.e);
    if (r.code == ERR_OK)
        r.code = bpe_train_json(t, &r.json, &r.e);
    if (t)
        r.facts = bpe_train_facts_of(t);
    bpe_train_close(t);
    pool_close(p);
    return r;
}

/* The merges as "a b, c d" in GPT-2's spelling. */
static void merges_are(const bpe_train_options *o, const char *text, const char *want) {
    str one = str_from(text);
    outcome r = train(o, &one, 1, 1);
    json_t *root;
    strbuf got = {0};
    if (r.code != ERR_OK)
        fail_msg("%s", r.e.text);
    assert_int_equal(json_read(strbuf_str(&r.json), 1 << 20, &root, NULL), ERR_OK);
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *m = json_array_get(merges, i);
        assert_int_equal(strbuf_addf(&got, NULL, "%s%s %s", i ? ", " : "", json_string_value(json_array_get(m, 0)),
                                     json_string_value(json_array_get(m, 1))),
                         ERR_OK);
    }
    if (!str_is(strbuf_str(&got), want))
        fail_msg("merges are \"%.*s\", must be \"%s\"", (int)got.n, got.p, want);
    json_decref(root);
    strbuf_fini(&got);
    strbuf_fini(&r.json);
}

static void refused(const bpe_train_options *o, const char *text, err_code code, const char *names) {
    str one = str_from(text);
    outcome r = train(o, &one, 1, 1);
    if (r.code != code || !strstr(r.e.text, names))
        fail_msg("wanted code %d naming '%s', got %d '%s'", code, names, r.code, r.e.text);
    strbuf_fini(&r.json);
}

/* ---- merges ---- */

/* hug x10, pug x5, pun x12, bun x4, hugs x5: ug 20, un 16, hug 15, then pun 12 ... The words are apart by line
 * ends, which merge with nothing here: "\n" and a word are two pre-tokens. */
static void worked_example(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int times;
    } words[] = {{"hug", 10}, {"pug", 5}, {"pun", 12}, {"bun", 4}, {"hugs", 5}};
    strbuf text = {0};
    for (size_t i = 0; i < 5; i++)
        for (int k = 0; k < words[i].times; k++)
            assert_int_equal(strbuf_addf(&text, NULL, "%s\n", words[i].word), ERR_OK);
    assert_int_equal(strbuf_addc(&text, 0, NULL), ERR_OK);
    bpe_train_options o = options(6);
    /* then "hug s" and "p ug" count 5 each: "hug" (id 258) is higher than "p" */
    merges_are(&o, text.p, "u g, u n, h ug, p un, p ug, hug s");
    strbuf_fini(&text);
}

static void ties(void **state) {
    (void)state;
    bpe_train_options o = options(2);
    merges_are(&o, "cd\nab\n", "a b, c d"); /* equal counts: the lower left id */
    merges_are(&o, "ac\nab\n", "a b, a c"); /* then the lower right one */
    merges_are(&o, "ba\nab\n", "a b, b a");
}

static void overlaps(void **state) {
    (void)state;
    bpe_train_options o = options(2);
    /* "aa" stands three times in "aaaa" and merges twice, from the left; "bc" counts 2 */
    merges_are(&o, "aaaa\nbc\nbc\n", "a a, b c");
    o = options(3); /* aa aa a: "aa a" is lower than "aa aa" */
    merges_are(&o, "aaaaa\n", "a a, aa a, aa aaa");
}

static void blanks_belong_to_words(void **state) {
    (void)state;
    bpe_train_options o = options(3);
    merges_are(&o, "the cat the dog the", "h e, t he, \xc4\xa0 the");
}

static void least_count(void **state) {
    (void)state;
    bpe_train_options o = options(5);
    o.allow_fewer = true;
    o.min_count = 3;
    merges_are(&o, "ab ab ab cd cd", "a b");
    o.piece_bytes_max = 2;
    o.min_count = 1;
    o.n_vocab = 256 + 9;
    merges_are(&o, "abc abc", "a b");
    o.piece_bytes_max = 3;
    merges_are(&o, "abc abc", "a b, ab c");
}

/* ---- special tokens ---- */

static tokenizer *load(const outcome *r) {
    tokenizer *t = NULL;
    err e = {0};
    if (r->code != ERR_OK)
        fail_msg("%s", r->e.text);
    if (pipeline_new(&t, &e) || tokenizer_read_json(t, strbuf_str(&r->json), &e) || pipeline_finish(t, &e))
        fail_msg("%s", e.text);
    return t;
}

static void ids_are(const tokenizer *t, const char *text, unsigned flags, const char *want) {
    tok_ids ids = {0};
    strbuf got = {0};
    assert_int_equal(tokenizer_encode(t, str_from(text), flags, &ids, NULL), ERR_OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(strbuf_addf(&got, NULL, "%s%d", i ? " " : "", (int)ids.id[i]), ERR_OK);
    if (!str_is(strbuf_str(&got), want))
        fail_msg("\"%s\" is %.*s, must be %s", text, (int)got.n, got.p, want);
    strbuf_fini(&got);
    tok_ids_fini(&ids);
}

/* Text never becomes a control token, not even when a special token is a word that stands there often. */
static void special_tokens(void **state) {
    (void)state;
    const str special[] = {STR("<|end|>"), STR("ab"),
                           STR("\xc4\xa0"
                               "cd"),
                           STR("two words")};
    const str text[] = {STR("ab ab ab cd cd cd cd <|end|> two words\nabx\nabx\nabx\nabx")};
    bpe_train_options o = options(4 + 3);
    o.special = special;
    o.n_special = 4;
    outcome r = train(&o, text, 1, 1);
    tokenizer *t = load(&r);
    assert_int_equal(tokenizer_n_vocab(t), 256 + 4 + 3);
    for (int32_t id = 0; id < 4; id++) {
        assert_true(str_eq(tokenizer_piece(t, id), special[id]));
        assert_true(tokenizer_is_control(t, id));
    }
    /* '!' is the first byte, with id 4; 'a' is 64 further. */
    ids_are(t, "ab", 0, "68 69");
    ids_are(t, "ab", TOK_SPECIAL_PARSE, "1");
    ids_are(t, "<|end|>!", TOK_SPECIAL_PARSE, "0 4");
    ids_are(t, "two words", TOK_SPECIAL_PARSE | TOK_SPECIAL_ADD, "3");
    tok_ids plain = {0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(tokenizer_encode(t, special[i], 0, &plain, NULL), ERR_OK);
    assert_int_equal(tokenizer_encode(t, text[0], 0, &plain, NULL), ERR_OK);
    for (size_t i = 0; i < plain.n; i++)
        assert_true(plain.id[i] >= 4);
    tok_ids_fini(&plain);
    tokenizer_close(t);
    strbuf_fini(&r.json);
}

/* ---- what is refused ---- */

static void bad_options(void **state) {
    (void)state;
    const str twice[] = {STR("<a>"), STR("<b>"), STR("<a>")}, one[] = {STR("\xe2\x82\xac")}, bad[] = {STR("<\xff>")};
    bpe_train_options o = options(0);
    o.n_vocab = 255;
    refused(&o, "a", ERR_USAGE, "255 is not within 256");
    o.n_vocab = BPE_TRAIN_VOCAB_MAX + 1;
    refused(&o, "a", ERR_USAGE, "to 1048576");
    o = options(1);
    o.special = twice;
    o.n_special = 2;
    refused(&o, "a", ERR_USAGE, "257 is not within 258 (256 bytes and 2 special tokens)");
    o.n_special = 3;
    o.n_vocab = 300;
    refused(&o, "a", ERR_USAGE, "\"<a>\" is given twice");
    o.special = one;
    o.n_special = 1;
    refused(&o, "a", ERR_USAGE, "single character");
    o.special = bad;
    refused(&o, "a", ERR_USAGE, "not UTF-8");
    o = options(0);
    o.min_count = 0;
    refused(&o, "a", ERR_USAGE, "least count");
    o = options(0);
    o.piece_bytes_max = 1;
    refused(&o, "a", ERR_USAGE, "2 to 16384");
    o.piece_bytes_max = BPE_TRAIN_PIECE_BYTES_MAX + 1;
    refused(&o, "a", ERR_USAGE, "2 to 16384");
}

static void too_little_text(void **state) {
    (void)state;
    bpe_train_options o = options(100);
    refused(&o, "", ERR_FORMAT, "no text");
    refused(&o, "\xff\xfe\xc0", ERR_FORMAT, "no text");
    /* "abab abab": ab, abab, _abab; then nothing is left */
    refused(&o, "abab abab", ERR_LIMIT, "a vocabulary of 356 is more than these texts have");
    refused(&o, "abab abab", ERR_LIMIT, "there are 259 pieces");
    o.n_vocab = 259;
    merges_are(&o, "abab abab", "a b, ab ab, \xc4\xa0 abab");
    o.n_vocab = 260;
    refused(&o, "abab abab", ERR_LIMIT, "there are 259 pieces");
    o.allow_fewer = true;
    merges_are(&o, "abab abab", "a b, ab ab, \xc4\xa0 abab");
    o.n_vocab = 256; /* bytes alone are a vocabulary */
    merges_are(&o, "abab", "");
}

/* ---- what is left out ---- */

static void ill_formed_and_long(void **state) {
    (void)state;
    bpe_train_options o = options(1);
    const str bad[] = {STR("ab\xff"
                           "ab\xe2\x82"
                           "ab"),
                       STR("\xc0")};
    outcome r = train(&o, bad, 2, 1);
    assert_int_equal(r.code, ERR_OK);
    assert_int_equal(r.facts.n_ill_formed, 4);
    assert_int_equal(r.facts.n_words, 3);
    assert_int_equal(r.facts.n_different, 1);
    assert_int_equal(r.facts.n_texts, 2);
    assert_int_equal(r.facts.n_bytes, 10);
    strbuf_fini(&r.json);

    size_t n = BPE_TRAIN_WORD_BYTES_MAX;
    char *p = malloc(n + 5);
    memset(p, 'x', n + 1);
    memcpy(p + n + 1, " abc", 4);
    const str far[] = {{p, n + 5}, {p, n}};
    r = train(&o, far, 1, 1);
    assert_int_equal(r.code, ERR_OK);
    assert_int_equal(r.facts.n_long, 1);
    assert_int_equal(r.facts.n_words, 1);
    strbuf_fini(&r.json);
    r = train(&o, far + 1, 1, 1);
    assert_int_equal(r.facts.n_long, 0);
    assert_int_equal(r.facts.n_words, 1);
    strbuf_fini(&r.json);
    free(p);
}

/* ---- threads, and texts that are cut ---- */

/* Words and other things, `bytes` of them or a little more. */
static strbuf long_text(size_t bytes) {
    static const char *const some[] = {"the",    " house", " x1", "\n\n", " it's", "  ", " \xc3\xa9t\xc3\xa9",
                                       "123456", " -- "};
    strbuf b = {0};
    uint64_t x = 7;
    while (b.n < bytes) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        const char *word = some[(x >> 33) % (sizeof some / sizeof *some)];
        assert_int_equal(strbuf_addf(&b, NULL, "%s%c", word, (int)('a' + (x >> 50) % 26)), ERR_OK);
    }
    return b;
}

static void threads_do_not_show(void **state) {
    (void)state;
    strbuf b = long_text(3 << 20);
    str whole = strbuf_str(&b);
    for (const bpe_pattern *p = bpe_patterns; p->name; p++) {
        bpe_train_options o = options(300);
        o.pattern = p;
        outcome first = train(&o, &whole, 1, 1);
        assert_int_equal(first.code, ERR_OK);
        for (int threads = 2; threads < 6; threads += 3) {
            outcome r = train(&o, &whole, 1, threads);
            assert_true(str_eq(strbuf_str(&r.json), strbuf_str(&first.json)));
            assert_int_equal(r.facts.n_words, first.facts.n_words);
            strbuf_fini(&r.json);
        }
        strbuf_fini(&first.json);
    }
    strbuf_fini(&b);
}

/* A large text is cut up to share it out. Cut here into texts too small for that, between words that no pattern joins,
 * it gives the same. */
static void cuts_do_not_show(void **state) {
    (void)state;
    strbuf b = long_text(2 << 20);
    str whole = strbuf_str(&b), part[64];
    size_t n = 0;
    for (size_t at = 0; at < whole.n; n++) {
        ptrdiff_t next = str_find(whole, STR("a house"), at + 100000);
        size_t end = next < 0 ? whole.n : (size_t)next + 1;
        part[n] = str_sub(whole, at, end);
        at = end;
    }
    assert_true(n > 10);
    for (const bpe_pattern *p = bpe_patterns; p->name; p++) {
        bpe_train_options o = options(300);
        o.pattern = p;
        outcome one = train(&o, &whole, 1, 1), many = train(&o, part, n, 1);
        assert_int_equal(one.facts.n_bytes, many.facts.n_bytes);
        assert_int_equal(one.facts.n_words, many.facts.n_words);
        assert_true(str_eq(strbuf_str(&one.json), strbuf_str(&many.json)));
        strbuf_fini(&one.json);
        strbuf_fini(&many.json);
    }
    strbuf_fini(&b);
}

typedef struct {
    uint64_t bytes, pieces;
    volatile int cancel;
    bpe_train_phase until;
} watch;

static void on_progress(void *ctx, bpe_train_phase phase, uint64_t done, uint64_t total) {
    watch *w = ctx;
    *(phase == BPE_TRAIN_COUNTING ? &w->bytes : &w->pieces) = done;
    assert_int_equal(total, phase == BPE_TRAIN_COUNTING ? 0 : 356);
    w->cancel = phase == w->until;
}

static void progress_and_cancel(void **state) {
    (void)state;
    strbuf b = long_text(1 << 16);
    str text = strbuf_str(&b);
    for (int until = BPE_TRAIN_COUNTING; until <= BPE_TRAIN_LEARNING + 1; until++) {
        watch w = {.until = (bpe_train_phase)until};
        bpe_train_options o = options(100);
        o.on_progress = on_progress;
        o.ctx = &w;
        o.cancel = &w.cancel;
        outcome r = train(&o, &text, 1, 1);
        assert_int_equal(r.code, until <= BPE_TRAIN_LEARNING ? ERR_CANCELLED : ERR_OK);
        assert_int_equal(w.bytes, b.n);
        assert_int_equal(w.pieces > 256, until > BPE_TRAIN_LEARNING);
        strbuf_fini(&r.json);
    }
    strbuf_fini(&b);
}

/* ---- the table of words ---- */

static void words_come_back(void **state) {
    (void)state;
    word_table t = {0}, u = {0};
    char bytes[64], room[WORD_INLINE_BYTES];
    for (size_t n = 1; n <= 40; n++) /* every length on both sides of a slot's 16 bytes */
        for (int v = 0; v < 200; v++) {
            for (size_t i = 0; i < n; i++)
                bytes[i] = (char)(i == (size_t)v % n ? v : 200 - (int)i);
            assert_int_equal(word_table_add(v % 2 ? &t : &u, (str){bytes, n}, (uint64_t)(n + (size_t)v), NULL), ERR_OK);
        }
    size_t n_t = t.n;
    assert_int_equal(word_table_merge(&t, &u, NULL), ERR_OK);
    assert_int_equal(word_table_merge(&t, &t, NULL), ERR_OK); /* all there: every count doubles */
    assert_true(t.n > n_t);
    uint64_t total = 0, want = 0;
    size_t n_seen = 0;
    for (size_t i = 0; i <= t.mask; i++)
        if (t.slot[i].n) {
            str w = word_slot_bytes(&t.slot[i], room);
            total += t.slot[i].count;
            n_seen++;
            size_t odd = w.n;
            for (size_t k = 0; k < w.n; k++)
                odd = (unsigned char)w.p[k] == 200 - k ? odd : k;
            assert_true(odd == w.n || odd == (unsigned char)w.p[odd] % w.n);
        }
    for (size_t n = 1; n <= 40; n++)
        for (size_t v = 0; v < 200; v++)
            want += 2 * (n + v);
    assert_int_equal(total, want);
    assert_int_equal(n_seen, t.n);
    word_table_fini(&t);
    word_table_fini(&u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_example),
        cmocka_unit_test(ties),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(blanks_belong_to_words),
        cmocka_unit_test(least_count),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(too_little_text),
        cmocka_unit_test(ill_formed_and_long),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(cuts_do_not_show),
        cmocka_unit_test(progress_and_cancel),
        cmocka_unit_test(words_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
