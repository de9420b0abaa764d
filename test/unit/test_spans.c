/* spans, suffix, indexer: thousands of random texts against searching byte by byte, over shards of every size; words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "kern/math64.h"
#include "trace/indexer.h"
#include "trace/spans.h"
#include "trace/words.h"

enum { DOCS_MAX = 40, TEXT_MAX = 160, INDEXES = 160, TEXTS = 12 };

typedef struct {
    strbuf doc[DOCS_MAX];
    int64_t id[DOCS_MAX];
    size_t n, given;
} docs;

static uint64_t draw(uint64_t *at, uint64_t n) { return rng_below(5, RNG_TEST, (*at)++, n); }

/* Few letters make long overlaps and repetitions; alphabet 3 has all bytes, NUL included where a text may have it. */
static void add_byte(strbuf *b, uint64_t alphabet, bool nul, uint64_t *at) {
    static const char *const few[] = {"ab", "ab ", "abc .'\n"};
    char c;
    if (alphabet < 3)
        c = few[alphabet][draw(at, strlen(few[alphabet]))];
    else
        c = nul ? (char)draw(at, 256) : (char)(1 + draw(at, 255));
    assert_int_equal(strbuf_addc(b, c, NULL), ERR_OK);
}

static void make_docs(docs *d, uint64_t alphabet, uint64_t *at) {
    *d = (docs){.n = 1 + (size_t)draw(at, DOCS_MAX)};
    int64_t id = 0;
    for (size_t i = 0; i < d->n; i++) {
        d->id[i] = id += 1 + (int64_t)draw(at, 3);
        if (i > 0 && draw(at, 5) == 0) { /* the same once more, perhaps with one byte behind it */
            assert_int_equal(strbuf_add(&d->doc[i], strbuf_str(&d->doc[draw(at, i)]), NULL), ERR_OK);
            if (draw(at, 2))
                add_byte(&d->doc[i], alphabet, false, at);
            continue;
        }
        for (size_t n = 1 + (size_t)draw(at, draw(at, 4) ? 30 : 120); n > 0; n--)
            add_byte(&d->doc[i], alphabet, false, at);
    }
}

static void free_docs(docs *d) {
    for (size_t i = 0; i < d->n; i++)
        strbuf_fini(&d->doc[i]);
}

static err_code next_doc(void *ctx, bool *got, int64_t *id, str *text, err *e) {
    (void)e;
    docs *d = ctx;
    *got = d->given < d->n;
    if (*got) {
        *id = d->id[d->given];
        *text = strbuf_str(&d->doc[d->given++]);
    }
    return ERR_OK;
}

static const char *path_of(void) {
    static char path[256];
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/spans-%ld.trace", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    return path;
}

static suffix *index_of(docs *d, size_t shard_bytes, pool *workers) {
    err e = {0};
    suffix *x = NULL;
    d->given = 0;
    indexer_options o = {.workers = workers, .shard_bytes = shard_bytes};
    if (indexer_make(path_of(), &(indexer_source){next_doc, d}, &o, &e) != ERR_OK ||
        suffix_open(&x, path_of(), &e) != ERR_OK)
        fail_msg("%s", e.text);
    return x;
}

/* Pieces of documents, cut and changed, and noise. */
static void make_text(strbuf *t, const docs *d, uint64_t alphabet, uint64_t *at) {
    size_t most = (size_t)draw(at, TEXT_MAX);
    t->n = 0;
    while (t->n < most) {
        str doc = strbuf_str(&d->doc[draw(at, d->n)]);
        size_t from = (size_t)draw(at, doc.n), to = from + 1 + (size_t)draw(at, doc.n - from);
        if (draw(at, 3))
            assert_int_equal(strbuf_add(t, str_sub(doc, from, to), NULL), ERR_OK);
        for (uint64_t n = draw(at, 3); n > 0; n--)
            add_byte(t, alphabet, true, at);
    }
}

/* ---- byte by byte ---- */

