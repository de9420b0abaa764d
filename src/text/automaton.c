/* automaton: stacks, states and what is known of their bytes; see automaton.h.
 *
 * Invariants:
 *   1. Nodes, states and rows are numbered in the order in which they were met; none changes once it is there, but a
 *      row's places and a state's `like`, which become known one by one.
 *   2. A state's stacks all stand at BYTES instructions, by ascending number; equal sets are one state.
 *   3. Node 0 is the bottom of every stack, state AUTOMATON_DEAD has no stack and may not end.
 */
#include "text/automaton.h"

#include <stdlib.h>
#include <string.h>

enum {
    NODES_MAX = 1 << 20,
    STATES_MAX = 1 << 18,
    ROW = 256,
    BLOCK_ROWS = 64,
    BLOCKS_MAX = 128, /* of 64 KB */
    ROWS_MAX = BLOCKS_MAX * BLOCK_ROWS,
    STACKS_TOTAL_MAX = 1 << 21
};

typedef struct {
    uint32_t parent, at, count; /* at: an instruction; count: rounds done, when it is a LOOP */
    uint32_t depth, mark;
} stack_node;

typedef struct {
    uint32_t from, n; /* of stacks */
    uint32_t *row;    /* [ROW]; NULL: none yet */
    bool may_end;
    uint32_t like, ahead; /* the answer of automaton_like(), AUTOMATON_UNKNOWN until it is asked, and for what */
} state_set;

typedef struct {
    uint32_t *slot; /* number + 1 */
    uint32_t n;     /* a power of two */
} table;

struct automaton {
    const grammar *g;
    stack_node *node;
    state_set *state;
    uint32_t *stack;             /* the states' */
    uint32_t *block[BLOCKS_MAX]; /* [BLOCK_ROWS][ROW], the states' rows; they never move */
    uint32_t n_nodes, cap_nodes, n_states, cap_states, n_stacks, cap_stacks, n_rows;
    table nodes, states;
    uint32_t *todo, *found; /* of the closure at hand */
    uint32_t n_todo, cap_todo, n_found, cap_found;
    uint32_t mark;
    bool end; /* the closure has come to the bottom */
    size_t budget;
};

/* ---- memory ---- */

static err_code room(void **p, uint32_t n, uint32_t *cap, size_t size, uint32_t most, err *e) {
    if (n < *cap)
        return ERR_OK;
    if (n >= most)
        return err_set(e, ERR_LIMIT, "the grammar is too ambiguous here: too much must be kept in mind");
    uint32_t more = *cap ? 2 * *cap : 256;
    void *q = realloc(*p, more * size);
    if (!q)
        return err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    *p = q;
    *cap = more;
    return ERR_OK;
}

static uint32_t mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    return h ^ h >> 15;
}

static uint32_t hash_node(const stack_node *n) { return mix(mix(mix(7, n->parent), n->at), n->count); }

static uint32_t hash_stacks(const uint32_t *stack, uint32_t n, bool may_end) {
    uint32_t h = may_end;
    for (uint32_t i = 0; i < n; i++)
        h = mix(h, stack[i]);
    return h;
}

static uint32_t hash_number(const automaton *a, const table *t, uint32_t number) {
    if (t == &a->nodes)
        return hash_node(&a->node[number]);
    const state_set *s = &a->state[number];
    return hash_stacks(a->stack + s->from, s->n, s->may_end);
}

/* Room in t for one more than the n that are there. */
static err_code table_room(automaton *a, table *t, uint32_t n, err *e) {
    if (2 * n < t->n)
        return ERR_OK;
    table more = {.n = t->n ? 2 * t->n : 1024};
    more.slot = calloc(more.n, sizeof *more.slot);
    if (!more.slot)
        return err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = hash_number(a, t, k) & (more.n - 1);
        while (more.slot[i])
            i = (i + 1) & (more.n - 1);
        more.slot[i] = k + 1;
    }
    free(t->slot);
    *t = more;
    return ERR_OK;
}

/* ---- nodes ---- */

