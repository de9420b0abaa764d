/* training: what the commands that work on a run folder share: opening it, and saying how far it is. */
#ifndef LOAM_CLI_TRAINING_H
#define LOAM_CLI_TRAINING_H

#include "cli/command.h"
#include "cli/out.h"
#include "train/run.h"

/* A run with its threads. Zero-initialise; training_close() after any outcome. */
typedef struct {
    pool *pool;
    run run;
} training;

/* Opens RUN, its data (data, where: instead of those it was made with; NULL) and tokenizer, and plans its memory.
 * memory_max: recompute where more would be needed; 0: four fifths of this machine's. */
err_code training_open(training *t, const char *path, const common_values *common, const char *data, const char *where,
                       bool recompute, err *e);
void training_close(training *t);

/* Multiply-adds times two a second that this machine can do on the run's threads: measured, about 0.1 s. */
double training_peak(const training *t);

/* "1.2k", "3.4M": three figures, powers of 1000. */
amount amount_count(double n);

#endif
