/* watch: a run on its way, as people and programs see it: a line on standard error or JSON lines, RUN/log.db, and what
 * is said at the end. Shared by the commands that take a run to its end. */
#ifndef LOAM_CLI_WATCH_H
#define LOAM_CLI_WATCH_H

#include "base/energy.h"
#include "cli/training.h"
#include "store/runlog.h"
#include "train/loop.h"

/* Zero-initialise; set the first group. */
typedef struct {
    training *t;
    const char *command; /* that continues the run: "train" */
    bool json;
    double peak;                                             /* training_peak() */
    err_code (*on_sample)(void *ctx, uint64_t step, err *e); /* LOOP_SAMPLE; may be NULL */
    void *ctx;

    uint64_t until, first, done; /* the last step to do; the one that this session began behind; the last one done */
    runlog *log;
    progress line;
    double begun, drawn, seconds; /* seconds, tokens, flops: of this session's steps */
    double tokens, flops, bits, held_out, loss;
    energy_meter energy;
} watch;

/* Runs it, with o's events told; keeps the log; prints the end. Stopped by Ctrl-C: a note says how to go on. */
err_code watch_run(watch *w, loop_options *o, err *e);

#endif
