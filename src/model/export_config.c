/* export_config: config.json of a model; see export.h.
 *
 * A folder's own config.json is kept. From elsewhere it is made in the keys of transformers 4, which later versions
 * read too, then read back by config_json.c and compared: what would come out otherwise is refused by name.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern/math64.h"
#include "model/config_int.h"
#include "model/export.h"
#include "model/rope.h"
#include "text/json_write.h"

enum { CONFIG_BYTES_MAX = 16 << 20, LLAMA3_CTX = 8192 /* of all models that Meta has published so */ };

typedef struct {
    const model *m;
    const model_config *c;
    const export_options *o;
    json_t *root;
    bool short_of_memory;
} maker;

static void put(maker *k, json_t *to, const char *key, json_t *v) {
    if (!v || json_object_set_new(to, key, v) != 0)
        k->short_of_memory = true;
}
static void put_int(maker *k, const char *key, size_t v) { put(k, k->root, key, json_integer((json_int_t)v)); }
static void put_num(maker *k, const char *key, double v) { put(k, k->root, key, json_real(v)); }
static void put_str(maker *k, const char *key, const char *v) { put(k, k->root, key, json_string(v)); }
static void put_bool(maker *k, const char *key, bool v) { put(k, k->root, key, json_boolean(v)); }
static void put_null(maker *k, const char *key) { put(k, k->root, key, json_null()); }

static json_t *floats(maker *k, const float *f, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_real((double)f[i])) != 0)
            k->short_of_memory = true;
    return list;
}

static const char *type_name(dtype t) { return t == DTYPE_F16 ? "float16" : t == DTYPE_BF16 ? "bfloat16" : "float32"; }

/* ---- rotary embedding ---- */

/* Whether Meta's rule with these numbers gives the divisors that a GGUF file keeps. */
static bool is_llama3(const model_config *c, double factor, rope_config *as) {
    *as = (rope_config){.theta = c->rope.theta,
                        .scaling = ROPE_LLAMA3,
                        .factor = factor,
                        .low_freq_factor = 1,
                        .high_freq_factor = 4,
                        .attn_factor = 1};
    float have[CONFIG_HEAD_WIDTH_MAX / 2], want[CONFIG_HEAD_WIDTH_MAX / 2];
    rope_frequencies(&c->rope, c->rope_width, 0, false, have);
    rope_frequencies(as, c->rope_width, LLAMA3_CTX, false, want);
    for (size_t i = 0; i < c->rope_width / 2; i++)
        if (!config_same_frequency(have[i], want[i]))
            return false;
    return true;
}

static void put_llama3(maker *k, json_t *s, const rope_config *r, size_t original) {
    put(k, s, "rope_type", json_string("llama3"));
    put(k, s, "factor", json_real(r->factor));
    put(k, s, "low_freq_factor", json_real(r->low_freq_factor));
    put(k, s, "high_freq_factor", json_real(r->high_freq_factor));
    put(k, s, "original_max_position_embeddings", json_integer((json_int_t)original));
}

static void put_longrope(maker *k, json_t *s, const float *divide_short, const float *divide_long, size_t original) {
    const model_config *c = k->c;
    double factor = (double)c->ctx_train / (double)original, derived = 1;
    if (factor > 1 && original > 1)
        derived = kern_sqrt64(1 + kern_log64(factor) / kern_log64((double)original));
    /* transformers 4 wants Phi-3's dictionary to have just these three, and this name of the first. */
    put(k, s, c->arch->fused ? "type" : "rope_type", json_string("longrope"));
    put(k, s, "short_factor", floats(k, divide_short, c->rope_width / 2));
    put(k, s, "long_factor", floats(k, divide_long, c->rope_width / 2));
    if ((float)c->rope.attn_factor != (float)derived)
        put(k, s, "attention_factor", json_real(c->rope.attn_factor));
    put_int(k, "original_max_position_embeddings", original);
}

/* rope_scaling, or NULL when there is none; takes no part in memory errors but by k. */
static json_t *scaling_of(maker *k) {
    const model_config *c = k->c;
    const rope_config *r = &c->rope;
    rope_config as;
    json_t *s = json_object();
    if (r->scaling == ROPE_LINEAR) {
        put(k, s, "rope_type", json_string("linear"));
        put(k, s, "factor", json_real(r->factor));
    } else if (r->scaling == ROPE_LLAMA3) {
        put_llama3(k, s, r, c->original_ctx);
    } else if (r->scaling == ROPE_YARN) {
        put(k, s, "rope_type", json_string("yarn"));
        put(k, s, "factor", json_real(r->factor));
        put(k, s, "original_max_position_embeddings", json_integer((json_int_t)c->original_ctx));
        put(k, s, "beta_fast", json_real(r->beta_fast));
        put(k, s, "beta_slow", json_real(r->beta_slow));
        put(k, s, "truncate", json_boolean(r->truncate));
        put(k, s, "attention_factor", json_real(r->attn_factor));
    } else if (r->scaling == ROPE_LONGROPE) {
        put_longrope(k, s, r->divide_short, r->divide_long, c->original_ctx);
    } else if (r->divide_short && (is_llama3(c, 8, &as) || is_llama3(c, 32, &as))) {
        put_llama3(k, s, &as, LLAMA3_CTX);
    } else if (r->divide_short) { /* any divisors at all are LongRoPE's with both lists alike */
        put_longrope(k, s, r->divide_short, r->divide_short, c->ctx_train);
    } else {
        json_decref(s);
        return json_null();
    }
    return s;
}

