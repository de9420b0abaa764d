/* test_learner: losses and gradients of whole models: the bits of model_forward(), whatever computes them; finite
 * differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "base/os.h"
#include "model/learner_int.h"
#include "prop/gen.h"

enum { N = 150, V_MAX = 4096 };

static const char *const families[] = {"llama",  "llama-bias", "mistral", "qwen2",     "qwen2-window", "qwen3",
                                       "gemma2", "gemma3",     "olmo2",   "olmo3",     "smollm3",      "smollm3-window",
                                       "phi3",   "phi3-short", "granite", "llama-yarn"};
#define EACH_FAMILY(i) for (size_t i = 0; i < sizeof families / sizeof *families; i++)

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

/* ---- a model, a learner, a batch ---- */

typedef struct {
    pool *pool;
    model *m;
    learner *l;
} bench;

static bench open_bench(const char *family, const char *isa, int threads, size_t tokens, bool recompute) {
    bench b = {0};
    err e = {0};
    char path[120];
    snprintf(path, sizeof path, "test/golden/models/%s", family);
    must(pool_open(&b.pool, threads, &e), &e);
    must(model_open(&b.m, path, &(model_options){.pool = b.pool, .isa = isa, .weights = MODEL_WEIGHTS_F32}, &e), &e);
    must(learner_open(&b.l, b.m, &(learner_options){.tokens_max = tokens, .recompute = recompute}, &e), &e);
    return b;
}

static void close_bench(bench *b) {
    learner_close(b->l);
    model_close(b->m);
    pool_close(b->pool);
}

static int32_t ids[N], target[N];
static float weight[N], loss[N];
static segment segments[] = {{0, 1}, {1, 71}, {71, 72}, {72, 136}, {136, N}};
static batch the_batch = {.ids = ids,
                          .target = target,
                          .weight = weight,
                          .n = N,
                          .segment = segments,
                          .n_segments = sizeof segments / sizeof *segments};

static void fill_batch(size_t V) {
    for (uint64_t i = 0; i < N; i++) {
        ids[i] = (int32_t)rng_below(7, RNG_TEST, i, V);
        target[i] = (int32_t)rng_below(8, RNG_TEST, i, V);
        weight[i] = i % 7 == 3 ? 0.0f : i % 5 == 1 ? 0.25f : 1.0f;
    }
}

static double gradient(bench *b, const batch *x) {
    err e = {0};
    double sum = 0;
    must(learner_gradient(b->l, x, loss, &sum, &e), &e);
    return sum;
}

/* All gradients, one after the other. */
static float *all_gradients(bench *b, size_t *n) {
    size_t n_params, at = 0;
    param *p = learner_params(b->l, &n_params);
    *n = 0;
    for (size_t i = 0; i < n_params; i++)
        *n += p[i].n;
    float *g = gen_alloc(*n * sizeof *g);
    for (size_t i = 0; i < n_params; at += p[i++].n)
        memcpy(g + at, p[i].g, p[i].n * sizeof *g);
    return g;
}

static void same_gradients(const char *what, bench *b, const float *want) {
    size_t n_params;
    param *p = learner_params(b->l, &n_params);
    for (size_t i = 0; i < n_params; want += p[i++].n)
        for (size_t j = 0; j < p[i].n; j++)
            if (memcmp(&p[i].g[j], &want[j], 4))
                fail_msg("%s: gradient %zu of %s is %a, must be %a", what, j, p[i].name, (double)p[i].g[j],
                         (double)want[j]);
}

/* ---- the forward pass ---- */

