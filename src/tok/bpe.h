/* bpe: byte-pair encoding of one word, in three dialects.
 *
 *   bytes   GPT-2: the word's bytes are the first symbols; a table of merges (left id, right id) -> rank, id
 *   chars   Hugging Face's BPE without ByteLevel: characters first, <0xHH> or the unknown token for those without
 *   scores  SentencePiece: two neighbours merge when their joint spelling is a piece; rank is its score
 *
 * The pair of lowest rank merges first, of equals the leftmost. A linked list and a heap give O(n log n); short words
 * go by an array. Source: Sennrich et al. 2016; SentencePiece's bpe_model.cc; Hugging Face's models/bpe.
 */
#ifndef LOAM_TOK_BPE_H
#define LOAM_TOK_BPE_H

#include "tok/tokenizer.h"
#include "tok/vocab.h"

enum { BPE_WORD_BYTES_MAX = 1 << 25 }; /* the work on one word takes up to 100 times its bytes */

typedef enum { BPE_BYTES, BPE_CHARS, BPE_SCORES } bpe_dialect;

typedef struct {
    uint32_t left, right, rank;
    int32_t id; /* of the merged piece; -1: the slot is empty */
} bpe_merge;

typedef struct {
    bpe_dialect dialect;
    const vocab *v;
    bpe_merge *merge; /* open addressing by (left, right) */
    size_t merge_mask;
    uint32_t *rank;        /* BPE_SCORES: by id, low is first; UINT32_MAX: no piece to merge into */
    int32_t byte_id[256];  /* BPE_BYTES: the piece of one byte; else <0xHH>; -1 when there is none */
    int32_t ascii_id[128]; /* BPE_CHARS and BPE_SCORES: the piece of one character */
    int32_t unk;           /* -1: what has no piece is left out */
    bool byte_fallback, fuse_unk;
    bool whole_words; /* ignore_merges: a word that is a piece is that piece */
    bool glued[256];  /* by byte x: some piece has U+2581 right after x, so words are not cut there */
} bpe;

typedef struct bpe_work bpe_work; /* scratch and word cache of one thread */

/* Room for n merges, then bpe_add() each (rank ascending; a pair given again takes the later rank). */
err_code bpe_merges_init(bpe *b, arena *a, uint64_t n, err *e);
err_code bpe_add(bpe *b, uint32_t rank, str left, str right, err *e); /* refuses a pair or a result that is no piece */
/* Ranks from v->score (BPE_SCORES). */
err_code bpe_scores_init(bpe *b, arena *a, err *e);
/* Fills byte_id, ascii_id and glued once v and the merges stand. */
void bpe_finish(bpe *b);

/* With room for the ids of n_words words (0, or a power of two). */
err_code bpe_work_open(bpe_work **out, size_t n_words, err *e);
/* Before each text: forgets what only concerned the last one. The ids of words stay. */
void bpe_work_begin(const bpe *b, bpe_work *w);
void bpe_work_close(bpe_work *w);

/* Appends the ids of a word (valid UTF-8). */
err_code bpe_encode(const bpe *b, bpe_work *w, str word, tok_ids *ids, err *e);

/* GPT-2's spelling of a byte: printable ones as themselves, the others from U+0100 on. Returns the bytes written (1
 * or 2). The reverse gives -1 for a character that spells no byte. */
size_t bpe_spell_byte(unsigned char byte, char out[2]);
int bpe_byte_of(int32_t cp);

#endif
