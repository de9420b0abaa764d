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
 * Proved by test_chat.c (tool_turns), test/e2e/test_serve_tools.py.
 */
#ifndef LOAM_GEN_TOOL_TURNS_H
#define LOAM_GEN_TOOL_TURNS_H

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

/* m[n] to *out[*n_out], and what chat_options.tools must be. tools NULL or empty: none. New values are put into the
 * array `keep`, texts into mem; both must outlive the messages. */
err_code tool_turns(const tool_style *s, const chat_message *m, size_t n, const json_t *tools, arena *mem, json_t *keep,
                    chat_message **out, size_t *n_out, const json_t **tools_out, err *e);

#endif
