/* loam data: the commands that make data sets and look into them. */
#include "cli/command.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

extern const command command_data_build;
static const command *const subs[] = {&command_data_build, NULL};

const command command_data = {
    .name = "data",
    .args = "COMMAND",
    .summary = "data sets: documents with source, licence and SHA-256",
    .details = "A data set is one SQLite file.",
    .n_args_min = 0,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .subs = subs,
};
