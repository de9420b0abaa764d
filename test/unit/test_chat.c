/* chat: what templates make of messages, and that no message can forge a control token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gen/chat.h"
#include "gen/tool_turns.h"
#include "unit/byte_tokenizer.h"

static tokenizer *tok;

static int open_tokenizer(void **state) {
    (void)state;
    tok = byte_tokenizer_open("chat-tokenizer");
    return tok ? 0 : -1;
}

static int close_tokenizer(void **state) {
    (void)state;
    tokenizer_close(tok);
    return 0;
}

/* ---- helpers ---- */

static chat_template *compile(const char *source) {
    chat_template *c;
    err e = {0};
    if (chat_open(&c, tok, str_from(source), &e) != ERR_OK)
        fail_msg("%s", e.text);
    return c;
}

#define MESSAGE(role, text) \
    { {role, sizeof role - 1}, {text, sizeof text - 1}, NULL }

static const chat_options ask = {.generation_prompt = true};

/* Both faces of one prompt: its text, and the number of control tokens among its ids. */
static size_t check(const chat_template *c, const chat_message *m, size_t n, str want) {
    strbuf text = {0}, back = {0};
    tok_ids ids = {0};
    err e = {0};
    if (chat_render(c, m, n, &ask, &text, &e) != ERR_OK || chat_encode(c, m, n, &ask, &ids, &e) != ERR_OK)
        fail_msg("%s", e.text);
    if (!str_eq(strbuf_str(&text), want))
        fail_msg("rendered:\n%.*s\nwanted:\n%.*s", STR_ARG(strbuf_str(&text)), STR_ARG(want));
    /* The ids spell the very text, control tokens and forged ones alike. */
    assert_int_equal(tokenizer_decode(tok, ids.id, ids.n, true, &back, NULL), ERR_OK);
    assert_true(str_eq(strbuf_str(&back), want));
    size_t n_control = 0;
    for (size_t i = 0; i < ids.n; i++)
        n_control += tokenizer_is_control(tok, ids.id[i]);
    strbuf_fini(&text);
    strbuf_fini(&back);
    tok_ids_fini(&ids);
    return n_control;
}

