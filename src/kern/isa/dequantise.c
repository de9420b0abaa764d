/* dequantise: a panel of stored weights as binary32, for gradients, which multiply with what the weights mean.
 *
 * A quantised panel is taken apart as for a product (chunk.h); then each weight is scaled as kern/block.h says: every
 * product and difference rounded once, the scale first.
 */
#include "kern/isa/chunk.h"
#include "kern/isa/isa.h"

/* The scale of sub-block s as it was before v16h_factor(): its low half has it whole. */
V16_FN v16 factor_at(const chunk *c, int s) { return v16_from_i(v16i_sar(v16i_shl(v16i_load(c->factor[s]), 16), 16)); }
/* The minimum of sub-block s: a half of a pair, not negative. */
V16_FN v16 minimum_at(const chunk *c, int s) {
    return v16_from_i(v16i_and(v16i_shr(v16i_load(c->pair[s / 2]), 16 * (s % 2)), v16i_set1(0xffff)));
}

/* Sixteen rows of the group's byte `i`, without the offset, times scale, minus (or plus) what there is to it. */
V16_FN v16 byte_at(v16i group, int i, v16i offset) {
    return v16_from_i(v16i_sub(v16i_and(v16i_shr(group, 8 * i), v16i_set1(0xff)), offset));
}

V16_FN void blocks(chunk_format f, const chunk *c, size_t n, float *out) {
    v16i offset = v16i_set1(8 * f.offset);
    for (size_t b = 0; b < n; b++) {
        v16 d = v16_load(c->d[b]), m = f.mins ? v16_load(c->m[b]) : v16_zero();
        for (size_t g = 8 * b; g < 8 * b + 8; g++) {
            v16i q = v16i_load(c->q[g]);
            UNROLL for (int i = 0; i < 4; i++, out += 16) {
                v16 w = v16_mul(byte_at(q, i, offset), d);
                v16_store(out, f.mins ? v16_add(w, m) : w);
            }
        }
    }
}

V16_FN void super(chunk_format f, const chunk *c, float *out) {
    v16i offset = v16i_set1(f.offset);
    v16 d = v16_load(c->d[0]), dmin = f.mins ? v16_load(c->d[1]) : v16_zero();
    const int groups = f.sub / 4;
    for (int s = 0; s < 256 / f.sub; s++) {
        v16 scale = v16_mul(d, factor_at(c, s)), min = f.mins ? v16_mul(dmin, minimum_at(c, s)) : v16_zero();
        for (int g = groups * s; g < groups * (s + 1); g++) {
            v16i q = v16i_load(c->q[g]);
            UNROLL for (int i = 0; i < 4; i++, out += 16) {
                v16 w = v16_mul(scale, byte_at(q, i, offset));
                v16_store(out, f.mins ? v16_sub(w, min) : w);
            }
        }
    }
}

/* Q8_0 needs no taking apart. */
V16_FN void bytes8(const uint8_t *panel, size_t n, float *out) {
    const chunk_format f = chunk_format_of(DTYPE_Q8_0);
    for (size_t b = 0; b < n; b++) {
        panel_place at = panel_block(b, n, f.scales, f.bytes);
        v16 d = v16_load_f16((const uint16_t *)(const void *)(panel + at.scales));
        for (int g = 0; g < 8; g++) {
            v16i q = v16i_load(panel + at.rest + 64 * g);
            UNROLL for (int i = 0; i < 4; i++, out += 16)
                v16_store(out, v16_mul(v16_from_i(v16i_sar(v16i_shl(q, 24 - 8 * i), 24)), d));
        }
    }
}

#define BLOCKS(type)                                       \
    case DTYPE_##type:                                     \
        blocks(chunk_format_of(DTYPE_##type), &c, n, out); \
        break;
#define SUPER(type)                                    \
    case DTYPE_##type:                                 \
        super(chunk_format_of(DTYPE_##type), &c, out); \
        break;

/* n_blocks of a panel, a chunk at a time. */
static void chunks(dtype t, const uint8_t *panel, size_t n_blocks, float *out) {
    size_t elems = dtype_table[t].block_elems, step = CHUNK_ELEMS / elems;
    chunk c;
    for (size_t b = 0, n; b < n_blocks; b += n, out += n * elems * 16) {
        n = n_blocks - b < step ? n_blocks - b : step;
        KERN_FN(chunk_expand)(t, panel, b, n, n_blocks, &c);
        switch (t) {
            BLOCKS(Q4_0)
            BLOCKS(Q4_1)
            BLOCKS(Q5_0)
            BLOCKS(Q5_1)
            SUPER(Q2_K)
            SUPER(Q3_K)
            SUPER(Q4_K)
            SUPER(Q5_K)
        default:
            SUPER(Q6_K)
        }
    }
}

void KERN_FN(dequantise)(dtype t, const uint8_t *packed, size_t cols, size_t i_panel, float *out) {
    const uint8_t *panel = packed + i_panel * PANEL_ROWS * dtype_row_bytes(t, cols);
    switch (t) {
    case DTYPE_F32:
        memcpy(out, panel, cols * PANEL_ROWS * sizeof *out);
        break;
    case DTYPE_F16:
        for (size_t k = 0; k < cols; k++)
            v16_store(out + 16 * k, v16_load_f16((const uint16_t *)(const void *)panel + 16 * k));
        break;
    case DTYPE_BF16:
        for (size_t k = 0; k < cols; k++)
            v16_store(out + 16 * k, v16_load_bf16((const uint16_t *)(const void *)panel + 16 * k));
        break;
    case DTYPE_Q8_0:
        bytes8(panel, cols / 32, out);
        break;
    default:
        chunks(t, panel, cols / dtype_table[t].block_elems, out);
    }
}
