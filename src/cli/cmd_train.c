/* loam train: makes a run folder from options, and takes a run to its end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "cli/watch.h"
#include "gen/session.h"
#include "train/size.h"

typedef struct {
    common_values common;
    const char *data, *where, *tokenizer, *special, *answers, *arch, *size, *schedule, *prompt;
    double val_share, theta, lr, min_lr, beta1, beta2, eps, decay, clip, init_embed, init_gain, elsewhere;
    int64_t layers, width, heads, kv_heads, head_width, ff, ctx, window, steps, batch, micro, warmup, cooldown, seed;
    int64_t roots_every, until, ckpt_every, keep, eval_every, eval_bytes, sample_every, sample_tokens;
    bool untied, recompute, dry_run;
} values;

/* -1 (or NULL): left open, for the recipe that is there or the dial --size to decide. */
static const values defaults = {
    .common = COMMON_DEFAULTS,
    .val_share = -1,
    .elsewhere = -1,
    .theta = -1,
    .lr = -1,
    .min_lr = -1,
    .beta1 = -1,
    .beta2 = -1,
    .eps = -1,
    .decay = -1,
    .clip = -1,
    .init_embed = -1,
    .init_gain = -1,
    .layers = -1,
    .width = -1,
    .heads = -1,
    .kv_heads = -1,
    .head_width = -1,
    .ff = -1,
    .ctx = -1,
    .window = -1,
    .steps = -1,
    .batch = -1,
    .micro = -1,
    .warmup = -1,
    .cooldown = -1,
    .seed = -1,
    .roots_every = -1,
    .ckpt_every = -1,
    .keep = 8,
    .eval_every = -1,
    .eval_bytes = 200000,
    .sample_tokens = 60,
};

#define AT(field) offsetof(values, field)
#define BIG 9007199254740992.0

#define ELSEWHERE_DEFAULT 0.1

static const char *const specials[] = {"text", "parse", NULL};
static const char *const schedules[] = {"cosine", "linear", "constant", "wsd", NULL};

static const option data_options[] = {
    {"data", 0, OPT_TEXT, "D",
     "data set to learn from (loam data build), or homeworld:docs=N,seed=S,mix=tiny: the built-in corpus, not stored",
     AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "only its documents that satisfy this condition", AT(where), 0, 0, NULL},
    {"tokenizer", 0, OPT_TEXT, "T", "tokenizer.json, or a folder with one (loam tokenizer train)", AT(tokenizer), 0, 0,
     NULL},
    {"special", 0, OPT_CHOICE, "HOW",
     "text that spells a control token (<|im_start|>): it stays text, or means the token (parse: for trusted documents "
     "written in a chat template); default text",
     AT(special), 0, 0, specials},
    {"answers", 0, OPT_TEXT, "MARKS",
     "what an answer begins with at the start of a line, commas between (A:,Plan:): learn above all what stands behind",
     AT(answers), 0, 0, NULL},
    {"elsewhere", 0, OPT_REAL, "W", "with --answers: the weight of all other text; default 0.1", AT(elsewhere), 0, 1,
     NULL},
    {"val-share", 0, OPT_REAL, "P", "share of the documents held out to measure with; default 0.01", AT(val_share), 0,
     0.5, NULL},
    {0},
};

static const option shape_options[] = {
    {"size", 's', OPT_TEXT, "SIZE",
     "tiny, small, medium, large or a number of parameters (600k, 5M): chooses all below that is not given; "
     "default tiny",
     AT(size), 0, 0, NULL},
    {"arch", 0, OPT_TEXT, "NAME", "family: llama, qwen2, qwen3, gemma2, gemma3_text, olmo2, ...; default qwen3",
     AT(arch), 0, 0, NULL},
    {"layers", 0, OPT_INT, "N", "transformer blocks", AT(layers), 0, CONFIG_LAYERS_MAX, NULL},
    {"width", 0, OPT_INT, "N", "width of the model", AT(width), 0, CONFIG_WIDTH_MAX, NULL},
    {"heads", 0, OPT_INT, "N", "attention heads", AT(heads), 0, CONFIG_HEADS_MAX, NULL},
    {"kv-heads", 0, OPT_INT, "N", "heads for keys and values", AT(kv_heads), 0, CONFIG_HEADS_MAX, NULL},
    {"head-width", 0, OPT_INT, "N", "width of a head", AT(head_width), 0, CONFIG_HEAD_WIDTH_MAX, NULL},
    {"ff", 0, OPT_INT, "N", "width of the feed-forward part", AT(ff), 0, CONFIG_WIDTH_MAX, NULL},
    {"ctx", 'c', OPT_INT, "N", "tokens that the model sees at once; default 256", AT(ctx), 0, 1 << 20, NULL},
    {"window", 0, OPT_INT, "N", "sliding window, in families that have one; default none", AT(window), 0, 1 << 20,
     NULL},
    {"theta", 0, OPT_REAL, "X", "base of the rotary embedding; default 10000", AT(theta), 0, 1e12, NULL},
    {"untied", 0, OPT_FLAG, NULL, "an output matrix of its own instead of the embedding", AT(untied), 0, 0, NULL},
    {0},
};

