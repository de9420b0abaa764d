/* test_learn_adapter: an adapter's learner: the bits of model_forward() with the adapter, whatever computes them and
 * however the base is stored; finite differences; dropout; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "kern/panel.h"
#include "model/export.h"
#include "model/learner_int.h"
#include "prop/gen.h"

enum { N = 90, V_MAX = 4096 };
#define MODELS "test/golden/models/"

static const char *const families[] = {"llama",  "llama-bias", "mistral", "qwen2",     "qwen2-window", "qwen3",
                                       "gemma2", "gemma3",     "olmo2",   "olmo3",     "smollm3",      "smollm3-window",
                                       "phi3",   "phi3-short", "granite", "llama-yarn"};
#define EACH_FAMILY(i) for (size_t i = 0; i < sizeof families / sizeof *families; i++)

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

/* ---- a model, an adapter of it, a learner, a batch ---- */

typedef struct {
    pool *pool;
    model *m;
    adapter *a;
    learner *l;
} bench;

static float *at(const matrix *m, size_t r, size_t c) {
    return (float *)(void *)m->packed + r / 16 * 16 * m->cols + c * 16 + r % 16;
}

/* B is not zero, magnitudes are not the norms. */
static void stir(const model *m, adapter *a) {
    for (size_t i = 0; i < model_config_of(m)->L; i++)
        for (int p = 0; p < LORA_PARTS; p++) {
            adapter_target *t = adapter_at(a, i, (lora_part)p);
            uint64_t key = 77 << 20 | i << 4 | (uint64_t)p;
            for (size_t r = 0; t && r < t->b.rows; r++) {
                for (size_t c = 0; c < t->b.cols; c++)
                    *at(&t->b, r, c) = gen_f32(key, r * t->b.cols + c) * 0.1f;
                if (t->magnitude)
                    t->magnitude[r] *= 1 + gen_f32(key + 7, r) * 0.1f;
            }
        }
    adapter_refresh(a);
}

static bench open_bench(const char *path, const char *isa, int threads, model_weights how, const adapter_shape *s,
                        const learner_options *o) {
    bench b = {0};
    err e = {0};
    learner_options with = o ? *o : (learner_options){.tokens_max = N};
    must(pool_open(&b.pool, threads, &e), &e);
    must(model_open(&b.m, path, &(model_options){.pool = b.pool, .isa = isa, .weights = how}, &e), &e);
    must(adapter_create(&b.a, b.m, s, 5, &e), &e);
    stir(b.m, b.a);
    with.adapter = b.a;
    must(learner_open(&b.l, b.m, &with, &e), &e);
    assert_true(model_config_of(b.m)->V <= V_MAX);
    return b;
}

static const char *path_of(const char *family) {
    static char path[120];
    snprintf(path, sizeof path, MODELS "%s", family);
    return path;
}

static void close_bench(bench *b) {
    learner_close(b->l);
    adapter_close(b->a);
    model_close(b->m);
    pool_close(b->pool);
}

static int32_t ids[N], target[N];
static float weight[N], loss[N];
static segment segments[] = {{0, 1}, {1, 71}, {71, 72}, {72, N}};
static const batch whole = {.ids = ids,
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
    size_t n_params, from = 0;
    param *p = learner_params(b->l, &n_params);
    *n = 0;
    for (size_t i = 0; i < n_params; i++)
        *n += p[i].n;
    float *g = gen_alloc(*n * sizeof *g);
    for (size_t i = 0; i < n_params; from += p[i++].n)
        memcpy(g + from, p[i].g, p[i].n * sizeof *g);
    return g;
}

static void same_gradients(const char *what, bench *b, const float *want, float sign) {
    size_t n_params;
    param *p = learner_params(b->l, &n_params);
    for (size_t i = 0; i < n_params; want += p[i++].n)
        for (size_t j = 0; j < p[i].n; j++)
            if (p[i].g[j] != sign * want[j])
                fail_msg("%s: gradient %zu of %s is %a, must be %a", what, j, p[i].name, (double)p[i].g[j],
                         (double)(sign * want[j]));
}

