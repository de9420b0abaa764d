/* jinja_format: values to text: str(), repr(), tojson, "%" formatting.
 *
 * str() and repr() are CPython's, quote choice and escapes included; floats print the shortest
 * digits that read back the same. tojson is json.dumps(ensure_ascii=False) with its default
 * separators, as transformers sets it up. What Python would print as an address is refused.
 */
#include "text/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static err_code put(jrun *r, str s) {
    if (r->out.n > r->t->limits.output_bytes_max - (s.n <= r->t->limits.output_bytes_max ? s.n : 0) ||
        s.n > r->t->limits.output_bytes_max)
        return jj_fail(r, ERR_LIMIT, "the text grows past %zu bytes", r->t->limits.output_bytes_max);
    TRY(jj_charge(r, s.n / 64));
    return strbuf_add(&r->out, s, r->e);
}

static err_code puts_(jrun *r, const char *s) { return put(r, str_from(s)); }

/* ---- numbers ---- */

err_code jj_float_repr(jrun *r, double f, bool json) {
    char buf[64], digits[32];
    if (f != f)
        return puts_(r, json ? "NaN" : "nan");
    if (isinf(f))
        return puts_(r, f < 0 ? (json ? "-Infinity" : "-inf") : json ? "Infinity" : "inf");
    int prec = 14; /* digits after the first; 15 always survive a round trip from text */
    do
        snprintf(buf, sizeof buf, "%.*e", prec, f);
    while (strtod(buf, NULL) != f && ++prec < 17);
    const char *exp_at = strchr(buf, 'e');
    int exp = (int)strtol(exp_at + 1, NULL, 10), n = 0;
    for (const char *p = buf; p < exp_at; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    char out[64];
    int at = 0;
    if (buf[0] == '-')
        out[at++] = '-';
    if (exp < -4 || exp >= 16) {
        out[at++] = digits[0];
        if (n > 1)
            out[at++] = '.';
        memcpy(out + at, digits + 1, (size_t)n - 1);
        at += n - 1;
        at += snprintf(out + at, sizeof out - (size_t)at, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
    } else if (exp < 0) {
        at += snprintf(out + at, sizeof out - (size_t)at, "0.%.*s%.*s", -exp - 1, "0000", n, digits);
    } else {
        for (int i = 0; i <= exp || i < n; i++) {
            if (i == exp + 1)
                out[at++] = '.';
            out[at++] = i < n ? digits[i] : '0';
        }
        if (n <= exp + 1) {
            out[at++] = '.';
            out[at++] = '0';
        }
    }
    return put(r, (str){out, (size_t)at});
}

static err_code put_int(jrun *r, int64_t i) {
    char buf[32];
    int n = snprintf(buf, sizeof buf, "%lld", (long long)i);
    return put(r, (str){buf, (size_t)n});
}

/* ---- repr ---- */

static bool printable(int32_t cp) {
    if (cp < 0x7F)
        return cp >= 0x20;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static err_code repr_str(jrun *r, str s) {
    char quote = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    TRY(put(r, (str){&quote, 1}));
    const char *end = s.p + s.n, *plain = s.p;
    for (const char *p = s.p; p < end;) {
        int len;
        int32_t c = jj_cp(p, end, &len);
        if (c != quote && c != '\\' && printable(c)) {
            p += len;
            continue;
        }
        char buf[16];
        if (c == '\n' || c == '\r' || c == '\t')
            snprintf(buf, sizeof buf, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c == quote || c == '\\')
            snprintf(buf, sizeof buf, "\\%c", (char)c);
        else
            snprintf(buf, sizeof buf, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        TRY(put(r, (str){plain, (size_t)(p - plain)}));
        TRY(puts_(r, buf));
        p += len;
        plain = p;
    }
    TRY(put(r, (str){plain, (size_t)(end - plain)}));
    return put(r, (str){&quote, 1});
}

static err_code repr_items(jrun *r, const char *open, const jval *v, size_t n, const char *close) {
    TRY(puts_(r, open));
    for (size_t i = 0; i < n; i++) {
        if (i)
            TRY(puts_(r, ", "));
        TRY(jj_charge(r, 1));
        TRY(jj_write_repr(r, v[i]));
    }
    return puts_(r, close);
}

static err_code repr_dict(jrun *r, const jdict *d) {
    TRY(puts_(r, "{"));
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            TRY(puts_(r, ", "));
        TRY(jj_charge(r, 1));
        TRY(jj_write_repr(r, d->k[i]));
        TRY(puts_(r, ": "));
        TRY(jj_write_repr(r, d->v[i]));
    }
    return puts_(r, "}");
}

static err_code repr_view(jrun *r, jval v) {
    static const char *const open[] = {"dict_keys([", "dict_values([", "dict_items(["};
    jval *items;
    size_t n;
    TRY(jj_items(r, v, &items, &n));
    return repr_items(r, open[v.sub], items, n, "])");
}

static err_code repr_range(jrun *r, const jrange *g) {
    char buf[96];
    int n = g->step == 1 ? snprintf(buf, sizeof buf, "range(%lld, %lld)", (long long)g->start, (long long)g->stop)
                         : snprintf(buf, sizeof buf, "range(%lld, %lld, %lld)", (long long)g->start, (long long)g->stop,
                                    (long long)g->step);
    return put(r, (str){buf, (size_t)n});
}

err_code jj_write_repr(jrun *r, jval v) {
    switch (v.kind) {
    case JK_UNDEFINED:
        return puts_(r, "Undefined");
    case JK_NONE:
        return puts_(r, "None");
    case JK_BOOL:
        return puts_(r, v.u.b ? "True" : "False");
    case JK_INT:
        return put_int(r, v.u.i);
    case JK_FLOAT:
        return jj_float_repr(r, v.u.f, false);
    case JK_STR:
        if (v.sub) {
            TRY(puts_(r, "Markup("));
            TRY(repr_str(r, jj_text(v)));
            return puts_(r, ")");
        }
        return repr_str(r, jj_text(v));
    case JK_LIST:
        return repr_items(r, "[", v.u.seq->v, v.u.seq->n, "]");
    case JK_TUPLE:
        return repr_items(r, "(", v.u.seq->v, v.u.seq->n, v.u.seq->n == 1 ? ",)" : ")");
    case JK_DICT:
        return repr_dict(r, v.u.d);
    case JK_VIEW:
        return repr_view(r, v);
    case JK_RANGE:
        return repr_range(r, v.u.r);
    default:
        return jj_fail(r, ERR_UNSUPPORTED, "printing a %s (is a call or |list missing?)", jj_kind_name(v));
    }
}

err_code jj_write(jrun *r, jval v) {
    if (v.kind == JK_STR)
        return put(r, jj_text(v));
    if (v.kind == JK_UNDEFINED)
        return ERR_OK;
    return jj_write_repr(r, v);
}

err_code jj_to_str(jrun *r, jval v, jval *out) {
    if (v.kind == JK_STR) {
        *out = v;
        return ERR_OK;
    }
    size_t from = r->out.n;
    TRY(jj_write(r, v));
    return jj_str_take(r, from, out);
}

/* ---- JSON ---- */

typedef struct {
    bool ascii, sort;
    str indent; /* one level; .p NULL: all in one line */
    str comma, colon;
} json_style;

static err_code json_str(jrun *r, str s, bool ascii) {
    TRY(puts_(r, "\""));
    const char *end = s.p + s.n, *plain = s.p;
    for (const char *p = s.p; p < end;) {
        int len;
        int32_t c = jj_cp(p, end, &len);
        if (c >= 0x20 && c != '"' && c != '\\' && (!ascii || c < 0x7F)) {
            p += len;
            continue;
        }
        static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
        const char *hit = c && c < 0x80 ? strchr(from, (char)c) : NULL;
        char buf[24];
        if (hit)
            snprintf(buf, sizeof buf, "\\%c", to[hit - from]);
        else if (c == 0x7F)
            snprintf(buf, sizeof buf, "%c", 0x7F);
        else if (c < 0x10000)
            snprintf(buf, sizeof buf, "\\u%04x", (unsigned)c);
        else
            snprintf(buf, sizeof buf, "\\u%04x\\u%04x", 0xD800u + (((unsigned)c - 0x10000u) >> 10),
                     0xDC00u + (((unsigned)c - 0x10000u) & 0x3FFu));
        TRY(put(r, (str){plain, (size_t)(p - plain)}));
        TRY(puts_(r, buf));
        p += len;
        plain = p;
    }
    TRY(put(r, (str){plain, (size_t)(end - plain)}));
    return puts_(r, "\"");
}

static err_code json_newline(jrun *r, const json_style *y, int level) {
    if (!y->indent.p)
        return ERR_OK;
    TRY(puts_(r, "\n"));
    for (; level; level--)
        TRY(put(r, y->indent));
    return ERR_OK;
}

static err_code json_value(jrun *r, const json_style *y, jval v, int level);

static err_code json_key(jrun *r, const json_style *y, jval k) {
    if (k.kind == JK_STR)
        return json_str(r, jj_text(k), y->ascii);
    if (k.kind != JK_NONE && k.kind != JK_BOOL && k.kind != JK_INT && k.kind != JK_FLOAT)
        return jj_fail(r, ERR_FORMAT, "tojson: keys must be str, int, float, bool or None, not %s", jj_kind_name(k));
    TRY(puts_(r, "\""));
    TRY(json_value(r, y, k, 0));
    return puts_(r, "\"");
}

static err_code json_dict(jrun *r, const json_style *y, const jdict *d, int level) {
    jval *order = d->k, *vals = d->v;
    if (d->n == 0)
        return puts_(r, "{}");
    if (y->sort) {
        jval pairs, *p;
        TRY(jj_seq_new(r, JK_LIST, d->n, &pairs, &p));
        for (size_t i = 0; i < d->n; i++) {
            jval *two;
            TRY(jj_seq_new(r, JK_TUPLE, 2, &p[i], &two));
            two[0] = d->k[i];
            two[1] = JV_INT((int64_t)i);
        }
        const jargs raw = {0};
        jgiven g = {.v = {[1] = JV_BOOL(true)}, .raw = &raw}; /* case-sensitive */
        TRY(jj_filter_find(STR("sort"))->fn(r, pairs, &g, &pairs));
        TRY(jj_alloc(r, d->n, sizeof(jval), &order));
        TRY(jj_alloc(r, d->n, sizeof(jval), &vals));
        for (size_t i = 0; i < d->n; i++) {
            order[i] = pairs.u.seq->v[i].u.seq->v[0];
            vals[i] = d->v[pairs.u.seq->v[i].u.seq->v[1].u.i];
        }
    }
    TRY(puts_(r, "{"));
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            TRY(put(r, y->comma));
        TRY(json_newline(r, y, level + 1));
        TRY(json_key(r, y, order[i]));
        TRY(put(r, y->colon));
        TRY(json_value(r, y, vals[i], level + 1));
    }
    TRY(json_newline(r, y, level));
    return puts_(r, "}");
}

static err_code json_value(jrun *r, const json_style *y, jval v, int level) {
    TRY(jj_charge(r, 1));
    switch (v.kind) {
    case JK_NONE:
        return puts_(r, "null");
    case JK_BOOL:
        return puts_(r, v.u.b ? "true" : "false");
    case JK_INT:
        return put_int(r, v.u.i);
    case JK_FLOAT:
        return jj_float_repr(r, v.u.f, true);
    case JK_STR:
        return json_str(r, jj_text(v), y->ascii);
    case JK_DICT:
        return json_dict(r, y, v.u.d, level);
    case JK_LIST:
    case JK_TUPLE:
        break;
    default:
        return jj_fail(r, ERR_FORMAT, "tojson: object of type %s is not JSON serializable", jj_kind_name(v));
    }
    if (v.u.seq->n == 0)
        return puts_(r, "[]");
    TRY(puts_(r, "["));
    for (size_t i = 0; i < v.u.seq->n; i++) {
        if (i)
            TRY(put(r, y->comma));
        TRY(json_newline(r, y, level + 1));
        TRY(json_value(r, y, v.u.seq->v[i], level + 1));
    }
    TRY(json_newline(r, y, level));
    return puts_(r, "]");
}

err_code jj_tojson(jrun *r, jval v, bool ascii, jval indent, bool sort_keys, jval separators, jval *out) {
    json_style y = {.ascii = ascii, .sort = sort_keys, .comma = STR(", "), .colon = STR(": ")};
    if (indent.kind == JK_STR) {
        y.indent = jj_text(indent);
    } else if (indent.kind != JK_MISSING && indent.kind != JK_NONE) {
        int64_t n;
        TRY(jj_want_int(r, indent, 0, &n));
        jval one, spaces;
        TRY(jj_str_of(r, STR(" "), &one));
        TRY(jj_arith(r, JOP_MUL, one, JV_INT(n), &spaces));
        y.indent = jj_text(spaces);
    }
    if (y.indent.p)
        y.comma = STR(",");
    if (separators.kind != JK_MISSING && separators.kind != JK_NONE) {
        jval *two;
        size_t n;
        TRY(jj_items(r, separators, &two, &n));
        if (n != 2 || two[0].kind != JK_STR || two[1].kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "tojson: separators must be two strings");
        y.comma = jj_text(two[0]);
        y.colon = jj_text(two[1]);
    }
    size_t from = r->out.n;
    TRY(json_value(r, &y, v, 0));
    return jj_str_take(r, from, out);
}

/* ---- fmt % args ---- */

typedef struct {
    bool left, zero, plus, space, alt;
    int width, prec; /* -1: not given */
} spec;

/* `body` (sign included in front when it is a number) padded to the width. */
static err_code put_padded(jrun *r, const spec *f, str body, bool number) {
    size_t n = jj_cps(body), pad = f->width > 0 && (size_t)f->width > n ? (size_t)f->width - n : 0;
    if (f->left || !f->zero || !number) {
        for (size_t i = 0; !f->left && i < pad; i++)
            TRY(puts_(r, " "));
        TRY(put(r, body));
        for (size_t i = 0; f->left && i < pad; i++)
            TRY(puts_(r, " "));
        return ERR_OK;
    }
    size_t sign = body.n && (body.p[0] == '-' || body.p[0] == '+' || body.p[0] == ' ');
    if (f->alt && body.n > sign + 1 && body.p[sign] == '0' && (body.p[sign + 1] | 0x20) > '9')
        sign += 2;
    TRY(put(r, str_sub(body, 0, sign)));
    for (size_t i = 0; i < pad; i++)
        TRY(puts_(r, "0"));
    return put(r, str_sub(body, sign, body.n));
}

static err_code percent_int(jrun *r, const spec *f, char conv, jval v) {
    if (v.kind == JK_FLOAT && (conv == 'd' || conv == 'i' || conv == 'u')) {
        if (!(v.u.f > -9.2e18 && v.u.f < 9.2e18))
            return jj_fail(r, ERR_LIMIT, "%%%c: the number does not fit 64 bits", conv);
        v = JV_INT((int64_t)v.u.f);
    }
    if (v.kind != JK_INT && v.kind != JK_BOOL)
        return jj_fail(r, ERR_FORMAT, "%%%c format: a number is required, not %s", conv, jj_kind_name(v));
    int64_t i = v.kind == JK_BOOL ? v.u.b : v.u.i;
    uint64_t mag = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    if (f->prec > 200)
        return jj_fail(r, ERR_LIMIT, "%% format: precision above 200");
    char num[256], text[280];
    int prec = f->prec < 0 ? 1 : f->prec;
    if (conv == 'x' || conv == 'X')
        snprintf(num, sizeof num, conv == 'x' ? "%.*llx" : "%.*llX", prec, (unsigned long long)mag);
    else if (conv == 'o')
        snprintf(num, sizeof num, "%.*llo", prec, (unsigned long long)mag);
    else
        snprintf(num, sizeof num, "%.*llu", prec, (unsigned long long)mag);
    const char *pre = !f->alt ? "" : conv == 'x' ? "0x" : conv == 'X' ? "0X" : conv == 'o' ? "0o" : "";
    int n = snprintf(text, sizeof text, "%s%s%s", i < 0 ? "-" : f->plus ? "+" : f->space ? " " : "", pre, num);
    return put_padded(r, f, (str){text, (size_t)n}, true);
}

static err_code percent_float(jrun *r, const spec *f, char conv, jval v) {
    if (v.kind != JK_FLOAT && v.kind != JK_INT && v.kind != JK_BOOL)
        return jj_fail(r, ERR_FORMAT, "%%%c format: a number is required, not %s", conv, jj_kind_name(v));
    double d = v.kind == JK_FLOAT ? v.u.f : v.kind == JK_INT ? (double)v.u.i : (double)v.u.b;
    if (f->prec > 200)
        return jj_fail(r, ERR_LIMIT, "%% format: precision above 200");
    char text[600], num[580], pat[8] = {'%', '.', '*', conv, 0};
    if (f->alt)
        memcpy(pat, (char[]){'%', '#', '.', '*', conv, 0}, 6);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(num, sizeof num, pat, f->prec < 0 ? 6 : f->prec, fabs(d)); /* pat is one of ours */
#pragma GCC diagnostic pop
    bool upper = conv < 'a';
    const char *body = d != d ? (upper ? "NAN" : "nan") : isinf(d) ? (upper ? "INF" : "inf") : num;
    int n = snprintf(text, sizeof text, "%s%s", signbit(d) && d == d ? "-" : f->plus ? "+" : f->space ? " " : "", body);
    return put_padded(r, f, (str){text, (size_t)n}, true);
}

static err_code percent_text(jrun *r, const spec *f, char conv, jval v) {
    size_t from = r->out.n;
    if (conv == 'c') {
        char buf[4];
        size_t n = v.kind == JK_INT && v.u.i >= 0 && v.u.i <= 0x10FFFF ? jj_put_cp((int32_t)v.u.i, buf) : 0;
        if (v.kind == JK_STR && v.u.s->cps == 1)
            TRY(jj_write(r, v));
        else if (n)
            TRY(put(r, (str){buf, n}));
        else
            return jj_fail(r, ERR_FORMAT, "%%c requires a character or its number");
    } else if (conv == 's') {
        TRY(jj_write(r, v));
    } else {
        TRY(jj_write_repr(r, v));
    }
    jval s;
    TRY(jj_str_take(r, from, &s));
    str body = jj_text(s);
    if (f->prec >= 0 && (size_t)f->prec < s.u.s->cps)
        body = str_sub(body, 0, jj_at_cp(s.u.s, (size_t)f->prec));
    return put_padded(r, f, body, false);
}

/* A number or "*" in a conversion; -1 when there is none. */
static err_code percent_count(jrun *r, const char **p, const char *end, const jval *v, size_t n, size_t *used,
                              int *out) {
    *out = -1;
    if (*p < end && **p == '*') {
        if (*used >= n || v[*used].kind != JK_INT || v[*used].u.i > 100000 || v[*used].u.i < -100000)
            return jj_fail(r, ERR_FORMAT, "* in a format wants a small integer");
        *out = (int)v[(*used)++].u.i;
        ++*p;
        return ERR_OK;
    }
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        *out = (*out < 0 ? 0 : *out) * 10 + (**p - '0');
        if (*out > 100000)
            return jj_fail(r, ERR_LIMIT, "a width or precision above 100000");
    }
    return ERR_OK;
}

static err_code percent_one(jrun *r, const char **at, const char *end, jval args, const jval *v, size_t n,
                            size_t *used) {
    const char *p = *at;
    spec f = {0};
    jval val = {0};
    if (p < end && *p == '(') {
        const char *close = memchr(p, ')', (size_t)(end - p));
        if (!close || args.kind != JK_DICT)
            return jj_fail(r, ERR_FORMAT, "%%(name) in a format wants a mapping");
        const jval *hit = jj_dict_find(args.u.d, (str){p + 1, (size_t)(close - p - 1)});
        if (!hit)
            return jj_fail(r, ERR_FORMAT, "no key for %%(%.*s) in a format",
                           (int)(close - p - 1 > 100 ? 100 : close - p - 1), p + 1);
        val = *hit;
        *used = n; /* a mapping is never "too many" */
        p = close + 1;
    }
    for (; p < end && strchr("-0+ #", *p) && *p; p++) {
        f.left |= *p == '-';
        f.zero |= *p == '0';
        f.plus |= *p == '+';
        f.space |= *p == ' ';
        f.alt |= *p == '#';
    }
    TRY(percent_count(r, &p, end, v, n, used, &f.width));
    if (f.width < -1) {
        f.left = true;
        f.width = -f.width;
    }
    f.prec = -1;
    if (p < end && *p == '.') {
        p++;
        TRY(percent_count(r, &p, end, v, n, used, &f.prec));
        f.prec = f.prec < 0 ? 0 : f.prec;
    }
    while (p < end && (*p == 'l' || *p == 'h' || *p == 'L'))
        p++;
    if (p == end)
        return jj_fail(r, ERR_FORMAT, "incomplete format");
    char conv = *p++;
    *at = p;
    if (conv == '%')
        return puts_(r, "%");
    if (val.kind == JK_MISSING) {
        if (*used >= n)
            return jj_fail(r, ERR_FORMAT, "not enough arguments for format string");
        val = v[(*used)++];
    }
    if (conv && strchr("diuxXo", conv))
        return percent_int(r, &f, conv, val);
    if (conv && strchr("eEfFgG", conv))
        return percent_float(r, &f, conv, val);
    if (conv == 's' || conv == 'r' || conv == 'c')
        return percent_text(r, &f, conv, val);
    return jj_fail(r, ERR_FORMAT, "unsupported format character '%c'", conv);
}

err_code jj_percent(jrun *r, jval fmt, jval args, jval *out) {
    if (fmt.sub)
        return jj_fail(r, ERR_UNSUPPORTED, "%% formatting of a string marked safe");
    const jval *v = args.kind == JK_TUPLE ? args.u.seq->v : &args;
    size_t n = args.kind == JK_TUPLE ? args.u.seq->n : 1, used = 0, from = r->out.n;
    const char *p = fmt.u.s->p, *end = p + fmt.u.s->n;
    while (p < end) {
        const char *pct = memchr(p, '%', (size_t)(end - p));
        TRY(put(r, (str){p, (size_t)((pct ? pct : end) - p)}));
        if (!pct)
            break;
        p = pct + 1;
        TRY(percent_one(r, &p, end, args, v, n, &used));
    }
    bool mapping = args.kind == JK_DICT || args.kind == JK_LIST; /* what Python would ask for keys */
    if (used < n && !mapping)
        return jj_fail(r, ERR_FORMAT, "not all arguments converted during string formatting");
    return jj_str_take(r, from, out);
}
