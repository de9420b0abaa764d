/* Tokenizers against hostile files and texts, and what the golden files do not show: failure leaves
 * things as they were, time stays linear, any bytes come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "tok/pipeline.h"

#define DIR "test/golden/tok/"

/* ---- helpers ---- */

static tokenizer *from_json(const char *text, err *e) {
    tokenizer *t = NULL;
    assert_int_equal(pipeline_new(&t, e), ERR_OK);
    if (tokenizer_read_json(t, str_from(text), e) != ERR_OK || pipeline_finish(t, e) != ERR_OK) {
        tokenizer_close(t);
        return NULL;
    }
    return t;
}

static void refused(const char *json, err_code code, const char *names) {
    err e = {0};
    tokenizer *t = from_json(json, &e);
    if (t || e.code != code || !strstr(e.text, names))
        fail_msg("wanted code %d naming '%s', got %d '%s'\n%.200s", code, names, t ? 0 : (int)e.code, e.text, json);
}

#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\" \":3},\"merges\":[\"a b\"]}"

/* A GGUF file in memory, written key by key. */
typedef struct {
    strbuf b;
    uint64_t n_kv;
} maker;

static void put_int(maker *m, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++)
        assert_int_equal(strbuf_addc(&m->b, (char)(v >> 8 * i), NULL), ERR_OK);
}
static void put_text(maker *m, str s) {
    put_int(m, s.n, 8);
    assert_int_equal(strbuf_add(&m->b, s, NULL), ERR_OK);
}
static void put_key(maker *m, const char *key, int type) {
    put_text(m, str_from(key));
    put_int(m, (uint64_t)type, 4);
    m->n_kv++;
}
static void put_str(maker *m, const char *key, const char *v) {
    put_key(m, key, GGUF_STRING);
    put_text(m, str_from(v));
}
static void put_u32(maker *m, const char *key, uint32_t v) {
    put_key(m, key, GGUF_U32);
    put_int(m, v, 4);
}
static void put_array(maker *m, const char *key, int elem, size_t n) {
    put_key(m, key, GGUF_ARRAY);
    put_int(m, (uint64_t)elem, 4);
    put_int(m, n, 8);
}
static void put_strs(maker *m, const char *key, const char *const *v, size_t n) {
    put_array(m, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        put_text(m, str_from(v[i]));
}
static void put_floats(maker *m, const char *key, const float *v, size_t n) {
    put_array(m, key, GGUF_F32, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &v[i], 4);
        put_int(m, u, 4);
    }
}
static void put_types(maker *m, const int *v, size_t n) {
    put_array(m, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        put_int(m, (uint64_t)(int64_t)v[i], 4);
}

static tokenizer *from_gguf(maker *m, err *e) {
    maker head = {0};
    char path[512];
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/loam_tok_%d.gguf", tmp ? tmp : "/tmp", (int)getpid());
    assert_int_equal(strbuf_add(&head.b, STR("GGUF"), NULL), ERR_OK);
    put_int(&head, 3, 4);
    put_int(&head, 0, 8);
    put_int(&head, m->n_kv, 8);
    assert_int_equal(strbuf_add(&head.b, strbuf_str(&m->b), NULL), ERR_OK);
    while (head.b.n % 32)
        put_int(&head, 0, 1);
    assert_int_equal(os_write_file(path, strbuf_str(&head.b), e), ERR_OK);
    gguf_file g;
    tokenizer *t = NULL;
    if (gguf_open(&g, path, e))
        fail_msg("%s", e->text);
    err_code code = tokenizer_open_gguf(&t, &g, e);
    assert_int_equal(code == ERR_OK, t != NULL);
    assert_int_equal(code, t ? ERR_OK : e->code);
    gguf_close(&g);
    unlink(path);
    strbuf_fini(&head.b);
    strbuf_fini(&m->b);
    return t;
}

static void refused_gguf(maker *m, err_code code, const char *names) {
    err e = {0};
    tokenizer *t = from_gguf(m, &e);
    if (t || e.code != code || !strstr(e.text, names))
        fail_msg("wanted code %d naming '%s', got %d '%s'", code, names, t ? 0 : (int)e.code, e.text);
}

/* A small SentencePiece vocabulary; a test changes one thing. */
static const char *const spm_pieces[] = {"<unk>", "<s>", "</s>", "<0x41>", "\xe2\x96\x81", "a", "b", "ab", "  "};
static const int spm_types[] = {2, 3, 3, 6, 1, 1, 1, 1, 4};
static const float spm_scores[] = {0, 0, 0, 0, -1, -2, -3, -4, 0};
enum { SPM_N = 9 };

static maker spm(const char *const *pieces, const int *types, const float *scores, size_t n) {
    maker m = {0};
    put_str(&m, "tokenizer.ggml.model", "llama");
    put_strs(&m, "tokenizer.ggml.tokens", pieces, SPM_N);
    put_types(&m, types, SPM_N);
    put_floats(&m, "tokenizer.ggml.scores", scores, n);
    return m;
}

static maker bpe_keys(const char *pre) {
    static const char *const pieces[] = {"a", "b", "ab", "<|end|>"};
    static const int types[] = {1, 1, 1, 3};
    maker m = {0};
    put_str(&m, "tokenizer.ggml.model", "gpt2");
    if (pre)
        put_str(&m, "tokenizer.ggml.pre", pre);
    put_strs(&m, "tokenizer.ggml.tokens", pieces, 4);
    put_types(&m, types, 4);
    return m;
}

static tok_ids encode(const tokenizer *t, const char *text, unsigned flags) {
    tok_ids ids = {0};
    err e = {0};
    if (tokenizer_encode(t, str_from(text), flags, &ids, &e))
        fail_msg("%s", e.text);
    return ids;
}

static void expect(const tokenizer *t, const char *text, unsigned flags, const int32_t *want, size_t n) {
    tok_ids ids = encode(t, text, flags);
    assert_int_equal(ids.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids.id[i], want[i]);
    tok_ids_fini(&ids);
}
#define EXPECT(t, text, flags, ...) \
    expect(t, text, flags, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4)

/* ---- GGUF: the class of CVE-2025-49847 and CVE-2025-52566, lengths and numbers of a vocabulary ---- */

static void test_cve_token_lengths_2025_49847(void **state) {
    (void)state;
    /* A piece as long as it may be, and one byte longer. */
    char *big = malloc(TOK_PIECE_BYTES_MAX + 2);
    memset(big, 'q', TOK_PIECE_BYTES_MAX + 1);
    const char *pieces[SPM_N];
    memcpy(pieces, spm_pieces, sizeof pieces);
    pieces[7] = big;
    big[TOK_PIECE_BYTES_MAX + 1] = 0;
    maker m = spm(pieces, spm_types, spm_scores, SPM_N);
    refused_gguf(&m, ERR_LIMIT, "tokenizer.ggml.tokens: piece 7");
    big[TOK_PIECE_BYTES_MAX] = 0;
    err e = {0};
    m = spm(pieces, spm_types, spm_scores, SPM_N);
    tokenizer *t = from_gguf(&m, &e);
    assert_non_null(t);
    strbuf out = {0};
    assert_int_equal(tokenizer_decode(t, (const int32_t[]){7}, 1, true, &out, &e), ERR_OK);
    assert_int_equal(out.n, TOK_PIECE_BYTES_MAX);
    strbuf_fini(&out);
    tokenizer_close(t);
    free(big);
}

static void test_cve_token_counts_2025_52566(void **state) {
    (void)state;
    /* Ids do not overwrite a caller's smaller room: the list grows; a text longer than the limit is refused. */
    maker m = spm(spm_pieces, spm_types, spm_scores, SPM_N);
    err e = {0};
    tokenizer *t = from_gguf(&m, &e);
    assert_non_null(t);
    size_t n = 300000;
    char *text = malloc(n + 1);
    memset(text, 'z', n);
    text[n] = 0;
    tok_ids ids = encode(t, text, 0);
    assert_int_equal(ids.n, 2); /* the space in front, one unknown run */
    tok_ids_fini(&ids);
    assert_int_equal(tokenizer_encode(t, (str){text, (size_t)TOK_TEXT_BYTES_MAX + 1}, 0, &ids, &e), ERR_LIMIT);
    assert_int_equal(ids.n, 0);
    free(text);
    tokenizer_close(t);
}

static void byte_token_spelled_wrong(void **state) {
    (void)state;
    static const char *const wrong[] = {"<0xZZ>", "<0x4>", "<0x411>", "<0x 1>", "0x41", "<0x-1>", "", "<0x4G>"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *pieces[SPM_N];
        memcpy(pieces, spm_pieces, sizeof pieces);
        pieces[3] = wrong[i];
        maker m = spm(pieces, spm_types, spm_scores, SPM_N);
        refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.tokens[3]");
    }
}

static void gguf_vocabulary_refused(void **state) {
    (void)state;
    const char *pieces[SPM_N];
    float scores[SPM_N];
    int types[SPM_N];
    memcpy(pieces, spm_pieces, sizeof pieces);
    memcpy(scores, spm_scores, sizeof scores);
    memcpy(types, spm_types, sizeof types);
    maker m = spm(pieces, types, scores, SPM_N - 1);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.scores has 8 elements for 9 tokens");
    uint32_t specials[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff};
    for (size_t i = 0; i < 4; i++) {
        memcpy(&scores[5], &specials[i], 4);
        m = spm(pieces, types, scores, SPM_N);
        refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.scores[5]");
    }
    scores[5] = -2;
    types[6] = 7;
    m = spm(pieces, types, scores, SPM_N);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.token_type[6]");
    types[6] = -1;
    m = spm(pieces, types, scores, SPM_N);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.token_type[6]");
    types[6] = 1;
    pieces[6] = "a";
    m = spm(pieces, types, scores, SPM_N);
    refused_gguf(&m, ERR_FORMAT, "\"a\" stands twice, with ids 5 and 6");
    pieces[6] = "b";
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "unknown_token_id", "eot_token_id",
                                       "eom_token_id"};
    for (size_t i = 0; i < 5; i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
        m = spm(pieces, types, scores, SPM_N);
        put_u32(&m, key, i % 2 ? SPM_N : 0xffffffff);
        refused_gguf(&m, ERR_FORMAT, key);
    }
    m = (maker){0};
    put_str(&m, "tokenizer.ggml.model", "llama");
    put_strs(&m, "tokenizer.ggml.tokens", pieces, 0);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.tokens: the vocabulary is empty");
    m = (maker){0};
    put_str(&m, "tokenizer.ggml.model", "llama");
    put_floats(&m, "tokenizer.ggml.tokens", scores, 3);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.tokens is not an array of strings");
    m = (maker){0};
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.model is missing");
    put_str(&m, "tokenizer.ggml.model", "bert");
    refused_gguf(&m, ERR_UNSUPPORTED, "\"bert\" is not supported");
}

