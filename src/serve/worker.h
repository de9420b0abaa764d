/* worker: things that are done one after the other, in the order in which they were given, by a thread of their own.
 *
 *   worker_give(w, x) from any thread  ->  run(ctx, x) on the worker's thread
 *
 * As many may wait as was said at the beginning; all memory is taken then. Proved by test_worker.c.
 */
#ifndef LOAM_SERVE_WORKER_H
#define LOAM_SERVE_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct worker worker;

/* n_max: things that may wait, without the one that is being done; at least 1. The thread takes no signals. */
err_code worker_open(worker **out, size_t n_max, void (*run)(void *ctx, void *thing), void *ctx, err *e);
bool worker_give(worker *w, void *thing); /* false: as many wait as may; the thing is still the caller's */
/* Does what waits, then ends the thread; nothing may be given meanwhile. NULL allowed. */
void worker_close(worker *w);

#endif
