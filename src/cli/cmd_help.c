/* loam help: the list of commands, or one of them explained. */
#include "cli/command.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

static err_code run(const void *p, const arguments *args, err *e) {
    (void)p;
    if (args->n == 0)
        return command_print_help(NULL, e);
    const command *c = command_find(str_from(args->arg[0]));
    if (!c)
        return command_unknown(str_from(args->arg[0]), e);
    if (args->n == 1)
        return command_print_help(c, e);
    str word = str_from(args->arg[1]);
    if (!c->subs)
        return err_set(e, ERR_USAGE, "%s has no commands of its own", c->name);
    const command *sub = command_find_sub(c, word);
    return sub ? command_print_help(sub, e) : command_unknown_sub(c, word, e);
}

const command command_help = {
    .name = "help",
    .args = "[COMMAND [COMMAND]]",
    .summary = "this list, or the explanation of a command",
    .details = "",
    .n_args_min = 0,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
