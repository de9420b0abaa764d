/* registry: the index; see registry.h. Blobs, views, deleting and checking are in registry_files.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/lockfile.h"
#include "io/gguf_parts.h"
#include "store/registry_int.h"

enum { APPLICATION_ID = 0x4c6f6172 /* "Loar" */, VERSION = 1, MATCHES_MAX = 2 };

static const char CREATE[] =
    "BEGIN IMMEDIATE;"
    "PRAGMA application_id=1282367858; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS models(model INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE IF NOT EXISTS files(model INTEGER NOT NULL, name TEXT NOT NULL, sha256 BLOB NOT NULL, bytes INTEGER "
    "NOT NULL, place TEXT NOT NULL, PRIMARY KEY(model, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS names(name TEXT PRIMARY KEY, model INTEGER NOT NULL, source TEXT NOT NULL, revision "
    "TEXT NOT NULL, licence TEXT NOT NULL, added INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "COMMIT;";
_Static_assert(APPLICATION_ID == 1282367858, "as CREATE says");

#define NAMED                                                                                                     \
    "SELECT names.name, source, revision, licence, added, models.bytes, id, models.model FROM names JOIN models " \
    "USING(model)"

static err_code in(const registry *r, err_code code, err *e) {
    return code == ERR_OK ? code : err_in(e, code, "%s/registry.db", r->home);
}

bool registry_stopped(const registry *r) { return r->stop && *r->stop; }

/* ---- places ---- */

err_code registry_home(char out[OS_PATH_BYTES], err *e) {
    const char *own = getenv("LOAM_HOME"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (own && *own)
        return os_join(out, own, "", e);
    if (data && *data == '/') /* a relative one is to be ignored, says the specification */
        return os_join(out, data, "loam", e);
    if (home && *home)
        return os_join(out, home, ".local/share/loam", e);
    return err_set(e, ERR_USAGE, "no place for models: neither LOAM_HOME, XDG_DATA_HOME nor HOME is set");
}

err_code registry_path_of(const registry *r, const char *folder, const char *name, registry_path *out, err *e) {
    registry_path dir;
    TRY(os_join(dir.text, r->home, folder, e));
    return os_join(out->text, dir.text, name, e);
}

err_code registry_folder_of(const registry *r, hash256 id, registry_path *out, err *e) {
    char hex[65];
    hash_hex(id, hex);
    return registry_path_of(r, "models", hex, out, e);
}

static err_code make_folder(const char *path, err *e) {
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && os_is_dir(path)))
        return ERR_OK;
    return os_refused(path, "made", e);
}

static err_code make_folders(const char *path, err *e) {
    char part[OS_PATH_BYTES];
    TRY(os_join(part, path, "", e));
    for (char *p = part + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            TRY(make_folder(part, e));
            *p = '/';
        }
    return make_folder(part, e);
}

/* ---- opening ---- */

static err_code check(sqlite3 *db, int64_t *tables, err *e) {
    int64_t id, version;
    TRY(sql_one_int(db, "PRAGMA application_id", &id, e));
    TRY(sql_one_int(db, "PRAGMA user_version", &version, e));
    TRY(sql_one_int(db, "SELECT count(*) FROM sqlite_schema", tables, e));
    if (*tables && (id != APPLICATION_ID || version != VERSION))
        return err_set(e, ERR_FORMAT, "is no registry of models, or one of another version of Loam");
    return ERR_OK;
}

static err_code open_db(registry *r, bool write, err *e) {
    registry_path path;
    int64_t tables = 0;
    TRY(os_join(path.text, r->home, "registry.db", e));
    TRY(in(r, sql_open_log(&r->db, path.text, write, e), e));
    if (write)
        TRY(in(r, sql_run(r->db, "PRAGMA synchronous=FULL", e), e));
    TRY(in(r, check(r->db, &tables, e), e));
    return tables ? ERR_OK : in(r, sql_run(r->db, CREATE, e), e);
}

static err_code open_in(registry *r, const char *home, bool create, err *e) {
    static const char *const folders[] = {"blobs", "models", "partial"};
    if (create)
        TRY(make_folders(home, e));
    /* SQLite refuses a path with a symbolic link in it, so that nobody can put one there later. */
    if (!realpath(home, r->home))
        return os_refused(home, "opened", e);
    for (size_t i = 0; create && i < sizeof folders / sizeof *folders; i++) {
        registry_path path;
        TRY(os_join(path.text, r->home, folders[i], e));
        TRY(make_folder(path.text, e));
    }
    return open_db(r, create || access(r->home, W_OK) == 0, e);
}

