/* trainer: see trainer.h. */
#include "train/trainer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "model/learner.h"
#include "train/batches.h"
#include "train/fold.h"
#include "train/init.h"
#include "train/optim.h"

static const double LN2 = 0x1.62e42fefa39efp-1;

struct trainer {
    arena mem;
    recipe recipe;
    schedule schedule;
    const docs *docs;
    const tokens *tokens;
    engine engine;
    model *model;
    learner *learner;
    param *params;
    size_t n_params;
    float **w, **m, **v; /* [n_params] */
    optim *optim;
    fold *fold;
    order *order;
    batches batches;
    trainer_plan plan;
    uint64_t step; /* done */
    size_t n_micro;
    double flops, flops_token; /* of the last step; of a token in the products */
};

/* Multiply-adds times two of attention in one segment of n tokens, forward and backward: each token with all up to
 * itself (or the window), a product of keys and one of values, and twice that backward. */
static double attention_flops(const model_config *c, double n) {
    double all = 0;
    for (size_t i = 0; i < c->L; i++) {
        double w = c->layer_slides[i] && (double)c->window < n ? (double)c->window : n;
        all += 12.0 * (double)(c->H * c->K) * (w * (w + 1) / 2 + (n - w) * w);
    }
    return all;
}

static double product_flops(const model_config *c) {
    double D = (double)c->D, q = (double)(c->H * c->K), g = (double)(c->G * c->K), F = (double)c->F;
    return 6.0 * ((double)c->L * (D * (2 * q + 2 * g) + 3 * D * F) + D * (double)c->V);
}

static err_code check_data(const trainer *t, err *e) {
    const recipe *r = &t->recipe;
    uint64_t all = order_epoch_tokens(t->order), step = recipe_step_tokens(r);
    if (all < step)
        return err_set(e, ERR_USAGE,
                       "the documents have %" PRIu64 " tokens, fewer than the %" PRIu64
                       " of one step (use more documents, or a smaller --batch or --ctx)",
                       all, step);
    return ERR_OK;
}

static err_code open_learner(trainer *t, const trainer_options *o, err *e) {
    model_config c = {0};
    learner_options lo = {.tokens_max = (size_t)(t->recipe.batch.micro * t->recipe.model.ctx),
                          .recompute = o->recompute};
    TRY(recipe_config(&t->recipe, &c, &t->mem, e));
    TRY(model_create(&t->model, &c, &(model_options){.pool = o->pool, .isa = o->isa}, e));
    t->engine = (engine){kern_select(o->isa), o->pool};
    size_t bytes = learner_plan_bytes(t->model, &lo);
    if (!lo.recompute && o->memory_max && bytes > o->memory_max) {
        lo.recompute = true;
        bytes = learner_plan_bytes(t->model, &lo);
    }
    TRY(learner_open(&t->learner, t->model, &lo, e));
    t->params = learner_params(t->learner, &t->n_params);
    t->plan.recompute = lo.recompute;
    t->plan.gradients = bytes;
    for (size_t i = 0; i < t->n_params; i++) {
        t->plan.n_params += t->params[i].rows * (t->params[i].cols ? t->params[i].cols : 1);
        t->plan.weights += t->params[i].n * sizeof(float);
    }
    t->flops_token = product_flops(model_config_of(t->model));
    return ERR_OK;
}

static err_code open_in(trainer *t, const trainer_options *o, err *e) {
    const recipe *r = &t->recipe;
    TRY(recipe_check(r, e));
    TRY(order_open(&t->order, r->init.seed, t->docs->sha256, t->tokens->n_tokens, t->docs->n_train, o->pool, e));
    TRY(check_data(t, e));
    TRY(open_learner(t, o, e));
    optim_options oo = {.beta1 = r->optimizer.beta1,
                        .beta2 = r->optimizer.beta2,
                        .eps = r->optimizer.eps,
                        .decay = r->optimizer.decay,
                        .clip = r->optimizer.clip};
    TRY(optim_open(&t->optim, &oo, &t->engine, t->params, t->n_params, e));
    t->n_micro = (size_t)(r->batch.sequences / r->batch.micro);
    TRY(fold_open(&t->fold, &t->engine, t->params, t->n_params, t->n_micro, e));
    TRY(batches_init(&t->batches, t->order, t->tokens, (size_t)r->model.ctx, (size_t)(r->batch.micro * r->model.ctx),
                     e));
    ARENA_NEW(&t->mem, t->w, t->n_params, e);
    ARENA_NEW(&t->mem, t->m, t->n_params, e);
    ARENA_NEW(&t->mem, t->v, t->n_params, e);
    for (size_t i = 0; i < t->n_params; i++) {
        t->w[i] = t->params[i].w;
        t->m[i] = optim_m(t->optim, i);
        t->v[i] = optim_v(t->optim, i);
    }
    trainer_plan *p = &t->plan;
    p->moments = optim_plan_bytes(t->params, t->n_params);
    p->gradients += fold_plan_bytes(t->params, t->n_params, t->n_micro);
    p->tokens = (size_t)t->tokens->cap * (t->tokens->narrow ? 2 : 4);
    p->total = p->weights + p->gradients + p->moments + p->tokens;
    return ERR_OK;
}

err_code trainer_open(trainer **out, const recipe *r, const docs *d, const tokens *tk, const trainer_options *o,
                      err *e) {
    *out = NULL;
    trainer *t = calloc(1, sizeof *t);
    if (!t)
        return arena_short(e, 1, sizeof *t);
    t->recipe = *r;
    t->schedule = recipe_schedule(r);
    t->docs = d;
    t->tokens = tk;
    err_code code = open_in(t, o, e);
    if (code != ERR_OK) {
        trainer_close(t);
        return code;
    }
    *out = t;
    return ERR_OK;
}

