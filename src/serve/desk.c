/* desk: see desk.h. */
#include "serve/desk.h"

#include <pthread.h>
#include <stdlib.h>

struct desk {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    errand *first, **last;
    size_t n;
    bool runs, closing;
};

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

static void do_errand(errand *x) {
    err e = {0};
    x->answer.e = &e;
    err_code code = x->stop ? err_set(&e, ERR_CANCELLED, "stopped") : x->run(x, &e);
    if (code == ERR_OK)
        code = x->answer.code;
    if (code == ERR_OK)
        http_answer(x->call, 200, x->type, strbuf_str(&x->answer.text));
    else
        reply_error(x->call, status_of(code), code, e.text);
    errand_free(x);
}

static void *work(void *ctx) {
    desk *d = ctx;
    pthread_mutex_lock(&d->lock);
    for (;;) {
        while (!d->first && !d->closing)
            pthread_cond_wait(&d->more, &d->lock);
        errand *x = d->first;
        if (!x)
            break;
        d->first = x->next;
        if (!d->first)
            d->last = &d->first;
        d->n--;
        pthread_mutex_unlock(&d->lock);
        do_errand(x);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

err_code desk_open(desk **out, err *e) {
    desk *d = *out = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_MEMORY, "no memory for the desk");
    d->last = &d->first;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->more, NULL);
    d->runs = pthread_create(&d->thread, NULL, work, d) == 0;
    if (d->runs)
        return ERR_OK;
    desk_close(d);
    *out = NULL;
    return err_set(e, ERR_MEMORY, "no thread for the desk");
}

err_code desk_send(desk *d, http_call *c, errand *x, err *e) {
    if (!x)
        return err_set(e, ERR_MEMORY, "no memory for this request");
    x->call = c;
    pthread_mutex_lock(&d->lock);
    bool room = d->n < DESK_QUEUE_MAX;
    if (room) {
        http_on_gone(c, gone, x);
        *d->last = x;
        d->last = &x->next;
        d->n++;
        pthread_cond_signal(&d->more);
    }
    pthread_mutex_unlock(&d->lock);
    if (room)
        return ERR_OK;
    errand_free(x);
    return err_set(e, ERR_CANCELLED, "too many requests of this kind wait (ask again in a few seconds)");
}

void desk_close(desk *d) {
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
    if (d->runs)
        pthread_join(d->thread, NULL);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->more);
    free(d);
}
