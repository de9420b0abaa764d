/* objective: see objective.h. */
#include "tune/objective.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "tune/packing.h"

typedef struct {
    const examples *x;
    objective_split split;
    uint64_t sequences; /* a step */
    size_t tokens_max;  /* of a gradient */
    order *order;
    hash256 *sha256; /* [n_train] */
    uint32_t *ones;  /* [n_train] every example is one place */
    packing packing;
    uint64_t next_step, next_at; /* the example that part `next_part` of that step begins with; step 0: not known */
    size_t next_part;
    float dropout;
    uint64_t seed;
    /* Of dpo: */
    double beta;
    double *reference; /* [x->n][2] log r of every sequence; NULL: not known yet */
    float *loss;       /* [tokens_max] */
    double *log_p;     /* [segments of a batch] */
} objective;

/* ---- which examples ---- */

static uint32_t example_at(objective *o, uint64_t place, order_place *out) {
    order_find(o->order, place, out);
    return o->split.train[out->doc];
}

/* Packs the examples of the step from the i-th on, as many as fit; returns the one behind them. */
static uint64_t pack(objective *o, uint64_t step, uint64_t i, order_place *first, order_place *last) {
    uint64_t begin = (step - 1) * o->sequences;
    packing_begin(&o->packing);
    for (uint64_t from = i; i < o->sequences; i++) {
        order_place p;
        if (!packing_add(&o->packing, example_at(o, begin + i, &p)))
            break;
        *last = p;
        if (i == from)
            *first = p;
    }
    return i;
}

/* The same by counting alone. */
static uint64_t skip(objective *o, uint64_t step, uint64_t i) {
    uint64_t begin = (step - 1) * o->sequences;
    for (size_t n = 0; i < o->sequences; i++) {
        order_place p;
        n += packing_tokens(&o->x->example[example_at(o, begin + i, &p)]);
        if (n > o->tokens_max)
            break;
    }
    return i;
}

static size_t parts(void *ctx, uint64_t step) {
    objective *o = ctx;
    size_t n = 0;
    for (uint64_t i = 0; i < o->sequences; n++)
        i = skip(o, step, i);
    return n;
}

/* Returns which example of the step is the part's first. */
static uint64_t read_part(objective *o, uint64_t step, size_t part, lesson_part *out) {
    bool follows = o->next_step == step && o->next_part == part;
    uint64_t i = follows ? o->next_at : 0;
    for (size_t k = 0; !follows && k < part; k++)
        i = skip(o, step, i);
    *out = (lesson_part){.batch = &o->packing.batch, .passes = 3};
    o->next_at = pack(o, step, i, &out->first, &out->last);
    o->next_step = step;
    o->next_part = part + 1;
    o->packing.batch.dropout = o->dropout;
    o->packing.batch.dropout_seed = o->seed ^ (step << 24 | part);
    return i;
}

/* Packs examples list[i..n) as many as fit; returns the one behind them. */
static size_t pack_list(objective *o, const uint32_t *list, size_t i, size_t n) {
    packing_begin(&o->packing);
    while (i < n && packing_add(&o->packing, list ? list[i] : (uint32_t)i))
        i++;
    return i;
}

/* ---- text ---- */

static err_code text_gradient(void *ctx, learner *l, uint64_t step, size_t i, lesson_part *out, err *e) {
    objective *o = ctx;
    read_part(o, step, i, out);
    out->targets = o->packing.n_learned;
    return learner_gradient(l, &o->packing.batch, NULL, &out->sum, e);
}

static err_code text_held_out(void *ctx, learner *l, double *loss, err *e) {
    objective *o = ctx;
    double sum = 0;
    size_t targets = 0;
    for (size_t i = 0; i < o->split.n_held_out;) {
        double part;
        i = pack_list(o, o->split.held_out, i, o->split.n_held_out);
        TRY(learner_loss(l, &o->packing.batch, NULL, &part, e));
        sum += part;
        targets += o->packing.n_learned;
    }
    *loss = sum / (double)targets;
    return ERR_OK;
}

