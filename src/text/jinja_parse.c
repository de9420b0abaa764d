/* jinja_parse: expressions to nodes, by recursive descent; jinja_stmt has the statements.
 *
 * Grammar and precedence are those of Jinja2 3.1's parser, from loosest to tightest:
 *   a if b else c | or | and | not | comparison, in, not in | + - | ~ | * / // % | ** | unary - +
 *   | postfix . [] () | filter, is.
 * Chains of one level become one node with many kids, so that nodes are no deeper than the
 * brackets and blocks of the text; those are counted against limits.depth_max. A chain of
 * postfixes is deep in nodes; evaluation counts its own depth.
 * Unknown tags, filters and tests are ERR_UNSUPPORTED here, with their line; filters and tests inside
 * an `if` only when they are reached, as in Jinja2: templates ask for what other hosts offer.
 */
#include "text/jinja_parse.h"

#include <string.h>

enum { NAMES_MAX = 1024 };

static err_code parse_unary(jparser *p, bool with_filter, jnode **out);

err_code jp_fail(jparser *p, int line, const char *what) {
    return err_set(p->e, ERR_FORMAT, "template line %d: %s", line, what);
}

err_code jp_deeper(jparser *p) {
    if (++p->depth > p->t->limits.depth_max)
        return err_set(p->e, ERR_LIMIT, "template line %d: nested deeper than %d", p->tok->line,
                       p->t->limits.depth_max);
    return ERR_OK;
}

err_code jp_node(jparser *p, jnode_kind kind, int line, jnode **out) {
    ARENA_NEW(&p->t->mem, *out, 1, p->e);
    (*out)->kind = (uint8_t)kind;
    (*out)->line = line;
    return ERR_OK;
}

err_code jp_add(jparser *p, jkids *k, jnode *n) {
    if (k->n == k->cap) {
        int cap = k->cap ? k->cap * 2 : 4;
        jnode **v;
        ARENA_NEW(&p->t->mem, v, (size_t)cap, p->e);
        if (k->n)
            memcpy(v, k->v, (size_t)k->n * sizeof *v);
        k->v = v;
        k->cap = cap;
    }
    k->v[k->n++] = n;
    return ERR_OK;
}

void jp_give(jnode *n, jkids k) {
    n->kids = k.v;
    n->n_kids = k.n;
}

bool jp_is_op(const jparser *p, const char *op) { return p->tok->kind == JT_OP && str_is(p->tok->text, op); }
bool jp_is_name(const jparser *p, const char *name) { return p->tok->kind == JT_NAME && str_is(p->tok->text, name); }

bool jp_skip_op(jparser *p, const char *op) {
    bool yes = jp_is_op(p, op);
    p->tok += yes;
    return yes;
}

bool jp_skip_name(jparser *p, const char *name) {
    bool yes = jp_is_name(p, name);
    p->tok += yes;
    return yes;
}

err_code jp_unexpected(jparser *p, const char *wanted) {
    const jtok *t = p->tok;
    if (t->kind == JT_EOF)
        return err_set(p->e, ERR_FORMAT, "template line %d: the template ends where %s should stand", t->line, wanted);
    if (t->kind == JT_DATA || t->kind == JT_VAR_BEGIN || t->kind == JT_BLOCK_BEGIN)
        return err_set(p->e, ERR_FORMAT, "template line %d: expected %s", t->line, wanted);
    return err_set(p->e, ERR_FORMAT, "template line %d: expected %s, found '%.*s'", t->line, wanted,
                   t->text.n > 40 ? 40 : (int)t->text.n, t->text.p ? t->text.p : "");
}

err_code jp_want_op(jparser *p, const char *op) { return jp_skip_op(p, op) ? ERR_OK : jp_unexpected(p, op); }

err_code jp_want_name(jparser *p, str *out) {
    *out = p->tok->text;
    if (p->tok->kind != JT_NAME)
        return jp_unexpected(p, "a name");
    p->tok++;
    return ERR_OK;
}

err_code jp_want_block_end(jparser *p) {
    if (p->tok->kind != JT_BLOCK_END)
        return jp_unexpected(p, "\"%}\"");
    p->tok++;
    return ERR_OK;
}

