/* loam eval: how good a model is at a task whose truth is known, and whether another one is better.
 *
 * A task is a row of the table at the end of this file. All answers are greedy and all scores exact, so a result is the
 * same on every machine; intervals are those of cli/scores.h, at 95 %.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/evaluate.h"
#include "cli/load.h"
#include "cli/memorise.h"
#include "cli/out.h"
#include "gen/paired.h"
#include "world/quiz.h"

typedef struct {
    common_values common;
    compute_values compute;
    int64_t n, seed;
    const char *kind, *mix, *compare;
    option_list compare_lora;
    strbuf *into;        /* no option: where the JSON goes instead of standard output */
    score_table *scores; /* no option: where scores go, and nothing is printed */
    memorise_values memorise;
    item_values item;
    talk_values talk;
} values;

static const values defaults = {.common = COMMON_DEFAULTS,
                                .compute = COMPUTE_DEFAULTS,
                                .seed = 1,
                                .kind = "facts,reading,plans",
                                .mix = "full",
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
    {"seed", 's', OPT_INT, "S", "which world: the seed of the corpus that the model learned", AT(seed), 0,
     9007199254740992.0, NULL},
    {"kind", 'k', OPT_TEXT, "LIST", "which of facts, reading, plans", AT(kind), 0, 0, NULL},
    {"mix", 0, OPT_CHOICE, "NAME", "the stories and orders of that mix of the corpus", AT(mix), 0, 0, world_mix_names},
    {0},
};
#undef AT

static const option_group groups[] = {{"Evaluation", own_options, 0},
                                      ITEM_GROUP(values),
                                      TALK_GROUP(values),
                                      MEMORISE_GROUP(values),
                                      COMPUTE_GROUP(values),
                                      COMMON_GROUP,
                                      {0}};

/* What is evaluated, and what is read for it. */
typedef struct {
    const char *model, *file; /* file NULL: the task needs none */
} place;

/* ---- homeworld ---- */

enum { TYPES_MAX = 64, FAILURES_SHOWN = 5 };

typedef struct {
    const char *name;
    uint64_t right, n;
} tally;

typedef struct {
    bool on;
    uint64_t n, right;
    double chance; /* sum */
    tally type[TYPES_MAX];
    size_t n_types;
    tally level[LEVEL_MAX + 1];
} kind_result;

typedef struct {
    const values *v;
    const loaded *l;
    world w;
    session *s;
    kind_result kind[QUIZ_KINDS];
    js_out items; /* the items as a JSON array */
    strbuf answer;
    bool failed; /* memory for the answer was short */
    uint64_t done, total;
    progress bar;
} asker;

static void on_text(void *ctx, str text) {
    asker *a = ctx;
    a->failed |= strbuf_add(&a->answer, text, NULL) != ERR_OK;
}

static uint64_t n_asked(const asker *a, quiz_kind kind) {
    uint64_t n = a->v->n > 0 ? (uint64_t)a->v->n : quiz_usual(kind);
    return n < quiz_count(kind) ? n : quiz_count(kind);
}

static tally *tally_of(kind_result *r, const char *type) {
    for (size_t i = 0; i < r->n_types; i++)
        if (strcmp(r->type[i].name, type) == 0)
            return &r->type[i];
    if (r->n_types == TYPES_MAX)
        return &r->type[TYPES_MAX - 1];
    r->type[r->n_types].name = type;
    return &r->type[r->n_types++];
}

static void note_failure(const quiz_item *q, str got, const err *why) {
    str prompt = pen_str(&q->prompt);
    out_note("%s: wrong: %s\n%.*s%.*s", q->id, why->text, (int)prompt.n, prompt.p, (int)got.n, got.p);
}

static err_code record(asker *a, const quiz_item *q, bool right, const err *why, err *e) {
    kind_result *r = &a->kind[q->kind];
    str got = strbuf_str(&a->answer);
    if (!right && a->v->common.verbose && r->n - r->right < FAILURES_SHOWN)
        note_failure(q, got, why);
    tally *t = tally_of(r, q->type), *level = &r->level[q->level];
    t->n++;
    level->n++;
    r->n++;
    t->right += right;
    level->right += right;
    r->right += right;
    r->chance += q->chance;
    js_out *j = &a->items;
    js_begin(j, '{');
    js_key(j, "id");
    js_text(j, str_from(q->id));
    js_key(j, "type");
    js_text(j, str_from(q->type));
    js_key(j, "right");
    js_flag(j, right);
    js_key(j, "got");
    js_text(j, got);
    js_key(j, "want");
    js_text(j, pen_str(&q->want));
    js_end(j, '}');
    return a->v->scores ? scores_right(a->v->scores, quiz_kind_names[q->kind], right, e) : ERR_OK;
}

