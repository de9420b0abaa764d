/* objective: the lesson of tuning: which examples a step reads, and what it wants of them.
 *
 * Step k reads the examples at places (k - 1) * sequences on of one epoch after another, in the order of train/order.h,
 * a place an example. They are packed (packing.h) in that order into as few gradients as take them without cutting one:
 * a gradient ends before the example that would make it longer than micro * ctx tokens.
 *
 *   text   the mean of -log p over all tokens that are learned in the step: targets are tokens
 *   dpo    pairs (Rafailov et al., 2023, equation 7), the mean over the step's pairs: targets are pairs
 *
 *            loss = -log s(x),  x = beta * ((log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected)))
 *
 *          s the logistic function, log p of a sequence the sum over its tokens that are learned, r the model as it was
 *          before the first step: its values of all pairs are computed when the run begins or goes on. The gradient is
 *          that of the tokens' -log p, those of the chosen ones weighed by beta * s(-x), of the rejected ones by its
 *          opposite, rounded to binary32. Sums in binary64, ascending; doc/arithmetic.md, "Tuning".
 *
 * Dropout of an adapter's inputs is drawn anew for every gradient, by init.seed, step and part; losses alone have none.
 *
 * Held out are the examples that docs_held_out() says (train/docs.h): so are copies of one together. Their loss is that
 * of the objective.
 *
 * Proved by test_objective.c and test/e2e/test_tune.py.
 */
#ifndef LOAM_TUNE_OBJECTIVE_H
#define LOAM_TUNE_OBJECTIVE_H

#include "train/lesson.h"
#include "train/recipe.h"
#include "tune/examples.h"

typedef struct {
    const uint32_t *train, *held_out; /* numbers of examples, ascending; must outlive the lesson, as must x */
    size_t n_train, n_held_out;
} objective_split;

/* A pair that does not fit into a gradient, no examples: ERR_USAGE. */
err_code objective_open(lesson *out, const recipe *r, const examples *x, const objective_split *s, pool *p, err *e);

/* -log s(x), and s(-x). */
double objective_loss(double x);
double objective_pull(double x);

#endif
