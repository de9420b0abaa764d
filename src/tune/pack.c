/* pack: see pack.h. */
#include "tune/pack.h"

#include <stdlib.h>

/* A binary tree over as many leaves as there may be rows: room[leaves + r] is row r's, above it the maximum of two. */
typedef struct {
    uint32_t *room;
    size_t leaves;
} tree;

static err_code tree_open(tree *t, size_t n, uint32_t ctx, err *e) {
    for (t->leaves = 1; t->leaves < n;)
        t->leaves *= 2;
    t->room = malloc(2 * t->leaves * sizeof *t->room);
    if (!t->room)
        return err_set(e, ERR_MEMORY, "no memory to pack %zu sequences", n);
    for (size_t i = 0; i < 2 * t->leaves; i++)
        t->room[i] = ctx;
    return ERR_OK;
}

/* The first row with room for n, which is taken. There is one: n is at most ctx, and there are as many rows as
 * sequences. */
static size_t tree_take(tree *t, uint32_t n) {
    size_t i = 1;
    while (i < t->leaves)
        i = 2 * i + (t->room[2 * i] < n);
    t->room[i] -= n;
    for (size_t up = i / 2; up > 0; up /= 2)
        t->room[up] = t->room[2 * up] > t->room[2 * up + 1] ? t->room[2 * up] : t->room[2 * up + 1];
    return i - t->leaves;
}

/* Rows and what is in them, from the row of each; a counting sort that keeps the order of coming. */
static err_code list_rows(pack *p, const uint32_t *row, err *e) {
    p->from = calloc(p->n_rows + 2, sizeof *p->from);
    p->seq = malloc((p->n + 1) * sizeof *p->seq);
    if (!p->from || !p->seq)
        return err_set(e, ERR_MEMORY, "no memory to pack %zu sequences", p->n);
    for (size_t i = 0; i < p->n; i++)
        p->from[row[i] + 2]++;
    for (size_t r = 0; r < p->n_rows; r++)
        p->from[r + 2] += p->from[r + 1];
    for (size_t i = 0; i < p->n; i++)
        p->seq[p->from[row[i] + 1]++] = (uint32_t)i;
    return ERR_OK;
}

static err_code plan(pack *p, const uint32_t *n_tokens, uint32_t ctx, tree *t, uint32_t *row, err *e) {
    for (size_t i = 0; i < p->n; i++) {
        if (n_tokens[i] < 1 || n_tokens[i] > ctx)
            return err_set(e, ERR_LIMIT, "a sequence of %u tokens does not fit into rows of %u", n_tokens[i], ctx);
        size_t r = tree_take(t, n_tokens[i]);
        row[i] = (uint32_t)r;
        p->n_rows = r >= p->n_rows ? r + 1 : p->n_rows;
        p->n_tokens += n_tokens[i];
    }
    return list_rows(p, row, e);
}

err_code pack_plan(pack *p, const uint32_t *n_tokens, size_t n, uint32_t ctx, err *e) {
    *p = (pack){.n = n};
    if (n > INT32_MAX)
        return err_set(e, ERR_LIMIT, "%zu sequences are more than can be packed", n);
    tree t = {0};
    uint32_t *row = malloc((n + 1) * sizeof *row);
    err_code code = row ? tree_open(&t, n, ctx, e) : err_set(e, ERR_MEMORY, "no memory to pack %zu sequences", n);
    if (code == ERR_OK)
        code = plan(p, n_tokens, ctx, &t, row, e);
    free(t.room);
    free(row);
    if (code != ERR_OK)
        pack_fini(p);
    return code;
}

void pack_fini(pack *p) {
    free(p->seq);
    free(p->from);
    *p = (pack){0};
}
