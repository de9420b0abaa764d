/* jinja_eval: walks the nodes.
 *
 * Scopes. The template's own variables are an array by name id. Loop bodies, macros, set,
 * filter, call, with and generation blocks each open a scope chained to the one they were written in;
 * `if` opens none. A name is looked for from the inside out; set writes to the innermost.
 * A macro keeps the scope it was written in, so it sees its variables' latest values.
 *
 * Text goes to the end of one buffer; what a macro or block captures is taken off that end.
 * A failed statement leaves scopes and text as they are: the render ends there.
 */
#include "text/jinja_int.h"

#include <string.h>

enum { DEPTH_PER_LEVEL = 16 }; /* C frames allowed for each level of limits.depth_max */

struct jloop {
    const jnode *node;
    jscope *outer; /* where the iterable stood */
    jscope *test;  /* scope of the inline condition, or NULL */
    jval *items;
    size_t n, next;        /* items not yet looked at: [next, n) */
    size_t index0, length; /* length: SIZE_MAX while unknown */
    jval prev, cur, after; /* after: looked ahead, JK_MISSING when not */
    bool ended;            /* there is nothing after */
    int depth0;
    jval *changed;
    int n_changed;
};

static err_code enter(jrun *r, const jnode *n) {
    r->line = n->line;
    if (++r->depth > r->t->limits.depth_max * DEPTH_PER_LEVEL)
        return jj_fail(r, ERR_LIMIT, "evaluation nests too deeply");
    if (r->steps >= r->t->limits.steps_max)
        return jj_charge(r, 1);
    r->steps++;
    return ERR_OK;
}

/* ---- scopes ---- */

static err_code push_scope(jrun *r, jscope *up) {
    jscope *s = r->spare;
    if (s)
        r->spare = s->up;
    else
        TRY(jj_alloc(r, 1, sizeof *s, &s));
    s->up = up;
    s->n = 0;
    s->captured = false;
    r->scope = s;
    return ERR_OK;
}

static void pop_scope(jrun *r, jscope *back) {
    jscope *s = r->scope;
    r->scope = back;
    if (s && s != back && !s->captured) {
        s->up = r->spare;
        r->spare = s;
    }
}

static void capture_scope(jscope *s) {
    for (; s && !s->captured; s = s->up)
        s->captured = true;
}

static err_code assign(jrun *r, int id, jval v) {
    jscope *s = r->scope;
    if (!s) {
        r->root[id] = v;
        return ERR_OK;
    }
    for (int i = 0; i < s->n; i++)
        if (s->id[i] == id) {
            s->val[i] = v;
            return ERR_OK;
        }
    if (s->n == s->cap) {
        int cap = s->cap ? s->cap * 2 : 4;
        int *ids;
        jval *vals;
        TRY(jj_alloc(r, (size_t)cap, sizeof *ids, &ids));
        TRY(jj_alloc(r, (size_t)cap, sizeof *vals, &vals));
        for (int i = 0; i < s->n; i++) {
            ids[i] = s->id[i];
            vals[i] = s->val[i];
        }
        s->id = ids;
        s->val = vals;
        s->cap = cap;
    }
    s->id[s->n] = id;
    s->val[s->n++] = v;
    return ERR_OK;
}

static err_code look_up(jrun *r, int id, jval *out) {
    for (jscope *s = r->scope; s; s = s->up)
        for (int i = 0; i < s->n; i++)
            if (s->id[i] == id) {
                *out = s->val[i];
                return ERR_OK;
            }
    *out = r->root[id];
    if (out->kind != JK_MISSING)
        return ERR_OK;
    str name = r->t->names[id];
    if (str_is(name, "lipsum") || str_is(name, "self"))
        return jj_fail(r, ERR_UNSUPPORTED, "the global '%.*s'", STR_ARG(name));
    *out = JV_UNDEFINED;
    return ERR_OK;
}

