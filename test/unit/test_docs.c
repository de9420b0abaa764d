/* docs and tokens: held out by the documented rule, numbered by digest, tokenized alike by any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "store/writer.h"
#include "train/tokens.h"
#include "world/doc.h"

enum { N = 200, V = 257, END = 256 };

static char data[4096], folder[4096];

static void text_of(size_t i, strbuf *out) {
    out->n = 0;
    for (size_t j = 0; j <= i % 17; j++)
        strbuf_addf(out, NULL, "%sdocument %zu", j ? " of " : "", i * j + i);
}

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    char path[4200];
    snprintf(data, sizeof data, "%s/test_docs_%ld.db", tmp ? tmp : "/tmp", (long)getpid());
    snprintf(folder, sizeof folder, "%s/test_docs_%ld", tmp ? tmp : "/tmp", (long)getpid());
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    dataset_writer *w;
    strbuf text = {0};
    if (dataset_writer_open(&w, data, NULL) != ERR_OK)
        return -1;
    for (size_t i = 0; i < N; i++) {
        text_of(i, &text);
        dataset_doc doc = {.text = strbuf_str(&text), .licence = i % 2 ? STR("MIT") : STR("CC0-1.0")};
        doc.key = (dataset_key){(int64_t)i + 1, hash_of(text.p, text.n), text.n};
        if (dataset_writer_put(w, &doc, 1, NULL) != ERR_OK)
            return -1;
    }
    if (dataset_writer_commit(w, NULL) != ERR_OK)
        return -1;
    /* A tokenizer of letters: id i is the byte-level letter of i, for printable bytes. */
    mkdir(folder, 0700);
    text.n = 0;
    strbuf_addf(&text, NULL,
                "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": {\"type\": "
                "\"ByteLevel\", \"add_prefix_space\": false}, \"post_processor\": null, \"decoder\": {\"type\": "
                "\"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (int i = 0; i < V; i++) {
        if (i > ' ' && i < 127 && i != '"' && i != '\\')
            strbuf_addf(&text, NULL, "%s\"%c\": %d", i ? ", " : "", i, i);
        else if (i == ' ')
            strbuf_addf(&text, NULL, ", \"\xC4\xA0\": %d", i);
        else
            strbuf_addf(&text, NULL, "%s\"t%03d\": %d", i ? ", " : "", i, i);
    }
    strbuf_addf(&text, NULL, "}}}");
    err_code code = os_write_file(path, strbuf_str(&text), NULL);
    strbuf_fini(&text);
    return code == ERR_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char path[4200];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    unlink(path);
    rmdir(folder);
    unlink(data);
    return 0;
}

