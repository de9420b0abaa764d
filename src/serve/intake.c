/* intake: see intake.h. */
#include "serve/intake.h"

#include <stdlib.h>

typedef struct {
    http_call *call;
    const route *to;
    str rest; /* of the call's path */
} task;

static void do_task(void *s, void *thing) {
    task *t = thing;
    if (http_has_gone(t->call))
        reply_error(t->call, 503, ERR_CANCELLED, "the client has gone, the time is over, or the server stops");
    else
        route_run(s, t->call, t->to, t->rest);
    free(t);
}

err_code intake_open(worker **out, serve *s, err *e) { return worker_open(out, INTAKE_QUEUE_MAX, do_task, s, e); }

err_code intake_send(worker *intake, http_call *c, const route *to, str rest, err *e) {
    task *t = malloc(sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for this request");
    *t = (task){c, to, rest};
    if (worker_give(intake, t))
        return ERR_OK;
    free(t);
    return err_set(e, ERR_CANCELLED, "too many requests wait to be read (ask again in a few seconds)");
}