static err_code assign_target(jrun *r, const jnode *t, jval v) {
    if (t->kind == JN_NAME)
        return assign(r, t->name, v);
    if (t->kind == JN_NSREF) {
        jval ns;
        TRY(look_up(r, t->name, &ns));
        if (ns.kind != JK_NS)
            return jj_fail(r, ERR_FORMAT, "cannot assign an attribute of something that is no namespace");
        return jj_dict_put(r, ns.u.ns->d, t->val, v);
    }
    jval *items;
    size_t n;
    TRY(jj_items(r, v, &items, &n));
    if (n != (size_t)t->n_kids)
        return jj_fail(r, ERR_FORMAT, "%zu values to unpack into %d names", n, t->n_kids);
    for (int i = 0; i < t->n_kids; i++)
        TRY(assign_target(r, t->kids[i], items[i]));
    return ERR_OK;
}

/* ---- expressions ---- */

static err_code eval_seq(jrun *r, const jnode *n, jval *out) {
    jval *items;
    TRY(jj_seq_new(r, n->kind == JN_LIST ? JK_LIST : JK_TUPLE, (size_t)n->n_kids, out, &items));
    for (int i = 0; i < n->n_kids; i++)
        TRY(jj_eval(r, n->kids[i], &items[i]));
    return jj_seq_done(r, *out);
}

static err_code eval_dict(jrun *r, const jnode *n, jval *out) {
    jval k, v;
    TRY(jj_dict_new(r, (size_t)n->n_kids / 2, out));
    for (int i = 0; i < n->n_kids; i += 2) {
        TRY(jj_eval(r, n->kids[i], &k));
        TRY(jj_eval(r, n->kids[i + 1], &v));
        TRY(jj_dict_put(r, out->u.d, k, v));
    }
    return ERR_OK;
}

static err_code eval_compare(jrun *r, const jnode *n, jval *out) {
    jval a, b;
    bool yes = true;
    TRY(jj_eval(r, n->kids[0], &a));
    for (int i = 1; yes && i < n->n_kids; i++, a = b) {
        int sign;
        jop op = n->ops[i - 1];
        TRY(jj_eval(r, n->kids[i], &b));
        switch (op) {
        case JOP_EQ:
        case JOP_NE:
            TRY(jj_equal(r, a, b, &yes));
            yes = yes == (op == JOP_EQ);
            break;
        case JOP_IN:
        case JOP_NOT_IN:
            TRY(jj_contains(r, a, b, &yes));
            yes = yes == (op == JOP_IN);
            break;
        default:
            TRY(jj_compare(r, a, b, op, &sign));
            yes = sign == 2      ? false
                  : op == JOP_LT ? sign < 0
                  : op == JOP_LE ? sign <= 0
                  : op == JOP_GT ? sign > 0
                                 : sign >= 0;
        }
    }
    *out = JV_BOOL(yes);
    return ERR_OK;
}

static err_code eval_concat(jrun *r, const jnode *n, jval *out) {
    jval next;
    TRY(jj_eval(r, n->kids[0], out));
    TRY(jj_to_str(r, *out, out));
    for (int i = 1; i < n->n_kids; i++) {
        TRY(jj_eval(r, n->kids[i], &next));
        TRY(jj_to_str(r, next, &next));
        TRY(jj_concat(r, *out, next, out));
    }
    out->sub = 0;
    return ERR_OK;
}

