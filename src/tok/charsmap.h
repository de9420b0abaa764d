/* charsmap: SentencePiece's precompiled normalisation rules (nmt_nfkc and its kin).
 *
 *   u32 n | n bytes: a Darts double array of u32 units | the replacements, each ended by a NUL
 *
 * A unit holds a label (8 bits), a flag "a value stands here" (bit 8) and an offset (bits 10-30, shifted left by 8
 * when bit 9 is set); a value unit holds the place of its replacement. Little-endian. Source: SentencePiece's
 * normalizer.cc and darts.h. Every index is checked at every step; a walk ends after CHARSMAP_KEY_BYTES_MAX.
 */
#ifndef LOAM_TOK_CHARSMAP_H
#define LOAM_TOK_CHARSMAP_H

#include "base/arena.h"
#include "base/str.h"

enum { CHARSMAP_KEY_BYTES_MAX = 256, CHARSMAP_BYTES_MAX = 1 << 24 };

typedef struct {
    const uint32_t *unit;
    size_t n_units;
    str replacements;
} charsmap;

/* `blob` is copied. An empty blob gives an empty map, in which nothing is found. */
err_code charsmap_open(charsmap *m, arena *a, str blob, err *e);

/* The rule whose key s begins with at `at`: the longest key or the shortest. False when there is none. */
bool charsmap_find(const charsmap *m, str s, size_t at, bool longest, size_t *len, str *replacement);

#endif
