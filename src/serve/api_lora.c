/* api_lora: adapters by request, and GET and POST /lora-adapters, as llama.cpp's server has them.
 *
 *   GET   [{"id": 0, "path": "...", "name": "...", "scale": 1.0}]
 *   POST  [{"id": 0, "scale": 0.5}]       scales of requests that say nothing; others stay
 *   any request   "lora": [{"id": 0, "scale": 0.5}]       these alone, for this request
 *
 * /lora-adapters is about the first model's; "lora" about those of the request's model. What of a path is no UTF-8 is
 * shown as U+FFFD. Proved by test_lora.py.
 */
#include "serve/params.h"
#include "serve/route.h"

static err_code read_scales(const serve_model *own, const json_t *list, float scale[MODEL_ADAPTERS_MAX], err *e) {
    if (!json_is_array(list))
        return err_set(e, ERR_USAGE, "lora: a list of {\"id\", \"scale\"} is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        int64_t id = -1;
        if (!json_is_object(one))
            return err_set(e, ERR_USAGE, "lora: a list of {\"id\", \"scale\"} is expected");
        TRY(param_int(one, "id", 0, INT32_MAX, &id, e));
        if (id < 0 || (size_t)id >= own->source.n_lora)
            return err_set(e, ERR_USAGE, "lora: no adapter has id %d; there are %zu, from 0 (GET /lora-adapters)",
                           (int)id, own->source.n_lora);
        if (!json_is_number(json_object_get(one, "scale")))
            return err_set(e, ERR_USAGE, "lora: id %d: a scale is expected", (int)id);
        TRY(param_real(one, "scale", -100, 100, &scale[id], e));
    }
    return ERR_OK;
}

err_code serve_adapters(const serve_model *m, const json_t *body, adapter_use use[MODEL_ADAPTERS_MAX], size_t *n,
                        err *e) {
    const serve_model *own = m->of ? m->of : m;
    const json_t *list = json_object_get(body, "lora");
    float scale[MODEL_ADAPTERS_MAX] = {0};
    if (list && !json_is_null(list))
        TRY(read_scales(own, list, scale, e));
    else if (m->of)
        scale[m->i_lora] = 1;
    else
        for (size_t i = 0; i < own->source.n_lora; i++)
            scale[i] = atomic_load(&own->scale[i]);
    *n = 0;
    for (size_t i = 0; i < own->source.n_lora; i++)
        if (scale[i] != 0)
            use[(*n)++] = (adapter_use){own->source.lora[i].adapter, scale[i]};
    return ERR_OK;
}

/* ---- /lora-adapters ---- */

static err_code list_adapters(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const serve_model *m = &s->model[0];
    json_t *list = json_array();
    (void)body, (void)rest, (void)e;
    for (size_t i = 0; i < m->source.n_lora; i++)
        json_array_append_new(list, json_pack("{s:I, s:o, s:s, s:f}", "id", (json_int_t)i, "path",
                                              json_repaired(str_from(m->source.lora[i].path)), "name",
                                              m->source.lora[i].name, "scale", (double)atomic_load(&m->scale[i])));
    reply_json(c, 200, list);
    return ERR_OK;
}

static err_code set_scales(serve *s, http_call *c, json_t *body, str rest, err *e) {
    serve_model *m = &s->model[0];
    float scale[MODEL_ADAPTERS_MAX];
    (void)rest;
    for (size_t i = 0; i < m->source.n_lora; i++)
        scale[i] = atomic_load(&m->scale[i]);
    TRY(read_scales(m, body, scale, e));
    for (size_t i = 0; i < m->source.n_lora; i++)
        atomic_store(&m->scale[i], scale[i]);
    reply_json(c, 200, json_pack("{s:b}", "success", 1));
    return ERR_OK;
}

const route routes_lora[] = {
    {"GET", "/lora-adapters", list_adapters},
    {"POST", "/lora-adapters", set_scales},
    {0},
};
