/* loam eval: how good a model is at a task whose truth is known, and whether another one is better.
 *
 * A task is a row of the table at the end of this file. All answers are greedy and all scores exact, so a result is the
 * same on every machine; intervals are those of cli/scores.h, at 95 %.
 */
#include <string.h>

#include "cli/evaluate.h"
#include "cli/memorise.h"
#include "cli/out.h"

typedef struct {
    common_values common;
    compute_values compute;
    int64_t n;
    const char *compare;
    option_list compare_lora;
    score_table *scores; /* no option: where scores go, and nothing is printed */
    world_values world;
    memorise_values memorise;
    item_values item;
    talk_values talk;
} values;

static const values defaults = {.common = COMMON_DEFAULTS,
                                .compute = COMPUTE_DEFAULTS,
                                .world = WORLD_DEFAULTS,
                                .memorise = MEMORISE_DEFAULTS,
                                .item = ITEM_DEFAULTS};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"n", 'n', OPT_INT, "N",
     "questions of each kind, documents, items; 0: all, of homeworld 96 facts, 400 about stories, 200 plans, of "
     "memorisation 200",
     AT(n), 0, 1 << 20, NULL},
    {"compare", 0, OPT_TEXT, "M2", "ask this model the same, and tell whether it is better or worse", AT(compare), 0, 0,
     NULL},
    {"compare-lora", 0, OPT_LIST, "A[:SCALE]", "adapters for M2 (--lora is for M); without --compare M2 is M",
     AT(compare_lora), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {
    {"Evaluation", own_options, 0}, WORLD_GROUP(values),   ITEM_GROUP(values), TALK_GROUP(values),
    MEMORISE_GROUP(values),         COMPUTE_GROUP(values), COMMON_GROUP,       {0}};

/* What is evaluated, and what is read for it. */
typedef struct {
    const char *model, *file; /* file NULL: the task needs none */
} place;

/* ---- tasks that know what they ask ---- */

static err_code run_homeworld(const values *v, const loaded *l, const place *at, err *e) {
    (void)at;
    return eval_world(&(world_task){.v = &v->world,
                                    .l = l,
                                    .n = v->n,
                                    .verbose = v->common.verbose,
                                    .json = v->common.json,
                                    .scores = v->scores},
                      e);
}

static err_code run_memorisation(const values *v, const loaded *l, const place *at, err *e) {
    return v->scores ? err_set(e, ERR_USAGE, "--compare: memorisation is measured of one model at a time")
                     : memorise_run(&v->memorise, l, at->model, v->n, v->common.json, e);
}

/* ---- items of a file ---- */

static err_code print_items(const values *v, const char *task, const char *file, const score_table *s, str items,
                            err *e) {
    if (!v->common.json)
        return scores_print(s, e);
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_text(&j, "task", str_from(task));
    js_put_text(&j, "file", str_from(file));
    err_code code = scores_json(s, &j, e);
    js_key(&j, "items");
    js_raw(&j, items);
    js_end(&j, '}');
    if (code == ERR_OK)
        return js_print(&j);
    strbuf_fini(&j.text);
    return code;
}

typedef err_code items_fn(const item_task *k, err *e);

static err_code run_items(const values *v, const loaded *l, const place *at, const char *task, items_fn *fn, err *e) {
    score_table own = {0};
    js_out items = {.e = e};
    const item_task k = {.v = &v->item,
                         .talk = &v->talk,
                         .l = l,
                         .model = at->model,
                         .file = at->file,
                         .n_max = (size_t)v->n,
                         .s = v->scores ? v->scores : &own,
                         .items = &items};
    interrupt_catch();
    js_begin(&items, '[');
    err_code code = fn(&k, e);
    js_end(&items, ']');
    if (code == ERR_OK)
        code = items.code;
    if (code == ERR_OK && !v->scores)
        code = print_items(v, task, at->file, &own, strbuf_str(&items.text), e);
    strbuf_fini(&items.text);
    scores_fini(&own);
    return code;
}

static err_code run_perplexity(const values *v, const loaded *l, const place *at, err *e) {
    return run_items(v, l, at, "perplexity", eval_perplexity, e);
}

static err_code run_choices(const values *v, const loaded *l, const place *at, err *e) {
    return run_items(v, l, at, "choices", eval_choices, e);
}

static err_code run_exact(const values *v, const loaded *l, const place *at, err *e) {
    return run_items(v, l, at, "exact", eval_exact, e);
}

/* ---- the tasks ---- */

typedef struct {
    const char *name;
    bool needs_file;
    err_code (*run)(const values *v, const loaded *l, const place *at, err *e);
} task;

#define TASKS(X)                        \
    X(homeworld, false, run_homeworld)  \
    X(perplexity, true, run_perplexity) \
    X(choices, true, run_choices)       \
    X(exact, true, run_exact)           \
    X(memorisation, false, run_memorisation)
#define ROW(name, needs_file, run) {#name, needs_file, run},
#define NAME(name, needs_file, run) #name,
static const task tasks[] = {TASKS(ROW)};
const char *const eval_task_names[] = {TASKS(NAME) NULL};
#undef ROW
#undef NAME
enum { N_TASKS = sizeof tasks / sizeof *tasks };

static const task *find_task(const arguments *args, err *e) {
    const char *name = args->arg[1];
    const task *t = tasks;
    while (t < tasks + N_TASKS && strcmp(t->name, name) != 0)
        t++;
    if (t == tasks + N_TASKS) {
        const char *near = nearest_word(str_from(name), eval_task_names, N_TASKS);
        err_set(e, ERR_USAGE, "no task \"%s\" (%s%s)", name, near ? "did you mean " : "there is ",
                near ? near : eval_task_names[0]);
        return NULL;
    }
    if (t->needs_file == (args->n == 3))
        return t;
    if (t->needs_file)
        err_set(e, ERR_USAGE, "%s: which file? (loam eval M %s FILE)", name, name);
    else
        err_set(e, ERR_USAGE, "%s: reads no file", name);
    return NULL;
}

static err_code run_task(const task *t, const values *v, const char *m, const char *file, err *e) {
    loaded l = {0};
    const place at = {m, file};
    err_code code = load_model(&l, m, &v->common, &v->compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK) {
        code = t->run(v, &l, &at, e);
        if (code != ERR_OK && code != ERR_USAGE && code != ERR_CANCELLED && !file)
            err_in(e, code, "%s", m);
    }
    loaded_close(&l);
    return code;
}

static err_code print_comparison(const values *v, const task *t, const scores_pair *p, err *e) {
    if (!v->common.json)
        return scores_compare_print(p, e);
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_text(&j, "task", str_from(t->name));
    js_put_text(&j, "a", str_from(p->name_a));
    js_put_text(&j, "b", str_from(p->name_b));
    js_key(&j, "scores");
    js_begin(&j, '{');
    err_code code = scores_compare_json(p, &j, e);
    js_end(&j, '}');
    js_end(&j, '}');
    if (code == ERR_OK)
        return js_print(&j);
    strbuf_fini(&j.text);
    return code;
}

/* "M", or "M + A + B" with its adapters. */
static err_code name_with(const char *m, const option_list *lora, strbuf *out, err *e) {
    TRY(strbuf_add(out, str_from(m), e));
    for (size_t i = 0; i < lora->n; i++) {
        TRY(strbuf_add(out, STR(" + "), e));
        TRY(strbuf_add(out, lora->item[i], e));
    }
    return strbuf_addc(out, 0, e);
}

typedef struct {
    score_table scores;
    strbuf name;
} side;

static err_code run_side(const task *t, const values *v, const char *m, const option_list *lora, const char *file,
                         side *s, err *e) {
    values own = *v;
    own.compute.lora = *lora;
    own.scores = &s->scores;
    TRY(name_with(m, lora, &s->name, e));
    return run_task(t, &own, m, file, e);
}

/* One model after the other, so that one alone has to fit into memory. */
static err_code run_compared(const task *t, const values *v, const char *m, const char *file, err *e) {
    side a = {0}, b = {0};
    err_code code = run_side(t, v, m, &v->compute.lora, file, &a, e);
    if (code == ERR_OK)
        code = run_side(t, v, v->compare ? v->compare : m, &v->compare_lora, file, &b, e);
    if (code == ERR_OK)
        code = print_comparison(v, t, &(scores_pair){a.name.p, b.name.p, &a.scores, &b.scores}, e);
    scores_fini(&a.scores);
    scores_fini(&b.scores);
    strbuf_fini(&a.name);
    strbuf_fini(&b.name);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *file = args->n == 3 ? args->arg[2] : NULL;
    const task *t = find_task(args, e);
    TRY(t ? load_check_path(args->arg[0], e) : ERR_USAGE);
    if (v->compare)
        TRY(load_check_path(v->compare, e));
    bool compares = v->compare || v->compare_lora.n > 0;
    return (compares ? run_compared : run_task)(t, v, args->arg[0], file, e);
}

const command command_eval = {
    .name = "eval",
    .args = "M TASK [FILE]",
    .summary = "how good a model is at a task, with confidence intervals",
    .details =
        "TASK homeworld: asks what the built-in corpus teaches (doc/homeworld.md), greedily, and scores the "
        "answers by the simulator's truth. facts: each of the 96 facts in a wording that training did not use for "
        "it. reading: questions about stories of the test split. plans: orders to the robot; a plan is right when "
        "the simulator can carry it out and it reaches the goals. chance is what guessing among the things in the "
        "story would give. --verbose also shows types and levels, and some failures.\n"
        "With --json: {\"facts\": {\"n\", \"right\", \"accuracy\", \"low\", \"high\", \"chance\", \"types\", "
        "\"levels\"}, ..., \"items\": [{\"id\", \"type\", \"right\", \"got\", \"want\"}, ...]}.\n"
        "TASK perplexity FILE: bits per byte, and perplexity, of a text in blocks, or of the \"text\" of every line of "
        "JSON Lines.\n"
        "TASK choices FILE: lines {\"question\", \"choices\": [...], \"answer\": NUMBER}; acc: the choice with the "
        "highest "
        "log probability is right; acc_norm: with the highest by byte.\n"
        "TASK exact FILE: lines {\"prompt\", \"answer\"}, or conversations that end with the assistant; the greedy "
        "answer must be the right one.\n"
        "TASK memorisation: what share of the documents the model continues word for word: given k tokens of one, "
        "greedily, the --suffix tokens behind them (doc/trace.md). For a run folder the documents it learned from and "
        "those held out are told apart.\n"
        "--compare M2 asks both models the same items: the difference with its 95 % interval, and the probability p "
        "of one as large by chance. doc/eval.md says how.\n\n"
        "  loam eval model.gguf homeworld\n"
        "  loam eval model.gguf homeworld --kind facts --json\n"
        "  loam eval model.gguf choices questions.jsonl --compare tuned.gguf\n"
        "  loam eval model.gguf exact held-out.jsonl --chat --compare-lora adapter\n"
        "  loam eval first memorisation --prefix 8,16,32 --suffix 16",
    .n_args_min = 2,
    .n_args_max = 3,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
