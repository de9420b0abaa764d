/* debcopy: any text as a copyright file, as a licence field, and as pattern and path (cut at its first line break). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/debcopy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Nothing but what an SPDX expression is made of, brackets in pairs. */
static void check_expression(str s) {
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-+ ()";
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i] || !strchr(good, s.p[i]))
            abort();
        depth += (s.p[i] == '(') - (s.p[i] == ')');
        if (depth < 0)
            abort();
    }
    if (depth != 0)
        abort();
}

/* The same by plain recursion over what is left, on short texts. */
static bool matches(str pattern, str path) {
    if (pattern.n == 0)
        return path.n == 0;
    char c = pattern.p[0];
    str rest = str_sub(pattern, 1, pattern.n);
    if (c == '*')
        return matches(rest, path) || (path.n > 0 && matches(pattern, str_sub(path, 1, path.n)));
    if (path.n == 0)
        return false;
    if (c == '\\' && rest.n > 0) {
        c = rest.p[0];
        rest = str_sub(rest, 1, rest.n);
    } else if (c == '?')
        c = path.p[0];
    return c == path.p[0] && matches(rest, str_sub(path, 1, path.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str text = {(const char *)data, n};
    debcopy c;
    err e = {0};
    if (debcopy_read(&c, text, &e) == ERR_OK) {
        static const char *const paths[] = {"/usr/share/doc/x/README", "/usr/share/x/data/a.txt", "/", "/usr/lib/x",
                                            "data/a"};
        for (size_t i = 0; i < c.n; i++)
            check_expression(c.paragraph[i].licence);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            str files;
            check_expression(debcopy_find(&c, STR("x"), str_from(paths[i]), &files));
            if (files.n && (files.p < text.p || files.p + files.n > text.p + text.n))
                abort();
        }
        debcopy_fini(&c);
    } else if (!e.text[0] || c.n != 0)
        abort();
    strbuf spdx = {0};
    if (debcopy_spdx(text, &spdx, NULL) == ERR_OK)
        check_expression(strbuf_str(&spdx));
    strbuf_fini(&spdx);
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
    size_t at = end ? (size_t)(end - data) : n;
    str pattern = str_sub(text, 0, at), path = str_sub(text, at + (end ? 1 : 0), n);
    bool found = debcopy_match(pattern, path);
    size_t n_stars = 0;
    for (size_t i = 0; i < pattern.n; i++)
        n_stars += pattern.p[i] == '*';
    if (n_stars <= 3 && pattern.n <= 64 && path.n <= 64 && found != matches(pattern, path))
        abort();
    return 0;
}
