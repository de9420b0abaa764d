/* http: see http.h.
 *
 * Source: RFC 9110 (ranges, Retry-After, redirects), libcurl's documentation.
 */
#include "hub/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/os.h"

enum { HOPS_MAX = 10, RETRY_AFTER_MAX = 300, SMALL_SECONDS = 120 };

err_code http_init(err *e) {
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? ERR_OK
                                                             : err_set(e, ERR_MEMORY, "libcurl does not start");
}

bool http_stopped(const http_options *o) { return o->stop && *o->stop; }

/* ---- where a URL leads ---- */

typedef struct {
    char *scheme, *host, *port;
} origin;

static void origin_fini(origin *x) {
    curl_free(x->scheme);
    curl_free(x->host);
    curl_free(x->port);
    *x = (origin){0};
}

static bool origin_of(const char *url, origin *x) {
    CURLU *u = curl_url();
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_SCHEME, &x->scheme, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &x->host, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_PORT, &x->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    curl_url_cleanup(u);
    return good;
}

/* An IPv4 address of this machine alone: 127.0.0.0/8, and 0.0.0.0, at which it is found too. */
static bool is_here_v4(const uint8_t a[4]) { return a[0] == 127 || (a[0] | a[1] | a[2] | a[3]) == 0; }

/* ::1, ::, and IPv4 within IPv6. */
static bool is_here_v6(const struct in6_addr *a) {
    bool mapped = IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a);
    return IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a) || (mapped && is_here_v4(a->s6_addr + 12));
}

/* As a URL spells it (libcurl has made "127.1" and "0x7f000001" to 127.0.0.1). What a name leads to is not asked. */
static bool is_here(const origin *x) {
    char host[256];
    struct in_addr v4;
    struct in6_addr v6;
    bool bracket = *x->host == '[';
    snprintf(host, sizeof host, "%s", x->host + bracket);
    size_t n = strlen(host);
    if (n > 0 && host[n - 1] == (bracket ? ']' : '.'))
        host[--n] = 0;
    if (bracket)
        return inet_pton(AF_INET6, host, &v6) == 1 && is_here_v6(&v6);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return is_here_v4((const uint8_t *)&v4);
    return strcasecmp(host, "localhost") == 0 || (n > 10 && strcasecmp(host + n - 10, ".localhost") == 0);
}

/* The address that is connected to. */
static bool leads_here(const struct sockaddr *to) {
    if (to->sa_family == AF_INET)
        return is_here_v4((const uint8_t *)&((const struct sockaddr_in *)(const void *)to)->sin_addr);
    return to->sa_family == AF_INET6 && is_here_v6(&((const struct sockaddr_in6 *)(const void *)to)->sin6_addr);
}

/* A proxy resolves names itself, and may stand on this machine. */
static bool has_proxy(void) {
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *is = getenv(names[i]);
        if (is && *is)
            return true;
    }
    return false;
}

