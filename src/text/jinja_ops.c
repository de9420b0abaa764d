/* jinja_ops: operators, attributes, subscripts and slices, with Python's meaning.
 *
 * Integers are 64 bits wide; a result that does not fit is ERR_LIMIT, never a wrong number.
 * v.name asks for Python's attributes (methods) first and keys second; v[name] the other way
 * round. Both give undefined when there is neither, and refuse names that start with "_"
 * unless a dict truly has such a key.
 */
#include "text/jinja_int.h"

#include <math.h>
#include <string.h>

static bool is_int(jval v) { return v.kind == JK_INT || v.kind == JK_BOOL; }
static bool is_num(jval v) { return is_int(v) || v.kind == JK_FLOAT; }
static int64_t int_of(jval v) { return v.kind == JK_BOOL ? v.u.b : v.u.i; }
static double num_of(jval v) { return v.kind == JK_FLOAT ? v.u.f : (double)int_of(v); }

static err_code overflow(jrun *r) { return jj_fail(r, ERR_LIMIT, "an integer does not fit 64 bits"); }

static err_code mismatch(jrun *r, jop op, jval a, jval b) {
    static const char *const names[] = {[JOP_ADD] = "+",       [JOP_SUB] = "-", [JOP_MUL] = "*", [JOP_DIV] = "/",
                                        [JOP_FLOORDIV] = "//", [JOP_MOD] = "%", [JOP_POW] = "**"};
    if (a.kind == JK_UNDEFINED || b.kind == JK_UNDEFINED)
        return jj_fail(r, ERR_FORMAT, "an operand of %s is undefined", names[op]);
    return jj_fail(r, ERR_FORMAT, "unsupported operand types for %s: '%s' and '%s'", names[op], jj_kind_name(a),
                   jj_kind_name(b));
}

/* a to a whole power, by repeated squaring: the same on every machine, and exact wherever the result is. */
double jj_pow(double a, int64_t n) {
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    double v = 1.0;
    for (; left; left >>= 1, a *= a)
        if (left & 1)
            v *= a;
    return n < 0 ? 1.0 / v : v;
}

static err_code int_pow(jrun *r, int64_t base, int64_t exp, jval *out) {
    if (exp < 0) {
        if (base == 0)
            return jj_fail(r, ERR_FORMAT, "0 cannot be raised to a negative power");
        *out = JV_FLOAT(jj_pow((double)base, exp));
        return ERR_OK;
    }
    int64_t v = 1;
    if (base == 0 || base == 1 || base == -1) {
        v = exp == 0 ? 1 : base == -1 && exp % 2 == 0 ? 1 : base;
    } else {
        if (exp > 63)
            return overflow(r);
        for (; exp; exp--)
            if (__builtin_mul_overflow(v, base, &v))
                return overflow(r);
    }
    *out = JV_INT(v);
    return ERR_OK;
}

static err_code int_arith(jrun *r, jop op, int64_t a, int64_t b, jval *out) {
    int64_t v = 0;
    bool bad = false;
    if ((op == JOP_DIV || op == JOP_FLOORDIV || op == JOP_MOD) && b == 0)
        return jj_fail(r, ERR_FORMAT, "division by zero");
    switch (op) {
    case JOP_ADD:
        bad = __builtin_add_overflow(a, b, &v);
        break;
    case JOP_SUB:
        bad = __builtin_sub_overflow(a, b, &v);
        break;
    case JOP_MUL:
        bad = __builtin_mul_overflow(a, b, &v);
        break;
    case JOP_DIV:
        *out =
            JV_FLOAT((double)((long double)a / (long double)b)); /* 64-bit mantissa: rounded from the exact operands */
        return ERR_OK;
    case JOP_FLOORDIV:
        bad = a == INT64_MIN && b == -1;
        if (!bad)
            v = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case JOP_MOD:
        v = b == -1 ? 0 : a % b;
        v += v != 0 && (v < 0) != (b < 0) ? b : 0;
        break;
    default:
        return int_pow(r, a, b, out);
    }
    if (bad)
        return overflow(r);
    *out = JV_INT(v);
    return ERR_OK;
}

