/* imatrix: importance matrices, as llama.cpp keeps them: for each weight matrix, how large the squares of its inputs
 * are.
 *
 * In a GGUF file, for a matrix NAME ("blk.0.attn_q.weight"):
 *
 *   NAME.in_sum2  F32 [experts][cols]  the sum of squares of each input column
 *   NAME.counts   F32 [experts][1]     over so many positions, of each expert
 *   general.type "imatrix", imatrix.datasets [strings], imatrix.chunk_count u32, imatrix.chunk_size u32 (positions)
 *
 * In the older form (.dat), little-endian:
 *
 *   i32 n | n times: i32 bytes, name, i32 calls, i32 cols, f32[cols] (mean squares, summed over calls) |
 *   perhaps: i32 chunks, i32 bytes, data set
 *
 * The mean of a column is its sum divided by the count, one binary32 division, and 1 where nothing was counted, as
 * llama.cpp computes it. Source: llama.cpp's tools/imatrix and common/imatrix-loader (as facts). Proved by
 * test_imatrix.c, test_quantize.py (llama.cpp's quantiser with the same file), test_io_fault.c and fuzz_imatrix.c.
 */
#ifndef LOAM_IO_IMATRIX_H
#define LOAM_IO_IMATRIX_H

#include "base/arena.h"

enum { IMATRIX_ENTRIES_MAX = 32768, IMATRIX_NAME_BYTES_MAX = 256 };

typedef struct {
    str name;
    size_t n;          /* columns, times experts */
    const float *sum;  /* f32[n], finite, none below 0 */
    const float *mean; /* f32[n], likewise */
    float count;       /* of the first expert */
    size_t n_counts;   /* experts; 0 and 1: the matrix has none */
} imatrix_entry;

typedef struct {
    imatrix_entry *entry; /* by name, ascending bytes */
    size_t n;
    str dataset;     /* the last one named; empty: none */
    uint32_t chunks; /* how many, and of how many positions; 0: not told */
    uint32_t chunk_size;
    arena mem; /* holds all of it */
} imatrix;

/* Either form, told apart by the first bytes. *m undefined before, closed on failure. Counts and sizes are checked
 * against the file, values are finite and none below 0, no name stands twice: else ERR_FORMAT, naming the entry. */
err_code imatrix_open(imatrix *m, const char *path, err *e);
void imatrix_close(imatrix *m);

const imatrix_entry *imatrix_find(const imatrix *m, str name); /* NULL: none */

/* Sorts entries that a maker has filled in, and computes their means; sums that are not finite: ERR_FORMAT. */
err_code imatrix_finish(imatrix *m, err *e);
/* The GGUF form, the file whole or not at all. Entries of experts (more counts than one): ERR_UNSUPPORTED. */
err_code imatrix_write(const imatrix *m, const char *path, err *e);

#endif
