/* export: tensors, row by row, into a GGUF file or a Hugging Face folder; see export.h.
 *
 *   list the tensors -> choose their types -> declare them all -> each: rows in parts of some megabytes, converted by
 * all threads at once, written by one
 *
 * Memory: two parts of rows, whatever the size of the model.
 */
#include "model/export.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors_write.h"
#include "kern/block.h"
#include "kern/half.h"
#include "kern/quantise.h"
#include "text/json_write.h"

enum { PART_BYTES = 8 << 20 };
static const uint64_t SHARD_BYTES = 5000000000;

/* ---- one matrix ---- */

/* Some rows on their way: stored form -> (floats ->) the wanted form. */
typedef struct {
    const kern_ops *kern;
    const model_tensor *t;
    dtype to;
    const float *importance;
    const export_change *change; /* NULL: none */
    size_t from, n;              /* rows */
    uint8_t *out;                /* [n] rows */
    uint8_t *stored;             /* a row a thread */
    float *values;               /* likewise */
    atomic_size_t bad;           /* the lowest row that did not fit, or SIZE_MAX */
} rows_job;

/* What row r is to hold. */
static void row_values(const rows_job *j, size_t r, int thread, uint8_t *stored, float *values) {
    const model_tensor *t = j->t;
    int part;
    size_t row;
    tensor_row(t, r, stored);
    block_dequantise(t->type, stored, t->cols, values);
    if (!j->change)
        return;
    tensor_place(t, r, &part, &row);
    j->change->row(j->change->ctx, t, part, row, thread, values);
}

static void convert_row(rows_job *j, size_t r, int thread, uint8_t *out, uint8_t *stored, float *values) {
    const model_tensor *t = j->t;
    if (t->type == j->to && !j->change) {
        tensor_row(t, r, out);
        return;
    }
    row_values(j, r, thread, stored, values);
    if (quantise_row(j->kern, j->to, values, t->cols, j->importance, out))
        return;
    for (size_t seen = atomic_load(&j->bad); r < seen && !atomic_compare_exchange_weak(&j->bad, &seen, r);) {
    }
}

static void convert_part(void *ctx, int part, int n_parts) {
    rows_job *j = ctx;
    size_t from, to, in_bytes = dtype_row_bytes(j->t->type, j->t->cols), bytes = dtype_row_bytes(j->to, j->t->cols);
    pool_share(j->n, 1, part, n_parts, &from, &to);
    for (size_t r = from; r < to; r++)
        convert_row(j, j->from + r, part, j->out + r * bytes, j->stored + (size_t)part * in_bytes,
                    j->values + (size_t)part * j->t->cols);
}

/* Where bytes go: one of the two writers. */
typedef struct {
    gguf_writer *gguf;
    safetensors_writer *st;
    const model *m;
    const export_options *o;
    size_t done, total; /* bytes */
} sink;

static err_code put(sink *s, const void *p, size_t n, err *e) {
    TRY(s->gguf ? gguf_write_data(s->gguf, p, n, e) : safetensors_write_data(s->st, p, n, e));
    s->done += n;
    if (s->o->progress)
        s->o->progress(s->o->progress_ctx, s->done, s->total);
    return ERR_OK;
}

static err_code unfit(const sink *s, const rows_job *j, err *e) {
    const model_tensor *t = j->t;
    size_t r = atomic_load(&j->bad), worst = 0;
    row_values(j, r, 0, j->stored, j->values);
    for (size_t i = 1; i < t->cols; i++) { /* the largest; infinity and NaN before all */
        float a = j->values[i], b = j->values[worst];
        if (b - b == 0 && !((a < 0 ? -a : a) <= (b < 0 ? -b : b)))
            worst = i;
    }
    return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: element [%zu][%zu] is %g, which %s cannot hold%s", s->m->path,
                   t->name, r, worst, (double)j->values[worst], dtype_table[j->to].name,
                   j->to == DTYPE_F16 ? " (BF16 and F32 hold large values)" : "");
}