static const char simple[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>{% endfor %}";

/* ---- tests ---- */

static void test_builtins(void **state) {
    (void)state;
    const chat_message m[] = {MESSAGE("system", "Be kind."), MESSAGE("user", "Hi"), MESSAGE("assistant", "Ho"),
                              MESSAGE("user", "So?")};
    const struct {
        const char *name;
        str want;
        size_t n_control;
    } cases[] = {
        {"chatml",
         STR("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo"
             "<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n"),
         9},
        {"gemma",
         STR("<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n"
             "<start_of_turn>user\nSo?<end_of_turn>\n<start_of_turn>model\n"),
         8},
        {"llama3",
         STR("<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user"
             "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>"
             "<|start_header_id|>user<|end_header_id|>\n\nSo?<|eot_id|><|start_header_id|>assistant"
             "<|end_header_id|>\n\n"),
         15},
        {"plain", STR("<s>Be kind.\n\nUser: Hi\nAssistant: Ho\nUser: So?\nAssistant:"), 1},
    };
    size_t n = 0;
    for (const chat_builtin *b = chat_builtins; b->name; b++, n++) {
        assert_string_equal(b->name, cases[n].name);
        assert_ptr_equal(chat_builtin_find(b->name), b);
        chat_template *c = compile(b->source);
        assert_int_equal(check(c, m, 4, cases[n].want), cases[n].n_control);
        chat_close(c);
    }
    assert_int_equal(n, sizeof cases / sizeof *cases);
    assert_null(chat_builtin_find("wizardry"));
}

/* Every control token, in every message, at every place: the prompt has the template's control tokens and no more. */
static void test_no_forgery(void **state) {
    (void)state;
    chat_template *c = compile(simple);
    const char *const around[][2] = {{"", ""},        {"say ", " now"}, {"<", ">"},
                                     {"<<", "<|im_"}, {"  ", "  "},     {"\xC3\xA9", "\xC3"}};
    for (size_t i = 0; i < N_CONTROLS; i++)
        for (size_t k = 0; k < sizeof around / sizeof *around; k++) {
            strbuf content = {0}, want = {0}, good = {0};
            strbuf_addf(&content, NULL, "%s%s%s%s", around[k][0], byte_controls[i], byte_controls[i], around[k][1]);
            utf8_repair(strbuf_str(&content), &good, NULL);
            str inner = strbuf_str(&good);
            while (inner.n && inner.p[0] == ' ')
                inner = str_sub(inner, 1, inner.n);
            while (inner.n && inner.p[inner.n - 1] == ' ')
                inner.n--;
            strbuf_addf(&want, NULL, "<|im_start|>user\n%.*s<|im_end|><|im_start|>assistant\n%.*s<|im_end|>",
                        STR_ARG(inner), STR_ARG(inner));
            const chat_message m[] = {{STR("user"), strbuf_str(&content), NULL},
                                      {STR("assistant"), strbuf_str(&content), NULL}};
            assert_int_equal(check(c, m, 2, strbuf_str(&want)), 4);
            strbuf_fini(&content);
            strbuf_fini(&want);
            strbuf_fini(&good);
        }
    chat_close(c);
}

/* A marked message still does what the template asks of it. */
static void test_templates_work_on_messages(void **state) {
    (void)state;
    const struct {
        const char *source;
        chat_message m;
        str want;
        size_t n_control;
    } cases[] = {
        {"{% if '</think>' in messages[0].content %}{{ messages[0].content.split('</think>')[-1].lstrip('\\n') }}{% "
         "endif %}",
         MESSAGE("assistant", "<s>hm</think>\n\nyes</s>"), STR("yes</s>"), 0},
        {"<s>{{ messages[0].content | upper }}", MESSAGE("user", "<|im_end|>a"), STR("<s><|IM_END|>A"), 1},
        {"<s>{{ messages[0].content | tojson }}", MESSAGE("user", "</s>\n"), STR("<s>\"</s>\\n\""), 1},
        {"<s>{{ messages[0].content ~ messages[0].content }}", MESSAGE("user", "</s"), STR("<s></s</s"), 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chat_template *c = compile(cases[i].source);
        assert_int_equal(check(c, &cases[i].m, 1, cases[i].want), cases[i].n_control);
        chat_close(c);
    }
}

/* The mark is a character that the messages do not hold. */
static void test_mark_in_message(void **state) {
    (void)state;
    chat_template *c = compile(simple);
    const chat_message m[] = {MESSAGE("user", "<\xEF\xB7\x90/s></s>\xEF\xB7\x91")};
    assert_int_equal(check(c, m, 1, STR("<|im_start|>user\n<\xEF\xB7\x90/s></s>\xEF\xB7\x91<|im_end|>")), 2);
    strbuf all = {0};
    for (int32_t cp = 0xFDD0; cp <= 0xFDEF; cp++) {
        char one[4];
        strbuf_add(&all, (str){one, utf8_put(cp, one)}, NULL);
    }
    const chat_message full[] = {{STR("user"), strbuf_str(&all), NULL}};
    tok_ids ids = {0};
    err e;
    assert_int_equal(chat_encode(c, full, 1, &ask, &ids, &e), ERR_LIMIT);
    assert_int_equal(ids.n, 0);
    strbuf_fini(&all);
    tok_ids_fini(&ids);
    chat_close(c);
}

static void test_variables(void **state) {
    (void)state;
    chat_template *c =
        compile("{{ bos_token }}{{ eos_token }}{% if tools is none and not documents %}{{ mood }}{% endif %}"
                "{{ strftime_now('%Y') }}{% if add_generation_prompt %}?{% endif %}");
    const chat_message m[] = {MESSAGE("user", "x")};
    json_t *vars = json_pack("{s:s, s:s}", "mood", "calm", "messages", "no");
    strbuf text = {0};
    chat_options o = {.now = 86400 * 400, .vars = vars};
    assert_int_equal(chat_render(c, m, 1, &o, &text, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&text), "<s></s>calm1971"));
    strbuf_fini(&text);
    json_decref(vars);
    chat_close(c);
}

static void test_refused(void **state) {
    (void)state;
    chat_template *c =
                      compile("{% if messages[0].role != 'user' %}{{ raise_exception('the user begins') }}{% endif %}"),
                  *bad;
    err e;
    tok_ids ids = {0};
    tok_ids_add(&ids, 7, NULL);
    const chat_message wizard[] = {MESSAGE("wizard", "x")}, assistant[] = {MESSAGE("assistant", "x")};
    assert_int_equal(chat_encode(c, wizard, 1, &ask, &ids, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "message 1: role \"wizard\""));
    assert_int_equal(chat_encode(c, assistant, 1, &ask, &ids, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "the user begins"));
    const chat_message huge[] = {{STR("user"), {"", (size_t)CHAT_BYTES_MAX + 1}, NULL}};
    assert_int_equal(chat_encode(c, huge, 1, &ask, &ids, &e), ERR_LIMIT);
    assert_int_equal(ids.n, 1); /* left as it was */
    assert_int_not_equal(chat_open(&bad, tok, STR("{% for x in %}"), &e), ERR_OK);
    assert_null(bad);
    assert_non_null(strstr(e.text, "chat template"));
    chat_close(NULL);
    chat_close(c);
    tok_ids_fini(&ids);
}

/* ---- tools ---- */

static json_t *json_of(const char *text) {
    json_t *v;
    assert_int_equal(json_read(str_from(text), 1 << 16, &v, NULL), ERR_OK);
    return v;
}

/* Further members and tools reach the template; a control token spelled in them is forged as little as in a text. */
static void test_more(void **state) {
    (void)state;
    chat_template *c =
        compile("{% for t in tools %}<|im_start|>{{ t | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}"
                "{% for c in m.tool_calls %}{{ c.f }}={{ c.a | tojson }}{% endfor %}{% endfor %}");
    json_t *more =
        json_of("{\"tool_calls\": [{\"f\": \"f<|im_end|>\", \"a\": {\"k<|im_start|>\": [\"<s>\", 5, null]}}]}");
    json_t *tools = json_of("[{\"name\": \"<|eot_id|>\"}]");
    const chat_message m[] = {{STR("assistant"), STR("x"), more}};
    const chat_options o = {.tools = tools};
    strbuf text = {0};
    tok_ids ids = {0};
    assert_int_equal(chat_render(c, m, 1, &o, &text, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&text),
                       "<|im_start|>{\"name\": \"<|eot_id|>\"}xf<|im_end|>={\"k<|im_start|>\": [\"<s>\", 5, "
                       "null]}"));
    assert_int_equal(chat_encode(c, m, 1, &o, &ids, NULL), ERR_OK);
    size_t n = 0;
    for (size_t i = 0; i < ids.n; i++)
        n += tokenizer_is_control(tok, ids.id[i]);
    assert_int_equal(n, 1);
    strbuf_fini(&text);
    tok_ids_fini(&ids);
    json_decref(more);
    json_decref(tools);
    chat_close(c);
}

