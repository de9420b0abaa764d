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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/safetensors_write.h"
#include "kern/math64.h"
#include "model/adapter_source.h"
#include "text/json_write.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

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

static err_code read_config(adapter_source *s, const char *path, json_t **out, err *e) {
    strbuf text = {0};
    json_t *c = NULL;
    uint64_t r = 0;
    err_code code = os_read_regular(path, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, &c, e);
        if (code == ERR_OK)
            code = check_settings(c, e);
        if (code == ERR_OK)
            code = json_want_u64(c, "r", ADAPTER_RANK_MAX, &r, e);
        s->shape.alpha = json_get_num(c, "lora_alpha", 8);
        if (code == ERR_OK && !(s->shape.alpha >= -1e6 && s->shape.alpha <= 1e6))
            code = err_set(e, ERR_FORMAT, "lora_alpha is out of range");
        if (code)
            code = err_in(e, code, "%s", path);
    }
    s->shape.rslora = json_get_bool(c, "use_rslora", false);
    s->shape.dora = json_get_bool(c, "use_dora", false);
    s->shape.dropout = json_get_num(c, "lora_dropout", 0);
    strbuf_fini(&text);
    *out = c;
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
    str root = STR("base_model.model."), rest = str_sub(name, root.n, name.n);
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

/* The value for a module in a pattern: the first key that is its name or a whole end of it. Keys are regular
 * expressions to peft; names alone, with or without backslashes before the dots, are understood here. */