static err_code put_matrix(sink *s, const model_tensor *t, dtype to, const float *importance, err *e) {
    pool *p = s->m->engine.pool;
    size_t threads = (size_t)pool_threads(p), bytes = dtype_row_bytes(to, t->cols), n = PART_BYTES / bytes + 1;
    n = n < t->rows ? n : t->rows;
    rows_job j = {.kern = s->m->engine.kern, .t = t, .to = to, .importance = importance};
    const export_change *change = &s->o->change;
    bool changes = false;
    if (change->begin)
        TRY(change->begin(change->ctx, t, &changes, e));
    j.change = changes ? change : NULL;
    atomic_init(&j.bad, SIZE_MAX);
    j.out = malloc(n * bytes);
    j.stored = malloc(threads * dtype_row_bytes(t->type, t->cols));
    j.values = malloc(threads * t->cols * sizeof(float));
    err_code code = ERR_OK;
    if (!j.out || !j.stored || !j.values)
        code = err_set(e, ERR_MEMORY, "%s: no memory for %zu rows of tensor %s", s->m->path, n, t->name);
    for (j.from = 0; !code && j.from < t->rows; j.from += j.n) {
        j.n = n < t->rows - j.from ? n : t->rows - j.from;
        pool_run(p, convert_part, &j);
        code = atomic_load(&j.bad) != SIZE_MAX ? unfit(s, &j, e) : put(s, j.out, j.n * bytes, e);
    }
    free(j.out);
    free(j.stored);
    free(j.values);
    return code;
}

/* What has been written need not count as this process's memory any more. */
static void release(const model_tensor *t) {
    for (int i = 0; i < t->n_parts; i++) {
        const tensor_ref *f = t->part[i].file;
        if (f)
            os_map_release(f->map, (size_t)f->offset, f->bytes);
    }
}

static err_code put_vector(sink *s, const model_tensor *t, dtype to, err *e) {
    uint8_t *out = malloc(dtype_row_bytes(to, t->rows));
    if (!out)
        return err_set(e, ERR_MEMORY, "%s: no memory for tensor %s", s->m->path, t->name);
    quantise_row(s->m->engine.kern, to, t->vector, t->rows, NULL, out);
    err_code code = put(s, out, dtype_row_bytes(to, t->rows), e);
    free(out);
    return code;
}

static err_code put_tensor(sink *s, const model_tensor *t, dtype to, err *e) {
    if (!t->cols)
        return put_vector(s, t, to, e);
    const float *importance = s->o->importance ? s->o->importance(s->o->choose_ctx, t) : NULL;
    TRY(put_matrix(s, t, to, importance, e));
    release(t);
    return ERR_OK;
}

static tensor_spec spec_of(const model_tensor *t, dtype to) {
    tensor_spec s = {.name = str_from(t->name), .type = to, .n_dims = t->cols ? 2 : 1, .dims = {t->rows, 1, 1, 1}};
    if (t->cols)
        s.dims[1] = t->cols;
    return s;
}

static size_t bytes_of(const model_tensor *t, dtype to) {
    return t->cols ? t->rows * dtype_row_bytes(to, t->cols) : dtype_row_bytes(to, t->rows);
}

/* ---- GGUF ---- */

static dtype gguf_type_of(const export_options *o, const model_tensor *t, size_t i) {
    if (!t->cols)
        return DTYPE_F32;
    if (o->choose)
        return o->choose(o->choose_ctx, t, i);
    return o->type >= 0 ? (dtype)o->type : t->type;
}

