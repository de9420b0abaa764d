/* indexer: makes the index that suffix.h reads.
 *
 * Documents come one after another, ids ascending, and are packed into shards of at most shard_bytes (a longer document
 * gets a shard of its own). Each thread sorts one shard at a time by libdivsufsort (Mori), so memory is about 5 times
 * shard_bytes a thread. The file's bytes depend on the documents and shard_bytes alone, not on threads. It is written
 * through base/outfile.h: whatever happens, the old index or the whole new one stands at `path`, and a kill leaves
 * nothing behind. Proved by test_spans.c, test_trace_fault.c and test_trace.py.
 */
#ifndef LOAM_TRACE_INDEXER_H
#define LOAM_TRACE_INDEXER_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/pool.h"
#include "base/str.h"

enum { INDEXER_SHARD_BYTES = 8 << 20 };

typedef struct {
    /* The next document (valid until the next call), or *got false at the end. A NUL in it, no bytes at all, an id that
     * does not ascend: ERR_FORMAT. */
    err_code (*next)(void *ctx, bool *got, int64_t *id, str *text, err *e);
    void *ctx;
} indexer_source;

typedef struct {
    pool *workers;            /* NULL: this thread alone */
    size_t shard_bytes;       /* 0: INDEXER_SHARD_BYTES; at most SUFFIX_SHARD_BYTES_MAX */
    hash256 source;           /* names what it is made of; whoever opens the index compares it */
    hash256 digest;           /* of the documents */
    uint64_t bytes_total;     /* of all documents, for progress */
    const volatile int *stop; /* not 0: give up with ERR_CANCELLED; NULL: never */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* NULL */
    void *progress_ctx;
} indexer_options;

/* No document at all: ERR_USAGE. */
err_code indexer_make(const char *path, const indexer_source *source, const indexer_options *o, err *e);

#endif
