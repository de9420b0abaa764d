/* test_matrix: the element types, packing with reordered rows, products shared among threads, rows and tasks each done
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "kern/block.h"
#include "prop/gen.h"
#include "tensor/rows.h"

static void dtypes(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        assert_int_equal(dtype_from_gguf(dtype_table[t].gguf), t);
        assert_int_equal(dtype_from_name(dtype_table[t].name), t);
        size_t elems = dtype_table[t].block_elems;
        assert_int_equal(dtype_row_bytes((dtype)t, 7 * elems), 7 * dtype_table[t].block_bytes);
        assert_int_equal(kern_acts_kind((dtype)t), elems == 1 ? ACTS_F32 : elems == 32 ? ACTS_BLOCK : ACTS_SUPER);
    }
    assert_int_equal(dtype_from_name("q4_k"), DTYPE_Q4_K);
    assert_int_equal(dtype_from_name("Q4_K_M"), -1);
    assert_int_equal(dtype_from_name(""), -1);
    assert_int_equal(dtype_from_gguf(4), -1); /* withdrawn from the format */
    assert_int_equal(dtype_from_gguf(UINT32_MAX), -1);
}

static void tiles_cover_all_rows(void **state) {
    (void)state;
    for (int tile = 1; tile <= 16; tile++)
        for (size_t n = 1; n <= 50; n++) {
            size_t at = 0, last = 99;
            while (at < n) {
                size_t t = kern_tile(tile, at, n);
                assert_true(t >= 1 && t <= (size_t)tile && t <= n - at && t <= last);
                assert_true(t == (size_t)tile || (t & (t - 1)) == 0);
                last = t;
                at += t;
            }
        }
}

static size_t reversed(const void *ctx, size_t r) { return *(const size_t *)ctx - 1 - r; }

static void packing(void **state) {
    (void)state;
    static const int threads[] = {1, 3};
    for (int i = 0; i < DTYPE_COUNT; i++)
        for (int turn = 0; turn < 4; turn++) {
            dtype t = (dtype)i;
            size_t rows = 53, cols = dtype_table[t].block_elems == 1 ? 40 : dtype_table[t].block_elems * 2;
            size_t row_bytes = dtype_row_bytes(t, cols);
            err e = {0};
            pool *p = NULL;
            assert_int_equal(pool_open(&p, threads[turn % 2], &e), ERR_OK);
            uint8_t *stored = gen_alloc(rows * row_bytes);
            gen_blocks(t, 9, false, stored, rows * cols / dtype_table[t].block_elems);
            matrix m = {.type = turn < 2 ? t : DTYPE_F32, .rows = rows, .cols = cols};
            m.packed = gen_alloc(panel_bytes(m.type, rows, cols));
            assert_int_equal(matrix_panels(&m), 4);
            matrix_pack(&m, t, stored, reversed, &rows, 0, 3, p); /* in two slices */
            matrix_pack(&m, t, stored, reversed, &rows, 3, 4, p);
            for (size_t r = 0; r < rows; r++) {
                float a[512], b[512];
                matrix_row(&m, r, a);
                block_dequantise(t, stored + (rows - 1 - r) * row_bytes, cols, b);
                assert_memory_equal(a, b, cols * sizeof *a);
            }
            free(m.packed);
            free(stored);
            pool_close(p);
        }
}

