/* loam tokenizer: the commands that make tokenizers. */
#include "cli/command.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

extern const command command_tokenizer_train;
static const command *const subs[] = {&command_tokenizer_train, NULL};

const command command_tokenizer = {
    .name = "tokenizer",
    .args = "COMMAND",
    .summary = "tokenizers learnt from texts",
    .details = "`loam tokenize` shows what a tokenizer does with a text.",
    .n_args_min = 0,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .subs = subs,
};
