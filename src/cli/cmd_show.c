/* loam show: what a model file says of itself, and the memory it will need.
 *
 * The metadata are read first and shown even when the model cannot be computed (an unknown architecture, a
 * tensor that is missing): then the error follows, and the exit status is that of the error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/load.h"
#include "cli/out.h"
#include "io/safetensors.h"
#include "text/utf8.h"

enum { ARRAY_SHOWN = 4, TEXT_SHOWN = 200, CONFIG_BYTES_MAX = 16 << 20 };

typedef struct {
    common_values common;
    compute_values compute;
    int64_t ctx;
    bool tensors;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .compute = COMPUTE_DEFAULTS};

static const option own_options[] = {
    {"ctx", 'c', OPT_INT, "N", "tell the memory for a context of N positions; 0: 4096, or what the model was made for",
     offsetof(values, ctx), 0, INT32_MAX / 2, NULL},
    {"tensors", 0, OPT_FLAG, NULL, "list every tensor with its type and shape", offsetof(values, tensors), 0, 0, NULL},
    {0},
};

static const option_group groups[] = {{"Show", own_options, 0}, COMPUTE_GROUP(values), COMMON_GROUP, {0}};

/* The file under the model, whatever its form. */
typedef struct {
    load_place place;
    const char *path; /* in it */
    bool folder, g_open, s_open;
    gguf_file g;
    safetensors s;
    json_t *config; /* of a folder */
    const tensor_ref *tensor;
    size_t n_tensors;
    tokenizer *t;
    err no_tokenizer;
    size_t program; /* bytes of this program and its libraries in memory, before it has opened anything */
} source;

static err_code open_folder(source *f, err *e) {
    strbuf path = {0}, text = {0};
    err_code code = strbuf_addf(&path, e, "%s/config.json%c", f->path, 0);
    if (code == ERR_OK)
        code = os_read_regular(path.p, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, &f->config, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path.p);
    }
    strbuf_fini(&path);
    strbuf_fini(&text);
    if (code == ERR_OK && !json_is_object(f->config))
        code = err_set(e, ERR_FORMAT, "%s/config.json: not an object", f->path);
    TRY(code);
    TRY(safetensors_open(&f->s, f->path, e));
    f->s_open = true;
    f->tensor = f->s.tensor;
    f->n_tensors = f->s.n_tensors;
    return ERR_OK;
}

static err_code source_open(source *f, const char *path, err *e) {
    TRY(load_find(path, &f->place, e));
    path = f->path = f->place.path;
    f->folder = os_is_dir(path);
    if (f->folder)
        TRY(open_folder(f, e));
    else {
        TRY(gguf_open(&f->g, path, e));
        f->g_open = true;
        f->tensor = f->g.tensor;
        f->n_tensors = f->g.n_tensors;
    }
    /* A file without a vocabulary can be shown all the same. */
    if (f->folder)
        tokenizer_open_folder(&f->t, path, &f->no_tokenizer);
    else
        tokenizer_open_gguf(&f->t, &f->g, &f->no_tokenizer);
    return ERR_OK;
}

static void source_close(source *f) {
    tokenizer_close(f->t);
    if (f->g_open)
        gguf_close(&f->g);
    if (f->s_open)
        safetensors_close(&f->s);
    json_decref(f->config);
}

static str meta_str(const source *f, const char *gguf_key, const char *json_name) {
    str s = {0};
    if (f->folder)
        return json_name ? json_get_str(f->config, json_name, s) : s;
    if (gguf_get_str(&f->g, gguf_key, (str){0}, &s, NULL) != ERR_OK)
        return (str){0};
    return s;
}

/* The licence as the file names it; empty when it does not. */
static str licence_of(const source *f) {
    static const char *const keys[] = {"general.license", "general.license.name", "general.license.link"};
    str s = {0};
    for (size_t i = 0; i < sizeof keys / sizeof *keys && s.n == 0; i++)
        s = meta_str(f, keys[i], i == 0 ? "license" : NULL);
    return s;
}

