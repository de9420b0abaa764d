/* outfile: a file that comes into being whole or not at all; see outfile.h.
 *
 *   open: a file without a name in the folder (or PATH.pid.n.tmp) -> write ... -> commit: fsync -> a name beside PATH
 *   (if it has none) -> rename over PATH -> fsync of the folder
 *
 * Invariants
 *   1. A descriptor opened here is closed here, and a temporary name given here is taken away here, on every path.
 *   2. Nothing happens to PATH before the rename, and nothing after it can fail but bringing the folder to disk.
 */
#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, BUFFER_BYTES = 1 << 16 };

struct outfile {
    int fd;
    bool named;    /* `temp` exists */
    bool compares; /* with what stands at `path`; then fd reads it, and there is no `temp` */
    uint64_t bytes;
    size_t n; /* in buffer */
    char path[PATH_BYTES_MAX], temp[PATH_BYTES_MAX];
    uint8_t buffer[BUFFER_BYTES];
};

static err_code refused(err *e, const char *path, const char *what) {
    int why = errno;
    return err_set(e, why == ENOMEM ? ERR_MEMORY : ERR_IO, "%s: cannot be %s: %s", path, what, strerror(why));
}

static void folder_of(const char *path, char dir[PATH_BYTES_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(dir, PATH_BYTES_MAX, "%.*s", n ? (int)n : 1, n ? path : ".");
}

/* A file without a name can get one through /proc alone. */
static int open_nameless(const char *path, mode_t mode) {
    char dir[PATH_BYTES_MAX];
    folder_of(path, dir);
    if (access("/proc/self/fd", X_OK) != 0)
        return -1;
    return open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

err_code outfile_open(outfile **out, const char *path, err *e) {
    static atomic_uint n_opened; /* two threads never choose the same temporary name */
    struct stat st;
    bool there = stat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) /* rename would replace /dev/null by a file */
        return err_set(e, ERR_IO, "%s: is not a regular file; it cannot be replaced", path);
    outfile *f = malloc(sizeof *f);
    if (!f)
        return err_set(e, ERR_MEMORY, "%s: no memory for a file's buffer", path);
    f->named = f->compares = false;
    f->bytes = f->n = 0;
    int n = snprintf(f->temp, sizeof f->temp, "%s.%ld.%u.tmp", path, (long)getpid(), atomic_fetch_add(&n_opened, 1));
    if (n < 0 || (size_t)n >= sizeof f->temp) {
        free(f);
        return err_set(e, ERR_LIMIT, "%.60s...: the path is too long", path);
    }
    snprintf(f->path, sizeof f->path, "%s", path);
    mode_t mode = there ? st.st_mode & 0777 : 0666;
    f->fd = open_nameless(path, mode);
    /* No such files here (EOPNOTSUPP; EISDIR and EINVAL of old kernels); a disk that fails says another thing. */
    if (f->fd < 0 && errno != EIO && errno != ENOSPC) {
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        f->named = f->fd >= 0;
    }
    if (f->fd < 0) {
        err_code code = refused(e, path, "created");
        free(f);
        return code;
    }
    *out = f;
    return ERR_OK;
}

err_code outfile_compare(outfile **out, const char *path, err *e) {
    outfile *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_MEMORY, "%s: no memory for a file's buffer", path);
    int n = snprintf(f->path, sizeof f->path, "%s", path);
    err_code code = ERR_OK;
    if (n < 0 || (size_t)n >= sizeof f->path)
        code = err_set(e, ERR_LIMIT, "%.60s...: the path is too long", path);
    else if ((f->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        code = refused(e, path, "read");
    if (code != ERR_OK) {
        free(f);
        return code;
    }
    f->compares = true;
    *out = f;
    return ERR_OK;
}

/* Bytes [at, at + n) of the file against p[n]. */
static err_code compare(const outfile *f, uint64_t at, const uint8_t *p, size_t n, err *e) {
    uint8_t is[4096];
    for (size_t part; n; p += part, at += part, n -= part) {
        ssize_t got = pread(f->fd, is, n < sizeof is ? n : sizeof is, (off_t)at);
        part = got > 0 ? (size_t)got : 0;
        size_t i = 0;
        while (i < part && is[i] == p[i])
            i++;
        if (got < 0 && errno != EINTR)
            return refused(e, f->path, "read");
        if (got == 0)
            return err_set(e, ERR_MISMATCH, "%s: is cut off at byte %" PRIu64, f->path, at);
        if (i < part)
            return err_set(e, ERR_MISMATCH, "%s: byte %" PRIu64 " is another one", f->path, at + i);
    }
    return ERR_OK;
}

static err_code compare_end(const outfile *f, err *e) {
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return refused(e, f->path, "read");
    return (uint64_t)st.st_size == f->bytes
               ? ERR_OK
               : err_set(e, ERR_MISMATCH, "%s: has bytes behind its end at %" PRIu64, f->path, f->bytes);
}

/* Behind `at` bytes. */
static err_code put(outfile *f, uint64_t at, const uint8_t *p, size_t n, err *e) {
    if (f->compares)
        return compare(f, at, p, n, e);
    while (n) {
        ssize_t done = write(f->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return refused(e, f->path, "written");
        p += done;
        n -= (size_t)done;
    }
    return ERR_OK;
}

static err_code flush(outfile *f, err *e) {
    size_t n = f->n;
    f->n = 0;
    return put(f, f->bytes - n, f->buffer, n, e);
}

err_code outfile_write(outfile *f, const void *bytes, size_t n, err *e) {
    if (n == 0)
        return ERR_OK;
    if (n > sizeof f->buffer - f->n)
        TRY(flush(f, e));
    f->bytes += n;
    if (n >= sizeof f->buffer)
        return put(f, f->bytes - n, bytes, n, e);
    memcpy(f->buffer + f->n, bytes, n);
    f->n += n;
    return ERR_OK;
}

err_code outfile_zeros(outfile *f, size_t n, err *e) {
    static const uint8_t zeros[4096];
    for (size_t part; n; n -= part) {
        part = n < sizeof zeros ? n : sizeof zeros;
        TRY(outfile_write(f, zeros, part, e));
    }
    return ERR_OK;
}

uint64_t outfile_bytes(const outfile *f) { return f->bytes; }

/* The new name survives a power cut only when its folder is on disk too. A file system that cannot
 * sync a folder says EINVAL, and then there is nothing more to be done. */
err_code outfile_sync_folder_of(const char *path, err *e) {
    char dir[PATH_BYTES_MAX];
    folder_of(path, dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_OK; /* a folder one may write but not read */
    err_code code = fsync(fd) == 0 || errno == EINVAL ? ERR_OK : refused(e, dir, "brought to disk");
    close(fd);
    return code;
}

static err_code publish(outfile *f, err *e) {
    TRY(flush(f, e));
    if (f->compares)
        return compare_end(f, e);
    if (fsync(f->fd) != 0)
        return refused(e, f->path, "brought to disk");
    if (!f->named) {
        char self[40];
        snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, f->temp, AT_SYMLINK_FOLLOW) != 0)
            return refused(e, f->path, "given its name");
        f->named = true;
    }
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0)
        return refused(e, f->path, "written");
    if (rename(f->temp, f->path) != 0)
        return refused(e, f->path, "replaced");
    f->named = false;
    return outfile_sync_folder_of(f->path, e);
}

err_code outfile_commit(outfile *f, err *e) {
    err_code code = publish(f, e);
    outfile_abort(f);
    return code;
}

void outfile_abort(outfile *f) {
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->named)
        unlink(f->temp);
    free(f);
}
