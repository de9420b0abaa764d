/* stats: what a data set is made of, in numbers.
 *
 * All strings live in the caller's arena. Proved by test_build.c.
 */
#ifndef LOAM_STORE_STATS_H
#define LOAM_STORE_STATS_H

#include "base/arena.h"
#include "store/dataset.h"
#include "store/writer.h"

typedef struct {
    int64_t documents, bytes, bytes_min, bytes_max, bytes_median; /* 0 when there is no document */
    int64_t exact_duplicates, near_duplicates;
    int64_t files, removals, removed; /* files read; removals made; documents dropped by them */
} stats_totals;
err_code stats_total(dataset *d, stats_totals *out, err *e);

typedef struct {
    str value;
    int64_t documents, bytes;
} stats_row;
typedef enum { STATS_LICENCE, STATS_SOURCE, STATS_KIND, STATS_TOPIC } stats_column;

/* The values of a column with most documents first (then by bytes of the value), at most `most`; *n_all: how many
 * there are. Rows live in the arena. */
err_code stats_by(dataset *d, stats_column column, size_t most, arena *mem, stats_row **rows, size_t *n, int64_t *n_all,
                  err *e);

/* The files that the documents came from, at most `most`, by id; and the removals. */
err_code stats_files(dataset *d, size_t most, arena *mem, dataset_file **files, size_t *n, err *e);
err_code stats_removals(dataset *d, size_t most, arena *mem, dataset_removal **removals, size_t *n, err *e);

#endif
