/* bpe_learn: see bpe_learn.h for what is learnt.
 *
 * All different words lie one after another in cells, a cell a byte, with an END before, between and behind:
 *
 *   END  t  h  e  END  ...        a piece of n bytes: its id, and -n in its second and in its last cell, so that
 *   END  [the -3 -3]  END         both neighbours are found in one look; cells in between hold what is no id
 *
 * The places of a pair are the cells of its left piece, ascending. Places that have merged with something else stay
 * listed and are seen through when their turn comes. What a step changes is summed by neighbour first, so the table of
 * pairs is asked once for a pair and not once for a place.
 *
 * No piece is made twice. Say (c, d) spelled what (a, b) had made before. Where c d stand side by side, no merge ever
 * crossed the ends of that span, so inside it the merges went as in every such span, and (a, b) had merged there too.
 * So the pairs of a new piece are new, all their places are found in the step that makes it, and a pair has one entry,
 * whose count can only fall.
 */
#include "tok/bpe_learn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "tok/bpe.h"

enum { END = INT32_MIN, INSIDE = INT32_MIN + 1, STEPS_BETWEEN_CALLS = 16, AHEAD = 12 };
#define NO_PAIR UINT64_MAX
#define NO_LIST UINT32_MAX

typedef struct {
    uint64_t pair; /* left << 32 | right */
    int64_t count;
} pair_slot;

typedef struct {
    size_t at;  /* in place[]; of a list that is free: the next free one */
    uint32_t n; /* 0: free */
} place_list;

typedef struct {
    uint64_t count, pair;
    uint32_t list;
} entry;

/* What a step does to the pairs of the new piece and one neighbour. */
typedef struct {
    int64_t gained, lost;
    uint32_t n; /* places gained */
    uint32_t list, filled;
    bool touched;
} change;

typedef struct {
    uint32_t id, at;
} event; /* a place at which the neighbour `id` now stands beside the new piece */

/* One side: neighbours on the left of the new piece, or on its right. */
typedef struct {
    change *of;        /* by id */
    uint32_t *touched; /* ids */
    size_t n_touched;
    event *event;
    size_t n_event, cap_event;
} side;

typedef struct {
    const bpe_learn_options *o;
    bpe_learnt *out;
    vocab v; /* pieces as bytes; a special token stands here as the bytes that would spell it, if any */
    size_t n_pieces;

    int32_t *cell;
    uint32_t *word_at; /* by cell */
    size_t n_cells;
    uint64_t *count; /* by word */
    size_t n_words;

    pair_slot *slot;
    size_t mask, n_slots;
    entry *heap;
    size_t n_heap, cap_heap;
    place_list *list;
    uint32_t n_list, cap_list, free_list;
    uint32_t *place;
    size_t n_place, cap_place, live; /* used, had, used by lists that are not free */
    side left, right;
    bpe_learnt_merge *merge;
    size_t n_merges, cap_merges;
} learner;

static uint64_t pair_of(uint32_t left, uint32_t right) { return (uint64_t)left << 32 | right; }

/* Room for one more of n; *p is realloc'ed when there is none. */
static err_code room(void **p, size_t n, size_t *cap, size_t size, err *e) {
    if (n < *cap)
        return ERR_OK;
    size_t more = *cap ? *cap * 2 : 1024;
    void *q = more > *cap && more <= SIZE_MAX / size ? realloc(*p, more * size) : NULL;
    if (!q)
        return err_set(e, ERR_MEMORY, "no memory for %zu x %zu bytes to learn merges", more, size);
    *p = q;
    *cap = more;
    return ERR_OK;
}

static err_code blank(void **p, size_t n, size_t size, err *e) {
    *p = calloc(n ? n : 1, size);
    return *p ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for %zu x %zu bytes to learn merges", n, size);
}
#define BLANK(ptr, n, e) TRY(blank((void **)&(ptr), (n), sizeof *(ptr), (e)))

/* ---- counts of pairs ---- */

