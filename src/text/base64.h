/* base64: bytes as text and back, RFC 4648 section 4, with padding and nothing else.
 *
 * Reading is strict: no white space, no other alphabet, no missing padding, and no bits set that do not belong to a
 * byte, so that every sequence of bytes has one text only. Proved by test_sign.c and fuzz_bundle.c.
 */
#ifndef LOAM_TEXT_BASE64_H
#define LOAM_TEXT_BASE64_H

#include "base/str.h"

err_code base64_put(str bytes, strbuf *out, err *e); /* appends */
/* Appends the bytes; not base64: ERR_FORMAT with the offset, and *out may have grown by a part of them. */
err_code base64_get(str text, strbuf *out, err *e);

#endif
