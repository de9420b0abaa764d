/* where: an SQL expression of a user's, kept to being an expression.
 *
 * Allowed are literals, the columns offered, operators, and the functions of the list in where.c, which depend on
 * nothing but their arguments. Refused (ERR_USAGE): unbalanced parentheses or quotes, comments, semicolons, parameters,
 * sub-queries, functions that are not in the list, tables and columns that are not offered. How long one evaluation
 * takes is bounded by the length of the expression and of the row; the number of SQLite's steps is bounded too.
 * Proved by test_dataset.c, fuzz_where.c.
 */
#ifndef LOAM_STORE_WHERE_H
#define LOAM_STORE_WHERE_H

#include "store/sql.h"

enum { WHERE_BYTES_MAX = 1 << 20 };

/* The text alone: whether "(" + expression + ")" is one operand whatever the rest of a statement says. */
err_code where_check(str expression, err *e);

/* Prepares "SELECT columns FROM documents that satisfy the expression", in no particular order. `columns` are trusted
 * and come from: id, sha256 (hex), sha256_blob, bytes, file, name, source, licence, topic, kind, meta, duplicate_of,
 * near_of, similarity, text. where NULL: all documents. */
err_code where_prepare(sqlite3 *db, const char *columns, const char *where, sqlite3_stmt **out, err *e);

#endif
