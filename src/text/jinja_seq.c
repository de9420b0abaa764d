/* jinja_seq: filters that walk sequences.
 *
 * What is a generator in Jinja2 (map, select, batch, ...) is worked out at once here, but stays
 * a value that can be walked only once, is always true and has no length.
 */
#include "text/jinja_int.h"

#include <string.h>

static err_code f_list(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    jval *items, *copy;
    size_t n;
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_seq_new(r, JK_LIST, n, out, &copy));
    if (n)
        memcpy(copy, items, n * sizeof *copy);
    return jj_seq_done(r, *out);
}

static err_code f_first(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    jval *items;
    size_t n;
    if (in.kind == JK_STR)
        return jj_item(r, in, JV_INT(0), out);
    TRY(jj_items(r, in, &items, &n));
    *out = n ? items[0] : JV_UNDEFINED;
    if (in.kind == JK_GEN && n) { /* only one was taken */
        in.u.gen->v = items + 1;
        in.u.gen->n = n - 1;
    }
    return ERR_OK;
}

static err_code f_last(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    jval *items;
    size_t n;
    if (in.kind == JK_GEN)
        return jj_fail(r, ERR_FORMAT, "last of a generator (use |list first)");
    TRY(jj_items(r, in, &items, &n));
    *out = n ? items[n - 1] : JV_UNDEFINED;
    return ERR_OK;
}

static err_code f_items(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    jval *items = NULL;
    size_t n = 0;
    if (in.kind != JK_DICT && in.kind != JK_UNDEFINED)
        return jj_fail(r, ERR_FORMAT, "items wants a mapping, not '%s'", jj_kind_name(in));
    if (in.kind == JK_DICT)
        TRY(jj_items(r, (jval){.kind = JK_VIEW, .sub = JVIEW_ITEMS, .u.d = in.u.d}, &items, &n));
    return jj_gen_new(r, items, n, out);
}

static err_code f_reverse(jrun *r, jval in, const jgiven *g, jval *out) {
    (void)g;
    jval *items, *copy;
    size_t n;
    if (in.kind == JK_STR)
        return jj_slice(r, in, (jval){0}, (jval){0}, JV_INT(-1), out);
    if (in.kind == JK_UNDEFINED)
        return jj_fail(r, ERR_UNSUPPORTED, "reverse of something undefined");
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_charge(r, n));
    TRY(jj_alloc(r, n, sizeof *copy, &copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = items[n - 1 - i];
    if (in.kind != JK_GEN)
        return jj_gen_new(r, copy, n, out);
    jval *list;
    TRY(jj_seq_new(r, JK_LIST, n, out, &list));
    if (n)
        memcpy(list, copy, n * sizeof *list);
    return jj_seq_done(r, *out);
}

/* The value to compare by: the attribute, lower-cased when it is a string and case does not count. */
static err_code key_of(jrun *r, jval item, jval attribute, jval otherwise, bool case_sensitive, jval *out) {
    *out = item;
    if (attribute.kind != JK_MISSING && attribute.kind != JK_NONE) {
        TRY(jj_path(r, item, attribute, out));
        if (out->kind == JK_UNDEFINED && otherwise.kind != JK_MISSING && otherwise.kind != JK_NONE)
            *out = otherwise;
    }
    if (!case_sensitive && out->kind == JK_STR)
        return jj_case(r, jj_text(*out), JCASE_LOWER, out);
    return ERR_OK;
}

/* Sort keys: with "a,b" a list of both. */
static err_code sort_key(jrun *r, jval item, jval attribute, bool case_sensitive, jval *out) {
    if (attribute.kind != JK_STR || str_find(jj_text(attribute), STR(","), 0) < 0)
        return key_of(r, item, attribute, (jval){0}, case_sensitive, out);
    str s = jj_text(attribute);
    jval part[16], *items;
    size_t n = 0;
    for (size_t from = 0; from <= s.n;) {
        ptrdiff_t comma = str_find(s, STR(","), from);
        size_t to = comma < 0 ? s.n : (size_t)comma;
        if (n == 16)
            return jj_fail(r, ERR_LIMIT, "more than 16 attributes to sort by");
        jval name;
        TRY(jj_str_of(r, str_sub(s, from, to), &name));
        TRY(key_of(r, item, name, (jval){0}, case_sensitive, &part[n++]));
        from = to + 1;
    }
    TRY(jj_seq_new(r, JK_LIST, n, out, &items));
    memcpy(items, part, n * sizeof *items);
    return jj_seq_done(r, *out);
}

/* Stable merge sort of idx by keys, bottom up; `tmp` has the same size. */
static err_code merge_sort(jrun *r, const jval *key, size_t *idx, size_t *tmp, size_t n, bool reverse) {
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            size_t a = lo, b = mid;
            for (size_t k = lo; k < hi; k++) {
                int sign = 0;
                if (a < mid && b < hi) {
                    TRY(jj_charge(r, 1));
                    TRY(jj_compare(r, key[idx[b]], key[idx[a]], JOP_LT, &sign));
                    sign = sign == 2 ? 0 : reverse ? -sign : sign;
                }
                bool take_b = a >= mid || (b < hi && sign < 0);
                tmp[k] = take_b ? idx[b++] : idx[a++];
            }
        }
        memcpy(idx, tmp, n * sizeof *idx);
    }
    return ERR_OK;
}

