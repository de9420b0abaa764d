/* suffix: see suffix.h. */
#include "trace/suffix.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "trace/suffix_format.h"

typedef struct {
    const uint8_t *text;
    const uint32_t *order;
    const uint64_t *key;
    const uint32_t *start;
    const int64_t *id;
    uint32_t n, n_keys, n_docs;
    uint64_t bytes; /* from text to the end of id */
    hash256 sha256;
} shard;

struct suffix {
    os_map map; /* of suffix_open() */
    char *path; /* likewise; NULL */
    const uint8_t *p;
    size_t n_bytes;
    suffix_totals totals;
    shard *shard; /* [totals.n_shards] */
};

/* ---- opening ---- */

#define AGAIN "make it anew: loam trace index"

static err_code damaged(err *e, const char *what) {
    return err_set(e, ERR_FORMAT, "the index is damaged: %s (%s)", what, AGAIN);
}

static bool is_zero(const void *p, size_t n) {
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        if (b[i])
            return false;
    return true;
}

static err_code read_ends(const uint8_t *p, size_t n, suffix_foot *f, err *e) {
    suffix_head h;
    if (n < sizeof h || memcmp(p, SUFFIX_MAGIC, 8) != 0)
        return err_set(e, ERR_FORMAT, "is no index of a data set (loam trace index makes one)");
    memcpy(&h, p, sizeof h);
    if (h.version != SUFFIX_VERSION)
        return err_set(e, ERR_FORMAT, "is an index of version %" PRIu32 "; this Loam reads version %d (%s)", h.version,
                       SUFFIX_VERSION, AGAIN);
    if (n < sizeof h + sizeof *f)
        return damaged(e, "it is cut off");
    memcpy(f, p + n - sizeof *f, sizeof *f);
    if (memcmp(f->magic, SUFFIX_MAGIC, 8) != 0 || f->file_bytes != n)
        return damaged(e, "it is cut off, or there is something behind it");
    if (f->version != SUFFIX_VERSION || f->zero2 || f->zero3 || !is_zero(h.zero, sizeof h.zero) ||
        !is_zero(f->zero, sizeof f->zero))
        return damaged(e, "its first or last bytes are not as they were written");
    return ERR_OK;
}

static err_code check_directory(const uint8_t *p, size_t n, const suffix_foot *f, err *e) {
    uint64_t before = n - sizeof *f;
    if (f->n_shards < 1 || f->n_shards > SUFFIX_SHARDS_MAX || f->directory % SUFFIX_ALIGN || f->directory > before ||
        before - f->directory != f->n_shards * sizeof(suffix_shard))
        return damaged(e, "its directory is not where it should be");
    hash_state *h;
    TRY(hash_open(&h, e));
    hash_add(h, p + f->directory, (size_t)(before - f->directory));
    hash_add(h, f, offsetof(suffix_foot, sha256));
    hash256 is = hash_close(h);
    if (memcmp(is.byte, f->sha256.byte, sizeof is.byte) != 0)
        return damaged(e, "the SHA-256 of its directory is another one");
    return ERR_OK;
}

static err_code read_shard(const uint8_t *p, const suffix_foot *f, size_t i, uint64_t *at, shard *s, err *e) {
    suffix_shard d;
    memcpy(&d, p + f->directory + i * sizeof d, sizeof d);
    if (d.at != suffix_pad(*at, SUFFIX_ALIGN) || d.n < 2 || d.n > SUFFIX_SHARD_BYTES_MAX || d.n_docs < 1 ||
        d.n_docs > d.n / 2 || d.zero)
        return damaged(e, "an entry of its directory makes no sense");
    suffix_places w = suffix_places_of(d.n, d.n_docs);
    if (d.at > f->directory || w.end > f->directory - d.at)
        return damaged(e, "a shard reaches into its directory");
    const uint8_t *base = p + d.at;
    *s = (shard){
        .text = base,
        .order = (const uint32_t *)(const void *)(base + w.order),
        .key = (const uint64_t *)(const void *)(base + w.key),
        .start = (const uint32_t *)(const void *)(base + w.start),
        .id = (const int64_t *)(const void *)(base + w.id),
        .n = (uint32_t)d.n,
        .n_keys = (uint32_t)w.n_keys,
        .n_docs = (uint32_t)d.n_docs,
        .bytes = w.end,
        .sha256 = d.sha256,
    };
    *at = d.at + w.end;
    return ERR_OK;
}

static err_code open_in(suffix *x, const uint8_t *p, size_t n, err *e) {
    suffix_foot f;
    TRY(read_ends(p, n, &f, e));
    TRY(check_directory(p, n, &f, e));
    x->p = p;
    x->n_bytes = n;
    x->totals = (suffix_totals){(size_t)f.n_shards, f.n_docs, f.text_bytes, n, f.source, f.digest};
    x->shard = calloc(x->totals.n_shards, sizeof *x->shard);
    if (!x->shard)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu shards", x->totals.n_shards);
    uint64_t at = sizeof(suffix_head), docs = 0, bytes = 0;
    for (size_t i = 0; i < x->totals.n_shards; i++) {
        TRY(read_shard(p, &f, i, &at, &x->shard[i], e));
        docs += x->shard[i].n_docs;
        bytes += x->shard[i].n - x->shard[i].n_docs;
    }
    if (suffix_pad(at, SUFFIX_ALIGN) != f.directory || docs != f.n_docs || bytes != f.text_bytes)
        return damaged(e, "its shards are not all of it");
    return n <= SUFFIX_CHECK_BYTES ? suffix_check(x, NULL, e) : ERR_OK;
}

