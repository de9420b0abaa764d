/* loam tune: a model goes on learning, from conversations, texts or preferences: all of it, or an adapter to it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/watch.h"
#include "train/rebuild.h"
#include "train/size.h"

typedef struct {
    common_values common;
    const char *base, *data, *where, *template_name, *roles, *parts, *layers, *schedule;
    double val_share, alpha, dropout, beta, epochs, lr, min_lr, beta1, beta2, eps, decay, clip;
    int64_t ctx, show_data, rank, steps, batch, micro, warmup, seed, roots_every, patience, until, ckpt_every, keep;
    bool drop_long, full, dpo, rslora, dora, last, recompute, dry_run;
} values;

/* -1 (or NULL): left open, for the recipe that is there, the data or the method to decide. */
static const values defaults = {
    .common = COMMON_DEFAULTS,
    .val_share = -1,
    .alpha = -1,
    .dropout = -1,
    .beta = -1,
    .epochs = -1,
    .lr = -1,
    .min_lr = -1,
    .beta1 = -1,
    .beta2 = -1,
    .eps = -1,
    .decay = -1,
    .clip = -1,
    .ctx = -1,
    .rank = -1,
    .steps = -1,
    .batch = -1,
    .micro = -1,
    .warmup = -1,
    .seed = -1,
    .roots_every = -1,
    .patience = -1,
    .ckpt_every = -1,
    .keep = -1,
};

#define AT(field) offsetof(values, field)
static const char *const schedules[] = {"cosine", "linear", "constant", NULL};

static const option data_options[] = {
    {"base", 0, OPT_TEXT, "M", "the model to begin with; it stays as it is", AT(base), 0, 0, NULL},
    {"data", 0, OPT_TEXT, "D", "examples: a file of JSON Lines, or a data set (loam data build)", AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "only the documents of a data set that satisfy this condition", AT(where), 0, 0,
     NULL},
    {"template", 0, OPT_TEXT, "NAME|FILE",
     "chat template instead of the base's own: chatml, gemma, llama3, plain, or a Jinja file", AT(template_name), 0, 0,
     NULL},
    {"roles", 0, OPT_TEXT, "LIST", "whose words are learned: assistant, user, system, tool; default assistant",
     AT(roles), 0, 0, NULL},
    {"ctx", 'c', OPT_INT, "N", "tokens of an example at most; default: the longest one's, at most 2048", AT(ctx), 0,
     1 << 20, NULL},
    {"drop-long", 0, OPT_FLAG, NULL, "leave longer examples out, instead of refusing them", AT(drop_long), 0, 0, NULL},
    {"val-share", 0, OPT_REAL, "P", "share of the examples held out to measure with; default 0.05", AT(val_share), 0,
     0.5, NULL},
    {"show-data", 0, OPT_INT, "N", "show the first N examples as the model will see them, and stop", AT(show_data), 0,
     1e6, NULL},
    {0},
};

static const option method_options[] = {
    {"lora", 0, OPT_INT, "RANK", "learn an adapter of this rank, the base stays in its stored form; default 16",
     AT(rank), 1, 4096, NULL},
    {"full", 0, OPT_FLAG, NULL, "change all weights, in binary32: for small models", AT(full), 0, 0, NULL},
    {"dpo", 0, OPT_FLAG, NULL, "learn preferences, from pairs of a chosen and a rejected answer", AT(dpo), 0, 0, NULL},
    {"beta", 0, OPT_REAL, "X", "with --dpo: how dearly the base is kept to; default 0.1", AT(beta), 0, 1000, NULL},
    {"alpha", 0, OPT_REAL, "X", "an adapter's strength: it counts alpha / rank; default twice the rank", AT(alpha), 0,
     1e6, NULL},
    {"rslora", 0, OPT_FLAG, NULL, "it counts alpha / root of the rank", AT(rslora), 0, 0, NULL},
    {"dora", 0, OPT_FLAG, NULL, "learn the lengths of the weights' rows apart (DoRA)", AT(dora), 0, 0, NULL},
    {"dropout", 0, OPT_REAL, "P", "share of an adapter's inputs that count as 0 while it learns; default 0",
     AT(dropout), 0, 0.9, NULL},
    {"parts", 0, OPT_TEXT, "LIST",
     "matrices that are adapted: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; default all", AT(parts),
     0, 0, NULL},
    {"layers", 0, OPT_TEXT, "LIST", "layers that are adapted, such as 0-5,8; default all", AT(layers), 0, 0, NULL},
    {0},
};

