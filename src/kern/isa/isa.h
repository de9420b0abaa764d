/* isa: every kernel's prototype, for the ISA that a file is being compiled for. */
#ifndef LOAM_KERN_ISA_ISA_H
#define LOAM_KERN_ISA_ISA_H

#include "kern/isa/v16.h"
#include "kern/kern.h"

void KERN_FN(acts_pack)(acts_kind kind, const float *x, size_t ldx, size_t n, size_t k, size_t from, size_t to,
                        void *acts);
void KERN_FN(product)(dtype t, const uint8_t *packed, size_t rows, size_t k, size_t from, size_t to, const void *acts,
                      size_t n, float *y, size_t ldy);
void KERN_FN(dequantise)(dtype t, const uint8_t *packed, size_t cols, size_t i_panel, float *out);
void KERN_FN(rmsnorm)(const float *x, const float *w, size_t n, float eps, float *y);
void KERN_FN(rope)(float *x, const float *cos, const float *sin, size_t half);
void KERN_FN(gated)(kern_activation f, const float *gate, const float *up, size_t n, float *y);
void KERN_FN(add)(const float *a, const float *b, size_t n, float *y);
void KERN_FN(add_scaled)(const float *a, const float *b, float s, size_t n, float *y);
void KERN_FN(scale)(const float *a, float s, size_t n, float *y);
void KERN_FN(softcap)(const float *a, float cap, size_t n, float *y);
void KERN_FN(to_f16)(const float *a, size_t n, uint16_t *y);
void KERN_FN(exp)(const float *a, size_t n, float *y);
void KERN_FN(log)(const float *a, size_t n, float *y);
void KERN_FN(tanh)(const float *a, size_t n, float *y);
void KERN_FN(sin)(const float *a, size_t n, float *y);
void KERN_FN(cos)(const float *a, size_t n, float *y);
void KERN_FN(erf)(const float *a, size_t n, float *y);
void KERN_FN(attention)(const kern_kv *kv, const kern_attn *a, const kern_query *query, int n, void *scratch);
void KERN_FN(canonical)(float *a, size_t n);
float KERN_FN(sum_squares)(const float *x, size_t n);
void KERN_FN(weights)(const float *l, size_t n, float max, double temperature, double *w);
void KERN_FN(adamw)(const kern_adamw *a, const float *grad, size_t n, float *w, float *m, float *v);
double KERN_FN(fma_run)(size_t n, float *sink);
void KERN_FN(fit_signed)(int n, int half, const float *x, const float *w, float *scale, uint8_t *q);
void KERN_FN(fit_step)(int n, int half, const float *x, float *scale, uint8_t *q);
void KERN_FN(fit_range)(const kern_fit_plan *plan, int n, int most, const float *x, const float *w, float *scale,
                        float *min, uint8_t *q);
void KERN_FN(gemm)(const kern_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end, void *scratch);
float KERN_FN(dot)(const float *a, const float *b, size_t n);
void KERN_FN(rmsnorm_back)(const float *x, const float *w, const float *dy, const float *add, size_t n, float eps,
                           float *dx, float *r);
void KERN_FN(norm_weight_back)(const float *dy, const float *x, size_t ld, const float *r, size_t n, size_t cols,
                               float *dw);
void KERN_FN(sum_rows)(const float *a, size_t lda, size_t n, size_t cols, float *y);
void KERN_FN(gated_back)(kern_activation f, const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                         float *dup, float *y);
float KERN_FN(cross_entropy)(const float *l, size_t n, size_t target, float *stat);
void KERN_FN(cross_entropy_back)(float *l, size_t n, size_t target, const float *stat, float weight, float cap,
                                 float scale);
void KERN_FN(attention_back)(const kern_attn_back *b, const kern_attn *a, int which, size_t q_from, size_t q_to,
                             size_t k_from, size_t k_to, void *scratch);

extern const kern_ops KERN_FN(kern_ops);

#endif
