/* api_openai: /v1/models, /v1/chat/completions, /v1/completions.
 *
 * Shapes: platform.openai.com/docs/api-reference, and what lm-evaluation-harness reads of /v1/completions: with
 * {"echo": true, "logprobs": k} the prompt's tokens come first, one entry each, the first without a log probability,
 * then the generated ones, an end token included. Prompts of ids are taken as they are; to a text the model's BOS is
 * added. max_tokens 0 generates nothing. Proved by test/e2e/test_serve.py.
 */
#include <string.h>

#include "base/os.h"
#include "serve/job.h"
#include "serve/route.h"

/* ---- models ---- */

static json_t *model_card(const serve *s, const serve_model *m) {
    return json_pack("{s:s, s:s, s:I, s:s, s:I}", "id", m->source.name, "object", "model", "created",
                     (json_int_t)s->begun, "owned_by", "local", "max_model_len", (json_int_t)engine_ctx(m->g));
}

/* As Anthropic's clients read it; they name their version. */
static json_t *anthropic_card(const serve *s, const serve_model *m) {
    char when[OS_UTC_BYTES];
    os_utc(s->begun, when);
    return json_pack("{s:s, s:s, s:s, s:s}", "type", "model", "id", m->source.name, "display_name", m->source.name,
                     "created_at", when);
}

static err_code models(serve *s, http_call *c, json_t *body, str rest, err *e) {
    bool anthropic = http_header(c, "anthropic-version") != NULL;
    json_t *list = json_array();
    (void)body;
    (void)rest;
    (void)e;
    for (size_t i = 0; i < s->n_models; i++)
        json_array_append_new(list, anthropic ? anthropic_card(s, &s->model[i]) : model_card(s, &s->model[i]));
    if (anthropic)
        reply_json(c, 200,
                   json_pack("{s:o, s:b, s:s, s:s}", "data", list, "has_more", 0, "first_id", s->model[0].source.name,
                             "last_id", s->model[s->n_models - 1].source.name));
    else
        reply_json(c, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
    return ERR_OK;
}

static err_code one_model(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const serve_model *m = serve_find_name(s, rest);
    (void)body;
    if (!m)
        return err_set(e, ERR_IO, "there is no model \"%.*s\" here", STR_ARG(rest));
    reply_json(c, 200, http_header(c, "anthropic-version") ? anthropic_card(s, m) : model_card(s, m));
    return ERR_OK;
}

/* ---- what both completions share ---- */

static json_t *usage(const job *j) {
    json_int_t prompt = (json_int_t)job_prompt_tokens(j), answer = (json_int_t)job_answer_tokens(j);
    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", answer,
                     "total_tokens", prompt + answer, "prompt_tokens_details", "cached_tokens",
                     (json_int_t)job_cached_tokens(j), "completion_tokens_details", "reasoning_tokens",
                     (json_int_t)job_thought_tokens(j));
}

static json_t *reason(const job_choice *c) {
    return json_string(job_called(c) ? "tool_calls" : job_ended_by_text(c) ? "stop" : "length");
}

/* {"id", "object", "created", "model", "choices"}; takes choices. */
static json_t *envelope(const job *j, const char *object, json_t *choices) {
    return json_pack("{s:o, s:s, s:I, s:s, s:o}", "id",
                     json_sprintf("%s-%llx-%llu", j->chat ? "chatcmpl" : "cmpl", (unsigned long long)j->s->begun,
                                  (unsigned long long)j->id),
                     "object", object, "created", (json_int_t)j->created, "model", j->m->source.name, "choices",
                     choices);
}

static bool push_choice(job *j, const char *object, json_t *choice) {
    json_t *v = envelope(j, object, json_pack("[o]", choice));
    if (j->p.usage)
        json_object_set_new(v, "usage", json_null());
    return sse_push(j->call, NULL, v);
}

static void end_stream(job *j, const char *object) {
    if (j->p.usage) {
        json_t *v = envelope(j, object, json_array());
        json_object_set_new(v, "usage", usage(j));
        sse_push(j->call, NULL, v);
    }
    sse_done(j->call);
    http_end(j->call);
}

/* ---- log probabilities ---- */

static json_t *bytes_of(const tokenizer *t, int32_t id) {
    strbuf raw = {0};
    json_t *list = json_array();
    if (id < tokenizer_n_vocab(t) && tokenizer_decode_next(t, 1, id, true, &raw, NULL) == ERR_OK)
        for (size_t i = 0; i < raw.n; i++)
            json_array_append_new(list, json_integer((unsigned char)raw.p[i]));
    strbuf_fini(&raw);
    return list;
}

