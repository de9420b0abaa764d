/* bisect: see bisect.h. */
#include "train/bisect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "train/uses.h"
#include "train/verify.h"

typedef struct {
    run *const *r;
    const bisect_options *o;
    bisect_report *report;
    bool loaded[2];
    chain chain[2];
    run_path ckpt[2];
    uint64_t *ckpts[2]; /* steps, of files that fit */
    size_t n_ckpts[2];
    uint64_t done, total;
} job;

static bool same(hash256 a, hash256 b) { return memcmp(&a, &b, sizeof a) == 0; }

static void put(bisect_text *t, str s) { snprintf(t->text, sizeof t->text, "%.*s", (int)(s.n < 599 ? s.n : 599), s.p); }

/* ---- without execution ---- */

/* The first thing that a check found is noted; what kept it from being made is an error. */
static err_code note(bisect_text *said, err_code code, const err *found, err *e) {
    if (code == ERR_MEMORY || code == ERR_CANCELLED)
        return err_set(e, code, "%s", found->text);
    if (code != ERR_OK && !said->text[0])
        put(said, str_from(found->text));
    return ERR_OK;
}

/* Each text against its digest, then what verify looks at. */
static err_code check_texts(run *r, err *e) {
    for (size_t d = 0; d < r->docs.n; d++) {
        str text;
        TRY(docs_text(&r->docs, d, &text, e));
    }
    return ERR_OK;
}

static err_code check_files(job *j, int i, const err *loading, err *e) {
    bisect_text *said = &j->report->files[i];
    verify_options o = {.how = VERIFY_FILES, .cancel = j->o->cancel};
    verify_report report;
    err found = {0};
    if (loading)
        return note(said, loading->code, loading, e);
    err_code code = check_texts(j->r[i], &found);
    if (code == ERR_OK)
        code = verify_run(j->r[i], &o, &report, &found);
    return note(said, code, &found, e);
}

static err_code compare_recipes(job *j, err *e) {
    strbuf what = {0};
    err_code code = recipe_difference(&j->r[0]->recipe, &j->r[1]->recipe, &what, e);
    put(&j->report->recipe, strbuf_str(&what));
    strbuf_fini(&what);
    return code;
}

/* Documents that a has and b has not; the first step of a's chain that reads one. */
static err_code only_in(job *j, int a, err *e) {
    const docs *x = &j->r[a]->docs, *y = &j->r[!a]->docs;
    uses *u;
    TRY(uses_open(&u, j->r[a]->recipe.init.seed, x, &j->chain[a], j->r[a]->pool, e));
    for (size_t i = 0; i < x->n; i++) {
        if (docs_find(y, x->sha256[i], 0) < y->n)
            continue;
        uint64_t step = uses_first(u, i), *first = &j->report->only_step;
        j->report->only[a]++;
        *first = step && (*first == 0 || step < *first) ? step : *first;
    }
    uses_close(u);
    return ERR_OK;
}

/* What lines say of the recipe, and their seals, are of no account: the recipe has been compared. */
static err_code compare_lines(job *j, err *e) {
    size_t n = j->chain[0].n < j->chain[1].n ? j->chain[0].n : j->chain[1].n;
    strbuf what = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK && what.n == 0; i++) {
        chain_line a = j->chain[0].line[i], b = j->chain[1].line[i];
        a.recipe = b.recipe;
        if (a.has_roots != b.has_roots) { /* recipes that name roots at other steps */
            a.has_roots = b.has_roots = false;
            a.weights = b.weights;
            a.moments = b.moments;
        }
        code = chain_difference(&a, &b, &what, e);
        j->report->line = what.n ? i : BISECT_NEVER;
    }
    put(&j->report->what, strbuf_str(&what));
    strbuf_fini(&what);
    return code;
}

static bool has_ckpt(const job *j, int i, uint64_t step) {
    for (size_t k = 0; k < j->n_ckpts[i]; k++)
        if (j->ckpts[i][k] == step)
            return true;
    return false;
}

/* Checkpoints that both have, before the first line that differs. */
static err_code compare_ckpts(job *j, err *e) {
    for (size_t k = 0; k < j->n_ckpts[0]; k++) {
        uint64_t step = j->ckpts[0][k];
        ckpt_info a, b;
        if (step >= j->report->line || !has_ckpt(j, 1, step))
            continue;
        TRY(ckpt_read_info(j->ckpt[0].text, step, &a, e));
        TRY(ckpt_read_info(j->ckpt[1].text, step, &b, e));
        if (same(a.weights, b.weights) && same(a.moments, b.moments))
            continue;
        j->report->line = step;
        snprintf(j->report->what.text, sizeof j->report->what.text, "the %s of their checkpoints differ",
                 same(a.weights, b.weights) ? "moments" : "weights");
        break;
    }
    return ERR_OK;
}

/* ---- tensors ---- */