static err_code gguf_tensors(sink *s, const model_tensor *t, size_t n, const export_table *table, err *e) {
    dtype *to = malloc(n * sizeof *to);
    if (!to)
        return err_set(e, ERR_MEMORY, "%s: no memory for %zu tensors", s->m->path, n);
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && !code; i++) {
        to[i] = gguf_type_of(s->o, &t[i], i);
        tensor_spec spec = spec_of(&t[i], to[i]);
        code = gguf_write_tensor(s->gguf, &spec, e);
        s->total += code ? 0 : bytes_of(&t[i], to[i]);
    }
    for (const export_table *x = table; x->name && !code; x++)
        code = gguf_write_tensor(s->gguf, &(tensor_spec){str_from(x->name), DTYPE_F32, 1, {x->n, 1, 1, 1}}, e);
    for (size_t i = 0; i < n && !code; i++)
        code = put_tensor(s, &t[i], to[i], e);
    for (const export_table *x = table; x->name && !code; x++)
        code = gguf_write_data(s->gguf, x->f, x->n * sizeof *x->f, e);
    free(to);
    return code;
}

static err_code gguf_all(sink *s, arena *mem, err *e) {
    model_tensor *t;
    size_t n;
    export_table table[EXPORT_TABLES_MAX + 1];
    TRY(tensors_of(s->m, true, false, mem, &t, &n, e));
    TRY(export_tables(s->m, mem, table, e));
    TRY(export_keys(s->m, s->gguf, s->o, e));
    return gguf_tensors(s, t, n, table, e);
}

static err_code gguf_through(gguf_writer *w, const model *m, const export_options *o, err *e) {
    sink s = {.gguf = w, .m = m, .o = o};
    arena mem = {0};
    err_code code = gguf_all(&s, &mem, e);
    if (code)
        gguf_write_abort(s.gguf);
    else
        code = gguf_write_commit(s.gguf, e);
    arena_fini(&mem);
    return code;
}

err_code export_gguf(const model *m, const char *path, const export_options *o, err *e) {
    gguf_writer *w;
    TRY(gguf_write_open(&w, path, e));
    return gguf_through(w, m, o, e);
}

err_code export_compare(const model *m, const char *path, const export_options *o, err *e) {
    gguf_writer *w;
    TRY(gguf_compare_open(&w, path, e));
    return gguf_through(w, m, o, e);
}

/* ---- Hugging Face folder ---- */

static bool survives(const float *f, size_t n, dtype to) {
    for (size_t i = 0; i < n; i++) {
        float back = to == DTYPE_F16 ? half_to_f32(half_from_f32(f[i])) : bf16_to_f32(bf16_from_f32(f[i]));
        if (to != DTYPE_F32 && back != f[i])
            return false;
    }
    return true;
}

/* One file of the folder: tensors [from, to) of the list. */
typedef struct {
    size_t from, to;
    uint64_t bytes;
} shard;

typedef struct {
    sink s;
    const char *folder;
    model_tensor *t;
    dtype *as;
    size_t n;
    shard *shard;
    size_t n_shards;
} folder_job;

static err_code path_in(const folder_job *j, const char *name, strbuf *path, err *e) {
    path->n = 0;
    return strbuf_addf(path, e, "%s/%s%c", j->folder, name, '\0');
}

static void shard_name(const folder_job *j, size_t i, char name[64]) {
    if (j->n_shards == 1)
        snprintf(name, 64, "model.safetensors");
    else
        snprintf(name, 64, "model-%05zu-of-%05zu.safetensors", i + 1, j->n_shards);
}

/* Wider types first, so that every tensor begins at a multiple of its width. */
static err_code write_tensors(folder_job *j, const shard *part, err *e) {
    for (int pass = 0; pass < 4; pass++) /* declare wide, declare narrow, write wide, write narrow */
        for (size_t i = part->from; i < part->to; i++) {
            if ((j->as[i] == DTYPE_F32) != (pass % 2 == 0))
                continue;
            tensor_spec spec = spec_of(&j->t[i], j->as[i]);
            TRY(pass < 2 ? safetensors_write_tensor(j->s.st, &spec, e) : put_tensor(&j->s, &j->t[i], j->as[i], e));
        }
    return ERR_OK;
}

