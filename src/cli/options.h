/* options: one table a command, from which parsing and --help both come.
 *
 * A command is a row of data (cli/command.h); its options are groups of rows, each of which names a field of the
 * command's struct of values by offset. Groups are shared between commands (the model, sampling), so an option has one
 * spelling, one range and one explanation everywhere.
 *
 *   --name VALUE  --name=VALUE  -x VALUE  -xVALUE  -ab (flags)  --no-name (for a flag that is on)  -- (ends options)
 *
 * Options and arguments may be mixed. A value is taken as it stands, even if it begins with '-'. Every error is
 * ERR_USAGE, names the option, and offers the nearest spelling when there is one.
 */
#ifndef LOAM_CLI_OPTIONS_H
#define LOAM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* The field behind each kind: bool, bool (cleared by the option), int64_t, double, const char *, option_list, const
 * char *. */
typedef enum { OPT_FLAG, OPT_UNFLAG, OPT_INT, OPT_REAL, OPT_TEXT, OPT_LIST, OPT_CHOICE } option_kind;

enum { OPTION_LIST_MAX = 16 };
typedef struct {
    str item[OPTION_LIST_MAX];
    size_t n;
} option_list;

typedef struct {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short form, or 0 */
    option_kind kind;
    const char *arg;  /* the value's name in help: "N" */
    const char *help; /* one phrase, no full stop */
    size_t at;        /* offset of the field in the group's struct */
    double min, max;  /* OPT_INT, OPT_REAL: what may be given, |bounds| of OPT_INT at most 2^53. A default of -1
                         that is outside says: chosen later */
    const char *const *choices; /* OPT_CHOICE: ends with NULL */
} option;

typedef struct {
    const char *title;  /* "Sampling" */
    const option *rows; /* NULL ends the groups */
    size_t at;          /* offset of the group's struct in the command's */
} option_group;

typedef struct {
    int n;
    const char **arg; /* at most as many as argv had; the caller's array */
} arguments;

/* Reads argv[0..argc) into *values and args. */
err_code options_parse(const option_group *groups, int argc, char **argv, void *values, arguments *args, err *e);

/* Sets one field from text, with the option's checks. `shown`: how to name it in an error ("--temp"). */
err_code options_set(const option *o, const char *shown, const char *text, void *field, err *e);

/* The row of this long name ('_' counts as '-'), and through *at the offset of its field; NULL when unknown. */
const option *options_find(const option_group *groups, str name, size_t *at);

/* Whole-string numbers with a range; the error names `what`. Decimal only, no blanks around. */
err_code parse_int(const char *what, const char *text, int64_t min, int64_t max, int64_t *out, err *e);
err_code parse_real(const char *what, const char *text, double min, double max, double *out, err *e);

/* Among words[0..n) the nearest to `word` by edits (insert, delete, change, swap of neighbours), if near enough to be
 * meant; else NULL. Ties go to the first. */
const char *nearest_word(str word, const char *const *words, size_t n);

/* Appends the groups as help text wrapped to `columns`; the defaults are read from `values`. */
err_code options_help(const option_group *groups, const void *values, int columns, strbuf *out, err *e);
/* Appends what one option does, its choices, and its default, if `field` holds one worth telling. */
err_code option_explain(const option *o, const void *field, strbuf *out, err *e);
/* Appends text with every line folded at blanks to `columns` and indented; an own line break is kept. */
err_code fold_text(const char *text, int indent, int columns, strbuf *out, err *e);

#endif
