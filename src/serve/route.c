/* route: see route.h. */
#include "serve/route.h"

#include <string.h>

#include "serve/intake.h"

static const route *const tables[] = {routes_openai, routes_responses, routes_anthropic, routes_ollama, routes_embed,
                                      routes_loam,   routes_lora,      routes_lineage,   routes_page};
enum { N_TABLES = sizeof tables / sizeof *tables };

static bool path_is(const route *r, str path, str *rest) {
    size_t n = strlen(r->path);
    if (n > 0 && r->path[n - 1] == '*') {
        if (path.n < n || !str_starts(path, (str){r->path, n - 1}))
            return false;
        *rest = str_sub(path, n - 1, path.n);
        return true;
    }
    return str_is(path, r->path);
}

static const route *find(str method, str path, str *rest, const char **allowed) {
    *allowed = NULL;
    for (size_t i = 0; i < N_TABLES; i++)
        for (const route *r = tables[i]; r->path; r++) {
            if (!path_is(r, path, rest))
                continue;
            if (str_is(method, r->method))
                return r;
            *allowed = r->method;
        }
    return NULL;
}

/* The one body that is an array, as llama.cpp's clients send it. */
static bool takes_list(const route *r) { return strcmp(r->path, "/lora-adapters") == 0; }

void route_run(serve *s, http_call *c, const route *r, str rest) {
    json_t *body = NULL;
    err e = {0};
    err_code code = ERR_OK;
    if (strcmp(r->method, "POST") == 0)
        code = body_parse(http_body(c), takes_list(r), &body, &e);
    if (code == ERR_OK)
        code = r->run(s, c, body, rest, &e);
    if (code != ERR_OK)
        reply_error(c, status_of(code), code, e.text);
    json_decref(body);
}

void route_handle(void *ctx, http_call *c) {
    serve *s = ctx;
    const char *allowed;
    str rest = {0}, method = http_method(c);
    err e = {0};
    const route *r = find(str_is(method, "HEAD") ? STR("GET") : method, http_path(c), &rest, &allowed);
    if (!r) {
        if (!allowed) {
            reply_error(c, 404, ERR_IO, "there is no such path");
            return;
        }
        http_add_header(c, "Allow", allowed);
        reply_error(c, 405, ERR_USAGE, "this path does not take that method");
        return;
    }
    if (strcmp(r->method, "POST") != 0) {
        route_run(s, c, r, rest);
        return;
    }
    err_code code = intake_send(s->intake, c, r, rest, &e);
    if (code != ERR_OK)
        reply_error(c, status_of(code), code, e.text);
}
