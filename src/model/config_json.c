/* config_json: a model's shape from a Hugging Face config.json.
 *
 * Both styles are read: the older one (rope_theta and rope_scaling at top level) and that of transformers 5
 * (rope_parameters, nested by layer type where types differ). Where a key is missing, the family's default holds,
 * as in the modelling code that its makers published.
 */
#include <string.h>

#include "kern/math64.h"
#include "model/config_int.h"

static err_code size_of(const json_t *o, const char *key, size_t otherwise, size_t *out, err *e) {
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v)) {
        *out = otherwise;
        return ERR_OK;
    }
    uint64_t u;
    TRY(json_want_u64(o, key, CONFIG_CTX_MAX, &u, e));
    *out = (size_t)u;
    return ERR_OK;
}

/* A list or an object; NULL where there is none. */
static err_code compound(const json_t *o, const char *key, json_type type, const json_t **out, err *e) {
    *out = json_get(o, key);
    if (*out && json_typeof(*out) != type)
        return err_set(e, ERR_FORMAT, "%s must be %s", key, type == JSON_ARRAY ? "a list" : "an object");
    return ERR_OK;
}

static bool given(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return v && !json_is_null(v);
}

static err_code factors(const json_t *o, const char *key, size_t n, arena *mem, const float **out, err *e) {
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list) || json_array_size(list) != n)
        return err_set(e, ERR_FORMAT, "%s must be a list of %zu numbers", key, n);
    float *f;
    ARENA_NEW(mem, f, n, e);
    for (size_t i = 0; i < n; i++) {
        f[i] = (float)json_number_value(json_array_get(list, i));
        if (!(f[i] > 0 && f[i] < 1e9f))
            return err_set(e, ERR_FORMAT, "%s[%zu] must be a positive number", key, i);
    }
    *out = f;
    return ERR_OK;
}

static double mscale(double factor, double k) { return factor <= 1 ? 1 : 0.1 * k * kern_log64(factor) + 1; }

static err_code yarn(const json_t *dict, const json_t *outer, rope_config *r, err *e) {
    double m = 0, all = 0;
    r->scaling = ROPE_YARN;
    r->beta_fast = 32;
    r->beta_slow = 1;
    r->truncate = true;
    TRY(json_opt_num(dict, "beta_fast", &r->beta_fast, e));
    TRY(json_opt_num(dict, "beta_slow", &r->beta_slow, e));
    TRY(json_opt_bool(outer, "truncate", &r->truncate, e));
    TRY(json_opt_num(dict, "mscale", &m, e));
    TRY(json_opt_num(dict, "mscale_all_dim", &all, e));
    r->attn_factor = m != 0 && all != 0 ? mscale(r->factor, m) / mscale(r->factor, all) : mscale(r->factor, 1);
    return json_opt_num(dict, "attention_factor", &r->attn_factor, e);
}

static err_code long_rope(const json_t *dict, size_t original, size_t half, arena *mem, rope_config *r, err *e) {
    r->scaling = ROPE_LONGROPE;
    TRY(factors(dict, "short_factor", half, mem, &r->divide_short, e));
    TRY(factors(dict, "long_factor", half, mem, &r->divide_long, e));
    if (r->factor > 1 && original > 1)
        r->attn_factor = kern_sqrt64(1 + kern_log64(r->factor) / kern_log64((double)original));
    return json_opt_num(dict, "attention_factor", &r->attn_factor, e);
}

/* One dictionary of rotary parameters. `root` supplies what files keep at top level, `outer` is the dictionary that a
 * nested one stands in (or the same): transformers reads yarn's `truncate` there. */
