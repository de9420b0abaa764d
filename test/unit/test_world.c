/* world: the corpus' promises: the same bytes everywhere, splits apart, facts where the list says, plain English. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "world/doc.h"
#include "world/tell.h"

/* ---- the same bytes ---- */

/* SHA-256 over the first 600 lines of all mixes and splits of three worlds. The corpus is part of every recipe that
 * names it: when it changes on purpose, put here what the test prints. */
static const char golden[] = "0fe05b9a0e536c00c5c05f183df1105d998a002136667f272edbdbca7324522e";

static void the_corpus_is_this_one(void **state) {
    (void)state;
    static const uint64_t seeds[] = {1, 2, 0xffffffffffffffff};
    strbuf b = {0};
    err e;
    for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++)
        for (int mix = 0; mix < MIXES; mix++)
            for (unsigned split = 0; split < 2; split++)
                for (uint64_t i = 0; i < 600; i++)
                    assert_int_equal(doc_line(&(world){seeds[s], (world_mix)mix, (world_split)split}, i, &b, &e),
                                     ERR_OK);
    char hex[65];
    hash_hex(hash_of(b.p, b.n), hex);
    strbuf_fini(&b);
    assert_string_equal(hex, golden);
}

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
                assert_int_equal(ia.fact[0], ib.fact[0]);
            }
        }
    world far = {7, MIX_FULL, SPLIT_TRAIN};
    doc_make(&far, DRAW_NUMBER_MAX / 2 - 1, &a, &ia);
    assert_true(a.n > 0);
}

/* ---- facts ---- */

