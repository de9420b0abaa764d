/* schema: which JSON texts a schema's grammar has, keyword by keyword, and what is refused, by keyword and place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/automaton.h"
#include "text/gbnf.h"
#include "text/schema.h"

static json_t *read_schema(const char *text) {
    json_t *v;
    err e = {0};
    if (json_read(str_from(text), 1 << 20, &v, &e) != ERR_OK)
        fail_msg("%s: %s", text, e.text);
    return v;
}

static bool has(const grammar *g, const char *text) {
    automaton *a = NULL;
    uint32_t s;
    err e = {0};
    assert_int_equal(automaton_open(&a, g, &s, &e), ERR_OK);
    for (const char *c = text; *c && s != AUTOMATON_DEAD; c++)
        if (automaton_next(a, s, (unsigned char)*c, &s, &e) != ERR_OK)
            fail_msg("%s", e.text);
    bool yes = s != AUTOMATON_DEAD && automaton_may_end(a, s);
    automaton_close(a);
    return yes;
}

/* What a schema allows: the texts up to NULL, then those that it does not. */
typedef struct {
    const char *schema, *yes[9], *no[12];
} row;

static const row rows[] = {
    {"{}", {"1", "null", "[]", "{\"a\": [true]}", "\"x\""}, {"", "{", "nul", "01", "[1,]", "\"\n\""}},
    {"true", {"1", "{}"}, {""}},
    {"{\"type\": \"object\"}", {"{}", "{\"a\":1,\"b\":{}}"}, {"[]", "1"}},
    {"{\"type\": [\"boolean\", \"null\"]}", {"true", "false", "null"}, {"1", "\"\""}},
    {"{\"type\": \"string\", \"nullable\": true}", {"\"\"", "null"}, {"1"}},
    {"{\"enum\": [\"a\\\"b\", 1, null, {\"k\": [2.5]}]}", {"\"a\\\"b\"", "1", "null", "{\"k\":[2.5]}"}, {"\"a\"", "2"}},
    {"{\"type\": \"string\", \"enum\": [\"a\", 1]}", {"\"a\""}, {"1"}},
    {"{\"const\": \"x\"}", {"\"x\""}, {"\"y\""}},
    {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}",
     {"\"ab\"", "\"\xc3\xa9\xc3\xa9\xc3\xa9\"", "\"\\u00e9\\n\"", "\"\\ud83d\\ude00x\""},
     {"\"a\"", "\"abcd\"", "\"a\\ud83d\""}},
    {"{\"type\": \"integer\"}", {"0", "-7", "1234567890123456"}, {"01", "1.5", "1e3", "12345678901234567", "-"}},
    {"{\"type\": \"number\"}", {"0", "-0.5", "1e10", "2.5E-3"}, {".5", "1.", "1e", "+1", "1e400"}},
    {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {\"type\": \"null\"}, \"c\": "
     "true}, "
     "\"required\": [\"b\"]}",
     {"{\"b\":null}", "{\"a\":1,\"b\":null}", "{\"a\": 1, \"b\": null, \"c\": \"x\"}", "{\n  \"b\": null\n}"},
     {"{}", "{\"a\":1}", "{\"b\":null,\"a\":1}", "{\"b\":null,}", "{\"b\":null,\"d\":1}", "{,\"b\":null}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {}}, \"additionalProperties\": false}",
     {"{}", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"},
     {"{\"b\":1,\"a\":2}", "{\"c\":1}"}},
    {"{\"type\": \"object\", \"properties\": {\"ab\": {\"const\": 1}, \"ac\": {\"const\": 2}, \"a\": {\"const\": 3}}, "
     "\"required\": [\"ab\"], \"additionalProperties\": {\"type\": \"boolean\"}}",
     {"{\"ab\":1}", "{\"ab\":1,\"abc\":true}", "{\"ab\":1,\"x\":true,\"ad\":false}", "{\"ab\":1,\"a\":3,\"b\":true}"},
     {"{\"ab\":1,\"ab\":true}", "{\"ab\":1,\"a\":true}", "{\"ab\":1,\"ac\":true}", "{\"ab\":1,\"x\":1}",
      "{\"ab\":1,\"\\u0061b\":true}"}},
    {"{\"type\": \"object\", \"required\": [\"z\"]}", {"{\"z\":[]}"}, {"{}", "{\"y\":1}"}},
    {"{\"type\": \"object\", \"additionalProperties\": {\"type\": \"null\"}, \"minProperties\": 1, \"maxProperties\": "
     "2}",
     {"{\"a\":null}", "{\"a\":null,\"b\":null}"},
     {"{}", "{\"a\":null,\"b\":null,\"c\":null}"}},
    {"{\"type\": \"array\", \"items\": {\"type\": \"integer\"}, \"minItems\": 1, \"maxItems\": 2}",
     {"[1]", "[1, 2]", "[ 1,\n 2 ]"},
     {"[]", "[1,2,3]", "[\"a\"]", "[1,]"}},
    {"{\"type\": \"array\", \"prefixItems\": [{\"const\": 1}, {\"const\": 2}], \"minItems\": 1}",
     {"[1]", "[1,2]"},
     {"[]", "[2]", "[1,2,3]"}},
    {"{\"prefixItems\": [{\"const\": 1}], \"items\": {\"const\": 2}, \"maxItems\": 3}",
     {"[]", "[1]", "[1,2]", "[1,2,2]"},
     {"[1,2,2,2]", "[2]", "[1,1]"}},
    {"{\"items\": [{\"const\": 1}], \"additionalItems\": false, \"minItems\": 1}", {"[1]"}, {"[]", "[1,1]"}},
    {"{\"type\": \"array\", \"items\": false}", {"[]"}, {"[1]"}},
    {"{\"type\": \"array\", \"minItems\": 2, \"maxItems\": 2}", {"[1,null]"}, {"[1]", "[1,2,3]"}},
    {"{\"anyOf\": [{\"type\": \"integer\"}, {\"type\": \"string\", \"maxLength\": 1}]}", {"1", "\"a\""}, {"\"ab\""}},
    {"{\"type\": \"object\", \"properties\": {\"k\": {}}, \"anyOf\": [{\"required\": [\"k\"]}, "
     "{\"properties\": {\"m\": {\"const\": 1}}, \"required\": [\"m\"]}]}",
     {"{\"k\":1}", "{\"m\":1}", "{\"k\":1,\"m\":1}"},
     {"{}", "{\"m\":2}"}},
    {"{\"oneOf\": [{\"properties\": {\"t\": {\"const\": \"a\"}, \"x\": {\"type\": \"integer\"}}, \"required\": "
     "[\"t\"], "
     "\"type\": \"object\"}, {\"properties\": {\"t\": {\"const\": \"b\"}}, \"required\": [\"t\"], \"type\": "
     "\"object\"}]}",
     {"{\"t\":\"a\",\"x\":1}", "{\"t\":\"b\"}"},
     {"{\"t\":\"b\",\"x\":1}", "{\"t\":\"c\"}"}},
    {"{\"allOf\": [{\"type\": \"integer\", \"minimum\": 3}, {\"type\": \"number\", \"maximum\": 5}], \"minimum\": 2}",
     {"3", "5"},
     {"2", "6", "3.5"}},
    {"{\"allOf\": [{\"properties\": {\"a\": {\"type\": \"integer\"}}, \"required\": [\"a\"]}, {\"$ref\": "
     "\"#/$defs/b\"}], "
     "\"type\": \"object\", \"$defs\": {\"b\": {\"properties\": {\"a\": {\"minimum\": 8}, \"b\": {\"enum\": [1]}}}}}",
     {"{\"a\":8}", "{\"a\":9,\"b\":1}"},
     {"{\"a\":7}", "{\"b\":1}"}},
    {"{\"allOf\": [{\"properties\": {\"a\": {}}, \"additionalProperties\": false}, {\"properties\": {\"b\": {}}}], "
     "\"type\": \"object\"}",
     {"{}", "{\"a\":1}"},
     {"{\"b\":1}"}},
    {"{\"$ref\": \"#/definitions/n~1o%20de\", \"definitions\": {\"n/o de\": {\"type\": \"object\", \"properties\": "
     "{\"next\": "
     "{\"anyOf\": [{\"$ref\": \"#/definitions/n~1o%20de\"}, {\"type\": \"null\"}]}}, \"required\": [\"next\"]}}}",
     {"{\"next\":null}", "{\"next\":{\"next\":null}}"},
     {"{}", "{\"next\":{}}"}},
    {"{\"$ref\": \"#/$defs/%1\\u0011%4A\", \"$defs\": {\"%1\\u0011J\": {\"const\": 1}}}", {"1"}, {"2"}},
    {"{\"type\": \"object\", \"properties\": {\"kids\": {\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}}}",
     {"{}", "{\"kids\":[{},{\"kids\":[]}]}"},
     {"{\"kids\":[1]}"}},
    {"{\"type\": \"object\", \"properties\": {\"a\": false, \"b\": {}}}", {"{}", "{\"b\":1}"}, {"{\"a\":1}"}},
    {"{\"title\": \"t\", \"description\": \"d\", \"default\": 1, \"examples\": [1], \"x-y\": 1, \"$comment\": \"c\", "
     "\"type\": \"null\", \"$schema\": \"s\", \"$id\": \"i\"}",
     {"null"},
     {"1"}},
    /* numbers */
    {"{\"type\": \"integer\", \"minimum\": -12, \"maximum\": 105}",
     {"-12", "-1", "0", "9", "42", "99", "100", "105"},
     {"-13", "-20", "106", "110", "200", "1000", "00", "-100"}},
    {"{\"type\": \"integer\", \"exclusiveMinimum\": 0}", {"1", "10", "9999999999999999"}, {"0", "-1", "-0"}},
    {"{\"type\": \"integer\", \"minimum\": 375}", {"375", "380", "400", "999", "1000"}, {"374", "299", "37", "3.75"}},
    {"{\"type\": \"integer\", \"maximum\": -3}", {"-3", "-10"}, {"-2", "0", "3"}},
    {"{\"type\": \"integer\", \"minimum\": 1.5, \"exclusiveMaximum\": 3}", {"2"}, {"1", "3"}},
    {"{\"type\": \"number\", \"minimum\": 0, \"maximum\": 1}",
     {"0", "1", "0.5", "0.0", "1.000", "0.999"},
     {"1.01", "-0.1", "2", "0.", "1e0", "1."}},
    {"{\"type\": \"number\", \"minimum\": 36.5, \"maximum\": 37.25}",
     {"36.5", "36.50", "36.61", "37", "37.2", "37.25", "37.250"},
     {"36", "36.4", "36.49", "37.26", "37.3", "38", "36."}},
    {"{\"type\": \"number\", \"exclusiveMinimum\": -1.5, \"exclusiveMaximum\": 2}",
     {"-1.4", "-1.49", "-1", "-0.001", "0", "1.9", "1", "1.999999"},
     {"-1.5", "-1.50", "-1.6", "2", "2.0", "-2"}},
    {"{\"type\": \"number\", \"minimum\": 2.25, \"maximum\": 2.75}",
     {"2.25", "2.3", "2.5", "2.75", "2.7"},
     {"2.2", "2", "2.8", "2.751"}},
    {"{\"type\": \"number\", \"minimum\": 5, \"maximum\": 5}", {"5", "5.0"}, {"5.", "5.1", "4"}},
    {"{\"type\": \"number\", \"exclusiveMinimum\": 5}", {"5.1", "5.01", "6", "12.5"}, {"5", "5.0", "4.9"}},
    /* strings by form */
    {"{\"type\": \"string\", \"pattern\": \"^[a-c]+(-\\\\d{2})?$\"}",
     {"\"ab\"", "\"c-12\""},
     {"\"\"", "\"a-1\"", "\"d\""}},
    {"{\"pattern\": \"b\"}", {"\"b\"", "\"abc\"", "\"\\nb\""}, {"\"a\""}},
    {"{\"pattern\": \"^(?:x|yz)*?$|^q\"}", {"\"\"", "\"xyzx\"", "\"q\"", "\"qq\""}, {"\"y\""}},
    {"{\"pattern\": \"^[^\\\\w\\\"]\\\\s.\\\\\\\\$\"}",
     {"\"- x\\\\\"", "\"-\\tx\\\\\""},
     {"\"\\\" x\\\\\"", "\"a x\\\\\""}},
    {"{\"format\": \"date\"}",
     {"\"2024-02-29\"", "\"1999-12-31\""},
     {"\"2023-02-29\"", "\"2024-04-31\"", "\"1900-02-29\"", "\"0000-01-01\""}},
    {"{\"format\": \"date-time\"}",
     {"\"2024-01-01T00:00:00Z\"", "\"2024-01-01T23:59:59.5+01:30\""},
     {"\"2024-01-01\""}},
    {"{\"format\": \"time\"}", {"\"12:30:00Z\""}, {"\"24:00:00Z\""}},
    {"{\"format\": \"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567\""}},
    {"{\"format\": \"ipv4\"}", {"\"127.0.0.1\"", "\"255.255.255.255\""}, {"\"256.1.1.1\"", "\"01.1.1.1\""}},
    {"{\"format\": \"ipv6\"}",
     {"\"::1\"", "\"::\"", "\"1:2:3:4:5:6:7:8\"", "\"fe80::1:2\""},
     {"\"1::2::3\"", "\"1:2\""}},
    {"{\"format\": \"duration\"}", {"\"P1DT2H\"", "\"P3W\"", "\"PT5S\""}, {"\"P\"", "\"PT\"", "\"1D\""}},
    {"{\"format\": \"email\"}", {"\"a.b@c.org\""}, {"\"a@\"", "\"a..b@c.org\""}},
    {"{\"format\": \"hostname\"}", {"\"a-b.example\""}, {"\"-a.b\""}},
    {"{\"format\": \"uri\"}", {"\"https://a.org/x?y=%20#z\""}, {"\"a b\""}},
};

static void keyword_by_keyword(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *v = read_schema(rows[i].schema);
        grammar *g = NULL;
        err e = {0};
        if (schema_compile(&g, v, STR("<"), STR(">"), &e) != ERR_OK)
            fail_msg("%s: %s", rows[i].schema, e.text);
        for (int yes = 0; yes < 2; yes++)
            for (const char *const *t = yes ? rows[i].yes : rows[i].no; *t; t++) {
                char text[200];
                snprintf(text, sizeof text, "<%s>", *t);
                if (has(g, text) != yes)
                    fail_msg("%s %s %s", rows[i].schema, yes ? "allows no" : "allows", *t);
            }
        grammar_close(g);
        json_decref(v);
    }
}