/* Of a request that a host elsewhere has sent on: a name that leads here is found out before anything is sent. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to) {
    http_answer *a = ctx;
    (void)purpose;
    a->led_back = a->from_afar && leads_here(&to->addr) && !has_proxy();
    return a->led_back ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static bool same_origin(const char *a, const char *b) {
    origin x = {0}, y = {0};
    bool same = origin_of(a, &x) && origin_of(b, &y) && strcasecmp(x.scheme, y.scheme) == 0 &&
                strcasecmp(x.host, y.host) == 0 && strcmp(x.port, y.port) == 0;
    origin_fini(&x);
    origin_fini(&y);
    return same;
}

static err_code leads_back(const char *from, const char *url, err *e) {
    return err_set(e, ERR_FORMAT, "%.200s: leads back to this machine (%.100s); that is not followed", from, url);
}

err_code http_check(const http_options *o, const char *from, const char *url, err *e) {
    origin x = {0}, y = {0};
    err_code code = ERR_OK;
    if (!origin_of(url, &x) || (from && !origin_of(from, &y)))
        code = err_set(e, ERR_FORMAT, "%.200s: is no URL", url);
    else if (from && is_here(&x) && !is_here(&y))
        code = leads_back(from, url, e);
    else if (strcmp(x.scheme, "https") != 0 && strcmp(x.scheme, "http") != 0)
        code = err_set(e, ERR_UNSUPPORTED, "%.200s: is neither https nor http", url);
    else if (strcmp(x.scheme, "http") == 0 && !is_here(&x) &&
             (!o->allow_http || (from && strcmp(y.scheme, "https") == 0)))
        code = err_set(e, from ? ERR_FORMAT : ERR_USAGE,
                       "%.200s: http is readable and changeable on its way (use https, or --allow-http)", url);
    origin_fini(&x);
    origin_fini(&y);
    return code;
}

/* a->url becomes where `location` leads from there. */
static err_code follow(const http_options *o, http_answer *a, const char *location, bool *token, err *e) {
    char *next = NULL;
    CURLU *u = curl_url();
    origin from = {0};
    bool good = u && curl_url_set(u, CURLUPART_URL, a->url, 0) == CURLUE_OK &&
                curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_URL, &next, 0) == CURLUE_OK && strlen(next) < sizeof a->url;
    err_code code = good ? http_check(o, a->url, next, e)
                         : err_set(e, ERR_FORMAT, "%.200s: is sent on to something that is no URL", a->url);
    if (code == ERR_OK) {
        *token = *token && same_origin(a->url, next);
        a->from_afar = a->from_afar || !origin_of(a->url, &from) || !is_here(&from);
        origin_fini(&from);
        snprintf(a->url, sizeof a->url, "%s", next);
    }
    curl_free(next);
    curl_url_cleanup(u);
    return code;
}

/* ---- headers ---- */

static str header_value(str line, const char *name) {
    size_t n = strlen(name);
    if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
        return (str){0};
    str v = str_sub(line, n + 1, line.n);
    while (v.n > 0 && (*v.p == ' ' || *v.p == '\t'))
        v = str_sub(v, 1, v.n);
    while (v.n > 0 && strchr("\r\n \t", v.p[v.n - 1]))
        v.n--;
    return v;
}

static void take(char *out, size_t room, str v) {
    if (v.n > 0 && v.n < room) {
        memcpy(out, v.p, v.n);
        out[v.n] = 0;
    }
}

static bool digits(str s, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || i > 17)
            return false;
        *out = *out * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0;
}

/* "bytes 0-0/1234" or "bytes *" "/1234" */
static void take_range(http_answer *a, str v) {
    ptrdiff_t slash = str_find(v, STR("/"), 0), dash = str_find(v, STR("-"), 0);
    uint64_t n;
    if (str_starts(v, STR("bytes ")) && dash >= 0 && digits(str_sub(v, 6, (size_t)dash), &n))
        a->first = n;
    if (slash >= 0 && digits(str_sub(v, (size_t)slash + 1, v.n), &n)) {
        a->bytes = n;
        a->ranges = true;
    }
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx) {
    http_answer *a = ctx;
    str line = {p, size * n}, v;
    uint64_t bytes;
    if (str_starts(line, STR("HTTP/"))) { /* a new response: what an earlier one said does not count */
        a->bytes = a->first = HTTP_UNKNOWN;
        a->ranges = false;
        *a->etag = 0;
    }
    if ((v = header_value(line, "content-range")).n > 0)
        take_range(a, v);
    else if ((v = header_value(line, "content-length")).n > 0 && !a->ranges && digits(v, &bytes))
        a->bytes = bytes;
    else if ((v = header_value(line, "etag")).n > 0 && *v.p == '"')
        take(a->etag, sizeof a->etag, v);
    else if ((v = header_value(line, "x-error-code")).n > 0)
        take(a->error_code, sizeof a->error_code, v);
    return size * n;
}

/* ---- a handle ---- */

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return http_stopped(ctx);
}

static bool add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more)
        *list = more;
    return more != NULL;
}

