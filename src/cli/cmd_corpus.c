/* loam corpus: the built-in corpus, made and not stored.
 *
 * Documents are made in rounds: every thread fills a buffer of its own with a run of consecutive documents, then the
 * buffers are written in order. So the output does not depend on the number of threads.
 */
#include <string.h>

#include "base/os.h"
#include "base/pool.h"
#include "cli/command.h"
#include "cli/out.h"
#include "world/quiz.h"

enum { DOCS_DEFAULT = 24000, RUN_DOCS = 512 };
#define DOCS_MAX (int64_t)4398046511104 /* 2^42, half of what a document number can be */

typedef struct {
    common_values common;
    int64_t docs, seed;
    const char *split, *mix, *quiz;
    bool facts, stats;
} values;

static const values defaults = {
    .common = COMMON_DEFAULTS, .docs = DOCS_DEFAULT, .seed = 1, .split = "train", .mix = "full"};

static const char *const split_names[] = {"train", "test", NULL};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"docs", 'n', OPT_INT, "N", "documents; the first N of the world", AT(docs), 0, (double)DOCS_MAX, NULL},
    {"seed", 's', OPT_INT, "S", "which world: its facts and its documents", AT(seed), 0, 9007199254740992.0, NULL},
    {"split", 0, OPT_CHOICE, "NAME", "train, or test: stories and plans that never stand in train", AT(split), 0, 0,
     split_names},
    {"mix", 0, OPT_CHOICE, "NAME",
     "full; tiny: short and plain, mostly facts; small: as plain, mostly questions; bare: the same in the fewest words",
     AT(mix), 0, 0, world_mix_names},
    {"facts", 0, OPT_FLAG, NULL, "list the facts instead, each with the documents that state it", AT(facts), 0, 0,
     NULL},
    {"quiz", 0, OPT_CHOICE, "KIND", "list N questions of loam eval instead: facts, reading or plans", AT(quiz), 0, 0,
     quiz_kind_names},
    {"stats", 0, OPT_FLAG, NULL, "count instead: documents, bytes, kinds", AT(stats), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Corpus", own_options, 0}, COMMON_GROUP, {0}};

/* ---- documents in rounds ---- */

typedef struct {
    world w;
    uint64_t from, n; /* of this round */
    strbuf text[POOL_THREADS_MAX];
    err_code code[POOL_THREADS_MAX];
    err error[POOL_THREADS_MAX];
} round_of;

static void make_part(void *ctx, int part, int n_parts) {
    round_of *r = ctx;
    size_t from, to;
    pool_share((size_t)r->n, 1, part, n_parts, &from, &to);
    r->text[part].n = 0;
    r->code[part] = ERR_OK;
    for (size_t i = from; i < to && r->code[part] == ERR_OK; i++)
        r->code[part] = doc_line(&r->w, r->from + i, &r->text[part], &r->error[part]);
}

static err_code write_round(const round_of *r, int n_parts, err *e) {
    for (int i = 0; i < n_parts; i++) {
        if (r->code[i] != ERR_OK) {
            *e = r->error[i];
            return r->code[i];
        }
        out_text(strbuf_str(&r->text[i]));
    }
    return out_flush() ? ERR_OK : out_close(e);
}

static err_code print_documents(const values *v, const world *w, pool *p, err *e) {
    static round_of r; /* large; one command a process */
    progress bar = {.what = "documents", .unit = "documents"};
    err_code code = ERR_OK;
    uint64_t total = (uint64_t)v->docs, bytes = 0;
    double begun = os_now();
    int parts = pool_threads(p);
    r.w = *w;
    interrupt_catch();
    for (r.from = 0; r.from < total && code == ERR_OK; r.from += r.n) {
        r.n = total - r.from < (uint64_t)parts * RUN_DOCS ? total - r.from : (uint64_t)parts * RUN_DOCS;
        pool_run(p, make_part, &r);
        code = write_round(&r, parts, e);
        for (int i = 0; i < parts; i++)
            bytes += r.text[i].n;
        progress_step(&bar, r.from + r.n, total);
        if (code == ERR_OK && interrupt_flag)
            code = err_set(e, ERR_CANCELLED, "stopped");
    }
    progress_end(&bar);
    double seconds = os_now() - begun;
    if (code == ERR_OK && (v->common.verbose || err_is_terminal()))
        out_note("%llu documents, %s in %s, %s/s", (unsigned long long)total, amount_bytes((double)bytes).text,
                 amount_time(seconds).text, amount_bytes((double)bytes / (seconds > 0 ? seconds : 1)).text);
    for (int i = 0; i < parts; i++)
        strbuf_fini(&r.text[i]);
    return code;
}

/* ---- facts ---- */

static err_code print_fact(const world *w, unsigned fact, const strbuf *ids, err *e) {
    pen p;
    char id[FACT_ID_BYTES];
    js_out j = {.e = e};
    fact_id(fact, id);
    js_begin(&j, '{');
    js_key(&j, "id");
    js_text(&j, str_from(id));
    pen_clear(&p);
    fact_question(&p, w->seed, fact, fact_test_wording(fact));
    js_key(&j, "question");
    js_text(&j, pen_str(&p));
    pen_clear(&p);
    fact_answer(&p, w->seed, fact);
    js_key(&j, "answer");
    js_text(&j, pen_str(&p));
    js_key(&j, "documents");
    js_begin(&j, '[');
    if (ids->n > 0)
        js_raw(&j, strbuf_str(ids));
    js_end(&j, ']');
    js_end(&j, '}');
    return js_print(&j);
}

static err_code print_facts(const values *v, const world *w, err *e) {
    static strbuf ids[FACTS]; /* "id","id",... of each fact */
    err_code code = ERR_OK;
    progress bar = {.what = "facts", .unit = "documents"};
    for (uint64_t i = 0; i < (uint64_t)v->docs && code == ERR_OK; i++) {
        doc_info info;
        char id[DOC_ID_BYTES];
        doc_look(w, i, &info);
        doc_id(w, i, id);
        for (unsigned k = 0; k < info.n_facts && code == ERR_OK; k++) {
            strbuf *b = &ids[info.fact[k]];
            code = strbuf_addf(b, e, "%s\"%s\"", b->n > 0 ? "," : "", id);
        }
        progress_step(&bar, i + 1, (uint64_t)v->docs);
    }
    progress_end(&bar);
    for (unsigned f = 0; f < FACTS && code == ERR_OK; f++)
        code = print_fact(w, f, &ids[f], e);
    for (unsigned f = 0; f < FACTS; f++)
        strbuf_fini(&ids[f]);
    return code;
}

/* ---- questions ---- */

static err_code print_quiz_item(const quiz_item *q, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "id");
    js_text(&j, str_from(q->id));
    js_key(&j, "kind");
    js_text(&j, str_from(quiz_kind_names[q->kind]));
    js_key(&j, "type");
    js_text(&j, str_from(q->type));
    js_key(&j, "level");
    js_int(&j, q->level);
    js_key(&j, "chance");
    js_real(&j, q->chance, 6);
    js_key(&j, "prompt");
    js_text(&j, pen_str(&q->prompt));
    js_key(&j, "answer");
    js_text(&j, pen_str(&q->want));
    js_key(&j, "stop");
    js_text(&j, str_from(quiz_stop(q->kind)));
    js_end(&j, '}');
    return js_print(&j);
}

