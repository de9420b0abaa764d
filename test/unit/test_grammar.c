/* grammar, gbnf, automaton: random grammars against a matcher that goes back and tries again; the language of GBNF case
 * by case; what is refused; hostile grammars end in an error, soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "text/automaton.h"
#include "text/gbnf.h"
#include "text/utf8.h"

/* ---- feeding ---- */

typedef enum { DEAD, ALIVE, WHOLE } verdict; /* WHOLE: the text may end here */

static verdict feed(automaton *a, uint32_t start, str s) {
    err e = {0};
    for (size_t i = 0; i < s.n; i++) {
        if (automaton_next(a, start, (unsigned char)s.p[i], &start, &e) != ERR_OK)
            fail_msg("%s", e.text);
        if (start == AUTOMATON_DEAD)
            return DEAD;
    }
    return automaton_may_end(a, start) ? WHOLE : ALIVE;
}

static verdict judge(const char *rules, str text) {
    grammar *g = NULL;
    automaton *a = NULL;
    uint32_t start = 0;
    err e = {0};
    if (gbnf_compile(&g, str_from(rules), &e) != ERR_OK || automaton_open(&a, g, &start, &e) != ERR_OK)
        fail_msg("%s: %s", rules, e.text);
    verdict v = feed(a, start, text);
    automaton_close(a);
    grammar_close(g);
    return v;
}

#define is(v, rules, text) assert_int_equal(judge(rules, STR(text)), v)

static void what_gbnf_means(void **state) {
    (void)state;
    is(WHOLE, "root ::= \"abc\"", "abc");
    is(ALIVE, "root ::= \"abc\"", "ab");
    is(DEAD, "root ::= \"abc\"", "abd");
    is(DEAD, "root ::= \"abc\"", "abca");
    is(WHOLE, "root ::= \"\"", "");
    is(WHOLE, "root ::= | \"a\"", "");
    is(WHOLE, "root ::= \"a\" (\"b\" | \"c\" \"d\")? \"e\"", "acde");
    is(WHOLE, "root ::= \"a\" (\"b\" | \"c\" \"d\")? \"e\"", "ae");
    is(WHOLE, "root ::= \"ab\"*", "abab"); /* a literal is one symbol */
    is(ALIVE, "root ::= \"ab\"*", "aba");
    is(DEAD, "root ::= \"a\"+", "b");
    is(ALIVE, "root ::= \"a\"+", "");
    is(WHOLE, "root ::= \"a\"{2}", "aa");
    is(DEAD, "root ::= \"a\"{2}", "aaa");
    is(ALIVE, "root ::= \"a\"{2,}", "a");
    is(WHOLE, "root ::= \"a\"{2,}", "aaaaa");
    is(ALIVE, "root ::= \"a\"{2,3}", "a");
    is(WHOLE, "root ::= \"a\"{2,3}", "aaa");
    is(DEAD, "root ::= \"a\"{2,3}", "aaaa");
    is(WHOLE, "root ::= \"a\"{,2}", "");
    is(WHOLE, "root ::= \"b\" \"a\"{0,0}", "b");
    is(WHOLE, "root ::= [a-cX_-]{5}", "abX-_");
    is(DEAD, "root ::= [a-c]", "d");
    is(WHOLE, "root ::= [^a-c]", "d");
    is(DEAD, "root ::= [^a-c]", "b");
    is(WHOLE, "root ::= [\\x41\\u00e9\\U0001F600\\]\\[\\\\\\n]{7}", "A\xc3\xa9\xf0\x9f\x98\x80][\\\n");
    is(ALIVE, "root ::= [^a]", "\xf0\x9f\x98"); /* within a character */
    is(WHOLE, "root ::= .{3}", "a\xf0\x9f\x98\x80\n");
    is(DEAD, "root ::= .", "\xed\xa0\x80"); /* a surrogate is none */
    is(DEAD, "root ::= .", "\xff");
    is(DEAD, "root ::= .", "\xc0\x80");
    is(WHOLE, "root ::= \"\\\"\\\\\\t\\r\\x7a\"", "\"\\\t\rz");
    is(WHOLE, "# all of it\nroot ::= a # of one\n  \n  a ::= \"x\"\r\n", "x");
    is(WHOLE, "root ::= (\n  \"x\" # one\n  \"y\"\n  )\n", "xy");
    is(WHOLE, "root ::=\n  \"x\" |\n  \"y\"\n", "y");
    is(WHOLE, "root ::= \"x\"\n  | \"y\"\n  | \"z\"\n", "z");
    is(WHOLE, "root ::= a-b_2 a-b_2\na-b_2 ::= \"q\"", "qq");
    is(WHOLE, "root ::= \"(\" root \")\" | \"x\"", "(((x)))");
    is(ALIVE, "root ::= \"(\" root \")\" | \"x\"", "(((x))");
    is(WHOLE, "root ::= item (\",\" root)?\nitem ::= [0-9]+", "12,3,4");
    is(WHOLE, "root ::= ((\"a\"?)* | \"b\"){0,3} \"c\"", "aaaabc");
    is(WHOLE, "root ::= (\"a\"?){5} \"c\"", "ac");
    is(DEAD, "root ::= (\"a\"?){2} \"c\"", "aaa");
    is(WHOLE, "root ::= (\"a\"{0,2}){0,2} \"c\"", "aaaac");
    is(DEAD, "root ::= (\"a\"{0,2}){0,2} \"c\"", "aaaaa");
    /* What can never end is not entered. */
    is(DEAD, "root ::= \"a\" loop | \"b\"\nloop ::= \"x\" loop", "a");
    is(WHOLE, "root ::= \"b\" loop?\nloop ::= \"x\" loop", "b");
    is(DEAD, "root ::= \"b\" loop*\nloop ::= \"x\" loop", "bx");
    is(WHOLE, "root ::= \"b\" | []", "b");
}

