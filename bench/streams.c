/* streams: tokens a second that the engine gives to 1, 2, 4 ... requests at once, and what guesses change.
 *
 * Every stream answers a prompt of random ids with as many tokens; prompts are read before the clock starts, since the
 * first token of the last stream starts it, and the first stream that ends stops it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "common.h"
#include "gen/engine.h"

enum { PROMPT = 32, STREAMS_MAX = 64 };

typedef struct {
    int64_t threads, streams, n;
    bool guesses;
} values;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t n_streams, n_begun, n_ended, n_tokens; /* tokens: while all run */
static double begun, ended;

static void on_token(void *ctx, const engine_token *t) {
    bool *first = ctx;
    (void)t;
    pthread_mutex_lock(&lock);
    if (n_begun == n_streams && n_ended == 0)
        n_tokens++;
    if (*first && ++n_begun == n_streams)
        begun = os_now();
    *first = false;
    pthread_mutex_unlock(&lock);
}

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    (void)ctx;
    (void)r;
    (void)text;
    if (code != ERR_OK)
        bench_fail(e);
    pthread_mutex_lock(&lock);
    if (n_ended++ == 0)
        ended = os_now();
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static double rate_of(model *m, pool *p, const values *v, size_t n) {
    engine *g;
    bool first[STREAMS_MAX];
    int32_t ids[PROMPT];
    engine_options o = {.ctx_tokens = PROMPT + (size_t)v->n, .n_running = n, .pool = p, .no_guesses = !v->guesses};
    MUST(engine_open(&g, m, NULL, &o, e));
    n_streams = n;
    n_begun = n_ended = n_tokens = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < PROMPT; k++)
            ids[k] = (int32_t)rng_below(i, RNG_TEST, k, model_config_of(m)->V);
        first[i] = true;
        engine_request r = {.ids = ids,
                            .n = PROMPT,
                            .n_max = (size_t)v->n,
                            .sampling = sampler_default,
                            .on_token = on_token,
                            .on_done = on_done,
                            .ctx = &first[i]};
        r.sampling.seed = i;
        engine_ticket *ticket;
        bool busy;
        MUST(engine_submit(g, &r, &ticket, &busy, e));
    }
    pthread_mutex_lock(&lock);
    while (n_ended < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    engine_close(g);
    return (double)n_tokens / (ended - begun);
}

int main(int argc, char **argv) {
    values v = {.streams = 8, .n = 48};
    const option rows[] = {
        {"threads", 't', OPT_INT, "N", "threads (0: one for every CPU)", offsetof(values, threads), 0, POOL_THREADS_MAX,
         NULL},
        {"streams", 's', OPT_INT, "N", "requests at once at most", offsetof(values, streams), 1, STREAMS_MAX, NULL},
        {"tokens", 'n', OPT_INT, "N", "tokens of each answer", offsetof(values, n), 2, 4096, NULL},
        {"guesses", 'g', OPT_FLAG, NULL, "guess from earlier n-grams", offsetof(values, guesses), 0, 0, NULL},
        {0}};
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"MODEL [options]", "Tokens a second of requests that run together.", groups, 1};
    const char *path[1];
    pool *p;
    model *m;
    bench_options(&program, argc, argv, &v, path);
    MUST(pool_open(&p, (int)v.threads, e));
    MUST(model_open(&m, path[0], &(model_options){.pool = p}, e));
    double one = 0;
    printf("| streams | tokens/s | against one |\n|---|---|---|\n");
    for (size_t n = 1; n <= (size_t)v.streams; n *= 2) {
        double rate = rate_of(m, p, &v, n);
        one = n == 1 ? rate : one;
        printf("| %zu | %.1f | %.2f |\n", n, rate, rate / one);
        fflush(stdout);
    }
    model_close(m);
    pool_close(p);
    return 0;
}