/* OpenSSL's own variables: libcurl has the system's place compiled in and does not look at them. */
static void set_certificates(CURL *c) {
    const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    if (file && *file)
        curl_easy_setopt(c, CURLOPT_CAINFO, file);
    if (folder && *folder)
        curl_easy_setopt(c, CURLOPT_CAPATH, folder);
}

CURL *http_easy(const http_options *o, const char *url, bool token, struct curl_slist **headers, http_answer *a) {
    CURL *c = curl_easy_init();
    char line[HTTP_TOKEN_MAX + 40];
    if (!c)
        return NULL;
    snprintf(line, sizeof line, "Authorization: Bearer %s", o->token);
    bool good = true;
    if (token && *o->token)
        good = add_header(headers, line);
    good = good && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "loam") == CURLE_OK;
    if (!good) {
        curl_easy_cleanup(c);
        return NULL;
    }
    set_certificates(c);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, o->stall_seconds);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, o->stall_seconds);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, a);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, (void *)(uintptr_t)o);
    return c;
}

/* ---- failing and waiting ---- */

bool http_may_retry(CURLcode code, long status) {
    switch (code) {
    case CURLE_OK:
        return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

double http_wait_seconds(CURL *easy, int n) {
    curl_off_t told = 0;
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &told) == CURLE_OK && told > 0)
        return told > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (double)told;
    return n > 6 ? 32 : 0.5 * (double)(1 << n);
}

err_code http_sleep(const http_options *o, double seconds, err *e) {
    const struct timespec nap = {.tv_nsec = 50000000};
    for (double end = os_now() + seconds; os_now() < end && !http_stopped(o);)
        nanosleep(&nap, NULL);
    return http_stopped(o) ? err_set(e, ERR_CANCELLED, "stopped") : ERR_OK;
}

err_code http_failed(CURLcode code, const char *url, err *e) {
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(e, ERR_CANCELLED, "stopped");
    if (code == CURLE_OUT_OF_MEMORY)
        return err_set(e, ERR_MEMORY, "%.200s: no memory", url);
    const char *hint = "";
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT)
        hint = has_proxy() ? " (is there a network, and the proxy of the environment? --offline uses what is here)"
                           : " (is there a network? --offline uses what is here)";
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return err_set(e, ERR_IO,
                       "%.200s: has no certificate that this machine trusts (SSL_CERT_FILE names a file of others)",
                       url);
    return err_set(e, ERR_IO, "%.200s: %s%s", url, curl_easy_strerror(code), hint);
}

err_code http_refused(const http_answer *a, const char *url, err *e) {
    if (strcmp(a->error_code, "GatedRepo") == 0)
        return err_set(
            e, ERR_IO,
            "%.200s: is gated: its makers want you to accept their terms (do so on the model's page, then put "
            "a token from huggingface.co/settings/tokens into HF_TOKEN)",
            url);
    if (a->status == 401 || a->status == 403)
        return err_set(
            e, ERR_IO,
            "%.200s: needs permission, or is not there (status %ld; a private or gated model needs your token in "
            "HF_TOKEN; check the spelling)",
            url, a->status);
    if (strcmp(a->error_code, "RevisionNotFound") == 0)
        return err_set(e, ERR_IO, "%.200s: there is no such revision", url);
    if (a->status == 404)
        return err_set(e, ERR_IO, "%.200s: there is no such thing (status 404; check the spelling)", url);
    return err_set(e, ERR_IO, "%.200s: answered with status %ld", url, a->status);
}

/* ---- whole requests ---- */

typedef struct {
    strbuf *body; /* NULL: the first byte is enough */
    size_t max;
    bool too_long;
} sink;

static size_t on_body(char *p, size_t size, size_t n, void *ctx) {
    sink *s = ctx;
    size_t bytes = size * n;
    if (!s->body)
        return bytes > 1 ? 0 : bytes; /* a host without ranges sends all: the connection ends here */
    s->too_long = bytes > s->max - s->body->n;
    return s->too_long || strbuf_add(s->body, (str){p, bytes}, NULL) != ERR_OK ? 0 : bytes;
}

typedef struct {
    const http_options *o;
    const char *accept;
    sink sink;
    http_answer *a;
    bool token;
} request;

