/* loam plot: a run's losses as a curve. */
#include <unistd.h>

#include "base/os.h"
#include "cli/chart.h"
#include "cli/training.h"
#include "view/runs.h"

typedef struct {
    common_values common;
    const char *out;
    int64_t rows, columns;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .rows = 20};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"out", 'o', OPT_TEXT, "FILE.svg", "write a picture instead of drawing here", AT(out), 0, 0, NULL},
    {"rows", 0, OPT_INT, "N", "lines of the drawing", AT(rows), 6, 200, NULL},
    {"columns", 0, OPT_INT, "N", "its columns; 0: those of the terminal", AT(columns), 0, 300, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Plot", own_options, 0}, COMMON_GROUP, {0}};

static err_code show(const values *v, const chart *c, err *e) {
    strbuf text = {0};
    int columns = v->columns ? (int)v->columns : os_columns(STDOUT_FILENO);
    err_code code = v->out ? chart_svg(c, &text, e)
                           : chart_text(c, columns > 0 ? columns < 300 ? columns : 300 : 100, (int)v->rows, &text, e);
    if (code == ERR_OK && v->out)
        code = os_write_file(v->out, strbuf_str(&text), e);
    else if (code == ERR_OK)
        out_text(strbuf_str(&text));
    strbuf_fini(&text);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    run r = {0};
    runs_curves curves = {0};
    err_code code = run_open(&r, args->arg[0], e);
    if (code == ERR_OK)
        code = runs_curves_read(&curves, &r, e);
    if (code == ERR_OK && curves.loss.n == 0)
        code = err_set(e, ERR_USAGE, "%s: has no steps yet", args->arg[0]);
    if (code == ERR_OK) {
        bool tuned = curves.measured.n > 0;
        const runs_curve *loss = &curves.loss, *held_out = tuned ? &curves.measured : &curves.held_out;
        const chart_series series[] = {
            {"loss, nats a token", loss->x, loss->y, loss->n, false},
            {tuned ? "held out" : "held out, bits a byte", held_out->x, held_out->y, held_out->n, true},
        };
        chart c = {args->arg[0], "step", "loss", series, held_out->n ? 2 : 1};
        code = show(v, &c, e);
    }
    runs_curves_fini(&curves);
    run_close(&r);
    return code;
}

const command command_plot = {
    .name = "plot",
    .args = "RUN",
    .summary = "a run's loss as a curve, in the terminal or as an SVG file",
    .details =
        "Loss in nats a token from the chain, as a line; loss on the documents held out in bits a byte, as dots.\n\n"
        "  loam plot first\n"
        "  loam plot first -o first.svg",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
