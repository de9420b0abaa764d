/* loam convert, loam quantize: a model in another form. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/out.h"
#include "model/export.h"
#include "model/mix.h"
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
static const option quantize_options[] = {
    {"force", 'f', OPT_FLAG, NULL, "replace OUT when it is there", offsetof(values, force), 0, 0, NULL},
    {0},
};
static const option_group convert_groups[] = {{"Conversion", convert_options, 0}, COMMON_GROUP, {0}};
static const option_group quantize_groups[] = {{"Quantisation", quantize_options, 0}, COMMON_GROUP, {0}};

typedef struct {
    const loaded *l;
    const char *from;
    const mix *mix;
    progress bar;
} job;

static void show(void *ctx, size_t done, size_t total) { progress_step(&((job *)ctx)->bar, done, total); }
static void note(void *ctx, const char *text) { out_note("%s: %s", ((job *)ctx)->from, text); }

static dtype choose(void *ctx, const model_tensor *t, size_t i) {
    const job *j = ctx;
    (void)i;
    return mix_of(j->mix, model_config_of(j->l->m), t, false).type;
}

/* The tokenizer of a folder; a GGUF source's keys are kept by the exporter. */
static err_code tokenizer_keys(void *ctx, gguf_writer *w, err *e) {
    const job *j = ctx;
    char path[4096];
    if (model_gguf(j->l->m))
        return ERR_OK;
    snprintf(path, sizeof path, "%s/tokenizer.json", j->from);
    if (os_exists(path))
        return tokenizer_to_gguf(j->from, model_config_of(j->l->m)->V, w, e);
    out_note("%s: no tokenizer.json: the file will have no tokenizer", j->from);
    return tokenizer_none_to_gguf(w, e);
}

static err_code check_out(const char *out, bool force, err *e) {
    if (!os_exists(out) || (force && !os_is_dir(out)))
        return ERR_OK;
    return err_set(e, ERR_USAGE, "%s: is there already%s", out, os_is_dir(out) ? "" : " (--force replaces it)");
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
static err_code to_folder(job *j, const char *out, export_options *o, err *e) {
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

/* ---- both commands ---- */

static err_code convert(const values *v, const char *from, const char *out, const char *type, const mix *m, err *e) {
    loaded l = {0};
    job j = {.l = &l, .from = from, .mix = m, .bar = {.what = "writing"}};
    bool folder = !str_ends(str_from(out), STR(".gguf"));
    export_options o = {.type = strcmp(type, "same") ? dtype_from_name(type) : -1,
                        .bos = -1,
                        .eos = -1,
                        .choose = m ? choose : NULL,
                        .choose_ctx = &j,
                        .file_type = m ? m->file_type : 0,
                        .keys = tokenizer_keys,
                        .keys_ctx = &j,
                        .progress = show,
                        .progress_ctx = &j,
                        .note = note,
                        .note_ctx = &j};
    err_code code = check_out(out, v->force, e);
    if (code == ERR_OK)
        code = load_model(&l, from, &v->common, &(compute_values)COMPUTE_DEFAULTS, LOAD_PLAN, e);
    const gguf_file *g = code == ERR_OK ? model_gguf(l.m) : NULL;
    for (size_t i = 0; m && g && i < g->n_tensors; i++)
        if (dtype_table[g->tensor[i].type].block_elems > 1) {
            out_note("%s: is quantised already: rounding again adds to its errors (better from F16, BF16 or F32)",
                     from);
            break;
        }
    if (code == ERR_OK)
        code = folder ? to_folder(&j, out, &o, e) : export_gguf(l.m, out, &o, e);
    progress_end(&j.bar);
    loaded_close(&l);
    return code;
}

static err_code run_convert(const void *p, const arguments *args, err *e) {
    const values *v = p;
    return convert(v, args->arg[0], args->arg[1], v->type, NULL, e);
}

static uint64_t size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static err_code run_quantize(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const mix *m = mix_by_name(args->arg[2]);
    if (!m)
        return err_set(e, ERR_USAGE, "no type \"%s\" (there are %s)", args->arg[2], mix_names());
    if (!str_ends(str_from(args->arg[1]), STR(".gguf")))
        return err_set(e, ERR_USAGE, "%s: quantised models are .gguf files", args->arg[1]);
    TRY(convert(v, args->arg[0], args->arg[1], "same", m, e));
    uint64_t size = size_of(args->arg[1]);
    if (!v->common.json) {
        out_printf("%s %s, %s\n", args->arg[1], m->name, amount_bytes((double)size).text);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "type");
    js_text(&j, str_from(m->name));
    js_key(&j, "bytes");
    js_int(&j, (int64_t)size);
    js_end(&j, '}');
    return js_print(&j);
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

const command command_quantize = {
    .name = "quantize",
    .args = "M OUT.gguf TYPE",
    .summary = "a model in fewer bits: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 ...",
    .details =
        "The bytes of each matrix are those that llama.cpp's quantiser gives, and mixes such as Q4_K_M choose the same "
        "format for each matrix. Rows that do not fit a format get the next that does.\n\n"
        "  loam quantize my-folder model-q4.gguf Q4_K_M",
    .n_args_min = 3,
    .n_args_max = 3,
    .groups = quantize_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_quantize,
};
