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
    uint32_t mid, at; /* the place looked at, and where its suffix begins */
} search;

enum { AT_ONCE = 32 }; /* searches that go on side by side */

/* The suffix at `at`: *n bytes of it are those of the text, *below whether it is below the text. */
static bool compare(const search *q, uint32_t at, size_t from, size_t *n, bool *below) {
    const shard *s = q->s;
    if (at >= s->n)
        return false;
    size_t room = s->n - at, most = q->t_n < room ? q->t_n : room;
    *n = common(s->text + at, q->t, from < most ? from : most, most);
    *below = *n < q->t_n && (*n == room || s->text[at + *n] < q->t[*n]);
    return true;
}

static size_t known(const search *q) { return q->lo_n < q->hi_n ? q->lo_n : q->hi_n; }

static bool halve(search *q, bool begins_below) {
    size_t n = 0;
    bool below = false;
    if (!compare(q, q->at, known(q), &n, &below))
        return false;
    if (below || (begins_below && n == q->t_n)) {
        q->lo = q->mid + 1;
        q->lo_n = n;
    } else {
        q->hi = q->mid;
        q->hi_n = n;
    }
    return true;
}

/* Halves [lo, hi) of each of n <= AT_ONCE searches until it is empty. begins_below: a suffix that begins with the text
 * counts as below it. Nearly every comparison waits for memory, twice: so all searches ask for their place first, then
 * all for the text there, then all compare. */
static bool bisect(search *q, size_t n, bool begins_below) {
    uint8_t open[AT_ONCE];
    for (;;) {
        size_t n_open = 0;
        for (size_t i = 0; i < n; i++) {
            if (q[i].lo >= q[i].hi)
                continue;
            q[i].mid = q[i].lo + (q[i].hi - q[i].lo) / 2;
            __builtin_prefetch(q[i].s->order + q[i].mid);
            open[n_open++] = (uint8_t)i;
        }
        if (n_open == 0)
            return true;
        for (size_t k = 0; k < n_open; k++) {
            search *x = &q[open[k]];
            x->at = x->s->order[x->mid];
            if (x->at < x->s->n)
                __builtin_prefetch(x->s->text + x->at);
        }
        for (size_t k = 0; k < n_open; k++)
            if (!halve(&q[open[k]], begins_below))
                return false;
    }
}

/* Of each k[n], the first key that is not below it. Side by side, so that no search waits for another one's memory. */
static void key_bounds(const shard *s, const uint64_t *k, size_t n, uint32_t *bound) {
    for (size_t i = 0; i < n; i++)
        bound[i] = 0;
    uint32_t half;
    for (uint32_t left = s->n_keys; left > 0; left -= half) {
        half = (left + 1) / 2;
        for (size_t i = 0; i < n; i++)
            bound[i] += s->key[bound[i] + half - 1] < k[i] ? half : 0;
    }
}

/* The first key above each k[n]. */
static void keys_above(const shard *s, const uint64_t *k, size_t n, uint32_t *bound) {
    uint64_t next[AT_ONCE] = {0};
    for (size_t i = 0; i < n; i++)
        next[i] = k[i] + (k[i] < UINT64_MAX);
    key_bounds(s, next, n, bound);
    for (size_t i = 0; i < n; i++)
        bound[i] = k[i] < UINT64_MAX ? bound[i] : s->n_keys;
}

static uint32_t place_of_key(const shard *s, uint32_t i) { return i < s->n_keys ? i * SUFFIX_STRIDE : s->n; }

/* Between which places the place of each text[n <= AT_ONCE] is, as far as the keys tell. */
static void begin(const shard *s, const str *text, size_t n, search *q) {
    uint64_t k[AT_ONCE];
    uint32_t first[AT_ONCE], end[AT_ONCE];
    for (size_t i = 0; i < n; i++)
        k[i] = key_of((const uint8_t *)text[i].p, text[i].n);
    key_bounds(s, k, n, first);
    keys_above(s, k, n, end);
    for (size_t i = 0; i < n; i++) {
        uint32_t lo = first[i] > 0 ? (first[i] - 1) * SUFFIX_STRIDE + 1 : 0;
        q[i] = (search){.s = s, .t = (const uint8_t *)text[i].p, .t_n = text[i].n, .lo = lo};
        q[i].hi = place_of_key(s, end[i]);
    }
}