typedef struct {
    size_t n;
    uint64_t bytes, elements;
} type_count;

static void count_types(const source *f, type_count by_type[DTYPE_COUNT], type_count *all) {
    for (size_t i = 0; i < f->n_tensors; i++) {
        const tensor_ref *t = &f->tensor[i];
        uint64_t elements = 1;
        for (int d = 0; d < t->n_dims; d++)
            elements *= t->dims[d];
        type_count *const both[] = {&by_type[t->type], all};
        for (size_t k = 0; k < 2; k++) {
            both[k]->n++;
            both[k]->bytes += t->bytes;
            both[k]->elements += elements;
        }
    }
}

/* ---- metadata values ---- */

static void add_scalar(js_out *j, const gguf_kv *kv, gguf_type type, uint64_t i) {
    if (type == GGUF_F32)
        js_real(j, gguf_f64_at(kv, i), 9);
    else if (type == GGUF_F64)
        js_real(j, gguf_f64_at(kv, i), 17);
    else if (type == GGUF_BOOL)
        js_flag(j, gguf_i64_at(kv, i) != 0);
    else
        js_int(j, gguf_i64_at(kv, i));
}

/* A value as JSON; of a long array the first few elements, with the number of all. */
static void add_gguf_value(js_out *j, const gguf_kv *kv) {
    bool array = kv->type == GGUF_ARRAY;
    if (!array && kv->type != GGUF_STRING) {
        add_scalar(j, kv, kv->type, 0);
        return;
    }
    uint64_t shown = kv->n < ARRAY_SHOWN ? kv->n : ARRAY_SHOWN, i = 0;
    gguf_iter it = {0};
    str s;
    if (array) {
        js_begin(j, '{');
        js_key(j, "length");
        js_int(j, (int64_t)kv->n);
        js_key(j, "first");
        js_begin(j, '[');
    }
    if (kv->elem == GGUF_STRING)
        for (; i < shown && gguf_next_str(kv, &it, &s); i++)
            js_text(j, s);
    else
        for (; i < shown; i++)
            add_scalar(j, kv, kv->elem, i);
    if (array) {
        js_end(j, ']');
        js_end(j, '}');
    }
}

static void add_config_value(js_out *j, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    js_raw(j, text ? str_from(text) : STR("null"));
    free(text);
}

static void add_metadata(js_out *j, const source *f) {
    js_begin(j, '{');
    const char *key;
    json_t *value;
    if (f->folder)
        json_object_foreach(f->config, key, value) {
            js_key(j, key);
            add_config_value(j, value);
        }
    else
        for (size_t i = 0; i < f->g.n_kv; i++) {
            js_text(j, f->g.kv[i].key);
            js_colon(j);
            add_gguf_value(j, &f->g.kv[i]);
        }
    js_end(j, '}');
}

/* ---- for machines ---- */

static void add_count(js_out *j, const char *key, size_t n) { js_put_int(j, key, (int64_t)n); }

static void add_tensors(js_out *j, const source *f, bool list) {
    type_count by_type[DTYPE_COUNT] = {0}, all = {0};
    count_types(f, by_type, &all);
    js_key(j, "tensors");
    js_begin(j, '{');
    add_count(j, "count", all.n);
    add_count(j, "parameters", all.elements);
    add_count(j, "bytes", all.bytes);
    js_key(j, "types");
    js_begin(j, '{');
    for (size_t t = 0; t < DTYPE_COUNT; t++)
        if (by_type[t].n > 0)
            add_count(j, dtype_table[t].name, by_type[t].n);
    js_end(j, '}');
    if (list) {
        js_key(j, "list");
        js_begin(j, '[');
        for (size_t i = 0; i < f->n_tensors; i++) {
            js_begin(j, '{');
            js_put_text(j, "name", f->tensor[i].name);
            js_put_text(j, "type", str_from(dtype_table[f->tensor[i].type].name));
            js_key(j, "shape");
            js_begin(j, '[');
            for (int d = 0; d < f->tensor[i].n_dims; d++)
                js_int(j, (int64_t)f->tensor[i].dims[d]);
            js_end(j, ']');
            js_end(j, '}');
        }
        js_end(j, ']');
    }
    js_end(j, '}');
}