/* Shapes in turn: some parts, some layers, rsLoRA, DoRA; ranks below, at and above sixteen. */
static adapter_shape shape_of(size_t i) {
    static const size_t rank[] = {4, 16, 19, 1};
    static const unsigned parts[] = {LORA_ALL, LORA_ALL & ~(1u << LORA_K | 1u << LORA_UP),
                                     1u << LORA_DOWN | 1u << LORA_V};
    static const uint8_t upper[8] = {0, 1, 1, 1, 1, 1, 1, 1};
    return (adapter_shape){.rank = rank[i % 4],
                           .alpha = 9,
                           .rslora = i % 5 == 2,
                           .dora = i % 2,
                           .parts = parts[i % 3],
                           .layers = i % 4 == 3 ? upper : NULL,
                           .dropout = 0.3};
}

/* ---- the forward pass ---- */

/* Losses are those of model_forward(), and its without the adapter when it takes no part. */
static void losses_of_the_model(const char *path, model_weights how, const adapter_shape *s) {
    static float logits[N * V_MAX];
    err e = {0};
    bench b = open_bench(path, NULL, 2, how, s, NULL);
    const kern_ops *k = kern_select(NULL);
    size_t V = model_config_of(b.m)->V;
    fill_batch(V);
    for (int bare = 0; bare < 2; bare++) {
        batch x = whole;
        double sum = 0, want_sum = 0;
        x.bare = bare;
        must(learner_loss(b.l, &x, loss, &sum, &e), &e);
        for (size_t i = 0; i < x.n_segments; i++) {
            size_t from = segments[i].from, n = segments[i].to - from;
            kv_cache *kv = NULL;
            adapter_use use = {b.a, 1};
            must(kv_open(&kv, b.m, n, &e), &e);
            model_part part = {
                .kv = kv, .ids = ids + from, .n = n, .which = LOGITS_ALL, .adapters = &use, .n_adapters = bare ? 0 : 1};
            must(model_forward_batch(b.m, &part, 1, logits, &e), &e);
            kv_close(kv);
            for (size_t t = 0; t < n; t++) {
                float stat[2], want = 0;
                if (weight[from + t] != 0)
                    want = k->cross_entropy(logits + t * V, V, (size_t)target[from + t], stat);
                if (memcmp(&want, &loss[from + t], 4))
                    fail_msg("%s: loss of position %zu is %a, must be %a", path, from + t, (double)loss[from + t],
                             (double)want);
                want_sum += (double)weight[from + t] * (double)want;
            }
        }
        assert_true(sum == want_sum);
    }
    close_bench(&b);
}

static void losses_are_those_of_the_model(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        adapter_shape s = shape_of(f);
        losses_of_the_model(path_of(families[f]), f % 3 ? MODEL_WEIGHTS_STORED : MODEL_WEIGHTS_F32, &s);
    }
    for (size_t i = 0; i < 4; i++) {
        adapter_shape s = shape_of(i);
        losses_of_the_model(MODELS "quant/mixed.gguf", MODEL_WEIGHTS_STORED, &s);
    }
}

/* ---- the same bits ---- */

static void bits_do_not_depend_on_the_machine(const char *path, model_weights how, const adapter_shape *s) {
    static const struct {
        int threads;
        bool recompute;
    } others[] = {{2, true}, {1, true}, {3, false}, {8, true}};
    size_t n;
    bench b = open_bench(path, NULL, 1, how, s, NULL);
    fill_batch(model_config_of(b.m)->V);
    batch x = whole;
    x.dropout = 0.3f;
    x.dropout_seed = 12345;
    double sum = gradient(&b, &x);
    float *want = all_gradients(&b, &n);
    close_bench(&b);
    for (const char *const *isa = kern_isa_names(); *isa; isa++)
        for (size_t i = 0; i < sizeof others / sizeof *others && kern_isa_usable(*isa); i++) {
            char what[200];
            int threads = others[i].threads;
            snprintf(what, sizeof what, "%s on %s, %d threads", path, *isa, threads);
            b = open_bench(path, *isa, threads, how, s,
                           &(learner_options){.tokens_max = N + (size_t)threads, .recompute = others[i].recompute});
            if (gradient(&b, &x) != sum)
                fail_msg("%s: another sum of losses", what);
            same_gradients(what, &b, want, 1);
            close_bench(&b);
        }
    free(want);
}