err_code jp_intern(jparser *p, str name, int *id) {
    jinja *t = p->t;
    for (int i = 0; i < t->n_names; i++)
        if (str_eq(t->names[i], name)) {
            *id = i;
            return ERR_OK;
        }
    if (t->n_names == NAMES_MAX)
        return err_set(p->e, ERR_LIMIT, "template line %d: more than %d names", p->tok->line, NAMES_MAX);
    if (t->n_names == p->cap_names) {
        int cap = p->cap_names ? p->cap_names * 2 : 32;
        str *v;
        ARENA_NEW(&t->mem, v, (size_t)cap, p->e);
        if (t->n_names)
            memcpy(v, t->names, (size_t)t->n_names * sizeof *v);
        t->names = v;
        p->cap_names = cap;
    }
    *id = t->n_names;
    t->names[t->n_names++] = name;
    return ERR_OK;
}

static err_code constant_str(jparser *p, str text, jval *out) {
    jstr *s;
    ARENA_NEW(&p->t->mem, s, 1, p->e);
    *s = (jstr){.p = text.p ? text.p : "", .n = text.n, .cps = jj_cps(text)};
    *out = (jval){.kind = JK_STR, .u.s = s};
    return ERR_OK;
}

/* Names that are attributes of Python objects' insides: never reachable, so never compiled. */
static err_code refuse_private(jparser *p, str name, int line) {
    if (!str_starts(name, STR("__")))
        return ERR_OK;
    return err_set(p->e, ERR_UNSUPPORTED, "template line %d: attribute '%.*s' is private, the sandbox refuses it", line,
                   STR_ARG(name));
}

/* ---- expressions ---- */

static bool is_tuple_end(const jparser *p, const char *extra) {
    jtok_kind k = p->tok->kind;
    return k == JT_VAR_END || k == JT_BLOCK_END || jp_is_op(p, ")") || (extra && jp_is_name(p, extra));
}

err_code jp_tuple(jparser *p, int how, const char *extra, jnode **out) {
    int line = p->tok->line;
    jkids k = {0};
    bool tuple = false;
    for (;;) {
        if (k.n)
            TRY(jp_want_op(p, ","));
        if (is_tuple_end(p, extra))
            break;
        jnode *n;
        if (how & TUPLE_SIMPLE)
            TRY(jp_primary(p, how & TUPLE_NS, &n));
        else
            TRY(jp_expr(p, how & TUPLE_COND, &n));
        TRY(jp_add(p, &k, n));
        if (!jp_is_op(p, ","))
            break;
        tuple = true;
    }
    if (!tuple && k.n) {
        *out = k.v[0];
        return ERR_OK;
    }
    if (!tuple && !(how & TUPLE_PAREN))
        return jp_unexpected(p, "an expression");
    TRY(jp_node(p, JN_TUPLE, line, out));
    jp_give(*out, k);
    return ERR_OK;
}

static err_code parse_list(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_LIST, p->tok->line, out));
    TRY(jp_want_op(p, "["));
    jkids k = {0};
    while (!jp_is_op(p, "]")) {
        if (k.n)
            TRY(jp_want_op(p, ","));
        if (jp_is_op(p, "]"))
            break;
        jnode *n;
        TRY(jp_expr(p, true, &n));
        TRY(jp_add(p, &k, n));
    }
    jp_give(*out, k);
    return jp_want_op(p, "]");
}

static err_code parse_dict(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_DICT, p->tok->line, out));
    TRY(jp_want_op(p, "{"));
    jkids k = {0};
    while (!jp_is_op(p, "}")) {
        if (k.n)
            TRY(jp_want_op(p, ","));
        if (jp_is_op(p, "}"))
            break;
        jnode *n;
        TRY(jp_expr(p, true, &n));
        TRY(jp_add(p, &k, n));
        TRY(jp_want_op(p, ":"));
        TRY(jp_expr(p, true, &n));
        TRY(jp_add(p, &k, n));
    }
    jp_give(*out, k);
    return jp_want_op(p, "}");
}

