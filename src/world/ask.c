/* ask: the table of question types; see ask.h. */
#include "world/ask.h"

#include <string.h>

#include "world/say.h"

typedef enum { ABOUT_THING, ABOUT_ACTOR, ABOUT_FIXTURE, ABOUT_ROOM, ABOUT_EVENT } about;

const char *const ask_names[ASK_N] = {
#define X(name) #name,
    ASK_TYPES(X)
#undef X
};

static void house_before(const sim_log *log, unsigned event, sim_house *h) {
    *h = log->start;
    for (unsigned i = 0; i < event; i++)
        sim_apply(h, &log->event[i]);
}

/* ---- which questions have one answer ---- */

static bool is_painted(const sim_log *log, uint8_t thing) {
    for (unsigned i = 0; i < log->n; i++)
        if (log->event[i].kind == EV_PAINT && log->event[i].thing == thing)
            return true;
    return false;
}

static bool has_moved(const sim_log *log, uint8_t thing) {
    for (unsigned i = 0; i < log->n; i++)
        if (log->event[i].kind < EV_ACTS && log->event[i].thing == thing)
            return true;
    return false;
}

static bool exists(const sim_log *log, uint8_t t) { return log->end.thing[t].where != AT_NOWHERE; }
static bool valid_where(const sim_log *log, uint8_t t) { return exists(log, t); }
static bool valid_has(const sim_log *log, uint8_t t) { return log->end.thing[t].where == AT_ACTOR; }
static bool valid_colour(const sim_log *log, uint8_t t) { return sim_noun_unique(&log->end, t); }
static bool valid_actor(const sim_log *log, uint8_t a) {
    (void)log;
    (void)a;
    return true;
}

static bool same_act(const sim_event *a, const sim_event *b) {
    return a->kind == b->kind && a->thing == b->thing && a->fixture == b->fixture && a->other == b->other &&
           a->room == b->room;
}

/* An act with a thing or a fixture that no other event equals, whoever did that. */
static bool valid_who_did(const sim_log *log, uint8_t e) {
    const sim_event *ev = &log->event[e];
    if (ev->kind >= EV_ACTS || ev->kind == EV_GO || ev->kind == EV_WASH ||
        (ev->thing != SIM_NONE && ev->kind != EV_PAINT && is_painted(log, ev->thing)))
        return false;
    for (unsigned i = 0; i < log->n; i++)
        if (i != e && same_act(&log->event[i], ev))
            return false;
    return true;
}

static bool valid_gave_to(const sim_log *log, uint8_t e) {
    const sim_event *ev = &log->event[e];
    if (ev->kind != EV_GIVE || is_painted(log, ev->thing))
        return false;
    for (unsigned i = 0; i < log->n; i++)
        if (i != e && log->event[i].kind == EV_GIVE && log->event[i].actor == ev->actor &&
            log->event[i].thing == ev->thing)
            return false;
    return true;
}

static bool valid_what_at(const sim_log *log, uint8_t f) {
    return word_fixtures[log->end.fixture[f].noun].prep && sim_count_at(&log->end, AT_FIXTURE, f) == 1;
}

static bool valid_what_has(const sim_log *log, uint8_t a) { return sim_count_at(&log->end, AT_ACTOR, a) == 1; }

static uint8_t only_actor_in(const sim_log *log, uint8_t room) {
    uint8_t found = SIM_NONE;
    for (uint8_t a = 0; a < log->end.n_actors; a++)
        if (log->end.actor[a].room == room) {
            if (found != SIM_NONE)
                return SIM_NONE;
            found = a;
        }
    return found;
}

static bool valid_who_in(const sim_log *log, uint8_t r) { return only_actor_in(log, r) != SIM_NONE; }

/* Nothing has to be inferred from silence: something is or was there. */
static bool valid_count_at(const sim_log *log, uint8_t f) {
    return word_fixtures[log->end.fixture[f].noun].prep &&
           (sim_count_at(&log->end, AT_FIXTURE, f) > 0 || sim_count_at(&log->start, AT_FIXTURE, f) > 0);
}

static bool valid_count_held(const sim_log *log, uint8_t a) {
    if (sim_count_at(&log->end, AT_ACTOR, a) > 0 || sim_count_at(&log->start, AT_ACTOR, a) > 0)
        return true;
    for (unsigned i = 0; i < log->n; i++)
        if (log->event[i].kind == EV_TAKE && log->event[i].actor == a)
            return true;
    return false;
}

