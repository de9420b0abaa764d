/* bundle: any bytes as a signature's file and as the statement in one; a statement that is taken must be written and
 * read again to the same text. */
#include <stdint.h>
#include <stdlib.h>

#include "sign/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_statement(str text) {
    manifest m, again;
    err e = {0};
    if (statement_read(&m, text, &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
        return;
    }
    strbuf first = {0}, second = {0};
    if (statement_write(&m, &first, &e) != ERR_OK)
        abort();
    /* it is in order now, and its root is that of this order */
    if (statement_read(&again, strbuf_str(&first), &e) != ERR_OK)
        abort();
    if (statement_write(&again, &second, &e) != ERR_OK || !str_eq(strbuf_str(&first), strbuf_str(&second)))
        abort();
    manifest_fini(&again);
    manifest_fini(&m);
    strbuf_fini(&first);
    strbuf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str text = {(const char *)data, n};
    bundle b = {0};
    err e = {0};
    if (bundle_read(&b, text, &e) == ERR_OK)
        try_statement(strbuf_str(&b.statement));
    else if (e.code == ERR_OK || !e.text[0])
        abort();
    bundle_fini(&b);
    try_statement(text);
    return 0;
}
