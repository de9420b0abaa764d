/* product: a matrix product cut into tiles, and activations packed for it.
 *
 * Loop order: parts of K, panels, tiles. A part of K is so long that its packed activations stay in the second-level
 * cache while every panel of the thread's share passes over them; the chains rest in y between parts.
 * Activations: see product.h for their layout and doc/arithmetic.md for how they are quantised.
 */
#include "kern/isa/product.h"
#include "kern/isa/isa.h"

enum { PART_BYTES = 384 << 10, PART_ELEMS_MIN = 512 };

/* Blocks of a part of K: all of it when the activations are few. */
static size_t part_blocks(acts_kind kind, size_t n, size_t k, size_t block) {
    size_t per_block = kern_acts_bytes(kind, 1, block), blocks = k / block;
    size_t part = PART_BYTES / (per_block * n), least = (PART_ELEMS_MIN + block - 1) / block;
    if (part < least)
        part = least;
    if (part >= blocks)
        return blocks;
    size_t parts = (blocks + part - 1) / part;
    part = (blocks + parts - 1) / parts;
    return part + part % 2; /* neighbouring blocks share their places: see panel.h */
}

static int tile_of(acts_kind kind) {
    return kind == ACTS_F32 ? V16_TILE_FLOAT : kind == ACTS_BLOCK ? V16_TILE_BLOCK : V16_TILE_SUPER;
}

void KERN_FN(product)(dtype t, const uint8_t *packed, size_t rows, size_t k, size_t from, size_t to, const void *acts,
                      size_t n, float *y, size_t ldy) {
    acts_kind kind = kern_acts_kind(t);
    int tile_max = tile_of(kind);
    size_t block = kind == ACTS_F32 ? 1 : dtype_table[t].block_elems, block_bytes = dtype_table[t].block_bytes;
    size_t panel_stride = PANEL_ROWS * dtype_row_bytes(t, k), acts_block = kern_acts_bytes(kind, 1, block);
    size_t blocks = k / block, part = part_blocks(kind, n, k, block);
    for (size_t b = 0; b < blocks; b += part) {
        size_t len = b + part < blocks ? part : blocks - b;
        for (size_t p = from; p < to && p * PANEL_ROWS < rows; p++) {
            const uint8_t *panel = packed + p * panel_stride + b * PANEL_ROWS * block_bytes;
            size_t lanes = rows - p * PANEL_ROWS < PANEL_ROWS ? rows - p * PANEL_ROWS : PANEL_ROWS;
            for (size_t i = 0, T; i < n; i += T) {
                T = kern_tile(tile_max, i, n);
                tile_fn *fn = kind == ACTS_F32     ? KERN_FN(product_float)(t, T)
                              : kind == ACTS_BLOCK ? KERN_FN(product_block)(t, T)
                                                   : KERN_FN(product_super)(t, T);
                const uint8_t *x = (const uint8_t *)acts + (i * blocks + b * T) * acts_block;
                fn(panel, x, len, y + i * ldy + p * PANEL_ROWS, ldy, lanes, b == 0);
            }
        }
    }
}

/* One block of n (32 or 256) elements: q = rint(x * (127 / amax)) within +-127, the scale amax / 127. A block
 * whose amax is below 2^-100 is all zeros. One that holds an infinity or a NaN is zeros with a NaN for scale:
 * what went wrong before must not come out as a number. */
V16_FN float quantise(const float *x, int n, int8_t *q) {
    v16 top = v16_zero(), inf = v16_set1(__builtin_inff());
    for (int i = 0; i < n; i += 16) {
        v16 a = v16_abs(v16_load(x + i));
        top = v16_max(v16_sel(v16_lt(a, inf), a, inf), top);
    }
    float amax = v16_hmax(top);
    if (amax < 0x1p-100f || amax == __builtin_inff()) {
        memset(q, 0, (size_t)n);
        return amax < 1.0f ? 0.0f : __builtin_nanf("");
    }
    v16 inverse = v16_set1(127.0f / amax), low = v16_set1(-127.0f), high = v16_set1(127.0f);
    for (int i = 0; i < n; i += 16) {
        int32_t lane[16];
        v16i_store(lane, v16_rint(v16_min(v16_max(v16_mul(v16_load(x + i), inverse), low), high)));
        for (int j = 0; j < 16; j++)
            q[i + j] = (int8_t)lane[j];
    }
    return amax / 127.0f;
}

static int32_t sum_of(const int8_t *q, int n) {
    int32_t s = 0;
    for (int i = 0; i < n; i++)
        s += q[i];
    return s;
}

static int32_t two_sums(int32_t a, int32_t b) { return (int32_t)((uint32_t)(a & 0xffff) | (uint32_t)b << 16); }

static void pack_block(const float *x, int32_t *to, size_t T) {
    int8_t q[32];
    float d = quantise(x, 32, q);
    int32_t sum = sum_of(q, 32), minus8 = -8 * sum;
    float sx = d * (float)sum;
    memcpy(to, &d, 4);
    memcpy(to + T, &sx, 4);
    to[2 * T] = minus8;
    for (size_t g = 0; g < 8; g++)
        memcpy(to + (3 + g) * T, q + 4 * g, 4);
}

static void pack_super(const float *x, int32_t *to, size_t T) {
    int8_t q[256];
    int32_t sum[16];
    float d = quantise(x, 256, q);
    for (int s = 0; s < 16; s++)
        sum[s] = sum_of(q + 16 * s, 16);
    memcpy(to, &d, 4);
    for (size_t g = 0; g < 64; g++)
        memcpy(to + (1 + g) * T, q + 4 * g, 4);
    for (size_t p = 0; p < 8; p++)
        to[(65 + p) * T] = two_sums(sum[2 * p], sum[2 * p + 1]);
    for (size_t p = 0; p < 4; p++)
        to[(73 + p) * T] = two_sums(sum[4 * p] + sum[4 * p + 1], sum[4 * p + 2] + sum[4 * p + 3]);
}

void KERN_FN(acts_pack)(acts_kind kind, const float *x, size_t ldx, size_t n, size_t k, size_t from, size_t to,
                        void *acts) {
    int tile_max = tile_of(kind);
    for (size_t at = from, T; at < to; at += T) {
        T = kern_tile(tile_max, at, n);
        uint8_t *base = (uint8_t *)acts + kern_acts_bytes(kind, at, k);
        for (size_t i = 0; i < T; i++) {
            const float *row = x + (at + i) * ldx;
            if (kind == ACTS_F32) {
                float *out = (float *)(void *)base + i;
                for (size_t j = 0; j < k; j++)
                    out[j * T] = row[j];
            } else if (kind == ACTS_BLOCK) {
                for (size_t b = 0; b < k / 32; b++)
                    pack_block(row + 32 * b, (int32_t *)(void *)base + b * BLOCK_WORDS * T + i, T);
            } else {
                for (size_t b = 0; b < k / 256; b++)
                    pack_super(row + 256 * b, (int32_t *)(void *)base + b * SUPER_WORDS * T + i, T);
            }
        }
    }
}
