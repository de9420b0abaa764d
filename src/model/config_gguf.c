/* config_gguf: a model's shape from GGUF keys. Key names are those of ggml's docs/gguf.md and llama.cpp. */
#include <stdio.h>

#include "kern/math64.h"
#include "model/config_int.h"

typedef struct {
    const gguf_file *g;
    str arch; /* general.architecture: what keys begin with */
    char key[160];
} keys;

static const char *key(keys *k, const char *name) {
    snprintf(k->key, sizeof k->key, "%.*s.%s", (int)k->arch.n, k->arch.p, name);
    return k->key;
}

static err_code u64(keys *k, const char *name, uint64_t otherwise, size_t *out, err *e) {
    uint64_t v;
    TRY(gguf_get_u64(k->g, key(k, name), otherwise, &v, e));
    *out = (size_t)v;
    return ERR_OK;
}

static err_code f64(keys *k, const char *name, double otherwise, double *out, err *e) {
    return gguf_get_f64(k->g, key(k, name), otherwise, out, e);
}

static err_code required(keys *k, const char *name, size_t *out, err *e) {
    if (!gguf_find(k->g, key(k, name)))
        return err_set(e, ERR_FORMAT, "%s: key %s is missing", k->g->path, k->key);
    return u64(k, name, 0, out, e);
}

/* A number, or an array with one for each layer, all equal. */
static err_code per_layer(keys *k, const char *name, size_t otherwise, size_t *out, err *e) {
    const gguf_kv *kv = gguf_find(k->g, key(k, name));
    if (!kv || kv->type != GGUF_ARRAY)
        return u64(k, name, otherwise, out, e);
    if (kv->elem == GGUF_STRING || kv->n < 1)
        return err_set(e, ERR_FORMAT, "%s: key %s is not a list of numbers", k->g->path, k->key);
    for (uint64_t i = 0; i < kv->n; i++)
        if (gguf_i64_at(kv, i) != gguf_i64_at(kv, 0) || gguf_i64_at(kv, i) < 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: key %s differs from layer to layer, which is not supported",
                           k->g->path, k->key);
    *out = (size_t)gguf_i64_at(kv, 0);
    return ERR_OK;
}

/* The sliding pattern: a period, or a bool for every layer. */
static err_code pattern(keys *k, model_config *c, arena *mem, err *e) {
    const gguf_kv *kv = gguf_find(k->g, key(k, "attention.sliding_window_pattern"));
    size_t period = (size_t)c->arch->slide_period;
    if (kv && kv->type != GGUF_ARRAY)
        TRY(u64(k, "attention.sliding_window_pattern", period, &period, e));
    err_code code = config_layers(c, period, SIZE_MAX, mem, e);
    if (code)
        return err_in(e, code, "%s", k->g->path);
    if (!kv || kv->type != GGUF_ARRAY)
        return ERR_OK;
    if (kv->elem == GGUF_STRING || kv->n != c->L)
        return err_set(e, ERR_FORMAT, "%s: key %s has %llu entries, must have one for each of %zu layers", k->g->path,
                       k->key, (unsigned long long)kv->n, c->L);
    uint8_t *slides;
    ARENA_NEW(mem, slides, c->L, e);
    for (size_t i = 0; i < c->L; i++)
        slides[i] = gguf_i64_at(kv, i) != 0 && c->window && c->arch->slide != SLIDE_NONE;
    c->layer_slides = slides;
    return ERR_OK;
}

static err_code divisors(const gguf_file *g, const char *name, size_t n, arena *mem, const float **out, err *e) {
    const tensor_ref *t = gguf_tensor(g, name);
    if (!t)
        return ERR_OK;
    if (t->type != DTYPE_F32 || t->n_dims != 1 || t->dims[0] != n)
        return err_set(e, ERR_FORMAT, "%s: tensor %s must be F32 [%zu]", g->path, name, n);
    float *f;
    ARENA_NEW(mem, f, n, e);
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)t->data[4 * i] | (uint32_t)t->data[4 * i + 1] << 8 | (uint32_t)t->data[4 * i + 2] << 16 |
                     (uint32_t)t->data[4 * i + 3] << 24;
        _Static_assert(sizeof u == sizeof *f, "binary32");
        __builtin_memcpy(&f[i], &u, sizeof u);
        if (!(f[i] > 0 && f[i] < 1e9f))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: element %zu is %g, must be positive", g->path, name, i,
                           (double)f[i]);
    }
    *out = f;
    return ERR_OK;
}

