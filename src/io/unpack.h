/* unpack: the bytes of a file front to back, whether it is plain, gzip (RFC 1952) or Zstandard (RFC 8878).
 *
 * What it is says the file's beginning, not its name. Several gzip members or zstd frames in a row are one text, as
 * for gzip and zstd themselves. Memory is bounded whatever the file says: 32 KiB of history for gzip, at most 128 MiB
 * (UNPACK_WINDOW_LOG) for zstd. A file that unpacks to more than UNPACK_RATIO_MAX times what was read of it, beyond
 * UNPACK_FREE_BYTES, is refused as a bomb; UNPACK_BYTES_MAX bounds everything.
 *
 * Errors name the file: ERR_IO; ERR_FORMAT for damaged, truncated or trailing bytes, with the offset in the file;
 * ERR_LIMIT for a bomb or a window that is too large. After an error only unpack_close() is useful.
 * One thread at a time. Proved by test_unpack.c, fuzz_unpack.c, test_data.py (bombs).
 */
#ifndef LOAM_IO_UNPACK_H
#define LOAM_IO_UNPACK_H

#include <stdbool.h>

#include "base/hash.h"

#define UNPACK_BYTES_MAX ((uint64_t)1 << 42)
#define UNPACK_FREE_BYTES ((uint64_t)64 << 20)
enum { UNPACK_RATIO_MAX = 256, UNPACK_WINDOW_LOG = 27 };

typedef struct unpack unpack;

/* Regular files alone; a symbolic link at `path` is followed or refused. */
typedef enum { UNPACK_FOLLOW, UNPACK_NO_LINKS } unpack_links;
err_code unpack_open(unpack **out, const char *path, unpack_links links, err *e);
/* Reads a descriptor that stays the caller's: a pipe, say. `name` is for messages and must live on. */
err_code unpack_open_fd(unpack **out, int fd, const char *name, err *e);
void unpack_close(unpack *u); /* NULL allowed */

/* Up to n bytes into p, at least 1 unless the end is reached: *got 0. */
err_code unpack_read(unpack *u, void *p, size_t n, size_t *got, err *e);

const char *unpack_format(const unpack *u); /* "plain", "gzip", "zstd"; known after the first read */
uint64_t unpack_taken(const unpack *u);     /* bytes of the file read so far */
hash256 unpack_digest(unpack *u);           /* SHA-256 of those bytes; nothing can be read afterwards */

#endif
