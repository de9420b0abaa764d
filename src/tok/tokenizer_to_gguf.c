/* tokenizer_to_gguf: a folder's tokenizer as the keys tokenizer.ggml.*; see tokenizer_write.h.
 *
 * Pieces, kinds and special tokens come from the opened tokenizer; the order of merges and the pre-tokenizer's
 * patterns, which it does not keep, from the JSON. Key names and numbers: ggml's docs/gguf.md and llama.cpp's
 * converter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tok/json_steps.h"
#include "tok/tokenizer_write.h"

#define META STR("\xe2\x96\x81")
#define K(name) "tokenizer.ggml." name

enum { JSON_BYTES_MAX = 1 << 28, PATTERNS_MAX = 8 };

typedef struct {
    tokenizer *t;
    const json_t *root;
    gguf_writer *w;
    size_t n_vocab;
    arena mem;
    err *e;
} job;

static err_code unsupported(const job *j, const char *what) {
    return err_set(j->e, ERR_UNSUPPORTED, "GGUF has no words for %s", what);
}

/* ---- pieces ---- */

/* User-defined pieces have plain spaces where the vocabulary spells U+2581, as llama.cpp's converter writes them. */
static err_code spelling(job *j, str piece, str *out) {
    strbuf s = {0};
    err_code code = ERR_OK;
    for (size_t at = 0; at < piece.n && !code;) {
        bool meta = str_starts(str_sub(piece, at, piece.n), META);
        code = meta ? strbuf_addc(&s, ' ', j->e) : strbuf_addc(&s, piece.p[at], j->e);
        at += meta ? META.n : 1;
    }
    if (!code) {
        *out = arena_str(&j->mem, strbuf_str(&s));
        code = out->p ? ERR_OK : arena_short(j->e, s.n, 1);
    }
    strbuf_fini(&s);
    return code;
}

/* spaced: see spelling(). */
static err_code put_pieces(job *j, const float *scores, bool spaced) {
    const vocab *v = &j->t->v;
    size_t n = j->n_vocab;
    str *piece;
    int32_t *type;
    float *score = NULL;
    if ((size_t)v->n > n)
        return err_set(j->e, ERR_UNSUPPORTED, "the tokenizer has %d tokens, the model's embedding %zu rows", v->n, n);
    ARENA_NEW(&j->mem, piece, n, j->e);
    ARENA_NEW(&j->mem, type, n, j->e);
    ARENA_NEW(&j->mem, score, n, j->e);
    for (size_t i = 0; i < n; i++) {
        bool there = i < (size_t)v->n && v->piece[i].n;
        char pad[32];
        snprintf(pad, sizeof pad, "[PAD%zu]", i);
        piece[i] = there ? v->piece[i] : arena_str(&j->mem, str_from(pad));
        if (!piece[i].p)
            return arena_short(j->e, sizeof pad, 1);
        if (!there && vocab_find(v, piece[i]) >= 0)
            return unsupported(j, "an id without a piece beside a piece spelled \"[PADn]\"");
        type[i] = there ? v->type[i] : VOCAB_UNUSED;
        if (spaced && type[i] == VOCAB_USER)
            TRY(spelling(j, piece[i], &piece[i]));
        score[i] = there && scores ? scores[i] : 0;
    }
    TRY(gguf_write_strs(j->w, K("tokens"), piece, n, j->e));
    if (scores)
        TRY(gguf_write_numbers(j->w, K("scores"), GGUF_F32, score, n, j->e));
    return gguf_write_numbers(j->w, K("token_type"), GGUF_I32, type, n, j->e);
}

/* ---- special tokens ---- */

static err_code put_id(job *j, const char *key, int32_t id) {
    return id < 0 ? ERR_OK : gguf_write_u32(j->w, key, (uint32_t)id, j->e);
}

/* At most one token before a text and one after it, and these are BOS and EOS. */
static err_code put_frame(job *j) {
    const tokenizer *t = j->t;
    int32_t bos = t->n_front ? t->front[0] : t->bos, eos = t->n_back ? t->back[0] : t->eos;
    if (t->n_front > 1 || t->n_back > 1)
        return unsupported(j, "more than one special token before or after a text");
    TRY(put_id(j, K("bos_token_id"), bos));
    TRY(put_id(j, K("eos_token_id"), eos));
    TRY(gguf_write_bool(j->w, K("add_bos_token"), t->n_front > 0, j->e));
    TRY(gguf_write_bool(j->w, K("add_eos_token"), t->n_back > 0, j->e));
    /* Further ends, unless readers know them by their spelling. */
    static const char *const keys[] = {K("eot_token_id"), K("eom_token_id")};
    size_t n = 0;
    for (int32_t id = 0; id < t->v.n && n < sizeof keys / sizeof *keys; id++)
        if (t->is_end[id] && id != eos && !pipeline_known_end(t->v.piece[id]))
            TRY(put_id(j, keys[n++], id));
    return ERR_OK;
}

