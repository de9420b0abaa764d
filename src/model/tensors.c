/* tensors: the list of a model's weights; see tensors.h. */
#include "model/tensors.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "kern/block.h"
#include "kern/panel.h"

/* One weight of a layer. at: of a matrix or of a const float * in `layer`. */
typedef struct {
    tensor_role role;
    const char *gguf, *hf;
    size_t at, rows, cols;
} weight;

enum { WEIGHTS = 13, NORMS = 6 };

typedef struct {
    const model *m;
    arena *mem;
    bool gguf, zero_biases;
    bool from_gguf;  /* of the source */
    size_t head_in;  /* K when the source's q and k rows are interleaved */
    size_t head_out; /* K when they are to be */
    model_tensor *out;
    size_t n;
} list;

const arch *tensors_gguf_arch(const arch *a) { return a->gguf ? a : arch_by_gguf(str_from(a->gguf_as)); }

/* ---- where a source keeps what ---- */

static const tensor_ref *find(const list *l, const char *name) {
    return l->from_gguf ? gguf_tensor(&l->m->gguf, name) : safetensors_find(&l->m->tensors, name);
}

/* A name in a GGUF file, in the folder of `from`, or in one that is written: `from` NULL. */
static void name_of(bool gguf, const model *from, char out[TENSOR_NAME_MAX], size_t i_layer, const weight *w,
                    const char *what) {
    str prefix = from ? from->prefix : (str){0};
    if (gguf)
        snprintf(out, TENSOR_NAME_MAX, "blk.%zu.%s.%s", i_layer, w->gguf, what);
    else
        snprintf(out, TENSOR_NAME_MAX, "%.*s%s.%zu.%s.%s", STR_ARG(prefix), model_hf_name(from, "model.layers"),
                 i_layer, w->hf, what);
}

static void top_name(bool gguf, const model *from, char out[TENSOR_NAME_MAX], const char *in_gguf, const char *in_hf) {
    str prefix = from && !gguf ? from->prefix : (str){0};
    snprintf(out, TENSOR_NAME_MAX, "%.*s%s.weight", STR_ARG(prefix), gguf ? in_gguf : model_hf_name(from, in_hf));
}

static const tensor_ref *find_in_layer(const list *l, size_t i_layer, const weight *w, const char *what) {
    char name[TENSOR_NAME_MAX];
    name_of(l->from_gguf, l->m, name, i_layer, w, what);
    return find(l, name);
}

/* ---- vectors ---- */

static size_t interleaved(size_t head, size_t r) { /* place of row r in a file that interleaves */
    size_t h = r / head, w = r % head, s = w / (head / 2), i = w % (head / 2);
    return h * head + 2 * i + s;
}

size_t tensor_in_order(size_t head, size_t r) { /* the inverse */
    size_t h = r / head, w = r % head;
    return h * head + w % 2 * (head / 2) + w / 2;
}

/* A vector of a file, in the order of this program and whole (gemma); *out NULL: not there. */
static err_code file_vector(const list *l, const tensor_ref *t, size_t n, size_t head, bool plus_one, const float **out,
                            err *e) {
    float *f, *stored;
    *out = NULL;
    if (!t)
        return ERR_OK;
    ARENA_NEW(l->mem, f, n, e);
    ARENA_NEW(l->mem, stored, n, e);
    block_dequantise(t->type, t->data, n, stored);
    for (size_t r = 0; r < n; r++)
        f[r] = (plus_one ? 1.0f : 0.0f) + stored[head ? interleaved(head, r) : r];
    *out = f;
    return ERR_OK;
}

static model_tensor *add(list *l, tensor_role role, size_t i_layer, size_t rows, size_t cols) {
    model_tensor *t = &l->out[l->n++];
    *t = (model_tensor){.role = role, .layer = i_layer, .type = DTYPE_F32, .rows = rows, .cols = cols};
    return t;
}

