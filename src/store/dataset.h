/* dataset: the documents a model learns from, in one SQLite file.
 *
 * Each document has its text, a SHA-256 of it, where it comes from and under which licence. Documents are never
 * changed; they can be dropped (they stay in the file's history as a row without text until vacuumed). A reader sees
 * the last complete state, whatever happens to a writer. Everything that a reader gets is independent of the order in
 * which documents came in: documents are listed by (sha256, id).
 */
#ifndef LOAM_STORE_DATASET_H
#define LOAM_STORE_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

typedef struct dataset dataset;

enum { DATASET_TEXT_BYTES_MAX = 64 << 20 }; /* of one document */

/* What a list of documents says of each; text is read when needed. */
typedef struct {
    int64_t id;
    hash256 sha256; /* of the text's bytes */
    size_t bytes;
} dataset_key;

typedef struct {
    dataset_key key;
    str name;    /* the document's own id in its source: "hw-000017"; may be empty */
    str text;    /* UTF-8 */
    str source;  /* "homeworld", "apt:bible-kjv-text", a file's name */
    str licence; /* SPDX expression, or "" when unknown */
    str topic, kind;
    str meta; /* the other keys of the source's line as a JSON object, or "" */
} dataset_doc;

/* Opens for reading. Not a data set, or of a newer version: ERR_FORMAT. */
err_code dataset_open(dataset **out, const char *path, err *e);
void dataset_close(dataset *d); /* NULL allowed */

/* Documents that satisfy `where`, an SQL expression over the columns of table `documents` (NULL: all), sorted by
 * (sha256, id), into *keys (free() it). A bad expression: ERR_USAGE with SQLite's words. Only expressions: no statement
 * can be smuggled in, nothing can be written. */
err_code dataset_list(dataset *d, const char *where, dataset_key **keys, size_t *n, err *e);

/* One document. Its strings are valid until the next call on d. No such id: ERR_USAGE. The text's SHA-256 is checked
 * against the stored one: ERR_FORMAT when it differs. */
err_code dataset_get(dataset *d, int64_t id, dataset_doc *doc, err *e);

/* SHA-256 over the sorted SHA-256 of all documents: what a recipe names. Documents with equal texts count as often as
 * they stand there. */
err_code dataset_digest(dataset *d, hash256 *out, err *e);

#endif