static err_code put_common(job *j) {
    if (j->t->chat_template.n)
        TRY(gguf_write_str(j->w, "tokenizer.chat_template", j->t->chat_template, j->e));
    return put_frame(j);
}

/* ---- byte-level BPE ---- */

/* The patterns of a pre_tokenizer in which ByteLevel comes last. */
static err_code patterns_of(const job *j, const json_t *v, str pattern[PATTERNS_MAX], int *n) {
    str type = json_get_str(v, "type", STR(""));
    if (str_is(type, "Sequence")) {
        const json_t *members = json_object_get(v, "pretokenizers");
        for (size_t i = 0; i < json_array_size(members); i++)
            TRY(patterns_of(j, json_array_get(members, i), pattern, n));
        return ERR_OK;
    }
    if (*n == PATTERNS_MAX)
        return unsupported(j, "its pre_tokenizer: too many steps");
    if (str_is(type, "ByteLevel")) {
        if (json_get_bool(v, "add_prefix_space", true))
            return unsupported(j, "a ByteLevel that adds a space in front of the text");
        if (json_get_bool(v, "use_regex", true))
            pattern[(*n)++] = str_from(pretok_gpt2);
        return ERR_OK;
    }
    if (str_is(type, "Digits") && json_get_bool(v, "individual_digits", false)) {
        pattern[(*n)++] = STR("#");
        return ERR_OK;
    }
    str regex = json_get_str(json_object_get(v, "pattern"), "Regex", STR(""));
    if (!str_is(type, "Split") || !regex.n || json_get_bool(v, "invert", false) ||
        !str_is(json_get_str(v, "behavior", STR("")), "Isolated"))
        return err_set(j->e, ERR_UNSUPPORTED, "GGUF has no words for its pre_tokenizer: a step \"%.*s\" of this kind",
                       STR_ARG(type));
    pattern[(*n)++] = regex;
    return ERR_OK;
}

static err_code put_pre(job *j) {
    const normalizer *nz = &j->t->nz;
    str pattern[PATTERNS_MAX];
    int n = 0;
    TRY(patterns_of(j, json_object_get(j->root, "pre_tokenizer"), pattern, &n));
    bool nfc = nz->n == 1 && nz->step[0].kind == NORM_FORM && nz->step[0].form == UNICHAR_NFC;
    if (nz->n && !nfc)
        return unsupported(j, "its normalizer (byte-level BPE has none, or NFC)");
    const pretok_named *name = pretok_name_of(pattern, n, nfc, j->t->bpe.whole_words);
    if (!name)
        return unsupported(j, "how its pre_tokenizer cuts a text: no name there means these patterns together with "
                              "its normalizer and ignore_merges");
    return gguf_write_str(j->w, K("pre"), str_from(name->name), j->e);
}

static err_code put_merges(job *j) {
    const json_t *merges = json_object_get(json_object_get(j->root, "model"), "merges");
    size_t n = json_array_size(merges);
    str *text;
    ARENA_NEW(&j->mem, text, n, j->e);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(merges, i);
        if (json_is_string(m)) {
            text[i] = json_str_of(m);
            continue;
        }
        str left = json_str_of(json_array_get(m, 0)), right = json_str_of(json_array_get(m, 1));
        char *p = arena_alloc(&j->mem, left.n + 1 + right.n, 1);
        if (!p)
            return arena_short(j->e, left.n + 1 + right.n, 1);
        memcpy(p, left.p, left.n);
        p[left.n] = ' ';
        memcpy(p + left.n + 1, right.p, right.n);
        text[i] = (str){p, left.n + 1 + right.n};
    }
    return gguf_write_strs(j->w, K("merges"), text, n, j->e);
}

static err_code byte_level(job *j) {
    TRY(gguf_write_str(j->w, K("model"), STR("gpt2"), j->e));
    TRY(put_pre(j));
    TRY(put_pieces(j, NULL, false));
    TRY(put_merges(j));
    return put_common(j);
}

