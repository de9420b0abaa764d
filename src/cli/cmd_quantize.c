/* loam quantize: a model in fewer bits, and what that costs.
 *
 *   the types that were asked for -> the model -> importances from a file or a text -> a file a type -> compared, each
 * with the original, over a text
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "cli/calibrating.h"
#include "cli/exporting.h"
#include "gen/compare.h"
#include "kern/math64.h"
#include "model/mix.h"

typedef struct {
    common_values common;
    const char *imatrix, *calibrate, *compare;
    window_values window;
    bool force;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"imatrix", 'i', OPT_TEXT, "FILE", "keep what matters finest, as this importance matrix tells", AT(imatrix), 0, 0,
     NULL},
    {"calibrate", 0, OPT_TEXT, "TEXT", "the same, the importances taken from the model reading this text",
     AT(calibrate), 0, 0, NULL},
    {"compare", 0, OPT_TEXT, "TEXT", "print a table: size, perplexity and divergence from the original over this text",
     AT(compare), 0, 0, NULL},
    {"force", 'f', OPT_FLAG, NULL, "replace files that are there", AT(force), 0, 0, NULL},
    {0},
};
#undef AT
static const option_group groups[] = {{"Quantisation", own_options, 0}, WINDOW_GROUP(values), COMMON_GROUP, {0}};

enum { TYPES_MAX = 32 };

/* A file that is made. */
typedef struct {
    const mix *mix;
    char path[OS_PATH_BYTES];
    mix_plan plan;
    uint64_t bytes;
    comparison how;
} product_file;

typedef struct {
    const values *v;
    exporting x;
    loaded l;
    imatrix importance;
    bool important; /* there is one */
    const mix *mix; /* of the file that is being made */
    product_file file[TYPES_MAX];
    size_t n;
} job;

/* ---- what is asked for ---- */

static err_code read_types(job *j, const char *list, err *e) {
    for (str rest = str_from(list); rest.n > 0 || j->n == 0;) {
        ptrdiff_t comma = str_find(rest, STR(","), 0);
        str word = str_sub(rest, 0, comma < 0 ? rest.n : (size_t)comma);
        rest = str_sub(rest, word.n + 1, rest.n);
        char name[16];
        snprintf(name, sizeof name, "%.*s", (int)(word.n < sizeof name ? word.n : 0), word.p ? word.p : "");
        if (j->n == TYPES_MAX)
            return err_set(e, ERR_USAGE, "more than %d types", TYPES_MAX);
        j->file[j->n].mix = mix_by_name(name);
        if (!j->file[j->n].mix)
            return err_set(e, ERR_USAGE, "no type \"%.*s\" (there are %s)", STR_ARG(word), mix_names());
        for (size_t i = 0; i < j->n; i++)
            if (j->file[i].mix == j->file[j->n].mix)
                return err_set(e, ERR_USAGE, "type %s stands twice", j->file[i].mix->name);
        j->n++;
    }
    return ERR_OK;
}

/* One type: OUT is the file. Several: a folder with a file of each type's name. */
static err_code name_files(job *j, const char *out, err *e) {
    bool is_file = str_ends(str_from(out), STR(".gguf"));
    if (j->n == 1 && !is_file)
        return err_set(e, ERR_USAGE, "%s: quantised models are .gguf files", out);
    if (j->n > 1 && is_file)
        return err_set(e, ERR_USAGE, "%s: several types need a folder for their files", out);
    for (size_t i = 0; i < j->n; i++) {
        product_file *f = &j->file[i];
        char name[32];
        snprintf(name, sizeof name, "%s.gguf", f->mix->name);
        TRY(os_join(f->path, out, is_file ? "" : name, e));
        TRY(exporting_check(f->path, j->v->force, e));
    }
    return ERR_OK;
}

static err_code make_folder(const job *j, const char *out, err *e) {
    if (j->n > 1 && mkdir(out, 0777) != 0 && errno != EEXIST)
        return os_refused(out, "created", e);
    return ERR_OK;
}

/* ---- the model and its importances ---- */