static bool valid_first(const sim_log *log, uint8_t t) {
    return log->start.thing[t].where == AT_FIXTURE && has_moved(log, t) && !is_painted(log, t);
}

static bool goes(const sim_event *ev, uint8_t a) { return ev->kind == EV_GO && (ev->actor == a || ev->other == a); }

/* The only time its actor goes to that room. */
static bool valid_was_before(const sim_log *log, uint8_t e) {
    const sim_event *ev = &log->event[e];
    if (ev->kind != EV_GO)
        return false;
    for (unsigned i = 0; i < log->n; i++)
        if (i != e && goes(&log->event[i], ev->actor) && log->event[i].room == ev->room)
            return false;
    return true;
}

/* An act that its actor does once, alone. */
static bool once_alone(const sim_log *log, unsigned e) {
    const sim_event *ev = &log->event[e];
    if (ev->kind >= EV_ACTS || ev->kind == EV_WASH || (ev->kind == EV_GO && ev->other != SIM_NONE) ||
        (ev->thing != SIM_NONE && is_painted(log, ev->thing)))
        return false;
    for (unsigned i = 0; i < log->n; i++) {
        const sim_event *x = &log->event[i];
        bool again =
            ev->kind == EV_GO ? goes(x, ev->actor) && x->room == ev->room : x->actor == ev->actor && same_act(x, ev);
        if (i != e && again)
            return false;
    }
    return true;
}

/* The event that the same actor does next (step 1) or did last (step -1), when that is an act done alone. */
static int neighbour(const sim_log *log, unsigned e, int step) {
    const sim_event *ev = &log->event[e];
    for (int i = (int)e + step; i >= 0 && i < log->n; i += step) {
        const sim_event *x = &log->event[i];
        if (x->kind == EV_GO && x->other == ev->actor)
            return -1;
        if (x->actor != ev->actor)
            continue;
        bool alone = x->kind < EV_ACTS && x->kind != EV_WASH && !(x->kind == EV_GO && x->other != SIM_NONE) &&
                     !(x->thing != SIM_NONE && is_painted(log, x->thing));
        return alone ? i : -1;
    }
    return -1;
}

static bool valid_did_after(const sim_log *log, uint8_t e) { return once_alone(log, e) && neighbour(log, e, 1) >= 0; }
static bool valid_did_before(const sim_log *log, uint8_t e) { return once_alone(log, e) && neighbour(log, e, -1) >= 0; }

static bool valid_is_open(const sim_log *log, uint8_t f) {
    for (unsigned i = 0; i < log->n; i++)
        if ((log->event[i].kind == EV_OPEN || log->event[i].kind == EV_CLOSE) && log->event[i].fixture == f)
            return true;
    return false;
}

/* Going right after the wish for a thing that is there. */
static bool valid_why(const sim_log *log, uint8_t e) {
    if (e == 0 || log->event[e - 1].kind != EV_WANT || log->event[e - 1].actor != log->event[e].actor ||
        !valid_was_before(log, e) || log->event[e].other != SIM_NONE || is_painted(log, log->event[e - 1].thing))
        return false;
    sim_house h;
    house_before(log, e, &h);
    return sim_room_of(&h, log->event[e - 1].thing) == log->event[e].room;
}

/* ---- answers ---- */

static void answer_where(pen *p, const sim_log *log, const question *q) { say_place(p, &log->end, q->of); }
static void answer_actor(pen *p, const sim_log *log, const question *q) {
    say_in_room(p, &log->end, log->end.actor[q->of].room);
}
static void answer_has(pen *p, const sim_log *log, const question *q) {
    say_actor(p, &log->end, log->end.thing[q->of].at);
}
static void answer_colour(pen *p, const sim_log *log, const question *q) {
    pen_word(p, word_colours[log->end.thing[q->of].colour]);
}
static void answer_room(pen *p, const sim_log *log, const question *q) {
    say_in_room(p, &log->end, sim_room_of(&log->end, q->of));
}
static void answer_who_did(pen *p, const sim_log *log, const question *q) {
    say_actor(p, &log->end, log->event[q->of].actor);
}
static void answer_gave_to(pen *p, const sim_log *log, const question *q) {
    say_actor(p, &log->end, log->event[q->of].other);
}

