/* routes: a whole server, its model and its engine, asked over a socket.
 *
 * An input that begins with '/' is the path of a request, a line break, and its body (none: a GET), so that every route
 * is reached; any other goes to the socket as it is. No answer may be 500, and what calls itself JSON must be JSON. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "serve/lineage.h"
#include "serve/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CTX = 24, PATH_BYTES_MAX = 200, ANSWER_MS = 60000, RAW_MS = 20, BODY_BYTES = 1 << 20 };

static struct {
    char folder[64], path[80];
    pool *pool;
    model *m;
    tokenizer *t;
    lineage made; /* the run that the model is from */
    serve *s;
} here;

static void check(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "fuzz_routes: %s\n", what);
    abort();
}

/* ---- the server ---- */

static void end(void) {
    serve_close(here.s);
    tokenizer_close(here.t);
    model_close(here.m);
    pool_close(here.pool);
    lineage_fini(&here.made);
    rmdir(here.folder);
}

static err_code begin(err *e) {
    const chat_builtin *plain = chat_builtin_find("plain");
    listening at;
    snprintf(here.folder, sizeof here.folder, "/tmp/loam-fuzz-XXXXXX");
    check(mkdtemp(here.folder) != NULL, "no folder");
    snprintf(here.path, sizeof here.path, "%s/socket", here.folder);
    hash_of("", 0); /* OpenSSL begins before end() is named, so that it ends after it */
    atexit(end);
    TRY(pool_open(&here.pool, 1, e));
    TRY(model_open(&here.m, "models/homeworld/model.gguf", &(model_options){.pool = here.pool}, e));
    TRY(tokenizer_open_gguf(&here.t, model_gguf(here.m), e));
    TRY(lineage_add_runs(&here.made, "models", e)); /* without data: to open them takes seconds */
    TRY(listen_unix(&at, here.path, e));
    const serve_source source = {.name = "m",
                                 .path = "m",
                                 .m = here.m,
                                 .t = here.t,
                                 .run = "homeworld",
                                 .template_source = str_from(plain->source),
                                 .template_stop = str_from(plain->stop)};
    const serve_options o = {
        .http = {.at = &at, .body_bytes = BODY_BYTES, .receive_seconds = 2, .idle_seconds = 2},
        .engine = {.ctx_tokens = CTX, .n_running = 8, .n_queued = SERVE_CHOICES_MAX, .cache_bytes = 16 << 20},
        .lineage = &here.made,
        .version = "0",
    };
    return serve_open(&here.s, &source, 1, &o, e);
}

/* ---- a request ---- */

static int connect_here(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(to.sun_path, here.path, strlen(here.path) + 1);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "no connection");
    return fd;
}

/* Sends and reads by turns until the server closes or says nothing for `ms`; true: it closed. */
static bool exchange(str bytes, int ms, strbuf *answer) {
    static char room[65536];
    int fd = connect_here();
    bool closed = false;
    size_t sent = 0;
    while (!closed) {
        struct pollfd p = {.fd = fd, .events = (short)(sent < bytes.n ? POLLIN | POLLOUT : POLLIN)};
        int n_ready = poll(&p, 1, ms);
        if (n_ready < 0 && errno == EINTR) /* libFuzzer's clock */
            continue;
        if (n_ready <= 0)
            break;
        if (p.revents & POLLOUT) {
            ssize_t n = send(fd, bytes.p + sent, bytes.n - sent, MSG_NOSIGNAL);
            sent = n > 0 ? sent + (size_t)n : bytes.n; /* it hears no more */
        }
        if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
            ssize_t n = recv(fd, room, sizeof room, 0);
            closed = n <= 0;
            if (n > 0)
                check(strbuf_add(answer, (str){room, (size_t)n}, NULL) == ERR_OK, "no memory");
        }
    }
    close(fd);
    return closed;
}

static void check_answer(str a) {
    ptrdiff_t head = str_find(a, STR("\r\n\r\n"), 0);
    check(str_starts(a, STR("HTTP/1.1 ")) && head > 0, "no answer");
    check(!str_starts(a, STR("HTTP/1.1 500")), "an error of the server's");
    str body = str_sub(a, (size_t)head + 4, a.n);
    if (str_find(str_sub(a, 0, (size_t)head), STR("Content-Type: application/json"), 0) < 0)
        return;
    json_t *v = NULL;
    check(json_read(body, body.n, &v, NULL) == ERR_OK, "the answer is no JSON");
    json_decref(v);
}

static void ask(str path, str body) {
    strbuf request = {0}, answer = {0};
    err_code code = strbuf_addf(&request, NULL, "%s %.*s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
                                body.n ? "POST" : "GET", STR_ARG(path));
    if (code == ERR_OK)
        code = strbuf_addf(&request, NULL, "Content-Length: %zu\r\n\r\n", body.n);
    if (code == ERR_OK)
        code = strbuf_add(&request, body, NULL);
    check(code == ERR_OK, "no memory");
    check(exchange(strbuf_str(&request), ANSWER_MS, &answer), "the server hangs");
    check_answer(strbuf_str(&answer));
    strbuf_fini(&request);
    strbuf_fini(&answer);
}

/* A path that says where it ends. */
static bool plain_path(str path) {
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] <= ' ' || path.p[i] == 127)
            return false;
    return path.n > 0 && path.n <= PATH_BYTES_MAX && path.p[0] == '/';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str input = {(const char *)data, n};
    err e = {0};
    if (!here.s && begin(&e) != ERR_OK)
        check(false, e.text);
    ptrdiff_t line = str_find(input, STR("\n"), 0);
    str path = str_sub(input, 0, line < 0 ? n : (size_t)line);
    if (plain_path(path) && n < BODY_BYTES) {
        ask(path, line < 0 ? (str){0} : str_sub(input, (size_t)line + 1, n));
        return 0;
    }
    strbuf answer = {0};
    exchange(input, RAW_MS, &answer);
    check(answer.n == 0 || str_starts(strbuf_str(&answer), STR("HTTP/1.1 ")), "an answer that is none");
    check(!str_starts(strbuf_str(&answer), STR("HTTP/1.1 500")), "an error of the server's");
    strbuf_fini(&answer);
    return 0;
}
