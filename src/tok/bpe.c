/* bpe: byte-pair encoding; see bpe.h. */
#include "tok/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "tok/word_key.h"

#define NONE UINT32_MAX

/* ---- GPT-2's spelling of bytes ---- */

static bool printable(int c) { return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff); }

/* The bytes that are not printable, in order, are U+0100, U+0101, ...: 00-20, 7F-A0, AD. */
size_t bpe_spell_byte(unsigned char byte, char out[2]) {
    int32_t cp = printable(byte) ? byte : byte <= 0x20 ? 0x100 + byte : byte <= 0xa0 ? 0x121 + byte - 0x7f : 0x143;
    char bytes[4];
    size_t n = utf8_put(cp, bytes);
    memcpy(out, bytes, n);
    return n;
}

int bpe_byte_of(int32_t cp) {
    if (cp >= 0 && cp < 0x100)
        return printable(cp) ? cp : -1;
    if (cp >= 0x100 && cp <= 0x120)
        return cp - 0x100;
    if (cp >= 0x121 && cp <= 0x142)
        return cp - 0x121 + 0x7f;
    return cp == 0x143 ? 0xad : -1;
}

/* ---- tables ---- */

static size_t merge_home(const bpe *b, uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 31) & b->merge_mask;
}

err_code bpe_merges_init(bpe *b, arena *a, uint64_t n, err *e) {
    if (n > 2 * (uint64_t)TOK_VOCAB_MAX)
        return err_set(e, ERR_LIMIT, "%llu merges; at most %d are supported", (unsigned long long)n, 2 * TOK_VOCAB_MAX);
    size_t slots = 16;
    while (slots < n + n / 2)
        slots *= 2;
    ARENA_NEW(a, b->merge, slots, e);
    b->merge_mask = slots - 1;
    for (size_t i = 0; i < slots; i++)
        b->merge[i].id = -1;
    return ERR_OK;
}

static bpe_merge *merge_slot(const bpe *b, uint32_t left, uint32_t right) {
    size_t i = merge_home(b, left, right);
    for (int probes = 0; probes < VOCAB_PROBES_MAX; probes++, i = (i + 1) & b->merge_mask) {
        bpe_merge *m = &b->merge[i];
        if (m->id < 0 || (m->left == left && m->right == right))
            return m;
    }
    return NULL;
}

err_code bpe_add(bpe *b, uint32_t rank, str left, str right, err *e) {
    char joint[512];
    strbuf big = {0};
    str whole = {joint, left.n + right.n};
    if (left.n + right.n <= sizeof joint) {
        if (left.n)
            memcpy(joint, left.p, left.n);
        if (right.n)
            memcpy(joint + left.n, right.p, right.n);
    } else {
        err_code code = strbuf_add(&big, left, e);
        if (code == ERR_OK)
            code = strbuf_add(&big, right, e);
        if (code != ERR_OK) {
            strbuf_fini(&big);
            return code;
        }
        whole = strbuf_str(&big);
    }
    int32_t l = vocab_find(b->v, left), r = vocab_find(b->v, right), id = vocab_find(b->v, whole);
    strbuf_fini(&big);
    if (l < 0 || r < 0 || id < 0)
        return err_set(e, ERR_FORMAT, "merge %u joins \"%.*s\" and \"%.*s\", but %s is not in the vocabulary", rank,
                       STR_ARG(left), STR_ARG(right),
                       l < 0   ? "the first"
                       : r < 0 ? "the second"
                               : "the whole");
    bpe_merge *m = merge_slot(b, (uint32_t)l, (uint32_t)r);
    if (!m)
        return err_set(e, ERR_LIMIT, "too many merges collide with merge %u", rank);
    *m = (bpe_merge){(uint32_t)l, (uint32_t)r, rank, id};
    return ERR_OK;
}

