/* json_write: JSON values to text; see json_write.h. */
#include "text/json_write.h"

#include <inttypes.h>
#include <math.h>

enum { DEPTH_MAX = 512 };

typedef struct {
    strbuf *out;
    int indent;
    err *e;
} writer;

static err_code real(const writer *w, double v) {
    size_t from = w->out->n;
    if (!isfinite(v))
        return err_set(w->e, ERR_USAGE, "JSON has no number %g", v);
    TRY(strbuf_add_real(w->out, v, 15, w->e));
    for (size_t i = from; i < w->out->n; i++)
        if (w->out->p[i] == '.' || w->out->p[i] == 'e')
            return ERR_OK;
    return strbuf_add(w->out, STR(".0"), w->e);
}

static err_code line(const writer *w, int depth) {
    if (!w->indent)
        return ERR_OK;
    TRY(strbuf_addc(w->out, '\n', w->e));
    for (int i = 0; i < depth * w->indent; i++)
        TRY(strbuf_addc(w->out, ' ', w->e));
    return ERR_OK;
}

static err_code value(const writer *w, const json_t *v, int depth);

/* One member of an array (key.p NULL) or object. */
static err_code member(const writer *w, str key, const json_t *v, bool first, int depth) {
    if (!first)
        TRY(strbuf_addc(w->out, ',', w->e));
    TRY(line(w, depth));
    if (key.p) {
        TRY(json_quote(key, w->out, w->e));
        TRY(strbuf_add(w->out, w->indent ? STR(": ") : STR(":"), w->e));
    }
    return value(w, v, depth);
}

static err_code members(const writer *w, const json_t *v, int depth) {
    bool array = json_is_array(v), first = true;
    TRY(strbuf_addc(w->out, array ? '[' : '{', w->e));
    for (size_t i = 0; i < json_array_size(v); i++, first = false)
        TRY(member(w, (str){0}, json_array_get(v, i), first, depth + 1));
    str key = {0};
    json_t *one;
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key.p, key.n, one) {
        TRY(member(w, key, one, first, depth + 1));
        first = false;
    }
    if (!first)
        TRY(line(w, depth));
    return strbuf_addc(w->out, array ? ']' : '}', w->e);
}

static err_code value(const writer *w, const json_t *v, int depth) {
    if (depth > DEPTH_MAX)
        return err_set(w->e, ERR_LIMIT, "JSON nested deeper than %d", DEPTH_MAX);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return members(w, v, depth);
    case JSON_STRING:
        return json_quote(json_str_of(v), w->out, w->e);
    case JSON_INTEGER:
        return strbuf_addf(w->out, w->e, "%" PRId64, (int64_t)json_integer_value(v));
    case JSON_REAL:
        return real(w, json_real_value(v));
    case JSON_TRUE:
        return strbuf_add(w->out, STR("true"), w->e);
    case JSON_FALSE:
        return strbuf_add(w->out, STR("false"), w->e);
    default:
        return strbuf_add(w->out, STR("null"), w->e);
    }
}

err_code json_write(const json_t *v, int indent, strbuf *out, err *e) {
    size_t before = out->n;
    err_code code = value(&(writer){out, indent, e}, v, 0);
    if (code)
        out->n = before;
    return code;
}
