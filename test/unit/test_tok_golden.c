/* Token ids of every family against the reference libraries' (test/golden/tok.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "text/utf8.h"
#include "tok/pipeline.h"

#define DIR "test/golden/tok/"

static os_map strings;
static size_t n_strings;
static str *text_of;

static uint32_t le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t fnv(const uint8_t *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t fnv_ids(const tok_ids *ids) {
    uint8_t *bytes = malloc(ids->n * 4 + 1);
    for (size_t i = 0; i < ids->n; i++)
        for (int b = 0; b < 4; b++)
            bytes[4 * i + (size_t)b] = (uint8_t)((uint32_t)ids->id[i] >> 8 * b);
    uint32_t h = fnv(bytes, ids->n * 4);
    free(bytes);
    return h;
}

static int open_strings(void **state) {
    (void)state;
    if (os_map_open(&strings, DIR "strings.bin", NULL) != ERR_OK)
        return -1;
    n_strings = le32(strings.p);
    text_of = calloc(n_strings, sizeof *text_of);
    size_t at = 4;
    for (size_t i = 0; i < n_strings; i++) {
        size_t n = le32(strings.p + at);
        text_of[i] = (str){(const char *)strings.p + at + 4, n};
        at += 4 + n;
    }
    return at == strings.n && n_strings >= 2000 ? 0 : -1;
}

static int close_strings(void **state) {
    (void)state;
    free(text_of);
    os_map_close(&strings);
    return 0;
}

static tokenizer *open_json(const char *name) {
    char path[256];
    strbuf text = {0};
    err e = {0};
    tokenizer *t = NULL;
    snprintf(path, sizeof path, DIR "%s.json", name);
    if (os_read_file(path, 1 << 24, &text, &e) || pipeline_new(&t, &e) ||
        tokenizer_read_json(t, strbuf_str(&text), &e) || pipeline_finish(t, &e))
        fail_msg("%s: %s", name, e.text);
    strbuf_fini(&text);
    return t;
}

static tokenizer *open_gguf(const char *name) {
    char path[256];
    gguf_file g;
    err e = {0};
    tokenizer *t = NULL;
    snprintf(path, sizeof path, DIR "%s.gguf", name);
    if (gguf_open(&g, path, &e) || tokenizer_open_gguf(&t, &g, &e))
        fail_msg("%s: %s", name, e.text);
    gguf_close(&g);
    return t;
}

static uint32_t ids_hash(const tokenizer *t, str text, unsigned flags, tok_ids *ids) {
    err e = {0};
    ids->n = 0;
    if (tokenizer_encode(t, text, flags, ids, &e))
        fail_msg("%s", e.text);
    return fnv_ids(ids);
}

/* Both decodings with a NUL between, as tok.py hashes them. */
static uint32_t text_hash(const tokenizer *t, const tok_ids *ids) {
    strbuf out = {0};
    assert_int_equal(tokenizer_decode(t, ids->id, ids->n, true, &out, NULL), ERR_OK);
    assert_int_equal(strbuf_addc(&out, 0, NULL), ERR_OK);
    strbuf rest = {0};
    assert_int_equal(tokenizer_decode(t, ids->id, ids->n, false, &rest, NULL), ERR_OK);
    assert_int_equal(strbuf_add(&out, strbuf_str(&rest), NULL), ERR_OK);
    uint32_t h = fnv((const uint8_t *)out.p, out.n);
    strbuf_fini(&rest);
    strbuf_fini(&out);
    return h;
}

/* Streaming gives the same bytes as decoding at once. */
static void check_stream(const tokenizer *t, const tok_ids *ids) {
    strbuf whole = {0}, parts = {0};
    size_t n_before = 0;
    assert_int_equal(tokenizer_decode(t, ids->id, ids->n, true, &whole, NULL), ERR_OK);
    for (size_t i = 0; i < ids->n; i++)
        assert_int_equal(tokenizer_decode_next(t, n_before++, ids->id[i], true, &parts, NULL), ERR_OK);
    assert_true(str_eq(strbuf_str(&whole), strbuf_str(&parts)));
    strbuf_fini(&whole);
    strbuf_fini(&parts);
}

typedef struct {
    size_t ids, plain, text;
} counts;

static void compare(const char *name, const tokenizer *t, const char *ref_name, counts *bad) {
    char path[256];
    os_map ref;
    tok_ids ids = {0};
    snprintf(path, sizeof path, DIR "%s.ref", ref_name);
    assert_int_equal(os_map_open(&ref, path, NULL), ERR_OK);
    assert_int_equal(ref.n, 12 * n_strings);
    *bad = (counts){0};
    for (size_t i = 0; i < n_strings; i++) {
        const uint8_t *want = ref.p + 12 * i;
        bool plain_bad = ids_hash(t, text_of[i], 0, &ids) != le32(want + 4);
        bool ids_bad = ids_hash(t, text_of[i], TOK_SPECIAL_ADD | TOK_SPECIAL_PARSE, &ids) != le32(want);
        bool text_bad = le32(want + 8) && text_hash(t, &ids) != le32(want + 8);
        check_stream(t, &ids);
        bad->ids += ids_bad;
        bad->plain += plain_bad;
        bad->text += text_bad;
        if ((ids_bad || plain_bad || text_bad) && bad->ids + bad->plain + bad->text <= 6) {
            print_message("%s: string %zu: ids %d plain %d text %d:", name, i, ids_bad, plain_bad, text_bad);
            for (size_t k = 0; k < ids.n && k < 24; k++)
                print_message(" %d", ids.id[k]);
            print_message("\n");
        }
    }
    print_message("%-20s %zu strings: %zu ids, %zu plain, %zu decoded differ\n", name, n_strings, bad->ids, bad->plain,
                  bad->text);
    tok_ids_fini(&ids);
    os_map_close(&ref);
}

