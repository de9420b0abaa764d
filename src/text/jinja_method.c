/* jinja_method: methods of str, dict, list, tuple, range, loop and cycler, as CPython has them.
 *
 * Methods that change their value (append, update, pop, ...) are refused, as the immutable
 * sandbox refuses them; methods Python has and this table lacks are ERR_UNSUPPORTED by name,
 * so that they never pass for undefined.
 * Case mapping is utf8proc's simple one, plus the characters whose upper case is longer.
 */
#include "text/jinja_int.h"

#include <string.h>
#include <utf8proc.h>

typedef err_code method_fn(jrun *r, jval self, const jgiven *g, jval *out);
typedef struct {
    const char *name, *params;
    method_fn *fn;
} method_row;

struct jmethod {
    jval self;
    const method_row *row;
};

/* ---- shared with filters ---- */

static const struct {
    int32_t cp;
    const char *upper;
} long_upper[] = {
    {0xDF, "SS"},   {0x149, "ʼN"},  {0x1F0, "J̌"},    {0x390, "Ϊ́"},    {0x3B0, "Ϋ́"},   {0x587, "ԵՒ"},
    {0x1E96, "H̱"},  {0x1E97, "T̈"},  {0x1E98, "W̊"},   {0x1E99, "Y̊"},   {0x1E9A, "Aʾ"}, {0xFB00, "FF"},
    {0xFB01, "FI"}, {0xFB02, "FL"}, {0xFB03, "FFI"}, {0xFB04, "FFL"}, {0xFB05, "ST"}, {0xFB06, "ST"},
};

