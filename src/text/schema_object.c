/* schema_object: objects and arrays.
 *
 * An object's rules go through its properties from the last to the first. What may follow depends on whether anything
 * stands before:
 *
 *   N-k-f<i>   properties i and on, none before: an optional one may be left out together with its comma
 *   N-k-r<i>   the same after another one: each brings its comma along
 *
 * so there are two rules a property, not two to the power of their number. JSON is one notation of an object among
 * others (schema.h): the one in which white space may stand behind a mark.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/schema_int.h"

static const schema_notation as_json = {
    .begin = "{", .open = "\"", .named = "\":", .close = "", .between = ",", .finish = "}", .reserved = "\"\\"};

typedef struct {
    schema_run *c;
    const schema_notation *how;
    unsigned number;
    strbuf pair;     /* "key": value of the property at hand, or of an additional one */
    bool additional; /* others are allowed */
    uint32_t min_more, max_more;
    strbuf rules; /* not in c->out before the properties' own rules are */
} object_run;

static err_code put_mark(object_run *o, const char *mark, strbuf *to) {
    TRY(gbnf_quote(str_from(mark), to, o->c->e));
    return strbuf_add(to, o->how == &as_json ? STR(" json-ws ") : STR(" "), o->c->e);
}

/* Cannot stand in a name as it is. */
static bool is_reserved(const object_run *o, char ch) {
    return (unsigned char)ch < 0x20 || strchr(o->how->reserved, ch) || (ch == '<' && o->c->how);
}

static bool is_plain_name(const object_run *o, str s) {
    for (size_t i = 0; i < s.n; i++)
        if (is_reserved(o, s.p[i]))
            return false;
    return s.n > 0;
}

/* ---- names that are none of the properties ---- */

typedef struct {
    str *name; /* ascending */
    unsigned n_rules;
    object_run *o;
} names_run;

static int by_text(const void *a, const void *b) { return str_cmp(*(const str *)a, *(const str *)b); }

/* The length in bytes of the character that begins at s.p[at]. */
static size_t character(str s, size_t at) {
    size_t n = 1;
    while (at + n < s.n && ((unsigned char)s.p[at + n] & 0xC0) == 0x80)
        n++;
    return n;
}

static err_code put_in_class(str s, strbuf *to, err *e) {
    if (s.n == 1 && strchr("]\\^-[", s.p[0]))
        return strbuf_addf(to, e, "\\x%02X", (unsigned char)s.p[0]);
    return strbuf_add(to, s, e);
}

/* "[^...": characters that a name has, to which `but` does not belong. */
static err_code open_class(const object_run *o, str but, strbuf *to) {
    TRY(strbuf_add(to, STR("[^\\x00-\\x1F"), o->c->e));
    for (int ch = 0x20; ch < 0x7F; ch++)
        if (is_reserved(o, (char)ch))
            TRY(strbuf_addf(to, o->c->e, "\\x%02X", (unsigned)ch));
    return strbuf_add(to, but, o->c->e);
}

/* The rule for what may follow the first `at` bytes that names [from, to) have in common. */
static err_code other_names(names_run *r, size_t from, size_t to, size_t at) {
    schema_run *c = r->o->c;
    strbuf rule = {.max = SCHEMA_GRAMMAR_BYTES_MAX}, seen = {0};
    unsigned me = r->n_rules++;
    err_code code = strbuf_addf(&rule, c->e, "%s-%u-n%u ::= ", c->name, r->o->number, me);
    bool whole = from < to && r->name[from].n == at;
    from += whole;
    for (size_t i = from; i < to && code == ERR_OK;) {
        size_t n = character(r->name[i], at), end = i;
        str ch = str_sub(r->name[i], at, at + n);
        while (end < to && str_starts(str_sub(r->name[end], at, r->name[end].n), ch))
            end++;
        code = gbnf_quote(ch, &rule, c->e);
        if (code == ERR_OK)
            code = strbuf_addf(&rule, c->e, " %s-%u-n%u | ", c->name, r->o->number, r->n_rules);
        if (code == ERR_OK)
            code = put_in_class(ch, &seen, c->e);
        if (code == ERR_OK)
            code = other_names(r, i, end, at + n);
        i = end;
    }
    if (code == ERR_OK && !whole && at > 0) {
        code = gbnf_quote(str_from(r->o->how->named), &rule, c->e);
        if (code == ERR_OK)
            code = strbuf_add(&rule, STR(" | "), c->e);
    }
    if (code == ERR_OK)
        code = open_class(r->o, strbuf_str(&seen), &rule);
    if (code == ERR_OK)
        code = strbuf_add(&rule, STR("] "), c->e);
    if (code == ERR_OK)
        code = open_class(r->o, (str){0}, &rule);
    if (code == ERR_OK)
        code = strbuf_add(&rule, STR("]* "), c->e);
    if (code == ERR_OK)
        code = gbnf_quote(str_from(r->o->how->named), &rule, c->e);
    if (code == ERR_OK)
        code = strbuf_addc(&rule, '\n', c->e);
    if (code == ERR_OK)
        code = strbuf_add(&r->o->rules, strbuf_str(&rule), c->e);
    strbuf_fini(&rule);
    strbuf_fini(&seen);
    return code;
}

