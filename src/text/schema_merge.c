/* schema_merge: what two schemas ask for at once, and whether anything can satisfy two.
 *
 * Schemas are merged as JSON: the result is a schema with the keywords of both, where both have one the stricter, or
 * {"allOf": [both]} further down, merged when it is looked at. It knows no annotations, no `nullable` (a type), no
 * `const` (an enum of one).
 */
#include <string.h>

#include "text/schema_int.h"

/* ---- keywords ---- */

typedef enum { KEY_PLAIN, KEY_NOTE } key_kind;

static const struct {
    const char *name;
    key_kind kind;
} keywords[] = {
    {"type", KEY_PLAIN},
    {"enum", KEY_PLAIN},
    {"const", KEY_PLAIN},
    {"$ref", KEY_PLAIN},
    {"anyOf", KEY_PLAIN},
    {"oneOf", KEY_PLAIN},
    {"allOf", KEY_PLAIN},
    {"nullable", KEY_PLAIN},
    {"properties", KEY_PLAIN},
    {"required", KEY_PLAIN},
    {"additionalProperties", KEY_PLAIN},
    {"minProperties", KEY_PLAIN},
    {"maxProperties", KEY_PLAIN},
    {"items", KEY_PLAIN},
    {"prefixItems", KEY_PLAIN},
    {"additionalItems", KEY_PLAIN},
    {"minItems", KEY_PLAIN},
    {"maxItems", KEY_PLAIN},
    {"minLength", KEY_PLAIN},
    {"maxLength", KEY_PLAIN},
    {"pattern", KEY_PLAIN},
    {"format", KEY_PLAIN},
    {"minimum", KEY_PLAIN},
    {"maximum", KEY_PLAIN},
    {"exclusiveMinimum", KEY_PLAIN},
    {"exclusiveMaximum", KEY_PLAIN},
    {"title", KEY_NOTE},
    {"description", KEY_NOTE},
    {"default", KEY_NOTE},
    {"examples", KEY_NOTE},
    {"example", KEY_NOTE},
    {"deprecated", KEY_NOTE},
    {"readOnly", KEY_NOTE},
    {"writeOnly", KEY_NOTE},
    {"$comment", KEY_NOTE},
    {"$schema", KEY_NOTE},
    {"$defs", KEY_NOTE},
    {"definitions", KEY_NOTE},
    {"discriminator", KEY_NOTE},
    {"uniqueItems", KEY_NOTE},
    {"$id", KEY_NOTE},
};

/* NULL: unknown. */
static const key_kind *kind_of(const char *key) {
    static const key_kind note = KEY_NOTE;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(key, keywords[i].name) == 0)
            return &keywords[i].kind;
    return strncmp(key, "x-", 2) == 0 ? &note : NULL;
}

err_code schema_check_keywords(schema_run *c, const json_t *s) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)s, key, v) {
        if (!kind_of(key))
            return schema_unsupported(c, key, "this keyword is not supported");
        if (strcmp(key, "uniqueItems") == 0 && !json_is_false(v))
            return schema_unsupported(c, key, "only false is supported");
        if (strcmp(key, "$id") == 0 && s != c->root)
            return schema_unsupported(c, key, "supported at the top only");
    }
    return ERR_OK;
}

/* ---- types ---- */

