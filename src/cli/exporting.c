/* exporting: the exporter's callbacks; see exporting.h. */
#include "cli/exporting.h"

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
