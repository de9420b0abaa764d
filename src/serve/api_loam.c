/* api_loam: /tokenize, /detokenize, /tokenizer_info, /apply-template, /health, /metrics.
 *
 * The first three are what lm-evaluation-harness asks of a remote tokenizer; /tokenize also takes llama-server's words
 * ("content", "add_special"). /metrics is Prometheus' text format 0.0.4. Proved by test/e2e/test_serve.py.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "serve/job.h"
#include "serve/route.h"
#include "serve/sandbox.h"
#include "text/utf8.h"

static err_code tokenize(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const serve_model *m;
    str text = {0};
    bool add = json_object_get(body, "prompt") != NULL, parse = false; /* vLLM adds by default, llama-server does not */
    (void)rest;
    TRY(serve_find(s, body, &m, e));
    TRY(param_str(body, "prompt", &text, e));
    TRY(param_str(body, "content", &text, e));
    TRY(param_bool(body, "add_special", &add, e));
    TRY(param_bool(body, "add_special_tokens", &add, e));
    TRY(param_bool(body, "parse_special", &parse, e));
    if (!text.p)
        return err_set(e, ERR_USAGE, "prompt: a text is needed");
    tok_ids ids = {0};
    err_code code =
        tokenizer_encode(m->source.t, text, (add ? TOK_SPECIAL_ADD : 0u) | (parse ? TOK_SPECIAL_PARSE : 0u), &ids, e);
    if (code == ERR_OK) {
        json_t *list = json_array();
        for (size_t i = 0; i < ids.n; i++)
            json_array_append_new(list, json_integer(ids.id[i]));
        reply_json(c, 200,
                   json_pack("{s:o, s:I, s:I}", "tokens", list, "count", (json_int_t)ids.n, "max_model_len",
                             (json_int_t)engine_ctx(m->g)));
    }
    tok_ids_fini(&ids);
    return code;
}

static err_code detokenize(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const serve_model *m;
    const json_t *list = json_object_get(body, "tokens");
    tok_ids ids = {0};
    strbuf raw = {0}, text = {0};
    bool special = true;
    (void)rest;
    TRY(serve_find(s, body, &m, e));
    TRY(param_bool(body, "special", &special, e));
    if (!json_is_array(list))
        return err_set(e, ERR_USAGE, "tokens: a list of token ids is expected");
    err_code code = ERR_OK;
    for (size_t i = 0; i < json_array_size(list) && code == ERR_OK; i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= tokenizer_n_vocab(m->source.t))
            code = err_set(e, ERR_USAGE, "tokens: number %zu is no id of the vocabulary", i);
        else
            code = tok_ids_add(&ids, (int32_t)id, e);
    }
    if (code == ERR_OK)
        code = tokenizer_decode(m->source.t, ids.id, ids.n, special, &raw, e);
    if (code == ERR_OK)
        code = utf8_repair(strbuf_str(&raw), &text, e);
    if (code == ERR_OK)
        reply_json(
            c, 200,
            json_pack("{s:s%, s:s%}", "prompt", text.n ? text.p : "", text.n, "content", text.n ? text.p : "", text.n));
    tok_ids_fini(&ids);
    strbuf_fini(&raw);
    strbuf_fini(&text);
    return code;
}

static json_t *piece_or_null(const tokenizer *t, int32_t id) {
    str piece = id >= 0 ? tokenizer_piece(t, id) : (str){0};
    json_t *v = piece.n > 0 ? json_stringn(piece.p, piece.n) : NULL;
    return v ? v : json_null();
}

static err_code tokenizer_info(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const serve_model *m = &s->model[0];
    const tokenizer *t = m->source.t;
    str source = m->source.template_source;
    (void)body;
    (void)rest;
    (void)e;
    json_t *v = json_pack("{s:s, s:s, s:o, s:o, s:n, s:I, s:I}", "model", m->source.name, "tokenizer_class",
                          tokenizer_kind(t), "bos_token", piece_or_null(t, tokenizer_bos(t)), "eos_token",
                          piece_or_null(t, tokenizer_eos(t)), "pad_token", "vocab_size",
                          (json_int_t)tokenizer_n_vocab(t), "max_model_len", (json_int_t)engine_ctx(m->g));
    json_t *template = source.n > 0 ? json_stringn(source.p, source.n) : NULL;
    json_object_set_new(v, "chat_template", template ? template : json_null());
    reply_json(c, 200, v);
    return ERR_OK;
}

