/* dataset: reading; see dataset.h and schema.h. */
#include "store/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "store/dataset_int.h"
#include "store/schema.h"
#include "store/where.h"

/* ---- opening ---- */

enum { HEADER_BYTES = 100 };

static uint32_t be32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The database's header (sqlite.org/fileformat.html, 1.3): magic, versions, and whose file it is. */
static err_code check_header(const unsigned char *h, size_t n, err *e) {
    if (n < HEADER_BYTES || memcmp(h, "SQLite format 3", 16) != 0)
        return err_set(e, ERR_FORMAT, "is not a data set (`loam data build` makes one)");
    if (be32(h + 68) != SCHEMA_APPLICATION_ID)
        return err_set(e, ERR_FORMAT, "is an SQLite database, but not a data set (`loam data build` makes one)");
    if (be32(h + 60) != SCHEMA_VERSION)
        return err_set(e, ERR_FORMAT, "is a data set of version %u; this Loam reads version %d", be32(h + 60),
                       SCHEMA_VERSION);
    if (h[18] != 1 || h[19] != 1)
        return err_set(e, ERR_FORMAT,
                       "has been changed by another program (sqlite3 FILE 'PRAGMA journal_mode=DELETE' "
                       "brings it back)");
    return ERR_OK;
}

err_code dataset_check_file(const char *path, err *e) {
    struct stat st;
    unsigned char h[HEADER_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = ERR_OK;
    ssize_t got = 0;
    if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && (got = read(fd, h, sizeof h)) < 0))
        code = err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = err_set(e, ERR_IO, "%s: is not a regular file", path);
    else if ((code = check_header(h, (size_t)got, e)) != ERR_OK)
        code = err_in(e, code, "%s", path);
    close(fd);
    return code;
}

/* Each row of sqlite_schema must be one of our tables, or an index that a PRIMARY KEY made. */
static err_code check_schema(sqlite3 *db, err *e) {
    static const struct {
        const char *name, *sql;
    } tables[] = {
#define X(name, columns) {#name, SCHEMA_CREATE(name, columns)},
        SCHEMA_TABLES(X)
#undef X
    };
    enum { N_TABLES = sizeof tables / sizeof *tables };
    sqlite3_stmt *s;
    TRY(sql_prepare(db, STR("SELECT name, coalesce(sql, '') FROM sqlite_schema"), &s, e));
    size_t found = 0;
    bool row = false;
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row) {
        str name, sql;
        code = sql_text(s, 0, &name, e);
        if (code == ERR_OK)
            code = sql_text(s, 1, &sql, e);
        if (code != ERR_OK)
            break;
        size_t i = 0;
        while (i < N_TABLES && !str_is(name, tables[i].name))
            i++;
        if (i < N_TABLES && str_is(sql, tables[i].sql))
            found++;
        else if (!(sql.n == 0 && str_starts(name, STR("sqlite_autoindex_")))) {
            code = err_set(e, ERR_FORMAT, "holds \"%.*s\", which no data set of version %d has", STR_ARG(name),
                           SCHEMA_VERSION);
            break;
        }
    }
    sqlite3_finalize(s);
    if (code == ERR_OK && found != N_TABLES)
        code = err_set(e, ERR_FORMAT, "lacks a table of a data set");
    return code;
}

static err_code open_db(dataset *d, err *e) {
    TRY(sql_open_read(&d->db, d->path, e));
    TRY(check_schema(d->db, e));
    TRY(sql_prepare(d->db, STR("SELECT " DATASET_DOC_COLUMNS " FROM documents WHERE id = ?"), &d->get_doc, e));
    return sql_prepare(d->db, STR("SELECT text FROM texts WHERE id = ?"), &d->get_text, e);
}

err_code dataset_open(dataset **out, const char *path, err *e) {
    *out = NULL;
    TRY(dataset_check_file(path, e));
    dataset *d = calloc(1, sizeof *d);
    char *name = d ? strdup(path) : NULL;
    if (!name) {
        free(d);
        return err_set(e, ERR_MEMORY, "%s: no memory to open it", path);
    }
    d->path = name;
    err_code code = open_db(d, e);
    if (code != ERR_OK) {
        dataset_close(d);
        return err_in(e, code, "%s", path);
    }
    *out = d;
    return ERR_OK;
}

