/* registry: blobs, the folders in which models open, deleting and checking; see registry.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/outfile.h"
#include "store/registry_int.h"

enum { HASH_BYTES = 1 << 20 };

/* ---- blobs ---- */

err_code registry_blob_path(const registry *r, hash256 sha256, char out[OS_PATH_BYTES], err *e) {
    char name[80] = "sha256-";
    registry_path path;
    hash_hex(sha256, name + 7);
    TRY(registry_path_of(r, "blobs", name, &path, e));
    memcpy(out, path.text, sizeof path.text);
    return ERR_OK;
}

err_code registry_partial_path(const registry *r, const char *key, char out[OS_PATH_BYTES], err *e) {
    registry_path path;
    TRY(registry_path_of(r, "partial", key, &path, e));
    memcpy(out, path.text, sizeof path.text);
    return ERR_OK;
}

static bool is_of(const char *path, uint64_t bytes) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes;
}

bool registry_has(const registry *r, hash256 sha256, uint64_t bytes) {
    char path[OS_PATH_BYTES];
    return registry_blob_path(r, sha256, path, NULL) == ERR_OK && is_of(path, bytes);
}

static err_code hash_fd(const registry *r, int fd, const char *path, hash_state *s, uint64_t *bytes, err *e) {
    uint8_t *buf = malloc(HASH_BYTES);
    err_code code = buf ? ERR_OK : err_set(e, ERR_MEMORY, "%s: no memory to hash it", path);
    *bytes = 0;
    for (ssize_t got = 1; code == ERR_OK && got != 0;) {
        got = read(fd, buf, HASH_BYTES);
        if (registry_stopped(r))
            code = err_set(e, ERR_CANCELLED, "%s: stopped while it was hashed", path);
        else if (got < 0 && errno != EINTR)
            code = os_refused(path, "read", e);
        else if (got > 0) {
            hash_add(s, buf, (size_t)got);
            *bytes += (uint64_t)got;
        }
    }
    free(buf);
    return code;
}

err_code registry_hash(const registry *r, const char *path, hash256 *out, uint64_t *bytes, err *e) {
    struct stat st;
    hash_state *s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? hash_open(&s, e)
                                                               : err_set(e, ERR_IO, "%s: is not a regular file", path);
    if (code == ERR_OK) {
        code = hash_fd(r, fd, path, s, bytes, e);
        hash256 h = hash_close(s);
        if (code == ERR_OK)
            *out = h;
    }
    close(fd);
    return code;
}

/* To disk, and under its digest's name. */
err_code registry_move_in(registry *r, const char *path, hash256 sha256, err *e) {
    char blob[OS_PATH_BYTES];
    TRY(registry_blob_path(r, sha256, blob, e));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = fsync(fd) == 0 ? ERR_OK : os_refused(path, "brought to disk", e);
    close(fd);
    if (code == ERR_OK && rename(path, blob) != 0)
        code = os_refused(blob, "given its name", e);
    return code == ERR_OK ? outfile_sync_folder_of(blob, e) : code;
}

/* A file of its own that shares its bytes on disk with `from`, where the file system can. */
static bool reflink(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool good = in >= 0 && out >= 0 && ioctl(out, FICLONE, in) == 0;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    if (out >= 0 && !good)
        unlink(to);
    return good;
}

static err_code check_digest(const char *path, const hash256 *want, hash256 got, err *e) {
    if (!want || memcmp(want->byte, got.byte, sizeof got.byte) == 0)
        return ERR_OK;
    return err_set(e, ERR_FORMAT, "%s: its SHA-256 is not the one that its source names", path);
}

err_code registry_share_in(registry *r, const char *path, const hash256 *want, char place[OS_PATH_BYTES],
                           registry_file *out, err *e) {
    char own[OS_PATH_BYTES], key[64], whole[PATH_MAX];
    static unsigned n; /* only a name that no other call of this process has at this moment */
    snprintf(key, sizeof key, "share-%ld-%u", (long)getpid(), n++);
    TRY(registry_partial_path(r, key, own, e));
    if (!realpath(path, whole))
        return os_refused(path, "opened", e);
    unlink(own);
    bool ours = reflink(whole, own) || link(whole, own) == 0;
    err_code code = registry_hash(r, ours ? own : whole, &out->sha256, &out->bytes, e);
    if (code == ERR_OK)
        code = check_digest(path, want, out->sha256, e);
    if (code == ERR_OK && ours)
        code = registry_move_in(r, own, out->sha256, e);
    unlink(own);
    *place = 0;
    if (code == ERR_OK && !ours && !registry_has(r, out->sha256, out->bytes))
        code = os_join(place, whole, "", e);
    out->place = str_from(place);
    return code;
}

