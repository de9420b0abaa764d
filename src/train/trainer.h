/* trainer: one run in memory, advanced a step at a time.
 *
 * A step computes the gradients of its lesson (lesson.h), adds them up (fold.h), takes the norm and changes the weights
 * (optim.h), and says what it did in the form of a line of the chain. The line depends on the recipe, the documents,
 * the base where there is one, and the number of the step alone. Losses are added in ascending order in binary64.
 *
 * One thread at a time. Proved by test/e2e/test_train.py.
 */
#ifndef LOAM_TRAIN_TRAINER_H
#define LOAM_TRAIN_TRAINER_H

#include "train/chain.h"
#include "train/ckpt.h"
#include "train/lesson.h"
#include "train/recipe.h"

typedef struct trainer trainer;
typedef struct adapter adapter; /* model/adapter.h */

typedef struct {
    pool *pool;        /* NULL: the caller's thread alone */
    const char *isa;   /* NULL or "auto", ... */
    bool recompute;    /* learner.h: less memory, same bits */
    size_t memory_max; /* 0: none; recompute is turned on when it would need more without */
} trainer_options;

/* What learns, and from what. The trainer takes all of it over, whatever trainer_open() comes to. */
typedef struct {
    model *model;
    adapter *adapter; /* of the model: what learns; NULL: all weights do */
    lesson lesson;
    /* Writes every weight of params[n] as it is before the first step. `fresh`: none has been changed since the model
     * was opened. */
    err_code (*begin)(void *ctx, param *params, size_t n, bool fresh, err *e);
    void *begin_ctx; /* the caller's; must outlive the trainer */
} trainer_subject;

/* Bytes of each part, and floats of the weights that learn. */
typedef struct {
    size_t n_params, weights, gradients, moments, tokens, total;
    size_t base;    /* weights that do not learn */
    bool recompute; /* as chosen */
} trainer_plan;

err_code trainer_open(trainer **out, const recipe *r, const trainer_subject *s, const trainer_options *o, err *e);
void trainer_close(trainer *t); /* NULL allowed */
trainer_plan trainer_plan_of(const trainer *t);

/* To before the first step: first weights, moments zero. */
err_code trainer_begin(trainer *t, err *e);
/* To the state of a checkpoint. After an error only trainer_begin() or another load helps. */
err_code trainer_load(trainer *t, const char *folder, uint64_t step, ckpt_info *info, err *e);

uint64_t trainer_step_done(const trainer *t); /* steps done */
/* The next step. Fills all of *line but its digest; roots, and the loss on what is held out, where the recipe asks for
 * them. A loss or a gradient that is not finite: ERR_LIMIT, and the weights are those before the step; a loss on what
 * is held out that is not: ERR_LIMIT, and they are those behind it. Beyond the recipe's last step: ERR_USAGE. */
err_code trainer_step(trainer *t, chain_line *line, err *e);
/* Line 0 of a run that is at its beginning, without its digest. */
err_code trainer_first_line(trainer *t, chain_line *line, err *e);

ckpt_state trainer_state(trainer *t);
const recipe *trainer_recipe(const trainer *t);
model *trainer_model(trainer *t);     /* its weights as they are now */
adapter *trainer_adapter(trainer *t); /* NULL: all weights learn */
order *trainer_order(trainer *t);
learner *trainer_learner(trainer *t); /* of the same weights; batches of at most lesson.tokens_max tokens */
double trainer_lr(const trainer *t, uint64_t step);
/* Of the last step: multiply-adds times two, those of recomputing left out; and tokens read. */
double trainer_step_flops(const trainer *t);
size_t trainer_step_tokens(const trainer *t);
/* Of n tokens in segments of `length`, of which `counted` are learned: a forward pass, or with the gradient. */
double trainer_flops(const trainer *t, double n, double counted, double length, bool gradient);

/* Loss in bits per byte of text of the documents held out, the first of them up to bytes_max bytes; *bytes is what was
 * read, 0 when none is held out (then *bits is 0 too). */
err_code trainer_validate(trainer *t, size_t bytes_max, double *bits, size_t *bytes, err *e);

#endif
