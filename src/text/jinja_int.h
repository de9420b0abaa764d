/* jinja_int: what the chapters of the Jinja engine share; nobody else includes this.
 *
 *   source --jinja_lex--> tokens --jinja_parse, jinja_stmt--> nodes --jinja_eval--> text
 *
 *   jinja_value   strings, sequences, dicts, truth, order    jinja_ops        operators, attributes, slices
 *   jinja_format  str(), repr(), tojson, "%"                 jinja_strformat  str.format()
 *   jinja_filter  filters of text and numbers                jinja_seq        filters of sequences
 *   jinja_method  methods of str, dict, list                 jinja_test       tests and global functions
 *
 * Invariants:
 *  - Every string is well-formed UTF-8 and knows its number of code points.
 *  - Lists, tuples and dicts never change once a template can see them, and know their depth,
 *    which never passes limits.depth_max: recursion over values is bounded by construction.
 *    Namespaces are the one mutable thing; nothing recurses into them.
 *  - Nodes are read-only after the compile: one template may render in many threads.
 *  - Every loop over data of the template's choosing pays for its length by jj_charge(), and every
 *    byte comes from the render's arena through jj_alloc(): time and memory both end.
 */
#ifndef LOAM_TEXT_JINJA_INT_H
#define LOAM_TEXT_JINJA_INT_H

#include "base/arena.h"
#include "text/jinja.h"

/* ---- values ---- */

typedef enum {
    JK_MISSING, /* no value at all: an argument not given, a variable not set */
    JK_UNDEFINED,
    JK_NONE,
    JK_BOOL,
    JK_INT,
    JK_FLOAT,
    JK_STR,
    JK_LIST,
    JK_TUPLE,
    JK_DICT,
    JK_VIEW, /* dict.keys(), .values(), .items(): `sub` tells which */
    JK_RANGE,
    JK_GEN, /* what map, select, ... give: can be walked once */
    JK_NS,
    JK_LOOP,
    JK_MACRO,
    JK_FUNC,   /* a global function: `sub` tells which */
    JK_METHOD, /* a method bound to its value */
    JK_JOINER,
    JK_CYCLER
} jkind;

typedef struct {
    char *p;
    size_t used, cap;
} jgrow;

typedef struct {
    const char *p;
    size_t n;   /* bytes */
    size_t cps; /* code points */
    jgrow *own; /* buffer this string is the newest prefix of, or NULL: makes s ~ t in a loop linear */
} jstr;

typedef struct jval jval;
typedef struct {
    jval *v;
    size_t n;
    int depth;
} jseq;

typedef struct {
    jval *k, *v; /* in order of insertion */
    size_t n, cap;
    uint32_t *slot; /* open addressing, index + 1; NULL while n is small */
    size_t n_slots;
    int depth;
} jdict;

typedef struct {
    int64_t start, stop, step;
    size_t n;
} jrange;

typedef struct jns jns;
typedef struct jloop jloop;
typedef struct jmacro jmacro;
typedef struct jmethod jmethod;

struct jval {
    uint8_t kind; /* jkind */
    uint8_t sub;  /* JK_VIEW: jview; JK_STR: 1 when marked safe; JK_FUNC: jfunc */
    union {
        bool b;
        int64_t i;
        double f;
        const jstr *s;
        const jseq *seq; /* JK_LIST, JK_TUPLE */
        jdict *d;        /* JK_DICT, JK_VIEW */
        const jrange *r;
        jseq *gen; /* v, n: what is left to walk */
        jns *ns;
        jloop *loop;
        jmacro *macro;
        jmethod *method;
        void *p; /* JK_JOINER, JK_CYCLER */
    } u;
};

typedef enum { JVIEW_KEYS, JVIEW_VALUES, JVIEW_ITEMS } jview;
typedef enum {
    JFUNC_RANGE,
    JFUNC_DICT,
    JFUNC_NAMESPACE,
    JFUNC_RAISE,
    JFUNC_STRFTIME,
    JFUNC_JOINER,
    JFUNC_CYCLER,
    JFUNC_COUNT
} jfunc;

