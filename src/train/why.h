/* why: the documents that moved a run towards an answer.
 *
 * The measure is TracIn over checkpoints (Pruthi et al. 2020, equation 2) with AdamW's preconditioner, as LESS uses it
 * (Xia et al. 2024): at checkpoint c with weights w, second moments v and learning rate r, document d counts
 *
 *   score_c(d) = r * < g_d, u >,   u = q / (sqrt(v^) + eps),   v^ = v / (1 - beta2^c)
 *
 * where q is the gradient of the answer's loss, -log p(ANSWER | PROMPT) summed over the answer's tokens, and g_d that
 * of the document's loss summed over its tokens: to first order what a step on d alone would take off the answer's
 * loss. The score is the sum over the checkpoints.
 *
 * < g_d, u > is a derivative of d's loss in one direction, so no gradient of a document is computed: with h = STEP * r
 * / rms(u),  < g_d, u > ~ (loss_d(w + h u) - loss_d(w - h u)) / 2h,  two forward passes over the documents, in batches
 * (turning influence round is the idea of Ko et al. 2024). The third-order error is small where h u is no longer than a
 * step of training; that is what STEP = 0.25 keeps.
 *
 * Losses are summed per document in binary64 by ascending position, scores by ascending checkpoint: the same bits with
 * any threads and instruction set. Documents held out score 0. Nothing is proved by a score: rebuild without the
 * documents to know. Quality is measured by bench/why.py. Proved by test/e2e/test_why.py.
 */
#ifndef LOAM_TRAIN_WHY_H
#define LOAM_TRAIN_WHY_H

#include "train/run.h"

typedef struct {
    str prompt, answer;
    size_t checkpoints;                                         /* at most so many, evenly spread, the last included */
    volatile const int *cancel;                                 /* may be NULL */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* tokens; may be NULL */
    void *ctx;
} why_options;

typedef struct {
    double *score;   /* [docs.n] */
    size_t n_steps;  /* checkpoints looked at */
    uint64_t *step;  /* [n_steps] */
    double *loss;    /* [n_steps] of the answer there, nats */
    size_t n_answer; /* tokens of the answer */
} why_result;

/* r: after run_load(). checkpoints 0: scores stay 0, and the loss is that of the last checkpoint. No checkpoint:
 * ERR_USAGE; prompt and answer longer than the run's context, or an empty answer: ERR_USAGE. The trainer's state is
 * used. */
err_code why_run(run *r, const why_options *o, why_result *out, err *e);
void why_fini(why_result *x);

#endif
