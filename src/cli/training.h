/* training: what the commands that work on a run folder share: opening it, and saying how far it is. */
#ifndef LOAM_CLI_TRAINING_H
#define LOAM_CLI_TRAINING_H

#include "cli/command.h"
#include "cli/out.h"
#include "train/run.h"
#include "tune/tuning.h"

/* A run with its threads. Zero-initialise; training_close() after any outcome. */
typedef struct {
    pool *pool;
    run run;
} training;

/* Instead of what the run was made with; NULL: that. */
typedef struct {
    const char *data, *where, *base;
    bool recompute;
} training_inputs;

/* Opens RUN, of a new model or of tuning, with its data, and plans its memory: it recomputes where it would need more
 * than four fifths of this machine's. An example that cannot be learned from is shown on standard error. */
err_code training_open(training *t, const char *path, const common_values *common, const training_inputs *in, err *e);
/* The options for loading alone; bar: of progress. */
run_load_options training_options(const training *t, const common_values *common, const training_inputs *in,
                                  progress *bar);
void training_close(training *t);

/* Multiply-adds times two a second that this machine can do on the run's threads: measured, the best of short slices,
 * a few hundredths of a second. */
double training_peak(const training *t);

/* What the user has said of a recipe, over what is there; -1 and NULL are nothing. */
typedef struct {
    int64_t said;
    uint64_t *to;
} said_count;
typedef struct {
    double said, *to;
} said_real;
typedef struct {
    const char *option, *said; /* "--schedule", "cosine" */
    char *to;                  /* [RECIPE_NAME_BYTES] */
} said_name;
void take_counts(const said_count *s, size_t n);
void take_reals(const said_real *s, size_t n);
err_code take_names(const said_name *s, size_t n, err *e); /* too long: ERR_USAGE */

/* "1.2k", "3.4M": three figures, powers of 1000. */
amount amount_count(double n);

#endif
