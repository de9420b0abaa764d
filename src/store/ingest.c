/* ingest: see ingest.h. */
#include "store/ingest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/dataset_int.h"
#include "store/feed.h"
#include "store/near.h"
#include "store/prepare.h"

enum { N_BATCHES = 3, BATCH_ITEMS = 4096, BATCH_BYTES = 4 << 20, BATCH_KEPT = 32 << 20, TAKEN_AT_ONCE = 8 };

typedef struct {
    item *item; /* [BATCH_ITEMS] */
    size_t n;
    strbuf bytes; /* of all items, in a row */
    size_t *from; /* [BATCH_ITEMS] where each one's begin */
    atomic_size_t taken;
    uint64_t done;       /* for progress: bytes read when it was full */
    bool last;           /* nothing comes after it */
    err problem;         /* of reading, after the last item */
    size_t problem_file; /* number of its source; SIZE_MAX: the problem ends the build */
} batch;

typedef struct {
    ingest *g;
    feed feed;
    sqlite3_stmt *old_rows; /* of g->old, by id; NULL: all are taken over */
    int64_t n_old, n_old_wanted;
    uint64_t old_bytes, old_total;
    size_t i_drop;
    hash_state **hash; /* one for each of the workers */
    batch batch[N_BATCHES];
    batch *before, *now, *after; /* to be put; being prepared; to be read. NULL: none */
    atomic_bool filling;         /* somebody has taken `after` */
    err_code code;               /* of what the calling thread does in a round */
    err *e;
} line;

/* ---- reading a batch ---- */

static err_code add_bytes(batch *b, str s, err *e) { return strbuf_add(&b->bytes, s, e); }

static item *begin_item(batch *b, item_kind kind) {
    item *it = &b->item[b->n];
    b->from[b->n] = b->bytes.n;
    it->kind = kind;
    it->doc = (dataset_doc){0};
    return it;
}

static bool is_dropped(line *l, int64_t id) {
    const ingest *g = l->g;
    while (l->i_drop < g->n_drop && g->drop[l->i_drop] < id)
        l->i_drop++;
    return l->i_drop < g->n_drop && g->drop[l->i_drop] == id;
}

/* The next row of the old set into the batch; *got false when there is none. */
static err_code read_old(line *l, batch *b, bool *got, err *e) {
    dataset_doc doc;
    int64_t file;
    TRY(sql_step(l->old_rows, got, e));
    if (!*got) {
        sqlite3_finalize(l->old_rows);
        l->old_rows = NULL;
        return l->n_old == l->n_old_wanted ? ERR_OK : err_set(e, ERR_FORMAT, "a document without a text");
    }
    l->n_old++;
    TRY(dataset_doc_columns(l->old_rows, &doc, &file, e));
    TRY(sql_text(l->old_rows, DATASET_DOC_N_COLUMNS, &doc.text, e));
    l->old_bytes += doc.text.n;
    if (doc.key.id < 1 || doc.key.id >= l->g->next_id)
        return err_set(e, ERR_FORMAT, "a document with the id %" PRId64, doc.key.id);
    if (is_dropped(l, doc.key.id))
        return ERR_OK;
    item *it = begin_item(b, ITEM_OLD);
    const str field[] = {doc.name, doc.source, doc.licence, doc.topic, doc.kind, doc.meta, doc.text};
    for (int i = 0; i < 7; i++) {
        it->old_n[i] = field[i].n;
        TRY(add_bytes(b, field[i], e));
    }
    it->doc = doc;
    it->file = (size_t)file;
    b->n++;
    return ERR_OK;
}

static err_code read_new(line *l, batch *b, bool *got, err *e) {
    feed_piece piece;
    TRY(feed_next(&l->feed, &piece, got, e));
    if (!*got)
        return ERR_OK;
    item *it = begin_item(b, piece.is_json ? ITEM_JSON : ITEM_TEXT);
    it->source = &l->g->sources.file[piece.file];
    it->file = piece.file;
    it->line = piece.line;
    TRY(add_bytes(b, piece.bytes, e));
    b->n++;
    return ERR_OK;
}

