/* loam rebuild: a run without some of its documents, bit for bit as if they had never been there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/training.h"
#include "store/runlog.h"
#include "train/loop.h"
#include "train/rebuild.h"

enum { TOKENIZER_LOOK_BYTES = 50000000, EVAL_BYTES = 200000 };

typedef struct {
    common_values common;
    const char *without, *data, *where;
    int64_t keep;
    bool tokenizer, prove, dry_run, recompute;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .keep = 8};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"without", 'w', OPT_TEXT, "QUERY",
     "the documents to take out: ids, names or SHA-256 with commas between; topic:NAME, licence:NAME, kind:NAME, "
     "source:NAME, fact:NAME; or an SQL condition as in loam data list --where",
     AT(without), 0, 0, NULL},
    {"tokenizer", 0, OPT_FLAG, NULL, "learn the tokenizer again, too, without them; then every step is replayed",
     AT(tokenizer), 0, 0, NULL},
    {"prove", 0, OPT_FLAG, NULL,
     "also train from scratch without them, and compare all bytes; exit status 3 if one differs", AT(prove), 0, 0,
     NULL},
    {"dry-run", 0, OPT_FLAG, NULL, "say what it would take, and write nothing", AT(dry_run), 0, 0, NULL},
    {"keep", 0, OPT_INT, "N", "checkpoints to keep, evenly spread; 0: all", AT(keep), 0, 1e6, NULL},
    {"data", 0, OPT_TEXT, "D", "the data set, when it is not where the run was made", AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "the condition that picks its documents, when it is another", AT(where), 0, 0, NULL},
    {"recompute", 0, OPT_FLAG, NULL, "less memory, same bits", AT(recompute), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Rebuilding", own_options, 0}, COMMON_GROUP, {0}};

typedef struct {
    const values *v;
    run from;
    pool *pool;
    picked picked;
    rebuild_plan plan;
    relearnt learnt;
    bool looked;         /* at the tokenizer */
    double step_seconds; /* of the run as its log has it; 0: not known */
    runlog_rows log;     /* of the run */
    run_path out, stage, scratch;
    /* While steps are executed: */
    training t;
    runlog *runlog;
    progress bar;
    uint64_t first, last, executed;
    double seconds;
} job;

/* ---- the plan ---- */

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

static void print_tokenizer(const job *j) {
    const relearnt *x = &j->learnt;
    if (!j->looked)
        out_printf(j->from.base
                       ? "tokenizer   stays, for it is the base's\n"
                       : "tokenizer   stays; whether it was learnt from them was not looked into (--tokenizer does)\n");
    else if (!x->known)
        out_printf(
            "tokenizer   stays; it was not learnt from this run's documents alone, so what it owes to them is not "
            "known\n");
    else if (x->same)
        out_printf("tokenizer   learnt from all documents; without these it comes out the same\n");
    else
        out_printf(
            "tokenizer   learnt from all documents; %zu of its %zu pieces would not be there without these: %s\n",
            x->lost, x->pieces, j->v->tokenizer ? "learnt again" : "stays (--tokenizer learns it again)");
}

static void print_plan(const job *j) {
    const rebuild_plan *p = &j->plan;
    uint64_t replay = p->steps - p->record.kept;
    out_printf("documents   %zu of %zu taken out (%zu of them held out)", p->n_removed, j->from.docs.n, p->n_held_out);
    if (p->n_copies_left)
        out_printf("; %zu cop%s of their texts stay%s", p->n_copies_left, p->n_copies_left == 1 ? "y" : "ies",
                   p->n_copies_left == 1 ? "s" : "");
    out_text(STR("\n"));
    if (p->record.first)
        out_printf("first use   step %" PRIu64 " of %" PRIu64 "\n", p->record.first, p->steps);
    else
        out_printf("first use   none in %" PRIu64 " step%s\n", p->steps, plural(p->steps));
    print_tokenizer(j);
    out_printf("replay      %" PRIu64 " step%s behind %s%.0" PRIu64, replay, plural(replay),
               p->record.kept ? "the checkpoint of step " : "the beginning", p->record.kept);
    if (j->step_seconds > 0)
        out_printf(", about %s (from scratch: %s)", amount_time(j->step_seconds * (double)replay).text,
                   amount_time(j->step_seconds * (double)p->steps).text);
    out_text(STR("\n"));
    out_flush();
}

static void js_number(js_out *o, const char *key, uint64_t x) { js_put_int(o, key, (int64_t)x); }

