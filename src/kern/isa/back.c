/* back: gradients of everything but products and attention: norms, gated activations, cross entropy, sums over rows.
 *
 * Orders of operations: doc/arithmetic.md, "Gradients". As in ops.c a tail is read as zeros and only its own
 * lanes are written.
 */
#include "kern/isa/func.h"
#include "kern/isa/isa.h"
#include "kern/isa/rows.h"

float KERN_FN(dot)(const float *a, const float *b, size_t n) {
    v16 s = v16_zero();
    EACH_VECTOR(i, n) s = v16_fma(get(a, i, n), get(b, i, n), s);
    return v16_sum(s);
}

/* With r as in rmsnorm and g = dy * w: s = sum of g*x by lanes, k = ((s/n) * r) * r,
 * dx = fma(-x, k, g) * r. */
void KERN_FN(rmsnorm_back)(const float *x, const float *w, const float *dy, const float *add, size_t n, float eps,
                           float *dx, float *r_out) {
    v16 ss = v16_zero(), s = v16_zero();
    EACH_VECTOR(i, n) {
        v16 a = get(x, i, n), g = get(dy, i, n);
        if (w)
            g = v16_mul(g, get(w, i, n));
        ss = v16_fma(a, a, ss);
        s = v16_fma(g, a, s);
    }
    float mean = v16_sum(ss) / (float)n;
    v16 r = v16_div(v16_set1(1.0f), v16_sqrt(v16_set1(mean + eps)));
    v16 k = v16_mul(v16_mul(v16_set1(v16_sum(s) / (float)n), r), r);
    EACH_VECTOR(i, n) {
        v16 g = get(dy, i, n);
        if (w)
            g = v16_mul(g, get(w, i, n));
        v16 d = v16_mul(v16_fnma(get(x, i, n), k, g), r);
        put(dx, i, n, add ? v16_add(get(add, i, n), d) : d);
    }
    float lane[16];
    v16_store(lane, r);
    *r_out = lane[0];
}

void KERN_FN(norm_weight_back)(const float *dy, const float *x, size_t ld, const float *r, size_t n, size_t cols,
                               float *dw) {
    EACH_VECTOR(c, cols) {
        v16 s = get(dw, c, cols);
        for (size_t i = 0; i < n; i++)
            s = v16_fma(get(dy + i * ld, c, cols), v16_mul(get(x + i * ld, c, cols), v16_set1(r[i])), s);
        put(dw, c, cols, s);
    }
}

void KERN_FN(sum_rows)(const float *a, size_t lda, size_t n, size_t cols, float *y) {
    EACH_VECTOR(c, cols) {
        v16 s = v16_zero();
        for (size_t i = 0; i < n; i++)
            s = v16_add(s, get(a + i * lda, c, cols));
        put(y, c, cols, s);
    }
}

/* f(x) as in the forward pass, and its derivative. */
typedef struct {
    v16 f, d;
} value_slope;

/* e = 1 + exp(-x), f = x/e, d = fma(f, 1 - 1/e, 1/e) */
V16_FN value_slope silu_slope(v16 x) {
    v16 one = v16_set1(1.0f), e = v16_add(one, func_exp(v16_neg(x))), s = v16_div(one, e), f = v16_div(x, e);
    return (value_slope){f, v16_fma(f, v16_sub(one, s), s)};
}

/* h = 0.5x, t = tanh(u), f = h (1 + t), d = fma(h (1 - t^2), u', 0.5 (1 + t)), u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)
 */
V16_FN value_slope gelu_tanh_slope(v16 x) {
    v16 one = v16_set1(1.0f), half = v16_set1(0.5f), c = v16_set1(0.797884560802865356f);
    v16 cube = v16_fma(v16_mul(v16_set1(0.044715f), x), x, one);
    v16 t = func_tanh(v16_mul(v16_mul(c, x), cube)), h = v16_mul(half, x), up = v16_add(one, t);
    v16 du = v16_mul(c, v16_fma(v16_mul(v16_set1(0.134145f), x), x, one));
    v16 bend = v16_mul(h, v16_fnma(t, t, one));
    return (value_slope){v16_mul(h, up), v16_fma(bend, du, v16_mul(half, up))};
}

/* f = 0.5x (1 + erf(x/sqrt 2)), d = fma(x, exp(-0.5x * x) / sqrt(2 pi), 0.5 (1 + erf)) */
V16_FN value_slope gelu_erf_slope(v16 x) {
    v16 one = v16_set1(1.0f), half = v16_set1(0.5f), h = v16_mul(half, x);
    v16 up = v16_add(one, func_erf(v16_mul(x, v16_set1(0.707106781186547524f))));
    v16 bell = v16_mul(func_exp(v16_neg(v16_mul(h, x))), v16_set1(0.398942280401432678f));
    return (value_slope){v16_mul(h, up), v16_fma(x, bell, v16_mul(half, up))};
}

void KERN_FN(gated_back)(kern_activation f, const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                         float *dup, float *y) {
    EACH_VECTOR(i, n) {
        v16 x = get(gate, i, n), u = get(up, i, n), d = get(dy, i, n);
        value_slope a = f == KERN_SILU ? silu_slope(x) : f == KERN_GELU_TANH ? gelu_tanh_slope(x) : gelu_erf_slope(x);
        put(dgate, i, n, v16_mul(v16_mul(d, u), a.d));
        put(dup, i, n, v16_mul(d, a.f));
        put(y, i, n, v16_mul(a.f, u));
    }
}

float KERN_FN(cross_entropy)(const float *l, size_t n, size_t target, float *stat) {
    v16 low = v16_set1(-__builtin_inff()), top = low, z = v16_zero();
    EACH_VECTOR(i, n) {
        v16 x = get(l, i, n);
        top = v16_max(n - i < 16 ? v16_sel(v16_first(n - i), x, low) : x, top);
    }
    float max = v16_hmax(top), lane[16];
    v16 m = v16_set1(max);
    EACH_VECTOR(i, n) {
        v16 p = func_exp(v16_sub(get(l, i, n), m));
        z = v16_add(z, n - i < 16 ? v16_sel(v16_first(n - i), p, v16_zero()) : p);
    }
    stat[0] = max;
    stat[1] = v16_sum(z);
    v16_store(lane, func_log(v16_set1(stat[1])));
    return lane[0] - (l[target] - max);
}

void KERN_FN(cross_entropy_back)(float *l, size_t n, size_t target, const float *stat, float weight, float cap,
                                 float scale) {
    v16 m = v16_set1(stat[0]), k = v16_set1(weight / stat[1]), c = v16_set1(cap), s = v16_set1(scale);
    EACH_VECTOR(i, n) {
        v16 x = get(l, i, n), g = v16_mul(func_exp(v16_sub(x, m)), k);
        if (target - i < 16) {
            float lane[16];
            v16_store(lane, g);
            lane[target - i] -= weight;
            g = v16_load(lane);
        }
        if (cap != 0.0f) {
            v16 t = v16_div(x, c);
            g = v16_mul(g, v16_fnma(t, t, v16_set1(1.0f)));
        }
        put(l, i, n, scale == 1.0f ? g : v16_mul(g, s));
    }
}