static void add_shape(js_out *j, const model_config *c) {
    js_key(j, "shape");
    js_begin(j, '{');
    add_count(j, "layers", c->L);
    add_count(j, "width", c->D);
    add_count(j, "heads", c->H);
    add_count(j, "kv_heads", c->G);
    add_count(j, "head_width", c->K);
    add_count(j, "feed_forward", c->F);
    add_count(j, "vocabulary", c->V);
    add_count(j, "context", c->ctx_train);
    add_count(j, "window", c->window);
    js_key(j, "tied_embeddings");
    js_flag(j, c->tied);
    js_end(j, '}');
}

static void add_memory(js_out *j, const source *f, const model *m, size_t ctx_tokens) {
    size_t weights = model_weight_bytes(m), kv = model_kv_bytes(m, ctx_tokens);
    size_t scratch = model_scratch_bytes(m, ctx_tokens) + session_plan_bytes(m, ctx_tokens);
    size_t tok = f->t ? tokenizer_bytes(f->t) : 0;
    js_key(j, "memory");
    js_begin(j, '{');
    add_count(j, "context", ctx_tokens);
    add_count(j, "weights_bytes", weights);
    add_count(j, "cache_bytes", kv);
    add_count(j, "scratch_bytes", scratch);
    add_count(j, "tokenizer_bytes", tok);
    add_count(j, "program_bytes", f->program);
    add_count(j, "total_bytes", weights + kv + scratch + tok + f->program);
    js_end(j, '}');
}

static err_code print_json(const values *v, const source *f, const model *m, size_t ctx_tokens, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_text(&j, "path", str_from(f->path));
    js_put_text(&j, "format", f->folder ? STR("safetensors") : STR("gguf"));
    js_put_text(&j, "name", meta_str(f, "general.name", "_name_or_path"));
    js_put_text(&j, "architecture", meta_str(f, "general.architecture", "model_type"));
    js_put_text(&j, "license", licence_of(f));
    if (m) {
        add_shape(&j, model_config_of(m));
        add_memory(&j, f, m, ctx_tokens);
    }
    if (f->t) {
        js_key(&j, "tokenizer");
        js_begin(&j, '{');
        js_put_text(&j, "kind", str_from(tokenizer_kind(f->t)));
        add_count(&j, "vocabulary", (size_t)tokenizer_n_vocab(f->t));
        js_put_int(&j, "bos", tokenizer_bos(f->t));
        js_put_int(&j, "eos", tokenizer_eos(f->t));
        js_key(&j, "chat_template");
        js_flag(&j, tokenizer_chat_template(f->t).n > 0);
        js_end(&j, '}');
    }
    add_tensors(&j, f, v->tensors);
    js_key(&j, "metadata");
    add_metadata(&j, f);
    js_end(&j, '}');
    return js_print(&j);
}

/* ---- for people ---- */

static void line(const char *name, const char *text) { out_printf("%-14s %s\n", name, text); }

static void line_str(const char *name, str s) {
    if (s.n == 0)
        return;
    out_printf("%-14s ", name);
    out_foreign(str_sub(s, 0, TEXT_SHOWN));
    out_text(STR("\n"));
}

