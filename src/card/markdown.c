/* markdown: the page as CommonMark, with tables as GitHub has them. Whatever could mean something is escaped. */
#include <string.h>

#include "card/page.h"

/* Texts are clean: one line, no control characters. */
static err_code text(str s, strbuf *out, err *e) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '<')
            TRY(strbuf_add(out, STR("&lt;"), e));
        else if (c == '&')
            TRY(strbuf_add(out, STR("&amp;"), e));
        else if (c && strchr("\\`*_{}[]>#|~!$", c)) {
            TRY(strbuf_addc(out, '\\', e));
            TRY(strbuf_addc(out, c, e));
        } else if (c == ':' || c == '@' || c == '.') { /* no link by itself: http://x, www.x, a@b */
            bool link = (c == ':' && i + 1 < s.n && s.p[i + 1] == '/') || c == '@' ||
                        (c == '.' && i >= 3 && memcmp(s.p + i - 3, "www", 3) == 0);
            TRY(link ? strbuf_addf(out, e, "&#%d;", c) : strbuf_addc(out, c, e));
        } else {
            TRY(strbuf_addc(out, c, e));
        }
    }
    return ERR_OK;
}

/* At the beginning of a line more could mean something: "- ", "1. ", "+ ". */
static err_code paragraph(str s, strbuf *out, err *e) {
    size_t n = 0;
    while (n < s.n && n < 10 && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+' || s.p[0] == '='))
        TRY(strbuf_addc(out, '\\', e));
    if (n && n < s.n && (s.p[n] == '.' || s.p[n] == ')')) {
        TRY(strbuf_add(out, str_sub(s, 0, n), e));
        TRY(strbuf_addc(out, '\\', e));
        s = str_sub(s, n, s.n);
    }
    return text(s, out, e);
}

static err_code cells(const block *b, bool code, strbuf *out, err *e) {
    TRY(strbuf_addc(out, '|', e));
    for (int i = 0; i < b->n; i++) {
        bool mono = code && i == b->n - 1;
        TRY(strbuf_add(out, mono ? STR(" `") : STR(" "), e));
        TRY(text(b->text[i], out, e));
        TRY(strbuf_add(out, mono ? STR("` |") : STR(" |"), e));
    }
    return strbuf_addc(out, '\n', e);
}

err_code markdown_write(const page *p, strbuf *out, err *e) {
    bool code = false;
    for (size_t i = 0; i < p->n; i++) {
        const block *b = &p->at[i];
        bool follows = i && (b->kind == BLOCK_ROW || (b->kind == BLOCK_ITEM && p->at[i - 1].kind == BLOCK_ITEM));
        if (i && !follows)
            TRY(strbuf_addc(out, '\n', e));
        switch (b->kind) {
        case BLOCK_HEADING:
            for (int k = 0; k < b->level; k++)
                TRY(strbuf_addc(out, '#', e));
            TRY(strbuf_addc(out, ' ', e));
            TRY(text(b->text[0], out, e));
            TRY(strbuf_addc(out, '\n', e));
            break;
        case BLOCK_ITEM:
            TRY(strbuf_add(out, STR("- "), e));
            TRY(paragraph(b->text[0], out, e));
            TRY(strbuf_addc(out, '\n', e));
            break;
        case BLOCK_TEXT:
            TRY(paragraph(b->text[0], out, e));
            TRY(strbuf_addc(out, '\n', e));
            break;
        case BLOCK_TABLE:
            code = b->code;
            TRY(cells(b, false, out, e));
            TRY(strbuf_addc(out, '|', e));
            for (int k = 0; k < b->n; k++)
                TRY(strbuf_add(out, STR("---|"), e));
            TRY(strbuf_addc(out, '\n', e));
            break;
        case BLOCK_ROW:
            TRY(cells(b, code, out, e));
            break;
        }
    }
    return ERR_OK;
}
