/* adapter_stack: what the parts of a layer look like as the matrices of a file; see adapter_source.h. */
#include <stdlib.h>
#include <string.h>

#include "kern/panel.h"
#include "model/adapter_source.h"
#include "model/tensors.h"

/* As the family's files have them. */
static bool has_matrix(const arch *a, int i_matrix) {
    bool fused = i_matrix == FILE_QKV || i_matrix == FILE_GATE_UP;
    bool own = i_matrix == LORA_O || i_matrix == LORA_DOWN;
    return own || fused == a->fused;
}

/* b NULL: no. */
static bool same_a(const adapter_target *a, const adapter_target *b) {
    return b && a->a.rows == b->a.rows && a->scale == b->scale &&
           memcmp(a->a.packed, b->a.packed, panel_bytes(DTYPE_F32, a->a.rows, a->a.cols)) == 0;
}

/* *there: some part is changed. */
static err_code stack_of(const adapter *a, size_t i_layer, int i_matrix, file_stack *out, bool *there, err *e) {
    const file_matrix *f = &file_matrices[i_matrix];
    const adapter_target *any = NULL;
    file_stack s = {.n_parts = f->n_parts, .shared = true};
    size_t ranks = 0;
    for (int i = 0; i < f->n_parts; i++) {
        lora_part p = (lora_part)((int)f->first + i);
        lora_part_shape(&a->m->config, p, &s.rows[i], &s.cols);
        s.part[i] = adapter_at(a, i_layer, p);
        s.n_rows += s.rows[i];
        s.shared = s.shared && s.part[0] && (i == 0 || same_a(s.part[0], s.part[i]));
        ranks += s.part[i] ? s.part[i]->a.rows : 0;
        any = any ? any : s.part[i];
    }
    *there = any != NULL;
    for (int i = 0; any && i < f->n_parts; i++)
        if ((s.part[i] && s.part[i]->scale != any->scale) || (any->magnitude && !(s.part[i] && s.part[i]->magnitude)))
            return err_set(e, ERR_UNSUPPORTED, "layer %zu: the changes of %s's parts do not fit into one matrix",
                           i_layer, f->peft);
    s.scale = any ? any->scale : 0;
    s.dora = any && any->magnitude;
    s.rank = s.shared && any ? any->a.rows : ranks;
    *out = s;
    return ERR_OK;
}

err_code file_stacks_each(const adapter *a, file_stack_fn *visit, void *ctx, err *e) {
    const model_config *c = &a->m->config;
    for (size_t i = 0; i < c->L; i++)
        for (int k = 0; k < FILE_MATRICES; k++) {
            file_stack s;
            bool there = false;
            if (has_matrix(c->arch, k))
                TRY(stack_of(a, i, k, &s, &there, e));
            if (there)
                TRY(visit(ctx, i, k, &s, e));
        }
    return ERR_OK;
}

/* Part and row in it of row *r. */
static int part_of(const size_t rows[], size_t *r) {
    int i = 0;
    for (; *r >= rows[i]; i++)
        *r -= rows[i];
    return i;
}

static size_t rank_of(const file_stack *s, int i) { return s->part[i] ? s->part[i]->a.rows : 0; }

void file_stack_row(const file_stack *s, lora_tensor what, size_t r, float *out) {
    if (what == LORA_A) {
        size_t ranks[LORA_PARTS] = {0};
        for (int i = 0; i < s->n_parts; i++)
            ranks[i] = rank_of(s, i);
        int i = part_of(ranks, &r);
        matrix_row(&s->part[i]->a, r, out);
        return;
    }
    if (s->head)
        r = tensor_in_order(s->head, r);
    memset(out, 0, s->rank * sizeof *out);
    int i = part_of(s->rows, &r);
    for (int before = 0; !s->shared && before < i; before++)
        out += rank_of(s, before);
    if (s->part[i])
        matrix_row(&s->part[i]->b, r, out);
}

float file_stack_magnitude(const file_stack *s, size_t r) {
    int i = part_of(s->rows, &r);
    return s->part[i]->magnitude[r];
}

float *adapter_row(const adapter *a, err *e) {
    const model_config *c = &a->m->config;
    size_t widest = c->D > c->F ? c->D : c->F, heads = c->H * c->K, ranks = LORA_PARTS * (size_t)ADAPTER_RANK_MAX;
    widest = widest > heads ? widest : heads;
    float *row = calloc(widest > ranks ? widest : ranks, sizeof *row);
    if (!row)
        err_set(e, ERR_MEMORY, "no memory to write an adapter");
    return row;
}
