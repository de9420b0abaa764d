/* tokenizer_json: a tokenizer from the text of a tokenizer.json (Hugging Face tokenizers).
 *
 *   {"added_tokens": [...], "normalizer": ..., "pre_tokenizer": ..., "model": {...}, "post_processor": ...,
 *    "decoder": ...}
 *
 * Source: Hugging Face tokenizers' serialisation. Everything is refused, by name, that is not exactly understood: a
 * tokenizer that is nearly right gives wrong ids without a word.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tok/json_steps.h"

enum { TOKENIZER_JSON_BYTES_MAX = 1 << 28 };

/* ---- the model ---- */

static err_code must_be_absent(const json_t *model, const char *key, err *e) {
    const json_t *v = json_object_get(model, key);
    if (!v || json_is_null(v) || (json_is_string(v) && json_str_of(v).n == 0) ||
        (json_is_number(v) && json_number_value(v) == 0))
        return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "model: \"%s\" is not supported", key);
}

/* One more than the greatest id of the model's pieces and the added tokens. */
static err_code count_ids(const json_t *root, const json_t *pieces, uint64_t *n, err *e) {
    *n = json_is_array(pieces) ? json_array_size(pieces) : 0;
    const char *key;
    json_t *v;
    if (json_is_object(pieces))
        json_object_foreach((json_t *)(uintptr_t)pieces, key, v) {
            json_int_t id = json_integer_value(v);
            if (!json_is_integer(v) || id < 0 || id >= TOK_VOCAB_MAX)
                return err_set(e, ERR_FORMAT, "model.vocab: \"%.80s\" has no id from 0 to %d", key, TOK_VOCAB_MAX - 1);
            *n = (uint64_t)id >= *n ? (uint64_t)id + 1 : *n;
        }
    const json_t *added = json_object_get(root, "added_tokens");
    if (added && !json_is_null(added) && !json_is_array(added))
        return err_set(e, ERR_FORMAT, "added_tokens is not an array");
    for (size_t i = 0; i < json_array_size(added); i++) {
        uint64_t id;
        err_code code = json_want_u64(json_array_get(added, i), "id", TOK_VOCAB_MAX - 1, &id, e);
        if (code != ERR_OK)
            return err_in(e, code, "added_tokens[%zu]", i);
        *n = id >= *n ? id + 1 : *n;
    }
    return ERR_OK;
}

static err_code merge_of(const json_t *m, size_t i, str *left, str *right, err *e) {
    if (json_is_string(m)) {
        str s = json_str_of(m);
        ptrdiff_t space = str_find(s, STR(" "), 0);
        if (space > 0 && (size_t)space + 1 < s.n && str_find(s, STR(" "), (size_t)space + 1) < 0) {
            *left = str_sub(s, 0, (size_t)space);
            *right = str_sub(s, (size_t)space + 1, s.n);
            return ERR_OK;
        }
    } else if (json_is_array(m) && json_array_size(m) == 2 && json_is_string(json_array_get(m, 0)) &&
               json_is_string(json_array_get(m, 1))) {
        *left = json_str_of(json_array_get(m, 0));
        *right = json_str_of(json_array_get(m, 1));
        return ERR_OK;
    }
    return err_set(e, ERR_FORMAT, "model.merges[%zu] is not two pieces", i);
}

static err_code read_bpe(tokenizer *t, const json_t *model, bool byte_level, err *e) {
    static const char *const absent[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        TRY(must_be_absent(model, absent[i], e));
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(model, "vocab"), key, v)
        TRY(vocab_put(&t->v, &t->mem, (int32_t)json_integer_value(v), str_from(key), VOCAB_NORMAL, e));
    t->bpe = (bpe){.dialect = byte_level ? BPE_BYTES : BPE_CHARS, .v = &t->v, .unk = -1};
    t->bpe.byte_fallback = json_get_bool(model, "byte_fallback", false);
    t->bpe.fuse_unk = json_get_bool(model, "fuse_unk", false);
    t->bpe.whole_words = json_get_bool(model, "ignore_merges", false);
    str unk = json_get_str(model, "unk_token", STR(""));
    if (unk.n) {
        t->bpe.unk = vocab_find(&t->v, unk);
        if (t->bpe.unk < 0)
            return err_set(e, ERR_FORMAT, "model.unk_token \"%.*s\" is not in the vocabulary", STR_ARG(unk));
    }
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges))
        return err_set(e, ERR_FORMAT, "model.merges is not an array");
    TRY(bpe_merges_init(&t->bpe, &t->mem, json_array_size(merges), e));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        str left, right;
        TRY(merge_of(json_array_get(merges, i), i, &left, &right, e));
        err_code code = bpe_add(&t->bpe, (uint32_t)i, left, right, e);
        if (code != ERR_OK)
            return err_in(e, code, "model.merges");
    }
    bpe_finish(&t->bpe);
    snprintf(t->kind, sizeof t->kind, "%s", byte_level ? "byte-level BPE, tokenizer.json" : "BPE, tokenizer.json");
    return ERR_OK;
}

