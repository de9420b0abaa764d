/* guard: who may speak to the server: Host, Origin, token. Pure functions over header values; http.h has the rules.
 *
 * Proved by test_serve.c.
 */
#ifndef LOAM_SERVE_GUARD_H
#define LOAM_SERVE_GUARD_H

#include <stdbool.h>

#include "base/str.h"

/* The name in a Host header, without port and brackets; false when it is no host[:port]. */
bool guard_host_name(str host, str *name);
bool guard_is_loopback_name(str name);   /* localhost, *.localhost, 127.x.x.x, ::1 */
bool guard_is_literal_address(str name); /* an IPv4 or IPv6 address */

bool guard_host_ok(str host, bool loopback, const str *ok, size_t n_ok);
/* host: the request's Host, empty on a Unix socket. */
bool guard_origin_ok(str origin, str host, const str *ok, size_t n_ok);
bool guard_in_list(str s, const str *list, size_t n); /* letters of ASCII in either case */

/* Time depends on the lengths alone. */
bool guard_token_ok(str given, str token);
/* The token in "Bearer T" (the word in any case); false: another scheme. */
bool guard_bearer(str authorization, str *token);

#endif
