/* loam data build: documents from files into a data set. */
#include <inttypes.h>

#include "cli/command.h"
#include "cli/out.h"
#include "store/build.h"

typedef struct {
    common_values common;
    const char *source, *licence;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"source", 0, OPT_TEXT, "NAME", "source of documents that do not name theirs, instead of the file's name",
     offsetof(values, source), 0, 0, NULL},
    {"licence", 0, OPT_TEXT, "SPDX", "licence of documents that do not name theirs", offsetof(values, licence), 0, 0,
     NULL},
    {0},
};

static const option_group groups[] = {{"Building", own_options, 0}, COMMON_GROUP, {0}};

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    dataset_build_options o = {.source = str_from(v->source), .licence = str_from(v->licence), .stop = &interrupt_flag};
    dataset_build_result r;
    interrupt_catch();
    TRY(dataset_build(args->arg[0], args->arg + 1, (size_t)args->n - 1, &o, &r, e));
    char hex[65];
    hash_hex(r.digest, hex);
    if (!v->common.json) {
        out_printf("documents %" PRId64 "\nbytes     %" PRId64 "\ndigest    %s\n", r.documents, r.bytes, hex);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "documents");
    js_int(&j, r.documents);
    js_key(&j, "bytes");
    js_int(&j, r.bytes);
    js_key(&j, "digest");
    js_text(&j, str_from(hex));
    js_end(&j, '}');
    return js_print(&j);
}

extern const command command_data_build;
const command command_data_build = {
    .name = "data build",
    .args = "OUT.db SOURCE...",
    .summary = "make a data set of JSON Lines files",
    .details =
        "Each line of a SOURCE is a JSON object with the key text, and perhaps id, source, licence, topic, kind; "
        "other keys are kept.\n\n"
        "  loam data build stories.db stories.jsonl --licence CC0-1.0",
    .n_args_min = 2,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