static const struct {
    const char *name;
    unsigned bits;
} types_by_name[] = {
    {"null", TYPE_NULL},       {"boolean", TYPE_BOOLEAN},
    {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER | TYPE_INTEGER},
    {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
    {"object", TYPE_OBJECT},
};

static err_code add_type(schema_run *c, const json_t *name, unsigned *types) {
    for (size_t i = 0; i < sizeof types_by_name / sizeof *types_by_name; i++)
        if (json_is_string(name) && strcmp(json_string_value(name), types_by_name[i].name) == 0) {
            *types |= types_by_name[i].bits;
            return ERR_OK;
        }
    return schema_wrong(c, "type", "there is no such type");
}

const schema_keyword schema_keywords[SCHEMA_KEYWORDS] = {
    {"properties", TYPE_OBJECT},
    {"required", TYPE_OBJECT},
    {"additionalProperties", TYPE_OBJECT},
    {"minProperties", TYPE_OBJECT},
    {"maxProperties", TYPE_OBJECT},
    {"items", TYPE_ARRAY},
    {"prefixItems", TYPE_ARRAY},
    {"minItems", TYPE_ARRAY},
    {"maxItems", TYPE_ARRAY},
    {"minLength", TYPE_STRING},
    {"maxLength", TYPE_STRING},
    {"pattern", TYPE_STRING},
    {"format", TYPE_STRING},
    {"minimum", TYPE_NUMBER | TYPE_INTEGER},
    {"maximum", TYPE_NUMBER | TYPE_INTEGER},
    {"exclusiveMinimum", TYPE_NUMBER | TYPE_INTEGER},
    {"exclusiveMaximum", TYPE_NUMBER | TYPE_INTEGER},
};

static unsigned implied_types(const json_t *s) {
    unsigned types = 0;
    for (int i = 0; i < SCHEMA_KEYWORDS; i++)
        types |= json_object_get(s, schema_keywords[i].key) ? schema_keywords[i].types : 0;
    return types ? types : TYPE_ANY;
}

err_code schema_types(schema_run *c, const json_t *s, unsigned *types) {
    const json_t *type = json_object_get(s, "type");
    *types = 0;
    if (!type)
        *types = implied_types(s);
    else if (json_is_array(type))
        for (size_t i = 0; i < json_array_size(type); i++)
            TRY(add_type(c, json_array_get(type, i), types));
    else
        TRY(add_type(c, type, types));
    return ERR_OK;
}

unsigned schema_type_of(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_INTEGER:
        return TYPE_INTEGER;
    case JSON_REAL: {
        double d = json_real_value(v);
        return d >= -1e15 && d <= 1e15 && d == (double)(int64_t)d ? TYPE_INTEGER : TYPE_NUMBER;
    }
    case JSON_TRUE:
    case JSON_FALSE:
        return TYPE_BOOLEAN;
    case JSON_NULL:
        break;
    }
    return TYPE_NULL;
}

bool schema_equal(schema_run *c, const json_t *a, const json_t *b) {
    c->work++;
    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b) ? json_integer_value(a) == json_integer_value(b)
                                                        : json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        bool same = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; i < json_array_size(a) && same; i++)
            same = schema_equal(c, json_array_get(a, i), json_array_get(b, i));
        return same;
    }
    if (json_is_object(a)) {
        const char *key;
        json_t *v;
        bool same = json_object_size(a) == json_object_size(b);
        json_object_foreach((json_t *)(uintptr_t)a, key, v) {
            const json_t *w = json_object_get(b, key);
            same = same && w && schema_equal(c, v, w);
        }
        return same;
    }
    return json_equal(a, b);
}

/* ---- building ---- */

static err_code keep(schema_run *c, json_t *v, const json_t **out) {
    *out = v;
    if (v && json_array_append_new(c->kept, v) == 0)
        return ERR_OK;
    return err_set(c->e, ERR_MEMORY, "no memory for a schema");
}

static err_code set(schema_run *c, json_t *o, const char *key, json_t *v) {
    err_code code = schema_work(c, 1);
    if (code != ERR_OK) {
        json_decref(v);
        return code;
    }
    if (v && json_object_set_new(o, key, v) == 0)
        return ERR_OK;
    return err_set(c->e, ERR_MEMORY, "no memory for a schema");
}

/* To a list that is kept already. NULL: there was no memory for v. */
static err_code append(schema_run *c, json_t *list, json_t *v) {
    return json_array_append_new(list, v) == 0 ? ERR_OK : err_set(c->e, ERR_MEMORY, "no memory for a schema");
}

static json_t *shared(const json_t *v) { return json_incref((json_t *)(uintptr_t)v); }

json_t *schema_copy(const json_t *v) {
    json_t *copy = json_copy((json_t *)(uintptr_t)v);
    if (json_object_size(copy) == json_object_size(v) && json_array_size(copy) == json_array_size(v))
        return copy;
    json_decref(copy);
    return NULL;
}

/* `type` with null among them. */
static err_code add_null(schema_run *c, json_t *o) {
    json_t *type = json_object_get(o, "type"), *list = json_is_array(type) ? schema_copy(type) : json_array();
    if (!type) {
        json_decref(list);
        return ERR_OK; /* null is allowed as it is */
    }
    if (!list || (json_is_string(type) && json_array_append(list, type) != 0) ||
        json_array_append_new(list, json_string("null")) != 0) {
        json_decref(list);
        return err_set(c->e, ERR_MEMORY, "no memory for a schema");
    }
    return set(c, o, "type", list);
}

