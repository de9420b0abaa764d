/* model_int: what a model and a cache are inside. Shared by weights.c, cache.c, forward.c and model.c. */
#ifndef LOAM_MODEL_MODEL_INT_H
#define LOAM_MODEL_MODEL_INT_H

#include "io/safetensors.h"
#include "model/adapter.h"
#include "model/model.h"
#include "tensor/matrix.h"

enum { MODEL_CHUNK = 512 }; /* positions that go through the layers together at most */

/* One transformer block. NULL vectors and matrices without rows are not there. */
typedef struct {
    const float *attn_pre, *attn_post, *ffn_pre, *ffn_post; /* norms, f32[D] */
    const float *q_norm, *k_norm;                           /* f32[K], or f32[H*K] and f32[G*K] */
    const float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
    matrix q, k, v, o, gate, up, down;
} layer;

/* Buffers of one forward call, carved from one block; n = MODEL_CHUNK rows each. */
typedef struct {
    float *x, *h;     /* f32[n][D]: residual stream, normed or branch output */
    float *q, *k, *v; /* f32[n][H*K], f32[n][G*K] */
    float *att;       /* f32[n][H*K] */
    float *gate, *up; /* f32[n][F] */
    float *cos, *sin; /* f32[2][n][R/2]: of full layers, then of sliding ones */
    uint8_t *attn;    /* per thread kern_attn_scratch_bytes(K) */
    activations acts; /* room for the widest product of every kind in use */
    size_t attn_bytes;
} scratch;

/* Buffers that adapters work in, there once the model has one. */
typedef struct {
    size_t rank; /* the highest, rounded up to lanes */
    float *t;    /* f32[3][MODEL_CHUNK][rank] */
    uint8_t *gemm, *mem;
    size_t bytes;
} adapter_scratch;

struct model {
    model_config config;
    arena mem;
    char *path;
    gguf_file gguf; /* path NULL when the model is a folder */
    safetensors tensors;
    str prefix; /* what stands before the tensor names of a folder */
    bool bare;  /* a folder without an output matrix, whose names begin where others' go on behind "model." */
    engine engine;
    model_weights how;
    layer *layers;        /* [L] */
    matrix embed, output; /* output.packed == embed.packed when tied */
    const float *out_norm;
    uint8_t *packed; /* all matrices */
    size_t packed_bytes;
    bool kv_f16;
    scratch scratch;
    uint8_t *scratch_mem;
    size_t scratch_bytes;
    model_watch watch;
    adapter_scratch adapting;
    adapter_use standing[MODEL_ADAPTERS_MAX];
    size_t n_standing;
};

/* Keys f16 or f32 [L][G][ctx/16][K][16], values [L][G][ctx][W], W = K rounded up to 16; ctx rounded up to the
 * attention's chunk. */
struct kv_cache {
    model *m;
    size_t ctx, len, rows;            /* rows: ctx rounded up */
    size_t W, layer_bytes, key_bytes; /* of one layer; of its keys */
    uint8_t *mem;
    size_t bytes;
    float *freq;     /* f32[2][R/2]: of full layers, of sliding ones */
    float factor[2]; /* multiplies cos and sin */
};

/* Stored row of a packed row (a matrix_row_fn): from `first` on, and, in files that interleave the two halves of each
 * head, back to halves: row h*K + s*K/2 + i stands at h*K + 2i + s. */
typedef struct {
    size_t first, head; /* head: K, or 0 when rows are in order */
} row_order;
size_t weights_stored_row(const void *order, size_t r);

/* Finds, checks and packs every tensor the config asks for; config->V is set from the embedding. */
err_code weights_load(model *m, const model_options *o, str prefix, err *e);

/* The steps of opening that a new model shares: the kernels; and, when the weights are there, the scratch block. */
err_code model_engine(model *m, const model_options *o, err *e);
err_code model_ready(model *m, const model_options *o, err *e);

/* The name in the folder of `m` of what others call `hf`, such as "model.norm"; m NULL: hf. */
const char *model_hf_name(const model *m, const char *hf);

/* One head's view of a layer's cache. */
kern_kv kv_head(const kv_cache *kv, size_t layer, size_t g);
/* Writes the keys and values of positions [pos, pos+n): k, v f32[n][G*K]; rows [from, to) of them. */
void kv_put(const kv_cache *kv, size_t layer, size_t pos, size_t from, size_t to, const float *k, const float *v);

#endif
