/* record: see record.h. */
#include "tune/record.h"

#include <string.h>

#include "text/json_write.h"

const char *const record_form_names[RECORD_FORMS_N] = {
#define X(name, word) word,
    RECORD_FORMS(X)
#undef X
};

static err_code no_memory(err *e) { return err_set(e, ERR_MEMORY, "no memory for an example"); }

static json_t *borrowed(const json_t *v) { return (json_t *)(uintptr_t)v; }

/* The member, NULL when it is missing or null. */
static const json_t *field(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

static err_code kept(record *r, json_t *v, err *e) {
    return v && json_array_append_new(r->keep, v) == 0 ? ERR_OK : no_memory(e);
}

/* "KEY: WHAT", unless memory is short. */
static err_code at_key(err *e, err_code code, const char *key) {
    return code == ERR_OK || code == ERR_MEMORY ? code : err_in(e, code, "%s", key);
}

/* ---- texts ---- */

static err_code text_of(const json_t *o, const char *key, bool needed, str *out, err *e) {
    const json_t *v = field(o, key);
    *out = (str){"", 0};
    if (!v && !needed)
        return ERR_OK;
    if (!json_is_string(v))
        return err_set(e, ERR_FORMAT, "%s: %s", key, v ? "is no text" : "is missing");
    *out = json_str_of(v);
    return ERR_OK;
}

/* A text, or a list of parts that are texts. */
static err_code content_of(record *r, const json_t *v, str *out, err *e) {
    *out = (str){"", 0};
    if (!v)
        return ERR_OK;
    if (json_is_string(v)) {
        *out = json_str_of(v);
        return ERR_OK;
    }
    if (!json_is_array(v))
        return err_set(e, ERR_FORMAT, "content: a text or a list of parts is expected");
    strbuf all = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < json_array_size(v) && code == ERR_OK; i++) {
        const json_t *part = json_array_get(v, i), *text = field(part, "text");
        if (!json_is_string(text) || !str_is(json_get_str(part, "type", STR("text")), "text"))
            code = err_set(e, ERR_UNSUPPORTED, "content[%zu]: only parts of type text can be learned from", i);
        else
            code = strbuf_add(&all, json_str_of(text), e);
    }
    if (code == ERR_OK) {
        *out = arena_str(&r->mem, strbuf_str(&all));
        code = out->p ? ERR_OK : no_memory(e);
    }
    strbuf_fini(&all);
    return code;
}

/* ---- calls and tools ---- */

/* A value, or what the text of one says. A new reference. */
static err_code value_of(const json_t *v, json_t **out, err *e) {
    if (!json_is_string(v)) {
        *out = json_incref(borrowed(v));
        return ERR_OK;
    }
    str s = json_str_of(v);
    return json_read(s, s.n, out, e);
}

static err_code call_of(const json_t *v, json_t **out, err *e) {
    const json_t *function = field(v, "function") ? field(v, "function") : v, *given = field(function, "arguments");
    str name = json_get_str(function, "name", (str){0}), id = json_get_str(v, "id", STR(""));
    json_t *arguments = NULL;
    if (name.n == 0)
        return err_set(e, ERR_FORMAT, "a call without a name");
    if (given)
        TRY(value_of(given, &arguments, e));
    else
        arguments = json_object();
    if (arguments && !json_is_object(arguments)) {
        json_decref(arguments);
        return err_set(e, ERR_FORMAT, "arguments: an object is expected");
    }
    *out = json_pack("{s:s%, s:s, s:{s:s%, s:o}}", "id", id.p, id.n, "type", "function", "function", "name", name.p,
                     name.n, "arguments", arguments);
    return *out ? ERR_OK : no_memory(e);
}

static err_code calls_of(const json_t *v, json_t *calls, err *e) {
    if (!json_is_array(v))
        return err_set(e, ERR_FORMAT, "tool_calls: a list is expected");
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *call = NULL;
        err_code code = call_of(json_array_get(v, i), &call, e);
        if (code == ERR_OK && json_array_append_new(calls, call) != 0)
            code = no_memory(e);
        if (code != ERR_OK)
            return code == ERR_MEMORY ? code : err_in(e, code, "tool_calls[%zu]", i);
    }
    return ERR_OK;
}

