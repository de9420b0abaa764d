/* rx_unicode: characters that came after the Unicode version of the PCRE2 libraries in use.
 *
 * PCRE2 10.42 knows Unicode 14, the reference tokenizers' Oniguruma Unicode 16. A letter of Unicode 15
 * that one engine takes for a letter and the other for nothing would be cut differently, so rx.c adds
 * these to every category it finds in a pattern. Where PCRE2 is newer, they are there twice.
 */
#ifndef LOAM_TOK_RX_UNICODE_H
#define LOAM_TOK_RX_UNICODE_H

#include "base/str.h"

/* The i-th run of ranges, in PCRE2's syntax for the inside of a set, that belongs to the general category `name`
 * ("Lu") or group of categories ("L"). False when there is none. */
bool rx_unicode_added(str name, size_t i, const char **ranges);

#endif
