/* build: documents from files into a data set.
 *
 * The file OUT is replaced by a complete new one, or stays as it was (store/writer.h); adding to a data set and
 * dropping from one write it anew, too. Documents keep the order of the sources and of the lines in them, and get the
 * ids 1, 2, ... in it. The same sources and options give the same file, byte for byte (with one version of SQLite),
 * whatever the threads.
 *
 * From bytes to documents: files are unpacked (io/unpack.h) and cut (text/split.h). JSON Lines: each line is an object
 * with the string `text`; `id` (string or integer), `source`, `licence` (or `license`), `topic`, `kind` are strings;
 * other keys go to meta as JSON with sorted keys. A byte order mark at a file's beginning is dropped; else a text is
 * taken as it stands. Left out, counted by file, and noted:
 *
 *   empty      nothing but white space
 *   brief      fewer than min_bytes bytes
 *   binary     holds a NUL
 *   encoding   begins with the mark of UTF-16, or has more than one ill-formed sequence of UTF-8 in 100 bytes; with
 *              BUILD_INVALID_SKIP any at all. Otherwise each such sequence becomes U+FFFD (counted as repaired)
 *   malformed  a line that is no such object, a document above DATASET_TEXT_BYTES_MAX, a file that cannot be read or
 *              unpacked: ends the build (ERR_FORMAT, ERR_LIMIT, ERR_IO, with file and line), unless sources.skip_bad is
 * set removed    its SHA-256 is one of a document that was dropped from this set before duplicate  BUILD_DROP_EXACT:
 * the same text is there already near       BUILD_DROP_NEAR: a similar text is there already (store/near.h)
 *
 * Proved by test_data.py (the real program: kills, full disks, hostile files, threads) and test_build.c.
 */
#ifndef LOAM_STORE_BUILD_H
#define LOAM_STORE_BUILD_H

#include "base/pool.h"
#include "store/dataset.h"
#include "store/sources.h"
#include "text/split.h"

typedef enum { BUILD_MARK, BUILD_DROP_EXACT, BUILD_DROP_NEAR } build_duplicates;
typedef enum { BUILD_INVALID_REPAIR, BUILD_INVALID_SKIP } build_invalid;

typedef struct {
    pool *workers; /* NULL: this thread alone */
    source_options sources;
    str topic, kind;    /* of documents that do not say their own */
    split_mode split;   /* of files that are not JSON Lines */
    size_t split_bytes; /* SPLIT_BYTES: at least 16 */
    size_t min_bytes;
    build_invalid invalid;
    build_duplicates duplicates;
    double near; /* similarity from which on texts are near-duplicates; 0: not looked for */
    bool append; /* to the data set that is there */
    bool force;  /* replace a data set from which documents were dropped (its record of them would be lost) */
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total, int64_t documents);
    void *progress_ctx;
    const volatile int *stop; /* not 0: give up with ERR_CANCELLED; NULL: never */
} build_options;

typedef struct {
    int64_t files, read_bytes; /* of this build */
    int64_t documents, bytes;  /* in the finished set */
    int64_t added;             /* documents of this build that are in it */
    int64_t empty, brief, binary, encoding, malformed, repaired, duplicate, near, removed; /* of this build */
    int64_t marked_duplicate, marked_near;                                                 /* in the finished set */
    hash256 digest;                                                                        /* of the finished set */
} build_result;

err_code dataset_build(const char *path, const char *const *words, size_t n_words, const build_options *o,
                       build_result *r, err *e);

/* Writes the data set anew without the n documents of `ids` (ascending; each must be there), with a record of the
 * removal. What was a duplicate of a dropped document is looked at again: marks are as if it had never been there.
 * `condition` and `note` are kept in the record. Only workers, progress and stop of *o count. */
err_code dataset_drop(const char *path, const int64_t *ids, size_t n, str condition, str note, const build_options *o,
                      build_result *r, err *e);

#endif
