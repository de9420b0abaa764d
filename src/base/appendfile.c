/* appendfile: see appendfile.h. */
#include "base/appendfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"

struct appendfile {
    int fd;
    char *path;
};

static err_code open_in(appendfile *f, err *e) {
    struct stat st;
    f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (f->fd < 0)
        return os_refused(f->path, "opened", e);
    if (fstat(f->fd, &st) != 0)
        return os_refused(f->path, "examined", e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: is not a regular file", f->path);
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(e, ERR_IO, "%s: is in use by another process (wait for it to end)", f->path)
                   : os_refused(f->path, "locked", e);
    return ERR_OK;
}

err_code appendfile_open(appendfile **out, const char *path, err *e) {
    *out = NULL;
    appendfile *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    if (!f || !copy) {
        free(f);
        free(copy);
        return err_set(e, ERR_MEMORY, "no memory to open %s", path);
    }
    f->fd = -1;
    f->path = copy;
    err_code code = open_in(f, e);
    if (code != ERR_OK) {
        appendfile_close(f);
        return code;
    }
    *out = f;
    return ERR_OK;
}

void appendfile_close(appendfile *f) {
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

err_code appendfile_truncate(appendfile *f, uint64_t n, err *e) {
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return os_refused(f->path, "examined", e);
    if ((uint64_t)st.st_size < n)
        return err_set(e, ERR_USAGE, "%s: is shorter than %llu bytes", f->path, (unsigned long long)n);
    if ((uint64_t)st.st_size > n && ftruncate(f->fd, (off_t)n) != 0)
        return os_refused(f->path, "cut", e);
    return ERR_OK;
}

err_code appendfile_add(appendfile *f, str bytes, err *e) {
    while (bytes.n) {
        ssize_t put = write(f->fd, bytes.p, bytes.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return os_refused(f->path, "written", e);
        bytes = str_sub(bytes, (size_t)put, bytes.n);
    }
    return ERR_OK;
}

err_code appendfile_sync(appendfile *f, err *e) {
    return fsync(f->fd) == 0 ? ERR_OK : os_refused(f->path, "brought to disk", e);
}
