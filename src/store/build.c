/* build: see build.h.
 *
 * A build is one pass of the assembly line (ingest.h) into a new file, then the search for near-duplicates over the
 * sketches it has kept, then the rows that tell where everything came from.
 */
#include "store/build.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/dataset_int.h"
#include "store/ingest.h"
#include "store/near.h"

#define ID_MAX ((int64_t)1 << 53)

/* ---- near-duplicates ---- */

typedef struct {
    ingest *g;
    uint64_t n_fetched, n_pairs;
} fetcher;

static err_code fetch(void *ctx, uint32_t i, strbuf *out, err *e) {
    fetcher *f = ctx;
    const build_options *o = f->g->o;
    f->n_fetched++;
    if (o->progress && f->n_fetched % 256 == 0)
        o->progress(o->progress_ctx, "comparing", f->n_fetched, 2 * f->n_pairs, f->g->r->documents);
    return dataset_writer_text(f->g->w, f->g->sketched[i].id, out, e);
}

/* Position of an id among the sketched ones, which are in ascending order; NEAR_NONE when it is not one. */
static uint32_t sketched_of(const ingest *g, int64_t id) {
    size_t from = 0, to = g->n_sketched;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (g->sketched[mid].id < id)
            from = mid + 1;
        else
            to = mid;
    }
    return from < g->n_sketched && g->sketched[from].id == id ? (uint32_t)from : NEAR_NONE;
}

static err_code write_marks(ingest *g, const near_mark *mark, size_t first, err *e) {
    bool drops = g->o->duplicates == BUILD_DROP_NEAR, any = false;
    for (size_t i = first; i < g->n_sketched; i++) {
        if (mark[i].earlier == NEAR_NONE)
            continue;
        const ingest_sketched *s = &g->sketched[i];
        if (drops && s->file > 0) {
            dataset_file *f = &g->file[s->file - 1];
            any = true;
            f->near++;
            f->documents--;
            g->r->documents--;
            TRY(dataset_writer_delete(g->w, s->id, e));
            continue;
        }
        g->r->marked_near++;
        TRY(dataset_writer_near(g->w, s->id, g->sketched[mark[i].earlier].id, mark[i].similarity, e));
    }
    return any ? dataset_writer_compact(g->w, e) : ERR_OK;
}

static err_code mark_near(ingest *g, err *e) {
    size_t first = g->keep_marks ? g->n_old_sketched : 0, n_pairs;
    near_pair *pairs;
    if (g->o->near <= 0 || g->n_sketched == 0)
        return ERR_OK;
    near_mark *mark = malloc(g->n_sketched * sizeof *mark);
    if (!mark)
        return err_set(e, ERR_MEMORY, "no memory to mark near-duplicates");
    for (size_t i = 0; i < g->n_sketched; i++)
        mark[i] =
            (near_mark){i < first && g->sketched[i].near_of ? sketched_of(g, g->sketched[i].near_of) : NEAR_NONE, 0};
    err_code code = near_candidates(g->sketch, g->n_sketched, first, g->o->workers, near_min_agree(g->o->near), &pairs,
                                    &n_pairs, e);
    if (code == ERR_OK) {
        fetcher f = {g, 0, n_pairs};
        code = near_marks(pairs, n_pairs, g->o->near, fetch, &f, g->o->workers, g->o->stop, mark, e);
        free(pairs);
    }
    if (code == ERR_OK)
        code = write_marks(g, mark, first, e);
    free(mark);
    return code;
}

/* ---- where everything came from ---- */

static err_code copy_files(dataset_writer *w, dataset *old, err *e) {
    sqlite3_stmt *s;
    bool row;
    TRY(sql_prepare(old->db, STR("SELECT * FROM files ORDER BY id"), &s, e));
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row) {
        dataset_file f = {0};
        code = dataset_file_columns(s, &f, e);
        if (code == ERR_OK)
            code = dataset_writer_file(w, &f, e);
        if (code != ERR_OK)
            break;
    }
    sqlite3_finalize(s);
    return code;
}

