/* tell: see tell.h. */
#include "world/tell.h"

#include <string.h>

#include "world/say.h"

typedef struct {
    pen *p;
    draw *d;
    const sim_log *log;
    unsigned level;
    bool bare;
    sim_house now; /* before the event being told */
    bool present;
    uint8_t subject;             /* the one subject of the last sentence, or SIM_NONE */
    uint16_t people, people_now; /* actors named in the last sentence and in this one, bit by index */
    uint8_t it;                  /* the thing that "it" would mean, or SIM_NONE */
    bool it_said;                /* a thing was named in this sentence */
    uint8_t verb;                /* of the phrase being told */
    uint8_t opened;              /* the fixture opened in this sentence, or SIM_NONE */
    bool subject_is_it;
    uint16_t seen; /* things introduced */
    uint8_t came;  /* the actor whose going into a room was told last, or SIM_NONE */
    bool begun;    /* an event has been told */
    bool led;      /* the last sentence that could begin with "then" or the like did */
    uint8_t also;  /* a second thing of the same event, or SIM_NONE */
} teller;

static unsigned at_level(const teller *t, unsigned plain, unsigned rich) {
    return t->bare ? 0 : t->level == 1 ? plain : rich;
}
static const char *past_or_present(const teller *t, const char *past, const char *present) {
    return t->present ? present : past;
}

/* ---- nouns ---- */

static void actor(teller *t, uint8_t a) {
    say_actor(t->p, &t->now, a);
    t->people_now |= (uint16_t)(1u << a);
}

static void mention(teller *t, uint8_t thing) {
    t->it = thing;
    t->it_said = true;
    t->seen |= (uint16_t)(1u << thing);
}

static void thing_named(teller *t, uint8_t thing) {
    if (!(t->seen >> thing & 1))
        say_a_thing(t->p, &t->now, thing);
    else if (sim_noun_unique(&t->now, thing) && draw_chance(t->d, at_level(t, 10, 40)))
        say_noun(t->p, &t->now, thing);
    else
        say_thing(t->p, &t->now, thing);
    mention(t, thing);
}

static void thing_object(teller *t, uint8_t thing) {
    if (t->also != SIM_NONE) {
        thing_named(t, thing);
        pen_word(t->p, "and");
        thing_named(t, t->also);
        t->it = SIM_NONE;
    } else if (t->it == thing && !t->subject_is_it &&
               draw_chance(t->d, t->it_said && !t->bare ? 90 : at_level(t, 45, 65)))
        pen_word(t->p, "it");
    else
        thing_named(t, thing);
}

/* " from the table" */
static void from_place(teller *t, uint8_t thing) {
    const sim_thing *x = &t->now.thing[thing];
    if (x->where == AT_FLOOR) {
        pen_word(t->p, "from the floor");
        return;
    }
    bool in = word_fixtures[t->now.fixture[x->at].noun].prep[0] == 'i';
    bool lift = t->verb == V_PICK; /* "picked up ... from", never "out of" */
    if (t->opened == x->at && !lift && draw_chance(t->d, 60)) {
        pen_word(t->p, "out");
        return;
    }
    pen_word(t->p, in && !lift && draw_chance(t->d, at_level(t, 0, 30)) ? "out of" : "from");
    say_fixture(t->p, &t->now, x->at);
}

/* ---- verb phrases ----
 *
 * A phrase is a verb and what follows: $o thing, $O thing but never "it", $f from where, $p to where, $i into where,
 * $d toward the room, $r the room, $R the room before, $h the thing in hand, $q the other, $b the fixture, $c the
 * colour. */
typedef struct {
    uint8_t kind, verb, plain, rich; /* weights at level 1 and above */
    const char *rest;
} phrase;

