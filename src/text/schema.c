/* schema: from a schema to an expression, by what it has: a reference, alternatives, fixed values, types.
 *
 * Objects and arrays become rules of their own, each numbered; so does what a $ref points to, once, under the number
 * that `refs` remembers, which ends recursion. Bounded are depth (merged and referred-to schemas count), the number of
 * schemas looked at, and the bytes of the rules.
 */
#include "text/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/json_write.h"
#include "text/schema_int.h"

enum { STEPS_MAX = 1 << 16, WORK_MAX = 1 << 20 };

/* ---- errors and fields ---- */

static err_code tell(schema_run *c, err_code code, const char *keyword, const char *why) {
    str at = strbuf_str(&c->path);
    return err_set(c->e, code, "schema at #%.*s%s%s: %s", STR_ARG(at), *keyword ? "/" : "", keyword, why);
}

err_code schema_unsupported(schema_run *c, const char *keyword, const char *why) {
    return tell(c, ERR_UNSUPPORTED, keyword, why);
}

err_code schema_wrong(schema_run *c, const char *keyword, const char *why) { return tell(c, ERR_FORMAT, keyword, why); }

err_code schema_deeper(schema_run *c) {
    if (c->depth == SCHEMA_DEPTH_MAX)
        return tell(c, ERR_LIMIT, "", "schemas within each other, references counted, deeper than 64");
    if (++c->steps > STEPS_MAX)
        return tell(c, ERR_LIMIT, "", "the schema is too large");
    c->depth++;
    return ERR_OK;
}

err_code schema_work(schema_run *c, size_t n) {
    c->work += n;
    return c->work > WORK_MAX ? tell(c, ERR_LIMIT, "", "the schema is too large to be merged") : ERR_OK;
}

err_code schema_count(schema_run *c, const json_t *s, const char *keyword, uint32_t otherwise, uint32_t *n) {
    const json_t *v = json_object_get(s, keyword);
    double d = json_number_value(v);
    *n = otherwise;
    if (!v)
        return ERR_OK;
    if (!json_is_number(v) || !(d >= 0) || (json_is_real(v) && d <= GRAMMAR_REPEAT_MAX && d != (double)(uint32_t)d))
        return schema_wrong(c, keyword, "a whole number of at least 0 is expected");
    if (d > GRAMMAR_REPEAT_MAX)
        return tell(c, ERR_LIMIT, keyword, "at most 16777216 is supported");
    *n = (uint32_t)d;
    return ERR_OK;
}

err_code schema_part(schema_run *c, const char *key, const char *sub, const json_t *s, strbuf *to) {
    size_t before = c->path.n;
    TRY(strbuf_addf(&c->path, c->e, "/%s%s%s", key, sub ? "/" : "", sub ? sub : ""));
    TRY(schema_value(c, s, to));
    c->path.n = before;
    return ERR_OK;
}

/* ---- references ---- */

/* One step of a JSON pointer, with ~0, ~1 and, as it is a fragment of a URI, %HH. */
static err_code read_step(schema_run *c, str s, strbuf *to) {
    to->n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = i + 2 < s.n && s.p[i] == '%' ? str_hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? str_hex_digit(s.p[i + 2]) : -1;
        char ch = s.p[i];
        if (low >= 0) {
            ch = (char)(high * 16 + low);
            i += 2;
        }
        if (ch == '~' && i + 1 < s.n)
            ch = s.p[++i] == '1' ? '/' : '~';
        TRY(strbuf_addc(to, ch, c->e));
    }
    return strbuf_addc(to, 0, c->e);
}

static const json_t *step_into(const json_t *v, const char *key) {
    if (!json_is_array(v))
        return json_object_get(v, key);
    char *end;
    unsigned long i = strtoul(key, &end, 10);
    return *key && !*end ? json_array_get(v, i) : NULL;
}

