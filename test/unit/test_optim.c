/* optim: the kernels of every instruction set and the whole optimizer against plain loops, bit for bit; and the numbers
 * that PyTorch's AdamW gives (test/golden/train/adamw.json, by test/golden/train.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/os.h"
#include "kern/math64.h"
#include "prop/gen.h"
#include "text/json.h"
#include "train/optim.h"
#include "unit/params.h"

/* ---- oracles ---- */

static float o_sum_squares(const float *x, size_t n) {
    float s[16] = {0};
    for (size_t i = 0; i < n; i++)
        s[i % 16] = fmaf(x[i], x[i], s[i % 16]);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] = s[i] + s[i + half];
    return s[0];
}

static void o_adamw(const kern_adamw *a, float grad, float *w, float *m, float *v) {
    float g = grad * a->scale;
    *m = fmaf(g - *m, a->rise1, *m);
    float kept = *v * a->keep2, square = g * g;
    *v = fmaf(square, a->rise2, kept);
    *w = fmaf(-*w, a->decay, *w);
    float step = *m / fmaf(sqrtf(*v), a->root2, a->eps);
    *w = fmaf(-step, a->rate, *w);
}

static bool same(float a, float b) { return memcmp(&a, &b, 4) == 0 || (a != a && b != b); }

static void kernels_equal_the_oracle(void **state) {
    (void)state;
    enum { N = 83, ROOM = N + 16 };
    const kern_ops *isa[8];
    int n_isas = gen_isas(isa);
    const kern_adamw a = {0.37f, 0.1f, 0.95f, 0.05f, 1.7f, 1e-8f, 0.001f, 0.01f};
    for (size_t n = 1; n <= N; n++)
        for (int wild = 0; wild < 2; wild++)
            for (int s = 0; s < n_isas; s++) {
                float g[ROOM], w[ROOM], m[ROOM], v[ROOM], want[3][ROOM];
                for (size_t i = 0; i < ROOM; i++) {
                    g[i] = wild ? gen_wild(1 + n, i) : gen_f32(1 + n, i);
                    w[i] = want[0][i] = wild ? gen_wild(2 + n, i) : gen_f32(2 + n, i);
                    m[i] = want[1][i] = wild ? gen_wild(3 + n, i) : gen_f32(3 + n, i);
                    v[i] = want[2][i] = fabsf(wild ? gen_wild(4 + n, i) : gen_f32(4 + n, i));
                }
                assert_true(same(isa[s]->sum_squares(g, n), o_sum_squares(g, n)));
                for (size_t i = 0; i < n; i++)
                    o_adamw(&a, g[i], &want[0][i], &want[1][i], &want[2][i]);
                isa[s]->adamw(&a, g, n, w, m, v);
                for (size_t i = 0; i < ROOM; i++)
                    if (!same(w[i], want[0][i]) || !same(m[i], want[1][i]) || !same(v[i], want[2][i]))
                        fail_msg("%s, n %zu: element %zu", isa[s]->isa, n, i);
            }
}

/* ---- the optimizer ---- */

static const optim_options usual = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .decay = 0.1, .clip = 1};

static optim *open(const optim_options *o, params *s, const char *isa, pool *p) {
    optim *out = NULL;
    engine en = {kern_select(isa), p};
    assert_int_equal(optim_open(&out, o, &en, s->p, PARAMS_N, NULL), ERR_OK);
    return out;
}

static double o_norm(const params *s, double n) {
    double sum = 0;
    for (size_t i = 0; i < PARAMS_N; i++)
        for (size_t from = 0; from < s->p[i].n; from += OPTIM_BLOCK)
            sum += (double)o_sum_squares(s->p[i].g + from,
                                         s->p[i].n - from < OPTIM_BLOCK ? s->p[i].n - from : OPTIM_BLOCK);
    return sqrt(sum) / n;
}