/* {"type": "function", "function": ...} each. */
static err_code read_tools(record *r, err *e) {
    const json_t *given = field(r->json, "tools");
    json_t *list = NULL, *out = json_array();
    TRY(kept(r, out, e));
    if (!given || (json_is_string(given) && json_string_length(given) == 0))
        return ERR_OK;
    TRY(at_key(e, value_of(given, &list, e), "tools"));
    TRY(kept(r, list, e));
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "tools: a list is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i), *function = field(v, "function") ? field(v, "function") : v;
        if (!json_is_string(json_object_get(function, "name")))
            return err_set(e, ERR_FORMAT, "tools[%zu]: a function with a name is expected", i);
        json_t *tool = function == v ? json_pack("{s:s, s:O}", "type", "function", "function", borrowed(v))
                                     : json_incref(borrowed(v));
        if (!tool || json_array_append_new(out, tool) != 0)
            return no_memory(e);
    }
    r->tools = json_array_size(out) > 0 ? out : NULL;
    return ERR_OK;
}

/* ---- messages ---- */

static const struct {
    const char *name, *means;
} role_names[] = {
    {"system", "system"},
    {"developer", "system"},
    {"user", "user"},
    {"assistant", "assistant"},
    {"tool", "tool"},
    {"function", "tool"},
    {"human", "user"},
    {"gpt", "assistant"},
    {"model", "assistant"},
    {"chatgpt", "assistant"},
    {"bot", "assistant"},
    {"observation", "tool"},
    {"function_response", "tool"},
    {"ipython", "tool"},
};

static err_code role_of(const json_t *v, const char *key, str *out, err *e) {
    str name;
    TRY(text_of(v, key, true, &name, e));
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (str_is(name, role_names[i].name)) {
            *out = str_from(role_names[i].means);
            return ERR_OK;
        }
    return err_set(e, ERR_FORMAT, "%s: \"%.*s\" is none of system, user, assistant, tool", key, STR_ARG(name));
}

static err_code mute_of(const json_t *v, bool *out, err *e) {
    const json_t *weight = field(v, "weight");
    double x = weight ? json_number_value(weight) : 1;
    *out = x == 0;
    return !weight || (json_is_number(weight) && (x == 0 || x == 1))
               ? ERR_OK
               : err_set(e, ERR_FORMAT, "weight: 0 or 1 is expected");
}

/* What a message has beside its role and content; NULL: nothing. */
static err_code more_of(record *r, const json_t *v, const json_t **out, err *e) {
    static const char *const own[] = {"role", "content", "from", "value", "weight", "tool_calls"};
    const json_t *calls = field(v, "tool_calls");
    json_t *more = json_copy(borrowed(v)), *list;
    TRY(kept(r, more, e));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        json_object_del(more, own[i]);
    if (calls) {
        list = json_array();
        if (!list || json_object_set_new(more, "tool_calls", list) != 0)
            return no_memory(e);
        TRY(calls_of(calls, list, e));
    }
    *out = json_object_size(more) > 0 ? more : NULL;
    return ERR_OK;
}

static err_code message_of(record *r, const json_t *v, chat_message *m, bool *mute, err *e) {
    if (!json_is_object(v))
        return err_set(e, ERR_FORMAT, "an object is expected");
    bool sharegpt = !field(v, "role") && field(v, "from");
    TRY(role_of(v, sharegpt ? "from" : "role", &m->role, e));
    TRY(content_of(r, field(v, sharegpt ? "value" : "content"), &m->content, e));
    TRY(mute_of(v, mute, e));
    return more_of(r, v, &m->more, e);
}

/* Room for n more messages. */
static err_code more_turns(record *r, record_turns *t, size_t n, err *e) {
    record_turns old = *t;
    if (n > RECORD_MESSAGES_MAX - old.n)
        return err_set(e, ERR_LIMIT, "more than %d messages", RECORD_MESSAGES_MAX);
    ARENA_NEW(&r->mem, t->m, old.n + n, e);
    ARENA_NEW(&r->mem, t->mute, old.n + n, e);
    if (old.n > 0) {
        memcpy(t->m, old.m, old.n * sizeof *t->m);
        memcpy(t->mute, old.mute, old.n * sizeof *t->mute);
    }
    return ERR_OK;
}

static err_code add_text(record *r, record_turns *t, const char *role, str text, err *e) {
    TRY(more_turns(r, t, 1, e));
    t->m[t->n++] = (chat_message){.role = str_from(role), .content = text};
    return ERR_OK;
}

