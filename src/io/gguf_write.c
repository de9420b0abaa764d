/* gguf_write: the GGUF writer; see gguf_write.h, and gguf.h for the layout. */
#include "io/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "io/tensor_out.h"

enum {
    MAGIC = 0x46554747, /* "GGUF" read as a little-endian u32 */
    VERSION = 3,
    ALIGNMENT = 32,
    NAME_BYTES_MAX = 63, /* llama.cpp reads no longer names of tensors */
};

struct gguf_writer {
    tensor_out out;
    strbuf kv, info; /* as they will stand in the file */
    size_t n_kv;
};

static err_code open_writer(gguf_writer **out, const char *path, bool compares, err *e) {
    gguf_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_MEMORY, "%s: no memory", path);
    w->kv.max = w->info.max = GGUF_WRITE_META_MAX;
    err_code code = tensor_out_open(&w->out, path, compares, ALIGNMENT, e);
    if (code)
        free(w);
    else
        *out = w;
    return code;
}

err_code gguf_write_open(gguf_writer **out, const char *path, err *e) { return open_writer(out, path, false, e); }
err_code gguf_compare_open(gguf_writer **out, const char *path, err *e) { return open_writer(out, path, true, e); }

void gguf_write_abort(gguf_writer *w) {
    if (!w)
        return;
    tensor_out_fini(&w->out);
    strbuf_fini(&w->kv);
    strbuf_fini(&w->info);
    free(w);
}

/* ---- bytes of metadata ---- */

static err_code raw(strbuf *b, const void *p, size_t n, err *e) { return strbuf_add(b, (str){p, n}, e); }
static err_code u32(strbuf *b, uint32_t v, err *e) { return raw(b, &v, sizeof v, e); }
static err_code u64(strbuf *b, uint64_t v, err *e) { return raw(b, &v, sizeof v, e); }

static err_code text(strbuf *b, str s, err *e) {
    TRY(u64(b, s.n, e));
    return strbuf_add(b, s, e);
}

/* Bytes of a number; 0: not a number. */
static size_t number_bytes(gguf_type t) {
    static const uint8_t bytes[GGUF_TYPE_COUNT] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2,  [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_U64] = 8, [GGUF_BOOL] = 1, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return (unsigned)t < GGUF_TYPE_COUNT ? bytes[t] : 0;
}

/* A value: one of n elements (not an array: n is 1), either numbers at p or strings. */
typedef struct {
    bool array;
    gguf_type elem;
    uint64_t n;
    const void *p;    /* numbers, or an array of strings as a file holds it */
    const str *texts; /* NULL: p */
    size_t bytes;     /* at p */
} value;

static err_code add_value(gguf_writer *w, str key, const value *v, err *e) {
    strbuf *b = &w->kv;
    if (v->n > GGUF_ARRAY_MAX)
        return err_set(e, ERR_USAGE, "%s: key %.*s: an array of %llu elements; at most %d are read", w->out.path,
                       STR_ARG(key), (unsigned long long)v->n, GGUF_ARRAY_MAX);
    if (w->n_kv >= GGUF_KV_MAX)
        return err_set(e, ERR_USAGE, "%s: more than %d keys", w->out.path, GGUF_KV_MAX);
    TRY(tensor_out_key(&w->out, key, GGUF_KEY_BYTES_MAX, e));
    TRY(text(b, key, e));
    if (v->array) {
        TRY(u32(b, GGUF_ARRAY, e));
        TRY(u32(b, v->elem, e));
        TRY(u64(b, v->n, e));
    } else {
        TRY(u32(b, v->elem, e));
    }
    if (v->texts)
        for (uint64_t i = 0; i < v->n; i++)
            TRY(text(b, v->texts[i], e));
    else
        TRY(raw(b, v->p, v->bytes, e));
    w->n_kv++;
    return ERR_OK;
}

static err_code put_value(gguf_writer *w, str key, const value *v, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, true, e));
    return tensor_out_keep(&w->out, add_value(w, key, v, &own), &own, e);
}

static err_code put_number(gguf_writer *w, const char *key, gguf_type t, const void *p, err *e) {
    return put_value(w, str_from(key), &(value){.elem = t, .n = 1, .p = p, .bytes = number_bytes(t)}, e);
}

err_code gguf_write_str(gguf_writer *w, const char *key, str s, err *e) {
    return put_value(w, str_from(key), &(value){.elem = GGUF_STRING, .n = 1, .texts = &s}, e);
}
err_code gguf_write_u32(gguf_writer *w, const char *key, uint32_t v, err *e) {
    return put_number(w, key, GGUF_U32, &v, e);
}
err_code gguf_write_u64(gguf_writer *w, const char *key, uint64_t v, err *e) {
    return put_number(w, key, GGUF_U64, &v, e);
}
err_code gguf_write_f32(gguf_writer *w, const char *key, float v, err *e) {
    return put_number(w, key, GGUF_F32, &v, e);
}
err_code gguf_write_bool(gguf_writer *w, const char *key, bool v, err *e) {
    uint8_t byte = v;
    return put_number(w, key, GGUF_BOOL, &byte, e);
}

