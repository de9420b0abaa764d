/* chat_learn: which tokens of a conversation are learned. Expected texts have [[ and ]] around what is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gen/chat_learn.h"
#include "unit/byte_tokenizer.h"

static tokenizer *tok;
static tok_work *work;

static int open_tokenizer(void **state) {
    (void)state;
    tok = byte_tokenizer_open("chat-learn-tokenizer");
    return tok && tok_work_open(&work, tok, NULL) == ERR_OK ? 0 : -1;
}

static int close_tokenizer(void **state) {
    (void)state;
    tok_work_close(work);
    tokenizer_close(tok);
    return 0;
}

#define MESSAGE(role, text) \
    { {role, sizeof role - 1}, {text, sizeof text - 1}, NULL }

static void shown(const learned_ids *x, strbuf *out) {
    bool learned = false;
    assert_int_equal(x->ids.n, x->learn.n);
    for (size_t i = 0; i <= x->ids.n; i++) {
        bool now = i < x->ids.n && x->learn.p[i];
        if (now != learned)
            strbuf_add(out, now ? STR("[[") : STR("]]"), NULL);
        learned = now;
        if (i < x->ids.n)
            assert_int_equal(tokenizer_decode_next(tok, i, x->ids.id[i], true, out, NULL), ERR_OK);
    }
}

/* `learned`: a letter a message, "x" for those that are learned. want NULL: refused. */
static void check(const char *source, const chat_message *m, const char *learned, const char *want) {
    chat_template *c;
    learned_ids x = {0};
    tok_ids all = {0};
    strbuf text = {0};
    bool learn[16] = {false};
    size_t n = strlen(learned);
    err e = {0};
    for (size_t i = 0; i < n; i++)
        learn[i] = learned[i] == 'x';
    if (chat_open(&c, tok, str_from(source), &e) != ERR_OK)
        fail_msg("%s", e.text);
    tok_ids_add(&x.ids, 'a', NULL); /* what is there stays */
    strbuf_addc(&x.learn, 0, NULL);
    const chat_options o = {.now = 0};
    err_code code = chat_learn(c, m, learn, n, &o, work, &x, &e);
    if (want) {
        if (code != ERR_OK)
            fail_msg("%s", e.text);
        shown(&x, &text);
        if (!str_is(str_sub(strbuf_str(&text), 1, text.n), want))
            fail_msg("is:\n%.*s\nwanted:\n%s", (int)text.n - 1, text.p + 1, want);
        assert_int_equal(chat_encode(c, m, n, &o, &all, NULL), ERR_OK);
        assert_int_equal(all.n, x.ids.n - 1);
        assert_memory_equal(all.id, x.ids.id + 1, all.n * sizeof *all.id);
    } else {
        assert_int_equal(code, ERR_UNSUPPORTED);
        assert_int_equal(x.ids.n, 1);
        assert_int_equal(x.learn.n, 1);
        assert_non_null(strstr(e.text, "message "));
    }
    learned_fini(&x);
    tok_ids_fini(&all);
    strbuf_fini(&text);
    chat_close(c);
}

static const chat_message talk[] = {MESSAGE("system", "Be kind."), MESSAGE("user", "Hi"), MESSAGE("assistant", "Ho"),
                                    MESSAGE("user", "So?"), MESSAGE("assistant", " Yes ")};

/* ---- tests ---- */

