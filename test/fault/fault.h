/* fault: makes the n-th allocation, or the n-th call of the system, fail.
 *
 * Include it in one file of a program in test/fault/. The Makefile links those with --wrap for the functions
 * below, so every call from Loam's own objects comes through here; calls inside other libraries do not.
 *
 *     FAULT_EACH(FAULT_MEMORY, 1000) {
 *         err e = {0};
 *         err_code code = thing_open(&t, path, &e);
 *         fault_end(code == ERR_OK);            // also checks that a failure was reported
 *         if (code == ERR_OK) thing_close(t);   // leaks are seen by `make san`
 *     }
 *
 * The body runs with the 1st call failing, then the 2nd, and so on, until a run in which none was left to
 * fail; that one must succeed. FAULT_EACH fails the test when it needs more than `most` runs, or when nothing ever
 * failed. Only the thread that runs the body is counted.
 */
#ifndef LOAM_TEST_FAULT_H
#define LOAM_TEST_FAULT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum { FAULT_NONE, FAULT_MEMORY, FAULT_IO } fault_kind;

static _Thread_local struct {
    fault_kind kind;
    long countdown; /* the call that fails is the one that brings this to 0 */
    long n_run;
    bool armed, fired;
    bool no_nameless; /* O_TMPFILE is refused, as by a file system that has none */
} fault;

static bool fault_now(fault_kind kind) {
    if (!fault.armed || fault.kind != kind || --fault.countdown != 0)
        return false;
    fault.fired = true;
    errno = kind == FAULT_MEMORY ? ENOMEM : EIO;
    return true;
}

/* Ends the counted part of one run: after a fault it must have failed, without one it must have succeeded. */
static inline void fault_end(bool succeeded) {
    fault.armed = false;
    if (fault.fired == succeeded)
        fail_msg("run %ld: the call %s", fault.n_run,
                 succeeded ? "succeeded although something in it failed" : "failed although nothing in it did");
}

/* As fault_end(), for code that may go on without what failed. */
static inline void fault_end_any(void) { fault.armed = false; }

static inline bool fault_next(fault_kind kind, long most) {
    fault.armed = false;
    if (fault.n_run > 0 && !fault.fired) { /* the last run had no fault left: all have been tried */
        if (fault.n_run < 2)
            fail_msg("nothing was there to fail");
        fault.n_run = 0;
        return false;
    }
    if (fault.n_run >= most)
        fail_msg("more than %ld runs", most);
    fault.n_run++;
    fault.kind = kind;
    fault.countdown = fault.n_run;
    fault.fired = false;
    return fault.armed = true;
}

#define FAULT_EACH(kind, most) for (fault.n_run = 0; fault_next((kind), (most));)

/* ---- the wrapped functions ---- */

#define FAULT_WRAP(kind, type, failed, name, params, args) \
    type __real_##name params;                             \
    type __wrap_##name params;                             \
    type __wrap_##name params { return fault_now(kind) ? (failed) : __real_##name args; }

FAULT_WRAP(FAULT_MEMORY, void *, NULL, malloc, (size_t n), (n))
FAULT_WRAP(FAULT_MEMORY, void *, NULL, calloc, (size_t n, size_t size), (n, size))
FAULT_WRAP(FAULT_MEMORY, void *, NULL, realloc, (void *p, size_t n), (p, n))
FAULT_WRAP(FAULT_MEMORY, void *, NULL, aligned_alloc, (size_t align, size_t n), (align, n))
FAULT_WRAP(FAULT_MEMORY, void *, MAP_FAILED, mmap, (void *p, size_t n, int prot, int how, int fd, off_t at),
           (p, n, prot, how, fd, at))
FAULT_WRAP(FAULT_IO, int, -1, fstat, (int fd, struct stat *st), (fd, st))
FAULT_WRAP(FAULT_IO, ssize_t, -1, read, (int fd, void *p, size_t n), (fd, p, n))
FAULT_WRAP(FAULT_IO, ssize_t, -1, __read_chk, (int fd, void *p, size_t n, size_t size), (fd, p, n, size))
FAULT_WRAP(FAULT_IO, ssize_t, -1, write, (int fd, const void *p, size_t n), (fd, p, n))
FAULT_WRAP(FAULT_IO, int, -1, fsync, (int fd), (fd))
FAULT_WRAP(FAULT_IO, int, -1, rename, (const char *from, const char *to), (from, to))
FAULT_WRAP(FAULT_IO, int, -1, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags),
           (from_dir, from, to_dir, to, flags))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (fault.no_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fault_now(FAULT_IO) ? -1 : __real_open(path, flags, mode);
}

#endif
