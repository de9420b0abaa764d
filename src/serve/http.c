/* http: see http.h.
 *
 *   library's thread:   connection begins -> headers: may it speak? -> body -> handler -> [suspended] -> answer ->
 * ended any thread:                                          http_answer / http_push / http_end: fill `out`, resume
 *   watching thread:    clients that are gone, late or slow
 *
 * Invariants, under http.lock:
 *   1. suspended is true exactly while the library has the connection suspended.
 *   2. A call is freed when let_go (the library has ended the request) and nobody has promised to answer it any more.
 *   3. gone() runs without the lock; while it runs in_gone is true and http_end()/http_answer() wait for it.
 */
#include "serve/http.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/os.h"
#include "serve/guard.h"
#include "serve/listen.h"

enum {
    HEADERS_MAX = 8,
    WATCH_MS = 250,
    HALF_CLOSED_MS = 1000, /* no more requests will come: so long for those that are still being read */
    HEADERS_MS = 5000,     /* headers that take longer make room when the table is full */
    SPARE_FILES = 64,      /* descriptors for all but connections */
    BLOCK_BYTES = 8192     /* of a streamed answer */
};

/* Where a connection is. The first three make room in a full table, in this order (spare()). */
typedef enum { KEPT, NEW, HEADERS, BODY, BUSY } conn_stage;

typedef struct conn {
    http *h;
    struct conn *prev, *next;
    int fd;
    conn_stage stage; /* KEPT: a request has been answered, NEW: none has begun; BUSY: a whole one is being answered */
    double since;     /* idles since then, or a request has been coming */
    bool refused;     /* one too many */
} conn;

struct http_call {
    http *h;
    struct http_call *prev, *next;
    struct MHD_Connection *c;
    conn *at;
    char *method, *path;
    strbuf body, out;
    size_t body_seen, out_at; /* bytes received (kept or not), bytes of `out` sent */
    int status, refuse_status;
    const char *refuse_what, *type, *name[HEADERS_MAX], *value[HEADERS_MAX];
    size_t n_headers;
    bool handled, promised;          /* the handler ran; somebody will end it */
    bool last;                       /* the connection ends with the answer */
    bool suspended, queued, let_go;  /* the library's side */
    bool answered, streaming, ended; /* ours */
    bool failed;                     /* of a stream: cut off */
    bool gone_called, in_gone;
    void (*gone)(void *ctx);
    void *gone_ctx;
    double begun;
};

struct http {
    http_options o;
    listening at;
    struct MHD_Daemon *daemon;
    char url[200];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t watcher;
    bool watching, stop, quiet, cancelling;
    conn *conns;
    http_call *calls;
    size_t n_conns, n_busy, n_promised, bodies_bytes;
    http_stats stats;
};

static void lock(http *h) { pthread_mutex_lock(&h->lock); }
static void unlock(http *h) { pthread_mutex_unlock(&h->lock); }

/* ---- calls ---- */

static void call_free(http_call *c) { /* locked */
    http *h = c->h;
    if (c->prev)
        c->prev->next = c->next;
    else
        h->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    h->bodies_bytes -= c->body.n;
    h->n_busy -= c->handled;
    strbuf_fini(&c->body);
    strbuf_fini(&c->out);
    free(c->method);
    free(c->path);
    free(c);
}

static http_call *call_new(http *h, struct MHD_Connection *lib, const char *method, const char *path) {
    http_call *c = calloc(1, sizeof *c);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(lib, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!c)
        return NULL;
    *c = (http_call){.h = h, .c = lib, .begun = os_now(), .method = strdup(method), .path = strdup(path)};
    c->at = info ? info->socket_context : NULL;
    if (!c->method || !c->path || !c->at) {
        free(c->method);
        free(c->path);
        free(c);
        return NULL;
    }
    lock(h);
    c->next = h->calls;
    if (h->calls)
        h->calls->prev = c;
    h->calls = c;
    h->stats.requests++;
    unlock(h);
    return c;
}

static void wake(http_call *c) { /* locked */
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->c);
}

static void promise_over(http_call *c) { /* locked; frees c perhaps */
    http *h = c->h;
    while (c->in_gone)
        pthread_cond_wait(&h->changed, &h->lock);
    c->ended = true;
    c->gone = NULL;
    if (c->promised) {
        c->promised = false;
        h->n_promised--;
    }
    if (c->let_go)
        call_free(c);
    else
        wake(c);
}