static bool is_cased(int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

static size_t put_upper(int32_t c, char *out, bool title) {
    for (size_t i = 0; i < sizeof long_upper / sizeof *long_upper; i++)
        if (long_upper[i].cp == c) {
            size_t n = strlen(long_upper[i].upper);
            memcpy(out, long_upper[i].upper, n);
            for (size_t k = 1; title && k < n; k++) /* "ß" is titled "Ss" */
                out[k] = out[k] >= 'A' && out[k] <= 'Z' ? (char)(out[k] + 32) : out[k];
            return n;
        }
    return jj_put_cp(title ? utf8proc_totitle(c) : utf8proc_toupper(c), out);
}

static size_t put_lower(str s, size_t at, int32_t c, int len, bool after_cased, char *out) {
    if (c == 0x130) {
        memcpy(out, "i̇", 3);
        return 3;
    }
    if (c == 0x3A3) { /* final sigma: after a letter, not before one */
        size_t next = at + (size_t)len;
        int l;
        bool more = next < s.n && is_cased(jj_cp(s.p + next, s.p + s.n, &l));
        return jj_put_cp(after_cased && !more ? 0x3C2 : 0x3C3, out);
    }
    return jj_put_cp(utf8proc_tolower(c), out);
}

err_code jj_case(jrun *r, str s, jcase how, jval *out) {
    char *buf;
    if (s.n > SIZE_MAX / 8)
        return jj_fail(r, ERR_LIMIT, "text too long");
    size_t ascii = 0;
    while (ascii < s.n && (unsigned char)s.p[ascii] < 0x80)
        ascii++;
    TRY(jj_alloc(r, ascii == s.n ? s.n : s.n * 3 + 8, 1, &buf)); /* no mapping is longer than 3 times its source */
    TRY(jj_charge(r, s.n / 16));
    size_t n = 0;
    bool after_cased = false;
    for (size_t i = 0; i < s.n;) {
        int len;
        int32_t c = jj_cp(s.p + i, s.p + s.n, &len);
        bool upper = how == JCASE_UPPER || (how == JCASE_CAPITALIZE && i == 0) ||
                     (how == JCASE_TITLE && !after_cased) ||
                     (how == JCASE_SWAP && utf8proc_category(c) == UTF8PROC_CATEGORY_LL);
        bool keep = how == JCASE_SWAP && !is_cased(c);
        if (c < 0x80)
            buf[n++] = keep                             ? (char)c
                       : upper && c >= 'a' && c <= 'z'  ? (char)(c - 32)
                       : !upper && c >= 'A' && c <= 'Z' ? (char)(c + 32)
                                                        : (char)c;
        else if (keep)
            n += jj_put_cp(c, buf + n);
        else
            n += upper ? put_upper(c, buf + n, how == JCASE_TITLE || how == JCASE_CAPITALIZE)
                       : put_lower(s, i, c, len, after_cased, buf + n);
        after_cased = is_cased(c);
        i += (size_t)len;
    }
    return jj_str_of(r, (str){buf, n}, out);
}

static bool in_set(jval chars, int32_t c) {
    if (chars.kind != JK_STR)
        return jj_is_space(c);
    char buf[4];
    size_t n = jj_put_cp(c, buf);
    return str_find(jj_text(chars), (str){buf, n}, 0) >= 0;
}

err_code jj_strip(jrun *r, jval v, jval chars, int sides, jval *out) {
    if (chars.kind != JK_STR && chars.kind != JK_NONE && chars.kind != JK_MISSING)
        return jj_fail(r, ERR_FORMAT, "strip wants a string or none, not '%s'", jj_kind_name(chars));
    str s = jj_text(v);
    const char *p = s.p, *end = s.p + s.n;
    size_t unit = chars.kind == JK_STR ? chars.u.s->n / 64 + 1 : 1, n = 0;
    int len;
    for (; sides & 1 && p < end && in_set(chars, jj_cp(p, end, &len)); p += len, n++)
        TRY(jj_charge(r, n % 64 == 0 ? unit : unit - 1));
    while (sides & 2 && end > p) {
        const char *q = end - 1;
        while (q > p && ((unsigned char)*q & 0xC0) == 0x80)
            q--;
        if (!in_set(chars, jj_cp(q, end, &len)))
            break;
        TRY(jj_charge(r, n++ % 64 == 0 ? unit : unit - 1));
        end = q;
    }
    return jj_str_of(r, (str){p, (size_t)(end - p)}, out);
}

/* Short needles by plain search, long ones by memmem, which stays linear for any text. */
static const char *find_in(str s, str what, size_t from) {
    if (from > s.n || what.n > s.n - from)
        return NULL;
    if (what.n > 32)
        return memmem(s.p + from, s.n - from, what.p, what.n);
    ptrdiff_t at = str_find(s, what, from);
    return at < 0 ? NULL : s.p + at;
}

err_code jj_replace(jrun *r, str s, str from, str to, int64_t count, jval *out) {
    size_t hits = 0, most = count < 0 ? SIZE_MAX : (size_t)count;
    TRY(jj_charge(r, s.n / 16));
    if (from.n == 0) { /* between all code points and at both ends */
        hits = jj_cps(s) + 1;
        hits = hits < most ? hits : most;
    } else {
        for (const char *p = s.p; hits < most && (p = find_in(s, from, (size_t)(p - s.p))); p += from.n)
            hits++;
    }
    size_t bytes;
    if (__builtin_mul_overflow(hits, to.n, &bytes) || __builtin_add_overflow(bytes, s.n - hits * from.n, &bytes))
        bytes = SIZE_MAX;
    char *buf;
    TRY(jj_alloc(r, bytes, 1, &buf));
    size_t n = 0, at = 0;
    for (size_t h = 0; h < hits; h++) {
        size_t next = at;
        if (from.n)
            next = (size_t)(find_in(s, from, at) - s.p);
        else if (h)
            do
                next++;
            while (next < s.n && ((unsigned char)s.p[next] & 0xC0) == 0x80);
        if (next > at)
            memcpy(buf + n, s.p + at, next - at);
        n += next - at;
        if (to.n)
            memcpy(buf + n, to.p, to.n);
        n += to.n;
        at = next + from.n;
    }
    if (s.n > at)
        memcpy(buf + n, s.p + at, s.n - at);
    return jj_str_of(r, (str){buf, bytes}, out);
}

err_code jj_join(jrun *r, str sep, const jval *items, size_t n, bool strict, jval *out) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (strict && items[i].kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "join: item %zu is %s, not str", i, jj_kind_name(items[i]));
        bool over = __builtin_add_overflow(bytes, items[i].u.s->n, &bytes);
        if (over || (i && __builtin_add_overflow(bytes, sep.n, &bytes)))
            return jj_fail(r, ERR_LIMIT, "text too long");
    }
    char *buf;
    TRY(jj_charge(r, n));
    TRY(jj_alloc(r, bytes, 1, &buf));
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && sep.n)
            memcpy(buf + at, sep.p, sep.n);
        at += i ? sep.n : 0;
        if (items[i].u.s->n)
            memcpy(buf + at, items[i].u.s->p, items[i].u.s->n);
        at += items[i].u.s->n;
    }
    return jj_str_of(r, (str){buf, bytes}, out);
}