/* Norm weights of a family that keeps them without 1 in folders. */
static err_code put_norm(list *l, model_tensor *t, const float *f, err *e) {
    t->vector = f;
    if (l->gguf || !l->m->config.arch->norm_plus_one)
        return ERR_OK;
    float *less;
    ARENA_NEW(l->mem, less, t->rows, e);
    for (size_t i = 0; i < t->rows; i++)
        less[i] = f[i] - 1.0f;
    t->vector = less;
    return ERR_OK;
}

static err_code add_norms(list *l, size_t i, err *e) {
    const model_config *c = &l->m->config;
    const arch *a = c->arch;
    bool pre = a->norm != NORM_POST, post = a->norm != NORM_PRE, qk = a->qk != QK_NORM_NONE;
    bool full = a->qk == QK_NORM_FULL;
#define AT(field) offsetof(layer, field)
    const struct {
        bool there;
        weight w;
    } norms[NORMS] = {
        {pre, {ROLE_VECTOR, "attn_norm", "input_layernorm", AT(attn_pre), c->D, 0}},
        {post, {ROLE_VECTOR, "post_attention_norm", "post_attention_layernorm", AT(attn_post), c->D, 0}},
        {pre,
         {ROLE_VECTOR, "ffn_norm", post ? "pre_feedforward_layernorm" : "post_attention_layernorm", AT(ffn_pre), c->D,
          0}},
        {post, {ROLE_VECTOR, "post_ffw_norm", "post_feedforward_layernorm", AT(ffn_post), c->D, 0}},
        {qk, {ROLE_VECTOR, "attn_q_norm", "self_attn.q_norm", AT(q_norm), full ? c->H * c->K : c->K, 0}},
        {qk, {ROLE_VECTOR, "attn_k_norm", "self_attn.k_norm", AT(k_norm), full ? c->G * c->K : c->K, 0}},
    };
#undef AT
    for (int j = 0; j < NORMS; j++) {
        const weight *w = &norms[j].w;
        if (!norms[j].there)
            continue;
        const float *f;
        memcpy(&f, (const char *)&l->m->layers[i] + w->at, sizeof f);
        if (!l->m->packed)
            TRY(file_vector(l, find_in_layer(l, i, w, "weight"), w->rows, 0, a->norm_plus_one && !l->from_gguf, &f, e));
        model_tensor *t = add(l, ROLE_VECTOR, i, w->rows, 0);
        name_of(l->gguf, NULL, t->name, i, w, "weight");
        TRY(put_norm(l, t, f, e));
    }
    return ERR_OK;
}

/* ---- matrices ---- */

/* The rows of a weight in the source: in memory, or in the file, where they may stand below others'. */
static row_source rows_of(const list *l, size_t i, const weight *w, size_t head) {
    if (l->m->packed)
        return (row_source){.packed = (const matrix *)(const void *)((const char *)&l->m->layers[i] + w->at),
                            .rows = w->rows};
    const model_config *c = &l->m->config;
    size_t q = c->H * c->K, g = c->G * c->K;
    row_source s = {.file = NULL, .rows = w->rows};
    weight stack = {.gguf = "attn_qkv", .hf = "self_attn.qkv_proj"};
    if (w->role == ROLE_Q || w->role == ROLE_K || w->role == ROLE_V) {
        s.file = head ? NULL : find_in_layer(l, i, &stack, "weight");
        s.first = w->role == ROLE_Q ? 0 : w->role == ROLE_K ? q : q + g;
    } else if (c->arch->fused && (w->role == ROLE_GATE || w->role == ROLE_UP)) {
        stack = (weight){.gguf = "ffn_up", .hf = "mlp.gate_up_proj"};
        s.file = find_in_layer(l, i, &stack, "weight");
        s.first = w->role == ROLE_GATE ? 0 : c->F;
    }
    if (!s.file) {
        s.file = find_in_layer(l, i, w, "weight");
        s.first = 0;
        s.head = w->role == ROLE_Q || w->role == ROLE_K ? head : 0;
    }
    return s;
}

