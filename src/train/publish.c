/* publish: see publish.h. */
#include "train/publish.h"

#include <string.h>

#include "kern/kern.h"
#include "model/export.h"
#include "tok/tokenizer_write.h"

typedef struct {
    run *r;
    hash256 digest, weights;
} origin;

static err_code put_hash(gguf_writer *w, const char *key, hash256 h, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return gguf_write_str(w, key, str_from(hex), e);
}

static err_code put_keys(void *ctx, gguf_writer *w, err *e) {
    const origin *o = ctx;
    const recipe *r = &o->r->recipe;
    run_path folder;
    strbuf text = {0};
    hash256 h;
    TRY(run_file(o->r, "tokenizer", &folder, e));
    TRY(tokenizer_to_gguf(folder.text, (size_t)r->model.vocab, w, e));
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
    TRY(put_hash(w, "loam.tokenizer.digest", r->tokenizer.digest, e));
    TRY(gguf_write_u64(w, "loam.steps", trainer_step_done(o->r->trainer), e));
    TRY(put_hash(w, "loam.weights", o->weights, e));
    return put_hash(w, "loam.chain", o->digest, e);
}

/* The last part of the run's path. */
static str name_of(const char *path) {
    str s = str_from(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    size_t from = s.n;
    while (from > 0 && s.p[from - 1] != '/')
        from--;
    return str_sub(s, from, s.n);
}

err_code publish_run(run *r, hash256 digest, err *e) {
    run_path file;
    origin o = {.r = r, .digest = digest};
    ckpt_state s = trainer_state(r->trainer);
    hash256 moments;
    TRY(run_file(r, "model.gguf", &file, e));
    TRY(ckpt_roots(&s, &o.weights, &moments, e));
    export_options x = {.type = -1, .name = name_of(r->path), .keys = put_keys, .keys_ctx = &o, .bos = -1, .eos = -1};
    return export_gguf(trainer_model(r->trainer), file.text, &x, e);
}
