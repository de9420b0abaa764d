/* gemm: chains over k for a whole matrix of outputs; the products of training.
 *
 *   c[i][j] = fma(a[i][k], b[k][j], c[i][j]), k ascending
 *
 * A block of rows of `a`, a part of k long, stays in the second-level cache while panels of 16 outputs pass over it; a
 * panel's part of b stays in the first while tiles of rows pass over it. The chains rest in c between parts, so cutting
 * changes no bit. Where a's neighbours in k are apart, tiles of it are copied as [k][T]; where b is not [k][16]
 * already, panels of it are copied so. Copies of a serve every panel, copies of b every row of a block; turning b
 * costs most, so turned panels serve all rows.
 */
#include "kern/isa/isa.h"
#include "kern/isa/product.h"

enum {
    PART = 256,       /* of K: a multiple of 16 */
    ROWS_BLOCK = 240, /* of a: 240 KB of it */
    GROUP = 8,        /* panels of b that are copied at a time: 128 KB */
};
_Static_assert((ROWS_BLOCK + 16 + 16 * GROUP) * PART * 4 <= KERN_GEMM_SCRATCH, "blocks fit into the scratch");

V16_FN void tile(const int T, const float *a, size_t a_row, size_t a_k, const float *b, size_t n, float *c,
                 size_t c_row, size_t lanes, bool first) {
    v16 acc[16];
    FOR_ROWS(i, T) acc[i] = chain_load(c + (size_t)i * c_row, lanes, first);
    for (size_t k = 0; k < n; k++, a += a_k, b += 16) {
        v16 w = v16_load(b);
        FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(a[(size_t)i * a_row]), w, acc[i]);
    }
    FOR_ROWS(i, T) chain_store(c + (size_t)i * c_row, acc[i], lanes);
}

/* a_row: elements between rows; 0 says packed, [k][T]. */
typedef void gemm_tile_fn(const float *a, size_t a_row, const float *b, size_t n, float *c, size_t c_row, size_t lanes,
                          bool first);
#define TILE(type, T)                                                                                                  \
    static void tile_##T(const float *a, size_t a_row, const float *b, size_t n, float *c, size_t c_row, size_t lanes, \
                         bool first) {                                                                                 \
        if (a_row)                                                                                                     \
            tile(T, a, a_row, 1, b, n, c, c_row, lanes, first);                                                        \
        else                                                                                                           \
            tile(T, a, 1, T, b, n, c, c_row, lanes, first);                                                            \
    }
V16_TILES_FLOAT(TILE, )

static gemm_tile_fn *tile_for(size_t T) {
#define IS(type, rows) \
    if (T == (rows))   \
        return tile_##rows;
    V16_TILES_FLOAT(IS, )
    return NULL;
}

