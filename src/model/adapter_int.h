/* adapter_int: what an adapter is inside, and its place in the forward pass. Shared by adapter*.c and forward.c. */
#ifndef LOAM_MODEL_ADAPTER_INT_H
#define LOAM_MODEL_ADAPTER_INT_H

#include "model/adapter.h"
#include "model/model_int.h"

struct adapter {
    model *m;
    adapter_shape shape;
    adapter_target *target; /* [L][LORA_PARTS]; a.rows 0: none */
    arena mem;              /* the above */
    uint8_t *block;         /* all numbers, and behind them `work` */
    size_t block_bytes;
    float *work; /* f32[threads][33][work_ld]: rows on their way to DoRA's norms */
    size_t work_ld;
};

/* What adapter_open() knows of a target before there is memory for it. */
typedef struct {
    size_t rank; /* 0: none */
    float scale;
    bool dora;
} target_plan;

/* An adapter with all numbers 0 and room in its model for adapter_apply(). plan [L][LORA_PARTS]. */
err_code adapter_new(adapter **out, model *m, const adapter_shape *s, const target_plan *plan, err *e);

/* Rows and columns of a layer's matrix. */
void lora_part_shape(const model_config *c, lora_part p, size_t *rows, size_t *cols);
float adapter_scale(double alpha, size_t rank, bool rslora);
/* x / norm, as DoRA divides a row's magnitude; a row of zeros has no direction to give a length to: `otherwise`. */
static inline float over_norm(float x, float norm, float otherwise) { return norm > 0 ? x / norm : otherwise; }
static inline matrix *lora_matrix(layer *y, lora_part p) {
    matrix *const all[LORA_PARTS] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};
    return all[p];
}

/* Products of n rows x f32[n][ldx] with parts that stand behind each other from `first` on: y[i] f32[n][rows of part
 * first + i] goes on by what the adapters add, in their order. n <= MODEL_CHUNK. */
enum { ADAPT_TOGETHER_MAX = 3 };
void adapter_apply(const adapter_use *use, size_t n_uses, size_t i_layer, lora_part first, int n_parts, const float *x,
                   size_t ldx, size_t n, float *const y[ADAPT_TOGETHER_MAX]);

#endif
