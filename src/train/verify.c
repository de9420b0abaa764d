/* verify: see verify.h. */
#include "train/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/rng.h"
#include "train/best.h"
#include "train/publish.h"
#include "train/root.h"

typedef struct {
    run *r;
    trainer *t;
    const verify_options *o;
    verify_report *report;
    chain chain;
    run_path path, ckpt;
    uint64_t *ckpts; /* steps */
    size_t n_ckpts;
    uint64_t done, total; /* steps, for progress */
} verify;

typedef struct {
    uint64_t from, to; /* steps from+1 .. to */
} span;

static bool same(hash256 a, hash256 b) { return memcmp(&a, &b, sizeof a) == 0; }

/* ---- what needs no execution ---- */

static void differs_at(const verify *v, uint64_t step) {
    v->report->at_step = true;
    v->report->step = step;
}

static err_code mismatch(const verify *v, const chain_line *was, const chain_line *is, err *e) {
    strbuf what = {0};
    err_code code = chain_difference(was, is, &what, e);
    if (code == ERR_OK && what.n) {
        differs_at(v, was->step);
        code = err_set(e, ERR_MISMATCH, "%s: step %" PRIu64 ": %.*s (here: in the chain; there: executed again)",
                       v->path.text, was->step, STR_ARG(strbuf_str(&what)));
    }
    strbuf_fini(&what);
    return code;
}

static err_code check_first(verify *v, err *e) {
    chain_line first;
    if (v->chain.n == 0)
        return err_set(e, ERR_FORMAT, "%s: is empty (the run has not begun)", v->path.text);
    TRY(trainer_begin(v->t, e));
    TRY(trainer_first_line(v->t, &first, e));
    return mismatch(v, &v->chain.line[0], &first, e);
}

static err_code not_the_one(const verify *v, uint64_t step, err *e) {
    differs_at(v, step);
    return err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": is not the checkpoint that the chain speaks of",
                   v->ckpt.text, step);
}

/* Loads a checkpoint and compares it with the chain. */
static err_code load(verify *v, uint64_t step, err *e) {
    ckpt_info info;
    if (step >= v->chain.n)
        return err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": the chain ends before it, at step %zu", v->ckpt.text,
                       step, v->chain.n - 1);
    err_code code = trainer_load(v->t, v->ckpt.text, step, &info, e);
    if (code == ERR_FORMAT && e) /* not what Loam writes: it has been changed */
        e->code = code = ERR_MISMATCH;
    if (code == ERR_MISMATCH)
        differs_at(v, step);
    TRY(code);
    const chain_line *line = &v->chain.line[step];
    if (!same(info.chain, line->digest) ||
        (line->has_roots && (!same(info.weights, line->weights) || !same(info.moments, line->moments))))
        return not_the_one(v, step, e);
    return ERR_OK;
}

static err_code check_ckpts(verify *v, err *e) {
    TRY(ckpt_list(v->ckpt.text, &v->ckpts, &v->n_ckpts, e));
    for (size_t i = 0; i < v->n_ckpts; i++)
        TRY(load(v, v->ckpts[i], e));
    v->report->checkpoints = v->n_ckpts;
    return ERR_OK;
}

static err_code compare_model(verify *v, model *m, const chain_line *last, const char *file, bool bytes, err *e) {
    learner *l = NULL;
    TRY(learner_open(&l, m, &(learner_options){.tokens_max = 1}, e));
    size_t n;
    param *p = learner_params(l, &n);
    float **x = calloc(n, sizeof *x);
    hash256 *leaf = calloc(n, sizeof *leaf);
    err_code code = x && leaf ? ERR_OK : err_set(e, ERR_MEMORY, "no memory to compare %s", file);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        x[i] = p[i].w;
    if (code == ERR_OK)
        code = root_leaves(p, x, n, v->r->pool, leaf, e);
    if (code == ERR_OK && !same(root_of(leaf, n), last->weights))
        code = err_set(e, ERR_MISMATCH, "%s: its weights are not those of step %" PRIu64 " in the chain", file,
                       last->step);
    for (size_t i = 0; bytes && i < n && code == ERR_OK; i++) /* the same shapes, for they are in the root */
        memcpy(trainer_state(v->t).w[i], p[i].w, p[i].n * sizeof(float));
    free(x);
    free(leaf);
    learner_close(l);
    return code == ERR_OK && bytes ? publish_compare(v->r, m, last, e) : code;
}

