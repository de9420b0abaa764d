/* chat_int: what chat.c shares with chat_learn.c; see chat.h for the rule about marks. */
#ifndef LOAM_GEN_CHAT_INT_H
#define LOAM_GEN_CHAT_INT_H

#include "gen/chat.h"
#include "text/jinja.h"

typedef struct {
    char byte[4];
    size_t n;
} chat_mark;
str chat_mark_str(const chat_mark *k);

/* A noncharacter that occurs in no message, not in the template and is none of `other` (NULL: none). */
err_code chat_choose_mark(const chat_template *c, const chat_message *m, size_t n, const json_t *tools,
                          const chat_mark *other, chat_mark *out, err *e);

/* Limits and roles: what every rendering begins with. */
err_code chat_check(const chat_message *m, size_t n, err *e);

/* Appends the rendered text, marks and all; spans (or NULL) as jinja_render_spans(). */
err_code chat_render_marked(const chat_template *c, const chat_message *m, size_t n, const chat_options *o,
                            const chat_mark *mark, strbuf *out, jinja_spans *spans, err *e);

/* Appends well-formed `text` as it stands in a marked message. */
err_code chat_mark_text(const chat_template *c, str text, const chat_mark *mark, strbuf *out, err *e);

/* The next piece of a rendered text up to a mark; false when there is none. *at begins as 0. */
bool chat_next_piece(str text, const chat_mark *mark, size_t *at, str *piece);

/* Bytes of the end token that s begins with, or ends in; 0: none. */
size_t chat_end_token(const chat_template *c, str s, bool at_its_end);

const tokenizer *chat_tokenizer(const chat_template *c);

#endif
