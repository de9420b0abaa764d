/* seen: a set of SHA-256 with a number each, in memory: 44 to 56 bytes an entry.
 *
 * Zero-initialise; seen_fini() frees. At most 2^32 - 2 entries.
 */
#ifndef LOAM_STORE_SEEN_H
#define LOAM_STORE_SEEN_H

#include "base/hash.h"

typedef struct {
    hash256 *sha;
    int64_t *number;
    size_t n, cap;
    uint32_t *slot; /* index + 1 of an entry, 0: free */
    size_t slots;   /* a power of two, at least 2 n */
} seen;

/* The number of this digest, 0 when it is not there. */
int64_t seen_find(const seen *s, const hash256 *sha);
/* Adds one that is not there; number > 0. */
err_code seen_add(seen *s, const hash256 *sha, int64_t number, err *e);
void seen_fini(seen *s);

#endif
