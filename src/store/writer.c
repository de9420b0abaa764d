/* writer: see writer.h.
 *
 * Invariants:
 *   1. Whoever writes PATH.tmp holds the lock on that very inode, and the name leads to it: this is looked at after the
 *      lock was got, since a writer that was waited for renames its file.
 *   2. The lock is given up (by closing) only after the rename or the removal of the name.
 *   3. SQLite keeps no journal on disk and syncs nothing: until commit the file may be in any state, and nobody reads
 * it.
 */
#include "store/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/outfile.h"
#include "store/dataset_int.h"
#include "store/schema.h"

enum { N_STATEMENTS = 10, PATH_BYTES_MAX = 4096, LOCK_TRIES = 100 };

typedef enum {
    PUT_DOC,
    PUT_TEXT,
    PUT_NEAR,
    PUT_FILE,
    PUT_REMOVAL,
    PUT_REMOVED,
    PUT_INFO,
    GET_TEXT,
    DELETE_DOC,
    DELETE_TEXT
} statement;
static const char *const statements[N_STATEMENTS] = {
    [PUT_DOC] = "INSERT INTO documents VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PUT_TEXT] = "INSERT INTO texts VALUES (?,?)",
    [PUT_NEAR] = "UPDATE documents SET near_of = ?2, similarity = ?3 WHERE id = ?1",
    [PUT_FILE] = "INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PUT_REMOVAL] = "INSERT INTO removals VALUES (?,?,?,?,?,?,?)",
    [PUT_REMOVED] = "INSERT INTO removed VALUES (?,?,?,?)",
    [PUT_INFO] = "INSERT INTO info VALUES (?,?)",
    [GET_TEXT] = "SELECT text FROM texts WHERE id = ?",
    [DELETE_DOC] = "DELETE FROM documents WHERE id = ?",
    [DELETE_TEXT] = "DELETE FROM texts WHERE id = ?",
};

struct dataset_writer {
    char *path, *temp, *temp2;
    int fd; /* of temp, with the lock */
    sqlite3 *db;
    sqlite3_stmt *s[N_STATEMENTS];
    int64_t last_id;
};

static err_code at_path(const dataset_writer *w, err_code code, err *e) {
    return code == ERR_OK ? code : err_in(e, code, "%s", w->path);
}

static err_code refused(const char *what, err *e) {
    return err_set(e, ERR_IO, "cannot be %s: %s", what, strerror(errno));
}

/* ---- opening ---- */

/* One try to get the lock on the file that has the name: *again when it lost the name meanwhile. */
static err_code lock_temp(dataset_writer *w, bool *again, err *e) {
    struct stat mine, named;
    *again = false;
    w->fd = open(w->temp, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
    if (w->fd < 0)
        return refused("created", e);
    if (fstat(w->fd, &mine) != 0)
        return refused("examined", e);
    if (!S_ISREG(mine.st_mode))
        return err_set(e, ERR_IO, "%s is not a regular file (remove it)", w->temp);
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? err_set(e, ERR_IO, "is being written by another process (wait for it to end)")
                                    : refused("locked", e);
    *again = lstat(w->temp, &named) != 0 || named.st_ino != mine.st_ino || named.st_dev != mine.st_dev;
    if (*again) {
        close(w->fd);
        w->fd = -1;
        return ERR_OK;
    }
    if (unlink(w->temp2) != 0 && errno != ENOENT)
        return refused("cleared of what a killed writer left", e);
    return ftruncate(w->fd, 0) == 0 ? ERR_OK : refused("written", e);
}

static err_code open_temp(dataset_writer *w, err *e) {
    bool again = true;
    for (int i = 0; i < LOCK_TRIES && again; i++)
        TRY(lock_temp(w, &again, e));
    return again ? err_set(e, ERR_IO, "is being written by other processes") : ERR_OK;
}

static err_code create_tables(dataset_writer *w, err *e) {
    static const char *const tables[] = {
#define X(name, columns) SCHEMA_CREATE(name, columns),
        SCHEMA_TABLES(X)
#undef X
    };
    char pragmas[128];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d;", SCHEMA_APPLICATION_ID,
             SCHEMA_VERSION);
    TRY(sql_run(w->db, "BEGIN", e));
    TRY(sql_run(w->db, pragmas, e));
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(sql_run(w->db, tables[i], e));
    return ERR_OK;
}

