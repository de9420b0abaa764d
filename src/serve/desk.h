/* desk: work that takes too long for the HTTP thread and is none for an engine, done one after the other by a thread.
 *
 * An errand is one request: what it asks for was read on the HTTP thread; run() makes the answer on the desk's thread,
 * looks at `stop`, which becomes 1 when the client has gone, the time is over or the desk closes, and may take as long
 * as its own limits let it. A full queue is ERR_CANCELLED (503).
 *
 * Proved by test/e2e/test_lineage.py.
 */
#ifndef LOAM_SERVE_DESK_H
#define LOAM_SERVE_DESK_H

#include "serve/serve.h"
#include "text/js.h"

enum { DESK_QUEUE_MAX = 64 };

typedef struct errand {
    serve *s;
    /* Fills `answer` (and `type`, when it is not JSON). */
    err_code (*run)(struct errand *x, err *e);
    void *args; /* free()d with it; NULL: none */
    js_out answer;
    const char *type;
    volatile int stop;
    http_call *call; /* desk.c's */
} errand;

/* A new errand with room for its arguments, zeroed; NULL: no memory. */
errand *errand_new(serve *s, err_code (*run)(errand *x, err *e), size_t args_bytes);

void errand_free(errand *x); /* of one that was not sent; NULL allowed */

err_code desk_open(worker **out, err *e); /* worker_close() after the last promise has ended */
/* Takes the errand and answers the call some time, also with an error. ERR_OK: promised. Else the caller answers. */
err_code desk_send(worker *desk, http_call *c, errand *x, err *e);

#endif
