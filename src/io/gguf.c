/* gguf: the GGUF reader; see gguf.h for the layout.
 *
 * gguf_open() maps the file, then goes through it once, front to back:
 *
 *   header -> every kv -> alignment -> every tensor info -> extents -> duplicates, overlaps
 *
 * and, of a model in several files, through each of the others in the same way.
 *
 * Invariants
 *   1. Nothing is allocated for a count before count * (smallest encoding) <= bytes left,
 *      so memory is at most a small multiple of the file (5 bytes for one).
 *   2. After gguf_open() every slice handed out lies inside the mapping, every string of every array too.
 *   3. Duplicates and overlaps are found on sorted indices: n log n, whatever the file holds.
 *   4. Values are read by memcpy, never through a cast pointer: nothing in the metadata is aligned.
 *   5. The file structure is zeroed before the first check, so that closing it is safe from any point.
 */
#include "io/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf_parts.h"

enum {
    MAGIC = 0x46554747,                     /* "GGUF" read as a little-endian u32 */
    KV_BYTES_MIN = 8 + 1 + 4 + 1,           /* key length, a one-byte key, type, a one-byte value */
    INFO_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8, /* name length, a one-byte name, n_dims, one dim, type, offset */
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MIN = 8,
    ALIGNMENT_MAX = 1 << 20,
};

/* ---- names ---- */

/* Bytes of one value; 0: not a fixed size. */
static const struct {
    const char *name;
    size_t bytes;
} value_types[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"U8", 1},         [GGUF_I8] = {"I8", 1},       [GGUF_U16] = {"U16", 2}, [GGUF_I16] = {"I16", 2},
    [GGUF_U32] = {"U32", 4},       [GGUF_I32] = {"I32", 4},     [GGUF_F32] = {"F32", 4}, [GGUF_BOOL] = {"BOOL", 1},
    [GGUF_STRING] = {"STRING", 0}, [GGUF_ARRAY] = {"ARRAY", 0}, [GGUF_U64] = {"U64", 8}, [GGUF_I64] = {"I64", 8},
    [GGUF_F64] = {"F64", 8},
};

const char *gguf_type_name(gguf_type t) { return (unsigned)t < GGUF_TYPE_COUNT ? value_types[t].name : "unknown"; }

/* Every tensor type number that ggml has given out, so that a refusal can name it. Those of
 * dtype.h are not repeated here; a number with a gap was withdrawn before it had files. */
