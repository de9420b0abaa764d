/* outfile: whole or not at all, however it ends. Failing calls are in test/fault/test_io_fault.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "base/outfile.h"

static char dir[4000], path[4096];

static int make_dir(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(dir, sizeof dir, "%s/outfile-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/f", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails when anything is left over */
}

static int n_entries(void) {
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));)
        n += strcmp(f->d_name, ".") && strcmp(f->d_name, "..");
    closedir(d);
    return n;
}

static void check_file(const void *bytes, size_t n) {
    strbuf b = {0};
    assert_int_equal(os_read_file(path, 1 << 24, &b, NULL), ERR_OK);
    assert_true(str_eq(strbuf_str(&b), (str){bytes, n}));
    strbuf_fini(&b);
}

/* Pieces below, at and above the buffer's size, zeros, nothing. */
static void writes_what_it_is_given(void **state) {
    (void)state;
    enum { N = 1 << 19 };
    static uint8_t data[N + 5000];
    for (size_t i = 0; i < N; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    static const size_t pieces[] = {1, 0, 7, 65528, 1, 65536, 65535, 65537, 100, 200000};
    outfile *f;
    err e;
    assert_int_equal(outfile_open(&f, path, &e), ERR_OK);
    size_t at = 0;
    for (size_t i = 0; at < N; i++) {
        size_t n = pieces[i % (sizeof pieces / sizeof *pieces)];
        n = n < N - at ? n : N - at;
        assert_int_equal(outfile_write(f, data + at, n, &e), ERR_OK);
        at += n;
        assert_int_equal(outfile_bytes(f), at);
    }
    assert_int_equal(outfile_zeros(f, 5000, &e), ERR_OK);
    assert_false(os_exists(path));
    assert_int_equal(outfile_commit(f, &e), ERR_OK);
    check_file(data, N + 5000);
    assert_int_equal(n_entries(), 1);

    assert_int_equal(outfile_open(&f, path, &e), ERR_OK);
    assert_int_equal(outfile_write(f, "new", 3, &e), ERR_OK);
    outfile_abort(f);
    check_file(data, N + 5000); /* given up: the old one stays */
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(outfile_open(&f, path, &e), ERR_OK);
    assert_int_equal(outfile_write(f, "new", 3, &e), ERR_OK);
    assert_int_equal(outfile_commit(f, &e), ERR_OK);
    check_file("new", 3);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(n_entries(), 1);
    outfile_abort(NULL);
}

static void refuses_places(void **state) {
    (void)state;
    outfile *f;
    err e;
    assert_int_equal(outfile_open(&f, "/dev/null", &e), ERR_IO);
    assert_string_equal(e.text, "/dev/null: is not a regular file; it cannot be replaced");
    assert_int_equal(outfile_open(&f, dir, &e), ERR_IO);
    char there[5000];
    snprintf(there, sizeof there, "%s/no/such", dir);
    assert_int_equal(outfile_open(&f, there, &e), ERR_IO);
    assert_non_null(strstr(e.text, "no/such: cannot be created: No such file or directory"));
    memset(there, 'l', sizeof there - 1);
    assert_int_equal(outfile_open(&f, there, &e), ERR_LIMIT);
}

/* Runs body in a child that ends as it likes; true when it ended with `status`. */
static bool child_ends(void (*body)(void), int status) {
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(1);
    }
    int got;
    assert_int_equal(waitpid(child, &got, 0), child);
    return got == status;
}

/* A full disk, by way of a limit on file size. */
static void fill_the_disk(void) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit lim = {1 << 20, 1 << 20};
    static const char block[10000];
    outfile *f;
    err e = {0};
    if (setrlimit(RLIMIT_FSIZE, &lim) != 0 || outfile_open(&f, path, &e) != ERR_OK)
        _exit(2);
    for (int i = 0; i < 1000; i++)
        if (outfile_write(f, block, sizeof block, &e) != ERR_OK) {
            outfile_abort(f);
            _exit(i > 90 && strstr(e.text, "f: cannot be written: File too large") ? 0 : 3);
        }
}

static void die_while_writing(void) {
    static const char block[1 << 20];
    outfile *f;
    if (outfile_open(&f, path, NULL) == ERR_OK && outfile_write(f, block, sizeof block, NULL) == ERR_OK)
        raise(SIGKILL);
}

static void ends_badly_and_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(os_write_file(path, STR("old"), NULL), ERR_OK);
    assert_true(child_ends(fill_the_disk, 0));
    check_file("old", 3);
    assert_int_equal(n_entries(), 1);
    assert_true(child_ends(die_while_writing, SIGKILL));
    check_file("old", 3);
    int probe = open(dir, O_TMPFILE | O_WRONLY, 0600);
    assert_true(n_entries() == 1 || probe < 0); /* without nameless files a temporary name stays */
    if (probe >= 0)
        close(probe);
    DIR *d = opendir(dir);
    for (struct dirent *f; (f = readdir(d));)
        if (strstr(f->d_name, ".tmp"))
            unlinkat(dirfd(d), f->d_name, 0);
    closedir(d);
    assert_int_equal(n_entries(), 1);
}

/* outfile_compare() of pieces around the buffer's size: the same bytes pass; one bit, one byte fewer, one more do not.
 */
static err_code compared(const uint8_t *bytes, size_t n, err *e) {
    outfile *f;
    assert_int_equal(outfile_compare(&f, path, NULL), ERR_OK);
    err_code code = ERR_OK;
    for (size_t at = 0, part = 1; at < n && code == ERR_OK; at += part, part = part * 7 + 1) {
        part = part < n - at ? part : n - at;
        code = outfile_write(f, bytes + at, part, e);
    }
    if (code == ERR_OK)
        return outfile_commit(f, e);
    outfile_abort(f);
    return code;
}

static void compares_with_what_is_there(void **state) {
    (void)state;
    enum { N = 200000 };
    static uint8_t bytes[N + 1];
    err e = {0};
    for (size_t i = 0; i <= N; i++)
        bytes[i] = (uint8_t)(i * i >> 5);
    assert_int_equal(os_write_file(path, (str){(char *)bytes, N}, NULL), ERR_OK);
    assert_int_equal(compared(bytes, N, &e), ERR_OK);
    for (size_t at = 0; at < N; at += 4567) {
        char want[40];
        bytes[at] ^= 16;
        snprintf(want, sizeof want, "f: byte %zu is another one", at);
        assert_int_equal(compared(bytes, N, &e), ERR_MISMATCH);
        assert_non_null(strstr(e.text, want));
        bytes[at] ^= 16;
    }
    assert_int_equal(compared(bytes, N - 1, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "behind its end"));
    assert_int_equal(compared(bytes, N + 1, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "cut off"));
    assert_int_equal(compared(bytes, N, &e), ERR_OK);
    assert_int_equal(n_entries(), 1);
    unlink(path);
    outfile *f;
    assert_int_equal(outfile_compare(&f, path, &e), ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_it_is_given),
        cmocka_unit_test(refuses_places),
        cmocka_unit_test(compares_with_what_is_there),
        cmocka_unit_test(ends_badly_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
