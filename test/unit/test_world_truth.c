/* world: every answer is right by a second reader of the events, every given plan works, wrong ones are refused.
 *
 * The reader shares the word lists with src/world and nothing else: it keeps the whole history as plain tables, one
 * row an event, and answers by looking through them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world/quiz.h"

/* ---- the second reader ---- */

typedef struct {
    char kind; /* 'f' fixture, 'a' actor, 'g' floor, 'x' gone */
    int at;
} spot;

/* Row i is before event i, row n after all. */
typedef struct {
    const sim_log *log;
    int n;
    int room[SIM_EVENTS_MAX + 1][SIM_ACTORS_MAX];
    spot spot[SIM_EVENTS_MAX + 1][SIM_THINGS_MAX];
    int colour[SIM_EVENTS_MAX + 1][SIM_THINGS_MAX];
    int open[SIM_EVENTS_MAX + 1][SIM_FIXTURES_MAX];
} reader;

static void read_row(reader *r, int i) {
    const sim_event *e = &r->log->event[i];
    memcpy(r->room[i + 1], r->room[i], sizeof r->room[i]);
    memcpy(r->spot[i + 1], r->spot[i], sizeof r->spot[i]);
    memcpy(r->colour[i + 1], r->colour[i], sizeof r->colour[i]);
    memcpy(r->open[i + 1], r->open[i], sizeof r->open[i]);
    int *room = r->room[i + 1];
    spot *x = e->thing == SIM_NONE ? NULL : &r->spot[i + 1][e->thing];
    if (e->kind == EV_GO) {
        room[e->actor] = e->room;
        if (e->other != SIM_NONE)
            room[e->other] = e->room;
    } else if (e->kind == EV_TAKE)
        *x = (spot){'a', e->actor};
    else if (e->kind == EV_PUT)
        *x = (spot){'f', e->fixture};
    else if (e->kind == EV_GIVE)
        *x = (spot){'a', e->other};
    else if (e->kind == EV_DROP)
        *x = (spot){'g', room[e->actor]};
    else if (e->kind == EV_EAT)
        *x = (spot){'x', 0};
    else if (e->kind == EV_PAINT)
        r->colour[i + 1][e->thing] = e->colour;
    else if (e->kind == EV_OPEN || e->kind == EV_CLOSE)
        r->open[i + 1][e->fixture] = e->kind == EV_OPEN;
}

static void read_log(reader *r, const sim_log *log) {
    memset(r, 0, sizeof *r);
    r->log = log;
    r->n = log->n;
    for (int a = 0; a < log->start.n_actors; a++)
        r->room[0][a] = log->start.actor[a].room;
    for (int t = 0; t < log->start.n_things; t++) {
        r->spot[0][t] = (spot){"fagx"[log->start.thing[t].where], log -> start.thing[t].at};
        r->colour[0][t] = log->start.thing[t].colour;
    }
    for (int f = 0; f < log->start.n_fixtures; f++)
        r->open[0][f] = log->start.fixture[f].open;
    for (int i = 0; i < log->n; i++)
        read_row(r, i);
}

typedef char text[160];
typedef char long_text[200]; /* room for a text and a word before it */

static const char *actor_name(const reader *r, int a) {
    int who = r->log->start.actor[a].who;
    return who == ROBOT ? "the robot" : word_people[who].name;
}
static const char *fixture_name(const reader *r, int f) { return word_fixtures[r->log->start.fixture[f].noun].name; }
static const char *room_name(const reader *r, int i) { return word_rooms[r->log->start.room[i]].name; }
static const char *colour_name(const reader *r, int row, int t) { return word_colours[r->colour[row][t]]; }
static const char *noun(const reader *r, int t) { return word_things[r->log->start.thing[t].noun].name; }

