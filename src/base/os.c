/* os: POSIX files, mappings, clock and machine; see os.h.
 *
 * Invariants:
 *   1. A descriptor opened here is closed here, on every path.
 *   2. Nothing blocks on opening a FIFO; a signal that interrupts a call makes it go on.
 */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/outfile.h"

enum { READ_BYTES = 64 << 10, HUGE_BYTES = 2 << 20 };

err_code os_refused(const char *path, const char *what, err *e) {
    int why = errno;
    return err_set(e, why == ENOMEM ? ERR_MEMORY : ERR_IO, "%s: cannot be %s: %s", path, what, strerror(why));
}

static size_t page_bytes(void) {
    long n = sysconf(_SC_PAGESIZE);
    return n > 0 ? (size_t)n : 4096;
}

/* ---- mappings ---- */

static err_code not_regular(const char *path, const struct stat *st, err *e) {
    return err_set(e, ERR_IO, "%s: %s, not a regular file", path,
                   S_ISDIR(st->st_mode) ? "is a directory" : "is a device, pipe or socket");
}

static err_code map_fd(os_map *m, int fd, const char *path, err *e) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return os_refused(path, "examined", e);
    if (!S_ISREG(st.st_mode))
        return not_regular(path, &st, e);
    if (st.st_size == 0)
        return ERR_OK;
    if ((uintmax_t)st.st_size > PTRDIFF_MAX)
        return err_set(e, ERR_LIMIT, "%s: %jd bytes are more than can be mapped", path, (intmax_t)st.st_size);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return os_refused(path, "mapped", e);
    *m = (os_map){p, (size_t)st.st_size};
    return ERR_OK;
}

err_code os_map_open(os_map *m, const char *path, err *e) {
    *m = (os_map){0};
    /* O_NONBLOCK: opening a FIFO returns at once, so that it can be refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = map_fd(m, fd, path, e);
    close(fd);
    return code;
}

void os_map_close(os_map *m) {
    if (m->n)
        munmap((void *)(uintptr_t)m->p, m->n);
    *m = (os_map){0};
}

void os_map_release(const os_map *m, size_t from, size_t n) {
    if (from >= m->n)
        return;
    size_t page = page_bytes(), to = n < m->n - from ? from + n : m->n;
    /* Whole pages only; the page at the end of the file holds nothing behind the file. */
    size_t first = (from + page - 1) / page * page;
    size_t last = to == m->n ? to : to / page * page;
    if (first < last)
        madvise((void *)(uintptr_t)(m->p + first), last - first, MADV_DONTNEED);
}

/* ---- reading ---- */

static err_code read_fd(int fd, const char *path, size_t max_bytes, strbuf *out, err *e) {
    size_t had = out->n;
    char buf[READ_BYTES];
    for (;;) {
        ssize_t got = read(fd, buf, sizeof buf);
        if (got == 0)
            return ERR_OK;
        if (got < 0 && errno == EINTR)
            continue;
        err_code code = ERR_OK;
        if (got < 0)
            code = os_refused(path, "read", e);
        else if ((size_t)got > max_bytes - (out->n - had))
            code = err_set(e, ERR_LIMIT, "%s: is longer than the %zu bytes allowed here", path, max_bytes);
        else if ((code = strbuf_add(out, (str){buf, (size_t)got}, e)) != ERR_OK)
            code = err_in(e, code, "%s", path);
        if (code != ERR_OK) {
            out->n = had;
            if (had == 0)
                strbuf_fini(out);
            return code;
        }
    }
}

err_code os_read_file(const char *path, size_t max_bytes, strbuf *out, err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = read_fd(fd, path, max_bytes, out, e);
    close(fd);
    return code;
}

err_code os_read_regular(const char *path, size_t max_bytes, strbuf *out, err *e) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = ERR_OK;
    if (fstat(fd, &st) != 0)
        code = os_refused(path, "examined", e);
    else if (!S_ISREG(st.st_mode))
        code = not_regular(path, &st, e);
    else
        code = read_fd(fd, path, max_bytes, out, e);
    close(fd);
    return code;
}

err_code os_read_stdin(size_t max_bytes, strbuf *out, err *e) {
    return read_fd(STDIN_FILENO, "standard input", max_bytes, out, e);
}

/* ---- writing ---- */

err_code os_write_file(const char *path, str contents, err *e) {
    outfile *f;
    TRY(outfile_open(&f, path, e));
    err_code code = outfile_write(f, contents.p, contents.n, e);
    if (code == ERR_OK)
        return outfile_commit(f, e);
    outfile_abort(f);
    return code;
}