/* Arguments of a call, with *args and **kwargs spread; `extra` more keywords may be added by the caller. */
static err_code eval_args(jrun *r, const jcall_args *c, int extra, jargs *a) {
    *a = (jargs){0};
    if (!c && !extra)
        return ERR_OK;
    static const jcall_args none;
    c = c ? c : &none;
    jval star = {0}, more = {0}, *spread = NULL;
    size_t n_spread = 0, n_more = 0;
    if (c->star) {
        TRY(jj_eval(r, c->star, &star));
        TRY(jj_items(r, star, &spread, &n_spread));
    }
    if (c->star_star) {
        TRY(jj_eval(r, c->star_star, &more));
        if (more.kind != JK_DICT)
            return jj_fail(r, ERR_FORMAT, "** wants a mapping, not '%s'", jj_kind_name(more));
        n_more = more.u.d->n;
    }
    if (n_spread > 10000 || n_more > 10000)
        return jj_fail(r, ERR_LIMIT, "more than 10000 arguments in a call");
    size_t n_pos = (size_t)c->n_pos + n_spread, n_kw = (size_t)c->n_kw + n_more + (size_t)extra;
    TRY(jj_alloc(r, n_pos, sizeof *a->pos, &a->pos));
    TRY(jj_alloc(r, n_kw, sizeof *a->key, &a->key));
    TRY(jj_alloc(r, n_kw, sizeof *a->val, &a->val));
    for (int i = 0; i < c->n_pos; i++)
        TRY(jj_eval(r, c->pos[i], &a->pos[i]));
    if (n_spread)
        memcpy(a->pos + c->n_pos, spread, n_spread * sizeof *spread);
    a->n_pos = (int)n_pos;
    for (; a->n_kw < c->n_kw; a->n_kw++) {
        a->key[a->n_kw] = c->key[a->n_kw];
        TRY(jj_eval(r, c->val[a->n_kw], &a->val[a->n_kw]));
    }
    for (size_t i = 0; i < n_more; i++, a->n_kw++) {
        if (more.u.d->k[i].kind != JK_STR)
            return jj_fail(r, ERR_FORMAT, "keywords must be strings");
        a->key[a->n_kw] = jj_text(more.u.d->k[i]);
        a->val[a->n_kw] = more.u.d->v[i];
        for (int k = 0; k < a->n_kw; k++)
            if (str_eq(a->key[k], a->key[a->n_kw]))
                return jj_fail(r, ERR_FORMAT, "argument '%.*s' is given twice", STR_ARG(a->key[k]));
    }
    return ERR_OK;
}

static err_code eval_filter(jrun *r, const jnode *n, jval *out) {
    jval in;
    jargs a;
    if (!n->fn)
        return jj_fail(r, ERR_UNSUPPORTED, "no %s named '%.*s'", n->kind == JN_TEST ? "test" : "filter",
                       STR_ARG(n->text));
    TRY(jj_eval(r, n->a, &in));
    TRY(eval_args(r, n->args, 0, &a));
    r->line = n->line;
    TRY(jj_call_filter(r, n->fn, in, &a, out));
    if (n->kind == JN_TEST)
        *out = JV_BOOL(jj_truthy(*out) != n->flag);
    return ERR_OK;
}

static err_code eval_call(jrun *r, const jnode *n, const jval *caller, jval *out) {
    jval f;
    jargs a;
    TRY(jj_eval(r, n->a, &f));
    TRY(eval_args(r, n->args, caller != NULL, &a));
    if (caller) {
        a.key[a.n_kw] = STR("caller");
        a.val[a.n_kw++] = *caller;
    }
    r->line = n->line;
    if (f.kind == JK_UNDEFINED) {
        str name = n->a->kind == JN_NAME ? r->t->names[n->a->name] : n->a->kind == JN_ATTR ? n->a->text : STR("it");
        return jj_fail(r, ERR_FORMAT, "'%.*s' is undefined and cannot be called", STR_ARG(name));
    }
    return jj_call(r, f, &a, out);
}

static err_code eval_slice(jrun *r, const jnode *n, jval *out) {
    jval v, part[3] = {{0}};
    TRY(jj_eval(r, n->a, &v));
    for (int i = 0; i < 3; i++)
        if (n->kids[i])
            TRY(jj_eval(r, n->kids[i], &part[i]));
    return jj_slice(r, v, part[0], part[1], part[2], out);
}

