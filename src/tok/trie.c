/* trie: prefix look-up over byte strings; see trie.h. */
#include "tok/trie.h"

#include <stdlib.h>

#include "tok/vocab.h"

static size_t home(const trie *t, uint64_t key) {
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 32) & t->mask;
}

static trie_edge *find(const trie *t, uint64_t key) {
    size_t i = home(t, key);
    for (int probes = 0; probes < VOCAB_PROBES_MAX; probes++, i = (i + 1) & t->mask)
        if (t->edge[i].key == key || !t->edge[i].key)
            return &t->edge[i];
    return NULL;
}

static err_code grow(trie *t, err *e) {
    size_t cap = t->mask ? (t->mask + 1) * 2 : 256;
    trie_edge *old = t->edge, *edge = calloc(cap, sizeof *edge);
    if (!edge)
        return err_set(e, ERR_MEMORY, "no memory for an index of %zu edges", cap);
    size_t n_old = t->mask ? t->mask + 1 : 0;
    t->edge = edge;
    t->mask = cap - 1;
    err_code code = ERR_OK;
    for (size_t i = 0; i < n_old; i++) {
        if (!old[i].key)
            continue;
        trie_edge *to = find(t, old[i].key);
        if (to)
            *to = old[i];
        else
            code = err_set(e, ERR_LIMIT, "too many keys collide");
    }
    free(old);
    return code;
}

static err_code new_node(trie *t, uint32_t *out, err *e) {
    if (t->n_nodes == t->cap_nodes) {
        if (t->n_nodes >= TRIE_NODES_MAX)
            return err_set(e, ERR_LIMIT, "the pieces need more than %d index nodes", TRIE_NODES_MAX);
        uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 256;
        int32_t *value = realloc(t->value, cap * sizeof *value);
        if (!value)
            return err_set(e, ERR_MEMORY, "no memory for %u index nodes", cap);
        t->value = value;
        t->cap_nodes = cap;
    }
    t->value[t->n_nodes] = -1;
    *out = t->n_nodes++;
    return ERR_OK;
}

err_code trie_put(trie *t, str key, int32_t value, err *e) {
    if (key.n == 0)
        return ERR_OK;
    if (key.n > TRIE_KEY_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "piece \"%.40s...\" has %zu bytes; at most %d are supported here", key.p, key.n,
                       TRIE_KEY_BYTES_MAX);
    uint32_t node = 0;
    if (t->n_nodes == 0)
        TRY(new_node(t, &node, e));
    node = 0;
    t->first[(unsigned char)key.p[0]] = true;
    for (size_t i = 0; i < key.n; i++) {
        if (!t->mask || t->n_nodes * (size_t)2 > t->mask)
            TRY(grow(t, e));
        uint64_t k = ((uint64_t)node << 8 | (unsigned char)key.p[i]) + 1;
        trie_edge *edge = find(t, k);
        if (!edge)
            return err_set(e, ERR_LIMIT, "too many keys collide");
        if (!edge->key) {
            uint32_t child = 0;
            TRY(new_node(t, &child, e));
            *edge = (trie_edge){k, child};
        }
        node = edge->child;
    }
    t->value[node] = value;
    return ERR_OK;
}

void trie_fini(trie *t) {
    free(t->edge);
    free(t->value);
    *t = (trie){0};
}

bool trie_step(const trie *t, uint32_t *node, unsigned char byte) {
    if (!t->mask)
        return false;
    const trie_edge *edge = find(t, ((uint64_t)*node << 8 | byte) + 1);
    if (!edge || !edge->key)
        return false;
    *node = edge->child;
    return true;
}

int32_t trie_longest(const trie *t, str s, size_t at, size_t *len) {
    int32_t best = -1;
    uint32_t node = 0;
    if (at >= s.n || !t->first[(unsigned char)s.p[at]])
        return -1;
    for (size_t i = at; i < s.n && trie_step(t, &node, (unsigned char)s.p[i]); i++)
        if (t->value[node] >= 0) {
            best = t->value[node];
            *len = i + 1 - at;
        }
    return best;
}
