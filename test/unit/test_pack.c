/* pack: the plan is plain first fit, in which a sequence that is taken out changes nothing before its row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "tune/pack.h"

enum { N_MAX = 200, CTX = 64 };

/* Rows as they should be, by the definition. */
static size_t first_fit(const uint32_t *n_tokens, size_t n, uint32_t row[N_MAX]) {
    uint32_t used[N_MAX] = {0};
    size_t n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        size_t r = 0;
        while (used[r] + n_tokens[i] > CTX)
            r++;
        used[r] += n_tokens[i];
        row[i] = (uint32_t)r;
        n_rows = r + 1 > n_rows ? r + 1 : n_rows;
    }
    return n_rows;
}

static void check_plan(const pack *p, const uint32_t *n_tokens, size_t n) {
    uint32_t row[N_MAX];
    size_t i = 0;
    assert_int_equal(p->n_rows, first_fit(n_tokens, n, row));
    for (size_t r = 0; r < p->n_rows; r++)
        for (size_t k = 0; k < n; k++)
            if (row[k] == r) {
                assert_int_equal(p->seq[i], k);
                assert_in_range(i, p->from[r], p->from[r + 1] - 1);
                i++;
            }
    assert_int_equal(i, n);
    assert_int_equal(p->from[p->n_rows], n);
}

static void lengths(uint64_t seed, uint32_t *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = 1 + (uint32_t)rng_below(seed, RNG_TEST, i, seed % 2 ? CTX : CTX / 3);
}

static void test_first_fit(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint32_t n_tokens[N_MAX];
        size_t n = rng_below(seed, RNG_TEST, 1 << 20, N_MAX + 1);
        pack p;
        lengths(seed, n_tokens, n);
        assert_int_equal(pack_plan(&p, n_tokens, n, CTX, NULL), ERR_OK);
        check_plan(&p, n_tokens, n);
        pack_fini(&p);
    }
}

static void test_taken_out(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint32_t n_tokens[N_MAX], rest[N_MAX], row[N_MAX];
        pack p, q;
        lengths(seed, n_tokens, N_MAX);
        size_t out = rng_below(seed, RNG_TEST, 1 << 21, N_MAX);
        memcpy(rest, n_tokens, out * sizeof *rest);
        memcpy(rest + out, n_tokens + out + 1, (N_MAX - 1 - out) * sizeof *rest);
        first_fit(n_tokens, N_MAX, row);
        assert_int_equal(pack_plan(&p, n_tokens, N_MAX, CTX, NULL), ERR_OK);
        assert_int_equal(pack_plan(&q, rest, N_MAX - 1, CTX, NULL), ERR_OK);
        assert_memory_equal(p.from, q.from, (row[out] + 1) * sizeof *p.from);
        for (size_t i = 0; i < p.from[row[out]]; i++)
            assert_int_equal(p.seq[i], q.seq[i] + (q.seq[i] >= out));
        pack_fini(&p);
        pack_fini(&q);
    }
}

static void test_refused(void **state) {
    (void)state;
    pack p;
    err e;
    assert_int_equal(pack_plan(&p, (const uint32_t[]){3, CTX + 1}, 2, CTX, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "65 tokens"));
    assert_int_equal(pack_plan(&p, (const uint32_t[]){0}, 1, CTX, &e), ERR_LIMIT);
    assert_null(p.seq);
    assert_int_equal(pack_plan(&p, NULL, 0, CTX, &e), ERR_OK);
    assert_int_equal(p.n_rows, 0);
    pack_fini(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_fit),
        cmocka_unit_test(test_taken_out),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
