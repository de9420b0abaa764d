/* sign: see sign.h. */
#include "sign/sign.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static const char *const git_paths[] = {".git", ".gitattributes", ".github", ".gitignore"};
enum { GIT_PATHS = sizeof git_paths / sizeof *git_paths, PATH_BYTES = 4096 };

err_code sign_default_path(const char *model, char out[4096], err *e) {
    size_t n = strlen(model);
    while (n > 1 && model[n - 1] == '/')
        n--;
    int got =
        snprintf(out, PATH_BYTES, os_is_dir(model) ? "%.*s/model.sig" : "%.*s.sig", (int)(n < INT_MAX ? n : 0), model);
    return got > 0 && got < PATH_BYTES ? ERR_OK : err_set(e, ERR_LIMIT, "%.200s: the path is too long", model);
}

/* ---- ignored paths ---- */

typedef struct {
    arena mem;
    str *path;
    size_t n, cap;
} paths;

static err_code add_path(paths *p, str s, err *e) {
    if (p->n == p->cap)
        return err_set(e, ERR_LIMIT, "more than %zu ignored paths", p->cap);
    p->path[p->n] = arena_str(&p->mem, s);
    if (!p->path[p->n].p)
        return arena_short(e, s.n, 1);
    p->n++;
    return ERR_OK;
}

/* Where `path`, whose last component need not be there, lies below `root`; *inside false when it does not. Both as the
 * system resolves them. */
static err_code below(const char *root, const char *path, char out[PATH_BYTES], bool *inside, err *e) {
    char full_root[PATH_BYTES], full[PATH_BYTES], folder[PATH_BYTES];
    *inside = false;
    if (strlen(path) >= PATH_BYTES || !realpath(root, full_root))
        return err_set(e, ERR_IO, "%.200s: cannot be found: %s", root, strerror(errno));
    if (!realpath(path, full)) {
        snprintf(folder, sizeof folder, "%s", path);
        char *slash = strrchr(folder, '/');
        const char *last = slash ? path + (slash - folder) + 1 : path;
        if (slash)
            slash[slash == folder] = 0;
        if (!realpath(slash ? folder : ".", full))
            return err_set(e, ERR_IO, "%s: cannot be found: %s", path, strerror(errno));
        size_t n = strlen(full);
        int got = snprintf(full + n, sizeof full - n, "%s%s", n > 1 ? "/" : "", last);
        if (got < 0 || (size_t)got >= sizeof full - n)
            return err_set(e, ERR_LIMIT, "%.200s: the path is too long", path);
    }
    size_t n = strlen(full_root);
    if (strcmp(full_root, "/") != 0 && (strncmp(full, full_root, n) != 0 || full[n] != '/'))
        return ERR_OK;
    *inside = true;
    snprintf(out, PATH_BYTES, "%s", full + n + (full[n] == '/'));
    return ERR_OK;
}

static err_code gather(paths *p, const char *model, const sign_options *o, const char *signature, const manifest *was,
                       err *e) {
    char inner[PATH_BYTES];
    bool inside;
    p->cap = o->n_ignore + GIT_PATHS + 1 + (was ? was->n_ignore : 0);
    ARENA_NEW(&p->mem, p->path, p->cap, e);
    for (size_t i = 0; was && i < was->n_ignore; i++)
        TRY(add_path(p, was->ignore[i], e));
    for (size_t i = 0; i < GIT_PATHS && !was && !o->git_paths; i++)
        TRY(add_path(p, str_from(git_paths[i]), e));
    for (size_t i = 0; i < o->n_ignore; i++) {
        str given = arena_str(&p->mem, o->ignore[i]);
        if (!given.p)
            return arena_short(e, o->ignore[i].n, 1);
        TRY(below(model, given.p, inner, &inside, e));
        if (!inside)
            return err_set(e, ERR_USAGE, "--ignore %s: lies outside %s (paths are those of the file system)", given.p,
                           model);
        TRY(add_path(p, str_from(inner), e));
    }
    TRY(below(model, signature, inner, &inside, e));
    return inside ? add_path(p, str_from(inner), e) : ERR_OK;
}

static err_code look(manifest *m, const char *model, const sign_options *o, const char *signature, const manifest *was,
                     err *e) {
    paths p = {0};
    err_code code = gather(&p, model, o, signature, was, e);
    manifest_options mo = {.allow_symlinks = o->allow_symlinks,
                           .ignore = p.path,
                           .n_ignore = p.n,
                           .only = o->signed_only ? was : NULL,
                           .pool = o->pool,
                           .stop = o->stop,
                           .progress = o->progress,
                           .progress_ctx = o->progress_ctx};
    if (code == ERR_OK)
        code = manifest_make(m, model, &mo, e);
    arena_fini(&p.mem);
    return code;
}

