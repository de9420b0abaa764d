/* worker: things given by several threads are done one after the other, each once, in each one's order; as many wait as
 * may; closing does what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "serve/worker.h"

enum { GIVERS = 4, EACH = 5000, N_MAX = 8 };

typedef struct {
    pthread_mutex_t lock; /* whoever holds it keeps the worker from doing anything */
    size_t last[GIVERS], n;
    bool bad;
} done;

typedef struct {
    size_t giver, number; /* from 1 */
} thing;

static void note(void *ctx, void *given) {
    done *d = ctx;
    const thing *x = given;
    pthread_mutex_lock(&d->lock);
    d->bad |= x->number <= d->last[x->giver];
    d->last[x->giver] = x->number;
    d->n++;
    pthread_mutex_unlock(&d->lock);
}

static worker *opened(size_t n_max, done *d) {
    worker *w;
    err e = {0};
    if (worker_open(&w, n_max, note, d, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return w;
}

static void as_many_wait_as_may(void **state) {
    (void)state;
    done d = {.lock = PTHREAD_MUTEX_INITIALIZER};
    thing x[2 * N_MAX];
    size_t n = 0;
    worker *w = opened(N_MAX, &d);
    pthread_mutex_lock(&d.lock);
    for (size_t i = 0; i < 2 * N_MAX; i++) {
        x[i] = (thing){0, i + 1};
        n += worker_give(w, &x[i]);
    }
    pthread_mutex_unlock(&d.lock);
    assert_in_range(n, N_MAX, N_MAX + 1); /* one may be under way */
    worker_close(w);
    assert_int_equal(d.n, n);
    assert_false(d.bad);
}

typedef struct {
    worker *w;
    size_t number;
    thing x[EACH];
} giver;

static void *give_all(void *ctx) {
    giver *g = ctx;
    for (size_t i = 0; i < EACH; i++) {
        g->x[i] = (thing){g->number, i + 1};
        while (!worker_give(g->w, &g->x[i]))
            sched_yield();
    }
    return NULL;
}

static void each_once_and_in_order(void **state) {
    (void)state;
    static giver g[GIVERS];
    pthread_t t[GIVERS];
    done d = {.lock = PTHREAD_MUTEX_INITIALIZER};
    worker *w = opened(N_MAX, &d);
    for (size_t i = 0; i < GIVERS; i++) {
        g[i].w = w;
        g[i].number = i;
        assert_int_equal(pthread_create(&t[i], NULL, give_all, &g[i]), 0);
    }
    for (size_t i = 0; i < GIVERS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    worker_close(w);
    worker_close(NULL);
    assert_int_equal(d.n, GIVERS * EACH);
    assert_false(d.bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_wait_as_may),
        cmocka_unit_test(each_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
