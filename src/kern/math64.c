/* math64: scalar exp and log in binary64; see math64.h. */
#include "kern/math64.h"

#include <stdint.h>
#include <string.h>

static const double LN2_HIGH = 0x1.62e42fefa0000p-1, LN2_LOW = 0x1.cf79abc9e3b3ap-40;

static double pow2(int64_t n) { /* 2^n, n in -1022 .. 1023 */
    uint64_t u = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

double kern_exp64(double x) {
    if (x != x)
        return x;
    x = x < -746.0 ? -746.0 : x > 710.0 ? 710.0 : x;
    double t = x * 0x1.71547652b82fep+0 + 0x1.8p52; /* rounds to the nearest integer */
    double nf = t - 0x1.8p52;
    int64_t n = (int64_t)nf;
    double high = x - nf * LN2_HIGH, r = high - nf * LN2_LOW; /* |r| <= ln2 / 2 */
    double p = 1.0;
    for (int i = 14; i >= 2; i--) /* Taylor: the term after these is below 2^-60 */
        p = 1.0 + p * r / i;
    double y = 1.0 + r * p;
    int64_t half = n / 2;
    return y * pow2(half) * pow2(n - half);
}

double kern_log64(double x) {
    if (!(x > 0.0))
        return x == 0.0 ? -__builtin_inf() : __builtin_nan("");
    if (x > 0x1.fffffffffffffp1023)
        return x;
    int64_t e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    e += (int64_t)(u >> 52) - 1023;
    u = (u & 0xfffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &u, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        e++;
    }
    /* log m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.172: an odd series to s^23 */
    double f = m - 1.0, s = f / (m + 1.0), t = s * s, p = 0.0;
    for (int i = 23; i >= 3; i -= 2)
        p = (p + 2.0 / i) * t;
    /* 2s = f - s f, so log m = f - s (f - p) */
    double ef = (double)e;
    return ef * LN2_HIGH + (f - (s * (f - p) - ef * LN2_LOW));
}

double kern_pow64(double x, double y) { return kern_exp64(y * kern_log64(x)); }

double kern_sqrt64(double x) { return __builtin_sqrt(x); }
