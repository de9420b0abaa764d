/* why: see why.h. */
#include "train/why.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "train/batches.h"

static const double STEP = 0.25, DOUBT_MIN = 1e-6;

typedef struct {
    run *r;
    const why_options *o;
    why_result *out;
    ckpt_state s;
    learner *learner;
    tok_ids ids; /* prompt and answer */
    size_t n_prompt;
    float **w, **u; /* [s.n][params[i].n] the checkpoint's weights; the direction */
    batches batches;
    float *loss; /* [micro * ctx] */
    uint64_t done, total;
} job;

/* ---- the question ---- */

/* Prompt and answer as one text where its tokens begin with the prompt's, else one behind the other. */
static err_code encode(job *j, err *e) {
    const tokenizer *k = j->r->tokenizer;
    strbuf text = {0};
    tok_ids whole = {0};
    err_code code = tokenizer_encode(k, j->o->prompt, TOK_SPECIAL_ADD, &j->ids, e);
    j->n_prompt = j->ids.n;
    if (code == ERR_OK)
        code = strbuf_add(&text, j->o->prompt, e);
    if (code == ERR_OK)
        code = strbuf_add(&text, j->o->answer, e);
    if (code == ERR_OK)
        code = tokenizer_encode(k, strbuf_str(&text), TOK_SPECIAL_ADD, &whole, e);
    bool ends = whole.n && whole.id[whole.n - 1] == (int32_t)j->r->recipe.tokenizer.end; /* a tokenizer that adds it */
    whole.n -= ends;
    bool prefix = code == ERR_OK && whole.n > j->ids.n &&
                  (j->ids.n == 0 || memcmp(whole.id, j->ids.id, j->ids.n * sizeof *whole.id) == 0);
    if (prefix)
        for (size_t i = j->ids.n; i < whole.n && code == ERR_OK; i++)
            code = tok_ids_add(&j->ids, whole.id[i], e);
    else if (code == ERR_OK)
        code = tokenizer_encode(k, j->o->answer, 0, &j->ids, e);
    tok_ids_fini(&whole);
    strbuf_fini(&text);
    return code;
}

static err_code take_question(job *j, err *e) {
    TRY(encode(j, e));
    if (j->n_prompt == 0) { /* a document begins behind the end of another */
        tok_ids with = {0};
        err_code code = tok_ids_add(&with, (int32_t)j->r->recipe.tokenizer.end, e);
        for (size_t i = 0; i < j->ids.n && code == ERR_OK; i++)
            code = tok_ids_add(&with, j->ids.id[i], e);
        tok_ids_fini(&j->ids);
        j->ids = with;
        j->n_prompt = 1;
        TRY(code);
    }
    j->out->n_answer = j->ids.n - j->n_prompt;
    if (j->out->n_answer == 0)
        return err_set(e, ERR_USAGE, "the answer has no token");
    if (j->ids.n > j->r->recipe.model.ctx)
        return err_set(e, ERR_USAGE, "prompt and answer have %zu tokens, the run's context %" PRIu64, j->ids.n,
                       j->r->recipe.model.ctx);
    return ERR_OK;
}

/* Loss of the answer; with gradient: in every param's g. */
static err_code ask(job *j, bool gradient, double *loss, err *e) {
    size_t n = j->ids.n - 1;
    int32_t *target = calloc(n, sizeof *target);
    float *weight = calloc(n, sizeof *weight);
    err_code code = target && weight ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a question");
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        target[i] = j->ids.id[i + 1];
        weight[i] = i + 1 >= j->n_prompt ? 1.0f : 0.0f;
    }
    segment all = {0, n};
    batch b = {.ids = j->ids.id, .target = target, .weight = weight, .n = n, .segment = &all, .n_segments = 1};
    if (code == ERR_OK)
        code = gradient ? learner_gradient(j->learner, &b, NULL, loss, e) : learner_loss(j->learner, &b, NULL, loss, e);
    free(target);
    free(weight);
    return code;
}

/* ---- the documents ---- */

/* Adds factor times each document's loss to its score. */
static err_code add_losses(job *j, double factor, err *e) {
    uint32_t end = (uint32_t)j->r->docs.n_train, doc = 0;
    uint64_t at = 0; /* token of doc */
    for (uint64_t pos = 0; doc < end;) {
        double sum;
        if (j->o->cancel && *j->o->cancel)
            return err_set(e, ERR_CANCELLED, "stopped");
        size_t n = batches_read_docs(&j->batches, 0, end, pos);
        TRY(learner_loss(j->learner, &j->batches.batch, j->loss, &sum, e));
        for (size_t i = 0; i < n;) {
            size_t left = tokens_of(&j->r->tokens, doc) - (size_t)at, take = left < n - i ? left : n - i;
            double part = 0;
            for (size_t k = i; k < i + take; k++)
                part += (double)j->loss[k];
            j->out->score[doc] += factor * part;
            i += take;
            at += take;
            if (take == left) {
                doc++;
                at = 0;
            }
        }
        pos += n;
        j->done += n;
        if (j->o->progress)
            j->o->progress(j->o->ctx, j->done, j->total);
    }
    return ERR_OK;
}

static void move(job *j, double h) {
    for (size_t i = 0; i < j->s.n; i++)
        for (size_t k = 0; k < j->s.params[i].n; k++)
            j->s.w[i][k] = j->w[i][k] + (float)h * j->u[i][k];
}

