/* manifest: a walk over the files, sorting, hashing in parallel, comparing. See manifest.h. */
#include "sign/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "text/utf8.h"

enum { PATH_BYTES = 4096, READ_BYTES = 256 << 10, SHOWN_MAX = 3 };

/* ---- names ---- */

int manifest_name_cmp(str a, str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        /* '/' is below every other byte: the shorter component comes first */
        int x = a.p[i] == '/' ? 0 : (uint8_t)a.p[i], y = b.p[i] == '/' ? 0 : (uint8_t)b.p[i];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

bool manifest_covers(str ignored, str path) {
    while (ignored.n > 1 && ignored.p[0] == '.' && ignored.p[1] == '/')
        ignored = str_sub(ignored, 2, ignored.n);
    while (ignored.n > 1 && ignored.p[ignored.n - 1] == '/')
        ignored.n--;
    if (str_is(ignored, "."))
        return true;
    return str_starts(path, ignored) && (path.n == ignored.n || path.p[ignored.n] == '/');
}

static int by_name(const void *a, const void *b) {
    return manifest_name_cmp(((const manifest_item *)a)->name, ((const manifest_item *)b)->name);
}

err_code manifest_sort(manifest *m, err *e) {
    if (m->n)
        qsort(m->item, m->n, sizeof *m->item, by_name);
    for (size_t i = 1; i < m->n; i++)
        if (str_eq(m->item[i - 1].name, m->item[i].name))
            return err_set(e, ERR_FORMAT, "\"%.*s\" is named twice", STR_ARG(m->item[i].name));
    return ERR_OK;
}

err_code manifest_root(const manifest *m, hash256 *out, err *e) {
    hash_state *s;
    TRY(hash_open(&s, e));
    for (size_t i = 0; i < m->n; i++)
        hash_add(s, m->item[i].digest.byte, sizeof m->item[i].digest.byte);
    *out = hash_close(s);
    return ERR_OK;
}

/* ---- the walk ---- */

typedef struct {
    manifest *m;
    const manifest_options *o;
    const char *root;
    manifest_item *item; /* on the heap while it grows */
    size_t n, cap;
    uint64_t total; /* bytes to hash, as the folders say */
    err *e;
} walk;

/* root/name; for name "." the root itself. */
static err_code full_path(const char *root, str name, char out[PATH_BYTES], err *e) {
    int n = str_is(name, ".") ? snprintf(out, PATH_BYTES, "%s", root)
                              : snprintf(out, PATH_BYTES, "%s/%.*s", root, (int)name.n, name.p);
    if (n < 0 || n >= PATH_BYTES)
        return err_set(e, ERR_LIMIT, "%.200s: the path of a file in it is longer than %d bytes", root, PATH_BYTES - 1);
    return ERR_OK;
}

static bool is_ignored(const manifest *m, str name) {
    for (size_t i = 0; i < m->n_ignore; i++)
        if (manifest_covers(m->ignore[i], name))
            return true;
    return false;
}

static err_code add_file(walk *w, str name) {
    manifest *m = w->m;
    if (w->n >= MANIFEST_FILES_MAX)
        return err_set(w->e, ERR_LIMIT, "%s: more than %d files", w->root, MANIFEST_FILES_MAX);
    if (!utf8_valid(name))
        return err_set(w->e, ERR_UNSUPPORTED,
                       "%s: the name of \"%.*s\" is not UTF-8, a signature cannot hold it (rename it)", w->root,
                       STR_ARG(name));
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        manifest_item *more = realloc(w->item, cap * sizeof *more);
        if (!more)
            return err_set(w->e, ERR_MEMORY, "%s: no memory for a list of %zu files", w->root, cap);
        w->item = more;
        w->cap = cap;
    }
    str copy = arena_str(&m->mem, name);
    if (!copy.p)
        return arena_short(w->e, name.n, 1);
    w->item[w->n++] = (manifest_item){.name = copy};
    return ERR_OK;
}

static err_code visit(walk *w, str name, int depth);