static err_code render(serve *s, const json_t *body, turns *t, strbuf *text, err *e) {
    const serve_model *m;
    const json_t *vars = json_get(body, "chat_template_kwargs");
    tool_talk fitted;
    tool_wish w = {0};
    bool answer = true;
    TRY(serve_find(s, body, &m, e));
    TRY(param_bool(body, "add_generation_prompt", &answer, e));
    if (!m->chat)
        return err_set(e, ERR_UNSUPPORTED, "%s has no chat template", m->source.name);
    if (vars && !json_is_object(vars))
        return err_set(e, ERR_USAGE, "chat_template_kwargs: an object is expected");
    TRY(tools_openai(body, t->keep, &w, e));
    TRY(turns_chat(t, json_object_get(body, "messages"), (str){0}, e));
    chat_options o = serve_chat_options(m, vars, answer);
    TRY(tool_turns(&m->tools, t->m, t->n, w.list, t->mem, t->keep, &fitted, e));
    o.tools = fitted.tools;
    return chat_render(m->chat, fitted.m, fitted.n, &o, text, e);
}

static err_code apply_template(serve *s, http_call *c, json_t *body, str rest, err *e) {
    arena mem = {0};
    strbuf text = {0};
    turns t = {.mem = &mem, .keep = json_array()};
    (void)rest;
    err_code code = t.keep ? render(s, body, &t, &text, e) : err_set(e, ERR_MEMORY, "no memory for the request");
    if (code == ERR_OK)
        reply_json(c, 200, json_pack("{s:s%}", "prompt", text.n ? text.p : "", text.n));
    strbuf_fini(&text);
    json_decref(t.keep);
    arena_fini(&mem);
    return code;
}

static err_code health(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)s;
    (void)body;
    (void)rest;
    (void)e;
    reply_json(c, 200, json_pack("{s:s}", "status", "ok"));
    return ERR_OK;
}

/* ---- metrics ---- */

typedef struct {
    const char *name, *type, *help;
    size_t at;
    bool wide; /* uint64_t, else size_t */
} metric;

#define AT(field) offsetof(engine_stats, field)
static const metric metrics[] = {
    {"loam_requests_running", "gauge", "requests being computed", AT(running), false},
    {"loam_requests_queued", "gauge", "requests that wait", AT(queued), false},
    {"loam_requests_total", "counter", "requests taken", AT(requests), true},
    {"loam_prompt_tokens_total", "counter", "prompt tokens, cached ones included", AT(prompt_tokens), true},
    {"loam_cached_tokens_total", "counter", "prompt tokens that came from the cache", AT(cached_tokens), true},
    {"loam_generated_tokens_total", "counter", "tokens generated", AT(generated_tokens), true},
    {"loam_steps_total", "counter", "passes over the weights", AT(steps), true},
    {"loam_cache_bytes", "gauge", "keys and values held", AT(cache_bytes), false},
    {"loam_cache_bytes_max", "gauge", "keys and values that may be held", AT(cache_bytes_max), false},
};
#undef AT

/* A label's value: backslash, quote and line break are escaped. */
static err_code label(const char *name, strbuf *out, err *e) {
    for (; *name; name++) {
        if (*name == '\\' || *name == '"')
            TRY(strbuf_addc(out, '\\', e));
        TRY(*name == '\n' ? strbuf_add(out, STR("\\n"), e) : strbuf_addc(out, *name, e));
    }
    return ERR_OK;
}

static err_code model_metrics(serve *s, const engine_stats *stats, strbuf *out, err *e) {
    for (size_t k = 0; k < sizeof metrics / sizeof *metrics; k++) {
        const metric *m = &metrics[k];
        TRY(strbuf_addf(out, e, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type));
        for (size_t i = 0; i < s->n_models; i++) {
            if (s->model[i].of) /* counted with that */
                continue;
            const char *at = (const char *)&stats[i] + m->at;
            uint64_t x = m->wide ? *(const uint64_t *)(const void *)at : *(const size_t *)(const void *)at;
            TRY(strbuf_addf(out, e, "%s{model=\"", m->name));
            TRY(label(s->model[i].source.name, out, e));
            TRY(strbuf_addf(out, e, "\"} %" PRIu64 "\n", x));
        }
    }
    return ERR_OK;
}

