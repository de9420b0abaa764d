/* rx: Oniguruma's patterns on PCRE2; see rx.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tok/rx.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "tok/rx_unicode.h"

struct rx {
    pcre2_code *code;
    bool jit;
    rx_known known;
    char name[80]; /* the pattern's beginning, for messages */
};

struct rx_work {
    pcre2_match_data *data;
    pcre2_match_context *ctx;
};

/* Steps allowed at one starting place. Honest patterns step back once a character at most, so
 * the allowance grows with the text; nested quantifiers pass any such line at once. */
enum { STEPS_BASE = 2000000, STEPS_PER_BYTE = 4, DEPTH_MAX = 20000, HEAP_KIB_MAX = 65536 };

#define SPACE_SET "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* \w as a set of categories; Oniguruma counts the Latin-1 superscripts and fractions in. */
#define WORD_SET "\\p{Alphabetic}\\p{L}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define WORD "[" WORD_SET "]"

typedef struct {
    str in;
    size_t at;
    strbuf out;
    err *e;
} translation;

static err_code put(translation *t, const char *text) { return strbuf_add(&t->out, str_from(text), t->e); }

static err_code refuse(const translation *t, const char *what) {
    return err_set(t->e, ERR_UNSUPPORTED, "pattern \"%.*s\": %s at byte %zu is not supported", STR_ARG(t->in), what,
                   t->at);
}

static err_code translate_text(translation *t, const char *text, bool in_set);

/* \p{..} and \P{..}, with what the category gained since PCRE2's tables were made. */
static err_code property(translation *t, bool in_set) {
    size_t open = t->at + 2, close = open;
    while (close < t->in.n && t->in.p[close] != '}')
        close++;
    if (open >= t->in.n || t->in.p[open] != '{' || close == t->in.n)
        return refuse(t, "a property without {...}");
    str name = str_sub(t->in, open + 1, close);
    bool negated = t->in.p[t->at + 1] == 'P';
    if (name.n && name.p[0] == '^') {
        negated = !negated;
        name = str_sub(name, 1, name.n);
    }
    const char *ranges;
    bool more = rx_unicode_added(name, 0, &ranges);
    if (negated && in_set && more)
        return refuse(t, "a negated class inside a set");
    if (!in_set)
        TRY(put(t, negated ? "[^" : "["));
    TRY(put(t, negated && in_set ? "\\P{" : "\\p{"));
    TRY(strbuf_add(&t->out, name, t->e));
    TRY(put(t, "}"));
    for (size_t i = 0; rx_unicode_added(name, i, &ranges); i++)
        TRY(put(t, ranges));
    t->at = close + 1;
    return in_set ? ERR_OK : put(t, "]");
}

