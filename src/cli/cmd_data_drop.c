/* loam data drop: takes documents out of a data set and leaves a record of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/data.h"
#include "cli/filter.h"
#include "store/build.h"

typedef struct {
    common_values common;
    filter_values filter;
    const char *note;
    bool yes, duplicates;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"duplicates", 'd', OPT_FLAG, NULL, "all documents with the same text as one of them, too",
     offsetof(values, duplicates), 0, 0, NULL},
    {"yes", 'y', OPT_FLAG, NULL, "do not ask", offsetof(values, yes), 0, 0, NULL},
    {"note", 0, OPT_TEXT, "TEXT", "why, or at whose request; kept in the record", offsetof(values, note), 0, 0, NULL},
    {0},
};
static const option_group groups[] = {FILTER_GROUP(values), {"Dropping", own_options, 0}, COMMON_GROUP, {0}};

typedef struct {
    dataset_key *keys; /* by id */
    size_t n;
    int64_t *ids;
    size_t n_same;    /* documents with the same text as one of these, which stay */
    strbuf condition; /* for the record */
} choice;

static void free_choice(choice *c) {
    free(c->keys);
    free(c->ids);
    strbuf_fini(&c->condition);
}

static int compare_ids(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Documents named one by one. */
static err_code choose_named(dataset *d, const arguments *args, choice *c, err *e) {
    size_t n = (size_t)args->n - 1;
    c->ids = calloc(n, sizeof *c->ids);
    c->keys = calloc(n, sizeof *c->keys);
    if (!c->ids || !c->keys)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", n);
    TRY(strbuf_add(&c->condition, STR("id IN ("), e));
    for (size_t i = 0; i < n; i++)
        TRY(filter_find(d, args->arg[i + 1], &c->ids[i], e));
    qsort(c->ids, n, sizeof *c->ids, compare_ids);
    for (size_t i = 0; i < n; i++) {
        if (i && c->ids[i] == c->ids[i - 1])
            continue;
        dataset_doc doc;
        TRY(dataset_get(d, c->ids[i], &doc, e));
        c->ids[c->n] = doc.key.id;
        c->keys[c->n++] = doc.key;
        TRY(strbuf_addf(&c->condition, e, "%s%" PRId64, c->n > 1 ? ", " : "", doc.key.id));
    }
    return strbuf_add(&c->condition, STR(")"), e);
}

static err_code choose_filtered(dataset *d, const values *v, choice *c, err *e) {
    TRY(filter_list(d, &v->filter, &c->keys, &c->n, e));
    TRY(filter_condition(&v->filter, &c->condition, e));
    c->condition.n--; /* the NUL */
    c->ids = calloc(c->n + 1, sizeof *c->ids);
    if (!c->ids)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", c->n);
    for (size_t i = 0; i < c->n; i++)
        c->ids[i] = c->keys[i].id;
    return ERR_OK;
}

static int compare_texts(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return memcmp(x->sha256.byte, y->sha256.byte, sizeof x->sha256.byte);
}

/* Moves those of all[n_all) (by text) that have the text of a chosen one and are not chosen to the front. */
static size_t same_texts(const choice *c, const dataset_key *by_text, dataset_key *all, size_t n_all) {
    size_t n = 0;
    for (size_t i = 0, k = 0; i < n_all; i++) {
        while (k < c->n && compare_texts(&by_text[k], &all[i]) < 0)
            k++;
        if (k < c->n && compare_texts(&by_text[k], &all[i]) == 0 &&
            !bsearch(&all[i].id, c->ids, c->n, sizeof *c->ids, compare_ids))
            all[n++] = all[i];
    }
    return n;
}

static err_code add_chosen(choice *c, const dataset_key *more, size_t n, err *e) {
    dataset_key *keys = realloc(c->keys, (c->n + n) * sizeof *keys);
    c->keys = keys ? keys : c->keys;
    int64_t *ids = keys ? realloc(c->ids, (c->n + n) * sizeof *ids) : NULL;
    if (!ids)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", c->n + n);
    c->ids = ids;
    memcpy(c->keys + c->n, more, n * sizeof *more);
    c->n += n;
    filter_sort_by_id(c->keys, c->n);
    for (size_t i = 0; i < c->n; i++)
        c->ids[i] = c->keys[i].id;
    return strbuf_add(&c->condition, STR("; and the documents with the same texts"), e);
}

/* The same texts elsewhere in the set: chosen, too, or counted. */
static err_code look_for_same(dataset *d, const values *v, choice *c, err *e) {
    dataset_key *all = NULL, *by_text = malloc((c->n + 1) * sizeof *by_text);
    size_t n_all;
    if (!by_text)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", c->n);
    err_code code = dataset_list(d, NULL, &all, &n_all, e);
    if (code == ERR_OK && c->n > 0) {
        memcpy(by_text, c->keys, c->n * sizeof *by_text);
        qsort(by_text, c->n, sizeof *by_text, compare_texts);
        size_t n = same_texts(c, by_text, all, n_all);
        c->n_same = v->duplicates ? 0 : n;
        if (v->duplicates && n > 0)
            code = add_chosen(c, all, n, e);
    }
    free(all);
    free(by_text);
    return code;
}

static err_code choose(const values *v, const arguments *args, choice *c, err *e) {
    if (filter_is_empty(&v->filter) == (args->n == 1))
        return err_set(e, ERR_USAGE,
                       args->n == 1 ? "which documents? (ids, or --where, --licence, --source, ...)"
                                    : "ids and conditions exclude each other");
    dataset *d;
    TRY(dataset_open(&d, args->arg[0], e));
    dataset_set_stop(d, &interrupt_flag);
    err_code code = args->n > 1 ? choose_named(d, args, c, e) : choose_filtered(d, v, c, e);
    if (code == ERR_OK)
        code = look_for_same(d, v, c, e);
    dataset_close(d);
    return code;
}

/* From the terminal, if there is one to ask. */
static err_code ask(const values *v, const choice *c, const char *path, err *e) {
    int64_t bytes = 0;
    for (size_t i = 0; i < c->n; i++)
        bytes += (int64_t)c->keys[i].bytes;
    amount size = amount_bytes((double)bytes);
    if (c->n_same)
        out_note("%zu more documents have the same text as one of these and stay (--duplicates drops them, too)",
                 c->n_same);
    if (v->yes)
        return ERR_OK;
    if (!isatty(STDIN_FILENO) || !err_is_terminal())
        return err_set(e, ERR_USAGE, "%zu documents, %s, would be dropped for good (--yes does it)", c->n, size.text);
    fprintf(stderr, "Drop %zu documents, %s, from %s for good? [y/N] ", c->n, size.text, path);
    fflush(stderr);
    char line[16];
    bool yes = fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
    return yes ? ERR_OK : err_set(e, ERR_CANCELLED, "nothing was dropped");
}

static err_code print(const values *v, const choice *c, const build_result *r, err *e) {
    char hex[65];
    hash_hex(r->digest, hex);
    if (!v->common.json) {
        out_printf("dropped    %zu\ndocuments  %" PRId64 "\nbytes      %" PRId64 "\ndigest     %s\n", c->n,
                   r->documents, r->bytes, hex);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "dropped");
    js_begin(&j, '[');
    for (size_t i = 0; i < c->n; i++)
        js_int(&j, c->ids[i]);
    js_end(&j, ']');
    js_put_int(&j, "same_text", (int64_t)c->n_same);
    js_put_int(&j, "documents", r->documents);
    js_put_int(&j, "bytes", r->bytes);
    js_put_hash(&j, "digest", r->digest);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code drop(const values *v, const char *path, const choice *c, err *e) {
    data_progress bar = {0};
    build_result r;
    build_options o = {.progress = data_progress_step, .progress_ctx = &bar, .stop = &interrupt_flag};
    TRY(pool_open(&o.workers, (int)v->common.threads, e));
    err_code code = dataset_drop(path, c->ids, c->n, strbuf_str(&c->condition), str_from(v->note), &o, &r, e);
    data_progress_end(&bar);
    pool_close(o.workers);
    return code == ERR_OK ? print(v, c, &r, e) : code;
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    choice c = {0};
    interrupt_catch();
    err_code code = choose(v, args, &c, e);
    if (code == ERR_OK && c.n == 0)
        code = err_set(e, ERR_USAGE, "no document is meant by that");
    if (code == ERR_OK)
        code = ask(v, &c, args->arg[0], e);
    if (code == ERR_OK)
        code = drop(v, args->arg[0], &c, e);
    free_choice(&c);
    return code;
}

const command command_data_drop = {
    .name = "data drop",
    .args = "D.db [ID|SHA256...]",
    .summary = "take documents out for good, with a record of it",
    .details =
        "The file is written anew without the texts, names and sources of these documents, and replaces the old one "
        "when "
        "it is complete. Tables removals and removed keep the condition, the note, the ids and the SHA-256, and later "
        "builds with --append leave these texts out. Copies of the old file elsewhere, and what a disk keeps of a "
        "deleted "
        "file, are beyond its reach. Documents with the same text as a dropped one stay, and are counted, unless "
        "--duplicates is given; `--where \"near_of = 17\"` finds what is nearly the same as document 17. Asks on a "
        "terminal; elsewhere --yes is needed.\n"
        "With --json: {\"dropped\": [ids], \"same_text\": how many stay, \"documents\", \"bytes\", \"digest\"}.\n\n"
        "  loam data drop D.db 17 42 --duplicates\n"
        "  loam data drop D.db --licence unknown --note \"no licence found\" --yes\n"
        "  loam data drop D.db --where \"text LIKE '%Jane Doe%'\"",
    .n_args_min = 1,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
