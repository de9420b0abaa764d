/* stream: the lesson of a new model: documents one behind another, cut into microbatches of equal length (batches.h).
 *
 * A step reads sequences / micro microbatches; every position that has a next token of its document is a target.
 * Proved by test/e2e/test_train.py.
 */
#ifndef LOAM_TRAIN_STREAM_H
#define LOAM_TRAIN_STREAM_H

#include "train/lesson.h"
#include "train/recipe.h"
#include "train/tokens.h"

/* d and t: of the recipe's data; both must outlive it. Too little text for a step: ERR_USAGE. */
err_code stream_open(lesson *out, const recipe *r, const docs *d, const tokens *t, pool *p, err *e);

#endif
