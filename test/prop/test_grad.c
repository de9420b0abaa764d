/* test_grad: every kernel of gradients, and the gradients of whole models, equal the oracle bit for bit
 * (doc/arithmetic.md, section 12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/learner.h"
#include "prop/gen.h"
#include "prop/oracle_grad.h"

static const kern_ops *isa[8];
static int n_isas;

static void same(const char *what, const kern_ops *o, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (o_bits(a[i]) != o_bits(b[i]) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s, %s: element %zu is %a, must be %a", what, o->isa, i, (double)a[i], (double)b[i]);
}

static float *row(uint64_t seed, size_t n) {
    float *x = gen_alloc((n + 16) * sizeof *x);
    gen_row(seed, x, n + 16);
    return x;
}

/* ---- chains ---- */

enum { FORWARD, BY_INPUT, BY_WEIGHT };

/* What a product and its two gradients ask for: x f32[n][C], w in panels of 16 rows, y f32[n][R]. */
static kern_gemm chains_of(int which, float *x, float *w, float *y, size_t n, size_t C, size_t R, size_t ldx,
                           size_t ldy) {
    if (which == FORWARD)
        return (kern_gemm){x, w, y, ldx, 1, C * 16, 16, ldy, 16, n, C, R, false, false};
    if (which == BY_INPUT)
        return (kern_gemm){y, w, x, ldy, 1, C * 16, 0, ldx, 16, n, R, C, true, false};
    return (kern_gemm){x, y, w, 1, ldx, 16, ldy, 16, C * 16, C, n, R, false, false};
}

static const float *a_of(const kern_gemm *g, size_t i, size_t k) { return g->a + i * g->a_row + k * g->a_k; }
static const float *b_of(const kern_gemm *g, size_t k, size_t j) {
    return g->turned ? g->b + k / 16 * g->b_panel + j * 16 + k % 16 : g->b + j / 16 * g->b_panel + k * g->b_k + j % 16;
}
static float *c_of(const kern_gemm *g, size_t i, size_t j) {
    return g->c + i * g->c_row + j / 16 * g->c_panel + j % 16;
}

static void gemm_case(int which, size_t n, size_t C, size_t R, bool go_on, uint64_t seed) {
    size_t ldx = C + 3, ldy = R + 5, panels = (R + 15) / 16;
    size_t size[3] = {n * ldx, panels * 16 * C, n * ldy};
    float *start[3], *work[3], *want;
    for (int i = 0; i < 3; i++) {
        start[i] = row(seed + (uint64_t)i, size[i]);
        work[i] = gen_alloc((size[i] + 16) * sizeof(float));
        memcpy(work[i], start[i], (size[i] + 16) * sizeof(float));
    }
    int out = which == FORWARD ? 2 : which == BY_INPUT ? 0 : 1;
    want = gen_alloc((size[out] + 16) * sizeof(float));
    memcpy(want, start[out], (size[out] + 16) * sizeof(float));
    kern_gemm g = chains_of(which, work[0], work[1], work[2], n, C, R, ldx, ldy), w = g;
    g.go_on = go_on;
    w.c = want;
    for (size_t i = 0; i < g.rows; i++)
        for (size_t j = 0; j < g.outs; j++) {
            float acc = go_on ? *c_of(&w, i, j) : 0.0f;
            for (size_t k = 0; k < g.depth; k++)
                acc = fmaf(*a_of(&g, i, k), *b_of(&g, k, j), acc);
            *c_of(&w, i, j) = acc;
        }
    void *scratch = gen_alloc(KERN_GEMM_SCRATCH);
    for (int s = 0; s < n_isas; s++) {
        size_t last = (g.outs + 15) / 16, row_cut = rng_below(seed, RNG_TEST, 50, g.rows + 1);
        size_t panel_cut = rng_below(seed, RNG_TEST, 51, last + 1);
        memcpy(work[out], start[out], (size[out] + 16) * sizeof(float));
        /* in four pieces, in any order */
        isa[s]->gemm(&g, row_cut, g.rows, 0, panel_cut, scratch);
        isa[s]->gemm(&g, 0, row_cut, panel_cut, last, scratch);
        isa[s]->gemm(&g, 0, row_cut, 0, panel_cut, scratch);
        isa[s]->gemm(&g, row_cut, g.rows, panel_cut, last, scratch);
        same("gemm", isa[s], work[out], want, size[out] + 16); /* what no chain owns is as it was */
    }
    free(scratch);
    free(want);
    for (int i = 0; i < 3; i++) {
        free(start[i]);
        free(work[i]);
    }
}

