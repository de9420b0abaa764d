/* thinking: see thinking.h. */
#include "gen/thinking.h"

#include <string.h>

#include "text/gbnf.h"

const thinking_marks thinking_formats[] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>"},
    {NULL, NULL},
};

const thinking_marks *thinking_of(str source) {
    for (const thinking_marks *m = thinking_formats; m->open; m++)
        if (str_find(source, str_from(m->open), 0) >= 0 || str_find(source, str_from(m->close), 0) >= 0)
            return m;
    return NULL;
}

bool thinking_is_special(const thinking_marks *m, const tokenizer *t) {
    const char *const marks[] = {m->open, m->close};
    for (size_t i = 0; i < 2; i++) {
        int32_t id = tokenizer_id_of(t, str_from(marks[i]));
        if (id >= 0 && tokenizer_is_control(t, id))
            return true;
    }
    return false;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static size_t spaces(str s) {
    size_t n = 0;
    while (n < s.n && is_space(s.p[n]))
        n++;
    return n;
}

static str without_end(str s) {
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

enum { TAIL_TOKENS = 64 }; /* hold a mark and the white space behind it */

err_code thinking_begins(const thinking_marks *m, const tokenizer *t, const int32_t *ids, size_t n, thinking_state *out,
                         err *e) {
    strbuf text = {0};
    size_t from = n > TAIL_TOKENS ? n - TAIL_TOKENS : 0;
    err_code code = tokenizer_decode(t, ids + from, n - from, true, &text, e);
    str tail = without_end(strbuf_str(&text));
    *out = str_ends(tail, str_from(m->close))  ? THINKING_OVER
           : str_ends(tail, str_from(m->open)) ? THINKING_INSIDE
                                               : THINKING_MAY_BEGIN;
    strbuf_fini(&text);
    return code;
}

/* ---- telling apart ---- */

void thinking_init(thinking *k, const thinking_marks *m, thinking_state begin, thinking_emit *emit, void *ctx) {
    *k = (thinking){.m = m, .state = m ? begin : THINKING_OVER, .told = !m, .emit = emit, .ctx = ctx};
}

void thinking_fini(thinking *k) { strbuf_fini(&k->buf); }

static void drop(strbuf *b, size_t n) {
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

/* Tells the first n bytes of the buffer, without the white space that they begin with when nothing was told before. */
static err_code tell(thinking *k, size_t n, err *e) {
    str text = str_sub(strbuf_str(&k->buf), 0, n);
    if (!k->told)
        text = str_sub(text, spaces(text), n);
    k->told = k->told || text.n > 0;
    err_code code = text.n > 0 ? k->emit(k->ctx, k->state == THINKING_INSIDE, text, e) : ERR_OK;
    drop(&k->buf, n);
    return code;
}

static void enter(thinking *k, thinking_state state) {
    k->state = state;
    k->told = false;
}

/* How many bytes at the end of s are a beginning of `mark`, and white space before them. */
static size_t kept_back(str s, str mark) {
    size_t n = s.n < mark.n ? s.n : mark.n - 1;
    while (n > 0 && memcmp(s.p + s.n - n, mark.p, n) != 0)
        n--;
    return s.n - without_end(str_sub(s, 0, s.n - n)).n;
}

/* True: a mark was passed, and what follows it is to be looked at. */
static err_code step(thinking *k, bool last, bool *more, err *e) {
    str s = strbuf_str(&k->buf), open = str_from(k->m->open), close = str_from(k->m->close);
    size_t blank = spaces(s);
    *more = false;
    if (k->state == THINKING_MAY_BEGIN) {
        str rest = str_sub(s, blank, s.n);
        if (!last && str_starts(open, rest) && rest.n < open.n)
            return ERR_OK;
        *more = true;
        if (str_starts(rest, open)) {
            drop(&k->buf, blank + open.n);
            enter(k, THINKING_INSIDE);
        } else {
            enter(k, THINKING_OVER);
            k->told = true; /* the answer is as it came */
        }
        return ERR_OK;
    }
    if (k->state == THINKING_OVER)
        return tell(k, s.n, e);
    ptrdiff_t at = str_find(s, close, 0);
    if (at < 0)
        return tell(k, last ? without_end(s).n : s.n - kept_back(s, close), e);
    TRY(tell(k, without_end(str_sub(s, 0, (size_t)at)).n, e));
    drop(&k->buf, spaces(strbuf_str(&k->buf)) + close.n);
    enter(k, THINKING_OVER);
    *more = true;
    return ERR_OK;
}

static err_code go_on(thinking *k, bool last, err *e) {
    for (bool more = k->buf.n > 0; more;)
        TRY(step(k, last, &more, e));
    return ERR_OK;
}

err_code thinking_feed(thinking *k, str text, err *e) {
    if (k->state == THINKING_OVER && k->told)
        return text.n > 0 ? k->emit(k->ctx, false, text, e) : ERR_OK;
    TRY(strbuf_add(&k->buf, text, e));
    return go_on(k, false, e);
}

err_code thinking_end(thinking *k, err *e) { return go_on(k, true, e); }

/* ---- the grammar ---- */

/* The state of searching for `mark` after its first n bytes and c: the longest beginning of it that they end in. */
static size_t after(str mark, size_t n, char c) {
    for (size_t k = n + 1; k > 0; k--)
        if (mark.p[k - 1] == c && memcmp(mark.p, mark.p + n + 1 - k, k - 1) == 0)
            return k;
    return 0;
}

static err_code add_escaped(strbuf *out, char c, err *e) { return strbuf_addf(out, e, "\\x%02X", (unsigned char)c); }

/* Rules s0, s1, ...: what may follow where so many bytes of the mark have come; marks are ASCII. */
static err_code search_rules(str mark, strbuf *out, err *e) {
    for (size_t n = 0; n < mark.n; n++) {
        TRY(strbuf_addf(out, e, "s%zu ::= [^", n));
        for (size_t i = 0; i < mark.n; i++)
            TRY(add_escaped(out, mark.p[i], e));
        TRY(strbuf_addf(out, e, "] s0"));
        for (size_t i = 0; i < mark.n; i++) {
            if (memchr(mark.p, mark.p[i], i)) /* had */
                continue;
            TRY(strbuf_addf(out, e, " | \""));
            TRY(add_escaped(out, mark.p[i], e));
            TRY(strbuf_addf(out, e, "\" s%zu", after(mark, n, mark.p[i])));
        }
        TRY(strbuf_addc(out, '\n', e));
    }
    return strbuf_addf(out, e, "s%zu ::= [ \\n]{0,2}\n", mark.n);
}

static err_code rules(const thinking_marks *m, thinking_state begin, strbuf *out, err *e) {
    TRY(search_rules(str_from(m->close), out, e));
    if (begin == THINKING_INSIDE)
        return strbuf_addf(out, e, "root ::= s0\n");
    TRY(strbuf_addf(out, e, "root ::= ( [ \\n]{0,2} "));
    TRY(gbnf_quote(str_from(m->open), out, e));
    return strbuf_addf(out, e, " s0 )?\n");
}

err_code thinking_grammar(const thinking_marks *m, thinking_state begin, grammar **g, err *e) {
    strbuf text = {0};
    grammar *section = NULL, *both = NULL;
    if (begin == THINKING_OVER)
        return ERR_OK;
    err_code code = rules(m, begin, &text, e);
    if (code == ERR_OK)
        code = gbnf_compile(&section, strbuf_str(&text), e);
    if (code == ERR_OK)
        code = grammar_sequence(&both, section, *g, e);
    if (code == ERR_OK) {
        grammar_close(*g);
        *g = both;
    }
    grammar_close(section);
    strbuf_fini(&text);
    return code;
}