static err_code parse_name(jparser *p, bool ns, jnode **out) {
    const jtok *t = p->tok++;
    TRY(jp_node(p, JN_CONST, t->line, out));
    if (str_is(t->text, "true") || str_is(t->text, "True")) {
        (*out)->val = JV_BOOL(true);
    } else if (str_is(t->text, "false") || str_is(t->text, "False")) {
        (*out)->val = JV_BOOL(false);
    } else if (str_is(t->text, "none") || str_is(t->text, "None")) {
        (*out)->val = JV_NONE;
    } else {
        (*out)->kind = JN_NAME;
        TRY(jp_intern(p, t->text, &(*out)->name));
        if (p->macro) {
            p->macro->uses_caller |= str_is(t->text, "caller");
            p->macro->uses_varargs |= str_is(t->text, "varargs");
            p->macro->uses_kwargs |= str_is(t->text, "kwargs");
        }
        if (ns && jp_skip_op(p, ".")) {
            (*out)->kind = JN_NSREF;
            TRY(jp_want_name(p, &(*out)->text));
            if (str_starts((*out)->text, STR("_")))
                return err_set(p->e, ERR_UNSUPPORTED,
                               "template line %d: namespace attribute '%.*s' is private, the sandbox refuses it",
                               t->line, STR_ARG((*out)->text));
            TRY(constant_str(p, (*out)->text, &(*out)->val));
        }
    }
    return ERR_OK;
}

static err_code parse_strings(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_CONST, p->tok->line, out));
    size_t n = 0;
    const jtok *t = p->tok;
    for (; t->kind == JT_STRING; t++)
        n += t->text.n;
    str whole = p->tok->text;
    if (t > p->tok + 1) {
        char *buf;
        ARENA_NEW(&p->t->mem, buf, n + 1, p->e);
        size_t at = 0;
        for (const jtok *u = p->tok; u < t; u++) {
            if (u->text.n)
                memcpy(buf + at, u->text.p, u->text.n);
            at += u->text.n;
        }
        whole = (str){buf, n};
    }
    p->tok = t;
    return constant_str(p, whole, &(*out)->val);
}

err_code jp_primary(jparser *p, bool ns, jnode **out) {
    const jtok *t = p->tok;
    if (t->kind == JT_NAME)
        return parse_name(p, ns, out);
    if (t->kind == JT_STRING)
        return parse_strings(p, out);
    if (t->kind == JT_INT || t->kind == JT_FLOAT) {
        p->tok++;
        TRY(jp_node(p, JN_CONST, t->line, out));
        (*out)->val = t->kind == JT_INT ? JV_INT(t->num.i) : JV_FLOAT(t->num.f);
        return ERR_OK;
    }
    TRY(jp_deeper(p));
    if (jp_skip_op(p, "(")) {
        TRY(jp_tuple(p, TUPLE_COND | TUPLE_PAREN, NULL, out));
        TRY(jp_want_op(p, ")"));
    } else if (jp_is_op(p, "[")) {
        TRY(parse_list(p, out));
    } else if (jp_is_op(p, "{")) {
        TRY(parse_dict(p, out));
    } else {
        return jp_unexpected(p, "an expression");
    }
    p->depth--;
    return ERR_OK;
}

static err_code parse_call_args(jparser *p, jcall_args **out) {
    int line = p->tok->line;
    TRY(jp_deeper(p));
    jcall_args *a;
    ARENA_NEW(&p->t->mem, a, 1, p->e);
    jkids pos = {0}, val = {0}, key = {0};
    TRY(jp_want_op(p, "("));
    bool comma = false, ok = true;
    while (!jp_is_op(p, ")")) {
        if (comma) {
            TRY(jp_want_op(p, ","));
            if (jp_is_op(p, ")"))
                break;
        }
        if (jp_skip_op(p, "*")) {
            ok = !a->star && !a->star_star;
            TRY(jp_expr(p, true, &a->star));
        } else if (jp_skip_op(p, "**")) {
            ok = !a->star_star;
            TRY(jp_expr(p, true, &a->star_star));
        } else if (p->tok->kind == JT_NAME && p->tok[1].kind == JT_OP && str_is(p->tok[1].text, "=")) {
            ok = !a->star_star;
            jnode *k, *v;
            TRY(jp_node(p, JN_DATA, line, &k));
            k->text = p->tok->text;
            p->tok += 2;
            for (int i = 0; i < key.n; i++)
                ok = ok && !str_eq(key.v[i]->text, k->text);
            TRY(jp_expr(p, true, &v));
            TRY(jp_add(p, &key, k));
            TRY(jp_add(p, &val, v));
        } else {
            ok = !a->star && !a->star_star && !val.n;
            jnode *v;
            TRY(jp_expr(p, true, &v));
            TRY(jp_add(p, &pos, v));
        }
        if (!ok)
            return jp_fail(p, line, "invalid order of arguments in a call");
        comma = true;
    }
    TRY(jp_want_op(p, ")"));
    p->depth--;
    a->pos = pos.v;
    a->n_pos = pos.n;
    a->val = val.v;
    a->n_kw = val.n;
    ARENA_NEW(&p->t->mem, a->key, (size_t)key.n, p->e);
    for (int i = 0; i < key.n; i++)
        a->key[i] = key.v[i]->text;
    *out = a;
    return ERR_OK;
}