/* The messages under `key`, a list, or one message of `role` when it is a text (role NULL: refused). */
static err_code add_turns(record *r, record_turns *t, const char *key, const char *role, err *e) {
    const json_t *v = field(r->json, key);
    if (json_is_string(v) && role)
        return add_text(r, t, role, json_str_of(v), e);
    if (!json_is_array(v) || json_array_size(v) == 0)
        return err_set(e, ERR_FORMAT, "%s: a list of messages%s is expected", key, role ? " or a text" : "");
    size_t n = json_array_size(v);
    err_code code = more_turns(r, t, n, e);
    if (code != ERR_OK)
        return at_key(e, code, key);
    for (size_t i = 0; i < n; i++, t->n++) {
        code = message_of(r, json_array_get(v, i), &t->m[t->n], &t->mute[t->n], e);
        if (code != ERR_OK)
            return code == ERR_MEMORY ? code : err_in(e, code, "%s[%zu]", key, i);
    }
    return ERR_OK;
}

/* ---- forms ---- */

static err_code add_system(record *r, record_turns *t, err *e) {
    str system;
    TRY(text_of(r->json, "system", false, &system, e));
    return system.n > 0 ? add_text(r, t, "system", system, e) : ERR_OK;
}

static err_code read_chat(record *r, err *e) { return add_turns(r, &r->way[0], "messages", NULL, e); }

static err_code read_sharegpt(record *r, err *e) {
    TRY(add_system(r, &r->way[0], e));
    return add_turns(r, &r->way[0], "conversations", NULL, e);
}

/* prompt, and `answer` behind it; is_plain when both are texts. */
static err_code read_way(record *r, int way, const char *prompt, const char *answer, err *e) {
    record_turns *t = &r->way[way];
    TRY(add_turns(r, t, prompt, "user", e));
    r->n_prompt = t->n;
    r->is_plain = json_is_string(field(r->json, prompt)) && json_is_string(field(r->json, answer));
    r->prompt = json_get_str(r->json, prompt, STR(""));
    r->answer[way] = json_get_str(r->json, answer, STR(""));
    return add_turns(r, t, answer, "assistant", e);
}

static err_code read_prompt(record *r, err *e) { return read_way(r, 0, "prompt", "completion", e); }

static bool same_message(const record *r, size_t i) {
    const json_t *a = json_array_get(field(r->json, "chosen"), i), *b = json_array_get(field(r->json, "rejected"), i);
    return json_equal(borrowed(a), borrowed(b)) == 1;
}

static err_code read_pair(record *r, err *e) {
    const char *prompt = field(r->json, "prompt") ? "prompt" : field(r->json, "messages") ? "messages" : NULL;
    if (prompt) {
        TRY(read_way(r, 0, prompt, "chosen", e));
        bool plain = r->is_plain;
        TRY(read_way(r, 1, prompt, "rejected", e));
        r->is_plain = r->is_plain && plain;
        return ERR_OK;
    }
    if (json_is_string(field(r->json, "chosen")))
        return err_set(e, ERR_FORMAT, "prompt: is missing (chosen and rejected as texts need one)");
    TRY(add_turns(r, &r->way[0], "chosen", NULL, e));
    TRY(add_turns(r, &r->way[1], "rejected", NULL, e));
    while (r->n_prompt < r->way[0].n && r->n_prompt < r->way[1].n && same_message(r, r->n_prompt))
        r->n_prompt++;
    return r->n_prompt > 0 ? ERR_OK : err_set(e, ERR_FORMAT, "chosen and rejected begin with no common prompt");
}

/* Without a template: the words of Stanford Alpaca's own prompt (Taori et al., 2023). */
static err_code alpaca_words(record *r, str instruction, str input, str system, err *e) {
    static const char without[] = "Below is an instruction that describes a task. Write a response that appropriately "
                                  "completes the request.\n\n",
                      with[] = "Below is an instruction that describes a task, paired with an input that provides "
                               "further context. Write a response that appropriately completes the request.\n\n";
    strbuf b = {0};
    err_code code = strbuf_add(&b, system.n > 0 ? system : str_from(input.n > 0 ? with : without), e);
    const str part[] = {system.n > 0 ? STR("\n\n") : STR(""),
                        STR("### Instruction:\n"),
                        instruction,
                        input.n > 0 ? STR("\n\n### Input:\n") : STR(""),
                        input,
                        STR("\n\n### Response:\n")};
    for (size_t i = 0; i < sizeof part / sizeof *part && code == ERR_OK; i++)
        code = strbuf_add(&b, part[i], e);
    if (code == ERR_OK) {
        r->prompt = arena_str(&r->mem, strbuf_str(&b));
        code = r->prompt.p ? ERR_OK : no_memory(e);
    }
    strbuf_fini(&b);
    return code;
}

