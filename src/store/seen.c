/* seen: see seen.h. Open addressing; a SHA-256 needs no further hashing. */
#include "store/seen.h"

#include <stdlib.h>
#include <string.h>

static size_t find_slot(const seen *s, const hash256 *sha) {
    uint64_t key;
    memcpy(&key, sha->byte, sizeof key);
    size_t i = (size_t)key & (s->slots - 1);
    while (s->slot[i] && memcmp(s->sha[s->slot[i] - 1].byte, sha->byte, sizeof sha->byte) != 0)
        i = (i + 1) & (s->slots - 1);
    return i;
}

int64_t seen_find(const seen *s, const hash256 *sha) {
    if (s->n == 0)
        return 0;
    uint32_t at = s->slot[find_slot(s, sha)];
    return at ? s->number[at - 1] : 0;
}

static err_code grow(seen *s, err *e) {
    size_t cap = s->cap ? 2 * s->cap : 1024, slots = 2 * cap;
    hash256 *sha = cap < UINT32_MAX ? realloc(s->sha, cap * sizeof *sha) : NULL;
    s->sha = sha ? sha : s->sha;
    int64_t *number = sha ? realloc(s->number, cap * sizeof *number) : NULL;
    s->number = number ? number : s->number;
    uint32_t *slot = number ? calloc(slots, sizeof *slot) : NULL;
    if (!slot)
        return err_set(e, ERR_MEMORY, "no memory for the digests of %zu documents", cap);
    free(s->slot);
    s->slot = slot;
    s->slots = slots;
    s->cap = cap;
    for (size_t i = 0; i < s->n; i++)
        s->slot[find_slot(s, &s->sha[i])] = (uint32_t)i + 1;
    return ERR_OK;
}

err_code seen_add(seen *s, const hash256 *sha, int64_t number, err *e) {
    if (s->n == s->cap)
        if (grow(s, e) != ERR_OK)
            return ERR_MEMORY;
    s->sha[s->n] = *sha;
    s->number[s->n] = number;
    s->slot[find_slot(s, sha)] = (uint32_t)++s->n;
    return ERR_OK;
}

void seen_fini(seen *s) {
    free(s->sha);
    free(s->number);
    free(s->slot);
    *s = (seen){0};
}