static err_code sort_by(jrun *r, const jval *items, const jval *key, size_t n, bool reverse, jval *sorted) {
    size_t *idx, *tmp;
    TRY(jj_alloc(r, n, sizeof *idx, &idx));
    TRY(jj_alloc(r, n, sizeof *tmp, &tmp));
    for (size_t i = 0; i < n; i++)
        idx[i] = i;
    TRY(merge_sort(r, key, idx, tmp, n, reverse));
    for (size_t i = 0; i < n; i++)
        sorted[i] = items[idx[i]];
    return ERR_OK;
}

static err_code f_sort(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *key, *sorted;
    size_t n;
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_alloc(r, n, sizeof *key, &key));
    for (size_t i = 0; i < n; i++)
        TRY(sort_key(r, items[i], g->v[2], jj_truthy(g->v[1]), &key[i]));
    TRY(jj_seq_new(r, JK_LIST, n, out, &sorted));
    TRY(sort_by(r, items, key, n, jj_truthy(g->v[0]), sorted));
    return jj_seq_done(r, *out);
}

static err_code f_dictsort(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *key, *sorted;
    size_t n;
    if (in.kind != JK_DICT)
        return jj_fail(r, ERR_FORMAT, "dictsort wants a mapping, not '%s'", jj_kind_name(in));
    str by = g->v[1].kind == JK_STR ? jj_text(g->v[1]) : STR("key");
    if (!str_is(by, "key") && !str_is(by, "value"))
        return jj_fail(r, ERR_FORMAT, "dictsort sorts by 'key' or 'value'");
    TRY(jj_items(r, (jval){.kind = JK_VIEW, .sub = JVIEW_ITEMS, .u.d = in.u.d}, &items, &n));
    TRY(jj_alloc(r, n, sizeof *key, &key));
    for (size_t i = 0; i < n; i++)
        TRY(key_of(r, items[i].u.seq->v[str_is(by, "value")], (jval){0}, (jval){0}, jj_truthy(g->v[0]), &key[i]));
    TRY(jj_seq_new(r, JK_LIST, n, out, &sorted));
    TRY(sort_by(r, items, key, n, jj_truthy(g->v[2]), sorted));
    return jj_seq_done(r, *out);
}

static err_code extreme(jrun *r, jval in, const jgiven *g, int want, jval *out) {
    jval *items, best = {0}, key;
    size_t n;
    TRY(jj_items(r, in, &items, &n));
    *out = JV_UNDEFINED;
    for (size_t i = 0; i < n; i++) {
        int sign = want;
        TRY(jj_charge(r, 1));
        TRY(key_of(r, items[i], g->v[1], (jval){0}, jj_truthy(g->v[0]), &key));
        if (i)
            TRY(jj_compare(r, key, best, want < 0 ? JOP_LT : JOP_GT, &sign));
        if (sign == want) {
            best = key;
            *out = items[i];
        }
    }
    return ERR_OK;
}

