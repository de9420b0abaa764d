/* bpe_learn: from counted words to merges, the way byte-pair encoding is learnt.
 *
 * Every word starts as its bytes. Again and again the most frequent pair of neighbours becomes one piece, in every
 * word, from left to right; ties go to the lower left id, then to the lower right id. Ids: the special tokens from 0
 * on, then the 256 bytes in the order of their GPT-2 spelling, then pieces as they are made.
 *
 * A pair is counted wherever it stands, also where it overlaps itself ("aaa" holds "aa" twice). A pair that spells
 * a special token never merges: text must not become a control token.
 *
 * These are the merges of Hugging Face's BpeTrainer, to the last one (it lets such a pair merge, and its counts end
 * at 2^31). Source: Sennrich et al. 2016; models/bpe/trainer.rs.
 *
 * Memory: 8 bytes a byte of the different words, and 4 bytes a place a pair was found at. Time: linear in the places.
 * One thread; nothing depends on the order of words. Proved by test_bpe_train.c and test/prop/test_bpe_train.c (an
 * oracle of plain loops, and the reference's own merges).
 */
#ifndef LOAM_TOK_BPE_LEARN_H
#define LOAM_TOK_BPE_LEARN_H

#include "tok/word_table.h"

enum { BPE_LEARN_BYTES_N = 256 };
#define BPE_LEARN_WORD_BYTES_MAX ((uint64_t)UINT32_MAX - 8) /* of all different words together */

typedef struct {
    const str *special; /* borrowed; n_special ids from 0 on */
    size_t n_special;
    size_t n_vocab;                                              /* pieces in all, special tokens and bytes included */
    uint64_t min_count;                                          /* a pair seen less often does not merge; 1 or more */
    size_t piece_bytes_max;                                      /* longer pieces are not made; 2 or more */
    void (*on_step)(void *ctx, size_t n_pieces, size_t n_vocab); /* now and then; or NULL */
    void *ctx;
    const volatile int *cancel; /* not 0: ERR_CANCELLED; or NULL */
} bpe_learn_options;

typedef struct {
    uint32_t left, right, id; /* the pair and the piece it makes */
} bpe_learnt_merge;

typedef struct {
    arena mem;
    str *piece; /* by id: bytes; of special tokens the spelling */
    size_t n_pieces;
    bpe_learnt_merge *merge; /* by rank */
    size_t n_merges;
} bpe_learnt;

/* `words` is emptied on the way, to give its memory back. Fewer pieces than n_vocab when no pair is left: that is the
 * caller's to judge. Zero-initialise *out; bpe_learnt_fini() after any outcome. Errors: ERR_LIMIT (too much text),
 * ERR_MEMORY, ERR_CANCELLED. */
err_code bpe_learn(word_table *words, const bpe_learn_options *o, bpe_learnt *out, err *e);
void bpe_learnt_fini(bpe_learnt *l);

#endif
