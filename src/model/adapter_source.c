/* adapter_source: from a file's tensors to targets; see adapter_source.h. */
#include "model/adapter_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern/block.h"

const file_matrix file_matrices[FILE_MATRICES] = {
    [LORA_Q] = {"self_attn.q_proj", "attn_q", LORA_Q, 1},
    [LORA_K] = {"self_attn.k_proj", "attn_k", LORA_K, 1},
    [LORA_V] = {"self_attn.v_proj", "attn_v", LORA_V, 1},
    [LORA_O] = {"self_attn.o_proj", "attn_output", LORA_O, 1},
    [LORA_GATE] = {"mlp.gate_proj", "ffn_gate", LORA_GATE, 1},
    [LORA_UP] = {"mlp.up_proj", "ffn_up", LORA_UP, 1},
    [LORA_DOWN] = {"mlp.down_proj", "ffn_down", LORA_DOWN, 1},
    [FILE_QKV] = {"self_attn.qkv_proj", "attn_qkv", LORA_Q, 3},
    [FILE_GATE_UP] = {"mlp.gate_up_proj", "ffn_up", LORA_GATE, 2},
};

err_code adapter_source_init(adapter_source *s, model *m, const char *path, err *e) {
    *s = (adapter_source){.m = m, .path = path};
    ARENA_NEW(&s->mem, s->target, m->config.L * FILE_MATRICES, e);
    return ERR_OK;
}

void adapter_source_fini(adapter_source *s) { arena_fini(&s->mem); }

bool adapter_source_layer(str *rest, uint64_t *i_layer) {
    size_t at = 0;
    uint64_t n = 0;
    for (; at < rest->n && at < 6 && rest->p[at] >= '0' && rest->p[at] <= '9'; at++)
        n = n * 10 + (uint64_t)(rest->p[at] - '0');
    if (at == 0 || at >= rest->n || rest->p[at] != '.')
        return false;
    *i_layer = n;
    *rest = str_sub(*rest, at + 1, rest->n);
    return true;
}

err_code adapter_source_add(adapter_source *s, uint64_t i_layer, int i_matrix, lora_tensor what, const tensor_ref *t,
                            err *e) {
    if (i_layer >= s->m->config.L)
        return err_set(e, ERR_FORMAT, "%s: tensor %.*s: the model has %zu layers", s->path, STR_ARG(t->name),
                       s->m->config.L);
    const tensor_ref **place = &s->target[i_layer * FILE_MATRICES + (size_t)i_matrix].t[what];
    if (*place)
        return err_set(e, ERR_FORMAT, "%s: tensor %.*s says the same as %.*s", s->path, STR_ARG(t->name),
                       STR_ARG((*place)->name));
    *place = t;
    return ERR_OK;
}

/* ---- checks ---- */

static void matrix_shape(const model_config *c, int i_matrix, size_t *rows, size_t *cols) {
    const file_matrix *f = &file_matrices[i_matrix];
    *rows = 0;
    for (int i = 0; i < f->n_parts; i++) {
        size_t n;
        lora_part_shape(c, (lora_part)((int)f->first + i), &n, cols);
        *rows += n;
    }
}

static err_code want_shape(const adapter_source *s, const tensor_ref *t, size_t rows, size_t cols, err *e) {
    bool is_matrix = t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols;
    bool is_vector =
        cols == 0 && (t->n_dims == 1 || (t->n_dims == 2 && t->dims[0] == 1)) && t->dims[t->n_dims - 1] == rows;
    char want[50];
    if (is_matrix || is_vector)
        return ERR_OK;
    snprintf(want, sizeof want, cols ? "%zu,%zu" : "%zu", rows, cols);
    return err_set(e, ERR_FORMAT,
                   "%s: tensor %.*s is [%" PRIu64 ",%" PRIu64 "], must be [%s] (is it made for this model?)", s->path,
                   STR_ARG(t->name), t->dims[0], t->dims[1], want);
}

/* Of a target that has anything: rank, or an error. */
static err_code check_target(const adapter_source *s, int i_matrix, const source_target *t, size_t *rank, err *e) {
    const tensor_ref *a = t->t[LORA_A], *b = t->t[LORA_B], *mag = t->t[LORA_MAGNITUDE];
    const tensor_ref *any = a ? a : b ? b : mag;
    size_t rows, cols;
    matrix_shape(&s->m->config, i_matrix, &rows, &cols);
    if (!a || !b)
        return err_set(e, ERR_FORMAT, "%s: tensor %.*s stands alone: %s is missing", s->path, STR_ARG(any->name),
                       a ? "B" : "A");
    if (a->n_dims != 2 || a->dims[0] > ADAPTER_RANK_MAX)
        return err_set(e, ERR_LIMIT, "%s: tensor %.*s: the rank must be 1 to %d", s->path, STR_ARG(a->name),
                       ADAPTER_RANK_MAX);
    *rank = (size_t)a->dims[0];
    TRY(want_shape(s, a, *rank, cols, e));
    TRY(want_shape(s, b, rows, *rank, e));
    if (s->shape.dora && !mag)
        return err_set(e, ERR_FORMAT, "%s: tensor %.*s has no magnitudes, which DoRA needs", s->path, STR_ARG(a->name));
    if (mag)
        TRY(want_shape(s, mag, rows, 0, e));
    return ERR_OK;
}