static err_code place(const char *model, const sign_options *o, sign_report *r, err *e) {
    *r = (sign_report){0};
    if (!o->signature)
        return sign_default_path(model, r->signature, e);
    int n = snprintf(r->signature, sizeof r->signature, "%s", o->signature);
    return n >= 0 && (size_t)n < sizeof r->signature
               ? ERR_OK
               : err_set(e, ERR_LIMIT, "%.200s: the path is too long", o->signature);
}

/* ---- signing ---- */

typedef struct {
    strbuf statement, bytes, signature, text;
} texts;

static err_code seal(const sign_key *k, sign_report *r, texts *t, err *e) {
    TRY(sign_key_hint(k, r->hint, e));
    TRY(statement_write(&r->files, &t->statement, e));
    TRY(bundle_signed_bytes(strbuf_str(&t->statement), &t->bytes, e));
    TRY(sign_key_sign(k, strbuf_str(&t->bytes), &t->signature, e));
    TRY(bundle_write(strbuf_str(&t->statement), strbuf_str(&t->signature), r->hint, &t->text, e));
    TRY(manifest_root(&r->files, &r->root, e));
    return os_write_file(r->signature, strbuf_str(&t->text), e);
}

err_code sign_make(const char *model, const sign_key *k, const sign_options *o, sign_report *r, err *e) {
    texts t = {0};
    TRY(place(model, o, r, e));
    TRY(look(&r->files, model, o, r->signature, NULL, e));
    err_code code =
        r->files.n == 0 ? err_set(e, ERR_USAGE, "%s: there is nothing to sign in it", model) : seal(k, r, &t, e);
    strbuf_fini(&t.statement);
    strbuf_fini(&t.bytes);
    strbuf_fini(&t.signature);
    strbuf_fini(&t.text);
    if (code != ERR_OK)
        sign_report_fini(r);
    return code;
}

/* ---- checking ---- */

/* A file that is no signature is refused like a forged one. */
static err_code refused(const sign_report *r, err_code code, err *e) {
    if (code != ERR_FORMAT && code != ERR_LIMIT)
        return code == ERR_OK ? code : err_in(e, code, "%s", r->signature);
    err inner = {0};
    if (e)
        inner = *e;
    return err_set(e, ERR_MISMATCH, "%s: is no signature of a model: %s", r->signature, inner.text);
}

/* The statement, once the key has vouched for it. */
static err_code read_signed(const sign_key *k, sign_report *r, manifest *was, bundle *b, strbuf *bytes, err *e) {
    TRY(os_read_regular(r->signature, BUNDLE_BYTES_MAX, bytes, e));
    TRY(refused(r, bundle_read(b, strbuf_str(bytes), e), e));
    TRY(sign_key_hint(k, r->hint, e));
    if (b->hint[0] && strcmp(b->hint, r->hint) != 0)
        return err_set(e, ERR_MISMATCH, "%s: was made with another key (%.16s..., this one is %.16s...)", r->signature,
                       b->hint, r->hint);
    bytes->n = 0;
    TRY(bundle_signed_bytes(strbuf_str(&b->statement), bytes, e));
    TRY(refused(r, sign_key_verify(k, strbuf_str(bytes), strbuf_str(&b->signature), e), e));
    return refused(r, statement_read(was, strbuf_str(&b->statement), e), e);
}

static err_code compare(const char *model, const manifest *was, const manifest *found, err *e) {
    strbuf text = {0};
    err_code code = manifest_difference(was, found, &text, e);
    if (code == ERR_OK && text.n)
        code = err_set(e, ERR_MISMATCH, "%s: is not what was signed: %.*s", model, (int)text.n, text.p);
    strbuf_fini(&text);
    return code;
}

err_code sign_check(const char *model, const sign_key *k, const sign_options *o, sign_report *r, err *e) {
    manifest was = {0};
    bundle b = {0};
    strbuf bytes = {0};
    TRY(place(model, o, r, e));
    err_code code = ERR_OK;
    if (!os_exists(r->signature))
        code = err_set(e, ERR_IO, "%s: there is no signature (--signature names one elsewhere)", r->signature);
    if (code == ERR_OK)
        code = read_signed(k, r, &was, &b, &bytes, e);
    bundle_fini(&b);
    strbuf_fini(&bytes);
    if (code == ERR_OK)
        code = look(&r->files, model, o, r->signature, &was, e);
    if (code == ERR_OK)
        code = compare(model, &was, &r->files, e);
    if (code == ERR_OK)
        code = manifest_root(&r->files, &r->root, e);
    manifest_fini(&was);
    if (code != ERR_OK)
        sign_report_fini(r);
    return code;
}

void sign_report_fini(sign_report *r) { manifest_fini(&r->files); }
