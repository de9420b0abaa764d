/* spans: which parts of a text stand verbatim in indexed documents.
 *
 * A span begins where a word begins and ends where a word ends (words.h), stands as it is in at least one document, and
 * is in no longer such span: the maximal spans, all of them. They may overlap. As in OLMoTrace (Liu et al. 2025,
 * arXiv 2504.07096, section 3) each beginning of a word takes one search for the longest match, here one a shard.
 *
 * Ranked by rarity, also as there: by the span's unigram probability, the product of its words' shares,
 *
 *   log_p = sum over the span's words, in order, of log(occurrences of the word's bytes in the documents / their bytes)
 *
 * in binary64, lowest first, which favours long spans and rare words; equal ones by `start`. Probability and counts are
 * over all shards, so neither threads nor the size of shards change anything. Proved by test_spans.c.
 */
#ifndef LOAM_TRACE_SPANS_H
#define LOAM_TRACE_SPANS_H

#include "trace/suffix.h"

enum { SPANS_TEXT_BYTES_MAX = 1 << 20, SPANS_DOCS_MAX = 1000 };

typedef struct {
    size_t start, end; /* bytes [start, end) of the text */
    size_t n_words;    /* of more than white space: signs count, too */
    uint64_t count;    /* occurrences in the documents; may overlap */
    double log_p;
    suffix_hit *doc; /* [n_docs] the first documents by id that hold it */
    size_t n_docs;
} span;

typedef struct {
    pool *workers;            /* NULL: this thread alone */
    size_t docs_max;          /* of a span, at most SPANS_DOCS_MAX */
    size_t words_min;         /* shorter spans are left out; 0: none */
    size_t most;              /* keep the first so many by rank; 0: all */
    const volatile int *stop; /* not 0: give up with ERR_CANCELLED; NULL: never */
} spans_options;

typedef struct {
    span *span; /* [n] by rank */
    size_t n;
    suffix_hit *hits; /* what span[].doc point into: those of the first span, of the second, ... without gaps */
} spans;

/* A text of more than SPANS_TEXT_BYTES_MAX bytes: ERR_LIMIT. spans_fini() after success. */
err_code spans_find(const suffix *x, str text, const spans_options *o, spans *out, err *e);
void spans_fini(spans *s);

/* How many of the text's bytes are in words of letters, and how many of those are in spans of at least words_min words:
 * what share of a text is verbatim. */
typedef struct {
    size_t bytes, verbatim;
} spans_share;
spans_share spans_coverage(const spans *s, str text, size_t words_min);

#endif
