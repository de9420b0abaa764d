/* tensor_out: the common part of the writers; see tensor_out.h. */
#include "io/tensor_out.h"

#include <stdlib.h>
#include <string.h>

err_code tensor_spec_bytes(const tensor_spec *t, size_t *out, err *e) {
    if (t->n_dims < 1 || t->n_dims > TENSOR_DIMS_MAX)
        return err_set(e, ERR_USAGE, "tensor %.*s: %d dims, must be 1 to %d", STR_ARG(t->name), t->n_dims,
                       TENSOR_DIMS_MAX);
    const dtype_info *type = &dtype_table[t->type];
    uint64_t elems = 1, bytes;
    bool over = false;
    for (int d = 0; d < t->n_dims; d++) {
        if (t->dims[d] == 0)
            return err_set(e, ERR_USAGE, "tensor %.*s: a dim is 0", STR_ARG(t->name));
        over |= __builtin_mul_overflow(elems, t->dims[d], &elems);
    }
    if (t->dims[t->n_dims - 1] % type->block_elems)
        return err_set(e, ERR_USAGE, "tensor %.*s: rows of %llu elements are no whole number of %s blocks of %u",
                       STR_ARG(t->name), (unsigned long long)t->dims[t->n_dims - 1], type->name, type->block_elems);
    over |= __builtin_mul_overflow(elems / type->block_elems, (uint64_t)type->block_bytes, &bytes);
    if (over || bytes > PTRDIFF_MAX)
        return err_set(e, ERR_USAGE, "tensor %.*s: the product of its dims is too large", STR_ARG(t->name));
    *out = (size_t)bytes;
    return ERR_OK;
}

err_code tensor_out_open(tensor_out *t, const char *path, bool compares, size_t align, err *e) {
    *t = (tensor_out){.align = align, .path = strdup(path)};
    if (!t->path)
        return err_set(e, ERR_MEMORY, "%s: no memory", path);
    err_code code = compares ? outfile_compare(&t->file, path, e) : outfile_open(&t->file, path, e);
    if (code) {
        free(t->path);
        *t = (tensor_out){0};
    }
    return code;
}

void tensor_out_fini(tensor_out *t) {
    outfile_abort(t->file);
    free(t->keys.p);
    free(t->tensors.p);
    free(t->bytes);
    free(t->path);
    arena_fini(&t->mem);
    *t = (tensor_out){0};
}

err_code tensor_out_ready(const tensor_out *t, bool declaring, err *e) {
    if (t->failed.code) {
        if (e)
            *e = t->failed;
        return t->failed.code;
    }
    if (declaring && t->begun)
        return err_set(e, ERR_USAGE, "%s: keys and tensors are declared before the first data", t->path);
    return ERR_OK;
}

err_code tensor_out_keep(tensor_out *t, err_code code, const err *own, err *e) {
    if (code) {
        t->failed = *own;
        if (e)
            *e = *own;
    }
    return code;
}

static err_code add_name(tensor_out *t, name_list *list, const char *what, str name, size_t max, err *e) {
    if (name.n < 1 || name.n > max || memchr(name.p, 0, name.n))
        return err_set(e, ERR_USAGE, "%s: a %s of %zu bytes \"%.*s\"; it has 1 to %zu and no NUL", t->path, what,
                       name.n, STR_ARG(name), max);
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        str *p = realloc(list->p, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "%s: no memory for %zu names", t->path, cap);
        list->p = p;
        list->cap = cap;
    }
    str copy = arena_str(&t->mem, name);
    if (!copy.p)
        return arena_short(e, name.n, 1);
    list->p[list->n++] = copy;
    return ERR_OK;
}

err_code tensor_out_key(tensor_out *t, str key, size_t max, err *e) {
    return add_name(t, &t->keys, "key", key, max, e);
}

err_code tensor_out_declare(tensor_out *t, const tensor_spec *spec, size_t name_max, uint64_t *offset, err *e) {
    size_t bytes;
    uint64_t end;
    err_code code = tensor_spec_bytes(spec, &bytes, e);
    if (code)
        return err_in(e, code, "%s", t->path);
    if (__builtin_add_overflow(t->data_bytes, bytes + (t->align - 1), &end) || end > PTRDIFF_MAX)
        return err_set(e, ERR_USAGE, "%s: tensor %.*s: the file would be too large", t->path, STR_ARG(spec->name));
    if (t->tensors.n == t->bytes_cap) {
        size_t cap = t->bytes_cap ? 2 * t->bytes_cap : 64;
        size_t *p = realloc(t->bytes, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "%s: no memory for %zu tensors", t->path, cap);
        t->bytes = p;
        t->bytes_cap = cap;
    }
    TRY(add_name(t, &t->tensors, "tensor name", spec->name, name_max, e));
    t->bytes[t->tensors.n - 1] = bytes;
    *offset = t->data_bytes;
    t->data_bytes = end / t->align * t->align;
    return ERR_OK;
}

static int by_text(const void *a, const void *b) { return str_cmp(*(const str *)a, *(const str *)b); }

static err_code unique(const tensor_out *t, const name_list *list, const char *what, err *e) {
    str *sorted = malloc((list->n + 1) * sizeof *sorted);
    if (!sorted)
        return err_set(e, ERR_MEMORY, "%s: no memory for %zu names", t->path, list->n);
    err_code code = ERR_OK;
    if (list->n)
        memcpy(sorted, list->p, list->n * sizeof *sorted);
    qsort(sorted, list->n, sizeof *sorted, by_text);
    for (size_t i = 1; i < list->n && !code; i++)
        if (str_eq(sorted[i - 1], sorted[i]))
            code = err_set(e, ERR_USAGE, "%s: %s %.*s stands twice", t->path, what, STR_ARG(sorted[i]));
    free(sorted);
    return code;
}

err_code tensor_out_unique(const tensor_out *t, err *e) {
    TRY(unique(t, &t->keys, "key", e));
    return unique(t, &t->tensors, "tensor", e);
}

/* What fills up after a tensor, so that the next begins at a multiple of the alignment. */
static size_t gap(const tensor_out *t, size_t bytes) { return (t->align - bytes % t->align) % t->align; }

err_code tensor_out_data(tensor_out *t, const uint8_t *p, size_t n, err *e) {
    while (n) {
        if (t->at == t->tensors.n)
            return err_set(e, ERR_USAGE, "%s: %zu bytes more than the declared tensors have", t->path, n);
        if (t->left == 0)
            t->left = t->bytes[t->at];
        size_t part = n < t->left ? n : t->left;
        TRY(outfile_write(t->file, p, part, e));
        p += part;
        n -= part;
        t->left -= part;
        if (t->left == 0)
            TRY(outfile_zeros(t->file, gap(t, t->bytes[t->at++]), e));
    }
    return ERR_OK;
}

err_code tensor_out_whole(const tensor_out *t, err *e) {
    if (t->at == t->tensors.n)
        return ERR_OK;
    size_t left = t->left ? t->left : t->bytes[t->at];
    return err_set(e, ERR_USAGE, "%s: tensor %.*s: %zu bytes of it are missing", t->path, STR_ARG(t->tensors.p[t->at]),
                   left);
}
