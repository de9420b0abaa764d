/* suffix_format: the file of a suffix-array index, byte by byte.
 *
 *   0      suffix_head                                    version 1, everything little-endian
 *   ...    shard 0, shard 1, ...                          each begins at a multiple of 64
 *   ...    suffix_shard[n_shards]                         the directory, at a multiple of 64
 *   end    suffix_foot                                    the last 176 bytes of the file
 *
 * A shard holds whole documents, in ascending order of their ids, and is five arrays, one behind the other, each at the
 * next multiple of 8:
 *
 *   text   u8[n]            the documents' bytes, a NUL behind each; no document holds a NUL
 *   order  u32[n]           where the suffixes of `text` begin, sorted by their bytes (the suffix array; a shorter
 *                           suffix comes before those it begins)
 *   key    u64[n_keys]      the first 8 bytes, as a big-endian number, of every SUFFIX_STRIDE-th suffix of `order`,
 * from the first on; 0 behind the text's end start  u32[n_docs + 1]  where each document begins in `text`; then n id
 * i64[n_docs]      of the documents, ascending
 *
 * So a byte of text takes 1 + 4 + 8 / SUFFIX_STRIDE bytes and a document 13 more: 5.07 for documents of 450 bytes.
 *
 * Example: the one document "aba" with id 7 has text 61 62 61 00, order 3 2 0 1 (the suffixes "", "a", "aba", "ba",
 * each with its NUL), key 0, start 0 4, id 7.
 */
#ifndef LOAM_TRACE_SUFFIX_FORMAT_H
#define LOAM_TRACE_SUFFIX_FORMAT_H

#include "base/hash.h"

#define SUFFIX_MAGIC "LoamSufx"
enum {
    SUFFIX_VERSION = 1,
    SUFFIX_ALIGN = 64,
    SUFFIX_STRIDE = 256,
    SUFFIX_SHARDS_MAX = 1 << 20,
    SUFFIX_SHARD_BYTES_MAX = 1 << 30 /* of text, NULs included */
};

typedef struct {
    char magic[8];
    uint32_t version, zero[13];
} suffix_head;

typedef struct {
    uint64_t at;     /* where it begins in the file */
    uint64_t n;      /* bytes of text, NULs included */
    uint64_t n_docs; /* at least 1 */
    uint64_t zero;
    hash256 sha256; /* of the shard's bytes, from `at` to the end of `id` */
} suffix_shard;

typedef struct {
    uint64_t n_shards, n_docs;
    uint64_t text_bytes; /* of all documents, without NULs */
    uint64_t directory;  /* where it begins in the file */
    hash256 source;      /* what the index was made of, as its maker names it */
    hash256 digest;      /* of the documents: dataset_digest() */
    uint8_t zero[16];
    hash256 sha256; /* of the directory and of this struct up to here */
    char magic[8];
    uint32_t version, zero2;
    uint64_t file_bytes, zero3;
} suffix_foot;

_Static_assert(sizeof(suffix_head) == 64 && sizeof(suffix_shard) == 64 && sizeof(suffix_foot) == 176,
               "the structs are the file");

static inline uint64_t suffix_pad(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* Where the arrays of a shard begin, counted from the shard's beginning, and where they end. n, n_docs within limits.
 */
typedef struct {
    uint64_t order, key, n_keys, start, id, end;
} suffix_places;

static inline suffix_places suffix_places_of(uint64_t n, uint64_t n_docs) {
    suffix_places p = {.n_keys = (n + SUFFIX_STRIDE - 1) / SUFFIX_STRIDE};
    p.order = suffix_pad(n, 8);
    p.key = suffix_pad(p.order + 4 * n, 8);
    p.start = p.key + 8 * p.n_keys;
    p.id = suffix_pad(p.start + 4 * (n_docs + 1), 8);
    p.end = p.id + 8 * n_docs;
    return p;
}

#endif