/* `open`, a name that is none of the properties', `named`. Names that would be written with escapes cannot be spelled
 * without, so they need no exclusion. */
static err_code additional_name(object_run *o, json_t *properties) {
    enum { NAME_BYTES_MAX = 512 };
    schema_run *c = o->c;
    size_t n = 0;
    const char *key;
    json_t *v;
    if (json_object_size(properties) == 0 && o->how == &as_json)
        return strbuf_add(&o->pair, STR("json-string \":\" json-ws "), c->e);
    str *names = malloc((json_object_size(properties) + 1) * sizeof *names);
    if (!names)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    bool too_long = false;
    json_object_foreach(properties, key, v) {
        too_long = too_long || strlen(key) > NAME_BYTES_MAX;
        if (is_plain_name(o, str_from(key)))
            names[n++] = str_from(key);
    }
    qsort(names, n, sizeof *names, by_text);
    names_run r = {.name = names, .o = o};
    err_code code = too_long ? schema_unsupported(c, "additionalProperties", "beside a property's name of such length")
                             : other_names(&r, 0, n, 0);
    free(names);
    TRY(code);
    TRY(gbnf_quote(str_from(o->how->open), &o->pair, c->e));
    return strbuf_addf(&o->pair, c->e, " %s-%u-n0 %s", c->name, o->number, o->how == &as_json ? "json-ws " : "");
}

/* ---- objects ---- */

/* `open`, the name, `named`. */
static err_code put_name(object_run *o, const char *key) {
    schema_run *c = o->c;
    strbuf name = {0};
    if (o->how != &as_json && !is_plain_name(o, str_from(key)))
        return schema_unsupported(c, "properties", "a name that cannot be written in the model's notation");
    err_code code = o->how == &as_json ? json_quote(str_from(key), &name, c->e)
                                       : strbuf_addf(&name, c->e, "%s%s", o->how->open, key);
    if (code == ERR_OK)
        code = strbuf_add(&name, o->how == &as_json ? STR(":") : str_from(o->how->named), c->e);
    if (code == ERR_OK)
        code = o->how == &as_json ? schema_literal(c, strbuf_str(&name), &o->pair)
                                  : gbnf_quote(strbuf_str(&name), &o->pair, c->e);
    strbuf_fini(&name);
    TRY(code);
    return strbuf_add(&o->pair, o->how == &as_json ? STR(" json-ws ") : STR(" "), c->e);
}

/* The value of property `key` (NULL: of an additional one), and what closes it. */
static err_code put_value(object_run *o, const char *key, const json_t *s) {
    schema_run *c = o->c;
    schema_place before = c->place;
    const json_t *said = key ? json_object_get(json_object_get(c->root, "properties"), key) : NULL;
    c->place = o->how != &as_json && schema_is_text(said) ? PLACE_TEXT : PLACE_JSON;
    TRY(schema_part(c, key ? "properties" : "additionalProperties", key, s, &o->pair));
    c->place = before;
    return o->how == &as_json ? ERR_OK : put_mark(o, o->how->close, &o->pair);
}

/* o->pair: "key": value. */
static err_code property_pair(object_run *o, const char *key, const json_t *s) {
    o->pair.n = 0;
    TRY(put_name(o, key));
    return put_value(o, key, s);
}

/* The two rules for property i of n. */
static err_code property_rules(object_run *o, size_t i, bool required) {
    schema_run *c = o->c;
    const char *name = c->name;
    unsigned k = o->number;
    str pair = strbuf_str(&o->pair);
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-f%zu ::= ", name, k, i));
    TRY(strbuf_add(&o->rules, pair, c->e));
    TRY(strbuf_addf(&o->rules, c->e, " %s-%u-r%zu", name, k, i + 1));
    if (!required)
        TRY(strbuf_addf(&o->rules, c->e, " | %s-%u-f%zu", name, k, i + 1));
    TRY(strbuf_addf(&o->rules, c->e, "\n%s-%u-r%zu ::= %s", name, k, i, required ? "" : "( "));
    TRY(put_mark(o, o->how->between, &o->rules));
    TRY(strbuf_add(&o->rules, pair, c->e));
    return strbuf_addf(&o->rules, c->e, "%s %s-%u-r%zu\n", required ? "" : " )?", name, k, i + 1);
}