static void same_bits_everywhere(void **state) {
    (void)state;
    for (size_t f = 0; f < 8; f++) {
        adapter_shape s = shape_of(f);
        bits_do_not_depend_on_the_machine(f % 2 ? MODELS "quant/mixed.gguf" : path_of(families[2 * f]),
                                          MODEL_WEIGHTS_STORED, &s);
    }
}

/* Halves are read as what they mean, forward and backward: the bits of a base that was dequantised when it was read. */
static void a_stored_base_is_what_it_means(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        size_t n;
        adapter_shape s = shape_of(f + 1);
        bench b = open_bench(path_of(families[f]), NULL, 2, MODEL_WEIGHTS_F32, &s, NULL);
        fill_batch(model_config_of(b.m)->V);
        double sum = gradient(&b, &whole);
        float *want = all_gradients(&b, &n);
        close_bench(&b);
        b = open_bench(path_of(families[f]), NULL, 2, MODEL_WEIGHTS_STORED, &s, NULL);
        assert_true(gradient(&b, &whole) == sum);
        same_gradients(families[f], &b, want, 1);
        /* weights of the other sign, as preferences have them: the gradient of the other sign */
        for (size_t t = 0; t < N; t++)
            weight[t] = -weight[t];
        assert_true(gradient(&b, &whole) == -sum);
        same_gradients(families[f], &b, want, -1);
        free(want);
        close_bench(&b);
    }
}

/* Room for few logits changes nothing. */
static void cuts_leave_no_trace(void **state) {
    (void)state;
    size_t n;
    adapter_shape s = shape_of(1);
    bench b = open_bench(MODELS "quant/mixed.gguf", NULL, 2, MODEL_WEIGHTS_STORED, &s, NULL);
    fill_batch(model_config_of(b.m)->V);
    double sum = gradient(&b, &whole);
    float *want = all_gradients(&b, &n);
    for (size_t rows = 1; rows <= 64; rows *= 8) {
        b.l->head_rows = rows;
        assert_true(gradient(&b, &whole) == sum);
        same_gradients("cut", &b, want, 1);
    }
    free(want);
    close_bench(&b);
}

/* Below the lowest target nothing is computed, and it makes no difference: gradients are those beside targets
 * everywhere below whose B is zero, which give nothing to the forward pass and nothing back. */
