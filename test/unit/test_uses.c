/* uses: the steps that read a document are those whose part of the stream holds a token of it; a chain that cannot be
 * is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/uses.h"

enum { N = 40, HELD_OUT = 3, STEP = 50, STEPS = 60, SEED = 9 };

typedef struct {
    docs d;
    hash256 sha256[N + HELD_OUT];
    uint32_t n_tokens[N];
    chain c;
    chain_line line[STEPS + 1];
    bool reads[STEPS + 1][N]; /* step reads document */
} world;

static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

/* The chain of a run over N documents of 1 to 120 tokens, from the stream itself. */
static void make(world *w) {
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < N + HELD_OUT; i++)
        w->sha256[i] = hash_of(&i, sizeof i);
    qsort(w->sha256, N, sizeof *w->sha256, by_digest);
    for (size_t i = 0; i < N; i++)
        w->n_tokens[i] = 1 + (uint32_t)rng_below(3, RNG_TEST, i, i % 9 == 0 ? 120 : 20);
    w->d = (docs){.n = N + HELD_OUT, .n_train = N, .sha256 = w->sha256};
    w->c = (chain){.line = w->line, .n = STEPS + 1};
    order *o;
    assert_int_equal(order_open(&o, SEED, w->sha256, w->n_tokens, N, NULL, NULL), ERR_OK);
    for (uint64_t pos = 0; pos < (uint64_t)STEPS * STEP; pos++) {
        order_place p;
        uint64_t step = pos / STEP + 1, *at = w->line[step].docs;
        order_find(o, pos, &p);
        w->line[step].step = step;
        w->reads[step][p.doc] = true;
        at[2] = p.epoch;
        at[3] = p.rank;
        if (pos % STEP == 0) {
            at[0] = p.epoch;
            at[1] = p.rank;
        }
    }
    order_close(o);
}

static void a_document_is_read_where_its_tokens_stand(void **state) {
    (void)state;
    static world w;
    make(&w);
    for (int threads = 1; threads <= 3; threads += 2) {
        pool *p = NULL;
        uses *u;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        assert_int_equal(uses_open(&u, SEED, &w.d, &w.c, p, NULL), ERR_OK);
        for (size_t doc = 0; doc < N; doc++) {
            use found[STEPS];
            size_t n = uses_of(u, doc, found, STEPS);
            bool reads[STEPS + 1] = {false};
            assert_true(n >= 2 && n <= STEPS);
            for (size_t i = 0; i < n; i++) {
                assert_true(i == 0 || (found[i].epoch > found[i - 1].epoch && found[i].first >= found[i - 1].last));
                for (uint64_t s = found[i].first; s <= found[i].last; s++)
                    reads[s] = true;
            }
            for (size_t s = 1; s <= STEPS; s++)
                assert_int_equal(reads[s], w.reads[s][doc]);
            assert_int_equal(uses_first(u, doc), found[0].first);
            use one;
            assert_int_equal(uses_of(u, doc, &one, 1), n); /* no more than there is room for */
            assert_int_equal(one.last, found[0].last);
        }
        for (size_t doc = N; doc < N + HELD_OUT + 1; doc++)
            assert_int_equal(uses_first(u, doc), 0);
        uses_close(u);
        pool_close(p);
    }
}

static void a_run_that_has_not_begun_has_read_nothing(void **state) {
    (void)state;
    static world w;
    make(&w);
    for (w.c.n = 0; w.c.n < 2; w.c.n++) {
        uses *u;
        assert_int_equal(uses_open(&u, SEED, &w.d, &w.c, NULL, NULL), ERR_OK);
        assert_int_equal(uses_of(u, 5, NULL, 0), 0);
        uses_close(u);
    }
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static world w;
    static const struct {
        size_t step, at;
        uint64_t value;
        err_code code;
    } bad[] = {
        {1, 1, 1, ERR_FORMAT},
        {5, 1, N, ERR_FORMAT},
        {5, 3, UINT64_MAX, ERR_FORMAT},
        {30, 0, 0, ERR_FORMAT},
        {STEPS, 2, UINT64_MAX / 2, ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uses *u;
        err e = {0};
        make(&w);
        w.line[bad[i].step].docs[bad[i].at] = bad[i].value;
        assert_int_equal(uses_open(&u, SEED, &w.d, &w.c, NULL, &e), bad[i].code);
        assert_null(u);
        assert_true(strlen(e.text) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_read_where_its_tokens_stand),
        cmocka_unit_test(a_run_that_has_not_begun_has_read_nothing),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