static err_code eval_any(jrun *r, const jnode *n, jval *out) {
    jval a, b;
    switch ((jnode_kind)n->kind) {
    case JN_CONST:
        *out = n->val;
        return ERR_OK;
    case JN_NAME:
        return look_up(r, n->name, out);
    case JN_LIST:
    case JN_TUPLE:
        return eval_seq(r, n, out);
    case JN_DICT:
        return eval_dict(r, n, out);
    case JN_ATTR:
        TRY(jj_eval(r, n->a, &a));
        r->line = n->line;
        return jj_attr(r, a, n->val, out);
    case JN_ITEM:
        TRY(jj_eval(r, n->a, &a));
        TRY(jj_eval(r, n->b, &b));
        r->line = n->line;
        return jj_item(r, a, b, out);
    case JN_SLICE:
        return eval_slice(r, n, out);
    case JN_CALL:
        return eval_call(r, n, NULL, out);
    case JN_FILTER:
    case JN_TEST:
        return eval_filter(r, n, out);
    case JN_COND:
        TRY(jj_eval(r, n->b, &b));
        if (jj_truthy(b))
            return jj_eval(r, n->a, out);
        *out = JV_UNDEFINED;
        return n->c ? jj_eval(r, n->c, out) : ERR_OK;
    case JN_NOT:
        TRY(jj_eval(r, n->a, &a));
        *out = JV_BOOL(!jj_truthy(a));
        return ERR_OK;
    case JN_NEG:
    case JN_POS:
        TRY(jj_eval(r, n->a, &a));
        if (n->kind == JN_POS && (a.kind == JK_INT || a.kind == JK_FLOAT)) {
            *out = a;
            return ERR_OK;
        }
        if (n->kind == JN_POS && a.kind == JK_BOOL) {
            *out = JV_INT(a.u.b);
            return ERR_OK;
        }
        return jj_negate(r, a, out);
    case JN_AND:
    case JN_OR:
        for (int i = 0; i < n->n_kids; i++) {
            TRY(jj_eval(r, n->kids[i], out));
            if (jj_truthy(*out) == (n->kind == JN_OR))
                break;
        }
        return ERR_OK;
    case JN_ARITH:
        TRY(jj_eval(r, n->kids[0], out));
        for (int i = 1; i < n->n_kids; i++) {
            TRY(jj_eval(r, n->kids[i], &b));
            r->line = n->line;
            TRY(jj_arith(r, n->ops[i - 1], *out, b, out));
        }
        return ERR_OK;
    case JN_CONCAT:
        return eval_concat(r, n, out);
    case JN_COMPARE:
        return eval_compare(r, n, out);
    case JN_CAPTURED:
        *out = r->captured;
        return ERR_OK;
    default:
        return jj_fail(r, ERR_FORMAT, "a statement stands where a value should");
    }
}

err_code jj_eval(jrun *r, const jnode *n, jval *out) {
    TRY(enter(r, n));
    TRY(eval_any(r, n, out));
    r->depth--;
    return ERR_OK;
}

/* ---- loops ---- */