void dataset_close(dataset *d) {
    if (!d)
        return;
    sqlite3_finalize(d->get_doc);
    sqlite3_finalize(d->get_text);
    sqlite3_close(d->db);
    free(d->path);
    free(d);
}

const char *dataset_path(const dataset *d) { return d->path; }

/* ---- info ---- */

/* The value as a NUL-terminated text of at most n - 1 bytes; empty when there is none. */
static err_code info_of(dataset *d, const char *key, char *out, size_t n, err *e) {
    sqlite3_stmt *s;
    bool row;
    *out = 0;
    TRY(sql_prepare(d->db, STR("SELECT value FROM info WHERE key = ?"), &s, e));
    sql_bind_text(s, 1, str_from(key));
    err_code code = sql_step(s, &row, e);
    str value = {0};
    if (code == ERR_OK && row)
        code = sql_text(s, 0, &value, e);
    if (code == ERR_OK)
        snprintf(out, n, "%.*s", STR_ARG(value));
    sqlite3_finalize(s);
    return code;
}

err_code dataset_info_int(dataset *d, const char *key, int64_t otherwise, int64_t *out, err *e) {
    char text[32], *end = text;
    *out = otherwise;
    TRY(info_of(d, key, text, sizeof text, e));
    errno = 0;
    long long x = strtoll(text, &end, 10);
    if (*text && (*end || errno))
        return err_set(e, ERR_FORMAT, "%s: info \"%s\" is no whole number", d->path, key);
    *out = *text ? x : otherwise;
    return ERR_OK;
}

err_code dataset_info_real(dataset *d, const char *key, double otherwise, double *out, err *e) {
    char text[32], *end = text;
    *out = otherwise;
    TRY(info_of(d, key, text, sizeof text, e));
    double x = strtod(text, &end);
    if (*text && *end)
        return err_set(e, ERR_FORMAT, "%s: info \"%s\" is no number", d->path, key);
    *out = *text ? x : otherwise;
    return ERR_OK;
}

/* ---- lists ---- */

static int compare_keys(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    uint32_t p = be32(x->sha256.byte), q = be32(y->sha256.byte);
    if (p != q) /* nearly always */
        return p < q ? -1 : 1;
    int c = memcmp(x->sha256.byte, y->sha256.byte, sizeof x->sha256.byte);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

typedef struct {
    dataset_key *key;
    size_t n, cap;
} key_list;

static err_code add_key(key_list *list, sqlite3_stmt *s, err *e) {
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 1024;
        dataset_key *p = cap < SIZE_MAX / sizeof *p ? realloc(list->key, cap * sizeof *p) : NULL;
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", cap);
        list->key = p;
        list->cap = cap;
    }
    dataset_key *k = &list->key[list->n];
    const void *sha;
    int64_t bytes;
    TRY(sql_int(s, 0, &k->id, e));
    TRY(sql_blob(s, 1, &sha, sizeof k->sha256.byte, e));
    TRY(sql_int(s, 2, &bytes, e));
    if (k->id < 1 || bytes < 1 || bytes > DATASET_TEXT_BYTES_MAX)
        return err_set(e, ERR_FORMAT, "document %" PRId64 ": a length of %" PRId64 " bytes", k->id, bytes);
    memcpy(k->sha256.byte, sha, sizeof k->sha256.byte);
    k->bytes = (size_t)bytes;
    list->n++;
    return ERR_OK;
}

/* Stops a condition that takes longer than anything an honest file could ask for, and on request. */
enum { STEPS_BETWEEN = 100000 };
static const double SECONDS_MAX = 600;

static int watch(void *ctx) {
    dataset *d = ctx;
    if (d->stop && *d->stop)
        return 1;
    return os_now() - d->began > SECONDS_MAX;
}

/* Digests are spread evenly: one pass puts each into a bucket by its first bits, and the buckets are short. A crowded
 * one (the same text many times) is only as slow as sorting everything at once. */
