/* uses: see uses.h. Of each epoch the rank of every document; of each step the places where it begins and ends. */
#include "train/uses.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct {
    uint64_t epoch, rank;
} place;

struct uses {
    size_t n, n_steps;
    uint64_t n_epochs;
    uint32_t *rank;      /* [n_epochs][n] */
    place *first, *last; /* [n_steps] of step i + 1 */
};

static bool before(place a, place b) { return a.epoch != b.epoch ? a.epoch < b.epoch : a.rank < b.rank; }

/* The places of all steps: one after another, without gaps, as ranks of n documents. */
static err_code take_places(uses *u, const chain *c, err *e) {
    for (size_t i = 0; i < u->n_steps; i++) {
        const uint64_t *d = c->line[i + 1].docs;
        u->first[i] = (place){d[0], d[1]};
        u->last[i] = (place){d[2], d[3]};
        bool ok = d[1] < u->n && d[3] < u->n && !before(u->last[i], u->first[i]);
        ok = ok && (i == 0 ? d[0] == 0 && d[1] == 0 : !before(u->first[i], u->last[i - 1]));
        if (!ok)
            return err_set(e, ERR_FORMAT,
                           "step %zu of the chain reads documents that cannot follow: %" PRIu64 ":%" PRIu64
                           " to %" PRIu64 ":%" PRIu64 " of %zu an epoch (the data is another)",
                           i + 1, d[0], d[1], d[2], d[3], u->n);
    }
    u->n_epochs = u->n_steps ? u->last[u->n_steps - 1].epoch + 1 : 0;
    return ERR_OK;
}

static err_code take_ranks(uses *u, uint64_t seed, const docs *d, pool *p, err *e) {
    if (u->n_epochs > USES_MAX / u->n)
        return err_set(e, ERR_LIMIT, "%" PRIu64 " epochs of %zu documents are too many to list", u->n_epochs, u->n);
    uint32_t *doc = calloc(u->n, sizeof *doc);
    u->rank = calloc(u->n_epochs * u->n + 1, sizeof *u->rank);
    err_code code = doc && u->rank ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the uses of %zu documents", u->n);
    for (uint64_t epoch = 0; epoch < u->n_epochs && code == ERR_OK; epoch++) {
        code = order_ranks(seed, epoch, d->sha256, u->n, p, doc, e);
        for (size_t r = 0; r < u->n && code == ERR_OK; r++)
            u->rank[epoch * u->n + doc[r]] = (uint32_t)r;
    }
    free(doc);
    return code;
}

err_code uses_open(uses **out, uint64_t seed, const docs *d, const chain *c, pool *p, err *e) {
    *out = NULL;
    uses *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, ERR_MEMORY, "no memory for the uses of documents");
    u->n = d->n_train;
    u->n_steps = c->n ? c->n - 1 : 0;
    u->first = calloc(u->n_steps + 1, sizeof *u->first);
    u->last = calloc(u->n_steps + 1, sizeof *u->last);
    err_code code = u->first && u->last ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for %zu steps", u->n_steps);
    if (code == ERR_OK)
        code = take_places(u, c, e);
    if (code == ERR_OK)
        code = take_ranks(u, seed, d, p, e);
    if (code != ERR_OK) {
        uses_close(u);
        return code;
    }
    *out = u;
    return ERR_OK;
}

void uses_close(uses *u) {
    if (!u)
        return;
    free(u->rank);
    free(u->first);
    free(u->last);
    free(u);
}

/* The first step (from 0) whose last document is not before x; n_steps when there is none. */
static size_t first_step(const uses *u, place x) {
    size_t lo = 0, hi = u->n_steps;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (before(u->last[mid], x))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Behind the last step (from 0) whose first document is not behind x. */
static size_t end_step(const uses *u, place x) {
    size_t lo = 0, hi = u->n_steps;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (before(x, u->first[mid]))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

size_t uses_of(const uses *u, size_t doc, use *out, size_t max) {
    size_t n = 0;
    for (uint64_t epoch = 0; doc < u->n && epoch < u->n_epochs; epoch++) {
        place x = {epoch, u->rank[epoch * u->n + doc]};
        size_t from = first_step(u, x), to = end_step(u, x);
        if (from >= to)
            continue;
        if (n < max)
            out[n] = (use){epoch, from + 1, to};
        n++;
    }
    return n;
}

uint64_t uses_first(const uses *u, size_t doc) {
    use x;
    return uses_of(u, doc, &x, 1) ? x.first : 0;
}
