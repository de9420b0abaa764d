/* shingle: what two texts have in common, measured by runs of words.
 *
 * A word is a maximal run of letters and digits: ASCII ones, lower-cased (A to Z only), and every character from U+0080
 * on that is not general punctuation (U+2000 to U+206F), CJK punctuation (U+3000 to U+303F) or a no-break or other
 * Latin-1 sign (U+0080 to U+00BF). A character of a script that puts no blanks between words (Thai to Khmer U+0E00 to
 * U+0EFF, U+1000 to U+109F, U+1780 to U+17FF; U+2E80 to U+A4CF, U+F900 to U+FAFF, U+20000 to U+3FFFF) is a word
 * alone. All else separates. An ill-formed byte separates.
 *
 * A shingle is SHINGLE_WORDS words in a row (all words of a text that has fewer), known by a 64-bit hash that is the
 * same on every machine. The similarity of two texts is the Jaccard index of their sets of shingles, |A and B| /
 * |A or B|.
 *
 * A sketch estimates it: SHINGLE_BINS bytes, of which two texts share about the fraction that their similarity is
 * (plus 1/256 of the others). One-permutation hashing (Li, Owen, Zhang, NIPS 2012): every shingle is thrown
 * SHINGLE_ROUNDS times into one of the bins with a value, each bin keeps the least and hashes it to a byte; bins
 * that stay empty copy another one, chosen by hash (Shrivastava, "Optimal Densification", ICML 2017).
 * Proved by test_shingle.c (sets by plain search, recall and precision).
 */
#ifndef LOAM_TEXT_SHINGLE_H
#define LOAM_TEXT_SHINGLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { SHINGLE_WORDS = 5, SHINGLE_BINS = 128, SHINGLE_ROUNDS = 4 };

typedef struct {
    uint8_t byte[SHINGLE_BINS];
} shingle_sketch;

/* false when the text has no word: then there is no sketch (all zeros). */
bool shingle_sketch_of(str text, shingle_sketch *out);
/* Bins in which two sketches agree, 0 to SHINGLE_BINS. */
int shingle_agree(const shingle_sketch *a, const shingle_sketch *b);

/* A text's set of shingles: distinct hashes, ascending. Zero-initialise; free by shingle_set_fini(); may be reused. */
typedef struct {
    uint64_t *hash;
    size_t n, cap;
} shingle_set;
err_code shingle_set_of(str text, shingle_set *out, err *e);
void shingle_set_fini(shingle_set *s);
/* 0 to 1; of two empty sets 0. */
double shingle_jaccard(const shingle_set *a, const shingle_set *b);

#endif
