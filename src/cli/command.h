/* command: what every command of `loam` is: a row of data and a function.
 *
 * main.c finds the row by name, copies `defaults`, parses the options into the copy, answers --help, checks the number
 * of arguments, and calls run(). run() prints results to standard output through cli/out.h and returns an error code;
 * main.c prints the error and turns the code into the exit status:
 *
 *   ERR_OK 0 · ERR_USAGE 2 · ERR_MISMATCH 3 · ERR_CANCELLED 130 (as after SIGINT) · anything else 1
 */
#ifndef LOAM_CLI_COMMAND_H
#define LOAM_CLI_COMMAND_H

#include <loam.h> /* LOAM_VERSION */

#include "cli/options.h"

#define LOAM_RELEASED "2026-11-25" /* the day of LOAM_VERSION */
#define LOAM_SUMMARY "run, train, trace and verify language models on your own machine"
#define LOAM_DETAILS                                                                             \
    "M is a model: a .gguf file, or a Hugging Face folder (config.json, tokenizer.json, "        \
    "*.safetensors).\n`loam help COMMAND` or `loam COMMAND --help` explains one command; `loam " \
    "--version` tells the version.\n"

typedef struct command {
    const char *name;
    const char *args;           /* of the usage line: "M TEXT|-" */
    const char *summary;        /* one line, no full stop */
    const char *details;        /* paragraphs and examples for --help */
    int n_args_min, n_args_max; /* n_args_max -1: any number */
    const option_group *groups; /* ends with a group without rows; the struct of values begins with common_values */
    const void *defaults;       /* values_bytes bytes */
    size_t values_bytes;
    err_code (*run)(const void *values, const arguments *args, err *e);
    /* A command of commands ("data"): their rows, named in full ("data build"), ended by NULL; run is NULL then. */
    const struct command *const *subs;
} command;

/* What every command takes; first member of every struct of values. */
typedef struct {
    bool help, json, verbose;
    int64_t threads; /* 0: one for every CPU */
    const char *isa;
} common_values;
extern const option common_options[];
#define COMMON_GROUP \
    { "Everywhere", common_options, 0 }
#define COMMON_DEFAULTS \
    { .isa = "auto" }

/* The commands, in the order of `loam help`; command_NAME is the row of `loam NAME`. */
#define COMMANDS(X) \
    X(demo)         \
    X(pull)         \
    X(list)         \
    X(tag)          \
    X(rm)           \
    X(gc)           \
    X(fsck)         \
    X(run)          \
    X(chat)         \
    X(serve)        \
    X(tokenize)     \
    X(detokenize)   \
    X(logits)       \
    X(perplexity)   \
    X(show)         \
    X(bench)        \
    X(convert)      \
    X(quantize)     \
    X(merge)        \
    X(imatrix)      \
    X(corpus)       \
    X(data)         \
    X(tokenizer)    \
    X(train)        \
    X(tune)         \
    X(verify)       \
    X(rebuild)      \
    X(bisect)       \
    X(trace)        \
    X(why)          \
    X(runs)         \
    X(plot)         \
    X(eval)         \
    X(card)         \
    X(sign)         \
    X(check)        \
    X(help)

#define X(name) extern const command command_##name;
COMMANDS(X)
#undef X
extern const command *const commands[]; /* ends with NULL */

const command *command_find(str name);                            /* NULL when there is none */
const command *command_find_sub(const command *c, str word);      /* "build" of "data"; NULL when there is none */
const char *command_last_word(const command *c);                  /* "build" of "data build" */
err_code command_unknown(str name, err *e);                       /* ERR_USAGE, with the nearest name */
err_code command_unknown_sub(const command *c, str word, err *e); /* the same for a command of c's */
err_code command_print_help(const command *c, err *e);            /* NULL: the list of commands */
/* Parses argv (without the command's name) and runs; prints nothing but the command's output. */
err_code command_run_with(const command *c, int argc, char **argv, err *e);
int command_exit_status(err_code code);

#endif