static void gguf_bpe_refused(void **state) {
    (void)state;
    static const char *const good[] = {"a b"}, *const unknown[] = {"a b", "ab c"}, *const halves[] = {"ab"};
    maker m = bpe_keys("no-such-cut");
    put_strs(&m, "tokenizer.ggml.merges", good, 1);
    refused_gguf(&m, ERR_UNSUPPORTED, "tokenizer.ggml.pre: pre-tokenizer \"no-such-cut\" is not supported");
    m = bpe_keys(NULL);
    put_strs(&m, "tokenizer.ggml.merges", good, 1);
    refused_gguf(&m, ERR_UNSUPPORTED, "tokenizer.ggml.pre is missing");
    m = bpe_keys("gpt-2");
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.merges is missing");
    m = bpe_keys("gpt-2");
    put_strs(&m, "tokenizer.ggml.merges", unknown, 2);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.merges: merge 1 joins \"ab\" and \"c\"");
    m = bpe_keys("gpt-2");
    put_strs(&m, "tokenizer.ggml.merges", halves, 1);
    refused_gguf(&m, ERR_FORMAT, "tokenizer.ggml.merges: merge 0");
    m = bpe_keys("gpt-2");
    put_strs(&m, "tokenizer.ggml.merges", good, 1);
    err e = {0};
    tokenizer *t = from_gguf(&m, &e);
    assert_non_null(t);
    EXPECT(t, "abba", 0, 2, 1, 0);
    EXPECT(t, "a<|end|>b", 0, 0, 1); /* what no byte piece spells is left out */
    EXPECT(t, "a<|end|>b", TOK_SPECIAL_PARSE, 0, 3, 1);
    assert_true(tokenizer_is_end(t, 3));
    assert_string_equal(tokenizer_kind(t), "byte-level BPE, gpt-2");
    tokenizer_close(t);
}

