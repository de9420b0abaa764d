/* thinking: sections told apart whatever the cuts; where an answer begins; the grammar of a section and a form behind
 * it says the same of every text as the parser does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "gen/thinking.h"
#include "text/automaton.h"
#include "text/gbnf.h"

static const thinking_marks *const MARKS = &thinking_formats[0];

typedef struct {
    strbuf thought, answer;
    bool answered, wrong; /* wrong: a thought behind an answer, or an empty piece */
} heard;

static err_code hear(void *ctx, bool thought, str text, err *e) {
    heard *h = ctx;
    h->wrong = h->wrong || text.n == 0 || (thought && h->answered);
    h->answered = h->answered || !thought;
    return strbuf_add(thought ? &h->thought : &h->answer, text, e);
}

/* text in pieces of at most `most` bytes, their lengths drawn by `seed`. */
static heard listen(const thinking_marks *m, thinking_state begin, str text, size_t most, uint64_t seed) {
    heard h = {0};
    thinking k;
    thinking_init(&k, m, begin, hear, &h);
    for (size_t at = 0, i = 0; at < text.n; i++) {
        size_t n = 1 + rng_below(seed, RNG_TEST, i, most);
        n = n < text.n - at ? n : text.n - at;
        assert_int_equal(thinking_feed(&k, str_sub(text, at, at + n), NULL), ERR_OK);
        at += n;
    }
    assert_int_equal(thinking_end(&k, NULL), ERR_OK);
    assert_false(h.wrong);
    thinking_fini(&k);
    return h;
}

static void forget(heard *h) {
    strbuf_fini(&h->thought);
    strbuf_fini(&h->answer);
}

static const struct {
    thinking_state begin;
    const char *text, *thought, *answer;
} cases[] = {
    {THINKING_MAY_BEGIN, "<think>\nI see.\n</think>\n\nIt is noon.", "I see.", "It is noon."},
    {THINKING_MAY_BEGIN, " \n<think>I see.</think>It is noon. ", "I see.", "It is noon. "},
    {THINKING_MAY_BEGIN, "<think>\n\n</think>\n\nNoon", "", "Noon"},
    {THINKING_MAY_BEGIN, "Noon <think>not this</think>", "", "Noon <think>not this</think>"},
    {THINKING_MAY_BEGIN, "  Noon", "", "  Noon"},
    {THINKING_MAY_BEGIN, "<thin", "", "<thin"},
    {THINKING_MAY_BEGIN, "", "", ""},
    {THINKING_MAY_BEGIN, " \n ", "", " \n "},
    {THINKING_MAY_BEGIN, "<think>", "", ""},
    {THINKING_MAY_BEGIN, "<think>a </thi", "a </thi", ""},
    {THINKING_MAY_BEGIN, "<think>a < b </ c <</think>d", "a < b </ c <", "d"},
    {THINKING_MAY_BEGIN, "<think>a<think>b</think>c</think>d", "a<think>b", "c</think>d"},
    {THINKING_MAY_BEGIN, "<think> a \n b \n", "a \n b", ""},
    {THINKING_INSIDE, "so\n</think>\nNoon", "so", "Noon"},
    {THINKING_INSIDE, "so it goes on", "so it goes on", ""},
    {THINKING_INSIDE, "</think>Noon", "", "Noon"},
    {THINKING_INSIDE, "<tool_call>x</think><tool_call>y", "<tool_call>x", "<tool_call>y"},
    {THINKING_OVER, "Noon</think>", "", "Noon</think>"},
    {THINKING_OVER, " \n Noon", "", "Noon"},
};
enum { CASES = sizeof cases / sizeof *cases };

static void sections_are_told_apart_whatever_the_cuts(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            str text = str_from(cases[i].text);
            heard h = listen(MARKS, cases[i].begin, text, seed == 0 ? text.n + 1 : seed == 1 ? 1 : 4, seed);
            if (!str_is(strbuf_str(&h.thought), cases[i].thought) || !str_is(strbuf_str(&h.answer), cases[i].answer))
                fail_msg("%s: thought \"%.*s\", answer \"%.*s\"", cases[i].text, STR_ARG(strbuf_str(&h.thought)),
                         STR_ARG(strbuf_str(&h.answer)));
            forget(&h);
        }
}

static void without_marks_all_is_answer(void **state) {
    (void)state;
    heard h = listen(NULL, THINKING_MAY_BEGIN, STR(" <think>a</think>b "), 3, 1);
    assert_true(str_is(strbuf_str(&h.answer), " <think>a</think>b ") && h.thought.n == 0);
    forget(&h);
}

/* Random texts of few letters, so that marks and beginnings of marks are frequent. */
static str random_text(char *out, size_t most, uint64_t seed) {
    static const char *const piece[] = {"<",      "/", "think", ">", "</think>", "<think>",
                                        "</thin", " ", "\n",    "x", "\xC3\xA9"};
    size_t n = 0;
    for (uint64_t i = 0; n + 9 < most && i < 2 + seed % 12; i++) {
        str p = str_from(piece[rng_below(seed, RNG_TEST, i, sizeof piece / sizeof *piece)]);
        memcpy(out + n, p.p, p.n);
        n += p.n;
    }
    return (str){out, n};
}