#define JV_NONE ((jval){.kind = JK_NONE})
#define JV_UNDEFINED ((jval){.kind = JK_UNDEFINED})
#define JV_BOOL(x) ((jval){.kind = JK_BOOL, .u.b = (x)})
#define JV_INT(x) ((jval){.kind = JK_INT, .u.i = (x)})
#define JV_FLOAT(x) ((jval){.kind = JK_FLOAT, .u.f = (x)})

/* ---- tokens ---- */

typedef enum {
    JT_EOF,
    JT_DATA,
    JT_VAR_BEGIN,
    JT_VAR_END,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_OP /* text is the operator */
} jtok_kind;

typedef struct {
    jtok_kind kind;
    int line;
    str text; /* data, name, unescaped string, operator */
    union {
        int64_t i;
        double f;
    } num;
} jtok;

/* ---- nodes ---- */

typedef enum {
    /* statements */
    JN_DATA,         /* text */
    JN_OUTPUT,       /* a */
    JN_IF,           /* kids: condition, body, condition, body, ...; a: else body or NULL */
    JN_FOR,          /* a: target, b: iterable, c: condition or NULL, kids: body, else body or NULL; flag: recursive */
    JN_SET,          /* a: target, b: value */
    JN_SET_BLOCK,    /* a: target, b: filter chain over JN_CAPTURED or NULL, kids[0]: body */
    JN_MACRO,        /* name, params; kids[0]: body */
    JN_CALL_BLOCK,   /* a: the JN_CALL, params; kids[0]: body */
    JN_FILTER_BLOCK, /* b: filter chain over JN_CAPTURED, kids[0]: body */
    JN_GENERATION,   /* kids[0]: body */
    JN_WITH,         /* kids: target, value, ..., body last */
    JN_BREAK,
    JN_CONTINUE,
    JN_BODY, /* kids */
    /* expressions */
    JN_CONST,   /* val */
    JN_NAME,    /* name */
    JN_NSREF,   /* name, attr: assignment target only */
    JN_LIST,    /* kids */
    JN_TUPLE,   /* kids */
    JN_DICT,    /* kids: key, value, ... */
    JN_ATTR,    /* a, attr */
    JN_ITEM,    /* a, b */
    JN_SLICE,   /* a; kids: from, to, step, each NULL or not */
    JN_CALL,    /* a, args */
    JN_FILTER,  /* a, fn, args */
    JN_TEST,    /* a, fn, args; flag: negated */
    JN_COND,    /* a if b else c */
    JN_NOT,     /* a */
    JN_NEG,     /* a */
    JN_POS,     /* a */
    JN_AND,     /* kids */
    JN_OR,      /* kids */
    JN_ARITH,   /* kids; ops between them, left to right */
    JN_CONCAT,  /* kids */
    JN_COMPARE, /* kids; ops between them */
    JN_CAPTURED /* the text a filter block or set block has just gathered */
} jnode_kind;

typedef enum {
    JOP_ADD,
    JOP_SUB,
    JOP_MUL,
    JOP_DIV,
    JOP_FLOORDIV,
    JOP_MOD,
    JOP_POW,
    JOP_EQ,
    JOP_NE,
    JOP_LT,
    JOP_LE,
    JOP_GT,
    JOP_GE,
    JOP_IN,
    JOP_NOT_IN
} jop;

typedef struct jnode jnode;

typedef struct {
    jnode **pos;
    int n_pos;
    str *key;
    jnode **val;
    int n_kw;
    jnode *star, *star_star; /* *args, **kwargs */
} jcall_args;

typedef struct {
    int *name;   /* name ids */
    jnode **def; /* default, or NULL */
    int n;
    bool uses_caller, uses_varargs, uses_kwargs;
} jparams;

typedef struct jfilter jfilter; /* a row of the filter or test table */

struct jnode {
    uint8_t kind; /* jnode_kind */
    bool flag;
    int line;
    int name; /* name id */
    int n_kids;
    jnode **kids;
    uint8_t *ops;
    jnode *a, *b, *c;
    str text; /* JN_DATA, and `attr` of JN_ATTR and JN_NSREF */
    jval val; /* JN_CONST; the attribute as a string of JN_ATTR */
    const jfilter *fn;
    jcall_args *args;
    jparams *params;
};

