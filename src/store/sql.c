/* sql: see sql.h.
 *
 * Source: "Defense Against The Dark Arts" (sqlite.org/security.html), the documentation of URI file names and of
 * sqlite3_db_config(), sqlite3_limit().
 */
#include "store/sql.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

static err_code class_of(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return ERR_IO;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    case SQLITE_INTERRUPT:
        return ERR_CANCELLED;
    default:
        return ERR_FORMAT;
    }
}

err_code sql_fail(sqlite3 *db, err *e) {
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    if ((code & 0xff) == SQLITE_FULL)
        return err_set(e, ERR_IO, "cannot be written: the disk is full");
    if (code == SQLITE_IOERR_NOMEM || (code & 0xff) == SQLITE_NOMEM)
        return err_set(e, ERR_MEMORY, "no memory for the database");
    int why = 0;
    if (db && class_of(code) == ERR_IO)
        (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &why);
    return err_set(e, class_of(code), "%s%s%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(code), why ? ": " : "",
                   why ? strerror(why) : "");
}

/* ---- opening ---- */

/* "file:" and the path with everything quoted that could mean something in a URI. */
static err_code uri_of(const char *path, const char *query, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("file:"), e));
    if (*path != '/')
        TRY(strbuf_add(out, STR("./"), e)); /* so that ":memory:" is a file too */
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("._-", *p);
        if (plain)
            TRY(strbuf_addc(out, (char)*p, e));
        else
            TRY(strbuf_addf(out, e, "%%%02X", *p));
    }
    TRY(strbuf_add(out, str_from(query), e));
    return strbuf_addc(out, 0, e);
}

static err_code open_uri(sqlite3 **db, const char *path, const char *query, int flags, err *e) {
    strbuf uri = {0};
    *db = NULL;
    err_code code = uri_of(path, query, &uri, e);
    if (code == ERR_OK && sqlite3_open_v2(uri.p, db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        code = sql_fail(*db, e);
    strbuf_fini(&uri);
    return code;
}

/* What a file can neither ask for nor do. */
static bool harden(sqlite3 *db) {
    static const struct {
        int option, value;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_LEGACY_FILE_FORMAT, 0},
    };
    static const struct {
        int limit, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, SQL_VALUE_BYTES_MAX},
        {SQLITE_LIMIT_SQL_LENGTH, SQL_STATEMENT_BYTES_MAX},
        {SQLITE_LIMIT_COLUMN, 64},
        {SQLITE_LIMIT_EXPR_DEPTH, 200},
        {SQLITE_LIMIT_COMPOUND_SELECT, 4},
        {SQLITE_LIMIT_FUNCTION_ARG, 16},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 32},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (sqlite3_db_config(db, switches[i].option, switches[i].value, NULL) != SQLITE_OK)
            return false;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        sqlite3_limit(db, limits[i].limit, limits[i].value);
    return true;
}

static err_code settle(sqlite3 **db, err_code code, const char *pragmas, err *e) {
    if (code == ERR_OK && !harden(*db))
        code = err_set(e, ERR_UNSUPPORTED, "this SQLite (%s) cannot be made safe; 3.37 or later is needed",
                       sqlite3_libversion());
    if (code == ERR_OK)
        code = sql_run(*db, pragmas, e);
    if (code != ERR_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return code;
}

static err_code open_hard(sqlite3 **db, const char *path, const char *query, int flags, const char *pragmas, err *e) {
    return settle(db, open_uri(db, path, query, flags, e), pragmas, e);
}

err_code sql_open_memory(sqlite3 **db, err *e) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
    err_code code = sqlite3_open_v2(":memory:", db, flags, NULL) == SQLITE_OK ? ERR_OK : sql_fail(*db, e);
    return settle(db, code, "PRAGMA temp_store=MEMORY;", e);
}

err_code sql_open_read(sqlite3 **db, const char *path, err *e) {
    return open_hard(db, path, "?immutable=1", SQLITE_OPEN_READONLY,
                     "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON;", e);
}

/* No journal at all is what a connection that harden() has seen refuses, without a word. */
err_code sql_open_write(sqlite3 **db, const char *path, err *e) {
    return open_hard(db, path, "?vfs=unix-none", SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW,
                     "PRAGMA page_size=8192; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; "
                     "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY;",
                     e);
}

err_code sql_open_log(sqlite3 **db, const char *path, bool write, err *e) {
    int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    return open_hard(db, path, "", flags | SQLITE_OPEN_NOFOLLOW,
                     write ? "PRAGMA busy_timeout=5000; PRAGMA cell_size_check=ON; PRAGMA synchronous=NORMAL; "
                             "PRAGMA temp_store=MEMORY;"
                           : "PRAGMA busy_timeout=5000; PRAGMA cell_size_check=ON; PRAGMA query_only=ON; "
                             "PRAGMA temp_store=MEMORY;",
                     e);
}

err_code sql_close(sqlite3 *db, err *e) { return sqlite3_close(db) == SQLITE_OK ? ERR_OK : sql_fail(db, e); }

/* ---- statements ---- */

