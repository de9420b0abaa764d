/* imatrix: reading both forms, writing one; see imatrix.h. */
#include "io/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf_write.h"

#define SUM ".in_sum2"
#define COUNT ".counts"

/* ---- entries ---- */

static int by_name(const void *a, const void *b) {
    return str_cmp(((const imatrix_entry *)a)->name, ((const imatrix_entry *)b)->name);
}

/* sum, and mean of the n columns that `count` positions gave; 1 where there were none. */
static void mean_of(const float *sum, size_t n, float count, float *mean) {
    for (size_t i = 0; i < n; i++)
        mean[i] = count > 0 ? sum[i] / count : 1.0f;
}

static err_code check_values(str name, const float *sum, size_t n, err *e) {
    for (size_t i = 0; i < n; i++)
        if (!(sum[i] >= 0 && isfinite(sum[i])))
            return err_set(e, ERR_FORMAT, "entry %.*s: column %zu is %g, which no sum of squares can be", STR_ARG(name),
                           i, (double)sum[i]);
    return ERR_OK;
}

static err_code sort_entries(imatrix *m, err *e) {
    qsort(m->entry, m->n, sizeof *m->entry, by_name);
    for (size_t i = 1; i < m->n; i++)
        if (str_eq(m->entry[i - 1].name, m->entry[i].name))
            return err_set(e, ERR_FORMAT, "entry %.*s stands twice", STR_ARG(m->entry[i].name));
    return ERR_OK;
}

err_code imatrix_finish(imatrix *m, err *e) {
    for (size_t i = 0; i < m->n; i++) {
        imatrix_entry *x = &m->entry[i];
        float *mean;
        TRY(check_values(x->name, x->sum, x->n, e));
        ARENA_NEW(&m->mem, mean, x->n, e);
        mean_of(x->sum, x->n, x->count, mean);
        x->mean = mean;
    }
    return sort_entries(m, e);
}

const imatrix_entry *imatrix_find(const imatrix *m, str name) {
    imatrix_entry key = {.name = name};
    return m->n ? bsearch(&key, m->entry, m->n, sizeof key, by_name) : NULL;
}

/* ---- GGUF ---- */

static err_code copy_name(imatrix *m, str name, str *out, err *e) {
    *out = arena_str(&m->mem, name);
    return out->p ? ERR_OK : arena_short(e, name.n, 1);
}

static err_code copy_floats(imatrix *m, const uint8_t *from, size_t n, float **out, err *e) {
    ARENA_NEW(&m->mem, *out, n, e);
    memcpy(*out, from, n * sizeof **out);
    return ERR_OK;
}

/* The tensor NAME.counts that belongs to `sums`, NAME.in_sum2. */
static const tensor_ref *counts_of(const gguf_file *g, str name) {
    char full[IMATRIX_NAME_BYTES_MAX + sizeof COUNT];
    memcpy(full, name.p, name.n);
    memcpy(full + name.n, COUNT, sizeof COUNT);
    return gguf_tensor(g, full);
}

static err_code read_sums(imatrix *m, const gguf_file *g, const tensor_ref *sums, str name, err *e) {
    if (name.n == 0 || name.n > IMATRIX_NAME_BYTES_MAX)
        return err_set(e, ERR_FORMAT, "tensor %.*s: its matrix has a name of %zu bytes (1 to %d)", STR_ARG(sums->name),
                       name.n, IMATRIX_NAME_BYTES_MAX);
    const tensor_ref *counts = counts_of(g, name);
    if (!counts || counts->type != DTYPE_F32 || sums->type != DTYPE_F32)
        return err_set(e, ERR_FORMAT, "entry %.*s: %s" SUM " and " COUNT " in F32 belong together", STR_ARG(name),
                       counts ? "" : "no counts: ");
    imatrix_entry *x = &m->entry[m->n++];
    size_t n_counts = counts->bytes / sizeof(float), cols = (size_t)sums->dims[sums->n_dims - 1];
    float *sum, *mean, *count;
    x->n = sums->bytes / sizeof(float);
    if (x->n / cols != n_counts)
        return err_set(e, ERR_FORMAT, "entry %.*s: %zu rows of sums, but %zu counts", STR_ARG(name), x->n / cols,
                       n_counts);
    TRY(copy_name(m, name, &x->name, e));
    TRY(copy_floats(m, sums->data, x->n, &sum, e));
    TRY(copy_floats(m, counts->data, n_counts, &count, e));
    TRY(check_values(name, sum, x->n, e));
    ARENA_NEW(&m->mem, mean, x->n, e);
    for (size_t i = 0; i < n_counts; i++) {
        if (!(count[i] >= 0 && count[i] < 0x1p62f))
            return err_set(e, ERR_FORMAT, "entry %.*s: a count is %g", STR_ARG(name), (double)count[i]);
        mean_of(sum + i * cols, cols, roundf(count[i]), mean + i * cols);
    }
    x->sum = sum;
    x->mean = mean;
    x->n_counts = n_counts;
    x->count = roundf(count[0]);
    return ERR_OK;
}

