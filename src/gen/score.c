/* score: log probabilities and the likeliest tokens; see score.h. */
#include "gen/score.h"

#include <math.h>

#include "kern/kern.h"
#include "kern/math64.h"

enum { PIECE = 256 };

score_row score_logits(const float *logits, size_t n_vocab) {
    const kern_ops *kern = kern_select(NULL);
    double weight[PIECE], sum = 0;
    float max = -INFINITY;
    for (size_t i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t at = 0; at < n_vocab; at += PIECE) {
        size_t n = n_vocab - at < PIECE ? n_vocab - at : PIECE;
        kern->weights(logits + at, n, max, 1, weight);
        for (size_t i = 0; i < n; i++)
            sum += isnan(logits[at + i]) ? (double)logits[at + i] : weight[i];
    }
    /* The difference of two infinities is no number. */
    return (score_row){(double)max, isinf(max) ? (double)NAN : kern_log64(sum)};
}

double score_of(score_row r, float logit) { return -(r.log_sum + r.max - (double)logit); }

size_t score_top(const float *logits, size_t n_vocab, size_t n, int32_t *ids) {
    size_t found = 0;
    for (size_t i = 0; i < n_vocab && n > 0; i++) {
        if (isnan(logits[i]) || (found == n && !(logits[i] > logits[ids[n - 1]])))
            continue;
        size_t at = found < n ? found++ : n - 1;
        for (; at > 0 && logits[i] > logits[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = (int32_t)i;
    }
    return found;
}
