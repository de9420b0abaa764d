/* api_anthropic: /v1/messages, /v1/messages/count_tokens.
 *
 * Shapes: docs.anthropic.com/en/api/messages. A stream: message_start, for each part of the answer content_block_start,
 * content_block_delta ..., content_block_stop; then message_delta, message_stop. Proved by test/e2e/test_serve.py.
 */
#include <string.h>

#include "serve/form.h"
#include "serve/job.h"
#include "serve/route.h"

static err_code read_messages(job *j, err *e) {
    static const char *const refused[] = {"mcp_servers", "container", NULL};
    str system;
    TRY(param_refuse(j->body, refused, e));
    TRY(think_anthropic(j->body, j->m->thinking != NULL, j->m->source.template_vars, &j->think, e));
    TRY(params_content(json_object_get(j->body, "system"), &j->mem, &system, e));
    TRY(tools_anthropic(j->body, j->keep, &j->tools, e));
    turns t = job_turns(j);
    TRY(turns_anthropic(&t, json_object_get(j->body, "messages"), system, e));
    return job_add_chat(j, &t, true, NULL, e);
}

static err_code read_request(job *j, err *e) {
    int64_t n_max = 0;
    if (!json_object_get(j->body, "max_tokens"))
        return err_set(e, ERR_USAGE, "max_tokens: Field required");
    TRY(param_int(j->body, "max_tokens", 1, INT32_MAX, &n_max, e));
    TRY(params_sampling(j->body, &j->p, e));
    TRY(param_stop(j->body, "stop_sequences", &j->p, e));
    TRY(param_bool(j->body, "stream", &j->p.stream, e));
    j->p.n_max = (size_t)n_max;
    TRY(form_anthropic(j->body, &j->p.grammar, e));
    return read_messages(j, e);
}

static json_t *usage(const job *j, size_t answer) {
    size_t cached = job_cached_tokens(j), prompt = job_prompt_tokens(j);
    return json_pack("{s:I, s:I, s:I, s:I}", "input_tokens", (json_int_t)(prompt - cached), "cache_read_input_tokens",
                     (json_int_t)cached, "cache_creation_input_tokens", (json_int_t)0, "output_tokens",
                     (json_int_t)answer);
}

/* content, stop_reason and stop_sequence are taken. */
static json_t *message(const job *j, json_t *content, json_t *reason, json_t *sequence, size_t answer) {
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "id",
                     json_sprintf("msg_%llx%08llx", (unsigned long long)j->s->begun, (unsigned long long)j->id), "type",
                     "message", "role", "assistant", "model", j->m->source.name, "content", content, "stop_reason",
                     reason, "stop_sequence", sequence, "usage", usage(j, answer));
}

static json_t *reason_of(const job_choice *c, json_t **sequence) {
    str found = job_stop_found(c);
    *sequence = found.n > 0 ? json_stringn(found.p, found.n) : json_null();
    if (found.n > 0)
        return json_string("stop_sequence");
    return json_string(job_called(c) ? "tool_use" : job_ended_by_text(c) ? "end_turn" : "max_tokens");
}

static bool open_stream(job *j) {
    json_t *start = message(j, json_array(), json_null(), json_null(), 0);
    return sse_push(j->call, "message_start", json_pack("{s:s, s:o}", "type", "message_start", "message", start)) &&
           sse_push(j->call, "ping", json_pack("{s:s}", "type", "ping"));
}

static json_int_t last_index(const job_choice *c) { return (json_int_t)c->n_parts - 1; }

static bool begin_part(job_choice *c, const job_part *p) {
    json_t *block = p->kind == PART_CALL ? json_pack("{s:s, s:s, s:s%, s:{}}", "type", "tool_use", "id", p->id, "name",
                                                     p->name.p, p->name.n, "input")
                    : p->kind == PART_THOUGHT
                        ? json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", "")
                        : json_pack("{s:s, s:s}", "type", "text", "text", "");
    return sse_push(
        c->j->call, "content_block_start",
        json_pack("{s:s, s:I, s:o}", "type", "content_block_start", "index", last_index(c), "content_block", block));
}

