/* block: the quantised blocks of GGUF files, field by field; structs *are* the format.
 *
 * A row of a matrix is a run of blocks. Q4_0 .. Q8_0 blocks hold 32 weights, the K types
 * super-blocks of 256. Source: the layouts of ggml (facts; the code here is our own).
 * d, m, dmin are binary16 bits. In the K types the parts of a weight are spread over arrays:
 * element numbers stand beside them; l counts 0..31.
 *
 * Worked example, Q4_0: d = 0x3800 (0.5), qs[0] = 0x97: weight 0 is (7-8)*0.5 = -0.5,
 * weight 16 is (9-8)*0.5 = 0.5.
 */
#ifndef LOAM_KERN_BLOCK_H
#define LOAM_KERN_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "kern/dtype.h"

typedef struct { /* w = d*(q-8) */
    uint16_t d;
    uint8_t qs[16]; /* byte j: element j low, element j+16 high */
} block_q4_0;

typedef struct { /* w = d*q + m */
    uint16_t d, m;
    uint8_t qs[16];
} block_q4_1;

typedef struct { /* w = d*(q-16) */
    uint16_t d;
    uint8_t qh[4]; /* little-endian u32: bit j is bit 4 of element j */
    uint8_t qs[16];
} block_q5_0;

typedef struct { /* w = d*q + m */
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} block_q5_1;

typedef struct { /* w = d*q */
    uint16_t d;
    int8_t qs[32];
} block_q8_0;

typedef struct {        /* 16 sub-blocks of 16: w = d*sc*q - dmin*m */
    uint8_t scales[16]; /* low nibble sc, high nibble m */
    uint8_t qs[64];     /* byte 32n+l, bits 2j,2j+1: element 128n+32j+l */
    uint16_t d, dmin;
} block_q2_k;

typedef struct {        /* 16 sub-blocks of 16: w = d*(sc-32)*(q-4) */
    uint8_t hmask[32];  /* byte l, bit 4n+j: bit 2 of element 128n+32j+l */
    uint8_t qs[64];     /* as in Q2_K */
    uint8_t scales[12]; /* sixteen of 6 bits: see q3_scales in dequant.c */
    uint16_t d;
} block_q3_k;

typedef struct { /* 8 sub-blocks of 32: w = d*sc*q - dmin*m */
    uint16_t d, dmin;
    uint8_t scales[12]; /* eight sc and eight m of 6 bits: see q4_scales in dequant.c */
    uint8_t qs[128];    /* byte 32j+l: element 64j+l low, 64j+32+l high */
} block_q4_k;

typedef struct { /* as Q4_K with a fifth bit */
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32]; /* byte l, bit 2j: bit 4 of element 64j+l; bit 2j+1: of 64j+32+l */
    uint8_t qs[128];
} block_q5_k;

typedef struct {     /* 16 sub-blocks of 16: w = d*sc*(q-32) */
    uint8_t ql[128]; /* byte 64n+l: elements 128n+l low, 128n+64+l high; byte 64n+32+l: 128n+32+l low, 128n+96+l high */
    uint8_t qh[64];  /* byte 32n+l, bits 2j,2j+1: bits 4,5 of element 128n+32j+l */
    int8_t scales[16];
    uint16_t d;
} block_q6_k;

_Static_assert(sizeof(block_q4_0) == 18 && sizeof(block_q4_1) == 20 && sizeof(block_q5_0) == 22 &&
                   sizeof(block_q5_1) == 24 && sizeof(block_q8_0) == 34 && sizeof(block_q2_k) == 84 &&
                   sizeof(block_q3_k) == 110 && sizeof(block_q4_k) == 144 && sizeof(block_q5_k) == 176 &&
                   sizeof(block_q6_k) == 210,
               "blocks are packed as in the file");

/* out f32[n] = the weights that n elements of a row stand for; src need not be aligned; n a multiple of the
 * block. Arithmetic: each product and difference rounded once, in the order written above, left to right
 * (d*sc first). Bit-equal to the reference dequantiser. */
void block_dequantise(dtype t, const uint8_t *src, size_t n, float *out);

#endif
