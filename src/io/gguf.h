/* gguf: GGUF files, versions 2 and 3, little-endian, read in place.
 *
 *   file:    "GGUF" u32 version u64 n_tensors u64 n_kv | kv... | tensor info... | pad to alignment | data
 *   kv:      string key, u32 type, value          string: u64 n, n bytes
 *   array:   u32 element type, u64 n, elements    (arrays of arrays are refused)
 *   info:    string name, u32 n_dims, u64 dims[n_dims] (innermost first), u32 type, u64 offset from data
 *   alignment: key general.alignment (u32, a power of two, 8 to 2^20), else 32
 *
 * Source: ggml's docs/gguf.md. Checked before anything is believed: counts against the bytes
 * left, products for overflow, every extent against the file, offsets against the alignment, dims nonzero
 * and a row a whole number of blocks, overlaps, duplicate keys and names. Unsupported types are
 * refused by name, with the tensor's.
 *
 * A model cut into several files (gguf_parts.h) opens by its first, which finds the others beside it by their names.
 * Each must say that it is that part (split.no) of as many (split.count), and all must together have the number of
 * tensors that each of them tells (split.tensors.count), no name twice: so a part that is missing, or of another
 * model, is found. Keys are those of the first.
 */
#ifndef LOAM_IO_GGUF_H
#define LOAM_IO_GGUF_H

#include "base/arena.h"
#include "io/reader.h"
#include "io/tensor_ref.h"

/* Value types, numbered as in the file. */
typedef enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

enum { GGUF_KV_MAX = 65536, GGUF_TENSORS_MAX = 65536, GGUF_KEY_BYTES_MAX = 65535, GGUF_ARRAY_MAX = 1 << 26 };

typedef struct {
    str key;
    gguf_type type;   /* GGUF_ARRAY: see elem, n */
    gguf_type elem;   /* element type of an array, else == type */
    uint64_t n;       /* elements of an array, else 1 */
    const uint8_t *p; /* first value byte in the mapping (a string: its text; an array of strings: the first length) */
    size_t bytes;     /* all value bytes */
} gguf_kv;

typedef struct gguf_file {
    os_map map;
    const char *path; /* own copy */
    arena mem;
    uint32_t version;
    size_t alignment;
    size_t n_kv, n_tensors;
    gguf_kv *kv;              /* in file order */
    tensor_ref *tensor;       /* in file order; those of `more` behind, in theirs */
    size_t *by_key, *by_name; /* indices sorted by key / name, for look-up */
    struct gguf_file *more;   /* [n_more] the parts behind the first, of a model in several files */
    size_t n_more;
} gguf_file;

/* *g undefined before, closed state on failure. An open *g must not be moved: its tensors point to its map. It costs
 * at most 5 bytes of memory for one of the file, the arena's unused ends (4 MiB at most) apart; time n log n. Proved by
 * test_gguf.c, test_io_fault.c and fuzz_gguf.c. */
err_code gguf_open(gguf_file *g, const char *path, err *e);
void gguf_close(gguf_file *g);
uint64_t gguf_bytes(const gguf_file *g); /* of all its files */

const gguf_kv *gguf_find(const gguf_file *g, const char *key);       /* NULL when absent */
const tensor_ref *gguf_tensor(const gguf_file *g, const char *name); /* NULL when absent */

/* Scalars, converted when the value fits (any integer type to u64; integer or float to f64). `get`: otherwise
 * when absent; a present value of an impossible type or range is an error that names the key. */
err_code gguf_get_u64(const gguf_file *g, const char *key, uint64_t otherwise, uint64_t *out, err *e);
err_code gguf_get_f64(const gguf_file *g, const char *key, double otherwise, double *out, err *e);
err_code gguf_get_bool(const gguf_file *g, const char *key, bool otherwise, bool *out, err *e);
err_code gguf_get_str(const gguf_file *g, const char *key, str otherwise, str *out, err *e);

/* Element i of a numeric or bool array (or of a scalar, i == 0). Asserts i < n and a numeric type. As i64, floats are
 * cut towards zero, what lies beyond 64 bits becomes the nearest end, and NaN 0. */
double gguf_f64_at(const gguf_kv *kv, uint64_t i);
int64_t gguf_i64_at(const gguf_kv *kv, uint64_t i);
/* Walks an array of strings (a single one as well): zero-initialise *it, call until false. Extents were checked at
 * open. */
typedef struct {
    uint64_t i;
    size_t at;
} gguf_iter;
bool gguf_next_str(const gguf_kv *kv, gguf_iter *it, str *out);

const char *gguf_type_name(gguf_type t);

#endif
