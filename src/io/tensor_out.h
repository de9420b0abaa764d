/* tensor_out: what the writers of GGUF and safetensors share: keys and names that stand once, the sizes that were
 * declared, the bytes that follow, and the first error, which sticks.
 *
 * For gguf_write.c and safetensors_write.c alone. A writer's public function begins with tensor_out_ready() and ends
 * with tensor_out_keep().
 */
#ifndef LOAM_IO_TENSOR_OUT_H
#define LOAM_IO_TENSOR_OUT_H

#include "base/arena.h"
#include "base/outfile.h"
#include "io/tensor_ref.h"

typedef struct {
    str *p;
    size_t n, cap;
} name_list;

typedef struct {
    outfile *file;
    char *path;
    err failed; /* the first error; ERR_OK: none */
    arena mem;
    name_list keys, tensors;
    size_t *bytes; /* [tensors.n] */
    size_t bytes_cap;
    size_t align;        /* of every tensor's first byte, and of the end; 1: none */
    uint64_t data_bytes; /* of all declared tensors, with what fills up */
    bool begun;          /* the header is written */
    size_t at, left;     /* the tensor being written, and its bytes to come */
} tensor_out;

/* compares: with what stands there, outfile_compare(). On failure nothing is left open. */
err_code tensor_out_open(tensor_out *t, const char *path, bool compares, size_t align, err *e);
void tensor_out_fini(tensor_out *t); /* gives up the file unless it was committed */

/* The first error again, or, once data has begun, ERR_USAGE when `declaring`. */
err_code tensor_out_ready(const tensor_out *t, bool declaring, err *e);
/* Remembers a failure; returns code and fills *e. `own` holds the text. */
err_code tensor_out_keep(tensor_out *t, err_code code, const err *own, err *e);

/* what: "key" or "tensor", for messages; 1 to max bytes, no NUL. */
err_code tensor_out_key(tensor_out *t, str key, size_t max, err *e);
/* *offset: of its first byte in the data section. */
err_code tensor_out_declare(tensor_out *t, const tensor_spec *spec, size_t name_max, uint64_t *offset, err *e);
err_code tensor_out_unique(const tensor_out *t, err *e); /* no key and no name stands twice */
err_code tensor_out_data(tensor_out *t, const uint8_t *p, size_t n, err *e);
err_code tensor_out_whole(const tensor_out *t, err *e); /* all declared bytes have come */

#endif
