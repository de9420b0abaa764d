/* rows: sharing rows and tasks among threads; see rows.h. */
#include "tensor/rows.h"

#include <stdatomic.h>

typedef struct {
    size_t n;
    rows_fn *fn;
    void *ctx;
} rows_job;

static void rows_part(void *ctx, int part, int n_parts) {
    const rows_job *j = ctx;
    size_t from, to;
    pool_share(j->n, 1, part, n_parts, &from, &to);
    if (from < to)
        j->fn(j->ctx, from, to);
}

void rows_run(const engine *e, size_t n, rows_fn *fn, void *ctx) {
    if (n <= 1) {
        if (n)
            fn(ctx, 0, 1);
        return;
    }
    pool_run(e->pool, rows_part, &(rows_job){n, fn, ctx});
}

typedef struct {
    size_t n;
    atomic_size_t next;
    task_fn *fn;
    void *ctx;
} tasks_job;

static void tasks_part(void *ctx, int part, int n_parts) {
    (void)n_parts;
    tasks_job *j = ctx;
    for (size_t i; (i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->n;)
        j->fn(j->ctx, i, part);
}

void tasks_run(const engine *e, size_t n, task_fn *fn, void *ctx) {
    tasks_job j = {.n = n, .fn = fn, .ctx = ctx};
    atomic_init(&j.next, 0);
    if (n == 1)
        tasks_part(&j, 0, 1);
    else if (n)
        pool_run(e->pool, tasks_part, &j);
}
