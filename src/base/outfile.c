/* outfile: a file that comes into being whole or not at all; see outfile.h.
 *
 *   open: a file without a name in the folder (or PATH.pid.n.tmp) -> write ... -> commit: fsync -> if it has no name,
 *   the name PATH; where that is taken PATH.pid.n.tmp -> rename over PATH -> fsync of the folder
 *
 * Invariants
 *   1. A descriptor opened here is closed here, and a temporary name given here is taken away here, on every path.
 *   2. Nothing happens to PATH before it is given to the file whose bytes are on disk, in one step.
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

#include "base/os.h"

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
        err_code code = os_refused(path, "created", e);
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
        code = os_refused(path, "read", e);
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
            return os_refused(f->path, "read", e);
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
        return os_refused(f->path, "read", e);
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
            return os_refused(f->path, "written", e);
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
err_code outfile_sync_folder(const char *dir, err *e) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_OK; /* a folder one may write but not read */
    err_code code = fsync(fd) == 0 || errno == EINVAL ? ERR_OK : os_refused(dir, "brought to disk", e);
    close(fd);
    return code;
}

err_code outfile_sync_folder_of(const char *path, err *e) {
    char dir[PATH_BYTES_MAX];
    folder_of(path, dir);
    return outfile_sync_folder(dir, e);
}

/* A file without a name gets PATH when nothing stands there, else a temporary name, to be renamed. */
static err_code give_name(outfile *f, bool *done, err *e) {
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
    *done = linkat(AT_FDCWD, self, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW) == 0;
    if (*done)
        return ERR_OK;
    f->named = errno == EEXIST && linkat(AT_FDCWD, self, AT_FDCWD, f->temp, AT_SYMLINK_FOLLOW) == 0;
    return f->named ? ERR_OK : os_refused(f->path, "given its name", e);
}

static err_code publish(outfile *f, err *e) {
    bool done = false;
    TRY(flush(f, e));
    if (f->compares)
        return compare_end(f, e);
    if (fsync(f->fd) != 0)
        return os_refused(f->path, "brought to disk", e);
    if (!f->named)
        TRY(give_name(f, &done, e));
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0)
        return os_refused(f->path, "written", e);
    if (!done && rename(f->temp, f->path) != 0)
        return os_refused(f->path, "replaced", e);
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
