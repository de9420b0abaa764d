/* debcopy: see debcopy.h. */
#include "text/debcopy.h"

#include <string.h>

/* ---- small things over slices ---- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool same(str a, const char *b) {
    size_t i = 0;
    for (; i < a.n && b[i]; i++)
        if (lower(a.p[i]) != lower(b[i]))
            return false;
    return i == a.n && !b[i];
}

static bool holds(str s, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; n <= s.n && i <= s.n - n; i++)
        if (same(str_sub(s, i, i + n), word))
            return true;
    return false;
}

static str trim(str s) {
    while (s.n && is_space(s.p[0]))
        s = str_sub(s, 1, s.n);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

static str line_of(str text, size_t *at) {
    const char *end = memchr(text.p + *at, '\n', text.n - *at);
    size_t from = *at, to = end ? (size_t)(end - text.p) : text.n;
    *at = end ? to + 1 : to;
    return str_sub(text, from, to);
}

/* The next word between white space and commas; empty at the end. */
static str word_of(str s, size_t *at) {
    while (*at < s.n && is_space(s.p[*at]))
        ++*at;
    size_t from = *at;
    while (*at < s.n && !is_space(s.p[*at]))
        ++*at;
    return str_sub(s, from, *at);
}

/* ---- licences ---- */

/* Debian's names that are not SPDX's, and SPDX's that Debian writes in other cases. What stands in no row and follows
 * no rule of family_of() is no licence that SPDX knows. */
static const struct {
    const char *debian, *spdx;
} names[] = {
    {"0BSD", "0BSD"},
    {"AFL-2.1", "AFL-2.1"},
    {"AFL-3.0", "AFL-3.0"},
    {"Apache-1.0", "Apache-1.0"},
    {"Apache-1.1", "Apache-1.1"},
    {"Apache-2", "Apache-2.0"},
    {"Apache-2.0", "Apache-2.0"},
    {"Artistic", "Artistic-1.0-Perl"},
    {"Artistic-1", "Artistic-1.0-Perl"},
    {"Artistic-1.0-Perl", "Artistic-1.0-Perl"},
    {"Artistic-2", "Artistic-2.0"},
    {"Artistic-2.0", "Artistic-2.0"},
    {"Beerware", "Beerware"},
    {"Bitstream-Vera", "Bitstream-Vera"},
    {"Boost-1.0", "BSL-1.0"},
    {"BSD-1-clause", "BSD-1-Clause"},
    {"BSD-2-clause", "BSD-2-Clause"},
    {"BSD-2-clause-Patent", "BSD-2-Clause-Patent"},
    {"BSD-3-clause", "BSD-3-Clause"},
    {"BSD-3-clause-Clear", "BSD-3-Clause-Clear"},
    {"BSD-3-clause-LBNL", "BSD-3-Clause-LBNL"},
    {"BSD-4-clause", "BSD-4-Clause"},
    {"BSD-4-clause-UC", "BSD-4-Clause-UC"},
    {"BSL-1.0", "BSL-1.0"},
    {"BlueOak-1.0.0", "BlueOak-1.0.0"},
    {"CC0", "CC0-1.0"},
    {"CC0-1.0", "CC0-1.0"},
    {"CDDL-1.0", "CDDL-1.0"},
    {"CDDL-1.1", "CDDL-1.1"},
    {"CECILL-2.1", "CECILL-2.1"},
    {"CECILL-B", "CECILL-B"},
    {"CECILL-C", "CECILL-C"},
    {"CPL-1.0", "CPL-1.0"},
    {"curl", "curl"},
    {"EFL-2", "EFL-2.0"},
    {"EPL-1.0", "EPL-1.0"},
    {"EPL-2.0", "EPL-2.0"},
    {"EUPL-1.1", "EUPL-1.1"},
    {"EUPL-1.2", "EUPL-1.2"},
    {"Expat", "MIT"},
    {"FSFAP", "FSFAP"},
    {"FSFUL", "FSFUL"},
    {"FSFULLR", "FSFULLR"},
    {"FTL", "FTL"},
    {"HPND", "HPND"},
    {"HPND-sell-variant", "HPND-sell-variant"},
    {"ICU", "ICU"},
    {"IJG", "IJG"},
    {"ISC", "ISC"},
    {"Libpng", "Libpng"},
    {"LPPL-1.2", "LPPL-1.2"},
    {"LPPL-1.3a", "LPPL-1.3a"},
    {"LPPL-1.3c", "LPPL-1.3c"},
    {"MIT", "MIT"},
    {"MIT-0", "MIT-0"},
    {"MIT-CMU", "MIT-CMU"},
    {"MPL-1.0", "MPL-1.0"},
    {"MPL-1.1", "MPL-1.1"},
    {"MPL-2", "MPL-2.0"},
    {"MPL-2.0", "MPL-2.0"},
    {"MS-PL", "MS-PL"},
    {"NCSA", "NCSA"},
    {"NTP", "NTP"},
    {"ODbL-1.0", "ODbL-1.0"},
    {"OFL-1.0", "OFL-1.0"},
    {"OFL-1.1", "OFL-1.1"},
    {"OpenSSL", "OpenSSL"},
    {"Perl", "(Artistic-1.0-Perl OR GPL-1.0-or-later)"},
    {"PHP-3.0", "PHP-3.0"},
    {"PHP-3.01", "PHP-3.01"},
    {"PostgreSQL", "PostgreSQL"},
    {"PSF-2", "PSF-2.0"},
    {"PSF-2.0", "PSF-2.0"},
    {"Python-2.0", "Python-2.0"},
    {"QPL-1.0", "QPL-1.0"},
    {"Ruby", "Ruby"},
    {"SIL-1.1", "OFL-1.1"},
    {"SIL-OFL-1.1", "OFL-1.1"},
    {"TCL", "TCL"},
    {"Unicode-DFS-2016", "Unicode-DFS-2016"},
    {"Unlicense", "Unlicense"},
    {"UPL-1.0", "UPL-1.0"},
    {"Vim", "Vim"},
    {"W3C", "W3C"},
    {"WTFPL", "WTFPL"},
    {"WTFPL-2", "WTFPL"},
    {"X11", "X11"},
    {"Zlib", "Zlib"},
    {"Zope-2.1", "ZPL-2.1"},
    {"ZPL-2.1", "ZPL-2.1"},
};

