/* jinja_test: tests ("x is odd") and global functions. */
#include "text/jinja_int.h"

#include <stdlib.h>
#include <string.h>

enum { RANGE_MAX = 100000 }; /* as Jinja2's sandbox */

#define TEST(name) static err_code name(jrun *r, jval in, const jgiven *g, jval *out)
#define KIND_TEST(name, cond) \
    TEST(name) {              \
        (void)r;              \
        (void)g;              \
        *out = JV_BOOL(cond); \
        return ERR_OK;        \
    }

KIND_TEST(t_defined, in.kind != JK_UNDEFINED)
KIND_TEST(t_undefined, in.kind == JK_UNDEFINED)
KIND_TEST(t_none, in.kind == JK_NONE)
KIND_TEST(t_boolean, in.kind == JK_BOOL)
KIND_TEST(t_true, in.kind == JK_BOOL && in.u.b)
KIND_TEST(t_false, in.kind == JK_BOOL && !in.u.b)
KIND_TEST(t_integer, in.kind == JK_INT)
KIND_TEST(t_float, in.kind == JK_FLOAT)
KIND_TEST(t_number, in.kind == JK_INT || in.kind == JK_FLOAT || in.kind == JK_BOOL)
KIND_TEST(t_string, in.kind == JK_STR)
KIND_TEST(t_mapping, in.kind == JK_DICT)
KIND_TEST(t_iterable, jj_iterable(in))
KIND_TEST(t_sequence, in.kind == JK_STR || in.kind == JK_LIST || in.kind == JK_TUPLE || in.kind == JK_DICT ||
                          in.kind == JK_RANGE || in.kind == JK_UNDEFINED)
KIND_TEST(t_callable, in.kind == JK_UNDEFINED || in.kind == JK_FUNC || in.kind == JK_METHOD || in.kind == JK_MACRO ||
                          in.kind == JK_JOINER || in.kind == JK_LOOP)
KIND_TEST(t_escaped, in.kind == JK_STR && in.sub)
KIND_TEST(t_filter, in.kind == JK_STR && jj_filter_find(jj_text(in)) != NULL)
KIND_TEST(t_test, in.kind == JK_STR && jj_test_find(jj_text(in)) != NULL)

static err_code remainder_is(jrun *r, jval in, jval by, int64_t want, jval *out) {
    jval m;
    bool yes;
    TRY(jj_arith(r, JOP_MOD, in, by, &m));
    TRY(jj_equal(r, m, JV_INT(want), &yes));
    *out = JV_BOOL(yes);
    return ERR_OK;
}

TEST(t_odd) {
    (void)g;
    return remainder_is(r, in, JV_INT(2), 1, out);
}
TEST(t_even) {
    (void)g;
    return remainder_is(r, in, JV_INT(2), 0, out);
}
TEST(t_divisibleby) { return remainder_is(r, in, g->v[0], 0, out); }

TEST(t_in) {
    bool yes;
    TRY(jj_contains(r, in, g->v[0], &yes));
    *out = JV_BOOL(yes);
    return ERR_OK;
}

TEST(t_eq) {
    bool yes;
    TRY(jj_equal(r, in, g->v[0], &yes));
    *out = JV_BOOL(yes);
    return ERR_OK;
}
TEST(t_ne) {
    TRY(t_eq(r, in, g, out));
    out->u.b = !out->u.b;
    return ERR_OK;
}

static err_code ordered(jrun *r, jval a, jval b, jop op, jval *out) {
    int s;
    TRY(jj_compare(r, a, b, op, &s));
    *out = JV_BOOL(s == 2 ? false : op == JOP_LT ? s < 0 : op == JOP_LE ? s <= 0 : op == JOP_GT ? s > 0 : s >= 0);
    return ERR_OK;
}
TEST(t_lt) { return ordered(r, in, g->v[0], JOP_LT, out); }
TEST(t_le) { return ordered(r, in, g->v[0], JOP_LE, out); }
TEST(t_gt) { return ordered(r, in, g->v[0], JOP_GT, out); }
TEST(t_ge) { return ordered(r, in, g->v[0], JOP_GE, out); }

/* Python's "is": decided for singletons and containers; of numbers and strings it is an accident. */
TEST(t_sameas) {
    jval a = in, b = g->v[0];
    *out = JV_BOOL(false);
    if (a.kind != b.kind)
        return ERR_OK;
    if (a.kind == JK_STR || a.kind == JK_FLOAT || a.kind == JK_UNDEFINED ||
        (a.kind == JK_INT && (a.u.i < -5 || a.u.i > 256)))
        return jj_fail(r, ERR_UNSUPPORTED, "sameas of a %s (use ==)", jj_kind_name(a));
    *out = JV_BOOL(a.kind == JK_NONE || (a.kind == JK_BOOL  ? a.u.b == b.u.b
                                         : a.kind == JK_INT ? a.u.i == b.u.i
                                                            : a.u.p == b.u.p));
    return ERR_OK;
}

