/* ops: everything but products and attention: norms, rotary embedding, activations, sums of rows.
 *
 * Arrays are walked sixteen lanes at a time; a tail is read as zeros and only its own lanes are written, so
 * nothing depends on what stands behind an array. Elementwise results depend on their own element alone.
 */
#include "kern/isa/func.h"
#include "kern/isa/isa.h"
#include "kern/isa/rows.h"

/* s[lane] = fma(x, x, s[lane]) over ascending blocks of 16, then the tree; r = 1 / sqrt(s/n + eps);
 * y = (x * r) * w. */
void KERN_FN(rmsnorm)(const float *x, const float *w, size_t n, float eps, float *y) {
    v16 s = v16_zero();
    EACH_VECTOR(i, n) {
        v16 a = get(x, i, n);
        s = v16_fma(a, a, s);
    }
    float mean = v16_sum(s) / (float)n;
    v16 r = v16_div(v16_set1(1.0f), v16_sqrt(v16_set1(mean + eps)));
    EACH_VECTOR(i, n) {
        v16 a = v16_mul(get(x, i, n), r);
        put(y, i, n, w ? v16_mul(a, get(w, i, n)) : a);
    }
}

/* a' = fma(-b, sin, a * cos), b' = fma(a, sin, b * cos) with a = x[i], b = x[i + half]. */
void KERN_FN(rope)(float *x, const float *cos, const float *sin, size_t half) {
    EACH_VECTOR(i, half) {
        v16 a = get(x, i, half), b = get(x + half, i, half), c = get(cos, i, half), s = get(sin, i, half);
        put(x, i, half, v16_fnma(b, s, v16_mul(a, c)));
        put(x + half, i, half, v16_fma(a, s, v16_mul(b, c)));
    }
}

V16_FN v16 silu(v16 x) { return v16_div(x, v16_add(v16_set1(1.0f), func_exp(v16_neg(x)))); }

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the inner sum as x * fma(0.044715 x, x, 1) */
V16_FN v16 gelu_tanh(v16 x) {
    v16 cube = v16_fma(v16_mul(v16_set1(0.044715f), x), x, v16_set1(1.0f));
    v16 u = v16_mul(v16_mul(v16_set1(0.797884560802865356f), x), cube);
    return v16_mul(v16_mul(v16_set1(0.5f), x), v16_add(v16_set1(1.0f), func_tanh(u)));
}

/* 0.5 x (1 + erf(x / sqrt 2)) */
V16_FN v16 gelu_erf(v16 x) {
    v16 u = v16_mul(x, v16_set1(0.707106781186547524f));
    return v16_mul(v16_mul(v16_set1(0.5f), x), v16_add(v16_set1(1.0f), func_erf(u)));
}

void KERN_FN(gated)(kern_activation f, const float *gate, const float *up, size_t n, float *y) {
    EACH_VECTOR(i, n) {
        v16 g = get(gate, i, n);
        g = f == KERN_SILU ? silu(g) : f == KERN_GELU_TANH ? gelu_tanh(g) : gelu_erf(g);
        put(y, i, n, v16_mul(g, get(up, i, n)));
    }
}

void KERN_FN(add)(const float *a, const float *b, size_t n, float *y) {
    EACH_VECTOR(i, n) put(y, i, n, v16_add(get(a, i, n), get(b, i, n)));
}

void KERN_FN(add_scaled)(const float *a, const float *b, float s, size_t n, float *y) {
    EACH_VECTOR(i, n) put(y, i, n, v16_fma(get(b, i, n), v16_set1(s), get(a, i, n)));
}

void KERN_FN(scale)(const float *a, float s, size_t n, float *y) {
    EACH_VECTOR(i, n) put(y, i, n, v16_mul(get(a, i, n), v16_set1(s)));
}

void KERN_FN(softcap)(const float *a, float cap, size_t n, float *y) {
    v16 c = v16_set1(cap);
    EACH_VECTOR(i, n) put(y, i, n, v16_mul(c, func_tanh(v16_div(get(a, i, n), c))));
}

void KERN_FN(to_f16)(const float *a, size_t n, uint16_t *y) {
    EACH_VECTOR(i, n) {
        uint16_t lane[16];
        v16_store_f16(lane, get(a, i, n));
        for (size_t j = 0; j < 16 && i + j < n; j++)
            y[i + j] = lane[j];
    }
}

#define ELEMENTWISE(name, expr)                              \
    void KERN_FN(name)(const float *a, size_t n, float *y) { \
        EACH_VECTOR(i, n) {                                  \
            v16 x = get(a, i, n);                            \
            put(y, i, n, expr);                              \
        }                                                    \
    }
ELEMENTWISE(exp, func_exp(x))
ELEMENTWISE(log, func_log(x))
ELEMENTWISE(tanh, func_tanh(x))
ELEMENTWISE(erf, func_erf(x))
ELEMENTWISE(sin, func_sincos(x).sin)
ELEMENTWISE(cos, func_sincos(x).cos)

void KERN_FN(canonical)(float *a, size_t n) {
    v16 inf = v16_set1(__builtin_inff()), nan = v16i_float(v16i_set1(0x7fc00000));
    EACH_VECTOR(i, n) {
        v16 x = get(a, i, n), m = v16_abs(x);
        put(a, i, n, v16_sel(v16_lt(m, inf), x, v16_sel(v16_lt(v16_set1(0x1.fffffep127f), m), x, nan)));
    }
}
