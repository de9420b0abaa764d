/* sampler: hand-computed cases, an oracle that sorts everything, and the frequencies of draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "gen/sampler.h"
#include "kern/math64.h"

enum { V_MAX = 600 };

static const sampler_config greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1, .penalty_last_n = 64};
static const sampler_config plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .penalty_last_n = 64};

static int32_t next(const sampler_config *c, const float *logits, size_t n_vocab, const int32_t *ids, size_t n) {
    float copy[V_MAX];
    memcpy(copy, logits, n_vocab * sizeof *copy);
    sampler *s;
    assert_int_equal(sampler_open(&s, n_vocab, NULL), ERR_OK);
    int32_t id = sampler_next(s, c, copy, ids, n);
    sampler_close(s);
    return id;
}

static void test_greedy(void **state) {
    (void)state;
    const float plain_case[] = {1, 5, 2, 5, -3};
    assert_int_equal(next(&greedy, plain_case, 5, NULL, 0), 1); /* the tie goes to the lower id */
    const float zeros[] = {-1, -0.0f, 0.0f};
    assert_int_equal(next(&greedy, zeros, 3, NULL, 0), 1); /* -0 equals +0 */
    const float holes[] = {NAN, -INFINITY, -7, NAN};
    assert_int_equal(next(&greedy, holes, 4, NULL, 0), 2);
    const float infinite[] = {3, INFINITY, 9, INFINITY};
    assert_int_equal(next(&greedy, infinite, 4, NULL, 0), 1);
    const float none[] = {NAN, -INFINITY};
    assert_int_equal(next(&greedy, none, 2, NULL, 0), -1);
    assert_int_equal(next(&plain, none, 2, NULL, 0), -1);
}

static void test_penalties(void **state) {
    (void)state;
    /* Id 0 occurred twice, id 1 once, id 2 not at all. */
    const int32_t ids[] = {0, 1, 0};
    sampler_config c = greedy;
    const float positive[] = {4, 3, 2.5f};
    c.repetition_penalty = 1.5f; /* 2.667, 2, 2.5 */
    assert_int_equal(next(&c, positive, 3, ids, 3), 0);
    c.repetition_penalty = 2; /* 2, 1.5, 2.5 */
    assert_int_equal(next(&c, positive, 3, ids, 3), 2);
    const float negative[] = {-1, -1.5f, -1.75f};
    assert_int_equal(next(&c, negative, 3, ids, 3), 2); /* -2, -3, -1.75: negative ones are multiplied */
    c.repetition_penalty = 1;
    c.presence_penalty = 1.25f; /* 2.75, 1.75, 2.5: once, however often */
    assert_int_equal(next(&c, positive, 3, ids, 3), 0);
    c.presence_penalty = 0;
    c.frequency_penalty = 0.75f; /* 2.5, 2.25, 2.5: for each time; the tie goes to the lower id */
    assert_int_equal(next(&c, positive, 3, ids, 3), 0);
    c.frequency_penalty = 0.875f; /* 2.25, 2.125, 2.5 */
    assert_int_equal(next(&c, positive, 3, ids, 3), 2);
    c.presence_penalty = -0.5f; /* 2.75, 2.625, 2.5: both together */
    assert_int_equal(next(&c, positive, 3, ids, 3), 0);
}

static void test_penalty_window(void **state) {
    (void)state;
    const int32_t ids[] = {0, 0, 1, -5, 99}; /* ids outside the vocabulary do not count */
    const float logits[] = {4, 3.5f, 3};
    sampler_config c = greedy;
    c.repetition_penalty = 10;
    c.penalty_last_n = 0;
    assert_int_equal(next(&c, logits, 3, ids, 5), 0);
    c.penalty_last_n = 3; /* only id 1 is seen */
    assert_int_equal(next(&c, logits, 3, ids, 5), 0);
    c.penalty_last_n = 4;
    assert_int_equal(next(&c, logits, 3, ids, 5), 2);
    c.penalty_last_n = -1;
    assert_int_equal(next(&c, logits, 3, ids, 5), 2);
    /* The counts are cleared: the same sampler has no memory of an earlier call. */
    sampler *s;
    assert_int_equal(sampler_open(&s, 3, NULL), ERR_OK);
    float a[] = {4, 3.5f, 3}, b[] = {4, 3.5f, 3};
    assert_int_equal(sampler_next(s, &c, a, ids, 3), 2);
    assert_int_equal(sampler_next(s, &c, b, NULL, 0), 0);
    sampler_close(s);
}