/* Every character of a set, and no other: the bytes of each code point near its edges. */
static void sets_are_exact(void **state) {
    (void)state;
    static const int32_t edges[] = {0,      0x41,   0x7F,   0x80,    0x7FF,   0x800,   0xFFF,   0x1000,   0xD7FF,
                                    0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF};
    enum { N = sizeof edges / sizeof *edges };
    for (size_t i = 0; i < N; i++)
        for (size_t k = i; k < N; k++) {
            char rules[80];
            snprintf(rules, sizeof rules, "root ::= [\\U%08X-\\U%08X]", (unsigned)edges[i], (unsigned)edges[k]);
            grammar *g = NULL;
            automaton *a = NULL;
            uint32_t start = 0;
            err e = {0};
            if (gbnf_compile(&g, str_from(rules), &e) || automaton_open(&a, g, &start, &e))
                fail_msg("%s: %s", rules, e.text);
            for (size_t j = 0; j < 3 * N; j++) {
                int32_t cp = edges[j / 3] + (int32_t)(j % 3) - 1;
                char bytes[4];
                size_t n = cp >= 0 ? utf8_put(cp, bytes) : 0;
                verdict want = cp >= edges[i] && cp <= edges[k] ? WHOLE : DEAD;
                if (n > 0 && feed(a, start, (str){bytes, n}) != want)
                    fail_msg("%s: U+%04X", rules, (unsigned)cp);
            }
            automaton_close(a);
            grammar_close(g);
        }
}

/* ---- random grammars ---- */

enum { RULES = 4, TEXT_MAX = 10 };

typedef enum { X_TEXT, X_CLASS, X_RULE, X_SEQUENCE, X_CHOICE, X_REPEAT } expr_kind;
typedef struct {
    expr_kind kind;
    char text[4]; /* TEXT; CLASS: its members */
    bool negated;
    int rule, n, child[3];
    uint32_t min, max;
} expr;

typedef struct {
    expr x[400];
    int n, rule[RULES];
    strbuf out;
} made;

static uint64_t draw_at;
static size_t draw(size_t n) { return rng_below(99, RNG_TEST, draw_at++, n); }

static void letters(char *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + draw(3));
    out[n] = 0;
}

