/* tokenizer_gguf: a tokenizer from the keys tokenizer.ggml.* of a GGUF file.
 *
 *   model "llama"  SentencePiece BPE      tokens, scores, token_type
 *   model "t5"     SentencePiece unigram  tokens, scores, token_type, precompiled_charsmap
 *   model "gpt2"   byte-level BPE         tokens, token_type, merges, pre
 *
 * Converters write user-defined pieces of SentencePiece with plain spaces where the model has U+2581. Source: ggml's
 * docs/gguf.md, and the model's own SentencePiece or tokenizer.json for what ids a text has.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"
#include "tok/pipeline.h"

#define META STR("\xe2\x96\x81")
#define K(name) "tokenizer.ggml." name

typedef struct {
    tokenizer *t;
    const gguf_file *g;
    str model;
    err *e;
} source;

static err_code want_array(const source *s, const char *key, bool strings, uint64_t n, const gguf_kv **out) {
    const gguf_kv *kv = gguf_find(s->g, key);
    if (!kv)
        return err_set(s->e, ERR_FORMAT, "key %s is missing", key);
    bool is_string = kv->type == GGUF_ARRAY && kv->elem == GGUF_STRING;
    if (kv->type != GGUF_ARRAY || is_string != strings || kv->elem == GGUF_BOOL)
        return err_set(s->e, ERR_FORMAT, "key %s is not an array of %s", key, strings ? "strings" : "numbers");
    if (n && kv->n != n)
        return err_set(s->e, ERR_FORMAT, "key %s has %llu elements for %llu tokens", key, (unsigned long long)kv->n,
                       (unsigned long long)n);
    *out = kv;
    return ERR_OK;
}

static err_code type_of(const source *s, const gguf_kv *types, int32_t id, str piece, vocab_type *out) {
    int64_t type = VOCAB_NORMAL;
    if (types) {
        if (types->elem == GGUF_F32 || types->elem == GGUF_F64)
            return err_set(s->e, ERR_FORMAT, "key " K("token_type") " is not an array of integers");
        type = gguf_i64_at(types, (uint64_t)id);
    } else if (!str_is(s->model, "gpt2") && vocab_byte_of(piece) >= 0)
        type = VOCAB_BYTE;
    if (type < 0 || type >= VOCAB_TYPE_COUNT)
        return err_set(s->e, ERR_FORMAT, K("token_type") "[%d]: %lld is no token type", id, (long long)type);
    if (type == VOCAB_BYTE && vocab_byte_of(piece) < 0)
        return err_set(s->e, ERR_FORMAT, K("tokens") "[%d]: a byte token is spelled \"%.*s\", not <0x00> to <0xFF>", id,
                       STR_ARG(piece));
    *out = type == VOCAB_UNDEFINED ? VOCAB_NORMAL : (vocab_type)type;
    return ERR_OK;
}

static err_code read_vocab(const source *s) {
    tokenizer *t = s->t;
    const gguf_kv *tokens, *types = NULL, *scores = NULL;
    TRY(want_array(s, K("tokens"), true, 0, &tokens));
    err_code code = vocab_init(&t->v, &t->mem, tokens->n, s->e);
    if (code != ERR_OK)
        return err_in(s->e, code, K("tokens"));
    if (gguf_find(s->g, K("token_type")))
        TRY(want_array(s, K("token_type"), false, tokens->n, &types));
    if (!str_is(s->model, "gpt2"))
        TRY(want_array(s, K("scores"), false, tokens->n, &scores));
    gguf_iter it = {0};
    str piece;
    for (int32_t id = 0; id < t->v.n && gguf_next_str(tokens, &it, &piece); id++) {
        vocab_type type = VOCAB_NORMAL;
        TRY(type_of(s, types, id, piece, &type));
        code = vocab_put(&t->v, &t->mem, id, piece, type, s->e);
        if (code != ERR_OK)
            return err_in(s->e, code, K("tokens"));
        double score = scores ? gguf_f64_at(scores, (uint64_t)id) : 0;
        if (!isfinite(score) || fabs(score) > 3e38)
            return err_set(s->e, ERR_FORMAT, K("scores") "[%d]: %g is no score", id, score);
        t->v.score[id] = (float)score;
    }
    return ERR_OK;
}

/* The id under a key, or `otherwise`, which counts only when the vocabulary has it. */
static err_code read_id(const source *s, const char *key, int32_t otherwise, int32_t *out) {
    uint64_t id;
    TRY(gguf_get_u64(s->g, key, UINT64_MAX, &id, s->e));
    if (id == UINT64_MAX && !gguf_find(s->g, key)) {
        *out = otherwise < s->t->v.n ? otherwise : -1;
        return ERR_OK;
    }
    if (id >= (uint64_t)s->t->v.n)
        return err_set(s->e, ERR_FORMAT, "key %s: id %llu is outside the vocabulary of %d", key, (unsigned long long)id,
                       s->t->v.n);
    *out = (int32_t)id;
    return ERR_OK;
}

