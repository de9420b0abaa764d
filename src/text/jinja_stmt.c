/* jinja_stmt: tags and text to nodes; the expressions in them are jinja_parse's. */
#include "text/jinja_parse.h"

static err_code parse_body(jparser *p, const char *const *ends, jnode **out);

static err_code check_target(jparser *p, const jnode *n) {
    if (n->kind == JN_NAME || n->kind == JN_NSREF)
        return ERR_OK;
    if (n->kind != JN_TUPLE && n->kind != JN_LIST)
        return jp_fail(p, n->line, "this cannot be assigned to");
    for (int i = 0; i < n->n_kids; i++)
        TRY(check_target(p, n->kids[i]));
    return ERR_OK;
}

static err_code parse_target(jparser *p, bool ns, const char *extra, jnode **out) {
    TRY(jp_tuple(p, TUPLE_SIMPLE | (ns ? TUPLE_NS : 0), extra, out));
    return check_target(p, *out);
}

static err_code parse_if(jparser *p, jnode **out) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    TRY(jp_node(p, JN_IF, p->tok->line, out));
    jkids k = {0};
    p->branches++;
    for (;;) {
        p->tok++; /* if, elif */
        jnode *n;
        TRY(jp_tuple(p, 0, NULL, &n));
        TRY(jp_add(p, &k, n));
        TRY(parse_body(p, ends, &n));
        TRY(jp_add(p, &k, n));
        if (!jp_is_name(p, "elif"))
            break;
    }
    jp_give(*out, k);
    if (jp_skip_name(p, "else"))
        TRY(parse_body(p, ends + 2, &(*out)->a));
    p->branches--;
    p->tok++; /* endif */
    return ERR_OK;
}

static bool names_loop(const jparser *p, const jnode *n) {
    if (n->kind == JN_NAME)
        return n->name == p->t->id_loop;
    for (int i = 0; i < n->n_kids; i++)
        if (names_loop(p, n->kids[i]))
            return true;
    return false;
}

static err_code parse_for(jparser *p, jnode **out) {
    static const char *const ends[] = {"else", "endfor", NULL};
    TRY(jp_node(p, JN_FOR, p->tok->line, out));
    p->tok++;
    TRY(parse_target(p, false, "in", &(*out)->a));
    if (names_loop(p, (*out)->a))
        return jp_fail(p, (*out)->line, "a for loop cannot assign to 'loop'");
    if (!jp_skip_name(p, "in"))
        return jp_unexpected(p, "in");
    TRY(jp_tuple(p, 0, "recursive", &(*out)->b));
    if (jp_skip_name(p, "if"))
        TRY(jp_expr(p, true, &(*out)->c));
    (*out)->flag = jp_skip_name(p, "recursive");
    jkids k = {0};
    jnode *n;
    p->loops++;
    TRY(parse_body(p, ends, &n));
    p->loops--;
    TRY(jp_add(p, &k, n));
    n = NULL;
    if (jp_skip_name(p, "else"))
        TRY(parse_body(p, ends + 1, &n));
    TRY(jp_add(p, &k, n));
    p->tok++; /* endfor */
    jp_give(*out, k);
    return ERR_OK;
}

static err_code parse_one_body(jparser *p, const char *end, jnode *of) {
    const char *const ends[] = {end, NULL};
    jkids k = {0};
    jnode *n;
    TRY(parse_body(p, ends, &n));
    p->tok++;
    TRY(jp_add(p, &k, n));
    jp_give(of, k);
    return ERR_OK;
}

static err_code parse_set(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_SET, p->tok->line, out));
    p->tok++;
    TRY(parse_target(p, true, NULL, &(*out)->a));
    if (jp_skip_op(p, "="))
        return jp_tuple(p, TUPLE_COND, NULL, &(*out)->b);
    (*out)->kind = JN_SET_BLOCK;
    if (jp_is_op(p, "|")) {
        TRY(jp_node(p, JN_CAPTURED, p->tok->line, &(*out)->b));
        TRY(jp_filters(p, false, &(*out)->b));
    }
    return parse_one_body(p, "endset", *out);
}

