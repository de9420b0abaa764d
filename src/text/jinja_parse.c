/* jinja_parse: tokens to nodes, by recursive descent.
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
#include "text/jinja_int.h"

#include <string.h>

enum { NAMES_MAX = 1024 };

typedef struct {
    jinja *t;
    const jtok *tok;
    int depth, loops; /* loops: 0 where break and continue have no meaning */
    int branches;     /* of `if` around: what stands there may never run, so its unknown filters wait */
    int cap_names;
    jparams *macro; /* of the macro being parsed, to note the special names it uses */
    err *e;
} parser;

/* Kids gathered before their number is known. */
typedef struct {
    jnode **v;
    int n, cap;
} kids;

static err_code parse_body(parser *p, const char *const *ends, jnode **out);
static err_code parse_expr(parser *p, bool cond, jnode **out);
static err_code parse_primary(parser *p, bool ns, jnode **out);
static err_code parse_unary(parser *p, bool with_filter, jnode **out);

static err_code fail(parser *p, int line, const char *what) {
    return err_set(p->e, ERR_FORMAT, "template line %d: %s", line, what);
}

static err_code deeper(parser *p) {
    if (++p->depth > p->t->limits.depth_max)
        return err_set(p->e, ERR_LIMIT, "template line %d: nested deeper than %d", p->tok->line,
                       p->t->limits.depth_max);
    return ERR_OK;
}

static err_code node(parser *p, jnode_kind kind, int line, jnode **out) {
    ARENA_NEW(&p->t->mem, *out, 1, p->e);
    (*out)->kind = (uint8_t)kind;
    (*out)->line = line;
    return ERR_OK;
}

