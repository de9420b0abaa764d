/* str: byte slices and a growing buffer; see str.h. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

str str_from(const char *cstr) { return (str){cstr, cstr ? strlen(cstr) : 0}; }

bool str_eq(str a, str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

bool str_is(str a, const char *cstr) { return str_eq(a, str_from(cstr)); }

bool str_starts(str s, str prefix) { return s.n >= prefix.n && str_eq((str){s.p, prefix.n}, prefix); }

bool str_ends(str s, str suffix) { return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix); }

int str_cmp(str a, str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

ptrdiff_t str_find(str s, str needle, size_t from) {
    if (from > s.n || needle.n > s.n - from)
        return -1;
    if (needle.n == 0)
        return (ptrdiff_t)from;
    const char *end = s.p + s.n - needle.n + 1;
    for (const char *p = s.p + from; p < end; p++) {
        p = memchr(p, needle.p[0], (size_t)(end - p));
        if (!p)
            return -1;
        if (memcmp(p, needle.p, needle.n) == 0)
            return p - s.p;
    }
    return -1;
}

str str_sub(str s, size_t from, size_t to) {
    to = to > s.n ? s.n : to;
    from = from > to ? to : from;
    return (str){s.p ? s.p + from : s.p, to - from};
}

int str_hex_digit(int ch) {
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    int low = ch >= 'A' && ch <= 'F' ? ch - 'A' + 'a' : ch;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

uint64_t str_hash(str s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* Room for `extra` more bytes and for the NUL that vsnprintf() insists on. */
err_code strbuf_reserve(strbuf *b, size_t extra, err *e) {
    size_t max = b->max && b->max < SIZE_MAX / 4 ? b->max : SIZE_MAX / 4;
    if (extra > max || b->n > max - extra)
        return err_set(e, ERR_LIMIT, "text would grow past %zu bytes", max);
    if (b->n + extra < b->cap)
        return ERR_OK;
    size_t cap = b->cap ? b->cap * 2 : 64;
    while (cap <= b->n + extra)
        cap *= 2;
    char *p = realloc(b->p, cap);
    if (!p)
        return err_set(e, ERR_MEMORY, "no memory for %zu bytes of text", cap);
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

err_code strbuf_add(strbuf *b, str s, err *e) {
    if (s.n == 0)
        return ERR_OK;
    TRY(strbuf_reserve(b, s.n, e));
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    return ERR_OK;
}

err_code strbuf_addc(strbuf *b, char c, err *e) { return strbuf_add(b, (str){&c, 1}, e); }

err_code strbuf_addf(strbuf *b, err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    size_t room = b->p ? b->cap - b->n : 0;
    int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    err_code code = n < 0 ? err_set(e, ERR_FORMAT, "text cannot be formatted") : strbuf_reserve(b, (size_t)n, e);
    if (code == ERR_OK && (size_t)n >= room)
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    if (code == ERR_OK)
        b->n += (size_t)n;
    va_end(again);
    return code;
}

err_code strbuf_add_real(strbuf *b, double x, int digits_min, err *e) {
    char text[40];
    int digits = digits_min;
    do
        snprintf(text, sizeof text, "%.*g", digits, x);
    while (digits++ < 17 && strtod(text, NULL) != x);
    return strbuf_add(b, str_from(text), e);
}

err_code strbuf_add_real32(strbuf *b, float x, int digits_min, err *e) {
    char text[40];
    int digits = digits_min;
    do
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
    while (digits++ < 9 && strtof(text, NULL) != x);
    return strbuf_add(b, str_from(text), e);
}

str strbuf_str(const strbuf *b) { return (str){b->p, b->n}; }

void strbuf_fini(strbuf *b) {
    free(b->p);
    *b = (strbuf){.max = b->max};
}
