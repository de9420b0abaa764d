/* ckpt: the whole state of a run after a step, as a folder that is there complete or not at all.
 *
 *   RUN/ckpt/step-00001000/
 *     model.safetensors       weights, under their names in a Hugging Face folder, rows in order, F32
 *     optimizer.safetensors   "m.NAME" and "v.NAME" for each: the moments
 *     checkpoint.json         {"step", "chain", "weights", "moments", "leaves": {"NAME": ["w", "m", "v"]}}: the digest
 * of the step's line in the chain, the roots, and the leaves that they are made of (root.h)
 *
 * The place in the data follows from the step's number (order.h). A checkpoint is written to RUN/ckpt/new-PID, brought
 * to disk and renamed; what a killed process left is swept away by the next one. On loading every tensor is hashed and
 * compared with its leaf, so that a changed one is named. Proved by test_ckpt.c and test_io_fault.c.
 */
#ifndef LOAM_TRAIN_CKPT_H
#define LOAM_TRAIN_CKPT_H

#include "base/hash.h"
#include "model/learner.h"

/* What is saved: of n params, their weights (params[i].w) and moments, all in the layout of w. */
typedef struct {
    param *params;
    float *const *w, *const *m, *const *v; /* [n] */
    size_t n;
    pool *pool;
} ckpt_state;

typedef struct {
    uint64_t step;
    hash256 chain, weights, moments;
} ckpt_info;

/* Roots of the state as it is. */
err_code ckpt_roots(const ckpt_state *s, hash256 *weights, hash256 *moments, err *e);

/* Saves; fills info->weights and ->moments. folder: RUN/ckpt, created if need be. One that is there for this step stays
 * as it is. */
err_code ckpt_save(const char *folder, ckpt_info *info, const ckpt_state *s, err *e);

/* Reads checkpoint.json alone. */
err_code ckpt_read_info(const char *folder, uint64_t step, ckpt_info *info, err *e);
/* Fills weights and moments. Missing or malformed: ERR_IO, ERR_FORMAT; a tensor that is not what its leaf says, or
 * leaves that are not what the root says: ERR_MISMATCH, naming it. After an error the state is part old, part new. */
err_code ckpt_load(const char *folder, uint64_t step, ckpt_info *info, const ckpt_state *s, err *e);

/* Steps of all checkpoints there, ascending, into *steps (free() it). No folder: none. */
err_code ckpt_list(const char *folder, uint64_t **steps, size_t *n, err *e);
err_code ckpt_remove(const char *folder, uint64_t step, err *e);
/* Removes what is left of unfinished ones. */
void ckpt_sweep(const char *folder);
/* Which of steps[n], ascending, to give up so that `keep` are left and lie as evenly as can be: never the newest; the
 * one whose neighbours (0 before the first) are closest to each other, the older one of two. n when nothing needs to
 * go. */
size_t ckpt_least(const uint64_t *steps, size_t n, size_t keep);

#endif
