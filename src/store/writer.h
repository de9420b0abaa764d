/* writer: a new data set file, which takes its name when it is complete.
 *
 *   dataset_writer *w;
 *   TRY(dataset_writer_open(&w, "D.db", e));
 *   dataset_writer_put(w, &doc, 0, e); ...                    ids ascending from 1
 *   TRY(dataset_writer_commit(w, e));                         or dataset_writer_abort(w)
 *
 * Rows go to D.db.tmp, which a lock keeps to one writer at a time (a second one gets ERR_IO that says so) and which a
 * later writer takes over when this one was killed (D.db.tmp2, too, for a moment in dataset_writer_compact()). Commit
 * brings it to disk, renames it to D.db and brings the folder to disk: whatever happens at whatever moment, D.db is the
 * old file or the complete new one, never something else. What stands at D.db and is neither absent nor a data set is
 * left alone (ERR_IO, ERR_FORMAT).
 *
 * The bytes of the file depend on the calls and the version of SQLite alone. After a failed call the only thing left
 * to do is dataset_writer_abort(), which removes D.db.tmp. Errors name the file; a full disk is ERR_IO.
 * Proved by test_dataset.c, and test_data.py: kills at many moments, files that may not grow.
 */
#ifndef LOAM_STORE_WRITER_H
#define LOAM_STORE_WRITER_H

#include "store/dataset.h"

typedef struct dataset_writer dataset_writer;

/* One file that documents came from, as it is recorded (doc/data.md). */
typedef struct {
    int64_t id; /* 1, 2, ... */
    str name, source, format;
    hash256 sha256; /* of the file as it was read, compressed or not */
    int64_t bytes;
    int64_t documents;                                 /* taken in */
    int64_t empty, brief, binary, encoding, malformed; /* left out, by reason */
    int64_t repaired;                                  /* taken in with U+FFFD for ill-formed UTF-8 */
    int64_t duplicate, near, removed;                  /* left out: there already; dropped from this set before */
} dataset_file;

typedef struct {
    int64_t id; /* 1, 2, ... */
    str condition, note;
    int64_t documents, bytes;
    hash256 digest_before, digest_after;
} dataset_removal;

/* A document that is no longer there. */
typedef struct {
    dataset_key key;
    int64_t removal;
} dataset_removed;

err_code dataset_writer_open(dataset_writer **out, const char *path, err *e);

/* doc->key.id must be larger than the last one, doc->key.sha256 that of doc->text (dataset_hash()). Texts are
 * well-formed UTF-8 without NUL, 1 to DATASET_TEXT_BYTES_MAX bytes; so are the other strings, which may be empty. */
err_code dataset_writer_put(dataset_writer *w, const dataset_doc *doc, int64_t file, err *e);
err_code dataset_writer_near(dataset_writer *w, int64_t id, int64_t near_of, double similarity, err *e);
/* Appends the text of a document that was put. */
err_code dataset_writer_text(dataset_writer *w, int64_t id, strbuf *out, err *e);
/* Takes back a document that was put. dataset_writer_compact() then makes the file as if it had never been there. */
err_code dataset_writer_delete(dataset_writer *w, int64_t id, err *e);
err_code dataset_writer_compact(dataset_writer *w, err *e);
err_code dataset_writer_file(dataset_writer *w, const dataset_file *f, err *e);
err_code dataset_writer_removal(dataset_writer *w, const dataset_removal *r, err *e);
err_code dataset_writer_removed(dataset_writer *w, const dataset_removed *r, err *e);
err_code dataset_writer_info(dataset_writer *w, const char *key, const char *value, err *e);

/* Frees w, whether it succeeds or not. */
err_code dataset_writer_commit(dataset_writer *w, err *e);
void dataset_writer_abort(dataset_writer *w); /* NULL allowed; frees w */

#endif