static const phrase phrases[] = {
    {EV_GO, V_GO, 70, 30, "$d"}, /* the first of a kind is the bare one */
    {EV_GO, V_WALK, 15, 14, "$d"},        {EV_GO, V_RUN, 4, 6, "$d"},
    {EV_GO, V_HURRY, 0, 4, "$d"},         {EV_GO, V_COME, 0, 5, " into$r"},
    {EV_GO, V_LEAVE, 0, 8, "$R for$r"},   {EV_GO, V_GO, 0, 6, " from$R$d"},
    {EV_GO, V_CARRY, 8, 22, "$h$d"},      {EV_GO, V_BRING, 2, 8, "$h to$r"},
    {EV_GO, V_TAKE, 0, 8, "$h$d"},        {EV_TAKE, V_TAKE, 60, 26, "$o$f"},
    {EV_TAKE, V_PICK, 12, 12, " up$O$f"}, {EV_TAKE, V_GET, 4, 8, "$o$f"},
    {EV_TAKE, V_TAKE, 16, 14, "$o"},      {EV_TAKE, V_PICK, 8, 10, " up$O"},
    {EV_PUT, V_PUT, 85, 44, "$o$p"},      {EV_PUT, V_PLACE, 5, 8, "$o$p"},
    {EV_PUT, V_LAY, 0, 6, "$o$p"},        {EV_PUT, V_LEAVE, 0, 8, "$o$p"},
    {EV_PUT, V_PUT, 0, 10, "$o$i"},       {EV_DROP, V_DROP, 1, 1, "$o on the floor"},
    {EV_GIVE, V_GIVE, 50, 24, "$o to$q"}, {EV_GIVE, V_GIVE, 30, 24, "$q$O"},
    {EV_GIVE, V_HAND, 0, 12, "$o to$q"},  {EV_GIVE, V_HAND, 0, 12, "$q$O"},
    {EV_GIVE, V_PASS, 0, 6, "$o to$q"},   {EV_OPEN, V_OPEN, 1, 1, "$b"},
    {EV_CLOSE, V_CLOSE, 3, 3, "$b"},      {EV_CLOSE, V_SHUT, 0, 2, "$b"},
    {EV_PAINT, V_PAINT, 1, 1, "$o$c"},    {EV_EAT, V_EAT, 1, 1, "$o"},
    {EV_WASH, V_WASH, 1, 1, "$o"},
};
enum { N_PHRASES = sizeof phrases / sizeof *phrases };

/* What people and the robot do that changes nothing. */
typedef struct {
    uint8_t verb;
    const char *rest;
} pastime;
static const pastime pastimes[] = {
    {V_SING, " a song"},
    {V_LAUGH, ""},
    {V_YAWN, ""},
    {V_DANCE, " a little"},
    {V_WHISTLE, " a tune"},
    {V_WAIT, " a while"},
    {V_SMILE, ""},
    {V_SIT, " down for a moment"},
    {V_STAND, " still for a moment"},
};
static const pastime robot_pastimes[] = {{V_BEEP, " twice"}, {V_TURN, " around once"}, {V_WAIT, " a while"}};
enum {
    N_PASTIMES = sizeof pastimes / sizeof *pastimes,
    N_ROBOT_PASTIMES = sizeof robot_pastimes / sizeof *robot_pastimes
};

/* The only thing in the actor's hands, or SIM_NONE. */
static uint8_t in_hand(const sim_house *h, uint8_t a) {
    uint8_t found = SIM_NONE;
    for (uint8_t i = 0; i < h->n_things; i++)
        if (h->thing[i].where == AT_ACTOR && h->thing[i].at == a) {
            if (found != SIM_NONE)
                return SIM_NONE;
            found = i;
        }
    return found;
}

static bool fits(const teller *t, const phrase *x, const sim_event *ev) {
    if (x->kind != ev->kind || (t->level == 1 ? x->plain : x->rich) == 0)
        return false;
    bool on = ev->fixture != SIM_NONE && word_fixtures[t->now.fixture[ev->fixture].noun].prep &&
              word_fixtures[t->now.fixture[ev->fixture].noun].prep[0] == 'o';
    if (x->verb == V_LAY && !on)
        return false;
    if (strstr(x->rest, "$i") && on)
        return false;
    if (strstr(x->rest, "$h") && (ev->other != SIM_NONE || in_hand(&t->now, ev->actor) == SIM_NONE))
        return false;
    /* A thing that is new to the reader is found where it is. */
    return !(ev->kind == EV_TAKE && !(t->seen >> ev->thing & 1) && !strstr(x->rest, "$f"));
}

static const phrase *choose_phrase(teller *t, const sim_event *ev) {
    unsigned sum = 0;
    for (int i = 0; i < N_PHRASES && t->bare; i++)
        if (phrases[i].kind == ev->kind)
            return &phrases[i];
    for (int i = 0; i < N_PHRASES; i++)
        if (fits(t, &phrases[i], ev))
            sum += t->level == 1 ? phrases[i].plain : phrases[i].rich;
    unsigned x = draw_below(t->d, sum);
    for (int i = 0;; i++)
        if (fits(t, &phrases[i], ev)) {
            unsigned w = t->level == 1 ? phrases[i].plain : phrases[i].rich;
            if (x < w)
                return &phrases[i];
            x -= w;
        }
}

