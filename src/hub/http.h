/* http: one request after another to a host that is not trusted; libcurl behind a thin face.
 *
 *   - http:// goes to this machine alone, unless the user allows it elsewhere; https never leads to http.
 *   - Redirects are followed here, at most 10, not by libcurl. One from elsewhere to this machine is refused, whether
 *     the URL says so or (where there is no proxy) the address that its name turns out to have. The token goes to the
 *     scheme, host and port it was given for and to no other.
 *   - A response longer than was asked for, or slower than 1 KB/s for `stall_seconds`, is given up.
 *   - 429, 500, 502, 503, 504 and broken connections are tried again, after a wait that doubles from half a second, or
 *     the Retry-After that the host tells (at most 5 minutes).
 *   - Proxies as libcurl has them: https_proxy, no_proxy. Certificates: the system's, or those that the environment
 *     names, as OpenSSL reads it: SSL_CERT_FILE, SSL_CERT_DIR.
 * Proved by test_hub.c and test/e2e/test_pull.py.
 */
#ifndef LOAM_HUB_HTTP_H
#define LOAM_HUB_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "hub/ref.h"

enum { HTTP_CONNECTIONS_MAX = 16, HTTP_SMALL_BYTES_MAX = 16 << 20, HTTP_TOKEN_MAX = 1000 };
#define HTTP_UNKNOWN UINT64_MAX

typedef struct {
    const char *hf_endpoint, *ollama_endpoint; /* without a slash at the end */
    char token[HTTP_TOKEN_MAX + 1];            /* for hf_endpoint alone; empty: none */
    bool offline, allow_http;
    int connections, retries;
    long stall_seconds;
    const volatile int *stop;
    void (*note)(const char *text); /* told of waits; may be NULL */
} http_options;

/* For the life of the program, before the first thread. */
err_code http_init(err *e);

/* Where a request has ended, and what was told of the whole. */
typedef struct {
    char url[REF_URL_MAX * 4]; /* after redirects */
    bool token;                /* the token may go there */
    bool from_afar, led_back;  /* sent on by a host elsewhere; and then to this machine */
    bool ranges;               /* a range was given */
    long status;
    uint64_t bytes;      /* HTTP_UNKNOWN: not told */
    uint64_t first;      /* byte of the range that was given; HTTP_UNKNOWN: none */
    char etag[200];      /* the strong ETag, else empty */
    char error_code[64]; /* X-Error-Code: Hugging Face's own */
} http_answer;

/* The body of a small document; accept may be NULL. Any status is an answer, even 404. */
err_code http_get(const http_options *o, const char *url, const char *accept, bool token, size_t bytes_max,
                  strbuf *body, http_answer *a, err *e);
/* What stands there: its first byte is asked for and thrown away. */
err_code http_probe(const http_options *o, const char *url, bool token, http_answer *a, err *e);

/* Whether a request may go to `url`: sent on by `from`, or (NULL) as the user's own; else an error that says why not.
 */
err_code http_check(const http_options *o, const char *from, const char *url, err *e);

/* ---- for fetch.c ---- */

/* An easy handle with all of the above set but what it writes; NULL when memory is short. headers: freed by the caller
 * after the transfer. */
CURL *http_easy(const http_options *o, const char *url, bool token, struct curl_slist **headers, http_answer *a);
bool http_may_retry(CURLcode code, long status);
/* Seconds to wait before try `n` (from 0). */
double http_wait_seconds(CURL *easy, int n);
/* Sleeps; ERR_CANCELLED when stopped. */
err_code http_sleep(const http_options *o, double seconds, err *e);
err_code http_failed(CURLcode code, const char *url, err *e);         /* a connection's failure as an error */
err_code http_refused(const http_answer *a, const char *url, err *e); /* an answer that is no success */
bool http_stopped(const http_options *o);

#endif