/* Collects the names first, so that no folder stays open while others are read. */
static err_code visit_folder(walk *w, str name, const char *path, int depth) {
    DIR *d = opendir(path);
    if (!d)
        return err_set(w->e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    strbuf names = {0};
    err_code code = ERR_OK;
    for (struct dirent *at; code == ERR_OK && (errno = 0, at = readdir(d));)
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            code = strbuf_add(&names, (str){at->d_name, strlen(at->d_name) + 1}, w->e);
    if (code == ERR_OK && errno)
        code = err_set(w->e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    closedir(d);
    for (size_t at = 0; code == ERR_OK && at < names.n; at += strlen(names.p + at) + 1) {
        char child[PATH_BYTES];
        bool top = str_is(name, ".");
        int n = snprintf(child, sizeof child, "%.*s%s%s", top ? 0 : (int)name.n, name.p, top ? "" : "/", names.p + at);
        if (n < 0 || n > MANIFEST_PATH_BYTES_MAX)
            code = err_set(w->e, ERR_LIMIT, "%s: the path of a file in it is longer than %d bytes", w->root,
                           MANIFEST_PATH_BYTES_MAX);
        else
            code = visit(w, (str){child, (size_t)n}, depth + 1);
    }
    strbuf_fini(&names);
    return code;
}

static err_code visit(walk *w, str name, int depth) {
    char path[PATH_BYTES];
    struct stat st;
    TRY(full_path(w->root, name, path, w->e));
    if (w->o->stop && *w->o->stop)
        return err_set(w->e, ERR_CANCELLED, "stopped");
    if (depth > MANIFEST_DEPTH_MAX)
        return err_set(w->e, ERR_LIMIT, "%s: folders lie in each other more than %d deep", w->root, MANIFEST_DEPTH_MAX);
    if (lstat(path, &st) != 0)
        return err_set(w->e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    bool link = S_ISLNK(st.st_mode);
    if (link && !w->o->allow_symlinks)
        return err_set(w->e, ERR_UNSUPPORTED,
                       "%s: is a symbolic link (--allow-symlinks takes links to files as the files)", path);
    if (link && stat(path, &st) != 0)
        return err_set(w->e, ERR_IO, "%s: is a link that leads nowhere: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        if (link && depth > 0)
            return err_set(w->e, ERR_UNSUPPORTED,
                           "%s: is a link to a folder, whose files a signature would not cover (copy it, or remove it)",
                           path);
        return visit_folder(w, name, path, depth);
    }
    if (!S_ISREG(st.st_mode))
        return err_set(w->e, ERR_UNSUPPORTED, "%s: is neither a file nor a folder", path);
    if (is_ignored(w->m, name))
        return ERR_OK;
    w->total += (uint64_t)st.st_size;
    return add_file(w, name);
}

/* Only what `only` names; what is not there is left out and comes to light when both are compared. */
static err_code visit_named(walk *w) {
    for (size_t i = 0; i < w->o->only->n; i++) {
        char path[PATH_BYTES];
        str name = w->o->only->item[i].name;
        struct stat st;
        TRY(full_path(w->root, name, path, w->e));
        if (lstat(path, &st) == 0)
            TRY(visit(w, name, 1));
    }
    return ERR_OK;
}

/* ---- digests ---- */

typedef struct {
    const walk *w;
    uint64_t *bytes; /* [w->n] */
    err *error;      /* [w->n] */
    atomic_size_t next;
    atomic_ullong done; /* bytes */
} hashing;

static err_code hash_one(hashing *all, str name, char *buf, bool tell, hash256 *out, uint64_t *bytes, err *e) {
    const walk *w = all->w;
    char path[PATH_BYTES];
    struct stat st;
    hash_state *h;
    TRY(full_path(w->root, name, path, e));
    /* not blocking: what was a file may have become a pipe */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (w->o->allow_symlinks ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = fstat(fd, &st) != 0    ? err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno))
                    : !S_ISREG(st.st_mode) ? err_set(e, ERR_IO, "%s: is no file any more", path)
                                           : hash_open(&h, e);
    if (code != ERR_OK) {
        close(fd);
        return code;
    }
    *bytes = 0;
    for (ssize_t got = 1; code == ERR_OK && got != 0;) {
        got = read(fd, buf, READ_BYTES);
        if (got > 0) {
            hash_add(h, buf, (size_t)got);
            *bytes += (uint64_t)got;
            uint64_t done = atomic_fetch_add(&all->done, (unsigned long long)got) + (uint64_t)got;
            if (tell)
                w->o->progress(w->o->progress_ctx, done < w->total ? done : w->total, w->total);
        } else if (got < 0 && errno != EINTR) {
            code = err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (w->o->stop && *w->o->stop)
            code = err_set(e, ERR_CANCELLED, "stopped");
    }
    close(fd);
    *out = hash_close(h);
    return code;
}

static void hash_files(void *ctx, int part, int n_parts) {
    (void)n_parts;
    hashing *h = ctx;
    bool tell = part == 0 && h->w->o->progress;
    char *buf = malloc(READ_BYTES);
    for (size_t i; (i = atomic_fetch_add(&h->next, 1)) < h->w->n;) {
        manifest_item *item = &h->w->item[i];
        if (!buf)
            err_set(&h->error[i], ERR_MEMORY, "no memory to hash files");
        else
            hash_one(h, item->name, buf, tell, &item->digest, &h->bytes[i], &h->error[i]);
    }
    free(buf);
}

static err_code hash_all(walk *w) {
    hashing h = {.w = w};
    size_t n = w->n ? w->n : 1;
    h.bytes = calloc(n, sizeof *h.bytes);
    h.error = calloc(n, sizeof *h.error);
    err_code code = h.bytes && h.error ? ERR_OK : err_set(w->e, ERR_MEMORY, "no memory to hash %zu files", w->n);
    if (code == ERR_OK)
        pool_run(w->o->pool, hash_files, &h);
    for (size_t i = 0; code == ERR_OK && i < w->n; i++) {
        if (h.error[i].code != ERR_OK)
            code = err_set(w->e, h.error[i].code, "%s", h.error[i].text);
        w->m->bytes += h.bytes[i];
    }
    free(h.bytes);
    free(h.error);
    return code;
}

/* ---- all of it ---- */

static int by_bytes(const void *a, const void *b) { return str_cmp(*(const str *)a, *(const str *)b); }

static err_code take_ignores(manifest *m, const manifest_options *o, err *e) {
    if (o->n_ignore > MANIFEST_IGNORES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d ignored paths", MANIFEST_IGNORES_MAX);
    ARENA_NEW(&m->mem, m->ignore, o->n_ignore, e);
    for (size_t i = 0; i < o->n_ignore; i++) {
        m->ignore[i] = arena_str(&m->mem, o->ignore[i]);
        if (!m->ignore[i].p)
            return arena_short(e, o->ignore[i].n, 1);
    }
    if (o->n_ignore)
        qsort(m->ignore, o->n_ignore, sizeof *m->ignore, by_bytes);
    for (size_t i = 0; i < o->n_ignore; i++)
        if (m->n_ignore == 0 || !str_eq(m->ignore[m->n_ignore - 1], m->ignore[i]))
            m->ignore[m->n_ignore++] = m->ignore[i];
    return ERR_OK;
}

/* The last component; of "" "." ".." and "/" that of the folder they mean. */
static err_code take_name(manifest *m, const char *path, err *e) {
    char full[PATH_BYTES];
    str last = os_last_part(path);
    if (last.n == 0 || str_is(last, ".") || str_is(last, "..")) {
        if (!realpath(path, full))
            return err_set(e, ERR_IO, "%s: cannot be found: %s", path, strerror(errno));
        const char *slash = strrchr(full, '/');
        last = str_from(slash ? slash + 1 : full);
    }
    strbuf text = {0};
    err_code code = utf8_repair(last, &text, e);
    m->model = arena_str(&m->mem, strbuf_str(&text));
    strbuf_fini(&text);
    return code != ERR_OK ? code : m->model.p ? ERR_OK : arena_short(e, last.n, 1);
}

static err_code make(walk *w) {
    manifest *m = w->m;
    m->allow_symlinks = w->o->allow_symlinks;
    TRY(take_ignores(m, w->o, w->e));
    TRY(take_name(m, w->root, w->e));
    TRY(w->o->only ? visit_named(w) : visit(w, STR("."), 0));
    TRY(hash_all(w));
    ARENA_NEW(&m->mem, m->item, w->n, w->e);
    if (w->n)
        memcpy(m->item, w->item, w->n * sizeof *w->item);
    m->n = w->n;
    return manifest_sort(m, w->e);
}

err_code manifest_make(manifest *m, const char *path, const manifest_options *o, err *e) {
    *m = (manifest){.mem = {.max_bytes = (size_t)1 << 30}};
    walk w = {.m = m, .o = o, .root = path, .e = e};
    err_code code = make(&w);
    free(w.item);
    if (code != ERR_OK)
        manifest_fini(m);
    return code;
}

void manifest_fini(manifest *m) {
    arena_fini(&m->mem);
    *m = (manifest){0};
}

/* ---- comparison ---- */

static err_code tell(strbuf *out, size_t n, str name, const char *what, err *e) {
    if (n >= SHOWN_MAX)
        return ERR_OK;
    return strbuf_addf(out, e, "%s%.*s %s", n ? ", " : "", STR_ARG(name), what);
}

err_code manifest_difference(const manifest *is_signed, const manifest *found, strbuf *out, err *e) {
    size_t i = 0, j = 0, n = 0;
    while (i < is_signed->n || j < found->n) {
        int order = i == is_signed->n ? 1
                    : j == found->n   ? -1
                                      : manifest_name_cmp(is_signed->item[i].name, found->item[j].name);
        bool changed = order == 0 && memcmp(&is_signed->item[i].digest, &found->item[j].digest, sizeof(hash256)) != 0;
        if (order != 0 || changed)
            TRY(tell(out, n++, order > 0 ? found->item[j].name : is_signed->item[i].name,
                     changed     ? "was changed"
                     : order < 0 ? "is missing"
                                 : "was not signed",
                     e));
        i += order <= 0;
        j += order >= 0;
    }
    return n > SHOWN_MAX ? strbuf_addf(out, e, " (and %zu more)", n - SHOWN_MAX) : ERR_OK;
}
