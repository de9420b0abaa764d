/* debcopy: which licence a Debian package's copyright file gives a file.
 *
 * Machine-readable copyright files ("copyright-format 1.0", DEP-5) are paragraphs of fields; `Files:` paragraphs name
 * patterns of files in the package's source and a licence, and the last one that matches counts. Installed files are
 * not source files, so debcopy_find() goes by what remains of their path:
 *
 *   1. The path without the folder that installation put in front (/usr/share/doc/PACKAGE/, /usr/share/PACKAGE/,
 *      /usr/lib/PACKAGE/, /usr/share/, /usr/lib/, /usr/, /) is matched, then without its first folder, and so on to the
 *      bare name, against every pattern but those that match everything ("*") and those of the packaging
 * ("debian/..."). Of the paragraphs that match the last one counts.
 *   2. Else the last paragraph with the pattern "*".
 *   3. Else, when all paragraphs but the packaging's say the same, that; else nothing is known.
 *
 * Licences become SPDX expressions: names are translated (GPL-2+ to GPL-2.0-or-later, Expat to MIT); "A or B, and C" to
 * "(A OR B) AND C"; what SPDX has no name for becomes LicenseRef-NAME.
 *
 * Sources: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/, SPDX 2.3 annex D. Proved by
 * test_debcopy.c, fuzz_debcopy.c.
 */
#ifndef LOAM_TEXT_DEBCOPY_H
#define LOAM_TEXT_DEBCOPY_H

#include "base/arena.h"

enum { DEBCOPY_BYTES_MAX = 16 << 20 };

typedef struct {
    str files;   /* patterns between white space */
    str licence; /* SPDX expression; empty when the paragraph has none */
} debcopy_paragraph;

typedef struct {
    arena mem;
    debcopy_paragraph *paragraph;
    size_t n;
} debcopy;

/* `text` must live as long as *c. Not in this format: ERR_UNSUPPORTED; a line that is neither field nor continuation:
 * ERR_FORMAT with its number. After an error nothing is left to free. */
err_code debcopy_read(debcopy *c, str text, err *e);
void debcopy_fini(debcopy *c);

/* The licence of the installed file `path` of `package`, empty when unknown; *files: the patterns that said so. */
str debcopy_find(const debcopy *c, str package, str path, str *files);

/* One licence field's first line as SPDX expression, appended; nothing for an empty one. */
err_code debcopy_spdx(str synopsis, strbuf *out, err *e);

/* Shell pattern of this format: * any characters, ? one, \ takes away the next one's meaning; / is a character. */
bool debcopy_match(str pattern, str path);

#endif
