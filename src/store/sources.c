/* sources: see sources.h. */
#include "store/sources.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "text/debcopy.h"
#include "text/utf8.h"

enum { LIST_BYTES_MAX = 64 << 20 };

void sources_fini(source_list *l) {
    free(l->file);
    arena_fini(&l->mem);
    *l = (source_list){0};
}

static void note(const source_options *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(const source_options *o, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (o->note)
        o->note(o->note_ctx, text);
}

/* ---- the list ---- */

static err_code copy(source_list *l, str s, str *out, err *e) {
    *out = arena_str(&l->mem, s);
    return out->p ? ERR_OK : arena_short(e, s.n, 1);
}

/* Names are recorded as UTF-8, whatever the file system holds. */
static err_code copy_name(source_list *l, str s, str *out, err *e) {
    if (utf8_valid(s))
        return copy(l, s, out, e);
    strbuf good = {0};
    err_code code = utf8_repair(s, &good, e);
    if (code == ERR_OK)
        code = copy(l, strbuf_str(&good), out, e);
    strbuf_fini(&good);
    return code;
}

static str base_of(str path) {
    size_t at = path.n;
    while (at > 0 && path.p[at - 1] != '/')
        at--;
    return str_sub(path, at, path.n);
}

/* .jsonl, .ndjson and, for a file that was named itself, .json; a suffix of compression does not count. */
static source_format format_of(str name, bool named_itself) {
    static const char *const packed[] = {".gz", ".zst", ".zstd"};
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (str_ends(name, str_from(packed[i]))) {
            name.n -= strlen(packed[i]);
            break;
        }
    if (str_ends(name, STR(".jsonl")) || str_ends(name, STR(".ndjson")))
        return SOURCE_JSONL;
    return named_itself && str_ends(name, STR(".json")) ? SOURCE_JSONL : SOURCE_TEXT;
}

static err_code add(source_list *l, source_file f, err *e) {
    if (l->n == SOURCE_FILES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files", SOURCE_FILES_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        source_file *p = realloc(l->file, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for a list of %zu files", cap);
        l->file = p;
        l->cap = cap;
    }
    l->file[l->n++] = f;
    l->bytes += f.bytes;
    return ERR_OK;
}

static err_code add_file(source_list *l, const char *path, str name, str source, str licence, source_format format,
                         unpack_links links, uint64_t bytes, err *e) {
    source_file f = {.format = format, .links = links, .bytes = bytes};
    str kept = {0};
    if (path)
        TRY(copy(l, str_from(path), &kept, e));
    f.path = path ? kept.p : NULL;
    TRY(copy_name(l, name, &f.name, e));
    TRY(copy_name(l, source, &f.source, e));
    TRY(copy_name(l, licence, &f.licence, e));
    return add(l, f, e);
}

static bool any_matches(const str *pattern, size_t n, str name) {
    for (size_t i = 0; i < n; i++)
        if (debcopy_match(pattern[i], name) || debcopy_match(pattern[i], base_of(name)))
            return true;
    return false;
}

static bool is_wanted(const source_options *o, str name) {
    return (o->n_include == 0 || any_matches(o->include, o->n_include, name)) &&
           !any_matches(o->exclude, o->n_exclude, name);
}

/* ---- folders ---- */

typedef struct {
    source_list *l;
    const source_options *o;
    str source;
    size_t n_root; /* length of the folder's own path with its slash */
    char path[SOURCE_PATH_MAX];
    size_t n_hidden, n_links, n_special, n_unwanted;
} walk;

static err_code walk_folder(walk *w, size_t n, int depth, err *e);

/* w->path[0, n) is what `entry` leads to. */
static err_code walk_entry(walk *w, size_t n, int depth, err *e) {
    struct stat st;
    if (lstat(w->path, &st) != 0)
        return err_set(e, ERR_IO, "%s: cannot be examined: %s", w->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return walk_folder(w, n, depth + 1, e);
    str name = str_from(w->path + w->n_root);
    if (!S_ISREG(st.st_mode)) {
        w->n_links += S_ISLNK(st.st_mode);
        w->n_special += !S_ISLNK(st.st_mode);
        return ERR_OK;
    }
    if (!is_wanted(w->o, name)) {
        w->n_unwanted++;
        return ERR_OK;
    }
    source_format format = w->o->format == SOURCE_AUTO ? format_of(name, false) : w->o->format;
    return add_file(w->l, w->path, name, w->source, w->o->licence, format, UNPACK_NO_LINKS, (uint64_t)st.st_size, e);
}

static err_code walk_entries(walk *w, DIR *dir, size_t n, int depth, err *e) {
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d)
            return errno == 0 ? ERR_OK : err_set(e, ERR_IO, "%s: cannot be read: %s", w->path, strerror(errno));
        if (d->d_name[0] == '.') {
            w->n_hidden += strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
            continue;
        }
        size_t more = strlen(d->d_name);
        if (n + 1 + more >= sizeof w->path)
            return err_set(e, ERR_LIMIT, "%.*s/...: the path is too long", 60, w->path);
        w->path[n] = '/';
        memcpy(w->path + n + 1, d->d_name, more + 1);
        TRY(walk_entry(w, n + 1 + more, depth, e));
        w->path[n] = 0;
    }
}

