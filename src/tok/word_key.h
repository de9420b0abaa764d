/* word_key: a short word as two numbers, for tables that are asked for millions of words.
 *
 * The ends of the word overlap, and with its length they say what the bytes were, up to 16 of them:
 *
 *   n 8 or more  lo = bytes 0-7, hi = the last 8
 *   n 4 to 7     lo = bytes 0-3 and the last 4
 *   n 1 to 3     lo = the first, the middle and the last byte
 */
#ifndef LOAM_TOK_WORD_KEY_H
#define LOAM_TOK_WORD_KEY_H

#include <string.h>

#include "base/str.h"

enum { WORD_KEY_BYTES = 16 };

typedef struct {
    uint64_t lo, hi;
} word_key;

static inline word_key word_key_of(str w) {
    word_key k = {0, 0};
    uint32_t first, last;
    if (w.n >= 8) {
        memcpy(&k.lo, w.p, 8);
        memcpy(&k.hi, w.p + w.n - 8, 8);
    } else if (w.n >= 4) {
        memcpy(&first, w.p, 4);
        memcpy(&last, w.p + w.n - 4, 4);
        k.lo = first | (uint64_t)last << 32;
    } else if (w.n)
        k.lo = (uint64_t)(unsigned char)w.p[0] | (uint64_t)(unsigned char)w.p[w.n / 2] << 8 |
               (uint64_t)(unsigned char)w.p[w.n - 1] << 16;
    return k;
}

/* The word of n <= 16 bytes back, into room. */
static inline void word_key_bytes(word_key k, size_t n, char room[WORD_KEY_BYTES]) {
    uint32_t first = (uint32_t)k.lo, last = (uint32_t)(k.lo >> 32);
    if (n >= 8) {
        memcpy(room, &k.lo, 8);
        /* cppcheck-suppress pointerOutOfBoundsCond; n <= 16 */
        memcpy(room + n - 8, &k.hi, 8);
    } else if (n >= 4) {
        memcpy(room, &first, 4);
        memcpy(room + n - 4, &last, 4);
    } else if (n) {
        room[0] = (char)k.lo;
        room[n / 2] = (char)(k.lo >> 8);
        room[n - 1] = (char)(k.lo >> 16);
    }
}

/* A mix for tables only. */
static inline uint64_t word_key_hash(word_key k, size_t n) {
    uint64_t h = (k.lo ^ n * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32 ^ k.hi) * 0xa0761d6478bd642fu;
    return h ^ h >> 29;
}

#endif