static err_code write_shard(folder_job *j, size_t i, err *e) {
    char name[64];
    strbuf path = {0};
    shard_name(j, i, name);
    err_code code = path_in(j, name, &path, e);
    if (!code)
        code = safetensors_write_open(&j->s.st, path.p, e);
    strbuf_fini(&path);
    TRY(code);
    code = safetensors_write_meta(j->s.st, "format", STR("pt"), e);
    if (!code)
        code = write_tensors(j, &j->shard[i], e);
    if (!code)
        return safetensors_write_commit(j->s.st, e);
    safetensors_write_abort(j->s.st);
    return code;
}

static err_code index_text(const folder_job *j, strbuf *b, err *e) {
    TRY(strbuf_addf(b, e, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {",
                    (uint64_t)j->s.total));
    for (size_t i = 0; i < j->n_shards; i++)
        for (size_t k = j->shard[i].from; k < j->shard[i].to; k++) {
            char name[64];
            shard_name(j, i, name);
            TRY(strbuf_addf(b, e, "%s\n    \"%s\": \"%s\"", k ? "," : "", j->t[k].name, name));
        }
    return strbuf_add(b, STR("\n  }\n}\n"), e);
}

static err_code write_text(const folder_job *j, const char *name, const strbuf *text, err *e) {
    strbuf path = {0};
    err_code code = path_in(j, name, &path, e);
    if (!code)
        code = os_write_file(path.p, strbuf_str(text), e);
    strbuf_fini(&path);
    return code;
}

/* Types, sizes and shards, from the list of tensors. */
static err_code plan(folder_job *j, dtype type, arena *mem, err *e) {
    uint64_t most = j->s.o->shard_bytes ? j->s.o->shard_bytes : SHARD_BYTES;
    ARENA_NEW(mem, j->as, j->n, e);
    ARENA_NEW(mem, j->shard, j->n, e);
    for (size_t i = 0; i < j->n; i++) {
        const model_tensor *t = &j->t[i];
        j->as[i] = t->cols || survives(t->vector, t->rows, type) ? type : DTYPE_F32;
        uint64_t bytes = bytes_of(t, j->as[i]);
        shard *last = j->n_shards ? &j->shard[j->n_shards - 1] : NULL;
        if (!last || last->bytes + bytes > most) {
            last = &j->shard[j->n_shards++];
            *last = (shard){.from = i};
        }
        last->to = i + 1;
        last->bytes += bytes;
        j->s.total += bytes;
    }
    return ERR_OK;
}

static err_code folder_all(folder_job *j, arena *mem, err *e) {
    const model *m = j->s.m;
    dtype type = j->s.o->type >= 0 ? (dtype)j->s.o->type : m->layers[0].q.type;
    if (type != DTYPE_F32 && type != DTYPE_F16 && type != DTYPE_BF16)
        return err_set(e, ERR_USAGE, "%s: its weights are %s, which a folder cannot hold (choose F32, F16 or BF16)",
                       m->path, dtype_table[type].name);
    strbuf text = {0}, index = {0};
    err_code code = export_config(m, type, j->s.o, &text, e);
    bool zeros = m->config.arch->qkv_bias == false;
    if (!code)
        code = tensors_of(m, false, zeros, mem, &j->t, &j->n, e);
    if (!code)
        code = plan(j, type, mem, e);
    for (size_t i = 0; i < j->n_shards && !code; i++)
        code = write_shard(j, i, e);
    if (!code && j->n_shards > 1)
        code = index_text(j, &index, e);
    if (!code && j->n_shards > 1)
        code = write_text(j, "model.safetensors.index.json", &index, e);
    if (!code) /* last: a folder without it is no model */
        code = write_text(j, "config.json", &text, e);
    strbuf_fini(&index);
    strbuf_fini(&text);
    return code;
}

err_code export_folder(const model *m, const char *folder, const export_options *o, err *e) {
    folder_job j = {.s = {.m = m, .o = o}, .folder = folder};
    arena mem = {0};
    err_code code = folder_all(&j, &mem, e);
    arena_fini(&mem);
    return code;
}
