/* test_kern: every kernel of every instruction set equals the oracle bit for bit (doc/arithmetic.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kern/block.h"
#include "kern/half.h"
#include "prop/gen.h"
#include "prop/oracle.h"

static const kern_ops *isa[8];
static int n_isas;

/* NaNs count as equal: which bits a NaN has is no part of the arithmetic before `canonical`. */
static void same(const char *what, const kern_ops *o, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (o_bits(a[i]) != o_bits(b[i]) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s, %s: element %zu is %a, must be %a", what, o->isa, i, (double)a[i], (double)b[i]);
}

/* ---- products ---- */

static const uint32_t UNTOUCHED = 0x7f812345;

static void product_case(dtype t, size_t rows, size_t k, size_t n, bool wild, uint64_t seed) {
    if (!gen_case())
        return;
    const dtype_info *info = &dtype_table[t];
    size_t row_bytes = dtype_row_bytes(t, k), ldx = k + 3, ldy = (rows + 15) / 16 * 16 + 5;
    uint8_t *stored = malloc(rows * row_bytes);
    float *x = malloc(n * ldx * 4), *want = malloc(n * rows * 4), *y = malloc(n * ldy * 4);
    gen_blocks(t, seed, wild, stored, rows * k / info->block_elems);
    for (size_t i = 0; i < n * ldx; i++)
        x[i] = wild ? gen_wild(seed + 1, i) : gen_f32(seed + 1, i);
    if (wild) /* some blocks without infinities and NaN, so that their numbers count */
        for (size_t i = 0; i < n * ldx; i++)
            if (i / 300 % 2 && !(fabsf(x[i]) < 1e30f))
                x[i] = gen_f32(seed + 2, i) * (i / 600 % 2 ? 1e-29f : 1e20f);
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < rows; r++)
            want[i * rows + r] = o_product(info->name, stored + r * row_bytes, info->block_bytes, k, x + i * ldx);
    uint8_t *packed = gen_pack(t, stored, rows, k);
    acts_kind kind = kern_acts_kind(t);
    size_t panels = (rows + 15) / 16;
    for (int s = 0; s < n_isas; s++) {
        void *acts = gen_acts(isa[s], kind, x, ldx, n, k);
        for (int turn = 0; turn < 2; turn++) { /* all panels, then a random run of them */
            size_t from = turn ? rng_below(seed, RNG_TEST, 7, panels) : 0;
            size_t to = turn ? from + 1 + rng_below(seed, RNG_TEST, 8, panels - from) : panels;
            size_t last = 16 * to < rows ? 16 * to : rows;
            for (size_t i = 0; i < n * ldy; i++)
                memcpy(y + i, &UNTOUCHED, 4);
            isa[s]->product(t, packed, rows, k, from, to, acts, n, y, ldy);
            for (size_t i = 0; i < n; i++) {
                same(info->name, isa[s], y + i * ldy + 16 * from, want + i * rows + 16 * from, last - 16 * from);
                for (size_t r = 0; r < ldy; r++)
                    if (r < 16 * from || r >= last)
                        assert_memory_equal(y + i * ldy + r, &UNTOUCHED, 4);
            }
        }
        free(acts);
        if (n > 1 && (n < 5 || rows * k * n < 200000)) { /* a row of a batch equals that row alone */
            for (size_t i = 0; i < n; i++) {
                acts = gen_acts(isa[s], kind, x + i * ldx, ldx, 1, k);
                isa[s]->product(t, packed, rows, k, 0, panels, acts, 1, y, ldy);
                same(info->name, isa[s], y, want + i * rows, rows);
                free(acts);
            }
        }
    }
    free(packed);
    free(stored);
    free(x);
    free(want);
    free(y);
}

