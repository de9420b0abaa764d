/* adapter_gguf: adapters as GGUF files, read and written.
 *
 *   general.type "adapter", general.architecture that of the model, adapter.type "lora", adapter.lora.alpha f32
 *   blk.N.attn_q.weight.lora_a [rank][cols], blk.N.attn_q.weight.lora_b [rows][rank]; scale alpha / rank, 1 without
 *   alpha; rows of q and k of llama and its like interleaved, as in the model's GGUF file
 *
 * Source: llama.cpp's llama-adapter.cpp and convert_lora_to_gguf.py (as facts).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf_write.h"
#include "kern/panel.h"
#include "model/adapter_source.h"
#include "model/tensors.h"

/* ---- reading ---- */

/* "blk.N.NAME.weight.lora_a" */
static bool parse_name(const model *m, str name, uint64_t *i_layer, int *i_matrix, lora_tensor *what) {
    if (!str_starts(name, STR("blk.")))
        return false;
    str rest = str_sub(name, 4, name.n);
    *what = str_ends(name, STR(".weight.lora_a")) ? LORA_A : LORA_B;
    if (!adapter_source_layer(&rest, i_layer) || (*what == LORA_B && !str_ends(name, STR(".weight.lora_b"))))
        return false;
    rest = str_sub(rest, 0, rest.n - strlen(".weight.lora_a"));
    bool fused = m->config.arch->fused;
    for (*i_matrix = 0; *i_matrix < FILE_MATRICES; ++*i_matrix)
        if (str_is(rest, file_matrices[*i_matrix].gguf) &&
            (!fused || (*i_matrix != LORA_UP && *i_matrix != LORA_GATE)) && (fused || *i_matrix != FILE_GATE_UP))
            return true;
    return false;
}

static err_code want_key(const gguf_file *g, const char *key, const char *value, err *e) {
    str v;
    TRY(gguf_get_str(g, key, STR("nothing"), &v, e));
    if (!str_is(v, value))
        return err_set(e, ERR_FORMAT, "%s: %s is \"%.*s\", must be \"%s\" (is it made for this model?)", g->path, key,
                       STR_ARG(v), value);
    return ERR_OK;
}

static err_code read_keys(const gguf_file *g, const model *m, double *alpha, err *e) {
    TRY(want_key(g, "general.type", "adapter", e));
    TRY(want_key(g, "adapter.type", "lora", e));
    TRY(want_key(g, "general.architecture", tensors_gguf_arch(m->config.arch)->gguf, e));
    if (gguf_find(g, "adapter.alora.invocation_tokens"))
        return err_set(e, ERR_UNSUPPORTED, "%s: adapters that a text switches on (aLoRA) are not supported", g->path);
    TRY(gguf_get_f64(g, "adapter.lora.alpha", 0, alpha, e));
    if (!(*alpha >= -1e6 && *alpha <= 1e6))
        return err_set(e, ERR_FORMAT, "%s: adapter.lora.alpha is out of range", g->path);
    return ERR_OK;
}

static err_code scale_of(void *ctx, const adapter_source *s, size_t i_layer, int i_matrix, size_t rank, float *scale,
                         err *e) {
    (void)s, (void)i_layer, (void)i_matrix, (void)e;
    double alpha = *(const double *)ctx;
    *scale = alpha != 0 ? adapter_scale(alpha, rank, false) : 1;
    return ERR_OK;
}

static err_code read_all(adapter_source *s, const gguf_file *g, adapter **out, err *e) {
    double alpha;
    TRY(read_keys(g, s->m, &alpha, e));
    s->interleaved = tensors_gguf_arch(s->m->config.arch)->gguf_permuted;
    for (size_t i = 0; i < g->n_tensors; i++) {
        uint64_t i_layer;
        int i_matrix;
        lora_tensor what;
        if (!parse_name(s->m, g->tensor[i].name, &i_layer, &i_matrix, &what))
            return err_set(e, ERR_UNSUPPORTED, "%s: tensor %.*s changes what Loam cannot change by an adapter", s->path,
                           STR_ARG(g->tensor[i].name));
        TRY(adapter_source_add(s, i_layer, i_matrix, what, &g->tensor[i], e));
    }
    s->shape.alpha = alpha;
    TRY(adapter_source_make(s, scale_of, &alpha, out, e));
    if (alpha == 0)
        (*out)->shape.alpha = (double)(*out)->shape.rank;
    return ERR_OK;
}

