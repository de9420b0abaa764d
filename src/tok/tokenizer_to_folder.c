/* tokenizer_to_folder: the keys tokenizer.ggml.* as tokenizer.json and the files beside it; see tokenizer_write.h.
 *
 * Every piece stands in the model's vocabulary with its id; control and user-defined pieces are added tokens as well.
 * The merges of a SentencePiece BPE are all cuts of a piece into two pieces, the pieces by falling score: with
 * distinct scores that is the order in which SentencePiece merges. Source: Hugging Face tokenizers' serialisation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "text/json_write.h"
#include "tok/pipeline.h"
#include "tok/tokenizer_write.h"

#define META STR("\xe2\x96\x81")
#define K(name) "tokenizer.ggml." name

typedef struct {
    const tokenizer *t;
    const gguf_file *g;
    strbuf b; /* tokenizer.json */
    err *e;
    err_code code; /* the first failure sticks */
    bool plain;    /* user-defined pieces have plain spaces where tokenizer.json spells U+2581 */
} job;

/* ---- text ---- */

static void put(job *j, const char *text) {
    if (!j->code)
        j->code = strbuf_add(&j->b, str_from(text), j->e);
}
static void put_quoted(job *j, str s) {
    if (!j->code)
        j->code = json_quote(s, &j->b, j->e);
}
static void put_int(job *j, int64_t v) {
    if (!j->code)
        j->code = strbuf_addf(&j->b, j->e, "%lld", (long long)v);
}
static void put_bool(job *j, bool v) { put(j, v ? "true" : "false"); }

/* A piece as tokenizer.json spells it. */
static void put_piece(job *j, int32_t id) {
    str piece = j->t->v.piece[id];
    if (!j->plain || j->t->v.type[id] != VOCAB_USER || str_find(piece, STR(" "), 0) < 0) {
        put_quoted(j, piece);
        return;
    }
    strbuf s = {0};
    for (size_t i = 0; i < piece.n && !j->code; i++)
        j->code = strbuf_add(&s, piece.p[i] == ' ' ? META : str_sub(piece, i, i + 1), j->e);
    put_quoted(j, strbuf_str(&s));
    strbuf_fini(&s);
}

/* ---- parts ---- */

static void added_tokens(job *j) {
    const tokenizer *t = j->t;
    bool first = true;
    put(j, "  \"added_tokens\": [");
    const added_set *sets[] = {&t->raw, &t->norm};
    for (int32_t id = 0; id < t->v.n; id++)
        for (int s = 0; s < 2; s++)
            for (size_t i = 0; i < sets[s]->n; i++) {
                const added_token *a = &sets[s]->tok[i];
                if (a->id != id)
                    continue;
                put(j, first ? "\n    {\"id\": " : ",\n    {\"id\": ");
                put_int(j, id);
                put(j, ", \"content\": ");
                put_piece(j, id);
                put(j, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": ");
                put_bool(j, a->rstrip);
                put(j, ", \"normalized\": ");
                put_bool(j, s == 1);
                put(j, ", \"special\": ");
                put_bool(j, a->control);
                put(j, "}");
                first = false;
            }
    put(j, first ? "],\n" : "\n  ],\n");
}

static void special(job *j, int32_t id) {
    put(j, "{\"SpecialToken\": {\"id\": ");
    put_piece(j, id);
    put(j, ", \"type_id\": 0}}");
}

static void post_processor(job *j) {
    const tokenizer *t = j->t;
    if (!t->n_front && !t->n_back) {
        put(j, "  \"post_processor\": null,\n");
        return;
    }
    static const char *const sequences[] = {"{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}",
                                            "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}"};
    put(j, "  \"post_processor\": {\"type\": \"TemplateProcessing\", ");
    for (int pair = 0; pair < 2; pair++) {
        put(j, pair ? "], \"pair\": [" : "\"single\": [");
        for (int s = 0; s <= pair; s++) {
            if (s)
                put(j, ", ");
            for (int i = 0; i < t->n_front; i++) {
                special(j, t->front[i]);
                put(j, ", ");
            }
            put(j, sequences[s]);
            for (int i = 0; i < t->n_back; i++) {
                put(j, ", ");
                special(j, t->back[i]);
            }
        }
    }
    put(j, "], \"special_tokens\": {");
    for (int i = 0; i < t->n_front + t->n_back; i++) {
        int32_t id = i < t->n_front ? t->front[i] : t->back[i - t->n_front];
        if (i && id == t->front[0]) /* BOS and EOS may be one */
            continue;
        put(j, i ? ", " : "");
        put_piece(j, id);
        put(j, ": {\"id\": ");
        put_piece(j, id);
        put(j, ", \"ids\": [");
        put_int(j, id);
        put(j, "], \"tokens\": [");
        put_piece(j, id);
        put(j, "]}");
    }
    put(j, "}},\n");
}

