/* adapter_peft: folders as peft writes them.
 *
 *   adapter_config.json        r, lora_alpha, use_rslora, use_dora, rank_pattern, alpha_pattern
 *   adapter_model.safetensors  base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight [rank][cols],
 *                              .lora_B.weight [rows][rank], .lora_magnitude_vector [rows]
 *
 * Which matrices are changed is what the tensors say; a setting that would change numbers in a way that is not
 * supported is refused by name, whatever its value says beyond null, false, empty or none.
 * Source: peft 0.21, tuners/lora (as facts).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/safetensors_write.h"
#include "kern/math64.h"
#include "model/adapter_source.h"
#include "text/json_write.h"

#define ROOT "base_model.model." /* a tensor's name: this, its module's, and which it is */

enum { CONFIG_BYTES_MAX = 1 << 20 };
static const double ALPHA_MAX = 1e6;

typedef struct {
    char text[ADAPTER_NAME_MAX];
} module_name;

static module_name name_module(size_t i_layer, int i_matrix) {
    module_name name;
    snprintf(name.text, sizeof name.text, "model.layers.%zu.%s", i_layer, file_matrices[i_matrix].peft);
    return name;
}

/* ---- patterns' keys ---- */

/* To peft a key is a regular expression: a module has it where re.match("(.*\.)?(KEY)$", name) does. Understood here
 * are those in which every character stands for one: a dot for any, "\." for a dot; ^ at the beginning wants the whole
 * name, $ at the end says nothing new. */
static bool is_plain_key(const char *key) {
    for (const char *at = key + (*key == '^'); *at; at++)
        if (*at == '\\' ? *++at != '.' : strchr("^*+?()[]{}|", *at) || (*at == '$' && at[1]))
            return false;
    return true;
}

static size_t key_chars(const char *key) {
    size_t n = 0;
    for (; *key && *key != '$'; key += *key == '\\' ? 2 : 1)
        n++;
    return n;
}

static bool key_fits(const char *key, str name) {
    bool whole = *key == '^';
    key += whole;
    size_t n = key_chars(key), at = name.n - n;
    if (n > name.n || (at > 0 && (whole || name.p[at - 1] != '.')))
        return false;
    for (; at < name.n; at++, key++) {
        bool any = *key == '.';
        key += *key == '\\';
        if (!any && *key != name.p[at])
            return false;
    }
    return true;
}

/* ---- settings ---- */

/* Settings that must be off. */
static const char *const refused[] = {
    "fan_in_fan_out", "modules_to_save", "layer_replication",       "alora_invocation_tokens", "lora_bias",
    "use_qalora",     "use_bdlora",      "trainable_token_indices", "target_parameters",       "monteclora_config",
    "arrow_config",   "kasa_config",     "velora_config",           "megatron_config",
};

static bool is_off(const json_t *v) {
    return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) || str_is(json_str_of(v), "none");
}

/* Ways to begin whose A and B are the whole change; others take a part out of the base model's weights. */
static bool plain_beginning(const json_t *v) {
    static const char *const names[] = {"gaussian", "orthogonal", "eva"};
    if (!v || json_is_null(v) || json_is_boolean(v))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_is_string(v) && str_is(json_str_of(v), names[i]))
            return true;
    return false;
}

static err_code check_settings(const json_t *c, err *e) {
    str type;
    TRY(json_want_str(c, "peft_type", &type, e));
    if (!str_is(type, "LORA"))
        return err_set(e, ERR_UNSUPPORTED, "peft_type is %.*s, only LORA is supported", STR_ARG(type));
    if (!is_off(json_object_get(c, "bias")))
        return err_set(e, ERR_UNSUPPORTED, "bias: adapters that change biases are not supported");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_off(json_object_get(c, refused[i])))
            return err_set(e, ERR_UNSUPPORTED, "%s is set, which is not supported", refused[i]);
    if (!plain_beginning(json_object_get(c, "init_lora_weights")))
        return err_set(e, ERR_UNSUPPORTED,
                       "init_lora_weights: this kind changes the base model, too (peft's save_pretrained(..., "
                       "path_initial_model_for_weight_conversion) makes a plain adapter of it)");
    return ERR_OK;
}

/* What adapter_config.json says of ranks and scales, beside the shape. */
typedef struct {
    json_t *root;
    const json_t *ranks, *alphas; /* patterns, in root; NULL: none */
    double r;
} settings;

