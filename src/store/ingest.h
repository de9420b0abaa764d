/* ingest: the assembly line of a build; not for others than build.c.
 *
 * Three batches of documents go round. While all threads prepare one (parse, check, hash, sketch), the calling thread
 * first puts the one before into the new file and reads the one after, then helps. What a batch holds, and what happens
 * to a document, depends on the documents before it alone, never on threads.
 *
 * Invariants:
 *   1. Only the calling thread touches SQLite, files and the builder; other threads touch items of the current batch.
 *   2. Errors of preparing are kept in the item and come up when it is put, in the order of the documents.
 */
#ifndef LOAM_STORE_INGEST_H
#define LOAM_STORE_INGEST_H

#include "store/build.h"
#include "store/seen.h"
#include "store/writer.h"
#include "text/shingle.h"

/* One document that may get near-duplicates: has words, is no exact duplicate. */
typedef struct {
    int64_t id;
    uint32_t file; /* 0: of the set that is added to */
    int64_t near_of;
    double similarity; /* as it was known before */
} ingest_sketched;

typedef struct {
    const build_options *o;
    dataset_writer *w;
    build_result *r;
    source_list sources;
    dataset *old;        /* the set to take over; NULL */
    const int64_t *drop; /* ids that are not taken over, ascending */
    size_t n_drop;
    bool keep_marks;            /* of the old documents */
    int64_t next_id, next_file; /* to be given */
    seen seen, removed;         /* texts in the set; texts dropped from it */
    dataset_file *file;         /* [sources.n] */
    shingle_sketch *sketch;     /* [n_sketched] */
    ingest_sketched *sketched;
    size_t n_sketched, cap_sketched, n_old_sketched;
} ingest;

/* Everything from g->old and g->sources into g->w. */
err_code ingest_run(ingest *g, err *e);

#endif
