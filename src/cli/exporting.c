/* exporting: the exporter's callbacks; see exporting.h. */
#include "cli/exporting.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tok/tokenizer_write.h"

static void show(void *ctx, size_t done, size_t total) { progress_step(&((exporting *)ctx)->bar, done, total); }
static void note(void *ctx, const char *text) { out_note("%s: %s", ((exporting *)ctx)->from, text); }

err_code exporting_keys(void *ctx, gguf_writer *w, err *e) {
    const exporting *x = ctx;
    const model *m = x->l->m;
    char path[OS_PATH_BYTES];
    if (model_gguf(m))
        return ERR_OK;
    TRY(os_join(path, model_path(m), "tokenizer.json", e));
    if (os_exists(path))
        return tokenizer_to_gguf(model_path(m), model_config_of(m)->V, w, e);
    out_note("%s: no tokenizer.json: the file will have no tokenizer", x->from);
    return tokenizer_none_to_gguf(w, e);
}

err_code exporting_check(const char *out, bool force, err *e) {
    if (!os_exists(out) || (force && !os_is_dir(out)))
        return ERR_OK;
    return err_set(e, ERR_USAGE, "%s: is there already%s", out, os_is_dir(out) ? "" : " (--force replaces it)");
}

export_options exporting_options(exporting *x) {
    return (export_options){.type = -1,
                            .bos = -1,
                            .eos = -1,
                            .keys = exporting_keys,
                            .keys_ctx = x,
                            .progress = show,
                            .progress_ctx = x,
                            .note = note,
                            .note_ctx = x};
}

/* ---- folders ---- */

static void remove_folder(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0)
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

/* Written beside its place, then renamed: the whole folder or none. */
static err_code to_folder(exporting *j, const char *out, export_options *o, err *e) {
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", out, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp)
        return err_set(e, ERR_LIMIT, "%.60s...: the path is too long", out);
    if (mkdir(temp, 0777) != 0)
        return err_set(e, ERR_IO, "%s: cannot be created: %s", out, strerror(errno));
    const gguf_file *g = model_gguf(j->l->m);
    err_code code = ERR_OK;
    if (g && gguf_find(g, "tokenizer.ggml.tokens")) {
        tokenizer *t;
        code = tokenizer_open_gguf(&t, g, e);
        if (code == ERR_OK) {
            o->bos = tokenizer_bos(t);
            o->eos = tokenizer_eos(t);
            tokenizer_close(t);
            code = tokenizer_to_folder(g, temp, e);
        }
    } else if (!g) {
        code = tokenizer_copy_files(j->from, temp, e);
    }
    if (code == ERR_OK)
        code = export_folder(j->l->m, temp, o, e);
    if (code == ERR_OK && rename(temp, out) != 0)
        code = err_set(e, ERR_IO, "%s: cannot be given its name: %s", out, strerror(errno));
    if (code != ERR_OK)
        remove_folder(temp);
    return code;
}

err_code exporting_write(exporting *x, const char *out, export_options *o, err *e) {
    return str_ends(str_from(out), STR(".gguf")) ? export_gguf(x->l->m, out, o, e) : to_folder(x, out, o, e);
}
