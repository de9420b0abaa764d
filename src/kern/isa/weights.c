/* weights: exp in binary64 over a row of logits, for sampling and log probabilities.
 *
 * The operations are those of kern_exp64() (kern/math64.c), one by one and in its order, on vectors of four; only what
 * cannot differ is done otherwise: the power of two is taken from the bits of t, and halved by its floor. Thirteen
 * divisions are most of the time, and vectors share them. Proved equal by test/prop/test_func.c.
 */
#include <math.h>
#include <string.h>

#include "kern/isa/isa.h"

enum { N = 4 };
typedef float singles __attribute__((vector_size(4 * N)));
typedef double doubles __attribute__((vector_size(8 * N)));
typedef int64_t masks __attribute__((vector_size(8 * N)));
typedef uint64_t words __attribute__((vector_size(8 * N)));

/* mask ? a : b, lane by lane; no function: without wide registers it could not take such vectors. */
#define PICK(mask, a, b) ((doubles)(((mask) & (masks)(a)) | (~(mask) & (masks)(b))))
/* No loop: where the divisor is a power of two the compiler multiplies, which is exact. */
#define TERM(i) p = 1.0 + p * r / (double)(i)

void KERN_FN(weights)(const float *l, size_t n, float max, double temperature, double *w) {
    const double top = (double)max;
    const doubles zero = {0}, one = zero + 1.0, lowest = zero - 746.0;
    for (size_t at = 0; at < n; at += N) {
        size_t here = n - at < N ? n - at : N;
        singles given = {0};
        memcpy(&given, l + at, here * sizeof *l);
        doubles from = __builtin_convertvector(given, doubles), x = (from - top) / temperature;
        x = PICK(x < -746.0, lowest, x); /* above max there is nothing */
        doubles t = x * 0x1.71547652b82fep+0 + 0x1.8p52, nf = t - 0x1.8p52;
        doubles r = (x - nf * 0x1.62e42fefa0000p-1) - nf * 0x1.cf79abc9e3b3ap-40, p = one;
        TERM(14);
        TERM(13);
        TERM(12);
        TERM(11);
        TERM(10);
        TERM(9);
        TERM(8);
        TERM(7);
        TERM(6);
        TERM(5);
        TERM(4);
        TERM(3);
        TERM(2);
        words power = ((words)t + 2046) & 4095, half = power >> 1; /* biased twice */
        doubles y = (1.0 + r * p) * (doubles)(half << 52) * (doubles)((power - half) << 52);
        y = PICK(from > -(double)INFINITY, y, zero);
        y = PICK(from == top, one, y);
        memcpy(w + at, &y, here * sizeof *w);
    }
}
