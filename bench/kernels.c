/* kernels: how near each kernel comes to what the machine can do.
 *
 * For every instruction set and weight format: a product of 512 rows of activations (prefill), against the limit of
 * multiply-adds, and over weights that no cache holds of one row (decode), against the read bandwidth, and of eight
 * (requests together). Then the packing
 * of activations and weights, attention, and the elementwise kernels. Every figure is the median of a few runs on all
 * threads; limits are measured just before, by machine.h. Weights are bytes of 0x30 to 0x3f: as binary16 or
 * binary32 ordinary numbers, so that nothing is slow for being subnormal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/rng.h"
#include "common.h"
#include "kern/block.h"
#include "kern/half.h"
#include "kern/panel.h"
#include "machine.h"
#include "tensor/matrix.h"

typedef struct {
    bool json;
    int64_t threads, reps;
    const char *only, *isa;
} values;

enum { N = 512, K = 2048, ROWS = 2048, STREAM_BYTES = 96 << 20, VECTOR = 4096, DEPTH = 4096, SHARE = 4 };

typedef struct {
    const values *v;
    const char *isa;
    engine engine;
    machine_limits limits;
    uint8_t *weights; /* STREAM_BYTES and a panel */
    float *x, *y;     /* f32[N][K], f32[N][ROWS] or more */
    activations acts;
    size_t n_shown;
    /* the kernel being timed */
    matrix w;
    size_t n, width, from;
    const char *op;
} bench;

static double timed(bench *b, void (*fn)(void *)) {
    return bench_time(fn, b, (int)b->v->reps, 0.12, pool_threads(b->engine.pool) == 1);
}

static bool wanted(const bench *b, const char *name) { return !b->v->only || strcasestr(name, b->v->only) != NULL; }

/* rate in 1e9 `unit`; limit 0: none. */
static void show(bench *b, const char *name, const char *what, double rate, const char *unit, double limit) {
    if (b->v->json) {
        printf("%s{\"isa\":\"%s\",\"kernel\":\"%s\",\"case\":\"%s\",\"rate\":%.2f,\"unit\":\"%s\"",
               b->n_shown ? ",\n " : "", b->isa, name, what, rate, unit);
        printf(limit > 0 ? ",\"share\":%.3f}" : "}", rate / limit);
    } else {
        printf("| %s | %s | %s | %.1f %s | ", b->isa, name, what, rate, unit);
        printf(limit > 0 ? "%.0f %% |\n" : " |\n", 100 * rate / limit);
    }
    fflush(stdout);
    b->n_shown++;
}

/* ---- products ---- */

static void run_product(void *ctx) {
    bench *b = ctx;
    products_run(&b->engine, &b->acts, (product[]){{&b->w, NULL, b->y, b->w.rows}}, 1);
}

static void run_pack_acts(void *ctx) {
    bench *b = ctx;
    activations_pack(&b->engine, &b->acts, b->x, K, N, K);
}

static void products(bench *b, dtype t) {
    const char *name = dtype_table[t].name;
    if (!wanted(b, name))
        return;
    acts_kind kind = kern_acts_kind(t);
    b->acts.kinds = 1u << kind;
    b->w = (matrix){.type = t, .rows = ROWS, .cols = K, .packed = b->weights};
    activations_pack(&b->engine, &b->acts, b->x, K, N, K);
    double rate = 2e-9 * N * ROWS * K / timed(b, run_product);
    if (kind == ACTS_F32)
        show(b, name, "prefill 512", rate, "GFLOP/s", b->limits.fma);
    else
        show(b, name, "prefill 512", rate, "GOP/s", b->limits.dot);
    b->w.rows = STREAM_BYTES / dtype_row_bytes(t, K) / PANEL_ROWS * PANEL_ROWS;
    activations_pack(&b->engine, &b->acts, b->x, K, 1, K);
    double bytes = (double)panel_bytes(t, b->w.rows, K);
    show(b, name, "decode", 1e-9 * bytes / timed(b, run_product), "GB/s", b->limits.memory);
    activations_pack(&b->engine, &b->acts, b->x, K, 8, K);
    rate = 2e-9 * 8 * (double)b->w.rows * K / timed(b, run_product);
    show(b, name, "decode of 8", rate, kind == ACTS_F32 ? "GFLOP/s" : "GOP/s",
         kind == ACTS_F32 ? b->limits.fma : b->limits.dot);
}

static void packing(bench *b) {
    static const char *const names[] = {"pack f32 activations", "pack activations by 32", "pack activations by 256"};
    for (int kind = 0; kind < ACTS_COUNT; kind++) {
        b->acts.kinds = 1u << kind;
        if (wanted(b, names[kind]))
            show(b, names[kind], "512 x 2048", 1e-9 * N * K / timed(b, run_pack_acts), "Gelem/s", 0);
    }
}

static void run_pack_weights(void *ctx) {
    bench *b = ctx;
    matrix_pack(&b->w, b->w.type, b->weights + STREAM_BYTES / 2, NULL, NULL, 0, matrix_panels(&b->w), b->engine.pool);
}