static bool has_ckpt(const verify *v, uint64_t step) {
    for (size_t i = 0; i < v->n_ckpts; i++)
        if (v->ckpts[i] == step)
            return true;
    return false;
}

/* An adapter is compared with the checkpoint of the step that it is of. */
static err_code check_adapter(verify *v, const chain_line *made, err *e) {
    run_path folder;
    TRY(run_file(v->r, "adapter", &folder, e));
    if (!v->report->finished)
        return err_set(e, ERR_MISMATCH, "%s: is there although the run has not ended", folder.text);
    if (has_ckpt(v, made->step))
        TRY(load(v, made->step, e));
    if (trainer_step_done(v->t) != made->step)
        return err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": is missing, so that the adapter cannot be compared",
                       v->ckpt.text, made->step);
    TRY(publish_compare(v->r, NULL, made, e));
    v->report->model = true;
    return ERR_OK;
}

/* The export, where there is one: F32, so its root can be compared. `bytes`: all of them, which name the chain's end:
 * only once the steps are known to be those of the chain, or a lie there would be told of the export. */
static err_code check_model(verify *v, bool bytes, err *e) {
    run_path file;
    model *m = NULL;
    uint64_t end = v->chain.n - 1;
    best b = best_of(&v->chain, end);
    const chain_line *last = &v->chain.line[best_published(&b, trainer_recipe(v->t), end)];
    bool any;
    TRY(publish_check_names(v->r, &any, e));
    if (!any)
        return ERR_OK;
    if (trainer_adapter(v->t))
        return check_adapter(v, last, e);
    TRY(run_file(v->r, "model.gguf", &file, e));
    v->report->folder = !os_exists(file.text);
    if (v->report->folder)
        TRY(run_file(v->r, "model", &file, e));
    if (!last->has_roots || !v->report->finished)
        return err_set(e, ERR_MISMATCH, "%s: is there although the run has not ended", file.text);
    model_options o = {.pool = v->r->pool, .isa = model_isa(trainer_model(v->t)), .weights = MODEL_WEIGHTS_F32};
    TRY(model_open(&m, file.text, &o, e));
    err_code code = compare_model(v, m, last, file.text, bytes, e);
    model_close(m);
    v->report->model = code == ERR_OK;
    return code;
}

/* ---- execution ---- */

static err_code go_to(verify *v, uint64_t step, err *e) {
    if (step)
        return load(v, step, e);
    return trainer_begin(v->t, e);
}

/* The state that has just been computed against a checkpoint that the chain has no roots for. */
static err_code check_state(verify *v, uint64_t step, err *e) {
    ckpt_info info;
    hash256 weights, moments;
    ckpt_state s = trainer_state(v->t);
    TRY(ckpt_read_info(v->ckpt.text, step, &info, e));
    TRY(ckpt_roots(&s, &weights, &moments, e));
    return same(info.weights, weights) && same(info.moments, moments) ? ERR_OK : not_the_one(v, step, e);
}

static err_code execute(verify *v, span s, err *e) {
    TRY(go_to(v, s.from, e));
    for (uint64_t step = s.from + 1; step <= s.to; step++) {
        chain_line line;
        if (v->o->cancel && *v->o->cancel)
            return err_set(e, ERR_CANCELLED, "stopped before step %" PRIu64, step);
        TRY(trainer_step(v->t, &line, e));
        TRY(mismatch(v, &v->chain.line[step], &line, e));
        if (!line.has_roots && has_ckpt(v, step))
            TRY(check_state(v, step, e));
        v->report->steps++;
        if (v->o->progress)
            v->o->progress(v->o->ctx, ++v->done, v->total);
    }
    v->report->segments++;
    return ERR_OK;
}

