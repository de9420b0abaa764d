/* runlog: what a run measured over time, RUN/log.db: for plots and for people. Nothing depends on it.
 *
 *   steps     step, at (seconds since 1970), seconds, loss, norm, lr, tokens, flops
 *   evals     step, bits (per byte of held-out text), bytes (read)
 *   sessions  from_step, to_step, seconds, joules (NULL: not measurable), threads, isa: one for each time it ran
 *
 * The proof of a run is its chain; this file has what differs from machine to machine. Steps are committed once a
 * second: a killed process loses the last of them, never the file. A reader sees committed rows. Proved by
 * test_runlog.c.
 */
#ifndef LOAM_STORE_RUNLOG_H
#define LOAM_STORE_RUNLOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    uint64_t step, tokens;
    double at, seconds, loss, norm, lr, flops;
} runlog_step;

typedef struct {
    uint64_t step, bytes;
    double bits;
} runlog_eval;

typedef struct {
    uint64_t from_step, to_step;
    double seconds, joules; /* joules below 0: not measurable */
    int threads;
    const char *isa;
} runlog_session;

typedef struct runlog runlog;

/* For writing, from behind `step` on: rows of later steps are dropped (they will come again). */
err_code runlog_open(runlog **out, const char *path, uint64_t step, err *e);
err_code runlog_add_step(runlog *l, const runlog_step *s, err *e);
err_code runlog_add_eval(runlog *l, const runlog_eval *v, err *e);
err_code runlog_add_session(runlog *l, const runlog_session *s, err *e);
/* Commits and frees, also when that fails. NULL allowed. */
err_code runlog_close(runlog *l, err *e);

/* All rows, ascending; free() both. seconds, joules: of all sessions, joules below 0 when one could not be measured;
 * thread_seconds: the same seconds times threads. */
typedef struct {
    runlog_step *step;
    runlog_eval *eval;
    size_t n_steps, n_evals;
    double seconds, joules, thread_seconds;
} runlog_rows;
err_code runlog_read(runlog_rows *r, const char *path, err *e);
void runlog_rows_fini(runlog_rows *r);

#endif