err_code schema_resolve(schema_run *c, const json_t *ref, const json_t **to) {
    str s = json_is_string(ref) ? json_str_of(ref) : (str){0};
    strbuf step = {0};
    *to = c->root;
    if (s.n == 0 || s.p[0] != '#' || (s.n > 1 && s.p[1] != '/'))
        return schema_unsupported(c, "$ref", "only references into the same document (#/...) are supported");
    err_code code = ERR_OK;
    for (size_t at = 1; at < s.n && *to && code == ERR_OK;) {
        ptrdiff_t end = str_find(s, STR("/"), at + 1);
        size_t next = end < 0 ? s.n : (size_t)end;
        code = read_step(c, str_sub(s, at + 1, next), &step);
        if (code == ERR_OK)
            *to = step_into(*to, step.p);
        at = next;
    }
    strbuf_fini(&step);
    if (code == ERR_OK && !*to)
        return schema_wrong(c, "$ref", "points to nothing");
    return code;
}

/* Adds rule `number`; `body` is done with. */
static err_code put_rule(schema_run *c, unsigned number, strbuf *body) {
    err_code code = strbuf_addf(c->out, c->e, "%s-%u ::= ", c->name, number);
    if (code == ERR_OK)
        code = strbuf_add(c->out, strbuf_str(body), c->e);
    strbuf_fini(body);
    return code == ERR_OK ? strbuf_addc(c->out, '\n', c->e) : code;
}

/* The rule of what `ref` points to, made when it is first asked for in such a place. */
static err_code refer(schema_run *c, const json_t *ref, strbuf *to) {
    const json_t *target;
    strbuf body = {.max = SCHEMA_GRAMMAR_BYTES_MAX}, key = {0};
    TRY(schema_resolve(c, ref, &target));
    TRY(strbuf_addf(&key, c->e, "%d %s%c", (int)c->place, json_string_value(ref), 0));
    const json_t *known = json_object_get(c->refs, key.p);
    unsigned number = known ? (unsigned)json_integer_value(known) : c->n_rules++;
    bool kept = known || json_object_set_new(c->refs, key.p, json_integer(number)) == 0;
    strbuf_fini(&key);
    if (!kept)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    TRY(strbuf_addf(to, c->e, "%s-%u", c->name, number));
    if (known)
        return ERR_OK;
    size_t before = c->path.n;
    err_code code = strbuf_addf(&c->path, c->e, "/$ref");
    if (code == ERR_OK)
        code = schema_value(c, target, &body);
    c->path.n = before;
    if (code == ERR_OK)
        return put_rule(c, number, &body);
    strbuf_fini(&body);
    return code;
}

/* ---- fixed values ---- */

err_code schema_literal(schema_run *c, str s, strbuf *to) {
    strbuf shy = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    err_code code = ERR_OK;
    for (size_t i = 0; i < s.n && code == ERR_OK; i++)
        code = c->how && s.p[i] == '<' ? strbuf_addf(&shy, c->e, "\\u003c") : strbuf_addc(&shy, s.p[i], c->e);
    if (code == ERR_OK)
        code = gbnf_quote(strbuf_str(&shy), to, c->e);
    strbuf_fini(&shy);
    return code;
}

static err_code fixed_json(schema_run *c, const json_t *v, strbuf *to) {
    strbuf text = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    err_code code = json_write(v, 0, &text, c->e);
    if (code == ERR_OK)
        code = schema_literal(c, strbuf_str(&text), to);
    strbuf_fini(&text);
    return code;
}

/* A quotation mark of the string at hand. */
static err_code put_quote(schema_run *c, strbuf *to) {
    TRY(gbnf_quote(str_from(c->place == PLACE_TEXT ? c->how->quote : "\""), to, c->e));
    return strbuf_addc(to, ' ', c->e);
}

static err_code fixed_text(schema_run *c, str s, strbuf *to) {
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '<' && (s.p[i + 1] == '/' || s.p[i + 1] >= 'A'))
            return schema_unsupported(c, "enum", "a text that looks like a mark of the model's notation");
    TRY(put_quote(c, to));
    TRY(gbnf_quote(s, to, c->e));
    TRY(strbuf_addc(to, ' ', c->e));
    return put_quote(c, to);
}