static void spot_text(const reader *r, spot s, text out) {
    if (s.kind == 'f')
        snprintf(out, sizeof(text), "%s the %s", word_fixtures[r->log->start.fixture[s.at].noun].prep,
                 fixture_name(r, s.at));
    else if (s.kind == 'a')
        snprintf(out, sizeof(text), "with %s", actor_name(r, s.at));
    else
        snprintf(out, sizeof(text), "%s", s.kind == 'g' ? "on the floor" : "nowhere");
}

static int room_of_spot(const reader *r, int row, spot s) {
    return s.kind == 'f' ? r->log->start.fixture[s.at].room : s.kind == 'a' ? r->room[row][s.at] : s.at;
}

static int count_spot(const reader *r, int row, char kind, int at) {
    int n = 0;
    for (int t = 0; t < r->log->start.n_things; t++)
        n += r->spot[row][t].kind == kind && r->spot[row][t].at == at;
    return n;
}

/* "took the red ball" */
static void act_text(const reader *r, int i, text out) {
    const sim_event *e = &r->log->event[i];
    char thing[48] = "";
    if (e->thing != SIM_NONE)
        snprintf(thing, sizeof thing, "the %s %s", colour_name(r, i, e->thing), noun(r, e->thing));
    switch (e->kind) {
    case EV_GO:
        snprintf(out, sizeof(text), "went to the %s", room_name(r, e->room));
        break;
    case EV_TAKE:
        snprintf(out, sizeof(text), "took %s", thing);
        break;
    case EV_PUT:
        snprintf(out, sizeof(text), "put %s %s the %s", thing,
                 word_fixtures[r->log->start.fixture[e->fixture].noun].prep, fixture_name(r, e->fixture));
        break;
    case EV_DROP:
        snprintf(out, sizeof(text), "dropped %s", thing);
        break;
    case EV_GIVE:
        snprintf(out, sizeof(text), "gave %s to %s", thing, actor_name(r, e->other));
        break;
    case EV_OPEN:
    case EV_CLOSE:
        snprintf(out, sizeof(text), "%s the %s", e->kind == EV_OPEN ? "opened" : "closed", fixture_name(r, e->fixture));
        break;
    case EV_PAINT:
        snprintf(out, sizeof(text), "painted %s %s", thing, word_colours[e->colour]);
        break;
    case EV_EAT:
        snprintf(out, sizeof(text), "ate %s", thing);
        break;
    default:
        snprintf(out, sizeof(text), "?");
    }
}

/* The only thing at a place, as text. */
static void only_text(const reader *r, char kind, int at, text out) {
    assert_int_equal(count_spot(r, r->n, kind, at), 1);
    for (int t = 0; t < r->log->start.n_things; t++)
        if (r->spot[r->n][t].kind == kind && r->spot[r->n][t].at == at)
            snprintf(out, sizeof(text), "the %s %s", colour_name(r, r->n, t), noun(r, t));
}

static const char *const count_words[] = {"none", "one", "two",   "three", "four",
                                          "five", "six", "seven", "eight", "nine"};