static void js_plan(const job *j, js_out *o) {
    const rebuild_plan *p = &j->plan;
    js_number(o, "removed", p->n_removed);
    js_number(o, "held_out", p->n_held_out);
    js_number(o, "copies_left", p->n_copies_left);
    js_number(o, "documents", p->recipe.data.documents);
    js_number(o, "first_use", p->record.first);
    js_number(o, "steps", p->steps);
    js_number(o, "kept", p->record.kept);
    js_number(o, "replay", p->steps - p->record.kept);
    js_key(o, "seconds_expected");
    js_real(o, j->step_seconds * (double)(p->steps - p->record.kept), 6);
    js_key(o, "seconds_from_scratch");
    js_real(o, j->step_seconds * (double)p->steps, 6);
    js_key(o, "tokenizer");
    js_text(o, !j->looked || !j->learnt.known ? STR("unknown")
               : j->learnt.same               ? STR("same")
               : j->v->tokenizer              ? STR("learnt again")
                                              : STR("stays"));
    js_number(o, "pieces_lost", j->learnt.lost);
    js_put_hash(o, "data", p->recipe.data.digest);
    js_put_hash(o, "recipe", p->record.to.recipe);
}

static err_code read_log(job *j, err *e) {
    run_path path;
    TRY(run_file(&j->from, "log.db", &path, e));
    if (!os_exists(path.text) || runlog_read(&j->log, path.text, NULL) != ERR_OK)
        return ERR_OK; /* only a measurement */
    double sum = 0;
    for (size_t i = 0; i < j->log.n_steps; i++)
        sum += j->log.step[i].seconds;
    j->step_seconds = j->log.n_steps ? sum / (double)j->log.n_steps : 0;
    return ERR_OK;
}

/* Of tuning documents can be taken out when they are in a data set, and all of them are examples. */
static err_code check_tuning(const job *j, err *e) {
    const run *r = &j->from;
    if (!r->base)
        return ERR_OK;
    if (j->v->tokenizer)
        return err_set(e, ERR_USAGE, "--tokenizer: %s has the tokenizer of its base", r->path);
    if (r->recipe.tune.drop_long)
        return err_set(e, ERR_UNSUPPORTED, "%s: leaves long examples out (--drop-long), which rebuild cannot yet",
                       r->path);
    dataset *d = NULL;
    err_code code = dataset_open(&d, j->v->data ? j->v->data : r->data, e);
    dataset_close(d);
    return code == ERR_OK
               ? code
               : err_in(e, code, "%s: examples are taken out of a data set (loam data build makes one of lines)",
                        r->path);
}

static err_code make_plan(job *j, const char *path, err *e) {
    const values *v = j->v;
    TRY(run_open(&j->from, path, e));
    TRY(pool_open(&j->pool, (int)v->common.threads, e));
    TRY(check_tuning(j, e));
    TRY(run_load_docs(&j->from, v->data, v->where, e));
    err_code code = pick_docs(&j->picked, &j->from.docs, v->without, &interrupt_flag, e);
    if (code != ERR_OK)
        return err_in(e, code, "--without");
    TRY(rebuild_plan_make(&j->plan, &j->from, &j->picked, v->without, j->pool, e));
    j->looked = v->tokenizer || (!j->from.base && j->from.docs.bytes <= TOKENIZER_LOOK_BYTES);
    if (j->looked)
        TRY(relearn(&j->learnt, &j->from, &j->picked, j->pool, &interrupt_flag, e));
    if (v->tokenizer)
        TRY(rebuild_plan_tokenizer(&j->plan, &j->from, &j->learnt, e));
    return read_log(j, e);
}

/* ---- steps ---- */

/* What the run's own log says of the steps that were taken over. */
static err_code carry_log(job *j, uint64_t step, err *e) {
    for (size_t i = 0; i < j->log.n_steps && j->log.step[i].step <= step; i++)
        TRY(runlog_add_step(j->runlog, &j->log.step[i], e));
    /* What was held out is another set when some of it is gone. */
    for (size_t i = 0; i < j->log.n_evals && j->log.eval[i].step <= step && j->plan.n_held_out == 0; i++)
        TRY(runlog_add_eval(j->runlog, &j->log.eval[i], e));
    return ERR_OK;
}

static err_code on_event(void *ctx, const loop_event *v, err *e) {
    job *j = ctx;
    run_path path;
    if (v->kind == LOOP_BEGIN) {
        bool is_new;
        j->first = v->step;
        TRY(run_file(&j->t.run, "log.db", &path, e));
        is_new = !os_exists(path.text);
        TRY(runlog_open(&j->runlog, path.text, v->step, e));
        return is_new && v->step ? carry_log(j, v->step, e) : ERR_OK;
    }
    if (v->kind == LOOP_EVAL)
        return runlog_add_eval(j->runlog, &(runlog_eval){v->step, v->bytes, v->bits}, e);
    if (v->kind != LOOP_STEP)
        return ERR_OK;
    j->seconds += v->seconds;
    progress_step(&j->bar, v->step - j->first, j->last - j->first);
    runlog_step row = {.step = v->step,
                       .tokens = recipe_step_tokens(&j->t.run.recipe),
                       .at = (double)time(NULL),
                       .seconds = v->seconds,
                       .loss = v->line->loss,
                       .norm = v->line->norm,
                       .lr = v->lr,
                       .flops = v->flops};
    return runlog_add_step(j->runlog, &row, e);
}