/* The next item that passes the inline condition; JK_MISSING when there is none. */
static err_code fetch(jrun *r, jloop *l, jval *out) {
    *out = (jval){0};
    while (l->next < l->n) {
        jval item = l->items[l->next++], yes = JV_BOOL(true);
        if (l->node->c) {
            jscope *back = r->scope;
            r->scope = l->test;
            l->test->n = 0;
            TRY(assign_target(r, l->node->a, item));
            TRY(jj_eval(r, l->node->c, &yes));
            r->scope = back;
        }
        if (jj_truthy(yes)) {
            *out = item;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static err_code peek(jrun *r, jloop *l) {
    if (l->after.kind != JK_MISSING || l->ended)
        return ERR_OK;
    TRY(fetch(r, l, &l->after));
    l->ended = l->after.kind == JK_MISSING;
    return ERR_OK;
}

/* With an inline condition the length is known only once every item has been asked. */
static err_code measure(jrun *r, jloop *l) {
    if (l->length != SIZE_MAX)
        return ERR_OK;
    jval *kept;
    size_t n = 0;
    TRY(peek(r, l));
    TRY(jj_alloc(r, l->n - l->next, sizeof *kept, &kept));
    for (;;) {
        jval v;
        TRY(fetch(r, l, &v));
        if (v.kind == JK_MISSING)
            break;
        kept[n++] = v;
    }
    l->length = l->index0 + 1 + (l->after.kind != JK_MISSING) + n;
    l->items = kept;
    l->n = n;
    l->next = 0;
    static const jnode no_condition;
    jnode *plain;
    TRY(jj_alloc(r, 1, sizeof *plain, &plain));
    *plain = no_condition;
    plain->kind = l->node->kind;
    plain->flag = l->node->flag;
    plain->line = l->node->line;
    plain->a = l->node->a;
    plain->b = l->node->b;
    plain->kids = l->node->kids;
    plain->n_kids = l->node->n_kids;
    l->node = plain;
    return ERR_OK;
}

err_code jj_loop_attr(jrun *r, jloop *l, str name, jval *out) {
    int64_t i = (int64_t)l->index0;
    if (str_is(name, "index"))
        *out = JV_INT(i + 1);
    else if (str_is(name, "index0"))
        *out = JV_INT(i);
    else if (str_is(name, "first"))
        *out = JV_BOOL(i == 0);
    else if (str_is(name, "depth"))
        *out = JV_INT(l->depth0 + 1);
    else if (str_is(name, "depth0"))
        *out = JV_INT(l->depth0);
    else if (str_is(name, "previtem"))
        *out = i == 0 ? JV_UNDEFINED : l->prev;
    else if (str_is(name, "last") || str_is(name, "nextitem")) {
        TRY(peek(r, l));
        *out = str_is(name, "last") ? JV_BOOL(l->ended) : l->ended ? JV_UNDEFINED : l->after;
    } else if (str_is(name, "length") || str_is(name, "revindex") || str_is(name, "revindex0")) {
        TRY(measure(r, l));
        int64_t n = (int64_t)l->length;
        *out = JV_INT(str_is(name, "length") ? n : str_is(name, "revindex") ? n - i : n - i - 1);
    } else {
        return jj_method_get(r, (jval){.kind = JK_LOOP, .u.loop = l}, name, out);
    }
    return ERR_OK;
}

err_code jj_loop_cycle(jrun *r, jloop *l, const jargs *a, jval *out) {
    if (a->n_kw || !a->n_pos)
        return jj_fail(r, ERR_FORMAT, "loop.cycle wants the values to cycle through");
    *out = a->pos[l->index0 % (size_t)a->n_pos];
    return ERR_OK;
}

err_code jj_loop_changed(jrun *r, jloop *l, const jargs *a, jval *out) {
    bool same = l->changed && l->n_changed == a->n_pos;
    for (int i = 0; same && i < a->n_pos; i++)
        TRY(jj_equal(r, l->changed[i], a->pos[i], &same));
    if (!same) {
        TRY(jj_alloc(r, (size_t)a->n_pos, sizeof(jval), &l->changed));
        for (int i = 0; i < a->n_pos; i++)
            l->changed[i] = a->pos[i];
        l->n_changed = a->n_pos;
    }
    *out = JV_BOOL(!same);
    return ERR_OK;
}

static err_code run_loop(jrun *r, const jnode *n, jval over, int depth0) {
    jscope *outer = r->scope;
    jloop *l;
    TRY(jj_alloc(r, 1, sizeof *l, &l));
    *l = (jloop){.node = n, .outer = outer, .length = SIZE_MAX, .depth0 = depth0};
    TRY(jj_items(r, over, &l->items, &l->n));
    if (n->c || n->flag)
        capture_scope(outer); /* `loop` may be kept in a namespace and asked after the loop has ended */
    if (n->c) {
        TRY(push_scope(r, outer));
        l->test = r->scope;
        l->test->captured = true; /* lives as long as the loop value */
    } else {
        l->length = l->n;
    }
    TRY(push_scope(r, outer));
    jscope *body = r->scope;
    bool any = false;
    for (;; l->index0++) {
        jval item = l->after;
        l->after = (jval){0};
        if (item.kind == JK_MISSING && !l->ended)
            TRY(fetch(r, l, &item));
        if (item.kind == JK_MISSING)
            break;
        l->prev = l->cur;
        l->cur = item;
        any = true;
        body->n = 0;
        TRY(jj_charge(r, 1));
        TRY(assign(r, r->t->id_loop, (jval){.kind = JK_LOOP, .u.loop = l}));
        TRY(assign_target(r, n->a, item));
        TRY(jj_exec(r, n->kids[0]));
        if (r->flow == JFLOW_BREAK)
            break;
        r->flow = JFLOW_NEXT;
    }
    r->flow = JFLOW_NEXT;
    body->n = 0;
    if (!any && n->kids[1])
        TRY(jj_exec(r, n->kids[1]));
    int flow = r->flow; /* a break inside else belongs to the loop outside */
    pop_scope(r, outer);
    r->flow = flow;
    return ERR_OK;
}

/* ---- calls ---- */

static err_code more_calls(jrun *r) {
    if (++r->calls > r->t->limits.depth_max)
        return jj_fail(r, ERR_LIMIT, "calls nest deeper than %d", r->t->limits.depth_max);
    return ERR_OK;
}

static err_code call_loop(jrun *r, jloop *l, const jargs *a, jval *out) {
    if (!l->node->flag)
        return jj_fail(r, ERR_FORMAT, "the loop must be marked 'recursive' to be called");
    if (a->n_pos != 1 || a->n_kw)
        return jj_fail(r, ERR_FORMAT, "loop(...) wants one iterable");
    TRY(more_calls(r));
    size_t from = r->out.n;
    jscope *back = r->scope;
    int flow = r->flow;
    r->scope = l->outer;
    TRY(run_loop(r, l->node, a->pos[0], l->depth0 + 1));
    r->scope = back;
    r->flow = flow;
    r->calls--;
    return jj_str_take(r, from, out);
}

static const jval *keyword(const jargs *a, str name) {
    for (int i = 0; i < a->n_kw; i++)
        if (str_eq(a->key[i], name))
            return &a->val[i];
    return NULL;
}

/* What was given to no parameter: varargs, kwargs, or an error. */
static err_code bind_rest(jrun *r, const jmacro *m, const jargs *a) {
    const jparams *p = m->node->params;
    str name = m->node->text;
    jval rest, *items;
    bool takes_caller = p->uses_caller;
    for (int i = 0; i < p->n; i++)
        takes_caller = takes_caller && p->name[i] != r->t->id_caller;
    if (takes_caller) {
        const jval *c = keyword(a, STR("caller"));
        TRY(assign(r, r->t->id_caller, c ? *c : JV_UNDEFINED));
    }
    if (p->uses_kwargs)
        TRY(jj_dict_new(r, (size_t)a->n_kw, &rest));
    for (int i = 0; i < a->n_kw; i++) {
        bool known = takes_caller && str_is(a->key[i], "caller");
        for (int k = 0; k < p->n && !known; k++)
            known = str_eq(r->t->names[p->name[k]], a->key[i]);
        if (known)
            continue;
        if (!p->uses_kwargs)
            return jj_fail(r, ERR_FORMAT, "macro '%.*s' takes no argument '%.*s'", STR_ARG(name), STR_ARG(a->key[i]));
        jval k;
        TRY(jj_str_of(r, a->key[i], &k));
        TRY(jj_dict_put(r, rest.u.d, k, a->val[i]));
    }
    if (p->uses_kwargs)
        TRY(assign(r, r->t->id_kwargs, rest));
    int n_more = a->n_pos > p->n ? a->n_pos - p->n : 0;
    if (!p->uses_varargs)
        return n_more ? jj_fail(r, ERR_FORMAT, "macro '%.*s' takes no more than %d arguments", STR_ARG(name), p->n)
                      : ERR_OK;
    TRY(jj_seq_new(r, JK_TUPLE, (size_t)n_more, &rest, &items));
    for (int i = 0; i < n_more; i++)
        items[i] = a->pos[p->n + i];
    TRY(jj_seq_done(r, rest));
    return assign(r, r->t->id_varargs, rest);
}

static err_code call_macro(jrun *r, const jmacro *m, const jargs *a, jval *out) {
    const jparams *p = m->node->params;
    jscope *back = r->scope;
    TRY(more_calls(r));
    TRY(push_scope(r, m->scope));
    for (int i = 0; i < p->n; i++) {
        str name = r->t->names[p->name[i]];
        const jval *kw = keyword(a, name);
        if (i < a->n_pos && kw)
            return jj_fail(r, ERR_FORMAT, "macro '%.*s' got two values for '%.*s'", STR_ARG(m->node->text),
                           STR_ARG(name));
        jval v = i < a->n_pos ? a->pos[i] : kw ? *kw : JV_UNDEFINED;
        if (i >= a->n_pos && !kw && p->def[i])
            TRY(jj_eval(r, p->def[i], &v));
        TRY(assign(r, p->name[i], v));
    }
    TRY(bind_rest(r, m, a));
    size_t from = r->out.n;
    int flow = r->flow;
    r->flow = JFLOW_NEXT;
    TRY(jj_exec(r, m->node->kids[0]));
    r->flow = flow;
    pop_scope(r, back);
    r->calls--;
    return jj_str_take(r, from, out);
}

err_code jj_call(jrun *r, jval f, const jargs *a, jval *out) {
    switch (f.kind) {
    case JK_FUNC:
        return jj_func_call(r, f.sub, a, out);
    case JK_METHOD:
        return jj_method_call(r, f.u.method, a, out);
    case JK_MACRO:
        return call_macro(r, f.u.macro, a, out);
    case JK_LOOP:
        return call_loop(r, f.u.loop, a, out);
    case JK_JOINER: { /* u.p: the separator, then whether it has been used */
        jval *state = f.u.p;
        if (a->n_pos || a->n_kw)
            return jj_fail(r, ERR_FORMAT, "a joiner takes no arguments");
        if (state[1].u.b) {
            *out = state[0];
            return ERR_OK;
        }
        state[1] = JV_BOOL(true);
        return jj_str_of(r, STR(""), out);
    }
    default:
        return jj_fail(r, ERR_FORMAT, "'%s' object is not callable", jj_kind_name(f));
    }
}

/* ---- statements ---- */

static err_code exec_if(jrun *r, const jnode *n) {
    jval v;
    for (int i = 0; i < n->n_kids; i += 2) {
        TRY(jj_eval(r, n->kids[i], &v));
        if (jj_truthy(v))
            return jj_exec(r, n->kids[i + 1]);
    }
    return n->a ? jj_exec(r, n->a) : ERR_OK;
}

/* Runs the body in a scope of its own and takes its text; on break or continue the text is lost, as in Jinja2. */
static err_code captured(jrun *r, const jnode *body, jval *out) {
    size_t from = r->out.n;
    jscope *back = r->scope;
    TRY(push_scope(r, back));
    TRY(jj_exec(r, body));
    pop_scope(r, back);
    return jj_str_take(r, from, out);
}

static err_code exec_block(jrun *r, const jnode *n) {
    jval text, outer = r->captured;
    TRY(captured(r, n->kids[0], &text));
    if (r->flow != JFLOW_NEXT)
        return ERR_OK;
    if (n->b) {
        r->captured = text;
        TRY(jj_eval(r, n->b, &text));
        r->captured = outer;
    }
    return n->kind == JN_SET_BLOCK ? assign_target(r, n->a, text) : jj_write(r, text);
}

static err_code new_macro(jrun *r, const jnode *n, jval *out) {
    jmacro *m;
    TRY(jj_alloc(r, 1, sizeof *m, &m));
    *m = (jmacro){.node = n, .scope = r->scope, .n_args = n->params->n};
    capture_scope(r->scope);
    *out = (jval){.kind = JK_MACRO, .u.macro = m};
    return ERR_OK;
}

static err_code exec_with(jrun *r, const jnode *n) {
    jscope *back = r->scope;
    TRY(push_scope(r, back));
    jscope *inner = r->scope;
    for (int i = 0; i + 1 < n->n_kids; i += 2) {
        jval v;
        r->scope = back; /* values see the outside only */
        TRY(jj_eval(r, n->kids[i + 1], &v));
        r->scope = inner;
        TRY(assign_target(r, n->kids[i], v));
    }
    TRY(jj_exec(r, n->kids[n->n_kids - 1]));
    pop_scope(r, back);
    return ERR_OK;
}

/* Writes the block and notes where. A block that breaks off or stands inside another one leaves its place behind, too.
 */
static err_code exec_generation(jrun *r, const jnode *n) {
    jval text;
    jwritten *w;
    TRY(captured(r, n->kids[0], &text));
    TRY(jj_alloc(r, 1, sizeof *w, &w));
    *w = (jwritten){.before = r->generation, .from = r->out.n, .text = jj_text(text)};
    r->generation = w;
    return jj_write(r, text);
}

static err_code exec_any(jrun *r, const jnode *n) {
    jval v;
    switch ((jnode_kind)n->kind) {
    case JN_BODY:
        for (int i = 0; i < n->n_kids && r->flow == JFLOW_NEXT; i++)
            TRY(jj_exec(r, n->kids[i]));
        return ERR_OK;
    case JN_DATA:
        v = (jval){.kind = JK_STR, .u.s = &(jstr){.p = n->text.p, .n = n->text.n}};
        return jj_write(r, v);
    case JN_OUTPUT:
        TRY(jj_eval(r, n->a, &v));
        return jj_write(r, v);
    case JN_IF:
        return exec_if(r, n);
    case JN_FOR:
        TRY(jj_eval(r, n->b, &v));
        r->line = n->line;
        return run_loop(r, n, v, 0);
    case JN_SET:
        TRY(jj_eval(r, n->b, &v));
        r->line = n->line;
        return assign_target(r, n->a, v);
    case JN_SET_BLOCK:
    case JN_FILTER_BLOCK:
        return exec_block(r, n);
    case JN_MACRO:
        TRY(new_macro(r, n, &v));
        return assign(r, n->name, v);
    case JN_CALL_BLOCK: {
        jval caller;
        TRY(new_macro(r, n, &caller));
        TRY(eval_call(r, n->a, &caller, &v));
        return jj_write(r, v);
    }
    case JN_GENERATION:
        return exec_generation(r, n);
    case JN_WITH:
        return exec_with(r, n);
    case JN_BREAK:
        r->flow = JFLOW_BREAK;
        return ERR_OK;
    case JN_CONTINUE:
        r->flow = JFLOW_CONTINUE;
        return ERR_OK;
    default:
        return jj_fail(r, ERR_FORMAT, "a value stands where a statement should");
    }
}

err_code jj_exec(jrun *r, const jnode *n) {
    TRY(enter(r, n));
    TRY(exec_any(r, n));
    r->depth--;
    return ERR_OK;
}

/* ---- filters and tests ---- */

err_code jj_bind(jrun *r, const char *what, const char *params, const jargs *a, jgiven *g) {
    *g = (jgiven){.raw = a};
    if (params[0] == '*')
        return ERR_OK;
    bool used[16] = {0};
    if (a->n_kw > 16)
        return jj_fail(r, ERR_FORMAT, "%s: too many arguments", what);
    int n = 0;
    for (const char *p = params; *p; n++) {
        bool optional = *p == '?';
        p += optional;
        const char *comma = strchr(p, ',');
        str name = {p, comma ? (size_t)(comma - p) : strlen(p)};
        p = comma ? comma + 1 : p + name.n;
        if (n < a->n_pos)
            g->v[n] = a->pos[n];
        for (int i = 0; i < a->n_kw; i++) {
            if (!str_eq(a->key[i], name))
                continue;
            if (n < a->n_pos)
                return jj_fail(r, ERR_FORMAT, "%s: two values for '%.*s'", what, STR_ARG(name));
            g->v[n] = a->val[i];
            used[i] = true;
        }
        if (!optional && g->v[n].kind == JK_MISSING)
            return jj_fail(r, ERR_FORMAT, "%s: argument '%.*s' is missing", what, STR_ARG(name));
    }
    if (a->n_pos > n)
        return jj_fail(r, ERR_FORMAT, "%s: takes %d arguments, got %d", what, n, a->n_pos);
    for (int i = 0; i < a->n_kw; i++)
        if (!used[i])
            return jj_fail(r, ERR_FORMAT, "%s: unexpected argument '%.*s'", what, STR_ARG(a->key[i]));
    return ERR_OK;
}

err_code jj_call_filter(jrun *r, const jfilter *f, jval in, const jargs *a, jval *out) {
    jgiven g;
    TRY(jj_bind(r, f->name, f->params, a, &g));
    return f->fn(r, in, &g, out);
}