#define TALK "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
#define CALLS(args) "{% for c in m.tool_calls or [] %}<tool_call>" args "{% endfor %}"

static const struct {
    const char *source, *want;
    size_t n, from[6];
} kinds[] = {
    /* all of it, arguments as an object */
    {"{{ tools | tojson if tools }}" TALK CALLS(
         "{{ c.function.name }}{{ c.function.arguments | tojson }}") "{% endfor %}",
     "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}][user]u[assistant]<tool_call>f{\"a\": "
     "1}[tool]r[tool]s[user]v",
     5,
     {0, 1, 2, 3, 4}},
    /* as text, and only texts may be added */
    {"{{ tools | tojson if tools }}" TALK CALLS("{{ c.function.name + c.function.arguments }}") "{% endfor %}",
     "[{\"type\": \"function\", \"function\": {\"name\": "
     "\"f\"}}][user]u[assistant]<tool_call>f{\"a\":1}[tool]r[tool]s[user]v",
     5,
     {0, 1, 2, 3, 4}},
    /* printed as Python would: text is better */
    {"{{ tools | tojson if tools }}" TALK CALLS("{{ c.function.name }}{{ c.function.arguments }}") "{% endfor %}",
     "[{\"type\": \"function\", \"function\": {\"name\": "
     "\"f\"}}][user]u[assistant]<tool_call>f{\"a\":1}[tool]r[tool]s[user]v",
     5,
     {0, 1, 2, 3, 4}},
    /* tools as text in the system's message, calls not rendered but thoughts, no role tool */
    {"{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}[{{ m.role }}]{{ "
     "m.reasoning_content }}{{ m.content }}{% if "
     "'tools' in m and m['tools'] is not none %}<|tool|>{{ m['tools'] }}{% endif %}{% endfor %}",
     "[system]<|tool|>[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}][user]u[assistant]t<|tool_call|>[{"
     "\"name\":"
     " \"f\", "
     "\"arguments\": "
     "{\"a\":1}}]<|/tool_call|>[user]<tool_response>\nr\n</tool_response>\n<tool_response>\ns\n</tool_response>\n"
     "v",
     4,
     {TOOL_TURNS_OURS, 0, 1, 2}},
};

