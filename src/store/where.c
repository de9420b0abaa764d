/* where: see where.h.
 *
 * Two fences. The scanner sees to it that the expression cannot leave its parentheses and holds no sub-query (which
 * could loop); SQLite's authorizer sees to it that the statement reads nothing but what is offered and calls nothing
 * but what is listed.
 */
#include "store/where.h"

#include <stdio.h>
#include <string.h>

/* Deterministic, without side effects, and of a cost bounded by their arguments' and results' length. */
static const char *const functions[] = {
    "abs",          "coalesce",  "glob",      "hex",    "ifnull", "iif",      "instr", "json_array_length",
    "json_extract", "length",    "like",      "likely", "lower",  "ltrim",    "max",   "min",
    "nullif",       "json_type", "->",        "->>",    "quote",  "replace",  "round", "rtrim",
    "sign",         "substr",    "substring", "trim",   "typeof", "unlikely", "upper", "unicode",
};

/* ---- the scanner ---- */

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           (unsigned char)c >= 0x80;
}

/* Past the closing quote that belongs to s.p[at], or 0 when there is none. A doubled quote is one of the text. */
static size_t quoted_end(str s, size_t at) {
    char close = s.p[at] == '[' ? ']' : s.p[at];
    for (size_t i = at + 1; i < s.n; i++) {
        if (s.p[i] != close)
            continue;
        if (close == ']' || i + 1 == s.n || s.p[i + 1] != close)
            return i + 1;
        i++;
    }
    return 0;
}

static bool same_word(str word, const char *upper) {
    if (strlen(upper) != word.n)
        return false;
    for (size_t i = 0; i < word.n; i++)
        if ((word.p[i] & ~0x20) != upper[i])
            return false;
    return true;
}

static err_code check_word(str word, err *e) {
    static const char *const query[] = {"SELECT", "VALUES", "WITH", "RAISE"};
    for (size_t i = 0; i < sizeof query / sizeof *query; i++)
        if (same_word(word, query[i]))
            return err_set(e, ERR_USAGE, "%s is not allowed in a condition (only an expression over a document is)",
                           query[i]);
    return ERR_OK;
}

err_code where_check(str s, err *e) {
    size_t depth = 0, n_tokens = 0;
    if (s.n > WHERE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a condition of %zu bytes; at most %d are allowed", s.n, WHERE_BYTES_MAX);
    for (size_t i = 0; i < s.n;) {
        char c = s.p[i];
        bool pair = i + 1 < s.n;
        if (!c || c == ';' || (c == '-' && pair && s.p[i + 1] == '-') || (c == '/' && pair && s.p[i + 1] == '*'))
            return err_set(e, ERR_USAGE, "byte %zu: a condition is one expression, without ; and comments", i);
        if (c == '?' || c == ':' || c == '@' || c == '#')
            return err_set(e, ERR_USAGE, "byte %zu: %c is not allowed in a condition", i, c);
        if (c == ')' && depth == 0)
            return err_set(e, ERR_USAGE, "byte %zu: ) without its (", i);
        depth += c == '(';
        depth -= c == ')';
        n_tokens += !strchr(" \t\r\n\f", c);
        if (strchr("'\"`[", c)) {
            size_t end = quoted_end(s, i);
            if (!end)
                return err_set(e, ERR_USAGE, "byte %zu: %c without its end", i, c);
            i = end;
        } else if (is_name(c)) {
            size_t from = i;
            while (i < s.n && is_name(s.p[i]))
                i++;
            TRY(check_word(str_sub(s, from, i), e));
        } else
            i++;
    }
    if (depth > 0)
        return err_set(e, ERR_USAGE, "( without its )");
    return n_tokens ? ERR_OK : err_set(e, ERR_USAGE, "an empty condition");
}

/* ---- the authorizer ---- */

typedef struct {
    const char *refused; /* what kind of thing */
    char name[64];
} guard;

static int refuse(guard *g, const char *what, const char *name) {
    g->refused = what;
    snprintf(g->name, sizeof g->name, "%s", name ? name : "");
    return SQLITE_DENY;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *db, const char *trigger) {
    guard *g = ctx;
    (void)db;
    if (trigger)
        return refuse(g, "the trigger or view", trigger);
    if (action == SQLITE_SELECT)
        return SQLITE_OK;
    if (action == SQLITE_READ) {
        bool offered = a && (strcmp(a, "documents") == 0 || strcmp(a, "texts") == 0);
        return offered ? SQLITE_OK : refuse(g, "the table", a);
    }
    if (action == SQLITE_FUNCTION) {
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (sqlite3_stricmp(b, functions[i]) == 0)
                return SQLITE_OK;
        return refuse(g, "the function", b);
    }
    return refuse(g, "a statement", "");
}

/* ---- statements ---- */

/* meta is NULL where there is none, so that json_extract() takes it. */
#define OFFERED                                                                                                    \
    "(SELECT id, lower(hex(sha256)) AS sha256, sha256 AS sha256_blob, bytes, file, name, source, licence, topic, " \
    "kind, nullif(meta, '') AS meta, duplicate_of, near_of, similarity, "                                          \
    "(SELECT text FROM texts WHERE texts.id = documents.id) AS text FROM documents)"

static err_code prepare_guarded(sqlite3 *db, str statement, sqlite3_stmt **out, err *e) {
    guard g = {0};
    sqlite3_set_authorizer(db, authorize, &g);
    err_code code = sql_prepare(db, statement, out, e);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (code != ERR_OK && g.refused)
        return err_set(e, ERR_USAGE, "%s \"%s\" is not allowed in a condition", g.refused, g.name);
    return code == ERR_FORMAT ? err_set(e, ERR_USAGE, "%s", sqlite3_errmsg(db)) : code;
}

err_code where_prepare(sqlite3 *db, const char *columns, const char *where, sqlite3_stmt **out, err *e) {
    *out = NULL;
    strbuf statement = {0};
    err_code code = where ? where_check(str_from(where), e) : ERR_OK;
    if (code == ERR_OK)
        code = strbuf_addf(&statement, e, "SELECT %s FROM " OFFERED " WHERE (%s)", columns, where ? where : "1");
    if (code == ERR_OK)
        code = prepare_guarded(db, strbuf_str(&statement), out, e);
    if (code == ERR_OK && sqlite3_bind_parameter_count(*out) > 0) {
        sqlite3_finalize(*out);
        *out = NULL;
        code = err_set(e, ERR_USAGE, "parameters are not allowed in a condition");
    }
    strbuf_fini(&statement);
    return code;
}