/* Four rows of four, columns first. */
typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
V16_FN void turn4(const float *from, float *to) {
    f4 a = *(const f4 *)(const void *)from, b = *(const f4 *)(const void *)(from + 16);
    f4 c = *(const f4 *)(const void *)(from + 32), d = *(const f4 *)(const void *)(from + 48);
    f4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    f4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(f4 *)(void *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(f4 *)(void *)(to + 16) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(f4 *)(void *)(to + 32) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(f4 *)(void *)(to + 48) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

/* b[k][16] of panel p, k in [from, from+n), into `to`; lanes that do not exist are zeros. */
static void take_panel(const kern_gemm *g, size_t p, size_t from, size_t n, float *to) {
    size_t lanes = g->outs - p * 16 < 16 ? g->outs - p * 16 : 16;
    if (!g->turned) {
        const float *b = g->b + p * g->b_panel + from * g->b_k;
        for (size_t k = 0; k < n; k++, b += g->b_k)
            v16_store(to + 16 * k, lanes == 16 ? v16_load(b) : v16_load_n(b, lanes));
        return;
    }
    for (size_t k = 0; k < n; k += 16) { /* from is a multiple of 16 */
        const float *b = g->b + (from + k) / 16 * g->b_panel + p * 256;
        float *out = to + 16 * k;
        if (lanes == 16) {
            for (size_t j = 0; j < 16; j += 4)
                for (size_t i = 0; i < 16; i += 4)
                    turn4(b + 16 * j + i, out + 16 * i + j);
        } else {
            for (size_t i = 0; i < 16; i++)
                for (size_t j = 0; j < 16; j++)
                    out[16 * i + j] = j < lanes ? b[16 * j + i] : 0.0f;
        }
    }
}

/* Rows [row, row+T) of a, k in [from, from+n), as [k][T]. */
static void pack_rows(const kern_gemm *g, size_t row, size_t T, size_t from, size_t n, float *to) {
    const float *a = g->a + row * g->a_row + from * g->a_k;
    if (g->a_row == 1 && T == V16_TILE_FLOAT) { /* neighbours, and as many as the compiler knows */
        for (size_t k = 0; k < n; k++, a += g->a_k, to += V16_TILE_FLOAT)
            memcpy(to, a, V16_TILE_FLOAT * sizeof *to);
        return;
    }
    for (size_t k = 0; k < n; k++, a += g->a_k, to += T)
        for (size_t i = 0; i < T; i++)
            to[i] = a[i * g->a_row];
}

typedef struct {
    const kern_gemm *g;
    float *b_part, *a_block; /* scratch: [GROUP][PART][16]; [ROWS_MAX][PART] */
    bool pack, ready;        /* rows of a are copied; b needs no copy */
} work;

/* One panel's tiles: rows [m, m+rows), k in [k, k+n). */
static void tiles(const work *w, size_t m, size_t rows, size_t k, size_t n, size_t p, const float *b) {
    const kern_gemm *g = w->g;
    size_t lanes = g->outs - p * 16 < 16 ? g->outs - p * 16 : 16;
    bool first = k == 0 && !g->go_on;
    float *c = g->c + p * g->c_panel + m * g->c_row;
    for (size_t i = 0, T; i < rows; i += T) {
        T = kern_tile(V16_TILE_FLOAT, i, rows);
        const float *a = w->pack ? w->a_block + i * n : g->a + (m + i) * g->a_row + k;
        tile_for(T)(a, w->pack ? 0 : g->a_row, b, n, c + i * g->c_row, g->c_row, lanes, first);
    }
}

/* Rows of the next block of those that are left: blocks are about equal, and whole tiles. */
static size_t block_rows(size_t left) {
    if (left <= ROWS_BLOCK)
        return left;
    size_t blocks = (left + ROWS_BLOCK - 1) / ROWS_BLOCK, even = (left + blocks - 1) / blocks;
    return (even + V16_TILE_FLOAT - 1) / V16_TILE_FLOAT * V16_TILE_FLOAT;
}

/* Rows of [m, row_end) as tiles of a, packed. */
static void pack_block(const work *w, size_t m, size_t rows, size_t k, size_t n) {
    for (size_t i = 0, T; i < rows; i += T) {
        T = kern_tile(V16_TILE_FLOAT, i, rows);
        pack_rows(w->g, m + i, T, k, n, w->a_block + i * n);
    }
}

static size_t part_of(const kern_gemm *g, size_t k) { return g->depth - k < PART ? g->depth - k : PART; }

/* A block of a at a time, every panel of b once for it. */
static void by_rows(const work *w, size_t row, size_t row_end, size_t panel, size_t panel_end) {
    const kern_gemm *g = w->g;
    for (size_t m = row, rows; m < row_end; m += rows) {
        rows = block_rows(row_end - m);
        for (size_t k = 0; k < g->depth; k += PART) {
            size_t n = part_of(g, k);
            if (w->pack)
                pack_block(w, m, rows, k, n);
            for (size_t p = panel; p < panel_end; p++) {
                const float *b = w->b_part;
                if (w->ready)
                    b = g->b + p * g->b_panel + k * 16;
                else
                    take_panel(g, p, k, n, w->b_part);
                tiles(w, m, rows, k, n, p, b);
            }
        }
    }
}

/* A group of panels at a time, for turning them costs more than reading a again. */
static void by_panels(const work *w, size_t row, size_t row_end, size_t panel, size_t panel_end) {
    const kern_gemm *g = w->g;
    for (size_t k = 0; k < g->depth; k += PART) {
        size_t n = part_of(g, k);
        for (size_t from = panel, to; from < panel_end; from = to) {
            to = panel_end - from < GROUP ? panel_end : from + GROUP;
            for (size_t p = from; p < to; p++)
                take_panel(g, p, k, n, w->b_part + (p - from) * PART * 16);
            for (size_t m = row, rows; m < row_end; m += rows) {
                rows = block_rows(row_end - m);
                if (w->pack)
                    pack_block(w, m, rows, k, n);
                for (size_t p = from; p < to; p++)
                    tiles(w, m, rows, k, n, p, w->b_part + (p - from) * PART * 16);
            }
        }
    }
}

void KERN_FN(gemm)(const kern_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end, void *scratch) {
    work w = {.g = g, .b_part = scratch, .pack = g->a_k != 1, .ready = !g->turned && g->b_k == 16};
    w.a_block = w.b_part + GROUP * PART * 16;
    if (g->depth == 0 && !g->go_on) { /* empty chains */
        for (size_t i = row; i < row_end; i++)
            for (size_t j = 16 * panel; j < 16 * panel_end && j < g->outs; j++)
                g->c[i * g->c_row + j / 16 * g->c_panel + j % 16] = 0.0f;
    } else if (g->turned) {
        by_panels(&w, row, row_end, panel, panel_end);
    } else {
        by_rows(&w, row, row_end, panel, panel_end);
    }
}
