/* ckpt: see ckpt.h. */
#include "train/ckpt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/safetensors_write.h"
#include "text/json.h"
#include "train/recipe.h"
#include "train/root.h"

enum { INFO_BYTES_MAX = 64 << 20 };

typedef struct {
    char text[OS_PATH_BYTES];
} path;

static err_code folder_of(path *p, err *e, const char *folder, uint64_t step) {
    char name[40];
    snprintf(name, sizeof name, "step-%08" PRIu64, step);
    return os_join(p->text, folder, name, e);
}

/* ---- roots ---- */

typedef struct {
    hash256 *leaf; /* [3 n] of all w, of all m, of all v */
} leaves;

static err_code leaves_of(const ckpt_state *s, leaves *l, err *e) {
    l->leaf = calloc(3 * s->n, sizeof *l->leaf);
    if (!l->leaf)
        return err_set(e, ERR_MEMORY, "no memory for the digests of %zu tensors", s->n);
    TRY(root_leaves(s->params, s->w, s->n, s->pool, l->leaf, e));
    TRY(root_leaves(s->params, s->m, s->n, s->pool, l->leaf + s->n, e));
    return root_leaves(s->params, s->v, s->n, s->pool, l->leaf + 2 * s->n, e);
}

static void roots_of(const ckpt_state *s, const leaves *l, hash256 *weights, hash256 *moments) {
    *weights = root_of(l->leaf, s->n);
    *moments = root_of(l->leaf + s->n, 2 * s->n);
}

err_code ckpt_roots(const ckpt_state *s, hash256 *weights, hash256 *moments, err *e) {
    leaves l = {0};
    err_code code = leaves_of(s, &l, e);
    if (code == ERR_OK)
        roots_of(s, &l, weights, moments);
    free(l.leaf);
    return code;
}

/* ---- writing ---- */

static err_code declare(safetensors_writer *w, const param *p, const char *before, err *e) {
    char name[400];
    int n = snprintf(name, sizeof name, "%s%s", before, p->name);
    tensor_spec t = {
        .name = {name, (size_t)n}, .type = DTYPE_F32, .n_dims = p->cols ? 2 : 1, .dims = {p->rows, 1, 1, 1}};
    if (p->cols)
        t.dims[1] = p->cols;
    return safetensors_write_tensor(w, &t, e);
}

static size_t width(const param *p) { return p->cols ? p->cols : p->rows; }

static err_code put_tensor(safetensors_writer *w, const param *p, const float *x, float *row, err *e) {
    for (size_t r = 0; r < (p->cols ? p->rows : 1); r++) {
        root_row(p, x, r, row);
        TRY(safetensors_write_data(w, row, width(p) * sizeof *row, e));
    }
    return ERR_OK;
}

static size_t widest(const ckpt_state *s) {
    size_t n = 1;
    for (size_t i = 0; i < s->n; i++)
        n = width(&s->params[i]) > n ? width(&s->params[i]) : n;
    return n;
}

/* One file with the tensors of n_sets sets, each under its prefix. */
static err_code write_tensors(const char *file, const ckpt_state *s, float *const *const set[],
                              const char *const before[], int n_sets, err *e) {
    float *row = malloc(widest(s) * sizeof *row);
    if (!row)
        return err_set(e, ERR_MEMORY, "no memory to write %s", file);
    safetensors_writer *w = NULL;
    err_code code = safetensors_write_open(&w, file, e);
    for (int k = 0; k < n_sets && code == ERR_OK; k++)
        for (size_t i = 0; i < s->n && code == ERR_OK; i++)
            code = declare(w, &s->params[i], before[k], e);
    for (int k = 0; k < n_sets && code == ERR_OK; k++)
        for (size_t i = 0; i < s->n && code == ERR_OK; i++)
            code = put_tensor(w, &s->params[i], set[k][i], row, e);
    free(row);
    if (code == ERR_OK)
        return safetensors_write_commit(w, e);
    safetensors_write_abort(w);
    return code;
}