static err_code rope(const json_t *root, const json_t *dict, const json_t *outer, double theta, model_config *c,
                     arena *mem, rope_config *r, err *e) {
    *r = (rope_config){.theta = theta, .factor = 1, .attn_factor = 1};
    str type = STR("default");
    TRY(json_opt_num(dict, "rope_theta", &r->theta, e));
    TRY(json_opt_str(dict, "type", &type, e));
    TRY(json_opt_str(dict, "rope_type", &type, e));
    if (str_is(type, "default"))
        return ERR_OK;
    bool longrope = str_is(type, "longrope") || str_is(type, "su");
    size_t original;
    TRY(size_of(dict, "original_max_position_embeddings", c->ctx_train, &original, e));
    TRY(size_of(root, "original_max_position_embeddings", original, &original, e));
    if (original < 1)
        return err_set(e, ERR_FORMAT, "original_max_position_embeddings is 0");
    r->factor = longrope || str_is(type, "yarn") ? (double)c->ctx_train / (double)original : 0;
    TRY(json_opt_num(dict, "factor", &r->factor, e));
    if (str_is(type, "linear")) {
        r->scaling = ROPE_LINEAR;
        return ERR_OK;
    }
    c->original_ctx = original;
    if (str_is(type, "llama3")) {
        r->scaling = ROPE_LLAMA3;
        TRY(json_opt_num(dict, "low_freq_factor", &r->low_freq_factor, e));
        return json_opt_num(dict, "high_freq_factor", &r->high_freq_factor, e);
    }
    if (str_is(type, "yarn"))
        return yarn(dict, outer, r, e);
    if (longrope)
        return long_rope(dict, original, c->rope_width / 2, mem, r, e);
    return err_set(e, ERR_UNSUPPORTED, "rotary scaling \"%.*s\" is not supported", STR_ARG(type));
}

static err_code ropes(const json_t *o, model_config *c, arena *mem, err *e) {
    double theta = c->arch->otherwise.theta, local = c->arch->otherwise.theta_local;
    const json_t *dict, *full, *sliding;
    TRY(json_opt_num(o, "rope_theta", &theta, e));
    TRY(json_opt_num(o, "rope_local_base_freq", &local, e));
    TRY(compound(o, "rope_parameters", JSON_OBJECT, &dict, e));
    if (!dict)
        TRY(compound(o, "rope_scaling", JSON_OBJECT, &dict, e));
    TRY(compound(dict, "full_attention", JSON_OBJECT, &full, e));
    TRY(compound(dict, "sliding_attention", JSON_OBJECT, &sliding, e));
    bool nested = full || sliding;
    TRY(rope(o, nested ? full : dict, dict, theta, c, mem, &c->rope, e));
    /* Sliding layers of their own kind are plain; without a base of their own they share the other one. */
    c->rope_local = (rope_config){.theta = local > 0 ? local : c->rope.theta, .factor = 1, .attn_factor = 1};
    if (nested && c->arch->local_rope) {
        size_t original = c->original_ctx;
        TRY(rope(o, sliding, dict, c->rope_local.theta, c, mem, &c->rope_local, e));
        c->original_ctx = original;
        if (c->rope_local.scaling > ROPE_LINEAR)
            return err_set(e, ERR_UNSUPPORTED, "rotary scaling of sliding layers is not supported");
    }
    return ERR_OK;
}

/* Lists with an entry a layer override the family's rules. */
static err_code layer_lists(const json_t *o, model_config *c, arena *mem, err *e) {
    const json_t *types, *ropes_used;
    TRY(compound(o, "layer_types", JSON_ARRAY, &types, e));
    TRY(compound(o, "no_rope_layers", JSON_ARRAY, &ropes_used, e));
    uint8_t *slides, *nope;
    ARENA_NEW(mem, slides, c->L, e);
    ARENA_NEW(mem, nope, c->L, e);
    memcpy(slides, c->layer_slides, c->L);
    memcpy(nope, c->layer_no_rope, c->L);
    if (json_array_size(ropes_used)) {
        if (json_array_size(ropes_used) != c->L)
            return err_set(e, ERR_FORMAT, "no_rope_layers has %zu entries, must have %zu", json_array_size(ropes_used),
                           c->L);
        for (size_t i = 0; i < c->L; i++) /* 1 means: has a rotary embedding */
            nope[i] = json_integer_value(json_array_get(ropes_used, i)) == 0;
    }
    if (types) {
        if (json_array_size(types) != c->L)
            return err_set(e, ERR_FORMAT, "layer_types has %zu entries, must have %zu", json_array_size(types), c->L);
        for (size_t i = 0; i < c->L; i++) {
            str t = json_str_of(json_array_get(types, i));
            if (!str_is(t, "sliding_attention") && !str_is(t, "full_attention"))
                return err_set(e, ERR_UNSUPPORTED, "layer_types[%zu] is \"%.*s\", which is not supported", i,
                               STR_ARG(t));
            slides[i] = c->window && str_is(t, "sliding_attention");
        }
    }
    if (!types && c->arch->slide == SLIDE_WHERE_NOPE)
        for (size_t i = 0; i < c->L; i++)
            slides[i] = nope[i] && c->window;
    c->layer_slides = slides;
    c->layer_no_rope = nope;
    return ERR_OK;
}