static err_code read_unigram(tokenizer *t, const json_t *model, err *e) {
    const json_t *pieces = json_object_get(model, "vocab");
    size_t n = json_array_size(pieces);
    double *score;
    ARENA_NEW(&t->mem, score, (size_t)t->v.n, e);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(pieces, i), *p = json_array_get(pair, 0), *s = json_array_get(pair, 1);
        if (json_array_size(pair) != 2 || !json_is_string(p) || !json_is_number(s) || !isfinite(json_number_value(s)))
            return err_set(e, ERR_FORMAT, "model.vocab[%zu] is not a piece and its score", i);
        TRY(vocab_put(&t->v, &t->mem, (int32_t)i, json_str_of(p), VOCAB_NORMAL, e));
        score[i] = json_number_value(s);
    }
    uint64_t unk;
    const json_t *u = json_object_get(model, "unk_id");
    if (!u || json_is_null(u))
        return err_set(e, ERR_UNSUPPORTED, "model: Unigram without \"unk_id\" is not supported");
    TRY(json_want_u64(model, "unk_id", n - 1, &unk, e));
    t->is_unigram = true;
    snprintf(t->kind, sizeof t->kind, "unigram, tokenizer.json");
    return unigram_open(&t->uni, &t->v, score, (int32_t)unk, false, json_get_bool(model, "byte_fallback", false), e);
}

static err_code read_model(tokenizer *t, const json_t *root, bool byte_level, err *e) {
    const json_t *model = json_object_get(root, "model");
    str type;
    if (!json_is_object(model))
        return err_set(e, ERR_FORMAT, "\"model\" is not an object");
    type = json_get_str(model, "type", json_object_get(model, "merges") ? STR("BPE") : STR(""));
    bool bpe_model = str_is(type, "BPE"), unigram_model = str_is(type, "Unigram");
    if (!bpe_model && (!unigram_model || byte_level))
        return err_set(e, ERR_UNSUPPORTED, "model \"%.*s\"%s is not supported", STR_ARG(type),
                       unigram_model ? " with ByteLevel" : "");
    const json_t *pieces = json_object_get(model, "vocab");
    if (bpe_model ? !json_is_object(pieces) : !json_is_array(pieces))
        return err_set(e, ERR_FORMAT, "model.vocab is not %s", bpe_model ? "an object" : "an array");
    if (json_object_size(pieces) + json_array_size(pieces) == 0)
        return err_set(e, ERR_FORMAT, "model.vocab is empty");
    uint64_t n;
    TRY(count_ids(root, pieces, &n, e));
    err_code code = vocab_init(&t->v, &t->mem, n, e);
    if (code == ERR_OK)
        code = bpe_model ? read_bpe(t, model, byte_level, e) : read_unigram(t, model, e);
    return code == ERR_OK ? code : err_in(e, code, "model");
}

/* ---- added tokens ---- */

static err_code read_added_token(tokenizer *t, const json_t *a, norm_work *w, err *e) {
    uint64_t id;
    str content;
    TRY(json_want_u64(a, "id", TOK_VOCAB_MAX - 1, &id, e));
    TRY(json_want_str(a, "content", &content, e));
    if (content.n == 0)
        return ERR_OK;
    bool special = json_get_bool(a, "special", false);
    added_token tok = {.id = (int32_t)id, .control = special};
    tok.single_word = json_get_bool(a, "single_word", false);
    tok.lstrip = json_get_bool(a, "lstrip", false);
    tok.rstrip = json_get_bool(a, "rstrip", false);
    int32_t known = vocab_find(&t->v, content);
    if (known >= 0 && known != tok.id)
        return err_set(e, ERR_FORMAT, "\"%.*s\" has id %d here and %d before", STR_ARG(content), tok.id, known);
    if (known < 0)
        TRY(vocab_put(&t->v, &t->mem, tok.id, content, VOCAB_NORMAL, e));
    t->v.type[tok.id] = special ? VOCAB_CONTROL : VOCAB_USER;
    if (!json_get_bool(a, "normalized", !special))
        return added_put(&t->raw, content, tok, e);
    str normal;
    TRY(norm_run(&t->nz, w, content, false, &normal, e));
    return added_put(&t->norm, normal, tok, e);
}

