/* lineage: the runs and data sets that a server may show, by name; paths stay here.
 *
 * Names are the last part of a path (a data set's without .db); where two are alike, the first keeps it and the other
 * is left out. All are found at the start, so that the sandbox can be told what will be read; the data are opened when
 * they are first asked for, which can take seconds. Opening and looking is for one thread alone: the desk's.
 *
 * Proved by test/e2e/test_lineage.py.
 */
#ifndef LOAM_SERVE_LINEAGE_H
#define LOAM_SERVE_LINEAGE_H

#include "view/library.h"

enum { LINEAGE_PLACES_MAX = 256 };

typedef struct {
    char *name, *path;
    tracer *tracer; /* of data: once opened */
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
/* The data of this name, opened. No such data: ERR_IO. Without an index it can be listed but not traced: *t has none,
 * and *why says so. */
err_code lineage_open(lineage *l, str name, tracer **t, err *why, err *e);

#endif
