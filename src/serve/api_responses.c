/* api_responses: /v1/responses, without a memory of earlier ones.
 *
 * Shapes: platform.openai.com/docs/api-reference/responses. `input` is a text or a list of items; `instructions`
 * come first as the system's. Each part of the answer is an item of the output. Nothing is stored: previous_response_id
 * is refused. Proved by test/e2e/test_serve.py.
 */
#include <string.h>

#include "serve/form.h"
#include "serve/job.h"
#include "serve/route.h"

static err_code read_request(job *j, err *e) {
    static const char *const refused[] = {"previous_response_id", "conversation", "background", "prompt", NULL};
    const json_t *input = json_object_get(j->body, "input");
    int64_t n_max = 0;
    str instructions = {0};
    TRY(param_refuse(j->body, refused, e));
    TRY(form_responses(j->body, &j->p.grammar, e));
    TRY(params_sampling(j->body, &j->p, e));
    TRY(param_int(j->body, "max_output_tokens", 1, INT32_MAX, &n_max, e));
    TRY(param_bool(j->body, "stream", &j->p.stream, e));
    TRY(param_str(j->body, "instructions", &instructions, e));
    j->p.n_max = (size_t)n_max;
    turns t = job_turns(j);
    TRY(think_responses(j->body, &j->think, e));
    TRY(tools_responses(j->body, j->keep, &j->tools, e));
    TRY(turns_responses(&t, input, instructions, e));
    return job_add_chat(j, &t, true, json_get(j->body, "chat_template_kwargs"), e);
}

static json_t *item_id(const job_choice *c, const job_part *p) {
    static const char *const kind[] = {[PART_TEXT] = "msg", [PART_CALL] = "fc", [PART_THOUGHT] = "rs"};
    return json_sprintf("%s_%llx%08llx%02zx", kind[p->kind], (unsigned long long)c->j->s->begun,
                        (unsigned long long)c->j->id, (size_t)(p - c->part));
}

static json_t *text_json(const job_part *p, str text) {
    if (p->kind == PART_THOUGHT)
        return json_pack("{s:s, s:s%}", "type", "reasoning_text", "text", text.n ? text.p : "", text.n);
    return json_pack("{s:s, s:s%, s:[], s:[]}", "type", "output_text", "text", text.n ? text.p : "", text.n,
                     "annotations", "logprobs");
}

static str part_text(const job_choice *c, const job_part *p) {
    return p->kind == PART_TEXT ? str_sub(strbuf_str(&c->text), p->from, p->to) : strbuf_str(&p->own);
}

/* The item of a part; whole: with what has come of it. */
static json_t *item(const job_choice *c, const job_part *p, const char *status, bool whole) {
    str text = whole ? part_text(c, p) : (str){0};
    if (p->kind == PART_THOUGHT)
        return json_pack("{s:s, s:o, s:s, s:[], s:o}", "type", "reasoning", "id", item_id(c, p), "status", status,
                         "summary", "content", whole ? json_pack("[o]", text_json(p, text)) : json_array());
    if (p->kind == PART_CALL)
        return json_pack("{s:s, s:o, s:s, s:s, s:s%, s:s%}", "type", "function_call", "id", item_id(c, p), "status",
                         status, "call_id", p->id, "name", p->name.p, p->name.n, "arguments", text.n ? text.p : "",
                         text.n);
    return json_pack("{s:s, s:o, s:s, s:s, s:o}", "type", "message", "id", item_id(c, p), "status", status, "role",
                     "assistant", "content", whole ? json_pack("[o]", text_json(p, text)) : json_array());
}

static const char *status_now(const job *j, bool ended) {
    return !ended ? "in_progress" : job_ended_by_text(&j->choice[0]) ? "completed" : "incomplete";
}

static json_t *usage(const job *j) {
    json_int_t in = (json_int_t)job_prompt_tokens(j), out = (json_int_t)job_answer_tokens(j);
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", in, "input_tokens_details", "cached_tokens",
                     (json_int_t)job_cached_tokens(j), "output_tokens", out, "output_tokens_details",
                     "reasoning_tokens", (json_int_t)job_thought_tokens(j), "total_tokens", in + out);
}

static json_t *response(const job *j, bool ended) {
    const char *status = status_now(j, ended);
    const json_t *instructions = json_object_get(j->body, "instructions");
    const json_t *format = json_object_get(json_object_get(j->body, "text"), "format");
    json_t *output = json_array();
    for (size_t i = 0; ended && i < j->choice[0].n_parts; i++)
        json_array_append_new(output, item(&j->choice[0], &j->choice[0].part[i], status, true));
    json_t *v = json_pack("{s:o, s:s, s:I, s:s, s:n, s:s, s:o, s:b, s:f, s:f, s:n, s:b, s:{}, s:s}", "id",
                          json_sprintf("resp_%llx%08llx", (unsigned long long)j->s->begun, (unsigned long long)j->id),
                          "object", "response", "created_at", (json_int_t)j->created, "status", status, "error",
                          "model", j->m->source.name, "output", output, "parallel_tool_calls", j->tools.most > 1,
                          "temperature", (double)j->p.sampling.temperature, "top_p", (double)j->p.sampling.top_p,
                          "previous_response_id", "store", 0, "metadata", "truncation", "disabled");
    json_object_set_new(v, "text",
                        json_is_object(format) ? json_pack("{s:O}", "format", format)
                                               : json_pack("{s:{s:s}}", "format", "type", "text"));
    json_t *choice = json_object_get(j->body, "tool_choice"), *tools = json_object_get(j->body, "tools");
    json_object_set_new(v, "tool_choice", choice ? json_incref(choice) : json_string(j->tools.list ? "auto" : "none"));
    json_object_set_new(v, "tools", json_is_array(tools) ? json_incref(tools) : json_array());
    json_object_set_new(v, "instructions", instructions ? json_deep_copy(instructions) : json_null());
    json_object_set_new(v, "max_output_tokens", j->p.n_max ? json_integer((json_int_t)j->p.n_max) : json_null());
    json_object_set_new(v, "incomplete_details",
                        strcmp(status, "incomplete") == 0 ? json_pack("{s:s}", "reason", "max_output_tokens")
                                                          : json_null());
    json_object_set_new(v, "usage", ended ? usage(j) : json_null());
    return v;
}

