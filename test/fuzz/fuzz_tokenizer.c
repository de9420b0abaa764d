/* tokenizer: a hostile tokenizer.json, a NUL, then any bytes to encode with it and decode again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tok/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const tokenizer *t, str text, unsigned flags) {
    tok_ids ids = {0};
    strbuf whole = {0}, parts = {0};
    err e = {0};
    if (tokenizer_encode(t, text, flags, &ids, &e) != ERR_OK) {
        if (ids.n || !e.text[0])
            abort();
        tok_ids_fini(&ids);
        return;
    }
    for (size_t i = 0; i < ids.n; i++)
        if (ids.id[i] < 0 || ids.id[i] >= tokenizer_n_vocab(t))
            abort();
    if (tokenizer_decode(t, ids.id, ids.n, true, &whole, &e) == ERR_OK)
        for (size_t i = 0; i < ids.n; i++)
            if (tokenizer_decode_next(t, i, ids.id[i], flags & 1, &parts, &e) != ERR_OK && e.code == ERR_USAGE)
                abort();
    strbuf_fini(&whole);
    strbuf_fini(&parts);
    tok_ids_fini(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    size_t n_json = nul ? (size_t)(nul - data) : n;
    str json = {(const char *)data, n_json},
        text = {(const char *)data + (nul ? n_json + 1 : 0), nul ? n - n_json - 1 : n};
    tokenizer *t = NULL;
    err e = {0};
    if (pipeline_new(&t, &e) != ERR_OK)
        return 0;
    if (tokenizer_read_json(t, json, &e) == ERR_OK && pipeline_finish(t, &e) == ERR_OK) {
        use(t, text, 0);
        use(t, text, TOK_SPECIAL_ADD | TOK_SPECIAL_PARSE);
    } else if (e.code == ERR_OK || !e.text[0]) {
        abort();
    }
    tokenizer_close(t);
    return 0;
}