static void what_is_below_makes_no_difference(void **state) {
    (void)state;
    static const uint8_t upper[8] = {0, 1, 1, 1, 1, 1, 1, 1}, all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const unsigned parts[] = {1u << LORA_DOWN, 1u << LORA_UP, 1u << LORA_O | 1u << LORA_GATE, 1u << LORA_K,
                                     LORA_ALL};
    EACH_FAMILY(f) {
        adapter_shape few = {.rank = 4, .alpha = 9, .parts = parts[f % 5], .layers = upper, .dropout = 0.3}, many = few;
        many.parts = LORA_ALL;
        many.layers = all;
        batch x = whole;
        x.dropout = 0.3f;
        bench a = open_bench(path_of(families[f]), NULL, 2, MODEL_WEIGHTS_STORED, &few, NULL);
        bench b = open_bench(path_of(families[f]), NULL, 2, MODEL_WEIGHTS_STORED, &many, NULL);
        for (size_t i = 0; i < model_config_of(b.m)->L * LORA_PARTS; i++) {
            adapter_target *t = adapter_at(b.a, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
            if (!adapter_at(a.a, i / LORA_PARTS, (lora_part)(i % LORA_PARTS)))
                memset(t->b.packed, 0, panel_bytes(DTYPE_F32, t->b.rows, t->b.cols));
        }
        adapter_refresh(b.a);
        fill_batch(model_config_of(b.m)->V);
        assert_true(gradient(&a, &x) == gradient(&b, &x));
        size_t n, m, i = 0;
        param *p = learner_params(a.l, &n), *q = learner_params(b.l, &m);
        assert_true(n > 0 && n < m);
        for (size_t k = 0; k < m && i < n; k++) {
            if (strcmp(p[i].name, q[k].name) != 0)
                continue;
            for (size_t j = 0; j < p[i].n; j++)
                if (p[i].g[j] != q[k].g[j])
                    fail_msg("%s: gradient %zu of %s is %a, must be %a", families[f], j, p[i].name, (double)p[i].g[j],
                             (double)q[k].g[j]);
            i++;
        }
        assert_int_equal(i, n);
        close_bench(&a);
        close_bench(&b);
    }
}

/* ---- a quantised base ---- */

static dtype blocks_where_they_fit(void *ctx, const model_tensor *t, size_t i) {
    (void)ctx;
    return t->cols % 32 ? DTYPE_F16 : i % 2 ? DTYPE_Q8_0 : DTYPE_Q4_0;
}

/* The gradient of a quantised base is that of what its weights mean but for the rounding of activations: it points the
 * same way, and is as long, to some percent. */
static void a_quantised_base_learns_alike(void **state) {
    (void)state;
    static const char *const some[] = {"gemma3", "llama-bias"};
    for (size_t f = 0; f < 2; f++) {
        err e = {0};
        model *m = NULL;
        char path[] = "/tmp/loam_learn_adapter_XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        must(model_open(&m, path_of(some[f]), &(model_options){0}, &e), &e);
        must(export_gguf(m, path, &(export_options){.type = -1, .choose = blocks_where_they_fit}, &e), &e);
        model_close(m);
        adapter_shape s = shape_of(f);
        bench exact = open_bench(path, NULL, 2, MODEL_WEIGHTS_F32, &s, NULL);
        bench b = open_bench(path, NULL, 2, MODEL_WEIGHTS_STORED, &s, NULL);
        fill_batch(model_config_of(b.m)->V);
        gradient(&exact, &whole);
        gradient(&b, &whole);
        losses_of_the_model(path, MODEL_WEIGHTS_STORED, &s);
        size_t n;
        param *p = learner_params(b.l, &n), *q = learner_params(exact.l, &n);
        for (size_t i = 0; i < n; i++) {
            double pp = 0, pq = 0, qq = 0;
            for (size_t j = 0; j < p[i].n; j++) {
                pp += (double)p[i].g[j] * (double)p[i].g[j];
                pq += (double)p[i].g[j] * (double)q[i].g[j];
                qq += (double)q[i].g[j] * (double)q[i].g[j];
            }
            if (!(pq > 0.98 * sqrt(pp * qq) && fabs(pp - qq) < 0.25 * qq))
                fail_msg("%s, %s: cosine %g, squares %g and %g", some[f], p[i].name, pq / sqrt(pp * qq), pp, qq);
        }
        close_bench(&exact);
        close_bench(&b);
        unlink(path);
    }
}

/* ---- finite differences ---- */

/* DoRA's numbers with norms as they are. */
static void gain_again(bench *b) {
    for (size_t i = 0; i < model_config_of(b->m)->L * LORA_PARTS; i++) {
        adapter_target *t = adapter_at(b->a, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        for (size_t r = 0; t && t->magnitude && r < t->b.rows; r++) {
            t->gain[r] = t->magnitude[r] / t->norm[r];
            for (size_t k = 0; k < t->b.cols; k++)
                *at(&t->gained, r, k) = *at(&t->b, r, k) * t->gain[r];
        }
    }
}

/* The loss along the gradient of each tensor, by a difference of fourth order, must rise as steeply as the gradient
 * says; with dropout, whose choice stays the same. See test_learner.c. */
static void differences_of(const char *family, const adapter_shape *s, float dropout) {
    static const segment two[] = {{0, 33}, {33, 40}};
    size_t n;
    batch few = {.ids = ids, .target = target, .weight = weight, .n = 40, .segment = two, .n_segments = 2};
    bench b = open_bench(path_of(family), NULL, 1, MODEL_WEIGHTS_F32, s, NULL);
    few.dropout = dropout;
    few.dropout_seed = 3;
    fill_batch(model_config_of(b.m)->V);
    gradient(&b, &few);
    param *p = learner_params(b.l, &n);
    for (size_t i = 0; i < n; i++) {
        float *saved = gen_alloc(p[i].n * sizeof *saved), *g = gen_alloc(p[i].n * sizeof *g);
        memcpy(saved, p[i].w, p[i].n * sizeof *saved);
        memcpy(g, p[i].g, p[i].n * sizeof *g);
        double slope = 0, norm = 0, found[4];
        for (size_t j = 0; j < p[i].n; j++) {
            slope += (double)g[j] * (double)g[j];
            norm += (double)saved[j] * (double)saved[j];
        }
        assert_true(slope > 0);
        double near = sqrt(norm / slope) * 1e-1, one = 0.25 / slope, step = near < one ? near : one;
        for (int k = 0; k < 4; k++) {
            double h = step * (k < 2 ? k - 2 : k - 1);
            err e = {0};
            for (size_t j = 0; j < p[i].n; j++)
                p[i].w[j] = (float)((double)saved[j] + h * (double)g[j]);
            gain_again(&b);
            must(learner_loss(b.l, &few, NULL, &found[k], &e), &e);
        }
        memcpy(p[i].w, saved, p[i].n * sizeof *saved);
        gain_again(&b);
        free(saved);
        free(g);
        double rise = (8 * (found[2] - found[1]) - (found[3] - found[0])) / (12 * step);
        /* binary32 losses of 40 positions: what is left of them when the tensor matters little */
        double rounding = 2e-5 / step;
        if (!(fabs(rise - slope) < 1e-3 * slope + rounding) || rounding > 0.02 * slope)
            fail_msg("%s, %s: the loss rises by %g, the gradient says %g (+- %g)", family, p[i].name, rise, slope,
                     rounding);
    }
    close_bench(&b);
}

static void differences(void **state) {
    (void)state;
    EACH_FAMILY(f) {
        adapter_shape s = shape_of(f);
        differences_of(families[f], &s, f % 3 == 1 ? 0.2f : 0);
    }
}

/* ---- dropout ---- */

/* About the asked share is left out, others at every part, layer, position and seed. */
static void dropout_drops(void **state) {
    (void)state;
    adapter_shape s = {.rank = 2, .alpha = 4, .parts = LORA_ALL, .dropout = 0.25};
    bench b = open_bench(MODELS "llama", NULL, 2, MODEL_WEIGHTS_STORED, &s, NULL);
    fill_batch(model_config_of(b.m)->V);
    batch x = whole;
    double without = gradient(&b, &x), last = without;
    for (int i = 0; i < 4; i++) {
        x.dropout = i < 2 ? 0.25f : 0.5f;
        x.dropout_seed = i % 2 ? 1 : UINT64_C(1) << 40;
        double sum = gradient(&b, &x);
        assert_true(sum != without && sum != last);
        last = sum;
        /* what stands there is A's input at the last product backward: q of the first layer */
        size_t D = b.m->config.D, zeros = 0;
        for (size_t t = 0; t < N; t++)
            for (size_t c = 0; c < D; c++)
                zeros += b.l->dropped[t * b.l->W + c] == 0;
        double share = (double)zeros / (double)(N * D);
        assert_true(fabs(share - (double)x.dropout) < 0.03);
    }
    x.dropout = 0;
    assert_true(gradient(&b, &x) == without);
    close_bench(&b);
}

/* ---- DoRA of a row of zeros ---- */

static void rows_of_zeros(void **state) {
    (void)state;
    enum { ROW = 5 };
    adapter_shape s = {.rank = 4, .alpha = 8, .dora = true, .parts = LORA_ALL};
    bench b = open_bench(MODELS "llama", NULL, 1, MODEL_WEIGHTS_F32, &s, NULL);
    size_t n, L = model_config_of(b.m)->L;
    for (size_t i = 0; i < L * LORA_PARTS; i++) {
        const matrix *w = lora_matrix(&b.m->layers[i / LORA_PARTS], (lora_part)(i % LORA_PARTS));
        adapter_target *t = adapter_at(b.a, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        for (size_t c = 0; c < w->cols; c++)
            *at(w, ROW, c) = 0;
        for (size_t c = 0; c < t->b.cols; c++)
            *at(&t->b, ROW, c) = 0;
    }
    adapter_refresh(b.a);
    fill_batch(model_config_of(b.m)->V);
    assert_true(isfinite(gradient(&b, &whole)));
    param *p = learner_params(b.l, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p[i].n; k++)
            assert_true(isfinite(p[i].g[k]) && (p[i].cols || k != ROW || p[i].g[k] == 0));
    close_bench(&b);
}

/* ---- what there is, and what is refused ---- */

static void tensors_are_named_as_peft_names_them(void **state) {
    (void)state;
    size_t n;
    adapter_shape s = {.rank = 4, .alpha = 8, .dora = true, .parts = 1 << LORA_V | 1 << LORA_DOWN};
    bench b = open_bench(MODELS "llama", NULL, 1, MODEL_WEIGHTS_STORED, &s, NULL);
    const model_config *c = model_config_of(b.m);
    param *p = learner_params(b.l, &n);
    assert_int_equal(n, c->L * 2 * 3);
    assert_string_equal(p[0].name, "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight");
    assert_string_equal(p[1].name, "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight");
    assert_string_equal(p[2].name, "base_model.model.model.layers.0.self_attn.v_proj.lora_magnitude_vector");
    assert_string_equal(p[n - 3].name, "base_model.model.model.layers.3.mlp.down_proj.lora_A.weight");
    assert_true(p[0].rows == 4 && p[0].cols == c->D && p[0].n == 16 * c->D);
    assert_true(p[1].rows == c->G * c->K && p[1].cols == 4);
    assert_true(p[2].rows == c->G * c->K && p[2].cols == 0 && p[2].n == p[2].rows);
    for (size_t i = 0; i < n; i++) {
        const adapter_target *t = adapter_at(b.a, i / 6, i / 3 % 2 ? LORA_DOWN : LORA_V);
        assert_ptr_equal(p[i].w, i % 3 == 0   ? (float *)(void *)t->a.packed
                                 : i % 3 == 1 ? (float *)(void *)t->b.packed
                                              : t->magnitude);
    }
    close_bench(&b);
}

/* Memory is told before the learner is opened; the base has no share in it. */
static void memory_is_planned(void **state) {
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        adapter_shape s = shape_of(i);
        bench b = open_bench(MODELS "quant/mixed.gguf", NULL, 2, MODEL_WEIGHTS_STORED, &s, NULL);
        model *m = NULL;
        err e = {0};
        must(model_open(&m, MODELS "quant/mixed.gguf", &(model_options){.pool = b.pool, .plan = true}, &e), &e);
        assert_int_equal(b.l->block_bytes, learner_plan_bytes(m, &(learner_options){.tokens_max = N, .adapter = b.a}));
        model_close(m);
        close_bench(&b);
    }
}

static void refusals(void **state) {
    (void)state;
    err e = {0};
    adapter_shape s = {.rank = 4, .alpha = 8, .parts = LORA_ALL};
    bench b = open_bench(MODELS "llama", NULL, 1, MODEL_WEIGHTS_STORED, &s, NULL);
    learner *l = NULL;
    double sum;
    fill_batch(model_config_of(b.m)->V);
    batch x = whole;
    assert_int_equal(learner_open(&l, b.m, &(learner_options){.tokens_max = 1}, &e), ERR_USAGE); /* no adapter */
    x.bare = true;
    assert_int_equal(learner_gradient(b.l, &x, NULL, &sum, &e), ERR_USAGE);
    x.bare = false;
    x.dropout = 0.1f; /* the adapter's shape has none */
    assert_int_equal(learner_gradient(b.l, &x, NULL, &sum, &e), ERR_USAGE);
    static const float bad[] = {-0.1f, 1.0f, (float)NAN};
    for (size_t i = 0; i < 3; i++) {
        x.dropout = bad[i];
        assert_int_equal(learner_loss(b.l, &x, NULL, &sum, &e), ERR_USAGE);
    }
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_the_model),
        cmocka_unit_test(same_bits_everywhere),
        cmocka_unit_test(a_stored_base_is_what_it_means),
        cmocka_unit_test(cuts_leave_no_trace),
        cmocka_unit_test(what_is_below_makes_no_difference),
        cmocka_unit_test(a_quantised_base_learns_alike),
        cmocka_unit_test(differences),
        cmocka_unit_test(dropout_drops),
        cmocka_unit_test(rows_of_zeros),
        cmocka_unit_test(tensors_are_named_as_peft_names_them),
        cmocka_unit_test(memory_is_planned),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
