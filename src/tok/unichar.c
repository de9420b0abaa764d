/* unichar: character classes and normal forms; see unichar.h.
 *
 * utf8proc decomposes one character and composes a buffer; the ordering of marks between
 * the two is ours, because utf8proc's insertion sort is quadratic on a long run of marks.
 */
#include "tok/unichar.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/utf8.h"

bool unichar_is_space(int32_t cp) {
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

typedef struct {
    int32_t from, to;
} span;

static bool is_in(int32_t cp, const span *s, size_t n) {
    size_t lo = 0;
    for (size_t hi = n; lo < hi;) {
        size_t mid = (lo + hi) / 2;
        if (s[mid].to < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && s[lo].from <= cp;
}
#define IS_IN(cp, list) is_in((cp), (list), sizeof(list) / sizeof *(list))

bool unichar_is_numeric(int32_t cp) {
    /* Of Unicode 15 to 17, which Rust knows and utf8proc may not. */
    static const span added[] = {{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9}, {0x11de0, 0x11de9},
                                 {0x11f50, 0x11f59}, {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x16ff4, 0x16ff6},
                                 {0x1ccf0, 0x1ccf9}, {0x1d2c0, 0x1d2d3}, {0x1e4f0, 0x1e4f9}, {0x1e5f1, 0x1e5fa}};
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    utf8proc_category_t c = utf8proc_category(cp);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO || IS_IN(cp, added);
}

bool unichar_is_punct(int32_t cp) {
    /* The reference asks a table of Unicode 8: this is punctuation that came later. */
    static const span later[] = {
        {0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},     {0xc84, 0xc84},
        {0x1b4e, 0x1b4f},   {0x1b7d, 0x1b7f},   {0x2e43, 0x2e4f},   {0x2e52, 0x2e5d},   {0x10d6e, 0x10d6e},
        {0x10ead, 0x10ead}, {0x10ed0, 0x10ed0}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89}, {0x113d4, 0x113d8},
        {0x1144b, 0x1144f}, {0x1145a, 0x1145b}, {0x1145d, 0x1145d}, {0x11660, 0x1166c}, {0x116b9, 0x116b9},
        {0x1183b, 0x1183b}, {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46}, {0x11a9a, 0x11a9c},
        {0x11a9e, 0x11aa2}, {0x11b00, 0x11b09}, {0x11be1, 0x11be1}, {0x11c41, 0x11c45}, {0x11c70, 0x11c71},
        {0x11ef7, 0x11ef8}, {0x11f43, 0x11f4f}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2}, {0x16d6d, 0x16d6f},
        {0x16e97, 0x16e9a}, {0x16fe2, 0x16fe2}, {0x1e5ff, 0x1e5ff}, {0x1e95e, 0x1e95f}};
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    utf8proc_category_t c = utf8proc_category(cp);
    bool punct = c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
    return (punct && !IS_IN(cp, later)) || cp == 0x166d || cp == 0x111c9;
}

bool unichar_is_word(int32_t cp) {
    utf8proc_category_t c = utf8proc_category(cp);
    if ((c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_ME) || c == UTF8PROC_CATEGORY_ND ||
        c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC)
        return true;
    /* Other_Alphabetic outside the marks: circled and squared letters; and the two joiners. */
    return (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) || (cp >= 0x1f150 && cp <= 0x1f169) ||
           (cp >= 0x1f170 && cp <= 0x1f189) || cp == 0x200c || cp == 0x200d;
}

typedef struct {
    int32_t *p;
    size_t n, cap;
} cps;

static err_code room(cps *b, size_t extra, err *e) {
    if (b->n + extra <= b->cap)
        return ERR_OK;
    size_t cap = b->cap * 2 > b->n + extra ? b->cap * 2 : b->n + extra + 256;
    int32_t *p = realloc(b->p, cap * sizeof *p);
    if (!p)
        return err_set(e, ERR_MEMORY, "no memory to normalise %zu characters", cap);
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

static int ccc(int32_t cp) { return cp < 0x300 ? 0 : utf8proc_get_property(cp)->combining_class; }

/* Stable order by combining class of one run of marks: insertion when short, else by counting. */
static err_code order_run(int32_t *p, size_t n, err *e) {
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            int32_t cp = p[i];
            size_t j = i;
            for (; j > 0 && ccc(p[j - 1]) > ccc(cp); j--)
                p[j] = p[j - 1];
            p[j] = cp;
        }
        return ERR_OK;
    }
    int32_t *copy = malloc(n * sizeof *copy);
    if (!copy)
        return err_set(e, ERR_MEMORY, "no memory to order %zu marks", n);
    memcpy(copy, p, n * sizeof *copy);
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++)
        at[ccc(copy[i]) + 1]++;
    for (int c = 1; c < 257; c++)
        at[c] += at[c - 1];
    for (size_t i = 0; i < n; i++)
        p[at[ccc(copy[i])]++] = copy[i];
    free(copy);
    return ERR_OK;
}