/* "2", "2.0" to "2.0"; "2.1" stays: SPDX writes the minor number always. False: no number of a version. */
static bool version_of(str s, str *major, str *minor) {
    ptrdiff_t dot = str_find(s, STR("."), 0);
    *major = dot < 0 ? s : str_sub(s, 0, (size_t)dot);
    *minor = dot < 0 ? STR("0") : str_sub(s, (size_t)dot + 1, s.n);
    return major->n == 1 && minor->n == 1 && is_digit(major->p[0]) && is_digit(minor->p[0]);
}

/* The GNU licences: FAMILY-VERSION, with + for "or later". */
static err_code add_gnu(str name, strbuf *out, bool *done, err *e) {
    static const struct {
        const char *debian, *spdx, *versions; /* major and minor numbers that exist */
        bool free_of_invariants;
    } families[] = {
        {"GFDL-NIV-", "GFDL", "11 12 13", true}, {"LGPL-", "LGPL", "20 21 30", false},
        {"AGPL-", "AGPL", "10 30", false},       {"GFDL-", "GFDL", "11 12 13", false},
        {"GPL-", "GPL", "10 20 30", false},
    };
    bool later = str_ends(name, STR("+")) || str_ends(name, STR("-or-later"));
    str bare = str_ends(name, STR("+"))           ? str_sub(name, 0, name.n - 1)
               : str_ends(name, STR("-or-later")) ? str_sub(name, 0, name.n - 9)
               : str_ends(name, STR("-only"))     ? str_sub(name, 0, name.n - 5)
                                                  : name;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        size_t n = strlen(families[i].debian);
        str major, minor;
        if (!same(str_sub(bare, 0, n), families[i].debian) || !version_of(str_sub(bare, n, bare.n), &major, &minor))
            continue;
        char both[3] = {major.p[0], minor.p[0], 0};
        if (!strstr(families[i].versions, both))
            continue;
        *done = true;
        return strbuf_addf(out, e, "%s-%c.%c%s-%s", families[i].spdx, major.p[0], minor.p[0],
                           families[i].free_of_invariants ? "-no-invariants" : "", later ? "or-later" : "only");
    }
    return ERR_OK;
}

