/* seen: see seen.h. Open addressing; a SHA-256 needs no further hashing. */
#include "store/seen.h"

#include <stdlib.h>
#include <string.h>

static size_t first_slot(const seen *s, const hash256 *sha) {
    uint64_t key;
    memcpy(&key, sha->byte, sizeof key);
    return (size_t)key & (s->slots - 1);
}

static uint32_t tag_of(const hash256 *sha) {
    uint32_t tag;
    memcpy(&tag, sha->byte + 8, sizeof tag);
    return tag;
}

static seen_slot *find_slot(const seen *s, const hash256 *sha) {
    size_t i = first_slot(s, sha);
    uint32_t tag = tag_of(sha);
    while (s->slot[i].entry &&
           (s->slot[i].tag != tag || memcmp(s->sha[s->slot[i].entry - 1].byte, sha->byte, sizeof sha->byte) != 0))
        i = (i + 1) & (s->slots - 1);
    return &s->slot[i];
}

static void take_slot(const seen *s, const hash256 *sha, size_t i) {
    *find_slot(s, sha) = (seen_slot){(uint32_t)i + 1, tag_of(sha)};
}

void seen_ahead(const seen *s, const hash256 *sha) {
    if (s->n > 0)
        __builtin_prefetch(&s->slot[first_slot(s, sha)], 1);
}

int64_t seen_find(const seen *s, const hash256 *sha) {
    if (s->n == 0)
        return 0;
    uint32_t at = find_slot(s, sha)->entry;
    return at ? s->number[at - 1] : 0;
}

static err_code grow(seen *s, err *e) {
    size_t cap = s->cap ? 2 * s->cap : 1024, slots = 2 * cap;
    hash256 *sha = cap < UINT32_MAX ? realloc(s->sha, cap * sizeof *sha) : NULL;
    s->sha = sha ? sha : s->sha;
    int64_t *number = sha ? realloc(s->number, cap * sizeof *number) : NULL;
    s->number = number ? number : s->number;
    seen_slot *slot = number ? calloc(slots, sizeof *slot) : NULL;
    if (!slot)
        return err_set(e, ERR_MEMORY, "no memory for the digests of %zu documents", cap);
    free(s->slot);
    s->slot = slot;
    s->slots = slots;
    s->cap = cap;
    for (size_t i = 0; i < s->n; i++)
        take_slot(s, &s->sha[i], i);
    return ERR_OK;
}

err_code seen_add(seen *s, const hash256 *sha, int64_t number, err *e) {
    if (s->n == s->cap)
        if (grow(s, e) != ERR_OK)
            return ERR_MEMORY;
    s->sha[s->n] = *sha;
    s->number[s->n] = number;
    take_slot(s, sha, s->n++);
    return ERR_OK;
}

void seen_fini(seen *s) {
    free(s->sha);
    free(s->number);
    free(s->slot);
    *s = (seen){0};
}
