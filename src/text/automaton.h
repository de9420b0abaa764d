/* automaton: what may follow, byte by byte, by a grammar.
 *
 * A state is the set of all stacks of calls in which a grammar's program can be after the bytes so far: a pushdown
 * automaton that follows every possibility at once. Stacks are lists that share their tails; equal stacks are one node,
 * equal sets are one state, and where a state goes with a byte is remembered. So a text whose grammar repeats itself
 * (the characters of a string) soon costs one look-up a byte.
 *
 *   state  { node, node, ... }           node  parent <- (instruction, count of its loop)
 *
 * Hostile grammars are bounded: a state has at most AUTOMATON_STACKS_MAX stacks; stacks deeper than
 * AUTOMATON_DEPTH_MAX are dropped (what would nest deeper may not follow); and all work is paid from a budget that the
 * owner fills (automaton_allow()). Passing the first or the last is ERR_LIMIT. Nothing depends on time or addresses.
 * One thread at a time. Proved by test_grammar.c (against a matcher that backtracks), test_grammar_fault.c.
 */
#ifndef LOAM_TEXT_AUTOMATON_H
#define LOAM_TEXT_AUTOMATON_H

#include "text/grammar.h"

enum { AUTOMATON_STACKS_MAX = 16384, AUTOMATON_DEPTH_MAX = 1024, AUTOMATON_DEAD = 0 };
#define AUTOMATON_UNKNOWN UINT32_MAX

typedef struct automaton automaton;

/* `g` must outlive it. *start: before any byte. */
err_code automaton_open(automaton **out, const grammar *g, uint32_t *start, err *e);
void automaton_close(automaton *a); /* NULL allowed */

/* *next: the state after `byte`, or AUTOMATON_DEAD. After an error the automaton is as before. */
err_code automaton_next(automaton *a, uint32_t state, unsigned char byte, uint32_t *next, err *e);
/* What is known of it by byte, u32[256]: a state, or AUTOMATON_UNKNOWN, which automaton_next() finds out. For loops in
 * a hurry; stays where it is until automaton_tidy(). */
err_code automaton_row(automaton *a, uint32_t state, const uint32_t **row, err *e);
bool automaton_may_end(const automaton *a, uint32_t state);  /* the bytes so far are a whole text */
bool automaton_must_end(const automaton *a, uint32_t state); /* and nothing may follow */

/* A state after which the same texts of up to `ahead` bytes may follow, and end; one for many states whose loops have
 * counted differently, but are far from their bounds: what is computed for it holds for all of them. The answer is
 * kept: a second question costs nothing. */
err_code automaton_like(automaton *a, uint32_t state, uint32_t ahead, uint32_t *like, err *e);

/* Adds to the budget, which never passes AUTOMATON_BUDGET_MAX and begins with it. */
enum { AUTOMATON_BUDGET_MAX = 4 << 20 };
void automaton_allow(automaton *a, size_t steps);

/* As much is remembered that it is time for automaton_tidy(), which forgets all states but live[0..n); those get new
 * numbers. Between two calls as many states are made as the budget allows and ~40 MB hold. */
bool automaton_full(const automaton *a);
err_code automaton_tidy(automaton *a, uint32_t *const *live, size_t n, err *e);

#endif