static err_code parse_filter_block(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_FILTER_BLOCK, p->tok->line, out));
    p->tok++;
    TRY(jp_node(p, JN_CAPTURED, p->tok->line, &(*out)->b));
    TRY(jp_filters(p, true, &(*out)->b));
    return parse_one_body(p, "endfilter", *out);
}

static err_code parse_signature(jparser *p, jparams *m) {
    jkids def = {0}, name = {0};
    bool defaults = false;
    TRY(jp_want_op(p, "("));
    while (!jp_is_op(p, ")")) {
        if (name.n)
            TRY(jp_want_op(p, ","));
        jnode *n, *d = NULL;
        TRY(jp_node(p, JN_NAME, p->tok->line, &n));
        str text;
        TRY(jp_want_name(p, &text));
        TRY(jp_intern(p, text, &n->name));
        for (int i = 0; i < name.n; i++)
            if (name.v[i]->name == n->name)
                return jp_fail(p, n->line, "a parameter is named twice");
        if (jp_skip_op(p, "="))
            TRY(jp_expr(p, true, &d));
        else if (defaults)
            return jp_fail(p, n->line, "a parameter without default follows one with a default");
        defaults = d != NULL;
        TRY(jp_add(p, &name, n));
        TRY(jp_add(p, &def, d));
    }
    TRY(jp_want_op(p, ")"));
    ARENA_NEW(&p->t->mem, m->name, (size_t)name.n, p->e);
    for (int i = 0; i < name.n; i++)
        m->name[i] = name.v[i]->name;
    m->def = def.v;
    m->n = name.n;
    return ERR_OK;
}

/* A body that runs as a function of its own: loops outside it are out of reach. */
static err_code parse_function_body(jparser *p, const char *end, jnode *of) {
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

static err_code parse_macro(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_MACRO, p->tok->line, out));
    p->tok++;
    ARENA_NEW(&p->t->mem, (*out)->params, 1, p->e);
    TRY(jp_want_name(p, &(*out)->text));
    TRY(jp_intern(p, (*out)->text, &(*out)->name));
    TRY(parse_signature(p, (*out)->params));
    return parse_function_body(p, "endmacro", *out);
}

static err_code parse_call_block(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_CALL_BLOCK, p->tok->line, out));
    p->tok++;
    ARENA_NEW(&p->t->mem, (*out)->params, 1, p->e);
    (*out)->text = STR("caller");
    if (jp_is_op(p, "("))
        TRY(parse_signature(p, (*out)->params));
    TRY(jp_expr(p, true, &(*out)->a));
    if ((*out)->a->kind != JN_CALL)
        return jp_fail(p, (*out)->line, "{% call %} needs a call");
    return parse_function_body(p, "endcall", *out);
}

static err_code parse_generation(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_GENERATION, p->tok->line, out));
    p->tok++;
    int loops = p->loops;
    p->loops = 0;
    TRY(parse_one_body(p, "endgeneration", *out));
    p->loops = loops;
    return ERR_OK;
}

static err_code parse_with(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_WITH, p->tok->line, out));
    p->tok++;
    jkids k = {0};
    jnode *n;
    while (p->tok->kind != JT_BLOCK_END) {
        if (k.n)
            TRY(jp_want_op(p, ","));
        TRY(jp_primary(p, false, &n));
        TRY(check_target(p, n));
        TRY(jp_add(p, &k, n));
        TRY(jp_want_op(p, "="));
        TRY(jp_expr(p, true, &n));
        TRY(jp_add(p, &k, n));
    }
    static const char *const ends[] = {"endwith", NULL};
    TRY(parse_body(p, ends, &n));
    p->tok++;
    TRY(jp_add(p, &k, n));
    jp_give(*out, k);
    return ERR_OK;
}

