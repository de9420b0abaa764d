/* used: see used.h. */
#include "store/used.h"

#include <stdlib.h>

#include "store/dataset_int.h"
#include "store/where.h"

static int by_documents(const void *a, const void *b) {
    const used_row *x = a, *y = b;
    if (x->documents != y->documents)
        return x->documents < y->documents ? 1 : -1;
    int c = str_cmp(x->source, y->source);
    return c ? c : str_cmp(x->licence, y->licence);
}

static bool is(const used_row *r, str source, str licence) {
    return str_eq(r->source, source) && str_eq(r->licence, licence);
}

/* Its row, a new one, or the last of all for what is too much. Documents of one source mostly stand together. */
static err_code row_of(used_row *rows, size_t *n, size_t most, size_t *at, str source, str licence, arena *mem,
                       err *e) {
    if (*at < *n && is(&rows[*at], source, licence))
        return ERR_OK;
    for (*at = 0; *at < *n; ++*at)
        if (is(&rows[*at], source, licence))
            return ERR_OK;
    if (*n == most) {
        rows[most].source = STR("(others)");
        return ERR_OK;
    }
    used_row *r = &rows[(*n)++];
    r->source = arena_str(mem, source);
    r->licence = arena_str(mem, licence);
    return r->source.p && r->licence.p ? ERR_OK : arena_short(e, source.n + licence.n, 1);
}

static err_code count(sqlite3_stmt *s, size_t most, arena *mem, used_row *rows, size_t *n, const volatile int *stop,
                      err *e) {
    bool row;
    size_t at = 0;
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row) {
        str source, licence;
        int64_t bytes;
        TRY(sql_text(s, 0, &source, e));
        TRY(sql_text(s, 1, &licence, e));
        TRY(sql_int(s, 2, &bytes, e));
        TRY(row_of(rows, n, most, &at, source, licence, mem, e));
        rows[at].documents++;
        rows[at].bytes += bytes;
        if (stop && *stop)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    return code;
}

err_code used_by(dataset *d, const char *where, size_t most, arena *mem, used_row **rows, size_t *n, err *e) {
    sqlite3_stmt *s;
    *n = 0;
    ARENA_NEW(mem, *rows, most + 1, e);
    err_code code = where_prepare(d->db, "source, licence, bytes", where && *where ? where : NULL, &s, e);
    if (code == ERR_OK) {
        code = count(s, most, mem, *rows, n, d->stop, e);
        sqlite3_finalize(s);
    }
    if (code != ERR_OK)
        return err_in(e, code, "%s", d->path);
    if (*n)
        qsort(*rows, *n, sizeof **rows, by_documents);
    *n += (*rows)[most].documents > 0;
    return ERR_OK;
}
