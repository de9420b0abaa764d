/* jinja_filter: filters of text and numbers, and the table of all filters.
 *
 * Meaning as in Jinja2 3.1's filters.py with autoescape off; tojson as transformers overrides it.
 */
#include "text/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

err_code jj_want_int(jrun *r, jval v, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    if (v.kind == JK_MISSING)
        return ERR_OK;
    if (v.kind != JK_INT && v.kind != JK_BOOL)
        return jj_fail(r, ERR_FORMAT, "an integer is wanted, not '%s'", jj_kind_name(v));
    *out = v.kind == JK_BOOL ? v.u.b : v.u.i;
    return ERR_OK;
}

/* Filters that work on soft_str(value). */
static err_code soft(jrun *r, jval in, str *s) {
    jval t;
    TRY(jj_to_str(r, in, &t));
    *s = jj_text(t);
    return ERR_OK;
}

static err_code f_abs(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    if (in.kind == JK_FLOAT) {
        *out = JV_FLOAT(fabs(in.u.f));
        return ERR_OK;
    }
    int64_t i;
    TRY(jj_want_int(r, in, 0, &i));
    *out = JV_INT(i);
    return i < 0 ? jj_negate(r, JV_INT(i), out) : ERR_OK;
}

static err_code f_attr(jrun *r, jval in, const jgiven *g, jval *out) {
    if (g->v[0].kind != JK_STR)
        return jj_fail(r, ERR_FORMAT, "attr wants a name");
    str name = jj_text(g->v[0]);
    if (str_starts(name, STR("_")))
        return jj_fail(r, ERR_UNSUPPORTED, "attribute '%.*s' is private, the sandbox refuses it", STR_ARG(name));
    if (in.kind != JK_DICT)
        return jj_attr(r, in, g->v[0], out);
    TRY(jj_method_get(r, in, name, out)); /* keys are no attributes */
    if (out->kind == JK_MISSING)
        *out = JV_UNDEFINED;
    return ERR_OK;
}

static err_code f_upper(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    TRY(soft(r, in, &s));
    return jj_case(r, s, JCASE_UPPER, out);
}

static err_code f_lower(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    TRY(soft(r, in, &s));
    return jj_case(r, s, JCASE_LOWER, out);
}

static err_code f_capitalize(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    TRY(soft(r, in, &s));
    return jj_case(r, s, JCASE_CAPITALIZE, out);
}

/* Words begin after "-", "(", "{", "[", "<" and white space; the rest is lower case. */
static err_code f_title(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    TRY(soft(r, in, &s));
    size_t from = r->out.n, n = 0;
    jval *part;
    TRY(jj_alloc(r, s.n * 2 + 2, sizeof *part, &part));
    for (size_t i = 0; i < s.n;) {
        size_t start = i;
        bool gap = false;
        for (bool first = true; i < s.n; first = false) {
            int len;
            int32_t c = jj_cp(s.p + i, s.p + s.n, &len);
            bool sep = jj_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
            if (!first && sep != gap)
                break;
            gap = sep;
            i += (size_t)len;
        }
        int len = 0;
        if (i > start)
            jj_cp(s.p + start, s.p + s.n, &len);
        TRY(jj_case(r, (str){s.p + start, (size_t)len}, JCASE_UPPER, &part[n++]));
        TRY(jj_case(r, str_sub(s, start + (size_t)len, i), JCASE_LOWER, &part[n++]));
    }
    r->out.n = from;
    return jj_join(r, STR(""), part, n, true, out);
}

static err_code f_center(jrun *r, jval in, const jgiven *g, jval *out) {
    int64_t width;
    jval s, m;
    TRY(jj_want_int(r, g->v[0], 80, &width));
    TRY(jj_to_str(r, in, &s));
    TRY(jj_method_get(r, s, STR("center"), &m));
    return jj_call(r, m, &(jargs){.pos = &JV_INT(width), .n_pos = 1}, out);
}

