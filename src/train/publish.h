/* publish: what a run has made.
 *
 * An adapter is RUN/adapter, as peft loads it, and RUN/adapter.gguf, as llama.cpp does (not of DoRA, which it does not
 * know). They name the base "sha256:HEX", by its digest.
 *
 * A model is RUN/model.gguf: F32, so that its root can be checked, with the tokenizer
 * and its chat template, and where it comes from:
 *
 *   loam.arithmetic u32     version of doc/arithmetic.md
 *   loam.recipe             the text of recipe.json
 *   loam.recipe.digest      SHA-256 of it, hexadecimal
 *   loam.data.digest, loam.tokenizer.digest; of tuning loam.base.digest in the place of the latter
 *   loam.steps u64          steps done
 *   loam.weights            root of the weights (root.h)
 *   loam.chain              digest of the line of that step
 *   loam.run                general.name again, the folder's name when it was written: a bit that flips in one of the
 *                           two shows
 *
 * A tuned model that GGUF files have no words for becomes a Hugging Face folder, RUN/model, F32, as its base is one.
 *
 * The bytes of the file depend on the run alone. Proved by test/e2e/test_train.py.
 */
#ifndef LOAM_TRAIN_PUBLISH_H
#define LOAM_TRAIN_PUBLISH_H

#include "train/run.h"

/* The state that the trainer is in; digest: of the chain's last line. */
err_code publish_run(run *r, hash256 digest, err *e);

/* What stands there, byte by byte against what is written after the step of `last`, whose weights the trainer has;
 * another byte, a missing file or one too many: ERR_MISMATCH. m: the model that stands there, opened; NULL: an adapter.
 * A GGUF file is compared while it is read (a run that has got another name since keeps the one in the file), all else
 * is written once more, into a folder below TMPDIR. */
err_code publish_compare(run *r, const model *m, const chain_line *last, err *e);

/* Whether anything is published; what a run of this kind does not publish is ERR_MISMATCH. */
err_code publish_check_names(const run *r, bool *any, err *e);
/* A file or folder of files, and all that is published in a run's folder, against another: ERR_MISMATCH. */
err_code publish_compare_made(const char *is, const char *want, err *e);
err_code publish_compare_all(const char *is, const char *want, err *e);
/* Removes what publishing writes into a folder, as far as it can. */
void publish_sweep(const char *folder);

#endif