static void products_equal_the_oracle(void **state) {
    (void)state;
    static const size_t some_n[] = {1, 2, 3, 5, 7, 8, 13, 14, 15, 29, 40};
    for (int t = 0; t < DTYPE_COUNT; t++) {
        size_t block = dtype_table[t].block_elems;
        for (size_t rows = 1; rows <= 40; rows += rows < 18 ? 1 : 7)
            product_case((dtype)t, rows, block == 1 ? 37 : block * 2, 1 + rows % 3, false, 100 + rows);
        for (size_t i = 0; i < sizeof some_n / sizeof *some_n; i++)
            product_case((dtype)t, 20, block == 1 ? 19 : block * 3, some_n[i], false, 200 + i);
    }
}

/* 1 to 40 rows of activations, 1 to 52 of weights, a few blocks: every tile with every tail. */
static void random_shapes(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++)
        for (size_t n = 1; n <= 40; n++) {
            size_t block = dtype_table[t].block_elems;
            uint64_t seed = 1000 * (uint64_t)t + n;
            size_t rows = 1 + rng_below(seed, RNG_TEST, 0, 52);
            size_t k =
                block == 1 ? 1 + rng_below(seed, RNG_TEST, 1, 70) : block * (1 + rng_below(seed, RNG_TEST, 1, 4));
            product_case((dtype)t, rows, k, n, seed % 5 == 0, seed);
        }
}

static void long_products_are_cut_without_a_trace(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) { /* 40 rows of activations: more than PART_BYTES */
        size_t block = dtype_table[t].block_elems;
        size_t k = block == 1 ? 2999 : block == 32 ? 9056 : 256 * 33;
        product_case((dtype)t, 17, k, block == 1 ? 40 : 34, false, 300);
    }
}

static void extreme_values(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        size_t block = dtype_table[t].block_elems;
        for (uint64_t seed = 0; seed < 4; seed++)
            product_case((dtype)t, 18, block == 1 ? 9 : block * 2, 9, true, 400 + 10 * seed);
    }
}

/* ---- packing ---- */

static void panels_round_trip(void **state) {
    (void)state;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        dtype t = (dtype)i;
        size_t block = dtype_table[t].block_elems, bytes = dtype_table[t].block_bytes, k = block * 5, rows = 37;
        size_t row_bytes = dtype_row_bytes(t, k);
        uint8_t stored[37 * 5 * 210], back[5 * 210];
        float a[5 * 256], b[5 * 256];
        gen_blocks(t, 500, true, stored, rows * 5);
        uint8_t *packed = gen_pack(t, stored, rows, k);
        assert_int_equal(panel_bytes(t, rows, k), 48 * row_bytes);
        for (size_t r = 0; r < 48; r++) {
            panel_unpack_row(t, packed, k, r, 0, 5, back);
            for (size_t j = 0; j < row_bytes; j++)
                assert_int_equal(back[j], r < rows ? stored[r * row_bytes + j] : 0);
            if (r >= rows)
                continue;
            panel_unpack_row(t, packed, k, r, 2, 4, back);
            assert_memory_equal(back, stored + r * row_bytes + 2 * bytes, 2 * bytes);
            panel_dequantise_row(t, packed, k, r, a);
            block_dequantise(t, stored + r * row_bytes, k, b);
            assert_memory_equal(a, b, k * 4);
        }
        free(packed);
    }
}

static void dequantisers_equal_the_oracle(void **state) {
    (void)state;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        dtype t = (dtype)i;
        if (dtype_table[t].block_elems == 1)
            continue;
        for (uint64_t seed = 0; seed < 200; seed++) {
            uint8_t block[256];
            float a[256], b[256];
            gen_blocks(t, seed, seed % 2, block, 1);
            block_dequantise(t, block, dtype_table[t].block_elems, a);
            o_dequantise(dtype_table[t].name, block, b);
            same(dtype_table[t].name, isa[0], a, b, dtype_table[t].block_elems);
        }
    }
}

