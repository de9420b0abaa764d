/* safetensors: the reader of .safetensors files; see safetensors.h for the layout.
 *
 *   folder -> (index ->) shards -> header of each -> tensors of all, sorted by name -> index agrees
 *
 * Source: the format description in the safetensors README and the rules its reference reader enforces.
 *
 * Invariants
 *   1. A tensor's bytes are from..to of the data section, and to - from is what dtype and shape ask for.
 *   2. The tensors of a file, sorted by `from`, begin at 0, join without a hole, and end with the file:
 *      so none overlap, and no bytes of a file are hidden from its header.
 *   3. No two tensors share a name, within a file (JSON keys) or between shards (sorted names).
 *   4. A shard's name never leads out of the folder.
 */
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/reader.h"
#include "text/json.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"

/* ---- one file ---- */

typedef struct {
    reader r;         /* over the whole file */
    str header;       /* JSON text, begins at byte 8 */
    size_t data_from; /* file offset of the data section */
    size_t data_n;
} st_file;

/* Where a tensor's entry stands in the file: found by its quoted name, at worst the header's start. */
static size_t entry_offset(const st_file *f, const char *name) {
    strbuf quoted = {0};
    ptrdiff_t at =
        json_quote(str_from(name), &quoted, NULL) == ERR_OK ? str_find(f->header, strbuf_str(&quoted), 0) : -1;
    strbuf_fini(&quoted);
    return 8 + (at < 0 ? 0 : (size_t)at);
}

#define ENTRY_FAIL(f, name, code, e, fmt, ...) \
    reader_fail(&(f)->r, entry_offset((f), (name)), (code), (e), "tensor %.200s: " fmt, (name), __VA_ARGS__)

static err_code read_dtype(const st_file *f, const char *name, const json_t *entry, dtype *out, err *e) {
    static const struct {
        const char *name;
        dtype type;
    } known[] = {{"F32", DTYPE_F32}, {"F16", DTYPE_F16}, {"BF16", DTYPE_BF16}};
    str text = json_get_str(entry, "dtype", STR(""));
    if (text.n == 0)
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "%s", "\"dtype\" is missing or no string");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(text, known[i].name)) {
            *out = known[i].type;
            return ERR_OK;
        }
    return ENTRY_FAIL(f, name, ERR_UNSUPPORTED, e, "dtype %.*s is not supported (F32, F16 and BF16 are)",
                      STR_ARG(text));
}

static err_code read_shape(const st_file *f, const char *name, const json_t *entry, tensor_ref *t, err *e) {
    const json_t *shape = json_object_get(entry, "shape");
    size_t n = json_array_size(shape);
    if (!json_is_array(shape))
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "%s", "\"shape\" is missing or no array");
    if (n > TENSOR_DIMS_MAX)
        return ENTRY_FAIL(f, name, ERR_UNSUPPORTED, e, "%zu dims; at most %d are supported", n, TENSOR_DIMS_MAX);
    for (int d = 0; d < TENSOR_DIMS_MAX; d++)
        t->dims[d] = 1;
    t->n_dims = n ? (int)n : 1; /* a scalar is a vector of one */
    uint64_t elems = 1, bytes;
    bool over = false;
    for (size_t d = 0; d < n; d++) {
        const json_t *dim = json_array_get(shape, d);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return ENTRY_FAIL(f, name, ERR_FORMAT, e, "dim %zu of its shape is no whole number from 0 up", d);
        t->dims[d] = (uint64_t)json_integer_value(dim);
        if (t->dims[d] == 0)
            return ENTRY_FAIL(f, name, ERR_UNSUPPORTED, e, "dim %zu of its shape is 0: a tensor without elements", d);
        over |= __builtin_mul_overflow(elems, t->dims[d], &elems);
    }
    over |= __builtin_mul_overflow(elems, (uint64_t)dtype_table[t->type].block_bytes, &bytes);
    if (over || bytes > PTRDIFF_MAX)
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "%s", "the product of its dims is too large");
    t->bytes = (size_t)bytes;
    return ERR_OK;
}