static void warn_of_rounding_twice(const job *j) {
    const gguf_file *g = model_gguf(j->l.m);
    for (size_t i = 0; g && i < g->n_tensors; i++)
        if (dtype_table[g->tensor[i].type].block_elems > 1) {
            out_note("%s: is quantised already: rounding again adds to its errors (better from F16, BF16 or F32)",
                     j->x.from);
            return;
        }
}

static err_code get_importances(job *j, err *e) {
    const values *v = j->v;
    if (!v->imatrix && !v->calibrate)
        return ERR_OK;
    TRY(v->imatrix ? imatrix_open(&j->importance, v->imatrix, e)
                   : calibrating_run(&j->l, v->calibrate, &v->window, &j->importance, e));
    j->important = true;
    return ERR_OK;
}

static const imatrix *importances(const job *j) { return j->important ? &j->importance : NULL; }

static const char *importances_from(const job *j) { return j->v->imatrix ? j->v->imatrix : j->v->calibrate; }

static err_code plan_files(job *j, err *e) {
    for (size_t i = 0; i < j->n; i++) {
        err_code code = mix_plan_of(j->file[i].mix, j->l.m, importances(j), &j->file[i].plan, e);
        if (code != ERR_OK)
            return err_in(e, code, "%s", j->important ? importances_from(j) : j->x.from);
    }
    const mix_plan *p = &j->file[0].plan;
    if (p->n_missing)
        out_note("%s: tells nothing of %zu matrices (%s ...): they are rounded without", importances_from(j),
                 p->n_missing, p->missing);
    return ERR_OK;
}

/* ---- writing ---- */

static dtype choose(void *ctx, const model_tensor *t, size_t i) {
    const job *j = ctx;
    (void)i;
    return mix_of(j->mix, model_config_of(j->l.m), t, j->important).type;
}

static const float *importance_of(void *ctx, const model_tensor *t) {
    const job *j = ctx;
    const imatrix_entry *x = j->important ? imatrix_find(&j->importance, str_from(t->name)) : NULL;
    return x && x->n == t->cols ? x->mean : NULL;
}

/* The tokenizer's keys, and llama.cpp's about importances: names, not paths, which are this machine's. */
static err_code write_keys(void *ctx, gguf_writer *w, err *e) {
    job *j = ctx;
    TRY(exporting_keys(&j->x, w, e));
    if (!j->important)
        return ERR_OK;
    const imatrix *m = &j->importance;
    if (j->v->imatrix)
        gguf_write_str(w, "quantize.imatrix.file", os_last_part(j->v->imatrix), e);
    if (m->dataset.n)
        gguf_write_str(w, "quantize.imatrix.dataset", m->dataset, e);
    if (m->chunks)
        gguf_write_u32(w, "quantize.imatrix.chunks_count", m->chunks, e);
    return gguf_write_u32(w, "quantize.imatrix.entries_count", (uint32_t)m->n, e);
}

static void tell_fallen(const product_file *f) {
    for (size_t i = 0; i < f->plan.n_fallen; i++) {
        const mix_fallen *x = &f->plan.fallen[i];
        out_note("%s: rows of %s%s are no whole number of %u: %s instead of %s", f->path, x->first,
                 x->n > 1 ? " and others" : "", dtype_table[x->wanted].block_elems, dtype_table[x->type].name,
                 dtype_table[x->wanted].name);
    }
}

