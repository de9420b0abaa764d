/* build: documents from files into a data set.
 *
 * Proved by test_build.c and test/e2e/test_data.py.
 */
#ifndef LOAM_STORE_BUILD_H
#define LOAM_STORE_BUILD_H

#include "base/pool.h"
#include "store/dataset.h"

typedef struct {
    pool *pool;               /* NULL: this thread alone */
    str source, licence;      /* of documents that do not say their own; source empty: the file's name */
    const volatile int *stop; /* not 0: give up with ERR_CANCELLED; NULL: never */
} dataset_build_options;

typedef struct {
    int64_t documents, bytes; /* in the finished set */
    hash256 digest;
} dataset_build_result;

/* Makes the file `path` of the sources (JSON Lines files) in their order. */
err_code dataset_build(const char *path, const char *const *sources, size_t n_sources, const dataset_build_options *o,
                       dataset_build_result *r, err *e);

#endif