static err_code read_offsets(const st_file *f, const char *name, const json_t *entry, tensor_ref *t, err *e) {
    const json_t *pair = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(pair, 0), *to = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "%s", "\"data_offsets\" is missing or no pair of whole numbers");
    int64_t a = json_integer_value(from), b = json_integer_value(to);
    if (a < 0 || b < a || (uint64_t)b > f->data_n)
        return ENTRY_FAIL(f, name, ERR_FORMAT, e,
                          "data_offsets [%" PRId64 ", %" PRId64
                          "] do not lie within the %zu bytes of data (is the file cut short?)",
                          a, b, f->data_n);
    if ((uint64_t)(b - a) != t->bytes)
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "data_offsets hold %" PRId64 " bytes, dtype and shape ask for %zu",
                          b - a, t->bytes);
    t->offset = (uint64_t)a + f->data_from;
    t->data = f->r.p + t->offset;
    return ERR_OK;
}

static err_code read_entry(const st_file *f, const char *name, const json_t *entry, tensor_ref *t, err *e) {
    if (!json_is_object(entry))
        return ENTRY_FAIL(f, name, ERR_FORMAT, e, "%s", "its entry is no object");
    if (!*name)
        return reader_fail(&f->r, 8, ERR_FORMAT, e, "a tensor without a name");
    TRY(read_dtype(f, name, entry, &t->type, e));
    TRY(read_shape(f, name, entry, t, e));
    return read_offsets(f, name, entry, t, e);
}

static err_code check_metadata(const st_file *f, json_t *metadata, err *e) {
    const char *key;
    json_t *value;
    bool good = json_is_object(metadata);
    json_object_foreach(metadata, key, value) good = good && json_is_string(value);
    return good ? ERR_OK
                : reader_fail(&f->r, entry_offset(f, "__metadata__"), ERR_FORMAT, e,
                              "__metadata__ is no object of strings");
}

static int by_offset(const void *a, const void *b) {
    const tensor_ref *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_name(const void *a, const void *b) {
    const tensor_ref *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : (x->offset > y->offset) - (x->offset < y->offset);
}

static err_code check_tiling(const st_file *f, tensor_ref *t, size_t n, err *e) {
    if (n > 1)
        qsort(t, n, sizeof *t, by_offset);
    uint64_t end = f->data_from;
    for (size_t i = 0; i < n; end = t[i].offset + t[i].bytes, i++)
        if (t[i].offset != end)
            return reader_fail(&f->r, (size_t)t[i].offset, ERR_FORMAT, e, "tensor %.*s %s the tensor before it",
                               STR_ARG(t[i].name), t[i].offset < end ? "overlaps" : "leaves a hole after");
    if (end != f->r.n)
        return reader_fail(&f->r, (size_t)end, ERR_FORMAT, e,
                           "the header accounts for no byte from here to the end, byte %zu", f->r.n);
    return ERR_OK;
}

static err_code read_entries(safetensors *s, const st_file *f, const os_map *map, json_t *root, tensor_ref **tensor,
                             size_t *n_tensors, err *e) {
    size_t n = 0, n_max = json_object_size(root);
    if (n_max > SAFETENSORS_TENSORS_MAX)
        return reader_fail(&f->r, 8, ERR_LIMIT, e, "%zu tensors; at most %d are read", n_max, SAFETENSORS_TENSORS_MAX);
    tensor_ref *t;
    ARENA_NEW(&s->mem, t, n_max, e);
    const char *name;
    json_t *entry;
    json_object_foreach(root, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            TRY(check_metadata(f, entry, e));
            continue;
        }
        TRY(read_entry(f, name, entry, &t[n], e));
        t[n].map = map;
        t[n].name = arena_str(&s->mem, str_from(name));
        if (!t[n].name.p)
            return arena_short(e, strlen(name) + 1, 1);
        n++;
    }
    TRY(check_tiling(f, t, n, e));
    *tensor = t;
    *n_tensors = n;
    return ERR_OK;
}

