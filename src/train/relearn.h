/* relearn: what a run's tokenizer owes to its documents.
 *
 * A tokenizer.json does not say what it was learnt from. But learning is exact (tok/bpe_train.h): if learning from all
 * documents of the run, with the special tokens and the number of pieces that the file has and one of the known
 * patterns, gives the file again byte for byte, it was learnt from them, and learning from what is left of them gives
 * the one that a run without the others would have. Otherwise nothing can be said.
 *
 * Proved by test/e2e/test_rebuild.py.
 */
#ifndef LOAM_TRAIN_RELEARN_H
#define LOAM_TRAIN_RELEARN_H

#include "train/pick.h"
#include "train/run.h"

typedef struct {
    bool known; /* it was learnt from the run's documents */
    bool same;  /* without those taken out the same comes out */
    size_t pieces, new_pieces;
    size_t lost; /* pieces that the new one does not have */
    strbuf json; /* the new tokenizer.json, where known */
} relearnt;

/* r: after run_load_docs(). */
err_code relearn(relearnt *out, run *r, const picked *without, pool *p, const volatile int *cancel, err *e);
void relearn_fini(relearnt *x);

#endif
