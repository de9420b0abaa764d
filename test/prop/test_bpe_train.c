/* Learning merges: equal to an oracle of plain loops over thousands of small corpora, and to what the reference library
 * learnt (test/golden/bpe_train.py); the learnt tokenizers give the reference's ids; threads never show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/os.h"
#include "text/utf8.h"
#include "tok/bpe.h"
#include "tok/bpe_learn.h"
#include "tok/bpe_train.h"
#include "tok/pipeline.h"

#define DIR "test/golden/"

static const str special[] = {{"<|endoftext|>", 13}, {"<|im_start|>", 12}, {"<|im_end|>", 10}};
enum { N_SPECIAL = 3 };

static uint64_t lcg;
static size_t draw(size_t n) {
    lcg = lcg * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(lcg >> 33) % n;
}

/* ---- the oracle: counts every pair anew before each merge ---- */

enum { WORDS_MAX = 120, SYMBOLS_MAX = 24, IDS_MAX = BPE_LEARN_BYTES_N + N_SPECIAL + 120 };

typedef struct {
    uint32_t id[SYMBOLS_MAX], len[SYMBOLS_MAX];
    size_t n;
    uint64_t count;
} oracle_word;

static uint64_t pairs[IDS_MAX][IDS_MAX];

static size_t oracle(oracle_word *w, size_t n_words, size_t n_vocab, uint64_t min_count, size_t piece_max,
                     bpe_learnt_merge *out) {
    size_t n_ids = BPE_LEARN_BYTES_N + N_SPECIAL, n_merges = 0;
    for (; n_ids < n_vocab; n_ids++) {
        static uint32_t seen[WORDS_MAX * SYMBOLS_MAX][2];
        size_t n_seen = 0;
        uint64_t best = 0;
        uint32_t a = 0, b = 0, z = (uint32_t)n_ids;
        for (size_t i = 0; i < n_words; i++)
            for (size_t k = 0; k + 1 < w[i].n; k++) {
                uint32_t l = w[i].id[k], r = w[i].id[k + 1];
                if (w[i].len[k] + w[i].len[k + 1] > piece_max)
                    continue;
                if (pairs[l][r] == 0) {
                    seen[n_seen][0] = l;
                    seen[n_seen++][1] = r;
                }
                pairs[l][r] += w[i].count;
            }
        for (size_t i = 0; i < n_seen; i++) {
            uint32_t l = seen[i][0], r = seen[i][1];
            if (pairs[l][r] > best || (pairs[l][r] == best && (l < a || (l == a && r < b)))) {
                best = pairs[l][r];
                a = l;
                b = r;
            }
            pairs[l][r] = 0;
        }
        if (best < min_count || best == 0)
            break;
        out[n_merges++] = (bpe_learnt_merge){a, b, z};
        for (size_t i = 0; i < n_words; i++) {
            size_t kept = 0;
            for (size_t k = 0; k < w[i].n; k++, kept++) {
                bool joins = k + 1 < w[i].n && w[i].id[k] == a && w[i].id[k + 1] == b;
                w[i].id[kept] = joins ? z : w[i].id[k];
                w[i].len[kept] = joins ? w[i].len[k] + w[i].len[k + 1] : w[i].len[k];
                k += joins;
            }
            w[i].n = kept;
        }
    }
    return n_merges;
}

static void equals_oracle(void **state) {
    (void)state;
    uint32_t id_of[256], next = N_SPECIAL;
    for (int32_t cp = 0; cp < 0x144; cp++)
        if (bpe_byte_of(cp) >= 0)
            id_of[bpe_byte_of(cp)] = next++;
    size_t n_learnt = 0, n_short = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        lcg = seed;
        static oracle_word w[WORDS_MAX];
        word_table table = {0};
        size_t alphabet = seed % 4 == 0 ? 256 : 1 + draw(5), n_words = 1 + draw(WORDS_MAX - 1), n = 0;
        for (size_t i = 0; i < n_words; i++) {
            char bytes[SYMBOLS_MAX];
            size_t len = 1 + draw(SYMBOLS_MAX - 1);
            uint64_t count = 1 + draw(draw(2) ? 3 : 1000);
            for (size_t k = 0; k < len; k++)
                bytes[k] = (char)(alphabet == 256 ? draw(256) : 'a' + draw(alphabet));
            size_t before = table.n;
            assert_int_equal(word_table_add(&table, (str){bytes, len}, count, NULL), ERR_OK);
            if (table.n == before)
                continue; /* the oracle has it already; its count differs, so take the table's */
            n++;
        }
        size_t i = 0;
        for (size_t s = 0; s <= table.mask; s++) {
            char room[WORD_INLINE_BYTES];
            if (!table.slot[s].n)
                continue;
            str bytes = word_slot_bytes(&table.slot[s], room);
            w[i] = (oracle_word){.n = bytes.n, .count = table.slot[s].count};
            for (size_t k = 0; k < bytes.n; k++) {
                w[i].id[k] = id_of[(unsigned char)bytes.p[k]];
                w[i].len[k] = 1;
            }
            i++;
        }
        assert_int_equal(i, n);
        bpe_learn_options o = {.special = special, .n_special = N_SPECIAL};
        o.n_vocab = BPE_LEARN_BYTES_N + N_SPECIAL + draw(120);
        o.min_count = 1 + draw(4);
        o.piece_bytes_max = draw(2) ? 100 : 2 + draw(8);
        bpe_learnt got = {0};
        err e = {0};
        bpe_learnt_merge want[IDS_MAX];
        if (bpe_learn(&table, &o, &got, &e) != ERR_OK)
            fail_msg("%s", e.text);
        size_t n_want = oracle(w, n, o.n_vocab, o.min_count, o.piece_bytes_max, want);
        if (got.n_merges != n_want || memcmp(got.merge, want, n_want * sizeof *want) != 0)
            fail_msg("seed %llu: %zu merges, must be %zu", (unsigned long long)seed, got.n_merges, n_want);
        assert_int_equal(got.n_pieces, BPE_LEARN_BYTES_N + N_SPECIAL + n_want);
        n_learnt += n_want;
        n_short += got.n_pieces < o.n_vocab;
        bpe_learnt_fini(&got);
        assert_null(table.slot);
    }
    assert_true(n_learnt > 50000 && n_short > 300); /* the corpora try both ends */
}

