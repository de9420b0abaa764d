/* learner: a model whose weights are being learned, or an adapter of it.
 *
 * A learner adds to a model with binary32 weights what training needs: a gradient for every weight, room for what the
 * forward pass must remember, and the backward pass of every operation that the architecture table can ask for. The
 * forward pass computes the bits of model_forward() on each segment alone: packing documents into one batch, threads
 * and instruction sets change nothing. doc/arithmetic.md, "Gradients", gives the order of every sum.
 *
 * With an adapter (model/adapter.h) the model is left as it is, in whatever form it is stored: gradients are those of
 * the adapter's numbers alone. The forward pass computes the bits of model_forward() with the adapter, mix 1, with
 * quantised activations and a cache in halves where that has them; the gradient takes both for exact, and goes through
 * weights as what they mean, dequantised some rows at a time. doc/arithmetic.md, "Gradients of adapters".
 *
 * A batch is a run of n tokens made of segments: pieces of documents that stand behind each other. Positions count from
 * 0 in each segment, and a token attends to its own segment only.
 *
 * Letters as in model.h. One learner is used by one thread at a time; it shares the model's pool and must be closed
 * before the model.
 */
#ifndef LOAM_MODEL_LEARNER_H
#define LOAM_MODEL_LEARNER_H

#include "model/model.h"

typedef struct learner learner;

/* One weight of the model, or of the adapter. Matrices [rows][cols] stand in panels of 16 rows, [rows/16][cols][16],
 * rows past the last are zeros and stay zeros; vectors have cols 0 and stand as f32[rows]. w and g have the same
 * layout. */
typedef struct {
    const char *name; /* of the tensor in a Hugging Face folder: "model.layers.0.self_attn.q_proj.weight"; of an
                         adapter's, adapter_tensor_name() */
    size_t rows, cols;
    size_t n;     /* floats of w and of g, panels' padding included */
    float *w, *g; /* owned by the model or its adapter, and by the learner */
} param;

typedef struct {
    size_t from, to; /* tokens [from, to) of the batch */
} segment;

typedef struct {
    const int32_t *ids;    /* [n] */
    const int32_t *target; /* [n] the token to predict after each; read only where weight is not 0 */
    const float *weight;   /* [n] what the loss of each position counts, any sign; 0: nothing */
    size_t n;
    const segment *segment; /* cover [0, n) in order without gaps; each at most ctx_train tokens long */
    size_t n_segments;
    /* Of an adapter's learner: dropout is the share of numbers of A's input that count as 0 (others count for them),
     * 0 to below 1; which ones hangs on the seed, the layer, the part, the position in the batch and the column alone.
     * Only with the adapter's shape.dropout above 0. bare: the adapter takes no part; losses alone. */
    float dropout;
    uint64_t dropout_seed;
    bool bare;
} batch;

typedef struct {
    size_t tokens_max;       /* of a batch */
    struct adapter *adapter; /* to be learned, of this model; NULL: the model itself is */
    bool recompute;          /* keep only each layer's input and compute the rest again: less memory, the same bits */
    void (*lap)(void *ctx,
                const char *part); /* called behind each part of a step with its name, to be timed; or NULL */
    void *lap_ctx;
} learner_options;

/* A model of a given shape with all weights zero, binary32, ready for learner_open(). c's arrays and strings are
 * copied. */
err_code model_create(model **out, const model_config *c, const model_options *o, err *e);

/* m: from model_create(), or opened with MODEL_WEIGHTS_F32; with an adapter, any that holds its weights. The adapter
 * must outlive the learner. */
err_code learner_open(learner **out, model *m, const learner_options *o, err *e);
void learner_close(learner *l); /* NULL allowed */
size_t learner_plan_bytes(const model *m,
                          const learner_options *o); /* that learner_open() will take; SIZE_MAX: too many */

/* All weights, in a fixed order (embedding, layers ascending, norms and matrices in the order of weights.c, output
 * norm, output); tied weights once. Of an adapter: layers and parts ascending, of each A, B, the magnitude. Who changes
 * DoRA's numbers calls adapter_refresh() before the next batch. */
param *learner_params(learner *l, size_t *n);
model *learner_model(learner *l);

/* loss[n] (may be NULL): -log p(target) of each position in binary32, 0 where its weight is 0. *sum: sum of
 * weight * loss in binary64, positions ascending. Ids or targets outside the vocabulary, segments that do not cover the
 * batch: ERR_USAGE. */
err_code learner_loss(learner *l, const batch *b, float *loss, double *sum, err *e);
/* The same, and the gradient of *sum in every param's g (written, not added to). */
err_code learner_gradient(learner *l, const batch *b, float *loss, double *sum, err *e);

#endif
