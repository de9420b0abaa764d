/* loam help: the list of commands, or one of them explained; man pages and completion from the same tables. */
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/man.h"

typedef struct {
    common_values common;
    const char *man;
    bool complete;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"man", 0, OPT_TEXT, "FOLDER", "write the man pages loam.1, loam-run.1, ... into this folder",
     offsetof(values, man), 0, 0, NULL},
    {"complete", 0, OPT_FLAG, NULL,
     "for shells: what the last of the words behind -- may be, when they stand behind loam", offsetof(values, complete),
     0, 0, NULL},
    {0},
};

static const option_group groups[] = {{"For packages and shells", own_options, 0}, COMMON_GROUP, {0}};

static err_code explain(const char *name, const char *sub_name, err *e) {
    const command *c = command_find(str_from(name));
    if (!c)
        return command_unknown(str_from(name), e);
    if (!sub_name)
        return command_print_help(c, e);
    if (!c->subs)
        return err_set(e, ERR_USAGE, "%s has no commands of its own", c->name);
    const command *sub = command_find_sub(c, str_from(sub_name));
    return sub ? command_print_help(sub, e) : command_unknown_sub(c, str_from(sub_name), e);
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    if (v->complete)
        return args->n > 0 ? complete_print(args->arg, (size_t)args->n, e) : ERR_OK;
    if (args->n > (v->man ? 0 : 2))
        return err_set(e, ERR_USAGE, "%d arguments are too many (see loam help --help)", args->n);
    if (v->man)
        return man_write(v->man, e);
    return args->n == 0 ? command_print_help(NULL, e) : explain(args->arg[0], args->n > 1 ? args->arg[1] : NULL, e);
}

const command command_help = {
    .name = "help",
    .args = "[COMMAND [COMMAND]]",
    .summary = "this list, or the explanation of a command",
    .details = "",
    .n_args_min = 0,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
