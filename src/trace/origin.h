/* origin: a name for the very data that an index was made of, quick to take again.
 *
 * A data set is never changed in place, so its file tells: SHA-256 of "loam origin 1\n", the file's size as 8 bytes
 * little-endian, and of its first and last 4096 bytes and 62 blocks of 4096 at even distances between. It takes a
 * millisecond where reading all would take seconds. It tells a newer state of a data set from an older one, not an
 * honest file from one that was made to deceive; who shows a document compares its text too. Proved by test_trace.py.
 */
#ifndef LOAM_TRACE_ORIGIN_H
#define LOAM_TRACE_ORIGIN_H

#include "base/hash.h"
#include "base/str.h"

err_code origin_of_file(const char *path, hash256 *out, err *e);
/* Of data that are made and not stored: their description. */
hash256 origin_of_text(str description);

#endif
