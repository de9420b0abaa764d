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
 *   dot_s16(acc, w, x): acc + sum over 2 halves of signed products, x the same in all lanes
 *   store_s8: the lanes, which are within -128..127, as bytes
 *
 * Dots of four bytes a lane, exact. An ISA without an instruction for them (V16_PAIRS) keeps a running dot as two int16
 * a lane for as long as they cannot overflow: V16_RUN(wmax) dots of weights 0..wmax with activations of -127..127.
 *   v16h                       a running dot
 *   v16h_begin(sum)            of a lane that stands at sum (int32)
 *   v16h_dot(h, w, x)          + (w bytes, 0..127) . (x bytes, signed, the same in all lanes)
 *   v16h_end(h, sum)           the lane; `sum` as given to begin
 *   v16h_end_scaled(h, sum, f) sum + f * the dot, which began at 0; f from v16h_factor(int32 lanes within int16)
 *   v16i_dot_s8(acc, w, x)     acc + the dot of weights of eight bits as v16i_load_s8() gives them, which may be
 *                              V16_S8_BIAS too large each: the caller takes that off
 * V16_FMA64(a, b, c), where there is one: fma of four doubles, the compiler's vectors.
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
#define KERN_NUMBER_avxvnni 5
#define KERN_NUMBER KERN_PASTE(KERN_NUMBER, KERN_ISA)

#if KERN_NUMBER == 1
#include "kern/isa/v16_scalar.h"
#elif KERN_NUMBER == 2
#include "kern/isa/v16_avx2.h"
#elif KERN_NUMBER == 3
#include "kern/isa/v16_avx512.h"
#elif KERN_NUMBER == 4
#include "kern/isa/v16_neon.h"
#elif KERN_NUMBER == 5
#include "kern/isa/v16_avxvnni.h"
#else
#error "no v16 header for this KERN_ISA"
#endif

#ifndef V16_PAIRS
typedef v16i v16h;
#define V16_RUN(wmax) 64
V16_FN v16h v16h_begin(v16i sum) { return sum; }
V16_FN v16i v16h_end(v16h h, v16i sum) {
    (void)sum;
    return h;
}
V16_FN v16i v16h_factor(v16i f) { return f; }
V16_FN v16i v16h_end_scaled(v16h h, v16i sum, v16i f) { return v16i_add(sum, v16i_mul(h, f)); }
#endif

/* Weights of eight bits. Where the instruction wants unsigned ones, V16_S8_BIAS is added to them. */
V16_FN v16i v16i_load_s8(const void *p) {
    v16i w = v16i_load(p);
    return V16_S8_BIAS ? v16i_xor(w, v16i_set1((int32_t)0x80808080)) : w;
}

V16_FN v16 v16_neg(v16 a) { return v16i_float(v16i_xor(v16_bits(a), v16i_set1(INT32_MIN))); }
V16_FN v16 v16_abs(v16 a) { return v16i_float(v16i_and(v16_bits(a), v16i_set1(INT32_MAX))); }

/* Lanes folded by the tree 8-4-2-1: lane i with lane i+8, then i+4, i+2, i+1. */
#ifndef V16_FOLDS
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
V16_FN int32_t v16i_sum(v16i a) {
    int32_t t[16], s = 0;
    v16i_store(t, a);
    for (int i = 0; i < 16; i++)
        s += t[i];
    return s;
}
V16_FN void v16i_store_s8(int8_t *p, v16i a) {
    int32_t t[16];
    v16i_store(t, a);
    for (int i = 0; i < 16; i++)
        p[i] = (int8_t)t[i];
}
#endif

#endif
