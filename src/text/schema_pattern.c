/* schema_pattern: regular expressions of JSON Schema (ECMA-262) as expressions over the text of a JSON string.
 *
 *   taken     characters, escapes of characters, . [a-z] [^a-z] \d \D \w \W \s \S, groups ( ) (?: ) (?<name> ),
 *             a|b, ? * + {m} {m,} {m,n} and their lazy forms, which match the same texts, ^ and $ at the ends
 *   refused   anchors elsewhere, \b, look-around, references to groups, \p{..}, flags
 *
 * A pattern may match anywhere in the string, so without ^ and $ any characters may stand around it. A character that
 * JSON must escape stands for its escape; where a text is not JSON, it stands for nothing if it cannot be there. Where
 * engines disagree (\d and \w beyond ASCII, what . leaves out), only what all of them accept is in the grammar.
 */
#include <stdlib.h>
#include <string.h>

#include "text/schema_int.h"
#include "text/utf8.h"

enum { NESTING_MAX = 24, RANGES_MAX = 256 };

typedef struct {
    grammar_range range[RANGES_MAX];
    size_t n;
    bool negated; /* what is read into it is what it has not */
} character_set;

typedef struct {
    schema_run *c;
    str s;
    size_t at;
    int depth;
    strbuf *to;
} pattern_run;

static err_code refuse(pattern_run *r, const char *why) { return schema_unsupported(r->c, "pattern", why); }

static int peek(const pattern_run *r, size_t ahead) {
    return r->at + ahead < r->s.n ? (unsigned char)r->s.p[r->at + ahead] : -1;
}

static bool eat(pattern_run *r, const char *what) {
    str w = str_from(what);
    bool yes = str_starts(str_sub(r->s, r->at, r->s.n), w);
    r->at += yes ? w.n : 0;
    return yes;
}

static err_code put(pattern_run *r, const char *text) { return strbuf_add(r->to, str_from(text), r->c->e); }

/* ---- sets of characters ---- */

static err_code add(pattern_run *r, character_set *set, int32_t first, int32_t last) {
    if (set->n == RANGES_MAX)
        return refuse(r, "a set of so many parts is not supported");
    set->range[set->n++] = (grammar_range){first, last};
    return ERR_OK;
}