static err_code info_text(const ckpt_info *info, const ckpt_state *s, const leaves *l, strbuf *out, err *e) {
    char chain[65], weights[65], moments[65], hex[3][65];
    hash_hex(info->chain, chain);
    hash_hex(info->weights, weights);
    hash_hex(info->moments, moments);
    TRY(strbuf_addf(out, e,
                    "{\n  \"step\": %" PRIu64
                    ",\n  \"chain\": \"%s\",\n  \"weights\": \"%s\",\n  \"moments\": \"%s\",\n"
                    "  \"leaves\": {",
                    info->step, chain, weights, moments));
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < 3; k++)
            hash_hex(l->leaf[k * s->n + i], hex[k]);
        TRY(strbuf_add(out, i ? STR(",\n    ") : STR("\n    "), e));
        TRY(json_quote(str_from(s->params[i].name), out, e));
        TRY(strbuf_addf(out, e, ": [\"%s\", \"%s\", \"%s\"]", hex[0], hex[1], hex[2]));
    }
    return strbuf_add(out, STR("\n  }\n}\n"), e);
}

static err_code write_info(const char *file, const ckpt_info *info, const ckpt_state *s, const leaves *l, err *e) {
    strbuf text = {0};
    err_code code = info_text(info, s, l, &text, e);
    if (code == ERR_OK)
        code = os_write_file(file, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "checkpoint.json"};
enum { FILES = 3 };

static err_code write_all(const char *temp, ckpt_info *info, const ckpt_state *s, err *e) {
    leaves l = {0};
    path p;
    err_code code = leaves_of(s, &l, e);
    if (code == ERR_OK) {
        roots_of(s, &l, &info->weights, &info->moments);
        code = os_join(p.text, temp, files[0], e);
    }
    if (code == ERR_OK)
        code = write_tensors(p.text, s, (float *const *const[]){s->w}, (const char *const[]){""}, 1, e);
    if (code == ERR_OK && (code = os_join(p.text, temp, files[1], e)) == ERR_OK)
        code = write_tensors(p.text, s, (float *const *const[]){s->m, s->v}, (const char *const[]){"m.", "v."}, 2, e);
    if (code == ERR_OK && (code = os_join(p.text, temp, files[2], e)) == ERR_OK)
        code = write_info(p.text, info, s, &l, e);
    free(l.leaf);
    return code;
}

/* A folder of ours and the files in it, nothing else. */
static err_code remove_folder(const char *folder, err *e) {
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? ERR_OK : os_refused(folder, "removed", e);
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        path p;
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
            continue;
        code = os_join(p.text, folder, x->d_name, e);
        if (code == ERR_OK && unlink(p.text) != 0)
            code = os_refused(p.text, "removed", e);
    }
    closedir(d);
    if (code == ERR_OK && rmdir(folder) != 0)
        code = os_refused(folder, "removed", e);
    return code;
}

static err_code sync_folder(const char *folder, err *e) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return os_refused(folder, "opened", e);
    err_code code = fsync(fd) == 0 || errno == EINVAL ? ERR_OK : os_refused(folder, "brought to disk", e);
    close(fd);
    return code;
}

/* A checkpoint of this step is there already: it must be this one. */
static err_code is_same(const char *folder, ckpt_info *info, const ckpt_state *s, err *e) {
    ckpt_info there;
    TRY(ckpt_roots(s, &info->weights, &info->moments, e));
    TRY(ckpt_read_info(folder, info->step, &there, e));
    if (memcmp(&there.chain, &info->chain, sizeof there.chain) == 0 &&
        memcmp(&there.weights, &info->weights, sizeof there.weights) == 0 &&
        memcmp(&there.moments, &info->moments, sizeof there.moments) == 0)
        return ERR_OK;
    return err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": is the checkpoint of another run (move it away)", folder,
                   info->step);
}

err_code ckpt_save(const char *folder, ckpt_info *info, const ckpt_state *s, err *e) {
    char name[40];
    path temp, final;
    snprintf(name, sizeof name, "new-%ld", (long)getpid());
    TRY(os_join(temp.text, folder, name, e));
    TRY(folder_of(&final, e, folder, info->step));
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return os_refused(folder, "created", e);
    if (os_exists(final.text))
        return is_same(folder, info, s, e);
    if (mkdir(temp.text, 0777) != 0)
        return os_refused(temp.text, "created", e);
    err_code code = write_all(temp.text, info, s, e);
    if (code == ERR_OK)
        code = sync_folder(temp.text, e);
    if (code == ERR_OK && rename(temp.text, final.text) != 0)
        code = os_refused(final.text, "created", e);
    if (code != ERR_OK) {
        remove_folder(temp.text, NULL);
        return code;
    }
    return sync_folder(folder, e);
}

