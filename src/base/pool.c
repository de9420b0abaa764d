/* pool: worker threads that wake within a microsecond; see pool.h.
 *
 * One decoded token is some two hundred short pool_run() calls, so the hand-over is two cache lines:
 * the caller publishes a job by raising `turn`, each worker reports its end by lowering `left`.
 * Whoever waits spins first and sleeps on a condition variable after that.
 *
 * Invariants:
 *   1. `fn` and `ctx` are written only while left == 0 and all workers wait for the next turn; the
 *      store to `turn` publishes them, the last lowering of `left` hands every output back.
 *   2. A sleeper counts itself in `n_asleep` before it looks at its condition for the last time, and
 *      a waker changes the condition before it looks at `n_asleep` (both sequentially consistent):
 *      at least one of the two sees the other, so no wake-up is lost.
 *   3. With more threads than CPUs nobody spins: the one waited for may need this very CPU.
 */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

enum { LINE = 64, SPINS = 2000 }; /* about 30 us; sleeping and waking cost 5 to 50 us */

typedef struct {
    pool *pool;
    int part;
    pthread_t thread;
} worker;

struct pool {
    _Alignas(LINE) atomic_uint turn; /* the job's number: a worker does each once */
    pool_fn *fn;                     /* NULL: end */
    void *ctx;
    _Alignas(LINE) atomic_int left; /* workers that have not ended the current job */
    _Alignas(LINE) atomic_int n_asleep;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int n_threads, spins;
    bool running;
    worker *workers; /* n_threads - 1; worker i does part i + 1 */
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static bool has_turn(pool *p, unsigned done) { return atomic_load(&p->turn) != done; }
static bool has_ended(pool *p, unsigned unused) {
    (void)unused;
    return atomic_load(&p->left) == 0;
}

static void wait_until(pool *p, bool (*ready)(pool *, unsigned), unsigned arg) {
    for (int i = 0; i <= p->spins; i++) {
        if (ready(p, arg))
            return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->n_asleep, 1);
    while (!ready(p, arg))
        pthread_cond_wait(&p->changed, &p->mutex);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void wake(pool *p) {
    if (atomic_load(&p->n_asleep) == 0)
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
}

static void *work(void *arg) {
    worker *w = arg;
    pool *p = w->pool;
    for (unsigned done = 0;;) {
        wait_until(p, has_turn, done);
        done++;
        if (!p->fn)
            return NULL;
        p->fn(p->ctx, w->part, p->n_threads);
        if (atomic_fetch_sub(&p->left, 1) == 1)
            wake(p);
    }
}

static void start(pool *p, pool_fn *fn, void *ctx) {
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->left, p->n_threads - 1);
    atomic_fetch_add(&p->turn, 1);
    wake(p);
}

/* Ends and joins the first n workers, and frees the pool. */
static void stop(pool *p, int n) {
    start(p, NULL, NULL);
    for (int i = 0; i < n; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
    free(p->workers);
    free(p);
}

err_code pool_open(pool **out, int n_threads, err *e) {
    *out = NULL;
    int cpus = os_n_cpus();
    if (n_threads == 0)
        n_threads = cpus < POOL_THREADS_MAX ? cpus : POOL_THREADS_MAX;
    if (n_threads < 1 || n_threads > POOL_THREADS_MAX)
        return err_set(e, ERR_USAGE, "threads: %d is not within 1 to %d (0: one for every CPU)", n_threads,
                       POOL_THREADS_MAX);
    pool *p = aligned_alloc(LINE, sizeof *p); /* the size is a multiple of LINE by its alignment */
    worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        return err_set(e, ERR_MEMORY, "threads: no memory for %d of them", n_threads);
    }
    memset(p, 0, sizeof *p);
    p->n_threads = n_threads;
    p->spins = n_threads <= cpus ? SPINS : 0;
    p->workers = workers;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, NULL);

    /* Signals go to the program's own threads: workers are started with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int n = 0, why = 0;
    for (; n < n_threads - 1 && why == 0; n += why == 0) {
        workers[n].pool = p;
        workers[n].part = n + 1;
        why = pthread_create(&workers[n].thread, NULL, work, &workers[n]);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why != 0) {
        stop(p, n);
        return err_set(e, ERR_IO, "threads: the system gave %d of %d: %s (ask for fewer)", n + 1, n_threads,
                       strerror(why));
    }
    *out = p;
    return ERR_OK;
}

void pool_close(pool *p) {
    if (p)
        stop(p, p->n_threads - 1);
}

int pool_threads(const pool *p) { return p ? p->n_threads : 1; }

void pool_run(pool *p, pool_fn *fn, void *ctx) {
    if (!p || p->n_threads == 1) {
        fn(ctx, 0, 1);
        return;
    }
    assert(!p->running && fn);
    p->running = true;
    start(p, fn, ctx);
    fn(ctx, 0, p->n_threads);
    wait_until(p, has_ended, 0);
    p->running = false;
}

void pool_share(size_t n, size_t grain, int part, int n_parts, size_t *from, size_t *to) {
    assert(grain > 0 && n_parts > 0 && part >= 0 && part < n_parts);
    size_t blocks = n / grain + (n % grain != 0), parts = (size_t)n_parts, i = (size_t)part;
    size_t each = blocks / parts, more = blocks % parts; /* the first `more` parts get one block more */
    size_t first = each * i + (i < more ? i : more), last = first + each + (i < more);
    *from = first >= blocks ? n : first * grain;
    *to = last >= blocks ? n : last * grain;
}