/* Pieces gathered before their number is known. */
typedef struct {
    jval *v;
    size_t n, cap;
} pieces;

static err_code add_piece(jrun *r, pieces *q, const char *from, const char *to) {
    if (q->n == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 8;
        jval *v;
        TRY(jj_alloc(r, cap, sizeof *v, &v));
        if (q->n)
            memcpy(v, q->v, q->n * sizeof *v);
        q->v = v;
        q->cap = cap;
    }
    TRY(jj_charge(r, 1));
    return jj_str_of(r, (str){from, (size_t)(to - from)}, &q->v[q->n++]);
}

static err_code to_list(jrun *r, const pieces *q, bool backwards, jval *out) {
    jval *v;
    TRY(jj_seq_new(r, JK_LIST, q->n, out, &v));
    for (size_t i = 0; i < q->n; i++)
        v[i] = q->v[backwards ? q->n - 1 - i : i];
    return jj_seq_done(r, *out);
}

static bool is_line_end(int32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

err_code jj_split_lines(jrun *r, str s, bool keep, jval *out) {
    pieces q = {0};
    const char *p = s.p, *end = s.p + s.n, *from = p;
    TRY(jj_charge(r, s.n / 16));
    while (p < end) {
        int len;
        int32_t c = jj_cp(p, end, &len);
        const char *stop = p;
        p += len;
        if (!is_line_end(c))
            continue;
        p += c == '\r' && p < end && *p == '\n';
        TRY(add_piece(r, &q, from, keep ? p : stop));
        from = p;
    }
    if (from < end)
        TRY(add_piece(r, &q, from, end));
    return to_list(r, &q, false, out);
}

/* ---- str ---- */

static err_code want_str(jrun *r, jval v, str *out) {
    if (v.kind != JK_STR)
        return jj_fail(r, ERR_FORMAT, "a string is wanted, not '%s'", jj_kind_name(v));
    *out = jj_text(v);
    return ERR_OK;
}

#define METHOD(name) static err_code name(jrun *r, jval self, const jgiven *g, jval *out)

static err_code split_space(jrun *r, str s, int64_t max, bool right, pieces *q) {
    const char *p = s.p, *end = s.p + s.n;
    int len;
    while (p < end || right) {
        if (!right) {
            while (p < end && jj_is_space(jj_cp(p, end, &len)))
                p += len;
            const char *from = p;
            if (p == end)
                break;
            if (max-- == 0)
                return add_piece(r, q, p, end); /* the rest as it stands */
            while (p < end && !jj_is_space(jj_cp(p, end, &len)))
                p += len;
            TRY(add_piece(r, q, from, p));
            continue;
        }
        jval head;
        TRY(jj_str_of(r, (str){s.p, (size_t)(end - s.p)}, &head));
        TRY(jj_strip(r, head, (jval){0}, 2, &head));
        if (head.u.s->n == 0)
            break;
        end = s.p + head.u.s->n;
        if (max-- == 0)
            return add_piece(r, q, s.p, end);
        const char *from = end;
        while (from > s.p) {
            const char *b = from - 1;
            while (b > s.p && ((unsigned char)*b & 0xC0) == 0x80)
                b--;
            if (jj_is_space(jj_cp(b, from, &len)))
                break;
            from = b;
        }
        TRY(add_piece(r, q, from, end));
        end = from;
    }
    return ERR_OK;
}

static const char *find_last(str s, str what) {
    if (what.n > s.n)
        return NULL;
    for (const char *p = s.p + (s.n - what.n);; p--) {
        if (what.n == 0 || memcmp(p, what.p, what.n) == 0)
            return p;
        if (p == s.p)
            return NULL;
    }
}

static err_code split_by(jrun *r, jval self, const jgiven *g, bool right, jval *out) {
    str s = jj_text(self), sep;
    int64_t max;
    pieces q = {0};
    TRY(jj_want_int(r, g->v[1], -1, &max));
    max = max < 0 ? INT64_MAX : max;
    TRY(jj_charge(r, s.n / 16));
    if (g->v[0].kind == JK_MISSING || g->v[0].kind == JK_NONE) {
        TRY(split_space(r, s, max, right, &q));
        return to_list(r, &q, right, out);
    }
    TRY(want_str(r, g->v[0], &sep));
    if (sep.n == 0)
        return jj_fail(r, ERR_FORMAT, "split: empty separator");
    const char *p = s.p, *end = s.p + s.n;
    for (; max > 0; max--) {
        if (right) {
            TRY(jj_charge(r, sep.n / 64));
            const char *hit = find_last((str){s.p, (size_t)(end - s.p)}, sep);
            if (!hit)
                break;
            TRY(jj_charge(r, (size_t)(end - hit) / 64 * (sep.n / 64 + 1)));
            TRY(add_piece(r, &q, hit + sep.n, end));
            end = hit;
        } else {
            const char *hit = find_in(s, sep, (size_t)(p - s.p));
            if (!hit)
                break;
            TRY(add_piece(r, &q, p, hit));
            p = hit + sep.n;
        }
    }
    TRY(add_piece(r, &q, p, end));
    return to_list(r, &q, right, out);
}

METHOD(m_split) { return split_by(r, self, g, false, out); }
METHOD(m_rsplit) { return split_by(r, self, g, true, out); }
METHOD(m_strip) { return jj_strip(r, self, g->v[0], 3, out); }
METHOD(m_lstrip) { return jj_strip(r, self, g->v[0], 1, out); }
METHOD(m_rstrip) { return jj_strip(r, self, g->v[0], 2, out); }
#define CASE_METHOD(name, how)                      \
    METHOD(name) {                                  \
        (void)g;                                    \
        return jj_case(r, jj_text(self), how, out); \
    }
CASE_METHOD(m_upper, JCASE_UPPER)
CASE_METHOD(m_lower, JCASE_LOWER)
CASE_METHOD(m_title, JCASE_TITLE)
CASE_METHOD(m_capitalize, JCASE_CAPITALIZE)
CASE_METHOD(m_swapcase, JCASE_SWAP)

METHOD(m_replace) {
    str from, to;
    int64_t count;
    TRY(want_str(r, g->v[0], &from));
    TRY(want_str(r, g->v[1], &to));
    TRY(jj_want_int(r, g->v[2], -1, &count));
    return jj_replace(r, jj_text(self), from, to, count, out);
}

/* self[start:end] by code points; *base: code points before it. false: start lies beyond the end. */
static err_code window(jrun *r, jval self, jval start, jval end, str *out, int64_t *base, bool *inside) {
    int64_t n = (int64_t)self.u.s->cps, a, b;
    TRY(jj_want_int(r, start.kind == JK_NONE ? (jval){0} : start, 0, &a));
    TRY(jj_want_int(r, end.kind == JK_NONE ? (jval){0} : end, n, &b));
    a = a < 0 ? (a < -n ? 0 : a + n) : a;
    b = b < 0 ? (b < -n ? 0 : b + n) : b > n ? n : b;
    *inside = a <= n && a <= b;
    *base = a;
    if (!*inside)
        return ERR_OK;
    size_t p = jj_at_cp(self.u.s, (size_t)a), q = jj_at_cp(self.u.s, (size_t)b);
    TRY(jj_charge(r, self.u.s->n / 64));
    *out = (str){self.u.s->p + p, q - p};
    return ERR_OK;
}

static err_code affix(jrun *r, jval self, const jgiven *g, bool ends, jval *out) {
    str s = {0};
    int64_t base;
    bool inside, yes = false;
    TRY(window(r, self, g->v[1], g->v[2], &s, &base, &inside));
    const jval *v = &g->v[0];
    size_t n = 1;
    if (v->kind == JK_TUPLE) {
        n = v->u.seq->n;
        v = v->u.seq->v;
    }
    for (size_t i = 0; i < n; i++) {
        str fix;
        TRY(want_str(r, v[i], &fix));
        yes = yes || (inside && (ends ? str_ends(s, fix) : str_starts(s, fix)));
    }
    *out = JV_BOOL(yes);
    return ERR_OK;
}

METHOD(m_startswith) { return affix(r, self, g, false, out); }
METHOD(m_endswith) { return affix(r, self, g, true, out); }

static err_code find_cp(jrun *r, jval self, const jgiven *g, bool last, bool must, jval *out) {
    str s = {0}, what;
    int64_t base;
    bool inside;
    TRY(want_str(r, g->v[0], &what));
    TRY(window(r, self, g->v[1], g->v[2], &s, &base, &inside));
    const char *hit = NULL;
    if (inside && last)
        TRY(jj_charge(r, s.n / 64 * (what.n / 64 + 1)));
    if (inside)
        hit = last ? find_last(s, what) : find_in(s, what, 0);
    if (!hit && must)
        return jj_fail(r, ERR_FORMAT, "substring not found");
    *out = JV_INT(hit ? base + (int64_t)jj_cps((str){s.p, (size_t)(hit - s.p)}) : -1);
    return ERR_OK;
}

METHOD(m_find) { return find_cp(r, self, g, false, false, out); }
METHOD(m_rfind) { return find_cp(r, self, g, true, false, out); }
METHOD(m_index) { return find_cp(r, self, g, false, true, out); }
METHOD(m_rindex) { return find_cp(r, self, g, true, true, out); }

METHOD(m_count) {
    str s = {0}, what;
    int64_t base, n = 0;
    bool inside;
    TRY(want_str(r, g->v[0], &what));
    TRY(window(r, self, g->v[1], g->v[2], &s, &base, &inside));
    if (inside && what.n == 0)
        n = (int64_t)jj_cps(s) + 1;
    else if (inside)
        for (const char *p = s.p; (p = find_in(s, what, (size_t)(p - s.p))); p += what.n)
            n++;
    *out = JV_INT(n);
    return ERR_OK;
}

METHOD(m_join) {
    jval *items;
    size_t n;
    TRY(jj_items(r, g->v[0], &items, &n));
    return jj_join(r, jj_text(self), items, n, true, out);
}

METHOD(m_splitlines) { return jj_split_lines(r, jj_text(self), jj_truthy(g->v[0]), out); }

METHOD(m_removeprefix) {
    str s = jj_text(self), fix;
    TRY(want_str(r, g->v[0], &fix));
    return jj_str_of(r, str_starts(s, fix) ? str_sub(s, fix.n, s.n) : s, out);
}

METHOD(m_removesuffix) {
    str s = jj_text(self), fix;
    TRY(want_str(r, g->v[0], &fix));
    return jj_str_of(r, str_ends(s, fix) ? str_sub(s, 0, s.n - fix.n) : s, out);
}

static err_code partition(jrun *r, jval self, const jgiven *g, bool last, jval *out) {
    str s = jj_text(self), sep;
    jval *v;
    TRY(want_str(r, g->v[0], &sep));
    if (sep.n == 0)
        return jj_fail(r, ERR_FORMAT, "partition: empty separator");
    TRY(jj_charge(r, s.n / 64 * (last ? sep.n / 64 + 1 : 1)));
    const char *hit = last ? find_last(s, sep) : find_in(s, sep, 0);
    size_t at = hit ? (size_t)(hit - s.p) : last ? 0 : s.n;
    TRY(jj_seq_new(r, JK_TUPLE, 3, out, &v));
    TRY(jj_str_of(r, str_sub(s, 0, at), &v[0]));
    TRY(jj_str_of(r, hit ? sep : STR(""), &v[1]));
    TRY(jj_str_of(r, str_sub(s, at + (hit ? sep.n : 0), s.n), &v[2]));
    return jj_seq_done(r, *out);
}

METHOD(m_partition) { return partition(r, self, g, false, out); }
METHOD(m_rpartition) { return partition(r, self, g, true, out); }

static err_code pad(jrun *r, jval self, const jgiven *g, int side, jval *out) {
    int64_t width;
    jval fill = g->v[1], left, right;
    TRY(jj_want_int(r, g->v[0], 0, &width));
    if (fill.kind == JK_MISSING)
        TRY(jj_str_of(r, STR(" "), &fill));
    if (fill.kind != JK_STR || fill.u.s->cps != 1)
        return jj_fail(r, ERR_FORMAT, "the fill character must be one character");
    int64_t n = (int64_t)self.u.s->cps, need = width > n ? width - n : 0;
    int64_t before = side < 0 ? need : side > 0 ? 0 : need / 2 + (need & width & 1);
    TRY(jj_arith(r, JOP_MUL, fill, JV_INT(before), &left));
    TRY(jj_arith(r, JOP_MUL, fill, JV_INT(need - before), &right));
    TRY(jj_concat(r, left, self, out));
    return jj_concat(r, *out, right, out);
}

METHOD(m_center) { return pad(r, self, g, 0, out); }
METHOD(m_ljust) { return pad(r, self, g, 1, out); }
METHOD(m_rjust) { return pad(r, self, g, -1, out); }

METHOD(m_zfill) {
    int64_t width;
    jval zeros, body;
    str s = jj_text(self);
    size_t sign = s.n && (s.p[0] == '+' || s.p[0] == '-');
    TRY(jj_want_int(r, g->v[0], 0, &width));
    TRY(jj_str_of(r, STR("0"), &zeros));
    TRY(jj_arith(r, JOP_MUL, zeros, JV_INT(width > (int64_t)self.u.s->cps ? width - (int64_t)self.u.s->cps : 0),
                 &zeros));
    TRY(jj_str_of(r, str_sub(s, sign, s.n), &body));
    TRY(jj_concat(r, zeros, body, &body));
    TRY(jj_str_of(r, str_sub(s, 0, sign), &zeros));
    return jj_concat(r, zeros, body, out);
}

METHOD(m_format) { return jj_str_format(r, self, g->raw, out); }

typedef bool char_test(int32_t c);

static bool is_alpha(int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
static bool is_digit(int32_t c) {
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND || c == 0xB2 || c == 0xB3 || c == 0xB9;
}
static bool is_decimal(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_ND; }
static bool is_numeric(int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
static bool is_alnum(int32_t c) { return is_alpha(c) || is_numeric(c); }
static bool is_ascii(int32_t c) { return c < 0x80; }

static err_code all_are(jrun *r, jval self, char_test *test, bool empty, jval *out) {
    str s = jj_text(self);
    bool yes = s.n ? true : empty;
    TRY(jj_charge(r, s.n / 16));
    for (size_t i = 0; yes && i < s.n;) {
        int len;
        yes = test(jj_cp(s.p + i, s.p + s.n, &len));
        i += (size_t)len;
    }
    *out = JV_BOOL(yes);
    return ERR_OK;
}

#define IS_METHOD(name, test, empty)               \
    METHOD(name) {                                 \
        (void)g;                                   \
        return all_are(r, self, test, empty, out); \
    }
IS_METHOD(m_isalpha, is_alpha, false)
IS_METHOD(m_isdigit, is_digit, false)
IS_METHOD(m_isdecimal, is_decimal, false)
IS_METHOD(m_isnumeric, is_numeric, false)
IS_METHOD(m_isalnum, is_alnum, false)
IS_METHOD(m_isspace, jj_is_space, false)
IS_METHOD(m_isascii, is_ascii, true)

static err_code case_is(jrun *r, jval self, bool upper, jval *out) {
    str s = jj_text(self);
    bool any = false, yes = true;
    TRY(jj_charge(r, s.n / 16));
    for (size_t i = 0; yes && i < s.n;) {
        int len;
        int32_t c = jj_cp(s.p + i, s.p + s.n, &len);
        bool right = utf8proc_category(c) == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
        yes = right || !is_cased(c);
        any = any || right;
        i += (size_t)len;
    }
    *out = JV_BOOL(yes && any);
    return ERR_OK;
}

METHOD(m_isupper) {
    (void)g;
    return case_is(r, self, true, out);
}
METHOD(m_islower) {
    (void)g;
    return case_is(r, self, false, out);
}

/* ---- dict, list, the rest ---- */

METHOD(m_get) {
    const jval *v;
    TRY(jj_dict_get(r, self.u.d, g->v[0], &v));
    *out = v ? *v : g->v[1].kind == JK_MISSING ? JV_NONE : g->v[1];
    return ERR_OK;
}

static err_code view(jval self, jview what, jval *out) {
    *out = (jval){.kind = JK_VIEW, .sub = (uint8_t)what, .u.d = self.u.d};
    return ERR_OK;
}
#define VIEW_METHOD(name, what)       \
    METHOD(name) {                    \
        (void)r;                      \
        (void)g;                      \
        return view(self, what, out); \
    }
VIEW_METHOD(m_keys, JVIEW_KEYS)
VIEW_METHOD(m_values, JVIEW_VALUES)
VIEW_METHOD(m_items, JVIEW_ITEMS)

METHOD(m_copy) { /* values never change, so a copy is the value */
    (void)r;
    (void)g;
    *out = self;
    return ERR_OK;
}

static err_code tally(jrun *r, jval self, jval what, int64_t *count, int64_t *first) {
    jval *items;
    size_t n;
    TRY(jj_items(r, self, &items, &n));
    *count = 0;
    *first = -1;
    for (size_t i = 0; i < n; i++) {
        bool same;
        TRY(jj_charge(r, 1));
        TRY(jj_equal(r, items[i], what, &same));
        *first = same && *first < 0 ? (int64_t)i : *first;
        *count += same;
    }
    return ERR_OK;
}

METHOD(m_seq_count) {
    int64_t count, first;
    TRY(tally(r, self, g->v[0], &count, &first));
    *out = JV_INT(count);
    return ERR_OK;
}

METHOD(m_seq_index) {
    int64_t count, first;
    TRY(tally(r, self, g->v[0], &count, &first));
    if (first < 0)
        return jj_fail(r, ERR_FORMAT, "index: the value is not in the %s", jj_kind_name(self));
    *out = JV_INT(first);
    return ERR_OK;
}

METHOD(m_cycle) { return jj_loop_cycle(r, self.u.loop, g->raw, out); }
METHOD(m_changed) { return jj_loop_changed(r, self.u.loop, g->raw, out); }

METHOD(m_fromkeys) {
    (void)self;
    jval *items;
    size_t n;
    TRY(jj_items(r, g->v[0], &items, &n));
    TRY(jj_dict_new(r, n, out));
    for (size_t i = 0; i < n; i++)
        TRY(jj_dict_put(r, out->u.d, items[i], g->v[1].kind == JK_MISSING ? JV_NONE : g->v[1]));
    return ERR_OK;
}

/* A cycler is u.p: its values as a tuple, then where it stands. */
METHOD(m_cycler_next) {
    (void)r;
    (void)g;
    jval *c = self.u.p;
    *out = c[0].u.seq->v[c[1].u.i];
    c[1].u.i = (c[1].u.i + 1) % (int64_t)c[0].u.seq->n;
    return ERR_OK;
}

METHOD(m_cycler_reset) {
    (void)r;
    (void)g;
    ((jval *)self.u.p)[1].u.i = 0;
    *out = JV_NONE;
    return ERR_OK;
}

METHOD(m_refused) { /* reached by call only: asking whether it is there does no harm */
    (void)g;
    (void)out;
    return jj_fail(r, ERR_UNSUPPORTED, "a method that changes a %s: the sandbox refuses it", jj_kind_name(self));
}

METHOD(m_missing) {
    (void)g;
    (void)out;
    return jj_fail(r, ERR_UNSUPPORTED, "this method of %s", jj_kind_name(self));
}

static const method_row str_rows[] = {
    {"split", "?sep,?maxsplit", m_split},
    {"strip", "?chars", m_strip},
    {"startswith", "prefix,?start,?end", m_startswith},
    {"endswith", "suffix,?start,?end", m_endswith},
    {"replace", "old,new,?count", m_replace},
    {"upper", "", m_upper},
    {"lower", "", m_lower},
    {"title", "", m_title},
    {"capitalize", "", m_capitalize},
    {"swapcase", "", m_swapcase},
    {"lstrip", "?chars", m_lstrip},
    {"rstrip", "?chars", m_rstrip},
    {"rsplit", "?sep,?maxsplit", m_rsplit},
    {"join", "iterable", m_join},
    {"find", "sub,?start,?end", m_find},
    {"rfind", "sub,?start,?end", m_rfind},
    {"index", "sub,?start,?end", m_index},
    {"rindex", "sub,?start,?end", m_rindex},
    {"count", "sub,?start,?end", m_count},
    {"splitlines", "?keepends", m_splitlines},
    {"removeprefix", "prefix", m_removeprefix},
    {"removesuffix", "suffix", m_removesuffix},
    {"partition", "sep", m_partition},
    {"rpartition", "sep", m_rpartition},
    {"center", "width,?fillchar", m_center},
    {"ljust", "width,?fillchar", m_ljust},
    {"rjust", "width,?fillchar", m_rjust},
    {"zfill", "width", m_zfill},
    {"format", "*", m_format},
    {"isalpha", "", m_isalpha},
    {"isdigit", "", m_isdigit},
    {"isdecimal", "", m_isdecimal},
    {"isnumeric", "", m_isnumeric},
    {"isalnum", "", m_isalnum},
    {"isspace", "", m_isspace},
    {"isascii", "", m_isascii},
    {"isupper", "", m_isupper},
    {"islower", "", m_islower},
    {"casefold", "*", m_missing},
    {"encode", "*", m_missing},
    {"expandtabs", "*", m_missing},
    {"format_map", "*", m_missing},
    {"isidentifier", "*", m_missing},
    {"isprintable", "*", m_missing},
    {"istitle", "*", m_missing},
    {"maketrans", "*", m_missing},
    {"translate", "*", m_missing},
    {0},
};
static const method_row dict_rows[] = {
    {"get", "key,?default", m_get},
    {"items", "", m_items},
    {"keys", "", m_keys},
    {"values", "", m_values},
    {"copy", "", m_copy},
    {"update", "*", m_refused},
    {"pop", "*", m_refused},
    {"popitem", "*", m_refused},
    {"clear", "*", m_refused},
    {"setdefault", "*", m_refused},
    {"fromkeys", "iterable,?value", m_fromkeys},
    {0},
};
static const method_row list_rows[] = {
    {"index", "value", m_seq_index}, {"count", "value", m_seq_count}, {"copy", "", m_copy},
    {"append", "*", m_refused},      {"extend", "*", m_refused},      {"insert", "*", m_refused},
    {"pop", "*", m_refused},         {"remove", "*", m_refused},      {"reverse", "*", m_refused},
    {"sort", "*", m_refused},        {"clear", "*", m_refused},       {0},
};
static const method_row tuple_rows[] = {{"index", "value", m_seq_index}, {"count", "value", m_seq_count}, {0}};
static const method_row number_rows[] = {
    {"bit_length", "*", m_missing},
    {"is_integer", "*", m_missing},
    {"as_integer_ratio", "*", m_missing},
    {"to_bytes", "*", m_missing},
    {"hex", "*", m_missing},
    {"conjugate", "*", m_missing},
    {0},
};
static const method_row loop_rows[] = {{"cycle", "*", m_cycle}, {"changed", "*", m_changed}, {0}};
static const method_row cycler_rows[] = {{"next", "", m_cycler_next}, {"reset", "", m_cycler_reset}, {0}};
static const method_row dict_type_rows[] = {{"fromkeys", "iterable,?value", m_fromkeys}, {0}};

err_code jj_method_get(jrun *r, jval v, str name, jval *out) {
    static const method_row none[] = {{0}};
    const method_row *row = v.kind == JK_STR                                              ? str_rows
                            : v.kind == JK_DICT                                           ? dict_rows
                            : v.kind == JK_LIST                                           ? list_rows
                            : v.kind == JK_TUPLE || v.kind == JK_RANGE                    ? tuple_rows
                            : v.kind == JK_INT || v.kind == JK_FLOAT || v.kind == JK_BOOL ? number_rows
                            : v.kind == JK_LOOP                                           ? loop_rows
                            : v.kind == JK_CYCLER                                         ? cycler_rows
                            : v.kind == JK_FUNC && v.sub == JFUNC_DICT                    ? dict_type_rows
                                                                                          : none;
    *out = (jval){0};
    if (v.kind == JK_CYCLER && str_is(name, "current")) {
        jval *c = v.u.p;
        *out = c[0].u.seq->v[c[1].u.i];
        return ERR_OK;
    }
    for (; row->name; row++) {
        if (!str_is(name, row->name))
            continue;
        jmethod *m;
        TRY(jj_alloc(r, 1, sizeof *m, &m));
        *m = (jmethod){.self = v, .row = row};
        *out = (jval){.kind = JK_METHOD, .u.method = m};
        return ERR_OK;
    }
    return ERR_OK;
}

err_code jj_method_call(jrun *r, const jmethod *m, const jargs *a, jval *out) {
    jgiven g;
    if (m->row->fn == m_missing)
        return jj_fail(r, ERR_UNSUPPORTED, "method '%s' of %s", m->row->name, jj_kind_name(m->self));
    if (m->row->fn == m_refused)
        return jj_fail(r, ERR_UNSUPPORTED, "method '%s' changes a %s: the sandbox refuses it", m->row->name,
                       jj_kind_name(m->self));
    TRY(jj_bind(r, m->row->name, m->row->params, a, &g));
    if (m->self.kind == JK_STR && m->self.sub)
        return jj_fail(r, ERR_UNSUPPORTED, "method '%s' of a string marked safe", m->row->name);
    return m->row->fn(r, m->self, &g, out);
}
