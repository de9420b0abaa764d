/* grammar: checks of a tree, and its program; see grammar.h.
 *
 * Checks go over all rules again and again until nothing changes: which expressions can be empty, which can come to an
 * end. Each pass settles at least one rule, mostly nearly all; steps are counted, so a tangled tree is refused.
 */
#include "text/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/utf8.h"

/* A UTF-8 sequence whose bytes lie each in a range of its own. */
typedef struct {
    uint8_t first[4], last[4], n;
} utf8_range;

typedef struct {
    const grammar_tree *t;
    grammar *g;
    bool *empty, *ends; /* by rule: can be the empty text; can come to an end */
    uint32_t *at;       /* by rule: its first instruction + 1; 0: not yet met */
    uint32_t *queue;    /* rules to write, in the order in which they were met */
    uint32_t n_queue;
    uint32_t *follow; /* rule r begins with the rules follow[from[r]] to follow[from[r + 1]] */
    uint32_t *from, n_follow, cap_follow;
    utf8_range *utf8; /* of the set at hand */
    uint32_t n_utf8, cap_utf8;
    uint64_t steps;
    err *e;
} compiler;

static const grammar_node *node(const compiler *c, uint32_t x) { return &c->t->node[x]; }

static err_code take_step(compiler *c) {
    if (++c->steps > GRAMMAR_STEPS_MAX)
        return err_set(c->e, ERR_LIMIT, "the rules refer to each other in too tangled a way");
    return ERR_OK;
}

/* ---- what expressions can be ---- */

/* Can it be empty: `empty`; can it end: `ends`. The two differ in texts and sets alone. */
static err_code can(compiler *c, const bool *of_rule, uint32_t x, bool *yes) {
    const grammar_node *n = node(c, x);
    TRY(take_step(c));
    switch (n->kind) {
    case GRAMMAR_TEXT:
        *yes = of_rule == c->ends || n->b == 0;
        return ERR_OK;
    case GRAMMAR_SET:
        *yes = of_rule == c->ends && n->b > 0;
        return ERR_OK;
    case GRAMMAR_RULE:
        *yes = of_rule[n->a];
        return ERR_OK;
    case GRAMMAR_REPEAT:
        *yes = true;
        return n->a == 0 ? ERR_OK : can(c, of_rule, n->child, yes);
    case GRAMMAR_SEQUENCE:
    case GRAMMAR_CHOICE:
        break;
    }
    bool all = n->kind == GRAMMAR_SEQUENCE;
    *yes = all;
    for (uint32_t k = n->child; k && *yes == all; k = node(c, k)->next)
        TRY(can(c, of_rule, k, yes));
    return ERR_OK;
}

static err_code can_be_empty(compiler *c, uint32_t x, bool *yes) { return can(c, c->empty, x, yes); }
static err_code can_end(compiler *c, uint32_t x, bool *yes) { return can(c, c->ends, x, yes); }

static err_code settle(compiler *c, bool *is) {
    uint32_t n = c->t->n_rules;
    for (bool changed = true, back = false; changed; back = !back) {
        changed = false;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t r = back ? n - 1 - i : i;
            if (is[r])
                continue;
            bool yes; /* not is[r] itself: the rule may look at it */
            TRY(can(c, is, c->t->rule[r].body, &yes));
            is[r] = yes;
            changed = changed || yes;
        }
    }
    return ERR_OK;
}

/* ---- left recursion ---- */

static err_code put_follow(compiler *c, uint32_t rule) {
    if (c->n_follow == c->cap_follow) {
        uint32_t cap = c->cap_follow ? 2 * c->cap_follow : 256, *p = realloc(c->follow, cap * sizeof *p);
        if (!p)
            return err_set(c->e, ERR_MEMORY, "no memory for a grammar");
        c->follow = p;
        c->cap_follow = cap;
    }
    c->follow[c->n_follow++] = rule;
    return ERR_OK;
}

/* The rules that may stand at the very beginning of x. */
static err_code begins(compiler *c, uint32_t x) {
    const grammar_node *n = node(c, x);
    TRY(take_step(c));
    if (n->kind == GRAMMAR_RULE)
        return put_follow(c, n->a);
    bool go_on = true;
    for (uint32_t k = n->child; k && go_on; k = node(c, k)->next) {
        TRY(begins(c, k));
        if (n->kind == GRAMMAR_SEQUENCE)
            TRY(can_be_empty(c, k, &go_on));
    }
    return ERR_OK;
}

