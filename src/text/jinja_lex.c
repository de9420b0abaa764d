/* jinja_lex: template text to tokens.
 *
 * Follows the lexer of Jinja2 3.1 with trim_blocks and lstrip_blocks on and
 * keep_trailing_newline off:
 *  - "\r\n" and "\r" become "\n"; one newline at the very end is dropped;
 *  - after "%}" and "#}" one newline is dropped, unless "+" stands before;
 *  - before "{%" and "{#" white space back to the start of the line is dropped, unless "+" follows;
 *  - "-" inside a tag drops all white space on that side; "{{" is left alone by the first two rules;
 *  - inside brackets "}}" and "%}" are operators, not ends;
 *  - "{% raw %}" keeps the newline after it.
 * Tokens borrow from a copy of the source in the template's arena.
 */
#include "text/jinja_int.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

enum { BRACKETS_MAX = 256 };

typedef struct {
    arena *mem;
    const char *p, *end;
    int line;
    bool at_line_start; /* the last match ended in a newline */
    jtok *tok;
    size_t n_tok, cap_tok;
    char bracket[BRACKETS_MAX];
    int n_brackets;
    err *e;
} lexer;

static err_code push(lexer *x, jtok t) {
    if (x->n_tok == x->cap_tok) {
        size_t cap = x->cap_tok ? x->cap_tok * 2 : 256;
        jtok *grown;
        ARENA_NEW(x->mem, grown, cap, x->e);
        if (x->n_tok)
            memcpy(grown, x->tok, x->n_tok * sizeof *grown);
        x->tok = grown;
        x->cap_tok = cap;
    }
    x->tok[x->n_tok++] = t;
    return ERR_OK;
}

static err_code bad(lexer *x, int line, const char *what) {
    return err_set(x->e, ERR_FORMAT, "template line %d: %s", line, what);
}

/* Moves to `to`, counting lines. */
static void advance(lexer *x, const char *to) {
    for (; x->p < to; x->p++)
        x->line += *x->p == '\n';
}

static const char *skip_space(const lexer *x, const char *p) {
    while (p < x->end) {
        int len;
        if (!jj_is_space(jj_cp(p, x->end, &len)))
            break;
        p += len;
    }
    return p;
}

static const char *skip_space_back(const char *from, const char *p) {
    while (p > from) {
        const char *q = p - 1;
        while (q > from && ((unsigned char)*q & 0xC0) == 0x80)
            q--;
        int len;
        if (!jj_is_space(jj_cp(q, p, &len)))
            break;
        p = q;
    }
    return p;
}

static bool is_at(const lexer *x, const char *p, const char *what) {
    size_t n = strlen(what);
    return (size_t)(x->end - p) >= n && memcmp(p, what, n) == 0;
}

/* Text [from, to) in front of a tag whose sign is '-', '+' or 0, as a data token. */
static err_code data_before_tag(lexer *x, const char *from, const char *to, char sign, bool lstrip) {
    int line = x->line;
    const char *cut = to;
    if (sign == '-') {
        cut = skip_space_back(from, to);
    } else if (sign != '+' && lstrip) {
        const char *start = to;
        while (start > from && start[-1] != '\n')
            start--;
        if ((start > from || x->at_line_start) && skip_space_back(start, to) == start)
            cut = start;
    }
    advance(x, to);
    if (cut > from)
        return push(x, (jtok){.kind = JT_DATA, .line = line, .text = {from, (size_t)(cut - from)}});
    return ERR_OK;
}

/* The end of a block or comment: past "%}", its newline, or all space after "-%}". */
static void after_close(lexer *x, const char *close, char sign) {
    const char *p = close + 2;
    if (sign == '-')
        p = skip_space(x, p);
    else if (sign != '+' && p < x->end && *p == '\n')
        p++;
    advance(x, p);
    x->at_line_start = p[-1] == '\n';
}

static err_code comment(lexer *x) {
    int line = x->line;
    const char *p = x->p;
    for (; p + 1 < x->end; p++)
        if (p[0] == '#' && p[1] == '}') {
            char sign = p > x->p ? p[-1] : 0;
            advance(x, p);
            after_close(x, p, sign);
            return ERR_OK;
        }
    return bad(x, line, "comment without \"#}\"");
}