/* What the events say, without a capital and a full stop. */
static void second_answer(const reader *r, const question *q, long_text out) {
    const sim_event *e = &r->log->event[q->of]; /* for questions about events */
    text s;
    switch ((ask_type)q->type) {
    case ASK_where:
        spot_text(r, r->spot[r->n][q->of], out);
        return;
    case ASK_first:
        spot_text(r, r->spot[0][q->of], out);
        return;
    case ASK_actor:
        snprintf(out, sizeof(text), "in the %s", room_name(r, r->room[r->n][q->of]));
        return;
    case ASK_has:
        assert_int_equal(r->spot[r->n][q->of].kind, 'a');
        snprintf(out, sizeof(text), "%s", actor_name(r, r->spot[r->n][q->of].at));
        return;
    case ASK_colour:
        snprintf(out, sizeof(text), "%s", colour_name(r, r->n, q->of));
        return;
    case ASK_room:
        snprintf(out, sizeof(text), "in the %s", room_name(r, room_of_spot(r, r->n, r->spot[r->n][q->of])));
        return;
    case ASK_who_did: { /* the one who did it, and nobody else did */
        text other;
        act_text(r, q->of, s);
        snprintf(out, sizeof(text), "%s", actor_name(r, e->actor));
        for (int i = 0; i < r->n; i++) {
            act_text(r, i, other);
            assert_true(i == q->of || strcmp(s, other) != 0);
        }
        return;
    }
    case ASK_gave_to:
        snprintf(out, sizeof(text), "%s", actor_name(r, e->other));
        for (int i = 0; i < r->n; i++)
            assert_true(i == q->of || r->log->event[i].kind != EV_GIVE || r->log->event[i].actor != e->actor ||
                        r->log->event[i].thing != e->thing);
        return;
    case ASK_what_at:
        only_text(r, 'f', q->of, out);
        return;
    case ASK_what_has:
        only_text(r, 'a', q->of, out);
        return;
    case ASK_who_in: {
        int n = 0;
        for (int a = 0; a < r->log->start.n_actors; a++)
            if (r->room[r->n][a] == q->of) {
                snprintf(out, sizeof(text), "%s", actor_name(r, a));
                n++;
            }
        assert_int_equal(n, 1);
        return;
    }
    case ASK_count_at:
        snprintf(out, sizeof(text), "%s", count_words[count_spot(r, r->n, 'f', q->of)]);
        return;
    case ASK_count_held:
        snprintf(out, sizeof(text), "%s", count_words[count_spot(r, r->n, 'a', q->of)]);
        return;
    case ASK_was_before: { /* he came to that room once */
        int n = 0;
        for (int i = 0; i < r->n; i++)
            if (r->room[i][e->actor] != r->room[i + 1][e->actor] && r->room[i + 1][e->actor] == e->room) {
                snprintf(out, sizeof(text), "in the %s", room_name(r, r->room[i][e->actor]));
                n++;
            }
        assert_int_equal(n, 1);
        return;
    }
    case ASK_did_after:
    case ASK_did_before: { /* the act that was asked about happened once */
        int step = q->type == ASK_did_after ? 1 : -1, i = q->of;
        text other;
        act_text(r, q->of, s);
        for (int k = 0; k < r->n; k++) {
            act_text(r, k, other);
            assert_true(k == q->of || r->log->event[k].actor != e->actor || strcmp(s, other) != 0);
        }
        do {
            i += step;
            assert_in_range(i, 0, r->n - 1);
        } while (r->log->event[i].actor != e->actor &&
                 !(r->log->event[i].kind == EV_GO && r->log->event[i].other == e->actor));
        assert_int_equal(r->log->event[i].actor, e->actor);
        act_text(r, i, s);
        snprintf(out, sizeof(long_text), "%s %s",
                 r->log->start.actor[e->actor].who == ROBOT           ? "it"
                 : word_people[r->log->start.actor[e->actor].who].she ? "she"
                                                                      : "he",
                 s);
        return;
    }
    case ASK_is_open:
        snprintf(out, sizeof(text), "%s", r->open[r->n][q->of] ? "yes" : "no");
        return;
    case ASK_is_in:
        snprintf(out, sizeof(text), "%s", r->room[r->n][q->of] == q->room ? "yes" : "no");
        return;
    case ASK_why: {
        const sim_event *wish = e - 1;
        assert_int_equal(wish->kind, EV_WANT);
        assert_int_equal(wish->actor, e->actor);
        assert_int_equal(room_of_spot(r, q->of, r->spot[q->of][wish->thing]), e->room);
        snprintf(out, sizeof(text), "to get the %s %s", colour_name(r, q->of, wish->thing), noun(r, wish->thing));
        return;
    }
    case ASK_N:
        break;
    }
    fail_msg("question type %d has no second answer", q->type);
}

/* ---- answers ---- */

enum { STORIES = 12000 };