static int make(made *m, int depth) {
    int me = m->n++;
    expr *x = &m->x[me];
    *x = (expr){.kind = depth == 0 ? (expr_kind)draw(2) : (expr_kind)draw(6)};
    switch (x->kind) {
    case X_TEXT:
        letters(x->text, draw(4));
        break;
    case X_CLASS:
        letters(x->text, 1 + draw(2));
        x->negated = draw(3) == 0;
        break;
    case X_RULE:
        x->rule = (int)draw(RULES);
        break;
    case X_REPEAT:
        x->min = (uint32_t)draw(3);
        x->max = draw(2) ? GRAMMAR_NO_END : x->min + (uint32_t)draw(3);
        x->n = 1;
        break;
    case X_SEQUENCE:
    case X_CHOICE:
        x->n = 1 + (int)draw(3);
        break;
    }
    for (int i = 0; i < x->n; i++)
        m->x[me].child[i] = make(m, depth - 1);
    return me;
}

static void print(made *m, int k) {
    const expr *x = &m->x[k];
    if (x->kind == X_TEXT)
        strbuf_addf(&m->out, NULL, "\"%s\"", x->text);
    else if (x->kind == X_CLASS)
        strbuf_addf(&m->out, NULL, "[%s%s]", x->negated ? "^" : "", x->text);
    else if (x->kind == X_RULE)
        strbuf_addf(&m->out, NULL, "%s", (const char *[]){"root", "r1", "r2", "r3"}[x->rule]);
    else {
        strbuf_addf(&m->out, NULL, "(");
        for (int i = 0; i < x->n; i++) {
            strbuf_addf(&m->out, NULL, "%s", i == 0 ? " " : x->kind == X_CHOICE ? " | " : " ");
            print(m, x->child[i]);
        }
        strbuf_addf(&m->out, NULL, " )");
    }
    if (x->kind == X_REPEAT && x->max == GRAMMAR_NO_END)
        strbuf_addf(&m->out, NULL, "{%u,}", x->min);
    else if (x->kind == X_REPEAT)
        strbuf_addf(&m->out, NULL, "{%u,%u}", x->min, x->max);
}

/* Each rule has an alternative of letters, so every expression can come to an end. */
static void make_rules(made *m) {
    m->n = 0;
    m->out.n = 0;
    for (int r = 0; r < RULES; r++) {
        char end[4];
        int letters_of = m->n++, choice = m->n++;
        letters(end, 1 + draw(2));
        m->x[letters_of] = (expr){.kind = X_TEXT};
        memcpy(m->x[letters_of].text, end, sizeof end);
        m->x[choice] = (expr){.kind = X_CHOICE, .n = 2, .child = {letters_of}};
        int other = make(m, 3);
        m->x[choice].child[1] = other;
        m->rule[r] = choice;
        strbuf_addf(&m->out, NULL, "%s ::= ", (const char *[]){"root", "r1", "r2", "r3"}[r]);
        print(m, choice);
        strbuf_addf(&m->out, NULL, "\n");
    }
}

/* Where expression k can end when it begins at any of the places `from` (bit i: before byte i); *past: it can go on
 * behind the text. */
static uint32_t ends(const made *m, int k, str s, uint32_t from, bool *past) {
    const expr *x = &m->x[k];
    uint32_t out = 0, at = from;
    if (from == 0)
        return 0;
    switch (x->kind) {
    case X_TEXT:
        for (const char *c = x->text; *c; c++, at = out) {
            out = 0;
            for (size_t i = 0; i <= s.n; i++)
                if (at >> i & 1) {
                    *past = *past || i == s.n;
                    out |= i < s.n && s.p[i] == *c ? 1u << (i + 1) : 0;
                }
        }
        return at;
    case X_CLASS:
        for (size_t i = 0; i <= s.n; i++)
            if (from >> i & 1) {
                *past = *past || i == s.n;
                out |= i < s.n && (strchr(x->text, s.p[i]) != NULL) != x->negated ? 1u << (i + 1) : 0;
            }
        return out;
    case X_RULE:
        return ends(m, m->rule[x->rule], s, from, past);
    case X_SEQUENCE:
        for (int i = 0; i < x->n; i++)
            at = ends(m, x->child[i], s, at, past);
        return at;
    case X_CHOICE:
        for (int i = 0; i < x->n; i++)
            out |= ends(m, x->child[i], s, from, past);
        return out;
    case X_REPEAT:
        break;
    }
    for (uint32_t i = 0; i <= x->max && i <= x->min + s.n + 1; i++) {
        out |= i >= x->min ? at : 0;
        if (i < x->max)
            at = ends(m, x->child[0], s, at, past);
    }
    return out;
}

