/* examples: lines and documents to what a model learns; forms, refusals, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <zlib.h>

#include "store/writer.h"
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

static void test_tools(void **state) {
    (void)state;
    static const char source[] =
        "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}{% for m in messages "
        "%}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}({{ "
        "c.function.arguments | tojson }}){% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt "
        "%}<|im_start|>assistant\n{% endif %}";
    examples_options o = usual(NULL, 0);
    chat_template *c;
    assert_int_equal(chat_open(&c, tok, str_from(source), NULL), ERR_OK);
    o.chat = c;
#define CALLED(call)                                                                                                 \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": null, "        \
    "\"tool_calls\": [" call "]}, {\"role\": \"tool\", \"content\": \"b\"}, {\"role\": \"assistant\", \"content\": " \
    "\"c\"}], \"tools\": "
    static const char *const lines[] = {
        CALLED("{\"id\": \"1\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\": "
               "1}\"}}") "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]}",
        CALLED("{\"name\": \"f\", \"arguments\": {\"x\": 1}}") "\"[{\\\"name\\\": \\\"f\\\"}]\"}",
    };
    for (size_t i = 0; i < 2; i++)
        check_shown(o, lines[i],
                    ":1 chat, 114 tokens, 14 learned\n" TURN(
                        "tools", "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]") TURN("user", "a")
                        SAID("f({\"x\": 1})") TURN("tool", "b") SAID("c") "\n");
    chat_close(c);
    /* A template that knows of no tools is told of them by our own words, and results are the user's. */
    examples x;
    strbuf text = {0};
    const char *path = written("tools.jsonl", lines[0]);
    o = usual(&path, 1);
    assert_int_equal(examples_open(&x, &o, NULL), ERR_OK);
    assert_int_equal(examples_show(&x, tok, 0, false, &text, NULL), ERR_OK);
    assert_true(str_find(strbuf_str(&text),
                         STR("[[<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\":1}}\n</tool_call>"), 0) > 0);
    assert_true(str_find(strbuf_str(&text), STR("<|im_start|>user\n<tool_response>\nb"), 0) > 0);
    assert_true(str_find(strbuf_str(&text), STR("[[c<|im_end|>]]"), 0) > 0);
    strbuf_fini(&text);
    examples_close(&x);
}

/* A system's message is put in front (+1), a result and what the user says are one (-1): what is kept out of learning
 * and what is the prompt is told by each message's source, not by how many there are. */
