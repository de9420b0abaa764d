/* sampler: from logits to the next token.
 *
 * Order: repetition, presence and frequency penalties over the last `penalty_last_n` tokens; then, when
 * temperature is 0, the highest logit; else top-k, top-p, min-p, temperature, and a draw. Ties go to the lower
 * id. The draw is rng_f64(seed, RNG_SAMPLE, position): it depends on the seed and on how many tokens
 * stand before, and on nothing else. All arithmetic is by doc/arithmetic.md, so the same logits give the
 * same token on every machine.
 *
 *   penalties    binary32: l = l > 0 ? l / repetition : l * repetition, then
 *                l = l - ((float)count * frequency + presence), for every id that occurs `count` times in the window
 *   candidates   the ids whose logit is above -inf; NaN and -inf are out. The list stands by ascending id, or, when
 *                top-k or top-p is on, by rank: logit descending, ties by ascending id
 *   weight       w = exp((double)l - (double)max), kern_exp64; a logit equal to max has w = 1, so +inf is defined
 *   top-k        the first k by rank
 *   top-p        Z = sum of w over the candidates left, in binary64, one chain by rank when top-k is on, else by
 *                ascending id; keeps the shortest prefix by rank whose sum is >= top_p * Z, at least one
 *   min-p        keeps w >= min_p
 *   temperature  w = exp(((double)l - (double)max) / temperature), Z = their sum in the list's order
 *   draw         the first candidate whose running sum of w is > u * Z
 *
 * Proved by test/unit/test_sampler.c.
 */
#ifndef LOAM_GEN_SAMPLER_H
#define LOAM_GEN_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    float temperature;        /* 0: greedy */
    int top_k;                /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off; positive logits are divided by it, others multiplied */
    float presence_penalty;   /* 0: off; subtracted once from a token that occurred */
    float frequency_penalty;  /* 0: off; subtracted for each occurrence */
    int penalty_last_n;       /* window of the penalties; -1: all tokens */
    uint64_t seed;
} sampler_config;

extern const sampler_config
    sampler_default; /* temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalties, window 64, seed 0 */

err_code sampler_check(const sampler_config *c, err *e); /* every field in range, else ERR_USAGE naming it */

typedef struct sampler sampler;
size_t sampler_plan_bytes(size_t n_vocab);                    /* of memory that sampler_open() takes */
err_code sampler_open(sampler **out, size_t n_vocab, err *e); /* plans all memory */
void sampler_close(sampler *s);                               /* NULL allowed */
/* The token after `ids[0..n)`. logits f32[V] is clobbered. NaN logits never win; -1 when no logit is above -inf
 * (all masked, or a damaged model). ids outside the vocabulary are not counted. Allocates nothing. */
int32_t sampler_next(sampler *s, const sampler_config *c, float *logits, const int32_t *ids, size_t n);

#endif