static bool delta(job_choice *c, const char *type, const char *key, str text) {
    if (text.n == 0)
        return true;
    return sse_push(c->j->call, "content_block_delta",
                    json_pack("{s:s, s:I, s:{s:s, s:s%}}", "type", "content_block_delta", "index", last_index(c),
                              "delta", "type", type, key, text.p, text.n));
}

static bool piece(job_choice *c, str text) { return delta(c, "text_delta", "text", text); }

static bool args(job_choice *c, const job_part *p, str text) {
    (void)p;
    return delta(c, "input_json_delta", "partial_json", text);
}

static bool thought(job_choice *c, const job_part *p, str text) {
    (void)p;
    return delta(c, "thinking_delta", "thinking", text);
}

static bool end_part(job_choice *c, const job_part *p) {
    (void)p;
    return sse_push(c->j->call, "content_block_stop",
                    json_pack("{s:s, s:I}", "type", "content_block_stop", "index", last_index(c)));
}

static bool close_stream(job_choice *c) {
    json_t *sequence, *reason = reason_of(c, &sequence);
    return sse_push(c->j->call, "message_delta",
                    json_pack("{s:s, s:{s:o, s:o}, s:o}", "type", "message_delta", "delta", "stop_reason", reason,
                              "stop_sequence", sequence, "usage", usage(c->j, c->result.n_generated))) &&
           sse_push(c->j->call, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

static json_t *part_json(const job_choice *c, const job_part *p) {
    str text = str_sub(strbuf_str(&c->text), p->from, p->to);
    json_t *input = NULL;
    if (p->kind == PART_THOUGHT) /* signed by nobody */
        return json_pack("{s:s, s:s%, s:s}", "type", "thinking", "thinking", p->own.p, p->own.n, "signature", "");
    if (p->kind == PART_TEXT)
        return json_pack("{s:s, s:s%}", "type", "text", "text", text.n ? text.p : "", text.n);
    if (json_read(strbuf_str(&p->own), TOOL_CALL_BYTES_MAX, &input, NULL) != ERR_OK)
        input = json_object(); /* it was read once: memory is short */
    return json_pack("{s:s, s:s, s:s%, s:o}", "type", "tool_use", "id", p->id, "name", p->name.p, p->name.n, "input",
                     input);
}

static void finish(job *j) {
    if (j->p.stream) {
        http_end(j->call);
        return;
    }
    job_choice *c = &j->choice[0];
    json_t *sequence, *reason = reason_of(c, &sequence);
    json_t *content = json_array();
    for (size_t i = 0; i < c->n_parts; i++)
        json_array_append_new(content, part_json(c, &c->part[i]));
    reply_json(j->call, 200, message(j, content, reason, sequence, c->result.n_generated));
}

static void fail(job *j, const err *e) { sse_push(j->call, "error", error_json(API_ANTHROPIC, 500, e->code, e->text)); }

static const job_dialect dialect = {
    .read = read_request,
    .open = open_stream,
    .piece = piece,
    .begin = begin_part,
    .args = args,
    .thought = thought,
    .end = end_part,
    .close = close_stream,
    .finish = finish,
    .fail = fail,
};

static err_code messages(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return job_run(s, c, body, &dialect, e);
}

static err_code read_count(job *j, err *e) {
    j->aux = true;
    return read_messages(j, e);
}

static const job_dialect count_dialect = {.read = read_count};

static err_code count_tokens(serve *s, http_call *c, json_t *body, str rest, err *e) {
    size_t n = 0;
    (void)rest;
    TRY(job_count(s, c, body, &count_dialect, &n, e));
    reply_json(c, 200, json_pack("{s:I}", "input_tokens", (json_int_t)n));
    return ERR_OK;
}

const route routes_anthropic[] = {
    {"POST", "/v1/messages", messages},
    {"POST", "/v1/messages/count_tokens", count_tokens},
    {0},
};