static err_code write_file(job *j, product_file *f, err *e) {
    struct stat st;
    export_options o = exporting_options(&j->x);
    o.choose = choose;
    o.importance = importance_of;
    o.choose_ctx = j;
    o.file_type = f->mix->file_type;
    o.keys = write_keys;
    o.keys_ctx = j;
    o.drop = j->important ? STR("quantize.imatrix.") : (str){0};
    j->mix = f->mix;
    j->x.bar = (progress){.what = f->mix->name};
    err_code code = export_gguf(j->l.m, f->path, &o, e);
    progress_end(&j->x.bar);
    TRY(code);
    tell_fallen(f);
    f->bytes = stat(f->path, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (!j->v->compare && !j->v->common.json)
        out_printf("%s %s, %s\n", f->path, f->mix->name, amount_bytes((double)f->bytes).text);
    return ERR_OK;
}

/* ---- comparing ---- */

typedef struct {
    progress bar;
    size_t before, width, total; /* windows of other files, tokens of one, windows of all */
} compare_bar;

static void show_compared(void *ctx, size_t done, size_t n) {
    compare_bar *b = ctx;
    (void)n;
    progress_step(&b->bar, (b->before + done) * b->width, b->total * b->width);
}

static err_code compare_file(job *j, const windows *w, size_t i, compare_bar *bar, err *e) {
    product_file *f = &j->file[i];
    loaded other = {0};
    *bar = (compare_bar){.bar = bar->bar, .before = i * w->n, .width = w->width, .total = j->n * w->n};
    compare_options o = {.pool = j->l.pool, .cancel = &interrupt_flag, .progress = show_compared, .progress_ctx = bar};
    err_code code = load_model(&other, f->path, &j->v->common, &(compute_values)COMPUTE_DEFAULTS, LOAD_WEIGHTS, e);
    if (code == ERR_OK)
        code = compare_models(j->l.m, other.m, w, 0, &o, &f->how, e);
    loaded_close(&other);
    return code;
}

static err_code compare_files(job *j, err *e) {
    windows w;
    compare_bar bar = {.bar = {.what = "comparing", .unit = "tokens"}};
    TRY(calibrating_windows(&j->l, j->v->compare, &j->v->window, &w, e));
    interrupt_catch();
    err_code code = ERR_OK;
    for (size_t i = 0; i < j->n && code == ERR_OK; i++)
        code = compare_file(j, &w, i, &bar, e);
    progress_end(&bar.bar);
    windows_close(&w);
    return code;
}

/* ---- telling ---- */

static double bits_of(const mix_plan *p) { return 8 * (double)p->bytes / (double)p->elements; }

static void print_row(const char *name, const mix_plan *p, double loss, const comparison *c) {
    out_printf("%-9s %9s %7.2f %12.4f", name, amount_bytes((double)p->bytes).text, bits_of(p), kern_exp64(loss));
    if (c)
        out_printf("  %.6f +- %.6f  %10.6f  %7.2f %%", c->kl, c->kl_error, c->kl_99, 100 * c->same_top);
    out_text(STR("\n"));
}

static void print_table(const job *j, const mix_plan *original) {
    out_printf("%-9s %9s %7s %12s  %-20s  %10s  %9s\n", "type", "weights", "bits", "perplexity", "mean KL", "99 % KL",
               "same top");
    print_row("original", original, j->file[0].how.loss_a, NULL);
    for (size_t i = 0; i < j->n; i++)
        print_row(j->file[i].mix->name, &j->file[i].plan, j->file[i].how.loss_b, &j->file[i].how);
}

static void put_real(js_out *out, const char *key, double x) {
    js_key(out, key);
    js_real(out, x, 17);
}

static void put_fallen(js_out *out, const mix_plan *p) {
    js_key(out, "fallback");
    js_begin(out, '[');
    for (size_t i = 0; i < p->n_fallen; i++) {
        js_begin(out, '{');
        js_put_text(out, "wanted", str_from(dtype_table[p->fallen[i].wanted].name));
        js_put_text(out, "type", str_from(dtype_table[p->fallen[i].type].name));
        js_put_int(out, "matrices", (int64_t)p->fallen[i].n);
        js_end(out, '}');
    }
    js_end(out, ']');
}

/* A line of JSON; f NULL: the original. */
static err_code print_json(const job *j, const product_file *f, const mix_plan *p, err *e) {
    js_out out = {.e = e};
    const comparison *c = &(f ? f : j->file)->how;
    js_begin(&out, '{');
    js_put_text(&out, "type", f ? str_from(f->mix->name) : STR("original"));
    js_put_text(&out, "file", str_from(f ? f->path : j->x.from));
    if (f)
        js_put_int(&out, "bytes", (int64_t)f->bytes);
    js_put_int(&out, "weight_bytes", (int64_t)p->bytes);
    put_real(&out, "bits_per_weight", bits_of(p));
    if (f)
        put_fallen(&out, p);
    if (j->v->compare) {
        js_put_int(&out, "positions", (int64_t)c->n);
        put_real(&out, "ppl", kern_exp64(f ? c->loss_b : c->loss_a));
    }
    if (j->v->compare && f) {
        put_real(&out, "kl", c->kl);
        put_real(&out, "kl_error", c->kl_error);
        put_real(&out, "kl_99", c->kl_99);
        put_real(&out, "same_top", c->same_top);
    }
    js_end(&out, '}');
    return js_print(&out);
}

static err_code tell(const job *j, err *e) {
    mix_plan original;
    TRY(mix_plan_of(NULL, j->l.m, NULL, &original, e));
    if (!j->v->common.json) {
        if (j->v->compare)
            print_table(j, &original);
        return ERR_OK;
    }
    if (j->v->compare)
        TRY(print_json(j, NULL, &original, e));
    for (size_t i = 0; i < j->n; i++)
        TRY(print_json(j, &j->file[i], &j->file[i].plan, e));
    return ERR_OK;
}

/* ---- all ---- */

static err_code quantise(job *j, const arguments *args, err *e) {
    const values *v = j->v;
    if (v->imatrix && v->calibrate)
        return err_set(e, ERR_USAGE, "--imatrix and --calibrate: one of them");
    TRY(read_types(j, args->arg[2], e));
    TRY(load_check_path(j->x.from, e));
    TRY(name_files(j, args->arg[1], e));
    TRY(load_model(&j->l, j->x.from, &v->common, &(compute_values)COMPUTE_DEFAULTS,
                   v->calibrate || v->compare ? LOAD_WITH_TOKENIZER : LOAD_PLAN, e));
    warn_of_rounding_twice(j);
    TRY(get_importances(j, e));
    TRY(plan_files(j, e));
    TRY(make_folder(j, args->arg[1], e));
    for (size_t i = 0; i < j->n; i++)
        TRY(write_file(j, &j->file[i], e));
    if (v->compare)
        TRY(compare_files(j, e));
    return tell(j, e);
}

static err_code run(const void *p, const arguments *args, err *e) {
    job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_MEMORY, "no memory");
    j->v = p;
    j->x = (exporting){.l = &j->l, .from = args->arg[0]};
    err_code code = quantise(j, args, e);
    imatrix_close(&j->importance);
    loaded_close(&j->l);
    free(j);
    return code;
}

