/* chat: a list of messages to the token ids of a prompt, by the model's own template.
 *
 * The template is Jinja (text/jinja.h), rendered with what transformers' apply_chat_template() gives it: messages,
 * add_generation_prompt, bos_token, eos_token, tools and documents (none), and the caller's extra variables. The
 * rendered text is tokenized with control tokens recognised and nothing added: a template writes its own BOS.
 *
 * What a message says never becomes a control token. "<end_of_turn>" in a user's text must stay text, or any
 * quoted document could end the user's turn and speak as somebody else. So, before rendering, a mark is put
 * behind the first character of every control token spelled in a message (a noncharacter, U+FDD0 to U+FDEF, that
 * occurs neither in the messages nor in the template). The template works on the marked text; after rendering
 * the marks are taken out and their places become cuts, across which no control token is recognised:
 *
 *   content    say <end_of_turn> now            rendered   <start_of_turn>user\nsay <^end_of_turn> now<end_of_turn>\n
 *   marked     say <^end_of_turn> now           ids        CONTROL         text......................CONTROL
 *
 * The text between cuts is tokenized piece by piece, so a message that spells control tokens (and only such a one) is
 * cut where the reference tokenizer would not cut it; a SentencePiece model that wants a space before every text gets
 * one there. A token that is half template and half message (a template that ends in "<" before a message that begins
 * with
 * "|eot|>") is beyond this; templates write their control tokens whole.
 * A control token of a single character has no inside to cut, so a message that spells one is refused (no known
 * vocabulary has such tokens). A template that alters letters inside a spelling keeps the mark, so the cut.
 *
 * Proved by test/unit/test_chat.c.
 */
#ifndef LOAM_GEN_CHAT_H
#define LOAM_GEN_CHAT_H

#include <stdbool.h>
#include <time.h>

#include "text/json.h"
#include "tok/tokenizer.h"

enum { CHAT_MESSAGES_MAX = 65536, CHAT_BYTES_MAX = 8 << 20 };

typedef struct {
    str role;           /* "system", "user", "assistant" or "tool" */
    str content;        /* any bytes; ill-formed UTF-8 becomes U+FFFD */
    const json_t *more; /* object of further members ("tool_calls", "tool_call_id"), or NULL */
} chat_message;

typedef struct {
    bool generation_prompt; /* end with the words that open the assistant's turn */
    time_t now;             /* for strftime_now; keep it fixed over a conversation, or no prefix is reused */
    const json_t *vars;     /* object of extra variables ("enable_thinking": false), or NULL */
    const json_t *tools;    /* list of functions for the template, or NULL (gen/tool_turns.h fits both to it) */
} chat_options;

typedef struct chat_template chat_template;

/* `source`: Jinja text. `t` must outlive the template. A syntax error or an unsupported construct is the error. */
err_code chat_open(chat_template **out, const tokenizer *t, str source, err *e);
void chat_close(chat_template *c);       /* NULL allowed */
str chat_source(const chat_template *c); /* the Jinja text */

/* Appends the prompt's ids (left as they were on failure). An unknown role: ERR_USAGE; a message list that the template
 * refuses (roles out of turn): ERR_FORMAT with the template's words. */
err_code chat_encode(const chat_template *c, const chat_message *m, size_t n, const chat_options *o, tok_ids *ids,
                     err *e);
/* Appends the prompt's text, for people; its control tokens cannot be told from spelled ones. */
err_code chat_render(const chat_template *c, const chat_message *m, size_t n, const chat_options *o, strbuf *text,
                     err *e);

/* Templates for models whose file carries none, by the name of the format. */
typedef struct {
    const char *name, *summary;
    const char *needs; /* a control token without which the format makes no sense for a model; NULL: none */
    const char *stop;  /* a stop string that ends an answer; NULL: the model's end tokens do */
    const char *source;
} chat_builtin;
extern const chat_builtin chat_builtins[];               /* ends with a NULL name */
const chat_builtin *chat_builtin_find(const char *name); /* NULL when there is none */

#endif