/* Keywords that a value of these types would have to satisfy as well. */
static err_code refuse_beside(schema_run *c, const json_t *s, unsigned types) {
    for (int i = 0; i < SCHEMA_KEYWORDS; i++)
        if (schema_keywords[i].types & types && json_object_get(s, schema_keywords[i].key))
            return schema_unsupported(c, schema_keywords[i].key, "not supported beside enum or const");
    return ERR_OK;
}

static err_code fixed(schema_run *c, const json_t *s, const json_t *values, strbuf *to) {
    const json_t *type = json_object_get(s, "type");
    unsigned types = TYPE_ANY;
    size_t n = 0;
    if (type)
        TRY(schema_types(c, s, &types));
    if (c->place == PLACE_WHOLE)
        return schema_unsupported(c, "enum", "not supported for the arguments as a whole");
    types &= c->place == PLACE_TEXT ? TYPE_STRING : TYPE_ANY;
    if (!json_is_array(values))
        return schema_wrong(c, "enum", "a list is expected");
    TRY(strbuf_addc(to, '(', c->e));
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        unsigned is = schema_type_of(v);
        if (!(is & types))
            continue;
        TRY(refuse_beside(c, s, is));
        TRY(strbuf_add(to, n++ ? STR(" | ") : STR(" "), c->e));
        TRY(c->place == PLACE_TEXT ? fixed_text(c, json_str_of(v), to) : fixed_json(c, v, to));
    }
    return strbuf_add(to, n ? STR(" )") : STR(" [] )"), c->e);
}

/* ---- alternatives ---- */

/* The alternatives, each with what stands beside them merged into it: a list that is kept until the end. */
static err_code branches(schema_run *c, const json_t *s, const char *key, const json_t **out) {
    const json_t *list = json_object_get(s, key), *rest, *all;
    json_t *made = json_array();
    *out = made;
    if (!made || json_array_append_new(c->kept, made) != 0)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return schema_wrong(c, key, "a list of at least one schema is expected");
    TRY(schema_without(c, s, key, &rest));
    for (size_t i = 0; i < json_array_size(list); i++) {
        all = json_array_get(list, i);
        if (json_object_size(rest) > 0)
            TRY(schema_merge(c, rest, all, &all));
        if (json_array_append(made, (json_t *)(uintptr_t)all) != 0)
            return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    }
    return ERR_OK;
}

static err_code check_exclusion(schema_run *c, const char *key, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t k = 0; k < i; k++) {
            bool apart;
            TRY(schema_exclude(c, json_array_get(list, i), json_array_get(list, k), &apart));
            if (!apart)
                return schema_unsupported(c, key, "alternatives that a value could satisfy two of (anyOf allows that)");
        }
    return ERR_OK;
}

/* A rule of its own, so that alternatives of alternatives do not nest parentheses. */
static err_code alternatives(schema_run *c, const json_t *s, const char *key, strbuf *to) {
    const json_t *list;
    strbuf body = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    err_code code = ERR_OK;
    unsigned number = c->n_rules++;
    TRY(branches(c, s, key, &list));
    if (strcmp(key, "oneOf") == 0)
        TRY(check_exclusion(c, key, list));
    TRY(strbuf_addf(to, c->e, "%s-%u", c->name, number));
    for (size_t i = 0; i < json_array_size(list) && code == ERR_OK; i++) {
        char at[24];
        snprintf(at, sizeof at, "%zu", i);
        code = strbuf_add(&body, i ? STR(" | ") : (str){0}, c->e);
        if (code == ERR_OK)
            code = schema_part(c, key, at, json_array_get(list, i), &body);
    }
    if (code == ERR_OK)
        return put_rule(c, number, &body);
    strbuf_fini(&body);
    return code;
}

/* ---- types ---- */

