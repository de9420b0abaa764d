/* params: see params.h. */
#include "serve/params.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "serve/form.h"

err_code param_real(const json_t *o, const char *key, double min, double max, float *x, err *e) {
    const json_t *v = json_get(o, key);
    if (!v)
        return ERR_OK;
    double d = json_number_value(v);
    if (!json_is_number(v) || !(d >= min && d <= max))
        return err_set(e, ERR_USAGE, "%s: a number from %g to %g is expected", key, min, max);
    *x = (float)d;
    return ERR_OK;
}

err_code param_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *x, err *e) {
    const json_t *v = json_get(o, key);
    if (!v)
        return ERR_OK;
    double d = json_number_value(v);
    if (json_is_real(v) && d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d) {
        if ((int64_t)d >= min && (int64_t)d <= max) {
            *x = (int64_t)d;
            return ERR_OK;
        }
    } else if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max) {
        *x = json_integer_value(v);
        return ERR_OK;
    }
    return err_set(e, ERR_USAGE, "%s: a whole number from %" PRId64 " to %" PRId64 " is expected", key, min, max);
}

err_code param_bool(const json_t *o, const char *key, bool *x, err *e) {
    const json_t *v = json_get(o, key);
    if (v && !json_is_boolean(v))
        return err_set(e, ERR_USAGE, "%s: true or false is expected", key);
    if (v)
        *x = json_is_true(v);
    return ERR_OK;
}

err_code param_str(const json_t *o, const char *key, str *x, err *e) {
    const json_t *v = json_get(o, key);
    if (v && !json_is_string(v))
        return err_set(e, ERR_USAGE, "%s: a string is expected", key);
    if (v)
        *x = json_str_of(v);
    return ERR_OK;
}

static err_code add_stop(const json_t *v, const char *key, params *p, err *e) {
    if (!json_is_string(v))
        return err_set(e, ERR_USAGE, "%s: a string, or a list of strings, is expected", key);
    str s = json_str_of(v);
    if (s.n == 0)
        return ERR_OK; /* clients send "" for none */
    if (s.n > STOPS_BYTES_MAX)
        return err_set(e, ERR_USAGE, "%s: a stop string has at most %d bytes", key, STOPS_BYTES_MAX);
    if (p->n_stop == STOPS_MAX - 1) /* the template may need one */
        return err_set(e, ERR_USAGE, "%s: at most %d strings", key, STOPS_MAX - 1);
    p->stop[p->n_stop++] = s;
    return ERR_OK;
}

err_code param_stop(const json_t *o, const char *key, params *p, err *e) {
    const json_t *v = json_get(o, key);
    if (!v)
        return ERR_OK;
    if (!json_is_array(v))
        return add_stop(v, key, p, e);
    for (size_t i = 0; i < json_array_size(v); i++)
        TRY(add_stop(json_array_get(v, i), key, p, e));
    return ERR_OK;
}

static bool says_nothing(const json_t *v) {
    return !v || json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

err_code param_refuse(const json_t *o, const char *const *keys, err *e) {
    for (; *keys; keys++)
        if (!says_nothing(json_get(o, *keys)))
            return err_set(e, ERR_UNSUPPORTED, "%s: not supported", *keys);
    return ERR_OK;
}

params params_plain(void) {
    return (params){
        .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .penalty_last_n = -1},
        .n = 1,
    };
}

typedef struct {
    const char *key;
    size_t at;
    double min, max;
} real_field;

#define AT(name) offsetof(sampler_config, name)
static const real_field reals[] = {
    {"temperature", AT(temperature), 0, 100},
    {"top_p", AT(top_p), 0, 1},
    {"min_p", AT(min_p), 0, 1},
    {"repetition_penalty", AT(repetition_penalty), 0.01, 100},
    {"repeat_penalty", AT(repetition_penalty), 0.01, 100},
    {"presence_penalty", AT(presence_penalty), -100, 100},
    {"frequency_penalty", AT(frequency_penalty), -100, 100},
};
static const struct {
    const char *key;
    size_t at;
    int64_t min;
} ints[] = {
    {"top_k", AT(top_k), -1},
    {"repeat_last_n", AT(penalty_last_n), -1},
};
#undef AT