/* Scores as ranks: a float's bits, made to ascend as the score falls. Equal scores give equal ranks. */
static uint32_t rank_of_score(float score) {
    uint32_t u;
    score += 0.0f; /* -0 is 0 */
    memcpy(&u, &score, 4);
    u = u >> 31 ? ~u : u | 0x80000000u;
    return u == 0 ? NONE - 1 : ~u;
}

err_code bpe_scores_init(bpe *b, arena *a, err *e) {
    const vocab *v = b->v;
    ARENA_NEW(a, b->rank, (size_t)v->n, e);
    for (int32_t id = 0; id < v->n; id++) {
        /* User-defined pieces were cut out before; the rest of the text cannot spell one. */
        bool joins = (v->type[id] == VOCAB_NORMAL || v->type[id] == VOCAB_UNUSED) && v->piece[id].n;
        b->rank[id] = joins ? rank_of_score(v->score[id]) : NONE;
    }
    return ERR_OK;
}

/* Marks the bytes that stand right before a U+2581 inside a piece that a merge can make. */
static void mark_glued(bpe *b, str p) {
    for (size_t at = 1; at + 2 < p.n; at++)
        if (memcmp(p.p + at, "\xe2\x96\x81", 3) == 0)
            b->glued[(unsigned char)p.p[at - 1]] = true;
}

static int32_t char_id(const bpe *b, str c) {
    int32_t id = vocab_find(b->v, c);
    return id >= 0 && b->rank && b->rank[id] == NONE ? -1 : id;
}

void bpe_finish(bpe *b) {
    for (int c = 0; c < 256; c++) {
        char spelled[2];
        b->byte_id[c] = b->dialect == BPE_BYTES
                            ? vocab_find(b->v, (str){spelled, bpe_spell_byte((unsigned char)c, spelled)})
                            : vocab_byte_id(b->v, (unsigned char)c);
        if (c < 128) {
            char one = (char)c;
            b->ascii_id[c] = char_id(b, (str){&one, 1});
        }
    }
    if (b->dialect == BPE_SCORES)
        for (int32_t id = 0; id < b->v->n; id++) {
            if (b->rank[id] != NONE)
                mark_glued(b, b->v->piece[id]);
        }
    else if (b->dialect == BPE_CHARS && b->merge)
        for (size_t i = 0; i <= b->merge_mask; i++)
            if (b->merge[i].id >= 0)
                mark_glued(b, b->v->piece[b->merge[i].id]);
}

/* ---- one word ---- */

typedef struct {
    uint32_t at, len; /* bytes of the word; len 0: merged away */
    int32_t id;       /* -1: no piece (BPE_SCORES) */
    uint32_t prev, next;
} symbol;

typedef struct {
    uint64_t key; /* rank, then left symbol: the heap's order */
    uint32_t right, len;
    int32_t id;
} candidate;

enum { CACHE_WORD = 80, CACHE_IDS = 11, SHORT_WORD = 40, LINE = 64 };

/* What a word gave. Words of up to 16 bytes are told apart by the first line alone. */
typedef struct {
    _Alignas(LINE) word_key key;
    uint8_t n_word, n_ids; /* n_word 0: empty */
    int32_t id[CACHE_IDS];
    char middle[CACHE_WORD - WORD_KEY_BYTES]; /* of a longer word: between its first 8 bytes and its last 8 */
} cached;
_Static_assert(sizeof(cached) == 2 * LINE, "two lines");

struct bpe_work {
    symbol *sym;
    size_t n_sym, cap_sym;
    candidate *heap;
    size_t n_heap, cap_heap;
    uint32_t *split; /* by id: where an unused piece was last put together; NULL until one is */
    bool noted;      /* the word at hand has to do with unused pieces */
    strbuf spelled;
    cached *cache; /* NULL: none */
    size_t cache_mask;
};