/* At "{%": the length of a raw tag's opening, 0 when it is another tag. */
static size_t raw_open(const lexer *x, const char *p, char *sign) {
    const char *q = p + 2;
    *sign = q < x->end && (*q == '-' || *q == '+') ? *q : 0;
    q = skip_space(x, q + (*sign != 0));
    if (!is_at(x, q, "raw"))
        return 0;
    q = skip_space(x, q + 3);
    if (is_at(x, q, "-%}"))
        return (size_t)(skip_space(x, q + 3) - p);
    return is_at(x, q, "%}") ? (size_t)(q + 2 - p) : 0;
}

static err_code raw_body(lexer *x) {
    int line = x->line;
    for (const char *p = x->p; p + 1 < x->end; p++) {
        if (p[0] != '{' || p[1] != '%')
            continue;
        const char *q = p + 2;
        char sign = q < x->end && (*q == '-' || *q == '+') ? *q : 0;
        q = skip_space(x, q + (sign != 0));
        if (!is_at(x, q, "endraw"))
            continue;
        q = skip_space(x, q + 6);
        char close = q < x->end && (*q == '-' || *q == '+') ? *q : 0;
        q += close != 0;
        if (!is_at(x, q, "%}"))
            continue;
        TRY(data_before_tag(x, x->p, p, sign, true));
        advance(x, q);
        after_close(x, q, close);
        return ERR_OK;
    }
    return bad(x, line, "{% raw %} without {% endraw %}");
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* 99, larger than any base: none. */
static int digit_of(char c) {
    int digit = str_hex_digit(c);
    return digit < 0 ? 99 : digit;
}

/* Digits of a base with single "_" between them; *first_us: one may stand in front. */
static const char *digits(const lexer *x, const char *p, int base, bool first_us) {
    const char *last = p;
    while (p < x->end) {
        if (*p == '_' && (p > last || first_us || p != last) && p + 1 < x->end && digit_of(p[1]) < base)
            p++;
        if (digit_of(*p) >= base)
            break;
        last = ++p;
        first_us = true;
    }
    return last;
}

/* [from, to) without "_", NUL-terminated. */
static err_code plain_number(lexer *x, const char *from, const char *to, char **out) {
    ARENA_NEW(x->mem, *out, (size_t)(to - from) + 1, x->e);
    size_t n = 0;
    for (; from < to; from++)
        if (*from != '_')
            (*out)[n++] = *from;
    return ERR_OK;
}

static err_code number(lexer *x, bool after_dot) {
    const char *from = x->p, *p;
    char *text;
    jtok t = {.line = x->line};
    p = digits(x, from, 10, false);
    const char *q = p;
    bool real = false;
    if (!after_dot && q + 1 < x->end && *q == '.' && digit_of(q[1]) < 10) {
        q = digits(x, q + 1, 10, false);
        real = true;
    }
    if (!after_dot && q < x->end && (*q == 'e' || *q == 'E')) {
        const char *s = q + 1;
        s += s < x->end && (*s == '+' || *s == '-');
        if (s < x->end && digit_of(*s) < 10) {
            q = digits(x, s, 10, false);
            real = true;
        }
    }
    if (real) {
        TRY(plain_number(x, from, q, &text));
        t.kind = JT_FLOAT;
        t.num.f = strtod(text, NULL);
        t.text = (str){from, (size_t)(q - from)};
        x->p = q;
        return push(x, t);
    }
    int base = 10;
    if (*from == '0' && from + 1 < x->end) {
        char c = (char)(from[1] | 0x20);
        int b = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (b && digits(x, from + 2, b, true) > from + 2) {
            base = b;
            p = digits(x, from + 2, b, true);
        } else { /* leading zero: only more zeros belong to it */
            p = digits(x, from, 1, false);
        }
    } else if (*from == '0') {
        p = from + 1;
    }
    TRY(plain_number(x, base == 10 ? from : from + 2, p, &text));
    t.kind = JT_INT;
    for (const char *s = text; *s; s++)
        if (__builtin_mul_overflow(t.num.i, base, &t.num.i) || __builtin_add_overflow(t.num.i, digit_of(*s), &t.num.i))
            return err_set(x->e, ERR_LIMIT, "template line %d: integer does not fit 64 bits", x->line);
    t.text = (str){from, (size_t)(p - from)};
    x->p = p;
    return push(x, t);
}

/* One backslash escape at p (past the backslash), as Python's unicode_escape reads it. */
static err_code escape(lexer *x, const char **at, const char *end, char *out, size_t *n) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *p = *at;
    const char *hit = *p ? strchr(from, *p) : NULL;
    if (hit) {
        out[(*n)++] = to[hit - from];
        *at = p + 1;
        return ERR_OK;
    }
    if (*p == '\n') {
        *at = p + 1;
        return ERR_OK;
    }
    int width = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    int64_t cp = 0;
    if (width) {
        if (end - p - 1 < width)
            return bad(x, x->line, "truncated \\x, \\u or \\U escape");
        for (int i = 1; i <= width; i++) {
            if (digit_of(p[i]) >= 16)
                return bad(x, x->line, "truncated \\x, \\u or \\U escape");
            cp = cp * 16 + digit_of(p[i]);
        }
        *at = p + 1 + width;
    } else if (*p >= '0' && *p <= '7') {
        int i = 0;
        for (; i < 3 && p + i < end && p[i] >= '0' && p[i] <= '7'; i++)
            cp = cp * 8 + (p[i] - '0');
        *at = p + i;
    } else if (*p == 'N') {
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: \\N{...} escape (use \\u)", x->line);
    } else if (*p & 0x80) { /* Python writes such a character as its own escape first, then sees "\\" */
        int len;
        int32_t c = jj_cp(p, end, &len);
        char buf[16];
        int w = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
        buf[0] = '\\';
        buf[1] = w == 2 ? 'x' : w == 4 ? 'u' : 'U';
        for (int i = 0; i < w; i++)
            buf[2 + i] = "0123456789abcdef"[c >> (4 * (w - 1 - i)) & 15];
        memcpy(out + *n, buf, (size_t)w + 2);
        *n += (size_t)w + 2;
        *at = p + len;
        return ERR_OK;
    } else {
        out[(*n)++] = '\\'; /* unknown: the backslash stays */
        return ERR_OK;
    }
    char buf[4];
    size_t len = cp > 0x10FFFF ? 0 : jj_put_cp((int32_t)cp, buf);
    if (!len)
        return bad(x, x->line, "escape of something that is no character");
    memcpy(out + *n, buf, len);
    *n += len;
    return ERR_OK;
}

