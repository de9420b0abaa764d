/* jinja_strformat: str.format(), as Jinja2's sandbox runs it.
 *
 * Fields are {}, {0}, {name} with .attribute and [key] behind, !r and !s, and a format spec of
 * [[fill]align][sign][0][width][.precision][type], which is turned into a "%" conversion. Other
 * specs are ERR_UNSUPPORTED. Attributes go through the same sandbox as everywhere.
 */
#include "text/jinja_int.h"

#include <stdio.h>
#include <string.h>

static err_code field_value(jrun *r, str name, const jargs *a, int *next, jval *out) {
    size_t n = 0;
    while (n < name.n && name.p[n] != '.' && name.p[n] != '[')
        n++;
    str first = str_sub(name, 0, n);
    bool digits = first.n < 6;
    int index = 0;
    for (size_t i = 0; i < first.n && digits; i++) {
        digits = first.p[i] >= '0' && first.p[i] <= '9';
        index = index * 10 + (first.p[i] - '0');
    }
    *out = (jval){0};
    if (digits) {
        if (first.n ? *next > 0 : *next < 0)
            return jj_fail(r, ERR_FORMAT, "format: numbered and automatic fields together");
        index = first.n ? index : *next;
        *next = first.n ? -1 : *next + 1;
        if (index < a->n_pos)
            *out = a->pos[index];
    } else {
        for (int i = 0; i < a->n_kw; i++)
            if (str_eq(a->key[i], first))
                *out = a->val[i];
    }
    if (out->kind == JK_MISSING)
        return jj_fail(r, ERR_FORMAT, "format: nothing given for field '%.*s'", STR_ARG(first));
    while (n < name.n) {
        bool attr = name.p[n++] == '.';
        size_t from = n;
        while (n < name.n && (attr ? name.p[n] != '.' && name.p[n] != '[' : name.p[n] != ']'))
            n++;
        jval key;
        str part = str_sub(name, from, n);
        int64_t number = 0;
        bool whole = part.n > 0 && part.n < 10;
        for (size_t i = 0; i < part.n && whole; i++) {
            whole = part.p[i] >= '0' && part.p[i] <= '9';
            number = number * 10 + (part.p[i] - '0');
        }
        if (!attr && n++ >= name.n)
            return jj_fail(r, ERR_FORMAT, "format: missing ']'");
        TRY(jj_str_of(r, part, &key));
        if (!attr && whole)
            key = JV_INT(number);
        TRY(attr ? jj_attr(r, *out, key, out) : jj_item(r, *out, key, out));
    }
    return ERR_OK;
}

/* `spec` applied to v: the number or text by "%", then fill and alignment. */
static err_code apply_spec(jrun *r, jval v, str spec, jval *out) {
    if (spec.n == 0)
        return jj_to_str(r, v, out);
    size_t i = 0;
    int len;
    char fill[4] = " ", align = 0, sign = 0, type = 0, pattern[32];
    size_t fill_n = 1;
    int64_t width = 0, prec = -1;
    jj_cp(spec.p, spec.p + spec.n, &len);
    if ((size_t)len < spec.n && strchr("<>^", spec.p[len])) {
        memcpy(fill, spec.p, fill_n = (size_t)len);
        align = spec.p[i = (size_t)len];
        i++;
    } else if (strchr("<>^", spec.p[0])) {
        align = spec.p[i++];
    }
    if (i < spec.n && (spec.p[i] == '+' || spec.p[i] == ' ' || spec.p[i] == '-'))
        sign = spec.p[i++];
    bool zero = !align && i < spec.n && spec.p[i] == '0';
    for (; i < spec.n && spec.p[i] >= '0' && spec.p[i] <= '9' && width < 100000; i++)
        width = width * 10 + (spec.p[i] - '0');
    if (i < spec.n && spec.p[i] == '.')
        for (i++, prec = 0; i < spec.n && spec.p[i] >= '0' && spec.p[i] <= '9' && prec < 100000; i++)
            prec = prec * 10 + (spec.p[i] - '0');
    if (i < spec.n)
        type = spec.p[i++];
    bool text = v.kind == JK_STR, number = v.kind == JK_INT || v.kind == JK_FLOAT;
    if (i < spec.n || width >= 100000 || prec >= 100000 || (!text && !number))
        return jj_fail(r, ERR_UNSUPPORTED, "format spec '%.*s' for %s", STR_ARG(spec), jj_kind_name(v));
    if (!type && number && prec < 0 && v.kind == JK_FLOAT)
        type = 'r';
    if (!type)
        type = text ? 's' : 'd';
    if (!strchr(text               ? "s"
                : v.kind == JK_INT ? "dxXofFeEgG"
                                   : "fFeEgGr",
                type) ||
        (text && (zero || sign)) || (v.kind == JK_INT && prec >= 0 && strchr("dxXo", type)) ||
        (type == 'r' && (zero || sign)))
        return jj_fail(r, ERR_UNSUPPORTED, "format spec '%.*s' for %s", STR_ARG(spec), jj_kind_name(v));
    int n = snprintf(pattern, sizeof pattern, "%%%s", sign == '+' ? "+" : sign == ' ' ? " " : "");
    if (zero)
        n += snprintf(pattern + n, sizeof pattern - (size_t)n, "0%d", (int)width);
    if (prec >= 0)
        n += snprintf(pattern + n, sizeof pattern - (size_t)n, ".%d", (int)prec);
    n += snprintf(pattern + n, sizeof pattern - (size_t)n, "%c", type);
    jval fmt, tuple, *one, pad, side;
    TRY(jj_str_of(r, (str){pattern, (size_t)n}, &fmt));
    TRY(jj_seq_new(r, JK_TUPLE, 1, &tuple, &one));
    one[0] = v;
    TRY(jj_percent(r, fmt, tuple, out));
    int64_t need = width - (int64_t)out->u.s->cps;
    if (need <= 0)
        return ERR_OK;
    align = align ? align : text ? '<' : '>';
    int64_t before = align == '>' ? need : align == '^' ? need / 2 : 0;
    TRY(jj_str_copy(r, (str){fill, fill_n}, &pad));
    TRY(jj_arith(r, JOP_MUL, pad, JV_INT(before), &side));
    TRY(jj_concat(r, side, *out, out));
    TRY(jj_arith(r, JOP_MUL, pad, JV_INT(need - before), &side));
    return jj_concat(r, *out, side, out);
}