static void ropes(maker *k) {
    const model_config *c = k->c;
    put_num(k, "rope_theta", c->rope.theta);
    json_t *scaled = scaling_of(k);
    if (c->arch->local_rope && !(c->arch->otherwise.theta_local > 0)) {
        /* Two kinds of layers, for which only transformers 5 has keys. */
        json_t *both = json_object(), *full = json_is_object(scaled) ? scaled : json_object(), *local = json_object();
        if (!json_is_object(scaled))
            put(k, full, "rope_type", json_string("default"));
        put(k, full, "rope_theta", json_real(c->rope.theta));
        put(k, local, "rope_type", json_string("default"));
        put(k, local, "rope_theta", json_real(c->rope_local.theta));
        put(k, both, "full_attention", full);
        put(k, both, "sliding_attention", local);
        put(k, k->root, "rope_parameters", both);
        return;
    }
    put(k, k->root, "rope_scaling", scaled);
    if (c->arch->otherwise.theta_local > 0)
        put_num(k, "rope_local_base_freq", c->rope_local.theta);
    if (c->rope_width == c->K)
        return;
    double part = (double)c->rope_width / (double)c->K;
    if ((size_t)((double)c->K * part) < c->rope_width) /* readers cut the product towards zero */
        part *= 1 + 0x1p-52;
    put_num(k, "partial_rotary_factor", part);
}

/* ---- layers ---- */

static void windows(maker *k) {
    const model_config *c = k->c;
    const arch *a = c->arch;
    bool any = false, chosen = a->slide == SLIDE_FROM_LAYER || a->slide == SLIDE_WHERE_NOPE;
    for (size_t i = 0; i < c->L; i++)
        any |= c->layer_slides[i] != 0;
    if (a->slide == SLIDE_NONE)
        return;
    if (chosen)
        put_bool(k, "use_sliding_window", any);
    if (any || a->slide == SLIDE_BUT_LAST)
        put_int(k, "sliding_window", c->window ? c->window : c->ctx_train);
    else
        put_null(k, "sliding_window");
    if (chosen || a->slide == SLIDE_BUT_LAST) {
        json_t *types = json_array();
        for (size_t i = 0; types && i < c->L; i++)
            if (json_array_append_new(types, json_string(c->layer_slides[i] ? "sliding_attention" : "full_attention")))
                k->short_of_memory = true;
        put(k, k->root, "layer_types", types);
    }
    if (a->nope_period) {
        json_t *used = json_array();
        for (size_t i = 0; used && i < c->L; i++)
            if (json_array_append_new(used, json_integer(!c->layer_no_rope[i])))
                k->short_of_memory = true;
        put(k, k->root, "no_rope_layers", used);
    }
}

static void scales(maker *k) {
    const model_config *c = k->c;
    const arch *a = c->arch;
    if (a->multipliers) {
        put_num(k, "embedding_multiplier", c->embed_scale);
        put_num(k, "residual_multiplier", c->residual_scale);
        put_num(k, "attention_multiplier", c->attn_scale);
        put_num(k, "logits_scaling", 1 / c->logit_scale);
    }
    if (a->otherwise.query_scalar > 0) {
        double scalar = 1 / (c->attn_scale * c->attn_scale), whole = (double)(long long)(scalar + 0.5);
        if (fabs(scalar - whole) < 1e-6 * whole) /* transformers wants a whole number */
            put_int(k, "query_pre_attn_scalar", (size_t)whole);
        else
            put_num(k, "query_pre_attn_scalar", scalar);
    }
    if (a->otherwise.attn_softcap > 0) {
        if (c->attn_softcap > 0)
            put_num(k, "attn_logit_softcapping", c->attn_softcap);
        else
            put_null(k, "attn_logit_softcapping");
    }
    if (a->softcaps) {
        if (c->logit_softcap > 0)
            put_num(k, "final_logit_softcapping", c->logit_softcap);
        else
            put_null(k, "final_logit_softcapping");
    }
}

/* ---- all ---- */

static void put_id(maker *k, const char *key, int32_t id) {
    if (id >= 0)
        put_int(k, key, (size_t)id);
    else
        put_null(k, key);
}