static void only_thing(pen *p, const sim_log *log, sim_where where, uint8_t at) {
    for (uint8_t t = 0; t < log->end.n_things; t++)
        if (log->end.thing[t].where == where && log->end.thing[t].at == at)
            say_thing(p, &log->end, t);
}
static void answer_what_at(pen *p, const sim_log *log, const question *q) { only_thing(p, log, AT_FIXTURE, q->of); }
static void answer_what_has(pen *p, const sim_log *log, const question *q) { only_thing(p, log, AT_ACTOR, q->of); }
static void answer_who_in(pen *p, const sim_log *log, const question *q) {
    say_actor(p, &log->end, only_actor_in(log, q->of));
}
static void answer_count_at(pen *p, const sim_log *log, const question *q) {
    pen_word(p, word_numbers[sim_count_at(&log->end, AT_FIXTURE, q->of)]);
}
static void answer_count_held(pen *p, const sim_log *log, const question *q) {
    pen_word(p, word_numbers[sim_count_at(&log->end, AT_ACTOR, q->of)]);
}
static void answer_first(pen *p, const sim_log *log, const question *q) { say_place(p, &log->start, q->of); }
static void answer_was_before(pen *p, const sim_log *log, const question *q) {
    sim_house h;
    house_before(log, q->of, &h);
    say_in_room(p, &h, h.actor[log->event[q->of].actor].room);
}
static void answer_did(pen *p, const sim_log *log, const question *q) {
    int e = neighbour(log, q->of, q->type == ASK_did_after ? 1 : -1);
    if (e < 0)
        return; /* ask_valid() says so */
    sim_house h;
    house_before(log, (unsigned)e, &h);
    pen_word(p, say_pronoun(&h, log->event[e].actor));
    say_act(p, &h, &log->event[e]);
}
static void answer_is_open(pen *p, const sim_log *log, const question *q) {
    pen_word(p, log->end.fixture[q->of].open ? "yes" : "no");
}
static void answer_is_in(pen *p, const sim_log *log, const question *q) {
    pen_word(p, log->end.actor[q->of].room == q->room ? "yes" : "no");
}
static void answer_why(pen *p, const sim_log *log, const question *q) {
    pen_word(p, "to get");
    say_thing(p, &log->start, log->event[q->of - 1].thing);
}

/* ---- how many answers there are to choose from ---- */

static unsigned choose_places(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_fixtures + log->end.n_actors;
}
static unsigned choose_fixtures(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_fixtures;
}
static unsigned choose_rooms(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_rooms;
}
static unsigned choose_other_rooms(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_rooms - 1u;
}
static unsigned choose_actors(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_actors;
}
static unsigned choose_others(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_actors - 1u;
}
static unsigned choose_things(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_things;
}
static unsigned choose_colours(const sim_log *log, const question *q) {
    (void)q;
    unsigned seen = 0, n = 0;
    for (uint8_t t = 0; t < log->end.n_things; t++)
        seen |= 1u << log->end.thing[t].colour;
    for (; seen; seen &= seen - 1)
        n++;
    return n;
}
static unsigned choose_numbers(const sim_log *log, const question *q) {
    (void)q;
    return log->end.n_things + 1u;
}
static unsigned choose_acts(const sim_log *log, const question *q) {
    unsigned n = 0;
    for (unsigned i = 0; i < log->n; i++)
        n += i != q->of && log->event[i].actor == log->event[q->of].actor && log->event[i].kind < EV_ACTS;
    return n;
}
static unsigned choose_yes_no(const sim_log *log, const question *q) {
    (void)log;
    (void)q;
    return 2;
}

/* ---- the table ----
 *
 * In wordings: $t the thing, $n its noun alone, $a the actor, $f the fixture, $F at the fixture, $r the room, $i in the
 * room, $s the actor's pronoun, $v what was done. Of an event: its thing, actor, room. */
enum { WORDINGS = 3 };
typedef struct {
    about about;
    uint8_t weight[4]; /* by level */
    bool (*valid)(const sim_log *log, uint8_t of);
    void (*answer)(pen *p, const sim_log *log, const question *q);
    unsigned (*choices)(const sim_log *log, const question *q);
    const char *wording[WORDINGS]; /* the first is the usual one; NULL: there are fewer */
} row;