static err_code add(parser *p, kids *k, jnode *n) {
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

static void give(jnode *n, kids k) {
    n->kids = k.v;
    n->n_kids = k.n;
}

static bool is_op(const parser *p, const char *op) { return p->tok->kind == JT_OP && str_is(p->tok->text, op); }
static bool is_name(const parser *p, const char *name) {
    return p->tok->kind == JT_NAME && str_is(p->tok->text, name);
}

static bool skip_op(parser *p, const char *op) {
    bool yes = is_op(p, op);
    p->tok += yes;
    return yes;
}

static bool skip_name(parser *p, const char *name) {
    bool yes = is_name(p, name);
    p->tok += yes;
    return yes;
}

static err_code unexpected(parser *p, const char *wanted) {
    const jtok *t = p->tok;
    if (t->kind == JT_EOF)
        return err_set(p->e, ERR_FORMAT, "template line %d: the template ends where %s should stand", t->line, wanted);
    if (t->kind == JT_DATA || t->kind == JT_VAR_BEGIN || t->kind == JT_BLOCK_BEGIN)
        return err_set(p->e, ERR_FORMAT, "template line %d: expected %s", t->line, wanted);
    return err_set(p->e, ERR_FORMAT, "template line %d: expected %s, found '%.*s'", t->line, wanted,
                   t->text.n > 40 ? 40 : (int)t->text.n, t->text.p ? t->text.p : "");
}

static err_code want_op(parser *p, const char *op) { return skip_op(p, op) ? ERR_OK : unexpected(p, op); }

static err_code want_name(parser *p, str *out) {
    *out = p->tok->text;
    if (p->tok->kind != JT_NAME)
        return unexpected(p, "a name");
    p->tok++;
    return ERR_OK;
}

static err_code want_block_end(parser *p) {
    if (p->tok->kind != JT_BLOCK_END)
        return unexpected(p, "\"%}\"");
    p->tok++;
    return ERR_OK;
}

static err_code intern(parser *p, str name, int *id) {
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

static err_code constant_str(parser *p, str text, jval *out) {
    jstr *s;
    ARENA_NEW(&p->t->mem, s, 1, p->e);
    *s = (jstr){.p = text.p ? text.p : "", .n = text.n, .cps = jj_cps(text)};
    *out = (jval){.kind = JK_STR, .u.s = s};
    return ERR_OK;
}

/* Names that are attributes of Python objects' insides: never reachable, so never compiled. */
static err_code refuse_private(parser *p, str name, int line) {
    if (!str_starts(name, STR("__")))
        return ERR_OK;
    return err_set(p->e, ERR_UNSUPPORTED, "template line %d: attribute '%.*s' is private, the sandbox refuses it", line,
                   STR_ARG(name));
}

/* ---- expressions ---- */

static bool is_tuple_end(const parser *p, const char *extra) {
    jtok_kind k = p->tok->kind;
    return k == JT_VAR_END || k == JT_BLOCK_END || is_op(p, ")") || (extra && is_name(p, extra));
}

enum { TUPLE_COND = 1, TUPLE_SIMPLE = 2, TUPLE_PAREN = 4, TUPLE_NS = 8 };

static err_code parse_tuple(parser *p, int how, const char *extra, jnode **out) {
    int line = p->tok->line;
    kids k = {0};
    bool tuple = false;
    for (;;) {
        if (k.n)
            TRY(want_op(p, ","));
        if (is_tuple_end(p, extra))
            break;
        jnode *n;
        if (how & TUPLE_SIMPLE)
            TRY(parse_primary(p, how & TUPLE_NS, &n));
        else
            TRY(parse_expr(p, how & TUPLE_COND, &n));
        TRY(add(p, &k, n));
        if (!is_op(p, ","))
            break;
        tuple = true;
    }
    if (!tuple && k.n) {
        *out = k.v[0];
        return ERR_OK;
    }
    if (!tuple && !(how & TUPLE_PAREN))
        return unexpected(p, "an expression");
    TRY(node(p, JN_TUPLE, line, out));
    give(*out, k);
    return ERR_OK;
}

static err_code parse_list(parser *p, jnode **out) {
    TRY(node(p, JN_LIST, p->tok->line, out));
    TRY(want_op(p, "["));
    kids k = {0};
    while (!is_op(p, "]")) {
        if (k.n)
            TRY(want_op(p, ","));
        if (is_op(p, "]"))
            break;
        jnode *n;
        TRY(parse_expr(p, true, &n));
        TRY(add(p, &k, n));
    }
    give(*out, k);
    return want_op(p, "]");
}

static err_code parse_dict(parser *p, jnode **out) {
    TRY(node(p, JN_DICT, p->tok->line, out));
    TRY(want_op(p, "{"));
    kids k = {0};
    while (!is_op(p, "}")) {
        if (k.n)
            TRY(want_op(p, ","));
        if (is_op(p, "}"))
            break;
        jnode *n;
        TRY(parse_expr(p, true, &n));
        TRY(add(p, &k, n));
        TRY(want_op(p, ":"));
        TRY(parse_expr(p, true, &n));
        TRY(add(p, &k, n));
    }
    give(*out, k);
    return want_op(p, "}");
}

static err_code parse_name(parser *p, bool ns, jnode **out) {
    const jtok *t = p->tok++;
    TRY(node(p, JN_CONST, t->line, out));
    if (str_is(t->text, "true") || str_is(t->text, "True")) {
        (*out)->val = JV_BOOL(true);
    } else if (str_is(t->text, "false") || str_is(t->text, "False")) {
        (*out)->val = JV_BOOL(false);
    } else if (str_is(t->text, "none") || str_is(t->text, "None")) {
        (*out)->val = JV_NONE;
    } else {
        (*out)->kind = JN_NAME;
        TRY(intern(p, t->text, &(*out)->name));
        if (p->macro) {
            p->macro->uses_caller |= str_is(t->text, "caller");
            p->macro->uses_varargs |= str_is(t->text, "varargs");
            p->macro->uses_kwargs |= str_is(t->text, "kwargs");
        }
        if (ns && skip_op(p, ".")) {
            (*out)->kind = JN_NSREF;
            TRY(want_name(p, &(*out)->text));
            if (str_starts((*out)->text, STR("_")))
                return err_set(p->e, ERR_UNSUPPORTED,
                               "template line %d: namespace attribute '%.*s' is private, the sandbox refuses it", t->line,
                               STR_ARG((*out)->text));
            TRY(constant_str(p, (*out)->text, &(*out)->val));
        }
    }
    return ERR_OK;
}

static err_code parse_strings(parser *p, jnode **out) {
    TRY(node(p, JN_CONST, p->tok->line, out));
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

static err_code parse_primary(parser *p, bool ns, jnode **out) {
    const jtok *t = p->tok;
    if (t->kind == JT_NAME)
        return parse_name(p, ns, out);
    if (t->kind == JT_STRING)
        return parse_strings(p, out);
    if (t->kind == JT_INT || t->kind == JT_FLOAT) {
        p->tok++;
        TRY(node(p, JN_CONST, t->line, out));
        (*out)->val = t->kind == JT_INT ? JV_INT(t->num.i) : JV_FLOAT(t->num.f);
        return ERR_OK;
    }
    TRY(deeper(p));
    if (skip_op(p, "(")) {
        TRY(parse_tuple(p, TUPLE_COND | TUPLE_PAREN, NULL, out));
        TRY(want_op(p, ")"));
    } else if (is_op(p, "[")) {
        TRY(parse_list(p, out));
    } else if (is_op(p, "{")) {
        TRY(parse_dict(p, out));
    } else {
        return unexpected(p, "an expression");
    }
    p->depth--;
    return ERR_OK;
}

static err_code parse_call_args(parser *p, jcall_args **out) {
    int line = p->tok->line;
    TRY(deeper(p));
    jcall_args *a;
    ARENA_NEW(&p->t->mem, a, 1, p->e);
    kids pos = {0}, val = {0}, key = {0};
    TRY(want_op(p, "("));
    bool comma = false, ok = true;
    while (!is_op(p, ")")) {
        if (comma) {
            TRY(want_op(p, ","));
            if (is_op(p, ")"))
                break;
        }
        if (skip_op(p, "*")) {
            ok = !a->star && !a->star_star;
            TRY(parse_expr(p, true, &a->star));
        } else if (skip_op(p, "**")) {
            ok = !a->star_star;
            TRY(parse_expr(p, true, &a->star_star));
        } else if (p->tok->kind == JT_NAME && p->tok[1].kind == JT_OP && str_is(p->tok[1].text, "=")) {
            ok = !a->star_star;
            jnode *k, *v;
            TRY(node(p, JN_DATA, line, &k));
            k->text = p->tok->text;
            p->tok += 2;
            for (int i = 0; i < key.n; i++)
                ok = ok && !str_eq(key.v[i]->text, k->text);
            TRY(parse_expr(p, true, &v));
            TRY(add(p, &key, k));
            TRY(add(p, &val, v));
        } else {
            ok = !a->star && !a->star_star && !val.n;
            jnode *v;
            TRY(parse_expr(p, true, &v));
            TRY(add(p, &pos, v));
        }
        if (!ok)
            return fail(p, line, "invalid order of arguments in a call");
        comma = true;
    }
    TRY(want_op(p, ")"));
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

static err_code parse_slice_or_expr(parser *p, jnode *of, jnode **out) {
    int line = p->tok->line;
    jnode *part[3] = {0};
    if (!is_op(p, ":"))
        TRY(parse_expr(p, true, &part[0]));
    if (!is_op(p, ":")) {
        TRY(node(p, JN_ITEM, line, out));
        (*out)->a = of;
        (*out)->b = part[0];
        return ERR_OK;
    }
    p->tok++;
    if (!is_op(p, ":") && !is_op(p, "]") && !is_op(p, ","))
        TRY(parse_expr(p, true, &part[1]));
    if (skip_op(p, ":") && !is_op(p, "]") && !is_op(p, ","))
        TRY(parse_expr(p, true, &part[2]));
    TRY(node(p, JN_SLICE, line, out));
    (*out)->a = of;
    kids k = {0};
    for (int i = 0; i < 3; i++)
        TRY(add(p, &k, part[i]));
    give(*out, k);
    return ERR_OK;
}

static err_code parse_subscript(parser *p, jnode **n) {
    int line = p->tok->line;
    jnode *of = *n;
    if (skip_op(p, ".")) {
        const jtok *t = p->tok++;
        if (t->kind == JT_NAME) {
            TRY(refuse_private(p, t->text, t->line));
            TRY(node(p, JN_ATTR, line, n));
            (*n)->text = t->text;
            TRY(constant_str(p, t->text, &(*n)->val));
        } else if (t->kind == JT_INT) {
            TRY(node(p, JN_ITEM, line, n));
            TRY(node(p, JN_CONST, line, &(*n)->b));
            (*n)->b->val = JV_INT(t->num.i);
        } else {
            p->tok--;
            return unexpected(p, "a name or number");
        }
        (*n)->a = of;
        return ERR_OK;
    }
    TRY(want_op(p, "["));
    TRY(deeper(p));
    kids k = {0};
    jnode *one = NULL;
    while (!is_op(p, "]")) {
        if (one)
            TRY(want_op(p, ","));
        TRY(parse_slice_or_expr(p, of, &one));
        if (one->kind == JN_ITEM)
            TRY(add(p, &k, one->b));
        else if (!is_op(p, "]") || k.n)
            return err_set(p->e, ERR_UNSUPPORTED, "template line %d: a slice beside other subscripts", line);
    }
    p->tok++;
    p->depth--;
    if (!one)
        return fail(p, line, "empty subscript");
    if (one->kind == JN_ITEM && k.n > 1) {
        TRY(node(p, JN_TUPLE, line, &one->b));
        give(one->b, k);
    }
    *n = one;
    if (one->kind == JN_ITEM && one->b->kind == JN_CONST && one->b->val.kind == JK_STR)
        TRY(refuse_private(p, jj_text(one->b->val), line));
    return ERR_OK;
}

static err_code parse_call(parser *p, jnode **n) {
    jnode *of = *n;
    TRY(node(p, JN_CALL, p->tok->line, n));
    (*n)->a = of;
    return parse_call_args(p, &(*n)->args);
}

static err_code parse_postfix(parser *p, jnode **n) {
    for (;;) {
        if (is_op(p, ".") || is_op(p, "["))
            TRY(parse_subscript(p, n));
        else if (is_op(p, "("))
            TRY(parse_call(p, n));
        else
            return ERR_OK;
    }
}

/* The name of a filter or test, which may have dots. */
static err_code parse_dotted(parser *p, str *name) {
    TRY(want_name(p, name));
    while (is_op(p, ".")) {
        p->tok++;
        str more;
        TRY(want_name(p, &more));
        *name = (str){name->p, (size_t)(more.p + more.n - name->p)};
    }
    return ERR_OK;
}

/* One or more "| filter(args)"; with `inline_` the first has no bar. */
static err_code parse_filters(parser *p, bool inline_, jnode **n) {
    while (inline_ || is_op(p, "|")) {
        p->tok += !inline_;
        inline_ = false;
        jnode *of = *n;
        str name;
        TRY(node(p, JN_FILTER, p->tok->line, n));
        TRY(parse_dotted(p, &name));
        (*n)->a = of;
        (*n)->text = name;
        (*n)->fn = jj_filter_find(name);
        if (!(*n)->fn && !p->branches)
            return err_set(p->e, ERR_UNSUPPORTED, "template line %d: no filter named '%.*s'", (*n)->line, STR_ARG(name));
        if (is_op(p, "("))
            TRY(parse_call_args(p, &(*n)->args));
    }
    return ERR_OK;
}

static bool starts_test_argument(const parser *p) {
    jtok_kind k = p->tok->kind;
    if (k == JT_STRING || k == JT_INT || k == JT_FLOAT || is_op(p, "[") || is_op(p, "{"))
        return true;
    return k == JT_NAME && !is_name(p, "else") && !is_name(p, "or") && !is_name(p, "and");
}

static err_code parse_test(parser *p, jnode **n) {
    jnode *of = *n;
    TRY(node(p, JN_TEST, p->tok->line, n));
    (*n)->a = of;
    p->tok++; /* is */
    (*n)->flag = skip_name(p, "not");
    str name;
    TRY(parse_dotted(p, &name));
    (*n)->text = name;
    (*n)->fn = jj_test_find(name);
    if (!(*n)->fn && !p->branches)
        return err_set(p->e, ERR_UNSUPPORTED, "template line %d: no test named '%.*s'", (*n)->line, STR_ARG(name));
    if (is_op(p, "("))
        return parse_call_args(p, &(*n)->args);
    if (!starts_test_argument(p))
        return ERR_OK;
    if (is_name(p, "is"))
        return fail(p, p->tok->line, "tests cannot be chained with \"is\"");
    jnode *arg;
    TRY(parse_primary(p, false, &arg));
    TRY(parse_postfix(p, &arg));
    kids k = {0};
    TRY(add(p, &k, arg));
    ARENA_NEW(&p->t->mem, (*n)->args, 1, p->e);
    (*n)->args->pos = k.v;
    (*n)->args->n_pos = 1;
    return ERR_OK;
}

static err_code parse_filter_expr(parser *p, jnode **n) {
    for (;;) {
        if (is_op(p, "|"))
            TRY(parse_filters(p, false, n));
        else if (is_name(p, "is"))
            TRY(parse_test(p, n));
        else if (is_op(p, "("))
            TRY(parse_call(p, n));
        else
            return ERR_OK;
    }
}

static err_code parse_unary(parser *p, bool with_filter, jnode **out) {
    int line = p->tok->line;
    if (is_op(p, "-") || is_op(p, "+")) {
        bool neg = is_op(p, "-");
        p->tok++;
        TRY(deeper(p));
        jnode *a;
        TRY(parse_unary(p, false, &a));
        p->depth--;
        TRY(node(p, neg ? JN_NEG : JN_POS, line, out));
        (*out)->a = a;
    } else {
        TRY(parse_primary(p, false, out));
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

static err_code finish_chain(parser *p, jnode_kind kind, int line, kids k, const kids *ops, jnode **out) {
    if (k.n == 1) {
        *out = k.v[0];
        return ERR_OK;
    }
    TRY(node(p, kind, line, out));
    give(*out, k);
    ARENA_NEW(&p->t->mem, (*out)->ops, (size_t)k.n, p->e);
    for (int i = 0; ops && i < ops->n; i++)
        (*out)->ops[i] = ops->v[i]->kind;
    return ERR_OK;
}

/* An operator remembered as a node whose kind is the jop: kids is the one growing array here. */
static err_code add_op(parser *p, kids *ops, jop op) {
    jnode *n;
    TRY(node(p, (jnode_kind)op, p->tok->line, &n));
    return add(p, ops, n);
}

static err_code parse_level(parser *p, int level, jnode **out) {
    if (level == N_LEVELS)
        return parse_unary(p, true, out);
    int line = p->tok->line;
    kids k = {0}, ops = {0};
    for (;;) {
        jnode *n;
        TRY(parse_level(p, level + 1, &n));
        TRY(add(p, &k, n));
        const binary_op *o = levels[level].ops;
        while (o->text && !is_op(p, o->text))
            o++;
        if (!o->text)
            break;
        TRY(add_op(p, &ops, o->op));
        p->tok++;
    }
    return finish_chain(p, levels[level].kind, line, k, &ops, out);
}

static err_code parse_compare(parser *p, jnode **out) {
    static const binary_op cmp[] = {{"==", JOP_EQ}, {"!=", JOP_NE}, {"<", JOP_LT}, {"<=", JOP_LE},
                                    {">", JOP_GT},  {">=", JOP_GE}, {0}};
    int line = p->tok->line;
    kids k = {0}, ops = {0};
    for (;;) {
        jnode *n;
        TRY(parse_level(p, 0, &n));
        TRY(add(p, &k, n));
        const binary_op *o = cmp;
        while (o->text && !is_op(p, o->text))
            o++;
        if (o->text) {
            TRY(add_op(p, &ops, o->op));
            p->tok++;
        } else if (skip_name(p, "in")) {
            TRY(add_op(p, &ops, JOP_IN));
        } else if (is_name(p, "not") && p->tok[1].kind == JT_NAME && str_is(p->tok[1].text, "in")) {
            TRY(add_op(p, &ops, JOP_NOT_IN));
            p->tok += 2;
        } else {
            break;
        }
    }
    return finish_chain(p, JN_COMPARE, line, k, &ops, out);
}

static err_code parse_not(parser *p, jnode **out) {
    int line = p->tok->line;
    if (!skip_name(p, "not"))
        return parse_compare(p, out);
    TRY(deeper(p));
    jnode *a;
    TRY(parse_not(p, &a));
    p->depth--;
    TRY(node(p, JN_NOT, line, out));
    (*out)->a = a;
    return ERR_OK;
}

static err_code parse_logic(parser *p, bool or_, jnode **out) {
    int line = p->tok->line;
    kids k = {0};
    do {
        jnode *n;
        TRY(or_ ? parse_logic(p, false, &n) : parse_not(p, &n));
        TRY(add(p, &k, n));
    } while (skip_name(p, or_ ? "or" : "and"));
    return finish_chain(p, or_ ? JN_OR : JN_AND, line, k, NULL, out);
}

static err_code parse_expr(parser *p, bool cond, jnode **out) {
    int line = p->tok->line;
    TRY(parse_logic(p, true, out));
    while (cond && skip_name(p, "if")) {
        jnode *n;
        TRY(node(p, JN_COND, line, &n));
        n->a = *out;
        TRY(parse_logic(p, true, &n->b));
        if (skip_name(p, "else")) {
            TRY(deeper(p));
            TRY(parse_expr(p, true, &n->c));
            p->depth--;
        }
        *out = n;
    }
    return ERR_OK;
}

/* ---- statements ---- */

static err_code check_target(parser *p, const jnode *n) {
    if (n->kind == JN_NAME || n->kind == JN_NSREF)
        return ERR_OK;
    if (n->kind != JN_TUPLE && n->kind != JN_LIST)
        return fail(p, n->line, "this cannot be assigned to");
    for (int i = 0; i < n->n_kids; i++)
        TRY(check_target(p, n->kids[i]));
    return ERR_OK;
}

static err_code parse_target(parser *p, bool ns, const char *extra, jnode **out) {
    TRY(parse_tuple(p, TUPLE_SIMPLE | (ns ? TUPLE_NS : 0), extra, out));
    return check_target(p, *out);
}

static err_code parse_if(parser *p, jnode **out) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    TRY(node(p, JN_IF, p->tok->line, out));
    kids k = {0};
    p->branches++;
    for (;;) {
        p->tok++; /* if, elif */
        jnode *n;
        TRY(parse_tuple(p, 0, NULL, &n));
        TRY(add(p, &k, n));
        TRY(parse_body(p, ends, &n));
        TRY(add(p, &k, n));
        if (!is_name(p, "elif"))
            break;
    }
    give(*out, k);
    if (skip_name(p, "else"))
        TRY(parse_body(p, ends + 2, &(*out)->a));
    p->branches--;
    p->tok++; /* endif */
    return ERR_OK;
}

static bool names_loop(const parser *p, const jnode *n) {
    if (n->kind == JN_NAME)
        return n->name == p->t->id_loop;
    for (int i = 0; i < n->n_kids; i++)
        if (names_loop(p, n->kids[i]))
            return true;
    return false;
}

static err_code parse_for(parser *p, jnode **out) {
    static const char *const ends[] = {"else", "endfor", NULL};
    TRY(node(p, JN_FOR, p->tok->line, out));
    p->tok++;
    TRY(parse_target(p, false, "in", &(*out)->a));
    if (names_loop(p, (*out)->a))
        return fail(p, (*out)->line, "a for loop cannot assign to 'loop'");
    if (!skip_name(p, "in"))
        return unexpected(p, "in");
    TRY(parse_tuple(p, 0, "recursive", &(*out)->b));
    if (skip_name(p, "if"))
        TRY(parse_expr(p, true, &(*out)->c));
    (*out)->flag = skip_name(p, "recursive");
    kids k = {0};
    jnode *n;
    p->loops++;
    TRY(parse_body(p, ends, &n));
    p->loops--;
    TRY(add(p, &k, n));
    n = NULL;
    if (skip_name(p, "else"))
        TRY(parse_body(p, ends + 1, &n));
    TRY(add(p, &k, n));
    p->tok++; /* endfor */
    give(*out, k);
    return ERR_OK;
}

static err_code parse_one_body(parser *p, const char *end, jnode *of) {
    const char *const ends[] = {end, NULL};
    kids k = {0};
    jnode *n;
    TRY(parse_body(p, ends, &n));
    p->tok++;
    TRY(add(p, &k, n));
    give(of, k);
    return ERR_OK;
}

static err_code parse_set(parser *p, jnode **out) {
    TRY(node(p, JN_SET, p->tok->line, out));
    p->tok++;
    TRY(parse_target(p, true, NULL, &(*out)->a));
    if (skip_op(p, "="))
        return parse_tuple(p, TUPLE_COND, NULL, &(*out)->b);
    (*out)->kind = JN_SET_BLOCK;
    if (is_op(p, "|")) {
        TRY(node(p, JN_CAPTURED, p->tok->line, &(*out)->b));
        TRY(parse_filters(p, false, &(*out)->b));
    }
    return parse_one_body(p, "endset", *out);
}

static err_code parse_filter_block(parser *p, jnode **out) {
    TRY(node(p, JN_FILTER_BLOCK, p->tok->line, out));
    p->tok++;
    TRY(node(p, JN_CAPTURED, p->tok->line, &(*out)->b));
    TRY(parse_filters(p, true, &(*out)->b));
    return parse_one_body(p, "endfilter", *out);
}

static err_code parse_signature(parser *p, jparams *m) {
    kids def = {0}, name = {0};
    bool defaults = false;
    TRY(want_op(p, "("));
    while (!is_op(p, ")")) {
        if (name.n)
            TRY(want_op(p, ","));
        jnode *n, *d = NULL;
        TRY(node(p, JN_NAME, p->tok->line, &n));
        str text;
        TRY(want_name(p, &text));
        TRY(intern(p, text, &n->name));
        for (int i = 0; i < name.n; i++)
            if (name.v[i]->name == n->name)
                return fail(p, n->line, "a parameter is named twice");
        if (skip_op(p, "="))
            TRY(parse_expr(p, true, &d));
        else if (defaults)
            return fail(p, n->line, "a parameter without default follows one with a default");
        defaults = d != NULL;
        TRY(add(p, &name, n));
        TRY(add(p, &def, d));
    }
    TRY(want_op(p, ")"));
    ARENA_NEW(&p->t->mem, m->name, (size_t)name.n, p->e);
    for (int i = 0; i < name.n; i++)
        m->name[i] = name.v[i]->name;
    m->def = def.v;
    m->n = name.n;
    return ERR_OK;
}

/* A body that runs as a function of its own: loops outside it are out of reach. */
static err_code parse_function_body(parser *p, const char *end, jnode *of) {
    jparams *outer = p->macro;
    int loops = p->loops;
    p->macro = of->params;
    p->loops = 0;
    TRY(parse_one_body(p, end, of));
    p->macro = outer;
    p->loops = loops;
    if (outer) { /* a use inside counts as a use by all macros around it */
        outer->uses_caller |= of->params->uses_caller;
        outer->uses_varargs |= of->params->uses_varargs;
        outer->uses_kwargs |= of->params->uses_kwargs;
    }
    return ERR_OK;
}

static err_code parse_macro(parser *p, jnode **out) {
    TRY(node(p, JN_MACRO, p->tok->line, out));
    p->tok++;
    ARENA_NEW(&p->t->mem, (*out)->params, 1, p->e);
    TRY(want_name(p, &(*out)->text));
    TRY(intern(p, (*out)->text, &(*out)->name));
    TRY(parse_signature(p, (*out)->params));
    return parse_function_body(p, "endmacro", *out);
}

static err_code parse_call_block(parser *p, jnode **out) {
    TRY(node(p, JN_CALL_BLOCK, p->tok->line, out));
    p->tok++;
    ARENA_NEW(&p->t->mem, (*out)->params, 1, p->e);
    (*out)->text = STR("caller");
    if (is_op(p, "("))
        TRY(parse_signature(p, (*out)->params));
    TRY(parse_expr(p, true, &(*out)->a));
    if ((*out)->a->kind != JN_CALL)
        return fail(p, (*out)->line, "{% call %} needs a call");
    return parse_function_body(p, "endcall", *out);
}

static err_code parse_generation(parser *p, jnode **out) {
    TRY(node(p, JN_GENERATION, p->tok->line, out));
    p->tok++;
    int loops = p->loops;
    p->loops = 0;
    TRY(parse_one_body(p, "endgeneration", *out));
    p->loops = loops;
    return ERR_OK;
}

static err_code parse_with(parser *p, jnode **out) {
    TRY(node(p, JN_WITH, p->tok->line, out));
    p->tok++;
    kids k = {0};
    jnode *n;
    while (p->tok->kind != JT_BLOCK_END) {
        if (k.n)
            TRY(want_op(p, ","));
        TRY(parse_primary(p, false, &n));
        TRY(check_target(p, n));
        TRY(add(p, &k, n));
        TRY(want_op(p, "="));
        TRY(parse_expr(p, true, &n));
        TRY(add(p, &k, n));
    }
    static const char *const ends[] = {"endwith", NULL};
    TRY(parse_body(p, ends, &n));
    p->tok++;
    TRY(add(p, &k, n));
    give(*out, k);
    return ERR_OK;
}

static err_code parse_print(parser *p, jnode **out) {
    TRY(node(p, JN_BODY, p->tok->line, out));
    p->tok++;
    kids k = {0};
    while (p->tok->kind != JT_BLOCK_END) {
        if (k.n)
            TRY(want_op(p, ","));
        jnode *n;
        TRY(node(p, JN_OUTPUT, p->tok->line, &n));
        TRY(parse_expr(p, true, &n->a));
        TRY(add(p, &k, n));
    }
    give(*out, k);
    return ERR_OK;
}

static err_code parse_statement(parser *p, jnode **out) {
    static const struct {
        const char *name;
        err_code (*parse)(parser *, jnode **);
    } tags[] = {
        {"if", parse_if},       {"for", parse_for},     {"set", parse_set},
        {"macro", parse_macro}, {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},   {"print", parse_print}, {"generation", parse_generation},
    };
    const jtok *t = p->tok;
    if (t->kind != JT_NAME)
        return unexpected(p, "the name of a tag");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (str_is(t->text, tags[i].name))
            return tags[i].parse(p, out);
    bool brk = str_is(t->text, "break");
    if (brk || str_is(t->text, "continue")) {
        if (!p->loops)
            return fail(p, t->line, brk ? "{% break %} outside of a loop" : "{% continue %} outside of a loop");
        p->tok++;
        return node(p, brk ? JN_BREAK : JN_CONTINUE, t->line, out);
    }
    if (str_starts(t->text, STR("end")) || str_is(t->text, "else") || str_is(t->text, "elif"))
        return err_set(p->e, ERR_FORMAT, "template line %d: {%% %.*s %%} has nothing to close", t->line, STR_ARG(t->text));
    return err_set(p->e, ERR_UNSUPPORTED, "template line %d: tag {%% %.*s %%}", t->line, STR_ARG(t->text));
}

/* Text and tags up to one of the tags in `ends` (NULL: to the end of the template), which is
 * left as the current token. For a nested body the current tag's own end comes first. */
static err_code parse_body(parser *p, const char *const *ends, jnode **out) {
    int opened = p->tok->line;
    if (ends) {
        skip_op(p, ":");
        TRY(want_block_end(p));
    }
    TRY(deeper(p));
    TRY(node(p, JN_BODY, opened, out));
    kids k = {0};
    for (bool done = false; !done;) {
        const jtok *t = p->tok;
        jnode *n = NULL;
        if (t->kind == JT_EOF) {
            if (ends)
                return err_set(p->e, ERR_FORMAT, "template line %d: the template ends before {%% %s %%}", opened,
                               ends[0] && ends[1] && ends[2] ? ends[2] : ends[0] && ends[1] ? ends[1] : ends[0]);
            break;
        }
        p->tok++;
        if (t->kind == JT_DATA) {
            TRY(node(p, JN_DATA, t->line, &n));
            n->text = t->text;
        } else if (t->kind == JT_VAR_BEGIN) {
            TRY(node(p, JN_OUTPUT, t->line, &n));
            TRY(parse_tuple(p, TUPLE_COND, NULL, &n->a));
            if (p->tok->kind != JT_VAR_END)
                return unexpected(p, "\"}}\"");
            p->tok++;
        } else {
            for (const char *const *end = ends; end && *end && !done; end++)
                done = is_name(p, *end);
            if (done)
                break;
            TRY(parse_statement(p, &n));
            TRY(want_block_end(p));
        }
        TRY(add(p, &k, n));
    }
    give(*out, k);
    p->depth--;
    return ERR_OK;
}

err_code jj_parse(jinja *t, const jtok *tokens, size_t n, err *e) {
    (void)n; /* the last token is JT_EOF, and nothing steps past it */
    parser p = {.t = t, .tok = tokens, .e = e};
    TRY(intern(&p, STR("loop"), &t->id_loop));
    TRY(intern(&p, STR("caller"), &t->id_caller));
    TRY(intern(&p, STR("varargs"), &t->id_varargs));
    TRY(intern(&p, STR("kwargs"), &t->id_kwargs));
    return parse_body(&p, NULL, &t->root);
}
