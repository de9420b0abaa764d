/* run: a run's folder, and everything opened that computing a step of it needs.
 *
 *   RUN/recipe.json    what determines the bits (recipe.h); written last: a folder without it is no run yet
 *   RUN/inputs.json    {"data": PATH, "where": CONDITION}: where the documents were found, and of tuning "base": PATH;
 *                      not part of the recipe
 *   RUN/removals.jsonl what was taken out of the data by loam rebuild (removal.h); those documents are left out
 *   RUN/tokenizer/     a copy of the tokenizer's files; of tuning none, for the base has it
 *   RUN/template.jinja of tuning: the chat template that its examples went through
 *   RUN/chain.jsonl    chain.h
 *   RUN/ckpt/          ckpt.h
 *   RUN/log.db         store/runlog.h
 *   RUN/model.gguf     the model that was made; of tuning by an adapter RUN/adapter/ and RUN/adapter.gguf: publish.h
 *
 * Loading compares data and tokenizer with the digests in the recipe. Proved by test/e2e/test_train.py.
 */
#ifndef LOAM_TRAIN_RUN_H
#define LOAM_TRAIN_RUN_H

#include "train/chain.h"
#include "train/removal.h"
#include "train/tokens.h"
#include "train/trainer.h"

typedef struct {
    char text[OS_PATH_BYTES];
} run_path;

typedef struct {
    char *path;         /* of the folder */
    char *data, *where; /* of inputs.json */
    char *base;         /* of tuning, likewise; else NULL */
    strbuf template;    /* of tuning: template.jinja */
    recipe recipe;
    removals removals;
    docs docs;
    tokenizer *tokenizer;
    tokens tokens;
    trainer *trainer; /* after run_load() */
    pool *pool;       /* the caller's */
    /* What tuning needs besides: tune/tuning.h. */
    struct tuning *tuning;
    void (*close_tuning)(struct tuning *t);
} run;

bool run_is(const char *path);                                            /* a folder with a recipe.json */
err_code run_file(const run *r, const char *name, run_path *out, err *e); /* RUN/name */

/* What a run is made from, besides its recipe. */
typedef struct {
    const char *data, *where;
    const char *tokenizer; /* of a new model: a folder with tokenizer.json, or such a file */
    const char *base;      /* of tuning */
    str template;          /* of tuning */
} run_inputs;

/* Makes the folder. One that is there may hold nothing but what is left of an interrupted run_create(): ERR_USAGE
 * otherwise. */
err_code run_create(const char *path, const recipe *r, const run_inputs *in, err *e);
/* Of another run with the same inputs; the tokenizer's path lives in *given. */
err_code run_inputs_of(const run *r, run_path *given, run_inputs *out, err *e);

/* Reads recipe and inputs. Zero-initialised *r; run_close() after any outcome. */
err_code run_open(run *r, const char *path, err *e);
void run_close(run *r);

/* RUN/chain.jsonl as chain_read() reads it; empty for a run that has not begun. */
err_code run_chain(const run *r, chain *c, err *e);

/* What data and tokenizer say of themselves: to fill a recipe, before there is a folder. */
err_code run_describe(const char *data, const char *where, const char *given, recipe *r, err *e);

typedef struct {
    trainer_options trainer;
    const char *data, *where, *base;                        /* instead of those of inputs.json; NULL: those */
    void (*progress)(void *ctx, size_t done, size_t total); /* of tokenizing, in bytes; may be NULL */
    void (*progress_examples)(void *ctx, uint64_t done, uint64_t total); /* of tuning, likewise */
    void *progress_ctx;
    const volatile int *stop; /* of tuning's examples: ERR_CANCELLED when it is not 0; NULL: never */
    strbuf *bad;              /* of tuning: receives the example that an error is about; may be NULL */
} run_load_options;

/* Of run_load() the documents alone: opened and compared. */
err_code run_load_docs(run *r, const char *data, const char *where, err *e);

/* Of a new model (tuning: tuning_load()). Opens documents and tokenizer, compares their digests with the recipe's
 * (ERR_MISMATCH, saying which differs), tokenizes, and opens the trainer. */
err_code run_load(run *r, const run_load_options *o, err *e);

#endif