static dtype type_of(const row_source *s) { return s->packed ? s->packed->type : s->file->type; }

static void add_matrix(list *l, size_t i, const weight *w, int n, const row_source *s) {
    model_tensor *t = add(l, w->role, i, 0, w->cols);
    for (int j = 0; j < n; j++) {
        t->part[t->n_parts++] = s[j];
        t->rows += s[j].rows;
    }
    t->type = type_of(s);
    t->head = w->role == ROLE_Q || w->role == ROLE_K ? l->head_out : 0;
    name_of(l->gguf, NULL, t->name, i, w, "weight");
}

static err_code bias_of(const list *l, size_t i, const weight *w, size_t at, const float **f, err *e) {
    if (l->m->packed) {
        memcpy(f, (const char *)&l->m->layers[i] + at, sizeof *f);
        return ERR_OK;
    }
    size_t head = w->role == ROLE_Q || w->role == ROLE_K ? l->head_in : 0;
    return file_vector(l, find_in_layer(l, i, w, "bias"), w->rows, head, false, f, e);
}

static err_code add_bias(list *l, size_t i, const weight *w, const float *f, err *e) {
    model_tensor *t = add(l, ROLE_VECTOR, i, w->rows, 0);
    size_t head = w->role == ROLE_Q || w->role == ROLE_K ? l->head_out : 0;
    name_of(l->gguf, NULL, t->name, i, w, "bias");
    float *turned;
    ARENA_NEW(l->mem, turned, w->rows, e);
    for (size_t r = 0; f && r < w->rows; r++)
        turned[r] = f[head ? tensor_in_order(head, r) : r];
    t->vector = turned;
    return ERR_OK;
}

static err_code add_layer(list *l, size_t i, err *e) {
    const model_config *c = &l->m->config;
    size_t q = c->H * c->K, g = c->G * c->K;
    TRY(add_norms(l, i, e));
#define AT(field) offsetof(layer, field)
    enum { N = 7, ATTENTION = 4 };
    const struct {
        weight w;
        size_t bias;
    } all[N] = {
        {{ROLE_Q, "attn_q", "self_attn.q_proj", AT(q), q, c->D}, AT(q_bias)},
        {{ROLE_K, "attn_k", "self_attn.k_proj", AT(k), g, c->D}, AT(k_bias)},
        {{ROLE_V, "attn_v", "self_attn.v_proj", AT(v), g, c->D}, AT(v_bias)},
        {{ROLE_O, "attn_output", "self_attn.o_proj", AT(o), c->D, q}, AT(o_bias)},
        {{ROLE_GATE, "ffn_gate", "mlp.gate_proj", AT(gate), c->F, c->D}, AT(gate_bias)},
        {{ROLE_UP, "ffn_up", "mlp.up_proj", AT(up), c->F, c->D}, AT(up_bias)},
        {{ROLE_DOWN, "ffn_down", "mlp.down_proj", AT(down), c->D, c->F}, AT(down_bias)},
    };
#undef AT
    row_source s[N];
    const float *bias[N];
    bool biased[2] = {false, false}; /* of attention, of the feed-forward part */
    for (int j = 0; j < N; j++) {
        s[j] = rows_of(l, i, &all[j].w, l->head_in);
        TRY(bias_of(l, i, &all[j].w, all[j].bias, &bias[j], e));
        biased[j >= ATTENTION] |= bias[j] != NULL;
    }
    if (c->arch->fused) {
        const weight qkv = {ROLE_QKV, "attn_qkv", "self_attn.qkv_proj", 0, q + 2 * g, c->D};
        const weight gate_up = {ROLE_GATE_UP, "ffn_up", "mlp.gate_up_proj", 0, 2 * c->F, c->D};
        if (biased[0] || biased[1])
            return err_set(e, ERR_UNSUPPORTED, "layer %zu has biases, which %s has no place for", i, c->arch->name);
        add_matrix(l, i, &qkv, 3, &s[0]);
        add_matrix(l, i, &all[3].w, 1, &s[3]);
        add_matrix(l, i, &gate_up, 2, &s[4]);
        add_matrix(l, i, &all[6].w, 1, &s[6]);
        return ERR_OK;
    }
    for (int j = 0; j < N; j++) {
        add_matrix(l, i, &all[j].w, 1, &s[j]);
        if (bias[j] || (l->zero_biases && biased[j >= ATTENTION]))
            TRY(add_bias(l, i, &all[j].w, bias[j], e));
    }
    return ERR_OK;
}

