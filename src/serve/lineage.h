/* lineage: the runs and data sets that a server may show, by name; paths stay here, but for those that an
 * error's text names.
 *
 * Names are the last part of a path (a data set's without .db). Two paths of one name: ERR_USAGE; of the runs that a
 * folder has beside, those whose name is taken are left out. All are found at the start, so that the sandbox can be
 * told what will be read; names, paths and answers stay as they are from then on, and any thread may look at them.
 * The data are opened when they are first asked for, which can take seconds: lineage_open() and what it gives are for
 * one thread alone, the desk's.
 *
 * Proved by test/e2e/test_lineage.py.
 */
#ifndef LOAM_SERVE_LINEAGE_H
#define LOAM_SERVE_LINEAGE_H

#include "view/library.h"

enum { LINEAGE_PLACES_MAX = 256 };

typedef struct {
    char *name, *path;
    char answers[RECIPE_NAME_BYTES]; /* of a run added by itself: the marks of answers in its recipe */
    tracer *tracer;                  /* of data: once opened */
    err untraced;                    /* likewise: why there is no index */
} lineage_place;

typedef struct lineage {
    lineage_place run[LINEAGE_PLACES_MAX], data[LINEAGE_PLACES_MAX]; /* data: a data set, or the run whose data it is */
    size_t n_runs, n_data;
} lineage;

/* Zero-initialise; lineage_fini() after any outcome. */
err_code lineage_add_run(lineage *l, const char *path, err *e); /* and its data */
err_code lineage_add_data(lineage *l, const char *path, err *e);
/* The runs in a folder, without their data; a folder that cannot be read has none. */
err_code lineage_add_runs(lineage *l, const char *folder, err *e);
void lineage_fini(lineage *l);

/* Makes the index of every run's data that has none. */
err_code lineage_index(lineage *l, const tracer_watch *w, err *e);

/* Which files are read: calls told() with each path that is there. */
err_code lineage_paths(const lineage *l, err_code (*told)(void *ctx, const char *path, err *e), void *ctx, err *e);

const lineage_place *lineage_run(const lineage *l, str name); /* NULL: no such run */
/* The name of the run whose RUN/model.gguf this is; NULL: of none that is known. */
const char *lineage_run_of_model(const lineage *l, const char *model_path);
/* The data of this name, opened. No such data: ERR_IO; what they are now is not what the run learned from:
 * ERR_MISMATCH. Without an index they can be listed but not traced: *t has none, and *why says why. */
err_code lineage_open(lineage *l, str name, tracer **t, err *why, err *e);

#endif