err_code registry_open(registry **out, const char *home, bool create, const volatile int *stop, err *e) {
    char db[OS_PATH_BYTES];
    *out = NULL;
    TRY(os_join(db, home, "registry.db", e));
    if (!create && !os_exists(db))
        return ERR_OK;
    registry *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory for the registry of models");
    r->lock = -1;
    r->stop = stop;
    err_code code = open_in(r, home, create, e);
    if (code != ERR_OK) {
        registry_close(r);
        return code;
    }
    *out = r;
    return ERR_OK;
}

/* As registry_gc(), but that others take something in is told by *busy. */
static err_code collect(registry *r, bool partials, bool *busy, uint64_t *freed_bytes, err *e) {
    registry_path path;
    int lock;
    *freed_bytes = 0;
    TRY(os_join(path.text, r->home, "lock", e));
    TRY(lockfile_try(&lock, path.text, true, e));
    *busy = lock < 0;
    if (*busy)
        return ERR_OK;
    err_code code = registry_sweep(r, partials, freed_bytes, e);
    lockfile_leave(lock);
    r->litter = r->litter && code != ERR_OK;
    return code;
}

void registry_close(registry *r) {
    bool busy;
    uint64_t freed;
    if (!r)
        return;
    lockfile_leave(r->lock);
    if (r->litter) /* what cannot go now goes with the next registry_gc() */
        (void)collect(r, false, &busy, &freed, NULL);
    sqlite3_close(r->db);
    free(r);
}

err_code registry_begin(registry *r, err *e) {
    registry_path path;
    if (r->lock >= 0)
        return ERR_OK;
    TRY(os_join(path.text, r->home, "lock", e));
    return lockfile_take(&r->lock, path.text, false, -1, r->stop, e);
}

/* ---- names ---- */

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._-:/+@", c));
}

/* Between slashes stands something, and it is neither "." nor "..". */
static bool parts_plain(str name) {
    for (size_t from = 0, i = 0; i <= name.n; i++)
        if (i == name.n || name.p[i] == '/') {
            str part = str_sub(name, from, i);
            if (part.n == 0 || str_is(part, ".") || str_is(part, ".."))
                return false;
            from = i + 1;
        }
    return true;
}

err_code registry_name_check(str name, err *e) {
    if (name.n == 0 || name.n > REGISTRY_NAME_MAX)
        return err_set(e, ERR_USAGE, "a model's name has 1 to %d characters", REGISTRY_NAME_MAX);
    for (size_t i = 0; i < name.n; i++)
        if (!name_char(name.p[i]))
            return err_set(e, ERR_USAGE, "\"%.*s\": a model's name has letters, digits and . _ - : / + @ only",
                           STR_ARG(name));
    if (!parts_plain(name) || name.p[0] == '-')
        return err_set(e, ERR_USAGE, "\"%.*s\": a model's name neither begins with - nor has an empty part, . or ..",
                       STR_ARG(name));
    return ERR_OK;
}

err_code registry_file_name_check(str name, err *e) {
    bool good = name.n > 0 && name.n <= REGISTRY_FILE_NAME_MAX && name.p[0] != '.' && name.p[0] != '-';
    for (size_t i = 0; good && i < name.n; i++)
        good = (unsigned char)name.p[i] >= ' ' && name.p[i] != 127 && !strchr("/\\", name.p[i]);
    return good ? ERR_OK : err_set(e, ERR_FORMAT, "\"%.*s\" is no plain file name", STR_ARG(name));
}

/* ---- reading ---- */

static err_code read_named(sqlite3_stmt *s, registry_model *m, int64_t *model, err *e) {
    const void *id;
    int64_t bytes;
    TRY(sql_text(s, 0, &m->name, e));
    TRY(sql_text(s, 1, &m->source, e));
    TRY(sql_text(s, 2, &m->revision, e));
    TRY(sql_text(s, 3, &m->licence, e));
    TRY(sql_int(s, 4, &m->added, e));
    TRY(sql_int(s, 5, &bytes, e));
    TRY(sql_blob(s, 6, &id, sizeof m->id, e));
    m->bytes = (uint64_t)bytes;
    memcpy(m->id.byte, id, sizeof m->id.byte);
    return sql_int(s, 7, model, e);
}

