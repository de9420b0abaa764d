/* croissant: what a data set is made of, as Croissant 1.0 JSON-LD (mlcommons.org/croissant/1.0), which catalogues and
 * loaders of data sets read.
 *
 *   distribution   the file itself, and its documents as JSON Lines as `loam data export` prints them (store/jsonl.h),
 *                  each with name, size and SHA-256
 *   recordSet      documents: its fields, to be read from the JSON Lines; and with their rows in the card itself:
 *                  licences (documents and bytes of each), sources (the same by source and licence), files (what was
 *                  read: name, format, bytes, SHA-256, documents) and removals (how much was dropped, the digests
 *                  before and after; neither condition nor note, which may name whom it is about). At most `rows` rows
 *                  each; the description tells when there are more
 *   license        one a licence, with its page at spdx.org where SPDX knows it; NOASSERTION when unknown
 *   isBasedOn      the sources, with their licences; citeAs: a BibTeX entry that names them
 *   identifier     the digest that recipes name (dataset_digest()); version ends in its first digits
 *
 * The text depends on the data set and the options alone. Every document is read and its SHA-256 checked on the way.
 * Proved by test_croissant.c, and with the validator of MLCommons by test_data_card.py.
 */
#ifndef LOAM_STORE_CROISSANT_H
#define LOAM_STORE_CROISSANT_H

#include "store/dataset.h"

enum { CROISSANT_ROWS = 1000, CROISSANT_ROWS_MAX = 1000000 };

typedef struct {
    const char *name;                           /* NULL: the file's name without ".db" */
    const char *description;                    /* NULL: how many documents from where, in one sentence */
    const char *url, *creator, *date, *version; /* NULL: not told; a version: 1.0.0 */
    const char *file, *jsonl; /* where both will be found: a URL, or a path from the card's folder. NULL: the file's
                                 own name, and that with ".jsonl" for ".db" */
    size_t rows;              /* 0: CROISSANT_ROWS */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes of texts; NULL */
    void *progress_ctx;
} croissant_options;

/* Appends the card, indented, with a line break at its end. Errors are those of dataset_get(); ERR_CANCELLED when the
 * data set's stop flag is set. */
err_code croissant_write(dataset *d, const croissant_options *o, strbuf *out, err *e);

#endif
