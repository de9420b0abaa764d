/* gbnf: a parser by recursive descent; see gbnf.h. */
#include "text/gbnf.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

typedef struct {
    str s;
    size_t at;
    int depth;
    grammar_tree *t;
    grammar_range *range; /* of the class at hand */
    size_t n_ranges, cap_ranges;
    strbuf text; /* of the literal at hand */
    err *e;
} parser;

/* ---- characters ---- */

static size_t line_of(const parser *p) {
    size_t n = 1;
    for (size_t i = 0; i < p->at && i < p->s.n; i++)
        n += p->s.p[i] == '\n';
    return n;
}

#define WRONG(p, ...) (err_set((p)->e, ERR_FORMAT, __VA_ARGS__), err_in((p)->e, ERR_FORMAT, "line %zu", line_of(p)))

static int peek(const parser *p, size_t ahead) {
    return p->at + ahead < p->s.n ? (unsigned char)p->s.p[p->at + ahead] : -1;
}

static bool eat(parser *p, char ch) {
    bool yes = peek(p, 0) == (unsigned char)ch;
    p->at += yes;
    return yes;
}

static bool is_name(int ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_';
}

/* Spaces and comments; line breaks too, if `lines`. */
static void skip(parser *p, bool lines) {
    for (;;) {
        int ch = peek(p, 0);
        if (ch == '#')
            while (peek(p, 0) >= 0 && peek(p, 0) != '\n' && peek(p, 0) != '\r')
                p->at++;
        else if (ch == ' ' || ch == '\t' || (lines && (ch == '\n' || ch == '\r')))
            p->at++;
        else
            return;
    }
}

/* Over the end of a line, if the next one that is not empty begins with '|'. */
static void skip_to_bar(parser *p) {
    size_t before = p->at;
    skip(p, true);
    if (peek(p, 0) != '|')
        p->at = before;
}

static err_code read_hex(parser *p, int n, int32_t *cp) {
    *cp = 0;
    for (int i = 0; i < n; i++) {
        int digit = str_hex_digit(peek(p, 0));
        if (digit < 0 || *cp > 0x10FFFF)
            return WRONG(p, "%d hexadecimal digits of a character are expected", n);
        *cp = *cp * 16 + digit;
        p->at++;
    }
    char bytes[4];
    if (utf8_put(*cp, bytes) == 0)
        return WRONG(p, "U+%04X is no character", (unsigned)*cp);
    return ERR_OK;
}

static err_code read_escape(parser *p, int32_t *cp) {
    static const char names[] = "nrt\"\\[]", means[] = "\n\r\t\"\\[]";
    int ch = peek(p, 0);
    const char *at = ch > 0 ? strchr(names, ch) : NULL;
    if (at) {
        *cp = means[at - names];
        p->at++;
        return ERR_OK;
    }
    p->at += ch >= 0;
    if (ch == 'x' || ch == 'u' || ch == 'U')
        return read_hex(p, ch == 'x' ? 2 : ch == 'u' ? 4 : 8, cp);
    return WRONG(p, "there is no such escape (\\n \\r \\t \\\" \\\\ \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH)");
}

static err_code read_character(parser *p, int32_t *cp) {
    if (eat(p, '\\'))
        return read_escape(p, cp);
    *cp = utf8_next(p->s, &p->at);
    return ERR_OK;
}

/* ---- symbols ---- */

static err_code read_literal(parser *p, uint32_t *out) {
    p->text.n = 0;
    while (!eat(p, '"')) {
        int32_t cp;
        char bytes[4];
        if (peek(p, 0) < 0 || peek(p, 0) == '\n')
            return WRONG(p, "a literal is not closed");
        TRY(read_character(p, &cp));
        TRY(strbuf_add(&p->text, (str){bytes, utf8_put(cp, bytes)}, p->e));
    }
    return grammar_add_text(p->t, strbuf_str(&p->text), out, p->e);
}

