/* api_lineage: /loam/models, trace, runs, card, data: what the models served are made of.
 *
 *   GET  /loam/models                 the models: memory, context, whether they converse, their run and data
 *   POST /loam/trace                  {"text", "model" or "data", "docs", "top", "min_words"}: as `loam trace --json`
 *   GET  /loam/runs, /loam/runs/NAME  as `loam runs --json`; one of them with its curves, chain and recipe
 *   GET  /loam/card/MODEL             as `loam card --json`; ?form=markdown or html
 *   GET  /loam/data, /loam/data/NAME  the names; a summary; with ?offset= a page of documents (text, licence, source
 *                                     choose, limit)
 *   GET  /loam/data/NAME/ID           one document with its text
 *
 * All but the first are the desk's work. Names are looked up in lineage.h; no path comes from a client. Proved by
 * test/e2e/test_lineage.py.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "card/bom.h"
#include "card/page.h"
#include "serve/desk.h"
#include "serve/lineage.h"
#include "serve/params.h"
#include "serve/route.h"
#include "train/answers.h"
#include "view/runs.h"
#include "view/traced.h"

enum {
    TRACE_TEXT_BYTES_MAX = 64 << 10,
    TRACE_DOCS_MAX = 100,
    TRACE_TOP_MAX = 1000,
    TRACE_CONTEXT_BYTES = 160,
    CURVE_POINTS_MAX = 800,
    NAME_BYTES = 128
};

/* ---- models ---- */

static const lineage_place *run_of(const serve *s, const serve_model *m) {
    return m->source.run ? lineage_run(s->lineage, str_from(m->source.run)) : NULL;
}

/* What a question is followed by, when the model learned to answer: "A:" of "A:,Plan:". */
static json_t *marks_of(const lineage_place *p) {
    json_t *list = json_array();
    for (const char *at = p ? p->answers : ""; *at;) {
        size_t n = strcspn(at, ",");
        json_array_append_new(list, json_stringn(at, n));
        at += n + (at[n] == ',');
    }
    return list;
}

static json_t *model_json(const serve *s, const serve_model *m) {
    const model_config *k = model_config_of(m->source.m);
    size_t ctx = engine_ctx(m->g);
    engine_stats stats;
    engine_stats_get(m->g, &stats);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:s?, s:o}", "id", m->source.name, "family",
                     k->arch->name, "weights_bytes", (json_int_t)m->bytes, "context", (json_int_t)ctx,
                     "context_trained", (json_int_t)k->ctx_train, "context_bytes",
                     (json_int_t)model_kv_bytes(m->source.m, ctx), "cache_bytes_max", (json_int_t)stats.cache_bytes_max,
                     "chat", m->chat != NULL, "run", m->source.run, "answers", marks_of(run_of(s, m)));
}

static err_code models(serve *s, http_call *c, json_t *body, str rest, err *e) {
    json_t *list = json_array();
    (void)body;
    (void)rest;
    (void)e;
    for (size_t i = 0; i < s->n_models; i++)
        json_array_append_new(list, model_json(s, &s->model[i]));
    reply_json(c, 200, json_pack("{s:s, s:o}", "version", s->version, "models", list));
    return ERR_OK;
}

/* ---- what a client says ---- */

static err_code copy_name(char to[NAME_BYTES], str name, err *e) {
    if (name.n >= NAME_BYTES || memchr(name.p ? name.p : "", 0, name.n))
        return err_set(e, ERR_IO, "there is nothing of this name here");
    if (name.n)
        memcpy(to, name.p, name.n);
    to[name.n] = 0;
    return ERR_OK;
}

static err_code argument_int(const http_call *c, const char *name, int64_t max, int64_t *x, err *e) {
    const char *text = http_argument(c, name);
    char *end;
    if (!text)
        return ERR_OK;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (!*text || *end || errno || v < 0 || v > max)
        return err_set(e, ERR_USAGE, "%s: a number from 0 to %lld is expected", name, (long long)max);
    *x = v;
    return ERR_OK;
}

/* ---- trace ---- */

typedef struct {
    char data[NAME_BYTES];
    spans_options o;
    size_t n;
    char text[];
} trace_args;

static void trace_json(const char *data, const traced *found, js_out *j) {
    js_begin(j, '{');
    js_key(j, "data");
    js_text(j, str_from(data));
    js_key(j, "run");
    js_flag(j, found->t->run.path != NULL);
    traced_json(found, true, j);
    js_end(j, '}');
}

static err_code run_trace(errand *x, err *e) {
    trace_args *a = x->args;
    tracer *t;
    err why = {0};
    traced found = {0};
    TRY(lineage_open(x->s->lineage, str_from(a->data), &t, &why, e));
    if (!t->index)
        return err_set(e, why.code, "%s", why.text);
    a->o.stop = &x->stop;
    err_code code = traced_find(&found, t, (str){a->text, a->n}, &a->o, e);
    if (code == ERR_OK)
        code = traced_look_up(&found, TRACE_CONTEXT_BYTES, e);
    if (code == ERR_OK)
        trace_json(a->data, &found, &x->answer);
    traced_fini(&found);
    return code;
}

