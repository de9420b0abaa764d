/* prefixes: kept caches; see prefixes.h. A list is enough: there are as many as memory has room for whole caches. */
#include "gen/prefixes.h"

#include <stdlib.h>
#include <string.h>

size_t prefix_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b) {
    size_t n = n_a < n_b ? n_a : n_b, same = 0;
    while (same < n && a[same] == b[same])
        same++;
    return same;
}

/* How many of the key's first n ids the entry holds. */
static size_t common(const prefix *x, const prefix_key *key, size_t n) {
    if (!adapter_uses_equal(x->adapters, x->n_adapters, key->adapters, key->n_adapters))
        return 0;
    return prefix_common(x->ids, x->n, key->ids, n);
}

const prefix *prefixes_find(prefixes *p, const prefix_key *key, size_t *n_same) {
    prefix *best = NULL;
    *n_same = 0;
    for (prefix *x = p->first; x; x = x->next) {
        size_t same = common(x, key, key->n);
        if (same > *n_same) {
            *n_same = same;
            best = x;
        }
    }
    if (best)
        best->used = ++p->clock;
    return best;
}

static void drop(prefixes *p, prefix **at) {
    prefix *x = *at;
    *at = x->next;
    p->bytes -= x->bytes;
    kv_close(x->kv);
    free(x->ids);
    free(x);
}

void prefixes_keep(prefixes *p, kv_cache *kv, size_t bytes, const prefix_key *key) {
    size_t n = kv_len(kv);
    for (prefix **at = &p->first; *at;) {
        prefix *x = *at;
        size_t same = common(x, key, n);
        if (same == n) {
            x->used = ++p->clock;
            kv_close(kv);
            return;
        }
        if (same == x->n)
            drop(p, at);
        else
            at = &x->next;
    }
    prefix *x = malloc(sizeof *x);
    int32_t *copy = malloc(n * sizeof *copy);
    if (!x || !copy) {
        free(x);
        free(copy);
        kv_close(kv);
        return;
    }
    memcpy(copy, key->ids, n * sizeof *copy);
    *x = (prefix){.next = p->first, .kv = kv, .ids = copy, .n = n, .bytes = bytes, .used = ++p->clock};
    x->n_adapters = key->n_adapters;
    for (size_t i = 0; i < key->n_adapters; i++)
        x->adapters[i] = key->adapters[i];
    p->first = x;
    p->bytes += bytes;
}

bool prefixes_evict(prefixes *p, const prefix *but) {
    prefix **oldest = NULL;
    for (prefix **at = &p->first; *at; at = &(*at)->next)
        if (*at != but && (!oldest || (*at)->used < (*oldest)->used))
            oldest = at;
    if (oldest)
        drop(p, oldest);
    return oldest != NULL;
}

void prefixes_fini(prefixes *p) {
    while (prefixes_evict(p, NULL))
        ;
}