static err_code add_range(parser *p, int32_t first, int32_t last) {
    enum { RANGES_MAX = 1 << 16 };
    if (p->n_ranges == p->cap_ranges) {
        size_t cap = p->cap_ranges ? 2 * p->cap_ranges : 16;
        if (cap > RANGES_MAX)
            return err_set(p->e, ERR_LIMIT, "line %zu: more than %d parts of one set", line_of(p), RANGES_MAX);
        grammar_range *q = realloc(p->range, cap * sizeof *q);
        if (!q)
            return err_set(p->e, ERR_MEMORY, "no memory for a set of characters");
        p->range = q;
        p->cap_ranges = cap;
    }
    p->range[p->n_ranges++] = (grammar_range){first, last};
    return ERR_OK;
}

static err_code read_class(parser *p, uint32_t *out) {
    bool negated = eat(p, '^');
    p->n_ranges = 0;
    while (!eat(p, ']')) {
        int32_t first, last;
        if (peek(p, 0) < 0 || peek(p, 0) == '\n')
            return WRONG(p, "a set of characters is not closed");
        TRY(read_character(p, &first));
        last = first;
        if (peek(p, 0) == '-' && peek(p, 1) != ']' && peek(p, 1) >= 0) {
            p->at++;
            TRY(read_character(p, &last));
        }
        if (last < first)
            return WRONG(p, "a range of characters runs backwards");
        TRY(add_range(p, first, last));
    }
    return grammar_add_set(p->t, p->range, p->n_ranges, negated, out, p->e);
}

static str read_name(parser *p) {
    size_t from = p->at;
    while (is_name(peek(p, 0)))
        p->at++;
    return str_sub(p->s, from, p->at);
}

static err_code read_choice(parser *p, bool nested, uint32_t *out);

static err_code read_symbol(parser *p, uint32_t *out) {
    if (eat(p, '"'))
        return read_literal(p, out);
    if (eat(p, '['))
        return read_class(p, out);
    if (eat(p, '.'))
        return grammar_add_set(p->t, NULL, 0, true, out, p->e);
    if (eat(p, '(')) {
        if (++p->depth > GRAMMAR_NESTING_MAX / 4)
            return err_set(p->e, ERR_LIMIT, "line %zu: more than %d parentheses within each other", line_of(p),
                           GRAMMAR_NESTING_MAX / 4);
        TRY(read_choice(p, true, out));
        p->depth--;
        return eat(p, ')') ? ERR_OK : WRONG(p, "a parenthesis is not closed");
    }
    if (peek(p, 0) == '<' || peek(p, 0) == '!')
        return err_set(p->e, ERR_UNSUPPORTED, "line %zu: tokens in a grammar are not supported (write their text)",
                       line_of(p));
    uint32_t rule;
    TRY(grammar_rule_named(p->t, read_name(p), &rule, p->e));
    return grammar_add(p->t, GRAMMAR_RULE, rule, 0, out, p->e);
}

static bool read_count(parser *p, uint32_t *n) {
    size_t from = p->at;
    for (*n = 0; peek(p, 0) >= '0' && peek(p, 0) <= '9'; p->at++)
        *n = *n > GRAMMAR_REPEAT_MAX ? *n : *n * 10 + (uint32_t)(peek(p, 0) - '0');
    return p->at > from;
}

/* {m} {m,} {m,n} {,n}, after the brace. */
static err_code read_counts(parser *p, uint32_t *min, uint32_t *max) {
    skip(p, false);
    bool has_min = read_count(p, min), has_max = false;
    *max = *min;
    skip(p, false);
    if (eat(p, ',')) {
        skip(p, false);
        has_max = read_count(p, max);
        *max = has_max ? *max : GRAMMAR_NO_END;
        skip(p, false);
    }
    if (!eat(p, '}') || (!has_min && !has_max))
        return WRONG(p, "a repetition is {m}, {m,}, {m,n} or {,n}");
    if (*min > GRAMMAR_REPEAT_MAX || (*max != GRAMMAR_NO_END && *max > GRAMMAR_REPEAT_MAX))
        return err_set(p->e, ERR_LIMIT, "line %zu: a repetition has at most %d rounds", line_of(p), GRAMMAR_REPEAT_MAX);
    return *min > *max ? WRONG(p, "a repetition of at least %u and at most %u", *min, *max) : ERR_OK;
}

