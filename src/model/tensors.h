/* tensors: a model's weights as a file lists them, under the names of GGUF or of a Hugging Face folder.
 *
 * What the two forms do differently happens here and nowhere else on the way out: names, the order of rows of q and k,
 * matrices that stand as one (phi3), norm weights that lack 1 (gemma). Rows come from the packed weights, or, of a
 * model that was opened to plan only, straight from its file, so that a large model need not be in memory.
 */
#ifndef LOAM_MODEL_TENSORS_H
#define LOAM_MODEL_TENSORS_H

#include "model/model_int.h"

typedef enum {
    ROLE_VECTOR, /* norms and biases */
    ROLE_EMBED,
    ROLE_OUTPUT,
    ROLE_Q,
    ROLE_K,
    ROLE_V,
    ROLE_QKV,
    ROLE_O,
    ROLE_GATE,
    ROLE_UP,
    ROLE_GATE_UP,
    ROLE_DOWN,
    ROLE_COUNT
} tensor_role;

/* Some rows of a matrix: of `packed`, or else of a file's tensor from row `first` on; head: K when each head's rows
 * stand interleaved there, 0 when in order. */
typedef struct {
    const matrix *packed;
    const tensor_ref *file;
    size_t first, head, rows;
} row_source;

enum { TENSOR_NAME_MAX = 160, TENSOR_PARTS_MAX = 3 };

typedef struct {
    char name[TENSOR_NAME_MAX];
    tensor_role role;
    size_t layer;
    dtype type;          /* as it is; F32 of vectors */
    size_t rows, cols;   /* cols 0: a vector of `rows` elements */
    const float *vector; /* its values; the list's arena */
    int n_parts;         /* of a matrix: what its rows are, below each other */
    row_source part[TENSOR_PARTS_MAX];
    size_t head; /* K: each head's rows are to stand interleaved, 0: in order */
} model_tensor;

/* All tensors in the order of their use: embedding, layers ascending, output norm, output (when not tied).
 * zero_biases: biases of q, k, v, o (of gate, up, down) that are not there are listed as zeros when one of their group
 * is. *out lives in mem. */
err_code tensors_of(const model *m, bool gguf, bool zero_biases, arena *mem, model_tensor **out, size_t *n, err *e);

/* Row r of a matrix tensor as it is stored: dtype_row_bytes(type, cols) bytes. */
void tensor_row(const model_tensor *t, size_t r, uint8_t *out);

/* Where that row comes from: a part of the tensor, and the row in this program's order of that part. */
void tensor_place(const model_tensor *t, size_t r, int *part, size_t *row);

/* Which row of this program stands at row r of a file that interleaves the two halves of each head of `head` rows. */
size_t tensor_in_order(size_t head, size_t r);

/* The row of the family's GGUF architecture ("llama" for Mistral). */
const arch *tensors_gguf_arch(const arch *a);

#endif