static err_code sort_keys(key_list *list, err *e) {
    enum { BITS_MAX = 16, BUCKET = 8 };
    int shift = 32;
    while (shift > 32 - BITS_MAX && list->n >> (32 - shift) > BUCKET)
        shift--;
    size_t n_buckets = (size_t)1 << (32 - shift), from = 0, *end = calloc(n_buckets, sizeof *end);
    dataset_key *sorted = malloc((list->n + 1) * sizeof *sorted);
    if (!end || !sorted) {
        free(end);
        free(sorted);
        return err_set(e, ERR_MEMORY, "no memory to sort %zu documents", list->n);
    }
    for (size_t i = 0; i < list->n; i++)
        end[(uint64_t)be32(list->key[i].sha256.byte) >> shift]++;
    for (size_t b = 0; b < n_buckets; b++) {
        size_t count = end[b];
        end[b] = from;
        from += count;
    }
    for (size_t i = 0; i < list->n; i++)
        sorted[end[(uint64_t)be32(list->key[i].sha256.byte) >> shift]++] = list->key[i];
    for (size_t b = from = 0; b < n_buckets; from = end[b++])
        if (end[b] - from > 1)
            qsort(sorted + from, end[b] - from, sizeof *sorted, compare_keys);
    free(end);
    free(list->key);
    list->key = sorted;
    return ERR_OK;
}

static err_code select_keys(dataset *d, const char *where, key_list *list, err *e) {
    sqlite3_stmt *s;
    bool row;
    TRY(where_prepare(d->db, "id, sha256_blob, bytes", where, &s, e));
    d->began = os_now();
    sqlite3_progress_handler(d->db, STEPS_BETWEEN, watch, d);
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row)
        if ((code = add_key(list, s, e)) != ERR_OK)
            break;
    sqlite3_progress_handler(d->db, 0, NULL, NULL);
    sqlite3_finalize(s);
    if (code == ERR_CANCELLED && !(d->stop && *d->stop))
        code = err_set(e, ERR_LIMIT, "the condition takes longer than %.0f s", SECONDS_MAX);
    return code;
}

err_code dataset_list(dataset *d, const char *where, dataset_key **keys, size_t *n, err *e) {
    key_list list = {0};
    *keys = NULL;
    *n = 0;
    err_code code = select_keys(d, where, &list, e);
    if (code == ERR_OK)
        code = sort_keys(&list, e);
    if (code != ERR_OK) {
        free(list.key);
        return code == ERR_USAGE ? code : err_in(e, code, "%s", d->path);
    }
    *keys = list.key;
    *n = list.n;
    return ERR_OK;
}

err_code dataset_check_where(const char *where, err *e) { return where_check(str_from(where), e); }

void dataset_set_stop(dataset *d, const volatile int *stop) { d->stop = stop; }

err_code dataset_keys_digest(const dataset_key *keys, size_t n, hash256 *out, err *e) {
    hash_state *s;
    TRY(hash_open(&s, e));
    for (size_t i = 0; i < n; i++)
        hash_add(s, keys[i].sha256.byte, sizeof keys[i].sha256.byte);
    *out = hash_close(s);
    return ERR_OK;
}

err_code dataset_digest(dataset *d, hash256 *out, err *e) {
    dataset_key *keys;
    size_t n;
    TRY(dataset_list(d, NULL, &keys, &n, e));
    err_code code = dataset_keys_digest(keys, n, out, e);
    free(keys);
    return code;
}

/* ---- one document ---- */

err_code dataset_doc_columns(sqlite3_stmt *s, dataset_doc *doc, int64_t *file, err *e) {
    const void *sha;
    int64_t bytes;
    *doc = (dataset_doc){0};
    TRY(sql_int(s, 0, &doc->key.id, e));
    TRY(sql_blob(s, 1, &sha, sizeof doc->key.sha256.byte, e));
    TRY(sql_int(s, 2, &bytes, e));
    memcpy(doc->key.sha256.byte, sha, sizeof doc->key.sha256.byte);
    doc->key.bytes = bytes > 0 ? (size_t)bytes : 0;
    str *const field[] = {&doc->name, &doc->source, &doc->licence, &doc->topic, &doc->kind, &doc->meta};
    for (int i = 0; i < 6; i++)
        TRY(sql_text(s, 3 + i, field[i], e));
    TRY(sql_int_or(s, 9, 0, &doc->duplicate_of, e));
    TRY(sql_int_or(s, 10, 0, &doc->near_of, e));
    TRY(sql_real_or(s, 11, 0, &doc->similarity, e));
    return sql_int(s, 12, file, e);
}