static err_code prepare(dataset_writer *w, err *e) {
    for (int i = 0; i < N_STATEMENTS; i++)
        TRY(sql_prepare(w->db, str_from(statements[i]), &w->s[i], e));
    return ERR_OK;
}

/* What stands at the path may be replaced when it is a data set. */
static err_code check_target(const char *path, err *e) {
    struct stat st;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return ERR_OK;
    err_code code = dataset_check_file(path, e);
    return code == ERR_FORMAT ? err_set(e, code, "%s: is there and no data set; it is not overwritten", path) : code;
}

err_code dataset_writer_open(dataset_writer **out, const char *path, err *e) {
    *out = NULL;
    if (strlen(path) > PATH_BYTES_MAX - 8)
        return err_set(e, ERR_LIMIT, "%.60s...: the path is too long", path);
    TRY(check_target(path, e));
    dataset_writer *w = calloc(1, sizeof *w);
    size_t n = strlen(path) + 8;
    if (w) {
        w->fd = -1;
        w->path = strdup(path);
        w->temp = calloc(1, n);
        w->temp2 = calloc(1, n);
    }
    if (!w || !w->path || !w->temp || !w->temp2) {
        dataset_writer_abort(w);
        return err_set(e, ERR_MEMORY, "%s: no memory to write it", path);
    }
    snprintf(w->temp, n, "%s.tmp", path);
    snprintf(w->temp2, n, "%s.tmp2", path);
    err_code code = open_temp(w, e);
    if (code != ERR_OK && w->fd >= 0) { /* not ours: the name must stay */
        close(w->fd);
        w->fd = -1;
    }
    if (code == ERR_OK)
        code = sql_open_write(&w->db, w->temp, e);
    if (code == ERR_OK)
        code = create_tables(w, e);
    if (code == ERR_OK)
        code = prepare(w, e);
    if (code != ERR_OK) {
        at_path(w, code, e);
        dataset_writer_abort(w);
        return code;
    }
    *out = w;
    return ERR_OK;
}

/* ---- rows ---- */

static void bind_int_or_null(sqlite3_stmt *s, int parameter, int64_t x) {
    if (x)
        sql_bind_int(s, parameter, x);
    else
        sqlite3_bind_null(s, parameter);
}

static err_code put_doc(dataset_writer *w, const dataset_doc *doc, int64_t file, err *e) {
    sqlite3_stmt *s = w->s[PUT_DOC], *t = w->s[PUT_TEXT];
    sql_bind_int(s, 1, doc->key.id);
    sql_bind_blob(s, 2, doc->key.sha256.byte, sizeof doc->key.sha256.byte);
    sql_bind_int(s, 3, (int64_t)doc->text.n);
    sql_bind_int(s, 4, file);
    const str field[] = {doc->name, doc->source, doc->licence, doc->topic, doc->kind, doc->meta};
    for (int i = 0; i < 6; i++)
        sql_bind_text(s, 5 + i, field[i]);
    bind_int_or_null(s, 11, doc->duplicate_of);
    bind_int_or_null(s, 12, doc->near_of);
    if (doc->near_of)
        sqlite3_bind_double(s, 13, doc->similarity);
    else
        sqlite3_bind_null(s, 13);
    TRY(sql_step_done(s, e));
    sql_bind_int(t, 1, doc->key.id);
    sql_bind_text(t, 2, doc->text);
    return sql_step_done(t, e);
}

