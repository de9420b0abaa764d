/* product: a matrix product cut into tiles.
 *
 * Weights in binary32 or halves: parts of K, panels, tiles. A part of K is so long that its packed activations stay in
 * the second-level cache while every panel of the thread's share passes over them; the chains rest in y between parts.
 *
 * Quantised weights: slabs of rows, a few panels together, chunks of them (chunk.h), tiles. Activations that a tile has
 * brought into the first-level cache serve all panels that go together. The chains rest in a buffer between chunks:
 * rows of y are often a power of two apart, and then compete for a few places of every cache.
 */
#include "kern/isa/product.h"
#include "kern/isa/chunk.h"
#include "kern/isa/isa.h"

enum { PART_BYTES = 384 << 10, PART_ELEMS_MIN = 512, SLAB = 512, TOGETHER = 3, FEW = 8 };

kind_info KERN_FN(kind_info)(acts_kind kind) {
    switch (kind) {
    case ACTS_BLOCK:
        return (kind_info){32, BLOCK_WORDS, V16_TILE_BLOCK};
    case ACTS_SUPER:
        return (kind_info){256, SUPER_WORDS, V16_TILE_SUPER};
    default:
        return (kind_info){1, 1, V16_TILE_FLOAT};
    }
}

/* One call. */
typedef struct {
    dtype type;
    kind_info kind;
    const uint8_t *packed;
    size_t rows, blocks, block_bytes; /* of w: rows, blocks of a row, bytes of a block */
    size_t sub;                       /* elements of a sub-block; 0: there are none */
    const void *acts;
    size_t n, ldy; /* rows of activations and of y */
    float *y;
} call;

/* Block b of panel p. */
static const uint8_t *panel_at(const call *c, size_t p, size_t b) {
    return c->packed + PANEL_ROWS * (p * c->blocks + b) * c->block_bytes;
}
/* Packed activations of the tile of T rows from row i, from block b on. */
static const void *acts_at(const call *c, size_t i, size_t T, size_t b) {
    return (const uint32_t *)c->acts + (i * c->blocks + b * T) * c->kind.words;
}
static float *y_at(const call *c, size_t i, size_t p) { return c->y + i * c->ldy + p * PANEL_ROWS; }
static size_t lanes_of(const call *c, size_t p) {
    size_t left = c->rows - p * PANEL_ROWS;
    return left < PANEL_ROWS ? left : PANEL_ROWS;
}

static void float_product(const call *c, size_t from, size_t to) {
    size_t part = PART_BYTES / (4 * c->n);
    part = part < PART_ELEMS_MIN ? PART_ELEMS_MIN : part;
    for (size_t k = 0; k < c->blocks; k += part) {
        size_t len = k + part < c->blocks ? part : c->blocks - k;
        for (size_t p = from; p < to; p++)
            for (size_t i = 0, T; i < c->n; i += T) {
                T = kern_tile(c->kind.tile, i, c->n);
                KERN_FN(product_float)
                (c->type, T)(panel_at(c, p, k), acts_at(c, i, T, k), len, y_at(c, i, p), c->ldy, lanes_of(c, p),
                             k == 0);
            }
    }
}

/* What follows n blocks from block b of panel p on, to be asked for by `tiles` tiles over these blocks. */
static chunk_ahead ahead_of(const call *c, size_t p, size_t b, size_t n, size_t tiles) {
    size_t step = CHUNK_ELEMS / c->kind.block, left = b + n < c->blocks ? c->blocks - b - n : c->blocks;
    size_t bytes = PANEL_ROWS * (left < step ? left : step) * c->block_bytes;
    size_t parts = tiles * (c->sub ? CHUNK_ELEMS / c->sub : n);
    const uint8_t *next = panel_at(c, p, b + n);
    return (chunk_ahead){next, next, (bytes + parts - 1) / parts};
}

/* Panels [p, p + n_panels), TOGETHER at most, of rows [from, to), SLAB at most. */
static void chunk_product(const call *c, size_t p, size_t n_panels, size_t from, size_t to) {
    size_t step = CHUNK_ELEMS / c->kind.block, tiles = 0;
    chunk w[TOGETHER];
    chunk_ahead ahead[TOGETHER];
    v16 chain[TOGETHER][SLAB];
    for (size_t q = 0; q < n_panels; q++)
        for (size_t i = from; i < to; i++)
            chain[q][i - from] = v16_zero();
    for (size_t i = from; i < to; i += kern_tile(c->kind.tile, i, c->n))
        tiles++;
    for (size_t b = 0; b < c->blocks; b += step) {
        size_t n = c->blocks - b < step ? c->blocks - b : step;
        for (size_t q = 0; q < n_panels; q++) {
            KERN_FN(chunk_expand)(c->type, panel_at(c, p + q, 0), b, n, c->blocks, &w[q]);
            ahead[q] = ahead_of(c, p + q, b, n, tiles);
        }
        for (size_t i = from, T; i < to; i += T) {
            T = kern_tile(c->kind.tile, i, c->n);
            chunk_fn *fn = step == 1 ? KERN_FN(product_super)(c->type, T) : KERN_FN(product_block)(c->type, T);
            for (size_t q = 0; q < n_panels; q++)
                fn(&w[q], acts_at(c, i, T, b), n, &ahead[q], chain[q] + (i - from));
        }
    }
    for (size_t q = 0; q < n_panels; q++)
        for (size_t i = from; i < to; i++)
            chain_store(y_at(c, i, p + q), chain[q][i - from], lanes_of(c, p + q));
}

void KERN_FN(product)(dtype t, const uint8_t *packed, size_t rows, size_t k, size_t from, size_t to, const void *acts,
                      size_t n, float *y, size_t ldy) {
    acts_kind kind = kern_acts_kind(t);
    kind_info info = KERN_FN(kind_info)(kind);
    size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS, slab = SLAB / (size_t)info.tile * (size_t)info.tile;
    size_t sub = info.block == CHUNK_ELEMS ? (size_t)chunk_format_of(t).sub : 0;
    call c = {t, info, packed, rows, k / info.block, dtype_table[t].block_bytes, sub, acts, n, ldy, y};
    to = to < panels ? to : panels;
    if (kind == ACTS_F32) {
        float_product(&c, from, to);
        return;
    }
    if (n == 1 && info.block == 32) {
        for (size_t p = from; p < to; p++) {
            v16 chain;
            KERN_FN(product_block_row)(t)(panel_at(&c, p, 0), acts, c.blocks, &chain);
            chain_store(y_at(&c, 0, p), chain, lanes_of(&c, p));
        }
        return;
    }
    /* Few rows leave the work to the memory, which is fastest when one panel comes after the other. */
    size_t together = n <= FEW ? 1 : TOGETHER;
    for (size_t i = 0; i < n; i += slab)
        for (size_t p = from; p < to; p += together)
            chunk_product(&c, p, to - p < together ? to - p : together, i, n - i < slab ? n : i + slab);
}