/* A walk in depth: a rule that is met while it is under way begins with itself. */
static err_code refuse_left_recursion(compiler *c, uint32_t *path, uint32_t *next, uint8_t *seen) {
    enum { NEW, UNDER_WAY, DONE };
    for (uint32_t root = 0; root < c->t->n_rules; root++) {
        uint32_t n = 0;
        if (seen[root] != NEW)
            continue;
        path[n++] = root;
        seen[root] = UNDER_WAY;
        while (n > 0) {
            uint32_t r = path[n - 1];
            if (c->from[r] + next[r] == c->from[r + 1]) {
                seen[r] = DONE;
                n--;
                continue;
            }
            uint32_t to = c->follow[c->from[r] + next[r]++];
            if (seen[to] == UNDER_WAY)
                return err_set(c->e, ERR_FORMAT,
                               "rule %.*s can begin with itself (left recursion: write a repetition instead)",
                               STR_ARG(c->t->rule[to].name));
            if (seen[to] == NEW) {
                seen[to] = UNDER_WAY;
                path[n++] = to;
            }
        }
    }
    return ERR_OK;
}

static err_code check_left(compiler *c, arena *mem) {
    uint32_t *path, *next, n = c->t->n_rules;
    uint8_t *seen;
    ARENA_NEW(mem, c->from, n + 1, c->e);
    ARENA_NEW(mem, path, n, c->e);
    ARENA_NEW(mem, next, n, c->e);
    ARENA_NEW(mem, seen, n, c->e);
    for (uint32_t r = 0; r < n; r++) {
        c->from[r] = c->n_follow;
        TRY(begins(c, c->t->rule[r].body));
    }
    c->from[n] = c->n_follow;
    return refuse_left_recursion(c, path, next, seen);
}

static err_code check(compiler *c, arena *mem, uint32_t root) {
    const grammar_tree *t = c->t;
    for (uint32_t r = 0; r < t->n_rules; r++)
        if (!t->rule[r].body)
            return err_set(c->e, ERR_FORMAT, "rule %.*s is not defined", STR_ARG(t->rule[r].name));
    TRY(settle(c, c->empty));
    TRY(settle(c, c->ends));
    TRY(check_left(c, mem));
    if (!c->ends[root])
        return err_set(c->e, ERR_FORMAT, "rule %.*s can never come to an end", STR_ARG(t->rule[root].name));
    return ERR_OK;
}

/* ---- the program ---- */

static err_code emit(compiler *c, grammar_opcode op, uint32_t a, uint32_t b, uint32_t *at) {
    grammar *g = c->g;
    if (g->n_ops == g->cap_ops) {
        uint32_t cap = g->cap_ops ? 2 * g->cap_ops : 256;
        if (cap > GRAMMAR_OPS_MAX)
            return err_set(c->e, ERR_LIMIT, "the grammar is too large: more than %d instructions", GRAMMAR_OPS_MAX);
        grammar_op *p = realloc(g->op, cap * sizeof *p);
        if (!p)
            return err_set(c->e, ERR_MEMORY, "no memory for %u instructions", cap);
        g->op = p;
        g->cap_ops = cap;
    }
    if (at)
        *at = g->n_ops;
    g->op[g->n_ops++] = (grammar_op){op, a, b, 0};
    return ERR_OK;
}

/* Few sets occur, again and again: the latest ones are looked through. */
static err_code emit_bytes(compiler *c, const grammar_bytes *s) {
    enum { LOOK_BACK = 32 };
    grammar *g = c->g;
    for (uint32_t i = g->n_sets; i-- > 0 && i + LOOK_BACK >= g->n_sets;)
        if (memcmp(&g->set[i], s, sizeof *s) == 0)
            return emit(c, GRAMMAR_OP_BYTES, i, 0, NULL);
    if (g->n_sets == g->cap_sets) {
        uint32_t cap = g->cap_sets ? 2 * g->cap_sets : 32;
        grammar_bytes *p = realloc(g->set, cap * sizeof *p);
        if (!p)
            return err_set(c->e, ERR_MEMORY, "no memory for %u sets of bytes", cap);
        g->set = p;
        g->cap_sets = cap;
    }
    g->set[g->n_sets] = *s;
    return emit(c, GRAMMAR_OP_BYTES, g->n_sets++, 0, NULL);
}