/* ---- the folder in which a model opens ---- */

static err_code view_file(registry *r, const char *folder, const registry_file *f, err *e) {
    char name[REGISTRY_FILE_NAME_MAX + 1], to[OS_PATH_BYTES], blob[OS_PATH_BYTES];
    snprintf(name, sizeof name, "%.*s", (int)f->name.n, f->name.p);
    TRY(os_join(to, folder, name, e));
    if (f->place.n > 0) {
        snprintf(blob, sizeof blob, "%.*s", (int)f->place.n, f->place.p);
        return symlink(blob, to) == 0 ? ERR_OK : os_refused(to, "made", e);
    }
    TRY(registry_blob_path(r, f->sha256, blob, e));
    if (link(blob, to) == 0)
        return ERR_OK;
    /* A file system without hard links, or one with too many on this blob. */
    bool none = errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP;
    return none && symlink(blob, to) == 0 ? ERR_OK : os_refused(to, "made", e);
}

static void delete_folder(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            unlinkat(dirfd(d), x->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

/* Under a name of its own first, so that models/ID is whole whenever it is there. One that is there is renewed: a file
 * in it may have been lost. */
err_code registry_view(registry *r, const registry_model *m, err *e) {
    registry_path folder, temp;
    char key[64];
    snprintf(key, sizeof key, ".view-%ld", (long)getpid());
    TRY(registry_folder_of(r, m->id, &folder, e));
    TRY(registry_path_of(r, "models", key, &temp, e));
    delete_folder(temp.text);
    if (mkdir(temp.text, 0777) != 0)
        return os_refused(temp.text, "made", e);
    err_code code = ERR_OK;
    for (size_t i = 0; i < m->n_files && code == ERR_OK; i++)
        code = view_file(r, temp.text, &m->file[i], e);
    if (code == ERR_OK)
        code = outfile_sync_folder(temp.text, e);
    if (code == ERR_OK && renameat2(AT_FDCWD, temp.text, AT_FDCWD, folder.text, RENAME_EXCHANGE) != 0 &&
        rename(temp.text, folder.text) != 0)
        code = os_refused(folder.text, "given its name", e);
    delete_folder(temp.text);
    return code == ERR_OK ? outfile_sync_folder_of(folder.text, e) : code;
}

/* ---- names in a folder ---- */

/* fn for every entry; its own files are not looked at. */
typedef err_code entry_fn(void *ctx, const char *path, const char *name, err *e);

static err_code each_entry(const registry *r, const char *folder, entry_fn *fn, void *ctx, err *e) {
    registry_path dir, path;
    TRY(os_join(dir.text, r->home, folder, e));
    DIR *d = opendir(dir.text);
    if (!d)
        return os_refused(dir.text, "read", e);
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
            continue;
        code = os_join(path.text, dir.text, x->d_name, e);
        if (code == ERR_OK)
            code = fn(ctx, path.text, x->d_name, e);
    }
    closedir(d);
    return code;
}

/* Whether the index names this digest, as a blob (of a file that is not used in place) or as a model. */
static err_code known(registry *r, const char *statement, const char *hex, bool *is, err *e) {
    hash256 h;
    sqlite3_stmt *s;
    *is = false;
    if (!hash_from_hex(str_from(hex), &h))
        return ERR_OK;
    TRY(sql_prepare(r->db, str_from(statement), &s, e));
    sql_bind_blob(s, 1, h.byte, sizeof h.byte);
    err_code code = sql_step(s, is, e);
    sqlite3_finalize(s);
    return code;
}

static err_code known_blob(registry *r, const char *name, bool *is, err *e) {
    *is = false;
    if (strncmp(name, "sha256-", 7) != 0)
        return ERR_OK;
    return known(r, "SELECT 1 FROM files WHERE sha256 = ?1 AND place = '' LIMIT 1", name + 7, is, e);
}

static err_code known_model(registry *r, const char *name, bool *is, err *e) {
    return known(r, "SELECT 1 FROM models WHERE id = ?1", name, is, e);
}

/* ---- deleting ---- */

typedef struct {
    registry *r;
    uint64_t freed;
} sweep;

static err_code sweep_blob(void *ctx, const char *path, const char *name, err *e) {
    sweep *s = ctx;
    struct stat st;
    bool is;
    TRY(known_blob(s->r, name, &is, e));
    if (is || lstat(path, &st) != 0)
        return ERR_OK;
    if (unlink(path) != 0)
        return errno == EISDIR || errno == EPERM ? ERR_OK : os_refused(path, "deleted", e);
    s->freed += st.st_nlink == 1 ? (uint64_t)st.st_size : 0; /* otherwise somebody else still has it */
    return ERR_OK;
}

static err_code sweep_model(void *ctx, const char *path, const char *name, err *e) {
    sweep *s = ctx;
    bool is;
    TRY(known_model(s->r, name, &is, e));
    if (!is)
        delete_folder(path);
    return ERR_OK;
}

static err_code sweep_partial(void *ctx, const char *path, const char *name, err *e) {
    sweep *s = ctx;
    struct stat st;
    (void)name;
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        if (unlink(path) != 0)
            return os_refused(path, "deleted", e);
        s->freed += st.st_nlink == 1 ? (uint64_t)st.st_blocks * 512 : 0;
    }
    return ERR_OK;
}