err_code schema_without(schema_run *c, const json_t *s, const char *without, const json_t **out) {
    json_t *o = json_object(), *v;
    const char *key;
    TRY(keep(c, o, out));
    json_object_foreach((json_t *)(uintptr_t)s, key, v) {
        const key_kind *kind = kind_of(key);
        if (!kind || *kind == KEY_NOTE || (without && strcmp(key, without) == 0) || strcmp(key, "nullable") == 0)
            continue;
        if (strcmp(key, "const") == 0)
            TRY(set(c, o, "enum", json_pack("[O]", v)));
        else if (strcmp(key, "items") == 0 && json_is_array(v)) /* as draft 7 says prefixItems */
            TRY(set(c, o, "prefixItems", shared(v)));
        else if (strcmp(key, "additionalItems") != 0)
            TRY(set(c, o, key, shared(v)));
    }
    if (json_is_array(json_object_get(s, "items")) && json_object_get(s, "additionalItems"))
        TRY(set(c, o, "items", shared(json_object_get(s, "additionalItems"))));
    if (json_object_get(s, "const") && json_object_get(s, "enum"))
        return schema_unsupported(c, "const", "not supported beside enum");
    return json_is_true(json_object_get(s, "nullable")) ? add_null(c, o) : ERR_OK;
}

/* ---- merging ---- */

static json_t *both(const json_t *a, const json_t *b) { return json_pack("{s:[O, O]}", "allOf", a, b); }

static err_code merge_types(schema_run *c, json_t *o, const json_t *a, const json_t *b) {
    unsigned x, y;
    if (!json_object_get(a, "type") || !json_object_get(b, "type"))
        return ERR_OK;
    TRY(schema_types(c, a, &x));
    TRY(schema_types(c, b, &y));
    json_t *list = json_array();
    TRY(set(c, o, "type", list));
    x &= y;
    for (size_t i = sizeof types_by_name / sizeof *types_by_name; i-- > 0;)
        if ((x & types_by_name[i].bits) == types_by_name[i].bits) {
            TRY(append(c, list, json_string(types_by_name[i].name)));
            x &= ~types_by_name[i].bits;
        }
    return ERR_OK;
}

static err_code merge_enum(schema_run *c, json_t *o, const json_t *a, const json_t *b) {
    json_t *list = json_array();
    TRY(set(c, o, "enum", list));
    for (size_t i = 0; i < json_array_size(a); i++) {
        bool in_both = false;
        for (size_t k = 0; k < json_array_size(b) && !in_both; k++)
            in_both = schema_equal(c, json_array_get(a, i), json_array_get(b, k));
        TRY(schema_work(c, 0));
        if (in_both)
            TRY(append(c, list, shared(json_array_get(a, i))));
    }
    return ERR_OK;
}

/* A property that only a has: b's additionalProperties speak of it. */
static json_t *property_alone(const json_t *mine, const json_t *b) {
    const json_t *other = json_object_get(b, "additionalProperties");
    if (!other || json_is_true(other))
        return shared(mine);
    return json_is_false(other) ? json_false() : both(mine, other);
}

static err_code merge_properties(schema_run *c, json_t *o, const json_t *a, const json_t *b) {
    const json_t *p = json_object_get(a, "properties"), *q = json_object_get(b, "properties");
    json_t *all = json_object(), *v;
    const char *key;
    TRY(set(c, o, "properties", all));
    json_object_foreach((json_t *)(uintptr_t)p, key, v) {
        const json_t *w = json_object_get(q, key);
        TRY(set(c, all, key, w ? both(v, w) : property_alone(v, b)));
    }
    json_object_foreach((json_t *)(uintptr_t)q, key, v) {
        if (!json_object_get(p, key))
            TRY(set(c, all, key, property_alone(v, a)));
    }
    return ERR_OK;
}

static err_code merge_required(schema_run *c, json_t *o, const json_t *a, const json_t *b) {
    TRY(schema_work(c, json_array_size(a) * (json_array_size(b) + 1)));
    json_t *all = schema_copy(a);
    TRY(set(c, o, "required", all));
    for (size_t i = 0; i < json_array_size(b); i++) {
        bool there = false;
        for (size_t k = 0; k < json_array_size(a); k++)
            there = there || json_equal(json_array_get(a, k), json_array_get(b, i));
        if (!there)
            TRY(append(c, all, shared(json_array_get(b, i))));
    }
    return ERR_OK;
}

/* The item i by s alone; NULL: nothing is said of it. */
static const json_t *item_at(const json_t *s, size_t i) {
    const json_t *prefix = json_object_get(s, "prefixItems");
    return i < json_array_size(prefix) ? json_array_get(prefix, i) : json_object_get(s, "items");
}

