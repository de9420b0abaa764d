/* lines: the examples of one file, as bytes: the lines of JSON Lines (plain, gzip or zstd), or the documents of a data
 * set (store/dataset.h) by (sha256, id). What a file is says its beginning, not its name.
 *
 * A line's number counts from 1, a document's is its id. Blank lines are left out, as is a byte order mark. A line of
 * more than LINES_BYTES_MAX: ERR_LIMIT with FILE:LINE. Proved by test_examples.c.
 */
#ifndef LOAM_TUNE_LINES_H
#define LOAM_TUNE_LINES_H

#include "base/hash.h"
#include "base/str.h"

enum { LINES_BYTES_MAX = 64 << 20 };

/* What a file holds, packed or not, by its beginning: a data set; JSON Lines, of which the first begins with {" or {}
 * (blanks between and a byte order mark in front do not count); else a text. */
typedef enum { LINES_SET, LINES_JSON, LINES_TEXT } lines_kind;
err_code lines_look(const char *path, lines_kind *out, err *e);

typedef struct lines lines;
typedef struct {
    uint64_t number;
    str text;       /* without its line break; valid until the next call */
    hash256 sha256; /* of text */
} line_item;

/* where: an SQL condition on the documents of a data set (dataset_list()), or NULL; of lines: ERR_USAGE. */
err_code lines_open(lines **out, const char *path, const char *where, err *e);
void lines_close(lines *l); /* NULL allowed */
/* *got false: there are no more. */
err_code lines_next(lines *l, line_item *out, bool *got, err *e);
bool lines_are_documents(const lines *l);
/* Of what there is to read: bytes of the file, or documents. */
void lines_progress(const lines *l, uint64_t *done, uint64_t *total);

#endif
