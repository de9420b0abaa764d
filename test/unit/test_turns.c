/* turns, tools: what each API says of messages and tools becomes one form; what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "serve/serve.h"
#include "serve/think.h"
#include "serve/tools.h"
#include "serve/turns.h"
#include "text/json_write.h"

typedef err_code turns_fn(turns *t, const json_t *messages, str front, err *e);
typedef err_code tools_fn(const json_t *body, json_t *keep, tool_wish *w, err *e);

static json_t *json_of(const char *text) {
    json_t *v;
    if (json_read(str_from(text), 1 << 16, &v, NULL) != ERR_OK)
        fail_msg("%s", text);
    return v;
}

/* "role:content{more}|..." */
static void told(const turns *t, strbuf *out) {
    out->n = 0;
    for (size_t i = 0; i < t->n; i++) {
        strbuf_addf(out, NULL, "%s%.*s:%.*s", i ? "|" : "", STR_ARG(t->m[i].role), STR_ARG(t->m[i].content));
        if (t->m[i].more)
            assert_int_equal(json_write(t->m[i].more, 0, out, NULL), ERR_OK);
    }
}

#define CALL(id, name, args) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":" args "}}"
#define RESULT(id, name) "{\"tool_call_id\":\"" id "\",\"name\":\"" name "\"}"

static const struct {
    turns_fn *read;
    const char *messages, *want;
} rows[] = {
    {turns_chat,
     "[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{"
     "\"type\":"
     "\"input_text\",\"text\":\"c\"}]},{\"role\":\"assistant\",\"content\":null}]",
     "system:front|system:a|user:bc|assistant:"},
    {turns_chat,
     "[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":\"f\","
     "\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},{\"role\":"
     "\"tool\","
     "\"tool_call_id\":\"2\",\"content\":\"r\"}]",
     "system:front|assistant:x{\"tool_calls\":[" CALL("1", "f", "{\"a\":1}") "," CALL(
         "2", "g", "{}") "]}|tool:r" RESULT("2", "g")},
    {turns_chat, /* Ollama's */
     "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},{\"role\":"
     "\"tool\","
     "\"tool_name\":\"f\",\"content\":\"r\"}]",
     "system:front|assistant:{\"tool_calls\":[" CALL("", "f", "{\"a\":1}") "]}|tool:r" RESULT("", "f")},
    {turns_chat,
     "[{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"t\"},{\"role\":\"assistant\",\"thinking\":"
     "\"t\","
     "\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]},{\"role\":\"user\",\"content\":\"u\",\"reasoning\":\"t\"},{"
     "\"role\":\"assistant\",\"content\":\"y\"}]",
     "system:front|assistant:x{\"reasoning_content\":\"t\"}|assistant:{\"reasoning_content\":\"t\",\"tool_calls\":"
     "[" CALL("", "f", "{}") "]}|user:u|assistant:y"},
    {turns_responses, "\"hello\"", "system:front|user:hello"},
    {turns_responses,
     "[{\"type\":\"reasoning\",\"content\":[{\"text\":\"I "
     "\"},{\"text\":\"see\"}]},{\"role\":\"assistant\",\"content\":\"x\"},"
     "{\"type\":\"reasoning\",\"summary\":[{\"text\":\"s\"}]},{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":"
     "\"f\","
     "\"arguments\":\"{}\"},{\"type\":\"reasoning\"}]",
     "system:front|assistant:x{\"reasoning_content\":\"I "
     "see\"}|assistant:{\"reasoning_content\":\"s\",\"tool_calls\":[" CALL("1", "f", "{}") "]}"},
    {turns_responses,
     "[{\"role\":\"user\",\"content\":\"u\"},{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\","
     "\"arguments\":\"{}\"},{"
     "\"type\":\"function_call\",\"call_id\":\"2\",\"name\":\"g\",\"arguments\":\"{}\"},{\"type\":\"function_call_"
     "output\","
     "\"call_id\":\"1\",\"output\":\"r\"}]",
     "system:front|user:u|assistant:{\"tool_calls\":[" CALL("1", "f", "{}") "," CALL("2", "g", "{}") "]}|tool:r" RESULT(
         "1", "f")},
    {turns_anthropic,
     "[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"I "
     "\"},{\"type\":"
     "\"text\",\"text\":\"see\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{\"a\":1}}]},{\"role\":"
     "\"user\","
     "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]},{"
     "\"type\":"
     "\"text\",\"text\":\"now?\"}]}]",
     "system:front|user:u|assistant:I see{\"tool_calls\":[" CALL("1", "f", "{\"a\":1}") "]}|tool:r" RESULT(
         "1", "f") "|user:now?"},
    {turns_anthropic, "[{\"role\":\"user\",\"content\":[]}]", "system:front|user:"},
    {turns_anthropic,
     "[{\"role\":\"assistant\",\"content\":[{\"type\":\"redacted_thinking\",\"data\":\"?\"},{\"type\":\"thinking\","
     "\"thinking\":"
     "\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":\"x\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":"
     "\"thinking\","
     "\"thinking\":\"t\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}}]}]",
     "system:front|assistant:x{\"reasoning_content\":\"t\"}|assistant:{\"reasoning_content\":\"t\",\"tool_calls\":"
     "[" CALL("1", "f", "{}") "]}"},
    {turns_anthropic, /* a thought between a text and a call is the call's */
     "[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"thinking\",\"thinking\":"
     "\"t\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}}]}]",
     "system:front|assistant:x|assistant:{\"reasoning_content\":\"t\",\"tool_calls\":[" CALL("1", "f", "{}") "]}"},
    {turns_anthropic, /* one that nothing followed is nobody's */
     "[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"thinking\",\"thinking\":"
     "\"t\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":\"r\"}]},"
     "{\"role\":\"assistant\",\"content\":\"y\"}]",
     "system:front|assistant:x|tool:r" RESULT("1", "") "|assistant:y"},
};

