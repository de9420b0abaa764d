/* pooling: see pooling.h. */
#include "model/pooling.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "kern/math64.h"
#include "text/json.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static const struct {
    pooling_how how;
    const char *name; /* "pooling_mode" of newer folders */
    const char *flag; /* of older ones: true */
    int gguf;         /* pooling_type; -1: none */
} ways[] = {
    {POOL_LAST, "lasttoken", "pooling_mode_lasttoken", 3},
    {POOL_MEAN, "mean", "pooling_mode_mean_tokens", 1},
    {POOL_FIRST, "cls", "pooling_mode_cls_token", 2},
    {POOL_MAX, "max", "pooling_mode_max_tokens", -1},
    {POOL_WEIGHTED, "weightedmean", "pooling_mode_weightedmean_tokens", -1},
    {POOL_ROOT, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", -1},
};
enum { WAYS = sizeof ways / sizeof *ways, GGUF_NONE = 0, GGUF_RANK = 4 };

const char *pooling_name(pooling_how how) {
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].how == how)
            return ways[i].name;
    return "";
}

int pooling_gguf(pooling_how how) {
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].how == how)
            return ways[i].gguf;
    return -1;
}

/* ---- what the model states ---- */

static err_code of_gguf(const gguf_file *g, pooling *out, err *e) {
    char key[160];
    str family;
    uint64_t type;
    TRY(gguf_get_str(g, "general.architecture", (str){0}, &family, e));
    snprintf(key, sizeof key, "%.*s.pooling_type", STR_ARG(family));
    TRY(gguf_get_u64(g, key, GGUF_NONE, &type, e));
    if (type == GGUF_NONE)
        return ERR_OK;
    if (type == GGUF_RANK)
        return err_set(e, ERR_UNSUPPORTED, "%s is 4: a model that ranks gives no embeddings", key);
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].gguf >= 0 && type == (uint64_t)ways[i].gguf) {
            *out = (pooling){ways[i].how, true};
            return ERR_OK;
        }
    return err_set(e, ERR_UNSUPPORTED, "%s is %llu, which is not known", key, (unsigned long long)type);
}

/* A JSON file of the folder; *out NULL when it is not there. */
static err_code read_json(const char *folder, const char *name, json_t **out, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    *out = NULL;
    TRY(os_join(path, folder, name, e));
    if (!os_exists(path))
        return ERR_OK;
    err_code code = os_read_regular(path, FILE_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), FILE_BYTES_MAX, out, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    return code;
}

static err_code mode_named(str mode, pooling *out, err *e) {
    for (size_t i = 0; i < WAYS; i++)
        if (str_is(mode, ways[i].name)) {
            *out = (pooling){ways[i].how, true};
            return ERR_OK;
        }
    return err_set(e, ERR_UNSUPPORTED, "pooling_mode \"%.*s\" is not supported", STR_ARG(mode));
}

static err_code mode_of(const json_t *config, pooling *out, err *e) {
    const json_t *mode = json_object_get(config, "pooling_mode");
    size_t n = 0;
    if (json_is_array(mode) && json_array_size(mode) == 1)
        mode = json_array_get(mode, 0);
    if (json_is_string(mode))
        return mode_named(json_str_of(mode), out, e);
    for (size_t i = 0; i < WAYS; i++)
        if (json_get_bool(config, ways[i].flag, false)) {
            *out = (pooling){ways[i].how, true};
            n++;
        }
    if (n == 1)
        return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "%zu ways of pooling at once (one is supported)", n);
}

/* The pooling module stands in a folder of its own: a plain name, for it comes from a file. */
static err_code of_module(const char *folder, str path, pooling *out, err *e) {
    char name[256];
    json_t *config;
    if (path.n == 0 || path.n > 200 || path.p[0] == '.' || memchr(path.p, '/', path.n) || memchr(path.p, 0, path.n))
        return err_set(e, ERR_FORMAT, "path \"%.*s\": the name of a folder is expected", STR_ARG(path));
    snprintf(name, sizeof name, "%.*s/config.json", (int)path.n, path.p);
    TRY(read_json(folder, name, &config, e));
    if (!config)
        return err_set(e, ERR_FORMAT, "%s is missing", name);
    err_code code = mode_of(config, out, e);
    json_decref(config);
    return code == ERR_OK ? code : err_in(e, code, "%s", name);
}

static err_code of_modules(const char *folder, const json_t *list, pooling *out, err *e) {
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "a list is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        str type = json_get_str(one, "type", (str){0});
        if (str_ends(type, STR(".Pooling")))
            TRY(of_module(folder, json_get_str(one, "path", (str){0}), out, e));
        else if (!str_ends(type, STR(".Transformer")) && !str_ends(type, STR(".Normalize")))
            return err_set(e, ERR_UNSUPPORTED, "module \"%.*s\" is not supported", STR_ARG(type));
    }
    return ERR_OK;
}

err_code pooling_of(const model *m, pooling *out, err *e) {
    *out = (pooling){POOL_LAST, false};
    if (model_gguf(m))
        return of_gguf(model_gguf(m), out, e);
    json_t *list;
    TRY(read_json(model_path(m), "modules.json", &list, e));
    if (!list)
        return ERR_OK;
    err_code code = of_modules(model_path(m), list, out, e);
    json_decref(list);
    return code == ERR_OK ? code : err_in(e, code, "modules.json");
}

/* ---- the vector ---- */

void pooling_add(pooling_how how, double *sum, size_t D, size_t t, const float *x) {
    double weight = how == POOL_WEIGHTED ? (double)(t + 1) : 1;
    for (size_t d = 0; d < D; d++)
        switch (how) {
        case POOL_LAST:
            sum[d] = (double)x[d];
            break;
        case POOL_FIRST:
            sum[d] = t == 0 ? (double)x[d] : sum[d];
            break;
        case POOL_MAX:
            sum[d] = t == 0 || (double)x[d] > sum[d] ? (double)x[d] : sum[d];
            break;
        case POOL_MEAN:
        case POOL_WEIGHTED:
        case POOL_ROOT:
            sum[d] += weight * (double)x[d];
            break;
        }
}

/* What the sum of n positions is divided by. */
static double divisor(pooling_how how, size_t n) {
    double T = (double)n;
    switch (how) {
    case POOL_MEAN:
        return T;
    case POOL_WEIGHTED:
        return T * (T + 1) / 2;
    case POOL_ROOT:
        return kern_sqrt64(T);
    case POOL_LAST:
    case POOL_FIRST:
    case POOL_MAX:
        break;
    }
    return 1;
}

void pooling_end(pooling_how how, const double *sum, size_t D, size_t n, float *out) {
    double by = divisor(how, n);
    for (size_t d = 0; d < D; d++)
        out[d] = (float)(sum[d] / by);
}

void pooling_unit(float *x, size_t n) {
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    if (squares == 0)
        return;
    double length = kern_sqrt64(squares);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / length);
}
