/* publish: see publish.h. */
#include "train/publish.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "kern/kern.h"
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

err_code publish_run(run *r, hash256 digest, err *e) {
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
