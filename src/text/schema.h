/* schema: JSON Schema to a grammar (gbnf.h) of the JSON texts that it allows.
 *
 * Every text of the grammar is valid against the schema. The reverse need not be so: of the many ways to spell a value
 * one or a few are in the grammar, and what a schema leaves open is used sparingly:
 *   - properties come in the order in which the schema has them; others only where additionalProperties says so, or
 *     where there are no properties at all; items beyond prefixItems only where items says so, or minItems asks;
 *   - white space is none, one space, or a line break with up to 20 blanks; numbers have at most 16 digits before and
 *     after the point; names of additional properties hold no escapes;
 *   - a pattern is matched as it stands in the text: what need not be escaped is not.
 *
 *   any type         type (one or a list), enum, const, nullable, true, false, $ref (to a place in the same document,
 *                    also recursive), anyOf, allOf (merged), oneOf (alternatives that exclude each other: by type,
 *                    const, enum, or a required property that does)
 *   object           properties, required, additionalProperties, and where counting is easy minProperties and
 *                    maxProperties
 *   array            items, prefixItems (also as draft 7 has it), minItems, maxItems
 *   string           minLength, maxLength, pattern (schema_pattern.c), format: date, time, date-time, duration, uuid,
 *                    email, hostname, ipv4, ipv6, uri
 *   integer, number  minimum, maximum, exclusiveMinimum, exclusiveMaximum
 *   annotations      title, description, default, examples, deprecated, readOnly, writeOnly, discriminator, $comment,
 *                    $schema, $defs, definitions, x-..., at the top $id: without effect
 *
 * Anything else that could change what is valid is ERR_UNSUPPORTED with keyword and JSON pointer: never ignored. A
 * schema without any value is ERR_FORMAT. Sizes are bounded: ERR_LIMIT. Source: JSON Schema draft 2020-12, and of
 * draft 7 what is spelled otherwise. Proved by test_schema.c, fuzz_schema.c, and against the jsonschema package of
 * Python by test/e2e/test_structured.py.
 */
#ifndef LOAM_TEXT_SCHEMA_H
#define LOAM_TEXT_SCHEMA_H

#include "text/grammar.h"
#include "text/json.h"

enum {
    SCHEMA_DEPTH_MAX = 64,             /* schemas within each other, references followed */
    SCHEMA_GRAMMAR_BYTES_MAX = 4 << 20 /* of one text of rules */
};

/* An object that is not written as JSON, but as a model writes the arguments of a call:
 *
 *   begin ( open KEY named VALUE close ) ( between open KEY named VALUE close )... finish
 *
 * VALUE is JSON, except where the schema's own `properties` say that it is a text (schema_is_text()): that one stands
 * as it is, between `quote` and `quote`. Marks begin with '<', so no text has one, and in JSON it is \u003c; only a
 * fixed text (enum, const) may, if no '/', letter or bracket follows it. The schema as a whole must be one of objects;
 * a fixed one is refused, and so is a property whose name holds a control, '<', or one of `reserved`. */
typedef struct {
    const char *begin, *open, *named, *close, *between, *finish, *quote, *reserved;
} schema_notation;
/* Its type is string, and nothing else. */
bool schema_is_text(const json_t *schema);

/* Appends rules (gbnf.h), of JSON when `how` is NULL. The one called `name` is the schema's; the others' names begin
 * with `name` and a '-', and rules that all schemas share with "json-": appended by schema_shared_rules(), once. So
 * texts of several schemas, and rules of the caller's own that refer to them, make one grammar:
 *
 *   schema_to_rules(a, NULL, "weather", &text, e);
 *   schema_to_rules(b, NULL, "time", &text, e);
 *   schema_shared_rules(NULL, &text, e);
 *   strbuf_addf(&text, e, "root ::= \"<call>\" ( weather | time ) \"</call>\"\n");
 *   gbnf_compile(&g, strbuf_str(&text), e);
 *
 * name: letters, digits and '-', a letter first; not "json". */
err_code schema_to_rules(const json_t *schema, const schema_notation *how, const char *name, strbuf *out, err *e);
err_code schema_shared_rules(const schema_notation *how, strbuf *out, err *e);

/* All of it: `before` the value, `after` it, literally; both may be empty. */
err_code schema_compile(grammar **out, const json_t *schema, str before, str after, err *e);
/* Any object: response_format {"type": "json_object"}. */
err_code schema_compile_object(grammar **out, err *e);

#endif
