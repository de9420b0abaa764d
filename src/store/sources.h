/* sources: from what a user names to the files that are read, in an order that depends on names alone.
 *
 *   FILE          itself; a symbolic link is followed
 *   FOLDER        every regular file below it, sorted by its path from there (bytes); symbolic links are not
 *                 followed, names that begin with a dot are left out
 *   apt:PACKAGE   the regular files that an installed Debian package put on this machine (dpkg's list of it), but its
 *                 copyright file and changelogs; each with the licence that the copyright file gives it
 * (text/debcopy.h)
 *   -             standard input
 *
 * `include` and `exclude` are patterns (debcopy_match()) for what FOLDER and apt: find, matched against the path from
 * there and against its last part. Proved by test_build.c and test_data.py.
 */
#ifndef LOAM_STORE_SOURCES_H
#define LOAM_STORE_SOURCES_H

#include "base/arena.h"
#include "io/unpack.h"

typedef enum { SOURCE_AUTO, SOURCE_JSONL, SOURCE_TEXT } source_format; /* AUTO: by name or, where that fails, content */

typedef struct {
    const char *path;     /* to open; NULL: standard input */
    str name;             /* from the folder on, or the file's own; as recorded. UTF-8 */
    str source;           /* the folder's or file's own name, "apt:PACKAGE", or what the user said */
    str licence;          /* "" when unknown */
    source_format format; /* AUTO: look at the first byte */
    unpack_links links;
    uint64_t bytes; /* its size now, for progress */
} source_file;

enum { SOURCE_DEPTH_MAX = 64, SOURCE_PATH_MAX = 4096, SOURCE_FILES_MAX = 20000000 };

typedef struct {
    str source, licence; /* instead of the source's name; of documents whose licence is not known otherwise */
    source_format format;
    const str *include, *exclude;
    size_t n_include, n_exclude;
    bool skip_bad;    /* folders below a FOLDER that cannot be opened are noted, and left out */
    const char *root; /* of the system that apt: looks into; NULL: "/" */
    void (*note)(void *ctx, const char *text); /* one line; NULL: nobody wants to know */
    void *note_ctx;
} source_options;

typedef struct {
    arena mem;
    source_file *file;
    size_t n, cap;
    uint64_t bytes; /* of all of them */
} source_list;

/* Appends what `word` stands for. Nothing there, or nothing to read in it: ERR_USAGE or ERR_IO that says so. */
err_code sources_add(source_list *l, const char *word, const source_options *o, err *e);
void sources_fini(source_list *l);

#endif
