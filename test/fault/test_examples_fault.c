/* examples: any allocation or read that fails while they are read, rendered, found, sorted or shown is an error
 * of that call, and leaves nothing behind (make san). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fault/fault.h"
#include "tune/examples.h"
#include "unit/byte_tokenizer.h"

static tokenizer *tok;
static char path[600];

/* All forms, and a template for each way in which a message is found. */
static const char lines[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a</s>\"}]}, {\"role\": "
    "\"assistant\", \"content\": \"b\", \"tool_calls\": [{\"name\": \"f\", \"arguments\": \"{}\"}]}, {\"role\": "
    "\"tool\", "
    "\"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\"}], \"tools\": [{\"name\": \"f\"}]}\n"
    "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}], \"system\": "
    "\"s\"}\n"
    "{\"instruction\": \"a\", \"input\": \"b\", \"output\": \"c\"}\n"
    "{\"text\": \"a\"}\n";
static const char pairs[] = "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n";
static const char moved[] = "{{ messages | length }}{% for m in messages %}{{ m.content }}</s>{% endfor %}";
static const char blocks[] = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content "
                             "}}</s>{% endgeneration %}{% else "
                             "%}{{ m.content }}{% endif %}{% endfor %}";

static int open_all(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/examples-fault.jsonl", tmp ? tmp : "/tmp");
    tok = byte_tokenizer_open("examples-fault-tokenizer");
    return tok ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    tokenizer_close(tok);
    return 0;
}

static void each(fault_kind kind, const char *text, const char *source, long most) {
    const char *const paths[] = {path};
    chat_template *c = NULL;
    assert_int_equal(os_write_file(path, str_from(text), NULL), ERR_OK);
    if (source)
        assert_int_equal(chat_open(&c, tok, str_from(source), NULL), ERR_OK);
    FAULT_EACH(kind, most) {
        examples x;
        strbuf shown = {0};
        err e = {0};
        const examples_options o = {.path = paths,
                                    .n_paths = 1,
                                    .t = tok,
                                    .chat = c,
                                    .roles = EXAMPLES_ASSISTANT,
                                    .pairs = text == pairs,
                                    .ctx_tokens = 4096};
        err_code code = examples_open(&x, &o, &e);
        for (size_t i = 0; i < x.n && code == ERR_OK; i++)
            code = examples_show(&x, tok, i, false, &shown, &e);
        fault_end(code == ERR_OK);
        if (code != ERR_OK && code != (kind == FAULT_MEMORY ? ERR_MEMORY : ERR_IO))
            fail_msg("run %ld: %s", fault.n_run, e.text);
        examples_close(&x);
        strbuf_fini(&shown);
    }
    chat_close(c);
}

static void test_memory(void **state) {
    (void)state;
    each(FAULT_MEMORY, lines, chat_builtin_find("chatml")->source, 20000);
    each(FAULT_MEMORY, "{\"prompt\": \"a\", \"completion\": \"b\"}\n", moved, 4000);
    each(FAULT_MEMORY, "{\"prompt\": \"a\", \"completion\": \"b\"}\n", blocks, 4000);
    each(FAULT_MEMORY, "{\"instruction\": \"a\", \"output\": \"b\"}\n", NULL, 4000);
    each(FAULT_MEMORY, pairs, chat_builtin_find("gemma")->source, 4000);
}

static void test_reads(void **state) {
    (void)state;
    each(FAULT_IO, lines, chat_builtin_find("chatml")->source, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_reads),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