static int by_first(const void *a, const void *b) {
    const grammar_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static void sort(character_set *set) {
    size_t n = 0;
    qsort(set->range, set->n, sizeof *set->range, by_first);
    for (size_t i = 0; i < set->n; i++)
        if (n > 0 && set->range[i].first <= set->range[n - 1].last + 1)
            set->range[n - 1].last =
                set->range[i].last > set->range[n - 1].last ? set->range[i].last : set->range[n - 1].last;
        else
            set->range[n++] = set->range[i];
    set->n = n;
}

static err_code negate(pattern_run *r, character_set *set) {
    character_set out = {.n = 0};
    int32_t next = 0;
    sort(set);
    for (size_t i = 0; i < set->n; i++) {
        if (set->range[i].first > next)
            TRY(add(r, &out, next, set->range[i].first - 1));
        next = set->range[i].last + 1;
    }
    if (next <= 0x10FFFF)
        TRY(add(r, &out, next, 0x10FFFF));
    *set = out;
    return ERR_OK;
}

/* What every engine takes. `ends`: pairs, first and last. */
static const struct {
    char name;
    int n;
    int32_t ends[24];
} classes[] = {
    {'d', 1, {'0', '9'}},
    {'w', 4, {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}},
    {'s', 2, {'\t', '\r', ' ', ' '}},
    {'D', 2, {0, '0' - 1, '9' + 1, 0x7F}},
    {'W', 5, {0, '0' - 1, '9' + 1, 'A' - 1, 'Z' + 1, '^', '`', '`', 'z' + 1, 0x7F}},
    {'S', 12, {0,      8,      0x0E,   0x1B,   0x21,   0x7F,   0xA1,   0x167F, 0x1681, 0x180D, 0x180F, 0x1FFF,
               0x200B, 0x2027, 0x202A, 0x202E, 0x2030, 0x205E, 0x2060, 0x2FFF, 0x3001, 0xFEFE, 0xFF00, 0x10FFFF}},
};

static err_code add_all(pattern_run *r, character_set *set, const character_set *more) {
    for (size_t i = 0; i < more->n; i++)
        TRY(add(r, set, more->range[i].first, more->range[i].last));
    return ERR_OK;
}

/* A class by its letter; *was_one tells. In a set that is to be negated it stands for what any engine takes, which is
 * all but what every engine takes of its opposite. */
static err_code add_class(pattern_run *r, character_set *set, int name, bool *was_one) {
    character_set one = {.n = 0};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        for (int k = 0; classes[i].name == (set->negated ? name ^ 0x20 : name) && k < classes[i].n; k++) {
            *was_one = true;
            TRY(add(r, &one, classes[i].ends[2 * k], classes[i].ends[2 * k + 1]));
        }
    if (set->negated && *was_one)
        TRY(negate(r, &one));
    return add_all(r, set, &one);
}

/* ---- out ---- */

static err_code put_escaped(pattern_run *r, int32_t ch) {
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = memchr(plain, ch, sizeof plain - 1);
    strbuf text = {0};
    err_code code = at ? strbuf_addf(&text, r->c->e, "\\%c", names[at - plain])
                       : strbuf_addf(&text, r->c->e, "\\u%04x", (unsigned)ch);
    if (code == ERR_OK)
        code = gbnf_quote(strbuf_str(&text), r->to, r->c->e);
    strbuf_fini(&text);
    return code;
}

/* How characters stand in a string: any; those that stand for themselves; the others have an escape, or no place. */
typedef struct {
    const char *any;
    bool escapes;
    grammar_range plain[5]; /* the rest is empty */
} spelling;
enum { N_PLAIN = sizeof((spelling *)0)->plain / sizeof(grammar_range) };
#define NO_RANGE \
    { 1, 0 }

static const spelling
    in_json = {"json-char",
               true,
               {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0xD7FF}, {0xE000, 0x10FFFF}, NO_RANGE}},
    in_json_of_notation =
        {"json-char",
         true,
         {{0x20, '"' - 1}, {'"' + 1, '<' - 1}, {'<' + 1, '\\' - 1}, {'\\' + 1, 0xD7FF}, {0xE000, 0x10FFFF}}},
    bare = {"json-bare", false, {{1, '<' - 1}, {'<' + 1, 0xD7FF}, {0xE000, 0x10FFFF}, NO_RANGE, NO_RANGE}};

static const spelling *spelling_of(const schema_run *c) {
    return c->place == PLACE_TEXT ? &bare : c->how ? &in_json_of_notation : &in_json;
}

static bool is_plain(const spelling *s, int32_t ch) {
    for (int i = 0; i < N_PLAIN; i++)
        if (s->plain[i].first <= ch && ch <= s->plain[i].last)
            return true;
    return false;
}

static bool has(const character_set *set, int32_t ch) {
    for (size_t i = 0; i < set->n; i++)
        if (set->range[i].first <= ch && ch <= set->range[i].last)
            return true;
    return false;
}

/* The part of [first, last] that stands for itself, as parts of a set. */
static err_code put_plain_range(pattern_run *r, int32_t first, int32_t last, size_t *n) {
    const grammar_range *plain = spelling_of(r->c)->plain;
    for (int i = 0; i < N_PLAIN; i++) {
        int32_t from = first > plain[i].first ? first : plain[i].first,
                to = last < plain[i].last ? last : plain[i].last;
        if (from > to)
            continue;
        TRY(strbuf_addf(r->to, r->c->e, "%s\\U%08X-\\U%08X", (*n)++ ? "" : "[", (unsigned)from, (unsigned)to));
    }
    return ERR_OK;
}

