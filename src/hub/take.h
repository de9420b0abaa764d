/* take: from an offer to a model in the registry.
 *
 * Each file is taken from where it costs least: a blob that is there, a file of this machine (another program's cache,
 * the user's own), the network. The model gets its name when all of them are there. Proved by test/e2e/test_pull.py.
 */
#ifndef LOAM_HUB_TAKE_H
#define LOAM_HUB_TAKE_H

#include "hub/offer.h"
#include "store/registry.h"

/* done, total: bytes of all files; name: of the one that is being taken. */
typedef void take_progress_fn(void *ctx, str name, uint64_t done, uint64_t total);

typedef struct {
    const char *name; /* instead of the offer's; NULL: that */
    bool replace;     /* also when the name belongs to another source */
    int64_t now;      /* seconds since 1970, kept as the time of taking */
    take_progress_fn *progress;
    void *ctx;
} take_options;

typedef struct {
    hash256 id;
    uint64_t downloaded, shared, kept; /* bytes: from the network, from this machine, there already */
    char path[OS_PATH_BYTES];          /* for model_open() */
} taken;

err_code take_offer(registry *r, const offer *from, const http_options *http, const take_options *o, taken *out,
                    err *e);

/* A .gguf file or a model's folder of this machine, as an offer. */
err_code take_local_offer(offer *out, const hub_ref *ref, err *e);
/* One file at a URL; its length may not be known yet. */
err_code take_url_offer(offer *out, const hub_ref *ref, const http_options *http, err *e);

#endif