/* The rules behind the last of n properties: additional ones, or nothing. */
static err_code last_rules(object_run *o, size_t n, const json_t *s, json_t *properties) {
    schema_run *c = o->c;
    const json_t *more = json_object_get(s, "additionalProperties");
    char most[16] = "";
    if (!o->additional || o->max_more == 0)
        return strbuf_addf(&o->rules, c->e, "%s-%u-f%zu ::= %s\n%s-%u-r%zu ::= %s\n", c->name, o->number, n,
                           o->min_more ? "[]" : "\"\"", c->name, o->number, n, o->min_more ? "[]" : "\"\"");
    o->pair.n = 0;
    TRY(additional_name(o, properties));
    TRY(put_value(o, NULL, more ? more : json_true()));
    if (o->max_more != GRAMMAR_NO_END)
        snprintf(most, sizeof most, "%u", o->max_more);
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-r%zu ::= ( ", c->name, o->number, n));
    TRY(put_mark(o, o->how->between, &o->rules));
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-a ){%u,%s}\n", c->name, o->number, o->min_more, most));
    if (o->max_more != GRAMMAR_NO_END)
        snprintf(most, sizeof most, "%u", o->max_more - 1);
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-f%zu ::= %s%s-%u-a ( ", c->name, o->number, n, o->min_more ? "" : "( ",
                    c->name, o->number));
    TRY(put_mark(o, o->how->between, &o->rules));
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-a ){%u,%s}%s\n", c->name, o->number, o->min_more ? o->min_more - 1 : 0,
                    most, o->min_more ? "" : " )?"));
    TRY(strbuf_addf(&o->rules, c->e, "%s-%u-a ::= ", c->name, o->number));
    TRY(strbuf_add(&o->rules, strbuf_str(&o->pair), c->e));
    return strbuf_addc(&o->rules, '\n', c->e);
}

/* How many additional properties there must and may be, where that follows from minProperties and maxProperties. */
static err_code count_more(object_run *o, const json_t *s, size_t n, size_t n_required) {
    schema_run *c = o->c;
    uint32_t min, max;
    TRY(schema_count(c, s, "minProperties", 0, &min));
    TRY(schema_count(c, s, "maxProperties", GRAMMAR_NO_END, &max));
    o->max_more = GRAMMAR_NO_END;
    if (max < n)
        return schema_unsupported(c, "maxProperties", "not supported when it is less than the number of properties");
    if (max != GRAMMAR_NO_END)
        o->max_more = max - (uint32_t)n;
    if (min <= n_required)
        return ERR_OK;
    /* Two additional properties may have one name and then count as one, but one is one. */
    if (min - n_required > 1 || n > n_required)
        return schema_unsupported(c, "minProperties",
                                  "supported up to the number of required properties, and 1 when there are no others");
    o->min_more = 1;
    return ERR_OK;
}

/* Properties that are required but not described are described by additionalProperties. *required: a set of names. */
static err_code all_properties(object_run *o, const json_t *s, json_t **out, json_t **required) {
    schema_run *c = o->c;
    json_t *given = json_object_get(s, "properties"), *list = json_object_get(s, "required");
    json_t *rest = json_object_get(s, "additionalProperties");
    *required = json_object();
    if (!*required || json_array_append_new(c->kept, *required) != 0)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    if ((given && !json_is_object(given)) || (list && !json_is_array(list)))
        return schema_wrong(c, given && !json_is_object(given) ? "properties" : "required", "of the wrong type");
    *out = given ? schema_copy(given) : json_object();
    if (!*out || json_array_append_new(c->kept, *out) != 0)
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *key = json_string_value(json_array_get(list, i));
        if (!key)
            return schema_wrong(c, "required", "a list of strings is expected");
        if (json_object_set_new(*required, key, json_true()) != 0)
            return err_set(c->e, ERR_MEMORY, "no memory for a schema");
        if (!json_object_get(*out, key) && json_object_set_new(*out, key, rest ? json_incref(rest) : json_true()) != 0)
            return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    }
    return ERR_OK;
}

static err_code object_rules(object_run *o, const json_t *s, strbuf *to) {
    schema_run *c = o->c;
    const char *key;
    json_t *properties, *required, *v;
    size_t n_required = 0, i = 0;
    TRY(all_properties(o, s, &properties, &required));
    size_t n = json_object_size(properties);
    const json_t *more = json_object_get(s, "additionalProperties");
    o->additional = more ? !json_is_false(more) : n == 0;
    json_object_foreach(properties, key, v) {
        bool need = json_object_get(required, key) != NULL;
        n_required += need;
        TRY(property_pair(o, key, v));
        TRY(property_rules(o, i++, need));
    }
    TRY(count_more(o, s, n, n_required));
    TRY(last_rules(o, n, s, properties));
    TRY(strbuf_add(c->out, strbuf_str(&o->rules), c->e));
    TRY(strbuf_add(to, STR("( "), c->e));
    TRY(put_mark(o, o->how->begin, to));
    TRY(strbuf_addf(to, c->e, "%s-%u-f0 %s", c->name, o->number, o->how == &as_json ? "json-ws " : ""));
    TRY(gbnf_quote(str_from(o->how->finish), to, c->e));
    return strbuf_add(to, STR(" )"), c->e);
}

