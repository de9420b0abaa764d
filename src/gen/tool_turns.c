/* tool_turns: see tool_turns.h. */
#include "gen/tool_turns.h"

#include <string.h>

#include "text/json_write.h"

/* ---- what a template knows ---- */

/* A small conversation whose every part can be found again in what is rendered. */
static const char probe_text[] = "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"probe_tool\", "
                                 "\"description\": \"d\", \"parameters\": "
                                 "{\"type\": \"object\", \"properties\": {\"probe_key\": {\"type\": \"string\", "
                                 "\"description\": \"d\"}}, \"required\": "
                                 "[\"probe_key\"]}}}],"
                                 "\"in_system\": {\"tools\": \"probe_tool\"},"
                                 "\"object\": {\"tool_calls\": [{\"id\": \"abcdefghi\", \"type\": \"function\", "
                                 "\"function\": {\"name\": \"probe_tool\", "
                                 "\"arguments\": {\"probe_key\": \"probe_value\"}}}]},"
                                 "\"text\": {\"tool_calls\": [{\"id\": \"abcdefghi\", \"type\": \"function\", "
                                 "\"function\": {\"name\": \"probe_tool\", "
                                 "\"arguments\": \"{\\\"probe_key\\\": \\\"probe_value\\\"}\"}}]},"
                                 "\"result\": {\"name\": \"probe_tool\", \"tool_call_id\": \"abcdefghi\"}}";

typedef struct {
    const chat_template *c;
    const json_t *probe;
    strbuf text;
} prober;

/* Does the rendered conversation hold `word`? A template that refuses it does not know such messages. */
static err_code shows(prober *p, const chat_message *m, size_t n, bool tools, const char *word, bool *yes, err *e) {
    chat_options o = {.tools = tools ? json_object_get(p->probe, "tools") : NULL};
    err ignored = {0};
    p->text.n = 0;
    err_code code = chat_render(p->c, m, n, &o, &p->text, &ignored);
    *yes = code == ERR_OK && str_find(strbuf_str(&p->text), str_from(word), 0) >= 0;
    return code == ERR_MEMORY ? err_set(e, code, "no memory for the chat template") : ERR_OK;
}

static bool holds(const prober *p, const char *word) { return str_find(strbuf_str(&p->text), str_from(word), 0) >= 0; }

static err_code probe_tools(tool_style *s, prober *p, err *e) {
    chat_message m[2] = {{.role = STR("system"), .content = STR("s")}, {.role = STR("user"), .content = STR("u")}};
    TRY(shows(p, m + 1, 1, true, "probe_tool", &s->tools_variable, e));
    m[0].more = json_object_get(p->probe, "in_system");
    return s->tools_variable ? ERR_OK : shows(p, m, 2, false, "probe_tool", &s->tools_in_system, e);
}

/* A dictionary printed as Python does, or quotes within quotes, is not what a model was trained on. */
static err_code probe_calls(tool_style *s, prober *p, err *e) {
    static const char *const forms[] = {"object", "text"};
    chat_message m[2] = {{.role = STR("user"), .content = STR("u")}, {.role = STR("assistant")}};
    for (size_t i = 0; i < 2 && !s->calls; i++) {
        m[1].more = json_object_get(p->probe, forms[i]);
        TRY(shows(p, m, 2, s->tools_variable, "probe_key", &s->calls, e));
        s->calls = s->calls && holds(p, "probe_value") && !holds(p, "'probe_key'") && !holds(p, "\\\"probe_key");
        s->arguments_text = s->calls && i == 1;
    }
    return ERR_OK;
}

static err_code probe_results(tool_style *s, prober *p, err *e) {
    chat_message m[3] = {{.role = STR("user"), .content = STR("u")},
                         {.role = STR("assistant"), .content = STR("c")},
                         {.role = STR("tool"), .content = STR("probe_result")}};
    if (s->calls) {
        m[1].content = (str){0};
        m[1].more = json_object_get(p->probe, s->arguments_text ? "text" : "object");
    }
    m[2].more = json_object_get(p->probe, "result");
    return shows(p, m, 3, s->tools_variable, "probe_result", &s->results, e);
}