static void test_tools_muted(void **state) {
    (void)state;
#define A_TOOL "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]"
#define ASKED "{\"role\": \"user\", \"content\": \"a\"}"
#define CALLS(more) "{\"role\": \"assistant\", \"content\": \"b\", \"tool_calls\": [{\"name\": \"f\"}]" more "}"
#define RESULT "{\"role\": \"tool\", \"content\": \"r\"}"
#define SAYS(role, text, more) "{\"role\": \"" role "\", \"content\": \"" text "\"" more "}"
#define MUTED ", \"weight\": 0"
    static const struct {
        unsigned roles;
        const char *line;
        const char *learned; /* all that is */
        size_t n_learned;
    } cases[] = {
        {EXAMPLES_ASSISTANT,
         "{\"messages\": [" ASKED
         ", " CALLS(MUTED) ", " RESULT ", " SAYS("user", "c", "") ", " SAYS("assistant", "d", "") "], " A_TOOL "}",
         "[[d<|im_end|>]]", 2},
        {EXAMPLES_ASSISTANT,
         "{\"prompt\": [" ASKED ", " CALLS("") ", " RESULT ", " SAYS("user", "c", "") "], \"completion\": [" SAYS(
             "assistant", "d", "") "], " A_TOOL "}",
         "[[d<|im_end|>]]", 2},
        {EXAMPLES_USER | EXAMPLES_SYSTEM,
         "{\"messages\": [" SAYS("user", "a", MUTED) ", " SAYS("assistant", "d", "") ", " SAYS("user", "c",
                                                                                               "") "], " A_TOOL "}",
         "[[<|im_start|>user\nc<|im_end|>]]", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        examples x;
        strbuf text = {0};
        const char *path = written("muted.jsonl", cases[i].line);
        examples_options o = usual(&path, 1);
        err e;
        o.roles = cases[i].roles;
        if (examples_open(&x, &o, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].line, e.text);
        assert_int_equal(examples_show(&x, tok, 0, false, &text, NULL), ERR_OK);
        if (str_find(strbuf_str(&text), str_from(cases[i].learned), 0) < 0 || x.n_learned != cases[i].n_learned)
            fail_msg("row %zu, %u learned:\n%.*s", i, (unsigned)x.n_learned, (int)text.n, text.p);
        strbuf_fini(&text);
        examples_close(&x);
    }
#undef SAYS
}

static void test_roles(void **state) {
    (void)state;
    unsigned roles;
    err e;
    examples_options o = usual(NULL, 0);
    assert_int_equal(examples_roles(STR("assistant,user"), &roles, &e), ERR_OK);
    assert_int_equal(roles, EXAMPLES_ASSISTANT | EXAMPLES_USER);
    o.roles = roles;
    check_shown(o,
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
                "\"b\"}]}",
                ":1 chat, 23 tokens, 9 learned\n<|im_start|>[[user\na<|im_end|>]]\n" SAID("b") "\n");
    assert_int_equal(examples_roles(STR("assistant,users"), &roles, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "\"users\""));
    assert_int_equal(examples_roles(STR(""), &roles, &e), ERR_USAGE);
    o.roles = EXAMPLES_TOOL;
    check_refused(o, "\n{\"prompt\": \"a\", \"completion\": \"b\"}", "bad.jsonl:2: nothing in it is learned",
                  "assistant: b");
}

static void test_malformed(void **state) {
    (void)state;
#define GOOD "{\"text\": \"good\"}\n"
#define SAYS(message) GOOD "\n  \n{\"messages\": [" message "]}\n"
    static const struct {
        const char *lines, *want;
    } cases[] = {
        {GOOD "{\"text\": \"a\"\n" GOOD, "bad.jsonl:2: at byte "},
        {GOOD GOOD "[1]", "bad.jsonl:3: is JSON, but no object"},
        {"{\"prompt\": \"a\", \"answer\": \"b\"}", "bad.jsonl:1: none of \"messages\", "},
        {"{\"text\": 5}", "text: is no text"},
        {"{\"messages\": \"a\"}", "messages: a list of messages is expected"},
        {"{\"messages\": []}", "messages: a list of messages is expected"},
        {"{\"instruction\": \"a\", \"output\": [1]}", "output: is no text"},
        {SAYS("5"), "bad.jsonl:4: messages[0]: an object is expected"},
        {SAYS("{\"content\": \"a\"}"), "messages[0]: role: is missing"},
        {SAYS("{\"role\": \"wizard\", \"content\": \"a\"}"), "role: \"wizard\" is none of system, user"},
        {SAYS("{\"role\": \"user\", \"content\": 7}"), "messages[0]: content: a text or a list"},
        {SAYS("{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}"), "content[0]: only parts of type text"},
        {SAYS("{\"role\": \"user\", \"content\": \"a\", \"weight\": 2}"), "weight: 0 or 1"},
        {SAYS("{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"\"}]}"), "tool_calls[0]: a call without a name"},
        {SAYS("{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"f\", \"arguments\": \"5\"}]}"),
         "arguments: an object is expected"},
        {"{\"messages\": [{\"role\": \"user\"}], \"tools\": [{}]}", "tools[0]: a function with a name"},
        {"{\"messages\": [{\"role\": \"user\"}], \"tools\": \"[\"}", "tools: at byte "},
        {"", "there is no example in it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(usual(NULL, 0), cases[i].lines, cases[i].want, NULL);
}

static void test_stopped(void **state) {
    (void)state;
    const char *path = written("stopped.jsonl", GOOD GOOD);
    volatile int stop = 0;
    examples_options o = usual(&path, 1);
    examples x;
    o.stop = &stop;
    assert_int_equal(examples_open(&x, &o, NULL), ERR_OK);
    examples_close(&x);
    stop = 1;
    assert_int_equal(examples_open(&x, &o, NULL), ERR_CANCELLED);
    examples_close(&x);
}

/* A template that fails on an example shows that example. */
static void test_template_fails(void **state) {
    (void)state;
    examples_options o = usual(NULL, 0);
    chat_template *c;
    assert_int_equal(chat_open(&c, tok,
                               STR("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') "
                                   "}}{% endif %}{{ m.content }}</s>{% endfor %}"),
                               NULL),
                     ERR_OK);
    o.chat = c;
    check_refused(o,
                  GOOD "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"assistant\", "
                       "\"content\": \"b\"}]}",
                  "bad.jsonl:2: chat template", "system: s\nassistant: b\n");
    chat_close(c);
}

static void test_long(void **state) {
    (void)state;
    const char *path = written("long.jsonl", GOOD "{\"text\": \"much too long\"}\n" GOOD "{\"text\": \"too long\"}\n");
    examples_options o = usual(&path, 1);
    examples x;
    err e;
    o.ctx_tokens = 8;
    assert_int_equal(examples_open(&x, &o, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "2 of 4 examples have more than 8 tokens"));
    assert_non_null(strstr(e.text, "long.jsonl:2 (14), "));
    assert_non_null(strstr(e.text, "long.jsonl:4 (9) ("));
    assert_non_null(strstr(e.text, "--drop-long"));
    examples_close(&x);
    o.drop_long = true;
    assert_int_equal(examples_open(&x, &o, &e), ERR_OK);
    assert_int_equal(x.n, 2);
    assert_int_equal(x.n_long, 2);
    assert_int_equal(x.file[0].n_long, 2);
    assert_int_equal(x.longest, 5);
    examples_close(&x);
    o.ctx_tokens = 4;
    assert_int_equal(examples_open(&x, &o, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "every example is too long"));
    examples_close(&x);
}

/* ---- numbers, files, threads ---- */

static void same(const examples *a, const examples *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->sha256, b->sha256, a->n * sizeof *a->sha256);
    assert_memory_equal(a->digest.byte, b->digest.byte, sizeof a->digest);
    for (size_t i = 0; i < a->n; i++) {
        const example_seq *s = &a->example[i].seq[0], *t = &b->example[i].seq[0];
        assert_int_equal(s->n, t->n);
        assert_int_equal(s->n_learned, t->n_learned);
        assert_memory_equal(a->id + s->from, b->id + t->from, s->n * sizeof *a->id);
        assert_memory_equal(a->learn + s->from, b->learn + t->from, s->n);
    }
}

static void examples_of(examples *x, examples_options o, pool *p) {
    err e;
    o.workers = p;
    if (examples_open(x, &o, &e) != ERR_OK)
        fail_msg("%s", e.text);
}

/* Neither the order of lines, nor files, packing, threads change what is learned. */
static void test_numbers(void **state) {
    (void)state;
    strbuf forth = {0}, back = {0};
    enum { N = 700 };
    for (int i = 0; i < N; i++) {
        strbuf_addf(&forth, NULL, "{\"prompt\": \"q%d\", \"completion\": \"a%d\"}\r\n", i, i * i);
        strbuf_addf(&back, NULL, "%s{\"prompt\": \"q%d\", \"completion\": \"a%d\"}\n", i ? "" : "\xEF\xBB\xBF",
                    N - 1 - i, (N - 1 - i) * (N - 1 - i));
    }
    strbuf_addc(&forth, 0, NULL);
    strbuf_addc(&back, 0, NULL);
    const char *path[] = {written("forth", forth.p), written("back", back.p)};
    examples a, b;
    pool *p;
    assert_int_equal(pool_open(&p, 3, NULL), ERR_OK);
    examples_of(&a, usual(path, 1), NULL);
    examples_of(&b, usual(path + 1, 1), p);
    assert_int_equal(a.n, N);
    same(&a, &b);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(a.example[a.by_reading[i]].number, i + 1);
        assert_int_equal(b.example[b.by_reading[i]].number, i + 1);
        assert_true(i == 0 || memcmp(a.sha256[i - 1].byte, a.sha256[i].byte, 32) < 0);
    }
    hash256 first = hash_of("{\"prompt\": \"q0\", \"completion\": \"a0\"}", 36);
    assert_memory_equal(a.example[a.by_reading[0]].sha256.byte, first.byte, 32);
    assert_int_equal(a.file[0].n_form[RECORD_PROMPT], N);
    examples_close(&b);
    examples_of(&b, usual(path, 2), p); /* every example twice: ties by the order of reading */
    assert_int_equal(b.n, 2 * N);
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.example[i].file, i % 2);
    examples_close(&a);
    examples_close(&b);
    pool_close(p);
    strbuf_fini(&forth);
    strbuf_fini(&back);
}

