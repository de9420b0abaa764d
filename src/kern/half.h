/* half: binary16 and bfloat16 to binary32 and back, in portable C.
 *
 * To binary32 is exact. From binary32 rounds to nearest even; overflow gives infinity; a NaN stays a
 * NaN (quiet, its upper bits kept), as the F16C and NEON instructions do.
 */
#ifndef LOAM_KERN_HALF_H
#define LOAM_KERN_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_bits_f32(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float bf16_to_f32(uint16_t h) { return half_bits_f32((uint32_t)h << 16); }

static inline float half_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) /* infinity and NaN (made quiet) */
        return half_bits_f32(sign | 0x7f800000u | (rest & 0x3ffu) << 13 | (rest > 0x7c00u ? 0x400000u : 0));
    /* The bits as a binary32 with the exponent 112 too small: one exact product puts that right,
     * subnormals included. */
    float f = half_bits_f32(rest << 13) * 0x1p112f;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return half_bits_f32(sign | u);
}

static inline uint16_t half_from_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    if (rest > 0x7f800000u) /* NaN */
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x1ffu));
    if (rest >= 0x47800000u) /* 65536 and above */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, rounded by an addition */
        float t = half_bits_f32(rest) + 0.5f;
        uint32_t v;
        memcpy(&v, &t, sizeof v);
        return (uint16_t)(sign | (v - 0x3f000000u));
    }
    rest += 0xfffu + (rest >> 13 & 1); /* to nearest even; may carry into infinity, rightly */
    return (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
}

static inline uint16_t bf16_from_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

#endif