/* ---- SentencePiece ---- */

/* Kinds that tokenizer.json has no field for. */
static void mark_kinds(vocab *v, int32_t unk, bool byte_fallback) {
    for (int32_t id = 0; id < v->n && byte_fallback; id++)
        if (v->type[id] == VOCAB_NORMAL && vocab_byte_of(v->piece[id]) >= 0)
            v->type[id] = VOCAB_BYTE;
    if (unk >= 0)
        v->type[unk] = VOCAB_UNKNOWN;
}

/* What SentencePiece does to a text: whether it is prefixed; and what else unigram models do. */
typedef struct {
    bool prefix, squeeze;
    const json_t *charsmap; /* base64, or NULL */
} spm_norm;

static err_code norm_of(const job *j, const json_t *v, spm_norm *out) {
    str type = json_get_str(v, "type", STR("")), what = json_get_str(v, "content", STR(""));
    const json_t *pattern = json_object_get(v, "pattern");
    if (!v || json_is_null(v))
        return ERR_OK;
    if (str_is(type, "Sequence")) {
        const json_t *members = json_object_get(v, "normalizers");
        for (size_t i = 0; i < json_array_size(members); i++)
            TRY(norm_of(j, json_array_get(members, i), out));
        return ERR_OK;
    }
    if (str_is(type, "Prepend") && str_eq(json_get_str(v, "prepend", STR("")), META)) {
        out->prefix = true;
        return ERR_OK;
    }
    if (str_is(type, "Replace") && str_is(json_get_str(pattern, "String", STR("")), " ") && str_eq(what, META))
        return ERR_OK;
    if (str_is(type, "Replace") && str_is(json_get_str(pattern, "Regex", STR("")), " {2,}") &&
        (str_is(what, " ") || str_eq(what, META))) {
        out->squeeze = true;
        return ERR_OK;
    }
    if (j->t->is_unigram && str_is(type, "Precompiled")) {
        out->charsmap = json_object_get(v, "precompiled_charsmap");
        return ERR_OK;
    }
    return err_set(j->e, ERR_UNSUPPORTED, "GGUF has no words for its normalizer: a step \"%.*s\" of this kind",
                   STR_ARG(type));
}

static err_code pre_of(const job *j, const json_t *v, spm_norm *out) {
    str type = json_get_str(v, "type", STR(""));
    if (!v || json_is_null(v))
        return ERR_OK;
    if (str_is(type, "Sequence")) {
        const json_t *members = json_object_get(v, "pretokenizers");
        for (size_t i = 0; i < json_array_size(members); i++)
            TRY(pre_of(j, json_array_get(members, i), out));
        return ERR_OK;
    }
    if (str_is(type, "Metaspace") && str_eq(json_get_str(v, "replacement", META), META)) {
        bool add = json_get_bool(v, "add_prefix_space", true);
        out->prefix = !str_is(json_get_str(v, "prepend_scheme", add ? STR("always") : STR("never")), "never");
        return ERR_OK;
    }
    if (j->t->is_unigram && str_is(type, "WhitespaceSplit")) {
        out->squeeze = true;
        return ERR_OK;
    }
    /* After the normalizer there is no space left to cut at. */
    if (str_is(type, "Split") && str_is(json_get_str(json_object_get(v, "pattern"), "String", STR("")), " "))
        return ERR_OK;
    return err_set(j->e, ERR_UNSUPPORTED, "GGUF has no words for its pre_tokenizer: a step \"%.*s\" of this kind",
                   STR_ARG(type));
}

static err_code put_norm(job *j, const spm_norm *n) {
    TRY(gguf_write_bool(j->w, K("add_space_prefix"), n->prefix, j->e));
    if (j->t->is_unigram)
        TRY(gguf_write_bool(j->w, K("remove_extra_whitespaces"), n->squeeze, j->e));
    if (!n->charsmap)
        return ERR_OK;
    strbuf blob = {0};
    err_code code = json_base64(json_str_of(n->charsmap), &blob, j->e);
    if (code == ERR_OK)
        code = gguf_write_numbers(j->w, K("precompiled_charsmap"), GGUF_U8, blob.p, blob.n, j->e);
    strbuf_fini(&blob);
    return code;
}

/* A piece that merges first gets the highest score, as SentencePiece numbers them: 0, -1, -2, ... by the first merge
 * that makes it; then those that no merge makes. */