static void chains_equal_the_oracle(void **state) {
    (void)state;
    uint64_t seed = 100;
    static const size_t size[] = {1, 2, 5, 7, 13, 16, 17, 33, 50};
    for (int which = FORWARD; which <= BY_WEIGHT; which++) {
        for (size_t i = 0; i < 60; i++, seed += 10)
            gemm_case(which, size[rng_below(1, RNG_TEST, 3 * i, 9)], size[rng_below(1, RNG_TEST, 3 * i + 1, 9)],
                      size[rng_below(1, RNG_TEST, 3 * i + 2, 9)], i % 3 == 0, seed);
        /* several parts of k, blocks of rows, groups of panels */
        gemm_case(which, 521, 40, 24, false, seed++);
        gemm_case(which, 30, 530, 20, true, seed++);
        gemm_case(which, 7, 150, 549, false, seed++);
        gemm_case(which, 260, 290, 33, false, seed++);
    }
}

/* ---- rows ---- */

static void rows_equal_the_oracle(void **state) {
    (void)state;
    static float x[80], w[80], dy[80], add[80], want[3][80], got[3][96];
    static const uint32_t untouched = 0x7f812345;
    for (size_t n = 1; n <= 70; n += n < 34 ? 1 : 7)
        for (int wild = 0; wild < 2; wild++) {
            for (size_t i = 0; i < 80; i++) {
                x[i] = wild ? gen_wild(n, i) : gen_f32(n, i) * 4;
                w[i] = gen_f32(1000 + n, i);
                dy[i] = wild && i % 3 == 0 ? gen_wild(2000 + n, i) : gen_f32(2000 + n, i);
                add[i] = gen_f32(3000 + n, i);
            }
            for (int s = 0; s < n_isas; s++) {
                const kern_ops *o = isa[s];
                float r, want_r, dot = og_dot(x, dy, n), got_dot = o->dot(x, dy, n);
#define FRESH()                         \
    for (size_t i = 0; i < 3; i++)      \
        for (size_t j = 0; j < 96; j++) \
    memcpy(&got[i][j], &untouched, 4)
#define CHECK(what, k)                                      \
    do {                                                    \
        same(what, o, got[k], want[k], n);                  \
        for (size_t i = n; i < 96; i++)                     \
            assert_memory_equal(&got[k][i], &untouched, 4); \
    } while (0)
                same("dot", o, &got_dot, &dot, 1);
                for (int v = 0; v < 4; v++) {
                    FRESH();
                    og_norm_back(x, v & 1 ? w : NULL, dy, v & 2 ? add : NULL, n, 1e-5f, want[0], &want_r);
                    o->rmsnorm_back(x, v & 1 ? w : NULL, dy, v & 2 ? add : NULL, n, 1e-5f, got[0], &r);
                    CHECK("rmsnorm_back", 0);
                    same("r", o, &r, &want_r, 1);
                }
                for (int f = KERN_SILU; f <= KERN_GELU_ERF; f++) {
                    FRESH();
                    for (size_t i = 0; i < n; i++)
                        og_gate_back((kern_activation)f, x[i], w[i], dy[i], &want[0][i], &want[1][i], &want[2][i]);
                    o->gated_back((kern_activation)f, x, w, dy, n, got[0], got[1], got[2]);
                    CHECK("gated_back gate", 0);
                    CHECK("gated_back up", 1);
                    CHECK("gated_back y", 2);
                    memcpy(got[0], x, sizeof x); /* in place */
                    memcpy(got[1], w, sizeof w);
                    memcpy(got[2], dy, sizeof dy);
                    o->gated_back((kern_activation)f, got[0], got[1], got[2], n, got[0], got[1], got[2]);
                    for (int k = 0; k < 3; k++)
                        same("gated_back in place", o, got[k], want[k], n);
                }
                for (int v = 0; v < 4; v++) {
                    float stat[2], m, z, cap = v & 1 ? 30.0f : 0.0f, scale = v & 2 ? 0.7f : 1.0f;
                    size_t target = rng_below(n, RNG_TEST, (uint64_t)v, n);
                    FRESH();
                    memcpy(got[0], x, n * 4);
                    memcpy(want[0], x, n * 4);
                    float loss = o->cross_entropy(got[0], n, target, stat), want_loss = og_loss(x, n, target, &m, &z);
                    same("cross_entropy", o, &loss, &want_loss, 1);
                    same("largest", o, &stat[0], &m, 1);
                    same("sum", o, &stat[1], &z, 1);
                    og_loss_back(want[0], n, target, m, z, 0.3f, cap, scale);
                    o->cross_entropy_back(got[0], n, target, stat, 0.3f, cap, scale);
                    CHECK("cross_entropy_back", 0);
                }
            }
        }
}