static err_code search_damage(const suffix *x, err *e) {
    return in_path(x, damaged(e, "a place is outside the text"), e);
}

/* The part of `text` before its first NUL: nothing with a NUL is anywhere. */
static str before_nul(str text) {
    const char *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
    return nul ? str_sub(text, 0, (size_t)(nul - text.p)) : text;
}

/* The longest is beside the text's own place. Of a neighbour perhaps only the key has been seen. */
static bool longest(const search *q, size_t *n) {
    const shard *s = q->s;
    bool below;
    size_t above_n = 0, below_n = 0;
    if (q->lo < s->n && !compare(q, s->order[q->lo], q->hi_n, &above_n, &below))
        return false;
    if (q->lo > 0 && above_n < q->t_n && !compare(q, s->order[q->lo - 1], q->lo_n, &below_n, &below))
        return false;
    *n = above_n > below_n ? above_n : below_n;
    return true;
}

static size_t together(size_t n) { return n < AT_ONCE ? n : AT_ONCE; }

err_code suffix_longest(const suffix *x, size_t i, const str *text, size_t n_texts, size_t *n, err *e) {
    search q[AT_ONCE];
    str whole[AT_ONCE];
    for (size_t done = 0, some; done < n_texts; done += some) {
        some = together(n_texts - done);
        for (size_t k = 0; k < some; k++)
            whole[k] = before_nul(text[done + k]);
        begin(&x->shard[i], whole, some, q);
        if (!bisect(q, some, false))
            return search_damage(x, e);
        for (size_t k = 0; k < some; k++)
            if (!longest(&q[k], &n[done + k]))
                return search_damage(x, e);
    }
    return ERR_OK;
}

/* Where to look for the ends of the ranges that begin at q[n].lo: behind the last key that a suffix can have that
 * begins with the text, its own for 8 bytes and more. */
static void begin_ends(const shard *s, search *q, size_t n) {
    uint64_t last[AT_ONCE];
    uint32_t seen[AT_ONCE], above[AT_ONCE];
    for (size_t k = 0; k < n; k++)
        last[k] = key_of(q[k].t, q[k].t_n) | (q[k].t_n < 8 ? UINT64_MAX >> 8 * q[k].t_n : 0);
    key_bounds(s, last, n, seen);
    keys_above(s, last, n, above);
    for (size_t k = 0; k < n; k++) {
        uint32_t from = seen[k] > 0 ? (seen[k] - 1) * SUFFIX_STRIDE : 0;
        q[k].lo = from > q[k].lo ? from : q[k].lo;
        q[k].hi = place_of_key(s, above[k]);
        q[k].lo_n = q[k].hi_n = 0;
    }
}

/* Of at most AT_ONCE texts without a NUL. Those that are there, one after another in q, are searched for their ends. */
static bool find_some(const shard *s, const str *text, size_t n, suffix_range *out) {
    search q[AT_ONCE];
    uint8_t of[AT_ONCE];
    size_t there = 0;
    begin(s, text, n, q);
    if (!bisect(q, n, false))
        return false;
    for (size_t k = 0; k < n; k++) {
        size_t length = 0;
        bool below;
        out[k] = (suffix_range){q[k].lo, q[k].lo};
        if (q[k].t_n == 0 || q[k].lo == s->n)
            continue;
        if (!compare(&q[k], s->order[q[k].lo], 0, &length, &below))
            return false;
        if (length < q[k].t_n)
            continue;
        of[there] = (uint8_t)k;
        q[there++] = q[k];
    }
    begin_ends(s, q, there);
    if (!bisect(q, there, true))
        return false;
    for (size_t k = 0; k < there; k++)
        out[of[k]].to = q[k].lo;
    return true;
}

/* A text with a NUL is nowhere, like an empty one. */
err_code suffix_find(const suffix *x, size_t i, const str *text, size_t n_texts, suffix_range *out, err *e) {
    str whole[AT_ONCE];
    for (size_t done = 0, some; done < n_texts; done += some) {
        some = together(n_texts - done);
        for (size_t k = 0; k < some; k++) {
            str t = text[done + k];
            whole[k] = before_nul(t).n == t.n ? t : (str){0};
        }
        if (!find_some(&x->shard[i], whole, some, out + done))
            return search_damage(x, e);
    }
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