/* Takes the promise's gone() for calling it without the lock. */
static bool gone_take(http_call *c) { /* locked */
    if (!c->promised || c->gone_called || !c->gone)
        return false;
    return c->gone_called = c->in_gone = true;
}

static void gone_run(http_call *c) { /* not locked; gone_take() said true */
    http *h = c->h;
    c->gone(c->gone_ctx);
    lock(h);
    c->in_gone = false;
    pthread_cond_broadcast(&h->changed);
    unlock(h);
}

str http_method(const http_call *c) { return str_from(c->method); }
str http_path(const http_call *c) { return str_from(c->path); }
str http_body(const http_call *c) { return strbuf_str(&c->body); }
const char *http_header(const http_call *c, const char *name) {
    return MHD_lookup_connection_value(c->c, MHD_HEADER_KIND, name);
}

const char *http_argument(const http_call *c, const char *name) {
    return MHD_lookup_connection_value(c->c, MHD_GET_ARGUMENT_KIND, name);
}

void http_answer(http_call *c, int status, const char *type, str body) {
    http *h = c->h;
    lock(h);
    c->status = status;
    c->type = type;
    c->answered = true;
    if (strbuf_add(&c->out, body, NULL) != ERR_OK)
        c->status = 500;
    promise_over(c);
    unlock(h);
}

void http_add_header(http_call *c, const char *name, const char *value) {
    if (c->n_headers == HEADERS_MAX)
        return;
    c->name[c->n_headers] = name;
    c->value[c->n_headers++] = value;
}

void http_on_gone(http_call *c, void (*gone)(void *ctx), void *ctx) {
    lock(c->h);
    c->gone = gone;
    c->gone_ctx = ctx;
    unlock(c->h);
}

static bool has_left(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/* Whether gone() is due. A client that asks and closes its sending half has its answer if that is quick. */
static bool is_over(const http_call *c, double now) { /* locked */
    const http *h = c->h;
    double age = now - c->begun;
    return c->let_go || h->cancelling || age > h->o.request_seconds || (age * 1000 > WATCH_MS && has_left(c->at->fd));
}

bool http_has_gone(http_call *c) {
    lock(c->h);
    bool gone = is_over(c, os_now());
    unlock(c->h);
    return gone;
}

bool http_push(http_call *c, const char *type, str bytes) {
    http *h = c->h;
    lock(h);
    if (!c->streaming) {
        c->streaming = true;
        c->status = 200;
        c->type = type;
    }
    if (c->out_at > 0 && c->out_at == c->out.n)
        c->out.n = c->out_at = 0;
    else if (c->out_at > h->o.unread_bytes / 4) {
        memmove(c->out.p, c->out.p + c->out_at, c->out.n - c->out_at);
        c->out.n -= c->out_at;
        c->out_at = 0;
    }
    if (c->out.n - c->out_at + bytes.n > h->o.unread_bytes)
        c->failed = true;
    if (!c->failed && !c->let_go && strbuf_add(&c->out, bytes, NULL) != ERR_OK)
        c->failed = true;
    wake(c);
    bool good = !c->failed && !c->let_go;
    unlock(h);
    return good;
}

bool http_pushed(http_call *c) {
    lock(c->h);
    bool pushed = c->streaming;
    unlock(c->h);
    return pushed;
}

void http_end(http_call *c) {
    http *h = c->h;
    lock(h);
    promise_over(c);
    unlock(h);
}

/* ---- answers ---- */

static void count_status(http *h, int status) {
    lock(h);
    h->stats.status[status >= 100 && status < 600 ? status / 100 : 0]++;
    unlock(h);
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max) {
    http_call *c = ctx;
    http *h = c->h;
    ssize_t n = 0;
    (void)pos;
    lock(h);
    if (c->failed)
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (c->out_at < c->out.n) {
        size_t left = c->out.n - c->out_at;
        n = (ssize_t)(left < max ? left : max);
        memcpy(buf, c->out.p + c->out_at, (size_t)n);
        c->out_at += (size_t)n;
    } else if (c->ended)
        n = MHD_CONTENT_READER_END_OF_STREAM;
    else {
        c->suspended = true;
        MHD_suspend_connection(c->c);
    }
    unlock(h);
    return n;
}

static bool has_header(const http_call *c, const char *name) {
    for (size_t i = 0; i < c->n_headers; i++)
        if (strcmp(c->name[i], name) == 0)
            return true;
    return false;
}

static void add_headers(const http_call *c, struct MHD_Response *r) {
    const http *h = c->h;
    const char *origin = http_header(c, "Origin");
    if (!has_header(c, "Cache-Control"))
        MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (c->type && *c->type)
        MHD_add_response_header(r, "Content-Type", c->type);
    for (size_t i = 0; i < c->n_headers; i++)
        MHD_add_response_header(r, c->name[i], c->value[i]);
    if (origin && guard_in_list(str_from(origin), h->o.origin_ok, h->o.n_origin_ok)) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
        MHD_add_response_header(r, "Vary", "Origin");
    }
}

