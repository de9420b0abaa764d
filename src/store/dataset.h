/* dataset: the documents a model learns from, in one SQLite file.
 *
 * Each document has its text, a SHA-256 of it, where it comes from and under which licence. Documents are never
 * changed; they can be dropped (store/drop.h: a record of their ids and digests stays, their texts do not). A file is
 * never written in place: whoever changes a data set writes a new file and gives it the name (store/writer.h), so a
 * reader sees the last complete state, whatever happens to a writer. Documents are listed by (sha256, id).
 *
 * The file is hostile until read: its header and schema must be exactly ours, the type of every column and every
 * length is checked, and nothing stored in it is ever run. doc/data.md explains the tables. One thread at a time
 * uses a dataset; several may have the same file open. Proved by test_dataset.c.
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
    str meta;                      /* the other keys of the source's line as a JSON object, or "" */
    int64_t duplicate_of, near_of; /* ids of documents with the same or nearly the same text, 0: none (doc/data.md) */
    double similarity;             /* of the texts of this one and near_of; 0 when there is none */
} dataset_doc;

/* Opens for reading. Not a data set, or of a newer version: ERR_FORMAT. */
err_code dataset_open(dataset **out, const char *path, err *e);
void dataset_close(dataset *d); /* NULL allowed */
const char *dataset_path(const dataset *d);
/* Long calls look at *stop and end with ERR_CANCELLED when it is not 0 (NULL: they never look). */
void dataset_set_stop(dataset *d, const volatile int *stop);

/* Documents that satisfy `where`, an SQL expression (NULL: all), sorted by (sha256, id), into *keys (free() it). Its
 * names are the columns of table `documents` and `text`; sha256 is 64 lower-case hex digits there. A bad expression:
 * ERR_USAGE with SQLite's words. Only expressions: no statement can be smuggled in (store/where.h), nothing can be
 * written. */
err_code dataset_list(dataset *d, const char *where, dataset_key **keys, size_t *n, err *e);

/* Whether `where` is one expression and nothing else, as far as its text tells: ERR_USAGE. */
err_code dataset_check_where(const char *where, err *e);

/* One document. Its strings are valid until the next call on d. No such id: ERR_USAGE. The text's SHA-256 is checked
 * against the stored one: ERR_FORMAT when it differs. */
err_code dataset_get(dataset *d, int64_t id, dataset_doc *doc, err *e);

/* SHA-256 over the sorted SHA-256 of all documents: what a recipe names. Documents with equal texts count as often as
 * they stand there. */
err_code dataset_digest(dataset *d, hash256 *out, err *e);
err_code dataset_keys_digest(const dataset_key *keys, size_t n, hash256 *out, err *e); /* of a list by dataset_list() */

#endif