err_code bpe_work_open(bpe_work **out, size_t n_words, err *e) {
    bpe_work *w = calloc(1, sizeof *w);
    if (w && n_words) {
        w->cache = aligned_alloc(LINE, n_words * sizeof *w->cache);
        w->cache_mask = n_words - 1;
    }
    if (!w || (n_words && !w->cache)) {
        free(w);
        return err_set(e, ERR_MEMORY, "no memory to tokenize");
    }
    for (size_t i = 0; i < n_words; i++)
        w->cache[i].n_word = 0;
    *out = w;
    return ERR_OK;
}

void bpe_work_begin(const bpe *b, bpe_work *w) {
    if (w->split)
        memset(w->split, 0, (size_t)b->v->n * sizeof *w->split);
}

void bpe_work_close(bpe_work *w) {
    if (!w)
        return;
    free(w->sym);
    free(w->heap);
    free(w->split);
    free(w->cache);
    strbuf_fini(&w->spelled);
    free(w);
}

static err_code add_symbol(bpe_work *w, size_t at, size_t len, int32_t id, err *e) {
    if (w->n_sym == w->cap_sym) {
        size_t cap = w->cap_sym ? w->cap_sym * 2 : 256;
        symbol *p = realloc(w->sym, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for %zu symbols", cap);
        w->sym = p;
        w->cap_sym = cap;
    }
    w->sym[w->n_sym++] = (symbol){.at = (uint32_t)at, .len = (uint32_t)len, .id = id};
    return ERR_OK;
}

static err_code split_bytes(const bpe *b, bpe_work *w, str word, err *e) {
    for (size_t i = 0; i < word.n; i++) {
        int32_t id = b->byte_id[(unsigned char)word.p[i]];
        if (id < 0)
            id = b->unk;
        if (id >= 0)
            TRY(add_symbol(w, i, 1, id, e));
    }
    return ERR_OK;
}

static bool has_bytes(const bpe *b, str c) {
    for (size_t i = 0; i < c.n; i++)
        if (b->byte_id[(unsigned char)c.p[i]] < 0)
            return false;
    return true;
}

/* Characters as the reference splits them; it puts an unknown run down when the next known character comes, so bytes
 * in between stand before it. */
static err_code split_chars(const bpe *b, bpe_work *w, str word, err *e) {
    size_t unk_at = 0, unk_len = 0;
    for (size_t at = 0; at < word.n;) {
        size_t from = at;
        int32_t cp = utf8_next(word, &at);
        str c = str_sub(word, from, at);
        int32_t id = cp >= 0 && cp < 128 ? b->ascii_id[cp] : vocab_find(b->v, c);
        if (id < 0 && b->byte_fallback && has_bytes(b, c)) {
            for (size_t i = 0; i < c.n; i++)
                TRY(add_symbol(w, from + i, 1, b->byte_id[(unsigned char)c.p[i]], e));
            continue;
        }
        if (id < 0 && b->unk < 0)
            continue;
        if (unk_len && (id >= 0 || !b->fuse_unk)) {
            TRY(add_symbol(w, unk_at, unk_len, b->unk, e));
            unk_len = 0;
        }
        if (id >= 0)
            TRY(add_symbol(w, from, c.n, id, e));
        else {
            unk_at = unk_len ? unk_at : from;
            unk_len += c.n;
        }
    }
    return unk_len ? add_symbol(w, unk_at, unk_len, b->unk, e) : ERR_OK;
}

static err_code split_pieces(const bpe *b, bpe_work *w, str word, err *e) {
    for (size_t at = 0; at < word.n;) {
        size_t from = at;
        int32_t cp = utf8_next(word, &at);
        int32_t id = cp >= 0 && cp < 128 ? b->ascii_id[cp] : char_id(b, str_sub(word, from, at));
        TRY(add_symbol(w, from, at - from, id, e));
    }
    return ERR_OK;
}

/* May these two neighbours merge? */
static bool pair(const bpe *b, str word, const symbol *l, const symbol *r, uint32_t *rank, int32_t *id) {
    if (b->dialect == BPE_SCORES) {
        size_t n = (size_t)l->len + r->len;
        *id = n > b->v->piece_bytes_max ? -1 : vocab_find(b->v, (str){word.p + l->at, n});
        *rank = *id < 0 ? NONE : b->rank[*id];
        return *rank != NONE;
    }
    if (!b->merge)
        return false;
    const bpe_merge *m = merge_slot(b, (uint32_t)l->id, (uint32_t)r->id);
    if (!m || m->id < 0)
        return false;
    *rank = m->rank;
    *id = m->id;
    return true;
}

/* SentencePiece remembers how a piece that must not be put out was made, to take it apart again. */
static err_code note_unused(const bpe *b, bpe_work *w, int32_t id, uint32_t left_len, err *e) {
    if (b->dialect != BPE_SCORES || b->v->type[id] != VOCAB_UNUSED)
        return ERR_OK;
    w->noted = true;
    if (!w->split)
        w->split = calloc((size_t)b->v->n, sizeof *w->split);
    if (!w->split)
        return err_set(e, ERR_MEMORY, "no memory to tokenize");
    w->split[id] = left_len;
    return ERR_OK;
}

/* Short words: ranks beside an array of symbols, the least found by looking. */
static err_code merge_short(const bpe *b, bpe_work *w, str word, err *e) {
    symbol *s = w->sym;
    uint32_t rank[SHORT_WORD + 1];
    int32_t id[SHORT_WORD + 1];
    for (size_t i = 0; i + 1 < w->n_sym; i++) {
        if (!pair(b, word, &s[i], &s[i + 1], &rank[i], &id[i]))
            rank[i] = NONE;
        else
            TRY(note_unused(b, w, id[i], s[i].len, e));
    }
    while (w->n_sym > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < w->n_sym; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NONE)
            break;
        s[best].len += s[best + 1].len;
        s[best].id = id[best];
        w->n_sym--;
        memmove(&s[best + 1], &s[best + 2], (w->n_sym - best - 1) * sizeof *s);
        memmove(&rank[best], &rank[best + 1], (w->n_sym - best) * sizeof *rank);
        memmove(&id[best], &id[best + 1], (w->n_sym - best) * sizeof *id);
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < w->n_sym; i++) {
            if (!pair(b, word, &s[i], &s[i + 1], &rank[i], &id[i]))
                rank[i] = NONE;
            else
                TRY(note_unused(b, w, id[i], s[i].len, e));
        }
    }
    return ERR_OK;
}

