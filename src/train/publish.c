/* publish: see publish.h. */
#include "train/publish.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "kern/kern.h"
#include "model/adapter.h"
#include "model/adapter_file.h"
#include "model/export.h"
#include "tok/tokenizer_write.h"

typedef struct {
    run *r;
    uint64_t step;
    hash256 digest, weights;
    str name; /* for loam.run; empty: without that key, as Loam wrote it once */
} origin;

static err_code put_hash(gguf_writer *w, const char *key, hash256 h, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return gguf_write_str(w, key, str_from(hex), e);
}

/* A new model's is in the run; that of a base in a file is kept with its keys. */
static err_code put_tokenizer(const run *r, gguf_writer *w, err *e) {
    run_path folder;
    size_t n_vocab = (size_t)r->recipe.model.vocab;
    if (r->base)
        return model_gguf(trainer_model(r->trainer))
                   ? ERR_OK
                   : tokenizer_to_gguf(model_path(trainer_model(r->trainer)), n_vocab, w, e);
    TRY(run_file(r, "tokenizer", &folder, e));
    return tokenizer_to_gguf(folder.text, n_vocab, w, e);
}

static err_code put_keys(void *ctx, gguf_writer *w, err *e) {
    const origin *o = ctx;
    const recipe *r = &o->r->recipe;
    strbuf text = {0};
    hash256 h;
    TRY(put_tokenizer(o->r, w, e));
    TRY(recipe_digest(r, &h, e));
    err_code code = recipe_text(r, &text, e);
    if (code == ERR_OK)
        code = gguf_write_u32(w, "loam.arithmetic", KERN_ARITHMETIC_VERSION, e);
    if (code == ERR_OK)
        code = gguf_write_str(w, "loam.recipe", strbuf_str(&text), e);
    strbuf_fini(&text);
    TRY(code);
    TRY(put_hash(w, "loam.recipe.digest", h, e));
    TRY(put_hash(w, "loam.data.digest", r->data.digest, e));
    TRY(o->r->base ? put_hash(w, "loam.base.digest", r->base.digest, e)
                   : put_hash(w, "loam.tokenizer.digest", r->tokenizer.digest, e));
    TRY(gguf_write_u64(w, "loam.steps", o->step, e));
    TRY(put_hash(w, "loam.weights", o->weights, e));
    TRY(put_hash(w, "loam.chain", o->digest, e));
    return o->name.n ? gguf_write_str(w, "loam.run", o->name, e) : ERR_OK;
}

static export_options options(origin *o, str name) {
    return (export_options){
        .type = DTYPE_F32, .name = name, .keys = put_keys, .keys_ctx = o, .drop = STR("loam."), .bos = -1, .eos = -1};
}

/* For what GGUF files have no words for: the base is a folder then. */
static err_code publish_folder(run *r, const export_options *x, err *e) {
    run_path folder;
    TRY(run_file(r, "model", &folder, e));
    if (mkdir(folder.text, 0777) != 0 && errno != EEXIST)
        return os_refused(folder.text, "created", e);
    TRY(tokenizer_copy_files(model_path(trainer_model(r->trainer)), folder.text, e));
    return export_folder(trainer_model(r->trainer), folder.text, x, e);
}

/* ---- an adapter ---- */

/* All files of it, below a folder. */
static const char *const adapter_files[] = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors",
                                            "adapter.gguf"};
enum { ADAPTER_FILES = 3 };

static err_code save_adapter(run *r, const char *folder, err *e) {
    run_path peft, gguf;
    const adapter *a = trainer_adapter(r->trainer);
    char base[7 + 65] = "sha256:";
    hash_hex(r->recipe.base.digest, base + 7);
    TRY(os_join(peft.text, folder, "adapter", e));
    TRY(os_join(gguf.text, folder, "adapter.gguf", e));
    if (!r->recipe.tune.dora)
        TRY(adapter_save_gguf(a, gguf.text, str_from(base), e));
    return adapter_save_peft(a, peft.text, base, e);
}

static err_code compare_file(const char *is, const char *want, err *e) {
    os_map a, b;
    TRY(os_map_open(&a, want, e));
    err_code code = os_map_open(&b, is, e);
    if (code == ERR_OK) {
        if (a.n != b.n || memcmp(a.p, b.p, a.n) != 0)
            code = err_set(e, ERR_MISMATCH, "%s: is not what the run has made", is);
        os_map_close(&b);
    }
    os_map_close(&a);
    return code;
}

/* Against the files in a folder of its own, as they are to be. */
static err_code compare_adapter(run *r, const char *folder, err *e) {
    TRY(save_adapter(r, folder, e));
    for (int i = 0; i < ADAPTER_FILES; i++) {
        run_path is, want;
        TRY(run_file(r, adapter_files[i], &is, e));
        TRY(os_join(want.text, folder, adapter_files[i], e));
        if (!os_exists(want.text))
            continue;
        if (!os_exists(is.text))
            return err_set(e, ERR_MISMATCH, "%s: is missing", is.text);
        TRY(compare_file(is.text, want.text, e));
    }
    return ERR_OK;
}

static void remove_adapter(const char *folder) {
    run_path path;
    for (int i = 0; i < ADAPTER_FILES; i++)
        if (os_join(path.text, folder, adapter_files[i], NULL) == ERR_OK)
            unlink(path.text);
    if (os_join(path.text, folder, "adapter", NULL) == ERR_OK)
        rmdir(path.text);
    rmdir(folder);
}

err_code publish_compare_adapter(run *r, err *e) {
    run_path folder;
    TRY(os_scratch(folder.text, "loam-adapter", e));
    err_code code = compare_adapter(r, folder.text, e);
    remove_adapter(folder.text);
    return code;
}

/* ---- a model ---- */

static err_code publish_model(run *r, hash256 digest, err *e) {
    run_path file;
    str name = os_last_part(r->path);
    origin o = {.r = r, .step = trainer_step_done(r->trainer), .digest = digest, .name = name};
    ckpt_state s = trainer_state(r->trainer);
    hash256 moments;
    TRY(run_file(r, "model.gguf", &file, e));
    TRY(ckpt_roots(&s, &o.weights, &moments, e));
    export_options x = options(&o, name);
    err why = {0};
    err_code code = export_gguf(trainer_model(r->trainer), file.text, &x, &why);
    if (code == ERR_UNSUPPORTED && r->base && !model_gguf(trainer_model(r->trainer)))
        return publish_folder(r, &x, e);
    return code == ERR_OK ? code : err_set(e, code, "%s", why.text);
}

err_code publish_run(run *r, hash256 digest, err *e) {
    return trainer_adapter(r->trainer) ? save_adapter(r, r->path, e) : publish_model(r, digest, e);
}

err_code publish_compare(run *r, const model *m, const chain_line *last, err *e) {
    run_path file;
    str name;
    origin o = {.r = r, .step = last->step, .digest = last->digest, .weights = last->weights};
    TRY(run_file(r, "model.gguf", &file, e));
    TRY(gguf_get_str(model_gguf(m), "general.name", STR(""), &name, e));
    o.name = gguf_find(model_gguf(m), "loam.run") ? name : (str){0};
    export_options x = options(&o, name);
    return export_compare(trainer_model(r->trainer), file.text, &x, e);
}