static pair_slot *find_pair(const learner *l, uint64_t pair) {
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    for (size_t i = (h ^ h >> 32) & l->mask;; i = (i + 1) & l->mask)
        if (l->slot[i].pair == pair || l->slot[i].pair == NO_PAIR)
            return &l->slot[i];
}

/* A larger table, or one of the same size without the pairs that have gone. */
static err_code renew_pairs(learner *l, err *e) {
    size_t n_old = l->slot ? l->mask + 1 : 0, n_live = 0;
    for (size_t i = 0; i < n_old; i++)
        n_live += l->slot[i].pair != NO_PAIR && l->slot[i].count != 0;
    size_t n = 1 << 12;
    while (n < 3 * n_live)
        n *= 2;
    pair_slot *old = l->slot, *slot = malloc(n * sizeof *slot);
    if (!slot)
        return err_set(e, ERR_MEMORY, "no memory for a table of %zu pairs", n);
    for (size_t i = 0; i < n; i++)
        slot[i] = (pair_slot){NO_PAIR, 0};
    l->slot = slot;
    l->mask = n - 1;
    l->n_slots = n_live;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].pair != NO_PAIR && old[i].count != 0)
            *find_pair(l, old[i].pair) = old[i];
    free(old);
    return ERR_OK;
}

static err_code add_to_pair(learner *l, uint64_t pair, int64_t count, int64_t *total, err *e) {
    if (4 * l->n_slots >= 3 * l->mask)
        TRY(renew_pairs(l, e));
    pair_slot *s = find_pair(l, pair);
    if (s->pair == NO_PAIR) {
        *s = (pair_slot){pair, 0};
        l->n_slots++;
    }
    s->count += count;
    *total = s->count;
    return ERR_OK;
}

/* ---- entries ---- */

static bool comes_before(const entry *a, const entry *b) {
    return a->count != b->count ? a->count > b->count : a->pair < b->pair;
}

static err_code push(learner *l, entry x, err *e) {
    TRY(room((void **)&l->heap, l->n_heap, &l->cap_heap, sizeof *l->heap, e));
    size_t i = l->n_heap++;
    for (; i > 0 && comes_before(&x, &l->heap[(i - 1) / 4]); i = (i - 1) / 4)
        l->heap[i] = l->heap[(i - 1) / 4];
    l->heap[i] = x;
    return ERR_OK;
}

/* Puts x in the place of the first entry. */
static void replace_first(learner *l, entry x) {
    size_t i = 0;
    for (size_t from; (from = 4 * i + 1) < l->n_heap;) {
        size_t best = from, to = from + 4 < l->n_heap ? from + 4 : l->n_heap;
        for (size_t c = from + 1; c < to; c++)
            if (comes_before(&l->heap[c], &l->heap[best]))
                best = c;
        if (!comes_before(&l->heap[best], &x))
            break;
        l->heap[i] = l->heap[best];
        i = best;
    }
    l->heap[i] = x;
}

static void drop_first(learner *l) {
    entry last = l->heap[--l->n_heap];
    if (l->n_heap)
        replace_first(l, last);
}

/* ---- places ---- */

/* Room for n more places: all live lists move together into a larger block. */
static err_code renew_places(learner *l, size_t n, err *e) {
    size_t cap = l->live + l->live / 2 + n + (1 << 16);
    uint32_t *place = malloc(cap * sizeof *place);
    if (!place)
        return err_set(e, ERR_MEMORY, "no memory for %zu places of pairs", cap);
    size_t at = 0;
    for (uint32_t i = 0; i < l->n_list; i++) {
        if (l->list[i].n == 0)
            continue;
        memcpy(place + at, l->place + l->list[i].at, l->list[i].n * sizeof *place);
        l->list[i].at = at;
        at += l->list[i].n;
    }
    free(l->place);
    l->place = place;
    l->n_place = at;
    l->cap_place = cap;
    return ERR_OK;
}

