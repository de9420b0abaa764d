/* serve: see serve.h. */
#include "serve/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "serve/desk.h"
#include "serve/intake.h"
#include "serve/route.h"
#include "text/json_write.h"

/* ---- answers ---- */

api api_of_path(str path) {
    if (str_starts(path, STR("/api/")))
        return API_OLLAMA;
    return str_starts(path, STR("/v1/messages")) ? API_ANTHROPIC : API_OPENAI;
}

int status_of(err_code code) {
    switch (code) {
    case ERR_USAGE:
    case ERR_FORMAT:
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
        return 400;
    case ERR_IO:
        return 404;
    case ERR_MEMORY:
    case ERR_CANCELLED:
        return 503;
    case ERR_OK:
    case ERR_MISMATCH:
        break;
    }
    return 500;
}

err_code status_malformed(err_code code, err *e) {
    if (code != ERR_LIMIT)
        return code;
    if (e)
        e->code = ERR_FORMAT;
    return ERR_FORMAT;
}

typedef struct {
    int status;
    const char *openai, *anthropic;
} error_kind;

static const error_kind kinds[] = {
    {400, "invalid_request_error", "invalid_request_error"},
    {401, "authentication_error", "authentication_error"},
    {403, "permission_error", "permission_error"},
    {404, "invalid_request_error", "not_found_error"},
    {405, "invalid_request_error", "invalid_request_error"},
    {413, "invalid_request_error", "request_too_large"},
    {501, "not_supported_error", "api_error"},
    {503, "server_error", "overloaded_error"},
    {529, "server_error", "overloaded_error"},
    {500, "server_error", "api_error"}, /* any other: the last row */
};

static const error_kind *kind_of(int status) {
    const error_kind *k = kinds;
    while (k->status != status && k->status != 500)
        k++;
    return k;
}

static const char *openai_code(int status, err_code code) {
    if (code == ERR_LIMIT && status == 400)
        return "context_length_exceeded";
    if (code == ERR_IO && status == 404)
        return "not_found";
    return status == 401 ? "invalid_api_key" : NULL;
}

json_t *error_json(api a, int status, err_code code, const char *what) {
    const error_kind *k = kind_of(status);
    if (a == API_OLLAMA)
        return json_pack("{s:s}", "error", what);
    if (a == API_ANTHROPIC)
        return json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "type", k->anthropic, "message", what);
    return json_pack("{s:{s:s, s:s, s:n, s:s?}}", "error", "message", what, "type", k->openai, "param", "code",
                     openai_code(status, code));
}

void reply_json(http_call *c, int status, json_t *v) {
    strbuf text = {0};
    if (v && json_write(v, 0, &text, NULL) == ERR_OK)
        http_answer(c, status, "application/json", strbuf_str(&text));
    else
        http_answer(c, 500, "application/json", STR("{\"error\":{\"message\":\"no memory for the answer\"}}"));
    strbuf_fini(&text);
    json_decref(v);
}

void reply_error(http_call *c, int status, err_code code, const char *what) {
    json_t *v = error_json(api_of_path(http_path(c)), status, code, what);
    if (!v) /* what the client sent stands in it and is no UTF-8 */
        v = error_json(api_of_path(http_path(c)), status, code, "the request cannot be answered");
    reply_json(c, status, v);
}

static bool push_text(http_call *c, const char *type, const char *event, json_t *v) {
    strbuf text = {0};
    bool lines = strcmp(type, "text/event-stream") != 0;
    bool good = v && (!event || strbuf_addf(&text, NULL, "event: %s\n", event) == ERR_OK) &&
                strbuf_add(&text, lines ? (str){0} : STR("data: "), NULL) == ERR_OK &&
                json_write(v, 0, &text, NULL) == ERR_OK &&
                strbuf_add(&text, lines ? STR("\n") : STR("\n\n"), NULL) == ERR_OK;
    good = http_push(c, type, good ? strbuf_str(&text) : (str){0}) && good;
    strbuf_fini(&text);
    json_decref(v);
    return good;
}

