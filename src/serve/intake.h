/* intake: the thread on which requests with a body are read: parsed, checked, their prompts rendered and tokenized.
 *
 * That takes a third of a second for a prompt of a megabyte, in which the HTTP thread would serve nobody. Requests are
 * read one after the other in the order in which they came; a request without a body never waits for one. What a client
 * that has left asked for is not read, nor anything once the server has cancelled all. A queue that is full is
 * ERR_CANCELLED (503).
 *
 * Proved by test/e2e/test_serve.py and test_serve_hostile.py.
 */
#ifndef LOAM_SERVE_INTAKE_H
#define LOAM_SERVE_INTAKE_H

#include "serve/route.h"

enum { INTAKE_QUEUE_MAX = 4096 };

err_code intake_open(worker **out, serve *s, err *e); /* worker_close() after the last promise has ended */
/* route_run() soon, on the intake's thread. ERR_OK: promised. Else the caller answers. */
err_code intake_send(worker *intake, http_call *c, const route *to, str rest, err *e);

#endif