static err_code parse_slice_or_expr(jparser *p, jnode *of, jnode **out) {
    int line = p->tok->line;
    jnode *part[3] = {0};
    if (!jp_is_op(p, ":"))
        TRY(jp_expr(p, true, &part[0]));
    if (!jp_is_op(p, ":")) {
        TRY(jp_node(p, JN_ITEM, line, out));
        (*out)->a = of;
        (*out)->b = part[0];
        return ERR_OK;
    }
    p->tok++;
    if (!jp_is_op(p, ":") && !jp_is_op(p, "]") && !jp_is_op(p, ","))
        TRY(jp_expr(p, true, &part[1]));
    if (jp_skip_op(p, ":") && !jp_is_op(p, "]") && !jp_is_op(p, ","))
        TRY(jp_expr(p, true, &part[2]));
    TRY(jp_node(p, JN_SLICE, line, out));
    (*out)->a = of;
    jkids k = {0};
    for (int i = 0; i < 3; i++)
        TRY(jp_add(p, &k, part[i]));
    jp_give(*out, k);
    return ERR_OK;
}

static err_code parse_subscript(jparser *p, jnode **n) {
    int line = p->tok->line;
    jnode *of = *n;
    if (jp_skip_op(p, ".")) {
        const jtok *t = p->tok++;
        if (t->kind == JT_NAME) {
            TRY(refuse_private(p, t->text, t->line));
            TRY(jp_node(p, JN_ATTR, line, n));
            (*n)->text = t->text;
            TRY(constant_str(p, t->text, &(*n)->val));
        } else if (t->kind == JT_INT) {
            TRY(jp_node(p, JN_ITEM, line, n));
            TRY(jp_node(p, JN_CONST, line, &(*n)->b));
            (*n)->b->val = JV_INT(t->num.i);
        } else {
            p->tok--;
            return jp_unexpected(p, "a name or number");
        }
        (*n)->a = of;
        return ERR_OK;
    }
    TRY(jp_want_op(p, "["));
    TRY(jp_deeper(p));
    jkids k = {0};
    jnode *one = NULL;
    while (!jp_is_op(p, "]")) {
        if (one)
            TRY(jp_want_op(p, ","));
        TRY(parse_slice_or_expr(p, of, &one));
        if (one->kind == JN_ITEM)
            TRY(jp_add(p, &k, one->b));
        else if (!jp_is_op(p, "]") || k.n)
            return err_set(p->e, ERR_UNSUPPORTED, "template line %d: a slice beside other subscripts", line);
    }
    p->tok++;
    p->depth--;
    if (!one)
        return jp_fail(p, line, "empty subscript");
    if (one->kind == JN_ITEM && k.n > 1) {
        TRY(jp_node(p, JN_TUPLE, line, &one->b));
        jp_give(one->b, k);
    }
    *n = one;
    if (one->kind == JN_ITEM && one->b->kind == JN_CONST && one->b->val.kind == JK_STR)
        TRY(refuse_private(p, jj_text(one->b->val), line));
    return ERR_OK;
}

static err_code parse_call(jparser *p, jnode **n) {
    jnode *of = *n;
    TRY(jp_node(p, JN_CALL, p->tok->line, n));
    (*n)->a = of;
    return parse_call_args(p, &(*n)->args);
}

static err_code parse_postfix(jparser *p, jnode **n) {
    for (;;) {
        if (jp_is_op(p, ".") || jp_is_op(p, "["))
            TRY(parse_subscript(p, n));
        else if (jp_is_op(p, "("))
            TRY(parse_call(p, n));
        else
            return ERR_OK;
    }
}

/* The name of a filter or test, which may have dots. */
static err_code parse_dotted(jparser *p, str *name) {
    TRY(jp_want_name(p, name));
    while (jp_is_op(p, ".")) {
        p->tok++;
        str more;
        TRY(jp_want_name(p, &more));
        *name = (str){name->p, (size_t)(more.p + more.n - name->p)};
    }
    return ERR_OK;
}

