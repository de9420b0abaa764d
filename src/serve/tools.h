/* tools: which tools a request offers, and whether the model must call one; from each API's words.
 *
 *   OpenAI chat       tools [{"type": "function", "function": {...}}], tool_choice "none", "auto", "required" or
 *                     {"type": "function", "function": {"name"}}, parallel_tool_calls
 *   OpenAI responses  tools [{"type": "function", "name", ...}], tool_choice with {"type": "function", "name"}
 *   Anthropic         tools [{"name", "description", "input_schema"}], tool_choice {"type": "auto", "any", "tool" with
 *                     "name", "none"}, disable_parallel_tool_use
 *   Ollama            tools as OpenAI's chat
 *
 * A list that is wrong is ERR_USAGE and names the tool; kinds of tools that the server would have to run are
 * ERR_UNSUPPORTED. Proved by test_turns.c, test/e2e/test_serve_tools.py.
 */
#ifndef LOAM_SERVE_TOOLS_H
#define LOAM_SERVE_TOOLS_H

#include "gen/tool_format.h"

enum { TOOLS_CALLS_MAX = 16 }; /* in one answer */

typedef struct {
    const json_t *list; /* as gen/tool_format.h has it; NULL: none offered, or none to be called */
    bool required;      /* the answer is a call, made by a grammar */
    str only;           /* of this tool; empty: of any */
    size_t most;        /* calls */
} tool_wish;

/* New values are put into the array `keep`. */
err_code tools_openai(const json_t *body, json_t *keep, tool_wish *w, err *e);
err_code tools_responses(const json_t *body, json_t *keep, tool_wish *w, err *e);
err_code tools_anthropic(const json_t *body, json_t *keep, tool_wish *w, err *e);
err_code tools_ollama(const json_t *body, json_t *keep, tool_wish *w, err *e);

#endif