err_code registry_each(registry *r, registry_fn *fn, void *ctx, err *e) {
    sqlite3_stmt *s;
    bool row = false;
    if (!r)
        return ERR_OK;
    TRY(in(r, sql_prepare(r->db, STR(NAMED " ORDER BY names.name"), &s, e), e));
    err_code code = in(r, sql_step(s, &row, e), e);
    while (code == ERR_OK && row) {
        registry_model m = {0};
        int64_t model;
        code = in(r, read_named(s, &m, &model, e), e);
        if (code == ERR_OK)
            code = fn(ctx, &m, e);
        if (code == ERR_OK)
            code = in(r, sql_step(s, &row, e), e);
    }
    sqlite3_finalize(s);
    return code;
}

static err_code read_file(sqlite3_stmt *s, arena *mem, registry_file *f, err *e) {
    const void *sha;
    int64_t bytes;
    TRY(sql_text(s, 0, &f->name, e));
    TRY(registry_file_name_check(f->name, e));
    TRY(sql_blob(s, 1, &sha, sizeof f->sha256, e));
    TRY(sql_int(s, 2, &bytes, e));
    TRY(sql_text(s, 3, &f->place, e));
    memcpy(f->sha256.byte, sha, sizeof f->sha256.byte);
    f->bytes = (uint64_t)bytes;
    f->name = arena_str(mem, f->name);
    f->place = arena_str(mem, f->place);
    return f->name.p && f->place.p ? ERR_OK : arena_short(e, 1, REGISTRY_FILE_NAME_MAX);
}

static err_code read_files(sqlite3_stmt *s, arena *mem, registry_model *m, err *e) {
    registry_file *list;
    bool row = false;
    ARENA_NEW(mem, list, REGISTRY_FILES_MAX, e);
    for (;;) {
        TRY(sql_step(s, &row, e));
        if (!row)
            break;
        if (m->n_files == REGISTRY_FILES_MAX)
            return err_set(e, ERR_LIMIT, "a model of more than %d files", REGISTRY_FILES_MAX);
        TRY(read_file(s, mem, &list[m->n_files++], e));
    }
    m->file = list;
    return ERR_OK;
}

err_code registry_with_files(registry *r, int64_t model, const registry_model *head, registry_fn *fn, void *ctx,
                             err *e) {
    registry_model m = *head;
    arena mem = {.max_bytes = 8 << 20};
    sqlite3_stmt *s;
    TRY(in(
        r,
        sql_prepare(r->db, STR("SELECT name, sha256, bytes, place FROM files WHERE model = ?1 ORDER BY name"), &s, e),
        e));
    sql_bind_int(s, 1, model);
    err_code code = in(r, read_files(s, &mem, &m, e), e);
    sqlite3_finalize(s);
    if (code == ERR_OK)
        code = fn(ctx, &m, e);
    arena_fini(&mem);
    return code;
}

err_code registry_each_model(registry *r, registry_fn *fn, void *ctx, err *e) {
    sqlite3_stmt *s;
    bool row = false;
    TRY(in(r, sql_prepare(r->db, STR("SELECT id, bytes, model FROM models ORDER BY model"), &s, e), e));
    err_code code = in(r, sql_step(s, &row, e), e);
    while (code == ERR_OK && row) {
        registry_model m = {0};
        const void *id;
        int64_t bytes = 0, model = 0;
        code = in(r, sql_blob(s, 0, &id, sizeof m.id, e), e);
        if (code == ERR_OK)
            memcpy(m.id.byte, id, sizeof m.id.byte);
        if (code == ERR_OK)
            code = in(r, sql_int(s, 1, &bytes, e), e);
        if (code == ERR_OK)
            code = in(r, sql_int(s, 2, &model, e), e);
        m.bytes = (uint64_t)bytes;
        if (code == ERR_OK)
            code = registry_with_files(r, model, &m, fn, ctx, e);
        if (code == ERR_OK)
            code = in(r, sql_step(s, &row, e), e);
    }
    sqlite3_finalize(s);
    return code;
}

/* ---- finding ---- */

