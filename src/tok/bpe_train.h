/* bpe_train: a byte-level BPE tokenizer learnt from texts.
 *
 *   open - add a text, again and again - learn - json - close
 *
 * Texts are cut into words as the tokenizer will cut them (the pattern), the words are counted on all threads, and
 * merges are learnt from the counts (bpe_learn.h). The result is the text of a tokenizer.json, byte for byte what
 * Hugging Face's library writes after learning the same: special tokens first, then the 256 bytes, then merges.
 *
 * Neither the threads nor the order of the texts change a byte of it. A text is cut by itself; no word goes on in the
 * next one. Special tokens spelled in a text are ordinary text. Ill-formed UTF-8 separates words and is not learnt
 * from, as the encoder gives each such byte its own token; words longer than BPE_TRAIN_WORD_BYTES_MAX are left out.
 * Both are counted in the facts.
 *
 * Memory: 32 bytes a different word and thread, then what bpe_learn.h says; texts are not kept.
 * Proved by test_bpe_train.c, test/prop/test_bpe_train.c, test/golden/check_bpe_train.py.
 */
#ifndef LOAM_TOK_BPE_TRAIN_H
#define LOAM_TOK_BPE_TRAIN_H

#include "base/pool.h"
#include "base/str.h"

enum {
    BPE_TRAIN_BYTES = 256,
    BPE_TRAIN_VOCAB_MAX = 1 << 20,
    BPE_TRAIN_SPECIAL_MAX = 1024,
    BPE_TRAIN_SPECIAL_BYTES_MAX = 256,
    BPE_TRAIN_PIECE_BYTES_MAX = 1 << 14, /* twice as many in GPT-2's spelling, which the loader still takes */
    BPE_TRAIN_WORD_BYTES_MAX = 1 << 16
};

/* How texts are cut into words. */
typedef struct {
    const char *name;    /* "llama3" */
    const char *summary; /* for --help */
    const char *gguf;    /* tokenizer.ggml.pre of the same cut, without more than the cut */
} bpe_pattern;
extern const bpe_pattern bpe_patterns[];               /* ends with a NULL name */
const bpe_pattern *bpe_pattern_find(const char *name); /* NULL when there is none */

typedef enum { BPE_TRAIN_COUNTING, BPE_TRAIN_LEARNING } bpe_train_phase;

typedef struct {
    size_t n_vocab; /* pieces in all; 256 and the special tokens at least, BPE_TRAIN_VOCAB_MAX at most */
    const bpe_pattern *pattern;
    const str *special; /* ids 0, 1, ...; each 2 bytes or more of UTF-8, no two alike */
    size_t n_special;
    uint64_t min_count;     /* a pair seen less often is not worth a piece; 1 or more */
    size_t piece_bytes_max; /* 2 to BPE_TRAIN_PIECE_BYTES_MAX */
    bool allow_fewer;       /* when the texts do not have n_vocab pieces: as many as they have */
    /* Bytes counted (total: 0), or pieces made and wanted. May be NULL. */
    void (*on_progress)(void *ctx, bpe_train_phase phase, uint64_t done, uint64_t total);
    void *ctx;
    const volatile int *cancel; /* not 0: ERR_CANCELLED; or NULL */
} bpe_train_options;

typedef struct {
    uint64_t n_texts, n_bytes, n_words; /* words: as often as they stand there */
    uint64_t n_different;               /* words */
    uint64_t n_ill_formed, n_long;      /* bytes; words left out */
    size_t n_pieces, n_merges;
    double count_s, learn_s;
} bpe_train_facts;

typedef struct bpe_trainer bpe_trainer;

/* `o` is copied, what it points to must outlive the trainer. `p` NULL: one thread. Bad options: ERR_USAGE. */
err_code bpe_train_open(bpe_trainer **out, const bpe_train_options *o, pool *p, err *e);
void bpe_train_close(bpe_trainer *t); /* NULL allowed */

/* Counts the words of a text, at once or with later ones; the text is not needed afterwards. After a failure only close
 * is allowed. */
err_code bpe_train_add(bpe_trainer *t, str text, err *e);

/* Learns from all that was added; once. No words: ERR_FORMAT. Fewer pieces than asked for: ERR_LIMIT with how many
 * there are, unless allowed. */
err_code bpe_train_learn(bpe_trainer *t, err *e);

bpe_train_facts bpe_train_facts_of(const bpe_trainer *t);
/* After learning. Appends the text of the tokenizer.json. */
err_code bpe_train_json(const bpe_trainer *t, strbuf *out, err *e);

#endif
