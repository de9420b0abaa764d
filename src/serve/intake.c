/* intake: see intake.h. */
#include "serve/intake.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct task {
    http_call *call;
    const route *to;
    str rest; /* of the call's path */
    struct task *next;
} task;

struct intake {
    serve *s;
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    task *first, **last;
    size_t n;
    bool runs, closing;
};

static void do_task(serve *s, task *t) {
    if (http_has_gone(t->call))
        reply_error(t->call, 503, ERR_CANCELLED, "the client has gone");
    else
        route_run(s, t->call, t->to, t->rest);
    free(t);
}

static void *work(void *ctx) {
    intake *r = ctx;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->first && !r->closing)
            pthread_cond_wait(&r->more, &r->lock);
        task *t = r->first;
        if (!t)
            break;
        r->first = t->next;
        if (!r->first)
            r->last = &r->first;
        r->n--;
        pthread_mutex_unlock(&r->lock);
        do_task(r->s, t);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

err_code intake_open(intake **out, serve *s, err *e) {
    intake *r = *out = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory for the server");
    r->s = s;
    r->last = &r->first;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    r->runs = pthread_create(&r->thread, NULL, work, r) == 0;
    if (r->runs)
        return ERR_OK;
    intake_close(r);
    *out = NULL;
    return err_set(e, ERR_MEMORY, "no thread for reading requests");
}

err_code intake_send(intake *r, http_call *c, const route *to, str rest, err *e) {
    task *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for this request");
    *t = (task){.call = c, .to = to, .rest = rest};
    pthread_mutex_lock(&r->lock);
    bool room = r->n < INTAKE_QUEUE_MAX;
    if (room) {
        *r->last = t;
        r->last = &t->next;
        r->n++;
        pthread_cond_signal(&r->more);
    }
    pthread_mutex_unlock(&r->lock);
    if (room)
        return ERR_OK;
    free(t);
    return err_set(e, ERR_CANCELLED, "too many requests wait to be read (ask again in a few seconds)");
}

void intake_close(intake *r) {
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
    if (r->runs)
        pthread_join(r->thread, NULL);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->more);
    free(r);
}
