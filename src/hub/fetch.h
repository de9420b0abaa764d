/* fetch: one file from a host that is not trusted, over several connections, into a part that survives anything.
 *
 * Runs of missing chunks are asked for by ranges, and an answer must begin where it was asked to and not go on behind
 * the end; a host that gives no ranges is read from the beginning over one connection. A connection that breaks, stalls
 * or is told to wait is begun anew where it stood; an address that a redirect led to and that has expired is asked for
 * again. The digest is computed while bytes arrive and must be the source's: SHA-256, or git's SHA-1 of a blob. What
 * does not match is thrown away. Proved by test/e2e/test_pull.py against a server that does all of it wrong.
 */
#ifndef LOAM_HUB_FETCH_H
#define LOAM_HUB_FETCH_H

#include "base/hash.h"
#include "hub/http.h"

typedef enum { DIGEST_NONE, DIGEST_SHA256, DIGEST_GIT_BLOB } digest_kind;

typedef struct {
    const char *url;
    bool token;     /* may be sent there */
    uint64_t bytes; /* as the source says; HTTP_UNKNOWN: it does not */
    digest_kind digest;
    hash256 sha256;
    char git_blob[41];
} fetch_what;

/* Where it goes. have: the contents are there already (another process has brought them while this one waited). take:
 * the bytes, whole and checked, stand at `file`, to be renamed. Both are called while the part is locked. */
typedef struct {
    void *ctx;
    bool (*have)(void *ctx);
    err_code (*take)(void *ctx, const char *file, hash256 sha256, uint64_t bytes, err *e);
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
} fetch_sink;

/* path: without ending, where the part stands. After an error it stays, to go on with, unless its digest was wrong. */
err_code fetch_file(const http_options *o, const fetch_what *what, const char *path, const fetch_sink *sink, err *e);

#endif
