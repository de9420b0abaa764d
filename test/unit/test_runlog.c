/* runlog: rows come back, later ones are dropped on reopening, other files are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/os.h"
#include "store/runlog.h"
#include "unit/gguf_build.h"

static void write_some(const char *path, uint64_t from, uint64_t to, double joules) {
    runlog *l = NULL;
    err e = {0};
    if (runlog_open(&l, path, from, &e) != ERR_OK)
        fail_msg("%s", e.text);
    for (uint64_t i = from + 1; i <= to; i++) {
        runlog_step s = {
            .step = i, .tokens = 100 * i, .at = 1e9, .seconds = 0.5, .loss = 10 / (double)i, .norm = 1, .lr = 0.25};
        assert_int_equal(runlog_add_step(l, &s, &e), ERR_OK);
        if (i % 3 == 0)
            assert_int_equal(runlog_add_eval(l, &(runlog_eval){i, 1000, 2.5}, &e), ERR_OK);
    }
    runlog_session s = {from, to, 7, joules, 2, "avx2"};
    assert_int_equal(runlog_add_session(l, &s, &e), ERR_OK);
    assert_int_equal(runlog_close(l, &e), ERR_OK);
}

static void rows_come_back(void **state) {
    (void)state;
    const char *path = build_path("log.db");
    err e = {0};
    runlog_rows r;
    unlink(path);
    write_some(path, 0, 10, 30);
    write_some(path, 7, 12, 12.5);
    if (runlog_read(&r, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(r.n_steps, 12);
    assert_int_equal(r.n_evals, 4);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(r.step[i].step, i + 1);
        assert_int_equal(r.step[i].tokens, 100 * (i + 1));
        assert_true(r.step[i].loss == 10 / (double)(i + 1) && r.step[i].lr == 0.25);
    }
    assert_true(r.eval[3].step == 12 && r.eval[3].bits == 2.5 && r.eval[3].bytes == 1000);
    assert_true(r.seconds == 14 && r.joules == 42.5);
    runlog_rows_fini(&r);
    write_some(path, 12, 12, -1); /* what was not measured makes the sum unknown */
    assert_int_equal(runlog_read(&r, path, &e), ERR_OK);
    assert_true(r.joules == -1 && r.seconds == 21);
    runlog_rows_fini(&r);
    unlink(path);
}

static void a_reader_beside_the_writer(void **state) {
    (void)state;
    const char *path = build_path("log.db");
    runlog *l = NULL;
    runlog_rows r;
    unlink(path);
    write_some(path, 0, 5, 0);
    assert_int_equal(runlog_open(&l, path, 5, NULL), ERR_OK);
    assert_int_equal(runlog_add_step(l, &(runlog_step){.step = 6}, NULL), ERR_OK);
    assert_int_equal(runlog_read(&r, path, NULL), ERR_OK);
    assert_int_equal(r.n_steps, 5);
    runlog_rows_fini(&r);
    assert_int_equal(runlog_close(l, NULL), ERR_OK);
    unlink(path);
}

static void other_files_are_refused(void **state) {
    (void)state;
    const char *path = build_path("log.db");
    runlog *l = NULL;
    runlog_rows r;
    err e = {0};
    assert_int_equal(runlog_read(&r, "/nowhere/log.db", &e), ERR_IO);
    build_save(path, STR("no database, but long enough to have the header of one, were it one: ................."));
    assert_int_equal(runlog_open(&l, path, 0, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, path));
    assert_null(l);
    assert_int_equal(runlog_read(&r, path, &e), ERR_FORMAT);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(a_reader_beside_the_writer),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
