/* turns: the messages of a request, from each API's shape to the one that gen/tool_turns.h takes.
 *
 *   OpenAI chat, Ollama  [{"role", "content": text or parts, "tool_calls", "tool_call_id" or "tool_name"}]; roles:
 *                        developer becomes system, function becomes tool
 *   OpenAI responses     a text, or items: messages, function_call, function_call_output
 *   Anthropic            content of blocks: text, tool_use, tool_result
 *
 * What an assistant has thought (reasoning_content, reasoning, thinking; a reasoning item; a thinking block) is given
 * to the template as the member reasoning_content of what it said next. Arguments of calls become objects, whatever
 * they came as. A result whose id a call has had gets that call's name. Parts of text are joined; any other is
 * ERR_UNSUPPORTED. `front`, when not empty, is a system message put before. Errors name the message. Proved by
 * test_turns.c, test_serve.c, fuzz_serve.c.
 */
#ifndef LOAM_SERVE_TURNS_H
#define LOAM_SERVE_TURNS_H

#include "base/arena.h"
#include "gen/chat.h"

typedef struct {
    arena *mem;
    json_t *keep; /* an array: owns the values that are made here */
    chat_message *m;
    size_t n, cap;
    size_t n_argument_values; /* that were read from text: all calls of a request share the body's limit */
    str thought;              /* of the assistant's message that comes next */
} turns;

err_code turns_chat(turns *t, const json_t *messages, str front, err *e);
err_code turns_responses(turns *t, const json_t *input, str front, err *e);
err_code turns_anthropic(turns *t, const json_t *messages, str front, err *e);
err_code turns_add(turns *t, const char *role, str content, err *e); /* a message of text alone */

#endif
