/* tokenizer: the face; see tokenizer.h and, for what happens in which order, pipeline.h. */
#include "tok/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "tok/pipeline.h"

err_code tok_ids_add(tok_ids *ids, int32_t id, err *e) {
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        int32_t *p = realloc(ids->id, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for %zu tokens", cap);
        ids->id = p;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return ERR_OK;
}

void tok_ids_fini(tok_ids *ids) {
    free(ids->id);
    *ids = (tok_ids){0};
}

/* ---- life ---- */

err_code pipeline_new(tokenizer **out, err *e) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for a tokenizer");
    (*out)->bos = (*out)->eos = (*out)->bpe.unk = (*out)->uni.unk = -1;
    return ERR_OK;
}

static const char *const ends[] = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<EOT>",
    "<|return|>",
    "<|call|>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<|eos|>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
};

bool pipeline_known_end(str piece) {
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_is(piece, ends[i]))
            return true;
    return false;
}

err_code pipeline_finish(tokenizer *t, err *e) {
    if (!t->is_end)
        ARENA_NEW(&t->mem, t->is_end, (size_t)t->v.n, e);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int32_t id = vocab_find(&t->v, str_from(ends[i]));
        if (id >= 0)
            t->is_end[id] = 1;
    }
    if (t->eos >= 0)
        t->is_end[t->eos] = 1;
    return ERR_OK;
}

size_t tokenizer_bytes(const tokenizer *t) { return sizeof *t + t->mem.used_bytes; }

void tokenizer_close(tokenizer *t) {
    if (!t)
        return;
    added_fini(&t->raw);
    added_fini(&t->norm);
    norm_fini(&t->nz);
    pretok_fini(&t->pre);
    unigram_fini(&t->uni);
    decode_fini(&t->dec);
    arena_fini(&t->mem);
    free(t);
}

/* ---- text to ids ---- */

struct tok_work {
    const tokenizer *t;
    rx_work *rx;
    bpe_work *bpe;
    norm_work norm;
    pretok_work pre;
    /* Of the call at hand. */
    tok_ids *ids;
    bool control;      /* TOK_SPECIAL_PARSE */
    size_t base;       /* where the run of valid text begins */
    bool first, inner; /* of the part at hand, as pretok_run() wants them */
};
typedef struct tok_work call;

static err_code on_word(void *ctx, str word, err *e) {
    call *c = ctx;
    return c->t->is_unigram ? unigram_encode(&c->t->uni, word, c->ids, e)
                            : bpe_encode(&c->t->bpe, c->bpe, word, c->ids, e);
}

static err_code on_normal_part(void *ctx, int32_t id, str part, size_t at, err *e) {
    call *c = ctx;
    if (id >= 0)
        return tok_ids_add(c->ids, id, e);
    return pretok_run(&c->t->pre, &c->pre, part, c->first && at == 0, c->inner, on_word, c, e);
}

static err_code on_raw_part(void *ctx, int32_t id, str part, size_t at, err *e) {
    call *c = ctx;
    if (id >= 0)
        return tok_ids_add(c->ids, id, e);
    c->first = c->base + at == 0;
    c->inner = c->base > 0 && at == 0;
    str normal;
    TRY(norm_run(&c->t->nz, &c->norm, part, c->inner, &normal, e));
    bool cuts = !c->t->is_unigram || !c->t->uni.float32; /* SentencePiece's unigram weighs them instead */
    return cuts ? added_split(&c->t->norm, normal, c->control, on_normal_part, c, e)
                : on_normal_part(c, -1, normal, 0, e);
}

/* Bytes that are no character: each its own token, or the unknown one. */
static err_code ill_formed(const call *c, str bytes, err *e) {
    const int32_t *byte_id = c->t->is_unigram ? c->t->uni.byte_id : c->t->bpe.byte_id;
    int32_t unk = c->t->is_unigram ? c->t->uni.unk : c->t->bpe.unk;
    for (size_t i = 0; i < bytes.n; i++) {
        int32_t id = byte_id[(unsigned char)bytes.p[i]];
        if (id >= 0)
            TRY(tok_ids_add(c->ids, id, e));
        else if (unk >= 0)
            TRY(tok_ids_add(c->ids, unk, e));
    }
    return ERR_OK;
}

static err_code encode_text(call *c, str text, err *e) {
    if (utf8_valid(text))
        return added_split(&c->t->raw, text, c->control, on_raw_part, c, e);
    size_t at = 0, good = 0;
    while (at < text.n) {
        size_t start = at;
        if (utf8_next(text, &at) >= 0)
            continue;
        c->base = good;
        TRY(added_split(&c->t->raw, str_sub(text, good, start), c->control, on_raw_part, c, e));
        TRY(ill_formed(c, str_sub(text, start, at), e));
        good = at;
    }
    c->base = good;
    return added_split(&c->t->raw, str_sub(text, good, text.n), c->control, on_raw_part, c, e);
}

/* Words that a call remembers: texts shorter than this repeat too little to pay for clearing the memory. */
enum { CACHE_FROM_BYTES = 2048, CACHE_WORDS = 1 << 12, CACHE_WORDS_MANY = 1 << 15 };