static err_code merge_items(schema_run *c, json_t *o, const json_t *a, const json_t *b) {
    size_t n = json_array_size(json_object_get(a, "prefixItems")),
           m = json_array_size(json_object_get(b, "prefixItems"));
    const json_t *x = json_object_get(a, "items"), *y = json_object_get(b, "items");
    if (x || y)
        TRY(set(c, o, "items", x && y ? both(x, y) : shared(x ? x : y)));
    if (n == 0 && m == 0)
        return ERR_OK;
    json_t *list = json_array();
    TRY(set(c, o, "prefixItems", list));
    TRY(schema_work(c, n + m));
    for (size_t i = 0; i < n || i < m; i++) {
        x = item_at(a, i);
        y = item_at(b, i);
        TRY(append(c, list, x && y ? both(x, y) : shared(x ? x : y)));
    }
    return ERR_OK;
}

/* Alternatives of both: each of the one with each of the other. */
static err_code merge_choices(schema_run *c, json_t *o, const char *key, const json_t *a, const json_t *b) {
    enum { PAIRS_MAX = 256 };
    json_t *list = json_array();
    TRY(set(c, o, key, list));
    if (json_array_size(a) * json_array_size(b) > PAIRS_MAX)
        return schema_unsupported(c, key, "too many alternatives in parts of one allOf");
    for (size_t i = 0; i < json_array_size(a); i++)
        for (size_t k = 0; k < json_array_size(b); k++)
            TRY(append(c, list, both(json_array_get(a, i), json_array_get(b, k))));
    return ERR_OK;
}

/* Keywords of which the larger, or the smaller, of two values asks for more. */
static const struct {
    const char *key;
    bool larger;
} bounds[] = {
    {"minimum", true},       {"maximum", false},       {"exclusiveMinimum", true}, {"exclusiveMaximum", false},
    {"minLength", true},     {"maxLength", false},     {"minItems", true},         {"maxItems", false},
    {"minProperties", true}, {"maxProperties", false},
};

static const json_t *stricter(schema_run *c, const char *key, const json_t *v, const json_t *w) {
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (strcmp(key, bounds[i].key) == 0 && json_is_number(v) && json_is_number(w))
            return (json_number_value(v) > json_number_value(w)) == bounds[i].larger ? v : w;
    return schema_equal(c, v, w) ? v : NULL;
}

static err_code merge_key(schema_run *c, json_t *o, const char *key, const json_t *v, const json_t *w) {
    if (strcmp(key, "enum") == 0)
        return merge_enum(c, o, v, w);
    if (strcmp(key, "required") == 0)
        return merge_required(c, o, v, w);
    if (strcmp(key, "additionalProperties") == 0)
        return set(c, o, key, both(v, w));
    if (strcmp(key, "anyOf") == 0 || strcmp(key, "oneOf") == 0)
        return merge_choices(c, o, key, v, w);
    const json_t *more = stricter(c, key, v, w);
    return more ? set(c, o, key, shared(more)) : schema_unsupported(c, key, "differs in parts of one allOf");
}

/* Those that are merged together with others. */
static bool is_grouped(const char *key) {
    return strcmp(key, "type") == 0 || strcmp(key, "properties") == 0 || strcmp(key, "items") == 0 ||
           strcmp(key, "prefixItems") == 0;
}

static err_code merge_flat(schema_run *c, const json_t *a, const json_t *b, json_t *o) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)a, key, v) {
        const json_t *w = json_object_get(b, key);
        if (!w)
            TRY(set(c, o, key, shared(v)));
        else if (!is_grouped(key))
            TRY(merge_key(c, o, key, v, w));
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, v) {
        if (!json_object_get(a, key))
            TRY(set(c, o, key, shared(v)));
    }
    TRY(merge_types(c, o, a, b));
    if (json_object_get(o, "properties") || json_object_get(a, "properties"))
        TRY(merge_properties(c, o, a, b));
    return merge_items(c, o, a, b);
}

err_code schema_merge(schema_run *c, const json_t *a, const json_t *b, const json_t **out) {
    TRY(schema_flatten(c, a, &a));
    TRY(schema_flatten(c, b, &b));
    if (json_is_false(a) || json_is_true(b)) {
        *out = a;
        return ERR_OK;
    }
    if (json_is_false(b) || json_is_true(a)) {
        *out = b;
        return ERR_OK;
    }
    json_t *o = json_object();
    TRY(keep(c, o, out));
    return merge_flat(c, a, b, o);
}

