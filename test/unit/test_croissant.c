/* croissant, jsonl: cards of sets with hostile strings, rows cut, defaults, empty sets, a stop; lines read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/croissant.h"
#include "store/jsonl.h"
#include "store/writer.h"
#include "text/json.h"

static char path[4096];

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/test_croissant_%ld.db", tmp ? tmp : "/tmp", (long)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static dataset *make_set(int n, const dataset_doc *like) {
    dataset_writer *w;
    dataset *d;
    err e = {0};
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_OK);
    for (int i = 0; i < n; i++) {
        char text[32], licence[32];
        dataset_doc doc = *like;
        snprintf(text, sizeof text, "Text %d.", i);
        snprintf(licence, sizeof licence, "LicenseRef-%d", i);
        doc.text = str_from(text);
        doc.licence = like->licence.n ? like->licence : str_from(licence);
        doc.key = (dataset_key){i + 1, hash_of(text, strlen(text)), strlen(text)};
        assert_int_equal(dataset_writer_put(w, &doc, 1, &e), ERR_OK);
    }
    assert_int_equal(dataset_writer_commit(w, &e), ERR_OK);
    if (dataset_open(&d, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return d;
}

static json_t *card_of(dataset *d, const croissant_options *o) {
    strbuf text = {0};
    json_t *card = NULL;
    err e = {0};
    if (croissant_write(d, o, &text, &e) != ERR_OK || json_read(strbuf_str(&text), text.n, &card, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(text.p[text.n - 1], '\n');
    strbuf_fini(&text);
    return card;
}

static json_t *set_of(const json_t *card, const char *id) {
    size_t i;
    json_t *set;
    json_array_foreach(json_object_get(card, "recordSet"), i,
                       set) if (str_is(json_get_str(set, "@id", STR("")), id)) return set;
    return NULL;
}

static size_t n_rows(const json_t *card, const char *id) {
    return json_array_size(json_object_get(set_of(card, id), "data"));
}

static void rows_are_bounded(void **state) {
    (void)state;
    dataset_doc like = {.name = STR("n"), .source = STR("s")};
    dataset *d = make_set(7, &like);
    json_t *card = card_of(d, &(croissant_options){.rows = 3});
    assert_int_equal(n_rows(card, "licences"), 3);
    assert_int_equal(n_rows(card, "sources"), 3);
    assert_true(str_ends(json_get_str(set_of(card, "licences"), "description", STR("")), STR("The first 3 of 7.")));
    assert_int_equal(json_array_size(json_object_get(card, "license")), 3);
    json_decref(card);
    card = card_of(d, &(croissant_options){0});
    assert_int_equal(n_rows(card, "licences"), 7);
    assert_true(str_ends(json_get_str(set_of(card, "licences"), "description", STR("")), STR("documents first.")));
    assert_null(set_of(card, "files"));
    assert_null(set_of(card, "removals"));
    assert_true(str_starts(json_get_str(card, "name", STR("")), STR("test_croissant_")));
    json_decref(card);
    dataset_close(d);
}

static void an_empty_set(void **state) {
    (void)state;
    dataset *d = make_set(0, &(dataset_doc){0});
    json_t *card = card_of(d, &(croissant_options){.name = "none"});
    assert_int_equal(json_array_size(json_object_get(card, "recordSet")), 1);
    char hex[65];
    hash_hex(hash_of("", 0), hex);
    const json_t *lines = json_array_get(json_object_get(card, "distribution"), 1);
    assert_true(str_is(json_get_str(lines, "sha256", STR("")), hex));
    assert_true(str_is(json_get_str(lines, "contentSize", STR("")), "0 B"));
    json_decref(card);
    dataset_close(d);
}

static void hostile_strings(void **state) {
    (void)state;
    static const char bad[] = "x\"}\\\xff\xc3{\x01\n\xed\xa0\x80";
    dataset_doc like = {.name = STR("n"), .source = {bad, sizeof bad - 1}, .licence = {bad, sizeof bad - 1}};
    dataset *d = make_set(2, &like);
    croissant_options o = {.name = bad, .description = bad, .url = bad, .creator = bad, .file = bad, .jsonl = bad};
    json_t *card = card_of(d, &o);
    assert_int_equal(n_rows(card, "sources"), 1);
    str cited = json_get_str(card, "citeAs", STR(""));
    int depth = 0;
    for (size_t i = 0; i < cited.n; i++) {
        depth += (cited.p[i] == '{') - (cited.p[i] == '}');
        assert_true(depth >= 0 && cited.p[i] != '\\');
    }
    assert_int_equal(depth, 0);
    json_decref(card);
    dataset_close(d);
}

static void a_stop_leaves_nothing(void **state) {
    (void)state;
    static const volatile int stop = 1;
    dataset_doc like = {.name = STR("n"), .source = STR("s")};
    dataset *d = make_set(3, &like);
    strbuf text = {0};
    err e = {0};
    assert_int_equal(strbuf_add(&text, STR("before"), NULL), ERR_OK);
    dataset_set_stop(d, &stop);
    assert_int_equal(croissant_write(d, &(croissant_options){0}, &text, &e), ERR_CANCELLED);
    assert_true(str_is(strbuf_str(&text), "before"));
    strbuf_fini(&text);
    dataset_close(d);
}

static void lines(void **state) {
    (void)state;
    static const struct {
        const char *meta, *rest;
    } cases[] = {
        {"", ""},
        {"{}", ""},
        {"{\n }", ""},
        {"{\"z\":1,\"a\":[1.5,null]}", ",\"a\":[1.5,null],\"z\":1"},
        {"{\n\"z\" : \"x\\ny\"\n}", ",\"z\":\"x\\ny\""},
        {"{\"text\":\"other\",\"license\":\"MIT\"}", ""}, /* what is ours stays ours */
        {"{\"text\":\"other\",\"b\":2}", ",\"b\":2"},
        {"[1]", ""},
        {"no JSON", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dataset_doc doc = {
            .name = STR("n\"1"), .text = STR("a\nb\tc"), .source = STR("s"), .meta = str_from(cases[i].meta)};
        strbuf line = {0};
        char want[300];
        snprintf(want, sizeof want,
                 "{\"id\":\"n\\\"1\",\"text\":\"a\\nb\\tc\",\"source\":\"s\",\"licence\":\"\",\"topic\":\"\",\"kind\":"
                 "\"\"%s}\n",
                 cases[i].rest);
        assert_int_equal(jsonl_line(&doc, &line, NULL), ERR_OK);
        if (!str_is(strbuf_str(&line), want))
            fail_msg("%s: %.*s", cases[i].meta, STR_ARG(strbuf_str(&line)));
        strbuf_fini(&line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rows_are_bounded, teardown),
        cmocka_unit_test_teardown(an_empty_set, teardown),
        cmocka_unit_test_teardown(hostile_strings, teardown),
        cmocka_unit_test_teardown(a_stop_leaves_nothing, teardown),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