static err_code windows(const json_t *o, model_config *c, arena *mem, err *e) {
    const arch *a = c->arch;
    size_t first = SIZE_MAX, period = (size_t)a->slide_period;
    bool use = a->slide != SLIDE_FROM_LAYER && a->slide != SLIDE_WHERE_NOPE;
    if (!use)
        TRY(json_opt_bool(o, "use_sliding_window", &use, e));
    size_t absent = json_object_get(o, "sliding_window") ? 0 : (size_t)a->otherwise.window; /* null: no window */
    TRY(size_of(o, "sliding_window", absent, &c->window, e));
    if (!use || a->slide == SLIDE_NONE)
        c->window = 0;
    TRY(size_of(o, "max_window_layers", 28, &first, e));
    TRY(size_of(o, "_sliding_window_pattern", period, &period, e));
    TRY(size_of(o, "sliding_window_pattern", period, &period, e));
    TRY(config_layers(c, period, first, mem, e));
    if (a->nope_period && given(o, "no_rope_layer_interval") && !json_is_array(json_object_get(o, "no_rope_layers"))) {
        size_t every;
        uint8_t *nope;
        TRY(size_of(o, "no_rope_layer_interval", 4, &every, e));
        ARENA_NEW(mem, nope, c->L, e);
        for (size_t i = 0; i < c->L; i++)
            nope[i] = every && (i + 1) % every == 0;
        c->layer_no_rope = nope;
    }
    return layer_lists(o, c, mem, e);
}

static err_code activation(const json_t *o, const model_config *c, err *e) {
    bool gemma = c->arch->act == KERN_GELU_TANH;
    str usual = gemma ? STR("gelu_pytorch_tanh") : STR("silu"), act = usual;
    TRY(json_opt_str(o, gemma ? "hidden_activation" : "hidden_act", &act, e));
    if (!str_eq(act, usual))
        return err_set(e, ERR_UNSUPPORTED, "activation \"%.*s\" is not supported for %s", STR_ARG(act), c->arch->name);
    return ERR_OK;
}

static err_code softcap(const json_t *o, const char *key, double usual, double *out, err *e) {
    *out = json_object_get(o, key) ? 0 : usual; /* null means none */
    return json_opt_num(o, key, out, e);
}

static err_code scales(const json_t *o, model_config *c, err *e) {
    const arch *a = c->arch;
    double scalar = a->otherwise.query_scalar > 0 ? a->otherwise.query_scalar : (double)c->K, divisor = 1;
    if (a->otherwise.query_scalar > 0)
        TRY(json_opt_num(o, "query_pre_attn_scalar", &scalar, e));
    c->attn_scale = 1 / kern_sqrt64(scalar);
    c->embed_scale = a->embed_sqrt ? kern_sqrt64((double)c->D) : 1;
    c->residual_scale = c->logit_scale = 1;
    if (a->multipliers) {
        c->attn_scale = 1;
        TRY(json_opt_num(o, "embedding_multiplier", &c->embed_scale, e));
        TRY(json_opt_num(o, "residual_multiplier", &c->residual_scale, e));
        TRY(json_opt_num(o, "attention_multiplier", &c->attn_scale, e));
        TRY(json_opt_num(o, "logits_scaling", &divisor, e));
        c->logit_scale = 1 / divisor;
    }
    if (a->otherwise.attn_softcap > 0) /* only such families look at the key */
        TRY(softcap(o, "attn_logit_softcapping", a->otherwise.attn_softcap, &c->attn_softcap, e));
    if (a->softcaps)
        TRY(softcap(o, "final_logit_softcapping", a->otherwise.logit_softcap, &c->logit_softcap, e));
    return ERR_OK;
}