struct jinja {
    arena mem;
    jinja_limits limits;
    jnode *root;
    str *names; /* by name id */
    int n_names;
    int id_loop, id_caller, id_varargs, id_kwargs;
};

/* ---- a render ---- */

/* A `{% generation %}` block that has been written. */
typedef struct jwritten jwritten;
struct jwritten {
    jwritten *before;
    size_t from;
    str text;
};

typedef struct jscope jscope;
struct jscope {
    jscope *up; /* NULL: the template itself */
    int *id;
    jval *val;
    int n, cap;
    bool captured; /* a macro may still look into it */
};

enum { JFLOW_NEXT, JFLOW_BREAK, JFLOW_CONTINUE };

typedef struct {
    const jinja *t;
    arena mem;
    size_t steps;
    int depth;            /* of evaluation, in C frames */
    int calls;            /* of macros */
    int line;             /* of what is being evaluated */
    int flow;             /* JFLOW_* of the last statement */
    strbuf out;           /* what has been written; captures take their text off its end */
    jval *root;           /* by name id: the template's own variables */
    jscope *scope;        /* NULL: root */
    jscope *spare;        /* scopes for reuse */
    jval captured;        /* for JN_CAPTURED */
    jwritten *generation; /* the newest */
    time_t now;
    err *e;
} jrun;

struct jns {
    jdict *d;
};

struct jmacro {
    const jnode *node; /* JN_MACRO or JN_CALL_BLOCK */
    jscope *scope;     /* where it was written */
    int n_args;
};

typedef struct {
    jval *pos;
    int n_pos;
    str *key;
    jval *val;
    int n_kw;
} jargs;

/* ---- jinja_lex ---- */
err_code jj_lex(arena *mem, str source, jtok **tokens, size_t *n, err *e);

/* ---- jinja_parse ---- */
err_code jj_parse(jinja *t, const jtok *tokens, size_t n, err *e);

