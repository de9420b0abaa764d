/* tool_format: how models write the calls of tools, as a table.
 *
 *   begin [first] ( [open] call [close] ) ( between ... )* [end] [tail]
 *
 *   call     {"name": NAME, key: {...}}                 when `named` is NULL
 *            NAME named ARGUMENTS                       else; ARGUMENTS as `args` says
 *
 * White space may stand between all of these. `end` and `tail` may be missing where an answer ends. A model's format is
 * that of the first row whose signs all stand in its chat template; models whose template knows no tools are told of
 * the last row by a prompt of ours (tool_turns.h). Sources: the templates that Qwen, Meta, Mistral, Google, IBM,
 * Microsoft, DeepSeek and Hugging Face publish with their models. Proved by test_tools.c.
 */
#ifndef LOAM_GEN_TOOL_FORMAT_H
#define LOAM_GEN_TOOL_FORMAT_H

#include "text/grammar.h"
#include "text/json.h"

enum { TOOL_COUNT_MAX = 256, TOOL_NAME_BYTES_MAX = 128 };

typedef enum {
    TOOL_JSON,  /* an object */
    TOOL_XML,   /* <parameter=KEY>\nVALUE\n</parameter> each; numbers and such as JSON, texts as they are */
    TOOL_GEMMA, /* {KEY:VALUE,...} without quotes; texts between <escape> and <escape> */
} tool_args;

typedef struct {
    const char *name;
    const char *sign[2]; /* NULL: none */
    const char *begin, *first, *open, *named, *close, *between, *end, *tail;
    const char *key;
    tool_args args;
    bool bare;  /* an answer that begins with '{' needs no `begin` */
    bool loose; /* the same, or with ``` or ```json before it and ``` behind, but that is not how it should be */
} tool_format;

extern const tool_format tool_formats[]; /* ends with a NULL name; the row before is for any model */

const tool_format *tool_format_of(str template_source);
const tool_format *tool_format_named(const char *name); /* NULL: none */

/* Tools are a list [{"type": "function", "function": {"name", "description", "parameters"}}]. The function so named;
 * NULL: none. */
const json_t *tool_find(const json_t *tools, str name);
/* What the schema says of an argument; NULL: nothing. */
const json_t *tool_property(const json_t *function, str key);

/* The answers that are calls: of `only`, when it is not empty; one, or up to `most`. An error names the tool. */
err_code tool_grammar(const tool_format *f, const json_t *tools, str only, size_t most, grammar **out, err *e);

/* Appends a call as the model would have written it: for templates that do not render calls of earlier turns. */
err_code tool_write(const tool_format *f, str name, const json_t *arguments, strbuf *out, err *e);

#endif
