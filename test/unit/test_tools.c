/* tools: each format's calls, whole, byte by byte and cut in two at every place; what is no call stays text; grammars
 * and parsers agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gen/constraint.h"
#include "gen/tool_parser.h"
#include "text/json_write.h"

static json_t *tools;

static int open_tools(void **state) {
    (void)state;
    return json_read(
        STR("[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\","
            "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}},\"required\":["
            "\"city\",\"days\"]}}},{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]"),
        4096, &tools, NULL);
}

static int close_tools(void **state) {
    (void)state;
    json_decref(tools);
    return 0;
}

/* ---- what is heard ---- */

/* Events as a line: text as it is, calls as {name|arguments}; a broken one as a stream tells it, {name|args!rest}. */
static err_code hear(void *ctx, const tool_event *event, err *e) {
    strbuf *out = ctx;
    switch (event->kind) {
    case TOOL_TEXT:
        return strbuf_add(out, event->text, e);
    case TOOL_BEGIN:
        TRY(strbuf_addc(out, '{', e));
        TRY(strbuf_add(out, event->text, e));
        return strbuf_addc(out, '|', e);
    case TOOL_ARGS:
        return strbuf_add(out, event->text, e);
    case TOOL_END:
        return strbuf_addc(out, '}', e);
    case TOOL_BROKEN:
        break;
    }
    assert_true(str_ends(event->text, event->rest));
    TRY(strbuf_addc(out, '!', e));
    TRY(strbuf_add(out, event->rest, e));
    return strbuf_addc(out, '}', e);
}

static void parse(const tool_format *f, size_t most, str text, size_t a, size_t b, strbuf *out) {
    tool_parser p;
    err e;
    out->n = 0;
    tool_parser_init(&p, f, tools, most, hear, out);
    assert_int_equal(tool_parser_feed(&p, str_sub(text, 0, a), &e), ERR_OK);
    assert_int_equal(tool_parser_feed(&p, str_sub(text, a, b), &e), ERR_OK);
    assert_int_equal(tool_parser_feed(&p, str_sub(text, b, text.n), &e), ERR_OK);
    assert_int_equal(tool_parser_end(&p, &e), ERR_OK);
    tool_parser_fini(&p);
}

static void byte_by_byte(const tool_format *f, size_t most, str text, strbuf *out) {
    tool_parser p;
    out->n = 0;
    tool_parser_init(&p, f, tools, most, hear, out);
    for (size_t i = 0; i < text.n; i++)
        assert_int_equal(tool_parser_feed(&p, str_sub(text, i, i + 1), NULL), ERR_OK);
    assert_int_equal(tool_parser_end(&p, NULL), ERR_OK);
    tool_parser_fini(&p);
}

#define P "\xEF\xBD\x9C"
#define G "\xE2\x96\x81"
#define DS_BEGIN "<" P "tool" G "calls" G "begin" P ">"
#define DS_END "<" P "tool" G "calls" G "end" P ">"
#define DS_CALL "<" P "tool" G "call" G "begin" P ">"
#define DS_CALLED "<" P "tool" G "call" G "end" P ">"
#define DS_SEP "<" P "tool" G "sep" P ">"

