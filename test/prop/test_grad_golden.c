/* test_grad_golden: losses and gradients of the golden models agree with PyTorch's (test/golden/grad.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "base/os.h"
#include "model/learner.h"
#include "prop/gen.h"
#include "text/json.h"

enum { N_MAX = 256 };

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static double number(const json_t *j) {
    assert_true(json_is_number(j));
    return json_number_value(j);
}

/* Both are sums of binary32 in orders of their own: 1e-4 of the tensor's typical gradient, or of the element's own. */
static void one_tensor(const char *model_name, const param *p, const json_t *want) {
    double norm = 0, wanted = number(json_object_get(want, "norm"));
    for (size_t i = 0; i < p->n; i++)
        norm += (double)p->g[i] * (double)p->g[i];
    norm = sqrt(norm);
    if (!(fabs(norm - wanted) <= 1e-4 * wanted))
        fail_msg("%s, %s: norm is %.9g, must be %.9g", model_name, p->name, norm, wanted);
    double typical = wanted / sqrt((double)p->rows * (double)(p->cols ? p->cols : 1));
    const json_t *at = json_object_get(want, "at");
    assert_true(json_array_size(at) > 3);
    for (size_t i = 0; i < json_array_size(at); i++) {
        const json_t *one = json_array_get(at, i);
        size_t r = (size_t)number(json_array_get(one, 0)), c = (size_t)number(json_array_get(one, 1));
        double v = number(json_array_get(one, 2)), size = fabs(v) > typical ? fabs(v) : typical;
        assert_true(r < p->rows && c < (p->cols ? p->cols : 1));
        double got = (double)(p->cols ? p->g[(r / 16 * p->cols + c) * 16 + r % 16] : p->g[r]);
        if (!(fabs(got - v) <= 1e-4 * size))
            fail_msg("%s, %s[%zu][%zu]: gradient is %.9g, must be %.9g", model_name, p->name, r, c, got, v);
    }
}

static void one_model(const char *name, const json_t *want) {
    static int32_t ids[N_MAX], target[N_MAX];
    static float weight[N_MAX], loss[N_MAX];
    segment segments[8];
    char path[120];
    err e = {0};
    model *m = NULL;
    learner *l = NULL;
    double sum = 0;
    size_t n = json_array_size(json_object_get(want, "ids")), n_params;
    const json_t *s = json_object_get(want, "segments");
    assert_true(n > 1 && n <= N_MAX && json_array_size(s) <= 8);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)number(json_array_get(json_object_get(want, "ids"), i));
        target[i] = (int32_t)number(json_array_get(json_object_get(want, "target"), i));
        weight[i] = (float)number(json_array_get(json_object_get(want, "weight"), i));
    }
    for (size_t i = 0; i < json_array_size(s); i++)
        segments[i] = (segment){(size_t)number(json_array_get(json_array_get(s, i), 0)),
                                (size_t)number(json_array_get(json_array_get(s, i), 1))};
    snprintf(path, sizeof path, "test/golden/models/%s", name);
    must(model_open(&m, path, &(model_options){.weights = MODEL_WEIGHTS_F32}, &e), &e);
    must(learner_open(&l, m, &(learner_options){.tokens_max = n}, &e), &e);
    const batch b = {
        .ids = ids, .target = target, .weight = weight, .n = n, .segment = segments, .n_segments = json_array_size(s)};
    must(learner_gradient(l, &b, loss, &sum, &e), &e);
    for (size_t i = 0; i < n; i++) {
        double v = number(json_array_get(json_object_get(want, "loss"), i));
        if (weight[i] != 0 && !(fabs((double)loss[i] - v) <= 1e-5 * (1 + v)))
            fail_msg("%s: loss %zu is %.9g, must be %.9g", name, i, (double)loss[i], v);
    }
    const param *p = learner_params(l, &n_params);
    const json_t *grads = json_object_get(want, "grads");
    assert_int_equal(json_object_size(grads), n_params);
    for (size_t i = 0; i < n_params; i++) {
        const json_t *g = json_object_get(grads, p[i].name);
        if (!g)
            fail_msg("%s: PyTorch has no %s", name, p[i].name);
        one_tensor(name, &p[i], g);
    }
    learner_close(l);
    model_close(m);
}

static void gradients_are_those_of_pytorch(void **state) {
    (void)state;
    err e = {0};
    strbuf text = {0};
    json_t *root = NULL;
    must(os_read_file("test/golden/grad/gradients.json", 8 << 20, &text, &e), &e);
    must(json_read(strbuf_str(&text), 8 << 20, &root, &e), &e);
    const char *name;
    json_t *want;
    size_t n = 0;
    json_object_foreach(root, name, want) {
        one_model(name, want);
        n++;
    }
    assert_true(n >= 17);
    json_decref(root);
    strbuf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_those_of_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