/* Several products over the same activations, of all kinds, on any number of threads: the bits of one thread. */
static void products_on_threads(void **state) {
    (void)state;
    enum { K = 512, N = 21 };
    static const struct {
        dtype type;
        size_t rows;
        bool biased;
    } shape[] = {{DTYPE_Q4_0, 33, true}, {DTYPE_Q6_K, 1, false}, {DTYPE_F16, 100, true}, {DTYPE_Q4_K, 16, false}};
    enum { PRODUCTS = sizeof shape / sizeof *shape };
    static const int threads[] = {1, 2, 3, 4, 5, 6, 7, 8, 40};
    matrix m[PRODUCTS];
    product p[PRODUCTS];
    float *x = gen_alloc(N * K * 4), bias[100], *want[PRODUCTS];
    gen_row(1, x, (size_t)N * K);
    gen_row(2, bias, 100);
    for (int i = 0; i < PRODUCTS; i++) {
        dtype t = shape[i].type;
        size_t rows = shape[i].rows, row_bytes = dtype_row_bytes(t, K);
        uint8_t *stored = gen_alloc(rows * row_bytes);
        gen_blocks(t, 50 + (uint64_t)i, false, stored, rows * K / dtype_table[t].block_elems);
        m[i] = (matrix){.type = t, .rows = rows, .cols = K, .packed = gen_pack(t, stored, rows, K)};
        p[i] = (product){&m[i], shape[i].biased ? bias : NULL, gen_alloc(N * rows * 4), rows};
        want[i] = gen_alloc(N * rows * 4);
        free(stored);
    }
    activations a = {.kinds = (1u << ACTS_COUNT) - 1};
    for (int kind = 0; kind < ACTS_COUNT; kind++)
        a.packed[kind] = gen_alloc(kern_acts_bytes((acts_kind)kind, N, K));
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
        for (size_t n = N; n; n = n == N ? 1 : 0) {
            err e = {0};
            engine eng = {.kern = kern_select(NULL)};
            assert_int_equal(pool_open(&eng.pool, threads[t], &e), ERR_OK);
            activations_pack(&eng, &a, x, K, n, K);
            products_run(&eng, &a, p, PRODUCTS);
            for (int i = 0; i < PRODUCTS; i++) {
                if (t == 0 && n == N)
                    memcpy(want[i], p[i].y, N * shape[i].rows * 4);
                assert_memory_equal(p[i].y, want[i], n * shape[i].rows * 4);
            }
            pool_close(eng.pool);
        }
    /* The bias is added last, once. */
    engine one = {.kern = kern_select(NULL)};
    product bare = p[0];
    bare.bias = NULL;
    activations_pack(&one, &a, x, K, N, K);
    products_run(&one, &a, &bare, 1);
    for (size_t i = 0; i < N * shape[0].rows; i++)
        assert_true(bare.y[i] + bias[i % shape[0].rows] == want[0][i]);
    for (int i = 0; i < PRODUCTS; i++) {
        free(m[i].packed);
        free(p[i].y);
        free(want[i]);
    }
    for (int kind = 0; kind < ACTS_COUNT; kind++)
        free(a.packed[kind]);
    free(x);
}

typedef struct {
    atomic_int seen[300];
    int threads;
} counts;

static void count_rows(void *ctx, size_t from, size_t to) {
    counts *c = ctx;
    for (size_t i = from; i < to; i++)
        atomic_fetch_add(&c->seen[i], 1);
}
static void count_task(void *ctx, size_t i, int thread) {
    counts *c = ctx;
    assert_true(thread >= 0 && thread < c->threads);
    atomic_fetch_add(&c->seen[i], 1);
}

static void each_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads += 2)
        for (size_t n = 0; n <= 290; n = n < 8 ? n + 1 : n + 47) {
            err e = {0};
            counts rows = {.threads = threads}, tasks = {.threads = threads};
            engine eng = {.kern = kern_select(NULL)};
            assert_int_equal(pool_open(&eng.pool, threads, &e), ERR_OK);
            rows_run(&eng, n, count_rows, &rows);
            tasks_run(&eng, n, count_task, &tasks);
            for (size_t i = 0; i < 300; i++) {
                assert_int_equal(rows.seen[i], i < n);
                assert_int_equal(tasks.seen[i], i < n);
            }
            pool_close(eng.pool);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes),    cmocka_unit_test(tiles_cover_all_rows),
        cmocka_unit_test(packing),   cmocka_unit_test(products_on_threads),
        cmocka_unit_test(each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
