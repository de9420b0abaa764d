/* table: the kernels of one ISA as a kern_ops. */
#include "kern/isa/isa.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const kern_ops KERN_FN(kern_ops) = {
    .isa = STRING(KERN_ISA),
    .tile = {[ACTS_F32] = V16_TILE_FLOAT,
             [ACTS_BLOCK] = V16_TILE_BLOCK,
             [ACTS_BYTES] = V16_TILE_BLOCK,
             [ACTS_SUPER] = V16_TILE_SUPER},
    .attn_tile = V16_TILE_FLOAT,
    .acts_pack = KERN_FN(acts_pack),
    .product = KERN_FN(product),
    .rmsnorm = KERN_FN(rmsnorm),
    .rope = KERN_FN(rope),
    .gated = KERN_FN(gated),
    .add = KERN_FN(add),
    .add_scaled = KERN_FN(add_scaled),
    .scale = KERN_FN(scale),
    .softcap = KERN_FN(softcap),
    .to_f16 = KERN_FN(to_f16),
    .exp = KERN_FN(exp),
    .log = KERN_FN(log),
    .tanh = KERN_FN(tanh),
    .sin = KERN_FN(sin),
    .cos = KERN_FN(cos),
    .erf = KERN_FN(erf),
    .attention = KERN_FN(attention),
    .canonical = KERN_FN(canonical),
    .sum_squares = KERN_FN(sum_squares),
    .adamw = KERN_FN(adamw),
    .fma_run = KERN_FN(fma_run),
    .gemm = KERN_FN(gemm),
    .dot = KERN_FN(dot),
    .rmsnorm_back = KERN_FN(rmsnorm_back),
    .norm_weight_back = KERN_FN(norm_weight_back),
    .sum_rows = KERN_FN(sum_rows),
    .gated_back = KERN_FN(gated_back),
    .cross_entropy = KERN_FN(cross_entropy),
    .cross_entropy_back = KERN_FN(cross_entropy_back),
    .attention_back = KERN_FN(attention_back),
};