static err_code joined(record *r, str a, str b, str *out, err *e) {
    *out = a;
    if (b.n == 0)
        return ERR_OK;
    char *p;
    ARENA_NEW(&r->mem, p, a.n + 2 + b.n, e);
    if (a.n > 0)
        memcpy(p, a.p, a.n);
    memcpy(p + a.n, "\n\n", 2);
    memcpy(p + a.n + 2, b.p, b.n);
    *out = (str){p, a.n + 2 + b.n};
    return ERR_OK;
}

/* The input stands below the instruction in the user's message. */
static err_code read_alpaca(record *r, err *e) {
    str instruction, input, system, asked;
    TRY(text_of(r->json, "instruction", true, &instruction, e));
    TRY(text_of(r->json, "input", false, &input, e));
    TRY(text_of(r->json, "output", true, &r->answer[0], e));
    TRY(text_of(r->json, "system", false, &system, e));
    TRY(joined(r, instruction, input, &asked, e));
    TRY(add_system(r, &r->way[0], e));
    TRY(add_text(r, &r->way[0], "user", asked, e));
    r->n_prompt = r->way[0].n;
    r->is_plain = true;
    TRY(alpaca_words(r, instruction, input, system, e));
    return add_text(r, &r->way[0], "assistant", r->answer[0], e);
}

static err_code read_text(record *r, err *e) { return text_of(r->json, "text", true, &r->text, e); }

static const struct {
    record_form form;
    const char *key[2]; /* both must be there */
    err_code (*read)(record *r, err *e);
} forms[] = {
    {RECORD_PAIR, {"chosen", "rejected"}, read_pair},
    {RECORD_CHAT, {"messages", "messages"}, read_chat},
    {RECORD_SHAREGPT, {"conversations", "conversations"}, read_sharegpt},
    {RECORD_PROMPT, {"prompt", "completion"}, read_prompt},
    {RECORD_ALPACA, {"instruction", "output"}, read_alpaca},
    {RECORD_TEXT, {"text", "text"}, read_text},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

static size_t form_of(const json_t *v) {
    size_t i = 0;
    while (i < N_FORMS && !(field(v, forms[i].key[0]) && field(v, forms[i].key[1])))
        i++;
    return i;
}

static err_code read_form(record *r, size_t i, err *e) {
    r->form = forms[i].form;
    r->keep = json_array();
    if (!r->keep)
        return no_memory(e);
    TRY(read_tools(r, e));
    return forms[i].read(r, e);
}

err_code record_read(record *r, str line, err *e) {
    record_fini(r);
    TRY(json_read(line, line.n, &r->json, e));
    if (!json_is_object(r->json))
        return err_set(e, ERR_FORMAT, "is JSON, but no object");
    size_t i = form_of(r->json);
    return i < N_FORMS ? read_form(r, i, e)
                       : err_set(e, ERR_FORMAT,
                                 "none of \"messages\", \"conversations\", \"prompt\" with \"completion\", "
                                 "\"instruction\" with \"output\", \"chosen\" with \"rejected\", \"text\" is there");
}

err_code record_read_document(record *r, str text, err *e) {
    record_fini(r);
    if (str_starts(text, STR("{"))) {
        err_code code = json_read(text, text.n, &r->json, NULL);
        if (code == ERR_MEMORY)
            return no_memory(e);
        size_t i = code == ERR_OK && json_is_object(r->json) ? form_of(r->json) : N_FORMS;
        if (i < N_FORMS)
            return read_form(r, i, e);
    }
    r->form = RECORD_TEXT;
    r->text = text;
    return ERR_OK;
}

void record_fini(record *r) {
    json_decref(r->json);
    json_decref(r->keep);
    arena_fini(&r->mem);
    *r = (record){0};
}

static err_code show_turns(const record_turns *t, size_t from, const char *what, strbuf *out, err *e) {
    for (size_t i = from; i < t->n; i++) {
        const chat_message *m = &t->m[i];
        TRY(strbuf_addf(out, e, "%s%.*s: ", what, STR_ARG(m->role)));
        TRY(strbuf_add(out, m->content, e));
        const json_t *calls = json_object_get(m->more, "tool_calls");
        if (calls)
            TRY(json_write(calls, 0, out, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return ERR_OK;
}

err_code record_show(const record *r, size_t most, strbuf *out, err *e) {
    size_t before = out->n;
    bool pair = r->form == RECORD_PAIR;
    TRY(strbuf_add(out, r->text, e));
    TRY(show_turns(&r->way[0], 0, "", out, e));
    if (pair)
        TRY(show_turns(&r->way[1], r->n_prompt, "rejected ", out, e));
    if (out->n - before > most) {
        out->n = before + most;
        TRY(strbuf_add(out, STR("...\n"), e));
    }
    return ERR_OK;
}