static err_code f_default(jrun *r, jval in, const jgiven *g, jval *out) {
    bool use = in.kind == JK_UNDEFINED || (jj_truthy(g->v[1]) && !jj_truthy(in));
    *out = !use ? in : g->v[0];
    return use && out->kind == JK_MISSING ? jj_str_of(r, STR(""), out) : ERR_OK;
}

static err_code f_escape(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    static const char *const to[] = {"&amp;", "&gt;", "&lt;", "&#39;", "&#34;"};
    str s;
    if (in.kind == JK_STR && in.sub) {
        *out = in;
        return ERR_OK;
    }
    TRY(soft(r, in, &s));
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        TRY(jj_replace(r, s, (str){&"&><'\""[i], 1}, str_from(to[i]), -1, out));
        s = jj_text(*out);
    }
    out->sub = 1;
    return ERR_OK;
}

static err_code f_forceescape(jrun *r, jval in, const jgiven *g, jval *out) {
    in.sub = in.kind == JK_STR ? 0 : in.sub;
    return f_escape(r, in, g, out);
}

static err_code f_safe(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    TRY(jj_to_str(r, in, out));
    out->sub = 1;
    return ERR_OK;
}

static err_code f_string(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    return jj_to_str(r, in, out);
}

static err_code f_length(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    size_t n;
    TRY(jj_len(r, in, &n));
    *out = JV_INT((int64_t)n);
    return ERR_OK;
}

static str stripped(str s) {
    const char *p = s.p, *end = s.p + s.n;
    int len;
    while (p < end && jj_is_space(jj_cp(p, end, &len)))
        p += len;
    while (end > p) {
        const char *q = end - 1;
        while (q > p && ((unsigned char)*q & 0xC0) == 0x80)
            q--;
        if (!jj_is_space(jj_cp(q, end, &len)))
            break;
        end = q;
    }
    return (str){p, (size_t)(end - p)};
}

/* The text of a Python number without "_" (which must stand between digits); false when ill-formed. */
static bool clean_number(str s, char *buf, size_t size) {
    size_t n = 0;
    if (s.n == 0 || s.n >= size)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '_') {
            if (i == 0 || i + 1 == s.n || str_hex_digit(s.p[i - 1]) < 0 || str_hex_digit(s.p[i + 1]) < 0)
                return false;
            continue;
        }
        if (!alnum && c != '+' && c != '-' && c != '.')
            return false;
        buf[n++] = c;
    }
    buf[n] = 0;
    return true;
}

static bool parse_float(str s, double *out) {
    char buf[512], *end;
    if (!clean_number(stripped(s), buf, sizeof buf) || strpbrk(buf, "xXpP"))
        return false;
    if (strpbrk(buf, "nN") && strlen(buf) > 9)
        return false;
    *out = strtod(buf, &end);
    return end != buf && *end == 0;
}

static err_code parse_int(jrun *r, str s, int64_t base, bool *ok, int64_t *out) {
    char buf[512];
    *ok = false;
    if (!clean_number(stripped(s), buf, sizeof buf))
        return ERR_OK;
    const char *p = buf;
    bool neg = *p == '-';
    p += *p == '-' || *p == '+';
    int named = p[0] == '0' && p[1] ? ((p[1] | 32) == 'x'   ? 16
                                       : (p[1] | 32) == 'o' ? 8
                                       : (p[1] | 32) == 'b' ? 2
                                                            : 0)
                                    : 0;
    if (named && (base == 0 || base == named)) {
        p += 2;
        base = named;
    }
    if (base == 0)
        base = p[0] == '0' && strspn(p, "0") != strlen(p) ? 99 : 10;
    if (base < 2 || base > 36 || !*p)
        return ERR_OK;
    uint64_t v = 0;
    for (; *p; p++) {
        int d = *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) >= 'a' && (*p | 32) <= 'z' ? (*p | 32) - 'a' + 10 : 99;
        if (d >= base)
            return ERR_OK;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v) ||
            v > INT64_MAX)
            return jj_fail(r, ERR_LIMIT, "an integer does not fit 64 bits");
    }
    *ok = true;
    *out = neg ? -(int64_t)v : (int64_t)v;
    return ERR_OK;
}