static err_code check_pattern(const json_t *root, const char *which, double least, double most, const json_t **out,
                              err *e) {
    const char *key;
    json_t *v, *pattern = json_object_get(root, which);
    *out = NULL;
    if (!pattern || json_is_null(pattern))
        return ERR_OK;
    if (!json_is_object(pattern))
        return err_set(e, ERR_FORMAT, "%s is no object of names and numbers", which);
    json_object_foreach(pattern, key, v) {
        if (!is_plain_key(key))
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: \"%.100s\" is a regular expression that is not supported (only names are, with or "
                           "without ^, $ and \\.)",
                           which, key);
        double x = json_number_value(v);
        if (!json_is_number(v))
            return err_set(e, ERR_FORMAT, "%s: \"%.100s\" is no number", which, key);
        if (!(x >= least && x <= most))
            return err_set(e, ERR_FORMAT, "%s: \"%.100s\" is out of range", which, key);
    }
    *out = pattern;
    return ERR_OK;
}

static err_code take_settings(adapter_source *s, settings *c, err *e) {
    uint64_t r = 0;
    s->shape.alpha = 8;
    TRY(check_settings(c->root, e));
    TRY(json_want_u64(c->root, "r", ADAPTER_RANK_MAX, &r, e));
    TRY(json_opt_num(c->root, "lora_alpha", &s->shape.alpha, e));
    TRY(json_opt_bool(c->root, "use_rslora", &s->shape.rslora, e));
    TRY(json_opt_bool(c->root, "use_dora", &s->shape.dora, e));
    TRY(json_opt_num(c->root, "lora_dropout", &s->shape.dropout, e));
    if (!(fabs(s->shape.alpha) <= ALPHA_MAX))
        return err_set(e, ERR_FORMAT, "lora_alpha is out of range");
    if (!(s->shape.dropout >= 0 && s->shape.dropout <= 1))
        return err_set(e, ERR_FORMAT, "lora_dropout is out of range");
    c->r = (double)r;
    TRY(check_pattern(c->root, "rank_pattern", 1, ADAPTER_RANK_MAX, &c->ranks, e));
    return check_pattern(c->root, "alpha_pattern", -ALPHA_MAX, ALPHA_MAX, &c->alphas, e);
}

static err_code read_config(adapter_source *s, const char *path, settings *c, err *e) {
    strbuf text = {0};
    err_code code = os_read_regular(path, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, &c->root, e);
        if (code == ERR_OK)
            code = take_settings(s, c, e);
        if (code)
            code = err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    return code;
}

/* ---- names ---- */

static bool parse_name(str name, uint64_t *i_layer, int *i_matrix, lora_tensor *what) {
    static const char *const before[] = {"model.layers.", "language_model.model.layers.",
                                         "model.language_model.layers.", "layers."};
    static const struct {
        const char *end;
        lora_tensor what;
    } ends[] = {{".lora_A.weight", LORA_A},
                {".lora_B.weight", LORA_B},
                {".lora_magnitude_vector", LORA_MAGNITUDE},
                {".lora_magnitude_vector.weight", LORA_MAGNITUDE}};
    str root = STR(ROOT), rest = str_sub(name, root.n, name.n);
    bool layered = false, ended = false;
    for (size_t i = 0; i < sizeof before / sizeof *before && !layered; i++)
        if (str_starts(rest, str_from(before[i]))) {
            rest = str_sub(rest, strlen(before[i]), rest.n);
            layered = true;
        }
    if (!str_starts(name, root) || !layered || !adapter_source_layer(&rest, i_layer))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !ended; i++)
        if (str_ends(rest, str_from(ends[i].end))) {
            rest = str_sub(rest, 0, rest.n - strlen(ends[i].end));
            *what = ends[i].what;
            ended = true;
        }
    for (*i_matrix = 0; ended && *i_matrix < FILE_MATRICES; ++*i_matrix)
        if (str_is(rest, file_matrices[*i_matrix].peft))
            return true;
    return false;
}

/* ---- ranks and scales ---- */

/* The value for a module: that of the first key that fits its name, *x where none does. */
static void take_from_pattern(const json_t *pattern, str module, double *x) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)pattern, key, v) if (key_fits(key, module)) {
        *x = json_number_value(v);
        return;
    }
}

static err_code scale_of(void *ctx, const adapter_source *s, size_t i_layer, int i_matrix, size_t rank, float *scale,
                         err *e) {
    const settings *c = ctx;
    str tensor = s->target[i_layer * FILE_MATRICES + (size_t)i_matrix].t[LORA_A]->name;
    str module = str_sub(tensor, strlen(ROOT), tensor.n - strlen(".lora_A.weight"));
    double alpha = s->shape.alpha, r = c->r;
    take_from_pattern(c->ranks, module, &r);
    take_from_pattern(c->alphas, module, &alpha);
    if (r != (double)rank)
        return err_set(e, ERR_FORMAT, "%s: %.*s has rank %zu, adapter_config.json says %g", s->path, STR_ARG(module),
                       rank, r);
    *scale = adapter_scale(alpha, rank, s->shape.rslora);
    return ERR_OK;
}

