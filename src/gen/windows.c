/* windows: a text in windows of tokens; see windows.h. */
#include "gen/windows.h"

#include <string.h>

err_code windows_bos(const tokenizer *t, int32_t *bos, err *e) {
    tok_ids none = {0};
    err_code code = tokenizer_encode(t, (str){0}, TOK_SPECIAL_ADD, &none, e);
    *bos = code == ERR_OK && none.n > 0 && none.id[0] == tokenizer_bos(t) ? none.id[0] : -1;
    tok_ids_fini(&none);
    return code;
}

err_code windows_open(windows *w, const tokenizer *t, str text, size_t width, err *e) {
    *w = (windows){.width = width};
    err_code code = windows_bos(t, &w->bos, e);
    if (code == ERR_OK)
        code = tokenizer_encode(t, text, TOK_SPECIAL_ADD, &w->ids, e);
    if (code == ERR_OK && w->ids.n < width)
        code = err_set(e, ERR_USAGE,
                       "the text has %zu tokens, less than one window of %zu (more text, or a smaller --ctx)", w->ids.n,
                       width);
    w->n = w->ids.n / width;
    if (code)
        windows_close(w);
    return code;
}

void windows_close(windows *w) {
    tok_ids_fini(&w->ids);
    *w = (windows){.n = 0};
}

void windows_get(const windows *w, size_t i, int32_t *ids) {
    memcpy(ids, w->ids.id + i * w->width, w->width * sizeof *ids);
    if (w->bos >= 0)
        ids[0] = w->bos;
}