static double float_mod(double a, double b) {
    double m = fmod(a, b);
    if (m == 0.0)
        return copysign(0.0, b);
    return (b < 0) != (m < 0) ? m + b : m;
}

/* CPython's float_floor_div: exact also where a / b rounds up to a whole number. */
static double float_floordiv(double a, double b) {
    double m = fmod(a, b), d = (a - m) / b;
    if (m != 0.0 && (b < 0) != (m < 0))
        d -= 1.0;
    if (d == 0.0)
        return copysign(0.0, a / b);
    double f = floor(d);
    return d - f > 0.5 ? f + 1.0 : f;
}

static err_code float_arith(jrun *r, jop op, double a, double b, jval *out) {
    double v;
    if ((op == JOP_DIV || op == JOP_FLOORDIV || op == JOP_MOD) && b == 0.0)
        return jj_fail(r, ERR_FORMAT, "division by zero");
    switch (op) {
    case JOP_ADD:
        v = a + b;
        break;
    case JOP_SUB:
        v = a - b;
        break;
    case JOP_MUL:
        v = a * b;
        break;
    case JOP_DIV:
        v = a / b;
        break;
    case JOP_FLOORDIV:
        v = float_floordiv(a, b);
        break;
    case JOP_MOD:
        v = float_mod(a, b);
        break;
    default:
        if (a == 0.0 && b < 0)
            return jj_fail(r, ERR_FORMAT, "0.0 cannot be raised to a negative power");
        if (!(b >= -9e15 && b <= 9e15) || floor(b) != b)
            return jj_fail(r, ERR_UNSUPPORTED, "** with an exponent that is not a whole number is not supported");
        v = jj_pow(a, (int64_t)b);
        if (isinf(v) && isfinite(a) && isfinite(b))
            return jj_fail(r, ERR_FORMAT, "result of ** is too large");
        break;
    }
    *out = JV_FLOAT(v);
    return ERR_OK;
}

static err_code repeat(jrun *r, jval v, int64_t times, jval *out) {
    size_t n = times > 0 ? (size_t)times : 0, bytes;
    if (v.kind == JK_STR) {
        char *p;
        const jstr *s = v.u.s;
        if (__builtin_mul_overflow(n, s->n, &bytes))
            bytes = SIZE_MAX;
        TRY(jj_alloc(r, bytes, 1, &p));
        for (size_t i = 0; s->n && i < n; i++)
            memcpy(p + i * s->n, s->p, s->n);
        return jj_str_of(r, (str){p, bytes}, out);
    }
    jval *items;
    const jseq *q = v.u.seq;
    if (__builtin_mul_overflow(n, q->n, &bytes))
        bytes = SIZE_MAX / 64;
    TRY(jj_seq_new(r, v.kind, bytes, out, &items));
    for (size_t i = 0; q->n && i < n; i++)
        memcpy(items + i * q->n, q->v, q->n * sizeof *items);
    return jj_seq_done(r, *out);
}

static err_code join_seqs(jrun *r, jval a, jval b, jval *out) {
    jval *items;
    size_t n = a.u.seq->n, m = b.u.seq->n;
    TRY(jj_seq_new(r, a.kind, n + m, out, &items));
    if (n)
        memcpy(items, a.u.seq->v, n * sizeof *items);
    if (m)
        memcpy(items + n, b.u.seq->v, m * sizeof *items);
    return jj_seq_done(r, *out);
}

static err_code escaped(jrun *r, jval v, jval *out) {
    const jgiven none = {0};
    return v.sub ? (*out = v, ERR_OK) : jj_filter_find(STR("e"))->fn(r, v, &none, out);
}

static err_code add(jrun *r, jval a, jval b, jval *out) {
    if (a.kind == JK_STR && b.kind == JK_STR) {
        bool safe = a.sub || b.sub;
        if (safe) { /* as markupsafe does: the other side is escaped */
            TRY(escaped(r, a, &a));
            TRY(escaped(r, b, &b));
        }
        TRY(jj_concat(r, a, b, out));
        out->sub = safe;
        return ERR_OK;
    }
    if (a.kind == b.kind && (a.kind == JK_LIST || a.kind == JK_TUPLE))
        return join_seqs(r, a, b, out);
    return mismatch(r, JOP_ADD, a, b);
}

