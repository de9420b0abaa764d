/* man: the man pages, from the same rows as --help.
 *
 * loam.1 has the commands, exit status, environment and files; loam-NAME.1 (loam-data-build.1) explains one command. In
 * the man(7) language, which man-db, groff and mandoc read; the same bytes on every machine and for every terminal.
 * Proved, with groff and mandoc, by test/e2e/test_man.py.
 */
#ifndef LOAM_CLI_MAN_H
#define LOAM_CLI_MAN_H

#include "cli/command.h"

/* Appends the page of a command, NULL: of the program. */
err_code man_page(const command *c, strbuf *out, err *e);

/* Writes every page into a folder that exists. */
err_code man_write(const char *folder, err *e);

#endif