static err_code merge_scores(job *j, float **out) {
    const tokenizer *t = j->t;
    const json_t *merges = json_object_get(json_object_get(j->root, "model"), "merges");
    float *score, next = 0;
    bool *has;
    strbuf joint = {0};
    ARENA_NEW(&j->mem, score, (size_t)t->v.n, j->e);
    ARENA_NEW(&j->mem, has, (size_t)t->v.n, j->e);
    err_code code = ERR_OK;
    for (size_t i = 0; i < json_array_size(merges) && !code; i++) {
        const json_t *m = json_array_get(merges, i);
        str whole = json_str_of(m), space = STR(" ");
        ptrdiff_t cut = json_is_string(m) ? str_find(whole, space, 1) : -1;
        str left = json_is_string(m) ? str_sub(whole, 0, (size_t)cut) : json_str_of(json_array_get(m, 0));
        str right = json_is_string(m) ? str_sub(whole, (size_t)cut + 1, whole.n) : json_str_of(json_array_get(m, 1));
        joint.n = 0;
        code = strbuf_add(&joint, left, j->e);
        code = code ? code : strbuf_add(&joint, right, j->e);
        int32_t id = code ? -1 : vocab_find(&t->v, strbuf_str(&joint));
        if (id >= 0 && !has[id]) {
            has[id] = true;
            score[id] = next--;
        }
    }
    for (int32_t id = 0; id < t->v.n; id++)
        if (!has[id] && t->v.type[id] == VOCAB_NORMAL)
            score[id] = next--;
    strbuf_fini(&joint);
    *out = score;
    return code;
}

static err_code sentencepiece(job *j) {
    tokenizer *t = j->t;
    spm_norm n = {0};
    TRY(norm_of(j, json_object_get(j->root, "normalizer"), &n));
    TRY(pre_of(j, json_object_get(j->root, "pre_tokenizer"), &n));
    int32_t unk = t->is_unigram ? t->uni.unk : t->bpe.unk;
    bool bytes = t->is_unigram ? t->uni.byte_fallback : t->bpe.byte_fallback;
    if (!t->is_unigram && (!bytes || !t->bpe.fuse_unk || t->bpe.whole_words))
        return unsupported(j, "BPE over characters that is not SentencePiece's (no byte_fallback, no fuse_unk, or "
                              "ignore_merges)");
    mark_kinds(&t->v, unk, bytes);
    float *score = NULL;
    if (t->is_unigram) {
        ARENA_NEW(&j->mem, score, (size_t)t->v.n, j->e);
        for (int32_t id = 0; id < t->v.n; id++)
            score[id] = (float)t->uni.score[id];
    } else {
        TRY(merge_scores(j, &score));
    }
    TRY(gguf_write_str(j->w, K("model"), t->is_unigram ? STR("t5") : STR("llama"), j->e));
    TRY(gguf_write_str(j->w, K("pre"), STR("default"), j->e));
    TRY(put_pieces(j, score, !t->is_unigram && !n.prefix));
    TRY(put_id(j, K("unknown_token_id"), unk));
    TRY(put_norm(j, &n));
    return put_common(j);
}

/* ---- all ---- */

static err_code convert(job *j) {
    if (!j->t->is_unigram && j->t->bpe.dialect == BPE_BYTES)
        return byte_level(j);
    return sentencepiece(j);
}

err_code tokenizer_to_gguf(const char *folder, size_t n_vocab, gguf_writer *w, err *e) {
    job j = {.w = w, .n_vocab = n_vocab, .e = e};
    strbuf path = {0}, text = {0};
    json_t *root = NULL;
    err_code code = tokenizer_open_folder(&j.t, folder, e);
    if (!code)
        code = strbuf_addf(&path, e, "%s/tokenizer.json%c", folder, '\0');
    if (!code)
        code = os_read_regular(path.p, JSON_BYTES_MAX, &text, e);
    if (!code) {
        code = json_read(strbuf_str(&text), JSON_BYTES_MAX, &root, e);
        j.root = root;
        if (!code)
            code = convert(&j);
        if (code)
            err_in(e, code, "%s", path.p);
    }
    json_decref(root);
    strbuf_fini(&text);
    strbuf_fini(&path);
    tokenizer_close(j.t);
    arena_fini(&j.mem);
    return code;
}

err_code tokenizer_none_to_gguf(gguf_writer *w, err *e) { return gguf_write_str(w, K("model"), STR("none"), e); }