static enum MHD_Result queue(http_call *c) {
    struct MHD_Response *r;
    if (c->streaming)
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, c, NULL);
    else
        r = MHD_create_response_from_buffer(c->out.n, c->out.p, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    add_headers(c, r);
    if (c->h->quiet || c->at->refused || c->last)
        MHD_add_response_header(r, "Connection", "close");
    count_status(c->h, c->status);
    enum MHD_Result done = MHD_queue_response(c->c, (unsigned)c->status, r);
    MHD_destroy_response(r);
    return done;
}

/* Gives the answer if there is one, else waits for it. */
static enum MHD_Result settle(http_call *c) {
    http *h = c->h;
    lock(h);
    bool ready = c->answered || c->streaming || c->ended;
    if (ready && !c->answered && !c->streaming) { /* ended without a word */
        c->answered = true;
        c->status = 500;
    }
    if (!ready) {
        c->suspended = true;
        MHD_suspend_connection(c->c);
    }
    bool first = ready && !c->queued;
    c->queued |= ready;
    unlock(h);
    return first ? queue(c) : MHD_YES;
}

/* ---- may it speak? ---- */

static void refuse(http_call *c, int status, const char *what) {
    if (c->refuse_status)
        return;
    c->refuse_status = status;
    c->refuse_what = what;
    c->last = status == 413;
}

static enum MHD_Result see_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t n_name,
                                  const char *value, size_t n_value) {
    (void)kind;
    guard_frame_see(ctx, (str){name, n_name}, (str){value, n_value});
    return MHD_YES;
}

static void check_frame(http_call *c, const char *version) {
    guard_frame f = {0};
    int status;
    MHD_get_connection_values_n(c->c, MHD_HEADER_KIND, see_header, &f);
    const char *fault = guard_frame_fault(&f, strcmp(version, "HTTP/1.0") == 0, &status);
    if (!fault)
        return;
    refuse(c, status, fault);
    c->last = true;
}

static bool token_ok(const http_call *c) {
    const http *h = c->h;
    str given;
    const char *authorization = http_header(c, "Authorization"), *key = http_header(c, "X-Api-Key");
    if (!h->o.token || (h->o.open_path && h->o.open_path(h->o.ctx, str_from(c->path))))
        return true;
    if (authorization && guard_bearer(str_from(authorization), &given) && guard_token_ok(given, str_from(h->o.token)))
        return true;
    return key && guard_token_ok(str_from(key), str_from(h->o.token));
}

static void check_speaker(http_call *c) {
    const http *h = c->h;
    const char *host = http_header(c, "Host"), *origin = http_header(c, "Origin");
    const char *site = http_header(c, "Sec-Fetch-Site"), *mode = http_header(c, "Sec-Fetch-Mode");
    if (!h->at.is_unix && !host)
        refuse(c, 400, "the Host header is missing");
    else if (!h->at.is_unix && !guard_host_ok(str_from(host), h->at.loopback, h->o.host_ok, h->o.n_host_ok))
        refuse(c, 403, "this Host is not served here (loam serve --allow-host NAME allows it)");
    bool listed = origin && guard_in_list(str_from(origin), h->o.origin_ok, h->o.n_origin_ok);
    if (origin && !guard_origin_ok(str_from(origin), str_from(host), h->o.origin_ok, h->o.n_origin_ok))
        refuse(c, 403, "pages of another origin may not ask (loam serve --allow-origin ORIGIN allows one)");
    else if (site && !listed && strcmp(site, "cross-site") == 0 &&
             !(mode && strcmp(mode, "navigate") == 0 && strcmp(c->method, "GET") == 0))
        refuse(c, 403, "pages of another site may not ask (loam serve --allow-origin ORIGIN allows one)");
    if (!(listed && strcmp(c->method, "OPTIONS") == 0) && !token_ok(c))
        refuse(c, 401, "the token is missing or wrong (Authorization: Bearer TOKEN)");
}