/* ---- reading ---- */

static err_code want_hash(const json_t *o, const char *key, hash256 *out, err *e) {
    str s;
    TRY(json_want_str(o, key, &s, e));
    return recipe_hash_of(s, out) ? ERR_OK : err_set(e, ERR_FORMAT, "%s is no digest", key);
}

static err_code take_info(const json_t *o, uint64_t step, ckpt_info *info, err *e) {
    if (!json_is_object(o))
        return err_set(e, ERR_FORMAT, "must be a JSON object");
    TRY(json_want_u64(o, "step", INT64_MAX, &info->step, e));
    TRY(want_hash(o, "chain", &info->chain, e));
    TRY(want_hash(o, "weights", &info->weights, e));
    TRY(want_hash(o, "moments", &info->moments, e));
    if (info->step != step)
        return err_set(e, ERR_FORMAT, "is of step %" PRIu64 ", in the folder of step %" PRIu64, info->step, step);
    return ERR_OK;
}

static err_code read_info(const char *folder, uint64_t step, ckpt_info *info, path *at, json_t **root, err *e) {
    strbuf text = {0};
    path p;
    *root = NULL;
    TRY(folder_of(at, e, folder, step));
    TRY(os_join(p.text, at->text, files[2], e));
    TRY(os_read_regular(p.text, INFO_BYTES_MAX, &text, e));
    err_code code = json_read(strbuf_str(&text), INFO_BYTES_MAX, root, e);
    if (code == ERR_OK)
        code = take_info(*root, step, info, e);
    strbuf_fini(&text);
    if (code == ERR_OK)
        return code;
    json_decref(*root);
    *root = NULL;
    return err_in(e, code, "%s", p.text);
}

err_code ckpt_read_info(const char *folder, uint64_t step, ckpt_info *info, err *e) {
    path at;
    json_t *root;
    TRY(read_info(folder, step, info, &at, &root, e));
    json_decref(root);
    return ERR_OK;
}

static err_code take_tensor(const safetensors *f, const char *file, const param *p, const char *before, float *x,
                            float *row, err *e) {
    char name[400];
    snprintf(name, sizeof name, "%s%s", before, p->name);
    const tensor_ref *t = safetensors_find(f, name);
    if (!t)
        return err_set(e, ERR_FORMAT, "%s: tensor %s is missing", file, name);
    if (t->type != DTYPE_F32 || t->n_dims != (p->cols ? 2 : 1) || t->dims[0] != p->rows ||
        (p->cols && t->dims[1] != p->cols))
        return err_set(e, ERR_FORMAT, "%s: tensor %s is not F32 [%zu,%zu]", file, name, p->rows, p->cols);
    for (size_t r = 0; r < (p->cols ? p->rows : 1); r++) {
        memcpy(row, t->data + r * width(p) * sizeof *row, width(p) * sizeof *row);
        root_put_row(p, x, r, row);
    }
    return ERR_OK;
}

static err_code read_tensors(const char *file, const ckpt_state *s, float *const *const set[],
                             const char *const before[], size_t n_sets, err *e) {
    safetensors f = {0};
    float *row = malloc(widest(s) * sizeof *row);
    err_code code = row ? safetensors_open(&f, file, e) : err_set(e, ERR_MEMORY, "no memory to read %s", file);
    if (code != ERR_OK) {
        free(row);
        return code;
    }
    if (f.n_tensors != n_sets * s->n)
        code = err_set(e, ERR_FORMAT, "%s: holds %zu tensors, must hold %zu", file, f.n_tensors, n_sets * s->n);
    for (size_t k = 0; k < n_sets && code == ERR_OK; k++)
        for (size_t i = 0; i < s->n && code == ERR_OK; i++)
            code = take_tensor(&f, file, &s->params[i], before[k], set[k][i], row, e);
    safetensors_close(&f);
    free(row);
    return code;
}

