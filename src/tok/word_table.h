/* word_table: how often each word was seen.
 *
 * Open addressing, 32 bytes a word. A word of up to 16 bytes lies in its slot, so counting one again costs one
 * cache line; longer ones are copied into the table's arena. What one thread counted is added to another's
 * table afterwards: sums do not depend on who counted what.
 *
 *   n 1..16    lo, hi: the word's bytes (word_key.h)
 *   n > 16     lo: hash, hi: address of the bytes
 *
 * The hash is known to whoever wrote the text, so a run of more than VOCAB_PROBES_MAX slots is refused
 * (ERR_LIMIT). Zero-initialise; word_table_fini() frees. Proved by test_bpe_train.c.
 */
#ifndef LOAM_TOK_WORD_TABLE_H
#define LOAM_TOK_WORD_TABLE_H

#include "base/arena.h"
#include "tok/word_key.h"

enum { WORD_INLINE_BYTES = WORD_KEY_BYTES };

typedef struct {
    uint64_t lo, hi;
    uint64_t count;
    uint32_t n; /* bytes; 0: the slot is empty */
} word_slot;

typedef struct {
    word_slot *slot;
    size_t mask, n; /* slots less one; words */
    arena mem;
} word_table;

/* Counts `times` more of a word (1 byte or more, copied). After a failure the table is as before. */
err_code word_table_add(word_table *t, str word, uint64_t times, err *e);
/* The same in two halves, so that the second need not wait for memory: give a word a place in the queue, and add it
 * when a few more have theirs. The word's bytes must still be there then. */
typedef struct {
    str word;
    word_key key;
    uint64_t hash;
} word_waiting;
word_waiting word_table_look(const word_table *t, str word);
err_code word_table_add_waiting(word_table *t, const word_waiting *w, uint64_t times, err *e);

/* Adds all of `from`. After a failure some of it is counted. */
err_code word_table_merge(word_table *t, const word_table *from, err *e);
void word_table_fini(word_table *t);

/* The word of a slot; `room` holds it when it is short. */
str word_slot_bytes(const word_slot *s, char room[WORD_INLINE_BYTES]);

#endif