static err_code whole(jrun *r, double d, jval *out) {
    if (!(d > -9.2233720368547e18 && d < 9.2233720368547e18))
        return jj_fail(r, ERR_LIMIT, "an integer does not fit 64 bits");
    *out = JV_INT((int64_t)d);
    return ERR_OK;
}

static err_code f_int(jrun *r, jval in, const jgiven *g, jval *out) {
    int64_t base, v;
    double d;
    bool ok;
    TRY(jj_want_int(r, g->v[1], 10, &base));
    *out = g->v[0].kind == JK_MISSING ? JV_INT(0) : g->v[0];
    switch (in.kind) {
    case JK_INT:
        *out = in;
        return ERR_OK;
    case JK_BOOL:
        *out = JV_INT(in.u.b);
        return ERR_OK;
    case JK_FLOAT:
        if (isinf(in.u.f))
            return jj_fail(r, ERR_FORMAT, "cannot convert infinity to an integer");
        return in.u.f != in.u.f ? ERR_OK : whole(r, in.u.f, out);
    case JK_UNDEFINED:
        return jj_fail(r, ERR_FORMAT, "int of something undefined");
    case JK_STR:
        TRY(parse_int(r, jj_text(in), base, &ok, &v));
        if (ok)
            *out = JV_INT(v);
        else if (parse_float(jj_text(in), &d) && isfinite(d))
            return whole(r, d, out);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static err_code f_float(jrun *r, jval in, const jgiven *g, jval *out) {
    double d;
    *out = g->v[0].kind == JK_MISSING ? JV_FLOAT(0.0) : g->v[0];
    if (in.kind == JK_UNDEFINED)
        return jj_fail(r, ERR_FORMAT, "float of something undefined");
    if (in.kind == JK_FLOAT)
        *out = in;
    else if (in.kind == JK_INT || in.kind == JK_BOOL)
        *out = JV_FLOAT(in.kind == JK_INT ? (double)in.u.i : (double)in.u.b);
    else if (in.kind == JK_STR && parse_float(jj_text(in), &d))
        *out = JV_FLOAT(d);
    return ERR_OK;
}

/* round(): to the nearest decimal, ties to even, by the exact value: what printf does too. */
static err_code round_common(jrun *r, jval in, int64_t prec, jval *out) {
    double unit = jj_pow(10.0, prec < 0 ? -prec : 0);
    if (in.kind == JK_INT || in.kind == JK_BOOL) {
        int64_t i = in.kind == JK_BOOL ? in.u.b : in.u.i;
        if (prec >= 0) {
            *out = JV_INT(i);
            return ERR_OK;
        }
        if (prec < -18) {
            *out = JV_INT(0);
            return ERR_OK;
        }
        int64_t u = (int64_t)unit, low = i % u, base = i - low;
        if (low < 0) {
            low += u;
            base -= low > 0 ? u : 0;
        }
        bool up = low * 2 > u || (low * 2 == u && base / u % 2 != 0);
        return jj_arith(r, JOP_ADD, JV_INT(base), JV_INT(up ? u : 0), out);
    }
    if (prec > 300 || !isfinite(in.u.f)) {
        *out = in;
        return ERR_OK;
    }
    char buf[700];
    if (prec < 0) {
        *out = JV_FLOAT(prec < -308 ? 0.0 : rint(in.u.f / unit) * unit);
        return ERR_OK;
    }
    snprintf(buf, sizeof buf, "%.*f", (int)prec, in.u.f);
    *out = JV_FLOAT(strtod(buf, NULL));
    return ERR_OK;
}

static err_code f_round(jrun *r, jval in, const jgiven *g, jval *out) {
    int64_t prec;
    TRY(jj_want_int(r, g->v[0], 0, &prec));
    str how = g->v[1].kind == JK_STR ? jj_text(g->v[1]) : STR("common");
    if (in.kind != JK_INT && in.kind != JK_BOOL && in.kind != JK_FLOAT)
        return jj_fail(r, ERR_FORMAT, "round wants a number, not '%s'", jj_kind_name(in));
    if (str_is(how, "common"))
        return round_common(r, in, prec, out);
    bool up = str_is(how, "ceil");
    if (!up && !str_is(how, "floor"))
        return jj_fail(r, ERR_FORMAT, "round: method must be common, ceil or floor");
    jval unit, v;
    TRY(jj_arith(r, JOP_POW, JV_INT(10), JV_INT(prec), &unit));
    TRY(jj_arith(r, JOP_MUL, in, unit, &v));
    if (v.kind == JK_FLOAT)
        TRY(whole(r, up ? ceil(v.u.f) : floor(v.u.f), &v));
    return jj_arith(r, JOP_DIV, v, unit, out);
}

static err_code f_format(jrun *r, jval in, const jgiven *g, jval *out) {
    const jargs *a = g->raw;
    jval args, *items, fmt;
    TRY(jj_to_str(r, in, &fmt));
    if (a->n_kw && a->n_pos)
        return jj_fail(r, ERR_FORMAT, "format: positional and keyword arguments together");
    if (a->n_kw) {
        TRY(jj_dict_new(r, (size_t)a->n_kw, &args));
        for (int i = 0; i < a->n_kw; i++) {
            jval k;
            TRY(jj_str_of(r, a->key[i], &k));
            TRY(jj_dict_put(r, args.u.d, k, a->val[i]));
        }
    } else {
        TRY(jj_seq_new(r, JK_TUPLE, (size_t)a->n_pos, &args, &items));
        for (int i = 0; i < a->n_pos; i++)
            items[i] = a->pos[i];
        TRY(jj_seq_done(r, args));
    }
    return jj_percent(r, fmt, args, out);
}

static err_code f_indent(jrun *r, jval in, const jgiven *g, jval *out) {
    jval pad, lines, nl, *v;
    size_t n;
    if (in.kind != JK_STR)
        return jj_fail(r, ERR_FORMAT, "indent wants a string, not '%s'", jj_kind_name(in));
    if (g->v[0].kind == JK_STR) {
        pad = g->v[0];
    } else {
        int64_t width;
        TRY(jj_want_int(r, g->v[0], 4, &width));
        TRY(jj_str_of(r, STR(" "), &pad));
        TRY(jj_arith(r, JOP_MUL, pad, JV_INT(width), &pad));
    }
    bool first = jj_truthy(g->v[1]), blank = jj_truthy(g->v[2]);
    TRY(jj_str_of(r, STR("\n"), &nl));
    TRY(jj_concat(r, in, nl, &in));
    TRY(jj_split_lines(r, jj_text(in), false, &lines));
    TRY(jj_items(r, lines, &v, &n));
    for (size_t i = first ? 0 : 1; i < n; i++)
        if (v[i].u.s->n || blank || i == 0)
            TRY(jj_concat(r, pad, v[i], &v[i]));
    return jj_join(r, STR("\n"), v, n, true, out);
}

static err_code f_trim(jrun *r, jval in, const jgiven *g, jval *out) {
    jval s;
    TRY(jj_to_str(r, in, &s));
    return jj_strip(r, s, g->v[0], 3, out);
}

static err_code f_replace(jrun *r, jval in, const jgiven *g, jval *out) {
    str s, from, to;
    int64_t count = -1;
    TRY(soft(r, in, &s));
    TRY(soft(r, g->v[0], &from));
    TRY(soft(r, g->v[1], &to));
    if (g->v[2].kind != JK_NONE)
        TRY(jj_want_int(r, g->v[2], -1, &count));
    return jj_replace(r, s, from, to, count, out);
}

static err_code f_tojson(jrun *r, jval in, const jgiven *g, jval *out) {
    return jj_tojson(r, in, jj_truthy(g->v[0]), g->v[1], jj_truthy(g->v[3]), g->v[2], out);
}

static err_code f_truncate(jrun *r, jval in, const jgiven *g, jval *out) {
    int64_t length, leeway;
    jval end = g->v[2], cut, n_end;
    if (in.kind != JK_STR)
        return jj_fail(r, ERR_FORMAT, "truncate wants a string");
    TRY(jj_want_int(r, g->v[0], 255, &length));
    TRY(jj_want_int(r, g->v[3].kind == JK_NONE ? (jval){0} : g->v[3], 5, &leeway));
    if (end.kind == JK_MISSING)
        TRY(jj_str_of(r, STR("..."), &end));
    TRY(f_length(r, end, g, &n_end));
    if (length < n_end.u.i || leeway < 0)
        return jj_fail(r, ERR_FORMAT, "truncate: length %lld is too short", (long long)length);
    *out = in;
    if (leeway > INT64_MAX - length || (int64_t)in.u.s->cps <= length + leeway)
        return ERR_OK;
    TRY(jj_slice(r, in, (jval){0}, JV_INT(length - n_end.u.i), (jval){0}, &cut));
    if (!jj_truthy(g->v[1])) {
        str s = jj_text(cut);
        const char *space = s.n ? memrchr(s.p, ' ', s.n) : NULL;
        if (space)
            TRY(jj_str_of(r, (str){s.p, (size_t)(space - s.p)}, &cut));
    }
    TRY(jj_to_str(r, end, &end));
    return jj_concat(r, cut, end, out);
}

static err_code f_wordcount(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    int64_t n = 0;
    bool in_word = false;
    TRY(soft(r, in, &s));
    TRY(jj_charge(r, s.n / 16));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80)
            return jj_fail(r, ERR_UNSUPPORTED, "wordcount of text outside ASCII");
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        n += word && !in_word;
        in_word = word;
    }
    *out = JV_INT(n);
    return ERR_OK;
}

