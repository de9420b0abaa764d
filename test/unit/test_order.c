/* order and batches: the order is that of the text in order.h; the stream is read without gaps; and what promise 4
 * rests on: a document taken out leaves every microbatch before its first place as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/batches.h"

enum { DOCS_MAX = 60 };

/* Made-up documents: document i of the full set has tokens 1000 i + j. */
typedef struct {
    tokens t;
    hash256 sha256[DOCS_MAX];
    uint32_t n_tokens[DOCS_MAX];
    int32_t ids[DOCS_MAX * 40];
    uint64_t from[DOCS_MAX + 1];
    size_t n;
} corpus;

static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

/* n documents, without number `skip` of them. */
static void make(corpus *c, size_t n, size_t skip) {
    hash256 all[DOCS_MAX];
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < n; i++)
        all[i] = hash_of(&i, sizeof i);
    qsort(all, n, sizeof *all, by_digest);
    for (size_t i = 0; i < n; i++) {
        if (i == skip)
            continue;
        uint32_t len = 1 + (uint32_t)rng_below(5, RNG_TEST, i, 39);
        c->sha256[c->n] = all[i];
        c->n_tokens[c->n] = len;
        c->from[c->n + 1] = c->from[c->n] + len;
        for (uint32_t j = 0; j < len; j++)
            c->ids[c->from[c->n] + j] = (int32_t)(1000 * i + j);
        c->n++;
    }
    c->t = (tokens){.n_docs = c->n, .from = c->from, .n_tokens = c->n_tokens, .wide = c->ids};
}

static order *open(corpus *c, uint64_t seed, pool *p) {
    order *o = NULL;
    assert_int_equal(order_open(&o, seed, c->sha256, c->n_tokens, c->n, p, NULL), ERR_OK);
    return o;
}

/* The definition in order.h, written apart. */
static void the_order_is_the_documented_one(void **state) {
    (void)state;
    corpus c;
    make(&c, DOCS_MAX, SIZE_MAX);
    for (int threads = 1; threads <= 3; threads++) {
        pool *p = NULL;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        order *o = open(&c, 77, p);
        for (uint64_t epoch = 0; epoch < 5; epoch++) {
            bool done[DOCS_MAX] = {false};
            uint64_t pos = epoch * order_epoch_tokens(o);
            for (size_t r = 0; r < c.n; r++) {
                size_t least = SIZE_MAX;
                hash256 least_key = {{0}};
                for (size_t i = 0; i < c.n; i++) {
                    struct {
                        char text[10];
                        uint8_t seed[8], epoch[8];
                        hash256 sha256;
                    } in = {.seed = {77}, .epoch = {(uint8_t)epoch}, .sha256 = c.sha256[i]};
                    memcpy(in.text, "loam order", 10);
                    _Static_assert(sizeof in == 58, "no padding");
                    hash256 key = hash_of(&in, sizeof in);
                    if (!done[i] && (least == SIZE_MAX || memcmp(&key, &least_key, 32) < 0)) {
                        least = i;
                        least_key = key;
                    }
                }
                done[least] = true;
                order_place at;
                order_find(o, pos, &at);
                assert_int_equal(at.doc, least);
                assert_int_equal(at.rank, r);
                assert_int_equal(at.epoch, epoch);
                assert_int_equal(at.at, 0);
                assert_int_equal(order_position(o, (uint32_t)least, epoch), pos);
                pos += c.n_tokens[least];
            }
        }
        order_close(o);
        pool_close(p);
    }
}

/* Reading microbatches gives the stream, in well-formed segments, with the right targets. */
static void batches_read_the_stream(void **state) {
    (void)state;
    enum { CTX = 16, N = 64 };
    corpus c;
    make(&c, DOCS_MAX, SIZE_MAX);
    order *o = open(&c, 1, NULL);
    batches b;
    assert_int_equal(batches_init(&b, o, &c.t, CTX, N, NULL), ERR_OK);
    order_place p;
    order_find(o, 0, &p);
    uint64_t total = 3 * order_epoch_tokens(o) / N * N;
    size_t predicted = 0, ended = 0, restarted = 0;
    for (uint64_t pos = 0; pos < total; pos += N) {
        batches_read(&b, pos);
        assert_int_equal(b.batch.n, N);
        size_t at = 0, targets = 0;
        assert_int_equal(b.first.doc, p.doc);
        assert_int_equal(b.first.rank, p.rank);
        for (size_t s = 0; s < b.batch.n_segments; s++) {
            segment g = b.batch.segment[s];
            assert_int_equal(g.from, at);
            assert_true(g.to > g.from && g.to - g.from <= CTX && g.to <= N);
            for (; at < g.to; at++) {
                bool last = p.at + 1 == c.n_tokens[p.doc];
                int32_t id = c.ids[c.from[p.doc] + p.at];
                assert_int_equal(b.batch.ids[at], id);
                assert_true(b.batch.weight[at] == (last ? 0.0f : 1.0f));
                if (!last)
                    assert_int_equal(b.batch.target[at], id + 1);
                targets += !last;
                ended += last;
                b.last.at = 0;
                if (at + 1 == N) {
                    assert_int_equal(b.last.doc, p.doc);
                    assert_int_equal(b.last.epoch, p.epoch);
                }
                if (last) {
                    assert_int_equal(at + 1, g.to); /* no segment goes on behind a document's end */
                    order_next(o, &p);
                } else
                    p.at++;
            }
            if (p.at && g.to < N) {
                assert_int_equal(g.to - g.from, CTX); /* cut only for being long */
                restarted++;
            }
        }
        assert_int_equal(at, N);
        assert_int_equal(b.n_targets, targets);
        predicted += targets;
    }
    assert_int_equal(predicted + ended, total);
    assert_true(restarted > 20 && ended > 2 * c.n);
    batches_fini(&b);
    order_close(o);
}

