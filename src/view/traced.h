/* traced: where the spans of a text stand: the documents, their sources and licences, the steps that read them.
 *
 * spans.h says what a span is. Each document that is shown is read, and the span compared with what stands there: a
 * wrong index must not show a document for what it does not hold (ERR_FORMAT). Proved by test_trace.py.
 */
#ifndef LOAM_VIEW_TRACED_H
#define LOAM_VIEW_TRACED_H

#include "text/js.h"
#include "view/tracer.h"

enum { TRACED_CONTEXT_MAX = 1000 };

/* One document that holds one of the spans. */
typedef struct {
    int64_t id;
    hash256 sha256;
    str name, source, licence;
    uint32_t doc;  /* its number in the run; n when it is not there */
    str around[2]; /* what stands before and behind the span */
} traced_doc;

typedef struct {
    tracer *t;
    str text;
    spans spans;
    arena mem;
    size_t n_docs;
    traced_doc *doc; /* [n_docs] of spans.hits[i] */
    sightings seen;
} traced;

/* context: bytes of a document to keep on either side of a span, at most TRACED_CONTEXT_MAX. `text` must outlive *x;
 * traced_fini() after any outcome. Two steps, so that spans can be left out between: x->spans.n may be lowered. */
err_code traced_find(traced *x, tracer *t, str text, const spans_options *o, err *e);
err_code traced_look_up(traced *x, size_t context, err *e);
void traced_fini(traced *x);

/* The documents of the k-th span are x->doc[traced_first(x, k)] and those behind it. */
size_t traced_first(const traced *x, size_t k);
/* At which steps a document was read; NULL and 0 when it was not, or no run is known. */
const sighting *traced_steps(const traced *x, const traced_doc *d, size_t *n);

/* The member "spans": [{"start", "end", "text", "count", "docs": [{"id", "sha256", "source", "licence", "offset",
 * "steps"}]}] of an object that is open; whole: with "name", "before" and "behind" of each document, too. */
void traced_json(const traced *x, bool whole, js_out *j);

#endif
