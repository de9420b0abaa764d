/* loam data list, show, export: documents of a data set, for people and for programs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/data.h"
#include "cli/filter.h"
#include "store/jsonl.h"
#include "view/library.h"

enum { FLUSH_EVERY = 256 };

typedef struct {
    common_values common;
    filter_values filter;
    int64_t limit;
    bool text;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option list_options[] = {
    {"limit", 'n', OPT_INT, "N", "at most N of them; 0: all", offsetof(values, limit), 0, 1e15, NULL},
    {"text", 0, OPT_FLAG, NULL, "with --json: the texts, too", offsetof(values, text), 0, 0, NULL},
    {0},
};
static const option limit_options[] = {
    {"limit", 'n', OPT_INT, "N", "at most N of them; 0: all", offsetof(values, limit), 0, 1e15, NULL},
    {0},
};
static const option show_options[] = {
    {"text", 0, OPT_FLAG, NULL, "the text alone, byte for byte", offsetof(values, text), 0, 0, NULL},
    {0},
};

static const option_group list_groups[] = {FILTER_GROUP(values), {"Listing", list_options, 0}, COMMON_GROUP, {0}};
static const option_group export_groups[] = {FILTER_GROUP(values), {"Listing", limit_options, 0}, COMMON_GROUP, {0}};
static const option_group show_groups[] = {{"Showing", show_options, 0}, COMMON_GROUP, {0}};

typedef err_code print_doc(const values *v, const dataset_doc *doc, err *e);

/* Prints the chosen documents by id, one after the other. */
static err_code print_chosen(const values *v, dataset *d, print_doc *print, size_t *n_chosen, err *e) {
    dataset_key *keys;
    size_t n;
    TRY(filter_list(d, &v->filter, &keys, &n, e));
    *n_chosen = n;
    if (v->limit > 0 && (size_t)v->limit < n)
        n = (size_t)v->limit;
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK && !interrupt_flag; i++) {
        dataset_doc doc;
        if (i % FLUSH_EVERY == FLUSH_EVERY - 1 && !out_flush())
            break; /* out_close() says why */
        if (v->common.json && i)
            out_text(STR(","));
        code = dataset_get(d, keys[i].id, &doc, e);
        if (code == ERR_OK)
            code = print(v, &doc, e);
    }
    free(keys);
    return code == ERR_OK && interrupt_flag ? err_set(e, ERR_CANCELLED, "stopped") : code;
}

/* ---- list ---- */

static err_code print_line(const values *v, const dataset_doc *doc, err *e) {
    char hex[65];
    size_t n;
    (void)v;
    (void)e;
    hash_hex(doc->key.sha256, hex);
    out_printf("%8" PRId64 "  %.12s  %9zu  ", doc->key.id, hex, doc->key.bytes);
    const char *licence = data_licence(doc->licence, &n);
    data_print_cell((str){licence, n}, 16);
    data_print_cell(doc->source, 20);
    data_print_cell(doc->name, 0);
    if (doc->duplicate_of)
        out_printf("  (same as %" PRId64 ")", doc->duplicate_of);
    if (doc->near_of)
        out_printf("  (like %" PRId64 ", %.2f)", doc->near_of, doc->similarity);
    out_printf("\n");
    return ERR_OK;
}

static err_code print_object(const values *v, const dataset_doc *doc, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    library_fields(&j, doc);
    if (v->text)
        js_put_text(&j, "text", doc->text);
    js_end(&j, '}');
    if (j.code == ERR_OK)
        out_text(strbuf_str(&j.text));
    strbuf_fini(&j.text);
    return j.code;
}

static err_code open_set(dataset **d, const char *path, err *e) {
    TRY(dataset_open(d, path, e));
    dataset_set_stop(*d, &interrupt_flag);
    interrupt_catch();
    return ERR_OK;
}

static err_code run_list(const void *p, const arguments *args, err *e) {
    const values *v = p;
    dataset *d;
    size_t n = 0;
    TRY(open_set(&d, args->arg[0], e));
    if (v->common.json)
        out_text(STR("{\"documents\":["));
    err_code code = print_chosen(v, d, v->common.json ? print_object : print_line, &n, e);
    if (v->common.json && code == ERR_OK)
        out_printf("],\"count\":%zu}\n", n);
    dataset_close(d);
    return code;
}