/* An event with its type and number; takes v. */
static bool event(job *j, const char *type, json_t *v) {
    json_object_set_new(v, "type", json_string(type));
    json_object_set_new(v, "sequence_number", json_integer((json_int_t)j->n_events++));
    return sse_push(j->call, type, v);
}

static json_t *in_item(const job_choice *c, const job_part *p) {
    return json_pack("{s:o, s:I}", "item_id", item_id(c, p), "output_index", (json_int_t)(p - c->part));
}

static json_t *in_text(const job_choice *c, const job_part *p) {
    json_t *v = in_item(c, p);
    json_object_set_new(v, "content_index", json_integer(0));
    return v;
}

static bool open_stream(job *j) {
    return event(j, "response.created", json_pack("{s:o}", "response", response(j, false))) &&
           event(j, "response.in_progress", json_pack("{s:o}", "response", response(j, false)));
}

static bool item_event(job_choice *c, const job_part *p, const char *type, const char *status, bool whole) {
    return event(c->j, type,
                 json_pack("{s:I, s:o}", "output_index", (json_int_t)(p - c->part), "item", item(c, p, status, whole)));
}

static bool begin_part(job_choice *c, const job_part *p) {
    if (!item_event(c, p, "response.output_item.added", "in_progress", false))
        return false;
    if (p->kind == PART_CALL)
        return true;
    json_t *v = in_text(c, p);
    json_object_set_new(v, "part", text_json(p, (str){0}));
    return event(c->j, "response.content_part.added", v);
}

static bool piece(job_choice *c, str text) {
    if (text.n == 0)
        return true;
    json_t *v = in_text(c, &c->part[c->n_parts - 1]);
    json_object_set_new(v, "delta", json_stringn(text.p, text.n));
    json_object_set_new(v, "logprobs", json_array());
    return event(c->j, "response.output_text.delta", v);
}

static bool thought(job_choice *c, const job_part *p, str text) {
    json_t *v = in_text(c, p);
    json_object_set_new(v, "delta", json_stringn(text.p, text.n));
    return event(c->j, "response.reasoning_text.delta", v);
}

static bool args(job_choice *c, const job_part *p, str text) {
    json_t *v = in_item(c, p);
    json_object_set_new(v, "delta", json_stringn(text.p, text.n));
    return event(c->j, "response.function_call_arguments.delta", v);
}

static bool end_call(job_choice *c, const job_part *p) {
    json_t *v = in_item(c, p);
    json_object_set_new(v, "name", json_stringn(p->name.p, p->name.n));
    json_object_set_new(v, "arguments", json_stringn(p->own.n ? p->own.p : "", p->own.n));
    return event(c->j, "response.function_call_arguments.done", v);
}

static bool end_text(job_choice *c, const job_part *p) {
    str text = part_text(c, p);
    json_t *done = in_text(c, p);
    json_object_set_new(done, "text", json_stringn(text.n ? text.p : "", text.n));
    if (p->kind == PART_TEXT)
        json_object_set_new(done, "logprobs", json_array());
    if (!event(c->j, p->kind == PART_TEXT ? "response.output_text.done" : "response.reasoning_text.done", done))
        return false;
    json_t *ended = in_text(c, p);
    json_object_set_new(ended, "part", text_json(p, text));
    return event(c->j, "response.content_part.done", ended);
}

static bool end_part(job_choice *c, const job_part *p) {
    const char *status = c->done && !job_ended_by_text(c) ? "incomplete" : "completed";
    return (p->kind == PART_CALL ? end_call(c, p) : end_text(c, p)) &&
           item_event(c, p, "response.output_item.done", status, true);
}

static void finish(job *j) {
    if (!j->p.stream) {
        reply_json(j->call, 200, response(j, true));
        return;
    }
    event(j, job_ended_by_text(&j->choice[0]) ? "response.completed" : "response.incomplete",
          json_pack("{s:o}", "response", response(j, true)));
    http_end(j->call);
}

static void fail(job *j, const err *e) {
    event(j, "error", json_pack("{s:s, s:s, s:n}", "code", "server_error", "message", e->text, "param"));
}

static const job_dialect dialect = {
    .read = read_request,
    .open = open_stream,
    .piece = piece,
    .begin = begin_part,
    .args = args,
    .thought = thought,
    .end = end_part,
    .finish = finish,
    .fail = fail,
};

static err_code responses(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return job_run(s, c, body, &dialect, e);
}

const route routes_responses[] = {{"POST", "/v1/responses", responses}, {0}};