static err_code copy_removals(dataset_writer *w, dataset *old, int64_t *last, err *e) {
    sqlite3_stmt *s;
    bool row;
    TRY(sql_prepare(old->db, STR("SELECT * FROM removals ORDER BY id"), &s, e));
    err_code code;
    *last = 0;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row) {
        dataset_removal r = {0};
        code = dataset_removal_columns(s, &r, e);
        if (code == ERR_OK)
            code = dataset_writer_removal(w, &r, e);
        if (code != ERR_OK)
            break;
        *last = r.id;
    }
    sqlite3_finalize(s);
    return code;
}

/* The record of dropped documents: copied when w is given, into g->removed when g is. */
static err_code each_removed(dataset *old, dataset_writer *w, ingest *g, err *e) {
    sqlite3_stmt *s;
    bool row;
    TRY(sql_prepare(old->db, STR("SELECT * FROM removed ORDER BY id"), &s, e));
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row) {
        dataset_removed r = {0};
        code = dataset_removed_columns(s, &r, e);
        if (code == ERR_OK && w)
            code = dataset_writer_removed(w, &r, e);
        if (code == ERR_OK && g && !seen_find(&g->removed, &r.key.sha256))
            code = seen_add(&g->removed, &r.key.sha256, r.key.id, e);
        if (code != ERR_OK)
            break;
    }
    sqlite3_finalize(s);
    return code;
}

static err_code write_info(const ingest *g, err *e) {
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"near_bands", NEAR_BANDS},     {"near_bucket", NEAR_BUCKET},       {"near_choices", NEAR_CHOICES},
        {"near_rows", NEAR_ROWS},       {"next_file", g->next_file},        {"next_id", g->next_id},
        {"shingle_bins", SHINGLE_BINS}, {"shingle_rounds", SHINGLE_ROUNDS}, {"shingle_words", SHINGLE_WORDS},
    };
    char text[32];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "%" PRId64, numbers[i].value);
        TRY(dataset_writer_info(g->w, numbers[i].key, text, e));
    }
    snprintf(text, sizeof text, "%.17g", g->o->near);
    return dataset_writer_info(g->w, "near", text, e);
}

static err_code write_files(ingest *g, err *e) {
    build_result *r = g->r;
    for (size_t i = 0; i < g->sources.n; i++) {
        const dataset_file *f = &g->file[i];
        TRY(dataset_writer_file(g->w, f, e));
        r->read_bytes += f->bytes;
        r->added += f->documents;
        r->empty += f->empty;
        r->brief += f->brief;
        r->binary += f->binary;
        r->encoding += f->encoding;
        r->malformed += f->malformed;
        r->repaired += f->repaired;
        r->duplicate += f->duplicate;
        r->near += f->near;
        r->removed += f->removed;
    }
    r->files = (int64_t)g->sources.n;
    return ERR_OK;
}

/* ---- passes ---- */

static err_code open_old(ingest *g, const char *path, double near, err *e) {
    TRY(dataset_open(&g->old, path, e));
    double known;
    TRY(dataset_info_int(g->old, "next_id", 1, &g->next_id, e));
    TRY(dataset_info_int(g->old, "next_file", 1, &g->next_file, e));
    TRY(dataset_info_real(g->old, "near", 0, &known, e));
    g->keep_marks = near == known;
    if (g->next_id < 1 || g->next_file < 1 || g->next_id > ID_MAX || g->next_file > ID_MAX)
        return err_set(e, ERR_FORMAT, "%s: ids below 1 or beyond all bounds", path);
    return each_removed(g->old, NULL, g, e);
}

static err_code name_files(ingest *g, err *e) {
    g->file = calloc(g->sources.n + 1, sizeof *g->file);
    if (!g->file)
        return err_set(e, ERR_MEMORY, "no memory for %zu files", g->sources.n);
    for (size_t i = 0; i < g->sources.n; i++) {
        const source_file *s = &g->sources.file[i];
        g->file[i] =
            (dataset_file){.id = g->next_file++, .name = s->name, .source = s->source, .format = STR("unread")};
    }
    return ERR_OK;
}

