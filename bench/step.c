/* step: how long one training step takes (losses, gradients, AdamW), part by part, which share of the machine's limit
 * of multiply-adds that is, and what keeping the digests costs.
 *
 * Counted as work: 6 operations for each weight of a matrix and token (2 forward, 4 backward; the head as well), and
 * for attention, for each pair of positions that see each other, 4 forward and 10 backward a dimension of a head; none
 * for the optimizer. The limit is measured behind every step, so that both are of the same moment. Times are medians
 * over repetitions. With one thread the thread's own time counts, which others disturb less. The digests are those of
 * `loam train`: a sealed line a step, and every --roots-every steps the roots of weights and moments; they are timed
 * beside the step and their share told.
 *
 * --paced: a step for every line of standard input, its seconds and share of the limit on standard output, for programs
 * that alternate with others (bench/train.py); the result at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "common.h"
#include "model/learner.h"
#include "tensor/matrix.h"
#include "train/chain.h"
#include "train/ckpt.h"
#include "train/optim.h"

typedef struct {
    bool json, recompute, untied, paced;
    int64_t threads, reps, roots_every, layers, width, heads, kv_heads, ff, vocab, batch, ctx;
    const char *isa;
} values;

enum { PARTS_MAX = 24, REPS_MAX = 101 };

typedef struct {
    const char *name;
    double now, took[REPS_MAX];
} lap;

typedef struct {
    lap laps[PARTS_MAX];
    int n;
    bool alone;
    double last;
} stopwatch;

static double now(const stopwatch *c) {
    struct timespec t;
    clock_gettime(c->alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void take_lap(void *ctx, const char *part) {
    stopwatch *c = ctx;
    double t = now(c);
    int i = 0;
    while (i < c->n && strcmp(c->laps[i].name, part) != 0)
        i++;
    if (i == PARTS_MAX)
        abort();
    if (i == c->n)
        c->laps[c->n++] = (lap){.name = part};
    c->laps[i].now += t - c->last;
    c->last = t;
}

static model_config shape(const values *v) {
    size_t L = (size_t)v->layers;
    static uint8_t none[CONFIG_LAYERS_MAX];
    model_config c = {.arch = arch_by_name(STR("llama")),
                      .name = STR("bench"),
                      .D = (size_t)v->width,
                      .H = (size_t)v->heads,
                      .G = (size_t)(v->kv_heads ? v->kv_heads : v->heads),
                      .F = (size_t)v->ff,
                      .V = (size_t)v->vocab,
                      .L = L,
                      .ctx_train = (size_t)v->ctx,
                      .layer_slides = none,
                      .layer_no_rope = none,
                      .norm_eps = 1e-5,
                      .rope = {.theta = 1e4, .attn_factor = 1},
                      .rope_local = {.theta = 1e4, .attn_factor = 1},
                      .embed_scale = 1,
                      .residual_scale = 1,
                      .logit_scale = 1,
                      .tied = !v->untied};
    c.K = c.D / c.H;
    c.rope_width = c.K;
    c.attn_scale = 0.125;
    return c;
}

/* All that a step works on. */
typedef struct {
    learner *l;
    optim *o;
    batch b;
    ckpt_state state;
    stopwatch *watch;
    uint64_t step;
    const engine *engine;
    double loss, digest, roots; /* of the last step; seconds of a line's digest and of the roots */
    double limit;               /* operations a second that multiply-adds alone reach, right behind it */
} course;

static void run_limit(void *ctx, int part, int n_parts) {
    const course *c = ctx;
    float sink[3] = {0.5f, 0.25f, 0};
    (void)part;
    (void)n_parts;
    c->engine->kern->fma_run(200000, sink);
}

static double limit(course *c) {
    float sink[3] = {0.5f, 0.25f, 0};
    double best = 0, operations = c->engine->kern->fma_run(1, sink) * 200000 * pool_threads(c->engine->pool);
    for (int i = 0; i < 5; i++) {
        double start = now(c->watch);
        pool_run(c->engine->pool, run_limit, c);
        double rate = operations / (now(c->watch) - start);
        best = rate > best ? rate : best;
    }
    return best;
}

/* Seconds of a step. */
static double one_step(course *c) {
    double sum = 0, n = (double)c->b.n, start = now(c->watch);
    c->watch->last = start;
    MUST(learner_gradient(c->l, &c->b, NULL, &sum, e));
    take_lap(c->watch, "rest");
    double norm = optim_norm(c->o, n);
    take_lap(c->watch, "norm");
    optim_step(c->o, ++c->step, 1e-4, n, norm);
    take_lap(c->watch, "optimizer");
    double end = c->watch->last;
    chain_line line = {.step = c->step, .loss = sum / n, .norm = norm, .targets = c->b.n};
    hash256 before = {0};
    strbuf text = {0};
    MUST(chain_text(&line, &before, &text, e));
    strbuf_fini(&text);
    c->loss = sum / n;
    c->digest = now(c->watch) - end;
    MUST(ckpt_roots(&c->state, &line.weights, &line.moments, e));
    c->roots = now(c->watch) - end - c->digest;
    c->limit = limit(c);
    return end - start;
}

