/* packing: whole examples one behind another in a batch, each sequence a segment of its own.
 *
 *   ids       [ example 7 ........ ][ example 2, chosen ...][ example 2, rejected ]
 *   segment     0                    1                       2
 *   weight[t]   1 where predicting ids[t + 1] of the same sequence is learned, else 0
 *
 * So conversations do not see each other, nothing is cut, and nothing is padded. Proved by test_objective.c.
 */
#ifndef LOAM_TUNE_PACKING_H
#define LOAM_TUNE_PACKING_H

#include "model/learner.h"
#include "tune/examples.h"

typedef struct {
    const examples *x;
    size_t tokens_max;
    int32_t *ids, *target; /* [tokens_max] */
    float *weight;         /* [tokens_max] */
    segment *segment;      /* [tokens_max / 2], sequences have at least two tokens */
    batch batch;           /* dropout is the caller's to set */
    size_t n_learned;      /* positions of weight 1 */
} packing;

/* x must outlive it. */
err_code packing_init(packing *p, const examples *x, size_t tokens_max, err *e);
void packing_fini(packing *p);

/* Tokens of an example: of a pair, both. */
size_t packing_tokens(const example *ex);

void packing_begin(packing *p);
/* False: there is no room left, and nothing has changed. */
bool packing_add(packing *p, uint32_t i);

#endif
