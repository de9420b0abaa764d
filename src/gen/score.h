/* score: how likely tokens are by a row of logits.
 *
 * In binary64: max = the largest logit, s = sum of kern_exp64(l - max) by ascending id, and the log probability of a
 * token is -(kern_log64(s) + max - l): the numbers of `loam perplexity`. Ranks: logit descending, ties by ascending id.
 * NaN logits have no rank and make the probabilities NaN. Proved by test/prop/test_engine.c.
 */
#ifndef LOAM_GEN_SCORE_H
#define LOAM_GEN_SCORE_H

#include <stddef.h>
#include <stdint.h>

/* What all tokens of a row share. */
typedef struct {
    double max, log_sum;
} score_row;

score_row score_logits(const float *logits, size_t n_vocab);
double score_of(score_row r, float logit);
/* The n likeliest ids by rank; returns how many there are, at most n. */
size_t score_top(const float *logits, size_t n_vocab, size_t n, int32_t *ids);

#endif