static err_code push(const bpe *b, bpe_work *w, str word, uint32_t left, uint32_t right, err *e) {
    uint32_t rank;
    int32_t id;
    if (!pair(b, word, &w->sym[left], &w->sym[right], &rank, &id))
        return ERR_OK;
    TRY(note_unused(b, w, id, w->sym[left].len, e));
    if (w->n_heap == w->cap_heap) {
        size_t cap = w->cap_heap ? w->cap_heap * 2 : 256;
        candidate *p = realloc(w->heap, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for %zu merges", cap);
        w->heap = p;
        w->cap_heap = cap;
    }
    candidate c = {(uint64_t)rank << 32 | left, right, w->sym[left].len + w->sym[right].len, id};
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2].key > c.key; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
    return ERR_OK;
}

static candidate pop(bpe_work *w) {
    candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < w->n_heap; i = c) {
        if (c + 1 < w->n_heap && w->heap[c + 1].key < w->heap[c].key)
            c++;
        if (w->heap[c].key >= last.key)
            break;
        w->heap[i] = w->heap[c];
    }
    w->heap[i] = last;
    return top;
}

static err_code merge_long(const bpe *b, bpe_work *w, str word, err *e) {
    uint32_t n = (uint32_t)w->n_sym;
    w->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->sym[i].prev = i ? i - 1 : NONE;
        w->sym[i].next = i + 1 < n ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i + 1 < n; i++)
        TRY(push(b, w, word, i, i + 1, e));
    while (w->n_heap) {
        candidate c = pop(w);
        uint32_t left = (uint32_t)c.key;
        symbol *l = &w->sym[left], *r = &w->sym[c.right];
        if (!l->len || !r->len || l->len + r->len != c.len)
            continue; /* one of the two has merged with another since */
        l->len = c.len;
        l->id = c.id;
        r->len = 0;
        l->next = r->next;
        if (l->next != NONE) {
            w->sym[l->next].prev = left;
            TRY(push(b, w, word, left, l->next, e));
        }
        if (l->prev != NONE)
            TRY(push(b, w, word, l->prev, left, e));
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (w->sym[i].len)
            w->sym[kept++] = w->sym[i];
    w->n_sym = kept;
    return ERR_OK;
}

