/* stats: see stats.h. */
#include "store/stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/dataset_int.h"

static err_code in_set(const dataset *d, err_code code, err *e) {
    return code == ERR_OK ? code : err_in(e, code, "%s", d->path);
}

static int compare_sizes(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static err_code counts(dataset *d, stats_totals *t, err *e) {
    const struct {
        const char *statement;
        int64_t *out;
    } numbers[] = {
        {"SELECT count(*) FROM documents WHERE duplicate_of IS NOT NULL", &t->exact_duplicates},
        {"SELECT count(*) FROM documents WHERE near_of IS NOT NULL", &t->near_duplicates},
        {"SELECT count(*) FROM files", &t->files},
        {"SELECT count(*) FROM removals", &t->removals},
        {"SELECT count(*) FROM removed", &t->removed},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TRY(sql_one_int(d->db, numbers[i].statement, numbers[i].out, e));
    return ERR_OK;
}

err_code stats_total(dataset *d, stats_totals *out, err *e) {
    dataset_key *keys;
    size_t n;
    *out = (stats_totals){0};
    TRY(dataset_list(d, NULL, &keys, &n, e));
    if (n)
        qsort(keys, n, sizeof *keys, compare_sizes);
    out->documents = (int64_t)n;
    for (size_t i = 0; i < n; i++)
        out->bytes += (int64_t)keys[i].bytes;
    if (n) {
        out->bytes_min = (int64_t)keys[0].bytes;
        out->bytes_median = (int64_t)keys[(n - 1) / 2].bytes;
        out->bytes_max = (int64_t)keys[n - 1].bytes;
    }
    free(keys);
    return in_set(d, counts(d, out, e), e);
}

static err_code kept(arena *mem, str s, str *out, err *e) {
    *out = arena_str(mem, s);
    return out->p ? ERR_OK : arena_short(e, s.n, 1);
}

static err_code read_rows(sqlite3_stmt *s, size_t most, arena *mem, stats_row *rows, size_t *n, err *e) {
    bool row;
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row && *n < most) {
        str value;
        TRY(sql_text(s, 0, &value, e));
        TRY(kept(mem, value, &rows[*n].value, e));
        TRY(sql_int(s, 1, &rows[*n].documents, e));
        TRY(sql_int(s, 2, &rows[*n].bytes, e));
        ++*n;
    }
    return code;
}

err_code stats_by(dataset *d, stats_column column, size_t most, arena *mem, stats_row **rows, size_t *n, int64_t *n_all,
                  err *e) {
    static const char *const names[] = {
        [STATS_LICENCE] = "licence", [STATS_SOURCE] = "source", [STATS_KIND] = "kind", [STATS_TOPIC] = "topic"};
    char text[256];
    sqlite3_stmt *s;
    *n = 0;
    ARENA_NEW(mem, *rows, most, e);
    snprintf(text, sizeof text, "SELECT count(DISTINCT %s) FROM documents", names[column]);
    err_code code = sql_one_int(d->db, text, n_all, e);
    snprintf(text, sizeof text,
             "SELECT %s, count(*), sum(bytes) FROM documents GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %zu", names[column],
             most);
    if (code == ERR_OK)
        code = sql_prepare(d->db, str_from(text), &s, e);
    if (code != ERR_OK)
        return in_set(d, code, e);
    code = read_rows(s, most, mem, *rows, n, e);
    sqlite3_finalize(s);
    return in_set(d, code, e);
}

err_code stats_files(dataset *d, size_t most, arena *mem, dataset_file **files, size_t *n, err *e) {
    sqlite3_stmt *s;
    bool row;
    *n = 0;
    ARENA_NEW(mem, *files, most, e);
    err_code code = sql_prepare(d->db, STR("SELECT * FROM files ORDER BY id"), &s, e);
    while (code == ERR_OK && *n < most && (code = sql_step(s, &row, e)) == ERR_OK && row) {
        dataset_file *f = &(*files)[*n];
        code = dataset_file_columns(s, f, e);
        str *const field[] = {&f->name, &f->source, &f->format};
        for (int i = 0; i < 3 && code == ERR_OK; i++)
            code = kept(mem, *field[i], field[i], e);
        *n += code == ERR_OK;
    }
    sqlite3_finalize(s);
    return in_set(d, code, e);
}

err_code stats_removals(dataset *d, size_t most, arena *mem, dataset_removal **removals, size_t *n, err *e) {
    sqlite3_stmt *s;
    bool row;
    *n = 0;
    ARENA_NEW(mem, *removals, most, e);
    err_code code = sql_prepare(d->db, STR("SELECT * FROM removals ORDER BY id"), &s, e);
    while (code == ERR_OK && *n < most && (code = sql_step(s, &row, e)) == ERR_OK && row) {
        dataset_removal *r = &(*removals)[*n];
        code = dataset_removal_columns(s, r, e);
        if (code == ERR_OK)
            code = kept(mem, r->condition, &r->condition, e);
        if (code == ERR_OK)
            code = kept(mem, r->note, &r->note, e);
        *n += code == ERR_OK;
    }
    sqlite3_finalize(s);
    return in_set(d, code, e);
}
