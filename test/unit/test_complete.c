/* complete: every word of a usage line and of an option's value has a meaning. What is offered for which command line,
 * in real shells: test/e2e/test_completion.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "cli/complete.h"

static void check_usage(const command *c) {
    for (const char *p = c->args; *p; p += strspn(p, " ")) {
        str word = {p, strcspn(p, " ")};
        p += word.n;
        if (!str_is(word, "|") && !complete_knows(word))
            fail_msg("loam %s %s: \"%.*s\" has no row in cli/complete.c", c->name, c->args, STR_ARG(word));
    }
}

static void check_options(const command *c) {
    for (const option_group *g = c->groups; g && g->rows; g++)
        for (const option *o = g->rows; o->name; o++)
            if ((o->kind == OPT_TEXT || o->kind == OPT_LIST) && !complete_knows(str_from(o->arg)))
                fail_msg("loam %s --%s %s: the value has no row in cli/complete.c", c->name, o->name, o->arg);
}

static void all_words_known(void **state) {
    (void)state;
    size_t n = 0;
    for (const command *const *c = commands; *c; c++, n++) {
        check_usage(*c);
        check_options(*c);
        for (const command *const *sub = (*c)->subs; sub && *sub; sub++, n++) {
            check_usage(*sub);
            check_options(*sub);
        }
    }
    assert_true(n > 30);
}

static void others_are_not(void **state) {
    (void)state;
    assert_true(complete_knows(STR("[ID|SHA256...]")));
    assert_true(complete_knows(STR("TEXT|-")));
    assert_false(complete_knows(STR("ANYTHING")));
    assert_false(complete_knows(STR("TEXT|ANYTHING")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_words_known), cmocka_unit_test(others_are_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