/* One that is no number, or infinite, would make every answer so. */
static err_code check_numbers(const adapter_source *s, const tensor_ref *t, err *e) {
    enum { PIECE = 256 }; /* a multiple of all blocks */
    const dtype_info *type = &dtype_table[t->type];
    size_t step = dtype_row_bytes(t->type, PIECE);
    for (size_t at = 0, n; at < t->bytes; at += n) {
        float x[PIECE];
        n = t->bytes - at < step ? t->bytes - at : step;
        size_t elems = n / type->block_bytes * type->block_elems;
        block_dequantise(t->type, t->data + at, elems, x);
        for (size_t i = 0; i < elems; i++)
            if (!isfinite(x[i]))
                return err_set(e, ERR_FORMAT, "%s: tensor %.*s: element %zu is %g", s->path, STR_ARG(t->name),
                               at / type->block_bytes * type->block_elems + i, (double)x[i]);
    }
    return ERR_OK;
}

/* A stacked matrix and one of its parts change the same rows: their order would matter. */
static err_code check_twice(const adapter_source *s, size_t i_layer, int i_matrix, const target_plan *plan, err *e) {
    const file_matrix *f = &file_matrices[i_matrix];
    for (int i = 0; i < f->n_parts; i++)
        if (plan[i_layer * LORA_PARTS + (size_t)f->first + (size_t)i].rank)
            return err_set(e, ERR_FORMAT, "%s: layer %zu: %s and a part of it are both changed", s->path, i_layer,
                           f->peft);
    return ERR_OK;
}

static bool has_any(const source_target *t) { return t->t[LORA_A] || t->t[LORA_B] || t->t[LORA_MAGNITUDE]; }

static err_code plan_all(adapter_source *s, scale_fn *scale_of, void *ctx, target_plan *plan, err *e) {
    for (size_t i = 0; i < s->m->config.L * FILE_MATRICES; i++) {
        source_target *t = &s->target[i];
        size_t i_layer = i / FILE_MATRICES, rank = 0;
        int i_matrix = (int)(i % FILE_MATRICES);
        if (!has_any(t))
            continue;
        TRY(check_target(s, i_matrix, t, &rank, e));
        for (int k = 0; k < LORA_TENSORS; k++)
            if (t->t[k])
                TRY(check_numbers(s, t->t[k], e));
        TRY(scale_of(ctx, s, i_layer, i_matrix, rank, &t->scale, e));
        TRY(check_twice(s, i_layer, i_matrix, plan, e));
        for (int k = 0; k < file_matrices[i_matrix].n_parts; k++)
            plan[i_layer * LORA_PARTS + (size_t)file_matrices[i_matrix].first + (size_t)k] =
                (target_plan){rank, t->scale, t->t[LORA_MAGNITUDE] != NULL};
    }
    return ERR_OK;
}

/* ---- numbers ---- */

static void fill_target(const adapter_source *s, const source_target *from, lora_part p, size_t first,
                        adapter_target *to) {
    pool *workers = s->m->engine.pool;
    const tensor_ref *a = from->t[LORA_A], *b = from->t[LORA_B], *mag = from->t[LORA_MAGNITUDE];
    row_order order = {first, s->interleaved && (p == LORA_Q || p == LORA_K) ? s->m->config.K : 0};
    matrix_pack(&to->a, a->type, a->data, NULL, NULL, 0, matrix_panels(&to->a), workers);
    matrix_pack(&to->b, b->type, b->data, weights_stored_row, &order, 0, matrix_panels(&to->b), workers);
    if (mag) {
        size_t bytes = dtype_row_bytes(mag->type, 1); /* PEFT alone has magnitudes: F32, F16, BF16 */
        block_dequantise(mag->type, mag->data + first * bytes, to->b.rows, to->magnitude);
    }
}

static void fill_all(const adapter_source *s, adapter *a) {
    for (size_t i = 0; i < s->m->config.L * FILE_MATRICES; i++) {
        const file_matrix *f = &file_matrices[i % FILE_MATRICES];
        size_t first = 0;
        for (int k = 0; k < f->n_parts && s->target[i].t[LORA_A]; k++) {
            lora_part p = (lora_part)((int)f->first + k);
            adapter_target *to = adapter_at(a, i / FILE_MATRICES, p);
            fill_target(s, &s->target[i], p, first, to);
            first += to->b.rows;
        }
    }
}

err_code adapter_source_make(adapter_source *s, scale_fn *scale_of, void *ctx, adapter **out, err *e) {
    size_t L = s->m->config.L;
    target_plan *plan;
    uint8_t *layers;
    ARENA_NEW(&s->mem, plan, L * LORA_PARTS, e);
    ARENA_NEW(&s->mem, layers, L, e);
    TRY(plan_all(s, scale_of, ctx, plan, e));
    bool all = true;
    for (size_t i = 0; i < L * LORA_PARTS; i++) {
        s->shape.rank = plan[i].rank > s->shape.rank ? plan[i].rank : s->shape.rank;
        s->shape.parts |= plan[i].rank ? 1u << i % LORA_PARTS : 0;
        layers[i / LORA_PARTS] |= plan[i].rank != 0;
        all = all && (i % LORA_PARTS < LORA_PARTS - 1 || layers[i / LORA_PARTS]);
    }
    s->shape.layers = all ? NULL : layers;
    err_code code = adapter_new(out, s->m, &s->shape, plan, e);
    if (code)
        return err_in(e, code, "%s", s->path);
    fill_all(s, *out);
    if (s->m->packed)
        adapter_refresh(*out);
    return ERR_OK;
}

/* ---- which kind of file ---- */

err_code adapter_open(adapter **out, model *m, const char *path, err *e) {
    adapter_source s;
    if (!os_exists(path))
        return err_set(e, ERR_IO, "%s: there is no such adapter (a folder as peft writes it, or a GGUF file)", path);
    err_code code = adapter_source_init(&s, m, path, e);
    if (code == ERR_OK)
        code = os_is_dir(path) ? adapter_open_peft(&s, out, e) : adapter_open_gguf(&s, out, e);
    adapter_source_fini(&s);
    return code;
}