/* Panels of one block, of odd and even numbers of blocks, of more than a chunk; the last panel is not full. */
static void panels_dequantised_equal_the_oracle(void **state) {
    (void)state;
    enum { ROWS = 37, BLOCKS = 11 };
    for (int i = 0; i < DTYPE_COUNT; i++)
        for (size_t n_blocks = 1; n_blocks <= BLOCKS; n_blocks += n_blocks < 3 ? 1 : 4) {
            dtype t = (dtype)i;
            size_t k = dtype_table[t].block_elems * n_blocks;
            uint8_t stored[ROWS * BLOCKS * 210];
            float *got = gen_alloc(k * 16 * 4), row[BLOCKS * 256], column[BLOCKS * 256];
            gen_blocks(t, 600 + n_blocks, n_blocks % 2, stored, ROWS * n_blocks);
            uint8_t *packed = gen_pack(t, stored, ROWS, k);
            for (int s = 0; s < n_isas; s++)
                for (size_t r = 0; r < 48; r++) {
                    if (r % 16 == 0)
                        isa[s]->dequantise(t, packed, k, r / 16, got);
                    for (size_t j = 0; j < k; j++)
                        column[j] = got[16 * j + r % 16];
                    panel_dequantise_row(t, packed, k, r, row);
                    same(dtype_table[t].name, isa[s], column, row, k);
                }
            free(packed);
            free(got);
        }
}

static void worked_example(void **state) { /* the one of doc/arithmetic.md, section 5 */
    (void)state;
    uint8_t stored[18] = {0x00, 0x38, 0x97, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88,
                          0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88};
    float x[32] = {[0] = 1.0f, [16] = -0.3f}, y[16];
    uint8_t *packed = gen_pack(DTYPE_Q4_0, stored, 1, 32);
    for (int s = 0; s < n_isas; s++) {
        void *acts = gen_acts(isa[s], ACTS_BLOCK, x, 32, 1, 32);
        isa[s]->product(DTYPE_Q4_0, packed, 1, 32, 0, 1, acts, 1, y, 16);
        assert_int_equal(o_bits(y[0]), o_bits(-0x1.4c9932p-1f));
        free(acts);
    }
    free(packed);
}

static void packed_activations_mean_the_same(void **state) {
    (void)state;
    enum { N = 31, K = 512 };
    float *x = malloc(N * K * 4);
    for (size_t i = 0; i < N * K; i++)
        x[i] = i / K % 7 == 3 ? gen_wild(600, i) : i / K % 7 == 4 ? gen_f32(600, i) * 1e-30f : gen_f32(600, i);
    for (int s = 0; s < n_isas; s++)
        for (int kind = 0; kind < ACTS_COUNT; kind++) {
            const int32_t *acts = gen_acts(isa[s], (acts_kind)kind, x, K, N, K);
            for (size_t at = 0, T; at < N; at += T) {
                T = kern_tile(isa[s]->tile[kind], at, N);
                size_t block = kind == ACTS_F32 ? 1 : kind == ACTS_BLOCK ? 32 : 256;
                size_t words = kern_acts_bytes((acts_kind)kind, 1, block) / 4;
                const int32_t *tile = acts + at * (K / block) * words;
                for (size_t i = 0; i < T; i++)
                    for (size_t b = 0; b < K / block; b++) {
                        const float *row = x + (at + i) * K + b * block;
                        const int32_t *p = tile + b * words * T + i;
                        float d, sx;
                        int q[256], sum = 0;
                        memcpy(&d, p, 4);
                        if (kind == ACTS_F32) {
                            assert_memory_equal(p, row, 4);
                            continue;
                        }
                        float want = o_quantise(row, (int)block, q);
                        same("scale", isa[s], &d, &want, 1);
                        p += T;
                        if (kind == ACTS_BLOCK) {
                            memcpy(&sx, p, 4);
                            for (int j = 0; j < 32; j++)
                                sum += q[j];
                            float want_sx = want * (float)sum;
                            same("scaled sum", isa[s], &sx, &want_sx, 1);
                            assert_int_equal(p[T], -8 * sum);
                            p += 2 * T;
                        }
                        for (size_t j = 0; j < block; j++)
                            assert_int_equal((int8_t)((uint32_t)p[j / 4 * T] >> 8 * (j % 4)), q[j]);
                        p += block / 4 * T;
                        for (size_t g = 0; kind == ACTS_SUPER && g < 24; g++) { /* sums of 16, then of 32 */
                            size_t len = g < 16 ? 16 : 32, from = g < 16 ? g * 16 : (g - 16) * 32;
                            sum = 0;
                            for (size_t j = from; j < from + len; j++)
                                sum += q[j];
                            assert_int_equal((int16_t)((uint32_t)p[g / 2 * T] >> 16 * (g % 2)), sum);
                        }
                    }
            }
            free((void *)(uintptr_t)acts);
        }
    free(x);
}

