/* split: where one document ends and the next begins, in a text that comes in pieces.
 *
 * split_next() looks at the bytes that are there and says how far the first document goes; when it cannot tell yet, it
 * asks for more. What it finds does not depend on how the text was cut when it came in.
 *
 *   SPLIT_WHOLE        one document, all of it, to the end
 *   SPLIT_LINES        every line is one; the line break ("\n" or "\r\n") is no part of it
 *   SPLIT_PARAGRAPHS   lines between blank ones (nothing, or only blanks and tabs); the last line break is no part
 *   SPLIT_BYTES        at most `limit` bytes, as many as possible: cut after the last blank line that leaves more than
 * half of it, else after the last line break that does, else after the last blank, else between two characters (of
 * ill-formed UTF-8: anywhere). Nothing is left out: the documents in a row are the text
 *
 * A line may be an empty document; a text's very end is none. No allocation, no state.
 * Proved by test_split.c (against plain definitions, all cuts), fuzz_split.c.
 */
#ifndef LOAM_TEXT_SPLIT_H
#define LOAM_TEXT_SPLIT_H

#include <stdbool.h>

#include "base/str.h"

typedef enum { SPLIT_WHOLE, SPLIT_LINES, SPLIT_PARAGRAPHS, SPLIT_BYTES } split_mode;

/* The first document is text[from, to), and the rest begins at `next` > 0. */
typedef struct {
    size_t from, to, next;
} split_piece;

/* at_end: `text` is all that is left. *looked (0 for a new text, kept between calls that ask for more of the same
 * document) spares looking at bytes again. `limit` (SPLIT_BYTES) is at least 4. Returns false when more is needed; at
 * the end: when nothing is left. */
bool split_next(split_mode mode, size_t limit, str text, bool at_end, size_t *looked, split_piece *out);

#endif