static void charsmap_bounds(void **state) {
    (void)state;
    /* Sizes that lie, and tries whose units point anywhere. */
    static const uint8_t blobs[][16] = {
        {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
        {3, 0, 0, 0, 1, 2, 3, 4},
        {0, 0, 0, 0, 1, 2, 3, 4},
        {16, 0, 0, 0, 1, 2, 3, 4},
        {1},
    };
    arena a = {0};
    charsmap map;
    err e = {0};
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++)
        assert_int_equal(charsmap_open(&map, &a, (str){(const char *)blobs[i], i == 4 ? 1 : 12}, &e), ERR_FORMAT);
    uint32_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        char blob[4 + 64 * 4 + 10];
        for (size_t i = 0; i < sizeof blob; i++) {
            seed = seed * 1664525u + 1013904223u;
            blob[i] = (char)(seed >> 22 & (seed >> 30 ? 0xff : 0x07));
        }
        memcpy(blob, "\x00\x01\x00\x00", 4);
        assert_int_equal(charsmap_open(&map, &a, (str){blob, sizeof blob}, &e), ERR_OK);
        for (int c = 0; c < 256; c++) {
            char text[4] = {(char)c, (char)(c + 1), 0, (char)round};
            size_t len = 0;
            str to = {0};
            if (charsmap_find(&map, (str){text, 4}, 0, round & 1, &len, &to)) {
                assert_in_range(len, 1, 4);
                assert_true(to.p >= map.replacements.p && to.p + to.n <= map.replacements.p + map.replacements.n);
            }
        }
    }
    arena_fini(&a);
}

