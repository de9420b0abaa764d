/* unigram: Viterbi segmentation; see unigram.h. */
#include "tok/unigram.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

#define UNK_PENALTY 10.0

typedef struct {
    double score;
    int32_t id;
    uint32_t from; /* NOWHERE: not reached */
} node;
#define NOWHERE UINT32_MAX

err_code unigram_open(unigram *u, const vocab *v, const double *score, int32_t unk, bool float32, bool byte_fallback,
                      err *e) {
    *u = (unigram){.v = v, .score = score, .unk = unk, .float32 = float32, .byte_fallback = byte_fallback};
    u->fuse_unk = true;
    double min = DBL_MAX, max = -DBL_MAX;
    for (int32_t id = 0; id < v->n; id++) {
        int t = v->type[id];
        /* SentencePiece matches only what it may put out; Hugging Face matches every entry. */
        if (float32 && t != VOCAB_NORMAL && t != VOCAB_USER)
            continue;
        TRY(trie_put(&u->pieces, v->piece[id], id, e));
        if (float32 && t != VOCAB_NORMAL)
            continue;
        if (v->piece[id].n == 0)
            continue;
        min = score[id] < min ? score[id] : min;
        max = score[id] > max ? score[id] : max;
    }
    if (min > max)
        min = max = 0;
    u->unk_score = float32 ? (double)((float)min - (float)UNK_PENALTY) : min - UNK_PENALTY;
    u->user_score = max;
    for (int b = 0; b < 256; b++)
        u->byte_id[b] = vocab_byte_id(v, (unsigned char)b);
    return ERR_OK;
}

void unigram_fini(unigram *u) { trie_fini(&u->pieces); }

/* One way to reach a place: kept when it is the first or strictly better. */
static void offer(const unigram *u, node *to, uint32_t from, int32_t id, double score) {
    if (u->float32)
        score = (double)(float)score;
    if (to->from != NOWHERE && score <= to->score)
        return;
    *to = (node){score, id, from};
}

static void forward(const unigram *u, str s, node *best) {
    for (size_t i = 0; i <= s.n; i++)
        best[i] = (node){.from = NOWHERE};
    for (size_t at = 0, next = 0; at < s.n; at = next) {
        double here = best[at].score;
        bool whole_char = false;
        uint32_t walk = 0;
        utf8_next(s, &next);
        for (size_t i = at; i < s.n && trie_step(&u->pieces, &walk, (unsigned char)s.p[i]); i++) {
            int32_t id = u->pieces.value[walk];
            if (id < 0)
                continue;
            size_t end = i + 1;
            double score = u->score[id];
            if (u->float32 && u->v->type[id] == VOCAB_USER)
                score = (double)((float)(end - at) * (float)u->user_score) - 0.1;
            offer(u, &best[end], (uint32_t)at, id, score + here);
            whole_char = whole_char || end == next;
        }
        if (!whole_char)
            offer(u, &best[next], (uint32_t)at, u->unk,
                  u->float32 ? (double)((float)u->unk_score + (float)here) : u->unk_score + here);
    }
}

static err_code put_unknown(const unigram *u, str text, tok_ids *ids, err *e) {
    if (!u->float32 && vocab_find(u->v, text) >= 0) /* Hugging Face looks the joined run up once more */
        return tok_ids_add(ids, vocab_find(u->v, text), e);
    bool bytes = u->byte_fallback;
    for (size_t i = 0; i < text.n && bytes; i++)
        bytes = u->byte_id[(unsigned char)text.p[i]] >= 0;
    for (size_t i = 0; i < text.n && bytes; i++)
        TRY(tok_ids_add(ids, u->byte_id[(unsigned char)text.p[i]], e));
    if (bytes)
        return ERR_OK;
    if (u->unk < 0)
        return err_set(e, ERR_FORMAT, "text has a character without a piece, and the vocabulary has no unknown token");
    return tok_ids_add(ids, u->unk, e);
}

/* Walks back to mark the cuts, then forward to put the pieces out. A run of unknown characters is one. */
static err_code backward(const unigram *u, str s, node *best, tok_ids *ids, err *e) {
    size_t end = s.n;
    uint32_t to = NOWHERE;
    while (end > 0) { /* reverse the chain: `from` becomes the next cut */
        uint32_t from = best[end].from;
        best[end].from = to;
        to = (uint32_t)end;
        end = from;
    }
    for (size_t at = 0; to != NOWHERE; to = best[at].from) {
        size_t stop = to;
        if (best[stop].id != u->unk) {
            TRY(tok_ids_add(ids, best[stop].id, e));
            at = stop;
            continue;
        }
        while (u->fuse_unk && best[stop].from != NOWHERE && best[best[stop].from].id == u->unk)
            stop = best[stop].from;
        TRY(put_unknown(u, str_sub(s, at, stop), ids, e));
        at = stop;
    }
    return ERR_OK;
}

err_code unigram_encode(const unigram *u, str text, tok_ids *ids, err *e) {
    if (text.n == 0)
        return ERR_OK;
    if (text.n > UNIGRAM_TEXT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%zu bytes without a break; at most %d are supported", text.n,
                       UNIGRAM_TEXT_BYTES_MAX);
    node *best = malloc((text.n + 1) * sizeof *best);
    if (!best)
        return err_set(e, ERR_MEMORY, "no memory to tokenize %zu bytes", text.n);
    forward(u, text, best);
    err_code code = backward(u, text, best, ids, e);
    free(best);
    return code;
}
