/* weights: from the tensors of a file to packed matrices.
 *
 * Both kinds of file are looked at through one table of parts. Every tensor must be used: one that the architecture
 * does not know would change the answers if it were left out, so it is refused by name.
 * Shapes are checked against the config before anything is packed.
 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "kern/block.h"
#include "kern/panel.h"
#include "model/model_int.h"

/* The tensors of the file, and which have been used. */
typedef struct {
    model *m;
    const tensor_ref *tensor;
    size_t n;
    bool *used;
    bool gguf;
    str prefix;
    const model_options *o;
    size_t done, total; /* packed bytes, for progress */
    uint8_t *at;        /* next free byte of m->packed; NULL: counting */
} loader;

static const char *file_of(const loader *l) { return l->m->path; }

static const tensor_ref *find(loader *l, const char *name) {
    const tensor_ref *t = l->gguf ? gguf_tensor(&l->m->gguf, name) : safetensors_find(&l->m->tensors, name);
    if (t)
        l->used[t - l->tensor] = true;
    return t;
}

static void layer_name(const loader *l, char out[160], size_t i, const char *gguf, const char *hf, const char *what) {
    if (l->gguf)
        snprintf(out, 160, "blk.%zu.%s.%s", i, gguf, what);
    else
        snprintf(out, 160, "%.*s%s.%zu.%s.%s", (int)l->prefix.n, l->prefix.p, model_hf_name(l->m, "model.layers"), i,
                 hf, what);
}

static void top_name(const loader *l, char out[160], const char *gguf, const char *hf) {
    if (l->gguf)
        snprintf(out, 160, "%s.weight", gguf);
    else
        snprintf(out, 160, "%.*s%s.weight", (int)l->prefix.n, l->prefix.p, model_hf_name(l->m, hf));
}

static err_code shape_error(const loader *l, const tensor_ref *t, size_t rows, size_t cols, err *e) {
    char have[100] = "", want[50];
    for (int d = 0, n = 0; d < t->n_dims && n < 80; d++)
        n += snprintf(have + n, sizeof have - (size_t)n, "%s%llu", d ? "," : "", (unsigned long long)t->dims[d]);
    if (cols)
        snprintf(want, sizeof want, "%zu,%zu", rows, cols);
    else
        snprintf(want, sizeof want, "%zu", rows);
    return err_set(e, ERR_FORMAT, "%s: tensor %.*s is [%s] but the model's metadata asks for [%s]", file_of(l),
                   STR_ARG(t->name), have, want);
}

/* A vector as f32[n] in the model's arena; *out stays NULL when it is not there and not required. */
static err_code vector(loader *l, const char *name, size_t n, bool required, bool plus_one, const float **out, err *e) {
    const tensor_ref *t = find(l, name);
    if (!t)
        return required ? err_set(e, ERR_FORMAT, "%s: tensor %s is missing", file_of(l), name) : ERR_OK;
    if (t->n_dims != 1 || t->dims[0] != n)
        return shape_error(l, t, n, 0, e);
    if (n % dtype_table[t->type].block_elems)
        return shape_error(l, t, n, 0, e);
    if (!l->at)
        return ERR_OK; /* counting */
    float *f;
    ARENA_NEW(&l->m->mem, f, n, e);
    block_dequantise(t->type, t->data, n, f);
    for (size_t i = 0; plus_one && i < n; i++)
        f[i] = 1.0f + f[i];
    *out = f;
    return ERR_OK;
}

size_t weights_stored_row(const void *ctx, size_t r) {
    const row_order *o = ctx;
    if (!o->head)
        return o->first + r;
    size_t h = r / o->head, w = r % o->head, s = w / (o->head / 2), i = w % (o->head / 2);
    return o->first + h * o->head + 2 * i + s;
}

enum { PACK_BYTES = 16 << 20 }; /* packed at a time, so that file and packed form are hardly ever in memory both */

/* Rows [order.first, +rows) of tensor t as a packed matrix. What has been packed need not count as this process's
 * memory any more: the pages of the file are released behind it (rows out of order stay until the last). */
static void take_matrix(loader *l, const tensor_ref *t, row_order order, size_t rows, matrix *out) {
    *out = (matrix){
        .type = l->m->how == MODEL_WEIGHTS_F32 ? DTYPE_F32 : t->type, .rows = rows, .cols = (size_t)t->dims[1]};
    size_t bytes = (panel_bytes(out->type, rows, out->cols) + 63) & ~(size_t)63;
    if (!l->at) {
        l->total += bytes;
        return;
    }
    out->packed = l->at;
    size_t row_bytes = dtype_row_bytes(t->type, out->cols), n = matrix_panels(out);
    size_t step = PACK_BYTES / (row_bytes * PANEL_ROWS) + 1;
    for (size_t from = 0, to; from < n; from = to) {
        to = from + step < n ? from + step : n;
        matrix_pack(out, t->type, t->data, weights_stored_row, &order, from, to, l->m->engine.pool);
        size_t first = order.head ? 0 : from * PANEL_ROWS, last = to < n ? to * PANEL_ROWS : rows;
        if (!order.head || to == n)
            os_map_release(t->map, (size_t)t->offset + (order.first + first) * row_bytes, (last - first) * row_bytes);
        if (l->o->progress)
            l->o->progress(l->o->progress_ctx, l->done + panel_bytes(out->type, last, out->cols), l->total);
    }
    l->at += bytes;
    l->done += bytes;
}