static err_code read_tensors(adapter_source *s, const safetensors *file, settings *c, adapter **out, err *e) {
    for (size_t i = 0; i < file->n_tensors; i++) {
        const tensor_ref *t = &file->tensor[i];
        uint64_t i_layer;
        int i_matrix;
        lora_tensor what;
        if (!parse_name(t->name, &i_layer, &i_matrix, &what))
            return err_set(e, ERR_UNSUPPORTED, "%s: tensor %.*s changes what Loam cannot change by an adapter", s->path,
                           STR_ARG(t->name));
        if (what == LORA_MAGNITUDE && !s->shape.dora)
            return err_set(e, ERR_FORMAT, "%s: tensor %.*s: use_dora is not set", s->path, STR_ARG(t->name));
        TRY(adapter_source_add(s, i_layer, i_matrix, what, t, e));
    }
    return adapter_source_make(s, scale_of, c, out, e);
}

err_code adapter_open_peft(adapter_source *s, adapter **out, err *e) {
    char config_path[OS_PATH_BYTES], weights_path[OS_PATH_BYTES];
    settings config = {0};
    safetensors file;
    TRY(os_join(config_path, s->path, "adapter_config.json", e));
    TRY(os_join(weights_path, s->path, "adapter_model.safetensors", e));
    err_code code = read_config(s, config_path, &config, e);
    if (code == ERR_OK)
        code = safetensors_open(&file, weights_path, e);
    if (code == ERR_OK) {
        code = read_tensors(s, &file, &config, out, e);
        safetensors_close(&file);
    }
    json_decref(config.root);
    return code;
}

/* ---- writing ---- */

typedef struct {
    const adapter *a;
    safetensors_writer *w;
    float *row; /* f32[widest] */
    json_t *ranks, *alphas;
    unsigned *changed; /* [L] bits 1 << i_matrix */
    json_t *modules;   /* target_modules */
    bool even;         /* every layer with targets has the same ones */
} writer;

static err_code no_memory(err *e) { return err_set(e, ERR_MEMORY, "no memory for adapter_config.json"); }

static err_code put_number(json_t *to, const char *key, double v, err *e) {
    json_t *number = v == (double)(int64_t)v ? json_integer((int64_t)v) : json_real(v);
    return number && json_object_set_new(to, key, number) == 0 ? ERR_OK : no_memory(e);
}

/* What adapter_config.json must say of a target beside r and lora_alpha. */
static err_code note_target(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    writer *w = ctx;
    const adapter_shape *shape = &w->a->shape;
    module_name name = name_module(i_layer, i_matrix);
    w->changed[i_layer] |= 1u << i_matrix;
    if (s->rank != shape->rank)
        TRY(put_number(w->ranks, name.text, (double)s->rank, e));
    if (s->scale != adapter_scale(shape->alpha, s->rank, shape->rslora)) {
        double unit = shape->rslora ? kern_sqrt64((double)s->rank) : (double)s->rank;
        TRY(put_number(w->alphas, name.text, (double)s->scale * unit, e));
    }
    return ERR_OK;
}

/* target_modules: the ends of names where every layer has the same; else whole names. */
static err_code add_module(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    writer *w = ctx;
    module_name name = name_module(i_layer, i_matrix);
    const char *text = w->even ? strrchr(name.text, '.') + 1 : name.text;
    (void)s;
    for (size_t i = 0; i < json_array_size(w->modules); i++)
        if (str_is(json_str_of(json_array_get(w->modules, i)), text))
            return ERR_OK;
    return json_array_append_new(w->modules, json_string(text)) == 0 ? ERR_OK : no_memory(e);
}

/* target_modules, and layers_to_transform: none where that is all of them, or the modules' names say it. */
static err_code list_targets(writer *w, json_t *layers, err *e) {
    size_t L = w->a->m->config.L;
    unsigned some = 0;
    for (size_t i = 0; i < L; i++)
        some |= w->changed[i];
    w->even = true;
    for (size_t i = 0; i < L; i++) {
        w->even = w->even && (w->changed[i] == 0 || w->changed[i] == some);
        if (w->changed[i] && json_array_append_new(layers, json_integer((json_int_t)i)) != 0)
            return no_memory(e);
    }
    TRY(file_stacks_each(w->a, add_module, w, e));
    if (json_array_size(layers) == L || !w->even)
        json_array_clear(layers);
    return ERR_OK;
}

