/* loam runs: the runs in a folder. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "cli/training.h"
#include "store/runlog.h"
#include "train/size.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

enum { RUNS_MAX = 10000 };

/* What can be said of a run without opening its data. */
typedef struct {
    char *path;
    uint64_t params, step, steps;
    uint64_t removed;           /* documents, by loam rebuild */
    double loss, bits, seconds; /* bits, seconds: 0 when unknown */
    char problem[200];          /* empty: none */
} row;

static void look(row *r) {
    run x = {0};
    chain c = {0};
    runlog_rows rows = {0};
    run_path file;
    err e = {0};
    err_code code = run_open(&x, r->path, &e);
    if (code == ERR_OK) {
        r->params = size_params(&x.recipe);
        r->steps = x.recipe.optimizer.steps;
        for (size_t i = 0; i < x.removals.n; i++)
            r->removed += x.removals.line[i].n;
        code = run_file(&x, "chain.jsonl", &file, &e);
    }
    if (code == ERR_OK && os_exists(file.text))
        code = chain_read(&c, file.text, &e);
    if (c.n) {
        r->step = c.line[c.n - 1].step;
        r->loss = c.line[c.n - 1].loss;
    }
    if (code == ERR_OK)
        code = run_file(&x, "log.db", &file, &e);
    if (code == ERR_OK && os_exists(file.text))
        code = runlog_read(&rows, file.text, &e);
    if (rows.n_evals)
        r->bits = rows.eval[rows.n_evals - 1].bits;
    r->seconds = rows.seconds;
    if (code != ERR_OK)
        snprintf(r->problem, sizeof r->problem, "%.199s", e.text);
    runlog_rows_fini(&rows);
    chain_fini(&c);
    run_close(&x);
}

static int by_path(const void *a, const void *b) { return strcmp(((const row *)a)->path, ((const row *)b)->path); }

static err_code add(row **rows, size_t *n, const char *path, err *e) {
    if (*n >= RUNS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d runs", RUNS_MAX);
    row *p = realloc(*rows, (*n + 1) * sizeof **rows);
    if (p)
        *rows = p;
    char *copy = p ? strdup(path) : NULL;
    if (!copy)
        return err_set(e, ERR_MEMORY, "no memory for a list of runs");
    (*rows)[(*n)++] = (row){.path = copy};
    return ERR_OK;
}

static err_code find(const char *folder, row **rows, size_t *n, err *e) {
    if (run_is(folder))
        return add(rows, n, folder, e);
    DIR *d = opendir(folder);
    if (!d)
        return err_set(e, ERR_IO, "%s: cannot be read: %s", folder, strerror(errno));
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        run_path path;
        int len = strcmp(folder, ".") == 0 ? snprintf(path.text, sizeof path.text, "%s", x->d_name)
                                           : snprintf(path.text, sizeof path.text, "%s/%s", folder, x->d_name);
        if (x->d_name[0] != '.' && len > 0 && (size_t)len < sizeof path.text && run_is(path.text))
            code = add(rows, n, path.text, e);
    }
    closedir(d);
    if (*n)
        qsort(*rows, *n, sizeof **rows, by_path);
    return code;
}

static void print_row(const row *r) {
    char steps[50], loss[20] = "", bits[20] = "", took[40] = "", removed[60] = "";
    snprintf(steps, sizeof steps, "%" PRIu64 "/%" PRIu64, r->step, r->steps);
    if (r->step)
        snprintf(loss, sizeof loss, "%.4f", r->loss);
    if (r->bits > 0)
        snprintf(bits, sizeof bits, "%.4f", r->bits);
    if (r->seconds > 0)
        snprintf(took, sizeof took, "%s", amount_time(r->seconds).text);
    if (r->removed)
        snprintf(removed, sizeof removed, "  %" PRIu64 " document%s taken out", r->removed, r->removed == 1 ? "" : "s");
    out_printf("%-24s %10s %13s %8s %9s %12s%s%s%s\n", r->path, amount_count((double)r->params).text, steps, loss, bits,
               took, removed, *r->problem ? "  " : "", r->problem);
}

static err_code print_json(const row *rows, size_t n, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '[');
    for (size_t i = 0; i < n; i++) {
        js_begin(&j, '{');
        js_key(&j, "run");
        js_text(&j, str_from(rows[i].path));
        js_key(&j, "parameters");
        js_int(&j, (int64_t)rows[i].params);
        js_key(&j, "step");
        js_int(&j, (int64_t)rows[i].step);
        js_key(&j, "steps");
        js_int(&j, (int64_t)rows[i].steps);
        js_key(&j, "loss");
        js_real(&j, rows[i].loss, 8);
        js_key(&j, "val_bits_per_byte");
        js_real(&j, rows[i].bits, 8);
        js_key(&j, "seconds");
        js_real(&j, rows[i].seconds, 6);
        js_key(&j, "removed");
        js_int(&j, (int64_t)rows[i].removed);
        js_key(&j, "problem");
        js_text(&j, str_from(rows[i].problem));
        js_end(&j, '}');
    }
    js_end(&j, ']');
    return js_print(&j);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const common_values *v = p;
    row *rows = NULL;
    size_t n = 0;
    err_code code = find(args->n ? args->arg[0] : ".", &rows, &n, e);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        look(&rows[i]);
    if (code == ERR_OK && v->json)
        code = print_json(rows, n, e);
    else if (code == ERR_OK && n == 0)
        out_note("there is no run here (a run is a folder that `loam train` has made)");
    else if (code == ERR_OK) {
        out_printf("%-24s %10s %13s %8s %9s %12s\n", "run", "parameters", "steps", "loss", "bits/byte", "time");
        for (size_t i = 0; i < n; i++)
            print_row(&rows[i]);
    }
    for (size_t i = 0; i < n; i++)
        free(rows[i].path);
    free(rows);
    return code;
}

const command command_runs = {
    .name = "runs",
    .args = "[FOLDER]",
    .summary = "the runs in a folder: size, steps, losses, time",
    .details =
        "FOLDER is a run, or a folder with runs in it; without one the current folder. bits/byte is the loss on the "
        "documents held out. With --json: a list of objects.\n\n"
        "  loam runs\n"
        "  loam runs models",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