static const struct {
    const char *format, *text, *want;
} rows[] = {
    {"hermes",
     "Let me see.\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Ro}me\", \"days\": 3}}\n</tool_call>",
     "Let me see.{get|{\"city\": \"Ro}me\", \"days\": 3}}"},
    {"hermes",
     "<tool_call>{\"name\":\"now\",\"arguments\":{}}</"
     "tool_call>\n<tool_call>{\"arguments\":{\"city\":\"a\\\"b\"},\"name\":"
     "\"get\"}</tool_call> Done.",
     "{now|{}}{get|{\"city\":\"a\\\"b\"}}Done."},
    {"hermes", "<tool_call>{\"name\":\"now\"}", "{now|{}}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"city\\\":1}\"}</tool_call>", "{get|{\"city\":1}}"},
    {"hermes", "<tool_call>{\"name\":\"g\\u0065t\",\"parameters\":{\"a\":[{}]} }</tool_call>", "{get|{\"a\":[{}]}}"},
    {"hermes", "a < b <tool_ <tool_call", "a < b <tool_ <tool_call"},
    {"hermes", "x \n<tool_call>{\"name\":\"what\",\"arguments\":{}}</tool_call> y",
     "x \n<tool_call>{\"name\":\"what\",\"arguments\":{}}</tool_call> y"},
    {"hermes", "<tool_call> oh <tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>", "<tool_call> oh{now|{}}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{\"city\":", "{get|{\"city\":!}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{\"city\" 5}} more", "{get|{\"city\" 5}!}} more"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":[1]}</tool_call>",
     "<tool_call>{\"name\":\"get\",\"arguments\":[1]}</tool_call>"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{},\"parameters\":1}", "{get|{}!,\"parameters\":1}}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{\"city\":[5}]}} more", "{get|{\"city\":[5!}}]}} more"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{}x\"3}\"", "{get|{}!x\"3}\"}"},
    {"mistral-v11", "[TOOL_CALLS]get[ARGS]{\"city\":[5}]}", "{get|{\"city\":[5!}}]}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"argum", "<tool_call>{\"name\":\"get\",\"argum"},
    {"hermes", "  plain text \n", "  plain text \n"},
    {"hermes", "{\"name\":\"now\",\"arguments\":{}}", "{now|{}}"}, /* as small models write it */
    {"hermes", " {\"name\":\"now\",\"arguments\":{}}\nDone.", "{now|{}}Done."},
    {"hermes", "```json\n{\n  \"name\": \"get\",\n  \"arguments\": {\"city\": \"x\"}\n}\n```",
     "{get|{\"city\": \"x\"}}"},
    {"hermes", "\n``` {\"name\":\"now\"} ``` more ```", "{now|{}}more ```"},
    {"hermes", "```json\n{\"name\":\"now\",\"arguments\":{}}", "{now|{}}"},
    {"hermes", "```json\n{\"name\":\"what\",\"arguments\":{}}\n```",
     "```json\n{\"name\":\"what\",\"arguments\":{}}\n```"},
    {"hermes", "{\"colour\":\"red\"}", "{\"colour\":\"red\"}"},
    {"hermes", "```js", "```js"},
    {"hermes", "```python\n{}\n```", "```python\n{}\n```"},
    {"hermes", "Fine: {\"name\":\"now\",\"arguments\":{}}", "Fine: {\"name\":\"now\",\"arguments\":{}}"},
    {"hermes", "", ""},
    {"qwen3-coder",
     "<tool_call>\n<function=get>\n<parameter=city>\nNew\nYork\n</parameter>\n<parameter=days>\n3\n</parameter>\n</"
     "function>\n"
     "</tool_call>",
     "{get|{\"city\": \"New\\nYork\", \"days\": 3}}"},
    {"qwen3-coder", "<tool_call><function=now></function></tool_call>", "{now|{}}"},
    {"qwen3-coder",
     "<tool_call><function=get><parameter=x>{\"a\": 1}</parameter><parameter=y>b c</parameter></function>",
     "{get|{\"x\": {\"a\":1}, \"y\": \"b c\"}}"},
    {"qwen3-coder", "<tool_call><function=get><parameter=days>5</parameter> oops", "{get|{\"days\": 5!} oops"},
    {"qwen3-coder",
     "<tool_call><function=get><parameter=x>1</parameter><parameter=y>2</parameter>\n<parameter=x>3</parameter>"
     "</function></tool_call> z",
     "{get|{\"x\": 1, \"y\": 2!\n<parameter=x>3</parameter>}</function></tool_call> z"},
    {"qwen3-coder", /* the same once they are UTF-8 */
     "<tool_call><function=get><parameter=\xE8>1</parameter><parameter=\xE9>2</parameter></function></tool_call>",
     "{get|{\"\xEF\xBF\xBD\": 1!<parameter=\xE9>2</parameter>}</function></tool_call>"},
    {"qwen3-coder",
     "<tool_call><function=get><parameter=x>1</parameter></function>\n</tool_call>\n<tool_call><function=get>"
     "<parameter=x>2</parameter></function></tool_call>",
     "{get|{\"x\": 1}}{get|{\"x\": 2}}"},
    {"qwen3-coder", "<tool_call><function=get><parameter=x>{\"a\":1,\"a\":2}</parameter></function></tool_call>",
     "{get|{\"x\": \"{\\\"a\\\":1,\\\"a\\\":2}\"}}"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{\"a\":1,\"a\":2}}</tool_call>",
     "{get|{\"a\":1,\"a\":2}!}}</tool_call>"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{},\"arguments\":{\"a\":1}}</tool_call>",
     "{get|{}!,\"arguments\":{\"a\":1}}}</tool_call>"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}</tool_call>",
     "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}</tool_call>"},
    {"mistral-v11", "[TOOL_CALLS]get[ARGS]{\"a\":1,\"a\":2} z", "{get|{\"a\":1,\"a\":2}!} z"},
    {"functiongemma", "<start_function_call>call:get{a:1,a:2}<end_function_call>",
     "{get|!a:1,a:2}}<end_function_call>"},
    {"llama3", "{\"name\": \"get\", \"parameters\": {\"city\": \"Oslo\"}}", "{get|{\"city\": \"Oslo\"}}"},
    {"llama3",
     " <|python_tag|>{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"get\", \"parameters\": {\"days\": 1}}",
     "{now|{}}{get|{\"days\": 1}}"},
    {"llama3", "{\"name\": \"Ann\", \"age\": 3}", "{\"name\": \"Ann\", \"age\": 3}"},
    {"llama3", "Here: {\"name\": \"now\", \"parameters\": {}}", "Here: {\"name\": \"now\", \"parameters\": {}}"},
    {"mistral",
     "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"days\": 2}}, {\"name\": \"now\", \"arguments\": {}}]",
     "{get|{\"days\": 2}}{now|{}}"},
    {"mistral", "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}, \"id\": \"abc\"}, nonsense]",
     "{now|{}}, nonsense]"},
    {"mistral-v11", "[TOOL_CALLS]get[ARGS]{\"city\": \"x\"}[TOOL_CALLS]now[CALL_ID]a1b2c3d4e[ARGS]{}",
     "{get|{\"city\": \"x\"}}{now|{}}"},
    {"mistral-v11", "[TOOL_CALLS]get[ARGS]5", "{get|!}5"},
    {"phi-4-mini", "<|tool_call|>[{\"name\": \"now\", \"arguments\": {}}]<|/tool_call|>", "{now|{}}"},
    {"granite",
     "<|tool_call|>[{\"name\": \"now\", \"arguments\": {}},{\"name\": \"get\", \"arguments\": {\"city\": \"\"}}]",
     "{now|{}}{get|{\"city\": \"\"}}"},
    {"deepseek",
     "I call." DS_BEGIN DS_CALL "function" DS_SEP "get\n```json\n{\"days\": 1}\n```" DS_CALLED "\n" DS_CALL
     "function" DS_SEP "now\n```json\n{}\n```" DS_CALLED DS_END,
     "I call.{get|{\"days\": 1}}{now|{}}"},
    {"deepseek-v3.1",
     DS_BEGIN DS_CALL "get" DS_SEP "{\"days\": 1}" DS_CALLED DS_CALL "now" DS_SEP "{}" DS_CALLED DS_END,
     "{get|{\"days\": 1}}{now|{}}"},
    {"functiongemma",
     "<start_function_call>call:get{city:<escape>S\xC3\xA3o "
     "\"P\"<escape>,days:3,z:[1,{a:true}],\"q\":null}<end_function_call>",
     "{get|{\"city\":\"S\xC3\xA3o \\\"P\\\"\",\"days\":3,\"z\":[1,{\"a\":true}],\"q\":null}}"},
    {"functiongemma", "<start_function_call>call:now{}<end_function_call><start_function_call>call:now{}",
     "{now|{}}{now|{}}"},
    {"functiongemma", "<start_function_call>call:now{a:}<end_function_call>", "{now|!a:}}<end_function_call>"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void formats(void **state) {
    strbuf out = {0};
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const tool_format *f = tool_format_named(rows[i].format);
        str text = str_from(rows[i].text);
        assert_non_null(f);
        for (size_t a = 0; a <= text.n; a++)
            for (size_t b = a; b <= text.n; b += 1 + (text.n - a) / 8) {
                parse(f, 9, text, a, b, &out);
                if (!str_is(strbuf_str(&out), rows[i].want))
                    fail_msg("row %zu, %s, cut at %zu and %zu:\n%.*s\nwanted\n%s", i, f->name, a, b, (int)out.n, out.p,
                             rows[i].want);
            }
        byte_by_byte(f, 9, text, &out);
        if (!str_is(strbuf_str(&out), rows[i].want))
            fail_msg("row %zu, %s, byte by byte:\n%.*s\nwanted\n%s", i, f->name, (int)out.n, out.p, rows[i].want);
    }
    strbuf_fini(&out);
}

static void no_more_than_asked_for(void **state) {
    strbuf out = {0};
    str text = STR("<tool_call>{\"name\":\"now\"}</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call>");
    (void)state;
    parse(tool_format_named("hermes"), 1, text, 3, 50, &out);
    assert_true(str_is(strbuf_str(&out), "{now|{}}<tool_call>{\"name\":\"now\"}</tool_call>"));
    parse(tool_format_named("hermes"), 0, text, 3, 50, &out);
    assert_true(str_eq(strbuf_str(&out), text));
    parse(NULL, 5, text, 3, 50, &out);
    assert_true(str_eq(strbuf_str(&out), text));
    strbuf_fini(&out);
}

/* A name as long as names may be, and one that is longer, at every cut. */
static void long_names(void **state) {
    const tool_format *f = tool_format_named("mistral-v11");
    strbuf out = {0};
    (void)state;
    for (int extra = 0; extra < 3; extra++) {
        strbuf text = {0}, want = {0};
        strbuf_addf(&text, NULL, "[TOOL_CALLS]get[%*s[ARGS]{}", TOOL_NAME_BYTES_MAX - 5 + extra, "");
        if (extra < 2)
            strbuf_addf(&want, NULL, "{get|{}}");
        else
            strbuf_add(&want, strbuf_str(&text), NULL);
        for (size_t a = 0; a <= text.n; a++) {
            parse(f, 5, strbuf_str(&text), a, text.n, &out);
            assert_true(str_eq(strbuf_str(&out), strbuf_str(&want)));
        }
        strbuf_fini(&text);
        strbuf_fini(&want);
    }
    strbuf_fini(&out);
}

/* A call without an end does not grow without one, and is not lost. */
static void long_call(void **state) {
    strbuf text = {0}, out = {0};
    (void)state;
    strbuf_add(&text, STR("<tool_call>{\"name\":\"get\",\"arguments\":{\"city\":\""), NULL);
    while (text.n < TOOL_CALL_BYTES_MAX + 100)
        strbuf_add(&text, STR("0123456789abcdef"), NULL);
    parse(tool_format_named("hermes"), 5, strbuf_str(&text), 1000, TOOL_CALL_BYTES_MAX / 2, &out);
    assert_true(str_starts(strbuf_str(&out), STR("{get|{\"city\":\"0123")));
    assert_true(out.n > TOOL_CALL_BYTES_MAX);
    strbuf_fini(&text);
    strbuf_fini(&out);
}

/* What JSON has no place for in an object: a NUL in a key, and a value that is nested as deep as values may be. */
static void no_argument(void **state) {
    const tool_format *f = tool_format_named("qwen3-coder");
    const str nul = STR("<tool_call><function=get><parameter=a\0b>1</parameter></function></tool_call>");
    strbuf out = {0}, deep = {0};
    (void)state;
    parse(f, 5, nul, 30, 50, &out);
    assert_true(str_eq(strbuf_str(&out), STR("{get|!<parameter=a\0b>1</parameter>}</function></tool_call>")));
    strbuf_add(&deep, STR("<tool_call><function=get><parameter=a>"), NULL);
    for (int i = 0; i < 1024; i++)
        strbuf_addc(&deep, i < 512 ? '[' : ']', NULL);
    strbuf_add(&deep, STR("</parameter></function>"), NULL);
    parse(f, 5, strbuf_str(&deep), 30, 50, &out);
    assert_true(str_starts(strbuf_str(&out), STR("{get|!<parameter=a>[[")));
    strbuf_fini(&deep);
    strbuf_fini(&out);
}

/* ---- which format ---- */

static void signs(void **state) {
    static const struct {
        const char *source, *want;
    } known[] = {
        {"{{ tools }} <tool_call> <function=x> <parameter=y>", "qwen3-coder"},
        {"{{ tools }} <tool_call> {{ x }}", "hermes"},
        {"<|start_header_id|> {\"name\": , \"parameters\": }", "llama3"},
        {"[TOOL_CALLS] [", "mistral"},
        {"[TOOL_CALLS] [ARGS]", "mistral-v11"},
        {"<|tool|> x <|tool_call|>", "phi-4-mini"},
        {"<|tool_call|>", "granite"},
        {DS_BEGIN "```json", "deepseek"},
        {DS_BEGIN, "deepseek-v3.1"},
        {"<start_function_call>", "functiongemma"},
        {"<|im_start|>", "hermes"},
        {"", "hermes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(tool_format_of(str_from(known[i].source))->name, known[i].want);
}

/* ---- grammars ---- */

/* Walks a text through the grammar, which is then gone, a byte a token; false where it may not go on. */
static bool accepts(grammar *g, str text) {
    str piece[257];
    bool is_end[257] = {[256] = true};
    char bytes[256];
    float logits[257];
    token_tree *tree;
    constraint *c;
    constraint_cursor k;
    bool good = true, complete = false;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        piece[i] = (str){&bytes[i], 1};
    }
    piece[256] = (str){0};
    assert_int_equal(token_tree_of(&tree, piece, is_end, 257, NULL), ERR_OK);
    assert_int_equal(constraint_open(&c, g, tree, NULL), ERR_OK);
    constraint_begin(c, &k);
    for (size_t i = 0; i < text.n && good; i++)
        good = !complete && constraint_take(&k, (unsigned char)text.p[i], &complete, NULL) == ERR_OK;
    if (good && !complete) {
        memset(logits, 0, sizeof logits);
        good = constraint_mask(&k, logits, 257, NULL) == ERR_OK && logits[256] == 0;
    }
    constraint_end(&k);
    constraint_close(c);
    token_tree_close(tree);
    return good;
}

/* What each format's grammar allows, its parser understands; and the writer writes such. */
static void grammars(void **state) {
    strbuf text = {0}, out = {0};
    err e;
    json_t *args = json_pack("{s:s, s:i}", "city", "Rome", "days", 3);
    (void)state;
    for (const tool_format *f = tool_formats; f->name; f++) {
        grammar *g = NULL;
        text.n = 0;
        if (tool_grammar(f, tools, STR("get"), 1, &g, &e) != ERR_OK)
            fail_msg("%s: %s", f->name, e.text);
        assert_int_equal(tool_write(f, STR("get"), args, &text, NULL), ERR_OK);
        parse(f, 5, strbuf_str(&text), 5, 20, &out);
        if (!str_starts(strbuf_str(&out), STR("{get|{\"city\":")) || out.p[out.n - 1] != '}')
            fail_msg("%s wrote %.*s, read %.*s", f->name, (int)text.n, text.p, (int)out.n, out.p);
        if (!accepts(g, strbuf_str(&text)))
            fail_msg("%s wrote %.*s, which its grammar refuses", f->name, (int)text.n, text.p);
        assert_int_equal(tool_grammar(f, tools, STR("get"), 1, &g, &e), ERR_OK);
        assert_false(accepts(g, STR("no call")));
    }
    json_decref(args);
    strbuf_fini(&text);
    strbuf_fini(&out);
}

static void grammar_texts(void **state) {
    static const struct {
        const char *format, *text;
        size_t most;
        bool good;
    } said[] = {
        {"hermes", "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", 1, true},
        {"hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\":\"x\",\"days\":1}}\n</tool_call>", 1,
         true},
        {"hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>", 1, false},
        {"hermes", "<tool_call>\n{\"name\": \"what\", \"arguments\": {}}\n</tool_call>", 1, false},
        {"hermes",
         "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", "
         "\"arguments\": {}}\n</tool_call>",
         2, true},
        {"hermes",
         "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", "
         "\"arguments\": {}}\n</tool_call>",
         1, false},
        {"llama3", "{\"name\": \"now\", \"parameters\": {}}", 1, true},
        {"mistral", "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}},{\"name\": \"now\", \"arguments\": {}}]", 3,
         true},
        {"mistral", "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}},{\"name\": \"now\", \"arguments\": {}}]", 1,
         false},
        {"qwen3-coder",
         "<tool_call><function=get>\n<parameter=city>\nRome\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
         "</function></tool_call>",
         1, true},
        {"qwen3-coder", "<tool_call><function=get>\n<parameter=city>\nRome\n</parameter>\n</function></tool_call>", 1,
         false},
        {"functiongemma", "<start_function_call>call:get{city:<escape>Rome<escape>,days:3}<end_function_call>", 1,
         true},
        {"functiongemma", "<start_function_call>call:get{city:Rome,days:3}<end_function_call>", 1, false},
        {"deepseek-v3.1", DS_BEGIN DS_CALL "now" DS_SEP "{}" DS_CALLED DS_CALL "now" DS_SEP "{}" DS_CALLED DS_END, 2,
         true},
    };
    strbuf out = {0};
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        const tool_format *f = tool_format_named(said[i].format);
        grammar *g = NULL;
        err e;
        if (tool_grammar(f, tools, (str){0}, said[i].most, &g, &e) != ERR_OK)
            fail_msg("%s: %s", f->name, e.text);
        if (accepts(g, str_from(said[i].text)) != said[i].good)
            fail_msg("row %zu: %s", i, said[i].text);
        parse(f, said[i].most, str_from(said[i].text), 4, 9, &out);
        if (said[i].good)
            assert_true(out.n > 0 && out.p[0] == '{' && out.p[out.n - 1] == '}' &&
                        !str_starts(strbuf_str(&out), STR("{\"")));
    }
    strbuf_fini(&out);
}

static json_t *tools_of(const char *parameters) {
    strbuf text = {0};
    json_t *v = NULL;
    assert_int_equal(strbuf_addf(&text, NULL, "[{\"function\":{\"name\":\"f\",\"parameters\":%s}}]", parameters),
                     ERR_OK);
    assert_int_equal(json_read(strbuf_str(&text), text.n, &v, NULL), ERR_OK);
    strbuf_fini(&text);
    return v;
}

/* Every format says of arguments all that the schema says: one argument `a` each, and what a call may say of it. */
static void schemas_hold(void **state) {
    static const struct {
        const char *parameters, *good, *bad; /* arguments, as JSON */
    } row[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}$\"}}}",
         "{\"a\":\"OSL\"}", "{\"a\":\"Oslo\"}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3}}}", "{\"a\":\"abc\"}",
         "{\"a\":\"abcd\"}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"date\"}}}",
         "{\"a\":\"2026-11-25\"}", "{\"a\":\"2026-11-31\"}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"x\",\"y z\"]}}}",
         "{\"a\":\"y z\"}", "{\"a\":\"y\"}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/d\"}},\"$defs\":{\"d\":{\"type\":\"integer\","
         "\"maximum\":12}}}",
         "{\"a\":12}", "{\"a\":13}"},
        {"{\"$ref\":\"#/$defs/d\",\"$defs\":{\"d\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"}},"
         "\"required\":[\"a\"]}}}",
         "{\"a\":true}", "{}"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":["
         "\"b\"]}",
         "{\"a\":1,\"b\":\"x\"}", "{\"a\":1}"},
        {"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":{\"type\":\"integer\"}}", "{\"q\":1}",
         "{\"q\":true}"},
    };
    strbuf text = {0};
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        json_t *list = tools_of(row[i].parameters), *good, *bad;
        assert_int_equal(json_read(str_from(row[i].good), 100, &good, NULL), ERR_OK);
        assert_int_equal(json_read(str_from(row[i].bad), 100, &bad, NULL), ERR_OK);
        for (const tool_format *f = tool_formats; f->name; f++)
            for (int allowed = 0; allowed < 2; allowed++) {
                grammar *g = NULL;
                err e = {0};
                text.n = 0;
                if (tool_grammar(f, list, (str){0}, 1, &g, &e) != ERR_OK)
                    fail_msg("row %zu, %s: %s", i, f->name, e.text);
                assert_int_equal(tool_write(f, STR("f"), allowed ? good : bad, &text, NULL), ERR_OK);
                if (accepts(g, strbuf_str(&text)) != allowed)
                    fail_msg("row %zu, %s: %.*s", i, f->name, (int)text.n, text.p);
            }
        json_decref(list);
        json_decref(good);
        json_decref(bad);
    }
    strbuf_fini(&text);
}