static void messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        arena mem = {0};
        strbuf out = {0};
        err e = {0};
        turns t = {.mem = &mem, .keep = json_array()};
        json_t *v = json_of("{}"), *list;
        strbuf_addf(&out, NULL, "{\"m\":%s}", rows[i].messages);
        json_decref(v);
        assert_int_equal(json_read(strbuf_str(&out), 1 << 16, &v, NULL), ERR_OK);
        list = json_object_get(v, "m");
        if (rows[i].read(&t, list, STR("front"), &e) != ERR_OK)
            fail_msg("row %zu: %s", i, e.text);
        told(&t, &out);
        if (!str_is(strbuf_str(&out), rows[i].want))
            fail_msg("row %zu: %.*s", i, (int)out.n, out.p);
        json_decref(v);
        json_decref(t.keep);
        strbuf_fini(&out);
        arena_fini(&mem);
    }
}

static const struct {
    turns_fn *read;
    const char *messages, *word;
} bad_messages[] = {
    {turns_chat, "{}", "messages"},
    {turns_chat, "[5]", "messages[0]"},
    {turns_chat, "[{\"content\":\"x\"}]", "role"},
    {turns_chat, "[{\"role\":\"king\"}]", "king"},
    {turns_chat, "[{\"role\":5}]", "role"},
    {turns_chat, "[{\"role\":\"user\",\"content\":5}]", "content"},
    {turns_chat, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "image_url"},
    {turns_chat, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":5}]}]", "content"},
    {turns_chat, "[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "tool_calls[0]"},
    {turns_chat, "[{\"role\":\"assistant\",\"tool_calls\":5}]", "tool_calls"},
    {turns_chat, "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}}]}]",
     "arguments"},
    {turns_chat, "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}]",
     "arguments"},
    {turns_chat, "[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}}]", "function_call"},
    {turns_responses, "5", "input"},
    {turns_responses, "[{\"type\":\"computer_call\"}]", "computer_call"},
    {turns_responses, "[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":5}]", "arguments"},
    {turns_anthropic, "[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\"}]}]", "tool_use"},
    {turns_anthropic, "[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\"}]}]", "without a name"},
    {turns_anthropic, "[{\"role\":\"user\",\"content\":[5]}]", "content[0]"},
};

static void wrong_messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_messages / sizeof *bad_messages; i++) {
        arena mem = {0};
        strbuf body = {0};
        err e = {0};
        json_t *v;
        turns t = {.mem = &mem, .keep = json_array()};
        strbuf_addf(&body, NULL, "{\"m\":%s}", bad_messages[i].messages);
        assert_int_equal(json_read(strbuf_str(&body), 1 << 16, &v, NULL), ERR_OK);
        if (bad_messages[i].read(&t, json_object_get(v, "m"), (str){0}, &e) == ERR_OK ||
            !strstr(e.text, bad_messages[i].word))
            fail_msg("row %zu: %s", i, e.text);
        json_decref(v);
        json_decref(t.keep);
        strbuf_fini(&body);
        arena_fini(&mem);
    }
}