static bool may_go_on(const values *v, int64_t done) {
    char line[16];
    if (!v->paced)
        return done < v->reps;
    if (done == 0)
        printf("ready\n");
    fflush(stdout);
    return done < REPS_MAX && fgets(line, sizeof line, stdin);
}

int main(int argc, char **argv) {
    values v = {.reps = 5,
                .roots_every = 50,
                .layers = 6,
                .width = 384,
                .heads = 6,
                .ff = 1024,
                .vocab = 8192,
                .batch = 4,
                .ctx = 256};
#define AT(field) offsetof(values, field)
    const option rows[] = {
        {"json", 'j', OPT_FLAG, NULL, "print JSON", AT(json), 0, 0, NULL},
        {"isa", 0, OPT_TEXT, "NAME", "instruction set", AT(isa), 0, 0, NULL},
        {"threads", 't', OPT_INT, "N", "threads (0: one for every CPU)", AT(threads), 0, 16, NULL},
        {"reps", 'r', OPT_INT, "N", "repetitions, of which the median counts", AT(reps), 1, REPS_MAX, NULL},
        {"paced", 0, OPT_FLAG, NULL, "a step for every line of standard input", AT(paced), 0, 0, NULL},
        {"roots-every", 0, OPT_INT, "N", "steps between roots, for the share of digests", AT(roots_every), 1, 1e9,
         NULL},
        {"layers", 0, OPT_INT, "N", "layers", AT(layers), 1, CONFIG_LAYERS_MAX, NULL},
        {"width", 0, OPT_INT, "N", "width", AT(width), 16, 65536, NULL},
        {"heads", 0, OPT_INT, "N", "attention heads", AT(heads), 1, 512, NULL},
        {"kv-heads", 0, OPT_INT, "N", "key/value heads (0: as many as heads)", AT(kv_heads), 0, 512, NULL},
        {"ff", 0, OPT_INT, "N", "feed-forward width", AT(ff), 16, 262144, NULL},
        {"vocab", 0, OPT_INT, "N", "vocabulary", AT(vocab), 16, CONFIG_VOCAB_MAX, NULL},
        {"batch", 'b', OPT_INT, "N", "segments of a batch", AT(batch), 1, 65536, NULL},
        {"ctx", 'c', OPT_INT, "N", "tokens of a segment", AT(ctx), 1, 65536, NULL},
        {"recompute", 0, OPT_FLAG, NULL, "keep only each layer's input", AT(recompute), 0, 0, NULL},
        {"untied", 0, OPT_FLAG, NULL, "an output matrix of its own", AT(untied), 0, 0, NULL},
        {0}};
#undef AT
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"[options]", "Measures a training step of a model of a given shape.", groups, 0};
    bench_options(&program, argc, argv, &v, NULL);

    engine g = {0};
    MUST(pool_open(&g.pool, (int)v.threads, e));
    g.kern = kern_select(v.isa);
    if (!g.kern) {
        err bad = {0};
        err_set(&bad, ERR_USAGE, "--isa %s: this build or CPU lacks it", v.isa);
        bench_fail(&bad);
    }
    static stopwatch watch;
    watch.alone = pool_threads(g.pool) == 1;
    model_config c = shape(&v);
    model *m = NULL;
    learner *l = NULL;
    size_t n = (size_t)(v.batch * v.ctx), n_params;
    MUST(model_create(&m, &c, &(model_options){.pool = g.pool, .isa = v.isa}, e));
    const learner_options options = {.tokens_max = n, .recompute = v.recompute, .lap = take_lap, .lap_ctx = &watch};
    MUST(learner_open(&l, m, &options, e));
    param *p = learner_params(l, &n_params);
    double weights = 0, params = 0;
    for (size_t i = 0; i < n_params; i++) {
        for (size_t j = 0; j < p[i].n; j++)
            p[i].w[j] = p[i].cols ? (rng_f32(i, RNG_TEST, j) - 0.5f) * 0.05f : 1.0f;
        params += (double)p[i].rows * (double)(p[i].cols ? p[i].cols : 1);
        if (p[i].cols && (i || c.tied)) /* every matrix but an embedding that is only looked up */
            weights += (double)p[i].rows * (double)p[i].cols;
    }
    int32_t *ids = calloc(n + 1, sizeof *ids);
    float *weight = calloc(n, sizeof *weight);
    segment *s = calloc((size_t)v.batch, sizeof *s);
    if (!ids || !weight || !s)
        abort();
    for (size_t i = 0; i <= n; i++)
        ids[i] = (int32_t)rng_below(1, RNG_TEST, i, c.V);
    for (size_t i = 0; i < n; i++)
        weight[i] = 1;
    for (size_t i = 0; i < (size_t)v.batch; i++)
        s[i] = (segment){i * (size_t)v.ctx, (i + 1) * (size_t)v.ctx};
    optim *o = NULL;
    const optim_options adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .decay = 0.1, .clip = 1};
    MUST(optim_open(&o, &adamw, &g, p, n_params, e));
    float **moments = calloc(3 * n_params, sizeof *moments), **weights_at = moments + 2 * n_params;
    if (!moments)
        abort();
    for (size_t i = 0; i < n_params; i++) {
        weights_at[i] = p[i].w;
        moments[i] = optim_m(o, i);
        moments[n_params + i] = optim_v(o, i);
    }
    course run = {.l = l,
                  .o = o,
                  .b = {ids, ids + 1, weight, n, s, (size_t)v.batch},
                  .state = {p, weights_at, moments, moments + n_params, n_params, g.pool},
                  .watch = &watch,
                  .engine = &g};
    double pairs = (double)v.batch * (double)v.ctx * ((double)v.ctx + 1) / 2;
    double flop = 6 * weights * (double)n + 14 * pairs * (double)(c.H * c.K * c.L);
    double total[REPS_MAX], digest[REPS_MAX], roots[REPS_MAX], limits[REPS_MAX], shares[REPS_MAX];
    one_step(&run); /* warms up */
    for (int i = 0; i < watch.n; i++)
        watch.laps[i].now = 0;
    size_t reps = 0;
    for (; may_go_on(&v, (int64_t)reps); reps++) {
        total[reps] = one_step(&run);
        digest[reps] = run.digest;
        roots[reps] = run.roots;
        limits[reps] = run.limit;
        shares[reps] = flop / total[reps] / run.limit;
        for (int i = 0; i < watch.n; i++) {
            watch.laps[i].took[reps] = watch.laps[i].now;
            watch.laps[i].now = 0;
        }
        if (v.paced)
            printf("%.6f %.4f\n", total[reps], shares[reps]);
    }
    if (reps == 0)
        return 0;
    double whole = bench_median(total, reps), rate = flop / whole * 1e-9, root_time = bench_median(roots, reps);
    double share = bench_median(shares, reps), most = bench_median(limits, reps) * 1e-9;
    double digests = bench_median(digest, reps) + root_time / (double)v.roots_every;
    size_t bytes = learner_plan_bytes(m, &options) + model_weight_bytes(m) + optim_plan_bytes(p, n_params);
    if (v.json) {
        printf("{\"isa\":\"%s\",\"threads\":%d,\"params\":%.0f,\"tokens\":%zu,\"seconds\":%.4f,\"flop\":%.0f,\"tokens_"
               "s\":%.1f,"
               "\"gflops\":%.1f,\"share\":%.3f,\"limit\":%.1f,\"bytes\":%zu,\"loss\":%.6f,\"roots_s\":%.5f,"
               "\"digest_share\":%.5f,\"parts\":{",
               g.kern->isa, pool_threads(g.pool), params, n, whole, flop, (double)n / whole, rate, share, most, bytes,
               run.loss, root_time, digests / whole);
        for (int i = 0; i < watch.n; i++)
            printf("%s\"%s\":%.4f", i ? "," : "", watch.laps[i].name, bench_median(watch.laps[i].took, reps));
        printf("}}\n");
    } else {
        printf("%s, %d threads, %.2f million parameters, %zu tokens: %.1f ms, %.0f tokens/s, %.1f of %.1f GFLOP/s: "
               "%.1f %%; %.0f MB; loss %.4f\n",
               g.kern->isa, pool_threads(g.pool), params * 1e-6, n, whole * 1e3, (double)n / whole, rate, most,
               100 * share, 1e-6 * (double)bytes, run.loss);
        for (int i = 0; i < watch.n; i++) {
            double t = bench_median(watch.laps[i].took, reps);
            printf("  %-16s %8.2f ms %5.1f %%\n", watch.laps[i].name, t * 1e3, 100 * t / whole);
        }
        printf("digests: %.1f ms for the roots, every %lld steps, and a line a step: %.2f %% of the time\n",
               root_time * 1e3, (long long)v.roots_every, 100 * digests / whole);
    }
    optim_close(o);
    free(moments);
    learner_close(l);
    model_close(m);
    pool_close(g.pool);
    return 0;
}