static void as_a_matcher_that_tries(void **state) {
    (void)state;
    static made m;
    size_t n_tried = 0, n_seen[3] = {0};
    for (int round = 0; round < 3000; round++) {
        grammar *g = NULL;
        automaton *a = NULL;
        uint32_t start = 0;
        err e = {0};
        make_rules(&m);
        if (gbnf_compile(&g, strbuf_str(&m.out), &e) != ERR_OK) {
            if (!strstr(e.text, "left recursion"))
                fail_msg("%s\n%s", strbuf_str(&m.out).p, e.text);
            continue;
        }
        assert_int_equal(automaton_open(&a, g, &start, &e), ERR_OK);
        n_tried++;
        for (int k = 0; k < 40; k++) {
            char text[TEXT_MAX + 1];
            str s = {text, draw(TEXT_MAX)};
            letters(text, s.n);
            bool past = false;
            uint32_t end = ends(&m, m.rule[0], s, 1, &past);
            verdict want = end >> s.n & 1 ? WHOLE : past ? ALIVE : DEAD, got = feed(a, start, s);
            n_seen[want]++;
            if (got != want)
                fail_msg("%.*s\"%s\" is %d, not %d", (int)m.out.n, m.out.p, text, got, want);
        }
        automaton_close(a);
        grammar_close(g);
    }
    strbuf_fini(&m.out);
    assert_true(n_tried > 500 && n_seen[DEAD] > 1000 && n_seen[ALIVE] > 1000 && n_seen[WHOLE] > 1000);
}

/* ---- what is refused ---- */

static void refused(const char *rules, err_code code, const char *words) {
    grammar *g = NULL;
    err e = {0};
    assert_int_equal(gbnf_compile(&g, str_from(rules), &e), code);
    assert_null(g);
    if (!strstr(e.text, words) || !strstr(e.text, "grammar"))
        fail_msg("\"%s\" has no \"%s\"", e.text, words);
}

static void errors_say_where(void **state) {
    (void)state;
    refused("", ERR_FORMAT, "rule root is not defined");
    refused("a ::= \"x\"", ERR_FORMAT, "rule root is not defined");
    refused("root ::= a", ERR_FORMAT, "rule a is not defined");
    refused("root ::= \"x\"\nroot ::= \"y\"", ERR_FORMAT, "line 2: rule root is defined a second time");
    refused("root ::= \"x\n\"", ERR_FORMAT, "line 1: a literal is not closed");
    refused("\n\nroot ::= [a", ERR_FORMAT, "line 3: a set of characters is not closed");
    refused("root ::= (\"x\"", ERR_FORMAT, "a parenthesis is not closed");
    refused("root ::= \"x\")", ERR_FORMAT, "a symbol, | or the end of the line");
    refused("root = \"x\"", ERR_FORMAT, "::= is expected after root");
    refused("::= \"x\"", ERR_FORMAT, "the name of a rule");
    refused("root ::= \"x\"{}", ERR_FORMAT, "a repetition is");
    refused("root ::= \"x\"{3,2}", ERR_FORMAT, "at least 3 and at most 2");
    refused("root ::= \"x\"{99999999999999999999}", ERR_LIMIT, "at most 16777216 rounds");
    refused("root ::= \"x\"*+", ERR_FORMAT, "needs parentheses");
    refused("root ::= \"\\q\"", ERR_FORMAT, "no such escape");
    refused("root ::= \"\\u12g4\"", ERR_FORMAT, "4 hexadecimal digits");
    refused("root ::= \"\\uD800\"", ERR_FORMAT, "U+D800 is no character");
    refused("root ::= \"\\UFFFFFFFF\"", ERR_FORMAT, "8 hexadecimal digits");
    refused("root ::= [z-a]", ERR_FORMAT, "runs backwards");
    refused("root ::= \"\xff\"", ERR_FORMAT, "UTF-8");
    refused("root ::= <[1000]>", ERR_UNSUPPORTED, "tokens");
    refused("root ::= root \"x\" | \"y\"", ERR_FORMAT, "rule root can begin with itself");
    refused("root ::= a\na ::= \"x\"? b\nb ::= a*", ERR_FORMAT, "begin with itself");
    refused("root ::= \"x\" root", ERR_FORMAT, "rule root can never come to an end");
    refused("root ::= []", ERR_FORMAT, "never come to an end");
}

