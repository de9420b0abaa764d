/* order: which document stands where in the stream of tokens that a run reads.
 *
 * The stream is one epoch after another, without end. In each epoch every document stands once, sorted by
 *
 *   PRF(seed, epoch, sha256) = SHA-256("loam order" | seed | epoch | sha256), both numbers 8 bytes little-endian
 *
 * (the 32 bytes as they compare; documents of equal text by their number). A document takes its tokens plus its end
 * token. A step reads the next sequences * ctx tokens of the stream (batches.h cuts them), so what a step reads follows
 * from its number alone: there is no cursor that could be lost.
 *
 * The rank of a document depends on its own digest only. Hence, when a document is taken out, the stream up to its
 * first place, order_position(o, doc, 0), is as before: all steps that end there stay what they were, whatever is
 * behind.
 *
 * Documents are numbered by (sha256, id), the order of dataset_list(). Proved by test_order.c.
 */
#ifndef LOAM_TRAIN_ORDER_H
#define LOAM_TRAIN_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/pool.h"

enum { ORDER_DOCS_MAX = INT32_MAX };

typedef struct order order;

/* A place in the stream: token `at` of document `doc`, which is the `rank`-th of its epoch. */
typedef struct {
    uint64_t epoch;
    uint32_t rank, doc;
    uint64_t at;
} order_place;

/* n documents (1 to ORDER_DOCS_MAX) with the digests of their texts and their tokens, end token included (at least 1).
 * Both arrays must outlive it. Epochs are sorted when first asked for, and the last two are kept. */
err_code order_open(order **out, uint64_t seed, const hash256 *sha256, const uint32_t *n_tokens, size_t n, pool *p,
                    err *e);
void order_close(order *o); /* NULL allowed */

uint64_t order_epoch_tokens(const order *o); /* of all documents */

/* The place of stream position `pos`. */
void order_find(order *o, uint64_t pos, order_place *out);
/* The place where the next document begins. */
void order_next(order *o, order_place *p);
/* The stream position at which document `doc` begins in `epoch`. */
uint64_t order_position(order *o, uint32_t doc, uint64_t epoch);

/* The documents of one epoch by rank, doc[n]: for who needs no tokens. */
err_code order_ranks(uint64_t seed, uint64_t epoch, const hash256 *sha256, size_t n, pool *p, uint32_t *doc, err *e);

#endif