static str without_tag(str name) {
    size_t n = name.n;
    while (n > 0 && name.p[n - 1] != ':')
        n--;
    return n > 0 ? str_sub(name, 0, n - 1) : name;
}

static bool means(str name, str asked) {
    str tail = os_last_part_of(name);
    return str_eq(tail, asked) || str_eq(without_tag(name), asked) || str_eq(without_tag(tail), asked);
}

typedef struct {
    str asked;
    int n;
    char name[MATCHES_MAX][REGISTRY_NAME_MAX + 1];
} matches;

static err_code match(void *ctx, const registry_model *m, err *e) {
    matches *k = ctx;
    (void)e;
    if (means(m->name, k->asked) && k->n < MATCHES_MAX && m->name.n <= REGISTRY_NAME_MAX)
        snprintf(k->name[k->n++], sizeof k->name[0], "%.*s", (int)m->name.n, m->name.p);
    return ERR_OK;
}

static err_code find_whole(registry *r, str name, registry_fn *fn, void *ctx, bool *found, err *e) {
    sqlite3_stmt *s;
    int64_t model = 0;
    TRY(in(r, sql_prepare(r->db, STR(NAMED " WHERE names.name = ?1"), &s, e), e));
    sql_bind_text(s, 1, name);
    registry_model m = {0};
    err_code code = in(r, sql_step(s, found, e), e);
    if (code == ERR_OK && *found)
        code = in(r, read_named(s, &m, &model, e), e);
    if (code == ERR_OK && *found)
        code = registry_with_files(r, model, &m, fn, ctx, e);
    sqlite3_finalize(s);
    return code;
}

err_code registry_find(registry *r, str name, registry_fn *fn, void *ctx, bool *found, err *e) {
    matches k = {.asked = name};
    *found = false;
    if (!r || registry_name_check(name, NULL) != ERR_OK)
        return ERR_OK;
    TRY(find_whole(r, name, fn, ctx, found, e));
    if (*found)
        return ERR_OK;
    TRY(registry_each(r, match, &k, e));
    if (k.n > 1)
        return err_set(e, ERR_USAGE, "\"%.*s\" can mean %s or %s (say which: loam list has the names)", STR_ARG(name),
                       k.name[0], k.name[1]);
    return k.n ? find_whole(r, str_from(k.name[0]), fn, ctx, found, e) : ERR_OK;
}

err_code registry_model_path(const registry *r, const registry_model *m, char out[OS_PATH_BYTES], err *e) {
    registry_path folder;
    TRY(registry_folder_of(r, m->id, &folder, e));
    unsigned no = 0, parts = 0;
    bool in_parts = m->n_files > 1 && gguf_part_of(m->file[0].name, &no, &parts) && parts == m->n_files;
    if (m->n_files != 1 && !in_parts)
        return os_join(out, folder.text, "", e);
    char name[REGISTRY_FILE_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)m->file[0].name.n, m->file[0].name.p);
    return os_join(out, folder.text, name, e);
}

/* ---- writing ---- */

static int by_name(const void *a, const void *b) {
    return str_cmp(((const registry_file *)a)->name, ((const registry_file *)b)->name);
}

/* The id of files in the order of their names: "HEX  NAME\n" of each, hashed. */
static err_code id_of(const registry_file *file, size_t n, hash256 *id, err *e) {
    strbuf text = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        char hex[65];
        hash_hex(file[i].sha256, hex);
        code = registry_file_name_check(file[i].name, e);
        if (code == ERR_OK && i > 0 && str_eq(file[i].name, file[i - 1].name))
            code = err_set(e, ERR_FORMAT, "two files of the name \"%.*s\"", STR_ARG(file[i].name));
        if (code == ERR_OK)
            code = strbuf_addf(&text, e, "%s  %.*s\n", hex, (int)file[i].name.n, file[i].name.p);
    }
    *id = hash_of(text.p, text.n);
    strbuf_fini(&text);
    return code;
}

static err_code add_file(registry *r, int64_t model, const registry_file *f, err *e) {
    sqlite3_stmt *s;
    TRY(sql_prepare(r->db, STR("INSERT INTO files VALUES(?1, ?2, ?3, ?4, ?5)"), &s, e));
    sql_bind_int(s, 1, model);
    sql_bind_text(s, 2, f->name);
    sql_bind_blob(s, 3, f->sha256.byte, sizeof f->sha256.byte);
    sql_bind_int(s, 4, (int64_t)f->bytes);
    sql_bind_text(s, 5, f->place);
    err_code code = sql_step_done(s, e);
    sqlite3_finalize(s);
    return code;
}

