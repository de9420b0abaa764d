/* tokenizer_write: every family's tokenizer from one form to the other gives the ids of the form it came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tok/pipeline.h"
#include "tok/tokenizer_write.h"
#include "unit/gguf_build.h"

#define DIR_TOK "test/golden/tok/"

static os_map strings;
static size_t n_strings;
static str *text_of;

static uint32_t le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static int open_strings(void **state) {
    (void)state;
    if (os_map_open(&strings, DIR_TOK "strings.bin", NULL) != ERR_OK)
        return -1;
    n_strings = le32(strings.p);
    text_of = calloc(n_strings, sizeof *text_of);
    for (size_t i = 0, at = 4; i < n_strings; i++) {
        text_of[i] = (str){(const char *)strings.p + at + 4, le32(strings.p + at)};
        at += 4 + text_of[i].n;
    }
    return n_strings >= 2000 ? 0 : -1;
}

static int close_strings(void **state) {
    (void)state;
    free(text_of);
    os_map_close(&strings);
    return 0;
}

/* ---- files ---- */

static void empty_folder(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.')
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

static const char *new_folder(void) {
    static char path[4096];
    snprintf(path, sizeof path, "%s", build_path("tok"));
    empty_folder(path);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static void put_file(const char *folder, const char *name, str text) {
    char path[4200];
    err e;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    must(os_write_file(path, text, &e), &e);
}

/* The family's tokenizer.json in a folder. */
static void folder_of(const char *name, const char *folder) {
    char path[256];
    strbuf text = {0};
    err e;
    snprintf(path, sizeof path, DIR_TOK "%s.json", name);
    must(os_read_file(path, 1 << 24, &text, &e), &e);
    put_file(folder, "tokenizer.json", strbuf_str(&text));
    strbuf_fini(&text);
}

static void write_gguf(const char *folder, const char *path, const char *arch, size_t n_vocab) {
    gguf_writer *w;
    err e;
    must(gguf_write_open(&w, path, &e), &e);
    gguf_write_str(w, "general.architecture", str_from(arch), &e);
    must(tokenizer_to_gguf(folder, n_vocab, w, &e), &e);
    must(gguf_write_commit(w, &e), &e);
}

static tokenizer *open_gguf(const char *path) {
    gguf_file g;
    tokenizer *t;
    err e;
    must(gguf_open(&g, path, &e), &e);
    must(tokenizer_open_gguf(&t, &g, &e), &e);
    gguf_close(&g);
    return t;
}

static tokenizer *open_folder(const char *folder) {
    tokenizer *t;
    err e;
    must(tokenizer_open_folder(&t, folder, &e), &e);
    return t;
}

/* ---- comparing ---- */

static void encode(const tokenizer *t, str text, unsigned flags, tok_ids *ids) {
    err e;
    ids->n = 0;
    must(tokenizer_encode(t, text, flags, ids, &e), &e);
}

static bool same_text(const tokenizer *a, const tokenizer *b, const tok_ids *ids, bool special) {
    strbuf x = {0}, y = {0};
    assert_int_equal(tokenizer_decode(a, ids->id, ids->n, special, &x, NULL), ERR_OK);
    assert_int_equal(tokenizer_decode(b, ids->id, ids->n, special, &y, NULL), ERR_OK);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same;
}

/* skip: strings that spell an added token which wants to stand alone or matches normalised text: GGUF has no words for
 * that. */
static void compare(const char *name, const tokenizer *want, const tokenizer *got, bool skip, size_t allowed) {
    tok_ids a = {0}, b = {0};
    size_t n_ids = 0, n_texts = 0, first = 0;
    for (size_t i = 0; i < n_strings; i++) {
        bool same = true;
        if (skip && (str_find(text_of[i], STR("word!"), 0) >= 0 || str_find(text_of[i], STR("<sep>"), 0) >= 0))
            continue;
        for (unsigned flags = 0; flags < 4; flags++) {
            encode(want, text_of[i], flags, &a);
            encode(got, text_of[i], flags, &b);
            same = same && a.n == b.n && (a.n == 0 || memcmp(a.id, b.id, a.n * sizeof *a.id) == 0);
        }
        n_texts += !same_text(want, got, &a, true) || !same_text(want, got, &a, false);
        first = n_ids == 0 && !same ? i : first;
        n_ids += !same;
    }
    tok_ids_fini(&a);
    tok_ids_fini(&b);
    if (n_ids != allowed || n_texts)
        fail_msg("%s: other ids for %zu strings (the first is number %zu, \"%.*s\"), other texts for %zu", name, n_ids,
                 first, STR_ARG(text_of[first]), n_texts);
}

static const struct {
    const char *name, *arch;
    /* SentencePiece and the tokenizer.json made from its model part in some strings: spaces at the ends and U+2581 in
     * the text (unigram); user-defined pieces of spaces (gemma, whose golden JSON has no merges for them). A GGUF
     * file means SentencePiece, a folder the JSON: what is written is compared with the golden file of its own kind. */
    bool sentencepiece;
    bool skip;
    size_t allowed; /* strings of U+2581 and digits after an added token, where the golden JSON squeezes and GGUF does
                       not */
} families[] = {
    {"gpt2", "llama", false, false, 0},
    {"llama3", "llama", false, false, 0},
    {"qwen2", "qwen2", false, false, 0},
    {"olmo2", "olmo2", false, false, 0},
    {"gpt4o", "phi3", false, false, 0},
    {"smollm", "llama", false, false, 0},
    {"tekken", "llama", false, false, 0},
    {"deepseek-llm", "llama", false, false, 0},
    {"deepseek-coder", "llama", false, false, 0},
    {"deepseek-v3", "llama", false, false, 0},
    {"llama2", "llama", false, false, 0},
    {"phi3", "phi3", false, false, 0},
    {"t5", "t5", true, true, 3},
    {"t5-bytes", "t5", true, false, 0},
    {"gemma", "gemma3", true, false, 0},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

static void folder_to_gguf(void **state) {
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s", build_path("tok.gguf"));
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const char *folder = new_folder();
        folder_of(families[i].name, folder);
        tokenizer *want = open_folder(folder);
        int32_t n = tokenizer_n_vocab(want);
        write_gguf(folder, path, families[i].arch, (size_t)n + 3);
        tokenizer *got = open_gguf(path);
        assert_int_equal(tokenizer_n_vocab(got), n + 3);
        char pad[20];
        snprintf(pad, sizeof pad, "[PAD%d]", n + 2);
        assert_true(str_is(tokenizer_piece(got, n + 2), pad));
        if (families[i].sentencepiece) {
            tokenizer_close(want);
            char golden[256];
            snprintf(golden, sizeof golden, DIR_TOK "%s.gguf", families[i].name);
            want = open_gguf(golden);
        }
        compare(families[i].name, want, got, false, 0);
        tokenizer_close(want);
        tokenizer_close(got);
        empty_folder(folder);
    }
    unlink(path);
}

static void gguf_to_folder(void **state) {
    (void)state;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const char *folder = new_folder();
        char path[256];
        gguf_file g;
        err e;
        if (strcmp(families[i].name, "t5-bytes") == 0)
            continue; /* its golden JSON neither squeezes nor decodes bytes: no image of the GGUF file */
        snprintf(path, sizeof path, DIR_TOK "%s.gguf", families[i].name);
        must(gguf_open(&g, path, &e), &e);
        must(tokenizer_to_folder(&g, folder, &e), &e);
        gguf_close(&g);
        tokenizer *want = open_gguf(path), *got = open_folder(folder);
        assert_int_equal(tokenizer_bos(want), tokenizer_bos(got));
        assert_int_equal(tokenizer_eos(want), tokenizer_eos(got));
        for (int32_t id = 0; id < tokenizer_n_vocab(want); id++)
            assert_int_equal(tokenizer_is_end(want, id), tokenizer_is_end(got, id));
        if (families[i].skip) {
            const char *golden = new_folder();
            tokenizer_close(want);
            folder_of(families[i].name, golden);
            want = open_folder(golden);
        }
        compare(families[i].name, want, got, families[i].skip, families[i].allowed);
        tokenizer_close(want);
        tokenizer_close(got);
        empty_folder(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_to_gguf),
        cmocka_unit_test(gguf_to_folder),
    };
    return cmocka_run_group_tests(tests, open_strings, close_strings);
}
