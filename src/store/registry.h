/* registry: the models of this user: contents by their digest, and an index of names.
 *
 *   HOME = LOAM_HOME, else XDG_DATA_HOME/loam, else ~/.local/share/loam
 *     registry.db         SQLite: names, models, files; what it does not name does not count
 *     blobs/sha256-HEX    contents; a file stands here whole and checked, or not at all
 *     models/ID/NAME      a model's files under their own names: hard links to blobs, or symbolic links
 *                         to files that are used where they lie (other programs' caches, another disk)
 *     partial/            downloads that have not ended
 *     lock                shared: something is being taken in; exclusive: garbage is being deleted
 *
 * A model's id is the SHA-256 over its files' digests and names, sorted by name, so the same files are one model
 * however many names it has. Invariants:
 *   1. A name is put into the index by one transaction, after all files stand in blobs/ and models/ID, on disk.
 *   2. Whatever is in blobs/ and models/ and not in the index is garbage; only registry_gc(), registry_remove() and
 *      registry_close() delete, and only under the exclusive lock. So kill -9 at any moment loses no model and leaves
 * only garbage.
 *   3. Nothing outside HOME is ever changed; a file of the user's gets at most another name (a hard link).
 * Proved by test_registry.c, test_registry_fault.c and test/e2e/test_pull.py.
 */
#ifndef LOAM_STORE_REGISTRY_H
#define LOAM_STORE_REGISTRY_H

#include "base/hash.h"
#include "base/os.h"

enum { REGISTRY_NAME_MAX = 200, REGISTRY_FILE_NAME_MAX = 200, REGISTRY_FILES_MAX = 1024, REGISTRY_TEXT_MAX = 2000 };

typedef struct registry registry;

typedef struct {
    str name; /* registry_file_name_check() */
    hash256 sha256;
    uint64_t bytes;
    str place; /* absolute path of a file that is used where it lies; empty: in blobs/ */
} registry_file;

typedef struct {
    str name, source, revision, licence; /* licence as the source tells it; empty: it tells none */
    uint64_t bytes;
    int64_t added; /* seconds since 1970 */
    hash256 id;
    const registry_file *file; /* [n_files], NULL in lists */
    size_t n_files;
} registry_model;

err_code registry_home(char out[OS_PATH_BYTES], err *e);
/* create: makes HOME when it is not there; else *out is NULL then, which is no error, and the other functions take as
 * an empty registry where they say so. stop: ends what waits or hashes; may be NULL. */
err_code registry_open(registry **out, const char *home, bool create, const volatile int *stop, err *e);
/* When a model has lost its last name meanwhile, to another or to a new revision, then as registry_gc() if nobody takes
 * something in. NULL allowed. */
void registry_close(registry *r);

/* For as long as something is taken in, so that nobody deletes it meanwhile. Waits. registry_close() ends it. */
err_code registry_begin(registry *r, err *e);

/* ERR_USAGE with the reason: empty, too long, characters other than letters, digits and ._-:/+@, a part "." or "..". */
err_code registry_name_check(str name, err *e);
/* A plain name: no separators, no control characters, not hidden; ERR_FORMAT. */
err_code registry_file_name_check(str name, err *e);

/* Where a blob stands or would stand, and a name in partial/ for a download. */
err_code registry_blob_path(const registry *r, hash256 sha256, char out[OS_PATH_BYTES], err *e);
err_code registry_partial_path(const registry *r, const char *key, char out[OS_PATH_BYTES], err *e);
bool registry_has(const registry *r, hash256 sha256, uint64_t bytes); /* by its length: its bytes are not read */

/* A file in partial/ with this digest, which the caller has checked and closed, becomes a blob, in place of one that is
 * there: that may have been damaged. */
err_code registry_move_in(registry *r, const char *path, hash256 sha256, err *e);
/* A file that is somewhere else, without copying it: a reflink, a hard link, or (another file system) in place. Its
 * contents are hashed; want: what the digest must be, or NULL. Fills all of *out but the name; *place (a caller's
 * buffer) receives the text of out->place. */
err_code registry_share_in(registry *r, const char *path, const hash256 *want, char place[OS_PATH_BYTES],
                           registry_file *out, err *e);

/* Names the model; m->id and bytes are computed. A name that another source holds is ERR_USAGE unless `replace`; to
 * know that before a download there is registry_name_free(). */
err_code registry_name_free(registry *r, str name, str source, err *e);
err_code registry_put(registry *r, const registry_model *m, bool replace, hash256 *id, err *e);

/* r NULL: no models. Slices are valid during the call. Names ascending. fn's failure ends it. */
typedef err_code registry_fn(void *ctx, const registry_model *m, err *e);
err_code registry_each(registry *r, registry_fn *fn, void *ctx, err *e);
/* One model with its files: by its whole name, or by a part of it that means one alone: what stands behind the last
 * '/', or that without ":TAG". fn is called once when it is there, *found tells. Two that fit: ERR_USAGE with both. */
err_code registry_find(registry *r, str name, registry_fn *fn, void *ctx, bool *found, err *e);
/* What model_open() takes for it: the folder, or the one .gguf file in it. */
err_code registry_model_path(const registry *r, const registry_model *m, char out[OS_PATH_BYTES], err *e);

err_code registry_tag(registry *r, str name, str other, bool replace, err *e);
/* Takes the name away, and the model with its last name; then as registry_gc() when nobody takes something in. */
err_code registry_remove(registry *r, str name, uint64_t *freed_bytes, err *e);
/* Deletes what no name needs. partials: downloads that have not ended, too. ERR_IO when something is being taken in. */
err_code registry_gc(registry *r, bool partials, uint64_t *freed_bytes, err *e);

/* Compares everything with everything: fn is told each problem, "WHERE" and "WHAT"; progress of the bytes hashed may
 * be NULL. Nothing is changed. */
typedef void registry_problem_fn(void *ctx, const char *where, const char *what);
typedef void registry_progress_fn(void *ctx, uint64_t done, uint64_t total);
typedef struct {
    uint64_t models, files, bytes, problems;
} registry_checked;
err_code registry_fsck(registry *r, registry_problem_fn *fn, registry_progress_fn *progress, void *ctx,
                       registry_checked *out, err *e);

#endif
