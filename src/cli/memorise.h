/* memorise: how much of its documents a model says by heart.
 *
 * Measured as extractable memorisation (Carlini et al., "Quantifying Memorization Across Neural Language Models", 2023,
 * arXiv 2202.07646, definition 3.1): a document's `suffix` tokens are extractable with k tokens of context when the
 * model, given the k tokens before them, continues greedily with exactly these. All k share one suffix: the tokens from
 * the largest k on; documents too short for that are counted and left out, and each text counts once.
 */
#ifndef LOAM_CLI_MEMORISE_H
#define LOAM_CLI_MEMORISE_H

#include "cli/load.h"
#include "cli/out.h"

typedef struct {
    const char *data;   /* a data set or homeworld:...; NULL: what the run learned from */
    const char *prefix; /* the ks, with commas between */
    int64_t suffix;
} memorise_values;
extern const option memorise_options[];
#define MEMORISE_GROUP(type) \
    { "TASK memorisation", memorise_options, offsetof(type, memorise) }
#define MEMORISE_DEFAULTS \
    { .prefix = "50", .suffix = 50 }

/* At most n documents of each group: of a run those it learned from and those held out, else all. m: the model's path.
 */
err_code memorise_run(const memorise_values *v, const loaded *l, const char *m, int64_t n, bool json, err *e);

#endif