static void columns_equal_the_oracle(void **state) {
    (void)state;
    for (size_t cols = 1; cols <= 40; cols += 3) {
        size_t n = 1 + cols % 9, ld = cols + cols % 5;
        float *x = row(cols, n * ld), *dy = row(cols + 100, n * ld), *r = row(cols + 200, n);
        float want[48], sum[48] = {0}, got[48];
        gen_row(7, want, 48);
        for (size_t c = 0; c < cols; c++)
            for (size_t i = 0; i < n; i++) {
                want[c] = fmaf(dy[i * ld + c], x[i * ld + c] * r[i], want[c]);
                sum[c] = sum[c] + x[i * ld + c];
            }
        for (int s = 0; s < n_isas; s++) {
            gen_row(7, got, 48);
            isa[s]->norm_weight_back(dy, x, ld, r, n, cols, got);
            same("norm_weight_back", isa[s], got, want, 48);
            memset(got, 0, sizeof got);
            isa[s]->sum_rows(x, ld, n, cols, got);
            same("sum_rows", isa[s], got, sum, 48);
        }
        free(x);
        free(dy);
        free(r);
    }
}

/* ---- attention ---- */

static void panels(const float *x, size_t stride, size_t n, size_t K, float *out) {
    for (size_t t = 0; t < n; t++)
        for (size_t d = 0; d < K; d++)
            out[t / 16 * 16 * K + d * 16 + t % 16] = x[t * stride + d];
}

