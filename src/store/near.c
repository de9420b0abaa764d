/* near: see near.h. */
#include "store/near.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(NEAR_BANDS *NEAR_ROWS <= SHINGLE_BINS, "bands are cut from the sketch");

/* ---- candidates ---- */

/* A slot of the table of buckets: the first text of its bucket or NEAR_NONE, and bits of its key, which tell nearly all
 * other keys without looking at them. */
typedef struct {
    uint32_t text, tag;
} bucket;

/* What one thread finds: its bands' pairs, with a table of buckets that each band uses anew. */
typedef struct {
    bucket *head;   /* [slots] */
    uint32_t *next; /* [n] the text after this one in its bucket, or NEAR_NONE */
    uint64_t *key;  /* [n] of the band, spread over all bits */
    near_pair *pair;
    size_t n, cap, n_unique;
    err_code code;
} finder;

typedef struct {
    const shingle_sketch *sketch;
    size_t n, first, slots;
    uint32_t min_agree;
    finder *finder;
} search;

static int compare_pairs(const void *a, const void *b) {
    const near_pair *x = a, *y = b;
    if (x->text != y->text)
        return x->text < y->text ? -1 : 1;
    if (x->agree != y->agree)
        return x->agree > y->agree ? -1 : 1;
    return (x->earlier > y->earlier) - (x->earlier < y->earlier);
}

static void sort_unique(finder *f) {
    if (f->n == 0)
        return;
    qsort(f->pair, f->n, sizeof *f->pair, compare_pairs);
    size_t n = 1;
    for (size_t i = 1; i < f->n; i++)
        if (compare_pairs(&f->pair[i], &f->pair[n - 1]) != 0)
            f->pair[n++] = f->pair[i];
    f->n = f->n_unique = n;
}

static bool add_pair(finder *f, near_pair pair) {
    if (f->n == f->cap && f->n > 2 * f->n_unique)
        sort_unique(f); /* the same pair comes from several bands */
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 1024;
        near_pair *p = realloc(f->pair, cap * sizeof *p);
        if (!p)
            return false;
        f->pair = p;
        f->cap = cap;
    }
    f->pair[f->n++] = pair;
    return true;
}

/* The band's bytes times an odd number: equal where they are. */
static uint64_t band_key(const shingle_sketch *s, int band) {
    uint64_t key = 0;
    memcpy(&key, s->byte + band * NEAR_ROWS, NEAR_ROWS);
    return key * 0x9e3779b97f4a7c15u;
}

static size_t first_slot(const search *s, uint64_t key) { return (size_t)(key >> 20) & (s->slots - 1); }

/* The bucket's slot: linear probing. */
static bucket *slot_of(const search *s, const finder *f, uint64_t key) {
    size_t slot = first_slot(s, key);
    uint32_t tag = (uint32_t)(key >> 32);
    while (f->head[slot].text != NEAR_NONE && (f->head[slot].tag != tag || f->key[f->head[slot].text] != key))
        slot = (slot + 1) & (s->slots - 1);
    f->head[slot].tag = tag;
    return &f->head[slot];
}

/* Compares text i with the members of its bucket; where the next member belongs, or NULL: no memory. */
static uint32_t *compare_bucket(const search *s, finder *f, size_t i, uint32_t *link, int *members) {
    *members = 0;
    for (; *link != NEAR_NONE; link = &f->next[*link], ++*members) {
        uint32_t agree = i < s->first ? 0 : (uint32_t)shingle_agree(&s->sketch[i], &s->sketch[*link]);
        if (i >= s->first && agree >= s->min_agree && !add_pair(f, (near_pair){(uint32_t)i, *link, agree}))
            return NULL;
    }
    return link;
}

/* Texts in order: each is compared with the bucket's members, and joins them while they are few. The table is larger
 * than caches: what will be needed is asked for AHEAD texts before. */
