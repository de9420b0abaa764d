/* bisect: where two runs part: the first step, and the first tensor, by executing as little as can be.
 *
 *   1. Each run by itself: whether its files are what they seal (verify.h, VERIFY_FILES): a changed bit in a recipe, a
 *      tokenizer, a document, a chain, a checkpoint or an export is found here, with its name.
 *   2. Recipes by keys, data sets by digests, chains by lines (what they say of recipes and their digests left out),
 *      checkpoints of the same step by their roots.
 *   3. Where lines or checkpoints first differ, at step s: execution from the last step before s that has the same
 * roots in both chains and a checkpoint in one of them, or from the beginning. Recipe, data and tokenizer are the same:
 *      one execution tells which of the two chains is what the recipe gives, and is compared with the checkpoints of
 *      both that it comes by, up to the first behind s of a run that does not fit. Else both are executed side by side
 *      and compared after every step.
 *
 * Tensors in the order of learner_params(): weights, then first moments, then second moments. A bit that flipped in
 * memory during training is found at the step whose line first shows it, and in the tensor of the next checkpoint: when
 * steps lie between the two, everything may differ by then. Proved by test/e2e/test_bisect.py.
 */
#ifndef LOAM_TRAIN_BISECT_H
#define LOAM_TRAIN_BISECT_H

#include "train/run.h"

enum { BISECT_TEXT_BYTES = 600 };
#define BISECT_NEVER UINT64_MAX

typedef struct {
    char text[BISECT_TEXT_BYTES];
} bisect_text;

typedef struct {
    bisect_text files[2]; /* what is wrong with the files of each; empty: nothing */
    bisect_text recipe;   /* the first key in which they differ; empty: none */
    size_t only[2];       /* documents that only this one has */
    uint64_t only_step;   /* the first step that reads one of them; 0: none does, or not known */
    bool chains;          /* both could be read; else nothing below is known */
    uint64_t steps[2];    /* of the chains */
    uint64_t line;        /* the first step whose lines, or checkpoints, differ; BISECT_NEVER */
    bisect_text what;     /* how */
    bool executed;        /* what follows is known */
    uint64_t from, n_executed;
    bool fits[2];         /* each chain's lines, as far as executed, are what its recipe gives */
    uint64_t fits_not[2]; /* else the first that is not */
    uint64_t step;        /* after which the tensors first differ; BISECT_NEVER: in no step that was looked at */
    int side;             /* 0, 1: in a checkpoint of that run, against what was executed; 2: in both executions */
    bisect_text tensor;   /* "weights of NAME" */
    size_t n_tensors, of_tensors; /* that differ there, of all (moments count as tensors) */
} bisect_report;

typedef struct {
    volatile const int *cancel;                                 /* may be NULL */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* steps; may be NULL */
    void *ctx;
} bisect_options;

/* loaded[i] NULL: run i is loaded; else why it could not be (its chain is compared nevertheless). The trainers' states
 * are used. */
err_code bisect_runs(run *const r[2], const err *const loaded[2], const bisect_options *o, bisect_report *report,
                     err *e);
bool bisect_parted(const bisect_report *r); /* anything at all differs or is wrong */

#endif
