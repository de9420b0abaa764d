/* test_slopes: every gradient kernel against finite differences of its operation, written here in binary64.
 *
 * Differences are central, of fourth order, with steps of 1e-3 on numbers of about 1: in binary64 their error is far
 * below that of the binary32 kernels, to which 2e-5 of the largest gradient is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "prop/gen.h"

enum { MAX = 4096 };

/* A number that depends on x f64[n]: what is summed up with the weights dy of the outputs. */
typedef double value_fn(const void *ctx, const double *x);

static void check(const char *what, value_fn *f, const void *ctx, const double *x, size_t n, const float *g) {
    static double at[MAX];
    double slope[MAX], largest = 0;
    memcpy(at, x, n * sizeof *at);
    for (size_t i = 0; i < n; i++) {
        const double h = 1e-3;
        double v[4];
        for (int k = 0; k < 4; k++) {
            at[i] = x[i] + h * (k < 2 ? k - 2 : k - 1);
            v[k] = f(ctx, at);
        }
        at[i] = x[i];
        slope[i] = (8 * (v[2] - v[1]) - (v[3] - v[0])) / (12 * h);
        largest = fabs(slope[i]) > largest ? fabs(slope[i]) : largest;
    }
    assert_true(largest > 1e-3);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(slope[i] - (double)g[i]) <= 2e-5 * largest))
            fail_msg("%s: gradient %zu is %.9g, the difference says %.9g", what, i, (double)g[i], slope[i]);
}

/* f64 and f32 of the same numbers, about 1. */
static void numbers(uint64_t seed, size_t n, float *f, double *d) {
    for (size_t i = 0; i < n; i++) {
        f[i] = rng_f32(seed, RNG_TEST, i) * 2 - 1;
        d[i] = (double)f[i];
    }
}

/* ---- norm ---- */

typedef struct {
    size_t n;
    const double *x, *w, *dy;
} norm_case;

static double norm_of(const norm_case *c, const double *x, const double *w) {
    double s = 0, sum = 0;
    for (size_t i = 0; i < c->n; i++)
        s += x[i] * x[i];
    for (size_t i = 0; i < c->n; i++)
        sum += c->dy[i] * w[i] * x[i] / sqrt(s / (double)c->n + 1e-2);
    return sum;
}
static double by_x(const void *c, const double *x) { return norm_of(c, x, ((const norm_case *)c)->w); }
static double by_w(const void *c, const double *w) { return norm_of(c, ((const norm_case *)c)->x, w); }

static void norms(void **state) {
    (void)state;
    enum { N = 37 };
    const kern_ops *o = kern_select(NULL);
    float x[N], w[N], dy[N], dx[N], dw[N] = {0}, r;
    double dx64[N], dw64[N], ddy[N];
    numbers(1, N, x, dx64);
    numbers(2, N, w, dw64);
    numbers(3, N, dy, ddy);
    const norm_case c = {N, dx64, dw64, ddy};
    o->rmsnorm_back(x, w, dy, NULL, N, 1e-2f, dx, &r);
    check("rmsnorm by x", by_x, &c, dx64, N, dx);
    o->norm_weight_back(dy, x, N, &r, 1, N, dw);
    check("rmsnorm by w", by_w, &c, dw64, N, dw);
}

/* ---- gated activations ---- */

typedef struct {
    kern_activation f;
    size_t n;
    const double *dy;
} gate_case;

/* x: the gates, then the ups */
static double gated(const void *ctx, const double *x) {
    const gate_case *c = ctx;
    double sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        double v = x[i] * 4, cube = 0.797884560802865356 * (v + 0.044715 * v * v * v), y;
        if (c->f == KERN_SILU)
            y = v / (1 + exp(-v));
        else if (c->f == KERN_GELU_TANH)
            y = 0.5 * v * (1 + tanh(cube));
        else
            y = 0.5 * v * (1 + erf(v / sqrt(2)));
        sum += c->dy[i] * y * x[c->n + i];
    }
    return sum;
}

static void gates(void **state) {
    (void)state;
    enum { N = 45 };
    const kern_ops *o = kern_select(NULL);
    float x[2 * N], dy[N], g[2 * N], y[N];
    double x64[2 * N], dy64[N];
    numbers(4, 2 * N, x, x64);
    numbers(5, N, dy, dy64);
    for (int f = KERN_SILU; f <= KERN_GELU_ERF; f++) {
        const gate_case c = {(kern_activation)f, N, dy64};
        float gate[N];
        for (int i = 0; i < N; i++)
            gate[i] = x[i] * 4;
        o->gated_back((kern_activation)f, gate, x + N, dy, N, g, g + N, y);
        for (int i = 0; i < N; i++)
            g[i] *= 4;
        check("gated activation", gated, &c, x64, 2 * N, g);
    }
}