static bool repeatable(jval v) { return v.kind == JK_STR || v.kind == JK_LIST || v.kind == JK_TUPLE; }

err_code jj_arith(jrun *r, jop op, jval a, jval b, jval *out) {
    if (is_int(a) && is_int(b))
        return int_arith(r, op, int_of(a), int_of(b), out);
    if (is_num(a) && is_num(b))
        return float_arith(r, op, num_of(a), num_of(b), out);
    if (op == JOP_ADD)
        return add(r, a, b, out);
    if (op == JOP_MUL && repeatable(a) && is_int(b))
        return repeat(r, a, int_of(b), out);
    if (op == JOP_MUL && repeatable(b) && is_int(a))
        return repeat(r, b, int_of(a), out);
    if (op == JOP_MOD && a.kind == JK_STR)
        return jj_percent(r, a, b, out);
    return mismatch(r, op, a, b);
}

err_code jj_negate(jrun *r, jval a, jval *out) {
    if (a.kind == JK_FLOAT) {
        *out = JV_FLOAT(-a.u.f);
        return ERR_OK;
    }
    if (!is_int(a))
        return jj_fail(r, ERR_FORMAT, "bad operand type for unary -: '%s'", jj_kind_name(a));
    if (int_of(a) == INT64_MIN)
        return overflow(r);
    *out = JV_INT(-int_of(a));
    return ERR_OK;
}

err_code jj_contains(jrun *r, jval item, jval in, bool *yes) {
    *yes = false;
    if (in.kind == JK_STR) {
        if (item.kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "'in <string>' requires a string on its left, not '%s'", jj_kind_name(item));
        TRY(jj_charge(r, in.u.s->n / 64));
        *yes = item.u.s->n == 0 || memmem(in.u.s->p, in.u.s->n, item.u.s->p, item.u.s->n) != NULL;
        return ERR_OK;
    }
    if (in.kind == JK_DICT || (in.kind == JK_VIEW && in.sub == JVIEW_KEYS)) {
        const jval *v;
        TRY(jj_dict_get(r, in.u.d, item, &v));
        *yes = v != NULL;
        return ERR_OK;
    }
    jval *items;
    size_t n;
    if (!jj_iterable(in))
        return jj_fail(r, ERR_FORMAT, "argument of type '%s' is not iterable", jj_kind_name(in));
    TRY(jj_items(r, in, &items, &n));
    size_t i = 0;
    for (; !*yes && i < n; i++) {
        TRY(jj_charge(r, 1));
        TRY(jj_equal(r, items[i], item, yes));
    }
    if (in.kind == JK_GEN) { /* the walk stops behind what it found */
        in.u.gen->v = items + i;
        in.u.gen->n = n - i;
    }
    return ERR_OK;
}

/* ---- attributes and subscripts ---- */

static err_code private_(jrun *r, str name) {
    return jj_fail(r, ERR_UNSUPPORTED, "attribute '%.*s' is private, the sandbox refuses it", STR_ARG(name));
}

static err_code refuse_undefined(jrun *r, str name) {
    return jj_fail(r, ERR_FORMAT, "asked for '%.*s' of something undefined", STR_ARG(name));
}