static void vocabulary(job *j) {
    put(j, "\"vocab\": {");
    for (int32_t id = 0; id < j->t->v.n; id++) {
        put(j, id ? ",\n      " : "\n      ");
        put_piece(j, id);
        put(j, ": ");
        put_int(j, id);
    }
    put(j, "\n    }");
}

/* ---- byte-level BPE ---- */

static void pre_tokenizer(job *j, const pretok_named *named) {
    const char *const *pattern = pretok_patterns(named);
    bool regex = false; /* the last step is ByteLevel's own pattern */
    put(j, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; pattern[i]; i++) {
        regex = pattern[i] == pretok_gpt2 && !pattern[i + 1];
        if (regex)
            break;
        if (strcmp(pattern[i], "#") == 0) {
            put(j, "\n    {\"type\": \"Digits\", \"individual_digits\": true},");
            continue;
        }
        put(j, "\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        put_quoted(j, str_from(pattern[i]));
        put(j, "}, \"behavior\": \"Isolated\", \"invert\": false},");
    }
    put(j, "\n    {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": ");
    put_bool(j, regex);
    put(j, "}\n  ]},\n");
}

static void merges_of_keys(job *j) {
    const gguf_kv *merges = gguf_find(j->g, K("merges"));
    gguf_iter it = {0};
    str m;
    bool first = true;
    put(j, "\"merges\": [");
    while (gguf_next_str(merges, &it, &m)) {
        size_t space = (size_t)str_find(m, STR(" "), 1);
        put(j, first ? "\n      [" : ",\n      [");
        put_quoted(j, str_sub(m, 0, space));
        put(j, ", ");
        put_quoted(j, str_sub(m, space + 1, m.n));
        put(j, "]");
        first = false;
    }
    put(j, "\n    ]");
}

static void byte_level(job *j, const pretok_named *named) {
    put(j, named->nfc ? "  \"normalizer\": {\"type\": \"NFC\"},\n" : "  \"normalizer\": null,\n");
    pre_tokenizer(j, named);
    post_processor(j);
    put(j, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
           "\"use_regex\": true},\n");
    put(j, "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
           "null, \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": ");
    put_bool(j, named->whole_words);
    put(j, ",\n    ");
    vocabulary(j);
    put(j, ",\n    ");
    merges_of_keys(j);
    put(j, "\n  }\n");
}

/* ---- SentencePiece ---- */

static int by_score(const void *a, const void *b, void *ctx) {
    const vocab *v = ctx;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (v->score[x] != v->score[y])
        return v->score[x] > v->score[y] ? -1 : 1;
    return (x > y) - (x < y);
}

/* Cuts of one piece, the left part's id rising, then the right part's. */
static void merges_of_piece(job *j, int32_t id, bool *first) {
    const vocab *v = &j->t->v;
    str piece = v->piece[id];
    int32_t last = -1;
    for (;;) { /* pieces are short: the next larger left id, again and again */
        size_t best_at = 0;
        int32_t best = INT32_MAX;
        for (size_t at = 1; at < piece.n; at++) {
            if (((unsigned char)piece.p[at] & 0xc0) == 0x80)
                continue;
            int32_t left = vocab_find(v, str_sub(piece, 0, at)), right = vocab_find(v, str_sub(piece, at, piece.n));
            if (left > last && left < best && right >= 0 && v->type[left] == VOCAB_NORMAL &&
                v->type[right] == VOCAB_NORMAL) {
                best = left;
                best_at = at;
            }
        }
        if (!best_at)
            return;
        last = best;
        put(j, *first ? "\n      [" : ",\n      [");
        put_quoted(j, str_sub(piece, 0, best_at));
        put(j, ", ");
        put_quoted(j, str_sub(piece, best_at, piece.n));
        put(j, "]");
        *first = false;
    }
}

static void merges_of_scores(job *j) {
    const vocab *v = &j->t->v;
    int32_t *order = calloc((size_t)v->n, sizeof *order);
    if (!order) {
        j->code = j->code ? j->code : err_set(j->e, ERR_MEMORY, "no memory for %d pieces", v->n);
        return;
    }
    int32_t n = 0;
    for (int32_t id = 0; id < v->n; id++)
        if (v->type[id] == VOCAB_NORMAL)
            order[n++] = id;
    qsort_r(order, (size_t)n, sizeof *order, by_score, (void *)(uintptr_t)v);
    bool first = true;
    put(j, "\"merges\": [");
    for (int32_t i = 0; i < n && !j->code; i++)
        merges_of_piece(j, order[i], &first);
    put(j, "\n    ]");
    free(order);
}

static void base64(job *j, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n && !j->code; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], i + 1 < n ? digits[bits >> 6 & 63] : '=',
                        i + 2 < n ? digits[bits & 63] : '='};
        j->code = strbuf_add(&j->b, (str){four, 4}, j->e);
    }
}