static err_code pattern_value(const json_t *pattern, const char *which, const char *module, double *value, err *e) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)pattern, key, v) {
        if (strpbrk(key, "^$*+?()[]{}|\\"))
            return err_set(e, ERR_UNSUPPORTED, "%s: \"%.100s\" is a regular expression; only names are supported",
                           which, key);
        size_t n = strlen(module), k = strlen(key);
        if (!json_is_number(v))
            return err_set(e, ERR_FORMAT, "%s: \"%.100s\" is no number", which, key);
        if (k <= n && strcmp(module + n - k, key) == 0 && (k == n || module[n - k - 1] == '.')) {
            *value = json_number_value(v);
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static err_code scale_of(void *ctx, const adapter_source *s, size_t i_layer, int i_matrix, size_t rank, float *scale,
                         err *e) {
    const json_t *c = ctx;
    double alpha = s->shape.alpha, r = json_get_num(c, "r", 8);
    char module[ADAPTER_NAME_MAX];
    snprintf(module, sizeof module, "model.layers.%zu.%s", i_layer, file_matrices[i_matrix].peft);
    TRY(pattern_value(json_object_get(c, "rank_pattern"), "rank_pattern", module, &r, e));
    TRY(pattern_value(json_object_get(c, "alpha_pattern"), "alpha_pattern", module, &alpha, e));
    if (r != (double)rank)
        return err_set(e, ERR_FORMAT, "%s: %s has rank %zu, adapter_config.json says %g", s->path, module, rank, r);
    if (!(alpha >= -1e6 && alpha <= 1e6))
        return err_set(e, ERR_FORMAT, "%s: alpha_pattern: %s: out of range", s->path, module);
    *scale = adapter_scale(alpha, rank, s->shape.rslora);
    return ERR_OK;
}

static err_code read_tensors(adapter_source *s, const safetensors *file, json_t *config, adapter **out, err *e) {
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
    return adapter_source_make(s, scale_of, config, out, e);
}

err_code adapter_open_peft(adapter_source *s, adapter **out, err *e) {
    char config_path[OS_PATH_BYTES], weights_path[OS_PATH_BYTES];
    json_t *config = NULL;
    safetensors file;
    TRY(os_join(config_path, s->path, "adapter_config.json", e));
    TRY(os_join(weights_path, s->path, "adapter_model.safetensors", e));
    err_code code = read_config(s, config_path, &config, e);
    if (code == ERR_OK)
        code = safetensors_open(&file, weights_path, e);
    if (code == ERR_OK) {
        code = read_tensors(s, &file, config, out, e);
        safetensors_close(&file);
    }
    json_decref(config);
    return code;
}

/* ---- writing ---- */

typedef struct {
    const adapter *a;
    safetensors_writer *w;
    float *row; /* f32[widest] */
    json_t *ranks, *alphas;
    unsigned matrices; /* bits 1 << i_matrix: changed somewhere */
    bool even;         /* every layer with targets has all of these */
} writer;

typedef err_code visit_fn(writer *w, size_t i_layer, int i_matrix, const file_stack *s, err *e);

static err_code each(writer *w, visit_fn *visit, err *e) {
    const model_config *c = &w->a->m->config;
    for (size_t i = 0; i < c->L; i++)
        for (int k = 0; k < FILE_MATRICES; k++) {
            file_stack s;
            bool there = false;
            if (file_has_matrix(c->arch, k))
                TRY(file_stack_of(w->a, i, k, &s, &there, e));
            if (there)
                TRY(visit(w, i, k, &s, e));
        }
    return ERR_OK;
}

static err_code put_number(json_t *to, const char *key, double v, err *e) {
    json_t *number = v == (double)(int64_t)v ? json_integer((int64_t)v) : json_real(v);
    if (!number || json_object_set_new(to, key, number) != 0)
        return err_set(e, ERR_MEMORY, "no memory for adapter_config.json");
    return ERR_OK;
}

/* What adapter_config.json must say of a target beside r and lora_alpha. */
static err_code note_target(writer *w, size_t i_layer, int i_matrix, const file_stack *s, err *e) {
    const adapter_shape *shape = &w->a->shape;
    char module[ADAPTER_NAME_MAX];
    snprintf(module, sizeof module, "model.layers.%zu.%s", i_layer, file_matrices[i_matrix].peft);
    w->matrices |= 1u << i_matrix;
    if (s->rank != shape->rank)
        TRY(put_number(w->ranks, module, (double)s->rank, e));
    if (s->scale != adapter_scale(shape->alpha, s->rank, shape->rslora)) {
        double unit = shape->rslora ? kern_sqrt64((double)s->rank) : (double)s->rank;
        TRY(put_number(w->alphas, module, (double)s->scale * unit, e));
    }
    return ERR_OK;
}

static err_code check_even(writer *w, size_t i_layer, bool *any, err *e) {
    unsigned here = 0;
    for (int k = 0; k < FILE_MATRICES; k++) {
        file_stack s;
        bool there = false;
        if (file_has_matrix(w->a->m->config.arch, k))
            TRY(file_stack_of(w->a, i_layer, k, &s, &there, e));
        here |= there ? 1u << k : 0;
    }
    *any = here != 0;
    w->even = w->even && (here == 0 || here == w->matrices);
    return ERR_OK;
}

static bool add_text(json_t *list, const char *text) { return json_array_append_new(list, json_string(text)) == 0; }

/* target_modules: the ends of names where every layer has the same; else whole names. */
static err_code add_module(writer *w, size_t i_layer, int i_matrix, json_t *list, err *e) {
    char module[ADAPTER_NAME_MAX];
    snprintf(module, sizeof module, "model.layers.%zu.%s", i_layer, file_matrices[i_matrix].peft);
    const char *name = w->even ? strrchr(module, '.') + 1 : module;
    bool known = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        known = known || str_is(json_str_of(json_array_get(list, i)), name);
    return known || add_text(list, name) ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for adapter_config.json");
}

static err_code list_targets(writer *w, json_t *modules, json_t *layers, err *e) {
    const model_config *c = &w->a->m->config;
    size_t n = 0;
    w->even = true;
    for (size_t i = 0; i < c->L; i++) {
        bool any;
        TRY(check_even(w, i, &any, e));
        n += any;
        if (any && json_array_append_new(layers, json_integer((json_int_t)i)) != 0)
            return err_set(e, ERR_MEMORY, "no memory for adapter_config.json");
    }
    for (size_t i = 0; i < c->L; i++)
        for (int k = 0; k < FILE_MATRICES; k++) {
            file_stack s;
            bool there = false;
            if (file_has_matrix(c->arch, k))
                TRY(file_stack_of(w->a, i, k, &s, &there, e));
            if (there)
                TRY(add_module(w, i, k, modules, e));
        }
    if (n == c->L || !w->even)
        json_array_clear(layers);
    return ERR_OK;
}

static err_code config_text(writer *w, const char *base, strbuf *out, err *e) {
    const adapter_shape *s = &w->a->shape;
    json_t *modules = json_array(), *layers = json_array();
    w->ranks = json_object();
    w->alphas = json_object();
    err_code code = modules && layers && w->ranks && w->alphas
                        ? ERR_OK
                        : err_set(e, ERR_MEMORY, "no memory for adapter_config.json");
    if (code == ERR_OK)
        code = each(w, note_target, e);
    if (code == ERR_OK)
        code = list_targets(w, modules, layers, e);
    json_t *root = NULL;
    if (code == ERR_OK) {
        root = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:f, s:f, s:o, s:o, s:o, s:o}",
                         "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "bias", "none",
                         "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "use_dora", s->dora,
                         "use_rslora", s->rslora, "r", (json_int_t)s->rank, "lora_alpha", s->alpha, "lora_dropout",
                         s->dropout, "rank_pattern", json_incref(w->ranks), "alpha_pattern", json_incref(w->alphas),
                         "target_modules", json_incref(modules), "layers_to_transform",
                         json_array_size(layers) ? json_incref(layers) : json_null());
        code = root ? json_write(root, 2, out, e) : err_set(e, ERR_MEMORY, "no memory for adapter_config.json");
    }
    if (code == ERR_OK)
        code = strbuf_add(out, STR("\n"), e);
    json_decref(root);
    json_decref(modules);
    json_decref(layers);
    json_decref(w->ranks);
    json_decref(w->alphas);
    return code;
}

static err_code declare(writer *w, size_t i_layer, int i_matrix, const file_stack *s, err *e) {
    static const char *const what[LORA_TENSORS] = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"};
    const tensor_spec shapes[LORA_TENSORS] = {
        {.type = DTYPE_F32, .n_dims = 2, .dims = {s->rank, s->cols, 1, 1}},
        {.type = DTYPE_F32, .n_dims = 2, .dims = {s->n_rows, s->rank, 1, 1}},
        {.type = DTYPE_F32, .n_dims = 1, .dims = {s->n_rows, 1, 1, 1}},
    };
    for (int i = LORA_A; i < LORA_TENSORS - !s->dora; i++) {
        char name[ADAPTER_NAME_MAX];
        tensor_spec t = shapes[i];
        snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.%s", i_layer, file_matrices[i_matrix].peft,
                 what[i]);
        t.name = str_from(name);
        TRY(safetensors_write_tensor(w->w, &t, e));
    }
    return ERR_OK;
}

static err_code put(writer *w, size_t i_layer, int i_matrix, const file_stack *s, err *e) {
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
        code = each(w, declare, e);
    if (code == ERR_OK)
        code = each(w, put, e);
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