static err_code decompose(str s, utf8proc_option_t options, cps *b, err *e) {
    for (size_t at = 0; at < s.n;) {
        int32_t cp = utf8_next(s, &at);
        TRY(room(b, 32, e)); /* no character has more than 18 in its decomposition */
        if (cp < 0xa0) {
            b->p[b->n++] = cp;
            continue;
        }
        utf8proc_ssize_t n = utf8proc_decompose_char(cp, b->p + b->n, 32, options, NULL);
        if (n < 0 || n > 32)
            return err_set(e, ERR_FORMAT, "U+%04X cannot be normalised", (unsigned)cp);
        b->n += (size_t)n;
    }
    for (size_t i = 0, from = 0; i <= b->n; i++)
        if (i == b->n || ccc(b->p[i]) == 0) {
            TRY(order_run(b->p + from, i - from, e));
            from = i + 1;
        }
    return ERR_OK;
}

static err_code put_all(const cps *b, size_t n, strbuf *out, err *e) {
    char bytes[4 * 64];
    size_t held = 0;
    for (size_t i = 0; i < n; i++) {
        held += utf8_put(b->p[i], bytes + held);
        if (held > sizeof bytes - 4 || i + 1 == n) {
            TRY(strbuf_add(out, (str){bytes, held}, e));
            held = 0;
        }
    }
    return ERR_OK;
}

/* Text below U+00A0 is in every form; below U+0300 it is in NFC (U+0300 begins with byte 0xCC). */
static bool already(str s, unichar_form form) {
    unsigned char lead = form == UNICHAR_NFC ? 0xcc : 0x80;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= lead)
            return false;
    return true;
}

err_code unichar_normalize(str s, unichar_form form, strbuf *out, err *e) {
    if (already(s, form))
        return strbuf_add(out, s, e);
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (form == UNICHAR_NFKC || form == UNICHAR_NFKD)
        options |= UTF8PROC_COMPAT;
    cps b = {0};
    err_code code = room(&b, s.n / 2 + 64, e);
    if (code == ERR_OK)
        code = decompose(s, (utf8proc_option_t)options, &b, e);
    size_t n = b.n;
    if (code == ERR_OK && (form == UNICHAR_NFC || form == UNICHAR_NFKC)) {
        utf8proc_ssize_t m = utf8proc_normalize_utf32(b.p, (utf8proc_ssize_t)b.n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (m < 0)
            code = err_set(e, ERR_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(m));
        else
            n = (size_t)m;
    }
    if (code == ERR_OK)
        code = put_all(&b, n, out, e);
    free(b.p);
    return code;
}

err_code unichar_lower(str s, strbuf *out, err *e) {
    for (size_t at = 0; at < s.n;) {
        char bytes[4];
        int32_t cp = utf8_next(s, &at);
        if (cp == 0x130) /* the one character whose lower case is two */
            TRY(strbuf_add(out, STR("i\xcc\x87"), e));
        else
            TRY(strbuf_add(out, (str){bytes, utf8_put(utf8proc_tolower(cp), bytes)}, e));
    }
    return ERR_OK;
}
