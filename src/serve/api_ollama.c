/* api_ollama: /api/tags, ps, version, show, chat, generate.
 *
 * Shapes: ollama's docs/api.md. Streams are lines of JSON, and the default. Options have Ollama's defaults (temperature
 * 0.8, top_k 40, top_p 0.9). A context asked for that is larger than the server's is an error. Proved by
 * test/e2e/test_serve.py.
 */
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/os.h"
#include "serve/form.h"
#include "serve/job.h"
#include "serve/route.h"

static json_t *now_text(time_t t) {
    char text[OS_UTC_BYTES];
    os_utc(t, text);
    return json_string(text);
}

/* ---- models ---- */

static str tensor_format(const serve_model *m) { return model_gguf(m->source.m) ? STR("gguf") : STR("safetensors"); }

static json_t *details(const serve_model *m) {
    const model_config *k = model_config_of(m->source.m);
    str format = tensor_format(m);
    return json_pack("{s:s, s:s%, s:s, s:[s], s:s, s:s}", "parent_model", "", "format", format.p, format.n, "family",
                     k->arch->name, "families", k->arch->name, "parameter_size", "", "quantization_level", "");
}

static json_t *listed(const serve *s, const serve_model *m, bool loaded) {
    char hex[65];
    hash_hex(hash_of(m->source.name, strlen(m->source.name)), hex); /* of the name: the file is not read for this */
    json_t *v = json_pack("{s:s, s:s, s:I, s:s, s:o}", "name", m->source.name, "model", m->source.name, "size",
                          (json_int_t)m->bytes, "digest", hex, "details", details(m));
    if (loaded) {
        json_object_set_new(v, "expires_at", json_string("2318-04-09T00:00:00Z")); /* never */
        json_object_set_new(v, "size_vram", json_integer(0));
        json_object_set_new(v, "context_length", json_integer((json_int_t)engine_ctx(m->g)));
    } else
        json_object_set_new(v, "modified_at", now_text((time_t)s->begun));
    return v;
}

static err_code list(serve *s, http_call *c, bool loaded) {
    json_t *models = json_array();
    for (size_t i = 0; i < s->n_models; i++)
        json_array_append_new(models, listed(s, &s->model[i], loaded));
    reply_json(c, 200, json_pack("{s:o}", "models", models));
    return ERR_OK;
}

static err_code tags(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    (void)rest;
    (void)e;
    return list(s, c, false);
}

static err_code ps(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    (void)rest;
    (void)e;
    return list(s, c, true);
}

static err_code version(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)body;
    (void)rest;
    (void)e;
    reply_json(c, 200, json_pack("{s:s}", "version", s->version));
    return ERR_OK;
}

static err_code show(serve *s, http_call *c, json_t *body, str rest, err *e) {
    str name = json_get_str(body, "model", json_get_str(body, "name", (str){0}));
    const serve_model *m = serve_find_name(s, name);
    (void)rest;
    if (!m)
        return err_set(e, ERR_IO, "model \"%.*s\" not found", STR_ARG(name));
    const model_config *k = model_config_of(m->source.m);
    str template = m->source.template_source;
    json_t *info =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "general.architecture", k->arch->name, "context_length",
                  (json_int_t)k->ctx_train, "embedding_length", (json_int_t)k->D, "block_count", (json_int_t)k->L,
                  "attention.head_count", (json_int_t)k->H, "vocab_size", (json_int_t)k->V);
    json_t *v = json_pack("{s:s, s:s, s:o, s:o, s:[s], s:o}", "modelfile", "", "parameters", "", "details", details(m),
                          "model_info", info, "capabilities", "completion", "modified_at", now_text((time_t)s->begun));
    if (m->chat)
        json_array_append_new(json_object_get(v, "capabilities"), json_string("tools"));
    if (m->thinking)
        json_array_append_new(json_object_get(v, "capabilities"), json_string("thinking"));
    json_t *source = template.n > 0 ? json_stringn(template.p, template.n) : NULL;
    json_object_set_new(v, "template", source ? source : json_string(""));
    if (m->pooling_code == ERR_OK && m->pooling.stated)
        json_array_append_new(json_object_get(v, "capabilities"), json_string("embedding"));
    reply_json(c, 200, v);
    return ERR_OK;
}

