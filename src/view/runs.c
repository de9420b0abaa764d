/* runs: see runs.h. */
#include "view/runs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "train/size.h"

/* ---- which there are ---- */

static int by_path(const void *a, const void *b) {
    return strcmp(((const runs_row *)a)->path, ((const runs_row *)b)->path);
}

static err_code add(runs_list *l, const char *path, err *e) {
    if (l->n >= RUNS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d runs", RUNS_MAX);
    runs_row *p = realloc(l->row, (l->n + 1) * sizeof *l->row);
    if (p)
        l->row = p;
    char *copy = p ? strdup(path) : NULL;
    if (!copy)
        return err_set(e, ERR_MEMORY, "no memory for a list of runs");
    l->row[l->n++] = (runs_row){.path = copy};
    return ERR_OK;
}

err_code runs_find(runs_list *l, const char *folder, err *e) {
    if (run_is(folder))
        return add(l, folder, e);
    DIR *d = opendir(folder);
    if (!d)
        return err_set(e, ERR_IO, "%s: cannot be read: %s", folder, strerror(errno));
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        run_path path;
        const char *before = strcmp(folder, ".") == 0 ? "" : folder;
        if (x->d_name[0] != '.' && os_join(path.text, before, x->d_name, NULL) == ERR_OK && run_is(path.text))
            code = add(l, path.text, e);
    }
    closedir(d);
    if (l->n)
        qsort(l->row, l->n, sizeof *l->row, by_path);
    return code;
}

void runs_fini(runs_list *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->row[i].path);
    free(l->row);
    *l = (runs_list){0};
}

/* ---- one of them ---- */

/* What a run's files say, as far as they are there: one that has just begun has neither chain nor log. */
typedef struct {
    run run;
    chain chain;
    runlog_rows log;
} files;

static err_code read_log(runlog_rows *rows, const run *r, err *e) {
    run_path file;
    TRY(run_file(r, "log.db", &file, e));
    return os_exists(file.text) ? runlog_read(rows, file.text, e) : ERR_OK;
}

static void look_at(const files *f, runs_row *r) {
    r->params = size_params(&f->run.recipe);
    r->steps = f->run.recipe.optimizer.steps;
    for (size_t i = 0; i < f->run.removals.n; i++)
        r->removed += f->run.removals.line[i].n;
    if (f->chain.n) {
        r->step = f->chain.line[f->chain.n - 1].step;
        r->loss = f->chain.line[f->chain.n - 1].loss;
    }
    if (f->log.n_evals)
        r->bits = f->log.eval[f->log.n_evals - 1].bits;
    r->seconds = f->log.seconds;
}

/* A note that cannot be read is worth as little as an old one, and says why. */
static void look_at_note(const files *f, runs_row *r) {
    static const hash256 none;
    run_path file;
    err e;
    if (run_file(&f->run, VERIFIED_FILE, &file, &e) != ERR_OK)
        return;
    if (verified_read(&r->verified, file.text, &e) != ERR_OK)
        snprintf(r->verified.difference, sizeof r->verified.difference, VERIFIED_FILE " cannot be read");
    r->verification = verified_state_of(&r->verified, f->chain.n ? f->chain.line[f->chain.n - 1].digest : none);
}

/* After an error the row has what could be read. */
static err_code files_open(files *f, runs_row *r, err *e) {
    TRY(run_open(&f->run, r->path, e));
    err_code code = run_chain(&f->run, &f->chain, e);
    if (code == ERR_OK)
        code = read_log(&f->log, &f->run, e);
    look_at(f, r);
    look_at_note(f, r);
    return code;
}

static void files_close(files *f) {
    runlog_rows_fini(&f->log);
    chain_fini(&f->chain);
    run_close(&f->run);
}

void runs_look(runs_row *r) {
    files f = {0};
    err e = {0};
    if (files_open(&f, r, &e) != ERR_OK)
        snprintf(r->problem, sizeof r->problem, "%.199s", e.text);
    files_close(&f);
}

static void json_verification(const runs_row *r, js_out *j) {
    js_key(j, "verification");
    js_begin(j, '{');
    js_put_text(j, "state", str_from(verified_state_name[r->verification]));
    if (r->verified.there)
        verified_members(&r->verified, j);
    js_end(j, '}');
}

void runs_row_json(const runs_row *r, str name, bool whole, js_out *j) {
    js_begin(j, '{');
    js_key(j, "run");
    js_text(j, name);
    js_key(j, "parameters");
    js_int(j, (int64_t)r->params);
    js_key(j, "step");
    js_int(j, (int64_t)r->step);
    js_key(j, "steps");
    js_int(j, (int64_t)r->steps);
    js_key(j, "loss");
    js_real(j, r->loss, 8);
    js_key(j, "val_bits_per_byte");
    js_real(j, r->bits, 8);
    js_key(j, "seconds");
    js_real(j, r->seconds, 6);
    js_key(j, "removed");
    js_int(j, (int64_t)r->removed);
    json_verification(r, j);
    js_key(j, "problem");
    js_text(j, str_from(r->problem));
    if (!whole)
        js_end(j, '}');
}

/* ---- curves ---- */

static err_code make(runs_curve *c, size_t n, err *e) {
    c->x = calloc(n + 1, sizeof *c->x);
    c->y = calloc(n + 1, sizeof *c->y);
    return c->x && c->y ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a curve of %zu steps", n);
}

