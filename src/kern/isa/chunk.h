/* chunk: 256 weights of each of sixteen rows, taken apart for the products: the second stage of a quantised product.
 *
 * Stored weights are in pieces: nibbles, fifth bits, scales of six bits. Putting them together costs about as much as
 * multiplying them with one row of activations. So a panel is expanded chunk by chunk into a buffer that stays in the
 * first-level cache, and the chunk is then multiplied with all rows that there are. A chunk is a super-block of the K
 * types, or eight blocks of 32 (fewer at the end of a row). No number is rounded here: the chunk means what the panel
 * means.
 */
#ifndef LOAM_KERN_ISA_CHUNK_H
#define LOAM_KERN_ISA_CHUNK_H

#include "kern/isa/product.h"

enum { CHUNK_ELEMS = 256, CHUNK_GROUPS = CHUNK_ELEMS / 4, CHUNK_BLOCKS = CHUNK_ELEMS / 32 };

/* Group g is elements 4g .. 4g+3 of the sixteen rows. Rows are lanes. */
typedef struct {
    uint8_t q[CHUNK_GROUPS][64]; /* weights without their offset, 0..63; Q8_0: by v16i_load_s8() */
    float d[CHUNK_BLOCKS][16];   /* blocks: scales; super-blocks: d, dmin */
    float m[CHUNK_BLOCKS][16];   /* blocks: minima, where the format has them */
    int32_t factor[16][16];      /* super-blocks: scale of each sub-block, by v16h_factor() */
    int32_t pair[8][16];         /* of two neighbouring sub-blocks: minima, or scales where there are none, as int16 */
} chunk;

/* What the kernels of a quantised format have to know of it. */
typedef struct {
    size_t bytes;  /* of sixteen (super-)blocks */
    size_t scales; /* of them, bytes of the binary16 scales */
    int sub;       /* super-blocks: elements of a sub-block, 16 or 32 */
    int top;       /* the largest weight as stored */
    int offset;    /* what is taken from a weight; blocks of 32: in eighths */
    int mins;      /* 1: minima are taken off */
    int bits8;     /* 1: whole signed bytes */
} chunk_format;

V16_FN chunk_format chunk_format_of(dtype t) {
    switch (t) {
    case DTYPE_Q4_0:
        return (chunk_format){.bytes = 16 * 18, .scales = 32, .top = 15, .offset = 1};
    case DTYPE_Q4_1:
        return (chunk_format){.bytes = 16 * 20, .scales = 64, .top = 15, .mins = 1};
    case DTYPE_Q5_0:
        return (chunk_format){.bytes = 16 * 22, .scales = 32, .top = 31, .offset = 2};
    case DTYPE_Q5_1:
        return (chunk_format){.bytes = 16 * 24, .scales = 64, .top = 31, .mins = 1};
    case DTYPE_Q8_0:
        return (chunk_format){.bytes = 16 * 34, .scales = 32, .offset = V16_S8_BIAS / 8, .bits8 = 1};
    case DTYPE_Q2_K:
        return (chunk_format){.bytes = 16 * 84, .scales = 64, .sub = 16, .top = 3, .mins = 1};
    case DTYPE_Q3_K:
        return (chunk_format){.bytes = 16 * 110, .scales = 32, .sub = 16, .top = 7, .offset = 4};
    case DTYPE_Q4_K:
        return (chunk_format){.bytes = 16 * 144, .scales = 64, .sub = 32, .top = 15, .mins = 1};
    case DTYPE_Q5_K:
        return (chunk_format){.bytes = 16 * 176, .scales = 64, .sub = 32, .top = 31, .mins = 1};
    default: /* Q6_K */
        return (chunk_format){.bytes = 16 * 210, .scales = 32, .sub = 16, .top = 63, .offset = 32};
    }
}

V16_FN v16i chunk_low4(v16i a) { return v16i_and(a, v16i_set1(0x0f0f0f0f)); }

/* Puts one block of 32 of the sixteen rows together as block b of a chunk. Inline, so that a product with a single row,
 * which needs each block once, has it in registers and stores nothing. */
V16_FN void chunk_block(chunk_format f, const uint8_t *scales, const uint8_t *qs, chunk *c, size_t b) {
    const uint16_t *d16 = (const uint16_t *)(const void *)scales;
    uint8_t(*to)[64] = c->q + 8 * b;
    /* cppcheck-suppress uninitvar; an array that is written */
    v16_store(c->d[b], v16_load_f16(d16));
    if (f.mins)
        v16_store(c->m[b], v16_load_f16(d16 + 16));
    if (f.bits8) {
        UNROLL for (int g = 0; g < 8; g++) v16i_store(to[g], v16i_load_s8(qs + 64 * g));
        return;
    }
    v16i fifths = v16i_set1(0), bit5 = v16i_set1(0x10101010);
    if (f.top == 31) {
        fifths = v16i_load(qs);
        qs += 64;
    }
    UNROLL for (int g = 0; g < 4; g++) {
        v16i w = v16i_load(qs + 64 * g), low = chunk_low4(w), high = chunk_low4(v16i_shr(w, 4));
        if (f.top == 31) { /* bit g of each byte belongs to group g: see panel.h */
            low = v16i_or(low, v16i_and(v16i_shl(fifths, 4 - g), bit5));
            high = v16i_or(high, v16i_and(v16i_shr(fifths, g), bit5));
        }
        v16i_store(to[g], low);
        v16i_store(to[g + 4], high);
    }
}

/* Expands (super-)blocks [from, from + n) of a run of n_run that stands at `panel` and begins at an even one; n is 1
 * for super-blocks, up to CHUNK_BLOCKS for blocks. */
void KERN_FN(chunk_expand)(dtype t, const uint8_t *panel, size_t from, size_t n, size_t n_run, chunk *c);

/* Weights that come from memory are asked for one chunk ahead: while a chunk is multiplied, nothing else would. They
 * are asked for little by little, a step for each block or sub-block of a tile: a core keeps two dozen lines on their
 * way, and whatever loads behind those that found no place waits for them. */
typedef struct {
    const uint8_t *p, *upto; /* the next line; what was let through */
    size_t step;             /* bytes */
} chunk_ahead;

V16_FN void chunk_ask(chunk_ahead *a) {
    for (a->upto += a->step; a->p < a->upto; a->p += 64)
        __builtin_prefetch(a->p);
}

/* Continues the chains of a tile, one a row, over a chunk of n blocks; acts: the tile's first block of it. */
typedef void chunk_fn(const chunk *c, const void *acts, size_t n, chunk_ahead *ahead, v16 *chain);

/* A single row over all n blocks of a panel. */
typedef void chunk_row_fn(const uint8_t *panel, const void *acts, size_t n, v16 *chain);
chunk_row_fn *KERN_FN(product_block_row)(dtype t);

/* The function for T rows, T from kern_tile(). */
chunk_fn *KERN_FN(product_block)(dtype t, size_t T);
chunk_fn *KERN_FN(product_super)(dtype t, size_t T);

#endif