static bool same_batch(const batches *a, const batches *b) {
    if (a->batch.n_segments != b->batch.n_segments || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) ||
        memcmp(a->weight, b->weight, a->n * sizeof *a->weight) ||
        memcmp(a->segment, b->segment, a->batch.n_segments * sizeof *a->segment))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->weight[i] != 0 && a->target[i] != b->target[i])
            return false;
    return true;
}

static void a_document_taken_out_changes_nothing_before_it(void **state) {
    (void)state;
    enum { CTX = 16, N = 48 };
    corpus full, less;
    make(&full, DOCS_MAX, SIZE_MAX);
    order *o = open(&full, 3, NULL);
    batches a, b;
    assert_int_equal(batches_init(&a, o, &full.t, CTX, N, NULL), ERR_OK);
    size_t kept = 0, changed = 0;
    for (size_t skip = 0; skip < DOCS_MAX; skip++) {
        make(&less, DOCS_MAX, skip);
        order *q = open(&less, 3, NULL);
        assert_int_equal(batches_init(&b, q, &less.t, CTX, N, NULL), ERR_OK);
        uint64_t first = order_position(o, (uint32_t)skip, 0) / N; /* the first microbatch that reads it */
        for (uint64_t i = 0; i <= first; i++) {
            batches_read(&a, i * N);
            batches_read(&b, i * N);
            bool same = same_batch(&a, &b);
            if (i < first && !same)
                fail_msg("without document %zu microbatch %d of %d differs", skip, (int)i, (int)first);
            kept += i < first;
            changed += i == first && !same;
        }
        batches_fini(&b);
        order_close(q);
    }
    assert_int_equal(changed, DOCS_MAX);
    assert_true(kept > 300);
    batches_fini(&a);
    order_close(o);
}

static void epochs_and_seeds_have_orders_of_their_own(void **state) {
    (void)state;
    corpus c;
    make(&c, DOCS_MAX, SIZE_MAX);
    order *a = open(&c, 1, NULL), *b = open(&c, 2, NULL);
    size_t other_epoch = 0, other_seed = 0;
    for (uint32_t i = 0; i < c.n; i++) {
        uint64_t p = order_position(a, i, 0);
        other_epoch += p != order_position(a, i, 1) - order_epoch_tokens(a);
        other_seed += p != order_position(b, i, 0);
    }
    assert_true(other_epoch > 50 && other_seed > 50);
    order_close(a);
    order_close(b);
}

static void documents_of_one_text_stand_together(void **state) {
    (void)state;
    corpus c;
    make(&c, 10, SIZE_MAX);
    c.sha256[4] = c.sha256[3];
    order *o = open(&c, 1, NULL);
    assert_int_equal(order_position(o, 4, 0), order_position(o, 3, 0) + c.n_tokens[3]);
    order_close(o);
}

static void held_out_documents_are_read_to_their_end(void **state) {
    (void)state;
    corpus c;
    make(&c, 20, SIZE_MAX);
    order *o = open(&c, 1, NULL);
    batches b;
    assert_int_equal(batches_init(&b, o, &c.t, 16, 32, NULL), ERR_OK);
    uint64_t all = c.from[17] - c.from[5], at = 0;
    while (at < all) {
        size_t n = batches_read_docs(&b, 5, 17, at);
        assert_int_equal(n, all - at < 32 ? all - at : 32);
        assert_memory_equal(b.ids, c.ids + c.from[5] + at, n * sizeof *b.ids);
        at += n;
    }
    assert_int_equal(batches_read_docs(&b, 5, 17, at), 0);
    batches_fini(&b);
    order_close(o);
}

static void too_few_documents(void **state) {
    (void)state;
    order *o = NULL;
    err e = {0};
    assert_int_equal(order_open(&o, 1, NULL, NULL, 0, NULL, &e), ERR_LIMIT);
    assert_null(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_documented_one),
        cmocka_unit_test(batches_read_the_stream),
        cmocka_unit_test(a_document_taken_out_changes_nothing_before_it),
        cmocka_unit_test(epochs_and_seeds_have_orders_of_their_own),
        cmocka_unit_test(documents_of_one_text_stand_together),
        cmocka_unit_test(held_out_documents_are_read_to_their_end),
        cmocka_unit_test(too_few_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
