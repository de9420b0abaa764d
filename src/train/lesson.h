/* lesson: what the steps of a run learn from, and how a gradient comes of it.
 *
 * A step is some gradients that are added up in a fixed order (fold.h). A lesson says how many, computes each into the
 * g of the learner's params, and says which documents were read. Everything follows from the number of the step: there
 * is no cursor. Two kinds: stream.h, documents one behind another, for new models; tune/objective.h, examples that are
 * answered and pairs that are preferred.
 *
 * The trainer (trainer.h) owns its lesson and calls it from one thread.
 */
#ifndef LOAM_TRAIN_LESSON_H
#define LOAM_TRAIN_LESSON_H

#include "model/learner.h"
#include "train/order.h"

/* One gradient. */
typedef struct {
    double sum;              /* of the loss */
    size_t targets;          /* what the sums of a step are divided by */
    order_place first, last; /* the documents of its first and its last token */
    const batch *batch;      /* what was read; valid until the next call */
    double passes;           /* of it: forward is 1, backward 2 */
} lesson_part;

typedef struct {
    void *ctx;
    order *order;      /* which document stands where: ctx's own */
    size_t tokens_max; /* of a batch */
    size_t parts_max;  /* gradients of a step at most */
    size_t bytes;      /* of memory */

    /* Called with the weights as they are before the first step, when a run begins or goes on; may be called again.
     * NULL: nothing to do. */
    err_code (*begin)(void *ctx, learner *l, err *e);
    size_t (*parts)(void *ctx, uint64_t step); /* gradients of step `step` (from 1), at least 1 */
    err_code (*gradient)(void *ctx, learner *l, uint64_t step, size_t i, lesson_part *out, err *e);
    /* The loss on what is held out, over its targets: a line of the chain has it where it has roots. NULL: none. */
    err_code (*held_out)(void *ctx, learner *l, double *loss, err *e);
    /* Bits per byte of the first documents that are held out, up to bytes_max: *bytes 0 when there are none. For
     * people; NULL: none. */
    err_code (*validate)(void *ctx, learner *l, size_t bytes_max, double *bits, size_t *bytes, err *e);
    void (*close)(void *ctx);
} lesson;

#endif