static void test_builtins(void **state) {
    (void)state;
    static const struct {
        const char *name, *learned, *want;
    } cases[] = {
        {"chatml", "..x.x",
         "<|im_start|>system\nBe "
         "kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[[Ho<|im_end|>]]\n"
         "<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n[[ Yes <|im_end|>]]\n"},
        {"chatml", "....x",
         "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
         "<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n[[ Yes <|im_end|>]]\n"},
        {"chatml", "xx.x.",
         "[[<|im_start|>system\nBe kind.<|im_end|>]]\n[[<|im_start|>user\nHi<|im_end|>]]\n<|im_start|>assistant\n"
         "Ho<|im_end|>\n[[<|im_start|>user\nSo?<|im_end|>]]\n<|im_start|>assistant\n Yes <|im_end|>\n"},
        {"gemma", "..x.x",
         "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n[[Ho<end_of_turn>]]\n"
         "<start_of_turn>user\nSo?<end_of_turn>\n<start_of_turn>model\n[[ Yes <end_of_turn>]]\n"},
        {"llama3", "..x.x",
         "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>"
         "\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[[Ho<|eot_id|>]]<|start_header_id|>user"
         "<|end_header_id|>\n\nSo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[[ Yes <|eot_id|>]]"},
        {"plain", "..x.x", "<s>Be kind.\n\nUser: Hi\nAssistant:[[ Ho\n]]User: So?\nAssistant:[[ Yes\n]]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(chat_builtin_find(cases[i].name)->source, talk, cases[i].learned, cases[i].want);
}

static const char blocks[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content | "
    "trim "
    "}}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}";

/* {% generation %} tells what an assistant says; it does not tell of others. */
static void test_blocks(void **state) {
    (void)state;
    check(blocks, talk + 1, ".x.x",
          "<|im_start|>user\nHi<|im_end|><|im_start|>assistant\n[[Ho<|im_end|>]]<|im_start|>user\nSo?<|im_end|>"
          "<|im_start|>assistant\n[[Yes<|im_end|>]]");
    check(blocks, talk + 1, "...x",
          "<|im_start|>user\nHi<|im_end|><|im_start|>assistant\nHo<|im_end|><|im_start|>user\nSo?<|im_end|>"
          "<|im_start|>assistant\n[[Yes<|im_end|>]]");
    check(blocks, talk + 1, "x...",
          "[[<|im_start|>user\nHi<|im_end|>]]<|im_start|>assistant\nHo<|im_end|><|im_start|>user\nSo?<|im_end|>"
          "<|im_start|>assistant\nYes<|im_end|>");
}

/* As Qwen 3: the last turn is written with (empty) thoughts, earlier ones without. */
static const char thinks[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% set c = m.content %}{% set t = '' %}"
    "{% if m.role == 'assistant' %}{% if '</think>' in c %}{% set t = "
    "c.split('</think>')[0].split('<think>')[-1].strip() "
    "%}{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}{% if loop.last %}{{ '<think>\\n' + t + "
    "'\\n</think>\\n\\n' }}{% endif %}{% endif %}{{ c }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{{ ask }}{% endif %}";

static void test_last_turn_is_other(void **state) {
    (void)state;
    static const chat_message m[] = {MESSAGE("user", "a"), MESSAGE("assistant", "<think>\nhm\n</think>\n\nb"),
                                     MESSAGE("user", "c"), MESSAGE("assistant", "d</s>"),
                                     MESSAGE("user", "e"), MESSAGE("assistant", "<think>ho</think>f")};
    check(thinks, m, ".x.x.x",
          "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[[b<|im_end|>]]\n<|im_start|>user\nc<|im_end|>\n"
          "<|im_start|>assistant\n[[d</s><|im_end|>]]\n<|im_start|>user\ne<|im_end|>\n<|im_start|>assistant\n"
          "[[<think>\nho\n</think>\n\nf<|im_end|>]]\n");
}

/* As Magistral: thoughts have other marks; they are written otherwise than they came. */
static void test_other_marks(void **state) {
    (void)state;
    static const char marks[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% set c = m.content.split('[/THINK]') %}"
        "{% if m.role == 'assistant' %}[THINK]{{ c[0].split('[THINK]')[-1].upper() }}[/THINK]{% endif %}{{ c[-1] }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    static const chat_message m[] = {MESSAGE("user", "a"), MESSAGE("assistant", "[THINK]hm[/THINK]b")};
    check(marks, m, ".x", "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[[[THINK]HM[/THINK]b<|im_end|>]]\n");
}

/* The system's text stands in the last question: what is before it is no beginning of the whole. */
static void test_moved(void **state) {
    (void)state;
    static const char moved[] =
        "{% set sys = messages[0].content %}{% for m in messages[1:] %}{% if m.role == 'user' %}[INST] {% if "
        "loop.index0 "
        ">= messages | length - 3 %}{{ sys + '|' }}{% endif %}{{ m.content }} [/INST]{% else %}{{ m.content }}</s>"
        "{% endif %}{% endfor %}";
    check(moved, talk, "..x.x", "[INST] Hi [/INST][[Ho</s>]][INST] Be kind.|So? [/INST][[ Yes </s>]]");
    check(moved, talk, "x....", "[INST] Hi [/INST]Ho</s>[INST] [[Be kind.]]|So? [/INST] Yes </s>");
}

/* A text that stands there twice, or not at all, or has no end that a model could say: nothing is guessed. */
static void test_refused(void **state) {
    (void)state;
    static const char twice[] = "{{ messages | length }}{% for m in messages %}{{ m.role }}{{ m.content }}{{ m.content "
                                "}}</s>{% endfor %}",
                      never[] = "{{ messages | length }}{% for m in messages %}{{ m.role }}</s>{% endfor %}",
                      no_end[] =
                          "{{ messages | length }}{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}";
    check(twice, talk, "..x..", NULL);
    check(never, talk, "..x..", NULL);
    check(no_end, talk, "..x..", NULL);
}

/* Control tokens that a message spells are text, on both sides of a mark. */
static void test_no_forgery(void **state) {
    (void)state;
    static const chat_message m[] = {MESSAGE("user", "<|im_end|>"), MESSAGE("assistant", "x<|im_end|>\n<s>y"),
                                     MESSAGE("user", "z"), MESSAGE("assistant", "<|im_end|>")};
    check(chat_builtin_find("chatml")->source, m, ".x.x",
          "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n[[x<|im_end|>\n<s>y<|im_end|>]]\n"
          "<|im_start|>user\nz<|im_end|>\n<|im_start|>assistant\n[[<|im_end|><|im_end|>]]\n");
}

static void test_calls(void **state) {
    (void)state;
    static const char source[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name "
        "}}({{ c.function.arguments | tojson }}){% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt "
        "%}<|im_start|>assistant\n{% endif %}";
    json_t *more =
        json_pack("{s:[{s:{s:s, s:{s:s}}}]}", "tool_calls", "function", "name", "look", "arguments", "at", "<s>");
    const chat_message m[] = {
        MESSAGE("user", "a"), {STR("assistant"), STR(""), more}, MESSAGE("tool", "b"), MESSAGE("assistant", "c")};
    check(source, m, ".x.x",
          "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[[look({\"at\": \"<s>\"})<|im_end|>]]\n"
          "<|im_start|>tool\nb<|im_end|>\n<|im_start|>assistant\n[[c<|im_end|>]]\n");
    json_decref(more);
}

static void test_plain_text(void **state) {
    (void)state;
    learned_ids x = {0};
    strbuf text = {0};
    assert_int_equal(learn_text(tok, work, STR("ask: \xC3\xA9</s>"), 5, TOK_SPECIAL_ADD, &x, NULL), ERR_OK);
    shown(&x, &text);
    assert_true(str_is(strbuf_str(&text), "ask: [[\xC3\xA9</s>]]"));
    assert_int_equal(x.ids.n, 11);
    learned_fini(&x);
    strbuf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtins),    cmocka_unit_test(test_blocks), cmocka_unit_test(test_last_turn_is_other),
        cmocka_unit_test(test_other_marks), cmocka_unit_test(test_moved),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_forgery),  cmocka_unit_test(test_calls),  cmocka_unit_test(test_plain_text),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
