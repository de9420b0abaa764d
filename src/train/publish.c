/* publish: see publish.h. */
#include "train/publish.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
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
static err_code publish_folder(run *r, const char *in, const export_options *x, err *e) {
    run_path folder;
    TRY(os_join(folder.text, in, "model", e));
    if (mkdir(folder.text, 0777) != 0 && errno != EEXIST)
        return os_refused(folder.text, "created", e);
    TRY(tokenizer_copy_files(model_path(trainer_model(r->trainer)), folder.text, e));
    return export_folder(trainer_model(r->trainer), folder.text, x, e);
}

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
        return publish_folder(r, r->path, &x, e);
    return code == ERR_OK ? code : err_set(e, code, "%s", why.text);
}

err_code publish_run(run *r, hash256 digest, err *e) {
    return trainer_adapter(r->trainer) ? save_adapter(r, r->path, e) : publish_model(r, digest, e);
}

/* ---- what stands in the folder ---- */

/* All that a run of any kind publishes. */
static const char *const artefact[] = {"model.gguf", "model", "adapter.gguf", "adapter"};
enum { ARTEFACTS = sizeof artefact / sizeof *artefact };

err_code publish_check_names(const run *r, bool *any, err *e) {
    run_path path[ARTEFACTS];
    bool there[ARTEFACTS], lora = recipe_has_adapter(&r->recipe);
    *any = false;
    for (int i = 0; i < ARTEFACTS; i++) {
        TRY(run_file(r, artefact[i], &path[i], e));
        there[i] = os_exists(path[i].text);
        *any |= there[i];
    }
    const bool due[ARTEFACTS] = {!lora, !lora && r->base && !there[0], lora && !r->recipe.tune.dora, lora};
    for (int i = 0; i < ARTEFACTS; i++)
        if (there[i] && !due[i])
            return err_set(e, ERR_MISMATCH, "%s: is nothing that this run publishes", path[i].text);
    return ERR_OK;
}

static err_code compare_files(const char *is, const char *want, err *e) {
    os_map a, b;
    TRY(os_map_open(&a, want, e));
    err_code code = os_map_open(&b, is, e);
    if (code == ERR_OK) {
        if (a.n != b.n || (a.n && memcmp(a.p, b.p, a.n) != 0))
            code = err_set(e, ERR_MISMATCH, "%s: is not what the run has made", is);
        os_map_close(&b);
    }
    os_map_close(&a);
    return code;
}

/* Neither hidden nor left by a writer that was killed (base/outfile.h). */
static int counts(const struct dirent *x) { return x->d_name[0] != '.' && !str_ends(str_from(x->d_name), STR(".tmp")); }

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* What is in `listed`, one of the two, is in both; `bytes` of it are the same. */
static err_code compare_listed(const char *listed, const char *is, const char *want, bool bytes, err *e) {
    struct dirent **entry;
    int n = scandir(listed, &entry, counts, by_bytes);
    if (n < 0)
        return os_refused(listed, "read", e);
    err_code code = ERR_OK;
    for (int i = 0; i < n; i++) {
        run_path a, b;
        if (code == ERR_OK)
            code = os_join(a.text, is, entry[i]->d_name, e);
        if (code == ERR_OK)
            code = os_join(b.text, want, entry[i]->d_name, e);
        if (code == ERR_OK && !os_exists(b.text))
            code = err_set(e, ERR_MISMATCH, "%s: is nothing that this run publishes", a.text);
        if (code == ERR_OK && !os_exists(a.text))
            code = err_set(e, ERR_MISMATCH, "%s: is missing", a.text);
        if (code == ERR_OK && bytes)
            code = compare_files(a.text, b.text, e);
        free(entry[i]);
    }
    free(entry);
    return code;
}

err_code publish_compare_made(const char *is, const char *want, err *e) {
    if (!os_exists(want))
        return os_exists(is) ? err_set(e, ERR_MISMATCH, "%s: is nothing that this run publishes", is) : ERR_OK;
    if (!os_exists(is))
        return err_set(e, ERR_MISMATCH, "%s: is missing", is);
    if (!os_is_dir(want) || !os_is_dir(is))
        return compare_files(is, want, e);
    TRY(compare_listed(is, is, want, false, e));
    return compare_listed(want, is, want, true, e);
}

err_code publish_compare_all(const char *is, const char *want, err *e) {
    for (int i = 0; i < ARTEFACTS; i++) {
        run_path a, b;
        TRY(os_join(a.text, is, artefact[i], e));
        TRY(os_join(b.text, want, artefact[i], e));
        TRY(publish_compare_made(a.text, b.text, e));
    }
    return ERR_OK;
}

/* What publishing writes into such a folder. */
static int is_made(const struct dirent *x) {
    static const char *const ends[] = {".safetensors", ".json", ".jinja", "tokenizer.model", "merges.txt"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_ends(str_from(x->d_name), str_from(ends[i])))
            return 1;
    return 0;
}

static void sweep_folder(const char *folder) {
    struct dirent **entry;
    int n = scandir(folder, &entry, is_made, by_bytes);
    for (int i = 0; i < n; i++) {
        run_path path;
        if (os_join(path.text, folder, entry[i]->d_name, NULL) == ERR_OK)
            unlink(path.text);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    rmdir(folder);
}

void publish_sweep(const char *folder) {
    for (int i = 0; i < ARTEFACTS; i++) {
        run_path path;
        if (os_join(path.text, folder, artefact[i], NULL) == ERR_OK && unlink(path.text) != 0 && os_is_dir(path.text))
            sweep_folder(path.text);
    }
}

/* ---- against what publishing gives ---- */

static err_code publish_into(run *r, const char *folder, err *e) {
    origin o = {.r = r};
    export_options x = options(&o, os_last_part(r->path));
    return trainer_adapter(r->trainer) ? save_adapter(r, folder, e) : publish_folder(r, folder, &x, e);
}

/* In a folder of its own. */
static err_code compare_again(run *r, err *e) {
    run_path folder;
    TRY(os_scratch(folder.text, "loam-made", e));
    err_code code = publish_into(r, folder.text, e);
    if (code == ERR_OK)
        code = publish_compare_all(r->path, folder.text, e);
    publish_sweep(folder.text);
    rmdir(folder.text);
    return code;
}

err_code publish_compare(run *r, const model *m, const chain_line *last, err *e) {
    run_path file;
    str name;
    if (!m || !model_gguf(m))
        return compare_again(r, e);
    origin o = {.r = r, .step = last->step, .digest = last->digest, .weights = last->weights};
    TRY(run_file(r, "model.gguf", &file, e));
    TRY(gguf_get_str(model_gguf(m), "general.name", STR(""), &name, e));
    o.name = gguf_find(model_gguf(m), "loam.run") ? name : (str){0};
    export_options x = options(&o, name);
    return export_compare(trainer_model(r->trainer), file.text, &x, e);
}
