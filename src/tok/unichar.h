/* unichar: the character classes tokenizers ask about, and canonical normalisation.
 *
 * The classes are those of Rust's char methods, which the reference tokenizers use; the data are utf8proc's.
 */
#ifndef LOAM_TOK_UNICHAR_H
#define LOAM_TOK_UNICHAR_H

#include "base/str.h"

bool unichar_is_space(int32_t cp);   /* White_Space */
bool unichar_is_numeric(int32_t cp); /* Nd, Nl, No */
bool unichar_is_punct(int32_t cp);   /* P*, and the ASCII symbols */
bool unichar_is_word(int32_t cp);    /* \w: Alphabetic, M, Nd, Pc, joiners */

typedef enum { UNICHAR_NFC, UNICHAR_NFD, UNICHAR_NFKC, UNICHAR_NFKD } unichar_form;
/* Appends the normal form of the valid UTF-8 text s. Linear in s, whatever runs of marks it holds. */
err_code unichar_normalize(str s, unichar_form form, strbuf *out, err *e);
/* Appends s in lower case, character by character (no final sigma), as Rust's char::to_lowercase. */
err_code unichar_lower(str s, strbuf *out, err *e);

#endif
