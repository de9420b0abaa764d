/* loam bisect: where two runs part. */
#include <inttypes.h>

#include "cli/training.h"
#include "train/bisect.h"

typedef struct {
    common_values common;
    const char *data;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"data", 0, OPT_TEXT, "D", "the data set of both, when it is not where they were made", offsetof(values, data), 0,
     0, NULL},
    {0},
};
static const option_group groups[] = {{"Comparing", own_options, 0}, COMMON_GROUP, {0}};

static const char name[2] = {'A', 'B'};

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

static void print_chains(const bisect_report *r) {
    if (!r->chains)
        out_printf("chains      cannot be compared\n");
    else if (r->line != BISECT_NEVER && r->line > 0)
        out_printf("chains      the same to step %" PRIu64 "; step %" PRIu64 ": %s (here: A; there: B)\n", r->line - 1,
                   r->line, r->what.text);
    else if (r->line == 0)
        out_printf("chains      part before the first step: %s (here: A; there: B)\n", r->what.text);
    else if (r->steps[0] == r->steps[1])
        out_printf("chains      the same, %" PRIu64 " step%s\n", r->steps[0], plural(r->steps[0]));
    else
        out_printf("chains      the same to step %" PRIu64 ", where %c ends; %c goes on to step %" PRIu64 "\n",
                   r->steps[0] < r->steps[1] ? r->steps[0] : r->steps[1], name[r->steps[0] > r->steps[1]],
                   name[r->steps[0] < r->steps[1]], r->steps[0] > r->steps[1] ? r->steps[0] : r->steps[1]);
}

static void print_executed(const bisect_report *r) {
    if (!r->executed)
        return;
    out_printf("executed    %" PRIu64 " step%s behind %s%.0" PRIu64 "\n", r->n_executed, plural(r->n_executed),
               r->from ? "the checkpoint of step " : "the beginning", r->from);
    for (int i = 0; i < 2; i++) {
        if (r->fits[i])
            out_printf("%c           is what its recipe gives, as far as executed\n", name[i]);
        else
            out_printf("%c           is not what its recipe gives, from step %" PRIu64 " on\n", name[i],
                       r->fits_not[i]);
    }
    if (r->step == BISECT_NEVER)
        out_printf("tensor      not known: there is no checkpoint behind the step\n");
    else
        out_printf("tensor      after step %" PRIu64 ": %s, the first of %zu of %zu that differ%s\n", r->step,
                   r->tensor.text, r->n_tensors, r->of_tensors,
                   r->side == 2 ? ""
                   : r->side    ? " (checkpoint of B)"
                                : " (checkpoint of A)");
}

static void print(const bisect_report *r, err *e) {
    (void)e;
    for (int i = 0; i < 2; i++)
        out_printf("files of %c  %s\n", name[i], r->files[i].text[0] ? r->files[i].text : "fit together");
    out_printf("recipes     %s%s\n", r->recipe.text[0] ? r->recipe.text : "the same",
               r->recipe.text[0] ? " (here: A; there: B)" : "");
    if (r->only[0] || r->only[1])
        out_printf("data        %zu only in A, %zu only in B; %s%.0" PRIu64 "\n", r->only[0], r->only[1],
                   r->only_step ? "one is first read in step " : "no step has read one", r->only_step);
    print_chains(r);
    print_executed(r);
}