static err_code f_min(jrun *r, jval in, const jgiven *g, jval *out) { return extreme(r, in, g, -1, out); }
static err_code f_max(jrun *r, jval in, const jgiven *g, jval *out) { return extreme(r, in, g, 1, out); }

static err_code f_unique(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *kept, seen, key;
    size_t n, n_kept = 0;
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_alloc(r, n, sizeof *kept, &kept));
    TRY(jj_dict_new(r, 0, &seen));
    for (size_t i = 0; i < n; i++) {
        const jval *hit;
        TRY(key_of(r, items[i], g->v[1], (jval){0}, jj_truthy(g->v[0]), &key));
        TRY(jj_dict_get(r, seen.u.d, key, &hit));
        if (hit)
            continue;
        TRY(jj_dict_put(r, seen.u.d, key, JV_NONE));
        kept[n_kept++] = items[i];
    }
    return jj_gen_new(r, kept, n_kept, out);
}

static err_code list_of(jrun *r, const jval *v, size_t n, jval *out) {
    jval *items;
    TRY(jj_seq_new(r, JK_LIST, n, out, &items));
    if (n)
        memcpy(items, v, n * sizeof *items);
    return jj_seq_done(r, *out);
}

static err_code f_groupby(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *key, *pair, *groups, keyed;
    size_t n, n_groups = 0;
    bool sensitive = jj_truthy(g->v[2]);
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_seq_new(r, JK_LIST, n, &keyed, &pair));
    TRY(jj_alloc(r, n, sizeof *key, &key));
    TRY(jj_alloc(r, n, sizeof *groups, &groups));
    for (size_t i = 0; i < n; i++) {
        jval *two;
        TRY(key_of(r, items[i], g->v[0], g->v[1], sensitive, &key[i]));
        TRY(jj_seq_new(r, JK_TUPLE, 2, &pair[i], &two));
        two[0] = key[i];
        two[1] = items[i];
    }
    jval *sorted, *run;
    TRY(jj_alloc(r, n, sizeof *sorted, &sorted));
    TRY(jj_alloc(r, n, sizeof *run, &run));
    TRY(sort_by(r, pair, key, n, false, sorted));
    for (size_t i = 0, j; i < n; i = j) {
        bool same = true;
        for (j = i; j < n && same; j += same) {
            run[j - i] = sorted[j].u.seq->v[1];
            if (j > i)
                TRY(jj_equal(r, sorted[i].u.seq->v[0], sorted[j].u.seq->v[0], &same));
        }
        jval *two;
        TRY(jj_seq_new(r, JK_TUPLE, 2, &groups[n_groups], &two));
        TRY(key_of(r, run[0], g->v[0], g->v[1], true, &two[0])); /* as it is written in the first */
        TRY(list_of(r, run, j - i, &two[1]));
        TRY(jj_seq_done(r, groups[n_groups++]));
    }
    return list_of(r, groups, n_groups, out);
}

static err_code f_join(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *text, sep;
    size_t n;
    TRY(jj_items(r, in, &items, &n));
    TRY(jj_alloc(r, n, sizeof *text, &text));
    for (size_t i = 0; i < n; i++) {
        text[i] = items[i];
        if (g->v[1].kind != JK_MISSING && g->v[1].kind != JK_NONE)
            TRY(jj_path(r, items[i], g->v[1], &text[i]));
        TRY(jj_charge(r, 1));
        TRY(jj_to_str(r, text[i], &text[i]));
    }
    TRY(jj_to_str(r, g->v[0].kind == JK_MISSING ? JV_UNDEFINED : g->v[0], &sep));
    return jj_join(r, jj_text(sep), text, n, true, out);
}

