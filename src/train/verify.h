/* verify: does this run come from its recipe? Executed again and compared, all of it or parts that nobody could
 * foresee.
 *
 * Always: the chain's seals; its first line against the recipe and the initial weights; every checkpoint against its
 * leaves and roots and, where the chain has roots, against the chain; the exported model against the chain's
 * last line: its weights by their root, then every byte against what publishing gives (publish.h). Data and tokenizer
 * have been compared with the recipe by run_load().
 *
 * Then steps are executed:
 *   VERIFY_ALL    from the beginning to the chain's end
 *   VERIFY_FROM   from the newest checkpoint before step `from` to the chain's end
 *   VERIFY_FILES  none
 *   VERIFY_SPOT   `spot` segments. A segment begins at the beginning or at a checkpoint whose roots are in the chain,
 * and ends at the next line that has roots. Which ones: without repetition, by rng_below(s, RNG_CHALLENGE, i, segments
 * left), s the first 8 bytes of SHA-256("loam challenge" | the chain's last digest | challenge). The last digest
 * depends on everything before, so who made the chain could not know; the challenge is what who asks adds. and every
 * line but its digest must come out the same. Threads and instruction set do not matter.
 *
 * The first difference is ERR_MISMATCH and names the step and what differs, or the file. Proved by
 * test/e2e/test_train.py.
 */
#ifndef LOAM_TRAIN_VERIFY_H
#define LOAM_TRAIN_VERIFY_H

#include "train/run.h"

typedef enum { VERIFY_ALL, VERIFY_FROM, VERIFY_SPOT, VERIFY_FILES } verify_how;

typedef struct {
    verify_how how;
    uint64_t from;
    size_t spot;
    str challenge;
    volatile const int *cancel;                                 /* may be NULL */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* steps; may be NULL */
    void *ctx;
} verify_options;

typedef struct {
    uint64_t steps, of_steps; /* executed; in the chain */
    bool finished;            /* the chain goes to the recipe's last step */
    size_t segments, of_segments, checkpoints;
    bool model;   /* the exported model was compared */
    bool folder;  /* which is RUN/model */
    bool at_step; /* after ERR_MISMATCH: it is step `step` that differs */
    uint64_t step;
    hash256 weights, digest; /* the chain's last root, and its last digest */
} verify_report;

/* r: after run_load(). */
err_code verify_run(run *r, const verify_options *o, verify_report *report, err *e);

#endif