/* Which ids can come out, as a bit set, over many seeds. */
static unsigned reachable(sampler_config c, const float *logits, size_t n_vocab) {
    unsigned set = 0;
    for (c.seed = 0; c.seed < 400; c.seed++)
        set |= 1u << next(&c, logits, n_vocab, NULL, 0);
    return set;
}

static void test_cuts(void **state) {
    (void)state;
    /* Weights 1, 1/2, 1/4, 1/4 (by id: 2, 0, 1, 3), Z = 2. */
    const float logits[] = {-0.693147180559945f, -1.38629436111989f, 0, -1.38629436111989f};
    sampler_config c = plain;
    assert_int_equal(reachable(c, logits, 4), 0xF);
    c.top_k = 2;
    assert_int_equal(reachable(c, logits, 4), 0x5);
    c.top_k = 3; /* the tie of 1 and 3 goes to 1 */
    assert_int_equal(reachable(c, logits, 4), 0x7);
    c.top_k = 0;
    c.top_p = 0.49f;
    assert_int_equal(reachable(c, logits, 4), 0x4);
    c.top_p = 0.51f;
    assert_int_equal(reachable(c, logits, 4), 0x5);
    c.top_p = 0.76f;
    assert_int_equal(reachable(c, logits, 4), 0x7);
    c.top_p = 0; /* at least one is kept */
    assert_int_equal(reachable(c, logits, 4), 0x4);
    c.top_p = 0.6f;
    c.top_k = 2; /* top-k first: of 1.5, 1 is 0.67 */
    assert_int_equal(reachable(c, logits, 4), 0x4);
    c.top_k = 0;
    c.top_p = 1;
    c.min_p = 0.4f;
    assert_int_equal(reachable(c, logits, 4), 0x5);
    c.min_p = 0.2f;
    assert_int_equal(reachable(c, logits, 4), 0xF);
    c.min_p = 0.4f;
    c.temperature = 50; /* min-p looks at the probabilities before the temperature */
    assert_int_equal(reachable(c, logits, 4), 0x5);
    c = plain;
    c.temperature = 1e-30f;
    assert_int_equal(reachable(c, logits, 4), 0x4);
    const float infinite[] = {INFINITY, 5, INFINITY, NAN};
    assert_int_equal(reachable(plain, infinite, 4), 0x5);
}

static void test_draw(void **state) {
    (void)state;
    const float even[] = {2, 2};
    sampler_config c = plain;
    const int32_t ids[] = {0, 0, 0};
    for (c.seed = 0; c.seed < 1000; c.seed++)
        for (size_t n = 0; n < 4; n++) {
            double u = rng_f64(c.seed, RNG_SAMPLE, n);
            assert_int_equal(next(&c, even, 2, ids, n), u * 2 < 1 ? 0 : 1);
        }
}

/* Frequencies over seeds against probabilities: chi-square, 4 degrees of freedom; 33.4 has probability 1e-6. */
static void test_frequencies(void **state) {
    (void)state;
    const float logits[] = {0.5f, -1, 1.5f, 0, -0.25f};
    sampler_config c = plain;
    c.temperature = 0.7f;
    enum { N = 20000 };
    size_t count[5] = {0};
    double p[5], z = 0, chi = 0;
    for (c.seed = 0; c.seed < N; c.seed++)
        count[next(&c, logits, 5, NULL, 0)]++;
    for (size_t i = 0; i < 5; i++)
        z += p[i] = kern_exp64((double)logits[i] / (double)c.temperature);
    for (size_t i = 0; i < 5; i++) {
        double want = p[i] / z * N, d = (double)count[i] - want;
        chi += d * d / want;
    }
    assert_true(chi < 33.4);
}

/* ---- the oracle: sampler.h word for word, with a full sort ---- */

static const float *oracle_logits;

static int by_rank(const void *a, const void *b) {
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    float x = oracle_logits[i], y = oracle_logits[j];
    return x != y ? (x < y) - (x > y) : (i > j) - (i < j);
}

static int by_id(const void *a, const void *b) {
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    return (i > j) - (i < j);
}

static double weight(int32_t id, float max, double t) {
    return kern_exp64(((double)oracle_logits[id] - (double)max) / t);
}