static err_code f_sum(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items;
    size_t n;
    *out = g->v[1].kind == JK_MISSING ? JV_INT(0) : g->v[1];
    if (out->kind == JK_STR)
        return jj_fail(r, ERR_FORMAT, "sum cannot add strings (use |join)");
    TRY(jj_items(r, in, &items, &n));
    for (size_t i = 0; i < n; i++) {
        jval v = items[i];
        if (g->v[0].kind != JK_MISSING && g->v[0].kind != JK_NONE)
            TRY(jj_path(r, items[i], g->v[0], &v));
        TRY(jj_charge(r, 1));
        TRY(jj_arith(r, JOP_ADD, *out, v, out));
    }
    return ERR_OK;
}

static err_code f_batch(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *rows;
    size_t n, n_rows = 0;
    int64_t width;
    TRY(jj_want_int(r, g->v[0], 0, &width));
    TRY(jj_items(r, in, &items, &n));
    if (width < 1)
        return jj_fail(r, ERR_UNSUPPORTED, "batch by less than 1");
    TRY(jj_alloc(r, n, sizeof *rows, &rows));
    bool fill = g->v[1].kind != JK_MISSING && g->v[1].kind != JK_NONE;
    for (size_t i = 0; i < n;) {
        size_t here = n - i < (uint64_t)width ? n - i : (size_t)width, size = fill ? (size_t)width : here;
        jval *row;
        TRY(jj_seq_new(r, JK_LIST, size, &rows[n_rows], &row));
        for (size_t k = 0; k < size; k++)
            row[k] = k < here ? items[i + k] : g->v[1];
        TRY(jj_seq_done(r, rows[n_rows++]));
        i += here;
    }
    return jj_gen_new(r, rows, n_rows, out);
}

static err_code f_slice(jrun *r, jval in, const jgiven *g, jval *out) {
    jval *items, *rows;
    size_t n, at = 0;
    int64_t count;
    TRY(jj_want_int(r, g->v[0], 0, &count));
    TRY(jj_items(r, in, &items, &n));
    if (count < 1)
        return jj_fail(r, ERR_FORMAT, "slice into less than 1");
    TRY(jj_charge(r, (size_t)count));
    TRY(jj_alloc(r, (size_t)count, sizeof *rows, &rows));
    bool fill = g->v[1].kind != JK_MISSING && g->v[1].kind != JK_NONE;
    size_t each = n / (size_t)count, extra = n % (size_t)count;
    for (size_t k = 0; k < (size_t)count; k++) {
        size_t here = each + (k < extra), size = here + (fill && k >= extra);
        jval *row;
        TRY(jj_seq_new(r, JK_LIST, size, &rows[k], &row));
        for (size_t i = 0; i < size; i++)
            row[i] = i < here ? items[at + i] : g->v[1];
        TRY(jj_seq_done(r, rows[k]));
        at += here;
    }
    return jj_gen_new(r, rows, (size_t)count, out);
}

static err_code f_map(jrun *r, jval in, const jgiven *g, jval *out) {
    const jargs *a = g->raw;
    jval *items = NULL, *made, attribute = {0}, otherwise = {0};
    size_t n = 0;
    if (jj_truthy(in)) /* whatever is false gives nothing, as there */
        TRY(jj_items(r, in, &items, &n));
    const jfilter *f = NULL;
    jargs rest = {0};
    if (a->n_pos) {
        if (a->pos[0].kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "map wants the name of a filter");
        str name = jj_text(a->pos[0]);
        f = jj_filter_find(name);
        if (!f)
            return jj_fail(r, ERR_UNSUPPORTED, "no filter named '%.*s'", STR_ARG(name));
        rest = (jargs){.pos = a->pos + 1, .n_pos = a->n_pos - 1, .key = a->key, .val = a->val, .n_kw = a->n_kw};
    }
    for (int i = 0; !f && i < a->n_kw; i++) {
        if (str_is(a->key[i], "attribute"))
            attribute = a->val[i];
        else if (str_is(a->key[i], "default"))
            otherwise = a->val[i];
        else
            return jj_fail(r, ERR_FORMAT, "map: unexpected argument '%.*s'", STR_ARG(a->key[i]));
    }
    if (!f && attribute.kind == JK_MISSING)
        return jj_fail(r, ERR_FORMAT, "map wants a filter or attribute=");
    TRY(jj_alloc(r, n, sizeof *made, &made));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_charge(r, 1));
        if (f)
            TRY(jj_call_filter(r, f, items[i], &rest, &made[i]));
        else
            TRY(key_of(r, items[i], attribute, otherwise, true, &made[i]));
    }
    return jj_gen_new(r, made, n, out);
}

