/* guess: what may follow, from what stands before.
 *
 * Text repeats itself: names, code, quotations of the prompt. The guess is what followed the last earlier occurrence of
 * the final ids. Whether it is right, the model says: a guess is computed along with the token before it, and each of
 * its ids stays only if sampling at its place gives that very id. So guesses change how many passes a text takes, and
 * nothing else.
 *
 * A wrong guess costs: a pass over 1 + n rows takes longer than over one. So a request has a credit, in hundredths of a
 * pass: each of its tokens adds GUESS_INCOME, each guessed id that came 100, and a guess takes what it costs, right or
 * wrong. It guesses only what its credit can pay: where guesses fail they cost GUESS_INCOME in a hundred and one try
 * more; where they hit, the credit is soon full, and a few misses do not end it. Source: "prompt lookup decoding" (A.
 * Saxena, 2023); Leviathan et al., arXiv 2211.17192, with equality in place of their test, since a draw here depends on
 * seed and position alone. Proved by test_guess.c, test/prop/test_engine.c.
 */
#ifndef LOAM_GEN_GUESS_H
#define LOAM_GEN_GUESS_H

#include <stddef.h>
#include <stdint.h>

enum {
    GUESS_MATCH_MAX = 4,
    GUESS_MATCH_MIN = 2,
    GUESS_MOST = 8,     /* ids of one guess */
    GUESS_INCOME = 3,   /* hundredths of a pass, a token */
    GUESS_BEGIN = 130,  /* a try */
    GUESS_RICH = 300,   /* from here on a match of GUESS_MATCH_MIN is enough, else one more is wanted */
    GUESS_CREDIT = 600, /* not more is saved */
};
/* Of n ids, measured: two rows take nearly twice the time of one (bench/streams), each further one little. */
#define GUESS_COST(n) (75 + 18 * (int)(n))

/* Writes at most `most` ids that may follow ids[0..n) to out, which may be ids + n; returns how many. Looks for the
 * last GUESS_MATCH_MAX ids, then for fewer, down to `least`; the latest occurrence wins. */
size_t guess_next(const int32_t *ids, size_t n, size_t least, size_t most, int32_t *out);

/* What a request has learnt of its guesses. */
typedef struct {
    int credit;
    size_t eager; /* ids to guess next: more after those that all came */
} guess_habit;

guess_habit guess_begin(void);
/* How many ids to guess now, 0: none; *least: by how long a match. */
size_t guess_wish(const guess_habit *h, size_t *least);
/* A step guessed n ids, 0 allowed, and n_right came: 1 + n_right tokens. */
void guess_learn(guess_habit *h, size_t n, size_t n_right);

#endif
