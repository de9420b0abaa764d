/* registry: taking in, names, finding, deleting, checking. End to end: test/e2e/test_pull.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lockfile.h"
#include "store/registry.h"
#include "unit/registry_home.h"

static registry *open_home(void) {
    registry *r;
    assert_int_equal(registry_open(&r, registry_of, true, NULL, NULL), ERR_OK);
    return r;
}

static void take_own(registry *r, const char *name, const char *source) {
    char place[OS_PATH_BYTES];
    registry_file f = {.name = STR("own.gguf")};
    registry_model m = {.name = str_from(name), .source = str_from(source), .file = &f, .n_files = 1};
    hash256 id;
    assert_int_equal(registry_share_in(r, own_file, NULL, place, &f, NULL), ERR_OK);
    assert_true(f.bytes == 10);
    assert_int_equal(registry_put(r, &m, false, &id, NULL), ERR_OK);
}

static err_code count(void *ctx, const registry_model *m, err *e) {
    (void)e;
    assert_true(m->name.n > 0);
    ++*(int *)ctx;
    return ERR_OK;
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"a", "org/Repo-1.5:Q4_K_M", "x@y", "a+b_c"};
    static const char *const bad[] = {"",       "-a",  "/a",  "a/",  "a//b", "..",
                                      "a/../b", "./a", "a b", "a\n", "a\\b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(registry_name_check(str_from(good[i]), NULL), ERR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(registry_name_check(str_from(bad[i]), NULL), ERR_USAGE);
    static const char *const files[] = {"", ".x", "a/b", "..", "a\\b", "x\x01", "-x"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_int_equal(registry_file_name_check(str_from(files[i]), NULL), ERR_FORMAT);
}

static void finding(void **state) {
    (void)state;
    static const struct {
        const char *asked;
        int n;
        err_code code;
    } cases[] = {{"org/m:Q8", 1, ERR_OK}, {"m:Q8", 1, ERR_OK},    {"m", 0, ERR_USAGE}, {"org/m", 0, ERR_USAGE},
                 {"other", 1, ERR_OK},    {"x/other", 1, ERR_OK}, {"q", 0, ERR_OK},    {"../x", 0, ERR_OK}};
    registry *r = open_home();
    take_own(r, "org/m:Q8", "s1");
    take_own(r, "org/m:Q4", "s2");
    take_own(r, "x/other:latest", "s3");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool found;
        int n = 0;
        assert_int_equal(registry_find(r, str_from(cases[i].asked), count, &n, &found, NULL), cases[i].code);
        assert_int_equal(n, cases[i].n);
        assert_int_equal(found, n);
    }
    registry_close(r);
}

static void on_problem(void *ctx, const char *where, const char *what) {
    (void)where;
    (void)what;
    ++*(int *)ctx;
}

static int problems(registry *r) {
    registry_checked c;
    int n = 0;
    assert_int_equal(registry_fsck(r, on_problem, NULL, &n, &c, NULL), ERR_OK);
    assert_true(c.problems == (uint64_t)n);
    return n;
}

static void changing(void **state) {
    (void)state;
    uint64_t freed;
    int n = 0;
    char hidden[1200];
    registry *r = open_home();
    take_own(r, "a", "s");
    take_own(r, "a", "s"); /* again */
    assert_int_equal(registry_name_free(r, STR("a"), STR("t"), NULL), ERR_USAGE);
    assert_int_equal(registry_tag(r, STR("a"), STR("b"), false, NULL), ERR_OK);
    assert_int_equal(registry_tag(r, STR("a"), STR("b"), false, NULL), ERR_USAGE);
    assert_int_equal(registry_tag(r, STR("a"), STR("../b"), true, NULL), ERR_USAGE);
    assert_int_equal(registry_remove(r, STR("a"), &freed, NULL), ERR_OK);
    assert_int_equal(registry_remove(r, STR("a"), &freed, NULL), ERR_USAGE);
    assert_int_equal(problems(r), 0);
    assert_int_equal(registry_gc(r, false, &freed, NULL), ERR_IO); /* fsck holds what a pull holds */
    registry_close(r);
    snprintf(hidden, sizeof hidden, "%s/blobs/x", registry_of);
    r = open_home();
    assert_int_equal(os_write_file(hidden, STR("x"), NULL), ERR_OK);
    assert_int_equal(registry_gc(r, false, &freed, NULL), ERR_OK);
    assert_true(freed == 1 && !os_exists(hidden));
    assert_int_equal(registry_each(r, count, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    registry_close(r);
    assert_int_equal(registry_open(&r, registry_dir, false, NULL, NULL), ERR_OK); /* none there */
    assert_null(r);
    assert_int_equal(registry_each(r, count, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
}

/* A blob of the right length and other bytes: fsck says what to do, and taking the file in mends it. */
static void mending(void **state) {
    (void)state;
    registry *r = open_home();
    char blob[OS_PATH_BYTES];
    take_own(r, "a", "s");
    assert_int_equal(registry_blob_path(r, hash_of("some bytes", 10), blob, NULL), ERR_OK);
    assert_int_equal(os_write_file(blob, STR("sane bytes"), NULL), ERR_OK);
    assert_int_equal(problems(r), 1);
    take_own(r, "a", "s");
    assert_int_equal(problems(r), 0);
    registry_close(r);
}

static void take_revision(registry *r, str contents) {
    assert_int_equal(os_write_file(own_file, contents, NULL), ERR_OK);
    take_own(r, "a", "s");
}

/* What a new revision takes the last name from goes when the registry is closed, or with the next gc. */
static void replacing(void **state) {
    (void)state;
    int busy;
    uint64_t freed;
    char path[1200];
    registry *r = open_home();
    take_own(r, "a", "s");
    take_revision(r, STR("new  bytes"));
    assert_int_equal(problems(r), 2); /* a blob and a folder */
    registry_close(r);
    r = open_home();
    assert_int_equal(problems(r), 0);
    take_revision(r, STR("last bytes"));
    snprintf(path, sizeof path, "%s/lock", registry_of);
    assert_int_equal(lockfile_take(&busy, path, false, 0, NULL, NULL), ERR_OK);
    registry_close(r);
    r = open_home();
    assert_int_equal(problems(r), 2);
    registry_close(r);
    lockfile_leave(busy);
    r = open_home();
    assert_int_equal(registry_gc(r, false, &freed, NULL), ERR_OK);
    assert_int_equal(problems(r), 0);
    registry_close(r);
}

/* That others take something in is no failure of a removal; that a folder cannot be read is. */
static void removing(void **state) {
    (void)state;
    int busy;
    uint64_t freed;
    char path[1200];
    registry *r = open_home();
    take_own(r, "a", "s");
    take_own(r, "b", "s");
    snprintf(path, sizeof path, "%s/lock", registry_of);
    assert_int_equal(lockfile_take(&busy, path, false, 0, NULL, NULL), ERR_OK);
    assert_int_equal(registry_remove(r, STR("a"), &freed, NULL), ERR_OK);
    lockfile_leave(busy);
    snprintf(path, sizeof path, "%s/partial", registry_of);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(registry_remove(r, STR("b"), &freed, NULL), ERR_IO);
    registry_close(r);
}

static void locks(void **state) {
    (void)state;
    int a, b, c;
    volatile int stop = 1;
    char path[1200];
    snprintf(path, sizeof path, "%s/lock-test", registry_dir);
    assert_int_equal(lockfile_take(&a, path, false, 0, NULL, NULL), ERR_OK);
    assert_int_equal(lockfile_take(&b, path, false, 0, NULL, NULL), ERR_OK);
    assert_int_equal(lockfile_take(&c, path, true, 0, NULL, NULL), ERR_IO);
    assert_int_equal(lockfile_take(&c, path, true, -1, &stop, NULL), ERR_CANCELLED);
    assert_int_equal(lockfile_try(&c, path, true, NULL), ERR_OK);
    assert_int_equal(c, -1);
    lockfile_leave(a);
    lockfile_leave(b);
    assert_int_equal(lockfile_try(&c, path, true, NULL), ERR_OK);
    assert_true(c >= 0);
    lockfile_leave(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test_setup_teardown(finding, make_home, delete_home),
        cmocka_unit_test_setup_teardown(changing, make_home, delete_home),
        cmocka_unit_test_setup_teardown(mending, make_home, delete_home),
        cmocka_unit_test_setup_teardown(replacing, make_home, delete_home),
        cmocka_unit_test_setup_teardown(removing, make_home, delete_home),
        cmocka_unit_test_setup_teardown(locks, make_home, delete_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
