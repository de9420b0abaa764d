/* licence: see licence.h. */
#include "card/licence.h"

#include <string.h>

enum { DEPTH_MAX = 16, NAME_BYTES_MAX = 60 };

static const char *const open_names[] = {"0BSD",
                                         "AFL-3.0",
                                         "AGPL-3.0-only",
                                         "AGPL-3.0-or-later",
                                         "Apache-2.0",
                                         "Artistic-2.0",
                                         "BSD-2-Clause",
                                         "BSD-3-Clause",
                                         "BSL-1.0",
                                         "CC-BY-2.0",
                                         "CC-BY-2.5",
                                         "CC-BY-3.0",
                                         "CC-BY-4.0",
                                         "CC-BY-SA-2.0",
                                         "CC-BY-SA-2.5",
                                         "CC-BY-SA-3.0",
                                         "CC-BY-SA-4.0",
                                         "CC0-1.0",
                                         "CDDL-1.0",
                                         "CDLA-Permissive-1.0",
                                         "CDLA-Permissive-2.0",
                                         "CDLA-Sharing-1.0",
                                         "ECL-2.0",
                                         "EPL-1.0",
                                         "EPL-2.0",
                                         "EUPL-1.1",
                                         "EUPL-1.2",
                                         "GFDL-1.3-only",
                                         "GFDL-1.3-or-later",
                                         "GPL-2.0-only",
                                         "GPL-2.0-or-later",
                                         "GPL-3.0-only",
                                         "GPL-3.0-or-later",
                                         "ISC",
                                         "LGPL-2.1-only",
                                         "LGPL-2.1-or-later",
                                         "LGPL-3.0-only",
                                         "LGPL-3.0-or-later",
                                         "LPPL-1.3c",
                                         "MIT",
                                         "MIT-0",
                                         "MPL-2.0",
                                         "MS-PL",
                                         "NCSA",
                                         "ODC-By-1.0",
                                         "ODbL-1.0",
                                         "OFL-1.1",
                                         "OSL-3.0",
                                         "PDDL-1.0",
                                         "PostgreSQL",
                                         "Python-2.0",
                                         "UPL-1.0",
                                         "Unlicense",
                                         "W3C",
                                         "Zlib"};
/* Known to SPDX, and not open. */
static const char *const closed_names[] = {"CC-BY-NC-2.0",    "CC-BY-NC-3.0",    "CC-BY-NC-4.0",
                                           "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-3.0",
                                           "CC-BY-NC-ND-4.0", "CC-BY-ND-3.0",    "CC-BY-ND-4.0"};
/* Old or short names to those of today. */
static const struct {
    const char *told, *name;
} aliases[] = {{"agpl-3.0", "AGPL-3.0-only"},
               {"gpl-2.0", "GPL-2.0-only"},
               {"gpl-3.0", "GPL-3.0-only"},
               {"lgpl-2.1", "LGPL-2.1-only"},
               {"lgpl-3.0", "LGPL-3.0-only"},
               {"gfdl", "GFDL-1.3-or-later"},
               {"odc-by", "ODC-By-1.0"},
               {"odbl", "ODbL-1.0"},
               {"pddl", "PDDL-1.0"},
               {"cc0", "CC0-1.0"},
               {"expat", "MIT"}};
enum {
    OPEN = sizeof open_names / sizeof *open_names,
    CLOSED = sizeof closed_names / sizeof *closed_names,
    ALIASES = sizeof aliases / sizeof *aliases
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool same_folded(str a, const char *b) {
    if (a.n != strlen(b))
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b[i]))
            return false;
    return true;
}

/* SPDX's spelling, NULL when it is none we know. */
static const char *listed(str name) {
    for (size_t i = 0; i < OPEN; i++)
        if (same_folded(name, open_names[i]))
            return open_names[i];
    for (size_t i = 0; i < CLOSED; i++)
        if (same_folded(name, closed_names[i]))
            return closed_names[i];
    for (size_t i = 0; i < ALIASES; i++)
        if (same_folded(name, aliases[i].told))
            return aliases[i].name;
    return NULL;
}

bool licence_is_listed(str name) {
    const char *is = listed(name);
    return is && str_is(name, is);
}

