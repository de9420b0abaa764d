/* rx_known: the patterns that nearly all byte-level tokenizers cut with, matched without an engine.
 *
 * Only where ASCII decides: where a match would look at any other byte, rx_known_end() says that it does not
 * know, and PCRE2 matches as ever. These patterns match at every place of a text, so the leftmost match at or after
 * `from` begins there. Proved by test_rx_known.c: equal to PCRE2 at every place of many texts.
 */
#ifndef LOAM_TOK_RX_KNOWN_H
#define LOAM_TOK_RX_KNOWN_H

#include "base/str.h"

typedef enum { RX_UNKNOWN, RX_GPT2, RX_LLAMA3, RX_QWEN2 } rx_known;

rx_known rx_known_of(str pattern);

/* The end of the match that begins at byte `from` (a character's start), or 0: it does not know. */
size_t rx_known_end(rx_known k, str s, size_t from);
/* The ends of up to n matches one after another; how many are known. */
size_t rx_known_ends(rx_known k, str s, size_t from, size_t *end, size_t n);

#endif