static json_t *token_name(const tokenizer *t, int32_t id) {
    strbuf text = {0};
    json_t *v = token_text(t, id, &text, NULL) == ERR_OK ? json_stringn(text.n ? text.p : "", text.n) : NULL;
    strbuf_fini(&text);
    return v;
}

static json_t *chat_token(const tokenizer *t, const engine_scored *x) {
    return json_pack("{s:o, s:f, s:o}", "token", token_name(t, x->id), "logprob", logprob_shown(x->logprob), "bytes",
                     bytes_of(t, x->id));
}

/* {"content": [...]} of the tokens told since `from`; NULL logprobs when none were asked for. */
static json_t *chat_logprobs(const job_choice *c, size_t from) {
    const tokenizer *t = c->j->m->source.t;
    json_t *list;
    if (!c->j->p.logprobs)
        return json_null();
    list = json_array();
    for (size_t i = from; i < c->n_tokens; i++) {
        json_t *one = chat_token(t, &c->token[i].token), *top = json_array();
        for (size_t k = 0; k < c->token[i].n_top; k++)
            json_array_append_new(top, chat_token(t, &c->top[c->token[i].top_at + k]));
        json_object_set_new(one, "top_logprobs", top);
        json_array_append_new(list, one);
    }
    return json_pack("{s:o, s:n}", "content", list, "refusal");
}

static size_t characters(str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* The object of /v1/completions, of the tokens told since `from`. */
static json_t *text_logprobs(const job_choice *c, size_t from) {
    const tokenizer *t = c->j->m->source.t;
    if (!c->j->p.logprobs)
        return json_null();
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    size_t at = 0, offset = 0;
    for (size_t i = from; i < c->n_tokens; i++) {
        const job_token *k = &c->token[i];
        bool first = i == 0 && c->n_prompt_tokens > 0; /* nothing stands before it */
        json_array_append_new(tokens, token_name(t, k->token.id));
        json_array_append_new(values, first ? json_null() : json_real(logprob_shown(k->token.logprob)));
        json_t *top = first || c->j->p.n_top == 0 ? json_null() : json_object();
        for (size_t m = 0; m < k->n_top && json_is_object(top); m++) {
            const engine_scored *x = &c->top[k->top_at + m];
            json_t *name = token_name(t, x->id);
            /* Two tokens may be spelled alike (bytes that are no UTF-8): the likelier one stands for both. */
            const char *key = json_string_value(name);
            size_t n = json_string_length(name); /* a token may hold the byte 0 */
            if (key && !json_object_getn(top, key, n))
                json_object_setn_new(top, key, n, json_real(logprob_shown(x->logprob)));
            json_decref(name);
        }
        json_array_append_new(tops, top);
        offset += characters(str_sub(strbuf_str(&c->text), at, k->text_at));
        at = k->text_at;
        json_array_append_new(offsets, json_integer((json_int_t)offset));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops,
                     "text_offset", offsets);
}

/* ---- chat ---- */

static err_code read_limit(const job *j, const char *const *keys, int64_t *n, err *e) {
    for (; *keys; keys++)
        TRY(param_int(j->body, *keys, 0, INT32_MAX, n, e));
    return ERR_OK;
}

static err_code read_chat(job *j, err *e) {
    static const char *const limits[] = {"max_tokens", "max_completion_tokens", NULL};
    int64_t n_max = -1, n_top = 0;
    TRY(params_openai(j->body, &j->p, &j->mem, e));
    TRY(read_limit(j, limits, &n_max, e));
    TRY(param_bool(j->body, "logprobs", &j->p.logprobs, e));
    TRY(param_int(j->body, "top_logprobs", 0, ENGINE_TOP_LOGPROBS_MAX, &n_top, e));
    j->p.n_top = j->p.logprobs ? (size_t)n_top : 0;
    j->p.n_max = n_max > 0 ? (size_t)n_max : 0;
    j->p.nothing = n_max == 0;
    TRY(tools_openai(j->body, j->keep, &j->tools, e));
    TRY(think_openai(j->body, &j->think, e));
    turns t = job_turns(j);
    TRY(turns_chat(&t, json_object_get(j->body, "messages"), (str){0}, e));
    return job_add_chat(j, &t, true, json_get(j->body, "chat_template_kwargs"), e);
}

static json_t *chat_delta(const job_choice *c, json_t *delta, json_t *logprobs, json_t *why) {
    return json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)c->index, "delta", delta, "logprobs", logprobs,
                     "finish_reason", why);
}

