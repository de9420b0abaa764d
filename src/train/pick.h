/* pick: the documents of a run that a query means.
 *
 *   17,23,hw-000042          documents by id, name (of its source) or SHA-256; one that is not there: ERR_USAGE
 *   topic:NAME               all of a topic; likewise licence: ("unknown": of none), kind:, source:
 *   fact:NAME                all that state this fact of homeworld
 *   anything else            an SQL expression, as in dataset_list()
 *
 * A topic and its like that no document has is ERR_USAGE, too, for it would be a slip; an expression may mean none. The
 * built-in corpus is asked as the data set that its lines give would be, but for near_of and similarity.
 * Proved by test_pick.c.
 */
#ifndef LOAM_TRAIN_PICK_H
#define LOAM_TRAIN_PICK_H

#include "train/docs.h"

enum { PICK_QUERY_BYTES_MAX = 1 << 20 };

typedef struct {
    bool *is; /* [d->n] */
    size_t n; /* of them true */
} picked;

/* stop: as dataset_set_stop(), may be NULL. */
err_code pick_docs(picked *p, docs *d, const char *query, const volatile int *stop, err *e);
void pick_fini(picked *p);

/* How many documents that are not picked have the text of one that is. */
size_t pick_copies_left(const picked *p, const docs *d);

/* The condition that a query means, NUL-terminated. */
err_code pick_condition(const char *query, strbuf *out, err *e);

#endif
