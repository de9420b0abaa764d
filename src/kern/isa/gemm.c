/* gemm: chains over k for a whole matrix of outputs; the products of training.
 *
 *   c[i][j] = fma(a[i][k], b[k][j], c[i][j]), k ascending
 *
 * A block of rows of `a`, a part of k long, is copied tile by tile, so that a tile is one run of memory, and stays in
 * the second-level cache while panels of 16 outputs pass over it; a panel's part of b stays in the first while tiles of
 * rows pass over it. The chains rest in c between parts, so cutting changes no bit. Where b is not [k][16] already,
 * panels of it are copied so. Copies of a serve every panel, copies of b every row of a block; turning b costs most, so
 * turned panels serve all rows. Whatever comes next (a tile, its chains, a panel) is asked for while a tile is
 * computed.
 */
#include "kern/isa/isa.h"
#include "kern/isa/product.h"

enum {
    PART = 256,       /* of K: a multiple of STEPS */
    ROWS_BLOCK = 180, /* of a: 180 KB of it */
    GROUP = 12,       /* panels of b that are copied at a time: 192 KB */
    STEPS = 16,       /* of k that a tile takes together */
};
_Static_assert((ROWS_BLOCK + 16 + 16 * GROUP) * PART * 4 <= KERN_GEMM_SCRATCH, "blocks fit into the scratch");
_Static_assert(PART % STEPS == 0 && STEPS % 16 == 0, "a step is whole lines of a turned panel, a part whole steps");

/* Elements of a tile's copy from one k to the next, and from one row to the next, within STEPS of k: all rows of a k
 * side by side, or all k's of a row. */
#define BY_STEP(T) (T), 1
#define BY_ROW(T) 1, STEPS

/* Elements of a tile's copy: a run of STEPS is never cut. */
static size_t copy_elems(size_t T, size_t n) { return T * ((n + STEPS - 1) / STEPS * STEPS); }

/* T rows of a against [k][16]. Beside the multiply-adds stands as little as possible: that is what a tile suffers from
 * when the core is shared. */
V16_FN void tile(const int T, const int a_k, const int a_row, const float *a, const float *b, size_t n, float *c,
                 size_t c_row, size_t lanes, bool first) {
    v16 acc[16];
    const float *next = a + copy_elems((size_t)T, n);
    size_t k = 0;
    FOR_ROWS(i, T) acc[i] = chain_load(c + (size_t)i * c_row, lanes, first);
    FOR_ROWS(i, T) __builtin_prefetch(c + (size_t)(T + i) * c_row, 1);
    for (; k + STEPS <= n; k += STEPS, a += STEPS * T, b += STEPS * 16, next += STEPS * T)
        FOR_ROWS(s, STEPS) {
            if (s < T)
                __builtin_prefetch(next + 16 * s);
            v16 w = v16_load(b + 16 * s);
            FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(a[s * a_k + i * a_row]), w, acc[i]);
        }
    for (; k < n; k++, a += a_k, b += 16) {
        v16 w = v16_load(b);
        FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(a[i * a_row]), w, acc[i]);
    }
    FOR_ROWS(i, T) chain_store(c + (size_t)i * c_row, acc[i], lanes);
}

typedef void gemm_tile_fn(const float *a, const float *b, size_t n, float *c, size_t c_row, size_t lanes, bool first);
#define TILE(layout, T)                                                                                             \
    static void tile_##layout##_##T(const float *a, const float *b, size_t n, float *c, size_t c_row, size_t lanes, \
                                    bool first) {                                                                   \
        tile(T, layout(T), a, b, n, c, c_row, lanes, first);                                                        \
    }
V16_TILES_FLOAT(TILE, BY_STEP)
V16_TILES_FLOAT(TILE, BY_ROW)

static gemm_tile_fn *tile_for(size_t T, bool by_step) {
#define IS(layout, rows)                       \
    if (T == (rows) && by_step == IS_##layout) \
        return tile_##layout##_##rows;
    enum { IS_BY_ROW, IS_BY_STEP };
    V16_TILES_FLOAT(IS, BY_STEP)
    V16_TILES_FLOAT(IS, BY_ROW)
    return NULL;
}

/* Four rows of four, columns first. */
typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
V16_FN void turn4(const float *from, size_t from_row, float *to, size_t to_row) {
    f4 a = *(const f4 *)(const void *)from, b = *(const f4 *)(const void *)(from + from_row);
    f4 c = *(const f4 *)(const void *)(from + 2 * from_row), d = *(const f4 *)(const void *)(from + 3 * from_row);
    f4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    f4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(f4 *)(void *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(f4 *)(void *)(to + to_row) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(f4 *)(void *)(to + 2 * to_row) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(f4 *)(void *)(to + 3 * to_row) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
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
                    turn4(b + 16 * j + i, 16, out + 16 * i + j, 16);
        } else {
            for (size_t i = 0; i < 16; i++)
                for (size_t j = 0; j < 16; j++)
                    out[16 * i + j] = j < lanes ? b[16 * j + i] : 0.0f;
        }
    }
}

