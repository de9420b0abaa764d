/* adapter: low-rank changes of a model's matrices (LoRA, Hu et al., 2021; rsLoRA, Kalajdzievski, 2023; DoRA, Liu et
 * al., 2024), beside the model's weights and never in them.
 *
 *   y = W x;  y = y + mix * scale * B (A x);  then the bias        W [rows][cols], A [rank][cols], B [rows][rank]
 *
 * An adapter belongs to one open model. It changes some matrices (lora_part) of some layers; those are its targets. A
 * target's A and B are binary32 in panels of 16 rows, like the weights of a learner (model/learner.h, param): the same
 * chains serve running and learning. One layout whatever the file was: phi3's stacked matrices are apart, rows are in
 * this program's order.
 *
 * Order of arithmetic (doc/arithmetic.md, "Adapters"): for every adapter in the order of use, with mix m other than 0,
 *
 *   DoRA: y[r] = y[r] * (1 + m * (gain[r] - 1))
 *   t[i] = chain over c of x[c] * A[i][c];  t[i] = t[i] * (m * scale)
 *   y[r] = fma(t[i], B[r][i], y[r]), i ascending, from y[r] on; of DoRA, B[r][i] * gain[r] in the place of B[r][i]
 *   gain[r] = magnitude[r] / n[r], n[r] = sqrt(sum by lanes of e[c] * e[c]), e[c] = fma(d[c], scale, W[r][c]),
 *   d[c] = chain over i of B[r][i] * A[i][c], W dequantised; where n[r] is 0, gain[r] is 1
 *
 * Proved by test/prop/test_adapter.c: plain loops; bits over instruction sets, threads, cuts and batches.
 */
#ifndef LOAM_MODEL_ADAPTER_H
#define LOAM_MODEL_ADAPTER_H

#include "model/adapter_file.h"
#include "tensor/matrix.h"

typedef enum { LORA_Q, LORA_K, LORA_V, LORA_O, LORA_GATE, LORA_UP, LORA_DOWN, LORA_PARTS } lora_part;
enum { LORA_ALL = (1 << LORA_PARTS) - 1, ADAPTER_RANK_MAX = 4096 };

/* A list of their names, "q_proj,v_proj", or "all-linear", as bits 1 << lora_part. An unknown name: ERR_USAGE. */
err_code lora_parts_from(str list, unsigned *parts, err *e);

typedef struct adapter_shape {
    size_t rank;           /* 1 to ADAPTER_RANK_MAX */
    double alpha;          /* scale = alpha / rank, or alpha / sqrt(rank) with rslora; rounded to binary32 once */
    bool rslora, dora;     /* dora: every target has a magnitude */
    unsigned parts;        /* bits 1 << lora_part */
    const uint8_t *layers; /* [L] 1: this layer has targets; NULL: all have */
    double dropout;        /* of A's input in learning; kept for adapter_config.json alone */
} adapter_shape;

typedef struct {
    matrix a;         /* f32[rank][cols] in panels; rows past the last are zeros and stay so */
    matrix b;         /* f32[rows][rank] in panels, likewise */
    float scale;      /* a file may give every target its own rank and scale */
    float *magnitude; /* DoRA: f32[rows]; else NULL, and so are the next three */
    float *gain;      /* f32[rows]; of adapter_refresh() */
    float *norm;      /* f32[rows], n above; of adapter_refresh() */
    matrix gained;    /* f32[rows][rank] in panels: rows of b times gain; of adapter_refresh() */
} adapter_target;

/* A new one that changes nothing yet: A uniform in ±1/sqrt(cols) as peft's (Kaiming with a = sqrt(5)), from Philox by
 * seed, layer, part, row and column, and nothing else; B zeros; magnitudes the norms of W's rows. m must hold its
 * weights (not opened to plan). ERR_USAGE: rank or alpha out of range, no targets. */
err_code adapter_create(adapter **out, model *m, const adapter_shape *s, uint64_t seed, err *e);

const adapter_shape *adapter_shape_of(
    const adapter *a); /* opened from a file, rank is the highest there is, alpha what the file says for all */
model *adapter_model(const adapter *a);
/* NULL: no target. What is written through it counts from the next forward pass on; DoRA's after adapter_refresh(). */
adapter_target *adapter_at(const adapter *a, size_t i_layer, lora_part p);
/* Computes gain and gained anew, of DoRA's targets, by all threads of the model's pool. */
void adapter_refresh(adapter *a);

/* One tensor of an adapter, as peft names it. */
typedef enum { LORA_A, LORA_B, LORA_MAGNITUDE, LORA_TENSORS } lora_tensor;
enum { ADAPTER_NAME_MAX = 120 };
/* "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" */
void adapter_tensor_name(char out[ADAPTER_NAME_MAX], size_t i_layer, lora_part p, lora_tensor t);

#endif
