/* think: whether a model shall think before it answers, and how hard; from each API's words to its template's
 * variables.
 *
 *   OpenAI chat       reasoning_effort: "none" does not think, any other is told to the template; reasoning_format
 *                     (llama.cpp's): "none" leaves the thoughts in the text, "auto" and "deepseek" do not
 *   OpenAI responses  reasoning {"effort"}
 *   Anthropic         thinking {"type": "enabled", "adaptive", "disabled"}; without it the API promises none;
 *                     output_config.effort
 *   Ollama            think: true, false, or an effort
 *
 * Templates take it as enable_thinking (Qwen, SmolLM) or thinking (Granite, DeepSeek) and reasoning_effort; one that
 * takes none is not changed by it. What chat_template_kwargs says itself comes before all that, and behind it what the
 * server was given for the model. What is missing, null, or an empty text is not said; another type or an unknown word
 * is ERR_USAGE. Thinking that Anthropic's or Ollama's switch asks of a model without such marks is ERR_UNSUPPORTED.
 * Proved by test_turns.c, test/e2e/test_serve_thinking.py.
 */
#ifndef LOAM_SERVE_THINK_H
#define LOAM_SERVE_THINK_H

#include "text/json.h"

typedef enum { THINK_AS_EVER, THINK_ON, THINK_OFF } think_switch;

typedef struct {
    think_switch how;
    str effort; /* empty: not said */
    bool as_text;
} think_wish;

err_code think_openai(const json_t *body, think_wish *w, err *e);
err_code think_responses(const json_t *body, think_wish *w, err *e);
/* able: the model thinks; defaults: the server's variables for it, or NULL. */
err_code think_anthropic(const json_t *body, bool able, const json_t *defaults, think_wish *w, err *e);
err_code think_ollama(const json_t *body, bool able, think_wish *w, err *e);

/* The template's variables: `defaults`, over them the wish, over it what was `asked` for by name; either may be NULL.
 * *out is owned by the array `keep`, or NULL when there are none. */
err_code think_vars(const think_wish *w, const json_t *defaults, const json_t *asked, json_t *keep, const json_t **out,
                    err *e);

#endif
