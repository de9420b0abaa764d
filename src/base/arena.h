/* arena: memory of one lifetime, freed at once.
 *
 * Blocks are zeroed. An arena is used by one thread at a time. arena_alloc()
 * returns NULL when memory is short or `max_bytes` would be passed; the arena
 * stays usable. ARENA_NEW() turns that NULL into an error.
 */
#ifndef LOAM_BASE_ARENA_H
#define LOAM_BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

typedef struct arena_chunk arena_chunk;
typedef struct {
    arena_chunk *head; /* newest chunk */
    size_t used_bytes; /* asked for, over all chunks */
    size_t max_bytes;  /* 0: no cap */
} arena;

/* Zero-initialise an arena (optionally with max_bytes), arena_fini() frees all. */
void arena_fini(arena *a);

/* Zeroed block of n*size bytes, 64-byte aligned when at least 64 bytes, else 16; NULL on
 * overflow of the product, on the cap and on shortage. n*size == 0 gives a valid pointer. */
void *arena_alloc(arena *a, size_t n, size_t size);

/* A NUL-terminated copy of s (the NUL is not counted); .p is NULL on shortage. */
str arena_str(arena *a, str s);

err_code arena_short(err *e, size_t n, size_t size); /* the error for a NULL from arena_alloc() */

/* ptr = n zeroed elements, or return the error. */
#define ARENA_NEW(arena_, ptr, n, e)                       \
    do {                                                   \
        (ptr) = arena_alloc((arena_), (n), sizeof *(ptr)); \
        if (!(ptr))                                        \
            return arena_short((e), (n), sizeof *(ptr));   \
    } while (0)

#endif