static err_code new_list(learner *l, uint32_t n, uint32_t *out, err *e) {
    if (n > l->cap_place - l->n_place)
        TRY(renew_places(l, n, e));
    if (l->free_list != NO_LIST) {
        *out = l->free_list;
        l->free_list = (uint32_t)l->list[*out].at;
    } else {
        size_t cap = l->cap_list;
        if (l->n_list == NO_LIST - 1)
            return err_set(e, ERR_LIMIT, "more than %u pairs at once", NO_LIST - 1);
        TRY(room((void **)&l->list, l->n_list, &cap, sizeof *l->list, e));
        l->cap_list = cap < NO_LIST ? (uint32_t)cap : NO_LIST - 1;
        *out = l->n_list++;
    }
    l->list[*out] = (place_list){l->n_place, n};
    l->n_place += n;
    l->live += n;
    return ERR_OK;
}

static void free_places(learner *l, uint32_t list) {
    l->live -= l->list[list].n;
    l->list[list] = (place_list){.at = l->free_list};
    l->free_list = list;
}

/* An entry of n places for a pair that now counts `total`; *list is NO_LIST when that is too few. */
static err_code new_entry(learner *l, uint64_t pair, int64_t total, uint32_t n, uint32_t *list, err *e) {
    *list = NO_LIST;
    if (total <= 0 || (uint64_t)total < l->o->min_count)
        return ERR_OK;
    TRY(new_list(l, n, list, e));
    return push(l, (entry){(uint64_t)total, pair, *list}, e);
}

/* ---- cells ---- */

static uint32_t next_of(const learner *l, uint32_t at) {
    int32_t c = l->cell[at + 1];
    return c >= 0 || c == END ? at + 1 : at + (uint32_t)-c;
}

/* The piece that ends right before cell `at`, or 0: there is none. */
static uint32_t before(const learner *l, uint32_t at) {
    int32_t c = l->cell[at - 1];
    return c == END ? 0 : c >= 0 ? at - 1 : at - (uint32_t)-c;
}

static err_code note(side *s, uint32_t id, uint32_t at, int64_t count, err *e) {
    change *c = &s->of[id];
    c->gained += count;
    c->n++;
    TRY(room((void **)&s->event, s->n_event, &s->cap_event, sizeof *s->event, e));
    s->event[s->n_event++] = (event){id, at};
    return ERR_OK;
}

static void lose(side *s, uint32_t id, int64_t count) {
    change *c = &s->of[id];
    if (!c->touched) {
        c->touched = true;
        s->touched[s->n_touched++] = id;
    }
    c->lost += count;
}

/* The pieces at i and j become z. */
static err_code merge_at(learner *l, uint32_t i, uint32_t j, uint32_t z, err *e) {
    uint32_t end = next_of(l, j), p = before(l, i), n = end - i;
    int64_t count = (int64_t)l->count[l->word_at[i]];
    l->cell[j] = INSIDE;
    l->cell[i] = (int32_t)z;
    l->cell[i + 1] = l->cell[end - 1] = -(int32_t)n;
    if (p) {
        uint32_t id = (uint32_t)l->cell[p];
        lose(&l->left, id, count);
        if (end - p <= l->o->piece_bytes_max)
            TRY(note(&l->left, id, p, count, e));
    }
    if (l->cell[end] != END) {
        uint32_t id = (uint32_t)l->cell[end];
        lose(&l->right, id, count);
        if (next_of(l, end) - i <= l->o->piece_bytes_max)
            TRY(note(&l->right, id, i, count, e));
    }
    return ERR_OK;
}

static err_code merge_places(learner *l, const place_list *places, uint32_t a, uint32_t b, uint32_t z, err *e) {
    const uint32_t *at = l->place + places->at;
    for (uint32_t k = 0; k < places->n; k++) {
        if (k + AHEAD < places->n) {
            __builtin_prefetch(&l->cell[at[k + AHEAD]]);
            __builtin_prefetch(&l->word_at[at[k + AHEAD]]);
        }
        uint32_t i = at[k];
        if (l->cell[i] != (int32_t)a)
            continue;
        uint32_t j = next_of(l, i);
        if (l->cell[j] == (int32_t)b)
            TRY(merge_at(l, i, j, z, e));
    }
    return ERR_OK;
}

