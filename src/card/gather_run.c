/* gather_run: what a run's folder tells: recipe, chain, log, data set, checkpoints, the model it made. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "card/facts.h"
#include "card/licence.h"
#include "io/gguf.h"
#include "store/runlog.h"
#include "store/used.h"
#include "text/json.h"
#include "tok/tokenizer.h"
#include "train/chain.h"
#include "train/ckpt.h"
#include "train/docs.h"
#include "train/run.h"
#include "train/size.h"

/* A guess for machines whose counters cannot be read: watts a busy thread, with its part of the machine. From 15 W
 * laptops of 8 threads to 280 W servers of 16 busy ones. */
static const double WATTS_LOW = 2, WATTS = 8, WATTS_HIGH = 25;
enum { ORIGINS_MAX = 1000 };

/* ---- recipe ---- */

/* The recipe's own text, key by key: what is in it is in the card, whatever keys come later. */
static err_code add_recipe(card_facts *f, const recipe *r, err *e) {
    strbuf text = {0}, name = {0}, value = {0};
    json_t *top = NULL, *section, *v;
    const char *key, *inner;
    err_code code = recipe_text(r, &text, e);
    if (code == ERR_OK)
        code = json_read(strbuf_str(&text), RECIPE_TEXT_BYTES_MAX, &top, e);
    json_object_foreach(top, key, section) json_object_foreach(section, inner, v) {
        name.n = value.n = 0;
        if (code == ERR_OK)
            code = strbuf_addf(&name, e, "%s.%s", key, inner);
        if (code == ERR_OK)
            code = json_is_string(v)    ? strbuf_add(&value, json_str_of(v), e)
                   : json_is_boolean(v) ? strbuf_add(&value, json_is_true(v) ? STR("yes") : STR("no"), e)
                   : json_is_integer(v) ? strbuf_addf(&value, e, "%" PRId64, (int64_t)json_integer_value(v))
                                        : strbuf_add_real(&value, json_real_value(v), 1, e);
        if (code == ERR_OK)
            code = facts_add(f, &f->recipe, strbuf_str(&name), strbuf_str(&value), e);
    }
    json_decref(top);
    strbuf_fini(&text);
    strbuf_fini(&name);
    strbuf_fini(&value);
    return code;
}

static err_code take_recipe(card_facts *f, const recipe *r, err *e) {
    hash256 h;
    f->by_loam = true;
    f->shape.known = true;
    f->shape.layers = r->model.layers;
    f->shape.width = r->model.width;
    f->shape.heads = r->model.heads;
    f->shape.kv_heads = r->model.kv_heads;
    f->shape.head_width = r->model.head_width;
    f->shape.ff = r->model.ff;
    f->shape.vocab = r->model.vocab;
    f->shape.ctx = r->model.ctx;
    f->shape.window = r->model.window;
    f->shape.tied = r->model.tied;
    f->parameters = size_params(r);
    f->data.named = true;
    f->data.digest = r->data.digest;
    f->data.documents = r->data.documents;
    f->training.of_steps = r->optimizer.steps;
    TRY(facts_clean(f, str_from(r->model.arch), &f->shape.family, e));
    TRY(add_recipe(f, r, e));
    TRY(recipe_digest(r, &h, e));
    TRY(facts_add_hash(f, "recipe", h, e));
    TRY(facts_add_hash(f, "data", r->data.digest, e));
    return recipe_is_tuning(r) ? facts_add_hash(f, "base", r->base.digest, e)
                               : facts_add_hash(f, "tokenizer", r->tokenizer.digest, e);
}

/* ---- chain and log ---- */

static err_code take_chain(card_facts *f, const run *r, err *e) {
    chain c;
    TRY(run_chain(r, &c, e));
    if (c.n == 0)
        return facts_lack(f, "training", "the run has not begun", e);
    err_code code = ERR_OK;
    f->training.known = c.n > 1;
    for (size_t i = 0; i < c.n && code == ERR_OK; i++) {
        const chain_line *l = &c.line[i];
        f->training.tokens += l->targets;
        if (i == 1)
            f->training.first_loss = l->loss;
        if (i + 1 < c.n)
            continue;
        f->training.steps = l->step;
        f->training.last_loss = l->loss;
        f->identity = l->digest;
        code = facts_add_hash(f, "chain", l->digest, e);
        if (code == ERR_OK && (l->has_roots || i == 0))
            code = facts_add_hash(f, "weights", l->weights, e);
    }
    chain_fini(&c);
    if (code == ERR_OK && f->training.steps < f->training.of_steps)
        code = facts_add(f, &f->limit, (str){0}, STR("The run has not reached its last step: the model is unfinished."),
                         e);
    return code;
}

