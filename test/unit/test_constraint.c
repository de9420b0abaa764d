/* constraint: a token may follow exactly when its bytes keep the grammar's text alive, by a table of random tokens
 * tried one by one; ends; characters in parts; cursors that share; a tokenizer's own texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "gen/constraint.h"
#include "text/automaton.h"
#include "text/gbnf.h"

enum { N = 700, END = 3 };

static uint64_t draw_at;
static size_t draw(size_t n) { return rng_below(41, RNG_TEST, draw_at++, n); }

static char texts_of[N][8];
static str texts[N];
static bool is_end[N];
static token_tree *tree;

/* Single bytes that matter, parts of characters, and random strings of them; some ids alike, some empty. */
static int make_vocabulary(void **state) {
    (void)state;
    static const char bytes[] = "ab01,:[]{}\" \n\xc3\xa9\xf0\x9f\x98\x80-";
    err e = {0};
    for (size_t i = 0; i < N; i++) {
        size_t n = i < sizeof bytes - 1 ? 1 : draw(6);
        for (size_t k = 0; k < n; k++)
            texts_of[i][k] = bytes[n == 1 && i < sizeof bytes - 1 ? i : draw(sizeof bytes - 1)];
        texts[i] = (str){texts_of[i], n};
    }
    is_end[N - END] = is_end[N - 1] = true;
    return token_tree_of(&tree, texts, is_end, N, &e) == ERR_OK ? 0 : -1;
}

static int close_vocabulary(void **state) {
    (void)state;
    token_tree_close(tree);
    return 0;
}

static constraint *open_grammar(const char *rules) {
    grammar *g = NULL;
    constraint *c = NULL;
    err e = {0};
    if (gbnf_compile(&g, str_from(rules), &e) != ERR_OK || constraint_open(&c, g, tree, &e) != ERR_OK)
        fail_msg("%s: %s", rules, e.text);
    return c;
}

/* An automaton of its own, to try tokens with. */
typedef struct {
    grammar *g;
    automaton *a;
    uint32_t state;
} trial;

static trial begin_trial(const char *rules) {
    trial t;
    assert_int_equal(gbnf_compile(&t.g, str_from(rules), NULL), ERR_OK);
    assert_int_equal(automaton_open(&t.a, t.g, &t.state, NULL), ERR_OK);
    return t;
}

static uint32_t after(const trial *t, str s) {
    uint32_t state = t->state;
    for (size_t i = 0; i < s.n && state != AUTOMATON_DEAD; i++)
        assert_int_equal(automaton_next(t->a, state, (unsigned char)s.p[i], &state, NULL), ERR_OK);
    return state;
}

static bool may_follow(const trial *t, size_t id) {
    if (is_end[id])
        return automaton_may_end(t->a, t->state);
    return texts[id].n > 0 && after(t, texts[id]) != AUTOMATON_DEAD;
}

