/* examples: lines and documents to what a model learns; forms, refusals, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tune/examples.h"
#include "unit/byte_tokenizer.h"

static tokenizer *tok;
static chat_template *chatml;

static int open_all(void **state) {
    (void)state;
    tok = byte_tokenizer_open("examples-tokenizer");
    return tok && chat_open(&chatml, tok, str_from(chat_builtin_find("chatml")->source), NULL) == ERR_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    chat_close(chatml);
    tokenizer_close(tok);
    return 0;
}

static const char *written(const char *name, const char *text) {
    static char path[4][600];
    static int turn;
    const char *tmp = getenv("LOAM_TMP");
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/examples-%s", tmp ? tmp : "/tmp", name);
    assert_int_equal(os_write_file(p, str_from(text), NULL), ERR_OK);
    return p;
}

static examples_options usual(const char *const *path, size_t n) {
    return (examples_options){
        .path = path, .n_paths = n, .t = tok, .chat = chatml, .roles = EXAMPLES_ASSISTANT, .ctx_tokens = 4096};
}

/* The only example of a file, shown. */
static void check_shown(examples_options o, const char *line, const char *want) {
    examples x;
    strbuf text = {0};
    err e = {0};
    const char *path = written("one.jsonl", line);
    o.path = &path;
    o.n_paths = 1;
    if (examples_open(&x, &o, &e) != ERR_OK)
        fail_msg("%s: %s", line, e.text);
    assert_int_equal(x.n, 1);
    assert_int_equal(examples_show(&x, tok, 0, false, &text, NULL), ERR_OK);
    str s = strbuf_str(&text);
    s = str_sub(s, strlen("== ") + strlen(path), s.n);
    if (!str_is(s, want))
        fail_msg("is:\n%.*s\nwanted:\n%s", (int)s.n, s.p, want);
    strbuf_fini(&text);
    examples_close(&x);
}

static void check_refused(examples_options o, const char *lines, const char *want, const char *bad) {
    examples x;
    err e = {0};
    const char *path = written("bad.jsonl", lines);
    o.path = &path;
    o.n_paths = 1;
    err_code code = examples_open(&x, &o, &e);
    if (code == ERR_OK || !strstr(e.text, want))
        fail_msg("%s\nis: %s\nwanted: %s", lines, code == ERR_OK ? "taken" : e.text, want);
    if (bad)
        assert_true(str_find(strbuf_str(&x.bad), str_from(bad), 0) >= 0);
    else
        assert_int_equal(x.bad.n, 0);
    examples_close(&x);
}

#define TURN(role, text) "<|im_start|>" role "\n" text "<|im_end|>\n"
#define SAID(text) "<|im_start|>assistant\n[[" text "<|im_end|>]]\n"

/* ---- tests ---- */

static void test_forms(void **state) {
    (void)state;
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"{\"messages\": [{\"role\": \"developer\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": "
         "\"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}, {\"role\": \"assistant\", \"content\": "
         "\"c\"}]}",
         ":1 chat, 35 tokens, 2 learned\n" TURN("system", "s") TURN("user", "ab") SAID("c") "\n"},
        {"{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}], "
         "\"system\": \"s\"}",
         ":1 sharegpt, 34 tokens, 2 learned\n" TURN("system", "s") TURN("user", "a") SAID("b") "\n"},
        {"{\"prompt\": \"a\", \"completion\": \"b\"}",
         ":1 prompt, 23 tokens, 2 learned\n" TURN("user", "a") SAID("b") "\n"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
         "{\"role\": \"user\", \"content\": \"c\"}], \"completion\": [{\"role\": \"assistant\", \"content\": \"d\"}]}",
         ":1 prompt, 46 tokens, 2 learned\n" TURN("user", "a") TURN("assistant", "b") TURN("user", "c") SAID("d") "\n"},
        {"{\"instruction\": \"a\", \"input\": \"b\", \"output\": \"c\"}",
         ":1 alpaca, 26 tokens, 2 learned\n" TURN("user", "a\n\nb") SAID("c") "\n"},
        {"{\"instruction\": \"a\", \"input\": \"\", \"output\": \"c\"}",
         ":1 alpaca, 23 tokens, 2 learned\n" TURN("user", "a") SAID("c") "\n"},
        {"{\"text\": \"a<s>\\u0007\"}", ":1 text, 6 tokens, 5 learned\na[[<s>\\x07</s>]]\n"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", "
         "\"weight\": 0}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\", "
         "\"weight\": 1}]}",
         ":1 chat, 46 tokens, 2 learned\n" TURN("user", "a") TURN("assistant", "b") TURN("user", "c") SAID("d") "\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_shown(usual(NULL, 0), cases[i].line, cases[i].want);
}

static void test_plain(void **state) {
    (void)state;
    examples_options o = usual(NULL, 0);
    o.chat = NULL;
    check_shown(o, "{\"prompt\": \"a:\", \"completion\": \" b\"}", ":1 prompt, 5 tokens, 3 learned\na:[[ b</s>]]\n");
    check_shown(
        o, "{\"instruction\": \"a\", \"output\": \"b\"}",
        ":1 alpaca, 143 tokens, 2 learned\nBelow is an instruction that describes a task. Write a response that "
        "appropriately completes the request.\n\n### Instruction:\na\n\n### Response:\n[[b</s>]]\n");
    check_refused(o, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", "--template", "user: a\n");
}

static void test_pairs(void **state) {
    (void)state;
    examples_options o = usual(NULL, 0);
    o.pairs = true;
    const char *const lines[] = {
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": "
        "\"b\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"c\"}]}",
        "{\"chosen\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}], "
        "\"rejected\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"c\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chosen\": \"b\", \"rejected\": \"c\"}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        examples x;
        strbuf text = {0};
        const char *path = written("pair.jsonl", lines[i]);
        o.path = &path;
        o.n_paths = 1;
        assert_int_equal(examples_open(&x, &o, NULL), ERR_OK);
        assert_int_equal(x.n, 1);
        const example *ex = &x.example[0];
        assert_int_equal(ex->n_prompt, 20);
        assert_int_equal(x.id[ex->seq[0].from + ex->n_prompt], 'b');
        assert_int_equal(x.id[ex->seq[1].from + ex->n_prompt], 'c');
        assert_int_equal(x.learn[ex->seq[0].from + ex->n_prompt], 1);
        assert_int_equal(x.learn[ex->seq[0].from + ex->n_prompt - 1], 0);
        assert_int_equal(examples_show(&x, tok, 0, false, &text, NULL), ERR_OK);
        assert_true(str_find(strbuf_str(&text), STR(" rejected, 23 tokens, 2 learned\n"), 0) > 0);
        strbuf_fini(&text);
        examples_close(&x);
    }
    check_refused(o, "{\"text\": \"a\"}", "bad.jsonl:1: is no pair", "a");
    check_refused(usual(NULL, 0), lines[0], "--dpo", "assistant: b");
    check_refused(o, "{\"chosen\": \"b\", \"rejected\": \"c\"}", "prompt: is missing", NULL);
    check_refused(o,
                  "{\"chosen\": [{\"role\": \"user\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"user\", "
                  "\"content\": \"b\"}]}",
                  "no common prompt", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