/* Deep schemas: alternatives, lists, objects; and deeper than may be. */
static void deep_schemas(void **state) {
    static const struct {
        const char *open, *close;
    } nest[] = {
        {"{\"anyOf\":[{\"const\":0},", "]}"},
        {"{\"items\":", "}"},
        {"{\"properties\":{\"a\":", "}}"},
        {"{\"prefixItems\":[", "]}"},
    };
    strbuf text = {0};
    (void)state;
    for (size_t i = 0; i < sizeof nest / sizeof *nest; i++)
        for (int n = SCHEMA_DEPTH_MAX / 2; n <= 2 * SCHEMA_DEPTH_MAX; n *= 4) {
            grammar *g = NULL;
            err e = {0};
            text.n = 0;
            for (int k = 0; k < n; k++)
                strbuf_add(&text, str_from(nest[i].open), NULL);
            strbuf_add(&text, STR("{\"const\":1}"), NULL);
            for (int k = 0; k < n; k++)
                strbuf_add(&text, str_from(nest[i].close), NULL);
            strbuf_addc(&text, 0, NULL);
            json_t *v = read_schema(text.p);
            err_code code = schema_compile(&g, v, (str){0}, (str){0}, &e);
            bool good = n < SCHEMA_DEPTH_MAX ? code == ERR_OK : code == ERR_LIMIT && strstr(e.text, "deeper than 64");
            if (!good)
                fail_msg("row %zu, %d: %s", i, n, e.text);
            grammar_close(g);
            json_decref(v);
        }
    strbuf_fini(&text);
}

