/* form: the form that a request wants its answer to have, from each API's words to a grammar.
 *
 *   OpenAI chat, completions   response_format {"type": "text" | "json_object" | "json_schema", "json_schema":
 * {"schema"}}, and llama.cpp's fields: json_schema (a schema), grammar (GBNF) OpenAI responses           text.format
 * {"type", "schema"} Ollama                     format: "json", or a schema Anthropic output_config.format, or as it
 * was called before, output_format:
 *                              {"type": "json_schema", "schema"}
 *
 * *out stays as it is when nothing is said (grammar_close() it after any outcome); two forms at once are ERR_USAGE, and
 * so is a schema or a grammar that cannot be used, with the field's name in front. `strict` changes nothing: every
 * answer that comes to its end has the form. Proved by test_serve.c, test/e2e/test_structured.py,
 * test/e2e/test_serve_clients.py.
 */
#ifndef LOAM_SERVE_FORM_H
#define LOAM_SERVE_FORM_H

#include "text/grammar.h"
#include "text/json.h"

err_code form_openai(const json_t *body, grammar **out, err *e);
err_code form_responses(const json_t *body, grammar **out, err *e);
err_code form_ollama(const json_t *body, grammar **out, err *e);
err_code form_anthropic(const json_t *body, grammar **out, err *e);

#endif