static void expand(teller *t, const char *rest, const sim_event *ev) {
    for (char piece[64]; *rest;) {
        size_t n = strcspn(rest, "$");
        if (n > 0) {
            n = n < sizeof piece ? n : sizeof piece - 1;
            memcpy(piece, rest, n);
            piece[n] = 0;
            pen_add(t->p, piece);
            rest += n;
            continue;
        }
        switch (rest[1]) {
        case 'o':
            thing_object(t, ev->thing);
            break;
        case 'O':
            t->it = t->it == ev->thing ? SIM_NONE : t->it;
            thing_object(t, ev->thing);
            break;
        case 'h':
            thing_object(t, in_hand(&t->now, ev->actor));
            break;
        case 'f':
            from_place(t, ev->thing);
            break;
        case 'p':
            if (t->opened == ev->fixture && draw_chance(t->d, 60))
                pen_word(t->p, "inside");
            else
                say_at_fixture(t->p, &t->now, ev->fixture);
            break;
        case 'i':
            pen_word(t->p, "into");
            say_fixture(t->p, &t->now, ev->fixture);
            break;
        case 'd':
            pen_word(t->p, word_rooms[t->now.room[ev->room]].toward);
            break;
        case 'r':
            say_room(t->p, &t->now, ev->room);
            break;
        case 'R':
            say_room(t->p, &t->now, t->now.actor[ev->actor].room);
            break;
        case 'q':
            actor(t, ev->other);
            break;
        case 'b':
            say_fixture(t->p, &t->now, ev->fixture);
            t->it = SIM_NONE;
            break;
        case 'c':
            pen_word(t->p, word_colours[ev->colour]);
            break;
        }
        rest += 2;
    }
}

/* The verb phrase of an event; then the house is as after it. */
static void verb_phrase(teller *t, const sim_event *ev, word_form form) {
    if (ev->kind == EV_IDLE) {
        const pastime *x = t->now.actor[ev->actor].who == ROBOT ? &robot_pastimes[ev->variant % N_ROBOT_PASTIMES]
                                                                : &pastimes[ev->variant % N_PASTIMES];
        pen_word(t->p, word_verbs[x->verb][form]);
        pen_add(t->p, x->rest);
        return;
    }
    const phrase *x = choose_phrase(t, ev);
    t->verb = x->verb;
    pen_word(t->p, word_verbs[x->verb][form]);
    expand(t, x->rest, ev);
    sim_apply(&t->now, ev);
    t->opened = ev->kind == EV_OPEN && t->level > 1 ? ev->fixture : SIM_NONE;
    if (t->also != SIM_NONE) {
        sim_event second = *ev;
        second.thing = t->also;
        sim_apply(&t->now, &second);
        t->also = SIM_NONE;
    }
}

/* ---- sentences ---- */

static void end_sentence(teller *t, uint8_t subject) {
    pen_stop(t->p, ".");
    t->subject = subject;
    t->people = t->people_now;
    t->people_now = 0;
    if (!t->it_said)
        t->it = SIM_NONE;
    t->it_said = false;
    t->subject_is_it = false;
    t->opened = SIM_NONE;
}

/* Would "she" at the beginning of a sentence mean this actor and no other? */
static bool pronoun_is_clear(const teller *t, uint8_t a) {
    if (t->subject != a)
        return false;
    for (uint8_t o = 0; o < t->now.n_actors; o++)
        if (o != a && (t->people >> o & 1) && say_pronoun(&t->now, o) == say_pronoun(&t->now, a))
            return false;
    return true;
}

static void pronoun(teller *t, uint8_t a) {
    pen_word(t->p, say_pronoun(&t->now, a));
    t->people_now |= (uint16_t)(1u << a);
    t->subject_is_it = t->now.actor[a].who == ROBOT;
}

static void subject(teller *t, uint8_t a) {
    if (t->subject != a)
        t->it = SIM_NONE;
    if (pronoun_is_clear(t, a) && draw_chance(t->d, at_level(t, 45, 65)))
        pronoun(t, a);
    else
        actor(t, a);
}

static word_form finite(const teller *t, bool plural) {
    return !t->present ? FORM_PAST : plural ? FORM_BASE : FORM_THIRD;
}