/* Rows [row, row+T) of a, k in [from, from+n), by steps: rows are neighbours. */
static void pack_by_step(const kern_gemm *g, size_t row, size_t T, size_t from, size_t n, float *to) {
    const float *a = g->a + row + from * g->a_k;
    if (T == V16_TILE_FLOAT) /* as many as the compiler knows */
        for (size_t k = 0; k < n; k++, a += g->a_k, to += V16_TILE_FLOAT)
            memcpy(to, a, V16_TILE_FLOAT * sizeof *to);
    else
        for (size_t k = 0; k < n; k++, a += g->a_k, to += T)
            memcpy(to, a, T * sizeof *to);
}

/* The same by rows: k's are neighbours. */
static void pack_by_row(const kern_gemm *g, size_t row, size_t T, size_t from, size_t n, float *to) {
    const float *a = g->a + row * g->a_row + from;
    for (size_t k = 0; k < n; k += STEPS, a += STEPS, to += STEPS * T)
        for (size_t i = 0; i < T; i++)
            if (n - k >= STEPS)
                memcpy(to + i * STEPS, a + i * g->a_row, STEPS * sizeof *to);
            else
                memcpy(to + i * STEPS, a + i * g->a_row, (n - k) * sizeof *to);
}

typedef struct {
    const kern_gemm *g;
    float *b_part, *a_block; /* scratch: [GROUP][PART][16]; tiles of a block */
    bool by_step, ready;     /* how tiles are copied; b needs no copy */
} work;

/* Asks for k of panel p of b: one line of the cache. */
V16_FN void ask_for(const kern_gemm *g, size_t p, size_t k) {
    const float *b =
        g->turned ? g->b + k / 16 * g->b_panel + p * 256 + k % 16 * 16 : g->b + p * g->b_panel + k * g->b_k;
    __builtin_prefetch(b, 0, 2);
}

/* One panel's tiles: rows [m, m+rows), k in [k, k+n). next: the panel to ask for meanwhile, 0: none. */
static void tiles(const work *w, size_t m, size_t rows, size_t k, size_t n, size_t p, const float *b, size_t next) {
    const kern_gemm *g = w->g;
    size_t lanes = g->outs - p * 16 < 16 ? g->outs - p * 16 : 16;
    bool first = k == 0 && !g->go_on;
    float *c = g->c + p * g->c_panel + m * g->c_row;
    size_t each = (n * V16_TILE_FLOAT + rows - 1) / rows, asked = next ? 0 : n;
    for (size_t i = 0, T; i < rows; i += T) {
        T = kern_tile(V16_TILE_FLOAT, i, rows);
        for (size_t end = asked + each < n ? asked + each : n; asked < end; asked++)
            ask_for(g, next, k + asked);
        tile_for(T, w->by_step)(w->a_block + copy_elems(i, n), b, n, c + i * g->c_row, g->c_row, lanes, first);
    }
}

/* Rows of the next block of those that are left: blocks are about equal, and whole tiles. */
static size_t block_rows(size_t left) {
    if (left <= ROWS_BLOCK)
        return left;
    size_t blocks = (left + ROWS_BLOCK - 1) / ROWS_BLOCK, even = (left + blocks - 1) / blocks;
    return (even + V16_TILE_FLOAT - 1) / V16_TILE_FLOAT * V16_TILE_FLOAT;
}

/* Rows [m, m+rows), tile by tile. */
static void pack_block(const work *w, size_t m, size_t rows, size_t k, size_t n) {
    for (size_t i = 0, T; i < rows; i += T) {
        T = kern_tile(V16_TILE_FLOAT, i, rows);
        (w->by_step ? pack_by_step : pack_by_row)(w->g, m + i, T, k, n, w->a_block + copy_elems(i, n));
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
            pack_block(w, m, rows, k, n);
            for (size_t p = panel; p < panel_end; p++) {
                const float *b = w->b_part;
                if (w->ready)
                    b = g->b + p * g->b_panel + k * 16;
                else
                    take_panel(g, p, k, n, w->b_part);
                tiles(w, m, rows, k, n, p, b, p + 1 < panel_end ? p + 1 : 0);
            }
        }
    }
}

/* A group of panels at a time, for turning them costs more than copying a again. */
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
                bool last = m + rows == row_end;
                pack_block(w, m, rows, k, n);
                for (size_t p = from; p < to; p++)
                    tiles(w, m, rows, k, n, p, w->b_part + (p - from) * PART * 16,
                          last && p + GROUP < panel_end ? p + GROUP : 0);
            }
        }
    }
}

void KERN_FN(gemm)(const kern_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end, void *scratch) {
    work w = {.g = g, .b_part = scratch, .by_step = g->a_row == 1, .ready = !g->turned && g->b_k == 16};
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