static err_code print_quiz(const values *v, const world *w, err *e) {
    static quiz_item q;
    quiz_kind kind = 0;
    while (strcmp(quiz_kind_names[kind], v->quiz) != 0)
        kind++;
    uint64_t n = (uint64_t)v->docs < quiz_count(kind) ? (uint64_t)v->docs : quiz_count(kind);
    for (uint64_t i = 0; i < n; i++) {
        quiz_make(w, kind, i, &q);
        TRY(print_quiz_item(&q, e));
    }
    return ERR_OK;
}

/* ---- statistics ---- */

typedef struct {
    uint64_t docs, bytes, longest;
} count;

static void count_doc(count *c, size_t bytes) {
    c->docs++;
    c->bytes += bytes;
    c->longest = bytes > c->longest ? bytes : c->longest;
}

typedef struct {
    world w;
    uint64_t n;
    count by_part[POOL_THREADS_MAX][DOC_KINDS];
    count all[DOC_KINDS];
} census;

static void count_part(void *ctx, int part, int n_parts) {
    census *c = ctx;
    size_t from, to;
    pool_share((size_t)c->n, 1, part, n_parts, &from, &to);
    for (size_t i = from; i < to; i++) {
        pen p;
        doc_info info;
        doc_make(&c->w, i, &p, &info);
        count_doc(&c->by_part[part][info.kind], p.n);
    }
}

