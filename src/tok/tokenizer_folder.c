/* tokenizer_folder: a tokenizer from a Hugging Face folder.
 *
 * tokenizer.json says what ids a text has. The files beside it say which token begins and ends a
 * text and what a chat looks like; of each fact the first file that knows it counts:
 *
 *   bos, eos        tokenizer_config.json, special_tokens_map.json, then ids in generation_config.json, config.json
 *   further ends    eos_token_id of generation_config.json and config.json, a number or a list
 *   chat template   chat_template.jinja, then chat_template in tokenizer_config.json
 */
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "tok/json_steps.h"

enum { CONFIG_BYTES_MAX = 1 << 24 };

/* The value in a file of the folder; NULL when there is no such file. */
static err_code read_config(const char *folder, const char *name, json_t **out, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    *out = NULL;
    TRY(os_join(path, folder, name, e));
    if (!os_exists(path))
        return ERR_OK;
    err_code code = os_read_regular(path, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, out, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    return code;
}

/* "bos_token": "<s>" or {"content": "<s>"}. */
static int32_t token_named(const tokenizer *t, const json_t *config, const char *key) {
    const json_t *v = json_object_get(config, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v) ? vocab_find(&t->v, json_str_of(v)) : -1;
}

/* Marks "eos_token_id": 2 or [2, 7] as ends; the first is eos if none is known. */
static err_code end_ids(tokenizer *t, const json_t *config, const char *file, err *e) {
    const json_t *v = json_object_get(config, "eos_token_id");
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; v && !json_is_null(v) && i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        json_int_t id = json_integer_value(one);
        if (!json_is_integer(one))
            return err_set(e, ERR_FORMAT, "%s: eos_token_id is no token id", file);
        if (id < 0 || id >= t->v.n)
            continue; /* -1 is none; and the model may have rows that the tokenizer does not name */
        t->is_end[id] = 1;
        t->eos = t->eos < 0 ? (int32_t)id : t->eos;
    }
    return ERR_OK;
}

static err_code keep_template(tokenizer *t, str s, err *e) {
    t->chat_template = arena_str(&t->mem, s);
    return t->chat_template.p ? ERR_OK : arena_short(e, s.n, 1);
}

/* A string, or a list of {"name", "template"} of which "default" is meant. */
static err_code template_in(tokenizer *t, const json_t *config, err *e) {
    const json_t *v = json_object_get(config, "chat_template");
    if (json_is_string(v))
        return keep_template(t, json_str_of(v), e);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *one = json_array_get(v, i);
        if (str_is(json_get_str(one, "name", STR("")), "default"))
            return keep_template(t, json_get_str(one, "template", STR("")), e);
    }
    return ERR_OK;
}

static err_code read_template(tokenizer *t, const char *folder, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    TRY(os_join(path, folder, "chat_template.jinja", e));
    if (!os_exists(path))
        return ERR_OK;
    err_code code = os_read_regular(path, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK)
        code = keep_template(t, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static err_code read_configs(tokenizer *t, const char *folder, err *e) {
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
                                        "config.json"};
    ARENA_NEW(&t->mem, t->is_end, (size_t)t->v.n, e);
    TRY(read_template(t, folder, e));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        json_t *config;
        TRY(read_config(folder, files[i], &config, e));
        t->bos = t->bos < 0 ? token_named(t, config, "bos_token") : t->bos;
        t->eos = t->eos < 0 ? token_named(t, config, "eos_token") : t->eos;
        int64_t bos = json_get_int(config, "bos_token_id", -1);
        if (t->bos < 0 && bos >= 0 && bos < t->v.n)
            t->bos = (int32_t)bos;
        err_code code = end_ids(t, config, files[i], e);
        if (code == ERR_OK && t->chat_template.n == 0)
            code = template_in(t, config, e);
        json_decref(config);
        TRY(code);
    }
    return pipeline_finish(t, e);
}

err_code tokenizer_open_folder(tokenizer **out, const char *folder, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    tokenizer *t;
    *out = NULL;
    TRY(os_join(path, folder, "tokenizer.json", e));
    TRY(os_read_regular(path, (size_t)1 << 28, &text, e));
    err_code code = pipeline_new(&t, e);
    if (code == ERR_OK) {
        code = tokenizer_read_json(t, strbuf_str(&text), e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    if (code == ERR_OK)
        code = read_configs(t, folder, e);
    if (code != ERR_OK) {
        tokenizer_close(t);
        return code;
    }
    *out = t;
    return ERR_OK;
}
