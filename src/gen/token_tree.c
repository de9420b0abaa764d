/* token_tree: see token_tree.h. */
#include "gen/token_tree.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 28 };

str token_tree_text(const token_tree *tree, int32_t id) {
    if (id < 0 || id >= tree->n_vocab)
        return (str){0};
    return (str){tree->text + tree->at[id], tree->at[id + 1] - tree->at[id]};
}

void token_tree_close(token_tree *tree) {
    if (!tree)
        return;
    free(tree->byte);
    free(tree->depth);
    free(tree->end);
    free(tree->first);
    free(tree->id);
    free(tree->end_id);
    free(tree->text);
    free(tree->at);
    free(tree);
}

static err_code short_of_memory(err *e) { return err_set(e, ERR_MEMORY, "no memory for the texts of a vocabulary"); }

typedef struct {
    const char *p;
    uint32_t n;
    int32_t id;
} spelled;

static int by_text(const void *a, const void *b) {
    const spelled *x = a, *y = b;
    int order = str_cmp((str){x->p, x->n}, (str){y->p, y->n});
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static uint32_t common(const spelled *a, const spelled *b) {
    uint32_t n = 0;
    while (n < a->n && n < b->n && a->p[n] == b->p[n])
        n++;
    return n;
}

/* Nodes of the sorted list: each text adds those behind what it has in common with the one before. */
static void grow(token_tree *tree, const spelled *list, uint32_t n_list) {
    uint32_t path[TOKEN_TREE_BYTES_MAX + 1], depth = 0; /* path[d]: the open node of depth d */
    for (uint32_t i = 0; i < n_list; i++) {
        uint32_t same = i ? common(&list[i - 1], &list[i]) : 0;
        for (; depth > same; depth--)
            tree->end[path[depth]] = tree->n;
        while (depth < list[i].n) {
            path[++depth] = tree->n;
            tree->byte[tree->n] = (uint8_t)list[i].p[depth - 1];
            tree->depth[tree->n] = (uint16_t)depth;
            tree->first[tree->n++] = i;
        }
        tree->id[i] = list[i].id;
        tree->longest = list[i].n > tree->longest ? list[i].n : tree->longest;
    }
    for (; depth > 0; depth--)
        tree->end[path[depth]] = tree->n;
    tree->first[tree->n] = n_list;
}

static err_code build(token_tree *tree, spelled *list, err *e) {
    uint32_t n = 0;
    size_t n_nodes = 0;
    for (int32_t id = 0; id < tree->n_vocab; id++) {
        str s = token_tree_text(tree, id);
        if (s.n > 0)
            list[n++] = (spelled){s.p, (uint32_t)s.n, id};
    }
    qsort(list, n, sizeof *list, by_text);
    for (uint32_t i = 0; i < n; i++)
        n_nodes += list[i].n - (i ? common(&list[i - 1], &list[i]) : 0);
    tree->byte = malloc(n_nodes + 1);
    tree->depth = malloc((n_nodes + 1) * sizeof *tree->depth);
    tree->end = malloc((n_nodes + 1) * sizeof *tree->end);
    tree->first = malloc((n_nodes + 1) * sizeof *tree->first);
    tree->id = malloc((n + 1) * sizeof *tree->id);
    if (!tree->byte || !tree->depth || !tree->end || !tree->first || !tree->id)
        return short_of_memory(e);
    grow(tree, list, n);
    return ERR_OK;
}

static err_code tree_new(token_tree **out, int32_t n_vocab, err *e) {
    token_tree *tree = calloc(1, sizeof *tree);
    size_t n = (size_t)n_vocab + 1;
    *out = tree;
    if (!tree)
        return short_of_memory(e);
    tree->n_vocab = n_vocab;
    tree->at = malloc(n * sizeof *tree->at);
    tree->end_id = malloc(n * sizeof *tree->end_id);
    return tree->at && tree->end_id ? ERR_OK : short_of_memory(e);
}

/* The text behind `text` of what stood there before is that of `id`. */
static void put_text(token_tree *tree, int32_t id, strbuf *text) {
    if (text->n - tree->at[id] > TOKEN_TREE_BYTES_MAX)
        text->n = tree->at[id];
    tree->at[id + 1] = (uint32_t)text->n;
}

/* With all texts; gives *out, or closes the tree. */
static err_code tree_end(token_tree **out, token_tree *tree, const strbuf *text, err_code code, err *e) {
    if (tree)
        tree->text = text->p;
    spelled *list = code == ERR_OK ? malloc(((size_t)tree->n_vocab + 1) * sizeof *list) : NULL;
    if (code == ERR_OK)
        code = list ? build(tree, list, e) : short_of_memory(e);
    free(list);
    *out = code == ERR_OK ? tree : NULL;
    if (code != ERR_OK)
        token_tree_close(tree);
    return code;
}

err_code token_tree_open(token_tree **out, const tokenizer *t, bool special, err *e) {
    token_tree *tree;
    strbuf text = {.max = TEXT_BYTES_MAX};
    err_code code = tree_new(&tree, tokenizer_n_vocab(t), e);
    if (code == ERR_OK)
        tree->at[0] = 0;
    for (int32_t id = 0; code == ERR_OK && id < tree->n_vocab; id++) {
        if (tokenizer_is_end(t, id))
            tree->end_id[tree->n_ends++] = id;
        else /* never the first of its text, which may lose a space */
            code = tokenizer_decode_next(t, 1, id, special, &text, e);
        put_text(tree, id, &text);
    }
    return tree_end(out, tree, &text, code, e);
}

err_code token_tree_of(token_tree **out, const str *texts, const bool *is_end, int32_t n, err *e) {
    token_tree *tree;
    strbuf text = {.max = TEXT_BYTES_MAX};
    err_code code = tree_new(&tree, n, e);
    if (code == ERR_OK)
        tree->at[0] = 0;
    for (int32_t id = 0; code == ERR_OK && id < n; id++) {
        if (is_end[id])
            tree->end_id[tree->n_ends++] = id;
        else
            code = strbuf_add(&text, texts[id], e);
        put_text(tree, id, &text);
    }
    return tree_end(out, tree, &text, code, e);
}