/* ---- pairs ---- */

double objective_loss(double x) {
    double small = kern_log64(1 + kern_exp64(x < 0 ? x : -x));
    return x < 0 ? small - x : small;
}

double objective_pull(double x) { return 1 / (1 + kern_exp64(x)); }

/* log p of every segment of the packed batch. */
static err_code sequences(objective *o, learner *l, err *e) {
    const batch *b = &o->packing.batch;
    double all;
    TRY(learner_loss(l, b, o->loss, &all, e));
    for (size_t s = 0; s < b->n_segments; s++) {
        double sum = 0;
        for (size_t t = b->segment[s].from; t < b->segment[s].to; t++)
            if (b->weight[t] != 0)
                sum += (double)o->loss[t];
        o->log_p[s] = -sum;
    }
    return ERR_OK;
}

/* The model is as it was before the first step. */
static err_code take_reference(void *ctx, learner *l, err *e) {
    objective *o = ctx;
    if (o->reference)
        return ERR_OK;
    double *r = calloc(o->x->n, 2 * sizeof *r);
    err_code code = r ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for %zu pairs", o->x->n);
    for (size_t i = 0; i < o->x->n && code == ERR_OK;) {
        size_t end = pack_list(o, NULL, i, o->x->n);
        code = sequences(o, l, e);
        for (size_t k = 0; code == ERR_OK && k < 2 * (end - i); k++)
            r[2 * i + k] = o->log_p[k];
        i = end;
    }
    if (code != ERR_OK) {
        free(r);
        return code;
    }
    o->reference = r;
    return ERR_OK;
}

/* x of the k-th pair in the batch, which is example `number`. */
static double margin(const objective *o, size_t k, uint32_t number) {
    const double *p = o->log_p + 2 * k, *r = o->reference + 2 * (size_t)number;
    return o->beta * ((p[0] - r[0]) - (p[1] - r[1]));
}

static void weigh(objective *o, size_t s, float weight) {
    for (size_t t = o->packing.segment[s].from; t < o->packing.segment[s].to; t++)
        o->packing.weight[t] *= weight;
}

static err_code pairs_gradient(void *ctx, learner *l, uint64_t step, size_t i, lesson_part *out, err *e) {
    objective *o = ctx;
    order_place p;
    double sum = 0, ignored;
    if (!o->reference)
        return err_set(e, ERR_USAGE, "pairs are compared with a model that has not been asked (a bug)");
    uint64_t place = (step - 1) * o->sequences + read_part(o, step, i, out);
    TRY(sequences(o, l, e));
    const batch *b = &o->packing.batch;
    for (size_t k = 0; k < b->n_segments / 2; k++) {
        double x = margin(o, k, example_at(o, place + k, &p)), pull = o->beta * objective_pull(x);
        sum += objective_loss(x);
        weigh(o, 2 * k, (float)pull);
        weigh(o, 2 * k + 1, (float)-pull);
    }
    out->sum = sum;
    out->targets = b->n_segments / 2;
    out->passes = 4;
    return learner_gradient(l, b, NULL, &ignored, e);
}

static err_code pairs_held_out(void *ctx, learner *l, double *loss, err *e) {
    objective *o = ctx;
    double sum = 0;
    for (size_t i = 0; i < o->split.n_held_out;) {
        size_t end = pack_list(o, o->split.held_out, i, o->split.n_held_out);
        TRY(sequences(o, l, e));
        for (size_t k = 0; i < end; k++, i++)
            sum += objective_loss(margin(o, k, o->split.held_out[i]));
    }
    *loss = sum / (double)o->split.n_held_out;
    return ERR_OK;
}

/* ---- opening ---- */

static void close(void *ctx) {
    objective *o = ctx;
    packing_fini(&o->packing);
    order_close(o->order);
    free(o->sha256);
    free(o->ones);
    free(o->reference);
    free(o->loss);
    free(o->log_p);
    free(o);
}

