/* complete: what may stand where the cursor is, for the completion of shells (share/loam/completion/).
 *
 * All of it comes from the rows of the commands: their names, their options with the choices, and the words of their
 * usage lines ("M", "RUN", "OUT.gguf"), each of which has a meaning in one table. What is printed, a line each:
 *
 *   WORD<tab>WHAT IT IS    a word that begins as the one at the cursor
 *   :files .db             files that end so, and folders; without an ending: any file
 *   :folders               folders
 *
 * Proved by test/unit/test_complete.c and, in real shells, by test/e2e/test_completion.py.
 */
#ifndef LOAM_CLI_COMPLETE_H
#define LOAM_CLI_COMPLETE_H

#include "cli/command.h"

/* word[0..n): the command line behind "loam", up to the word at the cursor, which may be empty. n at least 1. */
err_code complete_print(const char *const *word, size_t n, err *e);

/* Whether a word of a usage line, or of an option's value ("DATA.db|RUN"), has a meaning for every part of it. */
bool complete_knows(str usage_word);

#endif
