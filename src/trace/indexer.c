/* indexer: see indexer.h. */
#include "trace/indexer.h"

#include <divsufsort.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/outfile.h"
#include "trace/suffix_format.h"

/* A shard being made: filled by the calling thread, sorted by one thread, written by the calling thread. */
typedef struct {
    uint8_t *text;
    size_t n, cap;
    uint32_t *start; /* [n_docs + 1] */
    int64_t *id;
    size_t n_docs, cap_docs;
    uint32_t *order;
    uint64_t *key;
    size_t n_sorted; /* what order and key were allocated for */
    suffix_places w;
    hash256 sha256;
    err error;
} work;

typedef struct {
    const indexer_options *o;
    size_t shard_bytes;
    work *work; /* [n_work] one a thread */
    int n_work;
    outfile *f;
    suffix_shard *dir;
    size_t n_shards, cap_shards;
    int64_t last_id;
    uint64_t n_docs, bytes;
} indexer;

/* ---- filling ---- */

static void clear(work *w) {
    os_pages_free(w->order, w->n_sorted * sizeof *w->order);
    os_pages_free(w->key, w->w.n_keys * sizeof *w->key);
    w->order = NULL;
    w->key = NULL;
    w->n = w->n_docs = w->n_sorted = 0;
}

static void work_fini(work *w) {
    clear(w);
    os_pages_free(w->text, w->cap);
    free(w->start);
    free(w->id);
}

static err_code room(work *w, size_t bytes, size_t shard_bytes, err *e) {
    if (w->n == 0 && w->cap < bytes) { /* the first document decides: one that is too long has a shard of its own */
        size_t cap = bytes > shard_bytes ? bytes : shard_bytes;
        os_pages_free(w->text, w->cap);
        w->cap = 0;
        w->text = os_pages_alloc(cap);
        if (!w->text)
            return err_set(e, ERR_MEMORY, "no memory for a shard of %zu bytes (--shard-mb N makes smaller ones)", cap);
        w->cap = cap;
    }
    if (w->n_docs + 1 < w->cap_docs)
        return ERR_OK;
    size_t cap = w->cap_docs ? w->cap_docs * 2 : 1024;
    uint32_t *start = realloc(w->start, cap * sizeof *start);
    if (start)
        w->start = start;
    int64_t *id = start ? realloc(w->id, cap * sizeof *id) : NULL;
    if (!id)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", cap);
    w->id = id;
    w->cap_docs = cap;
    return ERR_OK;
}

static err_code check(indexer *x, int64_t id, str text, err *e) {
    if (id <= x->last_id)
        return err_set(e, ERR_FORMAT, "document %" PRId64 " comes after document %" PRId64, id, x->last_id);
    if (text.n == 0)
        return err_set(e, ERR_FORMAT, "document %" PRId64 " has no text", id);
    if (memchr(text.p, 0, text.n))
        return err_set(e, ERR_FORMAT, "document %" PRId64 " holds a NUL, which no document may", id);
    if (text.n >= SUFFIX_SHARD_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "document %" PRId64 " has %zu bytes, more than a shard may hold", id, text.n);
    x->last_id = id;
    return ERR_OK;
}

static void put(work *w, int64_t id, str text) {
    w->start[w->n_docs] = (uint32_t)w->n;
    w->id[w->n_docs++] = id;
    memcpy(w->text + w->n, text.p, text.n);
    w->n += text.n;
    w->text[w->n++] = 0;
    w->start[w->n_docs] = (uint32_t)w->n;
}

/* ---- sorting ---- */

static uint64_t key_at(const work *w, uint32_t at) {
    uint64_t k = 0;
    for (uint32_t i = 0; i < 8; i++)
        k = k << 8 | (at + i < w->n ? w->text[at + i] : 0);
    return k;
}

typedef err_code eat_fn(void *ctx, const void *p, size_t n, err *e);

/* All bytes of the shard in the order of the file. */
static err_code pour(const work *w, eat_fn *eat, void *ctx, err *e) {
    static const uint8_t zero[8] = {0};
    const struct {
        const void *p;
        uint64_t n;
    } part[] = {{w->text, w->n},
                {w->order, 4 * w->n},
                {w->key, 8 * w->w.n_keys},
                {w->start, 4 * (w->n_docs + 1)},
                {w->id, 8 * w->n_docs}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        TRY(eat(ctx, part[i].p, part[i].n, e));
        TRY(eat(ctx, zero, suffix_pad(part[i].n, 8) - part[i].n, e));
    }
    return ERR_OK;
}

static err_code eat_hash(void *ctx, const void *p, size_t n, err *e) {
    (void)e;
    hash_add(ctx, p, n);
    return ERR_OK;
}

static err_code sort(work *w, err *e) {
    hash_state *h;
    w->w = suffix_places_of(w->n, w->n_docs);
    w->n_sorted = w->n;
    w->order = os_pages_alloc(w->n * sizeof *w->order);
    w->key = os_pages_alloc(w->w.n_keys * sizeof *w->key);
    if (!w->order || !w->key)
        return err_set(e, ERR_MEMORY, "no memory to sort a shard of %zu bytes (--shard-mb N makes smaller ones)", w->n);
    _Static_assert(sizeof(saidx_t) == sizeof *w->order, "libdivsufsort's places are 32 bits wide");
    if (divsufsort(w->text, (saidx_t *)w->order, (saidx_t)w->n) != 0)
        return err_set(e, ERR_MEMORY, "libdivsufsort has no memory to sort %zu bytes", w->n);
    for (size_t i = 0; i < w->w.n_keys; i++)
        w->key[i] = key_at(w, w->order[i * SUFFIX_STRIDE]);
    TRY(hash_open(&h, e));
    err_code code = pour(w, eat_hash, h, e);
    w->sha256 = hash_close(h);
    return code;
}

