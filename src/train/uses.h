/* uses: at which steps of a run each of its documents was read.
 *
 * A line of the chain says which documents its step began and ended with (epoch and rank), and the order (order.h)
 * which document has which rank in an epoch; so no text is read and nothing is tokenized. A document stands once in
 * every epoch, mostly within one step, a long one or one at the edge in several that follow each other. A document held
 * out is never read.
 *
 *   run r; docs d; chain c;            run_open(), docs_open() with the recipe's seed and share, chain_read()
 *   uses *u;                           uses_open(&u, r.recipe.init.seed, &d, &c, pool, e)
 *   uses_of(u, docs_find(&d, sha256, 0), found, max)
 *
 * Memory: 4 bytes a document and epoch. Proved by test_uses.c against the stream of order.h.
 */
#ifndef LOAM_TRAIN_USES_H
#define LOAM_TRAIN_USES_H

#include "train/chain.h"
#include "train/docs.h"
#include "train/order.h"

#define USES_MAX ((uint64_t)1 << 31) /* documents times epochs */

typedef struct {
    uint64_t epoch, first, last; /* steps, from 1, both included */
} use;

typedef struct uses uses;

/* seed: recipe.init.seed. d and c are needed during the call alone. A chain that names ranks or epochs that cannot be:
 * ERR_FORMAT; more than USES_MAX: ERR_LIMIT. */
err_code uses_open(uses **out, uint64_t seed, const docs *d, const chain *c, pool *p, err *e);
void uses_close(uses *u); /* NULL allowed */

/* The uses of document `doc` (number of docs.h), ascending, into out[max]; returns how many there are. */
size_t uses_of(const uses *u, size_t doc, use *out, size_t max);
/* The first step that reads it, 0 when none does. */
uint64_t uses_first(const uses *u, size_t doc);

#endif