static err_code print_json(const bisect_report *r, err *e) {
    const struct {
        const char *key;
        uint64_t x;
    } number[] = {
        {"only_in_a", r->only[0]}, {"only_in_b", r->only[1]},      {"only_step", r->only_step},
        {"steps_a", r->steps[0]},  {"steps_b", r->steps[1]},       {"executed", r->n_executed},
        {"from", r->from},         {"fits_not_a", r->fits_not[0]}, {"fits_not_b", r->fits_not[1]},
        {"tensors", r->n_tensors}, {"of_tensors", r->of_tensors},
    };
    const struct {
        const char *key, *text;
    } text[] = {{"files_a", r->files[0].text},
                {"files_b", r->files[1].text},
                {"recipe", r->recipe.text},
                {"what", r->what.text},
                {"tensor", r->tensor.text}};
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "parted");
    js_flag(&j, bisect_parted(r));
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        js_key(&j, text[i].key);
        js_text(&j, str_from(text[i].text));
    }
    js_key(&j, "step");
    if (r->line == BISECT_NEVER)
        js_raw(&j, STR("null"));
    else
        js_int(&j, (int64_t)r->line);
    js_key(&j, "tensor_step");
    if (r->step == BISECT_NEVER)
        js_raw(&j, STR("null"));
    else
        js_int(&j, (int64_t)r->step);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        js_key(&j, number[i].key);
        js_int(&j, (int64_t)number[i].x);
    }
    js_end(&j, '}');
    return js_print(&j);
}

static err_code verdict(const bisect_report *r, const arguments *a, err *e) {
    if (!bisect_parted(r))
        return ERR_OK;
    for (int i = 0; i < 2; i++)
        if (r->files[i].text[0] && r->line == BISECT_NEVER)
            return err_set(e, ERR_MISMATCH, "%s: its files do not fit together", a->arg[i]);
    if (!r->chains)
        return err_set(e, ERR_MISMATCH, "the chains cannot be compared");
    if (r->line != BISECT_NEVER)
        return err_set(e, ERR_MISMATCH, "%s and %s part at step %" PRIu64, a->arg[0], a->arg[1],
                       r->step < r->line ? r->step : r->line);
    if (r->recipe.text[0])
        return err_set(e, ERR_MISMATCH, "%s and %s have different recipes", a->arg[0], a->arg[1]);
    return err_set(e, ERR_MISMATCH, "%s and %s have different lengths", a->arg[0], a->arg[1]);
}

static void show_step(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static err_code compare(const values *v, training t[2], const err *const loaded[2], const arguments *a, err *e) {
    progress bar = {.what = "executing", .unit = "steps"};
    bisect_options o = {.cancel = &interrupt_flag, .progress = show_step, .ctx = &bar};
    bisect_report report;
    interrupt_catch();
    err_code code = bisect_runs((run *const[2]){&t[0].run, &t[1].run}, loaded, &o, &report, e);
    progress_end(&bar);
    TRY(code);
    if (v->common.json)
        TRY(print_json(&report, e));
    else
        print(&report, e);
    return verdict(&report, a, e);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    training t[2] = {0};
    training_inputs in = {.data = v->data};
    err why[2] = {{0}};
    const err *loaded[2] = {NULL, NULL};
    err_code code = ERR_OK;
    for (int i = 0; i < 2 && code == ERR_OK; i++) {
        if (!run_is(args->arg[i]))
            code = err_set(e, ERR_USAGE, "%s: is no run (it has no recipe.json)", args->arg[i]);
        else if (training_open(&t[i], args->arg[i], &v->common, &in, &why[i]) != ERR_OK)
            loaded[i] = &why[i];
        if (code == ERR_OK && loaded[i] && (why[i].code == ERR_MEMORY || !t[i].run.data))
            code = err_set(e, why[i].code, "%s", why[i].text);
    }
    if (code == ERR_OK)
        code = compare(v, t, loaded, args, e);
    training_close(&t[0]);
    training_close(&t[1]);
    return code;
}

const command command_bisect = {
    .name = "bisect",
    .args = "A B",
    .summary = "the first step, and the first tensor, at which two runs part",
    .details =
        "Looks at the files of both runs (seals, digests, checkpoints, texts), compares recipes, data and chains, and "
        "then "
        "executes as few steps as will tell which of the two is what its recipe gives, and in which tensor they differ "
        "first. "
        "Exit status 0: they are the same; 3: they part, or a file of one does not fit.\n\n"
        "  loam bisect first second\n"
        "  loam bisect first second --json",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