bool sse_push(http_call *c, const char *event, json_t *v) { return push_text(c, "text/event-stream", event, v); }

bool sse_done(http_call *c) { return http_push(c, "text/event-stream", STR("data: [DONE]\n\n")); }

bool line_push(http_call *c, json_t *v) { return push_text(c, "application/x-ndjson", NULL, v); }

/* ---- models ---- */

const serve_model *serve_find_name(const serve *s, str name) {
    if (str_ends(name, STR(":latest")))
        name = str_sub(name, 0, name.n - 7);
    for (size_t i = 0; i < s->n_models; i++)
        if (str_is(name, s->model[i].source.name))
            return &s->model[i];
    return NULL;
}

err_code serve_find(serve *s, const json_t *body, const serve_model **out, err *e) {
    const json_t *name = json_get(body, "model");
    *out = &s->model[0];
    if (!name)
        return ERR_OK;
    if (!json_is_string(name))
        return err_set(e, ERR_USAGE, "model: a string is expected");
    *out = serve_find_name(s, json_str_of(name));
    if (*out)
        return ERR_OK;
    return err_set(e, ERR_IO, "model: there is no \"%.*s\" here (GET /v1/models lists what there is)",
                   STR_ARG(json_str_of(name)));
}

err_code serve_tree(serve *s, const serve_model *m, bool special, const token_tree **out, err *e) {
    serve_model *own = m->of ? m->of : &s->model[m - s->model];
    token_tree **tree = &own->tree[special];
    if (!*tree)
        TRY(token_tree_open(tree, m->source.t, special, e));
    *out = *tree;
    return ERR_OK;
}

err_code body_parse(str text, bool list, json_t **out, err *e) {
    const json_limits most = {text.n, SERVE_JSON_DEPTH_MAX, SERVE_JSON_VALUES_MAX}; /* its bytes are bounded already */
    size_t n_values = 0;
    *out = NULL;
    err_code code = json_read_within(text, &most, &n_values, out, e);
    if (code == ERR_OK && (list ? json_is_array(*out) : json_is_object(*out)))
        return ERR_OK;
    if (code == ERR_OK) {
        json_decref(*out);
        *out = NULL;
        code = err_set(e, ERR_USAGE, "a JSON %s is expected", list ? "array" : "object");
    }
    return status_malformed(err_in(e, code, "body"), e);
}

/* ---- opening, closing ---- */

static void refuse(void *ctx, http_call *c, int status, const char *what) {
    (void)ctx;
    reply_error(c, status, status == 404 ? ERR_IO : ERR_USAGE, what);
}

static bool open_path(void *ctx, str path) {
    (void)ctx;
    return str_is(path, "/health") || page_is_path(path);
}

/* The next place, of a model that is to be called so. */
static err_code new_model(serve *s, const char *name, serve_model **out, err *e) {
    if (s->n_models == SERVE_MODELS_MAX)
        return err_set(e, ERR_USAGE, "more than %d models and adapters", SERVE_MODELS_MAX);
    if (serve_find_name(s, str_from(name)))
        return err_set(e, ERR_USAGE, "two models are called \"%s\"", name);
    *out = &s->model[s->n_models++];
    return ERR_OK;
}

static err_code model_begin(serve *s, const serve_source *source, const engine_options *o, err *e) {
    serve_model *m;
    engine_options own = *o;
    TRY(new_model(s, source->name, &m, e));
    m->source = *source;
    m->bytes = model_weight_bytes(source->m);
    m->pooling_code = pooling_of(source->m, &m->pooling, &m->pooling_why);
    if (source->template_source.n > 0) {
        TRY(chat_open(&m->chat, source->t, source->template_source, e));
        TRY(tool_style_learn(&m->tools, m->chat, source->t, source->template_source, e));
        m->thinking = thinking_of(source->template_source);
        m->thinking_special = m->thinking && thinking_is_special(m->thinking, source->t);
    }
    own.pool = source->pool;
    if (s->kept) {
        prefix_files_model_init(&m->kept, s->kept, source->m);
        own.store = &m->kept.store;
    }
    TRY(engine_open(&m->g, source->m, source->t, &own, e));
    return s->kept ? prefix_files_key(source->m, engine_ctx(m->g), &m->kept.key, e)
                   : ERR_OK; /* before the first request */
}

