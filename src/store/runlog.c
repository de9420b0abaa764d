/* runlog: see runlog.h. */
#include "store/runlog.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "store/sql.h"

enum { APPLICATION_ID = 0x4c6f616c /* "Loal" */, VERSION = 1, ROWS_MAX = 1 << 26 };

static const char CREATE[] =
    "PRAGMA application_id=1282367852; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS steps(step INTEGER PRIMARY KEY, at REAL NOT NULL, seconds REAL NOT NULL, loss REAL NOT "
    "NULL, norm REAL NOT NULL, lr REAL NOT NULL, tokens INTEGER NOT NULL, flops REAL NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS evals(step INTEGER PRIMARY KEY, bits REAL NOT NULL, bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS sessions(from_step INTEGER NOT NULL, to_step INTEGER NOT NULL, seconds REAL NOT NULL, "
    "joules REAL, threads INTEGER NOT NULL, isa TEXT NOT NULL) STRICT;";
_Static_assert(APPLICATION_ID == 1282367852, "as CREATE says");

enum { ADD_STEP, ADD_EVAL, ADD_SESSION, ADDS };
static const char *const add_text[ADDS] = {
    "INSERT OR REPLACE INTO steps VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    "INSERT OR REPLACE INTO evals VALUES(?1, ?2, ?3)",
    "INSERT INTO sessions VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
};

struct runlog {
    sqlite3 *db;
    sqlite3_stmt *add[ADDS];
    char *path;
    double begun; /* of the open transaction */
};

static err_code in(const runlog *l, err_code code, err *e) {
    return code == ERR_OK ? code : err_in(e, code, "%s", l->path);
}

/* An empty file or one of ours. */
static err_code check(sqlite3 *db, err *e) {
    int64_t id, version, tables;
    TRY(sql_one_int(db, "PRAGMA application_id", &id, e));
    TRY(sql_one_int(db, "PRAGMA user_version", &version, e));
    TRY(sql_one_int(db, "SELECT count(*) FROM sqlite_schema", &tables, e));
    if (tables && (id != APPLICATION_ID || version != VERSION))
        return err_set(e, ERR_FORMAT, "is no log of a run, or one of another version of Loam");
    return ERR_OK;
}

static err_code open_in(runlog *l, uint64_t step, err *e) {
    TRY(sql_open_log(&l->db, l->path, true, e));
    TRY(check(l->db, e));
    TRY(sql_run(l->db, CREATE, e));
    static const char *const forget[] = {"DELETE FROM steps WHERE step > ?1", "DELETE FROM evals WHERE step > ?1"};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *s;
        TRY(sql_prepare(l->db, str_from(forget[i]), &s, e));
        sql_bind_int(s, 1, (int64_t)step);
        err_code code = sql_step_done(s, e);
        sqlite3_finalize(s);
        TRY(code);
    }
    for (int i = 0; i < ADDS; i++)
        TRY(sql_prepare(l->db, str_from(add_text[i]), &l->add[i], e));
    TRY(sql_run(l->db, "BEGIN", e));
    l->begun = os_now();
    return ERR_OK;
}

static err_code end(runlog *l, err_code code, err *e) {
    for (int i = 0; i < ADDS; i++)
        sqlite3_finalize(l->add[i]);
    if (l->db && code == ERR_OK)
        code = in(l, sql_run(l->db, "COMMIT", e), e);
    if (l->db)
        sqlite3_close(l->db);
    free(l->path);
    free(l);
    return code;
}

err_code runlog_open(runlog **out, const char *path, uint64_t step, err *e) {
    *out = NULL;
    runlog *l = calloc(1, sizeof *l);
    char *copy = strdup(path);
    if (!l || !copy) {
        free(l);
        free(copy);
        return err_set(e, ERR_MEMORY, "%s: no memory to open it", path);
    }
    l->path = copy;
    err_code code = in(l, open_in(l, step, e), e);
    if (code != ERR_OK)
        return end(l, code, e);
    *out = l;
    return ERR_OK;
}

err_code runlog_close(runlog *l, err *e) { return l ? end(l, ERR_OK, e) : ERR_OK; }

static err_code done(runlog *l, int what, err *e) {
    TRY(in(l, sql_step_done(l->add[what], e), e));
    if (os_now() - l->begun < 1)
        return ERR_OK;
    TRY(in(l, sql_run(l->db, "COMMIT; BEGIN", e), e));
    l->begun = os_now();
    return ERR_OK;
}

err_code runlog_add_step(runlog *l, const runlog_step *s, err *e) {
    sqlite3_stmt *add = l->add[ADD_STEP];
    const double real[] = {s->at, s->seconds, s->loss, s->norm, s->lr};
    sql_bind_int(add, 1, (int64_t)s->step);
    for (int i = 0; i < 5; i++)
        sqlite3_bind_double(add, 2 + i, real[i]);
    sql_bind_int(add, 7, (int64_t)s->tokens);
    sqlite3_bind_double(add, 8, s->flops);
    return done(l, ADD_STEP, e);
}

