/* sql: SQLite behind a thin face: files that may be hostile, errors in one line.
 *
 * Statements and connections are SQLite's own and are used with SQLite's functions; this header adds what Loam insists
 * on. A file opened for reading is taken as immutable (no lock, no journal, nothing beside it is looked at or created)
 * and as hostile: no triggers, views, extensions, unsafe functions, no double-quoted strings, bounded lengths. A file
 * opened for writing is one that nobody else knows yet: no lock, no journal beside it, no sync; who opens it brings it
 * to disk.
 *
 * Errors: SQLITE_FULL, IOERR, CANTOPEN, PERM, READONLY give ERR_IO; NOMEM ERR_MEMORY; TOOBIG ERR_LIMIT; INTERRUPT
 * ERR_CANCELLED; CORRUPT, NOTADB and all else ERR_FORMAT. The text is SQLite's; the caller puts the file in front.
 */
#ifndef LOAM_STORE_SQL_H
#define LOAM_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { SQL_VALUE_BYTES_MAX = 256 << 20, SQL_STATEMENT_BYTES_MAX = 4 << 20 };

err_code sql_open_read(sqlite3 **db, const char *path, err *e);
err_code sql_open_write(sqlite3 **db, const char *path, err *e);
/* A file that grows while others may read it, and survives whatever happens to its writer (SQLite's own journal).
 * write: created if need be. As hostile as any other. */
err_code sql_open_log(sqlite3 **db, const char *path, bool write, err *e);
err_code sql_open_memory(sqlite3 **db, err *e); /* a new one, in memory */
err_code sql_close(sqlite3 *db, err *e);        /* NULL allowed; statements are finalized by who prepared them */

err_code sql_fail(sqlite3 *db, err *e); /* the error that db is in */
err_code sql_run(sqlite3 *db, const char *statements, err *e);
/* Exactly one statement; text after it is ERR_USAGE. */
err_code sql_prepare(sqlite3 *db, str statement, sqlite3_stmt **out, err *e);
err_code sql_step(sqlite3_stmt *s, bool *row, err *e); /* *row: one is there; else the statement has ended */
err_code sql_step_done(sqlite3_stmt *s, err *e);       /* no row is expected; resets, also after an error */

/* Columns of the current row, of exactly this type: another one is ERR_FORMAT that names the column. Slices are valid
 * until the next step or reset. sql_text() of NULL and sql_blob() of NULL fail; the _or forms take NULL as `otherwise`.
 */
err_code sql_int(sqlite3_stmt *s, int column, int64_t *out, err *e);
err_code sql_int_or(sqlite3_stmt *s, int column, int64_t otherwise, int64_t *out, err *e);
err_code sql_real_or(sqlite3_stmt *s, int column, double otherwise, double *out, err *e);
err_code sql_text(sqlite3_stmt *s, int column, str *out, err *e);
err_code sql_blob(sqlite3_stmt *s, int column, const void **out, size_t bytes, err *e); /* of exactly `bytes` */

/* Parameters (from 1). The bytes must live until the statement is reset or bound anew. */
void sql_bind_int(sqlite3_stmt *s, int parameter, int64_t x);
void sql_bind_text(sqlite3_stmt *s, int parameter, str text);
void sql_bind_blob(sqlite3_stmt *s, int parameter, const void *p, size_t n);

/* An integer that one statement gives. */
err_code sql_one_int(sqlite3 *db, const char *statement, int64_t *out, err *e);

#endif
