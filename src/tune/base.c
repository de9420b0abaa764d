/* base: see base.h. */
#include "tune/base.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "io/gguf_parts.h"
#include "train/tokens.h"

enum { FILES_MAX = 10000 };

/* ---- its digest ---- */

typedef struct {
    char **name; /* [n] */
    size_t n;
} names;

static void names_fini(names *x) {
    for (size_t i = 0; i < x->n; i++)
        free(x->name[i]);
    free(x->name);
}

/* Whether a model's meaning can depend on it. */
static bool counts(const char *name) {
    if (str_ends(str_from(name), STR(".safetensors")) || strcmp(name, "model.safetensors.index.json") == 0 ||
        strcmp(name, "config.json") == 0)
        return true;
    for (int i = 0; i < TOKENS_FILES_N; i++)
        if (strcmp(name, tokens_files[i]) == 0)
            return true;
    return false;
}

static err_code add_name(names *x, const char *name, err *e) {
    if (x->n == FILES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files", FILES_MAX);
    char **p = realloc(x->name, (x->n + 1) * sizeof *p);
    if (p)
        x->name = p;
    char *copy = p ? strdup(name) : NULL;
    if (!copy)
        return err_set(e, ERR_MEMORY, "no memory for a list of files");
    x->name[x->n++] = copy;
    return ERR_OK;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static err_code list(const char *folder, names *out, err *e) {
    DIR *d = opendir(folder);
    if (!d)
        return os_refused(folder, "read", e);
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));)
        if (counts(x->d_name))
            code = add_name(out, x->d_name, e);
    closedir(d);
    if (code == ERR_OK && out->n == 0)
        code = err_set(e, ERR_USAGE, "is no model (no config.json, no *.safetensors)");
    if (code == ERR_OK)
        qsort(out->name, out->n, sizeof *out->name, by_bytes);
    return code == ERR_OK || code == ERR_IO ? code : err_in(e, code, "%s", folder);
}

err_code base_digest_line(strbuf *lines, const char *path, hash256 *h, err *e) {
    char hex[65];
    str name = os_last_part(path);
    TRY(hash_file(path, h, e));
    hash_hex(*h, hex);
    return strbuf_addf(lines, e, "%.*s %s\n", (int)name.n, name.p, hex);
}

static err_code folder_lines(const char *folder, strbuf *lines, err *e) {
    names x = {0};
    err_code code = list(folder, &x, e);
    for (size_t i = 0; i < x.n && code == ERR_OK; i++) {
        char path[OS_PATH_BYTES];
        hash256 h;
        code = os_join(path, folder, x.name[i], e);
        if (code == ERR_OK)
            code = base_digest_line(lines, path, &h, e);
    }
    names_fini(&x);
    return code;
}

static err_code part_lines(const char *first, strbuf *lines, err *e) {
    gguf_file g;
    hash256 h;
    TRY(gguf_open(&g, first, e));
    err_code code = base_digest_line(lines, g.path, &h, e);
    for (size_t i = 0; i < g.n_more && code == ERR_OK; i++)
        code = base_digest_line(lines, g.more[i].path, &h, e);
    gguf_close(&g);
    return code;
}

err_code base_digest(const char *path, hash256 *out, err *e) {
    unsigned no, count;
    strbuf lines = {0};
    bool folder = os_is_dir(path);
    if (!folder && !gguf_part_of(str_from(path), &no, &count))
        return hash_file(path, out, e);
    err_code code = folder ? folder_lines(path, &lines, e) : part_lines(path, &lines, e);
    if (code == ERR_OK)
        *out = hash_of(lines.p, lines.n);
    strbuf_fini(&lines);
    return code;
}

/* ---- its words ---- */

err_code base_words_open(base_words *w, const char *path, err *e) {
    if (os_is_dir(path))
        return tokenizer_open_folder(&w->t, path, e);
    TRY(gguf_open(&w->file, path, e));
    w->is_open = true;
    return tokenizer_open_gguf(&w->t, &w->file, e);
}

void base_words_close(base_words *w) {
    tokenizer_close(w->t);
    if (w->is_open)
        gguf_close(&w->file);
    *w = (base_words){0};
}

/* ---- its shape ---- */

err_code base_describe(const model_config *c, recipe *r, err *e) {
    if (strlen(c->arch->name) >= sizeof r->model.arch)
        return err_set(e, ERR_LIMIT, "the architecture's name %s is too long", c->arch->name);
    snprintf(r->model.arch, sizeof r->model.arch, "%s", c->arch->name);
    r->model.layers = c->L;
    r->model.width = c->D;
    r->model.heads = c->H;
    r->model.kv_heads = c->G;
    r->model.head_width = c->K;
    r->model.ff = c->F;
    r->model.vocab = c->V;
    r->model.window = c->window;
    r->model.tied = c->tied;
    r->model.rope_theta = c->rope.theta;
    r->model.norm_eps = c->norm_eps;
    return ERR_OK;
}

err_code base_compare(const model_config *c, const recipe *r, const char *path, err *e) {
    recipe is = *r;
    strbuf what = {0};
    err_code code = base_describe(c, &is, e);
    if (code == ERR_OK)
        code = recipe_difference(&is, r, &what, e);
    if (code == ERR_OK && what.n)
        code = err_set(e, ERR_MISMATCH, "%s: is not what the recipe says: %.*s", path, STR_ARG(strbuf_str(&what)));
    strbuf_fini(&what);
    return code;
}
