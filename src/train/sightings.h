/* sightings: at which steps a run has seen a document.
 *
 * A line of the chain names the first and the last document of what its step read, by epoch and rank; the rank of a
 * document in an epoch follows from its digest (order.h). So nothing is tokenized and nothing executed: the chain and
 * the list of documents are enough. A step has seen a document when it read at least one of its tokens. What the chain
 * does not reach, and documents that are held out, have not been seen. Proved by test_sightings.c and test_trace.py.
 */
#ifndef LOAM_TRAIN_SIGHTINGS_H
#define LOAM_TRAIN_SIGHTINGS_H

#include "train/chain.h"
#include "train/docs.h"

typedef struct {
    uint32_t doc; /* number in docs.h, below n_train */
    uint32_t step;
} sighting;

typedef struct {
    sighting *seen; /* [n] by (doc, step) */
    size_t n, cap;
} sightings;

/* For the documents with wanted[doc] set ([d->n_train]). seed: recipe.init.seed. Lines that do not follow one another,
 * or name documents that are not there: ERR_FORMAT. sightings_fini() after success. */
err_code sightings_find(sightings *s, const docs *d, uint64_t seed, const chain *c, const bool *wanted, err *e);
void sightings_fini(sightings *s);

/* Those of one document, by step; NULL and *n 0 when there are none. */
const sighting *sightings_of(const sightings *s, uint32_t doc, size_t *n);

#endif