/* In a block every fact is the main fact of one document. */
static void facts_are_spread_evenly(void **state) {
    (void)state;
    static const unsigned block[MIXES] = {[MIX_FULL] = 480, [MIX_TINY] = 120, [MIX_SMALL] = 480, [MIX_BARE] = 480};
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

/* What a text must hold to state or ask a fact: every wording of it. */
typedef struct {
    char text[2 * FACT_WORDINGS][96];
    char answered[FACT_WORDINGS][128]; /* question, "\nA: ", answer */
} wordings;

static void write_wordings(uint64_t seed, unsigned fact, wordings *w) {
    static pen p;
    for (unsigned k = 0; k < FACT_WORDINGS; k++) {
        pen_clear(&p);
        fact_state(&p, seed, fact, k);
        snprintf(w->text[k], sizeof w->text[k], "%.*s", (int)p.n, p.text);
        pen_clear(&p);
        fact_question(&p, seed, fact, k);
        snprintf(w->text[FACT_WORDINGS + k], sizeof w->text[k], "%.*s", (int)p.n, p.text);
        pen_add(&p, "\nA: ");
        fact_answer(&p, seed, fact);
        snprintf(w->answered[k], sizeof w->answered[k], "%.*s", (int)p.n, p.text);
    }
}

static bool holds(const pen *p, const char *text) { return memmem(p->text, p->n, text, strlen(text)) != NULL; }

/* By searching the texts: a fact is stated or asked in the documents that say so, and in no other. No train document
 * asks it in the wording of the test; every wording of a relation is asked of some of its facts. */
static void facts_stand_where_the_list_says(void **state) {
    (void)state;
    enum { DOCS = 2400 };
    static wordings all[FACTS];
    static pen p;
    const uint64_t seed = 9;
    for (unsigned f = 0; f < FACTS; f++)
        write_wordings(seed, f, &all[f]);
    for (int mix = 0; mix < MIXES; mix++) {
        unsigned asked[FACT_RELATIONS][FACT_WORDINGS] = {0}, stated[FACT_RELATIONS][FACT_WORDINGS] = {0};
        world w = {seed, (world_mix)mix, SPLIT_TRAIN};
        for (uint64_t i = 0; i < DOCS; i++) {
            doc_info info;
            doc_make(&w, i, &p, &info);
            if (info.kind == DOC_FACT && memmem(p.text, p.n, "Q: ", 3))
                assert_true(holds(&p, "\nA: "));
            for (unsigned f = 0; f < FACTS; f++) {
                bool listed = false, found = false;
                for (unsigned k = 0; k < info.n_facts; k++)
                    listed |= info.fact[k] == f;
                for (unsigned k = 0; k < FACT_WORDINGS; k++) {
                    bool says = holds(&p, all[f].text[k]), asks = holds(&p, all[f].text[FACT_WORDINGS + k]);
                    found |= says || asks;
                    stated[f / FACT_SUBJECTS][k] += says;
                    asked[f / FACT_SUBJECTS][k] += asks;
                    if (asks && k == fact_test_wording(f))
                        fail_msg("document %d asks in the test's wording:\n%.*s", (int)i, (int)p.n, p.text);
                    assert_true(!asks || holds(&p, all[f].answered[k]));
                }
                if (listed != found)
                    fail_msg("document %d, fact %u: listed %d, found %d:\n%.*s", (int)i, f, listed, found, (int)p.n,
                             p.text);
            }
        }
        for (unsigned r = 0; r < FACT_RELATIONS; r++)
            for (unsigned k = 0; k < FACT_WORDINGS; k++)
                assert_true(asked[r][k] > 0 && stated[r][k] > 0);
    }
}

/* Stories and plans never name what facts are about: only fact documents hold those words. */
static void stories_know_nothing_of_facts(void **state) {
    (void)state;
    static const char *const words[] = {"Tamsin", "Pella", "Velmora", "Isk",  "lamp",
                                        "clock",  "coins", "flag",    "born", "statue"};
    static pen p;
    world w = {9, MIX_FULL, SPLIT_TRAIN};
    for (uint64_t i = 0; i < 4800; i++) {
        doc_info info;
        doc_make(&w, i, &p, &info);
        for (size_t k = 0; k < sizeof words / sizeof *words && info.kind != DOC_FACT; k++)
            assert_false(holds(&p, words[k]));
    }
}

static void worlds_have_facts_of_their_own(void **state) {
    (void)state;
    static pen a, b;
    unsigned same = 0;
    for (unsigned f = 0; f < FACTS; f++) {
        char id[FACT_ID_BYTES];
        fact_id(f, id);
        assert_true(strncmp(id, fact_relation(f), strlen(fact_relation(f))) == 0);
        pen_clear(&a);
        pen_clear(&b);
        fact_answer(&a, 1, f);
        fact_answer(&b, 2, f);
        same += str_eq(pen_str(&a), pen_str(&b));
        for (unsigned g = f / FACT_SUBJECTS * FACT_SUBJECTS; g < f; g++) { /* a permutation */
            pen_clear(&b);
            fact_answer(&b, 1, g);
            assert_false(str_eq(pen_str(&a), pen_str(&b)));
        }
    }
    assert_true(same < FACTS / 4);
}

/* ---- splits ---- */

/* Every carrying event of a story, and every goal of a plan, is of its split. */
static void splits_are_apart_by_construction(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 6000; i++) {
        world_split split = (world_split)(i & 1);
        draw d = draw_begin(i % 3, (unsigned)split, i);
        unsigned level = 1 + (unsigned)(i % 3), carried = 0;
        sim_log log;
        const char *topic = NULL;
        story_make(&d, level, split, &log, &topic);
        assert_non_null(topic);
        sim_house h = log.start;
        for (unsigned k = 0; k < log.n; k++) {
            const sim_event *ev = &log.event[k];
            if (ev->kind == EV_PUT || ev->kind == EV_GIVE || ev->kind == EV_DROP) {
                const sim_thing *t = &h.thing[ev->thing];
                assert_int_equal(
                    story_split_of(h.actor[ev->actor].who, t->noun, t->colour, h.room[h.actor[ev->actor].room]), split);
                carried++;
            }
            assert_null(sim_apply(&h, ev));
        }
        assert_true(carried > 0);
        assert_memory_equal(&h, &log.end, sizeof h);
        plan_task task;
        plan_draw(&d, level, split, &task);
        for (unsigned k = 0; k < task.n_goals; k++) {
            const plan_goal *g = &task.goal[k];
            const sim_house *s = &task.log.start;
            if (g->kind == GOAL_PUT)
                assert_int_equal(story_split_of(ROBOT, s->thing[g->thing].noun, s->thing[g->thing].colour,
                                                s->room[s->fixture[g->fixture].room]),
                                 split);
            if (g->kind == GOAL_GIVE)
                assert_int_equal(story_split_of(ROBOT, s->thing[g->thing].noun, s->thing[g->thing].colour,
                                                s->room[s->actor[g->actor].room]),
                                 split);
        }
    }
}

static unsigned tests_of(unsigned n) { /* how many of n quadruples are of the test split */
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++)
        found += story_split_of(i % 25, i / 25 % THINGS, i / 800 % COLOURS, i / 8800 % ROOMS) == SPLIT_TEST;
    return found;
}