static err_code walk_folder(walk *w, size_t n, int depth, err *e) {
    if (depth > SOURCE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "%s: folders nested deeper than %d", w->path, SOURCE_DEPTH_MAX);
    DIR *dir = opendir(w->path);
    if (!dir && depth > 0 && w->o->skip_bad) {
        err problem = {0};
        if (os_refused(w->path, "opened", &problem) == ERR_MEMORY)
            return err_set(e, ERR_MEMORY, "%s", problem.text);
        note(w->o, "%s", problem.text);
        return ERR_OK;
    }
    if (!dir)
        return os_refused(w->path, "opened", e);
    err_code code = walk_entries(w, dir, n, depth, e);
    closedir(dir);
    return code;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const source_file *)a)->path, ((const source_file *)b)->path);
}

/* "." and ".." have a name too. */
static err_code folder_name(const char *word, strbuf *out, err *e) {
    char *full = realpath(word, NULL);
    str base = base_of(str_from(full));
    err_code code = strbuf_add(out, base.n ? base : STR("/"), e);
    free(full);
    return code;
}

static void note_unread(const walk *w, const char *word) {
    const struct {
        size_t n;
        const char *what;
    } rows[] = {{w->n_hidden, "names that begin with a dot"},
                {w->n_links, "symbolic links"},
                {w->n_special, "devices, pipes or sockets"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n)
            note(w->o, "%s: not read: %zu %s", word, rows[i].n, rows[i].what);
}

static err_code add_folder(source_list *l, const char *word, const source_options *o, err *e) {
    size_t n = strlen(word), before = l->n;
    while (n > 1 && word[n - 1] == '/')
        n--;
    walk *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_MEMORY, "no memory to walk a folder");
    *w = (walk){.l = l, .o = o, .n_root = n == 1 && *word == '/' ? 1 : n + 1};
    strbuf name = {0};
    err_code code = n >= sizeof w->path ? err_set(e, ERR_LIMIT, "%.60s...: the path is too long", word)
                                        : folder_name(word, &name, e);
    w->source = o->source.n ? o->source : strbuf_str(&name);
    if (code == ERR_OK) {
        memcpy(w->path, word, n);
        code = walk_folder(w, n == 1 && *word == '/' ? 0 : n, 0, e);
    }
    strbuf_fini(&name);
    if (code == ERR_OK && l->n == before)
        code = err_set(e, ERR_USAGE, "%s: no file to read in this folder%s", word,
                       w->n_unwanted ? " (none fits --include and --exclude)" : "");
    if (code == ERR_OK)
        note_unread(w, word);
    free(w);
    if (code == ERR_OK)
        qsort(l->file + before, l->n - before, sizeof *l->file, compare_names);
    return code;
}

/* ---- Debian packages ---- */

static bool is_package_name(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              (i > 0 && strchr("+.-:", s.p[i]))))
            return false;
    return s.n >= 2 && s.n <= 128;
}

typedef struct {
    source_list *l;
    const source_options *o;
    str package; /* without architecture */
    str source;
    const char *root;
    strbuf copyright_text;
    debcopy copyright;
    size_t n_unknown, n_files;
} deb;

/* ROOT/var/lib/dpkg/info/PACKAGE.list, or PACKAGE:ARCH.list of the first architecture by name. */
static err_code find_list(const deb *d, str word, char path[SOURCE_PATH_MAX], err *e) {
    char folder[SOURCE_PATH_MAX / 2];
    snprintf(folder, sizeof folder, "%svar/lib/dpkg/info", d->root);
    snprintf(path, SOURCE_PATH_MAX, "%s/%.*s.list", folder, STR_ARG(word));
    if (os_exists(path))
        return ERR_OK;
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, NULL, alphasort);
    bool found = false;
    for (int i = 0; i < n; i++) {
        str name = str_from(entry[i]->d_name);
        bool fits = str_starts(name, word) && name.p[word.n] == ':' && str_ends(name, STR(".list"));
        if (fits && !found) {
            snprintf(path, SOURCE_PATH_MAX, "%s/%s", folder, entry[i]->d_name);
            found = true;
        }
        free(entry[i]);
    }
    free(entry);
    return found ? ERR_OK
                 : err_set(e, ERR_USAGE, "the package is not installed here (apt-get install %.*s)", STR_ARG(word));
}