typedef struct {
    const char *schema;
    err_code code;
    const char *words;
} refusal;

static const refusal refusals[] = {
    {"1", ERR_FORMAT, "a schema is an object"},
    {"{\"not\": {}}", ERR_UNSUPPORTED, "schema at #/not: this keyword is not supported"},
    {"{\"properties\": {\"a\": {\"items\": {\"contains\": {}}}}}", ERR_UNSUPPORTED,
     "schema at #/properties/a/items/contains:"},
    {"{\"anyOf\": [{}, {\"if\": {}}]}", ERR_UNSUPPORTED, "schema at #/anyOf/1/if:"},
    {"{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"multipleOf\": 2}}}", ERR_UNSUPPORTED,
     "schema at #/$ref/multipleOf:"},
    {"{\"patternProperties\": {}}", ERR_UNSUPPORTED, "patternProperties"},
    {"{\"uniqueItems\": true}", ERR_UNSUPPORTED, "#/uniqueItems: only false"},
    {"{\"properties\": {\"a\": {\"$id\": \"x\"}}}", ERR_UNSUPPORTED, "#/properties/a/$id: supported at the top only"},
    {"{\"$ref\": \"other.json\"}", ERR_UNSUPPORTED, "only references into the same document"},
    {"{\"$ref\": \"#/a/b\"}", ERR_FORMAT, "$ref: points to nothing"},
    {"{\"$ref\": 1}", ERR_UNSUPPORTED, "$ref"},
    {"{\"$ref\": \"#\"}", ERR_FORMAT, "can begin with itself"},
    {"{\"allOf\": [{\"$ref\": \"#\"}]}", ERR_LIMIT, "deeper than 64"},
    {"{\"type\": \"text\"}", ERR_FORMAT, "#/type: there is no such type"},
    {"{\"type\": \"string\", \"format\": \"color\"}", ERR_UNSUPPORTED, "#/format: this format is not supported"},
    {"{\"format\": \"date\", \"maxLength\": 3}", ERR_UNSUPPORTED, "#/format: not supported beside a length"},
    {"{\"minLength\": -1}", ERR_FORMAT, "#/minLength: a whole number"},
    {"{\"minLength\": 1.5}", ERR_FORMAT, "#/minLength: a whole number"},
    {"{\"maxItems\": 1e300}", ERR_LIMIT, "#/maxItems: at most"},
    {"{\"minimum\": \"3\"}", ERR_FORMAT, "#/minimum: a number"},
    {"{\"minimum\": 1e-7}", ERR_UNSUPPORTED, "#/minimum: a bound of so many digits"},
    {"{\"pattern\": \"a(?=b)\"}", ERR_UNSUPPORTED, "#/pattern: look-around"},
    {"{\"pattern\": \"(\"}", ERR_UNSUPPORTED, "#/pattern: a group is not closed"},
    {"{\"pattern\": \"a)\"}", ERR_UNSUPPORTED, "#/pattern: a parenthesis closes nothing"},
    {"{\"pattern\": \"(a)\\\\1\"}", ERR_UNSUPPORTED, "#/pattern: references to groups"},
    {"{\"pattern\": \"a^\"}", ERR_UNSUPPORTED, "#/pattern: anchors"},
    {"{\"pattern\": \"\\\\bx\"}", ERR_UNSUPPORTED, "#/pattern: this escape"},
    {"{\"pattern\": \"a**\"}", ERR_UNSUPPORTED, "#/pattern: a repetition of a repetition"},
    {"{\"pattern\": \"\\\\x1\\u0011\"}", ERR_UNSUPPORTED, "#/pattern: hexadecimal digits"},
    {"{\"pattern\": \"[a\"}", ERR_UNSUPPORTED, "#/pattern: a set of characters is not closed"},
    {"{\"enum\": [\"a\"], \"minLength\": 1}", ERR_UNSUPPORTED, "#/minLength: not supported beside enum"},
    {"{\"enum\": []}", ERR_FORMAT, "never come to an end"},
    {"{\"enum\": 1}", ERR_FORMAT, "#/enum"},
    {"false", ERR_FORMAT, "never come to an end"},
    {"{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}", ERR_FORMAT,
     "never come to an end"},
    {"{\"minProperties\": 3}", ERR_UNSUPPORTED, "#/minProperties"},
    {"{\"properties\": {\"a\": {}, \"b\": {}}, \"maxProperties\": 1}", ERR_UNSUPPORTED, "#/maxProperties"},
    {"{\"required\": \"a\"}", ERR_FORMAT, "#/required"},
    {"{\"properties\": 1}", ERR_FORMAT, "#/properties"},
    {"{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"number\"}]}", ERR_UNSUPPORTED,
     "#/oneOf: alternatives that a value"},
    {"{\"oneOf\": []}", ERR_FORMAT, "#/oneOf: a list of at least one"},
    {"{\"allOf\": [{\"pattern\": \"a\"}, {\"pattern\": \"b\"}]}", ERR_UNSUPPORTED,
     "#/pattern: differs in parts of one allOf"},
};

