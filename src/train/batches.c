/* batches: see batches.h. */
#include "train/batches.h"

#include <assert.h>
#include <stdlib.h>

err_code batches_init(batches *b, order *o, const tokens *t, size_t ctx, size_t n, err *e) {
    *b = (batches){.order = o, .tokens = t, .ctx = ctx, .n = n};
    b->ids = calloc(n, sizeof *b->ids);
    b->target = calloc(n, sizeof *b->target);
    b->weight = calloc(n, sizeof *b->weight);
    b->segment = calloc(n, sizeof *b->segment);
    if (b->ids && b->target && b->weight && b->segment)
        return ERR_OK;
    batches_fini(b);
    return err_set(e, ERR_MEMORY, "no memory for a batch of %zu tokens", n);
}

void batches_fini(batches *b) {
    free(b->ids);
    free(b->target);
    free(b->weight);
    free(b->segment);
    *b = (batches){0};
}

static void begin(batches *b) {
    b->batch = (batch){.ids = b->ids, .target = b->target, .weight = b->weight, .segment = b->segment};
    b->n_targets = 0;
}

/* Appends tokens [at, at + n) of a document, in segments. alike: all count the same. */
static void append(batches *b, uint32_t doc, size_t at, size_t n, bool alike) {
    size_t all = tokens_of(b->tokens, doc), i = b->batch.n;
    assert(at + n <= all && i + n <= b->n);
    for (size_t j = 0; j < n; j++, i++) {
        bool more = at + j + 1 < all;
        b->ids[i] = tokens_get(b->tokens, doc, at + j);
        b->target[i] = more ? tokens_get(b->tokens, doc, at + j + 1) : 0;
        b->weight[i] = !more ? 0.0f : alike ? 1.0f : tokens_weight(b->tokens, doc, at + j + 1);
        b->n_targets += more;
        if (j % b->ctx == 0)
            b->segment[b->batch.n_segments++] = (segment){i, i};
        b->segment[b->batch.n_segments - 1].to = i + 1;
    }
    b->batch.n = i;
}

void batches_read(batches *b, uint64_t pos) {
    begin(b);
    order_place p;
    order_find(b->order, pos, &p);
    b->first = b->last = p;
    for (;;) {
        size_t left = b->n - b->batch.n, there = tokens_of(b->tokens, p.doc) - (size_t)p.at;
        append(b, p.doc, (size_t)p.at, there < left ? there : left, false);
        b->last = p;
        if (b->batch.n == b->n)
            return;
        order_next(b->order, &p);
    }
}

size_t batches_read_docs(batches *b, uint32_t doc, uint32_t end, uint64_t at) {
    begin(b);
    while (doc < end && at >= tokens_of(b->tokens, doc))
        at -= tokens_of(b->tokens, doc++);
    for (; doc < end && b->batch.n < b->n; doc++, at = 0) {
        size_t left = b->n - b->batch.n, there = tokens_of(b->tokens, doc) - (size_t)at;
        append(b, doc, (size_t)at, there < left ? there : left, true);
    }
    return b->batch.n;
}
