/* rebuild: the run that would have been, had some of its documents never been there.
 *
 * What "from scratch without them" is: the run's recipe, but for the digest and number of its documents; so steps,
 * learning rates and seeds stay, and the stream of tokens closes up where a document is missing. A document's place in
 * an epoch depends on its own digest alone (order.h) and whether it is held out, too (docs.h), so every step before the
 * first that reads one of those taken out is the same step, bit for bit: the chain's lines up to there, sealed anew
 * behind the new recipe's digest, and the checkpoints among them, named anew, are those of the run from scratch.
 * Training goes on behind the last of these checkpoints, and is training (loop.h): it can be killed and continued.
 *
 *   1. rebuild_plan_make     what it takes; nothing is written
 *   2. rebuild_stage         OUT.new: recipe, tokenizer, inputs, removals.jsonl
 *   3. run_load(OUT.new)
 *   4. rebuild_carry         the chain's first lines and their checkpoints, each compared with its leaves and the
 * chain; then OUT.new is renamed to OUT
 *   5. loop_run(OUT)
 *
 * A process killed before the renaming leaves OUT.new, which the next one sweeps away; after it, OUT, which is a run
 * and can be continued. What the run's own chain claims is taken over, not proved: verify it first, or verify OUT.
 *
 * Proved by test/e2e/test_rebuild.py: byte for byte against training from scratch.
 */
#ifndef LOAM_TRAIN_REBUILD_H
#define LOAM_TRAIN_REBUILD_H

#include "train/relearn.h"

typedef struct {
    recipe recipe;                               /* of the run to be */
    removal record;                              /* as it will be written */
    uint64_t steps;                              /* of the run: its chain's last */
    size_t n_removed, n_held_out, n_copies_left; /* held out: of those removed */
} rebuild_plan;

/* from: after run_load_docs(). Nothing left to learn from, no chain: ERR_USAGE. */
err_code rebuild_plan_make(rebuild_plan *p, run *from, const picked *without, const char *query, pool *workers, err *e);
void rebuild_plan_fini(rebuild_plan *p);
/* The run to be gets the tokenizer that is learnt from what is left; unless that is the same one, everything is trained
 * anew. Not known: ERR_USAGE. */
err_code rebuild_plan_tokenizer(rebuild_plan *p, const run *from, const relearnt *x, err *e);

/* Writes the folder `stage`. json: of another tokenizer, or empty. */
err_code rebuild_stage(rebuild_plan *p, const run *from, const char *stage, str json, err *e);
/* to: loaded from `stage`. Takes over what is kept and renames the folder. */
err_code rebuild_carry(const rebuild_plan *p, const run *from, run *to, const char *out, err *e);

/* Whether `out` is the run that this plan leads to, begun or ended: else ERR_USAGE. */
err_code rebuild_is_same(const rebuild_plan *p, const run *out, err *e);

/* A folder of a run that is to be made anew, whatever is left of it: removes what Loam writes into one, and nothing
 * else (then ERR_IO). None there: ERR_OK. */
err_code rebuild_sweep(const char *folder, err *e);

/* A run with the recipe, data and removals of `like`, without a step: what a proof begins with. */
err_code rebuild_scratch(const run *like, const char *path, err *e);
/* Whether two finished runs are the same, byte for byte: chain, last checkpoint, all that is published. ERR_MISMATCH.
 */
err_code rebuild_compare(const run *a, const run *b, err *e);

#endif