static void print_shape(const model_config *c) {
    out_printf("%-14s %zu layers, width %zu, %zu heads of %zu (%zu for keys and values), feed-forward %zu\n", "shape",
               c->L, c->D, c->H, c->K, c->G, c->F);
    out_printf("%-14s %zu tokens%s\n", "vocabulary", c->V, c->tied ? ", output tied to the embedding" : "");
    out_printf("%-14s %zu positions", "context", c->ctx_train);
    size_t slides = 0;
    for (size_t l = 0; l < c->L; l++)
        slides += c->layer_slides && c->layer_slides[l];
    if (c->window > 0 && slides > 0)
        out_printf(", a sliding window of %zu in %zu of %zu layers", c->window, slides, c->L);
    out_printf("\n");
}

static void print_memory(const source *f, const model *m, size_t ctx_tokens) {
    size_t weights = model_weight_bytes(m), kv = model_kv_bytes(m, ctx_tokens);
    size_t scratch = model_scratch_bytes(m, ctx_tokens) + session_plan_bytes(m, ctx_tokens);
    size_t tok = f->t ? tokenizer_bytes(f->t) : 0;
    out_printf("%-14s %s for %zu positions: weights %s, cache %s, scratch %s, tokenizer %s, program %s\n", "memory",
               amount_bytes((double)(weights + kv + scratch + tok + f->program)).text, ctx_tokens,
               amount_bytes((double)weights).text, amount_bytes((double)kv).text, amount_bytes((double)scratch).text,
               amount_bytes((double)tok).text, amount_bytes((double)f->program).text);
}

static void print_types(const source *f) {
    type_count by_type[DTYPE_COUNT] = {0}, all = {0};
    count_types(f, by_type, &all);
    out_printf("%-14s %zu, %.4g million parameters, %s:", "tensors", all.n, (double)all.elements / 1e6,
               amount_bytes((double)all.bytes).text);
    const char *comma = "";
    for (size_t t = 0; t < DTYPE_COUNT; t++)
        if (by_type[t].n > 0) {
            out_printf("%s %zu %s", comma, by_type[t].n, dtype_table[t].name);
            comma = ",";
        }
    out_printf("\n");
}

static void print_tokenizer(const source *f) {
    if (!f->t) {
        line("tokenizer", f->no_tokenizer.text);
        return;
    }
    str bos = {0}, eos = {0};
    if (tokenizer_bos(f->t) >= 0)
        bos = tokenizer_piece(f->t, tokenizer_bos(f->t));
    if (tokenizer_eos(f->t) >= 0)
        eos = tokenizer_piece(f->t, tokenizer_eos(f->t));
    out_printf("%-14s %s, %d tokens", "tokenizer", tokenizer_kind(f->t), (int)tokenizer_n_vocab(f->t));
    const struct { str label, piece; } ends[] = {{STR(", BOS "), bos}, {STR(", EOS "), eos}};
    for (size_t i = 0; i < 2; i++)
        if (ends[i].piece.n > 0) {
            out_text(ends[i].label);
            out_foreign(ends[i].piece);
        }
    size_t n = tokenizer_chat_template(f->t).n;
    if (n > 0)
        out_printf("\n%-14s in the file, %zu bytes\n", "chat template", n);
    else
        out_printf("\n%-14s none: the model continues texts\n", "chat template");
}

/* A key or a tensor's name as a column. */
static void print_name(str name) {
    enum { COLUMN = 44 };
    out_text(STR("  "));
    out_foreign(str_sub(name, 0, TEXT_SHOWN));
    out_printf("%*s", name.n < COLUMN ? (int)(COLUMN - name.n) + 1 : 1, "");
}