err_code sql_run(sqlite3 *db, const char *statements, err *e) {
    return sqlite3_exec(db, statements, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : sql_fail(db, e);
}

err_code sql_prepare(sqlite3 *db, str statement, sqlite3_stmt **out, err *e) {
    *out = NULL;
    if (statement.n > SQL_STATEMENT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "an SQL statement of %zu bytes; at most %d are allowed", statement.n,
                       SQL_STATEMENT_BYTES_MAX);
    const char *tail = NULL;
    if (sqlite3_prepare_v2(db, statement.p, (int)statement.n, out, &tail) != SQLITE_OK)
        return sql_fail(db, e);
    while (tail < statement.p + statement.n && (*tail == ' ' || *tail == '\n'))
        tail++;
    if (*out && tail == statement.p + statement.n)
        return ERR_OK;
    sqlite3_finalize(*out);
    *out = NULL;
    return err_set(e, ERR_USAGE, "not exactly one SQL statement");
}

err_code sql_step(sqlite3_stmt *s, bool *row, err *e) {
    int code = sqlite3_step(s);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? ERR_OK : sql_fail(sqlite3_db_handle(s), e);
}

err_code sql_step_done(sqlite3_stmt *s, err *e) {
    bool row;
    err_code code = sql_step(s, &row, e);
    sqlite3_reset(s);
    if (code == ERR_OK && row)
        return err_set(e, ERR_FORMAT, "SQL: a row where none belongs");
    return code;
}

/* ---- columns and parameters ---- */

static err_code wrong_type(sqlite3_stmt *s, int column, const char *wanted, err *e) {
    static const char *const names[] = {
        [SQLITE_INTEGER] = "an integer", [SQLITE_FLOAT] = "a real number", [SQLITE_TEXT] = "a text",
        [SQLITE_BLOB] = "a blob",        [SQLITE_NULL] = "nothing",
    };
    const char *name = sqlite3_column_name(s, column);
    return err_set(e, ERR_FORMAT, "column \"%s\" holds %s where %s belongs", name ? name : "?",
                   names[sqlite3_column_type(s, column)], wanted);
}

err_code sql_int(sqlite3_stmt *s, int column, int64_t *out, err *e) {
    if (sqlite3_column_type(s, column) != SQLITE_INTEGER)
        return wrong_type(s, column, "an integer", e);
    *out = sqlite3_column_int64(s, column);
    return ERR_OK;
}

err_code sql_int_or(sqlite3_stmt *s, int column, int64_t otherwise, int64_t *out, err *e) {
    *out = otherwise;
    return sqlite3_column_type(s, column) == SQLITE_NULL ? ERR_OK : sql_int(s, column, out, e);
}

err_code sql_real_or(sqlite3_stmt *s, int column, double otherwise, double *out, err *e) {
    int type = sqlite3_column_type(s, column);
    *out = type == SQLITE_FLOAT ? sqlite3_column_double(s, column) : otherwise;
    return type == SQLITE_FLOAT || type == SQLITE_NULL ? ERR_OK : wrong_type(s, column, "a real number", e);
}

err_code sql_text(sqlite3_stmt *s, int column, str *out, err *e) {
    if (sqlite3_column_type(s, column) != SQLITE_TEXT)
        return wrong_type(s, column, "a text", e);
    const char *p = (const char *)sqlite3_column_text(s, column);
    if (!p)
        return sql_fail(sqlite3_db_handle(s), e);
    *out = (str){p, (size_t)sqlite3_column_bytes(s, column)};
    return ERR_OK;
}

err_code sql_blob(sqlite3_stmt *s, int column, const void **out, size_t bytes, err *e) {
    if (sqlite3_column_type(s, column) != SQLITE_BLOB)
        return wrong_type(s, column, "a blob", e);
    *out = sqlite3_column_blob(s, column);
    size_t n = (size_t)sqlite3_column_bytes(s, column);
    if (!*out && n > 0)
        return sql_fail(sqlite3_db_handle(s), e);
    if (n != bytes)
        return err_set(e, ERR_FORMAT, "column \"%s\" holds %zu bytes where %zu belong", sqlite3_column_name(s, column),
                       n, bytes);
    return ERR_OK;
}

/* A failed binding (no memory, too long) makes SQLite's next step fail or store NULL, which NOT NULL refuses. */
void sql_bind_int(sqlite3_stmt *s, int parameter, int64_t x) { sqlite3_bind_int64(s, parameter, x); }

void sql_bind_text(sqlite3_stmt *s, int parameter, str text) {
    sqlite3_bind_text64(s, parameter, text.p ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

void sql_bind_blob(sqlite3_stmt *s, int parameter, const void *p, size_t n) {
    sqlite3_bind_blob64(s, parameter, p ? p : "", n, SQLITE_STATIC);
}

err_code sql_one_int(sqlite3 *db, const char *statement, int64_t *out, err *e) {
    sqlite3_stmt *s;
    bool row = false;
    TRY(sql_prepare(db, str_from(statement), &s, e));
    err_code code = sql_step(s, &row, e);
    if (code == ERR_OK && !row)
        code = err_set(e, ERR_FORMAT, "SQL: no row where one belongs");
    if (code == ERR_OK)
        code = sql_int(s, 0, out, e);
    sqlite3_finalize(s);
    return code;
}