static const option course_options[] = {
    {"epochs", 0, OPT_REAL, "X", "how often every example is read; default 3", AT(epochs), 0, 1e6, NULL},
    {"steps", 'n', OPT_INT, "N", "steps of the whole run, instead", AT(steps), 1, 1e9, NULL},
    {"batch", 'b', OPT_INT, "N", "examples a step; default 16, of pairs 8", AT(batch), 1, 1 << 20, NULL},
    {"micro", 0, OPT_INT, "N",
     "times --ctx: tokens that are computed at once; default as many as make about 1024; memory grows with it",
     AT(micro), 1, 1 << 20, NULL},
    {"lr", 0, OPT_REAL, "X", "learning rate; default 2e-4 for an adapter, 2e-5 for all weights, 5e-6 for pairs", AT(lr),
     0, 10, NULL},
    {"min-lr", 0, OPT_REAL, "X", "learning rate at the end; default 0", AT(min_lr), 0, 10, NULL},
    {"warmup", 0, OPT_INT, "N", "steps in which the rate rises from 0; default 3 of 100", AT(warmup), 0, 1e9, NULL},
    {"schedule", 0, OPT_CHOICE, "NAME", "how the rate falls; default linear", AT(schedule), 0, 0, schedules},
    {"beta1", 0, OPT_REAL, "X", "decay of the first moment; default 0.9", AT(beta1), 0, 0.999999, NULL},
    {"beta2", 0, OPT_REAL, "X", "decay of the second moment; default 0.999", AT(beta2), 0, 0.9999999, NULL},
    {"eps", 0, OPT_REAL, "X", "added to the root of the second moment; default 1e-8", AT(eps), 0, 0.1, NULL},
    {"decay", 0, OPT_REAL, "X", "weight decay of matrices; default 0", AT(decay), 0, 10, NULL},
    {"clip", 0, OPT_REAL, "X", "largest norm of a gradient, 0: no limit; default 1", AT(clip), 0, 1e9, NULL},
    {"seed", 0, OPT_INT, "S", "seed of the order, of what is held out, and of an adapter; default 1", AT(seed), 0,
     9007199254740992.0, NULL},
    {"roots-every", 0, OPT_INT, "N",
     "steps after which what is held out is measured and the chain names the weights; default a tenth of all",
     AT(roots_every), 1, 1e9, NULL},
    {"patience", 0, OPT_INT, "N", "stop after so many measurements without a better one, 0: never; default 3",
     AT(patience), 0, 1e9, NULL},
    {"last", 0, OPT_FLAG, NULL, "publish the last step's weights, not those that did best on what is held out",
     AT(last), 0, 0, NULL},
    {0},
};

