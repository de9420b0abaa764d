/* trainer: see trainer.h. */
#include "train/trainer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/adapter.h"
#include "model/learner.h"
#include "train/fold.h"
#include "train/optim.h"

struct trainer {
    arena mem;
    recipe recipe;
    schedule schedule;
    trainer_subject subject;
    engine engine;
    learner *learner;
    param *params;
    size_t n_params;
    float **w, **m, **v; /* [n_params] */
    optim *optim;
    fold *fold;
    trainer_plan plan;
    uint64_t step; /* done */
    bool fresh;    /* the weights are those that the model was opened with */
    double flops;  /* of the last step */
    size_t tokens;
};

/* Multiply-adds times two of attention in one segment of n tokens, forward: each token with all up to itself (or the
 * window), a product of keys and one of values. */
static double attention_flops(const model_config *c, double n) {
    double all = 0;
    for (size_t i = 0; i < c->L; i++) {
        double w = c->layer_slides[i] && (double)c->window < n ? (double)c->window : n;
        all += 4.0 * (double)(c->H * c->K) * (w * (w + 1) / 2 + (n - w) * w);
    }
    return all;
}

/* Of n tokens in the products, forward; those that count go through the output matrix, too. */
static double product_flops(const model_config *c, double n, double counted) {
    double D = (double)c->D, q = (double)(c->H * c->K), g = (double)(c->G * c->K), F = (double)c->F;
    return 2.0 * (n * (double)c->L * (D * (2 * q + 2 * g) + 3 * D * F) + counted * D * (double)c->V);
}

/* Where an adapter learns, the weights have no gradient: one product less of three. */
static double flops(const trainer *t, double n, double counted, double attention, double passes) {
    double of_products = passes > 1 && t->subject.adapter ? passes - 1 : passes;
    return product_flops(model_config_of(t->subject.model), n, counted) * of_products + attention * passes;
}

static double flops_of(const trainer *t, const lesson_part *p) {
    double counted = 0, attention = 0;
    for (size_t i = 0; i < p->batch->n; i++)
        counted += p->batch->weight[i] != 0;
    for (size_t s = 0; s < p->batch->n_segments; s++)
        attention += attention_flops(model_config_of(t->subject.model),
                                     (double)(p->batch->segment[s].to - p->batch->segment[s].from));
    return flops(t, (double)p->batch->n, counted, attention, p->passes);
}

double trainer_flops(const trainer *t, double n, double counted, double length, bool gradient) {
    double attention = n / length * attention_flops(model_config_of(t->subject.model), length);
    return flops(t, n, counted, attention, gradient ? 3 : 1);
}

static err_code open_learner(trainer *t, const trainer_options *o, err *e) {
    learner_options lo = {
        .tokens_max = t->subject.lesson.tokens_max, .adapter = t->subject.adapter, .recompute = o->recompute};
    size_t bytes = learner_plan_bytes(t->subject.model, &lo);
    if (!lo.recompute && o->memory_max && bytes > o->memory_max) {
        lo.recompute = true;
        bytes = learner_plan_bytes(t->subject.model, &lo);
    }
    TRY(learner_open(&t->learner, t->subject.model, &lo, e));
    t->params = learner_params(t->learner, &t->n_params);
    t->plan.recompute = lo.recompute;
    t->plan.gradients = bytes;
    for (size_t i = 0; i < t->n_params; i++) {
        t->plan.n_params += t->params[i].rows * (t->params[i].cols ? t->params[i].cols : 1);
        t->plan.weights += t->params[i].n * sizeof(float);
    }
    return ERR_OK;
}

static err_code open_state(trainer *t, err *e) {
    const recipe *r = &t->recipe;
    optim_options oo = {.beta1 = r->optimizer.beta1,
                        .beta2 = r->optimizer.beta2,
                        .eps = r->optimizer.eps,
                        .decay = r->optimizer.decay,
                        .clip = r->optimizer.clip};
    TRY(optim_open(&t->optim, &oo, &t->engine, t->params, t->n_params, e));
    ARENA_NEW(&t->mem, t->w, t->n_params, e);
    ARENA_NEW(&t->mem, t->m, t->n_params, e);
    ARENA_NEW(&t->mem, t->v, t->n_params, e);
    for (size_t i = 0; i < t->n_params; i++) {
        t->w[i] = t->params[i].w;
        t->m[i] = optim_m(t->optim, i);
        t->v[i] = optim_v(t->optim, i);
    }
    return fold_open(&t->fold, &t->engine, t->params, t->n_params, t->subject.lesson.parts_max, e);
}

static err_code open_in(trainer *t, const trainer_options *o, err *e) {
    TRY(recipe_check(&t->recipe, e));
    t->engine = (engine){kern_select(o->isa), o->pool};
    TRY(open_learner(t, o, e));
    TRY(open_state(t, e));
    trainer_plan *p = &t->plan;
    p->moments = optim_plan_bytes(t->params, t->n_params);
    p->gradients += fold_plan_bytes(t->params, t->n_params, t->subject.lesson.parts_max);
    p->tokens = t->subject.lesson.bytes;
    p->base = t->subject.adapter ? model_weight_bytes(t->subject.model) : 0;
    p->total = p->base + p->weights + p->gradients + p->moments + p->tokens;
    return ERR_OK;
}