static int32_t oracle(const sampler_config *c, const float *logits, size_t n_vocab, size_t position) {
    int32_t id[V_MAX];
    size_t n = 0;
    for (size_t i = 0; i < n_vocab; i++)
        if (logits[i] > -INFINITY)
            id[n++] = (int32_t)i;
    oracle_logits = logits;
    qsort(id, n, sizeof *id, by_rank);
    float max = logits[id[0]];
    bool ranked = c->top_k > 0 && (size_t)c->top_k < n_vocab;
    if (ranked && n > (size_t)c->top_k)
        n = (size_t)c->top_k;
    if (c->top_p < 1) {
        double z = 0, sum = 0;
        if (!ranked)
            qsort(id, n, sizeof *id, by_id);
        for (size_t i = 0; i < n; i++)
            z += weight(id[i], max, 1);
        qsort(id, n, sizeof *id, by_rank);
        size_t kept = 0;
        for (; kept < n && (kept == 0 || sum < (double)c->top_p * z); kept++)
            sum += weight(id[kept], max, 1);
        n = kept;
    } else if (!ranked)
        qsort(id, n, sizeof *id, by_id);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (weight(id[i], max, 1) >= (double)c->min_p)
            id[kept++] = id[i];
    n = kept;
    double z = 0, sum = 0, t = (double)c->temperature;
    for (size_t i = 0; i < n; i++)
        z += weight(id[i], max, t);
    double target = rng_f64(c->seed, RNG_SAMPLE, position) * z;
    for (size_t i = 0; i < n; i++)
        if ((sum += weight(id[i], max, t)) > target)
            return id[i];
    return -1;
}

static void test_oracle(void **state) {
    (void)state;
    uint64_t at = 0;
    for (uint64_t trial = 0; trial < 3000; trial++) {
        float logits[V_MAX];
        size_t n_vocab = 2 + rng_below(1, RNG_TEST, at++, V_MAX - 2);
        for (size_t i = 0; i < n_vocab; i++) {
            logits[i] = 16 * rng_f32(2, RNG_TEST, at++) - 8;
            if (trial % 7 == 0)
                logits[i] *= 8; /* far apart */
            if (trial % 3 == 0)
                logits[i] = (float)(int)logits[i]; /* many ties */
            if (trial % 5 == 0 && i % 7 == 3)
                logits[i] = i % 2 ? NAN : -INFINITY;
        }
        logits[0] = 1; /* one candidate at least */
        sampler_config c = plain;
        static const int ks[] = {0, 2, 5, 40, 1000};
        static const float ps[] = {1, 0.95f, 0.5f, 0.999f}, ms[] = {0, 0.05f, 0.5f};
        c.top_k = ks[trial % 5];
        c.top_p = ps[trial / 5 % 4];
        c.min_p = ms[trial / 20 % 3];
        c.temperature = trial % 2 ? 1 : 0.1f + 3 * rng_f32(3, RNG_TEST, at++);
        c.seed = trial;
        int32_t ids[3] = {0};
        assert_int_equal(next(&c, logits, n_vocab, ids, trial % 4), oracle(&c, logits, n_vocab, trial % 4));
    }
}

static void test_check(void **state) {
    (void)state;
    err e;
    assert_int_equal(sampler_check(&sampler_default, &e), ERR_OK);
    const struct {
        const char *names;
        sampler_config c;
    } bad[] = {
#define BAD(what, field, value)                                       \
    {                                                                 \
        what, { .top_p = 1, .repetition_penalty = 1, .field = value } \
    }
        BAD("temperature", temperature, -1),
        BAD("temperature", temperature, NAN),
        BAD("top-k", top_k, -1),
        {"top-p", {.top_p = 1.5f, .repetition_penalty = 1}},
        BAD("min-p", min_p, 2),
        {"repetition", {.top_p = 1, .repetition_penalty = 0}},
        BAD("presence", presence_penalty, 1e6f),
        BAD("frequency", frequency_penalty, -INFINITY),
        BAD("window", penalty_last_n, -2),
#undef BAD
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sampler_check(&bad[i].c, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, bad[i].names));
    }
    sampler *s;
    assert_int_equal(sampler_open(&s, 0, &e), ERR_USAGE);
    assert_null(s);
    sampler_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy), cmocka_unit_test(test_penalties), cmocka_unit_test(test_penalty_window),
        cmocka_unit_test(test_cuts),   cmocka_unit_test(test_draw),      cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_oracle), cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