err_code suffix_open_bytes(suffix **out, const uint8_t *p, size_t n, err *e) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory to open an index");
    err_code code = open_in(*out, p, n, e);
    if (code != ERR_OK) {
        suffix_close(*out);
        *out = NULL;
    }
    return code;
}

err_code suffix_open(suffix **out, const char *path, err *e) {
    os_map map;
    *out = NULL;
    TRY(os_map_open(&map, path, e));
    err_code code = suffix_open_bytes(out, map.p, map.n, e);
    char *kept = code == ERR_OK ? strdup(path) : NULL;
    if (code == ERR_OK && !kept) {
        suffix_close(*out);
        *out = NULL;
        code = err_set(e, ERR_MEMORY, "no memory to open an index");
    }
    if (code != ERR_OK) {
        os_map_close(&map);
        return err_in(e, code, "%s", path);
    }
    (*out)->map = map;
    (*out)->path = kept;
    return ERR_OK;
}

void suffix_close(suffix *x) {
    if (!x)
        return;
    os_map_close(&x->map);
    free(x->path);
    free(x->shard);
    free(x);
}

suffix_totals suffix_totals_of(const suffix *x) { return x->totals; }

static err_code in_path(const suffix *x, err_code code, err *e) {
    return code == ERR_OK || !x->path ? code : err_in(e, code, "%s", x->path);
}

typedef struct {
    const suffix *x;
    bool bad[POOL_THREADS_MAX];
} checking;

static void check_part(void *ctx, int part, int n_parts) {
    checking *c = ctx;
    for (size_t i = (size_t)part; i < c->x->totals.n_shards; i += (size_t)n_parts) {
        const shard *s = &c->x->shard[i];
        hash256 h = hash_of(s->text, s->bytes);
        c->bad[part] |= memcmp(h.byte, s->sha256.byte, sizeof h.byte) != 0;
    }
}

err_code suffix_check(const suffix *x, pool *workers, err *e) {
    checking c = {.x = x};
    pool_run(workers, check_part, &c);
    for (int i = 0; i < POOL_THREADS_MAX; i++)
        if (c.bad[i])
            return in_path(x, damaged(e, "the SHA-256 of a shard is another one"), e);
    return ERR_OK;
}

/* ---- searching ---- */

static uint64_t key_of(const uint8_t *p, size_t n) {
    uint64_t k = 0;
    for (size_t i = 0; i < 8; i++)
        k = k << 8 | (i < n ? p[i] : 0);
    return k;
}

