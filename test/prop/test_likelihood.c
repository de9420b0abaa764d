/* likelihood: the numbers are those of the logits one token at a time, whatever was asked before, chunks and threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "gen/likelihood.h"
#include "gen/score.h"

enum { CTX = 40, ASKS = 60, V_MAX = 512 };

static void plain(model *m, const int32_t *ids, size_t n, size_t from, double *out) {
    static float logits[V_MAX];
    size_t n_vocab = model_config_of(m)->V;
    kv_cache *kv;
    assert_true(n_vocab <= V_MAX);
    assert_int_equal(kv_open(&kv, m, CTX, NULL), ERR_OK);
    for (size_t i = 0; i + 1 < n; i++) {
        assert_int_equal(model_forward(m, kv, ids + i, 1, LOGITS_LAST, logits, NULL), ERR_OK);
        if (i + 1 >= from)
            out[i + 1 - from] = score_of(score_logits(logits, n_vocab), logits[ids[i + 1]]);
    }
    kv_close(kv);
}

static void check(int threads) {
    model *m;
    pool *p;
    likelihood *k;
    err e = {0};
    int32_t ids[CTX + 1] = {0};
    assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
    if (model_open(&m, "test/golden/models/llama", &(model_options){.pool = p}, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(likelihood_open(&k, m, p, CTX, NULL), ERR_OK);
    uint64_t n_vocab = model_config_of(m)->V;
    for (uint64_t a = 0; a < ASKS; a++) {
        size_t kept = rng_below(a, RNG_TEST, 0, CTX), n = 1 + rng_below(a, RNG_TEST, 1, CTX + 1);
        for (size_t i = kept; i <= CTX; i++)
            ids[i] = (int32_t)rng_below(a, RNG_TEST, 2 + i, n_vocab);
        size_t from = 1 + rng_below(a, RNG_TEST, 1000, n);
        double got[CTX + 1], want[CTX + 1];
        assert_int_equal(likelihood_of(k, ids, n, from, got, NULL), ERR_OK);
        plain(m, ids, n, from, want);
        assert_memory_equal(got, want, (n - from) * sizeof *got);
    }
    double out[CTX + 2];
    int32_t bad[] = {1, (int32_t)n_vocab}, many[CTX + 2] = {0};
    assert_int_equal(likelihood_of(k, bad, 2, 1, out, &e), ERR_USAGE);
    assert_int_equal(likelihood_of(k, many, CTX + 2, 1, out, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "context of 40"));
    likelihood_close(k);
    model_close(m);
    pool_close(p);
}

static void test_one_thread(void **state) {
    (void)state;
    check(1);
}

static void test_three_threads(void **state) {
    (void)state;
    check(3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_thread), cmocka_unit_test(test_three_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