static const option course_options[] = {
    {"steps", 'n', OPT_INT, "N", "steps of the whole run", AT(steps), 0, 1e9, NULL},
    {"batch", 'b', OPT_INT, "N", "sequences of --ctx tokens a step", AT(batch), 0, 1 << 20, NULL},
    {"micro", 0, OPT_INT, "N", "of them at once; gradients are added up", AT(micro), 0, 1 << 20, NULL},
    {"lr", 0, OPT_REAL, "X", "learning rate", AT(lr), 0, 10, NULL},
    {"min-lr", 0, OPT_REAL, "X", "learning rate at the end; default a tenth", AT(min_lr), 0, 10, NULL},
    {"warmup", 0, OPT_INT, "N", "steps in which the rate rises from 0", AT(warmup), 0, 1e9, NULL},
    {"schedule", 0, OPT_CHOICE, "NAME", "how the rate falls; default cosine", AT(schedule), 0, 0, schedules},
    {"cooldown", 0, OPT_INT, "N", "last steps in which wsd falls", AT(cooldown), 0, 1e9, NULL},
    {"beta1", 0, OPT_REAL, "X", "decay of the first moment; default 0.9", AT(beta1), 0, 0.999999, NULL},
    {"beta2", 0, OPT_REAL, "X", "decay of the second moment; default 0.95", AT(beta2), 0, 0.9999999, NULL},
    {"eps", 0, OPT_REAL, "X", "added to the root of the second moment; default 1e-8", AT(eps), 0, 0.1, NULL},
    {"decay", 0, OPT_REAL, "X", "weight decay of matrices; default 0.1", AT(decay), 0, 10, NULL},
    {"clip", 0, OPT_REAL, "X", "largest norm of a gradient, 0: no limit; default 1", AT(clip), 0, 1e9, NULL},
    {"seed", 0, OPT_INT, "S", "seed of weights and order; default 1", AT(seed), 0, BIG, NULL},
    {"init-embed", 0, OPT_REAL, "X", "standard deviation of the first embedding; default 0.02", AT(init_embed), 0, 10,
     NULL},
    {"init-gain", 0, OPT_REAL, "X", "that of matrices, times the root of their columns; default 0.5", AT(init_gain), 0,
     10, NULL},
    {"roots-every", 0, OPT_INT, "N", "steps after which the chain names the weights; default a 20th of all",
     AT(roots_every), 0, 1e9, NULL},
    {0},
};