static err_code check_matrix(const loader *l, const tensor_ref *t, size_t rows, size_t cols, err *e) {
    if (t->n_dims != 2 || t->dims[0] != rows || t->dims[1] != cols)
        return shape_error(l, t, rows, cols, e);
    return ERR_OK;
}

static err_code whole_matrix(loader *l, const char *name, row_order order, size_t rows, size_t cols, matrix *out,
                             err *e) {
    const tensor_ref *t = find(l, name);
    if (!t)
        return err_set(e, ERR_FORMAT, "%s: tensor %s is missing", file_of(l), name);
    TRY(check_matrix(l, t, rows, cols, e));
    take_matrix(l, t, order, rows, out);
    return ERR_OK;
}

/* Several matrices that the file keeps as one, below each other. *done: it was there. */
static err_code stacked(loader *l, const char *name, size_t cols, int n, const size_t rows[], matrix *const out[],
                        bool *done, err *e) {
    const tensor_ref *t = find(l, name);
    *done = t != NULL;
    if (!t)
        return ERR_OK;
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += rows[i];
    TRY(check_matrix(l, t, all, cols, e));
    for (size_t i = 0, first = 0; i < (size_t)n; first += rows[i++])
        take_matrix(l, t, (row_order){.first = first}, rows[i], out[i]);
    return ERR_OK;
}

/* Biases of interleaved rows are interleaved too. */
static err_code bias(loader *l, const char *name, size_t n, row_order order, bool required, const float **out, err *e) {
    TRY(vector(l, name, n, required, false, out, e));
    if (!*out || !order.head)
        return ERR_OK;
    float *f;
    ARENA_NEW(&l->m->mem, f, n, e);
    for (size_t r = 0; r < n; r++)
        f[r] = (*out)[weights_stored_row(&order, r)];
    *out = f;
    return ERR_OK;
}

static err_code load_norms(loader *l, size_t i, layer *y, err *e) {
    const model_config *c = &l->m->config;
    const arch *a = c->arch;
    bool plus_one = a->norm_plus_one && !l->gguf;
    bool pre = a->norm != NORM_POST, post = a->norm != NORM_PRE;
    const struct {
        bool there;
        const char *gguf, *hf;
        size_t n;
        const float **out;
    } norms[] = {
        {pre, "attn_norm", "input_layernorm", c->D, &y->attn_pre},
        {post, "post_attention_norm", "post_attention_layernorm", c->D, &y->attn_post},
        {pre, "ffn_norm", post ? "pre_feedforward_layernorm" : "post_attention_layernorm", c->D, &y->ffn_pre},
        {post, "post_ffw_norm", "post_feedforward_layernorm", c->D, &y->ffn_post},
        {a->qk != QK_NORM_NONE, "attn_q_norm", "self_attn.q_norm", a->qk == QK_NORM_FULL ? c->H * c->K : c->K,
         &y->q_norm},
        {a->qk != QK_NORM_NONE, "attn_k_norm", "self_attn.k_norm", a->qk == QK_NORM_FULL ? c->G * c->K : c->K,
         &y->k_norm},
    };
    for (size_t j = 0; j < sizeof norms / sizeof *norms; j++) {
        if (!norms[j].there)
            continue;
        char name[160];
        layer_name(l, name, i, norms[j].gguf, norms[j].hf, "weight");
        TRY(vector(l, name, norms[j].n, true, plus_one, norms[j].out, e));
    }
    return ERR_OK;
}