/* ---- the reference library ---- */

typedef struct {
    const bpe_pattern *pattern;
    size_t n_vocab, piece_max, n_texts;
    uint64_t min_count;
    strbuf text[6];
} corpus;

enum { ASCII_ALL = 10, LATIN_ALL, N_ALPHABETS };
static const char *const alphabets[ASCII_ALL] = {
    "a",         "ab",    "abc",   "ab'sS", "etaoinsh", "a\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
    "xyz019 \n", "aB \t", "ab\r\n"};

/* texts() of bpe_train.py */
static void make_corpus(uint64_t seed, corpus *c) {
    static const size_t n_vocab[] = {260, 300, 400, 700, 1500}, longest[] = {0, 0, 2, 3, 5, 9},
                        length[] = {20, 200, 1500};
    int32_t letter[0x250];
    size_t n_letters = 0;
    *c = (corpus){0};
    lcg = seed;
    c->pattern = &bpe_patterns[draw(4)];
    c->n_vocab = n_vocab[draw(5)];
    c->min_count = 1 + draw(3);
    c->piece_max = longest[draw(6)];
    c->piece_max = c->piece_max ? c->piece_max : BPE_TRAIN_PIECE_BYTES_MAX;
    size_t a = draw(N_ALPHABETS);
    if (a < ASCII_ALL)
        for (size_t at = 0; at < strlen(alphabets[a]);)
            letter[n_letters++] = utf8_next(str_from(alphabets[a]), &at);
    else
        for (; n_letters < (a == ASCII_ALL ? 0x80 : 0x250); n_letters++)
            letter[n_letters] = (int32_t)n_letters;
    c->n_texts = 1 + draw(6);
    for (size_t i = 0; i < c->n_texts; i++)
        for (size_t n = draw(length[draw(3)]); n > 0; n--) {
            char bytes[4] = " ";
            size_t len = draw(8) == 0 ? 1 : utf8_put(letter[draw(n_letters)], bytes);
            assert_int_equal(strbuf_add(&c->text[i], (str){bytes, len}, NULL), ERR_OK);
        }
}

static void learn(const bpe_train_options *o, const str *text, size_t n, pool *p, strbuf *json) {
    bpe_trainer *t;
    err e = {0};
    err_code code = bpe_train_open(&t, o, p, &e);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        code = bpe_train_add(t, text[i], &e);
    if (code == ERR_OK)
        code = bpe_train_learn(t, &e);
    if (code == ERR_OK)
        code = bpe_train_json(t, json, &e);
    if (code != ERR_OK)
        fail_msg("%s", e.text);
    bpe_train_close(t);
}

static void equals_reference(void **state) {
    (void)state;
    strbuf list = {0};
    assert_int_equal(os_read_file(DIR "bpe/random.txt", 1 << 20, &list, NULL), ERR_OK);
    assert_int_equal(strbuf_addc(&list, 0, NULL), ERR_OK);
    size_t n = 0;
    for (char *line = list.p, *end; *line; line = end + 1, n++) {
        end = strchr(line, '\n');
        corpus c;
        char hex[65], *digest;
        strbuf json = {0};
        str text[6];
        make_corpus(strtoull(line, &digest, 10), &c);
        for (size_t i = 0; i < c.n_texts; i++)
            text[i] = strbuf_str(&c.text[i]);
        bpe_train_options o = {.n_vocab = c.n_vocab,
                               .pattern = c.pattern,
                               .special = special,
                               .n_special = N_SPECIAL,
                               .min_count = c.min_count,
                               .piece_bytes_max = c.piece_max,
                               .allow_fewer = true};
        learn(&o, text, c.n_texts, NULL, &json);
        hash_hex(hash_of(json.p, json.n), hex);
        if (end - digest != 65 || memcmp(digest + 1, hex, 64) != 0)
            fail_msg("%s: %.*s, got %s", c.pattern->name, (int)(end - line), line, hex);
        for (size_t i = 0; i < c.n_texts; i++)
            strbuf_fini(&c.text[i]);
        strbuf_fini(&json);
    }
    assert_true(n > 500);
    strbuf_fini(&list);
}

