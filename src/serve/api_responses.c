/* api_responses: /v1/responses, without a memory of earlier ones.
 *
 * Shapes: platform.openai.com/docs/api-reference/responses. `input` is a text or a list of messages; `instructions`
 * come first as the system's. Nothing is stored: previous_response_id is refused. Proved by test/e2e/test_serve.py.
 */
#include <string.h>

#include "serve/form.h"
#include "serve/job.h"
#include "serve/route.h"

static err_code read_request(job *j, err *e) {
    static const char *const refused[] = {"tools", "previous_response_id", "conversation", "background", "prompt",
                                          NULL};
    const json_t *input = json_object_get(j->body, "input");
    chat_message one[2], *m = one;
    size_t n = 0;
    int64_t n_max = 0;
    str instructions = {0};
    TRY(param_refuse(j->body, refused, e));
    TRY(form_responses(j->body, &j->p.grammar, e));
    TRY(params_sampling(j->body, &j->p, e));
    TRY(param_int(j->body, "max_output_tokens", 1, INT32_MAX, &n_max, e));
    TRY(param_bool(j->body, "stream", &j->p.stream, e));
    TRY(param_str(j->body, "instructions", &instructions, e));
    j->p.n_max = (size_t)n_max;
    if (json_is_string(input)) {
        if (instructions.n > 0)
            one[n++] = (chat_message){STR("system"), instructions};
        one[n++] = (chat_message){STR("user"), json_str_of(input)};
    } else {
        for (size_t i = 0; i < json_array_size(input); i++) {
            str type = json_get_str(json_array_get(input, i), "type", STR("message"));
            if (!str_is(type, "message"))
                return err_set(e, ERR_UNSUPPORTED, "input[%zu]: type \"%.*s\" is not supported", i, STR_ARG(type));
        }
        TRY(params_messages(input, instructions, &j->mem, &m, &n, e));
    }
    return job_add_chat(j, m, n, true, json_object_get(j->body, "chat_template_kwargs"), e);
}

static json_t *item_id(const job *j) {
    return json_sprintf("msg_%llx%08llx", (unsigned long long)j->s->begun, (unsigned long long)j->id);
}

static json_t *part(str text) {
    return json_pack("{s:s, s:s%, s:[], s:[]}", "type", "output_text", "text", text.n ? text.p : "", text.n,
                     "annotations", "logprobs");
}

static json_t *item(const job *j, const char *status, json_t *content) {
    return json_pack("{s:s, s:o, s:s, s:s, s:o}", "type", "message", "id", item_id(j), "status", status, "role",
                     "assistant", "content", content);
}

static const char *status_now(const job *j, bool ended) {
    return !ended ? "in_progress" : job_ended_by_text(&j->choice[0]) ? "completed" : "incomplete";
}

static json_t *usage(const job *j) {
    json_int_t in = (json_int_t)job_prompt_tokens(j), out = (json_int_t)job_answer_tokens(j);
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:i}, s:I}", "input_tokens", in, "input_tokens_details", "cached_tokens",
                     (json_int_t)job_cached_tokens(j), "output_tokens", out, "output_tokens_details",
                     "reasoning_tokens", 0, "total_tokens", in + out);
}

static json_t *response(const job *j, bool ended) {
    const char *status = status_now(j, ended);
    const json_t *instructions = json_object_get(j->body, "instructions");
    const json_t *format = json_object_get(json_object_get(j->body, "text"), "format");
    json_t *output = json_array();
    if (ended)
        json_array_append_new(output, item(j, status, json_pack("[o]", part(job_text(&j->choice[0])))));
    json_t *v =
        json_pack("{s:o, s:s, s:I, s:s, s:n, s:s, s:o, s:b, s:s, s:[], s:f, s:f, s:n, s:b, s:{}, s:s}", "id",
                  json_sprintf("resp_%llx%08llx", (unsigned long long)j->s->begun, (unsigned long long)j->id), "object",
                  "response", "created_at", (json_int_t)j->created, "status", status, "error", "model",
                  j->m->source.name, "output", output, "parallel_tool_calls", 0, "tool_choice", "none", "tools",
                  "temperature", (double)j->p.sampling.temperature, "top_p", (double)j->p.sampling.top_p,
                  "previous_response_id", "store", 0, "metadata", "truncation", "disabled");
    json_object_set_new(v, "text",
                        json_is_object(format) ? json_pack("{s:O}", "format", format)
                                               : json_pack("{s:{s:s}}", "format", "type", "text"));
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

static json_t *in_part(const job *j) {
    return json_pack("{s:o, s:i, s:i}", "item_id", item_id(j), "output_index", 0, "content_index", 0);
}

static bool open_stream(job *j) {
    json_t *begun = in_part(j);
    json_object_set_new(begun, "part", part((str){0}));
    bool good = event(j, "response.created", json_pack("{s:o}", "response", response(j, false))) &&
                event(j, "response.in_progress", json_pack("{s:o}", "response", response(j, false))) &&
                event(j, "response.output_item.added",
                      json_pack("{s:i, s:o}", "output_index", 0, "item", item(j, "in_progress", json_array())));
    if (!good) {
        json_decref(begun);
        return false;
    }
    return event(j, "response.content_part.added", begun);
}

static bool piece(job_choice *c, str text) {
    if (text.n == 0)
        return true;
    json_t *v = in_part(c->j);
    json_object_set_new(v, "delta", json_stringn(text.p, text.n));
    json_object_set_new(v, "logprobs", json_array());
    return event(c->j, "response.output_text.delta", v);
}

static bool close_stream(job_choice *c) {
    job *j = c->j;
    str text = job_text(c);
    json_t *done = in_part(j), *ended = in_part(j);
    json_object_set_new(done, "text", json_stringn(text.n ? text.p : "", text.n));
    json_object_set_new(done, "logprobs", json_array());
    json_object_set_new(ended, "part", part(text));
    bool good = event(j, "response.output_text.done", done);
    good = event(j, "response.content_part.done", ended) && good;
    return good && event(j, "response.output_item.done",
                         json_pack("{s:i, s:o}", "output_index", 0, "item",
                                   item(j, status_now(j, true), json_pack("[o]", part(text)))));
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
    .close = close_stream,
    .finish = finish,
    .fail = fail,
};

static err_code responses(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return job_run(s, c, body, &dialect, e);
}

const route routes_responses[] = {{"POST", "/v1/responses", responses}, {0}};
