/* utf8: code points in bytes that may be anything; see utf8.h.
 *
 * Source: RFC 3629 and Unicode 15, table 3-7 (well-formed sequences) and 3.9 (maximal subparts).
 */
#include "text/utf8.h"

#include <string.h>

/* Table 3-7 by lead byte: how many bytes follow, and what the first of them may be. */
static int tail_of(unsigned char lead, unsigned char *lo, unsigned char *hi) {
    *lo = 0x80;
    *hi = 0xbf;
    if (lead < 0x80)
        return 0;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        *lo = lead == 0xe0 ? 0xa0 : 0x80;
        *hi = lead == 0xed ? 0x9f : 0xbf;
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *lo = lead == 0xf0 ? 0x90 : 0x80;
        *hi = lead == 0xf4 ? 0x8f : 0xbf;
        return 3;
    }
    return -1;
}

int32_t utf8_next(str s, size_t *at) {
    unsigned char lead = (unsigned char)s.p[(*at)++], lo, hi;
    int n = tail_of(lead, &lo, &hi);
    if (n <= 0)
        return n == 0 ? lead : -1;
    int32_t cp = lead & (0x3f >> n);
    for (int i = 0; i < n; i++) {
        if (*at >= s.n)
            return -1;
        unsigned char c = (unsigned char)s.p[*at];
        if (c < lo || c > hi)
            return -1;
        cp = cp << 6 | (c & 0x3f);
        (*at)++;
        lo = 0x80;
        hi = 0xbf;
    }
    return cp;
}

size_t utf8_put(int32_t cp, char out[4]) {
    if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char mark[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (char)(mark[n] | cp);
    return n;
}

/* The first byte at or after `at` that is not ASCII, or s.n. */
static size_t skip_ascii(str s, size_t at) {
    for (uint64_t w; at + 8 <= s.n; at += 8) {
        memcpy(&w, s.p + at, 8);
        if (w & 0x8080808080808080u)
            break;
    }
    while (at < s.n && (unsigned char)s.p[at] < 0x80)
        at++;
    return at;
}

bool utf8_valid(str s) {
    for (size_t at = skip_ascii(s, 0); at < s.n; at = skip_ascii(s, at))
        if (utf8_next(s, &at) < 0)
            return false;
    return true;
}

size_t utf8_whole(str s) {
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char lo, hi, c = (unsigned char)s.p[s.n - back];
        if (c >= 0x80 && c < 0xc0)
            continue; /* a continuation: its lead stands further left */
        int n = tail_of(c, &lo, &hi);
        if (n < (int)back)
            return s.n; /* ASCII, ill-formed, or already complete */
        size_t at = s.n - back;
        /* Only a prefix that some valid sequence continues is worth waiting for. */
        return utf8_next(s, &at) < 0 && at == s.n ? s.n - back : s.n;
    }
    return s.n;
}

err_code utf8_repair(str s, strbuf *out, err *e) {
    size_t good = 0, at = 0;
    while ((at = skip_ascii(s, at)) < s.n) {
        size_t start = at;
        if (utf8_next(s, &at) >= 0)
            continue;
        TRY(strbuf_add(out, str_sub(s, good, start), e));
        TRY(strbuf_add(out, STR("\xef\xbf\xbd"), e));
        good = at;
    }
    return strbuf_add(out, str_sub(s, good, s.n), e);
}
