/* line: messages that a person types, or lines from a pipe.
 *
 * At a terminal libedit edits the line and keeps a history in $XDG_STATE_HOME/loam/chat_history (or
 * ~/.local/state/loam). A message is one line, unless it ends with a backslash (the next line belongs to it), or begins
 * with """ (everything up to a line that ends with """ does).
 */
#ifndef LOAM_CLI_LINE_H
#define LOAM_CLI_LINE_H

#include <stdbool.h>

#include "base/str.h"

enum { LINE_MESSAGE_BYTES_MAX = 8 << 20 };

/* Puts lines together to a message; zero-initialise, strbuf_fini(&j.text) at the end. */
typedef struct {
    strbuf text;
    bool begun, quoted;
} line_joiner;
/* Adds one line (without its line break); *complete: j->text is the message. Set j->text.n and j->begun to 0 for the
 * next. */
err_code line_join(line_joiner *j, str line, bool *complete, err *e);

typedef struct line_reader line_reader;
typedef enum { LINE_MESSAGE, LINE_END, LINE_INTERRUPTED } line_kind;

/* `edit`: standard input is a terminal. A history that cannot be kept is no error. */
err_code line_open(line_reader **out, bool edit, bool history, err *e);
void line_close(line_reader *r); /* NULL allowed; saves the history */
/* The next message into *message (valid until the next call). */
err_code line_read(line_reader *r, line_kind *kind, str *message, err *e);

#endif