/* The same lines in gzip, and as the documents of a data set. */
static void test_sources(void **state) {
    (void)state;
    static const char *const line[] = {"{\"prompt\": \"a\", \"completion\": \"b\"}", "{\"text\": \"c\"}"};
    char gz[600], db[600];
    const char *plain = written("plain.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"text\": \"c\"}\n");
    snprintf(gz, sizeof gz, "%s.gz", plain);
    snprintf(db, sizeof db, "%s.db", plain);
    gzFile g = gzopen(gz, "wb");
    dataset_writer *w;
    assert_int_equal(dataset_writer_open(&w, db, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        gzprintf(g, "%s\n", line[i]);
        dataset_doc doc = {.key = {.id = i + 1, .bytes = strlen(line[i])}, .text = str_from(line[i])};
        doc.key.sha256 = hash_of(line[i], strlen(line[i]));
        assert_int_equal(dataset_writer_put(w, &doc, 1, NULL), ERR_OK);
    }
    assert_int_equal(gzclose(g), Z_OK);
    dataset_doc story = {.key = {.id = 3, .bytes = 6, .sha256 = hash_of("{once}", 6)}, .text = STR("{once}")};
    assert_int_equal(dataset_writer_put(w, &story, 1, NULL), ERR_OK);
    assert_int_equal(dataset_writer_commit(w, NULL), ERR_OK);
    const char *path[] = {plain, gz, db};
    examples a, b;
    err e;
    examples_of(&a, usual(path, 1), NULL);
    examples_of(&b, usual(path + 1, 1), NULL);
    same(&a, &b);
    examples_close(&b);
    examples_options o = usual(path + 2, 1);
    o.where = "id < 3";
    examples_of(&b, o, NULL);
    same(&a, &b);
    strbuf place = {0};
    assert_int_equal(examples_place(&b, &b.example[0], &place, NULL), ERR_OK);
    assert_true(str_find(strbuf_str(&place), STR(".db: document "), 0) > 0);
    strbuf_fini(&place);
    examples_close(&b);
    examples_of(&b, usual(path + 2, 1), NULL); /* a document that is no JSON is a text */
    assert_int_equal(b.file[0].n_form[RECORD_TEXT], 2);
    assert_true(b.file[0].is_set);
    examples_close(&b);
    o.path = path;
    assert_int_equal(examples_open(&b, &o, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "is no data set"));
    examples_close(&b);
    examples_close(&a);
}

/* In colour, with a control character made visible. */
static void test_show(void **state) {
    (void)state;
    const char *path =
        written("show.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"\\u001b[0m\\u009b<s>\"}"
                              ", {\"role\": \"assistant\", \"content\": \"b\"}]}");
    examples x;
    strbuf text = {0};
    examples_of(&x, usual(&path, 1), NULL);
    assert_int_equal(examples_show(&x, tok, 0, true, &text, NULL), ERR_OK);
    static const char want[] = "\x1b[1m<|im_start|>\x1b[22muser\n\\x1b[0m\\xc2\\x9b<s>\x1b[1m<|im_end|>\x1b[22m\n"
                               "\x1b[1m<|im_start|>\x1b[22m"
                               "assistant\n\x1b[32mb\x1b[1m<|im_end|>\x1b[22m\x1b[0m\n\n";
    assert_true(str_ends(strbuf_str(&text), str_from(want)));
    strbuf_fini(&text);
    examples_close(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_plain),       cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_tools),     cmocka_unit_test(test_tools_muted), cmocka_unit_test(test_roles),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_stopped),     cmocka_unit_test(test_template_fails),
        cmocka_unit_test(test_long),      cmocka_unit_test(test_numbers),     cmocka_unit_test(test_sources),
        cmocka_unit_test(test_show),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
