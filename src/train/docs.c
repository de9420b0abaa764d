/* docs: see docs.h. */
#include "train/docs.h"

#include <stdlib.h>
#include <string.h>

static bool held_out(hash256 sha256, uint64_t seed, double share) {
    uint8_t text[13 + 8 + 32] = "loam held out";
    for (int i = 0; i < 8; i++)
        text[13 + i] = (uint8_t)(seed >> 8 * i);
    memcpy(text + 21, sha256.byte, 32);
    hash256 h = hash_of(text, sizeof text);
    uint64_t u = 0;
    for (int i = 7; i >= 0; i--)
        u = u << 8 | h.byte[i];
    return (double)(u >> 11) * 0x1p-53 < share;
}

static err_code digest_of(docs *d, const dataset_key *key, err *e) {
    hash_state *h;
    TRY(hash_open(&h, e));
    for (size_t i = 0; i < d->n; i++)
        hash_add(h, key[i].sha256.byte, sizeof key[i].sha256.byte);
    d->digest = hash_close(h);
    return ERR_OK;
}

/* From sorted keys: those to learn from first. */
static err_code split(docs *d, const dataset_key *key, const docs_options *o, err *e) {
    d->key = calloc(d->n, sizeof *d->key);
    d->sha256 = calloc(d->n, sizeof *d->sha256);
    bool *out = calloc(d->n, sizeof *out);
    if (!d->key || !d->sha256 || !out) {
        free(out);
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", d->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        out[i] = held_out(key[i].sha256, o->seed, o->val_share);
        d->n_train += !out[i];
        d->bytes += key[i].bytes;
    }
    size_t train = 0, val = d->n_train;
    for (size_t i = 0; i < d->n; i++)
        d->key[out[i] ? val++ : train++] = key[i];
    for (size_t i = 0; i < d->n; i++)
        d->sha256[i] = d->key[i].sha256;
    free(out);
    if (d->n_train == 0)
        return err_set(e, ERR_USAGE, "%s: all of %zu documents are held out (use a smaller --val-share)", o->source,
                       d->n);
    return ERR_OK;
}

err_code docs_open(docs *d, const docs_options *o, err *e) {
    *d = (docs){0};
    dataset_key *key = NULL;
    err_code code = dataset_open(&d->set, o->source, e);
    if (code == ERR_OK)
        code = dataset_list(d->set, o->where && *o->where ? o->where : NULL, &key, &d->n, e);
    if (code == ERR_OK && d->n == 0)
        code = err_set(e, ERR_USAGE, "%s: there are no documents%s", o->source,
                       o->where && *o->where ? " that satisfy the condition" : "");
    if (code == ERR_OK)
        code = digest_of(d, key, e);
    if (code == ERR_OK)
        code = split(d, key, o, e);
    free(key);
    if (code != ERR_OK)
        docs_close(d);
    return code;
}

void docs_close(docs *d) {
    dataset_close(d->set);
    free(d->key);
    free(d->sha256);
    *d = (docs){0};
}

err_code docs_text(docs *d, size_t i, str *text, err *e) {
    dataset_doc doc;
    TRY(dataset_get(d->set, d->key[i].id, &doc, e));
    *text = doc.text;
    return ERR_OK;
}

size_t docs_find(const docs *d, hash256 sha256, int64_t id) {
    for (int part = 0; part < 2; part++) {
        size_t lo = part ? d->n_train : 0, end = part ? d->n : d->n_train, hi = end;
        while (lo < hi) { /* the first that is not below */
            size_t mid = lo + (hi - lo) / 2;
            if (memcmp(d->sha256[mid].byte, sha256.byte, 32) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        for (; lo < end && memcmp(d->sha256[lo].byte, sha256.byte, 32) == 0; lo++)
            if (id == 0 || d->key[lo].id == id)
                return lo;
    }
    return d->n;
}
