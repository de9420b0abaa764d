/* safetensors: one or more .safetensors files of a Hugging Face folder, read in place.
 *
 *   file:  u64 n | n bytes of JSON header | data
 *   header: {"name": {"dtype": "F32"|"F16"|"BF16", "shape": [...], "data_offsets": [from, to]}, "__metadata__": {...}}
 *
 * Source: the safetensors format description. The rules of the reference reader hold: header at most
 * 100 MB, begins with '{', no duplicate names, offsets tile the data without holes or overlaps. A folder has
 * model.safetensors, or model.safetensors.index.json whose "weight_map" names the shards (plain names that end with
 * .safetensors: a path separator, ".." or another ending is refused). Where both are, the first is read. Every tensor
 * that the index places must be in that shard; one that it leaves out is read all the same. A scalar, shape [], comes
 * out as [1]; a tensor of no elements or of more than 4 dims is refused.
 */
#ifndef LOAM_IO_SAFETENSORS_H
#define LOAM_IO_SAFETENSORS_H

#include "base/arena.h"
#include "io/tensor_ref.h"

enum { SAFETENSORS_HEADER_MAX = 100 << 20, SAFETENSORS_SHARDS_MAX = 1024, SAFETENSORS_TENSORS_MAX = 1 << 20 };

typedef struct {
    arena mem;
    size_t n_maps, n_tensors;
    os_map *map;
    tensor_ref *tensor; /* sorted by name */
} safetensors;

/* An open *s may be moved. path: a folder or a single .safetensors file. Tensors of dtypes other than F32, F16, BF16
 * are refused by name. */
err_code safetensors_open(safetensors *s, const char *path, err *e);
void safetensors_close(safetensors *s);
const tensor_ref *safetensors_find(const safetensors *s, const char *name); /* NULL when absent */

#endif