/* After a problem that may be left behind the next batch begins. */
static bool goes_on(line *l, batch *b, err_code code) {
    bool skips = l->g->o->sources.skip_bad && !l->old_rows && code != ERR_MEMORY;
    b->problem_file = skips ? l->feed.next - 1 : SIZE_MAX;
    if (skips)
        feed_skip(&l->feed);
    return skips;
}

static void fill(line *l, batch *b) {
    bool got = true;
    err_code code = ERR_OK;
    b->n = b->bytes.n = 0;
    b->problem = (err){0};
    if (b->bytes.cap > BATCH_KEPT)
        strbuf_fini(&b->bytes);
    while (code == ERR_OK && got && b->n < BATCH_ITEMS && b->bytes.n < BATCH_BYTES) {
        if (l->old_rows) {
            code = read_old(l, b, &got, &b->problem);
            if (code != ERR_OK)
                err_in(&b->problem, code, "%s", dataset_path(l->g->old));
            got = true;
        } else
            code = read_new(l, b, &got, &b->problem);
    }
    if (code != ERR_OK)
        got = goes_on(l, b, code);
    for (size_t i = 0; i < b->n; i++)
        b->item[i].raw = (str){b->bytes.p + b->from[i], (i + 1 < b->n ? b->from[i + 1] : b->bytes.n) - b->from[i]};
    b->last = !got;
    b->done = l->old_bytes + feed_taken(&l->feed);
    atomic_store(&b->taken, 0);
}

/* ---- putting a batch ---- */

static void say(const ingest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const ingest *g, const char *fmt, ...) {
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (g->o->sources.note)
        g->o->sources.note(g->o->sources.note_ctx, text);
}

static const char *path_of(const item *it) { return it->source->path ? it->source->path : "standard input"; }

/* "FILE:LINE" of the offset in the item's bytes. */
static void where(const item *it, size_t at, char *out, size_t n) {
    uint64_t number = it->line ? it->line : 1;
    for (size_t i = 0; i < at && i < it->raw.n; i++)
        number += it->raw.p[i] == '\n';
    snprintf(out, n, "%.400s:%" PRIu64, path_of(it), number);
}

static err_code keep_sketch(ingest *g, const item *it, uint32_t file, err *e) {
    if (g->n_sketched == g->cap_sketched) {
        size_t cap = g->cap_sketched ? 2 * g->cap_sketched : 4096;
        shingle_sketch *s = cap < NEAR_TEXTS_MAX ? realloc(g->sketch, cap * sizeof *s) : NULL;
        g->sketch = s ? s : g->sketch;
        ingest_sketched *m = s ? realloc(g->sketched, cap * sizeof *m) : NULL;
        g->sketched = m ? m : g->sketched;
        if (!m)
            return err_set(e, ERR_MEMORY, "no memory for the sketches of %zu documents", cap);
        g->cap_sketched = cap;
    }
    g->sketch[g->n_sketched] = it->sketch;
    g->sketched[g->n_sketched++] = (ingest_sketched){it->doc.key.id, file, it->doc.near_of, it->doc.similarity};
    return ERR_OK;
}

/* Marks, puts, counts a good document. */
static err_code put(ingest *g, item *it, int64_t file, err *e) {
    build_result *r = g->r;
    it->doc.duplicate_of = seen_find(&g->seen, &it->doc.key.sha256);
    if (it->doc.duplicate_of == 0)
        TRY(seen_add(&g->seen, &it->doc.key.sha256, it->doc.key.id, e));
    if (it->doc.duplicate_of || !g->keep_marks || it->kind != ITEM_OLD) {
        it->doc.near_of = 0;
        it->doc.similarity = 0;
    }
    TRY(dataset_writer_put(g->w, &it->doc, file, e));
    r->documents++;
    r->bytes += (int64_t)it->doc.key.bytes;
    r->marked_duplicate += it->doc.duplicate_of != 0;
    r->marked_near += it->doc.near_of != 0;
    if (it->doc.duplicate_of || !it->has_sketch)
        return ERR_OK;
    TRY(keep_sketch(g, it, it->kind == ITEM_OLD ? 0 : (uint32_t)it->file + 1, e));
    if (it->kind == ITEM_OLD)
        g->n_old_sketched = g->n_sketched;
    return ERR_OK;
}

