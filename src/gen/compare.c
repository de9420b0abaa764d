/* compare: two models over one text; see compare.h. */
#include "gen/compare.h"

#include <math.h>
#include <stdlib.h>

#include "gen/score.h"
#include "kern/math64.h"

enum { LOGITS_BYTES_MAX = 64 << 20, CHUNK_MAX = 512, COUNT_FOR_ERROR = 10 };

/* ---- one position ---- */

static size_t top(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

compare_row compare_logits(const float *a, const float *b, size_t n_vocab, int32_t next) {
    score_row of_b = score_logits(b, n_vocab);
    size_t top_a = top(a, n_vocab);
    double max_a = (double)a[top_a], sum = 0, weighted = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        double p = kern_exp64((double)a[i] - max_a);
        sum += p;
        weighted += p * ((double)a[i] - (double)b[i]);
    }
    score_row of_a = {max_a, kern_log64(sum)};
    double kl = weighted / sum - ((of_a.max + of_a.log_sum) - (of_b.max + of_b.log_sum));
    return (compare_row){.loss_a = -score_of(of_a, a[next]),
                         .loss_b = -score_of(of_b, b[next]),
                         .kl = kl < 0 ? 0 : kl,
                         .same_top = top_a == top(b, n_vocab)};
}

/* ---- a text ---- */

typedef struct {
    model *m[2];
    kv_cache *kv[2];
    float *logits[2]; /* f32[chunk][V] */
    size_t V, chunk;
    int32_t *ids;        /* [width] */
    compare_row *row;    /* [chunk] */
    double *kl;          /* [positions]: all of them, for the percentile */
    const int32_t *next; /* of the chunk at hand */
    size_t n_rows;
    size_t n_same;
    comparison sum;
    arena mem;
} comparer;

static void compare_part(void *ctx, int part, int n_parts) {
    comparer *c = ctx;
    size_t from, to;
    pool_share(c->n_rows, 1, part, n_parts, &from, &to);
    for (size_t i = from; i < to; i++)
        c->row[i] = compare_logits(c->logits[0] + i * c->V, c->logits[1] + i * c->V, c->V, c->next[i]);
}

static void add_rows(comparer *c) {
    for (size_t i = 0; i < c->n_rows; i++) {
        const compare_row *r = &c->row[i];
        c->sum.loss_a += r->loss_a;
        c->sum.loss_b += r->loss_b;
        c->sum.kl += r->kl;
        c->sum.kl_error += r->kl * r->kl;
        c->n_same += r->same_top;
        c->kl[c->sum.n++] = r->kl;
    }
}

/* Both models read the window in c->ids; what its second half says is added. */
static err_code compare_window(comparer *c, size_t width, pool *p, err *e) {
    size_t first = width / 2;
    for (int i = 0; i < 2; i++) {
        kv_truncate(c->kv[i], 0);
        TRY(model_forward(c->m[i], c->kv[i], c->ids, first, LOGITS_NONE, NULL, e));
    }
    for (size_t at = first; at + 1 < width; at += c->n_rows) {
        c->n_rows = width - 1 - at < c->chunk ? width - 1 - at : c->chunk;
        c->next = c->ids + at + 1;
        for (int i = 0; i < 2; i++)
            TRY(model_forward(c->m[i], c->kv[i], c->ids + at, c->n_rows, LOGITS_ALL, c->logits[i], e));
        pool_run(p, compare_part, c);
        add_rows(c);
    }
    return ERR_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double compare_percentile(const double *values, size_t n, double share) {
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    double rest = at - (double)i;
    return (1 - rest) * values[i] + rest * values[i + 1 < n ? i + 1 : i];
}

static err_code finish(comparer *c, comparison *out, err *e) {
    double n = (double)c->sum.n, mean = c->sum.kl / n, variance = c->sum.kl_error / n - mean * mean;
    if (!isfinite(c->sum.loss_a) || !isfinite(c->sum.loss_b) || !isfinite(c->sum.kl))
        return err_set(e, ERR_FORMAT, "the models' logits are not all numbers (is a file damaged?)");
    qsort(c->kl, c->sum.n, sizeof *c->kl, ascending);
    *out = (comparison){.n = c->sum.n,
                        .loss_a = c->sum.loss_a / n,
                        .loss_b = c->sum.loss_b / n,
                        .kl = mean,
                        .kl_error = variance > 0 && c->sum.n > COUNT_FOR_ERROR ? sqrt(variance / (n - 1)) : 0,
                        .kl_99 = compare_percentile(c->kl, c->sum.n, 0.99),
                        .same_top = (double)c->n_same / n};
    return ERR_OK;
}

static err_code begin(comparer *c, size_t width, size_t n_windows, err *e) {
    c->V = model_config_of(c->m[0])->V;
    c->chunk = LOGITS_BYTES_MAX / sizeof(float) / c->V;
    c->chunk = c->chunk < 1 ? 1 : c->chunk > CHUNK_MAX ? CHUNK_MAX : c->chunk;
    if (model_config_of(c->m[1])->V != c->V)
        return err_set(e, ERR_USAGE, "the models have vocabularies of %zu and %zu tokens", c->V,
                       model_config_of(c->m[1])->V);
    if (width < 4)
        return err_set(e, ERR_USAGE, "windows of %zu tokens have nothing to score (4 at least)", width);
    ARENA_NEW(&c->mem, c->ids, width, e);
    ARENA_NEW(&c->mem, c->row, c->chunk, e);
    ARENA_NEW(&c->mem, c->kl, n_windows * (width - 1 - width / 2), e);
    for (int i = 0; i < 2; i++) {
        ARENA_NEW(&c->mem, c->logits[i], c->chunk * c->V, e);
        TRY(kv_open(&c->kv[i], c->m[i], width, e));
    }
    return ERR_OK;
}

static err_code run(comparer *c, const windows *w, size_t n_windows, const compare_options *o, err *e) {
    for (size_t i = 0; i < n_windows; i++) {
        if (o->cancel && *o->cancel)
            return err_set(e, ERR_CANCELLED, "stopped");
        windows_get(w, i, c->ids);
        TRY(compare_window(c, w->width, o->pool, e));
        if (o->progress)
            o->progress(o->progress_ctx, i + 1, n_windows);
    }
    return ERR_OK;
}

err_code compare_models(model *a, model *b, const windows *w, size_t n_windows, const compare_options *o,
                        comparison *out, err *e) {
    comparer c = {.m = {a, b}};
    n_windows = n_windows > 0 && n_windows < w->n ? n_windows : w->n;
    err_code code = begin(&c, w->width, n_windows, e);
    if (code == ERR_OK)
        code = run(&c, w, n_windows, o, e);
    if (code == ERR_OK)
        code = finish(&c, out, e);
    for (int i = 0; i < 2; i++)
        kv_close(c.kv[i]);
    arena_fini(&c.mem);
    return code;
}