static size_t size_of(const param *p) { return p->n * sizeof(float); }

/* Notes the first tensor in which two states differ, and how many do. */
static void compare_states(job *j, uint64_t step, int side) {
    static const char *const what[] = {"weights of", "first moment of", "second moment of"};
    ckpt_state a = trainer_state(j->r[0]->trainer), b = trainer_state(j->r[1]->trainer);
    bisect_report *r = j->report;
    size_t differ = 0, n = a.n < b.n ? a.n : b.n;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < n; i++) {
            const param *p = &a.params[i], *q = &b.params[i];
            float *const *x = k == 0 ? a.w : k == 1 ? a.m : a.v, *const *y = k == 0 ? b.w : k == 1 ? b.m : b.v;
            bool shape = strcmp(p->name, q->name) == 0 && p->rows == q->rows && p->cols == q->cols;
            if (shape && memcmp(x[i], y[i], size_of(p)) == 0)
                continue;
            if (differ++ == 0)
                snprintf(r->tensor.text, sizeof r->tensor.text, "%s %.400s%s", what[k], p->name,
                         shape ? "" : ", which has another shape or name");
        }
    differ += a.n != b.n;
    if (differ == 0)
        return;
    if (!r->tensor.text[0])
        snprintf(r->tensor.text, sizeof r->tensor.text, "one has more tensors than the other");
    r->step = step;
    r->side = side;
    r->n_tensors = differ;
    r->of_tensors = 3 * a.n;
}

/* ---- execution ---- */

static err_code go_to(job *j, int i, uint64_t step, err *e) {
    ckpt_info info;
    if (step == 0)
        return trainer_begin(j->r[i]->trainer, e);
    return trainer_load(j->r[i]->trainer, j->ckpt[has_ckpt(j, 0, step) ? 0 : 1].text, step, &info, e);
}

/* The last step before s with the same roots in both chains, and a checkpoint. */
static uint64_t common(const job *j, uint64_t s) {
    uint64_t found = 0;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < j->n_ckpts[i]; k++) {
            uint64_t c = j->ckpts[i][k];
            if (c >= s || c <= found || c >= j->chain[0].n || c >= j->chain[1].n)
                continue;
            const chain_line *a = &j->chain[0].line[c], *b = &j->chain[1].line[c];
            if (a->has_roots && b->has_roots && same(a->weights, b->weights) && same(a->moments, b->moments))
                found = c;
        }
    return found;
}

/* One step of trainer t; the line that comes out against that of chain i. */
static err_code step(job *j, int t, chain_line *line, err *e) {
    if (j->o->cancel && *j->o->cancel)
        return err_set(e, ERR_CANCELLED, "stopped after %" PRIu64 " steps", j->done);
    TRY(trainer_step(j->r[t]->trainer, line, e));
    j->report->n_executed++;
    j->done++;
    if (j->o->progress)
        j->o->progress(j->o->ctx, j->done, j->total);
    return ERR_OK;
}

static err_code fit(job *j, int i, const chain_line *line, err *e) {
    strbuf what = {0};
    bisect_report *r = j->report;
    if (!r->fits[i] || line->step >= j->chain[i].n)
        return ERR_OK;
    err_code code = chain_difference(&j->chain[i].line[line->step], line, &what, e);
    if (code == ERR_OK && what.n) {
        r->fits[i] = false;
        r->fits_not[i] = line->step;
    }
    strbuf_fini(&what);
    return code;
}

/* The checkpoints of both that stand at this step, against what was executed. */
static err_code against_ckpts(job *j, uint64_t at, err *e) {
    for (int i = 0; i < 2 && j->report->step == BISECT_NEVER; i++) {
        ckpt_info info;
        if (!has_ckpt(j, i, at))
            continue;
        TRY(trainer_load(j->r[1]->trainer, j->ckpt[i].text, at, &info, e));
        compare_states(j, at, i);
        if (j->report->step != BISECT_NEVER && j->report->fits[i]) {
            j->report->fits[i] = false; /* its lines may not show it */
            j->report->fits_not[i] = at;
        }
    }
    return ERR_OK;
}

/* The first checkpoint from s on of a run that does not fit; s when there is none. */
static uint64_t next_ckpt(const job *j, uint64_t s) {
    uint64_t next = BISECT_NEVER;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < j->n_ckpts[i] && !j->report->fits[i]; k++)
            next = j->ckpts[i][k] >= s && j->ckpts[i][k] < next ? j->ckpts[i][k] : next;
    return next == BISECT_NEVER ? s : next;
}

static err_code execute_one(job *j, uint64_t s, err *e) {
    uint64_t end = s;
    TRY(go_to(j, 0, j->report->from, e));
    for (uint64_t k = j->report->from + 1; k <= end && j->report->step == BISECT_NEVER; k++) {
        chain_line line;
        j->total = end - j->report->from;
        TRY(step(j, 0, &line, e));
        TRY(fit(j, 0, &line, e));
        TRY(fit(j, 1, &line, e));
        TRY(against_ckpts(j, k, e));
        if (k == s)
            end = next_ckpt(j, s);
    }
    return ERR_OK;
}