static err_code take_log(card_facts *f, const run *r, err *e) {
    run_path path;
    runlog_rows rows;
    TRY(run_file(r, "log.db", &path, e));
    if (!os_exists(path.text))
        return ERR_OK;
    TRY(runlog_read(&rows, path.text, e));
    if (rows.n_evals) {
        f->training.bits = rows.eval[rows.n_evals - 1].bits;
        f->training.bits_bytes = rows.eval[rows.n_evals - 1].bytes;
    }
    for (size_t i = 0; i < rows.n_steps; i++)
        f->training.flops += rows.step[i].flops;
    if (rows.n_steps && rows.step[rows.n_steps - 1].at > 0 && rows.step[rows.n_steps - 1].at < 253402300800.0)
        f->created = (int64_t)rows.step[rows.n_steps - 1].at;
    f->training.seconds = rows.seconds;
    f->training.thread_seconds = rows.thread_seconds;
    f->energy.known = rows.seconds > 0;
    f->energy.measured = rows.joules >= 0;
    f->energy.joules = rows.joules >= 0 ? rows.joules : WATTS * rows.thread_seconds;
    f->energy.low = rows.joules >= 0 ? rows.joules : WATTS_LOW * rows.thread_seconds;
    f->energy.high = rows.joules >= 0 ? rows.joules : WATTS_HIGH * rows.thread_seconds;
    runlog_rows_fini(&rows);
    return ERR_OK;
}

/* ---- data ---- */

static int by_documents(const void *a, const void *b) {
    const card_origin *x = a, *y = b;
    if (x->documents != y->documents)
        return x->documents < y->documents ? 1 : -1;
    int c = str_cmp(x->source, y->source);
    return c ? c : str_cmp(x->licence, y->licence);
}

/* Licences of all origins, each once. */
static err_code sum_licences(card_facts *f, err *e) {
    ARENA_NEW(&f->mem, f->data.licence, f->data.n_origins, e);
    for (size_t i = 0; i < f->data.n_origins; i++) {
        const card_origin *o = &f->data.origin[i];
        size_t k = 0;
        while (k < f->data.n_licences && !str_eq(f->data.licence[k].licence, o->licence))
            k++;
        if (k == f->data.n_licences)
            f->data.licence[f->data.n_licences++].licence = o->licence;
        f->data.licence[k].documents += o->documents;
        f->data.licence[k].bytes += o->bytes;
        if (o->licence.n == 0)
            f->data.unknown_documents += o->documents;
        else if (!licence_is_open(o->licence))
            f->data.closed_documents += o->documents;
    }
    if (f->data.n_licences)
        qsort(f->data.licence, f->data.n_licences, sizeof *f->data.licence, by_documents);
    return ERR_OK;
}

static err_code one_origin(card_facts *f, str source, str licence, uint64_t documents, uint64_t bytes, err *e) {
    card_origin *o = &f->data.origin[f->data.n_origins];
    TRY(facts_clean(f, source, &o->source, e));
    TRY(facts_clean(f, licence, &o->licence, e));
    o->documents = documents;
    o->bytes = bytes;
    f->data.n_origins++;
    return ERR_OK;
}

/* Document by document: where some were taken out, SQL does not know which. */
static err_code count_each(card_facts *f, docs *d, err *e) {
    ARENA_NEW(&f->mem, f->data.origin, ORIGINS_MAX + 1, e);
    for (size_t i = 0, at = 0; i < d->n; i++) {
        dataset_doc doc;
        str source, licence;
        TRY(docs_get(d, i, &doc, e));
        source = doc.source;
        licence = doc.licence;
        for (at = 0; at < f->data.n_origins; at++)
            if (str_eq(f->data.origin[at].source, source) && str_eq(f->data.origin[at].licence, licence))
                break;
        if (at == f->data.n_origins && at < ORIGINS_MAX)
            TRY(one_origin(f, source, licence, 0, 0, e));
        else if (at == ORIGINS_MAX && f->data.n_origins == ORIGINS_MAX)
            TRY(one_origin(f, STR("(others)"), (str){0}, 0, 0, e));
        f->data.origin[at].documents++;
        f->data.origin[at].bytes += doc.key.bytes;
    }
    return ERR_OK;
}

static err_code take_origins(card_facts *f, run *r, const char *where, err *e) {
    arena mem = {.max_bytes = (size_t)64 << 20};
    used_row *rows = NULL;
    size_t n = 0;
    if (!r->docs.set || r->removals.n)
        return count_each(f, &r->docs, e);
    err_code code = used_by(r->docs.set, where, ORIGINS_MAX, &mem, &rows, &n, e);
    if (code == ERR_OK && !(f->data.origin = arena_alloc(&f->mem, n, sizeof *f->data.origin)))
        code = arena_short(e, n, sizeof *f->data.origin);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        code = one_origin(f, rows[i].source, rows[i].licence, (uint64_t)rows[i].documents, (uint64_t)rows[i].bytes, e);
    arena_fini(&mem);
    return code;
}

/* The query may name whom it is about: it is not told. */
static err_code take_removals(card_facts *f, const run *r, err *e) {
    for (size_t i = 0; i < r->removals.n; i++) {
        const removal *x = &r->removals.line[i];
        char hex[65];
        str name, value;
        hash_hex(x->digest, hex);
        f->data.removed += x->n;
        TRY(facts_format(f, &name, e, "%zu", i + 1));
        TRY(facts_format(f, &value, e,
                         "%zu documents; the run was rebuilt from after step %" PRIu64 " on. Record %.16s...", x->n,
                         x->kept, hex));
        TRY(facts_add(f, &f->removal, name, value, e));
    }
    return ERR_OK;
}