/* The node (parent, at, count), new or not; AUTOMATON_DEPTH_MAX passed: 0. */
static err_code intern(automaton *a, uint32_t parent, uint32_t at, uint32_t count, uint32_t *out, err *e) {
    const stack_node want = {parent, at, count, a->node[parent].depth + 1, 0};
    *out = 0;
    if (want.depth > AUTOMATON_DEPTH_MAX)
        return ERR_OK;
    TRY(table_room(a, &a->nodes, a->n_nodes, e));
    uint32_t i = hash_node(&want) & (a->nodes.n - 1), k;
    for (; (k = a->nodes.slot[i]) != 0; i = (i + 1) & (a->nodes.n - 1)) {
        const stack_node *n = &a->node[k - 1];
        if (n->parent == parent && n->at == at && n->count == count && k > 1) {
            *out = k - 1;
            return ERR_OK;
        }
    }
    TRY(room((void **)&a->node, a->n_nodes, &a->cap_nodes, sizeof *a->node, NODES_MAX, e));
    a->node[a->n_nodes] = want;
    *out = a->n_nodes++;
    a->nodes.slot[i] = *out + 1;
    return ERR_OK;
}

static err_code spend(automaton *a, size_t steps, err *e) {
    if (a->budget < steps)
        return err_set(e, ERR_LIMIT, "the grammar is too ambiguous here: it takes too many steps");
    a->budget -= steps;
    return ERR_OK;
}

/* The stack (parent, at, count) is one of the closure's; looked at once. */
static err_code reach(automaton *a, uint32_t parent, uint32_t at, uint32_t count, err *e) {
    uint32_t k;
    TRY(spend(a, 1, e));
    TRY(intern(a, parent, at, count, &k, e));
    if (k == 0 || a->node[k].mark == a->mark)
        return ERR_OK;
    TRY(room((void **)&a->todo, a->n_todo, &a->cap_todo, sizeof *a->todo, NODES_MAX, e));
    a->node[k].mark = a->mark;
    a->todo[a->n_todo++] = k;
    return ERR_OK;
}

static err_code find(automaton *a, uint32_t k, err *e) {
    if (a->n_found == AUTOMATON_STACKS_MAX)
        return err_set(e, ERR_LIMIT, "the grammar is too ambiguous here: more than %d possibilities at once",
                       AUTOMATON_STACKS_MAX);
    TRY(room((void **)&a->found, a->n_found, &a->cap_found, sizeof *a->found, AUTOMATON_STACKS_MAX, e));
    a->found[a->n_found++] = k;
    return ERR_OK;
}

/* One instruction that takes no byte. */
static err_code follow(automaton *a, uint32_t k, err *e) {
    const stack_node n = a->node[k], top = a->node[n.parent];
    const grammar_op op = a->g->op[n.at];
    uint32_t frame;
    switch (op.op) {
    case GRAMMAR_OP_BYTES:
        return find(a, k, e);
    case GRAMMAR_OP_JUMP:
        return reach(a, n.parent, op.a, 0, e);
    case GRAMMAR_OP_SPLIT:
        TRY(reach(a, n.parent, op.a, 0, e));
        return reach(a, n.parent, op.b, 0, e);
    case GRAMMAR_OP_CALL:
        TRY(intern(a, n.parent, n.at + 1, 0, &frame, e));
        return frame ? reach(a, frame, op.a, 0, e) : ERR_OK;
    case GRAMMAR_OP_RETURN:
        a->end = a->end || n.parent == 0;
        return n.parent ? reach(a, top.parent, top.at, 0, e) : ERR_OK;
    case GRAMMAR_OP_LOOP:
        if (n.count >= op.a)
            TRY(reach(a, n.parent, op.c, 0, e));
        return n.count < op.b ? reach(a, k, n.at + 1, 0, e) : ERR_OK;
    case GRAMMAR_OP_AGAIN:
        break;
    }
    const grammar_op loop = a->g->op[top.at];
    /* The round may have been an empty one: its beginning is part of this closure. Where nothing must be counted, fewer
     * rounds can go on with all that more rounds could. */
    if (loop.a == 0 && top.mark == a->mark)
        return ERR_OK;
    uint32_t count = loop.b == GRAMMAR_NO_END && top.count == loop.a ? top.count : top.count + 1;
    return reach(a, top.parent, top.at, count, e);
}

/* Follows everything that was reached up to where a byte is needed. */
static err_code close_over(automaton *a, err *e) {
    while (a->n_todo > 0)
        TRY(follow(a, a->todo[--a->n_todo], e));
    return ERR_OK;
}

static void begin_closure(automaton *a) {
    a->n_todo = a->n_found = 0;
    a->end = false;
    if (++a->mark == 0) { /* all marks are old ones again */
        for (uint32_t i = 0; i < a->n_nodes; i++)
            a->node[i].mark = 0;
        a->mark = 1;
    }
}

