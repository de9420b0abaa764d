/* v16: sixteen lanes of binary32 or int32, the one vector type kernels are written over.
 *
 * A kernel file in this folder is compiled once for every instruction set, with KERN_ISA naming it;
 * v16_<isa>.h gives the types and the operations below. An operation is what IEEE 754 or two's
 * complement says, lane by lane, so every ISA gives the same bits. A new ISA is one such header.
 *
 *   v16, v16i, v16m    floats, int32, a mask
 *   fma(a,b,c) = a*b+c rounded once; fnma(a,b,c) = -(a*b)+c rounded once
 *   max(a,b) = a > b ? a : b; min(a,b) = a < b ? a : b    (so b when either is NaN)
 *   sel(m,a,b) = m ? a : b;  first(n): mask of lanes below n;  load_n, store_n: lanes below n, others read as 0
 *   rint: to nearest, ties to even, for |x| < 2^22; otherwise any value (never a trap)
 *   load_f16, load_bf16: exact; store_f16: to nearest even, overflow to infinity
 *   shr: logical, sar: arithmetic; odd(a): mask of the lanes whose lowest bit is 1
 *   dot_u7(acc, w, x): acc + sum over 4 bytes of (w byte, 0..127) * (x byte, signed), x the same in all lanes
 *   dot_s8(acc, w, x): the same for w bytes that are signed plus V16_S8_BIAS (0 or 128)
 *   dot_s16(acc, w, x): acc + sum over 2 halves of signed products
 */
#ifndef LOAM_KERN_ISA_V16_H
#define LOAM_KERN_ISA_V16_H

#include <stddef.h>
#include <stdint.h>

#define V16_FN static inline __attribute__((always_inline, unused))

#define KERN_PASTE_(a, b) a##_##b
#define KERN_PASTE(a, b) KERN_PASTE_(a, b)
#define KERN_FN(name) KERN_PASTE(name, KERN_ISA) /* the symbol of a kernel in this ISA */

#if !defined(KERN_ISA)
#error "KERN_ISA names the instruction set: see the Makefile"
#endif
/* KERN_ISA is a bare word: compared by number. */
#define KERN_NUMBER_scalar 1
#define KERN_NUMBER_avx2 2
#define KERN_NUMBER_avx512 3
#define KERN_NUMBER_neon 4
#define KERN_NUMBER KERN_PASTE(KERN_NUMBER, KERN_ISA)

#if KERN_NUMBER == 1
#include "kern/isa/v16_scalar.h"
#elif KERN_NUMBER == 2
#include "kern/isa/v16_avx2.h"
#elif KERN_NUMBER == 3
#include "kern/isa/v16_avx512.h"
#elif KERN_NUMBER == 4
#include "kern/isa/v16_neon.h"
#else
#error "no v16 header for this KERN_ISA"
#endif

V16_FN v16 v16_neg(v16 a) { return v16i_float(v16i_xor(v16_bits(a), v16i_set1(INT32_MIN))); }
V16_FN v16 v16_abs(v16 a) { return v16i_float(v16i_and(v16_bits(a), v16i_set1(INT32_MAX))); }

/* Lanes folded by the tree 8-4-2-1: lane i with lane i+8, then i+4, i+2, i+1. */
V16_FN float v16_sum(v16 a) {
    float t[16];
    v16_store(t, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] + t[i + half];
    return t[0];
}
V16_FN float v16_hmax(v16 a) {
    float t[16];
    v16_store(t, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
    return t[0];
}

#endif