static err_code read_repeated(parser *p, uint32_t *out) {
    uint32_t min, max, one;
    TRY(read_symbol(p, &one));
    *out = one;
    skip(p, p->depth > 0);
    switch (peek(p, 0)) {
    case '?':
        min = 0, max = 1;
        break;
    case '*':
        min = 0, max = GRAMMAR_NO_END;
        break;
    case '+':
        min = 1, max = GRAMMAR_NO_END;
        break;
    case '{':
        p->at++;
        TRY(read_counts(p, &min, &max));
        p->at--;
        break;
    default:
        return ERR_OK;
    }
    p->at++;
    skip(p, p->depth > 0);
    int next = peek(p, 0);
    if (next > 0 && strchr("?*+{", next))
        return WRONG(p, "a repetition of a repetition needs parentheses");
    TRY(grammar_add(p->t, GRAMMAR_REPEAT, min, max, out, p->e));
    grammar_append(p->t, *out, one);
    return ERR_OK;
}

static bool begins_symbol(int ch) { return is_name(ch) || (ch > 0 && strchr("\"[.(<!", ch)); }

static err_code read_sequence(parser *p, bool nested, uint32_t *out) {
    TRY(grammar_add(p->t, GRAMMAR_SEQUENCE, 0, 0, out, p->e));
    for (;;) {
        uint32_t one;
        skip(p, nested);
        if (!begins_symbol(peek(p, 0)))
            return ERR_OK;
        TRY(read_repeated(p, &one));
        grammar_append(p->t, *out, one);
    }
}

static err_code read_choice(parser *p, bool nested, uint32_t *out) {
    TRY(grammar_add(p->t, GRAMMAR_CHOICE, 0, 0, out, p->e));
    do {
        uint32_t one;
        TRY(read_sequence(p, nested, &one));
        grammar_append(p->t, *out, one);
        if (!nested)
            skip_to_bar(p);
        if (!eat(p, '|'))
            return ERR_OK;
        skip(p, true);
    } while (true);
}

static err_code read_rule(parser *p) {
    str name = read_name(p);
    uint32_t rule, body;
    if (name.n == 0)
        return WRONG(p, "the name of a rule is expected");
    skip(p, false);
    if (!str_starts(str_sub(p->s, p->at, p->s.n), STR("::=")))
        return WRONG(p, "::= is expected after %.*s", STR_ARG(name));
    p->at += 3;
    skip(p, true);
    TRY(grammar_rule_named(p->t, name, &rule, p->e));
    if (p->t->rule[rule].body)
        return WRONG(p, "rule %.*s is defined a second time", STR_ARG(name));
    TRY(read_choice(p, false, &body));
    p->t->rule[rule].body = body;
    int next = peek(p, 0);
    if (next >= 0 && next != '\n' && next != '\r')
        return WRONG(p, "a symbol, | or the end of the line is expected");
    skip(p, true);
    return ERR_OK;
}

static err_code read_rules(parser *p) {
    if (p->s.n > GBNF_BYTES_MAX)
        return err_set(p->e, ERR_LIMIT, "%zu bytes; at most %d are supported", p->s.n, GBNF_BYTES_MAX);
    if (!utf8_valid(p->s))
        return err_set(p->e, ERR_FORMAT, "the text is no valid UTF-8");
    skip(p, true);
    while (p->at < p->s.n)
        TRY(read_rule(p));
    return ERR_OK;
}

err_code gbnf_compile(grammar **out, str text, err *e) {
    grammar_tree t = {0};
    parser p = {.s = text, .t = &t, .e = e};
    *out = NULL;
    err_code code = read_rules(&p);
    if (code == ERR_OK)
        code = grammar_compile(out, &t, STR("root"), e);
    free(p.range);
    strbuf_fini(&p.text);
    grammar_tree_fini(&t);
    return code == ERR_OK ? ERR_OK : err_in(e, code, "grammar");
}

err_code gbnf_quote(str s, strbuf *out, err *e) {
    TRY(strbuf_addc(out, '"', e));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch < 0x20 || ch == 0x7F)
            TRY(strbuf_addf(out, e, "\\x%02X", ch));
        else if (ch == '"' || ch == '\\')
            TRY(strbuf_addf(out, e, "\\%c", ch));
        else
            TRY(strbuf_addc(out, (char)ch, e));
    }
    return strbuf_addc(out, '"', e);
}