static int descending(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x < y) - (x > y);
}

/* No step has more gradients: two neighbours together are longer than tokens_max, and no step is longer than the
 * longest examples, each as often as it can stand in a step. */
static err_code parts_max(const objective *o, size_t *out, err *e) {
    size_t n = o->split.n_train, *tokens = calloc(n, sizeof *tokens), sum = 0;
    if (!tokens)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu examples", n);
    for (size_t i = 0; i < n; i++)
        tokens[i] = packing_tokens(&o->x->example[o->split.train[i]]);
    qsort(tokens, n, sizeof *tokens, descending);
    uint64_t often = o->sequences > 1 ? (o->sequences - 2) / n + 2 : 1;
    for (uint64_t i = 0; i < o->sequences; i++)
        sum += tokens[i / often];
    free(tokens);
    size_t most = 2 * sum / o->tokens_max + 1;
    *out = most < o->sequences ? most : (size_t)o->sequences;
    return ERR_OK;
}

static err_code check(const objective *o, err *e) {
    if (o->split.n_train == 0)
        return err_set(e, ERR_USAGE, "there are no examples to learn from (held out are %zu)", o->split.n_held_out);
    for (size_t i = 0; i < o->x->n; i++) {
        size_t n = packing_tokens(&o->x->example[i]);
        if (n > o->tokens_max)
            return err_set(e, ERR_USAGE,
                           "a pair has %zu tokens, and a gradient takes %zu (use a larger --micro: two or more times "
                           "--ctx)",
                           n, o->tokens_max);
    }
    return ERR_OK;
}

static err_code open_in(objective *o, const recipe *r, pool *p, err *e) {
    size_t n = o->split.n_train;
    TRY(check(o, e));
    o->sha256 = calloc(n, sizeof *o->sha256);
    o->ones = calloc(n, sizeof *o->ones);
    o->loss = calloc(o->tokens_max, sizeof *o->loss);
    o->log_p = calloc(o->tokens_max / 2 + 1, sizeof *o->log_p);
    if (!o->sha256 || !o->ones || !o->loss || !o->log_p)
        return err_set(e, ERR_MEMORY, "no memory for the order of %zu examples", n);
    for (size_t i = 0; i < n; i++) {
        o->sha256[i] = o->x->sha256[o->split.train[i]];
        o->ones[i] = 1;
    }
    TRY(order_open(&o->order, r->init.seed, o->sha256, o->ones, n, p, e));
    return packing_init(&o->packing, o->x, o->tokens_max, e);
}

err_code objective_open(lesson *out, const recipe *r, const examples *x, const objective_split *s, pool *p, err *e) {
    *out = (lesson){0};
    objective *o = calloc(1, sizeof *o);
    if (!o)
        return err_set(e, ERR_MEMORY, "no memory for examples");
    *o = (objective){.x = x,
                     .split = *s,
                     .sequences = r->batch.sequences,
                     .tokens_max = (size_t)(r->batch.micro * r->model.ctx),
                     .dropout = (float)r->tune.dropout,
                     .seed = r->init.seed,
                     .beta = r->tune.beta};
    bool pairs = recipe_is_pairs(r);
    *out = (lesson){.ctx = o,
                    .tokens_max = o->tokens_max,
                    .bytes = (size_t)x->n_ids * 5 + x->n * sizeof *x->example,
                    .parts = parts,
                    .gradient = pairs ? pairs_gradient : text_gradient,
                    .begin = pairs ? take_reference : NULL,
                    .held_out = !s->n_held_out ? NULL
                                : pairs        ? pairs_held_out
                                               : text_held_out,
                    .close = close};
    err_code code = open_in(o, r, p, e);
    if (code == ERR_OK)
        code = parts_max(o, &out->parts_max, e);
    if (code != ERR_OK) {
        close(o);
        *out = (lesson){0};
        return code;
    }
    out->order = o->order;
    return ERR_OK;
}