static void bpe_norm(job *j, const norm_step *spm) {
    put(j, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (spm->prefix)
        put(j, "\n    {\"type\": \"Prepend\", \"prepend\": \"\xe2\x96\x81\"},");
    put(j, "\n    {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xe2\x96\x81\"}\n  ]},\n"
           "  \"pre_tokenizer\": null,\n");
}

/* As Hugging Face converts SentencePiece's unigram models. */
static void unigram_norm(job *j, const norm_step *spm) {
    const gguf_kv *map = gguf_find(j->g, K("precompiled_charsmap"));
    put(j, "  \"normalizer\": ");
    if (map && map->bytes) {
        put(j, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"");
        base64(j, map->p, map->bytes);
        put(j, "\"},\n");
    } else {
        put(j, "null,\n");
    }
    put(j, "  \"pre_tokenizer\": ");
    put(j, spm->squeeze ? "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"WhitespaceSplit\"}, " : "");
    put(j, "{\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"prepend_scheme\": ");
    put(j, !spm->prefix ? "\"never\"" : spm->squeeze ? "\"always\"" : "\"first\"");
    put(j, spm->squeeze ? ", \"split\": true}]},\n" : ", \"split\": false},\n");
}

static void unigram_model(job *j) {
    const vocab *v = &j->t->v;
    put(j, "  \"model\": {\"type\": \"Unigram\", \"unk_id\": ");
    put_int(j, j->t->uni.unk);
    put(j, ", \"byte_fallback\": ");
    put_bool(j, j->t->uni.byte_fallback);
    put(j, ",\n    \"vocab\": [");
    for (int32_t id = 0; id < v->n && !j->code; id++) {
        put(j, id ? ",\n      [" : "\n      [");
        put_piece(j, id);
        if (!j->code)
            j->code = strbuf_addf(&j->b, j->e, ", %.9g]", (double)v->score[id]);
    }
    put(j, "\n    ]\n  }\n");
}

static void sentencepiece(job *j) {
    const tokenizer *t = j->t;
    const norm_step *spm = &t->nz.step[0];
    if (t->is_unigram)
        unigram_norm(j, spm);
    else
        bpe_norm(j, spm);
    post_processor(j);
    put(j, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
           "\"\xe2\x96\x81\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    put(j, spm->prefix ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]},\n" : "]},\n");
    if (t->is_unigram) {
        unigram_model(j);
        return;
    }
    put(j, "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (t->bpe.unk >= 0)
        put_piece(j, t->bpe.unk);
    else
        put(j, "null");
    put(j, ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": true, "
           "\"byte_fallback\": ");
    put_bool(j, t->bpe.byte_fallback);
    put(j, ", \"ignore_merges\": false,\n    ");
    vocabulary(j);
    put(j, ",\n    ");
    merges_of_scores(j);
    put(j, "\n  }\n");
}

/* ---- files ---- */

static err_code write_file(const char *folder, const char *name, str text, err *e) {
    strbuf path = {0};
    err_code code = strbuf_addf(&path, e, "%s/%s%c", folder, name, '\0');
    if (!code)
        code = os_write_file(path.p, text, e);
    strbuf_fini(&path);
    return code;
}

static err_code tokenizer_json(job *j) {
    str pre;
    const pretok_named *named = NULL;
    bool bytes = !j->t->is_unigram && j->t->bpe.dialect == BPE_BYTES;
    if (bytes) {
        pretok unused = {0};
        TRY(gguf_get_str(j->g, K("pre"), STR(""), &pre, j->e));
        j->code = pretok_add_named(&unused, pre, &named, j->e);
        pretok_fini(&unused);
        TRY(j->code);
    }
    put(j, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    j->plain = !bytes && j->t->norm.n > 0;
    added_tokens(j);
    if (bytes)
        byte_level(j, named);
    else
        sentencepiece(j);
    put(j, "}\n");
    return j->code;
}

static void named_token(job *j, const char *key, int32_t id, const char *end) {
    put(j, "  \"");
    put(j, key);
    put(j, "\": ");
    if (id >= 0)
        put_piece(j, id);
    else
        put(j, "null");
    put(j, end);
}

static void config_json(job *j) {
    const tokenizer *t = j->t;
    int32_t unk = t->is_unigram ? t->uni.unk : t->bpe.unk;
    put(j, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n");
    named_token(j, "bos_token", t->bos, ",\n");
    named_token(j, "eos_token", t->eos, ",\n");
    if (unk >= 0)
        named_token(j, "unk_token", unk, ",\n");
    put(j, "  \"add_bos_token\": ");
    put_bool(j, t->n_front > 0);
    put(j, ",\n  \"add_eos_token\": ");
    put_bool(j, t->n_back > 0);
    put(j,
        ",\n  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": 1000000000000000019884624838656\n}\n");
}

static void generation_json(job *j) {
    const tokenizer *t = j->t;
    bool first = true;
    put(j, "{\n");
    if (t->bos >= 0) {
        put(j, "  \"bos_token_id\": ");
        put_int(j, t->bos);
        put(j, ",\n");
    }
    put(j, "  \"eos_token_id\": [");
    for (int turn = 0; turn < 2; turn++) /* eos first */
        for (int32_t id = 0; id < t->v.n; id++)
            if (t->is_end[id] && (id == t->eos) == (turn == 0)) {
                put(j, first ? "" : ", ");
                put_int(j, id);
                first = false;
            }
    put(j, "]\n}\n");
}

err_code tokenizer_to_folder(const gguf_file *g, const char *folder, err *e) {
    tokenizer *t;
    TRY(tokenizer_open_gguf(&t, g, e));
    job j = {.t = t, .g = g, .e = e};
    err_code code = tokenizer_json(&j);
    if (code)
        err_in(e, code, "%s", g->path);
    else
        code = write_file(folder, "tokenizer.json", strbuf_str(&j.b), e);
    static const struct {
        const char *name;
        void (*make)(job *j);
    } others[] = {{"tokenizer_config.json", config_json}, {"generation_config.json", generation_json}};
    for (size_t i = 0; i < sizeof others / sizeof *others && !code; i++) {
        j.b.n = 0;
        others[i].make(&j);
        code = j.code ? j.code : write_file(folder, others[i].name, strbuf_str(&j.b), e);
    }
    if (!code && t->chat_template.n)
        code = write_file(folder, "chat_template.jinja", t->chat_template, e);
    strbuf_fini(&j.b);
    tokenizer_close(t);
    return code;
}

err_code tokenizer_copy_files(const char *from, const char *to, err *e) {
    static const char *const names[] = {
        "tokenizer.json",     "tokenizer_config.json",  "special_tokens_map.json",
        "added_tokens.json",  "tokenizer.model",        "vocab.json",
        "merges.txt",         "generation_config.json", "chat_template.jinja",
        "chat_template.json",
    };
    strbuf path = {0}, text = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && !code; i++) {
        path.n = text.n = 0;
        code = strbuf_addf(&path, e, "%s/%s%c", from, names[i], '\0');
        if (code || !os_exists(path.p))
            continue;
        code = os_read_regular(path.p, (size_t)1 << 28, &text, e);
        if (!code)
            code = write_file(to, names[i], strbuf_str(&text), e);
    }
    strbuf_fini(&path);
    strbuf_fini(&text);
    return code;
}
