/* safetensors_write: the safetensors writer; see safetensors_write.h, and safetensors.h for the layout. */
#include "io/safetensors_write.h"

#include <stdlib.h>

#include "io/tensor_out.h"
#include "text/json.h"
#include "text/utf8.h"

enum { ALIGNMENT = 8 };

struct safetensors_writer {
    tensor_out out;
    strbuf meta, entries; /* JSON members, each with the comma behind it */
};

err_code safetensors_write_open(safetensors_writer **out, const char *path, err *e) {
    safetensors_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_MEMORY, "%s: no memory", path);
    w->meta.max = w->entries.max = SAFETENSORS_HEADER_MAX;
    err_code code = tensor_out_open(&w->out, path, false, 1, e);
    if (code)
        free(w);
    else
        *out = w;
    return code;
}

void safetensors_write_abort(safetensors_writer *w) {
    if (!w)
        return;
    tensor_out_fini(&w->out);
    strbuf_fini(&w->meta);
    strbuf_fini(&w->entries);
    free(w);
}

static err_code quote(const safetensors_writer *w, str s, strbuf *b, err *e) {
    if (!utf8_valid(s))
        return err_set(e, ERR_USAGE, "%s: \"%.*s\" is not well-formed UTF-8", w->out.path, STR_ARG(s));
    return json_quote(s, b, e);
}

static err_code add_meta(safetensors_writer *w, str key, str value, err *e) {
    TRY(tensor_out_key(&w->out, key, SAFETENSORS_HEADER_MAX, e));
    TRY(quote(w, key, &w->meta, e));
    TRY(strbuf_addc(&w->meta, ':', e));
    TRY(quote(w, value, &w->meta, e));
    return strbuf_addc(&w->meta, ',', e);
}

err_code safetensors_write_meta(safetensors_writer *w, const char *key, str value, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, true, e));
    return tensor_out_keep(&w->out, add_meta(w, str_from(key), value, &own), &own, e);
}

static err_code add_tensor(safetensors_writer *w, const tensor_spec *t, err *e) {
    strbuf *b = &w->entries;
    uint64_t offset;
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16)
        return err_set(e, ERR_USAGE, "%s: tensor %.*s: safetensors hold F32, F16 and BF16, not %s", w->out.path,
                       STR_ARG(t->name), dtype_table[t->type].name);
    if (w->out.tensors.n >= SAFETENSORS_TENSORS_MAX || str_is(t->name, "__metadata__"))
        return err_set(e, ERR_USAGE, "%s: tensor %.*s: more than %d tensors, or a name that is taken", w->out.path,
                       STR_ARG(t->name), SAFETENSORS_TENSORS_MAX);
    TRY(tensor_out_declare(&w->out, t, SAFETENSORS_HEADER_MAX, &offset, e));
    TRY(quote(w, t->name, b, e));
    TRY(strbuf_addf(b, e, ":{\"dtype\":\"%s\",\"shape\":[", dtype_table[t->type].name));
    for (int d = 0; d < t->n_dims; d++)
        TRY(strbuf_addf(b, e, "%s%llu", d ? "," : "", (unsigned long long)t->dims[d]));
    return strbuf_addf(b, e, "],\"data_offsets\":[%llu,%llu]},", (unsigned long long)offset,
                       (unsigned long long)w->out.data_bytes);
}

err_code safetensors_write_tensor(safetensors_writer *w, const tensor_spec *t, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, true, e));
    return tensor_out_keep(&w->out, add_tensor(w, t, &own), &own, e);
}

/* Members without the last comma. */
static str members(const strbuf *b) { return str_sub(strbuf_str(b), 0, b->n ? b->n - 1 : 0); }

static err_code header(const safetensors_writer *w, strbuf *b, err *e) {
    TRY(strbuf_addc(b, '{', e));
    if (w->meta.n) {
        TRY(strbuf_add(b, STR("\"__metadata__\":{"), e));
        TRY(strbuf_add(b, members(&w->meta), e));
        TRY(strbuf_add(b, w->entries.n ? STR("},") : STR("}"), e));
    }
    TRY(strbuf_add(b, members(&w->entries), e));
    TRY(strbuf_addc(b, '}', e));
    while (b->n % ALIGNMENT)
        TRY(strbuf_addc(b, ' ', e));
    return ERR_OK;
}

static err_code begin(safetensors_writer *w, err *e) {
    if (w->out.begun)
        return ERR_OK;
    TRY(tensor_out_unique(&w->out, e));
    strbuf b = {.max = SAFETENSORS_HEADER_MAX};
    err_code code = header(w, &b, e);
    uint64_t n = b.n;
    if (!code)
        code = outfile_write(w->out.file, &n, sizeof n, e);
    if (!code)
        code = outfile_write(w->out.file, b.p, b.n, e);
    strbuf_fini(&b);
    w->out.begun = !code;
    return code;
}

err_code safetensors_write_data(safetensors_writer *w, const void *bytes, size_t n, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, false, e));
    err_code code = begin(w, &own);
    if (!code)
        code = tensor_out_data(&w->out, bytes, n, &own);
    return tensor_out_keep(&w->out, code, &own, e);
}

static err_code finish(safetensors_writer *w, err *e) {
    TRY(tensor_out_ready(&w->out, false, e));
    TRY(begin(w, e));
    TRY(tensor_out_whole(&w->out, e));
    outfile *f = w->out.file;
    w->out.file = NULL;
    return outfile_commit(f, e);
}

err_code safetensors_write_commit(safetensors_writer *w, err *e) {
    err_code code = finish(w, e);
    safetensors_write_abort(w);
    return code;
}
