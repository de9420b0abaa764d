/* err: one-line errors carried by value; see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void tidy(char *text, int wanted, size_t size) {
    if (wanted >= (int)size)
        memcpy(text + size - 4, "...", 4);
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

err_code err_set(err *e, err_code code, const char *fmt, ...) {
    if (!e)
        return code;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    tidy(e->text, n, sizeof e->text);
    return code;
}

err_code err_in(err *e, err_code code, const char *fmt, ...) {
    if (!e)
        return code;
    char where[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    char inner[sizeof e->text];
    memcpy(inner, e->text, sizeof inner);
    int n = snprintf(e->text, sizeof e->text, "%s: %s", where, inner);
    tidy(e->text, n, sizeof e->text);
    return e->code;
}

const char *err_name(err_code code) {
    static const char *const names[] = {
#define X(name, text) [ERR_##name] = text,
        ERR_CODES(X)
#undef X
    };
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "unknown error";
}