static err_code put_new(ingest *g, item *it, err *e) {
    dataset_file *f = &g->file[it->file];
    if (seen_find(&g->removed, &it->doc.key.sha256)) {
        f->removed++;
        return ERR_OK;
    }
    if (g->o->duplicates != BUILD_MARK && seen_find(&g->seen, &it->doc.key.sha256)) {
        f->duplicate++;
        return ERR_OK;
    }
    it->doc.key.id = g->next_id++;
    f->documents++;
    f->repaired += it->repaired;
    if (it->repaired) {
        char at[512];
        where(it, it->at_ill_formed, at, sizeof at);
        say(g, "%s: %zu ill-formed UTF-8 sequences replaced by U+FFFD", at, it->n_ill_formed);
    }
    return put(g, it, f->id, e);
}

static err_code leave_out(ingest *g, item *it, err *e) {
    dataset_file *f = &g->file[it->file];
    char at[512];
    where(it, it->verdict == ITEM_ENCODING ? it->at_ill_formed : 0, at, sizeof at);
    switch (it->verdict) {
    case ITEM_GOOD:
    case ITEM_BLANK_LINE:
        return ERR_OK;
    case ITEM_EMPTY:
        f->empty++;
        if (it->line == 0 || it->kind == ITEM_JSON)
            say(g, "%s: left out: empty", at);
        return ERR_OK;
    case ITEM_BRIEF:
        f->brief++;
        return ERR_OK;
    case ITEM_BINARY:
        f->binary++;
        say(g, "%s: left out: binary (holds a NUL)", at);
        return ERR_OK;
    case ITEM_ENCODING:
        f->encoding++;
        if (it->n_ill_formed)
            say(g, "%s: left out: not UTF-8 (%zu ill-formed sequences; iconv converts)", at, it->n_ill_formed);
        else
            say(g, "%s: left out: UTF-16 (iconv -f UTF-16 -t UTF-8 converts)", at);
        return ERR_OK;
    case ITEM_MALFORMED:
        break;
    }
    err_code code = it->problem.code;
    if (!g->o->sources.skip_bad || code == ERR_MEMORY)
        return err_set(e, code, "%s: %s%s", at, it->problem.text,
                       code == ERR_MEMORY ? "" : " (--skip-bad goes on without it)");
    f->malformed++;
    say(g, "%s: left out: %s", at, it->problem.text);
    return ERR_OK;
}

static err_code put_item(ingest *g, item *it, err *e) {
    if (it->kind != ITEM_OLD)
        return it->verdict == ITEM_GOOD ? put_new(g, it, e) : leave_out(g, it, e);
    if (it->verdict != ITEM_GOOD)
        return err_set(e, it->problem.code, "%s: document %" PRId64 ": %s", dataset_path(g->old), it->doc.key.id,
                       it->problem.text);
    return put(g, it, (int64_t)it->file, e);
}

/* An error of reading comes up behind the documents that stood before it. */
static err_code put_problem(ingest *g, const batch *b, err *e) {
    if (b->problem.code == ERR_OK)
        return ERR_OK;
    if (b->problem_file == SIZE_MAX)
        return err_set(e, b->problem.code, "%s", b->problem.text);
    g->file[b->problem_file].malformed++;
    say(g, "%s", b->problem.text);
    return ERR_OK;
}

static err_code put_batch(line *l, batch *b, err *e) {
    enum { AHEAD = 8 };
    ingest *g = l->g;
    for (size_t i = 0; i < b->n; i++) {
        if (i + AHEAD < b->n)
            seen_ahead(&g->seen, &b->item[i + AHEAD].doc.key.sha256);
        TRY(put_item(g, &b->item[i], e));
    }
    TRY(put_problem(g, b, e));
    if (g->o->progress)
        g->o->progress(g->o->progress_ctx, "reading", b->done, l->old_total + g->sources.bytes, g->r->documents);
    if (g->o->stop && *g->o->stop)
        return err_set(e, ERR_CANCELLED, "stopped");
    return ERR_OK;
}

/* ---- rounds ---- */