static void put_bytes(grammar_bytes *s, unsigned first, unsigned last) {
    for (unsigned b = first; b <= last; b++)
        s->bit[b >> 6] |= (uint64_t)1 << (b & 63);
}

static err_code emit_text(compiler *c, str s) {
    for (size_t i = 0; i < s.n; i++) {
        grammar_bytes one = {0};
        put_bytes(&one, (unsigned char)s.p[i], (unsigned char)s.p[i]);
        TRY(emit_bytes(c, &one));
    }
    return ERR_OK;
}

/* Alternatives as they are written: each but the last begins with a SPLIT and ends with a JUMP to the common end. */
typedef struct {
    uint32_t split; /* of the alternative at hand, + 1 */
    uint32_t jumps; /* chain of JUMPs to the end, by their targets, + 1 */
} fork;

static err_code fork_next(compiler *c, fork *f, bool last) {
    uint32_t at;
    if (f->split) {
        TRY(emit(c, GRAMMAR_OP_JUMP, f->jumps, 0, &at));
        f->jumps = at + 1;
        c->g->op[f->split - 1].b = c->g->n_ops;
        f->split = 0;
    }
    if (last)
        return ERR_OK;
    TRY(emit(c, GRAMMAR_OP_SPLIT, c->g->n_ops + 1, 0, &at));
    f->split = at + 1;
    return ERR_OK;
}

static void fork_end(compiler *c, const fork *f) {
    for (uint32_t at = f->jumps; at;) {
        uint32_t next = c->g->op[at - 1].a;
        c->g->op[at - 1].a = c->g->n_ops;
        at = next;
    }
}

static err_code put_utf8(compiler *c, int32_t first, int32_t last) {
    if (c->n_utf8 == c->cap_utf8) {
        uint32_t cap = c->cap_utf8 ? 2 * c->cap_utf8 : 64;
        utf8_range *p = realloc(c->utf8, cap * sizeof *p);
        if (!p)
            return err_set(c->e, ERR_MEMORY, "no memory for a set of characters");
        c->utf8 = p;
        c->cap_utf8 = cap;
    }
    char from[4], to[4];
    utf8_range *r = &c->utf8[c->n_utf8++];
    r->n = (uint8_t)utf8_put(first, from);
    utf8_put(last, to);
    memcpy(r->first, from, sizeof from);
    memcpy(r->last, to, sizeof to);
    return ERR_OK;
}

/* Cuts code points [first, last], spelled in as many bytes, until no byte's range depends on the byte before. Source:
 * the way of RE2 (re2/compile.cc, AddRange). */
static err_code cut_utf8(compiler *c, int32_t first, int32_t last) {
    for (int32_t low = 0x3F; low <= 0x3FFFF && (first & ~low) != (last & ~low); low = low << 6 | 0x3F) {
        int32_t at = (first & low) != 0 ? (first | low) + 1 : (last & low) != low ? last & ~low : 0;
        if (at) {
            TRY(cut_utf8(c, first, at - 1));
            return cut_utf8(c, at, last);
        }
    }
    return put_utf8(c, first, last);
}

static err_code emit_utf8(compiler *c, const utf8_range *r) {
    for (size_t i = 0; i < r->n; i++) {
        grammar_bytes s = {0};
        put_bytes(&s, r->first[i], r->last[i]);
        TRY(emit_bytes(c, &s));
    }
    return ERR_OK;
}

static err_code emit_set(compiler *c, const grammar_node *n) {
    static const int32_t lengths[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF}; /* last code point of 1, 2, 3, 4 bytes */
    grammar_bytes ascii = {0};
    bool any_ascii = false;
    fork f = {0};
    c->n_utf8 = 0;
    for (uint32_t i = n->a; i < n->a + n->b; i++) {
        int32_t first = c->t->range[i].first, last = c->t->range[i].last;
        if (first <= 0x7F) {
            put_bytes(&ascii, (unsigned)first, last < 0x7F ? (unsigned)last : 0x7F);
            any_ascii = true;
        }
        for (int k = 1; k < 4; k++) {
            int32_t from = first > lengths[k - 1] ? first : lengths[k - 1] + 1,
                    to = last < lengths[k] ? last : lengths[k];
            if (from <= to)
                TRY(cut_utf8(c, from, to));
        }
    }
    if (any_ascii) {
        TRY(fork_next(c, &f, c->n_utf8 == 0));
        TRY(emit_bytes(c, &ascii));
    }
    for (uint32_t i = 0; i < c->n_utf8; i++) {
        TRY(fork_next(c, &f, i + 1 == c->n_utf8));
        TRY(emit_utf8(c, &c->utf8[i]));
    }
    fork_end(c, &f);
    return ERR_OK;
}

