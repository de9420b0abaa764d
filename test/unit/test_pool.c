/* pool: every part runs once, results are visible, whatever the number of threads and of CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"

typedef struct {
    uint64_t round;
    int n_calls[POOL_THREADS_MAX];
    uint64_t out[POOL_THREADS_MAX];
    int n_parts_seen;
} job;

/* Plain, unsynchronised memory: ThreadSanitizer sees every hand-over that is missing. */
static void mark(void *ctx, int part, int n_parts) {
    job *j = ctx;
    j->n_calls[part]++;
    j->out[part] = rng_u64(j->round, RNG_TEST, (uint64_t)part);
    if (part == 0)
        j->n_parts_seen = n_parts;
}

static void every_part_runs_once(void **state) {
    (void)state;
    for (int n = 1; n <= 16; n++) {
        pool *p;
        err e;
        assert_int_equal(pool_open(&p, n, &e), ERR_OK);
        assert_int_equal(pool_threads(p), n);
        job j = {0};
        for (j.round = 1; j.round <= 200; j.round++) {
            pool_run(p, mark, &j);
            assert_int_equal(j.n_parts_seen, n);
            for (int i = 0; i < n; i++) {
                assert_int_equal(j.n_calls[i], j.round);
                assert_true(j.out[i] == rng_u64(j.round, RNG_TEST, (uint64_t)i));
            }
        }
        assert_int_equal(n < 16 ? j.n_calls[n] : 0, 0);
        pool_close(p);
    }
}

/* Pauses of every length around the moment when workers go to sleep: no wake-up may be lost. */
static void sleepers_are_woken(void **state) {
    (void)state;
    for (int n = 2; n <= 4; n += 2) {
        pool *p;
        err e;
        assert_int_equal(pool_open(&p, n, &e), ERR_OK);
        job j = {0};
        for (j.round = 1; j.round <= 400; j.round++) {
            double until = os_now() + (double)rng_below(5, RNG_TEST, j.round, 120) * 1e-6;
            while (os_now() < until) {
            }
            if (j.round % 50 == 0)
                usleep(2000);
            pool_run(p, mark, &j);
            for (int i = 0; i < n; i++)
                assert_int_equal(j.n_calls[i], j.round);
        }
        pool_close(p);
    }
}

static void uneven(void *ctx, int part, int n_parts) {
    job *j = ctx;
    double until = os_now() + 1e-6 * (double)rng_below(6, RNG_TEST, j->round * 64 + (uint64_t)part, 300);
    while (os_now() < until) {
    }
    mark(ctx, part, n_parts);
}

static void uneven_parts_are_waited_for(void **state) {
    (void)state;
    pool *p;
    err e;
    assert_int_equal(pool_open(&p, 3, &e), ERR_OK);
    job j = {0};
    for (j.round = 1; j.round <= 200; j.round++) {
        pool_run(p, uneven, &j);
        for (int i = 0; i < 3; i++)
            assert_int_equal(j.n_calls[i], j.round);
    }
    pool_close(p);
}

static void two_pools_do_not_disturb_each_other(void **state) {
    (void)state;
    pool *a, *b;
    err e;
    assert_int_equal(pool_open(&a, 2, &e), ERR_OK);
    assert_int_equal(pool_open(&b, 3, &e), ERR_OK);
    job ja = {0}, jb = {0};
    for (int i = 0; i < 100; i++) {
        pool_run(a, mark, &ja);
        pool_run(b, mark, &jb);
    }
    assert_int_equal(ja.n_calls[1], 100);
    assert_int_equal(jb.n_calls[2], 100);
    pool_close(b);
    pool_close(a);
}

static void open_and_close_at_once(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        pool *p;
        err e;
        assert_int_equal(pool_open(&p, i % 8 + 1, &e), ERR_OK);
        pool_close(p);
    }
    pool_close(NULL);
}

static void no_pool_is_the_callers_thread(void **state) {
    (void)state;
    job j = {0};
    pool_run(NULL, mark, &j);
    assert_int_equal(pool_threads(NULL), 1);
    assert_int_equal(j.n_calls[0], 1);
    assert_int_equal(j.n_parts_seen, 1);
}

static void the_number_of_threads_is_checked(void **state) {
    (void)state;
    pool *p = (pool *)1;
    err e;
    assert_int_equal(pool_open(&p, -1, &e), ERR_USAGE);
    assert_null(p);
    assert_int_equal(pool_open(&p, POOL_THREADS_MAX + 1, &e), ERR_USAGE);
    assert_string_equal(e.text, "threads: 257 is not within 1 to 256 (0: one for every CPU)");
    assert_int_equal(pool_open(&p, INT_MIN, NULL), ERR_USAGE);
    assert_int_equal(pool_open(&p, 0, &e), ERR_OK);
    int cpus = os_n_cpus();
    assert_int_equal(pool_threads(p), cpus < POOL_THREADS_MAX ? cpus : POOL_THREADS_MAX);
    pool_close(p);
}

static void see_signals(void *ctx, int part, int n_parts) {
    (void)n_parts;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    ((int *)ctx)[part] = sigismember(&blocked, SIGINT);
}

static void interrupts_go_to_the_caller(void **state) {
    (void)state;
    pool *p;
    err e;
    int blocked[3] = {-1, -1, -1};
    assert_int_equal(pool_open(&p, 3, &e), ERR_OK);
    pool_run(p, see_signals, blocked);
    assert_true(blocked[0] == 0 && blocked[1] == 1 && blocked[2] == 1);
    pool_close(p);
}

static void shares_cover_everything_once(void **state) {
    (void)state;
    for (size_t n = 0; n <= 70; n++)
        for (size_t grain = 1; grain <= 17; grain++)
            for (int parts = 1; parts <= 9; parts++) {
                size_t at = 0, least = SIZE_MAX, most = 0;
                for (int i = 0; i < parts; i++) {
                    size_t from, to;
                    pool_share(n, grain, i, parts, &from, &to);
                    assert_int_equal(from, at);
                    assert_true(to >= from && to <= n);
                    assert_true(from == n || from % grain == 0);
                    size_t blocks = (to - from + grain - 1) / grain;
                    least = blocks < least ? blocks : least;
                    most = blocks > most ? blocks : most;
                    at = to;
                }
                assert_int_equal(at, n);
                assert_true(most - least <= 1);
            }
}

static void shares_near_the_end_of_numbers(void **state) {
    (void)state;
    const size_t grains[] = {1, 3, 16, (size_t)1 << 63, SIZE_MAX};
    for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
        size_t at = 0;
        for (int i = 0; i < 7; i++) {
            size_t from, to;
            pool_share(SIZE_MAX, grains[g], i, 7, &from, &to);
            assert_true(from == at && to >= from);
            at = to;
        }
        assert_true(at == SIZE_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once),
        cmocka_unit_test(sleepers_are_woken),
        cmocka_unit_test(uneven_parts_are_waited_for),
        cmocka_unit_test(two_pools_do_not_disturb_each_other),
        cmocka_unit_test(open_and_close_at_once),
        cmocka_unit_test(no_pool_is_the_callers_thread),
        cmocka_unit_test(the_number_of_threads_is_checked),
        cmocka_unit_test(interrupts_go_to_the_caller),
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(shares_near_the_end_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
