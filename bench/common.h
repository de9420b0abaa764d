/* common: what the programs of bench/ share: options, errors, medians, timing. */
#ifndef LOAM_BENCH_COMMON_H
#define LOAM_BENCH_COMMON_H

#include "base/err.h"
#include "base/os.h"
#include "cli/options.h"

typedef struct {
    const char *usage;   /* "OUT.gguf [options]" */
    const char *summary; /* one sentence */
    const option_group *groups;
    int n_args; /* arguments beside the options */
} bench_program;

/* Fills *values and arg[n_args]; --help prints and exits 0, wrong usage exits 2. */
void bench_options(const bench_program *p, int argc, char **argv, void *values, const char *arg[]);

_Noreturn void bench_fail(const err *e); /* prints the error and exits 1 */
#define MUST(expr)            \
    do {                      \
        err must_ = {0};      \
        err *e = &must_;      \
        if ((expr) != ERR_OK) \
            bench_fail(e);    \
    } while (0)

double bench_median(double *x, size_t n); /* sorts x */

/* Median seconds of one fn(ctx), over `reps` runs (1 to 101) of as many calls as fill about `seconds`. One warm-up.
 * alone: fn uses this thread only, so the thread's own time counts, which others on the machine disturb less. */
double bench_time(void (*fn)(void *ctx), void *ctx, int reps, double seconds, bool alone);

#endif
