/* loop: see loop.h. */
#include "train/loop.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "train/best.h"
#include "train/publish.h"

typedef struct {
    run *r;
    trainer *t;
    const loop_options *o;
    appendfile *file; /* the chain */
    run_path ckpt;    /* RUN/ckpt */
    hash256 digest;   /* of the chain's last line */
    uint64_t saved;   /* step of the newest checkpoint */
    best best;        /* of the lines so far */
} loop;

static err_code tell(loop *l, loop_event v, err *e) {
    v.step = v.step ? v.step : trainer_step_done(l->t);
    return l->o->on ? l->o->on(l->o->ctx, &v, e) : ERR_OK;
}

/* ---- the chain ---- */

static err_code append(loop *l, chain_line *line, err *e) {
    strbuf text = {0};
    err_code code = chain_text(line, &l->digest, &text, e);
    if (code == ERR_OK)
        code = appendfile_add(l->file, strbuf_str(&text), e);
    strbuf_fini(&text);
    if (code == ERR_OK) {
        l->digest = line->digest;
        best_take(&l->best, line);
    }
    return code;
}

static bool same(hash256 a, hash256 b) { return memcmp(&a, &b, sizeof a) == 0; }

/* The run's first line, which must be that of the recipe. */
static err_code check_first(loop *l, const chain *c, err *e) {
    chain_line first;
    strbuf what = {0};
    TRY(trainer_begin(l->t, e));
    TRY(trainer_first_line(l->t, &first, e));
    if (c->n == 0) {
        TRY(appendfile_truncate(l->file, 0, e)); /* a line that was not written to its end */
        TRY(append(l, &first, e));
        return appendfile_sync(l->file, e);
    }
    err_code code = chain_difference(&c->line[0], &first, &what, e);
    if (code == ERR_OK && what.n)
        code = err_set(e, ERR_MISMATCH, "%s/chain.jsonl: does not belong to this recipe: %.*s", l->r->path,
                       STR_ARG(strbuf_str(&what)));
    strbuf_fini(&what);
    return code;
}

/* Loads the newest checkpoint that the chain vouches for. */
static err_code newest(loop *l, const chain *c, uint64_t *step, err *e) {
    uint64_t *steps;
    size_t n;
    ckpt_info info;
    *step = 0;
    TRY(ckpt_list(l->ckpt.text, &steps, &n, e));
    err_code code = ERR_OK;
    while (n && steps[n - 1] >= c->n)
        n--; /* of another life of this folder */
    if (n) {
        *step = steps[n - 1];
        const chain_line *line = &c->line[*step];
        code = trainer_load(l->t, l->ckpt.text, *step, &info, e);
        if (code == ERR_OK &&
            (!same(info.chain, line->digest) ||
             (line->has_roots && (!same(info.weights, line->weights) || !same(info.moments, line->moments)))))
            code = err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": is not the checkpoint that the chain speaks of",
                           l->ckpt.text, *step);
        if (code != ERR_OK && code != ERR_MEMORY && n > 1)
            err_in(e, code, "remove the checkpoint to continue from step %" PRIu64, steps[n - 2]);
    }
    free(steps);
    return code;
}

static err_code resume(loop *l, err *e) {
    run_path path;
    chain c = {0};
    uint64_t step;
    ckpt_sweep(l->ckpt.text);
    TRY(run_file(l->r, "chain.jsonl", &path, e));
    TRY(appendfile_open(&l->file, path.text, e));
    TRY(chain_read(&c, path.text, e));
    err_code code = check_first(l, &c, e);
    if (code == ERR_OK && c.n) {
        code = newest(l, &c, &step, e);
        if (code == ERR_OK)
            code = appendfile_truncate(l->file, c.end[step], e);
        if (code == ERR_OK) {
            l->digest = c.line[step].digest;
            l->saved = step;
            l->best = best_of(&c, step);
        }
    }
    chain_fini(&c);
    return code;
}

/* ---- checkpoints ---- */

static bool has_roots(const loop *l, uint64_t step) {
    const recipe *r = trainer_recipe(l->t);
    return step % r->chain.roots_every == 0 || step == r->optimizer.steps;
}

static void strike(uint64_t *steps, size_t *n, size_t i) {
    memmove(steps + i, steps + i + 1, (--*n - i) * sizeof *steps);
}