const command command_quantize = {
    .name = "quantize",
    .args = "M OUT.gguf TYPE | M FOLDER TYPE,TYPE...",
    .summary = "a model in fewer bits: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 ...",
    .details =
        "The bytes of each matrix are those that llama.cpp's quantiser gives, with and without importances, and mixes "
        "such as Q4_K_M choose the same format for each matrix. Rows that do not fit a format get the next that does; "
        "that "
        "is told. Several types become files in FOLDER, each named after its type.\n"
        "--calibrate lets the model read a text first and keeps those weights finest that meet large inputs; `loam "
        "imatrix` writes such importances to a file for --imatrix, which takes llama.cpp's, too (.gguf and .dat).\n"
        "--compare prints what is lost: KL is the divergence of the next token's probabilities from the original's, "
        "the mean with its standard error and the 99th percentile; same top: how often both find the same token "
        "likeliest. "
        "Scored are the second halves of the windows, as llama.cpp does (doc/quantize.md).\n"
        "With --json a line a file: {\"type\", \"file\", \"bytes\", \"weight_bytes\", \"bits_per_weight\", "
        "\"fallback\"}, with --compare also {\"positions\", \"ppl\", \"kl\", \"kl_error\", \"kl_99\", \"same_top\"} "
        "and "
        "the original's line first.\n\n"
        "  loam quantize my-folder model-q4.gguf Q4_K_M\n"
        "  loam quantize model-f16.gguf model-q4.gguf Q4_K_M --calibrate text.txt --windows 100\n"
        "  loam quantize model-f16.gguf all Q8_0,Q6_K,Q4_K_M --compare text.txt --windows 20",
    .n_args_min = 3,
    .n_args_max = 3,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
