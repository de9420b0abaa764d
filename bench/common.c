/* common: see common.h. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void bench_fail(const err *e) {
    fflush(stdout);
    fprintf(stderr, "bench: %s\n", e->text);
    exit(e->code == ERR_USAGE ? 2 : 1);
}

void bench_options(const bench_program *p, int argc, char **argv, void *values, const char *arg[]) {
    err e = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)
            continue;
        strbuf text = {0};
        if (options_help(p->groups, values, 100, &text, &e) != ERR_OK)
            bench_fail(&e);
        printf("usage: %s %s\n%s\n%.*s", argv[0], p->usage, p->summary, (int)text.n, text.p);
        strbuf_fini(&text);
        exit(0);
    }
    arguments args = {.arg = calloc((size_t)argc + 1, sizeof *args.arg)};
    if (!args.arg)
        abort();
    if (options_parse(p->groups, argc - 1, argv + 1, values, &args, &e) != ERR_OK)
        bench_fail(&e);
    if (args.n != p->n_args) {
        err_set(&e, ERR_USAGE, "usage: %s %s", argv[0], p->usage);
        bench_fail(&e);
    }
    for (int i = 0; i < args.n; i++)
        arg[i] = args.arg[i];
    free(args.arg);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *x, size_t n) {
    qsort(x, n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static double now(bool alone) {
    struct timespec t;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_time(void (*fn)(void *ctx), void *ctx, int reps, double seconds, bool alone) {
    double took[101];
    if (reps < 1 || reps > 101)
        reps = 5;
    fn(ctx);
    double start = now(alone);
    fn(ctx);
    double once = now(alone) - start;
    size_t calls = once * reps >= seconds ? 1 : (size_t)(seconds / reps / (once > 1e-8 ? once : 1e-8)) + 1;
    for (int r = 0; r < reps; r++) {
        start = now(alone);
        for (size_t i = 0; i < calls; i++)
            fn(ctx);
        took[r] = (now(alone) - start) / (double)calls;
    }
    return bench_median(took, (size_t)reps);
}
