/* json_write: JSON values to text, the same text everywhere.
 *
 * Keys in the order in which they were put in; a number that is no integer as the shortest decimal that reads back as
 * the same double, always with a point or an exponent; strings and keys as json_quote() has them, with the byte 0 too.
 * Infinity and NaN are refused (ERR_USAGE). Proved by test_json.c.
 */
#ifndef LOAM_TEXT_JSON_WRITE_H
#define LOAM_TEXT_JSON_WRITE_H

#include "text/json.h"

/* Appends v. indent: spaces a level, each member on a line of its own and nothing behind the last; 0: no white space at
 * all. After a failure *out is as it was. */
err_code json_write(const json_t *v, int indent, strbuf *out, err *e);

#endif