static const char *const foreign_types[] = {
    [4] = "Q4_2",        [5] = "Q4_3",        [9] = "Q8_1",      [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS",
    [18] = "IQ3_XXS",    [19] = "IQ1_S",      [20] = "IQ4_NL",   [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS",
    [24] = "I8",         [25] = "I16",        [26] = "I32",      [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",
    [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",   [33] = "Q4_0_8_8", [34] = "TQ1_0", [35] = "TQ2_0",   [36] = "IQ4_NL_4_4",
    [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8", [39] = "MXFP4",    [40] = "NVFP4", [41] = "Q1_0",    [42] = "Q2_0",
};

/* ---- header, keys and values ---- */

static size_t file_offset(const gguf_file *g, const void *p) { return (size_t)((const uint8_t *)p - g->map.p); }

static err_code read_str(reader *r, str *out, err *e) {
    uint64_t n;
    const uint8_t *p;
    TRY(reader_u64(r, &n, e));
    TRY(reader_bytes(r, n, &p, e));
    *out = (str){(const char *)p, (size_t)n};
    return ERR_OK;
}

/* A key or a tensor name: what look-ups by C string can find, and messages can show. */
static err_code read_name(reader *r, const char *what, str *out, err *e) {
    size_t at = r->at;
    uint64_t n;
    const uint8_t *p;
    TRY(reader_u64(r, &n, e));
    if (n == 0 || n > GGUF_KEY_BYTES_MAX)
        return reader_fail(r, at, ERR_FORMAT, e, "a %s of %" PRIu64 " bytes; it has 1 to %d", what, n,
                           GGUF_KEY_BYTES_MAX);
    TRY(reader_bytes(r, n, &p, e));
    if (memchr(p, 0, (size_t)n))
        return reader_fail(r, at + 8, ERR_FORMAT, e, "a %s that holds a NUL byte", what);
    *out = (str){(const char *)p, (size_t)n};
    return ERR_OK;
}

static err_code read_header(gguf_file *g, reader *r, err *e) {
    uint32_t magic;
    uint64_t n_tensors, n_kv;
    TRY(reader_u32(r, &magic, e));
    if (magic != MAGIC)
        return reader_fail(r, 0, ERR_FORMAT, e, "not a GGUF file: it does not begin with \"GGUF\"");
    TRY(reader_u32(r, &g->version, e));
    if (g->version != 0 && (g->version & 0xffff) == 0)
        return reader_fail(r, 4, ERR_UNSUPPORTED, e, "a big-endian GGUF file; only little-endian ones are read");
    if (g->version != 2 && g->version != 3)
        return reader_fail(r, 4, ERR_UNSUPPORTED, e,
                           "GGUF version %" PRIu32 "; versions 2 and 3 are read (convert it anew)", g->version);
    TRY(reader_u64(r, &n_tensors, e));
    TRY(reader_u64(r, &n_kv, e));
    if (n_tensors > GGUF_TENSORS_MAX || n_tensors > reader_left(r) / INFO_BYTES_MIN)
        return reader_fail(r, 8, n_tensors > GGUF_TENSORS_MAX ? ERR_LIMIT : ERR_FORMAT, e,
                           "%" PRIu64 " tensors; at most %d are read, and %zu bytes have room for %zu", n_tensors,
                           GGUF_TENSORS_MAX, reader_left(r), reader_left(r) / INFO_BYTES_MIN);
    if (n_kv > GGUF_KV_MAX || n_kv > reader_left(r) / KV_BYTES_MIN)
        return reader_fail(r, 16, n_kv > GGUF_KV_MAX ? ERR_LIMIT : ERR_FORMAT, e,
                           "%" PRIu64 " keys; at most %d are read, and %zu bytes have room for %zu", n_kv, GGUF_KV_MAX,
                           reader_left(r), reader_left(r) / KV_BYTES_MIN);
    g->n_tensors = (size_t)n_tensors;
    g->n_kv = (size_t)n_kv;
    ARENA_NEW(&g->mem, g->kv, g->n_kv, e);
    ARENA_NEW(&g->mem, g->by_key, g->n_kv, e);
    ARENA_NEW(&g->mem, g->tensor, g->n_tensors, e);
    ARENA_NEW(&g->mem, g->by_name, g->n_tensors, e);
    return ERR_OK;
}

/* A type number of a value or of an array's elements; `key` is for the message. */
static err_code read_type(reader *r, str key, gguf_type *out, err *e) {
    size_t at = r->at;
    uint32_t t;
    TRY(reader_u32(r, &t, e));
    if (t >= GGUF_TYPE_COUNT)
        return reader_fail(r, at, ERR_FORMAT, e, "key %.*s: value type %" PRIu32 " does not exist", STR_ARG(key), t);
    *out = (gguf_type)t;
    return ERR_OK;
}

static err_code read_array(reader *r, gguf_kv *kv, err *e) {
    TRY(read_type(r, kv->key, &kv->elem, e));
    size_t at = r->at;
    if (kv->elem == GGUF_ARRAY)
        return reader_fail(r, at - 4, ERR_UNSUPPORTED, e, "key %.*s: an array of arrays", STR_ARG(kv->key));
    TRY(reader_u64(r, &kv->n, e));
    size_t elem_bytes_min = kv->elem == GGUF_STRING ? 8 : value_types[kv->elem].bytes;
    if (kv->n > GGUF_ARRAY_MAX)
        return reader_fail(r, at, ERR_LIMIT, e, "key %.*s: an array of %" PRIu64 " elements; at most %d are read",
                           STR_ARG(kv->key), kv->n, GGUF_ARRAY_MAX);
    if (kv->n > reader_left(r) / elem_bytes_min)
        return reader_fail(r, at, ERR_FORMAT, e,
                           "key %.*s: an array of %" PRIu64
                           " elements of %zu or more bytes, the file has %zu more bytes",
                           STR_ARG(kv->key), kv->n, elem_bytes_min, reader_left(r));
    size_t from = r->at;
    if (kv->elem == GGUF_STRING) {
        str s;
        for (uint64_t i = 0; i < kv->n; i++)
            TRY(read_str(r, &s, e));
        kv->p = r->p + from;
    } else {
        TRY(reader_bytes(r, kv->n * elem_bytes_min, &kv->p, e));
    }
    kv->bytes = r->at - from;
    return ERR_OK;
}

static err_code read_kv(reader *r, gguf_kv *kv, err *e) {
    TRY(read_name(r, "key", &kv->key, e));
    TRY(read_type(r, kv->key, &kv->type, e));
    kv->elem = kv->type;
    kv->n = 1;
    if (kv->type == GGUF_ARRAY) {
        TRY(read_array(r, kv, e));
    } else if (kv->type == GGUF_STRING) {
        str s;
        TRY(read_str(r, &s, e));
        kv->p = (const uint8_t *)s.p;
        kv->bytes = s.n;
    } else {
        kv->bytes = value_types[kv->type].bytes;
        TRY(reader_bytes(r, kv->bytes, &kv->p, e));
    }
    if (kv->elem == GGUF_BOOL)
        for (size_t i = 0; i < kv->bytes; i++)
            if (kv->p[i] > 1)
                return reader_fail(r, (size_t)(kv->p + i - r->p), ERR_FORMAT, e, "key %.*s: a bool of value %d",
                                   STR_ARG(kv->key), kv->p[i]);
    return ERR_OK;
}

/* ---- tensor infos ---- */

static const char *tensor_type_name(uint32_t number) {
    int t = dtype_from_gguf(number);
    if (t >= 0)
        return dtype_table[t].name;
    return number < sizeof foreign_types / sizeof *foreign_types ? foreign_types[number] : NULL;
}

/* Bytes of a tensor from its type and dims (outermost first); every product is checked. */
static err_code size_tensor(const reader *r, size_t at, tensor_ref *t, err *e) {
    const dtype_info *type = &dtype_table[t->type];
    uint64_t columns = t->dims[t->n_dims - 1];
    if (columns % type->block_elems)
        return reader_fail(r, at, ERR_FORMAT, e,
                           "tensor %.*s: rows of %" PRIu64 " elements are no whole number of %s blocks of %d",
                           STR_ARG(t->name), columns, type->name, (int)type->block_elems);
    uint64_t elems = columns, bytes;
    bool over = false;
    for (int d = 0; d < t->n_dims - 1; d++)
        over |= __builtin_mul_overflow(elems, t->dims[d], &elems);
    over |= __builtin_mul_overflow(elems / type->block_elems, (uint64_t)type->block_bytes, &bytes);
    if (over || elems > INT64_MAX || bytes > PTRDIFF_MAX)
        return reader_fail(r, at, ERR_FORMAT, e, "tensor %.*s: the product of its dims is too large", STR_ARG(t->name));
    t->bytes = (size_t)bytes;
    return ERR_OK;
}

/* t->data stays NULL: where the data section begins is known after the last info only. */
static err_code read_info(const gguf_file *g, reader *r, tensor_ref *t, err *e) {
    TRY(read_name(r, "tensor name", &t->name, e));
    size_t at = r->at;
    uint32_t n_dims, type;
    if (reader_left(r) < 4)
        return reader_fail(r, at, ERR_FORMAT, e, "tensor %.*s: the file ends within its entry", STR_ARG(t->name));
    TRY(reader_u32(r, &n_dims, e));
    if (n_dims == 0 || n_dims > TENSOR_DIMS_MAX)
        return reader_fail(r, at, ERR_FORMAT, e, "tensor %.*s: %" PRIu32 " dims; it has 1 to %d", STR_ARG(t->name),
                           n_dims, TENSOR_DIMS_MAX);
    if (reader_left(r) < n_dims * 8 + 4 + 8)
        return reader_fail(r, r->at, ERR_FORMAT, e, "tensor %.*s: the file ends within its entry", STR_ARG(t->name));
    t->n_dims = (int)n_dims;
    for (int d = 0; d < TENSOR_DIMS_MAX; d++)
        t->dims[d] = 1;
    size_t dims_at = r->at;
    for (int d = t->n_dims - 1; d >= 0; d--) { /* the file has them innermost first */
        TRY(reader_u64(r, &t->dims[d], e));
        if (t->dims[d] == 0)
            return reader_fail(r, r->at - 8, ERR_FORMAT, e, "tensor %.*s: a dim is 0", STR_ARG(t->name));
    }
    TRY(reader_u32(r, &type, e));
    int known = dtype_from_gguf(type);
    if (known < 0) {
        const char *name = tensor_type_name(type);
        return name ? reader_fail(r, r->at - 4, ERR_UNSUPPORTED, e, "tensor %.*s: type %s is not supported",
                                  STR_ARG(t->name), name)
                    : reader_fail(r, r->at - 4, ERR_UNSUPPORTED, e, "tensor %.*s: unknown type %" PRIu32,
                                  STR_ARG(t->name), type);
    }
    t->type = (dtype)known;
    TRY(size_tensor(r, dims_at, t, e));
    TRY(reader_u64(r, &t->offset, e));
    if (t->offset % g->alignment)
        return reader_fail(r, r->at - 8, ERR_FORMAT, e, "tensor %.*s: offset %" PRIu64 " is not aligned to %zu bytes",
                           STR_ARG(t->name), t->offset, g->alignment);
    t->map = &g->map;
    return ERR_OK;
}

/* Turns offsets within the data section, which begins at `from`, into places in the mapping. */
static err_code place_tensors(gguf_file *g, const reader *r, err *e) {
    size_t mask = g->alignment - 1;
    uint64_t from = ((uint64_t)r->at + mask) & ~(uint64_t)mask;
    for (size_t i = 0; i < g->n_tensors; i++) {
        tensor_ref *t = &g->tensor[i];
        uint64_t begin, end;
        if (__builtin_add_overflow(from, t->offset, &begin) || __builtin_add_overflow(begin, t->bytes, &end) ||
            end > g->map.n)
            return reader_fail(r, file_offset(g, t->name.p), ERR_FORMAT, e,
                               "tensor %.*s: %zu bytes at %" PRIu64
                               " of the data section, which begins at byte %" PRIu64
                               "; the file ends at byte %zu (is it cut short?)",
                               STR_ARG(t->name), t->bytes, t->offset, from, g->map.n);
        t->offset = begin;
        t->data = g->map.p + begin;
    }
    return ERR_OK;
}

/* ---- order ---- */

static int by_key(const void *a, const void *b, void *ctx) {
    const gguf_kv *kv = ctx;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int c = str_cmp(kv[i].key, kv[j].key);
    return c ? c : (i > j) - (i < j);
}

static int by_name(const void *a, const void *b, void *ctx) {
    const tensor_ref *t = ctx;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int c = str_cmp(t[i].name, t[j].name);
    return c ? c : (i > j) - (i < j);
}

static int by_offset(const void *a, const void *b, void *ctx) {
    const tensor_ref *t = ctx;
    uint64_t x = t[*(const size_t *)a].offset, y = t[*(const size_t *)b].offset;
    return (x > y) - (x < y);
}

static void sort_indices(size_t *index, size_t n, int (*cmp)(const void *, const void *, void *), void *ctx) {
    for (size_t i = 0; i < n; i++)
        index[i] = i;
    if (n > 1)
        qsort_r(index, n, sizeof *index, cmp, ctx);
}

static err_code check_keys(gguf_file *g, const reader *r, err *e) {
    sort_indices(g->by_key, g->n_kv, by_key, g->kv);
    for (size_t i = 1; i < g->n_kv; i++) {
        const gguf_kv *first = &g->kv[g->by_key[i - 1]], *again = &g->kv[g->by_key[i]];
        if (str_eq(first->key, again->key))
            return reader_fail(r, file_offset(g, again->key.p), ERR_FORMAT, e, "key %.*s stands here and at byte %zu",
                               STR_ARG(again->key), file_offset(g, first->key.p));
    }
    return ERR_OK;
}

static err_code check_tensors(gguf_file *g, const reader *r, err *e) {
    /* Extents first, in the place of the names, which are sorted last and stay. */
    sort_indices(g->by_name, g->n_tensors, by_offset, g->tensor);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const tensor_ref *a = &g->tensor[g->by_name[i - 1]], *b = &g->tensor[g->by_name[i]];
        if (b->offset - a->offset < a->bytes)
            return reader_fail(r, (size_t)b->offset, ERR_FORMAT, e, "tensor %.*s overlaps tensor %.*s",
                               STR_ARG(b->name), STR_ARG(a->name));
    }
    sort_indices(g->by_name, g->n_tensors, by_name, g->tensor);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const tensor_ref *first = &g->tensor[g->by_name[i - 1]], *again = &g->tensor[g->by_name[i]];
        if (str_eq(first->name, again->name))
            return reader_fail(r, file_offset(g, again->name.p), ERR_FORMAT, e,
                               "tensor %.*s stands here and at byte %zu", STR_ARG(again->name),
                               file_offset(g, first->name.p));
    }
    return ERR_OK;
}

/* ---- open and close ---- */

static err_code read_alignment(gguf_file *g, const reader *r, err *e) {
    g->alignment = ALIGNMENT_DEFAULT;
    const gguf_kv *kv = gguf_find(g, "general.alignment");
    if (!kv)
        return ERR_OK;
    size_t at = file_offset(g, kv->p);
    if (kv->type != GGUF_U32)
        return reader_fail(r, at, ERR_FORMAT, e, "key general.alignment: a %s; it is a U32", gguf_type_name(kv->type));
    int64_t a = gguf_i64_at(kv, 0);
    if (a < ALIGNMENT_MIN || a > ALIGNMENT_MAX || (a & (a - 1)))
        return reader_fail(r, at, ERR_FORMAT, e, "key general.alignment: %" PRId64 "; it is a power of two, %d to %d",
                           a, ALIGNMENT_MIN, ALIGNMENT_MAX);
    g->alignment = (size_t)a;
    return ERR_OK;
}

static err_code read_file(gguf_file *g, const char *path, err *e) {
    str own = arena_str(&g->mem, str_from(path));
    if (!own.p)
        return arena_short(e, strlen(path) + 1, 1);
    g->path = own.p;
    TRY(os_map_open(&g->map, path, e));
    reader r = {.file = g->path, .p = g->map.p, .n = g->map.n};
    TRY(read_header(g, &r, e));
    for (size_t i = 0; i < g->n_kv; i++)
        TRY(read_kv(&r, &g->kv[i], e));
    TRY(check_keys(g, &r, e));
    TRY(read_alignment(g, &r, e));
    for (size_t i = 0; i < g->n_tensors; i++)
        TRY(read_info(g, &r, &g->tensor[i], e));
    TRY(place_tensors(g, &r, e));
    return check_tensors(g, &r, e);
}

/* ---- a model in several files ---- */

static err_code no_first_part(const gguf_file *g, uint64_t no, uint64_t count, err *e) {
    return err_set(e, ERR_FORMAT,
                   "%s: is part %" PRIu64 " of %" PRIu64
                   " of a model (open the first, whose name ends in -00001-of-%05" PRIu64 ".gguf)",
                   g->path, no + 1, count, count);
}

/* How many files the model has, and that this is the first, by its keys and by its name. */
static err_code count_parts(const gguf_file *g, unsigned *count, err *e) {
    uint64_t no, n;
    unsigned named_no = 0, named = 0;
    *count = 1;
    TRY(gguf_get_u64(g, "split.count", 1, &n, e));
    TRY(gguf_get_u64(g, "split.no", 0, &no, e));
    if (n <= 1 && no == 0)
        return ERR_OK;
    if (n > GGUF_PARTS_MAX || no >= n)
        return err_set(e, n > GGUF_PARTS_MAX ? ERR_LIMIT : ERR_FORMAT,
                       "%s: says that it is part %" PRIu64 " of %" PRIu64 "; a model has at most %d parts", g->path,
                       no + 1, n, (int)GGUF_PARTS_MAX);
    if (no > 0)
        return no_first_part(g, no, n, e);
    if (!gguf_part_of(str_from(g->path), &named_no, &named) || named_no != 1 || named != n)
        return err_set(e, ERR_FORMAT,
                       "%s: is the first of %" PRIu64 " files of a model, whose names end in -00001-of-%05" PRIu64
                       ".gguf and so on (give it and the others their names back)",
                       g->path, n, n);
    *count = named;
    return ERR_OK;
}

/* A part is what its name says, and of the same model as the first as far as its keys tell. */
static err_code check_part(const gguf_file *first, const gguf_file *part, unsigned no, unsigned count, err *e) {
    static const char *const same[] = {"general.architecture", "general.name"};
    uint64_t is_no, is_count, tensors, is_tensors;
    TRY(gguf_get_u64(part, "split.no", 0, &is_no, e));
    TRY(gguf_get_u64(part, "split.count", 0, &is_count, e));
    TRY(gguf_get_u64(first, "split.tensors.count", 0, &tensors, e));
    TRY(gguf_get_u64(part, "split.tensors.count", tensors, &is_tensors, e));
    if (is_count == 0)
        return err_set(e, ERR_FORMAT, "%s: does not say that it is a part of a model (no key split.count)", part->path);
    if (is_no + 1 != no || is_count != count)
        return err_set(e, ERR_FORMAT, "%s: says that it is part %" PRIu64 " of %" PRIu64 ", its name says %u of %u",
                       part->path, is_no + 1, is_count, no, count);
    bool foreign = is_tensors != tensors;
    for (size_t i = 0; i < sizeof same / sizeof *same && !foreign; i++) {
        str a, b;
        TRY(gguf_get_str(first, same[i], (str){0}, &a, e));
        TRY(gguf_get_str(part, same[i], a, &b, e));
        foreign = !str_eq(a, b);
    }
    return foreign ? err_set(e, ERR_FORMAT, "%s: is a part of another model than %s", part->path, first->path) : ERR_OK;
}

static err_code open_part(const gguf_file *first, gguf_file *part, char *path, unsigned no, unsigned count, err *e) {
    gguf_part_name(path, no);
    if (!os_exists(path))
        return err_set(e, ERR_IO, "%s: part %u of %u is missing (all parts stand in one folder)", path, no, count);
    TRY(read_file(part, path, e));
    return check_part(first, part, no, count, e);
}

/* The file that a tensor stands in, for a message. */
static const char *file_of(const gguf_file *g, const tensor_ref *t) {
    for (size_t i = 0; i < g->n_more; i++)
        if (t->map == &g->more[i].map)
            return g->more[i].path;
    return g->path;
}

/* The tensors of all parts in one list. */
static err_code join_tensors(gguf_file *g, err *e) {
    size_t n = g->n_tensors;
    uint64_t told;
    tensor_ref *all;
    for (size_t i = 0; i < g->n_more; i++)
        n += g->more[i].n_tensors;
    TRY(gguf_get_u64(g, "split.tensors.count", n, &told, e));
    if (told != n)
        return err_set(e, ERR_FORMAT,
                       "%s: its %zu parts have %zu tensors, and say that they are %" PRIu64
                       " (is one of them of another model?)",
                       g->path, g->n_more + 1, n, told);
    ARENA_NEW(&g->mem, all, n, e);
    ARENA_NEW(&g->mem, g->by_name, n, e);
    memcpy(all, g->tensor, g->n_tensors * sizeof *all);
    size_t at = g->n_tensors;
    for (size_t i = 0; i < g->n_more; at += g->more[i++].n_tensors)
        memcpy(all + at, g->more[i].tensor, g->more[i].n_tensors * sizeof *all);
    g->tensor = all;
    g->n_tensors = n;
    sort_indices(g->by_name, n, by_name, all);
    for (size_t i = 1; i < n; i++) {
        const tensor_ref *a = &all[g->by_name[i - 1]], *b = &all[g->by_name[i]];
        if (str_eq(a->name, b->name))
            return err_set(e, ERR_FORMAT, "%s: tensor %.*s stands in %s, too", file_of(g, b), STR_ARG(b->name),
                           file_of(g, a));
    }
    return ERR_OK;
}

static err_code read_parts(gguf_file *g, err *e) {
    unsigned count;
    TRY(count_parts(g, &count, e));
    if (count == 1)
        return ERR_OK;
    char path[OS_PATH_BYTES];
    TRY(os_join(path, g->path, "", e));
    ARENA_NEW(&g->mem, g->more, count - 1, e);
    for (unsigned no = 2; no <= count; no++) {
        g->n_more = no - 1; /* from here on it has to be closed, whatever comes of it */
        TRY(open_part(g, &g->more[no - 2], path, no, count, e));
    }
    return join_tensors(g, e);
}

err_code gguf_open(gguf_file *g, const char *path, err *e) {
    *g = (gguf_file){0};
    err_code code = read_file(g, path, e);
    if (code == ERR_OK)
        code = read_parts(g, e);
    if (code != ERR_OK)
        gguf_close(g);
    return code;
}

static void close_file(gguf_file *g) {
    os_map_close(&g->map);
    arena_fini(&g->mem);
    *g = (gguf_file){0};
}

void gguf_close(gguf_file *g) {
    for (size_t i = 0; i < g->n_more; i++)
        close_file(&g->more[i]);
    close_file(g);
}

uint64_t gguf_bytes(const gguf_file *g) {
    uint64_t bytes = g->map.n;
    for (size_t i = 0; i < g->n_more; i++)
        bytes += g->more[i].map.n;
    return bytes;
}

/* ---- look-ups ---- */

const gguf_kv *gguf_find(const gguf_file *g, const char *key) {
    size_t lo = 0, hi = g->n_kv;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const gguf_kv *kv = &g->kv[g->by_key[mid]];
        int c = str_cmp(kv->key, str_from(key));
        if (c == 0)
            return kv;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const tensor_ref *gguf_tensor(const gguf_file *g, const char *name) {
    size_t lo = 0, hi = g->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const tensor_ref *t = &g->tensor[g->by_name[mid]];
        int c = str_cmp(t->name, str_from(name));
        if (c == 0)
            return t;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The error for a value that is there but is not what the caller can use. */
static err_code wrong_value(const gguf_file *g, const gguf_kv *kv, err *e, const char *wanted) {
    reader r = {.file = g->path, .p = g->map.p, .n = g->map.n};
    bool array = kv->type == GGUF_ARRAY;
    return reader_fail(&r, file_offset(g, kv->p), ERR_FORMAT, e, "key %.*s: %s%s%s where %s is wanted",
                       STR_ARG(kv->key), array ? "an array of " : "a value of type ", gguf_type_name(kv->elem),
                       kv->type == GGUF_I64 || kv->type == GGUF_I32 || kv->type == GGUF_I16 || kv->type == GGUF_I8
                           ? " (perhaps negative)"
                           : "",
                       wanted);
}

static uint64_t load_u64(const gguf_kv *kv, uint64_t i) {
    uint64_t v = 0;
    size_t size = value_types[kv->elem].bytes;
    memcpy(&v, kv->p + i * size, size);
    return v;
}

int64_t gguf_i64_at(const gguf_kv *kv, uint64_t i) {
    assert(i < kv->n && value_types[kv->elem].bytes);
    uint64_t v = load_u64(kv, i);
    switch (kv->elem) {
    case GGUF_I8:
        return (int8_t)v;
    case GGUF_I16:
        return (int16_t)v;
    case GGUF_I32:
        return (int32_t)v;
    case GGUF_U64:
        return v > INT64_MAX ? INT64_MAX : (int64_t)v;
    case GGUF_F32:
    case GGUF_F64: {
        double d = gguf_f64_at(kv, i);
        return isnan(d) ? 0 : d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
    }
    default:
        return (int64_t)v;
    }
}

double gguf_f64_at(const gguf_kv *kv, uint64_t i) {
    assert(i < kv->n && value_types[kv->elem].bytes);
    if (kv->elem == GGUF_F32) {
        float f;
        memcpy(&f, kv->p + i * sizeof f, sizeof f);
        return (double)f;
    }
    if (kv->elem == GGUF_F64) {
        double d;
        memcpy(&d, kv->p + i * sizeof d, sizeof d);
        return d;
    }
    return kv->elem == GGUF_U64 ? (double)load_u64(kv, i) : (double)gguf_i64_at(kv, i);
}

static bool is_float(gguf_type t) { return t == GGUF_F32 || t == GGUF_F64; }
static bool is_integer(gguf_type t) {
    return t < GGUF_TYPE_COUNT && value_types[t].bytes && !is_float(t) && t != GGUF_BOOL;
}

err_code gguf_get_u64(const gguf_file *g, const char *key, uint64_t otherwise, uint64_t *out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    if (kv && (!is_integer(kv->type) || (kv->type != GGUF_U64 && gguf_i64_at(kv, 0) < 0)))
        return wrong_value(g, kv, e, "a whole number from 0 up");
    *out = !kv ? otherwise : kv->type == GGUF_U64 ? load_u64(kv, 0) : (uint64_t)gguf_i64_at(kv, 0);
    return ERR_OK;
}

err_code gguf_get_f64(const gguf_file *g, const char *key, double otherwise, double *out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    if (kv && !is_integer(kv->type) && !is_float(kv->type))
        return wrong_value(g, kv, e, "a number");
    *out = kv ? gguf_f64_at(kv, 0) : otherwise;
    return ERR_OK;
}

err_code gguf_get_bool(const gguf_file *g, const char *key, bool otherwise, bool *out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    if (kv && kv->type != GGUF_BOOL)
        return wrong_value(g, kv, e, "a bool");
    *out = kv ? kv->p[0] != 0 : otherwise;
    return ERR_OK;
}

err_code gguf_get_str(const gguf_file *g, const char *key, str otherwise, str *out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    if (kv && kv->type != GGUF_STRING)
        return wrong_value(g, kv, e, "a string");
    *out = kv ? (str){(const char *)kv->p, kv->bytes} : otherwise;
    return ERR_OK;
}

bool gguf_next_str(const gguf_kv *kv, gguf_iter *it, str *out) {
    assert(kv->elem == GGUF_STRING);
    if (it->i >= kv->n)
        return false;
    it->i++;
    if (kv->type == GGUF_STRING) {
        *out = (str){(const char *)kv->p, kv->bytes};
        return true;
    }
    uint64_t n;
    memcpy(&n, kv->p + it->at, sizeof n);
    *out = (str){(const char *)kv->p + it->at + sizeof n, (size_t)n};
    it->at += sizeof n + (size_t)n;
    return true;
}
