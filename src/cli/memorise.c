/* memorise: see memorise.h. */
#include "cli/memorise.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gen/paired.h"
#include "train/run.h"

enum { PREFIXES_MAX = 8, TOKENS_MAX = 4096, DOCS_USUAL = 200 };

#define AT(field) offsetof(memorise_values, field)
const option memorise_options[] = {
    {"data", 0, OPT_TEXT, "D", "the documents: a data set or homeworld:...; default: those a run learned from",
     AT(data), 0, 0, NULL},
    {"prefix", 0, OPT_TEXT, "LIST", "tokens of context to give, with commas between", AT(prefix), 0, 0, NULL},
    {"suffix", 0, OPT_INT, "N", "tokens that must follow exactly", AT(suffix), 1, TOKENS_MAX, NULL},
    {0},
};
#undef AT

typedef struct {
    int64_t k;
    uint64_t n, verbatim;
    double same; /* tokens before the first difference, added up */
} count;

typedef struct {
    const char *name;
    size_t from, to; /* documents of docs.h */
    uint64_t short_ones;
    count count[PREFIXES_MAX];
} group;

typedef struct {
    const memorise_values *v;
    const loaded *l;
    docs docs;
    int64_t k[PREFIXES_MAX], k_max;
    size_t n_k;
    uint64_t n_docs; /* of a group at most */
    group group[2];
    size_t n_groups;
    session *s;
    progress bar;
    uint64_t done, total;
} memory;

static err_code read_prefixes(memory *m, err *e) {
    for (str rest = str_from(m->v->prefix); rest.n > 0;) {
        char word[16];
        ptrdiff_t comma = str_find(rest, STR(","), 0);
        str one = str_sub(rest, 0, comma < 0 ? rest.n : (size_t)comma);
        rest = str_sub(rest, one.n + 1, rest.n);
        if (m->n_k == PREFIXES_MAX)
            return err_set(e, ERR_USAGE, "--prefix: more than %d numbers", PREFIXES_MAX);
        snprintf(word, sizeof word, "%.*s", one.n < sizeof word ? (int)one.n : (int)sizeof word - 1, one.p);
        TRY(parse_int("--prefix", word, 1, TOKENS_MAX, &m->k[m->n_k], e));
        m->k_max = m->k[m->n_k] > m->k_max ? m->k[m->n_k] : m->k_max;
        m->n_k++;
    }
    return m->n_k ? ERR_OK : err_set(e, ERR_USAGE, "--prefix: no number is given");
}

static err_code open_docs(memory *m, const char *path, err *e) {
    run r = {0};
    docs_options o = {.source = m->v->data};
    err_code code = ERR_OK;
    bool of_run = run_is(path);
    if (of_run)
        code = run_open(&r, path, e);
    if (code == ERR_OK && !of_run && !m->v->data)
        code = err_set(e, ERR_USAGE, "which documents? (--data D.db; only a run folder knows its own)");
    if (code == ERR_OK && of_run) {
        o.val_share = r.recipe.data.val_share;
        o.seed = r.recipe.init.seed;
        if (!m->v->data) {
            o.source = r.data;
            o.where = r.where;
        }
    }
    if (code == ERR_OK)
        code = docs_open(&m->docs, &o, e);
    run_close(&r);
    TRY(code);
    m->group[m->n_groups++] = (group){.name = of_run ? "learned" : "documents", .to = m->docs.n_train};
    if (m->docs.n_train < m->docs.n)
        m->group[m->n_groups++] = (group){.name = "held out", .from = m->docs.n_train, .to = m->docs.n};
    return ERR_OK;
}

/* The suffix after its k tokens before: how many tokens the model gets right until the first that differs. */
static err_code ask(memory *m, const int32_t *suffix, int64_t k, count *c, err *e) {
    generate_options o = {.n_max = (size_t)m->v->suffix, .ignore_end = true, .cancel = &interrupt_flag};
    generate_result r;
    sampler_config greedy = sampler_default;
    greedy.temperature = 0;
    TRY(session_generate(m->s, suffix - k, (size_t)k, &greedy, &o, &r, e));
    if (interrupt_flag)
        return err_set(e, ERR_CANCELLED, "stopped");
    size_t n, same = 0;
    const int32_t *got = session_ids(m->s, &n) + k;
    while (same < o.n_max && same < r.n_generated && got[same] == suffix[same])
        same++;
    c->n++;
    c->verbatim += same == o.n_max;
    c->same += (double)same;
    return ERR_OK;
}

static err_code ask_group(memory *m, group *g, err *e) {
    tok_ids ids = {0};
    err_code code = ERR_OK;
    for (size_t i = g->from; i < g->to && g->count[0].n < m->n_docs && code == ERR_OK; i++) {
        str text;
        if (i > g->from && memcmp(m->docs.sha256[i].byte, m->docs.sha256[i - 1].byte, 32) == 0)
            continue; /* the same text once more: they are sorted by it */
        ids.n = 0;
        code = docs_text(&m->docs, i, &text, e);
        if (code == ERR_OK)
            code = tokenizer_encode(m->l->t, text, TOK_SPECIAL_ADD, &ids, e);
        if (code == ERR_OK && ids.n < (size_t)(m->k_max + m->v->suffix)) {
            g->short_ones++;
            continue;
        }
        for (size_t p = 0; p < m->n_k && code == ERR_OK; p++)
            code = ask(m, ids.id + m->k_max, m->k[p], &g->count[p], e);
        m->done++;
        progress_step(&m->bar, m->done, m->total > m->done ? m->total : m->done);
    }
    tok_ids_fini(&ids);
    return code;
}

