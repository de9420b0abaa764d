/* tools: any allocation that fails while calls are parsed, written or made a grammar of is an error of that call, and
 * leaves nothing behind (make san). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fault/fault.h"
#include "gen/tool_parser.h"

static json_t *tools, *arguments;

static int open_tools(void **state) {
    (void)state;
    tools = json_pack("[{s:s, s:{s:s, s:{s:s, s:{s:{s:s}, s:{s:s}}, s:[s, s]}}}]", "type", "function", "function",
                      "name", "get", "parameters", "type", "object", "properties", "city", "type", "string", "days",
                      "type", "integer", "required", "city", "days");
    arguments = json_pack("{s:s, s:i}", "city", "Rome", "days", 3);
    return tools && arguments ? 0 : -1;
}

static int close_tools(void **state) {
    (void)state;
    json_decref(tools);
    json_decref(arguments);
    return 0;
}

static err_code hear(void *ctx, const tool_event *event, err *e) { return strbuf_add(ctx, event->text, e); }

static err_code parse(const tool_format *f, str text, strbuf *out, err *e) {
    tool_parser p;
    tool_parser_init(&p, f, tools, 5, hear, out);
    err_code code = ERR_OK;
    for (size_t i = 0; i < text.n && code == ERR_OK; i += 16)
        code = tool_parser_feed(&p, str_sub(text, i, i + 16), e);
    if (code == ERR_OK)
        code = tool_parser_end(&p, e);
    tool_parser_fini(&p);
    return code;
}

/* A call that is written and read again, in every format. */
static void calls(void **state) {
    (void)state;
    for (const tool_format *f = tool_formats; f->name; f++)
        FAULT_EACH(FAULT_MEMORY, 300) {
            strbuf text = {0}, out = {0};
            err e = {0};
            err_code code = tool_write(f, STR("get"), arguments, &text, &e);
            if (code == ERR_OK)
                code = parse(f, strbuf_str(&text), &out, &e);
            fault_end(code == ERR_OK);
            assert_true(code == ERR_OK || code == ERR_MEMORY);
            assert_true(code != ERR_OK || str_starts(strbuf_str(&out), STR("get{\"city\":")));
            strbuf_fini(&text);
            strbuf_fini(&out);
        }
}

static void grammars(void **state) {
    (void)state;
    for (const tool_format *f = tool_formats; f->name; f++)
        FAULT_EACH(FAULT_MEMORY, 3000) {
            grammar *g = NULL;
            err e = {0};
            err_code code = tool_grammar(f, tools, (str){0}, 2, &g, &e);
            fault_end(code == ERR_OK);
            assert_int_equal(code == ERR_OK, g != NULL);
            assert_true(code == ERR_OK || code == ERR_MEMORY);
            grammar_close(g);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls), cmocka_unit_test(grammars)};
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