static void cuts_change_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        char text[200];
        str s = random_text(text, sizeof text, seed);
        thinking_state begin = (thinking_state)(seed % 3);
        heard whole = listen(MARKS, begin, s, s.n + 1, 0);
        for (size_t most = 1; most < 5; most++) {
            heard cut = listen(MARKS, begin, s, most, seed);
            if (!str_eq(strbuf_str(&whole.thought), strbuf_str(&cut.thought)) ||
                !str_eq(strbuf_str(&whole.answer), strbuf_str(&cut.answer)))
                fail_msg("\"%.*s\" in pieces of %zu", STR_ARG(s), most);
            forget(&cut);
        }
        forget(&whole);
    }
}

/* ---- the grammar ---- */

typedef enum { DEAD, ALIVE, WHOLE } verdict;

static verdict judge(automaton *a, uint32_t state, str s) {
    for (size_t i = 0; i < s.n; i++) {
        assert_int_equal(automaton_next(a, state, (unsigned char)s.p[i], &state, NULL), ERR_OK);
        if (state == AUTOMATON_DEAD)
            return DEAD;
    }
    return automaton_may_end(a, state) ? WHOLE : ALIVE;
}

/* Is what the parser takes for the answer of the form x+? */
static bool has_form(thinking_state begin, str s) {
    heard h = listen(MARKS, begin, s, s.n + 1, 0);
    bool yes = h.answer.n > 0;
    for (size_t i = 0; i < h.answer.n; i++)
        yes = yes && h.answer.p[i] == 'x';
    forget(&h);
    return yes;
}

static bool has_space(str s) { return memchr(s.p, ' ', s.n) || memchr(s.p, '\n', s.n); }

static void the_grammar_agrees(void **state) {
    (void)state;
    static const struct {
        thinking_state begin;
        const char *text;
        verdict v;
    } known[] = {
        {THINKING_MAY_BEGIN, "xx", WHOLE},
        {THINKING_MAY_BEGIN, "<think>y</think>\n\nx", WHOLE},
        {THINKING_MAY_BEGIN, "<think>y</think>y", DEAD},
        {THINKING_MAY_BEGIN, "<think>y<</<//think></think", ALIVE},
        {THINKING_MAY_BEGIN, "<think></think></think>", DEAD},
        {THINKING_MAY_BEGIN, "<", ALIVE},
        {THINKING_MAY_BEGIN, "<x", DEAD},
        {THINKING_INSIDE, "<think>\xC3\xA9\n", ALIVE},
        {THINKING_INSIDE, "<</think>x", WHOLE},
        {THINKING_INSIDE, "x", ALIVE},
        {THINKING_OVER, "x", WHOLE},
        {THINKING_OVER, "<think>", DEAD},
    };
    for (int begin = THINKING_MAY_BEGIN; begin <= THINKING_OVER; begin++) {
        grammar *g = NULL;
        automaton *a = NULL;
        uint32_t start = 0;
        assert_int_equal(gbnf_compile(&g, STR("root ::= \"x\"+"), NULL), ERR_OK);
        assert_int_equal(thinking_grammar(MARKS, (thinking_state)begin, &g, NULL), ERR_OK);
        assert_int_equal(automaton_open(&a, g, &start, NULL), ERR_OK);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if ((int)known[i].begin == begin && judge(a, start, str_from(known[i].text)) != known[i].v)
                fail_msg("%d: %s", begin, known[i].text);
        for (uint64_t seed = 0; seed < 3000; seed++) {
            char text[200];
            str s = random_text(text, sizeof text, seed);
            bool whole = judge(a, start, s) == WHOLE, form = has_form((thinking_state)begin, s);
            if (whole ? !form : form && !has_space(s)) /* of white space the grammar allows little */
                fail_msg("%d: \"%.*s\" is %swhole by the grammar", begin, STR_ARG(s), whole ? "" : "not ");
        }
        automaton_close(a);
        grammar_close(g);
    }
}

/* A long thought takes no stack, whatever is in it. */
static void a_long_thought_is_no_deep_one(void **state) {
    (void)state;
    grammar *g = NULL;
    automaton *a = NULL;
    uint32_t at = 0;
    err e = {0};
    assert_int_equal(gbnf_compile(&g, STR("root ::= \"x\""), NULL), ERR_OK);
    assert_int_equal(thinking_grammar(MARKS, THINKING_INSIDE, &g, NULL), ERR_OK);
    assert_int_equal(automaton_open(&a, g, &at, NULL), ERR_OK);
    for (int i = 0; i < 100000; i++) {
        automaton_allow(a, 1000);
        if (automaton_next(a, at, (unsigned char)"</thin"[i % 6], &at, &e) != ERR_OK)
            fail_msg("%s", e.text);
        assert_int_not_equal(at, AUTOMATON_DEAD);
    }
    assert_int_equal(judge(a, at, STR("</think>x")), WHOLE);
    automaton_close(a);
    grammar_close(g);
}

static void marks_are_known_by_the_template(void **state) {
    (void)state;
    assert_ptr_equal(thinking_of(STR("{{ '<think>\\n' }}")), MARKS);
    assert_ptr_equal(thinking_of(STR("{{ content.split('</think>')[-1] }}")), MARKS);
    assert_ptr_equal(thinking_of(STR("[THINK]")), &thinking_formats[1]);
    assert_null(thinking_of(STR("{{ messages }} think")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_told_apart_whatever_the_cuts),
        cmocka_unit_test(without_marks_all_is_answer),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(the_grammar_agrees),
        cmocka_unit_test(a_long_thought_is_no_deep_one),
        cmocka_unit_test(marks_are_known_by_the_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
