/* loam data stats, check: what a data set is made of, and whether it is whole. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/data.h"
#include "store/stats.h"

enum { ROWS_SHOWN = 20 };

typedef struct {
    common_values common;
    int64_t rows;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .rows = ROWS_SHOWN};

static const option own_options[] = {
    {"rows", 'n', OPT_INT, "N", "at most N licences, sources, kinds and topics", offsetof(values, rows), 1, 1e6, NULL},
    {0},
};
static const option_group groups[] = {{"Statistics", own_options, 0}, COMMON_GROUP, {0}};
static const option_group check_groups[] = {COMMON_GROUP, {0}};

static const struct {
    const char *name, *plural;
    stats_column column;
} columns[] = {
    {"licence", "licences", STATS_LICENCE},
    {"source", "sources", STATS_SOURCE},
    {"kind", "kinds", STATS_KIND},
    {"topic", "topics", STATS_TOPIC},
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

typedef struct {
    stats_totals total;
    hash256 digest;
    stats_row *rows[N_COLUMNS];
    size_t n[N_COLUMNS];
    int64_t n_all[N_COLUMNS];
} facts;

static err_code gather(dataset *d, size_t most, arena *mem, facts *f, err *e) {
    TRY(stats_total(d, &f->total, e));
    TRY(dataset_digest(d, &f->digest, e));
    for (size_t i = 0; i < N_COLUMNS; i++)
        TRY(stats_by(d, columns[i].column, most, mem, &f->rows[i], &f->n[i], &f->n_all[i], e));
    return ERR_OK;
}

static void print_text(const facts *f) {
    const stats_totals *t = &f->total;
    char hex[65];
    hash_hex(f->digest, hex);
    out_printf("documents   %" PRId64 "\nbytes       %" PRId64 " (%" PRId64 " to %" PRId64 " each, median %" PRId64
               ")\n",
               t->documents, t->bytes, t->bytes_min, t->bytes_max, t->bytes_median);
    out_printf("duplicates  %" PRId64 " exact, %" PRId64 " near\n", t->exact_duplicates, t->near_duplicates);
    out_printf("files       %" PRId64 "\n", t->files);
    if (t->removals)
        out_printf("dropped     %" PRId64 " documents in %" PRId64 " removals\n", t->removed, t->removals);
    out_printf("digest      %s\n", hex);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        if (f->n[i] == 0 || (f->n_all[i] == 1 && f->rows[i][0].value.n == 0 && columns[i].column != STATS_LICENCE))
            continue; /* nobody has said anything */
        out_printf("\n%-36s  documents         bytes\n", columns[i].name);
        for (size_t k = 0; k < f->n[i]; k++) {
            const stats_row *r = &f->rows[i][k];
            data_print_cell(r->value.n ? r->value : columns[i].column == STATS_LICENCE ? STR("unknown") : STR("-"), 36);
            out_printf("%9" PRId64 "  %12" PRId64 "\n", r->documents, r->bytes);
        }
        if (f->n_all[i] > (int64_t)f->n[i])
            out_printf("... of %" PRId64 " %s (--rows)\n", f->n_all[i], columns[i].plural);
    }
}

static err_code print_json(const facts *f, err *e) {
    const stats_totals *t = &f->total;
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_int(&j, "documents", t->documents);
    js_put_int(&j, "bytes", t->bytes);
    js_put_int(&j, "bytes_min", t->bytes_min);
    js_put_int(&j, "bytes_median", t->bytes_median);
    js_put_int(&j, "bytes_max", t->bytes_max);
    js_put_int(&j, "exact_duplicates", t->exact_duplicates);
    js_put_int(&j, "near_duplicates", t->near_duplicates);
    js_put_int(&j, "files", t->files);
    js_put_int(&j, "removals", t->removals);
    js_put_int(&j, "removed", t->removed);
    js_put_hash(&j, "digest", f->digest);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        js_key(&j, columns[i].plural);
        js_begin(&j, '[');
        for (size_t k = 0; k < f->n[i]; k++) {
            js_begin(&j, '{');
            js_put_text(&j, columns[i].name, f->rows[i][k].value);
            js_put_int(&j, "documents", f->rows[i][k].documents);
            js_put_int(&j, "bytes", f->rows[i][k].bytes);
            js_end(&j, '}');
        }
        js_end(&j, ']');
    }
    js_end(&j, '}');
    return js_print(&j);
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    dataset *d;
    arena mem = {0};
    facts f = {0};
    TRY(dataset_open(&d, args->arg[0], e));
    err_code code = gather(d, (size_t)v->rows, &mem, &f, e);
    if (code == ERR_OK && v->common.json)
        code = print_json(&f, e);
    else if (code == ERR_OK)
        print_text(&f);
    arena_fini(&mem);
    dataset_close(d);
    return code;
}

const command command_data_stats = {
    .name = "data stats",
    .args = "D.db",
    .summary = "documents by licence, source, kind and topic; sizes, duplicates",
    .details = "With --json: {\"documents\", \"bytes\", ..., \"digest\", \"licences\": [{\"licence\", \"documents\", "
               "\"bytes\"}], \"sources\", \"kinds\", \"topics\"}.",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};

/* ---- check ---- */

static err_code check_all(dataset *d, const dataset_key *keys, size_t n, err *e) {
    progress bar = {.what = "checking"};
    uint64_t done = 0, total = 0;
    err_code code = ERR_OK;
    for (size_t i = 0; i < n; i++)
        total += keys[i].bytes;
    for (size_t i = 0; i < n && code == ERR_OK && !interrupt_flag; i++) {
        dataset_doc doc;
        code = dataset_get(d, keys[i].id, &doc, e);
        done += keys[i].bytes;
        progress_step(&bar, done, total);
    }
    progress_end(&bar);
    if (code == ERR_FORMAT) /* what is recorded and what is there differ */
        e->code = code = ERR_MISMATCH;
    return code == ERR_OK && interrupt_flag ? err_set(e, ERR_CANCELLED, "stopped") : code;
}

static err_code check(dataset *d, bool json, err *e) {
    dataset_key *keys;
    size_t n;
    hash256 digest;
    TRY(dataset_list(d, NULL, &keys, &n, e));
    err_code code = dataset_keys_digest(keys, n, &digest, e);
    if (code == ERR_OK)
        code = check_all(d, keys, n, e);
    free(keys);
    TRY(code);
    char hex[65];
    hash_hex(digest, hex);
    if (!json) {
        out_printf("documents  %zu, all as recorded\ndigest     %s\n", n, hex);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_int(&j, "documents", (int64_t)n);
    js_put_hash(&j, "digest", digest);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code run_check(const void *p, const arguments *args, err *e) {
    const common_values *v = p;
    dataset *d;
    TRY(dataset_open(&d, args->arg[0], e));
    dataset_set_stop(d, &interrupt_flag);
    interrupt_catch();
    err_code code = check(d, v->json, e);
    dataset_close(d);
    return code;
}

static const common_values check_defaults = COMMON_DEFAULTS;
const command command_data_check = {
    .name = "data check",
    .args = "D.db",
    .summary = "whether every text is the one that was recorded",
    .details = "Computes the SHA-256 of every text anew. Exit status 3 when one differs.\n"
               "With --json: {\"documents\", \"digest\"}.",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = check_groups,
    .defaults = &check_defaults,
    .values_bytes = sizeof check_defaults,
    .run = run_check,
};
