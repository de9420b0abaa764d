/* loam convert: a model in another form. */
#include <string.h>

#include "cli/exporting.h"

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

static err_code run_convert(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *from = args->arg[0], *out = args->arg[1];
    loaded l = {0};
    exporting x = {.l = &l, .from = from, .bar = {.what = "writing"}};
    export_options o = exporting_options(&x);
    o.type = strcmp(v->type, "same") ? dtype_from_name(v->type) : -1;
    err_code code = exporting_check(out, v->force, e);
    if (code == ERR_OK)
        code = load_model(&l, from, &v->common, &(compute_values)COMPUTE_DEFAULTS, LOAD_PLAN, e);
    if (code == ERR_OK)
        code = exporting_write(&x, out, &o, e);
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
