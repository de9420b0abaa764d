/* hub: any text as an answer of the Hugging Face hub and as a manifest of the Ollama registry. What is taken has names
 * that stay in a folder, URLs that begin with the hub's, and lengths that can be added. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hub/huggingface.h"
#include "hub/ollama.h"
#include "store/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(offer *o, const char *endpoint) {
    uint64_t bytes = 0;
    if (o->n < 1 || o->n > OFFER_FILES_MAX || !o->name.n)
        abort();
    for (size_t i = 0; i < o->n; i++) {
        const offer_file *f = &o->file[i];
        if (registry_file_name_check(f->name, NULL) != ERR_OK || f->what.digest == DIGEST_NONE ||
            strncmp(f->what.url, endpoint, strlen(endpoint)) != 0 ||
            strstr(f->what.url, ".."
                                "/"))
            abort();
        bytes += f->what.bytes;
    }
    if (bytes != o->bytes)
        abort();
    offer_close(o);
}

static void try_hf(str text, const char *reference) {
    hub_ref ref;
    offer o;
    err e = {0};
    if (ref_parse(&ref, str_from(reference), NULL) != ERR_OK)
        abort();
    if (huggingface_read(&o, &ref, "https://hub", NULL, text, &e) == ERR_OK)
        check(&o, "https://hub/");
    else if (!e.text[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str text = {(const char *)data, n};
    hub_ref ref;
    offer o;
    err e = {0};
    try_hf(text, "hf:a/b");
    try_hf(text, "hf:a/b:Q8_0");
    if (ref_parse(&ref, STR("ollama:a"), NULL) != ERR_OK)
        abort();
    if (ollama_read(&o, &ref, "https://reg", NULL, text, &e) == ERR_OK)
        check(&o, "https://reg/");
    else if (!e.text[0])
        abort();
    return 0;
}
