/* offer: what a source says that it has, before a byte of it is downloaded.
 *
 * Everything in it comes from outside and is checked: names are plain, lengths bounded, digests well formed.
 */
#ifndef LOAM_HUB_OFFER_H
#define LOAM_HUB_OFFER_H

#include "base/arena.h"
#include "hub/fetch.h"

enum { OFFER_FILES_MAX = 1024, OFFER_TEXT_MAX = 300 };

typedef struct {
    str name; /* under which it stands in the model's folder */
    fetch_what what;
    str place; /* a file of this machine that holds it, to be shared; empty: none known */
} offer_file;

typedef struct {
    arena mem;
    str name;                      /* for the registry */
    str source, revision, licence; /* revision: a commit or digest; empty: none told. licence empty: none told */
    str family;                    /* architecture as the source names it; empty: not told */
    bool gguf;                     /* family is that of GGUF files, else of config.json */
    offer_file *file;              /* [n] */
    size_t n;
    uint64_t bytes; /* HTTP_UNKNOWN when a file's length is not known */
} offer;

void offer_close(offer *o);
/* Copies what f points to; adds to bytes. ERR_FORMAT: a name that the registry would not take, or one that is there. */
err_code offer_add(offer *o, const offer_file *f, err *e);
/* Name and source, as ref has them; quant may be empty. */
err_code offer_named(offer *o, const hub_ref *ref, str quant, err *e);
/* A clean copy of a text from outside: one line, at most OFFER_TEXT_MAX bytes. */
err_code offer_text(offer *o, str s, str *out, err *e);
err_code offer_format(offer *o, str *out, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Memory that running it will need, before anything is known but its length: weights, and an eighth and 300 MB for the
 * cache of 4,096 positions, scratch and tokenizer. `loam show` tells it exactly of a model that is there. */
uint64_t offer_memory_bytes(uint64_t bytes);

#endif