static void lead(teller *t, uint8_t a) {
    static const char *const same[] = {"then", "after that,",     "next,",          "then",
                                       "soon", "a moment later,", "a little later,"};
    static const char *const other[] = {"then",       "after that,",     "later,",
                                        "meanwhile,", "a little later,", "soon after,"};
    t->led = !t->led && t->begun && draw_chance(t->d, at_level(t, 12, 25));
    if (!t->led)
        return;
    if (t->subject == a)
        pen_word(t->p, same[draw_below(t->d, sizeof same / sizeof *same)]);
    else
        pen_word(t->p, other[draw_below(t->d, sizeof other / sizeof *other)]);
}

/* "The box was opened by Anna." */
static bool tell_passive(teller *t, const sim_event *ev) {
    static const char *const participle[EV_ACTS] = {
        [EV_TAKE] = "taken",  [EV_PUT] = "put",      [EV_GIVE] = "given",
        [EV_OPEN] = "opened", [EV_CLOSE] = "closed", [EV_EAT] = "eaten",
    };
    if (ev->kind >= EV_ACTS || !participle[ev->kind] || (ev->thing != SIM_NONE && !(t->seen >> ev->thing & 1)))
        return false;
    if (ev->thing != SIM_NONE)
        thing_named(t, ev->thing);
    else
        say_fixture(t->p, &t->now, ev->fixture);
    pen_word(t->p, past_or_present(t, "was", "is"));
    pen_word(t->p, participle[ev->kind]);
    if (ev->kind == EV_TAKE)
        from_place(t, ev->thing);
    if (ev->kind == EV_PUT)
        say_at_fixture(t->p, &t->now, ev->fixture);
    if (ev->kind == EV_GIVE) {
        pen_word(t->p, "to");
        actor(t, ev->other);
    }
    pen_word(t->p, "by");
    actor(t, ev->actor);
    sim_apply(&t->now, ev);
    end_sentence(t, SIM_NONE);
    t->it = SIM_NONE;
    return true;
}

/* "After opening the box, Anna took the ball." "Before taking the ball, Anna opened the box." */
static void tell_after(teller *t, const sim_event *ev) {
    pen_word(t->p, "after");
    verb_phrase(t, &ev[0], FORM_ING);
    pen_add(t->p, ",");
    actor(t, ev->actor);
    verb_phrase(t, &ev[1], finite(t, false));
    end_sentence(t, ev->actor);
}

static void tell_before(teller *t, const sim_event *ev) {
    sim_house before = t->now;
    pen_word(t->p, "before");
    sim_apply(&t->now, &ev[0]);
    verb_phrase(t, &ev[1], FORM_ING);
    sim_house after = t->now;
    t->now = before;
    t->opened = SIM_NONE;
    pen_add(t->p, ",");
    actor(t, ev->actor);
    verb_phrase(t, &ev[0], finite(t, false));
    t->now = after;
    end_sentence(t, ev->actor);
    t->it = SIM_NONE;
}

/* "When Anna came into the hall, she opened the box." */
static void tell_when(teller *t, const sim_event *ev) {
    pen_word(t->p, "when");
    actor(t, ev->actor);
    pen_word(t->p, word_verbs[V_COME][finite(t, false)]);
    pen_word(t->p, "into");
    say_room(t->p, &t->now, ev->room);
    pen_add(t->p, ",");
    sim_apply(&t->now, ev);
    t->it = SIM_NONE;
    pronoun(t, ev->actor);
    verb_phrase(t, &ev[1], finite(t, false));
    end_sentence(t, ev->actor);
}

static void tell_together(teller *t, const sim_event *ev) {
    lead(t, SIM_NONE);
    actor(t, ev->actor);
    pen_word(t->p, "and");
    actor(t, ev->other);
    verb_phrase(t, ev, finite(t, true));
    if (draw_chance(t->d, 30))
        pen_word(t->p, "together");
    end_sentence(t, SIM_NONE);
}

/* How the next two events are told in one sentence, when not side by side; NULL. */
typedef void two_teller(teller *t, const sim_event *ev);
static two_teller *choose_two(teller *t, const sim_event *ev) {
    if (t->level == 1 || t->now.actor[ev->actor].who == ROBOT || ev[0].kind >= EV_ACTS || ev[1].kind >= EV_ACTS)
        return NULL;
    unsigned roll = draw_below(t->d, 100);
    if (roll < 10)
        return tell_after;
    /* "Before" tells the first event last: what it is about must not be what the second one names. */
    if (roll < 20 && ev[0].thing != ev[1].thing && ev[0].kind != EV_GO &&
        (ev[1].thing == SIM_NONE || t->seen >> ev[1].thing & 1))
        return tell_before;
    return roll < 30 && ev[0].kind == EV_GO ? tell_when : NULL;
}

