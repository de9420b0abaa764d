/* loam trace: where a text stands in the data, and the index that finds it. */
#include <inttypes.h>
#include <string.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/tracer.h"

typedef struct {
    common_values common;
    tracer_values trace;
    const char *run;
    int64_t shard_mb;
    bool check;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .trace = TRACER_DEFAULTS, .shard_mb = 8};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"run", 'r', OPT_TEXT, "RUN", "also say at which steps this run has seen the documents", AT(run), 0, 0, NULL},
    {"shard-mb", 0, OPT_INT, "N", "index: sort so many MiB of text at a time; memory is 5 times that for each thread",
     AT(shard_mb), 1, 1024, NULL},
    {"check", 0, OPT_FLAG, NULL, "index: make none, compare the one there is with its own SHA-256", AT(check), 0, 0,
     NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Data", own_options, 0}, TRACER_GROUP(values), COMMON_GROUP, {0}};

static err_code check(const char *path, pool *workers, suffix_totals *t, err *e) {
    suffix *x;
    TRY(tracer_open_index(&x, path, e));
    *t = suffix_totals_of(x);
    err_code code = suffix_check(x, workers, e);
    suffix_close(x);
    return code;
}

static err_code index_set(const values *v, const char *path, pool *workers, err *e) {
    suffix_totals t;
    char hex[65];
    double began = os_now();
    TRY(v->check ? check(path, workers, &t, e) : tracer_index_here(path, (size_t)v->shard_mb << 20, workers, &t, e));
    double seconds = os_now() - began, bytes = (double)t.text_bytes;
    hash_hex(t.digest, hex);
    if (v->common.verbose || err_is_terminal())
        out_note("%s in %.2f s, %s/s with %d threads", amount_bytes(bytes).text, seconds,
                 amount_bytes(bytes / (seconds > 0 ? seconds : 1)).text, pool_threads(workers));
    if (!v->common.json) {
        out_printf("documents  %" PRIu64 "\ntext       %" PRIu64 " bytes in %zu shard%s\n", t.n_docs, t.text_bytes,
                   t.n_shards, t.n_shards == 1 ? "" : "s");
        out_printf("index      %" PRIu64 " bytes, %.2f for each of the text\ndigest     %s\n", t.file_bytes,
                   (double)t.file_bytes / bytes, hex);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "documents");
    js_int(&j, (int64_t)t.n_docs);
    js_key(&j, "text_bytes");
    js_int(&j, (int64_t)t.text_bytes);
    js_key(&j, "index_bytes");
    js_int(&j, (int64_t)t.file_bytes);
    js_key(&j, "shards");
    js_int(&j, (int64_t)t.n_shards);
    js_key(&j, "digest");
    js_text(&j, str_from(hex));
    js_key(&j, "seconds");
    js_real(&j, seconds, 4);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code trace(const values *v, const char *what, const char *text, pool *workers, err *e) {
    tracer t = {0};
    strbuf given = {0};
    err_code code = ERR_OK;
    if (strcmp(text, "-") == 0)
        code = os_read_stdin(SPANS_TEXT_BYTES_MAX, &given, e);
    double began = os_now();
    if (code == ERR_OK)
        code = tracer_open_here(&t, what, v->run, workers, e);
    double opened = os_now();
    interrupt_catch();
    if (code == ERR_OK)
        code =
            tracer_show(&t, strcmp(text, "-") == 0 ? strbuf_str(&given) : str_from(text), &v->trace, v->common.json, e);
    if (code == ERR_OK && v->common.verbose)
        out_note("opened in %.1f ms, traced in %.1f ms", 1e3 * (opened - began), 1e3 * (os_now() - opened));
    tracer_close(&t);
    strbuf_fini(&given);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    pool *workers;
    bool index = strcmp(args->arg[0], "index") == 0;
    if (!index && (v->check || v->shard_mb != defaults.shard_mb))
        return err_set(e, ERR_USAGE, "--check and --shard-mb belong to loam trace index");
    if (index && v->run)
        return err_set(e, ERR_USAGE, "--run does not belong to loam trace index");
    TRY(pool_open(&workers, (int)v->common.threads, e));
    err_code code = index ? index_set(v, args->arg[1], workers, e) : trace(v, args->arg[0], args->arg[1], workers, e);
    pool_close(workers);
    return code;
}

const command command_trace = {
    .name = "trace",
    .args = "index DATA.db | DATA.db|RUN TEXT|-",
    .summary = "which parts of a text stand verbatim in the data, and in which documents",
    .details =
        "loam trace index DATA.db makes DATA.db.trace, a suffix array over all documents; loam data build --index does "
        "it in one go. Then loam trace DATA.db TEXT finds all maximal spans of whole words of TEXT (- reads it from "
        "standard input) that stand in the documents as they are, the rarest words first, with the number of times and "
        "the "
        "first documents: source, licence, context and, given a run, the steps at which it has seen them. For a RUN "
        "instead of DATA.db the run's own data are looked into; it makes its index itself when it needs one. An answer "
        "that is verbatim was not necessarily learned from these documents, and one that is not may still be "
        "(doc/trace.md).\n"
        "With --json: {\"spans\": [{\"start\", \"end\", \"text\", \"count\", \"docs\": [{\"id\", \"sha256\", "
        "\"source\", \"licence\", \"offset\", \"steps\"}]}]}; start and end are bytes of TEXT, offset is in the "
        "document.\n\n"
        "  loam trace index stories.db\n"
        "  loam trace stories.db \"Once upon a time there was a lamp.\" --run first\n"
        "  loam run first -p \"The lamp\" | loam trace first - --json",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