static void refusals_name_keyword_and_place(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        json_t *v = read_schema(refusals[i].schema);
        grammar *g = NULL;
        err e = {0};
        err_code code = schema_compile(&g, v, (str){0}, (str){0}, &e);
        if (code != refusals[i].code || g || !strstr(e.text, refusals[i].words))
            fail_msg("%s: %d \"%s\", not %d \"%s\"", refusals[i].schema, (int)code, e.text, (int)refusals[i].code,
                     refusals[i].words);
        json_decref(v);
    }
}

/* {"a": {"a": ... }}, as deep as `n`. */
static void nested(strbuf *b, const char *open, const char *close, size_t n) {
    b->n = 0;
    for (size_t i = 0; i < n; i++)
        strbuf_addf(b, NULL, "%s", open);
    strbuf_addf(b, NULL, "{}");
    for (size_t i = 0; i < n; i++)
        strbuf_addf(b, NULL, "%s", close);
    strbuf_addc(b, 0, NULL);
}

static void hostile_ones_are_refused(void **state) {
    (void)state;
    strbuf b = {0};
    grammar *g = NULL;
    err e = {0};
    nested(&b, "{\"items\":", "}", 200);
    json_t *v = read_schema(b.p);
    assert_int_equal(schema_compile(&g, v, (str){0}, (str){0}, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "deeper than 64"));
    json_decref(v);
    /* d0 is twice d1, which is twice d2, and so on. */
    b.n = 0;
    strbuf_addf(&b, NULL, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        strbuf_addf(&b, NULL,
                    "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\",\"minLength\":1},"
                    "{\"$ref\":\"#/$defs/d%d\",\"maxLength\":9}]},",
                    i, i + 1, i + 1);
    strbuf_addf(&b, NULL, "\"d40\":{}}}");
    strbuf_addc(&b, 0, NULL);
    v = read_schema(b.p);
    err_code code = schema_compile(&g, v, (str){0}, (str){0}, &e);
    assert_true(code == ERR_LIMIT || code == ERR_FORMAT);
    json_decref(v);
    /* Merging copies, and compares, what is large many times over. */
    static const char *const parts[2][3] = {
        {"{\"oneOf\":[", "{\"properties\":{\"t\":{\"const\":%d}},\"required\":[\"t\"]},",
         "{\"required\":[\"u\"]}],\"type\":\"object\",\"properties\":{"},
        {"{\"allOf\":[{\"enum\":[", "[%d,1,2,3],", "9]},{\"enum\":["},
    };
    static const char *const rest[2][2] = {{"\"p%d\":{},", "\"q\":{}}}"}, {"[1,1,1,%d],", "8]}]}"}};
    for (int k = 0; k < 2; k++) {
        b.n = 0;
        strbuf_addf(&b, NULL, "%s", parts[k][0]);
        for (int i = 0; i < (k ? 3000 : 150); i++)
            strbuf_addf(&b, NULL, parts[k][1], i);
        strbuf_addf(&b, NULL, "%s", parts[k][2]);
        for (int i = 0; i < 3000; i++)
            strbuf_addf(&b, NULL, rest[k][0], i);
        strbuf_addf(&b, NULL, "%s", rest[k][1]);
        strbuf_addc(&b, 0, NULL);
        v = read_schema(b.p);
        assert_int_equal(schema_compile(&g, v, (str){0}, (str){0}, &e), ERR_LIMIT);
        assert_non_null(strstr(e.text, "too large to be merged"));
        json_decref(v);
    }
    strbuf_fini(&b);
}

/* Several schemas, and rules of one's own, in one grammar. */
static void rules_compose(void **state) {
    (void)state;
    json_t *a = read_schema(
        "{\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}");
    json_t *b = read_schema("{\"type\": \"array\", \"items\": {\"type\": \"integer\"}}");
    strbuf rules = {0};
    grammar *g = NULL;
    err e = {0};
    assert_int_equal(schema_to_rules(a, NULL, "weather", &rules, &e), ERR_OK);
    assert_int_equal(schema_to_rules(b, NULL, "sum", &rules, &e), ERR_OK);
    assert_int_equal(schema_shared_rules(NULL, &rules, &e), ERR_OK);
    assert_int_equal(strbuf_addf(&rules, &e, "root ::= ( \"<w>\" weather | \"<s>\" sum ) \"</>\"\n"), ERR_OK);
    assert_int_equal(gbnf_compile(&g, strbuf_str(&rules), &e), ERR_OK);
    assert_true(has(g, "<w>{\"city\": \"Oslo\"}</>"));
    assert_true(has(g, "<s>[1, 2]</>"));
    assert_false(has(g, "<s>{\"city\": \"Oslo\"}</>"));
    grammar_close(g);
    assert_int_equal(schema_compile_object(&g, &e), ERR_OK);
    assert_true(has(g, "{\"a\": {}}"));
    assert_false(has(g, "[]"));
    grammar_close(g);
    strbuf_fini(&rules);
    json_decref(a);
    json_decref(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyword_by_keyword),
        cmocka_unit_test(deep_schemas),
        cmocka_unit_test(refusals_name_keyword_and_place),
        cmocka_unit_test(hostile_ones_are_refused),
        cmocka_unit_test(rules_compose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