/* A sentence about one actor's next n events (1 to 3). */
static void tell_acts(teller *t, const sim_event *ev, unsigned n) {
    uint8_t a = ev->actor;
    bool rich = t->level > 1;
    if (rich && n == 1 && draw_chance(t->d, 8) && tell_passive(t, ev))
        return;
    two_teller *two = n == 2 ? choose_two(t, ev) : NULL;
    if (two) {
        two(t, ev);
        return;
    }
    if (rich && t->came == a && ev[0].kind != EV_GO && ev[0].kind < EV_ACTS && draw_chance(t->d, 20)) {
        if (draw_chance(t->d, 40))
            pen_word(t->p, draw_chance(t->d, 50) ? "there" : "there,");
        else {
            say_in_room(t->p, &t->now, t->now.actor[a].room);
            pen_add(t->p, ",");
        }
    } else
        lead(t, a);
    subject(t, a);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            pen_add(t->p, i + 1 == n ? " and" : ",");
        verb_phrase(t, &ev[i], finite(t, false));
    }
    end_sentence(t, a);
}

/* ---- what changes nothing ---- */

static void says(teller *t, uint8_t a) {
    pen_word(t->p, past_or_present(t, "said", "says"));
    actor(t, a);
}

static void tell_want(teller *t, const sim_event *ev) {
    static const struct {
        const char *past, *present;
    } want[SORTS] = {
        [SORT_TOY] = {"wanted to play with", "wants to play with"},
        [SORT_PAPER] = {"wanted to look at", "wants to look at"},
        [SORT_DISH] = {"needed", "needs"},
        [SORT_FOOD] = {"was hungry and wanted", "is hungry and wants"},
        [SORT_WEAR] = {"wanted to wear", "wants to wear"},
        [SORT_TOOL] = {"needed", "needs"},
    };
    word_sort sort = word_things[t->now.thing[ev->thing].noun].sort;
    if (t->level > 1 && ev->variant < 2) {
        pen_word(t->p, ev->variant == 0 && sort == SORT_FOOD ? "\"I am hungry,\"" : "\"I wonder where");
        if (ev->variant != 0 || sort != SORT_FOOD) {
            thing_named(t, ev->thing);
            pen_add(t->p, " is,\"");
            says(t, ev->actor);
            end_sentence(t, ev->actor);
            return;
        }
        says(t, ev->actor);
        end_sentence(t, ev->actor);
    }
    bool plain = ev->variant < 4;
    lead(t, ev->actor);
    subject(t, ev->actor);
    pen_word(t->p,
             plain ? past_or_present(t, "wanted", "wants") : past_or_present(t, want[sort].past, want[sort].present));
    thing_named(t, ev->thing);
    end_sentence(t, ev->actor);
}

static void tell_look(teller *t, const sim_event *ev) {
    subject(t, ev->actor);
    pen_word(t->p, past_or_present(t, "looked", "looks"));
    say_at_fixture(t->p, &t->now, ev->fixture);
    pen_add(t->p, ", but");
    if (t->it == ev->thing && !t->subject_is_it)
        pen_word(t->p, "it");
    else
        thing_named(t, ev->thing);
    pen_word(t->p, past_or_present(t, "was not there", "is not there"));
    t->it_said = true;
    end_sentence(t, ev->actor);
}

static void tell_ask(teller *t, const sim_event *ev) {
    const char *name = t->now.actor[ev->other].who == ROBOT ? "Robot" : word_people[t->now.actor[ev->other].who].name;
    if (ev->variant == 0) {
        pen_word(t->p, "\"");
        pen_add(t->p, name);
        pen_add(t->p, ", please bring me");
        thing_named(t, ev->thing);
        pen_add(t->p, ",\"");
        says(t, ev->actor);
    } else if (ev->variant == 1) {
        pen_word(t->p, "\"Can you bring me");
        thing_named(t, ev->thing);
        pen_add(t->p, ", ");
        pen_add(t->p, name);
        pen_add(t->p, "?\"");
        pen_word(t->p, past_or_present(t, "asked", "asks"));
        actor(t, ev->actor);
    } else {
        actor(t, ev->actor);
        pen_word(t->p, past_or_present(t, "asked", "asks"));
        actor(t, ev->other);
        pen_word(t->p, "to bring");
        pen_word(t->p, say_pronoun_obj(&t->now, ev->actor));
        thing_named(t, ev->thing);
    }
    t->people_now |= (uint16_t)(1u << ev->other);
    end_sentence(t, SIM_NONE);
}

