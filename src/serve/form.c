/* form: see form.h. */
#include "serve/form.h"

#include "serve/serve.h"
#include "text/gbnf.h"
#include "text/schema.h"

static err_code one_only(grammar *const *out, const char *where, err *e) {
    return *out ? err_set(e, ERR_USAGE, "%s: the answer's form is asked for twice", where) : ERR_OK;
}

static err_code from_schema(const json_t *schema, const char *where, grammar **out, err *e) {
    TRY(one_only(out, where, e));
    err_code code = schema_compile(out, schema, (str){0}, (str){0}, e);
    return code == ERR_OK ? code : status_malformed(err_in(e, code, "%s", where), e);
}

/* {"type", "schema"}: what OpenAI's APIs and Anthropic's have in common. holder: where "schema" stands. */
static err_code typed(const json_t *format, const json_t *holder, const char *where, grammar **out, err *e) {
    str type = json_get_str(format, "type", (str){0});
    const json_t *schema = json_get(holder, "schema");
    if (!json_is_object(format))
        return err_set(e, ERR_USAGE, "%s: an object is expected", where);
    if (str_is(type, "text"))
        return ERR_OK;
    bool any_object = str_is(type, "json_object");
    if (!any_object && !str_is(type, "json_schema"))
        return err_set(e, ERR_USAGE, "%s: type \"%.*s\" is none of text, json_object, json_schema", where,
                       STR_ARG(type));
    if (!any_object && !json_is_object(holder))
        return err_set(e, ERR_USAGE, "%s: json_schema: an object is expected", where);
    if (schema)
        return from_schema(schema, where, out, e);
    if (!any_object)
        return err_set(e, ERR_USAGE, "%s: the schema is missing", where);
    TRY(one_only(out, where, e));
    return schema_compile_object(out, e);
}

err_code form_openai(const json_t *body, grammar **out, err *e) {
    const json_t *format = json_get(body, "response_format"), *schema = json_get(body, "json_schema");
    const json_t *rules = json_get(body, "grammar");
    if (format) {
        bool nested = str_is(json_get_str(format, "type", (str){0}), "json_schema");
        TRY(typed(format, nested ? json_get(format, "json_schema") : format, "response_format", out, e));
    }
    if (schema)
        TRY(from_schema(schema, "json_schema", out, e));
    if (!rules || (json_is_string(rules) && json_string_length(rules) == 0))
        return ERR_OK;
    TRY(one_only(out, "grammar", e));
    return json_is_string(rules) ? status_malformed(gbnf_compile(out, json_str_of(rules), e), e)
                                 : err_set(e, ERR_USAGE, "grammar: a string is expected");
}

err_code form_responses(const json_t *body, grammar **out, err *e) {
    const json_t *format = json_get(json_get(body, "text"), "format");
    return format ? typed(format, format, "text.format", out, e) : ERR_OK;
}

err_code form_ollama(const json_t *body, grammar **out, err *e) {
    const json_t *format = json_get(body, "format");
    if (!format || (json_is_string(format) && json_string_length(format) == 0))
        return ERR_OK;
    if (json_is_object(format))
        return from_schema(format, "format", out, e);
    if (!str_is(json_get_str(body, "format", (str){0}), "json"))
        return err_set(e, ERR_USAGE, "format: \"json\" or a schema is expected");
    return schema_compile_object(out, e);
}

err_code form_anthropic(const json_t *body, grammar **out, err *e) {
    const json_t *format = json_get(json_get(body, "output_config"), "format"), *old = json_get(body, "output_format");
    if (format)
        TRY(typed(format, format, "output_config.format", out, e));
    return old ? typed(old, old, "output_format", out, e) : ERR_OK;
}
