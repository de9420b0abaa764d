/* turns: see turns.h. */
#include "serve/turns.h"

#include <string.h>

#include "serve/params.h"
#include "serve/serve.h"

enum { ARGUMENTS_BYTES_MAX = 1 << 20, NAMES_LOOKED_AT = 64 };

static json_t *borrowed(const json_t *v) { return (json_t *)(uintptr_t)v; }

static err_code no_memory(err *e) { return err_set(e, ERR_MEMORY, "no memory for the messages"); }

static err_code next(turns *t, chat_message **out, err *e) {
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        chat_message *m;
        ARENA_NEW(t->mem, m, cap, e);
        if (t->n > 0)
            memcpy(m, t->m, t->n * sizeof *m);
        t->m = m;
        t->cap = cap;
    }
    *out = &t->m[t->n++];
    return ERR_OK;
}

err_code turns_add(turns *t, const char *role, str content, err *e) {
    chat_message *m = NULL;
    TRY(next(t, &m, e));
    *m = (chat_message){.role = str_from(role), .content = content};
    if (strcmp(role, "assistant") == 0 && t->thought.n > 0) {
        json_t *more = json_pack("{s:s%}", "reasoning_content", t->thought.p, t->thought.n);
        if (!more || json_array_append_new(t->keep, more) != 0)
            return no_memory(e);
        m->more = more;
    }
    t->thought = (str){0};
    return ERR_OK;
}

/* The first of the keys whose value is a text. */
static str first_text(const json_t *v, const char *const *key) {
    str text = {0};
    for (; *key && text.n == 0; key++)
        text = json_get_str(v, *key, (str){0});
    return text;
}

static err_code add_front(turns *t, str front, err *e) {
    return front.n > 0 ? turns_add(t, "system", front, e) : ERR_OK;
}

/* ---- calls ---- */

/* Arguments as an object: what they are, or what is in their text. A new reference. */
static err_code read_arguments(turns *t, const json_t *v, json_t **out, err *e) {
    static const json_limits most = {ARGUMENTS_BYTES_MAX, SERVE_JSON_DEPTH_MAX, SERVE_JSON_VALUES_MAX};
    if (!v || (json_is_string(v) && json_string_length(v) == 0)) {
        *out = json_object();
        return *out ? ERR_OK : no_memory(e);
    }
    if (json_is_string(v))
        TRY(status_malformed(json_read_within(json_str_of(v), &most, &t->n_argument_values, out, e), e));
    else
        *out = json_incref(borrowed(v));
    if (json_is_object(*out))
        return ERR_OK;
    json_decref(*out);
    *out = NULL;
    return err_set(e, ERR_USAGE, "an object is expected");
}

/* A call is added to the list of the message `m`, which gets one if it has none. */
static err_code add_call(turns *t, chat_message *m, str id, str name, const json_t *arguments, err *e) {
    json_t *args = NULL;
    if (name.n == 0)
        return err_set(e, ERR_USAGE, "a call without a name");
    err_code code = read_arguments(t, arguments, &args, e);
    if (code != ERR_OK)
        return err_in(e, code, "arguments of \"%.*s\"", STR_ARG(name));
    json_t *call = json_pack("{s:s%, s:s, s:{s:s%, s:O}}", "id", id.n ? id.p : "", id.n, "type", "function", "function",
                             "name", name.p, name.n, "arguments", args);
    json_decref(args);
    if (!m->more) {
        json_t *more = json_object();
        if (!more || json_array_append_new(t->keep, more) != 0) {
            json_decref(call);
            return no_memory(e);
        }
        m->more = more;
    }
    if (!json_object_get(m->more, "tool_calls") &&
        json_object_set_new(borrowed(m->more), "tool_calls", json_array()) != 0) {
        json_decref(call);
        return no_memory(e);
    }
    return json_array_append_new(json_object_get(m->more, "tool_calls"), call) == 0 ? ERR_OK : no_memory(e);
}

/* The name of a call with this id; looked for in the messages just before. */
static str called(const turns *t, str id) {
    for (size_t i = t->n, seen = 0; i-- > 0 && seen < NAMES_LOOKED_AT; seen++) {
        const json_t *calls = json_object_get(t->m[i].more, "tool_calls");
        for (size_t k = 0; k < json_array_size(calls) && k < NAMES_LOOKED_AT; k++) {
            const json_t *call = json_array_get(calls, k);
            if (str_eq(json_get_str(call, "id", (str){0}), id))
                return json_get_str(json_object_get(call, "function"), "name", (str){0});
        }
    }
    return (str){0};
}

