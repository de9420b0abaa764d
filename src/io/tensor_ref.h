/* tensor_ref: one tensor as a file holds it: name, type, shape, and its bytes in a mapping.
 *
 * What GGUF and safetensors readers both hand out. The reader has checked that
 * `bytes` is what type and shape ask for, that the bytes lie inside the mapping, and
 * that no two tensors of a file overlap or share a name.
 */
#ifndef LOAM_IO_TENSOR_REF_H
#define LOAM_IO_TENSOR_REF_H

#include "base/os.h"
#include "base/str.h"
#include "kern/dtype.h"

enum { TENSOR_DIMS_MAX = 4 };

typedef struct {
    str name;
    dtype type;
    int n_dims;                     /* 1 to 4 */
    uint64_t dims[TENSOR_DIMS_MAX]; /* outermost first: a matrix is [rows][columns]; unused ones are 1 */
    const uint8_t *data;            /* in the mapping, aligned as the file has it (may be odd in safetensors) */
    size_t bytes;
    uint64_t offset;   /* of data in its file */
    const os_map *map; /* the mapping that holds it */
} tensor_ref;

/* What a writer is told of a tensor before its bytes. The name is copied. */
typedef struct {
    str name;
    dtype type;
    int n_dims;                     /* 1 to 4 */
    uint64_t dims[TENSOR_DIMS_MAX]; /* outermost first */
} tensor_spec;

/* Bytes of a tensor; ERR_USAGE, naming it, when a dim is 0, a row is no whole number of blocks, or a product overflows.
 */
err_code tensor_spec_bytes(const tensor_spec *t, size_t *out, err *e);

#endif
