/* near: recall and precision on generated near-duplicates, agreement with all pairs, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "store/near.h"

typedef struct {
    strbuf *text;
    shingle_sketch *sketch;
    size_t n;
} texts;

/* Groups of `copies` texts each: the first is random, the others have some of its words changed, from none to one in
 * thirty, or a piece cut off, or a sentence put in front. Words come from a vocabulary so small that unrelated texts
 * share some shingles, as they do in real corpora. */
static texts make(size_t groups, size_t copies, uint64_t seed) {
    texts t = {calloc(groups * copies, sizeof(strbuf)), calloc(groups * copies, sizeof(shingle_sketch)),
               groups * copies};
    for (size_t i = 0; i < t.n; i++) {
        size_t group = i % groups, copy = i / groups;
        uint64_t base = seed + 10 * group, own = seed + 1000003 * copy + group;
        size_t words = 30 + (size_t)rng_below(base, RNG_TEST, 1 << 20, 300);
        double change = copy ? rng_f64(own, RNG_TEST, 1 << 21) / 30 : 0;
        if (copy % 4 == 3)
            assert_int_equal(strbuf_addf(&t.text[i], NULL, "Copied for number %d by somebody. ", (int)copy), ERR_OK);
        if (copy % 4 == 2)
            words -= words / 10;
        for (size_t k = 0; k < words; k++) {
            bool changed = copy && rng_f64(own, RNG_TEST, k) < change;
            uint64_t word = rng_below(changed ? own + 7 : base, RNG_TEST, k, 40);
            assert_int_equal(strbuf_addf(&t.text[i], NULL, "w%d ", (int)word), ERR_OK);
        }
        assert_true(shingle_sketch_of(strbuf_str(&t.text[i]), &t.sketch[i]));
    }
    return t;
}

static void unmake(texts *t) {
    for (size_t i = 0; i < t->n; i++)
        strbuf_fini(&t->text[i]);
    free(t->text);
    free(t->sketch);
}

static err_code fetch(void *ctx, uint32_t i, strbuf *out, err *e) {
    texts *t = ctx;
    return strbuf_add(out, strbuf_str(&t->text[i]), e);
}

static near_mark *marks_of(texts *t, double threshold, size_t first, const near_mark *known, int threads) {
    pool *workers;
    near_pair *pairs;
    size_t n_pairs;
    near_mark *mark = malloc(t->n * sizeof *mark);
    for (size_t i = 0; i < t->n; i++)
        mark[i] = i < first ? known[i] : (near_mark){NEAR_NONE, 0};
    assert_int_equal(pool_open(&workers, threads, NULL), ERR_OK);
    assert_int_equal(
        near_candidates(t->sketch, t->n, first, workers, near_min_agree(threshold), &pairs, &n_pairs, NULL), ERR_OK);
    for (size_t i = 0; i < n_pairs; i++)
        assert_true(pairs[i].text >= first && pairs[i].earlier < pairs[i].text);
    assert_int_equal(near_marks(pairs, n_pairs, threshold, fetch, t, workers, NULL, mark, NULL), ERR_OK);
    free(pairs);
    pool_close(workers);
    return mark;
}

static double exact(const texts *t, size_t i, size_t k) {
    shingle_set a = {0}, b = {0};
    assert_int_equal(shingle_set_of(strbuf_str(&t->text[i]), &a, NULL), ERR_OK);
    assert_int_equal(shingle_set_of(strbuf_str(&t->text[k]), &b, NULL), ERR_OK);
    double s = shingle_jaccard(&a, &b);
    shingle_set_fini(&a);
    shingle_set_fini(&b);
    return s;
}