/* Python's own attribute `name` of v; JK_MISSING when there is none. */
static err_code native_attr(jrun *r, jval v, str name, jval *out) {
    *out = (jval){0};
    if (v.kind == JK_UNDEFINED)
        return refuse_undefined(r, name);
    if (str_starts(name, STR("_")))
        return ERR_OK;
    if (v.kind == JK_NS) {
        const jval *hit = jj_dict_find(v.u.ns->d, name);
        if (hit)
            *out = *hit;
        return ERR_OK;
    }
    if (v.kind == JK_LOOP)
        return jj_loop_attr(r, v.u.loop, name, out);
    if (v.kind == JK_MACRO && str_is(name, "name"))
        return jj_str_of(r, v.u.macro->node->text, out);
    if (v.kind == JK_MACRO)
        return jj_fail(r, ERR_UNSUPPORTED, "attribute '%.*s' of a macro", STR_ARG(name));
    if (v.kind == JK_RANGE && (str_is(name, "start") || str_is(name, "stop") || str_is(name, "step"))) {
        *out = JV_INT(str_is(name, "start") ? v.u.r->start : str_is(name, "stop") ? v.u.r->stop : v.u.r->step);
        return ERR_OK;
    }
    return jj_method_get(r, v, name, out);
}

static err_code by_index(jrun *r, jval v, int64_t i, jval *out) {
    size_t n;
    TRY(jj_len(r, v, &n));
    if (i < 0)
        i += (int64_t)n;
    *out = JV_UNDEFINED;
    if (i < 0 || (uint64_t)i >= n)
        return ERR_OK;
    if (v.kind == JK_LIST || v.kind == JK_TUPLE) {
        *out = v.u.seq->v[i];
        return ERR_OK;
    }
    if (v.kind == JK_RANGE) {
        *out = JV_INT(v.u.r->start + i * v.u.r->step);
        return ERR_OK;
    }
    const jstr *s = v.u.s;
    if (s->cps != s->n)
        TRY(jj_charge(r, s->n / 64));
    size_t at = jj_at_cp(s, (size_t)i);
    int len;
    jj_cp(s->p + at, s->p + s->n, &len);
    return jj_str_of(r, (str){s->p + at, (size_t)len}, out);
}

/* obj[key] in Python; JK_MISSING where Python raises a lookup or type error. */
static err_code native_item(jrun *r, jval v, jval key, jval *out) {
    *out = (jval){0};
    if (v.kind == JK_UNDEFINED)
        return refuse_undefined(r, key.kind == JK_STR ? jj_text(key) : STR("an item"));
    if (v.kind == JK_DICT) {
        if (key.kind == JK_LIST || key.kind == JK_DICT)
            return ERR_OK; /* unhashable: a TypeError, hence undefined */
        const jval *hit;
        TRY(jj_dict_get(r, v.u.d, key, &hit));
        if (hit)
            *out = *hit;
        return ERR_OK;
    }
    if (is_int(key) && (v.kind == JK_LIST || v.kind == JK_TUPLE || v.kind == JK_STR || v.kind == JK_RANGE))
        return by_index(r, v, int_of(key), out);
    return ERR_OK;
}

err_code jj_attr(jrun *r, jval v, jval name, jval *out) {
    str text = jj_text(name);
    if (v.kind == JK_DICT) { /* the common case: not a method's name, so a key */
        const jval *hit = jj_dict_find(v.u.d, text);
        TRY(native_attr(r, v, text, out));
        if (out->kind == JK_MISSING && hit)
            *out = *hit;
    } else {
        TRY(native_attr(r, v, text, out));
    }
    if (out->kind != JK_MISSING)
        return ERR_OK;
    if (str_starts(text, STR("_")))
        return private_(r, text);
    *out = JV_UNDEFINED;
    return ERR_OK;
}

err_code jj_item(jrun *r, jval v, jval key, jval *out) {
    TRY(native_item(r, v, key, out));
    if (out->kind == JK_MISSING && key.kind == JK_STR) {
        TRY(native_attr(r, v, jj_text(key), out));
        if (out->kind == JK_MISSING && str_starts(jj_text(key), STR("_")))
            return private_(r, jj_text(key));
    }
    if (out->kind == JK_MISSING)
        *out = JV_UNDEFINED;
    return ERR_OK;
}

