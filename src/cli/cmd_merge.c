/* loam merge: a model with adapters made a part of its weights; or several adapters made one. */
#include <string.h>

#include "base/os.h"
#include "cli/exporting.h"
#include "model/adapter_merge.h"
#include "model/mix.h"

typedef struct {
    common_values common;
    const char *type, *combine;
    double density;
    bool adapter, force;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .density = 1};
static const char *const combinations[COMBINE_COUNT + 1] = {
    [COMBINE_CAT] = "cat", [COMBINE_LINEAR] = "linear", [COMBINE_TIES] = "ties"};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"type", 0, OPT_TEXT, "TYPE",
     "of the matrices: F16, BF16, F32, or of a .gguf file any that loam quantize knows; same: as each is. Without it: "
     "as "
     "they are if they are floats, else F16",
     AT(type), 0, 0, NULL},
    {"combine", 0, OPT_CHOICE, "HOW", "make one adapter of all before anything else: cat (exact), linear, ties",
     AT(combine), 0, 0, combinations},
    {"density", 0, OPT_REAL, "D", "of ties: the share of each adapter's numbers that is kept", AT(density), 0, 1, NULL},
    {"adapter", 0, OPT_FLAG, NULL, "write the adapter to OUT: a .gguf file for llama.cpp, or a folder for peft",
     AT(adapter), 0, 0, NULL},
    {"force", 'f', OPT_FLAG, NULL, "replace OUT when it is a file that is there", AT(force), 0, 0, NULL},
    {0},
};
#undef AT
static const option_group groups[] = {{"Merging", own_options, 0}, COMMON_GROUP, {0}};

typedef struct {
    const values *v;
    loaded l;
    exporting x;
    const mix *mix;
    adapter *combined;
    adapter_use use[MODEL_ADAPTERS_MAX];
    size_t n;
} job;

static err_code open_adapters(job *j, const arguments *args, err *e) {
    for (int i = 1; i + 1 < args->n; i++) {
        char path[OS_PATH_BYTES];
        if (j->n == MODEL_ADAPTERS_MAX)
            return err_set(e, ERR_USAGE, "more than %d adapters", MODEL_ADAPTERS_MAX);
        TRY(load_lora(str_from(args->arg[i]), path, &j->use[j->n].mix, e));
        TRY(adapter_open(&j->l.adapters[j->n], j->l.m, path, e));
        j->use[j->n].adapter = j->l.adapters[j->n];
        j->n++;
    }
    return ERR_OK;
}

static err_code combine(job *j, err *e) {
    const values *v = j->v;
    int how = COMBINE_CAT;
    if (!v->combine && !(v->adapter && (j->n > 1 || j->use[0].mix != 1)))
        return ERR_OK;
    while (v->combine && strcmp(v->combine, combinations[how]) != 0)
        how++;
    TRY(adapter_combine(&j->combined, j->use, j->n, (combine_how)how, v->density, e));
    j->use[0] = (adapter_use){j->combined, 1};
    j->n = 1;
    return ERR_OK;
}

/* ---- the model ---- */

static dtype choose(void *ctx, const model_tensor *t, size_t i) {
    const job *j = ctx;
    (void)i;
    return mix_of(j->mix, model_config_of(j->l.m), t, false).type;
}

static bool quantised(const model *m) {
    const gguf_file *g = model_gguf(m);
    for (size_t i = 0; g && i < g->n_tensors; i++)
        if (dtype_table[g->tensor[i].type].block_elems > 1)
            return true;
    return false;
}

static err_code choose_type(job *j, bool folder, export_options *o, err *e) {
    const char *type = j->v->type ? j->v->type : quantised(j->l.m) ? "F16" : "same";
    if (strcmp(type, "same") == 0)
        return ERR_OK;
    j->mix = mix_by_name(type);
    if (!j->mix)
        return err_set(e, ERR_USAGE, "no type \"%s\" (there are same, %s)", type, mix_names());
    o->type = (int)j->mix->base;
    if (folder && dtype_table[j->mix->base].block_elems > 1)
        return err_set(e, ERR_USAGE, "folders hold F32, F16, BF16 alone: %s needs an OUT that ends in .gguf", type);
    if (folder)
        return ERR_OK;
    o->choose = choose;
    o->choose_ctx = j;
    o->file_type = j->mix->file_type;
    return ERR_OK;
}

static err_code write_model(job *j, const char *out, err *e) {
    export_options o = exporting_options(&j->x);
    adapter_merge *g = NULL;
    TRY(choose_type(j, !str_ends(str_from(out), STR(".gguf")), &o, e));
    TRY(adapter_merge_open(&g, j->l.m, j->use, j->n, e));
    o.change = adapter_merge_change(g);
    err_code code = exporting_write(&j->x, out, &o, e);
    progress_end(&j->x.bar);
    adapter_merge_close(g);
    return code;
}

static err_code write_adapter(const job *j, const char *out, err *e) {
    if (!str_ends(str_from(out), STR(".gguf")))
        return adapter_save_peft(j->use[0].adapter, out, j->x.from, e);
    return adapter_save_gguf(j->use[0].adapter, out, os_last_part(out), e);
}

static err_code run_merge(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *from = args->arg[0], *out = args->arg[args->n - 1];
    job j = {.v = v};
    j.x = (exporting){.l = &j.l, .from = from, .bar = {.what = "merging"}};
    err_code code = exporting_check(out, v->force, e);
    if (code == ERR_OK)
        code = load_model(&j.l, from, &v->common, &(compute_values)COMPUTE_DEFAULTS, LOAD_PLAN, e);
    if (code == ERR_OK)
        code = open_adapters(&j, args, e);
    if (code == ERR_OK)
        code = combine(&j, e);
    if (code == ERR_OK)
        code = v->adapter ? write_adapter(&j, out, e) : write_model(&j, out, e);
    adapter_close(j.combined);
    loaded_close(&j.l);
    return code;
}

const command command_merge = {
    .name = "merge",
    .args = "M A[:SCALE]... OUT",
    .summary = "a model with adapters made a part of its weights; or adapters made one",
    .details =
        "OUT is a GGUF file when its name ends in .gguf, else a new folder, with M's tokenizer and chat template. Each "
        "A "
        "is a folder as peft writes it, or a GGUF adapter; SCALE 0.5 takes half of it, -1 its opposite. Rows go from "
        "file "
        "to file, so a large model needs no memory, and OUT appears whole or not at all. Rounding to the type that is "
        "written apart, the result is the model with --lora.\n"
        "Several adapters are added one after the other. --combine makes one of them first: cat adds exactly; linear "
        "and "
        "ties are those of peft's add_weighted_adapter. With --adapter OUT is that adapter, or the other form of a "
        "single "
        "one.\n\n"
        "  loam merge model.gguf my-lora merged.gguf --type Q4_K_M\n"
        "  loam merge my-folder first second:0.5 merged --combine ties --density 0.3\n"
        "  loam merge model.gguf my-lora my-lora.gguf --adapter",
    .n_args_min = 3,
    .n_args_max = 2 + MODEL_ADAPTERS_MAX,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_merge,
};
