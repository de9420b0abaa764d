/* tracer: see tracer.h. */
#include "view/tracer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "trace/indexer.h"
#include "trace/origin.h"

static const char IN_RUN[] = "data.trace";

err_code tracer_beside(const char *path, run_path *out, err *e) {
    int n = snprintf(out->text, sizeof out->text, "%s.trace", path);
    return n > 0 && (size_t)n < sizeof out->text ? ERR_OK
                                                 : err_set(e, ERR_LIMIT, "%.60s...: the path is too long", path);
}

/* ---- making an index ---- */

/* Documents by id, from a data set or from a run whose documents are made. */
typedef struct {
    dataset *set;
    docs *docs;
    const dataset_key *key;
    const uint32_t *number;
    size_t n, at;
} walker;

static err_code next_doc(void *ctx, bool *got, int64_t *id, str *text, err *e) {
    walker *w = ctx;
    dataset_doc doc;
    *got = w->at < w->n;
    if (!*got)
        return ERR_OK;
    size_t i = w->at++;
    if (w->docs) {
        *id = w->docs->key[w->number[i]].id;
        return docs_text(w->docs, w->number[i], text, e);
    }
    *id = w->key[i].id;
    TRY(dataset_get(w->set, *id, &doc, e));
    *text = doc.text;
    return ERR_OK;
}

static err_code make(const char *path, walker *w, const indexer_options *o, err *e) {
    return indexer_make(path, &(indexer_source){next_doc, w}, o, e);
}

static indexer_options options_of(pool *workers, const tracer_watch *w) {
    return (indexer_options){.workers = workers, .stop = w->stop, .progress = w->progress, .progress_ctx = w->ctx};
}

