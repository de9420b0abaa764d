/* tracer: what the commands that trace share: their options, and showing what was found. */
#ifndef LOAM_CLI_TRACER_H
#define LOAM_CLI_TRACER_H

#include "cli/command.h"
#include "cli/out.h"
#include "view/traced.h"

enum { TRACER_COVER_WORDS = 6 };

/* What is shown of a text. */
typedef struct {
    int64_t docs, top, words, cover, context;
} tracer_values;
extern const option tracer_options[];
#define TRACER_GROUP(type) \
    { "Tracing", tracer_options, offsetof(type, trace) }
#define TRACER_DEFAULTS \
    { .docs = 10, .words = 1, .cover = TRACER_COVER_WORDS, .context = 40 }

/* Finds the spans of the text and prints them: as JSON, or the text with its spans marked and a list of them. */
err_code tracer_show(tracer *t, str text, const tracer_values *v, bool json, err *e);
extern const tracer_values tracer_defaults; /* for who has no options of it */

/* tracer_open() and tracer_index() with progress on the terminal and Ctrl-C. */
err_code tracer_open_here(tracer *t, const char *what, const char *of_run, pool *workers, err *e);
err_code tracer_index_here(const char *path, size_t shard_bytes, pool *workers, suffix_totals *out, err *e);

#endif