/* ---- tokenizer.json ---- */

static void json_refused(void **state) {
    (void)state;
    refused("[]", ERR_FORMAT, "not an object");
    refused("{}", ERR_FORMAT, "\"model\" is not an object");
    refused("{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", ERR_UNSUPPORTED, "WordPiece");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", ERR_FORMAT, "model.vocab is empty");
    refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[]}}", ERR_FORMAT, "model.vocab is empty");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", ERR_FORMAT, "\"a\" has no id");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999},\"merges\":[]}}", ERR_FORMAT, "\"a\" has no id");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e3},\"merges\":[]}}", ERR_FORMAT, "\"a\" has no id");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", ERR_FORMAT,
            "id 0 is given twice");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", ERR_FORMAT,
            "the whole is not in");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", ERR_FORMAT, "merges[0]");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", ERR_FORMAT, "merges[0]");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", ERR_UNSUPPORTED,
            "dropout");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"##\"}}",
            ERR_UNSUPPORTED, "continuing_subword_prefix");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}}", ERR_FORMAT,
            "unk_token");
    refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",-1]]}}", ERR_FORMAT, "unk_id");
    refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",\"b\"]]}}", ERR_FORMAT, "vocab[0]");
    refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",0],[\"a\",0]]}}", ERR_FORMAT,
            "stands twice");
    refused("{\"normalizer\":{\"type\":\"Nmt\"}," MODEL "}", ERR_UNSUPPORTED, "normalizer \"Nmt\"");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!!\"}," MODEL "}", ERR_FORMAT,
            "base64");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////w==\"}," MODEL "}", ERR_FORMAT,
            "charsmap");
    refused("{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}", ERR_UNSUPPORTED,
            "pre_tokenizer \"UnicodeScripts\"");
    refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a(\"},\"behavior\":\"Isolated\"}," MODEL
            "}",
            ERR_UNSUPPORTED, "does not compile");
    refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}," MODEL "}",
            ERR_UNSUPPORTED, "\"Odd\"");
    refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Isolated\"}," MODEL
            "}",
            ERR_FORMAT, "pattern is empty");
    refused("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":"
            "\"Whitespace\"}]}," MODEL "}",
            ERR_UNSUPPORTED, "after ByteLevel");
    refused("{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", ERR_UNSUPPORTED, "decoder \"CTC\"");
    refused("{\"post_processor\":{\"type\":\"BertProcessing\"}," MODEL "}", ERR_UNSUPPORTED, "BertProcessing");
    refused("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],"
            "\"special_tokens\":{\"x\":{\"ids\":[77]}}}," MODEL "}",
            ERR_FORMAT, "outside the vocabulary");
    refused("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}," MODEL "}", ERR_UNSUPPORTED,
            "0 times");
    refused("{\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]," MODEL "}", ERR_FORMAT, "added_tokens[0]");
    refused("{\"added_tokens\":[{\"id\":1,\"content\":\"zz\"}]," MODEL "}", ERR_FORMAT, "id 1 is given twice");
    refused("{\"added_tokens\":[{\"id\":-4,\"content\":\"zz\"}]," MODEL "}", ERR_FORMAT, "added_tokens[0]");
    refused("{\"added_tokens\":{}," MODEL "}", ERR_FORMAT, "added_tokens");
}

