/* thinking: the section before an answer in which a model thinks, told apart while it comes.
 *
 *   [white space] open [white space] THOUGHT [white space] close [white space] ANSWER
 *
 * `open` may stand at the end of the prompt already (some templates write it), or the whole section may (when thinking
 * is switched off): thinking_begins() looks. An answer that begins with anything else has no such section, and marks
 * that come later are text. What comes before `close` is all thought, whatever it looks like; when the answer ends in
 * the middle, at a limit or a stop string, all of it was. White space at the borders is dropped. The pieces put
 * together do not depend on how the text was cut into feeds.
 *
 * A model's marks are those of the first row one of which stands in its chat template. Sources: the templates that
 * Qwen, DeepSeek, Hugging Face (SmolLM3), AI2 (OLMo 3 Think) and Mistral (Magistral) publish. Proved by
 * test_thinking.c.
 */
#ifndef LOAM_GEN_THINKING_H
#define LOAM_GEN_THINKING_H

#include <stdbool.h>

#include "text/grammar.h"
#include "tok/tokenizer.h"

typedef struct {
    const char *open, *close;
} thinking_marks;

extern const thinking_marks thinking_formats[]; /* ends with NULLs */

const thinking_marks *thinking_of(str template_source); /* NULL: this model does not think aloud */
/* A mark is a control token, so these must be printed to be seen. */
bool thinking_is_special(const thinking_marks *m, const tokenizer *t);

typedef enum {
    THINKING_MAY_BEGIN, /* nothing but white space so far */
    THINKING_INSIDE,
    THINKING_OVER,
} thinking_state;

/* Where an answer to this prompt begins. */
err_code thinking_begins(const thinking_marks *m, const tokenizer *t, const int32_t *ids, size_t n, thinking_state *out,
                         err *e);

/* thought: of the section, else of the answer. */
typedef err_code thinking_emit(void *ctx, bool thought, str text, err *e);

typedef struct {
    const thinking_marks *m;
    thinking_state state;
    bool told;  /* of the part under way something was told, so white space counts */
    strbuf buf; /* what may still become a mark, and white space before it */
    thinking_emit *emit;
    void *ctx;
} thinking;

/* m NULL: all is answer. */
void thinking_init(thinking *k, const thinking_marks *m, thinking_state begin, thinking_emit *emit, void *ctx);
err_code thinking_feed(thinking *k, str text, err *e);
err_code thinking_end(thinking *k, err *e);
void thinking_fini(thinking *k);

/* *g becomes the grammar of answers that begin so, and have behind the section the form of *g. For THINKING_MAY_BEGIN
 * there may be a section or none. On failure *g is as it was. */
err_code thinking_grammar(const thinking_marks *m, thinking_state begin, grammar **g, err *e);

#endif
