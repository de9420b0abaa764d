/* http: requests in, answers out, and limits on everything between; libmicrohttpd behind a thin face.
 *
 * One thread of the library reads and writes all connections; a second one of ours looks four times a second for
 * clients that are gone, that read or send too slowly, and for requests that take too long. A request reaches the
 * handler when its body is whole. The handler runs on the library's thread, must not block, and answers at once or
 * later, from any thread:
 *
 *   http_answer(c, status, type, body)                     whole
 *   http_push(c, bytes) ... http_end(c)                    streamed: the first push begins an answer with status 200
 *
 * A call (http_call) lives until it has been answered or ended AND the library has let go of it. So whoever promised to
 * answer ends it exactly once, also when the client has gone; what is said to a client that has gone is dropped.
 *
 * Limits, and what happens to who passes one:
 *
 *   - header_bytes: 431, by the library; body_bytes: 413; bodies_bytes, of all bodies at once: 503
 *   - receive_seconds, from a request's first line to its last byte, or idling: the connection is closed
 *   - connections: the one that idles longest makes room, one that was kept after an answer before one that has not
 *     asked, and if all carry requests, one whose headers have been coming for five seconds; else 503
 *   - unread_bytes of an answer, or idle_seconds without progress: the connection is closed, the request cancelled
 *   - request_seconds, for the whole request: gone() is called; the handler's promise answers
 *
 * Who may speak (each is the proper status and a line that says why):
 *   - It must be plain where the request ends (guard_frame): else 400 or 501, and the connection is closed.
 *   - Host: a name or address in http_options.host_ok, or, listening on loopback: localhost, 127.0.0.1, ::1;
 *     elsewhere any literal address. A page that made its own name point here (DNS rebinding) sends another one: 403.
 *   - Origin: the page's own (http or https, this Host) or one in origin_ok; any other, and "null": 403. CORS
 *     headers are sent for origin_ok alone, never reflected. Sec-Fetch-Site: cross-site counts as a foreign origin.
 *   - token, when there is one: Authorization: Bearer T or X-Api-Key: T, compared in constant time: 401. Open
 *     without it: what the handler's open_path() says.
 *
 * Proved by test_serve.c, test/e2e/test_serve.py and test_serve_hostile.py.
 */
#ifndef LOAM_SERVE_HTTP_H
#define LOAM_SERVE_HTTP_H

#include <stdbool.h>

#include "base/str.h"
#include "serve/listen.h"

typedef struct http http;
typedef struct http_call http_call;

enum { HTTP_ALLOW_MAX = 16 };

typedef struct {
    listening *at;                  /* taken: what is left there is closed */
    const char *token;              /* NULL: none; required off loopback */
    const char *tls_cert, *tls_key; /* PEM texts; both or neither */
    str host_ok[HTTP_ALLOW_MAX], origin_ok[HTTP_ALLOW_MAX];
    size_t n_host_ok, n_origin_ok;
    size_t header_bytes, body_bytes, bodies_bytes, unread_bytes; /* 0: 32 KiB, 16 MiB, 128 MiB, 1 MiB */
    unsigned connections;                                        /* 0: 1024, or what the system lets us open */
    unsigned receive_seconds, idle_seconds, request_seconds;     /* 0: 60, 60, 3600 */
    /* A whole request that may speak. */
    void (*handle)(void *ctx, http_call *c);
    /* An error that arose here, in the shape that the path's clients expect: answers by http_answer(). */
    void (*refuse)(void *ctx, http_call *c, int status, const char *what);
    bool (*open_path)(void *ctx, str path); /* needs no token; NULL: none */
    void *ctx;
} http_options;

/* Answers from now on, with *out set before the first request. The strings of *o must outlive it. A socket off loopback
 * without a token: ERR_USAGE. */
err_code http_open(http **out, const http_options *o, err *e);
const char *http_url(const http *h); /* "http://127.0.0.1:8080", or "unix:PATH" */
/* Takes no new connections; requests on open ones are refused with 503. */
void http_quiesce(http *h);
size_t http_busy(http *h);     /* calls whose answers are not yet sent to the end */
size_t http_promised(http *h); /* calls that nobody has answered or ended yet */
/* All that runs, and that comes, has gone: calls gone(); every promise must end soon after. */
void http_cancel_all(http *h);
/* After the last promise has ended. NULL allowed. */
void http_close(http *h);

/* ---- the handler's side ---- */

str http_method(const http_call *c);
str http_path(const http_call *c);                             /* decoded, without the query */
str http_body(const http_call *c);                             /* until the call has ended */
const char *http_header(const http_call *c, const char *name); /* on the library's thread only; NULL: absent */

const char *http_argument(const http_call *c, const char *name); /* of the query, decoded; likewise */

void http_answer(http_call *c, int status, const char *type, str body);
/* "Name: value" for the answer to come; literals, or what lives as long as the server; at most 8. For whoever makes the
 * answer, before it and on any one thread. */
void http_add_header(http_call *c, const char *name, const char *value);
/* Tells to call gone(ctx) once, when the client has gone or the time is over; from another thread than the one that
 * answers; never after http_end() or http_answer() has returned. */
void http_on_gone(http_call *c, void (*gone)(void *ctx), void *ctx);
bool http_has_gone(http_call *c); /* likewise, asked for by who has not begun: the work is not worth it any more */
/* Streams. `type` counts at the first push. false: nobody reads any more (or too slowly): stop. */
bool http_push(http_call *c, const char *type, str bytes);
bool http_pushed(http_call *c); /* the answer has begun */
void http_end(http_call *c);    /* of a stream */

typedef struct {
    uint64_t requests, refused, connections_now, evicted;
    uint64_t status[6]; /* by hundreds */
} http_stats;
void http_stats_get(http *h, http_stats *out);

#endif
