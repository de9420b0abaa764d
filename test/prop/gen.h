/* gen: inputs for the property tests, all from base/rng, so that every machine makes the same ones. */
#ifndef LOAM_TEST_GEN_H
#define LOAM_TEST_GEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kern/kern.h"
#include "kern/panel.h"

#define GEN static inline __attribute__((unused))

/* The tables to test: those that this CPU runs, scalar last. LOAM_TEST_ISA=avx512 or =neon,scalar: just these, and a
 * failure when the CPU runs one of them not. Says on standard error which they are. */
GEN int gen_isas(const kern_ops *out[8]) {
    const char *asked = getenv("LOAM_TEST_ISA");
    int n = 0;
    if (!asked || !*asked) {
        for (const char *const *name = kern_isa_names(); *name; name++)
            if (kern_isa_usable(*name))
                out[n++] = kern_select(*name);
        asked = "";
    }
    while (*asked) {
        size_t len = strcspn(asked, ",");
        char name[16] = {0};
        memcpy(name, asked, len < sizeof name ? len : sizeof name - 1);
        if (n == 8 || !(out[n++] = kern_select(name))) {
            fprintf(stderr, "LOAM_TEST_ISA: this CPU does not run %s\n", name);
            abort();
        }
        asked += len + (asked[len] == ',');
    }
    for (int i = 0; i < n; i++)
        fprintf(stderr, "%s%s%s", i ? " " : "# isa ", out[i]->isa, i == n - 1 ? "\n" : "");
    return n;
}

/* Whether to run the next case: all of them, or LOAM_TEST_SHARE=7: one of seven, for emulators. */
GEN bool gen_case(void) {
    static unsigned long share, i_case;
    if (!share) {
        const char *asked = getenv("LOAM_TEST_SHARE");
        share = asked ? strtoul(asked, NULL, 10) : 1;
        share += !share;
    }
    return i_case++ % share == 0;
}

GEN void *gen_alloc(size_t bytes) { /* 64-byte aligned, exactly so long that a sanitiser sees what lies beyond */
    void *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!p)
        abort();
    return p;
}

/* In (-1, 1) times a power of two from 2^-6 to 2^1: sums round. */
GEN float gen_f32(uint64_t seed, uint64_t i) {
    uint64_t u = rng_u64(seed, RNG_TEST, i);
    float v = (float)(u & 0xffffff) * 0x1p-23f - 1.0f;
    uint32_t e = (uint32_t)(u >> 32) % 8 + 121;
    float p;
    e <<= 23;
    memcpy(&p, &e, sizeof p);
    return v * p;
}
GEN void gen_row(uint64_t seed, float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = gen_f32(seed, i);
}