static uint64_t occurrences(const docs *d, size_t doc, str s, size_t *first) {
    uint64_t n = 0;
    str text = strbuf_str(&d->doc[doc]);
    for (size_t at = 0; s.n > 0 && at + s.n <= text.n; at++)
        if (memcmp(text.p + at, s.p, s.n) == 0 && n++ == 0)
            *first = at;
    return n;
}

static uint64_t everywhere(const docs *d, str s) {
    uint64_t n = 0;
    size_t first;
    for (size_t i = 0; i < d->n; i++)
        n += occurrences(d, i, s, &first);
    return n;
}

typedef struct {
    size_t start, end, i, j;
    double log_p;
} plain_span;

static int by_rank(const void *a, const void *b) {
    const plain_span *x = a, *y = b;
    if (x->log_p < y->log_p || x->log_p > y->log_p)
        return x->log_p < y->log_p ? -1 : 1;
    return x->start < y->start ? -1 : 1;
}

static size_t plain_spans(const docs *d, str text, plain_span *out) {
    static word w[TEXT_MAX * 3];
    static bool there[TEXT_MAX * 3][TEXT_MAX * 3]; /* words i to j */
    size_t n = 0, n_out = 0;
    double bytes = 0;
    for (size_t i = 0; i < d->n; i++)
        bytes += (double)d->doc[i].n;
    for (size_t at = 0; words_next(text, &at, &w[n]);)
        assert_true(++n < TEXT_MAX * 3);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++) /* when the beginning is nowhere, the whole is nowhere */
            there[i][j] = (j == i || there[i][j - 1]) && everywhere(d, str_sub(text, w[i].start, w[j].end)) > 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++) {
            bool longer = !there[i][j];
            for (size_t a = 0; a <= i && !longer; a++)
                for (size_t b = j; b < n && !longer; b++)
                    longer = there[a][b] && (a < i || b > j);
            if (longer)
                continue;
            plain_span s = {w[i].start, w[j].end, i, j, 0};
            for (size_t k = i; k <= j; k++)
                s.log_p += kern_log64((double)everywhere(d, str_sub(text, w[k].start, w[k].end)) / bytes);
            out[n_out++] = s;
        }
    qsort(out, n_out, sizeof *out, by_rank);
    return n_out;
}

static void check_docs(const docs *d, str s, const span *got, size_t most) {
    size_t n = 0, first = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < d->n; i++) {
        uint64_t here = occurrences(d, i, s, &first);
        count += here;
        if (here == 0 || n == most)
            continue;
        assert_true(n < got->n_docs);
        assert_int_equal(got->doc[n].id, d->id[i]);
        assert_int_equal(got->doc[n++].offset, first);
    }
    assert_int_equal(got->n_docs, n);
    assert_int_equal(got->count, count);
}