/* One backslash pair. What means the same in both engines is copied. */
static err_code escape(translation *t, bool in_set) {
    if (t->at + 1 >= t->in.n)
        return refuse(t, "a backslash at the end");
    char c = t->in.p[t->at + 1];
    static const struct {
        char c;
        const char *outside, *in_set; /* in Oniguruma's syntax; NULL: refused */
    } map[] = {
        {'s', "[" SPACE_SET "]", SPACE_SET},
        {'S', "[^" SPACE_SET "]", NULL},
        {'w', WORD, WORD_SET},
        {'W', "[^" WORD_SET "]", NULL},
        {'d', "\\p{Nd}", "\\p{Nd}"},
        {'D', "\\P{Nd}", NULL},
        {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
        {'H', "[^0-9a-fA-F]", NULL},
        {'v', "\\x0b", "\\x0b"},
        {'b', "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))", "\\x08"},
        {'B', "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))", NULL},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        if (map[i].c != c)
            continue;
        const char *text = in_set ? map[i].in_set : map[i].outside;
        if (!text)
            return refuse(t, "a negated class inside a set");
        t->at += 2;
        return translate_text(t, text, in_set);
    }
    if (c == 'p' || c == 'P')
        return property(t, in_set);
    if (c == 'u') {
        for (size_t i = t->at + 2; i < t->at + 6; i++)
            if (i >= t->in.n || str_hex_digit(t->in.p[i]) < 0)
                return refuse(t, "\\u without four hexadecimal digits");
        TRY(put(t, "\\x{"));
        TRY(strbuf_add(&t->out, str_sub(t->in, t->at + 2, t->at + 6), t->e));
        t->at += 6;
        return put(t, "}");
    }
    if (c >= '1' && c <= '9')
        return refuse(t, "a back reference");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        if (!strchr("AzZGntrfaexRX", c))
            return refuse(t, "this escape");
    TRY(strbuf_add(&t->out, str_sub(t->in, t->at, t->at + 2), t->e));
    t->at += 2;
    return ERR_OK;
}

static err_code set(translation *t) {
    size_t open = t->at++;
    TRY(put(t, "["));
    if (t->at < t->in.n && t->in.p[t->at] == '^') {
        TRY(put(t, "^"));
        t->at++;
    }
    if (t->at < t->in.n && t->in.p[t->at] == ']') {
        TRY(put(t, "\\]"));
        t->at++;
    }
    while (t->at < t->in.n && t->in.p[t->at] != ']') {
        char c = t->in.p[t->at];
        if (c == '\\') {
            TRY(escape(t, true));
            continue;
        }
        if (c == '[')
            return refuse(t, "a set inside a set");
        if (c == '&' && t->at + 1 < t->in.n && t->in.p[t->at + 1] == '&')
            return refuse(t, "an intersection of sets");
        TRY(strbuf_addc(&t->out, c, t->e));
        t->at++;
    }
    if (t->at >= t->in.n) {
        t->at = open;
        return refuse(t, "a set without its ]");
    }
    t->at++;
    return put(t, "]");
}

/* "(?" and what follows: groups are alike but for options and callouts. */
static err_code group(translation *t) {
    str rest = str_sub(t->in, t->at, t->in.n);
    if (str_starts(rest, STR("(*")))
        return refuse(t, "a verb");
    if (str_starts(rest, STR("(?"))) {
        size_t i = 2;
        while (i < rest.n && (rest.p[i] == 'i' || rest.p[i] == 'x' || rest.p[i] == '-'))
            i++;
        bool options = i < rest.n && (rest.p[i] == ':' || rest.p[i] == ')');
        bool look = rest.n > 2 && strchr("=!>#", rest.p[2]) && rest.p[2];
        bool named = rest.n > 3 && rest.p[2] == '<';
        if (!options && !look && !named)
            return refuse(t, "this group");
    }
    t->at++;
    return put(t, "(");
}

/* "{": only {,n} and a + after } differ. */
static err_code braces(translation *t) {
    size_t i = t->at + 1;
    while (i < t->in.n && ((t->in.p[i] >= '0' && t->in.p[i] <= '9') || t->in.p[i] == ','))
        i++;
    bool quantifier = i < t->in.n && t->in.p[i] == '}' && i > t->at + 1;
    if (quantifier && i + 1 < t->in.n && t->in.p[i + 1] == '+')
        return refuse(t, "{n,m}+");
    TRY(put(t, "{"));
    if (quantifier && t->in.p[t->at + 1] == ',')
        TRY(put(t, "0"));
    t->at++;
    return ERR_OK;
}

static err_code translate(translation *t) {
    while (t->at < t->in.n) {
        char c = t->in.p[t->at];
        if (c == '\\')
            TRY(escape(t, false));
        else if (c == '[')
            TRY(set(t));
        else if (c == '(')
            TRY(group(t));
        else if (c == '{')
            TRY(braces(t));
        else {
            TRY(strbuf_addc(&t->out, c, t->e));
            t->at++;
        }
    }
    return ERR_OK;
}

/* What an escape stands for, itself in need of translation (it holds categories). One level deep: no text of
 * the table holds an escape of the table. */
static err_code translate_text(translation *t, const char *text, bool in_set) {
    str in = t->in;
    size_t at = t->at;
    t->in = str_from(text);
    t->at = 0;
    err_code code = ERR_OK;
    if (!in_set)
        code = translate(t);
    while (in_set && code == ERR_OK && t->at < t->in.n) {
        if (t->in.p[t->at] == '\\')
            code = escape(t, true);
        else
            code = strbuf_addc(&t->out, t->in.p[t->at++], t->e);
    }
    t->in = in;
    t->at = at;
    return code;
}

static err_code compile(rx *r, str pattern, str translated, err *e) {
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    if (!cc)
        return err_set(e, ERR_MEMORY, "no memory to compile a pattern");
    pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(cc, 64);
    int number = 0;
    PCRE2_SIZE where = 0;
    r->code = pcre2_compile((PCRE2_SPTR)translated.p, translated.n,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &number, &where, cc);
    pcre2_compile_context_free(cc);
    if (!r->code) {
        char why[128] = "?";
        pcre2_get_error_message(number, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(e, ERR_UNSUPPORTED, "pattern \"%.*s\" does not compile: %s", STR_ARG(pattern), why);
    }
    r->jit = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0;
    return ERR_OK;
}

err_code rx_open(rx **out, str pattern, err *e) {
    *out = NULL;
    if (pattern.n == 0)
        return err_set(e, ERR_FORMAT, "a pattern is empty");
    if (pattern.n > RX_PATTERN_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a pattern of %zu bytes; at most %d are supported", pattern.n,
                       RX_PATTERN_BYTES_MAX);
    rx *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory for a pattern");
    size_t n = pattern.n < sizeof r->name - 1 ? pattern.n : sizeof r->name - 1;
    memcpy(r->name, pattern.p, n);
    r->known = rx_known_of(pattern);
    translation t = {.in = pattern, .e = e, .out.max = 64 * RX_PATTERN_BYTES_MAX};
    /* A run of white space that ends a line, looked for from its first character only: the same
     * matches, without trying again from every later character of a long run. */
    err_code code = ERR_OK;
    if (str_is(pattern, "\\s+$"))
        code = put(&t, "(?<![" SPACE_SET "])");
    if (code == ERR_OK)
        code = translate(&t);
    if (code == ERR_OK)
        code = compile(r, pattern, strbuf_str(&t.out), e);
    strbuf_fini(&t.out);
    if (code != ERR_OK)
        rx_close(r);
    else
        *out = r;
    return code;
}

void rx_close(rx *r) {
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

err_code rx_work_open(rx_work **out, err *e) {
    rx_work *w = calloc(1, sizeof *w);
    if (w) {
        w->data = pcre2_match_data_create(1, NULL);
        w->ctx = pcre2_match_context_create(NULL);
    }
    if (!w || !w->data || !w->ctx) {
        rx_work_close(w);
        return err_set(e, ERR_MEMORY, "no memory for matching");
    }
    pcre2_set_depth_limit(w->ctx, DEPTH_MAX);
    pcre2_set_heap_limit(w->ctx, HEAP_KIB_MAX);
    *out = w;
    return ERR_OK;
}

void rx_work_close(rx_work *w) {
    if (!w)
        return;
    pcre2_match_data_free(w->data);
    pcre2_match_context_free(w->ctx);
    free(w);
}

err_code rx_find(const rx *r, rx_work *w, str s, size_t from, bool *found, size_t *start, size_t *end, err *e) {
    if (r->known && from < s.n && (*end = rx_known_end(r->known, s, from)) > 0) {
        *found = true;
        *start = from;
        return ERR_OK;
    }
    PCRE2_SPTR p = (PCRE2_SPTR)(s.p ? s.p : "");
    uint64_t steps = STEPS_BASE + (uint64_t)STEPS_PER_BYTE * s.n;
    pcre2_set_match_limit(w->ctx, steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps);
    int rc = PCRE2_ERROR_JIT_BADOPTION;
    if (r->jit)
        rc = pcre2_jit_match(r->code, p, s.n, from, PCRE2_NO_UTF_CHECK, w->data, w->ctx);
    if (rc < PCRE2_ERROR_NOMATCH)
        rc = pcre2_match(r->code, p, s.n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->data, w->ctx);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return ERR_OK;
    if (rc < 0) {
        char why[128] = "?";
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(e, ERR_LIMIT, "pattern \"%s\" gave up at byte %zu of a text of %zu bytes: %s", r->name, from,
                       s.n, why);
    }
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(w->data);
    *start = v[0];
    *end = v[1];
    if (v[0] > v[1] || v[1] > s.n || v[0] < from) /* a look-around may reset the match's ends */
        return err_set(e, ERR_UNSUPPORTED, "pattern \"%s\" matches backwards", r->name);
    return ERR_OK;
}

rx_known rx_kind(const rx *r) { return r->known; }

err_code rx_next(const rx *r, rx_work *w, str s, rx_scan *scan, bool *found, size_t *start, size_t *end, err *e) {
    for (*found = false; scan->at <= s.n;) {
        TRY(rx_find(r, w, s, scan->at, found, start, end, e));
        if (!*found)
            return ERR_OK;
        if (*start == *end && scan->matched && scan->last_end == *end) {
            do /* past one character */
                scan->at++;
            while (scan->at < s.n && ((unsigned char)s.p[scan->at] & 0xc0) == 0x80);
            *found = false;
            continue;
        }
        scan->at = scan->last_end = *end;
        scan->matched = true;
        return ERR_OK;
    }
    return ERR_OK;
}