static err_code flatten(schema_run *c, const json_t *s, const json_t **out) {
    const json_t *ref = json_object_get(s, "$ref"), *all = json_object_get(s, "allOf"), *rest, *target;
    TRY(schema_check_keywords(c, s));
    TRY(schema_without(c, s, NULL, &rest));
    *out = rest;
    if (ref) {
        TRY(schema_resolve(c, ref, &target));
        TRY(schema_without(c, rest, "$ref", &rest));
        return schema_merge(c, target, rest, out);
    }
    if (!all)
        return ERR_OK;
    if (!json_is_array(all))
        return schema_wrong(c, "allOf", "a list is expected");
    TRY(schema_without(c, rest, "allOf", out));
    for (size_t i = 0; i < json_array_size(all); i++)
        TRY(schema_merge(c, *out, json_array_get(all, i), out));
    return ERR_OK;
}

err_code schema_flatten(schema_run *c, const json_t *s, const json_t **out) {
    *out = s;
    if (json_is_boolean(s))
        return ERR_OK;
    if (!json_is_object(s))
        return schema_wrong(c, "", "a schema is an object, true or false");
    TRY(schema_deeper(c));
    TRY(flatten(c, s, out));
    c->depth--;
    return ERR_OK;
}

/* ---- exclusion ---- */

static bool requires(const json_t *s, const char *key) {
    const json_t *list = json_object_get(s, "required");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)) && strcmp(json_string_value(json_array_get(list, i)), key) == 0)
            return true;
    return false;
}

/* a requires a property that b does not know, and b allows no others. */
static bool needs_what_is_forbidden(const json_t *a, const json_t *b) {
    const json_t *list = json_object_get(a, "required");
    if (!json_is_false(json_object_get(b, "additionalProperties")))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)) &&
            !json_object_get(json_object_get(b, "properties"), json_string_value(json_array_get(list, i))))
            return true;
    return false;
}

static err_code objects_exclude(schema_run *c, const json_t *a, const json_t *b, bool *yes) {
    const json_t *p = json_object_get(a, "properties"), *q = json_object_get(b, "properties");
    const char *key;
    json_t *v;
    size_t n_required =
        json_array_size(json_object_get(a, "required")) + json_array_size(json_object_get(b, "required"));
    TRY(schema_work(c, (json_object_size(p) + 1) * (n_required + 1)));
    *yes = needs_what_is_forbidden(a, b) || needs_what_is_forbidden(b, a);
    json_object_foreach((json_t *)(uintptr_t)p, key, v) {
        const json_t *w = json_object_get(q, key);
        if (!*yes && w && requires(a, key) && requires(b, key))
            TRY(schema_exclude(c, v, w, yes));
    }
    return ERR_OK;
}

/* The types that values of s can have, whether said or not. */
static err_code possible_types(schema_run *c, const json_t *s, unsigned *types) {
    const json_t *values = json_object_get(s, "enum");
    *types = TYPE_ANY;
    if (json_object_get(s, "type"))
        TRY(schema_types(c, s, types));
    unsigned fixed = values ? 0 : TYPE_ANY;
    for (size_t i = 0; i < json_array_size(values); i++)
        fixed |= schema_type_of(json_array_get(values, i));
    *types &= fixed;
    return ERR_OK;
}

static bool fixed_exclude(schema_run *c, const json_t *a, const json_t *b) {
    const json_t *x = json_object_get(a, "enum"), *y = json_object_get(b, "enum");
    if (!x || !y)
        return false;
    for (size_t i = 0; i < json_array_size(x) && schema_work(c, 0) == ERR_OK; i++)
        for (size_t k = 0; k < json_array_size(y); k++)
            if (schema_equal(c, json_array_get(x, i), json_array_get(y, k)))
                return false;
    return true;
}

err_code schema_exclude(schema_run *c, const json_t *a, const json_t *b, bool *yes) {
    unsigned x, y;
    TRY(schema_flatten(c, a, &a));
    TRY(schema_flatten(c, b, &b));
    *yes = json_is_false(a) || json_is_false(b);
    if (*yes || json_is_true(a) || json_is_true(b))
        return ERR_OK;
    TRY(possible_types(c, a, &x));
    TRY(possible_types(c, b, &y));
    *yes = (x & y) == 0 || fixed_exclude(c, a, b);
    TRY(schema_work(c, 0));
    if (*yes || (x & y) != TYPE_OBJECT)
        return ERR_OK;
    c->depth++; /* a property of a property: no deeper than schemas are */
    err_code code = c->depth < SCHEMA_DEPTH_MAX ? objects_exclude(c, a, b, yes) : ERR_OK;
    c->depth--;
    return code;
}
