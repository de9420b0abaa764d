/* training: see training.h. */
#include <string.h>

#include "cli/training.h"

#include <stdio.h>

#include "base/os.h"
#include "tensor/rows.h"

static void show_tokenizing(void *ctx, size_t done, size_t total) { progress_step(ctx, done, total); }

static void show_reading(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

run_load_options training_options(const training *t, const common_values *common, const training_inputs *in,
                                  progress *bar) {
    return (run_load_options){
        .trainer = {.pool = t->pool,
                    .isa = common->isa,
                    .recompute = in->recompute,
                    .memory_max = (size_t)(os_memory_bytes() / 5 * 4)},
        .data = in->data,
        .where = in->where,
        .base = in->base,
        .progress = show_tokenizing,
        .progress_examples = show_reading,
        .progress_ctx = bar,
        .stop = &interrupt_flag,
    };
}

err_code training_open(training *t, const char *path, const common_values *common, const training_inputs *in, err *e) {
    strbuf bad = {0};
    TRY(run_open(&t->run, path, e));
    if (!t->pool)
        TRY(pool_open(&t->pool, (int)common->threads, e));
    progress bar = {.what = "tokenizing"};
    run_load_options o = training_options(t, common, in, &bar);
    o.bad = &bad;
    err_code code = t->run.base ? tuning_load(&t->run, &o, e) : run_load(&t->run, &o, e);
    progress_end(&bar);
    if (bad.n)
        out_note("the example:\n%.*s", STR_ARG(strbuf_str(&bad)));
    strbuf_fini(&bad);
    return code;
}

void training_close(training *t) {
    run_close(&t->run);
    pool_close(t->pool);
    *t = (training){0};
}

typedef struct {
    const kern_ops *kern;
    double rate[POOL_THREADS_MAX]; /* operations a second, each thread's best */
} peak;

/* Slices of about a millisecond by the thread's own clock: programs beside take time, but not speed. */
static void run_peak(void *ctx, int part, int n_parts) {
    enum { SLICES = 20, STEPS = 1 << 14 };
    (void)n_parts;
    peak *p = ctx;
    float sink[3] = {0.5f, 0.25f, 0};
    for (int i = 0; i < SLICES; i++) {
        double begun = os_thread_seconds(), n = p->kern->fma_run(STEPS, sink);
        double seconds = os_thread_seconds() - begun;
        if (seconds > 0 && n / seconds > p->rate[part])
            p->rate[part] = n / seconds;
    }
}

double training_peak(const training *t) {
    peak p = {.kern = kern_select(model_isa(trainer_model(t->run.trainer)))};
    int n = pool_threads(t->pool), n_cpus = os_n_cpus();
    double sum = 0;
    pool_run(t->pool, run_peak, &p);
    for (int i = 0; i < n; i++)
        sum += p.rate[i];
    return n > n_cpus ? sum * n_cpus / n : sum;
}

amount amount_count(double n) {
    static const char *const unit[] = {"", "k", "M", "G", "T", "P"};
    size_t u = 0;
    while (n >= 999.5 && u + 1 < sizeof unit / sizeof *unit) {
        n /= 1000;
        u++;
    }
    amount a;
    snprintf(a.text, sizeof a.text, "%.*f%s", u == 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2, n, unit[u]);
    return a;
}

/* ---- what is said of a recipe ---- */

void take_counts(const said_count *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i].said >= 0)
            *s[i].to = (uint64_t)s[i].said;
}

void take_reals(const said_real *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i].said >= 0)
            *s[i].to = s[i].said;
}

err_code take_names(const said_name *s, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        if (!s[i].said)
            continue;
        if (strlen(s[i].said) >= RECIPE_NAME_BYTES)
            return err_set(e, ERR_USAGE, "%s %.40s...: is too long", s[i].option, s[i].said);
        memset(s[i].to, 0, RECIPE_NAME_BYTES);
        memcpy(s[i].to, s[i].said, strlen(s[i].said));
    }
    return ERR_OK;
}
