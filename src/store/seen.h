/* seen: a set of SHA-256 with a number each, in memory: 56 to 96 bytes an entry.
 *
 * Zero-initialise; seen_fini() frees. At most 2^32 - 2 entries.
 */
#ifndef LOAM_STORE_SEEN_H
#define LOAM_STORE_SEEN_H

#include "base/hash.h"

/* Bits of the digest tell nearly all others without looking at them. */
typedef struct {
    uint32_t entry; /* its index + 1, 0: free */
    uint32_t tag;
} seen_slot;

typedef struct {
    hash256 *sha;
    int64_t *number;
    size_t n, cap;
    seen_slot *slot;
    size_t slots; /* a power of two, at least 2 n */
} seen;

/* The number of this digest, 0 when it is not there. */
int64_t seen_find(const seen *s, const hash256 *sha);
/* The table is larger than caches: asks for what seen_find() will look at. */
void seen_ahead(const seen *s, const hash256 *sha);
/* Adds one that is not there; number > 0. */
err_code seen_add(seen *s, const hash256 *sha, int64_t number, err *e);
void seen_fini(seen *s);

#endif