static err_code measure(memory *m, err *e) {
    size_t ctx_tokens, need = (size_t)(m->k_max + m->v->suffix);
    TRY(load_ctx(m->l->m, (int64_t)need, need, &ctx_tokens, e));
    TRY(session_open(&m->s, m->l->m, m->l->t, ctx_tokens, e));
    interrupt_catch();
    for (size_t i = 0; i < m->n_groups; i++) {
        size_t all = m->group[i].to - m->group[i].from;
        m->total += all < m->n_docs ? all : m->n_docs;
    }
    err_code code = ERR_OK;
    for (size_t i = 0; i < m->n_groups && code == ERR_OK; i++)
        code = ask_group(m, &m->group[i], e);
    progress_end(&m->bar);
    TRY(code);
    if (m->group[0].count[0].n == 0)
        return err_set(e, ERR_USAGE,
                       "none of the documents has the %" PRId64 " tokens that --prefix and --suffix need (give smaller "
                       "ones)",
                       m->k_max + m->v->suffix);
    return ERR_OK;
}

static err_code print_json(const memory *m, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "task");
    js_text(&j, STR("memorisation"));
    js_key(&j, "suffix");
    js_int(&j, m->v->suffix);
    js_key(&j, "groups");
    js_begin(&j, '[');
    for (size_t i = 0; i < m->n_groups; i++) {
        const group *g = &m->group[i];
        js_begin(&j, '{');
        js_key(&j, "group");
        js_text(&j, str_from(g->name));
        js_key(&j, "too_short");
        js_int(&j, (int64_t)g->short_ones);
        js_key(&j, "prefixes");
        js_begin(&j, '[');
        for (size_t p = 0; p < m->n_k; p++) {
            const count *c = &g->count[p];
            double low, high, n = c->n ? (double)c->n : 1;
            paired_wilson(c->verbatim, c->n, &low, &high);
            js_begin(&j, '{');
            js_key(&j, "k");
            js_int(&j, m->k[p]);
            js_key(&j, "n");
            js_int(&j, (int64_t)c->n);
            js_key(&j, "verbatim");
            js_int(&j, (int64_t)c->verbatim);
            js_key(&j, "share");
            js_real(&j, (double)c->verbatim / n, 17);
            js_key(&j, "low");
            js_real(&j, low, 17);
            js_key(&j, "high");
            js_real(&j, high, 17);
            js_key(&j, "tokens");
            js_real(&j, c->same / n, 17);
            js_end(&j, '}');
        }
        js_end(&j, ']');
        js_end(&j, '}');
    }
    js_end(&j, ']');
    js_end(&j, '}');
    return js_print(&j);
}

static void print_table(const memory *m) {
    out_printf("%-10s %5s %9s %6s   %7s   %-16s   %s\n", "documents", "k", "verbatim", "of", "share", "95 % interval",
               "tokens right");
    for (size_t i = 0; i < m->n_groups; i++)
        for (size_t p = 0; p < m->n_k; p++) {
            const count *c = &m->group[i].count[p];
            double low, high, n = c->n ? (double)c->n : 1;
            paired_wilson(c->verbatim, c->n, &low, &high);
            out_printf("%-10s %5" PRId64 " %9" PRIu64 " %6" PRIu64 "   %5.1f %%   %5.1f to %5.1f %%   %.1f of %" PRId64
                       "\n",
                       m->group[i].name, m->k[p], c->verbatim, c->n, 100 * (double)c->verbatim / n, 100 * low,
                       100 * high, c->same / n, m->v->suffix);
        }
    uint64_t short_ones = 0;
    for (size_t i = 0; i < m->n_groups; i++)
        short_ones += m->group[i].short_ones;
    if (short_ones)
        out_printf("left out   %" PRIu64 " of the documents looked at, with fewer than %" PRId64 " tokens\n",
                   short_ones, m->k_max + m->v->suffix);
}

err_code memorise_run(const memorise_values *v, const loaded *l, const char *path, int64_t n, bool json, err *e) {
    memory m = {
        .v = v, .l = l, .n_docs = n > 0 ? (uint64_t)n : DOCS_USUAL, .bar = {.what = "asking", .unit = "documents"}};
    err_code code = read_prefixes(&m, e);
    if (code == ERR_OK)
        code = open_docs(&m, path, e);
    if (code == ERR_OK)
        code = measure(&m, e);
    if (code == ERR_OK && json)
        code = print_json(&m, e);
    else if (code == ERR_OK)
        print_table(&m);
    session_close(m.s);
    docs_close(&m.docs);
    return code;
}
