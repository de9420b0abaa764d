/* calibrating: an importance matrix from a text, with progress; see calibrating.h. */
#include "cli/calibrating.h"

#include "base/os.h"
#include "cli/out.h"
#include "model/calibrate.h"

enum { WINDOW_DEFAULT = 512 };

#define AT(field) offsetof(window_values, field)
const option window_options[] = {
    {"ctx", 'c', OPT_INT, "N", "tokens in a window; 0: 512, or what the model was made for when that is less", AT(ctx),
     0, INT32_MAX / 2, NULL},
    {"windows", 0, OPT_INT, "N", "read the first N windows of a text; 0: all", AT(n), 0, INT32_MAX, NULL},
    {0},
};
#undef AT

static size_t width_for(const loaded *l, int64_t asked) {
    size_t trained = model_config_of(l->m)->ctx_train;
    if (asked > 0)
        return (size_t)asked;
    return trained > 0 && trained < WINDOW_DEFAULT ? trained : WINDOW_DEFAULT;
}

err_code calibrating_windows(const loaded *l, const char *path, const window_values *v, windows *w, err *e) {
    strbuf text = {0};
    size_t width = width_for(l, v->ctx), ctx_tokens;
    err_code code = load_ctx(l->m, (int64_t)width, width, &ctx_tokens, e);
    if (code == ERR_OK)
        code = load_text(path, &text, e);
    if (code == ERR_OK) {
        code = windows_open(w, l->t, strbuf_str(&text), width, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    if (code == ERR_OK && v->n > 0 && (size_t)v->n < w->n)
        w->n = (size_t)v->n;
    return code;
}

static err_code read_windows(const loaded *l, const windows *w, err *e) {
    progress bar = {.what = "calibrating", .unit = "tokens"};
    kv_cache *kv = NULL;
    int32_t *ids = malloc(w->width * sizeof *ids);
    err_code code = ids ? kv_open(&kv, l->m, w->width, e) : err_set(e, ERR_MEMORY, "no memory for a window");
    for (size_t i = 0; i < w->n && code == ERR_OK; i++) {
        if (interrupt_flag) {
            code = err_set(e, ERR_CANCELLED, "stopped");
            break;
        }
        windows_get(w, i, ids);
        kv_truncate(kv, 0);
        code = model_forward(l->m, kv, ids, w->width, LOGITS_NONE, NULL, e);
        progress_step(&bar, (i + 1) * w->width, w->n * w->width);
    }
    progress_end(&bar);
    kv_close(kv);
    free(ids);
    return code;
}

/* Where it comes from, as llama.cpp's files tell it: a name, not the path, which is this machine's. */
static err_code tell_source(imatrix *m, const char *path, const windows *w, err *e) {
    m->chunks = (uint32_t)w->n;
    m->chunk_size = (uint32_t)w->width;
    m->dataset = arena_str(&m->mem, os_last_part(path));
    return m->dataset.p ? ERR_OK : arena_short(e, 1, OS_PATH_BYTES);
}

err_code calibrating_run(const loaded *l, const char *path, const window_values *v, imatrix *out, err *e) {
    windows w;
    calibration *c = NULL;
    TRY(calibrating_windows(l, path, v, &w, e));
    interrupt_catch();
    err_code code = calibration_open(&c, l->m, e);
    if (code == ERR_OK)
        code = read_windows(l, &w, e);
    if (code == ERR_OK)
        code = calibration_result(c, out, e);
    if (code == ERR_OK) {
        code = tell_source(out, path, &w, e);
        if (code != ERR_OK)
            imatrix_close(out);
    }
    calibration_close(c);
    windows_close(&w);
    return code;
}