/* One or more "| filter(args)"; with `inline_` the first has no bar. */
err_code jp_filters(jparser *p, bool inline_, jnode **n) {
    while (inline_ || jp_is_op(p, "|")) {
        p->tok += !inline_;
        inline_ = false;
        jnode *of = *n;
        str name;
        TRY(jp_node(p, JN_FILTER, p->tok->line, n));
        TRY(parse_dotted(p, &name));
        (*n)->a = of;
        (*n)->text = name;
        (*n)->fn = jj_filter_find(name);
        if (!(*n)->fn && !p->branches)
            return err_set(p->e, ERR_UNSUPPORTED, "template line %d: no filter named '%.*s'", (*n)->line,
                           STR_ARG(name));
        if (jp_is_op(p, "("))
            TRY(parse_call_args(p, &(*n)->args));
    }
    return ERR_OK;
}

static bool starts_test_argument(const jparser *p) {
    jtok_kind k = p->tok->kind;
    if (k == JT_STRING || k == JT_INT || k == JT_FLOAT || jp_is_op(p, "[") || jp_is_op(p, "{"))
        return true;
    return k == JT_NAME && !jp_is_name(p, "else") && !jp_is_name(p, "or") && !jp_is_name(p, "and");
}

static err_code parse_test(jparser *p, jnode **n) {
    jnode *of = *n;
    TRY(jp_node(p, JN_TEST, p->tok->line, n));
    (*n)->a = of;
    p->tok++; /* is */
    (*n)->flag = jp_skip_name(p, "not");
    str name;
    TRY(parse_dotted(p, &name));
    (*n)->text = name;
    (*n)->fn = jj_test_find(name);
    if (!(*n)->fn && !p->branches)
        return err_set(p->e, ERR_UNSUPPORTED, "template line %d: no test named '%.*s'", (*n)->line, STR_ARG(name));
    if (jp_is_op(p, "("))
        return parse_call_args(p, &(*n)->args);
    if (!starts_test_argument(p))
        return ERR_OK;
    if (jp_is_name(p, "is"))
        return jp_fail(p, p->tok->line, "tests cannot be chained with \"is\"");
    jnode *arg;
    TRY(jp_primary(p, false, &arg));
    TRY(parse_postfix(p, &arg));
    jkids k = {0};
    TRY(jp_add(p, &k, arg));
    ARENA_NEW(&p->t->mem, (*n)->args, 1, p->e);
    (*n)->args->pos = k.v;
    (*n)->args->n_pos = 1;
    return ERR_OK;
}

static err_code parse_filter_expr(jparser *p, jnode **n) {
    for (;;) {
        if (jp_is_op(p, "|"))
            TRY(jp_filters(p, false, n));
        else if (jp_is_name(p, "is"))
            TRY(parse_test(p, n));
        else if (jp_is_op(p, "("))
            TRY(parse_call(p, n));
        else
            return ERR_OK;
    }
}

static err_code parse_unary(jparser *p, bool with_filter, jnode **out) {
    int line = p->tok->line;
    if (jp_is_op(p, "-") || jp_is_op(p, "+")) {
        bool neg = jp_is_op(p, "-");
        p->tok++;
        TRY(jp_deeper(p));
        jnode *a;
        TRY(parse_unary(p, false, &a));
        p->depth--;
        TRY(jp_node(p, neg ? JN_NEG : JN_POS, line, out));
        (*out)->a = a;
    } else {
        TRY(jp_primary(p, false, out));
    }
    TRY(parse_postfix(p, out));
    return with_filter ? parse_filter_expr(p, out) : ERR_OK;
}

