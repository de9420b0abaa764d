/* sightings: see sightings.h. Places of documents are written (epoch, rank) and compare in that order. */
#include "train/sightings.h"

#include <inttypes.h>
#include <stdlib.h>

#include "train/order.h"

typedef struct {
    uint64_t epoch, rank;
} place;

static int cmp(place a, place b) {
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.rank > b.rank) - (a.rank < b.rank);
}

static place first_of(const chain_line *l) { return (place){l->docs[0], l->docs[1]}; }
static place last_of(const chain_line *l) { return (place){l->docs[2], l->docs[3]}; }

/* Line 0 is of no step. A step begins in the last document of the step before or in the one behind it. */
static err_code check_chain(const chain *c, size_t n_docs, err *e) {
    place before = {0, 0};
    for (size_t i = 1; i < c->n; i++) {
        const chain_line *l = &c->line[i];
        place first = first_of(l), last = last_of(l);
        bool next = first.epoch == before.epoch
                        ? first.rank <= before.rank + 1
                        : first.epoch == before.epoch + 1 && first.rank == 0 && before.rank == n_docs - 1;
        if (first.rank >= n_docs || last.rank >= n_docs || cmp(first, before) < 0 || !next || cmp(last, first) < 0 ||
            last.epoch - first.epoch > l->targets + 1 || l->step > UINT32_MAX)
            return err_set(e, ERR_FORMAT, "step %" PRIu64 " of the chain names documents that cannot be there",
                           l->step);
        before = last;
    }
    return ERR_OK;
}

static err_code add(sightings *s, uint32_t doc, uint64_t step, err *e) {
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 1024;
        sighting *p = realloc(s->seen, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for %zu steps", cap);
        s->seen = p;
        s->cap = cap;
    }
    s->seen[s->n++] = (sighting){doc, (uint32_t)step};
    return ERR_OK;
}

/* One epoch after another, all documents by rank; `at` is the first line that reaches the document at hand. */
static err_code walk(sightings *s, order *o, const chain *c, const bool *wanted, err *e) {
    size_t at = 1;
    order_place p;
    order_find(o, 0, &p);
    while (at < c->n) {
        place here = {p.epoch, p.rank};
        while (at < c->n && cmp(last_of(&c->line[at]), here) < 0)
            at++;
        for (size_t i = at; wanted[p.doc] && i < c->n && cmp(first_of(&c->line[i]), here) <= 0; i++)
            TRY(add(s, p.doc, c->line[i].step, e));
        if (cmp(last_of(&c->line[c->n - 1]), here) <= 0)
            break;
        order_next(o, &p);
    }
    return ERR_OK;
}

static int by_doc(const void *a, const void *b) {
    const sighting *x = a, *y = b;
    int c = (x->doc > y->doc) - (x->doc < y->doc);
    return c ? c : (x->step > y->step) - (x->step < y->step);
}

/* A long step may see a document in more than one epoch. */
static void sort_once(sightings *s) {
    size_t n = 1;
    qsort(s->seen, s->n, sizeof *s->seen, by_doc);
    for (size_t i = 1; i < s->n; i++)
        if (by_doc(&s->seen[i], &s->seen[i - 1]) != 0)
            s->seen[n++] = s->seen[i];
    s->n = n;
}

err_code sightings_find(sightings *s, const docs *d, uint64_t seed, const chain *c, const bool *wanted, err *e) {
    *s = (sightings){0};
    order *o = NULL;
    TRY(check_chain(c, d->n_train, e));
    if (c->n < 2)
        return ERR_OK;
    uint32_t *one = calloc(d->n_train, sizeof *one);
    if (!one)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", d->n_train);
    for (size_t i = 0; i < d->n_train; i++)
        one[i] = 1; /* ranks do not depend on lengths */
    err_code code = order_open(&o, seed, d->sha256, one, d->n_train, NULL, e);
    if (code == ERR_OK)
        code = walk(s, o, c, wanted, e);
    order_close(o);
    free(one);
    if (code != ERR_OK)
        sightings_fini(s);
    else if (s->n)
        sort_once(s);
    return code;
}

void sightings_fini(sightings *s) {
    free(s->seen);
    *s = (sightings){0};
}

const sighting *sightings_of(const sightings *s, uint32_t doc, size_t *n) {
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->seen[mid].doc < doc)
            lo = mid + 1;
        else
            hi = mid;
    }
    *n = 0;
    if (lo == s->n)
        return NULL;
    for (; lo + *n < s->n && s->seen[lo + *n].doc == doc;)
        ++*n;
    return s->seen + lo;
}