static err_code string(lexer *x) {
    char quote = *x->p;
    const char *from = x->p + 1, *p = from;
    while (p < x->end && *p != quote)
        p += *p == '\\' && p + 1 < x->end ? 2 : 1;
    if (p >= x->end)
        return bad(x, x->line, "string without its closing quote");
    char *out;
    ARENA_NEW(x->mem, out, (size_t)(p - from) * 3 + 1, x->e); /* "\é" grows from 3 bytes to 4, U+10FFFF from 5 to 10 */
    size_t n = 0;
    for (const char *q = from; q < p;) {
        if (*q != '\\') {
            out[n++] = *q++;
            continue;
        }
        q++;
        TRY(escape(x, &q, p, out, &n));
    }
    TRY(push(x, (jtok){.kind = JT_STRING, .line = x->line, .text = {out, n}}));
    advance(x, p + 1);
    return ERR_OK;
}

static err_code operator_(lexer *x) {
    static const char *const ops[] = {"**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!is_at(x, x->p, ops[i]))
            continue;
        char c = ops[i][1] ? 0 : ops[i][0];
        if (c == '(' || c == '[' || c == '{') {
            if (x->n_brackets == BRACKETS_MAX)
                return err_set(x->e, ERR_LIMIT, "template line %d: brackets nest deeper than %d", x->line,
                               BRACKETS_MAX);
            x->bracket[x->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (x->n_brackets == 0 || x->bracket[--x->n_brackets] != c)
                return err_set(x->e, ERR_FORMAT, "template line %d: unexpected '%c'", x->line, c);
        }
        TRY(push(x, (jtok){.kind = JT_OP, .line = x->line, .text = str_from(ops[i])}));
        x->p += strlen(ops[i]);
        return ERR_OK;
    }
    unsigned char c = (unsigned char)*x->p;
    if (c >= 0x80)
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: a character outside ASCII in a tag", x->line);
    return err_set(x->e, ERR_FORMAT, "template line %d: unexpected character '%c'", x->line, c);
}

/* The inside of {{ }} or {% %}, to past its end. */
static err_code tag(lexer *x, bool block) {
    const char *close = block ? "%}" : "}}";
    int line = x->line;
    x->n_brackets = 0;
    while (x->p < x->end) {
        if (x->n_brackets == 0) {
            char sign = *x->p == '-' || (block && *x->p == '+') ? *x->p : 0;
            const char *p = x->p + (sign != 0);
            if (is_at(x, p, close)) {
                TRY(push(x,
                         (jtok){.kind = block ? JT_BLOCK_END : JT_VAR_END, .line = x->line, .text = str_from(close)}));
                if (block || sign) {
                    after_close(x, p, sign);
                } else {
                    x->p = p + 2;
                    x->at_line_start = false;
                }
                return ERR_OK;
            }
        }
        const char *p = skip_space(x, x->p);
        if (p > x->p) {
            advance(x, p);
        } else if (*x->p >= '0' && *x->p <= '9') {
            const jtok *last = x->n_tok ? &x->tok[x->n_tok - 1] : NULL;
            TRY(number(x, last && last->kind == JT_OP && str_is(last->text, ".") && x->p[-1] == '.'));
        } else if (is_word(*x->p)) {
            while (p < x->end && is_word(*p))
                p++;
            TRY(push(x, (jtok){.kind = JT_NAME, .line = x->line, .text = {x->p, (size_t)(p - x->p)}}));
            x->p = p;
        } else if (*x->p == '"' || *x->p == '\'') {
            TRY(string(x));
        } else {
            TRY(operator_(x));
        }
    }
    return bad(x, line, block ? "tag without \"%}\"" : "tag without \"}}\"");
}

static err_code root(lexer *x) {
    while (x->p < x->end) {
        const char *p = x->p;
        while (p + 1 < x->end && !(p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')))
            p++;
        if (p + 1 >= x->end)
            return push(x, (jtok){.kind = JT_DATA, .line = x->line, .text = {x->p, (size_t)(x->end - x->p)}});
        char what = p[1], sign;
        size_t raw = what == '%' ? raw_open(x, p, &sign) : 0;
        if (!raw)
            sign = p + 2 < x->end && (p[2] == '-' || p[2] == '+') ? p[2] : 0;
        TRY(data_before_tag(x, x->p, p, sign, what != '{'));
        advance(x, p + (raw ? raw : 2 + (size_t)(sign != 0)));
        x->at_line_start = x->p[-1] == '\n';
        if (raw) {
            TRY(raw_body(x));
        } else if (what == '#') {
            TRY(comment(x));
        } else {
            TRY(push(x, (jtok){.kind = what == '%' ? JT_BLOCK_BEGIN : JT_VAR_BEGIN, .line = x->line}));
            TRY(tag(x, what == '%'));
        }
    }
    return ERR_OK;
}

err_code jj_lex(arena *mem, str source, jtok **tokens, size_t *n, err *e) {
    if (!utf8_valid(source))
        return err_set(e, ERR_FORMAT, "template: not UTF-8");
    char *copy;
    ARENA_NEW(mem, copy, source.n + 1, e);
    size_t len = 0;
    for (size_t i = 0; i < source.n; i++) {
        if (source.p[i] == '\r' && i + 1 < source.n && source.p[i + 1] == '\n')
            continue;
        copy[len++] = source.p[i] == '\r' ? '\n' : source.p[i];
    }
    if (len && copy[len - 1] == '\n')
        len--;
    lexer x = {.mem = mem, .p = copy, .end = copy + len, .line = 1, .at_line_start = true, .e = e};
    TRY(root(&x));
    TRY(push(&x, (jtok){.kind = JT_EOF, .line = x.line}));
    *tokens = x.tok;
    *n = x.n_tok;
    return ERR_OK;
}