static void hostile_ones_end_soon(void **state) {
    (void)state;
    strbuf b = {0};
    strbuf_addf(&b, NULL, "root ::= ");
    for (int i = 0; i < 100000; i++)
        strbuf_addc(&b, '(', NULL);
    strbuf_addc(&b, 0, NULL);
    refused(b.p, ERR_LIMIT, "parentheses within each other");
    b.n = 0;
    for (int i = 0; i < 20000; i++)
        strbuf_addf(&b, NULL, "%s%d ::= r%d\n", i ? "r" : "root", i, i + 1);
    strbuf_addc(&b, 0, NULL);
    refused(b.p, ERR_LIMIT, "more than 16384 rules");
    /* A long chain, told from its end: each pass over the rules settles all of it. */
    b.n = 0;
    strbuf_addf(&b, NULL, "root ::= r0\n");
    for (int i = 0; i < 16000; i++)
        strbuf_addf(&b, NULL, "r%d ::= r%d?\n", i, i + 1);
    strbuf_addf(&b, NULL, "r16000 ::= \"x\"");
    strbuf_addc(&b, 0, NULL);
    is(WHOLE, b.p, "x");
    strbuf_fini(&b);
    /* Counts are counted, not written out. */
    is(ALIVE, "root ::= ((\"a\"{1,1000000}){1,1000000}){1,1000000} \"b\"", "aaa");
    is(WHOLE, "root ::= ((\"a\"?){0,1000000}){0,1000000}", "aaaa");
    /* Deep nesting: what is deeper than the automaton follows may not come. */
    char deep[3000];
    memset(deep, '(', sizeof deep);
    assert_int_equal(judge("root ::= \"(\" root \")\" | \"x\"", (str){deep, 900}), ALIVE);
    assert_int_equal(judge("root ::= \"(\" root \")\" | \"x\"", (str){deep, sizeof deep}), DEAD);
}

/* As many rules as there may be, all of them used, and a root that uses itself: written once (ASan sees the queue). */
static void a_root_is_written_once(void **state) {
    (void)state;
    strbuf b = {0};
    grammar *once = NULL, *twice = NULL;
    assert_int_equal(gbnf_compile(&once, STR("root ::= \"(\" a \")\" | \"x\"\na ::= \"y\""), NULL), ERR_OK);
    assert_int_equal(gbnf_compile(&twice, STR("root ::= \"(\" root \")\" | \"x\"\n"), NULL), ERR_OK);
    assert_int_equal(twice->n_ops + 2, once->n_ops);
    grammar_close(once);
    grammar_close(twice);
    strbuf_addf(&b, NULL, "root ::= \"(\" root \")\" | r1\n");
    for (int i = 1; i < GRAMMAR_RULES_MAX; i++)
        strbuf_addf(&b, NULL, "r%d ::= \"x\" r%d?\n", i, i + 1 < GRAMMAR_RULES_MAX ? i + 1 : i);
    strbuf_addc(&b, 0, NULL);
    is(WHOLE, b.p, "((xx))");
    strbuf_fini(&b);
}

static void ambiguity_is_paid_for(void **state) {
    (void)state;
    static const char *const rules[] = {
        "root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"z\"", /* each a doubles the stacks */
        "root ::= (\"a\" | \"aa\" | \"aaa\"){0,1000000} \"b\"",
        "root ::= s \"x\"\ns ::= \"a\" s s | \"a\" s | \"a\"",
    };
    for (size_t i = 0; i < 3; i++) {
        grammar *g = NULL;
        automaton *a = NULL;
        uint32_t s, n = 0;
        err e = {0};
        assert_int_equal(gbnf_compile(&g, str_from(rules[i]), &e), ERR_OK);
        assert_int_equal(automaton_open(&a, g, &s, &e), ERR_OK);
        while (automaton_next(a, s, 'a', &s, &e) == ERR_OK && n < 100000) {
            assert_true(s != AUTOMATON_DEAD);
            n++;
        }
        assert_int_equal(e.code, ERR_LIMIT);
        assert_non_null(strstr(e.text, "too ambiguous"));
        assert_true(n >= 10);
        automaton_close(a);
        grammar_close(g);
    }
}

