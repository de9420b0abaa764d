/* config: what a model file says of its shape, in one struct, whatever file it came from. */
#ifndef LOAM_MODEL_CONFIG_H
#define LOAM_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "io/gguf.h"
#include "model/arch.h"
#include "text/json.h"

enum {
    CONFIG_LAYERS_MAX = 1024,
    CONFIG_WIDTH_MAX = 1 << 20,
    CONFIG_HEADS_MAX = 4096,
    CONFIG_HEAD_WIDTH_MAX = 1024,
    CONFIG_VOCAB_MAX = 1 << 21,
    CONFIG_CTX_MAX = 1 << 30,
};

typedef enum { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_LONGROPE } rope_scaling;

/* Rotary embedding: the frequencies of one kind of layer. model/rope.h turns it into numbers. */
typedef struct {
    double theta; /* base of the frequencies */
    rope_scaling scaling;
    double factor;                            /* linear, llama3, yarn: context growth */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    bool truncate;                            /* yarn: correction range rounded to whole dimensions */
    double attn_factor;                       /* multiplies cos and sin; 1 unless yarn or longrope */
    const float *divide_short,
        *divide_long; /* f32[width/2] or NULL: divide the frequencies; long ones beyond original_ctx */
} rope_config;

typedef struct {
    const arch *arch;
    str name; /* general.name or the folder's, for people */
    size_t D, H, G, K, F, V, L;
    size_t ctx_train;             /* positions the model was made for */
    size_t window;                /* sliding window in tokens (a position sees itself and window-1 before), 0: none */
    const uint8_t *layer_slides;  /* [L] 1: this layer uses the window */
    const uint8_t *layer_no_rope; /* [L] 1: this layer has no rotary embedding */
    double norm_eps;
    size_t rope_width;      /* R: rotated dimensions of a head, even, <= K */
    size_t original_ctx;    /* llama3, yarn, longrope: positions before growth, else 0 */
    rope_config rope;       /* of layers that see everything, and of sliding ones unless the arch has local_rope */
    rope_config rope_local; /* of sliding layers when it has */
    double embed_scale, residual_scale, attn_scale, logit_scale; /* multipliers; attn_scale multiplies q.k */
    double attn_softcap, logit_softcap;                          /* 0: none */
    bool tied;                                                   /* the output matrix is the embedding */
    bool bias_required;                                          /* q, k, v must have biases */
} model_config;

/* Fills *c from a file's metadata; arrays and strings live in *mem. Everything is checked against the limits
 * above; V may be 0 afterwards when the file does not say (the embedding's rows tell then). */
err_code config_from_gguf(model_config *c, const gguf_file *g, arena *mem, err *e);
/* From config.json. `prefix` receives what stands before the tensor names ("" or "language_model."). */
err_code config_from_json(model_config *c, const json_t *root, arena *mem, str *prefix, err *e);

#endif