err_code schema_object(schema_run *c, const json_t *s, strbuf *to) {
    object_run o = {.c = c, .rules = {.max = SCHEMA_GRAMMAR_BYTES_MAX}, .pair = {.max = SCHEMA_GRAMMAR_BYTES_MAX}};
    o.how = c->place == PLACE_WHOLE ? c->how : &as_json;
    o.number = c->n_rules++;
    err_code code = object_rules(&o, s, to);
    strbuf_fini(&o.rules);
    strbuf_fini(&o.pair);
    return code;
}

/* ---- arrays ---- */

typedef struct {
    schema_run *c;
    unsigned number;
    size_t n; /* prefix items */
    uint32_t min, max;
    bool more; /* others may follow */
    strbuf rules;
} array_run;

/* Items from the n of the prefix on: N-k-t<n>. */
static err_code last_items(array_run *a, const json_t *items) {
    schema_run *c = a->c;
    uint32_t n = (uint32_t)a->n, min = a->min > n ? a->min - n : 0;
    char most[16] = "";
    TRY(strbuf_addf(&a->rules, c->e, "%s-%u-t%u ::= ", c->name, a->number, n));
    if (!a->more || a->max == n)
        return strbuf_add(&a->rules, min ? STR("[]\n") : STR("\"\"\n"), c->e);
    bool first = n == 0; /* brings no comma */
    if (a->max != GRAMMAR_NO_END)
        snprintf(most, sizeof most, "%u", a->max - n - first);
    if (first)
        TRY(strbuf_addf(&a->rules, c->e, "%s%s-%u-i ", min ? "" : "( ", c->name, a->number));
    TRY(strbuf_addf(&a->rules, c->e, "( \",\" json-ws %s-%u-i ){%u,%s}%s\n%s-%u-i ::= ", c->name, a->number,
                    first && min ? min - 1 : min, most, first && !min ? " )?" : "", c->name, a->number));
    if (items)
        TRY(schema_part(c, "items", NULL, items, &a->rules));
    else
        TRY(strbuf_add(&a->rules, STR("json-value"), c->e));
    return strbuf_addc(&a->rules, '\n', c->e);
}

static err_code prefix_item(array_run *a, size_t i, const json_t *s) {
    schema_run *c = a->c;
    char at[24];
    bool optional = i >= a->min;
    snprintf(at, sizeof at, "%zu", i);
    TRY(strbuf_addf(&a->rules, c->e, "%s-%u-t%zu ::= %s%s", c->name, a->number, i, optional ? "( " : "",
                    i ? "\",\" json-ws " : ""));
    TRY(schema_part(c, "prefixItems", at, s, &a->rules));
    return strbuf_addf(&a->rules, c->e, " %s-%u-t%zu%s\n", c->name, a->number, i + 1, optional ? " )?" : "");
}

static err_code array_rules(array_run *a, const json_t *s, strbuf *to) {
    schema_run *c = a->c;
    const json_t *prefix = json_object_get(s, "prefixItems"), *items = json_object_get(s, "items");
    if (prefix && !json_is_array(prefix))
        return schema_wrong(c, "prefixItems", "a list is expected");
    a->n = json_array_size(prefix);
    TRY(schema_count(c, s, "minItems", 0, &a->min));
    TRY(schema_count(c, s, "maxItems", GRAMMAR_NO_END, &a->max));
    /* What is not said may be anything; it is used when it must be. */
    a->more = items ? !json_is_false(items) : a->n == 0 || a->min > a->n;
    if (a->max < a->n)
        a->n = a->max;
    if (a->min > a->max)
        return strbuf_add(to, STR("[]"), c->e);
    for (size_t i = 0; i < a->n; i++)
        TRY(prefix_item(a, i, json_array_get(prefix, i)));
    TRY(last_items(a, items));
    TRY(strbuf_add(c->out, strbuf_str(&a->rules), c->e));
    return strbuf_addf(to, c->e, "( \"[\" json-ws %s-%u-t0 json-ws \"]\" )", c->name, a->number);
}

err_code schema_array(schema_run *c, const json_t *s, strbuf *to) {
    array_run a = {.c = c, .rules = {.max = SCHEMA_GRAMMAR_BYTES_MAX}};
    a.number = c->n_rules++;
    err_code code = array_rules(&a, s, to);
    strbuf_fini(&a.rules);
    return code;
}
