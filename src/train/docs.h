/* docs: the documents of a run: those it learns from, and those held out.
 *
 * Where they come from is not part of the recipe; the recipe has their digest. A source is a data set
 * (store/dataset.h), all of it or the part that an SQL condition picks; or the built-in corpus, made and not stored:
 * "homeworld:docs=12000,seed=1,mix=tiny", each part with a default (24000, 1, full). The digest, and so every bit, is
 * that of a data set built from the output of `loam corpus homeworld` with the same options; ids are those too.
 *
 *   digest     SHA-256 over the SHA-256 of all documents, sorted, as in dataset_digest()
 *   held out   where u < val_share, u = (h >> 11) * 2^-53, h the first 8 bytes, little-endian, of
 *              SHA-256("loam held out" | seed as 8 bytes, little-endian | sha256 of the document)
 *
 * so whether a document is held out depends on nothing but its own text. Documents are numbered from 0: first those to
 * learn from, by (sha256, id), then those held out, by (sha256, id). Proved by test_docs.c.
 */
#ifndef LOAM_TRAIN_DOCS_H
#define LOAM_TRAIN_DOCS_H

#include "base/arena.h"
#include "store/dataset.h"

typedef struct {
    const char *source; /* path of a data set, or homeworld:... */
    const char *where;  /* SQL condition, NULL or "": all */
    double val_share;   /* 0 to 1 */
    uint64_t seed;
    /* Documents left out, by digest, ascending, as often as they stand there (removal.h); those that are not there are
     * missing already. Nothing is left out where the digest of all is `want` (NULL: not known). */
    const hash256 *without;
    size_t n_without;
    const hash256 *want;
} docs_options;

typedef struct docs_made docs_made;

typedef struct {
    dataset *set;    /* NULL: made */
    docs_made *made; /* NULL: from a data set */
    size_t n, n_train;
    uint64_t bytes;   /* of text, all documents */
    dataset_key *key; /* [n] */
    hash256 *sha256;  /* [n] the same digests */
    hash256 digest;
} docs;

/* No documents at all, or none left to learn from: ERR_USAGE. */
err_code docs_open(docs *d, const docs_options *o, err *e);
void docs_close(docs *d);

bool docs_held_out(hash256 sha256, uint64_t seed, double val_share);
bool docs_is_made(const char *source); /* begins with homeworld: */

/* The text of document i; valid until the next call. */
err_code docs_text(docs *d, size_t i, str *text, err *e);

/* What the data set or the built-in corpus says of document i, its text included; valid until the next call. */
err_code docs_get(docs *d, size_t i, dataset_doc *doc, err *e);

/* The number of the document with this digest and, if not 0, this id; d->n when there is none. */
size_t docs_find(const docs *d, hash256 sha256, int64_t id);

#endif