static const row rows[ASK_N] = {
    [ASK_where] = {ABOUT_THING,
                   {0, 50, 20, 14},
                   valid_where,
                   answer_where,
                   choose_places,
                   {"where is$t?", "where is$t now?", "where can$t be found?"}},
    [ASK_actor] = {ABOUT_ACTOR,
                   {0, 25, 10, 8},
                   valid_actor,
                   answer_actor,
                   choose_rooms,
                   {"where is$a?", "where is$a now?", "which room is$a in?"}},
    [ASK_has] =
        {ABOUT_THING, {0, 20, 9, 7}, valid_has, answer_has, choose_actors, {"who has$t?", "who is holding$t?", 0}},
    [ASK_colour] = {ABOUT_THING,
                    {0, 15, 6, 5},
                    valid_colour,
                    answer_colour,
                    choose_colours,
                    {"what colour is$n?", "what is the colour of$n?", 0}},
    [ASK_room] = {ABOUT_THING,
                  {0, 4, 10, 10},
                  valid_where,
                  answer_room,
                  choose_rooms,
                  {"which room is$t in?", "in which room is$t?", 0}},
    [ASK_who_did] = {ABOUT_EVENT, {0, 5, 10, 9}, valid_who_did, answer_who_did, choose_actors, {"who$v?", 0, 0}},
    [ASK_gave_to] = {ABOUT_EVENT,
                     {0, 4, 6, 6},
                     valid_gave_to,
                     answer_gave_to,
                     choose_others,
                     {"who did$a give$t to?", "who got$t from$a?", 0}},
    [ASK_what_at] = {ABOUT_FIXTURE, {0, 0, 5, 5}, valid_what_at, answer_what_at, choose_things, {"what is$F?", 0, 0}},
    [ASK_what_has] = {ABOUT_ACTOR,
                      {0, 0, 4, 4},
                      valid_what_has,
                      answer_what_has,
                      choose_things,
                      {"what does$a have?", "what is$a holding?", 0}},
    [ASK_who_in] = {ABOUT_ROOM, {0, 0, 4, 4}, valid_who_in, answer_who_in, choose_actors, {"who is$i?", 0, 0}},
    [ASK_count_at] = {ABOUT_FIXTURE,
                      {0, 0, 4, 5},
                      valid_count_at,
                      answer_count_at,
                      choose_numbers,
                      {"how many things are$F?", 0, 0}},
    [ASK_count_held] = {ABOUT_ACTOR,
                        {0, 0, 3, 4},
                        valid_count_held,
                        answer_count_held,
                        choose_numbers,
                        {"how many things does$a have?", 0, 0}},
    [ASK_first] = {ABOUT_THING,
                   {0, 0, 4, 5},
                   valid_first,
                   answer_first,
                   choose_fixtures,
                   {"where was$t at first?", "where was$t at the beginning?", 0}},
    [ASK_was_before] = {ABOUT_EVENT,
                        {0, 0, 3, 5},
                        valid_was_before,
                        answer_was_before,
                        choose_other_rooms,
                        {"where was$a before$s went to$r?", 0, 0}},
    [ASK_did_after] =
        {ABOUT_EVENT, {0, 0, 3, 4}, valid_did_after, answer_did, choose_acts, {"what did$a do after$s$v?", 0, 0}},
    [ASK_did_before] =
        {ABOUT_EVENT, {0, 0, 2, 3}, valid_did_before, answer_did, choose_acts, {"what did$a do before$s$v?", 0, 0}},
    [ASK_is_open] = {ABOUT_FIXTURE, {0, 0, 3, 3}, valid_is_open, answer_is_open, choose_yes_no, {"is$f open?", 0, 0}},
    [ASK_is_in] = {ABOUT_ACTOR, {0, 0, 3, 3}, valid_actor, answer_is_in, choose_yes_no, {"is$a in$r?", 0, 0}},
    [ASK_why] = {ABOUT_EVENT, {0, 0, 2, 4}, valid_why, answer_why, choose_things, {"why did$a go to$r?", 0, 0}},
};

static unsigned n_about(const sim_log *log, about a) {
    const unsigned n[] = {[ABOUT_THING] = log->end.n_things,
                          [ABOUT_ACTOR] = log->end.n_actors,
                          [ABOUT_FIXTURE] = log->end.n_fixtures,
                          [ABOUT_ROOM] = log->end.n_rooms,
                          [ABOUT_EVENT] = log->n};
    return n[a];
}