/* After everything is put: marks, and what was known before. */
static err_code finish_rows(ingest *g, int64_t *last_removal, err *e) {
    *last_removal = 0;
    TRY(mark_near(g, e));
    if (g->old) {
        err_code code = copy_files(g->w, g->old, e);
        if (code == ERR_OK)
            code = copy_removals(g->w, g->old, last_removal, e);
        if (code == ERR_OK)
            code = each_removed(g->old, g->w, NULL, e);
        if (code != ERR_OK)
            return code;
    }
    TRY(write_files(g, e));
    return write_info(g, e);
}

static err_code commit(ingest *g, err *e) {
    dataset_writer *w = g->w;
    if (g->o->progress)
        g->o->progress(g->o->progress_ctx, "writing", 0, 1, g->r->documents);
    g->w = NULL;
    return dataset_writer_commit(w, e);
}

static void close_ingest(ingest *g) {
    dataset_writer_abort(g->w);
    dataset_close(g->old);
    sources_fini(&g->sources);
    seen_fini(&g->seen);
    seen_fini(&g->removed);
    free(g->file);
    free(g->sketch);
    free(g->sketched);
}

/* From the finished file, as every reader will see it. */
static err_code final_digest(const char *path, build_result *r, err *e) {
    dataset *d;
    dataset_key *keys;
    size_t n;
    TRY(dataset_open(&d, path, e));
    err_code code = dataset_list(d, NULL, &keys, &n, e);
    if (code == ERR_OK)
        code = dataset_keys_digest(keys, n, &r->digest, e);
    r->bytes = 0;
    for (size_t i = 0; i < n; i++)
        r->bytes += (int64_t)keys[i].bytes;
    free(keys);
    dataset_close(d);
    return code;
}

/* A rebuilt set would hold again what was dropped from this one. */
static err_code check_replace(const char *path, const build_options *o, err *e) {
    if (o->append || o->force || !os_exists(path))
        return ERR_OK;
    dataset *d;
    int64_t n;
    err_code code = dataset_open(&d, path, e);
    if (code != ERR_OK)
        return code == ERR_MEMORY ? code : ERR_OK; /* no data set: dataset_writer_open() has looked at it */
    code = sql_one_int(d->db, "SELECT count(*) FROM removed", &n, e);
    dataset_close(d);
    if (code == ERR_OK && n > 0)
        return err_set(e, ERR_USAGE,
                       "%s: %" PRId64
                       " documents were dropped from it; a new build would forget that (--append keeps it, "
                       "--force replaces it)",
                       path, n);
    return code;
}

static err_code build(ingest *g, const char *path, const char *const *words, size_t n_words, err *e) {
    const build_options *o = g->o;
    for (size_t i = 0; i < n_words; i++)
        TRY(sources_add(&g->sources, words[i], &o->sources, e));
    bool adds = o->append && os_exists(path);
    TRY(dataset_writer_open(&g->w, path, e));
    TRY(check_replace(path, o, e));
    if (adds)
        TRY(open_old(g, path, o->near, e));
    TRY(name_files(g, e));
    TRY(ingest_run(g, e));
    int64_t last;
    TRY(finish_rows(g, &last, e));
    return commit(g, e);
}

err_code dataset_build(const char *path, const char *const *words, size_t n_words, const build_options *o,
                       build_result *r, err *e) {
    assert(o->split != SPLIT_BYTES || (o->split_bytes >= 16 && o->split_bytes <= DATASET_TEXT_BYTES_MAX));
    assert(o->near == 0 || (o->near >= 0.5 && o->near <= 1));
    ingest g = {.o = o, .r = r, .next_id = 1, .next_file = 1};
    *r = (build_result){0};
    err_code code = build(&g, path, words, n_words, e);
    close_ingest(&g);
    return code == ERR_OK ? final_digest(path, r, e) : code;
}

