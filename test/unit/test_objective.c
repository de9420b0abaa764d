/* packing and objective: nothing is cut, every example of a step is read once, in order; the loss of a step is the sum
 * of its examples' own; a gradient of pairs is the slope of their loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tune/objective.h"
#include "tune/packing.h"

enum { MOST = 24, TOKENS = 40 };

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static void near(double is, double want, double within) {
    if (!(is - want <= within && want - is <= within))
        fail_msg("%.17g instead of %.17g", is, want);
}

/* n examples, or pairs, of 2 to 20 tokens a sequence; made up. */
typedef struct {
    examples x;
    example example[MOST];
    hash256 sha256[MOST];
    int32_t id[2 * MOST * 20];
    uint8_t learn[2 * MOST * 20];
    uint32_t train[MOST], held_out[MOST];
    objective_split split;
} made;

static void make(made *m, size_t n, bool pairs) {
    memset(m, 0, sizeof *m);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        example *ex = &m->example[i];
        memset(m->sha256[i].byte, (int)(i * 9 + 1), 32);
        ex->sha256 = m->sha256[i];
        for (int k = 0; k < (pairs ? 2 : 1); k++) {
            uint32_t len = 2 + (uint32_t)rng_below(3, RNG_TEST, 2 * i + (uint64_t)k, 19);
            ex->seq[k] = (example_seq){.from = at, .n = len, .n_learned = len - len / 2};
            for (uint32_t j = 0; j < len; j++, at++) {
                m->id[at] = (int32_t)rng_below(4, RNG_TEST, at, 30);
                m->learn[at] = j >= len / 2;
            }
        }
        if (i % 6 == 5)
            m->held_out[m->split.n_held_out++] = (uint32_t)i;
        else
            m->train[m->split.n_train++] = (uint32_t)i;
    }
    m->split.train = m->train;
    m->split.held_out = m->held_out;
    m->x = (examples){
        .n = n, .example = m->example, .sha256 = m->sha256, .id = m->id, .learn = m->learn, .n_ids = at, .longest = 20};
}

static recipe tuning(bool pairs, uint64_t sequences) {
    recipe r = {
        .model = {.ctx = TOKENS}, .batch = {sequences, 1}, .init = {.seed = 5}, .tune = {.beta = pairs ? 0.3 : 0}};
    snprintf(r.tune.objective, sizeof r.tune.objective, "%s", pairs ? "dpo" : "text");
    return r;
}

/* A small new model with weights that mean nothing. */
typedef struct {
    model *m;
    learner *l;
    param *p;
    size_t n;
} pupil;

static pupil open_pupil(void) {
    pupil u = {0};
    err e = {0};
    recipe r = {.model = {.arch = "qwen3",
                          .layers = 2,
                          .width = 16,
                          .heads = 2,
                          .kv_heads = 1,
                          .head_width = 8,
                          .ff = 24,
                          .vocab = 30,
                          .ctx = TOKENS,
                          .tied = true,
                          .rope_theta = 10000,
                          .norm_eps = 1e-6}};
    model_config c = {0};
    arena mem = {0};
    must(recipe_config(&r, &c, &mem, &e), &e);
    must(model_create(&u.m, &c, &(model_options){0}, &e), &e);
    arena_fini(&mem);
    must(learner_open(&u.l, u.m, &(learner_options){.tokens_max = TOKENS}, &e), &e);
    u.p = learner_params(u.l, &u.n);
    for (size_t i = 0; i < u.n; i++)
        for (size_t j = 0; j < u.p[i].n; j++) {
            bool padding = u.p[i].cols && j / (16 * u.p[i].cols) * 16 + j % 16 >= u.p[i].rows;
            u.p[i].w[j] = padding ? 0.0f : ((float)rng_below(6 + i, RNG_TEST, j, 2001) - 1000) * 3e-4f;
        }
    return u;
}

static void close_pupil(pupil *u) {
    learner_close(u->l);
    model_close(u->m);
}

/* ---- packing ---- */

