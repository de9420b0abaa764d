/* weights: exp in binary64 over a row of logits, for sampling and log probabilities.
 *
 * The operations are those of kern_exp64() (kern/math64.c), one by one and in its order, on vectors of four; only what
 * cannot differ is done otherwise: the power of two is taken from the bits of t, and halved by its floor; and where
 * there is a fused multiply-add, thirteen divisions become multiplications:
 *
 *   q = a * (1/i),  q + (a - q*i) * (1/i)        rounded once each, (a - q*i) exact
 *
 * is a/i rounded. For q is within 1.5 units of the last place of a/i, so the sum before its rounding is within 2^-52
 * units of it; but a/i, i an integer below 16 and no power of two, stays 2^-6 units away from every number at which
 * rounding changes, and is never one of these. (After: Markstein, Computation of elementary functions, 1990.)
 *
 * A term waits for the one before it: several vectors go side by side. Proved equal by test/prop/test_func.c.
 */
#include <math.h>
#include <string.h>

#include "kern/isa/isa.h"
#include "kern/isa/product.h"

enum { N = 4, SIDE = 4 }; /* numbers of a vector, vectors side by side */
typedef float singles __attribute__((vector_size(4 * N)));
typedef double doubles __attribute__((vector_size(8 * N)));
typedef int64_t masks __attribute__((vector_size(8 * N)));
typedef uint64_t words __attribute__((vector_size(8 * N)));

#define EACH FOR_ROWS(j, SIDE)
/* mask ? a : b, lane by lane; no function: without wide registers it could not take such vectors. */
#define PICK(mask, a, b) ((doubles)(((mask) & (masks)(a)) | (~(mask) & (masks)(b))))
/* p = 1 + p r / i. No loop over i: where it is a power of two the compiler multiplies, which is exact. */
#ifdef V16_FMA64
#define TERM(i)                                                    \
    EACH {                                                         \
        const doubles by = zero + (double)(i), inverse = one / by; \
        doubles a = p[j] * r[j], q = a * inverse;                  \
        if (((i) & ((i)-1)) != 0)                                  \
            q = V16_FMA64(V16_FMA64(-q, by, a), inverse, q);       \
        p[j] = 1.0 + q;                                            \
    }
#else
#define TERM(i) EACH p[j] = 1.0 + p[j] * r[j] / (double)(i);
#endif

/* n of them, SIDE * N at most; n is known while compiling but for the last ones. */
V16_FN void some(const float *l, size_t n, double top, double temperature, double *w) {
    const doubles zero = {0}, one = zero + 1.0, lowest = zero - 746.0;
    singles given[SIDE] = {0};
    doubles from[SIDE], t[SIDE], r[SIDE], p[SIDE];
    memcpy(given, l, n * sizeof *l);
    EACH {
        from[j] = __builtin_convertvector(given[j], doubles);
        doubles x = (from[j] - top) / temperature;
        x = PICK(x < -746.0, lowest, x); /* above max there is nothing */
        t[j] = x * 0x1.71547652b82fep+0 + 0x1.8p52;
        doubles nf = t[j] - 0x1.8p52;
        r[j] = (x - nf * 0x1.62e42fefa0000p-1) - nf * 0x1.cf79abc9e3b3ap-40;
        p[j] = one;
    }
    TERM(14)
    TERM(13)
    TERM(12)
    TERM(11)
    TERM(10)
    TERM(9)
    TERM(8)
    TERM(7)
    TERM(6)
    TERM(5)
    TERM(4)
    TERM(3)
    TERM(2)
    EACH {
        words power = ((words)t[j] + 2046) & 4095, half = power >> 1; /* biased twice */
        p[j] = (1.0 + r[j] * p[j]) * (doubles)(half << 52) * (doubles)((power - half) << 52);
        p[j] = PICK(from[j] > -(double)INFINITY, p[j], zero);
        p[j] = PICK(from[j] == top, one, p[j]);
    }
    memcpy(w, p, n * sizeof *w);
}

void KERN_FN(weights)(const float *l, size_t n, float max, double temperature, double *w) {
    size_t at = 0;
    for (; n - at >= SIDE * N; at += SIDE * N)
        some(l + at, SIDE * N, (double)max, temperature, w + at);
    if (at < n)
        some(l + at, n - at, (double)max, temperature, w + at);
}
