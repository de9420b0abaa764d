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

/* The rule of what `ref` points to, made when it is first asked for. */
static err_code refer(schema_run *c, const json_t *ref, strbuf *to) {
    const json_t *target;
    strbuf body = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    TRY(schema_resolve(c, ref, &target));
    const char *key = json_string_value(ref);
    const json_t *known = json_object_get(c->refs, key);
    json_int_t number = known ? json_integer_value(known) : (json_int_t)c->n_rules;
    TRY(strbuf_addf(to, c->e, "%s-%lld", c->name, (long long)number));
    if (known)
        return ERR_OK;
    c->n_rules++;
    if (json_object_set_new(c->refs, key, json_integer(number)) != 0)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    size_t before = c->path.n;
    err_code code = strbuf_addf(&c->path, c->e, "/$ref");
    if (code == ERR_OK)
        code = schema_value(c, target, &body);
    if (code == ERR_OK)
        code = strbuf_addf(c->out, c->e, "%s-%lld ::= ", c->name, (long long)number);
    if (code == ERR_OK)
        code = strbuf_add(c->out, strbuf_str(&body), c->e);
    if (code == ERR_OK)
        code = strbuf_addc(c->out, '\n', c->e);
    c->path.n = before;
    strbuf_fini(&body);
    return code;
}

/* ---- fixed values ---- */

static err_code literal(schema_run *c, const json_t *v, strbuf *to) {
    strbuf text = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    err_code code = json_write(v, 0, &text, c->e);
    if (code == ERR_OK)
        code = gbnf_quote(strbuf_str(&text), to, c->e);
    strbuf_fini(&text);
    return code;
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
        TRY(literal(c, v, to));
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

static err_code alternatives(schema_run *c, const json_t *s, const char *key, strbuf *to) {
    const json_t *list;
    TRY(branches(c, s, key, &list));
    if (strcmp(key, "oneOf") == 0)
        TRY(check_exclusion(c, key, list));
    TRY(strbuf_addc(to, '(', c->e));
    for (size_t i = 0; i < json_array_size(list); i++) {
        char at[24];
        snprintf(at, sizeof at, "%zu", i);
        TRY(strbuf_add(to, i ? STR(" | ") : STR(" "), c->e));
        TRY(schema_part(c, key, at, json_array_get(list, i), to));
    }
    return strbuf_add(to, STR(" )"), c->e);
}

/* ---- types ---- */

static err_code string_value(schema_run *c, const json_t *s, strbuf *to) {
    const json_t *pattern = json_object_get(s, "pattern"), *format = json_object_get(s, "format");
    uint32_t min, max;
    TRY(schema_count(c, s, "minLength", 0, &min));
    TRY(schema_count(c, s, "maxLength", GRAMMAR_NO_END, &max));
    bool any_length = min == 0 && max == GRAMMAR_NO_END;
    if (!pattern && !format && any_length)
        return strbuf_add(to, STR("json-string"), c->e);
    if ((pattern && format) || ((pattern || format) && !any_length))
        return schema_unsupported(c, pattern ? "pattern" : "format",
                                  pattern && format ? "not supported beside format" : "not supported beside a length");
    if (format) {
        const char *rule = json_is_string(format) ? schema_format_rule(json_str_of(format)) : NULL;
        return rule ? strbuf_add(to, str_from(rule), c->e)
                    : schema_unsupported(c, "format", "this format is not supported");
    }
    if (pattern)
        return json_is_string(pattern) ? schema_pattern(c, json_str_of(pattern), to)
                                       : schema_wrong(c, "pattern", "a string is expected");
    if (min > max)
        return strbuf_add(to, STR("[]"), c->e);
    if (max == GRAMMAR_NO_END)
        return strbuf_addf(to, c->e, "( \"\\\"\" json-char{%u,} \"\\\"\" )", min);
    return strbuf_addf(to, c->e, "( \"\\\"\" json-char{%u,%u} \"\\\"\" )", min, max);
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

err_code schema_to_rules(const json_t *schema, const char *name, strbuf *out, err *e) {
    strbuf body = {.max = SCHEMA_GRAMMAR_BYTES_MAX};
    schema_run c = {.root = schema, .name = name, .out = out, .e = e, .refs = json_object(), .kept = json_array()};
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
    TRY(schema_shared_rules(rules, e));
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
    err_code code = schema_to_rules(schema, "value", &rules, e);
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
