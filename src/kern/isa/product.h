/* product: what the chapters of a matrix product share: tiles, and how one is called.
 *
 * A tile is T rows of activations against one panel of 16 weight rows over a run of blocks. It continues the
 * chains that stand in y (or starts them at +0 when `first`), so the run may be any part of
 * the whole: cutting K changes no bit. T is a compile-time constant in every tile function: the loops over rows
 * unroll, and the accumulators live in registers.
 */
#ifndef LOAM_KERN_ISA_PRODUCT_H
#define LOAM_KERN_ISA_PRODUCT_H

#include <stdbool.h>
#include <string.h>

#include "kern/isa/v16.h"
#include "kern/kern.h"
#include "kern/panel.h"

#if !V16_UNROLL || defined(KERN_NO_UNROLL) /* sanitizer builds: see the Makefile */
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define FOR_ROWS(t, T) UNROLL for (int t = 0; t < (T); t++)

/* panel: the run's first block; acts: the tile's first block of it; n: blocks; lanes: rows of the panel that
 * exist (1..16). */
typedef void tile_fn(const uint8_t *panel, const void *acts, size_t n, float *y, size_t ldy, size_t lanes, bool first);

/* The tile function of F32, F16 and BF16 for T rows, T from kern_tile(); quantised ones: chunk.h. */
tile_fn *KERN_FN(product_float)(dtype t, size_t T);

/* Packed activations, per tile of T rows:
 *   ACTS_F32    f32[k][T]
 *   ACTS_BLOCK  for each 32: d f32[T], d*sum f32[T], -8*sum i32[T], q i32[8][T] (four signed bytes each)
 *   ACTS_SUPER  for each 256: d f32[T], q i32[64][T], sums of 16 as pairs of i16 i32[8][T], sums of 32 i32[4][T] */
enum { BLOCK_WORDS = 3 + 8, SUPER_WORDS = 1 + 64 + 8 + 4 };

/* Where a tile keeps sums that it touches once a sub-block: in registers if there are enough of them. */
#if V16_FEW_REGISTERS
#define SUMS(name) int32_t name[16][16]
#define SUM_GET(name, i) v16i_load(name[i])
#define SUM_PUT(name, i, value) v16i_store(name[i], value)
#else
#define SUMS(name) v16i name[16]
#define SUM_GET(name, i) name[i]
#define SUM_PUT(name, i, value) name[i] = (value)
#endif

/* One kind of activations in this ISA: elements of a block, words of a packed one, rows of a tile. */
typedef struct {
    size_t block, words;
    int tile;
} kind_info;
kind_info KERN_FN(kind_info)(acts_kind kind);

V16_FN v16 chain_load(const float *y, size_t lanes, bool first) {
    return first ? v16_zero() : lanes == 16 ? v16_load(y) : v16_load_n(y, lanes);
}
V16_FN void chain_store(float *y, v16 acc, size_t lanes) {
    if (lanes == 16)
        v16_store(y, acc);
    else
        v16_store_n(y, acc, lanes);
}

#endif
