/* jsonl: a document as a line of JSON, which a build reads back to the same document.
 *
 *   {"id":...,"text":...,"source":...,"licence":...,"topic":...,"kind":...,MEMBERS OF META}
 *
 * "id" is the document's name. The same document gives the same bytes everywhere. What `loam data export` prints, and
 * what a data set's card gives the SHA-256 of. Proved by test_croissant.c and test_data_card.py.
 */
#ifndef LOAM_STORE_JSONL_H
#define LOAM_STORE_JSONL_H

#include "store/dataset.h"

/* Keys of a line that are no part of a document's meta, "license" among them. */
bool jsonl_is_own(const char *key);

/* Appends the line with its line break. Meta that is no JSON object, and members of it with names of ours (a build
 * makes no such thing), are left out. */
err_code jsonl_line(const dataset_doc *doc, strbuf *out, err *e);

#endif