static void make(maker *k, dtype type, bool attn_bias, bool mlp_bias) {
    const model_config *c = k->c;
    const arch *a = c->arch;
    put(k, k->root, "architectures", json_array());
    if (json_array_append_new(json_object_get(k->root, "architectures"), json_string(a->hf)) != 0)
        k->short_of_memory = true;
    put_str(k, "model_type", a->name);
    put_int(k, "vocab_size", c->V);
    put_int(k, "hidden_size", c->D);
    put_int(k, "intermediate_size", c->F);
    put_int(k, "num_hidden_layers", c->L);
    put_int(k, "num_attention_heads", c->H);
    put_int(k, "num_key_value_heads", c->G);
    put_int(k, "head_dim", c->K);
    put_str(k, a->act == KERN_GELU_TANH ? "hidden_activation" : "hidden_act",
            a->act == KERN_GELU_TANH ? "gelu_pytorch_tanh" : "silu");
    put_int(k, "max_position_embeddings", c->ctx_train);
    put_num(k, "rms_norm_eps", c->norm_eps);
    put_bool(k, "tie_word_embeddings", c->tied);
    if (!a->qkv_bias && !a->fused)
        put_bool(k, "attention_bias", attn_bias);
    if (mlp_bias)
        put_bool(k, "mlp_bias", true);
    put_num(k, "attention_dropout", 0);
    ropes(k);
    windows(k);
    scales(k);
    put_id(k, "bos_token_id", k->o->bos);
    put_id(k, "eos_token_id", k->o->eos);
    put_null(k, "pad_token_id");
    put_bool(k, "use_cache", true);
    put_str(k, "torch_dtype", type_name(type));
}

static err_code compare(const maker *k, err *e) {
    model_config again;
    arena mem = {0};
    str prefix;
    err_code code = config_from_json(&again, k->root, &mem, &prefix, e);
    const char *what = code ? NULL : config_difference(k->c, &again);
    if (code)
        err_in(e, code, "%s: the config.json made for it", k->m->path);
    else if (what)
        code = err_set(e, ERR_UNSUPPORTED, "%s: config.json of model_type %s cannot say its %s", k->m->path,
                       k->c->arch->name, what);
    arena_fini(&mem);
    return code;
}

/* Biases of a layer, of attention and of the rest; qwen2 has those of q, k, v always and no others. */
static err_code biases(const maker *k, bool *attn, bool *mlp, err *e) {
    arena mem = {0};
    model_tensor *t;
    size_t n;
    bool other = false;
    err_code code = tensors_of(k->m, false, false, &mem, &t, &n, e);
    *attn = *mlp = false;
    for (size_t i = 0; !code && i < n; i++) {
        if (!str_ends(str_from(t[i].name), STR(".bias")))
            continue;
        bool is_mlp = strstr(t[i].name, ".mlp.") != NULL;
        *mlp |= is_mlp;
        *attn |= !is_mlp;
        other |= is_mlp || strstr(t[i].name, ".o_proj.") != NULL;
    }
    arena_fini(&mem);
    TRY(code);
    const arch *a = k->c->arch;
    bool mlp_allowed = str_is(str_from(a->hf), "LlamaForCausalLM") || str_is(str_from(a->hf), "GraniteForCausalLM");
    if ((a->qkv_bias && other) || (*mlp && !mlp_allowed))
        return err_set(e, ERR_UNSUPPORTED, "%s: config.json of model_type %s cannot say which biases it has",
                       k->m->path, a->name);
    return ERR_OK;
}

static err_code make_new(maker *k, dtype type, err *e) {
    bool attn, mlp;
    TRY(biases(k, &attn, &mlp, e));
    k->root = json_object();
    make(k, type, attn, mlp);
    if (!k->root || k->short_of_memory)
        return err_set(e, ERR_MEMORY, "%s: no memory for its config.json", k->m->path);
    return compare(k, e);
}

/* The source folder's own, with another type. Of a model that also sees pictures, its language model's. */
static err_code keep(maker *k, dtype type, err *e) {
    strbuf path = {0}, text = {0};
    err_code code = strbuf_addf(&path, e, "%s/config.json%c", k->m->path, '\0');
    if (!code)
        code = os_read_regular(path.p, CONFIG_BYTES_MAX, &text, e);
    if (!code) {
        code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, &k->root, e);
        if (code)
            err_in(e, code, "%s", path.p);
    }
    strbuf_fini(&text);
    strbuf_fini(&path);
    TRY(code);
    if (k->m->prefix.n) {
        json_t *inner = json_incref(json_object_get(k->root, "text_config"));
        json_decref(k->root);
        k->root = inner;
        put_str(k, "model_type", k->c->arch->name);
        put(k, k->root, "architectures", json_array());
        if (json_array_append_new(json_object_get(k->root, "architectures"), json_string(k->c->arch->hf)) != 0)
            k->short_of_memory = true;
    }
    if (json_object_get(k->root, "dtype"))
        put_str(k, "dtype", type_name(type));
    if (json_object_get(k->root, "torch_dtype") || !json_object_get(k->root, "dtype"))
        put_str(k, "torch_dtype", type_name(type));
    return k->short_of_memory ? err_set(e, ERR_MEMORY, "%s: no memory for its config.json", k->m->path) : ERR_OK;
}

err_code export_config(const model *m, dtype type, const export_options *o, strbuf *out, err *e) {
    maker k = {.m = m, .c = &m->config, .o = o};
    err_code code = m->tensors.map ? keep(&k, type, e) : make_new(&k, type, e);
    if (!code)
        code = json_write(k.root, 2, out, e);
    if (!code)
        code = strbuf_addc(out, '\n', e);
    json_decref(k.root);
    return code;
}
