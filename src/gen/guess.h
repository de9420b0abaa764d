/* guess: what may follow, from what stands before.
 *
 * Text repeats itself: names, code, quotations of the prompt. The guess is what followed the last earlier occurrence of
 * the final ids. Whether it is right, the model says: a guess is computed along with the token before it, and each of
 * its ids stays only if sampling at its place gives that very id. So guesses change how many passes a text takes, and
 * nothing else. Source: "prompt lookup decoding" (A. Saxena, 2023); Leviathan et al., arXiv 2211.17192, with equality
 * in place of their test, since a draw here depends on seed and position alone. Proved by test/prop/test_engine.c.
 */
#ifndef LOAM_GEN_GUESS_H
#define LOAM_GEN_GUESS_H

#include <stddef.h>
#include <stdint.h>

enum { GUESS_MATCH_MAX = 4, GUESS_MATCH_MIN = 2 };

/* Writes at most `most` ids that may follow ids[0..n) to out, which may be ids + n; returns how many. Looks for the
 * last GUESS_MATCH_MAX ids, then for fewer; the latest occurrence wins. */
size_t guess_next(const int32_t *ids, size_t n, size_t most, int32_t *out);

#endif
