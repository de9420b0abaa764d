/* ref: any text as a reference; one that is taken has one spelling, which means the same, and a name that a registry
 * takes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hub/ref.h"
#include "store/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(const hub_ref *a, const hub_ref *b) {
    if (a->kind != b->kind || strcmp(a->space, b->space) != 0 || strcmp(a->repo, b->repo) != 0 ||
        strcmp(a->revision, b->revision) != 0 || strcmp(a->pick, b->pick) != 0 || strcmp(a->url, b->url) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    hub_ref r, again;
    err e = {0};
    strbuf text = {0}, name = {0};
    if (ref_parse(&r, (str){(const char *)data, n}, &e) != ERR_OK) {
        if (e.code != ERR_USAGE || !e.text[0])
            abort();
        return 0;
    }
    if (ref_text(&r, &text, &e) != ERR_OK || ref_parse(&again, strbuf_str(&text), &e) != ERR_OK)
        abort();
    same(&r, &again);
    if (ref_name(&r, STR("Q4_K_M"), &name, &e) != ERR_OK)
        abort();
    if (name.n <= REGISTRY_NAME_MAX && registry_name_check(strbuf_str(&name), &e) != ERR_OK)
        abort();
    if (strstr(r.space, "..") == r.space || strchr(r.space, '/') || strchr(r.repo, '/'))
        if (*r.space == '.' || strchr(r.repo, '/'))
            abort();
    strbuf_fini(&text);
    strbuf_fini(&name);
    return 0;
}
