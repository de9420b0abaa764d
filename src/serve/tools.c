/* tools: see tools.h. */
#include "serve/tools.h"

#include <string.h>

#include "serve/params.h"

/* Where an API's tool has what. */
typedef struct {
    const char *inside;  /* the member that holds name, description, schema; NULL: the tool itself */
    const char *schema;  /* what the schema is called */
    const char *kind[2]; /* the types that the client runs; missing is one, too, unless `typed` */
    bool typed;
} shape;

static const shape openai = {"function", "parameters", {"function", "function"}, true};
static const shape responses = {NULL, "parameters", {"function", "function"}, true};
static const shape anthropic = {NULL, "input_schema", {"custom", ""}, false};

static bool good_name(str name) {
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-' &&
            c != '.')
            return false;
    }
    return name.n > 0 && name.n <= TOOL_NAME_BYTES_MAX;
}

/* One tool in the internal form, appended to list. */
static err_code add_tool(const json_t *v, const shape *k, json_t *list, err *e) {
    const json_t *from = k->inside ? json_get(v, k->inside) : v;
    const json_t *schema = json_get(from, k->schema), *about = json_get(from, "description");
    str type = json_get_str(v, "type", k->typed ? (str){0} : str_from(k->kind[0]));
    str name = json_get_str(from, "name", (str){0});
    if (!json_is_object(v))
        return err_set(e, ERR_USAGE, "an object is expected");
    if (!str_is(type, k->kind[0]) && !str_is(type, k->kind[1]))
        return err_set(e, ERR_UNSUPPORTED, "type \"%.*s\": only functions that the client runs are supported",
                       STR_ARG(type));
    if (!good_name(name))
        return err_set(e, ERR_USAGE, "name: 1 to %d letters, digits, _, - and . are expected", TOOL_NAME_BYTES_MAX);
    if (tool_find(list, name))
        return err_set(e, ERR_USAGE, "two tools are called \"%.*s\"", STR_ARG(name));
    if ((schema && !json_is_object(schema)) || (about && !json_is_string(about)))
        return err_set(e, ERR_USAGE, "\"%.*s\": %s: an object is expected, as description a text", STR_ARG(name),
                       k->schema);
    json_t *function = json_pack("{s:s%}", "name", name.p, name.n);
    bool good = function && (!about || json_object_set(function, "description", (json_t *)(uintptr_t)about) == 0) &&
                (schema ? json_object_set(function, "parameters", (json_t *)(uintptr_t)schema) == 0
                        : json_object_set_new(function, "parameters",
                                              json_pack("{s:s, s:{}}", "type", "object", "properties")) == 0) &&
                json_array_append_new(list, json_pack("{s:s, s:O}", "type", "function", "function", function)) == 0;
    json_decref(function);
    return good ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the tools");
}

static err_code read_list(const json_t *body, const shape *k, json_t *keep, tool_wish *w, err *e) {
    const json_t *tools = json_get(body, "tools");
    size_t n = json_array_size(tools);
    w->most = TOOLS_CALLS_MAX;
    if (tools && !json_is_array(tools))
        return err_set(e, ERR_USAGE, "tools: a list is expected");
    if (n == 0)
        return ERR_OK;
    if (n > TOOL_COUNT_MAX)
        return err_set(e, ERR_USAGE, "tools: at most %d", TOOL_COUNT_MAX);
    json_t *list = json_array();
    if (!list || json_array_append_new(keep, list) != 0)
        return err_set(e, ERR_MEMORY, "no memory for the tools");
    for (size_t i = 0; i < n; i++) {
        err_code code = add_tool(json_array_get(tools, i), k, list, e);
        if (code != ERR_OK)
            return err_in(e, code, "tools[%zu]", i);
    }
    w->list = list;
    return ERR_OK;
}

static err_code choose(const json_t *choice, str word, str only, tool_wish *w, err *e) {
    bool named = str_is(word, "function") || str_is(word, "tool");
    if (str_is(word, "none"))
        w->list = NULL;
    else if (str_is(word, "required") || str_is(word, "any") || named)
        w->required = true;
    else if (choice && !str_is(word, "auto"))
        return err_set(e, ERR_USAGE, "tool_choice: \"%.*s\" is not known", STR_ARG(word));
    if (w->required && !w->list)
        return err_set(e, ERR_USAGE, "tool_choice: there are no tools to choose from");
    if (!named)
        return ERR_OK;
    if (!tool_find(w->list, only))
        return err_set(e, ERR_USAGE, "tool_choice: no tool is called \"%.*s\"", STR_ARG(only));
    w->only = only;
    w->most = 1;
    return ERR_OK;
}

static err_code choice_of(const json_t *body, const shape *k, tool_wish *w, err *e) {
    const json_t *choice = json_get(body, "tool_choice");
    bool parallel = true;
    str word = json_is_string(choice) ? json_str_of(choice) : json_get_str(choice, "type", (str){0});
    TRY(param_bool(body, "parallel_tool_calls", &parallel, e));
    if (!parallel)
        w->most = 1;
    return choose(choice, word, json_get_str(k->inside ? json_get(choice, k->inside) : choice, "name", (str){0}), w, e);
}

err_code tools_openai(const json_t *body, json_t *keep, tool_wish *w, err *e) {
    TRY(read_list(body, &openai, keep, w, e));
    return choice_of(body, &openai, w, e);
}

err_code tools_responses(const json_t *body, json_t *keep, tool_wish *w, err *e) {
    TRY(read_list(body, &responses, keep, w, e));
    return choice_of(body, &responses, w, e);
}

err_code tools_anthropic(const json_t *body, json_t *keep, tool_wish *w, err *e) {
    const json_t *choice = json_get(body, "tool_choice");
    bool single = false;
    TRY(read_list(body, &anthropic, keep, w, e));
    if (choice && !json_is_object(choice))
        return err_set(e, ERR_USAGE, "tool_choice: an object is expected");
    if (choice)
        TRY(param_bool(choice, "disable_parallel_tool_use", &single, e));
    w->most = single ? 1 : w->most;
    return choose(choice, json_get_str(choice, "type", (str){0}), json_get_str(choice, "name", (str){0}), w, e);
}

err_code tools_ollama(const json_t *body, json_t *keep, tool_wish *w, err *e) {
    return read_list(body, &openai, keep, w, e);
}