static void nothing_is_cut(void **state) {
    (void)state;
    made m;
    packing p;
    err e = {0};
    for (int pairs = 0; pairs < 2; pairs++) {
        make(&m, MOST, pairs);
        must(packing_init(&p, &m.x, TOKENS, &e), &e);
        for (uint32_t i = 0; i < MOST;) {
            uint32_t from = i;
            size_t want = 0, seqs = 0, learned = 0;
            packing_begin(&p);
            while (i < MOST && packing_add(&p, i))
                i++;
            assert_true(i > from);
            for (uint32_t k = from; k < i; k++)
                for (int s = 0; s < 2 && m.example[k].seq[s].n; s++, seqs++) {
                    const example_seq *q = &m.example[k].seq[s];
                    segment g = p.batch.segment[seqs];
                    assert_int_equal(g.from, want);
                    assert_int_equal(g.to, want += q->n);
                    assert_memory_equal(p.batch.ids + g.from, m.id + q->from, q->n * sizeof(int32_t));
                    for (size_t t = 0; t < q->n; t++) {
                        bool counts = t + 1 < q->n && m.learn[q->from + t + 1];
                        assert_true(p.batch.weight[g.from + t] == (counts ? 1.0f : 0.0f));
                        if (counts)
                            assert_int_equal(p.batch.target[g.from + t], m.id[q->from + t + 1]);
                        learned += counts;
                    }
                }
            assert_int_equal(p.batch.n, want);
            assert_int_equal(p.batch.n_segments, seqs);
            assert_int_equal(p.n_learned, learned);
            if (i < MOST)
                assert_true(want + packing_tokens(&m.example[i]) > TOKENS);
        }
        packing_fini(&p);
    }
}

/* ---- steps ---- */

/* The places that a step's parts name follow each other, and no step has more parts than said. */
static void a_step_reads_its_examples(void **state) {
    (void)state;
    made m;
    err e = {0};
    lesson x;
    pupil u = open_pupil();
    make(&m, MOST, false);
    for (uint64_t sequences = 1; sequences <= 47; sequences += 23) { /* 47: more than two epochs a step */
        recipe r = tuning(false, sequences);
        must(objective_open(&x, &r, &m.x, &m.split, NULL, &e), &e);
        uint64_t place = 0;
        for (uint64_t step = 1; step <= 5; step++) {
            size_t n = x.parts(x.ctx, step);
            assert_in_range(n, 1, x.parts_max);
            for (size_t i = 0; i < n; i++) {
                lesson_part part;
                must(x.gradient(x.ctx, u.l, step, i, &part, &e), &e);
                assert_int_equal(part.first.epoch * m.split.n_train + part.first.rank, place);
                place += part.batch->n_segments;
                assert_int_equal(part.last.epoch * m.split.n_train + part.last.rank, place - 1);
                assert_true(part.batch->n <= x.tokens_max && part.targets > 0);
            }
            assert_int_equal(place, step * sequences);
        }
        x.close(x.ctx);
    }
    close_pupil(&u);
}

static double alone(const made *m, pupil *u, uint32_t i, size_t *targets) {
    packing p;
    err e = {0};
    double sum;
    must(packing_init(&p, &m->x, TOKENS, &e), &e);
    packing_begin(&p);
    assert_true(packing_add(&p, i));
    must(learner_loss(u->l, &p.batch, NULL, &sum, &e), &e);
    *targets += p.n_learned;
    packing_fini(&p);
    return sum;
}

static void a_loss_is_that_of_its_examples(void **state) {
    (void)state;
    made m;
    err e = {0};
    lesson x;
    pupil u = open_pupil();
    make(&m, MOST, false);
    recipe r = tuning(false, m.split.n_train);
    must(objective_open(&x, &r, &m.x, &m.split, NULL, &e), &e);
    double sum = 0, want = 0, held_out, held_sum = 0;
    size_t targets = 0, want_targets = 0, held_targets = 0;
    for (size_t i = 0; i < x.parts(x.ctx, 1); i++) {
        lesson_part part;
        must(x.gradient(x.ctx, u.l, 1, i, &part, &e), &e);
        sum += part.sum;
        targets += part.targets;
    }
    for (size_t i = 0; i < m.split.n_train; i++)
        want += alone(&m, &u, m.train[i], &want_targets);
    assert_int_equal(targets, want_targets);
    assert_true(sum - want < 1e-9 * want && want - sum < 1e-9 * want);
    for (size_t i = 0; i < m.split.n_held_out; i++)
        held_sum += alone(&m, &u, m.held_out[i], &held_targets);
    must(x.held_out(x.ctx, u.l, &held_out, &e), &e);
    near(held_out, held_sum / (double)held_targets, 1e-9);
    x.close(x.ctx);
    close_pupil(&u);
}

/* ---- pairs ---- */