/* The binary levels. Each row: the operators of one level and the node they make. */
typedef struct {
    const char *text;
    jop op;
} binary_op;
static const binary_op pow_ops[] = {{"**", JOP_POW}, {0}};
static const binary_op mul_ops[] = {{"*", JOP_MUL}, {"/", JOP_DIV}, {"//", JOP_FLOORDIV}, {"%", JOP_MOD}, {0}};
static const binary_op concat_ops[] = {{"~", JOP_ADD}, {0}};
static const binary_op add_ops[] = {{"+", JOP_ADD}, {"-", JOP_SUB}, {0}};
static const struct {
    const binary_op *ops;
    jnode_kind kind;
} levels[] = {{add_ops, JN_ARITH}, {concat_ops, JN_CONCAT}, {mul_ops, JN_ARITH}, {pow_ops, JN_ARITH}};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static err_code finish_chain(jparser *p, jnode_kind kind, int line, jkids k, const jkids *ops, jnode **out) {
    if (k.n == 1) {
        *out = k.v[0];
        return ERR_OK;
    }
    TRY(jp_node(p, kind, line, out));
    jp_give(*out, k);
    ARENA_NEW(&p->t->mem, (*out)->ops, (size_t)k.n, p->e);
    for (int i = 0; ops && i < ops->n; i++)
        (*out)->ops[i] = ops->v[i]->kind;
    return ERR_OK;
}

/* An operator remembered as a node whose kind is the jop: jkids is the one growing array here. */
static err_code add_op(jparser *p, jkids *ops, jop op) {
    jnode *n;
    TRY(jp_node(p, (jnode_kind)op, p->tok->line, &n));
    return jp_add(p, ops, n);
}

static err_code parse_level(jparser *p, int level, jnode **out) {
    if (level == N_LEVELS)
        return parse_unary(p, true, out);
    int line = p->tok->line;
    jkids k = {0}, ops = {0};
    for (;;) {
        jnode *n;
        TRY(parse_level(p, level + 1, &n));
        TRY(jp_add(p, &k, n));
        const binary_op *o = levels[level].ops;
        while (o->text && !jp_is_op(p, o->text))
            o++;
        if (!o->text)
            break;
        TRY(add_op(p, &ops, o->op));
        p->tok++;
    }
    return finish_chain(p, levels[level].kind, line, k, &ops, out);
}

static err_code parse_compare(jparser *p, jnode **out) {
    static const binary_op cmp[] = {
        {"==", JOP_EQ}, {"!=", JOP_NE}, {"<", JOP_LT}, {"<=", JOP_LE}, {">", JOP_GT}, {">=", JOP_GE}, {0}};
    int line = p->tok->line;
    jkids k = {0}, ops = {0};
    for (;;) {
        jnode *n;
        TRY(parse_level(p, 0, &n));
        TRY(jp_add(p, &k, n));
        const binary_op *o = cmp;
        while (o->text && !jp_is_op(p, o->text))
            o++;
        if (o->text) {
            TRY(add_op(p, &ops, o->op));
            p->tok++;
        } else if (jp_skip_name(p, "in")) {
            TRY(add_op(p, &ops, JOP_IN));
        } else if (jp_is_name(p, "not") && p->tok[1].kind == JT_NAME && str_is(p->tok[1].text, "in")) {
            TRY(add_op(p, &ops, JOP_NOT_IN));
            p->tok += 2;
        } else {
            break;
        }
    }
    return finish_chain(p, JN_COMPARE, line, k, &ops, out);
}

static err_code parse_not(jparser *p, jnode **out) {
    int line = p->tok->line;
    if (!jp_skip_name(p, "not"))
        return parse_compare(p, out);
    TRY(jp_deeper(p));
    jnode *a;
    TRY(parse_not(p, &a));
    p->depth--;
    TRY(jp_node(p, JN_NOT, line, out));
    (*out)->a = a;
    return ERR_OK;
}

static err_code parse_logic(jparser *p, bool or_, jnode **out) {
    int line = p->tok->line;
    jkids k = {0};
    do {
        jnode *n;
        TRY(or_ ? parse_logic(p, false, &n) : parse_not(p, &n));
        TRY(jp_add(p, &k, n));
    } while (jp_skip_name(p, or_ ? "or" : "and"));
    return finish_chain(p, or_ ? JN_OR : JN_AND, line, k, NULL, out);
}

err_code jp_expr(jparser *p, bool cond, jnode **out) {
    int line = p->tok->line;
    TRY(parse_logic(p, true, out));
    while (cond && jp_skip_name(p, "if")) {
        jnode *n;
        TRY(jp_node(p, JN_COND, line, &n));
        n->a = *out;
        TRY(parse_logic(p, true, &n->b));
        if (jp_skip_name(p, "else")) {
            TRY(jp_deeper(p));
            TRY(jp_expr(p, true, &n->c));
            p->depth--;
        }
        *out = n;
    }
    return ERR_OK;
}
