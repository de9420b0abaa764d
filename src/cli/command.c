/* command: look-up, help and running of the rows in cli/command.h. */
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/out.h"

enum { COMMANDS_MAX = 64, COLUMNS_MIN = 60, COLUMNS_MAX = 110, COLUMNS_DEFAULT = 90 };

const command *const commands[] = {
#define X(name) &command_##name,
    COMMANDS(X)
#undef X
        NULL,
};

static const char *const isa_names[] = {"auto", "avx512", "avxvnni", "avx2", "neon", "scalar", NULL};

const option common_options[] = {
    {"threads", 't', OPT_INT, "N", "threads to compute with, 0 for one a CPU; never changes a bit of the result",
     offsetof(common_values, threads), 0, 256, NULL},
    {"isa", 0, OPT_CHOICE, "NAME", "instruction set; never changes a bit of the result", offsetof(common_values, isa),
     0, 0, isa_names},
    {"json", 0, OPT_FLAG, NULL, "one JSON object on standard output, for machines", offsetof(common_values, json), 0, 0,
     NULL},
    {"verbose", 'v', OPT_FLAG, NULL, "timings on standard error even when it is no terminal",
     offsetof(common_values, verbose), 0, 0, NULL},
    {"help", 'h', OPT_FLAG, NULL, "this text", offsetof(common_values, help), 0, 0, NULL},
    {0},
};

const command *command_find(str name) {
    for (const command *const *c = commands; *c; c++)
        if (str_is(name, (*c)->name))
            return *c;
    return NULL;
}

const char *command_last_word(const command *c) {
    const char *blank = strrchr(c->name, ' ');
    return blank ? blank + 1 : c->name;
}

const command *command_find_sub(const command *c, str word) {
    for (const command *const *sub = c->subs; sub && *sub; sub++)
        if (str_is(word, command_last_word(*sub)))
            return *sub;
    return NULL;
}

static err_code unknown(const command *const *list, str name, const char *help, err *e) {
    const char *words[COMMANDS_MAX];
    size_t n = 0;
    for (const command *const *c = list; *c && n < COMMANDS_MAX; c++)
        words[n++] = command_last_word(*c);
    const char *near = nearest_word(name, words, n);
    if (near)
        return err_set(e, ERR_USAGE, "no command \"%.*s\" (did you mean \"%s\"?)", STR_ARG(name), near);
    return err_set(e, ERR_USAGE, "no command \"%.*s\" (loam help%s lists them)", STR_ARG(name), help);
}

err_code command_unknown(str name, err *e) { return unknown(commands, name, "", e); }

err_code command_unknown_sub(const command *c, str word, err *e) {
    char help[64];
    snprintf(help, sizeof help, " %s", c->name);
    return unknown(c->subs, word, help, e);
}

static int help_columns(void) {
    int columns = os_columns(STDOUT_FILENO);
    if (columns == 0)
        return COLUMNS_DEFAULT;
    return columns < COLUMNS_MIN ? COLUMNS_MIN : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
}

static err_code help_list(strbuf *text, err *e) {
    TRY(strbuf_addf(text, e, "loam %s: %s\n\nusage: loam COMMAND [ARGUMENTS] [OPTIONS]\n\n", LOAM_VERSION,
                    LOAM_SUMMARY));
    for (const command *const *c = commands; *c; c++)
        TRY(strbuf_addf(text, e, "  %-12s %s\n", (*c)->name, (*c)->summary));
    return strbuf_addf(text, e, "\n%s", LOAM_DETAILS);
}

static err_code help_subs(const command *c, strbuf *text, err *e) {
    TRY(strbuf_addf(text, e, "loam %s: %s\n\nusage: loam %s COMMAND [ARGUMENTS] [OPTIONS]\n\n", c->name, c->summary,
                    c->name));
    for (const command *const *sub = c->subs; *sub; sub++)
        TRY(strbuf_addf(text, e, "  %-12s %s\n", command_last_word(*sub), (*sub)->summary));
    TRY(strbuf_addf(text, e, "\n"));
    TRY(fold_text(c->details, 0, help_columns(), text, e));
    return strbuf_addf(text, e, "\n`loam %s COMMAND --help` explains one of them.\n", c->name);
}