/* Beside a model with adapters: one for each, so that clients can choose by name alone. */
static err_code begin_adapters(serve *s, serve_model *own, err *e) {
    for (size_t i = 0; i < own->source.n_lora; i++) {
        const serve_adapter *a = &own->source.lora[i];
        char name[SERVE_NAME_BYTES];
        serve_model *m;
        atomic_init(&own->scale[i], a->scale);
        snprintf(name, sizeof name, "%s:%s", own->source.name, a->name);
        TRY(new_model(s, name, &m, e));
        *m = *own;
        m->of = own;
        m->i_lora = i;
        memcpy(m->name, name, sizeof name);
        m->source.name = m->name;
    }
    return ERR_OK;
}

err_code serve_open(serve **out, const serve_source *models, size_t n, const serve_options *o, err *e) {
    *out = NULL;
    if (n == 0 || n > SERVE_MODELS_MAX)
        return err_set(e, ERR_USAGE, "%zu models (1 to %d can be served)", n, SERVE_MODELS_MAX);
    serve *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "no memory for the server");
    s->version = o->version;
    s->lineage = o->lineage;
    page_tag_all(&s->tags);
    s->begun = time(NULL);
    engine_options each = o->engine;
    if (each.cache_bytes == 0)
        each.cache_bytes = os_memory_bytes() / (4 * n);
    err_code code = desk_open(&s->desk, e);
    if (code == ERR_OK)
        code = intake_open(&s->intake, s, e);
    if (code == ERR_OK && o->cache_folder)
        code = prefix_files_open(&s->kept, o->cache_folder, o->cache_folder_bytes, e);
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        code = model_begin(s, &models[i], &each, e);
        if (code == ERR_OK)
            code = begin_adapters(s, &s->model[s->n_models - 1], e);
        if (code != ERR_OK)
            err_in(e, code, "%s", models[i].path);
    }
    if (code == ERR_OK) {
        http_options h = o->http;
        h.handle = route_handle;
        h.refuse = refuse;
        h.open_path = open_path;
        h.ctx = s;
        code = http_open(&s->h, &h, e);
    }
    if (code != ERR_OK) {
        serve_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

static void doze(int ms) {
    struct timespec pause = {.tv_nsec = ms * 1000 * 1000};
    nanosleep(&pause, NULL);
}

void serve_drain(serve *s, double seconds, volatile const int *hurry) {
    double end = os_now() + seconds;
    http_quiesce(s->h);
    while (http_busy(s->h) > 0 && os_now() < end && !*hurry)
        doze(20);
}

void serve_close(serve *s) {
    if (!s)
        return;
    if (s->h) {
        http_quiesce(s->h);
        while (http_promised(s->h) > 0) { /* a cancelled request ends after the step under way */
            http_cancel_all(s->h);
            doze(5);
        }
        for (int i = 0; i < 50 && http_busy(s->h) > 0; i++) /* last words go out */
            doze(10);
        http_close(s->h);
    }
    worker_close(s->intake);
    worker_close(s->desk);
    for (size_t i = 0; i < s->n_models; i++) {
        if (s->model[i].of)
            continue;
        engine_close(s->model[i].g);
        chat_close(s->model[i].chat);
        token_tree_close(s->model[i].tree[0]);
        token_tree_close(s->model[i].tree[1]);
    }
    prefix_files_close(s->kept);
    free(s);
}
