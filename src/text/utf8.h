/* utf8: code points in bytes that may be anything.
 *
 * "Valid" is RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef LOAM_TEXT_UTF8_H
#define LOAM_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Decodes one code point at s[*at] and advances *at past it (by 1 to 4). An ill-formed
 * byte gives -1 and advances by the length of the maximal ill-formed subpart (Unicode
 * 3.9, practice "one U+FFFD each"). Needs *at < s.n. */
int32_t utf8_next(str s, size_t *at);

/* Encodes a valid code point, returns its length in bytes (1 to 4); 0 for an invalid one. */
size_t utf8_put(int32_t cp, char out[4]);

bool utf8_valid(str s);

/* Length of the longest prefix that does not end inside a character: the bytes held back
 * (at most 3) are a proper prefix of some valid sequence. Streaming output prints only this. */
size_t utf8_whole(str s);

/* Appends s with every maximal ill-formed subpart replaced by U+FFFD. */
err_code utf8_repair(str s, strbuf *out, err *e);

#endif