/* The direction u from the gradient in g, and its root mean square. */
static double direct(job *j, uint64_t step) {
    const recipe *r = &j->r->recipe;
    double bias = 1 - kern_pow64(r->optimizer.beta2, (double)step), sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < j->s.n; i++) {
        const param *p = &j->s.params[i];
        n += p->rows * (p->cols ? p->cols : 1);
        for (size_t k = 0; k < p->n; k++) {
            double root = kern_sqrt64((double)j->s.v[i][k] / bias);
            j->u[i][k] = (float)((double)p->g[k] / (root + r->optimizer.eps));
            sum += (double)j->u[i][k] * (double)j->u[i][k];
        }
    }
    return kern_sqrt64(sum / (double)n);
}

static err_code at_checkpoint(job *j, uint64_t step, double loss, err *e) {
    double rate = trainer_lr(j->r->trainer, step), rms, doubt = 1 - kern_exp64(-loss);
    for (size_t i = 0; i < j->s.n; i++)
        memcpy(j->w[i], j->s.w[i], j->s.params[i].n * sizeof(float));
    rms = direct(j, step);
    if (!(rms > 0) || rms - rms != 0 || !(rate > 0))
        return ERR_OK; /* nothing moves here */
    double h = STEP * rate / rms, factor = rate / (2 * h) / (doubt > DOUBT_MIN ? doubt : DOUBT_MIN);
    move(j, h);
    TRY(add_losses(j, factor, e));
    move(j, -h);
    return add_losses(j, -factor, e);
}

/* ---- the checkpoints ---- */

/* At most n of them, the last included, evenly spread. */
static err_code choose(job *j, const uint64_t *steps, size_t there, err *e) {
    size_t n = j->o->checkpoints ? j->o->checkpoints : 1;
    why_result *x = j->out;
    n = n < there ? n : there;
    x->step = calloc(n + 1, sizeof *x->step);
    x->loss = calloc(n + 1, sizeof *x->loss);
    if (!x->step || !x->loss)
        return err_set(e, ERR_MEMORY, "no memory for %zu checkpoints", n);
    for (size_t i = 0; i < n; i++)
        x->step[i] = steps[(i + 1) * there / n - 1];
    x->n_steps = n;
    return ERR_OK;
}

static err_code make_room(job *j, err *e) {
    const recipe *r = &j->r->recipe;
    size_t micro = (size_t)(r->batch.micro * r->model.ctx);
    j->out->score = calloc(j->r->docs.n + 1, sizeof *j->out->score);
    j->loss = calloc(micro, sizeof *j->loss);
    j->w = calloc(j->s.n, sizeof *j->w);
    j->u = calloc(j->s.n, sizeof *j->u);
    bool ok = j->out->score && j->loss && j->w && j->u;
    for (size_t i = 0; i < j->s.n && ok; i++) {
        j->w[i] = calloc(j->s.params[i].n, sizeof *j->w[i]);
        j->u[i] = calloc(j->s.params[i].n, sizeof *j->u[i]);
        ok = j->w[i] && j->u[i];
    }
    if (!ok)
        return err_set(e, ERR_MEMORY, "no memory for the scores of %zu documents", j->r->docs.n);
    return batches_init(&j->batches, trainer_order(j->r->trainer), &j->r->tokens, (size_t)r->model.ctx, micro, e);
}

static err_code all(job *j, err *e) {
    run_path folder;
    uint64_t *steps;
    size_t there;
    if (j->r->base)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: is a run of tuning, and this looks at the documents of new models alone", j->r->path);
    TRY(take_question(j, e));
    TRY(run_file(j->r, "ckpt", &folder, e));
    TRY(ckpt_list(folder.text, &steps, &there, e));
    err_code code =
        there ? choose(j, steps, there, e) : err_set(e, ERR_USAGE, "%s: there is no checkpoint to look at", j->r->path);
    free(steps);
    TRY(code);
    TRY(make_room(j, e));
    j->total = 2 * j->out->n_steps * j->r->tokens.from[j->r->docs.n_train];
    for (size_t c = 0; c < j->out->n_steps; c++) {
        ckpt_info info;
        bool scores = j->o->checkpoints > 0;
        TRY(trainer_load(j->r->trainer, folder.text, j->out->step[c], &info, e));
        TRY(ask(j, scores, &j->out->loss[c], e));
        if (scores)
            TRY(at_checkpoint(j, j->out->step[c], j->out->loss[c], e));
    }
    return ERR_OK;
}

err_code why_run(run *r, const why_options *o, why_result *out, err *e) {
    job j = {.r = r, .o = o, .out = out, .s = trainer_state(r->trainer), .learner = trainer_learner(r->trainer)};
    *out = (why_result){0};
    err_code code = all(&j, e);
    for (size_t i = 0; i < j.s.n; i++) {
        free(j.w ? j.w[i] : NULL);
        free(j.u ? j.u[i] : NULL);
    }
    free(j.w);
    free(j.u);
    free(j.loss);
    batches_fini(&j.batches);
    tok_ids_fini(&j.ids);
    if (code != ERR_OK)
        why_fini(out);
    return code;
}

void why_fini(why_result *x) {
    free(x->score);
    free(x->step);
    free(x->loss);
    *x = (why_result){0};
}
