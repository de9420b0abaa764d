/* word_table: see word_table.h. */
#include "tok/word_table.h"

#include <stdlib.h>
#include <string.h>

#include "tok/vocab.h"

enum { SLOTS_FIRST = 1 << 12 };

str word_slot_bytes(const word_slot *s, char room[WORD_INLINE_BYTES]) {
    if (s->n > WORD_INLINE_BYTES)
        return (str){(const char *)(uintptr_t)s->hi, s->n};
    word_key_bytes((word_key){s->lo, s->hi}, s->n, room);
    return (str){room, s->n};
}

/* The key and hash of a word: of a long one the hash is the key, and its bytes are compared too. */
static word_waiting waiting(str w) {
    word_waiting x = {.word = w};
    if (w.n <= WORD_INLINE_BYTES) {
        x.key = word_key_of(w);
        x.hash = word_key_hash(x.key, w.n);
    } else
        x.key.lo = x.hash = vocab_hash(w);
    return x;
}

/* The slot of the word, or the empty one where it belongs, or NULL after too many probes. */
static word_slot *find(const word_table *t, const word_waiting *x) {
    bool inside = x->word.n <= WORD_INLINE_BYTES;
    size_t i = x->hash & t->mask;
    for (int probes = 0; probes < VOCAB_PROBES_MAX; probes++, i = (i + 1) & t->mask) {
        word_slot *s = &t->slot[i];
        if (s->n == 0)
            return s;
        if (s->lo == x->key.lo && s->n == x->word.n &&
            (inside ? s->hi == x->key.hi : memcmp((const char *)(uintptr_t)s->hi, x->word.p, x->word.n) == 0))
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
        word_waiting x = waiting(word_slot_bytes(s, room));
        word_slot *to = find(&bigger, &x);
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

err_code word_table_add_waiting(word_table *t, const word_waiting *x, uint64_t times, err *e) {
    if (2 * t->n >= t->mask)
        TRY(grow(t, e));
    word_slot *s = find(t, x);
    if (!s)
        return collide(e);
    if (s->n) {
        s->count += times;
        return ERR_OK;
    }
    uint64_t hi = x->key.hi;
    if (x->word.n > WORD_INLINE_BYTES) {
        char *copy;
        ARENA_NEW(&t->mem, copy, x->word.n, e);
        memcpy(copy, x->word.p, x->word.n);
        hi = (uint64_t)(uintptr_t)copy;
    }
    *s = (word_slot){x->key.lo, hi, times, (uint32_t)x->word.n};
    t->n++;
    return ERR_OK;
}

word_waiting word_table_look(const word_table *t, str w) {
    word_waiting x = waiting(w);
    if (t->slot)
        __builtin_prefetch(&t->slot[x.hash & t->mask]);
    return x;
}

err_code word_table_add(word_table *t, str w, uint64_t times, err *e) {
    word_waiting x = waiting(w);
    return word_table_add_waiting(t, &x, times, e);
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
