/* worker: see worker.h. What waits stands in a ring: thing[first], then n - 1 more, around the end. */
#include "serve/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    void (*run)(void *ctx, void *thing);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    bool closing;
    size_t first, n, n_max;
    void *thing[];
};

/* The next thing, waited for; NULL: the end. */
static void *next(worker *w) {
    void *thing = NULL;
    pthread_mutex_lock(&w->lock);
    while (w->n == 0 && !w->closing)
        pthread_cond_wait(&w->more, &w->lock);
    if (w->n > 0) {
        thing = w->thing[w->first];
        w->first = (w->first + 1) % w->n_max;
        w->n--;
    }
    pthread_mutex_unlock(&w->lock);
    return thing;
}

static void *work(void *ctx) {
    worker *w = ctx;
    for (void *thing = next(w); thing; thing = next(w))
        w->run(w->ctx, thing);
    return NULL;
}

static void release(worker *w) {
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    free(w);
}

/* Signals are for the threads of the program. */
static int start(worker *w) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

err_code worker_open(worker **out, size_t n_max, void (*run)(void *ctx, void *thing), void *ctx, err *e) {
    *out = NULL;
    worker *w = calloc(1, sizeof *w + n_max * sizeof *w->thing);
    if (!w)
        return err_set(e, ERR_MEMORY, "no memory for the server");
    w->run = run;
    w->ctx = ctx;
    w->n_max = n_max;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    int failed = start(w);
    if (failed) {
        release(w);
        return err_set(e, ERR_MEMORY, "no thread for the server: %s", strerror(failed));
    }
    *out = w;
    return ERR_OK;
}

bool worker_give(worker *w, void *thing) {
    pthread_mutex_lock(&w->lock);
    bool room = w->n < w->n_max;
    if (room) {
        w->thing[(w->first + w->n++) % w->n_max] = thing;
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

void worker_close(worker *w) {
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    release(w);
}