static err_code read_ends(const source *s) {
    tokenizer *t = s->t;
    static const char *const keys[] = {K("eot_token_id"), K("eom_token_id")};
    ARENA_NEW(&t->mem, t->is_end, (size_t)t->v.n, s->e);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id;
        TRY(read_id(s, keys[i], -1, &id));
        if (id >= 0)
            t->is_end[id] = 1;
    }
    return ERR_OK;
}

static err_code read_frame(const source *s, bool add_bos, bool add_eos) {
    tokenizer *t = s->t;
    bool bos, eos;
    TRY(gguf_get_bool(s->g, K("add_bos_token"), add_bos && t->bos >= 0, &bos, s->e));
    TRY(gguf_get_bool(s->g, K("add_eos_token"), add_eos && t->eos >= 0, &eos, s->e));
    if ((bos && t->bos < 0) || (eos && t->eos < 0))
        return err_set(s->e, ERR_FORMAT, "key %s asks for a token that %s does not name",
                       bos && t->bos < 0 ? K("add_bos_token") : K("add_eos_token"),
                       bos && t->bos < 0 ? K("bos_token_id") : K("eos_token_id"));
    if (bos)
        t->front[t->n_front++] = t->bos;
    if (eos)
        t->back[t->n_back++] = t->eos;
    return ERR_OK;
}

/* Phi-3's added tokens swallow the white space after them; GGUF has no key that says so. */
static bool swallows(str arch, str model, str piece) {
    return str_is(arch, "phi3") && str_is(model, "llama") && !str_is(piece, "<unk>") && !str_is(piece, "<s>") &&
           !str_is(piece, "<|endoftext|>");
}

/* `escaped`: user-defined pieces are looked for in the normalised text, where SentencePiece has them. A vocabulary
 * that prefixes a space got them later, as added tokens, which are cut out of the text as it came, and what
 * follows one is prefixed anew: so do the models' tokenizer.json. */
static err_code read_added(const source *s, bool escaped) {
    tokenizer *t = s->t;
    str arch;
    TRY(gguf_get_str(s->g, "general.architecture", STR(""), &arch, s->e));
    strbuf text = {0};
    err_code code = ERR_OK;
    for (int32_t id = 0; id < t->v.n && code == ERR_OK; id++) {
        int type = t->v.type[id];
        bool control = type == VOCAB_CONTROL || type == VOCAB_UNKNOWN;
        if (!control && type != VOCAB_USER)
            continue;
        str piece = t->v.piece[id];
        added_token tok = {.id = id, .control = control, .rstrip = swallows(arch, s->model, piece)};
        if (control || !escaped) {
            code = added_put(&t->raw, piece, tok, s->e);
            continue;
        }
        text.n = 0;
        for (size_t i = 0; i < piece.n && code == ERR_OK; i++)
            code = strbuf_add(&text, piece.p[i] == ' ' ? META : str_sub(piece, i, i + 1), s->e);
        if (code == ERR_OK)
            code = added_put(&t->norm, strbuf_str(&text), tok, s->e);
    }
    strbuf_fini(&text);
    return code == ERR_OK ? code : err_in(s->e, code, K("tokens"));
}

static void spm_decoder(tokenizer *t, bool prefix) {
    decoder *d = &t->dec;
    d->step[d->n++] = (decode_step){.kind = DECODE_META, .what = META};
    d->step[d->n++] = (decode_step){.kind = DECODE_BYTE_FALLBACK};
    d->n_pieces = d->n;
    if (prefix)
        d->step[d->n++] = (decode_step){.kind = DECODE_STRIP, .what = STR(" "), .left = 1};
}

static err_code read_spm(const source *s, bool unigram_model) {
    tokenizer *t = s->t;
    int32_t unk;
    TRY(read_id(s, K("bos_token_id"), unigram_model ? -1 : 1, &t->bos));
    TRY(read_id(s, K("eos_token_id"), unigram_model ? 1 : 2, &t->eos));
    TRY(read_id(s, K("unknown_token_id"), unigram_model ? 2 : 0, &unk));
    TRY(read_frame(s, !unigram_model, unigram_model));
    norm_step step = {.kind = NORM_SPM, .keep = &t->norm.keys};
    TRY(gguf_get_bool(s->g, K("add_space_prefix"), true, &step.prefix, s->e));
    TRY(gguf_get_bool(s->g, K("remove_extra_whitespaces"), false, &step.squeeze, s->e));
    const gguf_kv *map = gguf_find(s->g, K("precompiled_charsmap"));
    if (map) {
        if (map->type != GGUF_ARRAY || (map->elem != GGUF_U8 && map->elem != GGUF_I8))
            return err_set(s->e, ERR_FORMAT, "key " K("precompiled_charsmap") " is not an array of bytes");
        err_code code = charsmap_open(&step.map, &t->mem, (str){(const char *)map->p, map->bytes}, s->e);
        if (code != ERR_OK)
            return err_in(s->e, code, K("precompiled_charsmap"));
    }
    t->nz.step[t->nz.n++] = step;
    TRY(read_added(s, unigram_model || !step.prefix));
    spm_decoder(t, step.prefix);
    bool bytes = false;
    for (int32_t id = 0; id < t->v.n && !bytes; id++)
        bytes = t->v.type[id] == VOCAB_BYTE;
    snprintf(t->kind, sizeof t->kind, "SentencePiece %s", unigram_model ? "unigram" : "BPE");
    if (unigram_model) {
        double *score;
        ARENA_NEW(&t->mem, score, (size_t)t->v.n, s->e);
        for (int32_t id = 0; id < t->v.n; id++)
            score[id] = (double)t->v.score[id];
        t->is_unigram = true;
        return unigram_open(&t->uni, &t->v, score, unk, true, bytes, s->e);
    }
    t->bpe = (bpe){.dialect = BPE_SCORES, .v = &t->v, .unk = unk, .byte_fallback = bytes, .fuse_unk = true};
    TRY(bpe_scores_init(&t->bpe, &t->mem, s->e));
    bpe_finish(&t->bpe);
    return ERR_OK;
}