static void put(runs_curve *c, uint64_t step, double y) {
    c->x[c->n] = (double)step;
    c->y[c->n++] = y;
}

static err_code of_chain(runs_curves *c, const chain *from, err *e) {
    TRY(make(&c->loss, from->n, e));
    TRY(make(&c->measured, from->n, e));
    for (size_t i = 1; i < from->n; i++) {
        put(&c->loss, from->line[i].step, from->line[i].loss);
        if (from->line[i].has_held_out)
            put(&c->measured, from->line[i].step, from->line[i].held_out);
    }
    return ERR_OK;
}

static err_code of_log(runs_curves *c, const runlog_rows *rows, err *e) {
    TRY(make(&c->held_out, rows->n_evals, e));
    TRY(make(&c->speed, rows->n_steps, e));
    for (size_t i = 0; i < rows->n_evals; i++)
        put(&c->held_out, rows->eval[i].step, rows->eval[i].bits);
    for (size_t i = 0; i < rows->n_steps; i++)
        if (rows->step[i].seconds > 0)
            put(&c->speed, rows->step[i].step, (double)rows->step[i].tokens / rows->step[i].seconds);
    return ERR_OK;
}

static err_code curves_of(runs_curves *c, const chain *lines, const runlog_rows *rows, err *e) {
    TRY(of_chain(c, lines, e));
    return of_log(c, rows, e);
}

err_code runs_curves_read(runs_curves *c, const run *r, err *e) {
    chain lines = {0};
    runlog_rows rows = {0};
    err_code code = run_chain(r, &lines, e);
    if (code == ERR_OK)
        code = read_log(&rows, r, e);
    if (code == ERR_OK)
        code = curves_of(c, &lines, &rows, e);
    runlog_rows_fini(&rows);
    chain_fini(&lines);
    return code;
}

void runs_curves_fini(runs_curves *c) {
    runs_curve *const all[] = {&c->loss, &c->held_out, &c->measured, &c->speed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]->x);
        free(all[i]->y);
    }
    *c = (runs_curves){0};
}

void runs_curve_thin(runs_curve *c, size_t most) {
    size_t group = most ? (c->n + most - 1) / most : 1, n = 0;
    if (group <= 1)
        return;
    for (size_t i = 0; i < c->n; i += group) {
        size_t end = i + group < c->n ? i + group : c->n;
        double x = 0, y = 0;
        for (size_t k = i; k < end; k++) {
            x += c->x[k];
            y += c->y[k];
        }
        c->x[n] = x / (double)(end - i);
        c->y[n++] = y / (double)(end - i);
    }
    c->n = n;
}

static void json_curve(const char *key, runs_curve *c, size_t most, js_out *j) {
    runs_curve_thin(c, most);
    js_key(j, key);
    js_begin(j, '[');
    for (size_t i = 0; i < c->n; i++) {
        js_begin(j, '[');
        js_real(j, c->x[i], 9);
        js_real(j, c->y[i], 6);
        js_end(j, ']');
    }
    js_end(j, ']');
}

/* ---- all of one ---- */

static void json_hash(const char *key, hash256 h, js_out *j) {
    char hex[65];
    hash_hex(h, hex);
    js_key(j, key);
    js_text(j, str_from(hex));
}

static void json_chain(const chain *c, js_out *j) {
    js_key(j, "chain");
    js_begin(j, '{');
    js_key(j, "lines");
    js_int(j, (int64_t)c->n);
    json_hash("digest", c->line[c->n - 1].digest, j);
    for (size_t i = c->n; i-- > 0;)
        if (c->line[i].has_roots || i == 0) {
            json_hash("weights", c->line[i].weights, j);
            break;
        }
    js_end(j, '}');
}

static err_code json_recipe(const run *r, js_out *j, err *e) {
    strbuf text = {0};
    err_code code = recipe_text(&r->recipe, &text, e);
    js_key(j, "recipe");
    js_raw(j, strbuf_str(&text));
    strbuf_fini(&text);
    return code;
}

static err_code json_whole(const files *f, const runs_row *row, str name, size_t most, runs_curves *c, js_out *j,
                           err *e) {
    const char *data = f->run.data;
    TRY(curves_of(c, &f->chain, &f->log, e));
    runs_row_json(row, name, true, j);
    js_key(j, "data");
    js_text(j, docs_is_made(data) ? str_from(data) : os_last_part(data));
    js_key(j, "curves");
    js_begin(j, '{');
    json_curve("loss", &c->loss, most, j);
    json_curve("held_out", &c->held_out, most, j);
    if (c->measured.n)
        json_curve("held_out_loss", &c->measured, most, j);
    json_curve("tokens_per_second", &c->speed, most, j);
    js_end(j, '}');
    if (f->chain.n)
        json_chain(&f->chain, j);
    TRY(json_recipe(&f->run, j, e));
    js_end(j, '}');
    return j->code;
}

err_code runs_json(const char *path, str name, size_t most, js_out *j, err *e) {
    files f = {0};
    runs_curves c = {0};
    runs_row row = {.path = (char *)path};
    err_code code = files_open(&f, &row, e);
    if (code == ERR_OK)
        code = json_whole(&f, &row, name, most, &c, j, e);
    runs_curves_fini(&c);
    files_close(&f);
    return code;
}