/* ---- attention ---- */

static float from_cache(const void *ctx, bool value, size_t j, size_t d) {
    const gen_cache *c = ctx;
    size_t at = gen_kv_at(c, value, j, d);
    const void *p = value ? c->v : c->k;
    return c->f16 ? o_half(((const uint16_t *)p)[at]) : ((const float *)p)[at];
}

/* What stands at positions that no query of the test sees. */
static void spoil(gen_cache *c, size_t j) {
    for (int value = 0; value < 2; value++)
        for (size_t d = 0; d < (value ? c->W : c->K); d++) {
            size_t at = gen_kv_at(c, value, j, d);
            void *p = value ? c->v : c->k;
            float bad = d % 3 ? NAN : -INFINITY;
            if (c->f16)
                ((uint16_t *)p)[at] = d % 3 ? 0x7e01 : 0xfc00;
            else
                ((float *)p)[at] = bad;
        }
}

static void attention_case(size_t K, bool f16, size_t positions, int n, float cap, uint64_t seed) {
    if (!gen_case())
        return;
    gen_cache c = gen_cache_of(isa[0], seed, positions, K, f16);
    float *q = malloc((size_t)n * K * 4), *want = malloc((size_t)n * K * 4), *out = malloc((size_t)n * K * 4);
    kern_query query[KERN_ATTN_TILE_MAX];
    kern_attn a = {.scale = 1 / sqrtf((float)K), .softcap = cap};
    gen_row(seed + 5, q, (size_t)n * K);
    size_t lowest = positions, highest = 0;
    bool near = seed % 2; /* half of the cases are neighbours in a window, as a model has them */
    for (int i = 0; i < n; i++) {
        size_t lo = rng_below(seed, RNG_TEST, 100 + 2 * (uint64_t)i, positions);
        size_t hi = lo + 1 + rng_below(seed, RNG_TEST, 101 + 2 * (uint64_t)i, positions - lo);
        if (near) {
            hi = positions - (size_t)n + 1 + (size_t)i;
            lo = seed % 4 == 1 || hi < 50 ? 0 : hi - 50;
        }
        query[i] = (kern_query){.q = q + (size_t)i * K, .out = out + (size_t)i * K, .lo = lo, .hi = hi};
        lowest = lo < lowest ? lo : lowest;
        highest = hi > highest ? hi : highest;
        o_attention(q + (size_t)i * K, K, from_cache, &c, a.scale, cap, lo, hi, want + (size_t)i * K);
    }
    for (size_t j = 0; j < c.positions; j++) { /* invisible to all */
        bool seen = false;
        for (int i = 0; i < n; i++)
            seen = seen || (query[i].lo <= j && j < query[i].hi);
        if (!seen)
            spoil(&c, j);
    }
    kern_kv kv = gen_kv(&c);
    void *scratch = gen_alloc(kern_attn_scratch_bytes(K));
    for (int s = 0; s < n_isas; s++) {
        memset(scratch, 0xff, kern_attn_scratch_bytes(K));
        for (int at = 0, len; at < n; at += len) { /* as many together as the table takes */
            len = n - at < isa[s]->attn_tile ? n - at : isa[s]->attn_tile;
            isa[s]->attention(&kv, &a, query + at, len, scratch);
        }
        same("attention", isa[s], out, want, (size_t)n * K);
        for (int i = 0; i < n; i++) { /* alone */
            memset(query[i].out, 0, K * 4);
            isa[s]->attention(&kv, &a, query + i, 1, scratch);
        }
        same("attention, one query", isa[s], out, want, (size_t)n * K);
    }
    free(scratch);
    free(q);
    free(want);
    free(out);
    gen_cache_free(&c);
}