static const option running_options[] = {
    {"until", 0, OPT_INT, "STEP", "stop after this step; 0: the last", AT(until), 0, 1e9, NULL},
    {"ckpt-every", 0, OPT_INT, "N", "steps between checkpoints; default as --roots-every", AT(ckpt_every), 0, 1e9,
     NULL},
    {"keep", 0, OPT_INT, "N", "checkpoints to keep besides the best, 0: all; default 8, with --full 2", AT(keep), 0,
     1e6, NULL},
    {"recompute", 0, OPT_FLAG, NULL,
     "keep less and compute it again: for lack of memory, and then chosen by itself; same bits", AT(recompute), 0, 0,
     NULL},
    {"dry-run", 0, OPT_FLAG, NULL, "say what it would take, and stop before the first step", AT(dry_run), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {
    {"Data", data_options, 0},
    {"Method", method_options, 0},
    {"Course", course_options, 0},
    {"Running", running_options, 0},
    COMMON_GROUP,
    {0},
};

/* ---- the recipe ---- */

/* What the user has said, over what *r has. */
static err_code apply(const values *v, recipe *r, err *e) {
    const said_count counts[] = {
        {v->ctx, &r->model.ctx},          {v->rank, &r->tune.rank},
        {v->steps, &r->optimizer.steps},  {v->batch, &r->batch.sequences},
        {v->micro, &r->batch.micro},      {v->warmup, &r->optimizer.warmup},
        {v->seed, &r->init.seed},         {v->roots_every, &r->chain.roots_every},
        {v->patience, &r->tune.patience},
    };
    const said_real reals[] = {
        {v->val_share, &r->data.val_share}, {v->alpha, &r->tune.alpha},      {v->dropout, &r->tune.dropout},
        {v->beta, &r->tune.beta},           {v->lr, &r->optimizer.lr},       {v->min_lr, &r->optimizer.min_lr},
        {v->beta1, &r->optimizer.beta1},    {v->beta2, &r->optimizer.beta2}, {v->eps, &r->optimizer.eps},
        {v->decay, &r->optimizer.decay},    {v->clip, &r->optimizer.clip},
    };
    const struct {
        bool said, *to, value;
    } flags[] = {{v->drop_long, &r->tune.drop_long, true},
                 {v->rslora, &r->tune.rslora, true},
                 {v->dora, &r->tune.dora, true},
                 {v->last, &r->tune.best, false}};
    take_counts(counts, sizeof counts / sizeof *counts);
    take_reals(reals, sizeof reals / sizeof *reals);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].said)
            *flags[i].to = flags[i].value;
    const said_name names[] = {
        {"--full", v->full ? "full" : NULL, r->tune.method},
        {"--dpo", v->dpo ? "dpo" : NULL, r->tune.objective},
        {"--roles", v->roles, r->tune.roles},
        {"--parts", v->parts, r->tune.parts},
        {"--layers", v->layers, r->tune.layers},
        {"--schedule", v->schedule, r->optimizer.schedule},
    };
    return take_names(names, sizeof names / sizeof *names, e);
}

/* A template may write the date: it is then that of the run's beginning, for ever. */
static uint64_t date_of(str template) {
    static const char word[] = "strftime_now";
    for (size_t i = 0; i + sizeof word - 1 <= template.n; i++)
        if (memcmp(template.p + i, word, sizeof word - 1) == 0)
            return (uint64_t)time(NULL) / 86400 * 86400;
    return 0;
}

static recipe usual(const values *v, str template) {
    recipe r = {
        .arithmetic = KERN_ARITHMETIC_VERSION,
        .model = {.ctx = TUNING_OPEN},
        .data = {.val_share = 0.05},
        .batch = {TUNING_OPEN, TUNING_OPEN},
        .init = {.seed = 1},
        .optimizer = {.steps = TUNING_OPEN,
                      .schedule = "linear",
                      .lr = v->dpo    ? 5e-6
                            : v->full ? 2e-5
                                      : 2e-4,
                      .warmup = TUNING_OPEN,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .eps = 1e-8,
                      .clip = 1},
        .chain = {.roots_every = TUNING_OPEN},
        .tune = {.method = "lora",
                 .objective = "text",
                 .roles = "assistant",
                 .date = date_of(template),
                 .beta = v->dpo ? 0.1 : 0,
                 .patience = v->val_share == 0 ? 0 : 3,
                 .best = v->val_share != 0},
    };
    if (!v->full) {
        r.tune.rank = v->rank > 0 ? (uint64_t)v->rank : 16;
        r.tune.alpha = 2 * (double)r.tune.rank;
    }
    return r;
}