static err_code choose(jrun *r, jval in, const jgiven *g, bool by_attr, bool want, jval *out) {
    const jargs *a = g->raw;
    jval *items = NULL, *kept;
    size_t n = 0, n_kept = 0;
    if (jj_truthy(in)) /* whatever is false gives nothing, as there */
        TRY(jj_items(r, in, &items, &n));
    if (by_attr && !a->n_pos)
        return jj_fail(r, ERR_FORMAT, "the name of an attribute is missing");
    int off = by_attr;
    const jfilter *test = NULL;
    jargs rest = {.key = a->key, .val = a->val, .n_kw = a->n_kw};
    if (a->n_pos > off) {
        if (a->pos[off].kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "the name of a test must be a string");
        str name = jj_text(a->pos[off]);
        test = jj_test_find(name);
        if (!test)
            return jj_fail(r, ERR_UNSUPPORTED, "no test named '%.*s'", STR_ARG(name));
        rest.pos = a->pos + off + 1;
        rest.n_pos = a->n_pos - off - 1;
    }
    TRY(jj_alloc(r, n, sizeof *kept, &kept));
    for (size_t i = 0; i < n; i++) {
        jval v = items[i];
        TRY(jj_charge(r, 1));
        if (by_attr)
            TRY(jj_path(r, v, a->pos[0], &v));
        if (test)
            TRY(jj_call_filter(r, test, v, &rest, &v));
        if (jj_truthy(v) == want)
            kept[n_kept++] = items[i];
    }
    return jj_gen_new(r, kept, n_kept, out);
}

static err_code f_select(jrun *r, jval in, const jgiven *g, jval *out) { return choose(r, in, g, false, true, out); }
static err_code f_reject(jrun *r, jval in, const jgiven *g, jval *out) { return choose(r, in, g, false, false, out); }
static err_code f_selectattr(jrun *r, jval in, const jgiven *g, jval *out) { return choose(r, in, g, true, true, out); }
static err_code f_rejectattr(jrun *r, jval in, const jgiven *g, jval *out) {
    return choose(r, in, g, true, false, out);
}

static const jfilter table[] = {
    {"batch", "linecount,?fill_with", f_batch},
    {"dictsort", "?case_sensitive,?by,?reverse", f_dictsort},
    {"first", "", f_first},
    {"groupby", "attribute,?default,?case_sensitive", f_groupby},
    {"items", "", f_items},
    {"join", "?d,?attribute", f_join},
    {"last", "", f_last},
    {"list", "", f_list},
    {"map", "*", f_map},
    {"max", "?case_sensitive,?attribute", f_max},
    {"min", "?case_sensitive,?attribute", f_min},
    {"reject", "*", f_reject},
    {"rejectattr", "*", f_rejectattr},
    {"reverse", "", f_reverse},
    {"select", "*", f_select},
    {"selectattr", "*", f_selectattr},
    {"slice", "slices,?fill_with", f_slice},
    {"sort", "?reverse,?case_sensitive,?attribute", f_sort},
    {"sum", "?attribute,?start", f_sum},
    {"unique", "?case_sensitive,?attribute", f_unique},
};

const jfilter *jj_seq_filter_find(str name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(name, table[i].name))
            return &table[i];
    return NULL;
}
