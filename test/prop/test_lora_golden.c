/* test_lora_golden: adapters learn as peft's do with PyTorch: losses over 50 steps of AdamW, and gradients
 * (test/golden/grad_lora.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "base/os.h"
#include "model/adapter.h"
#include "model/learner.h"
#include "prop/gen.h"
#include "text/json.h"
#include "train/optim.h"

enum { N = 80, STEPS = 50 };

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static double number(const json_t *j) {
    assert_true(json_is_number(j));
    return json_number_value(j);
}

/* ---- the formulas of lora.py ---- */

static float made(size_t i, uint64_t key, float scale) {
    uint32_t u = (uint32_t)(i * 2654435761u + key * 40503 + 12345);
    u = (u ^ u >> 15) * 2246822519u;
    return ((float)((u ^ u >> 13) >> 8) * 0x1p-24f - 0.5f) * scale;
}

static void prepare(const param *p, uint64_t i_target) {
    bool a = strstr(p->name, "lora_A") != NULL;
    for (size_t r = 0; r < p->rows; r++)
        for (size_t c = 0; c < p->cols; c++)
            p->w[r / 16 * 16 * p->cols + c * 16 + r % 16] = made(r * p->cols + c, 3 * i_target + !a, a ? 0.5f : 0.25f);
    for (size_t r = 0; r < p->rows && !p->cols; r++)
        p->w[r] *= 1 + made(r, 3 * i_target + 2, 0.25f);
}

static int32_t ids[N], target[N];
static float weight[N];
static const segment segments[] = {{0, 50}, {50, 51}, {51, N}};
static const batch whole = {
    .ids = ids, .target = target, .weight = weight, .n = N, .segment = segments, .n_segments = 3};

static void fill_batch(size_t V) {
    for (size_t i = 0; i < N; i++) {
        ids[i] = (int32_t)((i * 37 + i * i * 5 + 11) % V);
        target[i] = (int32_t)((i * i * 13 + i * 3 + 7) % V);
        weight[i] = i % 7 == 3 ? 0.0f : i % 5 == 1 ? 0.25f : 1.0f;
    }
}

/* ---- what is compared ---- */

/* As in test_grad_golden.c. */
static void same_gradient(const char *what, const param *p, const json_t *want) {
    double norm = 0, wanted = number(json_array_get(want, 0));
    for (size_t i = 0; i < p->n; i++)
        norm += (double)p->g[i] * (double)p->g[i];
    norm = sqrt(norm);
    if (!(fabs(norm - wanted) <= 1e-4 * wanted))
        fail_msg("%s, %s: norm is %.9g, must be %.9g", what, p->name, norm, wanted);
    double typical = wanted / sqrt((double)p->rows * (double)(p->cols ? p->cols : 1));
    assert_true(json_array_size(want) > 2);
    for (size_t i = 1; i < json_array_size(want); i++) {
        const json_t *one = json_array_get(want, i);
        size_t r = (size_t)number(json_array_get(one, 0)), c = (size_t)number(json_array_get(one, 1));
        double v = number(json_array_get(one, 2)), size = fabs(v) > typical ? fabs(v) : typical;
        assert_true(r < p->rows && c < (p->cols ? p->cols : 1));
        double got = (double)(p->cols ? p->g[(r / 16 * p->cols + c) * 16 + r % 16] : p->g[r]);
        if (!(fabs(got - v) <= 1e-4 * size))
            fail_msg("%s, %s[%zu][%zu]: gradient is %.9g, must be %.9g", what, p->name, r, c, got, v);
    }
}

static void same_loss(const char *what, int step, double sum, const json_t *want) {
    double mean = sum / N, v = number(json_array_get(want, (size_t)step));
    if (!(fabs(mean - v) <= 1e-4))
        fail_msg("%s, step %d: loss is %.9g, must be %.9g", what, step, mean, v);
}

static void one_variant(const char *name, const char *variant, const adapter_shape *s, const json_t *want) {
    char path[120], what[140];
    err e = {0};
    model *m = NULL;
    adapter *a = NULL;
    learner *l = NULL;
    optim *o = NULL;
    double sum = 0;
    size_t n;
    snprintf(path, sizeof path, "test/golden/models/%s", name);
    snprintf(what, sizeof what, "%s, %s", name, variant);
    must(model_open(&m, path, &(model_options){.weights = MODEL_WEIGHTS_F32}, &e), &e);
    must(adapter_create(&a, m, s, 1, &e), &e);
    must(learner_open(&l, m, &(learner_options){.tokens_max = N, .adapter = a}, &e), &e);
    param *p = learner_params(l, &n);
    for (size_t i = 0; i < n; i++)
        prepare(&p[i], i / (s->dora ? 3 : 2));
    adapter_refresh(a);
    fill_batch(model_config_of(m)->V);
    const engine on = {kern_select(NULL), NULL};
    const optim_options adam = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.01};
    must(optim_open(&o, &adam, &on, p, n, &e), &e);
    const json_t *losses = json_object_get(want, "loss"), *grads = json_object_get(want, "grads");
    assert_int_equal(json_array_size(losses), STEPS + 1);
    for (int step = 0; step <= STEPS; step++) {
        must(learner_gradient(l, &whole, NULL, &sum, &e), &e);
        same_loss(what, step, sum, losses);
        for (size_t i = 0; step == 0 && grads && i < n; i++)
            same_gradient(what, &p[i], json_object_get(grads, p[i].name));
        assert_true(!grads || json_object_size(grads) == n);
        optim_step(o, (uint64_t)step + 1, 5e-4, N, optim_norm(o, N));
        adapter_refresh(a);
    }
    optim_close(o);
    learner_close(l);
    adapter_close(a);
    model_close(m);
}

static void adapters_learn_as_those_of_peft(void **state) {
    (void)state;
    static const struct {
        const char *name;
        adapter_shape shape;
    } variants[] = {
        {"lora", {.rank = 4, .alpha = 10, .parts = LORA_ALL}},
        {"rslora", {.rank = 19, .alpha = 9, .rslora = true, .parts = LORA_ALL}},
        {"dora", {.rank = 5, .alpha = 12, .dora = true, .parts = LORA_ALL}},
    };
    err e = {0};
    strbuf text = {0};
    json_t *root = NULL, *want;
    must(os_read_file("test/golden/grad/lora.json", 8 << 20, &text, &e), &e);
    must(json_read(strbuf_str(&text), 8 << 20, &root, &e), &e);
    const char *name;
    size_t n = 0, with_gradients = 0;
    json_object_foreach(root, name, want) {
        for (int v = 0; v < 3; v++) {
            const json_t *one = json_object_get(want, variants[v].name);
            one_variant(name, variants[v].name, &variants[v].shape, one);
            with_gradients += json_object_get(one, "grads") != NULL;
        }
        n++;
    }
    assert_true(n >= 17 && with_gradients == n);
    json_decref(root);
    strbuf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(adapters_learn_as_those_of_peft)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