static err_code ask(asker *a, const quiz_item *q, const tok_ids *ids, err *e) {
    str stop = str_from(quiz_stop(q->kind));
    generate_options o = {.n_max = quiz_tokens_max(q->kind),
                          .stop = &stop,
                          .n_stop = 1,
                          .on_text = on_text,
                          .ctx = a,
                          .cancel = &interrupt_flag};
    generate_result result;
    sampler_config greedy = sampler_default;
    greedy.temperature = 0;
    err why = {0};
    a->answer.n = 0;
    bool fits = ids->n < session_ctx(a->s);
    if (fits)
        TRY(session_generate(a->s, ids->id, ids->n, &greedy, &o, &result, e));
    else
        err_set(&why, ERR_LIMIT, "the question has %zu tokens, more than the context", ids->n);
    if (a->failed)
        return err_set(e, ERR_MEMORY, "no memory for the answer");
    if (interrupt_flag)
        return err_set(e, ERR_CANCELLED, "stopped");
    bool right = fits && quiz_right(q, strbuf_str(&a->answer), &why);
    TRY(record(a, q, right, &why, e));
    progress_step(&a->bar, ++a->done, a->total);
    return ERR_OK;
}

/* Calls for every question that is asked; ids: its tokens. */
typedef err_code asker_fn(asker *a, const quiz_item *q, const tok_ids *ids, err *e);
static err_code for_each(asker *a, asker_fn *fn, err *e) {
    quiz_item *q = malloc(sizeof *q);
    tok_ids ids = {0};
    err_code code = q ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a question");
    for (int k = 0; k < QUIZ_KINDS && code == ERR_OK; k++)
        for (uint64_t i = 0; a->kind[k].on && i < n_asked(a, (quiz_kind)k) && code == ERR_OK; i++) {
            quiz_make(&a->w, (quiz_kind)k, i, q);
            ids.n = 0;
            code = tokenizer_encode(a->l->t, pen_str(&q->prompt), TOK_SPECIAL_ADD, &ids, e);
            if (code == ERR_OK)
                code = fn(a, q, &ids, e);
        }
    tok_ids_fini(&ids);
    free(q);
    return code;
}

typedef struct {
    asker a; /* first: for_each() passes it on */
    size_t need;
} measurer;

static err_code measure(asker *a, const quiz_item *q, const tok_ids *ids, err *e) {
    (void)e;
    measurer *m = (measurer *)a;
    size_t n = ids->n + quiz_tokens_max(q->kind);
    m->need = n > m->need ? n : m->need;
    a->total++;
    return ERR_OK;
}

static err_code choose_kinds(const char *list, kind_result *kind, err *e) {
    for (str rest = str_from(list); rest.n > 0;) {
        ptrdiff_t comma = str_find(rest, STR(","), 0);
        str name = str_sub(rest, 0, comma < 0 ? rest.n : (size_t)comma);
        rest = str_sub(rest, name.n + 1, rest.n);
        int k = 0;
        while (k < QUIZ_KINDS && !str_is(name, quiz_kind_names[k]))
            k++;
        if (k == QUIZ_KINDS)
            return err_set(e, ERR_USAGE, "--kind: no kind \"%.*s\" (facts, reading, plans; with commas between)",
                           STR_ARG(name));
        kind[k].on = true;
    }
    return ERR_OK;
}

static void json_tally(js_out *j, const char *key, uint64_t right, uint64_t n) {
    double low, high;
    paired_wilson(right, n, &low, &high);
    js_key(j, key);
    js_begin(j, '{');
    js_key(j, "n");
    js_int(j, (int64_t)n);
    js_key(j, "right");
    js_int(j, (int64_t)right);
    js_key(j, "accuracy");
    js_real(j, (double)right / (double)n, 17);
    js_key(j, "low");
    js_real(j, low, 17);
    js_key(j, "high");
    js_real(j, high, 17);
}