/* ---- chat, generate ---- */

static err_code read_options(job *j, err *e) {
    static const char *const refused[] = {"images", "suffix", "context", NULL};
    const json_t *o = json_get(j->body, "options");
    int64_t predict = -1, ctx = 0;
    j->p.sampling.temperature = 0.8F;
    j->p.sampling.top_k = 40;
    j->p.sampling.top_p = 0.9F;
    j->p.sampling.penalty_last_n = 64;
    j->p.stream = true;
    TRY(param_refuse(j->body, refused, e));
    TRY(param_bool(j->body, "stream", &j->p.stream, e));
    TRY(form_ollama(j->body, &j->p.grammar, e));
    TRY(think_ollama(j->body, j->m->thinking != NULL, &j->think, e));
    if (!o)
        return ERR_OK;
    if (!json_is_object(o))
        return err_set(e, ERR_USAGE, "options: an object is expected");
    TRY(params_sampling(o, &j->p, e));
    TRY(param_stop(o, "stop", &j->p, e));
    TRY(param_int(o, "num_predict", -2, INT32_MAX, &predict, e)); /* -1: no limit, -2: fill the context */
    TRY(param_int(o, "num_ctx", 0, INT32_MAX, &ctx, e));
    if ((size_t)ctx > engine_ctx(j->m->g))
        return err_set(e, ERR_USAGE, "num_ctx: %d is more than the context that is served, %zu (loam serve --ctx N)",
                       (int)ctx, engine_ctx(j->m->g));
    j->p.n_max = predict > 0 ? (size_t)predict : 0;
    j->p.nothing = predict == 0;
    return ERR_OK;
}

static err_code read_chat(job *j, err *e) {
    turns t = job_turns(j);
    TRY(read_options(j, e));
    TRY(tools_ollama(j->body, j->keep, &j->tools, e));
    TRY(turns_chat(&t, json_object_get(j->body, "messages"), (str){0}, e));
    return job_add_chat(j, &t, true, NULL, e);
}

static err_code read_generate(job *j, err *e) {
    static const char *const refused[] = {"tools", NULL};
    bool raw = false;
    str prompt = {0}, system = {0};
    j->aux = true; /* the text is "response", not a message */
    TRY(read_options(j, e));
    TRY(param_refuse(j->body, refused, e));
    TRY(param_bool(j->body, "raw", &raw, e));
    TRY(param_str(j->body, "prompt", &prompt, e));
    TRY(param_str(j->body, "system", &system, e));
    if (raw || !j->m->chat)
        return job_add_text(j, prompt, TOK_SPECIAL_ADD, e);
    turns t = job_turns(j);
    if (system.n > 0)
        TRY(turns_add(&t, "system", system, e));
    TRY(turns_add(&t, "user", prompt, e));
    return job_add_chat(j, &t, true, NULL, e);
}

static json_t *line(const job *j, str text, bool done) {
    json_t *v =
        json_pack("{s:s, s:o, s:b}", "model", j->m->source.name, "created_at", now_text(time(NULL)), "done", done);
    json_t *said = json_stringn(text.n ? text.p : "", text.n);
    if (j->aux)
        json_object_set_new(v, "response", said);
    else
        json_object_set_new(v, "message", json_pack("{s:s, s:o}", "role", "assistant", "content", said));
    return v;
}

static json_t *call_json(const job_part *p) {
    json_t *arguments = NULL;
    if (json_read(strbuf_str(&p->own), TOOL_CALL_BYTES_MAX, &arguments, NULL) != ERR_OK)
        arguments = json_object(); /* it was read once: memory is short */
    return json_pack("{s:{s:s%, s:o}}", "function", "name", p->name.p, p->name.n, "arguments", arguments);
}

static void put_thought(json_t *line, const job *j, str text) {
    json_t *in = j->aux ? line : json_object_get(line, "message");
    if (text.n > 0)
        json_object_set_new(in, "thinking", json_stringn(text.p, text.n));
}

