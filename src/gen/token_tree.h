/* token_tree: the texts of a vocabulary as a tree of bytes, so that tokens that begin alike are looked at once.
 *
 * Nodes stand in the order of a walk in depth, each with the place where its part of the tree ends: to leave out all
 * that begins with a byte that may not follow is to go on there.
 *
 *   byte   u8[n]      on the way to the node            end    u32[n]  first node that is not below it
 *   depth  u16[n]     bytes from the root               first  u32[n]  its tokens are id[first .. first of the next)
 *
 * Not in it: end tokens; tokens without a text; those whose text is longer than TOKEN_TREE_BYTES_MAX; control tokens,
 * unless `special`, when their text is as spelled. Immutable: any number of threads may walk it. Proved by
 * test_constraint.c.
 */
#ifndef LOAM_GEN_TOKEN_TREE_H
#define LOAM_GEN_TOKEN_TREE_H

#include "tok/tokenizer.h"

enum { TOKEN_TREE_BYTES_MAX = 1024 };

typedef struct {
    uint8_t *byte;
    uint16_t *depth;
    uint32_t *end, *first; /* first: [n + 1] */
    int32_t *id;           /* of all tokens, by node, then ascending */
    uint32_t n;            /* nodes, without the root */
    uint32_t longest;      /* bytes of the longest text */
    int32_t n_vocab;
    int32_t *end_id; /* the end tokens */
    size_t n_ends;
    /* The text of each id, empty for those that are not in the tree: text[at[id] .. at[id + 1]). */
    char *text;
    uint32_t *at;
} token_tree;

err_code token_tree_open(token_tree **out, const tokenizer *t, bool special, err *e);
/* Of texts by id, as they stand; is_end[id]: an end token. */
err_code token_tree_of(token_tree **out, const str *text, const bool *is_end, int32_t n, err *e);
void token_tree_close(token_tree *tree); /* NULL allowed */
str token_tree_text(const token_tree *tree, int32_t id);

#endif
