/* batches: the stream of tokens cut into what one gradient reads.
 *
 * A microbatch is `micro` * ctx tokens of the stream. Each token of it stands in a segment with its neighbours of the
 * same document: a segment ends where the document ends, after ctx tokens, and at the end of the microbatch. What is
 * left of the document goes on in a segment of its own, which does not see what was before. Each token but a document's
 * last has the document's next token as its target, also where that stands in the next segment, and weight 1, or, when
 * the recipe marks answers, that of its target (answers.h); a document's last token, its end token, has weight 0. So in
 * one epoch every token but each document's first is predicted once.
 *
 * Proved by test_order.c.
 */
#ifndef LOAM_TRAIN_BATCHES_H
#define LOAM_TRAIN_BATCHES_H

#include "model/learner.h"
#include "train/order.h"
#include "train/tokens.h"

typedef struct {
    order *order;
    const tokens *tokens;
    size_t ctx, n; /* longest segment; tokens of a microbatch */
    /* Of the microbatch at hand: */
    int32_t *ids, *target; /* [n] */
    float *weight;         /* [n] */
    segment *segment;      /* [n] */
    batch batch;
    size_t n_targets;        /* positions with a target */
    order_place first, last; /* documents of its first and its last token */
} batches;

err_code batches_init(batches *b, order *o, const tokens *t, size_t ctx, size_t n, err *e);
void batches_fini(batches *b);

/* Fills b->batch with the n tokens from stream position pos on. */
void batches_read(batches *b, uint64_t pos);

/* Fills b->batch with documents [doc, end), one behind the other, from their token `at` on, at most n tokens, cut
 * likewise, all of weight 1. Returns how many; b->first and b->last stay as they are. For validation. */
size_t batches_read_docs(batches *b, uint32_t doc, uint32_t end, uint64_t at);

#endif