err_code adapter_open_gguf(adapter_source *s, adapter **out, err *e) {
    gguf_file g;
    TRY(gguf_open(&g, s->path, e));
    err_code code = read_all(s, &g, out, e);
    gguf_close(&g);
    return code;
}

/* ---- writing ---- */

typedef struct {
    const adapter *a;
    gguf_writer *w;
    double alpha;
    float *row; /* f32[widest] */
} writer;

/* What adapter.lora.alpha must be for this scale: alpha / rank in binary32 gives it again, where any number does. */
static double alpha_of(float scale, size_t rank) {
    float near = (float)((double)scale * (double)rank);
    for (int step = 0; step < 5; step++) {
        static const int steps[] = {0, 1, -1, 2, -2};
        uint32_t bits;
        float x;
        memcpy(&bits, &near, sizeof bits);
        bits += (uint32_t)steps[step];
        memcpy(&x, &bits, sizeof x);
        if (adapter_scale((double)x, rank, false) == scale)
            return (double)x;
    }
    return (double)near;
}

static err_code find_alpha(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    writer *w = ctx;
    (void)i_layer, (void)i_matrix;
    if (s->dora)
        return err_set(e, ERR_UNSUPPORTED, "GGUF adapters know no DoRA (loam merge makes a model of it)");
    if (w->alpha == 0)
        w->alpha = alpha_of(s->scale, s->rank);
    return ERR_OK;
}

static err_code declare(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    writer *w = ctx;
    char name[ADAPTER_NAME_MAX];
    for (int b = 0; b < 2; b++) {
        tensor_spec t = {
            .type = DTYPE_F32, .n_dims = 2, .dims = {b ? s->n_rows : s->rank, b ? s->rank : s->cols, 1, 1}};
        snprintf(name, sizeof name, "blk.%zu.%s.weight.lora_%c", i_layer, file_matrices[i_matrix].gguf, b ? 'b' : 'a');
        t.name = str_from(name);
        TRY(gguf_write_tensor(w->w, &t, e));
    }
    return ERR_OK;
}

/* B takes up what the one alpha of the file says otherwise of this target's scale. */
static err_code put(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    writer *w = ctx;
    const model_config *c = &w->a->m->config;
    (void)i_layer;
    if (tensors_gguf_arch(c->arch)->gguf_permuted && (i_matrix == LORA_Q || i_matrix == LORA_K))
        s->head = c->K;
    float usual = adapter_scale(w->alpha, s->rank, false), more = usual == s->scale ? 1 : s->scale / usual;
    for (size_t r = 0; r < s->rank; r++) {
        file_stack_row(s, LORA_A, r, w->row);
        TRY(gguf_write_data(w->w, w->row, s->cols * sizeof(float), e));
    }
    for (size_t r = 0; r < s->n_rows; r++) {
        file_stack_row(s, LORA_B, r, w->row);
        for (size_t i = 0; more != 1 && i < s->rank; i++)
            w->row[i] *= more;
        TRY(gguf_write_data(w->w, w->row, s->rank * sizeof(float), e));
    }
    return ERR_OK;
}

static err_code write_all(writer *w, str name, err *e) {
    TRY(gguf_write_str(w->w, "general.type", STR("adapter"), e));
    TRY(gguf_write_str(w->w, "general.architecture", str_from(tensors_gguf_arch(w->a->m->config.arch)->gguf), e));
    TRY(gguf_write_str(w->w, "general.name", name, e));
    TRY(gguf_write_u32(w->w, "general.file_type", 0, e));
    TRY(gguf_write_str(w->w, "adapter.type", STR("lora"), e));
    TRY(gguf_write_f32(w->w, "adapter.lora.alpha", (float)w->alpha, e));
    TRY(file_stacks_each(w->a, declare, w, e));
    return file_stacks_each(w->a, put, w, e);
}

err_code adapter_save_gguf(const adapter *a, const char *path, str name, err *e) {
    writer w = {.a = a};
    TRY(file_stacks_each(a, find_alpha, &w, e));
    if (w.alpha == 0) /* every scale is: readers would take 0 for "no alpha", a scale of 1 */
        w.alpha = 1;
    w.row = adapter_row(a, e);
    if (!w.row)
        return ERR_MEMORY;
    err_code code = gguf_write_open(&w.w, path, e);
    if (code == ERR_OK) {
        code = write_all(&w, name, e);
        if (code)
            gguf_write_abort(w.w);
        else
            code = gguf_write_commit(w.w, e);
    }
    free(w.row);
    return code;
}