static err_code put_set(pattern_run *r, character_set *set) {
    size_t n = 0, n_parts = 0;
    sort(set);
    TRY(put(r, "( "));
    for (size_t i = 0; i < set->n; i++)
        TRY(put_plain_range(r, set->range[i].first, set->range[i].last, &n));
    if (n > 0) {
        TRY(put(r, "] "));
        n_parts++;
    }
    const spelling *spell = spelling_of(r->c);
    for (int32_t ch = 0; ch <= '\\' && spell->escapes; ch++)
        if (!is_plain(spell, ch) && has(set, ch)) {
            TRY(put(r, n_parts++ ? "| " : ""));
            TRY(put_escaped(r, ch));
            TRY(put(r, " "));
        }
    return put(r, n_parts ? ")" : "[] )");
}

/* ---- in ---- */

static err_code read_hex(pattern_run *r, int n, int32_t *ch) {
    *ch = 0;
    for (int i = 0; i < n; i++) {
        int digit = str_hex_digit(peek(r, 0));
        if (digit < 0)
            return refuse(r, "hexadecimal digits are expected in an escape");
        *ch = *ch * 16 + digit;
        r->at++;
    }
    return *ch >= 0xD800 && *ch <= 0xDFFF ? refuse(r, "half a surrogate pair is not supported") : ERR_OK;
}

/* Behind a backslash: a class that is added to the set, or a character. */
static err_code read_escape(pattern_run *r, character_set *set, int32_t *ch, bool in_set) {
    static const char names[] = "tnrfv0", means[] = "\t\n\r\f\v\0";
    int name = peek(r, 0);
    bool is_class = false;
    *ch = -1;
    if (name < 0)
        return refuse(r, "a backslash at the end");
    TRY(add_class(r, set, name, &is_class));
    if (is_class) {
        r->at++;
        return ERR_OK;
    }
    const char *at = strchr(names, name);
    if (at || (in_set && name == 'b'))
        *ch = at ? means[at - names] : '\b';
    else if (name == 'x' || name == 'u') {
        r->at++;
        return read_hex(r, name == 'x' ? 2 : 4, ch);
    } else if ((name | 0x20) >= 'a' && (name | 0x20) <= 'z')
        return refuse(r, "this escape is not supported");
    else if (name >= '1' && name <= '9')
        return refuse(r, "references to groups are not supported");
    else {
        *ch = utf8_next(r->s, &r->at);
        return ERR_OK;
    }
    r->at++;
    return ERR_OK;
}

static err_code read_member(pattern_run *r, character_set *set, int32_t *ch) {
    if (peek(r, 0) < 0)
        return refuse(r, "a set of characters is not closed");
    if (eat(r, "\\"))
        return read_escape(r, set, ch, true);
    *ch = utf8_next(r->s, &r->at);
    return ERR_OK;
}

static err_code read_set(pattern_run *r) {
    character_set set = {.negated = eat(r, "^")};
    while (!eat(r, "]")) {
        int32_t first, last;
        TRY(read_member(r, &set, &first));
        if (first < 0)
            continue;
        last = first;
        if (peek(r, 0) == '-' && peek(r, 1) != ']' && peek(r, 1) >= 0) {
            r->at++;
            TRY(read_member(r, &set, &last));
        }
        if (last < first)
            return refuse(r, "a range of characters runs backwards");
        TRY(add(r, &set, first, last));
    }
    if (set.negated)
        TRY(negate(r, &set));
    return put_set(r, &set);
}

static err_code read_choice(pattern_run *r, bool top);

static err_code read_group(pattern_run *r) {
    if (eat(r, "?")) {
        bool named = eat(r, "P<") || (peek(r, 0) == '<' && peek(r, 1) != '=' && peek(r, 1) != '!' && eat(r, "<"));
        if (named)
            while (peek(r, 0) >= 0 && r->s.p[r->at++] != '>')
                ;
        else if (!eat(r, ":"))
            return refuse(r, "look-around and flags are not supported");
    }
    if (++r->depth > NESTING_MAX)
        return refuse(r, "groups within each other so deep are not supported");
    TRY(put(r, "( "));
    TRY(read_choice(r, false));
    r->depth--;
    TRY(put(r, ")"));
    return eat(r, ")") ? ERR_OK : refuse(r, "a group is not closed");
}

