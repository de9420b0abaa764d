/* test_linear: the gradient of a product's input goes through stored weights with the bits that the dequantised matrix
 * gives, whatever the format, the instruction set, the threads and the number of rows at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "prop/gen.h"
#include "tensor/linear.h"

enum { N = 21, PRODUCTS = 3 };

static const kern_ops *isa[8];
static int n_isas;

/* Random rows as a packed matrix. */
static matrix stored_matrix(dtype t, size_t rows, size_t cols, uint64_t seed) {
    size_t blocks = rows * cols / dtype_table[t].block_elems;
    uint8_t *stored = gen_alloc(rows * dtype_row_bytes(t, cols));
    gen_blocks(t, seed, false, stored, blocks);
    matrix w = {.type = t, .rows = rows, .cols = cols, .packed = gen_pack(t, stored, rows, cols)};
    free(stored);
    return w;
}

/* dx by plain loops: one chain over the rows of all matrices. */
static void plain(const linear_dy *p, int n_products, float *dx, size_t ldx) {
    size_t cols = p[0].w->cols;
    float *row = gen_alloc(cols * 4);
    for (size_t t = 0; t < N; t++)
        memset(dx + t * ldx, 0, cols * 4);
    for (int i = 0; i < n_products; i++)
        for (size_t r = 0; r < p[i].w->rows; r++) {
            matrix_row(p[i].w, r, row);
            for (size_t c = 0; c < cols; c++) {
                float w = p[i].gain ? row[c] * p[i].gain[r] : row[c];
                for (size_t t = 0; t < N; t++)
                    dx[t * ldx + c] = fmaf(p[i].dy[t * p[i].ldy + r], w, dx[t * ldx + c]);
            }
        }
    free(row);
}

static void one_case(const dtype *type, int n_products, size_t cols, bool gained, uint64_t seed) {
    static const size_t rows[PRODUCTS] = {53, 16, 7};
    matrix w[PRODUCTS];
    linear_dy p[PRODUCTS] = {0};
    float *dy[PRODUCTS], *gain[PRODUCTS];
    size_t ldx = cols + 5, most = 0;
    for (int i = 0; i < n_products; i++) {
        w[i] = stored_matrix(type[i], rows[i], cols, seed + (uint64_t)i);
        dy[i] = gen_alloc((N * (rows[i] + 3) + 16) * 4);
        gain[i] = gen_alloc(rows[i] * 4);
        gen_row(seed + 10 + (uint64_t)i, dy[i], N * (rows[i] + 3) + 16);
        gen_row(seed + 20 + (uint64_t)i, gain[i], rows[i]);
        bool with_gain = gained && i != 1;
        p[i] = (linear_dy){&w[i], dy[i], rows[i] + 3, with_gain ? gain[i] : NULL};
        size_t n = linear_back_floats(&w[i], with_gain);
        assert_true((n == 0) == (type[i] == DTYPE_F32 && !with_gain));
        most = n > most ? n : most;
    }
    float *want = gen_alloc((N * ldx + 16) * 4), *got = gen_alloc((N * ldx + 16) * 4), *room = gen_alloc(most * 4 + 4);
    gen_row(seed, want, N * ldx + 16);
    memcpy(got, want, (N * ldx + 16) * 4);
    plain(p, n_products, want, ldx);
    for (int s = 0; s < n_isas; s++)
        for (int threads = 1; threads <= 3; threads += 2) {
            err e = {0};
            engine on = {isa[s], NULL};
            assert_int_equal(pool_open(&on.pool, threads, &e), ERR_OK);
            void *scratch = gen_alloc(gemm_scratch_bytes(&on));
            linear_back(&on, p, n_products, N, got, ldx, room, scratch);
            assert_memory_equal(got, want, (N * ldx + 16) * 4); /* what is not a row of dx is as it was */
            free(scratch);
            pool_close(on.pool);
        }
    for (int i = 0; i < n_products; i++) {
        free(w[i].packed);
        free(dy[i]);
        free(gain[i]);
    }
    free(want);
    free(got);
    free(room);
}

static void any_format_goes_back(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        size_t block = dtype_table[t].block_elems, cols = block == 1 ? 37 : block * 3;
        one_case((dtype[]){(dtype)t}, 1, cols, t % 2, 10 * (uint64_t)t);
    }
    one_case((dtype[]){DTYPE_Q4_K, DTYPE_F32, DTYPE_Q6_K}, 3, 512, false, 1000);
    one_case((dtype[]){DTYPE_F32, DTYPE_Q5_0, DTYPE_F16}, 3, 64, true, 1010);
    one_case((dtype[]){DTYPE_F32, DTYPE_F32, DTYPE_F32}, 3, 41, false, 1020);
    one_case((dtype[]){DTYPE_F32, DTYPE_F32, DTYPE_F32}, 3, 41, true, 1030);
}

/* So wide that one panel is dequantised at a time. */
static void few_rows_at_a_time(void **state) {
    (void)state;
    one_case((dtype[]){DTYPE_Q8_0, DTYPE_BF16}, 2, 1 << 17, false, 2000);
}

int main(void) {
    n_isas = gen_isas(isa);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_format_goes_back),
        cmocka_unit_test(few_rows_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