/* SentencePiece: a symbol that is no piece is its bytes, or one unknown token for a whole run. */
static err_code put_piece(const bpe *b, const bpe_work *w, str word, symbol s, size_t first, tok_ids *ids, err *e) {
    while (s.id >= 0 && b->v->type[s.id] == VOCAB_UNUSED && w->split && w->split[s.id] && w->split[s.id] < s.len) {
        symbol left = {.at = s.at, .len = w->split[s.id]};
        left.id = vocab_find(b->v, (str){word.p + left.at, left.len});
        if (left.id >= 0 && b->v->type[left.id] == VOCAB_UNUSED && w->split[left.id]) {
            /* Both halves may be unused; the left one is taken apart by recursion as deep as pieces
             * are long, so only a byte's worth of halves is followed. */
            if (left.len < 256)
                TRY(put_piece(b, w, word, left, first, ids, e));
            else
                TRY(tok_ids_add(ids, left.id, e));
        } else
            TRY(put_piece(b, w, word, left, first, ids, e));
        s.at += left.len;
        s.len -= left.len;
        s.id = vocab_find(b->v, (str){word.p + s.at, s.len});
        if (s.id >= 0 && b->rank[s.id] == NONE)
            s.id = -1;
    }
    if (s.id >= 0)
        return tok_ids_add(ids, s.id, e);
    str text = str_sub(word, s.at, s.at + s.len);
    if (b->byte_fallback && has_bytes(b, text)) {
        for (size_t i = 0; i < text.n; i++)
            TRY(tok_ids_add(ids, b->byte_id[(unsigned char)text.p[i]], e));
        return ERR_OK;
    }
    if (b->unk < 0 || (b->fuse_unk && ids->n > first && ids->id[ids->n - 1] == b->unk))
        return ERR_OK;
    return tok_ids_add(ids, b->unk, e);
}

static err_code merge_word(const bpe *b, bpe_work *w, str word, size_t first, tok_ids *ids, err *e) {
    w->n_sym = 0;
    TRY(b->dialect == BPE_BYTES   ? split_bytes(b, w, word, e)
        : b->dialect == BPE_CHARS ? split_chars(b, w, word, e)
                                  : split_pieces(b, w, word, e));
    TRY(w->n_sym <= SHORT_WORD ? merge_short(b, w, word, e) : merge_long(b, w, word, e));
    for (size_t i = 0; i < w->n_sym; i++)
        TRY(b->dialect == BPE_SCORES ? put_piece(b, w, word, w->sym[i], first, ids, e)
                                     : tok_ids_add(ids, w->sym[i].id, e));
    return ERR_OK;
}

/* ignore_merges: the word's own id, or -1. */
static err_code whole_word(const bpe *b, bpe_work *w, str word, int32_t *id, err *e) {
    if (b->dialect != BPE_BYTES) {
        *id = vocab_find(b->v, word);
        return ERR_OK;
    }
    *id = -1;
    if (word.n > b->v->piece_bytes_max)
        return ERR_OK;
    w->spelled.n = 0;
    for (size_t i = 0; i < word.n; i++) {
        char c[2];
        TRY(strbuf_add(&w->spelled, (str){c, bpe_spell_byte((unsigned char)word.p[i], c)}, e));
    }
    *id = vocab_find(b->v, strbuf_str(&w->spelled));
    return ERR_OK;
}

