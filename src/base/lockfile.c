/* lockfile: see lockfile.h. */
#include "base/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"

/* Asks again and again: flock() that waits could not be stopped by Ctrl-C in another thread. */
static err_code wait_for(int fd, const char *path, int how, double seconds, const volatile int *stop, err *e) {
    const struct timespec nap = {.tv_nsec = 50000000};
    for (double end = os_now() + seconds; flock(fd, how | LOCK_NB) != 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return os_refused(path, "locked", e);
        if (stop && *stop)
            return err_set(e, ERR_CANCELLED, "stopped while another process was waited for");
        if (seconds >= 0 && os_now() >= end)
            return err_set(e, ERR_IO, "%s: is in use by another process (wait for it to end)", path);
        nanosleep(&nap, NULL);
    }
    return ERR_OK;
}

static err_code open_file(int *fd, const char *path, err *e) {
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    return *fd >= 0 ? ERR_OK : os_refused(path, "opened", e);
}

err_code lockfile_take(int *fd, const char *path, bool exclusive, double seconds, const volatile int *stop, err *e) {
    TRY(open_file(fd, path, e));
    err_code code = wait_for(*fd, path, exclusive ? LOCK_EX : LOCK_SH, seconds, stop, e);
    if (code != ERR_OK) {
        lockfile_leave(*fd);
        *fd = -1;
    }
    return code;
}

err_code lockfile_try(int *fd, const char *path, bool exclusive, err *e) {
    TRY(open_file(fd, path, e));
    if (flock(*fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return ERR_OK;
    err_code code = errno == EWOULDBLOCK ? ERR_OK : os_refused(path, "locked", e);
    lockfile_leave(*fd);
    *fd = -1;
    return code;
}

void lockfile_leave(int fd) {
    if (fd >= 0)
        close(fd);
}