static void test_tool_turns(void **state) {
    json_t *more = json_of("{\"tool_calls\": [{\"id\": \"1\", \"type\": \"function\", \"function\": {\"name\": \"f\", "
                           "\"arguments\": {\"a\": 1}}}], \"reasoning_content\": \"t\"}");
    json_t *tools = json_of("[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]");
    const chat_message talk[] = {{STR("user"), STR("u"), NULL},
                                 {STR("assistant"), {0}, more},
                                 {STR("tool"), STR("r"), NULL},
                                 {STR("tool"), STR("s"), NULL},
                                 {STR("user"), STR("v"), NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        chat_template *c = compile(kinds[i].source);
        tool_style s;
        arena mem = {0};
        strbuf text = {0};
        json_t *keep = json_array();
        tool_talk fitted;
        assert_int_equal(tool_style_learn(&s, c, tok, str_from(kinds[i].source), NULL), ERR_OK);
        assert_int_equal(tool_turns(&s, talk, 5, tools, &mem, keep, &fitted, NULL), ERR_OK);
        assert_int_equal(chat_render(c, fitted.m, fitted.n, &(chat_options){.tools = fitted.tools}, &text, NULL),
                         ERR_OK);
        assert_int_equal(fitted.n, kinds[i].n);
        assert_memory_equal(fitted.from, kinds[i].from, fitted.n * sizeof *fitted.from);
        if (!str_is(strbuf_str(&text), kinds[i].want))
            fail_msg("row %zu: %.*s", i, (int)text.n, text.p);
        strbuf_fini(&text);
        json_decref(keep);
        arena_fini(&mem);
        chat_close(c);
    }
    json_decref(more);
    json_decref(tools);
}

/* A template that knows nothing of tools: our words, behind the system's own. */
static void test_our_words(void **state) {
    static const char source[] = TALK "{% endfor %}";
    json_t *tools = json_of("[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]");
    const chat_message talk[] = {{STR("system"), STR("Be brief."), NULL}, {STR("user"), STR("u"), NULL}};
    chat_template *c = compile(source);
    tool_style s;
    arena mem = {0};
    tool_talk f;
    (void)state;
    assert_int_equal(tool_style_learn(&s, c, tok, str_from(source), NULL), ERR_OK);
    assert_false(s.tools_variable || s.tools_in_system || s.calls || s.results);
    assert_int_equal(tool_turns(&s, talk, 2, tools, &mem, NULL, &f, NULL), ERR_OK);
    assert_true(f.n == 2 && !f.tools && str_starts(f.m[0].content, STR("Be brief.\n\nYou can call")));
    assert_true(f.from[0] == 0 && f.from[1] == 1);
    assert_true(str_find(f.m[0].content, STR("{\"name\":\"f\"}"), 0) > 0);
    assert_int_equal(tool_turns(&s, talk + 1, 1, tools, &mem, NULL, &f, NULL), ERR_OK);
    assert_true(f.n == 2 && str_is(f.m[0].role, "system") && str_is(f.m[1].content, "u"));
    assert_true(f.from[0] == TOOL_TURNS_OURS && f.from[1] == 0);
    assert_int_equal(tool_turns(&s, talk, 2, NULL, &mem, NULL, &f, NULL), ERR_OK);
    assert_true(f.n == 2 && str_is(f.m[0].content, "Be brief."));
    arena_fini(&mem);
    json_decref(tools);
    chat_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtins),
        cmocka_unit_test(test_no_forgery),
        cmocka_unit_test(test_templates_work_on_messages),
        cmocka_unit_test(test_mark_in_message),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_more),
        cmocka_unit_test(test_tool_turns),
        cmocka_unit_test(test_our_words),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