/* ---- one step ---- */

/* The new places on one side become entries. */
static err_code settle(learner *l, side *s, uint32_t z, bool on_left, err *e) {
    for (size_t k = 0; k < s->n_touched; k++) {
        uint32_t id = s->touched[k];
        change *c = &s->of[id];
        int64_t total = 0;
        c->list = NO_LIST;
        if (c->n == 0)
            continue;
        uint64_t pair = on_left ? pair_of(id, z) : pair_of(z, id);
        TRY(add_to_pair(l, pair, c->gained, &total, e));
        TRY(new_entry(l, pair, total, c->n, &c->list, e));
    }
    for (size_t k = 0; k < s->n_event; k++) {
        change *c = &s->of[s->event[k].id];
        if (c->list != NO_LIST)
            l->place[l->list[c->list].at + c->filled++] = s->event[k].at;
    }
    return ERR_OK;
}

static void clear(side *s) {
    for (size_t k = 0; k < s->n_touched; k++)
        s->of[s->touched[k]] = (change){0};
    s->n_touched = s->n_event = 0;
}

/* (p, a) and (b, n) have lost what (p, z) and (z, n) gain. */
static err_code count_changes(learner *l, uint32_t a, uint32_t b, uint32_t z, err *e) {
    int64_t total;
    for (size_t k = 0; k < l->left.n_touched; k++) {
        uint32_t p = l->left.touched[k];
        if (l->left.of[p].lost)
            TRY(add_to_pair(l, pair_of(p, a), -l->left.of[p].lost, &total, e));
    }
    for (size_t k = 0; k < l->right.n_touched; k++) {
        uint32_t n = l->right.touched[k];
        if (l->right.of[n].lost)
            TRY(add_to_pair(l, pair_of(b, n), -l->right.of[n].lost, &total, e));
    }
    TRY(settle(l, &l->left, z, true, e));
    TRY(settle(l, &l->right, z, false, e));
    clear(&l->left);
    clear(&l->right);
    return ERR_OK;
}

/* A new id for a and b in one, or the special token that they must not become. */
static err_code join(learner *l, uint32_t a, uint32_t b, uint32_t *z, strbuf *whole, err *e) {
    whole->n = 0;
    TRY(strbuf_add(whole, l->v.piece[a], e));
    TRY(strbuf_add(whole, l->v.piece[b], e));
    int32_t known = vocab_find(&l->v, strbuf_str(whole));
    assert(known < (int32_t)l->o->n_special);
    *z = known >= 0 ? (uint32_t)known : (uint32_t)l->n_pieces;
    if (known >= 0)
        return ERR_OK;
    l->n_pieces++;
    return vocab_put(&l->v, &l->out->mem, (int32_t)*z, strbuf_str(whole), VOCAB_NORMAL, e);
}

static err_code step(learner *l, strbuf *whole, err *e) {
    entry top = l->heap[0];
    const pair_slot *s = find_pair(l, top.pair);
    int64_t now = s->pair == NO_PAIR ? 0 : s->count;
    if (now < 0 || (uint64_t)now < l->o->min_count) {
        drop_first(l);
        free_places(l, top.list);
        return ERR_OK;
    }
    if ((uint64_t)now != top.count) {
        top.count = (uint64_t)now;
        replace_first(l, top);
        return ERR_OK;
    }
    drop_first(l);
    uint32_t a = (uint32_t)(top.pair >> 32), b = (uint32_t)top.pair, z;
    TRY(join(l, a, b, &z, whole, e));
    if (z >= l->o->n_special) {
        const place_list places = l->list[top.list];
        TRY(room((void **)&l->merge, l->n_merges, &l->cap_merges, sizeof *l->merge, e));
        l->merge[l->n_merges++] = (bpe_learnt_merge){a, b, z};
        TRY(merge_places(l, &places, a, b, z, e));
        TRY(count_changes(l, a, b, z, e));
    }
    free_places(l, top.list);
    return ERR_OK;
}