/* The model's row: the one that is there, or a new one with its files. */
static err_code model_row(registry *r, const registry_model *m, int64_t *model, err *e) {
    sqlite3_stmt *s;
    bool row = false;
    TRY(sql_prepare(r->db, STR("SELECT model FROM models WHERE id = ?1"), &s, e));
    sql_bind_blob(s, 1, m->id.byte, sizeof m->id.byte);
    err_code code = sql_step(s, &row, e);
    if (code == ERR_OK && row)
        code = sql_int(s, 0, model, e);
    sqlite3_finalize(s);
    TRY(code);
    if (row)
        return ERR_OK;
    TRY(sql_prepare(r->db, STR("INSERT INTO models(id, bytes) VALUES(?1, ?2)"), &s, e));
    sql_bind_blob(s, 1, m->id.byte, sizeof m->id.byte);
    sql_bind_int(s, 2, (int64_t)m->bytes);
    code = sql_step_done(s, e);
    sqlite3_finalize(s);
    TRY(code);
    *model = sqlite3_last_insert_rowid(r->db);
    for (size_t i = 0; i < m->n_files; i++)
        TRY(add_file(r, *model, &m->file[i], e));
    return ERR_OK;
}

static err_code take_source(void *ctx, const registry_model *m, err *e) {
    (void)e;
    snprintf(ctx, REGISTRY_TEXT_MAX + 1, "%.*s",
             (int)(m->source.n > REGISTRY_TEXT_MAX ? REGISTRY_TEXT_MAX : m->source.n), m->source.p);
    return ERR_OK;
}

err_code registry_name_free(registry *r, str name, str source, err *e) {
    char taken[REGISTRY_TEXT_MAX + 1];
    bool found = false;
    TRY(find_whole(r, name, take_source, taken, &found, e));
    if (found && !str_is(source, taken))
        return err_set(e, ERR_USAGE, "the name %.*s belongs to %.200s (choose another with --name, or loam rm it)",
                       STR_ARG(name), taken);
    return ERR_OK;
}

static err_code add_name(registry *r, const registry_model *m, int64_t model, err *e) {
    sqlite3_stmt *s;
    TRY(sql_prepare(r->db, STR("INSERT OR REPLACE INTO names VALUES(?1, ?2, ?3, ?4, ?5, ?6)"), &s, e));
    sql_bind_text(s, 1, m->name);
    sql_bind_int(s, 2, model);
    sql_bind_text(s, 3, m->source);
    sql_bind_text(s, 4, m->revision);
    sql_bind_text(s, 5, m->licence);
    sql_bind_int(s, 6, m->added);
    err_code code = sql_step_done(s, e);
    sqlite3_finalize(s);
    return code;
}

static const char FORGET[] = "DELETE FROM models WHERE model NOT IN (SELECT model FROM names);"
                             "DELETE FROM files WHERE model NOT IN (SELECT model FROM models);";

static err_code forget(registry *r, err *e) {
    int before = sqlite3_total_changes(r->db);
    err_code code = sql_run(r->db, FORGET, e);
    r->litter = r->litter || sqlite3_total_changes(r->db) != before;
    return code;
}

static err_code put_in(registry *r, const registry_model *m, bool replace, err *e) {
    int64_t model = 0;
    if (!replace)
        TRY(registry_name_free(r, m->name, m->source, e));
    TRY(model_row(r, m, &model, e));
    TRY(add_name(r, m, model, e));
    return forget(r, e);
}

/* One transaction around `code`, which has run within it. */
static err_code finish(registry *r, err_code code, err *e) {
    if (code == ERR_OK)
        code = in(r, sql_run(r->db, "COMMIT", e), e);
    if (code != ERR_OK)
        sql_run(r->db, "ROLLBACK", NULL);
    return code;
}

