/* export_keys: what a GGUF file says of a model's shape, as the families' converter says it; see export.h.
 *
 * Keys: ggml's docs/gguf.md and llama.cpp; config_gguf.c reads them back. Scaled frequencies that have no keys (llama3)
 * become the tensor rope_freqs.weight: what each plain frequency is divided by.
 */
#include <stdio.h>
#include <string.h>

#include "kern/math64.h"
#include "model/export.h"
#include "model/pooling.h"
#include "model/rope.h"

typedef struct {
    const model *m;
    const model_config *c;
    const arch *as; /* the row of the architecture that the file names */
    gguf_writer *w;
    const export_options *o;
    char key[160];
} keys;

static const char *key(keys *k, const char *name) {
    snprintf(k->key, sizeof k->key, "%s.%s", k->as->gguf, name);
    return k->key;
}

/* The writer's first error sticks; export_gguf() meets it with the first tensor. */
static void put_u32(keys *k, const char *name, size_t v) { gguf_write_u32(k->w, key(k, name), (uint32_t)v, NULL); }
static void put_f32(keys *k, const char *name, double v) { gguf_write_f32(k->w, key(k, name), (float)v, NULL); }
static void put_str(keys *k, const char *name, str v) { gguf_write_str(k->w, key(k, name), v, NULL); }

static void note(const keys *k, const char *text) {
    if (k->o->note)
        k->o->note(k->o->note_ctx, text);
}

static err_code cannot(const keys *k, const char *what, err *e) {
    return err_set(e, ERR_UNSUPPORTED, "%s: GGUF files of architecture %s cannot say %s", k->m->path, k->as->gguf,
                   what);
}

/* ---- numbers whose reciprocals count ---- */