static err_code check_values(const values *v, err *e) {
    if (!v->base || !v->data)
        return err_set(e, ERR_USAGE, "a new run needs --base M and --data D");
    if (v->full && (v->rank > 0 || v->alpha >= 0 || v->dropout >= 0 || v->rslora || v->dora || v->parts || v->layers))
        return err_set(e, ERR_USAGE,
                       "--full changes all weights: --lora, --alpha, --dropout, --rslora, --dora, --parts "
                       "and --layers are of an adapter");
    if (v->beta >= 0 && !v->dpo)
        return err_set(e, ERR_USAGE, "--beta belongs to --dpo");
    if (v->steps > 0 && v->epochs >= 0)
        return err_set(e, ERR_USAGE, "--steps and --epochs exclude each other");
    return ERR_OK;
}

/* All weights, their gradients and two moments; an early answer, before anything large is read. */
static err_code check_memory(const recipe *r, err *e) {
    double need = 16.0 * (double)size_params(r), there = (double)os_memory_bytes();
    if (recipe_has_adapter(r) || there == 0 || need <= there)
        return ERR_OK;
    return err_set(e, ERR_LIMIT, "--full needs %s for %s weights, this machine has %s (--lora needs much less)",
                   amount_bytes(need).text, amount_count((double)size_params(r)).text, amount_bytes(there).text);
}

typedef struct {
    const values *v;
    training t;
    load_place base; /* of a new run */
    strbuf template; /* likewise */
    double peak;
    bool begun;
} show;

static err_code see(void *ctx, const examples *x, const tokenizer *t, err *e) {
    const show *s = ctx;
    strbuf text = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < x->n && i < (size_t)s->v->show_data && code == ERR_OK; i++)
        code = examples_show(x, t, x->by_reading[i], out_colours(), &text, e);
    out_text(strbuf_str(&text));
    strbuf_fini(&text);
    return code;
}

static err_code new_recipe(show *s, recipe *r, err *e) {
    const values *v = s->v;
    progress bar = {.what = "reading examples"};
    strbuf bad = {0};
    tuning_look look = {see, s};
    run_inputs in = {.data = v->data, .where = v->where, .base = s->base.path};
    TRY(check_values(v, e));
    TRY(load_find(v->base, &s->base, e));
    s->template.n = 0;
    TRY(tuning_template(s->base.path, v->template_name, &s->template, e));
    in.template = strbuf_str(&s->template);
    *r = usual(v, in.template);
    TRY(apply(v, r, e));
    run_load_options o = training_options(&s->t, &v->common, &(training_inputs){0}, &bar);
    o.bad = &bad;
    err_code code = tuning_describe(r, &in, v->epochs >= 0 ? v->epochs : 3, &o, v->show_data ? &look : NULL, e);
    progress_end(&bar);
    if (bad.n)
        out_note("the example:\n%.*s", STR_ARG(strbuf_str(&bad)));
    strbuf_fini(&bad);
    return code == ERR_OK ? check_memory(r, e) : code;
}

static err_code take_template(const values *v, const run *there, recipe *here, err *e) {
    strbuf text = {0};
    load_place base;
    if (v->base)
        TRY(load_find(v->base, &base, e));
    err_code code = tuning_template(v->base ? base.path : there->base, v->template_name, &text, e);
    here->tune.template = hash_of(text.p, text.n);
    strbuf_fini(&text);
    return code;
}

/* The folder is there: what the user says must be what it says. How often examples are read (--epochs) is in it as a
 * number of steps, which they and the share held out have made: it is not compared. */
static err_code same_recipe(const values *v, const char *path, err *e) {
    run there = {0};
    recipe here;
    strbuf what = {0};
    err_code code = run_open(&there, path, e);
    if (code == ERR_OK && !there.base)
        code = err_set(e, ERR_USAGE, "%s: is the run of a new model (loam train %s goes on)", path, path);
    here = there.recipe;
    if (code == ERR_OK)
        code = apply(v, &here, e);
    if (code == ERR_OK && v->template_name)
        code = take_template(v, &there, &here, e);
    if (code == ERR_OK)
        code = recipe_difference(&here, &there.recipe, &what, e);
    if (code == ERR_OK && what.n)
        code = err_set(e, ERR_USAGE,
                       "%s: has another recipe: %.*s (a run keeps its recipe: choose a new folder, or leave "
                       "the option out)",
                       path, STR_ARG(strbuf_str(&what)));
    strbuf_fini(&what);
    run_close(&there);
    return code;
}

