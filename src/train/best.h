/* best: which step of a run was the best, and whether it is time to stop, from the lines of its chain alone.
 *
 * A line with a loss on what is held out (chain.h) is a look. The best step is the one of the least loss, the earlier
 * of two. After `patience` looks in a row that were not the least so far the run has ended, if patience is above 0:
 * a function of the bits, so whoever executes the run again stops at the same step. Proved by test_best.c.
 */
#ifndef LOAM_TRAIN_BEST_H
#define LOAM_TRAIN_BEST_H

#include "train/chain.h"
#include "train/recipe.h"

/* Zero-initialise; then take the lines in order. */
typedef struct {
    uint64_t step; /* the best one; 0: no look yet */
    double loss;
    uint64_t since; /* looks after it */
} best;

void best_take(best *b, const chain_line *line);
bool best_stops(const best *b, uint64_t patience);

/* Whether the run has ended with a chain whose last line is that of step `last`. */
bool best_ended(const best *b, const recipe *r, uint64_t last);
/* The step whose weights the run publishes, when `last` was its last. */
uint64_t best_published(const best *b, const recipe *r, uint64_t last);

/* Of the chain's lines up to step `last`. */
best best_of(const chain *c, uint64_t last);

#endif
