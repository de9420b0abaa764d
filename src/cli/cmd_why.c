/* loam why: the documents that moved a run towards an answer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/training.h"
#include "train/uses.h"
#include "train/why.h"

typedef struct {
    common_values common;
    int64_t top, checkpoints;
    const char *data, *where;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .top = 10, .checkpoints = 3};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"top", 'k', OPT_INT, "N", "documents to show; with --json 0 shows all", AT(top), 0, 1e9, NULL},
    {"checkpoints", 0, OPT_INT, "N", "checkpoints to look at, evenly spread; 0: only the answer's loss under the last",
     AT(checkpoints), 0, 1e6, NULL},
    {"data", 0, OPT_TEXT, "D", "the data set, when it is not where the run was made", AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "the condition that picks its documents, when it is another", AT(where), 0, 0, NULL},
    {0},
};
#undef AT
static const option_group groups[] = {{"Documents", own_options, 0}, COMMON_GROUP, {0}};

enum { SHOWN_BYTES = 70, USES_SHOWN = 64 };

typedef struct {
    double score;
    size_t doc;
} ranked;

/* The highest first; equal ones by number. */
static int by_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score) : (x->doc > y->doc) - (x->doc < y->doc);
}

typedef struct {
    const values *v;
    training t;
    why_result why;
    ranked *rank; /* [n] */
    size_t n;
    chain chain;
    uses *uses;
} job;

/* Those that the run has read: no other can have moved it. */
static err_code rank_all(job *j, err *e) {
    run_path path;
    size_t all = j->v->checkpoints ? j->t.run.docs.n_train : 0;
    TRY(run_file(&j->t.run, "chain.jsonl", &path, e));
    TRY(chain_read(&j->chain, path.text, e));
    TRY(uses_open(&j->uses, j->t.run.recipe.init.seed, &j->t.run.docs, &j->chain, j->t.pool, e));
    j->rank = calloc(all + 1, sizeof *j->rank);
    if (!j->rank)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", all);
    for (size_t i = 0; i < all; i++)
        if (uses_first(j->uses, i))
            j->rank[j->n++] = (ranked){j->why.score[i], i};
    if (j->n)
        qsort(j->rank, j->n, sizeof *j->rank, by_score);
    return ERR_OK;
}

/* Its first line, as far as it fits. */
static str beginning(str text) {
    size_t n = 0;
    while (n < text.n && n < SHOWN_BYTES && text.p[n] != '\n')
        n++;
    while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--; /* whole characters */
    return str_sub(text, 0, n);
}

static err_code print_doc(job *j, const ranked *r, err *e) {
    dataset_doc doc;
    TRY(docs_get(&j->t.run.docs, r->doc, &doc, e));
    out_printf("%+11.4e  %6" PRId64 "  step %-6" PRIu64 " ", r->score, doc.key.id, uses_first(j->uses, r->doc));
    out_foreign(doc.name);
    out_text(STR("  "));
    out_foreign(beginning(doc.text));
    out_text(STR("\n"));
    return ERR_OK;
}

static err_code js_doc(job *j, js_out *o, const ranked *r, err *e) {
    dataset_doc doc;
    use found[USES_SHOWN];
    char hex[65];
    TRY(docs_get(&j->t.run.docs, r->doc, &doc, e));
    size_t n = uses_of(j->uses, r->doc, found, USES_SHOWN);
    hash_hex(doc.key.sha256, hex);
    js_begin(o, '{');
    js_key(o, "id");
    js_int(o, doc.key.id);
    js_key(o, "name");
    js_text(o, doc.name);
    js_key(o, "sha256");
    js_text(o, str_from(hex));
    js_key(o, "source");
    js_text(o, doc.source);
    js_key(o, "licence");
    js_text(o, doc.licence);
    js_key(o, "score");
    js_real(o, r->score, 9);
    js_key(o, "steps");
    js_begin(o, '[');
    for (size_t i = 0; i < n && i < USES_SHOWN; i++)
        js_int(o, (int64_t)found[i].first);
    js_end(o, ']');
    js_end(o, '}');
    return ERR_OK;
}

