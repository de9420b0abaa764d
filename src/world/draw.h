/* draw: the dice of one document.
 *
 * A sequence of numbers that depends on (seed, split, document number) alone: the k-th throw is the block of Philox at
 * index number * 2^21 + split * 2^20 + k with purpose RNG_CORPUS (base/rng.h). No state is shared between documents.
 */
#ifndef LOAM_WORLD_DRAW_H
#define LOAM_WORLD_DRAW_H

#include <assert.h>
#include <stdbool.h>

#include "base/rng.h"

enum { DRAW_THROWS_MAX = 1 << 20 }; /* of one document */
#define DRAW_NUMBER_MAX ((uint64_t)1 << 43)

typedef struct {
    uint64_t seed, base, k;
} draw;

static inline draw draw_begin(uint64_t seed, unsigned split, uint64_t number) {
    assert(split < 2 && number < DRAW_NUMBER_MAX);
    return (draw){seed, number << 21 | (uint64_t)split << 20, 0};
}

/* Uniform in [0, n), n >= 1. */
static inline unsigned draw_below(draw *d, unsigned n) {
    assert(n >= 1 && d->k < DRAW_THROWS_MAX);
    return (unsigned)((uint64_t)rng_u32(d->seed, RNG_CORPUS, d->base + d->k++) * n >> 32);
}

/* Uniform in [lo, hi]. */
static inline unsigned draw_from(draw *d, unsigned lo, unsigned hi) { return lo + draw_below(d, hi - lo + 1); }

static inline bool draw_chance(draw *d, unsigned percent) { return draw_below(d, 100) < percent; }

#endif
