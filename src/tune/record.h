/* record: a line of tuning data as what it says: messages, or texts.
 *
 *   chat       {"messages": [{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?, "weight"?, ...}], "tools"?}
 *   sharegpt   {"conversations": [{"from", "value"}], "system"?, "tools"?}
 *   pair       {"prompt"?, "chosen", "rejected", "tools"?}; also "messages" for "prompt"
 *   prompt     {"prompt", "completion", "tools"?}
 *   alpaca     {"instruction", "input"?, "output", "system"?}
 *   text       {"text"}
 *
 * The first row whose keys are there (chosen and rejected before all others) is the line's form; other keys are for
 * others. Prompts, completions, chosen and rejected are texts or lists of messages. A text prompt is a user's message,
 * what follows an assistant's; a pair without prompt has two lists, whose common beginning is the prompt. Roles:
 * developer is system, function is tool; sharegpt's human, gpt, observation and their like are what they mean. A
 * content is a text, null (nothing), or a list of {"type": "text", "text"}. Calls are brought into the form that
 * gen/tool_turns.h has; their arguments may be an object or its text. All other members of a message ("name",
 * "reasoning_content") are the template's. "weight": 0 takes a message out of what is learned; 1 is the default.
 *
 * Errors (ERR_FORMAT, ERR_UNSUPPORTED, ERR_LIMIT) name the key and what is wrong with it. Proved by test_examples.c.
 */
#ifndef LOAM_TUNE_RECORD_H
#define LOAM_TUNE_RECORD_H

#include "base/arena.h"
#include "gen/chat.h"

#define RECORD_FORMS(X) \
    X(CHAT, "chat") X(SHAREGPT, "sharegpt") X(PAIR, "pair") X(PROMPT, "prompt") X(ALPACA, "alpaca") X(TEXT, "text")
typedef enum {
#define X(name, word) RECORD_##name,
    RECORD_FORMS(X)
#undef X
        RECORD_FORMS_N
} record_form;
extern const char *const record_form_names[RECORD_FORMS_N];

enum { RECORD_MESSAGES_MAX = 1024 };

/* One way in which the record goes on: the whole conversation. */
typedef struct {
    chat_message *m;
    bool *mute; /* "weight": 0 */
    size_t n;
} record_turns;

/* Zero-initialise. What it holds lives until it is read anew or record_fini(). */
typedef struct {
    record_form form;
    record_turns way[2]; /* [1]: of a pair, the rejected one */
    size_t n_prompt;     /* messages at the front that are no answer: of pairs and prompts */
    const json_t *tools; /* as gen/tool_turns.h wants them; NULL: none */
    bool is_plain;       /* prompt and answers are texts: */
    str prompt, answer[2];
    str text; /* of RECORD_TEXT */

    arena mem;
    json_t *json, *keep; /* the line; values that were made */
} record;

err_code record_read(record *r, str line, err *e);
/* A document of a data set: a JSON object with one of the forms above, else its text as it is. */
err_code record_read_document(record *r, str text, err *e);
void record_fini(record *r); /* leaves it empty and usable */

/* Appends it for people, "role: content" a line, at most `most` bytes. */
err_code record_show(const record *r, size_t most, strbuf *out, err *e);

#endif