static err_code read_merges(const source *s) {
    const gguf_kv *merges;
    TRY(want_array(s, K("merges"), true, 0, &merges));
    err_code code = bpe_merges_init(&s->t->bpe, &s->t->mem, merges->n, s->e);
    gguf_iter it = {0};
    str m;
    for (uint32_t rank = 0; code == ERR_OK && gguf_next_str(merges, &it, &m); rank++) {
        ptrdiff_t space = str_find(m, STR(" "), 1); /* a merge's first part may itself begin with a space */
        if (space < 0 || (size_t)space + 1 == m.n)
            code = err_set(s->e, ERR_FORMAT, "merge %u, \"%.*s\", is not two pieces", rank, STR_ARG(m));
        else
            code = bpe_add(&s->t->bpe, rank, str_sub(m, 0, (size_t)space), str_sub(m, (size_t)space + 1, m.n), s->e);
    }
    return code == ERR_OK ? code : err_in(s->e, code, K("merges"));
}

static err_code read_bpe(const source *s) {
    tokenizer *t = s->t;
    str pre;
    const pretok_named *named = NULL;
    TRY(gguf_get_str(s->g, K("pre"), STR(""), &pre, s->e));
    if (pre.n == 0)
        return err_set(s->e, ERR_UNSUPPORTED,
                       "key " K("pre") " is missing, so how text is to be cut is unknown (convert the model again)");
    err_code code = pretok_add_named(&t->pre, pre, &named, s->e);
    if (code != ERR_OK)
        return err_in(s->e, code, K("pre"));
    if (named->nfc)
        t->nz.step[t->nz.n++] = (norm_step){.kind = NORM_FORM, .form = UNICHAR_NFC};
    TRY(read_id(s, K("bos_token_id"), -1, &t->bos));
    TRY(read_id(s, K("eos_token_id"), -1, &t->eos));
    TRY(read_frame(s, named->add_bos, false));
    TRY(read_added(s, false));
    t->bpe = (bpe){.dialect = BPE_BYTES, .v = &t->v, .unk = -1, .whole_words = named->whole_words};
    TRY(read_id(s, K("unknown_token_id"), -1, &t->bpe.unk));
    TRY(read_merges(s));
    bpe_finish(&t->bpe);
    t->dec.step[t->dec.n++] = (decode_step){.kind = DECODE_BYTE_LEVEL};
    t->dec.n_pieces = t->dec.n;
    snprintf(t->kind, sizeof t->kind, "byte-level BPE, %s", named->name);
    return ERR_OK;
}

static err_code read_all(const source *s) {
    str template;
    bool llama = str_is(s->model, "llama"), t5 = str_is(s->model, "t5");
    if (!llama && !t5 && !str_is(s->model, "gpt2"))
        return err_set(s->e, ERR_UNSUPPORTED, "key " K("model") ": tokenizer \"%.*s\" is not supported",
                       STR_ARG(s->model));
    TRY(read_vocab(s));
    TRY(read_ends(s));
    TRY(llama || t5 ? read_spm(s, t5) : read_bpe(s));
    TRY(gguf_get_str(s->g, "tokenizer.chat_template", STR(""), &template, s->e));
    s->t->chat_template = arena_str(&s->t->mem, template);
    if (!s->t->chat_template.p)
        return arena_short(s->e, template.n, 1);
    return pipeline_finish(s->t, s->e);
}

err_code tokenizer_open_gguf(tokenizer **out, const gguf_file *g, err *e) {
    *out = NULL;
    source s = {.g = g, .e = e};
    TRY(pipeline_new(&s.t, e));
    err_code code = ERR_OK;
    if (!gguf_find(g, K("model")))
        code = err_set(e, ERR_FORMAT, "key " K("model") " is missing: the file has no tokenizer");
    if (code == ERR_OK)
        code = gguf_get_str(g, K("model"), STR(""), &s.model, e);
    if (code == ERR_OK)
        code = read_all(&s);
    if (code != ERR_OK) {
        tokenizer_close(s.t);
        return err_in(e, code, "%s", g->path ? g->path : "GGUF");
    }
    *out = s.t;
    return ERR_OK;
}