err_code jj_path(jrun *r, jval v, jval path, jval *out) {
    *out = v;
    if (path.kind != JK_STR)
        return jj_item(r, v, path, out);
    str s = jj_text(path);
    for (size_t from = 0; from <= s.n;) {
        ptrdiff_t dot = str_find(s, STR("."), from);
        str part = str_sub(s, from, dot < 0 ? s.n : (size_t)dot);
        bool digits = part.n > 0 && part.n < 10;
        int64_t index = 0;
        for (size_t i = 0; digits && i < part.n; i++) {
            digits = part.p[i] >= '0' && part.p[i] <= '9';
            index = index * 10 + (part.p[i] - '0');
        }
        jval key = JV_INT(index);
        if (!digits)
            TRY(jj_str_of(r, part, &key));
        TRY(jj_charge(r, 1));
        TRY(jj_item(r, *out, key, out));
        if (dot < 0)
            break;
        from = (size_t)dot + 1;
    }
    return ERR_OK;
}

/* ---- slices ---- */

static err_code bound(jrun *r, jval v, int64_t n, int64_t low, int64_t high, int64_t otherwise, int64_t *out) {
    if (v.kind == JK_NONE || v.kind == JK_MISSING) {
        *out = otherwise;
        return ERR_OK;
    }
    if (!is_int(v))
        return jj_fail(r, ERR_FORMAT, "slice bounds must be integers or none, not '%s'", jj_kind_name(v));
    int64_t i = int_of(v);
    if (i < 0)
        i = i < -n ? low : i + n;
    *out = i < low ? low : i > high ? high : i;
    return ERR_OK;
}

err_code jj_slice(jrun *r, jval v, jval from, jval to, jval step, jval *out) {
    if (v.kind == JK_UNDEFINED)
        return refuse_undefined(r, STR("a slice"));
    if (v.kind != JK_STR && v.kind != JK_LIST && v.kind != JK_TUPLE && v.kind != JK_RANGE) {
        *out = JV_UNDEFINED;
        return ERR_OK;
    }
    size_t len;
    TRY(jj_len(r, v, &len));
    int64_t n = (int64_t)len, s = 1, a, b;
    TRY(jj_want_int(r, step.kind == JK_NONE ? (jval){0} : step, 1, &s));
    if (s == 0)
        return jj_fail(r, ERR_FORMAT, "slice step cannot be zero");
    TRY(bound(r, from, n, s < 0 ? -1 : 0, s < 0 ? n - 1 : n, s < 0 ? n - 1 : 0, &a));
    TRY(bound(r, to, n, s < 0 ? -1 : 0, s < 0 ? n - 1 : n, s < 0 ? -1 : n, &b));
    uint64_t stride = s < 0 ? 0 - (uint64_t)s : (uint64_t)s;
    uint64_t gap = s < 0 ? (a > b ? (uint64_t)(a - b) : 0) : b > a ? (uint64_t)(b - a) : 0;
    size_t count = gap ? (size_t)((gap - 1) / stride + 1) : 0;
    if (count <= 1)
        s = 1; /* a huge step never gets multiplied */
    if (v.kind == JK_RANGE) {
        jrange *g;
        TRY(jj_alloc(r, 1, sizeof *g, &g));
        int64_t st = v.u.r->step;
        *g = (jrange){v.u.r->start + a * st, v.u.r->start + b * st, st * s, count};
        *out = (jval){.kind = JK_RANGE, .u.r = g};
        return ERR_OK;
    }
    if (v.kind == JK_STR && s == 1) {
        const jstr *t = v.u.s;
        if (t->cps != t->n)
            TRY(jj_charge(r, t->n / 64));
        size_t p = jj_at_cp(t, (size_t)a), q = count ? jj_at_cp(t, (size_t)a + count) : p;
        return jj_str_of(r, (str){t->p + p, q - p}, out);
    }
    jval *all, *items;
    size_t n_all;
    TRY(jj_items(r, v, &all, &n_all));
    TRY(jj_seq_new(r, v.kind == JK_TUPLE ? JK_TUPLE : JK_LIST, count, out, &items));
    for (size_t i = 0; i < count; i++)
        items[i] = all[a + (int64_t)i * s];
    if (v.kind == JK_STR)
        return jj_join(r, STR(""), items, count, true, out);
    return jj_seq_done(r, *out);
}
