/* grammar_tree: expressions and rules as they are read; see grammar.h. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/utf8.h"

enum { RANGES_MAX = 1 << 20 };

void grammar_tree_fini(grammar_tree *t) {
    free(t->node);
    free(t->rule);
    free(t->slot);
    free(t->range);
    strbuf_fini(&t->bytes);
    *t = (grammar_tree){0};
}

/* Room for one more of `size` bytes. */
static err_code grow(void **p, uint32_t n, uint32_t *cap, size_t size, uint32_t most, const char *what, err *e) {
    if (n < *cap)
        return ERR_OK;
    if (n >= most)
        return err_set(e, ERR_LIMIT, "more than %u %s", most, what);
    uint32_t more = *cap ? 2 * *cap : 64;
    void *q = realloc(*p, more * size);
    if (!q)
        return err_set(e, ERR_MEMORY, "no memory for %u %s", more, what);
    *p = q;
    *cap = more;
    return ERR_OK;
}

/* ---- rules by name ---- */

static uint32_t *slot_of(const grammar_tree *t, str name) {
    uint32_t mask = t->n_slots - 1, i = (uint32_t)str_hash(name) & mask;
    while (t->slot[i] && !str_eq(t->rule[t->slot[i] - 1].name, name))
        i = (i + 1) & mask;
    return &t->slot[i];
}

static err_code grow_slots(grammar_tree *t, err *e) {
    if (2 * t->n_rules < t->n_slots)
        return ERR_OK;
    uint32_t n = t->n_slots ? 2 * t->n_slots : 64, *slot = calloc(n, sizeof *slot);
    if (!slot)
        return err_set(e, ERR_MEMORY, "no memory for %u rules", n);
    free(t->slot);
    t->slot = slot;
    t->n_slots = n;
    for (uint32_t i = 0; i < t->n_rules; i++)
        *slot_of(t, t->rule[i].name) = i + 1;
    return ERR_OK;
}

err_code grammar_rule_named(grammar_tree *t, str name, uint32_t *rule, err *e) {
    TRY(grow_slots(t, e));
    uint32_t *slot = slot_of(t, name);
    if (!*slot) {
        TRY(grow((void **)&t->rule, t->n_rules, &t->cap_rules, sizeof *t->rule, GRAMMAR_RULES_MAX, "rules", e));
        t->rule[t->n_rules++] = (grammar_rule){.name = name};
        *slot = t->n_rules;
    }
    *rule = *slot - 1;
    return ERR_OK;
}

/* ---- expressions ---- */

err_code grammar_add(grammar_tree *t, grammar_kind kind, uint32_t a, uint32_t b, uint32_t *out, err *e) {
    if (t->n_nodes == 0)
        t->n_nodes = 1; /* 0 stands for none */
    TRY(grow((void **)&t->node, t->n_nodes, &t->cap_nodes, sizeof *t->node, GRAMMAR_NODES_MAX, "expressions", e));
    *out = t->n_nodes++;
    t->node[*out] = (grammar_node){.kind = kind, .a = a, .b = b};
    return ERR_OK;
}

void grammar_append(grammar_tree *t, uint32_t parent, uint32_t child) {
    grammar_node *p = &t->node[parent];
    if (p->last)
        t->node[p->last].next = child;
    else
        p->child = child;
    p->last = child;
}

err_code grammar_add_text(grammar_tree *t, str text, uint32_t *out, err *e) {
    size_t from = t->bytes.n;
    TRY(strbuf_add(&t->bytes, text, e));
    return grammar_add(t, GRAMMAR_TEXT, (uint32_t)from, (uint32_t)text.n, out, e);
}

static err_code put_range(grammar_tree *t, int32_t first, int32_t last, err *e) {
    if (first > last)
        return ERR_OK;
    TRY(grow((void **)&t->range, t->n_ranges, &t->cap_ranges, sizeof *t->range, RANGES_MAX, "ranges of characters", e));
    t->range[t->n_ranges++] = (grammar_range){first, last};
    return ERR_OK;
}

/* Without the surrogates, which are no characters. */
static err_code put_characters(grammar_tree *t, int32_t first, int32_t last, err *e) {
    TRY(put_range(t, first, last < 0xD7FF ? last : 0xD7FF, e));
    return put_range(t, first > 0xE000 ? first : 0xE000, last, e);
}

static int by_first(const void *a, const void *b) {
    const grammar_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

err_code grammar_add_set(grammar_tree *t, const grammar_range *range, size_t n, bool negated, uint32_t *out, err *e) {
    grammar_range *sorted = malloc((n ? n : 1) * sizeof *sorted);
    uint32_t from = t->n_ranges;
    if (!sorted)
        return err_set(e, ERR_MEMORY, "no memory for %zu ranges", n);
    if (n > 0)
        memcpy(sorted, range, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_first);
    int32_t seen = -1; /* all up to here has been dealt with */
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        int32_t first = sorted[i].first > seen ? sorted[i].first : seen + 1;
        code = negated ? put_characters(t, seen + 1, first - 1, e) : put_characters(t, first, sorted[i].last, e);
        seen = sorted[i].last > seen ? sorted[i].last : seen;
    }
    if (code == ERR_OK && negated)
        code = put_characters(t, seen + 1, 0x10FFFF, e);
    free(sorted);
    TRY(code);
    return grammar_add(t, GRAMMAR_SET, from, t->n_ranges - from, out, e);
}
