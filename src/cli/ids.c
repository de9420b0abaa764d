/* ids: see ids.h. */
#include "cli/ids.h"

#include <string.h>

static bool between(char c) { return c != '\0' && strchr(", \t\r\n[]", c); }

err_code ids_parse(str text, tok_ids *ids, err *e) {
    for (size_t i = 0; i < text.n;) {
        if (between(text.p[i])) {
            i++;
            continue;
        }
        size_t from = i;
        int64_t id = 0;
        for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && id <= INT32_MAX; i++)
            id = id * 10 + (text.p[i] - '0');
        if (i == from || id > INT32_MAX || (i < text.n && !between(text.p[i]))) {
            for (i = from; i < text.n && !between(text.p[i]);)
                i++;
            return err_set(e, ERR_USAGE, "\"%.*s\" is not a token id", STR_ARG(str_sub(text, from, i)));
        }
        TRY(tok_ids_add(ids, (int32_t)id, e));
    }
    return ERR_OK;
}
