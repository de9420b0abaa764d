/* tracer: what tracing works with: the documents, their index, and perhaps the run that learned from them.
 *
 * WHAT is a data set, whose index stands beside it (D.db.trace), or a run folder. A run's documents are those of its
 * data set, also those that it did not read, or of the built-in corpus but for those that loam rebuild took out; the
 * index is the data set's own if it has one, else RUN/data.trace, which is made when it is first needed, or when the
 * data are others. Proved by test_trace.py and test_view.c.
 */
#ifndef LOAM_VIEW_TRACER_H
#define LOAM_VIEW_TRACER_H

#include "trace/spans.h"
#include "train/run.h"
#include "train/sightings.h"

/* While an index is made. */
typedef struct {
    bool never;                                                 /* none is made */
    const volatile int *stop;                                   /* not 0: give up with ERR_CANCELLED; NULL: never */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes; NULL: nobody looks */
    void *ctx;
} tracer_watch;

typedef struct {
    pool *workers;
    tracer_watch watch;
    run run; /* of WHAT or of --run; run.path NULL: none */
    chain chain;
    dataset *set;     /* NULL: the run's documents are made */
    uint32_t *number; /* [run.docs.n] of made documents: the numbers in run.docs, by ascending id */
    suffix *index;
    char *what;
} tracer;

/* of_run NULL: the steps are not asked for, unless WHAT is a run. No index where one is needed: ERR_UNSUPPORTED; data
 * that are not those of the run: ERR_MISMATCH. *t zero-initialised; tracer_close() after any outcome; after an error
 * the documents can be read all the same if there is `set` or `number`. */
err_code tracer_open(tracer *t, const char *what, const char *of_run, pool *workers, const tracer_watch *w, err *e);
void tracer_close(tracer *t);

/* The document `id` as it is stored or made, valid until the next call. No such: ERR_USAGE. */
err_code tracer_doc(tracer *t, int64_t id, dataset_doc *doc, err *e);

err_code tracer_beside(const char *path, run_path *out, err *e); /* where the index of a data set stands: D.db.trace */
/* Makes the index of a data set beside it, shard_bytes 0: as usual. */
err_code tracer_index(const char *path, size_t shard_bytes, pool *workers, const tracer_watch *w, suffix_totals *out,
                      err *e);
/* Opens the index of a data set: it must be of this state of the set. */
err_code tracer_open_index(suffix **out, const char *path, err *e);

#endif