static float float_near(float f, int steps) { /* so many floats away from a positive one */
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    u += (uint32_t)steps;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* A float d such that (float)(f / d), or (float)(f * d), is q, where there is one, else the nearest. f, q > 0. */
static float operand(double f, float q, bool divides) {
    static const int steps[] = {0, -1, 1, -2, 2, -3, 3, -4, 4};
    float nearest = (float)(divides ? f / (double)q : (double)q / f);
    for (size_t j = 0; j < sizeof steps / sizeof *steps; j++) {
        double d = (double)float_near(nearest, steps[j]);
        if ((float)(divides ? f / d : f * d) == q)
            return (float)d;
    }
    return nearest;
}

/* ---- layers ---- */

static err_code windows(keys *k, err *e) {
    const model_config *c = k->c;
    const arch *a = k->as;
    bool any = false, nope_by_rule = true, slides_by_rule = true;
    for (size_t i = 0; i < c->L; i++) {
        bool nope = a->nope_period && (i + 1) % (size_t)a->nope_period == 0;
        bool but_last = a->slide_period && (i + 1) % (size_t)a->slide_period != 0;
        nope_by_rule &= nope == (c->layer_no_rope[i] != 0);
        slides_by_rule &= (a->slide == SLIDE_ALL || but_last) == (c->layer_slides[i] != 0);
        any |= c->layer_slides[i] != 0;
    }
    if (!nope_by_rule)
        return cannot(k, "which of its layers have no rotary embedding", e);
    bool has_window = a->slide == SLIDE_ALL || a->slide == SLIDE_BUT_LAST || a->windowed;
    if (!has_window && any && c->window < c->ctx_train)
        return cannot(k, "that its attention has a sliding window", e);
    if (!has_window || (a->windowed && !any))
        return ERR_OK;
    put_u32(k, "attention.sliding_window", c->window);
    if (!slides_by_rule && c->window)
        gguf_write_numbers(k->w, key(k, "attention.sliding_window_pattern"), GGUF_BOOL, c->layer_slides, c->L, NULL);
    if (a->slide == SLIDE_ALL && any && c->window < c->ctx_train)
        note(k, "llama.cpp does not use the sliding window of this architecture: longer texts will differ there");
    return ERR_OK;
}

/* ---- rotary embedding ---- */

static double yarn_growth(double factor) { return factor > 1 ? 0.1 * kern_log64(factor) + 1 : 1; }

/* Whether the frequencies stay as they are when the numbers that they come from are rounded to binary32. */
static bool same_in_f32(const model_config *c, const rope_config *r) {
    if (r->scaling == ROPE_LLAMA3)
        return true; /* export_tables() makes up for it */
    float have[CONFIG_HEAD_WIDTH_MAX / 2], get[CONFIG_HEAD_WIDTH_MAX / 2];
    rope_config f = *r;
    f.theta = (double)(float)r->theta;
    f.factor = (double)(float)r->factor;
    f.beta_fast = (double)(float)r->beta_fast;
    f.beta_slow = (double)(float)r->beta_slow;
    rope_frequencies(r, c->rope_width, c->original_ctx, false, have);
    rope_frequencies(&f, c->rope_width, c->original_ctx, false, get);
    return memcmp(have, get, c->rope_width / 2 * sizeof *have) == 0;
}

static err_code ropes(keys *k, err *e) {
    const model_config *c = k->c;
    const rope_config *r = &c->rope, *local = &c->rope_local;
    put_f32(k, "rope.freq_base", r->theta);
    put_u32(k, "rope.dimension_count", c->rope_width);
    double growth = r->attn_factor;
    bool exact = true;
    if (r->scaling == ROPE_LINEAR) {
        put_str(k, "rope.scaling.type", STR("linear"));
        put_f32(k, "rope.scaling.factor", r->factor);
    } else if (r->scaling == ROPE_YARN) {
        if (!r->truncate)
            return cannot(k, "that YaRN's range is not truncated", e);
        put_str(k, "rope.scaling.type", STR("yarn"));
        put_f32(k, "rope.scaling.factor", r->factor);
        put_u32(k, "rope.scaling.original_context_length", c->original_ctx);
        if (r->beta_fast != 32)
            put_f32(k, "rope.scaling.yarn_beta_fast", r->beta_fast);
        if (r->beta_slow != 1)
            put_f32(k, "rope.scaling.yarn_beta_slow", r->beta_slow);
        double usual = yarn_growth((double)(float)r->factor);
        growth = (float)growth == (float)usual ? 1 : (double)operand(usual, (float)growth, false);
        exact = (float)(growth * usual) == (float)r->attn_factor;
    } else if (r->scaling == ROPE_LONGROPE) {
        put_u32(k, "rope.scaling.original_context_length", c->original_ctx);
    }
    if (growth != 1)
        put_f32(k, "rope.scaling.attn_factor", growth);
    if (!exact || !same_in_f32(c, r) || !same_in_f32(c, local))
        note(k,
             "a GGUF file keeps the numbers of the rotary embedding as F32, which rounds them: logits will differ in "
             "their last digits");
    if (!c->arch->local_rope)
        return ERR_OK;
    if (local->scaling != ROPE_PLAIN || local->attn_factor != 1)
        return cannot(k, "that the rotary embedding of sliding layers is scaled", e);
    double otherwise = k->as->otherwise.theta_local > 0 ? k->as->otherwise.theta_local : r->theta;
    if (local->theta != otherwise)
        put_f32(k, "rope.freq_base_swa", local->theta);
    return ERR_OK;
}

err_code export_tables(const model *m, arena *mem, export_table out[EXPORT_TABLES_MAX + 1], err *e) {
    const model_config *c = &m->config;
    const rope_config *r = &c->rope;
    size_t n = c->rope_width / 2;
    memset(out, 0, (EXPORT_TABLES_MAX + 1) * sizeof *out);
    if (r->scaling == ROPE_LLAMA3) {
        float *scaled, *d;
        ARENA_NEW(mem, scaled, n, e);
        ARENA_NEW(mem, d, n, e);
        rope_frequencies(r, c->rope_width, c->original_ctx, false, scaled);
        for (size_t i = 0; i < n; i++)
            d[i] = operand(1 / kern_pow64((double)(float)r->theta, 2 * (double)i / (double)c->rope_width), scaled[i],
                           true);
        out[0] = (export_table){"rope_freqs.weight", d, n};
    } else if (r->scaling == ROPE_LONGROPE) {
        out[0] = (export_table){"rope_factors_long.weight", r->divide_long, n};
        out[1] = (export_table){"rope_factors_short.weight", r->divide_short, n};
    } else if (r->divide_short) {
        out[0] = (export_table){"rope_freqs.weight", r->divide_short, n};
    }
    return ERR_OK;
}

/* ---- scales ---- */

static err_code scales(keys *k, err *e) {
    const model_config *c = k->c;
    const arch *a = c->arch;
    bool big_gemma = a->embed_sqrt && (c->L == 46 || c->L == 62);
    double per_head = big_gemma ? (double)c->D / (double)c->H : (double)c->K;
    double embed = a->embed_sqrt ? kern_sqrt64((double)c->D) : 1;
    bool usual = (float)c->attn_scale == (float)(1 / kern_sqrt64(per_head));
    if (a->multipliers || !usual)
        put_f32(k, "attention.scale", c->attn_scale);
    if (!a->multipliers && !usual)
        note(k, "llama.cpp takes the scale of attention from the head width in this architecture: it will answer "
                "otherwise");
    if (a->multipliers) {
        put_f32(k, "embedding_scale", c->embed_scale);
        put_f32(k, "residual_scale", c->residual_scale);
        put_f32(k, "logit_scale", (double)operand(1, (float)c->logit_scale, true));
    } else if ((float)c->embed_scale != (float)embed || c->residual_scale != 1 || c->logit_scale != 1) {
        return cannot(k, "its multipliers", e);
    }
    if (a->otherwise.attn_softcap > 0 || c->attn_softcap > 0)
        put_f32(k, "attn_logit_softcapping", c->attn_softcap);
    if (a->otherwise.logit_softcap > 0 || c->logit_softcap > 0)
        put_f32(k, "final_logit_softcapping", c->logit_softcap);
    if (a->otherwise.attn_softcap > 0 && (c->attn_softcap == 0 || c->logit_softcap == 0))
        note(k, "llama.cpp divides by the soft caps of this architecture, which are 0 here: it cannot run this file");
    return ERR_OK;
}

/* ---- embeddings ---- */

static void pools(keys *k) {
    pooling p;
    err e;
    err_code code = pooling_of(k->m, &p, &e);
    int number = code == ERR_OK && p.stated ? pooling_gguf(p.how) : -1;
    if (number >= 0)
        put_u32(k, "pooling_type", (size_t)number);
    else if (code != ERR_OK || p.stated)
        note(k, "a GGUF file cannot say how this model pools its hidden states into embeddings");
}

/* ---- all ---- */

static err_code new_keys(keys *k, err *e) {
    const model_config *c = k->c;
    put_u32(k, "context_length", c->ctx_train);
    put_u32(k, "embedding_length", c->D);
    put_u32(k, "block_count", c->L);
    put_u32(k, "feed_forward_length", c->F);
    put_u32(k, "attention.head_count", c->H);
    put_u32(k, "attention.head_count_kv", c->G);
    if (c->H * c->K != c->D) {
        put_u32(k, "attention.key_length", c->K);
        put_u32(k, "attention.value_length", c->K);
    }
    put_f32(k, "attention.layer_norm_rms_epsilon", c->norm_eps);
    put_u32(k, "vocab_size", c->V);
    pools(k);
    TRY(ropes(k, e));
    TRY(windows(k, e));
    return scales(k, e);
}

static void general(const keys *k) {
    str name = k->o->name.n ? k->o->name : k->c->name.n ? k->c->name : os_last_part(k->m->path);
    gguf_write_str(k->w, "general.architecture", str_from(k->as->gguf), NULL);
    gguf_write_str(k->w, "general.type", STR("model"), NULL);
    gguf_write_str(k->w, "general.name", name, NULL);
}

static bool kept(const export_options *o, str name) {
    static const char *const made[] = {"general.file_type", "general.alignment", "general.quantization_version"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (str_is(name, made[i]))
            return false;
    if (o->name.n && str_is(name, "general.name"))
        return false;
    return !str_starts(name, STR("split.")) && !(o->drop.n && str_starts(name, o->drop));
}

/* Numbers of llama.cpp's list of file types. */
static uint32_t file_type(const export_options *o, dtype t) {
    static const uint8_t number[DTYPE_COUNT] = {
        [DTYPE_F32] = 0,   [DTYPE_F16] = 1,   [DTYPE_BF16] = 32, [DTYPE_Q4_0] = 2,  [DTYPE_Q4_1] = 3,
        [DTYPE_Q5_0] = 8,  [DTYPE_Q5_1] = 9,  [DTYPE_Q8_0] = 7,  [DTYPE_Q2_K] = 10, [DTYPE_Q3_K] = 12,
        [DTYPE_Q4_K] = 15, [DTYPE_Q5_K] = 17, [DTYPE_Q6_K] = 18,
    };
    return o->choose ? o->file_type : number[t];
}

err_code export_keys(const model *m, gguf_writer *w, const export_options *o, err *e) {
    keys k = {.m = m, .c = &m->config, .as = tensors_gguf_arch(m->config.arch), .w = w, .o = o};
    bool quantised = o->choose || (o->type >= 0 && dtype_table[o->type].block_elems > 1);
    dtype t = o->type >= 0 ? (dtype)o->type : m->layers[0].q.type;
    if (m->gguf.path) {
        for (size_t i = 0; i < m->gguf.n_kv; i++)
            if (kept(o, m->gguf.kv[i].key))
                gguf_write_kv(w, &m->gguf.kv[i], NULL);
        if (o->name.n)
            gguf_write_str(w, "general.name", o->name, NULL);
    } else {
        general(&k);
        TRY(new_keys(&k, e));
    }
    const gguf_kv *was = m->gguf.path ? gguf_find(&m->gguf, "general.file_type") : NULL;
    if (was && o->type < 0 && !o->choose)
        gguf_write_kv(w, was, NULL);
    else
        gguf_write_u32(w, "general.file_type", file_type(o, t), NULL);
    if (quantised || dtype_table[t].block_elems > 1)
        gguf_write_u32(w, "general.quantization_version", 2, NULL);
    return o->keys ? o->keys(o->keys_ctx, w, e) : ERR_OK;
}