/* A result of the call `id`; name empty: that call's. */
static err_code add_result(turns *t, str id, str name, str content, err *e) {
    chat_message *m = NULL;
    if (name.n == 0 && id.n > 0)
        name = called(t, id);
    json_t *more =
        json_pack("{s:s%, s:s%}", "tool_call_id", id.n ? id.p : "", id.n, "name", name.n ? name.p : "", name.n);
    if (!more || json_array_append_new(t->keep, more) != 0)
        return no_memory(e);
    TRY(next(t, &m, e));
    *m = (chat_message){.role = STR("tool"), .content = content, .more = more};
    t->thought = (str){0};
    return ERR_OK;
}

/* ---- OpenAI chat, Ollama ---- */

static const struct {
    const char *name, *means;
} roles[] = {
    {"system", "system"},       {"developer", "system"}, {"user", "user"},
    {"assistant", "assistant"}, {"tool", "tool"},        {"function", "tool"},
};

static err_code read_role(const json_t *v, const char **out, err *e) {
    str role = {0};
    TRY(param_str(v, "role", &role, e));
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_is(role, roles[i].name)) {
            *out = roles[i].means;
            return ERR_OK;
        }
    return err_set(e, ERR_USAGE, "role: \"%.*s\" is none of system, developer, user, assistant, tool", STR_ARG(role));
}

static err_code read_calls(turns *t, const json_t *calls, err *e) {
    chat_message *m = &t->m[t->n - 1];
    if (!calls)
        return ERR_OK;
    if (!json_is_array(calls))
        return err_set(e, ERR_USAGE, "tool_calls: a list is expected");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *function = json_get(call, "function");
        err_code code = add_call(t, m, json_get_str(call, "id", (str){0}), json_get_str(function, "name", (str){0}),
                                 json_get(function, "arguments"), e);
        if (code != ERR_OK)
            return err_in(e, code, "tool_calls[%zu]", i);
    }
    return ERR_OK;
}

static err_code chat_message_of(turns *t, const json_t *v, err *e) {
    static const char *const refused[] = {"function_call", "images", NULL};
    static const char *const thoughts[] = {"reasoning_content", "reasoning", "thinking", NULL};
    const char *role = NULL;
    str content;
    if (!json_is_object(v))
        return err_set(e, ERR_USAGE, "an object is expected");
    TRY(read_role(v, &role, e));
    TRY(param_refuse(v, refused, e));
    TRY(params_content(json_object_get(v, "content"), t->mem, &content, e));
    if (strcmp(role, "tool") == 0)
        return add_result(t, json_get_str(v, "tool_call_id", (str){0}),
                          json_get_str(v, "tool_name", json_get_str(v, "name", (str){0})), content, e);
    str thought = first_text(v, thoughts);
    if (thought.n > 0)
        t->thought = thought;
    TRY(turns_add(t, role, content, e));
    return strcmp(role, "assistant") == 0 ? read_calls(t, json_get(v, "tool_calls"), e) : ERR_OK;
}

static err_code each(turns *t, const json_t *list, const char *where, err_code (*read)(turns *, const json_t *, err *),
                     err *e) {
    if (!json_is_array(list))
        return err_set(e, ERR_USAGE, "%s: a list is expected", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        err_code code = read(t, json_array_get(list, i), e);
        if (code != ERR_OK)
            return err_in(e, code, "%s[%zu]", where, i);
    }
    return ERR_OK;
}

err_code turns_chat(turns *t, const json_t *messages, str front, err *e) {
    TRY(add_front(t, front, e));
    return each(t, messages, "messages", chat_message_of, e);
}

/* ---- OpenAI responses ---- */

/* Calls in a row, and those right after the assistant's message, are one message. */
static err_code item_call(turns *t, const json_t *v, err *e) {
    if (t->n == 0 || !str_is(t->m[t->n - 1].role, "assistant") || t->thought.n > 0)
        TRY(turns_add(t, "assistant", (str){0}, e));
    return add_call(t, &t->m[t->n - 1], json_get_str(v, "call_id", (str){0}), json_get_str(v, "name", (str){0}),
                    json_get(v, "arguments"), e);
}

/* Its text, or what was told of it in short. */
static err_code item_thought(turns *t, const json_t *v, err *e) {
    static const char *const lists[] = {"content", "summary"};
    strbuf text = {0};
    err_code code = ERR_OK;
    for (size_t k = 0; k < 2 && text.n == 0; k++) {
        const json_t *list = json_object_get(v, lists[k]);
        for (size_t i = 0; i < json_array_size(list) && code == ERR_OK; i++)
            code = strbuf_add(&text, json_get_str(json_array_get(list, i), "text", (str){0}), e);
    }
    if (code == ERR_OK && text.n > 0) {
        t->thought = arena_str(t->mem, strbuf_str(&text));
        code = t->thought.p ? ERR_OK : arena_short(e, text.n, 1);
    }
    strbuf_fini(&text);
    return code;
}

