/* os: files, mappings, clock and machine, behind one face.
 *
 * Errors name the path and the system's reason.
 */
#ifndef LOAM_BASE_OS_H
#define LOAM_BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* errno as an error: "PATH: cannot be WHAT: REASON"; ERR_IO, or ERR_MEMORY when memory is short. */
err_code os_refused(const char *path, const char *what, err *e);

/* A whole regular file, mapped read-only. A file that shrinks while mapped would fault
 * (SIGBUS); that is the one thing a mapping cannot bound, and is documented as such. */
typedef struct {
    const uint8_t *p; /* page-aligned; NULL for an empty file */
    size_t n;
} os_map;

err_code os_map_open(os_map *m, const char *path, err *e); /* not a regular file: ERR_IO */
void os_map_close(os_map *m);
/* Tells the system that bytes [from, from+n) are not needed any more: their pages stop
 * counting as this process's memory. Contents remain readable. */
void os_map_release(const os_map *m, size_t from, size_t n);

/* The whole file appended to *out; more than max_bytes is ERR_LIMIT. "-" is not special. After an error *out is as it
 * was; one that was empty owns nothing. */
err_code os_read_file(const char *path, size_t max_bytes, strbuf *out, err *e);
/* The same of a regular file alone, for names that come from elsewhere: a pipe that nobody writes to or
 * a device that never ends is refused (ERR_IO) and not waited for. */
err_code os_read_regular(const char *path, size_t max_bytes, strbuf *out, err *e);
/* Standard input to its end, likewise. */
err_code os_read_stdin(size_t max_bytes, strbuf *out, err *e);
/* At once, by base/outfile.h: the old file or the whole new one. */
err_code os_write_file(const char *path, str contents, err *e);

enum { OS_PATH_BYTES = 4096 };
/* "FOLDER/NAME", with one slash between; NAME empty: FOLDER. Longer than OS_PATH_BYTES - 1: ERR_LIMIT. */
err_code os_join(char out[OS_PATH_BYTES], const char *folder, const char *name, err *e);
/* Makes a folder of a new name that begins with `name`, for this user alone, in $TMPDIR or /tmp; its path in out. */
err_code os_scratch(char out[OS_PATH_BYTES], const char *name, err *e);
/* What stands behind the last slash, slashes at the end left out. */
str os_last_part(const char *path);
str os_last_part_of(str path);
bool os_is_dir(const char *path);
bool os_exists(const char *path);

/* Zeroed, 64-byte aligned memory for large blocks (huge pages asked for); NULL when short. */
void *os_pages_alloc(size_t bytes);
void os_pages_free(void *p, size_t bytes);

double os_now(void);            /* seconds, monotonic */
double os_thread_seconds(void); /* for which a CPU has worked for the calling thread */
enum { OS_UTC_BYTES = 40 };
/* Seconds since 1970 as RFC 3339 has them, "2026-11-25T12:00:00Z"; beyond what a calendar can say: "". */
void os_utc(int64_t seconds, char out[OS_UTC_BYTES]);
int os_n_cpus(void);            /* CPUs this process may run on, at least 1 */
uint64_t os_memory_bytes(void); /* physical memory, 0 when unknown */
uint64_t os_peak_rss_bytes(void);
int os_columns(int fd); /* terminal width, 0 when fd is not a terminal */

#endif
