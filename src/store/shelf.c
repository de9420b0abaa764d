/* shelf: see shelf.h. The tables are those of schema.h. */
#include "store/shelf.h"

#include <stdlib.h>

#include "base/os.h"
#include "store/schema.h"
#include "store/where.h"

struct shelf {
    sqlite3 *db;
    sqlite3_stmt *put_doc, *put_text;
    const volatile int *stop;
    double began;
};

enum { STEPS_BETWEEN = 100000 };
static const double SECONDS_MAX = 600;

static err_code prepare(shelf *s, err *e) {
#define X(name, columns) SCHEMA_CREATE(name, columns) ";"
    TRY(sql_run(s->db, SCHEMA_TABLES(X) "BEGIN", e));
#undef X
    TRY(sql_prepare(s->db, STR("INSERT INTO documents VALUES(?,?,?,0,?,?,?,?,?,?,?,NULL,NULL)"), &s->put_doc, e));
    return sql_prepare(s->db, STR("INSERT INTO texts VALUES(?,?)"), &s->put_text, e);
}

err_code shelf_open(shelf **out, err *e) {
    *out = NULL;
    shelf *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "no memory for a list of documents");
    err_code code = sql_open_memory(&s->db, e);
    if (code == ERR_OK)
        code = prepare(s, e);
    if (code != ERR_OK) {
        shelf_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void shelf_close(shelf *s) {
    if (!s)
        return;
    sqlite3_finalize(s->put_doc);
    sqlite3_finalize(s->put_text);
    sql_close(s->db, NULL);
    free(s);
}

err_code shelf_put(shelf *s, const dataset_doc *doc, err *e) {
    sqlite3_stmt *d = s->put_doc, *t = s->put_text;
    const str field[] = {doc->name, doc->source, doc->licence, doc->topic, doc->kind, doc->meta};
    sql_bind_int(d, 1, doc->key.id);
    sql_bind_blob(d, 2, doc->key.sha256.byte, sizeof doc->key.sha256.byte);
    sql_bind_int(d, 3, (int64_t)doc->text.n);
    for (int i = 0; i < 6; i++)
        sql_bind_text(d, 4 + i, field[i]);
    if (doc->duplicate_of)
        sql_bind_int(d, 10, doc->duplicate_of);
    else
        sqlite3_bind_null(d, 10);
    TRY(sql_step_done(d, e));
    sql_bind_int(t, 1, doc->key.id);
    sql_bind_text(t, 2, doc->text);
    return sql_step_done(t, e);
}

static int watch(void *ctx) {
    const shelf *s = ctx;
    return (s->stop && *s->stop) || os_now() - s->began > SECONDS_MAX;
}

static err_code take_id(sqlite3_stmt *q, int64_t **ids, size_t *n, size_t *cap, err *e) {
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 256;
        int64_t *p = realloc(*ids, *cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", *cap);
        *ids = p;
    }
    return sql_int(q, 0, &(*ids)[(*n)++], e);
}

static int ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

err_code shelf_pick(shelf *s, const char *where, const volatile int *stop, int64_t **ids, size_t *n, err *e) {
    sqlite3_stmt *q;
    size_t cap = 0;
    bool row;
    *ids = NULL;
    *n = 0;
    TRY(where_prepare(s->db, "id", where, &q, e));
    s->stop = stop;
    s->began = os_now();
    sqlite3_progress_handler(s->db, STEPS_BETWEEN, watch, s);
    err_code code;
    while ((code = sql_step(q, &row, e)) == ERR_OK && row)
        if ((code = take_id(q, ids, n, &cap, e)) != ERR_OK)
            break;
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    sqlite3_finalize(q);
    if (code == ERR_CANCELLED && !(stop && *stop))
        code = err_set(e, ERR_LIMIT, "the condition takes longer than %.0f s", SECONDS_MAX);
    if (code == ERR_OK && *n)
        qsort(*ids, *n, sizeof **ids, ascending);
    if (code != ERR_OK) {
        free(*ids);
        *ids = NULL;
        *n = 0;
    }
    return code;
}
