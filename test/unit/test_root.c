/* root: leaves are the documented digests, threads change nothing, every float counts and the padding does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/root.h"
#include "unit/params.h"

static void fill(params *s, float *x[PARAMS_N]) {
    for (size_t i = 0; i < PARAMS_N; i++) {
        params_fill(&s->p[i], s->p[i].w, 7 + i, 1);
        x[i] = s->p[i].w;
    }
}

static void the_documented_digest(void **state) {
    (void)state;
    params s = params_make();
    float *x[PARAMS_N];
    hash256 leaf[PARAMS_N];
    fill(&s, x);
    assert_int_equal(root_leaves(s.p, x, PARAMS_N, NULL, leaf, NULL), ERR_OK);
    hash_state *all;
    assert_int_equal(hash_open(&all, NULL), ERR_OK);
    for (size_t i = 0; i < PARAMS_N; i++) {
        const param *p = &s.p[i];
        hash_state *h;
        assert_int_equal(hash_open(&h, NULL), ERR_OK);
        uint64_t rows = p->rows, cols = p->cols;
        hash_add(h, p->name, strlen(p->name) + 1);
        hash_add(h, &rows, 8);
        hash_add(h, &cols, 8);
        for (size_t r = 0; r < p->rows; r++)
            for (size_t c = 0; c < (p->cols ? p->cols : 1); c++)
                hash_add(h, &p->w[params_at(p, r, c)], 4);
        hash256 want = hash_close(h);
        assert_memory_equal(&want, &leaf[i], sizeof want);
        hash_add(all, want.byte, 32);
    }
    hash256 want = hash_close(all), root = root_of(leaf, PARAMS_N);
    assert_memory_equal(&want, &root, sizeof root);
    params_free(&s);
}

static void threads_change_nothing(void **state) {
    (void)state;
    params s = params_make();
    float *x[PARAMS_N];
    hash256 leaf[PARAMS_N], again[PARAMS_N];
    fill(&s, x);
    assert_int_equal(root_leaves(s.p, x, PARAMS_N, NULL, leaf, NULL), ERR_OK);
    for (int threads = 2; threads <= 8; threads += 3) {
        pool *p = NULL;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        assert_int_equal(root_leaves(s.p, x, PARAMS_N, p, again, NULL), ERR_OK);
        assert_memory_equal(leaf, again, sizeof leaf);
        pool_close(p);
    }
    params_free(&s);
}

static void every_float_counts_and_no_padding(void **state) {
    (void)state;
    params s = params_make();
    float *x[PARAMS_N];
    hash256 leaf[PARAMS_N], again[PARAMS_N];
    fill(&s, x);
    assert_int_equal(root_leaves(s.p, x, PARAMS_N, NULL, leaf, NULL), ERR_OK);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < s.p[i].n; j += 5) {
            bool padding = s.p[i].cols && j / (16 * s.p[i].cols) * 16 + j % 16 >= s.p[i].rows;
            uint32_t u;
            memcpy(&u, &x[i][j], 4);
            u ^= 1;
            memcpy(&x[i][j], &u, 4);
            assert_int_equal(root_leaves(s.p, x, 2, NULL, again, NULL), ERR_OK);
            assert_int_equal(memcmp(leaf, again, 2 * sizeof *leaf) == 0, padding);
            u ^= 1;
            memcpy(&x[i][j], &u, 4);
        }
    params_free(&s);
}

static void rows_go_both_ways(void **state) {
    (void)state;
    params s = params_make();
    float *x[PARAMS_N], row[128];
    fill(&s, x);
    for (size_t i = 0; i < PARAMS_N; i++) {
        const param *p = &s.p[i];
        for (size_t r = 0; r < (p->cols ? p->rows : 1); r++) {
            root_row(p, p->w, r, row);
            for (size_t c = 0; c < (p->cols ? p->cols : p->rows); c++)
                assert_true(row[c] == p->w[p->cols ? params_at(p, r, c) : c]);
            root_put_row(p, p->g, r, row);
        }
        assert_memory_equal(p->w, p->g, p->n * sizeof(float));
    }
    params_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_digest),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(every_float_counts_and_no_padding),
        cmocka_unit_test(rows_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