/* The one that the run may publish is out of the count. */
static err_code thin(loop *l, err *e) {
    uint64_t *steps;
    size_t n;
    TRY(ckpt_list(l->ckpt.text, &steps, &n, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i + 1 < n && code == ERR_OK;) {
        if (has_roots(l, steps[i])) {
            i++;
            continue;
        }
        code = ckpt_remove(l->ckpt.text, steps[i], e);
        strike(steps, &n, i);
    }
    uint64_t published = best_published(&l->best, trainer_recipe(l->t), 0);
    for (size_t i = 0; i + 1 < n; i++)
        if (steps[i] == published)
            strike(steps, &n, i);
    while (code == ERR_OK && l->o->keep && n > l->o->keep) {
        size_t i = ckpt_least(steps, n, l->o->keep);
        if (i == n)
            break;
        code = ckpt_remove(l->ckpt.text, steps[i], e);
        strike(steps, &n, i);
    }
    free(steps);
    return code;
}

static err_code save(loop *l, err *e) {
    ckpt_info info = {.step = trainer_step_done(l->t), .chain = l->digest};
    ckpt_state s = trainer_state(l->t);
    if (info.step == l->saved)
        return ERR_OK;
    TRY(appendfile_sync(l->file, e));
    TRY(ckpt_save(l->ckpt.text, &info, &s, e));
    l->saved = info.step;
    TRY(thin(l, e));
    return tell(l, (loop_event){.kind = LOOP_SAVED}, e);
}

/* ---- steps ---- */

static err_code evaluate(loop *l, const chain_line *line, err *e) {
    loop_event v = {.kind = LOOP_EVAL, .line = line};
    if (line->has_held_out)
        return tell(l, v, e);
    TRY(trainer_validate(l->t, l->o->eval_bytes, &v.bits, &v.bytes, e));
    return v.bytes ? tell(l, v, e) : ERR_OK;
}

static bool due(uint64_t every, uint64_t step, bool last) { return every && (step % every == 0 || last); }

static err_code one(loop *l, uint64_t last, err *e) {
    chain_line line;
    double begun = os_now();
    TRY(trainer_step(l->t, &line, e));
    TRY(append(l, &line, e));
    loop_event v = {.kind = LOOP_STEP,
                    .line = &line,
                    .lr = trainer_lr(l->t, line.step),
                    .seconds = os_now() - begun,
                    .flops = trainer_step_flops(l->t)};
    TRY(tell(l, v, e));
    if (line.has_held_out || due(l->o->eval_every, line.step, line.step == last))
        TRY(evaluate(l, &line, e));
    if (due(l->o->sample_every, line.step, line.step == last))
        TRY(tell(l, (loop_event){.kind = LOOP_SAMPLE}, e));
    uint64_t every = l->o->every ? l->o->every : trainer_recipe(l->t)->chain.roots_every;
    bool best_so_far = trainer_recipe(l->t)->tune.best && l->best.step == line.step;
    return best_so_far || due(every, line.step, line.step == last) ? save(l, e) : ERR_OK;
}

/* The run has ended: what it has made, which may be an earlier step's. */
static err_code publish(loop *l, err *e) {
    uint64_t step = best_published(&l->best, trainer_recipe(l->t), trainer_step_done(l->t));
    ckpt_info info;
    if (step == trainer_step_done(l->t))
        return publish_run(l->r, l->digest, e);
    TRY(trainer_load(l->t, l->ckpt.text, step, &info, e));
    return publish_run(l->r, info.chain, e);
}

static bool ended(const loop *l) { return best_ended(&l->best, trainer_recipe(l->t), trainer_step_done(l->t)); }

static err_code steps(loop *l, err *e) {
    uint64_t last = trainer_recipe(l->t)->optimizer.steps;
    if (l->o->until && l->o->until < last)
        last = l->o->until;
    TRY(tell(l, (loop_event){.kind = LOOP_BEGIN}, e));
    while (trainer_step_done(l->t) < last && !ended(l)) {
        if (l->o->cancel && *l->o->cancel) {
            TRY(save(l, e));
            return err_set(e, ERR_CANCELLED, "stopped after step %" PRIu64, trainer_step_done(l->t));
        }
        TRY(one(l, last, e));
    }
    TRY(save(l, e));
    loop_event end = {.kind = LOOP_END, .step = trainer_step_done(l->t)};
    if (ended(l))
        TRY(publish(l, e));
    return tell(l, end, e);
}

err_code loop_run(run *r, const loop_options *o, err *e) {
    loop l = {.r = r, .t = r->trainer, .o = o};
    err_code code = run_file(r, "ckpt", &l.ckpt, e);
    if (code == ERR_OK)
        code = resume(&l, e);
    if (code == ERR_OK)
        code = steps(&l, e);
    appendfile_close(l.file);
    return code;
}
