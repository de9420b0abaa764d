/* json: any bytes as JSON; any bytes as a string to quote, which must then read back as it was. */
#include <stdint.h>
#include <stdlib.h>

#include "text/json.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str text = {(const char *)data, n};
    json_t *value = NULL;
    err e = {0};
    if (json_read(text, 1 << 20, &value, &e) == ERR_OK) {
        (void)json_get_int(value, "a", 0);
        (void)json_get_num(value, "a", 0);
        (void)json_get_bool(value, "a", false);
        str s = json_get_str(value, "a", STR(""));
        uint64_t u;
        (void)json_want_str(value, "a", &s, &e);
        (void)json_want_u64(value, "a", 1000, &u, &e);
        json_decref(value);
    } else if (e.code == ERR_OK || !e.text[0]) {
        abort();
    }
    strbuf quoted = {0}, repaired = {0};
    if (json_quote(text, &quoted, &e) != ERR_OK || utf8_repair(text, &repaired, &e) != ERR_OK)
        abort();
    if (json_read(strbuf_str(&quoted), 8 * n + 2, &value, &e) != ERR_OK || !json_is_string(value) ||
        !str_eq(json_str_of(value), strbuf_str(&repaired)))
        abort();
    json_decref(value);
    strbuf_fini(&quoted);
    strbuf_fini(&repaired);
    return 0;
}
