/* engine: any allocation that fails is an error of engine_open(), of engine_submit(), or of the one request for which
 * it was made; what comes after is served as ever; nothing leaks (make san). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fault/fault.h"
#include "gen/engine.h"

enum { CTX = 96, N_PROMPT = 20 };

static model *m;
static const int32_t prompt[N_PROMPT] = {0, 9, 31, 7, 77, 140, 3, 18, 55, 23, 9, 31, 7, 77, 140, 3, 18, 55, 23, 4};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t n_done;
static int32_t got[100];
static size_t n_got;
static err_code ended;
static long countdown; /* of the engine's thread, from the end of a request on */
static bool fired;

static void on_token(void *ctx, const engine_token *t) {
    (void)ctx;
    got[n_got++] = t->token.id;
}

/* The engine's thread has a `fault` of its own: what it allocates next fails. */
static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    (void)ctx;
    (void)r;
    (void)text;
    (void)e;
    pthread_mutex_lock(&lock);
    fired = fault.fired;
    fault.kind = FAULT_MEMORY;
    fault.fired = false;
    fault.countdown = countdown;
    fault.armed = countdown > 0;
    ended = code;
    n_done++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static err_code submit(engine *g, size_t n, err *e) {
    static const str stop[] = {{"never\n", 6}};
    static const engine_scored bias[] = {{5, 1.0}};
    const engine_request r = {.ids = prompt,
                              .n = n,
                              .sampling = sampler_default,
                              .n_max = 8,
                              .stop = stop,
                              .n_stop = 1,
                              .bias = bias,
                              .n_bias = 1,
                              .on_token = on_token,
                              .on_done = on_done};
    engine_ticket *t;
    bool busy;
    return engine_submit(g, &r, &t, &busy, e);
}

static void wait_done(size_t n) {
    pthread_mutex_lock(&lock);
    while (n_done < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void opening_survives_shortage(void **state) {
    (void)state;
    const engine_options o = {.ctx_tokens = CTX, .n_running = 2};
    FAULT_EACH(FAULT_MEMORY, 200) {
        engine *g = NULL;
        err_code code = engine_open(&g, m, NULL, &o, NULL);
        fault_end(code == ERR_OK);
        assert_true((code == ERR_OK) == (g != NULL));
        engine_close(g);
    }
}

static void submitting_survives_shortage(void **state) {
    (void)state;
    const engine_options o = {.ctx_tokens = CTX, .n_running = 2};
    engine *g = NULL;
    assert_int_equal(engine_open(&g, m, NULL, &o, NULL), ERR_OK);
    n_done = n_got = 0;
    countdown = 0;
    FAULT_EACH(FAULT_MEMORY, 200) {
        err e = {0};
        err_code code = submit(g, N_PROMPT, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
    }
    wait_done(1);
    assert_int_equal(ended, ERR_OK);
    engine_close(g);
    assert_int_equal(n_done, 1);
}

/* Three requests; when the first ends, the n-th allocation from then on fails. Returns whether there was an n-th.
 * `kept`: the first leaves a prefix, which is given up for the second. */
static bool three(long n, bool kept, int32_t want[8], size_t *n_failed) {
    const engine_options o = {.ctx_tokens = CTX, .n_running = 2};
    engine *g = NULL;
    bool met = false;
    assert_int_equal(engine_open(&g, m, NULL, &o, NULL), ERR_OK);
    n_done = 0;
    for (size_t i = 0; i < 3; i++) {
        n_got = 0;
        countdown = i == 0 ? n : 0;
        assert_int_equal(submit(g, i || kept ? N_PROMPT : 4, NULL), ERR_OK);
        wait_done(i + 1);
        met = i == 1 ? fired : met;
        if (i == 1 && ended == ERR_MEMORY) {
            ++*n_failed;
            continue;
        }
        assert_int_equal(ended, ERR_OK);
        assert_int_equal(n_got, 8);
        if (i == 1 && n == 0)
            memcpy(want, got, 8 * sizeof *want);
        if (i > 0)
            assert_memory_equal(got, want, 8 * sizeof *want);
    }
    engine_close(g);
    return met;
}

static void requests_survive_shortage(void **state) {
    (void)state;
    int32_t want[8];
    for (int kept = 0; kept < 2; kept++) {
        size_t n_failed = 0;
        long n = 0;
        for (bool more = true; more; n++) {
            assert_true(n < 50);
            more = three(n, kept, want, &n_failed) || n == 0;
        }
        assert_true(n > 2);
        assert_true(kept ? n_failed == 0 : n_failed > 0);
    }
}

static int open_all(void **state) {
    (void)state;
    err e = {0};
    const model_options o = {0};
    err_code code = model_open(&m, "test/golden/models/llama", &o, &e);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", e.text);
    return code == ERR_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    model_close(m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_survives_shortage),
        cmocka_unit_test(submitting_survives_shortage),
        cmocka_unit_test(requests_survive_shortage),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