static err_code print_metadata(const source *f, err *e) {
    js_out j = {.e = e};
    out_text(STR("\nmetadata\n"));
    size_t n = f->folder ? json_object_size(f->config) : f->g.n_kv;
    void *at = f->folder ? json_object_iter(f->config) : NULL;
    for (size_t i = 0; i < n && j.code == ERR_OK; i++) {
        j.text.n = 0;
        j.comma = false;
        str key;
        if (f->folder) {
            key = str_from(json_object_iter_key(at));
            add_config_value(&j, json_object_iter_value(at));
            at = json_object_iter_next(f->config, at);
        } else {
            key = f->g.kv[i].key;
            add_gguf_value(&j, &f->g.kv[i]);
        }
        str text = strbuf_str(&j.text);
        size_t shown = text.n > TEXT_SHOWN ? utf8_whole(str_sub(text, 0, TEXT_SHOWN)) : text.n;
        print_name(key);
        out_foreign(str_sub(text, 0, shown));
        if (shown < text.n)
            out_printf("... (%zu bytes)", text.n);
        out_text(STR("\n"));
    }
    strbuf_fini(&j.text);
    return j.code;
}

static void print_tensors(const source *f) {
    out_text(STR("\ntensors\n"));
    for (size_t i = 0; i < f->n_tensors; i++) {
        const tensor_ref *t = &f->tensor[i];
        print_name(t->name);
        out_printf("%-5s", dtype_table[t->type].name);
        for (int d = 0; d < t->n_dims; d++)
            out_printf("%s%" PRIu64, d ? " x " : " ", t->dims[d]);
        out_text(STR("\n"));
    }
}

static err_code print_text(const values *v, const source *f, const model *m, size_t ctx_tokens, err *e) {
    line_str("name", meta_str(f, "general.name", "_name_or_path"));
    line_str("architecture", meta_str(f, "general.architecture", "model_type"));
    str licence = licence_of(f);
    line_str("licence", licence.n > 0 ? licence : STR("the file names none"));
    if (f->folder)
        out_printf("%-14s %s (a folder, %zu safetensors %s)\n", "file", f->path, f->s.n_maps,
                   f->s.n_maps == 1 ? "file" : "files");
    else
        out_printf("%-14s %s (GGUF version %u, %s)\n", "file", f->path, (unsigned)f->g.version,
                   amount_bytes((double)gguf_bytes(&f->g)).text);
    if (m)
        print_shape(model_config_of(m));
    print_tokenizer(f);
    print_types(f);
    if (m)
        print_memory(f, m, ctx_tokens);
    TRY(print_metadata(f, e));
    if (v->tensors)
        print_tensors(f);
    return ERR_OK;
}

static err_code show(const values *v, const source *f, err *e) {
    loaded l = {0};
    err not_loaded = {0};
    size_t ctx_tokens = 0;
    err_code model_code = load_model(&l, f->path, &v->common, &v->compute, LOAD_PLAN, &not_loaded), code = ERR_OK;
    if (model_code == ERR_OK) {
        size_t trained = model_config_of(l.m)->ctx_train;
        ctx_tokens = v->ctx > 0                                  ? (size_t)v->ctx
                     : trained > 0 && trained < LOAD_CTX_DEFAULT ? trained
                                                                 : LOAD_CTX_DEFAULT;
    }
    if (v->common.json)
        code = print_json(v, f, l.m, ctx_tokens, e);
    else
        code = print_text(v, f, l.m, ctx_tokens, e);
    loaded_close(&l);
    if (code == ERR_OK && model_code != ERR_OK)
        code = err_set(e, model_code, "%s", not_loaded.text);
    return code;
}

static err_code run(const void *p, const arguments *args, err *e) {
    uint64_t program = os_peak_rss_bytes();
    source f = {0};
    err_code code = source_open(&f, args->arg[0], e);
    f.program = (size_t)program;
    if (code == ERR_OK)
        code = show(p, &f, e);
    source_close(&f);
    return code;
}

const command command_show = {
    .name = "show",
    .args = "M",
    .summary = "what a model file says of itself, and the memory it needs",
    .details = "Architecture, shape, tokenizer, types of the tensors, licence, chat template, the memory for a context "
               "length, "
               "and all metadata (long arrays by their first elements).\n"
               "With --json: the same as one object; \"tensors\".\"list\" with --tensors.\n\n"
               "  loam show model.gguf --ctx 32768",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