/* Oniguruma's constructs that PCRE2 would take to mean something else are refused, not guessed. */
static void pattern_dialect(void **state) {
    (void)state;
    static const char *const refuse[] = {"[a[bc]]", "[[:alpha:]]", "[a&&b]", "(?m:.)",  "(*ANYCRLF)a", "(?C1)a",
                                         "a{1,2}+", "[\\S]",       "(a)\\1", "(?R)",    "\\Ka",        "[a",
                                         "\\",      "\\p{L",       "",       "\\Q.\\E", "(?P<n>a)"};
    err e = {0};
    rx *r;
    for (size_t i = 0; i < sizeof refuse / sizeof *refuse; i++) {
        assert_int_not_equal(rx_open(&r, str_from(refuse[i]), &e), ERR_OK);
        assert_null(r);
    }
    static const struct {
        const char *pattern, *text;
        size_t start, end; /* end 0: no match */
    } match[] = {
        {"\\s", "a\xe1\xa0\x8e\xc2\x85", 4, 6}, /* U+180E is none, U+0085 is one */
        {"\\h+", "xyzBeef g", 3, 7},
        {"\\v", "\n\x0c\x0b", 2, 3},
        {"a{,2}b", "aaab", 1, 4},
        {"b$", "ab\nc", 1, 2},
        {"\\u00e9+", "e\xc3\xa9\xc3\xa9", 1, 5},
        {"\\w+", "-\xe2\x92\xb6\xcc\x81_-", 1, 7},
        {"\\w", "\xe2\x80\x8d", 0, 0},
        {"\\bc", "abc c", 4, 5},
        {"(?i:'s)", "x'\xc5\xbf", 1, 4},      /* long s folds to s */
        {"\\p{L}", "\xf0\x96\x84\x80", 0, 4}, /* U+16100, a letter since Unicode 16 */
        {"[^\\p{L}]", "\xf0\x96\x84\x80", 0, 0},
        {"\\P{L}", "\xf0\x96\x84\x80", 0, 0},
        {"\\p{^L}", "a1", 1, 2},
        {"[]a]+", "x]a", 1, 3},
    };
    rx_work *w;
    assert_int_equal(rx_work_open(&w, &e), ERR_OK);
    for (size_t i = 0; i < sizeof match / sizeof *match; i++) {
        bool found = false;
        size_t start = 0, end = 0;
        if (rx_open(&r, str_from(match[i].pattern), &e) ||
            rx_find(r, w, str_from(match[i].text), 0, &found, &start, &end, &e))
            fail_msg("%s", e.text);
        if (found != (match[i].end > 0) || (found && (start != match[i].start || end != match[i].end)))
            fail_msg("%s: %d %zu %zu", match[i].pattern, found, start, end);
        rx_close(r);
    }
    rx_work_close(w);
}