static err_code field(jrun *r, str f, const jargs *a, int *next) {
    ptrdiff_t colon = str_find(f, STR(":"), 0), bang = str_find(f, STR("!"), 0);
    str spec = colon < 0 ? STR("") : str_sub(f, (size_t)colon + 1, f.n);
    str name = str_sub(f, 0, colon < 0 ? f.n : (size_t)colon);
    jval v;
    char conv = 0;
    if (bang >= 0 && (colon < 0 || bang < colon)) {
        if ((size_t)bang + 2 != name.n)
            return jj_fail(r, ERR_FORMAT, "format: a conversion is one letter");
        conv = name.p[name.n - 1];
        name = str_sub(name, 0, (size_t)bang);
    }
    if (str_find(spec, STR("{"), 0) >= 0)
        return jj_fail(r, ERR_UNSUPPORTED, "format: a field inside a format spec");
    TRY(field_value(r, name, a, next, &v));
    size_t from = r->out.n;
    if (conv == 'r') {
        TRY(jj_write_repr(r, v));
        TRY(jj_str_take(r, from, &v));
    } else if (conv == 's') {
        TRY(jj_to_str(r, v, &v));
    } else if (conv) {
        return jj_fail(r, ERR_UNSUPPORTED, "format: conversion '!%c'", conv);
    }
    TRY(apply_spec(r, v, spec, &v));
    return jj_write(r, v);
}

err_code jj_str_format(jrun *r, jval fmt, const jargs *a, jval *out) {
    str s = jj_text(fmt);
    size_t from = r->out.n;
    int next = 0;
    for (size_t i = 0; i < s.n;) {
        size_t plain = i;
        while (i < s.n && s.p[i] != '{' && s.p[i] != '}')
            i++;
        TRY(jj_write(r, (jval){.kind = JK_STR, .u.s = &(jstr){.p = s.p + plain, .n = i - plain}}));
        if (i == s.n)
            break;
        if (i + 1 < s.n && s.p[i + 1] == s.p[i]) {
            TRY(jj_write(r, (jval){.kind = JK_STR, .u.s = &(jstr){.p = s.p + i, .n = 1}}));
            i += 2;
            continue;
        }
        if (s.p[i] == '}')
            return jj_fail(r, ERR_FORMAT, "format: single '}'");
        size_t open = ++i;
        int depth = 1;
        for (; i < s.n && depth; i++)
            depth += s.p[i] == '{' ? 1 : s.p[i] == '}' ? -1 : 0;
        if (depth)
            return jj_fail(r, ERR_FORMAT, "format: single '{'");
        TRY(jj_charge(r, 1));
        TRY(field(r, str_sub(s, open, i - 1), a, &next));
    }
    return jj_str_take(r, from, out);
}