static err_code check_text(const dataset_doc *doc, err *e) {
    hash256 h = hash_of(doc->text.p, doc->text.n);
    if (doc->text.n == 0 || doc->text.n > DATASET_TEXT_BYTES_MAX || doc->text.n != doc->key.bytes)
        return err_set(e, ERR_FORMAT, "its text has %zu bytes, %zu are recorded", doc->text.n, doc->key.bytes);
    if (memcmp(h.byte, doc->key.sha256.byte, sizeof h.byte) != 0)
        return err_set(e, ERR_FORMAT,
                       "its text has another SHA-256 than recorded (the file is damaged or was changed)");
    return ERR_OK;
}

static err_code get(dataset *d, int64_t id, dataset_doc *doc, err *e) {
    bool row;
    int64_t file;
    sqlite3_reset(d->get_doc);
    sqlite3_reset(d->get_text);
    sql_bind_int(d->get_doc, 1, id);
    sql_bind_int(d->get_text, 1, id);
    TRY(sql_step(d->get_doc, &row, e));
    if (!row)
        return err_set(e, ERR_USAGE, "there is no such document");
    TRY(dataset_doc_columns(d->get_doc, doc, &file, e));
    TRY(sql_step(d->get_text, &row, e));
    if (!row)
        return err_set(e, ERR_FORMAT, "it has no text");
    TRY(sql_text(d->get_text, 0, &doc->text, e));
    return check_text(doc, e);
}

err_code dataset_get(dataset *d, int64_t id, dataset_doc *doc, err *e) {
    err_code code = get(d, id, doc, e);
    return code == ERR_OK ? code : err_in(e, code, "%s: document %" PRId64, d->path, id);
}

/* ---- other tables ---- */

static err_code hash_column(sqlite3_stmt *s, int column, hash256 *out, err *e) {
    const void *p;
    TRY(sql_blob(s, column, &p, sizeof out->byte, e));
    memcpy(out->byte, p, sizeof out->byte);
    return ERR_OK;
}

err_code dataset_file_columns(sqlite3_stmt *s, dataset_file *f, err *e) {
    int64_t *const counts[] = {&f->bytes,     &f->documents, &f->empty,     &f->brief, &f->binary, &f->encoding,
                               &f->malformed, &f->repaired,  &f->duplicate, &f->near,  &f->removed};
    TRY(sql_int(s, 0, &f->id, e));
    TRY(sql_text(s, 1, &f->name, e));
    TRY(sql_text(s, 2, &f->source, e));
    TRY(sql_text(s, 3, &f->format, e));
    TRY(hash_column(s, 4, &f->sha256, e));
    for (int i = 0; i < (int)(sizeof counts / sizeof *counts); i++)
        TRY(sql_int(s, 5 + i, counts[i], e));
    return ERR_OK;
}

err_code dataset_removal_columns(sqlite3_stmt *s, dataset_removal *r, err *e) {
    TRY(sql_int(s, 0, &r->id, e));
    TRY(sql_text(s, 1, &r->condition, e));
    TRY(sql_text(s, 2, &r->note, e));
    TRY(sql_int(s, 3, &r->documents, e));
    TRY(sql_int(s, 4, &r->bytes, e));
    TRY(hash_column(s, 5, &r->digest_before, e));
    return hash_column(s, 6, &r->digest_after, e);
}

err_code dataset_removed_columns(sqlite3_stmt *s, dataset_removed *r, err *e) {
    int64_t bytes;
    TRY(sql_int(s, 0, &r->key.id, e));
    TRY(hash_column(s, 1, &r->key.sha256, e));
    TRY(sql_int(s, 2, &bytes, e));
    r->key.bytes = bytes > 0 ? (size_t)bytes : 0;
    return sql_int(s, 3, &r->removal, e);
}
