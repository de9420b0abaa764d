/* unigram: the most probable way to cut a text into pieces (Viterbi over log probabilities).
 *
 * Source: Kudo 2018; SentencePiece's unigram_model.cc (sums in float32) and Hugging Face's models/unigram (sums in
 * float64): the two may part on near ties, so each source of tokenizers keeps its own precision. A later
 * candidate replaces an earlier one only when it is strictly better.
 * Time: text bytes times the longest piece (at most TRIE_KEY_BYTES_MAX).
 */
#ifndef LOAM_TOK_UNIGRAM_H
#define LOAM_TOK_UNIGRAM_H

#include "tok/tokenizer.h"
#include "tok/trie.h"
#include "tok/vocab.h"

enum { UNIGRAM_TEXT_BYTES_MAX = 1 << 27 }; /* of one part; the work takes 24 times its bytes */

typedef struct {
    const vocab *v;
    trie pieces;
    const double *score; /* by id */
    double unk_score;    /* of a character that is no piece */
    double user_score;   /* float32 dialect: per byte of a user-defined piece */
    int32_t unk;
    int32_t byte_id[256];
    bool byte_fallback, float32, fuse_unk;
} unigram;

/* Scores of all ids. float32: SentencePiece's dialect, else Hugging Face's. */
err_code unigram_open(unigram *u, const vocab *v, const double *score, int32_t unk, bool float32, bool byte_fallback,
                      err *e);
void unigram_fini(unigram *u);
err_code unigram_encode(const unigram *u, str text, tok_ids *ids, err *e);

#endif