static void close_subject(const trainer_subject *s) {
    if (s->lesson.close)
        s->lesson.close(s->lesson.ctx);
    adapter_close(s->adapter);
    model_close(s->model);
}

err_code trainer_open(trainer **out, const recipe *r, const trainer_subject *s, const trainer_options *o, err *e) {
    *out = NULL;
    trainer *t = calloc(1, sizeof *t);
    if (!t) {
        close_subject(s);
        return arena_short(e, 1, sizeof *t);
    }
    t->recipe = *r;
    t->schedule = recipe_schedule(r);
    t->subject = *s;
    t->fresh = true;
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
    fold_close(t->fold);
    optim_close(t->optim);
    learner_close(t->learner);
    close_subject(&t->subject);
    arena_fini(&t->mem);
    free(t);
}

trainer_plan trainer_plan_of(const trainer *t) { return t->plan; }
uint64_t trainer_step_done(const trainer *t) { return t->step; }
const recipe *trainer_recipe(const trainer *t) { return &t->recipe; }
adapter *trainer_adapter(trainer *t) { return t->subject.adapter; }
model *trainer_model(trainer *t) { return t->subject.model; }
order *trainer_order(trainer *t) { return t->subject.lesson.order; }
learner *trainer_learner(trainer *t) { return t->learner; }
double trainer_lr(const trainer *t, uint64_t step) { return schedule_at(&t->schedule, step); }
double trainer_step_flops(const trainer *t) { return t->flops; }
size_t trainer_step_tokens(const trainer *t) { return t->tokens; }

static ckpt_state state_of(trainer *t) {
    return (ckpt_state){.params = t->params, .w = t->w, .m = t->m, .v = t->v, .n = t->n_params, .pool = t->engine.pool};
}

ckpt_state trainer_state(trainer *t) {
    t->fresh = false; /* whoever has it may write */
    return state_of(t);
}

static void changed(trainer *t) {
    if (t->subject.adapter)
        adapter_refresh(t->subject.adapter);
}

err_code trainer_begin(trainer *t, err *e) {
    TRY(t->subject.begin(t->subject.begin_ctx, t->params, t->n_params, t->fresh, e));
    for (size_t i = 0; i < t->n_params; i++) {
        memset(t->m[i], 0, t->params[i].n * sizeof(float));
        memset(t->v[i], 0, t->params[i].n * sizeof(float));
    }
    t->step = 0;
    t->fresh = true;
    changed(t);
    const lesson *x = &t->subject.lesson;
    return x->begin ? x->begin(x->ctx, t->learner, e) : ERR_OK;
}

err_code trainer_load(trainer *t, const char *folder, uint64_t step, ckpt_info *info, err *e) {
    ckpt_state s = state_of(t);
    t->fresh = false;
    TRY(ckpt_load(folder, step, info, &s, e));
    changed(t);
    t->step = step;
    return ERR_OK;
}

err_code trainer_first_line(trainer *t, chain_line *line, err *e) {
    *line = (chain_line){.has_roots = true};
    ckpt_state s = state_of(t);
    TRY(recipe_digest(&t->recipe, &line->recipe, e));
    hash256 moments;
    return ckpt_roots(&s, &line->weights, &moments, e);
}

static bool is_finite(double x) { return x - x == 0; }

/* All gradients of step t->step + 1: their sum in every g. */
static err_code gradient(trainer *t, double *sum, size_t *targets, chain_line *line, err *e) {
    const lesson *x = &t->subject.lesson;
    size_t n = x->parts(x->ctx, line->step);
    *sum = 0;
    *targets = 0;
    t->flops = 0;
    t->tokens = 0;
    for (size_t i = 0; i < n; i++) {
        lesson_part part;
        TRY(x->gradient(x->ctx, t->learner, line->step, i, &part, e));
        fold_add(t->fold, i, n);
        *sum += part.sum;
        *targets += part.targets;
        t->flops += flops_of(t, &part);
        t->tokens += part.batch->n;
        if (i == 0) {
            line->docs[0] = part.first.epoch;
            line->docs[1] = part.first.rank;
        }
        line->docs[2] = part.last.epoch;
        line->docs[3] = part.last.rank;
    }
    return ERR_OK;
}

/* What a line has more where the recipe asks for roots. */
static err_code roots(trainer *t, chain_line *line, err *e) {
    const lesson *x = &t->subject.lesson;
    line->has_roots = true;
    ckpt_state s = state_of(t);
    TRY(ckpt_roots(&s, &line->weights, &line->moments, e));
    if (!x->held_out)
        return ERR_OK;
    line->has_held_out = true;
    TRY(x->held_out(x->ctx, t->learner, &line->held_out, e));
    return is_finite(line->held_out)
               ? ERR_OK
               : err_set(e, ERR_LIMIT, "step %" PRIu64 ": the loss on what is held out is not a finite number",
                         line->step);
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
    t->fresh = false;
    optim_step(t->optim, step, schedule_at(&t->schedule, step), n, line->norm);
    changed(t);
    t->step = step;
    return step % r->chain.roots_every == 0 || step == r->optimizer.steps ? roots(t, line, e) : ERR_OK;
}

err_code trainer_validate(trainer *t, size_t bytes_max, double *bits, size_t *bytes, err *e) {
    const lesson *x = &t->subject.lesson;
    *bits = 0;
    *bytes = 0;
    return x->validate ? x->validate(x->ctx, t->learner, bytes_max, bits, bytes, e) : ERR_OK;
}