static size_t check_text(const docs *d, const suffix *x, str text, pool *workers, size_t most) {
    static plain_span want[TEXT_MAX * 3];
    spans got;
    err e = {0};
    spans_options o = {.workers = workers, .docs_max = most};
    size_t n = plain_spans(d, text, want);
    if (spans_find(x, text, &o, &got, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(got.n, n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(got.span[k].start, want[k].start);
        assert_int_equal(got.span[k].end, want[k].end);
        assert_int_equal(got.span[k].n_words, want[k].j - want[k].i + 1);
        assert_memory_equal(&got.span[k].log_p, &want[k].log_p, sizeof(double));
        check_docs(d, str_sub(text, want[k].start, want[k].end), &got.span[k], most);
    }
    spans_fini(&got);
    return n;
}

/* Longest match and count for every beginning and any length, shards added up. */
static void check_searches(const docs *d, const suffix *x, str text, uint64_t *at) {
    size_t n_shards = suffix_totals_of(x).n_shards;
    for (size_t i = 0; i < text.n; i++) {
        str rest = str_sub(text, i, text.n), part = str_sub(text, i, i + 1 + (size_t)draw(at, text.n - i));
        size_t longest = 0, want = 0;
        uint64_t count = 0;
        for (size_t s = 0; s < n_shards; s++) {
            size_t n;
            suffix_range r;
            assert_int_equal(suffix_longest(x, s, &rest, 1, &n, NULL), ERR_OK);
            assert_int_equal(suffix_find(x, s, &part, 1, &r, NULL), ERR_OK);
            longest = n > longest ? n : longest;
            count += r.to - r.from;
        }
        while (want < rest.n && everywhere(d, str_sub(rest, 0, want + 1)) > 0)
            want++;
        assert_int_equal(longest, want);
        assert_int_equal(count, everywhere(d, part));
    }
}

static void as_brute_force(void **state) {
    (void)state;
    pool *workers[3];
    uint64_t at = 0;
    size_t n_spans = 0;
    strbuf text = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_open(&workers[i], i + 1, NULL), ERR_OK);
    for (size_t k = 0; k < INDEXES; k++) {
        docs d;
        uint64_t alphabet = k % 4;
        make_docs(&d, alphabet, &at);
        suffix *x = index_of(&d, k % 3 ? 1 + (size_t)draw(&at, 200) : 0, workers[draw(&at, 3)]);
        assert_int_equal(suffix_totals_of(x).n_docs, d.n);
        for (size_t t = 0; t < TEXTS; t++) {
            make_text(&text, &d, alphabet, &at);
            n_spans += check_text(&d, x, strbuf_str(&text), workers[t % 3], 1 + (size_t)draw(&at, 12));
            if (t == 0)
                check_searches(&d, x, strbuf_str(&text), &at);
        }
        /* A whole document, and where it ends and goes on. */
        str doc = strbuf_str(&d.doc[0]);
        n_spans += check_text(&d, x, str_sub(doc, 0, TEXT_MAX), NULL, 3);
        suffix_close(x);
        free_docs(&d);
    }
    assert_true(n_spans > 4 * INDEXES * TEXTS);
    strbuf_fini(&text);
    for (int i = 0; i < 3; i++)
        pool_close(workers[i]);
    unlink(path_of());
}

/* Many texts at a time, with empty ones, a NUL and bytes that are nowhere among them: as one after another. */
static void check_together(const docs *d, const suffix *x, size_t shard, uint64_t *at) {
    enum { MOST = 100 };
    str text[MOST];
    size_t n = 1 + (size_t)draw(at, MOST), longest[MOST], one;
    suffix_range range[MOST], r;
    for (size_t k = 0; k < n; k++) {
        str doc = strbuf_str(&d->doc[draw(at, d->n)]);
        size_t from = (size_t)draw(at, doc.n);
        text[k] = str_sub(doc, from, from + (size_t)draw(at, 14));
        if (draw(at, 9) == 0)
            text[k] = draw(at, 2) ? (str){"a\0a", 3} : STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    }
    assert_int_equal(suffix_longest(x, shard, text, n, longest, NULL), ERR_OK);
    assert_int_equal(suffix_find(x, shard, text, n, range, NULL), ERR_OK);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(suffix_longest(x, shard, &text[k], 1, &one, NULL), ERR_OK);
        assert_int_equal(suffix_find(x, shard, &text[k], 1, &r, NULL), ERR_OK);
        assert_int_equal(longest[k], one);
        assert_int_equal(range[k].from, r.from);
        assert_int_equal(range[k].to, r.to);
    }
}

/* More suffixes than keys: a text of many strides, every one of its bytes asked for. */
static void many_strides(void **state) {
    (void)state;
    uint64_t at = 1u << 30;
    docs d = {.n = DOCS_MAX};
    for (size_t i = 0; i < d.n; i++) {
        d.id[i] = (int64_t)i + 1;
        for (size_t n = 0; n < 400; n++)
            add_byte(&d.doc[i], i % 2 ? 0 : 1, false, &at);
    }
    for (size_t shard_bytes = 700; shard_bytes < 40000; shard_bytes *= 5) {
        suffix *x = index_of(&d, shard_bytes, NULL);
        size_t n_shards = suffix_totals_of(x).n_shards;
        for (size_t i = 0; i < 3000; i++) {
            size_t from = (size_t)draw(&at, 399);
            str t = str_sub(strbuf_str(&d.doc[draw(&at, d.n)]), from, from + 1 + (size_t)draw(&at, 14));
            uint64_t n = 0;
            for (size_t s = 0; s < n_shards; s++) {
                suffix_range r;
                assert_int_equal(suffix_find(x, s, &t, 1, &r, NULL), ERR_OK);
                n += r.to - r.from;
            }
            assert_int_equal(n, everywhere(&d, t));
        }
        for (size_t s = 0; s < n_shards; s++)
            for (size_t i = 0; i < 20; i++)
                check_together(&d, x, s, &at);
        suffix_close(x);
    }
    free_docs(&d);
    unlink(path_of());
}

