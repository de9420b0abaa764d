/* used: what the documents that a condition picks come from and under which licences, in numbers.
 *
 * As stats.h, but of a part of a data set: what a run has used. Proved by test_used.c.
 */
#ifndef LOAM_STORE_USED_H
#define LOAM_STORE_USED_H

#include "base/arena.h"
#include "store/dataset.h"

typedef struct {
    str source, licence; /* licence empty: unknown */
    int64_t documents, bytes;
} used_row;

/* The pairs of source and licence, most documents first, then by source and licence; *n at most `most` (at least 1);
 * what is beyond goes to one more row, source "(others)" and no licence, the last of them. where NULL or "": all
 * documents. Rows live in the arena. */
err_code used_by(dataset *d, const char *where, size_t most, arena *mem, used_row **rows, size_t *n, err *e);

#endif
