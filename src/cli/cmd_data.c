/* loam data: the commands that make data sets and look into them, and what they share. */
#include "cli/data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

static const command *const subs[] = {
    &command_data_build, &command_data_list, &command_data_show,
    &command_data_stats, &command_data_drop, &command_data_export,
    &command_data_check, &command_data_card, NULL,
};

const command command_data = {
    .name = "data",
    .args = "COMMAND",
    .summary = "data sets: documents with source, licence and SHA-256",
    .details = "A data set is one SQLite file of documents. Each has its text, the SHA-256 of it, where it comes from "
               "and under "
               "which licence. Training reads data sets, and names one by its digest: the SHA-256 over those of all "
               "documents.",
    .n_args_min = 0,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .subs = subs,
};

/* ---- progress ---- */

void data_progress_step(void *ctx, const char *stage, uint64_t done, uint64_t total, int64_t documents) {
    data_progress *p = ctx;
    if (p->stage != stage) {
        progress_end(&p->bar);
        p->stage = stage;
    }
    snprintf(p->what, sizeof p->what, "%s, %" PRId64 " documents", stage, documents);
    p->bar.what = p->what;
    p->bar.unit = str_is(str_from(stage), "reading") ? NULL : "documents";
    progress_step(&p->bar, done, total > done ? total : done);
}

void data_progress_end(data_progress *p) { progress_end(&p->bar); }

/* ---- tables ---- */

void data_print_cell(str s, size_t width) {
    size_t at = 0, n = 0;
    for (; at < s.n && (width == 0 || n < width); n++) {
        size_t from = at;
        int32_t cp = utf8_next(s, &at);
        bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        out_text(control ? STR("?") : str_sub(s, from, at));
    }
    if (width)
        out_printf("%*s  ", (int)(width - n), "");
}

const char *data_licence(str licence, size_t *n) {
    *n = licence.n ? licence.n : strlen("unknown");
    return licence.n ? licence.p : "unknown";
}