static void pattern_runs_away(void **state) {
    (void)state;
    err e = {0};
    tokenizer *t = from_json("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+[^a]\"},"
                             "\"behavior\":\"Isolated\"}," MODEL "}",
                             &e);
    assert_non_null(t);
    char text[64];
    memset(text, 'a', sizeof text);
    tok_ids ids = {0};
    assert_int_equal(tok_ids_add(&ids, 42, NULL), ERR_OK);
    assert_int_equal(tokenizer_encode(t, (str){text, sizeof text}, 0, &ids, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "gave up"));
    assert_int_equal(ids.n, 1); /* as it was */
    assert_int_equal(ids.id[0], 42);
    tok_ids_fini(&ids);
    tokenizer_close(t);
}

static void normalizer_blows_up(void **state) {
    (void)state;
    err e = {0};
    strbuf json = {0};
    /* Each step makes a hundred of one; the third is over the limit. */
    assert_int_equal(strbuf_add(&json, STR("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["), &e), ERR_OK);
    for (int i = 0; i < 6; i++) {
        strbuf_addf(&json, &e, "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"", i ? "," : "");
        for (int k = 0; k < 100; k++)
            strbuf_addc(&json, 'a', &e);
        strbuf_add(&json, STR("\"}"), &e);
    }
    strbuf_add(&json, STR("]}," MODEL "}"), &e);
    strbuf_addc(&json, 0, &e);
    tokenizer *t = from_json(json.p, &e);
    assert_non_null(t);
    tok_ids ids = {0};
    assert_int_equal(tokenizer_encode(t, STR("aaaa"), 0, &ids, &e), ERR_LIMIT);
    tok_ids_fini(&ids);
    tokenizer_close(t);
    strbuf_fini(&json);
}

static void added_token_rules(void **state) {
    (void)state;
    err e = {0};
    tokenizer *t =
        from_json("{\"added_tokens\":[{\"id\":4,\"content\":\"<m>\",\"lstrip\":true,\"rstrip\":true,\"special\":true},"
                  "{\"id\":5,\"content\":\"ab\",\"single_word\":true,\"normalized\":false,\"special\":false},"
                  "{\"id\":6,\"content\":\"<m>x\",\"normalized\":false,\"special\":false}],"
                  "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\" \":3},\"merges\":[]}}",
                  &e);
    if (!t)
        fail_msg("%s", e.text);
    EXPECT(t, "a  <m>  b", TOK_SPECIAL_PARSE, 0, 4, 1);
    EXPECT(t, "a <m>x", TOK_SPECIAL_PARSE, 0, 3, 6); /* the longer one */
    EXPECT(t, "aab ab", 0, 0, 0, 1, 3, 5);           /* only as a word of its own */
    EXPECT(t, "<m>ab", TOK_SPECIAL_PARSE, 4, 5);
    expect(t, "<m>", 0, NULL, 0); /* ordinary text, of which nothing is in the vocabulary */
    assert_true(tokenizer_is_control(t, 4));
    assert_false(tokenizer_is_control(t, 5));
    assert_int_equal(tokenizer_n_vocab(t), 7);
    assert_int_equal(tokenizer_id_of(t, STR("<m>x")), 6);
    assert_int_equal(tokenizer_piece(t, 2).n, 0); /* a hole in the ids */
    assert_int_equal(tokenizer_piece(t, 99).n, 0);
    strbuf out = {0};
    assert_int_equal(tokenizer_decode(t, (const int32_t[]){0, 2, 4, 1}, 4, false, &out, &e), ERR_OK);
    assert_true(str_is(strbuf_str(&out), "a b"));
    assert_int_equal(tokenizer_decode(t, (const int32_t[]){0, 7}, 2, false, &out, &e), ERR_USAGE);
    assert_int_equal(tokenizer_decode_next(t, 0, -1, false, &out, &e), ERR_USAGE);
    assert_int_equal(out.n, 3);
    strbuf_fini(&out);
    tokenizer_close(t);
}

static void folder(void **state) {
    (void)state;
    char dir[400], path[512];
    const char *tmp = getenv("LOAM_TMP");
    err e = {0};
    snprintf(dir, sizeof dir, "%s/loam_tok_%d", tmp ? tmp : "/tmp", (int)getpid());
    assert_int_equal(mkdir(dir, 0700), 0);
    static const struct {
        const char *name, *text;
    } files[] = {
        {"tokenizer.json",
         "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true},{\"id\":5,\"content\":\"</s>\","
         "\"special\":true}]," MODEL "}"},
        {"tokenizer_config.json",
         "{\"bos_token\":{\"content\":\"<s>\"},\"chat_template\":[{\"name\":\"tool\",\"template\":\"T\"},"
         "{\"name\":\"default\",\"template\":\"D\"}],\"model_max_length\":1000000000000000019884624838656}"},
        {"generation_config.json", "{\"eos_token_id\":[5,2,4000]}"},
    };
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        assert_int_equal(os_write_file(path, str_from(files[i].text), &e), ERR_OK);
    }
    tokenizer *t;
    if (tokenizer_open_folder(&t, dir, &e))
        fail_msg("%s", e.text);
    assert_int_equal(tokenizer_bos(t), 4);
    assert_int_equal(tokenizer_eos(t), 5);
    assert_true(tokenizer_is_end(t, 5) && tokenizer_is_end(t, 2) && !tokenizer_is_end(t, 4) &&
                !tokenizer_is_end(t, -1));
    assert_true(str_is(tokenizer_chat_template(t), "D"));
    tokenizer_close(t);
    snprintf(path, sizeof path, "%s/chat_template.jinja", dir);
    assert_int_equal(os_write_file(path, STR("J"), &e), ERR_OK);
    assert_int_equal(tokenizer_open_folder(&t, dir, &e), ERR_OK);
    assert_true(str_is(tokenizer_chat_template(t), "J"));
    tokenizer_close(t);
    snprintf(path, sizeof path, "%s/generation_config.json", dir);
    assert_int_equal(os_write_file(path, STR("{\"eos_token_id\":\"x\"}"), &e), ERR_OK);
    assert_int_equal(tokenizer_open_folder(&t, dir, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "generation_config.json"));
    assert_int_equal(os_write_file(path, STR("{"), &e), ERR_OK);
    assert_int_equal(tokenizer_open_folder(&t, dir, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "generation_config.json"));
    static const char *const all[] = {"tokenizer.json", "tokenizer_config.json", "generation_config.json",
                                      "chat_template.jinja"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, all[i]);
        unlink(path);
    }
    assert_int_equal(tokenizer_open_folder(&t, dir, &e), ERR_IO);
    rmdir(dir);
}

