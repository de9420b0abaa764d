/* adapter_source: an adapter's file while it is being read: which tensors it has, before there is memory for them.
 *
 *   PEFT folder or GGUF file -> adapter_source: tensors by layer and matrix, settings -> adapter_source_make(): shapes
 *   checked, packed
 *
 * A file's matrices are those of the family: phi3 has q, k, v as one and gate, up as one.
 */
#ifndef LOAM_MODEL_ADAPTER_SOURCE_H
#define LOAM_MODEL_ADAPTER_SOURCE_H

#include "io/tensor_ref.h"
#include "model/adapter_int.h"

/* A matrix as files name it. */
typedef struct {
    const char *peft, *gguf;
    lora_part first; /* the parts that it is made of, one below the other */
    int n_parts;
} file_matrix;
enum { FILE_MATRICES = LORA_PARTS + 2, FILE_QKV = LORA_PARTS, FILE_GATE_UP };
extern const file_matrix file_matrices[FILE_MATRICES];

typedef struct {
    const tensor_ref *t[LORA_TENSORS];
    float scale;
} source_target;

typedef struct {
    model *m;
    const char *path;
    adapter_shape shape;
    bool interleaved;      /* q and k rows stand as in llama's GGUF files */
    source_target *target; /* [L][FILE_MATRICES] */
    arena mem;
} adapter_source;

err_code adapter_source_init(adapter_source *s, model *m, const char *path, err *e);
void adapter_source_fini(adapter_source *s);
/* Notes a tensor of a layer's matrix. No such layer, or there twice: ERR_FORMAT. */
err_code adapter_source_add(adapter_source *s, uint64_t i_layer, int i_matrix, lora_tensor what, const tensor_ref *t,
                            err *e);
/* A decimal number and the dot behind it, at the beginning of *rest, which becomes what follows. */
bool adapter_source_layer(str *rest, uint64_t *i_layer);
/* Checks pairs and shapes; the adapter. scale_of gives each target its scale by its rank. */
typedef err_code scale_fn(void *ctx, const adapter_source *s, size_t i_layer, int i_matrix, size_t rank, float *scale,
                          err *e);
err_code adapter_source_make(adapter_source *s, scale_fn *scale_of, void *ctx, adapter **out, err *e);

/* ---- on the way out ---- */

/* A file's matrix of the parts that an adapter has apart. Parts with one and the same A share it; otherwise their A's
 * stand below each other and the file's B has a block for each. */
typedef struct {
    const adapter_target *part[LORA_PARTS]; /* NULL: this part is not changed, its rows are zeros */
    size_t rows[LORA_PARTS];                /* of each part's B */
    int n_parts;
    bool shared;
    size_t rank, cols, n_rows; /* of the whole */
    size_t head;               /* K: rows of B are to stand interleaved; 0: in order */
    float scale;
    bool dora;
} file_stack;
/* Every matrix that is changed, layers ascending, in the order of file_matrices; stops at an error.
 * ERR_UNSUPPORTED: parts that no file can hold as one. */
typedef err_code file_stack_fn(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e);
err_code file_stacks_each(const adapter *a, file_stack_fn *visit, void *ctx, err *e);
void file_stack_row(const file_stack *s, lora_tensor what, size_t r, float *out); /* A f32[cols], B f32[rank] */
float file_stack_magnitude(const file_stack *s, size_t r);

float *adapter_row(const adapter *a, err *e); /* room for any row of A or B, the caller's to free; NULL: ERR_MEMORY */

err_code adapter_open_peft(adapter_source *s, adapter **out, err *e);
err_code adapter_open_gguf(adapter_source *s, adapter **out, err *e);

#endif