/* Creative Commons: CC-BY[-NC][-SA|-ND]-VERSION, which SPDX writes in capitals. */
static err_code add_creative(str name, strbuf *out, bool *done, err *e) {
    static const char *const kinds[] = {"CC-BY-NC-SA-", "CC-BY-NC-ND-", "CC-BY-NC-",
                                        "CC-BY-SA-",    "CC-BY-ND-",    "CC-BY-"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i]);
        str major, minor;
        if (!same(str_sub(name, 0, n), kinds[i]) || !version_of(str_sub(name, n, name.n), &major, &minor))
            continue;
        *done = major.p[0] >= '1' && major.p[0] <= '4';
        return *done ? strbuf_addf(out, e, "%s%c.%c", kinds[i], major.p[0], minor.p[0]) : ERR_OK;
    }
    return ERR_OK;
}

/* Words that make one name ("GPL-2+ with OpenSSL exception"), joined by '-'; what SPDX does not allow becomes '-'. */
static err_code add_reference(str name, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("LicenseRef-"), e));
    bool dash = true;
    for (size_t i = 0; i < name.n && i < 200; i++) {
        char c = name.p[i];
        bool good = is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '.';
        if (good || !dash)
            TRY(strbuf_addc(out, good ? c : '-', e));
        dash = !good;
    }
    if (out->n && out->p[out->n - 1] == '-')
        out->n--;
    return ERR_OK;
}

static err_code add_name(str name, strbuf *out, err *e) {
    if (name.n == 0)
        return strbuf_add(out, STR("LicenseRef-unknown"), e);
    if (same(str_sub(name, 0, 11), "LicenseRef-"))
        return add_reference(str_sub(name, 11, name.n), out, e);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(name, names[i].debian))
            return strbuf_add(out, str_from(names[i].spdx), e);
    bool done = false;
    TRY(add_gnu(name, out, &done, e));
    if (!done)
        TRY(add_creative(name, out, &done, e));
    return done ? ERR_OK : add_reference(name, out, e);
}

/* Names between "or" and "and", without commas. "and" binds tighter in both languages. *n_operators counts. */
static err_code add_plain(str s, strbuf *out, size_t *n_operators, err *e) {
    size_t at = 0, from = 0, to = 0;
    bool begun = false;
    *n_operators = 0;
    for (;;) {
        str word = word_of(s, &at);
        bool either = same(word, "or"), both = same(word, "and");
        if (word.n && !either && !both) {
            from = begun ? from : (size_t)(word.p - s.p);
            to = (size_t)(word.p - s.p) + word.n;
            begun = true;
            continue;
        }
        if (begun || word.n)
            TRY(add_name(begun ? str_sub(s, from, to) : (str){0}, out, e));
        if (word.n == 0)
            return ERR_OK;
        TRY(strbuf_add(out, either ? STR(" OR ") : STR(" AND "), e));
        ++*n_operators;
        begun = false;
        size_t peek = at;
        if (word_of(s, &peek).n == 0)
            return add_name((str){0}, out, e);
    }
}

static err_code add_group(str part, bool alone, strbuf *out, err *e) {
    strbuf plain = {0};
    size_t n_operators;
    err_code code = add_plain(part, &plain, &n_operators, e);
    bool brackets = n_operators > 0 && !alone;
    if (code == ERR_OK)
        code = strbuf_addf(out, e, "%s%.*s%s", brackets ? "(" : "", (int)plain.n, plain.p ? plain.p : "",
                           brackets ? ")" : "");
    strbuf_fini(&plain);
    return code;
}

