/* library: the documents of a data set, or of a run whose documents are made, page by page: for programs, as JSON.
 *
 * Filters are values, never SQL: they are compared with what stands there, byte for byte; `text` is looked for in the
 * texts, in a data set without regard to the case of ASCII letters, in made documents by the index (exactly). One
 * thread at a time. Proved by test_view.c and test/e2e/test_lineage.py.
 */
#ifndef LOAM_VIEW_LIBRARY_H
#define LOAM_VIEW_LIBRARY_H

#include "text/js.h"
#include "view/tracer.h"

enum {
    LIBRARY_ROWS_MAX = 100,
    LIBRARY_TEXT_BYTES_MAX = 1 << 20, /* of a document that is shown */
    LIBRARY_EXCERPT_BYTES = 200,
    LIBRARY_FOUND_MAX = 1000, /* of made documents that hold a text */
    LIBRARY_ORIGINS_MAX = 100
};

typedef struct {
    str text, licence, source; /* p NULL: any; licence "": unknown */
    size_t offset, limit;      /* limit: at most LIBRARY_ROWS_MAX */
    const volatile int *stop;  /* not 0: ERR_CANCELLED; NULL: never */
} library_query;

/* {"documents", "bytes", "origins": [{"source", "licence", "documents", "bytes"}]} of all documents. */
err_code library_summary(tracer *t, const volatile int *stop, js_out *j, err *e);
/* {"count", "capped", "offset", "documents": [{the fields, "excerpt"}]}: those that satisfy the query, by id. capped:
 * there may be more than are counted. */
err_code library_list(tracer *t, const library_query *q, js_out *j, err *e);
/* {the fields, "text", "cut"}; no such document: ERR_IO. */
err_code library_document(tracer *t, int64_t id, js_out *j, err *e);

/* All fields of a document but its text, as members of an object that is open. */
void library_fields(js_out *j, const dataset_doc *doc);

#endif