/* Text of arguments is held to a body's depth and, all calls of a request together, to a body's values. */
static void many_arguments(void **state) {
    (void)state;
    static const struct {
        size_t depth, n_values; /* of each of the calls */
        const char *word;       /* NULL: taken */
    } calls[] = {
        {SERVE_JSON_DEPTH_MAX - 1, 0, NULL},
        {SERVE_JSON_DEPTH_MAX, 0, "nested deeper than 64"},
        {1, SERVE_JSON_VALUES_MAX / 2 - 3, NULL},
        {1, SERVE_JSON_VALUES_MAX / 2 - 2, "more than 262144 keys and values"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        arena mem = {0};
        strbuf text = {0};
        err e = {0};
        turns t = {.mem = &mem, .keep = json_array()};
        json_t *list = json_pack("[{s:s, s:[]}]", "role", "assistant", "tool_calls");
        strbuf_addf(&text, NULL, "{\"a\":");
        for (size_t k = 0; k < calls[i].depth; k++)
            strbuf_addc(&text, '[', NULL);
        for (size_t k = 0; k < calls[i].n_values; k++)
            strbuf_addf(&text, NULL, k ? ",0" : "0");
        for (size_t k = 0; k < calls[i].depth; k++)
            strbuf_addc(&text, ']', NULL);
        strbuf_addc(&text, '}', NULL);
        for (size_t k = 0; k < 2; k++)
            json_array_append_new(json_object_get(json_array_get(list, 0), "tool_calls"),
                                  json_pack("{s:{s:s, s:s%}}", "function", "name", "f", "arguments", text.p, text.n));
        err_code code = turns_chat(&t, list, (str){0}, &e);
        if (code != (calls[i].word ? ERR_FORMAT : ERR_OK) || (calls[i].word && !strstr(e.text, calls[i].word)))
            fail_msg("row %zu: %s", i, e.text);
        json_decref(list);
        json_decref(t.keep);
        strbuf_fini(&text);
        arena_fini(&mem);
    }
}

#define F \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}"

static const struct {
    tools_fn *read;
    const char *body, *only; /* of the wish; NULL: no tools */
    bool required;
    size_t most;
} wishes[] = {
    {tools_openai, "{}", NULL, false, TOOLS_CALLS_MAX},
    {tools_openai, "{\"tools\":[],\"tool_choice\":null}", NULL, false, TOOLS_CALLS_MAX},
    {tools_openai, "{\"tools\":[" F "]}", "", false, TOOLS_CALLS_MAX},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false}", "", false, 1},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":\"required\"}", "", true, TOOLS_CALLS_MAX},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":\"none\"}", NULL, false, TOOLS_CALLS_MAX},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}}", "f",
     true, 1},
    {tools_responses,
     "{\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}],"
     "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}}",
     "f", true, 1},
    {tools_anthropic,
     "{\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":{"
     "\"type\":\"any\","
     "\"disable_parallel_tool_use\":true}}",
     "", true, 1},
    {tools_anthropic,
     "{\"tools\":[{\"type\":\"custom\",\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}],"
     "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}}",
     "f", true, 1},
    {tools_ollama, "{\"tools\":[" F "]}", "", false, TOOLS_CALLS_MAX},
};

static void choices(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        json_t *keep = json_array(), *body = json_of(wishes[i].body);
        tool_wish w = {0};
        strbuf text = {0};
        err e = {0};
        if (wishes[i].read(body, keep, &w, &e) != ERR_OK)
            fail_msg("row %zu: %s", i, e.text);
        assert_true(w.required == wishes[i].required && w.most == wishes[i].most && !w.list == !wishes[i].only);
        if (wishes[i].only) {
            assert_true(str_is(w.only, wishes[i].only));
            assert_int_equal(json_write(w.list, 0, &text, NULL), ERR_OK);
            assert_true(str_is(strbuf_str(&text), "[" F "]"));
        }
        strbuf_fini(&text);
        json_decref(body);
        json_decref(keep);
    }
}

static const struct {
    tools_fn *read;
    const char *body, *word;
} bad_tools[] = {
    {tools_openai, "{\"tools\":5}", "tools"},
    {tools_openai, "{\"tools\":[5]}", "tools[0]"},
    {tools_openai, "{\"tools\":[{\"function\":{\"name\":\"f\"}}]}", "type"},
    {tools_openai, "{\"tools\":[{\"type\":\"function\"}]}", "name"},
    {tools_openai, "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]}", "name"},
    {tools_openai, "{\"tools\":[" F "," F "]}", "two tools"},
    {tools_openai, "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":5}}]}",
     "parameters"},
    {tools_openai, "{\"tool_choice\":\"required\"}", "no tools"},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":\"maybe\"}", "maybe"},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":5}", "tool_choice"},
    {tools_openai, "{\"tools\":[" F "],\"parallel_tool_calls\":5}", "parallel_tool_calls"},
    {tools_openai, "{\"tools\":[" F "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}}",
     "\"g\""},
    {tools_responses, "{\"tools\":[{\"type\":\"web_search\"}]}", "web_search"},
    {tools_anthropic, "{\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]}", "bash_20250124"},
    {tools_anthropic, "{\"tools\":[{\"name\":\"f\"}],\"tool_choice\":\"any\"}", "tool_choice"},
};

