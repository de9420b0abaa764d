/* panel: weights laid out for kernels that vectorise across outputs.
 *
 * Sixteen rows of a matrix make a panel. Block by block (an element, for F32, F16, BF16), the panel holds the
 * same bytes as the sixteen rows, transposed in units of 2 or 4 bytes: unit u of row 0, of row 1, ... of row
 * 15, then unit u+1. So one 64-byte load brings four neighbouring weights of sixteen rows, which
 * is what dot-product instructions eat, and a packed matrix is exactly as large as the stored one
 * (rows past the last are zeros).
 *
 *   block of 16 x Q4_1 (320 bytes):  d[16] u16 | m[16] u16 | qs 0..3 of 16 rows | qs 4..7 | qs 8..11 | qs 12..15
 *
 * Order of the units: scales first, then weights; see panel_segments in panel.c. Two things more than transposed:
 *   - In the formats with a single binary16 scale (Q4_0, Q5_0, Q8_0, Q3_K, Q6_K) sixteen scales are half a cache line,
 * which would leave every load of weights across two lines. There, two neighbouring blocks share their places: d of
 * block 2i | d of block 2i+1 | rest of block 2i | rest of block 2i+1. The last of an odd number stands alone.
 *   - The fifth bits of Q5_0 and Q5_1: bit 4g+i of qh moves to bit 8i+g, so that weight group g finds its four bits
 *     one to a byte by a shift and a mask.
 */
#ifndef LOAM_KERN_PANEL_H
#define LOAM_KERN_PANEL_H

#include <stddef.h>
#include <stdint.h>

#include "kern/dtype.h"

enum { PANEL_ROWS = 16 };

/* Where the two parts of block b of n blocks stand in a panel (or in a run of blocks of one that begins at an even
 * block), in bytes. scales: bytes of sixteen blocks' scales; bytes: of sixteen blocks. */
typedef struct {
    size_t scales, rest;
} panel_place;
static inline panel_place panel_block(size_t b, size_t n, size_t scales, size_t bytes) {
    if (scales % 64 == 0 || (b | 1) >= n)
        return (panel_place){b * bytes, b * bytes + scales};
    size_t pair = (b & ~(size_t)1) * bytes, odd = b & 1;
    return (panel_place){pair + odd * scales, pair + 2 * scales + odd * (bytes - scales)};
}

/* Bytes of a packed matrix of `rows` rows of `cols` elements: ceil(rows/16) panels. */
size_t panel_bytes(dtype t, size_t rows, size_t cols);

/* Packs panel i_panel: row r of it comes from row[r] (NULL: zeros), each dtype_row_bytes(t, cols) long and
 * of any alignment. out: the whole packed matrix, 64-byte aligned. */
void panel_pack(dtype t, const uint8_t *const row[PANEL_ROWS], size_t cols, uint8_t *out, size_t i_panel);

/* The stored form of row `row` again, blocks [from, to) of it, into out. The inverse of panel_pack. */
void panel_unpack_row(dtype t, const uint8_t *packed, size_t cols, size_t row, size_t from, size_t to, uint8_t *out);

/* What the blocks of a row mean: out f32[cols]. */
void panel_dequantise_row(dtype t, const uint8_t *packed, size_t cols, size_t row, float *out);

#endif