void trainer_close(trainer *t) {
    if (!t)
        return;
    batches_fini(&t->batches);
    order_close(t->order);
    fold_close(t->fold);
    optim_close(t->optim);
    learner_close(t->learner);
    model_close(t->model);
    arena_fini(&t->mem);
    free(t);
}

trainer_plan trainer_plan_of(const trainer *t) { return t->plan; }
uint64_t trainer_step_done(const trainer *t) { return t->step; }
const recipe *trainer_recipe(const trainer *t) { return &t->recipe; }
model *trainer_model(trainer *t) { return t->model; }
order *trainer_order(trainer *t) { return t->order; }
learner *trainer_learner(trainer *t) { return t->learner; }
double trainer_lr(const trainer *t, uint64_t step) { return schedule_at(&t->schedule, step); }
double trainer_step_flops(const trainer *t) { return t->flops; }

ckpt_state trainer_state(trainer *t) {
    return (ckpt_state){.params = t->params, .w = t->w, .m = t->m, .v = t->v, .n = t->n_params, .pool = t->engine.pool};
}

void trainer_begin(trainer *t) {
    const recipe *r = &t->recipe;
    init_options o = {
        .seed = r->init.seed, .embed = r->init.embed, .gain = r->init.gain, .layers = (size_t)r->model.layers};
    init_weights(&o, t->params, t->n_params, t->engine.pool);
    for (size_t i = 0; i < t->n_params; i++) {
        memset(t->m[i], 0, t->params[i].n * sizeof(float));
        memset(t->v[i], 0, t->params[i].n * sizeof(float));
    }
    t->step = 0;
}

err_code trainer_load(trainer *t, const char *folder, uint64_t step, ckpt_info *info, err *e) {
    ckpt_state s = trainer_state(t);
    TRY(ckpt_load(folder, step, info, &s, e));
    t->step = step;
    return ERR_OK;
}

err_code trainer_first_line(trainer *t, chain_line *line, err *e) {
    *line = (chain_line){.has_roots = true};
    ckpt_state s = trainer_state(t);
    TRY(recipe_digest(&t->recipe, &line->recipe, e));
    hash256 moments;
    return ckpt_roots(&s, &line->weights, &moments, e);
}

static bool is_finite(double x) { return x - x == 0; }

/* All microbatches of step t->step + 1: the sum of gradients in every g. */
static err_code gradient(trainer *t, double *sum, size_t *targets, chain_line *line, err *e) {
    uint64_t pos = t->step * recipe_step_tokens(&t->recipe);
    const model_config *c = model_config_of(t->model);
    *sum = 0;
    *targets = 0;
    t->flops = 0;
    for (size_t i = 0; i < t->n_micro; i++, pos += t->batches.n) {
        double part = 0;
        batches_read(&t->batches, pos);
        TRY(learner_gradient(t->learner, &t->batches.batch, NULL, &part, e));
        fold_add(t->fold, i);
        *sum += part;
        *targets += t->batches.n_targets;
        for (size_t s = 0; s < t->batches.batch.n_segments; s++)
            t->flops += attention_flops(c, (double)(t->batches.segment[s].to - t->batches.segment[s].from));
        t->flops += t->flops_token * (double)t->batches.batch.n;
        if (i == 0) {
            line->docs[0] = t->batches.first.epoch;
            line->docs[1] = t->batches.first.rank;
        }
    }
    line->docs[2] = t->batches.last.epoch;
    line->docs[3] = t->batches.last.rank;
    return ERR_OK;
}

err_code trainer_step(trainer *t, chain_line *line, err *e) {
    const recipe *r = &t->recipe;
    uint64_t step = t->step + 1;
    double sum;
    size_t targets;
    if (step > r->optimizer.steps)
        return err_set(e, ERR_USAGE, "the run has ended after %" PRIu64 " steps", r->optimizer.steps);
    *line = (chain_line){.step = step};
    TRY(gradient(t, &sum, &targets, line, e));
    /* A step whose every token ends a document: nothing to learn, and nothing to divide by. */
    double n = targets ? (double)targets : 1.0;
    line->targets = targets;
    line->loss = sum / n;
    line->norm = optim_norm(t->optim, n);
    if (!is_finite(line->loss) || !is_finite(line->norm))
        return err_set(e, ERR_LIMIT,
                       "step %" PRIu64
                       ": the %s is not a finite number: the weights have grown out of bounds (begin a new "
                       "run with a smaller --lr, more --warmup or a smaller --clip)",
                       step, is_finite(line->loss) ? "gradient" : "loss");
    optim_step(t->optim, step, schedule_at(&t->schedule, step), n, line->norm);
    t->step = step;
    line->has_roots = step % r->chain.roots_every == 0 || step == r->optimizer.steps;
    if (!line->has_roots)
        return ERR_OK;
    ckpt_state s = trainer_state(t);
    return ckpt_roots(&s, &line->weights, &line->moments, e);
}

err_code trainer_validate(trainer *t, size_t bytes_max, double *bits, size_t *bytes, err *e) {
    double sum = 0;
    *bytes = 0;
    size_t first = t->docs->n_train, end = first;
    while (end < t->docs->n && (end == first || *bytes + t->docs->key[end].bytes <= bytes_max))
        *bytes += t->docs->key[end++].bytes;
    *bits = 0;
    for (uint64_t at = 0; at < t->tokens->from[end] - t->tokens->from[first];) {
        double part;
        at += batches_read_docs(&t->batches, (uint32_t)first, (uint32_t)end, at);
        TRY(learner_loss(t->learner, &t->batches.batch, NULL, &part, e));
        sum += part;
    }
    if (*bytes)
        *bits = sum / LN2 / (double)*bytes;
    return ERR_OK;
}