/* What is left of a process that ended while it shared a file. */
static err_code sweep_shared(void *ctx, const char *path, const char *name, err *e) {
    return strncmp(name, "share-", 6) == 0 ? sweep_partial(ctx, path, name, e) : ERR_OK;
}

/* Models' folders first: a blob with a name there would not free a byte. */
err_code registry_sweep(registry *r, bool partials, uint64_t *freed_bytes, err *e) {
    sweep s = {.r = r};
    TRY(each_entry(r, "models", sweep_model, &s, e));
    TRY(each_entry(r, "blobs", sweep_blob, &s, e));
    TRY(each_entry(r, "partial", partials ? sweep_partial : sweep_shared, &s, e));
    *freed_bytes = s.freed;
    return ERR_OK;
}

/* ---- checking ---- */

typedef struct {
    registry *r;
    registry_problem_fn *fn;
    registry_progress_fn *progress;
    void *ctx;
    registry_checked *out;
    uint64_t total;
} audit;

static void problem(audit *a, const char *where, const char *what) {
    a->out->problems++;
    a->fn(a->ctx, where, what);
}

/* Contents that are not what the index says are fetched again when no name needs them any more. */
static err_code other_contents(audit *a, const char *path, hash256 sha256, err *e) {
    strbuf text = {0};
    sqlite3_stmt *s;
    bool row = false;
    TRY(sql_prepare(a->r->db,
                    STR("SELECT DISTINCT names.name FROM names JOIN files USING(model) WHERE sha256 = ?1 ORDER BY 1"),
                    &s, e));
    sql_bind_blob(s, 1, sha256.byte, sizeof sha256.byte);
    err_code code = strbuf_addf(&text, e, "has other contents than when it was taken in: its SHA-256 differs (loam rm");
    if (code == ERR_OK)
        code = sql_step(s, &row, e);
    while (code == ERR_OK && row) {
        str name = {0};
        code = sql_text(s, 0, &name, e);
        if (code == ERR_OK)
            code = strbuf_addf(&text, e, " %.*s", STR_ARG(name));
        if (code == ERR_OK)
            code = sql_step(s, &row, e);
    }
    sqlite3_finalize(s);
    if (code == ERR_OK)
        code = strbuf_addf(&text, e, ", then pull again)%c", 0);
    if (code == ERR_OK)
        problem(a, path, text.p);
    strbuf_fini(&text);
    return code;
}

/* The contents at `path` against the index. */
static err_code audit_contents(audit *a, const char *path, const registry_file *f, err *e) {
    hash256 h;
    uint64_t bytes = 0;
    err why = {0};
    err_code code = registry_hash(a->r, path, &h, &bytes, &why);
    a->out->bytes += bytes;
    if (a->progress)
        a->progress(a->ctx, a->out->bytes, a->total);
    if (code == ERR_CANCELLED || code == ERR_MEMORY)
        return err_set(e, code, "%s", why.text);
    if (code != ERR_OK)
        problem(a, path, os_exists(path) ? "cannot be read" : "is missing (loam pull fetches it again)");
    else if (bytes != f->bytes)
        problem(a, path, "has another length than when it was taken in (loam pull fetches it again)");
    else if (memcmp(h.byte, f->sha256.byte, sizeof h.byte) != 0)
        return other_contents(a, path, f->sha256, e);
    return ERR_OK;
}