static void masks_are_exact(void **state) {
    (void)state;
    static const char values[] = "root ::= value\n"
                                 "value ::= \"[\" (value (\",\" \" \"? value)*)? \"]\" |\n"
                                 "  \"\\\"\" [^\"\\n]{0,9} \"\\\"\" | \"-\"? [01]+\n";
    static const char *const rules[] = {
        values,
        "root ::= [\\U0001F600a\xc3\xa9]* \"b\"?",
        "root ::= (\"a\" | \"ab\" | \"b\"){9,40} \"0\"",
        "root ::= \"{\" ([a-z]+ \":\" [^,]{1,3} \",\"?)* \"}\" | .{2,4}",
    };
    size_t n_allowed = 0, n_asked = 0, n_ends = 0;
    for (size_t r = 0; r < 4; r++)
        for (int round = 0; round < 25; round++) {
            constraint *c = open_grammar(rules[r]);
            constraint_cursor k;
            trial t = begin_trial(rules[r]);
            bool complete = false;
            constraint_begin(c, &k);
            for (int step = 0; step < 20 && !complete; step++) {
                float logits[N + 5];
                size_t allowed[N], n = 0;
                err e = {0};
                for (size_t i = 0; i < N + 5; i++)
                    logits[i] = (float)i;
                if (constraint_mask(&k, logits, N + 5, &e) != ERR_OK)
                    fail_msg("%s: %s", rules[r], e.text);
                for (size_t i = 0; i < N; i++) {
                    if (may_follow(&t, i) != (logits[i] == (float)i))
                        fail_msg("%s: token %zu \"%.*s\"", rules[r], i, STR_ARG(texts[i]));
                    if (logits[i] == (float)i && !is_end[i])
                        allowed[n++] = i;
                }
                for (size_t i = N; i < N + 5; i++)
                    assert_true(isinf(logits[i]) && logits[i] < 0);
                n_allowed += n;
                n_asked += N;
                if (n == 0) { /* only an end is left */
                    assert_int_equal(constraint_take(&k, N - 1, &complete, &e), ERR_OK);
                    assert_false(complete);
                    n_ends++;
                    break;
                }
                size_t id = allowed[draw(n)];
                assert_int_equal(constraint_take(&k, (int32_t)id, &complete, &e), ERR_OK);
                t.state = after(&t, texts[id]);
                assert_int_equal(complete, automaton_must_end(t.a, t.state));
                n_ends += complete;
            }
            constraint_end(&k);
            constraint_close(c);
            automaton_close(t.a);
            grammar_close(t.g);
        }
    assert_true(n_allowed > n_asked / 100 && n_allowed < n_asked / 2 && n_ends > 10);
}

/* Two answers by turns, in one constraint, get the masks of one alone; what may not follow is refused. */
static void cursors_share(void **state) {
    (void)state;
    constraint *c = open_grammar("root ::= \"a\" root \"b\" | \"0\"");
    constraint_cursor k[2];
    bool complete;
    err e = {0};
    for (int i = 0; i < 2; i++)
        constraint_begin(c, &k[i]);
    for (int i = 0; i < 10; i++)
        assert_int_equal(constraint_take(&k[0], 0, &complete, &e), ERR_OK); /* a */
    assert_int_equal(constraint_take(&k[1], 2, &complete, &e), ERR_OK);     /* 0 */
    assert_true(complete);
    assert_int_equal(constraint_take(&k[0], 1, &complete, &e), ERR_USAGE); /* b */
    assert_int_equal(constraint_take(&k[0], N, &complete, &e), ERR_USAGE);
    assert_int_equal(constraint_take(&k[0], -1, &complete, &e), ERR_USAGE);
    assert_int_equal(constraint_take(&k[0], 2, &complete, &e), ERR_OK);
    constraint_end(&k[1]);
    constraint_end(&k[1]);
    for (int i = 0; i < 10; i++) {
        assert_false(complete);
        assert_int_equal(constraint_take(&k[0], 1, &complete, &e), ERR_OK);
    }
    assert_true(complete);
    constraint_end(&k[0]);
    constraint_close(c);
    constraint_close(NULL);
}

static void a_vocabulary_may_lack_what_is_needed(void **state) {
    (void)state;
    constraint *c = open_grammar("root ::= \"a\" \"z\"");
    constraint_cursor k;
    float logits[N] = {0};
    bool complete;
    err e = {0};
    constraint_begin(c, &k);
    assert_int_equal(constraint_mask(&k, logits, N, &e), ERR_OK);
    assert_int_equal(constraint_take(&k, 0, &complete, &e), ERR_OK);
    assert_int_equal(constraint_mask(&k, logits, N, &e), ERR_UNSUPPORTED);
    assert_string_equal(e.text, "no token of the model's vocabulary can follow by the grammar, after 1 tokens");
    constraint_end(&k);
    constraint_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_exact),
        cmocka_unit_test(cursors_share),
        cmocka_unit_test(a_vocabulary_may_lack_what_is_needed),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, close_vocabulary);
}
