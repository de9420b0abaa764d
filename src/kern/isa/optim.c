/* optim: the optimizer's two kernels. Elementwise results depend on their own element alone; a tail is read as zeros
 * and only its own lanes are written, as in ops.c.
 */
#include "kern/isa/isa.h"

V16_FN v16 get(const float *p, size_t i, size_t n) { return n - i >= 16 ? v16_load(p + i) : v16_load_n(p + i, n - i); }
V16_FN void put(float *p, size_t i, size_t n, v16 a) {
    if (n - i >= 16)
        v16_store(p + i, a);
    else
        v16_store_n(p + i, a, n - i);
}

/* s[lane] = fma(x, x, s[lane]) over ascending blocks of 16, then the tree. */
float KERN_FN(sum_squares)(const float *x, size_t n) {
    v16 s = v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        v16 a = get(x, i, n);
        s = v16_fma(a, a, s);
    }
    return v16_sum(s);
}

/* The steps of kern.h, in that order. */
void KERN_FN(adamw)(const kern_adamw *a, const float *grad, size_t n, float *w, float *m, float *v) {
    v16 scale = v16_set1(a->scale), rise1 = v16_set1(a->rise1), keep2 = v16_set1(a->keep2), rise2 = v16_set1(a->rise2);
    v16 root2 = v16_set1(a->root2), eps = v16_set1(a->eps), decay = v16_set1(a->decay), rate = v16_set1(a->rate);
    for (size_t i = 0; i < n; i += 16) {
        v16 g = v16_mul(get(grad, i, n), scale);
        v16 m0 = get(m, i, n), w0 = get(w, i, n);
        v16 m1 = v16_fma(v16_sub(g, m0), rise1, m0);
        v16 v1 = v16_fma(v16_mul(g, g), rise2, v16_mul(get(v, i, n), keep2));
        v16 w1 = v16_fnma(w0, decay, w0);
        v16 denominator = v16_fma(v16_sqrt(v1), root2, eps);
        put(m, i, n, m1);
        put(v, i, n, v1);
        put(w, i, n, v16_fnma(v16_div(m1, denominator), rate, w1));
    }
}

/* As many independent chains as a tile of a product has: enough to fill every ISA's pipelines, few enough for its
 * registers. The sum of them keeps the compiler from dropping any. */
double KERN_FN(fma_run)(size_t n, float *sink) {
    v16 acc[V16_TILE_FLOAT], a = v16_set1(sink[0]), b = v16_set1(sink[1]);
    for (int i = 0; i < V16_TILE_FLOAT; i++)
        acc[i] = v16_set1((float)i);
    for (size_t k = 0; k < n; k++) {
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 16
#endif
        for (int i = 0; i < V16_TILE_FLOAT; i++)
            acc[i] = v16_fma(acc[i], a, b);
    }
    v16 sum = acc[0];
    for (int i = 1; i < V16_TILE_FLOAT; i++)
        sum = v16_add(sum, acc[i]);
    sink[2] = v16_sum(sum);
    return (double)n * V16_TILE_FLOAT * 16 * 2;
}