static void attention_equals_the_oracle(void **state) {
    (void)state;
    static const size_t width[] = {1, 8, 16, 20, 24, 40, 64, 80, 7};
    uint64_t seed = 700;
    for (size_t w = 0; w < sizeof width / sizeof *width; w++)
        for (int f16 = 0; f16 < 2; f16++)
            for (int n = 1; n <= 16; n += 3, seed += 11)
                attention_case(width[w], f16, 30 + seed * 7 % 170, n, seed % 3 ? 0 : 30, seed);
    for (int n = 2; n <= 14; n += 4, seed += 3)
        attention_case(16, false, 64, n, 0, seed);
}

/* ---- rows ---- */

static void row_kernels_equal_the_oracle(void **state) {
    (void)state;
    float a[140], b[140], y[144], want[140], cs[70], sn[70];
    for (size_t n = 1; n <= 70; n++) {
        for (int wild = 0; wild < 2; wild++) {
            for (size_t i = 0; i < 140; i++) {
                a[i] = wild ? gen_wild(900 + n, i) : gen_f32(900 + n, i) * 4;
                b[i] = wild ? gen_wild(901 + n, 1000 + i) : gen_f32(901 + n, 1000 + i);
                if (i < 70) {
                    cs[i] = gen_f32(902, i + n);
                    sn[i] = gen_f32(903, i + n);
                }
            }
            for (int s = 0; s < n_isas; s++) {
                const kern_ops *o = isa[s];
#define EACH(expr)                 \
    for (size_t i = 0; i < n; i++) \
    want[i] = (expr)
#define CALL(name, call)                               \
    do {                                               \
        for (size_t i = 0; i < 144; i++)               \
            memcpy(y + i, &UNTOUCHED, 4);              \
        call;                                          \
        same(name, o, y, want, n);                     \
        for (size_t i = n; i < 144; i++)               \
            assert_memory_equal(y + i, &UNTOUCHED, 4); \
    } while (0)
                o_rmsnorm(a, b, n, 1e-5f, want);
                CALL("rmsnorm", o->rmsnorm(a, b, n, 1e-5f, y));
                o_rmsnorm(a, NULL, n, 1e-6f, want);
                CALL("rmsnorm without weight", o->rmsnorm(a, NULL, n, 1e-6f, y));
                EACH(a[i] + b[i]);
                CALL("add", o->add(a, b, n, y));
                EACH(fmaf(b[i], 0.22f, a[i]));
                CALL("add_scaled", o->add_scaled(a, b, 0.22f, n, y));
                EACH(a[i] * 0.7f);
                CALL("scale", o->scale(a, 0.7f, n, y));
                EACH(o_softcap(a[i], 30));
                CALL("softcap", o->softcap(a, 30, n, y));
                EACH(o_silu(a[i]) * b[i]);
                CALL("silu", o->gated(KERN_SILU, a, b, n, y));
                EACH(o_gelu_tanh(a[i]) * b[i]);
                CALL("gelu_tanh", o->gated(KERN_GELU_TANH, a, b, n, y));
                EACH(o_gelu_erf(a[i]) * b[i]);
                CALL("gelu_erf", o->gated(KERN_GELU_ERF, a, b, n, y));
#define FUNCTION(f)    \
    EACH(o_##f(a[i])); \
    CALL(#f, o->f(a, n, y));
                FUNCTION(exp)
                FUNCTION(log)
                FUNCTION(tanh)
                FUNCTION(sin)
                FUNCTION(cos)
                FUNCTION(erf)
                memcpy(want, a, sizeof want);
                memcpy(y, a, sizeof a);
                o_rope(want, cs, sn, n);
                o->rope(y, cs, sn, n);
                same("rope", o, y, want, 140);
                memcpy(y, a, sizeof a);
                o->canonical(y, n);
                for (size_t i = 0; i < 140; i++)
                    assert_int_equal(o_bits(y[i]), i < n && isnan(a[i]) ? 0x7fc00000 : o_bits(a[i]));
                memcpy(y, a, sizeof a); /* in place */
                EACH(a[i] + b[i]);
                o->add(y, b, n, y);
                same("add in place", o, y, want, n);
            }
        }
    }
}

static void halves(void **state) {
    (void)state;
    enum { STEP = 4096 };
    float x[STEP];
    uint16_t h[STEP];
    for (int s = 0; s < n_isas; s++)
        for (unsigned at = 0; at < 65536; at += STEP) {
            for (unsigned i = 0; i < STEP; i++) { /* a half, its neighbours in binary32, and the middle to the next */
                float v = o_half(at + i);
                assert_true(isnan(v) ? isnan(half_to_f32((uint16_t)(at + i)))
                                     : o_bits(v) == o_bits(half_to_f32((uint16_t)(at + i))));
                x[i] = v;
            }
            for (int shift = 0; shift < 6; shift++) {
                for (unsigned i = 0; i < STEP; i++) {
                    float v = o_half(at + i),
                          next = (at + i) % 0x8000 < 0x7bff ? o_half(at + i + 1) : v * 1.00048828125f;
                    float middle = v + (next - v) / 2;
                    x[i] = shift == 0   ? v
                           : shift == 1 ? nextafterf(v, INFINITY)
                           : shift == 2 ? nextafterf(v, -INFINITY)
                           : shift == 3 ? middle
                           : shift == 4 ? nextafterf(middle, INFINITY)
                                        : nextafterf(middle, -INFINITY);
                }
                isa[s]->to_f16(x, STEP, h);
                for (unsigned i = 0; i < STEP; i++) {
                    unsigned want = o_to_half(x[i]);
                    if (isnan(x[i]))
                        assert_true((h[i] & 0x7c00) == 0x7c00 && (h[i] & 0x3ff));
                    else if (h[i] != want || half_from_f32(x[i]) != want)
                        fail_msg("%s: to_f16(%a) is %04x, must be %04x", isa[s]->isa, (double)x[i], h[i], want);
                }
            }
            for (size_t n = 0; n <= 70; n++) { /* tails */
                uint16_t tail[72];
                memset(tail, 0xee, sizeof tail);
                isa[s]->to_f16(x, n, tail);
                assert_memory_equal(tail, h, n * 2);
                for (size_t i = n; i < 72; i++)
                    assert_int_equal(tail[i], 0xeeee);
            }
        }
}

static int setup(void **state) {
    (void)state;
    n_isas = gen_isas(isa);
    return n_isas < 1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_example),
        cmocka_unit_test(products_equal_the_oracle),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(long_products_are_cut_without_a_trace),
        cmocka_unit_test(extreme_values),
        cmocka_unit_test(panels_round_trip),
        cmocka_unit_test(dequantisers_equal_the_oracle),
        cmocka_unit_test(panels_dequantised_equal_the_oracle),
        cmocka_unit_test(packed_activations_mean_the_same),
        cmocka_unit_test(attention_equals_the_oracle),
        cmocka_unit_test(row_kernels_equal_the_oracle),
        cmocka_unit_test(halves),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