static docs open(const char *where, double share, uint64_t seed) {
    docs d;
    err e = {0};
    if (docs_open(&d, &(docs_options){.source = data, .where = where, .val_share = share, .seed = seed}, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return d;
}

static void held_out_by_the_documented_rule(void **state) {
    (void)state;
    docs d = open(NULL, 0.2, 5);
    assert_int_equal(d.n, N);
    assert_true(d.n - d.n_train > 20 && d.n - d.n_train < 60);
    for (size_t i = 0; i < d.n; i++) {
        uint8_t text[53] = "loam held out\5\0\0\0\0\0\0\0";
        memcpy(text + 21, d.sha256[i].byte, 32);
        hash256 h = hash_of(text, sizeof text);
        uint64_t u = 0;
        for (int k = 0; k < 8; k++)
            u |= (uint64_t)h.byte[k] << 8 * k;
        assert_int_equal((double)(u >> 11) * 0x1p-53 < 0.2, i >= d.n_train);
        if (i && i != d.n_train)
            assert_true(memcmp(&d.sha256[i - 1], &d.sha256[i], 32) < 0);
        assert_int_equal(docs_find(&d, d.sha256[i], 0), i);
        assert_int_equal(docs_find(&d, d.sha256[i], d.key[i].id), i);
        assert_int_equal(docs_find(&d, d.sha256[i], 12345), d.n);
        str got;
        strbuf want = {0};
        text_of((size_t)d.key[i].id - 1, &want);
        assert_int_equal(docs_text(&d, i, &got, NULL), ERR_OK);
        assert_true(str_eq(got, strbuf_str(&want)));
        strbuf_fini(&want);
    }
    docs_close(&d);
}

static void the_digest_is_that_of_the_data_set(void **state) {
    (void)state;
    docs all = open(NULL, 0.1, 1), other = open("", 0.3, 2), part = open("licence = 'MIT'", 0, 1);
    dataset *set;
    hash256 h;
    assert_int_equal(dataset_open(&set, data, NULL), ERR_OK);
    assert_int_equal(dataset_digest(set, &h, NULL), ERR_OK);
    dataset_close(set);
    assert_memory_equal(&all.digest, &h, sizeof h);
    assert_memory_equal(&other.digest, &h, sizeof h);
    assert_memory_not_equal(&part.digest, &h, sizeof h);
    assert_int_equal(part.n, N / 2);
    assert_int_equal(part.n_train, N / 2);
    docs_close(&all);
    docs_close(&other);
    docs_close(&part);
}

static void nothing_to_learn_from(void **state) {
    (void)state;
    docs d;
    err e = {0};
    assert_int_equal(docs_open(&d, &(docs_options){.source = data, .where = "0", .val_share = 0, .seed = 1}, &e),
                     ERR_USAGE);
    assert_int_equal(docs_open(&d, &(docs_options){.source = data, .where = NULL, .val_share = 1, .seed = 1}, &e),
                     ERR_USAGE);
    assert_int_equal(docs_open(&d, &(docs_options){.source = "/nowhere", .where = NULL, .val_share = 0, .seed = 1}, &e),
                     ERR_IO);
    assert_int_equal(
        docs_open(&d, &(docs_options){.source = data, .where = "nonsense(", .val_share = 0, .seed = 1}, &e), ERR_USAGE);
}

/* As a data set of what `loam corpus homeworld` prints would be. */
static void the_built_in_corpus(void **state) {
    (void)state;
    enum { DOCS = 150 };
    docs d;
    err e = {0};
    if (docs_open(
            &d,
            &(docs_options){.source = "homeworld:docs=150,seed=7,mix=tiny", .where = NULL, .val_share = 0, .seed = 1},
            &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(d.n, DOCS);
    bool seen[DOCS + 1] = {false};
    for (size_t i = 0; i < d.n; i++) {
        pen p;
        doc_info info;
        str text;
        int64_t id = d.key[i].id;
        assert_true(id >= 1 && id <= DOCS && !seen[id]);
        seen[id] = true;
        doc_make(&(world){.seed = 7, .mix = MIX_TINY, .split = SPLIT_TRAIN}, (uint64_t)id - 1, &p, &info);
        assert_int_equal(docs_text(&d, i, &text, NULL), ERR_OK);
        assert_true(str_eq(text, pen_str(&p)));
        hash256 h = hash_of(text.p, text.n);
        assert_memory_equal(&h, &d.sha256[i], sizeof h);
        if (i)
            assert_true(memcmp(&d.sha256[i - 1], &d.sha256[i], 32) <= 0);
    }
    docs_close(&d);
    static const char *const bad[] = {
        "homeworld:docs",     "homeworld:docs=",  "homeworld:docs=-1",        "homeworld:docs=1x",
        "homeworld:mix=none", "homeworld:docs=0", "homeworld:docs=5,,seed=1", "homeworld:docs=99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(docs_open(&d, &(docs_options){.source = bad[i], .where = NULL, .val_share = 0, .seed = 1}, &e),
                         ERR_USAGE);
    assert_int_equal(
        docs_open(&d, &(docs_options){.source = "homeworld:", .where = "id = 1", .val_share = 0, .seed = 1}, &e),
        ERR_USAGE);
}

static size_t reported;
static void report(void *ctx, size_t done, size_t total) {
    (void)ctx;
    assert_true(done <= total);
    reported = done;
}

static void tokens_are_the_tokenizers(void **state) {
    (void)state;
    docs d = open(NULL, 0.1, 1);
    tokenizer *k;
    err e = {0};
    if (tokenizer_open_folder(&k, folder, &e) != ERR_OK)
        fail_msg("%s", e.text);
    for (int threads = 1; threads <= 3; threads++) {
        pool *p = NULL;
        tokens t;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        if (tokens_build(&t, &d, k, &(tokens_options){.end = END}, p, report, NULL, &e) != ERR_OK)
            fail_msg("%s", e.text);
        assert_int_equal(reported, d.bytes);
        assert_int_equal(t.n_docs, N);
        assert_non_null(t.narrow);
        for (uint32_t i = 0; i < N; i++) {
            str text;
            assert_int_equal(docs_text(&d, i, &text, NULL), ERR_OK);
            assert_int_equal(tokens_of(&t, i), text.n + 1);
            for (size_t j = 0; j < text.n; j++)
                assert_int_equal(tokens_get(&t, i, j), text.p[j]);
            assert_int_equal(tokens_get(&t, i, text.n), END);
        }
        tokens_fini(&t);
        pool_close(p);
    }
    tokenizer_close(k);
    docs_close(&d);
}

static void a_tokenizer_is_named_by_all_its_files(void **state) {
    (void)state;
    hash256 one, two;
    char path[4200];
    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    assert_int_equal(tokens_tokenizer_digest(folder, &one, NULL), ERR_OK);
    assert_int_equal(os_write_file(path, STR("{{ 1 }}"), NULL), ERR_OK);
    assert_int_equal(tokens_tokenizer_digest(folder, &two, NULL), ERR_OK);
    unlink(path);
    assert_memory_not_equal(&one, &two, sizeof one);
    assert_int_equal(tokens_tokenizer_digest("/nowhere", &two, NULL), ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_out_by_the_documented_rule),
        cmocka_unit_test(the_digest_is_that_of_the_data_set),
        cmocka_unit_test(the_built_in_corpus),
        cmocka_unit_test(nothing_to_learn_from),
        cmocka_unit_test(tokens_are_the_tokenizers),
        cmocka_unit_test(a_tokenizer_is_named_by_all_its_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
