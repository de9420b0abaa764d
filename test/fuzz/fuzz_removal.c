/* removal: any bytes as removals.jsonl; what is taken must be written again to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "train/removal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    removals all = {0};
    err e = {0};
    strbuf again = {0};
    str text = {(const char *)data, n};
    if (removals_parse(&all, text, &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
    } else {
        for (size_t i = 0; i < all.n; i++)
            if (removal_text(&all.line[i], i ? &all.line[i - 1].digest : NULL, &again, &e) != ERR_OK)
                abort();
        if (!str_eq(strbuf_str(&again), text))
            abort();
    }
    removals_fini(&all);
    strbuf_fini(&again);
    return 0;
}