static uint64_t declared_bytes(const http_call *c) {
    const char *text = http_header(c, "Content-Length");
    return text ? strtoull(text, NULL, 10) : 0;
}

static void preflight(http_call *c) {
    http_add_header(c, "Access-Control-Allow-Methods", "GET, POST");
    http_add_header(c, "Access-Control-Allow-Headers",
                    "authorization, content-type, x-api-key, anthropic-version, anthropic-beta");
    http_add_header(c, "Access-Control-Max-Age", "600");
    http_answer(c, 204, NULL, (str){0});
}

static void dispatch(http_call *c) {
    http *h = c->h;
    const char *origin = http_header(c, "Origin");
    lock(h);
    c->handled = c->promised = true;
    h->n_promised++;
    h->n_busy++;
    c->at->stage = BUSY;
    if (h->quiet)
        refuse(c, 503, "the server is stopping");
    else if (c->at->refused)
        refuse(c, 503, "too many connections; try again later");
    h->stats.refused += c->refuse_status != 0;
    unlock(h);
    if (c->refuse_status) {
        if (c->refuse_status == 401)
            http_add_header(c, "WWW-Authenticate", "Bearer");
        if (c->refuse_status == 503)
            http_add_header(c, "Retry-After", "5");
        h->o.refuse(h->o.ctx, c, c->refuse_status, c->refuse_what);
    } else if (strcmp(c->method, "OPTIONS") == 0 && origin &&
               guard_in_list(str_from(origin), h->o.origin_ok, h->o.n_origin_ok))
        preflight(c);
    else
        h->o.handle(h->o.ctx, c);
}

/* ---- the library's callbacks ---- */

static enum MHD_Result take_headers(http *h, struct MHD_Connection *lib, const char *method, const char *path,
                                    const char *version, void **to) {
    http_call *c = call_new(h, lib, method, path);
    if (!c)
        return MHD_NO;
    *to = c;
    lock(h);
    c->at->stage = BODY;
    unlock(h);
    check_frame(c, version);
    check_speaker(c);
    uint64_t bytes = declared_bytes(c);
    if (bytes > h->o.body_bytes)
        refuse(c, 413, "the body is too large");
    if (c->last && (c->refuse_status != 413 || bytes / 4 > h->o.body_bytes)) { /* not worth reading to its end */
        dispatch(c);
        return settle(c);
    }
    return MHD_YES;
}

static enum MHD_Result take_body(http_call *c, const char *data, size_t n) {
    http *h = c->h;
    c->body_seen += n;
    if (c->body_seen > h->o.body_bytes)
        refuse(c, 413, "the body is too large");
    if (c->body_seen / 4 > h->o.body_bytes)
        return MHD_NO;
    if (c->refuse_status)
        return MHD_YES;
    lock(h);
    if (h->bodies_bytes + n > h->o.bodies_bytes)
        refuse(c, 503, "too many requests are being received; try again later");
    else if (strbuf_add(&c->body, (str){data, n}, NULL) == ERR_OK)
        h->bodies_bytes += n;
    else
        refuse(c, 503, "no memory for the body; try again later");
    unlock(h);
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *lib, const char *path, const char *method,
                                  const char *version, const char *data, size_t *n, void **to) {
    if (!*to)
        return take_headers(ctx, lib, method, path, version, to);
    http_call *c = *to;
    if (*n > 0) {
        size_t given = *n;
        *n = 0;
        return take_body(c, data, given);
    }
    if (!c->handled)
        dispatch(c);
    return settle(c);
}