static err_code print_stats(const values *v, const world *w, pool *p, err *e) {
    static census c;
    c.w = *w;
    c.n = (uint64_t)v->docs;
    pool_run(p, count_part, &c);
    count sum = {0};
    for (int k = 0; k < DOC_KINDS; k++)
        for (int i = 0; i < pool_threads(p); i++) {
            count *from = &c.by_part[i][k], *to[] = {&c.all[k], &sum};
            for (int t = 0; t < 2; t++) {
                to[t]->docs += from->docs;
                to[t]->bytes += from->bytes;
                to[t]->longest = from->longest > to[t]->longest ? from->longest : to[t]->longest;
            }
        }
    js_out j = {.e = e};
    js_begin(&j, '{');
    for (int k = 0; k <= DOC_KINDS; k++) {
        const char *name = k < DOC_KINDS ? doc_kind_names[k] : "all";
        const count *x = k < DOC_KINDS ? &c.all[k] : &sum;
        if (k < DOC_KINDS && x->docs == 0)
            continue; /* the mix has no such kind */
        if (!v->common.json) {
            out_printf("%-6s %8llu documents, %s of text, the longest %llu bytes\n", name, (unsigned long long)x->docs,
                       amount_bytes((double)x->bytes).text, (unsigned long long)x->longest);
            continue;
        }
        js_key(&j, name);
        js_begin(&j, '{');
        js_key(&j, "docs");
        js_int(&j, (int64_t)x->docs);
        js_key(&j, "bytes");
        js_int(&j, (int64_t)x->bytes);
        js_key(&j, "longest");
        js_int(&j, (int64_t)x->longest);
        js_end(&j, '}');
    }
    js_end(&j, '}');
    if (v->common.json)
        return js_print(&j);
    strbuf_fini(&j.text);
    out_printf("facts  %8d\n", FACTS);
    return ERR_OK;
}

/* ---- the command ---- */

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    if (strcmp(args->arg[0], "homeworld") != 0)
        return err_set(e, ERR_USAGE, "no corpus \"%s\" (there is one: homeworld)", args->arg[0]);
    if (v->facts + v->stats + (v->quiz != NULL) > 1)
        return err_set(e, ERR_USAGE, "--facts, --quiz and --stats exclude each other");
    world w = {.seed = (uint64_t)v->seed, .split = strcmp(v->split, "test") == 0 ? SPLIT_TEST : SPLIT_TRAIN};
    world_mix_parse(str_from(v->mix), &w.mix); /* options.c has refused all other names */
    if (v->facts)
        return print_facts(v, &w, e);
    if (v->quiz)
        return print_quiz(v, &w, e);
    pool *workers = NULL;
    TRY(pool_open(&workers, (int)v->common.threads, e));
    err_code code = v->stats ? print_stats(v, &w, workers, e) : print_documents(v, &w, workers, e);
    pool_close(workers);
    return code;
}

const command command_corpus = {
    .name = "corpus",
    .args = "homeworld",
    .summary = "the built-in corpus: a micro-world's stories, questions, facts, plans",
    .details =
        "homeworld is a simulated household. Its documents are short stories, stories with questions and answers, "
        "facts that stand in known documents only, and orders to a robot with plans that carry them out. They are "
        "made, not stored: the same seed gives the same bytes on every machine (doc/homeworld.md).\n"
        "Prints JSON Lines with the keys id, text, source, licence, topic, kind, facts. --facts prints a line a "
        "fact: {\"id\", \"question\", \"answer\", \"documents\"}. --quiz prints what loam eval asks, for other "
        "programs: "
        "{\"id\", \"kind\", \"type\", \"level\", \"chance\", \"prompt\", \"answer\", \"stop\"}.\n\n"
        "  loam corpus homeworld --docs 10000 >homeworld.jsonl\n"
        "  loam corpus homeworld --docs 10000 --facts | head -3",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