static void losses_are_those_of_the_model(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        err e = {0};
        bench b = open_bench(families[f], NULL, 2, N, false);
        const kern_ops *k = kern_select(NULL);
        size_t V = model_config_of(b.m)->V;
        static float logits[N * V_MAX];
        double sum = 0, want_sum = 0;
        fill_batch(V);
        must(learner_loss(b.l, &the_batch, loss, &sum, &e), &e);
        for (size_t s = 0; s < the_batch.n_segments; s++) {
            size_t from = segments[s].from, n = segments[s].to - from;
            kv_cache *kv = NULL;
            must(kv_open(&kv, b.m, n, &e), &e);
            must(model_forward(b.m, kv, ids + from, n, LOGITS_ALL, logits, &e), &e);
            kv_close(kv);
            for (size_t t = 0; t < n; t++) {
                float stat[2], want = 0;
                if (weight[from + t] != 0)
                    want = k->cross_entropy(logits + t * V, V, (size_t)target[from + t], stat);
                if (memcmp(&want, &loss[from + t], 4))
                    fail_msg("%s: loss of position %zu is %a, must be %a", families[f], from + t,
                             (double)loss[from + t], (double)want);
                want_sum += (double)weight[from + t] * (double)want;
            }
        }
        assert_true(sum == want_sum);
        close_bench(&b);
    }
}

/* ---- the same bits ---- */

static void bits_do_not_depend_on_the_machine(void **state) {
    (void)state;
    static const struct {
        int threads;
        bool recompute;
    } others[] = {{2, true}, {1, false}, {3, false}, {8, true}};
    EACH_FAMILY(f) {
        size_t n;
        bench b = open_bench(families[f], NULL, 1, N, false);
        fill_batch(model_config_of(b.m)->V);
        double sum = gradient(&b, &the_batch);
        float *want = all_gradients(&b, &n);
        close_bench(&b);
        for (const char *const *isa = kern_isa_names(); *isa; isa++)
            for (size_t i = 0; i < sizeof others / sizeof *others && kern_isa_usable(*isa); i++) {
                int threads = others[i].threads;
                if (i > 1 && (f % 5 || isa != kern_isa_names()))
                    continue; /* threads that wait for a CPU are slow */
                char what[80];
                snprintf(what, sizeof what, "%s on %s, %d threads, recompute %d", families[f], *isa, threads,
                         others[i].recompute);
                b = open_bench(families[f], *isa, threads, N + (size_t)threads, others[i].recompute);
                if (gradient(&b, &the_batch) != sum)
                    fail_msg("%s: another sum of losses", what);
                same_gradients(what, &b, want);
                close_bench(&b);
            }
        free(want);
    }
}

/* Room for few logits and few panels at a time changes nothing, nor does room for more tokens. */
static void cuts_leave_no_trace(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        if (f % 3)
            continue;
        size_t n;
        bench b = open_bench(families[f], NULL, 2, N, false);
        fill_batch(model_config_of(b.m)->V);
        double sum = gradient(&b, &the_batch);
        float *want = all_gradients(&b, &n);
        for (size_t rows = 1; rows <= 64; rows *= 8) {
            b.l->head_rows = rows;
            b.l->panel_rows = 79 + rows; /* no less than the longest segment */
            assert_true(gradient(&b, &the_batch) == sum);
            same_gradients(families[f], &b, want);
        }
        close_bench(&b);
        free(want);
    }
}

/* A segment has the losses that it has alone; and where it alone counts, the gradients are those that it has alone.
 * Only the sign of zeros may differ, for there are more terms: zeros. */
static void segments_do_not_see_each_other(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        size_t n;
        bench b = open_bench(families[f], NULL, 2, N, f % 2);
        fill_batch(model_config_of(b.m)->V);
        static float all[N], some[N];
        gradient(&b, &the_batch);
        memcpy(all, loss, sizeof all);
        for (size_t s = 0; s < the_batch.n_segments; s++) {
            size_t from = segments[s].from, to = segments[s].to;
            batch part = the_batch;
            memset(some, 0, sizeof some);
            memcpy(some + from, weight + from, (to - from) * sizeof *some);
            if (to - from == 1 && some[from] == 0)
                continue;
            part.weight = some;
            double sum = gradient(&b, &part);
            float *want = all_gradients(&b, &n);
            const segment whole = {0, to - from};
            part = (batch){.ids = ids + from,
                           .target = target + from,
                           .weight = weight + from,
                           .n = to - from,
                           .segment = &whole,
                           .n_segments = 1};
            assert_true(gradient(&b, &part) == sum);
            assert_memory_equal(loss, all + from, (to - from) * sizeof *loss);
            float *got = all_gradients(&b, &n);
            for (size_t i = 0; i < n; i++)
                if (got[i] != want[i])
                    fail_msg("%s, segment %zu: gradient %zu is %a alone, %a among others", families[f], s, i,
                             (double)got[i], (double)want[i]);
            free(got);
            free(want);
        }
        close_bench(&b);
    }
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    (void)state;
    bench b = open_bench("llama", NULL, 1, N, false);
    size_t V = model_config_of(b.m)->V, n;
    fill_batch(V);
    double sum = gradient(&b, &the_batch);
    float *want = all_gradients(&b, &n);
    err e = {0};
    double other;