static void pack_weights(bench *b, dtype t) {
    char name[48];
    snprintf(name, sizeof name, "pack %s weights", dtype_table[t].name);
    if (!wanted(b, name))
        return;
    b->w = (matrix){.type = t,
                    .rows = STREAM_BYTES / 2 / dtype_row_bytes(t, K) / PANEL_ROWS * PANEL_ROWS,
                    .cols = K,
                    .packed = b->weights};
    show(b, name, "48 MB", 1e-9 * (double)panel_bytes(t, b->w.rows, K) / timed(b, run_pack_weights), "GB/s", 0);
}

/* ---- attention ---- */

/* One query position of `SHARE` heads a cache head at the end of DEPTH positions, over as many heads as fill the
 * stream. */
static void decode_part(void *ctx, int part, int n_parts) {
    bench *b = ctx;
    const kern_ops *k = b->engine.kern;
    size_t head = (size_t)DEPTH * b->width * 4, from, to; /* bytes: keys and values of 2 */
    pool_share(STREAM_BYTES / head, 1, part, n_parts, &from, &to);
    void *scratch = aligned_alloc(64, (kern_attn_scratch_bytes(b->width) + 63) / 64 * 64);
    float *out = b->y + (size_t)part * SHARE * b->width;
    for (size_t h = from; scratch && h < to; h++) {
        const uint8_t *kv = b->weights + h * head;
        kern_query q[SHARE];
        for (size_t i = 0; i < SHARE; i++)
            q[i] = (kern_query){.q = b->x + i * b->width, .out = out + i * b->width, .hi = DEPTH};
        k->attention(&(kern_kv){kv, kv + head / 2, true, b->width, b->width}, &(kern_attn){.scale = 0.1f}, q, SHARE,
                     scratch);
    }
    free(scratch);
}

/* All of N positions, SHARE heads on each of 8 cache heads, causal. */
static void prefill_part(void *ctx, int part, int n_parts) {
    bench *b = ctx;
    const kern_ops *k = b->engine.kern;
    size_t head = (size_t)N * b->width * 4, from, to;
    pool_share(8, 1, part, n_parts, &from, &to);
    void *scratch = aligned_alloc(64, (kern_attn_scratch_bytes(b->width) + 63) / 64 * 64);
    float *out = b->y + (size_t)part * KERN_ATTN_TILE_MAX * b->width;
    for (size_t h = from; scratch && h < to; h++) {
        const uint8_t *kv = b->weights + h * head;
        kern_query q[KERN_ATTN_TILE_MAX];
        int n = 0;
        for (size_t t = 0; t < N; t++)
            for (size_t i = 0; i < SHARE; i++) {
                q[n] = (kern_query){
                    .q = b->x + (t * SHARE + i) * b->width, .out = out + (size_t)n * b->width, .hi = t + 1};
                if (++n == k->attn_tile || (t == N - 1 && i == SHARE - 1)) {
                    k->attention(&(kern_kv){kv, kv + head / 2, true, b->width, b->width}, &(kern_attn){.scale = 0.1f},
                                 q, n, scratch);
                    n = 0;
                }
            }
    }
    free(scratch);
}

static void run_decode(void *ctx) { pool_run(((bench *)ctx)->engine.pool, decode_part, ctx); }
static void run_prefill(void *ctx) { pool_run(((bench *)ctx)->engine.pool, prefill_part, ctx); }

static void attention(bench *b) {
    for (b->width = 64; b->width <= 256; b->width *= 2) {
        char name[48];
        snprintf(name, sizeof name, "attention %zu", b->width);
        if (!wanted(b, name))
            continue;
        double flop = 4.0 * (double)b->width * SHARE * 8 * N * (N + 1) / 2;
        show(b, name, "prefill 512, 32/8 heads", 1e-9 * flop / timed(b, run_prefill), "GFLOP/s", b->limits.fma);
        double head = (double)DEPTH * (double)b->width * 4, heads = (double)(STREAM_BYTES / (size_t)head);
        show(b, name, "decode at 4096", 1e-9 * heads * head / timed(b, run_decode), "GB/s", b->limits.memory);
    }
}

/* ---- elementwise ---- */

#define ELEMENTWISE(X)                                                  \
    X("rmsnorm", k->rmsnorm(x, x + VECTOR, VECTOR, 1e-6f, y))           \
    X("rope", k->rope(y, x, x + VECTOR, VECTOR / 2))                    \
    X("gated silu", k->gated(KERN_SILU, x, x + VECTOR, VECTOR, y))      \
    X("gated gelu", k->gated(KERN_GELU_TANH, x, x + VECTOR, VECTOR, y)) \
    X("exp", k->exp(x, VECTOR, y))                                      \
    X("tanh", k->tanh(x, VECTOR, y))                                    \
    X("add", k->add(x, x + VECTOR, VECTOR, y))                          \
    X("to f16", k->to_f16(x, VECTOR, (uint16_t *)(void *)y))