/* "%00" stays as it stands: a path must not be cut there. */
static size_t unescape(void *ctx, struct MHD_Connection *lib, char *text) {
    (void)ctx;
    (void)lib;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static void on_completed(void *ctx, struct MHD_Connection *lib, void **to, enum MHD_RequestTerminationCode why) {
    http *h = ctx;
    http_call *c = *to;
    (void)lib;
    (void)why;
    *to = NULL;
    if (!c)
        return;
    lock(h);
    c->at->stage = KEPT;
    c->at->since = os_now();
    c->suspended = false;
    bool call_gone = gone_take(c);
    unlock(h);
    if (call_gone)
        gone_run(c);
    lock(h);
    while (c->in_gone) /* the watching thread's */
        pthread_cond_wait(&h->changed, &h->lock);
    c->let_go = true;
    if (!c->promised)
        call_free(c);
    unlock(h);
}

/* ---- connections ---- */

static void request_begins(conn *k) { /* locked */
    if (k->stage == HEADERS)
        return;
    k->stage = HEADERS;
    k->since = os_now();
}

/* The first line of a request has been read. What is returned is what on_request() finds in *to. */
static void *on_first_line(void *ctx, const char *uri, struct MHD_Connection *lib) {
    http *h = ctx;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(lib, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    (void)uri;
    if (info && info->socket_context) {
        lock(h);
        request_begins(info->socket_context);
        unlock(h);
    }
    return NULL;
}

static bool unread(int fd) {
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The connection that makes room: kept ones first, which know that they may be closed, then those that have not asked,
 * then those whose headers are slow; of each kind the one that has been so for longest. */
static conn *spare(http *h, const conn *but) { /* locked */
    conn *best = NULL;
    double late = os_now() - HEADERS_MS / 1000.0;
    for (conn *k = h->conns; k; k = k->next)
        if (k != but && !k->refused && (k->stage < HEADERS || (k->stage == HEADERS && k->since < late)) &&
            (!best || k->stage < best->stage || (k->stage == best->stage && k->since < best->since)))
            best = k;
    return best;
}

/* A connection that carries no request, or a slow one. What has come and is not read yet is a request's beginning. */
static conn *idlest(http *h, const conn *but) { /* locked */
    conn *k = spare(h, but);
    while (k && k->stage != HEADERS && unread(k->fd)) {
        request_begins(k);
        k = spare(h, but);
    }
    return k;
}

static void conn_begin(http *h, struct MHD_Connection *lib, void **to) {
    conn *k = calloc(1, sizeof *k);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(lib, MHD_CONNECTION_INFO_CONNECTION_FD);
    *to = k;
    if (!k)
        return; /* its requests are refused for want of a context */
    *k = (conn){.h = h, .fd = info ? info->connect_fd : -1, .stage = NEW, .since = os_now()};
    lock(h);
    k->next = h->conns;
    if (h->conns)
        h->conns->prev = k;
    h->conns = k;
    h->stats.connections_now = ++h->n_conns;
    if (h->n_conns > h->o.connections) {
        conn *old = idlest(h, k);
        if (old) {
            shutdown(old->fd, SHUT_RDWR);
            old->refused = true; /* once is enough */
            h->stats.evicted++;
        } else
            k->refused = true;
    }
    unlock(h);
}

static void conn_end(http *h, conn *k) {
    if (!k)
        return;
    lock(h);
    if (k->prev)
        k->prev->next = k->next;
    else
        h->conns = k->next;
    if (k->next)
        k->next->prev = k->prev;
    h->stats.connections_now = --h->n_conns;
    unlock(h);
    free(k);
}

static void on_connection(void *ctx, struct MHD_Connection *lib, void **to, enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        conn_begin(ctx, lib, to);
    else {
        conn_end(ctx, *to);
        *to = NULL;
    }
}

/* ---- the watching thread ---- */

/* The next call whose gone() is due. One that the library has let go of may be told of gone() only now. */
static http_call *find_gone(http *h, double now) { /* locked */
    for (http_call *c = h->calls; c; c = c->next)
        if (c->promised && !c->gone_called && c->gone && is_over(c, now) && gone_take(c))
            return c;
    return NULL;
}

/* The library does not see that a client has left when that came together with its last bytes. */
static void close_late(http *h, double now) { /* locked */
    for (conn *k = h->conns; k; k = k->next) {
        double idle = now - k->since;
        if (k->stage != BUSY && (idle > h->o.receive_seconds || (idle * 1000 > HALF_CLOSED_MS && has_left(k->fd))))
            shutdown(k->fd, SHUT_RDWR);
    }
}

static void *watch(void *ctx) {
    http *h = ctx;
    lock(h);
    while (!h->stop) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += WATCH_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000L;
        t.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&h->changed, &h->lock, &t);
        double now = os_now();
        close_late(h, now);
        for (http_call *c = find_gone(h, now); c; c = find_gone(h, now)) {
            unlock(h);
            gone_run(c);
            lock(h);
        }
    }
    unlock(h);
    return NULL;
}

/* ---- opening, closing ---- */

static void set_defaults(http_options *o) {
    struct rlimit files;
    o->header_bytes = o->header_bytes ? o->header_bytes : 32 << 10;
    o->body_bytes = o->body_bytes ? o->body_bytes : 16 << 20;
    o->bodies_bytes = o->bodies_bytes ? o->bodies_bytes : 128 << 20;
    o->unread_bytes = o->unread_bytes ? o->unread_bytes : 1 << 20;
    o->connections = o->connections ? o->connections : 1024;
    o->receive_seconds = o->receive_seconds ? o->receive_seconds : 60;
    o->idle_seconds = o->idle_seconds ? o->idle_seconds : 60;
    o->request_seconds = o->request_seconds ? o->request_seconds : 3600;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && o->connections + 2 * SPARE_FILES > files.rlim_cur)
        o->connections = files.rlim_cur > 3 * SPARE_FILES ? (unsigned)files.rlim_cur - 2 * SPARE_FILES : SPARE_FILES;
}