err_code os_join(char out[OS_PATH_BYTES], const char *folder, const char *name, err *e) {
    size_t n = strlen(folder);
    bool slash = *name && n > 0 && folder[n - 1] != '/';
    int all = snprintf(out, OS_PATH_BYTES, "%s%s%s", folder, slash ? "/" : "", name);
    return all >= 0 && all < OS_PATH_BYTES ? ERR_OK : err_set(e, ERR_LIMIT, "%.60s...: the path is too long", folder);
}

err_code os_scratch(char out[OS_PATH_BYTES], const char *name, err *e) {
    const char *place = getenv("TMPDIR");
    int n = snprintf(out, OS_PATH_BYTES, "%s/%s-XXXXXX", place && *place ? place : "/tmp", name);
    if (n < 0 || n >= OS_PATH_BYTES)
        return err_set(e, ERR_LIMIT, "TMPDIR: the path is too long");
    return mkdtemp(out) ? ERR_OK : os_refused(out, "created", e);
}

str os_last_part_of(str s) {
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    size_t from = s.n;
    while (from > 0 && s.p[from - 1] != '/')
        from--;
    return str_sub(s, from, s.n);
}

str os_last_part(const char *path) { return os_last_part_of(str_from(path)); }

bool os_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool os_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

/* ---- memory ---- */

/* What os_pages_alloc() takes for `bytes`: whole huge pages for a large block, else whole pages; 0 on overflow. */
static size_t pages_rounded(size_t bytes) {
    size_t unit = bytes >= HUGE_BYTES ? HUGE_BYTES : page_bytes();
    if (bytes > PTRDIFF_MAX - 2 * (size_t)HUGE_BYTES)
        return 0;
    return bytes ? (bytes + unit - 1) / unit * unit : unit;
}

void *os_pages_alloc(size_t bytes) {
    size_t n = pages_rounded(bytes), extra = n >= HUGE_BYTES ? HUGE_BYTES : 0;
    if (!n)
        return NULL;
    char *p = mmap(NULL, n + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (extra) { /* only aligned memory becomes huge pages: take more, give the ends back */
        size_t skip = (HUGE_BYTES - (uintptr_t)p % HUGE_BYTES) % HUGE_BYTES;
        if (skip)
            munmap(p, skip);
        if (extra - skip)
            munmap(p + skip + n, extra - skip);
        p += skip;
#ifdef MADV_HUGEPAGE
        madvise(p, n, MADV_HUGEPAGE); /* a wish: a kernel without it changes speed only */
#endif
    }
    return p;
}

void os_pages_free(void *p, size_t bytes) {
    if (p)
        munmap(p, pages_rounded(bytes));
}

/* ---- clock and machine ---- */

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double os_now(void) { return seconds_of(CLOCK_MONOTONIC); }

double os_thread_seconds(void) { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

void os_utc(int64_t seconds, char out[OS_UTC_BYTES]) {
    struct tm t;
    time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &t) || strftime(out, OS_UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", &t) == 0)
        *out = 0;
}

int os_n_cpus(void) {
    /* The kernel refuses a set smaller than its own: try larger ones. */
    for (int cpus = 1024; cpus <= 1 << 17; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (n > 0)
            return n;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < 1 << 17 ? (int)n : 1;
}

uint64_t os_memory_bytes(void) {
    long n = sysconf(_SC_PHYS_PAGES);
    return n > 0 ? (uint64_t)n * page_bytes() : 0;
}

uint64_t os_peak_rss_bytes(void) {
    /* VmHWM is of this program alone; getrusage() also remembers the process before exec(). */
    strbuf b = {0};
    uint64_t kib = 0;
    if (os_read_file("/proc/self/status", 1 << 16, &b, NULL) == ERR_OK) {
        ptrdiff_t at = str_find(strbuf_str(&b), STR("VmHWM:"), 0);
        for (size_t i = at < 0 ? b.n : (size_t)at + 6; i < b.n && b.p[i] != '\n'; i++)
            if (b.p[i] >= '0' && b.p[i] <= '9')
                kib = kib * 10 + (uint64_t)(b.p[i] - '0');
    }
    strbuf_fini(&b);
    struct rusage u;
    if (kib == 0 && getrusage(RUSAGE_SELF, &u) == 0)
        kib = (uint64_t)u.ru_maxrss;
    return kib * 1024;
}

int os_columns(int fd) {
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) != 0)
        return 0;
    return w.ws_col ? w.ws_col : 80; /* a serial line does not know its width */
}