/* ---- before it begins ---- */

static void print_method(const show *s, trainer_plan p) {
    const recipe *r = &s->t.run.recipe;
    bool pairs = recipe_is_pairs(r);
    char text[160];
    snprintf(text, sizeof text, "adapter of rank %" PRIu64 ", alpha %g%s%s", r->tune.rank, r->tune.alpha,
             r->tune.rslora ? ", rsLoRA" : "", r->tune.dora ? ", DoRA" : "");
    out_printf("base        %s: %s, %" PRIu64 " layers, width %" PRIu64 ", %s weights\n", s->t.run.base, r->model.arch,
               r->model.layers, r->model.width, amount_count((double)size_params(r)).text);
    out_printf("method      %s%s: %s weights learn\n", recipe_has_adapter(r) ? text : "all weights",
               pairs ? ", preferences (DPO)" : "", amount_count((double)p.n_params).text);
}

static void print_data(const show *s) {
    const examples *x = tuning_examples(&s->t.run);
    const objective_split *split = tuning_split(&s->t.run);
    out_printf("data        %zu examples (", split->n_train + split->n_held_out);
    for (int i = 0, n = 0; i < RECORD_FORMS_N; i++)
        if (x->file[0].n_form[i])
            out_printf("%s%zu %s", n++ ? ", " : "", x->file[0].n_form[i], record_form_names[i]);
    out_printf("), %s tokens, %s of them learned, the longest has %u; %zu held out\n",
               amount_count((double)x->n_ids).text, amount_count((double)x->n_learned).text, x->longest,
               split->n_held_out);
    if (x->n_long)
        out_printf("left out    %zu examples of more than %" PRIu64 " tokens\n", x->n_long, s->t.run.recipe.model.ctx);
}

/* Of this machine's limit, as measured: doc/tune.md. */
static const double SHARE = 0.6;

/* Steps, and what is held out whenever it is measured; of pairs also what they are compared with. */
static double seconds_of(const show *s, double read, double length) {
    const run *r = &s->t.run;
    const objective_split *split = tuning_split(r);
    bool pairs = recipe_is_pairs(&r->recipe);
    const examples *x = tuning_examples(r);
    double learned = (double)x->n_learned / (double)x->n_ids, all;
    all = trainer_flops(r->trainer, read, learned * read, length, true);
    read = pairs ? read + (double)x->n_ids : 0; /* forward alone */
    double looks = (double)(r->recipe.optimizer.steps / r->recipe.chain.roots_every + 1);
    double held_out = (double)split->n_held_out / (double)(split->n_train + split->n_held_out);
    read += looks * held_out * (double)x->n_ids;
    all += trainer_flops(r->trainer, read, learned * read, length, false);
    return all / (SHARE * s->peak);
}

static void print_plan(const show *s) {
    const run *r = &s->t.run;
    const recipe *c = &r->recipe;
    const examples *x = tuning_examples(r);
    const objective_split *split = tuning_split(r);
    trainer_plan p = trainer_plan_of(r->trainer);
    double read = (double)c->optimizer.steps * (double)c->batch.sequences, each = (double)x->n_ids / (double)x->n;
    double length = recipe_is_pairs(c) ? each / 2 : each;
    print_method(s, p);
    print_data(s);
    out_printf("course      %" PRIu64 " steps of %" PRIu64 " examples: %.1f epochs, about %s tokens\n",
               c->optimizer.steps, c->batch.sequences, read / (double)split->n_train, amount_count(read * each).text);
    out_printf("memory      %s: ", amount_bytes((double)p.total).text);
    if (p.base)
        out_printf("base %s, ", amount_bytes((double)p.base).text);
    out_printf("%s %s, gradients%s %s, moments %s, examples %s\n", p.base ? "adapter" : "weights",
               amount_bytes((double)p.weights).text, p.recompute ? " (recomputing)" : "",
               amount_bytes((double)p.gradients).text, amount_bytes((double)p.moments).text,
               amount_bytes((double)p.tokens).text);
    out_printf("time        about %s, were it %.0f %% of this machine's %.0f GFLOP/s\n",
               amount_time(seconds_of(s, read * each, length)).text, 100 * SHARE, s->peak / 1e9);
    out_flush();
}

