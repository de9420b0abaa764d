/* dtype: the element types a tensor file may hold that Loam computes with.
 *
 * The list is the one place that knows their names, GGUF numbers and block sizes.
 * Block layouts stand in kern/block.h.
 */
#ifndef LOAM_KERN_DTYPE_H
#define LOAM_KERN_DTYPE_H

#include <stddef.h>
#include <stdint.h>

/* X(name, number in GGUF, elements a block, bytes a block) */
#define DTYPES(X)         \
    X(F32, 0, 1, 4)       \
    X(F16, 1, 1, 2)       \
    X(BF16, 30, 1, 2)     \
    X(Q4_0, 2, 32, 18)    \
    X(Q4_1, 3, 32, 20)    \
    X(Q5_0, 6, 32, 22)    \
    X(Q5_1, 7, 32, 24)    \
    X(Q8_0, 8, 32, 34)    \
    X(Q2_K, 10, 256, 84)  \
    X(Q3_K, 11, 256, 110) \
    X(Q4_K, 12, 256, 144) \
    X(Q5_K, 13, 256, 176) \
    X(Q6_K, 14, 256, 210)

typedef enum {
#define X(name, gguf, elems, bytes) DTYPE_##name,
    DTYPES(X)
#undef X
        DTYPE_COUNT
} dtype;

typedef struct {
    const char *name;     /* "Q4_K" */
    uint32_t gguf;        /* type number in a GGUF file */
    uint32_t block_elems; /* consecutive elements of a row that share a block */
    uint32_t block_bytes;
} dtype_info;

extern const dtype_info dtype_table[DTYPE_COUNT];

int dtype_from_gguf(uint32_t number);  /* a dtype, or -1 */
int dtype_from_name(const char *name); /* case-insensitive; a dtype, or -1 */
/* Bytes of a row of n elements; n must be a multiple of block_elems (asserted). */
size_t dtype_row_bytes(dtype t, size_t n);

#endif