static void bad_schemas(void **state) {
    static const struct {
        const char *parameters, *word;
        bool listed; /* wrong where arguments are no JSON alone */
    } bad[] = {
        {"{\"type\":\"king\"}", "type", false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"not\":{\"const\":\"x\"}}}}", "not", false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/nowhere\"}}}", "$ref", false},
        {"{\"type\":\"array\"}", "arguments are an object", true},
        {"{\"type\":\"object\",\"properties\":{\"a<b\":{}}}", "cannot be written", true},
        {"{\"enum\":[{}]}", "as a whole", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *list = tools_of(bad[i].parameters);
        for (const tool_format *f = tool_formats; f->name; f++) {
            grammar *g = NULL;
            err e = {0};
            err_code code = tool_grammar(f, list, (str){0}, 1, &g, &e);
            if (bad[i].listed && f->args == TOOL_JSON) {
                assert_int_equal(code, ERR_OK);
                grammar_close(g);
                continue;
            }
            if (code == ERR_OK || !strstr(e.text, "tool \"f\"") || !strstr(e.text, bad[i].word))
                fail_msg("row %zu, %s: %s", i, f->name, e.text);
            assert_null(g);
        }
        json_decref(list);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),     cmocka_unit_test(no_more_than_asked_for),
        cmocka_unit_test(no_argument), cmocka_unit_test(long_call),
        cmocka_unit_test(long_names),  cmocka_unit_test(signs),
        cmocka_unit_test(grammars),    cmocka_unit_test(grammar_texts),
        cmocka_unit_test(bad_schemas), cmocka_unit_test(schemas_hold),
    };
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