bool ask_valid(const sim_log *log, ask_type type, uint8_t of) {
    return of < n_about(log, rows[type].about) && rows[type].valid(log, of);
}

static bool draw_of(draw *d, const sim_log *log, question *q) {
    uint8_t found[SIM_EVENTS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < n_about(log, rows[q->type].about); i++)
        if (ask_valid(log, q->type, (uint8_t)i))
            found[n++] = (uint8_t)i;
    if (n == 0)
        return false;
    q->of = found[draw_below(d, n)];
    return true;
}

bool ask_draw(draw *d, const sim_log *log, unsigned level, question *q) {
    unsigned sum = 0;
    for (int i = 0; i < ASK_N; i++)
        sum += rows[i].weight[level];
    for (int tries = 0; tries < 40; tries++) {
        unsigned x = draw_below(d, sum);
        uint8_t type = 0;
        for (; x >= rows[type].weight[level]; type++)
            x -= rows[type].weight[level];
        *q = (question){.type = type};
        if (!draw_of(d, log, q))
            continue;
        /* What has been handled is asked for more often than what only stood there. */
        if (rows[type].about == ABOUT_THING && !has_moved(log, q->of) && draw_chance(d, 50))
            continue;
        if (type == ASK_is_in)
            q->room = draw_chance(d, 50) ? log->end.actor[q->of].room : (uint8_t)draw_below(d, log->end.n_rooms);
        if (draw_chance(d, level == 1 ? 15 : 40))
            q->wording = (uint8_t)draw_below(d, WORDINGS);
        if (!rows[type].wording[q->wording])
            q->wording = 0;
        return true;
    }
    return false;
}

void ask_question(pen *p, const sim_log *log, const question *q) {
    const row *r = &rows[q->type];
    const sim_event *ev = r->about == ABOUT_EVENT ? &log->event[q->of] : NULL;
    sim_house h = log->end;
    if (ev)
        house_before(log, q->of, &h);
    else if (q->type == ASK_first)
        h = log->start;
    uint8_t thing = ev ? ev->thing : q->of, actor = ev ? ev->actor : q->of;
    uint8_t room = ev ? ev->room : q->type == ASK_is_in ? q->room : q->of;
    pen_start(p);
    char piece[64];
    for (const char *w = r->wording[q->wording]; *w;) {
        size_t n = strcspn(w, "$");
        if (n > 0) {
            n = n < sizeof piece ? n : sizeof piece - 1;
            memcpy(piece, w, n);
            piece[n] = 0;
            pen_add(p, piece);
            w += n;
            continue;
        }
        switch (w[1]) {
        case 't':
            say_thing(p, &h, thing);
            break;
        case 'n':
            say_noun(p, &h, thing);
            break;
        case 'a':
            say_actor(p, &h, actor);
            break;
        case 's':
            pen_word(p, say_pronoun(&h, actor));
            break;
        case 'f':
            say_fixture(p, &h, q->of);
            break;
        case 'F':
            say_at_fixture(p, &h, q->of);
            break;
        case 'r':
            say_room(p, &h, room);
            break;
        case 'i':
            say_in_room(p, &h, room);
            break;
        case 'v':
            if (ev)
                say_act(p, &h, ev);
            break;
        }
        w += 2;
    }
}

/* "The red ball is", of what has a place or a colour. */
static void say_asked(pen *p, const sim_log *log, const question *q) {
    switch ((ask_type)q->type) {
    case ASK_where:
    case ASK_room:
        say_thing(p, &log->end, q->of);
        break;
    case ASK_colour:
        say_noun(p, &log->end, q->of);
        break;
    case ASK_actor:
        say_actor(p, &log->end, q->of);
        break;
    default:
        return;
    }
    pen_word(p, "is");
}

void ask_answer(pen *p, const sim_log *log, const question *q) {
    pen_start(p);
    if (q->whole)
        say_asked(p, log, q);
    rows[q->type].answer(p, log, q);
    pen_add(p, ".");
}

unsigned ask_choices(const sim_log *log, const question *q) {
    unsigned n = rows[q->type].choices(log, q);
    return n > 0 ? n : 1;
}
