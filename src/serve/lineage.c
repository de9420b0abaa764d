/* lineage: see lineage.h. */
#include "serve/lineage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "view/runs.h"

static lineage_place *find(lineage_place *at, size_t n, str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, at[i].name))
            return &at[i];
    return NULL;
}

static err_code add(lineage_place *at, size_t *n, const char *path, err *e) {
    str name = os_last_part(path);
    if (str_ends(name, STR(".db")) && name.n > 3)
        name.n -= 3;
    if (find(at, *n, name))
        return ERR_OK;
    if (*n == LINEAGE_PLACES_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d runs or data sets to show", path, LINEAGE_PLACES_MAX);
    lineage_place p = {.name = strndup(name.p, name.n), .path = strdup(path)};
    at[(*n)++] = p;
    return p.name && p.path ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the name of %s", path);
}

err_code lineage_add_run(lineage *l, const char *path, err *e) {
    TRY(add(l->run, &l->n_runs, path, e));
    return add(l->data, &l->n_data, path, e);
}

err_code lineage_add_data(lineage *l, const char *path, err *e) {
    dataset *d;
    TRY(dataset_open(&d, path, e)); /* what is none is told now */
    dataset_close(d);
    return add(l->data, &l->n_data, path, e);
}

err_code lineage_add_runs(lineage *l, const char *folder, err *e) {
    runs_list list = {0};
    err_code code = runs_find(&list, folder, e);
    bool none = code == ERR_IO;
    for (size_t i = 0; i < list.n && code == ERR_OK && l->n_runs < LINEAGE_PLACES_MAX; i++)
        code = add(l->run, &l->n_runs, list.row[i].path, e);
    runs_fini(&list);
    return none ? ERR_OK : code;
}

static void place_fini(lineage_place *p) {
    if (p->tracer)
        tracer_close(p->tracer);
    free(p->tracer);
    free(p->name);
    free(p->path);
}

void lineage_fini(lineage *l) {
    for (size_t i = 0; i < l->n_runs; i++)
        place_fini(&l->run[i]);
    for (size_t i = 0; i < l->n_data; i++)
        place_fini(&l->data[i]);
    *l = (lineage){0};
}

err_code lineage_index(lineage *l, const tracer_watch *w, err *e) {
    for (size_t i = 0; i < l->n_data; i++) {
        tracer t = {0};
        err_code code = run_is(l->data[i].path) ? tracer_open(&t, l->data[i].path, NULL, NULL, w, e) : ERR_OK;
        tracer_close(&t);
        TRY(code);
    }
    return ERR_OK;
}

/* ---- what is read ---- */

typedef err_code teller(void *ctx, const char *path, err *e);

static err_code tell(teller *told, void *ctx, const char *path, err *e) {
    return os_exists(path) ? told(ctx, path, e) : ERR_OK;
}

/* A data set and the index beside it. */
static err_code tell_set(teller *told, void *ctx, const char *path, err *e) {
    run_path beside;
    TRY(tell(told, ctx, path, e));
    int n = snprintf(beside.text, sizeof beside.text, "%s.trace", path);
    return n > 0 && (size_t)n < sizeof beside.text ? tell(told, ctx, beside.text, e) : ERR_OK;
}

static err_code tell_data(teller *told, void *ctx, const char *path, err *e) {
    run r = {0};
    if (!run_is(path))
        return tell_set(told, ctx, path, e);
    err_code code = tell(told, ctx, path, e);
    if (code == ERR_OK && run_open(&r, path, NULL) == ERR_OK && !docs_is_made(r.data))
        code = tell_set(told, ctx, r.data, e);
    run_close(&r);
    return code;
}

err_code lineage_paths(const lineage *l, teller *told, void *ctx, err *e) {
    for (size_t i = 0; i < l->n_runs; i++)
        TRY(tell(told, ctx, l->run[i].path, e));
    for (size_t i = 0; i < l->n_data; i++)
        TRY(tell_data(told, ctx, l->data[i].path, e));
    return ERR_OK;
}

/* ---- looking ---- */

const lineage_place *lineage_run(const lineage *l, str name) { return find((lineage_place *)l->run, l->n_runs, name); }

const char *lineage_run_of_model(const lineage *l, const char *model_path) {
    for (size_t i = 0; i < l->n_runs; i++) {
        run_path own;
        int n = snprintf(own.text, sizeof own.text, "%s/model.gguf", l->run[i].path);
        if (n > 0 && (size_t)n < sizeof own.text && strcmp(own.text, model_path) == 0)
            return l->run[i].name;
    }
    return NULL;
}

/* A data set without an index stays open for listing. */
static bool can_be_listed(const tracer *t) { return t->set != NULL || t->run.docs.n > 0; }

err_code lineage_open(lineage *l, str name, tracer **t, err *why, err *e) {
    lineage_place *p = find(l->data, l->n_data, name);
    const tracer_watch watch = {.never = true};
    *t = NULL;
    if (!p)
        return err_set(e, ERR_IO, "there is no data set \"%.*s\" here (GET /loam/data lists what there is)",
                       STR_ARG(name));
    if (!p->tracer) {
        tracer *opened = calloc(1, sizeof *opened);
        if (!opened)
            return err_set(e, ERR_MEMORY, "no memory for a data set");
        err_code code = tracer_open(opened, p->path, NULL, NULL, &watch, e);
        if (code != ERR_OK && !can_be_listed(opened)) {
            tracer_close(opened);
            free(opened);
            return code;
        }
        p->tracer = opened;
    }
    *t = p->tracer;
    if (!p->tracer->index)
        err_set(why, ERR_UNSUPPORTED,
                "%s: its documents have no index yet, or one of another state (loam serve --index makes that of a run, "
                "loam trace index that of a data set)",
                p->name);
    return ERR_OK;
}
