/* suffix: a suffix-array index over the documents of a data set, mapped: where does a text stand, and how often?
 *
 * suffix_format.h says what the file is, indexer.h makes one. A text is found when one document holds its bytes; no
 * match goes from one document to the next. Documents hold no NUL, so no text with a NUL is ever found. Occurrences
 * may overlap and all count.
 *
 * The file is hostile until read: opening checks head, foot, directory, bounds and the directory's SHA-256, and the
 * SHA-256 of every shard when the whole file has at most SUFFIX_CHECK_BYTES (suffix_check() does it for larger ones).
 * What is used after that is bounds-checked at each use: a damaged file gives an error or a wrong answer, never a wrong
 * access. All errors of damage are ERR_FORMAT, "PATH: ...". A file cut short while it is mapped is the exception that
 * base/os.h names.
 *
 * A search in a shard of n bytes takes O(log n) comparisons (Manber and Myers, "Suffix arrays", 1993), the first
 * log(n / SUFFIX_STRIDE) of them in the table of keys, which fits the CPU's cache. An open index may be used by
 * several threads at a time. Proved by test_spans.c, test_trace_fault.c and fuzz_suffix.c.
 */
#ifndef LOAM_TRACE_SUFFIX_H
#define LOAM_TRACE_SUFFIX_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/pool.h"
#include "base/str.h"

typedef struct suffix suffix;

enum { SUFFIX_CHECK_BYTES = 16 << 20 };

/* Not an index, damaged, cut off, of another version: ERR_FORMAT that says what to do. */
err_code suffix_open(suffix **out, const char *path, err *e);
/* The same over bytes that outlive it, 8-byte aligned; errors without a path. */
err_code suffix_open_bytes(suffix **out, const uint8_t *p, size_t n, err *e);
void suffix_close(suffix *x); /* NULL allowed */
/* Compares the SHA-256 of every shard. */
err_code suffix_check(const suffix *x, pool *workers, err *e);

typedef struct {
    size_t n_shards;
    uint64_t n_docs, text_bytes, file_bytes;
    hash256 source, digest;
} suffix_totals;
suffix_totals suffix_totals_of(const suffix *x);

/* The suffixes that begin with a text: order[from] to order[to - 1] of a shard. */
typedef struct {
    uint32_t from, to;
} suffix_range;

/* Of each of text[n_texts]: the length of the longest beginning that a document of the shard holds, into n[n_texts].
 * Several searches go on side by side, so many texts at a time cost much less than one after another. */
err_code suffix_longest(const suffix *x, size_t shard, const str *text, size_t n_texts, size_t *n, err *e);
/* Of each of text[n_texts]: the occurrences of the whole of it, into out[n_texts]; none of an empty one. */
err_code suffix_find(const suffix *x, size_t shard, const str *text, size_t n_texts, suffix_range *out, err *e);

typedef struct {
    int64_t id;
    uint32_t offset; /* in the document, of the first occurrence there */
} suffix_hit;
/* The first documents of the shard, at most `most`, that hold one of the occurrences, in the order of ids; *n of them
 * into hit[most]. Looks at every occurrence. */
err_code suffix_docs(const suffix *x, size_t shard, suffix_range r, size_t most, suffix_hit *hit, size_t *n, err *e);

#endif