/* ---- states ---- */

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static err_code put_state(automaton *a, const uint32_t *stack, uint32_t n, bool may_end, uint32_t *out, err *e) {
    TRY(table_room(a, &a->states, a->n_states, e));
    uint32_t i = hash_stacks(stack, n, may_end) & (a->states.n - 1), k;
    for (; (k = a->states.slot[i]) != 0; i = (i + 1) & (a->states.n - 1)) {
        const state_set *s = &a->state[k - 1];
        if (s->n == n && s->may_end == may_end &&
            (n == 0 || memcmp(a->stack + s->from, stack, n * sizeof *stack) == 0)) {
            *out = k - 1;
            return ERR_OK;
        }
    }
    TRY(room((void **)&a->state, a->n_states, &a->cap_states, sizeof *a->state, STATES_MAX, e));
    while (a->cap_stacks < a->n_stacks + n)
        TRY(room((void **)&a->stack, a->cap_stacks, &a->cap_stacks, sizeof *a->stack, STACKS_TOTAL_MAX, e));
    for (uint32_t j = 0; j < n; j++)
        a->stack[a->n_stacks + j] = stack[j];
    a->state[a->n_states] = (state_set){a->n_stacks, n, NULL, may_end, AUTOMATON_UNKNOWN, 0};
    a->n_stacks += n;
    *out = a->n_states++;
    a->states.slot[i] = *out + 1;
    return ERR_OK;
}

static err_code closed_state(automaton *a, uint32_t *out, err *e) {
    TRY(close_over(a, e));
    if (a->n_found > 1)
        qsort(a->found, a->n_found, sizeof *a->found, ascending);
    return put_state(a, a->found, a->n_found, a->end, out, e);
}

static err_code compute(automaton *a, uint32_t state, unsigned char byte, uint32_t *next, err *e) {
    enum { LOOKS_A_STEP = 8 };
    begin_closure(a);
    TRY(spend(a, a->state[state].n / LOOKS_A_STEP, e));
    for (uint32_t i = 0; i < a->state[state].n; i++) {
        const stack_node n = a->node[a->stack[a->state[state].from + i]];
        if (grammar_has(&a->g->set[a->g->op[n.at].a], byte))
            TRY(reach(a, n.parent, n.at + 1, 0, e));
    }
    return closed_state(a, next, e);
}

err_code automaton_row(automaton *a, uint32_t state, const uint32_t **row, err *e) {
    state_set *s = &a->state[state];
    *row = s->row;
    if (s->row)
        return ERR_OK;
    if (a->n_rows == ROWS_MAX)
        return err_set(e, ERR_LIMIT, "the grammar is too ambiguous here: too much must be kept in mind");
    uint32_t **block = &a->block[a->n_rows / BLOCK_ROWS];
    if (!*block)
        *block = malloc(BLOCK_ROWS * ROW * sizeof **block);
    if (!*block)
        return err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    s->row = *block + (size_t)(a->n_rows++ % BLOCK_ROWS) * ROW;
    memset(s->row, 0xFF, ROW * sizeof *s->row);
    *row = s->row;
    return ERR_OK;
}

err_code automaton_next(automaton *a, uint32_t state, unsigned char byte, uint32_t *next, err *e) {
    const uint32_t *row;
    TRY(automaton_row(a, state, &row, e));
    *next = row[byte];
    if (*next != AUTOMATON_UNKNOWN)
        return ERR_OK;
    TRY(compute(a, state, byte, next, e));
    a->state[state].row[byte] = *next;
    return ERR_OK;
}

bool automaton_may_end(const automaton *a, uint32_t state) { return a->state[state].may_end; }

bool automaton_must_end(const automaton *a, uint32_t state) {
    return a->state[state].may_end && a->state[state].n == 0;
}

void automaton_allow(automaton *a, size_t steps) {
    a->budget = steps < AUTOMATON_BUDGET_MAX - a->budget ? a->budget + steps : AUTOMATON_BUDGET_MAX;
}

/* ---- a life ---- */

/* The bottom node and the dead state. */
static err_code furnish(automaton *a, err *e) {
    uint32_t dead;
    TRY(table_room(a, &a->nodes, 0, e));
    TRY(room((void **)&a->node, 0, &a->cap_nodes, sizeof *a->node, NODES_MAX, e));
    a->node[0] = (stack_node){0};
    a->n_nodes = 1;
    a->nodes.slot[hash_node(&a->node[0]) & (a->nodes.n - 1)] = 1;
    return put_state(a, NULL, 0, false, &dead, e);
}