/* ---- cross entropy ---- */

typedef struct {
    size_t n, target;
    double cap, scale;
} loss_case;

static double loss(const void *ctx, const double *x) {
    const loss_case *c = ctx;
    double z = 0, at = 0;
    for (size_t i = 0; i < c->n; i++) {
        double l = x[i] * 10 * c->scale;
        l = c->cap != 0 ? c->cap * tanh(l / c->cap) : l;
        z += exp(l);
        at = i == c->target ? l : at;
    }
    return 0.7 * (log(z) - at);
}

static void losses(void **state) {
    (void)state;
    enum { N = 50 };
    const kern_ops *o = kern_select(NULL);
    float x[N], l[N], stat[2];
    double x64[N];
    numbers(6, N, x, x64);
    for (int v = 0; v < 4; v++) {
        const loss_case c = {N, 11, v & 1 ? 6 : 0, v & 2 ? 0.5 : 1};
        for (int i = 0; i < N; i++)
            l[i] = x[i] * 10;
        if (c.scale != 1)
            o->scale(l, (float)c.scale, N, l);
        if (c.cap != 0)
            o->softcap(l, (float)c.cap, N, l);
        float got = o->cross_entropy(l, N, c.target, stat);
        assert_true(fabs(0.7 * (double)got - loss(&c, x64)) < 1e-5);
        o->cross_entropy_back(l, N, c.target, stat, 0.7f, (float)c.cap, (float)c.scale);
        for (int i = 0; i < N; i++)
            l[i] *= 10;
        check("cross entropy", loss, &c, x64, N, l);
    }
}

/* ---- rotary embedding ---- */

enum { HALF = 11 };
typedef struct {
    double c[HALF], s[HALF], dy[2 * HALF];
} turn_case;

static double turned(const void *ctx, const double *x) {
    const turn_case *c = ctx;
    double sum = 0;
    for (int i = 0; i < HALF; i++)
        sum += c->dy[i] * (x[i] * c->c[i] - x[i + HALF] * c->s[i]) +
               c->dy[i + HALF] * (x[i + HALF] * c->c[i] + x[i] * c->s[i]);
    return sum;
}

static void turns(void **state) { /* backward is forward with the sine's sign changed, factors and all */
    (void)state;
    turn_case c;
    float x[2 * HALF], cs[HALF], sn[HALF], dy[2 * HALF];
    double x64[2 * HALF];
    numbers(7, 2 * HALF, x, x64);
    numbers(8, HALF, cs, c.c);
    numbers(9, HALF, sn, c.s);
    numbers(10, 2 * HALF, dy, c.dy);
    for (int i = 0; i < HALF; i++)
        sn[i] = -sn[i];
    kern_select(NULL)->rope(dy, cs, sn, HALF);
    check("rotary embedding", turned, &c, x64, 2 * HALF, dy);
}

/* ---- products ---- */

enum { T = 9, C = 21, R = 18, WIDE = 32 };
typedef struct {
    const double *x, *w, *dy; /* [T][C], [R][C], [T][R] */
} product_case;

static double product_of(const product_case *c, const double *x, const double *w) {
    double sum = 0;
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++)
            for (int k = 0; k < C; k++)
                sum += c->dy[t * R + r] * x[t * C + k] * w[r * C + k];
    return sum;
}
static double product_by_x(const void *c, const double *x) { return product_of(c, x, ((const product_case *)c)->w); }
static double product_by_w(const void *c, const double *w) { return product_of(c, ((const product_case *)c)->x, w); }

