/* js: JSON written as it comes: one value after another into a buffer, with commas and quotes.
 *
 *   js_out j = {.e = e};
 *   js_begin(&j, '{'); js_put_int(&j, "n", 1); js_end(&j, '}');
 *
 * puts {"n":1} into j.text, or j.code says why not.
 *
 * The first failure sticks in `code`, and what is asked after it does nothing; strbuf_fini(&j.text) is the caller's.
 * Texts become well-formed UTF-8 (json_quote()). Proved by test_js.c.
 */
#ifndef LOAM_TEXT_JS_H
#define LOAM_TEXT_JS_H

#include "base/hash.h"
#include "base/str.h"

typedef struct {
    strbuf text;
    err *e;
    err_code code;
    bool comma;
} js_out;
void js_begin(js_out *j, char bracket); /* '{' or '[' */
void js_end(js_out *j, char bracket);   /* '}' or ']' */
void js_key(js_out *j, const char *key);
void js_colon(js_out *j);         /* after js_text(): that was a key */
void js_raw(js_out *j, str json); /* a value that is JSON text already */
void js_text(js_out *j, str s);
void js_int(js_out *j, int64_t x);
void js_real(js_out *j, double x, int digits); /* significant digits; what is no number becomes null */
void js_flag(js_out *j, bool x);

/* Key and value. */
void js_put_text(js_out *j, const char *key, str s);
void js_put_int(js_out *j, const char *key, int64_t x);
void js_put_hash(js_out *j, const char *key, hash256 h); /* in hex */

#endif
