/* registry_int: what the files of the registry share. */
#ifndef LOAM_STORE_REGISTRY_INT_H
#define LOAM_STORE_REGISTRY_INT_H

#include "store/registry.h"
#include "store/sql.h"

struct registry {
    sqlite3 *db;
    int lock;    /* held by registry_begin(), or -1 */
    bool litter; /* a model has lost its last name, and its files are still there */
    const volatile int *stop;
    char home[OS_PATH_BYTES];
};

typedef struct {
    char text[OS_PATH_BYTES];
} registry_path;

err_code registry_path_of(const registry *r, const char *folder, const char *name, registry_path *out, err *e);
err_code registry_folder_of(const registry *r, hash256 id, registry_path *out, err *e); /* HOME/models/ID */
err_code registry_view(registry *r, const registry_model *m, err *e);                   /* makes models/ID */
err_code registry_sweep(registry *r, bool partials, uint64_t *freed_bytes, err *e);     /* the lock is held */
/* Contents of a regular file; the lock's `stop` ends it. */
err_code registry_hash(const registry *r, const char *path, hash256 *out, uint64_t *bytes, err *e);
bool registry_stopped(const registry *r);

/* One row of "models" and, with files, its rows of "files"; the memory is fn's caller's. */
err_code registry_with_files(registry *r, int64_t model, const registry_model *head, registry_fn *fn, void *ctx,
                             err *e);
/* Every model once, with its files; its name is empty. */
err_code registry_each_model(registry *r, registry_fn *fn, void *ctx, err *e);

#endif