static void sort_part(void *ctx, int part, int n_parts) {
    indexer *x = ctx;
    for (int i = part; i < x->n_work; i += n_parts)
        if (x->work[i].n_docs)
            sort(&x->work[i], &x->work[i].error);
}

/* ---- writing ---- */

static err_code eat_file(void *ctx, const void *p, size_t n, err *e) { return outfile_write(ctx, p, n, e); }

static err_code align(indexer *x, err *e) {
    uint64_t at = outfile_bytes(x->f);
    return outfile_zeros(x->f, (size_t)(suffix_pad(at, SUFFIX_ALIGN) - at), e);
}

static err_code write_shard(indexer *x, work *w, err *e) {
    if (w->error.code != ERR_OK)
        return err_set(e, w->error.code, "%s", w->error.text);
    if (x->n_shards == x->cap_shards) {
        size_t cap = x->cap_shards ? x->cap_shards * 2 : 64;
        suffix_shard *dir = cap <= SUFFIX_SHARDS_MAX ? realloc(x->dir, cap * sizeof *dir) : NULL;
        if (!dir)
            return err_set(e, ERR_MEMORY, "no memory for %zu shards (--shard-mb N makes larger ones)", cap);
        x->dir = dir;
        x->cap_shards = cap;
    }
    TRY(align(x, e));
    x->dir[x->n_shards++] = (suffix_shard){outfile_bytes(x->f), w->n, w->n_docs, 0, w->sha256};
    x->n_docs += w->n_docs;
    x->bytes += w->n - w->n_docs;
    TRY(pour(w, eat_file, x->f, e));
    clear(w);
    return ERR_OK;
}

/* Sorts and writes what has been filled. */
static err_code flush(indexer *x, err *e) {
    pool_run(x->o->workers, sort_part, x);
    for (int i = 0; i < x->n_work; i++)
        if (x->work[i].n_docs)
            TRY(write_shard(x, &x->work[i], e));
    if (x->o->stop && *x->o->stop)
        return err_set(e, ERR_CANCELLED, "stopped");
    if (x->o->progress)
        x->o->progress(x->o->progress_ctx, x->bytes, x->o->bytes_total > x->bytes ? x->o->bytes_total : x->bytes);
    return ERR_OK;
}

static err_code take_all(indexer *x, const indexer_source *source, err *e) {
    int at = 0;
    for (;;) {
        bool got = false;
        int64_t id = 0;
        str text = {0};
        TRY(source->next(source->ctx, &got, &id, &text, e));
        if (!got)
            break;
        TRY(check(x, id, text, e));
        work *w = &x->work[at];
        if (w->n > 0 && w->n + text.n + 1 > x->shard_bytes) {
            if (++at == x->n_work) {
                at = 0;
                TRY(flush(x, e));
            }
            w = &x->work[at];
        }
        TRY(room(w, text.n + 1, x->shard_bytes, e));
        put(w, id, text);
        if (x->o->stop && *x->o->stop)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    return flush(x, e);
}

static err_code write_end(indexer *x, err *e) {
    TRY(align(x, e));
    suffix_foot foot = {.n_shards = x->n_shards,
                        .n_docs = x->n_docs,
                        .text_bytes = x->bytes,
                        .directory = outfile_bytes(x->f),
                        .source = x->o->source,
                        .digest = x->o->digest,
                        .version = SUFFIX_VERSION};
    memcpy(foot.magic, SUFFIX_MAGIC, sizeof foot.magic);
    hash_state *h;
    TRY(hash_open(&h, e));
    hash_add(h, x->dir, x->n_shards * sizeof *x->dir);
    hash_add(h, &foot, offsetof(suffix_foot, sha256));
    foot.sha256 = hash_close(h);
    TRY(outfile_write(x->f, x->dir, x->n_shards * sizeof *x->dir, e));
    foot.file_bytes = outfile_bytes(x->f) + sizeof foot;
    return outfile_write(x->f, &foot, sizeof foot, e);
}

static err_code make(indexer *x, const indexer_source *source, const char *path, err *e) {
    suffix_head head = {.version = SUFFIX_VERSION};
    memcpy(head.magic, SUFFIX_MAGIC, sizeof head.magic);
    TRY(outfile_open(&x->f, path, e));
    TRY(outfile_write(x->f, &head, sizeof head, e));
    TRY(take_all(x, source, e));
    if (x->n_shards == 0)
        return err_set(e, ERR_USAGE, "there are no documents to index");
    return write_end(x, e);
}

err_code indexer_make(const char *path, const indexer_source *source, const indexer_options *o, err *e) {
    indexer x = {.o = o, .shard_bytes = o->shard_bytes ? o->shard_bytes : INDEXER_SHARD_BYTES};
    if (x.shard_bytes > SUFFIX_SHARD_BYTES_MAX)
        return err_set(e, ERR_USAGE, "a shard of %zu bytes is too large", x.shard_bytes);
    x.n_work = pool_threads(o->workers);
    x.work = calloc((size_t)x.n_work, sizeof *x.work);
    if (!x.work)
        return err_set(e, ERR_MEMORY, "no memory to make an index");
    err_code code = make(&x, source, path, e);
    if (code == ERR_OK)
        code = outfile_commit(x.f, e);
    else
        outfile_abort(x.f);
    for (int i = 0; i < x.n_work; i++)
        work_fini(&x.work[i]);
    free(x.work);
    free(x.dir);
    return code;
}