static err_code print_json(job *j, size_t shown, err *e) {
    js_out o = {.e = e};
    js_begin(&o, '{');
    js_key(&o, "checkpoints");
    js_begin(&o, '[');
    for (size_t i = 0; i < j->why.n_steps; i++) {
        js_begin(&o, '{');
        js_key(&o, "step");
        js_int(&o, (int64_t)j->why.step[i]);
        js_key(&o, "loss");
        js_real(&o, j->why.loss[i], 9);
        js_end(&o, '}');
    }
    js_end(&o, ']');
    js_key(&o, "answer_tokens");
    js_int(&o, (int64_t)j->why.n_answer);
    js_key(&o, "documents");
    js_begin(&o, '[');
    err_code code = ERR_OK;
    for (size_t i = 0; i < shown && code == ERR_OK; i++)
        code = js_doc(j, &o, &j->rank[i], e);
    js_end(&o, ']');
    js_end(&o, '}');
    if (code != ERR_OK) {
        strbuf_fini(&o.text);
        return code;
    }
    return js_print(&o);
}

static err_code print(job *j, err *e) {
    size_t top = (size_t)j->v->top, shown = j->n < top || (j->v->common.json && top == 0) ? j->n : top;
    if (j->v->common.json)
        return print_json(j, shown, e);
    for (size_t i = 0; i < j->why.n_steps; i++)
        out_printf("step %-8" PRIu64 " loss of the answer %.4f nats (%zu token%s)\n", j->why.step[i], j->why.loss[i],
                   j->why.n_answer, j->why.n_answer == 1 ? "" : "s");
    if (shown)
        out_printf("%11s  %6s  %s\n", "score", "id", "first read");
    for (size_t i = 0; i < shown; i++)
        TRY(print_doc(j, &j->rank[i], e));
    return ERR_OK;
}

static void show_tokens(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    job j = {.v = v};
    progress bar = {.what = "reading the documents", .unit = "tokens"};
    why_options o = {.prompt = str_from(args->arg[1]),
                     .answer = str_from(args->arg[2]),
                     .checkpoints = (size_t)v->checkpoints,
                     .cancel = &interrupt_flag,
                     .progress = show_tokens,
                     .ctx = &bar};
    interrupt_catch();
    err_code code =
        training_open(&j.t, args->arg[0], &v->common, &(training_inputs){.data = v->data, .where = v->where}, e);
    if (code == ERR_OK)
        code = why_run(&j.t.run, &o, &j.why, e);
    progress_end(&bar);
    if (code == ERR_OK)
        code = rank_all(&j, e);
    if (code == ERR_OK)
        code = print(&j, e);
    uses_close(j.uses);
    chain_fini(&j.chain);
    free(j.rank);
    why_fini(&j.why);
    training_close(&j.t);
    return code;
}

const command command_why = {
    .name = "why",
    .args = "RUN PROMPT ANSWER",
    .summary = "the documents that moved a run towards an answer",
    .details = "Ranks the documents of RUN's data by how much, to first order, a step of training on each would lower "
               "the loss of "
               "ANSWER after PROMPT, summed over checkpoints: TracIn (Pruthi et al. 2020) with AdamW's preconditioner. "
               "It costs two "
               "forward passes over the data a checkpoint. A score is an estimate; `loam rebuild RUN OUT --without "
               "IDS` shows what "
               "the run would be without them. doc/why.md tells how good it is.\n\n"
               "  loam why first \"Q: Who made the yellow lamp?\\nA:\" \" Orrin.\"\n"
               "  loam why first \"$(cat prompt.txt)\" \" yes\" --top 20 --json",
    .n_args_min = 3,
    .n_args_max = 3,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
