/* tool_turns: a conversation with tools, fitted to what a chat template knows of them.
 *
 * The caller's form: tools as tool_format.h has them; an assistant's message has more {"tool_calls": [{"id", "type":
 * "function", "function": {"name", "arguments": OBJECT}}]}, a result is a message of role tool with more {"name",
 * "tool_call_id"}. What a template makes of these is found out once, by rendering a small conversation:
 *
 * - tools: in the variable `tools`; else as text in the system message's member `tools` (Phi-4-mini); else the model is
 *   told of them by our own words in the system message, and all that follows is ours, too;
 * - calls: arguments as an object; else as text; else the calls are written into the message in the model's format;
 * - results: role tool; else a user's message with <tool_response> around it.
 *
 * Proved by test_chat.c (tool_turns), test_examples.c (from), test/e2e/test_serve_tools.py.
 */
#ifndef LOAM_GEN_TOOL_TURNS_H
#define LOAM_GEN_TOOL_TURNS_H

#include <stdint.h>

#include "base/arena.h"
#include "gen/chat.h"
#include "gen/tool_format.h"

typedef struct {
    const tool_format *format;
    bool tools_variable, tools_in_system; /* neither: our own words */
    bool calls, arguments_text;           /* calls of earlier turns are rendered; their arguments must be text */
    bool results;                         /* role tool is rendered */
    bool special;                         /* a mark of the format is a control token */
} tool_style;

err_code tool_style_learn(tool_style *s, const chat_template *c, const tokenizer *t, str source, err *e);

/* A fitted conversation. Message i is made of those from from[i] to before from[i + 1] (the last: to the end). */
typedef struct {
    chat_message *m;
    size_t *from; /* [n]; TOOL_TURNS_OURS: the system's message that was put in front */
    size_t n;
    const json_t *tools; /* what chat_options.tools must be */
} tool_talk;
#define TOOL_TURNS_OURS SIZE_MAX

/* tools NULL or empty: none, and without calls and results every message stays as it is. New values are put into the
 * array `keep`, texts and lists into mem; both must outlive the messages. */
err_code tool_turns(const tool_style *s, const chat_message *m, size_t n, const json_t *tools, arena *mem, json_t *keep,
                    tool_talk *out, err *e);

#endif
