/* json: hostile JSON in, values out; jansson behind a thin face.
 *
 * Values are jansson's own json_t and are read with jansson's functions; this
 * header adds what Loam insists on: a byte limit before parsing, duplicate keys
 * refused, one-line errors with the byte offset, and typed look-ups that name
 * the key when it is missing or of the wrong type.
 */
#ifndef LOAM_TEXT_JSON_H
#define LOAM_TEXT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Parses exactly one value; nothing but white space may follow. At most max_bytes of
 * text (and 1 GiB), 512 levels of nesting and 2^23 keys and values. An integer beyond 64 bits becomes a real; all
 * others stay integers. A NUL is allowed in a string, not in a key. *out is a new reference (json_decref). An error
 * says "at byte N: ...", where the offending token begins. Proved by test_json.c, test_io_fault.c and fuzz_json.c. */
err_code json_read(str text, size_t max_bytes, json_t **out, err *e);

/* The same within narrower limits. *n_values, keys counted, goes up by what is in the text, so that texts that share it
 * share the limit. */
typedef struct {
    size_t bytes, depth, values;
} json_limits;
err_code json_read_within(str text, const json_limits *most, size_t *n_values, json_t **out, err *e);

/* Typed look-ups in an object. The `want` forms fail when the key is missing, null or of another
 * type, naming the key. The `get` forms return `otherwise` when it is missing or null,
 * and also when it is of another type. Slices are borrowed from the value. */
err_code json_want_str(const json_t *obj, const char *key, str *out, err *e);
err_code json_want_u64(const json_t *obj, const char *key, uint64_t max, uint64_t *out, err *e);
/* The `opt` forms leave *x as it is when the key is missing or null, and fail, naming it, when it is of another type.
 */
err_code json_opt_num(const json_t *obj, const char *key, double *x, err *e); /* integer or real */
err_code json_opt_bool(const json_t *obj, const char *key, bool *x, err *e);
err_code json_opt_str(const json_t *obj, const char *key, str *x, err *e);
const json_t *json_get(const json_t *obj, const char *key); /* NULL: missing or null */
str json_get_str(const json_t *obj, const char *key, str otherwise);
int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise);
double json_get_num(const json_t *obj, const char *key, double otherwise); /* integer or real */
bool json_get_bool(const json_t *obj, const char *key, bool otherwise);
str json_str_of(const json_t *string); /* the bytes of a JSON string, NULs and all */

json_t *json_repaired(str s); /* a new string; ill-formed UTF-8 becomes U+FFFD. NULL: no memory */

/* Appends s as a JSON string with its quotes. Ill-formed UTF-8 becomes U+FFFD. Non-ASCII stays as it is. */
err_code json_quote(str s, strbuf *out, err *e);

#endif
