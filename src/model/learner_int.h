/* learner_int: what a learner is inside. Shared by learner.c and the chapters learn_layer.c, learn_product.c,
 * learn_adapter.c, learn_attention.c and learn_head.c.
 *
 * Activations stand in rows of tokens, row t of x at x + t*ld. A row is rounded up to whole lanes; sixteen floats
 * behind every array may be read.
 */
#ifndef LOAM_MODEL_LEARNER_INT_H
#define LOAM_MODEL_LEARNER_INT_H

#include "model/adapter_int.h"
#include "model/learner.h"
#include "model/model_int.h"
#include "tensor/linear.h"

/* What a layer's forward pass leaves for its backward pass. NULL where the layer has no such thing. */
typedef struct {
    float *attn_in;          /* [n][D] normed input of q, k, v; the layer's input itself where there is no norm */
    float *q0, *k0;          /* [n][H*K], [n][G*K] before their norms */
    float *q, *k, *v;        /* as they go into attention */
    float *att;              /* [n][H*K] what comes out */
    float *stat;             /* [n][H][2] M and Z */
    float *attn_out;         /* [n][D] before the norm behind attention */
    float *mid;              /* [n][D] the residual stream between attention and feed-forward */
    float *ffn_in;           /* [n][D] normed input of gate and up; mid where there is no norm */
    float *gate, *up;        /* [n][F] */
    float *ffn_out;          /* [n][D] before the norm behind feed-forward */
    float *bare[LORA_PARTS]; /* DoRA's targets: W x, rows as those of the product */
} trace;

/* Gradients of one target of an adapter: as adapter_target has its numbers. a.rows 0: no target. */
typedef struct {
    matrix a, b;
    float *magnitude;
} lora_grad;

/* 64 positions of a segment, the unit of attention's tasks. */
typedef struct {
    uint32_t segment, at; /* the chunk's first position in its segment */
} chunk;

struct learner {
    model *m;
    learner_options o;
    size_t n_traces;       /* layers, or 1: recomputed */
    size_t D, Q, KV, F, V; /* leading dimensions */
    size_t head_rows;      /* positions whose logits exist at a time */
    size_t panel_rows;     /* positions that k_panels and v_panels hold */
    size_t angle_rows;     /* positions with known angles */

    param *params;
    size_t n_params;
    arena mem;                /* params, names, tables of pointers */
    matrix embed_g, output_g; /* the same when tied */
    float *out_norm_g;
    layer *grads; /* [L] pointers to gradients where a layer has weights that are learned */

    /* with an adapter; the three above are without pointers then */
    lora_grad *tuned;                    /* [L][LORA_PARTS]; NULL: without */
    size_t lowest;                       /* target, layer * LORA_PARTS + part: what it is made of has no gradient */
    size_t R, W;                         /* leading dimensions: of the highest rank; the widest of all */
    float *low;                          /* [n][R] A x */
    float *low_back[ADAPT_TOGETHER_MAX]; /* [n][R] its gradient, of parts that go together */
    float *dropped;                      /* [n][W] A's input when some of it is left out; NULL: no dropout */
    float *weight_rows;                  /* of linear_back() */

    uint8_t *block; /* one block for all that follows */
    size_t block_bytes;
    float *g;  /* all gradients */
    float **x; /* [L+1] [n][D] the residual stream before each layer, and behind the last */
    trace *traces;
    float *dx, *dh, *dn; /* [n][D] gradients: of the residual stream, of a branch's output, of its input */
    float *dq, *dk, *dv, *datt;
    float *act;                     /* [n][F] input of down, and its gradient */
    float *delta;                   /* [n][H] */
    float *r;                       /* [n][H+G] 1/rms of rows or of heads */
    float *k_panels, *v_panels;     /* [panel_rows][KV] */
    float *logits;                  /* [head_rows][V] */
    float *head_in, *dhead;         /* [head_rows][D] */
    float *loss;                    /* [n] */
    float *cos, *sin, *minus;       /* [4][angle_rows][R/2]: full, full grown, sliding, sliding grown; minus: -sin */
    int32_t *pos;                   /* [n] position of each token in its segment */
    uint8_t *grown;                 /* [n] its segment is longer than rope.original_ctx */
    uint32_t *counted;              /* [n] tokens whose loss counts, ascending */
    chunk *chunks;                  /* of all segments */
    size_t *first_chunk, *panel_at; /* [n_segments+1] each segment's first chunk; its first panel row in a wave */
    uint8_t *scratch;               /* of gemm, and of attention's two kernels, for each thread */
    size_t attn_bytes;              /* of one thread */

    /* the batch at hand */
    const batch *b;
    size_t n, n_counted;
};

static inline void learn_lap(const learner *l, const char *part) {
    if (l->o.lap)
        l->o.lap(l->o.lap_ctx, part);
}

void learn_embed(learner *l);
void learn_embed_back(learner *l);
/* again: the layer's output is known already. */
void learn_forward(learner *l, size_t i_layer, bool again);
/* The trace is used up; l->dx, the gradient of the layer's output, becomes that of its input. */
void learn_backward(learner *l, size_t i_layer);

/* A layer's products that share an input: parts `first` and those behind it, n_parts of them; y or its gradient. */
typedef struct {
    size_t layer;
    lora_part first;
    int n_parts;
    struct {
        float *y; /* [n][ld] */
        size_t ld;
    } of[ADAPT_TOGETHER_MAX];
} products;

/* y = W x of n rows, no more: products[i].bias is not added. */
void learn_bare(learner *l, const product *p, int n_products, const float *x, size_t ldx, size_t n);
/* y = W x, with what an adapter adds, and biases; x [n][ldx]. */
void learn_products(learner *l, trace *t, const products *p, const float *x, size_t ldx);
/* Whether the gradient of their input is asked for: something learns below. */
bool learn_goes_on(const learner *l, const products *p);
/* dx [n][ldx] of the gradients in p; only where learn_goes_on(). */
void learn_products_dx(learner *l, const products *p, float *dx, size_t ldx);
/* Gradients of what is learned of them. After learn_products_dx() of the same. */
void learn_products_dw(learner *l, const trace *t, const products *p, const float *x, size_t ldx);
/* The adapter's part in each. */
void learn_adapt(learner *l, trace *t, const products *p, const float *x, size_t ldx);
void learn_adapt_dx(learner *l, const products *p, float *dx, size_t ldx); /* dx NULL: not asked for */
void learn_adapt_dw(learner *l, const trace *t, const products *p, const float *x, size_t ldx);
/* Numbers that one layer's part of an adapter brings, NULL: none; while it takes part in the batch at hand. */
const adapter_target *learn_target(const learner *l, size_t i_layer, lora_part p);

void learn_attention(learner *l, size_t i_layer, trace *t);
void learn_attention_back(learner *l, size_t i_layer, const trace *t); /* datt to dq, dk, dv */

/* Losses into l->loss; with `back` also output's gradient and l->dx. */
void learn_head(learner *l, bool back);

/* gw[c] = chain over rows of dy * (x * r), shared among threads; x in rows of `cols`, n_inner of them in each of n. */
void learn_norm_weight(learner *l, const float *dy, const float *x, size_t ld, size_t n_inner, const float *r,
                       size_t ldr, size_t cols, float *gw);

#endif