#define REFUSED(change, undo)                                                     \
    do {                                                                          \
        batch x = the_batch;                                                      \
        change;                                                                   \
        assert_int_equal(learner_gradient(b.l, &x, NULL, &other, &e), ERR_USAGE); \
        assert_int_equal(learner_loss(b.l, &x, NULL, &other, &e), ERR_USAGE);     \
        undo;                                                                     \
    } while (0)
    int32_t id = ids[5], to = target[5];
    REFUSED(ids[5] = (int32_t)V, ids[5] = id);
    REFUSED(ids[5] = -1, ids[5] = id);
    REFUSED(target[5] = (int32_t)V, target[5] = to);
    REFUSED(target[5] = -1, target[5] = to);
    REFUSED(x.n = N + 1, (void)0);
    REFUSED(x.n = 0, (void)0);
    REFUSED(x.n_segments--, (void)0);
    REFUSED(x.n_segments = 0, (void)0);
    REFUSED(segments[1].to--, segments[1].to++);
    REFUSED(segments[4].to++, segments[4].to--);
    REFUSED(segments[0].to = 0, segments[0].to = 1);
    assert_int_equal(weight[3], 0); /* nobody looks at the target of a token that does not count */
    target[3] = -77;
    assert_true(gradient(&b, &the_batch) == sum);
    same_gradients("after refusals", &b, want);
    free(want);
    /* nothing counts: no loss, no gradient */
    static const float none[N];
    batch x = the_batch;
    x.weight = none;
    assert_true(gradient(&b, &x) == 0);
    want = all_gradients(&b, &n);
    for (size_t i = 0; i < n; i++)
        assert_true(want[i] == 0);
    free(want);
    close_bench(&b);

    model *m = NULL;
    learner *l = NULL;
    assert_int_equal(model_open(&m, "test/golden/models/quant/mixed.gguf", &(model_options){0}, &e), ERR_OK);
    assert_int_equal(learner_open(&l, m, &(learner_options){.tokens_max = 1}, &e), ERR_USAGE);
    model_close(m);
    assert_int_equal(
        model_open(&m, "test/golden/models/llama", &(model_options){.weights = MODEL_WEIGHTS_F32, .plan = true}, &e),
        ERR_OK);
    assert_int_equal(learner_open(&l, m, &(learner_options){.tokens_max = 1}, &e), ERR_USAGE);
    assert_int_equal(learner_plan_bytes(m, &(learner_options){.tokens_max = SIZE_MAX / 2}), SIZE_MAX);
    assert_int_equal(learner_plan_bytes(m, &(learner_options){.tokens_max = SIZE_MAX / 64}), SIZE_MAX);
    size_t kept = learner_plan_bytes(m, &(learner_options){.tokens_max = 512});
    assert_true(kept > learner_plan_bytes(m, &(learner_options){.tokens_max = 512, .recompute = true}));
    model_close(m);
    m = NULL;
    bench again = open_bench("llama", NULL, 2, 512, false); /* what was planned is what is taken */
    assert_int_equal(again.l->block_bytes, learner_plan_bytes(again.m, &(learner_options){.tokens_max = 512}));
    model_config c = *model_config_of(again.m);
    c.V = 0;
    assert_int_equal(model_create(&m, &c, &(model_options){0}, &e), ERR_USAGE);
    c.V = 10;
    c.K = 3;
    assert_int_equal(model_create(&m, &c, &(model_options){0}, &e), ERR_FORMAT);
    assert_null(m);
    close_bench(&again);
}

