/* view: curves keep their means when thinned; documents are found by values that are no SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/writer.h"
#include "view/library.h"
#include "view/runs.h"

static void a_curve_is_thinned_to_means(void **state) {
    double x[] = {1, 2, 3, 4, 5}, y[] = {10, 20, 30, 40, 70};
    runs_curve c = {x, y, 5};
    (void)state;
    runs_curve_thin(&c, 5);
    assert_int_equal(c.n, 5);
    runs_curve_thin(&c, 3);
    assert_int_equal(c.n, 3);
    assert_true(c.x[0] == 1.5 && c.y[0] == 15 && c.x[1] == 3.5 && c.y[1] == 35 && c.x[2] == 5 && c.y[2] == 70);
    runs_curve none = {NULL, NULL, 0};
    runs_curve_thin(&none, 3);
    assert_int_equal(none.n, 0);
}

/* ---- documents ---- */

static const struct {
    const char *text, *source, *licence;
} texts[] = {
    {"A lamp, 50% off", "shop", "MIT"},
    {"It's a LAMP' OR '1'='1", "shop", ""},
    {"Nothing of the kind", "book", "CC0-1.0"},
    {"under_score and <b>bold</b>", "book", "CC0-1.0"},
};

static tracer a_set(void) {
    const char *tmp = getenv("LOAM_TMP");
    char path[4096];
    dataset_writer *w;
    tracer t = {0};
    snprintf(path, sizeof path, "%s/view-%d.db", tmp ? tmp : "/tmp", (int)getpid());
    assert_int_equal(dataset_writer_open(&w, path, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dataset_doc doc = {.text = str_from(texts[i].text),
                           .source = str_from(texts[i].source),
                           .licence = str_from(texts[i].licence)};
        doc.key.id = (int64_t)i + 1;
        doc.key.bytes = doc.text.n;
        doc.key.sha256 = hash_of(doc.text.p, doc.text.n);
        assert_int_equal(dataset_writer_put(w, &doc, 0, NULL), ERR_OK);
    }
    assert_int_equal(dataset_writer_commit(w, NULL), ERR_OK);
    assert_int_equal(dataset_open(&t.set, path, NULL), ERR_OK);
    unlink(path);
    return t;
}

static void expect(tracer *t, library_query q, const char *begin, const char *end) {
    js_out j = {0};
    q.limit = 1;
    assert_int_equal(library_list(t, &q, &j, NULL), ERR_OK);
    str s = strbuf_str(&j.text);
    if (!str_starts(s, str_from(begin)) || !str_ends(s, str_from(end)))
        fail_msg("%.*s", STR_ARG(s));
    strbuf_fini(&j.text);
}

static void filters_are_values(void **state) {
    tracer t = a_set();
    (void)state;
    expect(&t, (library_query){0}, "{\"count\":4,\"capped\":false,\"offset\":0,\"documents\":[{\"id\":1,",
           "\"excerpt\":\"A lamp, 50% off\"}]}");
    expect(&t, (library_query){.offset = 3}, "{\"count\":4,\"capped\":false,\"offset\":3,\"documents\":[{\"id\":4,",
           "<b>bold</b>\"}]}");
    expect(&t, (library_query){.offset = 9}, "{\"count\":4,", "\"documents\":[]}");
    expect(&t, (library_query){.text = STR("lamp")}, "{\"count\":2,", "}");
    expect(&t, (library_query){.text = STR("%")}, "{\"count\":1,", "50% off\"}]}");
    expect(&t, (library_query){.text = STR("r_s")}, "{\"count\":1,", "}");
    expect(&t, (library_query){.text = STR("' OR '1'='1")}, "{\"count\":1,", "}");
    expect(&t, (library_query){.source = STR("' OR '1'='1")}, "{\"count\":0,", "\"documents\":[]}");
    expect(&t, (library_query){.licence = STR("")}, "{\"count\":1,", "}");
    expect(&t, (library_query){.licence = STR("CC0-1.0"), .text = STR("KIND")}, "{\"count\":1,", "}");
    tracer_close(&t);
}

static void a_summary_and_a_document(void **state) {
    tracer t = a_set();
    js_out j = {0};
    volatile int stop = 1;
    (void)state;
    assert_int_equal(library_summary(&t, NULL, &j, NULL), ERR_OK);
    assert_true(str_starts(strbuf_str(&j.text), STR("{\"origins\":[{\"source\":\"book\",\"licence\":\"CC0-1.0\","
                                                    "\"documents\":2,")));
    j.text.n = 0;
    j.comma = false;
    assert_int_equal(library_document(&t, 4, &j, NULL), ERR_OK);
    assert_true(str_ends(strbuf_str(&j.text), STR("\"text\":\"under_score and <b>bold</b>\",\"cut\":false}")));
    assert_int_equal(library_document(&t, 5, &j, NULL), ERR_IO);
    assert_int_equal(library_list(&t, &(library_query){.stop = &stop, .limit = 1}, &j, NULL), ERR_CANCELLED);
    strbuf_fini(&j.text);
    tracer_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_curve_is_thinned_to_means),
        cmocka_unit_test(filters_are_values),
        cmocka_unit_test(a_summary_and_a_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