/* ---- dropping ---- */

/* The ids' rows of the sorted list go to the record, the others stay. All must be there. */
static err_code split_keys(const int64_t *ids, size_t n_ids, dataset_key *keys, size_t *n, dataset_removed *removed,
                           err *e) {
    size_t kept = 0;
    bool *found = calloc(n_ids + 1, sizeof *found);
    if (!found)
        return err_set(e, ERR_MEMORY, "no memory to drop documents");
    for (size_t i = 0; i < *n; i++) {
        size_t from = 0, to = n_ids;
        while (from < to) {
            size_t mid = from + (to - from) / 2;
            if (ids[mid] < keys[i].id)
                from = mid + 1;
            else
                to = mid;
        }
        if (from < n_ids && ids[from] == keys[i].id) {
            found[from] = true;
            removed[from].key = keys[i];
        } else
            keys[kept++] = keys[i];
    }
    *n = kept;
    err_code code = ERR_OK;
    for (size_t i = 0; i < n_ids && code == ERR_OK; i++)
        if (!found[i])
            code = err_set(e, ERR_USAGE, "there is no document %" PRId64, ids[i]);
    free(found);
    return code;
}

static err_code make_record(ingest *g, dataset_removal *record, dataset_removed *removed, err *e) {
    dataset_key *keys;
    size_t n;
    TRY(dataset_list(g->old, NULL, &keys, &n, e));
    err_code code = dataset_keys_digest(keys, n, &record->digest_before, e);
    if (code == ERR_OK)
        code = split_keys(g->drop, g->n_drop, keys, &n, removed, e);
    if (code == ERR_OK)
        code = dataset_keys_digest(keys, n, &record->digest_after, e);
    free(keys);
    record->documents = (int64_t)g->n_drop;
    for (size_t i = 0; i < g->n_drop; i++)
        record->bytes += (int64_t)removed[i].key.bytes;
    return code;
}

static err_code drop(ingest *g, const char *path, dataset_removal *record, dataset_removed *removed, err *e) {
    TRY(dataset_writer_open(&g->w, path, e));
    TRY(open_old(g, path, g->o->near, e));
    g->keep_marks = false;
    TRY(make_record(g, record, removed, e));
    TRY(name_files(g, e));
    TRY(ingest_run(g, e));
    int64_t last;
    TRY(finish_rows(g, &last, e));
    record->id = last + 1;
    TRY(dataset_writer_removal(g->w, record, e));
    for (size_t i = 0; i < g->n_drop; i++) {
        removed[i].removal = record->id;
        TRY(dataset_writer_removed(g->w, &removed[i], e));
    }
    return commit(g, e);
}

err_code dataset_drop(const char *path, const int64_t *ids, size_t n, str condition, str note, const build_options *o,
                      build_result *r, err *e) {
    build_options own = {
        .workers = o->workers, .progress = o->progress, .progress_ctx = o->progress_ctx, .stop = o->stop};
    ingest g = {.o = &own, .r = r, .next_id = 1, .next_file = 1, .drop = ids, .n_drop = n};
    dataset_removal record = {.condition = condition, .note = note};
    *r = (build_result){0};
    dataset *d;
    TRY(dataset_open(&d, path, e));
    err_code code = dataset_info_real(d, "near", 0, &own.near, e);
    dataset_close(d);
    TRY(code);
    if (!(own.near == 0 || (own.near >= 0.5 && own.near <= 1)))
        return err_set(e, ERR_FORMAT, "%s: a similarity of %g for near-duplicates", path, own.near);
    dataset_removed *removed = calloc(n + 1, sizeof *removed);
    code = removed ? drop(&g, path, &record, removed, e) : err_set(e, ERR_MEMORY, "no memory to drop documents");
    free(removed);
    close_ingest(&g);
    return code == ERR_OK ? final_digest(path, r, e) : code;
}