static bool search_band(const search *s, finder *f, int band) {
    enum { AHEAD = 16 };
    memset(f->head, 0xff, s->slots * sizeof *f->head);
    for (size_t i = 0; i < s->n; i++)
        f->key[i] = band_key(&s->sketch[i], band);
    for (size_t i = 0; i < s->n; i++) {
        if (i + AHEAD < s->n)
            __builtin_prefetch(&f->head[first_slot(s, f->key[i + AHEAD])], 1);
        int members;
        uint32_t *link = compare_bucket(s, f, i, &slot_of(s, f, f->key[i])->text, &members);
        if (!link)
            return false;
        if (members < NEAR_BUCKET) {
            *link = (uint32_t)i;
            f->next[i] = NEAR_NONE;
        }
    }
    return true;
}

static void search_part(void *ctx, int part, int n_parts) {
    search *s = ctx;
    finder *f = &s->finder[part];
    if (part >= NEAR_BANDS)
        return;
    f->head = malloc(s->slots * sizeof *f->head);
    f->next = malloc(s->n * sizeof *f->next);
    f->key = malloc(s->n * sizeof *f->key);
    bool good = f->head && f->next && f->key;
    for (int band = part; band < NEAR_BANDS && good; band += n_parts)
        good = search_band(s, f, band);
    f->code = good ? ERR_OK : ERR_MEMORY;
    free(f->head);
    free(f->next);
    free(f->key);
}

/* All finders' pairs into the first one's, the best NEAR_CHOICES of each text. */
static bool merge(finder *f, int n_finders) {
    for (int i = 1; i < n_finders; i++)
        for (size_t k = 0; k < f[i].n; k++)
            if (!add_pair(f, f[i].pair[k]))
                return false;
    sort_unique(f);
    size_t n = 0, of_text = 0;
    for (size_t i = 0; i < f->n; i++) {
        of_text = i > 0 && f->pair[i].text == f->pair[i - 1].text ? of_text + 1 : 0;
        near_pair pair = f->pair[i];
        if (of_text < NEAR_CHOICES)
            f->pair[n++] = pair;
    }
    f->n = n;
    return true;
}

err_code near_candidates(const shingle_sketch *sketch, size_t n, size_t first, pool *workers, int min_agree,
                         near_pair **pairs, size_t *n_pairs, err *e) {
    *pairs = NULL;
    *n_pairs = 0;
    if (n < 2 || first >= n)
        return ERR_OK;
    assert(n <= NEAR_TEXTS_MAX);
    search s = {.sketch = sketch, .n = n, .first = first, .slots = 1, .min_agree = (uint32_t)min_agree};
    while (s.slots < 2 * n)
        s.slots *= 2;
    int n_finders = pool_threads(workers);
    s.finder = calloc((size_t)n_finders, sizeof *s.finder);
    if (!s.finder)
        return err_set(e, ERR_MEMORY, "no memory to look for near-duplicates");
    pool_run(workers, search_part, &s);
    bool good = true;
    for (int i = 0; i < n_finders; i++)
        good = good && s.finder[i].code == ERR_OK;
    good = good && merge(s.finder, n_finders);
    for (int i = good ? 1 : 0; i < n_finders; i++)
        free(s.finder[i].pair);
    if (good) {
        *pairs = s.finder[0].pair;
        *n_pairs = s.finder[0].n;
    }
    free(s.finder);
    return good ? ERR_OK : err_set(e, ERR_MEMORY, "no memory to look for near-duplicates among %zu documents", n);
}

int near_min_agree(double threshold) {
    /* A byte agrees with probability s + (1 - s) / 256; 128 of them vary by at most 5.7, s = 1/2; near 0.8 by 4.5. */
    int agree = (int)(SHINGLE_BINS * (threshold + (1 - threshold) / 256)) - 20;
    return agree > 0 ? agree : 0;
}

/* ---- verification ---- */

enum { BLOCK_BYTES = 32 << 20, BLOCK_PAIRS = 1 << 16 };

typedef struct {
    size_t from, n; /* the text's bytes in the block's buffer */
} span;

/* A block of pairs whose texts are in memory, each text of `text` once, each `earlier` once a pair. */
typedef struct {
    const near_pair *pair;
    size_t n;
    strbuf bytes;
    span *text, *earlier; /* [BLOCK_PAIRS] */
    double *similarity;   /* [BLOCK_PAIRS] */
    err_code code[POOL_THREADS_MAX];
} block;

static err_code fetch_span(block *b, near_fetch *fetch, void *ctx, uint32_t i, span *out, err *e) {
    out->from = b->bytes.n;
    TRY(fetch(ctx, i, &b->bytes, e));
    out->n = b->bytes.n - out->from;
    return ERR_OK;
}