/* ---- beginning and end ---- */

/* The bytes that GPT-2's spelling `s` stands for into *out; false when it is no such spelling. */
static err_code unspell(str s, strbuf *out, bool *whole, err *e) {
    out->n = 0;
    *whole = true;
    for (size_t at = 0; at < s.n && *whole;) {
        int byte = bpe_byte_of(utf8_next(s, &at));
        *whole = byte >= 0;
        if (*whole)
            TRY(strbuf_addc(out, (char)byte, e));
    }
    return ERR_OK;
}

/* Special tokens and bytes; id_of: by byte. */
static err_code first_pieces(learner *l, uint32_t id_of[BPE_LEARN_BYTES_N], err *e) {
    const bpe_learn_options *o = l->o;
    size_t n = o->n_vocab > o->n_special + BPE_LEARN_BYTES_N ? o->n_vocab : o->n_special + BPE_LEARN_BYTES_N;
    strbuf bytes = {0};
    err_code code = vocab_init(&l->v, &l->out->mem, n, e);
    for (size_t i = 0; i < o->n_special && code == ERR_OK; i++) {
        bool spells = false;
        code = unspell(o->special[i], &bytes, &spells, e);
        if (code == ERR_OK && spells)
            code = vocab_put(&l->v, &l->out->mem, (int32_t)i, strbuf_str(&bytes), VOCAB_CONTROL, e);
    }
    strbuf_fini(&bytes);
    TRY(code);
    l->n_pieces = o->n_special;
    for (int32_t cp = 0; cp < 0x144; cp++) {
        int byte = bpe_byte_of(cp);
        if (byte < 0)
            continue;
        char one = (char)byte;
        id_of[byte] = (uint32_t)l->n_pieces;
        TRY(vocab_put(&l->v, &l->out->mem, (int32_t)l->n_pieces++, (str){&one, 1}, VOCAB_NORMAL, e));
    }
    BLANK(l->left.of, n, e);
    BLANK(l->right.of, n, e);
    BLANK(l->left.touched, n, e);
    BLANK(l->right.touched, n, e);
    return ERR_OK;
}

/* Words of one byte hold no pair and are left out. */
static err_code lay_out(learner *l, const word_table *words, const uint32_t id_of[BPE_LEARN_BYTES_N], err *e) {
    uint64_t n_cells = 2;
    for (size_t i = 0; words->slot && i <= words->mask; i++)
        if (words->slot[i].n > 1) {
            n_cells += words->slot[i].n + 1;
            l->n_words++;
        }
    if (n_cells > BPE_LEARN_WORD_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "the different words have %llu bytes; at most %llu are supported (train on less)",
                       (unsigned long long)n_cells, (unsigned long long)BPE_LEARN_WORD_BYTES_MAX);
    l->n_cells = (size_t)n_cells;
    BLANK(l->cell, l->n_cells, e);
    BLANK(l->word_at, l->n_cells, e);
    BLANK(l->count, l->n_words, e);
    uint32_t at = 0, word = 0;
    l->cell[at++] = END;
    for (size_t i = 0; words->slot && i <= words->mask; i++) {
        char room_for[WORD_INLINE_BYTES];
        if (words->slot[i].n <= 1)
            continue;
        str bytes = word_slot_bytes(&words->slot[i], room_for);
        l->count[word] = words->slot[i].count;
        for (size_t k = 0; k < bytes.n; k++, at++) {
            l->cell[at] = (int32_t)id_of[(unsigned char)bytes.p[k]];
            l->word_at[at] = word;
        }
        l->cell[at++] = END;
        word++;
    }
    l->cell[at] = END;
    return ERR_OK;
}