/* Maps the file at `path` into *map and lists its tensors, in the order of their bytes. */
static err_code read_file(safetensors *s, const char *path, os_map *map, tensor_ref **tensor, size_t *n_tensors,
                          err *e) {
    TRY(os_map_open(map, path, e));
    st_file f = {.r = {.file = path, .p = map->p, .n = map->n}};
    uint64_t header_n;
    const uint8_t *header;
    TRY(reader_u64(&f.r, &header_n, e));
    if (header_n > SAFETENSORS_HEADER_MAX)
        return reader_fail(&f.r, 0, ERR_LIMIT, e,
                           "a header of %" PRIu64 " bytes; at most %d are read (is it a safetensors file?)", header_n,
                           SAFETENSORS_HEADER_MAX);
    TRY(reader_bytes(&f.r, header_n, &header, e));
    f.header = (str){(const char *)header, (size_t)header_n};
    f.data_from = f.r.at;
    f.data_n = reader_left(&f.r);
    if (header_n == 0 || header[0] != '{')
        return reader_fail(&f.r, 8, ERR_FORMAT, e, "the header does not begin with '{'");
    json_t *root;
    err_code code = json_read(f.header, SAFETENSORS_HEADER_MAX, &root, e);
    if (code != ERR_OK)
        return err_in(e, code, "%s: in the header, which begins at byte 8", path);
    code = read_entries(s, &f, map, root, tensor, n_tensors, e);
    json_decref(root);
    return code;
}

/* ---- a folder ---- */

static err_code join(arena *mem, const char *folder, const char *name, const char **out, err *e) {
    size_t n = strlen(folder) + 1 + strlen(name) + 1;
    char *p;
    ARENA_NEW(mem, p, n, e);
    snprintf(p, n, "%s/%s", folder, name);
    *out = p;
    return ERR_OK;
}

static err_code check_names(safetensors *s, const char *path, err *e) {
    if (s->n_tensors > 1)
        qsort(s->tensor, s->n_tensors, sizeof *s->tensor, by_name);
    for (size_t i = 1; i < s->n_tensors; i++)
        if (str_eq(s->tensor[i - 1].name, s->tensor[i].name))
            return err_set(e, ERR_FORMAT, "%s: tensor %.*s stands in two shards", path, STR_ARG(s->tensor[i].name));
    return ERR_OK;
}

static err_code open_single(safetensors *s, const char *path, err *e) {
    ARENA_NEW(&s->mem, s->map, 1, e);
    s->n_maps = 1;
    TRY(read_file(s, path, &s->map[0], &s->tensor, &s->n_tensors, e));
    return check_names(s, path, e);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The distinct shard names of a weight_map, sorted. */
static err_code list_shards(safetensors *s, const char *index, json_t *weight_map, const char ***shards,
                            size_t *n_shards, err *e) {
    size_t n = json_object_size(weight_map), at = 0;
    if (!json_is_object(weight_map) || n == 0)
        return err_set(e, ERR_FORMAT, "%s: \"weight_map\" is missing, empty or no object", index);
    if (n > SAFETENSORS_TENSORS_MAX)
        return err_set(e, ERR_LIMIT, "%s: %zu tensors; at most %d are read", index, n, SAFETENSORS_TENSORS_MAX);
    const char **list, *name;
    ARENA_NEW(&s->mem, list, n, e);
    json_t *shard;
    json_object_foreach(weight_map, name, shard) {
        str file = json_is_string(shard) ? json_str_of(shard) : (str){0};
        if (file.n == 0 || memchr(file.p, 0, file.n) || strpbrk(file.p, "/\\") || strcmp(file.p, ".") == 0 ||
            strcmp(file.p, "..") == 0)
            return err_set(e, ERR_FORMAT, "%s: weight_map, tensor %.200s: \"%.*s\" is no plain file name", index, name,
                           STR_ARG(file));
        if (!str_ends(file, STR(".safetensors"))) /* a base's digest is of files so named (tune/base.h) */
            return err_set(e, ERR_FORMAT, "%s: weight_map, tensor %.200s: \"%.*s\" does not end with .safetensors",
                           index, name, STR_ARG(file));
        list[at++] = file.p;
    }
    qsort(list, n, sizeof *list, by_text);
    *n_shards = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(list[i], list[*n_shards - 1]) != 0)
            list[(*n_shards)++] = list[i];
    if (*n_shards > SAFETENSORS_SHARDS_MAX)
        return err_set(e, ERR_LIMIT, "%s: %zu shards; at most %d are read", index, *n_shards, SAFETENSORS_SHARDS_MAX);
    *shards = list;
    return ERR_OK;
}

