/* words: a text cut into words, so that spans begin and end where words do.
 *
 *   word   a run of characters of words (letters, marks, digits, _; unichar_is_word()), with a ' or U+2019 between two
 *          of them; a Han, Hiragana or Katakana character is a word of its own, for no blanks stand between them
 *   other  any other character but white space, each a word of its own
 *
 * White space belongs to no word, and ill-formed parts of UTF-8 neither: no document holds such. Proved by
 * test_spans.c.
 */
#ifndef LOAM_TRACE_WORDS_H
#define LOAM_TRACE_WORDS_H

#include "base/str.h"

typedef struct {
    size_t start, end; /* bytes [start, end) of the text */
    bool letters;      /* a run of characters of words, no sign */
} word;

/* The next word at or after *at, which moves behind it; false at the end. */
bool words_next(str text, size_t *at, word *out);

#endif