static err_code emit_node(compiler *c, uint32_t x);

static err_code emit_call(compiler *c, uint32_t rule) {
    if (!c->at[rule]) { /* written later; the number of the rule stands for its place */
        c->at[rule] = UINT32_MAX;
        c->queue[c->n_queue++] = rule;
    }
    return emit(c, GRAMMAR_OP_CALL, rule, 0, NULL);
}

static err_code emit_choice(compiler *c, const grammar_node *n) {
    fork f = {0};
    uint32_t last = 0;
    bool ends;
    for (uint32_t k = n->child; k; k = node(c, k)->next) {
        TRY(can_end(c, k, &ends));
        last = ends ? k : last;
    }
    for (uint32_t k = n->child; k; k = node(c, k)->next) {
        TRY(can_end(c, k, &ends));
        if (!ends)
            continue;
        TRY(fork_next(c, &f, k == last));
        TRY(emit_node(c, k));
    }
    fork_end(c, &f);
    return ERR_OK;
}

/* x?, x*, x+ are jumps; what counts is a loop. */
static err_code emit_repeat(compiler *c, const grammar_node *n) {
    uint32_t min = n->a, max = n->b, at, begin = c->g->n_ops;
    bool ends, empty;
    TRY(can_end(c, n->child, &ends));
    TRY(can_be_empty(c, n->child, &empty));
    if (max == 0 || !ends) /* only if min is 0, or this would not be written */
        return ERR_OK;
    min = empty ? 0 : min; /* the rounds that lack may be empty ones */
    if (min == 1 && max == 1)
        return emit_node(c, n->child);
    if (min == 1 && max == GRAMMAR_NO_END) {
        TRY(emit_node(c, n->child));
        return emit(c, GRAMMAR_OP_SPLIT, begin, c->g->n_ops + 1, NULL);
    }
    if (min == 0 && (max == 1 || max == GRAMMAR_NO_END)) {
        TRY(emit(c, GRAMMAR_OP_SPLIT, begin + 1, 0, &at));
        TRY(emit_node(c, n->child));
        if (max != 1)
            TRY(emit(c, GRAMMAR_OP_JUMP, begin, 0, NULL));
        c->g->op[at].b = c->g->n_ops;
        return ERR_OK;
    }
    TRY(emit(c, GRAMMAR_OP_LOOP, min, max, &at));
    TRY(emit_node(c, n->child));
    TRY(emit(c, GRAMMAR_OP_AGAIN, 0, 0, NULL));
    c->g->op[at].c = c->g->n_ops;
    return ERR_OK;
}

static err_code emit_node(compiler *c, uint32_t x) {
    const grammar_node *n = node(c, x);
    TRY(take_step(c));
    switch (n->kind) {
    case GRAMMAR_TEXT:
        return emit_text(c, str_sub(strbuf_str(&c->t->bytes), n->a, n->a + n->b));
    case GRAMMAR_SET:
        return emit_set(c, n);
    case GRAMMAR_RULE:
        return emit_call(c, n->a);
    case GRAMMAR_CHOICE:
        return emit_choice(c, n);
    case GRAMMAR_REPEAT:
        return emit_repeat(c, n);
    case GRAMMAR_SEQUENCE:
        break;
    }
    for (uint32_t k = n->child; k; k = node(c, k)->next)
        TRY(emit_node(c, k));
    return ERR_OK;
}

/* Calls get their targets. One that returns to a RETURN is a jump: then a list written by recursion on its right takes
 * no stack. */
static void link_calls(compiler *c) {
    grammar *g = c->g;
    for (uint32_t i = 0; i < g->n_ops; i++) {
        if (g->op[i].op != GRAMMAR_OP_CALL)
            continue;
        uint32_t back = i + 1;
        for (int hops = 0; g->op[back].op == GRAMMAR_OP_JUMP && hops < GRAMMAR_NESTING_MAX; hops++)
            back = g->op[back].a;
        g->op[i].a = c->at[g->op[i].a] - 1;
        if (g->op[back].op == GRAMMAR_OP_RETURN)
            g->op[i].op = GRAMMAR_OP_JUMP;
    }
}

