/* word_table: see word_table.h. */
#include "tok/word_table.h"

#include <stdlib.h>
#include <string.h>

#include "tok/vocab.h"

enum { SLOTS_FIRST = 1 << 12 };

static uint64_t load64(const char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static uint32_t load32(const char *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* Up to 16 bytes as two words, without reading beyond them: the ends overlap, and with n they say what the bytes were.
 *
 *   8..16  lo = bytes 0-7,  hi = the last 8          4..7   lo = bytes 0-3 and the last 4
 *   1..3   lo = the first, the middle and the last byte
 */
static void pack(str w, uint64_t *lo, uint64_t *hi) {
    *hi = 0;
    if (w.n >= 8) {
        *lo = load64(w.p);
        *hi = load64(w.p + w.n - 8);
    } else if (w.n >= 4)
        *lo = load32(w.p) | (uint64_t)load32(w.p + w.n - 4) << 32;
    else
        *lo = (uint64_t)(unsigned char)w.p[0] | (uint64_t)(unsigned char)w.p[w.n / 2] << 8 |
              (uint64_t)(unsigned char)w.p[w.n - 1] << 16;
}

str word_slot_bytes(const word_slot *s, char room[WORD_INLINE_BYTES]) {
    if (s->n > WORD_INLINE_BYTES)
        return (str){(const char *)(uintptr_t)s->hi, s->n};
    if (s->n >= 8) {
        memcpy(room, &s->lo, 8);
        memcpy(room + s->n - 8, &s->hi, 8);
    } else if (s->n >= 4) {
        uint32_t first = (uint32_t)s->lo, last = (uint32_t)(s->lo >> 32);
        memcpy(room, &first, 4);
        memcpy(room + s->n - 4, &last, 4);
    } else {
        room[0] = (char)s->lo;
        room[s->n / 2] = (char)(s->lo >> 8);
        room[s->n - 1] = (char)(s->lo >> 16);
    }
    return (str){room, s->n};
}

static uint64_t home(uint64_t lo, uint64_t hi, uint32_t n) {
    uint64_t h = (lo ^ n * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32 ^ hi) * 0xa0761d6478bd642fu;
    return h ^ h >> 29;
}

/* The slot of the word, or the empty one where it belongs, or NULL after too many probes. */
static word_slot *find(const word_table *t, uint64_t lo, uint64_t hi, str w) {
    bool inside = w.n <= WORD_INLINE_BYTES;
    size_t i = home(lo, inside ? hi : 0, (uint32_t)w.n) & t->mask;
    for (int probes = 0; probes < VOCAB_PROBES_MAX; probes++, i = (i + 1) & t->mask) {
        word_slot *s = &t->slot[i];
        if (s->n == 0)
            return s;
        if (s->lo == lo && s->n == w.n &&
            (inside ? s->hi == hi : memcmp((const char *)(uintptr_t)s->hi, w.p, w.n) == 0))
            return s;
    }
    return NULL;
}

static err_code collide(err *e) {
    return err_set(e, ERR_LIMIT, "too many different words share a place in the table of words");
}

static err_code grow(word_table *t, err *e) {
    size_t n_old = t->mask ? t->mask + 1 : 0, n = n_old ? 2 * n_old : SLOTS_FIRST;
    word_table bigger = {.slot = calloc(n, sizeof *t->slot), .mask = n - 1};
    if (!bigger.slot)
        return err_set(e, ERR_MEMORY, "no memory for a table of %zu words", n);
    for (size_t i = 0; i < n_old; i++) {
        const word_slot *s = &t->slot[i];
        char room[WORD_INLINE_BYTES];
        if (s->n == 0)
            continue;
        word_slot *to = find(&bigger, s->lo, s->hi, word_slot_bytes(s, room));
        if (!to) {
            free(bigger.slot);
            return collide(e);
        }
        *to = *s;
    }
    free(t->slot);
    t->slot = bigger.slot;
    t->mask = bigger.mask;
    return ERR_OK;
}

err_code word_table_add(word_table *t, str w, uint64_t times, err *e) {
    uint64_t lo, hi = 0;
    if (2 * t->n >= t->mask)
        TRY(grow(t, e));
    if (w.n <= WORD_INLINE_BYTES)
        pack(w, &lo, &hi);
    else
        lo = vocab_hash(w);
    word_slot *s = find(t, lo, hi, w);
    if (!s)
        return collide(e);
    if (s->n) {
        s->count += times;
        return ERR_OK;
    }
    if (w.n > WORD_INLINE_BYTES) {
        char *copy;
        ARENA_NEW(&t->mem, copy, w.n, e);
        memcpy(copy, w.p, w.n);
        hi = (uint64_t)(uintptr_t)copy;
    }
    *s = (word_slot){lo, hi, times, (uint32_t)w.n};
    t->n++;
    return ERR_OK;
}

/* Slots in a scattered order: in their own they come sorted by hash, and would crowd one end of the other table. */
err_code word_table_merge(word_table *t, const word_table *from, err *e) {
    for (size_t i = 0; from->slot && i <= from->mask; i++) {
        char room[WORD_INLINE_BYTES];
        const word_slot *s = &from->slot[i * 0x9e3779b1u & from->mask];
        if (s->n)
            TRY(word_table_add(t, word_slot_bytes(s, room), s->count, e));
    }
    return ERR_OK;
}

void word_table_fini(word_table *t) {
    free(t->slot);
    arena_fini(&t->mem);
    *t = (word_table){0};
}