static err_code read_keys(imatrix *m, const gguf_file *g, err *e) {
    uint64_t chunks, size;
    TRY(gguf_get_u64(g, "imatrix.chunk_count", 0, &chunks, e));
    TRY(gguf_get_u64(g, "imatrix.chunk_size", 0, &size, e));
    m->chunks = chunks < UINT32_MAX ? (uint32_t)chunks : UINT32_MAX;
    m->chunk_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    const gguf_kv *kv = gguf_find(g, "imatrix.datasets");
    gguf_iter it = {0};
    str name = {0};
    while (kv && kv->elem == GGUF_STRING && gguf_next_str(kv, &it, &name))
        ;
    return copy_name(m, name, &m->dataset, e);
}

static err_code read_gguf(imatrix *m, const gguf_file *g, err *e) {
    TRY(read_keys(m, g, e));
    if (g->n_tensors > 2 * IMATRIX_ENTRIES_MAX)
        return err_set(e, ERR_LIMIT, "%zu tensors, at most %d are read", g->n_tensors, 2 * IMATRIX_ENTRIES_MAX);
    ARENA_NEW(&m->mem, m->entry, g->n_tensors, e);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const tensor_ref *t = &g->tensor[i];
        if (str_ends(t->name, STR(SUM)))
            TRY(read_sums(m, g, t, str_sub(t->name, 0, t->name.n - strlen(SUM)), e));
    }
    if (m->n == 0)
        return err_set(e, ERR_FORMAT, "holds no importance matrix: no tensor ends in " SUM);
    return sort_entries(m, e);
}

/* ---- the older form ---- */

static err_code read_count(reader *r, const char *what, uint32_t most, uint32_t *out, err *e) {
    size_t at = r->at;
    TRY(reader_u32(r, out, e));
    if (*out == 0 || *out > most)
        return reader_fail(r, at, ERR_FORMAT, e, "%s is %d, 1 to %u is possible", what, (int32_t)*out, most);
    return ERR_OK;
}

static err_code read_old_entry(imatrix *m, reader *r, err *e) {
    uint32_t n_name, calls, n;
    const uint8_t *name, *values;
    float *sum;
    imatrix_entry *x = &m->entry[m->n++];
    TRY(read_count(r, "the length of a name", IMATRIX_NAME_BYTES_MAX, &n_name, e));
    TRY(reader_bytes(r, n_name, &name, e));
    TRY(reader_u32(r, &calls, e));
    TRY(read_count(r, "the number of columns", INT32_MAX / 4, &n, e));
    TRY(reader_bytes(r, (uint64_t)n * sizeof(float), &values, e));
    TRY(copy_name(m, (str){(const char *)name, n_name}, &x->name, e));
    TRY(copy_floats(m, values, n, &sum, e));
    x->n = n;
    x->sum = sum;
    x->count = calls > 0 && calls <= INT32_MAX ? (float)calls : 1; /* without calls the values stand as they are */
    return ERR_OK;
}