static err_code http_metrics(serve *s, strbuf *out, err *e) {
    http_stats h;
    http_stats_get(s->h, &h);
    TRY(strbuf_addf(out, e,
                    "# HELP loam_http_connections open connections\n# TYPE loam_http_connections gauge\n"
                    "loam_http_connections %" PRIu64 "\n"
                    "# HELP loam_http_requests_total requests received\n# TYPE loam_http_requests_total counter\n"
                    "loam_http_requests_total %" PRIu64 "\n"
                    "# HELP loam_http_evicted_total idle connections closed to make room\n"
                    "# TYPE loam_http_evicted_total counter\nloam_http_evicted_total %" PRIu64 "\n"
                    "# HELP loam_http_responses_total answers by status\n# TYPE loam_http_responses_total counter\n",
                    h.connections_now, h.requests, h.evicted));
    for (int i = 2; i < 6; i++)
        TRY(strbuf_addf(out, e, "loam_http_responses_total{status=\"%dxx\"} %" PRIu64 "\n", i, h.status[i]));
    return ERR_OK;
}

static err_code sandbox_metrics(serve *s, strbuf *out, err *e) {
    static const struct {
        unsigned part;
        const char *name;
    } parts[] = {{SANDBOX_FILES, "files"}, {SANDBOX_TCP, "tcp"}, {SANDBOX_SCOPE, "scope"}, {SANDBOX_CALLS, "calls"}};
    unsigned on = atomic_load(&s->sandbox);
    TRY(strbuf_addf(out, e,
                    "# HELP loam_sandbox 1: this part of the sandbox is in force\n# TYPE loam_sandbox gauge\n"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        TRY(strbuf_addf(out, e, "loam_sandbox{part=\"%s\"} %d\n", parts[i].name, (on & parts[i].part) != 0));
    return ERR_OK;
}

static err_code kept_metrics(serve *s, strbuf *out, err *e) {
    prefix_files_stats k = {0};
    if (!s->kept)
        return ERR_OK;
    prefix_files_stats_get(s->kept, &k);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } all[] = {
        {"loam_kept_files", "gauge", "prefixes in files", k.files},
        {"loam_kept_bytes", "gauge", "bytes of these files", k.bytes},
        {"loam_kept_bytes_max", "gauge", "bytes that they may take", k.bytes_max},
        {"loam_kept_hits_total", "counter", "prompts that began with one", k.hits},
        {"loam_kept_written_total", "counter", "files written", k.written},
        {"loam_kept_skipped_total", "counter", "prefixes not kept: another was being written, or it could not be",
         k.skipped},
        {"loam_kept_refused_total", "counter", "files that were damaged, and removed", k.refused},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(strbuf_addf(out, e, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", all[i].name, all[i].help, all[i].name,
                        all[i].type, all[i].name, all[i].value));
    return ERR_OK;
}

static err_code prometheus(serve *s, http_call *c, json_t *body, str rest, err *e) {
    engine_stats stats[SERVE_MODELS_MAX];
    strbuf text = {0};
    (void)body;
    (void)rest;
    for (size_t i = 0; i < s->n_models; i++)
        engine_stats_get(s->model[i].g, &stats[i]);
    err_code code = model_metrics(s, stats, &text, e);
    if (code == ERR_OK)
        code = http_metrics(s, &text, e);
    if (code == ERR_OK)
        code = sandbox_metrics(s, &text, e);
    if (code == ERR_OK)
        code = kept_metrics(s, &text, e);
    if (code == ERR_OK)
        http_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", strbuf_str(&text));
    strbuf_fini(&text);
    return code;
}

const route routes_loam[] = {
    {"GET", "/health", health},
    {"GET", "/metrics", prometheus},
    {"POST", "/tokenize", tokenize},
    {"POST", "/detokenize", detokenize},
    {"GET", "/tokenizer_info", tokenizer_info},
    {"POST", "/apply-template", apply_template},
    {0},
};