/* The data named, those of the model named, or the first. */
static err_code data_name(serve *s, const json_t *body, char to[NAME_BYTES], err *e) {
    const serve_model *m;
    str name = {0};
    TRY(param_str(body, "data", &name, e));
    TRY(serve_find(s, body, &m, e));
    if (!name.p && m->source.run)
        name = str_from(m->source.run);
    if (!name.p && s->lineage->n_data)
        name = str_from(s->lineage->data[0].name);
    if (!name.p)
        return err_set(
            e, ERR_UNSUPPORTED,
            "no data are known here to trace in (start the server with a run folder as model, or with --data "
            "D.db)");
    return copy_name(to, name, e);
}

static err_code trace(serve *s, http_call *c, json_t *body, str rest, err *e) {
    str text = {0};
    int64_t n_docs = 10, top = 100, words = 1;
    char data[NAME_BYTES];
    (void)rest;
    TRY(param_str(body, "text", &text, e));
    TRY(param_int(body, "docs", 0, TRACE_DOCS_MAX, &n_docs, e));
    TRY(param_int(body, "top", 1, TRACE_TOP_MAX, &top, e));
    TRY(param_int(body, "min_words", 1, TRACE_TEXT_BYTES_MAX, &words, e));
    if (!text.p)
        return err_set(e, ERR_USAGE, "text: a text is needed");
    if (text.n > TRACE_TEXT_BYTES_MAX)
        return err_set(e, ERR_USAGE, "text: %zu bytes; at most %d are traced at a time", text.n, TRACE_TEXT_BYTES_MAX);
    TRY(data_name(s, body, data, e));
    errand *x = errand_new(s, run_trace, sizeof(trace_args) + text.n);
    if (x) {
        trace_args *a = x->args;
        memcpy(a->data, data, sizeof data);
        a->o = (spans_options){.docs_max = (size_t)n_docs, .words_min = (size_t)words, .most = (size_t)top};
        a->n = text.n;
        if (text.n)
            memcpy(a->text, text.p, text.n);
    }
    return desk_send(s->desk, c, x, e);
}

/* ---- runs ---- */

static err_code run_runs(errand *x, err *e) {
    const lineage *l = x->s->lineage;
    js_begin(&x->answer, '[');
    for (size_t i = 0; i < l->n_runs; i++) {
        runs_row r = {.path = l->run[i].path};
        if (x->stop)
            return err_set(e, ERR_CANCELLED, "stopped");
        runs_look(&r);
        runs_row_json(&r, str_from(l->run[i].name), false, &x->answer);
    }
    js_end(&x->answer, ']');
    return ERR_OK;
}

static err_code runs(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    (void)rest;
    return desk_send(s->desk, c, errand_new(s, run_runs, 0), e);
}

static err_code run_run(errand *x, err *e) {
    const lineage_place *p = lineage_run(x->s->lineage, str_from(x->args));
    if (!p)
        return err_set(e, ERR_IO, "there is no run \"%s\" here (GET /loam/runs lists what there is)", (char *)x->args);
    return runs_json(p->path, str_from(p->name), CURVE_POINTS_MAX, &x->answer, e);
}

/* An errand about what `rest` names. */
static err_code send_name(serve *s, http_call *c, str rest, err_code (*work)(errand *x, err *e), err *e) {
    char name[NAME_BYTES];
    TRY(copy_name(name, rest, e));
    errand *x = errand_new(s, work, sizeof name);
    if (x)
        memcpy(x->args, name, sizeof name);
    return desk_send(s->desk, c, x, e);
}

static err_code one_run(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    return send_name(s, c, rest, run_run, e);
}

/* ---- cards ---- */

typedef struct {
    const serve_model *m;
    enum { FORM_JSON, FORM_MARKDOWN, FORM_HTML } form;
} card_args;

static err_code write_card(const card_args *a, card_facts *f, strbuf *out, err *e) {
    openness o;
    page p;
    TRY(openness_of(f, &o, e));
    if (a->form == FORM_JSON)
        return summary_write(f, &o, out, e);
    TRY(page_of(&p, f, &o, e));
    return a->form == FORM_HTML ? html_write(&p, out, e) : markdown_write(&p, out, e);
}

static err_code run_card(errand *x, err *e) {
    static const char *const types[] = {"application/json", "text/markdown; charset=utf-8", "text/html; charset=utf-8"};
    const card_args *a = x->args;
    const lineage_place *by = run_of(x->s, a->m);
    facts_options o = {.created = -1, .stop = &x->stop};
    card_facts f;
    TRY(facts_open(&f, by ? by->path : a->m->source.path, &o, e));
    err_code code = write_card(a, &f, &x->answer.text, e);
    facts_close(&f);
    x->type = types[a->form];
    return code;
}