static const char chunk[] = "chat.completion.chunk";

static bool chat_open_stream(job *j) {
    for (size_t i = 0; i < j->n_choices; i++)
        if (!push_choice(j, chunk,
                         chat_delta(&j->choice[i], json_pack("{s:s, s:s}", "role", "assistant", "content", ""),
                                    json_null(), json_null())))
            return false;
    return true;
}

static bool push_piece(job_choice *c, const char *key, str text) {
    if (text.n == 0 && c->text_sent == c->n_tokens)
        return true;
    json_t *logprobs = chat_logprobs(c, c->text_sent);
    c->text_sent = c->n_tokens;
    return push_choice(c->j, chunk,
                       chat_delta(c, json_pack("{s:s%}", key, text.n ? text.p : "", text.n), logprobs, json_null()));
}

static bool chat_piece(job_choice *c, str text) { return push_piece(c, "content", text); }

static bool chat_thought(job_choice *c, const job_part *p, str text) {
    (void)p;
    return push_piece(c, "reasoning_content", text);
}

/* The number of a call among the calls, as it is told in a stream; the last part is one. */
static json_int_t call_index(const job_choice *c) {
    json_int_t n = -1;
    for (size_t i = 0; i < c->n_parts; i++)
        n += c->part[i].kind == PART_CALL;
    return n;
}

static bool push_call(job_choice *c, json_t *call) {
    return push_choice(c->j, chunk, chat_delta(c, json_pack("{s:[o]}", "tool_calls", call), json_null(), json_null()));
}

static bool chat_begin(job_choice *c, const job_part *p) {
    if (p->kind != PART_CALL)
        return true;
    return push_call(c, json_pack("{s:I, s:s, s:s, s:{s:s%, s:s}}", "index", call_index(c), "id", p->id, "type",
                                  "function", "function", "name", p->name.p, p->name.n, "arguments", ""));
}

static bool chat_args(job_choice *c, const job_part *p, str text) {
    (void)p;
    return push_call(c, json_pack("{s:I, s:{s:s%}}", "index", call_index(c), "function", "arguments", text.p, text.n));
}

static bool chat_close_stream(job_choice *c) {
    return push_choice(c->j, chunk, chat_delta(c, json_object(), json_null(), reason(c)));
}

static json_t *chat_message_json(const job_choice *c) {
    str text = job_text(c), thought = job_thought(c);
    json_t *calls = json_array();
    for (size_t i = 0; i < c->n_parts; i++) {
        const job_part *p = &c->part[i];
        if (p->kind == PART_CALL)
            json_array_append_new(calls,
                                  json_pack("{s:s, s:s, s:{s:s%, s:s%}}", "id", p->id, "type", "function", "function",
                                            "name", p->name.p, p->name.n, "arguments", p->own.p, p->own.n));
    }
    bool silent = text.n == 0 && json_array_size(calls) > 0;
    json_t *v = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content",
                          silent ? json_null() : json_stringn(text.n ? text.p : "", text.n), "refusal");
    if (json_array_size(calls) > 0)
        json_object_set(v, "tool_calls", calls);
    json_decref(calls);
    if (thought.n > 0)
        json_object_set_new(v, "reasoning_content", json_stringn(thought.p, thought.n));
    return v;
}

static void chat_finish(job *j) {
    if (j->p.stream) {
        end_stream(j, chunk);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < j->n_choices; i++) {
        const job_choice *c = &j->choice[i];
        json_array_append_new(list,
                              json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)i, "message", chat_message_json(c),
                                        "logprobs", chat_logprobs(c, 0), "finish_reason", reason(c)));
    }
    json_t *v = envelope(j, "chat.completion", list);
    json_object_set_new(v, "usage", usage(j));
    reply_json(j->call, 200, v);
}

static const job_dialect chat_dialect = {
    .read = read_chat,
    .open = chat_open_stream,
    .piece = chat_piece,
    .begin = chat_begin,
    .args = chat_args,
    .thought = chat_thought,
    .close = chat_close_stream,
    .finish = chat_finish,
};

static err_code chat(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return job_run(s, c, body, &chat_dialect, e);
}

/* ---- completions ---- */