static err_code work_open(tok_work *w, const tokenizer *t, size_t n_words, err *e) {
    *w = (tok_work){.t = t};
    TRY(rx_work_open(&w->rx, e));
    w->norm.rx = w->pre.rx = w->rx;
    return bpe_work_open(&w->bpe, n_words, e);
}

static void work_fini(tok_work *w) {
    norm_work_fini(&w->norm);
    pretok_work_fini(&w->pre);
    bpe_work_close(w->bpe);
    rx_work_close(w->rx);
}

err_code tok_work_open(tok_work **out, const tokenizer *t, err *e) {
    *out = NULL;
    tok_work *w = malloc(sizeof *w);
    if (!w)
        return err_set(e, ERR_MEMORY, "no memory to tokenize");
    err_code code = work_open(w, t, CACHE_WORDS_MANY, e);
    if (code != ERR_OK)
        tok_work_close(w);
    else
        *out = w;
    return code;
}

void tok_work_close(tok_work *w) {
    if (!w)
        return;
    work_fini(w);
    free(w);
}

static err_code check_text(str text, err *e) {
    if (text.n > TOK_TEXT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "text of %zu bytes; at most %d are supported", text.n, TOK_TEXT_BYTES_MAX);
    return ERR_OK;
}

err_code tokenizer_encode_with(tok_work *w, str text, unsigned flags, tok_ids *ids, err *e) {
    const tokenizer *t = w->t;
    TRY(check_text(text, e));
    size_t before = ids->n;
    w->ids = ids;
    w->control = flags & TOK_SPECIAL_PARSE;
    w->base = 0;
    bpe_work_begin(&t->bpe, w->bpe);
    err_code code = ERR_OK;
    for (int i = 0; i < t->n_front && code == ERR_OK && flags & TOK_SPECIAL_ADD; i++)
        code = tok_ids_add(ids, t->front[i], e);
    if (code == ERR_OK)
        code = encode_text(w, text, e);
    for (int i = 0; i < t->n_back && code == ERR_OK && flags & TOK_SPECIAL_ADD; i++)
        code = tok_ids_add(ids, t->back[i], e);
    if (code != ERR_OK)
        ids->n = before;
    return code;
}

err_code tokenizer_encode(const tokenizer *t, str text, unsigned flags, tok_ids *ids, err *e) {
    tok_work w;
    TRY(check_text(text, e));
    err_code code = work_open(&w, t, text.n >= CACHE_FROM_BYTES ? CACHE_WORDS : 0, e);
    if (code == ERR_OK)
        code = tokenizer_encode_with(&w, text, flags, ids, e);
    work_fini(&w);
    return code;
}

/* ---- ids to text ---- */

static err_code check_id(const tokenizer *t, int32_t id, err *e) {
    if (id < 0 || id >= t->v.n)
        return err_set(e, ERR_USAGE, "token id %d is outside the vocabulary, 0 to %d", id, t->v.n - 1);
    return ERR_OK;
}

static bool shows(const tokenizer *t, int32_t id, bool special) {
    return t->v.piece[id].n && (special || !tokenizer_is_control(t, id));
}

static err_code decode_all(const tokenizer *t, const int32_t *ids, size_t n, bool special, strbuf *out, err *e) {
    size_t from = out->n;
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        TRY(check_id(t, ids[i], e));
        if (!shows(t, ids[i], special))
            continue;
        TRY(decode_piece(&t->dec, t->v.piece[ids[i]], first, out, e));
        first = false;
    }
    return decode_whole(&t->dec, from, true, true, out, e);
}

err_code tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t n, bool special, strbuf *out, err *e) {
    size_t before = out->n;
    err_code code = decode_all(t, ids, n, special, out, e);
    if (code != ERR_OK)
        out->n = before;
    return code;
}

err_code tokenizer_decode_next(const tokenizer *t, size_t i_prev, int32_t id, bool special, strbuf *out, err *e) {
    TRY(check_id(t, id, e));
    if (!shows(t, id, special))
        return ERR_OK;
    size_t before = out->n;
    err_code code = decode_piece(&t->dec, t->v.piece[id], i_prev == 0, out, e);
    if (code == ERR_OK)
        code = decode_whole(&t->dec, before, i_prev == 0, false, out, e);
    if (code != ERR_OK)
        out->n = before;
    return code;
}

/* ---- what it has ---- */

int32_t tokenizer_n_vocab(const tokenizer *t) { return t->v.n; }

str tokenizer_piece(const tokenizer *t, int32_t id) { return id >= 0 && id < t->v.n ? t->v.piece[id] : (str){NULL, 0}; }

int32_t tokenizer_id_of(const tokenizer *t, str piece) { return vocab_find(&t->v, piece); }

bool tokenizer_is_control(const tokenizer *t, int32_t id) {
    return id >= 0 && id < t->v.n && (t->v.type[id] == VOCAB_CONTROL || t->v.type[id] == VOCAB_UNKNOWN);
}

int32_t tokenizer_bos(const tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const tokenizer *t) { return t->eos; }
bool tokenizer_is_end(const tokenizer *t, int32_t id) { return id >= 0 && id < t->v.n && t->is_end[id]; }
str tokenizer_chat_template(const tokenizer *t) { return t->chat_template; }
const char *tokenizer_kind(const tokenizer *t) { return t->kind; }
