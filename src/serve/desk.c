/* desk: see desk.h. */
#include "serve/desk.h"

#include <stdlib.h>

errand *errand_new(serve *s, err_code (*run)(errand *x, err *e), size_t args_bytes) {
    errand *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    *x = (errand){.s = s, .run = run, .args = calloc(1, args_bytes + 1), .type = "application/json"};
    if (x->args)
        return x;
    free(x);
    return NULL;
}

void errand_free(errand *x) {
    if (!x)
        return;
    strbuf_fini(&x->answer.text);
    free(x->args);
    free(x);
}

static void gone(void *ctx) { ((errand *)ctx)->stop = 1; }

static void do_errand(void *ctx, void *thing) {
    errand *x = thing;
    err e = {0};
    (void)ctx;
    x->answer.e = &e;
    http_on_gone(x->call, gone, x);
    err_code code = http_has_gone(x->call) ? err_set(&e, ERR_CANCELLED, "stopped") : x->run(x, &e);
    if (code == ERR_OK)
        code = x->answer.code;
    if (code == ERR_OK)
        http_answer(x->call, 200, x->type, strbuf_str(&x->answer.text));
    else
        reply_error(x->call, status_of(code), code, e.text);
    errand_free(x);
}

err_code desk_open(worker **out, err *e) { return worker_open(out, DESK_QUEUE_MAX, do_errand, NULL, e); }

err_code desk_send(worker *desk, http_call *c, errand *x, err *e) {
    if (!x)
        return err_set(e, ERR_MEMORY, "no memory for this request");
    x->call = c;
    if (worker_give(desk, x))
        return ERR_OK;
    errand_free(x);
    return err_set(e, ERR_CANCELLED, "too many requests of this kind wait (ask again in a few seconds)");
}