static void tell_thank(teller *t, const sim_event *ev) {
    if (ev->variant == 0) {
        pen_word(t->p, "\"Thank you,\"");
        says(t, ev->actor);
        end_sentence(t, ev->actor);
        return;
    }
    actor(t, ev->actor);
    if (ev->variant == 1) {
        pen_word(t->p, past_or_present(t, "thanked", "thanks"));
        actor(t, ev->other);
    } else
        pen_word(t->p, past_or_present(t, "was happy", "is happy"));
    end_sentence(t, ev->actor);
}

/* ---- the story ---- */

static bool joins(const sim_event *a, const sim_event *b) {
    return a->actor == b->actor && a->kind != b->kind && b->kind < EV_ACTS && a->kind < EV_ACTS &&
           a->other == SIM_NONE && (b->kind != EV_GO || b->other == SIM_NONE);
}

/* Two things taken from one place or put at one: one event with two things. */
static bool is_pair(const teller *t, const sim_event *a, const sim_event *b) {
    if (t->level == 1 || a->kind != b->kind || a->actor != b->actor || t->now.actor[a->actor].who == ROBOT)
        return false;
    if (a->kind == EV_PUT)
        return a->fixture == b->fixture;
    if (a->kind != EV_TAKE)
        return false;
    const sim_thing *x = &t->now.thing[a->thing], *y = &t->now.thing[b->thing];
    return x->where == y->where && x->at == y->at;
}

static void tell_events(teller *t) {
    static void (*const special[EV_KINDS])(teller *, const sim_event *) = {
        [EV_WANT] = tell_want,
        [EV_LOOK] = tell_look,
        [EV_ASK] = tell_ask,
        [EV_THANK] = tell_thank,
    };
    const sim_log *log = t->log;
    for (unsigned i = 0; i < log->n; t->begun = true) {
        const sim_event *ev = &log->event[i];
        if (special[ev->kind]) {
            special[ev->kind](t, ev);
            t->came = SIM_NONE;
            i++;
            continue;
        }
        if (ev->kind == EV_GO && ev->other != SIM_NONE) {
            tell_together(t, ev);
            t->came = SIM_NONE;
            i++;
            continue;
        }
        unsigned n = 1;
        if (i + 1 < log->n && is_pair(t, ev, ev + 1) && draw_chance(t->d, 70)) {
            t->also = ev[1].thing;
            n = 2;
            lead(t, ev->actor);
            subject(t, ev->actor);
            verb_phrase(t, ev, finite(t, false));
            end_sentence(t, ev->actor);
        } else {
            while (n < 3 && i + n < log->n && joins(ev + n - 1, ev + n) &&
                   draw_chance(t->d, at_level(t, 35, n == 1 ? 55 : 40)))
                n++;
            tell_acts(t, ev, n);
        }
        t->came = ev[n - 1].kind == EV_GO ? ev->actor : SIM_NONE;
        i += n;
    }
}

/* ---- the scene ---- */

/* "Anna", "Anna and Ben", "Anna, Ben and the robot": the actors of a bit set. */
static void actor_list(teller *t, unsigned set) {
    unsigned left = 0, said = 0;
    for (uint8_t a = 0; a < t->now.n_actors; a++)
        left += set >> a & 1;
    for (uint8_t a = 0; a < t->now.n_actors; a++)
        if (set >> a & 1) {
            if (said > 0)
                pen_add(t->p, left == 1 ? " and" : ",");
            actor(t, a);
            said++;
            left--;
        }
}

/* A sentence for each of the actors in a room. */
static void scene_apart(teller *t, unsigned set, uint8_t room) {
    for (uint8_t a = 0; a < t->now.n_actors; a++)
        if (set >> a & 1) {
            actor(t, a);
            pen_word(t->p, past_or_present(t, "was", "is"));
            say_in_room(t->p, &t->now, room);
            end_sentence(t, SIM_NONE);
        }
}