static err_code print_json(asker *a, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "task");
    js_text(&j, STR("homeworld"));
    js_key(&j, "seed");
    js_int(&j, a->v->seed);
    js_key(&j, "mix");
    js_text(&j, str_from(a->v->mix));
    for (int k = 0; k < QUIZ_KINDS; k++) {
        const kind_result *r = &a->kind[k];
        if (r->n == 0)
            continue;
        json_tally(&j, quiz_kind_names[k], r->right, r->n);
        js_key(&j, "chance");
        js_real(&j, r->chance / (double)r->n, 17);
        js_key(&j, "types");
        js_begin(&j, '{');
        for (size_t i = 0; i < r->n_types; i++) {
            json_tally(&j, r->type[i].name, r->type[i].right, r->type[i].n);
            js_end(&j, '}');
        }
        js_end(&j, '}');
        js_key(&j, "levels");
        js_begin(&j, '{');
        for (int i = LEVEL_MIN; i <= LEVEL_MAX; i++)
            if (r->level[i].n > 0) {
                const char name[] = {(char)('0' + i), 0};
                json_tally(&j, name, r->level[i].right, r->level[i].n);
                js_end(&j, '}');
            }
        js_end(&j, '}');
        js_end(&j, '}');
    }
    js_key(&j, "items");
    js_raw(&j, strbuf_str(&a->items.text));
    js_end(&j, '}');
    if (!a->v->into)
        return js_print(&j);
    err_code code = j.code == ERR_OK ? strbuf_add(a->v->into, strbuf_str(&j.text), e) : j.code;
    strbuf_fini(&j.text);
    return code;
}

static void print_row(const char *name, uint64_t right, uint64_t n, double chance) {
    double low, high;
    paired_wilson(right, n, &low, &high);
    out_printf("%-12s %6llu %6llu   %5.1f %%   %5.1f to %5.1f %%", name, (unsigned long long)right,
               (unsigned long long)n, 100 * (double)right / (double)n, 100 * low, 100 * high);
    if (chance >= 0)
        out_printf("   %5.1f %%", 100 * chance);
    out_text(STR("\n"));
}

static void print_table(const asker *a) {
    out_printf("%-12s %6s %6s   %7s   %-16s   %7s\n", "kind", "right", "of", "share", "95 % interval", "chance");
    for (int k = 0; k < QUIZ_KINDS; k++) {
        const kind_result *r = &a->kind[k];
        if (r->n == 0)
            continue;
        print_row(quiz_kind_names[k], r->right, r->n, r->chance / (double)r->n);
        if (!a->v->common.verbose)
            continue;
        for (size_t i = 0; i < r->n_types; i++) {
            char name[24] = "  ";
            strncat(name, r->type[i].name, sizeof name - 3);
            print_row(name, r->type[i].right, r->type[i].n, -1);
        }
        for (int i = LEVEL_MIN; i <= LEVEL_MAX; i++) {
            const char name[] = {' ', ' ', 'l', 'e', 'v', 'e', 'l', ' ', (char)('0' + i), 0};
            if (r->level[i].n > 0)
                print_row(name, r->level[i].right, r->level[i].n, -1);
        }
    }
}

static err_code run_homeworld(const values *v, const loaded *l, const place *at, err *e) {
    (void)at;
    measurer m = {.a = {.v = v, .l = l, .items = {.e = e}, .bar = {.what = "asking", .unit = "questions"}}};
    asker *a = &m.a;
    a->w = (world){.seed = (uint64_t)v->seed, .split = SPLIT_TEST};
    world_mix_parse(str_from(v->mix), &a->w.mix); /* options.c has refused all other names */
    TRY(choose_kinds(v->kind, a->kind, e));
    TRY(for_each(a, measure, e));
    size_t ctx_tokens, trained = model_config_of(l->m)->ctx_train;
    size_t need = trained > 0 && m.need > trained ? trained : m.need;
    TRY(load_ctx(l->m, (int64_t)need, need, &ctx_tokens, e));
    TRY(session_open(&a->s, l->m, l->t, ctx_tokens, e));
    interrupt_catch();
    js_begin(&a->items, '[');
    err_code code = for_each(a, ask, e);
    js_end(&a->items, ']');
    progress_end(&a->bar);
    if (code == ERR_OK)
        code = a->items.code;
    if (code == ERR_OK && v->common.json && !v->scores)
        code = print_json(a, e);
    else if (code == ERR_OK && !v->scores)
        print_table(a);
    strbuf_fini(&a->items.text);
    strbuf_fini(&a->answer);
    session_close(a->s);
    return code;
}

/* ---- memorisation ---- */

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

err_code eval_homeworld(const char *path, const common_values *common, int64_t seed, const char *mix, strbuf *json,
                        err *e) {
    values v = defaults;
    loaded l = {0};
    v.common = *common;
    v.common.json = true;
    v.seed = seed;
    v.mix = mix;
    v.into = json;
    err_code code = load_model(&l, path, &v.common, &v.compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK)
        code = run_homeworld(&v, &l, &(place){.model = path}, e);
    loaded_close(&l);
    return code;
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
