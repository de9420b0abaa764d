/* tool_parser: finds the calls of tools in an answer while it comes.
 *
 * Text goes through as soon as it is certain that no call begins in it; of a call nothing becomes text; its arguments
 * are told as they come. What looks like a call and is none (unknown name, broken JSON, an end in the middle) is told
 * as text: nothing gets lost, and the events put together do not depend on how the text was cut into feeds. White space
 * right before and right behind calls is dropped.
 *
 *   TOOL_TEXT text    TOOL_BEGIN text: the name, then TOOL_ARGS text: more of a JSON object ..., TOOL_END
 *   TOOL_BROKEN       instead of TOOL_END: text is the call as the model wrote it, `rest` what of it was not told as
 *                     arguments. A stream has told the beginning already and adds the rest as text; who collects drops
 *                     the call and takes the whole as text.
 *
 * Arguments told whole are valid JSON without repeated keys: a call that names one twice is broken there. A call that
 * is longer than TOOL_CALL_BYTES_MAX is broken. Proved by test_tools.c (every format, every cut), test_tools_fault.c,
 * fuzz_tools.c.
 */
#ifndef LOAM_GEN_TOOL_PARSER_H
#define LOAM_GEN_TOOL_PARSER_H

#include "gen/tool_format.h"

enum { TOOL_CALL_BYTES_MAX = 1 << 20 };

typedef enum { TOOL_TEXT, TOOL_BEGIN, TOOL_ARGS, TOOL_END, TOOL_BROKEN } tool_event_kind;

typedef struct {
    tool_event_kind kind;
    str text, rest; /* until the callback returns */
} tool_event;

typedef err_code tool_emit(void *ctx, const tool_event *event, err *e);

/* A JSON value as its bytes come. */
typedef struct {
    size_t at; /* next byte to look at */
    unsigned depth;
    uint64_t braces; /* bit i: what is open at depth i is a brace, not a bracket */
    bool in_text, escaped;
    /* Of the object itself: the key and the value under way. */
    bool key_next;
    size_t key_from, key_to, value_from, value_to; /* value_to: of one in brackets */
    size_t name_from, name_to, args_from, args_to; /* of an object that is a call; to 0: not there yet */
} tool_scan;

typedef struct {
    const tool_format *f;
    const json_t *tools; /* borrowed */
    size_t most, n_calls;
    tool_emit *emit;
    void *ctx;
    strbuf buf;     /* what has come and is not done with */
    size_t at;      /* done with, up to here */
    size_t from;    /* where the call under way begins, its section's mark included if it is the first */
    size_t mark;    /* bytes of that mark, with white space before it */
    size_t told;    /* of the buffer, as arguments */
    json_t *keys;   /* of the arguments told, for notations that are not JSON; NULL: none */
    size_t resume;  /* where a search goes on */
    tool_scan scan; /* of JSON */
    const json_t *function;
    int state;
    bool begun, ended, after_call, fenced;
} tool_parser;

/* f NULL: all is text. `most` calls are recognised, what follows is text. */
void tool_parser_init(tool_parser *p, const tool_format *f, const json_t *tools, size_t most, tool_emit *emit,
                      void *ctx);
err_code tool_parser_feed(tool_parser *p, str text, err *e);
err_code tool_parser_end(tool_parser *p, err *e);
void tool_parser_fini(tool_parser *p);

#endif