static err_code execute_both(job *j, uint64_t s, err *e) {
    j->total = 2 * (s - j->report->from);
    TRY(go_to(j, 0, j->report->from, e));
    TRY(go_to(j, 1, j->report->from, e));
    compare_states(j, j->report->from, 2);
    for (uint64_t k = j->report->from + 1; k <= s; k++)
        for (int i = 0; i < 2; i++) {
            chain_line line;
            TRY(step(j, i, &line, e));
            TRY(fit(j, i, &line, e));
            if (i == 1 && j->report->step == BISECT_NEVER)
                compare_states(j, k, 2);
        }
    return ERR_OK;
}

static err_code execute(job *j, err *e) {
    bisect_report *r = j->report;
    const recipe *a = &j->r[0]->recipe, *b = &j->r[1]->recipe;
    uint64_t last = a->optimizer.steps < b->optimizer.steps ? a->optimizer.steps : b->optimizer.steps;
    if (r->line == BISECT_NEVER || r->line > last)
        return ERR_OK;
    r->from = r->line ? common(j, r->line) : 0;
    r->executed = true;
    r->fits[0] = r->fits[1] = true;
    return r->recipe.text[0] ? execute_both(j, r->line, e) : execute_one(j, r->line, e);
}

/* A checkpoint that no line of the chain names, where all else is the same: only execution can tell. */
static err_code check_unnamed(job *j, err *e) {
    bisect_report *r = j->report;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < j->n_ckpts[i] && r->line == BISECT_NEVER; k++) {
            uint64_t step = j->ckpts[i][k];
            if (step >= j->chain[i].n || j->chain[i].line[step].has_roots || has_ckpt(j, !i, step))
                continue;
            r->from = common(j, step);
            r->executed = r->fits[0] = r->fits[1] = true;
            TRY(execute_one(j, step, e));
            if (r->step == BISECT_NEVER)
                continue;
            r->line = step;
            snprintf(r->what.text, sizeof r->what.text, "a checkpoint is not what executing gives");
        }
    return ERR_OK;
}

/* ---- all ---- */

static err_code read_chain(job *j, int i, err *e) {
    run_path path;
    TRY(run_file(j->r[i], "chain.jsonl", &path, e));
    TRY(run_file(j->r[i], "ckpt", &j->ckpt[i], e));
    err why = {0};
    err_code code = chain_read(&j->chain[i], path.text, &why);
    if (code != ERR_OK)
        return note(&j->report->files[i], code, &why, e);
    j->report->steps[i] = j->chain[i].n ? j->chain[i].n - 1 : 0;
    return ckpt_list(j->ckpt[i].text, &j->ckpts[i], &j->n_ckpts[i], e);
}

static err_code all(job *j, const err *const loaded[2], err *e) {
    bisect_report *r = j->report;
    for (int i = 0; i < 2; i++) {
        j->loaded[i] = !loaded[i];
        TRY(check_files(j, i, loaded[i], e));
        TRY(read_chain(j, i, e));
    }
    if (j->o->cancel && *j->o->cancel)
        return err_set(e, ERR_CANCELLED, "stopped");
    TRY(compare_recipes(j, e));
    r->chains = j->chain[0].n && j->chain[1].n;
    if (!r->chains)
        return ERR_OK;
    TRY(compare_lines(j, e));
    bool both = j->loaded[0] && j->loaded[1];
    for (int i = 0; i < 2 && both; i++)
        TRY(only_in(j, i, e));
    for (int i = 0; i < 2; i++) /* of files that do not fit nothing is believed */
        if (r->files[i].text[0])
            j->n_ckpts[i] = 0;
    TRY(compare_ckpts(j, e));
    if (!both)
        return ERR_OK;
    return r->line == BISECT_NEVER && !r->recipe.text[0] ? check_unnamed(j, e) : execute(j, e);
}

err_code bisect_runs(run *const r[2], const err *const loaded[2], const bisect_options *o, bisect_report *report,
                     err *e) {
    job j = {.r = r, .o = o, .report = report};
    *report = (bisect_report){.line = BISECT_NEVER, .step = BISECT_NEVER};
    err_code code = all(&j, loaded, e);
    for (int i = 0; i < 2; i++) {
        chain_fini(&j.chain[i]);
        free(j.ckpts[i]);
    }
    return code;
}

bool bisect_parted(const bisect_report *r) {
    return r->files[0].text[0] || r->files[1].text[0] || r->recipe.text[0] || r->line != BISECT_NEVER || !r->chains ||
           r->steps[0] != r->steps[1];
}