static err_code case_test(jrun *r, jval in, const char *method, jval *out) {
    jval s, m;
    TRY(jj_to_str(r, in, &s));
    s.sub = 0;
    TRY(jj_method_get(r, s, str_from(method), &m));
    return jj_call(r, m, &(jargs){0}, out);
}
TEST(t_upper) {
    (void)g;
    return case_test(r, in, "isupper", out);
}
TEST(t_lower) {
    (void)g;
    return case_test(r, in, "islower", out);
}

static const jfilter tests[] = {
    {"defined", "", t_defined},    {"undefined", "", t_undefined},
    {"none", "", t_none},          {"boolean", "", t_boolean},
    {"true", "", t_true},          {"false", "", t_false},
    {"integer", "", t_integer},    {"float", "", t_float},
    {"number", "", t_number},      {"string", "", t_string},
    {"mapping", "", t_mapping},    {"iterable", "", t_iterable},
    {"sequence", "", t_sequence},  {"callable", "", t_callable},
    {"escaped", "", t_escaped},    {"filter", "", t_filter},
    {"test", "", t_test},          {"odd", "", t_odd},
    {"even", "", t_even},          {"divisibleby", "num", t_divisibleby},
    {"in", "seq", t_in},           {"eq", "other", t_eq},
    {"==", "other", t_eq},         {"equalto", "other", t_eq},
    {"ne", "other", t_ne},         {"!=", "other", t_ne},
    {"lt", "other", t_lt},         {"<", "other", t_lt},
    {"lessthan", "other", t_lt},   {"le", "other", t_le},
    {"<=", "other", t_le},         {"gt", "other", t_gt},
    {">", "other", t_gt},          {"greaterthan", "other", t_gt},
    {"ge", "other", t_ge},         {">=", "other", t_ge},
    {"sameas", "other", t_sameas}, {"upper", "", t_upper},
    {"lower", "", t_lower},
};

const jfilter *jj_test_find(str name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (str_is(name, tests[i].name))
            return &tests[i];
    return NULL;
}

/* ---- globals ---- */

static err_code f_range(jrun *r, const jargs *a, jval *out) {
    int64_t v[3] = {0, 0, 1};
    if (a->n_kw || a->n_pos < 1 || a->n_pos > 3)
        return jj_fail(r, ERR_FORMAT, "range takes 1 to 3 arguments");
    for (int i = 0; i < a->n_pos; i++) {
        if (a->pos[i].kind == JK_MISSING)
            return jj_fail(r, ERR_FORMAT, "range wants integers");
        TRY(jj_want_int(r, a->pos[i], 0, &v[a->n_pos == 1 ? 1 : i]));
    }
    if (v[2] == 0)
        return jj_fail(r, ERR_FORMAT, "range: the step must not be zero");
    uint64_t gap = v[2] > 0      ? (v[1] > v[0] ? (uint64_t)v[1] - (uint64_t)v[0] : 0)
                   : v[0] > v[1] ? (uint64_t)v[0] - (uint64_t)v[1]
                                 : 0;
    uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2], n = gap ? (gap - 1) / step + 1 : 0;
    if (n > RANGE_MAX)
        return jj_fail(r, ERR_LIMIT, "range of more than %d", RANGE_MAX);
    jrange *g;
    TRY(jj_alloc(r, 1, sizeof *g, &g));
    *g = (jrange){v[0], v[1], v[2], (size_t)n};
    *out = (jval){.kind = JK_RANGE, .u.r = g};
    return ERR_OK;
}

/* dict(mapping or pairs, key=value, ...) */
static err_code f_dict(jrun *r, const jargs *a, jval *out) {
    if (a->n_pos > 1)
        return jj_fail(r, ERR_FORMAT, "dict takes at most 1 argument and keywords");
    TRY(jj_dict_new(r, (size_t)a->n_kw, out));
    if (a->n_pos && a->pos[0].kind == JK_DICT) {
        const jdict *d = a->pos[0].u.d;
        for (size_t i = 0; i < d->n; i++)
            TRY(jj_dict_put(r, out->u.d, d->k[i], d->v[i]));
    } else if (a->n_pos) {
        jval *items, *pair;
        size_t n, two;
        TRY(jj_items(r, a->pos[0], &items, &n));
        for (size_t i = 0; i < n; i++) {
            TRY(jj_items(r, items[i], &pair, &two));
            if (two != 2)
                return jj_fail(r, ERR_FORMAT, "dict: item %zu has length %zu; 2 is required", i, two);
            TRY(jj_dict_put(r, out->u.d, pair[0], pair[1]));
        }
    }
    for (int i = 0; i < a->n_kw; i++) {
        jval k;
        TRY(jj_str_of(r, a->key[i], &k));
        TRY(jj_dict_put(r, out->u.d, k, a->val[i]));
    }
    return ERR_OK;
}