/* ---- all ---- */

static err_code add_top(list *l, tensor_role role, const char *gguf, const char *hf, const matrix *packed, err *e) {
    const model_config *c = &l->m->config;
    char name[TENSOR_NAME_MAX];
    top_name(l->from_gguf, l->m, name, gguf, hf);
    if (role != ROLE_VECTOR) {
        row_source s = {.packed = packed, .rows = c->V};
        if (!l->m->packed)
            s = (row_source){.file = find(l, name), .rows = c->V};
        model_tensor *t = add(l, role, 0, c->V, c->D);
        t->part[t->n_parts++] = s;
        t->type = type_of(&s);
        top_name(l->gguf, NULL, t->name, gguf, hf);
        return ERR_OK;
    }
    const float *f = l->m->out_norm;
    if (!l->m->packed)
        TRY(file_vector(l, find(l, name), c->D, 0, c->arch->norm_plus_one && !l->from_gguf, &f, e));
    model_tensor *t = add(l, role, 0, c->D, 0);
    top_name(l->gguf, NULL, t->name, gguf, hf);
    return put_norm(l, t, f, e);
}

err_code tensors_of(const model *m, bool gguf, bool zero_biases, arena *mem, model_tensor **out, size_t *n, err *e) {
    const model_config *c = &m->config;
    list l = {.m = m, .mem = mem, .gguf = gguf, .zero_biases = zero_biases, .from_gguf = m->gguf.path != NULL};
    l.head_in = l.from_gguf && c->arch->gguf_permuted ? c->K : 0;
    l.head_out = gguf && tensors_gguf_arch(c->arch)->gguf_permuted ? c->K : 0;
    ARENA_NEW(mem, l.out, c->L * (WEIGHTS + NORMS + 1) + 3, e);
    TRY(add_top(&l, ROLE_EMBED, "token_embd", "model.embed_tokens", &m->embed, e));
    for (size_t i = 0; i < c->L; i++)
        TRY(add_layer(&l, i, e));
    TRY(add_top(&l, ROLE_VECTOR, "output_norm", "model.norm", NULL, e));
    if (!c->tied)
        TRY(add_top(&l, ROLE_OUTPUT, "output", "lm_head", &m->output, e));
    *out = l.out;
    *n = l.n;
    return ERR_OK;
}

void tensor_place(const model_tensor *t, size_t r, int *part, size_t *row) {
    *row = t->head ? tensor_in_order(t->head, r) : r;
    for (*part = 0; *row >= t->part[*part].rows; ++*part)
        *row -= t->part[*part].rows;
}

void tensor_row(const model_tensor *t, size_t r, uint8_t *out) {
    int part;
    tensor_place(t, r, &part, &r);
    const row_source *s = &t->part[part];
    if (s->packed) {
        panel_unpack_row(t->type, s->packed->packed, t->cols, r, 0, t->cols / dtype_table[t->type].block_elems, out);
        return;
    }
    size_t bytes = dtype_row_bytes(t->type, t->cols);
    memcpy(out, s->file->data + (s->first + (s->head ? interleaved(s->head, r) : r)) * bytes, bytes);
}