static CURLcode perform(request *q, char *location, size_t room, double *wait, int n) {
    struct curl_slist *headers = NULL;
    char accept[300];
    snprintf(accept, sizeof accept, "Accept: %s", q->accept ? q->accept : "");
    if (q->accept && !add_header(&headers, accept))
        return CURLE_OUT_OF_MEMORY;
    CURL *c = http_easy(q->o, q->a->url, q->token, &headers, q->a);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    *location = 0;
    *wait = 0;
    if (c) {
        char *next = NULL;
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, &q->sink);
        curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)SMALL_SECONDS);
        if (!q->sink.body)
            curl_easy_setopt(c, CURLOPT_RANGE, "0-0");
        code = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &q->a->status);
        if (curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next) == CURLE_OK && next && strlen(next) < room)
            snprintf(location, room, "%s", next);
        if (code == CURLE_WRITE_ERROR && !q->sink.body && q->a->status > 0)
            code = CURLE_OK; /* all that was asked for is there */
        *wait = http_wait_seconds(c, n);
    }
    curl_easy_cleanup(c);
    curl_slist_free_all(headers);
    return code;
}

static err_code tell_wait(const http_options *o, const char *url, double seconds, err *e) {
    char text[300];
    snprintf(text, sizeof text, "%.200s: trying again in %.1f s", url, seconds);
    if (o->note)
        o->note(text);
    return http_sleep(o, seconds, e);
}

/* One hop, with its retries. first: where the request began. */
static err_code hop(request *q, const char *first, char *location, size_t room, err *e) {
    for (int n = 0;; n++) {
        double wait = 0;
        if (q->sink.body)
            q->sink.body->n = 0;
        *q->a->error_code = 0;
        CURLcode code = perform(q, location, room, &wait, n);
        if (q->sink.too_long)
            return err_set(e, ERR_LIMIT, "%.200s: the answer is longer than %zu bytes", q->a->url, q->sink.max);
        if (http_stopped(q->o))
            return err_set(e, ERR_CANCELLED, "stopped");
        if (q->a->led_back)
            return leads_back(first, q->a->url, e);
        if (code == CURLE_OK && !http_may_retry(code, q->a->status))
            return ERR_OK;
        if (n >= q->o->retries || !http_may_retry(code, q->a->status))
            return code == CURLE_OK ? http_refused(q->a, q->a->url, e) : http_failed(code, q->a->url, e);
        TRY(tell_wait(q->o, q->a->url, wait, e));
    }
}

static err_code run(request *q, const char *url, err *e) {
    char location[sizeof q->a->url];
    *q->a = (http_answer){.bytes = HTTP_UNKNOWN, .first = HTTP_UNKNOWN};
    if (q->o->offline)
        return err_set(e, ERR_IO, "%.200s: --offline, so it is not asked for", url);
    if (strlen(url) >= sizeof q->a->url)
        return err_set(e, ERR_LIMIT, "%.200s...: the URL is too long", url);
    snprintf(q->a->url, sizeof q->a->url, "%s", url);
    TRY(http_check(q->o, NULL, url, e));
    for (int i = 0; i < HOPS_MAX; i++) {
        TRY(hop(q, url, location, sizeof location, e));
        bool sent_on = q->a->status >= 300 && q->a->status < 400 && *location;
        q->a->token = q->token;
        if (!sent_on)
            return ERR_OK;
        TRY(follow(q->o, q->a, location, &q->token, e));
    }
    return err_set(e, ERR_FORMAT, "%.200s: is sent on more than %d times", url, HOPS_MAX);
}

err_code http_get(const http_options *o, const char *url, const char *accept, bool token, size_t bytes_max,
                  strbuf *body, http_answer *a, err *e) {
    request q = {.o = o, .accept = accept, .sink = {.body = body, .max = bytes_max}, .a = a, .token = token};
    return run(&q, url, e);
}

err_code http_probe(const http_options *o, const char *url, bool token, http_answer *a, err *e) {
    request q = {.o = o, .a = a, .token = token};
    return run(&q, url, e);
}