static void steps_equal_plain_loops(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++)
        for (const char *const *isa = kern_isa_names(); *isa; isa++) {
            if (!kern_isa_usable(*isa))
                continue;
            params s = params_make();
            float *want[PARAMS_N][3];
            pool *p = NULL;
            assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
            optim *o = open(&usual, &s, *isa, p);
            for (size_t i = 0; i < PARAMS_N; i++) {
                params_fill(&s.p[i], s.p[i].w, i, 0.5f);
                for (int k = 0; k < 3; k++)
                    want[i][k] = calloc(s.p[i].n, sizeof(float));
                memcpy(want[i][0], s.p[i].w, s.p[i].n * sizeof(float));
            }
            for (uint64_t t = 1; t <= 4; t++) {
                double n = 100, lr = 0.01 / (double)t;
                for (size_t i = 0; i < PARAMS_N; i++)
                    params_fill(&s.p[i], s.p[i].g, 50 * t + i, t == 2 ? 1e-3f : 7.0f);
                double norm = optim_norm(o, n);
                assert_true(norm == o_norm(&s, n));
                assert_true((norm > 1) == (t != 2)); /* clipped, and once not */
                double scale = norm > 1 ? 1 / n * (1 / norm) : 1 / n;
                optim_step(o, t, lr, n, norm);
                for (size_t i = 0; i < PARAMS_N; i++) {
                    kern_adamw a = {.scale = (float)scale,
                                    .rise1 = (float)(1 - 0.9),
                                    .keep2 = 0.95f,
                                    .rise2 = (float)(1 - 0.95),
                                    .root2 = (float)(1 / sqrt(1 - kern_pow64(0.95, (double)t))),
                                    .eps = 1e-8f,
                                    .decay = s.p[i].cols ? (float)(lr * 0.1) : 0,
                                    .rate = (float)(lr / (1 - kern_pow64(0.9, (double)t)))};
                    for (size_t j = 0; j < s.p[i].n; j++)
                        o_adamw(&a, s.p[i].g[j], &want[i][0][j], &want[i][1][j], &want[i][2][j]);
                    assert_memory_equal(s.p[i].w, want[i][0], s.p[i].n * sizeof(float));
                    assert_memory_equal(optim_m(o, i), want[i][1], s.p[i].n * sizeof(float));
                    assert_memory_equal(optim_v(o, i), want[i][2], s.p[i].n * sizeof(float));
                }
            }
            for (size_t r = 37; r < 48; r++) /* padding */
                assert_true(s.p[0].w[params_at(&s.p[0], r, 5)] == 0);
            for (size_t i = 0; i < PARAMS_N; i++)
                for (int k = 0; k < 3; k++)
                    free(want[i][k]);
            optim_close(o);
            pool_close(p);
            params_free(&s);
        }
}

static void a_gradient_that_is_no_number_shows_in_the_norm(void **state) {
    (void)state;
    params s = params_make();
    optim *o = open(&usual, &s, NULL, NULL);
    assert_true(optim_norm(o, 3) == 0);
    s.p[4].g[20000] = __builtin_nanf("");
    assert_true(isnan(optim_norm(o, 3)));
    s.p[4].g[20000] = 1e30f;
    assert_true(isinf(optim_norm(o, 3)));
    optim_close(o);
    params_free(&s);
}

/* ---- PyTorch ---- */

static double number(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }
static float item(const json_t *rows, size_t r, size_t c) {
    return (float)json_number_value(json_array_get(json_array_get(rows, r), c));
}

static void numbers_of_pytorch(void **state) {
    (void)state;
    strbuf text = {0};
    json_t *root = NULL;
    assert_int_equal(os_read_file("test/golden/train/adamw.json", 1 << 20, &text, NULL), ERR_OK);
    assert_int_equal(json_read(strbuf_str(&text), 1 << 20, &root, NULL), ERR_OK);
    size_t n_cases = json_array_size(root);
    assert_true(n_cases >= 3);
    for (size_t k = 0; k < n_cases; k++) {
        const json_t *c = json_array_get(root, k), *grads = json_object_get(c, "grads"),
                     *after = json_object_get(c, "weights");
        size_t n = json_array_size(json_array_get(grads, 0)), steps = json_array_size(grads);
        assert_true(n > 0 && n <= 16 && json_array_size(after) == steps + 1);
        param p = {"model.layers.0.mlp.up_proj.weight", 1, n, 16 * n, gen_alloc(64 * n), gen_alloc(64 * n)};
        memset(p.w, 0, 64 * n);
        memset(p.g, 0, 64 * n);
        optim_options o = {number(c, "beta1"), number(c, "beta2"), number(c, "eps"), number(c, "decay"),
                           number(c, "clip")};
        optim *opt = NULL;
        engine en = {kern_select(NULL), NULL};
        assert_int_equal(optim_open(&opt, &o, &en, &p, 1, NULL), ERR_OK);
        for (size_t j = 0; j < n; j++)
            p.w[16 * j] = item(after, 0, j);
        for (size_t t = 1; t <= steps; t++) {
            for (size_t j = 0; j < n; j++)
                p.g[16 * j] = item(grads, t - 1, j) * 8; /* a sum over 8 targets */
            optim_step(opt, t, number(c, "lr"), 8, optim_norm(opt, 8));
            for (size_t j = 0; j < n; j++)
                if (!(fabsf(p.w[16 * j] - item(after, t, j)) <= 1e-6f * (1 + fabsf(item(after, t, j)))))
                    fail_msg("case %zu, step %zu, weight %zu: %.9g, PyTorch has %.9g", k, t, j, (double)p.w[16 * j],
                             (double)item(after, t, j));
        }
        optim_close(opt);
        free(p.w);
        free(p.g);
    }
    json_decref(root);
    strbuf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_equal_the_oracle),
        cmocka_unit_test(steps_equal_plain_loops),
        cmocka_unit_test(a_gradient_that_is_no_number_shows_in_the_norm),
        cmocka_unit_test(numbers_of_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