/* ---- nasty strings ---- */

static uint32_t le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t fnv(const void *data, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const uint8_t *p = data; n > 0; n--, p++)
        h = (h ^ *p) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t fnv_ids(const tokenizer *t, str text, unsigned flags, tok_ids *ids) {
    strbuf b = {0};
    ids->n = 0;
    assert_int_equal(tokenizer_encode(t, text, flags, ids, NULL), ERR_OK);
    for (size_t i = 0; i < ids->n; i++)
        for (int k = 0; k < 32; k += 8)
            assert_int_equal(strbuf_addc(&b, (char)(ids->id[i] >> k), NULL), ERR_OK);
    uint32_t h = fnv(b.p, b.n);
    strbuf_fini(&b);
    return h;
}

static void check_ids(const char *name, str json, const str *text, size_t n) {
    char path[200];
    os_map ref;
    tokenizer *t;
    tok_ids ids = {0};
    size_t bad = 0;
    err e = {0};
    snprintf(path, sizeof path, DIR "bpe/%s.ref", name);
    assert_int_equal(os_map_open(&ref, path, NULL), ERR_OK);
    assert_int_equal(ref.n, 12 * n);
    if (pipeline_new(&t, &e) || tokenizer_read_json(t, json, &e) || pipeline_finish(t, &e))
        fail_msg("%s: %s", name, e.text);
    for (size_t i = 0; i < n; i++) {
        strbuf back = {0};
        bool plain = fnv_ids(t, text[i], 0, &ids) == le32(ref.p + 12 * i + 4);
        bool read = fnv_ids(t, text[i], TOK_SPECIAL_ADD | TOK_SPECIAL_PARSE, &ids) == le32(ref.p + 12 * i);
        assert_int_equal(tokenizer_decode(t, ids.id, ids.n, true, &back, NULL), ERR_OK);
        bool decoded = fnv(back.p, back.n) == le32(ref.p + 12 * i + 8) && str_eq(strbuf_str(&back), text[i]);
        if (!plain || !read || !decoded)
            print_message("%s: string %zu: ids %d plain %d decoded %d\n", name, i, read, plain, decoded);
        bad += !plain || !read || !decoded;
        strbuf_fini(&back);
    }
    tok_ids_fini(&ids);
    tokenizer_close(t);
    os_map_close(&ref);
    assert_int_equal(bad, 0);
}

/* Learnt with 1, 2, 3 and 8 threads from the strings, forwards and backwards: the reference's file, and its ids. */
static void nasty_strings(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    os_map m;
    assert_int_equal(os_map_open(&m, DIR "tok/strings.bin", NULL), ERR_OK);
    size_t n = le32(m.p), at = 4;
    str *text = calloc(n, sizeof *text), *back = calloc(n, sizeof *back);
    for (size_t i = 0; i < n; i++) {
        text[i] = back[n - 1 - i] = (str){(const char *)m.p + at + 4, le32(m.p + at)};
        at += 4 + text[i].n;
    }
    for (const bpe_pattern *p = bpe_patterns; p->name; p++) {
        char path[200], hex[65];
        strbuf want = {0};
        snprintf(path, sizeof path, DIR "bpe/%s.sha256", p->name);
        assert_int_equal(os_read_file(path, 100, &want, NULL), ERR_OK);
        for (size_t i = 0; i < 4; i++) {
            pool *workers;
            strbuf json = {0};
            bpe_train_options o = {.n_vocab = 1200,
                                   .pattern = p,
                                   .special = special,
                                   .n_special = N_SPECIAL,
                                   .min_count = 2,
                                   .piece_bytes_max = BPE_TRAIN_PIECE_BYTES_MAX};
            assert_int_equal(pool_open(&workers, threads[i], NULL), ERR_OK);
            learn(&o, i % 2 ? back : text, n, workers, &json);
            pool_close(workers);
            hash_hex(hash_of(json.p, json.n), hex);
            if (want.n != 65 || memcmp(want.p, hex, 64) != 0)
                fail_msg("%s with %d threads: %s, must be %.64s", p->name, threads[i], hex, want.p);
            if (i == 0)
                check_ids(p->name, strbuf_str(&json), text, n);
            strbuf_fini(&json);
        }
        strbuf_fini(&want);
    }
    free(text);
    free(back);
    os_map_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_oracle),
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(nasty_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