err_code runlog_add_eval(runlog *l, const runlog_eval *v, err *e) {
    sqlite3_stmt *add = l->add[ADD_EVAL];
    sql_bind_int(add, 1, (int64_t)v->step);
    sqlite3_bind_double(add, 2, v->bits);
    sql_bind_int(add, 3, (int64_t)v->bytes);
    return done(l, ADD_EVAL, e);
}

err_code runlog_add_session(runlog *l, const runlog_session *s, err *e) {
    sqlite3_stmt *add = l->add[ADD_SESSION];
    sql_bind_int(add, 1, (int64_t)s->from_step);
    sql_bind_int(add, 2, (int64_t)s->to_step);
    sqlite3_bind_double(add, 3, s->seconds);
    if (s->joules < 0)
        sqlite3_bind_null(add, 4);
    else
        sqlite3_bind_double(add, 4, s->joules);
    sql_bind_int(add, 5, s->threads);
    sql_bind_text(add, 6, str_from(s->isa));
    return done(l, ADD_SESSION, e);
}

/* ---- reading ---- */

static err_code rows(sqlite3 *db, const char *count, const char *query, size_t size, void **out, size_t *n,
                     err_code (*take)(sqlite3_stmt *, void *, err *), err *e) {
    int64_t have;
    sqlite3_stmt *s;
    TRY(sql_one_int(db, count, &have, e));
    if (have < 0 || have > ROWS_MAX)
        return err_set(e, ERR_LIMIT, "has %lld rows", (long long)have);
    *out = calloc((size_t)have + 1, size);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for %lld rows", (long long)have);
    TRY(sql_prepare(db, str_from(query), &s, e));
    err_code code = ERR_OK;
    for (bool row = true; code == ERR_OK && *n < (size_t)have;) {
        code = sql_step(s, &row, e);
        if (code != ERR_OK || !row)
            break;
        code = take(s, (char *)*out + *n * size, e);
        *n += code == ERR_OK;
    }
    sqlite3_finalize(s);
    return code;
}

static err_code take_step(sqlite3_stmt *s, void *to, err *e) {
    runlog_step *x = to;
    double *const real[] = {&x->at, &x->seconds, &x->loss, &x->norm, &x->lr};
    int64_t step, tokens;
    TRY(sql_int(s, 0, &step, e));
    for (int i = 0; i < 5; i++)
        TRY(sql_real_or(s, 1 + i, 0, real[i], e));
    TRY(sql_int(s, 6, &tokens, e));
    TRY(sql_real_or(s, 7, 0, &x->flops, e));
    x->step = (uint64_t)step;
    x->tokens = (uint64_t)tokens;
    return ERR_OK;
}

static err_code take_eval(sqlite3_stmt *s, void *to, err *e) {
    runlog_eval *x = to;
    int64_t step, bytes;
    TRY(sql_int(s, 0, &step, e));
    TRY(sql_real_or(s, 1, 0, &x->bits, e));
    TRY(sql_int(s, 2, &bytes, e));
    x->step = (uint64_t)step;
    x->bytes = (uint64_t)bytes;
    return ERR_OK;
}

static err_code totals(sqlite3 *db, runlog_rows *r, err *e) {
    sqlite3_stmt *s;
    bool row;
    TRY(sql_prepare(db,
                    STR("SELECT total(seconds), CASE WHEN count(*) = count(joules) THEN total(joules) ELSE -1.0 END, "
                        "total(seconds * threads) FROM sessions"),
                    &s, e));
    err_code code = sql_step(s, &row, e);
    if (code == ERR_OK && row)
        code = sql_real_or(s, 0, 0, &r->seconds, e);
    if (code == ERR_OK && row)
        code = sql_real_or(s, 1, -1, &r->joules, e);
    if (code == ERR_OK && row)
        code = sql_real_or(s, 2, 0, &r->thread_seconds, e);
    sqlite3_finalize(s);
    return code;
}

err_code runlog_read(runlog_rows *r, const char *path, err *e) {
    *r = (runlog_rows){0};
    sqlite3 *db;
    void *step = NULL, *eval = NULL;
    err_code code = sql_open_log(&db, path, false, e);
    if (code != ERR_OK)
        return err_in(e, code, "%s", path);
    code = check(db, e);
    if (code == ERR_OK)
        code = rows(db, "SELECT count(*) FROM steps",
                    "SELECT step, at, seconds, loss, norm, lr, tokens, flops FROM steps ORDER BY step", sizeof *r->step,
                    &step, &r->n_steps, take_step, e);
    r->step = step;
    if (code == ERR_OK)
        code = rows(db, "SELECT count(*) FROM evals", "SELECT step, bits, bytes FROM evals ORDER BY step",
                    sizeof *r->eval, &eval, &r->n_evals, take_eval, e);
    r->eval = eval;
    if (code == ERR_OK)
        code = totals(db, r, e);
    sqlite3_close(db);
    if (code == ERR_OK)
        return code;
    runlog_rows_fini(r);
    return err_in(e, code, "%s", path);
}

void runlog_rows_fini(runlog_rows *r) {
    free(r->step);
    free(r->eval);
    *r = (runlog_rows){0};
}