/* Against all pairs: what is marked is right to the last digit; nearly nothing that should be is missed. */
static void recall_and_precision(void **state) {
    (void)state;
    static const double thresholds[] = {0.7, 0.8, 0.9};
    texts t = make(60, 6, 1);
    double *all = calloc(t.n * t.n, sizeof *all);
    for (size_t i = 0; i < t.n; i++)
        for (size_t k = 0; k < i; k++)
            all[i * t.n + k] = exact(&t, i, k);
    for (size_t h = 0; h < 3; h++) {
        double threshold = thresholds[h];
        near_mark *mark = marks_of(&t, threshold, 0, NULL, 2);
        size_t wanted = 0, found = 0, best = 0;
        for (size_t i = 0; i < t.n; i++) {
            size_t original = NEAR_NONE;
            for (size_t k = 0; k < i; k++)
                if (mark[k].earlier == NEAR_NONE && all[i * t.n + k] >= threshold &&
                    (original == NEAR_NONE || all[i * t.n + k] > all[i * t.n + original]))
                    original = k;
            wanted += original != NEAR_NONE;
            if (mark[i].earlier == NEAR_NONE)
                continue;
            found++;
            assert_true(mark[i].similarity == all[i * t.n + mark[i].earlier] && mark[i].similarity >= threshold);
            assert_int_equal(mark[mark[i].earlier].earlier, NEAR_NONE);
            best += mark[i].earlier == original;
        }
        assert_true(found <= wanted && wanted > 40);
        if (found < wanted - wanted / 40 || best < found - found / 40)
            fail_msg("threshold %g: %zu of %zu found, %zu of them the best", threshold, found, wanted, best);
        free(mark);
    }
    free(all);
    unmake(&t);
}

static void threads_and_parts_change_nothing(void **state) {
    (void)state;
    texts t = make(100, 8, 2);
    near_mark *one = marks_of(&t, 0.8, 0, NULL, 1);
    size_t n_marked = 0;
    for (int threads = 2; threads <= 5; threads++) {
        near_mark *other = marks_of(&t, 0.8, 0, NULL, threads);
        for (size_t i = 0; i < t.n; i++)
            assert_true(one[i].earlier == other[i].earlier && one[i].similarity == other[i].similarity);
        free(other);
    }
    for (size_t first = 0; first <= t.n; first += 200) { /* the beginning known from before: the same end */
        near_mark *other = marks_of(&t, 0.8, first, one, 2);
        for (size_t i = 0; i < t.n; i++)
            assert_true(one[i].earlier == other[i].earlier && (i < first || one[i].similarity == other[i].similarity));
        free(other);
    }
    for (size_t i = 0; i < t.n; i++)
        n_marked += one[i].earlier != NEAR_NONE;
    assert_true(n_marked > 200);
    free(one);
    unmake(&t);
}

/* A thousand nearly equal texts are no thousand times the work: pairs stay few. */
static void work_is_linear(void **state) {
    (void)state;
    texts t = make(1, 1000, 3);
    near_pair *pairs;
    size_t n_pairs;
    assert_int_equal(near_candidates(t.sketch, t.n, 0, NULL, 0, &pairs, &n_pairs, NULL), ERR_OK);
    assert_true(n_pairs > 0 && n_pairs <= NEAR_CHOICES * t.n);
    free(pairs);
    assert_int_equal(near_candidates(t.sketch, 1, 0, NULL, 0, &pairs, &n_pairs, NULL), ERR_OK);
    assert_true(n_pairs == 0 && !pairs);
    assert_int_equal(near_candidates(t.sketch, 0, 0, NULL, 0, &pairs, &n_pairs, NULL), ERR_OK);
    volatile int stop = 1;
    near_mark mark[2] = {{NEAR_NONE, 0}, {NEAR_NONE, 0}};
    near_pair pair = {1, 0, 128};
    assert_int_equal(near_marks(&pair, 1, 0.8, fetch, &t, NULL, &stop, mark, NULL), ERR_CANCELLED);
    unmake(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_and_precision),
        cmocka_unit_test(threads_and_parts_change_nothing),
        cmocka_unit_test(work_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