static err_code close_log(job *j, err_code code, err *e) {
    if (!j->runlog)
        return code;
    uint64_t step = trainer_step_done(j->t.run.trainer);
    j->executed += step - j->first;
    runlog_session row = {
        j->first, step, j->seconds, -1, pool_threads(j->t.pool), model_isa(trainer_model(j->t.run.trainer))};
    err_code logged = runlog_add_session(j->runlog, &row, code == ERR_OK ? e : NULL);
    err_code closed = runlog_close(j->runlog, code == ERR_OK && logged == ERR_OK ? e : NULL);
    j->runlog = NULL;
    return code != ERR_OK ? code : logged != ERR_OK ? logged : closed;
}

/* From where the folder stands to the step at which the run stands. */
static err_code execute(job *j, const char *what, err *e) {
    const recipe *r = &j->t.run.recipe;
    loop_options o = {.until = j->plan.steps,
                      .keep = (size_t)j->v->keep,
                      .eval_every = j->log.n_evals ? r->chain.roots_every : 0,
                      .eval_bytes = EVAL_BYTES,
                      .cancel = &interrupt_flag,
                      .on = on_event,
                      .ctx = j};
    j->bar = (progress){.what = what, .unit = "steps"};
    j->last = j->plan.steps;
    j->seconds = 0;
    err_code code = loop_run(&j->t.run, &o, e);
    progress_end(&j->bar);
    return close_log(j, code, e);
}

static err_code load(job *j, const char *path, err *e) {
    training_close(&j->t);
    training_inputs in = {.data = j->v->data, .where = j->v->where, .recompute = j->v->recompute};
    return training_open(&j->t, path, &j->v->common, &in, e);
}

/* ---- OUT ---- */

/* OUT.new, taken over what is kept, becomes OUT. */
static err_code begin(job *j, err *e) {
    str json = j->v->tokenizer && !j->learnt.same ? strbuf_str(&j->learnt.json) : (str){NULL, 0};
    err_code code = rebuild_stage(&j->plan, &j->from, j->stage.text, json, e);
    if (code == ERR_OK)
        code = load(j, j->stage.text, e);
    if (code == ERR_OK)
        code = rebuild_carry(&j->plan, &j->from, &j->t.run, j->out.text, e);
    if (code != ERR_OK)
        rebuild_sweep(j->stage.text, NULL);
    return code;
}

static err_code go_on(job *j, err *e) {
    TRY(load(j, j->out.text, e));
    TRY(rebuild_is_same(&j->plan, &j->t.run, e));
    if (!j->v->common.json)
        out_note("%s: continuing", j->out.text);
    return ERR_OK;
}

static err_code rebuild(job *j, err *e) {
    TRY(run_is(j->out.text) ? go_on(j, e) : begin(j, e));
    err_code code = execute(j, "rebuilding", e);
    if (code == ERR_CANCELLED)
        out_note("%s; the same command continues", e->text);
    return code;
}

/* ---- the proof ---- */

static err_code prove(job *j, double *seconds, err *e) {
    run out = {0};
    run_path folder = j->scratch;
    *strrchr(folder.text, '/') = 0;
    TRY(run_open(&out, j->out.text, e));
    err_code code = ERR_OK;
    if (!run_is(j->scratch.text)) {
        if (mkdir(folder.text, 0777) != 0 && !os_is_dir(folder.text))
            code = err_set(e, ERR_IO, "%s: cannot be created", folder.text);
        if (code == ERR_OK)
            code = rebuild_sweep(j->scratch.text, e);
        if (code == ERR_OK)
            code = rebuild_scratch(&out, j->scratch.text, e);
    }
    if (code == ERR_OK)
        code = load(j, j->scratch.text, e);
    if (code == ERR_OK)
        code = execute(j, "from scratch", e);
    *seconds = j->seconds;
    if (code == ERR_OK)
        code = rebuild_compare(&out, &j->t.run, e);
    if (code == ERR_OK)
        code = rebuild_sweep(j->scratch.text, e);
    if (code == ERR_OK)
        rmdir(folder.text);
    run_close(&out);
    return code;
}

/* ---- the command ---- */