/* Sixty-four vectors that stay in the first caches, by every thread. */
static void elementwise_part(void *ctx, int part, int n_parts) {
    bench *b = ctx;
    (void)n_parts;
    const kern_ops *k = b->engine.kern;
    float *y = b->y + (size_t)part * VECTOR;
    const float *x = b->x;
    for (int i = 0; i < 64; i++) {
#define X(name, call)             \
    if (strcmp(b->op, name) == 0) \
        call;
        ELEMENTWISE(X)
#undef X
    }
}
static void run_elementwise(void *ctx) { pool_run(((bench *)ctx)->engine.pool, elementwise_part, ctx); }

static void elementwise(bench *b) {
    static const char *const names[] = {
#define X(name, call) name,
        ELEMENTWISE(X)
#undef X
    };
    memset(b->y, 0, sizeof(float) * VECTOR * (size_t)pool_threads(b->engine.pool));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        b->op = names[i];
        double n = 64.0 * VECTOR * pool_threads(b->engine.pool);
        if (wanted(b, b->op))
            show(b, b->op, "4096", 1e-9 * n / timed(b, run_elementwise), "Gelem/s", 0);
    }
}

/* ---- all ---- */

static void fill(bench *b) {
    for (size_t i = 0; i < STREAM_BYTES; i += 16) {
        uint32_t out[4], ctr[4] = {(uint32_t)i, 0, RNG_TEST, 0}, key[2] = {1, 0};
        rng_philox(ctr, key, out);
        for (int j = 0; j < 4; j++)
            out[j] = (out[j] & 0x0f0f0f0f) | 0x30303030;
        memcpy(b->weights + i, out, 16);
    }
    for (size_t i = 0; i < (size_t)N * K; i++)
        b->x[i] = rng_f32(2, RNG_TEST, i) * 2 - 1;
}

static void one_isa(bench *b) {
    MUST(machine_measure(b->isa, b->engine.pool, &b->limits, e));
    if (!b->v->json)
        printf("\n%s, %d threads: limits %.0f GFLOP/s, %.0f GOP/s of 8 bit, %.1f GB/s\n\n"
               "| ISA | kernel | case | rate | of the limit |\n|---|---|---|---|---|\n",
               b->isa, pool_threads(b->engine.pool), b->limits.fma, b->limits.dot, b->limits.memory);
    for (int t = 0; t < DTYPE_COUNT; t++)
        products(b, (dtype)t);
    attention(b);
    packing(b);
    elementwise(b);
}

int main(int argc, char **argv) {
    values v = {.reps = 5};
#define AT(field) offsetof(values, field)
    const option rows[] = {
        {"json", 'j', OPT_FLAG, NULL, "print JSON", AT(json), 0, 0, NULL},
        {"only", 0, OPT_TEXT, "TEXT", "kernels whose name contains TEXT", AT(only), 0, 0, NULL},
        {"isa", 0, OPT_TEXT, "NAME", "one instruction set (all that this CPU has, but scalar)", AT(isa), 0, 0, NULL},
        {"threads", 't', OPT_INT, "N", "threads (0: one for every CPU)", AT(threads), 0, 16, NULL},
        {"reps", 'r', OPT_INT, "N", "repetitions, of which the median counts", AT(reps), 1, 101, NULL},
        {0}};
#undef AT
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"[options]", "Measures every kernel against the limits of this machine.", groups, 0};
    bench_options(&program, argc, argv, &v, NULL);
    bench b = {.v = &v};
    size_t y_floats = 8 * (STREAM_BYTES / dtype_row_bytes(DTYPE_Q2_K, K) + PANEL_ROWS); /* decode of 8, the narrowest */
    MUST(pool_open(&b.engine.pool, (int)v.threads, e));
    b.weights = os_pages_alloc(STREAM_BYTES + 4096);
    b.x = os_pages_alloc(sizeof(float) * N * K);
    b.y = os_pages_alloc(sizeof(float) * y_floats);
    for (int kind = 0; kind < ACTS_COUNT; kind++)
        if (!(b.acts.packed[kind] = os_pages_alloc(kern_acts_bytes((acts_kind)kind, N, K))))
            abort();
    if (!b.weights || !b.x || !b.y)
        abort();
    fill(&b);
    err e;
    if (v.isa && !kern_isa_usable(v.isa)) {
        err_set(&e, ERR_USAGE, "--isa %s: this build or CPU lacks it", v.isa);
        bench_fail(&e);
    }
    if (v.json)
        printf("[");
    for (const char *const *isa = kern_isa_names(); *isa; isa++) {
        bool skipped = v.isa ? strcmp(v.isa, *isa) != 0 : strcmp(*isa, "scalar") == 0 && isa != kern_isa_names();
        if (skipped || !kern_isa_usable(*isa))
            continue;
        b.isa = *isa;
        b.engine.kern = kern_select(*isa);
        one_isa(&b);
    }
    b.isa = "any";
    if (!v.json)
        printf("\n| ISA | kernel | case | rate | of the limit |\n|---|---|---|---|---|\n");
    for (int t = 0; t < DTYPE_COUNT; t++)
        pack_weights(&b, (dtype)t);
    if (v.json)
        printf("]\n");
    return 0;
}