static bool name_is_open(str name) {
    if (same_folded(name, "LicenseRef-public-domain") || same_folded(name, "LicenseRef-PD"))
        return true;
    const char *is = listed(name);
    for (size_t i = 0; is && i < OPEN; i++)
        if (strcmp(open_names[i], is) == 0)
            return true;
    return false;
}

/* ---- expressions ---- */

typedef struct {
    str s;
    size_t at;
    bool bad;
} scan;

/* A parenthesis or a word; empty at the end. */
static str peek(scan *p) {
    while (p->at < p->s.n && p->s.p[p->at] == ' ')
        p->at++;
    size_t to = p->at;
    if (to < p->s.n && (p->s.p[to] == '(' || p->s.p[to] == ')'))
        return str_sub(p->s, to, to + 1);
    while (to < p->s.n && p->s.p[to] != ' ' && p->s.p[to] != '(' && p->s.p[to] != ')')
        to++;
    return str_sub(p->s, p->at, to);
}

static bool take(scan *p, const char *word) {
    str w = peek(p);
    if (!same_folded(w, word))
        return false;
    p->at += w.n;
    return true;
}

static bool any_of(scan *p, int depth);

static bool one(scan *p, int depth) {
    if (depth > DEPTH_MAX) {
        p->bad = true;
        return false;
    }
    if (take(p, "(")) {
        bool open = any_of(p, depth + 1);
        p->bad |= !take(p, ")");
        return open;
    }
    str name = peek(p);
    p->at += name.n;
    p->bad |= name.n == 0 || name.p[0] == ')' || same_folded(name, "and") || same_folded(name, "or") ||
              same_folded(name, "with");
    if (take(p, "with")) {
        str exception = peek(p);
        p->at += exception.n;
        p->bad |= exception.n == 0;
    }
    return !p->bad && name_is_open(name);
}

static bool all_of(scan *p, int depth) {
    bool open = one(p, depth);
    while (!p->bad && take(p, "and"))
        open = one(p, depth) && open;
    return open;
}

static bool any_of(scan *p, int depth) {
    bool open = all_of(p, depth);
    while (!p->bad && take(p, "or"))
        open = all_of(p, depth) || open;
    return open;
}

bool licence_is_open(str expression) {
    scan p = {.s = expression};
    bool open = any_of(&p, 0);
    return open && !p.bad && peek(&p).n == 0;
}

/* ---- names ---- */

static bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
}

static bool is_operator(str w) {
    return same_folded(w, "and") || same_folded(w, "or") || same_folded(w, "with") || str_is(w, "(") || str_is(w, ")");
}

/* Only names that are known, LicenseRefs, and what joins them, in an order that makes sense. */
static bool is_expression(str told) {
    scan p = {.s = told};
    for (str w; (w = peek(&p)).n; p.at += w.n) {
        bool plain = true;
        for (size_t i = 0; i < w.n; i++)
            plain = plain && is_plain(w.p[i]);
        if (!is_operator(w) && !(plain && (listed(w) || str_starts(w, STR("LicenseRef-")))))
            return false;
    }
    p = (scan){.s = told};
    any_of(&p, 0);
    return !p.bad && peek(&p).n == 0;
}

err_code licence_spdx(str told, strbuf *out, err *e) {
    scan p = {.s = told};
    if (peek(&p).n == 0)
        return ERR_OK;
    if (is_expression(told)) {
        str last = {0};
        for (str w; (w = peek(&p)).n; p.at += w.n) {
            const char *name = is_operator(w) ? NULL : listed(w);
            bool tight = last.n == 0 || str_is(last, "(") || str_is(w, ")");
            TRY(strbuf_add(out, tight ? STR("") : STR(" "), e));
            TRY(strbuf_add(out,
                           same_folded(w, "and")    ? STR("AND")
                           : same_folded(w, "or")   ? STR("OR")
                           : same_folded(w, "with") ? STR("WITH")
                           : name                   ? str_from(name)
                                                    : w,
                           e));
            last = w;
        }
        return ERR_OK;
    }
    TRY(strbuf_add(out, STR("LicenseRef-"), e));
    size_t n = 0;
    for (size_t i = 0; i < told.n && n < NAME_BYTES_MAX; i++, n++)
        TRY(strbuf_addc(out, is_plain(told.p[i]) ? told.p[i] : '-', e));
    return ERR_OK;
}