static err_code card(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const char *form = http_argument(c, "form");
    const serve_model *m = serve_find_name(s, rest);
    (void)body;
    if (!m)
        return err_set(e, ERR_IO, "there is no model \"%.*s\" here", STR_ARG(rest));
    card_args a = {.m = m, .form = FORM_JSON};
    if (form && strcmp(form, "markdown") == 0)
        a.form = FORM_MARKDOWN;
    else if (form && strcmp(form, "html") == 0)
        a.form = FORM_HTML;
    else if (form && strcmp(form, "json") != 0)
        return err_set(e, ERR_USAGE, "form: json, markdown or html is expected");
    if (a.form == FORM_HTML) /* a page of its own, with its own style and nothing that runs */
        http_add_header(c, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    errand *x = errand_new(s, run_card, sizeof a);
    if (x)
        memcpy(x->args, &a, sizeof a);
    return desk_send(s->desk, c, x, e);
}

/* ---- data ---- */

static err_code data_sets(serve *s, http_call *c, json_t *body, str rest, err *e) {
    json_t *list = json_array();
    (void)body;
    (void)rest;
    (void)e;
    for (size_t i = 0; i < s->lineage->n_data; i++) {
        const lineage_place *p = &s->lineage->data[i];
        json_array_append_new(
            list, json_pack("{s:s, s:b}", "name", p->name, "run", lineage_run(s->lineage, str_from(p->name)) != NULL));
    }
    reply_json(c, 200, json_pack("{s:o}", "data", list));
    return ERR_OK;
}

typedef struct {
    char name[NAME_BYTES], licence[NAME_BYTES], source[NAME_BYTES], text[NAME_BYTES];
    int64_t id; /* 0: none */
    bool page;
    library_query q;
} data_args;

static err_code run_data(errand *x, err *e) {
    data_args *a = x->args;
    tracer *t;
    err why = {0};
    TRY(lineage_open(x->s->lineage, str_from(a->name), &t, &why, e));
    if (a->id)
        return library_document(t, a->id, &x->answer, e);
    if (!a->page)
        return library_summary(t, &x->stop, &x->answer, e);
    a->q.stop = &x->stop;
    return library_list(t, &a->q, &x->answer, e);
}

/* A filter of the query; *to stays empty without it. */
static err_code filter(const http_call *c, const char *name, char kept[NAME_BYTES], str *to, err *e) {
    const char *text = http_argument(c, name);
    if (!text)
        return ERR_OK;
    if (strlen(text) >= NAME_BYTES)
        return err_set(e, ERR_USAGE, "%s: at most %d bytes are looked for", name, NAME_BYTES - 1);
    memcpy(kept, text, strlen(text) + 1);
    *to = str_from(kept);
    return ERR_OK;
}

static err_code read_data(const http_call *c, str rest, data_args *a, err *e) {
    int64_t offset = 0, limit = 20;
    str name = rest;
    for (size_t i = rest.n; i-- > 0 && !a->id;)
        if (rest.p[i] == '/') {
            char digits[20] = "";
            str id = str_sub(rest, i + 1, rest.n);
            name = str_sub(rest, 0, i);
            if (id.n == 0 || id.n > 15)
                return err_set(e, ERR_IO, "there is no such document");
            memcpy(digits, id.p, id.n);
            a->id = strspn(digits, "0123456789") == id.n ? strtoll(digits, NULL, 10) : 0;
            if (a->id == 0)
                return err_set(e, ERR_IO, "there is no such document");
        }
    TRY(copy_name(a->name, name, e));
    a->page = http_argument(c, "offset") != NULL;
    TRY(argument_int(c, "offset", INT32_MAX, &offset, e));
    TRY(argument_int(c, "limit", LIBRARY_ROWS_MAX, &limit, e));
    a->q.offset = (size_t)offset;
    a->q.limit = (size_t)limit;
    TRY(filter(c, "licence", a->licence, &a->q.licence, e));
    TRY(filter(c, "source", a->source, &a->q.source, e));
    TRY(filter(c, "text", a->text, &a->q.text, e));
    if (a->q.text.n == 0)
        a->q.text = (str){0};
    return ERR_OK;
}

static err_code data(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    errand *x = errand_new(s, run_data, sizeof(data_args));
    err_code code = x ? read_data(c, rest, x->args, e) : ERR_OK;
    if (code == ERR_OK)
        return desk_send(s->desk, c, x, e);
    errand_free(x);
    return code;
}

const route routes_lineage[] = {
    {"GET", "/loam/models", models}, {"POST", "/loam/trace", trace},
    {"GET", "/loam/runs", runs},     {"GET", "/loam/runs/*", one_run},
    {"GET", "/loam/card/*", card},   {"GET", "/loam/data", data_sets},
    {"GET", "/loam/data/*", data},   {0},
};
