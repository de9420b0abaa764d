/* loam runs: the runs in a folder. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/training.h"
#include "view/runs.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

/* What the folder notes of verifying: "all steps", "20 steps", "differs at 12", "outdated", "never". */
static void print_note(const runs_row *r, char *out, size_t n) {
    const verified *v = &r->verified;
    if (r->verification == VERIFIED_HOLDS)
        snprintf(out, n, v->steps == v->of_steps ? "all steps" : "%" PRIu64 " steps", v->steps);
    else if (r->verification == VERIFIED_DIFFERS && v->at_step)
        snprintf(out, n, "differs at %" PRIu64, v->step);
    else
        snprintf(out, n, "%s", verified_state_name[r->verification]);
}

static void print_row(const runs_row *r) {
    char steps[50], loss[20] = "", bits[20] = "", took[40] = "", removed[60] = "", note[40];
    print_note(r, note, sizeof note);
    snprintf(steps, sizeof steps, "%" PRIu64 "/%" PRIu64, r->step, r->steps);
    if (r->step)
        snprintf(loss, sizeof loss, "%.4f", r->loss);
    if (r->bits > 0)
        snprintf(bits, sizeof bits, "%.4f", r->bits);
    if (r->seconds > 0)
        snprintf(took, sizeof took, "%s", amount_time(r->seconds).text);
    if (r->removed)
        snprintf(removed, sizeof removed, "  %" PRIu64 " document%s taken out", r->removed, r->removed == 1 ? "" : "s");
    out_printf("%-24s %10s %13s %8s %9s %12s %15s%s%s%s\n", r->path, amount_count((double)r->params).text, steps, loss,
               bits, took, note, removed, *r->problem ? "  " : "", r->problem);
}

static err_code print_json(const runs_list *l, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '[');
    for (size_t i = 0; i < l->n; i++)
        runs_row_json(&l->row[i], str_from(l->row[i].path), false, &j);
    js_end(&j, ']');
    return js_print(&j);
}

static void print_table(const runs_list *l) {
    if (l->n == 0) {
        out_note("there is no run here (a run is a folder that `loam train` has made)");
        return;
    }
    out_printf("%-24s %10s %13s %8s %9s %12s %15s\n", "run", "parameters", "steps", "loss", "bits/byte", "time",
               "verified");
    for (size_t i = 0; i < l->n; i++)
        print_row(&l->row[i]);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const common_values *v = p;
    runs_list l = {0};
    err_code code = runs_find(&l, args->n ? args->arg[0] : ".", e);
    for (size_t i = 0; i < l.n && code == ERR_OK; i++)
        runs_look(&l.row[i]);
    if (code == ERR_OK && v->json)
        code = print_json(&l, e);
    else if (code == ERR_OK)
        print_table(&l);
    runs_fini(&l);
    return code;
}

const command command_runs = {
    .name = "runs",
    .args = "[FOLDER]",
    .summary = "the runs in a folder: size, steps, losses, time",
    .details =
        "FOLDER is a run, or a folder with runs in it; without one the current folder. bits/byte is the loss on the "
        "documents held out; verified is what `loam verify` noted in the folder, outdated when the chain is another "
        "now: a "
        "note of whoever verified, no proof. With --json: a list of objects.\n\n"
        "  loam runs\n"
        "  loam runs models",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