/* The place in the cache of a word of 1 to CACHE_WORD bytes, and whether it is that word's. */
static cached *look(const bpe_work *w, str word, word_key *key, bool *known) {
    *key = word_key_of(word);
    uint64_t hash = word.n <= WORD_KEY_BYTES ? word_key_hash(*key, word.n) : vocab_hash(word);
    cached *c = &w->cache[hash & w->cache_mask];
    *known = c->key.lo == key->lo && c->key.hi == key->hi && c->n_word == word.n &&
             (word.n <= WORD_KEY_BYTES || memcmp(c->middle, word.p + 8, word.n - WORD_KEY_BYTES) == 0);
    return c;
}

static void remember(cached *c, str word, word_key key, const int32_t *id, size_t n) {
    c->key = key;
    c->n_word = (uint8_t)word.n;
    c->n_ids = (uint8_t)n;
    memcpy(c->id, id, n * sizeof *id);
    if (word.n > WORD_KEY_BYTES)
        memcpy(c->middle, word.p + 8, word.n - WORD_KEY_BYTES);
}

static err_code encode_word(const bpe *b, bpe_work *w, str word, size_t first, tok_ids *ids, err *e) {
    if (word.n > BPE_WORD_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%zu bytes without a break; at most %d are supported", word.n, BPE_WORD_BYTES_MAX);
    cached *c = NULL;
    word_key key = {0, 0};
    if (w->cache && word.n <= CACHE_WORD) {
        bool known;
        c = look(w, word, &key, &known);
        if (known) {
            for (int i = 0; i < c->n_ids; i++)
                TRY(tok_ids_add(ids, c->id[i], e));
            return ERR_OK;
        }
    }
    size_t before = ids->n;
    int32_t id = -1;
    w->noted = false;
    if (b->whole_words)
        TRY(whole_word(b, w, word, &id, e));
    if (id >= 0)
        TRY(tok_ids_add(ids, id, e));
    else
        TRY(merge_word(b, w, word, first, ids, e));
    size_t n = ids->n - before;
    /* Unknown runs join across words, so what a word gives may depend on the one before it. */
    bool alone = b->dialect != BPE_SCORES || b->byte_fallback || n == 0 ||
                 (ids->id[before] != b->unk && (before == first || ids->id[before - 1] != b->unk));
    if (c && n && n <= CACHE_IDS && alone && !w->noted)
        remember(c, word, key, ids->id + before, n);
    return ERR_OK;
}

/* Where no piece holds x U+2581, no merge crosses the place between the two: the words on either side merge as if
 * alone. U+2581 itself ends in byte 81, so a vocabulary with runs of spaces keeps them whole. */
static size_t word_end(const bpe *b, str s, size_t from) {
    for (size_t at = from + 1; at + 3 <= s.n; at++) {
        const char *p = memchr(s.p + at, 0xe2, s.n - at);
        if (!p || (at = (size_t)(p - s.p)) + 3 > s.n)
            break;
        if (memcmp(p, "\xe2\x96\x81", 3) == 0 && !b->glued[(unsigned char)p[-1]])
            return at;
    }
    return s.n;
}

err_code bpe_encode(const bpe *b, bpe_work *w, str word, tok_ids *ids, err *e) {
    size_t first = ids->n;
    bool whole = b->whole_words || b->dialect == BPE_BYTES;
    /* An unknown run of the characters' dialect must not be cut. */
    if (b->dialect == BPE_CHARS && b->unk >= 0 && !b->byte_fallback)
        whole = true;
    for (size_t at = 0, end; at < word.n; at = end) {
        end = whole ? word.n : word_end(b, word, at);
        TRY(encode_word(b, w, str_sub(word, at, end), first, ids, e));
    }
    return ERR_OK;
}