/* ---- texts ---- */

static tokenizer *golden(const char *name) {
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

/* Random bytes come back as they were, where the vocabulary has bytes (qwen2 normalises, so only its bytes). */
static void any_bytes_come_back(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2",         "llama3",      "gpt4o",  "tekken",
                                        "deepseek-llm", "deepseek-v3", "llama2", "gemma"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        tokenizer *t = golden(names[k]);
        uint32_t seed = 99;
        for (int round = 0; round < 3000; round++) {
            char text[64];
            size_t n = (size_t)round % sizeof text;
            for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525u + 1013904223u;
                text[i] = (char)(seed >> 16 & (round & 1 ? 0xff : 0x7f));
            }
            tok_ids ids = {0};
            strbuf out = {0};
            err e = {0};
            if (tokenizer_encode(t, (str){text, n}, 0, &ids, &e) || tokenizer_decode(t, ids.id, ids.n, true, &out, &e))
                fail_msg("%s", e.text);
            if (!str_find((str){text, n}, STR("\xe2\x96\x81"), 0))
                continue;
            if (!str_eq(strbuf_str(&out), (str){text, n})) {
                /* SentencePiece's decoder takes one leading space for its own: an ill-formed beginning has none. */
                fail_msg("%s: round %d: %zu bytes became %zu", names[k], round, n, out.n);
            }
            tok_ids_fini(&ids);
            strbuf_fini(&out);
        }
        tokenizer_close(t);
    }
}

/* 256 KiB that are one word, one space, one run of marks: none may take quadratic time. At 1 ns a step
 * that would be a minute; the bound is generous for a sanitizer's build. */
