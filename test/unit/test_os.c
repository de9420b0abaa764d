/* os: files are read whole or refused with path and reason, replaced whole or not at all. */
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

static char dir[3000];

static const char *in_dir(const char *name) {
    static char path[2][4096];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text, size_t n) {
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(dir, sizeof dir, "%s/test_os_XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int n_entries(void) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = -2; /* . and .. */
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int empty_dir(void **state) {
    (void)state;
    DIR *d = opendir(dir);
    for (struct dirent *x; d && (x = readdir(d));)
        remove(in_dir(x->d_name));
    if (d)
        closedir(d);
    return rmdir(dir);
}

/* The lowest free descriptor: the same before and after when nothing leaks. */
static int next_fd(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

static void maps_a_file(void **state) {
    (void)state;
    os_map m;
    err e;
    int fd = next_fd();
    put("a", "hello", 5);
    assert_int_equal(os_map_open(&m, in_dir("a"), &e), ERR_OK);
    assert_int_equal(m.n, 5);
    assert_memory_equal(m.p, "hello", 5);
    assert_int_equal((uintptr_t)m.p % 4096, 0);
    os_map_close(&m);
    assert_null(m.p);
    os_map_close(&m); /* a closed map may be closed again */
    put("empty", "", 0);
    assert_int_equal(os_map_open(&m, in_dir("empty"), &e), ERR_OK);
    assert_true(m.p == NULL && m.n == 0);
    os_map_release(&m, 0, 10);
    os_map_close(&m);
    assert_int_equal(next_fd(), fd);
}

static void refuses_to_map_what_is_no_file(void **state) {
    (void)state;
    os_map m = {(const uint8_t *)"x", 1};
    err e;
    int fd = next_fd();
    assert_int_equal(os_map_open(&m, in_dir("none"), &e), ERR_IO);
    assert_non_null(strstr(e.text, "/none: cannot be opened: No such file"));
    assert_true(m.p == NULL && m.n == 0);
    assert_int_equal(os_map_open(&m, dir, &e), ERR_IO);
    assert_non_null(strstr(e.text, "is a directory"));
    assert_int_equal(os_map_open(&m, "/dev/zero", &e), ERR_IO);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(os_map_open(&m, in_dir("fifo"), &e), ERR_IO); /* and does not wait for a writer */
    assert_int_equal(os_map_open(&m, "", &e), ERR_IO);
    assert_int_equal(next_fd(), fd);
}

/* CVE-2024-39719, CVE-2024-39721: a name from elsewhere that is a pipe, a device, a folder, or leads in a circle.
 * Reading it must neither wait, nor go on for ever, nor show what is there. */
static void test_cve_blocking_read_2024_39719_2024_39721(void **state) {
    (void)state;
    strbuf b = {0};
    err e;
    int fd = next_fd();
    unlink(in_dir("pipe"));
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(symlink("pipe", in_dir("to-pipe")), 0);
    assert_int_equal(symlink("circle", in_dir("circle")), 0);
    const struct {
        const char *path, *what;
    } refused[] = {
        {in_dir("pipe"), "not a regular file"},
        {"/dev/zero", "not a regular file"},
        {"/dev/null", "not a regular file"},
        {dir, "is a directory"},
        {"", "cannot be opened"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(os_read_regular(refused[i].path, 1 << 20, &b, &e), ERR_IO);
        assert_non_null(strstr(e.text, refused[i].what));
    }
    assert_int_equal(os_read_regular(in_dir("to-pipe"), 1 << 20, &b, &e), ERR_IO);
    assert_int_equal(os_read_regular(in_dir("circle"), 1 << 20, &b, &e), ERR_IO);
    put("plain", "abc", 3);
    assert_int_equal(os_read_regular(in_dir("plain"), 2, &b, &e), ERR_LIMIT);
    assert_int_equal(b.n, 0);
    assert_int_equal(os_read_regular(in_dir("plain"), 3, &b, &e), ERR_OK);
    assert_int_equal(b.n, 3);
    assert_memory_equal(b.p, "abc", 3);
    assert_int_equal(next_fd(), fd);
    strbuf_fini(&b);
}

static void released_pages_still_read(void **state) {
    (void)state;
    enum { N = 3 * 4096 + 100 };
    char data[N];
    for (int i = 0; i < N; i++)
        data[i] = (char)(i * 7 >> 2);
    put("pages", data, N);
    os_map m;
    err e;
    assert_int_equal(os_map_open(&m, in_dir("pages"), &e), ERR_OK);
    const size_t range[][2] = {{0, N}, {1, 4096}, {4095, 4098}, {N - 1, 1}, {0, SIZE_MAX}, {N, 5}, {SIZE_MAX, 1}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        os_map_release(&m, range[i][0], range[i][1]);
        assert_memory_equal(m.p, data, N);
    }
    os_map_close(&m);
}

static void reads_whole_files_within_a_limit(void **state) {
    (void)state;
    enum { N = 300000 };
    char *data = malloc(N);
    assert_non_null(data);
    for (int i = 0; i < N; i++)
        data[i] = (char)(i * 31 >> 3);
    put("big", data, N);
    strbuf b = {0};
    err e;
    int fd = next_fd();
    assert_int_equal(strbuf_add(&b, STR("head"), &e), ERR_OK);
    assert_int_equal(os_read_file(in_dir("big"), N, &b, &e), ERR_OK);
    assert_int_equal(b.n, N + 4);
    assert_memory_equal(b.p, "head", 4);
    assert_memory_equal(b.p + 4, data, N);
    b.n = 4;
    assert_int_equal(os_read_file(in_dir("big"), N - 1, &b, &e), ERR_LIMIT);
    assert_int_equal(b.n, 4); /* as before */
    assert_non_null(strstr(e.text, "longer than the 299999 bytes"));
    strbuf empty = {0};
    assert_int_equal(os_read_file(in_dir("big"), N - 1, &empty, &e), ERR_LIMIT);
    assert_null(empty.p);
    b.max = 1000;
    assert_int_equal(os_read_file(in_dir("big"), N, &b, &e), ERR_LIMIT);
    assert_int_equal(b.n, 4);
    assert_int_equal(os_read_file(dir, N, &b, &e), ERR_IO);
    assert_int_equal(os_read_file(in_dir("none"), N, &b, NULL), ERR_IO);
    assert_int_equal(os_read_file("/dev/null", 0, &b, &e), ERR_OK);
    assert_int_equal(b.n, 4);
    strbuf_fini(&b);
    free(data);
    assert_int_equal(next_fd(), fd);
}

static void reads_standard_input(void **state) {
    (void)state;
    put("in", "from a pipe", 11);
    int saved = dup(STDIN_FILENO);
    assert_non_null(freopen(in_dir("in"), "rb", stdin));
    strbuf b = {0};
    err e;
    assert_int_equal(os_read_stdin(5, &b, &e), ERR_LIMIT);
    assert_int_equal(lseek(STDIN_FILENO, 0, SEEK_SET), 0);
    assert_int_equal(os_read_stdin(11, &b, &e), ERR_OK);
    assert_true(str_is(strbuf_str(&b), "from a pipe"));
    strbuf_fini(&b);
    dup2(saved, STDIN_FILENO);
    close(saved);
}

static void writes_and_replaces(void **state) {
    (void)state;
    err e;
    strbuf b = {0};
    int before = n_entries(), fd = next_fd();
    assert_int_equal(os_write_file(in_dir("w"), STR("one"), &e), ERR_OK);
    assert_int_equal(chmod(in_dir("w"), 0640), 0);
    assert_int_equal(os_write_file(in_dir("w"), STR("two\0x"), &e), ERR_OK);
    assert_int_equal(os_read_file(in_dir("w"), 10, &b, &e), ERR_OK);
    assert_true(str_eq(strbuf_str(&b), STR("two\0x")));
    struct stat st;
    assert_int_equal(stat(in_dir("w"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640); /* the permissions stay */
    assert_int_equal(os_write_file(in_dir("w"), (str){NULL, 0}, &e), ERR_OK);
    assert_int_equal(stat(in_dir("w"), &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(n_entries(), before + 1); /* no temporary file stays */
    assert_int_equal(next_fd(), fd);
    strbuf_fini(&b);
}

static void refuses_to_replace_what_is_no_file(void **state) {
    (void)state;
    err e;
    int before = n_entries();
    assert_int_equal(os_write_file("/dev/null", STR("x"), &e), ERR_IO);
    assert_string_equal(e.text, "/dev/null: is not a regular file; it cannot be replaced");
    assert_int_equal(os_write_file(dir, STR("x"), &e), ERR_IO);
    assert_int_equal(os_write_file(in_dir("no/such"), STR("x"), &e), ERR_IO);
    char longer[5000];
    memset(longer, 'l', sizeof longer);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(os_write_file(longer, STR("x"), &e), ERR_LIMIT);
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(n_entries(), before);
}

/* A full disk, by way of a limit on file size: the old file stays, the temporary one goes. */
static void a_failed_write_changes_nothing(void **state) {
    (void)state;
    put("kept", "old", 3);
    int before = n_entries();
    static char big[100000];
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit lim = {50000, 50000};
        err e = {0};
        bool right = setrlimit(RLIMIT_FSIZE, &lim) == 0 &&
                     os_write_file(in_dir("kept"), (str){big, sizeof big}, &e) == ERR_IO &&
                     strstr(e.text, "kept: cannot be written: File too large");
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    strbuf b = {0};
    assert_int_equal(os_read_file(in_dir("kept"), 10, &b, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&b), "old"));
    strbuf_fini(&b);
    assert_int_equal(n_entries(), before);
}

static void tells_folders_from_files(void **state) {
    (void)state;
    put("f", "", 0);
    assert_true(os_is_dir(dir) && os_exists(dir));
    assert_true(!os_is_dir(in_dir("f")) && os_exists(in_dir("f")));
    assert_true(!os_is_dir(in_dir("nix")) && !os_exists(in_dir("nix")));
}

static void large_blocks_are_aligned_and_zeroed(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 4096, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        char *p = os_pages_alloc(n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (n >= 2 << 20 ? 2 << 20 : 64), 0);
        for (size_t k = 0; k < n; k += 4096)
            assert_int_equal(p[k], 0);
        if (n) {
            assert_int_equal(p[n - 1], 0);
            p[0] = p[n - 1] = 1;
        }
        os_pages_free(p, n);
    }
    assert_null(os_pages_alloc(SIZE_MAX));
    assert_null(os_pages_alloc((size_t)1 << 60));
    os_pages_free(NULL, 5);
}

static void machine_figures_are_plausible(void **state) {
    (void)state;
    double a = os_now();
    usleep(2000);
    double b = os_now();
    assert_true(b - a >= 0.002 && b - a < 60);
    assert_true(os_n_cpus() >= 1);
    assert_true(os_memory_bytes() > 64u << 20);
    uint64_t before = os_peak_rss_bytes();
    assert_true(before > 100000 && before < os_memory_bytes());
    enum { N = 64 << 20 };
    char *p = os_pages_alloc(N);
    assert_non_null(p);
    memset(p, 1, N);
    assert_true(os_peak_rss_bytes() >= before + N / 2);
    os_pages_free(p, N);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(os_columns(fds[0]), 0);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(os_columns(-1), 0);
}

static void terminal_width(void **state) {
    (void)state;
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0)
        skip();
    assert_int_equal(os_columns(fd), 80); /* a new one has no size yet */
    close(fd);
}

static void paths_are_joined(void **state) {
    (void)state;
    char path[OS_PATH_BYTES], longest[OS_PATH_BYTES + 1];
    const struct {
        const char *folder, *name, *want;
    } t[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"},
             {"a", "", "a"},    {"", "b", "b"},     {"a/b", "c/d", "a/b/c/d"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(os_join(path, t[i].folder, t[i].name, NULL), ERR_OK);
        assert_string_equal(path, t[i].want);
    }
    memset(longest, 'x', sizeof longest);
    longest[OS_PATH_BYTES - 3] = 0;
    assert_int_equal(os_join(path, longest, "y", NULL), ERR_OK);
    assert_int_equal(os_join(path, longest, "yy", NULL), ERR_LIMIT);
    assert_true(str_is(os_last_part("/a/b//"), "b"));
    assert_true(str_is(os_last_part("b"), "b"));
    assert_int_equal(os_last_part("/").n, 0);
}

/* Two folders of one name, for their owner alone; a place that is not there is named. */
static void test_scratch(void **state) {
    (void)state;
    char a[OS_PATH_BYTES], b[OS_PATH_BYTES];
    struct stat is;
    err e = {0};
    assert_int_equal(os_scratch(a, "test-os", NULL), ERR_OK);
    assert_int_equal(os_scratch(b, "test-os", NULL), ERR_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(stat(a, &is), 0);
    assert_int_equal(is.st_mode & 0777, 0700);
    assert_int_equal(rmdir(a) | rmdir(b), 0);
    const char *before = getenv("TMPDIR");
    char kept[OS_PATH_BYTES];
    snprintf(kept, sizeof kept, "%s", before ? before : "");
    setenv("TMPDIR", "/nowhere", 1);
    assert_int_equal(os_scratch(a, "test-os", &e), ERR_IO);
    assert_non_null(strstr(e.text, "/nowhere/test-os-"));
    before ? setenv("TMPDIR", kept, 1) : unsetenv("TMPDIR");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_joined),
        cmocka_unit_test(maps_a_file),
        cmocka_unit_test(refuses_to_map_what_is_no_file),
        cmocka_unit_test(test_cve_blocking_read_2024_39719_2024_39721),
        cmocka_unit_test(released_pages_still_read),
        cmocka_unit_test(reads_whole_files_within_a_limit),
        cmocka_unit_test(reads_standard_input),
        cmocka_unit_test(writes_and_replaces),
        cmocka_unit_test(refuses_to_replace_what_is_no_file),
        cmocka_unit_test(a_failed_write_changes_nothing),
        cmocka_unit_test(tells_folders_from_files),
        cmocka_unit_test(large_blocks_are_aligned_and_zeroed),
        cmocka_unit_test(machine_figures_are_plausible),
        cmocka_unit_test(terminal_width),
        cmocka_unit_test(test_scratch),
    };
    return cmocka_run_group_tests(tests, make_dir, empty_dir);
}