static void check_json(const char *name) {
    tokenizer *t = open_json(name);
    counts bad;
    compare(name, t, name, &bad);
    tokenizer_close(t);
    assert_int_equal(bad.ids + bad.plain + bad.text, 0);
}

/* The same pieces under GGUF keys give the same ids as the tokenizer.json. */
static void check_gguf(const char *name) {
    char label[64];
    snprintf(label, sizeof label, "%s.gguf", name);
    tokenizer *t = open_gguf(name);
    counts bad;
    compare(label, t, name, &bad);
    tokenizer_close(t);
    assert_int_equal(bad.ids + bad.plain + bad.text, 0);
}

/* SentencePiece's own ids: no special tokens read. Its decoding drops what we keep, so only the way there. */
static void check_spm(const char *name, bool lossless) {
    char path[256];
    os_map ref;
    tok_ids ids = {0};
    tokenizer *t = open_gguf(name);
    snprintf(path, sizeof path, DIR "%s.gguf.ref", name);
    assert_int_equal(os_map_open(&ref, path, NULL), ERR_OK);
    assert_int_equal(ref.n, 4 * n_strings);
    size_t bad = 0, lost = 0;
    for (size_t i = 0; i < n_strings; i++) {
        if (ids_hash(t, text_of[i], 0, &ids) != le32(ref.p + 4 * i) && bad++ < 6) {
            print_message("%s.gguf: string %zu:", name, i);
            for (size_t k = 0; k < ids.n && k < 24; k++)
                print_message(" %d", ids.id[k]);
            print_message("\n");
        }
        strbuf out = {0};
        assert_int_equal(tokenizer_decode(t, ids.id, ids.n, true, &out, NULL), ERR_OK);
        /* A typed U+2581 comes back as the space it stands for. */
        if (lossless && str_find(text_of[i], STR("\xe2\x96\x81"), 0) < 0)
            lost += !str_eq(strbuf_str(&out), text_of[i]);
        strbuf_fini(&out);
        check_stream(t, &ids);
    }
    print_message("%-20s %zu strings: %zu ids differ, %zu texts lost\n", path + sizeof DIR - 1, n_strings, bad, lost);
    tok_ids_fini(&ids);
    os_map_close(&ref);
    tokenizer_close(t);
    assert_int_equal(bad + lost, 0);
}

#define JSON(id, name)                    \
    static void json_##id(void **state) { \
        (void)state;                      \
        check_json(name);                 \
    }
#define GGUF(id, name)                    \
    static void gguf_##id(void **state) { \
        (void)state;                      \
        check_gguf(name);                 \
    }
/* clang-format off */
#define BYTE_FAMILIES(X) \
    X(gpt2, "gpt2") X(llama3, "llama3") X(qwen2, "qwen2") X(olmo2, "olmo2") X(smollm, "smollm") \
    X(deepseek_llm, "deepseek-llm") X(deepseek_coder, "deepseek-coder") X(deepseek_v3, "deepseek-v3") \
    X(gpt4o, "gpt4o") X(tekken, "tekken")
/* clang-format on */
#define OTHER_FAMILIES(X)       \
    X(llama2, "llama2")         \
    X(phi3, "phi3")             \
    X(gemma, "gemma")           \
    X(t5, "t5")                 \
    X(t5_bytes, "t5-bytes")     \
    X(odd_merged, "odd-merged") \
    X(odd_words, "odd-words") X(odd_punct, "odd-punct") X(odd_empty, "odd-empty") X(odd_prefix, "odd-prefix")
BYTE_FAMILIES(JSON)
OTHER_FAMILIES(JSON)
BYTE_FAMILIES(GGUF)
GGUF(phi3, "phi3")

static void spm_llama2(void **state) {
    (void)state;
    check_spm("llama2", true);
}
static void spm_gemma(void **state) {
    (void)state;
    check_spm("gemma", true);
}
static void spm_t5(void **state) {
    (void)state;
    check_spm("t5", false);
}
static void spm_t5_bytes(void **state) {
    (void)state;
    check_spm("t5-bytes", false);
}

int main(void) {
#define TEST_JSON(id, name) cmocka_unit_test(json_##id),
#define TEST_GGUF(id, name) cmocka_unit_test(gguf_##id),
    const struct CMUnitTest tests[] = {
        BYTE_FAMILIES(TEST_JSON) OTHER_FAMILIES(TEST_JSON) BYTE_FAMILIES(TEST_GGUF) cmocka_unit_test(gguf_phi3),
        cmocka_unit_test(spm_llama2),
        cmocka_unit_test(spm_gemma),
        cmocka_unit_test(spm_t5),
        cmocka_unit_test(spm_t5_bytes),
    };
    return cmocka_run_group_tests(tests, open_strings, close_strings);
}
