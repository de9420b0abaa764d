/* page: see page.h. The assembler takes the files in as they are, so that building needs no other tool. */
#include "serve/page.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "serve/route.h"

#define SCRIPT "text/javascript; charset=utf-8"
#define FILES(X)                                                        \
    X(index, "index.html", "/", "text/html; charset=utf-8")             \
    X(style, "style.css", "/page/style.css", "text/css; charset=utf-8") \
    X(icon, "icon.svg", "/page/icon.svg", "image/svg+xml")              \
    X(answer, "answer.js", "/page/answer.js", SCRIPT)                   \
    X(api, "api.js", "/page/api.js", SCRIPT)                            \
    X(app, "app.js", "/page/app.js", SCRIPT)                            \
    X(chart, "chart.js", "/page/chart.js", SCRIPT)                      \
    X(chat, "chat.js", "/page/chat.js", SCRIPT)                         \
    X(data, "data.js", "/page/data.js", SCRIPT)                         \
    X(dom, "dom.js", "/page/dom.js", SCRIPT)                            \
    X(markdown, "markdown.js", "/page/markdown.js", SCRIPT)             \
    X(models, "models.js", "/page/models.js", SCRIPT)                   \
    X(runs, "runs.js", "/page/runs.js", SCRIPT)                         \
    X(settings, "settings.js", "/page/settings.js", SCRIPT)             \
    X(store, "store.js", "/page/store.js", SCRIPT)                      \
    X(text, "text.js", "/page/text.js", SCRIPT)                         \
    X(trace, "trace.js", "/page/trace.js", SCRIPT)

#define X(id, name, path, type)                                                                            \
    extern const unsigned char loam_page_##id[], loam_page_##id##_end[];                                   \
    __asm__(".pushsection .rodata\n.globl loam_page_" #id "\nloam_page_" #id ":\n.incbin \"src/page/" name \
            "\"\n.globl loam_page_" #id "_end\nloam_page_" #id "_end:\n.byte 0\n.popsection\n");
FILES(X)
#undef X

const page_file page_files[] = {
#define X(id, name, path, type) {path, type, loam_page_##id, loam_page_##id##_end},
    FILES(X)
#undef X
        {0},
};

static size_t size_of(const page_file *f) { return (size_t)(f->end - f->begin); }

void page_tag_all(page_tags *t) {
    for (size_t i = 0; page_files[i].path && i < PAGE_FILES_MAX; i++) {
        char hex[65];
        hash_hex(hash_of(page_files[i].begin, size_of(&page_files[i])), hex);
        snprintf(t->of[i], sizeof t->of[i], "\"%.16s\"", hex);
    }
}

bool page_is_path(str path) { return str_is(path, "/") || str_starts(path, STR("/page/")); }

const page_file *page_find(str path) {
    for (const page_file *f = page_files; f->path; f++)
        if (str_is(path, f->path))
            return f;
    return NULL;
}

static void put_headers(http_call *c, const char *tag) {
    static const struct {
        const char *name, *value;
    } fixed[] = {
        {"Content-Security-Policy", PAGE_POLICY},
        {"Cache-Control", "no-cache"}, /* kept, but asked about each time: a newer program has a newer page */
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        http_add_header(c, fixed[i].name, fixed[i].value);
    http_add_header(c, "ETag", tag);
}

static err_code file(serve *s, http_call *c, json_t *body, str rest, err *e) {
    const page_file *f = page_find(http_path(c));
    const char *known = http_header(c, "If-None-Match");
    (void)body;
    (void)rest;
    if (!f)
        return err_set(e, ERR_IO, "there is no such file");
    const char *tag = s->tags.of[f - page_files];
    bool same = known && str_find(str_from(known), str_from(tag), 0) >= 0;
    put_headers(c, tag);
    http_answer(c, same ? 304 : 200, f->type, same ? (str){0} : (str){(const char *)f->begin, size_of(f)});
    return ERR_OK;
}

const route routes_page[] = {
    {"GET", "/", file},
    {"GET", "/page/*", file},
    {0},
};