err_code dataset_writer_put(dataset_writer *w, const dataset_doc *doc, int64_t file, err *e) {
    assert(doc->key.id > w->last_id && doc->text.n > 0 && doc->text.n <= DATASET_TEXT_BYTES_MAX);
    w->last_id = doc->key.id;
    return at_path(w, put_doc(w, doc, file, e), e);
}

err_code dataset_writer_near(dataset_writer *w, int64_t id, int64_t near_of, double similarity, err *e) {
    sqlite3_stmt *s = w->s[PUT_NEAR];
    sql_bind_int(s, 1, id);
    sql_bind_int(s, 2, near_of);
    sqlite3_bind_double(s, 3, similarity);
    return at_path(w, sql_step_done(s, e), e);
}

static err_code get_text(dataset_writer *w, int64_t id, strbuf *out, err *e) {
    sqlite3_stmt *s = w->s[GET_TEXT];
    bool row;
    str text;
    sql_bind_int(s, 1, id);
    err_code code = sql_step(s, &row, e);
    if (code == ERR_OK && !row)
        code = err_set(e, ERR_FORMAT, "document %" PRId64 " has vanished", id);
    if (code == ERR_OK)
        code = sql_text(s, 0, &text, e);
    if (code == ERR_OK)
        code = strbuf_add(out, text, e);
    sqlite3_reset(s);
    return code;
}

err_code dataset_writer_text(dataset_writer *w, int64_t id, strbuf *out, err *e) {
    return at_path(w, get_text(w, id, out, e), e);
}

err_code dataset_writer_delete(dataset_writer *w, int64_t id, err *e) {
    sql_bind_int(w->s[DELETE_DOC], 1, id);
    sql_bind_int(w->s[DELETE_TEXT], 1, id);
    err_code code = sql_step_done(w->s[DELETE_DOC], e);
    if (code == ERR_OK)
        code = sql_step_done(w->s[DELETE_TEXT], e);
    return at_path(w, code, e);
}

err_code dataset_writer_file(dataset_writer *w, const dataset_file *f, err *e) {
    sqlite3_stmt *s = w->s[PUT_FILE];
    const int64_t counts[] = {f->bytes,     f->documents, f->empty,     f->brief, f->binary, f->encoding,
                              f->malformed, f->repaired,  f->duplicate, f->near,  f->removed};
    sql_bind_int(s, 1, f->id);
    sql_bind_text(s, 2, f->name);
    sql_bind_text(s, 3, f->source);
    sql_bind_text(s, 4, f->format);
    sql_bind_blob(s, 5, f->sha256.byte, sizeof f->sha256.byte);
    for (int i = 0; i < (int)(sizeof counts / sizeof *counts); i++)
        sql_bind_int(s, 6 + i, counts[i]);
    return at_path(w, sql_step_done(s, e), e);
}

err_code dataset_writer_removal(dataset_writer *w, const dataset_removal *r, err *e) {
    sqlite3_stmt *s = w->s[PUT_REMOVAL];
    sql_bind_int(s, 1, r->id);
    sql_bind_text(s, 2, r->condition);
    sql_bind_text(s, 3, r->note);
    sql_bind_int(s, 4, r->documents);
    sql_bind_int(s, 5, r->bytes);
    sql_bind_blob(s, 6, r->digest_before.byte, sizeof r->digest_before.byte);
    sql_bind_blob(s, 7, r->digest_after.byte, sizeof r->digest_after.byte);
    return at_path(w, sql_step_done(s, e), e);
}

err_code dataset_writer_removed(dataset_writer *w, const dataset_removed *r, err *e) {
    sqlite3_stmt *s = w->s[PUT_REMOVED];
    sql_bind_int(s, 1, r->key.id);
    sql_bind_blob(s, 2, r->key.sha256.byte, sizeof r->key.sha256.byte);
    sql_bind_int(s, 3, (int64_t)r->key.bytes);
    sql_bind_int(s, 4, r->removal);
    return at_path(w, sql_step_done(s, e), e);
}