static void empty(automaton *a) {
    free(a->node);
    free(a->state);
    free(a->stack);
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        free(a->block[i]);
    free(a->nodes.slot);
    free(a->states.slot);
    free(a->todo);
    free(a->found);
}

err_code automaton_open(automaton **out, const grammar *g, uint32_t *start, err *e) {
    automaton *a = calloc(1, sizeof *a);
    *out = NULL;
    if (!a)
        return err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    a->g = g;
    a->budget = AUTOMATON_BUDGET_MAX;
    err_code code = furnish(a, e);
    if (code == ERR_OK) {
        begin_closure(a);
        code = reach(a, 0, g->start, 0, e);
    }
    if (code == ERR_OK)
        code = closed_state(a, start, e);
    if (code == ERR_OK)
        *out = a;
    else
        automaton_close(a);
    return code;
}

void automaton_close(automaton *a) {
    if (!a)
        return;
    empty(a);
    free(a);
}

/* ---- copies ---- */

/* Each round takes a byte or more. So a count that is more than `ahead` rounds from a bound does not come to it. */
static uint32_t clipped(const grammar_op *op, uint32_t count, uint32_t ahead) {
    bool far_from_max = op->b == GRAMMAR_NO_END || (op->b > count && op->b - count > ahead + 1);
    if (op->op != GRAMMAR_OP_LOOP || !far_from_max)
        return count;
    if (count >= op->a)
        return op->a;
    return op->a - count > ahead + 2 ? op->a - (ahead + 2) : count;
}

/* Stacks of `old`, which may be the automaton that they are copied to. They share their lower parts, so the latest
 * node of each depth is remembered: from[d] of `old` has become to[d]. */
typedef struct {
    const automaton *old;
    uint32_t ahead; /* counts are clipped by it */
    uint32_t from[AUTOMATON_DEPTH_MAX + 1], to[AUTOMATON_DEPTH_MAX + 1];
} copying;

static err_code copy_node(automaton *a, copying *c, uint32_t k, uint32_t *out, err *e) {
    uint32_t top = c->old->node[k].depth, d = top;
    for (; d > 0 && c->from[d] != k; d--) {
        c->from[d] = k;
        k = c->old->node[k].parent;
    }
    for (; d < top; d++) {
        const stack_node n = c->old->node[c->from[d + 1]];
        TRY(spend(a, 1, e));
        TRY(intern(a, c->to[d], n.at, clipped(&a->g->op[n.at], n.count, c->ahead), &c->to[d + 1], e));
    }
    *out = c->to[top];
    return ERR_OK;
}

static err_code copy_state(automaton *a, const automaton *old, uint32_t state, uint32_t ahead, uint32_t *out, err *e) {
    const state_set s = old->state[state];
    copying c = {.old = old, .ahead = ahead};
    begin_closure(a);
    for (uint32_t i = 0; i < s.n; i++) {
        uint32_t k;
        TRY(copy_node(a, &c, old->stack[s.from + i], &k, e));
        if (a->node[k].mark != a->mark) /* stacks that were two may have become one */
            TRY(find(a, k, e));
        a->node[k].mark = a->mark;
    }
    a->end = s.may_end;
    return closed_state(a, out, e);
}

err_code automaton_like(automaton *a, uint32_t state, uint32_t ahead, uint32_t *like, err *e) {
    *like = a->state[state].like;
    if (*like != AUTOMATON_UNKNOWN && a->state[state].ahead == ahead)
        return ERR_OK;
    TRY(copy_state(a, a, state, ahead, like, e));
    a->state[state].like = *like;
    a->state[state].ahead = ahead;
    return ERR_OK;
}

/* ---- forgetting ---- */

bool automaton_full(const automaton *a) {
    return a->n_nodes >= NODES_MAX / 2 || a->n_states >= STATES_MAX / 2 || a->n_rows >= ROWS_MAX / 2 ||
           a->n_stacks >= STACKS_TOTAL_MAX / 2;
}

err_code automaton_tidy(automaton *a, uint32_t *const *live, size_t n, err *e) {
    automaton fresh = {.g = a->g, .budget = a->budget};
    uint32_t *number = malloc((n ? n : 1) * sizeof *number);
    err_code code = number ? furnish(&fresh, e) : err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        code = copy_state(&fresh, a, *live[i], GRAMMAR_REPEAT_MAX, &number[i], e);
    if (code == ERR_OK) {
        for (size_t i = 0; i < n; i++)
            *live[i] = number[i];
        empty(a);
        *a = fresh;
    } else
        empty(&fresh);
    free(number);
    return code;
}
