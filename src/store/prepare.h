/* prepare: from the bytes of one document to what is put into a data set; not for others than ingest.c.
 *
 * An item is worked on by one thread, without looking at any other. What it brings out depends on its bytes and the
 * options alone.
 */
#ifndef LOAM_STORE_PREPARE_H
#define LOAM_STORE_PREPARE_H

#include <jansson.h>

#include "store/build.h"
#include "text/shingle.h"

typedef enum {
    ITEM_GOOD,
    ITEM_EMPTY,
    ITEM_BRIEF,
    ITEM_BINARY,
    ITEM_ENCODING,
    ITEM_MALFORMED,
    ITEM_BLANK_LINE
} item_verdict;
typedef enum { ITEM_TEXT, ITEM_JSON, ITEM_OLD } item_kind;

typedef struct {
    item_kind kind;
    const source_file *source; /* NULL for ITEM_OLD */
    size_t file;               /* its number in the list of sources */
    uint64_t line;             /* where it begins; 0: the item is a whole file */
    str raw;                   /* its bytes; of ITEM_OLD all strings of `doc` in a row */
    size_t old_n[7];           /* of ITEM_OLD: lengths of name, source, licence, topic, kind, meta, text */

    item_verdict verdict;
    bool repaired, has_sketch;
    size_t n_ill_formed, at_ill_formed; /* sequences in the text; the first one's offset */
    dataset_doc doc;                    /* key.id, duplicate_of, near_of, similarity: of ITEM_OLD alone */
    shingle_sketch sketch;
    err problem; /* of ITEM_MALFORMED, without file and line */
    json_t *json;
    char *meta;
    strbuf name, text; /* what doc borrows; kept between uses */
} item;

/* h: an open state of this thread's own. */
void item_prepare(item *it, const build_options *o, hash_state *h);
/* Frees what the last use left. */
void item_reset(item *it);
void item_fini(item *it);

#endif