const command command_data_list = {
    .name = "data list",
    .args = "D.db",
    .summary = "its documents, or some of them",
    .details =
        "One line a document: id, the first 12 digits of the text's SHA-256, bytes, licence, source, name, and of "
        "which "
        "document it is a duplicate.\n"
        "With --json: {\"documents\": [{\"id\", \"sha256\", \"bytes\", \"name\", \"source\", \"licence\", \"topic\", "
        "\"kind\", \"meta\", ...}], \"count\": of all that are chosen}.\n\n"
        "  loam data list D.db --licence unknown --limit 20\n"
        "  loam data list D.db --where \"bytes > 10000 AND text LIKE '%lighthouse%'\"\n"
        "  loam data list D.db --where \"duplicate_of IS NOT NULL\" --json",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = list_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_list,
};

/* ---- show ---- */

static void print_head(const dataset_doc *doc) {
    char hex[65];
    size_t n;
    hash_hex(doc->key.sha256, hex);
    out_printf("id        %" PRId64 "\nsha256    %s\nbytes     %zu\n", doc->key.id, hex, doc->key.bytes);
    const char *licence = data_licence(doc->licence, &n);
    const struct {
        const char *name;
        str value;
    } fields[] = {
        {"name", doc->name},   {"source", doc->source}, {"licence", {licence, n}},
        {"topic", doc->topic}, {"kind", doc->kind},     {"meta", doc->meta},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].value.n == 0)
            continue;
        out_printf("%-9s ", fields[i].name);
        data_print_cell(fields[i].value, 0);
        out_printf("\n");
    }
    if (doc->duplicate_of)
        out_printf("same as   %" PRId64 "\n", doc->duplicate_of);
    if (doc->near_of)
        out_printf("like      %" PRId64 " (similarity %.4f)\n", doc->near_of, doc->similarity);
    out_printf("\n");
}

static err_code show(const values *v, dataset *d, const char *word, err *e) {
    int64_t id;
    dataset_doc doc;
    TRY(filter_find(d, word, &id, e));
    TRY(dataset_get(d, id, &doc, e));
    if (v->common.json) {
        js_out j = {.e = e};
        js_begin(&j, '{');
        library_fields(&j, &doc);
        js_put_text(&j, "text", doc.text);
        js_end(&j, '}');
        return js_print(&j);
    }
    if (!v->text)
        print_head(&doc);
    out_foreign(doc.text);
    if (!v->text && doc.text.p[doc.text.n - 1] != '\n')
        out_printf("\n");
    return ERR_OK;
}

static err_code run_show(const void *p, const arguments *args, err *e) {
    dataset *d;
    TRY(open_set(&d, args->arg[0], e));
    err_code code = show(p, d, args->arg[1], e);
    dataset_close(d);
    return code;
}

const command command_data_show = {
    .name = "data show",
    .args = "D.db ID|SHA256",
    .summary = "one document: where it comes from, and its text",
    .details = "The document is named by its id or by the first 6 or more digits of its SHA-256, which is checked.\n"
               "With --json: {\"id\", \"sha256\", ..., \"text\"}.\n\n"
               "  loam data show D.db 17\n"
               "  loam data show D.db 2d711642b726 --text",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = show_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_show,
};

/* ---- export ---- */

static err_code print_jsonl(const values *v, const dataset_doc *doc, err *e) {
    strbuf line = {0};
    (void)v;
    err_code code = jsonl_line(doc, &line, e);
    if (code == ERR_OK)
        out_text(strbuf_str(&line));
    strbuf_fini(&line);
    return code;
}

static err_code run_export(const void *p, const arguments *args, err *e) {
    values v = *(const values *)p;
    dataset *d;
    size_t n;
    v.common.json = false; /* lines of JSON are what it prints anyway */
    TRY(open_set(&d, args->arg[0], e));
    err_code code = print_chosen(&v, d, print_jsonl, &n, e);
    dataset_close(d);
    return code;
}

const command command_data_export = {
    .name = "data export",
    .args = "D.db",
    .summary = "its documents as JSON Lines, which build reads",
    .details = "Prints one object a line: {\"id\", \"text\", \"source\", \"licence\", \"topic\", \"kind\"} and the "
               "members of meta. A data set that is built of all of it has the same digest.\n\n"
               "  loam data export D.db --licence CC0-1.0 | zstd >free.jsonl.zst",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = export_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_export,
};