/* Takes whole groups (pairs of one text) up to the block's size, one group at least. */
static err_code fill_block(block *b, const near_pair *pairs, size_t n_pairs, near_fetch *fetch, void *ctx, err *e) {
    b->pair = pairs;
    b->n = 0;
    b->bytes.n = 0;
    while (b->n < n_pairs && b->n + NEAR_CHOICES <= BLOCK_PAIRS && b->bytes.n < BLOCK_BYTES) {
        span text;
        uint32_t i = pairs[b->n].text;
        TRY(fetch_span(b, fetch, ctx, i, &text, e));
        for (; b->n < n_pairs && pairs[b->n].text == i; b->n++) {
            b->text[b->n] = text;
            TRY(fetch_span(b, fetch, ctx, pairs[b->n].earlier, &b->earlier[b->n], e));
        }
    }
    return ERR_OK;
}

static str span_str(const block *b, span s) { return (str){b->bytes.p + s.from, s.n}; }

static void verify_part(void *ctx, int part, int n_parts) {
    block *b = ctx;
    size_t from, to;
    shingle_set one = {0}, other = {0};
    err_code code = ERR_OK;
    pool_share(b->n, 1, part, n_parts, &from, &to);
    for (size_t i = from; i < to && code == ERR_OK; i++) {
        if (i == from || b->pair[i].text != b->pair[i - 1].text)
            code = shingle_set_of(span_str(b, b->text[i]), &one, NULL);
        if (code == ERR_OK)
            code = shingle_set_of(span_str(b, b->earlier[i]), &other, NULL);
        if (code == ERR_OK)
            b->similarity[i] = shingle_jaccard(&one, &other);
    }
    b->code[part] = code;
    shingle_set_fini(&one);
    shingle_set_fini(&other);
}

static void mark_block(const block *b, double threshold, near_mark *mark) {
    for (size_t i = 0; i < b->n; i++) {
        near_pair p = b->pair[i];
        near_mark *m = &mark[p.text];
        bool better = b->similarity[i] > m->similarity || (b->similarity[i] == m->similarity && p.earlier < m->earlier);
        if (b->similarity[i] >= threshold && mark[p.earlier].earlier == NEAR_NONE && better)
            *m = (near_mark){p.earlier, b->similarity[i]};
    }
}

static err_code verify(block *b, const near_pair *pairs, size_t n_pairs, double threshold, near_fetch *fetch, void *ctx,
                       pool *workers, const volatile int *stop, near_mark *mark, err *e) {
    for (size_t done = 0; done < n_pairs; done += b->n) {
        TRY(fill_block(b, pairs + done, n_pairs - done, fetch, ctx, e));
        pool_run(workers, verify_part, b);
        for (int i = 0; i < pool_threads(workers); i++)
            if (b->code[i] != ERR_OK)
                return err_set(e, b->code[i], "no memory to compare documents");
        mark_block(b, threshold, mark);
        if (stop && *stop)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    return ERR_OK;
}

err_code near_marks(const near_pair *pairs, size_t n_pairs, double threshold, near_fetch *fetch, void *ctx,
                    pool *workers, const volatile int *stop, near_mark *mark, err *e) {
    block *b = calloc(1, sizeof *b);
    err_code code = ERR_OK;
    if (b) {
        b->text = malloc(BLOCK_PAIRS * sizeof *b->text);
        b->earlier = malloc(BLOCK_PAIRS * sizeof *b->earlier);
        b->similarity = malloc(BLOCK_PAIRS * sizeof *b->similarity);
    }
    if (!b || !b->text || !b->earlier || !b->similarity)
        code = err_set(e, ERR_MEMORY, "no memory to compare documents");
    for (size_t i = 0; i < n_pairs; i++)
        mark[pairs[i].text] = (near_mark){NEAR_NONE, 0};
    if (code == ERR_OK)
        code = verify(b, pairs, n_pairs, threshold, fetch, ctx, workers, stop, mark, e);
    if (b) {
        strbuf_fini(&b->bytes);
        free(b->text);
        free(b->earlier);
        free(b->similarity);
    }
    free(b);
    return code;
}
