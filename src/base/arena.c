/* arena: chunks in a list, bumped; see arena.h.
 *
 *   chunk:  [ header 64 B | data ........ | unused ]
 *                          ^0      ^used   ^cap
 *
 * Chunk sizes double from 64 KiB to 4 MiB; a larger request gets its own chunk.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, CHUNK_MIN = 64 << 10, CHUNK_MAX = 4 << 20 };

struct arena_chunk {
    arena_chunk *next;
    size_t used, cap;
};
_Static_assert(sizeof(arena_chunk) <= HEADER, "the header fits its place");

static char *data_of(arena_chunk *c) { return (char *)c + HEADER; }

void *arena_alloc(arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX - 4096)
        return NULL;
    if (a->max_bytes && (bytes > a->max_bytes || a->used_bytes > a->max_bytes - bytes))
        return NULL;
    size_t align = bytes >= 64 ? 64 : 16;
    arena_chunk *c = a->head;
    size_t at = c ? (c->used + align - 1) & ~(align - 1) : 0;
    if (!c || at > c->cap || bytes > c->cap - at) {
        size_t cap = c && c->cap * 2 < CHUNK_MAX ? c->cap * 2 : c ? CHUNK_MAX : CHUNK_MIN;
        if (cap < bytes)
            cap = bytes;
        c = aligned_alloc(64, (HEADER + cap + 63) & ~(size_t)63);
        if (!c)
            return NULL;
        *c = (arena_chunk){.next = a->head, .cap = cap};
        a->head = c;
        at = 0;
    }
    c->used = at + bytes;
    a->used_bytes += bytes;
    return memset(data_of(c) + at, 0, bytes);
}

str arena_str(arena *a, str s) {
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1, 1) : NULL;
    if (!p)
        return (str){0};
    if (s.n)
        memcpy(p, s.p, s.n);
    return (str){p, s.n};
}

void arena_fini(arena *a) {
    for (arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *a = (arena){.max_bytes = a->max_bytes};
}

err_code arena_short(err *e, size_t n, size_t size) {
    return err_set(e, ERR_MEMORY, "no memory for %zu x %zu bytes", n, size);
}
