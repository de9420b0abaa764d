/* tool_format: see tool_format.h. */
#include "gen/tool_format.h"

#include <string.h>

#include "text/gbnf.h"
#include "text/json_write.h"
#include "text/schema.h"

#define DS_BAR "\xEF\xBD\x9C" /* the bar and the blank of DeepSeek's tokens */
#define DS_GAP "\xE2\x96\x81"
#define DS(a, b, c) "<" DS_BAR a DS_GAP b DS_GAP c DS_BAR ">"
#define DS_SEP "<" DS_BAR "tool" DS_GAP "sep" DS_BAR ">"

const tool_format tool_formats[] = {
    {.name = "functiongemma",
     .sign = {"<start_function_call>"},
     .begin = "<start_function_call>",
     .open = "call:",
     .named = "{",
     .args = TOOL_GEMMA,
     .end = "<end_function_call>"},
    {.name = "qwen3-coder",
     .sign = {"<tool_call>", "<parameter="},
     .begin = "<tool_call>",
     .open = "<function=",
     .named = ">",
     .args = TOOL_XML,
     .close = "</function>",
     .end = "</tool_call>"},
    {.name = "phi-4-mini",
     .sign = {"<|tool|>"},
     .begin = "<|tool_call|>",
     .first = "[",
     .between = ",",
     .end = "]",
     .tail = "<|/tool_call|>",
     .key = "arguments"},
    {.name = "granite",
     .sign = {"<|tool_call|>"},
     .begin = "<|tool_call|>",
     .first = "[",
     .between = ",",
     .end = "]",
     .key = "arguments"},
    {.name = "deepseek",
     .sign = {DS("tool", "calls", "begin"), "```json"},
     .begin = DS("tool", "calls", "begin"),
     .open = DS("tool", "call", "begin") "function" DS_SEP,
     .named = "\n```json\n",
     .close = "\n```" DS("tool", "call", "end"),
     .between = "",
     .end = DS("tool", "calls", "end")},
    {.name = "deepseek-v3.1",
     .sign = {DS("tool", "calls", "begin")},
     .begin = DS("tool", "calls", "begin"),
     .open = DS("tool", "call", "begin"),
     .named = DS_SEP,
     .close = DS("tool", "call", "end"),
     .between = "",
     .end = DS("tool", "calls", "end")},
    {.name = "mistral-v11", .sign = {"[TOOL_CALLS]", "[ARGS]"}, .begin = "[TOOL_CALLS]", .named = "[ARGS]"},
    {.name = "mistral",
     .sign = {"[TOOL_CALLS]"},
     .begin = "[TOOL_CALLS]",
     .first = "[",
     .between = ",",
     .end = "]",
     .key = "arguments"},
    {.name = "llama3",
     .sign = {"<|start_header_id|>", "\"parameters\""},
     .begin = "<|python_tag|>",
     .between = ";",
     .key = "parameters",
     .bare = true},
    {.name = "hermes", .begin = "<tool_call>", .end = "</tool_call>", .key = "arguments", .loose = true},
    {0},
};

const tool_format *tool_format_of(str source) {
    const tool_format *f = tool_formats;
    for (; f[1].name; f++) {
        bool all = true;
        for (size_t i = 0; i < 2; i++)
            all = all && (!f->sign[i] || str_find(source, str_from(f->sign[i]), 0) >= 0);
        if (all)
            break;
    }
    return f;
}