static void the_logistic_loss(void **state) {
    (void)state;
    near(objective_loss(0), 0.69314718055994531, 1e-15);
    near(objective_loss(2), 0.12692801104297250, 1e-15);
    near(objective_loss(-2), 2.12692801104297250, 1e-15);
    near(objective_loss(-1000), 1000, 0);
    near(objective_loss(1000), 0, 0);
    near(objective_pull(0), 0.5, 0);
    near(objective_pull(2), 0.11920292202211755, 1e-15);
    near(objective_pull(-1000), 1, 0);
    near(objective_pull(1000), 0, 0);
}

static double step_loss(lesson *x, learner *l) {
    err e = {0};
    double sum = 0;
    for (size_t i = 0; i < x->parts(x->ctx, 1); i++) {
        lesson_part part;
        must(x->gradient(x->ctx, l, 1, i, &part, &e), &e);
        sum += part.sum;
    }
    return sum;
}

/* Against differences of the loss along the gradient itself, in a model that has moved away from the reference. */
static void a_gradient_of_pairs_is_the_slope(void **state) {
    (void)state;
    made m;
    err e = {0};
    lesson x;
    double held_out;
    pupil u = open_pupil();
    make(&m, MOST, true);
    recipe r = tuning(true, 1);
    must(objective_open(&x, &r, &m.x, &m.split, NULL, &e), &e);
    lesson_part part;
    assert_int_equal(x.gradient(x.ctx, u.l, 1, 0, &part, &e), ERR_USAGE); /* nothing to compare with */
    must(x.begin(x.ctx, u.l, &e), &e);
    must(x.held_out(x.ctx, u.l, &held_out, &e), &e);
    near(held_out, 0.69314718055994531, 1e-12);
    near(step_loss(&x, u.l), 0.69314718055994531, 1e-12); /* one pair a step */
    assert_int_equal(x.parts(x.ctx, 1), 1);
    for (size_t i = 0; i < u.n; i++)
        for (size_t j = 0; j < u.p[i].n; j++)
            u.p[i].w[j] -= 0.05f * u.p[i].g[j];
    must(x.begin(x.ctx, u.l, &e), &e); /* the reference stays what it was */
    double before = step_loss(&x, u.l);
    assert_true(before < 0.69);
    float *g[64], *w[64];
    double square = 0;
    assert_true(u.n <= 64);
    for (size_t i = 0; i < u.n; i++) {
        g[i] = calloc(u.p[i].n, sizeof(float));
        w[i] = calloc(u.p[i].n, sizeof(float));
        memcpy(g[i], u.p[i].g, u.p[i].n * sizeof(float));
        memcpy(w[i], u.p[i].w, u.p[i].n * sizeof(float));
        for (size_t j = 0; j < u.p[i].n; j++)
            square += (double)g[i][j] * (double)g[i][j];
    }
    double side[2];
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < u.n; i++)
            for (size_t j = 0; j < u.p[i].n; j++)
                u.p[i].w[j] = w[i][j] + (k ? 2e-3f : -2e-3f) * g[i][j];
        side[k] = step_loss(&x, u.l);
    }
    double slope = (side[1] - side[0]) / 4e-3;
    if (slope < 0.99 * square || slope > 1.01 * square)
        fail_msg("slope %g, square of the gradient %g", slope, square);
    for (size_t i = 0; i < u.n; i++) {
        free(g[i]);
        free(w[i]);
    }
    x.close(x.ctx);
    close_pupil(&u);
}

static void what_cannot_be_learned_is_refused(void **state) {
    (void)state;
    made m;
    err e = {0};
    lesson x;
    make(&m, MOST, true);
    recipe r = tuning(true, 4);
    r.model.ctx = 10; /* some pair is longer than 10 */
    assert_int_equal(objective_open(&x, &r, &m.x, &m.split, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "--micro"));
    r = tuning(true, 4);
    m.split.n_train = 0;
    assert_int_equal(objective_open(&x, &r, &m.x, &m.split, NULL, &e), ERR_USAGE);
    assert_null(x.close);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_cut),
        cmocka_unit_test(a_step_reads_its_examples),
        cmocka_unit_test(a_loss_is_that_of_its_examples),
        cmocka_unit_test(the_logistic_loss),
        cmocka_unit_test(a_gradient_of_pairs_is_the_slope),
        cmocka_unit_test(what_cannot_be_learned_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