static err_code start_daemon(http *h, err *e) {
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)h->o.tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)h->o.tls_key},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    if (h->o.tls_cert) {
        if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
            return err_set(e, ERR_UNSUPPORTED, "this libmicrohttpd was built without TLS");
        flags |= MHD_USE_TLS;
    }
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, h->at.fd, MHD_OPTION_CONNECTION_LIMIT,
        h->o.connections + SPARE_FILES, MHD_OPTION_CONNECTION_MEMORY_LIMIT, h->o.header_bytes,
        MHD_OPTION_CONNECTION_TIMEOUT, h->o.idle_seconds, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, h, MHD_OPTION_URI_LOG_CALLBACK, on_first_line, h, MHD_OPTION_UNESCAPE_CALLBACK, unescape, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_ARRAY, h->o.tls_cert ? tls : none, MHD_OPTION_END);
    if (!h->daemon)
        return err_set(e, ERR_IO, "%s: the HTTP library did not start%s", h->at.where,
                       h->o.tls_cert ? " (are certificate and key PEM, and do they belong together?)" : "");
    return ERR_OK;
}

static err_code start(http *h, err *e) {
    if (!h->o.tls_cert != !h->o.tls_key)
        return err_set(e, ERR_USAGE, "TLS needs both a certificate and its key");
    if (!h->at.loopback && !h->o.token)
        return err_set(e, ERR_USAGE,
                       "%s can be reached from other machines, so a token is required (--token-file FILE)",
                       h->at.where);
    snprintf(h->url, sizeof h->url, "%s%s",
             h->at.is_unix   ? "unix:"
             : h->o.tls_cert ? "https://"
                             : "http://",
             h->at.where);
    if (pthread_create(&h->watcher, NULL, watch, h) != 0)
        return err_set(e, ERR_MEMORY, "no memory for a thread");
    h->watching = true;
    return start_daemon(h, e); /* last: what has failed has answered nobody */
}

err_code http_open(http **out, const http_options *o, err *e) {
    *out = NULL;
    http *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ERR_MEMORY, "no memory for the server");
    h->o = *o;
    h->at = *o->at;
    *o->at = (listening){.fd = -1};
    set_defaults(&h->o);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    *out = h; /* the first request may come before start() returns */
    err_code code = start(h, e);
    if (code != ERR_OK) {
        http_close(h);
        *out = NULL;
    }
    return code;
}

const char *http_url(const http *h) { return h->url; }

void http_quiesce(http *h) {
    lock(h);
    bool was = h->quiet;
    h->quiet = true;
    unlock(h);
    if (was || !h->daemon)
        return;
    MHD_socket fd = MHD_quiesce_daemon(h->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    h->at.fd = -1;
}

size_t http_busy(http *h) {
    lock(h);
    size_t n = h->n_busy;
    unlock(h);
    return n;
}

size_t http_promised(http *h) {
    lock(h);
    size_t n = h->n_promised;
    unlock(h);
    return n;
}

void http_cancel_all(http *h) {
    lock(h);
    h->cancelling = true;
    for (http_call *c = h->calls; c;) {
        if (!gone_take(c)) {
            c = c->next;
            continue;
        }
        unlock(h);
        gone_run(c);
        lock(h);
        c = h->calls; /* the list may have changed; each is taken once */
    }
    unlock(h);
}

void http_close(http *h) {
    if (!h)
        return;
    if (h->daemon)
        http_quiesce(h);
    if (h->watching) {
        lock(h);
        h->stop = true;
        pthread_cond_broadcast(&h->changed);
        unlock(h);
        pthread_join(h->watcher, NULL);
    }
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    listen_close(&h->at);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void http_stats_get(http *h, http_stats *out) {
    lock(h);
    *out = h->stats;
    unlock(h);
}