static void products(void **state) {
    (void)state;
    const kern_ops *o = kern_select(NULL);
    static float x[T * C], w[R * C], dy[T * R], panels[WIDE * C], g[WIDE * C], dx[T * C], dw[R * C];
    static double x64[T * C], w64[R * C], dy64[T * R];
    numbers(11, T * C, x, x64);
    numbers(12, R * C, w, w64);
    numbers(13, T * R, dy, dy64);
    for (int r = 0; r < R; r++)
        for (int k = 0; k < C; k++)
            panels[(r / 16 * C + k) * 16 + r % 16] = w[r * C + k];
    const product_case c = {x64, w64, dy64};
    void *scratch = gen_alloc(KERN_GEMM_SCRATCH);
    const kern_gemm by_x = {dy, panels, dx, R, 1, 16 * C, 0, C, 16, T, R, C, true, false};
    o->gemm(&by_x, 0, T, 0, 2, scratch);
    check("product by x", product_by_x, &c, x64, T * C, dx);
    const kern_gemm by_w = {x, dy, g, 1, C, 16, R, 16, 16 * C, C, T, R, false, false};
    o->gemm(&by_w, 0, C, 0, 2, scratch);
    for (int r = 0; r < R; r++)
        for (int k = 0; k < C; k++)
            dw[r * C + k] = g[(r / 16 * C + k) * 16 + r % 16];
    check("product by w", product_by_w, &c, w64, R * C, dw);
    free(scratch);
}

/* ---- attention ---- */

enum { N = 70, K = 6 };
typedef struct {
    const double *dy;
    size_t window;
    double cap;
} attend_case;

/* x: q, k, v, each [N][K] */
static double attended(const void *ctx, const double *x) {
    const attend_case *c = ctx;
    const double *q = x, *k = x + N * K, *v = x + 2 * N * K;
    double sum = 0;
    for (size_t t = 0; t < N; t++) {
        size_t from = c->window && t + 1 > c->window ? t + 1 - c->window : 0;
        double p[N], z = 0;
        for (size_t j = from; j <= t; j++) {
            double s = 0;
            for (size_t d = 0; d < K; d++)
                s += q[t * K + d] * k[j * K + d];
            s *= 1.5;
            s = c->cap != 0 ? c->cap * tanh(s / c->cap) : s;
            z += p[j] = exp(s);
        }
        for (size_t j = from; j <= t; j++)
            for (size_t d = 0; d < K; d++)
                sum += c->dy[t * K + d] * p[j] / z * v[j * K + d];
    }
    return sum;
}

static void turn_to_panels(const float *x, float *out) {
    for (size_t t = 0; t < N; t++)
        for (size_t d = 0; d < K; d++)
            out[t / 16 * 16 * K + d * 16 + t % 16] = x[t * K + d];
}

static void attention(void **state) {
    (void)state;
    enum { ROWS = 80 };
    const kern_ops *o = kern_select(NULL);
    static float x[3 * N * K + 16], dy[N * K + 16], kp[ROWS * K], vp[ROWS * K], out[N * K], stat[2 * N], delta[N];
    static float g[3 * N * K], values[ROWS * 16];
    static double x64[3 * N * K], dy64[N * K];
    numbers(14, 3 * N * K, x, x64);
    numbers(15, N * K, dy, dy64);
    turn_to_panels(x + N * K, kp);
    turn_to_panels(x + 2 * N * K, vp);
    for (size_t t = 0; t < N; t++)
        memcpy(values + 16 * t, x + 2 * N * K + t * K, K * sizeof(float));
    void *scratch = gen_alloc(KERN_ATTN_BACK_SCRATCH + kern_attn_scratch_bytes(K));
    for (int v = 0; v < 4; v++) {
        const attend_case c = {dy64, v & 1 ? 9 : 0, v & 2 ? 2 : 0};
        const kern_attn a = {1.5f, (float)c.cap};
        const kern_kv kv = {.k = kp, .v = values, .width = K, .v_stride = 16};
        for (size_t t = 0; t < N; t++) {
            size_t from = c.window && t + 1 > c.window ? t + 1 - c.window : 0;
            const kern_query q = {x + t * K, out + t * K, from, t + 1, stat + 2 * t};
            o->attention(&kv, &a, &q, 1, scratch);
            delta[t] = o->dot(out + t * K, dy + t * K, K);
        }
        memset(g, 0, sizeof g);
        const kern_attn_back b = {
            x, dy, x + N * K, x + 2 * N * K, kp, vp, stat, delta, g, g + N * K, g + 2 * N * K, N, K, K, K, 1, c.window};
        o->attention_back(&b, &a, KERN_BACK_Q | KERN_BACK_KV, 0, N, 0, N, scratch);
        check("attention", attended, &c, x64, 3 * N * K, g);
    }
    free(scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms), cmocka_unit_test(gates),    cmocka_unit_test(losses),
        cmocka_unit_test(turns), cmocka_unit_test(products), cmocka_unit_test(attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
