/* product: a matrix product cut into tiles.
 *
 * Loop order: parts of K, panels, chunks of the panel where the weights are quantised (chunk.h), tiles. A part of K is
 * so long that its packed activations stay in the second-level cache while every panel of the thread's share passes
 * over them; the chains rest in y between parts and chunks.
 */
#include "kern/isa/product.h"
#include "kern/isa/chunk.h"
#include "kern/isa/isa.h"

enum { PART_BYTES = 384 << 10, PART_ELEMS_MIN = 512 };

kind_info KERN_FN(kind_info)(acts_kind kind) {
    switch (kind) {
    case ACTS_BLOCK:
        return (kind_info){32, BLOCK_WORDS, V16_TILE_BLOCK};
    case ACTS_BYTES:
        return (kind_info){32, BYTES_WORDS, V16_TILE_BLOCK};
    case ACTS_SUPER:
        return (kind_info){256, SUPER_WORDS, V16_TILE_SUPER};
    default:
        return (kind_info){1, 1, V16_TILE_FLOAT};
    }
}

/* Elements of a part of K: all of it when the activations are few, else whole chunks, of which neighbours share their
 * places (panel.h). */
static size_t part_elems(kind_info kind, size_t n, size_t k) {
    size_t part = PART_BYTES / (4 * kind.words * n) * kind.block, grain = 2 * CHUNK_ELEMS;
    if (part < PART_ELEMS_MIN)
        part = PART_ELEMS_MIN;
    if (part >= k)
        return k;
    size_t parts = (k + part - 1) / part;
    return ((k + parts - 1) / parts + grain - 1) / grain * grain;
}

/* Everything about one call. */
typedef struct {
    dtype type;
    kind_info kind;
    size_t blocks; /* of a row */
    const void *acts;
    size_t n, ldy;
} product_call;

/* Packed activations of the tile of T rows from row i, from block b on. */
static const void *tile_acts(const product_call *c, size_t i, size_t T, size_t b) {
    return (const uint32_t *)c->acts + (i * c->blocks + b * T) * c->kind.words;
}

/* One panel over blocks [b, b+len), straight from the panel. */
static void float_panel(const product_call *c, const uint8_t *panel, size_t b, size_t len, float *y, size_t lanes) {
    for (size_t i = 0, T; i < c->n; i += T) {
        T = kern_tile(c->kind.tile, i, c->n);
        KERN_FN(product_float)(c->type, T)(panel, tile_acts(c, i, T, b), len, y + i * c->ldy, c->ldy, lanes, b == 0);
    }
}

/* Weights that come from memory are asked for one chunk ahead: while a chunk is multiplied, nothing else would. */
static void fetch(const uint8_t *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(p + i);
}

/* The same of quantised weights, chunk by chunk. */
static void chunk_panel(const product_call *c, const uint8_t *panel, size_t b, size_t len, float *y, size_t lanes) {
    size_t step = CHUNK_ELEMS / c->kind.block;
    chunk w;
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        size_t bytes = PANEL_ROWS * dtype_table[c->type].block_bytes;
        KERN_FN(chunk_expand)(c->type, panel, at, n, len, &w);
        fetch(panel + (at + n) * bytes, n * bytes);
        for (size_t i = 0, T; i < c->n; i += T) {
            T = kern_tile(c->kind.tile, i, c->n);
            chunk_fn *fn = step == 1 ? KERN_FN(product_super)(c->type, T) : KERN_FN(product_block)(c->type, T);
            fn(&w, tile_acts(c, i, T, b + at), n, y + i * c->ldy, c->ldy, lanes, b + at == 0);
        }
    }
}

void KERN_FN(product)(dtype t, const uint8_t *packed, size_t rows, size_t k, size_t from, size_t to, const void *acts,
                      size_t n, float *y, size_t ldy) {
    acts_kind kind = kern_acts_kind(t);
    product_call c = {t, KERN_FN(kind_info)(kind), 0, acts, n, ldy};
    size_t row_bytes = dtype_row_bytes(t, k), part = part_elems(c.kind, n, k) / c.kind.block;
    c.blocks = k / c.kind.block;
    for (size_t b = 0; b < c.blocks; b += part) {
        size_t len = b + part < c.blocks ? part : c.blocks - b;
        for (size_t p = from; p < to && p * PANEL_ROWS < rows; p++) {
            const uint8_t *panel = packed + PANEL_ROWS * (p * row_bytes + b * dtype_table[t].block_bytes);
            size_t lanes = rows - p * PANEL_ROWS < PANEL_ROWS ? rows - p * PANEL_ROWS : PANEL_ROWS;
            (kind == ACTS_F32 ? float_panel : chunk_panel)(&c, panel, b, len, y + p * PANEL_ROWS, lanes);
        }
    }
}
