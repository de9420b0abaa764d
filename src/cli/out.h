/* out: what commands print: results, JSON, progress, interrupts.
 *
 * Results go to standard output through out_text() and out_printf(), which remember the first failed write (a full
 * disk); out_close() reports it, so no result is lost in silence. Everything else goes to standard error. Progress
 * lines appear only when standard error is a terminal that can erase a line.
 */
#ifndef LOAM_CLI_OUT_H
#define LOAM_CLI_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "text/js.h"

void out_text(str s);
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Text from a model or a file. On a terminal, control characters other than line break and tab become U+FFFD: what
 * a model says must not move the cursor, rename the window or type for the user. Elsewhere the bytes go out as they
 * are. */
void out_foreign(str s);
bool out_flush(void);       /* false once a write has failed */
err_code out_close(err *e); /* flushes and reports; ERR_IO when anything was not written */
bool out_is_terminal(void); /* standard output */
bool err_is_terminal(void); /* standard error */
bool out_colours(void);     /* standard output is a terminal, NO_COLOR is unset and TERM is not dumb */

/* A note of one line on standard error, "loam: TEXT"; erases a progress line first. Ill-formed UTF-8 and control
 * characters (but tab and line break in a note) become U+FFFD there. */
void out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_error(const err *e);     /* "loam: " and the error */
void out_digest(const char *hex); /* a line of its own on standard error, for scripts */

/* Progress of one task with rate and time left: zero-initialise, set the names, step as often as you like
 * (it draws ten times a second), end. `unit` NULL: bytes. */
typedef struct {
    const char *what, *unit;
    double begun, drawn;
    bool shown;
} progress;
void progress_step(progress *p, uint64_t done, uint64_t total);
void progress_end(progress *p); /* erases the line */
/* Any line in its place, drawn at once; nothing where a line cannot be erased. */
void progress_line(progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "1.5 GB": three figures, powers of 1000. */
typedef struct {
    char text[32];
} amount;
amount amount_bytes(double bytes);
amount amount_time(double seconds); /* "12 s", "3 min 05 s", "2 h 10 min" */

/* Ctrl-C: after interrupt_catch() SIGINT sets the flag; a second one before interrupt_clear() ends the program. */
extern volatile int interrupt_flag;
void interrupt_catch(void);
void interrupt_clear(void);

/* Prints it as one line and frees; returns the first failure. */
err_code js_print(js_out *j);

#endif
