/* arch: the architecture table. A family is a row; nothing else in Loam knows a family's name.
 *
 * A transformer block here is
 *   h = x + r * post_a(attention(pre_a(x)));   y = h + r * post_f(ffn(pre_f(h)))
 * where each of the four norms may be absent; rows say which are there and how the rest varies.
 * Sources: the modelling code of transformers and the configurations that the families' makers published.
 */
#ifndef LOAM_MODEL_ARCH_H
#define LOAM_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "kern/kern.h"

typedef enum {
    NORM_PRE,      /* pre_a, pre_f */
    NORM_SANDWICH, /* all four */
    NORM_POST,     /* post_a, post_f */
} norm_place;

typedef enum {
    QK_NORM_NONE,
    QK_NORM_HEAD, /* RMS over each head, weights [K] */
    QK_NORM_FULL, /* RMS over all heads at once, weights [H*K] and [G*K] */
} qk_norm;

/* Which layers slide when a file gives a window but no list of layers. Layer i slides iff: */
typedef enum {
    SLIDE_NONE,       /* never: the window is not used */
    SLIDE_ALL,        /* always */
    SLIDE_BUT_LAST,   /* (i + 1) % period != 0 */
    SLIDE_FROM_LAYER, /* i >= max_window_layers, and use_sliding_window is set */
    SLIDE_WHERE_NOPE, /* it has no rotary embedding, and use_sliding_window is set */
} slide_rule;

typedef struct {
    const char *name;     /* "qwen3"; also config.json's model_type */
    const char *gguf;     /* general.architecture; NULL: no GGUF form of its own */
    const char *gguf_as;  /* general.architecture of the files written for it when gguf is NULL */
    const char *hf;       /* config.json's architectures */
    const char *windowed; /* row to use instead when the GGUF file has a sliding window; NULL: this one */
    norm_place norm;
    qk_norm qk;
    kern_activation act;
    slide_rule slide;
    int slide_period;
    bool partial_rope;  /* only the front part of a head may be rotated: partial_rotary_factor */
    bool local_rope;    /* sliding layers have a plain rotary embedding of their own */
    bool norm_plus_one; /* safetensors hold norm weights minus 1 (GGUF files hold them whole) */
    bool gguf_permuted; /* GGUF files hold q and k rows in interleaved order */
    bool fused;         /* q,k,v are one matrix, gate and up another */
    bool qkv_bias;      /* q, k, v always have biases */
    bool embed_sqrt;    /* embeddings are multiplied by sqrt(D) */
    bool multipliers;   /* config.json gives embedding, residual, attention and logit multipliers */
    bool softcaps;      /* the family may cap logits */
    bool finer_values;  /* its models of 80 layers quantise v at five bits at least (model/mix.c) */
    int nope_period;    /* every n-th layer has no rotary embedding, 0: all have */
    /* Defaults when the file does not say. */
    struct {
        double eps, theta, theta_local;
        int head_width; /* 0: D / H */
        int kv_heads;   /* 0: H */
        int window;     /* of config.json, when the key is absent */
        bool tied;
        double attn_softcap, logit_softcap;
        double query_scalar; /* attention scale is this to the power -1/2; 0: K */
    } otherwise;
} arch;

const arch *arch_by_name(str name); /* NULL: unknown */
const arch *arch_by_gguf(str name);
/* "llama, mistral, ...": for messages. */
const char *arch_names(void);

#endif