static err_code item(turns *t, const json_t *v, err *e) {
    str type = json_get_str(v, "type", STR("message")), content;
    if (str_is(type, "function_call"))
        return item_call(t, v, e);
    if (str_is(type, "function_call_output")) {
        TRY(params_content(json_object_get(v, "output"), t->mem, &content, e));
        return add_result(t, json_get_str(v, "call_id", (str){0}), (str){0}, content, e);
    }
    if (str_is(type, "reasoning"))
        return item_thought(t, v, e);
    if (str_is(type, "message"))
        return chat_message_of(t, v, e);
    return err_set(e, ERR_UNSUPPORTED, "type \"%.*s\" is not supported", STR_ARG(type));
}

err_code turns_responses(turns *t, const json_t *input, str front, err *e) {
    TRY(add_front(t, front, e));
    if (json_is_string(input))
        return turns_add(t, "user", json_str_of(input), e);
    return each(t, input, "input", item, e);
}

/* ---- Anthropic ---- */

/* Text goes into one message of the role, calls into the same unless a thought stands between, each result into one of
 * its own. */
static err_code block(turns *t, const json_t *v, const char *role, size_t first, err *e) {
    str type = json_get_str(v, "type", (str){0}), content;
    bool assistant = strcmp(role, "assistant") == 0;
    if (!assistant && str_is(type, "tool_result")) {
        TRY(params_content(json_object_get(v, "content"), t->mem, &content, e));
        return add_result(t, json_get_str(v, "tool_use_id", (str){0}), (str){0}, content, e);
    }
    bool open = t->n > first && str_is(t->m[t->n - 1].role, role);
    if (assistant && str_is(type, "thinking")) {
        t->thought = json_get_str(v, "thinking", (str){0});
        return ERR_OK;
    }
    if (assistant && str_is(type, "redacted_thinking"))
        return ERR_OK; /* nobody here can read it */
    if (assistant && str_is(type, "tool_use")) {
        if (!open || t->thought.n > 0)
            TRY(turns_add(t, role, (str){0}, e));
        return add_call(t, &t->m[t->n - 1], json_get_str(v, "id", (str){0}), json_get_str(v, "name", (str){0}),
                        json_get(v, "input"), e);
    }
    return err_set(e, ERR_UNSUPPORTED, "a block of type \"%.*s\" is not supported here", STR_ARG(type));
}

/* The run of text blocks from *i on, joined. */
static err_code text_run(turns *t, const json_t *content, const char *role, size_t *i, err *e) {
    json_t *run = json_array();
    str text;
    if (!run || json_array_append_new(t->keep, run) != 0)
        return no_memory(e);
    for (; *i < json_array_size(content); (*i)++) {
        const json_t *v = json_array_get(content, *i);
        if (!str_is(json_get_str(v, "type", (str){0}), "text"))
            break;
        if (json_array_append(run, borrowed(v)) != 0)
            return no_memory(e);
    }
    TRY(params_content(run, t->mem, &text, e));
    return turns_add(t, role, text, e);
}

static err_code anthropic_message(turns *t, const json_t *v, err *e) {
    const char *role = NULL;
    const json_t *content = json_get(v, "content");
    str text;
    size_t first = t->n;
    if (!json_is_object(v))
        return err_set(e, ERR_USAGE, "an object is expected");
    TRY(read_role(v, &role, e));
    if (!json_is_array(content)) {
        TRY(params_content(content, t->mem, &text, e));
        return turns_add(t, role, text, e);
    }
    for (size_t i = 0; i < json_array_size(content);) {
        const json_t *part = json_array_get(content, i);
        if (str_is(json_get_str(part, "type", (str){0}), "text"))
            TRY(text_run(t, content, role, &i, e));
        else {
            err_code code = block(t, part, role, first, e);
            if (code != ERR_OK)
                return err_in(e, code, "content[%zu]", i);
            i++;
        }
    }
    return t->n > first ? ERR_OK : turns_add(t, role, (str){0}, e);
}

err_code turns_anthropic(turns *t, const json_t *messages, str front, err *e) {
    TRY(add_front(t, front, e));
    return each(t, messages, "messages", anthropic_message, e);
}
