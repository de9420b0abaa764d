/* schema_int: what the parts of schema.h share. */
#ifndef LOAM_TEXT_SCHEMA_INT_H
#define LOAM_TEXT_SCHEMA_INT_H

#include "text/gbnf.h"
#include "text/schema.h"

enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8, /* with integers: a number's bits are TYPE_NUMBER | TYPE_INTEGER */
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ANY = 127
};

/* Where a value stands: in JSON, as a text of its own, or as a whole that is written in a notation. */
typedef enum { PLACE_JSON, PLACE_TEXT, PLACE_WHOLE, PLACES } schema_place;

typedef struct {
    const json_t *root;
    const schema_notation *how; /* NULL: JSON */
    const char *name;
    schema_place place; /* of the value at hand */
    strbuf *out;        /* finished rules */
    strbuf path;        /* JSON pointer of the schema at hand, for errors */
    json_t *refs;       /* "place pointer" -> number of its rule */
    json_t *kept;       /* list of schemas made by merging, until the end */
    unsigned depth, n_rules;
    size_t steps; /* schemas looked at */
    size_t work;  /* members copied, values compared */
    err *e;
} schema_run;

/* ---- schema.c ---- */

/* Appends an expression of values that s allows: one symbol, or something in parentheses. */
err_code schema_value(schema_run *c, const json_t *s, strbuf *to);
/* The same for a part of the schema at hand: `key`, and `sub` (NULL: none) for the pointer. */
err_code schema_part(schema_run *c, const char *key, const char *sub, const json_t *s, strbuf *to);
/* Appends a literal of the JSON text s, in which no '<' stands where a notation's marks begin with it. */
err_code schema_literal(schema_run *c, str s, strbuf *to);
err_code schema_unsupported(schema_run *c, const char *keyword, const char *why);
/* One schema within another: c->depth is one more, and the caller takes it back. */
err_code schema_deeper(schema_run *c);
err_code schema_wrong(schema_run *c, const char *keyword, const char *why);
/* A whole number of at least 0, or `otherwise` when the keyword is missing. */
err_code schema_count(schema_run *c, const json_t *s, const char *keyword, uint32_t otherwise, uint32_t *n);
/* What $ref points to. */
err_code schema_resolve(schema_run *c, const json_t *ref, const json_t **to);

/* ---- schema_object.c ---- */

err_code schema_object(schema_run *c, const json_t *s, strbuf *to);
err_code schema_array(schema_run *c, const json_t *s, strbuf *to);

/* ---- schema_merge.c ---- */

/* The keywords that limit values of some types, and which. Where there is no "type", they say it. */
typedef struct {
    const char *key;
    unsigned types;
} schema_keyword;
enum { SCHEMA_KEYWORDS = 17 };
extern const schema_keyword schema_keywords[SCHEMA_KEYWORDS];

/* Refuses keywords that are not supported. */
err_code schema_check_keywords(schema_run *c, const json_t *s);
/* The types that s allows by its `type`; without one, those that its other keywords speak of; TYPE_ANY if none does. */
err_code schema_types(schema_run *c, const json_t *s, unsigned *types);
unsigned schema_type_of(const json_t *value);
bool schema_equal(schema_run *c, const json_t *a, const json_t *b); /* 1 equals 1.0; its work is counted */
/* ERR_LIMIT when the work so far, and n more, is too much. */
err_code schema_work(schema_run *c, size_t n);
/* s without $ref and allOf: both are merged into it. *out is kept until the end. */
err_code schema_flatten(schema_run *c, const json_t *s, const json_t **out);
err_code schema_merge(schema_run *c, const json_t *a, const json_t *b, const json_t **out);
/* A shallow copy. NULL: no memory; json_copy() leaves out what it has none for. */
json_t *schema_copy(const json_t *v);
/* s without the keyword `key`. */
err_code schema_without(schema_run *c, const json_t *s, const char *key, const json_t **out);
/* No value can satisfy both; false if that cannot be told. */
err_code schema_exclude(schema_run *c, const json_t *a, const json_t *b, bool *yes);

/* ---- schema_number.c, schema_pattern.c, schema_rules.c ---- */

err_code schema_integer(schema_run *c, const json_t *s, strbuf *to);
err_code schema_number(schema_run *c, const json_t *s, strbuf *to);
/* What stands between the quotes of a string. */
err_code schema_pattern(schema_run *c, str pattern, strbuf *to);
/* The rule of a format, without quotes, or NULL. */
const char *schema_format_rule(str format);

#endif
