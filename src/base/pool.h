/* pool: the one set of worker threads.
 *
 * pool_run() calls fn(ctx, part, n_parts) once for every part in [0, n_parts) with
 * n_parts = pool_threads(), in parallel, and returns when all have ended. The
 * caller's thread does part 0. Which thread does what never changes a bit: a part
 * writes only its own outputs, and every output is one chain of its own
 * (doc/arithmetic.md). Calls do not nest. Idle workers spin for a few microseconds,
 * then sleep.
 */
#ifndef LOAM_BASE_POOL_H
#define LOAM_BASE_POOL_H

#include <stddef.h>

#include "base/err.h"

enum { POOL_THREADS_MAX = 256 };

typedef struct pool pool;
typedef void pool_fn(void *ctx, int part, int n_parts);

/* n_threads 1 to POOL_THREADS_MAX; 0 means one for every CPU. */
err_code pool_open(pool **out, int n_threads, err *e);
void pool_close(pool *p);                       /* NULL allowed */
int pool_threads(const pool *p);                /* NULL: 1 */
void pool_run(pool *p, pool_fn *fn, void *ctx); /* p NULL: runs fn(ctx, 0, 1) here */

/* Part `part` of n items, cut at multiples of `grain`: [*from, *to), possibly empty. */
void pool_share(size_t n, size_t grain, int part, int n_parts, size_t *from, size_t *to);

#endif