static void an_eighth_is_for_testing(void **state) {
    (void)state;
    assert_in_range(tests_of(88000), 88000 / 8 * 97 / 100, 88000 / 8 * 103 / 100);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* And so no story or order stands in both, question or not. */
static void no_text_stands_in_both_splits(void **state) {
    (void)state;
    enum { TRAIN = 40000, TEST = 10000 };
    static pen p;
    for (int mix = 0; mix < MIXES; mix++) {
        uint64_t *train = malloc(TRAIN * sizeof *train);
        assert_non_null(train);
        size_t n = 0;
        for (unsigned split = 0; split < 2; split++)
            for (uint64_t i = 0; i < (split ? TEST : TRAIN); i++) {
                doc_info info;
                doc_make(&(world){1, (world_mix)mix, (world_split)split}, i, &p, &info);
                if (info.kind == DOC_FACT)
                    continue;
                /* before the questions or the plan; without the title */
                str text = pen_str(&p);
                ptrdiff_t end = str_find(text, STR("\nQ: "), 0);
                if (end < 0)
                    end = str_find(text, STR("\nPlan:"), 0);
                text = str_sub(text, 0, end < 0 ? text.n : (size_t)end + 1);
                if (str_starts(text, STR("The ")) && str_find(text, STR("\n"), 0) < 40)
                    text = str_sub(text, (size_t)str_find(text, STR("\n"), 0) + 1, text.n);
                uint64_t hash = str_hash(text);
                if (split == 0)
                    train[n++] = hash;
                else if (bsearch(&hash, train, n, sizeof *train, by_value))
                    fail_msg("in both splits:\n%.*s", (int)text.n, text.p);
                if (split == 0 && i == TRAIN - 1)
                    qsort(train, n, sizeof *train, by_value);
            }
        free(train);
    }
}

/* ---- English ---- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* NULL, or what is wrong with the line. */
static const char *spot_check(str s) {
    if (s.n == 0)
        return "empty";
    char first = s.p[0] == '"' ? s.p[1] : s.p[0], last = s.p[s.n - 1];
    bool title = str_starts(s, STR("The ")) && s.n < 40 && str_find(s, STR("."), 0) < 0;
    bool step = first >= '1' && first <= '9';
    if (!step && !(first >= 'A' && first <= 'Z'))
        return "no capital at the beginning";
    if (!title && !step && !str_is(s, "Plan:") && last != '.' && last != '?' && !str_ends(s, STR(".\"")))
        return "no full stop at the end";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], next = i + 1 < s.n ? s.p[i + 1] : ' ';
        if (c < ' ' || c > '~' || c == '$')
            return "a strange character";
        if (c == ' ' && (next == ' ' || next == '.' || next == ',' || next == '?' || i + 1 == s.n))
            return "a stray blank";
        if ((c == '.' || c == '?') && next != ' ' && next != '"')
            return "no blank after a full stop";
        if (c == ',' && next != ' ' && next != '"')
            return "no blank after a comma";
        if (c == '.' && !step && i + 2 < s.n && next == ' ' && s.p[i + 2] >= 'a' && s.p[i + 2] <= 'z')
            return "no capital after a full stop";
        /* words */
        if (i > 0 && (is_letter(s.p[i - 1]) || s.p[i - 1] == '\''))
            continue;
        str rest = str_sub(s, i, s.n);
        bool a = str_starts(rest, STR("a ")) || str_starts(rest, STR("A "));
        bool an = str_starts(rest, STR("an ")) || str_starts(rest, STR("An "));
        if (a || an) {
            char letter = rest.n > (size_t)(2 + an) ? rest.p[2 + an] : ' ';
            bool vowel = letter && strchr("aeiouAEIOU", letter);
            if (vowel != an)
                return "a or an";
        }
        size_t n = 0;
        while (n < rest.n && is_letter(rest.p[n]))
            n++;
        if (n > 0 && rest.n > 2 * n && rest.p[n] == ' ' && memcmp(rest.p, rest.p + n + 1, n) == 0 &&
            (rest.n == 2 * n + 1 || !is_letter(rest.p[2 * n + 1])))
            return "a word twice";
    }
    return NULL;
}

static void the_spot_check_finds_faults(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "anna was here.",
                                      "Anna was here",
                                      "Anna  was here.",
                                      "Anna was here .",
                                      "A apple was there.",
                                      "There was an ball.",
                                      "It was. then.",
                                      "Anna went to the the hall.",
                                      "Anna,Ben and I.",
                                      "An $o.",
                                      "Anna went. "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(spot_check(str_from(bad[i])));
    assert_null(spot_check(STR("\"Thank you,\" said Anna. An apple was on a table.")));
}

