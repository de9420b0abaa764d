/* compare: how far a model's predictions are from those of the model that it was made from.
 *
 * Both read the windows of a text (gen/windows.h), each from an empty cache, and predict the tokens of their second
 * halves, as llama.cpp's `perplexity --kl-divergence` does: of a window of n tokens the positions n/2 .. n-2. The
 * divergence at a position is KL(original || other) = sum over ids of p * (log p - log q), in nats. llama.cpp keeps the
 * original's log probabilities as numbers of 16 bits and leaves out the least likely ids; here all count as they are.
 *
 * Order of arithmetic, in binary64: with Z = max + log(sum of exp(l - max)), ids ascending (gen/score.h),
 * KL = (sum of exp(a - max_a) * (a - b), ids ascending) / (sum of exp(a - max_a)) - (Z_a - Z_b), and 0 if below; sums
 * over positions are one chain in the order of the text. Threads share out positions. So the numbers depend on the two
 * models and the text alone. Proved by test_compare.c and test_quantize.py.
 */
#ifndef LOAM_GEN_COMPARE_H
#define LOAM_GEN_COMPARE_H

#include "base/pool.h"
#include "gen/windows.h"
#include "model/model.h"

/* One position: logits a (original) and b f32[n_vocab], and the id that comes next. */
typedef struct {
    double loss_a, loss_b; /* nats */
    double kl;
    bool same_top; /* both find the same id likeliest; of equals the lowest counts */
} compare_row;
compare_row compare_logits(const float *a, const float *b, size_t n_vocab, int32_t next);

typedef struct {
    size_t n;              /* positions */
    double loss_a, loss_b; /* means, nats: perplexity is exp() */
    double kl, kl_error;   /* mean, and the standard error of the mean (0 for ten positions or fewer) */
    double kl_99;          /* 99 % of positions have less: interpolated between the two nearest */
    double same_top;       /* share of positions */
} comparison;

/* Of values[n], which is sorted, the one below which a share of them lies. */
double compare_percentile(const double *values, size_t n, double share);

typedef struct {
    pool *pool;                                               /* shares out positions; NULL: this thread */
    const volatile int *cancel;                               /* not 0: stop, ERR_CANCELLED; may be NULL */
    void (*progress)(void *ctx, size_t done, size_t windows); /* may be NULL */
    void *progress_ctx;
} compare_options;

/* Both models of one vocabulary (else ERR_USAGE). n_windows: the first so many, 0: all. Windows of fewer than 4
 * tokens have no second half to score: ERR_USAGE. Logits that are no numbers: ERR_FORMAT. */
err_code compare_models(model *a, model *b, const windows *w, size_t n_windows, const compare_options *o,
                        comparison *out, err *e);

#endif