/* Each byte costs some thousand steps, and leaves two stacks. */
static void alike_costs_once(void **state) {
    (void)state;
    enum { AHEAD = 5 };
    strbuf b = {0};
    grammar *g = NULL;
    automaton *a = NULL;
    uint32_t start, at, like, first;
    err e = {0};
    strbuf_addf(&b, NULL, "root ::= ( [\\x00-\\x7F] ( \"\"");
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&b, NULL, " | \"\"");
    strbuf_addf(&b, NULL, " ) ){0,1000000} \"\xc3\xa9\"");
    assert_int_equal(gbnf_compile(&g, strbuf_str(&b), &e), ERR_OK);
    assert_int_equal(automaton_open(&a, g, &start, &e), ERR_OK);
    assert_int_equal(automaton_like(a, start, AHEAD, &first, &e), ERR_OK);
    at = start;
    for (uint32_t byte = 0, next; automaton_next(a, at, (unsigned char)byte, &next, &e) == ERR_OK; byte++)
        if (byte == 'a') {
            at = next;
            byte = 0;
        }
    assert_int_equal(e.code, ERR_LIMIT); /* nothing is left to be spent */
    assert_int_equal(automaton_like(a, start, AHEAD, &like, &e), ERR_OK);
    assert_int_equal(like, first);
    assert_int_equal(automaton_like(a, start, AHEAD + 1, &like, &e), ERR_LIMIT);
    assert_int_equal(automaton_like(a, at, AHEAD, &like, &e), ERR_LIMIT);
    automaton_allow(a, 10);
    assert_int_equal(automaton_like(a, at, AHEAD, &like, &e), ERR_OK);
    assert_int_equal(like, first); /* far from its end, as the first */
    automaton_close(a);
    grammar_close(g);
    strbuf_fini(&b);
}

/* A long text through an automaton that is tidied all the time is judged as one that never is. */
static void forgetting_changes_nothing(void **state) {
    (void)state;
    const char *rules = "root ::= value\nvalue ::= \"[\" (value (\",\" value){0,100000})? \"]\" | [0-9]{1,40}\n";
    grammar *g = NULL;
    automaton *a = NULL;
    uint32_t start, at, n_did = 0;
    err e = {0};
    assert_int_equal(gbnf_compile(&g, str_from(rules), &e), ERR_OK);
    assert_int_equal(automaton_open(&a, g, &start, &e), ERR_OK);
    at = start;
    for (size_t i = 0; i < 20000; i++) {
        uint32_t *const live[] = {&start, &at};
        const char *cell = i == 0 ? "[0" : ",[12,3]";
        for (; *cell; cell++) {
            automaton_allow(a, 1000);
            if (automaton_full(a)) {
                assert_int_equal(automaton_tidy(a, live, 2, &e), ERR_OK);
                assert_false(automaton_full(a));
                n_did++;
            }
            uint32_t wrong;
            assert_int_equal(automaton_next(a, at, 'x', &wrong, &e), ERR_OK);
            assert_int_equal(wrong, AUTOMATON_DEAD);
            if (automaton_next(a, at, (unsigned char)*cell, &at, &e) != ERR_OK)
                fail_msg("after %zu: %s", i, e.text);
            assert_true(at != AUTOMATON_DEAD);
        }
    }
    assert_true(n_did > 2);
    assert_false(automaton_may_end(a, at));
    assert_int_equal(feed(a, at, STR("]")), WHOLE);
    assert_int_equal(feed(a, start, STR("[1,[2]]")), WHOLE);
    automaton_close(a);
    grammar_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_gbnf_means),
        cmocka_unit_test(sets_are_exact),
        cmocka_unit_test(as_a_matcher_that_tries),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(hostile_ones_end_soon),
        cmocka_unit_test(a_root_is_written_once),
        cmocka_unit_test(ambiguity_is_paid_for),
        cmocka_unit_test(alike_costs_once),
        cmocka_unit_test(forgetting_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
