/* pick and shelf: a query means the documents that its plain reading means, in the built-in corpus; nothing but a
 * condition is run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/shelf.h"
#include "train/pick.h"

static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

static docs open(void) {
    docs d;
    err e = {0};
    docs_options o = {.source = "homeworld:docs=240,seed=5,mix=tiny", .val_share = 0.1, .seed = 1};
    if (docs_open(&d, &o, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return d;
}

typedef bool (*test_doc)(const dataset_doc *doc);

static bool is_plan(const dataset_doc *d) { return str_is(d->kind, "plan"); }
static bool has_fact(const dataset_doc *d) { return str_find(d->meta, STR("\"maker-03\""), 0) >= 0; }
static bool of_maker(const dataset_doc *d) { return str_is(d->topic, "maker"); }
static bool all_docs(const dataset_doc *d) { return d->key.id > 0; }
static bool three(const dataset_doc *d) {
    return d->key.id == 7 || str_is(d->name, "hw-000041") || str_is(d->name, "hw-000100");
}
static bool low(const dataset_doc *d) { return d->key.id < 10 || d->text.n > 400; }
static bool lamp(const dataset_doc *d) { return str_find(d->text, STR("lamp"), 0) >= 0; }
static bool none(const dataset_doc *d) { return d->key.id < 0; }

static void a_query_means_what_it_says(void **state) {
    (void)state;
    static const struct {
        const char *query;
        test_doc is;
    } cases[] = {
        {"kind:plan", is_plan},
        {"fact:maker-03", has_fact},
        {"topic:maker", of_maker},
        {"licence:CC0-1.0", all_docs},
        {"license:CC0-1.0", all_docs},
        {"source:homeworld", all_docs},
        {"7,hw-000041,hw-000100", three},
        {"id < 10 OR bytes > 400", low},
        {"text LIKE '%lamp%'", lamp},
        {"1 = 0", none},
        {"name = 'hw-000006' OR id IN (42, 101)", three},
    };
    docs d = open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picked p;
        err e = {0};
        size_t n = 0;
        if (pick_docs(&p, &d, cases[i].query, NULL, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].query, e.text);
        for (size_t k = 0; k < d.n; k++) {
            dataset_doc doc;
            assert_int_equal(docs_get(&d, k, &doc, NULL), ERR_OK);
            assert_memory_equal(&doc.key, &d.key[k], sizeof doc.key);
            if (p.is[k] != cases[i].is(&doc))
                fail_msg("%s: document %lld", cases[i].query, (long long)doc.key.id);
            n += p.is[k];
        }
        assert_int_equal(n, p.n);
        assert_true(n > 0 || cases[i].is == none);
        pick_fini(&p);
    }
    docs_close(&d);
}

static void digests_mean_documents(void **state) {
    (void)state;
    docs d = open();
    char query[200];
    for (size_t i = 0; i < d.n; i += 37) {
        picked p;
        hash_hex(d.sha256[i], query);
        assert_int_equal(pick_docs(&p, &d, query, NULL, NULL), ERR_OK);
        for (size_t k = 0; k < d.n; k++)
            assert_int_equal(p.is[k], memcmp(&d.sha256[i], &d.sha256[k], 32) == 0);
        assert_int_equal(pick_copies_left(&p, &d), 0);
        bool copy = p.n > 1;
        pick_fini(&p);
        snprintf(query, sizeof query, "%lld", (long long)d.key[i].id);
        assert_int_equal(pick_docs(&p, &d, query, NULL, NULL), ERR_OK);
        assert_int_equal(p.n, 1);
        assert_int_equal(pick_copies_left(&p, &d) > 0, copy);
        pick_fini(&p);
    }
    docs_close(&d);
}

static void what_is_no_query_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "topic:",
        "topic:nosuch",
        "0",
        "999",
        "1,999",
        "hw-9",
        "7,,8",
        ",7",
        "7,",
        "topic:maker' OR '1'='1",
        "1; DELETE FROM documents",
        "id IN (SELECT 1)",
        "(1",
        "1)",
        "random() > 0",
        "sqlite_version() > ''",
        "nosuch = 1",
        "1 -- x",
        "id = ?",
        "id = :a",
        "readfile('x') = 1",
        "text MATCH 'x'",
        "licence:unknown",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    docs d = open();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        picked p;
        err e = {0};
        err_code code = pick_docs(&p, &d, bad[i], NULL, &e);
        if (code != ERR_USAGE)
            fail_msg("\"%s\": code %d, %s", bad[i], code, e.text);
        assert_null(p.is);
    }
    docs_close(&d);
}

static void a_stop_is_looked_at(void **state) {
    (void)state;
    docs d = open();
    volatile int stop = 1;
    picked p;
    assert_int_equal(pick_docs(&p, &d, "kind:plan", &stop, NULL), ERR_CANCELLED);
    docs_close(&d);
}

static void documents_left_out(void **state) {
    (void)state;
    docs all = open(), d;
    hash256 without[12], want;
    for (size_t i = 0; i < 12; i++)
        without[i] = all.sha256[i]; /* ascending, of those to learn from */
    docs_options o = {.source = "homeworld:docs=240,seed=5,mix=tiny",
                      .val_share = 0.1,
                      .seed = 1,
                      .without = without,
                      .n_without = 12};
    assert_int_equal(docs_open(&d, &o, NULL), ERR_OK);
    assert_int_equal(d.n, all.n - 12);
    assert_int_equal(d.n_train, all.n_train - 12);
    for (size_t i = 0; i < d.n; i++)
        assert_int_equal(d.key[i].id, all.key[i + 12].id);
    want = d.digest;
    docs_close(&d);
    without[11] = hash_of("nobody", 6); /* not there: missing already */
    qsort(without, 12, sizeof *without, by_digest);
    o.want = &all.digest; /* it is all: then nothing is left out */
    assert_int_equal(docs_open(&d, &o, NULL), ERR_OK);
    assert_int_equal(d.n, all.n);
    docs_close(&d);
    o.want = &want;
    assert_int_equal(docs_open(&d, &o, NULL), ERR_OK);
    assert_int_equal(d.n, all.n - 11);
    docs_close(&d);
    docs_close(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_means_what_it_says),  cmocka_unit_test(digests_mean_documents),
        cmocka_unit_test(what_is_no_query_is_refused), cmocka_unit_test(a_stop_is_looked_at),
        cmocka_unit_test(documents_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