const tool_format *tool_format_named(const char *name) {
    for (const tool_format *f = tool_formats; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

const json_t *tool_find(const json_t *tools, str name) {
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        if (str_eq(json_get_str(f, "name", (str){0}), name))
            return f;
    }
    return NULL;
}

const json_t *tool_property(const json_t *function, str key) {
    json_t *all = json_object_get(json_object_get(function, "parameters"), "properties"), *v;
    const char *name;
    json_object_foreach(all, name, v) if (str_is(key, name)) return v;
    return NULL;
}

/* ---- grammar ---- */

static err_code literal(const char *s, strbuf *out, err *e) {
    if (!s || !*s)
        return ERR_OK;
    TRY(gbnf_quote(str_from(s), out, e));
    return strbuf_addc(out, ' ', e);
}

static err_code quoted(strbuf *text, strbuf *out, err *e) {
    TRY(gbnf_quote(strbuf_str(text), out, e));
    return strbuf_addc(out, ' ', e);
}

/* `before`, then s as a JSON string, then `after`: one literal. */
static err_code json_literal(const char *before, str s, const char *after, strbuf *out, err *e) {
    strbuf b = {0};
    err_code code = strbuf_add(&b, str_from(before), e);
    if (code == ERR_OK)
        code = json_quote(s, &b, e);
    if (code == ERR_OK)
        code = strbuf_add(&b, str_from(after), e);
    if (code == ERR_OK)
        code = quoted(&b, out, e);
    strbuf_fini(&b);
    return code;
}

/* Arguments that are not one JSON object; Gemma's first brace is the call's own mark. */
static const schema_notation notations[] = {
    [TOOL_XML] = {.begin = "",
                  .open = "\n<parameter=",
                  .named = ">\n",
                  .close = "\n</parameter>",
                  .between = "",
                  .finish = "\n",
                  .quote = "",
                  .reserved = ">"},
    [TOOL_GEMMA] = {.begin = "",
                    .open = "",
                    .named = ":",
                    .close = "",
                    .between = ",",
                    .finish = "}",
                    .quote = "<escape>",
                    .reserved = "\":,{}[] "},
};

static const schema_notation *notation_of(const tool_format *f) {
    return f->args == TOOL_JSON ? NULL : &notations[f->args];
}

static err_code arguments_rules(const tool_format *f, const json_t *function, const char *name, strbuf *out, err *e) {
    json_t *none = NULL;
    const json_t *parameters = json_object_get(function, "parameters");
    if (!json_is_object(parameters) || json_object_size(parameters) == 0)
        parameters = none = json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
    if (!parameters)
        return err_set(e, ERR_MEMORY, "no memory for a schema");
    err_code code = schema_to_rules(parameters, notation_of(f), name, out, e);
    json_decref(none);
    return code;
}

/* `NAME ::= ...` of one call, and the rules of its arguments. */
static err_code call_rule(const tool_format *f, const json_t *function, size_t i, strbuf *out, err *e) {
    char args[32], key[48];
    str name = json_get_str(function, "name", (str){0});
    snprintf(args, sizeof args, "a%zu", i);
    TRY(arguments_rules(f, function, args, out, e));
    TRY(strbuf_addf(out, e, "c%zu ::= ", i));
    TRY(literal(f->open, out, e));
    if (f->named) {
        TRY(gbnf_quote(name, out, e));
        TRY(strbuf_addc(out, ' ', e));
        TRY(literal(f->named, out, e));
        TRY(strbuf_addf(out, e, "%s ", args));
    } else {
        snprintf(key, sizeof key, ", \"%s\": ", f->key);
        TRY(json_literal("{\"name\": ", name, key, out, e));
        TRY(strbuf_addf(out, e, "%s \"}\" ", args));
    }
    TRY(literal(f->close, out, e));
    return strbuf_addc(out, '\n', e);
}

/* Hermes's calls stand on lines of their own. */
static bool has_lines(const tool_format *f) { return !f->first && !f->open && !f->named && f->end; }

static err_code rules(const tool_format *f, const json_t *tools, str only, size_t most, strbuf *out, err *e) {
    strbuf any = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < json_array_size(tools) && code == ERR_OK; i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        str name = json_get_str(function, "name", (str){0});
        if (only.n > 0 && !str_eq(name, only))
            continue;
        code = call_rule(f, function, i, out, e);
        if (code != ERR_OK)
            err_in(e, code, "tool \"%.*s\"", STR_ARG(name));
        else
            code = strbuf_addf(&any, e, "%sc%zu ", any.n ? "| " : "", i);
    }
    if (code == ERR_OK)
        code = schema_shared_rules(notation_of(f), out, e);
    if (code == ERR_OK)
        code = strbuf_addf(out, e, "call ::= %.*s\nsection ::= ", (int)any.n, any.n ? any.p : "");
    strbuf_fini(&any);
    TRY(code);
    const char *line = has_lines(f) ? "\n" : NULL;
    TRY(literal(f->bare ? NULL : f->begin, out, e));
    TRY(literal(line, out, e));
    TRY(literal(f->first, out, e));
    TRY(strbuf_addf(out, e, "call "));
    if (f->between && most > 1) {
        TRY(strbuf_addf(out, e, "( "));
        TRY(literal(f->between, out, e));
        TRY(strbuf_addf(out, e, "call ){0,%zu} ", most - 1));
    }
    TRY(literal(line, out, e));
    TRY(literal(f->end, out, e));
    TRY(literal(f->tail, out, e));
    if (f->between || most == 1)
        return strbuf_addf(out, e, "\nroot ::= section\n");
    return strbuf_addf(out, e, "\nroot ::= section ( \"\\n\" section ){0,%zu}\n", most - 1);
}