static int by_id(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static err_code make_of_set(const char *path, dataset *set, indexer_options *o, err *e) {
    dataset_key *key = NULL;
    walker w = {.set = set};
    err_code code = origin_of_file(dataset_path(set), &o->source, e);
    if (code == ERR_OK)
        code = dataset_list(set, NULL, &key, &w.n, e);
    if (code == ERR_OK)
        code = dataset_keys_digest(key, w.n, &o->digest, e);
    if (code == ERR_OK) {
        for (size_t i = 0; i < w.n; i++)
            o->bytes_total += key[i].bytes;
        if (w.n)
            qsort(key, w.n, sizeof *key, by_id);
        w.key = key;
        code = make(path, &w, o, e);
    }
    free(key);
    return code;
}

err_code tracer_index(const char *path, size_t shard_bytes, pool *workers, const tracer_watch *w, suffix_totals *out,
                      err *e) {
    dataset *set;
    run_path to;
    suffix *x;
    indexer_options o = options_of(workers, w);
    o.shard_bytes = shard_bytes;
    TRY(tracer_beside(path, &to, e));
    TRY(dataset_open(&set, path, e));
    err_code code = make_of_set(to.text, set, &o, e);
    dataset_close(set);
    TRY(code);
    TRY(suffix_open(&x, to.text, e));
    *out = suffix_totals_of(x);
    suffix_close(x);
    return ERR_OK;
}

/* ---- opening one ---- */

/* *fits: it is of this origin. */
static err_code open_at(suffix **out, const char *path, hash256 origin, bool *fits, err *e) {
    TRY(suffix_open(out, path, e));
    hash256 is = suffix_totals_of(*out).source;
    *fits = memcmp(is.byte, origin.byte, sizeof is.byte) == 0;
    return ERR_OK;
}

err_code tracer_open_index(suffix **out, const char *path, err *e) {
    run_path at;
    hash256 origin;
    bool fits;
    *out = NULL;
    TRY(tracer_beside(path, &at, e));
    TRY(origin_of_file(path, &origin, e));
    if (!os_exists(at.text))
        return err_set(e, ERR_UNSUPPORTED, "%s: has no index yet (make one: loam trace index %s)", path, path);
    TRY(open_at(out, at.text, origin, &fits, e));
    if (fits)
        return ERR_OK;
    suffix_close(*out);
    *out = NULL;
    return err_set(e, ERR_FORMAT,
                   "%s: is the index of another state of the data set (make it anew: loam trace index %s)", at.text,
                   path);
}

/* ---- runs ---- */

static err_code open_docs(tracer *t, const char *set, err *e) {
    run *r = &t->run;
    bool other = set && !docs_is_made(r->data) && !os_exists(r->data); /* moved: perhaps it is the one at hand */
    return run_load_docs(r, other ? set : r->data, r->where, e);
}

static err_code open_run(tracer *t, const char *path, const char *set, err *e) {
    TRY(run_open(&t->run, path, e));
    TRY(run_chain(&t->run, &t->chain, e));
    return open_docs(t, set, e);
}

static int by_id_of(const void *a, const void *b, void *key) {
    const uint32_t *x = a, *y = b;
    return by_id((dataset_key *)key + *x, (dataset_key *)key + *y);
}

static err_code number_made(tracer *t, err *e) {
    const docs *d = &t->run.docs;
    t->number = calloc(d->n, sizeof *t->number);
    if (!t->number)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", d->n);
    for (size_t i = 0; i < d->n; i++)
        t->number[i] = (uint32_t)i;
    qsort_r(t->number, d->n, sizeof *t->number, by_id_of, d->key);
    return ERR_OK;
}

/* RUN/data.trace, made when it is not there or of other data. */
static err_code open_in_run(tracer *t, err *e) {
    run_path at;
    bool fits = false, made = docs_is_made(t->run.data);
    indexer_options o = options_of(t->workers, &t->watch);
    o.digest = t->run.docs.digest;
    o.bytes_total = t->run.docs.bytes;
    TRY(run_file(&t->run, IN_RUN, &at, e));
    if (made)
        o.source = origin_of_text(str_from(t->run.data));
    else
        TRY(origin_of_file(t->run.data, &o.source, e));
    if (os_exists(at.text))
        TRY(open_at(&t->index, at.text, o.source, &fits, e));
    if (fits)
        return ERR_OK;
    suffix_close(t->index);
    t->index = NULL;
    if (t->watch.never)
        return err_set(e, ERR_UNSUPPORTED, "%s: its documents have no index yet", t->what);
    walker w = {.docs = &t->run.docs, .number = t->number, .n = t->run.docs.n};
    if (made)
        TRY(make(at.text, &w, &o, e));
    else {
        o.bytes_total = 0;
        TRY(make_of_set(at.text, t->set, &o, e));
    }
    return suffix_open(&t->index, at.text, e);
}

static err_code open_what(tracer *t, err *e) {
    if (!run_is(t->what)) {
        if (os_is_dir(t->what))
            return err_set(e, ERR_USAGE, "%s: is neither a data set nor a run", t->what);
        TRY(dataset_open(&t->set, t->what, e));
        return tracer_open_index(&t->index, t->what, e);
    }
    TRY(open_run(t, t->what, NULL, e));
    if (docs_is_made(t->run.data)) {
        TRY(number_made(t, e));
        return open_in_run(t, e);
    }
    run_path beside;
    TRY(tracer_beside(t->run.data, &beside, e));
    TRY(dataset_open(&t->set, t->run.data, e));
    return os_exists(beside.text) ? tracer_open_index(&t->index, t->run.data, e) : open_in_run(t, e);
}

err_code tracer_open(tracer *t, const char *what, const char *of_run, pool *workers, const tracer_watch *w, err *e) {
    *t = (tracer){.workers = workers, .watch = *w, .what = strdup(what)};
    if (!t->what)
        return err_set(e, ERR_MEMORY, "no memory for a path");
    TRY(open_what(t, e));
    if (!of_run)
        return ERR_OK;
    if (t->run.path)
        return err_set(e, ERR_USAGE, "--run: %s is a run already", what);
    return open_run(t, of_run, what, e);
}

void tracer_close(tracer *t) {
    suffix_close(t->index);
    dataset_close(t->set);
    free(t->number);
    chain_fini(&t->chain);
    run_close(&t->run);
    free(t->what);
    *t = (tracer){0};
}

err_code tracer_doc(tracer *t, int64_t id, dataset_doc *doc, err *e) {
    if (t->set)
        return dataset_get(t->set, id, doc, e);
    docs *d = &t->run.docs;
    size_t lo = 0, hi = d->n;
    while (lo < hi) { /* the first that is not below */
        size_t mid = lo + (hi - lo) / 2;
        if (d->key[t->number[mid]].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == d->n || d->key[t->number[lo]].id != id)
        return err_set(e, ERR_USAGE, "there is no document %" PRId64, id);
    return docs_get(d, t->number[lo], doc, e);
}
