/* dialog: the messages of a conversation, owned, and as a file.
 *
 *   file:  {"messages": [{"role": "user", "content": "..."}, ...]}
 *
 * Invariant: only the first message may be the system's.
 */
#ifndef LOAM_CLI_DIALOG_H
#define LOAM_CLI_DIALOG_H

#include "gen/chat.h"

typedef struct {
    chat_message *m; /* roles are literals, contents are owned */
    size_t n, cap;
} dialog;

err_code dialog_add(dialog *d, str role, str content, err *e);
void dialog_drop(dialog *d);                         /* the last message; nothing when empty */
void dialog_clear(dialog *d);                        /* all but the system's message */
err_code dialog_system(dialog *d, str text, err *e); /* sets it; an empty text takes it away */
str dialog_last_role(const dialog *d);               /* empty when there is none */
void dialog_fini(dialog *d);

err_code dialog_save(const dialog *d, const char *path, err *e);
/* Replaces *d; on failure it is as before. */
err_code dialog_load(dialog *d, const char *path, err *e);

#endif