/* What cannot be read or understood leaves every licence unknown, and is said. */
static void read_copyright(deb *d) {
    char path[SOURCE_PATH_MAX];
    err e = {0};
    snprintf(path, sizeof path, "%susr/share/doc/%.*s/copyright", d->root, STR_ARG(d->package));
    err_code code = os_read_regular(path, DEBCOPY_BYTES_MAX, &d->copyright_text, &e);
    if (code == ERR_OK) {
        code = debcopy_read(&d->copyright, strbuf_str(&d->copyright_text), &e);
        if (code != ERR_OK)
            err_in(&e, code, "%s", path);
    }
    if (code != ERR_OK)
        note(d->o, "%s: the licences of its files are unknown: %s", d->source.p, e.text);
}

static bool is_packaging(const deb *d, str path) {
    char doc[SOURCE_PATH_MAX];
    snprintf(doc, sizeof doc, "/usr/share/doc/%.*s/", STR_ARG(d->package));
    str base = base_of(path);
    return str_starts(path, str_from(doc)) && (str_is(base, "copyright") || str_starts(base, STR("changelog")));
}

static err_code add_installed(deb *d, str line, err *e) {
    char path[SOURCE_PATH_MAX];
    struct stat st;
    if (line.n < 2 || line.p[0] != '/' || line.n >= sizeof path / 2 || memchr(line.p, 0, line.n))
        return ERR_OK; /* "/." and what no package installs */
    snprintf(path, sizeof path, "%s%.*s", d->root, (int)line.n - 1, line.p + 1);
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || is_packaging(d, line) || !is_wanted(d->o, line))
        return ERR_OK;
    str patterns, licence = debcopy_find(&d->copyright, d->package, line, &patterns);
    d->n_unknown += licence.n == 0;
    d->n_files++;
    source_format format = d->o->format == SOURCE_AUTO ? format_of(line, false) : d->o->format;
    return add_file(d->l, path, line, d->source, licence.n ? licence : d->o->licence, format, UNPACK_NO_LINKS,
                    (uint64_t)st.st_size, e);
}

static err_code add_listed(deb *d, str word, err *e) {
    char path[SOURCE_PATH_MAX];
    strbuf list = {0};
    TRY(find_list(d, word, path, e));
    size_t before = d->l->n;
    err_code code = os_read_regular(path, LIST_BYTES_MAX, &list, e);
    if (code == ERR_OK)
        read_copyright(d);
    for (size_t at = 0; at < list.n && code == ERR_OK;) {
        const char *end = memchr(list.p + at, '\n', list.n - at);
        size_t to = end ? (size_t)(end - list.p) : list.n;
        code = add_installed(d, str_sub(strbuf_str(&list), at, to), e);
        at = to + 1;
    }
    strbuf_fini(&list);
    if (code == ERR_OK && d->n_files == 0)
        return err_set(e, ERR_USAGE, "no file of the package is there to be read");
    if (code == ERR_OK && d->copyright.n && d->n_unknown)
        note(d->o, "%s: %zu of its %zu files have a licence that its copyright file does not tell", d->source.p,
             d->n_unknown, d->n_files);
    if (code == ERR_OK)
        qsort(d->l->file + before, d->l->n - before, sizeof *d->l->file, compare_names);
    return code;
}

static err_code add_package(source_list *l, const char *word, const source_options *o, err *e) {
    str name = str_from(word + strlen("apt:"));
    if (!is_package_name(name))
        return err_set(e, ERR_USAGE, "%s: \"%.*s\" is no name of a package", word, STR_ARG(name));
    ptrdiff_t colon = str_find(name, STR(":"), 0);
    char root[SOURCE_PATH_MAX / 4];
    int n = snprintf(root, sizeof root, "%s/", o->root ? o->root : "");
    if (n < 0 || (size_t)n >= sizeof root)
        return err_set(e, ERR_LIMIT, "%.60s...: the path is too long", o->root);
    deb d = {.l = l, .o = o, .package = colon < 0 ? name : str_sub(name, 0, (size_t)colon), .root = root};
    d.source = str_from(word);
    err_code code = add_listed(&d, name, e);
    strbuf_fini(&d.copyright_text);
    debcopy_fini(&d.copyright);
    return code == ERR_OK ? code : err_in(e, code, "%s", word);
}

/* ---- words ---- */

err_code sources_add(source_list *l, const char *word, const source_options *o, err *e) {
    struct stat st;
    if (strcmp(word, "-") == 0)
        return add_file(l, NULL, STR("stdin"), o->source.n ? o->source : STR("stdin"), o->licence, o->format,
                        UNPACK_FOLLOW, 0, e);
    if (strncmp(word, "apt:", 4) == 0)
        return add_package(l, word, o, e);
    if (stat(word, &st) != 0)
        return err_set(e, ERR_IO, "%s: %s (a source is a file, a folder, apt:PACKAGE, or - for standard input)", word,
                       errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    if (S_ISDIR(st.st_mode))
        return add_folder(l, word, o, e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: is neither a file nor a folder", word);
    str name = base_of(str_from(word));
    source_format format = o->format == SOURCE_AUTO ? format_of(name, true) : o->format;
    return add_file(l, word, name, o->source.n ? o->source : name, o->licence, format, UNPACK_FOLLOW,
                    (uint64_t)st.st_size, e);
}
