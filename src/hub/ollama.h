/* ollama: what a model of the Ollama registry is.
 *
 *   GET ENDPOINT/v2/SPACE/NAME/manifests/TAG         {"layers": [{"mediaType", "digest": "sha256:HEX", "size"}...]}
 *   GET ENDPOINT/v2/SPACE/NAME/blobs/sha256:HEX      a layer, often by a redirect to another host
 *
 * The layer application/vnd.ollama.image.model is a GGUF file with chat template and vocabulary; it is all that Loam
 * takes, and of the licence's layer the first line. A model of several model layers (an adapter, a projector) is
 * refused. The same manifests and blobs stand in Ollama's own store (OLLAMA_MODELS, else ~/.ollama/models), and are
 * used there. Source: the OCI image and distribution specifications. Proved by test_hub.c, fuzz_hub.c and
 * test/e2e/test_pull.py.
 */
#ifndef LOAM_HUB_OLLAMA_H
#define LOAM_HUB_OLLAMA_H

#include "base/os.h"
#include "hub/offer.h"

err_code ollama_offer(offer *out, const hub_ref *ref, const http_options *o, err *e);
/* The same from a manifest. store: ollama_store(), or NULL. */
err_code ollama_read(offer *out, const hub_ref *ref, const char *endpoint, const char *store, str text, err *e);
err_code ollama_store(char out[OS_PATH_BYTES], err *e); /* empty: none */
/* The model in that store, without asking the registry. */
err_code ollama_cached(offer *out, const hub_ref *ref, const char *store, bool *found, err *e);

#endif