static void answers_are_right_by_a_second_reader(void **state) {
    (void)state;
    static pen p;
    static reader r;
    unsigned asked[ASK_N] = {0};
    for (uint64_t i = 0; i < STORIES; i++) {
        draw d = draw_begin(5, (unsigned)(i & 1), i);
        unsigned level = 1 + (unsigned)(i % 3);
        sim_log log;
        const char *topic;
        story_make(&d, level, (world_split)(i & 1), &log, &topic);
        read_log(&r, &log);
        /* The simulator's end is the reader's. */
        for (int t = 0; t < log.end.n_things; t++) {
            assert_int_equal("fagx"[log.end.thing[t].where], r.spot[r.n][t].kind);
            assert_true(r.spot[r.n][t].kind == 'x' || log.end.thing[t].at == r.spot[r.n][t].at);
        }
        for (int k = 0; k < 8; k++) {
            question q;
            if (!ask_draw(&d, &log, level, &q))
                continue;
            assert_true(ask_valid(&log, q.type, q.of));
            pen_clear(&p);
            ask_answer(&p, &log, &q);
            long_text want, got;
            second_answer(&r, &q, want);
            assert_in_range(p.n, 2, sizeof got - 1);
            assert_int_equal(p.text[p.n - 1], '.');
            memcpy(got, p.text, p.n - 1);
            got[p.n - 1] = 0;
            if (want[0] >= 'a' && want[0] <= 'z')
                want[0] = (char)(want[0] - 'a' + 'A');
            if (strcmp(got, want) != 0) {
                pen_clear(&p);
                ask_question(&p, &log, &q);
                fail_msg("story %d, %.*s: \"%s\", and by the second reader \"%s\"", (int)i, (int)p.n, p.text, got,
                         want);
            }
            assert_in_range(ask_choices(&log, &q), 1, SIM_EVENTS_MAX);
            asked[q.type]++;
        }
    }
    for (int t = 0; t < ASK_N; t++)
        if (asked[t] < 100)
            fail_msg("only %u questions of type %s", asked[t], ask_names[t]);
}

/* ---- plans ---- */

enum { PLAN_DOCS = 100000 };

static void given_plans_reach_their_goals(void **state) {
    (void)state;
    static pen p;
    for (uint64_t i = 0; i < PLAN_DOCS; i++) {
        draw d = draw_begin(11, (unsigned)(i % 8 == 0), i);
        plan_task task;
        err e = {0};
        plan_draw(&d, 1 + (unsigned)(i % 3), (world_split)(i % 8 == 0), &task);
        pen_clear(&p);
        plan_write(&p, &task);
        str plan = pen_str(&p);
        assert_true(str_ends(plan, STR("Done.\n")));
        plan.n -= strlen("Done.\n");
        if (plan_check(&task, plan, &e) != ERR_OK)
            fail_msg("%s:\n%.*s", e.text, (int)plan.n, plan.p);
    }
}

/* Without its last step a plan misses its goal, without its first it cannot be carried out or misses it too: plans of
 * documents have no step too many. */
static void shortened_plans_are_refused(void **state) {
    (void)state;
    static pen p;
    for (uint64_t i = 0; i < 3000; i++) {
        draw d = draw_begin(12, 0, i);
        plan_task task;
        plan_draw(&d, 1 + (unsigned)(i % 3), SPLIT_TRAIN, &task);
        pen_clear(&p);
        plan_write(&p, &task);
        str plan = pen_str(&p);
        plan.n -= strlen("Done.\n");
        assert_int_not_equal(plan_check(&task, STR(""), NULL), ERR_OK);
        size_t last = plan.n - 1;
        while (last > 0 && plan.p[last - 1] != '\n')
            last--;
        assert_int_not_equal(plan_check(&task, str_sub(plan, 0, last), NULL), ERR_OK);
        /* the steps moved up by one */
        char moved_up[PEN_BYTES_MAX];
        size_t n = 0;
        int step = 0;
        for (size_t at = 0; at < plan.n;) {
            size_t end = at;
            while (plan.p[end] != '\n')
                end++;
            const char *words = memchr(plan.p + at, '.', end - at);
            if (step > 0)
                n += (size_t)snprintf(moved_up + n, sizeof moved_up - n, "%d%.*s\n", step, (int)(plan.p + end - words),
                                      words);
            step++;
            at = end + 1;
        }
        assert_int_not_equal(plan_check(&task, (str){moved_up, n}, NULL), ERR_OK);
    }
}