static void wrong_tools(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_tools / sizeof *bad_tools; i++) {
        json_t *keep = json_array(), *body = json_of(bad_tools[i].body);
        tool_wish w = {0};
        err e = {0};
        if (bad_tools[i].read(body, keep, &w, &e) == ERR_OK || !strstr(e.text, bad_tools[i].word))
            fail_msg("row %zu: %s", i, e.text);
        json_decref(body);
        json_decref(keep);
    }
}

static err_code anthropic(const json_t *body, think_wish *w, err *e) { return think_anthropic(body, true, NULL, w, e); }

static err_code ollama(const json_t *body, think_wish *w, err *e) { return think_ollama(body, true, w, e); }

static const struct {
    err_code (*read)(const json_t *body, think_wish *w, err *e);
    const char *body;
    const char *word; /* of the error; NULL: none */
    think_switch how;
    const char *effort;
    bool as_text;
} thoughts[] = {
    {think_openai, "{}", NULL, THINK_AS_EVER, "", false},
    {think_openai, "{\"reasoning_effort\":\"\",\"reasoning_format\":\"\"}", NULL, THINK_AS_EVER, "", false},
    {think_openai, "{\"reasoning_effort\":\"none\",\"reasoning_format\":\"none\"}", NULL, THINK_OFF, "none", true},
    {think_openai, "{\"reasoning_format\":\"deepseek\"}", NULL, THINK_AS_EVER, "", false},
    {think_openai, "{\"reasoning_format\":\"off\"}", "\"off\"", THINK_AS_EVER, "", false},
    {think_openai, "{\"reasoning_effort\":\"much\"}", "\"much\"", THINK_AS_EVER, "", false},
    {think_responses, "{\"reasoning\":null}", NULL, THINK_AS_EVER, "", false},
    {think_responses, "{\"reasoning\":{\"effort\":\"high\"}}", NULL, THINK_AS_EVER, "high", false},
    {think_responses, "{\"reasoning\":\"high\"}", "reasoning", THINK_AS_EVER, "", false},
    {anthropic, "{}", NULL, THINK_OFF, "", false},
    {anthropic, "{\"thinking\":{\"type\":\"enabled\"}}", NULL, THINK_ON, "", false},
    {anthropic, "{\"output_config\":{\"effort\":\"\"}}", NULL, THINK_OFF, "", false},
    {anthropic, "{\"thinking\":\"enabled\"}", "thinking", THINK_AS_EVER, "", false},
    {anthropic, "{\"thinking\":5}", "thinking", THINK_AS_EVER, "", false},
    {anthropic, "{\"thinking\":{\"type\":5}}", "type", THINK_AS_EVER, "", false},
    {anthropic, "{\"output_config\":\"high\"}", "output_config", THINK_AS_EVER, "", false},
    {ollama, "{\"think\":\"\"}", NULL, THINK_AS_EVER, "", false},
    {ollama, "{\"think\":\"low\"}", NULL, THINK_ON, "low", false},
    {ollama, "{\"think\":false}", NULL, THINK_OFF, "", false},
    {ollama, "{\"think\":5}", "think", THINK_AS_EVER, "", false},
};

static void thinking_wishes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        json_t *body = json_of(thoughts[i].body);
        think_wish w = {0};
        err e = {0};
        err_code code = thoughts[i].read(body, &w, &e);
        if (code != (thoughts[i].word ? ERR_USAGE : ERR_OK) || (thoughts[i].word && !strstr(e.text, thoughts[i].word)))
            fail_msg("row %zu: %d: %s", i, (int)code, e.text);
        if (code == ERR_OK &&
            (w.how != thoughts[i].how || !str_is(w.effort, thoughts[i].effort) || w.as_text != thoughts[i].as_text))
            fail_msg("row %zu: %d, \"%.*s\"", i, (int)w.how, STR_ARG(w.effort));
        json_decref(body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages), cmocka_unit_test(wrong_messages), cmocka_unit_test(many_arguments),
        cmocka_unit_test(choices),  cmocka_unit_test(wrong_tools),    cmocka_unit_test(thinking_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