/* Any bits, and every other one a special value. */
GEN float gen_wild(uint64_t seed, uint64_t i) {
    static const uint32_t special[] = {0,          0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                       0xffc00000, 0x7f800001, 1,          0x80000001, 0x007fffff,
                                       0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f800000, 0x0d800000,
                                       0x0d7fffff, 0x47ffefff, 0x47800000, 0x42b00000, 0xc2d00000};
    uint64_t u = rng_u64(seed, RNG_TEST, i);
    uint32_t bits = u >> 63 ? special[(u >> 32) % (sizeof special / sizeof *special)] : (uint32_t)u;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Stored blocks: random bytes; halves that are scales get a plain exponent unless `wild`. */
GEN void gen_blocks(dtype t, uint64_t seed, bool wild, uint8_t *out, size_t n_blocks) {
    static const struct {
        uint8_t at[2], n;
    } half[DTYPE_COUNT] = {
        [DTYPE_F16] = {{0}, 1},     [DTYPE_Q4_0] = {{0}, 1},    [DTYPE_Q4_1] = {{0, 2}, 2},   [DTYPE_Q5_0] = {{0}, 1},
        [DTYPE_Q5_1] = {{0, 2}, 2}, [DTYPE_Q8_0] = {{0}, 1},    [DTYPE_Q2_K] = {{80, 82}, 2}, [DTYPE_Q3_K] = {{108}, 1},
        [DTYPE_Q4_K] = {{0, 2}, 2}, [DTYPE_Q5_K] = {{0, 2}, 2}, [DTYPE_Q6_K] = {{208}, 1},
    };
    size_t bytes = dtype_table[t].block_bytes;
    for (size_t b = 0; b < n_blocks; b++, out += bytes) {
        for (size_t i = 0; i < bytes; i += 8) {
            uint64_t u = rng_u64(seed, RNG_TEST, b * 64 + i / 8);
            memcpy(out + i, &u, bytes - i < 8 ? bytes - i : 8);
        }
        if (wild)
            continue;
        if (t == DTYPE_F32) {
            float f = gen_f32(seed, b);
            memcpy(out, &f, 4);
        } else if (t == DTYPE_BF16) {
            out[1] = (uint8_t)((out[1] & 0x80) | 0x3d); /* around 1/16 .. 1/4 */
        }
        for (int i = 0; i < half[t].n; i++) {
            uint8_t *p = out + half[t].at[i];
            unsigned e = 6 + p[1] / 4 % 8;
            p[1] = (uint8_t)((p[1] & 0x83) | e << 2);
        }
    }
}

/* A packed matrix of stored rows. */
GEN uint8_t *gen_pack(dtype t, const uint8_t *stored, size_t rows, size_t k) {
    size_t row_bytes = dtype_row_bytes(t, k);
    uint8_t *packed = gen_alloc(panel_bytes(t, rows, k));
    for (size_t p = 0; p * PANEL_ROWS < rows; p++) {
        const uint8_t *row[PANEL_ROWS];
        for (size_t r = 0; r < PANEL_ROWS; r++)
            row[r] = p * PANEL_ROWS + r < rows ? stored + (p * PANEL_ROWS + r) * row_bytes : NULL;
        panel_pack(t, row, k, packed, p);
    }
    return packed;
}

/* Packed activations of n rows. */
GEN void *gen_acts(const kern_ops *o, acts_kind kind, const float *x, size_t ldx, size_t n, size_t k) {
    void *acts = gen_alloc(kern_acts_bytes(kind, n, k));
    o->acts_pack(kind, x, ldx, n, k, 0, n, acts);
    return acts;
}

/* ---- keys and values ---- */

typedef struct {
    size_t positions, K, W;
    bool f16;
    void *k, *v;
} gen_cache;

GEN gen_cache gen_cache_of(const kern_ops *o, uint64_t seed, size_t positions, size_t K, bool f16) {
    gen_cache c = {.positions = (positions + 63) / 64 * 64, .K = K, .W = (K + 15) / 16 * 16, .f16 = f16};
    size_t nk = c.positions * K, nv = c.positions * c.W;
    float *k = gen_alloc(nk * 4), *v = gen_alloc(nv * 4);
    gen_row(seed, k, nk);
    gen_row(seed + 1, v, nv);
    c.k = k;
    c.v = v;
    if (f16) {
        uint16_t *hk = gen_alloc(nk * 2), *hv = gen_alloc(nv * 2);
        o->to_f16(k, nk, hk);
        o->to_f16(v, nv, hv);
        free(k);
        free(v);
        c.k = hk;
        c.v = hv;
    }
    return c;
}
GEN void gen_cache_free(gen_cache *c) {
    free(c->k);
    free(c->v);
}
GEN kern_kv gen_kv(const gen_cache *c) {
    return (kern_kv){.k = c->k, .v = c->v, .f16 = c->f16, .width = c->K, .v_stride = c->W};
}
GEN size_t gen_kv_at(const gen_cache *c, bool value, size_t j, size_t d) {
    return value ? j * c->W + d : j / 16 * 16 * c->K + 16 * d + j % 16;
}

#endif
