/* page: a card as blocks of text, which markdown.c and html.c write each in its way.
 *
 * Texts here are plain: who writes them escapes. All live in the facts' arena.
 */
#ifndef LOAM_CARD_PAGE_H
#define LOAM_CARD_PAGE_H

#include "card/openness.h"

enum { PAGE_COLUMNS_MAX = 5 };

typedef enum { BLOCK_HEADING, BLOCK_TEXT, BLOCK_ITEM, BLOCK_TABLE, BLOCK_ROW } block_kind;

/* A table is a block with the names of its columns, and a block a row behind it. */
typedef struct {
    block_kind kind;
    int level; /* of a heading: 1 the page's own */
    bool code; /* of a table: its last column holds digests */
    int n;     /* texts */
    str text[PAGE_COLUMNS_MAX];
} block;

typedef struct {
    card_facts *f;
    block *at;
    size_t n, cap;
} page;

err_code page_of(page *p, card_facts *f, const openness *o, err *e);

/* The page as Markdown (CommonMark with tables), or as one HTML file that needs nothing else. Appended. */
err_code markdown_write(const page *p, strbuf *out, err *e);
err_code html_write(const page *p, strbuf *out, err *e);

#endif