/* What may stand at the end; older files end before it. */
static err_code read_old_end(imatrix *m, reader *r, err *e) {
    uint32_t n;
    const uint8_t *name;
    if (reader_left(r) == 0)
        return ERR_OK;
    TRY(reader_u32(r, &m->chunks, e));
    if (reader_left(r) == 0)
        return ERR_OK;
    TRY(reader_u32(r, &n, e));
    TRY(reader_bytes(r, n, &name, e));
    return copy_name(m, (str){(const char *)name, n}, &m->dataset, e);
}

static err_code read_old(imatrix *m, reader *r, err *e) {
    uint32_t n;
    TRY(read_count(r, "the number of matrices (this is no GGUF file)", IMATRIX_ENTRIES_MAX, &n, e));
    ARENA_NEW(&m->mem, m->entry, n, e);
    for (uint32_t i = 0; i < n; i++)
        TRY(read_old_entry(m, r, e));
    TRY(read_old_end(m, r, e));
    err_code code = imatrix_finish(m, e); /* which knows no file; the reader names its own */
    return code ? err_in(e, code, "%s", r->file) : ERR_OK;
}

/* ---- both ---- */

static err_code open_gguf(imatrix *m, const char *path, err *e) {
    gguf_file g;
    TRY(gguf_open(&g, path, e));
    err_code code = read_gguf(m, &g, e);
    gguf_close(&g);
    return code ? err_in(e, code, "%s", path) : ERR_OK;
}

err_code imatrix_open(imatrix *m, const char *path, err *e) {
    os_map map;
    *m = (imatrix){.n = 0};
    TRY(os_map_open(&map, path, e));
    err_code code;
    if (map.n >= 4 && memcmp(map.p, "GGUF", 4) == 0) {
        code = open_gguf(m, path, e);
    } else {
        reader r = {.file = path, .p = map.p, .n = map.n};
        code = read_old(m, &r, e);
    }
    os_map_close(&map);
    if (code)
        imatrix_close(m);
    return code;
}

void imatrix_close(imatrix *m) {
    arena_fini(&m->mem);
    *m = (imatrix){.n = 0};
}

/* ---- writing ---- */

static err_code write_names(gguf_writer *w, const imatrix_entry *x, err *e) {
    char name[IMATRIX_NAME_BYTES_MAX + sizeof SUM];
    static const char *const suffix[] = {SUM, COUNT};
    if (x->name.n > IMATRIX_NAME_BYTES_MAX)
        return err_set(e, ERR_USAGE, "entry %.*s: its name is too long", STR_ARG(x->name));
    if (x->n_counts > 1)
        return err_set(e, ERR_UNSUPPORTED, "entry %.*s: that of %zu experts cannot be written", STR_ARG(x->name),
                       x->n_counts);
    memcpy(name, x->name.p, x->name.n);
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(suffix[i]);
        memcpy(name + x->name.n, suffix[i], n);
        tensor_spec s = {{name, x->name.n + n}, DTYPE_F32, 2, {1, i ? 1 : x->n, 1, 1}};
        TRY(gguf_write_tensor(w, &s, e));
    }
    return ERR_OK;
}

static err_code write_all(gguf_writer *w, const imatrix *m, err *e) {
    gguf_write_str(w, "general.type", STR("imatrix"), e);
    gguf_write_strs(w, "imatrix.datasets", &m->dataset, 1, e);
    gguf_write_u32(w, "imatrix.chunk_count", m->chunks, e);
    TRY(gguf_write_u32(w, "imatrix.chunk_size", m->chunk_size, e));
    for (size_t i = 0; i < m->n; i++)
        TRY(write_names(w, &m->entry[i], e));
    for (size_t i = 0; i < m->n; i++) {
        TRY(gguf_write_data(w, m->entry[i].sum, m->entry[i].n * sizeof(float), e));
        TRY(gguf_write_data(w, &m->entry[i].count, sizeof(float), e));
    }
    return ERR_OK;
}

err_code imatrix_write(const imatrix *m, const char *path, err *e) {
    gguf_writer *w;
    TRY(gguf_write_open(&w, path, e));
    err_code code = write_all(w, m, e);
    if (!code)
        return gguf_write_commit(w, e);
    gguf_write_abort(w);
    return code;
}