static bool marks_are_special(const tool_format *f, const tokenizer *t) {
    const char *const marks[] = {f->begin, f->open, f->named, f->close, f->end, f->tail};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        int32_t id = marks[i] ? tokenizer_id_of(t, str_from(marks[i])) : -1;
        if (id >= 0 && tokenizer_is_control(t, id))
            return true;
    }
    return false;
}

err_code tool_style_learn(tool_style *s, const chat_template *c, const tokenizer *t, str source, err *e) {
    json_t *probe = NULL;
    *s = (tool_style){.format = tool_format_of(source)};
    TRY(json_read(str_from(probe_text), sizeof probe_text, &probe, e));
    prober p = {.c = c, .probe = probe};
    err_code code = probe_tools(s, &p, e);
    if (code == ERR_OK && (s->tools_variable || s->tools_in_system)) {
        code = probe_calls(s, &p, e);
        if (code == ERR_OK)
            code = probe_results(s, &p, e);
    }
    s->special = marks_are_special(s->format, t);
    strbuf_fini(&p.text);
    json_decref(probe);
    return code;
}

/* ---- fitting ---- */

typedef struct {
    const tool_style *s;
    arena *mem;
    json_t *keep;
    tool_talk *out;
    size_t at;     /* the message at hand */
    strbuf joined; /* the text of the last message, when that is a user's made of results: more may be added to it */
} fitter;

static chat_message *add(fitter *k, size_t from) {
    k->out->from[k->out->n] = from;
    return &k->out->m[k->out->n++];
}

static err_code kept_text(fitter *k, strbuf *text, str *out, err *e) {
    *out = arena_str(k->mem, strbuf_str(text));
    size_t n = text->n;
    strbuf_fini(text);
    return out->p ? ERR_OK : arena_short(e, n, 1);
}

static err_code kept_value(fitter *k, json_t *v, err *e) {
    return v && json_array_append_new(k->keep, v) == 0 ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the messages");
}