/* Commas cut first: "A or B, and C". A comma without a word after it means "and". Several commas group to the left. */
err_code debcopy_spdx(str synopsis, strbuf *out, err *e) {
    str s = trim(synopsis);
    if (s.n > 4096)
        s.n = 4096;
    bool alone = str_find(s, STR(","), 0) < 0;
    size_t begun_at = out->n, n_parts = 0;
    bool last_or = false;
    for (size_t at = 0; at < s.n;) {
        ptrdiff_t comma = str_find(s, STR(","), at);
        size_t to = comma < 0 ? s.n : (size_t)comma;
        str part = trim(str_sub(s, at, to));
        at = to + 1;
        if (part.n == 0)
            continue;
        size_t after = 0;
        str first = word_of(part, &after);
        bool either = n_parts && same(first, "or"), both = n_parts && same(first, "and");
        if (either || both)
            part = trim(str_sub(part, after, part.n));
        if (part.n == 0)
            continue;
        if (n_parts > 1 && either != last_or) { /* what stands there becomes one operand */
            TRY(strbuf_add(out, STR("()"), e));
            memmove(out->p + begun_at + 1, out->p + begun_at, out->n - 2 - begun_at);
            out->p[begun_at] = '(';
            out->p[out->n - 1] = ')';
        }
        if (n_parts)
            TRY(strbuf_add(out, either ? STR(" OR ") : STR(" AND "), e));
        TRY(add_group(part, alone, out, e));
        last_or = either;
        n_parts++;
    }
    return ERR_OK;
}

/* ---- paragraphs ---- */

typedef struct {
    debcopy *c;
    bool header_seen; /* the first paragraph is over */
    bool is_ours;     /* it said so */
    str files, licence;
    bool has_files, has_licence;
    size_t cap;
} parser;

static err_code end_paragraph(parser *p, err *e) {
    if (p->has_files && p->is_ours) {
        debcopy *c = p->c;
        if (c->n == p->cap) {
            size_t cap = p->cap ? 2 * p->cap : 16;
            debcopy_paragraph *more;
            ARENA_NEW(&c->mem, more, cap, e);
            if (c->n)
                memcpy(more, c->paragraph, c->n * sizeof *more);
            c->paragraph = more;
            p->cap = cap;
        }
        strbuf spdx = {0};
        err_code code = debcopy_spdx(p->licence, &spdx, e);
        str kept = arena_str(&c->mem, strbuf_str(&spdx));
        strbuf_fini(&spdx);
        TRY(code);
        if (!kept.p)
            return arena_short(e, 1, 1);
        c->paragraph[c->n++] = (debcopy_paragraph){p->files, kept};
    }
    p->has_files = p->has_licence = false;
    p->licence = p->files = (str){0};
    return ERR_OK;
}

static void take_field(parser *p, str name, str value) {
    if (!p->header_seen && (same(name, "Format") || same(name, "Format-Specification")))
        p->is_ours |= holds(value, "copyright-format") || holds(value, "dep5");
    if (same(name, "Files")) {
        p->files = value;
        p->has_files = true;
    }
    if (same(name, "License") && !p->has_licence) {
        p->licence = value;
        p->has_licence = true;
    }
}

static err_code read_lines(parser *p, str text, err *e) {
    size_t at = 0, number = 0;
    bool in_field = false, in_files = false, any = false;
    while (at < text.n) {
        str line = line_of(text, &at);
        number++;
        if (trim(line).n == 0) {
            if (any)
                TRY(end_paragraph(p, e));
            p->header_seen |= any;
            if (p->header_seen && !p->is_ours)
                break;
            in_field = any = false;
            continue;
        }
        if (line.p[0] == '#')
            continue;
        if (line.p[0] == ' ' || line.p[0] == '\t') {
            if (!in_field)
                return err_set(e, ERR_FORMAT, "line %zu: continues no field", number);
            if (in_files) /* the patterns go on: the lines between stand in the same text */
                p->files.n = (size_t)(line.p + line.n - p->files.p);
            continue;
        }
        const char *colon = memchr(line.p, ':', line.n);
        if (!colon) {
            if (!p->header_seen && !p->is_ours)
                break;
            return err_set(e, ERR_FORMAT, "line %zu: is no field", number);
        }
        str name = str_sub(line, 0, (size_t)(colon - line.p));
        take_field(p, trim(name), trim(str_sub(line, name.n + 1, line.n)));
        if (same(trim(name), "Files"))
            p->files = str_sub(line, name.n + 1, line.n);
        in_files = same(trim(name), "Files");
        in_field = any = true;
    }
    TRY(end_paragraph(p, e));
    return p->is_ours
               ? ERR_OK
               : err_set(e, ERR_UNSUPPORTED, "is not machine-readable (\"Format:\" of DEP-5 does not stand there)");
}