err_code config_from_json(model_config *c, const json_t *root, arena *mem, str *prefix, err *e) {
    *c = (model_config){0};
    *prefix = STR("");
    str type;
    TRY(json_want_str(root, "model_type", &type, e));
    const json_t *o = root;
    if (str_is(type, "gemma3") && json_is_object(json_object_get(root, "text_config"))) {
        /* A model that also sees pictures: its language model stands in a folder of its own. */
        o = json_object_get(root, "text_config");
        type = STR("gemma3_text");
        *prefix = STR("language_model.");
    }
    c->arch = arch_by_name(type);
    if (!c->arch)
        return err_set(e, ERR_UNSUPPORTED, "model_type \"%.*s\" is not supported (supported: %s)", STR_ARG(type),
                       arch_names());
    const arch *a = c->arch;
    bool bidirectional = false, biases = false;
    if (given(o, "quantization_config"))
        return err_set(e, ERR_UNSUPPORTED,
                       "quantization_config: quantised safetensors are not supported (use a GGUF file)");
    TRY(json_opt_bool(o, "use_bidirectional_attention", &bidirectional, e));
    if (bidirectional)
        return err_set(e, ERR_UNSUPPORTED, "use_bidirectional_attention is not supported");
    uint64_t u;
    TRY(json_want_u64(o, "hidden_size", CONFIG_WIDTH_MAX, &u, e));
    c->D = (size_t)u;
    TRY(json_want_u64(o, "num_hidden_layers", CONFIG_LAYERS_MAX, &u, e));
    c->L = (size_t)u;
    TRY(json_want_u64(o, "intermediate_size", CONFIG_WIDTH_MAX, &u, e));
    c->F = (size_t)u;
    TRY(json_want_u64(o, "num_attention_heads", CONFIG_HEADS_MAX, &u, e));
    c->H = (size_t)u;
    if (c->H < 1)
        return err_set(e, ERR_FORMAT, "num_attention_heads is 0");
    bool heads_null = json_object_get(o, "num_key_value_heads") && !given(o, "num_key_value_heads");
    TRY(size_of(o, "num_key_value_heads", a->otherwise.kv_heads && !heads_null ? (size_t)a->otherwise.kv_heads : c->H,
                &c->G, e));
    TRY(size_of(o, "head_dim", a->otherwise.head_width ? (size_t)a->otherwise.head_width : c->D / c->H, &c->K, e));
    TRY(size_of(o, "vocab_size", 0, &c->V, e));
    TRY(size_of(o, "max_position_embeddings", 2048, &c->ctx_train, e));
    c->norm_eps = a->otherwise.eps;
    TRY(json_opt_num(o, "rms_norm_eps", &c->norm_eps, e));
    double partial = 1;
    TRY(json_opt_num(o, "partial_rotary_factor", &partial, e));
    TRY(json_opt_num(json_object_get(o, "rope_parameters"), "partial_rotary_factor", &partial, e));
    if (!(partial > 0 && partial <= 1))
        return err_set(e, ERR_FORMAT, "partial_rotary_factor is %g, must be above 0 and at most 1", partial);
    if (partial != 1 && !a->partial_rope) /* transformers rotates whole heads all the same, or fails */
        return err_set(e, ERR_UNSUPPORTED, "partial_rotary_factor %g is not supported for %s", partial, a->name);
    c->rope_width = (size_t)((double)c->K * partial);
    c->tied = a->otherwise.tied;
    TRY(json_opt_bool(o, "tie_word_embeddings", &c->tied, e));
    TRY(json_opt_bool(o, "attention_bias", &biases, e));
    c->bias_required = a->qkv_bias || biases;
    TRY(activation(o, c, e));
    TRY(windows(o, c, mem, e));
    TRY(ropes(o, c, mem, e));

    TRY(scales(o, c, e));
    return config_check(c, e);
}
