/* score: log probabilities and the likeliest tokens; see score.h. */
#include "gen/score.h"

#include <math.h>

#include "kern/math64.h"

score_row score_logits(const float *logits, size_t n_vocab) {
    float max = -INFINITY;
    for (size_t i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++)
        sum += kern_exp64((double)logits[i] - (double)max);
    return (score_row){(double)max, kern_log64(sum)};
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