static err_code print_end(const job *j, double took, double scratch, err *e) {
    chain c;
    run_path path;
    char root[65], digest[65];
    run out = {.path = (char *)(uintptr_t)j->out.text};
    TRY(run_file(&out, "chain.jsonl", &path, e));
    TRY(chain_read(&c, path.text, e));
    const chain_line last = c.line[c.n - 1];
    chain_fini(&c);
    hash_hex(last.weights, root);
    hash_hex(last.digest, digest);
    if (j->v->common.json) {
        js_out o = {.e = e};
        js_begin(&o, '{');
        js_plan(j, &o);
        js_number(&o, "executed", j->executed);
        js_key(&o, "seconds");
        js_real(&o, took, 6);
        js_key(&o, "proved");
        js_flag(&o, j->v->prove);
        js_key(&o, "seconds_scratch");
        js_real(&o, scratch, 6);
        js_key(&o, "weights");
        js_text(&o, str_from(last.has_roots ? root : ""));
        js_key(&o, "chain");
        js_text(&o, str_from(digest));
        js_end(&o, '}');
        return js_print(&o);
    }
    out_printf("rebuilt     %" PRIu64 " step%s in %s\n", j->plan.steps - j->plan.record.kept,
               plural(j->plan.steps - j->plan.record.kept), amount_time(took).text);
    if (j->v->prove)
        out_printf("proved      trained from scratch in %s: chain, checkpoint%s equal in every byte\n",
                   amount_time(scratch).text, last.step == j->plan.recipe.optimizer.steps ? " and model" : "");
    if (last.has_roots)
        out_printf("weights     %s\n", root);
    out_printf("chain       %s\n", digest);
    return ERR_OK;
}

/* OUT without slashes at its end, and the names beside it. */
static err_code name_folders(job *j, const char *out, err *e) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    if (n == 0 || n + 300 > OS_PATH_BYTES)
        return err_set(e, ERR_USAGE, "OUT must be a path of 1 to %d bytes", OS_PATH_BYTES - 300);
    const char *name = out + n;
    while (name > out && name[-1] != '/')
        name--;
    snprintf(j->out.text, sizeof j->out.text, "%.*s", (int)n, out);
    snprintf(j->stage.text, sizeof j->stage.text, "%.*s.new", (int)n, out);
    int len = snprintf(j->scratch.text, sizeof j->scratch.text, "%.*s.scratch/%.*s", (int)n, out, (int)(out + n - name),
                       name);
    return len > 0 && (size_t)len < sizeof j->scratch.text
               ? ERR_OK
               : err_set(e, ERR_USAGE, "%.60s...: the path is too long", out);
}

static err_code all(job *j, err *e) {
    double took = 0, scratch = 0, begun;
    if (!j->v->common.json)
        print_plan(j);
    if (j->v->dry_run) {
        if (!j->v->common.json)
            return ERR_OK;
        js_out o = {.e = e};
        js_begin(&o, '{');
        js_plan(j, &o);
        js_end(&o, '}');
        return js_print(&o);
    }
    begun = os_now();
    TRY(rebuild(j, e));
    took = os_now() - begun;
    if (j->v->prove) {
        TRY(prove(j, &scratch, e));
    }
    return print_end(j, took, scratch, e);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    static job j; /* large; one command a process */
    j = (job){.v = v};
    if (!v->without)
        return err_set(e, ERR_USAGE, "--without QUERY is missing: which documents are to be taken out?");
    TRY(name_folders(&j, args->arg[1], e));
    interrupt_catch();
    err_code code = make_plan(&j, args->arg[0], e);
    if (code == ERR_OK)
        code = all(&j, e);
    training_close(&j.t);
    runlog_rows_fini(&j.log);
    relearn_fini(&j.learnt);
    rebuild_plan_fini(&j.plan);
    pick_fini(&j.picked);
    run_close(&j.from);
    pool_close(j.pool);
    return code;
}

const command command_rebuild = {
    .name = "rebuild",
    .args = "RUN OUT",
    .summary = "a run without some of its documents, bit for bit as from scratch",
    .details =
        "Makes the run OUT: RUN's recipe with the documents of QUERY taken out of its data. Says first what that "
        "takes. "
        "Steps before the first that read one of these documents are taken over with the last checkpoint among them; "
        "the "
        "others are replayed. Chain, weights and model.gguf come out byte for byte as training from scratch without "
        "the "
        "documents gives them; --prove does that, too, and compares. removals.jsonl in OUT records what was taken out, "
        "by SHA-256, and from which run; loam verify OUT checks it. A rebuild that was stopped, or killed, continues "
        "with the same command. RUN is not changed, and its data neither (loam data drop takes documents out of "
        "that).\n\n"
        "  loam rebuild first second --without topic:maker --dry-run\n"
        "  loam rebuild first second --without 17,42 --prove\n"
        "  loam rebuild first second --without \"text LIKE '%Jane Doe%'\" --tokenizer",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