/* Names and shapes are those of the folder's tensors; a new model of the same config has the same list. */
static void weights_are_listed_by_name(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        err e = {0};
        bench b = open_bench(families[f], NULL, 1, 1, false);
        model *m = NULL;
        learner *l = NULL;
        size_t n, n_new;
        must(model_create(&m, model_config_of(b.m), &(model_options){0}, &e), &e);
        must(learner_open(&l, m, &(learner_options){.tokens_max = 1}, &e), &e);
        const param *p = learner_params(b.l, &n), *q = learner_params(l, &n_new);
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
            const tensor_ref *t = safetensors_find(&b.m->tensors, p[i].name);
            if (t) {
                assert_int_equal(t->dims[0], p[i].rows);
                assert_int_equal(t->n_dims, p[i].cols ? 2 : 1);
                assert_true(!p[i].cols || t->dims[1] == p[i].cols);
            } else if (!b.m->config.arch->fused) {
                fail_msg("%s: there is no tensor %s", families[f], p[i].name);
            }
            size_t floats = p[i].cols ? (p[i].rows + 15) / 16 * 16 * p[i].cols : p[i].rows;
            assert_int_equal(p[i].n, floats);
            if (at < n_new && strcmp(p[i].name, q[at].name) == 0) {
                assert_int_equal(q[at].n, p[i].n);
                at++;
            } else if (!strstr(p[i].name, ".bias")) { /* biases that a file may have and a new model has not */
                fail_msg("%s: a new model has no %s", families[f], p[i].name);
            }
        }
        assert_int_equal(at, n_new);
        if (!b.m->config.arch->fused)
            assert_int_equal(n, b.m->tensors.n_tensors);
        learner_close(l);
        model_close(m);
        close_bench(&b);
    }
}

/* ---- finite differences ---- */

/* The loss along the gradient of each weight, by a difference of fourth order, must rise as steeply as the gradient
 * says. Steps change the sum of losses by about 1: large against the rounding of binary32 losses (1e-5), small against
 * the curvature, so 1e-3 is left for both. */
static void differences(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        size_t n_params;
        err e = {0};
        if (f % 2 && f > 8)
            continue;
        bench b = open_bench(families[f], NULL, 1, N, false);
        static const segment two[] = {{0, 33}, {33, 40}};
        const batch few = {.ids = ids, .target = target, .weight = weight, .n = 40, .segment = two, .n_segments = 2};
        fill_batch(model_config_of(b.m)->V);
        gradient(&b, &few);
        param *p = learner_params(b.l, &n_params);
        for (size_t i = 0; i < n_params; i++) {
            float *saved = gen_alloc(p[i].n * sizeof *saved);
            memcpy(saved, p[i].w, p[i].n * sizeof *saved);
            double slope = 0, norm = 0, at[4];
            for (size_t j = 0; j < p[i].n; j++) {
                slope += (double)p[i].g[j] * (double)p[i].g[j];
                norm += (double)saved[j] * (double)saved[j];
            }
            assert_true(slope > 0);
            double near = sqrt(norm / slope) * 3e-2, one = 0.25 / slope, step = near < one ? near : one;
            for (int k = 0; k < 4; k++) {
                double h = step * (k < 2 ? k - 2 : k - 1);
                for (size_t j = 0; j < p[i].n; j++)
                    p[i].w[j] = (float)((double)saved[j] + h * (double)p[i].g[j]);
                must(learner_loss(b.l, &few, NULL, &at[k], &e), &e);
            }
            memcpy(p[i].w, saved, p[i].n * sizeof *saved);
            free(saved);
            double found = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step);
            if (!(fabs(found - slope) < 1e-3 * slope))
                fail_msg("%s, %s: the loss rises by %g, the gradient says %g", families[f], p[i].name, found, slope);
        }
        close_bench(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_the_model),
        cmocka_unit_test(bits_do_not_depend_on_the_machine),
        cmocka_unit_test(cuts_leave_no_trace),
        cmocka_unit_test(segments_do_not_see_each_other),
        cmocka_unit_test(refusals),
        cmocka_unit_test(weights_are_listed_by_name),
        cmocka_unit_test(differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