static err_code take_docs(card_facts *f, run *r, const char *where, err *e) {
    f->data.here = true;
    f->data.bytes = r->docs.bytes;
    f->data.held_out = r->docs.n - r->docs.n_train;
    TRY(take_origins(f, r, where, e));
    if (f->data.n_origins)
        qsort(f->data.origin, f->data.n_origins, sizeof *f->data.origin, by_documents);
    return sum_licences(f, e);
}

static err_code take_data(card_facts *f, run *r, const facts_options *o, err *e) {
    const char *source = o->data ? o->data : r->data, *where = o->where ? o->where : o->data ? "" : r->where;
    err why = {0};
    f->data.built_in = docs_is_made(source);
    TRY(take_removals(f, r, e));
    TRY(facts_clean(f, f->data.built_in ? str_from(source) : os_last_part(source), &f->data.source, e));
    TRY(facts_clean(f, str_from(where), &f->data.where, e));
    if (!f->data.built_in && !os_exists(source))
        return facts_lack(f, "data set", "it is not where the run was made (--data tells where it is)", e);
    err_code code = run_load_docs(r, o->data, o->where, &why);
    if (code == ERR_OK)
        return take_docs(f, r, where, e);
    if (code == ERR_MISMATCH)
        return facts_lack(f, "data set", "the one that was found is not the one that the recipe names", e);
    if (code == ERR_MEMORY || code == ERR_CANCELLED || o->data)
        return err_set(e, code, "%s", why.text);
    /* where it is, is this machine's business */
    return facts_lack(f, "data set", "what stands where the run was made cannot be opened (--data tells where it is)",
                      e);
}

/* ---- the folder ---- */

static err_code take_checkpoints(card_facts *f, const run *r, err *e) {
    run_path path;
    uint64_t *steps = NULL;
    size_t n = 0;
    TRY(run_file(r, "ckpt", &path, e));
    TRY(ckpt_list(path.text, &steps, &n, e));
    free(steps);
    f->training.checkpoints = n;
    return ERR_OK;
}

static err_code take_tokenizer(card_facts *f, const run *r, err *e) {
    run_path path;
    tokenizer *t;
    TRY(run_file(r, "tokenizer", &path, e));
    if (tokenizer_open_folder(&t, path.text, NULL) != ERR_OK)
        return ERR_OK;
    f->tokenizer_vocab = (uint64_t)tokenizer_n_vocab(t);
    f->chat_template = tokenizer_chat_template(t).n > 0;
    err_code code = facts_clean(f, str_from(tokenizer_kind(t)), &f->tokenizer, e);
    tokenizer_close(t);
    return code;
}

/* A model, or an adapter. */
static err_code take_export(card_facts *f, const run *r, err *e) {
    const char *name = recipe_has_adapter(&r->recipe) ? "adapter.gguf" : "model.gguf";
    run_path path;
    hash256 h;
    gguf_file g;
    TRY(run_file(r, name, &path, e));
    if (!os_exists(path.text))
        return facts_lack(f, name, "the run has not exported it yet", e);
    TRY(hash_file(path.text, &h, e));
    TRY(facts_add_hash(f, name, h, e));
    TRY(gguf_open(&g, path.text, e));
    f->tensors = g.n_tensors;
    for (size_t i = 0; i < g.n_tensors; i++)
        f->bytes += g.tensor[i].bytes;
    gguf_close(&g);
    return facts_format(f, &f->types, e, "%" PRIu64 " F32", f->tensors);
}

static err_code beside(card_facts *f, const char *folder, const char *name,
                       err_code (*take)(card_facts *, const char *, err *), err *e) {
    char path[OS_PATH_BYTES];
    TRY(os_join(path, folder, name, e));
    return os_exists(path) ? take(f, path, e) : ERR_OK;
}

static err_code take_run(card_facts *f, run *r, const char *path, const facts_options *o, err *e) {
    char full[OS_PATH_BYTES];
    TRY(take_recipe(f, &r->recipe, e));
    TRY(take_chain(f, r, e));
    TRY(take_log(f, r, e));
    TRY(take_data(f, r, o, e));
    TRY(take_checkpoints(f, r, e));
    TRY(take_tokenizer(f, r, e));
    TRY(take_export(f, r, e));
    TRY(facts_clean(f, os_last_part(realpath(path, full) ? full : path), &f->name, e));
    TRY(beside(f, path, "card.json", facts_said_file, e));
    return beside(f, path, "scores.json", facts_scores_file, e);
}

err_code facts_of_run(card_facts *f, const char *path, const facts_options *o, err *e) {
    run r = {0};
    err_code code = run_open(&r, path, e);
    if (code == ERR_OK)
        code = take_run(f, &r, path, o, e);
    run_close(&r);
    return code;
}
