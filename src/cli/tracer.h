/* tracer: what tracing works with: the documents, their index, and perhaps the run that learned from them.
 *
 * WHAT is a data set, whose index stands beside it (D.db.trace), or a run folder. A run's documents are those of its
 * data set or the built-in corpus; the index is the data set's own if it has one, else RUN/data.trace, which is made
 * when it is first needed, or when the data are others.
 */
#ifndef LOAM_CLI_TRACER_H
#define LOAM_CLI_TRACER_H

#include "cli/command.h"
#include "cli/out.h"
#include "trace/spans.h"
#include "train/run.h"
#include "train/sightings.h"

enum { TRACER_COVER_WORDS = 6 };

typedef struct {
    pool *workers;
    run run; /* of WHAT or of --run; run.path NULL: none */
    chain chain;
    dataset *set;     /* NULL: the run's documents are made */
    uint32_t *number; /* [run.docs.n] of made documents: by id - 1, the number in run.docs */
    suffix *index;
    char *what;
} tracer;

/* of_run NULL: the steps are not asked for, unless WHAT is a run. *t zero-initialised; tracer_close() after any
 * outcome. */
err_code tracer_open(tracer *t, const char *what, const char *of_run, pool *workers, err *e);
void tracer_close(tracer *t);

/* Makes the index of a data set beside it, shard_bytes 0: as usual. */
err_code tracer_index(const char *path, size_t shard_bytes, pool *workers, suffix_totals *out, err *e);
/* Opens the index of a data set: it must be of this state of the set. */
err_code tracer_open_index(suffix **out, const char *path, err *e);

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

#endif