static err_code add_prompts(job *j, const json_t *prompt, err *e) {
    unsigned flags = TOK_SPECIAL_ADD | (j->p.special ? TOK_SPECIAL_PARSE : 0);
    if (json_is_string(prompt))
        return job_add_text(j, json_str_of(prompt), flags, e);
    if (!json_is_array(prompt) || json_array_size(prompt) == 0)
        return err_set(e, ERR_USAGE, "prompt: a text, a list of texts, of token ids, or of lists of them is expected");
    if (json_is_integer(json_array_get(prompt, 0)))
        return job_add_ids(j, prompt, e);
    for (size_t i = 0; i < json_array_size(prompt); i++) {
        const json_t *one = json_array_get(prompt, i);
        if (json_is_string(one))
            TRY(job_add_text(j, json_str_of(one), flags, e));
        else if (json_is_array(one))
            TRY(job_add_ids(j, one, e));
        else
            return err_set(e, ERR_USAGE, "prompt[%zu]: a text or a list of token ids is expected", i);
    }
    return ERR_OK;
}

static err_code read_text(job *j, err *e) {
    static const char *const limits[] = {"max_tokens", NULL}, *const refused[] = {"tools", NULL};
    int64_t n_max = 16, n_top = -1, best = 1;
    const json_t *logprobs = json_object_get(j->body, "logprobs");
    TRY(param_refuse(j->body, refused, e));
    TRY(params_openai(j->body, &j->p, &j->mem, e));
    TRY(read_limit(j, limits, &n_max, e));
    TRY(param_bool(j->body, "echo", &j->echo, e));
    if (json_is_boolean(logprobs))
        n_top = json_is_true(logprobs) ? 1 : -1;
    else
        TRY(param_int(j->body, "logprobs", 0, ENGINE_TOP_LOGPROBS_MAX, &n_top, e));
    TRY(param_int(j->body, "best_of", 1, PARAMS_N_MAX, &best, e));
    if ((size_t)best > j->p.n)
        return err_set(e, ERR_UNSUPPORTED, "best_of: more than n is not supported");
    j->p.logprobs = n_top >= 0;
    j->p.n_top = n_top > 0 ? (size_t)n_top : 0;
    j->p.n_max = (size_t)n_max;
    j->p.nothing = n_max == 0;
    return add_prompts(j, json_object_get(j->body, "prompt"), e);
}

static json_t *text_choice(const job_choice *c, str text, json_t *logprobs, json_t *why) {
    return json_pack("{s:I, s:s%, s:o, s:o}", "index", (json_int_t)c->index, "text", text.n ? text.p : "", text.n,
                     "logprobs", logprobs, "finish_reason", why);
}

static const char text_object[] = "text_completion";

static bool text_open_stream(job *j) {
    for (size_t i = 0; i < j->n_choices && j->echo; i++) {
        job_choice *c = &j->choice[i];
        if (!push_choice(j, text_object, text_choice(c, j->prompt_text[c->prompt], json_null(), json_null())))
            return false;
    }
    return true;
}

static bool text_piece(job_choice *c, str text) {
    if (text.n == 0 && c->text_sent == c->n_tokens)
        return true;
    json_t *logprobs = text_logprobs(c, c->text_sent);
    c->text_sent = c->n_tokens;
    return push_choice(c->j, text_object, text_choice(c, text, logprobs, json_null()));
}

static bool text_close_stream(job_choice *c) {
    return push_choice(c->j, text_object, text_choice(c, (str){0}, json_null(), reason(c)));
}

static json_t *whole_choice(const job_choice *c) {
    strbuf text = {0};
    json_t *v = NULL;
    if ((!c->j->echo || strbuf_add(&text, c->j->prompt_text[c->prompt], NULL) == ERR_OK) &&
        strbuf_add(&text, job_text(c), NULL) == ERR_OK)
        v = text_choice(c, strbuf_str(&text), text_logprobs(c, 0), reason(c));
    strbuf_fini(&text);
    return v;
}

static void text_finish(job *j) {
    if (j->p.stream) {
        end_stream(j, text_object);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < j->n_choices; i++)
        json_array_append_new(list, whole_choice(&j->choice[i]));
    json_t *v = envelope(j, text_object, list);
    json_object_set_new(v, "usage", usage(j));
    reply_json(j->call, 200, v);
}

static const job_dialect text_dialect = {
    .read = read_text,
    .open = text_open_stream,
    .piece = text_piece,
    .close = text_close_stream,
    .finish = text_finish,
};

static err_code completions(serve *s, http_call *c, json_t *body, str rest, err *e) {
    (void)rest;
    return job_run(s, c, body, &text_dialect, e);
}

const route routes_openai[] = {
    {"GET", "/v1/models", models},
    {"GET", "/v1/models/*", one_model},
    {"POST", "/v1/chat/completions", chat},
    {"POST", "/v1/completions", completions},
    {0},
};
