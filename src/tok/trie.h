/* trie: which keys begin here? A set of byte strings with a number each.
 *
 * Edges live in one hash table keyed by (node, byte), so building is linear in the keys' bytes
 * and a step costs one probe. Zero-initialise; trie_fini() frees.
 */
#ifndef LOAM_TOK_TRIE_H
#define LOAM_TOK_TRIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { TRIE_KEY_BYTES_MAX = 1024, TRIE_NODES_MAX = 1 << 26 };

typedef struct {
    uint64_t key; /* (node << 8 | byte) + 1; 0 is empty */
    uint32_t child;
} trie_edge;

typedef struct {
    trie_edge *edge;
    size_t mask;
    int32_t *value; /* by node: number of the key that ends here, or -1 */
    uint32_t n_nodes, cap_nodes;
    bool first[256]; /* bytes that some key begins with */
} trie;

/* A key put again takes the new value (0 or more). The empty key is ignored. Keys longer than
 * TRIE_KEY_BYTES_MAX: ERR_LIMIT. */
err_code trie_put(trie *t, str key, int32_t value, err *e);
void trie_fini(trie *t);

/* One step down from *node (start at 0 in a trie that has a key): false when no key goes on with `byte`. */
bool trie_step(const trie *t, uint32_t *node, unsigned char byte);
/* The longest key that s begins with at byte `at`: its value and length, or -1. */
int32_t trie_longest(const trie *t, str s, size_t at, size_t *len);

#endif