/* Length of the common beginning of a and b, of at most n bytes, known to be at least `from`. */
static size_t common(const uint8_t *a, const uint8_t *b, size_t from, size_t n) {
    size_t i = from;
    while (i + 8 <= n) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            break;
        i += 8;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* A search has order[lo - 1] < text <= order[hi] in the shard's order, or in the second phase what begins with `text`
 * counts as below it; lo_n and hi_n bytes are common to `text` and order[lo - 1] and order[hi]. */
typedef struct {
    const shard *s;
    const uint8_t *t;
    size_t t_n;
    uint32_t lo, hi;
    size_t lo_n, hi_n;
} search;

/* The suffix at place i: *n bytes of it are those of the text, *below whether it is below the text. */
static bool compare(const search *q, uint32_t i, size_t from, size_t *n, bool *below) {
    const shard *s = q->s;
    uint32_t at = s->order[i];
    if (at >= s->n)
        return false;
    size_t room = s->n - at, most = q->t_n < room ? q->t_n : room;
    *n = common(s->text + at, q->t, from < most ? from : most, most);
    *below = *n < q->t_n && (*n == room || s->text[at + *n] < q->t[*n]);
    return true;
}

/* Halves [lo, hi) until it is empty. begins_below: a suffix that begins with the text counts as below it. */
static bool bisect(search *q, bool begins_below) {
    while (q->lo < q->hi) {
        uint32_t mid = q->lo + (q->hi - q->lo) / 2;
        size_t n = 0, from = q->lo_n < q->hi_n ? q->lo_n : q->hi_n;
        bool below = false;
        if (!compare(q, mid, from, &n, &below))
            return false;
        if (below || (begins_below && n == q->t_n)) {
            q->lo = mid + 1;
            q->lo_n = n;
        } else {
            q->hi = mid;
            q->hi_n = n;
        }
    }
    return true;
}

/* The first key that is not below k (above: that is above k). */
static uint32_t key_bound(const shard *s, uint64_t k, bool above) {
    uint32_t lo = 0, hi = s->n_keys;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->key[mid] < k || (above && s->key[mid] == k))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Between which places the text's own place is, as far as the keys tell. */
static search begin(const shard *s, str text) {
    search q = {.s = s, .t = (const uint8_t *)text.p, .t_n = text.n, .hi = s->n};
    uint64_t k = key_of(q.t, q.t_n);
    uint32_t first = key_bound(s, k, false), end = key_bound(s, k, true);
    if (first > 0)
        q.lo = (first - 1) * SUFFIX_STRIDE + 1;
    if (end < s->n_keys)
        q.hi = end * SUFFIX_STRIDE;
    return q;
}

static err_code search_damage(const suffix *x, err *e) {
    return in_path(x, damaged(e, "a place is outside the text"), e);
}

/* The part of `text` before its first NUL: nothing with a NUL is anywhere. */
static str before_nul(str text) {
    const char *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
    return nul ? str_sub(text, 0, (size_t)(nul - text.p)) : text;
}

err_code suffix_longest(const suffix *x, size_t i, str text, size_t *n, err *e) {
    const shard *s = &x->shard[i];
    *n = 0;
    text = before_nul(text);
    if (text.n == 0)
        return ERR_OK;
    search q = begin(s, text);
    if (!bisect(&q, false))
        return search_damage(x, e);
    /* The longest is beside the text's own place. Of a neighbour perhaps only the key has been seen. */
    bool below;
    size_t above_n = 0, below_n = 0;
    if (q.lo < s->n && !compare(&q, q.lo, q.hi_n, &above_n, &below))
        return search_damage(x, e);
    if (q.lo > 0 && above_n < text.n && !compare(&q, q.lo - 1, q.lo_n, &below_n, &below))
        return search_damage(x, e);
    *n = above_n > below_n ? above_n : below_n;
    return ERR_OK;
}

err_code suffix_find(const suffix *x, size_t i, str text, suffix_range *out, err *e) {
    const shard *s = &x->shard[i];
    *out = (suffix_range){0, 0};
    if (text.n == 0 || before_nul(text).n < text.n)
        return ERR_OK;
    search q = begin(s, text);
    uint32_t end = s->n;
    if (text.n >= 8) /* what begins with it has its key */
        end = q.hi;
    if (!bisect(&q, false))
        return search_damage(x, e);
    out->from = out->to = q.lo;
    size_t n = 0;
    bool below;
    if (q.lo == s->n)
        return ERR_OK;
    if (!compare(&q, q.lo, 0, &n, &below))
        return search_damage(x, e);
    if (n < text.n)
        return ERR_OK;
    if (text.n < 8) { /* the first key above every one that begins with the text */
        uint64_t last = key_of(q.t, q.t_n) | (UINT64_MAX >> 8 * text.n);
        uint32_t above = key_bound(s, last, true);
        uint32_t seen = key_bound(s, last, false);
        q.lo = seen > 0 && (seen - 1) * SUFFIX_STRIDE > q.lo ? (seen - 1) * SUFFIX_STRIDE : q.lo;
        end = above < s->n_keys ? above * SUFFIX_STRIDE : s->n;
    }
    q.hi = end;
    q.lo_n = q.hi_n = 0;
    if (!bisect(&q, true))
        return search_damage(x, e);
    out->to = q.lo;
    return ERR_OK;
}

/* ---- documents ---- */

static uint32_t doc_of(const shard *s, uint32_t at) {
    uint32_t lo = 0, hi = s->n_docs; /* start[lo] <= at < start[hi] */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->start[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* hit[].id is the number of the document in the shard until all have been seen: numbers ascend as ids do. */
err_code suffix_docs(const suffix *x, size_t i, suffix_range r, size_t most, suffix_hit *hit, size_t *n, err *e) {
    const shard *s = &x->shard[i];
    uint32_t end = UINT32_MAX; /* nothing from here on can get into the list */
    *n = 0;
    for (uint32_t k = r.from; k < r.to && most > 0; k++) {
        uint32_t at = s->order[k];
        if (at >= end)
            continue;
        uint32_t d = at < s->n ? doc_of(s, at) : 0;
        if (at >= s->n || s->start[d] > at)
            return search_damage(x, e);
        suffix_hit h = {d, at - s->start[d]};
        size_t j = *n;
        while (j > 0 && hit[j - 1].id >= h.id)
            j--;
        if (j < *n && hit[j].id == h.id) {
            hit[j].offset = h.offset < hit[j].offset ? h.offset : hit[j].offset;
            continue;
        }
        if (j == most)
            continue;
        size_t keep = *n < most ? *n : most - 1;
        memmove(hit + j + 1, hit + j, (keep - j) * sizeof *hit);
        hit[j] = h;
        *n = keep + 1;
        if (*n == most)
            end = s->start[hit[most - 1].id + 1];
    }
    for (size_t j = 0; j < *n; j++)
        hit[j].id = s->id[hit[j].id];
    return ERR_OK;
}