static err_code rope(keys *k, model_config *c, arena *mem, err *e) {
    const gguf_file *g = k->g;
    rope_config *r = &c->rope;
    str type;
    double factor, growth;
    TRY(f64(k, "rope.freq_base", 1e4, &r->theta, e));
    TRY(f64(k, "rope.scaling.factor", 0, &factor, e));
    if (factor == 0)
        TRY(f64(k, "rope.scale_linear", 0, &factor, e));
    TRY(gguf_get_str(g, key(k, "rope.scaling.type"), STR("linear"), &type, e));
    TRY(u64(k, "rope.scaling.original_context_length", c->ctx_train, &c->original_ctx, e));
    TRY(f64(k, "rope.scaling.attn_factor", 1, &growth, e));
    r->factor = factor == 0 ? 1 : factor;
    r->attn_factor = 1;
    TRY(divisors(g, "rope_freqs.weight", c->rope_width / 2, mem, &r->divide_short, e));
    if (str_is(type, "linear") && r->factor != 1) {
        r->scaling = ROPE_LINEAR;
    } else if (str_is(type, "yarn")) {
        r->scaling = ROPE_YARN;
        TRY(f64(k, "rope.scaling.yarn_beta_fast", 32, &r->beta_fast, e));
        TRY(f64(k, "rope.scaling.yarn_beta_slow", 1, &r->beta_slow, e));
        r->truncate = true;
        r->attn_factor = growth * (r->factor > 1 ? 0.1 * kern_log64(r->factor) + 1 : 1);
    } else if (!str_is(type, "linear") && !str_is(type, "none") && !str_is(type, "longrope")) {
        return err_set(e, ERR_UNSUPPORTED, "%s: rotary scaling \"%.*s\" is not supported", g->path, STR_ARG(type));
    }
    const float *divide_long = NULL, *divide_short = NULL;
    TRY(divisors(g, "rope_factors_long.weight", c->rope_width / 2, mem, &divide_long, e));
    TRY(divisors(g, "rope_factors_short.weight", c->rope_width / 2, mem, &divide_short, e));
    if (divide_long && divide_short) {
        r->scaling = ROPE_LONGROPE;
        r->divide_long = divide_long;
        r->divide_short = divide_short;
        r->attn_factor = growth;
    }
    if (r->scaling == ROPE_PLAIN || r->scaling == ROPE_LINEAR)
        c->original_ctx = 0;
    c->rope_local = (rope_config){.factor = 1, .attn_factor = 1};
    double otherwise = c->arch->otherwise.theta_local;
    return f64(k, "rope.freq_base_swa", otherwise > 0 ? otherwise : r->theta, &c->rope_local.theta, e);
}

err_code config_from_gguf(model_config *c, const gguf_file *g, arena *mem, err *e) {
    *c = (model_config){0};
    keys k = {.g = g};
    TRY(gguf_get_str(g, "general.architecture", (str){0}, &k.arch, e));
    TRY(gguf_get_str(g, "general.name", (str){0}, &c->name, e));
    c->arch = arch_by_gguf(k.arch);
    if (!c->arch)
        return err_set(e, ERR_UNSUPPORTED, "%s: architecture \"%.*s\" is not supported (supported: %s)", g->path,
                       STR_ARG(k.arch), arch_names());
    size_t value_width;
    bool causal;
    TRY(gguf_get_bool(g, key(&k, "attention.causal"), true, &causal, e));
    if (!causal)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s is false: attention to later positions is not supported", g->path,
                       k.key);
    TRY(required(&k, "context_length", &c->ctx_train, e));
    TRY(required(&k, "embedding_length", &c->D, e));
    TRY(required(&k, "block_count", &c->L, e));
    TRY(per_layer(&k, "feed_forward_length", 0, &c->F, e));
    TRY(per_layer(&k, "attention.head_count", 0, &c->H, e));
    TRY(per_layer(&k, "attention.head_count_kv", c->H, &c->G, e));
    if (c->H < 1 || c->D < 1)
        return err_set(e, ERR_FORMAT, "%s: no attention heads or no width", g->path);
    TRY(u64(&k, "attention.key_length", c->D / c->H, &c->K, e));
    TRY(u64(&k, "attention.value_length", c->K, &value_width, e));
    if (value_width != c->K)
        return err_set(e, ERR_UNSUPPORTED, "%s: value heads of %zu beside key heads of %zu are not supported", g->path,
                       value_width, c->K);
    TRY(u64(&k, "rope.dimension_count", c->K, &c->rope_width, e));
    TRY(u64(&k, "vocab_size", 0, &c->V, e));
    TRY(f64(&k, "attention.layer_norm_rms_epsilon", 0, &c->norm_eps, e));

    bool has_window =
        c->arch->slide != SLIDE_NONE && c->arch->slide != SLIDE_FROM_LAYER && c->arch->slide != SLIDE_WHERE_NOPE;
    if (has_window || c->arch->windowed) {
        bool assumed = c->arch->otherwise.attn_softcap > 0; /* files of gemma2 may leave it out */
        TRY(u64(&k, "attention.sliding_window", assumed ? (uint64_t)c->arch->otherwise.window : 0, &c->window, e));
        if (c->arch->windowed && c->window)
            c->arch = arch_by_name(str_from(c->arch->windowed));
    }
    if (c->window > CONFIG_CTX_MAX)
        c->window = 0;
    TRY(rope(&k, c, mem, e));
    TRY(pattern(&k, c, mem, e));

    double scale, logit_scale;
    TRY(f64(&k, "attention.scale", 0, &scale, e));
    TRY(f64(&k, "embedding_scale", 1, &c->embed_scale, e));
    TRY(f64(&k, "residual_scale", 1, &c->residual_scale, e));
    TRY(f64(&k, "logit_scale", 1, &logit_scale, e));
    c->logit_scale = 1 / logit_scale;
    if (c->arch->embed_sqrt)
        c->embed_scale = kern_sqrt64((double)c->D);
    /* The 27B models of Gemma 2 and 3 scale by the width a head would have had; the file says so only by its size. */
    bool big_gemma = c->arch->embed_sqrt && (c->L == 46 || c->L == 62);
    double per_head = big_gemma ? (double)c->D / (double)c->H : (double)c->K;
    c->attn_scale = scale != 0 ? scale : 1 / kern_sqrt64(per_head);
    TRY(f64(&k, "attn_logit_softcapping", c->arch->otherwise.attn_softcap, &c->attn_softcap, e));
    TRY(f64(&k, "final_logit_softcapping", c->arch->otherwise.logit_softcap, &c->logit_softcap, e));
    c->bias_required = c->arch->qkv_bias;
    c->tied = gguf_tensor(g, "output.weight") == NULL;
    err_code code = config_check(c, e);
    return code ? err_in(e, code, "%s", g->path) : ERR_OK;
}