err_code tool_grammar(const tool_format *f, const json_t *tools, str only, size_t most, grammar **out, err *e) {
    strbuf text = {0};
    err_code code = rules(f, tools, only, most, &text, e);
    if (code == ERR_OK)
        code = gbnf_compile(out, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

/* ---- calls of earlier turns ---- */

static err_code add(const char *s, strbuf *out, err *e) { return strbuf_add(out, str_from(s), e); }

static err_code write_xml(const json_t *arguments, strbuf *out, err *e) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)arguments, key, v) {
        TRY(strbuf_addf(out, e, "\n<parameter=%s>\n", key));
        TRY(json_is_string(v) ? strbuf_add(out, json_str_of(v), e) : json_write(v, 0, out, e));
        TRY(add("\n</parameter>", out, e));
    }
    return add("\n", out, e);
}

/* Gemma's reader takes JSON strings, too: for what cannot stand as it is. */
static err_code write_gemma(const json_t *arguments, strbuf *out, err *e) {
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)arguments, key, v) {
        bool plain = *key && !strpbrk(key, "\":,{}[]<> \t\r\n");
        TRY(add(n++ ? "," : "", out, e));
        TRY(plain ? add(key, out, e) : json_quote(str_from(key), out, e));
        TRY(add(":", out, e));
        bool text = json_is_string(v) && str_find(json_str_of(v), STR("<escape>"), 0) < 0;
        TRY(add(text ? "<escape>" : "", out, e));
        TRY(text ? strbuf_add(out, json_str_of(v), e) : json_write(v, 0, out, e));
        TRY(add(text ? "<escape>" : "", out, e));
    }
    return add("}", out, e);
}

static err_code write_arguments(const tool_format *f, const json_t *arguments, strbuf *out, err *e) {
    return f->args == TOOL_XML     ? write_xml(arguments, out, e)
           : f->args == TOOL_GEMMA ? write_gemma(arguments, out, e)
                                   : json_write(arguments, 0, out, e);
}

err_code tool_write(const tool_format *f, str name, const json_t *arguments, strbuf *out, err *e) {
    const char *line = has_lines(f) ? "\n" : "";
    const char *const before[] = {f->bare ? "" : f->begin, line, f->first, f->open};
    const char *const after[] = {f->close, line, f->end, f->tail};
    for (size_t i = 0; i < 4; i++)
        TRY(add(before[i], out, e));
    if (f->named) {
        TRY(strbuf_add(out, name, e));
        TRY(add(f->named, out, e));
    } else {
        TRY(add("{\"name\": ", out, e));
        TRY(json_quote(name, out, e));
        TRY(strbuf_addf(out, e, ", \"%s\": ", f->key));
    }
    TRY(write_arguments(f, arguments, out, e));
    TRY(add(f->named ? "" : "}", out, e));
    for (size_t i = 0; i < 4; i++)
        TRY(add(after[i], out, e));
    return ERR_OK;
}