static void scene_actors(teller *t) {
    unsigned open = 0; /* clauses of the sentence that has begun: at most two */
    for (uint8_t r = 0; r < t->now.n_rooms; r++) {
        unsigned set = 0, n = 0;
        for (uint8_t a = 0; a < t->now.n_actors; a++)
            if (t->now.actor[a].room == r) {
                set |= 1u << a;
                n++;
            }
        if (n == 0)
            continue;
        if (t->bare) {
            scene_apart(t, set, r);
            continue;
        }
        const char *be = n > 1 ? past_or_present(t, "were", "are") : past_or_present(t, "was", "is");
        if (open == 1 && draw_chance(t->d, at_level(t, 15, 35)))
            pen_add(t->p, n > 1 ? ", and" : " and");
        else if (open > 0) {
            end_sentence(t, SIM_NONE);
            open = 0;
        }
        actor_list(t, set);
        pen_word(t->p, be);
        say_in_room(t->p, &t->now, r);
        open++;
    }
    if (open > 0)
        end_sentence(t, SIM_NONE);
}

static void thing_list(teller *t, unsigned set) {
    unsigned left = 0, said = 0;
    for (uint8_t i = 0; i < t->now.n_things; i++)
        left += set >> i & 1;
    for (uint8_t i = 0; i < t->now.n_things; i++)
        if (set >> i & 1) {
            if (said > 0)
                pen_add(t->p, left == 1 ? " and" : ",");
            say_a_thing(t->p, &t->now, i);
            mention(t, i);
            said++;
            left--;
        }
}

/* Where a set of things is: on a fixture, on the floor, or in a hand. */
static void scene_things(teller *t, unsigned set, sim_where where, uint8_t at, bool state) {
    bool many = (set & (set - 1)) != 0;
    if (many && t->bare) { /* a sentence each */
        scene_things(t, set & (~set + 1), where, at, state);
        scene_things(t, set & (set - 1), where, at, state);
        return;
    }
    if (where == AT_ACTOR) {
        actor(t, at);
        pen_word(t->p, draw_chance(t->d, 70) ? past_or_present(t, "had", "has")
                                             : past_or_present(t, "was holding", "is holding"));
        thing_list(t, set);
        end_sentence(t, SIM_NONE);
        t->it = SIM_NONE;
        return;
    }
    unsigned form = t->bare ? 0 : draw_below(t->d, 10);
    const char *be = many ? past_or_present(t, "were", "are") : past_or_present(t, "was", "is");
    if (form >= 4 && form < 7)
        thing_list(t, set);
    else if (form < 4) {
        pen_word(t->p, "there");
        pen_word(t->p, be);
        thing_list(t, set);
    }
    if (form == 6 && t->level > 1)
        be = many ? past_or_present(t, "lay", "lie") : past_or_present(t, "lay", "lies");
    if (form >= 4 && form < 7)
        pen_word(t->p, be);
    if (where == AT_FIXTURE) {
        const word_fixture *f = &word_fixtures[t->now.fixture[at].noun];
        pen_word(t->p, f->prep);
        pen_word(t->p, "the");
        if (state && f->opens)
            pen_word(t->p, t->now.fixture[at].open ? "open" : "closed");
        pen_word(t->p, f->name);
        say_in_room(t->p, &t->now, t->now.fixture[at].room);
    } else {
        pen_word(t->p, "on the floor");
        say_in_room(t->p, &t->now, at);
    }
    if (form >= 7) {
        pen_word(t->p, "there");
        pen_word(t->p, be);
        thing_list(t, set);
    }
    end_sentence(t, SIM_NONE);
    t->it = SIM_NONE;
}

static unsigned set_at(const teller *t, sim_where where, uint8_t at, unsigned among) {
    unsigned set = 0;
    for (uint8_t i = 0; i < t->now.n_things; i++)
        if ((among >> i & 1) && t->now.thing[i].where == where && t->now.thing[i].at == at)
            set |= 1u << i;
    return set;
}

/* Furniture on which nothing is, and what can be switched. */
static void scene_empty(teller *t, uint8_t f) {
    const word_fixture *w = &word_fixtures[t->now.fixture[f].noun];
    pen_word(t->p, "there");
    pen_word(t->p, past_or_present(t, "was", "is"));
    pen_word(t->p, word_article(w->opens ? t->now.fixture[f].open ? "open" : "closed" : w->name));
    if (w->opens)
        pen_word(t->p, t->now.fixture[f].open ? "open" : "closed");
    pen_word(t->p, w->name);
    say_in_room(t->p, &t->now, t->now.fixture[f].room);
    if (w->switches) {
        pen_add(t->p, ", and it");
        pen_word(t->p, past_or_present(t, "was", "is"));
        pen_word(t->p, t->now.fixture[f].on ? "on" : "off");
    }
    end_sentence(t, SIM_NONE);
}