static void long_words_stay_linear(void **state) {
    (void)state;
    static const char *const fill[] = {
        "a", "ab", " ", "\n", " \n", "A", "aA", "9", "'", "\xcc\xa3\xcc\x81", "\xe7\x9a\x84", "<", "\xff"};
    static const char *const names[] = {"llama3", "qwen2", "gpt4o", "deepseek-llm", "gemma", "t5"};
    size_t n = 1 << 18;
    char *text = malloc(n);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        tokenizer *t = golden(names[k]);
        for (size_t f = 0; f < sizeof fill / sizeof *fill; f++) {
            size_t len = strlen(fill[f]), whole = n / len * len;
            for (size_t i = 0; i < whole; i += len)
                memcpy(text + i, fill[f], len);
            if (whole < n)
                memset(text + whole, 'x', n - whole);
            text[n - 1] = 'x';
            tok_ids ids = {0};
            err e = {0};
            double start = os_now();
            if (tokenizer_encode(t, (str){text, n - (len > 1)}, TOK_SPECIAL_PARSE, &ids, &e))
                fail_msg("%s %zu: %s", names[k], f, e.text);
            if (os_now() - start > 10)
                fail_msg("%s: 256 KiB of \"%s\" took %.1f s", names[k], fill[f], os_now() - start);
            tok_ids_fini(&ids);
        }
        tokenizer_close(t);
    }
    free(text);
}

/* The heap of long words and the array of short ones agree: a word alone and inside a longer text of words. */
static void short_equals_long(void **state) {
    (void)state;
    tokenizer *t = golden("llama2");
    strbuf text = {0};
    tok_ids parts = {0}, whole = {0};
    err e = {0};
    uint32_t seed = 5;
    for (int i = 0; i < 400; i++) {
        char word[80];
        size_t n = 1 + (size_t)(seed >> 20) % 70;
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            word[k] = "etaoinsrhd"[(seed >> 24) % 10];
        }
        if (i)
            assert_int_equal(strbuf_addc(&text, ' ', &e), ERR_OK);
        assert_int_equal(strbuf_add(&text, (str){word, n}, &e), ERR_OK);
        assert_int_equal(tokenizer_encode(t, (str){word, n}, 0, &parts, &e), ERR_OK);
    }
    assert_int_equal(tokenizer_encode(t, strbuf_str(&text), 0, &whole, &e), ERR_OK);
    assert_int_equal(parts.n, whole.n);
    assert_memory_equal(parts.id, whole.id, whole.n * sizeof *whole.id);
    tok_ids_fini(&parts);
    tok_ids_fini(&whole);
    strbuf_fini(&text);
    tokenizer_close(t);
}

static void special_flags(void **state) {
    (void)state;
    tokenizer *t = golden("llama3");
    int32_t bos = tokenizer_bos(t), eot = tokenizer_id_of(t, STR("<|eot_id|>"));
    assert_int_equal(bos, tokenizer_id_of(t, STR("<|begin_of_text|>")));
    EXPECT(t, "", TOK_SPECIAL_ADD, bos);
    EXPECT(t, "<|eot_id|>", TOK_SPECIAL_ADD | TOK_SPECIAL_PARSE, bos, eot);
    tok_ids ids = encode(t, "<|eot_id|>", 0);
    assert_true(ids.n > 1 && ids.id[0] != eot);
    tok_ids_fini(&ids);
    assert_true(tokenizer_is_end(t, eot));
    assert_false(tokenizer_is_end(t, bos));
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cve_token_lengths_2025_49847),
        cmocka_unit_test(test_cve_token_counts_2025_52566),
        cmocka_unit_test(byte_token_spelled_wrong),
        cmocka_unit_test(gguf_vocabulary_refused),
        cmocka_unit_test(gguf_bpe_refused),
        cmocka_unit_test(charsmap_bounds),
        cmocka_unit_test(json_refused),
        cmocka_unit_test(pattern_dialect),
        cmocka_unit_test(pattern_runs_away),
        cmocka_unit_test(normalizer_blows_up),
        cmocka_unit_test(added_token_rules),
        cmocka_unit_test(folder),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(long_words_stay_linear),
        cmocka_unit_test(short_equals_long),
        cmocka_unit_test(special_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
