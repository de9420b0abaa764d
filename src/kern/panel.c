/* panel: sixteen rows transposed in small units; see panel.h. */
#include "kern/panel.h"

#include <assert.h>
#include <string.h>

#include "kern/block.h"

/* A run of units inside a block. A block's segments, in panel order, cover it exactly. */
typedef struct {
    uint16_t at, bytes; /* in the stored block */
    uint8_t unit;       /* 2 or 4 bytes; 0 ends the list */
} segment;

static const segment panel_segments[DTYPE_COUNT][5] = {
    [DTYPE_F32] = {{0, 4, 4}},
    [DTYPE_F16] = {{0, 2, 2}},
    [DTYPE_BF16] = {{0, 2, 2}},
    [DTYPE_Q4_0] = {{0, 2, 2}, {2, 16, 4}},
    [DTYPE_Q4_1] = {{0, 4, 2}, {4, 16, 4}},
    [DTYPE_Q5_0] = {{0, 2, 2}, {2, 4, 4}, {6, 16, 4}},
    [DTYPE_Q5_1] = {{0, 4, 2}, {4, 4, 4}, {8, 16, 4}},
    [DTYPE_Q8_0] = {{0, 2, 2}, {2, 32, 4}},
    [DTYPE_Q2_K] = {{80, 4, 2}, {0, 16, 4}, {16, 64, 4}},
    [DTYPE_Q3_K] = {{108, 2, 2}, {96, 12, 4}, {0, 32, 4}, {32, 64, 4}},
    [DTYPE_Q4_K] = {{0, 4, 2}, {4, 12, 4}, {16, 128, 4}},
    [DTYPE_Q5_K] = {{0, 4, 2}, {4, 12, 4}, {16, 32, 4}, {48, 128, 4}},
    [DTYPE_Q6_K] = {{208, 2, 2}, {192, 16, 4}, {0, 128, 4}, {128, 64, 4}},
};

size_t panel_bytes(dtype t, size_t rows, size_t cols) {
    return (rows + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS * dtype_row_bytes(t, cols);
}

static int fifth_bits_at(dtype t) { return t == DTYPE_Q5_0 ? 2 : t == DTYPE_Q5_1 ? 4 : -1; }

/* Bit 4g+i to bit 8i+g (spread), or back. */
static uint32_t fifth_bits(uint32_t v, int spread) {
    uint32_t out = 0;
    for (int i = 0; i < 4; i++) {
        if (spread) { /* bits i of the eight nibbles move together into byte i */
            uint32_t x = v >> i & 0x11111111;
            x = (x | x >> 3) & 0x03030303;
            x = (x | x >> 6) & 0x000f000f;
            out |= ((x | x >> 12) & 0xff) << 8 * i;
        } else {
            uint32_t x = v >> 8 * i & 0xff;
            x = (x | x << 12) & 0x000f000f;
            x = (x | x << 6) & 0x03030303;
            out |= ((x | x << 3) & 0x11111111) << i;
        }
    }
    return out;
}

/* Bytes of the scales of sixteen blocks: the first segment, where there are two at least. */
static size_t scales_bytes(dtype t) { return panel_segments[t][1].unit ? (size_t)panel_segments[t][0].bytes * 16 : 0; }

void panel_pack(dtype t, const uint8_t *const row[PANEL_ROWS], size_t cols, uint8_t *out, size_t i_panel) {
    size_t block_bytes = dtype_table[t].block_bytes, n_blocks = cols / dtype_table[t].block_elems;
    uint8_t *panel = out + i_panel * PANEL_ROWS * dtype_row_bytes(t, cols);
    for (size_t b = 0; b < n_blocks; b++) {
        panel_place place = panel_block(b, n_blocks, scales_bytes(t), PANEL_ROWS * block_bytes);
        uint8_t *to = panel + (scales_bytes(t) ? place.scales : place.rest);
        for (const segment *s = panel_segments[t]; s->unit; s++) {
            for (unsigned u = 0; u < s->bytes; u += s->unit)
                for (int r = 0; r < PANEL_ROWS; r++, to += s->unit) {
                    if (!row[r])
                        memset(to, 0, s->unit);
                    else if (s->unit == 4)
                        memcpy(to, row[r] + b * block_bytes + s->at + u, 4);
                    else
                        memcpy(to, row[r] + b * block_bytes + s->at + u, 2);
                }
            if (s == panel_segments[t] && scales_bytes(t))
                to = panel + place.rest;
            if (s->at == fifth_bits_at(t) && s->unit == 4)
                for (int r = 0; r < PANEL_ROWS; r++) {
                    uint32_t v;
                    memcpy(&v, to - 64 + 4 * r, 4);
                    v = fifth_bits(v, 1);
                    memcpy(to - 64 + 4 * r, &v, 4);
                }
        }
    }
}

/* n elements of 2 or 4 bytes, of sixteen rows' beside each other. */
static void pick_elements(const uint8_t *from, size_t bytes, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n && bytes == 4; i++)
        memcpy(out + 4 * i, from + PANEL_ROWS * 4 * i, 4);
    for (size_t i = 0; i < n && bytes == 2; i++)
        memcpy(out + 2 * i, from + PANEL_ROWS * 2 * i, 2);
}

void panel_unpack_row(dtype t, const uint8_t *packed, size_t cols, size_t row, size_t from, size_t to, uint8_t *out) {
    size_t block_bytes = dtype_table[t].block_bytes, lane = row % PANEL_ROWS,
           n_blocks = cols / dtype_table[t].block_elems;
    const uint8_t *panel = packed + row / PANEL_ROWS * PANEL_ROWS * dtype_row_bytes(t, cols);
    assert(from <= to && to <= n_blocks);
    if (dtype_table[t].block_elems == 1) {
        pick_elements(panel + (from * PANEL_ROWS + lane) * block_bytes, block_bytes, to - from, out);
        return;
    }
    for (size_t b = from; b < to; b++, out += block_bytes) {
        panel_place place = panel_block(b, n_blocks, scales_bytes(t), PANEL_ROWS * block_bytes);
        const uint8_t *p = panel + (scales_bytes(t) ? place.scales : place.rest);
        for (const segment *s = panel_segments[t]; s->unit; s++) {
            for (unsigned u = 0; u < s->bytes; u += s->unit, p += PANEL_ROWS * s->unit)
                memcpy(out + s->at + u, p + lane * s->unit, s->unit);
            if (s == panel_segments[t] && scales_bytes(t))
                p = panel + place.rest;
            if (s->at == fifth_bits_at(t) && s->unit == 4) {
                uint32_t v;
                memcpy(&v, out + s->at, 4);
                v = fifth_bits(v, 0);
                memcpy(out + s->at, &v, 4);
            }
        }
    }
}

void panel_dequantise_row(dtype t, const uint8_t *packed, size_t cols, size_t row, float *out) {
    uint8_t piece[1024];
    size_t elems = dtype_table[t].block_elems, n = cols / elems, most = sizeof piece / dtype_table[t].block_bytes;
    for (size_t b = 0, end; b < n; b = end) {
        end = n - b < most ? n : b + most;
        panel_unpack_row(t, packed, cols, row, b, end, piece);
        block_dequantise(t, piece, (end - b) * elems, out + b * elems);
    }
}
