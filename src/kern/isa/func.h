/* func: exp, log, tanh, erf, sin and cos over v16: branch-free, no tables, no estimates.
 *
 * Every step is one IEEE operation in the order written, so all ISAs agree. Each function states its measured
 * largest error in units of the last place (test/prop/test_func.c measures it again). NaN gives NaN.
 */
#ifndef LOAM_KERN_ISA_FUNC_H
#define LOAM_KERN_ISA_FUNC_H

#include "kern/isa/v16.h"

/* Horner's rule: c[0] + x*(c[1] + ...), highest first by fma. */
#define FUNC_STEP(p, x, c) v16_fma((p), (x), v16_set1(c))

/* 2^n for n in -126..127, from its exponent bits. */
V16_FN v16 func_pow2(v16i n) { return v16i_float(v16i_shl(v16i_add(n, v16i_set1(127)), 23)); }

/* exp: x = n ln2 + r, |r| <= ln2/2; a polynomial of degree 7 in r; scaled by 2^n in two exact steps, so that
 * subnormal results round once. exp(0) = 1 exactly. Below -104: +0; above 88.8: infinity. 1.03 ulp. */
V16_FN v16 func_exp(v16 x) {
    x = v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x));
    v16i n = v16_rint(v16_mul(x, v16_set1(0x1.715476p+0f)));
    v16 nf = v16_from_i(n);
    v16 r = v16_fnma(nf, v16_set1(0x1.62e400p-1f), x); /* ln2 in two parts, the first with 9 trailing zeros */
    r = v16_fnma(nf, v16_set1(0x1.7f7d1cp-20f), r);
    v16 p = v16_set1(0x1.a01a02p-13f); /* 1/5040, 1/720, ... 1/2 */
    p = FUNC_STEP(p, r, 0x1.6c16c2p-10f);
    p = FUNC_STEP(p, r, 0x1.111112p-7f);
    p = FUNC_STEP(p, r, 0x1.555556p-5f);
    p = FUNC_STEP(p, r, 0x1.555556p-3f);
    p = FUNC_STEP(p, r, 0.5f);
    p = v16_fma(v16_mul(r, r), p, r);
    p = v16_add(p, v16_set1(1.0f));
    v16i half = v16i_sar(n, 1);
    return v16_mul(v16_mul(p, func_pow2(half)), func_pow2(v16i_sub(n, half)));
}

/* log: x = m 2^e, sqrt(1/2) <= m < sqrt(2); log1p(m-1) by the odd series of (m-1)/(m+1) in t = s*s.
 * log(0) = -infinity, below 0: NaN, infinity: infinity; subnormals are scaled first. 0.83 ulp. */
V16_FN v16 func_log(v16 x) {
    v16m small = v16_lt(x, v16_set1(0x1p-126f));
    v16 scaled = v16_sel(small, v16_mul(x, v16_set1(0x1p23f)), x);
    v16i bits = v16i_sub(v16_bits(scaled), v16i_set1(0x3f3504f3)); /* sqrt(1/2) */
    v16i e = v16i_sar(bits, 23);
    v16 m = v16i_float(v16i_add(v16i_and(bits, v16i_set1(0x7fffff)), v16i_set1(0x3f3504f3)));
    v16 ef = v16_sub(v16_from_i(e), v16_sel(small, v16_set1(23.0f), v16_zero()));
    v16 f = v16_sub(m, v16_set1(1.0f));
    v16 s = v16_div(f, v16_add(m, v16_set1(1.0f))), t = v16_mul(s, s);
    v16 p = v16_set1(0x1.745d18p-3f); /* 2/11, 2/9, 2/7, 2/5, 2/3 */
    p = FUNC_STEP(p, t, 0x1.c71c72p-3f);
    p = FUNC_STEP(p, t, 0x1.24924ap-2f);
    p = FUNC_STEP(p, t, 0x1.99999ap-2f);
    p = FUNC_STEP(p, t, 0x1.555556p-1f);
    /* log(m) = 2s + s t p = f - s (f - t p): the second form keeps the leading f exact. */
    v16 tail = v16_mul(s, v16_sub(f, v16_mul(t, p)));
    v16 low = v16_fma(ef, v16_set1(0x1.7f7d1cp-20f), v16_neg(tail));
    v16 y = v16_fma(ef, v16_set1(0x1.62e400p-1f), v16_add(f, low));
    v16 inf = v16_set1(__builtin_inff());
    y = v16_sel(v16_lt(x, inf), y, x);                                   /* infinity and NaN as they are */
    y = v16_sel(v16_lt(x, v16_zero()), v16_set1(__builtin_nanf("")), y); /* negative */
    return v16_sel(v16_lt(v16_zero(), v16_abs(x)), y, v16_sel(v16_lt(v16_abs(x), inf), v16_neg(inf), x));
}

/* y with the sign of x where x is negative. */
V16_FN v16 func_or_sign(v16 y, v16 x) {
    return v16i_float(v16i_or(v16_bits(y), v16i_and(v16_bits(x), v16i_set1(INT32_MIN))));
}

/* tanh: below 0.625 an odd polynomial (coefficients of Cephes' tanhf), above 1 - 2/(exp(2|x|)+1).
 * 1.29 ulp. */
