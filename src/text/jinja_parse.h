/* jinja_parse.h: what the two chapters of the parser share; see jinja_parse.c. */
#ifndef LOAM_TEXT_JINJA_PARSE_H
#define LOAM_TEXT_JINJA_PARSE_H

#include "text/jinja_int.h"

typedef struct {
    jinja *t;
    const jtok *tok;
    int depth, loops; /* loops: 0 where break and continue have no meaning */
    int branches;     /* of `if` around: what stands there may never run, so its unknown filters wait */
    int cap_names;
    jparams *macro; /* of the macro being parsed, to note the special names it uses */
    err *e;
} jparser;

/* Kids gathered before their number is known. */
typedef struct {
    jnode **v;
    int n, cap;
} jkids;

err_code jp_node(jparser *p, jnode_kind kind, int line, jnode **out);
err_code jp_add(jparser *p, jkids *k, jnode *n);
void jp_give(jnode *n, jkids k);
bool jp_is_op(const jparser *p, const char *op);
bool jp_is_name(const jparser *p, const char *name);
bool jp_skip_op(jparser *p, const char *op);
bool jp_skip_name(jparser *p, const char *name);
err_code jp_unexpected(jparser *p, const char *wanted);
err_code jp_want_op(jparser *p, const char *op);
err_code jp_want_name(jparser *p, str *out);
err_code jp_want_block_end(jparser *p);
err_code jp_intern(jparser *p, str name, int *id);
err_code jp_fail(jparser *p, int line, const char *what);
err_code jp_deeper(jparser *p);

/* jp_tuple: may hold `a if b else c`; names and literals only; stands in brackets; a.b names a namespace's attribute.
 */
enum { TUPLE_COND = 1, TUPLE_SIMPLE = 2, TUPLE_PAREN = 4, TUPLE_NS = 8 };
err_code jp_tuple(jparser *p, int how, const char *extra, jnode **out);
err_code jp_expr(jparser *p, bool cond, jnode **out);
err_code jp_primary(jparser *p, bool ns, jnode **out);
err_code jp_filters(jparser *p, bool inline_, jnode **n);

#endif