static err_code f_urlencode(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    str s;
    if (in.kind != JK_STR && in.kind != JK_INT && in.kind != JK_FLOAT && in.kind != JK_BOOL)
        return jj_fail(r, ERR_UNSUPPORTED, "urlencode of a %s", jj_kind_name(in));
    TRY(soft(r, in, &s));
    char *p;
    TRY(jj_alloc(r, s.n, 3, &p));
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool keep =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("_.-~/", c));
        if (keep)
            p[n++] = (char)c;
        else {
            p[n++] = '%';
            p[n++] = "0123456789ABCDEF"[c >> 4];
            p[n++] = "0123456789ABCDEF"[c & 15];
        }
    }
    return jj_str_of(r, (str){p, n}, out);
}

static const jfilter table[] = {
    {"abs", "", f_abs},
    {"attr", "name", f_attr},
    {"capitalize", "", f_capitalize},
    {"center", "?width", f_center},
    {"count", "", f_length},
    {"d", "?default_value,?boolean", f_default},
    {"default", "?default_value,?boolean", f_default},
    {"e", "", f_escape},
    {"escape", "", f_escape},
    {"float", "?default", f_float},
    {"forceescape", "", f_forceescape},
    {"format", "*", f_format},
    {"indent", "?width,?first,?blank", f_indent},
    {"int", "?default,?base", f_int},
    {"length", "", f_length},
    {"lower", "", f_lower},
    {"replace", "old,new,?count", f_replace},
    {"round", "?precision,?method", f_round},
    {"safe", "", f_safe},
    {"string", "", f_string},
    {"title", "", f_title},
    {"tojson", "?ensure_ascii,?indent,?separators,?sort_keys", f_tojson},
    {"trim", "?chars", f_trim},
    {"truncate", "?length,?killwords,?end,?leeway", f_truncate},
    {"upper", "", f_upper},
    {"urlencode", "", f_urlencode},
    {"wordcount", "", f_wordcount},
};

const jfilter *jj_filter_find(str name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(name, table[i].name))
            return &table[i];
    return jj_seq_filter_find(name);
}
