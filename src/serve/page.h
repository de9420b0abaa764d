/* page: the web page, whose files (src/page/) are part of the program.
 *
 *   GET /             index.html            GET /page/NAME     its style and modules
 *
 * Everybody may read them, also without the server's token: the page asks for it. Each has an ETag from its bytes, and
 * a Content-Security-Policy under which nothing inline runs, nothing is loaded from elsewhere, and no other page can
 * frame it. Proved by test_page.c and test/e2e/test_page.py.
 */
#ifndef LOAM_SERVE_PAGE_H
#define LOAM_SERVE_PAGE_H

#include <stdbool.h>

#include "base/str.h"

#define PAGE_POLICY                                                                                        \
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " \
    "require-trusted-types-for 'script'"

typedef struct {
    const char *path, *type;
    const unsigned char *begin, *end;
} page_file;

extern const page_file page_files[]; /* ends with {0} */
enum { PAGE_FILES_MAX = 32, PAGE_TAG_BYTES = 24 };

typedef struct page_tags {
    char of[PAGE_FILES_MAX][PAGE_TAG_BYTES]; /* of page_files[i]: the ETag, with its quotes */
} page_tags;
void page_tag_all(page_tags *t);

bool page_is_path(str path);          /* "/" or one below /page/ */
const page_file *page_find(str path); /* NULL: no such file */

#endif