static err_code f_namespace(jrun *r, const jargs *a, jval *out) {
    jval d;
    jns *ns;
    TRY(f_dict(r, a, &d));
    for (size_t i = 0; i < d.u.d->n; i++)
        if (d.u.d->k[i].kind == JK_STR && str_starts(jj_text(d.u.d->k[i]), STR("_")))
            return jj_fail(r, ERR_UNSUPPORTED, "namespace attribute '%.*s' is private, the sandbox refuses it",
                           STR_ARG(jj_text(d.u.d->k[i])));
    TRY(jj_alloc(r, 1, sizeof *ns, &ns));
    ns->d = d.u.d;
    *out = (jval){.kind = JK_NS, .u.ns = ns};
    return ERR_OK;
}

static err_code f_raise(jrun *r, const jargs *a, jval *out) {
    jgiven g;
    jval text;
    TRY(jj_bind(r, "raise_exception", "message", a, &g));
    TRY(jj_to_str(r, g.v[0], &text));
    *out = JV_NONE;
    return jj_fail(r, ERR_FORMAT, "%.*s", text.u.s->n > 380 ? 380 : (int)text.u.s->n, text.u.s->p);
}

static err_code f_strftime(jrun *r, const jargs *a, jval *out) {
    jgiven g;
    char pattern[256], text[1024];
    struct tm tm;
    TRY(jj_bind(r, "strftime_now", "format", a, &g));
    if (g.v[0].kind != JK_STR || g.v[0].u.s->n >= sizeof pattern || memchr(g.v[0].u.s->p, 0, g.v[0].u.s->n))
        return jj_fail(r, ERR_FORMAT, "strftime_now wants a short format string");
    memcpy(pattern, g.v[0].u.s->p, g.v[0].u.s->n);
    pattern[g.v[0].u.s->n] = 0;
    for (const char *p = strchr(pattern, '%'); p; p = strchr(p + 2, '%'))
        if (!p[1] || !strchr("aAbBcdDeFGgHIjklmMnprRsStTuUVwWxXyYzZCh%-", p[1])) /* no widths: output stays small */
            return jj_fail(r, ERR_UNSUPPORTED, "strftime_now: this format");
        else if (p[1] == '-' && !(p[2] && strchr("dHIjmMSeklyUwW", p[2])))
            return jj_fail(r, ERR_UNSUPPORTED, "strftime_now: this format");
    if (!localtime_r(&r->now, &tm))
        return jj_fail(r, ERR_FORMAT, "strftime_now: the time is out of range");
    size_t n = 0;
    if (pattern[0]) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        n = strftime(text, sizeof text, pattern, &tm); /* checked above */
#pragma GCC diagnostic pop
    }
    return jj_str_copy(r, (str){text, n}, out);
}

/* State that changes: two values side by side, see JK_JOINER and JK_CYCLER. */
static err_code stateful(jrun *r, jkind kind, jval first, jval second, jval *out) {
    jval *state;
    TRY(jj_alloc(r, 2, sizeof *state, &state));
    state[0] = first;
    state[1] = second;
    *out = (jval){.kind = (uint8_t)kind, .u.p = state};
    return ERR_OK;
}

static err_code f_joiner(jrun *r, const jargs *a, jval *out) {
    jgiven g;
    TRY(jj_bind(r, "joiner", "?sep", a, &g));
    if (g.v[0].kind == JK_MISSING)
        TRY(jj_str_of(r, STR(", "), &g.v[0]));
    return stateful(r, JK_JOINER, g.v[0], JV_BOOL(false), out);
}

static err_code f_cycler(jrun *r, const jargs *a, jval *out) {
    jval all, *items;
    if (!a->n_pos || a->n_kw)
        return jj_fail(r, ERR_FORMAT, "cycler wants the values to cycle through");
    TRY(jj_seq_new(r, JK_TUPLE, (size_t)a->n_pos, &all, &items));
    for (int i = 0; i < a->n_pos; i++)
        items[i] = a->pos[i];
    TRY(jj_seq_done(r, all));
    return stateful(r, JK_CYCLER, all, JV_INT(0), out);
}

static const struct {
    const char *name;
    err_code (*fn)(jrun *, const jargs *, jval *);
} globals[JFUNC_COUNT] = {
    [JFUNC_RANGE] = {"range", f_range},
    [JFUNC_DICT] = {"dict", f_dict},
    [JFUNC_NAMESPACE] = {"namespace", f_namespace},
    [JFUNC_RAISE] = {"raise_exception", f_raise},
    [JFUNC_STRFTIME] = {"strftime_now", f_strftime},
    [JFUNC_JOINER] = {"joiner", f_joiner},
    [JFUNC_CYCLER] = {"cycler", f_cycler},
};

err_code jj_func_call(jrun *r, jfunc f, const jargs *a, jval *out) { return globals[f].fn(r, a, out); }

bool jj_global(str name, jval *out) {
    for (int i = 0; i < JFUNC_COUNT; i++)
        if (str_is(name, globals[i].name)) {
            *out = (jval){.kind = JK_FUNC, .sub = (uint8_t)i};
            return true;
        }
    return false;
}