/* The name in models/ID leads to the contents that were checked, or has the same. */
static err_code audit_view(audit *a, const char *folder, const char *contents, const registry_file *f, err *e) {
    char name[REGISTRY_FILE_NAME_MAX + 1], path[OS_PATH_BYTES];
    struct stat here, there;
    snprintf(name, sizeof name, "%.*s", (int)f->name.n, f->name.p);
    TRY(os_join(path, folder, name, e));
    if (stat(path, &here) != 0) {
        problem(a, path, "is missing (loam pull makes it again)");
        return ERR_OK;
    }
    if (stat(contents, &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino)
        return ERR_OK;
    return audit_contents(a, path, f, e);
}

static err_code audit_extra(void *ctx, const registry_model *m, const char *folder, err *e) {
    audit *a = ctx;
    DIR *d = opendir(folder);
    char path[OS_PATH_BYTES];
    err_code code = ERR_OK;
    for (struct dirent *x; d && code == ERR_OK && (x = readdir(d));) {
        bool is = strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
        for (size_t i = 0; i < m->n_files && !is; i++)
            is = str_is(m->file[i].name, x->d_name);
        if (is)
            continue;
        code = os_join(path, folder, x->d_name, e);
        if (code == ERR_OK)
            problem(a, path, "does not belong to the model");
    }
    if (d)
        closedir(d);
    return code;
}

static err_code audit_model(void *ctx, const registry_model *m, err *e) {
    audit *a = ctx;
    registry_path folder;
    char contents[OS_PATH_BYTES];
    uint64_t bytes = 0;
    TRY(registry_folder_of(a->r, m->id, &folder, e));
    for (size_t i = 0; i < m->n_files; i++) {
        const registry_file *f = &m->file[i];
        if (f->place.n > 0)
            snprintf(contents, sizeof contents, "%.*s", (int)f->place.n, f->place.p);
        else
            TRY(registry_blob_path(a->r, f->sha256, contents, e));
        TRY(audit_contents(a, contents, f, e));
        TRY(audit_view(a, folder.text, contents, f, e));
        bytes += f->bytes;
    }
    if (bytes != m->bytes || m->n_files == 0)
        problem(a, folder.text, "the index has lost files of the model (loam rm it and pull it again)");
    a->out->models++;
    a->out->files += m->n_files;
    return audit_extra(a, m, folder.text, e);
}

static err_code audit_blob(void *ctx, const char *path, const char *name, err *e) {
    audit *a = ctx;
    bool is;
    TRY(known_blob(a->r, name, &is, e));
    if (!is)
        problem(a, path, "belongs to no model (loam gc takes it away)");
    return ERR_OK;
}

static err_code audit_folder(void *ctx, const char *path, const char *name, err *e) {
    audit *a = ctx;
    bool is;
    TRY(known_model(a->r, name, &is, e));
    if (!is)
        problem(a, path, "belongs to no model (loam gc takes it away)");
    return ERR_OK;
}

static err_code audit_index(audit *a, err *e) {
    sqlite3_stmt *s;
    bool row;
    str text = {0};
    int64_t n;
    TRY(sql_prepare(a->r->db, STR("PRAGMA integrity_check(1)"), &s, e));
    err_code code = sql_step(s, &row, e);
    if (code == ERR_OK && row)
        code = sql_text(s, 0, &text, e);
    if (code == ERR_OK && !str_is(text, "ok"))
        code = err_set(e, ERR_FORMAT, "%.*s", STR_ARG(text));
    sqlite3_finalize(s);
    TRY(code);
    TRY(sql_one_int(a->r->db, "SELECT count(*) FROM names WHERE model NOT IN (SELECT model FROM models)", &n, e));
    if (n > 0)
        problem(a, "registry.db", "has names of models that it does not have (loam rm them)");
    TRY(sql_one_int(a->r->db, "SELECT count(*) FROM models WHERE model NOT IN (SELECT model FROM names)", &n, e));
    if (n > 0)
        problem(a, "registry.db", "has models without a name");
    TRY(sql_one_int(a->r->db, "SELECT coalesce(sum(bytes), 0) FROM models", &n, e));
    a->total = (uint64_t)n;
    return ERR_OK;
}

err_code registry_fsck(registry *r, registry_problem_fn *fn, registry_progress_fn *progress, void *ctx,
                       registry_checked *out, err *e) {
    audit a = {.r = r, .fn = fn, .progress = progress, .ctx = ctx, .out = out};
    *out = (registry_checked){0};
    if (!r)
        return ERR_OK;
    TRY(registry_begin(r, e));
    err_code code = audit_index(&a, e);
    if (code != ERR_OK)
        return err_in(e, code, "%s/registry.db", r->home);
    TRY(registry_each_model(r, audit_model, &a, e));
    TRY(each_entry(r, "blobs", audit_blob, &a, e));
    return each_entry(r, "models", audit_folder, &a, e);
}
