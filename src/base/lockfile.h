/* lockfile: an advisory lock that ends with the process that holds it, however that ends.
 *
 * The file is created and stays; what counts is flock() on it. Proved by test_registry.c and test/e2e/test_pull.py.
 */
#ifndef LOAM_BASE_LOCKFILE_H
#define LOAM_BASE_LOCKFILE_H

#include <stdbool.h>

#include "base/err.h"

/* Waits up to `seconds` (below 0: without end) while others hold it in a way that excludes this one; ERR_IO "... is in
 * use" after that. *stop not 0 (it may be NULL): ERR_CANCELLED. *fd is the lock; lockfile_leave() closes it. */
err_code lockfile_take(int *fd, const char *path, bool exclusive, double seconds, const volatile int *stop, err *e);
/* Without waiting: *fd is -1 when others hold it, and that is no error. */
err_code lockfile_try(int *fd, const char *path, bool exclusive, err *e);
void lockfile_leave(int fd); /* below 0 allowed */

#endif