/* ---- the command ---- */

static err_code tune(show *s, err *e) {
    const values *v = s->v;
    s->peak = training_peak(&s->t);
    if (!v->common.json)
        print_plan(s);
    if (v->dry_run)
        return ERR_OK;
    loop_options o = {
        .until = (uint64_t)v->until,
        .every = v->ckpt_every > 0 ? (uint64_t)v->ckpt_every : 0,
        .keep = v->keep >= 0                           ? (size_t)v->keep
                : recipe_has_adapter(&s->t.run.recipe) ? 8
                                                       : 2,
    };
    s->begun = true;
    watch w = {.t = &s->t, .command = "tune", .json = v->common.json, .peak = s->peak};
    return watch_run(&w, &o, e);
}

static err_code begin(show *s, const char *path, err *e) {
    const values *v = s->v;
    recipe r;
    TRY(new_recipe(s, &r, e));
    if (v->show_data)
        return ERR_OK;
    run_inputs in = {.data = v->data, .where = v->where, .base = s->base.path, .template = strbuf_str(&s->template)};
    return run_create(path, &r, &in, e);
}

static err_code run_in(show *s, const char *path, err *e) {
    const values *v = s->v;
    bool is_new = !run_is(path);
    load_place base;
    TRY(pool_open(&s->t.pool, (int)v->common.threads, e));
    TRY(is_new ? begin(s, path, e) : same_recipe(v, path, e));
    if (is_new && v->show_data)
        return ERR_OK;
    if (v->base)
        TRY(load_find(v->base, &base, e));
    training_inputs in = {
        .data = v->data, .where = v->where, .base = v->base ? base.path : NULL, .recompute = v->recompute};
    err_code code = training_open(&s->t, path, &v->common, &in, e);
    if (code == ERR_OK && v->show_data)
        return see(s, tuning_examples(&s->t.run), tuning_words(&s->t.run), e);
    if (code == ERR_OK)
        code = tune(s, e);
    /* A folder that was made a moment ago and cannot be worked with, or only to plan, is no run. */
    if (is_new && !s->begun)
        rebuild_sweep(path, NULL);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    show s = {.v = p};
    err_code code = run_in(&s, args->arg[0], e);
    strbuf_fini(&s.template);
    training_close(&s.t);
    return code;
}

const command command_tune = {
    .name = "tune",
    .args = "RUN",
    .summary = "a model goes on learning: an adapter to it, or all of it",
    .details =
        "RUN is a folder: a new one with --base and --data, or one to continue. Examples are conversations "
        "({\"messages\": [...]}), prompts with completions, instructions (Alpaca), plain texts, and with --dpo pairs "
        "of "
        "a chosen and a rejected answer; doc/tune.md has all forms. The base stays as it is, in its stored form; what "
        "comes out is an adapter, RUN/adapter.gguf and RUN/adapter, or with --full a model, RUN/model.gguf.\n\n"
        "A tuning run is a run: the same recipe, examples and base give the same bits on every machine, it continues "
        "after any interruption, and loam verify executes it again.\n\n"
        "  loam tune mine --base M --data talks.jsonl --show-data 2\n"
        "  loam tune mine --base M --data talks.jsonl --dry-run\n"
        "  loam tune mine --base M --data talks.jsonl\n"
        "  loam run M --lora mine/adapter.gguf -p \"...\"\n"
        "  loam verify mine --spot 2",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