/* The hall has the robot, Anna and a closed box; the study a table with a red ball and a heater. */
static plan_task small_task(void) {
    plan_task t = {.robot = 0, .n_goals = 1, .topic = "put"};
    sim_house *h = &t.log.start;
    *h = (sim_house){.n_rooms = 2, .n_fixtures = 3, .n_actors = 2, .n_things = 2, .room = {1, 2}};
    h->actor[0] = (sim_actor){ROBOT, 0};
    h->actor[1] = (sim_actor){0, 0};
    h->fixture[0] = (sim_fixture){14, 0, false, false};
    h->fixture[1] = (sim_fixture){0, 1, true, false};
    h->fixture[2] = (sim_fixture){21, 1, true, false};
    h->thing[0] = (sim_thing){0, 0, AT_FIXTURE, 1, false};
    h->thing[1] = (sim_thing){9, 1, AT_FIXTURE, 1, false};
    t.goal[0] = (plan_goal){GOAL_PUT, 0, 0, SIM_NONE, SIM_NONE};
    return t;
}

static void plans_are_read_strictly(void **state) {
    (void)state;
    static const struct {
        const char *plan, *why; /* NULL: right */
    } cases[] = {
        {"1. go to the study\n2. take the red ball\n3. go to the hall\n4. open the box\n5. put the red ball in the "
         "box\n",
         NULL},
        {"1. open the box\n2. go to the study\n3. take the red ball\n4. go to the hall\n5. put the red ball in the box",
         NULL},
        {"\n 1.  go to the study.\r\n2. take the red ball. \n\n3. go to the hall\n4. open the box\n5. put the red ball "
         "in the box\n",
         NULL},
        {"1. turn on the heater\n", "not in this room"},
        {"1. go to the study\n2. turn on the heater\n3. turn off the heater\n4. take the red ball\n5. go to the "
         "hall\n6. open the box\n7. put the red ball in the box",
         NULL},
        {"", "not reached"},
        {"go to the study", "does not begin with \"1. \""},
        {"2. go to the study", "does not begin with \"1. \""},
        {"1. go to the study\n1. take the red ball", "does not begin with \"2. \""},
        {"1 go to the study", "does not begin"},
        {"01. go to the hall", "already in that room"},
        {"1. go to the garden", "no such room"},
        {"1. go to study", "no such room"},
        {"1. go to the studyroom", "no such room"},
        {"1. walk to the study", "not a step"},
        {"1. ", "not a step"},
        {"1. go to the hall", "already"},
        {"1. take the red ball", "not in this room"},
        {"1. go to the study\n2. take the blue ball", "no such thing"},
        {"1. go to the study\n2. take the red cup", "no such thing"},
        {"1. go to the study\n2. take the red ball\n3. take the blue cup", "hand is not free"},
        {"1. go to the study\n2. take the red ball now", "words after"},
        {"1. go to the study\n2. take the red ball\n3. put the red ball in the table", "no such place"},
        {"1. go to the study\n2. take the red ball\n3. put the red ball on the heater", "no such place"},
        {"1. go to the study\n2. take the red ball\n3. go to the hall\n4. put the red ball in the box", "closed"},
        {"1. open the table", "not in this room"},
        {"1. close the box", "closed already"},
        {"1. go to the study\n2. open the heater", "cannot be opened"},
        {"1. go to the study\n2. take the red ball\n3. give the red ball to Anna", "not in this room"},
        {"1. go to the study\n2. take the red ball\n3. give the red ball to Ben", "no such person"},
        {"1. go to the study\n2. take the red ball\n3. go to the hall\n4. give the red ball to Anna", "goal 1 of 1"},
        {"1. go to the study\n2. take the red ball\n3. wash the red ball", "no sink"},
        {"1. put the red ball in the box", "not in hand"},
        {"Done.", "does not begin"},
        {"99999999999999999999. go to the study", "does not begin"},
        {"1.", "not a step"},
    };
    plan_task t = small_task();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err e = {0};
        err_code code = plan_check(&t, str_from(cases[i].plan), &e);
        if (!cases[i].why && code != ERR_OK)
            fail_msg("%s:\n%s", e.text, cases[i].plan);
        if (cases[i].why && (code == ERR_OK || !strstr(e.text, cases[i].why)))
            fail_msg("\"%s\" where \"%s\" belongs:\n%s", e.text, cases[i].why, cases[i].plan);
    }
    char *many = malloc(PLAN_BYTES_MAX + 1);
    assert_non_null(many);
    memset(many, '1', PLAN_BYTES_MAX + 1);
    assert_int_equal(plan_check(&t, (str){many, PLAN_BYTES_MAX + 1}, NULL), ERR_LIMIT);
    size_t n = 0;
    for (int i = 1; i <= PLAN_STEPS_MAX + 1; i++)
        n += (size_t)snprintf(many + n, PLAN_BYTES_MAX - n, "%d. go to the %s\n", i, i % 2 ? "study" : "hall");
    assert_int_equal(plan_check(&t, (str){many, n}, NULL), ERR_LIMIT);
    free(many);
}