static err_code tools_text(const json_t *tools, bool lines, strbuf *out, err *e) {
    if (!lines)
        return json_write(tools, 0, out, e);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        TRY(json_write(json_array_get(tools, i), 0, out, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return ERR_OK;
}

static err_code our_words(str before, const json_t *tools, strbuf *out, err *e) {
    TRY(strbuf_add(out, before, e));
    TRY(strbuf_add(out, before.n > 0 ? STR("\n\n") : (str){0}, e));
    TRY(strbuf_add(out, STR("You can call these functions; each is described by a JSON schema:\n"), e));
    TRY(tools_text(tools, true, out, e));
    return strbuf_add(
        out,
        STR("To call one, write nothing but\n<tool_call>\n{\"name\": NAME, \"arguments\": {...}}\n</tool_call>\n"
            "Several calls are several such blocks. What a function returns comes back between "
            "<tool_response> and </tool_response>. Answer without a call when none is needed."),
        e);
}

/* The system's message, when the template does not take tools itself: m is it, or NULL when there is none. */
static err_code fit_system(fitter *k, const chat_message *m, const json_t *tools, err *e) {
    chat_message *to = add(k, m ? k->at : TOOL_TURNS_OURS);
    strbuf text = {0};
    *to = m ? *m : (chat_message){.role = STR("system")};
    err_code code =
        k->s->tools_in_system ? tools_text(tools, false, &text, e) : our_words(to->content, tools, &text, e);
    if (code != ERR_OK) {
        strbuf_fini(&text);
        return code;
    }
    if (!k->s->tools_in_system)
        return kept_text(k, &text, &to->content, e);
    json_t *more = json_pack("{s:s%}", "tools", text.n ? text.p : "", text.n);
    strbuf_fini(&text);
    to->more = more;
    return kept_value(k, more, e);
}

/* {"tool_calls"} with each call's arguments as text. */
static err_code calls_as_text(fitter *k, chat_message *m, err *e) {
    json_t *more = json_deep_copy(m->more);
    TRY(kept_value(k, more, e));
    m->more = more;
    const json_t *calls = json_object_get(more, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function");
        strbuf text = {0};
        err_code code = json_write(json_object_get(function, "arguments"), 0, &text, e);
        if (code == ERR_OK && json_object_set_new(function, "arguments", json_stringn(text.p, text.n)) != 0)
            code = err_set(e, ERR_MEMORY, "no memory for the messages");
        strbuf_fini(&text);
        TRY(code);
    }
    return ERR_OK;
}

static err_code write_calls(const tool_format *f, const chat_message *m, strbuf *text, err *e) {
    const json_t *calls = json_object_get(m->more, "tool_calls");
    TRY(strbuf_add(text, m->content, e));
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        TRY(strbuf_add(text, text->n > 0 ? STR("\n") : (str){0}, e));
        TRY(tool_write(f, json_get_str(function, "name", (str){0}), json_object_get(function, "arguments"), text, e));
    }
    return ERR_OK;
}

static err_code fit_calls(fitter *k, const chat_message *m, err *e) {
    chat_message *to = add(k, k->at);
    *to = *m;
    if (k->s->calls)
        return k->s->arguments_text ? calls_as_text(k, to, e) : ERR_OK;
    strbuf text = {0};
    err_code code = write_calls(k->s->format, m, &text, e);
    if (code != ERR_OK) {
        strbuf_fini(&text);
        return code;
    }
    TRY(kept_text(k, &text, &to->content, e));
    json_t *more = json_copy((json_t *)(uintptr_t)m->more);
    TRY(kept_value(k, more, e));
    to->more = more;
    json_object_del(more, "tool_calls"); /* which the text has */
    return ERR_OK;
}

/* Nothing more is added to the results. */
static err_code results_ended(fitter *k, err *e) {
    return k->joined.n > 0 ? kept_text(k, &k->joined, &k->out->m[k->out->n - 1].content, e) : ERR_OK;
}

/* Results in a row, and what the user says right after them, are one message of the user's. */
static err_code fit_result(fitter *k, const chat_message *m, err *e) {
    bool result = str_is(m->role, "tool");
    if (k->joined.n == 0)
        *add(k, k->at) = (chat_message){.role = STR("user")};
    else
        TRY(strbuf_addc(&k->joined, '\n', e));
    TRY(strbuf_add(&k->joined, result ? STR("<tool_response>\n") : (str){0}, e));
    TRY(strbuf_add(&k->joined, m->content, e));
    return result ? strbuf_add(&k->joined, STR("\n</tool_response>"), e) : results_ended(k, e);
}

static err_code fit(fitter *k, const chat_message *m, err *e) {
    bool follows = k->joined.n > 0 && str_is(m->role, "user");
    if ((str_is(m->role, "tool") && !k->s->results) || follows)
        return fit_result(k, m, e);
    TRY(results_ended(k, e));
    if (json_array_size(json_object_get(m->more, "tool_calls")) > 0)
        return fit_calls(k, m, e);
    *add(k, k->at) = *m;
    return ERR_OK;
}

err_code tool_turns(const tool_style *s, const chat_message *m, size_t n, const json_t *tools, arena *mem, json_t *keep,
                    tool_talk *out, err *e) {
    fitter k = {.s = s, .mem = mem, .keep = keep, .out = out};
    bool told = json_array_size(tools) > 0 && !s->tools_variable;
    *out = (tool_talk){.tools = json_array_size(tools) > 0 && s->tools_variable ? tools : NULL};
    ARENA_NEW(mem, out->m, n + 1, e);
    ARENA_NEW(mem, out->from, n + 1, e);
    if (told) {
        bool has = n > 0 && str_is(m[0].role, "system");
        TRY(fit_system(&k, has ? &m[0] : NULL, tools, e));
        k.at = has;
    }
    err_code code = ERR_OK;
    for (; k.at < n && code == ERR_OK; k.at++)
        code = fit(&k, &m[k.at], e);
    if (code == ERR_OK)
        code = results_ended(&k, e);
    strbuf_fini(&k.joined);
    return code;
}
