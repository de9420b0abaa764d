/* html: the page as one file that needs no other: no script, no font, no picture from anywhere. Light and dark as the
 * reader's system has it; every table has a caption and its heads a scope, for readers who hear it. */
#include "card/page.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c1f23;--paper:#fdfdfb;--line:#d5d8d2;--soft:#555c55;--head:#f0f2ec}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8e3;--paper:#15181a;--line:#3a403c;--soft:#a4ada4;--head:#"
    "1f2426}}"
    "body{margin:0 auto;max-width:62rem;padding:1.5rem;background:var(--paper);color:var(--ink);"
    "font:1rem/1.55 system-ui,sans-serif}"
    "h1{font-size:1.8rem;overflow-wrap:anywhere}h2{font-size:1.3rem;margin-top:2.2rem;border-bottom:1px solid "
    "var(--line)}"
    "h3{font-size:1.05rem}.wide{overflow-x:auto}"
    "table{border-collapse:collapse;width:100%}caption{position:absolute;width:1px;height:1px;overflow:hidden;"
    "clip-path:inset(50%)}"
    "th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "thead th{background:var(--head)}tbody th{font-weight:600;width:30%}code{font-size:.85rem}"
    "a{color:inherit}@media print{body{max-width:none}}";

static err_code text(str s, strbuf *out, err *e) {
    for (size_t i = 0; i < s.n; i++)
        switch (s.p[i]) {
        case '<':
            TRY(strbuf_add(out, STR("&lt;"), e));
            break;
        case '>':
            TRY(strbuf_add(out, STR("&gt;"), e));
            break;
        case '&':
            TRY(strbuf_add(out, STR("&amp;"), e));
            break;
        case '"':
            TRY(strbuf_add(out, STR("&quot;"), e));
            break;
        case '\'':
            TRY(strbuf_add(out, STR("&#39;"), e));
            break;
        default:
            TRY(strbuf_addc(out, s.p[i], e));
        }
    return ERR_OK;
}

static err_code wrapped(const char *before, str s, const char *after, strbuf *out, err *e) {
    TRY(strbuf_add(out, str_from(before), e));
    TRY(text(s, out, e));
    return strbuf_add(out, str_from(after), e);
}

/* The heading above is the table's caption. A table without names of columns has its first column as heads. */
static err_code begin_table(const block *b, str caption, strbuf *out, err *e) {
    TRY(wrapped("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"", caption, "\"><table>", out, e));
    TRY(wrapped("<caption>", caption, "</caption>\n", out, e));
    if (b->text[0].n) {
        TRY(strbuf_add(out, STR("<thead><tr>"), e));
        for (int i = 0; i < b->n; i++)
            TRY(wrapped("<th scope=\"col\">", b->text[i], "</th>", out, e));
        TRY(strbuf_add(out, STR("</tr></thead>\n"), e));
    }
    return strbuf_add(out, STR("<tbody>\n"), e);
}

static err_code table_row(const block *table, const block *b, strbuf *out, err *e) {
    bool heads = table->text[0].n == 0;
    TRY(strbuf_add(out, STR("<tr>"), e));
    for (int i = 0; i < b->n; i++) {
        bool mono = table->code && i == b->n - 1;
        if (i == 0 && heads)
            TRY(wrapped("<th scope=\"row\">", b->text[i], "</th>", out, e));
        else
            TRY(wrapped(mono ? "<td><code>" : "<td>", b->text[i], mono ? "</code></td>" : "</td>", out, e));
    }
    return strbuf_add(out, STR("</tr>\n"), e);
}

static err_code body(const page *p, strbuf *out, err *e) {
    const block *table = NULL;
    str caption = {0};
    for (size_t i = 0; i < p->n; i++) {
        const block *b = &p->at[i], *next = i + 1 < p->n ? b + 1 : NULL;
        static const char *const open[] = {"", "<h1>", "<h2>", "<h3>"}, *const shut[] = {"", "</h1>\n", "</h2>\n",
                                                                                         "</h3>\n"};
        switch (b->kind) {
        case BLOCK_HEADING:
            caption = b->text[0];
            TRY(wrapped(open[b->level], b->text[0], shut[b->level], out, e));
            break;
        case BLOCK_TEXT:
            TRY(wrapped("<p>", b->text[0], "</p>\n", out, e));
            break;
        case BLOCK_ITEM:
            if (i == 0 || p->at[i - 1].kind != BLOCK_ITEM)
                TRY(strbuf_add(out, STR("<ul>\n"), e));
            TRY(wrapped("<li>", b->text[0], "</li>\n", out, e));
            if (!next || next->kind != BLOCK_ITEM)
                TRY(strbuf_add(out, STR("</ul>\n"), e));
            break;
        case BLOCK_TABLE:
            table = b;
            TRY(begin_table(b, caption, out, e));
            break;
        case BLOCK_ROW:
            TRY(table_row(table, b, out, e));
            break;
        }
        if ((b->kind == BLOCK_ROW || b->kind == BLOCK_TABLE) && (!next || next->kind != BLOCK_ROW))
            TRY(strbuf_add(out, STR("</tbody></table></div>\n"), e));
    }
    return ERR_OK;
}

err_code html_write(const page *p, strbuf *out, err *e) {
    TRY(strbuf_add(out,
                   STR("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                       "'unsafe-inline'\">\n"),
                   e));
    TRY(wrapped("<title>", p->f->name, " - model card</title>\n", out, e));
    TRY(strbuf_addf(out, e, "<style>%s</style>\n</head>\n<body>\n<main>\n", style));
    TRY(body(p, out, e));
    return strbuf_add(out, STR("</main>\n</body>\n</html>\n"), e);
}