/* Every tensor that the index places must be in just that shard. (One that the index leaves out is
 * read all the same: the headers say what a shard holds.) */
static err_code check_index(const safetensors *s, const char *index, json_t *weight_map, const char *const *shards,
                            err *e) {
    const char *name;
    json_t *shard;
    json_object_foreach(weight_map, name, shard) {
        const tensor_ref *t = safetensors_find(s, name);
        if (!t)
            return err_set(e, ERR_FORMAT, "%s: weight_map, tensor %.200s: it is not in shard %s", index, name,
                           json_string_value(shard));
        const char *holder = shards[t->map - s->map];
        if (strcmp(holder, json_string_value(shard)) != 0)
            return err_set(e, ERR_FORMAT, "%s: weight_map, tensor %.200s: placed in shard %s, but it is in shard %s",
                           index, name, json_string_value(shard), holder);
    }
    return ERR_OK;
}

static err_code open_shards(safetensors *s, const char *folder, const char *index, const json_t *root, err *e) {
    json_t *weight_map = json_object_get(root, "weight_map");
    const char **shards = NULL;
    size_t n_shards = 0;
    TRY(list_shards(s, index, weight_map, &shards, &n_shards, e));
    ARENA_NEW(&s->mem, s->map, n_shards, e);
    s->n_maps = n_shards; /* those not mapped yet are zero, and closing them is harmless */
    tensor_ref **part;
    size_t *n_part, n = 0;
    ARENA_NEW(&s->mem, part, n_shards, e);
    ARENA_NEW(&s->mem, n_part, n_shards, e);
    for (size_t i = 0; i < n_shards; i++) {
        const char *path;
        TRY(join(&s->mem, folder, shards[i], &path, e));
        if (!os_exists(path))
            return err_set(e, ERR_IO, "%s: weight_map names shard %s, which is not there (download it)", index,
                           shards[i]);
        TRY(read_file(s, path, &s->map[i], &part[i], &n_part[i], e));
        n += n_part[i]; /* 1024 shards of at most 2^20 tensors: cannot wrap */
        if (n > SAFETENSORS_TENSORS_MAX)
            return err_set(e, ERR_LIMIT, "%s: more than %d tensors", index, SAFETENSORS_TENSORS_MAX);
    }
    ARENA_NEW(&s->mem, s->tensor, n, e);
    for (size_t i = 0; i < n_shards; s->n_tensors += n_part[i], i++)
        if (n_part[i])
            memcpy(s->tensor + s->n_tensors, part[i], n_part[i] * sizeof *part[i]);
    TRY(check_names(s, index, e));
    return check_index(s, index, weight_map, shards, e);
}

static err_code open_folder(safetensors *s, const char *folder, err *e) {
    const char *single, *index;
    TRY(join(&s->mem, folder, SINGLE_NAME, &single, e));
    TRY(join(&s->mem, folder, INDEX_NAME, &index, e));
    if (os_exists(single))
        return open_single(s, single, e);
    if (!os_exists(index))
        return err_set(e, ERR_IO, "%s: the folder holds neither %s nor %s", folder, SINGLE_NAME, INDEX_NAME);
    strbuf text = {0};
    json_t *root = NULL;
    err_code code = os_read_regular(index, SAFETENSORS_HEADER_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), SAFETENSORS_HEADER_MAX, &root, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", index);
    }
    strbuf_fini(&text);
    if (code == ERR_OK)
        code = open_shards(s, folder, index, root, e);
    json_decref(root);
    return code;
}

/* ---- open, close, look-up ---- */

err_code safetensors_open(safetensors *s, const char *path, err *e) {
    *s = (safetensors){0};
    err_code code = os_is_dir(path) ? open_folder(s, path, e) : open_single(s, path, e);
    if (code != ERR_OK)
        safetensors_close(s);
    return code;
}

void safetensors_close(safetensors *s) {
    for (size_t i = 0; i < s->n_maps; i++)
        os_map_close(&s->map[i]);
    arena_fini(&s->mem);
    *s = (safetensors){0};
}

const tensor_ref *safetensors_find(const safetensors *s, const char *name) {
    size_t lo = 0, hi = s->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(s->tensor[mid].name, str_from(name));
        if (c == 0)
            return &s->tensor[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