err_code gguf_write_numbers(gguf_writer *w, const char *key, gguf_type elem, const void *values, uint64_t n, err *e) {
    size_t size = number_bytes(elem), bytes;
    err own = {0};
    TRY(tensor_out_ready(&w->out, true, e));
    if (!size || __builtin_mul_overflow(n, size, &bytes))
        return tensor_out_keep(
            &w->out, err_set(&own, ERR_USAGE, "%s: key %s: not an array of numbers", w->out.path, key), &own, e);
    return put_value(w, str_from(key), &(value){.array = true, .elem = elem, .n = n, .p = values, .bytes = bytes}, e);
}

err_code gguf_write_strs(gguf_writer *w, const char *key, const str *values, uint64_t n, err *e) {
    static const str none;
    value v = {.array = true, .elem = GGUF_STRING, .n = n, .texts = n ? values : &none};
    return put_value(w, str_from(key), &v, e);
}

err_code gguf_write_kv(gguf_writer *w, const gguf_kv *kv, err *e) {
    if (kv->type == GGUF_STRING) {
        str s = {(const char *)kv->p, kv->bytes};
        return put_value(w, kv->key, &(value){.elem = GGUF_STRING, .n = 1, .texts = &s}, e);
    }
    value v = {.array = kv->type == GGUF_ARRAY, .elem = kv->elem, .n = kv->n, .p = kv->p, .bytes = kv->bytes};
    return put_value(w, kv->key, &v, e);
}

/* ---- tensors ---- */

static err_code add_tensor(gguf_writer *w, const tensor_spec *t, err *e) {
    uint64_t offset;
    if (w->out.tensors.n >= GGUF_TENSORS_MAX)
        return err_set(e, ERR_USAGE, "%s: more than %d tensors", w->out.path, GGUF_TENSORS_MAX);
    TRY(tensor_out_declare(&w->out, t, NAME_BYTES_MAX, &offset, e));
    TRY(text(&w->info, t->name, e));
    TRY(u32(&w->info, (uint32_t)t->n_dims, e));
    for (int d = t->n_dims - 1; d >= 0; d--) /* innermost first */
        TRY(u64(&w->info, t->dims[d], e));
    TRY(u32(&w->info, dtype_table[t->type].gguf, e));
    return u64(&w->info, offset, e);
}

err_code gguf_write_tensor(gguf_writer *w, const tensor_spec *t, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, true, e));
    return tensor_out_keep(&w->out, add_tensor(w, t, &own), &own, e);
}

enum { HEADER_BYTES = 4 + 4 + 8 + 8 };

static size_t meta_bytes(const gguf_writer *w) {
    size_t n = HEADER_BYTES + w->kv.n + w->info.n;
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

uint64_t gguf_write_bytes(const gguf_writer *w) { return meta_bytes(w) + w->out.data_bytes; }

static err_code begin(gguf_writer *w, err *e) {
    if (w->out.begun)
        return ERR_OK;
    TRY(tensor_out_unique(&w->out, e));
    outfile *f = w->out.file;
    uint32_t head[2] = {MAGIC, VERSION};
    uint64_t counts[2] = {w->out.tensors.n, w->n_kv};
    TRY(outfile_write(f, head, sizeof head, e));
    TRY(outfile_write(f, counts, sizeof counts, e));
    TRY(outfile_write(f, w->kv.p, w->kv.n, e));
    TRY(outfile_write(f, w->info.p, w->info.n, e));
    TRY(outfile_zeros(f, meta_bytes(w) - (size_t)outfile_bytes(f), e));
    w->out.begun = true;
    return ERR_OK;
}

err_code gguf_write_data(gguf_writer *w, const void *bytes, size_t n, err *e) {
    err own = {0};
    TRY(tensor_out_ready(&w->out, false, e));
    err_code code = begin(w, &own);
    if (!code)
        code = tensor_out_data(&w->out, bytes, n, &own);
    return tensor_out_keep(&w->out, code, &own, e);
}

static err_code finish(gguf_writer *w, err *e) {
    TRY(tensor_out_ready(&w->out, false, e));
    TRY(begin(w, e));
    TRY(tensor_out_whole(&w->out, e));
    outfile *f = w->out.file;
    w->out.file = NULL;
    return outfile_commit(f, e);
}

err_code gguf_write_commit(gguf_writer *w, err *e) {
    err_code code = finish(w, e);
    gguf_write_abort(w);
    return code;
}
