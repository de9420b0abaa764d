/* prefixes: caches of requests that have ended, kept for those that begin alike, with the same adapters at work.
 *
 * An entry is a cache and the ids that stand in it. Nobody writes into a kept cache: who can use its beginning
 * copies it (kv_copy), so one entry serves any number of requests. An entry that is the beginning of another is
 * dropped when that one comes. Time is a counter of uses, so what goes first is the same on every machine.
 * One thread at a time. Proved by test/prop/test_engine.c.
 */
#ifndef LOAM_GEN_PREFIXES_H
#define LOAM_GEN_PREFIXES_H

#include "model/model.h"

typedef struct prefix {
    struct prefix *next;
    kv_cache *kv;
    int32_t *ids; /* [n], n = kv_len(kv) */
    adapter_use adapters[MODEL_ADAPTERS_MAX];
    size_t n_adapters;
    size_t n, bytes;
    uint64_t used;
} prefix;

/* Zero-initialise. */
typedef struct {
    prefix *first;
    size_t bytes; /* of all entries */
    uint64_t clock;
} prefixes;

size_t prefix_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b); /* ids that both begin with */

/* The ids of a request, and the adapters that are at work for it. */
typedef struct {
    const int32_t *ids;
    size_t n;
    const adapter_use *adapters;
    size_t n_adapters;
} prefix_key;

/* The entry that begins like the key's ids for longest, and for how long (*n_same); NULL when none does. Counts as its
 * use. */
const prefix *prefixes_find(prefixes *p, const prefix_key *key, size_t *n_same);
/* Takes the cache (`bytes` of memory) in which key->ids stand, kv_len of them (key->n does not count). Without memory
 * for the entry, or when another holds all of it, the cache is closed. */
void prefixes_keep(prefixes *p, kv_cache *kv, size_t bytes, const prefix_key *key);
/* Drops what was used least recently, but not `but` (NULL allowed); false when there is nothing to drop. */
bool prefixes_evict(prefixes *p, const prefix *but);
void prefixes_fini(prefixes *p);

#endif