static void prepare_some(const build_options *o, batch *b, hash_state *h) {
    for (size_t from; (from = atomic_fetch_add(&b->taken, TAKEN_AT_ONCE)) < b->n;)
        for (size_t i = from; i < from + TAKEN_AT_ONCE && i < b->n; i++)
            item_prepare(&b->item[i], o, h);
}

/* What the batch held when it was put. */
static void release(batch *b) {
    for (size_t i = 0; i < b->n; i++)
        item_reset(&b->item[i]);
    b->n = 0;
}

/* Putting is the calling thread's, the longest piece of a round; whoever is free first reads; the rest is shared. */
static void round_part(void *ctx, int part, int n_parts) {
    line *l = ctx;
    (void)n_parts;
    if (part == 0 && l->before)
        l->code = put_batch(l, l->before, l->e);
    if (l->after && !atomic_exchange(&l->filling, true)) {
        release(l->after);
        fill(l, l->after);
    }
    prepare_some(l->g->o, l->now, l->hash[part]);
}

static err_code run(line *l, err *e) {
    l->e = e;
    l->now = &l->batch[0];
    batch *spare[2] = {&l->batch[1], &l->batch[2]};
    fill(l, l->now);
    while (l->now && l->code == ERR_OK) {
        l->after = l->now->last ? NULL : spare[0];
        atomic_store(&l->filling, false);
        pool_run(l->g->o->workers, round_part, l);
        spare[0] = l->before ? l->before : spare[1];
        l->before = l->now;
        l->now = l->after;
    }
    return l->code == ERR_OK ? put_batch(l, l->before, e) : l->code;
}

/* ---- beginning and end ---- */

static err_code open_line(line *l, err *e) {
    ingest *g = l->g;
    for (int i = 0; i < N_BATCHES; i++) {
        batch *b = &l->batch[i];
        b->item = calloc(BATCH_ITEMS, sizeof *b->item);
        b->from = calloc(BATCH_ITEMS, sizeof *b->from);
        if (!b->item || !b->from)
            return err_set(e, ERR_MEMORY, "no memory to read documents");
    }
    int n_workers = pool_threads(g->o->workers);
    l->hash = calloc((size_t)n_workers, sizeof *l->hash);
    if (!l->hash)
        return err_set(e, ERR_MEMORY, "no memory to read documents");
    for (int i = 0; i < n_workers; i++)
        TRY(hash_open(&l->hash[i], e));
    l->feed = (feed){.o = g->o, .sources = &g->sources, .record = g->file};
    if (!g->old)
        return ERR_OK;
    int64_t bytes;
    err_code code = sql_one_int(g->old->db, "SELECT count(*) FROM documents", &l->n_old_wanted, e);
    if (code == ERR_OK)
        code = sql_one_int(g->old->db, "SELECT coalesce(sum(bytes), 0) FROM documents", &bytes, e);
    if (code == ERR_OK)
        code = sql_prepare(g->old->db,
                           STR("SELECT " DATASET_DOC_COLUMNS
                               ", text FROM documents CROSS JOIN texts USING (id) ORDER BY documents.id"),
                           &l->old_rows, e);
    if (code != ERR_OK)
        return err_in(e, code, "%s", dataset_path(g->old));
    l->old_total = bytes > 0 ? (uint64_t)bytes : 0;
    return ERR_OK;
}

static void close_line(line *l) {
    sqlite3_finalize(l->old_rows);
    feed_fini(&l->feed);
    for (int i = 0; i < N_BATCHES; i++) {
        batch *b = &l->batch[i];
        for (size_t k = 0; b->item && k < BATCH_ITEMS; k++)
            item_fini(&b->item[k]);
        free(b->item);
        free(b->from);
        strbuf_fini(&b->bytes);
    }
    for (int i = 0; l->hash && i < pool_threads(l->g->o->workers); i++)
        if (l->hash[i])
            hash_close(l->hash[i]);
    free(l->hash);
    free(l);
}

err_code ingest_run(ingest *g, err *e) {
    line *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_MEMORY, "no memory to read documents");
    l->g = g;
    err_code code = open_line(l, e);
    if (code == ERR_OK)
        code = run(l, e);
    close_line(l);
    return code;
}