V16_FN v16 func_tanh(v16 x) {
    v16 a = v16_abs(x), z = v16_mul(x, x);
    v16 p = v16_set1(-5.70498872745e-3f);
    p = FUNC_STEP(p, z, 2.06390887954e-2f);
    p = FUNC_STEP(p, z, -5.37397155531e-2f);
    p = FUNC_STEP(p, z, 1.33314422036e-1f);
    p = FUNC_STEP(p, z, -3.33332819422e-1f);
    v16 near = v16_fma(v16_mul(p, z), x, x);
    v16 one = v16_set1(1.0f), e = func_exp(v16_add(a, a));
    v16 far = v16_sub(one, v16_div(v16_set1(2.0f), v16_add(e, one)));
    v16 y = v16_sel(v16_lt(a, v16_set1(0.625f)), near, far);
    return func_or_sign(y, x); /* of near too: it would lose that of -0 */
}

/* erf: below 1 an odd polynomial, x + x P(x^2); above, 1 - exp(-Q(|x|)); from 4 on 1. Both P and Q are Chebyshev
 * fits of our own. 1.16 ulp. */
V16_FN v16 func_erf(v16 x) {
    v16 a = v16_min(v16_set1(4.0f), v16_abs(x)), z = v16_mul(x, x);
    v16 p = v16_set1(-0x1.445f48p-17f);
    p = FUNC_STEP(p, z, 0x1.d88750p-14f);
    p = FUNC_STEP(p, z, -0x1.bccf66p-11f);
    p = FUNC_STEP(p, z, 0x1.562a60p-8f);
    p = FUNC_STEP(p, z, -0x1.b829c8p-6f);
    p = FUNC_STEP(p, z, 0x1.ce2f08p-4f);
    p = FUNC_STEP(p, z, -0x1.812746p-2f);
    p = FUNC_STEP(p, z, 0x1.06eba8p-3f);
    v16 near = v16_fma(p, x, x);
    v16 q = v16_set1(0x1.212014p-24f);
    q = FUNC_STEP(q, a, -0x1.a318acp-19f);
    q = FUNC_STEP(q, a, 0x1.f98e72p-15f);
    q = FUNC_STEP(q, a, -0x1.615f80p-11f);
    q = FUNC_STEP(q, a, 0x1.49193ep-8f);
    q = FUNC_STEP(q, a, -0x1.ba4f28p-6f);
    q = FUNC_STEP(q, a, 0x1.c63a60p-4f);
    q = FUNC_STEP(q, a, 0x1.432082p-1f);
    q = FUNC_STEP(q, a, 0x1.216e62p+0f);
    q = FUNC_STEP(q, a, -0x1.9f8f0ep-12f);
    v16 far = v16_sub(v16_set1(1.0f), func_exp(v16_neg(q)));
    far = func_or_sign(far, x);
    return v16_sel(v16_lt(v16_abs(x), v16_set1(1.0f)), near, v16_sel(v16_lt(a, v16_set1(5.0f)), far, x));
}

/* sin and cos: x = n pi/2 + r with pi/2 in three parts; odd and even polynomials on |r| <= pi/4. For
 * |x| < 2^21; beyond, and for infinities, NaN. sin(-0) is +0. 1.50 ulp each. */
typedef struct {
    v16 sin, cos;
} func_pair;
V16_FN func_pair func_sincos(v16 x) {
    v16i n = v16_rint(v16_mul(x, v16_set1(0x1.45f306p-1f)));
    v16 nf = v16_from_i(n);
    v16 r = v16_fnma(nf, v16_set1(0x1.921fb6p+0f), x);
    r = v16_fnma(nf, v16_set1(-0x1.777a5cp-25f), r);
    r = v16_fnma(nf, v16_set1(-0x1.ee59dap-50f), r);
    v16 z = v16_mul(r, r);
    v16 s = v16_set1(0x1.6dbcfcp-19f);
    s = FUNC_STEP(s, z, -0x1.a013a4p-13f);
    s = FUNC_STEP(s, z, 0x1.11110ep-7f);
    s = FUNC_STEP(s, z, -0x1.555556p-3f);
    s = v16_fma(v16_mul(s, z), r, r);
    v16 c = v16_set1(0x1.9bd786p-16f);
    c = FUNC_STEP(c, z, -0x1.6c12d0p-10f);
    c = FUNC_STEP(c, z, 0x1.555554p-5f);
    c = FUNC_STEP(c, z, -0.5f);
    c = FUNC_STEP(c, z, 1.0f);
    v16m swap = v16i_odd(n);
    v16i sin_sign = v16i_and(v16i_shl(n, 30), v16i_set1(INT32_MIN));
    v16i cos_sign = v16i_and(v16i_shl(v16i_add(n, v16i_set1(1)), 30), v16i_set1(INT32_MIN));
    v16m ok = v16_lt(v16_abs(x), v16_set1(0x1p21f));
    v16 nan = v16_set1(__builtin_nanf(""));
    func_pair out;
    out.sin = v16_sel(ok, v16i_float(v16i_xor(v16_bits(v16_sel(swap, c, s)), sin_sign)), nan);
    out.cos = v16_sel(ok, v16i_float(v16i_xor(v16_bits(v16_sel(swap, s, c)), cos_sign)), nan);
    return out;
}

#endif
