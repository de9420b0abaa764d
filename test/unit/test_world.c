/* world: the corpus' promises: the same bytes everywhere, splits apart, facts where the list says, plans that work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "world/doc.h"

enum { DOCS = 20000 };

/* A document is a function of its number: made alone, again, and after others, it is the same. */
static void documents_do_not_depend_on_each_other(void **state) {
    (void)state;
    static pen a, b;
    doc_info ia, ib;
    for (int mix = 0; mix < MIXES; mix++)
        for (unsigned split = 0; split < 2; split++) {
            world w = {7, (world_mix)mix, (world_split)split};
            for (uint64_t i = 0; i < 500; i++) {
                doc_make(&w, i, &a, &ia);
                doc_make(&w, i * 31 + 5, &b, &ib);
                doc_make(&w, i, &b, &ib);
                assert_int_equal(a.n, b.n);
                assert_memory_equal(a.text, b.text, a.n);
                doc_look(&w, i, &ib);
                assert_int_equal(ia.kind, ib.kind);
                assert_int_equal(ia.n_facts, ib.n_facts);
            }
        }
}

/* In a block every fact is the main fact of one document. */
static void facts_are_spread_evenly(void **state) {
    (void)state;
    static const unsigned block[MIXES] = {[MIX_FULL] = 480, [MIX_TINY] = 240};
    for (int mix = 0; mix < MIXES; mix++) {
        world w = {3, (world_mix)mix, SPLIT_TRAIN};
        unsigned n[FACTS] = {0};
        for (uint64_t i = 0; i < 10 * block[mix]; i++) {
            doc_info info;
            doc_look(&w, i, &info);
            if (info.n_facts > 0)
                n[info.fact[0]]++;
        }
        for (unsigned f = 0; f < FACTS; f++)
            assert_int_equal(n[f], 10);
    }
}

static void given_plans_reach_their_goals(void **state) {
    (void)state;
    static pen p;
    for (unsigned split = 0; split < 2; split++)
        for (uint64_t i = 0; i < DOCS; i++) {
            draw d = draw_begin(11, split, i);
            plan_task task;
            unsigned level = 1 + (unsigned)(i % 3);
            err e = {0};
            plan_draw(&d, level, (world_split)split, &task);
            pen_clear(&p);
            plan_write(&p, &task);
            str text = pen_str(&p);
            assert_true(str_ends(text, STR("Done.\n")));
            text.n -= strlen("Done.\n");
            if (plan_check(&task, text, &e) != ERR_OK)
                fail_msg("%s:\n%.*s", e.text, (int)text.n, text.p);
            assert_int_not_equal(plan_check(&task, STR(""), NULL), ERR_OK);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_do_not_depend_on_each_other),
        cmocka_unit_test(facts_are_spread_evenly),
        cmocka_unit_test(given_plans_reach_their_goals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
