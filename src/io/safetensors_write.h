/* safetensors_write: a .safetensors file, written front to back without being in memory.
 *
 *   safetensors_writer *w;
 *   TRY(safetensors_write_open(&w, path, e));
 *   safetensors_write_meta(w, "step", STR("1000"), e); ...                  __metadata__: strings, in any order
 *   safetensors_write_tensor(w, &spec, e); ...                              every tensor: name, type, dims
 *   safetensors_write_data(w, bytes, n, e); ...                             their bytes, in that order, cut at will
 *   safetensors_write_commit(w, e);                                         or safetensors_write_abort(w)
 *
 * Layout as in safetensors.h; the header is padded with spaces to a multiple of 8, entries stand in the order of
 * declaration, metadata first. Only F32, F16 and BF16. Declare wider types first and every tensor is aligned. The bytes
 * of the file depend on the calls alone. The file appears whole at commit (base/outfile.h). Names, keys and values must
 * be well-formed UTF-8 without NUL. What our reader would refuse is refused here: names or keys that stand
 * twice or are empty, dims of 0, more than 4 of them, products that overflow, a header above
 * SAFETENSORS_HEADER_MAX, and at commit data of another size than declared (all ERR_USAGE).
 *
 * The first error sticks: every later call returns it. Proved by test_safetensors_write.c (round trips through
 * safetensors.h, the bytes of the reference writer) and test_io_fault.c.
 */
#ifndef LOAM_IO_SAFETENSORS_WRITE_H
#define LOAM_IO_SAFETENSORS_WRITE_H

#include "io/safetensors.h"

typedef struct safetensors_writer safetensors_writer;

err_code safetensors_write_open(safetensors_writer **out, const char *path, err *e);
err_code safetensors_write_meta(safetensors_writer *w, const char *key, str value, err *e);
err_code safetensors_write_tensor(safetensors_writer *w, const tensor_spec *t, err *e);
/* More bytes of the declared tensors than there are left: ERR_USAGE. */
err_code safetensors_write_data(safetensors_writer *w, const void *bytes, size_t n, err *e);
/* Frees w, whether it succeeds or not. */
err_code safetensors_write_commit(safetensors_writer *w, err *e);
void safetensors_write_abort(safetensors_writer *w); /* NULL allowed; frees w */

#endif
