/* rng: counter-based randomness (Philox4x32-10).
 *
 * Every number is a pure function of (seed, purpose, index): no state, so order,
 * threads and restarts cannot change it. Source: Salmon et al., "Parallel Random
 * Numbers: As Easy as 1, 2, 3", SC11; tested against its known-answer vectors.
 */
#ifndef LOAM_BASE_RNG_H
#define LOAM_BASE_RNG_H

#include <stdint.h>

/* What a stream is for: streams of two purposes never share a number. Values are part of
 * the arithmetic version: append, never renumber. */
typedef enum {
    RNG_TEST = 1,
    RNG_SAMPLE = 2,
    RNG_INIT = 3,
    RNG_ORDER = 4,
    RNG_CORPUS = 5,
    RNG_DROPOUT = 6,
    RNG_CHALLENGE = 7,
    RNG_ADAPTER = 8,
    RNG_RESAMPLE = 9
} rng_purpose;

/* The raw block function: 4 words from a 4-word counter and a 2-word key. */
void rng_philox(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

uint32_t rng_u32(uint64_t seed, rng_purpose purpose, uint64_t index);
uint64_t rng_u64(uint64_t seed, rng_purpose purpose, uint64_t index);
float rng_f32(uint64_t seed, rng_purpose purpose, uint64_t index);  /* uniform in [0,1), multiples of 2^-24 */
double rng_f64(uint64_t seed, rng_purpose purpose, uint64_t index); /* uniform in [0,1), multiples of 2^-53 */
uint64_t rng_below(uint64_t seed, rng_purpose purpose, uint64_t index,
                   uint64_t n); /* [0,n), n >= 1, by multiply-shift */

#endif