static void attention_case(size_t n, size_t K, size_t window, float cap, bool split, uint64_t seed) {
    size_t qs = K + 3, kvs = K + 1, heads = 2; /* two query heads share a key's head */
    og_head h = {n, K, qs, kvs, window, 1 / sqrtf((float)K), cap};
    float *q[2], *dout[2], *out[2], *dq[2], *want_dq[2], *stat = gen_alloc(n * 4 * 4), *delta = gen_alloc(n * 2 * 4);
    float *k = row(seed + 10, n * kvs), *v = row(seed + 11, n * kvs), *dk = og_new(n * kvs + 16),
          *dv = og_new(n * kvs + 16);
    float *want_dk = og_new(n * kvs + 16), *want_dv = og_new(n * kvs + 16);
    float *kp = gen_alloc((n + 15) / 16 * 16 * K * 4), *vp = gen_alloc((n + 15) / 16 * 16 * K * 4);
    memset(kp, 0xff, (n + 15) / 16 * 16 * K * 4); /* NaN behind the last position changes nothing */
    memset(vp, 0xff, (n + 15) / 16 * 16 * K * 4);
    panels(k, kvs, n, K, kp);
    panels(v, kvs, n, K, vp);
    for (size_t i = 0; i < heads; i++) {
        q[i] = row(seed + i, n * qs);
        dout[i] = row(seed + 4 + i, n * qs);
        out[i] = og_new(n * qs + 16);
        dq[i] = og_new(n * qs + 16);
        want_dq[i] = og_new(n * qs + 16);
        for (size_t t = 0; t < n; t++) {
            og_attend(&h, q[i] + t * qs, k, v, t, out[i] + t * qs, &stat[2 * (t * 2 + i)], &stat[2 * (t * 2 + i) + 1]);
            delta[t * 2 + i] = og_dot(out[i] + t * qs, dout[i] + t * qs, K);
        }
        og_attend_back(&h, q[i], k, v, out[i], dout[i], stat + 2 * i, 2, want_dq[i], want_dk, want_dv);
    }
    void *scratch = gen_alloc(KERN_ATTN_BACK_SCRATCH);
    kern_attn a = {.scale = h.scale, .softcap = cap};
    for (int s = 0; s < n_isas; s++) {
        memset(dk, 0, n * kvs * 4);
        memset(dv, 0, n * kvs * 4);
        memset(scratch, 0xff, KERN_ATTN_BACK_SCRATCH);
        for (size_t i = 0; i < heads; i++) {
            kern_attn_back b = {q[i], dout[i], k, v,  kp,  vp, stat + 2 * i, delta + i, dq[i], dk,
                                dv,   n,       K, qs, kvs, 2,  window};
            memset(dq[i], 0, n * qs * 4);
            if (!split) {
                isa[s]->attention_back(&b, &a, KERN_BACK_Q | KERN_BACK_KV, 0, n, 0, n, scratch);
                continue;
            }
            for (size_t at = 0; at < n; at += 64) { /* keys on their own, then queries on their own */
                size_t to = at + 64 < n ? at + 64 : n;
                isa[s]->attention_back(&b, &a, KERN_BACK_KV, at, n, at, to, scratch);
                isa[s]->attention_back(&b, &a, KERN_BACK_Q, at, to, 0, to, scratch);
            }
        }
        for (size_t i = 0; i < heads; i++)
            same("dq", isa[s], dq[i], want_dq[i], n * qs);
        same("dk", isa[s], dk, want_dk, n * kvs);
        same("dv", isa[s], dv, want_dv, n * kvs);
    }
    for (size_t i = 0; i < heads; i++) {
        free(q[i]);
        free(dout[i]);
        free(out[i]);
        free(dq[i]);
        free(want_dq[i]);
    }
    float *const all[] = {stat, delta, k, v, dk, dv, want_dk, want_dv, kp, vp, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void attention_equals_the_oracle(void **state) {
    (void)state;
    static const size_t width[] = {1, 8, 16, 20, 24, 40, 7}, length[] = {1, 2, 15, 63, 64, 65, 130, 200};
    static const size_t window[] = {0, 1, 3, 17, 64, 65, 100};
    uint64_t seed = 5000;
    for (size_t i = 0; i < 56; i++, seed += 20)
        attention_case(length[i % 8], width[i % 7], i % 2 ? window[i / 8] : 0, i % 3 ? 0 : 30, i % 5 < 2, seed);
}

/* ---- whole models ---- */

/* Losses and gradients of m, which is closed, against the oracle's. */
static void model_case(const char *what, model *m) {
    enum { N = 90 };
    static int32_t ids[N], target[N];
    static float weight[N], loss[N], want_loss[N];
    static const segment segments[] = {{0, 70}, {70, 71}, {71, N}};
    static const size_t end[] = {70, 71, N};
    err e = {0};
    learner *l = NULL;
    double sum = 0;
    size_t n;
    if (learner_open(&l, m, &(learner_options){.tokens_max = N}, &e))
        fail_msg("%s: %s", what, e.text);
    const model_config *c = model_config_of(m);
    for (uint64_t i = 0; i < N; i++) {
        ids[i] = (int32_t)rng_below(3, RNG_TEST, i, c->V);
        target[i] = (int32_t)rng_below(4, RNG_TEST, i, c->V);
        weight[i] = i % 7 == 3 ? 0.0f : i % 5 == 1 ? 0.25f : 1.0f;
    }
    const batch b = {.ids = ids, .target = target, .weight = weight, .n = N, .segment = segments, .n_segments = 3};
    if (learner_gradient(l, &b, loss, &sum, &e))
        fail_msg("%s: %s", what, e.text);
    param *p = learner_params(l, &n);
    og_weight *w = calloc(n, sizeof *w);
    for (size_t i = 0; i < n; i++) {
        size_t cols = p[i].cols ? p[i].cols : 1;
        w[i] = (og_weight){p[i].name, p[i].rows, p[i].cols, og_new(p[i].rows * cols), og_new(p[i].rows * cols)};
        for (size_t r = 0; r < p[i].rows; r++)
            for (size_t k = 0; k < cols; k++)
                w[i].w[r * cols + k] = p[i].cols ? p[i].w[(r / 16 * cols + k) * 16 + r % 16] : p[i].w[r];
    }
    memset(want_loss, 0, sizeof want_loss);
    og_model o = {.c = c,
                  .weight = w,
                  .n_weights = n,
                  .ids = ids,
                  .target = target,
                  .counts = weight,
                  .n = N,
                  .n_segments = 3,
                  .end = end,
                  .loss = want_loss};
    og_gradient(&o);
    for (size_t t = 0; t < N; t++)
        if (o_bits(loss[t]) != o_bits(want_loss[t]))
            fail_msg("%s: loss %zu is %a, must be %a", what, t, (double)loss[t], (double)want_loss[t]);
    for (size_t i = 0; i < n; i++) {
        size_t cols = p[i].cols ? p[i].cols : 1, panels = (p[i].rows + 15) / 16 * 16;
        double largest = 0;
        for (size_t r = 0; r < p[i].rows; r++)
            for (size_t k = 0; k < cols; k++) {
                float got = p[i].cols ? p[i].g[(r / 16 * cols + k) * 16 + r % 16] : p[i].g[r];
                largest = fabs((double)got) > largest ? fabs((double)got) : largest;
                if (o_bits(got) != o_bits(w[i].g[r * cols + k]))
                    fail_msg("%s, %s[%zu][%zu]: gradient is %a, must be %a", what, p[i].name, r, k, (double)got,
                             (double)w[i].g[r * cols + k]);
            }
        for (size_t r = p[i].rows; p[i].cols && r < panels; r++) /* rows past the last stay zeros */
            for (size_t k = 0; k < cols; k++)
                assert_int_equal(o_bits(p[i].g[(r / 16 * cols + k) * 16 + r % 16]), 0);
        if (!(largest > 0 && largest < 1e6))
            fail_msg("%s, %s: the largest gradient is %g", what, p[i].name, largest);
        free(w[i].w);
        free(w[i].g);
    }
    free(w);
    learner_close(l);
    model_close(m);
}

static void models_equal_the_oracle(void **state) {
    (void)state;
    static const char *const families[] = {"llama",  "llama-bias", "mistral", "qwen2-window", "qwen3",      "gemma2",
                                           "gemma3", "olmo2",      "olmo3",   "smollm3",      "phi3-short", "granite"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char path[120];
        err e = {0};
        model *m = NULL;
        snprintf(path, sizeof path, "test/golden/models/%s", families[i]);
        if (model_open(&m, path, &(model_options){.weights = MODEL_WEIGHTS_F32}, &e))
            fail_msg("%s", e.text);
        model_case(families[i], m);
    }
}

/* Models made from a shape whose numbers are multiples of nothing, of every row of the architecture table. */
static void new_models_equal_the_oracle(void **state) {
    (void)state;
    static const char *const rows[] = {"llama", "mistral", "qwen2", "qwen3",   "gemma2", "gemma3_text",
                                       "olmo2", "olmo3",   "phi3",  "smollm3", "granite"};
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        const char *name = rows[i / 2];
        static const uint8_t slides[] = {1, 0}, no_rope[] = {0, 1};
        bool wide = i % 2;
        model_config c = {.arch = arch_by_name((str){name, strlen(name)}),
                          .name = STR("made"),
                          .D = wide ? 37 : 18,
                          .H = wide ? 6 : 3,
                          .G = wide ? 2 : 1,
                          .K = wide ? 18 : 6,
                          .F = wide ? 45 : 11,
                          .V = wide ? 70 : 21,
                          .L = 2,
                          .ctx_train = 100,
                          .window = wide ? 20 : 0,
                          .layer_slides = wide ? slides : NULL,
                          .layer_no_rope = wide ? no_rope : NULL,
                          .norm_eps = 1e-3,
                          .rope_width = wide ? 12 : 6,
                          .rope = {.theta = 100, .attn_factor = wide ? 1.25 : 1},
                          .rope_local = {.theta = 30, .attn_factor = 1},
                          .embed_scale = wide ? 3 : 1,
                          .residual_scale = wide ? 0.6 : 1,
                          .attn_scale = 0.4,
                          .logit_scale = wide ? 1.5 : 1,
                          .attn_softcap = wide ? 0 : 5,
                          .logit_softcap = wide ? 0 : 4,
                          .tied = wide,
                          .bias_required = i % 4 < 2};
        err e = {0};
        model *m = NULL;
        learner *l = NULL;
        size_t n;
        if (model_create(&m, &c, &(model_options){0}, &e) ||
            learner_open(&l, m, &(learner_options){.tokens_max = 1}, &e))
            fail_msg("%s: %s", name, e.text);
        param *p = learner_params(l, &n);
        for (size_t j = 0; j < n; j++)
            for (size_t r = 0; r < p[j].rows; r++)
                for (size_t k = 0; k < (p[j].cols ? p[j].cols : 1); k++) {
                    float v = gen_f32(i * 1000 + j, r * 100 + k) * 0.5f;
                    if (p[j].cols)
                        p[j].w[(r / 16 * p[j].cols + k) * 16 + r % 16] = v;
                    else
                        p[j].w[r] = v + 1;
                }
        learner_close(l);
        model_case(name, m);
    }
}

static int setup(void **state) {
    (void)state;
    n_isas = gen_isas(isa);
    return n_isas < 1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_equal_the_oracle),  cmocka_unit_test(rows_equal_the_oracle),
        cmocka_unit_test(columns_equal_the_oracle), cmocka_unit_test(attention_equals_the_oracle),
        cmocka_unit_test(models_equal_the_oracle),  cmocka_unit_test(new_models_equal_the_oracle),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