static err_code characters(schema_run *c, uint32_t min, uint32_t max, strbuf *to) {
    TRY(strbuf_addf(to, c->e, "%s{%u,", c->place == PLACE_TEXT ? "json-bare" : "json-char", min));
    if (max != GRAMMAR_NO_END)
        TRY(strbuf_addf(to, c->e, "%u", max));
    return strbuf_addc(to, '}', c->e);
}

static err_code string_value(schema_run *c, const json_t *s, strbuf *to) {
    const json_t *pattern = json_object_get(s, "pattern"), *format = json_object_get(s, "format");
    const char *rule = json_is_string(format) ? schema_format_rule(json_str_of(format)) : NULL;
    uint32_t min, max;
    TRY(schema_count(c, s, "minLength", 0, &min));
    TRY(schema_count(c, s, "maxLength", GRAMMAR_NO_END, &max));
    bool any_length = min == 0 && max == GRAMMAR_NO_END;
    if (!pattern && !format && any_length && c->place == PLACE_JSON)
        return strbuf_add(to, STR("json-string"), c->e);
    if ((pattern && format) || ((pattern || format) && !any_length))
        return schema_unsupported(c, pattern ? "pattern" : "format",
                                  pattern && format ? "not supported beside format" : "not supported beside a length");
    if (format && !rule)
        return schema_unsupported(c, "format", "this format is not supported");
    if (pattern && !json_is_string(pattern))
        return schema_wrong(c, "pattern", "a string is expected");
    if (min > max)
        return strbuf_add(to, STR("[]"), c->e);
    TRY(strbuf_add(to, STR("( "), c->e));
    TRY(put_quote(c, to));
    TRY(rule      ? strbuf_addf(to, c->e, "%s", rule)
        : pattern ? schema_pattern(c, json_str_of(pattern), to)
                  : characters(c, min, max, to));
    TRY(strbuf_addc(to, ' ', c->e));
    TRY(put_quote(c, to));
    return strbuf_addc(to, ')', c->e);
}

static err_code null_value(schema_run *c, const json_t *s, strbuf *to) {
    (void)s;
    return strbuf_add(to, STR("\"null\""), c->e);
}

static err_code boolean_value(schema_run *c, const json_t *s, strbuf *to) {
    (void)s;
    return strbuf_add(to, STR("json-boolean"), c->e);
}

static err_code typed(schema_run *c, const json_t *s, strbuf *to) {
    static const struct {
        unsigned type;
        err_code (*put)(schema_run *c, const json_t *s, strbuf *to);
    } kinds[] = {
        {TYPE_OBJECT, schema_object}, {TYPE_ARRAY, schema_array},     {TYPE_STRING, string_value},
        {TYPE_NUMBER, schema_number}, {TYPE_INTEGER, schema_integer}, {TYPE_BOOLEAN, boolean_value},
        {TYPE_NULL, null_value},
    };
    unsigned types;
    size_t n = 0;
    TRY(schema_types(c, s, &types));
    if (types == TYPE_ANY && !json_object_get(s, "type"))
        return strbuf_add(to, STR("json-value"), c->e);
    if (types & TYPE_NUMBER)
        types &= ~(unsigned)TYPE_INTEGER;
    if (c->place == PLACE_WHOLE && !(types & TYPE_OBJECT))
        return schema_wrong(c, "type", "arguments are an object");
    types &= c->place == PLACE_WHOLE ? TYPE_OBJECT : c->place == PLACE_TEXT ? TYPE_STRING : TYPE_ANY;
    TRY(strbuf_addc(to, '(', c->e));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (types & kinds[i].type) {
            TRY(strbuf_add(to, n++ ? STR(" | ") : STR(" "), c->e));
            TRY(kinds[i].put(c, s, to));
        }
    return strbuf_add(to, n ? STR(" )") : STR(" [] )"), c->e);
}

/* ---- a value ---- */

static bool only_reference(const json_t *s) { return json_object_get(s, "$ref") && json_object_size(s) == 1; }

