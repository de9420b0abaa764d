/* shelf: documents that no data set holds, put where a condition can pick from them.
 *
 * A data set in memory: what is put in can be asked for by the conditions of dataset_list(), with the same columns and
 * the same fences (where.h), and nothing else can be done with it. For the built-in corpus, which is made and not
 * stored. Proved by test_pick.c.
 */
#ifndef LOAM_STORE_SHELF_H
#define LOAM_STORE_SHELF_H

#include "store/dataset.h"

typedef struct shelf shelf;

err_code shelf_open(shelf **out, err *e);
void shelf_close(shelf *s); /* NULL allowed */

/* Ids ascending. The strings are copied. */
err_code shelf_put(shelf *s, const dataset_doc *doc, err *e);

/* Ids of the documents that satisfy `where`, ascending, into *ids (free() it). As dataset_list(): a bad expression is
 * ERR_USAGE; one that takes more than ten minutes ERR_LIMIT; *stop not 0 (it may be NULL) ERR_CANCELLED. */
err_code shelf_pick(shelf *s, const char *where, const volatile int *stop, int64_t **ids, size_t *n, err *e);

#endif
