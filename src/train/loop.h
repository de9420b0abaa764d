/* loop: from where a run stands to its end, or until it is told to stop.
 *
 *   1. A line of the chain is appended after each step, before anything else is told of it.
 *   2. A checkpoint is written only when all lines up to its step are on disk.
 *   3. Continuing takes the newest checkpoint (or the beginning) and cuts the chain back to its step. So whenever the
 *      process is killed, what follows are the lines that would have followed anyway, and at most the work since the
 * last checkpoint is lost.
 *   4. Two processes never work on one run: the chain's file is locked.
 *   5. After the recipe's last step, or when a tuning run's patience is at its end (best.h), the model is published
 * (publish.h): that of the last step, or the best one's.
 *
 * Checkpoints are saved where `every` divides the step, after the last step, and when told to stop. Of those, `keep`
 * remain (ckpt_least()), and the best step's where the recipe publishes it; one whose step has no roots in the chain
 * goes as soon as there is a newer one. Proved by test/e2e/test_train.py, with kills at random moments.
 */
#ifndef LOAM_TRAIN_LOOP_H
#define LOAM_TRAIN_LOOP_H

#include "train/run.h"

/* What happened, as it happens. */
typedef enum {
    LOOP_BEGIN,  /* at `step`: 0, or that of a checkpoint */
    LOOP_STEP,   /* line, lr, seconds, flops are of this step */
    LOOP_EVAL,   /* bits (per byte) of `bytes` bytes held out; or a line that says it: has_held_out */
    LOOP_SAMPLE, /* the moment to let the model speak */
    LOOP_SAVED,  /* a checkpoint of `step` */
    LOOP_END,
} loop_kind;

typedef struct {
    loop_kind kind;
    uint64_t step;
    const chain_line *line;
    double lr, seconds, flops, bits;
    size_t bytes;
} loop_event;

typedef struct {
    uint64_t until;                    /* the last step to do; 0: the recipe's */
    uint64_t every;                    /* steps between checkpoints; 0: the recipe's roots_every */
    size_t keep;                       /* checkpoints; 0: all */
    uint64_t eval_every, sample_every; /* steps; 0: never. Both also at the end */
    size_t eval_bytes;                 /* of held-out text to read at most */
    volatile const int *cancel;        /* stops after the step at hand when it becomes nonzero; may be NULL */
    err_code (*on)(void *ctx, const loop_event *v, err *e); /* an error ends the loop; may be NULL */
    void *ctx;
} loop_options;

/* r: after run_load(). Stopped by cancel: a checkpoint is saved, ERR_CANCELLED. Any other error: the folder holds what
 * the last checkpoint had, and can be continued. */
err_code loop_run(run *r, const loop_options *o, err *e);

#endif