static err_code read_atom(pattern_run *r) {
    static const character_set dot = {
        .n = 4, .range = {{0, '\n' - 1}, {'\n' + 1, '\r' - 1}, {'\r' + 1, 0x2027}, {0x202A, 0x10FFFF}}};
    character_set set = {.n = 0};
    int32_t ch;
    if (eat(r, "("))
        return read_group(r);
    if (eat(r, "["))
        return read_set(r);
    if (eat(r, ".")) {
        set = dot;
        return put_set(r, &set);
    }
    if (peek(r, 0) == '^' || peek(r, 0) == '$')
        return refuse(r, "anchors are supported at the ends only");
    if (peek(r, 0) == '*' || peek(r, 0) == '+' || peek(r, 0) == '?')
        return refuse(r, "nothing stands before a repetition");
    if (eat(r, "\\"))
        TRY(read_escape(r, &set, &ch, false));
    else
        ch = utf8_next(r->s, &r->at);
    if (ch >= 0)
        TRY(add(r, &set, ch, ch));
    return put_set(r, &set);
}

/* The length of {m}, {m,} or {m,n} here; 0 when there is none of them. */
static size_t counts_here(const pattern_run *r) {
    size_t n = 1, digits = 0;
    if (peek(r, 0) != '{')
        return 0;
    for (; peek(r, n) >= '0' && peek(r, n) <= '9'; n++)
        digits++;
    if (peek(r, n) == ',')
        for (n++; peek(r, n) >= '0' && peek(r, n) <= '9'; n++)
            ;
    return digits > 0 && peek(r, n) == '}' ? n + 1 : 0;
}

static err_code read_repeated(pattern_run *r) {
    size_t n;
    TRY(read_atom(r));
    if (peek(r, 0) == '{' && peek(r, 1) == ',')
        return refuse(r, "{,n} means different things to different engines");
    n = counts_here(r);
    if (n == 0 && peek(r, 0) > 0 && strchr("?*+", peek(r, 0)))
        n = 1;
    TRY(strbuf_add(r->to, str_sub(r->s, r->at, r->at + n), r->c->e));
    r->at += n;
    if (n > 0)
        eat(r, "?"); /* lazy */
    if (n > 0 && (counts_here(r) || (peek(r, 0) > 0 && strchr("?*+", peek(r, 0)))))
        return refuse(r, "a repetition of a repetition is not supported");
    return put(r, " ");
}

static err_code read_sequence(pattern_run *r, bool top) {
    if (top && !eat(r, "^"))
        TRY(strbuf_addf(r->to, r->c->e, "%s* ", spelling_of(r->c)->any));
    TRY(put(r, "\"\" "));
    bool end = false;
    while (peek(r, 0) >= 0 && peek(r, 0) != '|' && peek(r, 0) != ')' && !end) {
        end = top && peek(r, 0) == '$' && (peek(r, 1) < 0 || peek(r, 1) == '|');
        if (end)
            r->at++;
        else
            TRY(read_repeated(r));
    }
    return top && !end ? strbuf_addf(r->to, r->c->e, "%s* ", spelling_of(r->c)->any) : ERR_OK;
}

static err_code read_choice(pattern_run *r, bool top) {
    TRY(read_sequence(r, top));
    while (eat(r, "|")) {
        TRY(put(r, "| "));
        TRY(read_sequence(r, top));
    }
    return ERR_OK;
}

err_code schema_pattern(schema_run *c, str pattern, strbuf *to) {
    pattern_run r = {.c = c, .s = pattern, .to = to};
    TRY(put(&r, "( "));
    TRY(read_choice(&r, true));
    if (r.at < pattern.n)
        return refuse(&r, "a parenthesis closes nothing");
    return put(&r, ")");
}
