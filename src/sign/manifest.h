/* manifest: which files a model consists of, each with its SHA-256: what is signed.
 *
 * Files are named by their path below the model, components divided by '/'; a model that is one file has one item named
 * ".". Items are in the order of their names, compared component by component (so "a/b" stands before "a.b"). The root
 * is the SHA-256 of all digests, 32 bytes each, in the order of the items.
 *
 * Files whose path is, or lies below, an ignored path are left out. A symbolic link anywhere, ignored or not, is
 * refused unless links are allowed; then a link to a file counts as that file, and a link to a folder is refused,
 * because the reference would leave out what is in it. Sockets, pipes and devices are refused. So is a name that is not
 * UTF-8: the form has no way to write it.
 *
 * Source: OpenSSF model-signing specification, and the behaviour of its reference implementation, model_signing 1.1.1.
 * Proved by test_sign.c, test_sign_fault.c and test/e2e/test_sign.py.
 */
#ifndef LOAM_SIGN_MANIFEST_H
#define LOAM_SIGN_MANIFEST_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/pool.h"

enum {
    MANIFEST_FILES_MAX = 1 << 20,
    MANIFEST_PATH_BYTES_MAX = 4000, /* of a name; the system's limit for the whole path is 4096 */
    MANIFEST_DEPTH_MAX = 64,
    MANIFEST_IGNORES_MAX = 4096
};

typedef struct {
    str name;
    hash256 digest;
} manifest_item;

typedef struct {
    arena mem;
    str model; /* for people: the last component of its path */
    bool allow_symlinks;
    str *ignore; /* [n_ignore] relative paths, sorted */
    size_t n_ignore;
    manifest_item *item; /* [n] sorted by manifest_name_cmp(), no name twice */
    size_t n;
    uint64_t bytes; /* of all files; 0 in a manifest that was read from a signature */
} manifest;

typedef struct {
    bool allow_symlinks;
    const str *ignore; /* relative to the model; absolute ones and those with ".." match nothing */
    size_t n_ignore;
    const manifest *only;     /* look only at the files that this one names (NULL: all) */
    pool *pool;               /* files are hashed in parallel */
    const volatile int *stop; /* NULL, or ends with ERR_CANCELLED when it is not 0 */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* of hashing, in bytes, by the caller's thread; NULL */
    void *progress_ctx;
} manifest_options;

/* *m need not be initialised; after an error nothing is left to free. */
err_code manifest_make(manifest *m, const char *path, const manifest_options *o, err *e);
void manifest_fini(manifest *m);

err_code manifest_root(const manifest *m, hash256 *out, err *e);
int manifest_name_cmp(str a, str b);
/* `name` without trailing '/' and "./"; whether it is `path` or an ancestor of it. */
bool manifest_covers(str ignored, str path);
/* "weights.bin was changed, notes.txt was not signed (and 3 more)"; empty when both name the same files with the same
 * digests. Appended. */
err_code manifest_difference(const manifest *is_signed, const manifest *found, strbuf *out, err *e);

/* Sorts item[n]; two of one name: ERR_FORMAT that names it. For who fills a manifest by other means. */
err_code manifest_sort(manifest *m, err *e);

#endif
