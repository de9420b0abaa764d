/* constraint: see constraint.h. */
#include "gen/constraint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/automaton.h"

enum {
    MASKS_MAX = 64,
    STEPS_A_TOKEN = 1 << 16 /* added to the automaton's budget with each token of an answer */
};

typedef struct {
    uint32_t state; /* 0: free; state 0 is dead and has no mask */
    bool any;       /* some token may follow, an end token or another */
    uint64_t *bit;  /* [n_words] by id */
} token_mask;

struct constraint {
    grammar *g;
    const token_tree *tree;
    automaton *a;
    uint32_t start;
    constraint_cursor *first;
    token_mask mask[MASKS_MAX];
    size_t n_words, next_mask; /* which goes next */
    /* Of a walk, by depth: the state and what is known of it. */
    uint32_t path[TOKEN_TREE_BYTES_MAX + 1];
    const uint32_t *row[TOKEN_TREE_BYTES_MAX + 1];
};

err_code constraint_open(constraint **out, grammar *g, const token_tree *tree, err *e) {
    constraint *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) {
        grammar_close(g);
        return err_set(e, ERR_MEMORY, "no memory for a grammar");
    }
    c->g = g;
    c->tree = tree;
    c->n_words = ((size_t)tree->n_vocab + 63) / 64;
    err_code code = automaton_open(&c->a, g, &c->start, e);
    if (code == ERR_OK)
        *out = c;
    else
        constraint_close(c);
    return code;
}

void constraint_close(constraint *c) {
    if (!c)
        return;
    for (size_t i = 0; i < MASKS_MAX; i++)
        free(c->mask[i].bit);
    automaton_close(c->a);
    grammar_close(c->g);
    free(c);
}

void constraint_begin(constraint *c, constraint_cursor *k) {
    *k = (constraint_cursor){.c = c, .next = c->first, .state = c->start};
    c->first = k;
}

void constraint_end(constraint_cursor *k) {
    if (!k->c)
        return;
    constraint_cursor **at = &k->c->first;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    *k = (constraint_cursor){0};
}

/* ---- masks ---- */

static void set_bit(token_mask *m, int32_t id) { m->bit[id >> 6] |= (uint64_t)1 << (id & 63); }

/* Bits of all tokens that may follow in `state`. Nodes of the tree are many, so what is known of a byte is looked up
 * here. */
static err_code walk(constraint *c, uint32_t state, token_mask *m, err *e) {
    const token_tree *t = c->tree;
    TRY(automaton_row(c->a, state, &c->row[0], e));
    c->path[0] = state;
    for (uint32_t i = 0; i < t->n;) {
        uint32_t depth = t->depth[i], next = c->row[depth - 1][t->byte[i]];
        if (next == AUTOMATON_UNKNOWN)
            TRY(automaton_next(c->a, c->path[depth - 1], t->byte[i], &next, e));
        if (next == AUTOMATON_DEAD) {
            i = t->end[i];
            continue;
        }
        for (uint32_t k = t->first[i]; k < t->first[i + 1]; k++)
            set_bit(m, t->id[k]);
        if (t->end[i] > i + 1) {
            c->path[depth] = next;
            TRY(automaton_row(c->a, next, &c->row[depth], e));
        }
        i++;
    }
    for (size_t k = 0; k < t->n_ends && automaton_may_end(c->a, state); k++)
        set_bit(m, t->end_id[k]);
    m->any = false;
    for (size_t i = 0; i < c->n_words && !m->any; i++)
        m->any = m->bit[i] != 0;
    return ERR_OK;
}

static err_code mask_of(constraint *c, uint32_t state, const token_mask **out, err *e) {
    TRY(automaton_like(c->a, state, c->tree->longest, &state, e));
    for (size_t i = 0; i < MASKS_MAX; i++)
        if (c->mask[i].state == state && state != AUTOMATON_DEAD) {
            *out = &c->mask[i];
            return ERR_OK;
        }
    token_mask *m = &c->mask[c->next_mask];
    if (!m->bit)
        m->bit = malloc(c->n_words * sizeof *m->bit + 1);
    if (!m->bit)
        return err_set(e, ERR_MEMORY, "no memory for the tokens that may follow");
    m->state = AUTOMATON_DEAD;
    memset(m->bit, 0, c->n_words * sizeof *m->bit);
    TRY(walk(c, state, m, e));
    m->state = state;
    c->next_mask = (c->next_mask + 1) % MASKS_MAX;
    *out = m;
    return ERR_OK;
}

/* Makes room in the automaton when it is time; states get new numbers. */
static err_code tidy(constraint *c, err *e) {
    size_t n = 1;
    if (!automaton_full(c->a))
        return ERR_OK;
    for (constraint_cursor *k = c->first; k; k = k->next)
        n++;
    uint32_t **live = malloc(n * sizeof *live);
    if (!live)
        return err_set(e, ERR_MEMORY, "no memory for the states of a grammar");
    live[0] = &c->start;
    n = 1;
    for (constraint_cursor *k = c->first; k; k = k->next)
        live[n++] = &k->state;
    err_code code = automaton_tidy(c->a, live, n, e);
    free(live);
    for (size_t i = 0; i < MASKS_MAX && code == ERR_OK; i++)
        c->mask[i].state = AUTOMATON_DEAD;
    return code;
}

err_code constraint_mask(constraint_cursor *k, float *logits, size_t n_logits, err *e) {
    constraint *c = k->c;
    const token_mask *m = NULL;
    size_t n_vocab = (size_t)c->tree->n_vocab;
    TRY(tidy(c, e));
    TRY(mask_of(c, k->state, &m, e));
    if (!m->any)
        return err_set(e, ERR_UNSUPPORTED,
                       "no token of the model's vocabulary can follow by the grammar, after %zu tokens", k->n_taken);
    for (size_t from = 0; from < n_logits; from += 64) { /* mostly all of 64 may follow, or none */
        size_t to = from + 64 < n_logits ? from + 64 : n_logits;
        uint64_t bits = from < n_vocab ? m->bit[from >> 6] : 0;
        if (bits == 0)
            for (size_t id = from; id < to; id++)
                logits[id] = -INFINITY;
        else if (~bits != 0)
            for (size_t id = from; id < to; id++)
                logits[id] = bits >> (id & 63) & 1 ? logits[id] : -INFINITY;
    }
    return ERR_OK;
}

err_code constraint_take(constraint_cursor *k, int32_t id, bool *complete, err *e) {
    constraint *c = k->c;
    uint32_t state = k->state;
    str text = token_tree_text(c->tree, id);
    *complete = false;
    for (size_t i = 0; i < c->tree->n_ends; i++)
        if (c->tree->end_id[i] == id)
            return ERR_OK;
    for (size_t i = 0; i < text.n && state != AUTOMATON_DEAD; i++)
        TRY(automaton_next(c->a, state, (unsigned char)text.p[i], &state, e));
    if (text.n == 0 || state == AUTOMATON_DEAD)
        return err_set(e, ERR_USAGE, "token %d cannot follow by the grammar", (int)id);
    k->state = state;
    k->n_taken++;
    automaton_allow(c->a, STEPS_A_TOKEN);
    *complete = automaton_must_end(c->a, state);
    return ERR_OK;
}
