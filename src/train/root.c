/* root: see root.h. */
#include "train/root.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kern/panel.h"

void root_row(const param *p, const float *x, size_t r, float *out) {
    if (p->cols == 0) {
        memcpy(out, x, p->rows * sizeof *out);
        return;
    }
    const float *from = x + r / PANEL_ROWS * PANEL_ROWS * p->cols + r % PANEL_ROWS;
    for (size_t c = 0; c < p->cols; c++)
        out[c] = from[c * PANEL_ROWS];
}

void root_put_row(const param *p, float *x, size_t r, const float *row) {
    if (p->cols == 0) {
        memcpy(x, row, p->rows * sizeof *row);
        return;
    }
    float *to = x + r / PANEL_ROWS * PANEL_ROWS * p->cols + r % PANEL_ROWS;
    for (size_t c = 0; c < p->cols; c++)
        to[c * PANEL_ROWS] = row[c];
}

static void add_u64(hash_state *h, uint64_t x) {
    uint8_t byte[8];
    for (int i = 0; i < 8; i++)
        byte[i] = (uint8_t)(x >> 8 * i);
    hash_add(h, byte, sizeof byte);
}

_Static_assert(sizeof(float) == 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are hashed as they stand");

/* One panel's rows together, so that each line of memory is read once. */
enum { ROWS = PANEL_ROWS };

static err_code leaf_of(const param *p, const float *x, hash256 *out, err *e) {
    hash_state *h;
    size_t width = p->cols ? p->cols : p->rows;
    float *rows = malloc((p->cols ? ROWS : 1) * width * sizeof *rows);
    err_code code = rows ? hash_open(&h, e) : err_set(e, ERR_MEMORY, "no memory to hash %s", p->name);
    if (code != ERR_OK) {
        free(rows);
        return code;
    }
    hash_add(h, p->name, strlen(p->name) + 1);
    add_u64(h, p->rows);
    add_u64(h, p->cols);
    if (p->cols == 0) {
        hash_add(h, x, p->rows * sizeof *x);
    } else {
        for (size_t r = 0; r < p->rows; r += ROWS) {
            size_t n = p->rows - r < ROWS ? p->rows - r : ROWS;
            const float *panel = x + r * p->cols;
            for (size_t c = 0; c < p->cols; c++)
                for (size_t i = 0; i < ROWS; i++)
                    rows[i * p->cols + c] = panel[c * ROWS + i];
            hash_add(h, rows, n * p->cols * sizeof *rows);
        }
    }
    *out = hash_close(h);
    free(rows);
    return ERR_OK;
}

typedef struct {
    const param *params;
    float *const *x;
    size_t n;
    hash256 *leaf;
    atomic_size_t next;
    atomic_int failed;
} hashing;

static void hash_tensors(void *ctx, int part, int n_parts) {
    (void)part;
    (void)n_parts;
    hashing *h = ctx;
    for (size_t i; (i = atomic_fetch_add(&h->next, 1)) < h->n;)
        if (leaf_of(&h->params[i], h->x[i], &h->leaf[i], NULL) != ERR_OK)
            atomic_store(&h->failed, 1);
}

err_code root_leaves(const param *params, float *const *x, size_t n, pool *p, hash256 *leaf, err *e) {
    hashing h = {.params = params, .x = x, .n = n, .leaf = leaf};
    pool_run(p, hash_tensors, &h);
    return atomic_load(&h.failed) ? err_set(e, ERR_MEMORY, "no memory to hash the weights") : ERR_OK;
}

hash256 root_of(const hash256 *leaf, size_t n) { return hash_of(leaf, n * sizeof *leaf); }
