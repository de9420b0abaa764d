/* tuning: a run that begins with a base: what its recipe says, and everything opened that computing a step needs.
 *
 * Examples (examples.h) come from one file of JSON Lines or one data set. data.digest is that of the examples that were
 * taken, or of the data set (train/docs.h), of which documents may be taken out again (train/rebuild.h). The order of
 * the steps is train/order.h's over the examples' digests, so nothing depends on the order of lines. Which ids an
 * example has hangs on it, the base (whose tokenizer it is), the template, roles and date alone: all in the recipe.
 *
 * A tuning run is loaded by tuning_load() and then is a run: loop_run(), verify_run() and the others work on it.
 * Proved by test/e2e/test_tune.py.
 */
#ifndef LOAM_TUNE_TUNING_H
#define LOAM_TUNE_TUNING_H

#include "train/run.h"
#include "tune/examples.h"
#include "tune/objective.h"

/* Defaults of what a recipe leaves open: TUNING_OPEN. */
#define TUNING_OPEN UINT64_MAX
enum { TUNING_CTX_MAX = 2048, TUNING_TOKENS = 1024 }; /* of a sequence; of a gradient, about */

/* Who wants to see the examples before anything is computed. */
typedef struct {
    err_code (*see)(void *ctx, const examples *x, const tokenizer *t, err *e);
    void *ctx;
} tuning_look;

/* The template of a run: a built-in's name, a file, or NULL: the base's own, empty when there is none. Appended. */
err_code tuning_template(const char *base, const char *named, strbuf *out, err *e);

/* Fills in what base and data say (base, model, data, tune.template), from what the user has said, and then what is
 * open there: model.ctx (the longest example, at most what the base and TUNING_CTX_MAX allow), batch.micro,
 * batch.sequences, optimizer.steps (by epochs) and warmup, chain.roots_every. o: workers, progress, stop. Checks the
 * whole recipe. */
err_code tuning_describe(recipe *r, const run_inputs *in, double epochs, const run_load_options *o,
                         const tuning_look *look, err *e);

/* r: after run_open(), of a tuning run. Opens base, template and examples, compares all digests with the recipe's
 * (ERR_MISMATCH, saying which differs), and opens the trainer. */
err_code tuning_load(run *r, const run_load_options *o, err *e);

/* Of a loaded one. */
const examples *tuning_examples(const run *r);
const objective_split *tuning_split(const run *r);
const tokenizer *tuning_words(const run *r);

/* Which layers a list names: "0-5,8" into layer[n], 1: this one. Empty: all. ERR_USAGE. */
err_code tuning_layers(str list, size_t n, uint8_t *layer, err *e);

#endif