static void options(void **state) {
    (void)state;
    docs d = {.n = 2, .id = {4, 9}};
    err e = {0};
    spans s;
    assert_int_equal(strbuf_add(&d.doc[0], STR("the red lamp is in the hall"), NULL), ERR_OK);
    assert_int_equal(strbuf_add(&d.doc[1], STR("Ana's green lamp"), NULL), ERR_OK);
    suffix *x = index_of(&d, 0, NULL);
    str text = STR("Here the red lamp and Ana's green hat, in the hall.");
    assert_int_equal(spans_find(x, text, &(spans_options){.docs_max = 5, .words_min = 2}, &s, &e), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.span[0].n_words, 3); /* lowest probability first */
    for (size_t k = 1; k < s.n; k++)
        assert_true(s.span[k - 1].log_p <= s.span[k].log_p);
    spans_share share = spans_coverage(&s, text, 3);
    assert_int_equal(share.bytes, 39);
    assert_int_equal(share.verbatim, 10 + 9);
    spans_fini(&s);
    assert_int_equal(spans_find(x, text, &(spans_options){.docs_max = 5, .most = 1}, &s, &e), ERR_OK);
    assert_int_equal(s.n, 1);
    spans_fini(&s);
    volatile int stop = 1;
    assert_int_equal(spans_find(x, text, &(spans_options){.stop = &stop}, &s, &e), ERR_CANCELLED);
    assert_int_equal(spans_find(x, (str){0}, &(spans_options){.docs_max = 5}, &s, &e), ERR_OK);
    assert_int_equal(s.n, 0);
    spans_fini(&s);
    assert_int_equal(spans_find(x, (str){text.p, SPANS_TEXT_BYTES_MAX + 1}, &(spans_options){0}, &s, &e), ERR_LIMIT);
    suffix_close(x);
    free_docs(&d);
    unlink(path_of());
}

static void words(void **state) {
    (void)state;
    static const struct {
        const char *text, *words; /* with | between them */
    } cases[] = {
        {"", ""},
        {" \n\t", ""},
        {"a", "a"},
        {"The lamp, it's Ana's.", "The|lamp|,|it's|Ana's|."},
        {"'quoted' rock'n'roll dogs'", "'|quoted|'|rock'n'roll|dogs|'"},
        {"it\xe2\x80\x99s", "it\xe2\x80\x99s"},
        {"snake_case x1 3.5", "snake_case|x1|3|.|5"},
        {"na\xc3\xafve caf\xc3\xa9\xe2\x80\x94"
         "bar",
         "na\xc3\xafve|caf\xc3\xa9|\xe2\x80\x94|bar"},
        {"\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82", "\xe4\xb8\x96|\xe7\x95\x8c|\xe3\x80\x82"},
        {"a\xff\xfe"
         "b",
         "a|b"},
        {"x\xc2\xa0y", "x|y"}, /* a blank that does not break */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strbuf got = {0};
        word w;
        str text = str_from(cases[i].text);
        for (size_t at = 0; words_next(text, &at, &w);) {
            if (got.n)
                assert_int_equal(strbuf_addc(&got, '|', NULL), ERR_OK);
            assert_int_equal(strbuf_add(&got, str_sub(text, w.start, w.end), NULL), ERR_OK);
        }
        if (!str_is(strbuf_str(&got), cases[i].words))
            fail_msg("\"%s\" gives \"%.*s\"", cases[i].text, STR_ARG(strbuf_str(&got)));
        strbuf_fini(&got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_brute_force),
        cmocka_unit_test(many_strides),
        cmocka_unit_test(options),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
