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

static str name_of(const char *path) {
    str name = os_last_part(path);
    if (str_ends(name, STR(".db")) && name.n > 3)
        name.n -= 3;
    return name;
}

static err_code add(lineage_place *at, size_t *n, const char *path, err *e) {
    str name = name_of(path);
    const lineage_place *same = find(at, *n, name);
    if (same && strcmp(same->path, path) == 0)
        return ERR_OK;
    if (same)
        return err_set(e, ERR_USAGE, "%s: would be shown as \"%s\", and so is %s (rename one of them)", path,
                       same->name, same->path);
    if (*n == LINEAGE_PLACES_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d runs or data sets to show", path, LINEAGE_PLACES_MAX);
    lineage_place p = {.name = strndup(name.p, name.n), .path = strdup(path)};
    at[(*n)++] = p;
    return p.name && p.path ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the name of %s", path);
}

err_code lineage_add_run(lineage *l, const char *path, err *e) {
    run r = {0};
    TRY(add(l->run, &l->n_runs, path, e));
    if (run_open(&r, path, NULL) == ERR_OK)
        memcpy(find(l->run, l->n_runs, name_of(path))->answers, r.recipe.data.answers, sizeof r.recipe.data.answers);
    run_close(&r);
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
        if (!lineage_run(l, name_of(list.row[i].path)))
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
    TRY(tracer_beside(path, &beside, e));
    return tell(told, ctx, beside.text, e);
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
        if (os_join(own.text, l->run[i].path, "model.gguf", NULL) == ERR_OK && strcmp(own.text, model_path) == 0)
            return l->run[i].name;
    }
    return NULL;
}

/* Opened for good when the documents can be listed, with an index or without. */
static err_code open_data(lineage_place *p, err *e) {
    const tracer_watch watch = {.never = true};
    tracer *t = calloc(1, sizeof *t);
    err why = {0};
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for a data set");
    err_code code = tracer_open(t, p->path, NULL, NULL, &watch, &why);
    if (code == ERR_OK || t->set || t->number) {
        p->tracer = t;
        p->untraced = why;
        return ERR_OK;
    }
    tracer_close(t);
    free(t);
    return err_set(e, code, "%s", why.text);
}

err_code lineage_open(lineage *l, str name, tracer **t, err *why, err *e) {
    lineage_place *p = find(l->data, l->n_data, name);
    *t = NULL;
    if (!p)
        return err_set(e, ERR_IO, "there is no data set \"%.*s\" here (GET /loam/data lists what there is)",
                       STR_ARG(name));
    if (!p->tracer)
        TRY(open_data(p, e));
    *t = p->tracer;
    if (p->untraced.code == ERR_UNSUPPORTED)
        err_set(why, ERR_UNSUPPORTED,
                "%s: its documents have no index yet (loam serve --index makes that of a run, loam trace index that of "
                "a data set)",
                p->name);
    else if (p->untraced.code != ERR_OK)
        *why = p->untraced;
    return ERR_OK;
}