/* Pairs of bytes: few enough for a square table. */
static err_code first_entries(learner *l, err *e) {
    enum { N = BPE_LEARN_BYTES_N };
    change *of;
    uint32_t base = (uint32_t)l->o->n_special;
    BLANK(of, N * N, e);
    for (size_t i = 1; i + 1 < l->n_cells; i++) {
        if (l->cell[i] == END || l->cell[i + 1] == END)
            continue;
        change *c = &of[((uint32_t)l->cell[i] - base) * N + ((uint32_t)l->cell[i + 1] - base)];
        c->gained += (int64_t)l->count[l->word_at[i]];
        c->n++;
    }
    err_code code = renew_pairs(l, e);
    for (uint32_t k = 0; k < N * N && code == ERR_OK; k++) {
        uint64_t pair = pair_of(base + k / N, base + k % N);
        int64_t total = 0;
        of[k].list = NO_LIST;
        if (of[k].n == 0)
            continue;
        code = add_to_pair(l, pair, of[k].gained, &total, e);
        if (code == ERR_OK)
            code = new_entry(l, pair, total, of[k].n, &of[k].list, e);
    }
    for (size_t i = 1; i + 1 < l->n_cells && code == ERR_OK; i++) {
        if (l->cell[i] == END || l->cell[i + 1] == END)
            continue;
        change *c = &of[((uint32_t)l->cell[i] - base) * N + ((uint32_t)l->cell[i + 1] - base)];
        if (c->list != NO_LIST)
            l->place[l->list[c->list].at + c->filled++] = (uint32_t)i;
    }
    free(of);
    return code;
}

static err_code hand_over(learner *l, err *e) {
    bpe_learnt *out = l->out;
    ARENA_NEW(&out->mem, out->piece, l->n_pieces, e);
    ARENA_NEW(&out->mem, out->merge, l->n_merges, e);
    for (size_t i = 0; i < l->n_pieces; i++) {
        out->piece[i] = i < l->o->n_special ? arena_str(&out->mem, l->o->special[i]) : l->v.piece[i];
        if (!out->piece[i].p)
            return arena_short(e, l->o->special[i].n, 1);
    }
    if (l->n_merges)
        memcpy(out->merge, l->merge, l->n_merges * sizeof *out->merge);
    out->n_pieces = l->n_pieces;
    out->n_merges = l->n_merges;
    return ERR_OK;
}

static err_code learn(learner *l, word_table *words, strbuf *whole, err *e) {
    const bpe_learn_options *o = l->o;
    uint32_t id_of[BPE_LEARN_BYTES_N];
    TRY(first_pieces(l, id_of, e));
    TRY(lay_out(l, words, id_of, e));
    word_table_fini(words);
    TRY(first_entries(l, e));
    for (size_t n = 0; l->n_heap && l->n_pieces < o->n_vocab; n++) {
        if (n % STEPS_BETWEEN_CALLS == 0) {
            if (o->cancel && *o->cancel)
                return err_set(e, ERR_CANCELLED, "stopped");
            if (o->on_step)
                o->on_step(o->ctx, l->n_pieces, o->n_vocab);
        }
        TRY(step(l, whole, e));
    }
    return hand_over(l, e);
}

err_code bpe_learn(word_table *words, const bpe_learn_options *o, bpe_learnt *out, err *e) {
    learner l = {.o = o, .out = out, .free_list = NO_LIST};
    strbuf whole = {0};
    err_code code = learn(&l, words, &whole, e);
    strbuf_fini(&whole);
    void *const owned[] = {l.cell,       l.word_at,  l.count,         l.slot,       l.heap,
                           l.list,       l.place,    l.merge,         l.left.of,    l.left.touched,
                           l.left.event, l.right.of, l.right.touched, l.right.event};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    return code;
}

void bpe_learnt_fini(bpe_learnt *l) {
    arena_fini(&l->mem);
    *l = (bpe_learnt){0};
}
