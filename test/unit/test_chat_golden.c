/* chat_learn against transformers: ids and masks of test/golden/chat.json (test/golden/chat.py makes it), for templates
 * with {% generation %} and without. An argument names another such file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "gen/chat_learn.h"
#include "text/json_write.h"

static const char *file = "test/golden/chat.json";

typedef struct {
    char name[64];
    tokenizer *t;
    tok_work *w;
} opened;
static opened known[16];

/* A folder of test/golden/tok/NAME.json and a configuration with its first and last token. */
static void write_folder(const char *folder, const char *name, const json_t *config) {
    char path[700];
    strbuf text = {0};
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "test/golden/tok/%s.json", name);
    assert_int_equal(os_read_file(path, 1 << 24, &text, NULL), ERR_OK);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(os_write_file(path, strbuf_str(&text), NULL), ERR_OK);
    text.n = 0;
    assert_int_equal(json_write(config, 0, &text, NULL), ERR_OK);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    assert_int_equal(os_write_file(path, strbuf_str(&text), NULL), ERR_OK);
    strbuf_fini(&text);
}

static const opened *open_tok(const json_t *toks, const char *name) {
    size_t i = 0;
    while (known[i].t && strcmp(known[i].name, name) != 0)
        i++;
    if (!known[i].t) {
        const char *tmp = getenv("LOAM_TMP");
        char folder[600];
        err e = {0};
        snprintf(known[i].name, sizeof known[i].name, "%s", name);
        snprintf(folder, sizeof folder, "%s/chat-golden-%s", tmp ? tmp : "/tmp", name);
        write_folder(folder, name, json_object_get(toks, name));
        if (tokenizer_open_folder(&known[i].t, folder, &e) || tok_work_open(&known[i].w, known[i].t, &e))
            fail_msg("%s: %s", folder, e.text);
    }
    return &known[i];
}

/* 1: same ids and mask. Else what differs is printed. */
static int same(const json_t *want, str mask, const learned_ids *got, err_code code, const err *e, const tokenizer *t) {
    const json_t *ids = json_object_get(want, "ids");
    bool ok = code == ERR_OK && got->ids.n == json_array_size(ids) && str_eq(strbuf_str(&got->learn), mask);
    for (size_t i = 0; ok && i < got->ids.n; i++)
        ok = got->ids.id[i] == json_integer_value(json_array_get(ids, i));
    if (ok)
        return 1;
    strbuf text = {0};
    for (size_t i = 0; code == ERR_OK && i < got->ids.n; i++) {
        bool m = i < mask.n && mask.p[i] == '1', l = got->learn.p[i] == '1';
        strbuf_add(&text, m == l ? STR("") : m ? STR("{missing}") : STR("{wrong}"), NULL);
        tokenizer_decode_next(t, i, got->ids.id[i], true, &text, NULL);
    }
    print_error("%s %s: %zu ids, %zu wanted: %s\n%.*s\n", json_get_str(want, "name", STR("")).p,
                json_get_str(want, "tok", STR("")).p, got->ids.n, json_array_size(ids),
                code == ERR_OK ? "differ" : e->text, (int)text.n, text.p ? text.p : "");
    strbuf_fini(&text);
    return 0;
}

static int learn(const json_t *toks, const json_t *c, const char *source, str mask) {
    const json_t *list = json_object_get(c, "messages");
    const opened *o = open_tok(toks, json_get_str(c, "tok", STR("")).p);
    chat_message m[16];
    bool learned[16];
    size_t n = json_array_size(list);
    chat_template *template;
    learned_ids x = {0};
    err e = {0};
    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        m[i] = (chat_message){json_get_str(v, "role", STR("")), json_get_str(v, "content", STR("")), NULL};
        learned[i] = str_is(m[i].role, "assistant");
    }
    if (chat_open(&template, o->t, str_from(source), &e) != ERR_OK)
        fail_msg("%s", e.text);
    err_code code = chat_learn(template, m, learned, n, &(chat_options){.now = 0}, o->w, &x, &e);
    for (size_t i = 0; i < x.learn.n; i++)
        x.learn.p[i] = (char)('0' + x.learn.p[i]);
    int good = same(c, mask, &x, code, &e, o->t);
    learned_fini(&x);
    chat_close(template);
    return good;
}

static void test_golden(void **state) {
    (void)state;
    strbuf text = {0};
    json_t *all;
    err e = {0};
    if (os_read_file(file, 1 << 26, &text, &e) || json_read(strbuf_str(&text), text.n, &all, &e))
        fail_msg("%s: %s", file, e.text);
    const json_t *cases = json_object_get(all, "cases"), *templates = json_object_get(all, "templates");
    size_t n = json_array_size(cases), good[2] = {0};
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(cases, i);
        const json_t *pair = json_array_get(templates, (size_t)json_get_int(c, "template", 0));
        str mask = json_get_str(c, "mask", (str){0}), without = json_get_str(c, "mask_without", mask);
        for (size_t k = 0; k < 2; k++)
            good[k] += (size_t)learn(json_object_get(all, "toks"), c, json_string_value(json_array_get(pair, k)),
                                     k ? without : mask);
    }
    print_message("%zu conversations: %zu as transformers has them by blocks, %zu without\n", n, good[0], good[1]);
    assert_true(n >= 30);
    assert_int_equal(good[0], n);
    assert_int_equal(good[1], n);
    json_decref(all);
    strbuf_fini(&text);
    for (size_t i = 0; known[i].t; i++) {
        tok_work_close(known[i].w);
        tokenizer_close(known[i].t);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    file = argc > 1 ? argv[1] : file;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