/* Things that the scene leaves for later: those whose story begins with their being taken. */
static unsigned later_things(teller *t) {
    unsigned later = 0;
    for (uint8_t i = 0; i < t->now.n_things && t->level > 1; i++)
        for (unsigned k = 0; k < t->log->n; k++)
            if (t->log->event[k].thing == i) {
                if (t->log->event[k].kind == EV_TAKE && t->now.thing[i].where == AT_FIXTURE && draw_chance(t->d, 40))
                    later |= 1u << i;
                break;
            }
    return later;
}

static void scene(teller *t, bool all) {
    unsigned told = ~(all ? 0 : later_things(t));
    bool people_first = t->bare || draw_chance(t->d, at_level(t, 80, 70));
    if (people_first)
        scene_actors(t);
    for (uint8_t f = 0; f < t->now.n_fixtures; f++) {
        unsigned set = set_at(t, AT_FIXTURE, f, told);
        if (set)
            scene_things(t, set, AT_FIXTURE, f, all || draw_chance(t->d, at_level(t, 30, 30)));
        else if (all)
            scene_empty(t, f);
    }
    for (uint8_t r = 0; r < t->now.n_rooms; r++) {
        unsigned set = set_at(t, AT_FLOOR, r, told);
        if (set)
            scene_things(t, set, AT_FLOOR, r, false);
    }
    for (uint8_t a = 0; a < t->now.n_actors; a++) {
        unsigned set = set_at(t, AT_ACTOR, a, told);
        if (set)
            scene_things(t, set, AT_ACTOR, a, false);
    }
    if (!people_first)
        scene_actors(t);
}

static teller begin(pen *p, draw *d, const sim_log *log, unsigned level, bool bare) {
    return (teller){.p = p,
                    .d = d,
                    .log = log,
                    .level = level,
                    .bare = bare,
                    .now = log->start,
                    .subject = SIM_NONE,
                    .it = SIM_NONE,
                    .came = SIM_NONE,
                    .also = SIM_NONE,
                    .opened = SIM_NONE};
}

void tell_scene(pen *p, draw *d, const sim_log *log, unsigned level, bool bare, bool all) {
    teller t = begin(p, d, log, level, bare);
    t.present = true;
    pen_start(p);
    scene(&t, all);
    pen_trim(p);
    p->start = false;
}

static void opening(teller *t) {
    static const char *const weather[] = {"sunny", "rainy", "cold", "warm", "windy", "quiet", "grey", "long"};
    static const char *const time[] = {"morning", "afternoon", "evening", "day"};
    if (t->level == 1 || !draw_chance(t->d, 45))
        return;
    pen_word(t->p, past_or_present(t, "it was a", "it is a"));
    pen_word(t->p, weather[draw_below(t->d, sizeof weather / sizeof *weather)]);
    pen_word(t->p, time[draw_below(t->d, sizeof time / sizeof *time)]);
    end_sentence(t, SIM_NONE);
}

/* "In the end, the red ball was on the table and Anna was in the hall." */
static void summary(teller *t) {
    static const char *const lead[] = {"in the end,", "at last,", "at the end of the day,", "so now"};
    uint8_t thing = (uint8_t)draw_below(t->d, t->now.n_things), a = (uint8_t)draw_below(t->d, t->now.n_actors);
    if (t->now.thing[thing].where != AT_FIXTURE)
        return;
    bool moved =
        t->log->start.thing[thing].where != AT_FIXTURE || t->log->start.thing[thing].at != t->now.thing[thing].at;
    if (moved)
        pen_word(t->p, lead[draw_below(t->d, t->present ? 4 : 3)]);
    say_thing(t->p, &t->now, thing);
    pen_word(t->p, past_or_present(t, "was", "is"));
    if (!moved)
        pen_word(t->p, "still");
    say_place(t->p, &t->now, thing);
    if (draw_chance(t->d, 60)) {
        pen_word(t->p, "and");
        actor(t, a);
        pen_word(t->p, past_or_present(t, "was", "is"));
        say_in_room(t->p, &t->now, t->now.actor[a].room);
    }
    end_sentence(t, SIM_NONE);
}

void tell_story(pen *p, draw *d, const sim_log *log, unsigned level, bool bare, bool closing) {
    teller t = begin(p, d, log, level, bare);
    t.present = level > 1 && draw_chance(d, 15);
    pen_start(p);
    opening(&t);
    scene(&t, false);
    tell_events(&t);
    if (closing)
        summary(&t);
    pen_trim(p);
    p->start = false;
}
