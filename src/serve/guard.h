/* guard: who may speak to the server: Host, Origin, token; and whether it is plain where a request ends. Pure functions
 * over header values; http.h has the rules.
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

/* Where a request ends must be said once and plainly; else a proxy before this server and the server could read
 * different requests out of the same bytes (request smuggling: RFC 9112, sections 6.1, 6.3, 11.2). Zero-initialise,
 * show it every header, ask. */
typedef struct {
    size_t n_length, n_encoding, n_host;
    bool odd_name, odd_encoding;
} guard_frame;
void guard_frame_see(guard_frame *f, str name, str value);
/* NULL: plain. Else what is wrong, and *status. */
const char *guard_frame_fault(const guard_frame *f, bool http_1_0, int *status);

#endif