err_code params_sampling(const json_t *o, params *p, err *e) {
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        TRY(param_real(o, reals[i].key, reals[i].min, reals[i].max,
                       (float *)(void *)((char *)&p->sampling + reals[i].at), e));
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int *to = (int *)(void *)((char *)&p->sampling + ints[i].at);
        int64_t x = *to;
        TRY(param_int(o, ints[i].key, ints[i].min, INT32_MAX, &x, e));
        *to = (int)x;
    }
    p->sampling.top_k = p->sampling.top_k < 0 ? 0 : p->sampling.top_k;
    int64_t seed = (int64_t)p->sampling.seed;
    TRY(param_int(o, "seed", INT64_MIN, INT64_MAX, &seed, e));
    p->sampling.seed = (uint64_t)seed;
    return ERR_OK;
}

static err_code read_bias(const json_t *o, params *p, arena *mem, err *e) {
    json_t *bias = (json_t *)(uintptr_t)json_get(o, "logit_bias"), *v;
    const char *key;
    engine_scored *to;
    size_t n = 0;
    if (!bias)
        return ERR_OK;
    if (!json_is_object(bias) || json_object_size(bias) > PARAMS_BIAS_MAX)
        return err_set(e, ERR_USAGE, "logit_bias: an object of at most %d token ids is expected", PARAMS_BIAS_MAX);
    ARENA_NEW(mem, to, json_object_size(bias), e);
    json_object_foreach(bias, key, v) {
        char *end = NULL;
        long id = strtol(key, &end, 10);
        double x = json_number_value(v);
        if (end == key || *end || id < 0 || id > INT32_MAX || !json_is_number(v) || !(x >= -100 && x <= 100))
            return err_set(e, ERR_USAGE, "logit_bias: \"%.40s\": a token id with a number from -100 to 100 is expected",
                           key);
        to[n++] = (engine_scored){(int32_t)id, x};
    }
    p->bias = to;
    p->n_bias = n;
    return ERR_OK;
}

err_code params_openai(const json_t *o, params *p, arena *mem, err *e) {
    static const char *const refused[] = {"functions", "guided_json", "guided_grammar", "guided_regex",
                                          "suffix",    "audio",       "prediction",     NULL};
    const json_t *options = json_get(o, "stream_options");
    int64_t n = 1;
    TRY(params_sampling(o, p, e));
    TRY(param_refuse(o, refused, e));
    TRY(form_openai(o, &p->grammar, e));
    TRY(param_stop(o, "stop", p, e));
    TRY(param_int(o, "n", 1, PARAMS_N_MAX, &n, e));
    p->n = (size_t)n;
    TRY(param_bool(o, "stream", &p->stream, e));
    TRY(param_bool(o, "ignore_eos", &p->ignore_end, e));
    if (options && !json_is_object(options))
        return err_set(e, ERR_USAGE, "stream_options: an object is expected");
    if (options)
        TRY(param_bool(options, "include_usage", &p->usage, e));
    return read_bias(o, p, mem, e);
}

err_code params_content(const json_t *content, arena *mem, str *out, err *e) {
    size_t n = 0, bytes = 0;
    *out = (str){0};
    if (!content || json_is_null(content))
        return ERR_OK;
    if (json_is_string(content)) {
        *out = json_str_of(content);
        return ERR_OK;
    }
    if (!json_is_array(content))
        return err_set(e, ERR_USAGE, "content: a string or a list of parts is expected");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        str type = json_get_str(part, "type", (str){0});
        if (json_is_string(part))
            bytes += json_string_length(part);
        else if ((str_is(type, "text") || str_is(type, "input_text") || str_is(type, "output_text")) &&
                 json_is_string(json_object_get(part, "text")))
            bytes += json_string_length(json_object_get(part, "text"));
        else
            return err_set(e, ERR_UNSUPPORTED, "content: part %zu of type \"%.*s\": only text is supported", i,
                           STR_ARG(type));
    }
    char *text;
    ARENA_NEW(mem, text, bytes, e);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        str s = json_str_of(json_is_string(part) ? part : json_object_get(part, "text"));
        if (s.n > 0)
            memcpy(text + n, s.p, s.n);
        n += s.n;
    }
    *out = (str){text, n};
    return ERR_OK;
}