static bool thought(job_choice *c, const job_part *p, str text) {
    json_t *v = line(c->j, (str){0}, false);
    (void)p;
    put_thought(v, c->j, text);
    return line_push(c->j->call, v);
}

/* A call goes out when it is whole. */
static bool end_part(job_choice *c, const job_part *p) {
    if (p->kind != PART_CALL)
        return true;
    json_t *v = line(c->j, (str){0}, false);
    json_object_set_new(json_object_get(v, "message"), "tool_calls", json_pack("[o]", call_json(p)));
    return line_push(c->j->call, v);
}

static void add_calls(const job_choice *c, json_t *message) {
    json_t *calls = json_array();
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->part[i].kind == PART_CALL)
            json_array_append_new(calls, call_json(&c->part[i]));
    if (json_array_size(calls) > 0)
        json_object_set(message, "tool_calls", calls);
    json_decref(calls);
}

static json_int_t nanoseconds(double seconds) { return (json_int_t)(seconds * 1e9); }

static json_t *last_line(const job *j, str text) {
    const job_choice *c = &j->choice[0];
    json_t *v = line(j, text, true);
    json_t *counts = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "done_reason", job_ended_by_text(c) ? "stop" : "length",
        "total_duration", nanoseconds(os_now() - j->begun), "load_duration", (json_int_t)0, "prompt_eval_count",
        (json_int_t)c->result.n_prompt, "prompt_eval_duration", nanoseconds(c->result.prefill_seconds), "eval_count",
        (json_int_t)c->result.n_generated, "eval_duration", nanoseconds(c->result.decode_seconds));
    json_object_update(v, counts);
    json_decref(counts);
    return v;
}

static bool piece(job_choice *c, str text) { return text.n == 0 || line_push(c->j->call, line(c->j, text, false)); }

static void finish(job *j) {
    if (!j->p.stream) {
        json_t *v = last_line(j, job_text(&j->choice[0]));
        put_thought(v, j, job_thought(&j->choice[0]));
        add_calls(&j->choice[0], json_object_get(v, "message"));
        reply_json(j->call, 200, v);
        return;
    }
    line_push(j->call, last_line(j, (str){0}));
    http_end(j->call);
}

static void fail(job *j, const err *e) { line_push(j->call, error_json(API_OLLAMA, 500, e->code, e->text)); }

static const job_dialect chat_dialect = {
    .read = read_chat, .piece = piece, .end = end_part, .thought = thought, .finish = finish, .fail = fail};
static const job_dialect generate_dialect = {
    .read = read_generate, .piece = piece, .thought = thought, .finish = finish, .fail = fail};

/* A request without a text asks for the model to be loaded, which it is. */
static err_code answer_loaded(serve *s, http_call *c, const json_t *body, bool chat, err *e) {
    const serve_model *m;
    TRY(serve_find(s, body, &m, e));
    json_t *v = json_pack("{s:s, s:o, s:b, s:s}", "model", m->source.name, "created_at", now_text(time(NULL)), "done",
                          1, "done_reason", "load");
    if (chat)
        json_object_set_new(v, "message", json_pack("{s:s, s:s}", "role", "assistant", "content", ""));
    else
        json_object_set_new(v, "response", json_string(""));
    reply_json(c, 200, v);
    return ERR_OK;
}

static err_code chat(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const json_t *messages = json_object_get(body, "messages");
    (void)rest;
    if (json_is_array(messages) && json_array_size(messages) == 0)
        return answer_loaded(s, c, body, true, e);
    return job_run(s, c, body, &chat_dialect, e);
}

static err_code generate(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    if (json_get_str(body, "prompt", (str){0}).n == 0)
        return answer_loaded(s, c, body, false, e);
    return job_run(s, c, body, &generate_dialect, e);
}

const route routes_ollama[] = {
    {"GET", "/api/tags", tags},
    {"GET", "/api/ps", ps},
    {"GET", "/api/version", version},
    {"POST", "/api/show", show},
    {"POST", "/api/chat", chat},
    {"POST", "/api/generate", generate},
    {0},
};