static err_code parse_print(jparser *p, jnode **out) {
    TRY(jp_node(p, JN_BODY, p->tok->line, out));
    p->tok++;
    jkids k = {0};
    while (p->tok->kind != JT_BLOCK_END) {
        if (k.n)
            TRY(jp_want_op(p, ","));
        jnode *n;
        TRY(jp_node(p, JN_OUTPUT, p->tok->line, &n));
        TRY(jp_expr(p, true, &n->a));
        TRY(jp_add(p, &k, n));
    }
    jp_give(*out, k);
    return ERR_OK;
}

static err_code parse_statement(jparser *p, jnode **out) {
    static const struct {
        const char *name;
        err_code (*parse)(jparser *, jnode **);
    } tags[] = {
        {"if", parse_if},       {"for", parse_for},         {"set", parse_set},
        {"macro", parse_macro}, {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},   {"print", parse_print},     {"generation", parse_generation},
    };
    const jtok *t = p->tok;
    if (t->kind != JT_NAME)
        return jp_unexpected(p, "the name of a tag");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (str_is(t->text, tags[i].name))
            return tags[i].parse(p, out);
    bool brk = str_is(t->text, "break");
    if (brk || str_is(t->text, "continue")) {
        if (!p->loops)
            return jp_fail(p, t->line, brk ? "{% break %} outside of a loop" : "{% continue %} outside of a loop");
        p->tok++;
        return jp_node(p, brk ? JN_BREAK : JN_CONTINUE, t->line, out);
    }
    if (str_starts(t->text, STR("end")) || str_is(t->text, "else") || str_is(t->text, "elif"))
        return err_set(p->e, ERR_FORMAT, "template line %d: {%% %.*s %%} has nothing to close", t->line,
                       STR_ARG(t->text));
    return err_set(p->e, ERR_UNSUPPORTED, "template line %d: tag {%% %.*s %%}", t->line, STR_ARG(t->text));
}

/* Text and tags up to one of the tags in `ends` (NULL: to the end of the template), which is
 * left as the current token. For a nested body the current tag's own end comes first. */
static err_code parse_body(jparser *p, const char *const *ends, jnode **out) {
    int opened = p->tok->line;
    if (ends) {
        jp_skip_op(p, ":");
        TRY(jp_want_block_end(p));
    }
    TRY(jp_deeper(p));
    TRY(jp_node(p, JN_BODY, opened, out));
    jkids k = {0};
    for (bool done = false; !done;) {
        const jtok *t = p->tok;
        jnode *n = NULL;
        if (t->kind == JT_EOF) {
            if (ends)
                return err_set(p->e, ERR_FORMAT, "template line %d: the template ends before {%% %s %%}", opened,
                               ends[0] && ends[1] && ends[2] ? ends[2]
                               : ends[0] && ends[1]          ? ends[1]
                                                             : ends[0]);
            break;
        }
        p->tok++;
        if (t->kind == JT_DATA) {
            TRY(jp_node(p, JN_DATA, t->line, &n));
            n->text = t->text;
        } else if (t->kind == JT_VAR_BEGIN) {
            TRY(jp_node(p, JN_OUTPUT, t->line, &n));
            TRY(jp_tuple(p, TUPLE_COND, NULL, &n->a));
            if (p->tok->kind != JT_VAR_END)
                return jp_unexpected(p, "\"}}\"");
            p->tok++;
        } else {
            for (const char *const *end = ends; end && *end && !done; end++)
                done = jp_is_name(p, *end);
            if (done)
                break;
            TRY(parse_statement(p, &n));
            TRY(jp_want_block_end(p));
        }
        TRY(jp_add(p, &k, n));
    }
    jp_give(*out, k);
    p->depth--;
    return ERR_OK;
}

err_code jj_parse(jinja *t, const jtok *tokens, size_t n, err *e) {
    (void)n; /* the last token is JT_EOF, and nothing steps past it */
    jparser p = {.t = t, .tok = tokens, .e = e};
    TRY(jp_intern(&p, STR("loop"), &t->id_loop));
    TRY(jp_intern(&p, STR("caller"), &t->id_caller));
    TRY(jp_intern(&p, STR("varargs"), &t->id_varargs));
    TRY(jp_intern(&p, STR("kwargs"), &t->id_kwargs));
    return parse_body(&p, NULL, &t->root);
}