/* ---- the quiz ---- */

static void right_answers_are_right_and_others_wrong(void **state) {
    (void)state;
    static quiz_item q, other;
    for (int mix = 0; mix < MIXES; mix++)
        for (int k = 0; k < QUIZ_KINDS; k++) {
            unsigned same = 0;
            double chance = 0;
            world w = {1, (world_mix)mix, SPLIT_TEST};
            for (uint64_t i = 0; i < 300; i++) {
                err why = {0};
                quiz_make(&w, (quiz_kind)k, i, &q);
                str want = pen_str(&q.want);
                if (k == QUIZ_PLANS)
                    want.n -= strlen("Done.\n");
                if (!quiz_right(&q, want, &why))
                    fail_msg("%s: %s", q.id, why.text);
                assert_true(str_ends(pen_str(&q.prompt), k == QUIZ_PLANS ? STR("\nPlan:\n") : STR("\nA:")));
                assert_false(quiz_right(&q, STR(""), &why));
                assert_false(quiz_right(&q, STR(" The green cheese."), NULL));
                quiz_make(&w, (quiz_kind)k, i + 1, &other);
                same += quiz_right(&q, pen_str(&other.want), NULL);
                chance += q.chance;
            }
            assert_true(same < 120); /* an answer to another question is rarely right */
            assert_true(chance / 300 < 0.5 && (k == QUIZ_PLANS) == (chance == 0));
        }
    quiz_make(&(world){1, MIX_FULL, SPLIT_TEST}, QUIZ_FACTS, 0, &q);
    char loud[64];
    int n = snprintf(loud, sizeof loud, "  %.*s \n", (int)q.want.n, q.want.text);
    for (int i = 0; i < n; i++)
        loud[i] = (char)(loud[i] >= 'a' && loud[i] <= 'z' ? loud[i] - 'a' + 'A' : loud[i]);
    assert_true(quiz_right(&q, (str){loud, (size_t)n}, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_right_by_a_second_reader),
        cmocka_unit_test(given_plans_reach_their_goals),
        cmocka_unit_test(shortened_plans_are_refused),
        cmocka_unit_test(plans_are_read_strictly),
        cmocka_unit_test(right_answers_are_right_and_others_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