err_code debcopy_read(debcopy *c, str text, err *e) {
    *c = (debcopy){.mem = {.max_bytes = 4 * (size_t)DEBCOPY_BYTES_MAX}};
    if (text.n > DEBCOPY_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%zu bytes; at most %d are read", text.n, DEBCOPY_BYTES_MAX);
    parser p = {.c = c};
    err_code code = read_lines(&p, text, e);
    if (code != ERR_OK)
        debcopy_fini(c);
    return code;
}

void debcopy_fini(debcopy *c) {
    arena_fini(&c->mem);
    *c = (debcopy){0};
}

/* ---- finding ---- */

bool debcopy_match(str pattern, str path) {
    /* Greedy with one way back, to the last star: a later star makes the earlier ones' choices irrelevant. */
    size_t p = 0, s = 0, star = SIZE_MAX, star_s = 0;
    while (s < path.n) {
        bool escaped = p + 1 < pattern.n && pattern.p[p] == '\\';
        if (p < pattern.n && !escaped && pattern.p[p] == '*') {
            star = p++;
            star_s = s;
        } else if (p < pattern.n && ((!escaped && pattern.p[p] == '?') || pattern.p[p + escaped] == path.p[s])) {
            p += 1u + escaped;
            s++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            s = ++star_s;
        } else
            return false;
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* The path without what installation put in front. */
static str source_part(str package, str path) {
    static const char *const fronts[] = {"usr/share/doc/", "usr/share/", "usr/lib/", "usr/", "etc/"};
    if (path.n && path.p[0] == '/')
        path = str_sub(path, 1, path.n);
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++) {
        str front = str_from(fronts[i]);
        if (!str_starts(path, front))
            continue;
        str rest = str_sub(path, front.n, path.n);
        bool folder = rest.n > package.n && str_starts(rest, package) && rest.p[package.n] == '/';
        return folder ? str_sub(rest, package.n + 1, rest.n) : rest;
    }
    return path;
}

static bool matches_everything(str pattern) { return str_is(pattern, "*") || str_is(pattern, "./*"); }

static bool is_packaging(str pattern) {
    return str_starts(pattern, STR("debian/")) || str_starts(pattern, STR("./debian/"));
}

/* Whether one of the paragraph's patterns names the file, by its path or an end of it. */
static bool names_file(str patterns, str path) {
    size_t at = 0;
    for (str pattern = word_of(patterns, &at); pattern.n; pattern = word_of(patterns, &at)) {
        if (matches_everything(pattern) || is_packaging(pattern))
            continue;
        if (str_starts(pattern, STR("./")))
            pattern = str_sub(pattern, 2, pattern.n);
        for (str rest = path;;) {
            if (debcopy_match(pattern, rest))
                return true;
            ptrdiff_t slash = str_find(rest, STR("/"), 0);
            if (slash < 0)
                break;
            rest = str_sub(rest, (size_t)slash + 1, rest.n);
        }
    }
    return false;
}

static bool has_pattern(str patterns, bool (*is)(str)) {
    size_t at = 0;
    for (str pattern = word_of(patterns, &at); pattern.n; pattern = word_of(patterns, &at))
        if (is(pattern))
            return true;
    return false;
}

str debcopy_find(const debcopy *c, str package, str path, str *files) {
    str rest = source_part(package, path);
    const debcopy_paragraph *found = NULL, *general = NULL, *only = NULL;
    bool one = true;
    for (size_t i = 0; i < c->n; i++) {
        const debcopy_paragraph *p = &c->paragraph[i];
        if (names_file(p->files, rest))
            found = p;
        if (has_pattern(p->files, matches_everything))
            general = p;
        if (has_pattern(p->files, is_packaging))
            continue;
        one = one && (!only || str_eq(only->licence, p->licence));
        only = p;
    }
    const debcopy_paragraph *p = found ? found : general ? general : one ? only : NULL;
    *files = p ? trim(p->files) : (str){0};
    return p ? p->licence : (str){0};
}