static err_code config_text(writer *w, const char *base, strbuf *out, err *e) {
    const adapter_shape *s = &w->a->shape;
    json_t *layers = json_array(), *root = NULL;
    w->modules = json_array();
    w->ranks = json_object();
    w->alphas = json_object();
    w->changed = calloc(w->a->m->config.L, sizeof *w->changed);
    err_code code = layers && w->modules && w->ranks && w->alphas && w->changed ? ERR_OK : no_memory(e);
    if (code == ERR_OK)
        code = file_stacks_each(w->a, note_target, w, e);
    if (code == ERR_OK)
        code = list_targets(w, layers, e);
    if (code == ERR_OK) {
        root = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:f, s:f, s:O, s:O, s:O, s:o}",
                         "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "bias", "none",
                         "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "use_dora", s->dora,
                         "use_rslora", s->rslora, "r", (json_int_t)s->rank, "lora_alpha", s->alpha, "lora_dropout",
                         s->dropout, "rank_pattern", w->ranks, "alpha_pattern", w->alphas, "target_modules", w->modules,
                         "layers_to_transform", json_array_size(layers) ? json_incref(layers) : json_null());
        code = root ? json_write(root, 2, out, e) : no_memory(e);
    }
    if (code == ERR_OK)
        code = strbuf_add(out, STR("\n"), e);
    json_decref(root);
    json_decref(layers);
    json_decref(w->modules);
    json_decref(w->ranks);
    json_decref(w->alphas);
    free(w->changed);
    return code;
}

static err_code declare(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    const writer *w = ctx;
    static const char *const what[LORA_TENSORS] = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"};
    const tensor_spec shapes[LORA_TENSORS] = {
        {.type = DTYPE_F32, .n_dims = 2, .dims = {s->rank, s->cols, 1, 1}},
        {.type = DTYPE_F32, .n_dims = 2, .dims = {s->n_rows, s->rank, 1, 1}},
        {.type = DTYPE_F32, .n_dims = 1, .dims = {s->n_rows, 1, 1, 1}},
    };
    for (int i = LORA_A; i < LORA_TENSORS - !s->dora; i++) {
        char name[2 * ADAPTER_NAME_MAX];
        tensor_spec t = shapes[i];
        snprintf(name, sizeof name, ROOT "%s.%s", name_module(i_layer, i_matrix).text, what[i]);
        t.name = str_from(name);
        TRY(safetensors_write_tensor(w->w, &t, e));
    }
    return ERR_OK;
}

static err_code put(void *ctx, size_t i_layer, int i_matrix, file_stack *s, err *e) {
    const writer *w = ctx;
    (void)i_layer, (void)i_matrix;
    for (size_t r = 0; r < s->rank; r++) {
        file_stack_row(s, LORA_A, r, w->row);
        TRY(safetensors_write_data(w->w, w->row, s->cols * sizeof(float), e));
    }
    for (size_t r = 0; r < s->n_rows; r++) {
        file_stack_row(s, LORA_B, r, w->row);
        TRY(safetensors_write_data(w->w, w->row, s->rank * sizeof(float), e));
    }
    for (size_t r = 0; s->dora && r < s->n_rows; r++) {
        float magnitude = file_stack_magnitude(s, r);
        TRY(safetensors_write_data(w->w, &magnitude, sizeof magnitude, e));
    }
    return ERR_OK;
}

static err_code write_tensors(writer *w, const char *path, err *e) {
    TRY(safetensors_write_open(&w->w, path, e));
    err_code code = safetensors_write_meta(w->w, "format", STR("pt"), e);
    if (code == ERR_OK)
        code = file_stacks_each(w->a, declare, w, e);
    if (code == ERR_OK)
        code = file_stacks_each(w->a, put, w, e);
    if (code == ERR_OK)
        return safetensors_write_commit(w->w, e);
    safetensors_write_abort(w->w);
    return code;
}

err_code adapter_save_peft(const adapter *a, const char *folder, const char *base, err *e) {
    char config_path[OS_PATH_BYTES], weights_path[OS_PATH_BYTES];
    writer w = {.a = a};
    strbuf config = {0};
    TRY(os_join(config_path, folder, "adapter_config.json", e));
    TRY(os_join(weights_path, folder, "adapter_model.safetensors", e));
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return os_refused(folder, "made", e);
    w.row = adapter_row(a, e);
    err_code code = w.row ? config_text(&w, base, &config, e) : ERR_MEMORY;
    if (code == ERR_OK)
        code = os_write_file(config_path, strbuf_str(&config), e);
    if (code == ERR_OK)
        code = write_tensors(&w, weights_path, e);
    strbuf_fini(&config);
    free(w.row);
    return code;
}
