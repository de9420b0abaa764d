/* used: sources and licences of the documents that a condition picks, counted as SQL would; what is too much is told
 * apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/used.h"
#include "store/writer.h"

static void check(const used_row *r, const char *source, const char *licence, int64_t documents, int64_t bytes) {
    if (!str_is(r->source, source) || !str_is(r->licence, licence) || r->documents != documents || r->bytes != bytes)
        fail_msg("%.*s %.*s %lld %lld", STR_ARG(r->source), STR_ARG(r->licence), (long long)r->documents,
                 (long long)r->bytes);
}

static void rows_are_counted(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    char path[4096];
    dataset_writer *w;
    dataset *d;
    used_row *rows;
    size_t n;
    arena mem = {0};
    snprintf(path, sizeof path, "%s/used-%d.db", tmp ? tmp : "/tmp", (int)getpid());
    assert_int_equal(dataset_writer_open(&w, path, NULL), ERR_OK);
    for (int i = 0; i < 30; i++) {
        char text[32];
        snprintf(text, sizeof text, "document %02d", i);
        dataset_doc doc = {.text = str_from(text),
                           .source = i % 3 ? STR("b") : STR("a"),
                           .licence = i % 2 ? STR("MIT") : STR(""),
                           .topic = i < 10 ? STR("early") : STR("late")};
        doc.key.id = i + 1;
        doc.key.bytes = doc.text.n;
        doc.key.sha256 = hash_of(text, doc.text.n);
        assert_int_equal(dataset_writer_put(w, &doc, 0, NULL), ERR_OK);
    }
    assert_int_equal(dataset_writer_commit(w, NULL), ERR_OK);
    assert_int_equal(dataset_open(&d, path, NULL), ERR_OK);
    assert_int_equal(used_by(d, NULL, 10, &mem, &rows, &n, NULL), ERR_OK);
    assert_int_equal(n, 4);
    check(&rows[0], "b", "", 10, 110);
    check(&rows[1], "b", "MIT", 10, 110);
    check(&rows[2], "a", "", 5, 55);
    check(&rows[3], "a", "MIT", 5, 55);
    assert_int_equal(used_by(d, "topic = 'early' AND licence != ''", 10, &mem, &rows, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    check(&rows[0], "b", "MIT", 3, 33);
    check(&rows[1], "a", "MIT", 2, 22);
    assert_int_equal(used_by(d, "", 1, &mem, &rows, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    check(&rows[1], "(others)", "", 25, 275);
    assert_int_equal(used_by(d, "0", 1, &mem, &rows, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(used_by(d, "no such", 1, &mem, &rows, &n, NULL), ERR_USAGE);
    dataset_close(d);
    arena_fini(&mem);
    assert_int_equal(unlink(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
