/* gguf_write: a GGUF version 3 file, written front to back without being in memory.
 *
 *   gguf_writer *w;
 *   TRY(gguf_write_open(&w, path, e));
 *   gguf_write_str(w, "general.architecture", STR("llama"), e); ...        keys, in any order
 *   gguf_write_tensor(w, &spec, e); ...                                     every tensor: name, type, dims
 *   gguf_write_data(w, bytes, n, e); ...                                    their bytes, in that order, cut at will
 *   gguf_write_commit(w, e);                                                or gguf_write_abort(w)
 *
 * Layout as in gguf.h, little-endian, alignment 32, padding zeros. The bytes of the file depend on the calls alone.
 * Metadata (keys and tensor entries) is kept in memory until the first data, at most GGUF_WRITE_META_MAX bytes; data
 * goes straight through. The file appears whole at commit (base/outfile.h). What our reader would refuse is refused
 * here: a key or name that stands twice, is empty or too long, a row that is no whole number of blocks, dims of 0,
 * products that overflow (ERR_USAGE), and at commit data of another size than the tensors declared (ERR_USAGE).
 *
 * The first error sticks: every later call returns it, so that keys may be written in a row and only the last be
 * looked at. Proved by test_gguf_write.c (round trips through gguf.h, the bytes of the reference writer) and
 * test_io_fault.c.
 */
#ifndef LOAM_IO_GGUF_WRITE_H
#define LOAM_IO_GGUF_WRITE_H

#include "io/gguf.h"

enum { GGUF_WRITE_META_MAX = 1 << 30 };

typedef struct gguf_writer gguf_writer;

err_code gguf_write_open(gguf_writer **out, const char *path, err *e);
/* Writes nothing: the file that would be written must stand there, byte for byte, else ERR_MISMATCH. */
err_code gguf_compare_open(gguf_writer **out, const char *path, err *e);

err_code gguf_write_str(gguf_writer *w, const char *key, str value, err *e);
err_code gguf_write_u32(gguf_writer *w, const char *key, uint32_t value, err *e);
err_code gguf_write_u64(gguf_writer *w, const char *key, uint64_t value, err *e);
err_code gguf_write_f32(gguf_writer *w, const char *key, float value, err *e);
err_code gguf_write_bool(gguf_writer *w, const char *key, bool value, err *e);
/* An array of n numbers or bools: little-endian, as they stand in memory. */
err_code gguf_write_numbers(gguf_writer *w, const char *key, gguf_type elem, const void *values, uint64_t n, err *e);
err_code gguf_write_strs(gguf_writer *w, const char *key, const str *values, uint64_t n, err *e);
/* A key of another file, unchanged. */
err_code gguf_write_kv(gguf_writer *w, const gguf_kv *kv, err *e);

err_code gguf_write_tensor(gguf_writer *w, const tensor_spec *t, err *e);
/* More bytes of the declared tensors than there are left: ERR_USAGE. */
err_code gguf_write_data(gguf_writer *w, const void *bytes, size_t n, err *e);

/* Bytes the whole file will have; tensors declared so far. */
uint64_t gguf_write_bytes(const gguf_writer *w);
/* Frees w, whether it succeeds or not. */
err_code gguf_write_commit(gguf_writer *w, err *e);
void gguf_write_abort(gguf_writer *w); /* NULL allowed; frees w */

#endif