static const option running_options[] = {
    {"until", 0, OPT_INT, "STEP", "stop after this step; 0: the last", AT(until), 0, 1e9, NULL},
    {"ckpt-every", 0, OPT_INT, "N", "steps between checkpoints; default as --roots-every", AT(ckpt_every), 0, 1e9,
     NULL},
    {"keep", 0, OPT_INT, "N", "checkpoints to keep, evenly spread; 0: all", AT(keep), 0, 1e6, NULL},
    {"eval-every", 0, OPT_INT, "N", "steps between losses on what is held out, 0: never; default as --roots-every",
     AT(eval_every), 0, 1e9, NULL},
    {"eval-bytes", 0, OPT_INT, "N", "bytes of held-out text to measure with", AT(eval_bytes), 1, 1e12, NULL},
    {"sample-every", 0, OPT_INT, "N", "steps between samples of what the model writes; 0: never", AT(sample_every), 0,
     1e9, NULL},
    {"prompt", 'p', OPT_TEXT, "TEXT", "what a sample begins with; default: nothing", AT(prompt), 0, 0, NULL},
    {"sample-tokens", 0, OPT_INT, "N", "tokens of a sample", AT(sample_tokens), 1, 100000, NULL},
    {"recompute", 0, OPT_FLAG, NULL,
     "keep less and compute it again: for lack of memory, and then chosen by itself; same bits", AT(recompute), 0, 0,
     NULL},
    {"dry-run", 0, OPT_FLAG, NULL, "say what it would take, and stop before the first step", AT(dry_run), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {
    {"Data", data_options, 0},
    {"Shape", shape_options, 0},
    {"Course", course_options, 0},
    {"Running", running_options, 0},
    COMMON_GROUP,
    {0},
};

/* ---- the recipe ---- */

/* What the user has said, over what *r has. */
static err_code apply(const values *v, recipe *r, err *e) {
    const said_count counts[] = {
        {v->layers, &r->model.layers},
        {v->heads, &r->model.heads},
        {v->kv_heads, &r->model.kv_heads},
        {v->head_width, &r->model.head_width},
        {v->ff, &r->model.ff},
        {v->ctx, &r->model.ctx},
        {v->window, &r->model.window},
        {v->steps, &r->optimizer.steps},
        {v->batch, &r->batch.sequences},
        {v->micro, &r->batch.micro},
        {v->warmup, &r->optimizer.warmup},
        {v->cooldown, &r->optimizer.cooldown},
        {v->seed, &r->init.seed},
        {v->roots_every, &r->chain.roots_every},
        {v->width, &r->model.width},
    };
    const said_real reals[] = {
        {v->val_share, &r->data.val_share}, {v->theta, &r->model.rope_theta}, {v->lr, &r->optimizer.lr},
        {v->min_lr, &r->optimizer.min_lr},  {v->beta1, &r->optimizer.beta1},  {v->beta2, &r->optimizer.beta2},
        {v->eps, &r->optimizer.eps},        {v->decay, &r->optimizer.decay},  {v->clip, &r->optimizer.clip},
        {v->init_embed, &r->init.embed},    {v->init_gain, &r->init.gain},    {v->elsewhere, &r->data.elsewhere},
    };
    take_counts(counts, sizeof counts / sizeof *counts);
    take_reals(reals, sizeof reals / sizeof *reals);
    if (v->untied)
        r->model.tied = false;
    if (v->answers && *v->answers && v->elsewhere < 0)
        r->data.elsewhere = ELSEWHERE_DEFAULT;
    if (v->special)
        r->tokenizer.parse_special = strcmp(v->special, "parse") == 0;
    const said_name names[] = {
        {"--answers", v->answers, r->data.answers},
        {"--arch", v->arch, r->model.arch},
        {"--schedule", v->schedule, r->optimizer.schedule},
    };
    TRY(take_names(names, sizeof names / sizeof *names, e));
    if (!arch_by_name(str_from(r->model.arch)))
        return err_set(e, ERR_USAGE, "--arch %s: is not known (there are: %s)", r->model.arch, arch_names());
    return ERR_OK;
}

/* A shape by the dial, and what the user has said of it: heads by the width, and so on. */
static err_code shape(const values *v, recipe *r, err *e) {
    uint64_t params;
    TRY(size_parse(v->size ? v->size : "tiny", &params, e));
    size_shape(r, params);
    if (v->width > 0)
        size_width(r, (uint64_t)v->width);
    if (v->head_width > 0 && v->heads < 0)
        r->model.heads = r->model.width / (uint64_t)v->head_width;
    if (v->heads > 0 && v->head_width < 0)
        r->model.head_width = r->model.width / (uint64_t)v->heads;
    if (v->heads > 0 || v->head_width > 0) {
        uint64_t heads = v->heads > 0 ? (uint64_t)v->heads : r->model.heads;
        r->model.kv_heads = heads % 2 ? heads : heads / 2;
    }
    return apply(v, r, e);
}

static err_code new_recipe(const values *v, recipe *r, err *e) {
    *r = (recipe){
        .arithmetic = KERN_ARITHMETIC_VERSION,
        .model = {.arch = "qwen3", .ctx = 256, .tied = true, .rope_theta = 10000, .norm_eps = 1e-6},
        .data = {.val_share = 0.01},
        .batch = {SIZE_OPEN, SIZE_OPEN},
        .init = {.seed = 1, .embed = 0.02, .gain = 0.5},
        .optimizer = {.steps = SIZE_OPEN,
                      .schedule = "cosine",
                      .lr = -1,
                      .min_lr = -1,
                      .warmup = SIZE_OPEN,
                      .cooldown = SIZE_OPEN,
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .eps = 1e-8,
                      .decay = 0.1,
                      .clip = 1},
        .chain = {.roots_every = SIZE_OPEN},
    };
    if (!v->data || !v->tokenizer)
        return err_set(e, ERR_USAGE, "a new run needs --data D and --tokenizer T");
    TRY(apply(v, r, e));
    TRY(run_describe(v->data, v->where, v->tokenizer, r, e));
    TRY(shape(v, r, e));
    size_course(r);
    return recipe_check(r, e);
}

/* The folder is there: what the user says must be what it says. */
static err_code same_recipe(const values *v, const char *path, err *e) {
    run there = {0};
    recipe here;
    strbuf what = {0};
    err_code code = run_open(&there, path, e);
    if (code == ERR_OK && there.base)
        code = err_set(e, ERR_USAGE, "%s: is a run of tuning (loam tune %s goes on)", path, path);
    here = there.recipe;
    if (code == ERR_OK)
        code = v->data && v->tokenizer ? new_recipe(v, &here, e) : apply(v, &here, e);
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

/* ---- while it runs ---- */

typedef struct {
    const values *v;
    training t;
    double peak;
} show;

static void add_text(void *ctx, str text) {
    strbuf *b = ctx;
    strbuf_add(b, text, NULL);
}

static err_code print_sample(const show *s, uint64_t step, str text, err *e) {
    if (s->v->common.json) {
        js_out j = {.e = e};
        js_begin(&j, '{');
        js_key(&j, "step");
        js_int(&j, (int64_t)step);
        js_key(&j, "sample");
        js_text(&j, text);
        js_end(&j, '}');
        return js_print(&j);
    }
    out_note("step %" PRIu64 " writes:", step);
    out_foreign(str_from(s->v->prompt ? s->v->prompt : ""));
    out_foreign(text);
    out_text(STR("\n"));
    out_flush();
    return ERR_OK;
}

/* The likeliest continuation of the prompt by the weights as they are. */
static err_code on_sample(void *ctx, uint64_t step, err *e) {
    show *s = ctx;
    session *gen = NULL;
    tok_ids ids = {0};
    strbuf text = {0};
    const recipe *r = &s->t.run.recipe;
    sampler_config greedy = {.top_p = 1, .repetition_penalty = 1};
    generate_options o = {
        .n_max = (size_t)s->v->sample_tokens, .on_text = add_text, .ctx = &text, .cancel = &interrupt_flag};
    generate_result result;
    unsigned flags = TOK_SPECIAL_ADD | (r->tokenizer.parse_special ? TOK_SPECIAL_PARSE : 0);
    err_code code = tokenizer_encode(s->t.run.tokenizer, str_from(s->v->prompt ? s->v->prompt : ""), flags, &ids, e);
    if (code == ERR_OK && ids.n == 0) /* a document begins behind the end of another */
        code = tok_ids_add(&ids, (int32_t)r->tokenizer.end, e);
    if (code == ERR_OK)
        code = session_open(&gen, trainer_model(s->t.run.trainer), s->t.run.tokenizer, (size_t)r->model.ctx, e);
    if (code == ERR_OK)
        code = session_generate(gen, ids.id, ids.n, &greedy, &o, &result, e);
    if (code == ERR_OK)
        code = print_sample(s, step, strbuf_str(&text), e);
    else
        err_in(e, code, "--prompt");
    session_close(gen);
    tok_ids_fini(&ids);
    strbuf_fini(&text);
    return code;
}

/* ---- before and after ---- */

static void print_plan(const show *s) {
    const run *r = &s->t.run;
    const recipe *c = &r->recipe;
    trainer_plan p = trainer_plan_of(r->trainer);
    uint64_t epoch = order_epoch_tokens(trainer_order(r->trainer)), step = recipe_step_tokens(c);
    double all = (double)c->optimizer.steps * (double)step;
    out_printf("model       %s, %" PRIu64 " layers, width %" PRIu64 ", %" PRIu64 " heads of %" PRIu64 " (%" PRIu64
               " for keys and values), feed-forward %" PRIu64 ", vocabulary %" PRIu64 ", context %" PRIu64 "\n",
               c->model.arch, c->model.layers, c->model.width, c->model.heads, c->model.head_width, c->model.kv_heads,
               c->model.ff, c->model.vocab, c->model.ctx);
    out_printf("parameters  %s\n", amount_count((double)p.n_params).text);
    out_printf("data        %zu documents, %s; %s tokens an epoch; %zu documents held out\n", r->docs.n,
               amount_bytes((double)r->docs.bytes).text, amount_count((double)epoch).text, r->docs.n - r->docs.n_train);
    out_printf("course      %" PRIu64 " steps of %" PRIu64 " tokens: %s tokens, %.1f epochs\n", c->optimizer.steps,
               step, amount_count(all).text, all / (double)epoch);
    out_printf("memory      %s: weights %s, gradients%s %s, moments %s, tokens %s\n",
               amount_bytes((double)p.total).text, amount_bytes((double)p.weights).text,
               p.recompute ? " (recomputing)" : "", amount_bytes((double)p.gradients).text,
               amount_bytes((double)p.moments).text, amount_bytes((double)p.tokens).text);
    out_printf("time        about %s, were it %.0f %% of this machine's %.0f GFLOP/s\n",
               amount_time(6.0 * (double)p.n_params * all / (0.6 * s->peak)).text, 60.0, s->peak / 1e9);
    out_flush();
}

static err_code train(show *s, err *e) {
    const values *v = s->v;
    const recipe *r = &s->t.run.recipe;
    s->peak = training_peak(&s->t);
    if (!v->common.json)
        print_plan(s);
    if (v->dry_run)
        return ERR_OK;
    loop_options o = {
        .until = (uint64_t)v->until,
        .every = v->ckpt_every > 0 ? (uint64_t)v->ckpt_every : 0,
        .keep = (size_t)v->keep,
        .eval_every = v->eval_every < 0 ? r->chain.roots_every : (uint64_t)v->eval_every,
        .eval_bytes = (size_t)v->eval_bytes,
        .sample_every = (uint64_t)v->sample_every,
    };
    watch w = {
        .t = &s->t, .command = "train", .json = v->common.json, .peak = s->peak, .on_sample = on_sample, .ctx = s};
    return watch_run(&w, &o, e);
}

/* A folder that was made a moment ago and cannot be worked with is no run: another recipe may take its place. */
static void unmake(const char *path) {
    run_path file;
    run r = {.path = (char *)(uintptr_t)path};
    if (run_file(&r, "recipe.json", &file, NULL) == ERR_OK)
        remove(file.text);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *path = args->arg[0];
    show s = {.v = v};
    bool is_new = !run_is(path);
    if (!is_new) {
        TRY(same_recipe(v, path, e));
    } else {
        recipe r;
        TRY(new_recipe(v, &r, e));
        TRY(run_create(path, &r, &(run_inputs){.data = v->data, .where = v->where, .tokenizer = v->tokenizer}, e));
    }
    training_inputs in = {.data = v->data, .where = v->where, .recompute = v->recompute};
    err_code code = training_open(&s.t, path, &v->common, &in, e);
    if (code != ERR_OK && is_new)
        unmake(path);
    if (code == ERR_OK)
        code = train(&s, e);
    training_close(&s.t);
    return code;
}

const command command_train = {
    .name = "train",
    .args = "RUN",
    .summary = "make a model from a data set, so that anybody can make it again",
    .details =
        "RUN is a folder: a new one with --data and --tokenizer, or one to continue, from its newest checkpoint. Its "
        "recipe.json holds everything that determines the bits; chain.jsonl gets a line a step, each sealed with all "
        "before it. The same recipe and data give the same chain and the same weights on every machine, with any "
        "number "
        "of threads, however often the run was stopped. Ctrl-C saves a checkpoint and stops; after anything worse the "
        "same command continues, and the chain comes out the same.\n\n"
        "  loam corpus homeworld --docs 4000 > world.jsonl\n"
        "  loam data build world.db world.jsonl\n"
        "  loam tokenizer train world.db tokenizer --vocab 2048\n"
        "  loam train first --data world.db --tokenizer tokenizer --size tiny\n"
        "  loam train first                      (continues)\n"
        "  loam verify first --spot 2",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
