/* huggingface: what a repository of the Hugging Face hub offers to run.
 *
 *   GET ENDPOINT/api/models/ORG/REPO/revision/REV?blobs=true   names, lengths, digests, licence, commit
 *   GET ENDPOINT/ORG/REPO/resolve/COMMIT/NAME                  the file, often by a redirect to another host
 *
 * Of a repository with GGUF files one is taken: the one that was asked for, else the best by a list of types; else the
 * weights in safetensors with the JSON files beside them. A GGUF model in several files is offered by its first, and
 * all are taken. Nothing else is ever taken: no Python, no pickle. Files in Git LFS have a SHA-256, the others git's
 * SHA-1 of a blob. Source: the hub's OpenAPI description and huggingface_hub. Proved by test_hub.c, fuzz_hub.c and
 * test/e2e/test_pull.py.
 */
#ifndef LOAM_HUB_HUGGINGFACE_H
#define LOAM_HUB_HUGGINGFACE_H

#include "base/os.h"
#include "hub/offer.h"

err_code huggingface_offer(offer *out, const hub_ref *ref, const http_options *o, err *e);
/* The same from the answer's text. cache: huggingface_cache(), whose files become places; NULL: none. */
err_code huggingface_read(offer *out, const hub_ref *ref, const char *endpoint, const char *cache, str text, err *e);

/* The token of the environment: HF_TOKEN, else the file HF_TOKEN_PATH, else HF_HOME/token (~/.cache/huggingface/token).
 * Empty when there is none. */
void huggingface_token(char out[HTTP_TOKEN_MAX + 1]);
/* HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; empty: none. */
err_code huggingface_cache(char out[OS_PATH_BYTES], err *e);
/* The model in that cache, without asking the hub: as an offer whose files have places. *found false: it is not there.
 */
err_code huggingface_cached(offer *out, const hub_ref *ref, const char *cache, bool *found, err *e);

#endif
