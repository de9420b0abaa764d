/* sign: signing a model, and checking that a model is what was signed.
 *
 * The signature's own file is left out of what is signed, wherever in the model it lies. Paths that git uses are left
 * out unless git_paths is set. Ignored paths are relative to the model; checking takes those of the signature as well.
 *
 * What a check refuses, in this order, each ERR_MISMATCH in one line: a file that is no signature (cut short, changed
 * in its form), one by another key (its hint), one whose bytes are not what the key signed, one that contradicts
 * itself, and a model in which a file was changed, is missing, or was not signed. A form that is not known here:
 * ERR_UNSUPPORTED. Proved by test_sign.c, test_sign_fault.c and test/e2e/test_sign.py.
 */
#ifndef LOAM_SIGN_SIGN_H
#define LOAM_SIGN_SIGN_H

#include "sign/bundle.h"
#include "sign/key.h"

typedef struct {
    const char *signature; /* path; NULL: sign_default_path() */
    const str *ignore;     /* paths in the file system, inside the model */
    size_t n_ignore;
    bool git_paths; /* sign what git uses as well: .git .gitattributes .github .gitignore */
    bool allow_symlinks;
    bool signed_only; /* checking: files that were not signed do not count */
    pool *pool;
    const volatile int *stop;
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes; NULL */
    void *progress_ctx;
} sign_options;

/* What was signed or checked; sign_report_fini() after success. */
typedef struct {
    manifest files;
    hash256 root;
    char signature[4096], hint[65];
} sign_report;

/* MODEL/model.sig of a folder, MODEL.sig of a file. */
err_code sign_default_path(const char *model, char out[4096], err *e);
err_code sign_make(const char *model, const sign_key *k, const sign_options *o, sign_report *r, err *e);
err_code sign_check(const char *model, const sign_key *k, const sign_options *o, sign_report *r, err *e);
void sign_report_fini(sign_report *r);

#endif
