/* chain: any bytes as chain.jsonl; what is taken must be written again to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "train/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    chain c;
    err e = {0};
    str text = {(const char *)data, n};
    if (chain_parse_all(&c, text, &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
        return 0;
    }
    strbuf again = {0};
    for (size_t i = 0; i < c.n; i++)
        if (chain_text(&c.line[i], i ? &c.line[i - 1].digest : NULL, &again, &e) != ERR_OK)
            abort();
    if (!str_eq(strbuf_str(&again), str_sub(text, 0, again.n)) || c.torn != (again.n < n))
        abort();
    chain_fini(&c);
    strbuf_fini(&again);
    return 0;
}
