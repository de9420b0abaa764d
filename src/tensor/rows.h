/* rows: work that goes row by row (a row is one position), shared among threads.
 *
 * A single row runs in the caller's thread: waking the others would cost more than it gives.
 */
#ifndef LOAM_TENSOR_ROWS_H
#define LOAM_TENSOR_ROWS_H

#include "tensor/matrix.h"

/* fn(ctx, from, to) for parts of rows [0, n), in parallel. */
typedef void rows_fn(void *ctx, size_t from, size_t to);
void rows_run(const engine *e, size_t n, rows_fn *fn, void *ctx);

/* fn(ctx, i) for every task i in [0, n): each thread takes the next one that is left. For tasks of uneven length;
 * `thread` numbers the thread, 0 to pool_threads()-1, for scratch memory. */
typedef void task_fn(void *ctx, size_t i, int thread);
void tasks_run(const engine *e, size_t n, task_fn *fn, void *ctx);

#endif
