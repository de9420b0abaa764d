/* model: opening a model file and planning its memory; see model.h. */
#include "model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kern/panel.h"
#include "model/model_int.h"

static size_t max_of(size_t a, size_t b) { return a > b ? a : b; }

/* Widest input of any product of a kind, 0 when there is none. */
static void widest(const matrix *w, size_t width[ACTS_COUNT]) {
    acts_kind k = kern_acts_kind(w->type);
    width[k] = max_of(width[k], w->cols);
}

/* The scratch block, piece by piece: sizes when mem is NULL, else pointers too. */
static size_t scratch_plan(model *m, uint8_t *mem) {
    const model_config *c = &m->config;
    scratch *s = &m->scratch;
    size_t n = MODEL_CHUNK, at = 0, half = c->rope_width / 2, width[ACTS_COUNT] = {0};
    s->attn_bytes = (kern_attn_scratch_bytes(c->K) + 63) & ~(size_t)63;
    const struct {
        float **p;
        size_t floats;
    } part[] = {
        {&s->x, n * c->D},        {&s->h, n * c->D},          {&s->q, n * c->H * c->K}, {&s->k, n * c->G * c->K},
        {&s->v, n * c->G * c->K}, {&s->att, n * c->H * c->K}, {&s->gate, n * c->F},     {&s->up, n * c->F},
        {&s->cos, 2 * n * half},  {&s->sin, 2 * n * half},
    };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        *part[i].p = mem ? (float *)(void *)(mem + at) : NULL;
        at += (part[i].floats * sizeof(float) + 63) & ~(size_t)63;
    }
    s->attn = mem ? mem + at : NULL;
    at += s->attn_bytes * (size_t)pool_threads(m->engine.pool);
    widest(&m->output, width);
    for (size_t i = 0; i < c->L; i++) {
        const layer *y = &m->layers[i];
        const matrix *const all[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};
        for (int j = 0; j < 7; j++)
            widest(all[j], width);
    }
    for (int k = 0; k < ACTS_COUNT; k++) {
        s->acts.packed[k] = mem && width[k] ? mem + at : NULL;
        at += (kern_acts_bytes((acts_kind)k, n, width[k]) + 63) & ~(size_t)63;
    }
    return at;
}

static err_code read_config(model *m, str *prefix, err *e) {
    if (!os_is_dir(m->path)) {
        TRY(gguf_open(&m->gguf, m->path, e));
        return config_from_gguf(&m->config, &m->gguf, &m->mem, e);
    }
    strbuf file = {0}, text = {0};
    json_t *root = NULL;
    err_code code = strbuf_addf(&file, e, "%s/config.json", m->path);
    if (!code)
        code = strbuf_addc(&file, '\0', e);
    if (!code)
        code = os_read_regular(file.p, 16 << 20, &text, e);
    if (!code) {
        code = json_read(strbuf_str(&text), 16 << 20, &root, e);
        if (!code)
            code = config_from_json(&m->config, root, &m->mem, prefix, e);
        if (code)
            code = err_in(e, code, "%s", file.p);
    }
    json_decref(root);
    strbuf_fini(&text);
    strbuf_fini(&file);
    TRY(code);
    return safetensors_open(&m->tensors, m->path, e);
}

const char *model_hf_name(const model *m, const char *hf) {
    return m && m->bare && strncmp(hf, "model.", 6) == 0 ? hf + 6 : hf;
}

err_code model_engine(model *m, const model_options *o, err *e) {
    m->engine = (engine){kern_select(o->isa), o->pool};
    if (!m->engine.kern)
        return err_set(e, ERR_USAGE, "instruction set \"%s\" is not to be had on this machine (try --isa auto)",
                       o->isa);
    return ERR_OK;
}

err_code model_ready(model *m, const model_options *o, err *e) {
    m->kv_f16 = dtype_table[m->layers[0].k.type].block_elems > 1;
    m->scratch_bytes = scratch_plan(m, NULL);
    if (o->plan)
        return ERR_OK;
    m->scratch_mem = os_pages_alloc(m->scratch_bytes);
    if (!m->scratch_mem)
        return err_set(e, ERR_MEMORY, "%s: no memory for %zu bytes of scratch", m->path, m->scratch_bytes);
    scratch_plan(m, m->scratch_mem);
    return ERR_OK;
}

static err_code open_in(model *m, const char *path, const model_options *o, err *e) {
    TRY(model_engine(m, o, e));
    m->how = o->weights;
    m->path = strdup(path);
    if (!m->path)
        return err_set(e, ERR_MEMORY, "no memory");
    m->prefix = STR("");
    TRY(read_config(m, &m->prefix, e));
    m->bare = m->tensors.map && m->prefix.n == 0 && safetensors_find(&m->tensors, "embed_tokens.weight");
    m->config.tied = m->config.tied || m->bare;
    TRY(weights_load(m, o, m->prefix, e));
    return model_ready(m, o, e);
}

err_code model_open(model **out, const char *path, const model_options *o, err *e) {
    model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "no memory");
    err_code code = open_in(m, path, o, e);
    if (code) {
        model_close(m);
        return code;
    }
    *out = m;
    return ERR_OK;
}

void model_close(model *m) {
    if (!m)
        return;
    if (m->packed)
        os_pages_free(m->packed, m->packed_bytes);
    if (m->scratch_mem)
        os_pages_free(m->scratch_mem, m->scratch_bytes);
    if (m->adapting.mem)
        os_pages_free(m->adapting.mem, m->adapting.bytes);
    if (m->gguf.path)
        gguf_close(&m->gguf);
    if (m->tensors.map)
        safetensors_close(&m->tensors);
    arena_fini(&m->mem);
    free(m->path);
    free(m);
}

void model_set_watch(model *m, model_watch w) { m->watch = w; }
const model_config *model_config_of(const model *m) { return &m->config; }
const gguf_file *model_gguf(const model *m) { return m->gguf.path ? &m->gguf : NULL; }
const char *model_path(const model *m) { return m->path; }
const char *model_isa(const model *m) { return m->engine.kern->isa; }
size_t model_weight_bytes(const model *m) { return m->packed_bytes; }

size_t model_bytes_per_token(const model *m) {
    size_t lookup = m->config.tied ? 0 : panel_bytes(m->embed.type, m->embed.rows, m->embed.cols);
    return m->packed_bytes - lookup;
}

size_t model_scratch_bytes(const model *m, size_t ctx_tokens) {
    (void)ctx_tokens;
    return m->scratch_bytes;
}
