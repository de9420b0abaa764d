/* jinja_value: the values of a render: strings, sequences, dicts, truth, equality, order.
 *
 * All of it lives in the render's arena. Strings count code points, as Python does; dicts
 * keep the order of insertion and treat 1, 1.0 and true as one key. Lists, tuples and
 * dicts record their depth when they are made, so nothing here can recurse without end.
 */
#include "text/jinja_int.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { INDEX_FROM = 9 }; /* smaller dicts are searched in a line */

err_code jj_fail(jrun *r, err_code code, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, code, "template line %d: %s", r->line, text);
}

err_code jj_charge(jrun *r, size_t n_units) {
    if (n_units > r->t->limits.steps_max - r->steps) {
        r->steps = r->t->limits.steps_max;
        return jj_fail(r, ERR_LIMIT, "the template takes more than %zu steps", r->t->limits.steps_max);
    }
    r->steps += n_units;
    return ERR_OK;
}

err_code jj_alloc(jrun *r, size_t n, size_t size, void *out) {
    size_t bytes;
    bool over = __builtin_mul_overflow(n, size, &bytes) || bytes > r->mem.max_bytes ||
                r->mem.used_bytes > r->mem.max_bytes - bytes;
    if (over)
        return jj_fail(r, ERR_LIMIT, "the template needs more than %zu bytes of memory", r->mem.max_bytes);
    TRY(jj_charge(r, bytes / 64));
    void *p = arena_alloc(&r->mem, n, size);
    if (!p)
        return arena_short(r->e, n, size);
    memcpy(out, &p, sizeof p);
    return ERR_OK;
}

const char *jj_kind_name(jval v) {
    static const char *const names[] = {
        [JK_MISSING] = "missing", [JK_UNDEFINED] = "Undefined", [JK_NONE] = "NoneType",  [JK_BOOL] = "bool",
        [JK_INT] = "int",         [JK_FLOAT] = "float",         [JK_STR] = "str",        [JK_LIST] = "list",
        [JK_TUPLE] = "tuple",     [JK_DICT] = "dict",           [JK_VIEW] = "dict view", [JK_RANGE] = "range",
        [JK_GEN] = "generator",   [JK_NS] = "namespace",        [JK_LOOP] = "loop",      [JK_MACRO] = "macro",
        [JK_FUNC] = "function",   [JK_METHOD] = "method",       [JK_JOINER] = "joiner",  [JK_CYCLER] = "cycler",
    };
    return names[v.kind];
}

/* ---- text ---- */