static err_code put_sorted(registry *r, registry_model *m, registry_file *file, bool replace, err *e) {
    qsort(file, m->n_files, sizeof *file, by_name);
    m->file = file;
    m->bytes = 0;
    for (size_t i = 0; i < m->n_files; i++)
        m->bytes += file[i].bytes;
    TRY(id_of(file, m->n_files, &m->id, e));
    TRY(registry_view(r, m, e));
    TRY(in(r, sql_run(r->db, "BEGIN IMMEDIATE", e), e));
    return finish(r, put_in(r, m, replace, e), e);
}

err_code registry_put(registry *r, const registry_model *m, bool replace, hash256 *id, err *e) {
    registry_model copy = *m;
    TRY(registry_name_check(m->name, e));
    if (m->n_files < 1 || m->n_files > REGISTRY_FILES_MAX)
        return err_set(e, ERR_LIMIT, "a model has 1 to %d files", REGISTRY_FILES_MAX);
    registry_file *file = malloc(m->n_files * sizeof *file);
    if (!file)
        return err_set(e, ERR_MEMORY, "no memory for a list of files");
    memcpy(file, m->file, m->n_files * sizeof *file);
    err_code code = put_sorted(r, &copy, file, replace, e);
    *id = copy.id;
    free(file);
    return code;
}

/* ---- changing ---- */

static err_code same(void *ctx, const registry_model *m, err *e) {
    snprintf(ctx, REGISTRY_NAME_MAX + 1, "%.*s", (int)(m->name.n > REGISTRY_NAME_MAX ? REGISTRY_NAME_MAX : m->name.n),
             m->name.p);
    (void)e;
    return ERR_OK;
}

static err_code whole_name(registry *r, str name, char out[REGISTRY_NAME_MAX + 1], err *e) {
    bool found = false;
    TRY(registry_find(r, name, same, out, &found, e));
    return found ? ERR_OK
                 : err_set(e, ERR_USAGE, "no model \"%.*s\" in the registry (loam list has the names)", STR_ARG(name));
}

static err_code tag_in(registry *r, str name, str other, bool replace, err *e) {
    char taken[REGISTRY_NAME_MAX + 1];
    bool found = false;
    TRY(find_whole(r, other, same, taken, &found, e));
    if (found && !replace)
        return err_set(e, ERR_USAGE, "the name %.*s is taken (--replace gives it to the other model)", STR_ARG(other));
    sqlite3_stmt *s;
    TRY(sql_prepare(r->db,
                    STR("INSERT OR REPLACE INTO names SELECT ?2, model, source, revision, licence, added FROM names "
                        "WHERE name = ?1"),
                    &s, e));
    sql_bind_text(s, 1, name);
    sql_bind_text(s, 2, other);
    err_code code = sql_step_done(s, e);
    sqlite3_finalize(s);
    TRY(code);
    return forget(r, e);
}

err_code registry_tag(registry *r, str name, str other, bool replace, err *e) {
    char from[REGISTRY_NAME_MAX + 1];
    TRY(registry_name_check(other, e));
    TRY(whole_name(r, name, from, e));
    TRY(in(r, sql_run(r->db, "BEGIN IMMEDIATE", e), e));
    return finish(r, tag_in(r, str_from(from), other, replace, e), e);
}

static err_code remove_in(registry *r, str name, err *e) {
    sqlite3_stmt *s;
    TRY(sql_prepare(r->db, STR("DELETE FROM names WHERE name = ?1"), &s, e));
    sql_bind_text(s, 1, name);
    err_code code = sql_step_done(s, e);
    sqlite3_finalize(s);
    TRY(code);
    return forget(r, e);
}

err_code registry_remove(registry *r, str name, uint64_t *freed_bytes, err *e) {
    char whole[REGISTRY_NAME_MAX + 1];
    *freed_bytes = 0;
    TRY(whole_name(r, name, whole, e));
    TRY(in(r, sql_run(r->db, "BEGIN IMMEDIATE", e), e));
    TRY(finish(r, remove_in(r, str_from(whole), e), e));
    bool busy; /* then what is left goes with the next registry_gc() */
    return collect(r, false, &busy, freed_bytes, e);
}

err_code registry_gc(registry *r, bool partials, uint64_t *freed_bytes, err *e) {
    bool busy;
    TRY(collect(r, partials, &busy, freed_bytes, e));
    return busy ? err_set(e, ERR_IO, "%s: a model is being taken in by another process (wait for it to end)", r->home)
                : ERR_OK;
}
