/* loam convert: a model in another form. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/exporting.h"
#include "tok/tokenizer_write.h"

typedef struct {
    common_values common;
    const char *type;
    bool force;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .type = "same"};
static const char *const types[] = {"same", "F32", "F16", "BF16", "f32", "f16", "bf16", NULL};

static const option convert_options[] = {
    {"type", 0, OPT_CHOICE, "TYPE", "of the matrices: F32, F16, BF16, or the same as they are", offsetof(values, type),
     0, 0, types},
    {"force", 'f', OPT_FLAG, NULL, "replace OUT when it is a file that is there", offsetof(values, force), 0, 0, NULL},
    {0},
};
static const option_group convert_groups[] = {{"Conversion", convert_options, 0}, COMMON_GROUP, {0}};

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

static err_code run_convert(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *from = args->arg[0], *out = args->arg[1];
    loaded l = {0};
    exporting x = {.l = &l, .from = from, .bar = {.what = "writing"}};
    export_options o = exporting_options(&x);
    bool folder = !str_ends(str_from(out), STR(".gguf"));
    o.type = strcmp(v->type, "same") ? dtype_from_name(v->type) : -1;
    err_code code = exporting_check(out, v->force, e);
    if (code == ERR_OK)
        code = load_model(&l, from, &v->common, &(compute_values)COMPUTE_DEFAULTS, LOAD_PLAN, e);
    if (code == ERR_OK)
        code = folder ? to_folder(&x, out, &o, e) : export_gguf(l.m, out, &o, e);
    progress_end(&x.bar);
    loaded_close(&l);
    return code;
}

const command command_convert = {
    .name = "convert",
    .args = "M OUT.gguf|OUT_FOLDER",
    .summary = "a model as a GGUF file or a Hugging Face folder, with the same logits",
    .details =
        "OUT is a GGUF file when its name ends in .gguf, else a new folder. The tokenizer and the chat template come "
        "along. What the other form cannot say of a model is an error, never left out. Nothing is loaded: rows go "
        "from file to file, and OUT appears whole or not at all.\n\n"
        "  loam convert my-folder model.gguf --type BF16\n"
        "  loam convert model.gguf my-folder",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = convert_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_convert,
};