size_t jj_cps(str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

int32_t jj_cp(const char *p, const char *end, int *len) {
    const unsigned char *u = (const unsigned char *)p;
    ptrdiff_t n = end - p;
    *len = 1;
    if (u[0] < 0x80)
        return u[0];
    if (u[0] < 0xE0 && n >= 2) {
        *len = 2;
        return (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    }
    if (u[0] >= 0xE0 && u[0] < 0xF0 && n >= 3) {
        *len = 3;
        return (u[0] & 0x0F) << 12 | (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    }
    if (u[0] >= 0xF0 && n >= 4) {
        *len = 4;
        return (u[0] & 0x07) << 18 | (u[1] & 0x3F) << 12 | (u[2] & 0x3F) << 6 | (u[3] & 0x3F);
    }
    return u[0];
}

size_t jj_put_cp(int32_t cp, char out[4]) {
    if (cp < 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        return 0;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | cp);
    return n;
}

bool jj_is_space(int32_t c) {
    if (c < 0x80)
        return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t jj_at_cp(const jstr *s, size_t i_cp) {
    if (s->cps == s->n)
        return i_cp;
    if (i_cp >= s->cps)
        return s->n;
    size_t i = 0;
    for (; i_cp; i_cp--)
        do
            i++;
        while (i < s->n && ((unsigned char)s->p[i] & 0xC0) == 0x80);
    return i;
}

str jj_text(jval v) { return (str){v.u.s->p, v.u.s->n}; }

static err_code new_str(jrun *r, str s, size_t cps, jgrow *own, jval *out) {
    jstr *t;
    TRY(jj_alloc(r, 1, sizeof *t, &t));
    *t = (jstr){.p = s.p ? s.p : "", .n = s.n, .cps = cps, .own = own};
    *out = (jval){.kind = JK_STR, .u.s = t};
    return ERR_OK;
}

err_code jj_str_of(jrun *r, str s, jval *out) {
    TRY(jj_charge(r, s.n / 64));
    return new_str(r, s, jj_cps(s), NULL, out);
}

err_code jj_str_copy(jrun *r, str s, jval *out) {
    char *p;
    TRY(jj_alloc(r, s.n, 1, &p));
    if (s.n)
        memcpy(p, s.p, s.n);
    return new_str(r, (str){p, s.n}, jj_cps((str){p, s.n}), NULL, out);
}

err_code jj_str_take(jrun *r, size_t from, jval *out) {
    err_code code = jj_str_copy(r, (str){r->out.p ? r->out.p + from : "", r->out.n - from}, out);
    r->out.n = from;
    return code;
}

/* a ~ b: where a is the newest text in a buffer with room, b is put behind it. Earlier strings
 * in that buffer keep their own lengths and so never see it. */
err_code jj_concat(jrun *r, jval a, jval b, jval *out) {
    const jstr *s = a.u.s, *t = b.u.s;
    if (t->n == 0 || s->n == 0) {
        *out = t->n == 0 ? a : b;
        out->sub = 0;
        return ERR_OK;
    }
    jgrow *g = s->own;
    if (!g || g->used != s->n || g->cap - g->used < t->n) {
        size_t cap = s->n + t->n;
        bool again = g != NULL; /* the second time around: expect more */
        TRY(jj_alloc(r, 1, sizeof *g, &g));
        g->cap = again ? cap * 2 : cap + 16;
        TRY(jj_alloc(r, g->cap, 1, &g->p));
        memcpy(g->p, s->p, s->n);
        g->used = s->n;
    } else {
        TRY(jj_charge(r, t->n / 64));
    }
    memcpy(g->p + g->used, t->p, t->n);
    g->used += t->n;
    return new_str(r, (str){g->p, g->used}, s->cps + t->cps, g, out);
}

/* ---- sequences and dicts ---- */

static int depth_of(jval v) {
    switch (v.kind) {
    case JK_LIST:
    case JK_TUPLE:
        return v.u.seq->depth;
    case JK_GEN:
        return v.u.gen->depth;
    case JK_DICT:
    case JK_VIEW:
        return v.u.d->depth;
    case JK_METHOD:
        return 1; /* holds a value, but nothing walks through a method */
    default:
        return 0;
    }
}

static err_code too_deep(jrun *r) {
    return jj_fail(r, ERR_LIMIT, "values nest deeper than %d", r->t->limits.depth_max);
}

err_code jj_seq_new(jrun *r, jkind kind, size_t n, jval *out, jval **items) {
    jseq *q;
    TRY(jj_charge(r, n));
    TRY(jj_alloc(r, 1, sizeof *q, &q));
    TRY(jj_alloc(r, n, sizeof(jval), &q->v));
    q->n = n;
    *items = q->v;
    *out = (jval){.kind = (uint8_t)kind, .u.seq = q};
    return ERR_OK;
}

static err_code measure(jrun *r, jseq *q) {
    q->depth = 0;
    for (size_t i = 0; i < q->n; i++) {
        int d = depth_of(q->v[i]);
        q->depth = d > q->depth ? d : q->depth;
    }
    return ++q->depth > r->t->limits.depth_max ? too_deep(r) : ERR_OK;
}

err_code jj_seq_done(jrun *r, jval v) {
    jseq *q = (jseq *)(uintptr_t)v.u.seq; /* ours until now */
    return measure(r, q);
}

err_code jj_gen_new(jrun *r, jval *items, size_t n, jval *out) {
    jseq *q;
    TRY(jj_alloc(r, 1, sizeof *q, &q));
    *q = (jseq){.v = items, .n = n};
    *out = (jval){.kind = JK_GEN, .u.gen = q};
    return measure(r, q);
}

err_code jj_dict_new(jrun *r, size_t cap, jval *out) {
    jdict *d;
    TRY(jj_alloc(r, 1, sizeof *d, &d));
    TRY(jj_alloc(r, cap, sizeof(jval), &d->k));
    TRY(jj_alloc(r, cap, sizeof(jval), &d->v));
    d->cap = cap;
    d->depth = 1;
    *out = (jval){.kind = JK_DICT, .u.d = d};
    return ERR_OK;
}

static uint64_t mix(uint64_t h) {
    h = (h ^ h >> 31) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

/* Numbers that are equal hash alike, whatever their type. Error for what Python cannot hash. */
static err_code hash(jrun *r, jval k, uint64_t *h) {
    switch (k.kind) {
    case JK_NONE:
    case JK_UNDEFINED:
        *h = mix(k.kind);
        return ERR_OK;
    case JK_BOOL:
        *h = mix(k.u.b + 17u);
        return ERR_OK;
    case JK_INT:
        *h = mix((uint64_t)k.u.i + 17u);
        return ERR_OK;
    case JK_FLOAT: {
        bool whole = k.u.f >= -9.2e18 && k.u.f <= 9.2e18 && floor(k.u.f) == k.u.f;
        uint64_t bits;
        memcpy(&bits, &k.u.f, sizeof bits);
        *h = whole ? mix((uint64_t)(int64_t)k.u.f + 17u) : mix(bits);
        return ERR_OK;
    }
    case JK_STR:
        TRY(jj_charge(r, k.u.s->n / 64));
        *h = str_hash(jj_text(k));
        return ERR_OK;
    case JK_TUPLE:
        *h = 99;
        for (size_t i = 0; i < k.u.seq->n; i++) {
            uint64_t one;
            TRY(jj_charge(r, 1));
            TRY(hash(r, k.u.seq->v[i], &one));
            *h = mix(*h + one);
        }
        return ERR_OK;
    default:
        return jj_fail(r, ERR_FORMAT, "unhashable type: '%s'", jj_kind_name(k));
    }
}

static err_code find(jrun *r, const jdict *d, jval key, size_t *at) {
    *at = SIZE_MAX;
    bool yes;
    if (!d->slot) {
        uint64_t h;
        if (key.kind != JK_STR)
            TRY(hash(r, key, &h)); /* for its error */
        for (size_t i = 0; i < d->n; i++) {
            if (key.kind == JK_STR) {
                if (d->k[i].kind == JK_STR && str_eq(jj_text(d->k[i]), jj_text(key))) {
                    *at = i;
                    return ERR_OK;
                }
                continue;
            }
            TRY(jj_equal(r, d->k[i], key, &yes));
            if (yes) {
                *at = i;
                return ERR_OK;
            }
        }
        return ERR_OK;
    }
    uint64_t h;
    TRY(hash(r, key, &h));
    for (size_t s = h & (d->n_slots - 1); d->slot[s]; s = (s + 1) & (d->n_slots - 1)) {
        TRY(jj_charge(r, 1)); /* keys chosen to collide pay for it */
        TRY(jj_equal(r, d->k[d->slot[s] - 1], key, &yes));
        if (yes) {
            *at = d->slot[s] - 1;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static err_code index_key(jrun *r, jdict *d, size_t i) {
    uint64_t h;
    TRY(hash(r, d->k[i], &h));
    size_t s = h & (d->n_slots - 1);
    while (d->slot[s]) {
        TRY(jj_charge(r, 1));
        s = (s + 1) & (d->n_slots - 1);
    }
    d->slot[s] = (uint32_t)i + 1;
    return ERR_OK;
}

static err_code grow(jrun *r, jdict *d) {
    size_t cap = d->cap ? d->cap * 2 : 4;
    if (cap > UINT32_MAX / 4)
        return jj_fail(r, ERR_LIMIT, "a dict with more than %zu keys", d->cap);
    jval *k, *v;
    TRY(jj_alloc(r, cap, sizeof *k, &k));
    TRY(jj_alloc(r, cap, sizeof *v, &v));
    if (d->n) {
        memcpy(k, d->k, d->n * sizeof *k);
        memcpy(v, d->v, d->n * sizeof *v);
    }
    d->k = k;
    d->v = v;
    d->cap = cap;
    return ERR_OK;
}

err_code jj_dict_put(jrun *r, jdict *d, jval key, jval val) {
    size_t at;
    TRY(jj_charge(r, 1));
    TRY(find(r, d, key, &at));
    int depth = depth_of(val) >= depth_of(key) ? depth_of(val) : depth_of(key);
    d->depth = depth + 1 > d->depth ? depth + 1 : d->depth;
    if (d->depth > r->t->limits.depth_max)
        return too_deep(r);
    if (at != SIZE_MAX) {
        d->v[at] = val;
        return ERR_OK;
    }
    if (d->n == d->cap)
        TRY(grow(r, d));
    d->k[d->n] = key;
    d->v[d->n] = val;
    d->n++;
    if (d->slot && d->n * 2 <= d->n_slots)
        return index_key(r, d, d->n - 1);
    if (d->n < INDEX_FROM)
        return ERR_OK;
    d->n_slots = 32;
    while (d->n_slots < d->n * 4)
        d->n_slots *= 2;
    TRY(jj_alloc(r, d->n_slots, sizeof *d->slot, &d->slot));
    for (size_t i = 0; i < d->n; i++)
        TRY(index_key(r, d, i));
    return ERR_OK;
}

err_code jj_dict_get(jrun *r, const jdict *d, jval key, const jval **val) {
    size_t at;
    TRY(find(r, d, key, &at));
    *val = at == SIZE_MAX ? NULL : &d->v[at];
    return ERR_OK;
}

const jval *jj_dict_find(const jdict *d, str key) {
    if (!d->slot) {
        for (size_t i = 0; i < d->n; i++)
            if (d->k[i].kind == JK_STR && str_eq(jj_text(d->k[i]), key))
                return &d->v[i];
        return NULL;
    }
    for (size_t s = str_hash(key) & (d->n_slots - 1); d->slot[s]; s = (s + 1) & (d->n_slots - 1)) {
        jval k = d->k[d->slot[s] - 1];
        if (k.kind == JK_STR && str_eq(jj_text(k), key))
            return &d->v[d->slot[s] - 1];
    }
    return NULL;
}

err_code jj_from_json(jrun *r, const json_t *j, int depth, jval *out) {
    if (depth > r->t->limits.depth_max)
        return too_deep(r);
    TRY(jj_charge(r, 1));
    switch (json_typeof(j)) {
    case JSON_NULL:
        *out = JV_NONE;
        return ERR_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = JV_BOOL(json_is_true(j));
        return ERR_OK;
    case JSON_INTEGER:
        *out = JV_INT(json_integer_value(j));
        return ERR_OK;
    case JSON_REAL:
        *out = JV_FLOAT(json_real_value(j));
        return ERR_OK;
    case JSON_STRING:
        return jj_str_of(r, (str){json_string_value(j), json_string_length(j)}, out);
    case JSON_ARRAY: {
        jval *items;
        size_t n = json_array_size(j);
        TRY(jj_seq_new(r, JK_LIST, n, out, &items));
        for (size_t i = 0; i < n; i++)
            TRY(jj_from_json(r, json_array_get(j, i), depth + 1, &items[i]));
        return jj_seq_done(r, *out);
    }
    case JSON_OBJECT:
        break;
    }
    json_t *obj = (json_t *)(uintptr_t)j; /* jansson's iterators take no const */
    TRY(jj_dict_new(r, json_object_size(obj), out));
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) {
        jval k, v;
        TRY(jj_str_of(r, (str){json_object_iter_key(it), json_object_iter_key_len(it)}, &k));
        TRY(jj_from_json(r, json_object_iter_value(it), depth + 1, &v));
        TRY(jj_dict_put(r, out->u.d, k, v));
    }
    return ERR_OK;
}

/* ---- truth, equality, order ---- */

bool jj_truthy(jval v) {
    switch (v.kind) {
    case JK_MISSING:
    case JK_UNDEFINED:
    case JK_NONE:
        return false;
    case JK_BOOL:
        return v.u.b;
    case JK_INT:
        return v.u.i != 0;
    case JK_FLOAT:
        return v.u.f != 0.0;
    case JK_STR:
        return v.u.s->n > 0;
    case JK_LIST:
    case JK_TUPLE:
        return v.u.seq->n > 0;
    case JK_DICT:
    case JK_VIEW:
        return v.u.d->n > 0;
    case JK_RANGE:
        return v.u.r->n > 0;
    default:
        return true; /* a generator too, even an empty one */
    }
}

static bool is_number(jval v) { return v.kind == JK_BOOL || v.kind == JK_INT || v.kind == JK_FLOAT; }
static int64_t int_of(jval v) { return v.kind == JK_BOOL ? v.u.b : v.u.i; }

/* Exact order of an integer and a float; 2 when f is NaN. */
static int cmp_int_float(int64_t i, double f) {
    if (f != f)
        return 2;
    if (f >= 9223372036854775808.0)
        return -1;
    if (f < -9223372036854775808.0)
        return 1;
    double whole = floor(f);
    int64_t w = (int64_t)whole;
    return i < w ? -1 : i > w ? 1 : f > whole ? -1 : 0;
}

static int cmp_numbers(jval a, jval b) {
    if (a.kind != JK_FLOAT && b.kind != JK_FLOAT)
        return (int_of(a) > int_of(b)) - (int_of(a) < int_of(b));
    if (a.kind == JK_FLOAT && b.kind == JK_FLOAT)
        return a.u.f != a.u.f || b.u.f != b.u.f ? 2 : (a.u.f > b.u.f) - (a.u.f < b.u.f);
    if (a.kind == JK_FLOAT) {
        int c = cmp_int_float(int_of(b), a.u.f);
        return c == 2 ? 2 : -c;
    }
    return cmp_int_float(int_of(a), b.u.f);
}

static err_code equal_dicts(jrun *r, const jdict *a, const jdict *b, bool *yes) {
    *yes = a->n == b->n;
    for (size_t i = 0; *yes && i < a->n; i++) {
        const jval *other;
        TRY(jj_charge(r, 1));
        TRY(jj_dict_get(r, b, a->k[i], &other));
        *yes = other != NULL;
        if (other)
            TRY(jj_equal(r, a->v[i], *other, yes));
    }
    return ERR_OK;
}

err_code jj_equal(jrun *r, jval a, jval b, bool *yes) {
    *yes = false;
    if (is_number(a) && is_number(b)) {
        *yes = cmp_numbers(a, b) == 0;
        return ERR_OK;
    }
    if (a.kind != b.kind)
        return ERR_OK;
    switch (a.kind) {
    case JK_NONE:
    case JK_UNDEFINED:
        *yes = true;
        return ERR_OK;
    case JK_STR:
        if (a.u.s->n == b.u.s->n)
            TRY(jj_charge(r, a.u.s->n / 64));
        *yes = str_eq(jj_text(a), jj_text(b));
        return ERR_OK;
    case JK_LIST:
    case JK_TUPLE:
        *yes = a.u.seq->n == b.u.seq->n;
        for (size_t i = 0; *yes && a.u.seq != b.u.seq && i < a.u.seq->n; i++) {
            TRY(jj_charge(r, 1));
            TRY(jj_equal(r, a.u.seq->v[i], b.u.seq->v[i], yes));
        }
        return ERR_OK;
    case JK_DICT:
        *yes = a.u.d == b.u.d;
        return *yes ? ERR_OK : equal_dicts(r, a.u.d, b.u.d, yes);
    case JK_RANGE: {
        const jrange *s = a.u.r, *t = b.u.r;
        *yes = s->n == t->n && (s->n == 0 || (s->start == t->start && (s->n == 1 || s->step == t->step)));
        return ERR_OK;
    }
    case JK_VIEW:
        if (a.u.d != b.u.d || a.sub != b.sub)
            return jj_fail(r, ERR_UNSUPPORTED, "comparison of two dict views (use |list)");
        *yes = a.sub != JVIEW_VALUES;
        return ERR_OK;
    case JK_FUNC:
        *yes = a.sub == b.sub;
        return ERR_OK;
    default:
        *yes = a.u.p == b.u.p;
        return ERR_OK;
    }
}

static err_code unordered(jrun *r, jval a, jval b, jop op) {
    static const char *const names[] = {[JOP_LT] = "<", [JOP_LE] = "<=", [JOP_GT] = ">", [JOP_GE] = ">="};
    return jj_fail(r, ERR_FORMAT, "'%s' not supported between '%s' and '%s'", names[op], jj_kind_name(a),
                   jj_kind_name(b));
}

err_code jj_compare(jrun *r, jval a, jval b, jop op, int *sign) {
    if (is_number(a) && is_number(b)) {
        *sign = cmp_numbers(a, b);
        return ERR_OK;
    }
    if (a.kind == JK_STR && b.kind == JK_STR) {
        TRY(jj_charge(r, a.u.s->n / 64));
        int c = str_cmp(jj_text(a), jj_text(b)); /* UTF-8 sorts by code point */
        *sign = (c > 0) - (c < 0);
        return ERR_OK;
    }
    if (a.kind != b.kind || (a.kind != JK_LIST && a.kind != JK_TUPLE))
        return unordered(r, a, b, op);
    for (size_t i = 0; i < a.u.seq->n && i < b.u.seq->n; i++) {
        bool same;
        TRY(jj_charge(r, 1));
        TRY(jj_equal(r, a.u.seq->v[i], b.u.seq->v[i], &same));
        if (!same)
            return jj_compare(r, a.u.seq->v[i], b.u.seq->v[i], op, sign);
    }
    *sign = (a.u.seq->n > b.u.seq->n) - (a.u.seq->n < b.u.seq->n);
    return ERR_OK;
}

/* ---- length and walking ---- */

err_code jj_len(jrun *r, jval v, size_t *n) {
    switch (v.kind) {
    case JK_UNDEFINED:
        *n = 0;
        return ERR_OK;
    case JK_STR:
        *n = v.u.s->cps;
        return ERR_OK;
    case JK_LIST:
    case JK_TUPLE:
        *n = v.u.seq->n;
        return ERR_OK;
    case JK_DICT:
    case JK_VIEW:
        *n = v.u.d->n;
        return ERR_OK;
    case JK_RANGE:
        *n = v.u.r->n;
        return ERR_OK;
    default:
        return jj_fail(r, ERR_FORMAT, "object of type '%s' has no len()", jj_kind_name(v));
    }
}

bool jj_iterable(jval v) {
    return v.kind == JK_UNDEFINED || v.kind == JK_STR || v.kind == JK_LIST || v.kind == JK_TUPLE || v.kind == JK_DICT ||
           v.kind == JK_VIEW || v.kind == JK_RANGE || v.kind == JK_GEN || v.kind == JK_LOOP;
}

static err_code walk_str(jrun *r, jval v, jval *at) {
    str s = jj_text(v);
    for (size_t i = 0; i < s.n; at++) {
        size_t from = i++;
        while (i < s.n && ((unsigned char)s.p[i] & 0xC0) == 0x80)
            i++;
        TRY(new_str(r, (str){s.p + from, i - from}, 1, NULL, at));
    }
    return ERR_OK;
}

static err_code walk_view(jrun *r, jval v, jval *at) {
    for (size_t i = 0; i < v.u.d->n; i++) {
        jval *pair;
        if (v.sub != JVIEW_ITEMS) {
            at[i] = v.sub == JVIEW_KEYS ? v.u.d->k[i] : v.u.d->v[i];
            continue;
        }
        TRY(jj_seq_new(r, JK_TUPLE, 2, &at[i], &pair));
        pair[0] = v.u.d->k[i];
        pair[1] = v.u.d->v[i];
        TRY(jj_seq_done(r, at[i]));
    }
    return ERR_OK;
}

err_code jj_items(jrun *r, jval v, jval **items, size_t *n) {
    if (v.kind == JK_LIST || v.kind == JK_TUPLE) {
        *items = v.u.seq->v;
        *n = v.u.seq->n;
        return ERR_OK;
    }
    if (v.kind == JK_GEN) {
        *items = v.u.gen->v;
        *n = v.u.gen->n;
        v.u.gen->n = 0;
        return ERR_OK;
    }
    if (!jj_iterable(v) || v.kind == JK_LOOP)
        return jj_fail(r, ERR_FORMAT, "'%s' object is not iterable", jj_kind_name(v));
    TRY(jj_len(r, v, n));
    if (v.kind == JK_DICT) {
        *items = v.u.d->k;
        return ERR_OK;
    }
    TRY(jj_charge(r, *n));
    TRY(jj_alloc(r, *n, sizeof **items, items));
    if (v.kind == JK_STR)
        return walk_str(r, v, *items);
    if (v.kind == JK_VIEW)
        return walk_view(r, v, *items);
    for (size_t i = 0; i < *n; i++)
        (*items)[i] = JV_INT(v.u.r->start + (int64_t)i * v.u.r->step);
    return ERR_OK;
}