/* All segments that could be asked for, ascending. */
static err_code segments(const verify *v, span **out, size_t *n, err *e) {
    uint64_t last = v->chain.n - 1;
    *n = 0;
    *out = calloc(v->n_ckpts + 1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for a list of segments");
    for (size_t i = 0; i <= v->n_ckpts; i++) {
        uint64_t from = i ? v->ckpts[i - 1] : 0, to = from + 1;
        if (!v->chain.line[from].has_roots)
            continue;
        while (to <= last && !v->chain.line[to].has_roots)
            to++;
        if (to <= last)
            (*out)[(*n)++] = (span){from, to};
    }
    return ERR_OK;
}

static uint64_t challenge_seed(const verify *v, err *e, err_code *code) {
    hash_state *h;
    uint64_t seed = 0;
    *code = hash_open(&h, e);
    if (*code != ERR_OK)
        return 0;
    hash_add(h, "loam challenge", 14);
    hash_add(h, v->chain.line[v->chain.n - 1].digest.byte, 32);
    hash_add(h, v->o->challenge.p, v->o->challenge.n);
    hash256 d = hash_close(h);
    for (int i = 7; i >= 0; i--)
        seed = seed << 8 | d.byte[i];
    return seed;
}

static err_code spot(verify *v, err *e) {
    span *all;
    size_t n;
    err_code code;
    uint64_t seed = challenge_seed(v, e, &code);
    TRY(code);
    TRY(segments(v, &all, &n, e));
    v->report->of_segments = n;
    size_t want = v->o->spot < n ? v->o->spot : n;
    for (size_t i = 0; i < want; i++) { /* the chosen ones to the front */
        size_t j = i + (size_t)rng_below(seed, RNG_CHALLENGE, i, n - i);
        span s = all[i];
        all[i] = all[j];
        all[j] = s;
        v->total += all[i].to - all[i].from;
    }
    if (n == 0)
        code = err_set(e, ERR_USAGE, "%s: has no line with roots yet, so there is no segment to check", v->path.text);
    for (size_t i = 0; i < want && code == ERR_OK; i++)
        code = execute(v, all[i], e);
    free(all);
    return code;
}

static err_code from_there(verify *v, err *e) {
    uint64_t last = v->chain.n - 1, from = 0;
    if (v->o->how == VERIFY_FROM) {
        if (v->o->from > last)
            return err_set(e, ERR_USAGE, "%s: ends at step %" PRIu64 ", before step %" PRIu64, v->path.text, last,
                           v->o->from);
        for (size_t i = 0; i < v->n_ckpts; i++)
            if (v->ckpts[i] < v->o->from)
                from = v->ckpts[i];
    }
    v->total = last - from;
    v->report->of_segments = 1;
    return execute(v, (span){from, last}, e);
}

static err_code all_checks(verify *v, err *e) {
    TRY(run_file(v->r, "chain.jsonl", &v->path, e));
    TRY(run_file(v->r, "ckpt", &v->ckpt, e));
    TRY(chain_read(&v->chain, v->path.text, e));
    TRY(check_first(v, e));
    uint64_t last = v->chain.n - 1;
    best b = {0};
    verify_report *r = v->report;
    r->of_steps = last;
    for (uint64_t i = 1; i <= last; i++) {
        if (best_ended(&b, trainer_recipe(v->t), i - 1))
            return err_set(e, ERR_MISMATCH, "%s: goes on to step %" PRIu64 ", the run ends at %" PRIu64, v->path.text,
                           last, i - 1);
        best_take(&b, &v->chain.line[i]);
    }
    r->finished = best_ended(&b, trainer_recipe(v->t), last);
    r->digest = v->chain.line[last].digest;
    for (uint64_t i = 0; i <= last; i++)
        if (v->chain.line[i].has_roots)
            r->weights = v->chain.line[i].weights;
    TRY(check_ckpts(v, e));
    bool files = v->o->how == VERIFY_FILES;
    TRY(check_model(v, files, e));
    if (files)
        return ERR_OK;
    TRY(v->o->how == VERIFY_SPOT ? spot(v, e) : from_there(v, e));
    return check_model(v, true, e);
}

err_code verify_run(run *r, const verify_options *o, verify_report *report, err *e) {
    *report = (verify_report){0};
    verify v = {.r = r, .t = r->trainer, .o = o, .report = report};
    err_code code = all_checks(&v, e);
    free(v.ckpts);
    chain_fini(&v.chain);
    return code;
}
