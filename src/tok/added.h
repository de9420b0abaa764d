/* added: tokens that are cut out of a text before it is tokenized.
 *
 * Leftmost, then longest (as SentencePiece's prefix matcher and Hugging Face's automaton). A token may ask to
 * stand as a word of its own and to swallow white space on either side.
 */
#ifndef LOAM_TOK_ADDED_H
#define LOAM_TOK_ADDED_H

#include "tok/trie.h"

typedef struct {
    int32_t id;
    bool control; /* only a caller that asks for it gets this one from text */
    bool single_word, lstrip, rstrip;
} added_token;

typedef struct {
    trie keys; /* value: index into tok */
    added_token *tok;
    size_t n, cap;
    int n_first; /* different first bytes; */
    char first;  /* the last new one */
} added_set;

err_code added_put(added_set *s, str content, added_token tok, err *e);
void added_fini(added_set *s);

/* Called for each part in order: id >= 0 for an added token, -1 for text between (never empty); `at` is the
 * part's first byte in the text. */
typedef err_code added_fn(void *ctx, int32_t id, str part, size_t at, err *e);
err_code added_split(const added_set *s, str text, bool control, added_fn *fn, void *ctx, err *e);

#endif