static err_code object_schema(schema_run *c, const json_t *s, strbuf *to) {
    TRY(schema_check_keywords(c, s));
    TRY(schema_without(c, s, NULL, &s)); /* annotations are gone, nullable is a type */
    if (only_reference(s))
        return refer(c, json_object_get(s, "$ref"), to);
    TRY(schema_flatten(c, s, &s));
    if (json_is_boolean(s))
        return schema_value(c, s, to);
    if (json_object_get(s, "anyOf"))
        return alternatives(c, s, "anyOf", to);
    if (json_object_get(s, "oneOf"))
        return alternatives(c, s, "oneOf", to);
    if (json_object_get(s, "enum"))
        return fixed(c, s, json_object_get(s, "enum"), to);
    return typed(c, s, to);
}

err_code schema_value(schema_run *c, const json_t *s, strbuf *to) {
    if (c->place == PLACE_WHOLE && json_is_true(s))
        return schema_wrong(c, "", "arguments are an object");
    if (json_is_true(s))
        return strbuf_add(to, STR("json-value"), c->e);
    if (json_is_false(s))
        return strbuf_add(to, STR("[]"), c->e);
    if (!json_is_object(s))
        return schema_wrong(c, "", "a schema is an object, true or false");
    TRY(schema_deeper(c));
    TRY(object_schema(c, s, to));
    c->depth--;
    return ERR_OK;
}

/* ---- the face ---- */

bool schema_is_text(const json_t *schema) {
    return str_is(json_get_str(schema, "type", (str){0}), "string") &&
           !json_is_true(json_object_get(schema, "nullable"));
}

err_code schema_to_rules(const json_t *schema, const schema_notation *how, const char *name, strbuf *out, err *e) {
    strbuf body = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    schema_run c = {.root = schema, .how = how, .name = name, .out = out, .e = e};
    c.place = how ? PLACE_WHOLE : PLACE_JSON;
    c.refs = json_object();
    c.kept = json_array();
    size_t before = out->n;
    err_code code =
        c.refs && c.kept ? schema_value(&c, schema, &body) : err_set(e, ERR_MEMORY, "no memory for a schema");
    if (code == ERR_OK)
        code = strbuf_addf(out, e, "%s ::= ", name);
    if (code == ERR_OK)
        code = strbuf_add(out, strbuf_str(&body), e);
    if (code == ERR_OK)
        code = strbuf_addc(out, '\n', e);
    if (code == ERR_OK && out->n - before > SCHEMA_GRAMMAR_BYTES_MAX)
        code = err_set(e, ERR_LIMIT, "schema: its grammar has more than %d bytes", SCHEMA_GRAMMAR_BYTES_MAX);
    if (code != ERR_OK)
        out->n = before;
    json_decref(c.refs);
    json_decref(c.kept);
    strbuf_fini(&c.path);
    strbuf_fini(&body);
    return code;
}

/* root ::= "before" value "after" */
static err_code compile_rules(grammar **out, strbuf *rules, const char *value, str before, str after, err *e) {
    TRY(schema_shared_rules(NULL, rules, e));
    TRY(strbuf_add(rules, STR("root ::= "), e));
    TRY(gbnf_quote(before, rules, e));
    TRY(strbuf_addf(rules, e, " %s ", value));
    TRY(gbnf_quote(after, rules, e));
    TRY(strbuf_addc(rules, '\n', e));
    return gbnf_compile(out, strbuf_str(rules), e);
}

err_code schema_compile(grammar **out, const json_t *schema, str before, str after, err *e) {
    strbuf rules = {.max = 2 * SCHEMA_GRAMMAR_BYTES_MAX};
    *out = NULL;
    err_code code = schema_to_rules(schema, NULL, "value", &rules, e);
    if (code == ERR_OK)
        code = compile_rules(out, &rules, "value", before, after, e);
    strbuf_fini(&rules);
    return code;
}

err_code schema_compile_object(grammar **out, err *e) {
    strbuf rules = {0};
    *out = NULL;
    err_code code = compile_rules(out, &rules, "json-object", (str){0}, (str){0}, e);
    strbuf_fini(&rules);
    return code;
}