/* ---- jinja_value ---- */
err_code jj_fail(jrun *r, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
err_code jj_charge(jrun *r, size_t n_units);                  /* one unit: one evaluated node, or 64 bytes */
err_code jj_alloc(jrun *r, size_t n, size_t size, void *out); /* *(void **)out = zeroed n*size */
const char *jj_kind_name(jval v);                             /* as Python calls it */

size_t jj_cps(str s);
int32_t jj_cp(const char *p, const char *end, int *len); /* code point at p of well-formed text */
size_t jj_put_cp(int32_t cp, char out[4]);
bool jj_is_space(int32_t cp);                /* Python's str.isspace */
size_t jj_at_cp(const jstr *s, size_t i_cp); /* byte offset of a code point, i_cp <= cps */

err_code jj_str_of(jrun *r, str s, jval *out);                               /* borrowed bytes */
err_code jj_str_copy(jrun *r, str s, jval *out);                             /* copied bytes */
err_code jj_str_take(jrun *r, size_t from, jval *out);                       /* r->out from `from` on, taken off */
err_code jj_seq_new(jrun *r, jkind kind, size_t n, jval *out, jval **items); /* fill items, then jj_seq_done */
err_code jj_seq_done(jrun *r, jval v);
err_code jj_gen_new(jrun *r, jval *items, size_t n, jval *out);
err_code jj_dict_new(jrun *r, size_t cap, jval *out);
err_code jj_dict_put(jrun *r, jdict *d, jval key, jval val);
err_code jj_dict_get(jrun *r, const jdict *d, jval key, const jval **val); /* NULL: no such key */
const jval *jj_dict_find(const jdict *d, str key);
err_code jj_from_json(jrun *r, const json_t *j, int depth, jval *out);
str jj_text(jval v); /* of a JK_STR */

bool jj_truthy(jval v);
err_code jj_equal(jrun *r, jval a, jval b, bool *yes);
err_code jj_compare(jrun *r, jval a, jval b, jop op, int *sign); /* <0, 0, >0; error when unordered; 2: never */
err_code jj_len(jrun *r, jval v, size_t *n);                     /* error when it has none */
err_code jj_items(jrun *r, jval v, jval **items, size_t *n);     /* walks; error when it cannot be */
bool jj_iterable(jval v);

/* ---- jinja_ops ---- */
err_code jj_arith(jrun *r, jop op, jval a, jval b, jval *out);
err_code jj_negate(jrun *r, jval a, jval *out);
err_code jj_contains(jrun *r, jval item, jval in, bool *yes);
err_code jj_attr(jrun *r, jval v, jval name, jval *out); /* v.name */
err_code jj_item(jrun *r, jval v, jval key, jval *out);  /* v[key] */
err_code jj_slice(jrun *r, jval v, jval from, jval to, jval step, jval *out);
err_code jj_path(jrun *r, jval v, jval path, jval *out); /* "a.b.0", as attribute= takes it */
err_code jj_concat(jrun *r, jval a, jval b, jval *out);  /* two strings */

/* ---- jinja_format ---- */
err_code jj_write(jrun *r, jval v);      /* str(v) to r->out */
err_code jj_write_repr(jrun *r, jval v); /* repr(v) to r->out */
err_code jj_to_str(jrun *r, jval v, jval *out);
double jj_pow(double a, int64_t n);
err_code jj_float_repr(jrun *r, double f, bool json);
err_code jj_tojson(jrun *r, jval v, bool ascii, jval indent, bool sort_keys, jval separators, jval *out);
err_code jj_percent(jrun *r, jval fmt, jval args, jval *out);         /* fmt % args */
err_code jj_str_format(jrun *r, jval fmt, const jargs *a, jval *out); /* fmt.format(...) */

/* ---- jinja_eval ---- */
err_code jj_exec(jrun *r, const jnode *n);
err_code jj_eval(jrun *r, const jnode *n, jval *out);
err_code jj_call(jrun *r, jval f, const jargs *a, jval *out);
err_code jj_call_filter(jrun *r, const jfilter *f, jval in, const jargs *a, jval *out);

/* A loop's state belongs to jinja_eval; attributes of `loop` are asked for here. */
err_code jj_loop_attr(jrun *r, jloop *l, str name, jval *out);
err_code jj_loop_cycle(jrun *r, jloop *l, const jargs *a, jval *out);
err_code jj_loop_changed(jrun *r, jloop *l, const jargs *a, jval *out);

/* ---- filters and tests: one table each ----
 * `params` names what the filter takes after its input, "?" before each that may be left out,
 * or "*" for a filter that reads a->... itself. */
enum { JJ_PARAMS_MAX = 6 };
typedef struct {
    jval v[JJ_PARAMS_MAX]; /* JK_MISSING when not given */
    const jargs *raw;
} jgiven;
typedef err_code jj_filter_fn(jrun *r, jval in, const jgiven *g, jval *out);
struct jfilter {
    const char *name;
    const char *params;
    jj_filter_fn *fn;
};
const jfilter *jj_filter_find(str name);
const jfilter *jj_seq_filter_find(str name);
const jfilter *jj_test_find(str name);
/* Distributes `a` over `params`; `what` names the callee in errors. */
err_code jj_bind(jrun *r, const char *what, const char *params, const jargs *a, jgiven *g);
err_code jj_want_int(jrun *r, jval v, int64_t otherwise, int64_t *out); /* JK_MISSING: otherwise */

/* ---- jinja_method ---- */
/* The method `name` of v bound to it; *out stays JK_MISSING when v has none. */
err_code jj_method_get(jrun *r, jval v, str name, jval *out);
err_code jj_method_call(jrun *r, const jmethod *m, const jargs *a, jval *out);
/* shared with filters; all over code points */
typedef enum { JCASE_UPPER, JCASE_LOWER, JCASE_TITLE, JCASE_CAPITALIZE, JCASE_SWAP } jcase;
err_code jj_case(jrun *r, str s, jcase how, jval *out);
err_code jj_strip(jrun *r, jval s, jval chars, int sides, jval *out); /* sides: 1 left, 2 right, 3 both */
err_code jj_replace(jrun *r, str s, str from, str to, int64_t count, jval *out);
err_code jj_split_lines(jrun *r, str s, bool keep, jval *out);
err_code jj_join(jrun *r, str sep, const jval *items, size_t n, bool strict, jval *out);

/* ---- jinja_test: global functions ---- */
err_code jj_func_call(jrun *r, jfunc f, const jargs *a, jval *out);
bool jj_global(str name, jval *out);

#endif