static err_code write_program(compiler *c, uint32_t root) {
    c->queue[c->n_queue++] = root;
    c->at[root] = UINT32_MAX;
    for (uint32_t i = 0; i < c->n_queue; i++) {
        c->at[c->queue[i]] = c->g->n_ops + 1;
        TRY(emit_node(c, c->t->rule[c->queue[i]].body));
        TRY(emit(c, GRAMMAR_OP_RETURN, 0, 0, NULL));
    }
    link_calls(c);
    c->g->start = c->at[root] - 1;
    return ERR_OK;
}

static err_code compile(compiler *c, arena *mem, uint32_t root) {
    uint32_t n = c->t->n_rules;
    ARENA_NEW(mem, c->empty, n, c->e);
    ARENA_NEW(mem, c->ends, n, c->e);
    ARENA_NEW(mem, c->at, n, c->e);
    ARENA_NEW(mem, c->queue, n, c->e);
    TRY(check(c, mem, root));
    return write_program(c, root);
}

err_code grammar_compile(grammar **out, const grammar_tree *t, str root, err *e) {
    arena mem = {0};
    compiler c = {.t = t, .e = e};
    uint32_t r = 0;
    *out = NULL;
    while (r < t->n_rules && !str_eq(t->rule[r].name, root))
        r++;
    if (r == t->n_rules)
        return err_set(e, ERR_FORMAT, "rule %.*s is not defined", STR_ARG(root));
    c.g = calloc(1, sizeof *c.g);
    if (!c.g)
        return err_set(e, ERR_MEMORY, "no memory for a grammar");
    err_code code = compile(&c, &mem, r);
    free(c.follow);
    free(c.utf8);
    arena_fini(&mem);
    if (code != ERR_OK)
        grammar_close(c.g);
    else
        *out = c.g;
    return code;
}

/* ---- one behind the other ---- */

/* Instructions and sets of `from`, whose numbers go on behind those of g. */
static void append_program(grammar *g, const grammar *from) {
    for (uint32_t i = 0; i < from->n_ops; i++) {
        grammar_op op = from->op[i];
        bool jumps = op.op == GRAMMAR_OP_JUMP || op.op == GRAMMAR_OP_CALL || op.op == GRAMMAR_OP_SPLIT;
        op.a += op.op == GRAMMAR_OP_BYTES ? g->n_sets : jumps ? g->n_ops : 0;
        op.b += op.op == GRAMMAR_OP_SPLIT ? g->n_ops : 0;
        op.c += op.op == GRAMMAR_OP_LOOP ? g->n_ops : 0;
        g->op[g->n_ops + i] = op;
    }
    for (uint32_t i = 0; i < from->n_sets; i++)
        g->set[g->n_sets + i] = from->set[i];
    g->n_ops += from->n_ops;
    g->n_sets += from->n_sets;
}

err_code grammar_sequence(grammar **out, const grammar *a, const grammar *b, err *e) {
    *out = NULL;
    if (a->n_ops + b->n_ops + 2 > GRAMMAR_OPS_MAX)
        return err_set(e, ERR_LIMIT, "the grammar is too large: more than %d instructions", GRAMMAR_OPS_MAX);
    grammar *g = calloc(1, sizeof *g);
    if (g) {
        g->cap_ops = a->n_ops + b->n_ops + 2;
        g->cap_sets = a->n_sets + b->n_sets + 1;
        g->op = calloc(g->cap_ops, sizeof *g->op);
        g->set = calloc(g->cap_sets, sizeof *g->set);
    }
    if (!g || !g->op || !g->set) {
        grammar_close(g);
        return err_set(e, ERR_MEMORY, "no memory for a grammar");
    }
    g->op[g->n_ops++] = (grammar_op){.op = GRAMMAR_OP_CALL, .a = 2 + a->start};
    g->op[g->n_ops++] = (grammar_op){.op = GRAMMAR_OP_JUMP, .a = 2 + a->n_ops + b->start};
    append_program(g, a);
    append_program(g, b);
    *out = g;
    return ERR_OK;
}

void grammar_close(grammar *g) {
    if (!g)
        return;
    free(g->op);
    free(g->set);
    free(g);
}
