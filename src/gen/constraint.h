/* constraint: a grammar over the tokens of a vocabulary: which may come next.
 *
 * A token may follow when its bytes, after those of the answer so far, begin a text of the grammar; an end token when
 * the answer so far is one. The others' logits become -inf before any sampler sees them, so each sampler works as ever,
 * on what is left. A token may end inside a character, and the next one go on there. Where nothing may follow, the
 * answer is complete and generation ends, with no end token.
 *
 * A constraint holds the grammar and what has been learnt of it (states, masks by state), a cursor one answer's place
 * in it. Cursors of one constraint share what is learnt; all are used by one thread at a time. What one has learnt
 * never changes what another may do. Masks are computed by a walk over the token tree that leaves out whatever begins
 * wrongly, and kept for states that come again.
 *
 * Work is bounded (text/automaton.h): ERR_LIMIT for a grammar that is too ambiguous. ERR_UNSUPPORTED when no token of
 * the vocabulary may follow though the answer is not complete. Proved by test_constraint.c, test_engine.c,
 * test_grammar_fault.c.
 */
#ifndef LOAM_GEN_CONSTRAINT_H
#define LOAM_GEN_CONSTRAINT_H

#include "gen/token_tree.h"
#include "text/grammar.h"

typedef struct constraint constraint;

typedef struct constraint_cursor {
    constraint *c;
    struct constraint_cursor *next; /* of the same constraint */
    uint32_t state;
    size_t n_taken;
} constraint_cursor;

/* Takes g, also on failure. `tree` must outlive the constraint. */
err_code constraint_open(constraint **out, grammar *g, const token_tree *tree, err *e);
void constraint_close(constraint *c); /* after its cursors have ended; NULL allowed */

/* At the beginning of an answer. *k must stay where it is until constraint_end(). */
void constraint_begin(constraint *c, constraint_cursor *k);
void constraint_end(constraint_cursor *k); /* may be called twice, or for one that never began */

/* Sets logits f32[n_logits] of all tokens that may not follow to -inf; ids beyond the vocabulary may not. */
err_code constraint_mask(constraint_cursor *k, float *logits, size_t n_logits, err *e);
/* The token was chosen. *complete: nothing may follow. An end token changes nothing. A token that may not follow is
 * ERR_USAGE. */
err_code constraint_take(constraint_cursor *k, int32_t id, bool *complete, err *e);

#endif
