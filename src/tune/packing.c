/* packing: see packing.h. */
#include "tune/packing.h"

#include <stdlib.h>

err_code packing_init(packing *p, const examples *x, size_t tokens_max, err *e) {
    *p = (packing){.x = x, .tokens_max = tokens_max};
    p->ids = calloc(tokens_max, sizeof *p->ids);
    p->target = calloc(tokens_max, sizeof *p->target);
    p->weight = calloc(tokens_max, sizeof *p->weight);
    p->segment = calloc(tokens_max / 2 + 1, sizeof *p->segment);
    if (p->ids && p->target && p->weight && p->segment)
        return ERR_OK;
    packing_fini(p);
    return err_set(e, ERR_MEMORY, "no memory for a batch of %zu tokens", tokens_max);
}

void packing_fini(packing *p) {
    free(p->ids);
    free(p->target);
    free(p->weight);
    free(p->segment);
    *p = (packing){0};
}

size_t packing_tokens(const example *ex) { return (size_t)ex->seq[0].n + ex->seq[1].n; }

void packing_begin(packing *p) {
    p->batch = (batch){.ids = p->ids, .target = p->target, .weight = p->weight, .segment = p->segment};
    p->n_learned = 0;
}

static void add_seq(packing *p, const example_seq *s) {
    const int32_t *id = p->x->id + s->from;
    const uint8_t *learn = p->x->learn + s->from;
    size_t at = p->batch.n;
    for (size_t j = 0; j < s->n; j++) {
        bool more = j + 1 < s->n, learned = more && learn[j + 1];
        p->ids[at + j] = id[j];
        p->target[at + j] = more ? id[j + 1] : 0;
        p->weight[at + j] = learned ? 1.0f : 0.0f;
        p->n_learned += learned;
    }
    p->batch.n += s->n;
    p->segment[p->batch.n_segments++] = (segment){at, p->batch.n};
}

bool packing_add(packing *p, uint32_t i) {
    const example *ex = &p->x->example[i];
    if (packing_tokens(ex) > p->tokens_max - p->batch.n)
        return false;
    for (int k = 0; k < 2 && ex->seq[k].n; k++)
        add_seq(p, &ex->seq[k]);
    return true;
}
