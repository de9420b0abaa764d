/* eval homeworld: questions whose truth the simulator knows; see evaluate.h. */
#include <stdlib.h>
#include <string.h>

#include "cli/evaluate.h"
#include "cli/out.h"
#include "gen/paired.h"
#include "world/quiz.h"

#define AT(field) offsetof(world_values, field)
const option world_options[] = {
    {"seed", 's', OPT_INT, "S", "which world: the seed of the corpus that the model learned", AT(seed), 0,
     9007199254740992.0, NULL},
    {"kind", 'k', OPT_TEXT, "LIST", "which of facts, reading, plans", AT(kind), 0, 0, NULL},
    {"mix", 0, OPT_CHOICE, "NAME", "the stories and orders of that mix of the corpus", AT(mix), 0, 0, world_mix_names},
    {0},
};
#undef AT

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
    const world_task *k;
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
    uint64_t n = a->k->n > 0 ? (uint64_t)a->k->n : quiz_usual(kind);
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
    if (!right && a->k->verbose && r->n - r->right < FAILURES_SHOWN)
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
    return a->k->scores ? scores_right(a->k->scores, quiz_kind_names[q->kind], right, e) : ERR_OK;
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
            code = tokenizer_encode(a->k->l->t, pen_str(&q->prompt), TOK_SPECIAL_ADD, &ids, e);
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
    js_int(&j, a->k->v->seed);
    js_key(&j, "mix");
    js_text(&j, str_from(a->k->v->mix));
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
    if (!a->k->into)
        return js_print(&j);
    err_code code = j.code == ERR_OK ? strbuf_add(a->k->into, strbuf_str(&j.text), e) : j.code;
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
        if (!a->k->verbose)
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

err_code eval_world(const world_task *k, err *e) {
    const loaded *l = k->l;
    measurer m = {.a = {.k = k, .items = {.e = e}, .bar = {.what = "asking", .unit = "questions"}}};
    asker *a = &m.a;
    a->w = (world){.seed = (uint64_t)k->v->seed, .split = SPLIT_TEST};
    world_mix_parse(str_from(k->v->mix), &a->w.mix); /* options.c has refused all other names */
    TRY(choose_kinds(k->v->kind, a->kind, e));
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
    if (code == ERR_OK && k->json && !k->scores)
        code = print_json(a, e);
    else if (code == ERR_OK && !k->scores)
        print_table(a);
    strbuf_fini(&a->items.text);
    strbuf_fini(&a->answer);
    session_close(a->s);
    return code;
}

err_code eval_homeworld(const char *path, const common_values *common, int64_t seed, const char *mix, strbuf *json,
                        err *e) {
    const compute_values compute = COMPUTE_DEFAULTS;
    world_values v = WORLD_DEFAULTS;
    loaded l = {0};
    v.seed = seed;
    v.mix = mix;
    err_code code = load_model(&l, path, common, &compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK)
        code = eval_world(&(world_task){.v = &v, .l = &l, .json = true, .into = json}, e);
    loaded_close(&l);
    return code;
}