err_code dataset_writer_info(dataset_writer *w, const char *key, const char *value, err *e) {
    sqlite3_stmt *s = w->s[PUT_INFO];
    sql_bind_text(s, 1, str_from(key));
    sql_bind_text(s, 2, str_from(value));
    return at_path(w, sql_step_done(s, e), e);
}

/* ---- the end ---- */

static void finalize(dataset_writer *w) {
    for (int i = 0; i < N_STATEMENTS; i++) {
        sqlite3_finalize(w->s[i]);
        w->s[i] = NULL;
    }
}

static void free_writer(dataset_writer *w) {
    if (w->fd >= 0)
        close(w->fd);
    free(w->path);
    free(w->temp);
    free(w->temp2);
    free(w);
}

static err_code close_db(dataset_writer *w, err *e) {
    TRY(sql_run(w->db, "COMMIT", e));
    finalize(w);
    TRY(sql_close(w->db, e));
    w->db = NULL;
    return ERR_OK;
}

static err_code vacuum_into(dataset_writer *w, err *e) {
    sqlite3_stmt *s;
    strbuf name = {0};
    err_code code = strbuf_addf(&name, e, "%s%s", *w->temp2 == '/' ? "" : "./", w->temp2); /* no URI, whatever it is */
    sqlite3_limit(w->db, SQLITE_LIMIT_ATTACHED, 1); /* which is how SQLite does it */
    if (code == ERR_OK)
        code = sql_prepare(w->db, STR("VACUUM INTO ?"), &s, e);
    if (code == ERR_OK) {
        sql_bind_text(s, 1, strbuf_str(&name));
        code = sql_step_done(s, e);
        sqlite3_finalize(s);
    }
    strbuf_fini(&name);
    return code;
}

/* The compacted file takes the name and the lock: it is locked before it has the name, so nobody gets in between. */
static err_code compact(dataset_writer *w, err *e) {
    TRY(sql_run(w->db, "COMMIT", e));
    finalize(w);
    TRY(vacuum_into(w, e));
    TRY(sql_close(w->db, e));
    w->db = NULL;
    int fd = open(w->temp2, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return refused("opened", e);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || rename(w->temp2, w->temp) != 0) {
        err_code code = refused("replaced", e);
        close(fd);
        return code;
    }
    close(w->fd);
    w->fd = fd;
    TRY(sql_open_write(&w->db, w->temp, e));
    TRY(sql_run(w->db, "BEGIN", e));
    return prepare(w, e);
}

err_code dataset_writer_compact(dataset_writer *w, err *e) { return at_path(w, compact(w, e), e); }

static err_code give_name(dataset_writer *w, err *e) {
    struct stat old;
    TRY(check_target(w->path, NULL) == ERR_OK ? ERR_OK : err_set(e, ERR_IO, "has been replaced meanwhile"));
    if (stat(w->path, &old) == 0 && fchmod(w->fd, old.st_mode & 0777) != 0)
        return refused("given the permissions of the old file", e);
    if (fsync(w->fd) != 0)
        return refused("brought to disk", e);
    return rename(w->temp, w->path) == 0 ? ERR_OK : refused("replaced", e);
}

err_code dataset_writer_commit(dataset_writer *w, err *e) {
    err_code code = close_db(w, e);
    if (code == ERR_OK)
        code = give_name(w, e);
    if (code != ERR_OK) {
        at_path(w, code, e);
        dataset_writer_abort(w);
        return code;
    }
    code = outfile_sync_folder_of(w->path, e);
    free_writer(w);
    return code;
}

void dataset_writer_abort(dataset_writer *w) {
    if (!w)
        return;
    finalize(w);
    sqlite3_close(w->db);
    if (w->fd >= 0) {
        unlink(w->temp);
        unlink(w->temp2);
    }
    free_writer(w);
}