static err_code help_one(const command *c, strbuf *text, err *e) {
    int columns = help_columns();
    if (c->subs)
        return help_subs(c, text, e);
    TRY(strbuf_addf(text, e, "loam %s: %s\n\nusage: loam %s%s%s [OPTIONS]\n", c->name, c->summary, c->name,
                    *c->args ? " " : "", c->args));
    if (*c->details) {
        TRY(strbuf_addc(text, '\n', e));
        TRY(fold_text(c->details, 0, columns, text, e));
    }
    return options_help(c->groups, c->defaults, columns, text, e);
}

err_code command_print_help(const command *c, err *e) {
    strbuf text = {0};
    err_code code = c ? help_one(c, &text, e) : help_list(&text, e);
    if (code == ERR_OK)
        out_text(strbuf_str(&text));
    strbuf_fini(&text);
    return code;
}

static err_code check_count(const command *c, int n, err *e) {
    if (n < c->n_args_min)
        return err_set(e, ERR_USAGE, "%s (usage: loam %s %s; see loam %s --help)",
                       n == 0 ? "arguments are missing" : "an argument is missing", c->name, c->args, c->name);
    if (c->n_args_max >= 0 && n > c->n_args_max)
        return err_set(e, ERR_USAGE,
                       "%d arguments where at most %d belong (usage: loam %s %s; quote a text with blanks)", n,
                       c->n_args_max, c->name, c->args);
    return ERR_OK;
}

static err_code parse_and_run(const command *c, int argc, char **argv, void *values, const char **args_room, err *e) {
    arguments args = {.arg = args_room};
    TRY(options_parse(c->groups, argc, argv, values, &args, e));
    if (((const common_values *)values)->help)
        return command_print_help(c, e);
    TRY(check_count(c, args.n, e));
    return c->run(values, &args, e);
}

static err_code run_sub(const command *c, int argc, char **argv, err *e) {
    const char *word = argc > 0 ? argv[0] : NULL;
    if (!word) {
        command_print_help(c, e);
        return err_set(e, ERR_USAGE, "%s: a command is missing", c->name);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return command_print_help(c, e);
    if (word[0] == '-')
        return err_set(e, ERR_USAGE, "%s: no option %s before a command (loam help %s lists the commands)", c->name,
                       word, c->name);
    const command *sub = command_find_sub(c, str_from(word));
    return sub ? command_run_with(sub, argc - 1, argv + 1, e)
               : err_in(e, command_unknown_sub(c, str_from(word), e), "%s", c->name);
}

err_code command_run_with(const command *c, int argc, char **argv, err *e) {
    if (c->subs)
        return run_sub(c, argc, argv, e);
    void *values = malloc(c->values_bytes);
    const char **room = calloc((size_t)argc + 1, sizeof *room);
    err_code code = values && room ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the arguments");
    if (code == ERR_OK) {
        memcpy(values, c->defaults, c->values_bytes);
        code = parse_and_run(c, argc, argv, values, room, e);
    }
    free(room);
    free(values);
    /* A wrong use is best understood with the command's name; other errors say where they come from. */
    return code == ERR_USAGE ? err_in(e, code, "%s", c->name) : code;
}

int command_exit_status(err_code code) {
    switch (code) {
    case ERR_OK:
        return 0;
    case ERR_USAGE:
        return 2;
    case ERR_MISMATCH:
        return 3;
    case ERR_CANCELLED:
        return 130;
    case ERR_IO:
    case ERR_FORMAT:
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
    case ERR_MEMORY:
        break;
    }
    return 1;
}