static err_code compare(const ckpt_state *s, const json_t *root, const ckpt_info *info, const char *at, err *e) {
    static const char *const what[] = {"weights of", "first moment of", "second moment of"};
    leaves l = {0};
    hash256 weights, moments;
    err_code code = leaves_of(s, &l, e);
    const json_t *all = json_object_get(root, "leaves");
    for (size_t i = 0; i < 3 * s->n && code == ERR_OK; i++) {
        const char *name = s->params[i % s->n].name;
        hash256 want;
        if (!recipe_hash_of(json_str_of(json_array_get(json_object_get(all, name), i / s->n)), &want))
            code = err_set(e, ERR_FORMAT, "%s/%s: the leaves of %s are missing", at, files[2], name);
        else if (memcmp(&want, &l.leaf[i], sizeof want) != 0)
            code = err_set(e, ERR_MISMATCH, "%s: the %s %s are not those that were saved", at, what[i / s->n], name);
    }
    if (code == ERR_OK) {
        roots_of(s, &l, &weights, &moments);
        if (memcmp(&weights, &info->weights, sizeof weights) != 0 ||
            memcmp(&moments, &info->moments, sizeof moments) != 0)
            code = err_set(e, ERR_MISMATCH, "%s: its roots are not those of its leaves", at);
    }
    free(l.leaf);
    return code;
}

err_code ckpt_load(const char *folder, uint64_t step, ckpt_info *info, const ckpt_state *s, err *e) {
    path at, p;
    json_t *root;
    TRY(read_info(folder, step, info, &at, &root, e));
    err_code code = os_join(p.text, at.text, files[0], e);
    if (code == ERR_OK)
        code = read_tensors(p.text, s, (float *const *const[]){s->w}, (const char *const[]){""}, 1, e);
    if (code == ERR_OK && (code = os_join(p.text, at.text, files[1], e)) == ERR_OK)
        code = read_tensors(p.text, s, (float *const *const[]){s->m, s->v}, (const char *const[]){"m.", "v."}, 2, e);
    if (code == ERR_OK)
        code = compare(s, root, info, at.text, e);
    json_decref(root);
    return code;
}

/* ---- the folder of all ---- */

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* "step-00001000" */
static bool step_of(const char *name, uint64_t *out) {
    if (strncmp(name, "step-", 5) != 0 || strlen(name) < 13 || strlen(name) > 5 + 18)
        return false;
    uint64_t x = 0;
    for (const char *p = name + 5; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        x = x * 10 + (uint64_t)(*p - '0');
    }
    char again[40];
    snprintf(again, sizeof again, "step-%08" PRIu64, x);
    *out = x;
    return strcmp(again, name) == 0;
}

err_code ckpt_list(const char *folder, uint64_t **steps, size_t *n, err *e) {
    *steps = NULL;
    *n = 0;
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? ERR_OK : os_refused(folder, "read", e);
    err_code code = ERR_OK;
    size_t cap = 0;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        uint64_t step;
        if (!step_of(x->d_name, &step))
            continue;
        if (*n == cap) {
            uint64_t *p = realloc(*steps, (cap = cap ? cap * 2 : 16) * sizeof *p);
            if (!p) {
                code = err_set(e, ERR_MEMORY, "no memory for a list of checkpoints");
                break;
            }
            *steps = p;
        }
        (*steps)[(*n)++] = step;
    }
    closedir(d);
    if (code != ERR_OK) {
        free(*steps);
        *steps = NULL;
        *n = 0;
    } else if (*n)
        qsort(*steps, *n, sizeof **steps, ascending);
    return code;
}

err_code ckpt_remove(const char *folder, uint64_t step, err *e) {
    path from, to;
    char name[60];
    TRY(folder_of(&from, e, folder, step));
    /* First another name: a folder that lost a file must not look like a checkpoint. */
    snprintf(name, sizeof name, "new-old-%ld", (long)getpid());
    TRY(os_join(to.text, folder, name, e));
    if (rename(from.text, to.text) != 0)
        return os_refused(from.text, "removed", e);
    return remove_folder(to.text, e);
}

void ckpt_sweep(const char *folder) {
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *x; (x = readdir(d));) {
        path p;
        if (strncmp(x->d_name, "new-", 4) == 0 && os_join(p.text, folder, x->d_name, NULL) == ERR_OK)
            remove_folder(p.text, NULL);
    }
    closedir(d);
}

size_t ckpt_least(const uint64_t *steps, size_t n, size_t keep) {
    if (n < 2 || n <= keep)
        return n;
    size_t least = n;
    uint64_t gap = UINT64_MAX;
    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t g = steps[i + 1] - (i ? steps[i - 1] : 0);
        if (g < gap) {
            gap = g;
            least = i;
        }
    }
    return least;
}