static err_code load_layer(loader *l, size_t i, layer *y, err *e) {
    const model_config *c = &l->m->config;
    size_t q = c->H * c->K, g = c->G * c->K;
    bool interleaved = l->gguf && c->arch->gguf_permuted;
    row_order heads = {.head = interleaved ? c->K : 0}, plain = {0};
    TRY(load_norms(l, i, y, e));

    char name[160];
    bool qkv = false, gate_up = false;
    layer_name(l, name, i, "attn_qkv", "self_attn.qkv_proj", "weight");
    if (!interleaved)
        TRY(stacked(l, name, c->D, 3, (size_t[]){q, g, g}, (matrix *const[]){&y->q, &y->k, &y->v}, &qkv, e));
    layer_name(l, name, i, "ffn_up", "mlp.gate_up_proj", "weight");
    if (c->arch->fused)
        TRY(stacked(l, name, c->D, 2, (size_t[]){c->F, c->F}, (matrix *const[]){&y->gate, &y->up}, &gate_up, e));

    const struct {
        const char *gguf, *hf;
        matrix *w;
        const float **b;
        size_t rows, cols;
        row_order order;
        bool done, biased;
    } part[] = {
        {"attn_q", "self_attn.q_proj", &y->q, &y->q_bias, q, c->D, heads, qkv, c->bias_required},
        {"attn_k", "self_attn.k_proj", &y->k, &y->k_bias, g, c->D, heads, qkv, c->bias_required},
        {"attn_v", "self_attn.v_proj", &y->v, &y->v_bias, g, c->D, plain, qkv, c->bias_required},
        {"attn_output", "self_attn.o_proj", &y->o, &y->o_bias, c->D, q, plain, false, false},
        {"ffn_gate", "mlp.gate_proj", &y->gate, &y->gate_bias, c->F, c->D, plain, gate_up, false},
        {"ffn_up", "mlp.up_proj", &y->up, &y->up_bias, c->F, c->D, plain, gate_up, false},
        {"ffn_down", "mlp.down_proj", &y->down, &y->down_bias, c->D, c->F, plain, false, false},
    };
    for (size_t j = 0; j < sizeof part / sizeof *part; j++) {
        if (!part[j].done) {
            layer_name(l, name, i, part[j].gguf, part[j].hf, "weight");
            TRY(whole_matrix(l, name, part[j].order, part[j].rows, part[j].cols, part[j].w, e));
        }
        layer_name(l, name, i, part[j].gguf, part[j].hf, "bias");
        TRY(bias(l, name, part[j].rows, part[j].order, part[j].biased, part[j].b, e));
    }
    return ERR_OK;
}

static err_code load_all(loader *l, err *e) {
    model *m = l->m;
    model_config *c = &m->config;
    char name[160];
    bool plus_one = c->arch->norm_plus_one && !l->gguf;

    top_name(l, name, "token_embd", "model.embed_tokens");
    const tensor_ref *embed = find(l, name);
    if (!embed)
        return err_set(e, ERR_FORMAT, "%s: tensor %s is missing", file_of(l), name);
    if (embed->n_dims != 2 || embed->dims[0] < 1 || embed->dims[0] > CONFIG_VOCAB_MAX ||
        (c->V && c->V != embed->dims[0]))
        return shape_error(l, embed, c->V, c->D, e);
    c->V = (size_t)embed->dims[0];
    TRY(whole_matrix(l, name, (row_order){0}, c->V, c->D, &m->embed, e));
    m->output = m->embed;

    top_name(l, name, "output", "lm_head");
    if (!c->tied)
        TRY(whole_matrix(l, name, (row_order){0}, c->V, c->D, &m->output, e));
    else
        find(l, name); /* a tied copy is the same again */
    top_name(l, name, "output_norm", "model.norm");
    TRY(vector(l, name, c->D, true, plus_one, &m->out_norm, e));
    for (size_t i = 0; i < c->L; i++)
        TRY(load_layer(l, i, &m->layers[i], e));
    return ERR_OK;
}

/* Tensors that are known to carry nothing the forward pass needs: rotary tables, which are computed, and the parts of
 * a picture-reading model beside its language model. */
static bool harmless(const loader *l, str name) {
    if (l->gguf)
        return str_starts(name, STR("rope_f"));
    return str_ends(name, STR("rotary_emb.inv_freq")) || (l->prefix.n && !str_starts(name, l->prefix));
}

err_code weights_load(model *m, const model_options *o, str prefix, err *e) {
    loader l = {.m = m, .o = o, .prefix = prefix, .gguf = m->gguf.path != NULL};
    l.tensor = l.gguf ? m->gguf.tensor : m->tensors.tensor;
    l.n = l.gguf ? m->gguf.n_tensors : m->tensors.n_tensors;
    ARENA_NEW(&m->mem, l.used, l.n, e);
    ARENA_NEW(&m->mem, m->layers, m->config.L, e);
    TRY(load_all(&l, e)); /* counts and checks */
    for (size_t i = 0; i < l.n; i++)
        if (!l.used[i] && !harmless(&l, l.tensor[i].name))
            return err_set(e, ERR_UNSUPPORTED, "%s: tensor %.*s is not part of architecture %s", file_of(&l),
                           STR_ARG(l.tensor[i].name), m->config.arch->name);
    m->packed_bytes = l.total;
    if (o->plan)
        return ERR_OK;
    m->packed = os_pages_alloc(m->packed_bytes);
    if (!m->packed)
        return err_set(e, ERR_MEMORY, "%s: no memory for %zu bytes of weights", m->path, m->packed_bytes);
    l.at = m->packed;
    return load_all(&l, e);
}
