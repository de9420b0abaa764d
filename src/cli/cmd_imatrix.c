/* loam imatrix: how much each input of each matrix matters, for quantize. */
#include <stdlib.h>

#include "base/os.h"
#include "cli/calibrating.h"
#include "cli/exporting.h"

typedef struct {
    common_values common;
    compute_values compute;
    window_values window;
    bool force;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .compute = COMPUTE_DEFAULTS};

static const option own_options[] = {
    {"force", 'f', OPT_FLAG, NULL, "replace OUT when it is there", offsetof(values, force), 0, 0, NULL},
    {0},
};
static const option_group groups[] = {
    {"Importance", own_options, 0}, WINDOW_GROUP(values), COMPUTE_GROUP(values), COMMON_GROUP, {0}};

static err_code print(const values *v, const char *out, const imatrix *m, err *e) {
    if (!v->common.json) {
        out_printf("%s: %zu matrices, %u windows of %u tokens\n", out, m->n, m->chunks, m->chunk_size);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_text(&j, "file", str_from(out));
    js_put_int(&j, "matrices", (int64_t)m->n);
    js_put_int(&j, "windows", m->chunks);
    js_put_int(&j, "window_tokens", m->chunk_size);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *from = args->arg[0], *text = args->arg[1], *out = args->arg[2];
    loaded l = {0};
    imatrix m = {.n = 0};
    if (!str_ends(str_from(out), STR(".gguf")))
        return err_set(e, ERR_USAGE, "%s: importance matrices are .gguf files", out);
    err_code code = exporting_check(out, v->force, e);
    if (code == ERR_OK)
        code = load_model(&l, from, &v->common, &v->compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK)
        code = calibrating_run(&l, text, &v->window, &m, e);
    if (code == ERR_OK)
        code = imatrix_write(&m, out, e);
    if (code == ERR_OK)
        code = print(v, out, &m, e);
    imatrix_close(&m);
    loaded_close(&l);
    return code;
}

const command command_imatrix = {
    .name = "imatrix",
    .args = "M TEXT|- OUT.gguf",
    .summary = "an importance matrix from a text, for quantize",
    .details =
        "Reads the text in windows and adds up the squares of what goes into each matrix, column by column. `loam "
        "quantize --imatrix OUT.gguf` then keeps those weights finest that meet large inputs. Take a text like those "
        "that the model will read; 100 windows are plenty. The file is one of llama.cpp's, and its `llama-quantize` "
        "takes "
        "it, too (doc/quantize.md).\n"
        "With --json: {\"file\", \"matrices\", \"windows\", \"window_tokens\"}.\n\n"
        "  loam imatrix model-f16.gguf text.txt importance.gguf --windows 100\n"
        "  loam quantize model-f16.gguf model-q4.gguf Q4_K_M --imatrix importance.gguf",
    .n_args_min = 3,
    .n_args_max = 3,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