static err_code read_added(tokenizer *t, const json_t *root, err *e) {
    const json_t *added = json_object_get(root, "added_tokens");
    norm_work w = {0};
    TRY(rx_work_open(&w.rx, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < json_array_size(added) && code == ERR_OK; i++) {
        code = read_added_token(t, json_array_get(added, i), &w, e);
        if (code != ERR_OK)
            err_in(e, code, "added_tokens[%zu]", i);
    }
    norm_work_fini(&w);
    rx_work_close(w.rx);
    return code;
}

/* ---- post-processor: the special tokens around a text ---- */

typedef struct {
    int32_t id[PIPELINE_FRAME_MAX];
    int n;
} frame;

static err_code add_special(const tokenizer *t, const json_t *table, str name, frame *f, err *e) {
    const json_t *ids = NULL, *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)table, key, v) if (str_is(name, key)) ids = json_object_get(v, "ids");
    if (!json_is_array(ids))
        return err_set(e, ERR_FORMAT, "special token \"%.*s\" has no ids", STR_ARG(name));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id >= t->v.n)
            return err_set(e, ERR_FORMAT, "special token \"%.*s\" has an id outside the vocabulary", STR_ARG(name));
        if (f->n == PIPELINE_FRAME_MAX)
            return err_set(e, ERR_LIMIT, "more than %d special tokens", PIPELINE_FRAME_MAX);
        f->id[f->n++] = (int32_t)id;
    }
    return ERR_OK;
}

/* A later processor's tokens stand outside an earlier one's. */
static err_code wrap(tokenizer *t, const frame *front, const frame *back, err *e) {
    if (t->n_front + front->n > PIPELINE_FRAME_MAX || t->n_back + back->n > PIPELINE_FRAME_MAX)
        return err_set(e, ERR_LIMIT, "more than %d special tokens", PIPELINE_FRAME_MAX);
    memmove(t->front + front->n, t->front, (size_t)t->n_front * sizeof *t->front);
    memcpy(t->front, front->id, (size_t)front->n * sizeof *t->front);
    memcpy(t->back + t->n_back, back->id, (size_t)back->n * sizeof *t->back);
    t->n_front += front->n;
    t->n_back += back->n;
    return ERR_OK;
}

static err_code template_processing(tokenizer *t, const json_t *v, err *e) {
    const json_t *single = json_object_get(v, "single");
    frame side[2] = {0};
    int n_texts = 0;
    if (!json_is_array(single))
        return err_set(e, ERR_FORMAT, "TemplateProcessing: \"single\" is not an array");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken"), *text = json_object_get(item, "Sequence");
        str name;
        if (special) {
            TRY(json_want_str(special, "id", &name, e));
            TRY(add_special(t, json_object_get(v, "special_tokens"), name, &side[n_texts > 0], e));
        } else if (text) {
            TRY(json_want_str(text, "id", &name, e));
            if (!str_is(name, "A"))
                return err_set(e, ERR_FORMAT, "TemplateProcessing: \"single\" uses sequence \"%.*s\"", STR_ARG(name));
            n_texts++;
        } else
            return err_set(e, ERR_FORMAT, "TemplateProcessing: single[%zu] is no special token and no sequence", i);
    }
    if (n_texts != 1)
        return err_set(e, ERR_UNSUPPORTED, "TemplateProcessing: \"single\" has the text %d times, not once", n_texts);
    return wrap(t, &side[0], &side[1], e);
}

static err_code read_post(tokenizer *t, const json_t *v, int depth, err *e) {
    str type;
    if (!v || json_is_null(v))
        return ERR_OK;
    if (!json_is_object(v) || depth > 8)
        return err_set(e, ERR_FORMAT, "post_processor is not an object, or nested too deep");
    TRY(json_want_str(v, "type", &type, e));
    if (str_is(type, "ByteLevel")) /* moves offsets only */
        return ERR_OK;
    if (str_is(type, "TemplateProcessing"))
        return template_processing(t, v, e);
    if (!str_is(type, "Sequence"))
        return err_set(e, ERR_UNSUPPORTED, "post_processor \"%.*s\" is not supported", STR_ARG(type));
    const json_t *members = json_object_get(v, "processors");
    if (!json_is_array(members))
        return err_set(e, ERR_FORMAT, "post_processor: a Sequence without \"processors\"");
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(read_post(t, json_array_get(members, i), depth + 1, e));
    return ERR_OK;
}

static err_code read_root(tokenizer *t, const json_t *root, err *e) {
    bool byte_level;
    if (!json_is_object(root))
        return err_set(e, ERR_FORMAT, "the file is not an object");
    TRY(json_normalizer(t, json_object_get(root, "normalizer"), e));
    TRY(json_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), &byte_level, e));
    TRY(read_model(t, root, byte_level, e));
    TRY(read_added(t, root, e));
    TRY(read_post(t, json_object_get(root, "post_processor"), 0, e));
    return json_decoder(t, json_object_get(root, "decoder"), e);
}

err_code tokenizer_read_json(tokenizer *t, str text, err *e) {
    json_t *root;
    TRY(json_read(text, TOKENIZER_JSON_BYTES_MAX, &root, e));
    err_code code = read_root(t, root, e);
    json_decref(root);
    return code;
}