static void texts_are_plain_english(void **state) {
    (void)state;
    static pen p;
    for (int mix = 0; mix < MIXES; mix++)
        for (unsigned split = 0; split < 2; split++)
            for (uint64_t i = 0; i < 10000; i++) {
                doc_info info;
                doc_make(&(world){4, (world_mix)mix, (world_split)split}, i, &p, &info);
                assert_false(p.full);
                assert_in_range(p.n, 10, mix == MIX_FULL ? 2400 : 1200);
                assert_int_equal(p.text[p.n - 1], '\n');
                assert_true(info.topic && *info.topic);
                for (str rest = pen_str(&p); rest.n > 0;) {
                    size_t end = (size_t)str_find(rest, STR("\n"), 0);
                    const char *why = spot_check(str_sub(rest, 0, end));
                    if (why)
                        fail_msg("document %d: %s: %.*s", (int)i, why, (int)end, rest.p);
                    rest = str_sub(rest, end + 1, rest.n);
                }
            }
}

/* No two documents of a few thousand are equal, but for fact documents, whose wordings are few. */
static void texts_are_many(void **state) {
    (void)state;
    enum { DOCS = 20000 };
    static pen p;
    static uint64_t seen[DOCS];
    size_t n = 0, twice = 0;
    for (uint64_t i = 0; i < DOCS; i++) {
        doc_info info;
        doc_make(&(world){1, MIX_FULL, SPLIT_TRAIN}, i, &p, &info);
        if (info.kind != DOC_FACT)
            seen[n++] = str_hash(pen_str(&p));
    }
    qsort(seen, n, sizeof *seen, by_value);
    for (size_t i = 1; i < n; i++)
        twice += seen[i] == seen[i - 1];
    assert_true(twice * 1000 < n);
}

/* ---- lists ---- */

/* Does the line say this word, its capital aside? */
static bool says(str line, str word) {
    for (size_t from = 0; from < line.n;) {
        size_t end = from + strcspn(line.p + from, " .;:?\n");
        end = end < line.n ? end : line.n;
        str w = str_sub(line, from, end);
        if (w.n == word.n && w.n > 0 && (w.p[0] | 32) == (word.p[0] | 32) && memcmp(w.p + 1, word.p + 1, w.n - 1) == 0)
            return true;
        from = end + 1;
    }
    return false;
}

static bool is_small_word(str w) {
    static const char *const small[] = {"A", "The", "the", "is", "on", "in", "with"};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (str_is(w, small[i]))
            return true;
    return w.n == 0;
}

/* All that the answer says stands in the statement. */
static bool follows(str answer, str statement) {
    for (size_t from = 0; from < answer.n;) {
        size_t end = from + strcspn(answer.p + from, " .:\n");
        str w = str_sub(answer, from, end);
        if (!is_small_word(w) && !says(statement, w))
            return false;
        from = end + 1;
    }
    return true;
}

static size_t statements_for(str answer, str statements) {
    size_t n = 0;
    for (size_t from = 0; from < statements.n;) {
        size_t end = from + strcspn(statements.p + from, ".;\n");
        n += follows(answer, str_sub(statements, from, end));
        from = end + 1;
    }
    return n;
}

/* Each answer of a list follows from one of its statements and from no other one. */
static void lists_answer_what_they_say(void **state) {
    (void)state;
    static pen p;
    size_t lists = 0, answers = 0;
    for (uint64_t i = 0; i < 4800; i++) {
        doc_info info;
        doc_make(&(world){5, MIX_BARE, SPLIT_TRAIN}, i, &p, &info);
        if (info.kind != DOC_LIST)
            continue;
        lists++;
        str text = pen_str(&p);
        size_t head = (size_t)str_find(text, STR("\n"), 0) + 1;
        for (size_t from = head; from < text.n;) {
            size_t end = (size_t)str_find(text, STR("\n"), from) + 1;
            str line = str_sub(text, from, end);
            if (line.p[0] == 'A') {
                answers++;
                if (statements_for(line, str_sub(text, 0, head)) != 1)
                    fail_msg("document %d: %.*s", (int)i, (int)text.n, text.p);
            }
            from = end;
        }
    }
    assert_int_equal(lists, 10 * 156);
    assert_int_equal(answers, 5 * lists);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_corpus_is_this_one),           cmocka_unit_test(documents_do_not_depend_on_each_other),
        cmocka_unit_test(facts_are_spread_evenly),          cmocka_unit_test(facts_stand_where_the_list_says),
        cmocka_unit_test(stories_know_nothing_of_facts),    cmocka_unit_test(worlds_have_facts_of_their_own),
        cmocka_unit_test(splits_are_apart_by_construction), cmocka_unit_test(an_eighth_is_for_testing),
        cmocka_unit_test(no_text_stands_in_both_splits),    cmocka_unit_test(the_spot_check_finds_faults),
        cmocka_unit_test(texts_are_plain_english),          cmocka_unit_test(texts_are_many),
        cmocka_unit_test(lists_answer_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
